//! What slotmux answers itself against what a real Redis answers: the same requests, in RESP2 and RESP3, byte by byte.
//! Requests whose answers are meant to differ are in the unit tests of `answer`.

mod answers;

use answers::{Ours, Redis, Request, request};
use slotmux::resp::{ReplyScanner, inline};

/// Each is one connection. Lines are inline requests, quoted and escaped as Redis reads them.
const SESSIONS: &[&[&str]] = &[
    &[
        "PING",
        "ping a",
        "PING \"\"",
        "PING a b",
        "ECHO",
        "ECHO a",
        "ECHO a b",
        "ECHO \"a\\r\\n\\x00\\xff\"",
        "ROLE",
        "ROLE a",
        "TIME a",
        "RESET a",
        "QUIT",
    ],
    &["PING a b c", "QUIT a b"],
    &[
        "SELECT",
        "SELECT 0",
        "SELECT 1",
        "SELECT -1",
        "SELECT a",
        "SELECT 01",
        "SELECT \"0 \"",
        "SELECT 0 1",
        "SELECT 2147483647",
        "SELECT 2147483648",
        "SELECT -2147483649",
        "SELECT 99999999999999999999999",
    ],
    &[
        "HELLO",
        "HELLO 2",
        "HELLO 1",
        "HELLO 4",
        "HELLO -3",
        "HELLO a",
        "HELLO 99999999999999999999",
        "HELLO foo bar",
        "HELLO",
        "HELLO 3",
        "HELLO",
        "HELLO 3 AUTH",
        "HELLO 3 AUTH a",
        "HELLO 3 AUTH a b",
        "HELLO 3 AUTH default whatever",
        "HELLO 3 SETNAME",
        "HELLO 2 SETNAME a",
        "CLIENT GETNAME",
        "hello 2 setname b auth default x",
        "CLIENT GETNAME",
        "HELLO 3 SETNAME before foo",
        "HELLO",
        "CLIENT GETNAME",
        "HELLO 3 SETNAME \"\"",
        "CLIENT GETNAME",
        "HELLO 3 SETNAME \"a b\"",
        "HELLO 3 foo",
        "HELLO 3 \"a\\r\\nb\"",
        "HELLO 3 \"a\\x00b\"",
        "HELLO 3 \"setname\\x00b\" c",
        "HELLO 3 \"\\xff\"",
        "HELLO 4 SETNAME x",
        "CLIENT GETNAME",
    ],
    &[
        "AUTH",
        "AUTH a",
        "AUTH default x",
        "AUTH other x",
        "AUTH a b c",
        "ACL WHOAMI",
        "ACL WHOAMI a",
        "ACL",
        "ACL x",
    ],
    &[
        "CLIENT",
        "CLIENT x",
        "client x",
        "CLIENT \"a\\r\\nb\\x01\"",
        "CLIENT \"a\\x00b\"",
        "CLIENT \"ID\\x00\"",
        "CLIENT \"\"",
        "CLIENT xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "CLIENT HELP",
        "CLIENT HELP a",
        "CLIENT ID",
        "CLIENT ID a",
        "CLIENT MAINT_NOTIFICATIONS on",
        "CLIENT CAPA redirect",
        "CLIENT IMPORT-SOURCE on",
    ],
    &[
        "CLIENT GETNAME",
        "CLIENT GETNAME a",
        "CLIENT SETNAME",
        "CLIENT SETNAME a b",
        "CLIENT SETNAME bob",
        "CLIENT GETNAME",
        "CLIENT SETNAME \"a b\"",
        "CLIENT SETNAME \"a\\x00b\"",
        "CLIENT SETNAME \"\\x7f\"",
        "CLIENT SETNAME \"\\xff\"",
        "CLIENT SETNAME \"a\\n\"",
        "CLIENT GETNAME",
        "CLIENT SETNAME ~!",
        "CLIENT GETNAME",
        "CLIENT SETNAME \"\"",
        "CLIENT GETNAME",
    ],
    &[
        "CLIENT NO-EVICT",
        "CLIENT NO-EVICT x",
        "CLIENT NO-EVICT on",
        "CLIENT INFO",
        "CLIENT NO-EVICT ON a",
        "CLIENT NO-EVICT OFF",
        "CLIENT INFO",
        "CLIENT GETREDIR",
        "CLIENT GETREDIR a",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING",
        "CLIENT TRACKING x",
        "CLIENT TRACKING off",
        "CLIENT TRACKING off foo",
        "CLIENT TRACKING on foo",
        "CLIENT TRACKING on BCAST foo",
        "CLIENT TRACKING off REDIRECT a",
        "CLIENT TRACKING off REDIRECT",
        "CLIENT TRACKING off PREFIX",
        "CLIENT TRACKING off BCAST NOLOOP PREFIX a PREFIX b",
        "CLIENT CACHING",
        "CLIENT CACHING yes",
        "CLIENT CACHING x",
        "CLIENT CACHING yes a",
        "CLIENT UNBLOCK",
        "CLIENT UNBLOCK a",
        "CLIENT UNBLOCK 99999",
        "CLIENT UNBLOCK 99999 timeout",
        "CLIENT UNBLOCK 99999 ERROR",
        "CLIENT UNBLOCK 99999 x",
        "CLIENT UNBLOCK a x",
        "CLIENT UNBLOCK 99999 x y",
        "CLIENT PAUSE",
        "CLIENT PAUSE a",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 1 x",
        "CLIENT PAUSE a x",
        "CLIENT PAUSE 1 ALL x",
        "CLIENT UNPAUSE a",
    ],
    &[
        "CLIENT SETNAME bob",
        "CLIENT INFO",
        "CLIENT INFO a",
        "CLIENT LIST",
        "CLIENT LIST a",
        "CLIENT LIST TYPE",
        "CLIENT LIST TYPE normal",
        "CLIENT LIST type NORMAL",
        "CLIENT LIST \"TYPE\\x00a\" normal",
        "CLIENT LIST TYPE pubsub",
        "CLIENT LIST TYPE master",
        "CLIENT LIST TYPE slave",
        "CLIENT LIST TYPE replica",
        "CLIENT LIST TYPE x",
        "CLIENT LIST TYPE \"x\\r\\ny\\r\\n\"",
        "CLIENT LIST TYPE normal x",
        "CLIENT LIST ID",
        "CLIENT LIST ID a",
        "CLIENT LIST ID 0",
        "CLIENT LIST ID -1",
        "CLIENT LIST ID 99999",
        "CLIENT LIST ID 1 x",
        "CLIENT LIST ID 9999999999999999999999",
    ],
    &[
        "CLIENT KILL",
        "CLIENT KILL a",
        "CLIENT KILL 127.0.0.1:1",
        "CLIENT KILL ID",
        "CLIENT KILL ID a",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID -3",
        "CLIENT KILL ID 99999",
        "CLIENT KILL ID 99999 x",
        "CLIENT KILL ID 9999999999999999999999",
        "CLIENT KILL TYPE x",
        "CLIENT KILL TYPE pubsub",
        "CLIENT KILL TYPE master",
        "CLIENT KILL TYPE slave",
        "CLIENT KILL TYPE replica",
        "CLIENT KILL ADDR a",
        "CLIENT KILL LADDR a",
        "CLIENT KILL USER nobody",
        "CLIENT KILL USER \"a\\r\\nb\"",
        "CLIENT KILL USER default SKIPME yes",
        "CLIENT KILL USER default ID 99999",
        "CLIENT KILL SKIPME x",
        "CLIENT KILL SKIPME yes",
        "CLIENT KILL SKIPME no ID 99999",
        "CLIENT KILL FOO 1",
        "CLIENT KILL FOO 1 b",
        "CLIENT KILL ID 99999 USER nobody SKIPME x",
        "CLIENT KILL TYPE normal ADDR a SKIPME no",
    ],
    &["CLIENT KILL TYPE normal SKIPME no"],
    &["CLIENT KILL USER default SKIPME NO TYPE NORMAL"],
    &[
        "CLIENT REPLY",
        "CLIENT REPLY x",
        "CLIENT REPLY on",
        "CLIENT REPLY off",
        "PING",
        "CLIENT REPLY x",
        "CLIENT REPLY skip",
        "PING",
        "CLIENT REPLY ON",
        "PING b",
        "CLIENT REPLY SKIP",
        "PING c",
        "PING d",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
        "PING e",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "PING f",
        "PING g",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY x",
        "PING h",
        "CLIENT REPLY OFF",
        "RESET",
        "PING i",
        "CLIENT REPLY SKIP",
        "RESET",
        "PING j",
        "CLIENT REPLY SKIP",
        "NOSUCH",
        "PING k",
        "CLIENT REPLY OFF",
        "PING l",
        "QUIT",
    ],
    &[
        "CLIENT SETNAME bob",
        "CLIENT NO-EVICT on",
        "HELLO 3",
        "RESET",
        "CLIENT GETNAME",
        "CLIENT INFO",
        "HELLO",
    ],
    &[
        "CONFIG",
        "CONFIG x",
        "CONFIG GET",
        "CONFIG GET nope",
        "CONFIG GET maxmemory",
        "CONFIG GET MaxMemory",
        "CONFIG GET MAXMEMORY maxmemory maxmemor?",
        "CONFIG GET maxmemor? MAXMEMORY",
        "CONFIG GET maxmemory-p*",
        "CONFIG GET \"maxmemory\\x00\"",
        "CONFIG GET \"maxmemor?\\x00x\"",
        "CONFIG GET \\\\maxmemory",
        "CONFIG GET \\\\maxmemor?",
        "CONFIG GET [a]ppendonly",
        "CONFIG GET [^b]ppendonly",
        "CONFIG GET appendonl[",
        "CONFIG GET appendonl[^",
        "CONFIG GET appendonl[z-x]",
        "CONFIG GET appendonl[Y",
        "CONFIG GET \"\"",
        "CONFIG HELP",
        "CONFIG HELP a",
        "CONFIG SET a",
        "CONFIG RESETSTAT a",
        "CONFIG REWRITE a",
    ],
    &[
        "CLUSTER",
        "CLUSTER x",
        "CLUSTER HELP",
        "CLUSTER HELP a",
        "CLUSTER INFO",
        "CLUSTER INFO a",
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER NODES",
        "CLUSTER MYID",
        "CLUSTER KEYSLOT",
        "CLUSTER KEYSLOT a",
        "CLUSTER RESET",
        "CLUSTER SETSLOT",
        "CLUSTER LINKS",
        "READONLY",
        "READONLY a",
        "READWRITE",
        "READWRITE a",
        "ASKING",
        "ASKING a",
    ],
    &[
        "INFO nosuchsection",
        "INFO cluster",
        "INFO CLUSTER Modules",
        "INFO modules",
    ],
];

/// Against a server where the default user's password is `secret`, and `app` has `one`.
const SESSIONS_WITH_PASSWORDS: &[&[&str]] = &[
    &[
        "PING",
        "CLIENT ID",
        "CLIENT",
        "ECHO",
        "NOSUCH",
        "PING a b",
        "INFO",
        "RESET",
        "QUIT",
    ],
    &[
        "HELLO",
        "HELLO 3",
        "HELLO 4",
        "HELLO 3 FOO",
        "HELLO 3 SETNAME x",
        "HELLO 3 SETNAME x AUTH default bad",
        "HELLO 3 AUTH default bad FOO",
        "HELLO 3 AUTH default secret FOO",
        "CLIENT GETNAME",
        "RESET",
        "CLIENT GETNAME",
    ],
    &[
        "AUTH bad",
        "AUTH default bad",
        "AUTH nobody secret",
        "AUTH app secret",
        "AUTH a b c",
        "ACL WHOAMI",
        "AUTH secret",
        "ACL WHOAMI",
        "AUTH bad",
        "PING",
        "AUTH app one",
        "ACL WHOAMI",
        "CLIENT INFO",
        "CLIENT KILL USER app",
        "CLIENT KILL USER default SKIPME no ID 99999",
        "AUTH nobody x",
        "ACL WHOAMI",
        "AUTH secret",
        "ACL WHOAMI",
        "CLIENT INFO",
        "RESET",
        "PING",
    ],
    &[
        "HELLO 3 AUTH app one SETNAME foo",
        "CLIENT GETNAME",
        "ACL WHOAMI",
        "HELLO 2 AUTH default secret",
        "ACL WHOAMI",
        "CLIENT GETNAME",
        "QUIT",
    ],
];

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

/// The replies one by one, readable, and without what cannot be equal.
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

/// Takes what depends on the process out of client lines, with the length of the reply; and the fields that Redis
/// has since 7.2 only.
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
    let Some(redis) = Redis::start(None, &[]) else {
        return;
    };
    compare(SESSIONS, &redis, &[]);
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

/// Every section and field of ours is one of Redis', in its order, and says the same unless it is listed here.
#[test]
fn info_has_the_fields_of_redis() {
    const OF_THE_PROCESS: &[&str] = &[
        "os",
        "process_id",
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

/// Every setting of ours is one of Redis', and says the same unless it is listed here.
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
        names.contains(&"maxmemory-policy") && !names.contains(&"requirepass"),
        "{names:?}"
    );
    for name in names {
        let request = request(&["CONFIG", "GET", name]);
        let theirs = peer.ask(&request);
        if OF_THE_PROCESS.contains(&name) {
            assert!(
                theirs.starts_with(b"*2\r\n"),
                "{name} is no setting of Redis"
            );
        } else {
            assert_eq!(
                ours.ask(&request).escape_ascii().to_string(),
                theirs.escape_ascii().to_string()
            );
        }
    }
}
