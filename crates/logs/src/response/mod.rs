//! The JSON bodies of Loki's query API.
//!
//! The tuple contract: a line is `["<ns>", "line"]`; only a client that sent `categorize-labels` gets
//! `["<ns>", "line", {"structuredMetadata": {..}, "parsed": {..}}]`, and then `stream` holds the stream's labels alone.

mod explore;

use std::collections::BTreeMap;

use base::{Labels, Pieces};
use table::Direction;

use crate::query::{Entry, QueryResult, Stream};

pub use explore::{detected_field_values, detected_fields, detected_labels, index_stats, patterns};

/// What the adapter knows beside the result.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The client sent `X-Loki-Response-Encoding-Flags: categorize-labels`.
    pub categorize_labels: bool,
    /// Said to the client beside the answer: what is missing from it, and why.
    pub warnings: Vec<String>,
}

impl Options {
    /// The same with these warnings.
    pub fn warn(self, warnings: Vec<String>) -> Self {
        Options { warnings, ..self }
    }
}

/// The body of `query` and `query_range`.
pub fn query(result: &QueryResult, options: &Options) -> Pieces {
    let mut text = Pieces::default();
    let out = &mut text;
    put(out.open(), "{\"status\":\"success\",\"data\":{\"resultType\":\"");
    match result {
        QueryResult::Streams(streams, direction) => {
            put(out.open(), "streams\",\"result\":[");
            write_streams(out, streams, *direction, options.categorize_labels);
            put(out.open(), "]");
        }
        QueryResult::Vector(samples) => {
            put(out.open(), "vector\",\"result\":[");
            in_pieces(out, samples, |out, (labels, time, value)| {
                let out = out.open();
                put(out, "{\"metric\":");
                write_labels(out, labels.iter());
                put(out, ",\"value\":");
                write_point(out, *time, *value);
                put(out, "}");
            });
            put(out.open(), "]");
        }
        QueryResult::Matrix(series) => {
            put(out.open(), "matrix\",\"result\":[");
            in_pieces(out, series, |out, s| {
                put(out.open(), "{\"metric\":");
                write_labels(out.open(), s.labels.iter());
                put(out.open(), ",\"values\":[");
                in_pieces(out, &s.points, |out, (time, value)| write_point(out.open(), *time, *value));
                put(out.open(), "]}");
            });
            put(out.open(), "]");
        }
        QueryResult::Scalar(time, value) => {
            put(out.open(), "scalar\",\"result\":");
            write_point(out.open(), *time, *value);
        }
    }
    if options.categorize_labels && matches!(result, QueryResult::Streams(..)) {
        put(out.open(), ",\"encodingFlags\":[\"categorize-labels\"]");
    }
    put(out.open(), ",\"stats\":{}}");
    write_warnings(out.open(), &options.warnings);
    put(out.open(), "}");
    text
}

/// A line that a slow client did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its labels.
    pub labels: Labels,
    /// Its time, nanoseconds.
    pub time_ns: i64,
}

/// One message of `tail`.
pub fn tail(streams: &[Stream], dropped: &[Dropped], categorize_labels: bool) -> Vec<u8> {
    let mut text = Pieces::default();
    put(text.open(), "{\"streams\":[");
    write_streams(&mut text, streams, Direction::Forward, categorize_labels);
    let mut out = text.into_bytes();
    put(&mut out, "]");
    if !dropped.is_empty() {
        put(&mut out, ",\"dropped_entries\":[");
        comma_separated(&mut out, dropped, |out, d| {
            put(out, "{\"labels\":");
            write_labels(out, d.labels.iter());
            put(out, &format!(",\"timestamp\":\"{}\"}}", d.time_ns));
        });
        put(&mut out, "]");
    }
    if categorize_labels {
        put(&mut out, ",\"encodingFlags\":[\"categorize-labels\"]");
    }
    put(&mut out, "}");
    out
}

/// The body of `format_query`.
pub fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "{\"status\":\"success\",\"data\":");
    write_string(&mut out, text);
    put(&mut out, "}");
    out
}

/// The body of `labels` and of a label's `values`.
pub fn strings(values: &[String], warnings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "{\"status\":\"success\",\"data\":[");
    comma_separated(&mut out, values, |out, v| write_string(out, v));
    put(&mut out, "]");
    write_warnings(&mut out, warnings);
    put(&mut out, "}");
    out
}

/// The body of `series`.
pub fn series(sets: &[Labels], warnings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "{\"status\":\"success\",\"data\":[");
    comma_separated(&mut out, sets, |out, l| write_labels(out, l.iter()));
    put(&mut out, "]");
    write_warnings(&mut out, warnings);
    put(&mut out, "}");
    out
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn comma_separated<T>(out: &mut Vec<u8>, items: &[T], mut one: impl FnMut(&mut Vec<u8>, &T)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        one(out, item);
    }
}

/// The same where items are many or long.
fn in_pieces<T>(out: &mut Pieces, items: &[T], mut one: impl FnMut(&mut Pieces, &T)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.open().push(b',');
        }
        one(out, item);
    }
}

fn write_warnings(out: &mut Vec<u8>, warnings: &[String]) {
    if !warnings.is_empty() {
        put(out, ",\"warnings\":[");
        comma_separated(out, warnings, |out, w| write_string(out, w));
        put(out, "]");
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (i, b) in text.bytes().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..i]);
        if escape.is_empty() {
            put(out, &format!("\\u{b:04x}"));
        } else {
            out.extend_from_slice(escape);
        }
        plain = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

fn write_labels<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
}

/// `[seconds, "value"]`: seconds with up to three decimals.
fn write_point(out: &mut Vec<u8>, time_ns: i64, value: f64) {
    let ms = time_ns.div_euclid(1_000_000);
    out.push(b'[');
    put(out, &lang::number::format(ms as f64 / 1000.0));
    put(out, ",\"");
    put(out, &lang::number::format(value));
    put(out, "\"]");
}

/// The lines under a set of labels.
type Group<'a> = (&'a Labels, Vec<(&'a Stream, &'a Entry)>);

/// One object per set of labels that the client sees; its lines come in the order asked for.
fn write_streams(out: &mut Pieces, streams: &[Stream], direction: Direction, categorize: bool) {
    // The original compares them as it writes them.
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for s in streams {
        let shown = if categorize { &s.stream } else { &s.labels };
        groups.entry(shown.to_string()).or_insert((shown, vec![])).1.extend(s.entries.iter().map(|e| (s, e)));
    }
    let mut first = true;
    for (labels, mut entries) in groups.into_values() {
        match direction {
            Direction::Forward => entries.sort_by_key(|(_, e)| e.time_ns),
            Direction::Backward => entries.sort_by_key(|(_, e)| std::cmp::Reverse(e.time_ns)),
        }
        if !std::mem::take(&mut first) {
            out.open().push(b',');
        }
        put(out.open(), "{\"stream\":");
        write_labels(out.open(), labels.iter());
        put(out.open(), ",\"values\":[");
        in_pieces(out, &entries, |out, (s, e)| write_entry(out.open(), s, e, categorize));
        put(out.open(), "]}");
    }
}

fn write_entry(out: &mut Vec<u8>, stream: &Stream, entry: &Entry, categorize: bool) {
    put(out, &format!("[\"{}\",", entry.time_ns));
    write_string(out, &entry.line);
    if categorize {
        out.push(b',');
        let parts = [("structuredMetadata", &stream.structured_metadata), ("parsed", &stream.parsed)];
        out.push(b'{');
        let there: Vec<_> = parts.iter().filter(|(_, l)| !l.is_empty()).collect();
        comma_separated(out, &there, |out, (name, labels)| {
            put(out, &format!("\"{name}\":"));
            write_labels(out, labels.iter());
        });
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Points;

    fn text(result: &QueryResult, categorize: bool) -> String {
        String::from_utf8(query(result, &Options { categorize_labels: categorize, warnings: vec![] }).into_bytes()).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn the_health_check_of_grafana() {
        let got = text(&QueryResult::Vector(vec![(Labels::empty(), 4_000_000_000, 2.0)]), true);
        assert_eq!(got, r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4,"2"]}],"stats":{}}}"#);
    }

    #[test]
    fn lines_have_two_parts_or_three() {
        let entry = |time_ns, line: &str| Entry { time_ns, line: line.into() };
        let app = labels(&[("app", "a")]);
        let one = |k: &str, entries| Stream {
            labels: labels(&[("app", "a"), ("trace", k)]),
            stream: app.clone(),
            structured_metadata: labels(&[("trace", k)]),
            parsed: Labels::empty(),
            entries,
        };
        let r = QueryResult::Streams(
            vec![one("x", vec![entry(3, "c"), entry(1, "a\"\u{1}")]), one("y", vec![entry(2, "b")])],
            Direction::Backward,
        );
        assert_eq!(
            text(&r, false),
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"a","trace":"x"},"values":[["3","c"],["1","a\"\u0001"]]},{"stream":{"app":"a","trace":"y"},"values":[["2","b"]]}],"stats":{}}}"#
        );
        assert_eq!(
            text(&r, true),
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"a"},"values":[["3","c",{"structuredMetadata":{"trace":"x"}}],["2","b",{"structuredMetadata":{"trace":"y"}}],["1","a\"\u0001",{"structuredMetadata":{"trace":"x"}}]]}],"encodingFlags":["categorize-labels"],"stats":{}}}"#
        );
    }

    #[test]
    fn a_message_of_tail_says_what_was_dropped() {
        let app = labels(&[("app", "a")]);
        let stream = Stream {
            labels: app.clone(),
            stream: app.clone(),
            structured_metadata: Labels::empty(),
            parsed: Labels::empty(),
            entries: vec![Entry { time_ns: 3, line: "c".into() }],
        };
        let dropped = Dropped { labels: app, time_ns: 2 };
        assert_eq!(
            String::from_utf8(tail(std::slice::from_ref(&stream), &[dropped], false)).unwrap(),
            r#"{"streams":[{"stream":{"app":"a"},"values":[["3","c"]]}],"dropped_entries":[{"labels":{"app":"a"},"timestamp":"2"}]}"#
        );
        assert_eq!(
            String::from_utf8(tail(&[stream], &[], true)).unwrap(),
            r#"{"streams":[{"stream":{"app":"a"},"values":[["3","c",{}]]}],"encodingFlags":["categorize-labels"]}"#
        );
    }

    #[test]
    fn every_body_is_json() {
        let m = QueryResult::Matrix(vec![Points {
            labels: labels(&[("a", "é\u{7f}")]),
            points: vec![(1_500_000_000, f64::NAN), (2_000_000_000, 0.1)],
        }]);
        for body in [
            query(&m, &Options { categorize_labels: true, warnings: vec!["w\\".into()] }).into_bytes(),
            query(&QueryResult::Scalar(1, f64::INFINITY), &Options::default()).into_bytes(),
            strings(&["a\u{0}".into()], &[]),
            series(&[labels(&[("a", "b")])], &["w".into()]),
        ] {
            let v: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(v["status"], "success");
        }
        assert!(text(&m, false).contains(r#""values":[[1.5,"NaN"],[2,"0.1"]]"#));
    }
}
