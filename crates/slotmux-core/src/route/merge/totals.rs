//! MEMORY STATS over several nodes.

use super::map_like;
use crate::resp::{integer_of, pairs_of, text_of, write};

/// Fields that are a mean over the keys, and the field with the number of keys.
const PER_KEY: (&[u8], &[u8]) = (b"keys.bytes-per-key", b"keys.count");

/// A map with the fields of all: integers are added up, maps are joined in the same way, and of ratios the largest counts.
pub fn totals(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    join(&parts, out, 0)
}

/// Maps within maps that are followed. A node has two.
const DEEPEST: usize = 4;

fn join(parts: &[&[u8]], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    let maps = parts.iter().map(|part| pairs_of(part));
    let maps: Vec<Vec<(&[u8], &[u8])>> = maps.collect::<Option<_>>()?;
    let mut names: Vec<&[u8]> = Vec::new();
    for (name, _) in maps.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    map_like(parts.first()?, names.len(), out);
    let values = |name: &[u8]| -> Vec<&[u8]> {
        let fields = maps.iter().flatten().filter(|(other, _)| *other == name);
        fields.map(|(_, value)| *value).collect()
    };
    for name in names {
        out.extend_from_slice(name);
        let values = values(name);
        if text_of(name) == Some(PER_KEY.0) {
            write::integer(out, mean(&maps)?);
        } else if integer_of(values[0]).is_some() {
            let mut numbers = values.iter().map(|value| integer_of(value));
            write::integer(
                out,
                numbers.try_fold(0i64, |sum, number| sum.checked_add(number?))?,
            );
        } else if matches!(values[0].first(), Some(b'*' | b'%')) && depth < DEEPEST {
            join(&values, out, depth + 1)?;
        } else {
            let largest = values.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)))?;
            out.extend_from_slice(largest);
        }
    }
    Some(())
}

/// The number in a double: a text in RESP2.
fn ratio(value: &[u8]) -> f64 {
    let text = match value.strip_prefix(b",") {
        Some(double) => double.strip_suffix(b"\r\n"),
        None => text_of(value),
    };
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The mean bytes per key over the keys of all.
fn mean(maps: &[Vec<(&[u8], &[u8])>]) -> Option<i64> {
    let of = |map: &[(&[u8], &[u8])], name: &[u8]| {
        let mut fields = map.iter();
        let field = fields.find(|(other, _)| text_of(other) == Some(name));
        field.and_then(|(_, value)| integer_of(value))
    };
    let (mut bytes, mut keys) = (0i128, 0i128);
    for map in maps {
        let (each, count) = (of(map, PER_KEY.0)?, of(map, PER_KEY.1)?);
        bytes += i128::from(each) * i128::from(count);
        keys += i128::from(count);
    }
    i64::try_from(bytes.checked_div(keys).unwrap_or(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{bytes, reply};
    use super::*;

    #[test]
    fn counts_are_added_up_and_ratios_are_the_largest() {
        for (ratios, is_resp3) in [
            (["1.5", "10.25", "10.25"], false),
            ([",1.5", ",10.25", ",10.25"], true),
        ] {
            let map = |count: u32, each: u32, ratio: &str, more: &str| {
                let text = format!(
                    "{{keys.count {count} keys.bytes-per-key {each} fragmentation {ratio} {more}}}"
                );
                reply(&text, is_resp3)
            };
            let parts = [
                map(10, 100, ratios[0], ""),
                map(0, 0, ratios[1], "db.0 {main 3}"),
                map(30, 20, ratios[0], "db.0 {main 4 expires 1}"),
            ];
            let mut out = Vec::new();
            assert_eq!(
                totals(&bytes(&parts.each_ref().map(String::as_str)), &mut out),
                Some(())
            );
            let expected = map(40, 40, ratios[2], "db.0 {main 7 expires 1}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for wrong in ["x", "[1]", "{a 1}"] {
            let parts = [reply(wrong, false), reply("{a x}", false)];
            let parts = bytes(&parts.each_ref().map(String::as_str));
            assert_eq!(totals(&parts, &mut Vec::new()), None, "{wrong:?}");
        }
    }
}
