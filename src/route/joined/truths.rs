//! SCRIPT EXISTS: arrays of 0 and 1.

use super::super::gather::{UNLIKE, array_body};
use crate::resp::write;

/// Appends one array: 1 where all nodes say 1, and where one does of a script that slotmux keeps for the others. Tells
/// whether it is an error.
pub fn joined(parts: &[Vec<u8>], kept: &[bool], out: &mut Vec<u8>) -> bool {
    if let Some(failed) = parts.iter().find(|part| part.starts_with(b"-")) {
        out.extend_from_slice(failed);
        return true;
    }
    let is_unlike = all_true(parts, kept, out).is_none();
    if is_unlike {
        write::error(out, UNLIKE);
    }
    is_unlike
}

/// One array of 0 and 1 out of several: 1 where every one of them says 1, or one and it is kept.
fn all_true(parts: &[Vec<u8>], kept: &[bool], out: &mut Vec<u8>) -> Option<()> {
    let parts = parts.iter().map(|part| truths(part));
    let parts: Vec<Vec<bool>> = parts.collect::<Option<_>>()?;
    let count = parts.first()?.len();
    if parts.iter().any(|part| part.len() != count) {
        return None;
    }
    write::array(out, count);
    for element in 0..count {
        let mut said = parts.iter().map(|part| part[element]);
        let is_true = match kept.get(element) {
            Some(true) => said.any(|yes| yes),
            _ => said.all(|yes| yes),
        };
        write::integer(out, is_true.into());
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
    fn only_what_all_say_is_true() {
        let two = ["*2\r\n:1\r\n:1\r\n", "*2\r\n:0\r\n:1\r\n"];
        let mut out = Vec::new();
        assert_eq!(all_true(&bytes(&two), &[], &mut out), Some(()));
        assert_eq!(out, b"*2\r\n:0\r\n:1\r\n");
        let kept = [true, true];
        let none = "*2\r\n:0\r\n:0\r\n";
        for (parts, both) in [([two[1], none], ":0\r\n:1\r\n"), (two, ":1\r\n:1\r\n")] {
            out.clear();
            assert!(!joined(&bytes(&parts), &kept, &mut out));
            assert_eq!(out, format!("*2\r\n{both}").as_bytes());
        }
        for wrong in [
            "*1\r\n:1\r\n",
            "*2\r\n:1\r\n",
            "*2\r\n:1\r\n:2\r\n",
            "+OK\r\n",
        ] {
            assert_eq!(
                all_true(&bytes(&[two[0], wrong]), &[], &mut Vec::new()),
                None,
                "{wrong:?}"
            );
        }
    }
}
