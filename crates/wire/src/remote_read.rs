//! Prometheus' remote read: `prometheus.ReadRequest`, and the answer in whole samples or as a stream of chunks.
//!
//! `ReadRequest { 1: Query { 1: start ms, 2: end ms, 3: LabelMatcher { 1: type, 2: name, 3: value }*, 4: hints }*, 2:
//! accepted_response_types* }`, `ReadResponse { 1: QueryResult { 1: TimeSeries* }* }`. A stream is frames: the length as a varint, CRC-32C as
//! four bytes, the highest first, and `ChunkedReadResponse { 1: ChunkedSeries { 1: Label*, 2: Chunk { 1: first ms, 2: last ms, 3:
//! encoding, 4: bytes }* }*, 2: number of the query }`. What is in a chunk: [`chunk`].

pub mod chunk;

use base::attrs::read_varint;

use crate::proto::{Fields, Malformed, Result, Value, Writer, repeated};

/// How a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whole samples, as a snappy block: what every client understands.
    Samples,
    /// A stream of chunks.
    Chunks,
}

impl Form {
    /// The first of the accepted forms that is known, by the order in which the client names them; whole samples if it names none.
    pub fn accepted(body: &[u8]) -> Result<Form> {
        let form = |v| match v {
            0 => Some(Form::Samples),
            1 => Some(Form::Chunks),
            _ => None,
        };
        let mut f = Fields::new(body);
        while let Some((n, v)) = f.next()? {
            let found = match (n, v) {
                (2, Value::Bytes(mut packed)) => loop {
                    let Some((v, rest)) = read_varint(packed) else {
                        break if packed.is_empty() { None } else { return Err(Malformed::Truncated) };
                    };
                    match form(v) {
                        None => packed = rest,
                        found => break found,
                    }
                },
                (2, v) => form(v.varint()?),
                _ => None,
            };
            if let Some(form) = found {
                return Ok(form);
            }
        }
        Ok(Form::Samples)
    }
}

/// The content type of a stream of chunks.
pub const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Bytes of chunks in a frame, as in Prometheus (`--storage.remote.read-max-bytes-in-frame`); a reader holds one frame.
const FRAME_BYTES: usize = 1 << 20;

/// One query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// First time, milliseconds since 1970.
    pub start_ms: i64,
    /// Last time.
    pub end_ms: i64,
    /// All of them must match.
    pub matchers: Vec<Match<'a>>,
}

/// A matcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Match<'a> {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    pub op: u64,
    /// The label's name.
    pub name: &'a str,
    /// The value or pattern.
    pub value: &'a str,
}

/// The queries of an uncompressed request.
pub fn queries(body: &[u8]) -> Result<Vec<Query<'_>>> {
    repeated(body, 1).map(|q| query(q?)).collect()
}

fn query(message: &[u8]) -> Result<Query<'_>> {
    let text = |b| std::str::from_utf8(b).map_err(|_| Malformed::Mismatch);
    let mut q = Query::default();
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match n {
            1 => q.start_ms = v.varint()? as i64,
            2 => q.end_ms = v.varint()? as i64,
            3 => {
                let mut m = Match::default();
                let mut f = Fields::new(v.bytes()?);
                while let Some((n, v)) = f.next()? {
                    match n {
                        1 => m.op = v.varint()?,
                        2 => m.name = text(v.bytes()?)?,
                        3 => m.value = text(v.bytes()?)?,
                        _ => {}
                    }
                }
                q.matchers.push(m);
            }
            _ => {}
        }
    }
    Ok(q)
}

/// Writes an answer. Send [`Response::finish`] as a snappy block.
#[derive(Default)]
pub struct Response(Writer);

impl Response {
    /// Adds the result of the next query: labels, floats (ms, value), and histograms as `Histogram` messages, of each series.
    pub fn result<'a, L: Iterator<Item = (&'a str, &'a str)>>(
        &mut self,
        series: impl Iterator<Item = (L, &'a [(i64, f64)], &'a [(i64, Vec<u8>)])>,
    ) {
        self.0.message(1, |w| {
            for (labels, floats, histograms) in series {
                w.message(1, |w| {
                    for (name, value) in labels {
                        w.message(1, |w| {
                            w.bytes(1, name.as_bytes());
                            w.bytes(2, value.as_bytes());
                        });
                    }
                    for &(time_ms, value) in floats {
                        w.message(2, |w| {
                            w.double(1, value);
                            w.varint(2, time_ms as u64);
                        });
                    }
                    histograms.iter().for_each(|(_, h)| w.bytes(4, h));
                });
            }
        });
    }
    /// The uncompressed body.
    pub fn finish(self) -> Vec<u8> {
        self.0.out
    }
}

/// Writes a stream of chunks.
#[derive(Default)]
pub struct Stream(Vec<u8>);

impl Stream {
    /// Adds a series of a query, counted from 0: floats and histograms (`Histogram` messages) with their times, in the order of time.
    /// Series of a query come in the order of their labels.
    ///
    /// # Errors
    /// A histogram that is none.
    pub fn series<'a, L: Iterator<Item = (&'a str, &'a str)> + Clone>(
        &mut self,
        query: u64,
        labels: L,
        floats: &[(i64, f64)],
        histograms: &[(i64, Vec<u8>)],
    ) -> base::Result<()> {
        let mut frame = Frame { query, labels, chunks: Writer::default() };
        // A series may change from one kind to the other and back: a chunk ends where the other kind has a sample.
        let (mut f, mut h) = (floats, histograms);
        loop {
            let next_ms = h.first().map_or(i64::MAX, |h| h.0);
            let n = f.iter().take(chunk::FLOATS).take_while(|s| s.0 < next_ms || h.is_empty()).count();
            if n > 0 {
                let (now, later) = f.split_at(n);
                frame.chunk(now[0].0, now[n - 1].0, chunk::Encoding::Xor, &chunk::floats(now));
                f = later;
            } else if let Some(((time_ms, message), later)) = h.split_first() {
                let (encoding, bytes) = chunk::histogram(*time_ms, message)?;
                frame.chunk(*time_ms, *time_ms, encoding, &bytes);
                h = later;
            } else {
                break;
            }
            if frame.chunks.out.len() >= FRAME_BYTES {
                frame.end(&mut self.0);
            }
        }
        frame.end(&mut self.0);
        Ok(())
    }
    /// The body.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A frame in the making, of one series.
struct Frame<L> {
    query: u64,
    labels: L,
    chunks: Writer,
}

impl<'a, L: Iterator<Item = (&'a str, &'a str)> + Clone> Frame<L> {
    fn chunk(&mut self, first_ms: i64, last_ms: i64, encoding: chunk::Encoding, bytes: &[u8]) {
        self.chunks.message(2, |w| {
            w.varint(1, first_ms as u64);
            w.varint(2, last_ms as u64);
            w.varint(3, encoding as u64);
            w.bytes(4, bytes);
        });
    }

    /// Writes it, if there are chunks in it.
    fn end(&mut self, out: &mut Vec<u8>) {
        let chunks = std::mem::take(&mut self.chunks.out);
        if chunks.is_empty() {
            return;
        }
        let mut w = Writer::default();
        w.message(1, |w| {
            for (name, value) in self.labels.clone() {
                w.message(1, |w| {
                    w.bytes(1, name.as_bytes());
                    w.bytes(2, value.as_bytes());
                });
            }
            w.out.extend_from_slice(&chunks);
        });
        w.varint(2, self.query);
        base::attrs::write_varint(out, w.out.len() as u64);
        out.extend_from_slice(&crc32c::crc32c(&w.out).to_be_bytes());
        out.extend_from_slice(&w.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_an_answer_is_a_write_request_in_a_shell() {
        let mut w = Writer::default();
        w.message(1, |w| {
            w.varint(1, 5);
            w.varint(2, 9);
            w.message(3, |w| {
                w.varint(1, 2);
                w.bytes(2, b"job");
                w.bytes(3, b"a|b");
            });
        });
        w.varint(2, 1);
        let want = Query { start_ms: 5, end_ms: 9, matchers: vec![Match { op: 2, name: "job", value: "a|b" }] };
        assert_eq!(queries(&w.out), Ok(vec![want]));
        let mut r = Response::default();
        r.result([([("__name__", "up")].into_iter(), &[(7, 1.5)][..], &[][..])].into_iter());
        let body = r.finish();
        let result = repeated(&body, 1).next().unwrap().unwrap();
        // Series lie in field 1 as in a write request.
        let s = crate::remote_write::SeriesList::new(result).next().unwrap().unwrap();
        let items: Vec<_> = s.items().map(|i| i.unwrap()).collect();
        assert_eq!(items, [crate::remote_write::Item::Sample { time_ms: 7, value: 1.5 }]);
    }

    #[test]
    fn the_first_form_that_is_known_is_given() {
        for (list, wanted) in
            [(&[][..], Form::Samples), (&[0], Form::Samples), (&[1, 0], Form::Chunks), (&[7, 1], Form::Chunks), (&[0, 1], Form::Samples)]
        {
            let (mut packed, mut single) = (Writer::default(), Writer::default());
            packed.bytes(2, list);
            list.iter().for_each(|v| single.varint(2, (*v).into()));
            assert_eq!((Form::accepted(&packed.out), Form::accepted(&single.out)), (Ok(wanted), Ok(wanted)), "{list:?}");
        }
        assert_eq!(Form::accepted(&[0x12, 1, 0x80]), Err(Malformed::Truncated));
    }

    /// Takes a stream apart: of each frame query, labels, and of each chunk its times, its encoding and its bytes.
    type Frames = Vec<(u64, usize, Vec<(i64, i64, u64, Vec<u8>)>)>;
    fn frames(mut body: &[u8]) -> Frames {
        let mut out = vec![];
        while !body.is_empty() {
            let (len, rest) = read_varint(body).unwrap();
            let (crc, rest) = rest.split_first_chunk().unwrap();
            let (message, rest) = rest.split_at(len as usize);
            assert_eq!(crc32c::crc32c(message), u32::from_be_bytes(*crc));
            body = rest;
            let series = repeated(message, 1).next().unwrap().unwrap();
            let number = |message: &[u8], wanted| {
                let mut f = Fields::new(message);
                while let Some((n, v)) = f.next().unwrap() {
                    if n == wanted {
                        return v.varint().unwrap();
                    }
                }
                panic!("it has no field {wanted}")
            };
            let chunk = |c: &[u8]| {
                let bytes = repeated(c, 4).next().unwrap().unwrap().to_vec();
                (number(c, 1) as i64, number(c, 2) as i64, number(c, 3), bytes)
            };
            let chunks = repeated(series, 2).map(|c| chunk(c.unwrap())).collect();
            out.push((number(message, 2), repeated(series, 1).count(), chunks));
        }
        out
    }

    #[test]
    fn a_stream_of_chunks() {
        let labels = || [("__name__", "a"), ("job", "x")].into_iter();
        let floats: Vec<(i64, f64)> = (0..250).map(|i| (i * 1000, i as f64)).collect();
        // In the middle of the second chunk, and at the end.
        let histograms = [(130_500, vec![]), (300_000, vec![])];
        let mut s = Stream::default();
        s.series(0, labels(), &floats, &histograms).unwrap();
        s.series(3, labels(), &floats[..1], &[]).unwrap();
        s.series(3, labels(), &[], &[]).unwrap();
        let got = frames(&s.finish());
        assert_eq!((got.len(), got[0].0, got[0].1, got[1].0), (2, 0, 2, 3), "a series without samples is no frame");
        let shown: Vec<(i64, i64, u64)> = got[0].2.iter().map(|c| (c.0, c.1, c.2)).collect();
        assert_eq!(shown, [(0, 119_000, 1), (120_000, 130_000, 1), (130_500, 130_500, 2), (131_000, 249_000, 1), (300_000, 300_000, 2)]);
        let again: Vec<(i64, u64)> = got[0].2.iter().filter(|c| c.2 == 1).flat_map(|c| chunk::tests::read_floats(&c.3)).collect();
        assert_eq!(again, floats.iter().map(|s| (s.0, s.1.to_bits())).collect::<Vec<_>>());
        assert!(chunk::tests::read_histogram(chunk::Encoding::Histogram, &got[0].2[2].3).starts_with("@130500 "));
        assert!(s_of(&[(0, vec![0x08])]).is_err(), "a histogram that is none");
    }

    fn s_of(histograms: &[(i64, Vec<u8>)]) -> base::Result<()> {
        Stream::default().series(0, std::iter::empty(), &[], histograms)
    }

    #[test]
    fn a_frame_holds_a_mebibyte() {
        let floats: Vec<(i64, f64)> =
            (0..400_000i64).map(|i| (i * 977, f64::from_bits((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))).collect();
        let mut s = Stream::default();
        s.series(0, [("__name__", "a")].into_iter(), &floats, &[]).unwrap();
        let body = s.finish();
        let got = frames(&body);
        assert!(got.len() == 1 + body.len() / (FRAME_BYTES + 2000) && got.len() > 2, "{} frames", got.len());
        let again: usize = got.iter().flat_map(|f| &f.2).map(|c| chunk::tests::read_floats(&c.3).len()).sum();
        assert_eq!(again, floats.len());
    }
}
