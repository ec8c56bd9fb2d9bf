//! What a sender must know.

use std::fmt;
use std::sync::Arc;

use base::{Error, Result};

/// A secret. It never appears in logs: `Debug` hides it and there is no `Display`.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes a secret; an empty one, or one that no header could carry, is refused.
    pub fn new(text: &str) -> Result<Secret> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid("a token or key is one or more printable ASCII characters without blanks"));
        }
        Ok(Secret(text.as_bytes().into()))
    }

    /// Whether `given` is the secret, in a time that depends on the length of `given` alone.
    pub fn matches(&self, given: &[u8]) -> bool {
        let mut differs = u8::from(given.len() != self.0.len());
        for (i, b) in given.iter().enumerate() {
            differs |= std::hint::black_box(b ^ self.0[i % self.0.len()]);
        }
        std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let s = Secret::new(" s3cret\n").unwrap();
        assert!(s.matches(b"s3cret"));
        for bad in ["", "s3cre", "s3crets", "s3crets3cret", "S3CRET"] {
            assert!(!s.matches(bad.as_bytes()), "{bad}");
        }
        assert!(!format!("{s:?}").contains("s3cret"));
        assert!(Secret::new(" ").is_err() && Secret::new("a b").is_err());
    }
}
