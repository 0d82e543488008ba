//! The client id and addresses of a connection at its node, with which the node can close exactly that connection.
//!
//! A connection that is lost or closed may live on at its node for a while, with a command that still runs. The id is
//! unique only within one run of the node's process; with both addresses it is unique across restarts.

use slotmux_core::resp::{number, write};

/// The id of a lane's connection at its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum ConnectionId {
    /// The node was not asked.
    #[default]
    NotAsked,
    /// The node was asked and has not replied, or has refused.
    Unknown,
    /// The node's reply.
    Known(u64),
}

impl ConnectionId {
    /// The id in the reply to CLIENT ID.
    pub(super) fn of_reply(reply: &[u8]) -> ConnectionId {
        let digits = reply
            .strip_prefix(b":")
            .and_then(|rest| rest.strip_suffix(b"\r\n"));
        let id = digits.and_then(number::parse_i64);
        match id.and_then(|id| u64::try_from(id).ok()) {
            Some(id @ 1..) => ConnectionId::Known(id),
            _ => ConnectionId::Unknown,
        }
    }
}

/// Requests the identity.
pub(super) const CLIENT_INFO: &[u8] = b"*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n";

/// The command that ends the connection described by `reply`, by its id and both addresses. `None` if the reply lacks
/// any of these, as for a user without the right to ask.
pub(super) fn kill_command_of(reply: &[u8]) -> Option<Box<[u8]>> {
    let mut lines = reply.split(|&byte| byte == b'\r' || byte == b'\n');
    let fields = lines.find_map(|line| {
        // RESP3 prefixes a verbatim string with its format.
        let line = line.strip_prefix(b"txt:").unwrap_or(line);
        line.starts_with(b"id=").then_some(line)
    })?;
    let field = |name: &[u8]| {
        let mut words = fields.split(|&byte| byte == b' ');
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="));
        value.filter(|value| !value.is_empty())
    };
    let mut command = Vec::new();
    write::request(
        &mut command,
        &[
            b"CLIENT",
            b"KILL",
            b"ID",
            field(b"id")?,
            b"ADDR",
            field(b"addr")?,
            b"LADDR",
            field(b"laddr")?,
        ],
    );
    Some(command.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_number() {
        for (reply, id) in [
            (&b":17\r\n"[..], ConnectionId::Known(17)),
            (b":0\r\n", ConnectionId::Unknown),
            (b"-NOPERM no\r\n", ConnectionId::Unknown),
        ] {
            assert_eq!(ConnectionId::of_reply(reply), id);
        }
    }

    #[test]
    fn all_three_name_a_connection() {
        let line = "id=7 addr=10.0.0.1:5000 laddr=10.0.0.2:6379 fd=8 name= db=0 lib-name=";
        let expected = b"*8\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n$1\r\n7\r\n$4\r\nADDR\r\n$13\r\n10.0.0.1:5000\r\n$5\r\nLADDR\r\n$13\r\n10.0.0.2:6379\r\n";
        for reply in [
            format!("${}\r\n{line}\n\r\n", line.len() + 1),
            format!("={}\r\ntxt:{line}\n\r\n", line.len() + 5),
        ] {
            assert_eq!(
                kill_command_of(reply.as_bytes()).as_deref(),
                Some(&expected[..])
            );
        }
        for reply in [
            "-NOPERM this user has no permissions to run the 'client|info' command\r\n",
            "+OK\r\n",
            "$0\r\n\r\n",
            "$30\r\nid=7 addr=10.0.0.1:5000 fd=8\n\r\n",
            "$30\r\nid= addr=10.0.0.1:5000 laddr=a\n\r\n",
        ] {
            assert_eq!(kill_command_of(reply.as_bytes()), None, "{reply}");
        }
    }
}
