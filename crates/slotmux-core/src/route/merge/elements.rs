//! MGET and its like: the elements of the parts' arrays, restored to the order of the request's keys; all at once, or
//! some in each turn.

use crate::resp::reply::ReplyScanner;
use crate::resp::write;
use crate::route::merge::array_body;

/// Merges the elements of the parts' arrays in the order of the request's keys.
pub fn elements(parts: &[Vec<u8>], order: &[u32], out: &mut Vec<u8>) -> Option<()> {
    let mut joining = ElementMerge::begin(parts, order, out)?;
    joining.some(order.len(), usize::MAX, out).map(|_| ())
}

/// A merge of the elements of the parts' arrays in progress.
pub struct ElementMerge<'a> {
    /// Remaining bytes of each part.
    rests: Vec<&'a [u8]>,
    /// For each remaining element the part that holds it.
    order: &'a [u32],
}

impl<'a> ElementMerge<'a> {
    /// Begins the array in `out`. `None` if a part is not an array.
    pub fn begin(
        parts: &'a [Vec<u8>],
        order: &'a [u32],
        out: &mut Vec<u8>,
    ) -> Option<ElementMerge<'a>> {
        let bodies = parts
            .iter()
            .map(|part| array_body(part).map(|(_, body)| body));
        let rests = bodies.collect::<Option<_>>()?;
        write::array(out, order.len());
        Some(ElementMerge { rests, order })
    }

    /// Appends up to `most` elements, and stops once it has appended `bytes` bytes. `Some(true)` at the end; `None` if the
    /// parts lack elements.
    pub fn some(&mut self, most: usize, bytes: usize, out: &mut Vec<u8>) -> Option<bool> {
        let full = out.len().saturating_add(bytes);
        for _ in 0..most {
            let Some((&part, later)) = self.order.split_first() else {
                break;
            };
            if out.len() >= full {
                break;
            }
            self.order = later;
            let rest = self.rests.get_mut(part as usize)?;
            let progress = ReplyScanner::default()
                .advance(rest)
                .ok()
                .filter(|progress| progress.done)?;
            let (element, after) = rest.split_at(progress.consumed);
            out.extend_from_slice(element);
            *rest = after;
        }
        if !self.order.is_empty() {
            return Some(false);
        }
        let all_is_taken = self.rests.iter().all(|rest| rest.is_empty());
        all_is_taken.then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    #[test]
    fn elements_return_to_the_order_of_the_keys() {
        let parts = bytes(&["*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n$1\r\nb\r\n"]);
        let mut out = Vec::new();
        assert_eq!(elements(&parts, &[0, 1, 0], &mut out), Some(()));
        assert_eq!(out, b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n");
        for (parts, order) in [
            (&["*1\r\n$1\r\na\r\n"][..], &[0, 0][..]),
            (&["*2\r\n:1\r\n:2\r\n"], &[0]),
            (&["+OK\r\n"], &[0]),
        ] {
            assert_eq!(
                elements(&bytes(parts), order, &mut Vec::new()),
                None,
                "{parts:?}"
            );
        }
    }

    #[test]
    fn they_return_in_slices_as_well() {
        let parts = bytes(&["*3\r\n:1\r\n:3\r\n:5\r\n", "*2\r\n:2\r\n:4\r\n"]);
        for most in 1..6 {
            let mut out = Vec::new();
            let mut joining =
                ElementMerge::begin(&parts, &[0, 1, 0, 1, 0], &mut out).expect("arrays");
            let mut slices = 1;
            while joining.some(most, usize::MAX, &mut out) == Some(false) {
                slices += 1;
            }
            assert_eq!(slices, 5usize.div_ceil(most), "{most}");
            assert_eq!(out, b"*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", "{most}");
        }
        // Each element has four bytes.
        for (bytes, expected) in [(1, 5), (4, 5), (5, 3), (8, 3), (9, 2), (20, 1)] {
            let mut out = Vec::new();
            let mut joining =
                ElementMerge::begin(&parts, &[0, 1, 0, 1, 0], &mut out).expect("arrays");
            let mut slices = 1;
            while joining.some(5, bytes, &mut out) == Some(false) {
                slices += 1;
            }
            assert_eq!(slices, expected, "{bytes}");
            assert_eq!(out, b"*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", "{bytes}");
        }
    }
}
