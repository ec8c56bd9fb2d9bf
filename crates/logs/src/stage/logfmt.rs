//! `| logfmt`: `key=value key="quoted value"`.

use lang::logfmt::Scanner;

use super::labels::push_sanitized;
use super::{Row, Stage, Wanted, clean};
use crate::logql::ast::Extraction;

/// The value of `__error__`.
pub const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// `| logfmt`.
pub struct LogfmtStage {
    strict: bool,
    keep_empty: bool,
    fields: Vec<(String, String)>,
    wanted: Wanted,
}

impl LogfmtStage {
    /// Extracts what is wanted, or `fields` if there are any.
    pub fn new(strict: bool, keep_empty: bool, fields: &[Extraction], wanted: Wanted) -> Self {
        LogfmtStage { strict, keep_empty, fields: fields.iter().map(|e| (e.name.clone(), e.path.value.clone())).collect(), wanted }
    }

    fn named(&self, found: &mut [Option<String>], key: &str, value: &str) {
        let mut sanitized = String::new();
        push_sanitized(&mut sanitized, key, true);
        for ((_, path), slot) in self.fields.iter().zip(found) {
            if slot.is_none() && (path == key || *path == sanitized) {
                *slot = Some(value.to_string());
            }
        }
    }
}

impl Stage for LogfmtStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if self.wanted.is_nothing() {
            return true;
        }
        let line = std::mem::take(&mut row.line);
        let mut scanner = Scanner::new(&line);
        let mut found_wanted = 0;
        let mut found: Vec<Option<String>> = vec![None; self.fields.len()];
        while let Some(pair) = scanner.next_pair() {
            if row.cancel.is_cancelled() {
                break;
            }
            let (key, value) = match pair {
                Ok(pair) => pair,
                Err((at, what)) if self.strict => {
                    row.labels.fail_parser(LOGFMT_ERROR, &format!("logfmt syntax error at pos {at} : {what}"));
                    break;
                }
                Err(_) => continue,
            };
            if value.is_empty() && !self.keep_empty && self.fields.is_empty() {
                continue;
            }
            let value = clean(&value);
            if !self.fields.is_empty() {
                self.named(&mut found, key, &value);
                continue;
            }
            let mut name = String::new();
            push_sanitized(&mut name, key, true);
            if !name.is_empty() {
                found_wanted += usize::from(row.labels.extract(&name, &value, &self.wanted));
            }
            if matches!(&self.wanted, Wanted::Only(names) if found_wanted == names.len()) {
                break;
            }
        }
        for ((name, _), value) in self.fields.iter().zip(&found) {
            match value {
                Some(v) => {
                    row.labels.extract(name, v, &self.wanted);
                }
                // A label that is asked for is there, if only empty.
                None if row.labels.get(name).is_none() => {
                    row.labels.extract(name, "", &self.wanted);
                }
                None => {}
            }
        }
        row.line = line;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;
    use proptest::prelude::*;

    fn plain(strict: bool, keep_empty: bool) -> LogfmtStage {
        LogfmtStage::new(strict, keep_empty, &[], Wanted::All)
    }

    #[test]
    fn pairs_become_labels() {
        assert_eq!(
            run(&plain(false, false), r#"a=1 b="x \"y\"\n" c.d=2 e= f app=z a=3"#),
            r#"{a="1", app="web", app_extracted="z", b="x \"y\"\n", c_d="2"}"#
        );
        assert_eq!(run(&plain(false, true), "e= f"), r#"{app="web", e="", f=""}"#);
    }

    #[test]
    fn a_syntax_error_costs_its_pair_or_in_strict_mode_the_rest() {
        let line = r#"a=1 =b c=2 d"e=3 f=4"#;
        assert_eq!(run(&plain(false, false), line), r#"{a="1", app="web", c="2", f="4"}"#);
        assert_eq!(
            run(&plain(true, false), line),
            r#"{__error__="LogfmtParserErr", __error_details__="logfmt syntax error at pos 5 : unexpected '='", a="1", app="web"}"#
        );
    }

    #[test]
    fn named_fields_are_there_even_when_the_line_has_none() {
        let fields = [("x", "a"), ("y", "nope"), ("app", "app")]
            .map(|(n, p)| Extraction { name: n.into(), path: lang::Spanned::new(p.into(), lang::Span::default()) });
        let s = LogfmtStage::new(false, false, &fields, Wanted::All);
        assert_eq!(run(&s, "a=1 b=2 app=z"), r#"{app="web", app_extracted="z", x="1", y=""}"#);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(s in r#"[a-b="\\ é]{0,16}"#) {
            run(&plain(false, true), &s);
            run(&plain(true, true), &s);
        }
    }
}
