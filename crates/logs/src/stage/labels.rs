//! The labels of one row: those of its stream, its structured metadata, and what stages make of them.
//!
//! A row's own labels live in one reused buffer, so that a million rows allocate nothing.

use std::borrow::Cow;

use base::Labels;
use base::labels::METRIC_NAME;
use lang::json_text::Outline;

use super::Wanted;
use crate::limits;

/// What a row has failed with whose labels have become too long.
pub const TOO_LONG: &str = "LabelsTooLong";
/// Set by stages that failed on a line.
pub const ERROR: &str = "__error__";
/// Says how.
pub const ERROR_DETAILS: &str = "__error_details__";
/// Says that the query itself looks at `__error__`, so that it does not fail on it.
pub const PRESERVE_ERROR: &str = "__preserve_error__";
/// Added to an extracted label's name when the stream or the metadata have it already.
pub const SUFFIX: &str = "_extracted";

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The stream's own.
    Stream,
    /// Structured metadata.
    Metadata,
    /// Made by a stage.
    Parsed,
}

/// The labels of a stream, ready for lookups.
#[derive(Clone, Debug, Default)]
pub struct SeriesLabels {
    pairs: Vec<(String, String)>,
}

impl SeriesLabels {
    /// Of a label set.
    pub fn new(labels: &Labels) -> Self {
        SeriesLabels { pairs: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect() }
    }
    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Clone, Copy, Debug)]
struct Field {
    category: Category,
    /// Set by a parser: no other parser replaces it.
    extracted: bool,
    name: (u32, u32),
    value: (u32, u32),
}

/// The labels of the row at hand.
#[derive(Debug, Default)]
pub struct RowLabels {
    series: SeriesLabels,
    removed: Vec<bool>,
    text: String,
    fields: Vec<Field>,
    error: Option<Cow<'static, str>>,
    details: String,
    preserved: bool,
    /// Space that stages use while they are at a row.
    pub scratch: String,
    /// The same, of stages that look for quotes in the line.
    pub outline: Outline,
    /// Whether what parsers fail on is meant to be seen in the answer.
    pub preserve_errors: bool,
}

impl RowLabels {
    /// Goes to another stream.
    pub fn start_series(&mut self, series: &SeriesLabels) {
        self.series.clone_from(series);
        self.start_row();
    }

    /// Goes to the next row of the stream.
    pub fn start_row(&mut self) {
        self.removed.clear();
        self.removed.resize(self.series.pairs.len(), false);
        self.text.clear();
        self.fields.clear();
        self.error = None;
        self.details.clear();
        self.preserved = false;
    }

    fn at(&self, range: (u32, u32)) -> &str {
        &self.text[range.0 as usize..range.1 as usize]
    }
    fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| self.at(f.name) == name)
    }
    fn series_index(&self, name: &str) -> Option<usize> {
        self.series.pairs.iter().zip(&self.removed).position(|((n, _), gone)| n == name && !gone)
    }

    /// The value of a label, errors included.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            ERROR => return self.error.as_deref(),
            ERROR_DETAILS => return Some(self.details.as_str()).filter(|d| !d.is_empty()),
            _ => {}
        }
        if let Some(i) = self.field(name) {
            return Some(self.at(self.fields[i].value));
        }
        self.series_index(name).map(|i| self.series.pairs[i].1.as_str())
    }

    /// Whether the stream or the metadata have `name`, so that a parser must not take it.
    pub fn is_taken(&self, name: &str) -> bool {
        self.series.get(name).is_some() || self.fields.iter().any(|f| f.category == Category::Metadata && self.at(f.name) == name)
    }

    /// Sets a label, wherever it came from before. Beyond the bound of fields nothing is added.
    pub fn set(&mut self, category: Category, name: &str, value: &str) {
        self.put(category, name, value, false);
    }

    fn put(&mut self, category: Category, name: &str, value: &str, extracted: bool) {
        match name {
            ERROR => return self.error = Some(Cow::Owned(value.to_string())),
            ERROR_DETAILS => return self.details = value.to_string(),
            _ => {}
        }
        match self.field(name) {
            Some(i) => {
                self.fields[i].value = self.keep(value);
                self.fields[i].category = category;
                self.fields[i].extracted |= extracted;
            }
            None => {
                if let Some(i) = self.series_index(name).filter(|_| self.fields.len() < limits::FIELDS_PER_LINE) {
                    self.removed[i] = true;
                }
                self.add(category, name, value, extracted);
            }
        }
    }

    /// Sets a label that is none of the row's own yet.
    fn add(&mut self, category: Category, name: &str, value: &str, extracted: bool) {
        if self.fields.len() < limits::FIELDS_PER_LINE {
            let field = Field { category, extracted, name: self.keep(name), value: self.keep(value) };
            self.fields.push(field);
        }
    }

    /// Beyond the bound of what is written for a row nothing is kept, and the row has failed.
    fn keep(&mut self, text: &str) -> (u32, u32) {
        if self.text.len() + text.len() > limits::ROW_TEXT_BYTES {
            self.fail(TOO_LONG, "stages write more for this line than four times the longest line");
            return (0, 0);
        }
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start, self.text.len() as u32)
    }

    /// Sets a label that a parser found in the line, under its other name if the stream or the metadata have it, and if
    /// `wanted` wants it. The first find of a name counts, within a parser and over several.
    pub fn extract(&mut self, name: &str, value: &str, wanted: &Wanted) -> bool {
        // Mostly it is the first one of the row, and of no name that means something else.
        if self.fields.is_empty() && !name.starts_with("__") && self.series.get(name).is_none() {
            let is_wanted = wanted.has(name);
            if is_wanted {
                self.add(Category::Parsed, name, value, true);
            }
            return is_wanted;
        }
        let suffixed;
        let name = if self.is_taken(name) {
            suffixed = format!("{name}{SUFFIX}");
            suffixed.as_str()
        } else {
            name
        };
        if !wanted.has(name) || self.field(name).is_some_and(|i| self.fields[i].extracted) {
            return false;
        }
        self.put(Category::Parsed, name, value, true);
        true
    }

    /// Adds structured metadata; a name the stream has gets the suffix.
    pub fn set_metadata(&mut self, name: &str, value: &str) {
        if self.series.get(name).is_some() {
            self.set(Category::Metadata, &format!("{name}{SUFFIX}"), value);
        } else {
            self.set(Category::Metadata, name, value);
        }
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) {
        match name {
            ERROR => return self.error = None,
            ERROR_DETAILS => return self.details.clear(),
            _ => {}
        }
        if let Some(i) = self.field(name) {
            self.fields.swap_remove(i);
        }
        if let Some(i) = self.series_index(name) {
            self.removed[i] = true;
        }
    }

    /// Where a label comes from.
    pub fn category(&self, name: &str) -> Option<Category> {
        self.field(name).map(|i| self.fields[i].category).or_else(|| self.series_index(name).map(|_| Category::Stream))
    }

    /// Marks the row as failed in a parser. Only such errors can be preserved.
    pub fn fail_parser(&mut self, error: &'static str, details: &str) {
        self.fail(error, details);
        self.preserved = self.preserve_errors;
    }
    /// Whether the query wants to see this row's error.
    pub fn is_preserved(&self) -> bool {
        self.preserved
    }
    /// Marks the row as failed.
    pub fn fail(&mut self, error: &'static str, details: &str) {
        self.error = Some(Cow::Borrowed(error));
        self.details.clear();
        self.details.push_str(details);
    }
    /// What failed, if anything did.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref().filter(|e| !e.is_empty())
    }

    /// All labels without errors, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Category, &str, &str)> {
        let own = self.fields.iter().map(|f| (f.category, self.at(f.name), self.at(f.value)));
        let series = self.series.pairs.iter().zip(&self.removed).filter(|(_, gone)| !**gone);
        own.chain(series.map(|((n, v), _)| (Category::Stream, n.as_str(), v.as_str())))
    }

    /// Appends bytes that are the same only for rows with the same labels from the same places. (Rows of equal labels may
    /// have other bytes: the order in which stages set them is in there.)
    pub fn write_as_is(&self, out: &mut Vec<u8>) {
        for (category, name, value) in self.iter() {
            out.push(category as u8);
            for text in [name, value] {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.push(u8::MAX);
        out.push(u8::from(self.preserved) | u8::from(self.error.is_some()) << 1);
        out.extend_from_slice(&(self.details.len() as u32).to_le_bytes());
        out.extend_from_slice(self.details.as_bytes());
        out.extend_from_slice(self.error.as_deref().unwrap_or_default().as_bytes());
    }

    /// Appends the canonical bytes of the labels that `keep` wants; empty values stay, as the original shows them.
    pub fn write<'a>(&'a self, out: &mut Vec<u8>, scratch: &mut Vec<(&'a str, &'a str)>, keep: impl Fn(Category, &str) -> bool) {
        scratch.clear();
        scratch.extend(self.iter().filter(|(c, n, _)| keep(*c, n)).map(|(_, n, v)| (n, v)));
        if let Some(e) = self.error.as_deref() {
            let wanted = |n| keep(Category::Parsed, n);
            scratch.extend(wanted(ERROR).then_some((ERROR, e)));
            scratch.extend((!self.details.is_empty() && wanted(ERROR_DETAILS)).then_some((ERROR_DETAILS, self.details.as_str())));
            scratch.extend((self.preserved && wanted(PRESERVE_ERROR)).then_some((PRESERVE_ERROR, "true")));
        } else if !self.details.is_empty() && keep(Category::Parsed, ERROR_DETAILS) {
            scratch.push((ERROR_DETAILS, &self.details));
        }
        write_canonical(out, scratch);
    }
}

/// Sorts pairs into the canonical order and appends their bytes.
pub fn write_canonical(out: &mut Vec<u8>, pairs: &mut [(&str, &str)]) {
    pairs.sort_unstable_by(|a, b| (a.0 != METRIC_NAME, a.0).cmp(&(b.0 != METRIC_NAME, b.0)));
    for (n, v) in pairs {
        out.extend_from_slice(n.as_bytes());
        out.push(base::labels::SEP);
        out.extend_from_slice(v.as_bytes());
        out.push(base::labels::SEP);
    }
}

/// A label set of pairs that may have empty values.
pub fn labels_of(mut pairs: Vec<(&str, &str)>) -> Labels {
    let mut bytes = vec![];
    write_canonical(&mut bytes, &mut pairs);
    // The pairs are UTF-8 and each is written with its separators.
    Labels::from_canonical(&bytes).unwrap_or_default()
}

/// Appends `key` as a label name: what cannot be in one becomes `_`, a digit in front gets one.
pub fn push_sanitized(out: &mut String, key: &str, is_start: bool) {
    if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !(is_start && key.starts_with(|c: char| c.is_ascii_digit())) {
        return out.push_str(key);
    }
    let key = key.trim();
    if is_start && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RowLabels {
        let mut r = RowLabels::default();
        r.start_series(&SeriesLabels::new(&Labels::from_pairs([("app", "a"), ("env", "p")]).unwrap()));
        r
    }

    fn all(r: &RowLabels) -> String {
        let (mut bytes, mut scratch) = (vec![], vec![]);
        r.write(&mut bytes, &mut scratch, |_, _| true);
        Labels::from_canonical(&bytes).unwrap().to_string()
    }

    /// What is written over again counts as well: a query doubled a label as often as it was long.
    #[test]
    fn a_row_has_so_much_text_and_no_more() {
        let mut r = row();
        let long = "x".repeat(base::limits::LINE_BYTES);
        for _ in 0..3 {
            r.set(Category::Parsed, "x", &long);
        }
        assert_eq!((r.error(), r.get("x")), (None, Some(&long[..])));
        for _ in 0..1000 {
            r.set(Category::Parsed, "x", &long);
        }
        assert_eq!((r.error(), r.get("x")), (Some(TOO_LONG), Some("")));
        assert!(r.get(ERROR_DETAILS).is_some_and(|d| d.contains("four times")) && r.text.len() <= limits::ROW_TEXT_BYTES);
        r.start_row();
        assert_eq!(r.error(), None);
    }

    #[test]
    fn later_values_hide_earlier_ones() {
        let mut r = row();
        r.set(Category::Parsed, "app", "b");
        r.set(Category::Parsed, "x", "1");
        r.set(Category::Parsed, "x", "2");
        r.remove("env");
        assert_eq!(all(&r), r#"{app="b", x="2"}"#);
        r.remove("app");
        assert_eq!(r.get("app"), None);
        r.start_row();
        assert_eq!(all(&r), r#"{app="a", env="p"}"#);
    }

    #[test]
    fn metadata_gives_way_to_the_stream_and_errors_are_labels() {
        let mut r = row();
        r.set_metadata("app", "m");
        assert!(r.is_taken("app_extracted") && r.is_taken("app") && !r.is_taken("x"));
        r.fail("JSONParserErr", "why");
        assert_eq!(all(&r), r#"{__error__="JSONParserErr", __error_details__="why", app="a", app_extracted="m", env="p"}"#);
    }

    #[test]
    fn names_are_sanitised() {
        let name = |k: &str| {
            let mut s = String::new();
            push_sanitized(&mut s, k, true);
            s
        };
        assert_eq!((name("a.b-c").as_str(), name("1x").as_str(), name(" é ").as_str()), ("a_b_c", "_1x", "_"));
    }

    #[test]
    fn a_line_cannot_add_labels_without_end() {
        let mut r = row();
        for i in 0..limits::FIELDS_PER_LINE + 10 {
            r.set(Category::Parsed, &format!("f{i}"), "v");
        }
        assert_eq!(r.iter().count(), limits::FIELDS_PER_LINE + 2);
    }
}
