//! Commands of the table that the upstream lacks: the error about them, in the words of a server, with the client's
//! arguments. A request that a policy rewrote would be quoted with the arguments that the policy added.

use crate::command::{Command, Route, unknown_error, unknown_subcommand_error};
use crate::resp::request::Request;

use super::{Knowledge, Plan, error_reply};

/// The error about a command that would be sent to a node, and that the upstream lacks.
pub(super) fn lacking(
    request: &Request,
    command: &'static Command,
    knowledge: &Knowledge,
) -> Option<Plan> {
    let is_sent = !matches!(
        command.route,
        Route::Answer(_)
            | Route::Transaction
            | Route::Subscribe(_)
            | Route::Refused(_)
            | Route::Debug
    );
    let learned = knowledge.learned?;
    (is_sent && learned.lacks(command)).then(|| unknown(request, knowledge))
}

/// The same for a command that a policy rewrote.
pub(super) fn lacking_rewritten(
    request: &Request,
    command: &'static Command,
    knowledge: &Knowledge,
) -> Option<Plan> {
    let learned = knowledge.learned?;
    learned
        .lacks_rewritten(command)
        .then(|| unknown(request, knowledge))
}

fn unknown(request: &Request, knowledge: &Knowledge) -> Plan {
    let (buf, args) = (request.bytes, request.args);
    let has_container = knowledge
        .learned
        .is_some_and(|learned| learned.knows(request.arg(0)));
    let text = match has_container {
        true => unknown_subcommand_error(buf, args),
        false => unknown_error(buf, args),
    };
    Plan::Unknown(error_reply(&text))
}
