//! One value from any source, and the functions that read it as a typed one. A failed reading notes the reason and returns
//! `None`; the key then keeps its value.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{Origin, Reading, without_indices};
use super::suggest::nearest;
use crate::units;

/// A value with its key and its origin.
#[derive(Clone)]
pub(super) struct ConfigValue {
    /// The whole key with the indices of its sections: `listener[0].limits.max_args`.
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) data: ValueData,
}

#[derive(Clone)]
pub(super) enum ValueData {
    /// A string of the file.
    Text(String),
    /// Text of a variable or flag, or with an expanded variable; it may be a number too.
    Word(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A duration that its variable counts in seconds.
    Duration(Duration),
    List(Vec<ConfigValue>),
    Table(Vec<TableEntry>),
    /// A type that no key takes, by its name.
    Other(&'static str),
    /// A value with a problem that is noted already.
    Broken,
}

/// One key of a table: its name, where the name is, and its value.
#[derive(Clone)]
pub(super) struct TableEntry {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) value: ConfigValue,
}

impl ConfigValue {
    /// Notes a problem with this value.
    pub(super) fn wrong(&self, reading: &mut Reading, text: impl fmt::Display) {
        reading.problem(
            &self.origin,
            format!("{}: {text}", without_indices(&self.key)),
        );
    }

    /// Notes that the value is of the wrong type. The value itself is not repeated: it may be a password.
    pub(super) fn mistyped(&self, reading: &mut Reading, expected: &str) {
        let got = match self.data {
            ValueData::Text(_) | ValueData::Word(_) => "a string",
            ValueData::Integer(_) => "an integer",
            ValueData::Float(_) => "a fraction",
            ValueData::Boolean(_) => "a boolean",
            ValueData::Duration(_) => "a number of seconds",
            ValueData::List(_) => "a list",
            ValueData::Table(_) => "a table",
            ValueData::Other(name) => name,
            ValueData::Broken => return,
        };
        self.wrong(reading, format_args!("expected {expected}, got {got}"));
    }

    /// Any string.
    pub(super) fn text(&self, reading: &mut Reading, expected: &str) -> Option<&str> {
        match &self.data {
            ValueData::Text(text) | ValueData::Word(text) => Some(text),
            _ => {
                self.mistyped(reading, expected);
                None
            }
        }
    }

    /// A name: not empty, without spaces and control characters.
    pub(super) fn name(&self, reading: &mut Reading) -> Option<String> {
        let name = self.text(reading, "a name in quotes")?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.wrong(
                reading,
                format_args!("{name:?} is not a name: a name has letters and no spaces"),
            );
            return None;
        }
        Some(name.to_owned())
    }

    /// A whole number.
    pub(super) fn integer<T>(&self, range: RangeInclusive<T>, reading: &mut Reading) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        self.integer_as("a whole number", range, reading)
    }

    /// A whole number, or `"auto"`, which is `Some(None)`.
    pub(super) fn integer_or_auto<T>(
        &self,
        range: RangeInclusive<T>,
        reading: &mut Reading,
    ) -> Option<Option<T>>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        match &self.data {
            ValueData::Text(text) | ValueData::Word(text) if text == "auto" => Some(None),
            _ => self
                .integer_as("a whole number or \"auto\"", range, reading)
                .map(Some),
        }
    }

    fn integer_as<T>(
        &self,
        expected: &str,
        range: RangeInclusive<T>,
        reading: &mut Reading,
    ) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let number = match &self.data {
            ValueData::Integer(number) => *number,
            ValueData::Word(text) => match text.trim().parse() {
                Ok(number) => number,
                Err(_) => {
                    self.wrong(reading, format_args!("expected {expected}, got {text:?}"));
                    return None;
                }
            },
            ValueData::Text(text) => {
                self.wrong(
                    reading,
                    format_args!("expected {expected}, got the string {text:?}"),
                );
                return None;
            }
            _ => {
                self.mistyped(reading, expected);
                return None;
            }
        };
        let typed = T::try_from(number)
            .ok()
            .filter(|typed| range.contains(typed));
        if typed.is_none() {
            let (low, high) = (range.start(), range.end());
            self.wrong(
                reading,
                format_args!("{number} is out of range: {low} to {high}"),
            );
        }
        typed
    }

    /// A duration with its unit.
    pub(super) fn duration(
        &self,
        range: RangeInclusive<Duration>,
        reading: &mut Reading,
    ) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"250ms\", \"5s\" or \"12h\"";
        let duration = match &self.data {
            ValueData::Duration(duration) => *duration,
            ValueData::Text(text) | ValueData::Word(text) => match units::duration(text) {
                Some(duration) => duration,
                None => {
                    self.wrong(reading, format_args!("expected {EXPECTED}, got {text:?}"));
                    return None;
                }
            },
            _ => {
                self.mistyped(reading, EXPECTED);
                return None;
            }
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let [low, high] = [range.start(), range.end()].map(|end| units::show_duration(*end));
        self.wrong(
            reading,
            format_args!(
                "{} is out of range: {low} to {high}",
                units::show_duration(duration)
            ),
        );
        None
    }

    /// A duration, or `"none"` or zero, which are `Some(None)`.
    pub(super) fn duration_or_none(
        &self,
        range: RangeInclusive<Duration>,
        reading: &mut Reading,
    ) -> Option<Option<Duration>> {
        match &self.data {
            ValueData::Integer(0) | ValueData::Duration(Duration::ZERO) => Some(None),
            ValueData::Text(text) | ValueData::Word(text)
                if is_none(text) || units::duration(text) == Some(Duration::ZERO) =>
            {
                Some(None)
            }
            _ => self.duration(range, reading).map(Some),
        }
    }

    /// A number of bytes with its unit.
    pub(super) fn size(&self, range: RangeInclusive<u64>, reading: &mut Reading) -> Option<u64> {
        const EXPECTED: &str = "a size such as \"64KiB\" or \"8MiB\"";
        let text = self.text(reading, EXPECTED)?;
        let Some(size) = units::size(text) else {
            self.wrong(reading, format_args!("expected {EXPECTED}, got {text:?}"));
            return None;
        };
        if range.contains(&size) {
            return Some(size);
        }
        let [low, high] = [range.start(), range.end()].map(|end| units::show_size(*end));
        self.wrong(
            reading,
            format_args!(
                "{} is out of range: {low} to {high}",
                units::show_size(size)
            ),
        );
        None
    }

    /// A number of bytes that a `usize` holds.
    pub(super) fn bytes(&self, range: RangeInclusive<u64>, reading: &mut Reading) -> Option<usize> {
        usize::try_from(self.size(range, reading)?).ok()
    }

    /// A number of bytes, or `"none"` or zero, which are `Some(None)`.
    pub(super) fn size_or_none(
        &self,
        range: RangeInclusive<u64>,
        reading: &mut Reading,
    ) -> Option<Option<u64>> {
        match &self.data {
            ValueData::Text(text) | ValueData::Word(text)
                if is_none(text) || units::size(text) == Some(0) =>
            {
                Some(None)
            }
            _ => self.size(range, reading).map(Some),
        }
    }

    /// A number of bytes that a `usize` holds, or `None` as in [`ConfigValue::size_or_none`].
    pub(super) fn bytes_or_none(
        &self,
        range: RangeInclusive<u64>,
        reading: &mut Reading,
    ) -> Option<Option<usize>> {
        match self.size_or_none(range, reading)? {
            Some(size) => usize::try_from(size).ok().map(Some),
            None => Some(None),
        }
    }

    /// Two durations, `"100ms..10s"`, the first not above the second.
    pub(super) fn durations(
        &self,
        range: RangeInclusive<Duration>,
        reading: &mut Reading,
    ) -> Option<(Duration, Duration)> {
        let [low, high] = self.halves("..", "two durations such as \"100ms..10s\"", reading)?;
        let (low, high) = (
            low.duration(range.clone(), reading),
            high.duration(range, reading),
        );
        let (low, high) = (low?, high?);
        if low > high {
            let [low, high] = [low, high].map(units::show_duration);
            self.wrong(
                reading,
                format_args!("the first, {low}, is above the second, {high}"),
            );
            return None;
        }
        Some((low, high))
    }

    /// The two parts around a separator, each as a value with the same key and origin.
    pub(super) fn halves(
        &self,
        separator: &str,
        expected: &str,
        reading: &mut Reading,
    ) -> Option<[ConfigValue; 2]> {
        let text = self.text(reading, expected)?;
        let Some((left, right)) = text.split_once(separator) else {
            self.wrong(reading, format_args!("expected {expected}, got {text:?}"));
            return None;
        };
        Some([left, right].map(|half| ConfigValue {
            data: ValueData::Text(half.trim().to_owned()),
            ..self.clone()
        }))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        reading: &mut Reading,
    ) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", quoted(&names));
        let text = self.text(reading, &expected)?;
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if chosen.is_none() {
            let hint = nearest(text, &names)
                .map(|name| format!("; did you mean {name:?}?"))
                .unwrap_or_default();
            self.wrong(
                reading,
                format_args!("expected {expected}, got {text:?}{hint}"),
            );
        }
        chosen.map(|(_, choice)| *choice)
    }

    /// The elements of a list; anything else counts as a list of itself.
    pub(super) fn elements(&self) -> &[ConfigValue] {
        match &self.data {
            ValueData::List(values) => values,
            _ => std::slice::from_ref(self),
        }
    }

    /// Reads each element with `read`, all of them even after a failure, so that every problem is noted. A list if no
    /// reading failed.
    pub(super) fn list_of<T>(
        &self,
        reading: &mut Reading,
        mut read: impl FnMut(&ConfigValue, &mut Reading) -> Option<T>,
    ) -> Option<Vec<T>> {
        let all: Vec<Option<T>> = self
            .elements()
            .iter()
            .map(|element| read(element, reading))
            .collect();
        all.into_iter().collect()
    }

    /// The entries of a section.
    pub(super) fn entries(&self, reading: &mut Reading) -> Option<&[TableEntry]> {
        match &self.data {
            ValueData::Table(entries) => Some(entries),
            _ => {
                self.mistyped(reading, "a section");
                None
            }
        }
    }
}

/// Whether `text` is the word that switches something off.
pub(super) fn is_none(text: &str) -> bool {
    text == "none"
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}
