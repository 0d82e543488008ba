//! Behaviour that differs by version: slotmux follows the server behind it.

use std::io::{Read, Write};
use std::net::TcpStream;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster};

use crate::keyspace::key_on;

/// Everything that a connection to this port reads after these bytes, until the server closes it.
fn converse(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // It may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut replies = Vec::new();
    let _ = stream.read_to_end(&mut replies);
    replies.escape_ascii().to_string()
}

#[test]
fn inline_requests_are_split_as_the_server_splits_them() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let lines: &[&[u8]] = &[
        br#"ECHO "\x41\x4g\n\r\t\b\a\q\\\"""#,
        br"ECHO 'a\nb\'c'",
        br#"ECHO "a"b"#,
        br#"ECHO "a"b"c"'d'"#,
        br"ECHO 'a'b",
        br#"ECHO a"b c"d"#,
        br#"ECHO a"b c"x y"#,
        br#"ECHO """""#,
        br#"ECHO """#,
        br#"ECHO "\""#,
        br#"ECHO "a\""#,
        br#"ECHO "\\\""#,
        br#"ECHO "\x41\""#,
        br#"ECHO "a\"b"#,
        br#"ECHO "\" "#,
        br"ECHO '\'",
        br"ECHO '\\'",
        br"ECHO '\' x",
        br"ECHO 'a\'b'",
        b"ECHO \"a\"\x0b",
        b"ECHO \"a\"\x0bb",
        b"ECHO a\x0bb \x0c",
        b"ECHO \xff\x80",
        b"ECHO a\xffb\xff",
        b"ECHO \"\xff\\xff\"",
        b"ECHO '\xff'",
        b"\xffECHO a",
        b"ECHO \"\"",
        b"\"\"",
        b"ECHO 'a",
        b"ECHO a\\ b",
        b"  ECHO\ta  \r",
        b"#comment",
    ];
    for line in lines {
        let bytes = [line, &b"\r\nQUIT\r\n"[..]].concat();
        let (ours, theirs) = (
            converse(proxy.port(), &bytes),
            converse(server.port(), &bytes),
        );
        assert_eq!(ours, theirs, "{}", line.escape_ascii());
    }
}

/// Commands that do not belong in a transaction: some servers only refuse them, and some then run nothing of it.
#[test]
fn transactions_are_aborted_where_the_server_aborts_them() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    for mut pair in [
        [proxy.client(), RawClient::connect(server.port())],
        [
            proxy.client_resp3(),
            RawClient::connect_resp3(server.port()),
        ],
    ] {
        for line in [
            "MULTI",
            "WATCH k",
            "WATCH",
            "MULTI x",
            "SAVE",
            "SHUTDOWN x",
            "SYNC",
            "PSYNC ? -1",
            "DISCARD x",
            "EXEC x",
            "NOSUCH",
            "GET",
        ] {
            for (at, client) in pair.iter_mut().enumerate() {
                assert_eq!(client.call(&["MULTI"]), Value::ok());
                client.call(&["SET", "habit", &at.to_string()]);
            }
            let words: Vec<&str> = line.split(' ').collect();
            for step in [
                &words[..],
                &["EXEC"],
                &["EXISTS", "habit"],
                &["DEL", "habit"],
            ] {
                let [ours, theirs] = pair.each_mut().map(|client| client.call(step));
                assert_eq!(ours, theirs, "{step:?} with {line}");
            }
        }
    }
}

/// SCRIPT SHOW of Valkey: a script is shown that any node has.
#[test]
fn a_script_of_one_node_is_shown() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut plain = RawClient::connect(server.port());
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for node in 0..3 {
            let text = format!("return {node}");
            plain.call(&["EVAL", &text, "0"]);
            client.call(&["EVAL", &text, "1", &key_on(&cluster, node, 0)]);
            let sha = plain.call(&["SCRIPT", "LOAD", &text]).text();
            let show = ["SCRIPT", "SHOW", &sha];
            assert_eq!(client.call(&show), plain.call(&show), "{text}");
        }
        for words in [
            &["SCRIPT", "SHOW", "0123456789012345678901234567890123456789"][..],
            &["SCRIPT", "SHOW", "x"],
        ] {
            assert_eq!(client.call(words), plain.call(words), "{words:?}");
        }
    }
}
