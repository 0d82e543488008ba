//! The options of a learned command, as the upstream's `COMMAND DOCS` describes its arguments.

use redis::Value;

use super::value::{elements, field, text};
use crate::c_string;
use crate::resp::Span;

/// The known options of a learned command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum LearnedOptions {
    /// Nothing: it has no description, or one that does not tell where options end and values begin.
    #[default]
    Undescribed,
    /// None of them is about the TTL of a key; the TTLs of fields are not.
    WithoutTtl,
    /// All of them.
    Known(OptionGrammar),
}

/// The options of a command, in any order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OptionGrammar {
    operands: Operands,
    /// The words, each with its number of arguments.
    words: Vec<(Box<[u8]>, usize)>,
}

/// The operands before the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// So many arguments.
    Fixed(usize),
    /// Something for each of its counted keys, the last thing being an argument.
    PerKey,
}

impl LearnedOptions {
    /// From the entry of a command in the reply to `COMMAND DOCS`.
    pub(super) fn from_docs(docs: &Value) -> LearnedOptions {
        let Some(arguments) = field(docs, "arguments") else {
            return LearnedOptions::Undescribed;
        };
        let arguments = elements(arguments);
        let mut named = Vec::new();
        arguments
            .iter()
            .for_each(|argument| tokens(argument, &mut named));
        let has = |word: &[u8]| named.iter().any(|name| name.eq_ignore_ascii_case(word));
        let states_ttl = [&b"EX"[..], b"PX", b"EXAT", b"PXAT", b"PERSIST", b"KEEPTTL"];
        if !states_ttl.iter().any(|word| has(word)) || has(b"FIELDS") {
            return LearnedOptions::WithoutTtl;
        }
        OptionGrammar::new(arguments).map_or(LearnedOptions::Undescribed, LearnedOptions::Known)
    }
}

impl OptionGrammar {
    /// `None`: the number of arguments of something is open, or a value follows an option.
    fn new(arguments: &[Value]) -> Option<OptionGrammar> {
        let is_operand = |argument: &&Value| {
            let mut named = Vec::new();
            tokens(argument, &mut named);
            named.is_empty() && !has_flag(argument, b"optional")
        };
        let operands = arguments.iter().take_while(is_operand).count();
        let (operands, options) = arguments.split_at(operands);
        let is_open = |argument: &Value| {
            has_flag(argument, b"multiple") || field(argument, "arguments").is_some()
        };
        let operands = match operands {
            [.., last] if is_open(last) && !operands[..operands.len() - 1].iter().any(is_open) => {
                Operands::PerKey
            }
            _ if operands.iter().any(is_open) => return None,
            _ => Operands::Fixed(operands.len()),
        };
        let mut words = Vec::new();
        for option in options {
            read_option(option, &mut words)?;
        }
        Some(OptionGrammar { operands, words })
    }

    pub(super) fn operands(&self) -> Operands {
        self.operands
    }

    /// The number of arguments of the option with this word.
    pub(super) fn takes(&self, word: &[u8]) -> Option<usize> {
        let mut words = self.words.iter();
        let found = words.find(|(known, _)| c_string::is(word, known));
        found.map(|(_, takes)| *takes)
    }
}

/// The words of an argument, and of those in it.
fn tokens<'a>(argument: &'a Value, found: &mut Vec<&'a [u8]>) {
    found.extend(field(argument, "token").and_then(text));
    // Servers describe a few levels; the reply's own reader bounds them.
    for inner in field(argument, "arguments").map_or(&[][..], elements) {
        tokens(inner, found);
    }
}

/// Adds the words of one option, which has one word or is a choice of several.
fn read_option(option: &Value, words: &mut Vec<(Box<[u8]>, usize)>) -> Option<()> {
    let kind = field(option, "type").and_then(text)?;
    let inner = field(option, "arguments").map_or(&[][..], elements);
    let token = field(option, "token").and_then(text);
    if has_flag(option, b"multiple") && !has_flag(option, b"multiple_token") {
        return None;
    }
    match (kind, token) {
        (b"pure-token", Some(token)) => words.push((token.into(), 0)),
        (b"oneof", None) => {
            for choice in inner {
                read_option(choice, words)?;
            }
        }
        (b"block", Some(token)) => words.push((token.into(), plain_values(inner)?)),
        (b"block", None) => {
            let (first, rest) = inner.split_first()?;
            let before = words.len();
            read_option(first, words)?;
            let [(_, takes)] = words.get_mut(before..)? else {
                return None;
            };
            *takes += plain_values(rest)?;
        }
        (b"oneof", Some(_)) | (_, None) => return None,
        (_, Some(token)) => words.push((token.into(), 1)),
    }
    Some(())
}

/// The number of these arguments, if each is one value.
fn plain_values(arguments: &[Value]) -> Option<usize> {
    let is_plain = |argument: &Value| {
        let is_value = ["token", "arguments"]
            .iter()
            .all(|name| field(argument, name).is_none());
        is_value && !has_flag(argument, b"optional") && !has_flag(argument, b"multiple")
    };
    arguments.iter().all(is_plain).then_some(arguments.len())
}

fn has_flag(argument: &Value, flag: &[u8]) -> bool {
    let flags = field(argument, "flags").map_or(&[][..], elements);
    flags.iter().filter_map(text).any(|word| word == flag)
}

/// The place of the first option, after the keys and the operands: of a command without description after as many
/// arguments as it needs at least.
pub(super) fn first_option(
    options: &LearnedOptions,
    arity: i16,
    last_key: usize,
    args: &[Span],
) -> usize {
    match options {
        LearnedOptions::Known(grammar) => match grammar.operands() {
            Operands::Fixed(operands) => 1 + operands,
            Operands::PerKey => last_key + 2,
        },
        LearnedOptions::WithoutTtl => args.len(),
        // A fixed number of arguments leaves no room for options.
        LearnedOptions::Undescribed if arity > 0 => args.len(),
        LearnedOptions::Undescribed => usize::from(arity.unsigned_abs()).max(last_key + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{map, words};
    use super::*;

    /// An argument: `name:type[:TOKEN][:flag …]`, and those in it.
    fn argument(line: &str, inner: Vec<Value>, resp3: bool) -> Value {
        let mut parts = line.split(':');
        let bulk = |word: &str| Value::BulkString(word.into());
        let mut fields = vec![("name", bulk(parts.next().unwrap_or_default()))];
        fields.push(("type", bulk(parts.next().unwrap_or_default())));
        if let Some(token) = parts.next().filter(|token| !token.is_empty()) {
            fields.push(("token", bulk(token)));
        }
        if let Some(flags) = parts.next() {
            fields.push(("flags", Value::Array(words(flags))));
        }
        if !inner.is_empty() {
            fields.push(("arguments", Value::Array(inner)));
        }
        map(resp3, fields)
    }

    fn options(arguments: Vec<Value>, resp3: bool) -> LearnedOptions {
        let docs = map(resp3, vec![("arguments", Value::Array(arguments))]);
        LearnedOptions::from_docs(&docs)
    }

    fn known(options: &LearnedOptions) -> (Operands, Vec<String>) {
        let LearnedOptions::Known(grammar) = options else {
            panic!("{options:?}");
        };
        let shown = |(word, takes): &(Box<[u8]>, usize)| format!("{} {takes}", word.escape_ascii());
        (grammar.operands, grammar.words.iter().map(shown).collect())
    }

    #[test]
    fn options_in_the_shape_of_newer_commands() {
        for resp3 in [false, true] {
            let one = |line: &str| argument(line, Vec::new(), resp3);
            let expiry = || {
                let choices = [
                    "s:integer:EX",
                    "ms:integer:PX",
                    "persist:pure-token:PERSIST",
                ];
                argument("expiration:oneof::optional", choices.map(one).into(), resp3)
            };
            let like_increx = options(
                vec![
                    one("key:key"),
                    one("by:double:BYFLOAT:optional"),
                    argument(
                        "limit:block:LIMIT:optional",
                        vec![one("from:integer"), one("count:integer")],
                        resp3,
                    ),
                    argument(
                        "range:block::optional",
                        vec![one("low:integer:BETWEEN"), one("high:integer")],
                        resp3,
                    ),
                    one("get:string:GET:optional multiple multiple_token"),
                    expiry(),
                ],
                resp3,
            );
            let expected = [
                "BYFLOAT 1",
                "LIMIT 2",
                "BETWEEN 2",
                "GET 1",
                "EX 1",
                "PX 1",
                "PERSIST 0",
            ];
            assert_eq!(
                known(&like_increx),
                (Operands::Fixed(1), expected.map(str::to_owned).into())
            );
            let like_msetex = options(
                vec![
                    one("numkeys:integer"),
                    argument(
                        "data:block::multiple",
                        vec![one("key:key"), one("value:string")],
                        resp3,
                    ),
                    expiry(),
                ],
                resp3,
            );
            assert_eq!(known(&like_msetex).0, Operands::PerKey);
            let fields = argument(
                "fields:block:FIELDS",
                vec![one("field:string::multiple")],
                resp3,
            );
            assert_eq!(
                options(vec![one("key:key"), expiry(), fields], resp3),
                LearnedOptions::WithoutTtl
            );
            assert_eq!(
                options(vec![one("key:key"), one("value:string")], resp3),
                LearnedOptions::WithoutTtl
            );
            // A value behind the options, and a number of values that is open.
            for last in [
                "value:string",
                "values:string:VALUES:multiple",
                "kind:oneof:KIND",
            ] {
                assert_eq!(
                    options(vec![one("key:key"), expiry(), one(last)], resp3),
                    LearnedOptions::Undescribed,
                    "{last}"
                );
            }
        }
        assert_eq!(
            LearnedOptions::from_docs(&Value::Nil),
            LearnedOptions::Undescribed
        );
    }
}
