//! The parts of a reply that is whole, as bytes: for the few replies of several nodes that become one.

use super::ReplyScanner;
use super::number::parse_i64;

/// The elements of an array, set or map (key, value, key, …), each as it stands there. `None` for anything else, a null
/// array included, and for what is not whole.
pub fn elements_of(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let per_count = match reply.first() {
        Some(b'*' | b'~') => 1,
        Some(b'%') => 2,
        _ => return None,
    };
    let end = reply.iter().position(|&byte| byte == b'\r')?;
    let count = usize::try_from(parse_i64(&reply[1..end])?).ok()?;
    let mut rest = reply.get(end + 2..)?;
    let mut elements = Vec::new();
    for _ in 0..count.checked_mul(per_count)? {
        let progress = ReplyScanner::default().advance(rest).ok()?;
        if !progress.done {
            return None;
        }
        let (element, after) = rest.split_at(progress.consumed);
        elements.push(element);
        rest = after;
    }
    rest.is_empty().then_some(elements)
}

/// The keys and values of a map; in RESP2 it is an array.
pub fn pairs_of(reply: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let elements = elements_of(reply)?;
    let pairs = elements.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| (pair[0], pair[1])).collect())
}

/// The number in an integer reply.
pub fn integer_of(reply: &[u8]) -> Option<i64> {
    parse_i64(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?)
}

/// The bytes in a bulk, a verbatim string (without its format) or a status.
pub fn text_of(reply: &[u8]) -> Option<&[u8]> {
    let end = reply.iter().position(|&byte| byte == b'\r')?;
    let after_head = reply.get(end + 2..)?;
    match reply.first()? {
        b'+' => Some(&reply[1..end]),
        b'$' => after_head.strip_suffix(b"\r\n"),
        b'=' => after_head.strip_suffix(b"\r\n")?.get(4..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_as_they_stand() {
        for (reply, expected) in [
            ("*0\r\n", Some(vec![])),
            (
                "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
                Some(vec![":1\r\n", "*1\r\n$1\r\na\r\n"]),
            ),
            ("%1\r\n+k\r\n_\r\n", Some(vec!["+k\r\n", "_\r\n"])),
            ("~1\r\n:7\r\n", Some(vec![":7\r\n"])),
            ("*-1\r\n", None),
            ("*2\r\n:1\r\n", None),
            ("*1\r\n:1\r\n:2\r\n", None),
            ("*1", None),
            (":1\r\n", None),
            ("", None),
        ] {
            let elements = elements_of(reply.as_bytes());
            let expected = expected.map(|list| list.iter().map(|text| text.as_bytes()).collect());
            assert_eq!(elements, expected, "{reply:?}");
        }
        assert_eq!(pairs_of(b"*1\r\n:1\r\n"), None);
        let pair: (&[u8], &[u8]) = (b":1\r\n", b":2\r\n");
        assert_eq!(pairs_of(b"*2\r\n:1\r\n:2\r\n"), Some(vec![pair]));
    }

    #[test]
    fn texts_and_numbers() {
        for (reply, text) in [
            ("$3\r\na\r\n\r\n", Some("a\r\n")),
            ("$0\r\n\r\n", Some("")),
            ("=7\r\ntxt:abc\r\n", Some("abc")),
            ("+OK\r\n", Some("OK")),
            ("$-1\r\n", None),
            ("=2\r\nab\r\n", None),
            ("-ERR\r\n", None),
        ] {
            assert_eq!(
                text_of(reply.as_bytes()),
                text.map(str::as_bytes),
                "{reply:?}"
            );
        }
        assert_eq!(integer_of(b":-7\r\n"), Some(-7));
        assert_eq!(integer_of(b"$1\r\n7\r\n"), None);
    }
}
