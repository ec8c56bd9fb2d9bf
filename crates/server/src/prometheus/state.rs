//! The state of the server, in the forms that clients of Prometheus know. Nothing is announced that is not there: rules, alerts and
//! Alertmanagers are empty lists, and `status/flags` and `status/config` are not served, for it is by their answers that Grafana
//! takes a server for one that has a ruler.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base::labels::METRIC_NAME;
use base::{Error, Labels, Result, Tenant};
use metrics::metadata::{self, Scope};
use metrics::response;
use serde_json::{Value, json};
use table::{Cancel, Rows};

use super::{Wanted, ask, success};
use crate::app::{Call, reply, warnings};
use crate::params::Params;
use crate::routes::Answer;

/// How far back the figures of the store look, as long as Prometheus' head does at most.
const RECENT_MS: i64 = 3 * 3_600_000;
/// Entries of each list of the figures, unless asked otherwise.
const LISTED: usize = 10;

/// `GET /-/healthy`
pub(super) async fn healthy(_: Call) -> Answer {
    Ok(reply("text/plain; charset=utf-8", "Watchfire is Healthy.\n"))
}

/// `GET /api/v1/rules?type=`
pub(super) async fn rules(mut call: Call) -> Answer {
    if let Some(other) = call.params().await?.get("type").filter(|t| !["alert", "record"].contains(&t.to_lowercase().as_str())) {
        return Err(Error::invalid(format!("invalid parameter \"type\": not supported value {other:?}")));
    }
    success(&json!({"groups": []}))
}

/// `GET /api/v1/alerts`
pub(super) async fn alerts(_: Call) -> Answer {
    success(&json!({"alerts": []}))
}

/// `GET /api/v1/alertmanagers`
pub(super) async fn alertmanagers(_: Call) -> Answer {
    success(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

/// `GET /api/v1/status/runtimeinfo`: what there is of it here; nothing is said of Go's runtime.
pub(super) async fn runtimeinfo(call: Call) -> Answer {
    let clock = call.app.backend.clock();
    let started = base::units::format_rfc3339(call.app.started_ns);
    success(&json!({
        "startTime": started,
        "CWD": std::env::current_dir().map_or_else(|_| String::new(), |d| d.to_string_lossy().into_owned()),
        "hostname": agent::host::hostname(),
        "serverTime": base::units::format_rfc3339(clock.now_ns()),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "storageRetention": call.app.settings.retention,
    }))
}

/// `GET /api/v1/status/walreplay`
pub(super) async fn walreplay(call: Call) -> Answer {
    let state = if call.app.backend.ready().is_ok() { "done" } else { "in progress" };
    success(&json!({"min": 0, "max": 0, "current": 0, "state": state}))
}

/// The series that had samples lately.
fn recent(rows: &dyn Rows, tenant: &Tenant, now_ms: i64, cancel: &Cancel) -> Result<Vec<Labels>> {
    let scope = Scope { selectors: &[], start_ms: now_ms - RECENT_MS, end_ms: i64::MAX, limit: 0, cancel: cancel.clone() };
    Ok(metadata::series(rows, tenant, &scope)?.items)
}

/// The largest of some counts.
fn top(counts: BTreeMap<String, u64>, limit: usize) -> Value {
    let mut all: Vec<(String, u64)> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.into_iter().take(limit).map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// `GET /api/v1/status/tsdb?limit=`: how many series there are, and of what.
pub(super) async fn tsdb(mut call: Call) -> Answer {
    let params = call.params().await?;
    let limit = match params.get("limit") {
        None => LISTED,
        Some(_) => match params.number("limit")? {
            Some(n) if n > 0 => n as usize,
            _ => return Err(Error::invalid("limit must be a positive number")),
        },
    };
    let now_ms = call.app.backend.clock().now_ms();
    ask(&call, move |rows, tenant, cancel, missing| {
        let series = recent(rows, tenant, now_ms, cancel)?;
        let (mut by_metric, mut by_pair, mut bytes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for s in &series {
            for (n, v) in s {
                if n == METRIC_NAME {
                    *by_metric.entry(v.to_owned()).or_default() += 1;
                }
                *by_pair.entry(format!("{n}={v}")).or_default() += 1;
                if values.entry(n).or_default().insert(v) {
                    *bytes.entry(n.to_owned()).or_default() += v.len() as u64;
                }
            }
        }
        let pairs = values.values().map(BTreeSet::len).sum::<usize>();
        let value_counts = values.iter().map(|(n, v)| ((*n).to_owned(), v.len() as u64)).collect();
        let data = json!({
            "headStats": {
                "numSeries": series.len(),
                "numLabelPairs": pairs,
                "chunkCount": 0,
                "minTime": now_ms - RECENT_MS,
                "maxTime": now_ms,
            },
            "seriesCountByMetricName": top(by_metric, limit),
            "labelValueCountByLabelName": top(value_counts, limit),
            "memoryInBytesByLabelName": top(bytes, limit),
            "seriesCountByLabelValuePair": top(by_pair, limit),
        });
        Ok(response::envelope(&warnings(missing), &[], |out| out.open().extend(data.to_string().bytes())))
    })
    .await
}

/// The largest page that Mimir's cardinality paths answer.
const CARDINALITY_LIMIT: usize = 500;
/// The page they answer unless asked otherwise.
const CARDINALITY_LISTED: usize = 20;

/// How much of a list is answered. The way to count is checked, and makes no difference: what had samples lately is both of them.
fn cardinality_page(params: &Params) -> Result<usize> {
    if let Some(other) = params.get("count_method").filter(|m| !["inmemory", "active"].contains(m)) {
        return Err(Error::invalid(format!("invalid 'count_method' param '{other}'. valid options are: [inmemory, active]")));
    }
    match params.number("limit")? {
        Some(n) if n > CARDINALITY_LIMIT as u64 => {
            Err(Error::invalid(format!("'limit' param cannot be greater than '{CARDINALITY_LIMIT}'")))
        }
        n => Ok(n.map_or(CARDINALITY_LISTED, |n| n as usize)),
    }
}

/// Series of `selector`, of the last hours.
fn selected(wanted: &[Vec<base::Matcher>], rows: &dyn Rows, tenant: &Tenant, now_ms: i64, cancel: &Cancel) -> Result<Vec<Labels>> {
    let scope = Scope { selectors: wanted, start_ms: now_ms - RECENT_MS, end_ms: i64::MAX, limit: 0, cancel: cancel.clone() };
    Ok(metadata::series(rows, tenant, &scope)?.items)
}

/// `GET|POST /api/v1/cardinality/label_names?selector=&limit=`, as Mimir has it.
pub(super) async fn cardinality_names(mut call: Call) -> Answer {
    let params = call.params().await?;
    let wanted = Wanted::cardinality(&params)?;
    let limit = cardinality_page(&params)?;
    let now_ms = call.app.backend.clock().now_ms();
    ask(&call, move |rows, tenant, cancel, _| {
        let series = selected(&wanted, rows, tenant, now_ms, cancel)?;
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        series.iter().flatten().for_each(|(n, v)| _ = values.entry(n).or_default().insert(v));
        let mut all: Vec<(&str, usize)> = values.iter().map(|(n, v)| (*n, v.len())).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let listed: Vec<Value> = all.iter().take(limit).map(|(n, count)| json!({"label_name": n, "label_values_count": count})).collect();
        let total: usize = all.iter().map(|(_, n)| n).sum();
        let data = json!({"label_values_count_total": total, "label_names_count": all.len(), "cardinality": listed});
        Ok(data.to_string().into_bytes().into())
    })
    .await
}

/// `GET|POST /api/v1/cardinality/label_values?label_names[]=&selector=&limit=`, as Mimir has it.
pub(super) async fn cardinality_values(mut call: Call) -> Answer {
    let params = call.params().await?;
    let mut names: Vec<String> = params.all("label_names[]").map(str::to_owned).collect();
    let mut seen = HashSet::new();
    names.retain(|n| seen.insert(n.clone()));
    if names.is_empty() {
        return Err(Error::invalid("'label_names[]' param is required"));
    }
    let wanted = Wanted::cardinality(&params)?;
    let limit = cardinality_page(&params)?;
    let now_ms = call.app.backend.clock().now_ms();
    ask(&call, move |rows, tenant, cancel, _| {
        let series = selected(&wanted, rows, tenant, now_ms, cancel)?;
        let of = |name: &String| -> Result<Value> {
            cancel.check()?;
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            series.iter().filter_map(|s| s.get(name)).for_each(|v| *counts.entry(v).or_default() += 1);
            let mut all: Vec<(&str, usize)> = counts.into_iter().collect();
            all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let listed: Vec<Value> = all.iter().take(limit).map(|(v, n)| json!({"label_value": v, "series_count": n})).collect();
            let count: usize = all.iter().map(|(_, n)| n).sum();
            Ok(json!({"label_name": name, "label_values_count": all.len(), "series_count": count, "cardinality": listed}))
        };
        let data = json!({"series_count_total": series.len(), "labels": names.iter().map(of).collect::<Result<Vec<_>>>()?});
        Ok(data.to_string().into_bytes().into())
    })
    .await
}
