//! Parameters of a query: of the address and, for a form, of the body.

use base::{Error, Result};

use crate::limits;

/// Names and values in the order given; a name may occur again.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Adds `a=1&b=2`, percent-encoded.
    pub fn add(&mut self, encoded: &str) -> Result<()> {
        for pair in encoded.split('&').filter(|p| !p.is_empty()) {
            if self.0.len() >= limits::PARAMS {
                return Err(Error::invalid(format!("more than {} parameters", limits::PARAMS)));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((decode(name)?, decode(value)?));
        }
        Ok(())
    }
    /// The first value of `name` that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
    /// The value of `name`, which must be there.
    pub fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::invalid(format!("parameter {name:?} is missing")))
    }
    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// A whole number, which may be negative.
    pub fn whole(&self, name: &str) -> Result<Option<i64>> {
        let parse = |v: &str| v.parse().map_err(|_| Error::invalid(format!("parameter {name:?}: {v:?} is not a whole number")));
        self.get(name).map(parse).transpose()
    }
    /// A whole number from 0 up.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let parse = |v: &str| v.parse().map_err(|_| Error::invalid(format!("parameter {name:?}: {v:?} is not a whole number from 0 up")));
        self.get(name).map(parse).transpose()
    }
}

/// Undoes percent-encoding; `+` is a blank.
pub(crate) fn decode(s: &str) -> Result<String> {
    let b = s.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        let byte = match b[i] {
            b'+' => b' ',
            b'%' => {
                let hex = s.get(i + 1..i + 3).filter(|h| h.bytes().all(|c| c.is_ascii_hexdigit()));
                i += 2;
                hex.and_then(|h| u8::from_str_radix(h, 16).ok())
                    .ok_or_else(|| Error::invalid("a parameter is not percent-encoded properly"))?
            }
            other => other,
        };
        out.push(byte);
        i += 1;
    }
    String::from_utf8(out).map_err(|_| Error::invalid("a parameter is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_kept_in_order() {
        let mut p = Params::default();
        p.add("query=vector(1)%2Bvector(1)&match%5B%5D=a+b&&match[]=c&e=").unwrap();
        p.add("time=4").unwrap();
        assert_eq!(p.get("query"), Some("vector(1)+vector(1)"));
        assert_eq!(p.all("match[]").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!((p.get("e"), p.number("time").unwrap()), (None, Some(4)));
        assert!(p.require("gone").is_err());
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(Params::default().add(bad).is_err(), "{bad}");
        }
    }
}
