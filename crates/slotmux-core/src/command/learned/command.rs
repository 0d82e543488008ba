//! A command that the table lacks, as one entry of the `COMMAND` reply describes it.

use redis::Value;

use super::keys::LearnedKeySpec;
use super::known::{KnownForm, form_of};
use super::options::{LearnedOptions, first_option};
use super::route::{LearnedRoute, route};
use super::value::{elements, integer, text};
use crate::command::keys::KeyError;
use crate::command::{Flags, Lifetime, arity_ok, error};
use crate::resp::Span;

/// Start of the tip by which a server says that a command concerns more nodes than one.
const REQUEST_POLICY: &[u8] = b"request_policy:";

/// A command that the table lacks.
#[derive(Debug)]
pub struct LearnedCommand {
    /// In lower case; of a subcommand `container|name`.
    pub full_name: String,
    /// As in [`crate::command::Command::arity`].
    pub arity: i16,
    /// As in [`crate::command::Command::flags`].
    pub flags: Flags,
    /// Where it may go.
    pub route: LearnedRoute,
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
        let is_of_module = flags.contains(Flags::MODULE);
        let form = is_of_module.then(|| form_of(&full_name)).flatten();
        let flags = match form {
            Some(KnownForm::Blocks) => flags.union(Flags::BLOCKING),
            _ => flags,
        };
        let keys = form.and_then(KnownForm::keys).or(keys);
        let tips = elements(entry.get(7).unwrap_or(&Value::Nil));
        let spreads = tips
            .iter()
            .filter_map(text)
            .any(|tip| tip.starts_with(REQUEST_POLICY));
        let route = route(flags, keys.as_deref(), form, spreads);
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

    /// The number of arguments of its option with this word. `None`: no known option has this word.
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

    /// Whether it may block its connection.
    pub fn blocks(&self) -> bool {
        self.flags.contains(Flags::BLOCKING)
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
