//! Finds where a client's request ends and where its arguments lie. Copies nothing and keeps nothing but positions.
//!
//! It accepts what Redis 7.0 accepts and refuses in Redis' words, with one intended difference: a line or a bulk
//! that does not end in CRLF is refused, where Redis skips two bytes unseen.

use super::number::{parse_i64, short_number};
use super::{Limits, Malformed, Span};

/// The contents at the start of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// A whole request of `len` bytes. Without arguments (`*0`, `*-1`, an empty line) there is nothing to do or answer.
    Complete {
        /// Bytes of the request.
        len: usize,
    },
    /// A whole inline request. Its arguments may hold quotes and escapes, which no span can express:
    /// [`super::inline::split`] reads them from the first `len` bytes. It may find a blank line: no arguments.
    Inline {
        /// Bytes of the line with its line end.
        len: usize,
    },
    /// A part of a request.
    Incomplete {
        /// The buffer's length below which another try finds neither an end nor an error. Always above the length
        /// that was scanned; as announced by the client, so nothing to allocate by.
        need: usize,
    },
}

/// Scans one request at the start of `buf`. `args` is cleared and then filled if the request is [`Scan::Complete`].
///
/// # Errors
/// [`Malformed`], as soon as the bytes that are there prove it.
#[inline]
pub fn scan_request(buf: &[u8], limits: &Limits, args: &mut Vec<Span>) -> Result<Scan, Malformed> {
    args.clear();
    let scan = Boundary::default().walk(buf, limits, |span| args.push(span));
    if !matches!(scan, Ok(Scan::Complete { .. })) {
        args.clear();
    }
    scan
}

/// Resumable search for the end of a request that arrives in pieces: each byte is looked at once, however it is cut.
#[derive(Default, Clone, Copy, Debug)]
pub struct Boundary {
    /// Start of the next header line, or of the header of an incomplete bulk.
    pos: usize,
    /// Bytes after `pos` that hold no end of that line.
    searched: u32,
    /// Arguments to come; 0 before the request's own header.
    left: u32,
}

impl Boundary {
    /// Continues in `buf`, which is the request from its first byte, grown since the last call.
    /// Once it has found the end (or an error), it stands at the start of the next request.
    ///
    /// # Errors
    /// Exactly those of [`scan_request`].
    pub fn advance(&mut self, buf: &[u8], limits: &Limits) -> Result<Scan, Malformed> {
        let mut at = *self;
        let scan = at.walk(buf, limits, |_| {});
        *self = if matches!(scan, Ok(Scan::Incomplete { .. })) {
            at
        } else {
            Boundary::default()
        };
        scan
    }

    /// The one walk over a request, so that a whole one and one in pieces cannot be judged differently.
    #[inline(always)]
    fn walk(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        mut argument: impl FnMut(Span),
    ) -> Result<Scan, Malformed> {
        let max_request = limits.max_request.min(u32::MAX as usize);
        let (mut pos, mut left) = (self.pos, self.left);
        if left == 0 {
            match buf.first() {
                Some(b'*') => {}
                Some(_) => return self.inline_line(buf, limits),
                None => return Ok(Scan::Incomplete { need: 1 }),
            }
            let (count, header) = match short_number(buf) {
                Some((count, header)) if count <= limits.max_args => (count as u32, header),
                _ => match self.count_line(buf, limits)? {
                    HeaderLine::Number(count, header) => (count as u32, header),
                    HeaderLine::Partial { need } => return Ok(Scan::Incomplete { need }),
                },
            };
            pos = header;
            left = count;
            if pos > max_request {
                return Err(Malformed::RequestTooBig);
            }
        }
        while left > 0 {
            let rest = buf.get(pos..).unwrap_or_default();
            let (length, header) = match short_number(rest) {
                Some((length, header)) if rest[0] == b'$' && length <= limits.max_bulk => {
                    (length, header)
                }
                _ => match self.bulk_line(rest, pos, left, limits)? {
                    HeaderLine::Number(length, header) => (length, header),
                    HeaderLine::Partial { need } => {
                        return Ok(Scan::Incomplete { need: pos + need });
                    }
                },
            };
            let start = pos + header;
            let end = start.saturating_add(length);
            let next = end.saturating_add(2);
            if next > max_request {
                return Err(Malformed::RequestTooBig);
            }
            match buf.get(end..next) {
                Some(b"\r\n") => {}
                Some(_) => return Err(Malformed::Terminator),
                None => {
                    *self = Boundary {
                        pos,
                        searched: 0,
                        left,
                    };
                    return Ok(Scan::Incomplete { need: next });
                }
            }
            argument(Span {
                start: start as u32,
                end: end as u32,
            });
            pos = next;
            left -= 1;
        }
        Ok(Scan::Complete { len: pos })
    }

    /// The `*` line of any length.
    #[cold]
    #[inline(never)]
    fn count_line(&mut self, buf: &[u8], limits: &Limits) -> Result<HeaderLine, Malformed> {
        let (text, header) = match self.line(buf, limits) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Ok(HeaderLine::Partial {
                    need: buf.len() + 1,
                });
            }
            Err(NoEnd::TooLong) => return Err(Malformed::CountTooLong),
            Err(NoEnd::NotCrLf) => return Err(Malformed::Terminator),
        };
        let count = parse_i64(text)
            .filter(|&count| count <= i64::from(i32::MAX))
            .ok_or(Malformed::MultibulkLength)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count <= limits.max_args {
            return Ok(HeaderLine::Number(count, header));
        }
        Err(match limits.max_args {
            Limits::UNAUTHENTICATED_ARGS => Malformed::UnauthenticatedMultibulkLength,
            _ => Malformed::MultibulkLength,
        })
    }

    /// A `$` line of any length, at the start of `rest`, which is `buf` from `pos` on.
    #[cold]
    #[inline(never)]
    fn bulk_line(
        &mut self,
        rest: &[u8],
        pos: usize,
        left: u32,
        limits: &Limits,
    ) -> Result<HeaderLine, Malformed> {
        // Another line than the one that was searched last.
        if self.left != left {
            *self = Boundary {
                pos,
                searched: 0,
                left,
            };
        }
        let (text, header) = match self.line(rest, limits) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Ok(HeaderLine::Partial {
                    need: rest.len() + 1,
                });
            }
            Err(NoEnd::TooLong) => return Err(Malformed::BulkCountTooLong),
            Err(NoEnd::NotCrLf) => return Err(Malformed::Terminator),
        };
        match rest.first() {
            Some(b'$') => {}
            other => return Err(Malformed::ExpectedBulk(other.copied().unwrap_or(0))),
        }
        let length = parse_i64(text)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(Malformed::BulkLength)?;
        if length <= limits.max_bulk {
            return Ok(HeaderLine::Number(length, header));
        }
        Err(match limits.max_bulk {
            Limits::UNAUTHENTICATED_BULK if length <= Limits::REDIS_BULK => {
                Malformed::UnauthenticatedBulkLength
            }
            _ => Malformed::BulkLength,
        })
    }

    /// The line at the start of `rest` without its first byte and its end, and the length with both.
    /// Only what earlier calls have not searched is searched.
    fn line<'a>(
        &mut self,
        rest: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<(&'a [u8], usize)>, NoEnd> {
        let limit = limits.max_inline.min(u32::MAX as usize - 1);
        let window = &rest[..rest.len().min(limit + 1)];
        let unseen = window.get(self.searched as usize..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|&byte| byte == b'\r') else {
            self.searched = window.len() as u32;
            return if rest.len() > limit {
                Err(NoEnd::TooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.searched as usize + found;
        match rest.get(end + 1) {
            Some(b'\n') => Ok(Some((rest.get(1..end).unwrap_or_default(), end + 2))),
            Some(_) => Err(NoEnd::NotCrLf),
            None => {
                self.searched = end as u32;
                Ok(None)
            }
        }
    }

    /// An inline request: one line, its end may be a bare LF.
    #[cold]
    #[inline(never)]
    fn inline_line(&mut self, buf: &[u8], limits: &Limits) -> Result<Scan, Malformed> {
        let limit = limits
            .max_inline
            .min(limits.max_request)
            .min(u32::MAX as usize - 1);
        let window = &buf[..buf.len().min(limit + 1)];
        let unseen = window.get(self.searched as usize..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|&byte| byte == b'\n') else {
            self.searched = window.len() as u32;
            return if buf.len() > limit {
                Err(Malformed::InlineTooLong)
            } else {
                Ok(Scan::Incomplete {
                    need: buf.len() + 1,
                })
            };
        };
        let len = self.searched as usize + found + 1;
        Ok(if matches!(&buf[..len], b"\n" | b"\r\n") {
            Scan::Complete { len }
        } else {
            Scan::Inline { len }
        })
    }
}

impl Limits {
    const UNAUTHENTICATED_ARGS: usize = Limits::UNAUTHENTICATED.max_args;
    const UNAUTHENTICATED_BULK: usize = Limits::UNAUTHENTICATED.max_bulk;
    /// Redis' `proto-max-bulk-len`, which holds for authenticated clients too.
    const REDIS_BULK: usize = 512 * 1024 * 1024;
}

enum HeaderLine {
    /// The number, and the length of its line.
    Number(usize, usize),
    Partial {
        need: usize,
    },
}

enum NoEnd {
    TooLong,
    NotCrLf,
}

#[cfg(test)]
mod tests;
