//! Metrics and their data points.

use crate::proto::{Fields, Malformed, Region, Result, Value};

/// A metric.
#[derive(Clone, Debug, Default)]
pub struct Metric<'a> {
    /// Name.
    pub name: &'a [u8],
    /// What it is.
    pub description: &'a [u8],
    /// Its unit, in UCUM.
    pub unit: &'a [u8],
    /// Its points; `None` for a metric without any kind of data.
    pub data: Option<Data<'a>>,
}

/// What a metric's points are.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    /// Their kind.
    pub kind: Kind,
    /// Over which time a point counts.
    pub temporality: Temporality,
    /// Whether a sum never falls.
    pub monotonic: bool,
    message: &'a [u8],
}

/// Kinds of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Number`] as it is.
    Gauge,
    /// [`Number`] that adds up.
    Sum,
    /// [`Explicit`]
    Histogram,
    /// [`Exponential`]
    ExponentialHistogram,
    /// [`Summary`]
    Summary,
}

/// Over which time a point counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Not said.
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since its start.
    Cumulative,
}

/// Flag of a point: there is no value any more.
const NO_RECORDED_VALUE: u64 = 1;

impl<'a> Metric<'a> {
    /// Reads an encoded metric. Of several kinds of data the last counts, as protobuf's `oneof` says.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let mut m = Metric::default();
        let mut fields = Fields::new(message);
        while let Some((n, v)) = fields.next()? {
            let kind = match n {
                1 => {
                    m.name = v.bytes()?;
                    continue;
                }
                2 => {
                    m.description = v.bytes()?;
                    continue;
                }
                3 => {
                    m.unit = v.bytes()?;
                    continue;
                }
                5 => Kind::Gauge,
                7 => Kind::Sum,
                9 => Kind::Histogram,
                10 => Kind::ExponentialHistogram,
                11 => Kind::Summary,
                _ => continue,
            };
            m.data = Some(Data::new(kind, v.bytes()?)?);
        }
        Ok(m)
    }
}

impl<'a> Data<'a> {
    fn new(kind: Kind, message: &'a [u8]) -> Result<Self> {
        let mut d = Data { kind, temporality: Temporality::Unspecified, monotonic: false, message };
        let mut fields = Fields::new(message);
        while let Some((n, v)) = fields.next()? {
            match n {
                2 => {
                    d.temporality = match v.varint()? {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    }
                }
                3 => d.monotonic = v.varint()? != 0,
                _ => {}
            }
        }
        Ok(d)
    }
    /// Its points, encoded. After an error it ends.
    pub fn points(&self) -> crate::proto::Repeated<'a> {
        crate::proto::repeated(self.message, 1)
    }
}

/// What all points have.
#[derive(Clone, Debug, Default)]
pub struct Head<'a> {
    /// Attributes, in the form of [`base::attrs`].
    pub attributes: Region<'a>,
    /// When counting began, nanoseconds since 1970; 0 if not known.
    pub start_ns: u64,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// There is no value any more: the series has ended.
    pub ended: bool,
    /// `Exemplar` messages.
    pub exemplars: Vec<&'a [u8]>,
}

/// Numbers of the fields that the kinds of points number differently.
struct Places {
    attributes: u32,
    exemplars: u32,
    flags: u32,
}

impl<'a> Head<'a> {
    fn take(&mut self, places: &Places, message: &'a [u8], start: usize, end: usize, n: u32, v: Value<'a>) -> Result<bool> {
        if n == places.attributes {
            v.bytes()?;
            self.attributes.add(message, start, end);
        } else if n == places.exemplars {
            self.exemplars.push(v.bytes()?);
        } else if n == places.flags {
            self.ended = v.varint()? & NO_RECORDED_VALUE != 0;
        } else if n == 2 {
            self.start_ns = v.fixed64()?;
        } else if n == 3 {
            self.time_ns = v.fixed64()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Walks a point: what is no part of its head goes to `rest`.
fn point<'a>(message: &'a [u8], places: &Places, mut rest: impl FnMut(u32, Value<'a>) -> Result<()>) -> Result<Head<'a>> {
    let mut head = Head::default();
    let mut fields = Fields::new(message);
    loop {
        let start = fields.position();
        let Some((n, v)) = fields.next()? else { return Ok(head) };
        if !head.take(places, message, start, fields.position(), n, v)? {
            rest(n, v)?;
        }
    }
}

/// A number.
#[derive(Clone, Debug)]
pub struct Number<'a> {
    /// See there.
    pub head: Head<'a>,
    /// The value; `None` if there is none.
    pub value: Option<f64>,
}

impl<'a> Number<'a> {
    /// Reads an encoded point.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let mut value = None;
        let head = point(message, &Places { attributes: 7, exemplars: 5, flags: 8 }, |n, v| {
            match n {
                4 => value = Some(f64::from_bits(v.fixed64()?)),
                6 => value = Some(v.fixed64()? as i64 as f64),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Number { head, value })
    }
}

/// A histogram with the bounds it names.
#[derive(Clone, Debug)]
pub struct Explicit<'a> {
    /// See there.
    pub head: Head<'a>,
    /// Observations.
    pub count: u64,
    /// Their sum, if it is known.
    pub sum: Option<f64>,
    /// Observations of each bucket, one more than bounds.
    pub counts: Vec<u64>,
    /// Upper bounds.
    pub bounds: Vec<f64>,
}

impl<'a> Explicit<'a> {
    /// Reads an encoded point.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let (mut count, mut sum, mut counts, mut bounds) = (0, None, vec![], vec![]);
        let head = point(message, &Places { attributes: 9, exemplars: 8, flags: 10 }, |n, v| {
            match n {
                4 => count = v.fixed64()?,
                5 => sum = Some(f64::from_bits(v.fixed64()?)),
                6 => fixed(v, |c| counts.push(c))?,
                7 => fixed(v, |b| bounds.push(f64::from_bits(b)))?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Explicit { head, count, sum, counts, bounds })
    }
}

/// A histogram with exponential bounds.
#[derive(Clone, Debug)]
pub struct Exponential<'a> {
    /// See there.
    pub head: Head<'a>,
    /// Observations.
    pub count: u64,
    /// Their sum, if it is known.
    pub sum: Option<f64>,
    /// Resolution: a bucket is 2^(2^-scale) times as wide as the one before.
    pub scale: i64,
    /// Observations around zero.
    pub zero_count: u64,
    /// How far from zero those may be.
    pub zero_threshold: f64,
    /// Buckets above zero: index of the first, and counts.
    pub positive: (i64, Vec<u64>),
    /// Buckets below zero.
    pub negative: (i64, Vec<u64>),
}

impl<'a> Exponential<'a> {
    /// Reads an encoded point.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let (mut count, mut sum, mut scale, mut zero_count, mut zero_threshold) = (0, None, 0, 0, 0.0);
        let (mut positive, mut negative) = (<(i64, Vec<u64>)>::default(), <(i64, Vec<u64>)>::default());
        let head = point(message, &Places { attributes: 1, exemplars: 11, flags: 10 }, |n, v| {
            match n {
                4 => count = v.fixed64()?,
                5 => sum = Some(f64::from_bits(v.fixed64()?)),
                6 => scale = zigzag(v.varint()?),
                7 => zero_count = v.fixed64()?,
                8 => buckets(v.bytes()?, &mut positive)?,
                9 => buckets(v.bytes()?, &mut negative)?,
                14 => zero_threshold = f64::from_bits(v.fixed64()?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Exponential { head, count, sum, scale, zero_count, zero_threshold, positive, negative })
    }
}

/// Quantiles that the source calculated.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// See there.
    pub head: Head<'a>,
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles and their values.
    pub quantiles: Vec<(f64, f64)>,
}

impl<'a> Summary<'a> {
    /// Reads an encoded point.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let (mut count, mut sum, mut quantiles) = (0, 0.0, vec![]);
        let head = point(message, &Places { attributes: 7, exemplars: u32::MAX, flags: 8 }, |n, v| {
            match n {
                4 => count = v.fixed64()?,
                5 => sum = f64::from_bits(v.fixed64()?),
                6 => {
                    let (mut quantile, mut value) = (0.0, 0.0);
                    let mut f = Fields::new(v.bytes()?);
                    while let Some((n, v)) = f.next()? {
                        match n {
                            1 => quantile = f64::from_bits(v.fixed64()?),
                            2 => value = f64::from_bits(v.fixed64()?),
                            _ => {}
                        }
                    }
                    quantiles.push((quantile, value));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Summary { head, count, sum, quantiles })
    }
}

/// An exemplar.
#[derive(Clone, Debug, Default)]
pub struct Exemplar<'a> {
    /// Attributes that the metric does not have, in the form of [`base::attrs`].
    pub attributes: Region<'a>,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// The value it stands for.
    pub value: f64,
    /// 8 bytes, or none.
    pub span_id: &'a [u8],
    /// 16 bytes, or none.
    pub trace_id: &'a [u8],
}

impl<'a> Exemplar<'a> {
    /// Reads an encoded exemplar.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let mut e = Exemplar::default();
        let mut fields = Fields::new(message);
        loop {
            let start = fields.position();
            let Some((n, v)) = fields.next()? else { return Ok(e) };
            match n {
                2 => e.time_ns = v.fixed64()?,
                3 => e.value = f64::from_bits(v.fixed64()?),
                6 => e.value = v.fixed64()? as i64 as f64,
                4 => e.span_id = v.bytes()?,
                5 => e.trace_id = v.bytes()?,
                7 => {
                    v.bytes()?;
                    e.attributes.add(message, start, fields.position());
                }
                _ => {}
            }
        }
    }
}

/// Undoes zigzag encoding.
pub fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// 64-bit numbers of a fixed width, packed or not.
fn fixed(v: Value<'_>, mut f: impl FnMut(u64)) -> Result<()> {
    match v {
        Value::Fixed64(x) => f(x),
        Value::Bytes(b) => {
            let (all, rest) = b.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed::Truncated);
            }
            all.iter().for_each(|c| f(u64::from_le_bytes(*c)));
        }
        _ => return Err(Malformed::Mismatch),
    }
    Ok(())
}

fn buckets(message: &[u8], out: &mut (i64, Vec<u64>)) -> Result<()> {
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match (n, v) {
            (1, v) => out.0 = zigzag(v.varint()?),
            (2, Value::Varint(c)) => out.1.push(c),
            (2, Value::Bytes(mut b)) => {
                while !b.is_empty() {
                    let (c, rest) = base::attrs::read_varint(b).ok_or(Malformed::Varint)?;
                    out.1.push(c);
                    b = rest;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{METRICS, json, resources};

    #[test]
    fn all_kinds_of_points_from_json() {
        let body = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
            {"name":"a","unit":"s","sum":{"isMonotonic":true,"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[
                {"asInt":"-5","timeUnixNano":"7","startTimeUnixNano":3,"flags":1,"exemplars":[{"asDouble":2,"traceId":"0a","timeUnixNano":"6"}]}]}},
            {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
                {"count":"3","sum":1.5,"bucketCounts":["1","2"],"explicitBounds":[0.5],"timeUnixNano":"7"}]}},
            {"name":"e","exponentialHistogram":{"dataPoints":[
                {"count":4,"scale":-2,"zeroCount":1,"zeroThreshold":0.25,"positive":{"offset":-3,"bucketCounts":["1","2"]}}]}},
            {"name":"s","summary":{"dataPoints":[{"count":2,"sum":3,"quantileValues":[{"quantile":0.5,"value":9}]}]}},
            {"name":"none"}]}]}]}"#;
        let body = json::to_protobuf(&METRICS, body).unwrap();
        let resource = resources(&body).next().unwrap().unwrap();
        let scope = resource.scopes().next().unwrap().unwrap();
        let metrics: Vec<Metric<'_>> = scope.records().map(|m| Metric::new(m.unwrap()).unwrap()).collect();
        let first = |i: usize| metrics[i].data.as_ref().unwrap().points().next().unwrap().unwrap();
        let sum = metrics[0].data.as_ref().unwrap();
        assert_eq!((sum.kind, sum.temporality, sum.monotonic), (Kind::Sum, Temporality::Delta, true));
        let n = Number::new(first(0)).unwrap();
        assert_eq!((n.value, n.head.time_ns, n.head.start_ns, n.head.ended), (Some(-5.0), 7, 3, true));
        let e = Exemplar::new(n.head.exemplars[0]).unwrap();
        assert_eq!((e.value, e.trace_id, e.time_ns), (2.0, &[10u8][..], 6));
        let h = Explicit::new(first(1)).unwrap();
        assert_eq!((h.count, h.sum, h.counts, h.bounds), (3, Some(1.5), vec![1, 2], vec![0.5]));
        let e = Exponential::new(first(2)).unwrap();
        assert_eq!((e.count, e.sum, e.scale, e.zero_count, e.zero_threshold), (4, None, -2, 1, 0.25));
        assert_eq!((e.positive, e.negative), ((-3, vec![1, 2]), (0, vec![])));
        let s = Summary::new(first(3)).unwrap();
        assert_eq!((s.count, s.sum, s.quantiles), (2, 3.0, vec![(0.5, 9.0)]));
        assert!(metrics[4].data.is_none());
    }
}
