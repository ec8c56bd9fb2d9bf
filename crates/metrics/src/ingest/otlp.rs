//! OTLP metrics, mapped as Prometheus maps them. JSON is turned into the protobuf form first.
//!
//! Cumulative points become samples that know when their counting began. A delta is kept as a delta, in a series with the label
//! [`DELTA`]; whoever reads adds deltas up (see [`crate::eval`]). What is known of the resource becomes `job`, `instance` and the
//! series `target_info`.

mod labels;
mod name;
mod options;
mod point;

use std::borrow::Cow;

use base::Result;
use base::hash::hash128_seeded;
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::encoding::media_type;
use wire::limits::OWNER_BYTES;
use wire::otlp::metric::{Data, Kind, Metric, Temporality};
use wire::otlp::{Form, METRICS, Resource, Scope};
use wire::proto::text;
use wire::{Encoding, Options};

use super::rows::{Found, Owner, Payload, Rows};
use super::series::{self, BadSeries};
use super::{OTLP_JSON, OTLP_PROTOBUF, Selected};
use labels::{Attributes, LabelList, Named};
use name::Shape;
pub use options::{Strategy, Translation};

/// The label and its value of a series whose samples are deltas.
pub const DELTA: (&str, &str) = ("__temporality__", "delta");
/// How far apart samples of `target_info` are at most within one request: half of the default lookback, as in Prometheus.
const INFO_STEP_MS: i64 = crate::limits::LOOKBACK_MS / 2;
/// Samples of `target_info` of one resource in one request: two days' worth. Beyond that only the last ones are made.
const INFO_SAMPLES: i64 = 1_000;

/// The codec of an export with these headers and the form of the answer. `Invalid`, to which the answer is 415, for a media
/// type that OTLP does not know.
pub fn select(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    limits: Options,
    translation: &Translation,
) -> Result<(Selected, Form)> {
    let media = media_type(content_type.unwrap_or(""));
    let form = Form::of(&media).ok_or_else(|| {
        let shown = wire::encoding::shorten(&media);
        base::Error::invalid(format!("content type {shown:?} is not supported: send application/x-protobuf or application/json"))
    })?;
    let encoding = Encoding::from_header(content_encoding, Encoding::Identity)?;
    let codec = if form == Form::Json { OTLP_JSON } else { OTLP_PROTOBUF };
    Ok((Selected { codec, options: translation.to_bytes(&Options { encoding, ..limits }) }, form))
}

/// Both forms, told apart by id.
pub struct Otlp {
    /// [`OTLP_PROTOBUF`] or [`OTLP_JSON`].
    pub id: u16,
}

impl Codec for Otlp {
    fn id(&self) -> u16 {
        self.id
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let (translation, options) = Translation::from_bytes(&header.options)?;
        let mut body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        if self.id == OTLP_JSON {
            body = wire::otlp::json::to_protobuf(&METRICS, &body)?.into();
        }
        let mut export = Export { translation: &translation, options: &options, rows: Rows::new(header, &body, sink)?, spelled: vec![] };
        for r in wire::otlp::resources(&body) {
            export.resource(&r?)?;
        }
        export.rows.finish()
    }
}

fn has_points(m: &Metric<'_>) -> bool {
    m.data.as_ref().is_some_and(|d| d.points().next().is_some())
}

/// A request under way.
struct Export<'s> {
    translation: &'s Translation,
    options: &'s Options,
    rows: Rows<'s>,
    /// The labels of the series at hand, for its hash.
    spelled: Vec<u8>,
}

/// Times of the points of a resource, milliseconds.
struct Span {
    first: i64,
    last: i64,
}

impl Export<'_> {
    fn resource(&mut self, resource: &Resource<'_>) -> Result<()> {
        let message = resource.attributes()?;
        let too_large = message.bytes().len() > OWNER_BYTES;
        let attributes = Attributes::read(if too_large { &[] } else { message.bytes() });
        let common = labels::of_resource(&attributes, self.translation);
        let mut span = Span { first: i64::MAX, last: i64::MIN };
        for scope in resource.scopes() {
            let scope = scope?;
            let too_large = too_large || scope.message.len() > OWNER_BYTES;
            let mut scoped = None;
            for metric in scope.records() {
                let metric = Metric::new(metric?)?;
                if too_large {
                    self.refuse_all(&metric)?;
                    continue;
                }
                // Only for points, which are counted: of scopes and metrics without any there may be millions.
                if self.translation.promote_scope && scoped.is_none() && has_points(&metric) {
                    scoped = Some(self.with_scope(&scope, &common)?);
                }
                self.metric(&metric, scoped.as_ref().unwrap_or(&common), &mut span)?;
            }
        }
        self.target_info(&attributes, &span)
    }

    fn with_scope(&self, scope: &Scope<'_>, common: &LabelList) -> Result<LabelList> {
        let parts = scope.parts()?;
        let mut out = common.clone();
        for (key, value) in Attributes::read(parts.attributes.bytes()).iter() {
            out.add(&format!("otel_scope_{}", name::label(key, self.translation.strategy)), value);
        }
        out.set("otel_scope_name", &text(parts.name));
        out.set("otel_scope_version", &text(parts.version));
        out.set("otel_scope_schema_url", &text(scope.schema));
        Ok(out)
    }

    fn refuse_all(&mut self, metric: &Metric<'_>) -> Result<()> {
        for p in metric.data.iter().flat_map(Data::points) {
            p?;
            let message = || format!("the resource or scope of the points is larger than {OWNER_BYTES} bytes");
            self.rows.refuse_unread("resource_too_large", 0, message)?;
        }
        Ok(())
    }

    fn metric(&mut self, m: &Metric<'_>, common: &LabelList, span: &mut Span) -> Result<()> {
        let Some(data) = &m.data else { return Ok(()) };
        let (source, unit) = (text(m.name), text(m.unit));
        let refuse_each = |rows: &mut Rows<'_>, reason, why: &str| {
            data.points().try_for_each(|p| {
                p?;
                rows.refuse_unread(reason, 0, || format!("metric {source:?}: {why}"))
            })
        };
        if source.is_empty() {
            return refuse_each(&mut self.rows, "missing_metric_name", "it has no name");
        }
        let adds_up = matches!(data.kind, Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram);
        if adds_up && data.temporality == Temporality::Unspecified {
            return refuse_each(&mut self.rows, "invalid_temporality", "it does not say whether its points are deltas or cumulative");
        }
        let shape = match data.kind {
            Kind::Gauge => Shape::Gauge,
            Kind::Sum if data.monotonic => Shape::Counter,
            _ => Shape::Other,
        };
        let name = name::metric(&source, &unit, shape, self.translation.strategy);
        if name.is_empty() {
            return refuse_each(
                &mut self.rows,
                "missing_metric_name",
                "nothing is left of its name without the characters that are not allowed",
            );
        }
        let kind = match data.kind {
            Kind::Sum if data.monotonic => 1,
            Kind::Gauge | Kind::Sum => 2,
            Kind::Histogram | Kind::ExponentialHistogram => 3,
            Kind::Summary => 5,
        };
        self.rows.about(kind, name.as_bytes(), m.description, m.unit)?;
        let mut common = Cow::Borrowed(common);
        if adds_up && data.temporality == Temporality::Delta && has_points(m) {
            common.to_mut().set(DELTA.0, DELTA.1);
        }
        for p in data.points() {
            let time_ms = self.point(data, p?, &name, &common)?;
            (span.first, span.last) = (span.first.min(time_ms), span.last.max(time_ms));
        }
        Ok(())
    }

    /// A sample of the series `name` with these labels.
    fn sample(&mut self, name: &str, labels: &Named, time_ms: i64, start_ms: i64, payload: Payload<'_>, exemplars: &[&[u8]]) -> Result<()> {
        let labels = match labels {
            Named::Labels(labels) => labels,
            Named::Beyond(bad) => {
                let make = || Err(BadSeries::clone(bad));
                let owner = Owner { raw: 0, labels: &make, show: &|| name.to_owned() };
                return self.taken(&mut Found::refused(owner, BadSeries::clone(bad)), time_ms, start_ms, payload, exemplars);
            }
        };
        let mut spelled = std::mem::take(&mut self.spelled);
        labels.spell(name, &mut spelled);
        let options = self.options;
        let show = || series::show(labels::pairs(name, labels));
        let make = || series::labels(labels::pairs(name, labels).map(Ok), &show, options);
        let raw = hash128_seeded(&spelled, u64::from(OTLP_PROTOBUF));
        self.spelled = spelled;
        self.taken(&mut Found::from(Owner { raw, labels: &make, show: &show }), time_ms, start_ms, payload, exemplars)
    }

    fn taken(&mut self, found: &mut Found<'_>, time_ms: i64, start_ms: i64, payload: Payload<'_>, exemplars: &[&[u8]]) -> Result<()> {
        self.rows.sample(found, time_ms, start_ms, payload)?;
        exemplars.iter().try_for_each(|e| point::exemplar(e, self.translation.strategy, &mut self.rows, found))
    }

    /// What is known of a resource: a series of its own with the value 1, where there is something to know.
    fn target_info(&mut self, attributes: &Attributes, span: &Span) -> Result<()> {
        if span.first > span.last {
            return Ok(());
        }
        let Some(labels) = labels::of_target(attributes, self.translation) else { return Ok(()) };
        let labels = labels.of("target_info", self.options);
        let mut t = span.first.max(span.last.saturating_sub(INFO_STEP_MS.saturating_mul(INFO_SAMPLES)));
        while t < span.last {
            self.sample("target_info", &labels, t, 0, Payload::Float(1.0), &[])?;
            t += INFO_STEP_MS;
        }
        self.sample("target_info", &labels, span.last, 0, Payload::Float(1.0), &[])
    }
}
