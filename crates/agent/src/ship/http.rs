//! One request and what its answer means.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Result};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};
use wire::Encoding;
use wire::proto::{Fields, Value};

use super::{Answered, Endpoint, Identity, Kind};
use crate::deliver::Format;
use crate::limits;

/// Who asks, as an endpoint wants to be told. It is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// `Authorization: Bearer`.
    Bearer(String),
    /// `Authorization: Basic`: user and password.
    Basic(String, String),
    /// The same with a password that a file holds, which is read each time.
    BasicFile(String, PathBuf),
    /// The same with a user that a file holds.
    UserFile(PathBuf, String),
    /// The same with both in files.
    BasicFiles(PathBuf, PathBuf),
    /// A scheme, and what a file holds, which is read each time.
    SchemeFile(String, PathBuf),
    /// A scheme and what goes with it.
    Scheme(String, String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Bearer(_) => "Bearer(hidden)",
            Credentials::Basic(..) | Credentials::BasicFile(..) | Credentials::UserFile(..) | Credentials::BasicFiles(..) => {
                "Basic(hidden)"
            }
            Credentials::Scheme(..) | Credentials::SchemeFile(..) => "Scheme(hidden)",
        })
    }
}

impl Credentials {
    /// The value of the header `Authorization`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn header(&self) -> Result<Option<String>> {
        let held = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(e) => Err(Error::unavailable(format!("{}: {e}", path.display()))),
        };
        let basic = |user: &str, password: &str| format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        Ok(Some(match self {
            Credentials::None => return Ok(None),
            Credentials::Bearer(token) => format!("Bearer {token}"),
            Credentials::Basic(user, password) => basic(user, password),
            Credentials::BasicFile(user, file) => basic(user, &held(file)?),
            Credentials::UserFile(file, password) => basic(&held(file)?, password),
            Credentials::BasicFiles(user, password) => basic(&held(user)?, &held(password)?),
            Credentials::Scheme(scheme, value) => format!("{scheme} {value}"),
            Credentials::SchemeFile(scheme, file) => format!("{scheme} {}", held(file)?),
        }))
    }
}

/// What an endpoint made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Accepted,
    /// It has it but for so many rows, which it will never take.
    AcceptedBut(u64, String),
    /// It has it but for the rows with these numbers, which it will never take; status and why.
    AcceptedWithout(Vec<RangeInclusive<u32>>, u16, String),
    /// Later, after as long as it asked for; why; and whether a person has to do something first.
    Again(Option<Duration>, String, bool),
    /// It is too large at once.
    TooLarge,
    /// Never: status and why.
    Refused(u16, String),
}

impl Answer {
    /// In one word.
    pub fn word(&self) -> Answered {
        match self {
            Answer::Accepted | Answer::AcceptedBut(..) | Answer::AcceptedWithout(..) => Answered::Accepted,
            Answer::Again(..) => Answered::Again,
            Answer::TooLarge | Answer::Refused(..) => Answered::Refused,
        }
    }
}

/// What is sent.
pub struct Outgoing<'a> {
    /// Form of the body.
    pub format: Format,
    /// Its compression.
    pub encoding: Encoding,
    /// Whose rows; empty for the endpoint's own tenant.
    pub tenant: &'a str,
    /// The bytes.
    pub body: &'a [u8],
    /// Numbers of the frames that they are of: from, to (exclusive).
    pub frames: (u64, u64),
}

/// Sends to one endpoint, over connections of its own.
pub struct Client {
    agent: ureq::Agent,
    kind: Kind,
    url: String,
    tenant: String,
    authorization: Option<String>,
    identity: Identity,
}

impl Client {
    /// A client for `endpoint`.
    ///
    /// # Errors
    /// A file of certificates that cannot be read.
    pub fn new(endpoint: &Endpoint, identity: Identity) -> Result<Client> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(endpoint.timeout))
            .timeout_connect(Some(endpoint.timeout.min(limits::CONNECT_TIMEOUT)))
            .max_idle_connections(1)
            .user_agent(concat!("watchfire-agent/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls(&Tls { ca: endpoint.ca.clone().map(Pem::File), ..Tls::default() })?);
        Ok(Client {
            agent: config.build().into(),
            kind: endpoint.kind,
            url: endpoint.url.trim_end_matches('/').to_owned(),
            tenant: endpoint.tenant.as_ref().map_or_else(String::new, |t| t.as_str().to_owned()),
            authorization: endpoint.credentials.header()?,
            identity,
        })
    }

    /// Sends a body and waits for the whole answer.
    pub fn send(&self, out: &Outgoing<'_>) -> Answer {
        let url = self.url_of(out.format);
        let (content_type, encoding) = form(out.format, out.encoding);
        let mut request = self
            .agent
            .post(&url)
            .content_type(content_type)
            .header("X-Watchfire-Agent-Frames", format!("{}-{}", out.frames.0, out.frames.1));
        request = self.signed(request, out.tenant);
        if let Some(encoding) = encoding {
            request = request.header("Content-Encoding", encoding);
        }
        match out.format {
            Format::RemoteWrite => request = request.header("X-Prometheus-Remote-Write-Version", "0.1.0"),
            Format::RemoteWrite2 => request = request.header("X-Prometheus-Remote-Write-Version", "2.0.0"),
            _ => {}
        }
        self.answer(request.send(out.body), out.format)
    }

    /// Posts JSON to a path of the endpoint.
    pub fn post_json(&self, path: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        self.answer(self.signed(request, "").send(body), Format::LokiPush)
    }

    fn signed<B>(&self, mut request: ureq::RequestBuilder<B>, tenant: &str) -> ureq::RequestBuilder<B> {
        request = request.header("X-Watchfire-Agent", &self.identity.agent).header("X-Watchfire-Agent-Boot", &self.identity.boot);
        if let Some(a) = &self.authorization {
            request = request.header("Authorization", a);
        }
        let tenant = if tenant.is_empty() { &self.tenant } else { tenant };
        if tenant.is_empty() { request } else { request.header("X-Scope-OrgID", tenant) }
    }

    fn url_of(&self, format: Format) -> String {
        let path = match format {
            Format::LokiPush | Format::LokiPushJson => "/loki/api/v1/push",
            Format::RemoteWrite | Format::RemoteWrite2 => "/api/v1/write",
            Format::OtlpLogs | Format::OtlpLogsJson => "/v1/logs",
            Format::OtlpMetrics | Format::OtlpMetricsJson => "/v1/metrics",
            Format::OtlpTraces | Format::OtlpTracesJson => "/v1/traces",
        };
        let has_path = self.url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        match self.kind {
            Kind::Loki | Kind::RemoteWrite if has_path => self.url.clone(),
            _ => format!("{}{path}", self.url),
        }
    }

    fn answer(&self, sent: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>, format: Format) -> Answer {
        let mut response = match sent {
            Ok(r) => r,
            Err(e) => return Answer::Again(None, format!("no answer: {e}"), false),
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let refused = response.headers().get(wire::refused::HEADER).and_then(|v| wire::refused::read(v.to_str().ok()?));
        // Read to its end: an answer that breaks off in the middle may be of a server that never stored anything.
        let body = match response.body_mut().with_config().limit(limits::ANSWER_BYTES).read_to_vec() {
            Ok(b) => b,
            Err(e) => return Answer::Again(after, format!("{status}, but the answer breaks off: {e}"), false),
        };
        match (meaning(status, after, &body, format), refused) {
            (Answer::Refused(status, why), Some(rows)) => Answer::AcceptedWithout(rows, status, why),
            (meaning, _) => meaning,
        }
    }
}

/// What a status means. It is the endpoint's word on whether the same bytes can be taken later.
fn meaning(status: u16, after: Option<Duration>, body: &[u8], format: Format) -> Answer {
    let why = || String::from_utf8_lossy(body).trim().chars().take(limits::ANSWER_CHARS).collect::<String>();
    match status {
        200..=299 if format >= Format::OtlpLogs => match rejected(body) {
            0 => Answer::Accepted,
            n => Answer::AcceptedBut(n, why()),
        },
        200..=299 => Answer::Accepted,
        413 => Answer::TooLarge,
        400 | 422 => Answer::Refused(status, why()),
        408 | 425 | 429 | 500..=599 => Answer::Again(after, format!("{status} {}", why()), false),
        // A wrong token, path or address: a person has to mend it, and until then nothing is thrown away.
        _ => Answer::Again(after, format!("{status} {}", why()), true),
    }
}

/// Rows that an OTLP answer says were rejected: field 1 (partial success), field 1 of it.
fn rejected(body: &[u8]) -> u64 {
    let mut fields = Fields::new(body);
    while let Ok(Some((n, v))) = fields.next() {
        if let (1, Value::Bytes(partial)) = (n, v) {
            let mut fields = Fields::new(partial);
            while let Ok(Some((n, v))) = fields.next() {
                if let (1, Value::Varint(rows)) = (n, v) {
                    return rows;
                }
            }
        }
    }
    0
}

/// Content type and content encoding.
fn form(format: Format, encoding: Encoding) -> (&'static str, Option<&'static str>) {
    let content_type = match format {
        Format::RemoteWrite2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        Format::LokiPushJson | Format::OtlpLogsJson | Format::OtlpMetricsJson | Format::OtlpTracesJson => "application/json",
        _ => "application/x-protobuf",
    };
    let encoding = match encoding {
        Encoding::Identity => None,
        // Loki's snappy is a matter of its content type.
        Encoding::SnappyBlock if format == Format::LokiPush => None,
        Encoding::SnappyBlock | Encoding::SnappyFramed => Some("snappy"),
        Encoding::Gzip => Some("gzip"),
        Encoding::Deflate => Some("deflate"),
        Encoding::Zstd => Some("zstd"),
    };
    (content_type, encoding)
}

/// Certificates, or a key. Never printed but for the file.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file that holds them.
    File(PathBuf),
    /// They themselves.
    Text(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pem({})", self.shown())
    }
}

impl Pem {
    fn shown(&self) -> String {
        match self {
            Pem::File(path) => path.display().to_string(),
            Pem::Text(_) => "the settings".into(),
        }
    }
    fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Pem::File(path) => std::fs::read(path),
            Pem::Text(text) => Ok(text.clone().into_bytes()),
        }
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities that are believed, instead of the system's.
    pub ca: Option<Pem>,
    /// The certificate and the key that are shown to the other side.
    pub identity: Option<(Pem, Pem)>,
    /// Any certificate is believed.
    pub insecure: bool,
}

/// The settings of TLS as the client takes them.
///
/// # Errors
/// A file that cannot be read, or is not what it should be.
pub(crate) fn tls(t: &Tls) -> Result<TlsConfig> {
    let roots = match &t.ca {
        None => RootCerts::PlatformVerifier,
        Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
    };
    let identity = match &t.identity {
        None => None,
        Some((cert, key)) => {
            let wrong = |e: &dyn std::fmt::Display| Error::invalid(format!("key of {}: {e}", key.shown()));
            let pem = key.read().map_err(|e| wrong(&e))?;
            let key = PrivateKey::from_pem(&pem).map_err(|e| wrong(&e))?;
            Some(ClientCert::new_with_certs(&certificates(cert)?, key))
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
    Ok(config.root_certs(roots).client_cert(identity).disable_verification(t.insecure).build())
}

fn certificates(from: &Pem) -> Result<Vec<Certificate<'static>>> {
    let wrong = |e: &dyn std::fmt::Display| Error::invalid(format!("certificates of {}: {e}", from.shown()));
    let pem = from.read().map_err(|e| wrong(&e))?;
    let mut out = vec![];
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(c) = item.map_err(|e| wrong(&e))? {
            out.push(c);
        }
    }
    if out.is_empty() { Err(wrong(&"there is none in the file")) } else { Ok(out) }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_written_as_browsers_do() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("a:b\u{ff}", "YTpiw78=")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert!(!format!("{:?}", Credentials::Bearer("secret".into())).contains("secret"));
    }

    #[test]
    fn what_can_be_mended_is_sent_again() {
        let of = |status| meaning(status, None, b"why", Format::LokiPush);
        assert_eq!(of(204), Answer::Accepted);
        assert!([429, 500, 502, 503, 504, 408].into_iter().all(|s| matches!(of(s), Answer::Again(_, _, false))));
        assert!([401, 403, 404, 405, 301, 415].into_iter().all(|s| matches!(of(s), Answer::Again(_, _, true))));
        assert!([400, 422].into_iter().all(|s| of(s) == Answer::Refused(s, "why".into())));
        assert_eq!(of(413), Answer::TooLarge);
        let partial = [0x0a, 2, 0x08, 3];
        assert!(matches!(meaning(200, None, &partial, Format::OtlpTraces), Answer::AcceptedBut(3, _)));
        assert_eq!(meaning(200, None, b"", Format::OtlpLogs), Answer::Accepted);
    }
}
