//! `COMMAND` replies and requests for the tests of this module.

use redis::Value;

use super::LearnedCommand;
use crate::command::KeyError;
use crate::resp::Span;

pub(super) fn word(word: &str) -> Value {
    Value::SimpleString(word.to_owned())
}

pub(super) fn words(words: &str) -> Vec<Value> {
    words.split_whitespace().map(word).collect()
}

/// The fields of a map: as RESP3 has them, or as RESP2 does.
pub(super) fn map(resp3: bool, fields: Vec<(&str, Value)>) -> Value {
    if resp3 {
        Value::Map(
            fields
                .into_iter()
                .map(|(key, value)| (Value::BulkString(key.into()), value))
                .collect(),
        )
    } else {
        Value::Array(
            fields
                .into_iter()
                .flat_map(|(key, value)| [Value::BulkString(key.into()), value])
                .collect(),
        )
    }
}

/// An entry of the reply: `name arity first last step: flags`.
pub(super) fn entry(line: &str, specs: Vec<Value>, subcommands: Vec<Value>) -> Value {
    let (head, flags) = line.split_once(':').expect("a colon before the flags");
    let mut head = head.split_whitespace();
    let name = Value::BulkString(head.next().expect("a name").into());
    let mut numbers = head.map(|number| Value::Int(number.parse().expect("a number")));
    let arity = numbers.next().expect("an arity");
    let mut fields = vec![name, arity, Value::Set(words(flags))];
    fields.extend(numbers);
    let none = || Value::Array(Vec::new());
    fields.extend([
        none(),
        none(),
        Value::Array(specs),
        Value::Array(subcommands),
    ]);
    Value::Array(fields)
}

pub(super) fn simple(line: &str) -> Value {
    entry(line, Vec::new(), Vec::new())
}

pub(super) type Fields<'a> = (&'a str, Vec<(&'a str, Value)>);

pub(super) fn spec(resp3: bool, begin: Fields<'_>, find: Fields<'_>) -> Value {
    spec_with(resp3, "RW", begin, find)
}

/// A specification with these flags.
pub(super) fn flagged(flags: &str, begin: Fields<'_>, find: Fields<'_>) -> Value {
    spec_with(true, flags, begin, find)
}

fn spec_with(resp3: bool, flags: &str, begin: Fields<'_>, find: Fields<'_>) -> Value {
    let half = |(kind, fields)| {
        map(
            resp3,
            vec![("type", word(kind)), ("spec", map(resp3, fields))],
        )
    };
    map(
        resp3,
        vec![
            ("flags", Value::Array(words(flags))),
            ("begin_search", half(begin)),
            ("find_keys", half(find)),
        ],
    )
}

pub(super) fn keys_of(command: &LearnedCommand, line: &str) -> Result<Vec<String>, KeyError> {
    let (buf, args) = request(line);
    let mut keys = Vec::new();
    command.for_each_key(&buf, &args, |at| {
        keys.push(String::from_utf8_lossy(args[at].of(&buf)).into_owned());
    })?;
    Ok(keys)
}

pub(super) fn request(line: &str) -> (Vec<u8>, Vec<Span>) {
    let mut buf = Vec::new();
    let mut span = |word: &str| {
        let start = buf.len() as u32;
        buf.extend_from_slice(word.as_bytes());
        Span {
            start,
            end: buf.len() as u32,
        }
    };
    let args = line.split_whitespace().map(&mut span).collect();
    (buf, args)
}
