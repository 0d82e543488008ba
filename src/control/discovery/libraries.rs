//! Gives primaries the libraries of functions that they lack: one that joins, before its slots are called, and one that says that
//! it lacks a function. The other primaries are the source of the libraries; slotmux keeps no code.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::addr::Addr;
use super::ask::{Access, error_text};
use super::open::open;
use super::topology::{Topology, UpstreamKind};
use crate::engine::library_requests::{LibraryRequest, TakenRequests};
use crate::engine::shared::Shared;
use slotmux_core::functions::{Library, have, is_common, missing};

/// Time from the topology that shows a joined primary until its libraries are looked at. The first call at such a node often
/// comes with that topology, and asks for its library itself; a call that fails while a library is being loaded for another
/// reason gets the error, because it may have run.
const JOIN_DELAY: Duration = Duration::from_millis(200);

/// Serves the requests of the workers, and primaries that join, until the topology has no sender.
pub async fn run(shared: &Shared) {
    let access = Arc::new(Access::new(&shared.config, &shared.run_id));
    let mut requests = shared.libraries.take_requests();
    let mut topology = shared.topology.clone();
    let mut known = primaries(&topology.borrow_and_update());
    let mut waiting: Vec<LibraryRequest> = Vec::new();
    let mut joined: HashSet<Addr> = HashSet::new();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            changed = topology.changed() => {
                if changed.is_err() {
                    return;
                }
                let newest = primaries(&topology.borrow_and_update());
                // At the start no primary has joined.
                if !known.is_empty() {
                    joined.extend(newest.difference(&known).cloned());
                    due = Instant::now() + JOIN_DELAY;
                }
                known = newest;
            }
            () = sleep_until(due), if !joined.is_empty() => {
                for node in joined.drain() {
                    let need = Need { access: &access, shared, node: &node };
                    let take = || take_for(&node, &mut requests, &mut waiting);
                    need.give(take, &known).await;
                }
            }
            received = requests.next() => {
                waiting.extend(received);
            }
        }
        while let Some(first) = waiting.first() {
            let node = first.missing.node.clone();
            let need = Need {
                access: &access,
                shared,
                node: &node,
            };
            let take = || take_for(&node, &mut requests, &mut waiting);
            need.give(take, &known).await;
        }
    }
}

/// Takes the requests for `node`: calls that failed by the moment at which a library is loaded are served by it.
fn take_for(
    node: &Addr,
    requests: &mut TakenRequests<'_>,
    waiting: &mut Vec<LibraryRequest>,
) -> Vec<LibraryRequest> {
    while let Some(request) = requests.next_waiting() {
        waiting.push(request);
    }
    let (here, elsewhere) = waiting
        .drain(..)
        .partition(|request| request.missing.node == *node);
    *waiting = elsewhere;
    here
}

fn primaries(topology: &Topology) -> HashSet<Addr> {
    if topology.kind == UpstreamKind::Standalone {
        return HashSet::new();
    }
    let shards = topology.shards.iter();
    shards.map(|shard| shard.primary.addr.clone()).collect()
}

/// A primary that may lack libraries.
struct Need<'a> {
    access: &'a Arc<Access>,
    shared: &'a Shared,
    node: &'a Addr,
}

impl Need<'_> {
    /// Loads the libraries of the other `primaries` that the node lacks, and answers the requests that `take` returns once
    /// those are known. A request whose function the node has gets `false`: a function that has run may return the same error.
    async fn give(&self, take: impl FnOnce() -> Vec<LibraryRequest>, primaries: &HashSet<Addr>) {
        let own = list(self.access, self.node).await;
        let others = self.others(primaries).await;
        let requests = take();
        let (own, loaded) = match own {
            Some((own, connection)) => {
                let is_wanted = |library: &Library| {
                    let mut wanted = requests.iter().map(|request| &request.missing.function);
                    own.is_empty()
                        || requests.is_empty()
                        || wanted.any(|function| {
                            let function = function.as_deref();
                            function
                                .is_none_or(|name| library.functions.iter().any(|has| has == name))
                        })
                };
                let mut lacking = missing(&own, &others, &self.shared.libraries.deletions);
                lacking.retain(|library| is_wanted(library));
                let loaded = self.load(connection, &lacking, primaries).await;
                (own, loaded)
            }
            None => (Vec::new(), Vec::new()),
        };
        for request in requests {
            let function = request.missing.function.as_deref().unwrap_or_default();
            let is_given = !have(&own, function) && have(&loaded, function);
            if !is_given && !have(&own, function) {
                self.shared.libraries.rest(&request);
            }
            // The client may have left.
            let _ = request.then.send(is_given);
        }
    }

    /// Loads libraries, and returns the loaded ones. One that was deleted or replaced elsewhere meanwhile is deleted again.
    async fn load(
        &self,
        mut connection: MultiplexedConnection,
        lacking: &[&Library],
        primaries: &HashSet<Addr>,
    ) -> Vec<Library> {
        let mut loaded = Vec::new();
        for &library in lacking {
            let mut load = redis::cmd("FUNCTION");
            // Without REPLACE, so that libraries which the node has got meanwhile stay.
            load.arg("LOAD").arg(&library.code);
            match load.query_async::<Value>(&mut connection).await {
                Ok(_) => loaded.push(library.clone()),
                Err(error) => warn!(
                    node = %self.node,
                    library = %library.name.escape_ascii(),
                    "the node lacks a library of functions and does not take it: {}",
                    error_text(&error)
                ),
            }
        }
        if loaded.is_empty() {
            return loaded;
        }
        let others = self.others(primaries).await;
        let deletions = &self.shared.libraries.deletions;
        let mut kept = Vec::new();
        for library in loaded {
            let name = library.name.escape_ascii().to_string();
            if is_common(&library, &others) && !deletions.cover(&library.name) {
                info!(node = %self.node, library = name, "the node lacked a library of functions and has got it");
                kept.push(library);
                continue;
            }
            debug!(node = %self.node, library = name, "the library was deleted meanwhile");
            let is_same = match list(self.access, self.node).await {
                Some((own, _)) => own.contains(&library),
                None => false,
            };
            if is_same {
                let mut delete = redis::cmd("FUNCTION");
                delete.arg("DELETE").arg(&library.name);
                if let Err(error) = delete.query_async::<Value>(&mut connection).await {
                    warn!(node = %self.node, library = name, "cannot delete the library again: {}", error_text(&error));
                }
            }
        }
        kept
    }

    /// The libraries of each other primary; `None` where one does not say.
    async fn others(&self, primaries: &HashSet<Addr>) -> Vec<Option<Vec<Library>>> {
        let mut asked = JoinSet::new();
        for node in primaries.iter().filter(|node| *node != self.node) {
            let (access, node) = (self.access.clone(), node.clone());
            asked.spawn(async move { list(&access, &node).await.map(|(libraries, _)| libraries) });
        }
        asked.join_all().await
    }
}

/// The libraries of a node, and the connection over which it named them.
async fn list(access: &Access, node: &Addr) -> Option<(Vec<Library>, MultiplexedConnection)> {
    let asked = async {
        let mut connection = open(access, node)
            .await
            .map_err(|reason| reason.to_string())?;
        let mut list = redis::cmd("FUNCTION");
        list.arg("LIST").arg("WITHCODE");
        let reply: Value = list
            .query_async(&mut connection)
            .await
            .map_err(|error| error_text(&error))?;
        Ok::<_, String>((libraries(&reply), connection))
    };
    let listed = asked.await;
    listed
        .inspect_err(|reason| debug!(%node, "the libraries of functions are not known: {reason}"))
        .ok()
}

/// Reads the reply to FUNCTION LIST WITHCODE.
fn libraries(reply: &Value) -> Vec<Library> {
    let Value::Array(all) = reply else {
        return Vec::new();
    };
    let read = |library: &Value| {
        let functions = match field(library, b"functions") {
            Some(Value::Array(functions)) => functions.as_slice(),
            _ => &[],
        };
        Some(Library {
            name: bytes(field(library, b"library_name")?)?,
            code: bytes(field(library, b"library_code")?)?,
            functions: functions
                .iter()
                .filter_map(|function| bytes(field(function, b"name")?))
                .collect(),
        })
    };
    all.iter().filter_map(read).collect()
}

/// The value of a field, in a map or in an array of names and values.
fn field<'a>(of: &'a Value, name: &[u8]) -> Option<&'a Value> {
    let is_name = |value: &Value| bytes(value).as_deref() == Some(name);
    match of {
        Value::Map(fields) => fields
            .iter()
            .find(|(key, _)| is_name(key))
            .map(|(_, value)| value),
        Value::Array(items) => items
            .chunks_exact(2)
            .find(|pair| is_name(&pair[0]))
            .map(|pair| &pair[1]),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        Value::SimpleString(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}
