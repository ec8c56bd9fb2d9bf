//! Pages in protobuf: `io.prometheus.client.MetricFamily` messages, each with its length in front.
//!
//! `MetricFamily { 1: name, 2: help, 3: type, 4: Metric*, 5: unit }`, `Metric { 1: LabelPair { 1: name, 2: value }*, 2: Gauge,
//! 3: Counter, 4: Summary, 5: Untyped, 6: timestamp ms, 7: Histogram }`. A gauge, a counter and an untyped metric hold `1: value`; a summary
//! `1: count, 2: sum, 3: Quantile { 1: quantile, 2: value }*`; a histogram `1: count, 2: sum, 3: Bucket { 1: cumulative count, 2: upper
//! bound, 4: cumulative count as float }*, 4: count as float`, and what makes it a native one: `5: schema, 6: zero threshold, 7: zero count, 8: the
//! same as float, 9 and 12: BucketSpan*, 10 and 13: deltas, 11 and 14: counts as floats`, the lower numbers below zero. A counter has
//! its exemplar in 2, a bucket in 3, a native histogram several in 16: `Exemplar { 1: LabelPair*, 2: value, 3: Timestamp { 1: seconds, 2: nanoseconds } }`.
//! Times of creation are passed over.
//!
//! It is proto2: a field that is left out is zero, and the type left out is a counter. What a page says in text comes out in the
//! same [`Line`]s, with bounds and quantiles as OpenMetrics writes them, which is what Prometheus makes of such a page.

use std::borrow::Cow;

use base::limits::{LABEL_VALUE_BYTES, LABELS_PER_SERIES};
use base::{Error, Result};

use super::{Exemplar, Line, Native, Sample};
use crate::encoding::shorten;
use crate::proto::{Fields, Malformed, Value, Writer};

/// Which forms of a histogram are given, where a page has both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histograms {
    /// Native ones. Without them a histogram that is only native has its count and sum alone.
    pub native: bool,
    /// Classic ones of histograms that are given as native ones.
    pub classic: bool,
}

type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Types as they are numbered.
const TYPES: [&str; 6] = ["counter", "gauge", "summary", "untyped", "histogram", "gaugehistogram"];

/// Reads a page and gives `each` its lines one by one. The first error ends it, be it the page's or of `each`.
///
/// # Errors
/// Bytes that are no such page, text that is not UTF-8, a metric with more labels than any series may have; what `each` fails with.
pub fn read<'a>(page: &'a [u8], histograms: Histograms, each: &mut dyn FnMut(Line<'a>) -> Result<()>) -> Result<()> {
    let mut rest = page;
    while !rest.is_empty() {
        let (len, after) = base::attrs::read_varint(rest).ok_or(Malformed::Truncated)?;
        let (message, after) = usize::try_from(len).ok().and_then(|len| after.split_at_checked(len)).ok_or(Malformed::Truncated)?;
        family(message, histograms, each)?;
        rest = after;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::invalid(format!("{:?} is not UTF-8", shorten(&String::from_utf8_lossy(bytes)))))
}

fn family<'a>(message: &'a [u8], histograms: Histograms, each: &mut dyn FnMut(Line<'a>) -> Result<()>) -> Result<()> {
    let (mut name, mut help, mut unit, mut kind) = ("", "", "", 0);
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => name = text(v.bytes()?)?,
            2 => help = text(v.bytes()?)?,
            3 => kind = v.varint()?,
            5 => unit = text(v.bytes()?)?,
            _ => {}
        }
    }
    let kind = usize::try_from(kind).ok().and_then(|k| TYPES.get(k)).copied();
    let kind = kind.ok_or_else(|| Error::invalid(format!("{:?} has an unknown type", shorten(name))))?;
    if name.is_empty() {
        return Err(Error::invalid("a family of metrics has no name"));
    }
    let owned = || Cow::Borrowed(name);
    each(Line::Type { name: owned(), kind })?;
    if !help.is_empty() {
        each(Line::Help { name: owned(), text: Cow::Borrowed(help) })?;
    }
    if !unit.is_empty() {
        each(Line::Unit { name: owned(), unit })?;
    }
    for m in crate::proto::repeated(message, 4) {
        metric(m?, name, kind, histograms, each)?;
    }
    Ok(())
}

fn metric<'a>(
    message: &'a [u8],
    name: &'a str,
    kind: &str,
    histograms: Histograms,
    each: &mut dyn FnMut(Line<'a>) -> Result<()>,
) -> Result<()> {
    let mut labels: Labels<'a> = vec![];
    let mut label_bytes = 0;
    let (mut time_ms, mut body) = (None, None);
    let wanted = match kind {
        "gauge" => 2,
        "counter" => 3,
        "summary" => 4,
        "untyped" => 5,
        _ => 7,
    };
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => {
                let (name, value) = label(v.bytes()?)?;
                label_bytes += name.len() + value.len();
                labels.push((Cow::Borrowed(name), Cow::Borrowed(value)));
                // They are written again for each of its lines, and the store takes no more of them.
                if labels.len() > LABELS_PER_SERIES || label_bytes > LABEL_VALUE_BYTES {
                    return Err(Error::invalid(format!("a metric of {:?} has too many labels, or too long ones", shorten(name))));
                }
            }
            6 => time_ms = Some(v.varint()? as i64),
            n if n == wanted => body = Some(v.bytes()?),
            _ => {}
        }
    }
    let body = body.ok_or_else(|| Error::invalid(format!("a metric of {:?} has no value of its type, {kind}", shorten(name))))?;
    let mut lines = Lines { name, labels, time_ms, each };
    match wanted {
        4 => lines.summary(body),
        7 => lines.histogram(body, histograms),
        // What is no longer than a value has no exemplar.
        3 if body.len() > 9 => lines.exemplified("", None, double(body, 1)?, crate::proto::repeated(body, 2).next().transpose()?),
        _ => lines.sample("", None, double(body, 1)?),
    }
}

fn label(message: &[u8]) -> Result<(&str, &str)> {
    let (mut name, mut value) = ("", "");
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => name = text(v.bytes()?)?,
            2 => value = text(v.bytes()?)?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// The double in this field.
fn double(message: &[u8], number: u32) -> Result<f64> {
    let mut found = 0.0;
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        if n == number {
            found = f64::from_bits(v.fixed64()?);
        }
    }
    Ok(found)
}

/// Reads an `Exemplar`; one that is broken costs itself alone.
fn exemplar(message: &[u8]) -> Result<Exemplar> {
    let mut e = Exemplar { labels: vec![], value: 0.0, time_ms: None };
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => {
                let (name, value) = label(v.bytes()?)?;
                e.labels.push((name.to_owned(), value.to_owned()));
            }
            2 => e.value = f64::from_bits(v.fixed64()?),
            3 => e.time_ms = Some(timestamp_ms(v.bytes()?)?),
            _ => {}
        }
    }
    Ok(e)
}

fn timestamp_ms(message: &[u8]) -> Result<i64> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => seconds = v.varint()? as i64,
            2 => nanos = v.varint()? as i64,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

/// The exemplars of a native histogram: its own, or else those of its buckets; without a time they do not count.
fn native_exemplars(body: &[u8]) -> Result<Vec<Exemplar>> {
    let (mut own, mut of_buckets) = (vec![], vec![]);
    let mut f = Fields::new(body);
    while let Some((n, v)) = f.next()? {
        match n {
            16 => own.push(v.bytes()?),
            3 => of_buckets.extend(crate::proto::repeated(v.bytes()?, 3).next().transpose()?),
            _ => {}
        }
    }
    let all = if own.is_empty() { of_buckets } else { own };
    Ok(all.into_iter().filter_map(|e| exemplar(e).ok()).filter(|e| e.time_ms.is_some()).collect())
}

/// The lines of one metric.
struct Lines<'a, 'f> {
    name: &'a str,
    labels: Labels<'a>,
    time_ms: Option<i64>,
    each: &'f mut dyn FnMut(Line<'a>) -> Result<()>,
}

impl Lines<'_, '_> {
    fn sample(&mut self, suffix: &str, further: Option<(&'static str, String)>, value: f64) -> Result<()> {
        self.exemplified(suffix, further, value, None)
    }

    fn exemplified(&mut self, suffix: &str, further: Option<(&'static str, String)>, value: f64, by: Option<&[u8]>) -> Result<()> {
        let exemplar = by.and_then(|e| exemplar(e).ok()).map(Box::new);
        let name = if suffix.is_empty() { Cow::Borrowed(self.name) } else { Cow::Owned(format!("{}{suffix}", self.name)) };
        let mut labels = self.labels.clone();
        labels.extend(further.map(|(n, v)| (Cow::Borrowed(n), Cow::Owned(v))));
        (self.each)(Line::Sample(Sample { name, labels, value, time_ms: self.time_ms, exemplar }))
    }

    fn summary(&mut self, body: &[u8]) -> Result<()> {
        let (mut count, mut sum) = (0, 0.0);
        let mut f = Fields::new(body);
        while let Some((n, v)) = f.next()? {
            match n {
                1 => count = v.varint()?,
                2 => sum = f64::from_bits(v.fixed64()?),
                _ => {}
            }
        }
        self.sample("_count", None, count as f64)?;
        self.sample("_sum", None, sum)?;
        for q in crate::proto::repeated(body, 3) {
            let q = q?;
            self.sample("", Some(("quantile", open_metrics_number(double(q, 1)?))), double(q, 2)?)?;
        }
        Ok(())
    }

    fn histogram(&mut self, body: &[u8], histograms: Histograms) -> Result<()> {
        let head = Head::of(body)?;
        let is_native = histograms.native && head.is_native;
        if is_native {
            let message = head.remote_write(body)?;
            let (name, labels, exemplars) = (Cow::Borrowed(self.name), self.labels.clone(), native_exemplars(body)?);
            let native = Native { name, labels, message, time_ms: self.time_ms, exemplars };
            (self.each)(Line::Native(native))?;
            if !histograms.classic || !head.has_buckets {
                return Ok(());
            }
        }
        self.sample("_count", None, head.count)?;
        self.sample("_sum", None, head.sum)?;
        let mut has_last = false;
        for b in crate::proto::repeated(body, 3) {
            let (mut count, mut count_float, mut bound, mut by) = (0, 0.0, 0.0, None);
            let mut f = Fields::new(b?);
            while let Some((n, v)) = f.next()? {
                match n {
                    1 => count = v.varint()?,
                    2 => bound = f64::from_bits(v.fixed64()?),
                    3 => by = Some(v.bytes()?),
                    4 => count_float = f64::from_bits(v.fixed64()?),
                    _ => {}
                }
            }
            has_last |= bound == f64::INFINITY;
            let count = if count_float > 0.0 { count_float } else { count as f64 };
            self.exemplified("_bucket", Some(("le", open_metrics_number(bound))), count, by)?;
        }
        // It may be left out, for it is the count; who calculates with buckets wants it.
        if has_last { Ok(()) } else { self.sample("_bucket", Some(("le", "+Inf".into())), head.count) }
    }
}

/// What a histogram is.
#[derive(Default)]
struct Head {
    /// Whether its counts are floats.
    is_float: bool,
    /// Whether it has anything that only a native one has. Clients put an empty span into one that has not counted yet.
    is_native: bool,
    has_buckets: bool,
    /// The count if it is whole: a float has not enough digits for all.
    count_int: u64,
    count: f64,
    sum: f64,
}

impl Head {
    fn of(body: &[u8]) -> Result<Head> {
        let mut head = Head::default();
        let mut count_float = 0.0;
        let mut f = Fields::new(body);
        while let Some((n, v)) = f.next()? {
            match n {
                1 => head.count_int = v.varint()?,
                2 => head.sum = f64::from_bits(v.fixed64()?),
                3 => head.has_buckets = true,
                4 => count_float = f64::from_bits(v.fixed64()?),
                6 => head.is_native |= f64::from_bits(v.fixed64()?) > 0.0,
                7 => head.is_native |= v.varint()? > 0,
                8 => {
                    let zero = f64::from_bits(v.fixed64()?);
                    head.is_native |= zero > 0.0;
                    head.is_float |= zero > 0.0;
                }
                9 | 12 => head.is_native = true,
                _ => {}
            }
        }
        head.is_float |= count_float > 0.0;
        head.count = if count_float > 0.0 { count_float } else { head.count_int as f64 };
        Ok(head)
    }

    /// The same as a `Histogram` of remote write, without a time: its fields have other numbers there.
    fn remote_write(&self, body: &[u8]) -> Result<Vec<u8>> {
        let mut w = Writer::default();
        if self.is_float {
            w.double(2, self.count);
        } else {
            w.varint(1, self.count_int);
        }
        w.double(3, self.sum);
        let mut f = Fields::new(body);
        while let Some((n, v)) = f.next()? {
            match (n, v) {
                (5, v) => w.varint(4, v.varint()?),
                (6, v) => w.fixed64(5, v.fixed64()?),
                (7, v) if !self.is_float => w.varint(6, v.varint()?),
                (8, v) if self.is_float => w.fixed64(7, v.fixed64()?),
                (9 | 12, v) => w.bytes(n - 1, v.bytes()?),
                // Lists of numbers, packed or one by one: only those that the counts are in.
                (10 | 13, Value::Varint(v)) if !self.is_float => w.varint(n - 1, v),
                (10 | 13, Value::Bytes(v)) if !self.is_float => w.bytes(n - 1, v),
                (11 | 14, Value::Fixed64(v)) if self.is_float => w.fixed64(n - 1, v),
                (11 | 14, Value::Bytes(v)) if self.is_float => w.bytes(n - 1, v),
                (10 | 13, Value::Fixed64(_) | Value::Fixed32(_)) | (11 | 14, Value::Varint(_) | Value::Fixed32(_)) => {
                    return Err(Malformed::Mismatch.into());
                }
                _ => {}
            }
        }
        Ok(w.out)
    }
}

/// A number as OpenMetrics writes it: as Go's `%v` does, and `.0` after one that is whole.
fn open_metrics_number(v: f64) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{v:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = v.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

#[cfg(test)]
mod tests;
