//! The client id and addresses of a connection at its node, so that the node can be told to close exactly that one.
//!
//! A connection that is lost or closed may live on at its node for a while, with a command that still runs. The id is
//! unique only within one run of the node's process; with both addresses it is unique across restarts.

use slotmux_core::resp::write;

/// Requests the identity.
pub(super) const CLIENT_INFO: &[u8] = b"*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n";

/// The command that ends the connection described by `reply`, by its id and both addresses. `None` if the reply lacks
/// any of these, as for a user without the right to ask.
pub(super) fn ending_of(reply: &[u8]) -> Option<Box<[u8]>> {
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
    let mut ending = Vec::new();
    write::request(
        &mut ending,
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
    Some(ending.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_name_a_connection() {
        let line = "id=7 addr=10.0.0.1:5000 laddr=10.0.0.2:6379 fd=8 name= db=0 lib-name=";
        let expected = b"*8\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n$1\r\n7\r\n$4\r\nADDR\r\n$13\r\n10.0.0.1:5000\r\n$5\r\nLADDR\r\n$13\r\n10.0.0.2:6379\r\n";
        for reply in [
            format!("${}\r\n{line}\n\r\n", line.len() + 1),
            format!("={}\r\ntxt:{line}\n\r\n", line.len() + 5),
        ] {
            assert_eq!(ending_of(reply.as_bytes()).as_deref(), Some(&expected[..]));
        }
        for reply in [
            "-NOPERM this user has no permissions to run the 'client|info' command\r\n",
            "+OK\r\n",
            "$0\r\n\r\n",
            "$30\r\nid=7 addr=10.0.0.1:5000 fd=8\n\r\n",
            "$30\r\nid= addr=10.0.0.1:5000 laddr=a\n\r\n",
        ] {
            assert_eq!(ending_of(reply.as_bytes()), None, "{reply}");
        }
    }
}
