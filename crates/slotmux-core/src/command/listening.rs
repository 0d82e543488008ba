//! The kinds of subscriptions, and the names of keyspace notifications. Pure.

/// A kind of subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SubscriptionKind {
    /// A channel, whose messages every node of a cluster gets.
    Channel,
    /// A pattern of such channels.
    Pattern,
    /// A shard channel, whose messages stay with the shard of its slot.
    Shard,
}

/// A change of a client's subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionChange {
    /// The kind of subscription.
    pub kind: SubscriptionKind,
    /// Whether it subscribes.
    pub subscribes: bool,
}

impl SubscriptionKind {
    /// Every kind.
    pub const ALL: [SubscriptionKind; 3] = [
        SubscriptionKind::Channel,
        SubscriptionKind::Pattern,
        SubscriptionKind::Shard,
    ];

    /// Its place in [`SubscriptionKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl SubscriptionChange {
    /// The kind of the command with this lower-case name.
    pub fn of(command: &str) -> Option<SubscriptionChange> {
        SubscriptionKind::ALL
            .into_iter()
            .flat_map(|kind| {
                [true, false].map(|subscribes| SubscriptionChange { kind, subscribes })
            })
            .find(|change| change.name() == command)
    }

    /// The name of its command, which is also the first word of its confirmation.
    pub fn name(self) -> &'static str {
        match (self.kind, self.subscribes) {
            (SubscriptionKind::Channel, true) => "subscribe",
            (SubscriptionKind::Channel, false) => "unsubscribe",
            (SubscriptionKind::Pattern, true) => "psubscribe",
            (SubscriptionKind::Pattern, false) => "punsubscribe",
            (SubscriptionKind::Shard, true) => "ssubscribe",
            (SubscriptionKind::Shard, false) => "sunsubscribe",
        }
    }
}

/// Prefixes of the channels of keyspace notifications, and of those of subkeys, which Redis has since 8.8. A node notifies
/// about its own keys only.
const NOTIFICATIONS: [&[u8]; 6] = [
    b"__keyspace@",
    b"__keyevent@",
    b"__subkeyspace@",
    b"__subkeyevent@",
    b"__subkeyspaceitem@",
    b"__subkeyspaceevent@",
];

/// Whether messages of this channel are notifications, which each primary gives for its own keys.
pub fn is_notification(channel: &[u8]) -> bool {
    NOTIFICATIONS.iter().any(|start| channel.starts_with(start))
}

/// Whether a pattern may match a channel of notifications. Looks no further than its first special character: to take it
/// for possible costs messages that are dropped.
pub fn may_match_notifications(pattern: &[u8]) -> bool {
    let special = pattern
        .iter()
        .position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    let Some(special) = special else {
        return is_notification(pattern);
    };
    let literal = &pattern[..special];
    NOTIFICATIONS
        .iter()
        .any(|start| literal.starts_with(start) || start.starts_with(literal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_the_names_of_their_commands() {
        for name in [
            "subscribe",
            "unsubscribe",
            "psubscribe",
            "punsubscribe",
            "ssubscribe",
            "sunsubscribe",
        ] {
            assert_eq!(
                SubscriptionChange::of(name).map(SubscriptionChange::name),
                Some(name)
            );
        }
        assert_eq!(SubscriptionChange::of("monitor"), None);
        for (place, kind) in SubscriptionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), place);
        }
    }

    #[test]
    fn channels_of_notifications() {
        for (channel, is) in [
            ("__keyspace@0__:user:1", true),
            ("__keyevent@0__:expired", true),
            ("__subkeyspace@0__:user:1", true),
            ("__subkeyevent@0__:hset", true),
            ("__subkeyspaceitem@0__:user:1\nname", true),
            ("__subkeyspaceevent@0__:hset|user:1", true),
            ("__subkeyspace", false),
            ("__subkeyeventitem@0__:hset", false),
            ("__subkey@0__:hset", false),
            ("subkeyevent@0__:hset", false),
            ("", false),
        ] {
            assert_eq!(is_notification(channel.as_bytes()), is, "{channel}");
        }
    }

    #[test]
    fn patterns_that_may_match_notifications() {
        for (pattern, may) in [
            ("*", true),
            ("__key*", true),
            ("__keyspace@0__:user:*", true),
            ("__keyevent@0__:expired", true),
            ("[_]_keyevent@*", true),
            ("\\__keyevent@*", true),
            ("_?keyevent@*", true),
            ("__keyspace@*", true),
            ("__sub*", true),
            ("__subkeyspace@0__:user:*", true),
            ("__subkeyevent@0__:hset", true),
            ("__subkeyspaceitem@0__:user:*", true),
            ("__subkeyspaceevent@0__:hset|*", true),
            ("[_]_subkeyevent@*", true),
            ("__subkeyspac?@*", true),
            ("__subkeyspaces@*", false),
            ("__subkeyspace", false),
            ("subkeyspace@*", false),
            ("news.*", false),
            ("__keys", false),
            ("__kez*", false),
            ("", false),
        ] {
            assert_eq!(
                may_match_notifications(pattern.as_bytes()),
                may,
                "{pattern}"
            );
        }
    }
}
