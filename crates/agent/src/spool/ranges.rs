//! A set of numbers that is nearly all of those below one of them.

use std::collections::BTreeMap;

use base::attrs::{read_varint, write_varint};

/// Numbers that are done with: all below `floor`, and some stretches above it. Acknowledgements come in order but for a
/// few lanes, so there are few stretches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    floor: u64,
    /// From and to (exclusive), neither touching each other nor `floor`.
    above: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Everything below `floor`.
    pub fn below(floor: u64) -> Ranges {
        Ranges { floor, above: BTreeMap::new() }
    }
    /// The first number that is not in the set.
    pub fn floor(&self) -> u64 {
        self.floor
    }
    /// Whether it is in the set.
    pub fn contains(&self, n: u64) -> bool {
        n < self.floor || self.above.range(..=n).next_back().is_some_and(|(_, to)| n < *to)
    }
    /// Adds `from..to`.
    pub fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to || to <= self.floor {
            return;
        }
        if let Some((&f, &t)) = self.above.range(..=from).next_back()
            && t >= from
        {
            (from, to) = (f, to.max(t));
        }
        while let Some((&f, &t)) = self.above.range(from..=to).next() {
            self.above.remove(&f);
            to = to.max(t);
        }
        if from <= self.floor {
            self.floor = to;
        } else {
            self.above.insert(from, to);
        }
    }
    /// The stretches above the floor.
    pub fn above(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.above.iter().map(|(f, t)| (*f, *t))
    }
    /// Appends the stored form: floor, number of stretches, their ends, as varints.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_varint(out, self.floor);
        write_varint(out, self.above.len() as u64);
        for (from, to) in self.above() {
            write_varint(out, from);
            write_varint(out, to);
        }
    }
    /// Reads the stored form, and gives what follows it.
    pub fn decode(b: &[u8]) -> Option<(Ranges, &[u8])> {
        let (floor, b) = read_varint(b)?;
        let (count, mut b) = read_varint(b)?;
        let mut ranges = Ranges::below(floor);
        for _ in 0..count {
            let (from, rest) = read_varint(b)?;
            let (to, rest) = read_varint(rest)?;
            b = rest;
            ranges.add(from, to);
        }
        Some((ranges, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_it_says(adds in proptest::collection::vec((0u64..60, 0u64..12), 0..30), floor in 0u64..10) {
            let mut ranges = Ranges::below(floor);
            let mut model: BTreeSet<u64> = (0..floor).collect();
            for (from, len) in adds {
                ranges.add(from, from + len);
                model.extend(from..from + len);
            }
            for n in 0..80 {
                prop_assert_eq!(ranges.contains(n), model.contains(&n), "{}", n);
            }
            prop_assert!(!model.contains(&ranges.floor()));
            let mut out = vec![];
            ranges.encode(&mut out);
            out.push(7);
            let (back, rest) = Ranges::decode(&out).unwrap();
            prop_assert_eq!((back, rest), (ranges, &[7u8][..]));
        }
    }
}
