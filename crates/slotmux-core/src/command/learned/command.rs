//! A command that the table lacks, as one entry of the `COMMAND` reply describes it.

use redis::Value;

use super::keys::LearnedKeySpec;
use super::options::{LearnedOptions, first_option};
use super::value::{elements, integer, text};
use crate::command::keys::KeyError;
use crate::command::route::{CONNECTION_STATE, ONE_NODE};
use crate::command::{Flags, Lifetime, Route, arity_ok, error};
use crate::resp::Span;

/// The reason to refuse a learned command that names no key and is not a plain read.
pub(super) const KEYLESS: &str =
    "slotmux learned it from the server, and nothing tells which node should run it";
/// The reason to refuse a learned command whose keys only the server can find.
pub(super) const HIDDEN_KEYS: &str =
    "slotmux learned it from the server, and nothing tells where its keys are";

/// A command that the table lacks.
#[derive(Debug)]
pub struct LearnedCommand {
    /// In lower case; of a subcommand `container|name`.
    pub full_name: String,
    /// As in [`crate::command::Command::arity`].
    pub arity: i16,
    /// As in [`crate::command::Command::flags`].
    pub flags: Flags,
    /// [`Route::Keyed`], [`Route::AnyNode`] or [`Route::Refused`].
    pub route: Route,
    keys: Vec<LearnedKeySpec>,
    pub(super) options: LearnedOptions,
    pub(super) container: bool,
}

impl LearnedCommand {
    pub(super) fn new(full_name: String, entry: &[Value], container: bool) -> LearnedCommand {
        let number = |at: usize| entry.get(at).and_then(integer).unwrap_or(0);
        let flags = elements(entry.get(2).unwrap_or(&Value::Nil))
            .iter()
            .filter_map(|word| Flags::from_word(std::str::from_utf8(text(word)?).ok()?))
            .fold(Flags::NONE, Flags::union);
        let arity = match i16::try_from(number(1)) {
            Ok(arity) if arity != 0 => arity,
            _ => -1,
        };
        let specs = elements(entry.get(8).unwrap_or(&Value::Nil));
        let (first, last, step) = (number(3), number(4), number(5));
        let movable = flags.contains(Flags::MOVABLE_KEYS);
        let specified = || {
            specs
                .iter()
                .map(LearnedKeySpec::from_spec)
                .collect::<Option<Vec<LearnedKeySpec>>>()
        };
        let keys: Option<Vec<LearnedKeySpec>> = if movable && !specs.is_empty() {
            specified()
        } else if movable && first == 0 {
            None
        } else {
            // The positions say as much about where the keys are, but not what is done with them.
            specified()
                .filter(|keys| first > 0 && !keys.is_empty())
                .or_else(|| {
                    LearnedKeySpec::from_positions(first, last, step)
                        .map(|keys| keys.into_iter().collect())
                })
        };
        let route = route(flags, keys.as_deref());
        LearnedCommand {
            full_name,
            arity,
            flags,
            route,
            keys: keys.unwrap_or_default(),
            options: LearnedOptions::default(),
            container,
        }
    }

    /// As [`crate::command::for_each_key`].
    ///
    /// # Errors
    /// As [`crate::command::for_each_key`].
    pub fn for_each_key(
        &self,
        buf: &[u8],
        args: &[Span],
        mut f: impl FnMut(usize),
    ) -> Result<(), KeyError> {
        for keys in &self.keys {
            let found = keys.positions(buf, args)?;
            // A count of none is right where all keys are counted, and an error where it is to fill another key.
            if found.len() == 0 && self.keys.len() > 1 && keys.is_counted() {
                return Err(KeyError::NumKeys);
            }
        }
        for keys in &self.keys {
            keys.positions(buf, args)?.for_each(&mut f);
        }
        Ok(())
    }

    /// As [`LearnedCommand::for_each_key`], of the keys that it may leave without an expiry: all keys if the server
    /// does not say.
    ///
    /// # Errors
    /// As [`crate::command::for_each_key`].
    pub fn for_each_written_key(
        &self,
        buf: &[u8],
        args: &[Span],
        mut f: impl FnMut(usize),
    ) -> Result<(), KeyError> {
        for keys in self.keys.iter().filter(|keys| keys.writes()) {
            keys.positions(buf, args)?.for_each(&mut f);
        }
        Ok(())
    }

    /// Whether a keyword in front of its keys occurs more than once, so that the keys may differ from those that the
    /// server reports.
    pub fn is_ambiguous(&self, buf: &[u8], args: &[Span]) -> bool {
        self.keys.iter().any(|keys| keys.is_ambiguous(buf, args))
    }

    /// The place of its first option in a request: after its keys and operands.
    pub fn first_option(&self, buf: &[u8], args: &[Span]) -> usize {
        let mut last_key = 0;
        // Without its keys it has no options either.
        let _ = self.for_each_key(buf, args, |at| last_key = last_key.max(at));
        first_option(&self.options, self.arity, last_key, args)
    }

    /// Whether all of its options are known.
    pub fn knows_options(&self) -> bool {
        matches!(self.options, LearnedOptions::Known(_))
    }

    /// The number of arguments of its option with this word. `None`: there is none, as far as its options are known.
    pub fn option_takes(&self, word: &[u8]) -> Option<usize> {
        match &self.options {
            LearnedOptions::Known(grammar) => grammar.takes(word),
            LearnedOptions::Undescribed | LearnedOptions::WithoutTtl => None,
        }
    }

    /// Its effect on the lifetime of its keys, as far as it is known.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::of_unknown(self.flags)
    }

    /// As [`crate::command::CommandRef::has_keys`].
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// As [`crate::command::Command::is_write`].
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE) || (!self.keys.is_empty() && !self.is_readonly())
    }

    /// As [`crate::command::Command::is_readonly`].
    pub fn is_readonly(&self) -> bool {
        self.flags.contains(Flags::READONLY)
    }

    /// As [`crate::command::Command::arity_ok`].
    pub fn arity_ok(&self, argc: usize) -> bool {
        arity_ok(self.arity, argc)
    }

    /// As [`crate::command::arity_error`].
    pub fn arity_error(&self) -> String {
        error::arity_error_of(&self.full_name)
    }
}

/// The route of a command of which only its flags and keys are known. A command that may leave a trace in its connection,
/// block it or turn it into a stream must not be forwarded, so only commands that look harmless are sent.
fn route(flags: Flags, keys: Option<&[LearnedKeySpec]>) -> Route {
    const STATEFUL: Flags = Flags::NO_AUTH.union(Flags::NO_MULTI).union(Flags::ASKING);
    const STREAM: Flags = Flags::PUBSUB.union(Flags::BLOCKING);
    // Commands like CLIENT, WATCH and AUTH are barred from scripts. So are scripts themselves, which say that their
    // keys move, and some reads and writes, which say what they are.
    const ACCOUNTED: Flags = Flags::WRITE
        .union(Flags::READONLY)
        .union(Flags::MOVABLE_KEYS)
        .union(Flags::NO_MANDATORY_KEYS);
    if flags.contains(Flags::ADMIN) {
        Route::Refused(ONE_NODE)
    } else if flags.intersects(STATEFUL.union(STREAM))
        || (flags.contains(Flags::NOSCRIPT) && !flags.intersects(ACCOUNTED))
    {
        Route::Refused(CONNECTION_STATE)
    } else {
        match keys {
            None => Route::Refused(HIDDEN_KEYS),
            Some([]) if flags.contains(Flags::READONLY) => Route::AnyNode,
            Some([]) => Route::Refused(KEYLESS),
            Some(_) => Route::Keyed,
        }
    }
}
