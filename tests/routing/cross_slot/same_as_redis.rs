//! Every command of the table that can have keys in several slots, against one plain Redis: replies, values, TTLs.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::alike::{alike, apart, show};
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

use super::{running_all, words};

/// Keys of every type, most of them in slots of their own.
const SETUP: &[&str] = &[
    "SADD @s1 a b c 1 2",
    "SADD @s2 b c d 2",
    "SADD @s3 c e",
    "SADD @s4 c x",
    "ZADD @z1 1 a 2 b 3 c",
    "ZADD @z2 10 b 20 c 30 d",
    "ZADD @z3 5 c",
    "RPUSH @l1 a b c d",
    "RPUSH @l2 x y",
    "RPUSH @n1 3 1 2",
    "SET @t1 foobar",
    "SET @t2 abcdef",
    "SET @t3 longer-than-both",
    "PFADD @h1 a b c",
    "PFADD @h2 c d e",
    "GEOADD @g1 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "XADD @x1 1-1 f v",
    "XADD @x1 2-1 f v2",
    "XADD @x2 1-5 g w",
    "XGROUP CREATE @x1 grp 0",
    "XGROUP CREATE @x2 grp 0",
    "HSET @m1 f v",
    "SET @ttl value PX 100000000",
    "SADD @sttl m n",
    "PEXPIRE @sttl 100000000",
];

/// All names that a line may write.
const NAMES: &[&str] = &[
    "@s1", "@s2", "@s3", "@s4", "@z1", "@z2", "@z3", "@l1", "@l2", "@n1", "@t1", "@t2", "@t3",
    "@h1", "@h2", "@g1", "@x1", "@x2", "@m1", "@ttl", "@sttl", "@d1", "@d2", "@none", "@gone",
];

/// Each is run on the keys of the setup, and followed by a look at all of them.
const LINES: &[&str] = &[
    // Set algebra.
    "SINTER @s1 @s2",
    "SINTER @s1 @s2 @s3",
    "SINTER @s1 @s1 @s2",
    "SINTER @s1 @none",
    "SINTER @none @gone",
    "SINTER @s1 @t1",
    "SINTER @t1 @s1",
    "SUNION @s1 @s2 @s3",
    "SUNION @s1 @none",
    "SUNION @none @l1",
    "SDIFF @s1 @s2",
    "SDIFF @s2 @s1 @none",
    "SINTERCARD 2 @s1 @s2",
    "SINTERCARD 2 @s1 @s2 LIMIT 1",
    "SINTERCARD 2 @s1 @s2 LIMIT -1",
    "SINTERCARD 2 @s1 @z1",
    "SINTERSTORE @d1 @s1 @s2",
    "SINTERSTORE @d1 @s1 @none",
    "SINTERSTORE @s1 @s1 @s3",
    "SINTERSTORE @t1 @s1 @s3",
    "SINTERSTORE @d1 @s1 @t1",
    "SINTERSTORE @s4 @s3 @none",
    "SUNIONSTORE @d1 @s1 @s2",
    "SUNIONSTORE @sttl @s1 @s2",
    "SUNIONSTORE @s2 @s1 @none",
    "SDIFFSTORE @d1 @s1 @s2",
    "SDIFFSTORE @s1 @s1 @s2",
    // Sorted sets.
    "ZUNION 2 @z1 @z2 WITHSCORES",
    "ZUNION 3 @z1 @z2 @s1 WEIGHTS 1 2 3 AGGREGATE MAX WITHSCORES",
    "ZUNION 2 @z1 @z2 WEIGHTS 1",
    "ZINTER 2 @z1 @z2",
    "ZINTER 2 @z1 @none WITHSCORES",
    "ZINTER 2 @z1 @l1",
    "ZDIFF 2 @z1 @z2 WITHSCORES",
    "ZINTERCARD 2 @z1 @z2",
    "ZINTERCARD 2 @z1 @z2 LIMIT 1",
    "ZUNIONSTORE @d1 2 @z1 @z2",
    "ZUNIONSTORE @z1 2 @z1 @z2 WEIGHTS 2 3 AGGREGATE MIN",
    "ZINTERSTORE @d1 2 @z1 @z2",
    "ZINTERSTORE @t1 2 @z1 @none",
    "ZDIFFSTORE @d1 2 @z1 @z3",
    "ZDIFFSTORE @d1 2 @z1 @t1",
    "ZRANGESTORE @d1 @z1 0 1",
    "ZRANGESTORE @d1 @z1 (1 3 BYSCORE LIMIT 0 1",
    "ZRANGESTORE @d1 @none 0 -1",
    "ZRANGESTORE @z2 @none 0 -1",
    "ZRANGESTORE @d1 @t1 0 -1",
    "ZRANGESTORE @d1 @z1 a b BYSCORE",
    // Strings.
    "BITOP AND @d1 @t1 @t2",
    "BITOP OR @d1 @t1 @t2 @t3",
    "BITOP XOR @t1 @t1 @t2 @none",
    "BITOP NOT @d1 @t1",
    "BITOP NOT @d1 @none",
    "BITOP AND @d1 @t1 @s1",
    "BITOP WHAT @d1 @t1",
    "LCS @t1 @t2",
    "LCS @t1 @t3 LEN",
    "LCS @t1 @t3 IDX WITHMATCHLEN",
    "LCS @t1 @none",
    "LCS @t1 @s1",
    "PFCOUNT @h1 @h2",
    "PFCOUNT @h1 @none",
    "PFCOUNT @h1 @t1",
    "PFMERGE @d1 @h1 @h2",
    "PFMERGE @h1 @h2",
    "PFMERGE @d1 @none @gone",
    "PFMERGE @t1 @h2",
    "MSETNX @d1 1 @d2 2",
    "MSETNX @d1 1 @t1 2",
    "MSETNX @d1 1 @d2 2 @d1 3",
    // Places.
    "GEOSEARCHSTORE @d1 @g1 FROMLONLAT 15 37 BYRADIUS 200 km ASC",
    "GEOSEARCHSTORE @d1 @g1 FROMMEMBER Palermo BYBOX 400 400 km STOREDIST",
    "GEOSEARCHSTORE @t1 @g1 FROMMEMBER nobody BYBOX 400 400 km",
    "GEOSEARCHSTORE @t1 @none FROMLONLAT 15 37 BYRADIUS 200 km",
    "GEORADIUS @g1 15 37 200 km STORE @d1",
    "GEORADIUS @g1 15 37 200 km STOREDIST @d1 ASC COUNT 1",
    "GEORADIUSBYMEMBER @g1 Palermo 200 km STORE @d1",
    "GEORADIUS @s1 15 37 200 km STORE @d1",
    // Any type.
    "COPY @t1 @d1",
    "COPY @t1 @t2",
    "COPY @t1 @t2 REPLACE",
    "COPY @ttl @d1",
    "COPY @ttl @t1 REPLACE",
    "COPY @none @d1",
    "COPY @x1 @d1",
    "COPY @m1 @d1 DB 0",
    "COPY @t1 @d1 WHAT",
    "SORT @n1 STORE @d1",
    "SORT @s1 ALPHA DESC LIMIT 1 2 STORE @d1",
    "SORT @none STORE @t1",
    "SORT @l1 STORE @d1",
    "SORT @m1 STORE @d1",
    "RENAME @t1 @d1",
    "RENAME @t1 @s1",
    "RENAME @ttl @t1",
    "RENAME @t1 @ttl",
    "RENAME @x1 @d1",
    "RENAME @none @t1",
    "RENAMENX @t1 @d1",
    "RENAMENX @t1 @t2",
    "RENAMENX @ttl @d1",
    "RENAMENX @none @d1",
    "RENAMENX @none @t1",
    // Moves of parts.
    "SMOVE @s1 @s2 a",
    "SMOVE @s1 @s2 b",
    "SMOVE @s1 @s2 nothing",
    "SMOVE @s1 @d1 a",
    "SMOVE @none @s1 a",
    "SMOVE @none @t1 a",
    "SMOVE @s1 @t1 a",
    "SMOVE @s1 @t1 nothing",
    "SMOVE @t1 @s1 a",
    "SMOVE @sttl @d1 m",
    "SMOVE @s1 @sttl a",
    "LMOVE @l1 @l2 LEFT RIGHT",
    "LMOVE @l1 @l2 right left",
    "LMOVE @l1 @d1 LEFT LEFT",
    "LMOVE @none @l1 LEFT LEFT",
    "LMOVE @none @t1 LEFT LEFT",
    "LMOVE @l1 @t1 LEFT LEFT",
    "LMOVE @t1 @l1 LEFT LEFT",
    "LMOVE @l1 @l2 LEFT MIDDLE",
    "RPOPLPUSH @l1 @l2",
    "RPOPLPUSH @l1 @d1",
    "RPOPLPUSH @none @d1",
    "RPOPLPUSH @l1 @s1",
    // Pops that try their keys in order.
    "LMPOP 2 @l1 @l2 LEFT",
    "LMPOP 3 @none @l2 @l1 RIGHT COUNT 2",
    "LMPOP 2 @none @gone LEFT",
    "LMPOP 2 @t1 @l1 LEFT",
    "LMPOP 2 @l1 @t1 LEFT",
    "LMPOP 2 @l1 @l2 UP",
    "ZMPOP 2 @none @z2 MIN",
    "ZMPOP 2 @z1 @z2 MAX COUNT 5",
    "ZMPOP 2 @none @gone MIN",
    // Streams.
    "XREAD STREAMS @x1 @x2 0 0",
    "XREAD COUNT 1 STREAMS @x2 @x1 0 0",
    "XREAD STREAMS @x1 @x2 1-1 9",
    "XREAD STREAMS @x1 @x2 9 9",
    "XREAD STREAMS @none @x2 0 0",
    "XREAD STREAMS @x1 @t1 0 0",
    "XREAD STREAMS @x1 @x2 0 what",
    "XREADGROUP GROUP grp me STREAMS @x1 @x2 > >",
    "XREADGROUP GROUP grp me COUNT 1 STREAMS @x2 @x1 > >",
    "XREADGROUP GROUP nobody me STREAMS @x1 @x2 > >",
];

/// One side: the names of its keys, and a client in each protocol.
struct Side {
    prefix: String,
    clients: [RawClient; 2],
}

impl Side {
    /// Removes all keys and makes those of the setup.
    fn set_up(&mut self) {
        let client = &mut self.clients[0];
        let mut commands: Vec<Vec<Vec<u8>>> = NAMES
            .iter()
            .map(|name| words(&format!("DEL {name}"), &self.prefix))
            .collect();
        commands.extend(SETUP.iter().map(|line| words(line, &self.prefix)));
        for reply in client.pipeline(&commands) {
            assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
        }
    }

    /// All that is visible of a key.
    fn state(&mut self) -> Vec<String> {
        let client = &mut self.clients[0];
        let mut states = Vec::new();
        for name in NAMES {
            let mut ask = |line: &str| {
                let words = words(&format!("{line} {name}"), &self.prefix);
                client.call(&words)
            };
            let ttl = match ask("PTTL") {
                Value::Integer(left @ 1..) => format!("about {}", (left + 1_000_000) / 10_000_000),
                other => format!("{other:?}"),
            };
            let kind = format!("{:?}", ask("TYPE"));
            let dump = match &kind[..] {
                kind if kind.contains("\"none\"") => "nothing".to_owned(),
                kind if kind.contains("\"set\"") => members(&mut ask),
                kind if kind.contains("\"stream\"") => {
                    format!(
                        "{:?}",
                        client.call(&words(&format!("XRANGE {name} - +"), &self.prefix))
                    )
                }
                kind if kind.contains("\"zset\"") => {
                    format!(
                        "{:?}",
                        client.call(&words(
                            &format!("ZRANGE {name} 0 -1 WITHSCORES"),
                            &self.prefix
                        ))
                    )
                }
                kind if kind.contains("\"list\"") => {
                    format!(
                        "{:?}",
                        client.call(&words(&format!("LRANGE {name} 0 -1"), &self.prefix))
                    )
                }
                kind if kind.contains("\"hash\"") => format!("{:?}", ask("HGETALL")),
                _ => format!("{:?}", ask("GET")),
            };
            states.push(format!("{name}: {kind}, {ttl}, {dump}"));
        }
        states
    }
}

/// The members of a set, in order.
fn members(ask: &mut impl FnMut(&str) -> Value) -> String {
    let mut members: Vec<String> = ask("SMEMBERS")
        .items()
        .iter()
        .map(|one| format!("{one:?}"))
        .collect();
    members.sort();
    members.join(" ")
}

fn sides(proxy: &Proxy, server: &LocalServer) -> [Side; 2] {
    let side = |prefix: &str, clients| Side {
        prefix: prefix.to_owned(),
        clients,
    };
    [
        side("same:", [proxy.client(), proxy.client_resp3()]),
        side(
            "same:",
            [
                RawClient::connect(server.port()),
                RawClient::connect_resp3(server.port()),
            ],
        ),
    ]
}

#[test]
fn every_command_over_several_slots_is_that_of_one_redis() {
    let proxy = running_all();
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut sides = sides(&proxy, &server);
    let mut different = Vec::new();
    for line in LINES {
        for protocol in 0..2 {
            let replies = sides.each_mut().map(|side| {
                side.set_up();
                let words = words(line, &side.prefix);
                let client = &mut side.clients[protocol];
                client.send(&words);
                let reply = client.try_read_reply().expect("a reply");
                (words, reply, side.state())
            });
            let [(words, ours, state), (_, theirs, expected)] = replies;
            if !alike(&words, &ours, &theirs) {
                let apart = apart(&ours.bytes, "Redis", &theirs.bytes);
                different.push(format!("{}: {apart}", show(&words)));
            }
            for (state, expected) in state.iter().zip(&expected) {
                if state != expected {
                    different.push(format!("after {}: {state}, not {expected}", show(&words)));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let ran = proxy.metric("slotmux_cross_slot_total").expect("a counter");
    assert!(ran > 200.0, "{ran}");
}

#[test]
fn nothing_of_slotmux_is_left() {
    // Its own, as the moves of other tests have such keys meanwhile.
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("defaults.namespace.cross_slot", "all");
    });
    let mut client = proxy.client();
    for line in [
        "SADD @1 a b",
        "SUNIONSTORE @d @1 @2 @3",
        "LMOVE @l @m LEFT LEFT",
        "RPUSH @l a b",
        "LMOVE @l @m LEFT LEFT",
        "SINTER @1 @2",
    ] {
        client.call(&words(line, "left:"));
    }
    for node in cluster.nodes() {
        let mut direct = RawClient::connect(node.port);
        let keys = direct.call(&["KEYS", "slotmux:*"]);
        assert!(keys.items().is_empty(), "{keys:?}");
    }
}
