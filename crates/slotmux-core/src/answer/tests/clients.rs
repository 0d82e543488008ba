//! CLIENT LIST, KILL, PAUSE and MONITOR: lines of several clients, and the work left to the workers.

use super::*;
use crate::cluster::server::ServerVersion;

/// The clients 3, 5 and 7 of different users, ages and addresses; 7 is the one that asks.
fn with_three_clients(test: impl Fn(&[ClientLine<'_>])) {
    let app = Session {
        name: Some("bob".into()),
        lib_name: Some("redis-py".into()),
        lib_ver: Some("8.1.0".into()),
        user: Some("app".into()),
        no_evict: true,
        no_touch: true,
        monitor: std::num::NonZeroU32::new(1),
        ..Session::default()
    };
    let here = ClientAddress::Tcp("127.0.0.1:6379".parse().unwrap());
    let v6 = (
        ClientAddress::Tcp("[::1]:50001".parse().unwrap()),
        ClientAddress::Tcp("[::1]:6379".parse().unwrap()),
    );
    let unix = ClientAddress::Unix("/run/slotmux.sock".into());
    let tcp = ClientAddress::Tcp("127.0.0.1:50000".parse().unwrap());
    let line = |id, age, addr, laddr, session| ClientLine {
        id,
        addr,
        laddr,
        fd: 20,
        age,
        idle: 1,
        session,
        default_user: "guest",
        closing: false,
        held: false,
        multi: None,
        blocked: false,
        watched: 2,
        multi_bytes: 0,
        input: BufferFigures {
            len: 10,
            capacity: 64,
        },
        output: BufferFigures {
            len: 0,
            capacity: 0,
        },
        reading: true,
        writing: false,
        command: "",
        protocol: Protocol::Resp2,
        tracking: Tracking::default(),
        subscriptions: [0; 3],
        traffic: [100, 200],
        requests: 4,
        server: ServerVersion::new("7.2.0", None),
    };
    test(&[
        line(3, 300, &tcp, &here, Some(&app)),
        line(5, 5, &v6.0, &v6.1, None),
        line(7, 0, &unix, &unix, None),
    ]);
}

#[test]
fn client_lines_have_the_fields_of_redis_7_2() {
    with_three_clients(|lines| {
        assert_eq!(
            lines[0].to_string(),
            "id=3 addr=127.0.0.1:50000 laddr=127.0.0.1:6379 fd=20 name=bob age=300 idle=1 flags=OeT db=0 sub=0 psub=0 \
             ssub=0 multi=-1 qbuf=10 qbuf-free=54 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=64 \
             events=r cmd=NULL user=app redir=-1 resp=2 lib-name=redis-py lib-ver=8.1.0"
        );
        let second = ClientLine {
            command: "client|list",
            protocol: Protocol::Resp3,
            writing: true,
            held: true,
            multi: Some(2),
            multi_bytes: 50,
            output: BufferFigures {
                len: 7,
                capacity: 16,
            },
            ..lines[1].clone()
        };
        assert_eq!(
            second.to_string(),
            "id=5 addr=[::1]:50001 laddr=[::1]:6379 fd=20 name= age=5 idle=1 flags=xb db=0 sub=0 psub=0 ssub=0 \
             multi=2 qbuf=10 qbuf-free=54 argv-mem=0 multi-mem=50 rbs=16 rbp=7 obl=7 oll=0 omem=0 tot-mem=130 \
             events=rw cmd=client|list user=guest redir=-1 resp=3 lib-name= lib-ver="
        );
        let third = lines[2].to_string();
        assert!(
            third.contains(" addr=/run/slotmux.sock:0 laddr=/run/slotmux.sock:0 "),
            "{third}"
        );
        assert!(third.contains(" flags=U "), "{third}");
    });
}

#[test]
fn client_lines_have_the_fields_of_their_version() {
    let newest = " io-thread=0 tot-net-in=100 tot-net-out=200 tot-cmds=4";
    let valkey = " tot-net-in=100 tot-net-out=200 tot-cmds=4";
    let table = [
        (
            ServerVersion::new("7.0.0", None),
            " flags=N db=0 ",
            " multi=-1 qbuf=",
            "",
        ),
        (
            ServerVersion::new("7.4.0", None),
            " flags=N db=0 ",
            " multi=-1 watch=2 qbuf=",
            "",
        ),
        (
            ServerVersion::new("8.0.0", None),
            " flags=N db=0 ",
            " multi=-1 watch=2 qbuf=",
            " io-thread=0",
        ),
        (
            ServerVersion::new("8.2.0", None),
            " flags=N db=0 ",
            " multi=-1 watch=2 qbuf=",
            newest,
        ),
        (
            ServerVersion::new("7.2.4", Some("7.2.0")),
            " flags=N db=0 ",
            " multi=-1 qbuf=",
            "",
        ),
        (
            ServerVersion::new("7.2.4", Some("8.0.0")),
            " flags=N db=0 ",
            " multi=-1 watch=2 qbuf=",
            valkey,
        ),
        (
            ServerVersion::new("7.2.4", Some("9.1.0")),
            " flags=N capa= db=0 ",
            " multi=-1 watch=2 qbuf=",
            valkey,
        ),
    ];
    with_three_clients(|lines| {
        for (server, flags, watch, last) in table {
            let text = ClientLine {
                server,
                ..lines[1].clone()
            }
            .to_string();
            assert!(
                text.contains(flags) && text.contains(watch),
                "{server:?}: {text}"
            );
            let end = text.split_once(" lib-ver=").expect("a version").1;
            assert_eq!(end, last, "{server:?}");
        }
    });
}

/// The ids that a `CLIENT LIST` shows with this Valkey, or the error.
fn listed(
    version: &'static str,
    request: &str,
    lines: &[ClientLine<'_>],
) -> Result<Vec<u64>, String> {
    let mut client = Client::new(&[("app", &["one"])]);
    client.server.valkey_version = Some(version.to_owned());
    let (outcome, early) = client.run(request);
    let AnswerOutcome::List(selection) = outcome else {
        return Err(early.trim_end().to_owned());
    };
    let admitted = lines.iter().filter(|line| selection.admits(line));
    Ok(admitted.map(|line| line.id).collect())
}

#[test]
fn client_list_has_the_filters_of_valkey() {
    let error = |text: &str| Err(format!("-ERR {text}"));
    // The same requests, with the replies of Valkey 8.1 and of 9.1.
    let syntax = || error("syntax error");
    let table = [
        ("CLIENT LIST ID 3 ID 5", Ok(vec![3, 5]), Ok(vec![3, 5])),
        (
            "CLIENT LIST ID 3 5 TYPE normal SKIPME yes",
            Ok(vec![3, 5]),
            Ok(vec![3, 5]),
        ),
        ("CLIENT LIST SKIPME yes", Ok(vec![3, 5]), Ok(vec![3, 5])),
        (
            "CLIENT LIST SKIPME no",
            Ok(vec![3, 5, 7]),
            Ok(vec![3, 5, 7]),
        ),
        ("CLIENT LIST SKIPME maybe", syntax(), syntax()),
        ("CLIENT LIST MAXAGE 5", Ok(vec![3, 5]), Ok(vec![3, 5])),
        (
            "CLIENT LIST MAXAGE 0",
            error("maxage should be greater than 0"),
            error("maxage should be greater than 0"),
        ),
        ("CLIENT LIST USER app", Ok(vec![3]), Ok(vec![3])),
        (
            "CLIENT LIST USER nosuch",
            error("No such user 'nosuch'"),
            error("No such user 'nosuch'"),
        ),
        ("CLIENT LIST ADDR [::1]:50001", Ok(vec![5]), Ok(vec![5])),
        (
            "CLIENT LIST TYPE foo",
            error("Unknown client type 'foo'"),
            error("Unknown client type 'foo'"),
        ),
        ("CLIENT LIST TYPE primary", Ok(vec![]), Ok(vec![])),
        ("CLIENT LIST TYPE normal ID", Ok(vec![]), Ok(vec![])),
        (
            "CLIENT LIST ID 0",
            error("client-id should be greater than 0"),
            error("client-id should be greater than 0"),
        ),
        ("CLIENT LIST ID x", syntax(), syntax()),
        ("CLIENT LIST ID", syntax(), syntax()),
        ("CLIENT LIST NAME bob", syntax(), Ok(vec![3])),
        ("CLIENT LIST NAME x NAME bob", syntax(), Ok(vec![3])),
        ("CLIENT LIST NOT-NAME bob", syntax(), Ok(vec![5, 7])),
        (
            "CLIENT LIST LIB-NAME redis-py LIB-VER 8.1.0",
            syntax(),
            Ok(vec![3]),
        ),
        ("CLIENT LIST FLAGS eT", syntax(), Ok(vec![3])),
        ("CLIENT LIST FLAGS N", syntax(), Ok(vec![5])),
        (
            "CLIENT LIST FLAGS QN",
            syntax(),
            error("Unknown flags found in the provided filter: QN"),
        ),
        (
            "CLIENT LIST NOT-FLAGS Q",
            syntax(),
            error("Unknown flags found in the NOT-FLAGS filter: Q"),
        ),
        ("CLIENT LIST IDLE 1", syntax(), Ok(vec![3, 5, 7])),
        ("CLIENT LIST IDLE 2", syntax(), Ok(vec![])),
        (
            "CLIENT LIST IDLE 0",
            syntax(),
            error("idle should be greater than 0"),
        ),
        ("CLIENT LIST DB 0 NOT-ID 3 7", syntax(), Ok(vec![5])),
        ("CLIENT LIST DB 1", syntax(), Ok(vec![])),
        (
            "CLIENT LIST DB 99",
            syntax(),
            error("DB number should be between 0 and 15"),
        ),
        (
            "CLIENT LIST DB x",
            syntax(),
            error("DB is not an integer or out of range"),
        ),
        ("CLIENT LIST IP 127.0.0.1", syntax(), Ok(vec![3])),
        (
            "CLIENT LIST NOT-IP 127.0.0.1 NOT-USER app",
            syntax(),
            Ok(vec![5, 7]),
        ),
        (
            "CLIENT LIST CAPA z",
            syntax(),
            error("Unknown capa found in the provided filter: z"),
        ),
        ("CLIENT LIST NOT-CAPA r", syntax(), Ok(vec![3, 5, 7])),
        ("CLIENT LIST NOT-IDLE 4", syntax(), syntax()),
        ("CLIENT LIST NOT-ID", syntax(), syntax()),
    ];
    with_three_clients(|lines| {
        for (request, before, after) in &table {
            assert_eq!(&listed("8.1.1", request, lines), before, "{request}");
            assert_eq!(&listed("9.1.2", request, lines), after, "{request}");
        }
        assert_eq!(
            killed(Some("9.1.2"), "CLIENT KILL NAME bob", lines),
            Ok(vec![3])
        );
        assert_eq!(
            killed(Some("9.1.2"), "CLIENT KILL NOT-TYPE pubsub", lines),
            Ok(vec![3, 5])
        );
        let text = "-ERR syntax error\r\n".to_owned();
        assert_eq!(
            killed(Some("8.1.1"), "CLIENT KILL NAME bob", lines),
            Err(text.clone())
        );
        assert_eq!(killed(None, "CLIENT KILL NAME bob", lines), Err(text));
    });
}

#[test]
fn capabilities_are_those_of_valkey() {
    let mut client = Client::open();
    let unknown = |name: &str| format!("-ERR unknown subcommand '{name}'. Try CLIENT HELP.\r\n");
    assert_eq!(client.reply("CLIENT CAPA redirect"), unknown("CAPA"));
    assert_eq!(
        client.reply("CLIENT IMPORT-SOURCE ON"),
        unknown("IMPORT-SOURCE")
    );
    client.server.valkey_version = Some("8.0.1".to_owned());
    assert_eq!(
        client.reply("CLIENT IMPORT-SOURCE ON"),
        unknown("IMPORT-SOURCE")
    );
    assert_eq!(client.reply("CLIENT CAPA badger"), "+OK\r\n");
    assert!(client.session.is_none());
    assert_eq!(client.reply("CLIENT CAPA badger REDIRECT"), "+OK\r\n");
    assert!(
        client
            .session
            .as_ref()
            .is_some_and(|session| session.takes_redirects)
    );
    client.server.valkey_version = Some("9.1.2".to_owned());
    let text = "-ERR Server is not in import mode\r\n";
    assert_eq!(client.reply("CLIENT IMPORT-SOURCE ON"), text);
}

#[test]
fn client_list_joins_the_lines_of_all_workers() {
    let table: &[(&str, &[u64])] = &[
        ("CLIENT LIST", &[3, 5, 7]),
        ("CLIENT LIST TYPE normal", &[3, 5, 7]),
        ("CLIENT LIST TYPE pubsub", &[]),
        ("CLIENT LIST ID 7 3", &[7, 3]),
        ("CLIENT LIST ID 5 4 -5 5", &[5]),
    ];
    with_three_clients(|lines| {
        for (request, expected) in table {
            let (AnswerOutcome::List(selection), reply) = Client::open().run(request) else {
                panic!("{request}")
            };
            assert_eq!(reply, "");
            let found = lines.iter().rev().filter(|line| selection.admits(line));
            let found = found.map(|line| (line.id, format!("line {}\n", line.id)));
            let mut out = Vec::new();
            selection.reply(found.collect(), Protocol::Resp3, &mut out);
            let text: String = expected.iter().map(|id| format!("line {id}\n")).collect();
            let expected = format!("={}\r\ntxt:{text}\r\n", text.len() + 4);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{request}");
        }
    });
}

#[test]
fn client_kill_closes_those_that_pass_every_filter() {
    let table: &[(&str, &[u64], &str)] = &[
        ("CLIENT KILL 127.0.0.1:50000", &[3], "+OK"),
        ("CLIENT KILL [::1]:50001", &[5], "+OK"),
        // The old form does not spare the one that asks.
        ("CLIENT KILL /run/slotmux.sock:0", &[7], "+OK"),
        ("CLIENT KILL 127.0.0.1:6379", &[], "-ERR No such client"),
        ("CLIENT KILL TYPE normal", &[3, 5], ":2"),
        ("CLIENT KILL TYPE normal SKIPME no", &[3, 5, 7], ":3"),
        ("CLIENT KILL SKIPME no SKIPME yes", &[3, 5], ":2"),
        ("CLIENT KILL TYPE pubsub SKIPME no", &[], ":0"),
        ("CLIENT KILL ID 5", &[5], ":1"),
        ("CLIENT KILL ID 7", &[], ":0"),
        ("CLIENT KILL ID 7 SKIPME no", &[7], ":1"),
        ("CLIENT KILL USER app", &[3], ":1"),
        ("CLIENT KILL USER guest", &[5], ":1"),
        ("CLIENT KILL USER app ID 5", &[], ":0"),
        (
            "CLIENT KILL ADDR 127.0.0.1:50000 LADDR 127.0.0.1:6379",
            &[3],
            ":1",
        ),
        ("CLIENT KILL LADDR [::1]:6379", &[5], ":1"),
        ("CLIENT KILL MAXAGE 5", &[3, 5], ":2"),
        ("CLIENT KILL MAXAGE 6", &[3], ":1"),
    ];
    with_three_clients(|lines| {
        for (request, expected, reply) in table {
            let mut client = Client::new(&[("app", &["one"])]);
            let (AnswerOutcome::Kill(kill), early) = client.run(request) else {
                panic!("{request}")
            };
            assert_eq!(early, "");
            let killed = lines.iter().filter(|line| kill.admits(line));
            let killed: Vec<u64> = killed.map(|line| line.id).collect();
            assert_eq!(killed, *expected, "{request}");
            let mut out = Vec::new();
            kill.reply(killed.len() as u64, &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("{reply}\r\n"),
                "{request}"
            );
        }
    });
}

/// The clients that a `CLIENT KILL` closes with this upstream, or the error.
fn killed(
    valkey_version: Option<&'static str>,
    request: &str,
    lines: &[ClientLine<'_>],
) -> Result<Vec<u64>, String> {
    let mut client = Client::open();
    client.server.valkey_version = valkey_version.map(str::to_owned);
    let (outcome, early) = client.run(request);
    let AnswerOutcome::Kill(kill) = outcome else {
        return Err(early);
    };
    let admitted = lines.iter().filter(|line| kill.admits(line));
    Ok(admitted.map(|line| line.id).collect())
}

#[test]
fn several_ids_count_as_with_the_upstream() {
    const LAST: [Option<&str>; 4] = [None, Some("8.0.4"), Some("7.2.4"), Some("x")];
    const ALL: [Option<&str>; 5] = [
        Some("8.1.0"),
        Some("8.10.2"),
        Some("9.0.0-rc1"),
        Some("9.1.3"),
        Some("255.255.255"),
    ];
    let greater = "-ERR client-id should be greater than 0\r\n".to_owned();
    let syntax = "-ERR syntax error\r\n".to_owned();
    // With the last id only, and with all.
    let table = [
        ("CLIENT KILL ID 3 ID 5", Ok(vec![5]), Ok(vec![3, 5])),
        ("CLIENT KILL ID 5 ID 3", Ok(vec![3]), Ok(vec![3, 5])),
        ("CLIENT KILL ID 3 ID 7", Ok(vec![]), Ok(vec![3])),
        (
            "CLIENT KILL SKIPME no ID 7 ID 3 TYPE normal",
            Ok(vec![3]),
            Ok(vec![3, 7]),
        ),
        ("CLIENT KILL ID 3 5 9", Err(syntax.clone()), Ok(vec![3, 5])),
        (
            "CLIENT KILL ID 5 3 7 skipme no",
            Err(syntax.clone()),
            Ok(vec![3, 5, 7]),
        ),
        ("CLIENT KILL ID 3 5", Err(syntax.clone()), Ok(vec![3, 5])),
        ("CLIENT KILL ID 3 ID", Err(syntax.clone()), Ok(vec![3])),
        ("CLIENT KILL SKIPME no ID", Err(syntax.clone()), Ok(vec![])),
        (
            "CLIENT KILL ID 0",
            Err(greater.clone()),
            Err(greater.clone()),
        ),
        (
            "CLIENT KILL ID 3 -1",
            Err(syntax.clone()),
            Err(greater.clone()),
        ),
        ("CLIENT KILL ID x", Err(greater), Err(syntax.clone())),
        ("CLIENT KILL ID 3 x", Err(syntax.clone()), Err(syntax)),
    ];
    with_three_clients(|lines| {
        for (request, with_last, with_all) in &table {
            for version in LAST {
                assert_eq!(&killed(version, request, lines), with_last, "{request}");
            }
            for version in ALL {
                assert_eq!(&killed(version, request, lines), with_all, "{request}");
            }
        }
    });
}

#[test]
fn pauses_and_monitors() {
    use crate::answer::pausing::{PauseRequest, PausedCommands};
    use std::time::Duration;

    let mut client = Client::open();
    let pausing = |hold, ms| {
        AnswerOutcome::Pause(PauseRequest {
            hold,
            lasts: Duration::from_millis(ms),
        })
    };
    for (line, outcome) in [
        ("CLIENT PAUSE 100", pausing(PausedCommands::Everything, 100)),
        (
            "CLIENT PAUSE 100 all",
            pausing(PausedCommands::Everything, 100),
        ),
        ("CLIENT PAUSE 0 WRITE", pausing(PausedCommands::Writes, 0)),
        (
            "CLIENT PAUSE 9223372036854775807 write",
            pausing(PausedCommands::Writes, i64::MAX.cast_unsigned()),
        ),
        ("CLIENT UNPAUSE", pausing(PausedCommands::Nothing, 0)),
        ("MONITOR", AnswerOutcome::Monitor),
    ] {
        assert_eq!(client.run(line), (outcome, String::new()), "{line}");
    }
    client.config.commands.monitor = false;
    assert_eq!(
        client.reply("MONITOR"),
        "-ERR slotmux: 'monitor' is refused: commands.monitor is \"off\"\r\n"
    );
}
