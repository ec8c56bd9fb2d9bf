//! OTLP over HTTP and gRPC: logs, metrics and traces, as protobuf or JSON, passed on as they came.

use base::{Error, Result};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use wire::Encoding;
use wire::encoding::{media_type, shorten};
use wire::otlp::{Form, LOGS, TRACES, json, resources};
use wire::proto::{Fields, repeated};

use super::{Answer, Refused, Request, bounded, decoded};
use crate::deliver::Format;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `ExportLogsServiceRequest`
    Logs,
    /// `ExportMetricsServiceRequest`
    Metrics,
    /// `ExportTraceServiceRequest`
    Traces,
}

impl Signal {
    fn format(self, form: Form) -> Format {
        match (self, form) {
            (Signal::Logs, Form::Protobuf) => Format::OtlpLogs,
            (Signal::Logs, Form::Json) => Format::OtlpLogsJson,
            (Signal::Metrics, Form::Protobuf) => Format::OtlpMetrics,
            (Signal::Metrics, Form::Json) => Format::OtlpMetricsJson,
            (Signal::Traces, Form::Protobuf) => Format::OtlpTraces,
            (Signal::Traces, Form::Json) => Format::OtlpTracesJson,
        }
    }
}

/// An export that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its form on the way.
    pub format: Format,
    /// How its body is compressed.
    pub encoding: Encoding,
    /// Log records, data points or spans.
    pub rows: u64,
}

/// The form of a request, if it is known.
pub fn form(request: &Request) -> Option<Form> {
    Form::of(&media_type(request.header("content-type").unwrap_or("")))
}

/// The form of a request over HTTP, or why it is not taken.
pub fn known_form(request: &Request) -> std::result::Result<Form, Refused> {
    form(request).ok_or_else(|| {
        let given = shorten(request.header("content-type").unwrap_or(""));
        Refused::MediaType(format!("content type {given:?} is not supported: use application/x-protobuf or application/json"))
    })
}

/// Reads an export in this form and checks that all of it can be decoded.
pub fn read(signal: Signal, form: Form, request: &Request) -> std::result::Result<Export, Refused> {
    let encoding = Encoding::from_header(request.header("content-encoding"), Encoding::SnappyFramed)?;
    let plain = decoded(encoding, &request.body)?;
    let rows = match (signal, form) {
        (Signal::Metrics, Form::Protobuf) => points(&plain)?,
        (Signal::Metrics, Form::Json) => points_of_json(&plain)?,
        (Signal::Logs | Signal::Traces, Form::Protobuf) => records(&plain)?,
        (Signal::Logs, Form::Json) => records(&Bytes::from(json::to_protobuf(&LOGS, &plain)?))?,
        (Signal::Traces, Form::Json) => records(&Bytes::from(json::to_protobuf(&TRACES, &plain)?))?,
    };
    bounded(rows)?;
    Ok(Export { format: signal.format(form), encoding, rows })
}

/// The answer to an export that is durable: an empty message.
pub fn answer(form: Form) -> Answer {
    let body: &[u8] = if form == Form::Json { br#"{"partialSuccess":{}}"# } else { b"" };
    Answer::new(200, form.media_type(), body.to_vec())
}

/// Log records or spans of a request; their own fields are looked at too.
fn records(body: &[u8]) -> Result<u64> {
    let mut rows = 0;
    for resource in resources(body) {
        for scope in resource?.scopes() {
            for record in scope?.records() {
                let mut fields = Fields::new(record?);
                while fields.next()?.is_some() {}
                rows += 1;
            }
        }
    }
    Ok(rows)
}

/// Fields of a `Metric` that hold data points, which are their field 1: gauge, sum, histogram, exponential histogram, summary.
const POINTS: [u32; 5] = [5, 7, 9, 10, 11];

/// Data points of a request.
fn points(body: &[u8]) -> Result<u64> {
    let mut rows = 0;
    for resource in repeated(body, 1) {
        for scope in repeated(resource?, 2) {
            for metric in repeated(scope?, 2) {
                let mut fields = Fields::new(metric?);
                while let Some((number, value)) = fields.next()? {
                    if POINTS.contains(&number) {
                        for point in repeated(value.bytes()?, 1) {
                            let mut fields = Fields::new(point?);
                            while fields.next()?.is_some() {}
                            rows += 1;
                        }
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// As much of the JSON form of metrics as counts them. `null` is absence.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metrics {
    resource_metrics: Option<Vec<ResourceMetrics>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceMetrics {
    scope_metrics: Option<Vec<ScopeMetrics>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeMetrics {
    metrics: Option<Vec<Metric>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metric {
    gauge: Option<Points>,
    sum: Option<Points>,
    histogram: Option<Points>,
    exponential_histogram: Option<Points>,
    summary: Option<Points>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Points {
    data_points: Option<Vec<IgnoredAny>>,
}

fn points_of_json(body: &[u8]) -> Result<u64> {
    let request: Metrics = serde_json::from_slice(body).map_err(|e| Error::invalid(format!("the OTLP request is not valid JSON: {e}")))?;
    let metrics = request
        .resource_metrics
        .into_iter()
        .flatten()
        .flat_map(|r| r.scope_metrics.into_iter().flatten())
        .flat_map(|s| s.metrics.into_iter().flatten());
    let kinds = metrics.flat_map(|m| [m.gauge, m.sum, m.histogram, m.exponential_histogram, m.summary]);
    Ok(kinds.flatten().map(|p| p.data_points.map_or(0, |d| d.len() as u64)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::encoding::encode;
    use wire::proto::Writer;

    fn request(content_type: &str, encoding: &str, body: Vec<u8>) -> Request {
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        Request { headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(), body: body.into() }
    }

    /// A request with one record, or one metric whose field `kind` has two points.
    fn protobuf(kind: Option<u32>) -> Vec<u8> {
        let mut w = Writer::default();
        w.message(1, |w| {
            w.message(2, |w| {
                w.message(2, |w| match kind {
                    None => w.bytes(3, b"INFO"),
                    Some(kind) => {
                        w.bytes(1, b"requests");
                        w.message(kind, |w| {
                            w.message(1, |w| w.fixed64(3, 5));
                            w.message(1, |w| w.fixed64(3, 6));
                        });
                    }
                });
            });
        });
        w.out
    }

    #[test]
    fn rows_are_counted_in_every_form() {
        let logs = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"INFO"},{}]}]}]}"#.to_vec();
        let spans = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}"#.to_vec();
        let metrics =
            br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{},{}]}},{"sum":null}]}]}]}"#.to_vec();
        for (signal, content_type, body, format, rows) in [
            (Signal::Logs, "application/x-protobuf", protobuf(None), Format::OtlpLogs, 1),
            (Signal::Traces, "application/x-protobuf", protobuf(None), Format::OtlpTraces, 1),
            (Signal::Metrics, "application/x-protobuf", protobuf(Some(5)), Format::OtlpMetrics, 2),
            (Signal::Metrics, "application/x-protobuf", protobuf(Some(11)), Format::OtlpMetrics, 2),
            (Signal::Logs, "application/json", logs, Format::OtlpLogsJson, 2),
            (Signal::Traces, "application/json", spans, Format::OtlpTracesJson, 1),
            (Signal::Metrics, "application/json", metrics, Format::OtlpMetricsJson, 2),
        ] {
            let of = |request: Request| read(signal, known_form(&request).unwrap(), &request).unwrap();
            let plain = of(request(content_type, "", body.clone()));
            assert_eq!((plain.format, plain.rows, plain.encoding), (format, rows, Encoding::Identity), "{format:?}");
            let packed = of(request(content_type, "gzip", encode(Encoding::Gzip, &body).unwrap()));
            assert_eq!((packed.rows, packed.encoding), (rows, Encoding::Gzip), "{format:?}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for signal in [Signal::Logs, Signal::Metrics, Signal::Traces] {
            assert!(matches!(known_form(&request("text/plain", "", vec![])), Err(Refused::MediaType(_))));
            assert!(matches!(read(signal, Form::Json, &request("", "", b"{".to_vec())), Err(Refused::Error(_))));
            assert!(matches!(read(signal, Form::Protobuf, &request("", "", b"\x0a\x05x".to_vec())), Err(Refused::Error(_))));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_an_export(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop((points(&body), records(&body), points_of_json(&body)));
        }
    }
}
