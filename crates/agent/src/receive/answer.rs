//! What senders are answered: each protocol's status and form, by what the sender does with it.

use base::{Error, Kind};
use serde_json::json;
use wire::grpc;
use wire::otlp::{Form, status as otlp_status};

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What follows the body; names in lower case.
    pub trailers: Vec<(&'static str, String)>,
}

impl Answer {
    /// 204: taken.
    pub fn empty() -> Answer {
        Answer { status: 204, headers: vec![], body: vec![], trailers: vec![] }
    }
    /// An answer with a body.
    pub fn new(status: u16, media_type: &str, body: Vec<u8>) -> Answer {
        Answer { status, headers: vec![("content-type", media_type.to_owned())], body, trailers: vec![] }
    }
    /// Success of a gRPC call, with its message.
    pub fn grpc(message: &[u8]) -> Answer {
        let trailers = vec![(grpc::header::STATUS, grpc::OK.to_string())];
        Answer { trailers, ..Answer::new(200, grpc::MEDIA_TYPE, grpc::framed(message)) }
    }
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug)]
pub enum Refused {
    /// Its media type is not known: 415, at which some senders choose another.
    MediaType(String),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        Refused::Error(e)
    }
}

/// How a protocol says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Plain text.
    Text,
    /// Plain text, and whether the sender drops at 429: Prometheus does unless told otherwise.
    RemoteWrite {
        /// It does.
        drops_on_429: bool,
    },
    /// A `google.rpc.Status` in the form of the request.
    Otlp(Form),
    /// 200 with a status among the headers.
    Grpc,
    /// JSON that says which request is meant.
    Firehose {
        /// Which.
        request_id: String,
        /// Now, milliseconds since 1970.
        now_ms: i64,
    },
}

impl Dialect {
    /// The answer to a request that is not taken.
    pub fn refused(&self, refused: &Refused) -> Answer {
        let (kind, message) = match refused {
            Refused::MediaType(message) => (Kind::Invalid, message.as_str()),
            Refused::Error(e) => (e.kind(), e.message()),
        };
        let status = self.status_of(refused);
        let hint = if let Refused::Error(e) = refused { e.retry_hint() } else { None };
        let mut answer = match self {
            Dialect::Grpc => {
                let code = if matches!(refused, Refused::MediaType(_)) { grpc::UNIMPLEMENTED } else { grpc::code(kind) };
                return Answer { status: 200, headers: grpc::status(code, message, hint), body: vec![], trailers: vec![] };
            }
            Dialect::Text | Dialect::RemoteWrite { .. } => {
                Answer::new(status, "text/plain; charset=utf-8", format!("{message}\n").into_bytes())
            }
            Dialect::Otlp(form) => Answer::new(status, form.media_type(), otlp_status(*form, kind, message)),
            Dialect::Firehose { request_id, now_ms } => firehose(status, request_id, *now_ms, message),
        };
        if matches!(status, 429 | 503) {
            let seconds = hint.map_or(1, |d| d.as_secs() + u64::from(d.subsec_nanos() > 0));
            answer.headers.push(("retry-after", seconds.max(1).to_string()));
        }
        if status == 401 {
            answer.headers.push(("www-authenticate", "Bearer".into()));
        }
        answer
    }

    /// The status of HTTP that says it, also where the protocol has its own.
    pub fn status_of(&self, refused: &Refused) -> u16 {
        match refused {
            Refused::MediaType(_) => 415,
            Refused::Error(e) => self.status(e.kind()),
        }
    }

    fn status(&self, kind: Kind) -> u16 {
        match kind {
            Kind::LimitExceeded if *self == (Dialect::RemoteWrite { drops_on_429: true }) => 503,
            // At 500 a client of OTLP gives up.
            Kind::Internal | Kind::Corrupt if matches!(self, Dialect::Otlp(_) | Dialect::Grpc) => 503,
            Kind::Invalid => 400,
            Kind::Unprocessable => 422,
            Kind::NotFound => 404,
            Kind::TooLarge => 413,
            Kind::LimitExceeded => 429,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
            Kind::Canceled => 499,
            Kind::Corrupt | Kind::Internal => 500,
        }
    }
}

/// An answer as Firehose reads it; no message says that all is well.
pub fn firehose(status: u16, request_id: &str, now_ms: i64, message: &str) -> Answer {
    let mut body = json!({"requestId": request_id, "timestamp": now_ms});
    if !message.is_empty() {
        body["errorMessage"] = message.into();
    }
    Answer::new(status, "application/json", body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_policy_of_status_codes() {
        let rw = |drops_on_429| Dialect::RemoteWrite { drops_on_429 };
        for (dialect, kind, status) in [
            (Dialect::Text, Kind::Invalid, 400),
            (Dialect::Text, Kind::TooLarge, 413),
            (Dialect::Text, Kind::Unavailable, 503),
            (Dialect::Text, Kind::Internal, 500),
            (Dialect::Text, Kind::LimitExceeded, 429),
            (rw(true), Kind::LimitExceeded, 503),
            (rw(false), Kind::LimitExceeded, 429),
            (Dialect::Otlp(Form::Json), Kind::Internal, 503),
            (Dialect::Otlp(Form::Json), Kind::NotFound, 404),
        ] {
            assert_eq!(dialect.refused(&Error::new(kind, "x").into()).status, status, "{dialect:?} {kind:?}");
        }
        assert_eq!(rw(true).refused(&Refused::MediaType("x".into())).status, 415);
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        let e = Error::unavailable("full").retry_after(Duration::from_millis(2500));
        assert_eq!(Dialect::Text.refused(&e.into()).header("retry-after"), Some("3"));
        assert_eq!(Dialect::Text.refused(&Error::new(Kind::LimitExceeded, "x").into()).header("retry-after"), Some("1"));
        assert_eq!(Dialect::Text.refused(&Error::invalid("x").into()).header("retry-after"), None);
    }

    #[test]
    fn grpc_says_it_among_the_headers() {
        for (refused, code) in [
            (Error::unavailable("full").into(), "14"),
            (Error::internal("x").into(), "14"),
            (Error::invalid("x").into(), "3"),
            (Error::new(Kind::Unauthenticated, "x").into(), "16"),
            (Refused::MediaType("x".into()), "12"),
        ] {
            let a = Dialect::Grpc.refused(&refused);
            assert_eq!((a.status, a.header("grpc-status"), a.body.len()), (200, Some(code), 0), "{refused:?}");
            assert_eq!(a.header("grpc-status-details-bin").is_some(), code == "14");
        }
        let a = Answer::grpc(b"ab");
        assert_eq!((a.status, &a.body[..], &a.trailers[..]), (200, &b"\0\0\0\0\x02ab"[..], &[("grpc-status", "0".to_owned())][..]));
    }

    #[test]
    fn firehose_is_told_which_request_is_meant() {
        let d = Dialect::Firehose { request_id: "r-1".into(), now_ms: 5 };
        let a = d.refused(&Error::invalid("no").into());
        assert_eq!(String::from_utf8(a.body).unwrap(), r#"{"errorMessage":"no","requestId":"r-1","timestamp":5}"#);
        assert_eq!((a.status, a.headers[0].1.as_str()), (400, "application/json"));
    }
}
