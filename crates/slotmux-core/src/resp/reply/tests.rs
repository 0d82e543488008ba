//! Replies that the reply scanner accepts and refuses, whole and cut at every byte.

use super::*;

/// Feeds `reply` in pieces of `size` bytes, keeping the remainder, as a lane does.
fn in_pieces(reply: &[u8], size: usize) -> Result<(usize, u8), Malformed> {
    let mut scanner = ReplyScanner::default();
    let (mut from, mut to) = (0, 0);
    loop {
        let progress = scanner.advance(&reply[from..to])?;
        from += progress.consumed;
        assert!(from <= to);
        if progress.done {
            assert!(scanner.is_idle());
            assert_eq!(scanner.known_remaining(), 0);
            return Ok((from, scanner.kind()));
        }
        assert!(to - from < MAX_HEADER, "{} bytes left", to - from);
        assert!(
            scanner.known_remaining() == 0 || from == to,
            "payload was left"
        );
        if to == reply.len() {
            return Ok((usize::MAX, scanner.kind()));
        }
        to = (to + size).min(reply.len());
    }
}

fn in_all_pieces(reply: &[u8]) -> Result<(usize, u8), Malformed> {
    let whole = in_pieces(reply, reply.len().max(1));
    for size in 1..reply.len() {
        assert_eq!(
            in_pieces(reply, size),
            whole,
            "pieces of {size} of {}",
            reply.escape_ascii()
        );
    }
    whole
}

#[test]
fn finds_the_end_of_every_type() {
    let table: &[&[u8]] = &[
        b"+OK\r\n",
        b"+\r\n",
        b"+PONG\r\n",
        b"+a lone \r and a lone \n pass\r\r\n",
        b"-ERR unknown command 'x'\r\n",
        b":0\r\n",
        b":-9223372036854775808\r\n",
        b":+7\r\n",
        b"$0\r\n\r\n",
        b"$1\r\na\r\n",
        b"$12\r\n0123456\r\n0\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*3\r\n$-1\r\n*2\r\n:1\r\n*0\r\n+x\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n-ERR\r\n",
        b"_\r\n",
        b"#t\r\n",
        b"#f\r\n",
        b",1.5\r\n",
        b",-inf\r\n",
        b"(3492890328409238509324850943850943825024385\r\n",
        b"!5\r\nERR x\r\n",
        b"=6\r\ntxt:hi\r\n",
        b"~2\r\n+a\r\n+b\r\n",
        b"%0\r\n",
        b"%2\r\n+a\r\n:1\r\n*1\r\n+k\r\n%1\r\n+c\r\n_\r\n",
        b">3\r\n+message\r\n$1\r\nc\r\n$5\r\nhello\r\n",
        b"%1\r\n|1\r\n+ttl\r\n:3\r\n$1\r\nk\r\n|1\r\n+a\r\n+b\r\n|0\r\n$1\r\nv\r\n",
    ];
    for reply in table {
        let followed = [reply, &b"+next\r\n"[..]].concat();
        let found = in_all_pieces(&followed).unwrap();
        assert_eq!(found, (reply.len(), reply[0]), "{}", reply.escape_ascii());
        assert_eq!(
            in_all_pieces(&reply[..reply.len() - 1]).unwrap().0,
            usize::MAX,
            "{}",
            reply.escape_ascii()
        );
    }
}

#[test]
fn finds_the_end_whatever_a_long_header_or_bulk_is_cut_into() {
    for length in [9usize, 10, 99, 100, 998, 999, 1000, 1001, 70_000] {
        let reply = [
            format!("*2\r\n${length}\r\n").as_bytes(),
            &vec![b'\r'; length],
            b"\r\n:1\r\n",
        ]
        .concat();
        for size in [1, 2, 3, 7, 1000, 4096, reply.len()] {
            assert_eq!(
                in_pieces(&reply, size),
                Ok((reply.len(), b'*')),
                "{length} in pieces of {size}"
            );
        }
    }
}

#[test]
fn the_kind_behind_attributes_is_the_replys_own() {
    let table: [(&[u8], u8); 5] = [
        (b"|1\r\n+key\r\n*1\r\n+v\r\n-ERR\r\n", b'-'),
        (b"|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n>1\r\n+x\r\n", b'>'),
        (b"|0\r\n$1\r\na\r\n", b'$'),
        (b"|1\r\n$1\r\na\r\n$1\r\nb\r\n:1\r\n", b':'),
        (b"|1\r\n+a\r\n+b\r\n*2\r\n+x\r\n-y\r\n", b'*'),
    ];
    for (reply, kind) in table {
        assert_eq!(
            in_all_pieces(reply),
            Ok((reply.len(), kind)),
            "{}",
            reply.escape_ascii()
        );
    }
}

#[test]
fn refuses_what_is_no_reply() {
    let long = [&b":"[..], &[b'1'; 80]].concat();
    let table: &[(&[u8], Malformed)] = &[
        (b"PONG\r\n", Malformed::ReplyType(b'P')),
        (b"\r\n", Malformed::ReplyType(b'\r')),
        (b"*1\r\nx", Malformed::ReplyType(b'x')),
        (b"$1\r\nab\r\n", Malformed::Terminator),
        (b"$1\r\na\rb", Malformed::Terminator),
        (b"$5\rx", Malformed::Terminator),
        (b"$-2\r\n", Malformed::ReplyHeader),
        (b"$01\r\n", Malformed::ReplyHeader),
        (b"$\r\n", Malformed::ReplyHeader),
        (b"*-2\r\n", Malformed::ReplyHeader),
        (b"*+1\r\n", Malformed::ReplyHeader),
        (b"%-1\r\n", Malformed::ReplyHeader),
        (b"~-1\r\n", Malformed::ReplyHeader),
        (b">-1\r\n", Malformed::ReplyHeader),
        (b"!-1\r\n", Malformed::ReplyHeader),
        (b":\r\n", Malformed::ReplyHeader),
        (b":1x\r\n", Malformed::ReplyHeader),
        (b":-\r\n", Malformed::ReplyHeader),
        (b"#x\r\n", Malformed::ReplyHeader),
        (b"_1\r\n", Malformed::ReplyHeader),
        (b"$?\r\n", Malformed::ReplyHeader),
        (b"*?\r\n", Malformed::ReplyHeader),
        (b";1\r\n", Malformed::ReplyType(b';')),
        (b".\r\n", Malformed::ReplyType(b'.')),
        (&long, Malformed::ReplyHeader),
        (b"*99999999999999999999\r\n", Malformed::ReplyHeader),
        (b"*4294967296\r\n", Malformed::ReplyElements),
        (b"*9223372036854775807\r\n", Malformed::ReplyElements),
        (
            b"*2\r\n%9223372036854775807\r\n*2\r\n",
            Malformed::ReplyElements,
        ),
        (
            b"|9223372036854775807\r\n|9223372036854775807\r\n",
            Malformed::ReplyElements,
        ),
    ];
    for (reply, malformed) in table {
        assert_eq!(
            in_all_pieces(reply),
            Err(*malformed),
            "{}",
            reply.escape_ascii()
        );
    }
}

#[test]
fn returns_the_missing_length_of_a_big_value() {
    let mut scanner = ReplyScanner::default();
    assert_eq!(
        scanner.advance(b"$100000\r").unwrap(),
        Progress {
            consumed: 0,
            done: false
        }
    );
    assert!(scanner.is_idle());
    assert_eq!(
        scanner.advance(b"$100000\r\n").unwrap(),
        Progress {
            consumed: 9,
            done: false
        }
    );
    assert_eq!(scanner.known_remaining(), 100_002);
    assert!(!scanner.is_idle());
    assert_eq!(
        scanner.advance(&[b'x'; 40_000]).unwrap(),
        Progress {
            consumed: 40_000,
            done: false
        }
    );
    assert_eq!(scanner.known_remaining(), 60_002);
    let rest = [&[b'x'; 60_000][..], b"\r\n+OK\r\n"].concat();
    assert_eq!(
        scanner.advance(&rest).unwrap(),
        Progress {
            consumed: 60_002,
            done: true
        }
    );
    assert_eq!(
        scanner.advance(&rest[60_002..]).unwrap(),
        Progress {
            consumed: 5,
            done: true
        }
    );
    assert_eq!(scanner.kind(), b'+');
}

#[test]
fn depth_costs_nothing() {
    let bomb = b"*1\r\n%1\r\n+k\r\n".repeat(200_000);
    let mut scanner = ReplyScanner::default();
    assert_eq!(
        scanner.advance(&bomb).unwrap(),
        Progress {
            consumed: bomb.len(),
            done: false
        }
    );
    assert_eq!(
        scanner.advance(b":1\r\n").unwrap(),
        Progress {
            consumed: 4,
            done: true
        }
    );
    assert!(size_of::<ReplyScanner>() <= 24);
}
