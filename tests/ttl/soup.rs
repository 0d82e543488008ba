//! Commands with options, numbers and keys in any order and number, most of them invalid: the reply equals that of one
//! plain Redis, byte for byte, and no accepted command leaves a key without a TTL or above its maximum.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use super::add_namespace;
use slotmux_testing::{Proxy, RawClient};

const ROUNDS: usize = 12_000;

/// A command and its possible arguments. `k` is a key, `t` a valid or invalid TTL, `d` one of RESTORE, `p` a payload of DUMP, `n` a small
/// number, `*` up to five of the items behind it.
const COMMANDS: &[&str] = &[
    "SET k v * EX PX EXAT PXAT KEEPTTL NX XX GET t t t",
    "set k v * ex Px eXaT keepttl nx get t t EX\\0 keepttl\\0x nx\\0 persist",
    "SETEX k t v",
    "PSETEX k t v",
    "SETNX k v",
    "GETSET k v",
    "GETEX k * EX PX EXAT PXAT PERSIST KEEPTTL t t t",
    "MSET * k k k v v",
    "MSETNX * k k k v v",
    "EXPIRE k t * NX XX GT LT nx\\0",
    "PEXPIRE k t * NX XX GT LT",
    "EXPIREAT k t * NX XX GT LT",
    "PEXPIREAT k t * NX XX GT LT",
    "PERSIST k",
    "RESTORE k d p * REPLACE REPLACE ABSTTL IDLETIME FREQ n t replace\\0",
    "RESTORE k 0 p * REPLACE REPLACE ABSTTL",
    "SORT k * STORE STORE k k LIMIT n n ALPHA ALPHA ASC BY store\\0 GET #",
    "GEOADD k * NX XX CH n n m",
    "GEOADD k n n m",
    "GEORADIUS k 1 1 9000 km * STORE STOREDIST k k COUNT n ANY ASC WITHDIST store\\0x",
    "GEORADIUSBYMEMBER k m 9000 km * STORE STOREDIST k k COUNT n",
    "GEOSEARCHSTORE k k FROMLONLAT 1 1 BYRADIUS 9000 km * STOREDIST COUNT n ANY ASC",
    "COPY k k * REPLACE DB 0 x",
    "RENAME k k",
    "RENAMENX k k",
    "SMOVE k k v",
    "LMOVE k k * LEFT RIGHT LEFT",
    "RPOPLPUSH k k",
    "BITFIELD k * GET SET INCRBY OVERFLOW u8 n n FAIL",
    "BITOP * AND NOT k k k",
    "XADD k NOMKSTREAM 9-* f v",
    "XADD k * NOMKSTREAM MAXLEN = n 8-1 f v",
    "XADD k 0-1 f v",
    "XGROUP CREATE k g $ * MKSTREAM ENTRIESREAD n",
    "XSETID k 99-1",
    "EVAL return(redis.call('SET',KEYS[1],'v')) * n k k k",
    "EVAL return(redis.call('LPUSH',KEYS[1],'v')) 1 k",
    "EVAL return(redis.error_reply('MOVED')) 1 k",
    "EVAL return(redis.error_reply('TRYAGAIN')) 1 k",
    "EVAL return{1,{2,'x'},false} 2 k k",
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 k",
    "FCALL nothing 1 k",
    "ZADD k * NX XX GT LT CH INCR n m",
    "ZADD k n m n v",
    "ZUNIONSTORE k * n k k WEIGHTS n AGGREGATE MAX",
    "ZINTERSTORE k 2 k k",
    "ZDIFFSTORE k 2 k k",
    "ZRANGESTORE k k 0 -1 * REV BYSCORE LIMIT n",
    "SINTERSTORE k * k k",
    "SUNIONSTORE k k k",
    "SDIFFSTORE k k",
    "PFADD k * v m",
    "PFMERGE k * k k",
    "HSET k * f v f v",
    "HSETNX k f v",
    "HINCRBY k f n",
    "SETRANGE k n * v",
    "SETBIT k n n",
    "APPEND k v",
    "INCR k",
    "INCRBY k t",
    "INCRBYFLOAT k t",
    "LPUSH k v",
    "LPUSHX k v",
    "LSET k 0 v",
    "LINSERT k BEFORE v v",
    "SADD k v m",
    "DEL k",
    "GET k",
    "GETDEL k",
];

/// Valid ones are at least a day ahead, or in the past, so that no key expires during the test.
const TTLS: &[&str] = &[
    "100000000",
    "100000000",
    "4000000000",
    "4000000000000",
    "9223372036854775807",
    "9223372036854775",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
    "0",
    "-1",
    "-0",
    "010",
    "+100000000",
    " 100000000",
    "100000000 ",
    "1e9",
    "x",
    "",
];

/// The same without those that overflow: servers differ in the effect of RESTORE with them.
const DISTANCES: &[&str] = &[
    "100000000",
    "4000000000",
    "4000000000000",
    "4611686018427387903",
    "9223372036854775808",
    "-9223372036854775808",
    "0",
    "-1",
    "-0",
    "010",
    "+100000000",
    "x",
    "",
];

fn words(random: &mut fastrand::Rng, template: &str, payload: &[u8]) -> Vec<Vec<u8>> {
    let all: Vec<&str> = template.split(' ').collect();
    let (fixed, any) = match all.iter().position(|word| *word == "*") {
        Some(at) => (&all[..at], &all[at + 1..]),
        None => (&all[..], &[][..]),
    };
    let mut chosen = fixed.to_vec();
    if !any.is_empty() {
        chosen.extend((0..random.usize(0..6)).map(|_| any[random.usize(..any.len())]));
    }
    chosen
        .into_iter()
        .map(|word| match word {
            "k" => key(random).into_bytes(),
            "t" => TTLS[random.usize(..TTLS.len())].into(),
            "d" => DISTANCES[random.usize(..DISTANCES.len())].into(),
            "n" => random.u8(0..4).to_string().into_bytes(),
            "p" => payload.to_vec(),
            _ => word.replace("\\0", "\0").into_bytes(),
        })
        .collect()
}

/// Three namespaces and unmatched keys; one plain Redis has no slots.
fn key(random: &mut fastrand::Rng) -> String {
    let space = ["ns:", "ns:", "ns:short:", "other:", "bare:"][random.usize(..5)];
    format!("{space}{}", random.u8(..4))
}

/// The reply depends on whether there is a TTL, which a policy changes on purpose.
fn is_of_ttl(words: &[Vec<u8>]) -> bool {
    let name = words[0].to_ascii_uppercase();
    name.ends_with(b"EXPIRE") || name.ends_with(b"EXPIREAT") || name == b"PERSIST"
}

fn maximum(key: &str) -> Option<i64> {
    match key {
        _ if key.starts_with("ns:short:") => Some(500_000),
        _ if key.starts_with("ns:") => Some(2_000_000),
        _ if key.starts_with("other:") => Some(i64::MAX),
        _ => None,
    }
}

#[test]
fn options_in_any_order() {
    let servers = [(); 2].map(|()| LocalServer::start(&ServerOptions::default()).expect("Redis"));
    let [governed, plain] = &servers;
    let proxy = Proxy::start_before(governed, |config| {
        add_namespace(
            config,
            "ns",
            "default = \"1000s\", max = \"2000s\", persist = \"rewrite\"",
        );
        add_namespace(
            config,
            "ns:short",
            "max = \"500s\", min = \"400s\", persist = \"rewrite\", jitter = 0.1",
        );
        add_namespace(config, "other", "default = \"700s\", persist = \"rewrite\"");
        config.set("log.level", "warn");
    });
    let (mut through, mut direct) = (proxy.client(), RawClient::connect(plain.port()));
    let mut past = governed.connect().expect("a connection");
    direct.call(&["RPUSH", "bare:list", "1", "2"]);
    let payload = match direct.call(&["DUMP", "bare:list"]) {
        slotmux_testing::Value::Bulk(payload) => payload,
        other => panic!("{other:?}"),
    };
    direct.call(&["DEL", "bare:list"]);
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..ROUNDS {
        let template = COMMANDS[random.usize(..COMMANDS.len())];
        let words = words(&mut random, template, &payload);
        let shown = words.iter().map(|word| word.escape_ascii().to_string());
        let shown: String = shown.collect::<Vec<_>>().join(" ");
        let (got, expected) = (through.call_bytes(&words), direct.call_bytes(&words));
        let is_compared = !is_of_ttl(&words) || got[0] == b'-' || expected[0] == b'-';
        assert!(
            got == expected || !is_compared,
            "{round}: {shown}\n{}\ninstead of\n{}",
            got.escape_ascii(),
            expected.escape_ascii()
        );
        let keys: Vec<&str> = words
            .iter()
            .filter_map(|word| std::str::from_utf8(word).ok())
            .filter(|word| maximum(word).is_some())
            .collect();
        for key in keys {
            let ttl: i64 = redis::cmd("PTTL")
                .arg(key)
                .query(&mut past)
                .expect("its TTL");
            let most = maximum(key).unwrap_or_default();
            assert!(
                ttl == -2 || (0..=most).contains(&ttl),
                "{round}: {shown}\n{key}: {ttl}"
            );
        }
        if is_of_ttl(&words) {
            // It may have deleted the key on one side: NX and its kin depend on the TTL.
            let key = String::from_utf8_lossy(&words[1]);
            let deleted = [through.call(&["DEL", &key]), direct.call(&["DEL", &key])];
            assert!(deleted.iter().all(|reply| reply.integer() <= 1));
        }
    }
}
