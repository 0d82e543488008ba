//! The command line, and the checked plan made of it.

use crate::connect::{Greeting, Target};
use crate::mix::{Mix, Op, parse_mix, parse_op};
use crate::value::{Keyspace, Sizes, parse_sizes};
use clap::{Parser, ValueEnum};
use slotmux_core::units::time_argument;
use std::time::Duration;

/// Load generator for any server of the Redis protocol. Each reply is compared with the one value that its key can
/// have: wrong, missing, failed and lost replies are counted and shown, and make the exit status 1.
#[derive(Parser, Debug)]
#[command(
    name = "slotmux-bench",
    version,
    max_term_width = 110,
    args_override_self = true
)]
pub struct Args {
    /// Address to load: slotmux, Redis, or another proxy
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6379"
    )]
    target: String,
    /// Connections, all open before the first request
    #[arg(short, long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Requests that a client sends in one write before it waits for all their replies; with --rate the most that
    /// one client has in flight
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    depth: u32,
    /// Commands and their shares: get, set, hset, mget:N, mset:N, incr, ping
    #[arg(short, long, value_name = "LIST", default_value = "get=80,set=20", value_parser = parse_mix)]
    mix: Mix,
    /// One command only
    #[arg(long, value_name = "NAME", value_parser = parse_op, conflicts_with = "mix")]
    command: Option<Op>,
    /// Bytes of a value (64, 16KiB), or a range (64..1024) from which each key has one size
    #[arg(short = 's', long, value_name = "SIZE", default_value = "64", value_parser = parse_sizes)]
    value_size: Sizes,
    /// Number of keys, drawn evenly
    #[arg(short, long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Prefix of all keys [default: bench:SIZE:]
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
    /// Stop after this many requests
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Stop after this time (10s, 500ms, 2m) [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    duration: Option<Duration>,
    /// Send at this fixed rate per second, however slow the replies are; latency then counts from the moment when a
    /// request was due
    #[arg(short, long, value_name = "PER_SECOND", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Threads, each with its share of the clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Protocol version; 3 sends HELLO 3
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    resp: u8,
    /// User to log in as
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password to log in with
    #[arg(
        short = 'a',
        long,
        value_name = "TEXT",
        env = "SLOTMUX_BENCH_PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,
    /// First commands of a client: `library` adds the CLIENT SETINFO and SETNAME that current libraries send
    #[arg(long, value_enum, default_value_t = Introduction::Plain)]
    introduction: Introduction,
    /// Run for this time first, counting faults but no latencies
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    warmup: Option<Duration>,
    /// Do not store the keys first, because an earlier run with the same keys, prefix and sizes did
    #[arg(long)]
    no_load: bool,
    /// Accept missing keys (with --no-load, or if the target evicts)
    #[arg(long)]
    allow_missing: bool,
    /// Longest silence of a connection with requests in flight, before it counts as lost
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time_argument)]
    timeout: Duration,
    /// Seed of the random requests: the same seed, clients and mix send the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Connections that are opened at the same time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connecting: u32,
    /// Connect all clients, let each send --depth requests, then hold them idle until a signal or --hold
    #[arg(long, conflicts_with_all = ["requests", "duration", "rate", "warmup"])]
    idle: bool,
    /// How long --idle holds its clients
    #[arg(long, value_name = "TIME", value_parser = time_argument, requires = "idle")]
    hold: Option<Duration>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Do not show progress
    #[arg(long)]
    no_progress: bool,
    /// For scripts: print `ready` once connected and warm, start when a line comes on stdin, print the result, and
    /// keep the connections until the next line or the end of stdin
    #[arg(long)]
    step: bool,
}

/// The commands that a client sends before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Introduction {
    /// Only HELLO and AUTH, as other options require
    Plain,
    /// As client libraries do: also CLIENT SETINFO twice and CLIENT SETNAME
    Library,
}

/// When a phase ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// After this many requests of all clients together.
    Requests(u64),
    /// After this time.
    Duration(Duration),
    /// After this many requests of each client.
    Each(u64),
}

/// A checked command line.
#[derive(Debug)]
pub struct Plan {
    /// The address, and the greeting of each connection.
    pub target: Target,
    /// Connections.
    pub clients: u32,
    /// Pipeline depth.
    pub depth: u32,
    /// Commands and their shares.
    pub mix: Mix,
    /// Keys and values.
    pub keys: Keyspace,
    /// Text of the value sizes.
    pub sizes: Sizes,
    /// When the run ends.
    pub limit: Limit,
    /// Requests per second, for the open loop.
    pub rate: Option<f64>,
    /// Threads.
    pub threads: u32,
    /// Time before the run that is not measured.
    pub warmup: Option<Duration>,
    /// Whether keys are stored first.
    pub load: bool,
    /// Whether missing keys are accepted.
    pub allow_missing: bool,
    /// Longest silence of a connection with requests in flight.
    pub timeout: Duration,
    /// Seed of all draws.
    pub seed: u64,
    /// Whether to hold idle clients, and how long.
    pub idle: bool,
    /// How long idle clients are held.
    pub hold: Option<Duration>,
    /// Output as JSON.
    pub json: bool,
    /// Show progress.
    pub progress: bool,
    /// Wait for lines on stdin.
    pub step: bool,
}

impl Args {
    /// Makes the checks that clap cannot make, and resolves the target.
    pub fn into_plan(self) -> Result<Plan, String> {
        let prefix = self
            .key_prefix
            .unwrap_or_else(|| format!("bench:{}:", self.value_size));
        let greeting = Greeting::new(
            self.resp,
            self.user.as_deref(),
            self.password.as_deref(),
            self.introduction,
        );
        let target = Target::resolve(&self.target, greeting, self.connecting, self.timeout)?;
        let mix = match (self.command, self.idle) {
            (Some(op), _) => op.into(),
            (None, true) => Op::Get.into(),
            (None, false) => self.mix,
        };
        let limit = match (self.idle, self.requests) {
            (true, _) => Limit::Each(u64::from(self.depth)),
            (false, Some(n)) => Limit::Requests(n),
            (false, None) => Limit::Duration(self.duration.unwrap_or(Duration::from_secs(10))),
        };
        Ok(Plan {
            target,
            clients: self.clients,
            depth: self.depth,
            load: !self.no_load && mix.reads_keys(),
            mix,
            keys: Keyspace::new(&prefix, self.keys, self.value_size),
            sizes: self.value_size,
            limit,
            rate: self.rate,
            threads: self.threads.min(self.clients),
            warmup: self.warmup,
            allow_missing: self.allow_missing,
            timeout: self.timeout,
            seed: self.seed,
            idle: self.idle,
            hold: self.hold,
            json: self.json,
            progress: !self.no_progress,
            step: self.step,
        })
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|_| format!("{text}: not a number"))?;
    if (0.1..=100_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("{text}: not a rate from 0.1 to 1e8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let args = [&["slotmux-bench", "--target", "127.0.0.1:1"], args].concat();
        Args::try_parse_from(args)
            .map_err(|e| e.to_string())?
            .into_plan()
    }

    #[test]
    fn defaults_make_a_plan() {
        let plan = plan(&[]).unwrap();
        assert_eq!((plan.clients, plan.depth, plan.threads), (50, 1, 1));
        assert_eq!(plan.limit, Limit::Duration(Duration::from_secs(10)));
        assert_eq!(plan.mix.to_string(), "get=80,set=20");
        assert!(plan.load && !plan.allow_missing);
    }

    #[test]
    fn options_change_the_plan() {
        let one = plan(&[
            "--command",
            "mget:4",
            "--requests",
            "7",
            "--threads",
            "9",
            "--clients",
            "3",
        ])
        .unwrap();
        assert_eq!(one.mix.to_string(), "mget:4=1");
        assert_eq!((one.limit, one.threads), (Limit::Requests(7), 3));
        let idle = plan(&["--idle", "--depth", "64", "--hold", "500ms"]).unwrap();
        assert_eq!(
            (idle.limit, idle.hold),
            (Limit::Each(64), Some(Duration::from_millis(500)))
        );
        assert_eq!(idle.mix.to_string(), "get=1");
        assert!(
            !plan(&["--command", "set"]).unwrap().load,
            "no value is read"
        );
    }

    #[test]
    fn contradictory_options_are_refused() {
        for args in [
            &["--requests", "1", "--duration", "1s"][..],
            &["--clients", "0"],
            &["--depth", "0"],
            &["--duration", "0s"],
            &["--duration", "soon"],
            &["--rate", "-1"],
            &["--rate", "NaN"],
            &["--hold", "1s"],
            &["--idle", "--rate", "5"],
            &["--user", "me"],
            &["--command", "get", "--mix", "get=1"],
            &["--target", "no-port"],
        ] {
            assert!(plan(args).is_err(), "{args:?}");
        }
    }
}
