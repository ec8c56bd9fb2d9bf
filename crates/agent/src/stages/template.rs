//! `template`: sets an extracted value from a template of Go's. Fields are what was extracted; `.Value` is the value before
//! and `.Entry` the line. An empty result removes the value; one that fails changes nothing.

use lang::template::{Data, Functions, Template, Value, functions};
use serde::Deserialize;

use super::parse::required;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: String,
    template: String,
}

struct TemplateStage {
    source: String,
    template: Template,
}

/// Reads a template; the error shows the place.
pub(super) fn compile(text: &str, functions: &Functions) -> Result<Template, Refused> {
    Template::parse(text, functions).map_err(|e| format!("template: {}", e.to_error(text).message()))
}

/// What a template is filled from.
pub(super) struct Fields<'a> {
    pub entry: &'a Entry,
    /// `.Value`
    pub value: Option<&'a str>,
    /// Whether absent fields are empty rather than `<no value>`; then there is no `.Entry` either, as in the original.
    pub absent_is_empty: bool,
}

impl Data for Fields<'_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Value" if self.value.is_some() => self.value.map(Value::text),
            "Entry" if !self.absent_is_empty => Some(Value::text(&self.entry.line)),
            _ => self.entry.extracted.text(name).map(Value::Text),
        }
    }
    fn missing(&self) -> Value<'_> {
        if self.absent_is_empty { Value::text("") } else { Value::Nil }
    }
    fn all(&self) -> Vec<(String, Value<'_>)> {
        let mut all: Vec<(String, Value<'_>)> = self.entry.extracted.iter().map(|(n, v)| (n.to_owned(), Value::Text(v))).collect();
        let more = if self.absent_is_empty { &["Value"][..] } else { &["Value", "Entry"] };
        all.extend(more.iter().filter_map(|n| Some(((*n).to_owned(), self.field(n)?))));
        all
    }
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.source, "source")?;
    Ok(Box::new(TemplateStage { source: s.source, template: compile(&s.template, &functions::PIPELINE)? }))
}

impl Stage for TemplateStage {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let mut out = String::new();
        let value = entry.extracted.text(&self.source);
        let fields = Fields { entry, value: value.as_deref(), absent_is_empty: false };
        match self.template.execute(&fields, &mut out) {
            Err(e) => tracing::debug!(source = self.source, error = e, "template cannot be filled in"),
            Ok(()) if out.is_empty() => entry.extracted.remove(&self.source),
            Ok(()) => entry.extracted.set_text(&self.source, out),
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn values_are_set_from_templates() {
        for (template, want) in [
            ("{{ .Value }}-{{ .app }}", "1-loki"),
            ("{{ .Entry | ToUpper }}", "LINE"),
            ("{{ if eq .app \"loki\" }}yes{{ end }}", "yes"),
            ("{{ .none }}", "<no value>"),
            ("{{ Replace .app \"o\" \"0\" -1 }}", "l0ki"),
            ("{{ regexReplaceAll \"(l)(o)\" .app \"${2}$1\" }}", "olki"),
            // Fails, and changes nothing.
            ("{{ ToUpper .none }}", "1"),
        ] {
            let stages = format!("[{{template: {{source: v, template: '{template}'}}}}, {{output: {{source: v}}}}]");
            assert_eq!(one(&stages, "app=loki v=1", "line"), format!("{{app=\"loki\", v=\"1\"}} {want}"), "{template}");
        }
    }

    #[test]
    fn an_empty_result_removes_the_value() {
        assert_eq!(one("[{template: {source: v, template: ''}}, {labels: {x: v}}]", "v=1", "line"), "{v=\"1\"} line");
        assert!(refused("[template: {source: v, template: '{{ .a | nope }}'}]").contains("function \"nope\" not defined"));
        assert!(refused("[template: {source: '', template: ''}]").contains("source is required"));
    }
}
