//! Explanations of the TTL of each key, and the settings that decide.

use super::*;

const DEFAULT: &str = "namespace.cache.ttl.default = \"12h\" (f.toml:5:19)";
const MAX: &str = "namespace.cache.ttl.max = \"7d\" (f.toml:5:32)";
const MIN: &str = "namespace.cache.ttl.min = \"10s\" (f.toml:5:44)";
const PERSIST: &str = "namespace.cache.ttl.persist = \"rewrite\" (f.toml:5:61)";

#[test]
fn lifetimes_in_words() {
    let rows: &[Row] = &[
        (
            "SET cache:1 v EX 864000",
            &["SET cache:1 v EX 604800"],
            "EX 864000 gives 10d (864000000 ms); that is above the maximum: becomes 7d (604800000 ms)",
            &["clamped"],
            &[MAX],
        ),
        (
            "SET cache:1 v PX 5",
            &["SET cache:1 v PX 10000"],
            "PX 5 gives 5 ms; that is below the minimum: becomes 10s (10000 ms)",
            &["raised"],
            &[MIN],
        ),
        (
            "SETEX cache:1 60 v",
            &["SETEX cache:1 60 v"],
            "60 gives 1m (60000 ms); within minimum 10s (10000 ms) and maximum 7d (604800000 ms): it stays",
            &[],
            &[MAX],
        ),
        (
            "EXPIRE cache:1 -1",
            &["EXPIRE cache:1 -1"],
            "-1 ends it at once; no policy prolongs that",
            &[],
            &[],
        ),
        (
            "SET cache:1 v EX x",
            &["SET cache:1 v EX x"],
            "the server refuses such a TTL; it is left to the server, whose error the client gets",
            &[],
            &[],
        ),
        (
            "PERSIST cache:1",
            &["PEXPIRE cache:1 43200000 XX"],
            "its TTL is to be removed; the default is 12h (43200000 ms): becomes 12h (43200000 ms)",
            &["unpersisted"],
            &[PERSIST, DEFAULT],
        ),
        (
            "HSET cache:1 f v",
            &[
                "MULTI",
                "HSET cache:1 f v",
                "PEXPIRE cache:1 43200000 NX",
                "PEXPIRE cache:1 604800000 LT",
                "EXEC",
            ],
            "no TTL is given; the default is 12h (43200000 ms): behind the command PEXPIRE 43200000 NX gives 12h \
             (43200000 ms) to a key without TTL, and PEXPIRE 604800000 LT cuts a longer one to the maximum of 7d \
             (604800000 ms)",
            &["appended"],
            &[DEFAULT, MAX],
        ),
        (
            "INCR bounded:1",
            &[
                "MULTI",
                "INCR bounded:1",
                "PEXPIRE bounded:1 60000 LT",
                "EXEC",
            ],
            "no TTL is given; behind the command PEXPIRE 60000 LT cuts any longer TTL, and none, to the maximum of 1m \
             (60000 ms), which is also the default",
            &["appended"],
            &["namespace.bounded.ttl.max = \"1m\" (f.toml:13:15)"],
        ),
        (
            "SET other:1 v",
            &["SET other:1 v"],
            "no TTL is given; no namespace claims it, so that no policy holds",
            &[],
            &[],
        ),
    ];
    for (line, sends, ttl, actions, decided_by) in rows {
        let told = told(line);
        assert_eq!(told.sends, *sends, "{line}");
        let key = line.split(' ').nth(1).unwrap();
        assert_eq!(told.ttl, [format!("'{key}': {ttl}")], "{line}");
        assert_eq!(told.actions, *actions, "{line}");
        assert_eq!(told.decided_by, *decided_by, "{line}");
        assert!(
            told.would_send.is_empty() && told.reply.is_none(),
            "{told:?}"
        );
    }
}

#[test]
fn jitter_says_where_the_key_lands() {
    let told = told("SET spread:7 v");
    let sent = told.sends[0].rsplit(' ').next().unwrap();
    let sent: u64 = sent.parse().unwrap();
    assert!(
        (90_000..=110_000).contains(&sent) && sent != 100_000,
        "{sent}"
    );
    let moved = (sent as f64 / 100_000.0 - 1.0) * 100.0;
    let expected = format!(
        "'spread:7': no TTL is given; the default is 1m40s (100000 ms) \u{b1} 10 %, for this key {moved:+.2} %: \
         becomes {}",
        words::time(sent)
    );
    assert_eq!(told.ttl, [expected]);
    assert_eq!(told.decided_by.len(), 2);
    assert!(told.decided_by[1].starts_with("namespace.spread.ttl.jitter = 0.1"));
}

#[test]
fn a_maximum_that_is_also_the_default() {
    let told = told("SET bounded:1 v");
    assert_eq!(
        told.ttl,
        [
            "'bounded:1': no TTL is given; the maximum, which is also the default, is 1m (60000 ms): becomes 1m (60000 \
             ms)"
        ]
    );
}
