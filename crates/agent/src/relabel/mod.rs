//! Relabelling as Prometheus has it (`model/relabel`, documented under `<relabel_config>`): an ordered list of rules that
//! rewrite a label set or drop it.
//!
//! | action | what it does |
//! |---|---|
//! | `replace` | writes `replacement`, filled from the match, to `target_label`; an empty result removes the label |
//! | `keep`, `drop` | drops what does not match, or does |
//! | `keepequal`, `dropequal` | drops where the joined source differs from `target_label`, or equals it |
//! | `hashmod` | writes the MD5 of the joined source modulo `modulus` to `target_label` |
//! | `labelmap` | copies each label whose name matches to the name that `replacement` makes of it |
//! | `labeldrop`, `labelkeep` | removes labels whose names match, or do not |
//! | `lowercase`, `uppercase` | writes the joined source in that case to `target_label` |
//!
//! Patterns are RE2, match the whole value, and `.` matches a line break. Names follow the rule that Prometheus has by
//! default since 3.0: any text that is not empty.

mod rule;

use base::Labels;

pub use rule::Rule;

use crate::label_set::LabelSet;

/// Applies `rules` in their order; `None` if one of them drops the set.
pub fn apply(rules: &[Rule], labels: &Labels) -> Option<Labels> {
    let mut set = LabelSet::from(labels.clone());
    if !apply_to(rules, &mut set) {
        return None;
    }
    // Names in a set are distinct, which is all that could be wrong.
    set.to_labels().ok()
}

/// The same in place; false if a rule drops the set, which is then of no use.
pub fn apply_to(rules: &[Rule], set: &mut LabelSet) -> bool {
    rules.iter().all(|r| r.apply(set))
}

/// What is left of a target's labels after relabelling: names beginning with `__` are for the rules alone.
pub fn without_internal(labels: &Labels) -> Labels {
    let mut set = LabelSet::from(labels.clone());
    drop_internal(&mut set);
    set.to_labels().unwrap_or_else(|_| labels.clone())
}

/// The same in place.
pub fn drop_internal(set: &mut LabelSet) {
    set.retain(|n| !n.starts_with("__"));
}

#[cfg(test)]
mod tests;
