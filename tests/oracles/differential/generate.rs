//! Random programs, the same for the same seed.

use fastrand::Rng;
use slotmux_core::command::Route;

use crate::differential::grammar::{Keys, SCRIPTS, any, fill, one_of, script, sha1};
use crate::differential::step::{Pipeline, Program, Step};
use crate::transcript::lines::{Words, by_hand, words};
use slotmux_testing::alike::known;

/// Clients of a program, the last of which may subscribe.
const CLIENTS: usize = 4;
const LISTENERS: usize = 2;

/// A tenth of them covers most cases.
const STEPS: usize = 60;

/// Longest command from the transcript: long ones are many and add no coverage.
const LONGEST: usize = 3000;

/// Commands of the transcript whose results differ between two servers or two moments: random results, the order of a
/// hash seed, or the clock. And those of which newer servers take more arguments.
const NOT_TWICE: &[&str] = &[
    "spop",
    "srandmember",
    "hrandfield",
    "zrandmember",
    "sscan",
    "hscan",
    "zscan",
    "dump",
    "xclaim",
    "xautoclaim",
    "expiretime",
    "pexpiretime",
    "expire",
    "pexpire",
    "expireat",
    "pexpireat",
    "setex",
    "psetex",
    "sort",
    "sort_ro",
    "zrank",
    "zrevrank",
];

/// Commands about a connection that do not wait.
const SESSION: &[&str] = &[
    "PING|PING $v|ECHO $v|CLIENT SETNAME $f|CLIENT GETNAME|HELLO 2|HELLO 3|RESET|SELECT 0|SELECT 1|CLIENT NO-EVICT ON",
    "COMMAND COUNT|UNWATCH|CLIENT GETREDIR|DISCARD|EXEC|OBJECT HELP|AUTH a b|HELLO 9|LOLWUT VERSION 1 1|COMMAND GETKEYS GET $f|BLPOP nosuch 0.01|BZPOPMIN nosuch 0.01",
];

/// Commands about all keys, or all nodes.
const WHOLE: &[&str] = &[
    "DBSIZE|KEYS *|KEYS *str*|FLUSHALL|RANDOMKEY|SCRIPT FLUSH|FUNCTION LIST|FUNCTION FLUSH|FLUSHDB SYNC|KEYS {a}*",
    "PUBSUB CHANNELS|PUBSUB NUMPAT|PUBSUB NUMSUB ch1 ch2 nosuch|PUBSUB SHARDCHANNELS|PUBSUB SHARDNUMSUB sh1 sh2|PUBSUB CHANNELS ch*",
];

const SUBSCRIBING: &[&str] = &[
    "SUBSCRIBE ch1|SUBSCRIBE ch1 ch2 ch3|SUBSCRIBE ch2 ch2|PSUBSCRIBE ch*|PSUBSCRIBE *1 [cd]h2|SSUBSCRIBE sh1|SSUBSCRIBE sh2 sh1",
    "UNSUBSCRIBE ch1|UNSUBSCRIBE|PUNSUBSCRIBE|PUNSUBSCRIBE ch* nosuch|SUNSUBSCRIBE sh1|SUNSUBSCRIBE|UNSUBSCRIBE nosuch ch2",
];

const PUBLISHING: &[&str] = &[
    "PUBLISH ch1 $v|PUBLISH ch2 $v|PUBLISH ch3 $v|SPUBLISH sh1 $v|SPUBLISH sh2 $v|PUBLISH nosuch $v",
];

const BLOCKING: &[&str] = &[
    "BLPOP $list 0|BRPOP $list $list 0|BLMOVE $list $list LEFT RIGHT 0|BRPOPLPUSH $list $list 0|BLMPOP 0 2 $list $list LEFT COUNT 2",
    "BZPOPMIN $zset 0|BZPOPMAX $zset $zset 0|BZMPOP 0 1 $zset MIN|XREAD BLOCK 0 STREAMS $stream $|BLPOP $list $list $key 0",
    "XREAD COUNT 1 BLOCK 0 STREAMS $stream $stream $ 5-5|XREADGROUP GROUP g a BLOCK 0 STREAMS $stream >",
    "BLPOP $list -1|BLPOP $list x|XREAD BLOCK x STREAMS $stream $|BLMPOP 0 0 $list LEFT",
];

/// Commands behind a blocking one. Others do not use their keys, because the order of execution is open.
const BEHIND: &[&str] = &["PING|ECHO $v|GET|INCR @n|SET @s $v|MGET @n @s nosuch"];

const FEEDING: &[&str] = &[
    "LPUSH $list $v $v|RPUSH $list $v|LPUSH $list $v|ZADD $zset 1 a 2 b|ZADD $zset 3 c|XADD $stream * $f $v|XADD $stream 7-* a b",
    "DEL $list|SET $list $v|RENAME $list $list|COPY $list $list|LMOVE $list $list LEFT LEFT|XGROUP DESTROY $stream g|DEL $stream",
    "EVAL return(redis.call('rpush',KEYS[1],'x','y')) 1 $list|ZUNIONSTORE $zset 1 $zset|SORT $list ALPHA STORE $list",
];

/// The source of a program's commands.
pub struct Source {
    /// Of the transcript, both written and generated.
    transcript: Vec<Words>,
}

impl Source {
    /// With the generated part of the transcript of this seed.
    pub fn new(seed: u64) -> Source {
        let all = by_hand()
            .into_iter()
            .chain(crate::transcript::generate::generated(seed));
        Source {
            transcript: all.filter(holds_twice).collect(),
        }
    }

    /// A program.
    pub fn program(&self, seed: u64) -> Program {
        let mut random = Rng::with_seed(seed);
        let protocols = (0..CLIENTS).map(|_| random.u8(2..=3)).collect();
        let mut steps = Vec::new();
        while steps.len() < STEPS {
            self.episode(&mut random, &mut steps);
        }
        for one in steps.iter_mut().flat_map(Step::pipelines_mut) {
            // A count of subscribers right behind an unsubscribe may still include it.
            if let Some(at) = one.commands.iter().position(|words| words[0] == b"RESET") {
                one.commands.truncate(at + 1);
            }
        }
        Program { protocols, steps }
    }

    fn episode(&self, random: &mut Rng, steps: &mut Vec<Step>) {
        let client = random.usize(..CLIENTS);
        let one = |commands| Step::Send(vec![Pipeline::new(client, commands)]);
        match random.u8(0..30) {
            0..6 => {
                let length = random.usize(1..20);
                let mut commands = (0..length).map(|_| self.command(random)).collect();
                by_text_or_by_sum(&mut commands, random);
                steps.push(one(commands));
            }
            6..8 => steps.push(one(self.excerpt(random))),
            8..12 => {
                let mut commands = self.transaction(random);
                // Redis 7.0 puts a message to the client itself into EXEC's array, which no library could read.
                if client >= CLIENTS - LISTENERS {
                    commands.retain(|words| !words[0].ends_with(b"PUBLISH"));
                }
                steps.push(one(commands));
            }
            12..15 => self.watched(random, client, steps),
            15..18 => steps.push(at_once(random)),
            18..21 => steps.push(blocking(random)),
            21..23 => steps.push(Step::Listen(Pipeline::new(
                CLIENTS - 1 - random.usize(..LISTENERS),
                vec![words(one_of(random, SUBSCRIBING))],
            ))),
            23..25 => {
                let commands = (0..random.usize(1..6))
                    .map(|_| plain(random, PUBLISHING))
                    .collect();
                steps.push(one(commands));
            }
            25 => steps.push(Step::Quiet(Pipeline::new(
                client,
                (0..random.usize(1..6)).map(|_| any_key(random)).collect(),
            ))),
            26 => steps.push(Step::Scan(Pipeline::new(client, vec![scan(random)]))),
            27 => steps.push(one((0..random.usize(1..4))
                .map(|_| plain(random, WHOLE))
                .collect())),
            _ => steps.push(one((0..random.usize(1..5))
                .map(|_| plain(random, SESSION))
                .collect())),
        }
    }

    /// One command of any kind that does not end its connection.
    fn command(&self, random: &mut Rng) -> Words {
        match random.u8(0..20) {
            0 => plain(random, SESSION),
            1 => plain(random, WHOLE),
            2..4 => script(keys(random), random),
            4 => script_or_function(random),
            5 => self.transcript[random.usize(..self.transcript.len())].clone(),
            _ => any_key(random),
        }
    }

    fn excerpt(&self, random: &mut Rng) -> Vec<Words> {
        let from = random.usize(..self.transcript.len() - 40);
        self.transcript[from..from + random.usize(1..40)].to_vec()
    }

    /// MULTI and its commands, over one slot or several, in one pipeline.
    fn transaction(&self, random: &mut Rng) -> Vec<Words> {
        let keys = keys(random);
        let mut commands = vec![words("MULTI")];
        for _ in 0..random.usize(0..8) {
            commands.push(match random.u8(0..24) {
                0 => self.transcript[random.usize(..self.transcript.len())].clone(),
                1 => plain(
                    random,
                    &["PING|ECHO $v|NOSUCH $v|GET|MULTI|WATCH a|CLIENT GETNAME|UNWATCH|SELECT 0"],
                ),
                2 => plain(random, PUBLISHING),
                3..5 => script(keys, random),
                5 => fill(one_of(random, BLOCKING), tagged(random), random),
                _ => any(keys, random),
            });
        }
        by_text_or_by_sum(&mut commands, random);
        let end = one_of(
            random,
            &["EXEC|EXEC|EXEC|EXEC|EXEC|EXEC|EXEC|DISCARD|RESET"],
        );
        commands.push(words(end));
        commands
    }

    /// WATCH, commands in between, and the transaction, by one client; another may change the keys.
    fn watched(&self, random: &mut Rng, client: usize, steps: &mut Vec<Step>) {
        let keys = tagged(random);
        let one = |client, commands| Step::Send(vec![Pipeline::new(client, commands)]);
        let mut first = vec![fill("WATCH $str $key", keys, random)];
        for _ in 0..random.usize(0..3) {
            first.push(any(keys, random));
        }
        steps.push(one(client, first));
        let meddler = (client + random.usize(1..CLIENTS)) % CLIENTS;
        if random.bool() {
            steps.push(one(
                meddler,
                (0..random.usize(1..4)).map(|_| any(keys, random)).collect(),
            ));
        }
        if random.u8(0..6) == 0 {
            steps.push(one(client, vec![plain(random, &["UNWATCH|DISCARD|RESET"])]));
        }
        steps.push(one(client, vec![words("MULTI")]));
        if random.bool() {
            steps.push(one(meddler, vec![any(keys, random)]));
        }
        let mut body: Vec<Words> = (0..random.usize(0..5)).map(|_| any(keys, random)).collect();
        body.push(words(one_of(random, &["EXEC|EXEC|EXEC|EXEC|DISCARD"])));
        steps.push(one(client, body));
    }
}

/// Pipelines of all clients at once, each over keys of its own.
fn at_once(random: &mut Rng) -> Step {
    let pipeline = |client: usize| {
        let prefix = format!("own{client}:");
        let length = random.usize(1..30);
        let each = |_| match random.u8(0..8) {
            0 => fill(
                &format!("EVAL return({{KEYS[1],ARGV[1]}}) 1 own{client} $v"),
                Keys::Spread(""),
                random,
            ),
            _ => any(Keys::Spread(&prefix), random),
        };
        Pipeline::new(client, (0..length).map(each).collect())
    };
    Step::Send((0..CLIENTS - LISTENERS).map(pipeline).collect())
}

fn blocking(random: &mut Rng) -> Step {
    let keys = tagged(random);
    let feeder = random.usize(..CLIENTS);
    let waiters = (1..=random.usize(1..CLIENTS)).map(|distance| {
        let mut commands = vec![fill(one_of(random, BLOCKING), keys, random)];
        for _ in 0..random.usize(0..3) {
            let line = one_of(random, BEHIND).replace('@', &format!("{{waiter{distance}}}"));
            commands.push(fill(&line, Keys::Spread(""), random));
        }
        Pipeline::new((feeder + distance) % CLIENTS, commands)
    });
    let waiters = waiters.collect();
    let mut feed: Vec<Words> = (0..random.usize(0..4))
        .map(|_| fill(one_of(random, FEEDING), keys, random))
        .collect();
    // An id chosen by Redis differs.
    feed.iter_mut()
        .flatten()
        .filter(|word| *word == b"*")
        .for_each(|word| *word = b"9-*".to_vec());
    if random.u8(0..4) == 0 && !feed.is_empty() {
        feed.insert(0, words("MULTI"));
        feed.push(words("EXEC"));
    }
    Step::Block {
        waiters,
        feed: Pipeline::new(feeder, feed),
        with_error: random.bool(),
    }
}

fn scan(random: &mut Rng) -> Words {
    let line = one_of(
        random,
        &[
            "SCAN 0|SCAN 0 COUNT 3|SCAN 0 MATCH *str* COUNT 100|SCAN 0 TYPE list|HSCAN $hash 0|SSCAN $set 0 COUNT 1|ZSCAN $zset 0|SCAN 0 COUNT x",
        ],
    );
    words(
        &line
            .replace("$hash", "hash:1")
            .replace("$set", "{a}set:1")
            .replace("$zset", "zset:0"),
    )
}

fn script_or_function(random: &mut Rng) -> Words {
    let (text, _) = SCRIPTS[random.usize(..SCRIPTS.len())];
    let library = b"#!lua name=lib\nredis.register_function('f', function(k, a) return redis.call('incr', k[1]) end)";
    let call = |line: &str, last: &[u8]| -> Words {
        words(line).into_iter().chain([last.to_vec()]).collect()
    };
    match random.u8(0..8) {
        0 => call("SCRIPT LOAD", text.as_bytes()),
        1..3 => call("SCRIPT EXISTS", &sha1(text)),
        3 => call("FUNCTION LOAD REPLACE", library),
        4 => call("FUNCTION LOAD", library),
        5 => words("FUNCTION DELETE lib"),
        _ => fill("FCALL f 1 $int", keys(random), random),
    }
}

/// Keeps scripts of one kind: an EVAL can make its script known even to an earlier EVALSHA, because slotmux loads
/// scripts ahead of a transaction and on nodes that lack them.
fn by_text_or_by_sum(commands: &mut Vec<Words>, random: &mut Rng) {
    let unwanted: [&[u8]; 3] = match random.bool() {
        true => [b"EVAL", b"EVAL_RO", b"SCRIPT"],
        false => [b"EVALSHA", b"EVALSHA_RO", b""],
    };
    commands.retain(|words| !unwanted.contains(&&*words[0].to_ascii_uppercase()));
}

fn tagged(random: &mut Rng) -> Keys<'static> {
    Keys::Tagged(["a", "b", "c", "d"][random.usize(..4)])
}

fn keys(random: &mut Rng) -> Keys<'static> {
    if random.bool() {
        tagged(random)
    } else {
        Keys::Spread("")
    }
}

fn any_key(random: &mut Rng) -> Words {
    let keys = keys(random);
    any(keys, random)
}

fn plain(random: &mut Rng, templates: &[&str]) -> Words {
    let line = one_of(random, templates);
    fill(line, Keys::Spread(""), random)
}

/// Whether a command of the transcript has the same effect on both sides in any state.
fn holds_twice(words: &Words) -> bool {
    if words.iter().map(Vec::len).sum::<usize>() > LONGEST {
        return false;
    }
    let is = |word: &Vec<u8>, names: &[&str]| {
        names
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some(command) = known(words) else {
        // Unknown, or of a wrong number of arguments. QUIT takes any number; slotmux checks that of MSET earlier.
        return !is(&words[0], &["quit", "mset", "msetnx"]);
    };
    let number = |word: &Vec<u8>| {
        std::str::from_utf8(word)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let expires_soon = words
        .iter()
        .any(|word| is(word, &["ex", "px", "exat", "pxat"]))
        && words
            .iter()
            .map(number)
            .any(|number: u64| (1..100_000).contains(&number));
    let chooses = command.name == "xadd" && words.iter().any(|word| word == b"*");
    matches!(
        command.route,
        Route::Keyed | Route::OneDatabase | Route::Script | Route::Split(_)
    ) && crate::transcript::generate::is_in_redis(command, 7, 0)
        && !NOT_TWICE.contains(&command.full_name)
        && !expires_soon
        && !chooses
}
