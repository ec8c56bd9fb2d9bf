//! A long text in pieces.

/// Bytes of a piece, about.
const PIECE: usize = 64 << 10;

/// A long text in pieces: it grows without being copied, and its memory goes as the pieces are sent.
#[derive(Debug, Default)]
pub struct Pieces {
    whole: Vec<Vec<u8>>,
    last: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    /// Where to write on. What is written between two calls should be short: a piece ends only here.
    pub fn open(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= PIECE {
            self.close();
        }
        if self.last.capacity() == 0 && !self.whole.is_empty() {
            // The first piece may be a short answer; behind it comes a long one.
            self.last.reserve_exact(PIECE + PIECE / 8);
        }
        &mut self.last
    }

    fn close(&mut self) {
        if !self.last.is_empty() {
            self.bytes += self.last.len();
            self.whole.push(std::mem::take(&mut self.last));
        }
    }

    /// Bytes of the text.
    pub fn len(&self) -> usize {
        self.bytes + self.last.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order; none is empty.
    pub fn into_pieces(mut self) -> Vec<Vec<u8>> {
        self.close();
        self.whole
    }

    /// All of the text in one.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut pieces = self.into_pieces();
        match pieces.len() {
            1 => pieces.swap_remove(0),
            _ => pieces.concat(),
        }
    }
}

impl std::io::Write for Pieces {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.open().extend_from_slice(text);
        Ok(text.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(text: Vec<u8>) -> Self {
        Pieces { whole: vec![], last: text, bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_whole() {
        let mut text = Pieces::default();
        assert!(text.is_empty() && Pieces::default().into_bytes().is_empty());
        let mut want = vec![];
        for i in 0..40_000 {
            let word = format!("{i},");
            text.open().extend_from_slice(word.as_bytes());
            want.extend_from_slice(word.as_bytes());
        }
        assert_eq!(text.len(), want.len());
        let pieces = text.into_pieces();
        assert!(pieces.len() == want.len().div_ceil(PIECE) && pieces.iter().all(|p| p.len() < PIECE + 10));
        assert_eq!(pieces.concat(), want);
        assert_eq!(Pieces::from(want.clone()).into_bytes(), want);
    }
}
