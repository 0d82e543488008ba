//! Errors about names and numbers of arguments, with the texts of the server.

use slotmux_core::command;

use crate::command_table::server::{Reply, Server, Wire, request};

/// Requests that a server refuses before it runs them.
fn refused_requests() -> Vec<Vec<Vec<u8>>> {
    let long = |byte: u8, length| vec![byte; length];
    let words = |line: &str| {
        line.split_whitespace()
            .map(|word| word.as_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    let mut requests: Vec<Vec<Vec<u8>>> = [
        "nosuch",
        "NoSuch a b",
        "nosuch a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo pp qq",
        "client nosuch",
        "Client NoSuch a b",
        "config nosuch x",
        "object nosuch",
        "XINFO nosuch k",
        "command nosuch",
        "cluster nosuch",
        "memory nosuch k",
        "get",
        "GET a b",
        "set k",
        "mset a",
        "mset a 1 b",
        "msetnx a 1 b",
        "client",
        "client setname",
        "CLIENT SetName a b",
        "object",
        "object freq",
        "xgroup create k",
        "config get",
        "memory usage",
        "zadd k 1",
        "command getkeys",
    ]
    .into_iter()
    .map(words)
    .collect();
    requests.extend([
        vec![Vec::new()],
        vec![Vec::new(), Vec::new()],
        vec![long(b'x', 127)],
        vec![long(b'x', 128)],
        vec![long(b'x', 129), long(b'y', 10)],
        vec![long(b'x', 1000), long(b'y', 1000), long(b'z', 1000)],
        vec![b"nosuch".to_vec(), long(b'y', 124), b"z".to_vec()],
        vec![b"nosuch".to_vec(), long(b'y', 125), b"z".to_vec()],
        vec![b"nosuch".to_vec(), long(b'y', 126), b"z".to_vec()],
        vec![
            b"nosuch".to_vec(),
            long(b'y', 60),
            long(b'z', 60),
            long(b'w', 60),
        ],
        vec![b"no\r\nsuch".to_vec(), b"a\r\n+OK\r\n".to_vec()],
        vec![b"no\0such".to_vec(), b"a\0b".to_vec(), b"c".to_vec()],
        vec![b"n\xc3\xb6\xff\x80".to_vec(), b"\xfe\xff".to_vec()],
        vec![b"client".to_vec(), b"x\ny\0z".to_vec()],
        vec![b"client".to_vec(), long(b'x', 129)],
        vec![b"client".to_vec(), Vec::new()],
        vec![b"get\0".to_vec(), b"k".to_vec()],
    ]);
    requests
}

#[test]
fn error_texts_are_those_of_the_server() {
    let server = Server::start();
    let requests = refused_requests();
    let replies = Wire::connect(&server).ask(&requests);
    for (words, by_server) in requests.iter().zip(replies) {
        let (buf, args) = request(words);
        let ours = match command::resolve(&buf, &args) {
            Ok(command) => panic!("{} succeeds", command.full_name),
            Err(why) => Reply::Error(why.error(&buf, &args)),
        };
        let show = |reply: &Reply| match reply {
            Reply::Error(text) => text.escape_ascii().to_string(),
            other => format!("{other:?}"),
        };
        // Redis 8.8 leaves this out where there are no arguments.
        let (ours, by_server) = (show(&ours), show(&by_server));
        let shorter = ours.strip_suffix(", with args beginning with: ");
        let is_shorter = words.len() == 1 && shorter == Some(by_server.as_str());
        assert!(ours == by_server || is_shorter, "{ours}\n{by_server}");
    }
}
