//! What may not be left lying about: stubs, notes to oneself, tests that are switched off.

use crate::source::{Source, without_comments};

/// What each is forbidden for. Spelt in two halves, or this file would break its own rule.
const IN_TEXT: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME"), ("XX", "X:")];
const IN_CODE: &[(&str, &str)] = &[("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ign", "ore")];
/// Module names that say nothing about what is inside.
const NAMES: &[&str] = &["common", "utils", "util", "helpers", "helper", "manager", "misc"];

/// What is left in a file.
pub fn judge(source: &Source) -> Vec<String> {
    let code = without_comments(&source.text);
    let found = |text: &str, list: &[(&str, &str)]| {
        let whole: Vec<String> = list.iter().map(|(a, b)| format!("{a}{b}")).collect();
        whole.into_iter().filter(|w| text.contains(w.as_str())).map(|w| format!("{} contains {w}", source.path)).collect::<Vec<_>>()
    };
    let mut wrong = found(&source.text, IN_TEXT);
    wrong.extend(found(&code, IN_CODE));
    let parts = source.path.trim_end_matches(".rs").split('/');
    wrong.extend(parts.filter(|p| NAMES.contains(p)).map(|p| format!("{}: {p} says nothing about what is inside", source.path)));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_leftovers_are_caught() {
        let judge = |path: &str, text: String| judge(&Source { path: path.into(), text }).len();
        assert_eq!(judge("a.rs", format!("// {}{}: later", "TO", "DO")), 1);
        assert_eq!(judge("a.rs", format!("{}{})", "todo", "!(")), 1);
        assert_eq!(judge("a.rs", format!("{}{}]\nfn t() {{}}", "#[ign", "ore")), 1);
        assert_eq!(judge("a.rs", format!("// {}{}) is forbidden", "dbg", "!(")), 0, "in a comment it is a word");
        assert_eq!(judge("src/utils.rs", String::new()), 1);
        assert_eq!(judge("src/utils/a.rs", String::new()), 1);
        assert_eq!(judge("src/a.rs", "fn a() {}".into()), 0);
    }
}
