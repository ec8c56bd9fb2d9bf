//! Tempo's HTTP API: a trace by its id. Errors are plain text; a trace that is not there is 404, on which Grafana asks
//! the older path.

use base::{Error, Kind, Result};
use table::{Cancel, Rows, TimeRange};
use traces::read::{self, Trace};

use crate::app::{Call, JSON, reply, warnings};
use crate::params::Params;
use crate::routes::Answer;
use crate::time;

/// Encodes a trace; the text says what of it may be missing.
type Encode = fn(&Trace, Option<&str>) -> Result<Vec<u8>>;

/// `GET /api/traces/{id}`
pub(crate) async fn trace_v1(call: Call) -> Answer {
    // This version has no place for what is missing: the header alone says it.
    trace(call, 2, |t, _| Ok(t.to_json_v1()?.into_bytes()), |t, _| Ok(t.to_protobuf_v1().to_vec())).await
}

/// `GET /api/v2/traces/{id}`
pub(crate) async fn trace_v2(call: Call) -> Answer {
    trace(call, 3, |t, partial| Ok(t.to_json_v2(partial)?.into_bytes()), |t, partial| Ok(t.to_protobuf_v2(partial))).await
}

/// `GET /api/echo`
pub(crate) async fn echo(_: Call) -> Answer {
    Ok(reply("text/plain; charset=utf-8", "echo"))
}

async fn trace(mut call: Call, position: usize, as_json: Encode, as_protobuf: Encode) -> Answer {
    let params = call.params().await?;
    let id = call.path_parameter(position)?;
    let range = span(&params)?;
    let protobuf = call.header("accept").is_some_and(|a| a.contains("application/protobuf") || a.contains("application/x-protobuf"));
    let encode = if protobuf { as_protobuf } else { as_json };
    let (tenant, missing, app, gzip) = (call.tenant.clone(), call.missing.clone(), call.app.clone(), call.takes_gzip());
    let found = call.query(move |rows: &dyn Rows, cancel: &Cancel| {
        let Some(found) = read::by_id(rows, tenant, &id, range, cancel.clone())? else { return Ok(None) };
        let partial = warnings(&missing).join("; ");
        let text = encode(&found, Some(partial.as_str()).filter(|p| !p.is_empty()))?;
        app.keep(text, gzip).map(Some)
    });
    match found.await? {
        None => Err(Error::new(Kind::NotFound, "trace not found")),
        Some(body) if protobuf => Ok(body.reply("application/protobuf")),
        Some(body) => Ok(body.reply(JSON)),
    }
}

/// `start` and `end`, in seconds; either may be missing.
fn span(params: &Params) -> Result<TimeRange> {
    let time = |name| params.get(name).map(|t| time::loki_ns(name, t)).transpose();
    // Zero is how clients say "not known".
    let start = time("start")?.filter(|t| *t != 0).unwrap_or(i64::MIN);
    let end = time("end")?.filter(|t| *t != 0).unwrap_or(i64::MAX);
    Ok(TimeRange { start, end: end.max(start) })
}
