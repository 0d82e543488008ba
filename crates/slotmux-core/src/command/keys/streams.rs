//! The keys of XREAD and XREADGROUP, and the position of their BLOCK option.

use std::ops::Range;

use super::KeyError;
use crate::command::options::{BLOCK, FoundOption, OF_XREAD, OptionScan, STREAMS};
use crate::resp::Span;

/// The keys: the first half of the arguments after STREAMS. After an unknown word any STREAMS may be that option, so
/// that the range covers the keys of all of them.
pub(super) fn keys(buf: &[u8], args: &[Span]) -> Result<Range<usize>, KeyError> {
    let mut options = OptionScan::new(OF_XREAD, buf, args, 1);
    let mut keys: Option<Range<usize>> = None;
    while let Some(FoundOption { at, word, .. }) = options.next() {
        if word != STREAMS {
            continue;
        }
        let first = at + 1;
        let end = first + (args.len() - first) / 2;
        if first < end {
            keys = Some(keys.map_or(first, |keys| keys.start)..end);
        }
        if !options.is_lost() {
            break;
        }
    }
    keys.ok_or(KeyError::None)
}

/// Position of BLOCK among the options: the last one counts. After an unknown word any BLOCK may be that option: a
/// needless dedicated connection is better than a blocked shared one.
pub(in crate::command) fn block_option(buf: &[u8], args: &[Span]) -> Option<usize> {
    let mut options = OptionScan::new(OF_XREAD, buf, args, 1);
    let mut block = None;
    while let Some(FoundOption { at, word, .. }) = options.next() {
        if word == BLOCK {
            block = Some(at);
        } else if word == STREAMS && !options.is_lost() {
            break;
        }
    }
    block
}
