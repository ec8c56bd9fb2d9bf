//! Rows that somebody asked to delete. From then on no answer shows them, wherever they still lie.
//!
//! A request names streams, a time, and filters of lines; its rows are left out of every scan of this crate, and, once it is due, of
//! every block that is merged ([`Due`]). Labels of streams all of whose rows are deleted are still listed as long as the rows lie
//! there.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use base::{Error, Kind, Labels, Matcher, Result, Tenant};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use table::{Cancel, Erasing, RowStream, Rows, ScanRequest, TimeRange};

/// What the names of the documents that hold requests begin with.
pub const DOCUMENTS: &str = "log-deletion-";

/// A request, as it is kept: a document each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its name among all of them: 16 hexadecimal digits, ascending with the time at which they were made.
    pub request_id: String,
    /// Whose lines.
    pub tenant: String,
    /// LogQL: a selector with filters of lines and labels.
    pub query: String,
    /// First time, nanoseconds.
    pub start_ns: i64,
    /// Last time, nanoseconds.
    pub end_ns: i64,
    /// When it was made, nanoseconds.
    pub created_ns: i64,
}

impl Request {
    /// Name of its document.
    pub fn document(&self) -> String {
        format!("{DOCUMENTS}{}.json", self.request_id)
    }
    /// Reads a document.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Request> {
        serde_json::from_slice(bytes)
            .map_err(|e| Error::new(Kind::Corrupt, format!("the delete request documents/{name} cannot be read: {e}")))
    }
    /// What it is about.
    pub fn erasure(&self) -> Result<Erasure> {
        Erasure::new(&self.query, self.start_ns, self.end_ns)
    }
}

use crate::eval::scan::{Batch, series_labels};
use crate::logql::{self, Expr, ast::StageExpr};
use crate::spec;
use crate::stage::{Pipeline, Row, RowLabels, SeriesLabels, Wanted};

/// What is to be deleted.
#[derive(Clone)]
pub struct Erasure {
    matchers: Vec<Matcher>,
    /// Filters, if there are any.
    filters: Option<Arc<Pipeline>>,
    range: TimeRange,
}

impl Erasure {
    /// Reads a request: a selector with filters of lines and labels, and the first and last time, nanoseconds.
    pub fn new(query: &str, start_ns: i64, end_ns: i64) -> Result<Self> {
        let Expr::Log(log) = logql::parse(query)? else {
            return Err(Error::invalid("a delete request takes a selector, perhaps with filters, and no metric query"));
        };
        let is_filter = |s: &StageExpr| matches!(s, StageExpr::LineFilter(_) | StageExpr::LabelFilter(_));
        if let Some(other) = log.stages.iter().find(|s| !is_filter(&s.value)) {
            return Err(Error::invalid(format!(
                "a delete request takes filters of lines and labels after its selector, and not `{}`",
                other.value
            )));
        }
        if end_ns < start_ns {
            return Err(Error::invalid("the end of the delete request is before its start"));
        }
        let filters = if log.stages.is_empty() { None } else { Some(Arc::new(Pipeline::of_all_stages(&log)?)) };
        Ok(Erasure { matchers: log.matchers, filters, range: TimeRange { start: start_ns, end: end_ns.saturating_add(1) } })
    }

    /// Whether a time of `range` is in it.
    pub fn touches(&self, range: TimeRange) -> bool {
        range.start < self.range.end && self.range.start < range.end
    }
    /// Whether it depends on more than a row's series and time.
    pub fn looks_at_rows(&self) -> bool {
        self.filters.is_some()
    }
    /// Whether it is about rows of these labels.
    fn has_series(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels))
    }
}

/// The rows that `request` asks for, without those that are deleted. Batches may have more columns than were asked for, if it takes them
/// to know which these are.
pub fn scan(rows: &dyn Rows, mut request: ScanRequest, erased: &[Erasure]) -> Result<RowStream> {
    let erased: Vec<&Erasure> = erased.iter().filter(|e| e.touches(request.range)).collect();
    if erased.iter().any(|e| e.looks_at_rows()) {
        for column in [spec::LINE, spec::METADATA, spec::DETECTED_LEVEL] {
            if !request.columns.contains(&column) {
                request.columns.push(column);
            }
        }
    }
    let stream = rows.scan(&request)?;
    if erased.is_empty() { Ok(stream) } else { without(stream, &erased, request.cancel) }
}

/// The same rows without those that are deleted.
pub struct Left<'a> {
    rows: &'a dyn Rows,
    erased: Arc<[Erasure]>,
}

impl<'a> Left<'a> {
    /// What is left of `rows`.
    pub fn of(rows: &'a dyn Rows, erased: Arc<[Erasure]>) -> Self {
        Left { rows, erased }
    }
}

impl Rows for Left<'_> {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        scan(self.rows, request.clone(), &self.erased)
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        self.rows.series(request)
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        self.rows.label_values(request, name)
    }
}

/// The same rows without those that are deleted. Where an erasure looks at rows, `stream` has their lines and metadata.
pub fn without(stream: RowStream, erasures: &[&Erasure], cancel: Cancel) -> Result<RowStream> {
    let of_series = |e: &&Erasure| -> Option<(Erasure, Vec<bool>)> {
        let hit: Vec<bool> = stream.series.iter().map(|l| e.has_series(l)).collect();
        hit.contains(&true).then(|| ((*e).clone(), hit))
    };
    let erasures: Vec<(Erasure, Vec<bool>)> = erasures.iter().filter_map(of_series).collect();
    if erasures.is_empty() {
        return Ok(stream);
    }
    let series = stream.series.clone();
    let mut labels = RowLabels::default();
    let left = stream.batches.map(move |batch| strip(batch?, &series, &erasures, &mut labels, &cancel));
    Ok(RowStream { series: stream.series, batches: Box::new(left) })
}

fn strip(
    batch: RecordBatch,
    series: &[Labels],
    erasures: &[(Erasure, Vec<bool>)],
    labels: &mut RowLabels,
    cancel: &Cancel,
) -> Result<RecordBatch> {
    let rows = Batch::new(&batch)?;
    let mut keep = vec![true; rows.len()];
    for (e, hit) in erasures {
        for (i, keep) in keep.iter_mut().enumerate() {
            let number = rows.series()[i];
            if !*keep || !hit.get(number as usize).copied().unwrap_or(false) || !e.range.contains(rows.times()[i]) {
                continue;
            }
            *keep = match &e.filters {
                None => false,
                Some(filters) => {
                    labels.start_series(&SeriesLabels::new(series_labels(series, number)?));
                    rows.add_metadata(i, &Wanted::All, labels);
                    !filters.apply(&mut Row { time_ns: rows.times()[i], line: rows.line(i).into(), labels, cancel })?
                }
            };
        }
    }
    if keep.iter().all(|k| *k) {
        return Ok(batch);
    }
    filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(|e| Error::internal(format!("leaving deleted rows out: {e}")))
}

/// How long the lines of some streams are kept, when that is less than the others are.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Of this tenant; of all that are not in [`Rule::but`] when there is none.
    pub tenant: Option<Tenant>,
    /// Tenants that have rules of their own.
    pub but: BTreeSet<Tenant>,
    /// Nanoseconds from a line's time. A day's lines go together, when the last of them is older.
    pub keep_ns: i64,
    /// Which streams, as text.
    pub selector: String,
}

impl Rule {
    /// `name` of what it removes by `now_ns`, and what that is.
    fn erasure(&self, now_ns: i64) -> Result<(String, Erasure)> {
        let day = crate::SPEC.unit.day();
        let old = now_ns.saturating_sub(self.keep_ns).div_euclid(day).saturating_mul(day);
        let range = TimeRange { start: i64::MIN, end: old };
        let name = format!("retention {} {}", self.keep_ns, self.selector);
        Ok((name, Erasure { matchers: logql::parse_selector(&self.selector)?, filters: None, range }))
    }
    fn has(&self, tenant: &Tenant) -> bool {
        self.tenant.as_ref().map_or_else(|| !self.but.contains(tenant), |t| t == tenant)
    }
}

/// Whose rows.
enum Whose {
    Of(String),
    By(Rule),
}

struct Item {
    name: String,
    whose: Whose,
    erasure: Erasure,
}

/// What merges leave out.
pub struct Due {
    all: Vec<Item>,
    /// Of the label sets of the merge under way: which of them each request is about.
    hits: Mutex<Option<Hits>>,
}

struct Hits {
    tenant: Tenant,
    series: Arc<[Labels]>,
    of: Arc<[(Erasure, Vec<bool>)]>,
}

impl Due {
    /// Those of `requests` that were made before `until_ns`, and what `rules` keep no longer at `now_ns`; nothing if there is neither.
    pub fn of(requests: Vec<Request>, until_ns: i64, rules: &[Rule], now_ns: i64) -> Result<Option<Arc<dyn Erasing>>> {
        let mut all = vec![];
        for r in requests.into_iter().filter(|r| r.created_ns < until_ns) {
            all.push(Item { erasure: r.erasure()?, name: r.request_id, whose: Whose::Of(r.tenant) });
        }
        for r in rules {
            let (name, erasure) = r.erasure(now_ns)?;
            all.push(Item { name, erasure, whose: Whose::By(r.clone()) });
        }
        Ok(if all.is_empty() { None } else { Some(Arc::new(Due { all, hits: Mutex::default() })) })
    }

    fn about<'a>(&'a self, table: &str, tenant: &'a Tenant, range: TimeRange) -> impl Iterator<Item = &'a Item> {
        let here = table == crate::SPEC.name;
        let is_of = |i: &Item| match &i.whose {
            Whose::Of(t) => t == tenant.as_str(),
            Whose::By(rule) => rule.has(tenant),
        };
        self.all.iter().filter(move |i| here && is_of(i) && i.erasure.touches(range))
    }

    fn hits(&self, table: &str, tenant: &Tenant, series: &Arc<[Labels]>) -> Arc<[(Erasure, Vec<bool>)]> {
        let mut last = self.hits.lock();
        if let Some(h) = last.as_ref().filter(|h| h.tenant == *tenant && Arc::ptr_eq(&h.series, series)) {
            return h.of.clone();
        }
        let of_series = |i: &Item| {
            let hit: Vec<bool> = series.iter().map(|l| i.erasure.has_series(l)).collect();
            hit.contains(&true).then(|| (i.erasure.clone(), hit))
        };
        let of: Arc<[_]> = self.about(table, tenant, TimeRange::ALL).filter_map(of_series).collect();
        *last = Some(Hits { tenant: tenant.clone(), series: series.clone(), of: of.clone() });
        of
    }
}

impl Erasing for Due {
    fn names(&self, table: &str, tenant: &Tenant, range: TimeRange) -> Vec<String> {
        self.about(table, tenant, range).map(|i| i.name.clone()).collect()
    }
    fn touches(&self, table: &str, tenant: &Tenant, range: TimeRange, labels: &Labels) -> bool {
        self.about(table, tenant, range).any(|i| i.erasure.has_series(labels))
    }
    fn rest(&self, table: &str, tenant: &Tenant, series: &Arc<[Labels]>, batch: RecordBatch) -> Result<RecordBatch> {
        let hits = self.hits(table, tenant, series);
        if hits.is_empty() { Ok(batch) } else { strip(batch, series, &hits, &mut RowLabels::default(), &Cancel::default()) }
    }
}

impl Pipeline {
    /// All stages of `log`, none of them left to a scan.
    fn of_all_stages(log: &logql::ast::LogExpr) -> Result<Pipeline> {
        Pipeline::compiled(log, Wanted::All, 0, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn rules_and_requests_concern_whom_they_name_and_when_they_are_due() {
        let tenant = |t: &str| Tenant::new(t).unwrap();
        let request = |id: &str, created_ns| Request {
            request_id: id.into(),
            tenant: "a".into(),
            query: r#"{app="x"} |= "card""#.into(),
            start_ns: 0,
            end_ns: 10 * DAY,
            created_ns,
        };
        let rule = |t: Option<&str>, keep| Rule {
            tenant: t.map(tenant),
            but: BTreeSet::from([tenant("b")]),
            keep_ns: keep,
            selector: r#"{app="debug"}"#.into(),
        };
        let rules = [rule(None, 3 * DAY), rule(Some("b"), 5 * DAY)];
        let due = Due::of(vec![request("r1", 99), request("r2", 100)], 100, &rules, 20 * DAY + 5).unwrap().unwrap();
        let names = |t: &str, day: i64| due.names("logs", &tenant(t), TimeRange { start: day * DAY, end: (day + 1) * DAY });
        let rule_of_all = format!("retention {} {{app=\"debug\"}}", 3 * DAY);
        assert_eq!(names("a", 5), ["r1".to_string(), rule_of_all.clone()]);
        assert_eq!(names("a", 16), [rule_of_all]);
        assert!(names("a", 17).is_empty(), "of this day some lines are young");
        assert_eq!((names("b", 14).len(), names("b", 15).len()), (1, 0));
        assert!(due.names("samples", &tenant("a"), TimeRange::ALL).is_empty());
        let labels = |app: &str| Labels::from_pairs([("app", app)]).unwrap();
        let touches =
            |day: i64, app: &str| due.touches("logs", &tenant("a"), TimeRange { start: day * DAY, end: (day + 1) * DAY }, &labels(app));
        assert!(touches(5, "x") && touches(5, "debug") && !touches(5, "y") && !touches(16, "x"));
        assert!(Due::of(vec![request("r2", 100)], 100, &[], 0).unwrap().is_none());
    }
}
