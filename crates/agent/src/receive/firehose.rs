//! Amazon Data Firehose, delivering to an HTTP endpoint: records of a CloudWatch Logs subscription, or whatever else was put
//! into the delivery stream.
//!
//! A body is `{"requestId", "timestamp", "records": [{"data": base64}]}`. A record of a subscription is a gzipped JSON document
//! of one log stream (or, where Firehose unpacks them, that document itself); `CONTROL_MESSAGE` only tests whether somebody
//! listens. Any other record is one line.
//!
//! Labels of a line: those of the settings; the attributes that the delivery stream is set to send
//! (`X-Amz-Firehose-Common-Attributes`, with or without the prefix `lbl_`); `job`, `log_group`, `log_stream` and `owner`.
//! Rules see besides them `__aws_firehose_request_id`, `__aws_firehose_source_arn`, `__aws_owner`, and `__aws_cw_log_group`,
//! `__aws_cw_log_stream`, `__aws_cw_matched_filters`, `__aws_cw_msg_type`.
//!
//! **A request that is sent again has the same rows.** The time of an event is that of CloudWatch, in milliseconds; below
//! them stand its place in its document and a hash of its id, so that equal lines stay different rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use base::hash::hash64;
use base::{Error, Kind, Labels, Result};
use bytes::Bytes;
use serde::Deserialize;
use wire::Encoding;
use wire::encoding::decode;
use wire::otlp::json::base64;

use super::{Request, bounded, decoded};
use crate::deliver::{Line, Stream};
use crate::label_set::LabelSet;
use crate::limits;
use crate::relabel::{Rule, apply_to, drop_internal};

/// What lines are labelled with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `job` label.
    pub job: String,
    /// Further labels of every line.
    pub labels: BTreeMap<String, String>,
    /// Rules over the labels of a stream and `__aws_*`.
    pub relabel: Vec<Rule>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { job: "firehose".into(), labels: BTreeMap::new(), relabel: vec![] }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery<'a> {
    #[serde(default)]
    timestamp: i64,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// What CloudWatch Logs sends of one log stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    message_type: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    log_group: String,
    #[serde(default)]
    log_stream: String,
    #[serde(default)]
    subscription_filters: Vec<String>,
    log_events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    id: String,
    timestamp: i64,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attributes {
    common_attributes: BTreeMap<String, String>,
}

/// The id that an answer must repeat.
pub fn request_id(request: &Request) -> String {
    let id = request.header("x-amz-firehose-request-id").unwrap_or("");
    id.chars().take(limits::REQUEST_ID_CHARS).collect()
}

/// The lines of a request, by stream. Refuses a request of which anything cannot be read: Firehose keeps it, and writes it to
/// its backup if it is never taken.
pub fn read(request: &Request, settings: &Settings) -> Result<Vec<Stream>> {
    let encoding = Encoding::from_header(request.header("content-encoding"), Encoding::SnappyFramed)?;
    let body = decoded(encoding, &request.body)?;
    let delivery: Delivery<'_> = serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("the request is not valid: {e}")))?;
    let mut taken = Taken { settings, base: common(request)?, streams: vec![], index: HashMap::new(), rows: 0 };
    let mut left = limits::RECEIVED_BYTES;
    for (i, record) in delivery.records.iter().enumerate() {
        let at = |e: Error| e.context(format_args!("record {i}"));
        let data = base64(&record.data).ok_or_else(|| Error::invalid(format!("record {i}: its data is not base64")))?;
        let is_packed = data.starts_with(b"\x1f\x8b");
        let data = decode(if is_packed { Encoding::Gzip } else { Encoding::Identity }, &Bytes::from(data), left).map_err(at)?;
        left = left.saturating_sub(data.len());
        match documents(&data) {
            Some(documents) => documents.into_iter().try_for_each(|d| taken.document(d)).map_err(at)?,
            None => taken.line(&data, delivery.timestamp, i).map_err(at)?,
        }
        bounded(taken.rows)?;
    }
    Ok(taken.streams)
}

/// The documents that a record is made of; none if it is something else.
fn documents(data: &[u8]) -> Option<Vec<Document>> {
    if !data.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::Deserializer::from_slice(data).into_iter::<Document>().collect::<std::result::Result<Vec<_>, _>>().ok()
}

/// What all lines of a request have.
fn common(request: &Request) -> Result<Vec<(String, String)>> {
    let mut out = vec![("__aws_firehose_request_id".to_owned(), request_id(request))];
    out.push(("__aws_firehose_source_arn".into(), request.header("x-amz-firehose-source-arn").unwrap_or("").into()));
    if let Some(text) = request.header("x-amz-firehose-common-attributes").filter(|t| !t.is_empty()) {
        let given: Attributes =
            serde_json::from_str(text).map_err(|e| Error::invalid(format!("X-Amz-Firehose-Common-Attributes is not valid: {e}")))?;
        out.extend(given.common_attributes.into_iter().map(|(n, v)| (label_name(&n), v)));
    }
    Ok(out)
}

/// The label of a common attribute.
fn label_name(attribute: &str) -> String {
    let name = attribute.strip_prefix("lbl_").unwrap_or(attribute);
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

struct Taken<'a> {
    settings: &'a Settings,
    base: Vec<(String, String)>,
    streams: Vec<Stream>,
    index: HashMap<Labels, usize>,
    rows: u64,
}

impl Taken<'_> {
    fn document(&mut self, d: Document) -> Result<()> {
        if d.message_type != "DATA_MESSAGE" {
            return Ok(());
        }
        let filters = d.subscription_filters.join(",");
        let own = [
            ("__aws_owner", d.owner.as_str()),
            ("__aws_cw_log_group", d.log_group.as_str()),
            ("__aws_cw_log_stream", d.log_stream.as_str()),
            ("__aws_cw_matched_filters", filters.as_str()),
            ("__aws_cw_msg_type", d.message_type.as_str()),
        ];
        let visible = [("log_group", d.log_group.as_str()), ("log_stream", d.log_stream.as_str()), ("owner", d.owner.as_str())];
        let Some(labels) = self.labels(&own, &visible)? else { return Ok(()) };
        let mut place = (i64::MIN, 0i64);
        let lines = d.log_events.into_iter().map(|e| {
            // The place among those of the same millisecond, so that their order stays.
            place = if place.0 == e.timestamp { (e.timestamp, place.1 + 1) } else { (e.timestamp, 0) };
            let below_ms = (place.1.min(999)) * 1000 + (hash64(e.id.as_bytes()) % 1000) as i64;
            let time_ns = e.timestamp.saturating_mul(1_000_000).saturating_add(below_ms);
            Line { time_ns, text: e.message, metadata: vec![] }
        });
        let lines = lines.collect();
        self.add(labels, lines);
        Ok(())
    }

    fn line(&mut self, data: &[u8], time_ms: i64, place: usize) -> Result<()> {
        let Some(labels) = self.labels(&[], &[])? else { return Ok(()) };
        let time_ns = time_ms.saturating_mul(1_000_000).saturating_add(place.min(999_999) as i64);
        let text = String::from_utf8_lossy(data.strip_suffix(b"\n").unwrap_or(data)).into_owned();
        self.add(labels, vec![Line { time_ns, text, metadata: vec![] }]);
        Ok(())
    }

    fn add(&mut self, labels: Labels, lines: Vec<Line>) {
        self.rows += lines.len() as u64;
        let i = *self.index.entry(labels.clone()).or_insert_with(|| {
            self.streams.push(Stream { tenant: None, labels, lines: vec![] });
            self.streams.len() - 1
        });
        self.streams[i].lines.extend(lines);
    }

    /// The labels of a stream after the rules; none if they drop it. What is said last counts: the settings.
    fn labels(&self, own: &[(&str, &str)], visible: &[(&str, &str)]) -> Result<Option<Labels>> {
        let mut set = LabelSet::default();
        set.set("job", &self.settings.job);
        own.iter().chain(visible).for_each(|(n, v)| set.set(n, v));
        self.base.iter().for_each(|(n, v)| set.set(n, v));
        self.settings.labels.iter().for_each(|(n, v)| set.set(n, v));
        if !apply_to(&self.settings.relabel, &mut set) {
            return Ok(None);
        }
        drop_internal(&mut set);
        set.to_labels().map(Some).map_err(|e| Error::new(Kind::Invalid, e.message()))
    }
}

#[cfg(test)]
mod tests;
