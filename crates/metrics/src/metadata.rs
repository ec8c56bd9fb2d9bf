//! Which series, label names and label values there are.

use std::collections::BTreeSet;

use base::{Labels, Matcher, Result, Tenant};
use table::{Cancel, Rows, ScanRequest, TimeRange};

use crate::spec::SPEC;

/// What is asked about.
#[derive(Clone)]
pub struct Scope<'a> {
    /// Series that any of these selectors matches; all series, if there is none.
    pub selectors: &'a [Vec<Matcher>],
    /// First time, milliseconds.
    pub start_ms: i64,
    /// Last time, milliseconds.
    pub end_ms: i64,
    /// How many are listed at most; 0 for all.
    pub limit: usize,
    /// Stops it early.
    pub cancel: Cancel,
}

/// An answer, perhaps cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was found, sorted.
    pub items: Vec<T>,
    /// Whether there is more than the limit allows.
    pub truncated: bool,
}

/// The warning that goes with a [`Listing`] that was cut short.
pub const TRUNCATED: &str = "results truncated due to limit";

impl<T> Listing<T> {
    fn of(found: impl IntoIterator<Item = T>, limit: usize) -> Self {
        let mut items: Vec<T> = found.into_iter().collect();
        let truncated = limit > 0 && items.len() > limit;
        if truncated {
            items.truncate(limit);
        }
        Listing { items, truncated }
    }
    /// The warnings of the answer.
    pub fn warnings(&self) -> Vec<String> {
        if self.truncated { vec![TRUNCATED.to_string()] } else { vec![] }
    }
}

/// What is asked of the store, one request for each selector.
fn requests(tenant: &Tenant, scope: &Scope<'_>) -> Vec<ScanRequest> {
    let all = [vec![]];
    let selectors = if scope.selectors.is_empty() { &all[..] } else { scope.selectors };
    let range = TimeRange { start: scope.start_ms, end: scope.end_ms.saturating_add(1) };
    let request = |matchers: &Vec<Matcher>| ScanRequest {
        columns: vec![],
        cancel: scope.cancel.clone(),
        ..ScanRequest::new(&SPEC, tenant.clone(), matchers.clone(), range)
    };
    selectors.iter().map(request).collect()
}

/// Calls `see` with the series of each selector. A series that several match comes several times.
fn each(rows: &dyn Rows, tenant: &Tenant, scope: &Scope<'_>, see: &mut dyn FnMut(Labels)) -> Result<()> {
    for q in requests(tenant, scope) {
        rows.series(&q)?.into_iter().for_each(&mut *see);
        scope.cancel.check()?;
    }
    Ok(())
}

/// The series.
pub fn series(rows: &dyn Rows, tenant: &Tenant, scope: &Scope<'_>) -> Result<Listing<Labels>> {
    let mut found = BTreeSet::new();
    each(rows, tenant, scope, &mut |l| {
        found.insert(l);
    })?;
    Ok(Listing::of(found, scope.limit))
}

/// The names of the series' labels.
pub fn label_names(rows: &dyn Rows, tenant: &Tenant, scope: &Scope<'_>) -> Result<Listing<String>> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    each(rows, tenant, scope, &mut |l| {
        for (n, _) in &l {
            if !found.contains(n) {
                found.insert(n.to_string());
            }
        }
    })?;
    Ok(Listing::of(found, scope.limit))
}

/// The values of one label.
pub fn label_values(rows: &dyn Rows, tenant: &Tenant, label: &str, scope: &Scope<'_>) -> Result<Listing<String>> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    for q in requests(tenant, scope) {
        found.append(&mut rows.label_values(&q, label)?);
        scope.cancel.check()?;
    }
    Ok(Listing::of(found, scope.limit))
}
