//! The keys of MIGRATE.

use std::ops::Range;

use super::KeyError;
use crate::command::options::{KEYS, OF_MIGRATE, OptionScan};
use crate::resp::Span;

/// Index of the single key.
const KEY: usize = 3;
/// Index of the first option.
const OPTIONS: usize = 6;

/// The third argument, or the keys after KEYS if that is empty. Without KEYS, the empty key counts as a missing one.
pub(super) fn keys(buf: &[u8], args: &[Span]) -> Result<Range<usize>, KeyError> {
    let key = args.get(KEY).ok_or(KeyError::None)?.of(buf);
    let mut options = OptionScan::new(OF_MIGRATE, buf, args, OPTIONS);
    let keys = options.find(|found| found.word == KEYS);
    match keys {
        Some(found) if key.is_empty() && found.at + 1 < args.len() => Ok(found.at + 1..args.len()),
        // A key and KEYS together are a syntax error.
        Some(_) if !key.is_empty() && !options.is_lost() => Err(KeyError::None),
        _ => Ok(KEY..KEY + 1),
    }
}
