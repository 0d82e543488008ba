//! `CLIENT LIST`: which clients are asked for, and the reply made of the lines that the workers found.

use super::client_filter::{ClientFilter, unknown_kind};
use super::client_line::{ClientKind, ClientLine};
use super::{AnswerHost, AnsweredRequest, SYNTAX};
use crate::resp::{Protocol, number, write};

/// The clients that `CLIENT LIST` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSelection {
    /// All clients.
    All,
    /// Clients of one kind.
    Kind(ClientKind),
    /// Clients with these ids.
    Ids(ClientIds),
    /// Clients that pass filters.
    Filtered(ClientFilter),
}

/// Client ids in the order that they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIds {
    asked: Vec<u64>,
    sorted: Vec<u64>,
}

impl ClientSelection {
    /// `CLIENT LIST [TYPE kind | ID id [id ...]]`, or as with Valkey since 8.1 filters like those of `CLIENT KILL`. `me` is
    /// the asking client. `None`: the error is written.
    pub(super) fn parse(
        request: AnsweredRequest<'_>,
        me: u64,
        host: &AnswerHost<'_>,
        out: &mut Vec<u8>,
    ) -> Option<ClientSelection> {
        if request.len() == 2 {
            return Some(ClientSelection::All);
        }
        if host.server.number().is_valkey_from(8, 1) && request.len() > 3 {
            let mut filter = ClientFilter::default();
            filter.read(request, me, host, out)?;
            return Some(ClientSelection::Filtered(filter));
        }
        if request.len() == 4 && request.is(2, "type") {
            let kind = ClientKind::parse(request, 3, host);
            if kind.is_none() {
                unknown_kind(request.get(3), out);
            }
            return kind.map(ClientSelection::Kind);
        }
        if request.len() < 4 || !request.is(2, "id") {
            write::error(out, SYNTAX);
            return None;
        }
        let mut asked = Vec::new();
        for id in request.from(3) {
            let Some(id) = number::parse_i64(id) else {
                write::error(out, "ERR Invalid client ID");
                return None;
            };
            // No client has a negative id.
            asked.extend(u64::try_from(id));
        }
        let mut sorted = asked.clone();
        sorted.sort_unstable();
        Some(ClientSelection::Ids(ClientIds { asked, sorted }))
    }

    /// Whether the reply has this client's line.
    pub fn admits(&self, line: &ClientLine<'_>) -> bool {
        match self {
            ClientSelection::All => true,
            ClientSelection::Kind(kind) => line.kind() == *kind,
            ClientSelection::Filtered(filter) => filter.admits(line),
            ClientSelection::Ids(ids) => ids.sorted.binary_search(&line.id).is_ok(),
        }
    }

    /// Writes the reply from the ids and lines of the clients that were admitted, in any order.
    pub fn reply(&self, mut found: Vec<(u64, String)>, protocol: Protocol, out: &mut Vec<u8>) {
        found.sort_unstable_by_key(|(id, _)| *id);
        let mut lines = String::new();
        match self {
            ClientSelection::All | ClientSelection::Kind(_) | ClientSelection::Filtered(_) => {
                found.iter().for_each(|(_, line)| lines.push_str(line));
            }
            ClientSelection::Ids(ids) => {
                for id in &ids.asked {
                    if let Ok(at) = found.binary_search_by_key(id, |(id, _)| *id) {
                        // Taken, so that an id that is repeated a million times does not repeat its line.
                        lines.push_str(&std::mem::take(&mut found[at].1));
                    }
                }
            }
        }
        write::verbatim(out, protocol, "txt", &lines);
    }
}
