//! Figures about Watchfire itself, in the Prometheus text format.
//!
//! A figure is described once, as a [`Desc`] constant in the `stats.rs` of the crate it belongs to, with its unit and
//! help; the reference page of metrics is made from these constants. Whoever owns the number writes it into an
//! [`Exposition`] when asked, so there are no global registries. [`CounterVec`] and [`HistogramVec`] hold numbers that
//! are split by labels.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

/// Label sets of one figure; what goes beyond is counted under `other`, because a metric must not grow with its input.
pub const LABEL_SETS: usize = 2_000;

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution, in buckets.
    Histogram,
}

impl StatKind {
    /// The word of the text format.
    pub const fn word(self) -> &'static str {
        match self {
            StatKind::Counter => "counter",
            StatKind::Gauge => "gauge",
            StatKind::Histogram => "histogram",
        }
    }
}

/// A figure: name, meaning, unit, labels.
#[derive(Clone, Copy, Debug)]
pub struct Desc {
    /// Full name, with the unit as the format wants it: `watchfire_wal_sync_seconds`.
    pub name: &'static str,
    /// What it counts or measures, one sentence.
    pub help: &'static str,
    /// `seconds`, `bytes`, `rows`, `requests` ...; `1` for a plain yes or no.
    pub unit: &'static str,
    /// What it is.
    pub kind: StatKind,
    /// Label names.
    pub labels: &'static [&'static str],
}

impl Desc {
    /// A counter.
    pub const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Desc { name, help, unit, kind: StatKind::Counter, labels: &[] }
    }
    /// A gauge.
    pub const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Desc { name, help, unit, kind: StatKind::Gauge, labels: &[] }
    }
    /// A histogram.
    pub const fn histogram(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Desc { name, help, unit, kind: StatKind::Histogram, labels: &[] }
    }
    /// Split by these labels.
    pub const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }
}

/// The text of a scrape, as it is put together. All values of one figure must be written one after another.
#[derive(Default)]
pub struct Exposition {
    text: String,
    last: &'static str,
}

impl Exposition {
    /// Writes a value of a counter or gauge; `labels` are the values of `desc.labels`.
    pub fn value(&mut self, desc: &Desc, labels: &[&str], value: f64) {
        self.head(desc);
        self.sample(desc.name, "", desc.labels, labels, None, value);
    }

    /// Writes a histogram: `counts[i]` values lay at or below `bounds[i]` and above the one before; the last of
    /// `counts` lay above all bounds.
    pub fn histogram(&mut self, desc: &Desc, labels: &[&str], bounds: &[f64], counts: &[u64], sum: f64) {
        self.head(desc);
        let mut total = 0;
        for (i, n) in counts.iter().enumerate() {
            total += n;
            let le = bounds.get(i).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.sample(desc.name, "_bucket", desc.labels, labels, Some(&le), total as f64);
        }
        self.sample(desc.name, "_sum", desc.labels, labels, None, sum);
        self.sample(desc.name, "_count", desc.labels, labels, None, total as f64);
    }

    /// Writes a value of a figure that is described on the spot; `help` names the unit.
    pub fn plain(&mut self, name: &'static str, kind: StatKind, help: &str, labels: &[(&str, &str)], value: f64) {
        self.head_of(name, kind, help);
        let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().copied().unzip();
        self.sample(name, "", &names, &values, None, value);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, desc: &Desc) {
        if self.last != desc.name {
            self.head_of(desc.name, desc.kind, &format!("{} Unit: {}.", desc.help, desc.unit));
        }
    }

    fn head_of(&mut self, name: &'static str, kind: StatKind, help: &str) {
        if self.last == name {
            return;
        }
        self.last = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.word());
    }

    fn sample(&mut self, name: &str, suffix: &str, names: &[&str], values: &[&str], le: Option<&str>, value: f64) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let pairs = names.iter().zip(values).map(|(n, v)| (*n, *v)).chain(le.map(|v| ("le", v)));
        let mut open = '{';
        for (n, v) in pairs {
            let _ = write!(self.text, "{open}{n}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = match value {
            v if v == f64::INFINITY => writeln!(self.text, " +Inf"),
            v if v == f64::NEG_INFINITY => writeln!(self.text, " -Inf"),
            v => writeln!(self.text, " {v}"),
        };
    }
}

/// A counter that is split by labels.
pub struct CounterVec {
    desc: &'static Desc,
    counts: Mutex<BTreeMap<Vec<String>, u64>>,
}

impl CounterVec {
    /// Nothing counted yet.
    pub const fn new(desc: &'static Desc) -> Self {
        CounterVec { desc, counts: Mutex::new(BTreeMap::new()) }
    }
    /// Counts `by` more under these label values.
    pub fn add(&self, labels: &[&str], by: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
        *entry(&mut counts, labels) += by;
    }
    /// The count under these label values.
    pub fn get(&self, labels: &[&str]) -> u64 {
        let key: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        self.counts.lock().unwrap_or_else(|e| e.into_inner()).get(&key).copied().unwrap_or(0)
    }
    /// Writes all of them.
    pub fn write(&self, out: &mut Exposition) {
        for (k, v) in self.counts.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            let labels: Vec<&str> = k.iter().map(String::as_str).collect();
            out.value(self.desc, &labels, *v as f64);
        }
    }
}

/// A histogram that is split by labels.
pub struct HistogramVec {
    desc: &'static Desc,
    bounds: &'static [f64],
    cells: Mutex<BTreeMap<Vec<String>, Cell>>,
}

/// How many observations each bound has, and the sum of all.
type Cell = (Vec<u64>, f64);

impl HistogramVec {
    /// Nothing observed yet; `bounds` rise.
    pub const fn new(desc: &'static Desc, bounds: &'static [f64]) -> Self {
        HistogramVec { desc, bounds, cells: Mutex::new(BTreeMap::new()) }
    }
    /// Observes a value under these label values.
    pub fn observe(&self, labels: &[&str], value: f64) {
        let mut cells = self.cells.lock().unwrap_or_else(|e| e.into_inner());
        let cell = entry(&mut cells, labels);
        cell.0.resize(self.bounds.len() + 1, 0);
        cell.0[self.bounds.partition_point(|b| *b < value)] += 1;
        cell.1 += value;
    }
    /// Writes all of them.
    pub fn write(&self, out: &mut Exposition) {
        for (k, (counts, sum)) in self.cells.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            let labels: Vec<&str> = k.iter().map(String::as_str).collect();
            out.histogram(self.desc, &labels, self.bounds, counts, *sum);
        }
    }
}

/// The cell of these labels, or the one of `other` when there are too many.
fn entry<'a, T: Default>(cells: &'a mut BTreeMap<Vec<String>, T>, labels: &[&str]) -> &'a mut T {
    let mut key: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
    if cells.len() >= LABEL_SETS && !cells.contains_key(&key) {
        key.fill("other".to_owned());
    }
    cells.entry(key).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: Desc = Desc::counter("x_requests_total", "requests", "Requests answered.").labels(&["route", "status"]);
    const SECONDS: Desc = Desc::histogram("x_seconds", "seconds", "How long.");

    #[test]
    fn the_text_has_help_types_and_escaped_labels() {
        let c = CounterVec::new(&REQUESTS);
        c.add(&["/a\"b", "200"], 2);
        c.add(&["/z", "500"], 1);
        let h = HistogramVec::new(&SECONDS, &[0.1, 1.0]);
        for v in [0.1, 0.5, 7.0] {
            h.observe(&[], v);
        }
        let mut e = Exposition::default();
        c.write(&mut e);
        h.write(&mut e);
        assert_eq!(
            e.finish(),
            "# HELP x_requests_total Requests answered. Unit: requests.\n# TYPE x_requests_total counter\n\
             x_requests_total{route=\"/a\\\"b\",status=\"200\"} 2\nx_requests_total{route=\"/z\",status=\"500\"} 1\n\
             # HELP x_seconds How long. Unit: seconds.\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{le=\"0.1\"} 1\nx_seconds_bucket{le=\"1\"} 2\nx_seconds_bucket{le=\"+Inf\"} 3\nx_seconds_sum 7.6\nx_seconds_count 3\n"
        );
    }

    #[test]
    fn label_sets_are_bounded() {
        let c = CounterVec::new(&REQUESTS);
        for i in 0..LABEL_SETS + 10 {
            c.add(&[&i.to_string(), "200"], 1);
        }
        assert_eq!(c.get(&["other", "other"]), 10);
    }
}
