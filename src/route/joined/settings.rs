//! CONFIG GET where CONFIG SET reaches the nodes.

use super::map_like;
use crate::resp::{pairs_of, text_of, write};

/// Settings of the nodes that slotmux gives its own value of, or none: they are about data.
const OF_DATA: [&[u8]; 5] = [
    b"appendonly",
    b"maxmemory",
    b"maxmemory-policy",
    b"notify-keyspace-events",
    b"save",
];

/// Appends the settings: those of a client's connection are slotmux', the others those of the first node. Passwords are
/// told to nobody. Tells whether it is an error.
pub fn joined(own: &[u8], parts: &[Vec<u8>], out: &mut Vec<u8>) -> bool {
    // slotmux may have found too much in the request for anybody.
    let own_fails = own.first() == Some(&b'-');
    let failed = parts
        .iter()
        .map(Vec::as_slice)
        .find(|part| part.first() == Some(&b'-'));
    if let Some(error) = own_fails.then_some(own).or(failed) {
        out.extend_from_slice(error);
        return true;
    }
    let of_node = parts.first().and_then(|part| pairs_of(part));
    let (Some(ours), Some(theirs)) = (pairs_of(own), of_node) else {
        write::error(out, "ERR slotmux: the nodes' replies do not fit together");
        return true;
    };
    let is = |name: &[u8], other: &[u8]| {
        let (name, other) = (text_of(name), text_of(other));
        name.zip(other)
            .is_some_and(|(name, other)| name.eq_ignore_ascii_case(other))
    };
    let about_data = |name: &[u8]| {
        let name = text_of(name).unwrap_or_default();
        OF_DATA.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let mut settings: Vec<(&[u8], &[u8])> = ours;
    settings.retain(|(name, _)| !about_data(name));
    for (name, value) in theirs {
        let is_ours = settings.iter().any(|(ours, _)| is(ours, name));
        if !is_ours && !is_secret(text_of(name).unwrap_or_default()) {
            settings.push((name, value));
        }
    }
    map_like(own, settings.len(), out);
    for (name, value) in settings {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    false
}

/// `requirepass`, `masterauth`, `tls-key-file-pass` and their like.
fn is_secret(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    [&b"pass"[..], b"masterauth", b"primaryauth"]
        .iter()
        .any(|word| name.windows(word.len()).any(|part| part == *word))
}

#[cfg(test)]
mod tests {
    use super::super::{bytes, reply};
    use super::*;

    #[test]
    fn what_is_about_connections_is_ours() {
        let own = "{port 1 maxmemory 0 save x}";
        let node =
            "{port 7 Maxmemory 9 save 60 hz 10 requirepass p masterauth a tls-key-file-pass t}";
        for is_resp3 in [false, true] {
            let parts = [reply(node, is_resp3), reply("{hz 11}", is_resp3)];
            let parts = bytes(&parts.each_ref().map(String::as_str));
            let mut out = Vec::new();
            assert!(!joined(reply(own, is_resp3).as_bytes(), &parts, &mut out));
            let expected = reply("{port 1 Maxmemory 9 save 60 hz 10}", is_resp3);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn an_error_is_an_error() {
        for (own, parts, expected) in [
            ("-ERR own\r\n", ["*0\r\n", "*0\r\n"], "-ERR own\r\n"),
            ("*0\r\n", ["*0\r\n", "-ERR away\r\n"], "-ERR away\r\n"),
            (
                "*0\r\n",
                ["+OK\r\n", "*0\r\n"],
                "-ERR slotmux: the nodes' replies do not fit together\r\n",
            ),
        ] {
            let mut out = Vec::new();
            assert!(joined(own.as_bytes(), &bytes(&parts), &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
