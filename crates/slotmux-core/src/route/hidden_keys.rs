//! Replies that list keys, without hidden ones: `unmatched = "reject"` hides the keys of no namespace. Pure functions;
//! without hidden keys none of them is called.

use crate::policy::Policies;
use crate::resp::reply::ReplyScanner;
use crate::resp::{text_of, write};

use super::merge::array_body;

/// The visible keys of the array `reply`. `None` if it is not an array of keys.
pub fn visible(reply: &[u8], policies: &Policies) -> Option<Vec<u8>> {
    let (count, mut rest) = array_body(reply)?;
    let (mut kept, mut keys) = (0, Vec::new());
    for _ in 0..count {
        let progress = ReplyScanner::default().advance(rest).ok()?;
        if !progress.done {
            return None;
        }
        let (element, after) = rest.split_at(progress.consumed);
        rest = after;
        if is_visible(element, policies) {
            kept += 1;
            keys.extend_from_slice(element);
        }
    }
    let mut out = Vec::with_capacity(keys.len() + 16);
    write::array(&mut out, kept);
    out.extend_from_slice(&keys);
    rest.is_empty().then_some(out)
}

/// Whether a reply that is one key may be shown. Nil is not a key, and may be shown.
pub fn is_visible(reply: &[u8], policies: &Policies) -> bool {
    match text_of(reply) {
        Some(key) => !policies.hides(key),
        None => reply.starts_with(b"$-") || reply.starts_with(b"_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, UnmatchedKeys};

    #[test]
    fn only_keys_that_may_be_seen_are_left() {
        let hiding = Policies::new(&Config {
            unmatched: UnmatchedKeys::Reject,
            ..Config::default()
        });
        let open = Policies::new(&Config::default());
        let two = b"*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n";
        assert_eq!(visible(two, &open).as_deref(), Some(&two[..]));
        assert_eq!(visible(two, &hiding).as_deref(), Some(&b"*0\r\n"[..]));
        for wrong in [
            &b"*2\r\n$1\r\na\r\n"[..],
            b"+OK\r\n",
            b"*0\r\n:1\r\n",
            b"*1\r\n$5\r\na",
        ] {
            assert_eq!(visible(wrong, &open), None, "{}", wrong.escape_ascii());
        }
        assert!(is_visible(b"$-1\r\n", &hiding) && is_visible(b"_\r\n", &hiding));
        assert!(is_visible(b"$1\r\na\r\n", &open) && !is_visible(b"$1\r\na\r\n", &hiding));
        assert!(!is_visible(b":1\r\n", &hiding), "no key that could be read");
    }
}
