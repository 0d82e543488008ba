//! Writes RESP to the end of a `Vec<u8>`: the replies that slotmux gives itself, and its own requests.
//!
//! Where a type exists in RESP3 only, the RESP2 form is the one that Redis sends to a RESP2 client.

use super::Protocol;

/// A status such as `OK`. CR and LF in it become spaces.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    out.push(b'+');
    line(out, text);
}

/// An error: code and text, without the `-`. CR and LF in it become spaces.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.push(b'-');
    line(out, text);
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A binary-safe string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The null that stands for a missing string.
pub fn null(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// The null that stands for a missing array.
pub fn null_array(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// The header of an array; `elements` replies must follow.
pub fn array(out: &mut Vec<u8>, elements: usize) {
    header(out, b'*', elements);
}

/// The header of a map; twice `pairs` replies must follow.
pub fn map(out: &mut Vec<u8>, protocol: Protocol, pairs: usize) {
    match protocol {
        Protocol::Resp2 => header(out, b'*', pairs.saturating_mul(2)),
        Protocol::Resp3 => header(out, b'%', pairs),
    }
}

/// The header of a set; `elements` replies must follow.
pub fn set(out: &mut Vec<u8>, protocol: Protocol, elements: usize) {
    header(
        out,
        if protocol == Protocol::Resp3 {
            b'~'
        } else {
            b'*'
        },
        elements,
    );
}

/// The header of a push; `elements` replies must follow.
pub fn push(out: &mut Vec<u8>, protocol: Protocol, elements: usize) {
    header(
        out,
        if protocol == Protocol::Resp3 {
            b'>'
        } else {
            b'*'
        },
        elements,
    );
}

/// A double in its shortest exact spelling (`inf`, `-inf`, `nan` as Redis writes them).
pub fn double(out: &mut Vec<u8>, protocol: Protocol, value: f64) {
    let text = if value.is_nan() {
        "nan".to_owned()
    } else {
        value.to_string()
    };
    match protocol {
        Protocol::Resp2 => bulk(out, text.as_bytes()),
        Protocol::Resp3 => {
            out.push(b',');
            line(out, &text);
        }
    }
}

/// A truth value; an integer in RESP2.
pub fn boolean(out: &mut Vec<u8>, protocol: Protocol, value: bool) {
    out.extend_from_slice(match (protocol, value) {
        (Protocol::Resp2, false) => b":0\r\n",
        (Protocol::Resp2, true) => b":1\r\n",
        (Protocol::Resp3, false) => b"#f\r\n",
        (Protocol::Resp3, true) => b"#t\r\n",
    });
}

/// Text with a format of three letters, such as `txt`; a plain bulk in RESP2.
pub fn verbatim(out: &mut Vec<u8>, protocol: Protocol, format: &str, text: &str) {
    debug_assert_eq!(
        format.len(),
        3,
        "RESP3 fixes the length of a verbatim string's format"
    );
    match protocol {
        Protocol::Resp2 => bulk(out, text.as_bytes()),
        Protocol::Resp3 => {
            header(out, b'=', format.len() + 1 + text.len());
            out.extend_from_slice(format.as_bytes());
            out.push(b':');
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A whole command as a node reads it.
pub fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    header(out, b'*', args.len());
    for arg in args {
        bulk(out, arg);
    }
}

fn header(out: &mut Vec<u8>, kind: u8, count: usize) {
    // Most counts have one digit.
    if let Some(digit) = u8::try_from(count).ok().filter(|&digit| digit < 10) {
        return out.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']);
    }
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            byte
        }
    }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ReplyScanner;

    type Write = fn(&mut Vec<u8>, Protocol);

    #[test]
    fn each_type_in_both_protocols() {
        let table: &[(Write, &str, &str)] = &[
            (|o, _| simple(o, "OK"), "+OK\r\n", "+OK\r\n"),
            (
                |o, _| error(o, "ERR a\r\nb"),
                "-ERR a  b\r\n",
                "-ERR a  b\r\n",
            ),
            (
                |o, _| integer(o, i64::MIN),
                ":-9223372036854775808\r\n",
                ":-9223372036854775808\r\n",
            ),
            (
                |o, _| bulk(o, b"a\r\n"),
                "$3\r\na\r\n\r\n",
                "$3\r\na\r\n\r\n",
            ),
            (|o, _| bulk(o, b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (null, "$-1\r\n", "_\r\n"),
            (null_array, "*-1\r\n", "_\r\n"),
            (|o, _| array(o, 0), "*0\r\n", "*0\r\n"),
            (|o, p| map(o, p, 0), "*0\r\n", "%0\r\n"),
            (|o, p| set(o, p, 0), "*0\r\n", "~0\r\n"),
            (|o, p| push(o, p, 0), "*0\r\n", ">0\r\n"),
            (|o, p| double(o, p, 1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|o, p| double(o, p, 3.0), "$1\r\n3\r\n", ",3\r\n"),
            (
                |o, p| double(o, p, f64::NEG_INFINITY),
                "$4\r\n-inf\r\n",
                ",-inf\r\n",
            ),
            (|o, p| double(o, p, f64::NAN), "$3\r\nnan\r\n", ",nan\r\n"),
            (|o, p| boolean(o, p, true), ":1\r\n", "#t\r\n"),
            (|o, p| boolean(o, p, false), ":0\r\n", "#f\r\n"),
            (
                |o, p| verbatim(o, p, "txt", "hi"),
                "$2\r\nhi\r\n",
                "=6\r\ntxt:hi\r\n",
            ),
            (
                |o, _| request(o, &[b"GET", b"k"]),
                "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
                "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            ),
        ];
        for (write, resp2, resp3) in table {
            for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
                let mut out = b"before".to_vec();
                write(&mut out, protocol);
                assert_eq!(&out[6..], expected.as_bytes(), "{}", out.escape_ascii());
                let progress = ReplyScanner::default().advance(&out[6..]).unwrap();
                assert_eq!((progress.consumed, progress.done), (expected.len(), true));
            }
        }
    }

    #[test]
    fn a_map_holds_pairs() {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut out = Vec::new();
            map(&mut out, protocol, 2);
            for n in 0..4 {
                integer(&mut out, n);
            }
            let progress = ReplyScanner::default().advance(&out).unwrap();
            assert_eq!((progress.consumed, progress.done), (out.len(), true));
        }
    }
}
