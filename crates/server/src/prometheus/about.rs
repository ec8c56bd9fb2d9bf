//! Exemplars, and what senders say of metrics.

use base::Result;
use metrics::about::{self, DAY_MS};
use metrics::{exemplar, response};
use serde_json::{Map, Value, json};

use super::{ask, query_text, time_of};
use crate::app::{Call, warnings};
use crate::params::Params;
use crate::routes::Answer;

/// How long what was said of a metric is answered.
pub(super) const RECENT_MS: i64 = 2 * DAY_MS;

/// `GET|POST /api/v1/query_exemplars`
pub(super) async fn exemplars(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (start_ms, end_ms) = (time_of(&params, "start")?.unwrap_or(i64::MIN), time_of(&params, "end")?.unwrap_or(i64::MAX));
    if end_ms < start_ms {
        return Err(base::Error::invalid("end timestamp must not be before start timestamp"));
    }
    let query = query_text(&params)?;
    ask(&call, move |rows, tenant, cancel, missing| {
        let found = exemplar::find(rows, tenant, &query, start_ms, end_ms, cancel)?;
        Ok(response::exemplars(&found, &warnings(missing)))
    })
    .await
}

/// `GET /api/v1/metadata?metric=&limit=&limit_per_metric=`
pub(super) async fn metadata(mut call: Call) -> Answer {
    let params = call.params().await?;
    let metric = params.get("metric").map(str::to_owned);
    let limit = most(&params, "limit")?;
    let per_metric = Some(most(&params, "limit_per_metric")?).filter(|n| *n > 0).unwrap_or(usize::MAX);
    let since_ms = call.app.backend.clock().now_ns() / 1_000_000 - RECENT_MS;
    ask(&call, move |rows, tenant, cancel, missing| {
        let found = about::find(rows, tenant, metric.as_deref(), since_ms, cancel)?;
        let entry = |a: &about::About| json!({"type": a.kind, "help": a.help, "unit": a.unit});
        let data: Map<String, Value> =
            found.iter().take(limit).map(|(name, all)| (name.clone(), all.iter().take(per_metric).map(entry).collect())).collect();
        Ok(response::envelope(&warnings(missing), &[], |out| out.open().extend(Value::Object(data).to_string().bytes())))
    })
    .await
}

/// How many at most: without the parameter, or with a negative number, all.
pub(super) fn most(params: &Params, name: &str) -> Result<usize> {
    Ok(params.whole(name)?.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)))
}
