//! Points as samples.

use base::Result;
use wire::otlp::json::to_hex;
use wire::otlp::metric::{Data, Exemplar, Explicit, Exponential, Head, Kind, Number, Summary};
use wire::proto::Writer;

use super::labels::{Attributes, LabelList, Named};
use super::name;
use super::options::Strategy;
use super::{Export, Payload};
use crate::ingest::rows::{Found, Rows};
use crate::limits::HISTOGRAM_BUCKETS;
use crate::spec::STALE_NAN_BITS;

/// The finest resolution that is kept; finer ones are brought down to it.
const FINEST_SCALE: i64 = 8;
/// The coarsest that there may be.
const COARSEST_SCALE: i64 = -4;
/// The schema number of custom bounds.
const CUSTOM_SCHEMA: i64 = -53;
/// The zero bucket's width where a sender names none, as in Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;

const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

/// Labels and times of a point.
struct At<'a> {
    labels: Named,
    time_ms: i64,
    start_ms: i64,
    ended: bool,
    exemplars: &'a [&'a [u8]],
}

impl Export<'_> {
    fn at<'a>(&self, head: &'a Head<'_>, name: &str, common: &LabelList) -> At<'a> {
        let ms = |ns: u64| (ns / 1_000_000).min(i64::MAX as u64) as i64;
        At {
            labels: common.with_point(&Attributes::read(head.attributes.bytes()), self.translation.strategy).of(name, self.options),
            time_ms: ms(head.time_ns),
            start_ms: ms(head.start_ns),
            ended: head.ended,
            exemplars: &head.exemplars,
        }
    }

    /// Takes an encoded point; answers its time in milliseconds.
    pub(super) fn point(&mut self, data: &Data<'_>, message: &[u8], name: &str, common: &LabelList) -> Result<i64> {
        match data.kind {
            Kind::Gauge | Kind::Sum => {
                let p = Number::new(message)?;
                let at = self.at(&p.head, name, common);
                let value = if at.ended { Some(STALE) } else { p.value };
                match value {
                    Some(v) => self.sample(name, &at.labels, at.time_ms, at.start_ms, Payload::Float(v), at.exemplars)?,
                    None => self.rows.refuse_unread("no_value", at.time_ms, || format!("a point of {name} has no value"))?,
                }
                Ok(at.time_ms)
            }
            Kind::Histogram => {
                let p = Explicit::new(message)?;
                let at = self.at(&p.head, name, common);
                if let Err(what) = check_explicit(&p) {
                    self.rows.refuse_unread("invalid_histogram", at.time_ms, || format!("a histogram of {name}: {what}"))?;
                } else if self.translation.custom_buckets {
                    self.native(name, &at, custom(&p, at.time_ms))?;
                } else {
                    self.classic(name, &at, &p)?;
                }
                Ok(at.time_ms)
            }
            Kind::ExponentialHistogram => {
                let p = Exponential::new(message)?;
                let at = self.at(&p.head, name, common);
                match exponential(&p, at.time_ms) {
                    Ok(h) => self.native(name, &at, h)?,
                    Err(what) => {
                        self.rows.refuse_unread("invalid_histogram", at.time_ms, || format!("a histogram of {name}: {what}"))?;
                    }
                }
                Ok(at.time_ms)
            }
            Kind::Summary => self.summary(name, common, message),
        }
    }

    fn native(&mut self, name: &str, at: &At<'_>, mut message: Vec<u8>) -> Result<()> {
        if at.ended {
            let mut w = Writer::default();
            w.double(3, STALE);
            w.varint(15, at.time_ms as u64);
            message = w.out;
        }
        self.sample(name, &at.labels, at.time_ms, at.start_ms, Payload::Made(&message), at.exemplars)
    }

    fn classic(&mut self, name: &str, at: &At<'_>, p: &Explicit<'_>) -> Result<()> {
        let value = |v: f64| Payload::Float(if at.ended { STALE } else { v });
        let mut exemplars = by_bucket(at.exemplars, &p.bounds)?.into_iter().peekable();
        if let Some(sum) = p.sum.or(at.ended.then_some(0.0)) {
            self.sample(&format!("{name}_sum"), &at.labels, at.time_ms, at.start_ms, value(sum), &[])?;
        }
        self.sample(&format!("{name}_count"), &at.labels, at.time_ms, at.start_ms, value(p.count as f64), &[])?;
        let (bucket, mut total) = (format!("{name}_bucket"), 0u64);
        for (i, bound) in p.bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
            total = if bound == f64::INFINITY { p.count } else { total.saturating_add(p.counts.get(i).copied().unwrap_or(0)) };
            let mine: Vec<&[u8]> = std::iter::from_fn(|| exemplars.next_if(|(b, _)| *b == i)).map(|(_, e)| e).collect();
            let labels = at.labels.with("le", &lang::number::format(bound));
            self.sample(&bucket, &labels, at.time_ms, at.start_ms, value(total as f64), &mine)?;
        }
        Ok(())
    }

    fn summary(&mut self, name: &str, common: &LabelList, message: &[u8]) -> Result<i64> {
        let p = Summary::new(message)?;
        let at = self.at(&p.head, name, common);
        let value = |v: f64| Payload::Float(if at.ended { STALE } else { v });
        self.sample(&format!("{name}_sum"), &at.labels, at.time_ms, at.start_ms, value(p.sum), &[])?;
        self.sample(&format!("{name}_count"), &at.labels, at.time_ms, at.start_ms, value(p.count as f64), &[])?;
        for (q, v) in &p.quantiles {
            let labels = at.labels.with("quantile", &lang::number::format(*q));
            self.sample(name, &labels, at.time_ms, at.start_ms, value(*v), &[])?;
        }
        Ok(at.time_ms)
    }
}

/// Exemplars with the number of the bucket that their value lies in, in the order of buckets. One of no number, or infinitely low, is in none.
fn by_bucket<'a>(exemplars: &[&'a [u8]], bounds: &[f64]) -> Result<Vec<(usize, &'a [u8])>> {
    let mut out = vec![];
    for e in exemplars {
        let value = Exemplar::new(e)?.value;
        if value > f64::NEG_INFINITY {
            out.push((bounds.partition_point(|b| *b < value), *e));
        }
    }
    out.sort_by_key(|(bucket, _)| *bucket);
    Ok(out)
}

fn check_explicit(p: &Explicit<'_>) -> std::result::Result<(), String> {
    if p.bounds.len() > HISTOGRAM_BUCKETS {
        return Err(format!("it has {} bounds, and {HISTOGRAM_BUCKETS} are the most that are taken", p.bounds.len()));
    }
    if !p.counts.is_empty() && p.counts.len() != p.bounds.len() + 1 {
        return Err("it has not one more bucket than bounds".into());
    }
    if p.bounds.iter().any(|b| b.is_nan()) || p.bounds.windows(2).any(|w| w[0] >= w[1]) {
        return Err("its bounds do not rise".into());
    }
    Ok(())
}

/// A histogram with explicit bounds as a native one with custom bounds.
fn custom(p: &Explicit<'_>, time_ms: i64) -> Vec<u8> {
    let mut w = Writer::default();
    w.varint(1, p.count);
    w.double(3, p.sum.unwrap_or(f64::NAN));
    w.varint(4, zigzag(CUSTOM_SCHEMA));
    side(&mut w, 11, 0, &p.counts);
    w.varint(15, time_ms as u64);
    // A bound at infinity is that of the last bucket, which is not written.
    let finite: Vec<u8> = p.bounds.iter().filter(|b| b.is_finite()).flat_map(|b| b.to_le_bytes()).collect();
    w.bytes(16, &finite);
    w.out
}

/// An exponential histogram in the form of remote write.
fn exponential(p: &Exponential<'_>, time_ms: i64) -> std::result::Result<Vec<u8>, String> {
    if p.scale < COARSEST_SCALE {
        return Err(format!("its scale {} is coarser than {COARSEST_SCALE}", p.scale));
    }
    let levels = (p.scale - FINEST_SCALE).clamp(0, 63) as u32;
    let mut w = Writer::default();
    w.varint(1, p.count);
    w.double(3, p.sum.unwrap_or(f64::NAN));
    w.varint(4, zigzag(p.scale.min(FINEST_SCALE)));
    w.double(5, if p.zero_threshold == 0.0 { ZERO_THRESHOLD } else { p.zero_threshold });
    w.varint(6, p.zero_count);
    for (number, (offset, counts)) in [(8, &p.negative), (11, &p.positive)] {
        if counts.len() > HISTOGRAM_BUCKETS || offset.unsigned_abs() > i32::MAX as u64 / 2 {
            return Err("it has too many buckets, or buckets too far out".into());
        }
        let mut coarse: Vec<u64> = vec![];
        let first = offset >> levels;
        for (i, c) in counts.iter().enumerate() {
            let at = (((offset + i as i64) >> levels) - first) as usize;
            coarse.resize(at + 1, 0);
            coarse[at] = coarse[at].saturating_add(*c);
        }
        // OTLP's bucket i begins where ours ends.
        side(&mut w, number, first + 1, &coarse);
    }
    w.varint(15, time_ms as u64);
    Ok(w.out)
}

/// Spans and deltas of one side, from field `number` on; empty stretches are left out.
fn side(w: &mut Writer, number: u32, first: i64, counts: &[u64]) {
    let (mut spans, mut deltas): (Vec<(i64, u64)>, Vec<u8>) = (vec![], vec![]);
    let (mut next, mut previous) = (0i64, 0i64);
    for (i, &c) in counts.iter().enumerate().filter(|(_, c)| **c != 0) {
        let index = first + i as i64;
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => spans.push((index - next, 1)),
        }
        next = index + 1;
        let c = c.min(i64::MAX as u64) as i64;
        base::attrs::write_varint(&mut deltas, zigzag(c.wrapping_sub(previous)));
        previous = c;
    }
    for (offset, length) in spans {
        w.message(number, |w| {
            w.varint(1, zigzag(offset));
            w.varint(2, length);
        });
    }
    if !deltas.is_empty() {
        w.bytes(number + 1, &deltas);
    }
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// Takes an exemplar of a series.
pub(super) fn exemplar(message: &[u8], strategy: Strategy, rows: &mut Rows<'_>, found: &mut Found<'_>) -> Result<()> {
    let e = Exemplar::new(message)?;
    let mut labels = LabelList::default();
    for (key, value) in Attributes::read(e.attributes.bytes()).iter() {
        labels.add(&name::label(key, strategy), value);
    }
    for (name, id) in [("trace_id", e.trace_id), ("span_id", e.span_id)] {
        if id.iter().any(|b| *b != 0) {
            labels.set(name, &to_hex(id));
        }
    }
    let mut w = Writer::default();
    for (name, value) in labels.iter() {
        w.message(1, |w| {
            w.bytes(1, name.as_bytes());
            w.bytes(2, value.as_bytes());
        });
    }
    rows.exemplar(found, (e.time_ns / 1_000_000).min(i64::MAX as u64) as i64, e.value, &w.out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Writer, by_bucket};

    proptest! {
        #[test]
        fn each_exemplar_is_in_the_bucket_that_it_counts_in(
            values in proptest::collection::vec(prop_oneof![-5.0..5.0f64, (-5..5i8).prop_map(f64::from), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)], 0..20),
            bounds in proptest::collection::btree_set(-4..4i8, 0..6),
            infinite in any::<bool>(),
        ) {
            let bounds: Vec<f64> = bounds.into_iter().map(f64::from).chain(infinite.then_some(f64::INFINITY)).collect();
            let messages: Vec<Vec<u8>> = values.iter().enumerate().map(|(i, v)| {
                let mut w = Writer::default();
                w.fixed64(2, i as u64);
                w.double(3, *v);
                w.out
            }).collect();
            let exemplars: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let mut want = vec![];
            let mut lower = f64::NEG_INFINITY;
            for (i, bound) in bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
                want.extend(values.iter().zip(&exemplars).filter(|(v, _)| **v > lower && **v <= bound).map(|(_, e)| (i, *e)));
                lower = bound;
            }
            prop_assert_eq!(by_bucket(&exemplars, &bounds).unwrap(), want);
        }
    }
}
