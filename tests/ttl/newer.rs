//! TTL options of newer servers: of commands in the table, and of those that slotmux learns from the upstream.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};

use super::add_namespace;

const STRICT: &str = "default = \"600s\", max = \"3600s\", min = \"60s\", over_max = \"reject\", persist = \"reject\"";

/// The TTL that a command is to leave, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// As many, or less by what the test takes.
    Seconds(i64),
    /// No TTL: the condition did not hold.
    Nothing,
    /// The policy refuses the command.
    Refused,
}

use Left::{Nothing, Refused, Seconds};

/// The value of `ns:k` before (empty: no key), the command, and its TTL afterwards. A server that does not know the
/// command refuses it, and says the same through slotmux.
const LINES: &[(&str, &str, Left)] = &[
    ("", "SET ns:k v IFNE x", Seconds(600)),
    ("", "SET ns:k v IFNE x EX 1", Seconds(60)),
    ("", "SET ns:k v IFNE EX EX 1", Seconds(60)),
    ("", "SET ns:k v EX 100 IFNE PX", Seconds(100)),
    ("", "SET ns:k v IFNE x EX 99999999", Refused),
    ("EX", "SET ns:k v IFEQ EX EX 1", Seconds(60)),
    ("EX", "SET ns:k v IFEQ EX GET", Seconds(600)),
    ("", "SET ns:k v IFEQ x", Nothing),
    ("", "SET ns:k v IFDNE 0123456789abcdef EX 1", Seconds(60)),
    ("v", "GETEX ns:k EX 1", Seconds(60)),
    ("v", "GETEX ns:k PERSIST", Refused),
    ("", "INCREX ns:k", Seconds(600)),
    ("5", "INCREX ns:k BYINT 5", Seconds(600)),
    ("", "INCREX ns:k EX 1", Seconds(60)),
    ("", "INCREX ns:k EX 1 ENX", Seconds(60)),
    ("", "INCREX ns:k UBOUND 9 SATURATE PX 1", Seconds(60)),
    ("", "INCREX ns:k EX 99999999", Refused),
    ("5", "INCREX ns:k PERSIST", Refused),
    ("", "MSETEX 1 ns:k v", Seconds(600)),
    ("", "MSETEX 1 ns:k v EX 1", Seconds(60)),
    ("", "MSETEX 1 ns:k EX PX 1 NX", Seconds(60)),
    ("", "MSETEX 2 ns:k v ns:l w EX 99999999", Refused),
    ("", "HSETEX ns:k EX 1 FIELDS 1 f v", Seconds(600)),
    ("", "HSETEX ns:k EX 99999999 FIELDS 1 f v", Seconds(600)),
];

#[test]
fn options_of_newer_servers() {
    let servers = [(); 2].map(|()| LocalServer::start(&ServerOptions::default()).expect("Redis"));
    let [governed, plain] = &servers;
    for strength in ["atomic", "pipelined", "inline-only"] {
        let proxy = Proxy::start_before(governed, |config| {
            add_namespace(
                config,
                "ns",
                &format!("{STRICT}, strength = \"{strength}\""),
            );
        });
        let (mut client, mut direct) = (proxy.client(), RawClient::connect(plain.port()));
        let mut past = RawClient::connect(governed.port());
        for (before, line, left) in LINES {
            for client in [&mut past, &mut direct] {
                client.call(&["FLUSHALL"]);
                if !before.is_empty() {
                    client.call(&["SET", "ns:k", before]);
                }
            }
            let words: Vec<&str> = line.split(' ').collect();
            let (got, expected) = (client.call(&words), direct.call(&words));
            let shown = format!("{strength}: {line}: {got:?}");
            if matches!(&expected, Value::Error(_)) {
                assert!(
                    got == expected || *left == Refused,
                    "{shown}, directly {expected:?}"
                );
                continue;
            }
            let ttl = past.call(&["PTTL", "ns:k"]).integer();
            let is_hash = words[0] == "HSETEX";
            match left {
                Refused => {
                    assert!(got.error().starts_with("ERR slotmux: "), "{shown}");
                    let kept = past.call(&["EXISTS", "ns:k"]).integer();
                    assert_eq!(kept, i64::from(!before.is_empty()), "{shown}");
                    continue;
                }
                Nothing => assert_eq!(ttl, -2, "{shown}"),
                // Only an expiry behind the command can give it a TTL.
                Seconds(_) if strength == "inline-only" && is_hash => {
                    assert_eq!(ttl, -1, "{shown}")
                }
                Seconds(seconds) => {
                    let most = seconds * 1000;
                    assert!((most - 30_000..=most).contains(&ttl), "{shown}: {ttl}");
                }
            }
            assert_eq!(got, expected, "{line}");
        }
    }
}

/// An array or a string in RESP2, from lines like `[name arity [flag]]`: words and lists of them.
fn resp(text: &str) -> Vec<u8> {
    let spaced = text.replace('[', " [ ").replace(']', " ] ");
    let mut open: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new())];
    for word in spaced.split_whitespace() {
        let element = match (word, word.parse::<i64>()) {
            ("[", _) => {
                open.push((0, Vec::new()));
                continue;
            }
            ("]", _) => {
                let (count, bytes) = open.pop().expect("an open list");
                [format!("*{count}\r\n").into_bytes(), bytes].concat()
            }
            (_, Ok(number)) => format!(":{number}\r\n").into_bytes(),
            _ => format!("${}\r\n{word}\r\n", word.len()).into_bytes(),
        };
        let (count, bytes) = open.last_mut().expect("an open list");
        *count += 1;
        bytes.extend(element);
    }
    open.pop().expect("one list").1
}

#[test]
fn options_of_learned_commands() {
    for is_described in [true, false] {
        let commands = resp("[[m.add -3 [write] 1 1 1 [] [] [] []]]");
        let docs = resp(
            "[m.add [arguments [[name key type key] [name value type string] \
             [name by type integer token UP] [name s type integer token EX] \
             [name persist type pure-token token PERSIST]]]]",
        );
        let peer = Peer::start(move |request| match request.name().as_str() {
            "COMMAND" if request.word(1) != "DOCS" => Some(Step::reply(&commands)),
            "COMMAND" if is_described => Some(Step::reply(&docs)),
            "COMMAND" => Some(Step::reply("-NOPERM no\r\n")),
            "EXEC" => Some(Step::reply("*3\r\n+OK\r\n:1\r\n:0\r\n")),
            "M.ADD" | "PEXPIRE" => Some(Step::reply("+QUEUED\r\n")),
            _ => None,
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            add_namespace(config, "ns", STRICT);
        });
        let mut client = RawClient::connect(proxy.port());
        let mut sent = Vec::new();
        let fits: &[(&str, &str)] = &[
            ("M.ADD ns:k v EX 100", "M.ADD ns:k v EX 100"),
            ("M.ADD ns:k EX UP 1", "M.ADD ns:k EX UP 1"),
            ("M.ADD ns:k v UP EX", "M.ADD ns:k v UP EX"),
        ];
        let raised = [("M.ADD ns:k EX UP EX EX 1", "M.ADD ns:k EX UP EX EX 60")];
        let described = is_described.then_some(raised).into_iter().flatten();
        for (line, expected) in fits.iter().copied().chain(described) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(client.call(&words), Value::ok(), "{line}");
            sent.push(expected.to_owned());
        }
        let mut refused = vec!["M.ADD ns:k v EX 3601", "M.ADD ns:k v PERSIST"];
        if !is_described {
            refused.push("M.ADD ns:k v UP EX EX 1");
        }
        for line in refused {
            let reply = client.call(&line.split(' ').collect::<Vec<_>>());
            assert!(
                reply.error().starts_with("ERR slotmux: "),
                "{line}: {reply:?}"
            );
        }
        let seen = peer.requests_named("M.ADD");
        let seen: Vec<String> = seen
            .iter()
            .map(|request| {
                (0..request.words.len())
                    .map(|at| request.word(at))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(seen, sent, "described: {is_described}");
    }
}

/// Servers add their clock to the TTL of RESTORE without a check. Some take the sum for a point in the past, some keep
/// the key for ever, and Valkey 8.1 ends.
#[test]
fn a_restore_whose_ttl_overflows() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "ns", STRICT);
        add_namespace(config, "max", "max = \"100s\"");
        add_namespace(config, "default", "default = \"100s\"");
        add_namespace(config, "min", "min = \"100s\"");
    });
    let (mut client, mut direct) = (proxy.client(), RawClient::connect(server.port()));
    direct.call(&["SET", "from", "v"]);
    let Value::Bulk(dump) = direct.call(&["DUMP", "from"]) else {
        panic!("no dump");
    };
    for number in ["9223372036854775807", "9223370236854775807"] {
        for (key, bound) in [
            ("max:k", 100_000),
            ("default:k", i64::MAX / 2),
            ("min:k", i64::MAX / 2),
        ] {
            let words = [
                b"RESTORE",
                key.as_bytes(),
                number.as_bytes(),
                &dump,
                b"REPLACE",
            ];
            assert_eq!(client.call(&words), Value::ok(), "{key} {number}");
            let ttl = direct.call(&["PTTL", key]).integer();
            assert!(
                (bound - 60_000..=bound).contains(&ttl),
                "{key} {number}: {ttl}"
            );
        }
        let refused = client.call(&[b"RESTORE", &b"ns:k"[..], number.as_bytes(), &dump]);
        assert!(refused.error().contains("(ttl.max)"), "{refused:?}");
    }
    // The node runs its search for expired keys with these keys there.
    direct.call(&["SET", "soon", "v", "PX", "1"]);
    poll_until(PATIENCE, "a key to expire by itself", || {
        let stats: String = server.query(&["INFO", "stats"]).expect("a node that lives");
        !stats.contains("expired_keys:0\r\n")
    });
}
