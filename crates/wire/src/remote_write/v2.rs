//! Remote write 2.0: `io.prometheus.write.v2.Request`. Every text is in one list of symbols, which the rest refers to.
//!
//! `Request { 4: symbols*, 5: TimeSeries* }`, `TimeSeries { 1: labels_refs packed (name, value, name, ..), 2: Sample
//! { 1: value, 2: timestamp ms, 3: start ms }*, 3: Histogram { .., 15: timestamp ms, 17: start ms }*, 4: Exemplar
//! { 1: labels_refs, 2: value, 3: timestamp ms }*, 5: Metadata { 1: type, 3: help_ref, 4: unit_ref }, 6: created ms }`. Field 6
//! is of drafts that senders in use still write; a start of a sample's own counts more.

use base::attrs::read_varint;

use super::{Exemplar, Metadata};
use crate::limits::{EXEMPLAR_BYTES, ROWS_PER_BODY};
use crate::proto::{Fields, Malformed, Region, Repeated, Result, Value, Writer, repeated};

/// The message's name, `proto=` in the content type.
pub const PROTO: &str = "io.prometheus.write.v2.Request";

/// What is wrong with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReference {
    /// It refers to no symbol.
    OutOfRange,
    /// Names and values do not pair up.
    Odd,
    /// The list of references is not one of numbers.
    Malformed,
}

impl BadReference {
    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            BadReference::OutOfRange => "a label refers to a symbol that the request does not have",
            BadReference::Odd => "a label has a name and no value: the number of labels_refs is odd",
            BadReference::Malformed => "labels_refs is not a list of numbers",
        }
    }
}

/// A request's symbols.
#[derive(Debug)]
pub struct Symbols<'a>(Vec<&'a [u8]>);

impl<'a> Symbols<'a> {
    /// Reads those of an uncompressed body. There are no more of them than rows may be, times a few: one symbol takes eight
    /// times its bytes on the wire.
    pub fn new(body: &'a [u8]) -> Result<Self> {
        let mut all = vec![];
        for s in repeated(body, 4) {
            if all.len() >= 4 * ROWS_PER_BODY {
                return Err(Malformed::Truncated);
            }
            all.push(s?);
        }
        Ok(Symbols(all))
    }
    /// The text of a reference.
    pub fn get(&self, reference: u64) -> std::result::Result<&'a [u8], BadReference> {
        usize::try_from(reference).ok().and_then(|i| self.0.get(i)).copied().ok_or(BadReference::OutOfRange)
    }
    /// Names and values of `labels_refs` fields. After an error it ends.
    pub fn pairs<'s>(&'s self, refs: &'s [u8]) -> impl Iterator<Item = std::result::Result<(&'a [u8], &'a [u8]), BadReference>> + 's {
        let mut rest = References { fields: Fields::new(refs), packed: &[] };
        let mut done = false;
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            let mut pair = || {
                let Some(name) = rest.next()? else { return Ok(None) };
                let value = rest.next()?.ok_or(BadReference::Odd)?;
                Ok(Some((self.get(name)?, self.get(value)?)))
            };
            let item = pair().transpose();
            done = !matches!(item, Some(Ok(_)));
            item
        })
    }
}

/// Walks references, which may be packed or not.
struct References<'a> {
    fields: Fields<'a>,
    packed: &'a [u8],
}

impl References<'_> {
    fn next(&mut self) -> std::result::Result<Option<u64>, BadReference> {
        loop {
            if !self.packed.is_empty() {
                let (v, rest) = read_varint(self.packed).ok_or(BadReference::Malformed)?;
                self.packed = rest;
                return Ok(Some(v));
            }
            match self.fields.next().map_err(|_| BadReference::Malformed)? {
                None => return Ok(None),
                Some((1, Value::Varint(v))) => return Ok(Some(v)),
                Some((1, Value::Bytes(b))) => self.packed = b,
                Some(_) => return Err(BadReference::Malformed),
            }
        }
    }
}

/// The series of a request. After an error it ends.
pub struct SeriesList<'a>(Repeated<'a>);

impl<'a> SeriesList<'a> {
    /// Walks an uncompressed body.
    pub fn new(body: &'a [u8]) -> Self {
        SeriesList(repeated(body, 5))
    }
}

impl<'a> Iterator for SeriesList<'a> {
    type Item = Result<Series<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(Series::new))
    }
}

/// One series of a request.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// The `labels_refs` fields as received: see [`Symbols::pairs`].
    pub refs: Region<'a>,
    /// When it began, milliseconds since 1970, if the series says so; 0 if not.
    pub created_ms: i64,
    message: &'a [u8],
}

/// Something a series has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A float.
    Sample {
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// When what it counts began; 0 if not known.
        start_ms: i64,
        /// The value; a NaN keeps its bits.
        value: f64,
    },
    /// A native histogram.
    Histogram {
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// When what it counts began; 0 if not known.
        start_ms: i64,
        /// The `Histogram` message, the same as in version 1.
        message: &'a [u8],
    },
    /// An exemplar: read it with [`exemplar`].
    Exemplar {
        /// The `Exemplar` message.
        message: &'a [u8],
    },
    /// What is known of the metric: read it with [`metadata`].
    Metadata {
        /// The `Metadata` message.
        message: &'a [u8],
    },
}

impl<'a> Series<'a> {
    fn new(message: &'a [u8]) -> Result<Self> {
        let mut s = Series { refs: Region::default(), created_ms: 0, message };
        let mut fields = Fields::new(message);
        loop {
            let start = fields.position();
            let Some((n, v)) = fields.next()? else { return Ok(s) };
            match n {
                1 => s.refs.add(message, start, fields.position()),
                6 => s.created_ms = v.varint()? as i64,
                _ => {}
            }
        }
    }
    /// Samples, histograms, exemplars and metadata, in the order sent. After an error it ends.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'a>>> + use<'a> {
        let mut fields = Fields::new(self.message);
        let created = self.created_ms;
        let mut done = false;
        std::iter::from_fn(move || {
            let item = if done { None } else { next_item(&mut fields, created).transpose() };
            done = !matches!(item, Some(Ok(_)));
            item
        })
    }
}

fn next_item<'a>(fields: &mut Fields<'a>, created_ms: i64) -> Result<Option<Item<'a>>> {
    let start = |ms: i64| if ms == 0 { created_ms } else { ms };
    while let Some((n, v)) = fields.next()? {
        return Ok(Some(match n {
            2 => {
                let (mut time_ms, mut start_ms, mut value) = (0, 0, 0.0);
                let mut f = Fields::new(v.bytes()?);
                while let Some((n, v)) = f.next()? {
                    match n {
                        1 => value = f64::from_bits(v.fixed64()?),
                        2 => time_ms = v.varint()? as i64,
                        3 => start_ms = v.varint()? as i64,
                        _ => {}
                    }
                }
                Item::Sample { time_ms, start_ms: start(start_ms), value }
            }
            3 => {
                let message = v.bytes()?;
                let (mut time_ms, mut start_ms) = (0, 0);
                let mut f = Fields::new(message);
                while let Some((n, v)) = f.next()? {
                    match n {
                        15 => time_ms = v.varint()? as i64,
                        17 => start_ms = v.varint()? as i64,
                        _ => {}
                    }
                }
                Item::Histogram { time_ms, start_ms: start(start_ms), message }
            }
            4 => Item::Exemplar { message: v.bytes()? },
            5 => Item::Metadata { message: v.bytes()? },
            _ => continue,
        }));
    }
    Ok(None)
}

/// Reads an exemplar; its labels come out as label fields of version 1, cut short soon after they have become too long to be taken
/// ([`EXEMPLAR_BYTES`]): they are references, and to have them written out costs a sender nothing. The inner error is one of a reference.
pub fn exemplar(message: &[u8], symbols: &Symbols<'_>) -> Result<std::result::Result<Exemplar<'static>, BadReference>> {
    let mut refs = Region::default();
    let (mut time_ms, mut value) = (0, 0.0);
    let mut fields = Fields::new(message);
    loop {
        let start = fields.position();
        let Some((n, v)) = fields.next()? else { break };
        match n {
            1 => refs.add(message, start, fields.position()),
            2 => value = f64::from_bits(v.fixed64()?),
            3 => time_ms = v.varint()? as i64,
            _ => {}
        }
    }
    let mut w = Writer::default();
    for pair in symbols.pairs(refs.bytes()) {
        let (name, text) = match pair {
            Ok(p) => p,
            Err(e) => return Ok(Err(e)),
        };
        let cut = |text: &'_ [u8]| text.len().min(EXEMPLAR_BYTES);
        w.message(1, |w| {
            w.bytes(1, &name[..cut(name)]);
            w.bytes(2, &text[..cut(text)]);
        });
        if w.out.len() > EXEMPLAR_BYTES {
            break;
        }
    }
    Ok(Ok(Exemplar { labels: Region::Owned(w.out), time_ms, value }))
}

/// Reads metadata; the name is left empty, for it is the series'.
pub fn metadata<'a>(message: &[u8], symbols: &Symbols<'a>) -> Result<std::result::Result<Metadata<'a>, BadReference>> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => kind = v.varint()?,
            3 => help = v.varint()?,
            4 => unit = v.varint()?,
            _ => {}
        }
    }
    // The first symbol is the empty one; a request without symbols has no texts at all.
    let text = |r: u64| if r == 0 { Ok(&[][..]) } else { symbols.get(r) };
    Ok(text(help).and_then(|help| Ok(Metadata { kind, name: &[], help, unit: text(unit)? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(refs: &[u64]) -> Vec<u8> {
        let mut out = vec![];
        refs.iter().for_each(|r| base::attrs::write_varint(&mut out, *r));
        out
    }

    fn request() -> Vec<u8> {
        let mut w = Writer::default();
        for s in ["", "__name__", "up", "help!", "trace", "abc"] {
            w.bytes(4, s.as_bytes());
        }
        w.message(5, |w| {
            w.bytes(1, &packed(&[1, 2]));
            w.message(2, |w| {
                w.double(1, 2.5);
                w.varint(2, 1000);
                w.varint(3, 10);
            });
            w.message(2, |w| w.varint(2, 2000));
            w.message(4, |w| {
                // Not packed.
                w.varint(1, 4);
                w.varint(1, 5);
                w.double(2, 1.5);
                w.varint(3, 999);
            });
            w.message(5, |w| {
                w.varint(1, 1);
                w.varint(3, 3);
            });
            w.varint(6, 7);
        });
        w.out
    }

    #[test]
    fn a_request_is_walked() {
        let body = request();
        let symbols = Symbols::new(&body).unwrap();
        let all: Vec<Series<'_>> = SeriesList::new(&body).collect::<Result<_>>().unwrap();
        let labels: Vec<_> = symbols.pairs(all[0].refs.bytes()).collect();
        assert_eq!(labels, [Ok((&b"__name__"[..], &b"up"[..]))]);
        let items: Vec<Item<'_>> = all[0].items().collect::<Result<_>>().unwrap();
        assert_eq!(items[0], Item::Sample { time_ms: 1000, start_ms: 10, value: 2.5 });
        assert_eq!(items[1], Item::Sample { time_ms: 2000, start_ms: 7, value: 0.0 }, "the series' start stands in");
        let Item::Exemplar { message } = items[2] else { panic!("{items:?}") };
        let e = exemplar(message, &symbols).unwrap().unwrap();
        assert_eq!((e.time_ms, e.value), (999, 1.5));
        let pairs: Vec<_> = super::super::label_pairs(e.labels.bytes()).map(|p| p.unwrap()).collect();
        assert_eq!(pairs, [(&b"trace"[..], &b"abc"[..])]);
        let Item::Metadata { message } = items[3] else { panic!("{items:?}") };
        assert_eq!(metadata(message, &symbols).unwrap(), Ok(Metadata { kind: 1, name: b"", help: b"help!", unit: b"" }));
    }

    #[test]
    fn references_that_lead_nowhere_are_named() {
        let body = request();
        let symbols = Symbols::new(&body).unwrap();
        for (refs, want) in
            [(packed(&[1, 99]), BadReference::OutOfRange), (packed(&[1, 2, 4]), BadReference::Odd), (vec![0x80], BadReference::Malformed)]
        {
            let mut w = Writer::default();
            w.bytes(1, &refs);
            assert_eq!(symbols.pairs(&w.out).last(), Some(Err(want)));
        }
    }
}
