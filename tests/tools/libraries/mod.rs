//! Real client libraries and Redis' own tools, with nothing set up for slotmux. Each check also holds for one plain
//! Redis, and runs against one first, so a failure behind slotmux is caused by slotmux.

mod cluster_rs;
mod first_user;
mod fred_rs;
mod language;
mod languages;
mod metrics;
mod old_server;
mod redis_rs;
mod redis_tools;
mod report;
mod server;
mod tool;

use server::Server;
use std::thread;

use slotmux_testing::{Proxy, shared_cluster, times};
use tool::Tool;

fn passes_everywhere(tool: impl Fn() -> Tool) {
    passes(&Server::all(), tool);
}

/// Runs the tool against all of the servers at once: each run names its keys anew, and all count the same checks.
fn passes(servers: &[Server], tool: impl Fn() -> Tool) {
    let outcomes: Vec<String> = thread::scope(|scope| {
        let start = |&server: &Server| {
            let tool = tool().arg("127.0.0.1").arg(server.port.to_string());
            scope.spawn(move || tool.args(server.password).checks(server))
        };
        let runs: Vec<_> = servers.iter().map(start).collect();
        let outcome = |run: thread::ScopedJoinHandle<'_, String>| run.join().expect("a pass");
        runs.into_iter().map(outcome).collect()
    });
    let name = tool().name().to_owned();
    assert!(
        outcomes.iter().all(|outcome| *outcome == outcomes[0]),
        "{name}: {outcomes:?}"
    );
    report::passed(&name, &outcomes[0]);
}

#[test]
fn redis_py() {
    passes_everywhere(|| Tool::python("redis_py.py"));
}

/// The newest version; in a full run also older ones.
#[test]
fn redis_py_of_several_versions() {
    let environments = ["python", "redis-py-4", "redis-py-5"];
    for environment in environments.into_iter().take(times(1, 3)) {
        passes_everywhere(|| Tool::python_in(environment, "redis_py_versions.py"));
    }
}

/// Long checks: against slotmux, and in a full run against all three servers.
fn passes_in_time(tool: impl Fn() -> Tool) {
    let [plain, open, locked] = Server::all();
    passes(&[locked, plain, open][..times(1, 3)], tool);
}

#[test]
fn bullmq() {
    passes_in_time(|| Tool::node("bullmq.mjs"));
}

#[test]
fn celery() {
    passes_in_time(|| Tool::python("celery_jobs.py"));
}

#[test]
fn rq() {
    passes_in_time(|| Tool::python("rq_jobs.py"));
}

#[test]
fn dramatiq() {
    passes_in_time(|| Tool::python("dramatiq_jobs.py"));
}

#[test]
fn bull() {
    passes_in_time(|| Tool::node("bull.mjs"));
}

#[test]
fn bee_queue() {
    passes_in_time(|| Tool::node("bee_queue.mjs"));
}

/// In front of a slotmux with the one setting that it needs.
#[test]
fn django_redis() {
    passes(&Server::splitting(), || Tool::python("django_cache.py"));
}

#[test]
fn socket_io() {
    passes_everywhere(|| Tool::node("socket_io.mjs"));
}

#[test]
fn valkey_glide() {
    passes_everywhere(|| Tool::python("valkey_glide.py"));
}

#[test]
fn valkey_glide_node() {
    passes_everywhere(|| Tool::node("valkey_glide.mjs"));
}

#[test]
fn ioredis() {
    passes_everywhere(|| Tool::node("ioredis.mjs"));
}

#[test]
fn node_redis() {
    passes_everywhere(|| Tool::node("node_redis.mjs"));
}

#[test]
fn redis_py_cluster() {
    passes(&Server::clusters(), || Tool::python("redis_py_cluster.py"));
}

#[test]
fn valkey_glide_cluster() {
    passes(&Server::clusters(), || {
        Tool::python("valkey_glide_cluster.py")
    });
}

#[test]
fn valkey_glide_node_cluster() {
    passes(&Server::clusters(), || {
        Tool::node("valkey_glide_cluster.mjs")
    });
}

#[test]
fn ioredis_cluster() {
    passes(&Server::clusters(), || Tool::node("ioredis_cluster.mjs"));
}

#[test]
fn node_redis_cluster() {
    passes(&Server::clusters(), || Tool::node("node_redis_cluster.mjs"));
}

/// In front of a separate slotmux: with much traffic a monitor misses lines.
#[test]
fn redis_py_monitor() {
    let [plain, ..] = Server::all();
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let alone = Server {
        title: "slotmux alone",
        port: proxy.port(),
        password: None,
    };
    passes(&[plain, alone], || Tool::python("redis_py_monitor.py"));
}
