//! The keys of MIGRATE.

use std::ops::Range;

use super::KeyError;
use crate::command::options::{KEYS, OF_MIGRATE, Options};
use crate::resp::Span;

/// Where its one key is.
const KEY: usize = 3;
/// Where its options begin.
const OPTIONS: usize = 6;

/// The third argument, or what follows KEYS if that is empty. Where nothing follows, the empty key stands for none.
pub(super) fn keys(buf: &[u8], args: &[Span]) -> Result<Range<usize>, KeyError> {
    let key = args.get(KEY).ok_or(KeyError::None)?.of(buf);
    let mut options = Options::new(OF_MIGRATE, buf, args, OPTIONS);
    let keys = options.find(|found| found.word == KEYS);
    match keys {
        Some(found) if key.is_empty() && found.at + 1 < args.len() => Ok(found.at + 1..args.len()),
        // A key and KEYS together are a syntax error.
        Some(_) if !key.is_empty() && !options.is_lost() => Err(KeyError::None),
        _ => Ok(KEY..KEY + 1),
    }
}
