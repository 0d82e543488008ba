//! Commands learned from a real server's `COMMAND` reply, in both protocols.

use redis::Value;
use slotmux_core::command::{Flags, Learned, LearnedRoute, Route};

use crate::command_table::keys::{keys_by_server, requests};
use crate::command_table::server::{Server, Wire, elements, find, names_of, request, text};

/// The server's own reply with other names, so that the table has none of them.
fn renamed(reply: &Value) -> Value {
    let entries = elements(reply).iter().map(|entry| {
        let mut fields = elements(entry).to_vec();
        fields[0] = Value::BulkString(format!("x.{}", text(&fields[0])).into_bytes());
        fields[9] = renamed(&fields[9]);
        Value::Array(fields)
    });
    Value::Array(entries.collect())
}

#[test]
fn commands_are_learned_from_the_reply_of_a_real_server() {
    let server = Server::start();
    let names = names_of(&server);
    let requests = requests();
    let by_server = keys_by_server(&mut Wire::connect(&server), &requests);
    for protocol in ["", "?protocol=resp3"] {
        let reply: Value = redis::cmd("COMMAND")
            .query(&mut server.client(protocol))
            .unwrap();
        let nothing_new = Learned::from_reply(&reply);
        assert!(nothing_new.is_empty(), "{nothing_new:?}");
        for name in &names {
            assert!(nothing_new.knows(name.to_uppercase().as_bytes()), "{name}");
        }
        assert!(!nothing_new.knows(b"nosuch"));

        let learned = Learned::from_reply(&renamed(&reply));
        assert_eq!(learned.len(), names.len());
        for (words, by_server) in requests.iter().zip(&by_server) {
            let mut words = words.clone();
            words[0] = [b"X.", &words[0][..]].concat();
            let (buf, args) = request(&words);
            let line = || String::from_utf8_lossy(&words.join(&b' ')).into_owned();
            let command = learned
                .resolve(&buf, &args)
                .unwrap_or_else(|| panic!("{}", line()));
            if command.flags.contains(Flags::PUBSUB) || command.full_name == "x.pfmerge" {
                continue;
            }
            let mut keys = Vec::new();
            let found = command.for_each_key(&buf, &args, |at| keys.push(words[at].clone()));
            let ours = (found.is_ok() && !keys.is_empty()).then_some(keys);
            // SORT and MIGRATE have keys outside of any specification, so these are not forwarded at all.
            if !is_kept_back(command.route) {
                assert_eq!(&ours, by_server, "{}", line());
            }
        }

        // Commands that the table never forwards would not be forwarded if learned either.
        for name in &names {
            let (container, sub) = name
                .split_once('|')
                .map_or((&name[..], None), |(name, sub)| (name, Some(sub)));
            let container = format!("x.{container}");
            let command = match sub {
                Some(sub) => learned.subcommand(container.as_bytes(), sub.as_bytes()),
                None => learned.get(container.as_bytes()),
            };
            let command = command.unwrap_or_else(|| panic!("{name} was not learned"));
            let in_table = find(name).unwrap().route;
            let answered = [
                "acl|whoami",
                "clusterscan",
                "info",
                "lastsave",
                "scan",
                "keys",
                "randomkey",
                "dbsize",
                "time",
                "role",
                "restore-asking",
                "move",
                "xidmprecord",
            ];
            let touchy = matches!(
                in_table,
                Route::Transaction
                    | Route::Blocking
                    | Route::Acknowledged(_)
                    | Route::Subscribe(_)
                    | Route::Answer(_)
                    | Route::Refused(_)
            );
            if touchy && !answered.contains(&&name[..]) {
                let is_apart = command.route == LearnedRoute::Blocking;
                assert!(is_apart || is_kept_back(command.route), "{command:?}");
            }
        }
        for (name, refused) in [
            ("x.get", false),
            ("x.eval", false),
            ("x.zunionstore", false),
            ("x.sort", true),
        ] {
            let command = learned.get(name.as_bytes()).unwrap();
            assert_eq!(is_kept_back(command.route), refused, "{command:?}");
        }
    }
}

/// Whether such a command is never sent to a node of a cluster.
fn is_kept_back(route: LearnedRoute) -> bool {
    matches!(route, LearnedRoute::Refused(_) | LearnedRoute::HiddenKeys)
}
