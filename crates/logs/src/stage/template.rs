//! The templates of `line_format` and `label_format`: [`lang::template`] filled in from a row.

use base::Result;
use lang::template::{self, Data, Functions, Value, functions};
use lang::{Parsed, Span};

use super::labels::{ERROR, ERROR_DETAILS};
use super::{Row, Wanted};

/// The value of `__error__` when a template could not be filled in.
pub const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// Names beside the labels. `now` is the time of the query, so that all its lines see the same one.
pub const CONTEXT: [&str; 3] = ["__line__", "__timestamp__", "now"];

/// What these templates may call.
pub const FUNCTIONS: Functions = Functions { context: &CONTEXT, ..functions::PIPELINE };

/// A template.
#[derive(Debug)]
pub struct Template {
    template: template::Template,
    now_ns: i64,
}

impl Template {
    /// Reads a template that was checked; `now_ns` is the time of the query.
    pub fn parse(text: &str, now_ns: i64) -> Result<Self> {
        let template = template::Template::parse(text, &FUNCTIONS).map_err(|d| d.to_error(text))?;
        Ok(Template { template, now_ns })
    }

    /// Adds the labels that it reads.
    pub fn needs(&self, wanted: &mut Wanted) {
        let mut names = vec![];
        if self.template.names(|n| names.push(n.to_string())) {
            names.iter().for_each(|n| wanted.add(n));
        } else {
            *wanted = Wanted::All;
        }
    }

    /// Fills it in; a label that is absent is empty. The error says what went wrong.
    pub fn fill(&self, row: &Row<'_>) -> std::result::Result<String, String> {
        let mut out = String::new();
        self.template.execute(&Fields { row, now_ns: self.now_ns }, &mut out)?;
        Ok(out)
    }
}

struct Fields<'a, 'r> {
    row: &'a Row<'r>,
    now_ns: i64,
}

impl Data for Fields<'_, '_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        self.row.labels.get(name).map(Value::text)
    }
    fn missing(&self) -> Value<'_> {
        Value::text("")
    }
    fn context(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "__line__" => Some(Value::text(&self.row.line)),
            "__timestamp__" => Some(Value::Time(self.row.time_ns)),
            "now" => Some(Value::Time(self.now_ns)),
            _ => None,
        }
    }
    fn goes_on(&self) -> bool {
        !self.row.cancel.is_cancelled()
    }
    fn all(&self) -> Vec<(String, Value<'_>)> {
        let labels = self.row.labels.iter().map(|(_, n, v)| (n.to_string(), Value::text(v)));
        let errors = [ERROR, ERROR_DETAILS].into_iter().filter_map(|n| Some((n.to_string(), Value::text(self.row.labels.get(n)?))));
        labels.chain(errors).collect()
    }
}

/// Checks the template `text`, which stands in `source` as the literal at `span`: what is wrong is shown at its place in the
/// literal, where the literal writes the template as it is.
pub fn check(text: &str, source: &str, span: Span) -> Parsed<()> {
    template::Template::parse(text, &FUNCTIONS).map(drop).map_err(|mut d| {
        let start = span.start as usize;
        let literal = source.get(start..span.end as usize).unwrap_or("");
        d.span = match literal.find(text) {
            Some(at) if !text.is_empty() => Span::new(start + at + d.span.start as usize, start + at + d.span.end as usize),
            _ => span,
        };
        d.message = format!("invalid template: {}", d.message);
        d
    })
}

#[cfg(test)]
mod tests {
    use table::Cancel;

    use super::*;
    use crate::stage::RowLabels;

    #[test]
    fn labels_the_line_and_times_are_filled_in() {
        let mut labels = RowLabels::default();
        labels.set(crate::stage::Category::Parsed, "a", "1");
        labels.fail("SomeErr", "why");
        let row = Row { time_ns: 1_679_577_215_500_000_000, line: "L".into(), labels: &mut labels, cancel: &Cancel::default() };
        let fill = |t: &str| Template::parse(t, 5_000_000_000).unwrap().fill(&row).unwrap();
        assert_eq!(fill("x{{.a}}y {{ .b }}{{/* no */}}{{__line__}}"), "x1y L");
        assert_eq!(fill("{{ __timestamp__ }} {{ unixEpoch now }} {{ .__error__ }}"), "2023-03-23 13:13:35.5 +0000 UTC 5 SomeErr");
        assert_eq!(fill("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}"), "__error__=SomeErr;__error_details__=why;a=1;");
        assert!(Template::parse("{{ div 1 0 }}", 0).unwrap().fill(&row).unwrap_err().contains("divide by zero"));
    }

    #[test]
    fn what_a_template_reads_is_known() {
        let needs = |t: &str| {
            let mut wanted = Wanted::Only(vec![]);
            Template::parse(t, 0).unwrap().needs(&mut wanted);
            wanted
        };
        assert_eq!(needs("{{ .a }}{{ if .b }}{{ end }}{{ __line__ }}"), Wanted::Only(vec!["a".into(), "b".into()]));
        assert_eq!(needs("{{ range $k, $v := . }}{{ end }}"), Wanted::All);
    }

    #[test]
    fn an_error_is_shown_inside_of_the_literal() {
        let source = "{a=\"b\"} | line_format `x{{ .a | nope }}`";
        let d = crate::logql::parse_at(source).unwrap_err();
        assert_eq!(&source[d.span.start as usize..d.span.end as usize], "nope", "{d}");
        let d = crate::logql::parse_at(r#"{a="b"} | line_format "{{ nope \"\" }}""#).unwrap_err();
        assert!(d.message.contains("function \"nope\" not defined"), "{d}");
    }
}
