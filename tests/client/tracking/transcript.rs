//! The frames of a tracking client, byte by byte as from one plain Redis.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use slotmux_testing::client::command;
use slotmux_testing::{Proxy, RawClient, calm_cluster};

/// Sender and command. Behind each command of the writer, and of those that the reader's writes cause, the reader sends
/// a request over the same connection, so that its invalidations precede the reply.
const SCRIPT: &str = "
reader CLIENT TRACKING ON
reader GET {t}k
writer SET {t}k 1
writer SET {t}k 2
reader GET {t}k
reader MGET {t}k {t}l {t}k
reader EXISTS {t}m
reader TTL {t}n
writer MSET {t}k 1 {t}l 2 {t}m 3
writer SETEX {t}n 100 x
reader GET {t}k
reader SET {t}k 3
reader SET {t}k 4
reader LPUSH {t}list a
reader GET {t}list
writer DEL {t}list
reader EVAL return(redis.call('get',KEYS[1])) 2 {t}k {t}l
writer SET {t}l 1
reader EVAL return(1) 1 {t}l
writer SET {t}l 1
reader FCALL nosuch 1 {t}l
writer SET {t}l 1
reader MULTI
reader GET {t}k
reader GET {t}l
reader EXEC
writer SET {t}k 5
writer SET {t}l 5
reader GET {t}k
reader CLIENT REPLY OFF
writer SET {t}k 6
reader CLIENT REPLY ON
reader CLIENT CACHING YES
reader GET {t}k
writer FLUSHALL
writer SET {t}k 7
reader GET {t}k
reader CLIENT TRACKING OFF
writer SET {t}k 8
reader GET {t}k
writer SET {t}k 9
reader CLIENT TRACKING ON OPTIN
reader GET {t}k
writer SET {t}k 1
reader CLIENT CACHING YES
reader CLIENT GETREDIR
reader GET {t}k
writer SET {t}k 2
reader CLIENT CACHING YES
reader EXISTS {t}other
reader GET {t}k
writer SET {t}k 3
reader CLIENT CACHING YES
reader SET {t}own 1
reader GET {t}k
writer SET {t}k 4
reader CLIENT CACHING YES
reader MULTI
reader GET {t}k
reader MGET {t}l {t}m
reader EXEC
writer SET {t}k 5
writer SET {t}m 5
reader GET {t}k
writer SET {t}k 6
reader CLIENT CACHING YES
reader MULTI
reader GET {t}k
reader DISCARD
reader GET {t}k
writer SET {t}k 7
reader MULTI
reader CLIENT CACHING YES
reader GET {t}k
reader EXEC
writer SET {t}k 8
reader CLIENT CACHING NO
reader CLIENT TRACKING OFF
reader CLIENT TRACKING ON OPTOUT
reader GET {t}k
writer SET {t}k 1
reader CLIENT CACHING NO
reader GET {t}k
writer SET {t}k 2
reader CLIENT CACHING NO
reader MULTI
reader GET {t}k
reader EXEC
writer SET {t}k 3
reader CLIENT TRACKINGINFO
reader GET {t}k
writer RENAME {t}k {t}k2
reader GET {t}k2
writer EXPIRE {t}k2 100
reader GET {t}k2
writer UNLINK {t}k2
reader STRLEN {t}k
writer SETRANGE {t}k 2 x
reader RESET
reader CLIENT TRACKINGINFO
reader HELLO 3
reader GET {t}k
writer SET {t}k 4
";

/// The frames of the reader, command by command.
fn converse(port: u16) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut reader = RawClient::connect_resp3(port);
    let mut writer = RawClient::connect(port);
    let mut is_silenced = false;
    let mut told = Vec::new();
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        let (who, text) = line.split_once(' ').expect("a sender and a command");
        let words: Vec<&str> = text.split(' ').collect();
        let mut frames = Vec::new();
        if who == "writer" {
            writer.call(&words);
        } else {
            is_silenced |= text == "CLIENT REPLY OFF";
            reader.send(&words);
            if !is_silenced || text == "CLIENT REPLY ON" {
                is_silenced = false;
                let reply = until_reply(&mut reader, &mut frames);
                frames.push(reply);
            }
        }
        if is_silenced {
            // The command has no reply, but a push arrives.
            if who == "writer" {
                frames.push(reader.read_bytes());
            }
        } else if who == "writer" || words[0] == "SET" {
            reader.send_raw(&command(&["EXISTS", "{t}nothing"]));
            let end = until_reply(&mut reader, &mut frames);
            frames.push(end);
        }
        // The replies to HELLO differ.
        frames.retain(|frame| !frame.starts_with(b"%7"));
        told.push((line.to_owned(), frames));
    }
    told
}

/// The next reply; earlier pushes are added to `pushes`.
fn until_reply(reader: &mut RawClient, pushes: &mut Vec<Vec<u8>>) -> Vec<u8> {
    loop {
        let frame = reader.read_bytes();
        if frame[0] != b'>' {
            return frame;
        }
        pushes.push(frame);
    }
}

#[test]
fn the_frames_of_a_client_are_those_of_redis() {
    let redis = LocalServer::start(&ServerOptions::default()).expect("a Redis");
    let wanted = converse(redis.port());
    // A server for this test, because it is flushed.
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let found = converse(proxy.port());
    let pushes = wanted.iter().flat_map(|(_, frames)| frames);
    assert!(pushes.filter(|frame| frame[0] == b'>').count() >= 20);
    for ((line, wanted), (_, found)) in wanted.into_iter().zip(found) {
        let [wanted, found] = [wanted, found].map(|frames| {
            let frames = frames.iter().map(|frame| String::from_utf8_lossy(frame));
            frames.collect::<String>()
        });
        assert_eq!(found, wanted, "behind {line}");
    }
}
