//! The transcript: a few thousand commands to slotmux in front of a real cluster and to one plain Redis, the replies
//! compared byte by byte. Intended differences are listed in `intended`, with the reasons.

mod conformance;
pub mod generate;
mod intended;
pub mod lines;
pub mod pair;
mod raw;
mod run;
mod side;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use intended::{NEVER_SUCCEEDS, NEWER, NOT_YET, OF_A_CLUSTER, REFUSED};
use lines::{by_hand, words};
use pair::{Pair, settings, speaks_7_0};
use run::{Entry, run};
use side::Side;
use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::LocalServer;
use slotmux_core::command::Route;
use slotmux_testing::Shared;
use slotmux_testing::alike::known;
use slotmux_testing::{Proxy, times};

/// A pair for these tests alone, which remove all keys.
static SHARED: Shared = Shared::new();

fn shared_cluster() -> &'static LocalCluster {
    SHARED.cluster()
}

/// Seed of the generated commands and of the batches, unless SLOTMUX_TRANSCRIPT_SEED gives another. Every seed must
/// pass.
const SEED: u64 = 2026;

fn seed() -> u64 {
    let given = std::env::var("SLOTMUX_TRANSCRIPT_SEED").ok();
    given.map_or(SEED, |seed| seed.parse().expect("a number"))
}

/// The only pair without a password. One test at a time uses it, because each removes all keys.
fn pair() -> MutexGuard<'static, Pair> {
    static PAIR: OnceLock<Mutex<Pair>> = OnceLock::new();
    let pair = PAIR.get_or_init(|| {
        Mutex::new(Pair::start(shared_cluster(), None, |config| {
            config.set("defaults.namespace.cross_slot", "all");
        }))
    });
    let pair = pair.lock().unwrap_or_else(PoisonError::into_inner);
    pair.empty();
    pair
}

/// Listed differences for any upstream.
fn listed() -> impl Iterator<Item = Entry> {
    [NOT_YET, REFUSED, NEWER].into_iter().flat_map(entries_of)
}

fn entries_of(list: &'static [(&str, &str)]) -> impl Iterator<Item = Entry> {
    list.iter().map(|(line, text)| Entry::listed(line, text))
}

/// The whole transcript in one protocol.
fn transcript(protocol: &str) {
    if !speaks_7_0() {
        return;
    }
    let pair = pair();
    let greeting = words(&format!("HELLO {protocol}"));
    let by_hand = std::iter::once(greeting).chain(by_hand()).map(Entry::new);
    let listed = listed().chain(entries_of(OF_A_CLUSTER));
    let entries: Vec<Entry> = by_hand.chain(listed).collect();
    let connect = || {
        (
            Side::connect(pair.proxy.port()),
            Side::connect(pair.redis.port()),
        )
    };
    let (slotmux, redis) = connect();
    let succeeded = run(slotmux, redis, &entries, seed(), true);
    assert_eq!(never_succeeded(&succeeded), [""; 0], "add lines for these");
    // Once more, so that each line is sent alone as well as in a batch.
    pair.empty();
    let (slotmux, redis) = connect();
    run(slotmux, redis, &entries, seed(), false);

    for seed in (seed()..).take(times(1, 20)) {
        println!("SLOTMUX_TRANSCRIPT_SEED={seed}");
        pair.empty();
        let (slotmux, redis) = connect();
        let mut generated = generate::generated(seed);
        generated.insert(0, words(&format!("HELLO {protocol}")));
        assert!(generated.len() > 3000, "{}", generated.len());
        let generated: Vec<Entry> = generated.into_iter().map(Entry::new).collect();
        run(slotmux, redis, &generated, seed, true);
    }
}

/// Forwarded commands that no line made succeed.
fn never_succeeded(succeeded: &BTreeSet<&str>) -> Vec<&'static str> {
    let forwarded = generate::commands_of_7_0().filter(|command| {
        let forwarded = matches!(
            command.route,
            Route::Keyed
                | Route::Script
                | Route::OneDatabase
                | Route::Split(_)
                | Route::AnyNode
                | Route::AllPrimaries(_)
        );
        forwarded && (!command.is_container() || command.name == "command")
    });
    forwarded
        .map(|command| command.full_name)
        .filter(|name| !succeeded.contains(name))
        .filter(|name| NEVER_SUCCEEDS.iter().all(|(never, _)| never != name))
        .collect()
}

#[test]
fn replies_in_resp2_are_those_of_one_redis() {
    transcript("2");
}

#[test]
fn replies_in_resp3_are_those_of_one_redis() {
    transcript("3");
}

/// In front of an upstream without cluster, commands over several slots pass.
#[test]
fn replies_before_a_single_upstream_are_its_own() {
    if !speaks_7_0() {
        return;
    }
    let upstream = LocalServer::start(&settings(None)).expect("a server");
    let redis = LocalServer::start(&settings(None)).expect("a server");
    let proxy = Proxy::start_before(&upstream, |_| {});
    let slotmux = || Side::connect(proxy.port());
    let many = "SET a 1|RENAME a b|COPY b c|MSETNX d 1 e 2|SUNIONSTORE f g h|ZUNION 2 g h|XREAD STREAMS g h 0 0";
    let many = many.split('|').map(|line| Entry::new(words(line)));
    let by_hand = by_hand().into_iter().map(Entry::new).chain(many);
    let entries: Vec<Entry> = by_hand.chain(listed()).collect();
    run(
        slotmux(),
        Side::connect(redis.port()),
        &entries,
        seed(),
        true,
    );
}

/// Commands that end a connection or change its permissions: `raw.rs` has them. And commands that no transcript can
/// have: a BGREWRITEAOF is refused while the previous one runs; MONITOR brings more than a reply, see
/// tests/client/monitor.
const ELSEWHERE: [&str; 6] = [
    "quit",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "bgrewriteaof",
    "monitor",
];

#[test]
fn every_command_has_a_line() {
    let by_hand = by_hand().into_iter().map(Entry::new);
    let with_line: BTreeSet<&str> = by_hand
        .chain(listed())
        .chain(entries_of(OF_A_CLUSTER))
        .filter_map(|entry| known(entry.words()).map(|command| command.full_name))
        .collect();
    // slotmux answers all subcommands of CLUSTER with the same error.
    let missing: Vec<&str> = generate::commands_of_7_0()
        .filter(|command| !command.is_container() && !command.full_name.starts_with("cluster|"))
        .map(|command| command.full_name)
        .filter(|name| !with_line.contains(name) && !ELSEWHERE.contains(name))
        .collect();
    assert_eq!(missing, [""; 0], "commands of the table without a line");
}

/// Sends the sessions whole and in pieces of a few bytes.
fn compare_bytes(pair: &Pair, sessions: &[&[u8]]) {
    for session in sessions {
        for piece in [session.len(), 1, 5] {
            compare_session(pair, session, piece);
        }
    }
}

fn compare_session(pair: &Pair, session: &[u8], piece: usize) {
    let ours = Side::connect(pair.proxy.port()).until_close(session, piece);
    let theirs = Side::connect(pair.redis.port()).until_close(session, piece);
    assert_eq!(
        ours.escape_ascii().to_string(),
        theirs.escape_ascii().to_string(),
        "{} in pieces of {piece}",
        session[..session.len().min(200)].escape_ascii()
    );
}

#[test]
fn bytes_of_whole_sessions_are_those_of_one_redis() {
    if !speaks_7_0() {
        return;
    }
    let pair = pair();
    compare_bytes(&pair, raw::SESSIONS);
    let endless = [b"PING\r\nGET ", &[b'x'; 70_000][..]].concat();
    compare_session(&pair, &endless, endless.len());
}

#[test]
fn logins_are_those_of_one_redis() {
    if !speaks_7_0() {
        return;
    }
    // The cluster is that of the others.
    let _alone = pair();
    let pair = Pair::start(shared_cluster(), Some("secret"), |_| {});
    compare_bytes(&pair, raw::LOCKED_SESSIONS);
}
