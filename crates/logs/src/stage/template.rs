//! The part of Go's templates that formatting uses most: text with `{{.label}}`, `{{ __line__ }}` and
//! `{{ __timestamp__ }}`. Anything else is refused when the query is planned, never answered wrongly.

use base::{Error, Kind, Result};

use super::Row;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Label(String),
    Line,
    Timestamp,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a template. One that uses more is `Unprocessable`, one that is damaged `Invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = vec![];
        let mut rest = text;
        let mut trim_next = false;
        loop {
            let open = rest.find("{{");
            let mut plain = &rest[..open.unwrap_or(rest.len())];
            if trim_next {
                plain = plain.trim_start();
            }
            let Some(open) = open else {
                if !plain.is_empty() {
                    parts.push(Part::Text(plain.to_string()));
                }
                return Ok(Template(parts));
            };
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or_else(|| Error::invalid("invalid template: unclosed action"))?;
            let mut action = &inner[..close];
            if let Some(a) = action.strip_prefix("- ") {
                plain = plain.trim_end();
                action = a;
            }
            trim_next = action.ends_with(" -");
            action = action.strip_suffix(" -").unwrap_or(action);
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_string()));
            }
            parts.extend(Self::action(action.trim())?);
            rest = &inner[close + 2..];
        }
    }

    fn action(action: &str) -> Result<Option<Part>> {
        if action.starts_with("/*") && action.ends_with("*/") {
            return Ok(None);
        }
        Ok(Some(match action {
            "" => return Err(Error::invalid("invalid template: missing value for command")),
            "__line__" => Part::Line,
            "__timestamp__" => Part::Timestamp,
            _ => match action.strip_prefix('.') {
                Some(name) if crate::logql::is_label_name(name) => Part::Label(name.to_string()),
                _ => {
                    return Err(Error::new(
                        Kind::Unprocessable,
                        format!(
                            "the template action {{{{{action}}}}} is not supported yet: only {{{{.label}}}}, {{{{__line__}}}} and {{{{__timestamp__}}}} are"
                        ),
                    ));
                }
            },
        }))
    }

    /// Calls `name` with every label it reads.
    pub fn names(&self, mut name: impl FnMut(&str)) {
        self.0.iter().for_each(|p| {
            if let Part::Label(n) = p {
                name(n);
            }
        });
    }

    /// Fills it in; a label that is absent is empty.
    pub fn fill(&self, row: &Row<'_>) -> String {
        let mut out = String::new();
        for p in &self.0 {
            match p {
                Part::Text(t) => out.push_str(t),
                Part::Label(n) => out.push_str(row.labels.get(n).unwrap_or("")),
                Part::Line => out.push_str(&row.line),
                Part::Timestamp => out.push_str(&go_time(row.time_ns)),
            }
        }
        out
    }
}

/// As Go prints a time in UTC: `2006-01-02 15:04:05.999999999 +0000 UTC`.
fn go_time(ns: i64) -> String {
    let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from a day number: the year starts in March, so that the leap day is its last.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_string() };
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}{fraction} +0000 UTC", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::RowLabels;

    #[test]
    fn labels_and_the_line_are_filled_in() {
        let mut labels = RowLabels::default();
        labels.set(crate::stage::Category::Parsed, "a", "1");
        let row = Row { time_ns: 1_679_577_215_500_000_000, line: "L".into(), labels: &mut labels };
        let fill = |t: &str| Template::parse(t).unwrap().fill(&row);
        assert_eq!(fill("x{{.a}}y {{ .b }}{{/* no */}}{{__line__}}"), "x1y L");
        assert_eq!(fill("a  {{- .a -}}  b"), "a1b");
        assert_eq!(fill("{{ __timestamp__ }}"), "2023-03-23 13:13:35.5 +0000 UTC");
    }

    #[test]
    fn what_is_not_supported_is_said() {
        assert_eq!(Template::parse("{{ .a | ToUpper }}").unwrap_err().kind(), Kind::Unprocessable);
        assert_eq!(Template::parse("{{ .a").unwrap_err().kind(), Kind::Invalid);
    }
}
