//! Commands by the thousand from the command table, the same for the same seed: wrong numbers of arguments, keys of
//! every type, random options, many slots at once, big values.

use fastrand::Rng;
use slotmux_core::command::{Command, KeySpec, Route, all, for_each_key};
use slotmux_core::resp::{Limits, scan_request};

use crate::transcript::lines::{Words, words};
use slotmux_testing::client::command as encode;

/// Random calls of each command.
const CALLS: usize = 14;

/// Calls between two renewals of the keys.
const CALLS_PER_STATE: usize = 60;

/// One key of each type. They share a slot, so that any of them may be in one command.
const STATE: &[&str] = &[
    "DEL {g}str {g}int {g}list {g}set {g}ints {g}hash {g}zset {g}stream {g}hll {g}empty {g}new {g}none",
    "SET {g}str \"some text\\x00\\r\\n\"",
    "SET {g}int 41",
    "SET {g}empty \"\"",
    "RPUSH {g}list a b c 1 2 3 a",
    "SADD {g}set a b c d",
    "SADD {g}ints 1 2 3",
    "HSET {g}hash a 1 b 2.5 c x",
    "ZADD {g}zset 1 a 2 b 3 c -1.5 d",
    "XADD {g}stream 1-1 a b",
    "XADD {g}stream 2-1 a c",
    "PFADD {g}hll a b c",
];

const KEYS: &[&str] = &[
    "{g}str",
    "{g}int",
    "{g}list",
    "{g}set",
    "{g}ints",
    "{g}hash",
    "{g}zset",
    "{g}stream",
    "{g}hll",
    "{g}empty",
    "{g}new",
    "{g}none",
];

/// Arguments that are not keys. No option that names further keys, makes keys expire, blocks, or lets Redis choose an
/// id.
const TOKENS: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "x",
    "",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "100",
    "1.5",
    "-0",
    "1e3",
    "inf",
    "-inf",
    "nan",
    "+",
    "-",
    "(1",
    "[a",
    "[c",
    "(c",
    "01",
    " 1",
    "0x10",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "1-1",
    "2-1",
    "5-0",
    "0-0",
    "NX",
    "xx",
    "GT",
    "lt",
    "CH",
    "INCR",
    "LIMIT",
    "WITHSCORES",
    "COUNT",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "after",
    "ASC",
    "DESC",
    "ALPHA",
    "REV",
    "BYSCORE",
    "BYLEX",
    "MIN",
    "MAX",
    "WEIGHTS",
    "AGGREGATE",
    "SUM",
    "BIT",
    "BYTE",
    "REPLACE",
    "KEEPTTL",
    "PERSIST",
    "u8",
    "i5",
    "OVERFLOW",
    "SAT",
    "km",
    "m",
    "MAXLEN",
    "=",
    "~",
    "WITHVALUES",
    "IDX",
    "LEN",
    "AND",
    "NOT",
    "MKSTREAM",
    "\r\n",
    "*3\r\n$3\r\n",
    "a\0b",
];

/// Commands that only the written tables cover, and why.
const BY_HAND: &[&str] = &[
    // Random members.
    "spop",
    "srandmember",
    "hrandfield",
    "zrandmember",
    // A small number would be a TTL, or an idle time that passes.
    "expire",
    "expireat",
    "pexpire",
    "pexpireat",
    "setex",
    "psetex",
    "xclaim",
    "xautoclaim",
    // Pages and payloads in the order of a hash seed.
    "sscan",
    "hscan",
    "zscan",
    "dump",
    // Connects somewhere; exists outside of clusters only.
    "migrate",
    "move",
];

/// Whether a Redis of this version, `major.minor`, has the command.
pub fn is_in_redis(command: &Command, major: u32, minor: u32) -> bool {
    let mut numbers = command.since.split(['.', ',']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(of_major)), Some(Ok(of_minor))) => (of_major, of_minor) <= (major, minor),
        _ => false,
    }
}

/// Every command and subcommand of Redis 7.0 in the table.
pub fn commands_of_7_0() -> impl Iterator<Item = &'static Command> {
    all()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .filter(|command| is_in_redis(command, 7, 0))
}

/// Everything that is generated.
pub fn generated(seed: u64) -> Vec<Words> {
    let mut random = Rng::with_seed(seed);
    let mut list: Vec<Words> = commands_of_7_0()
        .flat_map(|command| wrong_arity(command, &mut random))
        .collect();
    let mut calls: Vec<Words> = Vec::new();
    for command in commands_of_7_0().filter(|command| takes_random_calls(command)) {
        calls.extend((0..CALLS).map(|_| call(command, &mut random)));
    }
    // Unknown commands are refused by Redis and slotmux alike. For a wrong number of arguments, slotmux reports that
    // instead.
    let newer = all().filter(|command| !is_in_redis(command, 7, 0));
    for command in newer.filter(|command| takes_random_calls(command)) {
        calls.push(call(command, &mut random));
    }
    random.shuffle(&mut calls);
    for calls in calls.chunks(CALLS_PER_STATE) {
        list.extend(STATE.iter().map(|line| words(line)));
        list.extend_from_slice(calls);
    }
    list.extend((0..600).map(|_| many_slots(&mut random)));
    list.extend(big_values(&mut random));
    list.push(words("DBSIZE"));
    list.push(words("KEYS *"));
    list
}

fn takes_random_calls(command: &Command) -> bool {
    matches!(
        command.route,
        Route::Keyed | Route::OneDatabase | Route::Script | Route::Split(_)
    ) && !command.is_container()
        && !BY_HAND.contains(&command.full_name)
}

/// The words of the name, in random case.
fn name(command: &Command, random: &mut Rng) -> Words {
    let mixed = |word: &str, random: &mut Rng| -> Vec<u8> {
        match random.u8(0..3) {
            0 => word.as_bytes().to_vec(),
            1 => word.to_ascii_uppercase().into_bytes(),
            _ => {
                let mut each = |byte: u8| match random.bool() {
                    true => byte.to_ascii_uppercase(),
                    false => byte,
                };
                word.bytes().map(&mut each).collect()
            }
        }
    };
    let words = command.full_name.split('|');
    words.map(|word| mixed(word, random)).collect()
}

/// One argument too few, and one too many.
fn wrong_arity(command: &Command, random: &mut Rng) -> Vec<Words> {
    let least = usize::from(command.arity.unsigned_abs());
    let mut calls = Vec::new();
    let mut with = |argc: usize| {
        let mut words = name(command, random);
        if argc >= words.len() {
            words.resize(argc, b"x".to_vec());
            calls.push(words);
        }
    };
    with(least - 1);
    if command.arity > 0 {
        with(least + 1);
    }
    calls
}

/// A call with as many arguments as the command takes, its keys of any type and the rest by chance.
fn call(command: &Command, random: &mut Rng) -> Words {
    let mut words = name(command, random);
    let least = usize::from(command.arity.unsigned_abs());
    let more = if command.arity < 0 {
        random.usize(0..=3)
    } else {
        0
    };
    let mut argc = (least + more).max(words.len());
    let mut count = None;
    if let KeySpec::NumKeys { at, first, .. } = command.keys {
        let keys = random.usize(0..=3);
        count = Some((usize::from(at), keys));
        argc = argc.max(usize::from(first) + keys);
    }
    if matches!(command.keys, KeySpec::Range { step: 2, .. }) && argc % 2 == 0 {
        argc += 1;
    }
    while words.len() < argc {
        words.push(pick(TOKENS, random));
    }
    if let Some((at, keys)) = count {
        words[at] = keys.to_string().into_bytes();
    }
    let bytes = encode(&words);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
    let mut positions = Vec::new();
    // If the keys cannot be found, the arguments are invalid as they are.
    let _ = for_each_key(&command.keys, &bytes, &args, |at| positions.push(at));
    for at in positions {
        words[at] = pick(KEYS, random);
    }
    words
}

fn pick(from: &[&str], random: &mut Rng) -> Vec<u8> {
    from[random.usize(..from.len())].as_bytes().to_vec()
}

/// A command that slotmux splits, over keys of many slots, with repetitions; and others that change the same keys.
fn many_slots(random: &mut Rng) -> Words {
    let key = |random: &mut Rng| match random.u8(0..8) {
        0 => format!("{{many}}:{}", random.u8(0..6)),
        1 => format!("list:{}", random.u8(0..3)),
        _ => format!("many:{}", random.u8(0..40)),
    };
    let mut line: Vec<String> = match random.u8(0..12) {
        0..=2 => vec!["MGET".to_owned()],
        3..=5 => vec!["MSET".to_owned()],
        6 => vec!["DEL".to_owned()],
        7 => vec!["UNLINK".to_owned()],
        8 => vec!["EXISTS".to_owned()],
        9 => vec!["TOUCH".to_owned()],
        10 => return words(&format!("RPUSH list:{} a", random.u8(0..3))),
        _ => return words(&format!("APPEND {} +", key(random))),
    };
    let is_set = line[0] == "MSET";
    for _ in 0..random.usize(1..=30) {
        line.push(key(random));
        if is_set {
            line.push(random.u32(..).to_string());
        }
    }
    line.into_iter().map(String::into_bytes).collect()
}

/// Values of 100 KiB and 2 MiB among small ones: set, read whole and in part, in one command with small ones.
fn big_values(random: &mut Rng) -> Vec<Words> {
    let mut list = Vec::new();
    let mut add = |words: &[&[u8]]| list.push(words.iter().map(|word| word.to_vec()).collect());
    for (size, name) in [(100 * 1024, "big:100k"), (2 * 1024 * 1024, "big:2m")] {
        let value: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        let name = name.as_bytes();
        add(&[b"PING", b"before"]);
        add(&[b"SET", name, &value]);
        add(&[b"SET", b"small", b"1"]);
        add(&[b"STRLEN", name]);
        add(&[b"GET", name]);
        add(&[b"GET", b"small"]);
        add(&[b"GETRANGE", name, b"1000", b"30000"]);
        add(&[b"APPEND", name, &value]);
        add(&[b"INCR", b"small"]);
        add(&[b"MGET", b"small", name, b"nosuch", name]);
        add(&[b"ECHO", &value]);
        add(&[b"MSET", b"other", &value, b"small", b"2", b"third", b"3"]);
        add(&[b"MGET", b"other", b"small", b"third"]);
        add(&[b"EVAL", b"return ARGV[1]", b"1", name, &value]);
        add(&[b"RPUSH", b"big:list", &value, b"x", &value]);
        add(&[b"LRANGE", b"big:list", b"0", b"-1"]);
        add(&[b"INCR", name]);
        add(&[b"LPUSH", name, &value]);
        add(&[b"GETDEL", name]);
        add(&[b"EXISTS", name, b"other", b"small"]);
        add(&[b"DEL", b"other", b"big:list", b"third"]);
        add(&[b"NOSUCH", &value]);
        add(&[b"PING", &value]);
    }
    list
}
