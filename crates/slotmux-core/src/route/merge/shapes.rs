//! Shapes of replies: the body of an array, and headers that look like those of the nodes.

use crate::resp::{Protocol, number, write};

/// Number of elements of an array (or RESP3 set) reply, and their bytes.
pub fn array_body(reply: &[u8]) -> Option<(i64, &[u8])> {
    if !matches!(reply.first(), Some(b'*' | b'~')) {
        return None;
    }
    let end = reply.iter().position(|&byte| byte == b'\r')?;
    let count = number::parse_i64(&reply[1..end])?;
    Some((count.max(0), reply.get(end + 2..)?))
}

/// The header of a map that is to look like `like`: a map in RESP3, an array in RESP2.
pub(super) fn map_like(like: &[u8], pairs: usize, out: &mut Vec<u8>) {
    let is_map = like.first() == Some(&b'%');
    let protocol = if is_map {
        Protocol::Resp3
    } else {
        Protocol::Resp2
    };
    write::map(out, protocol, pairs);
}

/// A text in the form of `like`: verbatim or bulk.
pub(super) fn text_like(like: &[u8], text: &str, out: &mut Vec<u8>) {
    let is_verbatim = like.first() == Some(&b'=');
    let protocol = if is_verbatim {
        Protocol::Resp3
    } else {
        Protocol::Resp2
    };
    write::verbatim(out, protocol, "txt", text);
}

#[cfg(test)]
pub(super) fn bytes(parts: &[&str]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}

/// A reply as people write it: `{…}` map, `[…]` list, words, numbers, `,1.5` a double.
#[cfg(test)]
pub(super) fn reply(text: &str, is_resp3: bool) -> String {
    let text = text.replace('[', " [ ").replace(']', " ] ");
    let text = text.replace('{', " { ").replace('}', " } ");
    let mut open: Vec<(bool, usize, String)> = vec![(false, 0, String::new())];
    for word in text.split_whitespace() {
        let made = match word {
            "[" | "{" => {
                open.push((word == "{", 0, String::new()));
                continue;
            }
            "]" | "}" => {
                let (is_map, count, body) = open.pop().unwrap();
                match is_map && is_resp3 {
                    true => format!("%{}\r\n{body}", count / 2),
                    false => format!("*{count}\r\n{body}"),
                }
            }
            double if double.starts_with(',') => format!("{double}\r\n"),
            number if number.parse::<i64>().is_ok() => format!(":{number}\r\n"),
            word => format!("${}\r\n{word}\r\n", word.len()),
        };
        let (_, count, body) = open.last_mut().unwrap();
        *count += 1;
        body.push_str(&made);
    }
    open.pop().unwrap().2
}
