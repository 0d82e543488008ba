//! The verdict on a request is the same whole and in pieces, and a complete request equals its arguments written again.

use slotmux_core::resp::{Boundary, Limits, Malformed, Scan, Span, inline, scan_request, write};

/// Limits that inputs of a few hundred bytes can reach.
const SMALL: Limits = Limits {
    max_request: 300,
    max_args: 12,
    max_bulk: 120,
    max_inline: 80,
};

/// The first byte chooses the limits, the rest is the input of a client.
pub fn check(data: &[u8]) {
    let Some((&choice, buf)) = data.split_first() else {
        return;
    };
    let limits = match choice % 3 {
        0 => Limits::default(),
        1 => SMALL,
        _ => Limits::UNAUTHENTICATED,
    };
    let mut rest = buf;
    // As a pipeline: each request that is found uncovers the next.
    while let Some(len) = check_one(rest, &limits) {
        rest = &rest[len..];
    }
}

/// Checks the request at the start of `buf` and returns its end, if it is complete.
fn check_one(buf: &[u8], limits: &Limits) -> Option<usize> {
    let mut args = Vec::new();
    let whole = scan_request(buf, limits, &mut args);
    for patient in [false, true] {
        let (cut, at) = byte_by_byte(buf, limits, patient);
        assert_eq!(cut, whole, "cut at every byte, patient: {patient}");
        // A scan of the deciding prefix gives the same verdict; a scan of a shorter prefix gives no verdict.
        assert_eq!(scan_request(&buf[..at], limits, &mut Vec::new()), whole);
        if !matches!(whole, Ok(Scan::Incomplete { .. })) {
            let before = scan_request(&buf[..at - 1], limits, &mut Vec::new());
            assert!(
                matches!(before, Ok(Scan::Incomplete { need }) if need <= at),
                "{before:?} before {at}"
            );
        }
    }
    match whole {
        Ok(Scan::Complete { len }) => {
            check_arguments(&buf[..len], &args, limits);
            Some(len)
        }
        Ok(Scan::Inline { len }) => {
            assert!(args.is_empty() && len <= limits.max_inline + 1 && buf[len - 1] == b'\n');
            check_inline(&buf[..len]);
            Some(len)
        }
        Ok(Scan::Incomplete { need }) => {
            assert!(args.is_empty() && need > buf.len());
            None
        }
        Err(malformed) => {
            assert!(args.is_empty());
            assert!(!malformed.to_string().is_empty());
            None
        }
    }
}

/// The verdict on a request that grows by one byte at a time, and the length at which it was reached. The patient
/// scanner waits until the buffer has the length that the last scan needed.
fn byte_by_byte(buf: &[u8], limits: &Limits, patient: bool) -> (Result<Scan, Malformed>, usize) {
    let (mut boundary, mut asked_for) = (Boundary::default(), 0);
    let mut last = Ok(Scan::Incomplete { need: 1 });
    for len in 0..=buf.len() {
        if patient && len < asked_for {
            continue;
        }
        last = boundary.advance(&buf[..len], limits);
        match last {
            Ok(Scan::Incomplete { need }) => {
                assert!(
                    need > len && need >= asked_for,
                    "need {need} of {len}, before {asked_for}"
                );
                asked_for = need;
            }
            _ => return (last, len),
        }
    }
    (last, buf.len())
}

/// Numbers have one spelling and lines one end, so the arguments written again are the same bytes.
fn check_arguments(request: &[u8], args: &[Span], limits: &Limits) {
    assert!(request.len() <= limits.max_request && args.len() <= limits.max_args);
    if args.is_empty() {
        return;
    }
    let slices: Vec<&[u8]> = args.iter().map(|span| span.of(request)).collect();
    assert!(slices.iter().all(|arg| arg.len() <= limits.max_bulk));
    let mut written = Vec::new();
    write::request(&mut written, &slices);
    assert_eq!(written, request);
}

/// The arguments of an inline request, written as a multibulk one, come back the same.
fn check_inline(line: &[u8]) {
    let Ok(args) = inline::split(line) else {
        return;
    };
    if args.is_empty() {
        return;
    }
    let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let mut written = Vec::new();
    write::request(&mut written, &slices);
    let mut spans = Vec::new();
    assert_eq!(
        scan_request(&written, &Limits::default(), &mut spans),
        Ok(Scan::Complete { len: written.len() })
    );
    assert!(spans.iter().map(|span| span.of(&written)).eq(slices));
}
