//! A book must detect every kind of wrong reply, and accept all others.

use super::*;

fn bulk(text: impl Into<Vec<u8>>) -> Reply {
    Reply::Bulk(text.into())
}

fn is_wrong(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Wrong(_))
}

fn is_behind(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Behind(_))
}

/// A book with one write of each fate: 1 acknowledged, 2 unknown, 3 refused, 4 acknowledged.
fn mixed(kind: Kind) -> Book {
    let mut book = Book::new("k".into(), kind);
    let ack = |n: i64| match kind {
        Kind::Counter | Kind::List => Reply::Int(n),
        Kind::Text => Reply::Int(n * TOKEN as i64),
        Kind::Hash => Reply::Int(1),
        Kind::Register => Reply::Simple("OK".into()),
    };
    (1..=4).for_each(|token| {
        book.write(token);
    });
    assert_eq!(book.acked(0, &ack(1)), Verdict::Right);
    book.failed(1, Fate::Unknown);
    book.failed(2, Fate::Refused);
    assert_eq!(book.acked(3, &ack(2)), Verdict::Right);
    book
}

#[test]
fn a_count_may_rise_by_one_and_by_the_unknown_writes() {
    for (told, verdict) in [
        (1, is_behind as fn(&Verdict) -> bool),
        (4, |v| *v == Verdict::Right),
        (5, is_wrong),
    ] {
        let mut book = mixed(Kind::Counter);
        book.write(5);
        let got = book.acked(4, &Reply::Int(told));
        assert!(verdict(&got), "{told}: {got:?}");
    }
    let mut book = mixed(Kind::Counter);
    book.write(5);
    assert_eq!(book.acked(4, &Reply::Int(4)), Verdict::Right);
    // The unknown write has run by now, so the count cannot rise further.
    book.write(6);
    assert!(is_wrong(&book.acked(5, &Reply::Int(6))));
}

#[test]
fn replies_of_another_kind_are_wrong() {
    for kind in [
        Kind::Counter,
        Kind::List,
        Kind::Text,
        Kind::Hash,
        Kind::Register,
    ] {
        for reply in [
            Reply::Null,
            bulk("x"),
            Reply::Int(-1),
            Reply::Simple("QUEUED".into()),
            Reply::List(vec![]),
        ] {
            let mut book = mixed(kind);
            book.write(5);
            let verdict = book.acked(4, &reply);
            assert!(is_wrong(&verdict), "{kind:?} {reply:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_read_shows_the_newest_write_or_one_of_unknown_fate() {
    for kind in [Kind::List, Kind::Text, Kind::Register] {
        let form = if kind == Kind::Register { value } else { text };
        let mut book = mixed(kind);
        assert_eq!(book.read(0, &bulk(form(4))), Verdict::Right);
        assert_eq!(book.read(0, &bulk(form(2))), Verdict::Right);
        assert!(is_behind(&book.read(0, &bulk(form(1)))));
        assert!(is_behind(&book.read(0, &Reply::Null)));
        assert!(is_wrong(&book.read(0, &bulk(form(3)))), "a refused write");
        assert!(is_wrong(&book.read(0, &bulk(form(9)))), "a foreign write");
    }
    let mut hash = mixed(Kind::Hash);
    assert_eq!(hash.read(0, &bulk(value(1))), Verdict::Right);
    assert!(is_behind(&hash.read(0, &Reply::Null)));
    assert!(is_wrong(&hash.read(0, &bulk(value(2)))));
    assert_eq!(hash.read(1, &Reply::Null), Verdict::Right);
    assert!(is_wrong(&hash.read(2, &bulk(value(3)))));
    let mut counter = mixed(Kind::Counter);
    assert_eq!(counter.read(0, &bulk("3")), Verdict::Right);
    assert!(
        is_behind(&counter.read(0, &bulk("2"))),
        "write 3 was visible before"
    );
    assert!(is_wrong(&counter.read(0, &bulk("4"))));
}

/// The reply of a lookup with these tokens, oldest first.
fn there(kind: Kind, tokens: &[Token]) -> Reply {
    match kind {
        Kind::Counter => bulk(tokens.len().to_string()),
        Kind::List => Reply::List(tokens.iter().rev().map(|&t| bulk(text(t))).collect()),
        Kind::Text => bulk(tokens.iter().map(|&t| text(t)).collect::<String>()),
        Kind::Hash => {
            let pairs = tokens.iter().flat_map(|&t| [bulk(text(t)), bulk(value(t))]);
            Reply::List(pairs.collect())
        }
        Kind::Register => tokens.last().map_or(Reply::Null, |&t| bulk(value(t))),
    }
}

#[test]
fn a_lookup_finds_lost_doubled_refused_reordered_and_foreign_writes() {
    let none = Findings::default();
    let lost = Findings { lost: 1, ..none };
    let doubled = Findings { doubled: 1, ..none };
    let refused = Findings {
        ran_refused: 1,
        ..none
    };
    let reordered = Findings {
        reordered: 1,
        ..none
    };
    let foreign = Findings { foreign: 1, ..none };
    for kind in [Kind::List, Kind::Text] {
        for (tokens, findings) in [
            (&[1, 4][..], none),
            (&[1, 2, 4], none),
            (&[1, 4, 2], none),
            (&[4], lost),
            (&[1, 4, 4], doubled),
            (&[1, 2, 2, 4], doubled),
            (&[1, 3, 4], refused),
            (&[4, 1], reordered),
            (&[1, 4, 9], foreign),
        ] {
            assert_eq!(
                mixed(kind).audit(&there(kind, tokens)),
                findings,
                "{kind:?} {tokens:?}"
            );
        }
    }
    for (tokens, findings) in [
        (&[1, 4][..], none),
        (&[4, 1], none),
        (&[1], lost),
        (&[1, 3, 4], refused),
    ] {
        assert_eq!(
            mixed(Kind::Hash).audit(&there(Kind::Hash, tokens)),
            findings,
            "{tokens:?}"
        );
    }
    for (tokens, findings) in [
        (&[1, 4][..], none),
        (&[1, 2, 4], none),
        (&[1], lost),
        (&[1, 2, 4, 4], doubled),
    ] {
        assert_eq!(
            mixed(Kind::Counter).audit(&there(Kind::Counter, tokens)),
            findings,
            "{tokens:?}"
        );
    }
    for (tokens, findings) in [
        (&[4][..], none),
        (&[2], none),
        (&[1], lost),
        (&[], lost),
        (&[3], foreign),
    ] {
        assert_eq!(
            mixed(Kind::Register).audit(&there(Kind::Register, tokens)),
            findings,
            "{tokens:?}"
        );
    }
}

#[test]
fn lost_tokens_are_named() {
    for kind in [Kind::List, Kind::Text, Kind::Hash] {
        assert_eq!(mixed(kind).lost_tokens(&there(kind, &[1, 2])), [text(4)]);
        assert!(mixed(kind).lost_tokens(&there(kind, &[1, 4])).is_empty());
    }
}
