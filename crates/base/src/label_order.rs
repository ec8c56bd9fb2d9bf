//! The order in which label sets are shown: pair by pair in the order of the names, a text before those that it begins. It is Prometheus'
//! order, which its readers rely on where they merge answers. The order of the canonical bytes, in which series are kept, is another: there a
//! text comes after those that it begins, and the metric's name before all other names.

use std::cmp::Ordering;

use crate::labels::{Labels, METRIC_NAME, SEP};

/// Sorts what has labels.
pub fn sort_by_labels<T>(items: &mut [T], labels: impl Fn(&T) -> &Labels) {
    if items.iter().all(|x| is_in_order(labels(x))) {
        items.sort_by(|a, b| by_bytes(labels(a).as_bytes(), labels(b).as_bytes()));
    } else {
        items.sort_by(|a, b| compare(labels(a), labels(b)));
    }
}

/// The order of two label sets.
pub fn compare(a: &Labels, b: &Labels) -> Ordering {
    if is_in_order(a) && is_in_order(b) {
        return by_bytes(a.as_bytes(), b.as_bytes());
    }
    sorted_pairs(a).cmp(&sorted_pairs(b))
}

fn sorted_pairs(l: &Labels) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = l.iter().collect();
    pairs.sort_unstable();
    pairs
}

/// Whether the canonical order of the pairs is that of their names: no name comes before the metric's.
fn is_in_order(l: &Labels) -> bool {
    let mut names = l.iter().map(|(n, _)| n);
    names.next() != Some(METRIC_NAME) || names.next().is_none_or(|n| n > METRIC_NAME)
}

/// By canonical bytes, in which the end of a text is before all letters.
fn by_bytes(a: &[u8], b: &[u8]) -> Ordering {
    let at = common_prefix(a, b);
    // No letter is greater than the end mark; one more, it wraps round to 0.
    let place = |x: &[u8]| x.get(at).map(|c| c.wrapping_sub(SEP));
    place(a).cmp(&place(b))
}

/// How many bytes two texts have in common at the beginning.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (x, y) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let alike = 8 * x.iter().zip(y).take_while(|(x, y)| x == y).count();
    alike + a[alike..].iter().zip(&b[alike..]).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn a_text_comes_before_those_that_it_begins() {
        let sets = [
            &[][..],
            &[("Z", "b"), ("__name__", "a")],
            &[("__name__", "up")],
            &[("__name__", "up"), ("i", "1")],
            &[("__name__", "up"), ("i", "1"), ("zone", "a")],
            &[("__name__", "up"), ("i", "10")],
            &[("__name__", "up"), ("i", "2")],
            &[("__name__", "up"), ("i", "\u{e9}")],
            &[("__name__", "up"), ("instance", "1")],
            &[("__name__", "up_total"), ("i", "0")],
            &[("i", "0")],
        ];
        let wanted: Vec<Labels> = sets.iter().map(|s| set(s)).collect();
        let mut sorted: Vec<Labels> = wanted.iter().rev().cloned().collect();
        sort_by_labels(&mut sorted, |l| l);
        assert_eq!(sorted, wanted);
        // And without the one whose names are in another order.
        let mut sorted: Vec<Labels> = wanted.iter().rev().filter(|l| l.get("Z").is_none()).cloned().collect();
        sort_by_labels(&mut sorted, |l| l);
        assert_eq!(sorted, [&wanted[..1], &wanted[2..]].concat());
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        let name = prop_oneof!["__name__", "A", "a", "ab", "abc"];
        let pairs = proptest::collection::btree_map(name, "[a-c\u{e9}]{0,12}", 0..4);
        pairs.prop_map(|p| Labels::from_pairs(p).unwrap())
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_the_sorted_pairs(a in some_labels(), b in some_labels()) {
            prop_assert_eq!(compare(&a, &b), sorted_pairs(&a).cmp(&sorted_pairs(&b)));
        }
    }
}
