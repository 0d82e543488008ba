//! Where log lines go (stderr), which of them, and how they look. What is logged never holds a password: the types
//! that keep one do not print it.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{Format, Log};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts logging as configured. The first call stands: tests start several proxies in one process.
pub fn start(log: &Log) {
    let filter = filter(&log.level).unwrap_or_else(|_| EnvFilter::new("warn,slotmux=info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would report on stderr that stderr is gone, and panic.
        .log_internal_errors(false);
    let started = match log.format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// A level for slotmux itself (the libraries below it stay at `warn`), or directives such as
/// `info,slotmux::cluster=debug`.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let text = match level {
        "off" | "error" | "warn" => level.to_owned(),
        _ if LEVELS.contains(&level) => format!("warn,slotmux={level}"),
        _ => level.to_owned(),
    };
    // EnvFilter takes a mistyped level for the name of a target, and then logs nothing.
    let mistyped = text
        .split(',')
        .map(str::trim)
        .find(|piece| !piece.contains(['=', '[']) && !LEVELS.contains(piece));
    if let Some(piece) = mistyped {
        let levels = LEVELS.join(", ");
        return Err(format!(
            "expected one of {levels}, or target=level directives, got {piece:?}"
        ));
    }
    EnvFilter::try_new(&text).map_err(|error| format!("not a log filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives() {
        for (level, shown) in [
            ("off", "off"),
            ("warn", "warn"),
            ("info", "slotmux=info,warn"),
            ("trace", "slotmux=trace,warn"),
            ("info,slotmux::cluster=debug", "slotmux::cluster=debug,info"),
        ] {
            assert_eq!(filter(level).unwrap().to_string(), shown, "{level}");
        }
        for level in [
            "",
            "inof",
            "INFO!",
            "slotmux=loud",
            "info,debgu",
            "a[b=debug",
        ] {
            assert!(filter(level).is_err(), "{level:?}");
        }
    }
}
