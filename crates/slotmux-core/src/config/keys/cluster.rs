//! The keys of `[[cluster]]`.

use std::collections::HashMap;

use super::{DAY, GIB, HOUR, KIB, MIB, MS};
use crate::config::read::{addr_map, boolean, passwords, seeds};
use crate::config::section::{SectionKey, key, list, put, section, set_section};
use crate::config::show::{choice, name, or_word, redacted, show_section, text, texts};
use crate::config::{Addr, Cluster, Connections, ExpectedKind, Retry, Timeouts, TopologyRefresh};
use crate::units::{show_duration, show_size};

pub(super) const CLUSTER: &[SectionKey<Cluster>] = &[
    key(
        "name",
        |c, v, r| put(&mut c.name, v.name(r)),
        |c| text(&c.name),
    ),
    // Before `username` and `password`, which replace the credentials in the addresses.
    key("seeds", seeds, |c| {
        texts(c.seeds.iter().map(|seed| format!("redis://{seed}")))
    }),
    key(
        "kind",
        |c, v, r| put(&mut c.kind, v.choice(KINDS, r)),
        |c| choice(KINDS, &c.kind),
    ),
    key(
        "username",
        |c, v, r| {
            let name = v.text(r, "a name in quotes").map(str::to_owned);
            put(&mut c.username, name)
        },
        |c| text(&c.username),
    ),
    key(
        "password",
        |c, v, r| put(&mut c.passwords, passwords(v, r)),
        |c| redacted(c.passwords.len()),
    ),
    key(
        "address_map",
        |c, v, r| put(&mut c.address_map, addr_map(v, r)),
        |c| addresses(&c.address_map),
    ),
    section(
        "connections",
        |c, v, r| set_section(&mut c.connections, CONNECTIONS, v, r),
        |at, out| list(CONNECTIONS, at, out),
        |c, at, out| show_section(&c.connections, CONNECTIONS, at, out),
    ),
    section(
        "timeouts",
        |c, v, r| set_section(&mut c.timeouts, TIMEOUTS, v, r),
        |at, out| list(TIMEOUTS, at, out),
        |c, at, out| show_section(&c.timeouts, TIMEOUTS, at, out),
    ),
    section(
        "retry",
        |c, v, r| set_section(&mut c.retry, RETRY, v, r),
        |at, out| list(RETRY, at, out),
        |c, at, out| show_section(&c.retry, RETRY, at, out),
    ),
    section(
        "topology",
        |c, v, r| set_section(&mut c.topology, TOPOLOGY, v, r),
        |at, out| list(TOPOLOGY, at, out),
        |c, at, out| show_section(&c.topology, TOPOLOGY, at, out),
    ),
];

const KINDS: &[(&str, ExpectedKind)] = &[
    ("auto", ExpectedKind::Auto),
    ("cluster", ExpectedKind::Cluster),
    ("standalone", ExpectedKind::Standalone),
];

const CONNECTIONS: &[SectionKey<Connections>] = &[
    key(
        "shared",
        |c, v, r| put(&mut c.shared, v.integer(1..=64, r)),
        |c| c.shared.to_string(),
    ),
    key(
        "dedicated_max",
        |c, v, r| put(&mut c.dedicated_max, v.integer(0..=65_535, r)),
        |c| c.dedicated_max.to_string(),
    ),
    key(
        "kept_max",
        |c, v, r| put(&mut c.kept_max, v.integer_or_auto(1..=65_535, r)),
        |c| or_word(c.kept_max, "auto", |number| number.to_string()),
    ),
    key(
        "dedicated_idle",
        |c, v, r| put(&mut c.dedicated_idle, v.duration(MS..=DAY, r)),
        |c| text(&show_duration(c.dedicated_idle)),
    ),
    key(
        "bulk_threshold",
        |c, v, r| put(&mut c.bulk_threshold, v.bytes(KIB..=512 * MIB, r)),
        |c| text(&show_size(c.bulk_threshold as u64)),
    ),
    key(
        "max_in_flight",
        |c, v, r| put(&mut c.max_in_flight, v.integer(1..=1_048_576, r)),
        |c| c.max_in_flight.to_string(),
    ),
    key(
        "max_in_flight_bytes",
        |c, v, r| put(&mut c.max_in_flight_bytes, v.bytes(64 * KIB..=4 * GIB, r)),
        |c| text(&show_size(c.max_in_flight_bytes as u64)),
    ),
    key(
        "connect_timeout",
        |c, v, r| put(&mut c.connect_timeout, v.duration(MS..=HOUR, r)),
        |c| text(&show_duration(c.connect_timeout)),
    ),
    key(
        "backoff",
        |c, v, r| put(&mut c.backoff, v.durations(MS..=HOUR, r)),
        |c| {
            let (first, longest) = c.backoff;
            text(&format!(
                "{}..{}",
                show_duration(first),
                show_duration(longest)
            ))
        },
    ),
    key(
        "health_interval",
        |c, v, r| put(&mut c.health_interval, v.duration_or_none(MS..=DAY, r)),
        |c| or_word(c.health_interval, "none", |time| text(&show_duration(time))),
    ),
];

const TIMEOUTS: &[SectionKey<Timeouts>] = &[
    key(
        "command",
        |t, v, r| put(&mut t.command, v.duration(MS..=HOUR, r)),
        |t| text(&show_duration(t.command)),
    ),
    key(
        "response",
        |t, v, r| put(&mut t.response, v.duration(MS..=HOUR, r)),
        |t| text(&show_duration(t.response)),
    ),
];

const RETRY: &[SectionKey<Retry>] = &[
    key(
        "on_timeout",
        |t, v, r| put(&mut t.on_timeout, boolean(v, r)),
        |t| t.on_timeout.to_string(),
    ),
    key(
        "reads",
        |t, v, r| put(&mut t.reads, v.integer(0..=100, r)),
        |t| t.reads.to_string(),
    ),
    key(
        "unsent_writes",
        |t, v, r| put(&mut t.unsent_writes, v.integer(0..=100, r)),
        |t| t.unsent_writes.to_string(),
    ),
];

const TOPOLOGY: &[SectionKey<TopologyRefresh>] = &[
    key(
        "refresh",
        |t, v, r| put(&mut t.refresh, v.duration(MS..=DAY, r)),
        |t| text(&show_duration(t.refresh)),
    ),
    key(
        "min_interval",
        |t, v, r| put(&mut t.min_interval, v.duration(MS..=HOUR, r)),
        |t| text(&show_duration(t.min_interval)),
    ),
];

/// Sorted, so that the same map always shows in the same order.
fn addresses(map: &HashMap<Addr, Addr>) -> String {
    let quoted = |(announced, actual): (&Addr, &Addr)| {
        format!(
            "{} = {}",
            name(&announced.to_string()),
            text(&actual.to_string())
        )
    };
    let mut pairs: Vec<String> = map.iter().map(quoted).collect();
    pairs.sort();
    if pairs.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", pairs.join(", "))
    }
}
