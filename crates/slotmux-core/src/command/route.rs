//! The route of a command: the first column of the table that the planner reads.

use crate::command::listening::{SubscriptionChange, SubscriptionKind};

/// The nodes that a command may go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// To the node that owns the slot of its keys, which are all in one slot. Where the call names no key,
    /// any node will do.
    Keyed,
    /// EVAL, EVALSHA, FCALL and their read-only forms: as [`Route::Keyed`], if `commands.scripts` permits the call.
    Script,
    /// As [`Route::Keyed`], unless it names a database other than 0: COPY.
    OneDatabase,
    /// As [`Route::Keyed`] while its keys share a slot, else one part per slot, the replies merged.
    Split(Merge),
    /// To any node: it names no key and every node gives the same answer.
    AnyNode,
    /// To every primary, the replies merged.
    AllPrimaries(Merge),
    /// PUBLISH, SPUBLISH: to the node of the channel's slot.
    Publish(SubscriptionKind),
    /// Only where `commands.admin` lets it: to every node, replicas included, the replies merged.
    AllNodes(Merge),
    /// DEBUG, by its subcommand: slotmux answers ERROR, and the others go where `commands.admin` lets them.
    Debug,
    /// WAIT and WAITAOF: to every primary that the client wrote to, over connections of their own, the replies merged.
    Acknowledged(Merge),
    /// SCAN: to the primary whose turn it is.
    Scan,
    /// CLUSTERSCAN: to the node of its cursor's slot.
    ClusterScan,
    /// Nowhere: slotmux answers it itself.
    Answer(OwnAnswer),
    /// MULTI, EXEC, DISCARD, WATCH, UNWATCH.
    Transaction,
    /// May block its connection, so it needs a dedicated lane. Ask [`super::BlockingTimeout::of`] first: XREAD and XREADGROUP
    /// block only when BLOCK is given and are [`Route::Keyed`] otherwise.
    Blocking,
    /// Changes what its client listens to: SUBSCRIBE and its kin.
    Subscribe(SubscriptionChange),
    /// Nowhere, for this reason; [`super::refused_error`] makes the reply of it.
    Refused(&'static str),
}

impl Route {
    /// The answer that slotmux gives itself: always, or to some subcommands of DEBUG.
    pub fn own_answer(&self) -> Option<OwnAnswer> {
        match self {
            Route::Answer(what) => Some(*what),
            Route::Debug => Some(OwnAnswer::Debug),
            _ => None,
        }
    }

    /// Whether the whole reply is built in one turn, from all arguments: by slotmux itself, or from the replies of all
    /// nodes.
    pub fn is_answered_at_once(&self) -> bool {
        matches!(
            self,
            Route::Answer(_)
                | Route::AllPrimaries(_)
                | Route::AllNodes(_)
                | Route::Acknowledged(_)
                | Route::Debug
        )
    }
}

/// The way the replies of several nodes are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// Array elements, put back in the order of the request's keys.
    Elements,
    /// `+OK` when every part said so.
    AllOk,
    /// The sum of integers.
    Sum,
    /// The reply of the first node; all say the same.
    First,
    /// Arrays of 0 and 1: element by element, 1 where every part says 1.
    AllTrue,
    /// The elements of all arrays, one after another.
    Concat,
    /// The elements of all arrays, each once.
    Union,
    /// The smallest of integers.
    Least,
    /// Arrays of integers: element by element the smallest.
    EachLeast,
    /// The key of one node, chosen at random in proportion to the number of keys of each.
    RandomKey,
    /// Names that have subscribers: each once, without those that only slotmux itself still has.
    Names(SubscriptionKind),
    /// Names and their numbers of subscribers, with the clients of slotmux instead of its own subscriptions.
    Subscribers(SubscriptionKind),
    /// The number of patterns that have subscribers, likewise.
    Patterns,
    /// One part's success is enough: there was something to stop on that node.
    AnyOk,
    /// The part of the node that runs a script, if one does.
    Running,
    /// SCRIPT SHOW: the script of a node that has it.
    Shown,
    /// The newest entries of all SLOWLOGs or COMMANDLOGs, at most so many.
    Newest(u32),
    /// LATENCY HISTORY: what all nodes measured, by time.
    History,
    /// LATENCY LATEST: per event the last time, the worst, and the totals.
    Latest,
    /// LATENCY HISTOGRAM: the calls of all nodes.
    Histogram,
    /// MEMORY STATS: sums of what is counted, the largest of what is a ratio.
    Totals,
    /// A text of each node, with its address; one text where all say the same.
    Texts,
}

impl Merge {
    /// Whether commands with this merge change nothing on the nodes, though servers do not flag them as reads.
    pub fn only_reads(self) -> bool {
        use Merge::*;
        let reads = matches!(
            self,
            Least | Running | Shown | Newest(_) | History | Latest | Histogram | Totals | Texts
        );
        reads || self.counts_subscribers()
    }

    /// Whether the replies count slotmux' own subscriptions, which the merged reply leaves out.
    pub fn counts_subscribers(self) -> bool {
        matches!(
            self,
            Merge::Names(_) | Merge::Subscribers(_) | Merge::Patterns
        )
    }

    /// Whether the reply consists of names of keys.
    pub fn lists_keys(self) -> bool {
        matches!(self, Merge::Concat | Merge::RandomKey)
    }

    /// Whether the parts that succeeded make a reply although another failed.
    pub fn takes_failures(self) -> bool {
        matches!(
            self,
            Merge::AnyOk | Merge::Running | Merge::Shown | Merge::Texts
        )
    }
}

/// A command that slotmux answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum OwnAnswer {
    /// HELLO.
    Hello,
    /// AUTH.
    Auth,
    /// PING.
    Ping,
    /// ECHO.
    Echo,
    /// SELECT.
    Select,
    /// QUIT.
    Quit,
    /// RESET.
    Reset,
    /// CLIENT and its subcommands.
    Client,
    /// INFO.
    Info,
    /// MONITOR.
    Monitor,
    /// CONFIG GET and CONFIG HELP.
    Config,
    /// ROLE.
    Role,
    /// TIME.
    Time,
    /// CLUSTER and its subcommands, ASKING, READONLY, READWRITE: answered as the listener's personality has it.
    Cluster,
    /// ACL WHOAMI.
    Acl,
    /// SLOTMUX and its subcommands.
    Slotmux,
    /// DEBUG ERROR.
    Debug,
}

/// Why a command is refused that concerns one server only.
pub(super) const ONE_NODE: &str = "it concerns a single server; send it to that server directly";
/// Why a command about another database is refused.
pub(super) const ONE_DATABASE: &str = "slotmux shows one database only";
/// Why a command is refused whose replies must come from all nodes.
pub(super) const EVERY_NODE: &str =
    "it needs an answer from every node, and these cannot be joined yet";
/// Why a command is refused that belongs to the cluster's own traffic.
pub(super) const BETWEEN_NODES: &str = "only servers send it to each other";
/// Why a command is refused that would leave a trace in an upstream connection.
pub(super) const CONNECTION_STATE: &str =
    "it changes the state of a connection that is shared with other clients";
