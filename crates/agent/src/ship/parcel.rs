//! What is sent in one request: sections of one form and tenant, put together; and cut in halves when it is refused.

use std::ops::RangeInclusive;

use base::Result;
use wire::loki::{PushWriter, Streams};
use wire::proto::{Fields, Value, Writer};
use wire::remote_write::SeriesList;
use wire::{Encoding, encoding};

use crate::deliver::Format;
use crate::spool::Section;
use crate::stats::Sent;

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its form.
    pub format: Format,
    /// How it is compressed when it is sent.
    pub encoding: Encoding,
    /// Whose rows; empty for the endpoint's tenant.
    pub tenant: String,
    /// Rows in it.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times of its rows, nanoseconds.
    pub span_ns: (i64, i64),
    /// The body as it can be put together and taken apart.
    raw: Vec<u8>,
    /// The body as it is sent, once it has been.
    sealed: Option<Vec<u8>>,
}

/// Adds a section to the parcels of a request: to one of the same form and tenant where bodies can be put together, which
/// is how protobuf defines it: the concatenation of two messages has the repeated fields of both.
pub fn add(parcels: &mut Vec<Parcel>, s: Section<&[u8]>) {
    let h = s.head;
    let joins = h.encoding == Encoding::Identity && matches!(h.format, Format::LokiPush | Format::RemoteWrite);
    let like = |p: &&mut Parcel| joins && p.format == h.format && p.tenant == h.tenant && p.encoding == Encoding::SnappyBlock;
    if let Some(p) = parcels.iter_mut().find(like) {
        p.rows += h.rows;
        p.bytes += h.text_bytes;
        p.span_ns = (p.span_ns.0.min(h.first_ns), p.span_ns.1.max(h.last_ns));
        p.raw.extend_from_slice(s.body);
        return;
    }
    let encoding = if joins { Encoding::SnappyBlock } else { h.encoding };
    let sealed = (!joins).then(|| s.body.to_vec());
    let raw = if joins { s.body.to_vec() } else { vec![] };
    let span_ns = (h.first_ns, h.last_ns);
    parcels.push(Parcel { format: h.format, encoding, tenant: h.tenant, rows: h.rows, bytes: h.text_bytes, span_ns, raw, sealed });
}

impl Parcel {
    /// The bytes to send: made once, so that what is sent again is the same.
    pub fn seal(&mut self) -> Result<&[u8]> {
        if self.sealed.is_none() {
            self.sealed = Some(encoding::encode(self.encoding, &self.raw)?);
        }
        Ok(self.sealed.as_deref().unwrap_or_default())
    }

    /// The body before compression; none of one that was received compressed.
    pub fn plain(&self) -> Option<&[u8]> {
        (!self.raw.is_empty()).then_some(&self.raw)
    }

    /// What figures need of it, for so many of its rows.
    pub fn figures(&self, rows: u64) -> Sent {
        let bytes = if rows == self.rows { self.bytes } else { 0 };
        Sent { format: self.format, rows, bytes, last_ns: self.span_ns.1 }
    }

    /// Bytes before compression, or as it was received.
    pub fn size(&self) -> usize {
        self.raw.len().max(self.sealed.as_ref().map_or(0, Vec::len))
    }

    /// Two halves; `None` if it cannot be cut.
    pub fn halves(&self) -> Option<[Parcel; 2]> {
        if self.raw.is_empty() || self.rows < 2 {
            return None;
        }
        match self.format {
            Format::LokiPush => self.halves_of_lines(),
            Format::RemoteWrite => self.halves_of_series(),
            _ => None,
        }
    }

    fn part(&self, raw: Vec<u8>, rows: u64, bytes: u64) -> Parcel {
        Parcel { raw, rows, bytes, sealed: None, tenant: self.tenant.clone(), ..*self }
    }

    /// The rows with these numbers alone; `None` if they are not of this parcel, or cannot be taken out of it.
    pub fn only(&self, rows: &[RangeInclusive<u32>]) -> Option<Parcel> {
        let wanted = |n: u64| rows.iter().any(|r| (u64::from(*r.start())..=u64::from(*r.end())).contains(&n));
        if self.raw.is_empty() || rows.is_empty() || rows.iter().any(|r| u64::from(*r.end()) >= self.rows) {
            return None;
        }
        match self.format {
            Format::LokiPush => self.lines_where(&wanted),
            Format::RemoteWrite => self.series_where(&wanted),
            _ => None,
        }
    }

    fn halves_of_lines(&self) -> Option<[Parcel; 2]> {
        let middle = self.rows / 2;
        Some([self.lines_where(&|n| n < middle)?, self.lines_where(&|n| n >= middle)?])
    }

    /// The lines whose numbers are wanted.
    fn lines_where(&self, is_wanted: &dyn Fn(u64) -> bool) -> Option<Parcel> {
        let (mut writer, mut rows, mut bytes, mut span_ns) = (PushWriter::default(), 0, 0, (i64::MAX, i64::MIN));
        let mut number = 0..;
        for s in Streams::new(&self.raw) {
            let s = s.ok()?;
            let mut begun = false;
            for e in s.entries() {
                let e = e.ok()?;
                if !is_wanted(number.next()?) {
                    continue;
                }
                if !std::mem::replace(&mut begun, true) {
                    writer.stream_of(s.labels);
                }
                let pairs: Vec<(String, String)> =
                    e.metadata().map(|p| p.map(|(n, v)| (text(n), text(v)))).collect::<std::result::Result<_, _>>().ok()?;
                writer.entry(e.time_ns, e.line, pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                rows += 1;
                bytes += e.line.len() as u64;
                span_ns = (span_ns.0.min(e.time_ns), span_ns.1.max(e.time_ns));
            }
        }
        Some(Parcel { span_ns: if rows > 0 { span_ns } else { self.span_ns }, ..self.part(writer.finish(), rows, bytes) })
    }

    /// The series all of whose samples are wanted; `None` if of one only some are.
    fn series_where(&self, is_wanted: &dyn Fn(u64) -> bool) -> Option<Parcel> {
        let mut fields = Fields::new(&self.raw);
        let (mut w, mut rows, mut number) = (Writer::default(), 0, 0..);
        while let Some((n, v)) = fields.next().ok()? {
            let Value::Bytes(b) = v else { return None };
            if n != 1 {
                continue;
            }
            let mut one = Writer::default();
            one.bytes(n, b);
            let items = SeriesList::new(&one.out).next()?.ok()?.items().count();
            let wanted = number.by_ref().take(items).filter(|n| is_wanted(*n)).count();
            if wanted == items {
                w.bytes(n, b);
                rows += items as u64;
            } else if wanted > 0 {
                return None;
            }
        }
        let bytes = w.out.len() as u64;
        Some(self.part(w.out, rows, bytes))
    }

    fn halves_of_series(&self) -> Option<[Parcel; 2]> {
        let mut fields = Fields::new(&self.raw);
        let mut all = vec![];
        while let Some((n, v)) = fields.next().ok()? {
            let Value::Bytes(b) = v else { return None };
            all.push((n, b));
        }
        let (first, second) = all.split_at(all.len() / 2);
        let side = |fields: &[(u32, &[u8])]| {
            let mut w = Writer::default();
            fields.iter().for_each(|(n, b)| w.bytes(*n, b));
            let rows = SeriesList::new(&w.out).flatten().map(|s| s.items().count() as u64).sum();
            let bytes = w.out.len() as u64;
            self.part(w.out, rows, bytes)
        };
        (!first.is_empty()).then(|| [side(first), side(second)])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Priority, SectionHead};

    fn section(format: Format, body: &[u8], rows: u64) -> Section<&[u8]> {
        let head = SectionHead {
            format,
            encoding: Encoding::Identity,
            priority: Priority::Info,
            tenant: String::new(),
            rows,
            text_bytes: 1,
            first_ns: 0,
            last_ns: 1,
        };
        Section { head, body }
    }

    fn lines(p: &Parcel) -> Vec<(Vec<u8>, Vec<u8>, usize)> {
        let of = |s: wire::loki::Stream<'_>| {
            let entries = s.entries().map(|e| e.unwrap());
            entries.map(|e| (s.labels.to_vec(), e.line.to_vec(), e.metadata().count())).collect::<Vec<_>>()
        };
        Streams::new(&p.raw).flat_map(|s| of(s.unwrap())).collect()
    }

    #[test]
    fn sections_are_put_together_and_halves_have_all_of_it() {
        let mut w = PushWriter::default();
        w.stream([("a", "1")]);
        w.entry(1, b"one", [("k", "v")].into_iter());
        w.entry(2, b"two", [].into_iter());
        let first = w.finish();
        let mut w = PushWriter::default();
        w.stream([("a", "2")]);
        w.entry(3, b"three", [].into_iter());
        let second = w.finish();
        let mut parcels = vec![];
        add(&mut parcels, section(Format::LokiPush, &first, 2));
        add(&mut parcels, section(Format::OtlpTraces, b"spans", 1));
        add(&mut parcels, section(Format::LokiPush, &second, 1));
        assert_eq!((parcels.len(), parcels[0].rows), (2, 3));
        let [a, b] = parcels[0].halves().unwrap();
        assert_eq!((a.rows, b.rows), (1, 2));
        assert_eq!([lines(&a), lines(&b)].concat(), lines(&parcels[0]));
        assert_eq!(lines(&a)[0].2, 1, "metadata goes along");
        assert!(a.halves().is_none() && parcels[1].halves().is_none());
        let only = parcels[0].only(&[0..=0, 2..=2]).unwrap();
        assert_eq!((only.rows, only.bytes, only.span_ns), (2, 8, (1, 3)));
        assert_eq!(lines(&only), [lines(&parcels[0])[0].clone(), lines(&parcels[0])[2].clone()]);
        assert!(parcels[0].only(&[3..=3]).is_none() && parcels[0].only(&[]).is_none() && parcels[1].only(&[0..=0]).is_none());
        assert_eq!(parcels[1].seal().unwrap(), b"spans");
        let sealed = parcels[0].seal().unwrap().to_vec();
        assert_eq!(parcels[0].seal().unwrap(), sealed);

        let mut w = wire::remote_write::RequestWriter::default();
        for name in ["x", "y", "z"] {
            w.series([("__name__", name)], &[(1, 1.0), (2, 2.0)], &[]);
        }
        let body = w.finish();
        let mut parcels = vec![];
        add(&mut parcels, section(Format::RemoteWrite, &body, 6));
        let only = parcels[0].only(&[2..=3]).unwrap();
        assert_eq!((only.rows, SeriesList::new(&only.raw).count()), (2, 1));
        assert!(parcels[0].only(&[1..=2]).is_none(), "half of a series");
        let [a, b] = parcels[0].halves().unwrap();
        assert_eq!((a.rows, b.rows), (2, 4));
        assert_eq!([a.raw, b.raw].concat(), body);
    }
}
