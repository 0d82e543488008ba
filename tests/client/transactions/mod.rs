//! MULTI and EXEC in front of real clusters: one slot, several, with policies, while slots move, before nodes that fail.

mod body;
mod faults;
mod lacking;
mod scripts;
mod slots;
mod unclosed;
mod watch;
mod watch_faults;
mod watch_pool;
mod watch_slots;

use slotmux_testing::{Proxy, RawClient, Value, shared_cluster};
use toml::Table;

/// slotmux with one namespace per line, the line being its section; `NAME:` is its prefix.
pub fn with_namespaces(namespaces: &[(&str, &str)]) -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        for (name, keys) in namespaces {
            let section: Table = format!("name = \"{name}\"\nmatch = [\"{name}:\"]\n{keys}")
                .parse()
                .expect("TOML");
            config.add_section("namespace", section);
        }
        config.set("log.level", "warn");
    })
}

/// Sends the lines between MULTI and EXEC and returns EXEC's reply.
#[track_caller]
pub fn transaction(client: &mut RawClient, lines: &[&str]) -> Value {
    let mut commands = vec![vec!["MULTI"]];
    commands.extend(lines.iter().map(|line| line.split(' ').collect::<Vec<_>>()));
    commands.push(vec!["EXEC"]);
    let mut replies = client.pipeline(&commands);
    let exec = replies.pop().expect("a reply to EXEC");
    for (reply, command) in replies.iter().zip(&commands).skip(1) {
        assert_eq!(*reply, Value::Simple("QUEUED".into()), "{command:?}");
    }
    exec
}

/// A counter of the admin page.
#[track_caller]
pub fn count(proxy: &Proxy, name: &str) -> u64 {
    proxy
        .metric(&format!("slotmux_{name}_total"))
        .expect("the counter") as u64
}
