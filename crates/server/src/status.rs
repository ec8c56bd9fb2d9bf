//! The one map from kinds of error to HTTP statuses, and the shapes of error bodies.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base::{Error, Kind};
use wire::grpc;
use wire::otlp::Form;

/// Which habits a request's protocol has for errors. The paths decide, by position, never by what they contain; gRPC is known by its
/// content type, because its paths are those of services that we may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Loki, Tempo and our own paths: the message as plain text.
    Text,
    /// Prometheus' query API: `{"status":"error", ...}`.
    Prometheus,
    /// Remote write: plain text; senders that take 429 for final get 503.
    RemoteWrite {
        /// The sender drops on 429 (Prometheus' default) instead of trying again.
        drops_on_429: bool,
    },
    /// OTLP: `google.rpc.Status`, in the request's own encoding. 500 is final there, so our own failures are 503.
    Otlp {
        /// JSON or protobuf.
        form: Form,
    },
    /// gRPC: 200 with a status among the headers.
    Grpc,
}

/// The status that stands for an answer in figures, where the protocol has it say 200.
#[derive(Clone, Copy)]
pub struct Counted(pub StatusCode);

/// The protocol of a path, from its first segments.
pub fn dialect(path: &str, headers: &HeaderMap) -> Dialect {
    if headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(grpc::is_grpc) {
        return Dialect::Grpc;
    }
    let mut segments = path.trim_start_matches('/').split('/');
    let first = [(); 3].map(|()| segments.next().unwrap_or(""));
    match first {
        ["prometheus", "api", _] => dialect(path.trim_start_matches('/').trim_start_matches("prometheus"), headers),
        ["api", "v1", "otlp"] => Dialect::Otlp { form: Form::of(&media_type(headers)).unwrap_or(Form::Protobuf) },
        ["api", "v1", "write" | "push"] => Dialect::RemoteWrite { drops_on_429: drops_on_429(headers) },
        ["api", "v1", "ledger" | "cluster" | "agents"] => Dialect::Text,
        ["api", "v1", _] => Dialect::Prometheus,
        ["v1", _, _] | ["otlp", "v1", _] => Dialect::Otlp { form: Form::of(&media_type(headers)).unwrap_or(Form::Protobuf) },
        _ => Dialect::Text,
    }
}

/// Prometheus gives up on 429 unless told otherwise, which a receiver cannot see.
fn drops_on_429(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|v| v.as_bytes().starts_with(b"Prometheus/"))
}

/// The media type of a request's body in lower case, without parameters; empty when it names none.
pub fn media_type(headers: &HeaderMap) -> String {
    wire::encoding::media_type(headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or(""))
}

/// The status of a kind of error.
pub fn status(kind: Kind, dialect: Dialect) -> StatusCode {
    match (kind, dialect) {
        (Kind::LimitExceeded, Dialect::RemoteWrite { drops_on_429: true }) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Timeout, Dialect::Prometheus) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Internal | Kind::Corrupt, Dialect::Otlp { .. } | Dialect::Grpc) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Invalid, _) => StatusCode::BAD_REQUEST,
        (Kind::Unprocessable, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (Kind::NotFound, _) => StatusCode::NOT_FOUND,
        (Kind::TooLarge, _) => StatusCode::PAYLOAD_TOO_LARGE,
        (Kind::LimitExceeded, _) => StatusCode::TOO_MANY_REQUESTS,
        (Kind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Kind::Forbidden, _) => StatusCode::FORBIDDEN,
        (Kind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Timeout, _) => StatusCode::GATEWAY_TIMEOUT,
        // 499 is what the protocols' own servers log for a client that went away; nobody is left to read it.
        (Kind::Canceled, _) => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        (Kind::Corrupt | Kind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer to a request that failed.
pub fn error(dialect: Dialect, e: &Error) -> Response<Body> {
    if dialect == Dialect::Grpc {
        return grpc_status(grpc::code(e.kind()), status(e.kind(), dialect), e.message(), e.retry_hint());
    }
    let mut r = respond(dialect, status(e.kind(), dialect), e.kind(), e.message());
    if let Some(after) = e.retry_hint()
        && r.headers().contains_key(header::RETRY_AFTER)
    {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        r.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    r
}

/// An answer with a status that no kind of error has (a media type or a method that is not known).
pub fn refuse(dialect: Dialect, status: StatusCode, message: &str) -> Response<Body> {
    if dialect == Dialect::Grpc {
        return grpc_status(grpc::UNIMPLEMENTED, status, message, None);
    }
    let kind = if status == StatusCode::NOT_FOUND { Kind::NotFound } else { Kind::Invalid };
    respond(dialect, status, kind, message)
}

/// An answer of gRPC that is nothing but a status.
fn grpc_status(code: u64, counted: StatusCode, message: &str, retry_after: Option<Duration>) -> Response<Body> {
    let mut r = Response::new(Body::empty());
    for (name, value) in grpc::status(code, message, retry_after) {
        // They are visible ASCII, as headers want them.
        if let Ok(value) = HeaderValue::try_from(value) {
            r.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    r.extensions_mut().insert(Counted(counted));
    r
}

fn respond(dialect: Dialect, status: StatusCode, kind: Kind, message: &str) -> Response<Body> {
    let (media_type, body) = match dialect {
        Dialect::Text | Dialect::RemoteWrite { .. } | Dialect::Grpc => ("text/plain; charset=utf-8", format!("{message}\n").into_bytes()),
        Dialect::Prometheus => ("application/json", metrics::response::error(kind, message)),
        Dialect::Otlp { form } => (form.media_type(), wire::otlp::status(form, kind, message)),
    };
    let mut r = Response::new(Body::from(body));
    *r.status_mut() = status;
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        r.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::UNAUTHORIZED {
        r.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides_by_position() {
        let h = HeaderMap::new();
        for (path, want) in [
            ("/loki/api/v1/push", Dialect::Text),
            ("/loki/api/v1/write", Dialect::Text),
            ("/api/v1/write", Dialect::RemoteWrite { drops_on_429: false }),
            ("/api/v1/push", Dialect::RemoteWrite { drops_on_429: false }),
            ("/prometheus/api/v1/write", Dialect::RemoteWrite { drops_on_429: false }),
            ("/api/v1/query", Dialect::Prometheus),
            ("/prometheus/api/v1/query", Dialect::Prometheus),
            ("/api/v1/otlp/v1/metrics", Dialect::Otlp { form: Form::Protobuf }),
            ("/api/v1/ledger", Dialect::Text),
            ("/api/v1/cluster/forget", Dialect::Text),
            ("/v1/traces", Dialect::Otlp { form: Form::Protobuf }),
            ("/otlp/v1/logs", Dialect::Otlp { form: Form::Protobuf }),
            ("/api/traces/v1", Dialect::Text),
            ("/ready", Dialect::Text),
        ] {
            assert_eq!(dialect(path, &h), want, "{path}");
        }
    }

    #[test]
    fn grpc_says_it_among_the_headers_and_is_counted_as_what_it_means() {
        let mut h = HeaderMap::new();
        h.insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
        assert_eq!(dialect("/v1/logs", &h), Dialect::Grpc);
        for (r, code, counted) in [
            (error(Dialect::Grpc, &Error::unavailable("x")), "14", 503),
            (error(Dialect::Grpc, &Error::internal("x")), "14", 503),
            (error(Dialect::Grpc, &Error::invalid("x")), "3", 400),
            (error(Dialect::Grpc, &Error::new(Kind::TooLarge, "x")), "3", 413),
            (refuse(Dialect::Grpc, StatusCode::NOT_FOUND, "x"), "12", 404),
        ] {
            assert_eq!((r.status().as_u16(), r.headers()[grpc::header::STATUS].to_str().unwrap()), (200, code));
            assert_eq!(r.extensions().get::<Counted>().unwrap().0, counted);
        }
    }

    #[test]
    fn failures_of_ours_stay_retryable_where_500_is_final_and_429_is_a_drop() {
        assert_eq!(status(Kind::Internal, Dialect::Otlp { form: Form::Json }), 503);
        assert_eq!(status(Kind::Internal, Dialect::Text), 500);
        assert_eq!(status(Kind::LimitExceeded, Dialect::RemoteWrite { drops_on_429: true }), 503);
        assert_eq!(status(Kind::LimitExceeded, Dialect::RemoteWrite { drops_on_429: false }), 429);
        assert_eq!(status(Kind::Timeout, Dialect::Prometheus), 503);
        assert_eq!(status(Kind::Timeout, Dialect::Text), 504);
    }

    #[test]
    fn whoever_is_asked_to_come_again_is_told_when() {
        let e = Error::new(Kind::LimitExceeded, "slow down").retry_after(std::time::Duration::from_millis(2500));
        assert_eq!(error(Dialect::Text, &e).headers()[header::RETRY_AFTER], "3");
        assert_eq!(error(Dialect::Text, &Error::new(Kind::Unavailable, "x")).headers()[header::RETRY_AFTER], "1");
        assert!(!error(Dialect::Text, &Error::invalid("x")).headers().contains_key(header::RETRY_AFTER));
    }
}
