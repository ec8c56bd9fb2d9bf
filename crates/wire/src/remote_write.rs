//! Prometheus remote write: version 1.0 (`prometheus.WriteRequest`) here, version 2.0 in [`v2`].
//!
//! `WriteRequest { 1: TimeSeries*, 3: MetricMetadata* }`, `TimeSeries { 1: Label { 1: name, 2: value }*, 2: Sample
//! { 1: value double, 2: timestamp ms }*, 3: Exemplar*, 4: Histogram { .., 15: timestamp ms }* }`.

pub mod v2;

use base::attrs::read_varint;

use crate::loki::Pairs;
use crate::proto::{Fields, Region, Repeated, Result, Writer, repeated};

/// The media type of a body, and of `proto=` in the content type of version 1.
pub const MEDIA_TYPE: &str = "application/x-protobuf";

/// Bytes of a varint that may be out of range.
const MAX_VARINT: usize = 10;

/// The series of a request. After an error it ends.
pub struct SeriesList<'a>(Repeated<'a>);

impl<'a> SeriesList<'a> {
    /// Walks an uncompressed body.
    pub fn new(body: &'a [u8]) -> Self {
        SeriesList(repeated(body, 1))
    }
}

impl<'a> Iterator for SeriesList<'a> {
    type Item = Result<Series<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(Series::new))
    }
}

/// What a sender knows of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Its type, as the protocol numbers it: see [`METRIC_TYPES`].
    pub kind: u64,
    /// The metric family's name; in version 2 it is the series' name.
    pub name: &'a [u8],
    /// What it is.
    pub help: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
}

/// Types of metrics by the number that both versions give them, in the words of Prometheus' API.
pub const METRIC_TYPES: [&str; 8] = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// The metadata of a request. After an error it ends.
pub fn metadata(body: &[u8]) -> impl Iterator<Item = Result<Metadata<'_>>> {
    repeated(body, 3).map(|message| {
        let mut m = Metadata::default();
        let mut f = Fields::new(message?);
        while let Some((n, v)) = f.next()? {
            match n {
                1 => m.kind = v.varint()?,
                2 => m.name = v.bytes()?,
                4 => m.help = v.bytes()?,
                5 => m.unit = v.bytes()?,
                _ => {}
            }
        }
        Ok(m)
    })
}

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels as label fields of version 1 (see [`label_pairs`]).
    pub labels: Region<'a>,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The value it stands for.
    pub value: f64,
}

/// Reads an exemplar of version 1.
pub fn exemplar(message: &[u8]) -> Result<Exemplar<'_>> {
    let mut e = Exemplar { labels: Region::default(), time_ms: 0, value: 0.0 };
    let mut fields = Fields::new(message);
    loop {
        let start = fields.position();
        let Some((n, v)) = fields.next()? else { return Ok(e) };
        match n {
            1 => {
                v.bytes()?;
                e.labels.add(message, start, fields.position());
            }
            2 => e.value = f64::from_bits(v.fixed64()?),
            3 => e.time_ms = v.varint()? as i64,
            _ => {}
        }
    }
}

/// One series of a request.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// The label fields as received, tags included: what to hash. The same labels in another order are other bytes.
    pub labels: Region<'a>,
    // From the first field that is no label on.
    rest: &'a [u8],
}

/// Something a series has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A float.
    Sample {
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// The value; a NaN keeps its bits.
        value: f64,
    },
    /// A native histogram.
    Histogram {
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// The `Histogram` message.
        message: &'a [u8],
    },
    /// An exemplar: read it with [`exemplar`].
    Exemplar {
        /// The `Exemplar` message.
        message: &'a [u8],
    },
}

impl<'a> Series<'a> {
    fn new(message: &'a [u8]) -> Result<Self> {
        let mut labels = Region::default();
        let mut fields = Fields::new(message);
        // Labels are most of a body, and nearly every sender writes them first.
        fields.skip_short(1);
        let first = fields.position();
        if first > 0 {
            labels.add(message, 0, first);
        }
        loop {
            let start = fields.position();
            let Some((n, v)) = fields.next()? else { break };
            if n == 1 {
                v.bytes()?;
                labels.add(message, start, fields.position());
            }
        }
        Ok(Series { labels, rest: &message[first..] })
    }
    /// Names and values, in the order sent.
    pub fn labels(&self) -> Pairs<'_> {
        label_pairs(self.labels.bytes())
    }
    /// Samples, histograms and exemplars, in the order sent. After an error it ends.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'a>>> + use<'a> {
        let mut fields = Fields::new(self.rest);
        let mut done = false;
        std::iter::from_fn(move || {
            let item = if done { None } else { next_item(&mut fields).transpose() };
            done = !matches!(item, Some(Ok(_)));
            item
        })
    }
}

/// Names and values of label fields, as [`Series::labels`] holds them.
pub fn label_pairs(region: &[u8]) -> Pairs<'_> {
    Pairs(repeated(region, 1))
}

fn next_item<'a>(fields: &mut Fields<'a>) -> Result<Option<Item<'a>>> {
    while let Some((n, v)) = fields.next()? {
        return Ok(Some(match n {
            2 => sample(v.bytes()?)?,
            3 => Item::Exemplar { message: v.bytes()? },
            4 => histogram(v.bytes()?)?,
            _ => continue,
        }));
    }
    Ok(None)
}

fn sample(message: &[u8]) -> Result<Item<'_>> {
    // As nearly every sender writes it: a value, then a time, and nothing else.
    if let Some((&[0x09, ref value @ .., 0x10], time)) = message.split_first_chunk::<10>()
        && time.len() < MAX_VARINT
        && let Some((time, [])) = read_varint(time)
    {
        return Ok(Item::Sample { time_ms: time as i64, value: f64::from_le_bytes(*value) });
    }
    let (mut time_ms, mut value) = (0, 0.0);
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => value = f64::from_bits(v.fixed64()?),
            2 => time_ms = v.varint()? as i64,
            _ => {}
        }
    }
    Ok(Item::Sample { time_ms, value })
}

/// A `Histogram` message without a time, at this one.
pub fn timed(message: Vec<u8>, time_ms: i64) -> Vec<u8> {
    let mut w = Writer { out: message };
    w.varint(15, time_ms as u64);
    w.out
}

fn histogram(message: &[u8]) -> Result<Item<'_>> {
    let mut time_ms = 0;
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        if n == 15 {
            time_ms = v.varint()? as i64;
        }
    }
    Ok(Item::Histogram { time_ms, message })
}

/// Writes a request: for the agent, the load generator and tests. Send [`RequestWriter::finish`] as a snappy block.
#[derive(Default)]
pub struct RequestWriter(Writer);

impl RequestWriter {
    /// Adds a series; receivers want the labels sorted by name. `samples` are time (ms) and value.
    pub fn series<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, samples: &[(i64, f64)], histograms: &[&[u8]]) {
        self.0.message(1, |w| {
            label_fields(w, labels);
            for &(time_ms, value) in samples {
                w.message(2, |w| {
                    w.double(1, value);
                    w.varint(2, time_ms as u64);
                });
            }
            for h in histograms {
                w.bytes(4, h);
            }
        });
    }
    /// Adds a series' exemplar.
    pub fn exemplar<'l>(
        &mut self,
        series: impl IntoIterator<Item = (&'l str, &'l str)>,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        time_ms: i64,
        value: f64,
    ) {
        self.0.message(1, |w| {
            label_fields(w, series);
            w.message(3, |w| {
                label_fields(w, labels);
                w.double(2, value);
                w.varint(3, time_ms as u64);
            });
        });
    }
    /// Adds what is known of a metric; `kind` as the protocol numbers it: 0 unknown, 1 counter, 2 gauge, 3 histogram, 5 summary.
    pub fn metadata(&mut self, kind: u8, name: &str, help: &str, unit: &str) {
        self.0.message(3, |w| {
            w.varint(1, kind.into());
            w.bytes(2, name.as_bytes());
            w.bytes(4, help.as_bytes());
            w.bytes(5, unit.as_bytes());
        });
    }
    /// The uncompressed body.
    pub fn finish(self) -> Vec<u8> {
        self.0.out
    }
}

fn label_fields<'l>(w: &mut Writer, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
    for (name, value) in labels {
        w.message(1, |w| {
            w.bytes(1, name.as_bytes());
            w.bytes(2, value.as_bytes());
        });
    }
}
