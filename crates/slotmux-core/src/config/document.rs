//! The file as a tree of [`ConfigValue`]s that know their line and column, with `${VARIABLE}`s expanded.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::Lines;
use super::problem::{Origin, Reading};
use super::value::{ConfigValue, TableEntry, ValueData};

/// The surroundings of a value that its conversion needs.
struct Document<'a> {
    name: Arc<str>,
    text: &'a str,
    lines: Lines<'a>,
    env: &'a BTreeMap<String, String>,
}

/// The whole file as one table, and whether its syntax is correct. Syntax errors are noted; the parts that could be
/// read are returned.
pub(super) fn parse(
    name: &str,
    text: &str,
    env: &BTreeMap<String, String>,
    reading: &mut Reading,
) -> (ConfigValue, bool) {
    let document = Document {
        name: name.into(),
        text,
        lines: Lines::new(text),
        env,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let is_whole = errors.is_empty();
    for error in errors {
        let at = document.place(error.span().unwrap_or_default());
        let orphans = match at {
            Origin::File { line, .. } => document.orphans(line),
            _ => None,
        };
        reading.syntax(at, error.message(), orphans);
    }
    let data = document.table("", table.get_ref(), reading);
    (
        ConfigValue {
            key: String::new(),
            origin: document.place(0..0),
            data,
        },
        is_whole,
    )
}

impl Document<'_> {
    fn place(&self, span: Range<usize>) -> Origin {
        let (line, column) = self.lines.place(span.start);
        Origin::File {
            name: self.name.clone(),
            line,
            column,
        }
    }

    /// The lines that follow a broken `[header` at `line`, up to the next header: their section is unknown.
    fn orphans(&self, line: usize) -> Option<RangeInclusive<usize>> {
        let is_header = |text: &str| text.trim_start().starts_with('[');
        let mut lines = self.text.get(self.lines.start(line)..)?.lines();
        is_header(lines.next()?)
            .then(|| line..=line + lines.take_while(|text| !is_header(text)).count())
    }

    fn table(&self, key: &str, table: &DeTable<'_>, reading: &mut Reading) -> ValueData {
        let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name_text: &str = AsRef::<str>::as_ref(name.get_ref());
            let path = if key.is_empty() {
                name_text.to_owned()
            } else {
                format!("{key}.{name_text}")
            };
            TableEntry {
                name: name_text.to_owned(),
                origin: self.place(name.span()),
                value: self.value(path, value, reading),
            }
        };
        ValueData::Table(table.iter().map(entry).collect())
    }

    fn value(
        &self,
        key: String,
        value: &Spanned<DeValue<'_>>,
        reading: &mut Reading,
    ) -> ConfigValue {
        let origin = self.place(value.span());
        let data = match value.get_ref() {
            DeValue::String(text) => match expand(text, self.env) {
                Ok(None) => ValueData::Text(text.to_string()),
                Ok(Some(expanded)) => ValueData::Word(expanded),
                Err(why) => {
                    reading.problem(
                        &origin,
                        format!("{}: {why}", super::problem::without_indices(&key)),
                    );
                    ValueData::Broken
                }
            },
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => ValueData::Integer(number),
                    Err(_) => ValueData::Other("a number beyond 64 bits"),
                }
            }
            DeValue::Array(values) => {
                // Only sections have an index: an element of a plain list has the name of its list.
                let element = |(i, value): (usize, &Spanned<DeValue<'_>>)| {
                    let path = if value.get_ref().is_table() {
                        format!("{key}[{i}]")
                    } else {
                        key.clone()
                    };
                    self.value(path, value, reading)
                };
                ValueData::List(values.iter().enumerate().map(element).collect())
            }
            DeValue::Table(table) => self.table(&key, table, reading),
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => ValueData::Float(number),
                Err(_) => ValueData::Other("a fraction"),
            },
            DeValue::Boolean(boolean) => ValueData::Boolean(*boolean),
            DeValue::Datetime(_) => ValueData::Other("a date"),
        };
        ConfigValue { key, origin, data }
    }
}

/// `text` with each `${NAME}` and `${NAME:-default}` replaced; `None` if it has none. An empty variable counts as one
/// that is not set. `$${` stands for `${` itself.
fn expand(text: &str, env: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (reference, after) = after.split_once('}').ok_or("a \"${\" without its \"}\"")?;
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(letters) {
            return Err(format!("\"${{{name}}}\" names no environment variable"));
        }
        match (env.get(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the environment variable {name} is not set; \"${{{name}:-}}\" allows for that"
                ));
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Some(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_strings() {
        let env = BTreeMap::from(
            [("A", "1"), ("B_2", "${A}"), ("EMPTY", "")].map(|(k, v)| (k.into(), v.into())),
        );
        for (text, expanded) in [
            ("plain $A", None),
            ("${A}", Some("1")),
            ("x${A}y${A}z", Some("x1y1z")),
            ("${B_2}", Some("${A}")),
            ("${NO:-}", Some("")),
            ("${NO:-a:-b}", Some("a:-b")),
            ("${EMPTY:-b}", Some("b")),
            ("${A:-b}", Some("1")),
            ("$${A} ${A}", Some("${A} 1")),
        ] {
            assert_eq!(
                expand(text, &env),
                Ok(expanded.map(str::to_owned)),
                "{text:?}"
            );
        }
        for text in ["${", "${A", "${}", "${A B}", "${NO}", "${EMPTY}", "${:-x}"] {
            assert!(expand(text, &env).is_err(), "{text:?}");
        }
    }

    #[test]
    fn places_count_characters() {
        let document = Document {
            name: "f".into(),
            text: "a\nbü = 1\n",
            lines: Lines::new("a\nbü = 1\n"),
            env: &BTreeMap::new(),
        };
        for (offset, at) in [(0, "f:1:1"), (2, "f:2:1"), (5, "f:2:3"), (99, "f:3:1")] {
            assert_eq!(document.place(offset..offset).to_string(), at);
        }
    }
}
