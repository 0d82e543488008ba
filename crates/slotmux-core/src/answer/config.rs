//! `CONFIG`: of `GET` only slotmux' own parameters, about client connections. The nodes report the parameters of the
//! data (`route/merge/parameters.rs`).

use std::time::Duration;

use super::{AnswerHost, AnsweredRequest, AskingClient, InfoFacts, help};
use crate::c_string;
use crate::config::ListenAddress;
use crate::glob;
use crate::parameters::is_pattern;
use crate::resp::write;

/// `CONFIG GET` and `CONFIG HELP`
pub(super) fn config(
    request: AnsweredRequest<'_>,
    subject: &AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    match request.command.name {
        "get" => get(request, subject, host, out),
        _ => help::help("CONFIG", help::CONFIG, out),
    }
}

/// Bytes of all patterns together. Matching costs each pattern's length times the length of the settings' names, and
/// a worker has other clients.
const MAX_PATTERNS: usize = 16 * 1024;

/// `CONFIG GET pattern [pattern ...]`
fn get(
    request: AnsweredRequest<'_>,
    subject: &AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    if request.from(2).map(<[u8]>::len).sum::<usize>() > MAX_PATTERNS {
        return write::error(out, "ERR slotmux: the patterns of CONFIG GET are too long");
    }
    let facts = host.process.facts();
    let mut settings: Vec<_> = settings(host, &facts).into_iter().map(Some).collect();
    let mut found: Vec<(Vec<u8>, String)> = Vec::new();
    for pattern in request.from(2) {
        let is_pattern = is_pattern(pattern);
        for setting in &mut settings {
            let matched = setting.take_if(|(name, _)| {
                if is_pattern {
                    glob::matches(c_string::of(pattern), name.as_bytes())
                } else {
                    pattern.eq_ignore_ascii_case(name.as_bytes())
                }
            });
            if let Some((name, value)) = matched {
                // A plain name comes back as it was spelt.
                let name = if is_pattern { name.as_bytes() } else { pattern };
                found.push((name.to_vec(), value));
            }
        }
    }
    write::map(out, subject.protocol, found.len());
    for (name, value) in found {
        write::bulk(out, &name);
        write::bulk(out, value.as_bytes());
    }
}

/// The parameters that [`crate::parameters`] classes as slotmux' own and that have a meaning here.
fn settings(host: &AnswerHost<'_>, facts: &InfoFacts) -> [(&'static str, String); 12] {
    let (server, listener) = (&host.config.server, host.listener);
    let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs()).to_string();
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let addresses = listener.bind.iter().filter_map(|bind| match bind {
        ListenAddress::Tcp(addr) => Some(addr.ip().to_string()),
        ListenAddress::Unix(_) => None,
    });
    [
        ("bind", addresses.collect::<Vec<_>>().join(" ")),
        ("cluster-enabled", yes_or_no(host.is_cluster())),
        ("databases", "1".to_owned()),
        ("io-threads", server.workers.to_string()),
        ("maxclients", facts.max_clients.to_string()),
        ("port", facts.tcp_port.to_string()),
        (
            "proto-max-bulk-len",
            listener.limits.max_request.to_string(),
        ),
        ("protected-mode", yes_or_no(host.config.is_open())),
        ("replicaof", String::new()),
        ("tcp-backlog", server.backlog.to_string()),
        ("tcp-keepalive", seconds(listener.tcp_keepalive)),
        ("timeout", seconds(listener.idle_timeout)),
    ]
}
