//! A command wherever it is described: in the table, or by the upstream.

use std::sync::Arc;

use super::{
    Command, Flags, KeyError, KeySpec, LearnedCommand, Route, blocks, for_each_destination,
    for_each_key,
};
use crate::command::Lifetime;
use crate::resp::Span;

/// A command of the table, or one that was learned.
#[derive(Clone, Copy, Debug)]
pub enum CommandRef<'a> {
    /// In the table.
    Table(&'static Command),
    /// Learned from the upstream.
    Learned(&'a LearnedCommand),
}

/// A [`CommandRef`] that outlives the topology that its command was learned for.
#[derive(Clone, Debug)]
pub enum HeldCommand {
    /// In the table.
    Table(&'static Command),
    /// Learned from the upstream.
    Learned(Arc<LearnedCommand>),
}

impl HeldCommand {
    /// The command.
    pub fn by_ref(&self) -> CommandRef<'_> {
        match self {
            HeldCommand::Table(command) => CommandRef::Table(command),
            HeldCommand::Learned(command) => CommandRef::Learned(command),
        }
    }
}

impl<'a> CommandRef<'a> {
    /// As [`Command::full_name`].
    pub fn full_name(self) -> &'a str {
        match self {
            CommandRef::Table(command) => command.full_name,
            CommandRef::Learned(command) => &command.full_name,
        }
    }

    /// As [`Command::flags`].
    pub fn flags(self) -> Flags {
        match self {
            CommandRef::Table(command) => command.flags,
            CommandRef::Learned(command) => command.flags,
        }
    }

    /// Its effect on the lifetime of its keys.
    pub fn lifetime(self) -> Lifetime {
        match self {
            CommandRef::Table(command) => command.lifetime,
            CommandRef::Learned(command) => command.lifetime(),
        }
    }

    /// As [`LearnedCommand::is_ambiguous`]. False for commands in the table: how servers parse them is known.
    pub fn is_ambiguous(self, buf: &[u8], args: &[Span]) -> bool {
        matches!(self, CommandRef::Learned(command) if command.is_ambiguous(buf, args))
    }

    /// As [`Command::is_readonly`].
    pub fn is_readonly(self) -> bool {
        self.flags().contains(Flags::READONLY)
    }

    /// Whether any of its arguments can be keys.
    pub fn has_keys(self) -> bool {
        match self {
            CommandRef::Table(command) => command.keys != KeySpec::None,
            CommandRef::Learned(command) => command.has_keys(),
        }
    }

    /// Whether it may change the values of its keys. WATCH names keys without a change, and a channel is not a key.
    pub fn changes_keys(self) -> bool {
        let watches =
            matches!(self, CommandRef::Table(command) if command.route == Route::Transaction);
        !watches
            && !self
                .flags()
                .intersects(Flags::READONLY.union(Flags::PUBSUB))
    }

    /// As [`blocks`].
    pub fn blocks(self, buf: &[u8], args: &[Span]) -> bool {
        match self {
            CommandRef::Table(command) => blocks(command, buf, args),
            CommandRef::Learned(command) => command.blocks(),
        }
    }

    /// As [`for_each_key`].
    ///
    /// # Errors
    /// As [`for_each_key`].
    #[inline]
    pub fn for_each_key(
        self,
        buf: &[u8],
        args: &[Span],
        f: impl FnMut(usize),
    ) -> Result<(), KeyError> {
        match self {
            CommandRef::Table(command) => for_each_key(&command.keys, buf, args, f),
            CommandRef::Learned(command) => command.for_each_key(buf, args, f),
        }
    }

    /// Calls `f` with the index of each key that the command may leave without an expiry, as far as its
    /// [`Lifetime`] does not say more: the destination of SORT, the declared keys of a script.
    ///
    /// # Errors
    /// As [`for_each_key`].
    pub fn for_each_written_key(
        self,
        buf: &[u8],
        args: &[Span],
        mut f: impl FnMut(usize),
    ) -> Result<(), KeyError> {
        match (self, self.lifetime()) {
            (_, Lifetime::Untouched) => Ok(()),
            (_, Lifetime::Creates { at }) => {
                f(usize::from(at));
                Ok(())
            }
            (CommandRef::Table(command), Lifetime::Stores) => {
                for_each_destination(&command.keys, buf, args, f);
                Ok(())
            }
            (CommandRef::Table(command), _) => for_each_key(&command.keys, buf, args, f),
            (CommandRef::Learned(command), _) => command.for_each_written_key(buf, args, f),
        }
    }
}
