//! The calls by which people and Logs Drilldown look around.

use std::future::Future;

use base::units::SECOND_NS;
use base::{Error, Result};
use logs::explore::{self, AggregateBy, FieldQuery, VolumeQuery};
use logs::response;

use super::{DEFAULT_POINTS, DEFAULT_SINCE_NS, MAX_POINTS, ask, names_span, span, too_many_points};
use crate::app::{Call, json, warnings};
use crate::params::Params;
use crate::routes::Answer;
use crate::time;

/// Series of volumes when the client asks for no number.
const DEFAULT_VOLUMES: u64 = 100;
/// Lines that are looked at for fields.
const DEFAULT_FIELD_LINES: u64 = 100;
/// Fields and values of an answer.
const DEFAULT_FIELDS: u64 = 1_000;
/// The shortest step of patterns, as in the original.
const PATTERN_STEP_NS: i64 = 10 * SECOND_NS;

/// `GET|POST /loki/api/v1/index/stats`
pub(crate) async fn index_stats(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let (start, end) = names_span(&call, &params)?;
    ask(&call, move |c, _| Ok(response::index_stats(&explore::stats(c, &query, start, end)?))).await
}

/// `GET|POST /loki/api/v1/index/volume`
pub(crate) async fn volume(mut call: Call) -> Answer {
    let params = call.params().await?;
    volumes(&call, &params, None)?.await
}

/// `GET|POST /loki/api/v1/index/volume_range`
pub(crate) async fn volume_range(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (start, end) = span(&call, &params, DEFAULT_SINCE_NS)?;
    let step = step_ns(&params, start, end)?;
    volumes(&call, &params, Some(step))?.await
}

fn volumes(call: &Call, params: &Params, step_ns: Option<i64>) -> Result<impl Future<Output = Answer> + Send + use<>> {
    let query = params.require("query")?.to_owned();
    let (start_ns, end_ns) = span(call, params, DEFAULT_SINCE_NS)?;
    call.asking().check_range(start_ns, end_ns)?;
    if step_ns.is_some_and(|step| end_ns.abs_diff(start_ns) / step.unsigned_abs() > MAX_POINTS) {
        return Err(too_many_points());
    }
    let limit = count(params, "limit", DEFAULT_VOLUMES)?;
    let by = match params.get("aggregateBy").unwrap_or("series") {
        "series" => AggregateBy::Series,
        "labels" => AggregateBy::Labels,
        other => return Err(Error::invalid(format!("parameter \"aggregateBy\": {other:?} is neither series nor labels"))),
    };
    let target_labels = params.get("targetLabels").unwrap_or("").split(',').map(str::trim).filter(|l| !l.is_empty());
    let target_labels: Vec<String> = target_labels.map(str::to_owned).collect();
    Ok(ask(call, move |c, missing| {
        let q = VolumeQuery { query: &query, start_ns, end_ns, step_ns, limit, target_labels, by };
        let found = explore::volume(c, &q)?;
        Ok(response::query(&found, &response::Options::default().warn(warnings(missing))))
    }))
}

/// `GET|POST /loki/api/v1/patterns`
pub(crate) async fn patterns(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let (start, end) = span(&call, &params, DEFAULT_SINCE_NS)?;
    call.asking().check_range(start, end)?;
    let step = step_ns(&params, start, end)?.max(PATTERN_STEP_NS);
    ask(&call, move |c, missing| Ok(response::patterns(&explore::patterns(c, &query, start, end, step)?, &warnings(missing)))).await
}

/// `GET|POST /loki/api/v1/detected_labels`
pub(crate) async fn detected_labels(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.get("query").unwrap_or("").to_owned();
    let (start, end) = names_span(&call, &params)?;
    ask(&call, move |c, _| Ok(response::detected_labels(&explore::detected_labels(c, &query, start, end)?))).await
}

/// `GET|POST /loki/api/v1/detected_fields`
pub(crate) async fn detected_fields(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let (start_ns, end_ns) = span(&call, &params, DEFAULT_SINCE_NS)?;
    let lines = count(&params, "line_limit", DEFAULT_FIELD_LINES)?;
    let limit = field_limit(&params)?;
    ask(&call, move |c, _| {
        let q = FieldQuery { query: &query, start_ns, end_ns, lines };
        Ok(response::detected_fields(&explore::detected_fields(c, &q, limit)?, limit))
    })
    .await
}

/// `GET|POST /loki/api/v1/detected_field/{name}/values`
pub(crate) async fn detected_field_values(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let name = call.path_parameter(4)?;
    let (start_ns, end_ns) = span(&call, &params, DEFAULT_SINCE_NS)?;
    let lines = count(&params, "line_limit", DEFAULT_FIELD_LINES)?;
    let limit = field_limit(&params)?;
    ask(&call, move |c, _| {
        let q = FieldQuery { query: &query, start_ns, end_ns, lines };
        Ok(response::detected_field_values(&explore::detected_field_values(c, &q, &name, limit)?, limit))
    })
    .await
}

/// `GET|POST /loki/api/v1/format_query`
pub(crate) async fn format_query(mut call: Call) -> Answer {
    let params = call.params().await?;
    let tree = logs::logql::parse(params.require("query")?)?;
    Ok(json(response::text(&tree.to_string())))
}

/// `GET /loki/api/v1/drilldown-limits`: what Logs Drilldown asks before it asks anything else.
pub(crate) async fn drilldown_limits(_: Call) -> Answer {
    let limits = logs::query::Settings::default();
    let body = serde_json::json!({
        "limits": {
            "discover_log_levels": true,
            "discover_service_name": logs::ingest::SERVICE_LABELS,
            "max_entries_limit_per_query": limits.max_entries,
            "max_query_series": limits.max_series,
            "max_query_length": "0s",
            "max_query_lookback": "0s",
            "max_query_range": "0s",
            "max_query_bytes_read": "0B",
            "retention_period": "0s",
            "volume_enabled": true,
            "volume_max_series": DEFAULT_FIELDS,
        },
        "pattern_ingester_enabled": true,
        "version": env!("CARGO_PKG_VERSION"),
        "maxDetectedFields": DEFAULT_FIELDS,
        "maxDetectedValues": DEFAULT_FIELDS,
        "maxLabelValues": DEFAULT_FIELDS,
        "maxLines": limits.max_entries,
    });
    Ok(json(body.to_string()))
}

fn step_ns(params: &Params, start_ns: i64, end_ns: i64) -> Result<i64> {
    let step = match params.get("step") {
        Some(t) => time::duration_ns("step", t)?,
        None => (end_ns.saturating_sub(start_ns) / SECOND_NS / DEFAULT_POINTS).max(1) * SECOND_NS,
    };
    if step <= 0 {
        return Err(Error::invalid("zero or negative query resolution step widths are not accepted. Try a positive integer"));
    }
    Ok(step)
}

fn count(params: &Params, name: &str, default: u64) -> Result<usize> {
    Ok(usize::try_from(params.number(name)?.unwrap_or(default)).unwrap_or(usize::MAX))
}

/// `limit`, which older clients call `field_limit`.
fn field_limit(params: &Params) -> Result<usize> {
    if params.get("limit").is_some() { count(params, "limit", DEFAULT_FIELDS) } else { count(params, "field_limit", DEFAULT_FIELDS) }
}
