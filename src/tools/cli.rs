//! The command line of the `slotmux` binary, with its help texts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::tools::audit::args::{AuditArgs, HELP as AUDIT_HELP, UPSTREAM_HELP};
use slotmux_core::config::CommandLine;

/// The exit statuses that scripts can rely on.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0  success: drained after SIGTERM or SIGINT; `check` found no problem
  1  failure: every problem is on stderr, one a line
  2  wrong command line
`ttl audit` has more: see its --help.";

const EXAMPLES: &str = "\
Examples:
  A real local cluster with slotmux in front, to try it:
    slotmux demo
  Any node of the cluster is enough, the others are discovered:
    slotmux run --upstream redis://10.0.0.5:6379
  The same with environment variables only:
    REDIS_URL=redis://:secret@redis:6379 slotmux
  Everything else is in the file:
    slotmux run --config slotmux.toml
  Every problem of the file at once, with line numbers:
    slotmux check slotmux.toml
  The configuration in force, and the origin of each value:
    slotmux config show --origin
  How a command would be handled:
    slotmux explain --config slotmux.toml SET key value

Flags override the environment, which overrides the file, which overrides the
defaults. slotmux.example.toml lists every key with its default.";

/// A cluster-aware proxy: a Redis Cluster that looks like one Redis
///
/// Clients that know nothing of Redis Cluster connect to slotmux as to one Redis. It sends each command to the node
/// that owns its key, over a few connections that all clients share.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("{EXAMPLES}\n\n{EXIT_STATUSES}"), args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: RunArgs,
}

/// The commands of slotmux.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Serve clients until SIGTERM or SIGINT, then drain and exit
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Check a configuration file and print all of its problems
    ///
    /// The file is read as `run --config FILE` would read it in this environment: ${VARIABLES} are expanded, and
    /// variables such as REDIS_URL override it.
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Show how a command would be handled: its node, the bytes sent, the policy that applies
    ///
    /// Nothing is executed. The upstream is asked for its nodes; if it does not answer at once, they are shown as unknown.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// Inspect the configuration
    #[command(subcommand)]
    Config(ConfigAction),
    /// Start a real local Redis Cluster with slotmux in front of it, to try it out
    ///
    /// Needs `redis-server` on PATH. The nodes run on free loopback ports in a temporary folder; Ctrl-C stops all of
    /// it and leaves nothing behind. slotmux has the namespaces of slotmux.example.toml. Of the environment only their
    /// REDIS_TTL_NAME variables are used.
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Tools for the lifetimes of keys
    #[command(subcommand)]
    Ttl(TtlAction),
}

/// The commands of `slotmux ttl`.
#[derive(Debug, Subcommand)]
pub enum TtlAction {
    /// Find the keys that break the TTL policy of their namespace, and repair them with --repair
    ///
    /// Walks every key of every primary. Finds keys that slotmux does not see: older ones, those that clients wrote
    /// directly to the nodes, and those that scripts did not declare.
    #[command(after_help = AUDIT_HELP)]
    Audit(AuditArgs),
}

/// `slotmux config`
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print every value that would be in force, as an equivalent file
    ///
    /// The file, the environment and the flags are read as `run` would read them. Passwords are not printed.
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
}

const SHOW_HELP: &str = "\
Examples:
  slotmux config show
  slotmux config show --config slotmux.toml --origin
  REDIS_TTL_DOCS=3600 slotmux config show --config slotmux.toml --origin

With --origin each value has its origin in a comment: FILE:LINE, the variable,
the flag, or default.";

const EXPLAIN_HELP: &str = "\
Examples:
  slotmux explain --config slotmux.toml SET session:7 data EX 600
  REDIS_TTL_DOCS=3600 slotmux explain --config slotmux.toml HSET docs:1 a b

A running slotmux explains commands too: send SLOTMUX EXPLAIN <command> from any
client.

Exit status:
  0  explained, also if the command would be refused
  1  the configuration has problems
  2  wrong command line";

const RUN_HELP: &str = "\
Examples:
  slotmux run --upstream redis://10.0.0.5:6379
  slotmux run --upstream redis://app:secret@node1,node2 --listen 127.0.0.1:6380
  SLOTMUX_PASSWORD=secret slotmux run --config slotmux.toml

Environment:
  REDIS_URL, REDIS_USERNAME, REDIS_PASSWORD
      the upstream and how to authenticate there
  REDIS_CONNECTION_TIMEOUT, REDIS_SOCKET_TIMEOUT
      in seconds
  REDIS_MAX_CONNECTIONS
      maximum number of connections to one node; it does not limit clients
  REDIS_TTL_<NAMESPACE>
      a namespace's default TTL in seconds; 0 for none
  SLOTMUX_PASSWORD
      password of clients; without it only this machine is served
  SLOTMUX_CONFIG, SLOTMUX_LISTEN, SLOTMUX_WORKERS, SLOTMUX_ADMIN,
  SLOTMUX_MAX_CLIENTS, SLOTMUX_LOG
      as in the file
  SLOTMUX__SECTION__KEY
      any other key: SLOTMUX__CLUSTER__TIMEOUTS__COMMAND=2s";

const CHECK_HELP: &str = "\
Example:
  $ slotmux check slotmux.toml
  slotmux.toml:2:1: server.worker: unknown key; did you mean `workers`?
  slotmux.toml:3:11: server.backlog: 0 is out of range: 1 to 65535
  slotmux.toml: 2 problems

Exit status:
  0  no problem
  1  problems, or a file that cannot be read
  2  wrong command line";

const DEMO_HELP: &str = "\
Examples:
  slotmux demo
  slotmux demo --port 7777 --replicas 0";

/// `slotmux run`
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Read this configuration file [env: SLOTMUX_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here: IP:port or unix:path; may be repeated [default: 127.0.0.1:6379] [env: SLOTMUX_LISTEN]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    #[arg(long, value_name = "URL", help = UPSTREAM_HELP)]
    upstream: Vec<String>,
    /// Worker threads, or "auto" for one per core [default: auto] [env: SLOTMUX_WORKERS]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Serve /metrics, /healthz and /readyz here, or "none" [default: 127.0.0.1:9121] [env: SLOTMUX_ADMIN]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

/// `slotmux check`
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The file to check
    pub file: PathBuf,
}

/// `slotmux config show`
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// The arguments of `run`.
    #[command(flatten)]
    pub run: RunArgs,
    /// Show the origin of each value
    #[arg(long)]
    pub origin: bool,
}

/// `slotmux explain`
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Read this configuration file [env: SLOTMUX_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The command with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// `slotmux demo`
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The port of 127.0.0.1 to listen on, or the next free one
    #[arg(long, value_name = "PORT", default_value_t = 6379)]
    pub port: u16,
    /// Shards of the cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=16))]
    pub primaries: u8,
    /// Replicas of each primary
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub replicas: u8,
}

impl Cli {
    /// The given command. Without one it is `run` if flags or environment name an upstream; otherwise `None`.
    pub fn action(self, is_configured_by_env: bool) -> Option<Action> {
        let is_bare = !is_configured_by_env && self.run.is_empty();
        self.action
            .or_else(|| (!is_bare).then_some(Action::Run(self.run)))
    }
}

impl RunArgs {
    /// The configuration file of `--config`.
    pub fn config(&self) -> Option<&std::path::Path> {
        self.config.as_deref()
    }

    /// The settings among the flags.
    pub fn flags(&self) -> CommandLine {
        CommandLine {
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            workers: self.workers.clone(),
            admin: self.admin.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        let has_settings = self.workers.is_some() || self.admin.is_some();
        self.config.is_none() && self.listen.is_empty() && self.upstream.is_empty() && !has_settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn action(args: &[&str], is_configured_by_env: bool) -> Option<Action> {
        Cli::try_parse_from([&["slotmux"], args].concat())
            .unwrap()
            .action(is_configured_by_env)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_runs_when_it_knows_against_what() {
        assert!(action(&[], false).is_none());
        assert!(matches!(action(&[], true), Some(Action::Run(_))));
        assert!(matches!(action(&["demo"], false), Some(Action::Demo(_))));
        let Some(Action::Run(args)) = action(&["--upstream", "a:1", "--upstream", "b:2"], false)
        else {
            panic!("flags alone run");
        };
        assert_eq!(args.flags().upstream, ["a:1", "b:2"]);
    }

    /// Wrapped examples cannot be pasted.
    #[test]
    fn the_texts_fit_a_terminal_of_eighty_columns() {
        for text in [
            EXAMPLES,
            EXIT_STATUSES,
            EXPLAIN_HELP,
            RUN_HELP,
            CHECK_HELP,
            SHOW_HELP,
            DEMO_HELP,
        ] {
            for line in text.lines() {
                assert!(line.len() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        for args in [
            &["check"][..],
            &["walk"],
            &["config"],
            &["explain"],
            &["explain", "--config", "f.toml"],
            &["demo", "--primaries", "2"],
            &["run", "--port", "1"],
            &["ttl"],
            &["ttl", "audit", "--rate", "0"],
        ] {
            assert!(
                Cli::try_parse_from([&["slotmux"], args].concat()).is_err(),
                "{args:?}"
            );
        }
    }
}
