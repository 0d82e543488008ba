//! The `SLOTMUX` command: reports about the running process. The client's worker collects the parts of all workers;
//! nothing is changed.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::shared::Mail;
use crate::engine::stats::{observed, unmatched};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::unix_milliseconds;
use slotmux_core::answer::OperatorQuestion;
use slotmux_core::config::ExpectedKind;
use slotmux_core::explain::{Surroundings, explain};
use slotmux_core::policy::{NamespaceId, Policies};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::tree::Tree;
use slotmux_core::resp::{Limits, scan_request, write};
use slotmux_core::route::Knowledge;

mod namespaces;
mod nodes;
mod ttl_stats;

use nodes::WorkerNodes;

/// Answers a question, now or once every worker has reported its part.
pub fn answer(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    question: OperatorQuestion,
    request: &Request,
    mute: bool,
) {
    let shared = &worker.shared;
    let tree = match question {
        OperatorQuestion::Explain => Ok(explained(worker, client, request)),
        OperatorQuestion::Namespaces => Ok(namespaces::all(&shared.policies, &worker.config)),
        OperatorQuestion::Namespace(name) => named(&shared.policies, &name)
            .map(|id| namespaces::one(id, &shared.policies, &worker.config, &shared.settings)),
        OperatorQuestion::TtlStats(None) => Ok(ttl_stats::all(shared)),
        OperatorQuestion::TtlStats(Some(name)) => match named(&shared.policies, &name) {
            Ok(id) => return answer_ttl_stats(worker, client, id, mute),
            Err(error) => Err(error),
        },
        OperatorQuestion::Unmatched(count) => return answer_unmatched(worker, client, count, mute),
    };
    let mut out = worker.scratch.buffers.take();
    match tree {
        Ok(tree) => tree.write(client.session.protocol(), &mut out),
        Err(text) => {
            worker.stats.errors.inc();
            write::error(&mut out, &text);
        }
    }
    client.reply_now(worker, if mute { &[] } else { &out });
    worker.scratch.buffers.give(out);
}

fn named(policies: &Policies, name: &[u8]) -> Result<NamespaceId, String> {
    let mut all = policies.iter();
    let found = all.find(|(_, policy)| policy.name.as_bytes() == name);
    found.map(|(id, _)| id).ok_or_else(|| {
        let name = slotmux_core::explain::words::quoted(name);
        format!("ERR slotmux: no namespace has the name {name}. Try SLOTMUX NAMESPACES.")
    })
}

fn explained(worker: &Worker, client: &Client, request: &Request) -> Tree {
    let words: Vec<&[u8]> = (OperatorQuestion::EXPLAINED..request.argc())
        .map(|at| request.arg(at))
        .collect();
    let (mut bytes, mut args) = (Vec::new(), Vec::new());
    write::request(&mut bytes, &words);
    // It was just written, so that it is a request.
    let _ = scan_request(&bytes, &Limits::ACCEPTED, &mut args);
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    let is_known = !worker.map.topology.borrow().is_empty();
    worker.with_knowledge_for(client, |knowledge| {
        let knowledge = Knowledge {
            // A request that comes before the topology is known waits for it; it is explained as it will be planned.
            is_one_node: if is_known {
                knowledge.is_one_node
            } else {
                worker.config.cluster.kind == ExpectedKind::Standalone
            },
            ..*knowledge
        };
        let surroundings = Surroundings {
            knowledge: &knowledge,
            config: &worker.config,
            settings: &worker.shared.settings,
            nodes: &WorkerNodes { worker, client },
        };
        explain(&request, surroundings).reply()
    })
}

/// Answers `SLOTMUX TTL STATS namespace` with the examples of all workers.
fn answer_ttl_stats(worker: &Rc<Worker>, client: &Rc<Client>, id: NamespaceId, mute: bool) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let shared = &worker.shared;
        let examples = shared.ask_all(|reply| Mail::Observed(id, reply)).await;
        let examples = observed::merged(examples);
        let tree = ttl_stats::one(shared, id, &examples, unix_milliseconds());
        reply(&worker, &client, seq, &tree, mute);
    };
    host.spawn_for(&asker, "SLOTMUX TTL STATS", answering);
}

/// Answers `SLOTMUX UNMATCHED` with the sketches of all workers.
fn answer_unmatched(worker: &Rc<Worker>, client: &Rc<Client>, count: usize, mute: bool) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let shared = &worker.shared;
        let mut seen = unmatched::merged(shared.ask_all(Mail::Unmatched).await);
        seen.truncate(count);
        let note = if shared.policies.has_namespaces() {
            "estimates"
        } else {
            "none: no namespace is configured, so that every key is undeclared"
        };
        let prefix = |seen: unmatched::Seen| {
            Tree::map([
                ("prefix", Tree::Text(seen.prefix)),
                ("count", Tree::number(seen.count)),
                ("at_least", Tree::number(seen.count - seen.excess)),
            ])
        };
        let tree = Tree::map([
            ("counts", Tree::text(note)),
            (
                "prefixes",
                Tree::List(seen.into_iter().map(prefix).collect()),
            ),
        ]);
        reply(&worker, &client, seq, &tree, mute);
    };
    host.spawn_for(&asker, "SLOTMUX UNMATCHED", answering);
}

fn reply(worker: &Rc<Worker>, client: &Rc<Client>, seq: u32, tree: &Tree, mute: bool) {
    let mut out = Vec::new();
    tree.write(client.session.protocol(), &mut out);
    client.reply(worker, seq, if mute { &[] } else { &out });
}
