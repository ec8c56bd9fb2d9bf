//! What a scrape answers: Prometheus' text exposition format (0.0.4) and OpenMetrics 1.0 here, the protobuf form in [`protobuf`].
//!
//! Quoted names (`{"my.metric", zone="a"} 1`) are understood; of the text formats OpenMetrics alone has exemplars.

pub mod protobuf;

use std::borrow::Cow;

use base::{Error, Result};

use crate::encoding::shorten;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// `# TYPE name counter`
    Type {
        /// The family.
        name: Cow<'a, str>,
        /// `counter`, `gauge`, `histogram`, `summary`, `untyped`, ...
        kind: &'a str,
    },
    /// `# HELP name text`
    Help {
        /// The family.
        name: Cow<'a, str>,
        /// For people, unescaped.
        text: Cow<'a, str>,
    },
    /// `# UNIT name seconds`, of OpenMetrics.
    Unit {
        /// The family.
        name: Cow<'a, str>,
        /// The unit.
        unit: &'a str,
    },
    /// `name{labels} value timestamp`
    Sample(Sample<'a>),
    /// A native histogram, which no text has.
    Native(Native<'a>),
}

/// A native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Native<'a> {
    /// The metric.
    pub name: Cow<'a, str>,
    /// Labels in the order written.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// A `Histogram` message of remote write, without a time.
    pub message: Vec<u8>,
    /// Milliseconds since 1970, if the target gave it.
    pub time_ms: Option<i64>,
    /// Its exemplars; those without a time are left out, as in Prometheus.
    pub exemplars: Vec<Exemplar>,
}

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels in the order written.
    pub labels: Vec<(String, String)>,
    /// Value.
    pub value: f64,
    /// Milliseconds since 1970, if the target gave it.
    pub time_ms: Option<i64>,
}

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric.
    pub name: Cow<'a, str>,
    /// Labels in the order written.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Value.
    pub value: f64,
    /// Milliseconds since 1970, if the target gave it.
    pub time_ms: Option<i64>,
    /// Its exemplar, if it has one that can be read.
    pub exemplar: Option<Box<Exemplar>>,
}

/// The lines that say something. A line that cannot be read is an error, and the next is read all the same.
pub fn parse(text: &str) -> impl Iterator<Item = Result<Line<'_>>> {
    lines(text, false)
}

/// The same of a page in OpenMetrics: times are in seconds, and a page without its last line is half a page, which is an error.
pub fn parse_open_metrics(text: &str) -> impl Iterator<Item = Result<Line<'_>>> {
    let before = text.strip_suffix('\n').unwrap_or(text).strip_suffix("# EOF").filter(|t| t.is_empty() || t.ends_with('\n'));
    let wrong = before.is_none().then(|| Err(Error::invalid("the page does not end with \"# EOF\"")));
    lines(before.unwrap_or(text), true).chain(wrong)
}

fn lines(text: &str, is_open: bool) -> impl Iterator<Item = Result<Line<'_>>> {
    text.lines().filter_map(move |line| {
        let mut c = Cursor { line, pos: 0, is_open };
        c.line().transpose()
    })
}

struct Cursor<'a> {
    line: &'a str,
    pos: usize,
    /// OpenMetrics.
    is_open: bool,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.pos..]
    }
    fn skip_space(&mut self) {
        self.pos += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r']).len();
    }
    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        self.pos += if found { c.len_utf8() } else { 0 };
        found
    }
    fn error(&self, wanted: &str) -> Error {
        Error::invalid(format!("expected {wanted} at byte {} of line {:?}", self.pos, shorten(self.line)))
    }
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find([' ', '\t', '\r']).unwrap_or(rest.len());
        self.pos += end;
        &rest[..end]
    }

    fn line(&mut self) -> Result<Option<Line<'a>>> {
        self.skip_space();
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.eat('#') {
            return self.comment();
        }
        self.sample().map(|s| Some(Line::Sample(s)))
    }

    fn comment(&mut self) -> Result<Option<Line<'a>>> {
        let what = self.word();
        if what != "TYPE" && what != "HELP" && !(what == "UNIT" && self.is_open) {
            return Ok(None);
        }
        self.skip_space();
        let name = if self.rest().starts_with('"') { self.quoted()? } else { Cow::Borrowed(self.name(true)?) };
        self.skip_space();
        if what == "TYPE" {
            let kind = self.word();
            return if kind.is_empty() { Err(self.error("a type")) } else { Ok(Some(Line::Type { name, kind })) };
        }
        if what == "UNIT" {
            return Ok(Some(Line::Unit { name, unit: self.word() }));
        }
        Ok(Some(Line::Help { name, text: unescape(self.rest().trim_end_matches('\r')) }))
    }

    fn sample(&mut self) -> Result<Sample<'a>> {
        let mut name = None;
        if !self.rest().starts_with('{') {
            name = Some(Cow::Borrowed(self.name(true)?));
        }
        self.skip_space();
        let mut labels = vec![];
        if self.eat('{') {
            self.labels(&mut name, &mut labels)?;
        }
        let name = name.ok_or_else(|| self.error("a metric name"))?;
        let value = self.word();
        let value = number(value).ok_or_else(|| self.error("a number before this place"))?;
        let mut time_ms = None;
        self.skip_space();
        if !self.rest().is_empty() && !self.rest().starts_with('#') {
            time_ms = Some(self::time_ms(self.word(), self.is_open).ok_or_else(|| self.error("a timestamp before this place"))?);
            self.skip_space();
        }
        // One that is broken costs itself alone.
        let has_exemplar = self.is_open && self.eat('#');
        let exemplar = if has_exemplar { self.exemplar().ok().map(Box::new) } else { None };
        Ok(Sample { name, labels, value, time_ms, exemplar })
    }

    /// `{labels} value timestamp` behind a sample.
    fn exemplar(&mut self) -> Result<Exemplar> {
        self.skip_space();
        if !self.eat('{') {
            return Err(self.error("'{'"));
        }
        let mut labels = vec![];
        // There is no name that could stand among them.
        self.labels(&mut Some(Cow::Borrowed("")), &mut labels)?;
        let value = number(self.word()).ok_or_else(|| self.error("a number before this place"))?;
        let time_ms = match self.word() {
            "" => None,
            t => Some(time_ms(t, true).ok_or_else(|| self.error("a timestamp before this place"))?),
        };
        self.skip_space();
        if !self.rest().is_empty() {
            return Err(self.error("the end"));
        }
        Ok(Exemplar { labels: labels.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(), value, time_ms })
    }

    fn labels(&mut self, metric: &mut Option<Cow<'a, str>>, out: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<()> {
        loop {
            self.skip_space();
            if self.eat('}') {
                return Ok(());
            }
            let quoted = self.rest().starts_with('"');
            let name = if quoted { self.quoted()? } else { Cow::Borrowed(self.name(false)?) };
            self.skip_space();
            if self.eat('=') {
                self.skip_space();
                out.push((name, self.quoted()?));
            } else if quoted && metric.is_none() {
                *metric = Some(name);
            } else {
                return Err(self.error("'='"));
            }
            self.skip_space();
            if !self.eat(',') && !self.rest().starts_with('}') {
                return Err(self.error("',' or '}'"));
            }
        }
    }

    fn name(&mut self, colons: bool) -> Result<&'a str> {
        let rest = self.rest();
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (colons && b == b':');
        let end = rest.bytes().position(|b| !ok(b)).unwrap_or(rest.len());
        if end == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return Err(self.error("a name"));
        }
        self.pos += end;
        Ok(&rest[..end])
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        if !self.eat('"') {
            return Err(self.error("a quoted text"));
        }
        let rest = self.rest();
        let mut escaped = false;
        for (i, b) in rest.bytes().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.pos += i + 1;
                    return Ok(unescape(&rest[..i]));
                }
                _ => {}
            }
        }
        Err(self.error("a closing quote"))
    }
}

/// Replaces `\\`, `\"` and `\n`; another backslash stands for itself.
fn unescape(s: &str) -> Cow<'_, str> {
    if !s.contains('\\') {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

/// A number as Go writes it: `NaN`, `+Inf`, `-Inf`, decimal, exponent.
fn number(s: &str) -> Option<f64> {
    match s.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        // The parser takes "infinity" too, and NaN with a sign; neither is harmful.
        "" => None,
        _ => s.parse().ok(),
    }
}

/// Milliseconds, written so or as seconds; what is less than one is cut off, as in Prometheus.
fn time_ms(s: &str, is_seconds: bool) -> Option<i64> {
    if is_seconds { s.parse().ok().filter(|t: &f64| t.is_finite()).map(|t| (t * 1000.0) as i64) } else { s.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<Line<'_>> {
        parse(text).collect::<Result<_>>().unwrap()
    }

    #[test]
    fn a_scrape_is_read() {
        let text = "# HELP http_requests_total The \\\\ total.\\nYes.\n# TYPE http_requests_total counter\n\n# a remark\n\
            http_requests_total{method=\"post\",path=\"C:\\\\x\\\"y\\n\"} 1027 1395066363000\r\nup 1\n  go_gc {a=\"b\",} NaN\nx -Inf\n\
            {\"my.metric\", \"la.bel\"=\"v\"} 1.5e3\nwith_exemplar_bucket{le=\"1\"} 5 # {trace_id=\"a\"} 0.5\n# EOF\n";
        let got = lines(text);
        assert_eq!(got[0], Line::Help { name: "http_requests_total".into(), text: "The \\ total.\nYes.".into() });
        assert_eq!(got[1], Line::Type { name: "http_requests_total".into(), kind: "counter" });
        let labels = vec![("method".into(), "post".into()), ("path".into(), "C:\\x\"y\n".into())];
        assert_eq!(
            got[2],
            Line::Sample(Sample {
                name: "http_requests_total".into(),
                labels,
                value: 1027.0,
                time_ms: Some(1_395_066_363_000),
                exemplar: None
            })
        );
        assert_eq!(got[3], Line::Sample(Sample { name: "up".into(), labels: vec![], value: 1.0, time_ms: None, exemplar: None }));
        assert!(matches!(&got[4], Line::Sample(s) if s.value.is_nan() && s.labels.len() == 1));
        assert!(matches!(&got[5], Line::Sample(s) if s.value == f64::NEG_INFINITY));
        assert_eq!(
            got[6],
            Line::Sample(Sample {
                name: "my.metric".into(),
                labels: vec![("la.bel".into(), "v".into())],
                value: 1500.0,
                time_ms: None,
                exemplar: None
            })
        );
        assert!(matches!(&got[7], Line::Sample(s) if s.value == 5.0 && s.time_ms.is_none()));
        assert_eq!(got.len(), 8);
    }

    #[test]
    fn a_page_in_open_metrics() {
        let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{x=\"y\"} 1.0 1520879607.789 # {id=\"z\"} 0.5 1520879607\n\
            b 2 3\n# EOF\n";
        let got: Vec<Line<'_>> = parse_open_metrics(text).collect::<Result<_>>().unwrap();
        assert_eq!(got[1], Line::Unit { name: "a_seconds".into(), unit: "seconds" });
        let times: Vec<Option<i64>> = got.iter().filter_map(|l| if let Line::Sample(s) = l { Some(s.time_ms) } else { None }).collect();
        assert_eq!(times, [Some(1_520_879_607_789), Some(3000)]);
        for (page, ok) in
            [("# EOF", true), ("a 1\n# EOF\n", true), ("a 1\n", false), ("", false), ("a 1 # EOF\n", false), ("a 1\n# EOFx\n", false)]
        {
            assert_eq!(parse_open_metrics(page).all(|l| l.is_ok()), ok, "{page:?}");
        }
    }

    #[test]
    fn exemplars_of_a_page() {
        let of = |line: &str| {
            let page = format!("{line}\n# EOF\n");
            let got: Vec<Line<'_>> = parse_open_metrics(&page).collect::<Result<_>>().unwrap_or_else(|e| panic!("{line}: {e}"));
            let Line::Sample(s) = &got[0] else { panic!("{got:?}") };
            assert_eq!(s.value, 5.0, "{line}");
            s.exemplar.as_ref().map(|e| {
                let labels: Vec<String> = e.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{} {} {:?}", labels.join(","), e.value, e.time_ms)
            })
        };
        for (line, wanted) in [
            ("a_total 5", None),
            ("a_total 5 7.5", None),
            ("a_total 5 # {trace_id=\"T1\"} 0.5", Some("trace_id=T1 0.5 None")),
            ("a_bucket{le=\"1\"} 5 7 # {a=\"#\\\"}\",\"b.c\"=\"d\"} 1 1520879607.789", Some("a=#\"},b.c=d 1 Some(1520879607789)")),
            ("a_total 5 # {} 1", Some(" 1 None")),
            ("a_total 5 # {a=\"b\"", None),
            ("a_total 5 # {\"b\"} 1", None),
            ("a_total 5 # {a=\"b\"} x", None),
            ("a_total 5 # {a=\"b\"} 1 x", None),
            ("a_total 5 # {a=\"b\"} 1 2 3", None),
        ] {
            assert_eq!(of(line).as_deref(), wanted, "{line}");
        }
        let old: Vec<Line<'_>> = parse("a 5 # {a=\"b\"} 1\n").collect::<Result<_>>().unwrap();
        assert!(matches!(&old[0], Line::Sample(s) if s.exemplar.is_none()), "the older text has none");
    }

    #[test]
    fn one_bad_line_does_not_hide_the_next() {
        for bad in [
            "x",
            "x y",
            "1x 1",
            "x{a=1} 1",
            "x{a=\"b} 1",
            "x{a=\"b\" c=\"d\"} 1",
            "{a=\"b\"} 1",
            "x{\"y\"} 1",
            "x 1 z",
            "x 1 1.5",
            "# TYPE x",
            "x +",
        ] {
            let text = format!("{bad}\nup 1\n");
            let got: Vec<_> = parse(&text).collect();
            assert!(got.len() == 2 && got[0].is_err() && got[1].is_ok(), "{bad}: {got:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in r#"[#{}a=",\\ 1.:\nTYPE한]{0,60}"#) {
            let _ = parse(&text).count() + parse_open_metrics(&text).count();
        }
    }
}
