//! Answers that no Redis 7.0 can be asked for: newer subcommands, refusals, several users and clients. The rest is
//! compared with a real server in `tests/oracles/answers`.

use super::*;
use crate::command::{self, Route};
use crate::config::{Secret, User};
use crate::resp::{Limits, inline, scan_request, write};

mod clients;

/// One client of a listener whose default user is `guest`.
struct Client {
    config: Config,
    facts: InfoFacts,
    server: ServerIdentity,
    tracking: Tracking,
    protocol: Protocol,
    authenticated: bool,
    session: Option<Box<Session>>,
}

impl ProcessFigures for InfoFacts {
    fn facts(&self) -> InfoFacts {
        self.clone()
    }

    fn now(&self) -> std::time::Duration {
        self.now
    }
}

impl Client {
    fn new(users: &[(&str, &[&str])]) -> Client {
        let users = users.iter().map(|(name, passwords)| User {
            name: (*name).to_owned(),
            passwords: passwords.iter().map(|text| Secret::plain(text)).collect(),
        });
        let mut config = Config {
            users: users.collect(),
            ..Config::default()
        };
        config.listeners[0].default_user = "guest".to_owned();
        Client {
            authenticated: config.is_open(),
            config,
            facts: InfoFacts::default(),
            server: ServerIdentity {
                version: "7.0.15".to_owned(),
                ..ServerIdentity::default()
            },
            protocol: Protocol::Resp2,
            tracking: Tracking::default(),
            session: None,
        }
    }

    fn open() -> Client {
        Client::new(&[])
    }

    fn run(&mut self, line: &str) -> (AnswerOutcome, String) {
        let words = inline::split(line.as_bytes()).unwrap();
        let (mut buf, mut args, mut out) = (Vec::new(), Vec::new(), Vec::new());
        write::request(
            &mut buf,
            &words.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        );
        scan_request(&buf, &Limits::default(), &mut args).unwrap();
        let command = command::resolve(&buf, &args).unwrap();
        let Some(what) = command.route.own_answer() else {
            panic!("{line} is not answered here")
        };
        let host = AnswerHost {
            config: &self.config,
            listener: &self.config.listeners[0],
            local: None,
            server: &self.server,
            process: &self.facts,
        };
        let mut subject = AskingClient {
            id: 7,
            protocol: self.protocol,
            authenticated: self.authenticated,
            replies: ReplyMode::On,
            tracking: self.tracking,
            is_subscriber: false,
            session: &mut self.session,
        };
        let outcome = answer(what, command, &buf, &args, &mut subject, &host, &mut out);
        (self.protocol, self.authenticated) = (subject.protocol, subject.authenticated);
        self.tracking = subject.tracking;
        (outcome, String::from_utf8(out).unwrap())
    }

    fn reply(&mut self, line: &str) -> String {
        let (outcome, reply) = self.run(line);
        assert_eq!(outcome, AnswerOutcome::Answered, "{line}");
        reply
    }
}

#[test]
fn texts_of_newer_servers_and_of_slotmux() {
    let table = [
        ("CLIENT SETINFO lib-name a", "+OK"),
        ("CLIENT SETINFO LIB-VER 1.0", "+OK"),
        ("CLIENT SETINFO lib-ver \"\"", "+OK"),
        (
            "CLIENT SETINFO LIB-name \"a b\"",
            "-ERR LIB-name cannot contain spaces, newlines or special characters.",
        ),
        (
            "CLIENT SETINFO badger a",
            "-ERR Unrecognized option 'badger'",
        ),
        ("CLIENT NO-TOUCH on", "+OK"),
        ("CLIENT NO-TOUCH OFF", "+OK"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
        (
            "CLIENT KILL MAXAGE a",
            "-ERR maxage is not an integer or out of range",
        ),
        (
            "CLIENT KILL MAXAGE 0",
            "-ERR maxage should be greater than 0",
        ),
        ("ACL WHOAMI", "$5\r\nguest"),
        ("AUTH guest x", "+OK"),
        (
            "AUTH default x",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        ),
        (
            "CLUSTER MYSHARDID",
            "-ERR This instance has cluster support disabled",
        ),
    ];
    let mut client = Client::open();
    for (line, reply) in table {
        assert_eq!(client.reply(line), format!("{reply}\r\n"), "{line}");
    }
}

#[test]
fn an_idle_client_keeps_no_session() {
    let mut client = Client::open();
    for line in [
        "HELLO 2 AUTH guest x SETNAME \"\"",
        "CLIENT SETNAME \"\"",
        "CLIENT SETINFO LIB-NAME \"\"",
        "CLIENT NO-EVICT off",
        "CLIENT NO-TOUCH off",
        "PING",
    ] {
        client.reply(line);
        assert_eq!(client.session, None, "{line}");
    }
    client.reply("CLIENT SETINFO LIB-NAME a");
    assert!(client.session.is_some());
}

#[test]
fn any_password_of_a_user_lets_it_in() {
    let mut client = Client::new(&[("guest", &["old", "new"]), ("app", &["one"])]);
    for (line, user) in [
        ("AUTH old", "guest"),
        ("AUTH new", "guest"),
        ("AUTH app one", "app"),
        ("HELLO 3 AUTH guest new", "guest"),
        ("HELLO 2 AUTH app one", "app"),
    ] {
        let reply = client.reply(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        assert!(client.authenticated);
        assert_eq!(
            client.reply("ACL WHOAMI"),
            format!("${}\r\n{user}\r\n", user.len())
        );
    }
    for line in [
        "AUTH one",
        "AUTH app old",
        "AUTH ap one",
        "AUTH app \"\"",
        "HELLO 3 AUTH app new",
    ] {
        assert!(client.reply(line).starts_with("-WRONGPASS "), "{line}");
    }
    assert_eq!(
        client.reply("ACL WHOAMI"),
        "$3\r\napp\r\n",
        "a wrong password changes nothing"
    );
    assert_eq!(client.run("RESET").0, AnswerOutcome::Reset);
    assert!(!client.authenticated);
}

#[test]
fn where_the_default_user_has_no_password_a_name_is_needed() {
    let mut client = Client::new(&[("app", &["one"])]);
    assert!(client.reply("AUTH one").starts_with("-WRONGPASS "));
    assert!(!client.authenticated);
    assert_eq!(client.reply("AUTH app one"), "+OK\r\n");
}

#[test]
fn only_logins_and_goodbyes_come_before_a_login() {
    let allowed: Vec<_> = command::all()
        .filter_map(|command| match command.route {
            Route::Answer(what) if allowed_before_login(what) => Some(command.full_name),
            _ => None,
        })
        .collect();
    assert_eq!(allowed.len(), 4, "{allowed:?}");
    for name in ["auth", "hello", "quit", "reset"] {
        assert!(allowed.contains(&name), "{allowed:?}");
    }
}

#[test]
fn hello_has_a_version_before_any_is_known() {
    let mut client = Client::open();
    client.server.version.clear();
    assert!(
        client
            .reply("HELLO 3")
            .contains("\r\nversion\r\n$5\r\n7.0.0\r\n")
    );
    assert_eq!(client.protocol, Protocol::Resp3);
}

#[test]
fn time_is_seconds_and_microseconds() {
    let mut client = Client::open();
    client.facts.now = std::time::Duration::from_micros(1_700_000_000_000_042);
    let reply = client.reply("TIME");
    assert_eq!(reply, "*2\r\n$10\r\n1700000000\r\n$2\r\n42\r\n");
}

#[test]
fn info_has_the_counts_of_the_process() {
    let mut client = Client::open();
    client.facts = InfoFacts {
        run_id: "ab".repeat(20),
        tcp_port: 6400,
        uptime: std::time::Duration::from_secs(200_000),
        max_clients: 9000,
        clients: 12,
        blocked_clients: 3,
        tracking_clients: 2,
        accepted: 40,
        rejected: 4,
        requests: 500,
        requests_per_second: 50,
        errors: 6,
        topology: "cluster",
        shards: 3,
        nodes: 6,
        upstream_connections: 24,
        ..InfoFacts::default()
    };
    let text = client.reply("INFO");
    for line in [
        "redis_version:7.0.15",
        "tcp_port:6400",
        "uptime_in_seconds:200000",
        "uptime_in_days:2",
        "config_file:",
        "connected_clients:12",
        "blocked_clients:3",
        "tracking_clients:2",
        "maxclients:9000",
        "total_connections_received:40",
        "rejected_connections:4",
        "total_commands_processed:500",
        "instantaneous_ops_per_sec:50",
        "total_error_replies:6",
        "slotmux_topology:cluster",
        "slotmux_shards:3",
        "slotmux_nodes:6",
        "slotmux_upstream_connections:24",
    ] {
        assert!(
            text.contains(&format!("\r\n{line}\r\n")),
            "{line} in {text}"
        );
    }
    assert!(text.contains(&format!("\r\nrun_id:{}\r\n", "ab".repeat(20))));
    assert!(client.reply("INFO slotmux").starts_with("$"));
    client.protocol = Protocol::Resp3;
    assert!(
        client
            .reply("INFO slotmux")
            .contains("\r\ntxt:# Slotmux\r\n")
    );
}

#[test]
fn config_get_takes_patterns_of_bounded_length() {
    let mut client = Client::open();
    assert_eq!(
        client.reply("CONFIG GET p?rt"),
        "*2\r\n$4\r\nport\r\n$1\r\n0\r\n"
    );
    let long = "*".repeat(17 * 1024);
    let reply = client.reply(&format!("CONFIG GET {long}"));
    assert_eq!(
        reply,
        "-ERR slotmux: the patterns of CONFIG GET are too long\r\n"
    );
    for secret in [
        "requirepass",
        "masterauth",
        "masteruser",
        "dir",
        "*pass*",
        "*auth*",
    ] {
        assert_eq!(
            client.reply(&format!("CONFIG GET {secret}")),
            "*0\r\n",
            "{secret}"
        );
    }
}
