//! Scripts on one node of many: FUNCTION STATS, FUNCTION KILL, SCRIPT KILL for one that runs too long, and SCRIPT SHOW.

use crate::resp::elements_of;

/// Appends the OK of a node that had something to stop.
pub fn any_ok(parts: &[Vec<u8>], out: &mut Vec<u8>) -> bool {
    one_of(parts, |part| part.starts_with(b"+"), out)
}

/// Appends the reply of the node on which a function runs.
pub fn running(parts: &[Vec<u8>], out: &mut Vec<u8>) -> bool {
    one_of(parts, function_runs, out)
}

/// Appends the script of a node that has it.
pub fn shown(parts: &[Vec<u8>], out: &mut Vec<u8>) -> bool {
    one_of(parts, |part| !part.starts_with(b"-"), out)
}

/// Appends the first part that `is_it`; else the error that matters most, if there is one, or else the first part.
/// Tells whether it is an error.
fn one_of(parts: &[Vec<u8>], is_it: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> bool {
    // Errors of nodes without a script to stop or show count less than other errors.
    let idle = |part: &[u8]| part.starts_with(b"-NOTBUSY") || part.starts_with(b"-NOSCRIPT");
    let mut all = parts.iter().map(Vec::as_slice);
    let found = all
        .clone()
        .find(|part| is_it(part))
        .or_else(|| {
            all.clone()
                .find(|part| part.starts_with(b"-") && !idle(part))
        })
        .or_else(|| all.next());
    out.extend_from_slice(found.unwrap_or_default());
    found.is_none_or(|part| part.starts_with(b"-"))
}

/// Whether a reply to FUNCTION STATS reports a running script.
fn function_runs(reply: &[u8]) -> bool {
    let fields = elements_of(reply).unwrap_or_default();
    let is_told =
        |field: &&[u8]| matches!(field.first(), Some(b'*' | b'%')) && *field != b"*-1\r\n";
    fields.get(1).is_some_and(is_told)
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    const IDLE: &str = "-NOTBUSY No scripts in execution right now.\r\n";
    const STUBBORN: &str = "-UNKILLABLE it wrote\r\n";

    #[test]
    fn one_node_is_enough() {
        for (parts, expected) in [
            ([IDLE, "+OK\r\n", "-ERR away\r\n"], "+OK\r\n"),
            ([IDLE, STUBBORN, IDLE], STUBBORN),
            ([IDLE, IDLE, "-ERR away\r\n"], "-ERR away\r\n"),
            ([IDLE; 3], IDLE),
        ] {
            let mut out = Vec::new();
            assert_eq!(any_ok(&bytes(&parts), &mut out), expected.starts_with('-'));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn the_script_of_one_node_is_shown() {
        let (absent, script) = ("-NOSCRIPT No matching script.\r\n", "$8\r\nreturn 1\r\n");
        for (parts, expected) in [
            ([absent, script, absent], script),
            ([absent; 3], absent),
            ([absent, "-ERR away\r\n", absent], "-ERR away\r\n"),
            (["-ERR away\r\n", absent, script], script),
        ] {
            let mut out = Vec::new();
            assert_eq!(shown(&bytes(&parts), &mut out), expected.starts_with('-'));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn the_reply_of_the_node_that_runs_one_is_used() {
        for (idle, busy) in [
            (
                "*4\r\n+a\r\n$-1\r\n+b\r\n*0\r\n",
                "*4\r\n+a\r\n*1\r\n:1\r\n+b\r\n*0\r\n",
            ),
            (
                "%2\r\n+a\r\n_\r\n+b\r\n%0\r\n",
                "%2\r\n+a\r\n%1\r\n:1\r\n:2\r\n+b\r\n%0\r\n",
            ),
        ] {
            for (parts, expected) in [
                ([idle, busy], busy),
                ([idle, idle], idle),
                (["-ERR away\r\n", busy], busy),
                ([idle, "-ERR away\r\n"], "-ERR away\r\n"),
            ] {
                let mut out = Vec::new();
                assert_eq!(running(&bytes(&parts), &mut out), expected.starts_with('-'));
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }
}
