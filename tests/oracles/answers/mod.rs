//! Own answers of slotmux against those of a real Redis: the same requests, in RESP2 and RESP3, byte by byte. Requests
//! whose answers differ on purpose are in the unit tests of `answer`.

mod sessions;
mod sides;

use sessions::{SESSIONS, SESSIONS_OF_ALL, SESSIONS_WITH_PASSWORDS};
use sides::{Ours, Redis, Request, request};
use slotmux_core::resp::{ReplyScanner, inline};

/// Runs the sessions on both sides, in RESP2 and in RESP3.
fn compare(sessions: &[&[&str]], redis: &Redis, users: &[(&str, &str)]) {
    for session in sessions {
        for greeting in [None, Some(&"HELLO 3")] {
            let lines = greeting.into_iter().chain(*session);
            let requests: Vec<Request> = lines
                .map(|line| inline::split(line.as_bytes()).unwrap())
                .collect();
            let peer = redis.connect();
            let ours = Ours::like(&peer, redis, users).converse(&requests);
            let theirs = peer.converse(&requests);
            let (ours, theirs) = (replies(&ours), replies(&theirs));
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours, theirs, "reply {at} in {greeting:?} {session:?}");
            }
            assert_eq!(ours.len(), theirs.len(), "{greeting:?} {session:?}");
        }
    }
}

/// The replies one by one, readable, and without the parts that cannot be equal.
fn replies(mut bytes: &[u8]) -> Vec<String> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let progress = ReplyScanner::default().advance(bytes).unwrap();
        assert!(progress.done, "{}", bytes.escape_ascii());
        let (reply, rest) = bytes.split_at(progress.consumed);
        replies.push(without_figures(&reply.escape_ascii().to_string()));
        bytes = rest;
    }
    replies
}

/// Removes the parts of client lines that depend on the process, with the length of the reply; and the fields that
/// Redis has only since 7.2.
fn without_figures(reply: &str) -> String {
    const FIGURES: &[&str] = &[
        "fd",
        "age",
        "idle",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "rbs",
        "rbp",
        "obl",
        "tot-mem",
    ];
    let Some(start) = reply.find("id=").filter(|_| reply.contains(" addr=")) else {
        return reply.to_owned();
    };
    let kind = &reply[..1];
    let fields = reply[start..].split(' ').map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        match name {
            "lib-name" => String::new(),
            // The last field, with the end of the reply.
            "lib-ver" => value.to_owned(),
            _ if FIGURES.contains(&name) => format!(" {name}="),
            _ => format!(" {field}"),
        }
    });
    format!("{kind}{}", fields.collect::<String>())
}

#[test]
fn replies_are_those_of_redis() {
    let Some(redis) = Redis::start(None, &["--enable-debug-command", "yes"]) else {
        return;
    };
    compare(SESSIONS, &redis, &[]);
}

#[test]
fn greetings_are_those_of_any_server() {
    let redis = Redis::start_any(None, &[]);
    compare(SESSIONS_OF_ALL, &redis, &[]);
}

#[test]
fn logins_are_those_of_redis() {
    let arguments = ["--user", "app", "on", ">one", "+@all", "~*", "&*"];
    let Some(redis) = Redis::start(Some("secret"), &arguments) else {
        return;
    };
    compare(
        SESSIONS_WITH_PASSWORDS,
        &redis,
        &[("default", "secret"), ("app", "one")],
    );
}

/// Every section and field of ours is one of Redis, in its order, and has the same value unless it is listed here.
#[test]
fn info_has_the_fields_of_redis() {
    const OF_THE_PROCESS: &[&str] = &[
        "os",
        "process_id",
        "executable",
        "run_id",
        "tcp_port",
        "server_time_usec",
        "uptime_in_seconds",
        "maxclients",
        "connected_clients",
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "used_memory_rss_human",
        "used_memory_peak",
        "used_memory_peak_human",
        "used_memory_peak_perc",
        "mem_fragmentation_ratio",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "total_error_replies",
        "total_reads_processed",
        "total_writes_processed",
        "master_replid",
        "repl_backlog_size",
        "used_cpu_sys",
        "used_cpu_user",
    ];
    let Some(redis) = Redis::start(None, &[]) else {
        return;
    };
    for sections in [
        "INFO",
        "INFO all",
        "INFO everything",
        "INFO Server cpu nosuch",
    ] {
        let request = request(&sections.split(' ').collect::<Vec<_>>());
        let mut peer = redis.connect();
        let ours = text(&Ours::like(&peer, &redis, &[]).ask(&request));
        let theirs = text(&peer.ask(&request));
        let mut theirs = theirs.split("\r\n");
        let end = ours.find("\r\n# Slotmux\r\n").unwrap_or(ours.len());
        assert!(end > 300, "{ours}");
        for line in ours[..end].split("\r\n").filter(|line| !line.is_empty()) {
            let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
            let same = theirs.find(|theirs| name(theirs) == name(line));
            let same =
                same.unwrap_or_else(|| panic!("{line} is not in Redis' {sections}, or earlier"));
            if !OF_THE_PROCESS.contains(&name(line).as_str()) {
                assert_eq!(line, same);
            }
        }
    }
}

/// The payload of a RESP2 bulk.
fn text(reply: &[u8]) -> String {
    let text = String::from_utf8(reply.to_vec()).unwrap();
    let (_, payload) = text.split_once("\r\n").unwrap();
    payload.strip_suffix("\r\n").unwrap().to_owned()
}

/// Every setting of ours is one of Redis, and has the same value unless it is listed here.
#[test]
fn settings_are_among_those_of_redis() {
    const OF_THE_PROCESS: &[&str] = &[
        "bind",
        "io-threads",
        "maxclients",
        "port",
        "protected-mode",
        "tcp-backlog",
    ];
    let Some(redis) = Redis::start(None, &[]) else {
        return;
    };
    let mut peer = redis.connect();
    let mut ours = Ours::like(&peer, &redis, &[]);
    let all = String::from_utf8(ours.ask(&request(&["CONFIG", "GET", "*"]))).unwrap();
    // Header, then length, name, length and value of each.
    let lines: Vec<&str> = all.trim_end().split("\r\n").skip(1).collect();
    let names: Vec<&str> = lines.chunks(4).map(|setting| setting[1]).collect();
    assert!(
        names.contains(&"databases")
            && !names.contains(&"maxmemory")
            && !names.contains(&"requirepass"),
        "{names:?}"
    );
    for name in names {
        let request = request(&["CONFIG", "GET", name]);
        let theirs = peer.ask(&request);
        if OF_THE_PROCESS.contains(&name) {
            assert!(
                theirs.starts_with(b"*2\r\n"),
                "{name} is not a setting of Redis"
            );
        } else {
            assert_eq!(
                ours.ask(&request).escape_ascii().to_string(),
                theirs.escape_ascii().to_string()
            );
        }
    }
}
