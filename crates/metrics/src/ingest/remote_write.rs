//! Remote write, both versions.

use std::cell::LazyCell;

use base::hash::hash128_seeded;
use base::labels::METRIC_NAME;
use base::{Labels, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::Options;
use wire::proto::text;
use wire::remote_write::v2::{self, BadReference, Symbols};
use wire::remote_write::{Item, Series, SeriesList, exemplar, metadata};

use super::rows::{Found, Owner, Payload, Rows};
use super::series::{self, BadSeries};
use super::{REMOTE_WRITE_1, REMOTE_WRITE_2};
use crate::limits::METADATA_NAME_BYTES;

/// Remote write 1.0.
pub struct Version1;

impl Codec for Version1 {
    fn id(&self) -> u16 {
        REMOTE_WRITE_1
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        let mut rows = Rows::new(header, &body, sink)?;
        for s in SeriesList::new(&body) {
            let s = s?;
            version1_series(&s, &options, &mut rows)?;
        }
        for m in metadata(&body) {
            let m = m?;
            rows.about(m.kind, m.name, m.help, m.unit)?;
        }
        rows.finish()
    }
}

fn version1_series(s: &Series<'_>, options: &Options, rows: &mut Rows<'_>) -> Result<()> {
    let show = || series::show(s.labels().map_while(std::result::Result::ok));
    let labels = || series::labels(s.labels().map(|p| p.map_err(|e| e.to_string())), &show, options);
    let mut found = Found::from(Owner { raw: hash128_seeded(s.labels.bytes(), u64::from(REMOTE_WRITE_1)), labels: &labels, show: &show });
    for item in s.items() {
        match item? {
            Item::Sample { time_ms, value } => rows.sample(&mut found, time_ms, 0, Payload::Float(value))?,
            Item::Histogram { time_ms, message } => rows.sample(&mut found, time_ms, 0, Payload::Received(message))?,
            Item::Exemplar { message } => {
                let e = exemplar(message)?;
                rows.exemplar(&mut found, e.time_ms, e.value, e.labels.bytes())?;
            }
        }
    }
    Ok(())
}

/// Remote write 2.0.
pub struct Version2;

impl Codec for Version2 {
    fn id(&self) -> u16 {
        REMOTE_WRITE_2
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        let symbols = Symbols::new(&body)?;
        let mut rows = Rows::new(header, &body, sink)?;
        let mut canonical = vec![];
        for s in v2::SeriesList::new(&body) {
            let s = s?;
            version2_series(&s, &symbols, &options, &mut canonical, &mut rows)?;
        }
        rows.finish()
    }
}

/// Writes the labels of a series so that equal bytes mean equal labels: references are a matter of the request. Not if there are more of
/// them than a series has: a few bytes refer to any text any number of times.
fn spell(s: &v2::Series<'_>, symbols: &Symbols<'_>, options: &Options, out: &mut Vec<u8>) -> std::result::Result<bool, BadReference> {
    out.clear();
    let mut bytes = 0;
    for (n, pair) in symbols.pairs(s.refs.bytes()).enumerate() {
        let (name, value) = pair?;
        bytes += name.len() + value.len();
        if !series::fits(n + 1, bytes, options) {
            return Ok(false);
        }
        for text in [name, value] {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text);
        }
    }
    Ok(true)
}

fn version2_series(
    s: &v2::Series<'_>,
    symbols: &Symbols<'_>,
    options: &Options,
    canonical: &mut Vec<u8>,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let pairs = || symbols.pairs(s.refs.bytes());
    let show = || series::show(pairs().map_while(std::result::Result::ok));
    let fits = match spell(s, symbols, options, canonical) {
        Ok(fits) => fits,
        Err(bad) => return refuse_unspelled(s, bad, &show, rows),
    };
    let labels = || -> std::result::Result<Labels, BadSeries> {
        series::labels(pairs().map(|p| p.map_err(|e| e.message().to_owned())), &show, options)
    };
    let owner = Owner { raw: hash128_seeded(canonical, u64::from(REMOTE_WRITE_2)), labels: &labels, show: &show };
    let mut found = if fits { Found::from(owner) } else { Found::refused(owner, series::beyond(&labels)) };
    // Looked for once: there may be as much of metadata as of labels.
    let name = LazyCell::new(|| metric_name(pairs().take(options.labels as usize)));
    for item in s.items() {
        match item? {
            v2::Item::Sample { time_ms, start_ms, value } => rows.sample(&mut found, time_ms, start_ms, Payload::Float(value))?,
            v2::Item::Histogram { time_ms, start_ms, message } => rows.sample(&mut found, time_ms, start_ms, Payload::Received(message))?,
            v2::Item::Exemplar { message } => match v2::exemplar(message, symbols)? {
                Ok(e) => rows.exemplar(&mut found, e.time_ms, e.value, e.labels.bytes())?,
                Err(bad) => rows.refuse_unread("invalid_exemplar", 0, || format!("an exemplar of {}: {}", show(), bad.message()))?,
            },
            v2::Item::Metadata { message } => match (v2::metadata(message, symbols)?, *name) {
                (Ok(m), Some(name)) => {
                    let name = family(&text(name), m.kind).to_owned();
                    rows.about(m.kind, name.as_bytes(), m.help, m.unit)?;
                }
                (Ok(_), None) => {}
                (Err(_), _) => rows.refuse_unread("invalid_metadata", 0, || {
                    format!("metadata of {}: its help or unit refers to a symbol that the request does not have", show())
                })?,
            },
        }
    }
    Ok(())
}

/// Refuses everything of a series whose labels cannot be read.
fn refuse_unspelled(s: &v2::Series<'_>, bad: BadReference, show: &dyn Fn() -> String, rows: &mut Rows<'_>) -> Result<()> {
    for item in s.items() {
        let time_ms = match item? {
            v2::Item::Sample { time_ms, .. } | v2::Item::Histogram { time_ms, .. } => time_ms,
            v2::Item::Exemplar { .. } => 0,
            v2::Item::Metadata { .. } => continue,
        };
        rows.refuse_unread("invalid_labels", time_ms, || format!("series {}: {}", show(), bad.message()))?;
    }
    Ok(())
}

/// The name among these labels, unless it is longer than metadata are kept of.
fn metric_name<'a>(mut pairs: impl Iterator<Item = std::result::Result<(&'a [u8], &'a [u8]), BadReference>>) -> Option<&'a [u8]> {
    let (_, name) = pairs.find_map(|p| p.ok().filter(|(n, _)| *n == METRIC_NAME.as_bytes()))?;
    (name.len() <= METADATA_NAME_BYTES + SUFFIX_BYTES).then_some(name)
}

/// The longest suffix of a series' name that its family does not have.
const SUFFIX_BYTES: usize = "_bucket".len();

/// The metric family that a series belongs to: metadata are about the family, and version 2 sends them with the series of a
/// classic histogram or a summary, whose names have a suffix of their own.
fn family(name: &str, kind: u64) -> &str {
    let suffixes: &[&str] = match kind {
        3 | 4 => &["_bucket", "_count", "_sum"],
        5 => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name)
}
