//! Writes a command from parts of the client's request, which are copied with their headers as they lie there.

use std::ops::Range;

use crate::resp::request::Request;
use crate::resp::write;

/// Copies the arguments of a range.
pub(super) fn copy(out: &mut Vec<u8>, request: &Request, args: Range<usize>) {
    let (Some(last), true) = (args.end.checked_sub(1), args.start < args.end) else {
        return;
    };
    out.extend_from_slice(
        request
            .bytes
            .get(end(request, args.start)..end(request, last + 1))
            .unwrap_or_default(),
    );
}

/// Position of the header of argument `index`, which is the end of the arguments before it.
fn end(request: &Request, index: usize) -> usize {
    match index.checked_sub(1) {
        Some(before) => request
            .args
            .get(before)
            .map_or(request.bytes.len(), |span| span.end as usize + 2),
        // The header of the request itself.
        None => request
            .bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1),
    }
}

/// An argument that is a number.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    write::bulk(out, itoa::Buffer::new().format(number).as_bytes());
}

/// The two arguments `PX` and a number.
pub(super) fn px(out: &mut Vec<u8>, milliseconds: u64) {
    out.extend_from_slice(b"$2\r\nPX\r\n");
    number(out, milliseconds);
}
