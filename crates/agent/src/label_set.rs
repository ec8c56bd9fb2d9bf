//! The labels of one entry while rules and stages work on it.

use base::{Labels, LabelsBuilder, Result};

/// A label set that is the one it began with until it is changed; most entries never pay for a copy. Two are
/// equal when they were changed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSet {
    base: Labels,
    /// Sorted by name, no empty value; in force instead of `base` once there is a change.
    own: Option<Vec<(String, String)>>,
}

impl LabelSet {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        match &self.own {
            None => self.base.get(name),
            Some(own) => find(own, name).ok().map(|i| own[i].1.as_str()),
        }
    }
    /// Sets `name`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.remove(name);
        }
        if self.get(name) == Some(value) {
            return;
        }
        let own = self.own();
        match find(own, name) {
            Ok(i) => own[i].1 = value.into(),
            Err(i) => own.insert(i, (name.into(), value.into())),
        }
    }
    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            self.own().retain(|(n, _)| n != name);
        }
    }
    /// Removes every label that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        if self.iter().any(|(n, _)| !keep(n)) {
            self.own().retain(|(n, _)| keep(n));
        }
    }
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let unchanged = self.own.is_none().then(|| self.base.iter());
        let own = self.own.iter().flatten().map(|(n, v)| (n.as_str(), v.as_str()));
        unchanged.into_iter().flatten().chain(own)
    }
    /// The canonical set. Without a change it is the one it began with.
    pub fn to_labels(&self) -> Result<Labels> {
        let Some(own) = &self.own else { return Ok(self.base.clone()) };
        let mut b = LabelsBuilder::default();
        own.iter().for_each(|(n, v)| b.push(n, v));
        b.finish()
    }

    fn own(&mut self) -> &mut Vec<(String, String)> {
        let base = &self.base;
        self.own.get_or_insert_with(|| {
            let mut pairs: Vec<(String, String)> = base.iter().map(|(n, v)| (n.into(), v.into())).collect();
            pairs.sort_unstable();
            pairs
        })
    }
}

impl From<Labels> for LabelSet {
    fn from(base: Labels) -> Self {
        LabelSet { base, own: None }
    }
}

fn find(own: &[(String, String)], name: &str) -> std::result::Result<usize, usize> {
    own.binary_search_by(|(n, _)| n.as_str().cmp(name))
}

/// Whether text is a label name as the classic data model has it: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_classic_name(name: &str) -> bool {
    let head = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    head && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_and_the_original_stays() {
        let base = Labels::from_pairs([("__name__", "m"), ("a", "1"), ("Z", "2")]).unwrap();
        let mut s = LabelSet::from(base.clone());
        s.set("a", "1");
        assert!(s.own.is_none(), "the same value is no change");
        s.set("b", "3");
        s.set("a", "");
        s.remove("none");
        assert_eq!(s.to_labels().unwrap().to_string(), r#"{__name__="m", Z="2", b="3"}"#);
        s.retain(|n| n != "Z");
        assert_eq!((s.get("Z"), s.get("b"), base.get("a")), (None, Some("3"), Some("1")));
    }

    #[test]
    fn classic_names() {
        assert!(is_classic_name("_a9") && !is_classic_name("9a") && !is_classic_name("") && !is_classic_name("a-b"));
    }
}
