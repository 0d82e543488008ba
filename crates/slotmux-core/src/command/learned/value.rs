//! The values within the `COMMAND` reply, in RESP2 and in RESP3.

use redis::Value;

/// The elements of an array or a set; none of anything else.
pub(super) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) | Value::Set(elements) => elements,
        _ => &[],
    }
}

pub(super) fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

/// The value of a field of a map, which in RESP2 is an array of names and values.
pub(super) fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let is = |key: &Value| text(key) == Some(name.as_bytes());
    match map {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(key, _)| is(key))
            .map(|(_, value)| value),
        _ => elements(map)
            .chunks_exact(2)
            .find(|pair| is(&pair[0]))
            .map(|pair| &pair[1]),
    }
}

/// The pairs of a map, which in RESP2 is an array of names and values.
pub(super) fn entries(map: &Value) -> Vec<(&Value, &Value)> {
    match map {
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
        _ => {
            let pairs = elements(map).chunks_exact(2);
            pairs.map(|pair| (&pair[0], &pair[1])).collect()
        }
    }
}

/// The fields `type` and `spec` of a half of a key specification.
pub(super) fn typed(half: &Value) -> Option<(&[u8], &Value)> {
    Some((text(field(half, "type")?)?, field(half, "spec")?))
}
