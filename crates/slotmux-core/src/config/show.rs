//! Writes the configuration in force as an equivalent file, each value in the form that a file takes. Passwords are not
//! written.

use super::keys;
use super::origins::Origins;
use super::section::{KeyContent, SectionKey};
use super::{Config, Origin};

/// Placeholder of a password.
const REDACTED: &str = "***";

/// Where the comments with the origins start, unless a line is longer.
const COMMENT_COLUMN: usize = 44;

/// One line of a shown configuration.
pub(super) enum ShownLine {
    /// The head of a section, in its brackets.
    Head(String),
    /// A key with its value.
    Setting(ShownSetting),
}

/// A key with its value.
pub(super) struct ShownSetting {
    name: &'static str,
    /// Its whole name with the numbers of its sections: `listener[0].limits.max_args`.
    pub(super) key: String,
    /// Its whole name with the names of its sections: `listener.main.limits.max_args`.
    pub(super) named: String,
    pub(super) value: String,
}

/// A section while it is written: the names of its head and of the keys below it.
pub(super) struct SectionPlace {
    head: String,
    key: String,
    named: String,
    is_one_of_many: bool,
}

impl SectionPlace {
    fn root() -> SectionPlace {
        SectionPlace {
            head: String::new(),
            key: String::new(),
            named: String::new(),
            is_one_of_many: false,
        }
    }

    fn below(&self, name: &str) -> SectionPlace {
        SectionPlace {
            head: join(&self.head, name),
            key: join(&self.key, name),
            named: join(&self.named, name),
            is_one_of_many: false,
        }
    }

    fn one_of_many(&self, number: usize, name: Option<&str>) -> SectionPlace {
        SectionPlace {
            head: self.head.clone(),
            key: format!("{}[{number}]", self.key),
            named: name.map_or_else(|| self.named.clone(), |name| join(&self.named, name)),
            is_one_of_many: true,
        }
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// Writes a section: its values first, then the sections below it, as TOML requires.
pub(super) fn show_section<T>(
    part: &T,
    keys: &[SectionKey<T>],
    at: &SectionPlace,
    out: &mut Vec<ShownLine>,
) {
    let values = keys.iter().filter_map(|key| match key.content {
        KeyContent::Value(show) => Some(ShownSetting {
            name: key.name,
            key: join(&at.key, key.name),
            named: join(&at.named, key.name),
            value: show(part),
        }),
        _ => None,
    });
    let mut values = values.peekable();
    if at.is_one_of_many {
        out.push(ShownLine::Head(format!("[[{}]]", at.head)));
    } else if values.peek().is_some() {
        out.push(ShownLine::Head(format!("[{}]", at.head)));
    }
    out.extend(values.map(ShownLine::Setting));
    for key in keys {
        if let KeyContent::Section { show, .. } = key.content {
            show(part, &at.below(key.name), out);
        }
    }
}

/// Writes a section that may stand several times; the keys below it carry its name.
pub(super) fn show_each<T>(
    parts: &[T],
    name: fn(&T) -> &str,
    keys: &[SectionKey<T>],
    at: &SectionPlace,
    out: &mut Vec<ShownLine>,
) {
    for (number, part) in parts.iter().enumerate() {
        show_section(part, keys, &at.one_of_many(number, Some(name(part))), out);
    }
}

/// Writes a section that exists once although a file writes it in double brackets.
pub(super) fn show_only<T>(
    part: &T,
    keys: &[SectionKey<T>],
    at: &SectionPlace,
    out: &mut Vec<ShownLine>,
) {
    show_section(part, keys, &at.one_of_many(0, None), out);
}

/// Every line of the whole configuration.
pub(super) fn lines(config: &Config) -> Vec<ShownLine> {
    let mut lines = Vec::new();
    keys::show(config, &SectionPlace::root(), &mut lines);
    lines
}

/// The whole configuration as a file; with `origins` each value has its origin in a comment.
pub fn show(config: &Config, origins: Option<&Origins>) -> String {
    let mut page = String::new();
    for line in lines(config) {
        match line {
            ShownLine::Head(head) => {
                if !page.is_empty() {
                    page.push('\n');
                }
                page.push_str(&head);
            }
            ShownLine::Setting(setting) => {
                let code = format!("{} = {}", setting.name, setting.value);
                match origins.map(|origins| origins.of(&setting.named)) {
                    Some(origin) => page.push_str(&commented(&code, origin)),
                    None => page.push_str(&code),
                }
            }
        }
        page.push('\n');
    }
    page
}

fn commented(code: &str, origin: &Origin) -> String {
    format!("{code:<width$} # {origin}", width = COMMENT_COLUMN - 1)
}

/// A string in quotes, as a file writes it. A value in force contains no references: "${" is written as "$${".
pub(super) fn text(text: &str) -> String {
    name(&text.replace("${", "$${"))
}

/// The name of a key in quotes. In a name there are no references.
pub(super) fn name(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of strings.
pub(super) fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|t| text(t.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// One placeholder per password.
pub(super) fn redacted(count: usize) -> String {
    texts(std::iter::repeat_n(REDACTED, count))
}

/// The name of a choice.
pub(super) fn choice<T: PartialEq>(choices: &[(&'static str, T)], chosen: &T) -> String {
    let name = choices.iter().find(|(_, choice)| choice == chosen);
    text(name.map_or("", |(name, _)| *name))
}

/// The value, or the word that stands for its absence.
pub(super) fn or_word<T>(value: Option<T>, word: &str, show: fn(T) -> String) -> String {
    value.map_or_else(|| text(word), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_toml_wants_it() {
        for (plain, quoted) in [
            ("", r#""""#),
            ("a:b", r#""a:b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\nb\tc\u{7f}", r#""a\nb\tc\u007F""#),
            ("$a ${b} $${c}", r#""$a $${b} $$${c}""#),
            ("ü", "\"ü\""),
        ] {
            assert_eq!(text(plain), quoted);
            let document = format!("a = {quoted}");
            let read: toml::Table = document.parse().unwrap();
            assert!(read["a"].is_str(), "{document}");
        }
        assert_eq!(name("${a}\""), r#""${a}\"""#);
        assert_eq!(texts(["a", "b"]), r#"["a", "b"]"#);
        assert_eq!(redacted(2), r#"["***", "***"]"#);
    }
}
