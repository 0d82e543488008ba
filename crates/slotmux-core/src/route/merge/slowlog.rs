//! SLOWLOG GET over several nodes.

use std::cmp::Reverse;

use crate::resp::{elements_of, integer_of, write};

/// The newest entries of all, at most `most`, the newest first. Each is as its node has it: the number in front is that
/// node's.
pub fn newest(parts: &[Vec<u8>], most: u32, out: &mut Vec<u8>) -> Option<()> {
    let mut entries = Vec::new();
    for part in parts {
        for entry in elements_of(part)? {
            let time = integer_of(elements_of(entry)?.get(1)?)?;
            entries.push((Reverse(time), entry));
        }
    }
    // A stable sort: what one node has in the same second stays in its order.
    entries.sort_by_key(|(time, _)| *time);
    entries.truncate(most as usize);
    write::array(out, entries.len());
    for (_, entry) in entries {
        out.extend_from_slice(entry);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    #[test]
    fn the_newest_of_all_come_first() {
        let entry = |id: u32, time: u32| format!("*3\r\n:{id}\r\n:{time}\r\n:5\r\n");
        let first = format!("*2\r\n{}{}", entry(9, 50), entry(8, 10));
        let second = format!("*3\r\n{}{}{}", entry(3, 60), entry(2, 50), entry(1, 50));
        let parts = bytes(&[&first, &second, "*0\r\n"]);
        for (most, expected) in [
            (0, vec![]),
            (2, vec![(3, 60), (9, 50)]),
            (u32::MAX, vec![(3, 60), (9, 50), (2, 50), (1, 50), (8, 10)]),
        ] {
            let mut out = Vec::new();
            assert_eq!(newest(&parts, most, &mut out), Some(()));
            let entries: String = expected.iter().map(|&(id, time)| entry(id, time)).collect();
            let expected = format!("*{}\r\n{entries}", expected.len());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for wrong in ["+OK\r\n", "*1\r\n:1\r\n", "*1\r\n*1\r\n:1\r\n"] {
            assert_eq!(
                newest(&bytes(&[wrong]), 9, &mut Vec::new()),
                None,
                "{wrong:?}"
            );
        }
    }
}
