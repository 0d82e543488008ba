//! Lists of commands, and of DEBUG's subcommands, that one rule treats alike, beside the table that describes each.

/// Commands that take the key out of one place and put it into another: they change their source too.
pub const MOVES: [&str; 9] = [
    "blmove",
    "blmovem",
    "brpoplpush",
    "lmove",
    "lmovem",
    "rename",
    "renamenx",
    "rpoplpush",
    "smove",
];

/// Commands that read a key as a pattern of SORT does. A namespace that denies one of them is read by no pattern,
/// whichever of SORT and SORT_RO has it: both read the same values, of strings and of fields.
pub const PATTERN_READS: [&str; 4] = ["sort", "sort_ro", "get", "hget"];

/// Commands that store code on the nodes.
pub const STORES_CODE: [&str; 3] = ["function|load", "function|restore", "script|load"];

/// Commands that slotmux answers, but not in the middle of EXEC's reply: CLIENT REPLY would change the reply half way,
/// the others wait for other workers.
pub const NEVER_QUEUED: [&str; 6] = [
    "client|kill",
    "client|list",
    "client|pause",
    "client|reply",
    "client|unblock",
    "client|unpause",
];

/// Subcommands of DEBUG about one key, which is the second argument.
pub const DEBUG_KEY: [&str; 7] = [
    "digest-value",
    "htstats-key",
    "listpack",
    "object",
    "quicklist",
    "sdslen",
    "ziplist",
];

/// Subcommands of DEBUG that make sense for all nodes at once.
pub const DEBUG_ALL_NODES: [&str; 2] = ["set-active-expire", "sleep"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;

    #[test]
    fn every_listed_command_is_in_the_table() {
        let all = MOVES.iter().chain(&PATTERN_READS).chain(&STORES_CODE);
        for full_name in all.chain(&NEVER_QUEUED) {
            let (name, subcommand) = match full_name.split_once('|') {
                Some((name, subcommand)) => (name, Some(subcommand)),
                None => (*full_name, None),
            };
            let command = lookup(name.as_bytes()).expect(full_name);
            if let Some(subcommand) = subcommand {
                let found = command.subcommand(subcommand.as_bytes());
                assert_eq!(found.expect(full_name).full_name, *full_name);
            }
        }
    }
}
