//! Reports in prose, as LATENCY DOCTOR gives one: a text per node.

use std::fmt::Write;

use super::text_like;
use crate::resp::text_of;

/// Appends the texts of all nodes, each below its address; a single text if all are equal. Returns whether the reply is
/// an error, which it is if no node has a text.
pub fn merged(parts: &[Vec<u8>], nodes: &[String], out: &mut Vec<u8>) -> bool {
    let Some(like) = parts.iter().find(|part| text_of(part).is_some()) else {
        out.extend_from_slice(parts.first().map_or(&[][..], Vec::as_slice));
        return true;
    };
    if parts.iter().all(|part| part == like) {
        out.extend_from_slice(like);
        return false;
    }
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let node = nodes.get(at).map_or("node", String::as_str);
        // A part without a text is an error; its node is named too.
        let said = text_of(part).unwrap_or(part);
        let said = String::from_utf8_lossy(said);
        // Writing to a String never fails.
        let _ = write!(text, "# {node}\n{}\n", said.trim_end());
    }
    text_like(like, &text, out);
    false
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    #[test]
    fn a_text_per_node() {
        let nodes = ["a:1".to_owned(), "b:2".to_owned()];
        for (parts, expected, is_error) in [
            (["$2\r\nhi\r\n"; 2], "$2\r\nhi\r\n", false),
            (["=6\r\ntxt:hi\r\n"; 2], "=6\r\ntxt:hi\r\n", false),
            (
                ["$2\r\nhi\r\n", "$3\r\nho\n\r\n"],
                "$18\r\n# a:1\nhi\n# b:2\nho\n\r\n",
                false,
            ),
            (
                ["=6\r\ntxt:hi\r\n", "-ERR no\r\n"],
                "=27\r\ntxt:# a:1\nhi\n# b:2\n-ERR no\n\r\n",
                false,
            ),
            (["-ERR no\r\n", "-ERR away\r\n"], "-ERR no\r\n", true),
        ] {
            let mut out = Vec::new();
            assert_eq!(merged(&bytes(&parts), &nodes, &mut out), is_error);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
