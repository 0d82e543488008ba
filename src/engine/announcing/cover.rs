//! The prefixes that slotmux asks a node for: few, none of which overlap, that cover those of all clients; pure.

use std::collections::BTreeSet;

/// Prefixes that a node is asked for at most. A node compares each changed key with every prefix; beyond this slotmux asks
/// for all keys and sorts them itself.
const MOST: usize = 128;

/// Prefixes that a node announces the changes of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    prefixes: BTreeSet<Box<[u8]>>,
}

impl Cover {
    /// The smallest cover of these prefixes, which come in order.
    pub fn of<'a>(prefixes: impl Iterator<Item = &'a [u8]>) -> Cover {
        let mut cover = Cover::default();
        let mut last: Option<&[u8]> = None;
        for prefix in prefixes {
            // In order, a prefix comes right before all that begin with it.
            if last.is_some_and(|last| prefix.starts_with(last)) {
                continue;
            }
            last = Some(prefix);
            cover.prefixes.insert(prefix.into());
            if cover.prefixes.len() > MOST {
                cover.prefixes = BTreeSet::from([Box::default()]);
                return cover;
            }
        }
        cover
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The prefixes, in order.
    pub fn prefixes(&self) -> impl Iterator<Item = &[u8]> {
        self.prefixes.iter().map(|prefix| &**prefix)
    }

    /// Whether each key of `other` is a key of it.
    pub fn includes(&self, other: &Cover) -> bool {
        other.prefixes().all(|prefix| {
            let up_to = (
                std::ops::Bound::Unbounded,
                std::ops::Bound::Included(prefix),
            );
            let shorter = self.prefixes.range::<[u8], _>(up_to).next_back();
            shorter.is_some_and(|shorter| prefix.starts_with(shorter))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(prefixes: &[&str]) -> Cover {
        let sorted: BTreeSet<&[u8]> = prefixes.iter().map(|prefix| prefix.as_bytes()).collect();
        Cover::of(sorted.into_iter())
    }

    fn texts(cover: &Cover) -> Vec<String> {
        let texts = cover
            .prefixes()
            .map(|prefix| prefix.escape_ascii().to_string());
        texts.collect()
    }

    #[test]
    fn longer_prefixes_are_covered_by_shorter_ones() {
        assert_eq!(
            texts(&cover(&["b", "ab", "abc", "a", "ac", "ba"])),
            ["a", "b"]
        );
        assert_eq!(texts(&cover(&["x", "", "y"])), [""]);
        assert!(cover(&[]).is_empty());
    }

    #[test]
    fn includes_tells_whether_a_node_has_to_be_asked() {
        let asked = cover(&["a", "bc"]);
        for (wanted, is_included) in [
            (&["a"][..], true),
            (&["ab", "bcd"], true),
            (&["b"], false),
            (&[""], false),
            (&["c"], false),
            (&[], true),
        ] {
            assert_eq!(asked.includes(&cover(wanted)), is_included, "{wanted:?}");
        }
        assert!(cover(&[""]).includes(&asked));
    }

    #[test]
    fn very_many_prefixes_become_all_keys() {
        let many: Vec<String> = (1000..1000 + MOST).map(|i| format!("{i}:")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(cover(&many).prefixes().count(), MOST);
        assert_eq!(texts(&cover(&[&many[..], &["z"]].concat())), [""]);
    }
}
