//! `info(v, {selector})`: adds to each series the labels of the info series with the same `instance` and `job`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use base::labels::METRIC_NAME;
use base::{Error, Kind, Labels, MatchOp, Matcher, Result};

use crate::eval::Evaluator;
use crate::eval::value::{Column, Grid, Series, keep_labels, with_labels};
use crate::promql::ast::Edge;
use crate::promql::plan::{CallPlan, Plan, RangePlan, RangeSource, Select};

/// Labels that say what a series is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric that is taken when none is named.
const DEFAULT_NAME: &str = "target_info";

/// The offset and `@` of the first selector in an expression: the info series are looked up as of the same time.
fn shift_of(p: &Plan) -> Option<(i64, Option<i64>)> {
    match p {
        Plan::Select(s) => Some((s.offset, s.at)),
        Plan::Range(RangePlan { source: RangeSource::Select(s), .. }) => Some((s.offset, s.at)),
        Plan::Range(RangePlan { source: RangeSource::Subquery { plan, offset, at, .. }, .. }) => {
            let (o, a) = shift_of(plan).unwrap_or((0, None));
            Some((o + offset, at.or(a)))
        }
        Plan::Invariant(p) | Plan::Negate(p) => shift_of(p),
        Plan::Call(c) => c.args.iter().find_map(shift_of),
        Plan::Aggregate(a) => shift_of(&a.input),
        Plan::Binary(b) => shift_of(&b.left).or_else(|| shift_of(&b.right)),
        Plan::Number(_) | Plan::Text(_) => None,
    }
}

fn identity(labels: &Labels) -> Labels {
    keep_labels(labels, |n| IDENTIFYING.contains(&n))
}

/// What is wanted of the info series.
struct Wanted {
    names: Vec<Matcher>,
    data: Vec<Matcher>,
}

impl Wanted {
    fn of(c: &CallPlan) -> Wanted {
        let mut p = c.args.get(1);
        while let Some(Plan::Invariant(inner)) = p {
            p = Some(inner);
        }
        let all = match p {
            Some(Plan::Select(s)) => s.matchers.clone(),
            _ => vec![],
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = all.into_iter().partition(|m| m.name == METRIC_NAME);
        // Names that are only excluded name nothing.
        if !names.iter().any(|m| matches!(m.op, MatchOp::Eq | MatchOp::Re)) {
            names.push(Matcher::eq(METRIC_NAME, DEFAULT_NAME));
        }
        Wanted { names, data }
    }
    fn is_info(&self, s: &Series) -> bool {
        // A name that is only not something else is no info metric's.
        let named = self.names.iter().any(|m| matches!(m.op, MatchOp::Eq | MatchOp::Re));
        named && self.names.iter().all(|m| m.matches(&s.labels))
    }
    fn takes(&self, label: &str) -> bool {
        label != METRIC_NAME && !IDENTIFYING.contains(&label) && (self.data.is_empty() || self.data.iter().any(|m| m.name == label))
    }
    /// Whether a series may stay as it is if no info series goes with it.
    fn is_optional(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }
}

impl Evaluator<'_> {
    /// `info(v, selector)`.
    pub(super) fn info(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let wanted = Wanted::of(c);
        let base = self.vector(&c.args[0], grid)?;
        let (offset, at) = shift_of(&c.args[0]).unwrap_or((0, None));
        let matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.data).cloned().collect();
        let select = Select { matchers, offset, at, edge: Edge::Inside, span: c.span };
        let infos = self.select(&select, grid)?;
        let times = self.select_times(&select, grid)?;
        if infos.iter().any(|s| s.column.histograms.is_some()) {
            return Err(Error::new(Kind::Unprocessable, "this should be an info metric, with float samples"));
        }
        let mut by_identity: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (i, s) in infos.iter().enumerate() {
            by_identity.entry(identity(&s.labels)).or_default().push(i);
        }
        let mut out = vec![];
        for s in base {
            self.check()?;
            if wanted.is_info(&s) {
                out.push(s);
                continue;
            }
            let id = identity(&s.labels);
            let found = if id.is_empty() { None } else { by_identity.get(&id) };
            let list: Vec<(&Series, &Column)> = found.into_iter().flatten().map(|&i| (&infos[i], &times[i].column)).collect();
            self.enrich(&s, &list, &wanted, &mut out)?;
        }
        Ok(out)
    }

    /// Which labels a series gets may change from step to step, so it may become several.
    fn enrich(&self, s: &Series, infos: &[(&Series, &Column)], wanted: &Wanted, out: &mut Vec<Series>) -> Result<()> {
        let n = s.column.len();
        let mut made: BTreeMap<Labels, Column> = BTreeMap::new();
        for i in 0..n {
            let Some(v) = s.column.get(i) else { continue };
            let mut newest: BTreeMap<&str, (f64, &Series)> = BTreeMap::new();
            for (info, times) in infos.iter().filter(|(x, _)| x.column.has(i)) {
                let t = times.floats[i];
                match newest.get(info.name()) {
                    Some((old, other)) if *old == t => {
                        let message = format!(
                            "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                            other.labels, t, info.labels, t
                        );
                        return Err(Error::new(Kind::Unprocessable, message));
                    }
                    Some((old, _)) if *old > t => {}
                    _ => {
                        newest.insert(info.name(), (t, info));
                    }
                }
            }
            let mut set: BTreeMap<&str, &str> = BTreeMap::new();
            for (_, info) in newest.values() {
                for (name, value) in info.labels.iter().filter(|(name, _)| wanted.takes(name)) {
                    if set.insert(name, value).is_some_and(|old| old != value) {
                        return Err(Error::new(Kind::Unprocessable, format!("conflicting label: {name}")));
                    }
                }
            }
            if set.is_empty() && !wanted.is_optional() {
                continue;
            }
            // What the series says of itself holds.
            let set: Vec<(&str, &str)> = set.into_iter().filter(|(name, _)| s.labels.get(name).is_none()).collect();
            match made.entry(with_labels(&s.labels, &set)) {
                Entry::Occupied(known) => known.into_mut().set(i, v),
                Entry::Vacant(new) => {
                    self.budget.column(n)?;
                    self.budget.labels(new.key())?;
                    new.insert(Column::absent(n)).set(i, v);
                }
            }
        }
        out.extend(made.into_iter().map(|(labels, column)| Series { labels, drop_name: s.drop_name, column }));
        Ok(())
    }
}
