//! RESP as bytes: which protocol a connection speaks and where an argument lies in its buffer.

/// The protocol version of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// RESP2, what a connection speaks until `HELLO 3`.
    #[default]
    Resp2 = 2,
    /// RESP3.
    Resp3 = 3,
}

/// Byte range of one argument in the buffer that was scanned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of the span in the buffer that was scanned.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}
