//! The route of a command that the table lacks, by its flags, its keys and its documented form.

use super::keys::LearnedKeySpec;
use super::known::KnownForm;
use crate::command::route::{CONNECTION_STATE, ONE_NODE};
use crate::command::split::SplitShape;
use crate::command::{Flags, Merge};

/// The reason to refuse a learned command that names no key and may be about all nodes.
pub const KEYLESS: &str = "it names no key, and nothing tells whether one node can answer for all";

/// Where a learned command may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LearnedRoute {
    /// To the node of its keys.
    Keyed,
    /// The same, over a dedicated lane, as it may block its connection.
    Blocking,
    /// As [`LearnedRoute::Keyed`] while its keys share a slot, else one part per slot, the replies merged.
    Split(SplitShape, Merge),
    /// To any node: the server says that every node gives the same answer.
    AnyNode,
    /// To every primary, the replies merged.
    AllPrimaries(Merge),
    /// The lists of all primaries, or that of any node where the search module coordinates the nodes.
    ListsIndexes,
    /// To any node where the search module coordinates the nodes, else as [`LearnedRoute::OneNode`].
    Coordinated,
    /// To the node of the slot of the index' name in this argument, if the search module coordinates the nodes there.
    OfIndex {
        /// Index of the argument.
        at: usize,
    },
    /// It names no key and its meaning is not known: to a single server, or where the configuration permits it.
    OneNode,
    /// To a single server only, as the places of its keys are unknown.
    HiddenKeys,
    /// Nowhere, for this reason.
    Refused(&'static str),
}

/// The route of a command. A command that may leave a trace in its connection or turn it into a stream must not be
/// forwarded, so only commands that look harmless are sent.
pub(super) fn route(
    flags: Flags,
    keys: Option<&[LearnedKeySpec]>,
    form: Option<KnownForm>,
    spreads: bool,
) -> LearnedRoute {
    const STATEFUL: Flags = Flags::NO_AUTH
        .union(Flags::NO_MULTI)
        .union(Flags::ASKING)
        .union(Flags::PUBSUB);
    // Commands like CLIENT, WATCH and AUTH have the flag `noscript`. So have scripts, which also have `movablekeys`, and
    // some reads and writes, which have `readonly` or `write`. A module has no such commands.
    const ACCOUNTED: Flags = Flags::WRITE
        .union(Flags::READONLY)
        .union(Flags::MOVABLE_KEYS)
        .union(Flags::NO_MANDATORY_KEYS)
        .union(Flags::MODULE);
    if flags.contains(Flags::ADMIN) {
        return LearnedRoute::Refused(ONE_NODE);
    }
    if flags.intersects(STATEFUL)
        || (flags.contains(Flags::NOSCRIPT) && !flags.intersects(ACCOUNTED))
    {
        return LearnedRoute::Refused(CONNECTION_STATE);
    }
    match form {
        Some(KnownForm::Split(shape, merge)) => return LearnedRoute::Split(shape, merge),
        Some(KnownForm::OfAllPrimaries(merge)) => return LearnedRoute::AllPrimaries(merge),
        Some(KnownForm::OfIndex { at }) => return LearnedRoute::OfIndex { at },
        Some(KnownForm::ListsIndexes) => return LearnedRoute::ListsIndexes,
        Some(KnownForm::Coordinated) => return LearnedRoute::Coordinated,
        Some(KnownForm::Keyless | KnownForm::Blocks | KnownForm::MergesInto) | None => {}
    }
    match keys {
        None => LearnedRoute::HiddenKeys,
        // A server marks its own commands whose replies differ by node. Modules mark none.
        // Modules do not tell whether a node's reply is about its own data only.
        Some([]) if flags.contains(Flags::MODULE) => LearnedRoute::OneNode,
        Some([]) if flags.contains(Flags::BLOCKING) => LearnedRoute::Refused(CONNECTION_STATE),
        // A server marks those of its own commands whose replies differ by node.
        Some([]) if flags.contains(Flags::READONLY) && !spreads => LearnedRoute::AnyNode,
        Some([]) => LearnedRoute::Refused(KEYLESS),
        Some(_) if flags.contains(Flags::BLOCKING) => LearnedRoute::Blocking,
        Some(_) => LearnedRoute::Keyed,
    }
}
