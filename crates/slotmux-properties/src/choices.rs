//! Input bytes as a sequence of choices, so that a mutation of the input changes some of the choices.

/// The remaining choices. After the last one, each choice is 0.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide % bound
    }

    /// One of the items.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::from(self.byte()) % items.len()]
    }

    /// Whether any choice remains.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A string of a length that is likely to be at an edge, filled with a choice of tricky bytes.
    pub fn string(&mut self) -> Vec<u8> {
        const LENGTHS: [usize; 16] = [
            0, 1, 2, 3, 5, 8, 9, 10, 11, 61, 98, 99, 100, 998, 1000, 5000,
        ];
        const FILLS: [&[u8]; 8] = [
            b"a",
            b"\r\n",
            b"\r",
            b"$1\r\n",
            b"*1\r\n+OK\r\n",
            b"\0",
            b"\xff",
            b"\"'\\ \n",
        ];
        let length = self.one_of(&LENGTHS);
        self.one_of(&FILLS)
            .iter()
            .copied()
            .cycle()
            .take(length)
            .collect()
    }
}
