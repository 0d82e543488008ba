//! The table of all commands: their keys, their routes and their effect on lifetimes. No I/O.

pub mod alike;
pub mod docs;
mod error;
mod flags;
mod keys;
mod learned;
mod lifetime;
pub mod listening;
mod name;
mod options;
mod reference;
mod repeat;
mod route;
pub mod split;
mod table;
mod wait;

use crate::resp::Span;

pub use error::{Unresolved, arity_error, refused_error, unknown_error, unknown_subcommand_error};
pub use flags::Flags;
pub use keys::{KeyError, KeySpec, blocks, for_each_destination, for_each_key};
pub use learned::{KEYLESS, Learned, LearnedCommand, LearnedRoute};
pub use lifetime::Lifetime;
pub use options::{AUTH, AUTH2, KEYS, OF_HELLO, OF_MIGRATE, OptionScan};
pub use reference::{CommandRef, HeldCommand};
pub use repeat::Repeatable;
pub use route::{Merge, OwnAnswer, Route};
pub use table::{DEBUG_OF_KEY, all, lookup};
pub use wait::BlockingTimeout;

use name::PackedName;

/// One command, or one subcommand of a container such as CLIENT.
#[derive(Debug)]
pub struct Command {
    /// Its own name in lower case: `get`; of a subcommand the part after the bar: `setname`.
    pub name: &'static str,
    /// The name as a server words it in errors: `get`, `client|setname`.
    pub full_name: &'static str,
    /// Arguments with the name counted; negative: at least so many. Where server versions differ, the loosest.
    pub arity: i16,
    /// Its flags in the `COMMAND` reply.
    pub flags: Flags,
    /// Its route; for a container that of most of its subcommands.
    pub route: Route,
    /// The positions of its keys.
    pub keys: KeySpec,
    /// First version of Redis that has it, or of Valkey where it is said; `slotmux` if no server has it.
    pub since: &'static str,
    /// Whether its reply says of each key whether it has a value: what counts as a hit or a miss.
    pub finds: bool,
    /// Its effect on the lifetime of its keys.
    pub lifetime: Lifetime,
    /// Whether it may run a second time.
    pub repeat: Repeatable,
    /// Its subcommands, if it is a container.
    pub subcommands: &'static [Command],
    packed: PackedName,
}

impl Command {
    /// The subcommand of that name in any case. The longest list has some forty entries.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        let packed = PackedName::new(name)?;
        self.subcommands.iter().find(|sub| sub.packed == packed)
    }

    /// Whether it has subcommands.
    pub fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Whether it may change data. Scripts may; their read-only forms and all reads may not.
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE)
            || (self.keys != KeySpec::None && !self.flags.contains(Flags::READONLY))
    }

    /// Whether it only reads, so that it may be sent again when it is unknown whether it ran.
    pub fn is_readonly(&self) -> bool {
        self.flags.contains(Flags::READONLY)
    }

    /// Whether a request of `argc` arguments, the name counted, has as many as the command takes. MSET and MSETNX
    /// are held to a value for each key, as servers complain of a missing one in the same words.
    pub fn arity_ok(&self, argc: usize) -> bool {
        let pairs_ok = match self.keys {
            KeySpec::Range {
                first,
                last: -1,
                step: 2,
            } => argc.abs_diff(usize::from(first)) % 2 == 0,
            _ => true,
        };
        pairs_ok && arity_ok(self.arity, argc)
    }
}

/// Redis' arity convention: positive is exact, negative is a minimum.
fn arity_ok(arity: i16, argc: usize) -> bool {
    let wanted = usize::from(arity.unsigned_abs());
    if arity < 0 {
        argc >= wanted
    } else {
        argc == wanted
    }
}

/// The command of a request, down to the subcommand, with its number of arguments checked.
///
/// A container with no further argument is checked as a command of its own, as a server does.
///
/// # Errors
/// The reason why it cannot be sent; [`Unresolved::error`] is the reply. `Unresolved::Command` and
/// `Unresolved::Subcommand` may still be known to [`Learned`].
#[inline]
pub fn resolve(buf: &[u8], args: &[Span]) -> Result<&'static Command, Unresolved> {
    let Some(name) = args.first() else {
        return Err(Unresolved::Command);
    };
    let Some(mut command) = lookup(name.of(buf)) else {
        return Err(Unresolved::Command);
    };
    if command.is_container()
        && let Some(sub) = args.get(1)
    {
        command = command
            .subcommand(sub.of(buf))
            .ok_or(Unresolved::Subcommand(command))?;
    }
    if command.arity_ok(args.len()) {
        Ok(command)
    } else {
        Err(Unresolved::Arity(command))
    }
}
