//! The command line of `slotmux ttl audit`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::Options;
use slotmux_core::config::CommandLine;

/// The part of `--help` below the flags.
pub const HELP: &str = "\
Examples:
  slotmux ttl audit --config slotmux.toml                         a dry run: changes nothing
  slotmux ttl audit --config slotmux.toml --repair --rate 5000    repair at a low rate
  slotmux ttl audit --config slotmux.toml --json | jq .violations

A key without TTL gets one by `PEXPIRE key default NX`, one above the maximum is cut by
`PEXPIRE key max LT`: neither makes a key live longer, and a second run finds nothing to do.
Repaired keys do not expire all at once: their TTLs are spread by the policy's jitter, or by
10 % if it has none, inside its min and max. Only namespaces in mode `enforce` are repaired.

SCAN may return a key twice while a node resizes its table; it is then counted twice.

Exit status:
  0    every checked key obeys its policy, perhaps after a repair
  1    failed to start, or some keys were not checked: the reasons are on stderr
  2    wrong command line
  3    keys of enforced namespaces break their policy and were not repaired
  130  stopped by SIGINT, SIGTERM or SIGHUP; the report covers the keys seen so far";

/// The help of `--upstream`, whose brackets would be links in a comment.
pub const UPSTREAM_HELP: &str = "A node of the cluster, or a plain Redis: redis://[user:password@]host[:port]; may be \
                                 repeated [env: REDIS_URL]";

/// `slotmux ttl audit`
#[derive(Args, Clone, Debug, Default)]
pub struct AuditArgs {
    /// Read this configuration file [env: SLOTMUX_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[arg(long, value_name = "URL", help = UPSTREAM_HELP)]
    upstream: Vec<String>,
    /// Check only the keys of this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Repair keys that break their policy; without it nothing is changed
    #[arg(long)]
    repair: bool,
    /// Check at most this many keys per second, all nodes together
    #[arg(long, value_name = "KEYS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Show no progress on stderr; without a terminal none is shown anyway
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

    /// The options of the audit.
    pub fn options(&self) -> Options {
        Options {
            namespace: self.namespace.clone(),
            repair: self.repair,
            rate: self.rate,
        }
    }

    /// The progress on stderr, relative to the nodes' DBSIZE.
    pub fn progress(&self) -> ProgressBar {
        if self.no_progress {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{spinner} {human_pos} of about {human_len} keys  {rate}/s  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // A failed write is repaired by the next redraw.
            let _ = write!(out, "{:.0}", state.per_sec());
        });
        // Draws on stderr, and only if that is a terminal.
        ProgressBar::new(0).with_style(style)
    }
}
