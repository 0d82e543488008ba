//! Commands that mostly succeed: templates by data type, filled with few keys and few values, so that they often meet.

use fastrand::Rng;

use crate::transcript::lines::Words;

/// Commands of one key, whose keys may be in any slot. `$list` is a key of that type, `$key` one of any, `$v` a value,
/// `$f` a field or member, `$n` a small number, `$x` a float, `$id` the id of an entry, `$time` a long time in seconds.
const ONE_KEY: &[&str] = &[
    "SET $str $v|SET $str $v NX|SET $str $v XX GET|SET $str $v GET|SET $str $v EX $time|SET $str $v KEEPTTL",
    "SET $int $n|GET $str|GET $int|GETDEL $str|GETSET $str $v|GETEX $str EX $time|GETEX $str PERSIST|SETNX $str $v",
    "INCR $int|DECR $int|INCRBY $int $n|DECRBY $int $n|INCRBYFLOAT $int $x|APPEND $str $v|STRLEN $str",
    "GETRANGE $str $n $n|SETRANGE $str $n $v|SUBSTR $str $n $n|SETEX $str $time $v|PSETEX $str $time000 $v",
    "SETBIT $bits $n 1|GETBIT $bits $n|BITCOUNT $bits|BITCOUNT $bits $n $n BIT|BITPOS $bits 1|BITPOS $str 0 $n",
    "BITFIELD $bits SET u8 $n $n GET i4 1|BITFIELD $bits INCRBY u4 $n 7 OVERFLOW FAIL INCRBY u4 0 9",
    "BITFIELD_RO $bits GET u8 0",
    "LPUSH $list $v $v|RPUSH $list $v $v $v|LPUSHX $list $v|RPUSHX $list $v|LPOP $list|RPOP $list|LPOP $list $n",
    "RPOP $list 2|LLEN $list|LRANGE $list $n $n|LRANGE $list 0 -1|LINDEX $list $n|LSET $list $n $v|LREM $list $n $v",
    "LINSERT $list BEFORE $v $v|LINSERT $list AFTER $v $v|LTRIM $list $n $n|LPOS $list $v|LPOS $list $v RANK $n COUNT 0",
    "SADD $set $f $f $f|SADD $set $n $n|SREM $set $f $f|SISMEMBER $set $f|SMISMEMBER $set $f $f|SCARD $set|SMEMBERS $set",
    "HSET $hash $f $v|HSET $hash $f $v $f $v $f $v|HSETNX $hash $f $v|HGET $hash $f|HMGET $hash $f $f|HGETALL $hash",
    "HDEL $hash $f $f|HLEN $hash|HEXISTS $hash $f|HKEYS $hash|HVALS $hash|HSTRLEN $hash $f|HMSET $hash $f $n",
    "HINCRBY $hash $f $n|HINCRBYFLOAT $hash $f $x",
    "ZADD $zset $x $f $x $f|ZADD $zset $n $f|ZADD $zset NX $x $f|ZADD $zset XX CH $x $f|ZADD $zset GT CH $n $f",
    "ZADD $zset INCR $x $f|ZINCRBY $zset $x $f|ZREM $zset $f $f|ZSCORE $zset $f|ZMSCORE $zset $f $f|ZCARD $zset",
    "ZRANK $zset $f|ZREVRANK $zset $f|ZCOUNT $zset -inf ($x|ZLEXCOUNT $zset - +|ZRANGE $zset 0 -1 WITHSCORES",
    "ZRANGE $zset $n $n REV|ZRANGE $zset ($n +inf BYSCORE LIMIT 0 $n WITHSCORES|ZRANGEBYLEX $zset - [$f",
    "ZREVRANGE $zset 0 $n WITHSCORES|ZRANGEBYSCORE $zset -inf $x WITHSCORES|ZREVRANGEBYSCORE $zset inf $n|ZPOPMIN $zset",
    "ZPOPMAX $zset 2|ZREMRANGEBYRANK $zset $n $n|ZREMRANGEBYSCORE $zset $n ($x|ZREMRANGEBYLEX $zset [a ($f",
    "XADD $stream $id $f $v|XADD $stream $id $f $v $f $v|XADD $stream MAXLEN $n $id $f $v|XADD $stream NOMKSTREAM $id $f $v",
    "XLEN $stream|XRANGE $stream - +|XRANGE $stream $id + COUNT 2|XREVRANGE $stream + -|XDEL $stream $id $id",
    "XTRIM $stream MAXLEN $n|XTRIM $stream MINID $id|XREAD COUNT 2 STREAMS $stream $id|XGROUP CREATE $stream g $id MKSTREAM",
    "XGROUP CREATE $stream g 0|XGROUP SETID $stream g $id|XGROUP DESTROY $stream g|XGROUP CREATECONSUMER $stream g $f",
    "XGROUP DELCONSUMER $stream g $f|XREADGROUP GROUP g $f COUNT 2 STREAMS $stream >|XREADGROUP GROUP g $f STREAMS $stream 0",
    "XACK $stream g $id $id|XPENDING $stream g|XCLAIM $stream g $f 0 $id|XAUTOCLAIM $stream g $f 0 0 COUNT 2|XINFO GROUPS $stream",
    "XINFO STREAM $stream|XSETID $stream 9-9",
    "PFADD $hll $f $f|PFADD $hll $v|PFCOUNT $hll",
    "GEOADD $geo 13.361389 38.115556 $f|GEOADD $geo $x $n $f|GEOPOS $geo $f $f|GEODIST $geo $f $f km|GEOHASH $geo $f",
    "GEOSEARCH $geo FROMLONLAT 13 38 BYRADIUS 9000 km ASC WITHDIST|GEORADIUS $geo 1 2 2000 km WITHCOORD COUNT 3 ASC",
    "TYPE $key|TTL $key|PTTL $key|PERSIST $key|EXPIRE $key $time|EXPIRE $key $time NX|PEXPIRE $key $time000|EXPIRE $key -1",
    "EXPIREAT $key 1|OBJECT ENCODING $key|OBJECT REFCOUNT $list|RENAME $key $key|COPY $key $key|COPY $key $key REPLACE",
    "SORT $list ALPHA|SORT $list ALPHA DESC LIMIT 0 $n|SORT_RO $set ALPHA|SORT $list|RENAMENX $key $key|GET $key|DEL $key",
    "LMOVE $list $list LEFT RIGHT|RPOPLPUSH $list $list|MSETNX $str $v|SMOVE $set $set $f|MEMORY USAGE $key",
    "EXISTS $key|UNLINK $key|TOUCH $key|DEL $key $key",
];

/// Commands of several keys, which share a slot.
const ONE_SLOT: &[&str] = &[
    "MSETNX $str $v $str $v|LCS $str $str|LCS $str $str LEN|BITOP AND $bits $bits $str|BITOP NOT $bits $bits",
    "LMOVE $list $list RIGHT LEFT|RPOPLPUSH $list $list|LMPOP 2 $list $list LEFT COUNT 2|SORT $list ALPHA STORE $list",
    "SINTER $set $set|SUNION $set $set|SDIFF $set $set|SINTERSTORE $set $set $set|SUNIONSTORE $set $set $set",
    "SDIFFSTORE $set $set $set|SINTERCARD 2 $set $set|SINTERCARD 2 $set $set LIMIT 1|SMOVE $set $set $f",
    "ZUNIONSTORE $zset 2 $zset $zset WEIGHTS 1 2|ZINTERSTORE $zset 2 $zset $set AGGREGATE MAX|ZDIFFSTORE $zset 2 $zset $zset",
    "ZUNION 2 $zset $set WITHSCORES|ZINTER 2 $zset $zset WITHSCORES|ZDIFF 2 $zset $zset|ZINTERCARD 2 $zset $zset",
    "ZRANGESTORE $zset $zset 0 -1|ZMPOP 2 $zset $zset MAX COUNT 2|PFCOUNT $hll $hll|PFMERGE $hll $hll",
    "GEOSEARCHSTORE $zset $geo FROMLONLAT 13 38 BYRADIUS 9000 km|XREAD STREAMS $stream $stream 0 $id",
    "XREADGROUP GROUP g $f COUNT 1 STREAMS $stream $stream > >|RENAME $key $key|RENAMENX $key $key|COPY $key $key",
    "MGET $str $int $key|MSET $str $v $int $n|DEL $key $key|EXISTS $key $key|UNLINK $key $key|TOUCH $key $key",
];

/// Commands that slotmux splits.
const MANY_SLOTS: &[&str] = &[
    "MGET $str $int $str $key|MGET $str $str $str $int $int|MSET $str $v $int $n|MSET $str $v $str $v $str $v",
    "DEL $key $key $key|UNLINK $key $key|EXISTS $key $key $key|TOUCH $key $key",
];

/// Scripts over keys of one slot; their sums are known to `sha1`.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("return redis.call('incr', KEYS[1])", "EVAL ? 1 $int"),
    (
        "return {KEYS, ARGV, redis.call('type', KEYS[1])}",
        "EVAL ? 2 $key $key $v $n",
    ),
    (
        "redis.call('rpush', KEYS[1], ARGV[1]) return redis.call('lrange', KEYS[1], 0, -1)",
        "EVAL ? 1 $list $v",
    ),
    (
        "return redis.pcall('hset', KEYS[1], ARGV[1], 1)",
        "EVAL ? 1 $key $f",
    ),
    (
        "redis.call('set', KEYS[1], ARGV[1]) return redis.call('lpop', KEYS[1])",
        "EVAL ? 1 $str $v",
    ),
    ("return ARGV[1]", "EVAL ? 0 $v"),
    (
        "return redis.error_reply('MINE ' .. ARGV[1])",
        "EVAL ? 1 $str $f",
    ),
    (
        "redis.setresp(3) return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
        "EVAL ? 1 $zset",
    ),
    ("return redis.call('get', KEYS[1])", "EVAL_RO ? 1 $str"),
    ("return redis.call('set', KEYS[1], 'x')", "EVAL_RO ? 1 $str"),
    (
        "return {1, 2.5, 'a', true, false, {ok='fine'}, {err='bad'}}",
        "EVAL ? 0",
    ),
];

const TYPES: [&str; 10] = [
    "str", "int", "list", "set", "hash", "zset", "stream", "hll", "geo", "bits",
];

/// Placement of the keys of one command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys<'a> {
    /// In one slot, that of this hash tag.
    Tagged(&'a str),
    /// Each in a slot of its own, behind this prefix.
    Spread(&'a str),
}

/// A command of one key or of several; for spread keys, of several only if slotmux splits it.
pub fn any(keys: Keys, random: &mut Rng) -> Words {
    let templates = match (keys, random.u8(0..10)) {
        (Keys::Tagged(_), 0..3) => ONE_SLOT,
        (Keys::Spread(_), 0..2) => MANY_SLOTS,
        _ => ONE_KEY,
    };
    let line = one_of(random, templates);
    fill(line, keys, random)
}

/// A call of a script by its text or by its sum, known or not.
pub fn script(keys: Keys, random: &mut Rng) -> Words {
    let (text, call) = SCRIPTS[random.usize(..SCRIPTS.len())];
    let mut words = fill(call, keys, random);
    words[1] = text.as_bytes().to_vec();
    if random.bool() {
        words[0] = if words[0] == b"EVAL_RO" {
            b"EVALSHA_RO".to_vec()
        } else {
            b"EVALSHA".to_vec()
        };
        words[1] = sha1(text);
    }
    words
}

/// The name of a script.
pub fn sha1(text: &str) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    hex::encode(Sha1::digest(text)).into_bytes()
}

/// One of the templates between the bars.
pub fn one_of<'a>(random: &mut Rng, templates: &[&'a str]) -> &'a str {
    let line = templates[random.usize(..templates.len())];
    let choices: Vec<&str> = line.split('|').collect();
    choices[random.usize(..choices.len())]
}

/// The template with its places filled; now and then a key of another type, or one word too many or too few.
pub fn fill(template: &str, keys: Keys, random: &mut Rng) -> Words {
    // A command whose several keys need a common slot gets one.
    let names: usize = TYPES
        .iter()
        .chain(&["key"])
        .map(|kind| template.matches(&format!("${kind}")).count())
        .sum();
    let splits = MANY_SLOTS
        .iter()
        .any(|line| line.split('|').any(|part| part == template))
        || template == "DEL $key $key";
    let together = matches!(keys, Keys::Spread(_)) && names > 1 && !splits;
    let slot = format!("{{{}}}", random.u8(0..6));
    let prefix = match keys {
        Keys::Tagged(tag) => format!("{{{tag}}}"),
        Keys::Spread(prefix) if together => format!("{slot}{prefix}"),
        Keys::Spread(prefix) => prefix.to_owned(),
    };
    let mut words: Words = template
        .split(' ')
        .map(|word| place(random, word, &prefix))
        .collect();
    // Newer servers take a fourth word of ZRANK, and slotmux knows them all; it detects a missing value of MSETNX
    // earlier.
    // Blocking commands have their keys up to the last word but one.
    let counts_otherwise = ["ZRANK", "ZREVRANK", "MSET", "BL", "BR", "BZ"]
        .iter()
        .any(|name| template.starts_with(name));
    match random.u8(..) {
        0..4 if names == 0 && !template.contains(" nosuch ") => words.push(b"more".to_vec()),
        // All words are in one slot, whether or not they are taken for keys.
        0..4 if names == 1 && words.len() > 1 && !counts_otherwise => {
            words.push(words[1].clone());
        }
        4..8 if names <= 1 && words.len() > 1 && !counts_otherwise => drop(words.pop()),
        _ => {}
    }
    words
}

fn place(random: &mut Rng, word: &str, prefix: &str) -> Vec<u8> {
    let Some(start) = word.find('$').filter(|_| word != "$") else {
        return word.as_bytes().to_vec();
    };
    let (before, name) = word.split_at(start);
    let (name, after) = match &name[1..] {
        "time000" => ("time", "000"),
        name => (name, ""),
    };
    let filled: Vec<u8> = match name {
        "v" => value(random),
        "f" => pick(random, &["a", "b", "c", "d", "e", "", "f\r\ng"]),
        "n" => pick(random, &["0", "1", "2", "3", "7", "-1", "-2", "10", "100"]),
        "x" => pick(random, &["0", "1", "1.5", "-2.25", "3e2", "10", "0.1"]),
        "id" => pick(
            random,
            &[
                "0", "1-1", "1-2", "2-0", "3-1", "4-1", "5-5", "6-1", "7-7", "0-0", "8-*",
            ],
        ),
        "time" => pick(random, &["10000", "50000", "100000"]),
        kind => {
            // Now and then of the wrong type.
            let kind = match random.u8(0..14) {
                0 => TYPES[random.usize(..TYPES.len())],
                _ if kind == "key" => TYPES[random.usize(..TYPES.len())],
                _ => kind,
            };
            format!("{prefix}{kind}:{}", random.u8(0..3)).into_bytes()
        }
    };
    [before.as_bytes(), &filled, after.as_bytes()].concat()
}

fn value(random: &mut Rng) -> Vec<u8> {
    match random.u8(..) {
        0 => vec![b'B'; 20_000],
        1..10 => vec![b'l'; 70],
        10..20 => b"\r\n$3\r\n\x00\xff".to_vec(),
        20..40 => random.u16(..).to_string().into_bytes(),
        _ => pick(random, &["a", "b", "c", "hello", "", "12", "3.5"]),
    }
}

fn pick(random: &mut Rng, from: &[&str]) -> Vec<u8> {
    from[random.usize(..from.len())].as_bytes().to_vec()
}
