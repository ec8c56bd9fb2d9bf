//! Upper and lower case as Go's `strings.ToUpper` and `ToLower` have it: letter by letter, each becoming one letter.

/// In lower case.
pub fn to_lower(text: &str) -> String {
    text.chars().map(|c| one(c, c.to_lowercase())).collect()
}

/// In upper case; a letter that has no single upper case, such as `ß`, stays.
pub fn to_upper(text: &str) -> String {
    text.chars().map(|c| one(c, c.to_uppercase())).collect()
}

/// The letter and nothing else, or the one it was.
fn one(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(c) } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_map_one_to_one() {
        assert_eq!((to_upper("aßé"), to_lower("AÉΣ")), ("AßÉ".to_owned(), "aéσ".to_owned()));
    }
}
