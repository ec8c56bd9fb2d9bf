//! Numbers for the label sets that rows are grouped by.

use std::collections::HashMap;

use base::{Error, Kind, Labels, Result};

use super::budget::{Budget, ENTRY_BYTES};
use crate::limits;
use crate::logql::ast::Grouping;
use crate::stage::{Category, RowLabels};

/// Which labels make a row's series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// All but these.
    Without(Vec<String>),
    /// These.
    By(Vec<String>),
}

impl Key {
    /// Of a `by` or `without` clause.
    pub fn of(grouping: &Grouping) -> Self {
        if grouping.without { Key::Without(grouping.labels.clone()) } else { Key::By(grouping.labels.clone()) }
    }
    /// Whether label `name` is in.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Key::Without(l) => !l.iter().any(|x| x == name),
            Key::By(l) => l.iter().any(|x| x == name),
        }
    }
    /// The part of a label set that is in. An empty label, which stages can make, is none.
    pub fn of_labels(&self, labels: &Labels) -> Labels {
        crate::stage::labels::labels_of(labels.iter().filter(|(n, v)| self.has(n) && !v.is_empty()).collect())
    }
}

/// Label sets in the order they were met.
pub struct Keys<'b> {
    budget: &'b Budget,
    /// Of the budget.
    taken: usize,
    numbers: HashMap<Box<[u8]>, u32>,
    labels: Vec<Labels>,
    /// Of all of them, twice.
    bytes: usize,
    buffer: Vec<u8>,
}

impl<'b> Keys<'b> {
    /// None yet.
    pub fn new(budget: &'b Budget) -> Self {
        Keys { budget, taken: 0, numbers: HashMap::new(), labels: vec![], bytes: 0, buffer: vec![] }
    }
    /// The number of a row's labels, and whether it is new.
    pub fn number(&mut self, labels: &RowLabels, key: &Key) -> Result<(u32, bool)> {
        self.buffer.clear();
        let mut scratch = vec![];
        labels.write(&mut self.buffer, &mut scratch, |_: Category, n| key.has(n));
        self.intern()
    }
    /// The number of a label set, and whether it is new.
    pub fn number_of(&mut self, labels: &Labels) -> Result<(u32, bool)> {
        self.buffer.clear();
        self.buffer.extend_from_slice(labels.as_bytes());
        self.intern()
    }

    fn intern(&mut self) -> Result<(u32, bool)> {
        if let Some(&n) = self.numbers.get(self.buffer.as_slice()) {
            return Ok((n, false));
        }
        if self.labels.len() >= limits::INNER_SERIES {
            return Err(Error::new(
                Kind::Unprocessable,
                format!("the query makes more than {} series before they are aggregated; group by fewer labels", limits::INNER_SERIES),
            ));
        }
        self.bytes += 2 * self.buffer.len();
        if self.bytes > limits::LABEL_SETS_BYTES {
            return Err(Error::new(Kind::Unprocessable, "the labels of the query's groups are too long; group by fewer or shorter ones"));
        }
        let bytes = 2 * (self.buffer.len() + ENTRY_BYTES);
        self.budget.take(bytes)?;
        self.taken += bytes;
        let n = self.labels.len() as u32;
        self.labels.push(Labels::from_canonical(&self.buffer)?);
        self.numbers.insert(self.buffer.as_slice().into(), n);
        Ok((n, true))
    }

    /// Lets go of them.
    pub fn give_back(self) {
        self.budget.give(self.taken);
    }

    /// All label sets, by number.
    pub fn labels(&self) -> &[Labels] {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::SeriesLabels;

    #[test]
    fn equal_labels_have_one_number() {
        let budget = Budget::new(1 << 20, table::Cancel::default());
        let mut keys = Keys::new(&budget);
        let mut row = RowLabels::default();
        row.start_series(&SeriesLabels::new(&Labels::from_pairs([("a", "1"), ("b", "2")]).unwrap()));
        let by = Key::By(vec!["a".into(), "x".into()]);
        assert_eq!(keys.number(&row, &by).unwrap(), (0, true));
        row.set(Category::Parsed, "y", "3");
        assert_eq!(keys.number(&row, &by).unwrap(), (0, false));
        row.remove("y");
        assert_eq!(keys.number(&row, &Key::Without(vec!["a".into()])).unwrap(), (1, true));
        assert_eq!(keys.labels()[1].to_string(), r#"{b="2"}"#);
        assert_eq!(keys.number_of(&Labels::from_pairs([("b", "2")]).unwrap()).unwrap(), (1, false));
    }
}
