//! What an OTLP receiver answers.

use base::Kind;
use serde_json::json;

use crate::grpc::code;
use crate::proto::Writer;

/// The form of a request, which its answer shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Form {
    /// The form of a media type; `None` for one that OTLP does not know.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/x-protobuf" | "application/protobuf" => Some(Form::Protobuf),
            "application/json" => Some(Form::Json),
            _ => None,
        }
    }
    /// The content type of an answer.
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }
}

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `ExportLogsServiceResponse`
    Logs,
    /// `ExportTraceServiceResponse`
    Traces,
    /// `ExportMetricsServiceResponse`
    Metrics,
}

/// The body of a 200: everything was taken, or all but `rejected` records for the reason given. A message with 0
/// rejected is a warning.
pub fn success(form: Form, signal: Signal, rejected: u64, message: &str) -> Vec<u8> {
    let partial = rejected > 0 || !message.is_empty();
    match form {
        Form::Protobuf => {
            let mut w = Writer::default();
            if partial {
                w.message(1, |w| {
                    w.varint(1, rejected);
                    w.bytes(2, message.as_bytes());
                });
            }
            w.out
        }
        Form::Json if !partial => br#"{"partialSuccess":{}}"#.to_vec(),
        Form::Json => {
            let name = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
            };
            json!({"partialSuccess": {name: rejected.to_string(), "errorMessage": message}}).to_string().into_bytes()
        }
    }
}

/// The body of an error: a `google.rpc.Status`.
pub fn status(form: Form, kind: Kind, message: &str) -> Vec<u8> {
    match form {
        Form::Protobuf => {
            let mut w = Writer::default();
            w.varint(1, code(kind));
            w.bytes(2, message.as_bytes());
            w.out
        }
        Form::Json => json!({"code": code(kind), "message": message}).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(success(Form::Protobuf, Signal::Traces, 0, ""), b"");
        assert_eq!(success(Form::Json, Signal::Traces, 0, ""), br#"{"partialSuccess":{}}"#);
        assert_eq!(success(Form::Protobuf, Signal::Logs, 3, "no"), b"\x0a\x06\x08\x03\x12\x02no");
        let j = String::from_utf8(success(Form::Json, Signal::Traces, 3, "n\"o")).unwrap();
        assert_eq!(j, r#"{"partialSuccess":{"errorMessage":"n\"o","rejectedSpans":"3"}}"#);
        assert_eq!(status(Form::Protobuf, Kind::Unavailable, "x"), b"\x08\x0e\x12\x01x");
        assert_eq!(status(Form::Json, Kind::Invalid, "x"), br#"{"code":3,"message":"x"}"#);
        assert_eq!(Form::of("application/json"), Some(Form::Json));
        assert_eq!(Form::of("text/plain"), None);
    }
}
