//! A page becomes samples.

use std::borrow::Cow;
use std::collections::HashSet;

use base::labels::METRIC_NAME;
use base::{Error, Kind, Labels, LabelsBuilder, Result};
use wire::exposition::{self, Line};

use super::fetch::Fetched;
use super::job::{Job, Limits};
use crate::deliver::{Metadata, Sample};
use crate::relabel;

/// Before a label of the page that is named like one of its target.
const EXPORTED: &str = "exported_";

/// What a page came to.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its samples after relabelling; none if it cannot be taken.
    pub samples: Vec<Sample>,
    /// Its series, but those that have times of their own: such a page says itself when a series is over.
    pub series: HashSet<Labels>,
    /// Samples on the page.
    pub scraped: usize,
    /// Samples after relabelling.
    pub kept: usize,
    /// What it says of its metrics.
    pub said: Vec<Metadata>,
    /// Why it cannot be taken.
    pub error: Option<Error>,
}

/// Reads a page of a target with these labels, fetched at `time_ms`. One line that cannot be read, or one limit that is
/// passed, and nothing of it is taken: half a page would look like series that have ended.
pub(super) fn read(page: &Fetched, job: &Job, target: &Labels, time_ms: i64) -> Read {
    if page.is_open_metrics {
        read_lines(exposition::parse_open_metrics(&page.text), job, target, time_ms)
    } else {
        read_lines(exposition::parse(&page.text), job, target, time_ms)
    }
}

fn read_lines<'a>(lines: impl Iterator<Item = Result<Line<'a>>>, job: &Job, target: &Labels, time_ms: i64) -> Read {
    let mut read = Read::default();
    for line in lines {
        let taken = match line {
            Ok(Line::Sample(s)) => read.take(s, job, target, time_ms),
            Ok(Line::Type { name, kind }) => {
                read.of(&name).kind = kind_of(kind);
                Ok(())
            }
            Ok(Line::Help { name, text }) => {
                read.of(&name).help = text.into_owned();
                Ok(())
            }
            Ok(Line::Unit { name, unit }) => {
                read.of(&name).unit = unit.to_owned();
                Ok(())
            }
            Err(e) => Err(e),
        };
        if let Err(e) = taken {
            let (scraped, kept) = (read.scraped, read.kept);
            return Read { scraped, kept, error: Some(e), ..Read::default() };
        }
    }
    read
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

    fn take(&mut self, s: exposition::Sample<'_>, job: &Job, target: &Labels, time_ms: i64) -> Result<()> {
        self.scraped += 1;
        let labels = together(&s, job.honor_labels, target)?;
        let Some(labels) = relabel::apply(&job.metric_relabel, &labels) else { return Ok(()) };
        if labels.get(METRIC_NAME).is_none() {
            return Err(Error::invalid(format!("a series has no name after relabelling: {labels}")));
        }
        within(&labels, &job.limits)?;
        self.kept += 1;
        if self.kept > job.limits.samples {
            return Err(Error::new(Kind::TooLarge, format!("the page has more than {} samples", job.limits.samples)));
        }
        match s.time_ms.filter(|_| job.honor_timestamps) {
            Some(own) => self.samples.push(Sample { labels, time_ms: own, value: s.value }),
            // The first of two equal series is right, as in Prometheus.
            None if self.series.insert(labels.clone()) => self.samples.push(Sample { labels, time_ms, value: s.value }),
            None => {}
        }
        Ok(())
    }
}

/// The labels of a series of the page and those of its target.
fn together(s: &exposition::Sample<'_>, honor_labels: bool, target: &Labels) -> Result<Labels> {
    let mut b = LabelsBuilder::default();
    b.push(METRIC_NAME, &s.name);
    for (n, v) in target.iter() {
        if !honor_labels || !s.labels.iter().any(|(own, _)| own == n) {
            b.push(n, v);
        }
    }
    for (n, v) in &s.labels {
        let name = if honor_labels || target.get(n).is_none() { Cow::Borrowed(n.as_ref()) } else { Cow::Owned(exported(n, s, target)) };
        b.push(&name, v);
    }
    b.finish()
}

/// `exported_NAME`, with as many `exported_` as it takes to be the only one.
fn exported(name: &str, s: &exposition::Sample<'_>, target: &Labels) -> String {
    let mut free = format!("{EXPORTED}{name}");
    while target.get(&free).is_some() || s.labels.iter().any(|(own, _)| **own == *free) {
        free.insert_str(0, EXPORTED);
    }
    free
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

    fn target() -> Labels {
        Labels::from_pairs([("job", "app"), ("instance", "h:1"), ("env", "prod")]).unwrap()
    }

    fn job(change: fn(&mut Job)) -> Job {
        let mut job = Job::default();
        change(&mut job);
        job
    }

    fn page(text: &str) -> Fetched {
        Fetched { text: text.to_owned(), is_open_metrics: false }
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
            let got: Vec<String> = read.samples.iter().map(|s| format!("{} {} @{}", s.labels, s.value, s.time_ms)).collect();
            assert!(read.error.is_none(), "{text}: {:?}", read.error);
            assert_eq!(got, *wanted, "{text}");
        }
    }

    #[test]
    fn figures_of_a_page() {
        let drop_b = job(|j| j.metric_relabel = rules("[{source_labels: [__name__], regex: b, action: drop}]"));
        let read = read(&page("a 1\nb 1\nc 1 5\n"), &drop_b, &target(), 7);
        assert_eq!((read.scraped, read.kept, read.series.len()), (3, 2, 1), "a time of its own is not watched");
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
        let read = read(&page("a 1\nb {\n"), &Job::default(), &target(), 7);
        assert!(read.samples.is_empty() && read.scraped == 1 && read.error.is_some());
    }
}
