//! For operators: readiness, figures, flush, the ledger.

use base::{Error, Tenant};

use crate::app::{Call, json, no_content, reply};
use crate::routes::Answer;

/// `GET /ready`: 200 `ready`, or 503 and what is not.
pub(crate) async fn ready(call: Call) -> Answer {
    if call.app.is_stopping() {
        return Err(Error::unavailable("not ready: shutting down"));
    }
    call.app.backend.ready().map_err(|what| Error::unavailable(format!("not ready: {what}")))?;
    Ok(reply("text/plain; charset=utf-8", "ready\n"))
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(call: Call) -> Answer {
    Ok(reply("text/plain; version=0.0.4; charset=utf-8", call.app.figures()))
}

/// `POST /flush`: 204 when everything acknowledged is in its final form on disk. However long that takes: it is
/// asked for by tools that wait for it.
pub(crate) async fn flush(call: Call) -> Answer {
    let backend = call.app.backend.clone();
    call.app.queries.run(move || backend.flush()).await?;
    Ok(no_content())
}

/// `GET /api/v1/ledger?tenant=`: what was refused or lost; of all tenants when none is named.
pub(crate) async fn ledger(mut call: Call) -> Answer {
    let params = call.params().await?;
    let tenant = params.get("tenant").map(Tenant::new).transpose()?;
    let backend = call.app.backend.clone();
    let value = call.app.queries.run(move || backend.ledger(tenant.as_ref())).await?;
    Ok(json(value.to_string()))
}

/// `GET /api/v1/storage`: where blocks are, and how much is still to be moved there.
pub(crate) async fn storage(call: Call) -> Answer {
    let backend = call.app.backend.clone();
    let value = call.app.queries.run(move || backend.storage()).await?;
    Ok(json(value.to_string()))
}

/// `POST /api/v1/storage/move`: the settings are read again, and blocks go to the store that they name by now.
pub(crate) async fn move_storage(call: Call) -> Answer {
    let backend = call.app.backend.clone();
    call.app.queries.run(move || backend.move_storage()).await?;
    Ok(no_content())
}

/// `GET /api/v1/cluster`: the members as this node sees them. 404 when it is in no cluster, as the next two.
pub(crate) async fn cluster(call: Call) -> Answer {
    let backend = call.app.backend.clone();
    let value = call.app.queries.run(move || backend.cluster()).await?;
    Ok(json(value.to_string()))
}

/// `POST /api/v1/cluster/forget?node=`: that node will never come back, an operator says.
pub(crate) async fn forget(mut call: Call) -> Answer {
    let params = call.params().await?;
    let node =
        params.get("node").ok_or_else(|| Error::invalid("the parameter node is missing: the name of the node to forget"))?.to_owned();
    let backend = call.app.backend.clone();
    call.app.queries.run(move || backend.forget(&node)).await?;
    Ok(no_content())
}

/// `POST /api/v1/cluster/leave`: this node begins to leave, and ends when everything it holds is in the object store.
pub(crate) async fn leave(call: Call) -> Answer {
    call.app.backend.leave()?;
    Ok(no_content())
}

/// Which version this is, in the fields that clients know.
pub(crate) fn build() -> serde_json::Value {
    serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""})
}
