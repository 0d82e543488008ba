//! The keys of XREAD and XREADGROUP, and where they say how long they block.

use std::ops::Range;

use super::KeyError;
use crate::command::options::{BLOCK, Found, OF_XREAD, Options, STREAMS};
use crate::resp::Span;

/// The keys: the first half of what follows STREAMS. Where a word is not known, any STREAMS behind it may be that option, so
/// that the keys of all of them are in the range.
pub(super) fn keys(buf: &[u8], args: &[Span]) -> Result<Range<usize>, KeyError> {
    let mut options = Options::new(OF_XREAD, buf, args, 1);
    let mut keys: Option<Range<usize>> = None;
    while let Some(Found { at, word, .. }) = options.next() {
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

/// Where BLOCK is among the options: the last one, which is the one that counts. Where a word is not known, any BLOCK
/// behind it may be that option: better a connection too many than a shared one held up.
pub(in crate::command) fn block_option(buf: &[u8], args: &[Span]) -> Option<usize> {
    let mut options = Options::new(OF_XREAD, buf, args, 1);
    let mut block = None;
    while let Some(Found { at, word, .. }) = options.next() {
        if word == BLOCK {
            block = Some(at);
        } else if word == STREAMS && !options.is_lost() {
            break;
        }
    }
    block
}
