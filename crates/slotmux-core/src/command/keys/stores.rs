//! The key that SORT or GEORADIUS writes: the argument of the last STORE or STOREDIST among the options.

use super::KeySpec;
use crate::c_string;
use crate::command::options::{
    BY, FoundOption, GET, OF_GEORADIUS, OF_SORT, OptionScan, STORE, STOREDIST,
};
use crate::resp::Span;

/// Index of SORT's first option.
const OF_SORT_FROM: usize = 2;

/// Calls `f` with the index of each key that this SORT or GEORADIUS may write.
///
/// At most one, as the last option counts. After an unknown word it may be the argument of any STORE.
pub fn for_each_destination(spec: &KeySpec, buf: &[u8], args: &[Span], mut f: impl FnMut(usize)) {
    let mut options = match *spec {
        KeySpec::Sort => OptionScan::new(OF_SORT, buf, args, OF_SORT_FROM),
        KeySpec::GeoStore { from } => OptionScan::new(OF_GEORADIUS, buf, args, usize::from(from)),
        _ => return,
    };
    let mut last = None;
    while let Some(FoundOption { at, word, .. }) = options.next() {
        if (word != STORE && word != STOREDIST) || at + 1 >= args.len() {
            continue;
        }
        if options.is_lost() {
            last.take().into_iter().for_each(&mut f);
            f(at + 1);
        } else {
            last = Some(at + 1);
        }
    }
    last.into_iter().for_each(f);
}

/// The second key from which nodes derive the slot of a SORT. Nodes parse the options differently for routing than for
/// execution: for routing the argument of STORE may be the next option. So a SORT may write a key in a slot that its
/// node does not own, unless both keys are in one slot.
pub(super) fn sort_destination_of_nodes(buf: &[u8], args: &[Span]) -> Option<usize> {
    let mut destination = None;
    let mut at = OF_SORT_FROM;
    while let Some(option) = args.get(at).map(|arg| arg.of(buf)) {
        if c_string::is(option, b"limit") {
            at += 2;
        } else if c_string::is(option, GET) || c_string::is(option, BY) {
            at += 1;
        } else if c_string::is(option, STORE) && at + 1 < args.len() {
            destination = Some(at + 1);
        }
        at += 1;
    }
    destination
}
