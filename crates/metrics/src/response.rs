//! Answers in the JSON of Prometheus' HTTP API, in pieces. Times are seconds with up to three decimals, sample values are
//! strings, so that NaN and the infinities have a form.

use std::time::Duration;

use base::{Kind, Labels, Pieces};

use crate::eval::value::Sample;
use crate::eval::{QueryResult, QueryValue, Stats};
use crate::exemplar::Exemplars;
use crate::histogram::{Bucket, Histogram};

/// The `errorType` of an error.
pub fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid | Kind::TooLarge => "bad_data",
        Kind::Unprocessable | Kind::LimitExceeded => "execution",
        Kind::NotFound => "not_found",
        Kind::Timeout => "timeout",
        Kind::Canceled => "canceled",
        Kind::Unavailable => "unavailable",
        Kind::Unauthenticated => "unauthorized",
        Kind::Forbidden => "forbidden",
        Kind::Corrupt | Kind::Internal => "internal",
    }
}

/// An error's body.
pub fn error(kind: Kind, message: &str) -> Vec<u8> {
    let mut out = b"{\"status\":\"error\",\"errorType\":".to_vec();
    text(error_type(kind), &mut out);
    out.extend(b",\"error\":");
    text(message, &mut out);
    out.push(b'}');
    out
}

/// The answer to a query; at most `limit` series, 0 for all. With what it took, if that is asked for: the time is that of the evaluation.
/// Series go from memory as they are written.
pub fn query(mut r: QueryResult, limit: usize, took: Option<Duration>) -> Pieces {
    let count = match &r.value {
        QueryValue::Vector(v) => v.len(),
        QueryValue::Matrix(m) => m.len(),
        QueryValue::Scalar(..) | QueryValue::String(..) => 0,
    };
    let shown = if limit > 0 { limit.min(count) } else { count };
    if shown < count {
        r.warnings.push(crate::metadata::TRUNCATED.to_string());
    }
    envelope(&r.warnings, &r.infos, |out| {
        query_data(r.value, shown, out);
        if let Some(took) = took {
            stats(&r.stats, took, out.open());
        }
        out.open().push(b'}');
    })
}

/// A list of texts: label names or values.
pub fn texts(items: &[String], warnings: &[String]) -> Pieces {
    envelope(warnings, &[], |out| list(items, out, |t, out| text(t, out.open())))
}

/// A list of series.
pub fn series(items: &[Labels], warnings: &[String]) -> Pieces {
    envelope(warnings, &[], |out| list(items, out, |l, out| labels(l, out.open())))
}

/// Exemplars by series.
pub fn exemplars(items: &[Exemplars], warnings: &[String]) -> Pieces {
    envelope(warnings, &[], |out| {
        list(items, out, |s, out| {
            put("{\"seriesLabels\":", out);
            labels(&s.series, out.open());
            put(",\"exemplars\":", out);
            list(&s.exemplars, out, |e, out| {
                put("{\"labels\":", out);
                labels(&e.labels, out.open());
                put(",\"value\":", out);
                value(e.value, out.open());
                put(",\"timestamp\":", out);
                time(e.time_ms, out.open());
                put("}", out);
            });
            put("}", out);
        });
    })
}

/// `{"status":"success","data":...}` around what `data` writes.
pub fn envelope(warnings: &[String], infos: &[String], data: impl FnOnce(&mut Pieces)) -> Pieces {
    let mut out = Pieces::default();
    put("{\"status\":\"success\",\"data\":", &mut out);
    data(&mut out);
    for (name, notes) in [("warnings", warnings), ("infos", infos)] {
        if !notes.is_empty() {
            put(&format!(",\"{name}\":"), &mut out);
            list(notes, &mut out, |t, out| text(t, out.open()));
        }
    }
    put("}", &mut out);
    out
}

fn query_data(v: QueryValue, shown: usize, out: &mut Pieces) {
    let kind = match &v {
        QueryValue::Scalar(..) => "scalar",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
        QueryValue::String(..) => "string",
    };
    put(&format!("{{\"resultType\":\"{kind}\",\"result\":"), out);
    match v {
        QueryValue::Scalar(t, v) => pair(t, out, |out| value(v, out.open())),
        QueryValue::String(t, s) => pair(t, out, |out| text(&s, out.open())),
        QueryValue::Vector(all) => list(all.into_iter().take(shown), out, |s, out| {
            put("{\"metric\":", out);
            labels(&s.labels, out.open());
            match &s.sample {
                Sample::Float(v) => {
                    put(",\"value\":", out);
                    pair(s.time_ms, out, |out| value(*v, out.open()));
                }
                Sample::Histogram(h) => {
                    put(",\"histogram\":", out);
                    pair(s.time_ms, out, |out| histogram(h, out));
                }
            }
            put("}", out);
        }),
        QueryValue::Matrix(all) => list(all.into_iter().take(shown), out, |s, out| {
            put("{\"metric\":", out);
            labels(&s.labels, out.open());
            points(&s.points, out);
            put("}", out);
        }),
    }
}

fn stats(s: &Stats, took: Duration, out: &mut Vec<u8>) {
    let (took, Stats { samples, peak }) = (took.as_secs_f64(), s);
    let timings = format!("{{\"evalTotalTime\":{took},\"execTotalTime\":{took}}}");
    let samples = format!("{{\"totalQueryableSamples\":{samples},\"peakSamples\":{peak}}}");
    out.extend(format!(",\"stats\":{{\"timings\":{timings},\"samples\":{samples}}}").bytes());
}

/// Floats and histograms of a series in two lists; an empty one is left out.
fn points(all: &[(i64, Sample)], out: &mut Pieces) {
    for (name, floats) in [("values", true), ("histograms", false)] {
        let mut of_kind = all.iter().filter(|(_, s)| matches!(s, Sample::Float(_)) == floats).peekable();
        if of_kind.peek().is_some() {
            put(&format!(",\"{name}\":"), out);
            list(of_kind, out, |(t, s), out| {
                pair(*t, out, |out| match s {
                    Sample::Float(v) => value(*v, out.open()),
                    Sample::Histogram(h) => histogram(h, out),
                });
            });
        }
    }
}

fn put(t: &str, out: &mut Pieces) {
    out.open().extend_from_slice(t.as_bytes());
}

fn list<T>(items: impl IntoIterator<Item = T>, out: &mut Pieces, mut one: impl FnMut(T, &mut Pieces)) {
    put("[", out);
    for (i, x) in items.into_iter().enumerate() {
        if i > 0 {
            put(",", out);
        }
        one(x, out);
    }
    put("]", out);
}

/// `[time, what]`.
fn pair(t: i64, out: &mut Pieces, what: impl FnOnce(&mut Pieces)) {
    put("[", out);
    time(t, out.open());
    put(",", out);
    what(out);
    put("]", out);
}

/// Milliseconds as seconds.
fn time(t: i64, out: &mut Vec<u8>) {
    if t < 0 {
        out.push(b'-');
    }
    let t = t.unsigned_abs();
    decimal(t / 1000, out);
    let part = t % 1000;
    if part > 0 {
        out.extend([b'.', b'0' + (part / 100) as u8, b'0' + (part / 10 % 10) as u8, b'0' + (part % 10) as u8]);
    }
}

fn decimal(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend(&digits[at..]);
}

/// A number as a string: plain digits, with an exponent where those would be very long.
fn value(v: f64, out: &mut Vec<u8>) {
    out.push(b'"');
    // Most samples are small whole numbers.
    if v.fract() == 0.0 && v.abs() < 1e15 && (v != 0.0 || v.is_sign_positive()) {
        if v < 0.0 {
            out.push(b'-');
        }
        decimal(v.abs() as u64, out);
    } else if v.is_finite() && v != 0.0 && (v.abs() < 1e-6 || v.abs() >= 1e21) {
        // Go's form has a sign and at least two digits in the exponent.
        let t = format!("{v:e}");
        let (mantissa, exponent) = t.split_once('e').unwrap_or((&t, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
        out.extend(format!("{mantissa}e{sign}{digits:0>2}").bytes());
    } else {
        out.extend(lang::number::format(v).bytes());
    }
    out.push(b'"');
}

fn histogram(h: &Histogram, out: &mut Pieces) {
    put("{\"count\":", out);
    value(h.count, out.open());
    put(",\"sum\":", out);
    value(h.sum, out.open());
    let filled: Vec<Bucket> = h.all_buckets().into_iter().filter(|b| b.count != 0.0).collect();
    if !filled.is_empty() {
        put(",\"buckets\":", out);
        list(&filled, out, |b, out| {
            // 0: open left, 1: open right, 2: open on both sides, 3: closed on both.
            let rule = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => b'0',
                (true, false) => b'1',
                (false, false) => b'2',
                (true, true) => b'3',
            };
            let out = out.open();
            out.extend([b'[', rule, b',']);
            value(b.lower, out);
            out.push(b',');
            value(b.upper, out);
            out.push(b',');
            value(b.count, out);
            out.push(b']');
        });
    }
    put("}", out);
}

fn labels(l: &Labels, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (n, v)) in l.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        text(n, out);
        out.push(b':');
        text(v, out);
    }
    out.push(b'}');
}

/// A JSON string.
pub fn text(t: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in t.bytes() {
        match c {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..=0x1f => out.extend(format!("\\u{c:04x}").bytes()),
            c => out.push(c),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::eval::{MatrixSeries, VectorSample};

    fn shown(v: QueryValue) -> String {
        let r = QueryResult { value: v, warnings: vec![], infos: vec!["i\"".into()], stats: Stats::default() };
        String::from_utf8(query(r, 1, None).into_bytes()).unwrap()
    }

    #[test]
    fn values_look_as_prometheus_writes_them() {
        for (v, want) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e-7, "1e-07"),
            (1.5e300, "1.5e+300"),
            (1e20, "100000000000000000000"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
            (123456789.25, "123456789.25"),
        ] {
            let mut out = vec![];
            value(v, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{want}\""));
        }
    }

    #[test]
    fn answers_have_the_envelope() {
        assert_eq!(
            shown(QueryValue::Scalar(1_500, 2.0)),
            r#"{"status":"success","data":{"resultType":"scalar","result":[1.500,"2"]},"infos":["i\""]}"#
        );
        let l = Labels::from_pairs([("__name__", "up"), ("a", "x\n")]).unwrap();
        let s = VectorSample { labels: l.clone(), time_ms: -1, sample: Sample::Float(f64::INFINITY) };
        assert_eq!(
            shown(QueryValue::Vector(vec![s.clone(), s])),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","a":"x\n"},"value":[-0.001,"+Inf"]}]},"warnings":["results truncated due to limit"],"infos":["i\""]}"#
        );
        let h = Histogram { count: 3.0, sum: 2.5, zero_count: 1.0, zero_threshold: 0.5, positive: vec![(1, 2.0)], ..Histogram::default() };
        let m = MatrixSeries { labels: Labels::empty(), points: vec![(0, Sample::Float(1.0)), (1000, Sample::Histogram(Arc::new(h)))] };
        assert_eq!(
            shown(QueryValue::Matrix(vec![m])),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]],"histograms":[[1,{"count":"3","sum":"2.5","buckets":[[3,"-0.5","0.5","1"],[0,"1","2","2"]]}]]}]},"infos":["i\""]}"#
        );
    }

    #[test]
    fn every_answer_is_json() {
        let odd = "\u{1}\"\\\t é";
        for body in [
            error(Kind::Invalid, odd).into(),
            texts(&[odd.into()], &[odd.into()]),
            series(&[Labels::from_pairs([("a", odd)]).unwrap()], &[]),
        ] {
            let v: serde_json::Value = serde_json::from_slice(&body.into_bytes()).unwrap();
            assert!(v["status"].is_string() && v.to_string().contains("\\u0001"));
        }
    }
}
