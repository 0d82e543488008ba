//! A reply as a tree, for the few that slotmux composes of many parts.

use super::{Protocol, write};

/// A reply, or an element of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tree {
    /// A bulk string.
    Text(Vec<u8>),
    /// An integer.
    Number(i64),
    /// An array.
    List(Vec<Tree>),
    /// A map, whose order is kept.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A bulk string.
    pub fn text(text: impl Into<String>) -> Tree {
        Tree::Text(text.into().into_bytes())
    }

    /// An integer; one that does not fit is the greatest.
    pub fn number(number: u64) -> Tree {
        Tree::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// An array of bulk strings.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Tree {
        Tree::List(texts.into_iter().map(Tree::text).collect())
    }

    /// A map.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Tree)>) -> Tree {
        let pairs = pairs.into_iter();
        Tree::Map(pairs.map(|(key, value)| (key.into(), value)).collect())
    }

    /// Appends it to a buffer.
    pub fn write(&self, protocol: Protocol, out: &mut Vec<u8>) {
        match self {
            Tree::Text(text) => write::bulk(out, text),
            Tree::Number(number) => write::integer(out, *number),
            Tree::List(elements) => {
                write::array(out, elements.len());
                for element in elements {
                    element.write(protocol, out);
                }
            }
            Tree::Map(pairs) => {
                write::map(out, protocol, pairs.len());
                for (key, value) in pairs {
                    write::bulk(out, key.as_bytes());
                    value.write(protocol, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_flat_in_resp2() {
        let tree = Tree::map([
            ("a", Tree::number(u64::MAX)),
            ("b", Tree::texts(["x", ""])),
            ("c", Tree::map([("d", Tree::Number(-1))])),
        ]);
        for (protocol, map, inner) in [(Protocol::Resp2, "*6", "*2"), (Protocol::Resp3, "%3", "%1")]
        {
            let mut out = Vec::new();
            tree.write(protocol, &mut out);
            let expected = format!(
                "{map}\r\n$1\r\na\r\n:9223372036854775807\r\n$1\r\nb\r\n*2\r\n$1\r\nx\r\n$0\r\n\r\n\
                 $1\r\nc\r\n{inner}\r\n$1\r\nd\r\n:-1\r\n"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
