//! Applies a policy to one request: a pure decision. The bytes to send instead go into the caller's buffer.

use super::append::Appendix;
use super::given::TtlForm;
use super::subject::TtlSubject;
use super::{NamespaceId, Policies, Refusal, RefusalReason, RefusalRule};
use super::{allowed, expire, learned, mset, restore, script, set};
use crate::command::Lifetime;
use crate::command::{CommandRef, KeyError};
use crate::config::TtlMode;
use crate::resp::request::Request;

const AMBIGUOUS: &str = "ERR slotmux: a keyword that keys follow is in this request more than once, so that its keys \
    cannot be told for sure, and there are namespaces with policies";

/// Decides what is sent for `request`, which has at least one key and as many arguments as its command takes.
///
/// `now` gives unix milliseconds; it is asked only where the request names a point in time. `out` is cleared; it holds
/// what is sent if the decision is [`Governed::Rewritten`] or [`Governed::Block`], and the error if it is
/// [`Governed::Refused`].
///
/// Permissions come first, over all keys and in any mode. Then the TTL: what would leave a key without one gets the
/// default, what is given is kept within the bounds. Requests that Redis refuses stay as they are, so that the error
/// is Redis' own; an option that is not known here makes a block, so that no key is left bare. Under
/// `mode = "observe"` the actions are those of enforcement, and the request stays as it is.
pub fn govern(
    request: &Request,
    command: CommandRef<'_>,
    policies: &Policies,
    now: fn() -> u64,
    out: &mut Vec<u8>,
) -> Decision {
    out.clear();
    let case = PolicyCase {
        request,
        command,
        policies,
        now,
    };
    let (namespace, mut refusal) = allowed::check(&case);
    if command.is_ambiguous(request.bytes, request.args) {
        let reason = RefusalRule::UncertainKeys.of_none();
        refusal = Some(reason.with(AMBIGUOUS.to_owned()));
    }
    let RuleOutcome { actions, governed } = match refusal {
        Some(refusal) => RuleOutcome::refused(&refusal, out),
        None => rule(&case, namespace, out),
    };
    // A rule may find out only after it has written something.
    if governed == Governed::AsIs {
        out.clear();
    }
    Decision {
        namespace,
        actions,
        governed,
    }
}

/// Applies the TTL policy to a request; `namespace` is that of its first key.
fn rule(case: &PolicyCase, namespace: NamespaceId, out: &mut Vec<u8>) -> RuleOutcome {
    // No wildcard: a new lifetime without a rule does not compile.
    match case.command.lifetime() {
        Lifetime::Untouched => RuleOutcome::AS_IS,
        Lifetime::Set => one_key(case, namespace, out, set::set),
        Lifetime::SetEx => one_key(case, namespace, out, |subject, out| {
            set::setex(subject, TtlForm::EX, out)
        }),
        Lifetime::PSetEx => one_key(case, namespace, out, |subject, out| {
            set::setex(subject, TtlForm::PX, out)
        }),
        Lifetime::SetNx => one_key(case, namespace, out, set::setnx),
        Lifetime::GetSet => one_key(case, namespace, out, set::getset),
        Lifetime::GetEx => one_key(case, namespace, out, set::getex),
        Lifetime::Expire => one_key(case, namespace, out, |key, out| {
            expire::expire(key, TtlForm::EX, out)
        }),
        Lifetime::PExpire => one_key(case, namespace, out, |key, out| {
            expire::expire(key, TtlForm::PX, out)
        }),
        Lifetime::ExpireAt => one_key(case, namespace, out, |key, out| {
            expire::expire(key, TtlForm::EXAT, out)
        }),
        Lifetime::PExpireAt => one_key(case, namespace, out, |key, out| {
            expire::expire(key, TtlForm::PXAT, out)
        }),
        Lifetime::Persist => one_key(case, namespace, out, expire::persist),
        Lifetime::Restore => one_key(case, namespace, out, restore::restore),
        Lifetime::MSet => mset::mset(case, out),
        Lifetime::MSetNx => mset::msetnx(case, out),
        Lifetime::MSetEx => mset::msetex(case, out),
        Lifetime::Script => script::script(case, out),
        Lifetime::IncrEx => one_key(case, namespace, out, set::increx),
        Lifetime::Creates { .. } | Lifetime::Stores => Appendix::of_written_keys(case, out),
        Lifetime::Unknown => match case.command {
            CommandRef::Learned(command) => learned::rule(case, command, out),
            CommandRef::Table(_) => Appendix::of_written_keys(case, out),
        },
    }
}

/// Applies the rule of a command whose first argument is its only key.
fn one_key(
    case: &PolicyCase,
    namespace: NamespaceId,
    out: &mut Vec<u8>,
    rule: impl Fn(&TtlSubject, &mut Vec<u8>) -> RuleOutcome,
) -> RuleOutcome {
    let Some(subject) = TtlSubject::new(case, 1, namespace) else {
        return RuleOutcome::AS_IS;
    };
    rule(&subject, out).under(subject.ttl.mode)
}

/// A request with all that a decision may depend on.
pub(super) struct PolicyCase<'a> {
    pub request: &'a Request<'a>,
    pub command: CommandRef<'a>,
    pub policies: &'a Policies,
    pub now: fn() -> u64,
}

impl PolicyCase<'_> {
    /// Calls `f` with the index of each key.
    pub fn each_key(&self, f: impl FnMut(usize)) -> Result<(), KeyError> {
        self.command
            .for_each_key(self.request.bytes, self.request.args, f)
    }
}

/// The outcome of one rule for a request.
#[derive(Debug)]
pub(super) struct RuleOutcome {
    pub actions: Actions,
    pub governed: Governed,
}

impl RuleOutcome {
    /// Nothing is done.
    pub const AS_IS: RuleOutcome = RuleOutcome {
        actions: Actions::NONE,
        governed: Governed::AsIs,
    };

    /// The buffer holds the command that is sent instead.
    pub fn rewritten(actions: Actions, reply: ReplyConversion) -> RuleOutcome {
        RuleOutcome {
            actions,
            governed: Governed::Rewritten(reply),
        }
    }

    /// The client gets the error of this refusal, which the buffer holds from now on.
    pub fn refused(refusal: &Refusal, out: &mut Vec<u8>) -> RuleOutcome {
        out.clear();
        out.extend_from_slice(refusal.text.as_bytes());
        RuleOutcome {
            actions: Actions::REFUSED,
            governed: Governed::Refused(refusal.reason),
        }
    }

    /// In observe mode only the actions remain, and the request is sent unchanged.
    pub fn under(self, mode: TtlMode) -> RuleOutcome {
        if mode == TtlMode::Enforce {
            return self;
        }
        RuleOutcome {
            governed: Governed::AsIs,
            ..self
        }
    }
}

/// The decision about a request of a namespace. Small enough for registers, as every request gets one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// The actions that the policy took.
    pub actions: Actions,
    /// The bytes to send.
    pub governed: Governed,
}

impl Decision {
    /// Nothing is to be done.
    pub const NONE: Decision = Decision {
        namespace: NamespaceId::UNMATCHED,
        actions: Actions::NONE,
        governed: Governed::AsIs,
    };
    /// The command is not sent, as no policy can be applied to it.
    pub const REFUSED: Decision = Decision {
        actions: Actions::REFUSED,
        governed: Governed::Refused(RefusalRule::UncertainKeys.of_none()),
        ..Decision::NONE
    };
}

/// The bytes to send for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Governed {
    /// The request as it is.
    AsIs,
    /// Another command, which is in the buffer.
    Rewritten(ReplyConversion),
    /// Several commands, which are in the buffer.
    Block(BlockShape),
    /// Nothing: the client gets the error that is in the buffer, without the leading `-`.
    Refused(RefusalReason),
}

impl Governed {
    /// Whether nothing is sent.
    pub fn is_refused(self) -> bool {
        matches!(self, Governed::Refused(_))
    }
}

/// How the reply to a rewritten command becomes the reply to the client's command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyConversion {
    /// Unchanged.
    AsIs,
    /// Unchanged; it also says whether a value was found.
    Found,
    /// `+OK` is 1 and nil is 0: SETNX, which is sent as `SET … NX`.
    OkAsInteger,
    /// Unchanged if it is not an error. The command was sent before and may have run then, which an error must say.
    Repeated,
    /// The text of `INFO replication` is the number of replicas that have all of it: WAIT at a node that refuses writes.
    CaughtUp,
}

impl ReplyConversion {
    /// Whether it says for each key whether there is a value.
    pub fn is_lookup(self) -> bool {
        self == ReplyConversion::Found
    }
}

/// Commands that are sent together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockShape {
    /// Whether they stand between MULTI and EXEC.
    pub atomic: bool,
    /// Number of commands, without MULTI and EXEC.
    pub commands: u32,
    /// Number of leading commands that are the client's: 1, or the SETs of an MSET. The client gets the first error among
    /// their replies, or else the first reply.
    pub own: u32,
}

/// The set of actions that a policy took on a request.
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

    /// Every action with its name in metrics, each at the place of its bit.
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

    /// The places of its actions in [`Actions::ALL`].
    pub fn places(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let place = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (place < Actions::ALL.len()).then_some(place)
        })
    }

    /// Whether there are no actions.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_stays_small() {
        assert!(size_of::<Decision>() <= 16);
        assert_eq!(size_of::<RefusalRule>(), 1);
    }

    #[test]
    fn places_are_those_of_the_names() {
        for (place, (action, name)) in Actions::ALL.into_iter().enumerate() {
            assert_eq!(action.places().collect::<Vec<_>>(), [place], "{name}");
        }
        let both = Actions::CLAMPED.and(Actions::LEFT_BARE);
        assert_eq!(both.places().collect::<Vec<_>>(), [1, 6]);
        assert_eq!(Actions::NONE.places().count(), 0);
    }
}
