//! Byte ranges of a source text.

/// Bytes `start..end` of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end`; a source is far below 4 GiB, anything above saturates.
    pub fn new(start: usize, end: usize) -> Self {
        let to = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: to(start), end: to(end) }
    }
    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
    /// The text of it; empty if it does not lie on character borders of `source`.
    pub fn of(self, source: &str) -> &str {
        source.get(self.start as usize..self.end as usize).unwrap_or("")
    }
    /// Line and column of its start, both from 1; columns count characters.
    pub fn line_column(self, source: &str) -> (usize, usize) {
        let mut at = (self.start as usize).min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &source[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A value and where it was written. Two are equal when their values are.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Spanned { value, span }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let s = "añb\ncd";
        assert_eq!(Span::new(0, 1).line_column(s), (1, 1));
        assert_eq!(Span::new(3, 4).line_column(s), (1, 3));
        assert_eq!(Span::new(6, 7).line_column(s), (2, 2));
        assert_eq!(Span::new(99, 99).line_column(s), (2, 3));
        assert_eq!(Span::new(2, 3).of(s), "", "in the middle of a character");
    }
}
