//! The merged replies of several nodes: whatever they contain, the result is exactly one reply. A node's descriptions
//! of its commands and subscriptions are read as untrusted input.

use slotmux::engine::pubsub::frame::{Frame, read};
use slotmux_core::command::listening::SubscriptionKind;
use slotmux_core::command::{CommandRef, Learned, Merge};
use slotmux_core::resp::{Limits, ReplyScanner, scan_request};
use slotmux_core::route::merge::merged;
use slotmux_core::route::merge::{exists, info, parameters, texts};
use slotmux_core::route::scan::run_of;

use super::choices::Choices;

const MERGES: [Merge; 19] = [
    Merge::Elements,
    Merge::AllOk,
    Merge::Sum,
    Merge::First,
    Merge::AllTrue,
    Merge::Concat,
    Merge::Least,
    Merge::EachLeast,
    Merge::RandomKey,
    Merge::Names(SubscriptionKind::Channel),
    Merge::Subscribers(SubscriptionKind::Shard),
    Merge::Patterns,
    Merge::AnyOk,
    Merge::Running,
    Merge::Newest(2),
    Merge::History,
    Merge::Latest,
    Merge::Histogram,
    Merge::Union,
];

/// The parts of which replies are built; the number of elements behind a header may differ from its count.
const PIECES: [&[u8]; 40] = [
    b"*0\r\n",
    b"*1\r\n",
    b"*2\r\n",
    b"*3\r\n",
    b"*-1\r\n",
    b"~1\r\n",
    b"%1\r\n",
    b"%2\r\n",
    b"|1\r\n",
    b">2\r\n",
    b":0\r\n",
    b":1\r\n",
    b":-1\r\n",
    b":9223372036854775807\r\n",
    b":-9223372036854775808\r\n",
    b"$-1\r\n",
    b"_\r\n",
    b"$0\r\n\r\n",
    b"$1\r\na\r\n",
    b"$2\r\n\r\n\r\n",
    b"+OK\r\n",
    b"+a\rb\nc\r\n",
    b"-ERR x\r\n",
    b"-NOTBUSY x\ry\r\n",
    b"-BUSY \xff\r\n",
    b",1.5\r\n",
    b",nan\r\n",
    b"#t\r\n",
    b"(1\r\n",
    b"$5\r\ncalls\r\n",
    b"$14\r\nhistogram_usec\r\n",
    b"$14\r\nkeyspace_hits:\r\n",
    b"=7\r\ntxt:a:1\r\n",
    b"$18\r\ndb0:keys=1,expires\r\n",
    b"$16\r\n# Keyspace\r\ndb0:\r\n",
    b"$9\r\nsubscribe\r\n",
    b"$7\r\nmessage\r\n",
    b"$4\r\nrole\r\n",
    b"*10\r\n",
    b"*6\r\n",
];

/// Merges the replies of one to three nodes in every way; the rest of the input is a node's description of itself.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    let count = 1 + usize::from(choices.byte() % 3);
    let parts: Vec<Vec<u8>> = (0..count).map(|_| reply(&mut choices)).collect();
    let own = reply(&mut choices);
    let order: Vec<u32> = (0..choices.byte() % 4)
        .map(|_| u32::from(choices.byte()) % count as u32)
        .collect();
    let is_write = choices.byte() % 2 == 1;
    let others = [Merge::Totals, Merge::Texts, Merge::Shown];
    for merge in MERGES.into_iter().chain(others) {
        let mut parts = parts.clone();
        if merge == Merge::RandomKey {
            // Keys, and an equal number of key counts.
            parts.extend_from_within(..);
        }
        one_reply(&parts, merge, |out| {
            merged(&parts, merge, &order, is_write, out);
        });
    }
    one_reply(&parts, "SCRIPT EXISTS", |out| {
        if exists::exist(&parts, &[true, false], out).is_none() {
            out.truncate(BEFORE.len());
            out.extend_from_slice(b"+OK\r\n");
        }
    });
    let nodes: Vec<String> = (0..count).map(|at| format!("n:{at}")).collect();
    one_reply(&parts, "texts", |out| {
        texts::merged(&parts, &nodes, out);
    });
    let info = info::OwnInfo {
        asked: own.clone(),
        everything: own.clone(),
        ..info::OwnInfo::default()
    };
    one_reply(&parts, "INFO", |out| info::merged(&info, &parts, out));
    one_reply(&parts, "CONFIG GET", |out| {
        parameters::merged(
            &own,
            parts.first().map_or(&[][..], Vec::as_slice),
            true,
            out,
        );
    });
    for part in parts.iter().chain([&own]) {
        check_frame(part);
        check_learned(part);
        run_of(part);
    }
    check_frame(choices.0);
}

/// One complete reply, built or taken from the input; otherwise nil.
fn reply(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if choices.byte().is_multiple_of(8) {
        bytes = choices.0[..choices.0.len().min(2000)].to_vec();
    } else {
        for _ in 0..choices.byte() % 32 {
            bytes.extend_from_slice(choices.one_of(&PIECES));
        }
    }
    match length(&bytes) {
        Some(len) => bytes.truncate(len),
        None => bytes = b"$-1\r\n".to_vec(),
    }
    bytes
}

fn length(bytes: &[u8]) -> Option<usize> {
    let progress = ReplyScanner::default().advance(bytes).ok()?;
    progress.done.then_some(progress.consumed)
}

/// The earlier content of the buffer.
const BEFORE: &[u8] = b"before";

fn one_reply(parts: &[Vec<u8>], how: impl std::fmt::Debug, join: impl FnOnce(&mut Vec<u8>)) {
    let mut out = BEFORE.to_vec();
    join(&mut out);
    let made = out.strip_prefix(BEFORE).expect("it is left alone");
    let parts: Vec<String> = parts
        .iter()
        .map(|part| part.escape_ascii().to_string())
        .collect();
    assert_eq!(
        length(made),
        Some(made.len()),
        "{how:?} of {parts:?} is {}",
        made.escape_ascii()
    );
}

fn check_frame(bytes: &[u8]) {
    let within = |part: &[u8]| {
        assert!(bytes.as_ptr_range().contains(&part.as_ptr()) || part.is_empty());
    };
    match read(bytes) {
        Frame::Message { name, channel, .. } => {
            within(name);
            within(channel);
        }
        Frame::Changed(_, name) => within(name),
        Frame::Reply => assert!(bytes.first() != Some(&b'>')),
        Frame::Other => {}
    }
}

/// Reads the reply as one to COMMAND: every learned command can be used.
fn check_learned(bytes: &[u8]) {
    const REQUEST: &[u8] = b"*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\na\r\n";
    let Ok(value) = redis::parse_redis_value(bytes) else {
        return;
    };
    let learned = Learned::from_reply(&value);
    assert!(learned.len() <= bytes.len());
    let mut args = Vec::new();
    scan_request(REQUEST, &Limits::default(), &mut args).expect("a request");
    if let Some(command) = learned.resolve(REQUEST, &args)
        && command.arity_ok(args.len())
    {
        let _ = command.for_each_key(REQUEST, &args, &mut |at| assert!(at < args.len()));
        assert!(!command.arity_error().is_empty());
        CommandRef::Learned(command).lifetime();
    }
}
