//! A resource and scope as a label set, and back.
//!
//! | label | holds |
//! |---|---|
//! | `resource.<key>` | an attribute of the resource that is a text |
//! | `resource.<key>:int`, `:bool`, `:double` | one of that type, in decimal, `true` or `false`, shortest decimal that reads back |
//! | `resource.<key>:any` | any other: base64 of the encoded `AnyValue` |
//! | `resource_schema_url` | the resource's schema |
//! | `scope.name`, `scope.version` | of the scope |
//! | `scope.attributes.<key>` (same suffixes) | an attribute of the scope |
//! | `scope_schema_url` | the scope's schema |
//!
//! A label cannot be empty, and a key may itself end in a suffix: a text for which the plain name would not do is
//! written as `:any`. So what is written is read back exactly, but for the order of the keys and doubled ones, of
//! which the last counts. Counts of attributes that the sender dropped are not kept.

use std::collections::BTreeMap;

use base::attrs::{self, Value};
use base::{Error, Labels, LabelsBuilder};
use wire::Options;
use wire::limits::OWNER_BYTES;
use wire::otlp::json::{base64, to_base64};
use wire::otlp::{Resource, Scope};
use wire::proto::text;

const RESOURCE: &str = "resource.";
const RESOURCE_SCHEMA: &str = "resource_schema_url";
const SCOPE_NAME: &str = "scope.name";
const SCOPE_VERSION: &str = "scope.version";
const SCOPE_ATTRIBUTES: &str = "scope.attributes.";
const SCOPE_SCHEMA: &str = "scope_schema_url";
const SUFFIXES: [&str; 4] = [":int", ":bool", ":double", ":any"];
/// Base64 of no bytes, which must not be the empty text.
const NOTHING: &str = "=";

/// Why a resource or scope is refused.
#[derive(Clone, Debug)]
pub struct BadOwner {
    /// Metric label.
    pub reason: &'static str,
    /// For people.
    pub error: Error,
}

/// The labels of an owner that this node has not seen.
pub fn labels(resource: &Resource<'_>, scope: &Scope<'_>, options: &Options) -> Result<Labels, BadOwner> {
    let malformed = |e: wire::proto::Malformed| BadOwner { reason: "invalid_resource", error: e.into() };
    let (resource_schema, scope_schema) = (resource.schema, scope.schema);
    if [&*resource.message, &*scope.message, resource_schema, scope_schema].iter().any(|b| b.len() > OWNER_BYTES) {
        let message = format!("the resource or scope of the spans is larger than {OWNER_BYTES} bytes");
        return Err(BadOwner { reason: "resource_too_large", error: Error::invalid(message) });
    }
    let mut found = BTreeMap::new();
    let resource = resource.attributes().map_err(malformed)?;
    add(&mut found, RESOURCE, resource.bytes());
    let scope = scope.parts().map_err(malformed)?;
    add(&mut found, SCOPE_ATTRIBUTES, scope.attributes.bytes());
    let plain =
        [(RESOURCE_SCHEMA, resource_schema), (SCOPE_NAME, scope.name), (SCOPE_VERSION, scope.version), (SCOPE_SCHEMA, scope_schema)];
    let mut builder = LabelsBuilder::default();
    for (name, value) in plain {
        builder.push(name, &text(value));
    }
    if found.len() as u64 > options.labels {
        let message = format!("the resource and scope have {} attributes; limit {}", found.len(), options.labels);
        return Err(BadOwner { reason: "too_many_resource_attributes", error: Error::invalid(message) });
    }
    for (key, (suffix, value)) in &found {
        if value.len() as u64 > options.label_value_bytes || key.len() as u64 > options.label_name_bytes {
            let shown: String = key.chars().take(100).collect();
            let message = format!("attribute {shown:?} has {} bytes; limit {}", key.len() + value.len(), options.label_value_bytes);
            return Err(BadOwner { reason: "resource_attribute_too_long", error: Error::invalid(message) });
        }
        builder.push(&format!("{key}{suffix}"), value);
    }
    builder.finish().map_err(|error| BadOwner { reason: "invalid_resource", error })
}

fn add(found: &mut BTreeMap<String, (&'static str, String)>, prefix: &str, attributes: &[u8]) {
    for (key, value) in attrs::iter(attributes) {
        found.insert(format!("{prefix}{key}"), label(key, &value));
    }
}

/// Suffix and value of an attribute's label.
fn label(key: &str, value: &Value<'_>) -> (&'static str, String) {
    match value {
        Value::Str(s) if !s.is_empty() && !SUFFIXES.iter().any(|suffix| key.ends_with(suffix)) => ("", (*s).to_owned()),
        Value::Int(i) => (":int", i.to_string()),
        Value::Bool(b) => (":bool", b.to_string()),
        // A NaN has bits that its text has not.
        Value::Double(d) if !d.is_nan() => (":double", d.to_string()),
        other => {
            let mut any = vec![];
            attrs::write_value(&mut any, other);
            (":any", if any.is_empty() { NOTHING.to_owned() } else { to_base64(&any) })
        }
    }
}

/// A resource and scope as a series' labels hold it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnerParts {
    /// The resource's attributes, in the form of [`base::attrs`] under field number 1: a `Resource` message.
    pub resource: Vec<u8>,
    /// Its schema, or "".
    pub resource_schema: String,
    /// Name of the scope, or "".
    pub scope_name: String,
    /// Version of the scope, or "".
    pub scope_version: String,
    /// The scope's attributes, in the form of [`base::attrs`] under field number 1.
    pub scope_attributes: Vec<u8>,
    /// Its schema, or "".
    pub scope_schema: String,
}

/// Reads the labels of a series of the spans table back. Labels that are not of that form are passed over.
pub fn read(labels: &Labels) -> OwnerParts {
    let mut parts = OwnerParts::default();
    for (name, value) in labels {
        match name {
            RESOURCE_SCHEMA => value.clone_into(&mut parts.resource_schema),
            SCOPE_NAME => value.clone_into(&mut parts.scope_name),
            SCOPE_VERSION => value.clone_into(&mut parts.scope_version),
            SCOPE_SCHEMA => value.clone_into(&mut parts.scope_schema),
            _ => {
                if let Some(key) = name.strip_prefix(RESOURCE) {
                    push(&mut parts.resource, key, value);
                } else if let Some(key) = name.strip_prefix(SCOPE_ATTRIBUTES) {
                    push(&mut parts.scope_attributes, key, value);
                }
            }
        }
    }
    parts
}

fn push(out: &mut Vec<u8>, name: &str, value: &str) {
    let any;
    let (key, value) = match name.rsplit_once(':') {
        Some((key, "int")) => (key, value.parse().map_or(Value::Empty, Value::Int)),
        Some((key, "bool")) => (key, Value::Bool(value == "true")),
        Some((key, "double")) => (key, value.parse().map_or(Value::Empty, Value::Double)),
        Some((key, "any")) => {
            any = base64(value).unwrap_or_default();
            (key, attrs::read_value(&any))
        }
        _ => (name, Value::Str(value)),
    };
    attrs::push(out, key, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let mut list = vec![];
        attrs::push(&mut list, "in", &Value::Int(1));
        let mut all = vec![];
        for (key, value) in [
            ("service.name", Value::Str("shop")),
            ("empty", Value::Str("")),
            ("nothing", Value::Empty),
            ("tricky:int", Value::Str("5")),
            ("tricky", Value::Int(-5)),
            ("on", Value::Bool(true)),
            ("d", Value::Double(0.1)),
            ("inf", Value::Double(f64::NEG_INFINITY)),
            ("map", Value::Map(&list)),
            ("bytes", Value::Bytes(b"\0\xff")),
        ] {
            attrs::push(&mut all, key, &value);
        }
        let mut request = wire::proto::Writer::default();
        request.message(1, |w| {
            w.bytes(1, &all);
            w.bytes(3, b"https://schema");
            w.message(2, |w| {
                w.message(1, |w| {
                    w.bytes(1, b"lib");
                    w.message(3, |w| w.bytes(1, b"k"));
                });
                w.bytes(2, b"");
            });
        });
        let resource = wire::otlp::resources(&request.out).next().unwrap().unwrap();
        let scope = resource.scopes().next().unwrap().unwrap();
        let set = labels(&resource, &scope, &Options::default()).unwrap();
        assert_eq!(set.get("resource.service.name"), Some("shop"));
        assert_eq!(set.get("resource.tricky:int"), Some("-5"));
        assert_eq!(set.get("scope.attributes.k:any"), Some("="));
        let parts = read(&set);
        let sorted = |b: &[u8]| {
            let mut v: Vec<_> = attrs::iter(b).map(|(k, v)| format!("{k}={v:?}")).collect();
            v.sort();
            v
        };
        assert_eq!(sorted(&parts.resource), sorted(&all));
        assert_eq!((parts.scope_name.as_str(), parts.resource_schema.as_str()), ("lib", "https://schema"));
    }
}
