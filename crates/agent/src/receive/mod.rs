//! Receivers: what others send to the agent, in the forms in which they would send it to a server.
//!
//! **Acknowledged when it is durable.** A request is read whole, decoded as far as it takes to see that it can be, delivered,
//! and answered when [`Deliver::deliver`] has returned. When the place of delivery has no room the sender is told to come
//! again (503 with `Retry-After`): it keeps what it has, as the other sources do.
//!
//! **Nothing is taken that nobody gets.** A form that no endpoint takes is refused at the door; it would be acknowledged
//! and then thrown away.
//!
//! This module has no I/O: it makes an [`Answer`] of a [`Request`]. Who listens bounds the bytes of a body
//! ([`limits::RECEIVED_BYTES`]); what comes out of a compressed one is bounded here.
//!
//! Pushes of lines and samples are kept as plain protobuf, whatever they came as: so they are put together with others, and
//! cut in halves where an endpoint refuses a row. OTLP is passed on as it came: its receivers answer for its rows.

mod answer;
pub mod firehose;
pub mod loki;
pub mod otlp;
pub mod remote_write;
mod secret;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Error, Kind, Result, Tenant};
use bytes::Bytes;
use wire::grpc::method;
use wire::otlp::Form;

pub use answer::{Answer, Refused};
pub use secret::Secret;

use crate::deliver::{Batch, Body, Deliver, Format, Lines, Stream};
use crate::limits;
use crate::stats::Stats;
use answer::Dialect;

/// The position of a receiver: it has none, and an empty one would say that it is done with.
const NO_POSITION: &[u8] = b"-";
/// Positions of receivers begin with it; stages may hold lines in them.
pub const PREFIX: &str = "receive/";

/// A request, read whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Headers, names in lower case. Of a name that is there twice, one. Of a gRPC call, `content-encoding` is that of its message.
    pub headers: BTreeMap<String, String>,
    /// The body as it was sent; the message of a gRPC call, out of its frame.
    pub body: Bytes,
}

impl Request {
    /// The value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    /// Whose it is.
    fn tenant(&self) -> Result<Option<Tenant>> {
        self.header("x-scope-orgid").filter(|t| !t.is_empty()).map(Tenant::new).transpose()
    }
}

/// What a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Loki push.
    Loki,
    /// Prometheus remote write.
    RemoteWrite,
    /// OTLP over HTTP.
    Otlp(otlp::Signal),
    /// OTLP over gRPC.
    OtlpGrpc(otlp::Signal),
    /// Amazon Data Firehose.
    Firehose,
}

impl Way {
    /// Its name in figures and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Way::Loki => "receive/loki",
            Way::RemoteWrite => "receive/remote_write",
            Way::Otlp(_) | Way::OtlpGrpc(_) => "receive/otlp",
            Way::Firehose => "receive/firehose",
        }
    }
}

/// Loki push.
#[derive(Clone, Default)]
pub struct Loki {
    /// Where lines go one by one, through stages; without it pushes are passed on whole.
    pub stages: Option<Arc<dyn Deliver>>,
}

/// Firehose.
#[derive(Clone)]
pub struct Firehose {
    /// What lines are labelled with.
    pub settings: firehose::Settings,
    /// The key that the delivery stream must know.
    pub access_key: Option<Secret>,
    /// Where lines go.
    pub deliver: Arc<dyn Deliver>,
}

/// Which receivers there are.
#[derive(Clone, Default)]
pub struct Settings {
    /// Loki push, if it is wanted.
    pub loki: Option<Loki>,
    /// OTLP over HTTP and gRPC.
    pub otlp: bool,
    /// Prometheus remote write 1.0.
    pub remote_write: bool,
    /// Firehose, if it is wanted.
    pub firehose: Option<Firehose>,
    /// The bearer token that senders must know, if there is one. Firehose has its access key instead.
    pub token: Option<Secret>,
    /// The forms that some endpoint takes.
    pub takes: Vec<Format>,
}

/// All receivers.
pub struct Receivers {
    settings: Settings,
    deliver: Arc<dyn Deliver>,
    clock: Clock,
    stats: Arc<Stats>,
}

impl Receivers {
    /// Receivers that deliver to `deliver`.
    pub fn new(settings: Settings, deliver: Arc<dyn Deliver>, clock: Clock, stats: Arc<Stats>) -> Receivers {
        // What stages held when the process ended is theirs again only when somebody asks for it.
        let loki = settings.loki.as_ref().and_then(|l| l.stages.as_ref());
        let firehose = settings.firehose.as_ref().map(|f| &f.deliver);
        for stages in loki.into_iter().chain(firehose) {
            stages.positions(PREFIX);
        }
        Receivers { settings, deliver, clock, stats }
    }

    /// The paths that are posted to, as the senders' own servers have them.
    pub fn paths(&self) -> Vec<(&'static str, Way)> {
        let s = &self.settings;
        let of = |wanted: bool, paths: &[(&'static str, Way)]| if wanted { paths.to_vec() } else { vec![] };
        [
            of(s.loki.is_some(), &[("/loki/api/v1/push", Way::Loki)]),
            of(s.remote_write, &[("/api/v1/write", Way::RemoteWrite)]),
            of(
                s.otlp,
                &[
                    ("/v1/logs", Way::Otlp(otlp::Signal::Logs)),
                    ("/v1/metrics", Way::Otlp(otlp::Signal::Metrics)),
                    ("/v1/traces", Way::Otlp(otlp::Signal::Traces)),
                    (method::LOGS, Way::OtlpGrpc(otlp::Signal::Logs)),
                    (method::METRICS, Way::OtlpGrpc(otlp::Signal::Metrics)),
                    (method::TRACES, Way::OtlpGrpc(otlp::Signal::Traces)),
                ],
            ),
            of(s.firehose.is_some(), &[("/awsfirehose/api/v1/push", Way::Firehose)]),
        ]
        .concat()
    }

    /// Whether the sender may: asked before its body is read. An error is the answer to it.
    pub fn admit(&self, way: Way, request: &Request) -> std::result::Result<(), Answer> {
        let denied = |text: &str| Err(self.refuse(way, request, &Error::new(Kind::Unauthenticated, text).into()));
        if let (Way::Firehose, Some(f)) = (way, &self.settings.firehose) {
            let given = request.header("x-amz-firehose-access-key").unwrap_or("");
            return match &f.access_key {
                Some(key) if !key.matches(given.as_bytes()) => denied("the access key is not the one that this receiver asks for"),
                _ => Ok(()),
            };
        }
        let Some(token) = &self.settings.token else { return Ok(()) };
        let given = request.header("authorization").unwrap_or("");
        match given.split_at_checked(7) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer ") && token.matches(key.trim().as_bytes()) => Ok(()),
            _ => denied("this receiver asks for a token: send the header Authorization: Bearer TOKEN"),
        }
    }

    /// Takes a request. Returns when what it holds is durable, or cannot be taken.
    pub fn take(&self, way: Way, request: &Request) -> Answer {
        let taken = match way {
            Way::Loki => self.loki(request),
            Way::RemoteWrite => self.remote_write(request),
            Way::Otlp(signal) | Way::OtlpGrpc(signal) => self.otlp(way, signal, request),
            Way::Firehose => self.firehose(request),
        };
        match taken {
            Ok(answer) => {
                self.count(way, answer.status);
                answer
            }
            Err(refused) => self.refuse(way, request, &refused),
        }
    }

    /// The answer to a request that is not taken.
    pub fn refuse(&self, way: Way, request: &Request, refused: &Refused) -> Answer {
        let dialect = self.dialect(way, request);
        self.count(way, dialect.status_of(refused));
        dialect.refused(refused)
    }

    fn count(&self, way: Way, status: u16) {
        self.stats.received.add(&[way.name(), &status.to_string()], 1);
    }

    fn dialect(&self, way: Way, request: &Request) -> Dialect {
        match way {
            Way::Loki => Dialect::Text,
            Way::RemoteWrite => {
                Dialect::RemoteWrite { drops_on_429: request.header("user-agent").unwrap_or("").starts_with("Prometheus/") }
            }
            Way::Otlp(_) => Dialect::Otlp(otlp::form(request).unwrap_or(Form::Protobuf)),
            Way::OtlpGrpc(_) => Dialect::Grpc,
            Way::Firehose => Dialect::Firehose { request_id: firehose::request_id(request), now_ms: self.clock.now_ms() },
        }
    }

    /// Refuses what no endpoint takes.
    fn wanted(&self, format: Format) -> Result<()> {
        if self.settings.takes.contains(&format) {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, format!("no endpoint of this agent takes {format:?}: it would be thrown away")))
    }

    fn pass_on(&self, way: Way, request: &Request, format: Format, encoding: wire::Encoding, bytes: &[u8], rows: u64) -> Result<()> {
        let tenant = request.tenant()?;
        self.deliver.deliver(Batch::Body(Body { tenant: tenant.as_ref(), format, encoding, bytes, source: way.name(), rows }))?;
        self.stats.received_rows.add(&[way.name()], rows);
        Ok(())
    }

    fn lines(&self, way: Way, deliver: &dyn Deliver, streams: Vec<Stream>) -> Result<()> {
        let lines = Lines { streams, source: way.name().into(), position: NO_POSITION.to_vec() };
        let rows = lines.count();
        if rows > 0 {
            deliver.deliver(Batch::Lines(&lines))?;
            self.stats.received_rows.add(&[way.name()], rows);
        }
        Ok(())
    }

    fn loki(&self, request: &Request) -> std::result::Result<Answer, Refused> {
        self.wanted(Format::LokiPush)?;
        let push = loki::read(request)?;
        match self.settings.loki.as_ref().and_then(|l| l.stages.as_ref()) {
            Some(stages) => self.lines(Way::Loki, stages.as_ref(), loki::streams(&push.body, request.tenant()?.as_ref())?)?,
            None if push.rows > 0 => {
                self.pass_on(Way::Loki, request, Format::LokiPush, wire::Encoding::Identity, &push.body, push.rows)?;
            }
            None => {}
        }
        // What is right is kept; the sender drops the others.
        match push.refused.as_slice() {
            [] => Ok(Answer::empty()),
            refused => Err(Error::invalid(refused.join("\n")).into()),
        }
    }

    fn remote_write(&self, request: &Request) -> std::result::Result<Answer, Refused> {
        self.wanted(Format::RemoteWrite)?;
        let written = remote_write::read(request)?;
        // Metadata is no row, and is kept all the same.
        if written.samples + written.metadata > 0 {
            let plain = wire::Encoding::Identity;
            self.pass_on(Way::RemoteWrite, request, Format::RemoteWrite, plain, &written.body, written.samples)?;
        }
        Ok(remote_write::answer(&written))
    }

    fn otlp(&self, way: Way, signal: otlp::Signal, request: &Request) -> std::result::Result<Answer, Refused> {
        let is_grpc = matches!(way, Way::OtlpGrpc(_));
        let form = if is_grpc { Form::Protobuf } else { otlp::known_form(request)? };
        let export = otlp::read(signal, form, request)?;
        self.wanted(export.format)?;
        if export.rows > 0 {
            self.pass_on(way, request, export.format, export.encoding, &request.body, export.rows)?;
        }
        // Both answers are an empty message.
        Ok(if is_grpc { Answer::grpc(b"") } else { otlp::answer(form) })
    }

    fn firehose(&self, request: &Request) -> std::result::Result<Answer, Refused> {
        self.wanted(Format::LokiPush)?;
        let Some(f) = &self.settings.firehose else { return Err(Error::new(Kind::NotFound, "Firehose is not received here").into()) };
        let streams = firehose::read(request, &f.settings)?;
        self.lines(Way::Firehose, f.deliver.as_ref(), streams)?;
        Ok(answer::firehose(200, &firehose::request_id(request), self.clock.now_ms(), ""))
    }
}

/// Decompresses, within bounds.
fn decoded(encoding: wire::Encoding, body: &Bytes) -> Result<Bytes> {
    wire::encoding::decode(encoding, body, limits::RECEIVED_BYTES)
}

/// Refuses more rows than fit into memory.
fn bounded(rows: u64) -> Result<()> {
    if rows > limits::RECEIVED_ROWS {
        return Err(Error::new(Kind::TooLarge, format!("the body has more than {} rows: send smaller batches", limits::RECEIVED_ROWS)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
