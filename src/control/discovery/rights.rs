//! The rights that slotmux itself needs at the nodes, besides those for clients: each right, its use, and whether the
//! upstream user has it. Each is tried at the start, in a transaction that is discarded, so that nothing runs.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::addr::Addr;
use super::ask::{Access, error_text};
use super::open::open;
use super::topology::{Topology, UpstreamKind};

/// Nodes that are checked at the same time: more would not be faster.
const NODES_AT_ONCE: usize = 16;

/// Time for the check of all nodes together: a silent node must not delay the start.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prefix of a node's refusal of EXEC; the reason follows.
const EXEC_REFUSED: &str = "EXECABORT Transaction discarded because of: ";

/// The purpose of a right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Feature {
    /// Finding the nodes of a cluster, and following its slots as they move.
    Cluster,
    /// TTL policies that are enforced.
    Enforce,
    /// TTL policies that only observe.
    Observe,
    /// Closing a broken connection at its node before a possibly missing expiry is sent.
    Repair,
    Transactions,
    Blocking,
    Caching,
    Subscriptions,
    Scripts,
    Functions,
    Info,
    Settings,
    Learning,
    RandomKey,
    Wait,
}

impl Feature {
    /// The loss without the feature; `None` if slotmux cannot be used without it.
    fn loss(self) -> Option<&'static str> {
        Some(match self {
            Feature::Cluster | Feature::Enforce => return None,
            Feature::Observe => "policies that observe do not see lifetimes",
            Feature::Repair => {
                "an expiry may come ahead of a command that a broken connection still runs"
            }
            Feature::Transactions => "transactions do not work",
            Feature::Blocking => {
                "CLIENT UNBLOCK answers 0, and a drain cannot let blocked clients go"
            }
            Feature::Caching => "clients that track forget everything behind each read",
            Feature::Subscriptions => "subscriptions do not work",
            Feature::Scripts => "EVALSHA may answer NOSCRIPT for a script that was loaded",
            Feature::Functions => {
                "FCALL may not find a function at a primary that joins or was flushed"
            }
            Feature::Info => {
                "INFO lacks the nodes' figures, and SCAN does not notice that a node has restarted"
            }
            Feature::Settings => {
                "slotmux does not see settings that keep it from hiding a failover"
            }
            Feature::Learning => "commands that slotmux does not know are refused",
            Feature::RandomKey => "RANDOMKEY does not work",
            Feature::Wait => "WAIT does not work",
        })
    }
}

/// The features that are in use.
#[derive(Clone, Debug)]
pub(super) struct FeaturesInUse {
    pub kind: UpstreamKind,
    /// A prefix of keys whose policy is enforced.
    pub enforced: Option<Vec<u8>>,
    pub observes: bool,
    pub learns: bool,
    /// Whether WAIT takes a script: see `blocking/wait_replicas.rs`.
    pub wait_by_script: bool,
}

/// One command that a feature needs, in a form that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    /// `None` for a command that only ends the check.
    feature: Option<Feature>,
    /// In the form that `ACL SETUSER` takes after a `+`.
    command: &'static str,
    words: Vec<Vec<u8>>,
}

/// A right that the upstream user lacks at some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Missing {
    pub feature: Feature,
    pub command: &'static str,
    /// The node's error text.
    pub error: String,
}

/// Every right that is needed, between MULTI and EXEC where a server checks the right to a command there. Valkey refuses
/// WATCH within a transaction before it checks the right, so WATCH comes first: it watches a key on a connection that is closed
/// afterwards. DISCARD and EXEC come last.
fn needs(of: &FeaturesInUse) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |feature, command: &'static str, line: &str| {
        needs.push(Need {
            feature: Some(feature),
            command,
            words: line
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect(),
        });
    };
    let multi = if of.enforced.is_some() {
        Feature::Enforce
    } else {
        Feature::Transactions
    };
    need(Feature::Transactions, "watch", "WATCH slotmux");
    need(multi, "multi", "MULTI");
    if of.kind == UpstreamKind::Cluster {
        need(Feature::Cluster, "cluster|slots", "CLUSTER SLOTS");
        need(Feature::Cluster, "cluster|nodes", "CLUSTER NODES");
        need(Feature::Cluster, "asking", "ASKING");
        need(Feature::Settings, "config|get", "CONFIG GET maxmemory");
    }
    need(Feature::Transactions, "unwatch", "UNWATCH");
    need(Feature::Blocking, "client|id", "CLIENT ID");
    need(Feature::Blocking, "client|unblock", "CLIENT UNBLOCK 0");
    need(Feature::Caching, "client|tracking", "CLIENT TRACKING OFF");
    need(Feature::Caching, "client|caching", "CLIENT CACHING YES");
    // An invalid script is not kept, should the command run.
    need(Feature::Scripts, "script|load", "SCRIPT LOAD )");
    if of.kind == UpstreamKind::Cluster {
        // An invalid library is not loaded, and no library has this name, should the commands run.
        need(
            Feature::Functions,
            "function|list",
            "FUNCTION LIST LIBRARYNAME )",
        );
        need(Feature::Functions, "function|load", "FUNCTION LOAD )");
        need(Feature::Functions, "function|delete", "FUNCTION DELETE )");
    }
    need(Feature::Info, "info", "INFO server");
    if of.learns {
        need(Feature::Learning, "command", "COMMAND COUNT");
    }
    need(Feature::RandomKey, "dbsize", "DBSIZE");
    if of.wait_by_script {
        need(Feature::Wait, "eval", "EVAL ) 0");
    }
    if of.observes {
        need(Feature::Observe, "pttl", "PTTL slotmux");
    }
    // Where MULTI is refused these commands run: on this connection, which is closed, and after all others.
    need(Feature::Subscriptions, "subscribe", "SUBSCRIBE slotmux");
    need(Feature::Subscriptions, "unsubscribe", "UNSUBSCRIBE slotmux");
    need(Feature::Subscriptions, "psubscribe", "PSUBSCRIBE slotmux");
    need(
        Feature::Subscriptions,
        "punsubscribe",
        "PUNSUBSCRIBE slotmux",
    );
    need(Feature::Subscriptions, "ssubscribe", "SSUBSCRIBE slotmux");
    need(
        Feature::Subscriptions,
        "sunsubscribe",
        "SUNSUBSCRIBE slotmux",
    );
    if of.enforced.is_some() {
        need(Feature::Repair, "client|info", "CLIENT INFO");
        // No client has this id.
        need(Feature::Repair, "client|kill", "CLIENT KILL ID 0");
    }
    if let Some(prefix) = &of.enforced {
        // NX and LT exclude each other: the command changes nothing even if it runs.
        let words = ["PEXPIRE", "", "1000", "NX", "LT"];
        let mut words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).into();
        words[1].clone_from(prefix);
        needs.push(Need {
            feature: Some(Feature::Enforce),
            command: "pexpire",
            words,
        });
    }
    let giving_up = of.enforced.is_some().then_some(Feature::Enforce);
    for (feature, command, word) in [
        (giving_up, "discard", "DISCARD"),
        (Some(multi), "exec", "EXEC"),
    ] {
        needs.push(Need {
            feature,
            command,
            words: vec![word.as_bytes().to_vec()],
        });
    }
    needs
}

/// Whether an error says that the user may not run the command, or that no command has this name.
fn lacks(feature: Feature, error: &str) -> bool {
    let error = error.strip_prefix(EXEC_REFUSED).unwrap_or(error);
    // An error about keys or channels concerns only these: clients use others.
    let is_forbidden = error.starts_with("NOPERM") && !error.contains(" to access ");
    let is_required = feature.loss().is_none();
    let is_gone = error.contains("unknown command") || error.contains("nknown subcommand");
    is_forbidden || (is_required && is_gone)
}

/// Checks every right at every reachable node of `topology`, and warns of missing rights that only cost a feature.
///
/// # Errors
/// A text that names the missing rights, if a primary refuses a right without which slotmux can't be used.
pub(super) async fn check(
    access: &Arc<Access>,
    topology: &Topology,
    of: &Arc<FeaturesInUse>,
) -> Result<(), String> {
    let mut asked = JoinSet::new();
    let slots = Arc::new(Semaphore::new(NODES_AT_ONCE));
    for node in topology.nodes() {
        let (access, of, slots) = (access.clone(), of.clone(), slots.clone());
        let node = node.addr.clone();
        asked.spawn(async move {
            // The semaphore is never closed; without a permit the node is merely checked at once.
            let _permit = slots.acquire().await;
            let missing = missing_at(&access, &node, &of).await;
            (node, missing)
        });
    }
    let mut found = Vec::new();
    let until = Instant::now() + access.connect_timeout.min(PATIENCE);
    while let Ok(Some(joined)) = timeout_at(until, asked.join_next()).await {
        found.extend(joined.ok());
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let is_primary = |node: &Addr| {
        topology
            .shards
            .iter()
            .any(|shard| shard.primary.addr == *node)
    };
    let (primaries, replicas): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(node, _)| is_primary(node));
    if let Some(report) = required(&primaries) {
        return Err(report);
    }
    if let Some(report) = required(&replicas) {
        warn!("the upstream user lacks rights that a replica needs once it is a primary: {report}");
    }
    for warning in warnings(access.user(), &[primaries, replicas].concat()) {
        warn!("{warning}");
    }
    Ok(())
}

/// Checks every right at one node. An unreachable node counts as lacking nothing.
async fn missing_at(access: &Access, node: &Addr, of: &FeaturesInUse) -> Vec<Missing> {
    let needs = needs(of);
    match try_all(access, node, &needs).await {
        Ok(replies) => needs
            .iter()
            .zip(replies)
            .filter_map(|(need, reply)| {
                let (feature, error) = (need.feature?, error_text(&reply.err()?));
                lacks(feature, &error).then_some(Missing {
                    feature,
                    command: need.command,
                    error,
                })
            })
            .collect(),
        Err(reason) => {
            debug!("the rights of the upstream user at {node} are not known: {reason}");
            Vec::new()
        }
    }
}

/// The reply to each command, on a connection of its own, which is closed afterwards.
async fn try_all(
    access: &Access,
    node: &Addr,
    needs: &[Need],
) -> Result<Vec<RedisResult<Value>>, String> {
    let mut connection = open(access, node)
        .await
        .map_err(|reason| reason.to_string())?;
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    for need in needs {
        let mut words = need.words.iter();
        // Each command has at least its name.
        let name = words.next().map(Vec::as_slice).unwrap_or_default();
        let mut command = redis::cmd(&String::from_utf8_lossy(name));
        words.for_each(|word| {
            command.arg(word.as_slice());
        });
        pipe.add_command(command);
    }
    let replies = pipe.query_async(&mut connection).await;
    replies.map_err(|error| error_text(&error))
}

/// The missing rights without which slotmux can't be used, at these nodes, as one text.
fn required(found: &[(Addr, Vec<Missing>)]) -> Option<String> {
    let reports: Vec<String> = found
        .iter()
        .filter_map(|(node, missing)| {
            let missing = missing.iter().filter(|one| one.feature.loss().is_none());
            let refused: Vec<String> = missing
                .map(|one| format!("{} ({})", one.command.to_uppercase(), one.error))
                .collect();
            (!refused.is_empty()).then(|| format!("{node} refuses {}", refused.join(", ")))
        })
        .collect();
    (!reports.is_empty()).then(|| reports.join("; "))
}

/// One warning for each missing right that only costs a feature.
fn warnings(user: &str, found: &[(Addr, Vec<Missing>)]) -> Vec<String> {
    let all = || found.iter().flat_map(|(_, missing)| missing);
    let mut features: Vec<Feature> = all().map(|one| one.feature).collect();
    features.sort_unstable();
    features.dedup();
    features
        .into_iter()
        .filter_map(|feature| {
            let loss = feature.loss()?;
            let lacks_it = |one: &&Missing| one.feature == feature;
            let mut commands: Vec<String> = all()
                .filter(lacks_it)
                .map(|one| format!("+{}", one.command))
                .collect();
            commands.sort_unstable();
            commands.dedup();
            let at = found
                .iter()
                .filter(|(_, missing)| missing.iter().any(|one| lacks_it(&one)));
            let at: Vec<String> = at.map(|(node, _)| node.to_string()).collect();
            Some(format!(
                "the upstream user {user} lacks {} at {}: {loss}",
                commands.join(" "),
                at.join(", ")
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn using(kind: UpstreamKind, enforced: bool) -> FeaturesInUse {
        FeaturesInUse {
            kind,
            enforced: enforced.then(|| b"ns:".to_vec()),
            observes: true,
            learns: true,
            wait_by_script: true,
        }
    }

    #[test]
    fn what_is_tried_is_queued_and_given_up() {
        for kind in [UpstreamKind::Cluster, UpstreamKind::Standalone] {
            for enforced in [false, true] {
                let needs = needs(&using(kind, enforced));
                let commands: Vec<&str> = needs.iter().map(|need| need.command).collect();
                assert_eq!(commands[..2], ["watch", "multi"]);
                assert_eq!(commands[commands.len() - 2..], ["discard", "exec"]);
                let is_required =
                    |need: &&Need| need.feature.is_some_and(|feature| feature.loss().is_none());
                let required = needs.iter().filter(is_required);
                let required: Vec<&str> = required.map(|need| need.command).collect();
                let expected: &[&str] = match (kind, enforced) {
                    (UpstreamKind::Cluster, false) => &["cluster|slots", "cluster|nodes", "asking"],
                    (UpstreamKind::Standalone, false) => &[],
                    (UpstreamKind::Cluster, true) => &[
                        "multi",
                        "cluster|slots",
                        "cluster|nodes",
                        "asking",
                        "pexpire",
                        "discard",
                        "exec",
                    ],
                    (UpstreamKind::Standalone, true) => &["multi", "pexpire", "discard", "exec"],
                };
                assert_eq!(required, expected);
            }
        }
    }

    #[test]
    fn a_refusal_is_about_the_command_or_it_does_not_count() {
        for (error, optional, required) in [
            (
                "NOPERM this user has no permissions to run the 'watch' command",
                true,
                true,
            ),
            (
                "NOPERM User x has no permissions to run the 'client|id' command",
                true,
                true,
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                false,
                false,
            ),
            (
                "NOPERM this user has no permissions to access one of the channels used as arguments",
                false,
                false,
            ),
            ("ERR unknown command 'ASKING'", false, true),
            ("ERR Unknown subcommand 'SLOTS'", false, true),
            ("MOVED 1 127.0.0.1:1", false, false),
            ("MISCONF Errors", false, false),
            ("ERR WATCH inside MULTI is not allowed", false, false),
            ("EXECABORT Transaction discarded", false, false),
            (
                "EXECABORT Transaction discarded because of: NOPERM no exec",
                true,
                true,
            ),
            (
                "EXECABORT Transaction discarded because of: MISCONF Errors",
                false,
                false,
            ),
        ] {
            assert_eq!(lacks(Feature::Caching, error), optional, "{error}");
            assert_eq!(lacks(Feature::Cluster, error), required, "{error}");
        }
    }

    #[test]
    fn each_feature_is_one_warning_and_what_is_required_is_an_error() {
        let missing = |feature, command| Missing {
            feature,
            command,
            error: "NOPERM".to_owned(),
        };
        let (a, b) = (Addr::new("a", 1), Addr::new("b", 1));
        let found = [
            (
                a,
                vec![
                    missing(Feature::Blocking, "client|id"),
                    missing(Feature::Cluster, "asking"),
                ],
            ),
            (b, vec![missing(Feature::Blocking, "client|unblock")]),
        ];
        assert_eq!(
            required(&found).as_deref(),
            Some("a:1 refuses ASKING (NOPERM)")
        );
        let warnings = warnings("proxy", &found);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let start =
            "the upstream user proxy lacks +client|id +client|unblock at a:1, b:1: CLIENT UNBLOCK";
        assert!(warnings[0].starts_with(start), "{warnings:?}");
        assert_eq!(required(&[]), None);
    }
}
