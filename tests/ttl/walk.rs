//! A random walk: for any commands, order and pipelines, the replies are those of one plain Redis, and no key of the
//! namespace is left without a TTL or above its maximum.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use super::{all_ttls, with_policy};
use slotmux_testing::{RawClient, calm_cluster};

const ROUNDS: usize = 400;
const PIPELINE: usize = 25;
const MAX_MS: i64 = 2_000_000;

/// Commands whose replies do not depend on a TTL. `k` is a random key, `v` a random small number, `t` a random TTL in
/// seconds, `m` one in milliseconds.
const COMMANDS: &[&str] = &[
    "SET k v",
    "SET k v EX t",
    "SET k v PX m",
    "SET k v NX",
    "SET k v XX",
    "SET k v GET",
    "SET k v KEEPTTL",
    "SET k v XX EX t GET",
    "SET k v NX PX m",
    "SET k v EX 0",
    "SET k v EX t PX m",
    "SETEX k t v",
    "PSETEX k m v",
    "SETNX k v",
    "GETSET k v",
    "GETEX k",
    "GETEX k EX t",
    "GETEX k PERSIST",
    "GETDEL k",
    "GET k",
    "MSET k v k v k v",
    "MGET k k k",
    "MSETNX k v",
    "APPEND k v",
    "SETRANGE k v x",
    "SETBIT k v 1",
    "INCR k",
    "DECR k",
    "INCRBY k v",
    "INCRBYFLOAT k v",
    "HSET k v v",
    "HSETNX k v v",
    "HINCRBY k v v",
    "HDEL k v",
    "LPUSH k v v",
    "RPUSH k v",
    "LPOP k",
    "RPOP k",
    "LPUSHX k v",
    "LSET k 0 v",
    "LREM k 0 v",
    "SADD k v v",
    "SREM k v",
    "ZADD k v v",
    "ZINCRBY k v v",
    "ZREM k v",
    "PFADD k v",
    "GEOADD k v v v",
    "COPY k k",
    "COPY k k REPLACE",
    "RENAME k k",
    "RENAMENX k k",
    "SUNIONSTORE k k k",
    "SINTERSTORE k k k",
    "SDIFFSTORE k k k",
    "ZUNIONSTORE k 2 k k",
    "ZRANGESTORE k k 0 -1",
    "SMOVE k k v",
    "LMOVE k k LEFT RIGHT",
    "RPOPLPUSH k k",
    "SORT k ALPHA STORE k",
    "BITOP OR k k k",
    "PFMERGE k k",
    "EXPIRE k t",
    "PEXPIRE k m",
    "DEL k",
    "DEL k k",
    "EXISTS k k",
    "TYPE k",
    "STRLEN k",
    "LLEN k",
    "EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 k v",
    "EVAL return(redis.call('TYPE',KEYS[1])) 1 k",
];

fn commands(random: &mut fastrand::Rng) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    while all.len() < PIPELINE {
        let template = COMMANDS[random.usize(..COMMANDS.len())];
        let words: Vec<String> = template
            .split_whitespace()
            .map(|word| match word {
                // One slot, so that one plain Redis is an oracle for commands of several keys too.
                "k" => format!("ns:{{walk}}:{}", random.u8(..12)),
                "v" => random.u8(..30).to_string(),
                "t" => random.u32(1000..100_000_000).to_string(),
                "m" => random.u64(1_000_000..100_000_000_000).to_string(),
                other => other.to_owned(),
            })
            .collect();
        all.push(words);
    }
    all
}

#[test]
fn a_random_walk_keeps_the_policy_and_the_replies() {
    let cluster = calm_cluster(0);
    let plain = LocalServer::start(&ServerOptions::default()).expect("a plain Redis");
    for (seed, policy) in [
        (
            1,
            "default = \"1000s\", max = \"2000s\", persist = \"rewrite\", jitter = 0.3",
        ),
        (2, "max = \"2000s\", persist = \"rewrite\", min = \"1001s\""),
    ] {
        let proxy = with_policy(&cluster, policy);
        let mut random = fastrand::Rng::with_seed(seed);
        for (mut through, mut direct) in [
            (proxy.client(), RawClient::connect(plain.port())),
            (proxy.client_resp3(), RawClient::connect_resp3(plain.port())),
        ] {
            through.call(&["FLUSHALL"]);
            direct.call(&["FLUSHALL"]);
            for _ in 0..ROUNDS {
                let commands = commands(&mut random);
                let (got, expected) = (through.pipeline(&commands), direct.pipeline(&commands));
                for ((command, got), expected) in commands.iter().zip(got).zip(expected) {
                    assert_eq!(got, expected, "seed {seed}: {command:?}");
                }
                for (key, ttl) in all_ttls(&cluster, &[0, 1, 2]) {
                    assert!(
                        (0..=MAX_MS).contains(&ttl),
                        "seed {seed}: {key} has {ttl} after {commands:?}"
                    );
                }
            }
        }
    }
}
