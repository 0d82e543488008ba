//! Requests that the request scanner accepts and refuses, whole and cut at every byte.

use super::*;

const SMALL: Limits = Limits {
    max_request: 200,
    max_args: 20,
    max_bulk: 100,
    max_inline: 40,
};

fn scan(buf: &[u8], limits: &Limits) -> (Result<Scan, Malformed>, Vec<Vec<u8>>) {
    let mut spans = vec![Span { start: 9, end: 9 }];
    let scan = scan_request(buf, limits, &mut spans);
    (
        scan,
        spans.iter().map(|span| span.of(buf).to_vec()).collect(),
    )
}

/// The result of a request that grows byte by byte, asking only when `need` allows.
fn in_pieces(buf: &[u8], limits: &Limits) -> Result<Scan, Malformed> {
    let (mut boundary, mut need) = (Boundary::default(), 0);
    let mut last = Ok(Scan::Incomplete { need: 1 });
    for len in 0..=buf.len() {
        if len < need {
            continue;
        }
        last = boundary.advance(&buf[..len], limits);
        assert_eq!(
            last,
            scan(&buf[..len], limits).0,
            "{} of {}",
            len,
            buf.escape_ascii()
        );
        match last {
            Ok(Scan::Incomplete { need: more }) => {
                assert!(more > len, "need {more} of {len} in {}", buf.escape_ascii());
                need = more;
            }
            _ => return last,
        }
    }
    last
}

#[test]
fn finds_requests_and_their_arguments() {
    type Row = (&'static [u8], usize, &'static [&'static [u8]]);
    let table: &[Row] = &[
        (b"*1\r\n$4\r\nPING\r\n", 14, &[b"PING"]),
        (
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n",
            20,
            &[b"GET", b"k"],
        ),
        (b"*1\r\n$0\r\n\r\n", 10, &[b""]),
        (b"*1\r\n$4\r\n\r\n\r\n\r\n", 14, &[b"\r\n\r\n"]),
        (
            b"*1\r\n$12\r\n\0\xff$*\r\n01234\n\r\nrest",
            23,
            &[b"\0\xff$*\r\n01234\n"],
        ),
        (b"*0\r\nrest", 4, &[]),
        (b"*-1\r\nrest", 5, &[]),
        (b"*-9223372036854775808\r\n", 23, &[]),
        (b"\r\nPING\r\n", 2, &[]),
        (b"\nPING\r\n", 1, &[]),
    ];
    for (buf, len, args) in table {
        let (result, found) = scan(buf, &SMALL);
        assert_eq!(
            result,
            Ok(Scan::Complete { len: *len }),
            "{}",
            buf.escape_ascii()
        );
        assert_eq!(found, *args, "{}", buf.escape_ascii());
        assert_eq!(in_pieces(buf, &SMALL), result);
    }
}

#[test]
fn finds_inline_requests() {
    let table: [(&[u8], usize); 5] = [
        (b"PING\r\n", 6),
        (b"PING\nrest", 5),
        (b" \r\n", 3),
        (b"$3\r\n", 4),
        (b"set k \"a b\"\r\n", 13),
    ];
    for (buf, len) in table {
        let (result, args) = scan(buf, &SMALL);
        assert_eq!(result, Ok(Scan::Inline { len }), "{}", buf.escape_ascii());
        assert!(args.is_empty());
        assert_eq!(in_pieces(buf, &SMALL), result);
    }
}

#[test]
fn says_how_many_bytes_it_needs() {
    let table: [(&[u8], usize); 12] = [
        (b"", 1),
        (b"*", 2),
        (b"*2\r", 4),
        (b"*2\r\n", 5),
        (b"*2\r\n$3", 7),
        (b"*2\r\n$3\r\n", 13),
        (b"*2\r\n$3\r\nGET\r", 13),
        (b"*2\r\n$3\r\nGET\r\n", 14),
        (b"*2\r\n$3\r\nGET\r\n$100\r\n", 121),
        (b"PING", 5),
        (b"PING\r", 6),
        (b"\r", 2),
    ];
    for (buf, need) in table {
        let (result, args) = scan(buf, &SMALL);
        assert_eq!(
            result,
            Ok(Scan::Incomplete { need }),
            "{}",
            buf.escape_ascii()
        );
        assert!(args.is_empty(), "a part of a request has no arguments yet");
        assert_eq!(in_pieces(buf, &SMALL), result);
    }
}

#[test]
fn refuses_in_redis_words() {
    let long = [b'1'; 60];
    let with = |before: &[u8]| [before, &long].concat();
    let table: &[(&[u8], &str)] = &[
        (b"*a\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*00\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"* 1\r\n", "invalid multibulk length"),
        (b"*21\r\n", "invalid multibulk length"),
        (b"*3000000000\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$-10\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$blabla\r\n", "invalid bulk length"),
        (b"*1\r\n$02\r\n", "invalid bulk length"),
        (b"*1\r\n$101\r\n", "invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
        (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (
            b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n",
            "expected '$', got 'f'",
        ),
        (&with(b"*"), "too big mbulk count string"),
        (&with(b"*1\r\n$"), "too big bulk count string"),
        (&with(b""), "too big inline request"),
        (b"*1\r\n$4\r\nPINGxx", "expected CRLF"),
        (b"*1\r\n$4\r\nPING\r\r", "expected CRLF"),
        (b"*1\r\n$4\r\nPING\n\n", "expected CRLF"),
        (b"*1\rx$4\r\nPING\r\n", "expected CRLF"),
        (b"*1\r\n$4\rxPING\r\n", "expected CRLF"),
        (b"*3\r\n$100\r\n", "incomplete"),
    ];
    for (buf, text) in table {
        let (result, args) = scan(buf, &SMALL);
        match result {
            Err(malformed) => assert_eq!(malformed.to_string(), *text, "{}", buf.escape_ascii()),
            Ok(Scan::Incomplete { .. }) => {
                assert_eq!(*text, "incomplete", "{}", buf.escape_ascii())
            }
            Ok(other) => panic!("{other:?} for {}", buf.escape_ascii()),
        }
        assert!(args.is_empty());
        assert_eq!(in_pieces(buf, &SMALL), result, "{}", buf.escape_ascii());
    }
}

#[test]
fn a_line_at_its_limit_passes() {
    let line = [b'x'; 40];
    assert_eq!(
        in_pieces(&[&line[..], b"\n"].concat(), &SMALL),
        Ok(Scan::Inline { len: 41 })
    );
    assert_eq!(
        in_pieces(&[&line[..], b"x\n"].concat(), &SMALL),
        Err(Malformed::InlineTooLong)
    );
}

#[test]
fn a_request_at_its_limit_passes_and_one_byte_more_does_not() {
    let request =
        |last: usize| format!("*2\r\n$98\r\n{:98}\r\n${last}\r\n{:last$}\r\n", "", "").into_bytes();
    let whole = request(84);
    assert_eq!(whole.len(), 200);
    assert_eq!(in_pieces(&whole, &SMALL), Ok(Scan::Complete { len: 200 }));
    assert_eq!(
        in_pieces(&request(85), &SMALL),
        Err(Malformed::RequestTooBig)
    );
}

#[test]
fn a_client_that_has_not_authenticated_is_told_so() {
    let limits = Limits::UNAUTHENTICATED;
    let table: [(&[u8], Result<Scan, &str>); 8] = [
        (b"*10\r\n", Ok(Scan::Incomplete { need: 6 })),
        (b"*11\r\n", Err("unauthenticated multibulk length")),
        (b"*3000000000\r\n", Err("invalid multibulk length")),
        (
            b"*1\r\n$16384\r\n",
            Ok(Scan::Incomplete {
                need: 4 + 8 + 16_384 + 2,
            }),
        ),
        (b"*1\r\n$16385\r\n", Err("unauthenticated bulk length")),
        (b"*1\r\n$536870912\r\n", Err("unauthenticated bulk length")),
        (b"*1\r\n$536870913\r\n", Err("invalid bulk length")),
        (b"*1\r\n$-5\r\n", Err("invalid bulk length")),
    ];
    for (buf, expected) in table {
        let result = scan(buf, &limits)
            .0
            .map_err(|malformed| malformed.to_string());
        assert_eq!(
            result,
            expected.map_err(str::to_owned),
            "{}",
            buf.escape_ascii()
        );
    }
}

#[test]
fn a_pipeline_is_walked_request_by_request() {
    let pipeline =
        b"*1\r\n$4\r\nPING\r\n\r\nPING\r\n*0\r\n*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
    let (mut at, mut lengths) = (0, Vec::new());
    while at < pipeline.len() {
        match scan(&pipeline[at..], &SMALL).0.unwrap() {
            Scan::Complete { len } | Scan::Inline { len } => {
                lengths.push(len);
                at += len;
            }
            Scan::Incomplete { need } => panic!("{need} at {at}"),
        }
    }
    assert_eq!(lengths, [14, 2, 6, 4, 30]);
}

#[test]
fn announced_lengths_cost_nothing() {
    let wide = Limits {
        max_request: usize::MAX,
        max_args: usize::MAX,
        max_bulk: usize::MAX,
        max_inline: usize::MAX,
    };
    assert!(matches!(
        scan(b"*2147483647\r\n", &wide).0,
        Ok(Scan::Incomplete { need: 14 })
    ));
    assert_eq!(
        scan(b"*1\r\n$9223372036854775807\r\n", &wide).0,
        Err(Malformed::RequestTooBig)
    );
    assert_eq!(
        scan(b"*1\r\n$4294967295\r\n", &wide).0,
        Err(Malformed::RequestTooBig)
    );
    assert!(matches!(
        scan(b"*1\r\n$4294967270\r\n", &wide).0,
        Ok(Scan::Incomplete { .. })
    ));
    assert!(size_of::<Boundary>() <= 24);
}
