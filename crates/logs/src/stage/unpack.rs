//! `| unpack`: the strings of a flat JSON object become labels, and its `_entry` the line.

use std::borrow::Cow;

use super::json::JSON_ERROR;
use super::labels::push_sanitized;
use super::{Row, Stage, Wanted};
use lang::json_text::{JsonCursor, Value, unescape};

/// The key whose value is the line.
const ENTRY: &str = "_entry";

/// `| unpack`.
pub struct UnpackStage {
    wanted: Wanted,
}

impl UnpackStage {
    /// Extracts what is wanted; the line is always unpacked.
    pub fn new(wanted: Wanted) -> Self {
        UnpackStage { wanted }
    }
}

impl Stage for UnpackStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        let line = std::mem::take(&mut row.line);
        let mut pairs: Vec<(String, Cow<'_, str>)> = vec![];
        let mut entry = None;
        let result = JsonCursor::new(&line).object(|c, key| {
            if let Value::Text(t) = c.value()? {
                if key == ENTRY {
                    entry = Some(unescape(t).into_owned());
                } else if pairs.len() < crate::limits::FIELDS_PER_LINE {
                    let mut name = String::new();
                    push_sanitized(&mut name, &unescape(key), true);
                    pairs.push((name, unescape(t)));
                }
            }
            Ok(true)
        });
        match result {
            Err(wrong) => row.labels.fail_parser(JSON_ERROR, wrong),
            // Without `_entry` the line was not packed, so its keys are not labels.
            Ok(_) if entry.is_some() => {
                for (name, value) in pairs {
                    row.labels.extract(&name, &value, &self.wanted);
                }
            }
            Ok(_) => {}
        }
        row.line = entry.map_or(line, Cow::Owned);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;

    #[test]
    fn packed_lines_are_unpacked() {
        let s = UnpackStage::new(Wanted::All);
        assert_eq!(run(&s, r#"{"app":"x","n":1,"a-b":"c","_entry":"the line"}"#), r#"the line {a_b="c", app="web", app_extracted="x"}"#);
        assert_eq!(run(&s, r#"{"a":"x"}"#), r#"{app="web"}"#);
        assert!(run(&s, "plain").contains("JSONParserErr"));
    }
}
