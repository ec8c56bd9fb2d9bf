//! Attributes as labels.

use std::collections::BTreeMap;
use std::rc::Rc;

use base::attrs;
use base::labels::METRIC_NAME;
use wire::Options;
use wire::otlp::show;

use super::super::series::{self, BadSeries};
use super::name;
use super::options::{Strategy, Translation};

/// Attributes as texts, by name; of one given twice the last counts.
#[derive(Clone, Debug, Default)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Reads encoded attributes.
    pub fn read(encoded: &[u8]) -> Self {
        Attributes(attrs::iter(encoded).map(|(k, v)| (k.to_owned(), show(&v, lang::number::format).into_owned())).collect())
    }
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

/// Labels without the metric's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelList(BTreeMap<String, String>);

impl LabelList {
    /// Adds a label; where two attributes come to one name, it has both values.
    pub fn add(&mut self, name: &str, value: &str) {
        match self.0.get_mut(name) {
            Some(v) => v.extend([";", value]),
            None => self.set(name, value),
        }
    }
    /// Sets a label; an empty value is none.
    pub fn set(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }
    /// With another label.
    pub fn with(&self, name: &str, value: &str) -> LabelList {
        let mut out = self.clone();
        out.set(name, value);
        out
    }
    /// These with the attributes of a point; what the resource says holds.
    pub fn with_point(&self, attributes: &Attributes, strategy: Strategy) -> LabelList {
        let mut out = LabelList::default();
        for (key, value) in attributes.iter() {
            out.add(&name::label(key, strategy), value);
        }
        self.0.iter().for_each(|(n, v)| out.set(n, v));
        out
    }
    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
    /// These as the labels of what a point of `name` becomes, or what is wrong with them, found out once: there may be thousands of series.
    pub fn of(self, name: &str, options: &Options) -> Named {
        let bytes: usize = self.iter().map(|(n, v)| n.len() + v.len()).sum();
        if series::fits(self.0.len() + 1, name.len() + bytes, options) {
            return Named::Labels(self);
        }
        let pairs = || pairs(name, &self);
        let show = || series::show(pairs());
        Named::Beyond(Rc::new(series::beyond(&|| series::labels(pairs().map(Ok), &show, options))))
    }
    /// Writes a series so that equal bytes mean equal series.
    pub fn spell(&self, name: &str, out: &mut Vec<u8>) {
        out.clear();
        for text in std::iter::once(name).chain(self.iter().flat_map(|(n, v)| [n, v])) {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Names and values of a series, its own name first.
pub fn pairs<'a>(name: &'a str, labels: &'a LabelList) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    std::iter::once((METRIC_NAME, name)).chain(labels.iter()).map(|(n, v)| (n.as_bytes(), v.as_bytes()))
}

/// Labels of a point, as far as a series may have them.
#[derive(Clone, Debug)]
pub enum Named {
    /// They may be taken.
    Labels(LabelList),
    /// Nothing of the point can be taken.
    Beyond(Rc<BadSeries>),
}

impl Named {
    /// With another label.
    pub fn with(&self, name: &str, value: &str) -> Named {
        match self {
            Named::Labels(labels) => Named::Labels(labels.with(name, value)),
            Named::Beyond(bad) => Named::Beyond(bad.clone()),
        }
    }
}

/// The attributes that become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

fn identity(a: &Attributes) -> LabelList {
    let mut out = LabelList::default();
    if let Some(service) = a.get("service.name") {
        let namespace = a.get("service.namespace").map(|n| format!("{n}/")).unwrap_or_default();
        out.set("job", &format!("{namespace}{service}"));
    }
    out.set("instance", a.get("service.instance.id").unwrap_or(""));
    out
}

/// The labels that a resource gives to all its series.
pub fn of_resource(a: &Attributes, t: &Translation) -> LabelList {
    let mut out = LabelList::default();
    for (key, value) in a.iter().filter(|(k, _)| t.promote_all || t.promote.iter().any(|p| p == k)) {
        out.add(&name::label(key, t.strategy), value);
    }
    identity(a).iter().for_each(|(n, v)| out.set(n, v));
    out
}

/// The labels of the series about a resource; none if it has no identity, or nothing beside it.
pub fn of_target(a: &Attributes, t: &Translation) -> Option<LabelList> {
    let own = identity(a);
    let mut out = LabelList::default();
    for (key, value) in a.iter().filter(|(k, _)| t.keep_identifying || !IDENTIFYING.contains(k)) {
        out.add(&name::label(key, t.strategy), value);
    }
    if own == LabelList::default() || out == LabelList::default() {
        return None;
    }
    own.iter().for_each(|(n, v)| out.set(n, v));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_one_name_are_put_together_however_many() {
        let mut all = LabelList::default();
        (0..2_000_000).for_each(|_| all.add("a", "x"));
        assert_eq!(all.iter().next().map(|(n, v)| (n, v.len())), Some(("a", 3_999_999)));
        let mut two = LabelList::default();
        two.add("a", "x");
        two.add("a", "y");
        assert_eq!(two.iter().collect::<Vec<_>>(), [("a", "x;y")]);
    }
}
