//! Metric expressions: windows over lines, and what is made of their series.

use base::{Error, Labels, MatchOp, Result};
use table::{Direction, TimeRange};

use super::budget::{self, ENTRY_BYTES, POINT_BYTES};
use super::keys::{Key, Keys};
use super::scan::{self, Batch, Reads};
use super::steps::Windows;
use super::{Series, Source, Steps, Value, aggregate, binary, counts::Counts, label_replace, range_fn, samples::Samples};
use crate::logql::ast::*;
use crate::spec;
use crate::stage::label_filter::{self, LabelFilterStage};
use crate::stage::{Pipeline, Row, RowLabels, SeriesLabels, Wanted, unwrap};

/// Evaluates an expression at all steps.
pub fn evaluate(source: Source<'_>, expr: &MetricExpr, steps: Steps) -> Result<Value> {
    source.cancel.check()?;
    Ok(match expr {
        MetricExpr::Literal(n) => Value::Scalar(*n),
        MetricExpr::Vector(n) => {
            source.budget.take(ENTRY_BYTES + steps.count() as usize * POINT_BYTES)?;
            let points = (0..steps.count()).map(|k| (k, *n)).collect();
            Value::Series(vec![Series { labels: Labels::empty(), points }])
        }
        MetricExpr::Range(r) => Value::Series(range(source, r, None, steps)?),
        MetricExpr::Aggregate(a) => {
            let inner = match a.inner.as_ref() {
                MetricExpr::Range(r) if can_push_down(a.op, r) => Value::Series(range(source, r, Some(&grouping_key(a)), steps)?),
                inner => evaluate(source, inner, steps)?,
            };
            match inner {
                Value::Series(s) => Value::Series(aggregate::apply(a, &grouping_key(a), s, steps.count(), source.budget)?),
                Value::Scalar(_) => return Err(Error::invalid(format!("{} needs series, not a number", a.op.name()))),
            }
        }
        MetricExpr::Binary(b) => {
            let left = evaluate(source, &b.left, steps)?;
            let right = evaluate(source, &b.right, steps)?;
            binary::apply(b, left, right, steps.count(), source.budget)?
        }
        MetricExpr::LabelReplace(l) => match evaluate(source, &l.inner, steps)? {
            Value::Series(s) => Value::Series(label_replace::apply(l, s, source.budget, source.cancel)?),
            scalar => scalar,
        },
    })
}

/// The labels an aggregation groups by.
fn grouping_key(a: &Aggregate) -> Key {
    a.grouping.as_ref().map_or(Key::By(vec![]), Key::of)
}

/// A sum of sums is the sum by the outer labels at once: no other label is then looked at.
fn can_push_down(op: AggregateOp, r: &RangeExpr) -> bool {
    use RangeOp::*;
    op == AggregateOp::Sum && r.grouping.is_none() && matches!(r.op, Count | Rate | Bytes | BytesRate | Sum)
}

/// Everything that is done to the lines of a range aggregation.
struct Extract<'e> {
    expr: &'e RangeExpr,
    pipeline: Pipeline,
    filters: Vec<LabelFilterStage>,
    key: Key,
    preserve_errors: bool,
}

fn range(source: Source<'_>, r: &RangeExpr, outer: Option<&Key>, steps: Steps) -> Result<Vec<Series>> {
    let windows = Windows::new(steps, r.range_ns, r.offset_ns);
    check_span(source, windows.span())?;
    let extract = Extract::new(r, outer, source.now_ns)?;
    let mut keys = Keys::new(source.budget);
    let seconds = windows.seconds();
    let value: fn(f64, i64, i64) -> f64 = match r.op {
        RangeOp::Count | RangeOp::Absent => |_, lines, _| lines as f64,
        RangeOp::Rate => |s, lines, _| lines as f64 / s,
        RangeOp::Bytes => |_, _, bytes| bytes as f64,
        _ => |s, _, bytes| bytes as f64 / s,
    };
    let series = if r.unwrap.is_some() && r.op != RangeOp::Absent {
        let parameter = r.parameter.unwrap_or(0.0);
        let mut samples = Samples::new(windows, source.budget, |scratch: &mut Vec<f64>, (from, to), s: &[_]| {
            range_fn::apply(r.op, parameter, (from, to), scratch, s)
        });
        extract.run(source, windows, &mut keys, &mut samples)?;
        samples.finish(keys.labels())?
    } else {
        let mut counts = Counts::new(windows, source.budget);
        extract.run(source, windows, &mut keys, &mut counts)?;
        counts.finish(keys.labels(), |lines, bytes| value(seconds, lines, bytes))?
    };
    keys.give_back();
    if r.op == RangeOp::Absent {
        let absent = absent(&r.log.matchers, &series, steps);
        source.budget.swap(budget::weight(&series), budget::weight(&absent))?;
        return Ok(absent);
    }
    Ok(series)
}

/// Refuses windows that reach over more time than may be asked for.
fn check_span(source: Source<'_>, span: TimeRange) -> Result<()> {
    match source.max_window_ns {
        // The start that the windows exclude is not counted.
        Some(most) if span.end.saturating_sub(span.start) > most => {
            let shown = base::units::format_duration_ns;
            let what = format!("the windows of the query span {}", shown(span.end.saturating_sub(span.start)));
            Err(Error::invalid(base::limits::beyond(&what, "queries.range", shown(most), "Ask for a shorter time or shorter windows")))
        }
        _ => Ok(()),
    }
}

/// Takes what [`Extract::run`] finds.
pub(super) trait Sink {
    /// No later row is before this time.
    fn slice(&mut self, start: i64) -> Result<()>;
    /// A row of the series `number`.
    fn row(&mut self, number: u32, time: i64, bytes: usize, value: f64) -> Result<()>;
    /// Rows of the series `number`, oldest first, without values.
    fn run(&mut self, number: u32, times: &[i64], bytes: &dyn Fn(usize) -> usize) -> Result<()> {
        times.iter().enumerate().try_for_each(|(i, t)| self.row(number, *t, bytes(i), 0.0))
    }
}

impl<'e> Extract<'e> {
    fn new(expr: &'e RangeExpr, outer: Option<&Key>, now_ns: i64) -> Result<Self> {
        let mut key = match (&expr.grouping, outer) {
            (Some(g), _) => Key::of(g),
            (None, Some(outer)) => outer.clone(),
            (None, None) => Key::Without(vec![]),
        };
        // Presence alone counts: one series is enough.
        if expr.op == RangeOp::Absent {
            key = Key::By(vec![]);
        }
        let mut wanted = match &key {
            Key::By(names) => Wanted::Only(names.clone()),
            Key::Without(_) => Wanted::All,
        };
        let mut filters = vec![];
        let mut preserve_errors = false;
        if let Some(u) = &expr.unwrap {
            wanted.add(&u.name);
            for f in &u.filters {
                label_filter::names(f, &mut |n| wanted.add(n));
                preserve_errors |= label_filter::looks_at_errors(f);
                filters.push(LabelFilterStage::new(f)?);
            }
            // The value is the sample, not a label of it.
            if let Key::Without(names) = &mut key {
                names.push(u.name.clone());
            }
        }
        let pipeline = Pipeline::new(&expr.log, wanted, now_ns)?;
        preserve_errors |= pipeline.looks_at_errors;
        Ok(Extract { expr, pipeline, filters, key, preserve_errors })
    }

    fn reads_length(&self) -> bool {
        matches!(self.expr.op, RangeOp::Bytes | RangeOp::BytesRate)
    }

    /// Whether the series of a row depends on its stream alone.
    fn is_by_stream(&self) -> bool {
        self.pipeline.is_empty() && self.expr.unwrap.is_none() && matches!(self.key, Key::By(_))
    }

    /// Whether metadata must be read: not if all labels that are looked at are the streams'.
    fn reads_metadata(&self, series: &[Labels]) -> bool {
        match &self.pipeline.reads_labels {
            Wanted::All => true,
            Wanted::Only(names) => names.iter().any(|n| series.iter().any(|l| l.get(n).is_none())),
        }
    }

    fn run(&self, source: Source<'_>, windows: Windows, keys: &mut Keys<'_>, sink: &mut impl Sink) -> Result<()> {
        let open = |metadata| {
            let level = metadata && self.pipeline.reads_labels.depends_on(spec::DETECTED_LEVEL);
            let reads = Reads { line: self.pipeline.reads_line || self.reads_length(), metadata, level };
            scan::open(source, &self.expr.log.matchers, windows.span(), self.pipeline.predicate.clone(), reads, Direction::Forward)
        };
        let mut metadata = self.pipeline.reads_labels != Wanted::Only(vec![]);
        let mut stream = open(metadata)?;
        if metadata && !self.reads_metadata(&stream.series) {
            metadata = false;
            stream = open(false)?;
        }
        let by_stream = self.is_by_stream() && !metadata;
        let mut numbers = StreamNumbers::new(&stream.series, self.number_of_stream());
        let mut slice = i64::MIN;
        let mut labels = RowLabels::default();
        labels.preserve_errors = self.preserve_errors;
        for batch in stream.batches {
            source.cancel.check()?;
            let batch = Batch::new(&batch?)?;
            let Some(&first) = batch.times().first() else { continue };
            let start = spec::SPEC.slice_of(first);
            if start > slice {
                slice = start;
                sink.slice(start)?;
            }
            if by_stream {
                self.streams(&batch, &mut numbers, keys, sink)?;
            } else {
                self.rows(&batch, source, &mut numbers, &mut labels, keys, sink)?;
            }
        }
        Ok(())
    }

    /// The key, if the series of a row without errors may depend on its stream alone.
    fn number_of_stream(&self) -> Option<&Key> {
        (matches!(self.key, Key::By(_)) && !self.pipeline.rewrites_labels).then_some(&self.key)
    }

    fn streams(&self, batch: &Batch, numbers: &mut StreamNumbers<'_>, keys: &mut Keys<'_>, sink: &mut impl Sink) -> Result<()> {
        let (series, times) = (batch.series(), batch.times());
        let mut from = 0;
        while from < series.len() {
            let s = series[from];
            let until = from + series[from..].partition_point(|x| *x == s);
            let number = numbers.whole(s, &self.key, keys)?;
            if self.reads_length() {
                sink.run(number, &times[from..until], &|i| batch.line(from + i).len())?;
            } else {
                sink.run(number, &times[from..until], &|_| 0)?;
            }
            from = until;
        }
        Ok(())
    }

    fn rows(
        &self,
        batch: &Batch,
        source: Source<'_>,
        numbers: &mut StreamNumbers<'_>,
        labels: &mut RowLabels,
        keys: &mut Keys<'_>,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let mut current = None;
        let mut known = None;
        for i in 0..batch.len() {
            let s = batch.series()[i];
            if current == Some(s) {
                labels.start_row();
            } else {
                current = Some(s);
                labels.start_series(&SeriesLabels::new(scan::series_labels(numbers.series, s)?));
                known = numbers.of(s, keys)?;
            }
            batch.add_metadata(i, &self.pipeline.reads_labels, labels);
            let time = batch.times()[i];
            let mut row = Row { time_ns: time, line: batch.line(i).into(), labels, cancel: source.cancel };
            if !self.pipeline.apply(&mut row)? {
                continue;
            }
            let bytes = row.line.len();
            let mut value = 0.0;
            if let Some(u) = &self.expr.unwrap {
                let Some(v) = unwrap::sample(u, labels) else { continue };
                value = v;
                let passes = self.filters.iter().all(|f| f.passes(labels, source.cancel));
                source.cancel.check()?;
                if !passes {
                    continue;
                }
            }
            let failed = labels.error().is_some();
            if failed && !labels.is_preserved() {
                return Err(pipeline_error(labels));
            }
            let number = match known {
                _ if failed => keys.number(labels, &Key::Without(vec![]))?.0,
                Some(n) => n,
                None => keys.number(labels, &self.key)?.0,
            };
            sink.row(number, time, bytes, value)?;
        }
        Ok(())
    }
}

/// Numbers of streams among the keys, each looked up once.
struct StreamNumbers<'a> {
    series: &'a [Labels],
    /// What rows are grouped by, if that may be their streams' labels alone.
    key: Option<&'a Key>,
    numbers: Vec<Option<u32>>,
}

impl<'a> StreamNumbers<'a> {
    fn new(series: &'a [Labels], key: Option<&'a Key>) -> Self {
        StreamNumbers { series, key, numbers: vec![None; series.len()] }
    }

    /// The number of the rows of stream `s`, which `key` groups by their streams' labels alone.
    fn whole(&mut self, s: u32, key: &Key, keys: &mut Keys<'_>) -> Result<u32> {
        if let Some(n) = self.numbers.get(s as usize).copied().flatten() {
            return Ok(n);
        }
        let n = keys.number_of(&key.of_labels(scan::series_labels(self.series, s)?))?.0;
        self.numbers[s as usize] = Some(n);
        Ok(n)
    }

    /// The same if the stream has all labels that rows are grouped by: then nothing else can be under their names.
    fn of(&mut self, s: u32, keys: &mut Keys<'_>) -> Result<Option<u32>> {
        let Some(key @ Key::By(names)) = self.key else { return Ok(None) };
        let labels = scan::series_labels(self.series, s)?;
        if names.iter().any(|n| labels.get(n).is_none()) {
            return Ok(None);
        }
        self.whole(s, key, keys).map(Some)
    }
}

/// A line that a stage failed on fails a metric query, or its numbers would be silently wrong.
fn pipeline_error(labels: &RowLabels) -> Error {
    let (mut bytes, mut scratch) = (vec![], vec![]);
    labels.write(&mut bytes, &mut scratch, |_, _| true);
    let name = labels.error().unwrap_or("");
    let shown = Labels::from_canonical(&bytes).map(|l| l.to_string()).unwrap_or_default();
    Error::invalid(format!(
        "pipeline error: '{name}' for series: '{shown}'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"{name}\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\nThe label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )"
    ))
}

/// 1 at the steps where there was nothing, labelled with what the selector asks for by equality.
fn absent(matchers: &[base::Matcher], series: &[Series], steps: Steps) -> Vec<Series> {
    let mut present = vec![false; steps.count() as usize];
    for (k, _) in series.iter().flat_map(|s| &s.points) {
        present[*k as usize] = true;
    }
    let points: Vec<(u32, f64)> = (0..steps.count()).filter(|&k| !present[k as usize]).map(|k| (k, 1.0)).collect();
    if points.is_empty() {
        return vec![];
    }
    let once = |n: &str| matchers.iter().filter(|m| m.name == n).count() == 1;
    let pairs = matchers.iter().filter(|m| m.op == MatchOp::Eq && !m.value.is_empty() && once(&m.name));
    let labels = crate::stage::labels::labels_of(pairs.map(|m| (m.name.as_str(), m.value.as_str())).collect());
    vec![Series { labels, points }]
}
