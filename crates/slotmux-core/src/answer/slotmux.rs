//! `SLOTMUX`: what an operator may ask. `HELP` and `VERSION` are answered here; the rest needs the worker.

use super::{NOT_AN_INTEGER, Outcome, Request, help, wrong_form};
use crate::resp::{number, write};

/// Prefixes that `SLOTMUX UNMATCHED` tells unless it is told how many.
const PREFIXES: usize = 20;

/// What an operator asks of the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// `EXPLAIN`: what would become of the command in the arguments from [`Question::EXPLAINED`] on.
    Explain,
    /// `NAMESPACES`
    Namespaces,
    /// `NAMESPACE name`
    Namespace(Vec<u8>),
    /// `TTL STATS [name]`
    TtlStats(Option<Vec<u8>>),
    /// `UNMATCHED [count]`: so many prefixes.
    Unmatched(usize),
}

impl Question {
    /// Index of the first argument of an explained command: its name.
    pub const EXPLAINED: usize = 2;

    /// Whether every worker has to be asked.
    pub fn asks_everyone(&self) -> bool {
        matches!(self, Question::TtlStats(Some(_)) | Question::Unmatched(_))
    }
}

pub(super) fn slotmux(request: Request<'_>, out: &mut Vec<u8>) -> Outcome {
    let name = |index| request.get(index).to_vec();
    let question = match (request.command.name, request.len()) {
        ("version", _) => {
            write::bulk(out, env!("CARGO_PKG_VERSION").as_bytes());
            return Outcome::Answered;
        }
        ("explain", _) => Question::Explain,
        ("namespaces", _) => Question::Namespaces,
        ("namespace", _) => Question::Namespace(name(2)),
        ("ttl", 3) if request.is(2, "stats") => Question::TtlStats(None),
        ("ttl", 4) if request.is(2, "stats") => Question::TtlStats(Some(name(3))),
        ("unmatched", 2) => Question::Unmatched(PREFIXES),
        ("unmatched", 3) => match number::parse_i64(request.get(2)).map(usize::try_from) {
            Some(Ok(count)) => Question::Unmatched(count),
            Some(Err(_)) => {
                write::error(out, "ERR value is out of range, must be positive");
                return Outcome::Answered;
            }
            None => {
                write::error(out, NOT_AN_INTEGER);
                return Outcome::Answered;
            }
        },
        ("help", _) => {
            help::help("SLOTMUX", help::SLOTMUX, out);
            return Outcome::Answered;
        }
        _ => {
            wrong_form("SLOTMUX", request, out);
            return Outcome::Answered;
        }
    };
    Outcome::Ask(question)
}
