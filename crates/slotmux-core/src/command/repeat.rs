//! Whether a command may run a second time: a column of the command table.

/// Whether a command has the same effect and the same reply when it runs a second time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeatable {
    /// Not always, or not examined.
    Never,
    /// Always.
    Always,
    /// `SET key value …`: with no option but a TTL.
    Set,
    /// `MSETEX numkeys key value [key value …] …`: with no option but a TTL.
    MSetEx,
    /// `RESTORE key ttl value …`: with REPLACE.
    Restore,
}

impl Repeatable {
    /// The kind of the command with this full name.
    pub const fn of(full_name: &str) -> Repeatable {
        match full_name.as_bytes() {
            b"hmset" | b"mset" | b"psetex" | b"setex" => Repeatable::Always,
            b"set" => Repeatable::Set,
            b"msetex" => Repeatable::MSetEx,
            b"restore" => Repeatable::Restore,
            _ => Repeatable::Never,
        }
    }
}
