//! Reads templates and fills them in.
#![no_main]

use lang::template::{Data, Template, Value, functions};
use libfuzzer_sys::fuzz_target;

struct Fields;

impl Data for Fields {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        (name != "none").then(|| Value::text("a text"))
    }
    fn all(&self) -> Vec<(String, Value<'_>)> {
        vec![("a".into(), Value::Int(1)), ("b".into(), Value::list(vec![Value::Nil]))]
    }
}

fuzz_target!(|text: &str| {
    if let Ok(template) = Template::parse(text, &functions::PIPELINE) {
        let mut out = String::new();
        let _ = template.execute(&Fields, &mut out);
        assert!(out.len() <= lang::limits::TEMPLATE_OUTPUT);
    }
});
