//! The bearer token: one secret that opens everything but `/ready`.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base::{Error, Kind, Result};

/// A secret. It never appears in logs: `Debug` hides it and there is no `Display`.
#[derive(Clone)]
pub struct Token(Arc<[u8]>);

impl Token {
    /// Takes a secret; an empty one, or one that no header could carry, is refused.
    pub fn new(secret: &str) -> Result<Self> {
        let secret = secret.trim();
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid("a token is one or more printable ASCII characters without blanks"));
        }
        Ok(Token(secret.as_bytes().into()))
    }

    /// Whether `given` is the secret, in a time that depends on the length of `given` alone.
    fn matches(&self, given: &[u8]) -> bool {
        let mut differs = u8::from(given.len() != self.0.len());
        for (i, b) in given.iter().enumerate() {
            differs |= std::hint::black_box(b ^ self.0[i % self.0.len()]);
        }
        std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Checks `Authorization: Bearer ...` against the token, if one is asked for.
pub fn check(token: Option<&Token>, headers: &HeaderMap) -> Result<()> {
    let Some(token) = token else { return Ok(()) };
    let given = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
    let refuse = |m: &str| Err(Error::new(Kind::Unauthenticated, m));
    match given {
        None => refuse("this server asks for a token: send the header Authorization: Bearer TOKEN"),
        Some(v) if v.len() > 7 && v[..7].eq_ignore_ascii_case(b"bearer ") && token.matches(v[7..].trim_ascii()) => Ok(()),
        Some(_) => refuse("the token is not the one this server asks for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let t = Token::new(" s3cret\n").unwrap();
        let try_with = |v: &str| {
            let mut h = HeaderMap::new();
            h.insert(header::AUTHORIZATION, v.parse().unwrap());
            check(Some(&t), &h).is_ok()
        };
        assert!(try_with("Bearer s3cret") && try_with("bearer  s3cret"));
        for bad in ["Bearer s3cre", "Bearer s3crets", "Bearer s3crets3cret", "s3cret", "Basic s3cret", "Bearer ", "Bearer S3CRET"] {
            assert!(!try_with(bad), "{bad}");
        }
        assert_eq!(check(Some(&t), &HeaderMap::new()).unwrap_err().kind(), Kind::Unauthenticated);
        assert!(check(None, &HeaderMap::new()).is_ok());
        assert!(!format!("{t:?}").contains("s3cret"));
        assert!(Token::new(" ").is_err() && Token::new("a b").is_err());
    }
}
