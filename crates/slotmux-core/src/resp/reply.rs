//! Finds where a node's reply ends, RESP2 or RESP3, in as many pieces as it comes, and passes over the rest unread.
//!
//! Elements are counted, not stacked: depth costs nothing. RESP3's streamed forms (`$?`, `*?`), which no server
//! sends, are refused, for their end cannot be counted.

use super::Malformed;
use super::number::{parse_i64, short_number};

/// Bytes within which a header line must end. The longest legal one has 23.
const MAX_HEADER: usize = 64;

/// Most elements of a reply's aggregate: no list, set or hash of a server holds more. A larger count is garbage, whose
/// end must not be awaited.
const MOST_ELEMENTS: u64 = u32::MAX as u64;

/// Finds the end of a reply, and keeps its position between calls. Copy it to look ahead.
#[derive(Default, Clone, Copy, Debug)]
pub struct ReplyScanner {
    /// Elements to come after the one under way.
    elements: u64,
    /// Bytes of the bulk under way still to come, its CRLF included.
    bulk: u64,
    state: ScannerState,
    /// Type byte of the reply under way or just finished.
    kind: u8,
}

#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
enum ScannerState {
    /// Between replies.
    #[default]
    Idle,
    /// At a header line.
    Header,
    /// In a `+`, `-`, `,` or `(` line.
    Line,
    /// In such a line, after a CR.
    LineCr,
    /// In a bulk or its CRLF.
    Bulk,
}

/// The progress of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of the buffer that belong to the reply and need not be shown again.
    pub consumed: usize,
    /// Whether the reply ends there.
    pub done: bool,
}

impl ReplyScanner {
    /// Continues in `buf`, which starts exactly where the last call's `consumed` ended.
    ///
    /// Not done means that all was passed over but an incomplete header line, below 64 bytes.
    ///
    /// # Errors
    /// [`Malformed`] when this is no RESP. The scanner is of no use after that, and neither is the connection.
    #[inline]
    pub fn advance(&mut self, buf: &[u8]) -> Result<Progress, Malformed> {
        if self.state == ScannerState::Idle {
            // The two shapes that most replies have, each in one look.
            if let [b'+', b'O', b'K', b'\r', b'\n', ..] = buf {
                self.kind = b'+';
                return Ok(Progress {
                    consumed: 5,
                    done: true,
                });
            }
            if let Some(consumed) = short_bulk(buf) {
                self.kind = b'$';
                return Ok(Progress {
                    consumed,
                    done: true,
                });
            }
        }
        self.walk(buf)
    }

    /// Whether the scanner stands between two replies.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.state == ScannerState::Idle
    }

    /// Bytes of the bulk under way still to come, its CRLF included; 0 outside a bulk.
    #[inline]
    pub fn known_remaining(&self) -> u64 {
        self.bulk
    }

    /// Type byte of the reply under way or just finished: `>` is a push, `-` an error.
    /// For a reply with attributes (`|`) it is the type of the reply that follows them, once its header was passed.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    fn walk(&mut self, buf: &[u8]) -> Result<Progress, Malformed> {
        let mut pos = 0;
        loop {
            let rest = buf.get(pos..).unwrap_or_default();
            match self.state {
                ScannerState::Header if self.elements > 1 && short_bulk(rest).is_some() => {
                    pos += self.short_bulks(rest);
                    continue;
                }
                ScannerState::Idle | ScannerState::Header => match self.header(rest)? {
                    0 => {
                        return Ok(Progress {
                            consumed: pos,
                            done: false,
                        });
                    }
                    passed => pos += passed,
                },
                ScannerState::Bulk => {
                    pos += self.pass_bulk(rest)?;
                    if self.bulk > 0 {
                        return Ok(Progress {
                            consumed: pos,
                            done: false,
                        });
                    }
                    self.end_element();
                }
                ScannerState::Line | ScannerState::LineCr => match self.pass_line(rest) {
                    Some(passed) => pos += passed,
                    None => {
                        return Ok(Progress {
                            consumed: buf.len(),
                            done: false,
                        });
                    }
                },
            }
            if self.state == ScannerState::Idle {
                return Ok(Progress {
                    consumed: pos,
                    done: true,
                });
            }
        }
    }

    /// Passes a run of short bulks that are all there, but not the last element, whose type may matter.
    #[inline]
    fn short_bulks(&mut self, rest: &[u8]) -> usize {
        let mut pos = 0;
        while self.elements > 1 {
            let Some(passed) = short_bulk(rest.get(pos..).unwrap_or_default()) else {
                break;
            };
            pos += passed;
            self.elements -= 1;
        }
        pos
    }

    /// Passes one header line, or the type byte of a line, and says how long it was; 0 when it is not all there.
    fn header(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let Some(&kind) = rest.first() else {
            return Ok(0);
        };
        if matches!(kind, b'+' | b'-' | b',' | b'(') {
            self.begin_element(kind);
            self.state = ScannerState::Line;
            return Ok(1);
        }
        if !matches!(
            kind,
            b'$' | b'*' | b':' | b'_' | b'#' | b'!' | b'=' | b'%' | b'~' | b'|' | b'>'
        ) {
            return Err(Malformed::ReplyType(kind));
        }
        let Some((text, passed)) = header_line(rest)? else {
            return Ok(0);
        };
        self.begin_element(kind);
        match (kind, text) {
            (b'$' | b'*', b"-1") | (b'_', b"") | (b'#', b"t" | b"f") => self.end_element(),
            (b':', _) if is_integer(text) => self.end_element(),
            (b'$' | b'!' | b'=', _) => {
                self.bulk = count(text)?.checked_add(2).ok_or(Malformed::ReplyHeader)?;
                self.state = ScannerState::Bulk;
            }
            (b'*' | b'~' | b'>', _) => self.add_elements(count(text)?, 1, 0)?,
            (b'%', _) => self.add_elements(count(text)?, 2, 0)?,
            // The described value follows its attributes and is one more element.
            (b'|', _) => self.add_elements(count(text)?, 2, 1)?,
            _ => return Err(Malformed::ReplyHeader),
        }
        Ok(passed)
    }

    fn begin_element(&mut self, kind: u8) {
        if self.state == ScannerState::Idle {
            self.kind = kind;
            return;
        }
        // The last element to come, where all before were attributes, is the reply itself.
        if self.elements == 1 && self.kind == b'|' {
            self.kind = kind;
        }
        self.elements -= 1;
    }

    fn end_element(&mut self) {
        self.state = if self.elements == 0 {
            ScannerState::Idle
        } else {
            ScannerState::Header
        };
    }

    fn add_elements(&mut self, count: u64, each: u64, more: u64) -> Result<(), Malformed> {
        if count > MOST_ELEMENTS {
            return Err(Malformed::ReplyElements);
        }
        let added = count * each + more;
        let elements = self.elements.checked_add(added);
        self.elements = elements.ok_or(Malformed::ReplyElements)?;
        self.end_element();
        Ok(())
    }

    fn pass_bulk(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let passed = usize::try_from(self.bulk)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let after = self.bulk - passed as u64;
        // The CRLF may be cut as well: look at the one or two bytes of it that this piece holds.
        let expected: &[u8] = match (after, self.bulk) {
            (0, 1) => b"\n",
            (0, _) => b"\r\n",
            (1, 2..) => b"\r",
            _ => b"",
        };
        if !rest[..passed].ends_with(expected) {
            return Err(Malformed::Terminator);
        }
        self.bulk = after;
        Ok(passed)
    }

    /// Passes the rest of a line and ends the element, or remembers a CR at the end of the piece.
    fn pass_line(&mut self, rest: &[u8]) -> Option<usize> {
        let mut searched = 0;
        while let Some(found) = rest[searched..].iter().position(|&byte| byte == b'\n') {
            let at = searched + found;
            searched = at + 1;
            let after_cr = if at == 0 {
                self.state == ScannerState::LineCr
            } else {
                rest[at - 1] == b'\r'
            };
            if after_cr {
                self.end_element();
                return Some(searched);
            }
        }
        match rest.last() {
            Some(b'\r') => self.state = ScannerState::LineCr,
            Some(_) => self.state = ScannerState::Line,
            None => {}
        }
        None
    }
}

/// The length of a bulk of up to 999 bytes at the start of `rest` if it is all there and well formed.
#[inline(always)]
fn short_bulk(rest: &[u8]) -> Option<usize> {
    let (length, header) = match rest {
        [b'$', ..] => short_number(rest)?,
        _ => return None,
    };
    let end = header + length;
    match rest.get(end..end + 2) {
        Some(b"\r\n") => Some(end + 2),
        _ => None,
    }
}

/// A header line without its type and its end, and its whole length. `None` while it is not all there.
fn header_line(rest: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    const LAST_CR: usize = MAX_HEADER - 3;
    let window = &rest[..rest.len().min(LAST_CR + 1)];
    match window.iter().position(|&byte| byte == b'\r') {
        Some(end) => match rest.get(end + 1) {
            Some(b'\n') => Ok(Some((rest.get(1..end).unwrap_or_default(), end + 2))),
            Some(_) => Err(Malformed::Terminator),
            None => Ok(None),
        },
        None if rest.len() > LAST_CR => Err(Malformed::ReplyHeader),
        None => Ok(None),
    }
}

fn count(text: &[u8]) -> Result<u64, Malformed> {
    parse_i64(text)
        .and_then(|count| u64::try_from(count).ok())
        .ok_or(Malformed::ReplyHeader)
}

/// Whether these are digits with or without a sign. Their value is the client's business.
fn is_integer(text: &[u8]) -> bool {
    let digits = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;
