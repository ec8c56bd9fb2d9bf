//! `| label_format a=b, c="{{.d}}"`: renames labels and makes new ones.

use base::Result;

use super::template::Template;
use super::{Category, Row, Stage};
use crate::logql::ast::{FormatSource, LabelFormat};

enum Source {
    Label(String),
    Template(Template),
}

/// `| label_format`.
pub struct LabelFormatStage(Vec<(String, Source)>);

impl LabelFormatStage {
    /// Reads the templates.
    pub fn new(formats: &[LabelFormat]) -> Result<Self> {
        let one = |l: &LabelFormat| {
            let from = match &l.from {
                FormatSource::Label(n) => Source::Label(n.clone()),
                FormatSource::Template(t) => Source::Template(Template::parse(&t.value)?),
            };
            Ok((l.name.clone(), from))
        };
        formats.iter().map(one).collect::<Result<_>>().map(LabelFormatStage)
    }

    /// Calls `name` with every label it reads.
    pub fn names(&self, mut name: impl FnMut(&str)) {
        for (_, from) in &self.0 {
            match from {
                Source::Label(n) => name(n),
                Source::Template(t) => t.names(&mut name),
            }
        }
    }
}

impl Stage for LabelFormatStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        for (name, from) in &self.0 {
            match from {
                Source::Label(source) => {
                    if let Some(v) = row.labels.get(source).map(str::to_string) {
                        let category = row.labels.category(source).unwrap_or(Category::Parsed);
                        row.labels.remove(source);
                        row.labels.remove(name);
                        row.labels.set(if category == Category::Stream { Category::Parsed } else { category }, name, &v);
                    }
                }
                Source::Template(t) => {
                    let v = t.fill(row);
                    row.labels.set(Category::Parsed, name, &v);
                }
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
        assert_eq!(run_on(&LabelFormatStage::new(&formats).unwrap(), &[("a", "1"), ("b", "2")], ""), r#"{b="1", c="1-2"}"#);
    }
}
