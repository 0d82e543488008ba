//! Programs of commands, and the requests that they are made of.

use super::brought::Brought;
use super::parts::{first_of, join_streams, streams};
use super::*;
use crate::command::{Command, resolve};
use crate::explain::words;
use crate::resp::{Limits, Protocol, Span, scan_request, write};
use crate::slot::slot_of;

fn request(line: &str) -> (Vec<u8>, Vec<Span>) {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut bytes = Vec::new();
    write::request(&mut bytes, &words);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
    (bytes, args)
}

fn with<T>(line: &str, f: impl FnOnce(&Request, &'static Command) -> T) -> T {
    let (bytes, args) = request(line);
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    f(&request, resolve(&bytes, &args).expect(line))
}

#[test]
fn commands_have_programs() {
    let bring = |written| Some(Program::Bring { written });
    for (line, expected) in [
        ("SINTER a b", bring(None)),
        ("SINTERCARD 2 a b", bring(None)),
        ("PFCOUNT a b", bring(None)),
        ("LCS a b", bring(None)),
        ("ZDIFF 2 a b", bring(None)),
        ("SUNIONSTORE d a b", bring(Some(1))),
        ("ZUNIONSTORE d 2 a b", bring(Some(1))),
        ("ZRANGESTORE d a 0 -1", bring(Some(1))),
        ("BITOP AND d a b", bring(Some(2))),
        ("PFMERGE d a", bring(Some(1))),
        (
            "GEOSEARCHSTORE d a FROMMEMBER m BYBOX 1 1 m",
            bring(Some(1)),
        ),
        ("COPY a d", bring(Some(2))),
        ("SORT a STORE d", bring(Some(3))),
        ("GEORADIUS a 1 2 3 m STORE d", bring(Some(7))),
        ("GEORADIUS a 1 2 3 m WHAT STORE d STORE e", None),
        ("RENAME a b", Some(Program::Rename { is_nx: false })),
        ("RENAMENX a b", Some(Program::Rename { is_nx: true })),
        ("SMOVE a b m", Some(Program::MoveMember)),
        ("LMOVE a b LEFT LEFT", Some(Program::MoveElement)),
        ("RPOPLPUSH a b", Some(Program::MoveElement)),
        ("MSETNX a 1 b 2", Some(Program::SetAllNew)),
        ("LMPOP 2 a b LEFT", Some(Program::FirstOf)),
        ("XREAD STREAMS a b 0 0", Some(Program::Streams)),
        ("XREAD BLOCK 0 STREAMS a b 0 0", None),
        ("BLPOP a b 0", None),
        ("BLMOVE a b LEFT LEFT 0", None),
        ("EVAL s 2 a b", None),
        ("EVAL_RO s 2 a b", None),
        ("FCALL_RO f 2 a b", None),
        ("MSETEX 2 a 1 b 2", None),
    ] {
        let program = with(line, |request, command| {
            Program::of(request, CommandRef::Table(command))
        });
        assert_eq!(program, expected, "{line}");
    }
}

#[test]
fn foreign_keys_get_other_names() {
    // `{a}…` is in the slot of `a`.
    for (line, home, expected) in [
        ("SINTER a b {a}x b c", "a", "SINTER a T0 {a}x T0 T1"),
        ("SUNIONSTORE a b a", "a", "SUNIONSTORE a T0 a"),
        (
            "ZUNIONSTORE b 2 a {b}1 WEIGHTS 1 2",
            "b",
            "ZUNIONSTORE b 2 T0 {b}1 WEIGHTS 1 2",
        ),
        ("SORT b LIMIT 0 1 STORE a", "a", "SORT T0 LIMIT 0 1 STORE a"),
    ] {
        with(line, |request, command| {
            let command = CommandRef::Table(command);
            let Some(Program::Bring { written }) = Program::of(request, command) else {
                panic!("{line}");
            };
            let brought = Brought::of(request, command, written, 0);
            assert_eq!(brought.home, slot_of(home.as_bytes()), "{line}");
            assert!(brought.foreign.is_sorted_by_key(|key| key.slot.0), "{line}");
            // Numbered by their first use, to be independent of the order of slots.
            let mut by_use: Vec<usize> = (0..brought.foreign.len()).collect();
            by_use.sort_by_key(|&place| brought.foreign[place].at[0]);
            let mut names = vec![Vec::new(); by_use.len()];
            for (number, place) in by_use.into_iter().enumerate() {
                names[place] = format!("T{number}").into_bytes();
            }
            let mut out = Vec::new();
            brought.write_command(request, &names, &mut out);
            assert_eq!(words::commands(&out, 1), [expected], "{line}");
        });
    }
}

#[test]
fn another_turn_chooses_another_slot_for_a_read() {
    with("SINTER a b", |request, command| {
        let home = |turn| Brought::of(request, CommandRef::Table(command), None, turn).home;
        assert_eq!(home(0), slot_of(b"a"));
        assert_eq!(home(1), slot_of(b"b"));
        assert_eq!(home(2), slot_of(b"a"));
    });
}

#[test]
fn parts_have_the_keys_of_their_slot() {
    let lines = |line: &str, streams_too: bool| {
        with(line, |request, command| {
            let command = CommandRef::Table(command);
            let parts = match streams_too {
                true => streams(request, command),
                false => first_of(request, command),
            };
            let line = |part: &parts::SlotCommand| words::commands(&part.bytes, 1).concat();
            parts.iter().map(line).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        lines("LMPOP 4 a {a}1 b {a}2 LEFT COUNT 3", false),
        [
            "LMPOP 2 a {a}1 LEFT COUNT 3",
            "LMPOP 1 b LEFT COUNT 3",
            "LMPOP 1 {a}2 LEFT COUNT 3"
        ]
    );
    assert_eq!(
        lines("XREADGROUP GROUP g c COUNT 2 STREAMS a b {a}1 > 0 5", true),
        [
            "XREADGROUP GROUP g c COUNT 2 STREAMS a {a}1 > 5",
            "XREADGROUP GROUP g c COUNT 2 STREAMS b 0"
        ]
    );
}

#[test]
fn streams_are_joined_in_the_order_of_the_request() {
    with("XREAD STREAMS a b {a}1 0 0 0", |request, command| {
        let command = CommandRef::Table(command);
        let parts = streams(request, command);
        let join = |replies: [&str; 2], protocol| {
            let replies = replies.map(|reply| reply.as_bytes().to_vec());
            let joined = join_streams(request, command, &parts, &replies, protocol);
            joined.map(|bytes| String::from_utf8(bytes).expect("text"))
        };
        let (a, b) = ("*2\r\n$1\r\na\r\n*0\r\n", "*2\r\n$1\r\nb\r\n*0\r\n");
        let third = "*2\r\n$4\r\n{a}1\r\n*0\r\n";
        let first = format!("*2\r\n{a}{third}");
        assert_eq!(
            join([&first, &format!("*1\r\n{b}")], Protocol::Resp2),
            Some(format!("*3\r\n{a}{b}{third}"))
        );
        assert_eq!(
            join([&first, "*-1\r\n"], Protocol::Resp2),
            Some(format!("*2\r\n{a}{third}"))
        );
        assert_eq!(
            join(["*-1\r\n", "*-1\r\n"], Protocol::Resp2),
            Some("*-1\r\n".to_owned())
        );
        assert_eq!(
            join(["%1\r\n$4\r\n{a}1\r\n*0\r\n", "_\r\n"], Protocol::Resp3),
            Some("%1\r\n$4\r\n{a}1\r\n*0\r\n".to_owned())
        );
        assert_eq!(join(["+OK\r\n", "_\r\n"], Protocol::Resp3), None);
    });
}
