//! Commands of modules whose documented form says more than the module tells its server: keys that it does not declare,
//! names that it declares as keys, and replies about one node's share of the data.

use super::keys::LearnedKeySpec;
use crate::command::Merge;
use crate::command::split::SplitShape;

/// The documented form of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KnownForm {
    /// Its keys may be in several slots: split, the replies merged.
    Split(SplitShape, Merge),
    /// It writes its first argument and reads the keys that the second one counts.
    MergesInto,
    /// About an index, whose name is in this argument: no key, and each node has a share of the index.
    OfIndex {
        /// Index of the argument.
        at: usize,
    },
    /// Every node has indexes, and the reply lists their names.
    ListsIndexes,
    /// It changes or lists data of the whole cluster where the search module coordinates the nodes.
    Coordinated,
    /// Its reply is about the data of one node; the replies of all primaries are merged.
    OfAllPrimaries(Merge),
    /// It blocks its connection, which the module does not declare.
    Blocks,
    /// It has no key, whatever the module declares.
    Keyless,
}

use KnownForm::*;

const FORMS: &[(&str, KnownForm)] = &[
    (
        "json.mget",
        Split(
            SplitShape {
                first: 1,
                step: 1,
                tail: 1,
            },
            Merge::Elements,
        ),
    ),
    ("json.mset", Split(SplitShape::of_step(3), Merge::AllOk)),
    ("cms.merge", MergesInto),
    ("tdigest.merge", MergesInto),
    ("graph.copy", Blocks),
    ("graph.memory", Blocks),
    ("graph.list", OfAllPrimaries(Merge::Concat)),
    ("graph.info", Keyless),
    ("ft._list", ListsIndexes),
    ("ft.cursor", OfIndex { at: 2 }),
    ("ft.dictadd", Coordinated),
    ("ft.dictdel", Coordinated),
    ("ft.dictdump", Coordinated),
];

/// Commands of the search module whose keys are those that it declares: suggestions, and documents in the old form.
const SEARCH_KEYED: &[&str] = &[
    "ft.add",
    "ft.del",
    "ft.get",
    "ft.mget",
    "ft.safeadd",
    "ft.sugadd",
    "ft.sugdel",
    "ft.sugget",
    "ft.suglen",
];

/// Commands of the search module about the node that they run on.
const SEARCH_OF_NODE: &[&str] = &["ft.config", "ft.debug"];

/// The form of a module's command. `None`: it is as the module declares it.
pub(super) fn form_of(full_name: &str) -> Option<KnownForm> {
    if let Some((_, form)) = FORMS.iter().find(|(name, _)| *name == full_name) {
        return Some(*form);
    }
    let name = full_name.split('|').next().unwrap_or(full_name);
    if !name.starts_with("ft.") || SEARCH_KEYED.contains(&name) {
        return None;
    }
    Some(if SEARCH_OF_NODE.contains(&name) {
        Keyless
    } else {
        OfIndex { at: 1 }
    })
}

impl KnownForm {
    /// The keys, where the form says more than the module.
    pub(super) fn keys(self) -> Option<Vec<LearnedKeySpec>> {
        match self {
            Split(shape, _) => Some(vec![LearnedKeySpec::of_shape(shape)]),
            MergesInto => Some(vec![
                LearnedKeySpec::of_shape(SplitShape::of_step(1)).only_first(),
                LearnedKeySpec::read_and_counted(2),
            ]),
            Blocks => None,
            OfIndex { .. } | ListsIndexes | Coordinated | OfAllPrimaries(_) | Keyless => {
                Some(Vec::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_search_module() {
        for (name, expected) in [
            ("ft.search", Some(OfIndex { at: 1 })),
            ("ft._createifnx", Some(OfIndex { at: 1 })),
            ("ft.cursor", Some(OfIndex { at: 2 })),
            ("ft._list", Some(ListsIndexes)),
            ("ft.debug|help", Some(Keyless)),
            ("ft.config", Some(Keyless)),
            ("ft.sugadd", None),
            ("bf.add", None),
        ] {
            assert_eq!(form_of(name), expected, "{name}");
        }
    }
}
