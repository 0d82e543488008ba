//! What a policy makes of one request: a pure decision. The bytes that are sent instead go into the caller's buffer.

use super::NamespaceId;

/// What is done with a request of a namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// What the policy did.
    pub actions: Actions,
    /// What is sent.
    pub governed: Governed,
}

/// What is sent for a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Governed {
    /// The request as it is.
    AsIs,
    /// One other command, which is in the buffer.
    Rewritten(Reply),
    /// Several commands, which are in the buffer.
    Block(Block),
    /// Nothing: the client gets this error, without the leading `-`.
    Refused(String),
}

/// How the reply of a rewritten command becomes the reply of the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is that.
    AsIs,
    /// `+OK` is 1 and nil is 0: SETNX, which is sent as `SET … NX`.
    OkAsInteger,
}

/// Commands that are sent together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Whether they stand between MULTI and EXEC.
    pub atomic: bool,
    /// How many commands there are, MULTI and EXEC not counted.
    pub commands: u32,
    /// How many of the first ones are the client's: 1, or the SETs of an MSET. The client gets the first error among
    /// their replies, or else the first reply.
    pub own: u32,
}

/// What a policy did to a request, as a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Actions(u16);

impl Actions {
    /// Nothing.
    pub const NONE: Actions = Actions(0);
    /// A write without TTL got the default in place.
    pub const DEFAULTED: Actions = Actions(1);
    /// A given TTL was above the maximum and became that.
    pub const CLAMPED: Actions = Actions(1 << 1);
    /// A given TTL was below the minimum and became that.
    pub const RAISED: Actions = Actions(1 << 2);
    /// An expiry was attached behind the command.
    pub const APPENDED: Actions = Actions(1 << 3);
    /// A removal of the TTL became the default.
    pub const UNPERSISTED: Actions = Actions(1 << 4);
    /// The request was refused.
    pub const REFUSED: Actions = Actions(1 << 5);
    /// The command would need an expiry behind it, which `strength = "inline-only"` does not attach.
    pub const LEFT_BARE: Actions = Actions(1 << 6);

    /// Every action with its name in metrics.
    pub const ALL: [(Actions, &str); 7] = [
        (Actions::DEFAULTED, "defaulted"),
        (Actions::CLAMPED, "clamped"),
        (Actions::RAISED, "raised"),
        (Actions::APPENDED, "appended"),
        (Actions::UNPERSISTED, "unpersisted"),
        (Actions::REFUSED, "refused"),
        (Actions::LEFT_BARE, "left_bare"),
    ];

    /// Both.
    #[must_use]
    pub const fn and(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Actions) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
