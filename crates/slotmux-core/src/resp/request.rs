//! One complete request: its bytes and the positions of its arguments.

use crate::resp::{Span, write};

/// A request as it lies in a read buffer. Its bytes are a RESP array, so they can be forwarded as they are.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The whole request.
    pub bytes: &'a [u8],
    /// Its arguments, the command's name first; at least one.
    pub args: &'a [Span],
}

impl<'a> Request<'a> {
    /// Argument `index`; empty if the request has fewer.
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index).map_or(&[], |span| span.of(self.bytes))
    }

    /// Number of arguments, the command's name included.
    pub fn argc(&self) -> usize {
        self.args.len()
    }
}

/// An inline request in the form that can be forwarded.
pub fn from_inline(words: &[Vec<u8>]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let mut bytes = Vec::new();
    write::request(&mut bytes, &words);
    bytes
}
