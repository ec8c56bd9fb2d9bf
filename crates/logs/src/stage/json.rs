//! `| json`: every scalar of an object becomes a label, nested keys joined by `_`; or only the named ones.

use base::Result;
use table::Cancel;

use super::json_path::{self, Step};
use super::labels::{SUFFIX, push_sanitized};
use super::{Category, Row, RowLabels, Stage, Wanted, clean};
use crate::logql::ast::Extraction;
use lang::json_text::{JsonCursor, Outline, Value, Wrong, unescape};

/// The value of `__error__`.
pub const JSON_ERROR: &str = "JSONParserErr";

/// `| json`.
pub struct JsonStage {
    wanted: Wanted,
    first: FirstLetters,
}

/// First bytes of keys that are worth a look: those with which a wanted name begins, and all with which a key begins that is not plainly a
/// name.
struct FirstLetters {
    begins: [bool; 256],
    /// Keys that come to be wanted names as they are.
    whole: Vec<String>,
    shortest: usize,
}

impl JsonStage {
    /// Extracts what is wanted; as soon as all of it is found, the rest of the line is not read.
    pub fn new(wanted: Wanted) -> Self {
        let begins = |b: u8| match &wanted {
            Wanted::All => true,
            Wanted::Only(names) => !is_of_name(b) || b.is_ascii_digit() || names.iter().any(|n| n.as_bytes().first() == Some(&b)),
        };
        let names = if let Wanted::Only(names) = &wanted { &names[..] } else { &[] };
        let stems = names.iter().filter_map(|n| n.strip_suffix(SUFFIX)).map(str::to_string);
        let whole: Vec<String> = names.iter().cloned().chain(stems).collect();
        let shortest = whole.iter().map(String::len).min().unwrap_or(0);
        let first = FirstLetters { begins: std::array::from_fn(|b| begins(b as u8)), whole, shortest };
        JsonStage { wanted, first }
    }
}

fn is_of_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl FirstLetters {
    /// Whether somebody wants a label that comes of the member `key` of a line. It is asked of every member of every line, and mostly
    /// its first letter tells.
    #[inline]
    fn may_be_wanted(&self, key: &str, wanted: &Wanted) -> bool {
        key.as_bytes().first().is_none_or(|b| self.begins[usize::from(*b)]) && may_be_wanted("", key, wanted)
    }

    /// The same if the member is no object, so that its key alone makes the name, and the key has no escapes.
    #[inline]
    fn may_be_wanted_whole(&self, key: &str) -> bool {
        if key.as_bytes().first().is_some_and(|b| !self.begins[usize::from(*b)]) {
            return false;
        }
        // What becomes a name gets longer by a `_` at most.
        key.len() + 1 >= self.shortest && (self.whole.iter().any(|n| n.len() == key.len() && n == key) || !is_plainly_name(key))
    }
}

/// The same for a member of the object whose name is `prefix`. What is not plainly a name is looked at closely.
fn may_be_wanted(prefix: &str, key: &str, wanted: &Wanted) -> bool {
    let Wanted::Only(names) = wanted else { return true };
    // Nested names are joined by one more character.
    let at = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
    // An empty text has no place in memory, and comparing at no place is slow on some processors.
    let is_under = |n: &String| prefix.is_empty() || n.starts_with(prefix);
    let begins = |n: &String| n.as_bytes().get(at..).is_some_and(|n| n.starts_with(key.as_bytes())) && is_under(n);
    names.iter().any(begins) || !is_plainly_name(key)
}

fn is_plainly_name(key: &str) -> bool {
    key.as_bytes().first().is_some_and(|b| !b.is_ascii_digit()) && key.bytes().all(is_of_name)
}

struct Flatten<'a, 'l> {
    labels: &'l mut RowLabels,
    wanted: &'a Wanted,
    missing: usize,
    name: String,
    cancel: &'a Cancel,
}

impl Stage for JsonStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if self.wanted.is_nothing() {
            return true;
        }
        let missing = match &self.wanted {
            // What the stream or its metadata have is never found under its own name.
            Wanted::Only(names) => names.iter().filter(|n| !row.labels.is_taken(n)).count(),
            Wanted::All => 0,
        };
        // With nothing to wait for, the line is read to its end, if only to find what is wrong with it.
        let missing = if missing == 0 { usize::MAX } else { missing };
        let mut name = std::mem::take(&mut row.labels.scratch);
        let mut outline = std::mem::take(&mut row.labels.outline);
        name.clear();
        let mut flatten = Flatten { labels: row.labels, wanted: &self.wanted, missing, name, cancel: row.cancel };
        let read = flatten.line(&row.line, &self.first, &mut outline);
        row.labels.scratch = flatten.name;
        row.labels.outline = outline;
        if let Err(wrong) = read {
            row.labels.fail_parser(JSON_ERROR, wrong);
        }
        true
    }
}

impl Flatten<'_, '_> {
    /// Takes a line. False once everything is found.
    fn line(&mut self, line: &str, first: &FirstLetters, outline: &mut Outline) -> std::result::Result<bool, Wrong> {
        let mut cursor = JsonCursor::new(line);
        let wanted = self.wanted;
        if *wanted == Wanted::All {
            return self.object(&mut cursor, 0);
        }
        outline.start();
        let pass = |cursor: &mut JsonCursor<'_>| cursor.pass_members(outline, |key| first.may_be_wanted_whole(key));
        cursor.object_of(pass, |cursor, key| match first.may_be_wanted(key, wanted) {
            true => self.member(cursor, key, 0, 0),
            false => cursor.skip().map(|()| true),
        })
    }

    /// Takes the object at the cursor; its members' names start with `self.name`. False once everything is found.
    fn object(&mut self, cursor: &mut JsonCursor<'_>, depth: usize) -> std::result::Result<bool, Wrong> {
        let prefix = self.name.len();
        let out = cursor.object(|cursor, key| match may_be_wanted(&self.name[..prefix], key, self.wanted) {
            true => self.member(cursor, key, prefix, depth),
            false => cursor.skip().map(|()| true),
        });
        self.name.truncate(prefix);
        out
    }

    /// Takes the value of the member `key` of the object whose name is `self.name[..prefix]`.
    fn member(&mut self, cursor: &mut JsonCursor<'_>, key: &str, prefix: usize, depth: usize) -> std::result::Result<bool, Wrong> {
        self.name.truncate(prefix);
        if prefix > 0 {
            self.name.push('_');
        }
        push_sanitized(&mut self.name, &unescape(key), prefix == 0);
        if cursor.peek() == Some(b'{') && depth < crate::limits::JSON_DEPTH && self.wanted.has_prefix(&self.name) {
            return self.object(cursor, depth + 1);
        }
        match cursor.value()? {
            Value::Text(t) => self.found(&clean(&unescape(t))),
            Value::Word(w) => self.found(w),
            Value::Null | Value::Object(_) | Value::Array(_) => {}
        }
        Ok(self.missing > 0 && !self.cancel.is_cancelled())
    }

    fn found(&mut self, value: &str) {
        if self.name.is_empty() {
            return;
        }
        if self.labels.extract(&self.name, value, self.wanted) && self.missing != usize::MAX {
            self.missing -= 1;
        }
    }
}

/// `| json a="b.c[0]"`.
pub struct JsonPathStage {
    fields: Vec<(String, Vec<Step>)>,
}

impl JsonPathStage {
    /// Of checked paths.
    pub fn new(fields: &[Extraction], wanted: &Wanted) -> Result<Self> {
        let wanted_fields = fields.iter().filter(|e| wanted.has(&e.name) || wanted.has(&format!("{}{SUFFIX}", e.name)));
        let fields = wanted_fields.map(|e| Ok((e.name.clone(), json_path::parse(&e.path.value).map_err(base::Error::internal)?)));
        Ok(JsonPathStage { fields: fields.collect::<Result<_>>()? })
    }
}

impl Stage for JsonPathStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        if !row.line.trim_start().starts_with(['{', '[']) {
            row.labels.fail_parser(JSON_ERROR, "");
            return true;
        }
        for (name, path) in &self.fields {
            // Each looks through the whole line.
            if row.cancel.is_cancelled() {
                break;
            }
            let value = match json_path::find(&row.line, path) {
                Some(Value::Text(t)) => clean(&unescape(t)).into_owned(),
                Some(Value::Word(w) | Value::Object(w) | Value::Array(w)) => w.to_string(),
                Some(Value::Null) | None => String::new(),
            };
            if row.labels.is_taken(name) {
                if !value.is_empty() {
                    row.labels.set(Category::Parsed, &format!("{name}{SUFFIX}"), &value);
                }
            } else {
                row.labels.set(Category::Parsed, name, &value);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::run;
    use super::*;

    #[test]
    fn scalars_become_labels_and_names_that_are_taken_get_the_suffix() {
        let all = || JsonStage::new(Wanted::All);
        assert_eq!(
            run(&all(), r#"{"a":{"b-c":1,"d":[1]},"s":"x\"y","n":null,"t":true,"app":"z","1x":2}"#),
            r#"{_1x="2", a_b_c="1", app="web", app_extracted="z", s="x\"y", t="true"}"#
        );
        assert_eq!(run(&all(), r#"{"a":1,"a":2}"#), r#"{a="1", app="web"}"#);
        assert!(run(&all(), r#"{"a":1,oops"#).starts_with(r#"{__error__="JSONParserErr""#));
        assert!(run(&all(), "plain").starts_with(r#"{__error__="JSONParserErr""#));
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let only = |n: &[&str]| JsonStage::new(Wanted::Only(n.iter().map(|n| n.to_string()).collect()));
        assert_eq!(run(&only(&["b"]), r#"{"a":1,"b":2,"c":3 broken"#), r#"{app="web", b="2"}"#);
        assert_eq!(run(&only(&["x_y"]), r#"{"x":{"z":1,"y":2},"b":2}"#), r#"{app="web", x_y="2"}"#);
        assert_eq!(run(&only(&[]), "not json"), r#"{app="web"}"#);
        assert_eq!(run(&only(&["app_extracted"]), r#"{"app":"z"}"#), r#"{app="web", app_extracted="z"}"#);
        // Keys that are no names become some.
        assert_eq!(run(&only(&["a_b", "_1"]), r#"{"a":{"b":1,"c":{}},"1":2}"#), r#"{_1="2", a_b="1", app="web"}"#);
        assert_eq!(run(&only(&["a_b"]), r#"{"ab":0,"a":{"bc":3,"\u0062":1}}"#), r#"{a_b="1", app="web"}"#);
        assert_eq!(run(&only(&["a_b"]), r#"{" a-b ":1}"#), r#"{a_b="1", app="web"}"#);
    }

    proptest! {
        /// What is wanted has the values that it has among all labels, whatever the keys are.
        #[test]
        fn some_labels_are_as_among_all(
            members in prop::collection::vec(("[ab_1 .-]{0,3}", "[ab]{1,2}", any::<bool>()), 0..6),
            wanted in prop::collection::vec("[ab_]{1,3}(_[ab_]{1,2})?", 1..4),
        ) {
            let inner = |(key, name, nested): &(String, String, bool)| {
                if *nested { format!(r#""{key}":{{"{name}":"1","b":{{"{name}":2}}}}"#) } else { format!(r#""{key}":"{name}""#) }
            };
            let line = format!("{{{}}}", members.iter().map(inner).collect::<Vec<_>>().join(","));
            let labels = |stage: JsonStage| {
                let mut labels = RowLabels::default();
                stage.apply(&mut Row { time_ns: 0, line: line.as_str().into(), labels: &mut labels, cancel: &table::Cancel::default() });
                wanted.iter().map(|n| labels.get(n).map(str::to_string)).collect::<Vec<_>>()
            };
            prop_assert_eq!(labels(JsonStage::new(Wanted::Only(wanted.clone()))), labels(JsonStage::new(Wanted::All)), "{}", line);
        }
    }

    #[test]
    fn paths_name_what_they_take() {
        let fields = [("x", "a.b[1]"), ("y", r#"["k k"]"#), ("z", "no.where"), ("app", "a")];
        let fields = fields.map(|(n, p)| Extraction { name: n.into(), path: lang::Spanned::new(p.into(), lang::Span::default()) });
        let stage = JsonPathStage::new(&fields, &Wanted::All).unwrap();
        assert_eq!(
            run(&stage, r#"{"a":{"b":[1,{"c":2}]},"k k":"v"}"#),
            r#"{app="web", app_extracted="{\"b\":[1,{\"c\":2}]}", x="{\"c\":2}", y="v", z=""}"#
        );
        assert!(run(&stage, "oops").contains("JSONParserErr"));
    }

    #[test]
    fn deep_objects_do_not_overflow() {
        let deep = r#"{"a":"#.repeat(100_000);
        assert!(run(&JsonStage::new(Wanted::All), &deep).contains("JSONParserErr"));
    }
}
