//! Requests that disguise the keys that they access: options with the names of keys, keys with the names of options,
//! and words with a NUL byte and a tail that servers do not see. No read-only key changes or disappears, no command
//! reaches a namespace that denies it, and each key of a namespace with a TTL policy has a TTL.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{add_namespace, all_ttls};
use slotmux_testing::{Proxy, RawClient, Value, shared_cluster, times};

/// The hash tags of the keys. All but one are words with a meaning, and keys themselves.
const TAGS: [&str; 8] = [
    "by", "store", "STORE", "streams", "STREAMS", "limit", "keys", "count",
];
const WORDS: [&str; 20] = [
    "by",
    "get",
    "store",
    "STORE",
    "StoreDist",
    "limit",
    "asc",
    "alpha",
    "count",
    "any",
    "streams",
    "STREAMS",
    "group",
    "noack",
    "claim",
    "keys",
    "KEYS",
    "auth",
    "replace",
    "novel",
];
const TAILS: [&str; 4] = ["\0", "\0x", "\0\0store", "\0keys"];
const DENIED: [&str; 11] = [
    "sort",
    "georadius",
    "georadiusbymember",
    "xread",
    "xreadgroup",
    "zunionstore",
    "migrate",
    "lmpop",
    "zmpop",
    "eval",
    "getex",
];

/// A command, the type of its keys, and its arguments: `k` is a key, `w` any word, `*` up to eight of the items after
/// it.
const FORMS: &[(&str, Kind)] = &[
    ("sort k * by store STORE limit 0 1 asc w k k", Kind::List),
    ("sort k store * by store STORE limit w k k", Kind::List),
    ("sort k store * store k", Kind::List),
    ("lmpop 1 * k left 2 w", Kind::List),
    (
        "georadius k 1 1 9000 km * store STORE StoreDist count 1 asc w k k",
        Kind::Geo,
    ),
    (
        "georadiusbymember k m 9000 km * store StoreDist count 1 w k k",
        Kind::Geo,
    ),
    ("zunionstore k * 1 2 k k w", Kind::Geo),
    ("zmpop 1 * k max w", Kind::Geo),
    ("xread * streams STREAMS count 1 w k 0 0", Kind::Stream),
    (
        "xreadgroup group g w * streams STREAMS noack count 1 w k k > >",
        Kind::Stream,
    ),
    ("xreadgroup group g streams * streams k > > w", Kind::Stream),
    (
        "xreadgroup count 1 group g STREAMS streams k >",
        Kind::Stream,
    ),
    (
        "migrate HERE PORT EMPTY 0 1000 * replace auth keys KEYS w k k",
        Kind::Text,
    ),
    ("migrate HERE PORT EMPTY 0 1000 KEYS k * k", Kind::Text),
    ("migrate HERE PORT k 0 1000 * replace keys", Kind::Text),
    (
        "set k v * ex px exat nx xx get keepttl 500 9000000 w",
        Kind::Text,
    ),
    ("getex k * ex px pxat persist 500 9000000 w", Kind::Text),
    ("expire k 500 * nx xx gt lt w", Kind::Text),
    (
        "restore k 900000 PAYLOAD replace * absttl replace idletime 5 w",
        Kind::Text,
    ),
    ("restore k 0 PAYLOAD * absttl replace replace", Kind::Text),
    ("eval SCRIPT 1 * k k w", Kind::Text),
];

const SCRIPT: &str = "for _, key in ipairs(KEYS) do redis.call('set', key, 'v') end return 'done'";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Geo,
    Stream,
    Text,
}

struct Case {
    random: fastrand::Rng,
    port: String,
    payload: Vec<u8>,
}

impl Case {
    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.random.usize(..items.len())]
    }

    fn key(&mut self, tag: &str) -> Vec<u8> {
        // Sometimes a key of another slot.
        let tag = match self.random.u8(..8) {
            0 => *self.one_of(&TAGS),
            _ => tag,
        };
        let space = *self.one_of(&["sess:", "sess:", "ro:", "deny:", ""]);
        match space {
            "" => tag.into(),
            space => format!("{space}{{{tag}}}").into(),
        }
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let mut word = word.as_bytes().to_vec();
        match self.random.u8(..6) {
            0 => word.extend_from_slice(self.one_of(&TAILS).as_bytes()),
            1 => word.make_ascii_uppercase(),
            _ => {}
        }
        word
    }

    fn argument(&mut self, of: &str, tag: &str) -> Vec<u8> {
        match of {
            "k" => self.key(tag),
            "w" => {
                let word = *self.one_of(&WORDS);
                self.word(word)
            }
            "HERE" => "127.0.0.1".into(),
            "PORT" => self.port.clone().into(),
            "EMPTY" => Vec::new(),
            "PAYLOAD" => self.payload.clone(),
            "SCRIPT" => SCRIPT.into(),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.into(),
            word => self.word(word),
        }
    }

    fn request(&mut self, form: &str, tag: &str) -> Vec<Vec<u8>> {
        let all: Vec<&str> = form.split(' ').collect();
        let (fixed, any) = match all.iter().position(|word| *word == "*") {
            Some(at) => (&all[..at], &all[at + 1..]),
            None => (&all[..], &[][..]),
        };
        let mut words = vec![fixed[0].as_bytes().to_vec()];
        for of in &fixed[1..] {
            words.push(self.argument(of, tag));
        }
        if !any.is_empty() {
            for _ in 0..self.random.usize(..9) {
                let of = *self.one_of(any);
                words.push(self.argument(of, tag));
            }
        }
        words
    }
}

/// The keys with a tag.
fn keys_of(tag: &str) -> [String; 4] {
    let of = |space: &str| format!("{space}{{{tag}}}");
    [of("sess:"), of("ro:"), of("deny:"), tag.to_owned()]
}

/// Creates the keys of a tag at their node, bypassing slotmux.
fn make(node: &mut RawClient, kind: Kind, tag: &str) {
    for key in keys_of(tag) {
        node.call(&["DEL", &key]);
        // This content is unique.
        let mark = mark(&key);
        match kind {
            Kind::List => node.call(&["RPUSH", &key, &mark]),
            Kind::Geo => node.call(&["GEOADD", &key, "1", "1", &mark, "1", "1", "m"]),
            Kind::Text => node.call(&["SET", &key, &mark]),
            Kind::Stream => {
                node.call(&["XADD", &key, "1-1", "f", &mark]);
                node.call(&["XGROUP", "CREATE", &key, "g", "0"])
            }
        };
        if key.starts_with("sess:") {
            assert_eq!(node.call(&["PEXPIRE", &key, "100000"]), Value::Integer(1));
        }
    }
}

/// A number, as SORT requires.
fn mark(key: &str) -> String {
    let digits: String = key.bytes().map(|byte| format!("{byte:03}")).collect();
    format!("7{}", &digits[..digits.len().min(60)])
}

fn is_in(reply: &Value, text: &[u8]) -> bool {
    match reply {
        Value::Bulk(bytes) => bytes == text,
        Value::Array(items) => items.iter().any(|item| is_in(item, text)),
        _ => false,
    }
}

#[test]
fn no_disguise_evades_a_policy() {
    let cluster = shared_cluster();
    let elsewhere = LocalServer::start(&ServerOptions::default()).expect("Redis");
    let proxy = Proxy::start(cluster, |config| {
        add_namespace(
            config,
            "sess",
            "default = \"100s\", max = \"200s\", mode = \"enforce\", strength = \"atomic\", persist = \"rewrite\"",
        );
        add_namespace(config, "ro", "default = \"none\"");
        config.set("namespace.read_only", true);
        add_namespace(config, "deny", "default = \"none\"");
        config.set("namespace.deny", DENIED.map(str::to_owned).to_vec());
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    let mut target = RawClient::connect(elsewhere.port());
    target.call(&["SET", "payload", "v"]);
    let Value::Bulk(payload) = target.call(&["DUMP", "payload"]) else {
        panic!("no payload");
    };
    target.call(&["DEL", "payload"]);
    let mut case = Case {
        random: fastrand::Rng::with_seed(9),
        port: elsewhere.port().to_string(),
        payload,
    };
    let mut nodes: Vec<RawClient> = TAGS
        .iter()
        .map(|tag| {
            let owner = cluster.primary_of_slot(slot_of(tag.as_bytes()).0);
            RawClient::connect(cluster.node(owner.expect("an owner")).port)
        })
        .collect();
    let (mut read_only, mut denied, mut done, mut governed) = (0, 0, 0, 0);
    for round in 0..times(120, 3_000) {
        let kind = [Kind::List, Kind::Geo, Kind::Stream, Kind::Text][round % 4];
        let forms: Vec<_> = FORMS.iter().filter(|(_, of)| *of == kind).collect();
        for (tag, node) in TAGS.iter().zip(&mut nodes) {
            make(node, kind, tag);
        }
        let mut dumps = Vec::new();
        for (tag, node) in TAGS.iter().zip(&mut nodes) {
            let [_, ro, deny, _] = keys_of(tag);
            dumps.push([ro, deny].map(|key| (node.call(&["DUMP", &key]), key)));
        }
        for _ in 0..25 {
            let at = case.random.usize(..TAGS.len());
            let (form, _) = case.one_of(&forms);
            let words = case.request(form, TAGS[at]);
            let shown: Vec<String> = words
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect();
            let shown = shown.join(" ");
            let reply = client.call(&words);
            let name = form.split(' ').next().unwrap_or_default();
            match &reply {
                Value::Error(text) if text.contains("(read_only)") => read_only += 1,
                Value::Error(text) if text.contains("(deny)") => denied += 1,
                Value::Error(_) => {}
                _ => {
                    done += 1;
                    governed += usize::from(shown.contains("sess:"));
                }
            }
            for (node, kept) in nodes.iter_mut().zip(&dumps) {
                for (dump, key) in kept {
                    // A command that is not denied may change it.
                    if key.starts_with("deny:") && !DENIED.contains(&name) {
                        continue;
                    }
                    assert_eq!(&node.call(&["DUMP", key]), dump, "{key} after {shown}");
                    let is_told = key.starts_with("deny:") && is_in(&reply, mark(key).as_bytes());
                    assert!(!is_told, "{key} shown by {shown}");
                }
            }
            for (tag, node) in TAGS.iter().zip(&mut nodes) {
                let [sess, _, deny, _] = keys_of(tag);
                let ttl = node.call(&["PTTL", &sess]).integer();
                assert!(
                    ttl == -2 || (0..=201_000).contains(&ttl),
                    "{sess} has {ttl} after {shown}"
                );
                let of_deny = dumps.iter_mut().flatten().find(|(_, key)| *key == deny);
                if let Some((dump, _)) = of_deny {
                    *dump = node.call(&["DUMP", &deny]);
                }
            }
            let left = target.call(&["KEYS", "*"]);
            for key in left.items() {
                let is_ours = ["ro:", "deny:"]
                    .iter()
                    .any(|space| key.text().starts_with(space));
                assert!(!is_ours, "{} left by {shown}", key.text());
            }
            if !left.items().is_empty() {
                target.call(&["FLUSHALL"]);
            }
        }
        // A node writes a key of another node's slot if the request also has a key of its own slot.
        for (node, there) in (0..3).map(|node| (node, all_ttls(cluster, &[node]))) {
            for (key, ttl) in there.iter().filter(|(key, _)| key.starts_with("sess:")) {
                assert!(*ttl == -2 || (0..=201_000).contains(ttl), "{key} has {ttl}");
                let owner = cluster.primary_of_slot(slot_of(key.as_bytes()).0);
                assert_eq!(owner.expect("an owner"), node, "{key} is at another node");
            }
        }
    }
    assert!(
        read_only > 200 && denied > 100 && done > 200 && governed > 50,
        "{read_only} {denied} {done} {governed}"
    );
}

/// Requests that once evaded a policy, verbatim.
#[test]
fn known_disguises() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| {
        add_namespace(
            config,
            "seen",
            "default = \"100s\", max = \"200s\", over_max = \"reject\", persist = \"reject\"",
        );
        add_namespace(config, "fix", "default = \"none\"");
        config.set("namespace.read_only", true);
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    let owner = cluster
        .primary_of_slot(slot_of(b"{by}").0)
        .expect("an owner");
    let mut node = RawClient::connect(cluster.node(owner).port);
    for key in ["by", "fix:{by}"] {
        node.call(&["DEL", key]);
        assert_eq!(node.call(&["RPUSH", key, "1", "2"]), Value::Integer(2));
    }
    node.call(&["XADD", "fix:{by}s", "1-1", "f", "v"]);
    node.call(&["XGROUP", "CREATE", "fix:{by}s", "g", "0"]);
    let kept = ["fix:{by}", "fix:{by}s"].map(|key| node.call(&["DUMP", key]));
    let into = ["SORT", "by", "STORE", "by", "STORE", "seen:{by}"];
    assert_eq!(client.call(&into), Value::Integer(2));
    let ttl = node.call(&["PTTL", "seen:{by}"]).integer();
    assert!((1..=100_000).contains(&ttl), "{ttl}");
    let across = ["SORT", "by", "STORE", "by", "STORE", "seen:v"];
    assert!(client.call(&across).error().starts_with("CROSSSLOT"));
    for words in [
        &["SORT", "by", "STORE", "by", "STORE", "fix:{by}"][..],
        &["SORT", "by", "BY\0", "nosort", "STORE\0x", "fix:{by}"],
        &[
            "MIGRATE",
            "127.0.0.1",
            "1",
            "",
            "0",
            "1000",
            "KEYS\0",
            "fix:{by}",
        ],
        &[
            "MIGRATE",
            "127.0.0.1",
            "1",
            "",
            "0",
            "1000",
            "AUTH\0",
            "KEYS",
            "KEYS\0keys",
            "fix:{by}",
        ],
        &[
            "XREADGROUP",
            "GROUP",
            "g",
            "STREAMS",
            "STREAMS",
            "fix:{by}s",
            ">",
        ],
        &[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "STREAMS\0",
            "fix:{by}s",
            ">",
        ],
        &["SET", "seen:{by}", "v", "EX\0", "500"],
        &["EXPIRE", "seen:{by}", "500", "XX\0"],
        &["GETEX", "seen:{by}", "PERSIST\0"],
    ] {
        let reply = client.call(words);
        assert!(
            reply.error().starts_with("ERR slotmux: "),
            "{words:?}: {reply:?}"
        );
    }
    for (key, kept) in ["fix:{by}", "fix:{by}s"].iter().zip(kept) {
        assert_eq!(node.call(&["DUMP", key]), kept, "{key}");
    }
}

/// A single server accepts SORT's patterns, which name keys outside of the request.
#[test]
fn a_pattern_reads_no_denied_key() {
    let server = LocalServer::start(&ServerOptions::default()).expect("Redis");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "deny", "default = \"none\"");
        config.set("namespace.deny", vec!["sort".to_owned()]);
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    client.call(&["SET", "deny:1", "secret"]);
    client.call(&["RPUSH", "list", "1"]);
    for words in [
        &["SORT", "list", "GET", "deny:*"][..],
        &["SORT", "list", "BY", "nosort", "get\0x", "*", "GET", "#"],
        &["SORT", "list", "ALPHA", "BY\0", "deny:*"],
    ] {
        let reply = client.call(words);
        assert!(reply.error().contains("'deny'"), "{words:?}: {reply:?}");
    }
    let by_name = client.call(&["SORT", "list", "BY", "nosort", "GET", "#"]);
    assert_eq!(by_name, Value::Array(vec![Value::bulk("1")]));
}
