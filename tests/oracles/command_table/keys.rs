//! The keys that the table's key specifications find, against those that the server finds.

use std::fmt::Write;

use slotmux_core::command::{self, Command, Flags};

use crate::command_table::facts::LOOSENED;
use crate::command_table::server::{Reply, Server, Wire, names_of, request};
use crate::command_table::touched::repeats_its_keyword;

/// Realistic requests: every command form that has keys somewhere.
const REQUESTS: &str = include_str!("requests.txt");

pub fn requests() -> Vec<Vec<Vec<u8>>> {
    let word = |word: &str| {
        if word == "''" {
            Vec::new()
        } else {
            word.as_bytes().to_vec()
        }
    };
    REQUESTS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(word).collect())
        .collect()
}

/// Artificial requests: every command with words that have a meaning in some command.
fn strange_requests() -> Vec<Vec<Vec<u8>>> {
    const WORDS: [&str; 24] = [
        "",
        "0",
        "1",
        "2",
        "3",
        "-1",
        "99999999999999999999",
        "streams",
        "STORE",
        "storedist",
        "KEYS",
        "auth",
        "auth2",
        "get",
        "by",
        "limit",
        "copy",
        "1\0",
        "Streams\0x",
        "STORE\0",
        "keys\0auth",
        "by\0",
        "k1",
        "k2",
    ];
    let mut random = fastrand::Rng::with_seed(20);
    let mut requests = Vec::new();
    for command in command::all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
        if LOOSENED.iter().any(|(name, _)| *name == command.full_name) {
            continue;
        }
        for _ in 0..if command.flags.contains(Flags::MOVABLE_KEYS) {
            200
        } else {
            5
        } {
            let mut words: Vec<_> = command
                .full_name
                .split('|')
                .map(|word| word.as_bytes().to_vec())
                .collect();
            let least = usize::from(command.arity.unsigned_abs()).max(words.len());
            let length = if command.arity < 0 {
                least + random.usize(0..8)
            } else {
                least
            };
            while words.len() < length {
                words.push(WORDS[random.usize(0..WORDS.len())].into());
            }
            requests.push(words);
        }
    }
    requests
}

/// The keys of a request as the server finds them. `None`: it finds none or reports an invalid request.
pub fn keys_by_server(wire: &mut Wire, requests: &[Vec<Vec<u8>>]) -> Vec<Option<Vec<Vec<u8>>>> {
    let ask: Vec<Vec<Vec<u8>>> = requests
        .iter()
        .map(|words| {
            [b"COMMAND".to_vec(), b"GETKEYS".to_vec()]
                .into_iter()
                .chain(words.iter().cloned())
                .collect()
        })
        .collect();
    let key = |reply| match reply {
        Reply::Bulk(key) => key,
        other => panic!("not a key: {other:?}"),
    };
    ask.chunks(500)
        .flat_map(|ask| wire.ask(ask))
        .map(|reply| match reply {
            Reply::Array(keys) if keys.is_empty() => None,
            Reply::Array(keys) => Some(keys.into_iter().map(key).collect()),
            Reply::Error(_) => None,
            other => panic!("not keys: {other:?}"),
        })
        .collect()
}

/// Whether a difference between the server's keys and those that slotmux finds is harmless. The server searches for
/// keywords where its commands parse their options. Harmless means: it refuses the request, its keys are among ours, or
/// the keyword occurs more than once (`touched.rs` tests those).
fn is_safe(
    wire: &mut Wire,
    words: &[Vec<u8>],
    ours: &Option<Vec<Vec<u8>>>,
    by_server: &Option<Vec<Vec<u8>>>,
) -> bool {
    let ours = ours.as_deref().unwrap_or_default();
    if repeats_its_keyword(words) || by_server.iter().flatten().all(|key| ours.contains(key)) {
        return true;
    }
    // No command blocks in a transaction.
    let [multi, exec] = ["MULTI", "EXEC"].map(|word| vec![word.as_bytes().to_vec()]);
    let replies = wire.ask(&[multi, words.to_vec(), exec]);
    let is_refused = |reply: &Reply| matches!(reply, Reply::Error(_));
    match &replies[2] {
        Reply::Array(elements) => elements.iter().all(is_refused),
        aborted => is_refused(aborted),
    }
}

#[test]
fn keys_are_those_that_the_server_finds() {
    let server = Server::start();
    let mut wire = Wire::connect(&server);
    let plain = requests();
    assert!(plain.len() >= 250, "{}", plain.len());
    let strange = strange_requests();
    let server_has = names_of(&server);
    let by_server = keys_by_server(&mut wire, &[plain.clone(), strange.clone()].concat());
    let mut wrong = String::new();
    let mut compared = 0;
    for (at, (words, by_server)) in plain.iter().chain(&strange).zip(by_server).enumerate() {
        let (buf, args) = request(words);
        let shown = || {
            words
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let is_new = |command: &Command| !server_has.contains(command.full_name);
        let command = match command::resolve(&buf, &args) {
            // The server distinguishes channels and cursors from keys; all are hashed, so the table does not.
            Ok(command)
                if is_new(command)
                    || command.flags.contains(Flags::PUBSUB)
                    || command.name == "clusterscan" =>
            {
                continue;
            }
            Ok(command) => command,
            Err(why) => {
                assert!(at >= plain.len(), "{why:?}: {}", shown());
                continue;
            }
        };
        let mut keys = Vec::new();
        let result = command::for_each_key(&command.keys, &buf, &args, |at| {
            keys.push(words[at].clone())
        });
        let ours = (result.is_ok() && !keys.is_empty()).then_some(keys);
        compared += usize::from(by_server.is_some());
        // Redis 7.0 overlooks the destination if PFMERGE has no other key.
        let overlooked = command.full_name == "pfmerge" && args.len() == 2;
        let is_strange = at >= plain.len();
        if ours != by_server
            && !overlooked
            && !(is_strange && is_safe(&mut wire, words, &ours, &by_server))
        {
            let show = |keys: &Option<Vec<Vec<u8>>>| {
                keys.as_ref()
                    .map(|keys| String::from_utf8_lossy(&keys.join(&b' ')).into_owned())
            };
            writeln!(
                wrong,
                "{}: {:?}, by the server {:?}",
                shown(),
                show(&ours),
                show(&by_server)
            )
            .unwrap();
        }
    }
    assert!(
        compared > 2_000,
        "the server found keys in {compared} requests only"
    );
    assert!(wrong.is_empty(), "\n{wrong}");
}
