//! OTLP logs, mapped as Loki maps them: some resource attributes are the stream's labels, everything else about a
//! record is structured metadata, and its body is the line. JSON is turned into the protobuf form first.

use std::borrow::Cow;

use base::attrs::{self, Value};
use base::hash::hash128_seeded;
use base::{Error, Labels, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::Options;
use wire::limits::{OWNER_BYTES, VALUE_DEPTH};
use wire::otlp::json::to_hex;
use wire::otlp::{LogRecord, Resource, Scope, show};
use wire::proto::{Fields, text};

use super::OTLP_JSON;
use super::entries::{Entries, Line, Metadata, Stream};
use super::level::Hint;
use super::stream::{self, BadStream, SERVICE_NAME, UNKNOWN_SERVICE};

/// Resource attributes that are labels (Loki's default list).
const LABEL_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// Both forms, told apart by id.
pub struct Otlp {
    /// [`super::OTLP_PROTOBUF`] or [`OTLP_JSON`].
    pub id: u16,
}

impl Codec for Otlp {
    fn id(&self) -> u16 {
        self.id
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let mut body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        if self.id == OTLP_JSON {
            body = wire::otlp::json::to_protobuf(&wire::otlp::LOGS, &body)?.into();
        }
        let mut entries = Entries::new(header, options, &body, sink)?;
        for resource in wire::otlp::resources(&body) {
            self.resource(&resource?, header, &options, &mut entries)?;
        }
        entries.finish()
    }
}

impl Otlp {
    fn resource(&self, resource: &Resource<'_>, header: &FrameHeader, options: &Options, entries: &mut Entries<'_>) -> Result<()> {
        let attributes = resource.attributes()?;
        let mut labels = vec![];
        let mut about = Metadata::default();
        // One that is too large is not read, for its records are refused.
        if attributes.bytes().len() <= OWNER_BYTES {
            split_resource(attributes.bytes(), &mut labels, &mut about);
        }
        let pairs: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let shown = wire::loki::labels::print(pairs.iter().copied());
        let mut series = None;
        for scope in resource.scopes() {
            let scope = scope?;
            let mut records = scope.records().peekable();
            if records.peek().is_none() {
                continue;
            }
            let series = match &series {
                Some(s) => s,
                None => {
                    let raw = hash128_seeded(attributes.bytes(), u64::from(self.id));
                    let fits = attributes.bytes().len() <= OWNER_BYTES;
                    series.insert(entries.series(raw, || if fits { new_labels(&pairs, &shown, options) } else { Err(too_large()) })?)
                }
            };
            let mut stream = Stream { series: series.clone(), shown: &shown, hint: Hint::default(), about: about.clone() };
            if scope.message.len() > OWNER_BYTES {
                stream.series = Err(too_large());
            } else {
                scope_metadata(&scope, &mut stream.about)?;
            }
            for record in records {
                let r = LogRecord::new(record?)?;
                record_metadata(&r, &mut entries.metadata);
                let time_ns = [r.time_ns, r.observed_ns].into_iter().find(|t| *t != 0);
                let time_ns = time_ns.map_or(header.received_ns, |t| t.min(i64::MAX as u64) as i64);
                entries.push(&stream, time_ns, line(r.body)?)?;
            }
        }
        Ok(())
    }
}

fn too_large() -> BadStream {
    let message = format!("the resource or scope of the records is larger than {OWNER_BYTES} bytes");
    BadStream { reason: "resource_too_large", error: Error::invalid(message) }
}

fn new_labels(pairs: &[(&str, &str)], shown: &str, options: &Options) -> std::result::Result<Labels, BadStream> {
    if pairs.is_empty() {
        return stream::labels(&[(SERVICE_NAME, UNKNOWN_SERVICE)], shown, options);
    }
    stream::labels(pairs, shown, options)
}

/// Divides a resource into labels and metadata. Of a label given twice the last counts.
fn split_resource(attributes: &[u8], labels: &mut Vec<(String, String)>, about: &mut Metadata) {
    for (key, value) in attrs::iter(attributes) {
        let is_label = LABEL_ATTRIBUTES.contains(&key);
        flatten(key, &value, 0, &mut |name, value| {
            if !is_label {
                return about.push(name, value);
            }
            labels.retain(|(n, _)| n != name);
            labels.push((name.to_owned(), value.to_owned()));
            // One more than is allowed is enough to refuse them.
            labels.len() <= base::limits::LABELS_PER_SERIES
        });
    }
    labels.retain(|(_, v)| !v.is_empty());
}

fn scope_metadata(scope: &Scope<'_>, about: &mut Metadata) -> Result<()> {
    let scope = scope.parts()?;
    for (key, value) in attrs::iter(scope.attributes.bytes()) {
        flatten(key, &value, 0, &mut |n, v| about.push(n, v));
    }
    for (name, value) in [("scope_name", scope.name), ("scope_version", scope.version)] {
        if !value.is_empty() {
            about.push(name, &text(value));
        }
    }
    Ok(())
}

fn record_metadata(r: &LogRecord<'_>, out: &mut Metadata) {
    for (key, value) in attrs::iter(r.attributes.bytes()) {
        flatten(key, &value, 0, &mut |n, v| out.push(n, v));
    }
    let mut number = |name: &str, v: u64, given: bool| {
        if given {
            out.push(name, &v.to_string());
        }
    };
    number("observed_timestamp", r.observed_ns, r.time_ns != 0 && r.observed_ns != 0);
    number("severity_number", r.severity_number, r.severity_number != 0);
    number("dropped_attributes_count", r.dropped_attributes, r.dropped_attributes != 0);
    number("flags", u64::from(r.flags), r.flags != 0);
    for (name, value) in [("severity_text", r.severity_text), ("event_name", r.event_name)] {
        if !value.is_empty() {
            out.push(name, &text(value));
        }
    }
    for (name, id) in [("trace_id", r.trace_id), ("span_id", r.span_id)] {
        if id.iter().any(|b| *b != 0) {
            out.push(name, &to_hex(id));
        }
    }
}

/// The line that a body is: text as it is, other values as text, lists and maps as JSON.
fn line(any: &[u8]) -> Result<Line<'_>> {
    let mut fields = Fields::new(any);
    let mut string: Option<&[u8]> = Some(&[]);
    while let Some((n, v)) = fields.next()? {
        string = if n == 1 { Some(v.bytes()?) } else { None };
    }
    Ok(match string {
        Some(s) => Line::Body(s),
        None => Line::Made(show(&attrs::read_value(any), double).into_owned()),
    })
}

/// Calls `f` for a value under its name, and for the values of a map each under `name_key`, until it says `false`: a
/// long name over many values would otherwise become a very long text.
fn flatten(key: &str, value: &Value<'_>, depth: usize, f: &mut dyn FnMut(&str, &str) -> bool) -> bool {
    match value {
        Value::Map(inner) if depth < VALUE_DEPTH => attrs::iter(inner).all(|(k, v)| flatten(&format!("{key}_{k}"), &v, depth + 1, f)),
        _ => f(&label_name(key), &show(value, double)),
    }
}

/// A name with which a label can be written in a query: `_` for what is not allowed, and not a digit at first.
fn label_name(key: &str) -> Cow<'_, str> {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let digit = key.starts_with(|c: char| c.is_ascii_digit());
    if !digit && !key.is_empty() && key.chars().all(ok) {
        return Cow::Borrowed(key);
    }
    let clean = key.chars().map(|c| if ok(c) { c } else { '_' });
    Cow::Owned(if digit || key.is_empty() { "key_".chars().chain(clean).collect() } else { clean.collect() })
}

/// As Go prints a JSON number: plain between 1e-6 and 1e21, with an exponent beyond.
fn double(d: f64) -> String {
    if d == 0.0 || !d.is_finite() || (1e-6..1e21).contains(&d.abs()) {
        return d.to_string();
    }
    let text = format!("{d:e}");
    if d.abs() < 1.0 { text } else { text.replace('e', "e+") }
}
