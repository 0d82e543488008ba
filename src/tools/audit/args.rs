//! The command line of `slotmux ttl audit`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::Options;
use slotmux_core::config::CommandLine;

/// What `--help` says below the flags.
pub const HELP: &str = "\
Examples:
  slotmux ttl audit --config slotmux.toml                         a dry run: changes nothing
  slotmux ttl audit --config slotmux.toml --repair --rate 5000    repair, gently
  slotmux ttl audit --config slotmux.toml --json | jq .violations

A key without TTL gets one by `PEXPIRE key default NX`, one above the maximum is cut by
`PEXPIRE key max LT`: neither makes a key live longer, and a second run finds nothing to do.
Repaired keys do not expire all at once: their TTLs are spread by the policy's jitter, or by
10 % if it has none, inside its min and max. Only namespaces in mode `enforce` are repaired.

SCAN may tell of a key twice while a node resizes its table, which then counts twice.

Exit status:
  0    every key that was looked at obeys its policy, or does so now
  1    it could not start, or could not look at everything: stderr says why; stdout has the rest
  2    the command line itself was wrong
  3    keys of enforced namespaces break their policy and were not repaired
  130  SIGINT, SIGTERM or SIGHUP stopped it; stdout has what was seen so far";

/// `slotmux ttl audit`
#[derive(Args, Clone, Debug, Default)]
pub struct AuditArgs {
    /// Read this configuration file [env: SLOTMUX_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A node of the cluster, or a plain Redis: redis://[user:password@]host[:port]; may be repeated [env: REDIS_URL]
    #[arg(long, value_name = "URL")]
    upstream: Vec<String>,
    /// Look at the keys of this namespace only
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Repair what breaks its policy; without it nothing is changed
    #[arg(long)]
    repair: bool,
    /// Look at no more than this many keys per second, all nodes together
    #[arg(long, value_name = "KEYS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Show no progress on stderr; there is none either if that is not a terminal
    #[arg(long)]
    no_progress: bool,
}

impl AuditArgs {
    /// The settings among the flags.
    pub fn flags(&self) -> CommandLine {
        CommandLine {
            upstream: self.upstream.clone(),
            ..CommandLine::default()
        }
    }

    /// What the audit is told.
    pub fn options(&self) -> Options {
        Options {
            namespace: self.namespace.clone(),
            repair: self.repair,
            rate: self.rate,
        }
    }

    /// The progress on stderr: of all keys, by DBSIZE of the nodes.
    pub fn progress(&self) -> ProgressBar {
        if self.no_progress {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{spinner} {human_pos} of about {human_len} keys  {rate}/s  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // A line that cannot be drawn is drawn again soon.
            let _ = write!(out, "{:.0}", state.per_sec());
        });
        // It draws on stderr, and nothing at all if that is no terminal.
        ProgressBar::new(0).with_style(style)
    }
}
