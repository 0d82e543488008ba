//! The namespace of a key: the one with the longest prefix of the key, by a search whose cost does not grow with the
//! number of prefixes.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ops::Range;

use super::NamespaceId;

/// Number of prefixes up to which they are compared one by one, longest first: with few prefixes that is faster than
/// the tree.
const FEW: usize = 16;

/// All prefixes.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    /// The prefixes and their namespaces, longest first.
    all: Vec<(Prefix, NamespaceId)>,
    /// The same as a tree, if there are more than `FEW`.
    tree: Option<PrefixTree>,
}

impl Prefixes {
    /// Of two equal prefixes the first one counts.
    pub(super) fn new<'a>(prefixes: impl IntoIterator<Item = (&'a [u8], NamespaceId)>) -> Prefixes {
        let mut all: Vec<(Prefix, NamespaceId)> = prefixes
            .into_iter()
            .map(|(bytes, namespace)| (Prefix::new(bytes), namespace))
            .collect();
        all.sort_by_key(|(prefix, _)| Reverse(prefix.bytes.len()));
        let tree = (all.len() > FEW).then(|| PrefixTree::new(&all));
        Prefixes { all, tree }
    }

    /// The namespace of a key: that of the longest prefix.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> NamespaceId {
        match &self.tree {
            None => self.walk(key),
            Some(tree) => tree.find(key),
        }
    }

    #[inline]
    fn walk(&self, key: &[u8]) -> NamespaceId {
        self.all
            .iter()
            .find(|(prefix, _)| prefix.begins(key))
            .map_or(NamespaceId::UNMATCHED, |(_, namespace)| *namespace)
    }

    /// Every prefix with its namespace, longest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], NamespaceId)> {
        self.all
            .iter()
            .map(|(prefix, namespace)| (&*prefix.bytes, *namespace))
    }
}

/// A key prefix that is compared from its end: the namespaces of one application share their first bytes.
#[derive(Clone, Debug)]
struct Prefix {
    bytes: Box<[u8]>,
    /// Its last eight bytes, if it is that long.
    end: Option<[u8; 8]>,
}

impl Prefix {
    fn new(bytes: &[u8]) -> Prefix {
        Prefix {
            bytes: bytes.into(),
            end: bytes.last_chunk().copied(),
        }
    }

    #[inline]
    fn begins(&self, key: &[u8]) -> bool {
        let Some(start) = key.get(..self.bytes.len()) else {
            return false;
        };
        let may_be = match self.end {
            Some(end) => start.last_chunk() == Some(&end),
            None => true,
        };
        may_be && *start == *self.bytes
    }
}

/// The prefixes as a tree: one node for the end of each prefix and for each point where two diverge. A lookup walks
/// from the root along the bytes that the key shares with some prefix, once.
#[derive(Clone, Debug)]
struct PrefixTree {
    nodes: Vec<TreeNode>,
    /// The bytes on the edges from each node's parent to it.
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
struct TreeNode {
    /// First byte of the edge to it, by which it is found among its siblings.
    first: u8,
    /// The other bytes of that edge, in the tree's bytes.
    rest: Range<u32>,
    /// Its children, ordered by their first bytes.
    children: Range<u32>,
    /// The namespace of the prefix that ends here, if one does.
    namespace: NamespaceId,
}

impl PrefixTree {
    fn new(all: &[(Prefix, NamespaceId)]) -> PrefixTree {
        let mut sorted: Vec<(&[u8], NamespaceId)> = all
            .iter()
            .map(|(prefix, namespace)| (&*prefix.bytes, *namespace))
            .collect();
        sorted.sort_by_key(|(prefix, _)| *prefix);
        sorted.dedup_by_key(|(prefix, _)| *prefix);
        let mut tree = PrefixTree {
            nodes: vec![TreeNode {
                first: 0,
                rest: 0..0,
                children: 0..0,
                namespace: NamespaceId::UNMATCHED,
            }],
            bytes: Vec::new(),
        };
        // Node, the prefixes at or below it, and the length of their common path so far.
        let mut open = VecDeque::from([(0, &sorted[..], 0)]);
        while let Some((node, mut below, depth)) = open.pop_front() {
            if let Some(((prefix, namespace), longer)) = below.split_first()
                && prefix.len() == depth
            {
                let node: &mut TreeNode = &mut tree.nodes[node];
                node.namespace = *namespace;
                below = longer;
            }
            let start = tree.nodes.len() as u32;
            for group in below.chunk_by(|(a, _), (b, _)| a[depth] == b[depth]) {
                let (first, last) = (group[0].0, group[group.len() - 1].0);
                // The prefixes are sorted: bytes shared by the first and the last are shared by all.
                let both = first.iter().zip(last).skip(depth);
                let common = depth + both.take_while(|(a, b)| a == b).count();
                let from = tree.bytes.len() as u32;
                tree.bytes.extend_from_slice(&first[depth + 1..common]);
                open.push_back((tree.nodes.len(), group, common));
                tree.nodes.push(TreeNode {
                    first: first[depth],
                    rest: from..tree.bytes.len() as u32,
                    children: 0..0,
                    namespace: NamespaceId::UNMATCHED,
                });
            }
            tree.nodes[node].children = start..tree.nodes.len() as u32;
        }
        tree
    }

    fn find(&self, key: &[u8]) -> NamespaceId {
        let mut node = &self.nodes[0];
        let mut found = node.namespace;
        let mut key = key;
        while let Some((first, rest)) = key.split_first() {
            let children = &self.nodes[as_usize(&node.children)];
            let Ok(place) = children.binary_search_by_key(first, |child| child.first) else {
                break;
            };
            node = &children[place];
            let Some(after) = rest.strip_prefix(&self.bytes[as_usize(&node.rest)]) else {
                break;
            };
            key = after;
            if node.namespace != NamespaceId::UNMATCHED {
                found = node.namespace;
            }
        }
        found
    }
}

#[inline]
fn as_usize(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key gets the namespace that a loop over all prefixes finds, however the prefixes nest.
    #[test]
    fn the_tree_finds_what_a_walk_finds() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..300 {
            let letters = [1, 2, 3, 200][round % 4];
            let mut some = |least: usize, most: usize| -> Vec<u8> {
                let len = random.usize(least..most);
                std::iter::repeat_with(|| b'a'.wrapping_add(random.u8(0..letters)))
                    .take(len)
                    .collect()
            };
            let own: Vec<Vec<u8>> = (0..round).map(|_| some(1, 12)).collect();
            let numbered = own.iter().map(Vec::as_slice).zip((1..).map(NamespaceId));
            let prefixes = Prefixes::new(numbered);
            assert_eq!(prefixes.tree.is_some(), round > FEW);
            let mut keys: Vec<Vec<u8>> = (0..200).map(|_| some(0, 20)).collect();
            for prefix in &own {
                keys.push(prefix.clone());
                keys.push([prefix, &some(0, 4)[..]].concat());
                keys.push(prefix[..prefix.len() - 1].to_vec());
            }
            for key in keys {
                assert_eq!(prefixes.find(&key), prefixes.walk(&key), "{key:?}");
                let longest = own.iter().filter(|prefix| key.starts_with(prefix));
                let longest = longest.map(Vec::len).max();
                let found = prefixes.find(&key).0.checked_sub(1);
                assert_eq!(found.map(|at| own[usize::from(at)].len()), longest);
            }
        }
    }

    /// A lookup passes at most as many nodes as the key shares bytes with a prefix, and the tree has one node per
    /// prefix and per divergence.
    #[test]
    fn ten_thousand_prefixes_are_a_small_tree() {
        let own: Vec<String> = (0..10_000).map(|i| format!("app:team{i:05}:")).collect();
        let numbered = own.iter().map(String::as_bytes).zip((1..).map(NamespaceId));
        let prefixes = Prefixes::new(numbered);
        let tree = prefixes.tree.as_ref().expect("they are many");
        assert!(tree.nodes.len() < 2 * own.len());
        let deepest = deepest(tree, &tree.nodes[0]);
        assert!(deepest <= 6, "{deepest} nodes on one way");
        for (prefix, number) in own.iter().zip(1..) {
            let key = format!("{prefix}key");
            assert_eq!(prefixes.find(key.as_bytes()), NamespaceId(number));
        }
    }

    fn deepest(tree: &PrefixTree, node: &TreeNode) -> usize {
        let children = tree.nodes[as_usize(&node.children)].iter();
        children
            .map(|child| 1 + deepest(tree, child))
            .max()
            .unwrap_or(0)
    }
}
