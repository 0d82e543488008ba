//! Line and column of a position in a text, from an index that is built once: every key of a file has a position.

/// Bytes between two precomputed character counts.
const STRIDE: usize = 64;

/// Start of each line, and the number of characters before every [`STRIDE`]th byte.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    characters: Vec<usize>,
}

impl Lines<'_> {
    pub(super) fn new(text: &str) -> Lines<'_> {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let counted = text.as_bytes().chunks(STRIDE).map(count);
        let before = |all: &mut usize, more: usize| Some(std::mem::replace(all, *all + more));
        // One more entry for the position at the end.
        let characters = counted.chain([0]).scan(0, before).collect();
        Lines {
            text,
            starts: std::iter::once(0).chain(ends).collect(),
            characters,
        }
    }

    /// Line and column of a byte, both from 1. A byte outside the text counts as its end.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let at = if self.text.is_char_boundary(at) {
            at
        } else {
            self.text.len()
        };
        let line = self.starts.partition_point(|&start| start <= at);
        let column = self.before(at) - self.before(self.starts[line - 1]);
        (line, column + 1)
    }

    /// Start of a line; the end of the text if it has fewer lines.
    pub(super) fn start(&self, line: usize) -> usize {
        let start = self.starts.get(line.saturating_sub(1));
        start.copied().unwrap_or(self.text.len())
    }

    /// Number of characters before a byte.
    fn before(&self, at: usize) -> usize {
        let whole = at / STRIDE;
        self.characters[whole] + count(&self.text.as_bytes()[whole * STRIDE..at])
    }
}

/// Number of characters that begin in these bytes.
fn count(bytes: &[u8]) -> usize {
    let begins = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    bytes.iter().filter(begins).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference: counted from the start of the text.
    fn counted(text: &str, at: usize) -> (usize, usize) {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    #[test]
    fn places_are_those_that_counting_finds() {
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..200 {
            let letters = ["a", "\n", "ü", "…", "𝄞", "\r\n", "b"];
            let text: String = std::iter::repeat_with(|| letters[random.usize(0..letters.len())])
                .take(round * 3)
                .collect();
            let lines = Lines::new(&text);
            for at in 0..text.len() + 3 {
                assert_eq!(lines.place(at), counted(&text, at), "{text:?} at {at}");
            }
            for line in 1..=text.matches('\n').count() + 1 {
                assert_eq!(lines.place(lines.start(line)), (line, 1));
            }
            assert_eq!(lines.start(1_000_000), text.len());
        }
    }

    /// All keys of a file may be in one line.
    #[test]
    fn a_place_far_along_a_line_is_found_by_a_few_bytes() {
        let text = "ü".repeat(1_000_000);
        let lines = Lines::new(&text);
        assert_eq!(lines.characters.len(), text.len() / STRIDE + 1);
        for at in (0..text.len()).step_by(2) {
            assert_eq!(lines.place(at), (1, at / 2 + 1));
        }
    }
}
