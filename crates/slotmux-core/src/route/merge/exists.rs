//! SCRIPT EXISTS: 1 for a script that EVALSHA will find, wherever its keys are.

use crate::resp::write;
use crate::route::merge::array_body;

/// Merges arrays of 0 and 1. A script exists if every node has it, or if one node has it and slotmux has `kept` it: EVAL
/// leaves it on one node only, and slotmux sends it to a node that lacks it. A text that is kept but on no node may not
/// be a script.
pub fn exist(parts: &[Vec<u8>], kept: &[bool], out: &mut Vec<u8>) -> Option<()> {
    let parts = parts.iter().map(|part| truths(part));
    let parts: Vec<Vec<bool>> = parts.collect::<Option<_>>()?;
    let count = parts.first()?.len();
    if parts.iter().any(|part| part.len() != count) {
        return None;
    }
    write::array(out, count);
    for element in 0..count {
        let mut told = parts.iter().map(|part| part[element]);
        let exists = if kept.get(element) == Some(&true) {
            told.any(|is_there| is_there)
        } else {
            told.all(|is_there| is_there)
        };
        write::integer(out, exists.into());
    }
    Some(())
}

/// The elements of an array of 0 and 1.
fn truths(reply: &[u8]) -> Option<Vec<bool>> {
    let (count, body) = array_body(reply)?;
    let elements = body.chunks(4).map(|element| match element {
        b":0\r\n" => Some(false),
        b":1\r\n" => Some(true),
        _ => None,
    });
    let truths: Vec<bool> = elements.collect::<Option<_>>()?;
    (i64::try_from(truths.len()) == Ok(count)).then_some(truths)
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    #[test]
    fn what_all_have_exists_and_what_one_has_if_slotmux_keeps_it() {
        let two = [
            "*4\r\n:1\r\n:1\r\n:0\r\n:0\r\n",
            "*4\r\n:0\r\n:1\r\n:1\r\n:0\r\n",
        ];
        for (kept, expected) in [
            (&[][..], "*4\r\n:0\r\n:1\r\n:0\r\n:0\r\n"),
            (&[true; 4], "*4\r\n:1\r\n:1\r\n:1\r\n:0\r\n"),
            (
                &[false, true, true, false],
                "*4\r\n:0\r\n:1\r\n:1\r\n:0\r\n",
            ),
        ] {
            let mut out = Vec::new();
            assert_eq!(exist(&bytes(&two), kept, &mut out), Some(()));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{kept:?}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_no_reply() {
        let one = "*2\r\n:0\r\n:1\r\n";
        for wrong in [
            "*1\r\n:1\r\n",
            "*2\r\n:1\r\n",
            "*2\r\n:1\r\n:2\r\n",
            "+OK\r\n",
            "-BUSY Redis is busy\r\n",
        ] {
            let mut out = Vec::new();
            let replies = bytes(&[one, wrong]);
            assert_eq!(exist(&replies, &[true; 2], &mut out), None, "{wrong:?}");
            assert_eq!(out, b"");
        }
    }
}
