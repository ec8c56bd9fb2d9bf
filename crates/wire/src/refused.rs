//! Which entries of a body were refused for good, in a header of the answer: a sender that understands it need not look for them
//! by sending halves of the body again.
//!
//! Entries are numbered from 0 in the order of the body. The value is a list of numbers and ranges that rise: `3,8-12`. An answer
//! with this header says that everything else of the body is stored.

use std::ops::RangeInclusive;

/// The header's name.
pub const HEADER: &str = "x-watchfire-refused";

/// Bytes of the value. Proxies take headers of a few kilobytes; an answer that would need more has none.
const VALUE_BYTES: usize = 2048;

/// The value for these numbers, which rise; none if it would be too long, or if there is none.
pub fn write(ordinals: impl Iterator<Item = u32>) -> Option<String> {
    let mut ranges: Vec<RangeInclusive<u32>> = vec![];
    for n in ordinals {
        match ranges.last().map(|r| *r.end()) {
            Some(end) if end >= n => return None,
            Some(end) if end + 1 == n => {
                let start = ranges.pop().map_or(n, |r| *r.start());
                ranges.push(start..=n);
            }
            _ if ranges.len() > VALUE_BYTES / 2 => return None,
            _ => ranges.push(n..=n),
        }
    }
    let one = |r: &RangeInclusive<u32>| if r.start() == r.end() { r.start().to_string() } else { format!("{}-{}", r.start(), r.end()) };
    let text = ranges.iter().map(one).collect::<Vec<_>>().join(",");
    (!text.is_empty() && text.len() <= VALUE_BYTES).then_some(text)
}

/// The ranges of a value, which rise and do not touch; none if it is not of this form.
pub fn read(value: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let mut ranges: Vec<RangeInclusive<u32>> = vec![];
    for part in value.split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || ranges.last().is_some_and(|r| *r.end() >= first) {
            return None;
        }
        ranges.push(first..=last);
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_of_the_value() {
        assert_eq!(write([3, 8, 9, 10, 12].into_iter()).unwrap(), "3,8-10,12");
        assert_eq!(write([].into_iter()), None);
        assert_eq!(write([2, 2].into_iter()), None);
        assert_eq!(write((0..4000).map(|n| n * 2)), None, "too long for a header");
        assert_eq!(write(0..4_000_000).unwrap(), "0-3999999");
        for bad in ["", "a", "3-2", "1,1", "-1", "5,4"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(set in prop::collection::btree_set(0..2000_u32, 1..60)) {
            let ranges = read(&write(set.iter().copied()).unwrap()).unwrap();
            prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
        }
    }
}
