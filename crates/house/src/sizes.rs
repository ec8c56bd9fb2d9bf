//! Files fit in a head: size is ratcheted, not preached.

use crate::source::Source;

/// Lines a source file may have, tests in it included. The aim is 600 of code; this is where it stops.
pub const MAX_LINES: usize = 700;

/// Files that are longer, with the length they may have. The list only shrinks: a file that became shorter takes its
/// new length here, and one that fits goes.
pub const LONGER: &[(&str, usize)] = &[];

/// What is wrong with the lengths of these files.
pub fn judge(sources: &[Source], longer: &[(&str, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for s in sources.iter().filter(|s| !s.is_tests()) {
        let lines = s.text.lines().count();
        match longer.iter().find(|(path, _)| *path == s.path) {
            None if lines > MAX_LINES => wrong.push(format!("{} has {lines} lines: {MAX_LINES} are enough", s.path)),
            Some((_, allowed)) if lines > *allowed => wrong.push(format!("{} grew from {allowed} to {lines} lines", s.path)),
            Some(_) if lines <= MAX_LINES => wrong.push(format!("{} fits now: take it off the list", s.path)),
            Some((_, allowed)) if lines + 20 < *allowed => wrong.push(format!("{} has only {lines} lines now: say so in the list", s.path)),
            _ => {}
        }
    }
    let gone = longer.iter().filter(|(path, _)| !sources.iter().any(|s| s.path == *path));
    wrong.extend(gone.map(|(path, _)| format!("{path} is on the list and does not exist")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratchet_turns_one_way() {
        let file = |lines: usize| vec![Source { path: "crates/x/src/a.rs".into(), text: "x\n".repeat(lines) }];
        let a = "crates/x/src/a.rs";
        assert_eq!(judge(&file(700), &[]).len(), 0);
        assert_eq!(judge(&file(701), &[]).len(), 1, "too long");
        assert_eq!(judge(&file(900), &[(a, 900)]).len(), 0);
        assert_eq!(judge(&file(901), &[(a, 900)]).len(), 1, "grew");
        assert_eq!(judge(&file(800), &[(a, 900)]).len(), 1, "shrank, and the list does not say so");
        assert_eq!(judge(&file(600), &[(a, 900)]).len(), 1, "fits");
        assert_eq!(judge(&[], &[(a, 900)]).len(), 1, "gone");
        let tests = vec![Source { path: "crates/x/src/a/tests.rs".into(), text: "x\n".repeat(2000) }];
        assert_eq!(judge(&tests, &[]).len(), 0);
    }
}
