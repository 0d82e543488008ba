//! The command line.

use crate::wire::Login;
use clap::Parser;
use slotmux_core::units::time_argument;
use std::time::Duration;

/// Records what a Redis Cluster acknowledges under faults: clients write unique values and know which replies are
/// possible; at the end every acknowledged write is looked up. A wrong reply, a lost or a doubled write makes the exit
/// status 1. The keys stay until they are deleted: expect 100 bytes for each write.
#[derive(Parser, Debug)]
#[command(name = "slotmux-ledger", version, max_term_width = 110)]
pub struct Args {
    /// Address to load: slotmux, Redis, or another proxy
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6379"
    )]
    pub target: String,
    /// Some nodes of the cluster behind it. Each client then uses one shard, so that the report has figures per shard, and
    /// the final lookups read from the nodes directly
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// For each shard one more client that connects to the nodes directly, to measure their outages and losses without
    /// the target
    #[arg(long, requires = "nodes")]
    pub control: bool,
    /// Connections
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// Requests that a client sends in one write before it reads their replies
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub depth: u32,
    /// How long to run [default: 10s, or with --steps until stdin ends]
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    pub duration: Option<Duration>,
    /// Requests per second of all clients together; 0: as many as they can
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub rate: u32,
    /// Percentage of requests that read
    #[arg(long, value_name = "PERCENT", default_value_t = 35, value_parser = clap::value_parser!(u8).range(0..=95))]
    pub reads: u8,
    /// Protocol version; 3 sends HELLO 3
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub resp: u8,
    /// User to log in as
    #[arg(long, value_name = "NAME", requires = "password")]
    pub user: Option<String>,
    /// Password to log in with
    #[arg(
        short = 'a',
        long,
        value_name = "TEXT",
        env = "SLOTMUX_LEDGER_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<String>,
    /// Password of the nodes' default user
    #[arg(
        long,
        value_name = "TEXT",
        env = "SLOTMUX_LEDGER_NODE_PASSWORD",
        hide_env_values = true
    )]
    pub node_password: Option<String>,
    /// Prefix of all keys; the name of the run follows it
    #[arg(long, value_name = "TEXT", default_value = "ledger:")]
    pub key_prefix: String,
    /// Prefix of half of the keys, which must all have a TTL at the end
    #[arg(long, value_name = "TEXT")]
    pub ttl_prefix: Option<String>,
    /// Longest silence of a connection with requests in flight, before it counts as lost
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = time_argument)]
    pub timeout: Duration,
    /// How long the lookups at the end may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time_argument)]
    pub settle: Duration,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Do not show progress
    #[arg(long)]
    pub no_progress: bool,
    /// For scripts that cause faults: print `ready`, then execute lines of stdin and print a line after each:
    /// `phase NAME` (start a new phase of the report), `quiesce` (stop sending and wait for all replies), `resume`,
    /// `recovered` (wait for a new acknowledged write in each shard), `progress SHARDS N` (wait until each client of these
    /// shards, 0,1,... in the order of their slots, has been served N times more), `reads PERCENT` (100: no writes, and a
    /// shard has recovered when a read was answered). The end of stdin ends the run
    #[arg(long)]
    pub steps: bool,
}

impl Args {
    /// How to log in to the target.
    pub fn login(&self) -> Login {
        Login {
            address: self.target.clone(),
            resp: self.resp,
            user: self.user.clone(),
            password: self.password.clone(),
            timeout: self.timeout,
        }
    }

    /// How to log in to nodes.
    pub fn node_login(&self) -> Login {
        Login {
            address: String::new(),
            resp: 2,
            user: None,
            password: self.node_password.clone(),
            // The ledger measures outages of nodes, so it must not wait for a node.
            timeout: Duration::from_secs(1),
        }
    }

    /// Duration of the run; `None`: until stdin ends.
    pub fn limit(&self) -> Option<Duration> {
        let usual = (!self.steps).then_some(Duration::from_secs(10));
        self.duration.or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let parse = |args: &[&str]| Args::try_parse_from([&["slotmux-ledger"], args].concat());
        assert_eq!(parse(&[]).unwrap().limit(), Some(Duration::from_secs(10)));
        assert_eq!(parse(&["--steps"]).unwrap().limit(), None);
        assert_eq!(
            parse(&["--nodes", "a:1,b:2"]).unwrap().nodes,
            ["a:1", "b:2"]
        );
        for wrong in [
            &["--control"][..],
            &["--clients", "0"],
            &["--duration", "soon"],
            &["--user", "me"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
