//! The errors about what a command is, in the words of Redis 7.0. Texts are without the leading `-` and the line end.

use super::Command;
use crate::resp::Span;

/// Longest quotation of a name, and of all arguments together, in an error: Redis' own bound.
const QUOTED: usize = 128;

/// Why a request has no command.
#[derive(Clone, Copy, Debug)]
pub enum Unresolved {
    /// The name is unknown.
    Command,
    /// The container has no such subcommand in the table.
    Subcommand(&'static Command),
    /// Too many or too few arguments.
    Arity(&'static Command),
}

impl Unresolved {
    /// The reply, as a server that does not know better words it.
    pub fn error(&self, buf: &[u8], args: &[Span]) -> Vec<u8> {
        match self {
            Unresolved::Command => unknown_error(buf, args),
            Unresolved::Subcommand(_) => unknown_subcommand_error(buf, args),
            Unresolved::Arity(command) => arity_error(command).into_bytes(),
        }
    }
}

/// For a name that no one knows. Bytes, as what the client sent is quoted as it is.
pub fn unknown_error(buf: &[u8], args: &[Span]) -> Vec<u8> {
    let mut quoted = Vec::new();
    for arg in args.iter().skip(1) {
        if quoted.len() >= QUOTED {
            break;
        }
        let room = QUOTED - quoted.len();
        quoted.push(b'\'');
        quoted.extend_from_slice(cut(arg.of(buf), room));
        quoted.extend_from_slice(b"' ");
    }
    let name = args.first().map_or(&b""[..], |arg| arg.of(buf));
    one_line(&[
        b"ERR unknown command '",
        cut(name, QUOTED),
        b"', with args beginning with: ",
        &quoted,
    ])
}

/// For the second argument of a container that has no such subcommand.
pub fn unknown_subcommand_error(buf: &[u8], args: &[Span]) -> Vec<u8> {
    let arg = |at: usize| args.get(at).map_or(&b""[..], |arg| arg.of(buf));
    let container = arg(0).to_ascii_uppercase();
    one_line(&[
        b"ERR unknown subcommand '",
        cut(arg(1), QUOTED),
        b"'. Try ",
        &container,
        b" HELP.",
    ])
}

/// For too many or too few arguments.
pub fn arity_error(command: &Command) -> String {
    arity_error_of(command.full_name)
}

/// For a command by its full name: `get`, `client|setname`.
pub(super) fn arity_error_of(full_name: &str) -> String {
    format!("ERR wrong number of arguments for '{full_name}' command")
}

/// For a command that [`super::Route::Refused`] keeps from the nodes.
pub fn refused_error(full_name: &str, reason: &str) -> String {
    format!("ERR slotmux: '{full_name}' is refused: {reason}")
}

/// At most `most` bytes, and none from the first NUL on: what C prints of a string with a precision.
fn cut(bytes: &[u8], most: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(most)];
    &bytes[..bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len())]
}

/// The parts as one text that cannot end the reply early.
fn one_line(parts: &[&[u8]]) -> Vec<u8> {
    let mut text = parts.concat();
    for byte in &mut text {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    text
}
