//! Checks that need several keys: contradictions between keys, and warnings about combinations that are allowed.

mod namespaces;

use std::net::{IpAddr, SocketAddr};

use super::problem::{Origin, ProblemKind, Reading};
use super::{Addr, Config, ListenAddress, Personality, Ttl};
use crate::units::{show_duration, show_size};

/// Notes every contradiction. `defaults` is the policy that namespaces inherit.
pub(super) fn check(config: &Config, defaults: &Ttl, reading: &mut Reading) {
    listeners(config, reading);
    users(config, reading);
    upstream(config, reading);
    namespaces::check(config, defaults, reading);
}

/// Notes warnings about what is allowed.
pub(super) fn warn(config: &Config, reading: &mut Reading) {
    let exposed: Vec<(usize, &ListenAddress)> =
        binds(config).filter(|(_, bind)| !bind.is_local()).collect();
    if let (Some((first, _)), true) = (exposed.first(), config.is_open()) {
        let at = origin(reading, &[&format!("listener[{first}].bind")]);
        let addresses: Vec<String> = exposed.iter().map(|(_, bind)| bind.to_string()).collect();
        let text = format!(
            "no user has a password, so clients from other machines are refused although slotmux listens on {}; set \
             SLOTMUX_PASSWORD or add a [[user]]",
            addresses.join(", ")
        );
        reading.warn(&at, text);
    }
    namespaces::warn(config, reading);
}

fn binds(config: &Config) -> impl Iterator<Item = (usize, &ListenAddress)> {
    config
        .listeners
        .iter()
        .enumerate()
        .flat_map(|(i, listener)| listener.bind.iter().map(move |bind| (i, bind)))
}

/// The origin of the first of these keys that was given, or the place where it could be given.
fn origin(reading: &Reading, keys: &[&str]) -> Origin {
    keys.iter()
        .find_map(|key| reading.origin(key))
        .cloned()
        .unwrap_or_else(|| reading.fallback.clone())
}

fn listeners(config: &Config, reading: &mut Reading) {
    for (i, listener) in config.listeners.iter().enumerate() {
        if config.listeners[..i]
            .iter()
            .any(|other| other.name == listener.name)
        {
            let at = origin(
                reading,
                &[&format!("listener[{i}].name"), &format!("listener[{i}]")],
            );
            reading.problem(
                &at,
                format!(
                    "listener.name: there is another listener named {:?}",
                    listener.name
                ),
            );
        }
        let soft_key = format!("listener[{i}].limits.output_soft");
        if let (Some((soft, _)), Some(at)) = (
            listener.limits.output_soft,
            reading.origin(&soft_key).cloned(),
        ) && soft > listener.limits.output_hard
        {
            let [soft, hard] =
                [soft, listener.limits.output_hard].map(|size| show_size(size as u64));
            let text = format!("listener.limits.output_soft: {soft} is above output_hard, {hard}");
            reading.problem(&at, text);
        }
        let is_unix = |bind: &ListenAddress| matches!(bind, ListenAddress::Unix(_));
        if listener.personality == Personality::Cluster
            && listener.announce.is_none()
            && listener.bind.iter().any(is_unix)
        {
            let at = origin(reading, &[&format!("listener[{i}].personality")]);
            let text = "listener.personality: clients of a Unix socket can't be told where the cluster is; set \
                        listener.announce, or give the socket a listener of its own";
            reading.problem(&at, text);
        }
        let user_key = format!("listener[{i}].default_user");
        if let Some(at) = reading.origin(&user_key).cloned()
            && !config.is_open()
            && config.user(&listener.default_user).is_none()
        {
            let text = format!(
                "listener.default_user: there is no [[user]] named {:?}",
                listener.default_user
            );
            reading.problem(&at, text);
        }
    }
    let all: Vec<(usize, &ListenAddress)> = binds(config).collect();
    for (n, (i, bind)) in all.iter().enumerate() {
        if all[..n].iter().any(|(_, other)| collide(bind, other)) {
            let at = origin(
                reading,
                &[&format!("listener[{i}].bind"), &format!("listener[{i}]")],
            );
            reading.problem(&at, format!("listener.bind: {bind} is listened on already"));
        }
    }
    if let Some(admin) = config.admin.bind.map(ListenAddress::Tcp)
        && let Some((i, bind)) = all.iter().find(|(_, bind)| collide(bind, &admin))
    {
        let at = origin(reading, &["admin.bind", &format!("listener[{i}].bind")]);
        reading.problem(
            &at,
            format!("admin.bind: {admin} collides with a listener, {bind}"),
        );
    }
}

/// Whether two addresses cannot both be listened on.
fn collide(a: &ListenAddress, b: &ListenAddress) -> bool {
    match (a, b) {
        (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => {
            a.port() == b.port() && a.port() != 0 && same_family(a, b) && same_ip(a, b)
        }
        _ => a == b && !matches!(a, ListenAddress::Tcp(_)),
    }
}

fn same_family(a: &SocketAddr, b: &SocketAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

fn same_ip(a: &SocketAddr, b: &SocketAddr) -> bool {
    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
}

fn users(config: &Config, reading: &mut Reading) {
    for (i, user) in config.users.iter().enumerate() {
        let section = format!("user[{i}]");
        for key in ["name", "passwords"] {
            // A user that SLOTMUX_PASSWORD made has no section.
            let is_missing = reading.origin(&format!("{section}.{key}")).is_none();
            if let Some(at) = reading.origin(&section).cloned().filter(|_| is_missing) {
                reading.problem(
                    &at,
                    format!("user.{key}: missing; a [[user]] has a name and passwords"),
                );
            }
        }
        if !user.name.is_empty()
            && config.users[..i]
                .iter()
                .any(|other| other.name == user.name)
        {
            let at = origin(reading, &[&format!("{section}.name"), &section]);
            reading.problem(
                &at,
                format!("user.name: there is another user named {:?}", user.name),
            );
        }
    }
}

const NO_UPSTREAM: &str = "cluster.seeds: no upstream; give --upstream redis://HOST:PORT, REDIS_URL, or seeds in a \
                           [[cluster]] section";

fn upstream(config: &Config, reading: &mut Reading) {
    let cluster = &config.cluster;
    if reading.origin("cluster[0].seeds").is_none() {
        let at = origin(reading, &["cluster[0]"]);
        reading.problem_of(ProblemKind::NoUpstream, &at, NO_UPSTREAM);
    }
    for seed in &cluster.seeds {
        if let Some((_, bind)) = binds(config).find(|(_, bind)| is_own(seed, bind)) {
            let at = origin(reading, &["cluster[0].seeds"]);
            let text = format!("cluster.seeds: {seed} is slotmux itself, which listens on {bind}");
            reading.problem(&at, text);
        }
    }
    if !cluster.username.is_empty() && cluster.passwords.is_empty() {
        let at = origin(reading, &["cluster[0].username", "cluster[0].seeds"]);
        reading.problem(
            &at,
            "cluster.username: a user without a password; set cluster.password too",
        );
    }
    let (connections, topology) = (&cluster.connections, &cluster.topology);
    if connections.bulk_threshold > connections.max_in_flight_bytes {
        let keys = [
            "cluster[0].connections.bulk_threshold",
            "cluster[0].connections.max_in_flight_bytes",
        ];
        let at = origin(reading, &keys);
        let [threshold, most] = [connections.bulk_threshold, connections.max_in_flight_bytes]
            .map(|size| show_size(size as u64));
        let text = format!(
            "cluster.connections.bulk_threshold: {threshold} is above max_in_flight_bytes, {most}"
        );
        reading.problem(&at, text);
    }
    if topology.min_interval > topology.refresh {
        let at = origin(
            reading,
            &[
                "cluster[0].topology.min_interval",
                "cluster[0].topology.refresh",
            ],
        );
        let [shortest, refresh] = [topology.min_interval, topology.refresh].map(show_duration);
        let text = format!("cluster.topology.min_interval: {shortest} is above refresh, {refresh}");
        reading.problem(&at, text);
    }
}

/// Whether connecting to `seed` reaches `bind`, as far as this can be known without asking the network.
fn is_own(seed: &Addr, bind: &ListenAddress) -> bool {
    let ListenAddress::Tcp(bind) = bind else {
        return false;
    };
    let is_named = &*seed.host == "localhost";
    let ip = seed.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let is_here = is_named || ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified());
    let bound = bind.ip().to_canonical();
    seed.port == bind.port()
        && (ip == Some(bound)
            || (is_here && bound.is_unspecified())
            || (is_named && bound.is_loopback())
            || (ip.is_some_and(|ip| ip.is_unspecified()) && bound.is_loopback()))
}
