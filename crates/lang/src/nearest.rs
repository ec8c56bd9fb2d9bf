//! What was probably meant by a word that is not known.

/// The word with the least edits, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, among: &[&'a str]) -> Option<&'a str> {
    among.iter().map(|w| (distance(word, w), *w)).filter(|(d, w)| *d <= 1 + w.len() / 3).min_by_key(|(d, _)| *d).map(|(_, w)| w)
}

/// Edits that make `b` of `a`: insert, remove, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut d = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let mut best = (d[i - 1][j] + 1).min(d[i][j - 1] + 1).min(d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        best = best.min(d[i - 2][j - 2] + 1);
                    }
                    best
                }
            };
        }
    }
    d[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(nearest("retnetion", &["limits", "retention"]), Some("retention"));
        assert_eq!(nearest("kep", &["drop", "keep"]), Some("keep"));
        assert_eq!(nearest("colour", &["limits", "retention"]), None);
        assert_eq!(nearest("", &[]), None);
    }
}
