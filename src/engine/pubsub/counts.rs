//! Corrects the nodes' sums about subscriptions to the replies of one Redis.

use slotmux_core::command::Merge;
use slotmux_core::resp::{integer_of, write};
use slotmux_core::route::merge::subscriptions::{counts, names};

use crate::engine::pubsub::census::Census;

/// Corrects the merged replies of all nodes to a PUBSUB command to that of one Redis.
pub fn amend(census: &Census, merge: Merge, reply: &mut Vec<u8>) {
    let amended = match merge {
        Merge::Names(kind) => names(reply).map(|mut names| {
            names.retain(|name| !census.has_only_workers(kind, name));
            let mut out = Vec::new();
            write::array(&mut out, names.len());
            for name in names {
                write::bulk(&mut out, name);
            }
            out
        }),
        Merge::Subscribers(kind) => counts(reply).map(|counts| {
            let mut out = Vec::new();
            write::array(&mut out, counts.len() * 2);
            for (name, number) in counts {
                write::bulk(&mut out, name);
                write::integer(&mut out, census.subscribers(kind, name).correct(number));
            }
            out
        }),
        Merge::Patterns => integer_of(reply).map(|number| {
            let mut out = Vec::new();
            write::integer(&mut out, census.patterns().correct(number));
            out
        }),
        _ => None,
    };
    if let Some(amended) = amended {
        *reply = amended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pubsub::SubscriptionKind;
    use slotmux_core::cluster::addr::Addr;

    #[test]
    fn answers_of_nodes_become_those_of_one_redis() {
        let census = Census::default();
        let node = Addr::new("h", 1);
        census.add_client(SubscriptionKind::Channel, b"a");
        census.add_client(SubscriptionKind::Channel, b"a");
        census.add_worker(SubscriptionKind::Channel, b"a", &node);
        census.add_worker(SubscriptionKind::Channel, b"left", &node);
        census.add_client(SubscriptionKind::Pattern, b"p*");
        census.add_worker(SubscriptionKind::Pattern, b"p*", &node);
        let table: &[(Merge, &[u8], &[u8])] = &[
            (
                Merge::Names(SubscriptionKind::Channel),
                b"*3\r\n$1\r\na\r\n$4\r\nleft\r\n$1\r\nx\r\n",
                b"*2\r\n$1\r\na\r\n$1\r\nx\r\n",
            ),
            (
                Merge::Subscribers(SubscriptionKind::Channel),
                b"*4\r\n$1\r\na\r\n:3\r\n$1\r\nx\r\n:5\r\n",
                b"*4\r\n$1\r\na\r\n:4\r\n$1\r\nx\r\n:5\r\n",
            ),
            (Merge::Patterns, b":3\r\n", b":3\r\n"),
            (Merge::Patterns, b"-ERR no\r\n", b"-ERR no\r\n"),
        ];
        for (merge, reply, expected) in table {
            let mut reply = reply.to_vec();
            amend(&census, *merge, &mut reply);
            assert_eq!(reply, *expected, "{merge:?}");
        }
    }
}
