//! Option names that servers compare as C strings: bytes after a NUL in an option change neither the positions of a
//! request's keys, nor how long it may block, nor the decision of its policies.

use slotmux_core::command::{BlockingTimeout, CommandRef, resolve};
use slotmux_core::config::{
    Config, CrossSlot, Multi, Namespace, OverMax, Persist, RetryWrites, Strength, Ttl, TtlMode,
};
use slotmux_core::policy::{Decision, Policies, govern};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, Span, scan_request, write};

use super::choices::Choices;

/// Commands with their first arguments: `k` a key, `n` a number, `v` any value.
const COMMANDS: [(&str, &str); 20] = [
    ("SORT", "k"),
    ("SORT_RO", "k"),
    ("GEORADIUS", "knnnv"),
    ("GEORADIUSBYMEMBER", "kvnv"),
    ("XREAD", ""),
    ("XREADGROUP", ""),
    ("MIGRATE", "vnenn"),
    ("MIGRATE", "vnknn"),
    ("SET", "kv"),
    ("GETEX", "k"),
    ("MSETEX", "nkv"),
    ("EXPIRE", "kn"),
    ("PEXPIREAT", "kn"),
    ("RESTORE", "knv"),
    ("ZUNIONSTORE", "knkk"),
    ("GEOSEARCHSTORE", "kk"),
    ("COPY", "kk"),
    ("XADD", "k"),
    ("EVAL", "vnkk"),
    ("LMPOP", "nkk"),
];

/// Options of all commands, each with its arguments.
const OPTIONS: [(&str, &str); 42] = [
    ("ASC", ""),
    ("ALPHA", ""),
    ("LIMIT", "nn"),
    ("BY", "k"),
    ("GET", "k"),
    ("GET", ""),
    ("STORE", "k"),
    ("STOREDIST", "k"),
    ("COUNT", "n"),
    ("ANY", ""),
    ("WITHDIST", ""),
    ("BLOCK", "n"),
    ("GROUP", "vv"),
    ("NOACK", ""),
    ("CLAIM", "n"),
    ("STREAMS", "kv"),
    ("STREAMS", "kkvv"),
    ("COPY", ""),
    ("REPLACE", ""),
    ("AUTH", "v"),
    ("AUTH2", "vv"),
    ("KEYS", "kk"),
    ("EX", "n"),
    ("PX", "n"),
    ("EXAT", "n"),
    ("PXAT", "n"),
    ("NX", ""),
    ("XX", ""),
    ("GT", ""),
    ("LT", ""),
    ("KEEPTTL", ""),
    ("PERSIST", ""),
    ("ABSTTL", ""),
    ("IDLETIME", "n"),
    ("FREQ", "n"),
    ("WEIGHTS", "nn"),
    ("DB", "n"),
    ("LEFT", ""),
    ("NOVEL", ""),
    ("NOVEL", "k"),
    ("STORE", ""),
    ("KEYS", ""),
];

const KEYS: [&[u8]; 7] = [
    b"sess:k", b"sess:2", b"ro:k", b"deny:k", b"k", b"by", b"store",
];
const VALUES: [&[u8]; 6] = [b"v", b"streams", b"keys", b"auth", b"block", b""];
const NUMBERS: [&[u8]; 6] = [b"1", b"2", b"0", b"500", b"1700000500000", b"x"];
const TAILS: [&[u8]; 4] = [b"\0", b"\0x", b"\0\0", b"\0STORE"];
/// The time of all clocks.
const NOW: u64 = 1_700_000_000_000;

/// The arguments of a request, once plain and once with bytes after a NUL.
#[derive(Default)]
struct Twice {
    plain: Vec<Vec<u8>>,
    tailed: Vec<Vec<u8>>,
}

impl Twice {
    fn push(&mut self, word: &[u8], tail: &[u8]) {
        self.plain.push(word.to_vec());
        self.tailed.push([word, tail].concat());
    }

    fn push_each(&mut self, choices: &mut Choices<'_>, kinds: &str) {
        for kind in kinds.bytes() {
            let argument = match kind {
                b'k' => choices.one_of(&KEYS),
                b'n' => choices.one_of(&NUMBERS),
                b'e' => b"",
                _ => choices.one_of(&VALUES),
            };
            self.push(argument, b"");
        }
    }
}

/// Checks the request that the input describes.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    let (name, own) = choices.one_of(&COMMANDS);
    let mut words = Twice::default();
    words.push(name.as_bytes(), b"");
    words.push_each(&mut choices, own);
    for _ in 0..choices.byte() % 7 {
        let (option, following) = choices.one_of(&OPTIONS);
        let mut option = option.as_bytes().to_vec();
        let how = choices.byte();
        if how % 2 == 0 {
            option.make_ascii_lowercase();
        }
        let tail: &[u8] = if how % 3 == 0 {
            b""
        } else {
            choices.one_of(&TAILS)
        };
        words.push(&option, tail);
        words.push_each(&mut choices, following);
    }
    let policies = policies();
    let plain = seen(&policies, &words.plain);
    assert_eq!(plain, seen(&policies, &words.tailed), "{:?}", words.tailed);
}

/// Everything that slotmux derives from a request.
type Seen = (
    Vec<usize>,
    Vec<usize>,
    bool,
    Option<BlockingTimeout>,
    Decision,
);

/// `None`: its number of arguments is wrong.
fn seen(policies: &Policies, words: &[Vec<u8>]) -> Option<Seen> {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    write::request(&mut bytes, &words);
    let mut args: Vec<Span> = Vec::new();
    let scanned = scan_request(&bytes, &Limits::default(), &mut args);
    assert!(matches!(scanned, Ok(Scan::Complete { .. })), "{scanned:?}");
    let command = CommandRef::Table(resolve(&bytes, &args).ok()?);
    let (mut keys, mut written) = (Vec::new(), Vec::new());
    let found = command.for_each_key(&bytes, &args, |at| keys.push(at));
    assert!(found.is_ok() || keys.is_empty());
    let _ = command.for_each_written_key(&bytes, &args, |at| written.push(at));
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    let decision = match keys.is_empty() {
        true => Decision::NONE,
        false => govern(&request, command, policies, || NOW, &mut Vec::new()),
    };
    let blocks = command.blocks(&bytes, &args);
    let wait = BlockingTimeout::of(command, &bytes, &args);
    Some((keys, written, blocks, wait, decision))
}

fn policies() -> Policies {
    let namespace = |name: &str, prefix: &str| Namespace {
        name: name.to_owned(),
        prefixes: vec![prefix.to_owned()],
        ttl: Ttl::default(),
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        cross_slot: CrossSlot::default(),
        retry_writes: RetryWrites::default(),
    };
    let mut sess = namespace("sess", "sess:");
    sess.ttl.default = Some(std::time::Duration::from_secs(100));
    sess.ttl.max = Some(std::time::Duration::from_secs(200));
    sess.ttl.mode = TtlMode::Enforce;
    sess.ttl.strength = Strength::Atomic;
    sess.ttl.over_max = OverMax::Reject;
    sess.ttl.persist = Persist::Reject;
    let mut ro = namespace("ro", "ro:");
    ro.read_only = true;
    let mut deny = namespace("deny", "deny:");
    deny.deny = ["sort", "xread", "georadius"].map(str::to_owned).to_vec();
    Policies::new(&Config {
        namespaces: vec![sess, ro, deny],
        ..Config::default()
    })
}
