//! Prometheus' remote read: `prometheus.ReadRequest` and the answer in whole samples.
//!
//! `ReadRequest { 1: Query { 1: start ms, 2: end ms, 3: LabelMatcher { 1: type, 2: name, 3: value }*, 4: hints }*, 2:
//! accepted_response_types }`, `ReadResponse { 1: QueryResult { 1: TimeSeries* }* }`. Of the two kinds of answers the one that every
//! client understands is given; streamed chunks would have to be encoded anew for each reader.

use crate::proto::{Fields, Malformed, Result, Writer, repeated};

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
        series: impl Iterator<Item = (L, &'a [(i64, f64)], &'a [Vec<u8>])>,
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
                    histograms.iter().for_each(|h| w.bytes(4, h));
                });
            }
        });
    }
    /// The uncompressed body.
    pub fn finish(self) -> Vec<u8> {
        self.0.out
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
}
