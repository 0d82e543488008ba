//! The `slotmux` binary: reads the command line and the configuration, then runs the proxy or a tool.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use slotmux::control::signals::{self, Hangup};
use slotmux::control::{logging, proxy};
use slotmux::engine::worker::panics;
use slotmux::tools::audit::{self, args::AuditArgs};
use slotmux::tools::cli::{
    Action, CheckArgs, Cli, ConfigAction, DemoArgs, ExplainArgs, RunArgs, ShowArgs, TtlAction,
};
use slotmux::tools::demo::{self, DemoOptions};
use slotmux::tools::explain::explain_offline;
use slotmux_core::config::{
    self, CommandLine, EffectiveSettings, LoadedConfig, Log, Problem, ProblemKind, Sources,
};
use tokio_util::sync::CancellationToken;

/// Returns memory to the system after a burst, and stores ten thousand small clients more tightly than glibc.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit status for a wrong command line, as of clap.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().action(config::env::names_an_upstream()) {
        Some(Action::Run(args)) => run(&args),
        Some(Action::Check(args)) => check(&args),
        Some(Action::Explain(args)) => explain(&args),
        Some(Action::Config(ConfigAction::Show(args))) => show(&args),
        Some(Action::Demo(args)) => demo(&args),
        Some(Action::Ttl(TtlAction::Audit(args))) => audit(&args),
        None => {
            eprintln!("{}", Cli::command().render_help());
            ExitCode::from(USAGE)
        }
    }
}

fn run(args: &RunArgs) -> ExitCode {
    let loaded = match loaded(args.config(), args.flags()) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let config = loaded.config;
    let settings = EffectiveSettings::new(&config, &loaded.origins);
    logging::start(&config.log);
    panics::log_panics();
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    let shutdown = CancellationToken::new();
    if let Err(error) = signals::cancel_on_signal(shutdown.clone(), Hangup::IsIgnored) {
        return failed([error]);
    }
    match proxy::run(config, settings, shutdown) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed([error]),
    }
}

/// Loads the configuration; prints its problems if it has any.
fn loaded(file: Option<&Path>, flags: CommandLine) -> Result<LoadedConfig, ExitCode> {
    let sources = Sources::gather(file, flags).map_err(|problem| failed([problem]))?;
    config::load_with_origins(&sources).map_err(failed)
}

fn show(args: &ShowArgs) -> ExitCode {
    let loaded = match loaded(args.run.config(), args.run.flags()) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let origins = args.origin.then_some(&loaded.origins);
    let page = config::show(&loaded.config, origins);
    printed(&page)
}

/// Prints a page. A reader that closes the pipe early is not an error.
fn printed(page: &str) -> ExitCode {
    match io::stdout().lock().write_all(page.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failed([error]),
        _ => ExitCode::SUCCESS,
    }
}

fn explain(args: &ExplainArgs) -> ExitCode {
    let mut sources = match Sources::gather(args.config.as_deref(), CommandLine::default()) {
        Ok(sources) => sources,
        Err(problem) => return failed([problem]),
    };
    let mut loaded = config::load_with_origins(&sources);
    let mut no_upstream = None;
    let is_no_upstream = |problem: &Problem| problem.kind == ProblemKind::NoUpstream;
    if matches!(&loaded, Err(problems) if problems.iter().any(is_no_upstream)) {
        no_upstream = Some("no upstream is configured");
        // A placeholder that is never contacted.
        sources.flags.upstream = vec!["redis://upstream.invalid".to_owned()];
        loaded = config::load_with_origins(&sources);
    }
    let LoadedConfig {
        config, origins, ..
    } = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return failed(problems),
    };
    let settings = EffectiveSettings::new(&config, &origins);
    let words: Vec<Vec<u8>> = args
        .command
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    printed(&explain_offline(&words, &config, &settings, no_upstream).to_string())
}

fn check(args: &CheckArgs) -> ExitCode {
    let file = args.file.display();
    let sources = match Sources::gather(Some(&args.file), CommandLine::default()) {
        Ok(sources) => sources,
        Err(problem) => return failed([problem.text]),
    };
    match config::load_with_origins(&sources) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                eprintln!("{}: warning: {}", warning.origin, warning.text);
            }
            println!("{file}: ok");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            let count = problems.len();
            let status = failed(problems);
            eprintln!(
                "{file}: {count} {}",
                if count == 1 { "problem" } else { "problems" }
            );
            status
        }
    }
}

fn demo(args: &DemoArgs) -> ExitCode {
    logging::start(&Log {
        level: "warn".into(),
        ..Log::default()
    });
    let options = DemoOptions {
        port: args.port,
        primaries: usize::from(args.primaries),
        replicas: usize::from(args.replicas),
    };
    match demo::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed([error]),
    }
}

fn audit(args: &AuditArgs) -> ExitCode {
    let loaded = match loaded(args.config.as_deref(), args.flags()) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let config = loaded.config;
    // Warnings of the discovery about the cluster's settings concern a proxy, not an audit.
    logging::start(&Log {
        level: "warn,slotmux::control::discovery=error".into(),
        ..config.log.clone()
    });
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    let stop = CancellationToken::new();
    if let Err(error) = signals::cancel_on_signal(stop.clone(), Hangup::Ends) {
        return failed([error]);
    }
    match audit::run(&config, &args.options(), args.progress(), stop) {
        Ok(report) => {
            if args.json {
                match report.json() {
                    Ok(json) => println!("{json}"),
                    Err(error) => return failed([error]),
                }
            } else {
                print!("{}", report.table());
            }
            failed(report.problems());
            ExitCode::from(report.status())
        }
        Err(error) => failed([error]),
    }
}

/// Prints the problems, one a line.
fn failed(problems: impl IntoIterator<Item = impl Display>) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::FAILURE
}
