//! `| label_format a=b, c="{{.d}}"`: renames labels and makes new ones.

use base::Result;

use super::template::{TEMPLATE_ERROR, Template};
use super::{Category, Row, Stage, Wanted};
use crate::logql::ast::{FormatSource, LabelFormat};

enum Source {
    Label(String),
    Template(Template),
}

/// `| label_format`.
pub struct LabelFormatStage(Vec<(String, Source)>);

impl LabelFormatStage {
    /// Reads the templates; `now_ns` is the time of the query.
    pub fn new(formats: &[LabelFormat], now_ns: i64) -> Result<Self> {
        let one = |l: &LabelFormat| {
            let from = match &l.from {
                FormatSource::Label(n) => Source::Label(n.clone()),
                FormatSource::Template(t) => Source::Template(Template::parse(&t.value, now_ns)?),
            };
            Ok((l.name.clone(), from))
        };
        formats.iter().map(one).collect::<Result<_>>().map(LabelFormatStage)
    }

    /// Adds the labels that it reads.
    pub fn needs(&self, wanted: &mut Wanted) {
        for (_, from) in &self.0 {
            match from {
                Source::Label(n) => wanted.add(n),
                Source::Template(t) => t.needs(wanted),
            }
        }
    }
}

impl Stage for LabelFormatStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        for (name, from) in &self.0 {
            if row.cancel.is_cancelled() {
                break;
            }
            match from {
                Source::Label(source) => {
                    if let Some(v) = row.labels.get(source).map(str::to_string) {
                        let category = row.labels.category(source).unwrap_or(Category::Parsed);
                        row.labels.remove(source);
                        row.labels.remove(name);
                        row.labels.set(if category == Category::Stream { Category::Parsed } else { category }, name, &v);
                    }
                }
                Source::Template(t) => match t.fill(row) {
                    Ok(v) => row.labels.set(Category::Parsed, name, &v),
                    Err(e) => row.labels.fail(TEMPLATE_ERROR, &e),
                },
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run_on;
    use super::*;
    use lang::{Span, Spanned};

    #[test]
    fn labels_are_renamed_and_made_in_order() {
        let formats = [
            LabelFormat { name: "c".into(), from: FormatSource::Template(Spanned::new("{{.a}}-{{.b}}".into(), Span::default())) },
            LabelFormat { name: "b".into(), from: FormatSource::Label("a".into()) },
            LabelFormat { name: "x".into(), from: FormatSource::Label("none".into()) },
        ];
        assert_eq!(run_on(&LabelFormatStage::new(&formats, 0).unwrap(), &[("a", "1"), ("b", "2")], ""), r#"{b="1", c="1-2"}"#);
    }
}
