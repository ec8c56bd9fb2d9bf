//! A page becomes samples.

use std::borrow::Cow;
use std::collections::HashSet;

use base::labels::METRIC_NAME;
use base::{Error, Kind, Labels, LabelsBuilder, Result};
use wire::exposition::{self, Exemplar, Line, protobuf};
use wire::remote_write;

use super::fetch::Fetched;
use super::job::{Job, Limits};
use super::protocol::{Protocol, came_as};
use crate::deliver::{Metadata, Sample, Value};
use crate::relabel;

/// Before a label of the page that is named like one of its target.
const EXPORTED: &str = "exported_";

/// Characters of all labels of an exemplar together, as OpenMetrics has it.
const EXEMPLAR_CHARS: usize = 128;

/// The labels that a page gives a series.
type Own<'a> = &'a [(Cow<'a, str>, Cow<'a, str>)];

/// Whose page is read, and when it was fetched.
struct Of<'a> {
    job: &'a Job,
    target: &'a Labels,
    time_ms: i64,
}

/// What a page came to.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its samples after relabelling; none if it cannot be taken.
    pub samples: Vec<Sample>,
    /// Its series, but those that have times of their own: such a page says itself when a series is over.
    pub series: HashSet<Labels>,
    /// Exemplars of its samples.
    pub exemplars: Vec<Exemplified>,
    /// Samples on the page.
    pub scraped: usize,
    /// Samples after relabelling.
    pub kept: usize,
    /// What it says of its metrics.
    pub said: Vec<Metadata>,
    /// Why it cannot be taken.
    pub error: Option<Error>,
}

/// An exemplar of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exemplified {
    /// The series that it is of.
    pub series: Labels,
    /// Its own labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// Its time, or that of its sample.
    pub time_ms: i64,
    /// Whether the time is its own.
    pub is_timed: bool,
}

impl Exemplified {
    /// Whether it is the same that another page had: one without a time of its own was there before, whenever that was.
    pub fn is_same(&self, other: &Exemplified) -> bool {
        let is_then = self.time_ms == other.time_ms || !(self.is_timed || other.is_timed);
        is_then && self.value == other.value && self.labels == other.labels
    }
}

/// Reads a page of a target with these labels, fetched at `time_ms`. One line that cannot be read, or one limit that is
/// passed, and nothing of it is taken: half a page would look like series that have ended.
pub(super) fn read(page: &Fetched, job: &Job, target: &Labels, time_ms: i64) -> Read {
    let mut read = Read::default();
    let of = Of { job, target, time_ms };
    let mut take = |line: Line<'_>| read.line(line, &of);
    let taken = match came_as(page.content_type.as_deref(), job.fallback) {
        Protocol::Protobuf => protobuf::read(&page.bytes, job.histograms, &mut take),
        Protocol::OpenMetrics1 | Protocol::OpenMetrics0 => {
            page.text().and_then(|t| exposition::parse_open_metrics(t).try_for_each(|line| take(line?)))
        }
        Protocol::Text1 | Protocol::Text0 => page.text().and_then(|t| exposition::parse(t).try_for_each(|line| take(line?))),
    };
    let is_over = read.kept > job.limits.samples;
    let taken = taken.and_then(|()| match is_over {
        true => Err(Error::new(Kind::TooLarge, format!("the page has more than {} samples", job.limits.samples))),
        false => Ok(()),
    });
    match taken {
        Ok(()) => read,
        Err(e) => Read { scraped: read.scraped, kept: read.kept, error: Some(e), ..Read::default() },
    }
}

/// A type as remote write numbers it.
fn kind_of(name: &str) -> u8 {
    match name {
        "counter" => 1,
        "gauge" => 2,
        "histogram" => 3,
        "gaugehistogram" => 4,
        "summary" => 5,
        "info" => 6,
        "stateset" => 7,
        _ => 0,
    }
}

impl Read {
    /// What is said of a family; what belongs together stands together.
    fn of(&mut self, name: &str) -> &mut Metadata {
        if self.said.last().is_none_or(|m| m.name != name) {
            self.said.push(Metadata { name: name.to_owned(), kind: 0, help: String::new(), unit: String::new() });
        }
        self.said.last_mut().expect("one was just added")
    }

    fn line(&mut self, line: Line<'_>, of: &Of<'_>) -> Result<()> {
        match line {
            Line::Type { name, kind } => self.of(&name).kind = kind_of(kind),
            Line::Help { name, text } => self.of(&name).help = text.into_owned(),
            Line::Unit { name, unit } => self.of(&name).unit = unit.to_owned(),
            Line::Sample(s) => {
                let own_ms = s.time_ms.filter(|_| of.job.honor_timestamps);
                self.take(&s.name, &s.labels, Value::Float(s.value), own_ms, s.exemplar.as_deref().map_or(&[], std::slice::from_ref), of)?;
            }
            Line::Native(n) => {
                let own_ms = n.time_ms.filter(|_| of.job.honor_timestamps);
                let h = remote_write::timed(n.message, own_ms.unwrap_or(of.time_ms));
                self.take(&n.name, &n.labels, Value::Histogram(h), own_ms, &n.exemplars, of)?;
            }
        }
        Ok(())
    }

    /// Takes a sample; `own_ms` is the time that the page gives it, if that is heeded.
    fn take(&mut self, name: &str, own: Own<'_>, value: Value, own_ms: Option<i64>, by: &[Exemplar], of: &Of<'_>) -> Result<()> {
        let &Of { job, target, time_ms } = of;
        self.scraped += 1;
        let labels = together(name, own, job.honor_labels, target)?;
        let Some(labels) = relabel::apply(&job.metric_relabel, &labels) else { return Ok(()) };
        if labels.get(METRIC_NAME).is_none() {
            return Err(Error::invalid(format!("a series has no name after relabelling: {labels}")));
        }
        within(&labels, &job.limits)?;
        if job.has_legacy_names && !has_legacy_names(&labels) {
            return Err(Error::invalid(format!("a name is not of the old form: {labels}")));
        }
        self.kept += 1;
        if self.kept > job.limits.samples {
            // The rest is counted, so that it is seen how far beyond the limit the page is.
            self.samples = vec![];
            self.series = HashSet::new();
            return Ok(());
        }
        self.exemplify(&labels, by, own_ms.unwrap_or(time_ms));
        match own_ms {
            Some(own) => {
                if job.ends_timestamped {
                    self.series.insert(labels.clone());
                }
                self.samples.push(Sample { labels, time_ms: own, value });
            }
            // The first of two equal series is right, as in Prometheus.
            None if self.series.insert(labels.clone()) => self.samples.push(Sample { labels, time_ms, value }),
            None => {}
        }
        Ok(())
    }
}

impl Read {
    /// Takes the exemplars of a sample. One that is broken or too long costs itself alone.
    fn exemplify(&mut self, series: &Labels, by: &[Exemplar], time_ms: i64) {
        for e in by {
            let chars: usize = e.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
            let labels = Labels::from_pairs(e.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            if let Ok(labels) = labels
                && chars <= EXEMPLAR_CHARS
            {
                let (time_ms, is_timed) = (e.time_ms.unwrap_or(time_ms), e.time_ms.is_some());
                self.exemplars.push(Exemplified { series: series.clone(), labels, value: e.value, time_ms, is_timed });
            }
        }
    }
}

/// The labels of a series of the page and those of its target.
fn together(metric: &str, own: Own<'_>, honor_labels: bool, target: &Labels) -> Result<Labels> {
    let mut b = LabelsBuilder::default();
    b.push(METRIC_NAME, metric);
    for (n, v) in target.iter() {
        if !honor_labels || !own.iter().any(|(o, _)| o == n) {
            b.push(n, v);
        }
    }
    for (n, v) in own {
        let name = if honor_labels || target.get(n).is_none() { Cow::Borrowed(n.as_ref()) } else { Cow::Owned(exported(n, own, target)) };
        b.push(&name, v);
    }
    b.finish()
}

/// `exported_NAME`, with as many `exported_` as it takes to be the only one.
fn exported(name: &str, own: Own<'_>, target: &Labels) -> String {
    let mut free = format!("{EXPORTED}{name}");
    while target.get(&free).is_some() || own.iter().any(|(o, _)| **o == *free) {
        free.insert_str(0, EXPORTED);
    }
    free
}

/// Whether all names are such as Prometheus had before version 3.
fn has_legacy_names(labels: &Labels) -> bool {
    let fits = |name: &str, more: &[u8]| {
        let of = |b: u8| b.is_ascii_alphabetic() || b == b'_' || more.contains(&b);
        let bytes = name.as_bytes();
        bytes.first().is_some_and(|b| of(*b)) && bytes.iter().all(|b| of(*b) || b.is_ascii_digit())
    };
    labels.iter().all(|(n, v)| fits(n, b"") && (n != METRIC_NAME || fits(v, b":")))
}

fn within(labels: &Labels, limits: &Limits) -> Result<()> {
    let passed = |what: &str, is: usize, most: usize| {
        (most > 0 && is > most).then(|| Error::new(Kind::TooLarge, format!("{what}: {is}, at most {most} are allowed, in {labels}")))
    };
    let mut wrong = passed("labels of a series", labels.len(), limits.labels);
    for (n, v) in labels.iter() {
        wrong = wrong.or_else(|| passed("bytes of a label's name", n.len(), limits.name_bytes));
        wrong = wrong.or_else(|| passed("bytes of a label's value", v.len(), limits.value_bytes));
    }
    wrong.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::proto::Writer;

    fn target() -> Labels {
        Labels::from_pairs([("job", "app"), ("instance", "h:1"), ("env", "prod")]).unwrap()
    }

    fn job(change: fn(&mut Job)) -> Job {
        let mut job = Job::default();
        change(&mut job);
        job
    }

    fn page(text: &str) -> Fetched {
        Fetched { bytes: text.into(), content_type: None }
    }

    fn rules(yaml: &str) -> Vec<crate::relabel::Rule> {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    type Case = (fn(&mut Job), &'static str, &'static [&'static str]);

    /// A change of the job, a page, and its samples.
    const CASES: &[Case] = &[
        (|_| {}, "a 1\n", &[r#"{__name__="a", env="prod", instance="h:1", job="app"} 1 @7"#]),
        (
            |_| {},
            "a{job=\"x\",exported_job=\"y\",z=\"\"} 1\n",
            &[r#"{__name__="a", env="prod", exported_exported_job="x", exported_job="y", instance="h:1", job="app"} 1 @7"#],
        ),
        (|j| j.honor_labels = true, "a{job=\"x\",instance=\"\"} 1\n", &[r#"{__name__="a", env="prod", job="x"} 1 @7"#]),
        (|_| {}, "a 1 5\n", &[r#"{__name__="a", env="prod", instance="h:1", job="app"} 1 @5"#]),
        (|j| j.honor_timestamps = false, "a 1 5\n", &[r#"{__name__="a", env="prod", instance="h:1", job="app"} 1 @7"#]),
        (|_| {}, "a 1\na 2\n", &[r#"{__name__="a", env="prod", instance="h:1", job="app"} 1 @7"#]),
        (
            |j| j.metric_relabel = rules("[{source_labels: [__name__], regex: 'go_.*', action: drop}, {regex: env, action: labeldrop}]"),
            "go_x 1\na 2\n",
            &[r#"{__name__="a", instance="h:1", job="app"} 2 @7"#],
        ),
    ];

    #[test]
    fn pages_become_samples() {
        for (change, text, wanted) in CASES {
            let read = read(&page(text), &job(*change), &target(), 7);
            let got: Vec<String> = read.samples.iter().map(|s| format!("{} {} @{}", s.labels, s.number(), s.time_ms)).collect();
            assert!(read.error.is_none(), "{text}: {:?}", read.error);
            assert_eq!(got, *wanted, "{text}");
        }
    }

    #[test]
    fn exemplars_of_samples() {
        let long = "x".repeat(EXEMPLAR_CHARS);
        let text = format!(
            "a_total 1 # {{t=\"1\"}} 0.5\na_total 1 5 # {{t=\"2\"}} 0.5 9\nb_total 1 5 # {{t=\"3\"}} 2\nc_total 1 # {{t=\"{long}\"}} 1\n\
             d_total 1 # {{t=\"1\",t=\"2\"}} 1\ne_total 1 # {{{}=\"x\"}} 1\n# EOF\n",
            &long[1..]
        );
        let page = Fetched { content_type: Some("application/openmetrics-text; version=1.0.0".into()), ..page(&text) };
        let read = read(&page, &Job::default(), &target(), 7);
        let got: Vec<String> = read.exemplars.iter().map(|e| format!("{} {} {} {}", e.labels, e.value, e.time_ms, e.is_timed)).collect();
        let longest = format!("{{{}=\"x\"}} 1 7 false", &long[1..]);
        assert_eq!(got, ["{t=\"1\"} 0.5 7 false", "{t=\"2\"} 0.5 9000 true", "{t=\"3\"} 2 5000 false", &longest]);
        assert_eq!(read.exemplars[0].series.get("instance"), Some("h:1"));
        assert_eq!((read.scraped, read.error.is_none()), (6, true));
    }

    #[test]
    fn old_names() {
        let legacy = job(|j| j.has_legacy_names = true);
        let is_taken = |text: &str| read(&page(text), &legacy, &target(), 7).error.is_none();
        assert!(is_taken("a:b_1{l_1=\"\u{e4}\"} 1\n"));
        assert!(!is_taken("{\"a.b\"} 1\n") && !is_taken("a{\"b.c\"=\"d\"} 1\n") && !is_taken("a{\"b:c\"=\"d\"} 1\n"));
    }

    #[test]
    fn series_with_times_are_watched_where_it_is_asked_for() {
        let watched = job(|j| j.ends_timestamped = true);
        assert_eq!(read(&page("a 1 5\nb 1\n"), &watched, &target(), 7).series.len(), 2);
    }

    #[test]
    fn figures_of_a_page() {
        let drop_b = job(|j| j.metric_relabel = rules("[{source_labels: [__name__], regex: b, action: drop}]"));
        let read = read(&page("a 1\nb 1\nc 1 5\n"), &drop_b, &target(), 7);
        assert_eq!((read.scraped, read.kept, read.series.len()), (3, 2, 1), "a time of its own is not watched");
    }

    /// A page in protobuf with one metric, a histogram that is both classic and native: two observations, of 1 and of 4.
    fn both_histograms(time_ms: Option<i64>) -> Fetched {
        let mut w = Writer::default();
        w.bytes(1, b"h");
        w.varint(3, 4);
        w.message(4, |w| {
            w.message(7, |w| {
                w.varint(1, 2);
                w.double(2, 5.0);
                w.message(3, |w| {
                    w.varint(1, 1);
                    w.double(2, 2.0);
                });
                w.message(12, |w| w.varint(2, 1));
                w.varint(13, 2);
                w.message(12, |w| {
                    w.varint(1, 2);
                    w.varint(2, 1);
                });
                w.varint(13, 0);
            });
            time_ms.inspect(|t| w.varint(6, *t as u64));
        });
        let mut bytes = vec![w.out.len() as u8];
        bytes.extend(w.out);
        let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        Fetched { bytes, content_type: Some(content_type.into()) }
    }

    #[test]
    fn a_page_in_protobuf() {
        let shown = |page: &Fetched, histograms| {
            let job = Job { histograms, ..Job::default() };
            let read = read(page, &job, &target(), 7);
            assert!(read.error.is_none() && read.said[0].kind == 3, "{read:?}");
            assert_eq!(read.series.len(), if page == &both_histograms(None) { read.kept } else { 0 });
            let show = |s: &Sample| {
                let le = s.labels.get("le").map_or(String::new(), |le| format!(" {le}"));
                let mut request = remote_write::RequestWriter::default();
                s.write(&mut request);
                let body = request.finish();
                let sent = remote_write::SeriesList::new(&body).next().unwrap().unwrap().items().next().unwrap().unwrap();
                let value = match sent {
                    remote_write::Item::Sample { time_ms, value } => format!("{value} @{time_ms}"),
                    remote_write::Item::Histogram { time_ms, message } => format!("native {} @{time_ms}", message.len()),
                    remote_write::Item::Exemplar { .. } => panic!("there are none"),
                };
                assert_eq!(s.labels.get("instance"), Some("h:1"));
                format!("{}{le} {value}", s.labels.get(METRIC_NAME).unwrap())
            };
            read.samples.iter().map(show).collect::<Vec<_>>()
        };
        let classic = ["h_count 2 @7", "h_sum 5 @7", "h_bucket 2.0 1 @7", "h_bucket +Inf 2 @7"];
        let native = ["h native 27 @7"];
        let page = both_histograms(None);
        assert_eq!(shown(&page, protobuf::Histograms { native: false, classic: true }), classic);
        assert_eq!(shown(&page, protobuf::Histograms { native: true, classic: false }), native);
        assert_eq!(shown(&page, protobuf::Histograms { native: true, classic: true }), [&native[..], &classic].concat());
        assert_eq!(shown(&both_histograms(Some(5)), protobuf::Histograms { native: true, classic: false }), ["h native 27 @5"]);
        let half = Fetched { bytes: page.bytes[..20].to_vec(), ..page };
        assert!(read(&half, &Job::default(), &target(), 7).error.is_some());
    }

    #[test]
    fn a_page_beyond_a_limit_is_not_taken() {
        type Change = fn(&mut Job);
        let cases: [(Change, &str); 5] = [
            (|j| j.limits.samples = 1, "more than 1 samples"),
            (|j| j.limits.labels = 4, "labels of a series: 5"),
            (|j| j.limits.name_bytes = 7, "label's name: 8"),
            (|j| j.limits.value_bytes = 4, "label's value: 5"),
            (|j| j.metric_relabel = rules("[{regex: __name__, action: labeldrop}]"), "no name"),
        ];
        for (change, said) in cases {
            let read = read(&page("a{l=\"value\"} 1\nb 2\n"), &job(change), &target(), 7);
            assert!(read.samples.is_empty() && read.series.is_empty());
            assert!(read.error.as_ref().is_some_and(|e| e.message().contains(said)), "{said}: {read:?}");
        }
        let over = read(
            &page("a 1\nb 2\nb 3\nc 4\n"),
            &job(|j| (j.limits.samples, j.metric_relabel) = (2, rules("[{regex: c, source_labels: [__name__], action: drop}]"))),
            &target(),
            7,
        );
        assert_eq!((over.scraped, over.kept, over.samples.len()), (4, 3, 0), "all are counted: {:?}", over.error);
        let read = read(&page("a 1\nb {\n"), &Job::default(), &target(), 7);
        assert!(read.samples.is_empty() && read.scraped == 1 && read.error.is_some());
    }
}
