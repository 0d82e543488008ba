//! The TTL policy at work, in front of real clusters: the effect of each command, the client's reply, and the
//! guarantees under faults.

mod audit;
mod blocks;
mod chaos;
mod clocks;
mod cuts;
mod databases;
mod disguised;
mod faults;
mod keys;
mod long;
mod namespaces;
mod newer;
mod rows;
mod soup;
mod table;
mod walk;
mod without_memory;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_testing::{Proxy, ProxyConfig};
use toml::Table;

/// Adds a namespace of that name with the prefix `name:` and these keys in its `ttl`.
pub fn add_namespace(config: &mut ProxyConfig, name: &str, ttl: &str) {
    let section: Table = format!("name = \"{name}\"\nmatch = [\"{name}:\"]\nttl = {{ {ttl} }}")
        .parse()
        .expect("TOML");
    config.add_section("namespace", section);
}

/// slotmux in front of `cluster` with one namespace `ns`.
pub fn with_policy(cluster: &LocalCluster, ttl: &str) -> Proxy {
    Proxy::start(cluster, |config| {
        add_namespace(config, "ns", ttl);
        config.set("log.level", "warn");
    })
}

/// The keys of all primaries and their TTLs, in milliseconds.
pub fn all_ttls(cluster: &LocalCluster, primaries: &[usize]) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    for &node in primaries {
        let keys: Vec<String> = cluster.query(node, &["KEYS", "*"]).expect("its keys");
        let mut connection = cluster.connect(node).expect("a connection");
        for chunk in keys.chunks(500) {
            let mut pipeline = redis::pipe();
            for key in chunk {
                pipeline.cmd("PTTL").arg(key);
            }
            let ttls: Vec<i64> = pipeline.query(&mut connection).expect("their TTLs");
            all.extend(chunk.iter().cloned().zip(ttls));
        }
    }
    all
}
