//! `SLOTMUX`: what an operator may ask. `HELP` and `VERSION` are answered here; the rest needs the worker.

use super::{AnswerOutcome, AnsweredRequest, NOT_AN_INTEGER, help, wrong_form};
use crate::resp::{number, write};

/// Prefixes that `SLOTMUX UNMATCHED` lists if no number is given.
const PREFIXES: usize = 20;

/// A question of an operator to the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorQuestion {
    /// `EXPLAIN`: explain the command in the arguments from [`OperatorQuestion::EXPLAINED`] on.
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

impl OperatorQuestion {
    /// Index of the first argument of an explained command: its name.
    pub const EXPLAINED: usize = 2;

    /// Whether every worker has to be asked.
    pub fn asks_everyone(&self) -> bool {
        matches!(
            self,
            OperatorQuestion::TtlStats(Some(_)) | OperatorQuestion::Unmatched(_)
        )
    }
}

pub(super) fn slotmux(request: AnsweredRequest<'_>, out: &mut Vec<u8>) -> AnswerOutcome {
    let name = |index| request.get(index).to_vec();
    let question = match (request.command.name, request.len()) {
        ("version", _) => {
            write::bulk(out, env!("CARGO_PKG_VERSION").as_bytes());
            return AnswerOutcome::Answered;
        }
        ("explain", _) => OperatorQuestion::Explain,
        ("namespaces", _) => OperatorQuestion::Namespaces,
        ("namespace", _) => OperatorQuestion::Namespace(name(2)),
        ("ttl", 3) if request.is(2, "stats") => OperatorQuestion::TtlStats(None),
        ("ttl", 4) if request.is(2, "stats") => OperatorQuestion::TtlStats(Some(name(3))),
        ("unmatched", 2) => OperatorQuestion::Unmatched(PREFIXES),
        ("unmatched", 3) => match number::parse_i64(request.get(2)).map(usize::try_from) {
            Some(Ok(count)) => OperatorQuestion::Unmatched(count),
            Some(Err(_)) => {
                write::error(out, "ERR value is out of range, must be positive");
                return AnswerOutcome::Answered;
            }
            None => {
                write::error(out, NOT_AN_INTEGER);
                return AnswerOutcome::Answered;
            }
        },
        ("help", _) => {
            help::help("SLOTMUX", help::SLOTMUX, out);
            return AnswerOutcome::Answered;
        }
        _ => {
            wrong_form("SLOTMUX", request, out);
            return AnswerOutcome::Answered;
        }
    };
    AnswerOutcome::Ask(question)
}
