//! Times in the layouts of Go's `time` package: a layout shows how the instant `Mon Jan 2 15:04:05 MST 2006` would look.

mod civil;
mod read;
mod write;

pub use civil::{Civil, days_from_civil};

/// RFC 3339, any fraction.
pub const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// Layouts that have a name in Go's `time` package.
const NAMED: &[(&str, &str)] = &[
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", RFC3339_NANO),
];

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The layout that has this name in Go.
pub fn named(name: &str) -> Option<&'static str> {
    NAMED.iter().find(|(n, _)| *n == name).map(|(_, l)| *l)
}

/// One element of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongDay,
    ShortDay,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// Whether `Z` stands for UTC, whether there is a colon, and how many pairs of digits there are.
    Offset {
        z: bool,
        colon: bool,
        pairs: u8,
    },
    /// Separator, digits, and whether zeros at the end are left out.
    Fraction {
        separator: char,
        digits: usize,
        trim: bool,
    },
}

/// A layout, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<Part>);

impl Layout {
    /// Reads a layout. Everything is one: what names no element stands for itself.
    pub fn new(layout: &str) -> Layout {
        let mut parts: Vec<Part> = vec![];
        let mut rest = layout;
        let mut literal = String::new();
        while let Some(c) = rest.chars().next() {
            match element(rest) {
                Some((part, n)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = &rest[n..];
                }
                None => {
                    // `_2006` is an underscore and a year.
                    literal.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Layout(parts)
    }

    /// Whether the layout has a year.
    pub fn has_year(&self) -> bool {
        self.0.iter().any(|p| matches!(p, Part::Year | Part::LongYear))
    }
}

/// The element that a text begins with, and its length.
fn element(t: &str) -> Option<(Part, usize)> {
    const PLAIN: &[(&str, Part)] = &[
        ("January", Part::LongMonth),
        ("Monday", Part::LongDay),
        ("MST", Part::ZoneName),
        ("002", Part::ZeroYearDay),
        ("01", Part::ZeroMonth),
        ("02", Part::ZeroDay),
        ("03", Part::ZeroHour12),
        ("04", Part::ZeroMinute),
        ("05", Part::ZeroSecond),
        ("06", Part::Year),
        ("15", Part::Hour),
        ("1", Part::NumMonth),
        ("2006", Part::LongYear),
        ("2", Part::Day),
        ("__2", Part::UnderYearDay),
        ("3", Part::Hour12),
        ("4", Part::Minute),
        ("5", Part::Second),
        ("PM", Part::UpperPm),
        ("pm", Part::LowerPm),
    ];
    let followed_by_lower = |n: usize| t[n..].starts_with(|c: char| c.is_ascii_lowercase());
    if let Some((text, part)) = PLAIN.iter().find(|(text, _)| t.starts_with(text)) {
        return Some((part.clone(), text.len()));
    }
    for (text, part) in [("Jan", Part::Month), ("Mon", Part::ShortDay)] {
        if t.starts_with(text) && !followed_by_lower(3) {
            return Some((part, 3));
        }
    }
    if t.starts_with("_2") && !t.starts_with("_2006") {
        return Some((Part::UnderDay, 2));
    }
    match t.as_bytes()[0] {
        b @ (b'-' | b'Z') => offset(&t[1..], b == b'Z'),
        b'.' | b',' => fraction(t),
        _ => None,
    }
}

fn offset(after_sign: &str, z: bool) -> Option<(Part, usize)> {
    [("07:00:00", true, 3), ("070000", false, 3), ("07:00", true, 2), ("0700", false, 2), ("07", false, 1)]
        .into_iter()
        .find(|(text, ..)| after_sign.starts_with(text))
        .map(|(text, colon, pairs)| (Part::Offset { z, colon, pairs }, text.len() + 1))
}

/// `.000` or `.999`, as long as no other digit follows.
fn fraction(t: &str) -> Option<(Part, usize)> {
    let digit = t.chars().nth(1).filter(|c| matches!(c, '0' | '9'))?;
    let digits = t[1..].chars().take_while(|c| *c == digit).count();
    let ends = !t[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    let separator = t.chars().next()?;
    ends.then_some((Part::Fraction { separator, digits, trim: digit == '9' }, 1 + digits))
}

#[cfg(test)]
mod tests;
