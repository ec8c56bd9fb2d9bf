//! What this server scrapes itself, in the forms that clients of Prometheus know. Targets of agents are shown by the agents.

use std::collections::{BTreeMap, BTreeSet};

use agent::scrape::{Active, Dropped};
use base::Labels;
use metrics::about;
use metrics::response;
use serde_json::{Map, Value, json};

use super::about::{RECENT_MS, most};
use super::{ask, success};
use crate::app::{Call, warnings};
use crate::routes::Answer;

/// `GET /api/v1/targets?state=&scrapePool=`
pub(super) async fn targets(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (wants_active, wants_dropped) = match params.get("state").unwrap_or("any").to_lowercase().as_str() {
        "active" => (true, false),
        "dropped" => (false, true),
        // As Prometheus: what is none of the three is any.
        _ => (true, true),
    };
    let pool = params.get("scrapePool").filter(|p| !p.is_empty());
    let watch = call.app.backend.scraped();
    let active: Vec<Value> = if wants_active { watch.active(pool).iter().map(active).collect() } else { vec![] };
    let dropped: Vec<Value> = if wants_dropped { watch.dropped(pool).iter().map(dropped).collect() } else { vec![] };
    let counts = watch.dropped_counts().into_iter().filter(|(job, _)| wants_dropped && pool.is_none_or(|p| p == job));
    let counts: Map<String, Value> = counts.map(|(job, n)| (job, n.into())).collect();
    success(&json!({"activeTargets": active, "droppedTargets": dropped, "droppedTargetCounts": counts}))
}

/// `GET /api/v1/scrape_pools`
pub(super) async fn scrape_pools(call: Call) -> Answer {
    success(&json!({"scrapePools": call.app.backend.scraped().jobs()}))
}

fn object<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Object(labels.into_iter().map(|(n, v)| (n.to_owned(), v.into())).collect())
}

fn found(labels: &BTreeMap<String, String>) -> Value {
    object(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())))
}

fn active(t: &Active) -> Value {
    let duration = |d: std::time::Duration| base::units::format_duration_ns(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let last = t.last.as_ref();
    let health = last.map_or("unknown", |l| if l.error.is_none() { "up" } else { "down" });
    json!({
        "discoveredLabels": found(&t.found),
        "labels": object(t.labels.iter()),
        "scrapePool": t.job,
        "scrapeUrl": t.url,
        "globalUrl": global(&t.url),
        "lastError": last.and_then(|l| l.error.as_deref()).unwrap_or(""),
        // The beginning of Go's time stands for "never".
        "lastScrape": last.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |l| base::units::format_rfc3339(l.time_ns)),
        "lastScrapeDuration": last.map_or(0.0, |l| l.seconds),
        "health": health,
        "scrapeInterval": duration(t.interval),
        "scrapeTimeout": duration(t.timeout),
    })
}

fn dropped(t: &Dropped) -> Value {
    json!({"discoveredLabels": found(&t.found), "scrapePool": t.job})
}

/// The address as others reach it: this host by its name.
fn global(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (address, path) = rest.split_at(end);
    let (host, port) = match address.rfind(':') {
        Some(at) if !address[at..].contains(']') => address.split_at(at),
        _ => (address, ""),
    };
    let host = if ["localhost", "127.0.0.1", "[::1]"].contains(&host) { agent::host::hostname() } else { host.to_owned() };
    format!("{scheme}://{host}{port}{path}")
}

/// A type as remote write numbers it, in words.
fn kind(number: u8) -> &'static str {
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"]
        .get(usize::from(number))
        .copied()
        .unwrap_or("unknown")
}

/// `GET /api/v1/targets/metadata?match_target=&metric=&limit=`: what the pages of this server's targets say of their metrics, and what
/// was written here by others, which is kept without the target that said it: such an entry has an empty one.
pub(super) async fn metadata(mut call: Call) -> Answer {
    let params = call.params().await?;
    let metric = params.get("metric").filter(|m| !m.is_empty()).map(str::to_owned);
    let limit = most(&params, "limit")?;
    let matchers = params.get("match_target").filter(|m| !m.is_empty()).map(metrics::parse_selector).transpose()?;
    let scraped = call.app.backend.scraped().active(None);
    let since_ms = call.app.backend.clock().now_ns() / 1_000_000 - RECENT_MS;
    ask(&call, move |rows, tenant, cancel, missing| {
        let fits = |labels: &Labels| matchers.as_ref().is_none_or(|all| all.iter().all(|m| m.matches(labels)));
        let mut said = BTreeSet::new();
        let mut data = vec![];
        for t in scraped.iter().filter(|t| fits(&t.labels)) {
            for m in t.metadata.iter().filter(|m| metric.as_ref().is_none_or(|name| *name == m.name)) {
                said.insert(m.name.clone());
                let entry = json!({"target": object(t.labels.iter()), "type": kind(m.kind), "help": m.help, "unit": m.unit});
                data.push(named(entry, metric.is_none().then_some(m.name.as_str())));
            }
        }
        if matchers.is_none() {
            let written = about::find(rows, tenant, metric.as_deref(), since_ms, cancel)?;
            for (name, all) in written.iter().filter(|(name, _)| !said.contains(*name)) {
                let entry = |a: &about::About| json!({"target": {}, "type": a.kind, "help": a.help, "unit": a.unit});
                data.extend(all.iter().map(|a| named(entry(a), metric.is_none().then_some(name.as_str()))));
            }
        }
        data.truncate(limit);
        Ok(response::envelope(&warnings(missing), &[], |out| out.open().extend(Value::from(data).to_string().bytes())))
    })
    .await
}

/// An entry with the metric that it is about, unless that was asked for by name.
fn named(mut entry: Value, metric: Option<&str>) -> Value {
    if let Some(name) = metric {
        entry["metric"] = name.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_others() {
        let own = agent::host::hostname();
        for (url, wanted) in [
            ("http://127.0.0.1:9090/metrics", format!("http://{own}:9090/metrics")),
            ("https://[::1]:9090/m?x=http://localhost", format!("https://{own}:9090/m?x=http://localhost")),
            ("http://localhost", format!("http://{own}")),
            ("http://[fe80::1]/m", "http://[fe80::1]/m".to_owned()),
            ("http://h.example:1/m", "http://h.example:1/m".to_owned()),
        ] {
            assert_eq!(global(url), wanted);
        }
    }
}
