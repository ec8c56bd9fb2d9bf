//! Label sets in one canonical byte form.
//!
//! A [`Labels`] is `name 0xFF value 0xFF name 0xFF value 0xFF ...`, with `__name__` first and the other names in byte
//! order. 0xFF never occurs in UTF-8, so the form needs no lengths, equality is `memcmp`, and the byte order is the
//! total order ("label order") in which series are ranked on disk: one metric is one contiguous stretch.

use std::fmt;
use std::sync::Arc;

use crate::hash::hash128;
use crate::{Error, Result};

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// Ends every name and every value.
pub const SEP: u8 = 0xFF;

/// An immutable canonical label set. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Sorts `pairs`; empty values are dropped (an empty label is an absent one). A name given twice is refused.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut b = LabelsBuilder::default();
        for (n, v) in pairs {
            b.push(n.as_ref(), v.as_ref());
        }
        b.finish()
    }

    /// Takes bytes that are already canonical, as read from disk; refuses others.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self> {
        let labels = Labels(bytes.into());
        if !bytes.is_empty() && bytes[bytes.len() - 1] != SEP {
            return Err(Error::corrupt("label set does not end with its separator"));
        }
        let mut fields = 0;
        for f in bytes.split(|&b| b == SEP) {
            std::str::from_utf8(f).map_err(|_| Error::corrupt("label set is not UTF-8"))?;
            fields += 1;
        }
        if fields % 2 == 0 {
            return Err(Error::corrupt("label set has a name without a value"));
        }
        Ok(labels)
    }

    /// Name and value pairs in canonical order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The identity of the set.
    pub fn hash(&self) -> u128 {
        hash128(&self.0)
    }
    /// Number of labels.
    pub fn len(&self) -> usize {
        self.iter().count()
    }
    /// True for the empty set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Iterates over the pairs of a label set.
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        let mut field = || {
            let end = memchr::memchr(SEP, self.0)?;
            let (f, rest) = self.0.split_at(end);
            self.0 = &rest[1..];
            // Canonical bytes are checked when they are made.
            Some(std::str::from_utf8(f).unwrap_or(""))
        };
        Some((field()?, field()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Prints `{a="b", c="d"}` with Go-style escapes, as the query languages write selectors.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (n, v)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{n}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Puts pairs together that come in canonical order, each name once and no value empty, as those of sorted series do. Reusable:
/// [`OrderedLabels::finish`] leaves it empty.
#[derive(Default)]
pub struct OrderedLabels(Vec<u8>);

impl OrderedLabels {
    /// Adds the next pair.
    pub fn push(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.0.extend_from_slice(text.as_bytes());
            self.0.push(SEP);
        }
    }
    /// The set of what was added.
    pub fn finish(&mut self) -> Labels {
        let labels = Labels(self.0.as_slice().into());
        self.0.clear();
        labels
    }
}

/// Collects pairs in any order and makes them canonical. Reusable: [`LabelsBuilder::finish`] leaves it empty.
#[derive(Default)]
pub struct LabelsBuilder {
    text: String,
    // (name start, name end = value start, value end) into `text`
    fields: Vec<(u32, u32, u32)>,
}

impl LabelsBuilder {
    /// Adds a pair; an empty value is the same as none.
    pub fn push(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let a = self.text.len() as u32;
        self.text.push_str(name);
        let b = self.text.len() as u32;
        self.text.push_str(value);
        self.fields.push((a, b, self.text.len() as u32));
    }
    /// True when a pair of that name was added.
    pub fn contains(&self, name: &str) -> bool {
        self.fields.iter().any(|&(a, b, _)| &self.text[a as usize..b as usize] == name)
    }
    /// The canonical set; a name given twice is refused.
    pub fn finish(&mut self) -> Result<Labels> {
        let t = std::mem::take(&mut self.text);
        let mut fields = std::mem::take(&mut self.fields);
        let name = |f: &(u32, u32, u32)| &t[f.0 as usize..f.1 as usize];
        fields.sort_by(|x, y| (name(x) != METRIC_NAME, name(x)).cmp(&(name(y) != METRIC_NAME, name(y))));
        let mut bytes = Vec::with_capacity(t.len() + 2 * fields.len());
        let mut last: Option<&str> = None;
        for f in &fields {
            if last == Some(name(f)) {
                return Err(Error::invalid(format!("label name {:?} is given twice", name(f))));
            }
            last = Some(name(f));
            bytes.extend_from_slice(name(f).as_bytes());
            bytes.push(SEP);
            bytes.extend_from_slice(&t.as_bytes()[f.1 as usize..f.2 as usize]);
            bytes.push(SEP);
        }
        Ok(Labels(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_name_comes_first_and_empty_values_are_absent() {
        let l = Labels::from_pairs([("Zone", "a"), ("job", "x"), ("__name__", "up"), ("gone", "")]).unwrap();
        assert_eq!(l.iter().collect::<Vec<_>>(), [("__name__", "up"), ("Zone", "a"), ("job", "x")]);
        assert_eq!(l.get("job"), Some("x"));
        assert_eq!(Labels::from_canonical(l.as_bytes()).unwrap(), l);
        assert_eq!(l.to_string(), r#"{__name__="up", Zone="a", job="x"}"#);
    }

    #[test]
    fn pairs_in_order_make_the_same_set() {
        let mut ordered = OrderedLabels::default();
        for pairs in [&[("__name__", "up"), ("Zone", "a"), ("job", "\u{e9}")][..], &[("job", "x")], &[]] {
            pairs.iter().for_each(|(n, v)| ordered.push(n, v));
            let labels = ordered.finish();
            assert_eq!(labels, Labels::from_pairs(pairs.iter().copied()).unwrap());
            assert_eq!(labels.iter().collect::<Vec<_>>(), pairs);
        }
    }

    #[test]
    fn a_name_given_twice_and_damaged_bytes_are_refused() {
        assert!(Labels::from_pairs([("a", "1"), ("a", "2")]).is_err());
        assert!(Labels::from_canonical(b"a\xFFb").is_err());
        assert!(Labels::from_canonical(b"a\xFF").is_err());
        assert!(Labels::from_canonical(b"a\xFFb\xFF").is_ok());
    }
}
