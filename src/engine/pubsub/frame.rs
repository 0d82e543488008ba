//! Parses one reply or push frame of a subscription connection; pure.

use slotmux_core::resp::number::parse_i64;

use super::{SubscriptionChange, SubscriptionKind};

/// One reply or push frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// A message for the subscribers of `name`.
    Message {
        /// The kind of their subscription.
        kind: SubscriptionKind,
        /// The channel or pattern that they are subscribed to.
        name: &'a [u8],
        /// The channel of the message; that of a pattern's differs from its name.
        channel: &'a [u8],
    },
    /// A subscription has begun or ended.
    Changed(SubscriptionChange, &'a [u8]),
    /// A reply outside pushes: that to a PING, or an error.
    Reply,
    /// A push of another kind.
    Other,
}

/// Reads a whole frame.
pub fn read(frame: &[u8]) -> Frame<'_> {
    if frame.first() != Some(&b'>') {
        return Frame::Reply;
    }
    push(frame).unwrap_or(Frame::Other)
}

fn push(frame: &[u8]) -> Option<Frame<'_>> {
    let (count, rest) = header(frame, b'>')?;
    let (word, rest) = bulk(rest)?;
    let (name, rest) = bulk(rest)?;
    let message = |kind, channel| {
        Some(Frame::Message {
            kind,
            name,
            channel,
        })
    };
    match (word, count) {
        (b"message", 3) => message(SubscriptionKind::Channel, name),
        (b"smessage", 3) => message(SubscriptionKind::Shard, name),
        (b"pmessage", 4) => message(SubscriptionKind::Pattern, bulk(rest)?.0),
        (_, 3) => {
            let change = SubscriptionChange::of(std::str::from_utf8(word).ok()?)?;
            Some(Frame::Changed(change, name))
        }
        _ => None,
    }
}

fn bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = header(bytes, b'$')?;
    let len = usize::try_from(len).ok()?;
    Some((rest.get(..len)?, rest.get(len + 2..)?))
}

fn header(bytes: &[u8], kind: u8) -> Option<(i64, &[u8])> {
    let rest = bytes.strip_prefix(&[kind])?;
    let end = rest.iter().position(|&byte| byte == b'\r')?;
    Some((parse_i64(&rest[..end])?, rest.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart() {
        let changed = |name| SubscriptionChange::of(name).expect("a change");
        let message = |kind, name, channel| Frame::Message {
            kind,
            name,
            channel,
        };
        let table: &[(&[u8], Frame)] = &[
            (
                b">3\r\n$7\r\nmessage\r\n$2\r\n\r\n\r\n$1\r\nm\r\n",
                message(SubscriptionKind::Channel, b"\r\n", b"\r\n"),
            ),
            (
                b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncd\r\n$1\r\nm\r\n",
                message(SubscriptionKind::Pattern, b"c*", b"cd"),
            ),
            (
                b">3\r\n$8\r\nsmessage\r\n$0\r\n\r\n$1\r\nm\r\n",
                message(SubscriptionKind::Shard, b"", b""),
            ),
            (
                b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
                Frame::Changed(changed("subscribe"), b"a"),
            ),
            (
                b">3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n",
                Frame::Changed(changed("sunsubscribe"), b"a"),
            ),
            (
                b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
                Frame::Other,
            ),
            (b">1\r\n$4\r\nwhat\r\n", Frame::Other),
            (b"+PONG\r\n", Frame::Reply),
            (b"-NOPERM no\r\n", Frame::Reply),
        ];
        for (bytes, expected) in table {
            assert_eq!(read(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }
}
