//! The requests of the clients: single commands, their shares in a mix, and the bytes of one request.
//!
//! Requests are written here, into one buffer per turn, and not by `redis-protocol`, which needs every argument in memory
//! and the list of them before it writes any.

use crate::value::Keyspace;
use std::fmt;

/// Counters that one client increments in turn: several, so that one client's INCRs touch several slots.
pub const COUNTERS_PER_CLIENT: u64 = 8;

/// Most keys of one MGET or MSET.
const MOST_KEYS: u16 = 4096;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `GET key`
    Get,
    /// `SET key value`, with the one value that the key can have
    Set,
    /// `HSET key:hash field value`, of hashes that no other command uses
    Hset,
    /// `MGET` of this many keys
    Mget(u16),
    /// `MSET` of this many keys
    Mset(u16),
    /// `INCR` of a counter that no other client touches
    Incr,
    /// `PING`
    Ping,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Get => f.write_str("get"),
            Op::Set => f.write_str("set"),
            Op::Hset => f.write_str("hset"),
            Op::Mget(n) => write!(f, "mget:{n}"),
            Op::Mset(n) => write!(f, "mset:{n}"),
            Op::Incr => f.write_str("incr"),
            Op::Ping => f.write_str("ping"),
        }
    }
}

/// Reads one command of a mix: `get`, `set`, `hset`, `mget:10`, `mset:10`, `incr`, `ping`.
pub fn parse_op(text: &str) -> Result<Op, String> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => {
            let count = count.parse().ok().filter(|n| (1..=MOST_KEYS).contains(n));
            (
                name,
                Some(count.ok_or_else(|| {
                    format!("{text}: not a number of keys from 1 to {MOST_KEYS}")
                })?),
            )
        }
        None => (text, None),
    };
    match (name.to_ascii_lowercase().as_str(), count) {
        ("get", None) => Ok(Op::Get),
        ("set", None) => Ok(Op::Set),
        ("hset", None) => Ok(Op::Hset),
        ("incr", None) => Ok(Op::Incr),
        ("ping", None) => Ok(Op::Ping),
        ("mget", n) => Ok(Op::Mget(n.unwrap_or(10))),
        ("mset", n) => Ok(Op::Mset(n.unwrap_or(10))),
        _ => Err(format!(
            "{text}: not one of get, set, hset, mget:N, mset:N, incr, ping"
        )),
    }
}

/// Commands with their shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Command and the sum of the shares up to and including it.
    upto: Vec<(Op, u32)>,
    total: u32,
}

/// Reads `get=80,set=20`. The shares need not add up to 100.
pub fn parse_mix(text: &str) -> Result<Mix, String> {
    let mut mix = Mix {
        upto: Vec::new(),
        total: 0,
    };
    for part in text.split(',') {
        let (op, share) = part
            .split_once('=')
            .ok_or_else(|| format!("{part}: a share is written command=NUMBER"))?;
        let op = parse_op(op.trim())?;
        if mix.upto.iter().any(|(other, _)| *other == op) {
            return Err(format!("{op}: named twice"));
        }
        let share = share.trim().parse::<u32>().ok().filter(|n| *n <= 1_000_000);
        mix.total += share.ok_or_else(|| format!("{part}: not a share from 0 to 1000000"))?;
        mix.upto.push((op, mix.total));
    }
    if mix.total == 0 {
        return Err(format!("{text}: nothing has a share"));
    }
    Ok(mix)
}

impl From<Op> for Mix {
    fn from(op: Op) -> Mix {
        Mix {
            upto: vec![(op, 1)],
            total: 1,
        }
    }
}

impl Mix {
    /// Picks a command by its share.
    pub fn pick(&self, random: &mut fastrand::Rng) -> Op {
        match self.upto.as_slice() {
            [(op, _)] => *op,
            upto => {
                let at = random.u32(..self.total);
                upto.iter()
                    .find(|(_, upto)| at < *upto)
                    .map_or(Op::Ping, |(op, _)| *op)
            }
        }
    }

    /// Whether a reply of this mix depends on keys that were stored before.
    pub fn reads_keys(&self) -> bool {
        self.upto
            .iter()
            .any(|(op, _)| matches!(op, Op::Get | Op::Mget(_)))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = 0;
        for (i, (op, upto)) in self.upto.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{op}={}", upto - before)?;
            before = *upto;
        }
        Ok(())
    }
}

/// One request in so few bytes that a client can remember all that it has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The command.
    pub op: Op,
    /// GET, SET and HSET: the key's index. MGET and MSET: the seed that its keys are drawn from. INCR: the counter.
    pub key: u64,
}

impl Ask {
    /// Draws a request.
    pub fn draw(mix: &Mix, keys: &Keyspace, random: &mut fastrand::Rng) -> Ask {
        let op = mix.pick(random);
        let key = match op {
            Op::Get | Op::Set | Op::Hset => random.u64(..keys.count()),
            Op::Mget(_) | Op::Mset(_) => random.u64(..),
            Op::Incr => random.u64(..COUNTERS_PER_CLIENT),
            Op::Ping => 0,
        };
        Ask { op, key }
    }

    /// The indexes of the keys of a GET, SET, MGET or MSET, the same each time.
    pub fn keys(self, keys: &Keyspace) -> impl Iterator<Item = u64> + use<> {
        let (mut random, count) = (fastrand::Rng::with_seed(self.key), keys.count());
        let (many, one) = match self.op {
            Op::Mget(n) | Op::Mset(n) => (n, None),
            Op::Get | Op::Set => (0, Some(self.key)),
            Op::Hset | Op::Incr | Op::Ping => (0, None),
        };
        (0..many).map(move |_| random.u64(..count)).chain(one)
    }

    /// Appends the request's bytes.
    pub fn append(self, keys: &Keyspace, client: u32, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self.op {
            Op::Ping => out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
            Op::Get => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                append_key(keys, self.key, scratch, out);
            }
            Op::Incr => {
                out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n");
                scratch.clear();
                keys.append_counter_key(client, self.key, scratch);
                append_bulk(scratch, out);
            }
            Op::Set => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                append_key(keys, self.key, scratch, out);
                append_value(keys, self.key, out);
            }
            Op::Hset => {
                out.extend_from_slice(b"*4\r\n$4\r\nHSET\r\n");
                scratch.clear();
                keys.append_key(self.key, scratch);
                scratch.extend_from_slice(b":hash");
                append_bulk(scratch, out);
                append_bulk(b"field", out);
                append_value(keys, self.key, out);
            }
            Op::Mget(n) => {
                append_header(b'*', 1 + usize::from(n), out);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
                self.keys(keys)
                    .for_each(|key| append_key(keys, key, scratch, out));
            }
            Op::Mset(n) => {
                append_header(b'*', 1 + 2 * usize::from(n), out);
                out.extend_from_slice(b"$4\r\nMSET\r\n");
                for key in self.keys(keys) {
                    append_key(keys, key, scratch, out);
                    append_value(keys, key, out);
                }
            }
        }
    }
}

fn append_key(keys: &Keyspace, index: u64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    keys.append_key(index, scratch);
    append_bulk(scratch, out);
}

fn append_value(keys: &Keyspace, index: u64, out: &mut Vec<u8>) {
    append_header(b'$', keys.value_len(index), out);
    keys.append_value(index, out);
    out.extend_from_slice(b"\r\n");
}

fn append_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    append_header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn append_header(kind: u8, n: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Sizes;

    fn bytes(ask: Ask, keys: &Keyspace) -> String {
        let mut out = Vec::new();
        ask.append(keys, 7, &mut Vec::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn mixes_are_read() {
        let cases = [
            ("get=80,set=20", Some("get=80,set=20")),
            ("get=1", Some("get=1")),
            (" GET = 3, mget:10=1", Some("get=3,mget:10=1")),
            ("mget=5,incr=0", Some("mget:10=5,incr=0")),
            ("get", None),
            ("get=", None),
            ("get=-1", None),
            ("get=0", None),
            ("get=1,get=2", None),
            ("flushall=1", None),
            ("mget:0=1", None),
            ("mget:5000=1", None),
            ("get:2=1", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(
                parse_mix(text).ok().map(|mix| mix.to_string()).as_deref(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn shares_are_kept() {
        let mix = parse_mix("get=80,set=20,ping=0").unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut seen = [0; 3];
        for _ in 0..10_000 {
            match mix.pick(&mut random) {
                Op::Get => seen[0] += 1,
                Op::Set => seen[1] += 1,
                _ => seen[2] += 1,
            }
        }
        assert!((7_800..8_200).contains(&seen[0]), "{seen:?}");
        assert_eq!(seen[2], 0);
    }

    #[test]
    fn requests_are_resp() {
        let keys = Keyspace::new("k", 10, Sizes { min: 4, max: 4 });
        assert_eq!(
            bytes(
                Ask {
                    op: Op::Ping,
                    key: 0
                },
                &keys
            ),
            "*1\r\n$4\r\nPING\r\n"
        );
        assert_eq!(
            bytes(
                Ask {
                    op: Op::Get,
                    key: 3
                },
                &keys
            ),
            "*2\r\n$3\r\nGET\r\n$2\r\nk3\r\n"
        );
        assert_eq!(
            bytes(
                Ask {
                    op: Op::Incr,
                    key: 1
                },
                &keys
            ),
            "*2\r\n$4\r\nINCR\r\n$12\r\nkcounter:7:1\r\n"
        );
        let set = bytes(
            Ask {
                op: Op::Set,
                key: 3,
            },
            &keys,
        );
        assert!(
            set.starts_with("*3\r\n$3\r\nSET\r\n$2\r\nk3\r\n$4\r\n") && set.ends_with("\r\n"),
            "{set:?}"
        );
        let mset = bytes(
            Ask {
                op: Op::Mset(2),
                key: 9,
            },
            &keys,
        );
        assert!(
            mset.starts_with("*5\r\n$4\r\nMSET\r\n") && mset.matches("$4\r\n").count() == 3,
            "{mset:?}"
        );
    }

    #[test]
    fn keys_of_a_request_can_be_drawn_again() {
        let keys = Keyspace::new("k", 1_000_000, Sizes { min: 4, max: 4 });
        let ask = Ask {
            op: Op::Mget(10),
            key: 42,
        };
        let first: Vec<u64> = ask.keys(&keys).collect();
        assert_eq!(first.len(), 10);
        assert_eq!(first, ask.keys(&keys).collect::<Vec<_>>());
        assert_ne!(
            first,
            Ask { key: 43, ..ask }.keys(&keys).collect::<Vec<_>>()
        );
    }
}
