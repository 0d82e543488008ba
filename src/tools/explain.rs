//! An explanation without a running slotmux: discovery finds the nodes, or they are not known.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::control::discovery::discover::Discovery;
use crate::control::resources;
use crate::engine::worker::clock::unix_milliseconds;
use slotmux_core::cluster::server::ServerVersion;
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::{self, Config, EffectiveSettings, UnknownCommands};
use slotmux_core::explain::{Explanation, NodeDirectory, Surroundings, explain};
use slotmux_core::policy::Policies;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request, write};
use slotmux_core::route::Knowledge;
use slotmux_core::slot::Slot;

/// Wait for the upstream, without which the explanation only lacks the nodes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Explains a command by a configuration. `no_upstream` gives the reason if there is no upstream to ask.
pub fn explain_offline(
    words: &[Vec<u8>],
    config: &Config,
    settings: &EffectiveSettings,
    no_upstream: Option<&str>,
) -> Explanation {
    let topology = match no_upstream {
        None => discover(config),
        Some(reason) => Err(reason.to_owned()),
    };
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let (mut bytes, mut args) = (Vec::new(), Vec::new());
    write::request(&mut bytes, &words);
    // It was just written, so it is well formed.
    let _ = scan_request(&bytes, &Limits::ACCEPTED, &mut args);
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    let learned = topology.as_ref().ok().map(|known| known.learned.clone());
    let knowledge = Knowledge {
        server: ServerVersion::default(),
        learned: learned
            .as_deref()
            .filter(|_| config.commands.unknown == UnknownCommands::Learn),
        is_one_node: match &topology {
            Ok(topology) => topology.kind == UpstreamKind::Standalone,
            Err(_) => config.cluster.kind == config::ExpectedKind::Standalone,
        },
        as_cluster: false,
        policies: &Policies::new(config),
        commands: &config.commands,
        now: unix_milliseconds,
    };
    let surroundings = Surroundings {
        knowledge: &knowledge,
        config,
        settings,
        nodes: &DiscoveredNodes(topology),
    };
    explain(&request, surroundings)
}

fn discover(config: &Config) -> Result<Topology, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut discovery = Discovery::new(config, &resources::run_id());
    let found =
        runtime.block_on(async { timeout(PATIENCE, discovery.discover(&Topology::empty())).await });
    match found {
        Ok(Ok(found)) => Ok(found.topology),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the upstream did not answer within {PATIENCE:?}")),
    }
}

/// The discovered topology, or the reason why it is missing.
struct DiscoveredNodes(Result<Topology, String>);

impl DiscoveredNodes {
    fn describe(&self, address: impl FnOnce(&Topology) -> String) -> String {
        match &self.0 {
            Ok(topology) => address(topology),
            Err(reason) => format!("not known: {reason}"),
        }
    }

    fn addresses(&self, addresses: impl FnOnce(&Topology) -> Vec<String>) -> Vec<String> {
        match &self.0 {
            Ok(topology) => addresses(topology),
            Err(_) => vec![self.describe(|_| String::new())],
        }
    }
}

impl NodeDirectory for DiscoveredNodes {
    fn of_slot(&self, slot: Slot) -> Result<String, String> {
        let topology = self.0.as_ref().map_err(String::clone)?;
        let node = topology.primary_of(slot).ok_or("no node serves the slot")?;
        Ok(node.addr.to_string())
    }

    fn any(&self) -> String {
        self.describe(|_| "one of the primaries, always the same for a client".to_owned())
    }

    fn primaries(&self) -> Vec<String> {
        self.addresses(|topology| {
            let shards = topology.shards.iter();
            shards.map(|shard| shard.primary.addr.to_string()).collect()
        })
    }

    fn all(&self) -> Vec<String> {
        self.addresses(|topology| {
            let nodes = topology.nodes();
            nodes.map(|node| node.addr.to_string()).collect()
        })
    }

    fn expects_big_reply(&self, _request: &Request) -> bool {
        false
    }
}
