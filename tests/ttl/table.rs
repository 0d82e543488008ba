//! The rows of [`super::rows`], one by one: the reply equals that of one plain Redis, byte for byte, and the TTL
//! afterwards is within the policy.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::rows::{ROWS, Ttl};
use super::with_policy;
use slotmux_testing::{RawClient, shared_cluster};

const POLICY: &str = "default = \"100s\", max = \"200s\", persist = \"rewrite\"";

/// The arguments of a row with separate keys in place of `K`, `L`, `M` and `N`, and moments in place of `NOW+…`.
fn words(text: &str, row: &str) -> Vec<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let moment = |word: &str, now: u128| {
        let offset: u128 = word.parse().expect("a number");
        (now + offset).to_string()
    };
    let word = |word: &str| match word {
        "K" | "L" | "M" => format!("ns:{{{row}}}:{word}"),
        "N" => format!("other:{{{row}}}:N"),
        _ => {
            if let Some(offset) = word.strip_prefix("NOW+") {
                moment(offset, now.as_secs().into())
            } else if let Some(offset) = word.strip_prefix("MSNOW+") {
                moment(offset, now.as_millis())
            } else {
                word.to_owned()
            }
        }
    };
    text.split_whitespace().map(word).collect()
}

/// Whether `pttl` can be the rest of `ttl` after at most `elapsed` milliseconds.
fn fits(pttl: i64, ttl: Ttl, elapsed: i64) -> bool {
    match ttl {
        Ttl::Gone => pttl == -2,
        Ttl::None => pttl == -1,
        Ttl::Seconds(seconds) => {
            let full = seconds as i64 * 1000;
            // A moment in whole seconds may be up to one second nearer.
            (full - elapsed - 1000..=full).contains(&pttl)
        }
    }
}

fn run(protocol: &str, connect: impl Fn(u16) -> RawClient) {
    let cluster = shared_cluster();
    let proxy = with_policy(cluster, POLICY);
    let plain = LocalServer::start(&ServerOptions::default()).expect("a plain Redis");
    let (mut through, mut direct) = (connect(proxy.port()), connect(plain.port()));
    let mut failures = Vec::new();
    for (number, (before, command, key, ttl)) in ROWS.iter().enumerate() {
        let row = format!("{protocol}{number}");
        let key = words(key, &row).remove(0);
        let slot = slot_of(key.as_bytes()).0;
        let owner = cluster.primary_of_slot(slot).expect("an owner");
        for line in before.split('|').filter(|line| !line.is_empty()) {
            let line = words(line, &row);
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let _: redis::Value = cluster.query(owner, &line).expect("the state before");
            let _: redis::Value = plain.query(&line).expect("the state before");
        }
        let started = Instant::now();
        let command = words(command, &row);
        let (got, expected) = (through.call_bytes(&command), direct.call_bytes(&command));
        let pttl: i64 = cluster.query(owner, &["PTTL", &key]).expect("its TTL");
        let elapsed = started.elapsed().as_millis() as i64;
        let shown = ROWS[number];
        if got != expected {
            failures.push(format!(
                "{shown:?}: {} instead of {}",
                show(&got),
                show(&expected)
            ));
        }
        if !fits(pttl, *ttl, elapsed) {
            failures.push(format!("{shown:?}: PTTL {pttl}"));
        }
    }
    assert!(failures.is_empty(), "{protocol}:\n{}", failures.join("\n"));
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn every_row_in_resp2() {
    run("resp2", RawClient::connect);
}

#[test]
fn every_row_in_resp3() {
    run("resp3", RawClient::connect_resp3);
}

/// RESTORE needs a payload of a real server.
#[test]
fn restore() {
    let cluster = shared_cluster();
    let proxy = with_policy(cluster, POLICY);
    let mut client = proxy.client();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_millis();
    client.call(&["SET", "other:{restore}", "v"]);
    let payload = match client.call(&["DUMP", "other:{restore}"]) {
        slotmux_testing::Value::Bulk(payload) => payload,
        other => panic!("{other:?}"),
    };
    let later = (now + 50_000).to_string();
    let too_late = (now + 5_000_000).to_string();
    let rows: &[(&[&str], Ttl)] = &[
        (&["0"], super::rows::D),
        (&["50000"], Ttl::Seconds(50)),
        (&["5000000"], super::rows::X),
        (&[&later, "ABSTTL"], Ttl::Seconds(50)),
        (&[&too_late, "ABSTTL"], super::rows::X),
        (&["0", "REPLACE"], super::rows::D),
        (&["0", "ABSTTL"], super::rows::D),
    ];
    for (number, (options, ttl)) in rows.iter().enumerate() {
        let key = format!("ns:{{restore}}:{number}");
        let mut words: Vec<&[u8]> =
            vec![b"RESTORE", key.as_bytes(), options[0].as_bytes(), &payload];
        words.extend(options[1..].iter().map(|option| option.as_bytes()));
        let started = Instant::now();
        assert_eq!(
            client.call(&words),
            slotmux_testing::Value::ok(),
            "{options:?}"
        );
        let pttl = client.call(&["PTTL", &key]).integer();
        let elapsed = started.elapsed().as_millis() as i64;
        assert!(fits(pttl, *ttl, elapsed), "{options:?}: {pttl}");
    }
}
