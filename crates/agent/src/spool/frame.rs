//! What one frame of the spool holds: the batch in the forms in which it travels on, and the position of its source.
//!
//! The bytes are in `docs/formats/spool.md`.

use base::attrs::{read_varint, write_varint};
use base::{Result, Tenant};
use wire::Encoding;
use wire::loki::PushWriter;
use wire::remote_write::RequestWriter;

use super::level::{self, Priority};
use crate::deliver::{Batch, Body, Format, Lines, Metadata, Sample, Stream};

/// Kinds of frames of the log.
pub mod kind {
    /// A batch and the position after it.
    pub const BATCH: u8 = 1;
    /// Everything that is known besides batches, so that older segments may go.
    pub const STATE: u8 = 2;
    /// What endpoints have acknowledged since.
    pub const ACKS: u8 = 3;
}

/// As it is written. Version 1 had no list of endpoints: its frames are for all of them.
const VERSION: u8 = 2;

/// What a frame says about its source's position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    #[default]
    Same,
    /// The position after the frame.
    At(Vec<u8>),
    /// The source is done with.
    Forgotten,
}

/// What stands before the sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// When it was spooled, nanoseconds since 1970.
    pub received_ns: i64,
    /// The source's name.
    pub source: String,
    /// Its position.
    pub place: Place,
    /// The frame was written before, and made room for: neither its position nor its count says anything new.
    pub moved: bool,
    /// Rows that the source had delivered before this frame: a gap in these numbers is a loss of known size.
    pub rows_before: u64,
    /// Rows of the frame as it was first written.
    pub rows: u64,
    /// Names of the endpoints that it is for; empty for all.
    pub to: Vec<String>,
}

impl Head {
    /// Whether the frame is for this endpoint.
    pub fn is_for(&self, endpoint: &str) -> bool {
        self.to.is_empty() || self.to.iter().any(|n| n == endpoint)
    }
}

/// Rows of one form, tenant and priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionHead {
    /// Form of the body.
    pub format: Format,
    /// Compression of the body.
    pub encoding: Encoding,
    /// What goes first when there is no room.
    pub priority: Priority,
    /// Whose rows; empty for the endpoint's own tenant.
    pub tenant: String,
    /// Lines, samples or spans.
    pub rows: u64,
    /// Bytes of lines; of other rows, of the body.
    pub text_bytes: u64,
    /// Time of the first row, nanoseconds.
    pub first_ns: i64,
    /// Time of the last row, nanoseconds.
    pub last_ns: i64,
}

/// A section, and where its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<B> {
    /// What it is.
    pub head: SectionHead,
    /// Its body.
    pub body: B,
}

/// A batch in the form in which it is spooled.
#[derive(Debug)]
pub struct Prepared {
    /// The source's name.
    pub source: String,
    /// Its position.
    pub place: Place,
    /// The rows.
    pub sections: Vec<Section<Vec<u8>>>,
    /// Names of the endpoints that it is for; empty for all.
    pub to: Vec<String>,
}

impl Prepared {
    fn new(source: &str, place: Place, sections: Vec<Section<Vec<u8>>>) -> Prepared {
        Prepared { source: source.into(), place, sections, to: vec![] }
    }
    /// Rows of all sections.
    pub fn rows(&self) -> u64 {
        self.sections.iter().map(|s| s.head.rows).sum()
    }
    /// Bytes of all bodies.
    pub fn bytes(&self) -> u64 {
        self.sections.iter().map(|s| s.body.len() as u64).sum()
    }
}

/// Turns a batch into what is spooled. `by_level` keeps lines of different levels apart, so that they can be dropped apart.
pub fn prepare(batch: Batch<'_>, now_ns: i64, by_level: bool) -> Result<Prepared> {
    Ok(match batch {
        Batch::Lines(lines) => of_lines(lines, by_level),
        Batch::Samples(samples) => Prepared::new("samples", Place::Same, of_samples(samples)),
        Batch::Metadata(known) => Prepared::new("metadata", Place::Same, of_metadata(known, now_ns)),
        Batch::Body(body) => Prepared::new(body.source, Place::Same, vec![of_body(&body, now_ns)]),
    })
}

/// Streams under way, by tenant and priority: there are few.
type Writers<'a> = Vec<(Option<&'a Tenant>, SectionHead, PushWriter)>;

fn of_lines(lines: &Lines, by_level: bool) -> Prepared {
    let mut writers: Writers<'_> = vec![];
    for stream in &lines.streams {
        if by_level {
            let levels: Vec<Priority> = stream.lines.iter().map(level::of_line).collect();
            for p in Priority::ALL {
                add_lines(&mut writers, stream, p, &mut levels.iter().map(|l| *l == p));
            }
        } else {
            add_lines(&mut writers, stream, Priority::default(), &mut std::iter::repeat(true));
        }
    }
    let section = |(_, head, writer): (_, SectionHead, PushWriter)| Section { head, body: writer.finish() };
    let place = if lines.position.is_empty() { Place::Forgotten } else { Place::At(lines.position.clone()) };
    Prepared::new(&lines.source, place, writers.into_iter().map(section).collect())
}

/// Writes the lines of `stream` that are of this priority.
fn add_lines<'a>(writers: &mut Writers<'a>, stream: &'a Stream, priority: Priority, is_wanted: &mut dyn Iterator<Item = bool>) {
    let mut wanted = stream.lines.iter().zip(is_wanted).filter(|(_, w)| *w).map(|(l, _)| l).peekable();
    if wanted.peek().is_none() {
        return;
    }
    let tenant = stream.tenant.as_ref();
    let at = writers.iter().position(|(t, h, _)| *t == tenant && h.priority == priority).unwrap_or_else(|| {
        let name = tenant.map_or_else(String::new, |t| t.as_str().to_owned());
        writers.push((tenant, empty(Format::LokiPush, priority, name), PushWriter::default()));
        writers.len() - 1
    });
    let (_, head, writer) = &mut writers[at];
    writer.stream(stream.labels.iter());
    for line in wanted {
        writer.entry(line.time_ns, line.text.as_bytes(), line.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        head.rows += 1;
        head.text_bytes += line.text.len() as u64;
        head.first_ns = head.first_ns.min(line.time_ns);
        head.last_ns = head.last_ns.max(line.time_ns);
    }
}

fn empty(format: Format, priority: Priority, tenant: String) -> SectionHead {
    SectionHead { format, encoding: Encoding::Identity, priority, tenant, rows: 0, text_bytes: 0, first_ns: i64::MAX, last_ns: i64::MIN }
}

fn of_samples(samples: &[Sample]) -> Vec<Section<Vec<u8>>> {
    if samples.is_empty() {
        return vec![];
    }
    let mut request = RequestWriter::default();
    let mut head = empty(Format::RemoteWrite, Priority::Warn, String::new());
    for s in samples {
        s.write(&mut request);
        let time_ns = s.time_ms.saturating_mul(1_000_000);
        (head.first_ns, head.last_ns) = (head.first_ns.min(time_ns), head.last_ns.max(time_ns));
    }
    let body = request.finish();
    (head.rows, head.text_bytes) = (samples.len() as u64, body.len() as u64);
    vec![Section { head, body }]
}

fn of_metadata(known: &[Metadata], now_ns: i64) -> Vec<Section<Vec<u8>>> {
    if known.is_empty() {
        return vec![];
    }
    let mut request = RequestWriter::default();
    for m in known {
        request.metadata(m.kind, &m.name, &m.help, &m.unit);
    }
    let head = empty(Format::RemoteWrite, Priority::Info, String::new());
    vec![Section { head: SectionHead { first_ns: now_ns, last_ns: now_ns, ..head }, body: request.finish() }]
}

fn of_body(body: &Body<'_>, now_ns: i64) -> Section<Vec<u8>> {
    let priority = if body.format <= Format::LokiPushJson { Priority::Info } else { Priority::Warn };
    let head = empty(body.format, priority, body.tenant.map_or_else(String::new, |t| t.as_str().to_owned()));
    let (rows, text_bytes) = (body.rows, body.bytes.len() as u64);
    let head = SectionHead { encoding: body.encoding, rows, text_bytes, first_ns: now_ns, last_ns: now_ns, ..head };
    Section { head, body: body.bytes.to_vec() }
}

/// The bytes before the bodies: head, and head of each section. The bodies follow in order.
pub fn encode<B: AsRef<[u8]>>(head: &Head, sections: &[Section<B>]) -> Vec<u8> {
    let mut out = vec![VERSION, u8::from(head.moved)];
    write_varint(&mut out, zigzag(head.received_ns));
    put(&mut out, head.source.as_bytes());
    match &head.place {
        Place::Same => out.push(0),
        Place::Forgotten => out.push(1),
        Place::At(position) => {
            out.push(2);
            put(&mut out, position);
        }
    }
    write_varint(&mut out, head.rows_before);
    write_varint(&mut out, head.rows);
    write_varint(&mut out, head.to.len() as u64);
    head.to.iter().for_each(|name| put(&mut out, name.as_bytes()));
    write_varint(&mut out, sections.len() as u64);
    for s in sections {
        let (h, body) = (&s.head, s.body.as_ref());
        out.extend_from_slice(&[h.format.code(), h.encoding.code(), h.priority as u8]);
        put(&mut out, h.tenant.as_bytes());
        for n in [h.rows, h.text_bytes, zigzag(h.first_ns), zigzag(h.last_ns), body.len() as u64] {
            write_varint(&mut out, n);
        }
    }
    out
}

/// Takes a frame apart; `None` if it is not of a form that this program knows.
pub fn decode(payload: &[u8]) -> Option<(Head, Vec<Section<&[u8]>>)> {
    let (&[version @ 1..=VERSION, moved], b) = payload.split_first_chunk()? else { return None };
    let (received, b) = read_varint(b)?;
    let (source, b) = counted(b)?;
    let (&place, b) = b.split_first()?;
    let (place, b) = match place {
        0 => (Place::Same, b),
        1 => (Place::Forgotten, b),
        2 => counted(b).map(|(p, b)| (Place::At(p.to_vec()), b))?,
        _ => return None,
    };
    let (rows_before, b) = read_varint(b)?;
    let (rows, b) = read_varint(b)?;
    let (to, b) = if version == 1 { (vec![], b) } else { names(b)? };
    let (count, mut b) = read_varint(b)?;
    let source = String::from_utf8(source.to_vec()).ok()?;
    let head = Head { received_ns: unzigzag(received), source, place, moved: moved == 1, rows_before, rows, to };
    let mut heads = vec![];
    for _ in 0..count {
        let (section, len, rest) = section_head(b)?;
        heads.push((section, len));
        b = rest;
    }
    let mut sections = Vec::with_capacity(heads.len());
    for (head, len) in heads {
        let (body, rest) = b.split_at_checked(len)?;
        sections.push(Section { head, body });
        b = rest;
    }
    Some((head, sections))
}

fn names(b: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let (count, mut b) = read_varint(b)?;
    let mut names = vec![];
    for _ in 0..count {
        let (name, rest) = counted(b)?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        b = rest;
    }
    Some((names, b))
}

fn section_head(b: &[u8]) -> Option<(SectionHead, usize, &[u8])> {
    let (&[format, encoding, priority], b) = b.split_first_chunk()?;
    let (tenant, mut b) = counted(b)?;
    let mut numbers = [0; 5];
    for n in &mut numbers {
        (*n, b) = read_varint(b)?;
    }
    let [rows, text_bytes, first, last, len] = numbers;
    let head = SectionHead {
        format: Format::from_code(format)?,
        encoding: Encoding::from_code(encoding)?,
        priority: Priority::from_code(priority)?,
        tenant: String::from_utf8(tenant.to_vec()).ok()?,
        rows,
        text_bytes,
        first_ns: unzigzag(first),
        last_ns: unzigzag(last),
    };
    Some((head, usize::try_from(len).ok()?, b))
}

/// Appends length and bytes.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what [`put`] wrote, and gives what follows it.
pub fn counted(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = read_varint(b)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// Small numbers of either sign as small numbers.
pub fn zigzag(v: i64) -> u64 {
    (v << 1 ^ v >> 63) as u64
}

/// The other way.
pub fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Line;
    use base::Labels;

    fn line(time_ns: i64, text: &str) -> Line {
        Line { time_ns, text: text.into(), metadata: vec![] }
    }

    #[test]
    fn a_frame_comes_back_and_a_cut_one_does_not() {
        let labels = Labels::from_pairs([("job", "x")]).unwrap();
        let tenant = Some(Tenant::new("team-a").unwrap());
        let streams = vec![
            Stream { tenant: None, labels: labels.clone(), lines: vec![line(5, "debug a"), line(-7, "error b"), line(9, "debug c")] },
            Stream { tenant, labels, lines: vec![line(11, "plain")] },
        ];
        let lines = Lines { streams, source: "file/x".into(), position: b"here".to_vec() };
        for (by_level, sections) in [(false, 2), (true, 3)] {
            let p = prepare(Batch::Lines(&lines), 0, by_level).unwrap();
            assert_eq!((p.sections.len(), p.rows()), (sections, 4));
            let to = vec!["home".to_owned(), "old".to_owned()];
            let head =
                Head { received_ns: -3, source: p.source.clone(), place: p.place.clone(), moved: false, rows_before: 300, rows: 4, to };
            let mut payload = encode(&head, &p.sections);
            p.sections.iter().for_each(|s| payload.extend_from_slice(&s.body));
            let (got, back) = decode(&payload).unwrap();
            assert_eq!(got, head);
            let back: Vec<Section<Vec<u8>>> = back.into_iter().map(|s| Section { head: s.head, body: s.body.to_vec() }).collect();
            assert_eq!(back, p.sections);
            assert!((0..payload.len()).all(|cut| decode(&payload[..cut]).is_none()));
        }
    }

    #[test]
    fn a_frame_of_version_1_is_for_all() {
        // Not moved, received 0, source "a", no place, rows before 0, rows 0, no section.
        let (head, sections) = decode(&[1, 0, 0, 1, b'a', 0, 0, 0, 0]).unwrap();
        assert!(head.source == "a" && head.is_for("home") && sections.is_empty());
        let head = Head { to: vec!["home".into()], ..head };
        assert!(head.is_for("home") && !head.is_for("old"));
        assert_eq!(decode(&encode::<&[u8]>(&head, &[])).unwrap().0, head);
        assert!(decode(&[3, 0, 0, 1, b'a', 0, 0, 0, 0, 0]).is_none(), "a newer one");
    }

    #[test]
    fn numbers_of_formats_stay() {
        assert_eq!(Format::ALL.map(Format::code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Format::from_code(4), Some(Format::OtlpLogs));
        assert_eq!([0, -1, 1, i64::MIN].map(|v| unzigzag(zigzag(v))), [0, -1, 1, i64::MIN]);
    }
}
