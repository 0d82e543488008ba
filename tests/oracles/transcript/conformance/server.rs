//! The plain server's description of its commands.

use slotmux_core::command::lookup;

use crate::transcript::lines::Words;
use slotmux_testing::{RawClient, Value};

/// A command as the server lists it.
pub struct Listed {
    /// `get`, `client|setname`.
    pub full_name: String,
    /// From its documentation: `string`, `connection`.
    pub group: String,
}

/// All of them, ordered by group and name. Containers only if they can be called without a subcommand.
pub fn commands(client: &mut RawClient) -> Vec<Listed> {
    let docs = client.call(&["COMMAND", "DOCS"]);
    let mut list: Vec<Listed> = Vec::new();
    for entry in client.call(&["COMMAND"]).items() {
        let entry = entry.items();
        let name = entry[0].text();
        let group = field(&docs, &name).and_then(|doc| field(doc, "group"));
        let group = group.expect("each command has a group").text();
        let subcommands = entry[9].items();
        let mut add = |full_name: String| {
            list.push(Listed {
                full_name,
                group: group.clone(),
            });
        };
        // COMMAND is the only container that can be called alone.
        if subcommands.is_empty() || name == "command" {
            add(name);
        }
        for subcommand in subcommands {
            add(subcommand.items()[0].text());
        }
    }
    list.sort_by(|a, b| (&a.group, &a.full_name).cmp(&(&b.group, &b.full_name)));
    list
}

/// The value behind a name in a map as RESP2 shows it.
fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let mut pairs = map.items().chunks_exact(2);
    pairs
        .find(|pair| pair[0].text() == name)
        .map(|pair| &pair[1])
}

/// A call of each subcommand of CLUSTER: a server without cluster mode answers all with the same error.
pub fn of_clusters() -> Vec<Words> {
    let cluster = lookup(b"cluster").expect("a command of Redis");
    let of_7_0 = crate::transcript::generate::is_in_redis;
    let subcommands = cluster.subcommands.iter().filter(|sub| of_7_0(sub, 7, 0));
    let call = |sub: &slotmux_core::command::Command| {
        let mut words = vec![b"CLUSTER".to_vec(), sub.name.as_bytes().to_vec()];
        words.resize(usize::from(sub.arity.unsigned_abs()), b"1".to_vec());
        words
    };
    subcommands.map(call).collect()
}
