//! Imports run downwards only.

/// Who may import whom among our own crates, in the code that ships. What is not listed is forbidden, so a new edge is
/// a line in a review.
pub const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("disk", &["base"]),
    ("wal", &["base", "disk"]),
    ("store", &["base", "disk"]),
    ("table", &["base", "disk", "wal", "store"]),
    ("cluster", &["base", "disk", "wal", "store", "table"]),
    ("wire", &["base"]),
    ("lang", &["base"]),
    ("logs", &["base", "table", "wire", "lang"]),
    ("metrics", &["base", "table", "wire", "lang"]),
    ("traces", &["base", "table", "wire", "lang"]),
    ("agent", &["base", "disk", "wal", "wire", "lang"]),
    ("server", &["base", "table", "cluster", "wire", "lang", "logs", "metrics", "traces", "agent"]),
    ("watchfire", &["base", "disk", "wal", "store", "table", "cluster", "wire", "lang", "logs", "metrics", "traces", "agent", "server"]),
    ("house", &[]),
];

/// What tests may import beside that: the ground to stand a store on, still nothing from above.
pub const TESTS_MAY_IMPORT: &[(&str, &[&str])] =
    &[("logs", &["disk", "wal"]), ("metrics", &["disk", "wal"]), ("traces", &["disk", "wal"]), ("server", &["disk", "wal"])];

/// An import: from, to, and whether only tests have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The crate that imports.
    pub from: String,
    /// The crate that is imported.
    pub to: String,
    /// A development dependency.
    pub tests_only: bool,
}

/// What is wrong with an edge, if anything.
pub fn judge(edge: &Edge) -> Option<String> {
    let listed = |list: &[(&str, &[&str])]| list.iter().find(|(from, _)| *from == edge.from).map(|(_, to)| to.contains(&edge.to.as_str()));
    match listed(MAY_IMPORT) {
        None => Some(format!("{} is not in the list of crates: say what it may import", edge.from)),
        Some(true) => None,
        Some(false) if edge.tests_only && listed(TESTS_MAY_IMPORT) == Some(true) => None,
        Some(false) => Some(format!("{} may not import {}", edge.from, edge.to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, tests_only: bool) -> Edge {
        Edge { from: from.into(), to: to.into(), tests_only }
    }

    #[test]
    fn upward_and_sideways_edges_are_caught() {
        for (from, to) in
            [("base", "table"), ("table", "logs"), ("wal", "table"), ("logs", "metrics"), ("agent", "table"), ("wire", "lang")]
        {
            assert!(judge(&edge(from, to, false)).is_some(), "{from} -> {to}");
            assert!(judge(&edge(from, to, true)).is_some(), "{from} -> {to} in tests");
        }
        assert!(judge(&edge("attic", "base", false)).is_some(), "a crate nobody listed");
    }

    #[test]
    fn downward_edges_pass() {
        for (from, to) in [("table", "wal"), ("logs", "table"), ("watchfire", "agent"), ("server", "traces")] {
            assert_eq!(judge(&edge(from, to, false)), None, "{from} -> {to}");
        }
        assert!(judge(&edge("logs", "disk", false)).is_some());
        assert_eq!(judge(&edge("logs", "disk", true)), None);
    }

    /// The lists themselves must have no way round: following allowed imports never leads back.
    #[test]
    fn the_lists_have_no_cycle() {
        fn reaches(from: &str, to: &str, depth: usize) -> bool {
            assert!(depth < MAY_IMPORT.len(), "a cycle through {from}");
            let both = MAY_IMPORT.iter().chain(TESTS_MAY_IMPORT).filter(|(f, _)| *f == from);
            both.flat_map(|(_, to)| to.iter()).any(|next| *next == to || reaches(next, to, depth + 1))
        }
        MAY_IMPORT.iter().for_each(|(name, _)| assert!(!reaches(name, name, 0), "{name} reaches itself"));
    }
}
