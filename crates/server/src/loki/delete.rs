//! Delete requests: kept durably, and honoured by every answer from then on.
//!
//! The rows themselves stay where they lie until retention takes them; a request that is cancelled gives them back. On a node
//! of a cluster requests are refused: the other nodes would not know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Error, Kind, Result, Tenant};
use logs::erase::Erasure;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{now_ns, time_of};
use crate::app::{Call, json, no_content};
use crate::backend::Backend;
use crate::limits;
use crate::routes::Answer;

/// Where requests are kept.
const DOCUMENT: &str = "log-deletions.json";

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Deletion {
    request_id: String,
    tenant: String,
    query: String,
    start_ns: i64,
    end_ns: i64,
    created_ns: i64,
}

#[derive(Default)]
struct Book {
    all: Vec<Deletion>,
    by_tenant: BTreeMap<String, Arc<[Erasure]>>,
}

/// All requests of this node, read when they are first looked at.
#[derive(Default)]
pub(crate) struct Deletions(Mutex<Option<Book>>);

impl Book {
    fn of(all: Vec<Deletion>) -> Result<Book> {
        let mut by_tenant: BTreeMap<String, Vec<Erasure>> = BTreeMap::new();
        for d in &all {
            by_tenant.entry(d.tenant.clone()).or_default().push(Erasure::new(&d.query, d.start_ns, d.end_ns)?);
        }
        Ok(Book { all, by_tenant: by_tenant.into_iter().map(|(t, e)| (t, e.into())).collect() })
    }
}

impl Deletions {
    /// What is deleted of a tenant's rows. May block.
    pub(crate) fn of(&self, backend: &dyn Backend, tenant: &Tenant) -> Result<Arc<[Erasure]>> {
        self.with(backend, |book| Ok(book.by_tenant.get(tenant.as_str()).cloned().unwrap_or_default()))
    }

    fn with<T>(&self, backend: &dyn Backend, f: impl FnOnce(&mut Book) -> Result<T>) -> Result<T> {
        let mut book = self.0.lock();
        if book.is_none() {
            let all = match backend.kept(DOCUMENT)? {
                Some(bytes) => serde_json::from_slice(&bytes)
                    .map_err(|e| Error::new(Kind::Corrupt, format!("documents/{DOCUMENT} in the data directory cannot be read: {e}")))?,
                None => vec![],
            };
            *book = Some(Book::of(all)?);
        }
        book.as_mut().map_or_else(|| Err(Error::internal("delete requests were not read")), f)
    }

    /// Changes the requests: durably first.
    fn change(&self, backend: &dyn Backend, change: impl FnOnce(&mut Vec<Deletion>) -> Result<()>) -> Result<()> {
        self.with(backend, |book| {
            let mut all = book.all.clone();
            change(&mut all)?;
            let new = Book::of(all)?;
            let bytes = serde_json::to_vec_pretty(&new.all).map_err(|e| Error::internal(e.to_string()))?;
            backend.keep(DOCUMENT, &bytes)?;
            *book = new;
            Ok(())
        })
    }
}

/// `POST|PUT /loki/api/v1/delete?query=&start=&end=`
pub(crate) async fn order(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let now_ns = now_ns(&call);
    let start_ns = time_of(&params, "start")?.ok_or_else(|| Error::invalid("parameter \"start\" is missing: the first time to delete"))?;
    let end_ns = time_of(&params, "end")?.unwrap_or(now_ns);
    Erasure::new(&query, start_ns, end_ns)?;
    let (app, tenant) = (call.app.clone(), call.tenant.as_str().to_owned());
    call.app
        .queries
        .run(move || {
            if app.backend.is_clustered() {
                return Err(Error::new(
                    Kind::Unprocessable,
                    "delete requests are not supported on a node of a cluster: the others would not know of them",
                ));
            }
            app.deletions.change(&*app.backend, |all| {
                if all.len() >= limits::DELETIONS {
                    return Err(Error::new(
                        Kind::LimitExceeded,
                        format!("there are {} delete requests, which is the most that are kept", all.len()),
                    ));
                }
                let newest = all.iter().filter_map(|d| u64::from_str_radix(&d.request_id, 16).ok()).max().unwrap_or(0);
                let request_id = format!("{:08x}", newest + 1);
                all.push(Deletion { request_id, tenant, query, start_ns, end_ns, created_ns: now_ns });
                Ok(())
            })
        })
        .await?;
    Ok(no_content())
}

/// `GET /loki/api/v1/delete`: the tenant's requests. Times are seconds.
pub(crate) async fn list(call: Call) -> Answer {
    let (app, tenant) = (call.app.clone(), call.tenant.clone());
    let list = call.app.queries.run(move || {
        app.deletions.with(&*app.backend, |book| {
            let seconds = |ns: i64| ns.div_euclid(1_000_000) as f64 / 1000.0;
            let own = book.all.iter().filter(|d| d.tenant == tenant.as_str());
            let one = |d: &Deletion| {
                serde_json::json!({
                    "request_id": d.request_id,
                    "start_time": seconds(d.start_ns),
                    "end_time": seconds(d.end_ns),
                    "query": d.query,
                    "status": "received",
                    "created_at": seconds(d.created_ns),
                })
            };
            Ok(serde_json::Value::from(own.map(one).collect::<Vec<_>>()))
        })
    });
    Ok(json(list.await?.to_string()))
}

/// `DELETE /loki/api/v1/delete?request_id=`: the rows are in answers again.
pub(crate) async fn cancel(mut call: Call) -> Answer {
    let params = call.params().await?;
    let id = params.require("request_id")?.to_owned();
    let (app, tenant) = (call.app.clone(), call.tenant.clone());
    call.app
        .queries
        .run(move || {
            app.deletions.change(&*app.backend, |all| {
                let before = all.len();
                all.retain(|d| d.tenant != tenant.as_str() || d.request_id != id);
                if all.len() < before { Ok(()) } else { Err(Error::new(Kind::NotFound, "could not find delete request with given id")) }
            })
        })
        .await?;
    Ok(no_content())
}
