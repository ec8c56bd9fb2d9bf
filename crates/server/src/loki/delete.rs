//! Delete requests: kept durably, honoured by every answer from then on, and by every merge when they are due.
//!
//! A request that is cancelled before it is due gives its rows back; after that they may be gone. In a cluster requests are in the
//! object store: the node that takes one honours it at once, the others when they next read the list.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Error, Kind, Result, Tenant};
use logs::erase::{DOCUMENTS, Erasure, Request};
use parking_lot::Mutex;

use super::{now_ns, time_of};
use crate::app::{App, Call, json, no_content};
use crate::backend::Backend;
use crate::limits;
use crate::routes::Answer;

#[derive(Default)]
struct Book {
    all: Vec<Request>,
    by_tenant: BTreeMap<String, Arc<[Erasure]>>,
    read_ns: i64,
}

/// All requests, read when they are first looked at, and in a cluster again and again.
#[derive(Default)]
pub(crate) struct Deletions(Mutex<Option<Book>>);

impl Book {
    fn read(backend: &dyn Backend) -> Result<Book> {
        let read_ns = backend.clock().now_ns();
        let all = backend.kept(DOCUMENTS)?.iter().map(|(name, bytes)| Request::read(name, bytes)).collect::<Result<_>>()?;
        let mut book = Book { all, read_ns, ..Book::default() };
        book.index()?;
        Ok(book)
    }

    fn index(&mut self) -> Result<()> {
        let mut by_tenant: BTreeMap<String, Vec<Erasure>> = BTreeMap::new();
        for r in &self.all {
            by_tenant.entry(r.tenant.clone()).or_default().push(r.erasure()?);
        }
        self.by_tenant = by_tenant.into_iter().map(|(t, e)| (t, e.into())).collect();
        Ok(())
    }

    fn is_old(&self, backend: &dyn Backend) -> bool {
        backend.is_clustered() && backend.clock().now_ns().saturating_sub(self.read_ns) > limits::DELETIONS_AGE_NS
    }
}

impl Deletions {
    /// What is deleted of a tenant's rows. May block.
    pub(crate) fn of(&self, backend: &dyn Backend, tenant: &Tenant) -> Result<Arc<[Erasure]>> {
        self.with(backend, |book| Ok(book.by_tenant.get(tenant.as_str()).cloned().unwrap_or_default()))
    }

    fn with<T>(&self, backend: &dyn Backend, f: impl FnOnce(&mut Book) -> Result<T>) -> Result<T> {
        let mut book = self.0.lock();
        let read = match &mut *book {
            None => Book::read(backend)?,
            Some(old) if old.is_old(backend) => Book::read(backend).unwrap_or_else(|e| {
                // What was deleted is still left out; what others delete meanwhile is not known.
                tracing::warn!(error = %e, "delete requests could not be read again");
                Book { read_ns: backend.clock().now_ns(), ..std::mem::take(old) }
            }),
            Some(book) => return f(book),
        };
        f(book.insert(read))
    }

    /// Takes a request: durably first.
    fn add(&self, backend: &dyn Backend, mut new: Request) -> Result<()> {
        self.with(backend, |book| {
            if book.all.len() >= limits::DELETIONS {
                let text = format!("there are {} delete requests, which is the most that are kept", book.all.len());
                return Err(Error::new(Kind::LimitExceeded, text));
            }
            // Their time is their name; of one moment there may be two.
            let mut name = new.created_ns.max(0) as u64;
            while book.all.iter().any(|r| r.request_id == format!("{name:016x}")) {
                name += 1;
            }
            new.request_id = format!("{name:016x}");
            let bytes = serde_json::to_vec_pretty(&new).map_err(|e| Error::internal(e.to_string()))?;
            backend.keep(&new.document(), &bytes)?;
            book.all.push(new);
            book.index()
        })
    }

    fn cancel(&self, app: &App, tenant: &Tenant, id: &str, force: bool) -> Result<()> {
        let backend = &*app.backend;
        self.with(backend, |book| {
            let is_it = |r: &Request| r.tenant == tenant.as_str() && r.request_id == id;
            let found = book.all.iter().find(|r| is_it(r));
            let found = found.ok_or_else(|| Error::new(Kind::NotFound, "could not find delete request with given id"))?;
            if !force && is_due(app, found) {
                return Err(Error::invalid(
                    "deletion of request which is in process or already processed is not allowed: some of its lines are gone (force=true brings the others back)",
                ));
            }
            backend.discard(&found.document())?;
            book.all.retain(|r| !is_it(r));
            book.index()
        })
    }
}

/// Whether merges leave its rows out.
fn is_due(app: &App, r: &Request) -> bool {
    let after_ns = i64::try_from(app.settings.erase_after.as_nanos()).unwrap_or(i64::MAX);
    r.created_ns < app.backend.clock().now_ns().saturating_sub(after_ns)
}

/// `POST|PUT /loki/api/v1/delete?query=&start=&end=`
pub(crate) async fn order(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let created_ns = now_ns(&call);
    let start_ns = time_of(&params, "start")?.ok_or_else(|| Error::invalid("parameter \"start\" is missing: the first time to delete"))?;
    let end_ns = time_of(&params, "end")?.unwrap_or(created_ns);
    Erasure::new(&query, start_ns, end_ns)?;
    let (app, tenant) = (call.app.clone(), call.tenant.as_str().to_owned());
    let new = Request { request_id: String::new(), tenant, query, start_ns, end_ns, created_ns };
    call.app.queries.run(move || app.deletions.add(&*app.backend, new)).await?;
    Ok(no_content())
}

/// `GET /loki/api/v1/delete`: the tenant's requests. Times are seconds.
pub(crate) async fn list(call: Call) -> Answer {
    let (app, tenant) = (call.app.clone(), call.tenant.clone());
    let list = call.app.queries.run(move || {
        app.deletions.with(&*app.backend, |book| {
            let seconds = |ns: i64| ns.div_euclid(1_000_000) as f64 / 1000.0;
            let own = book.all.iter().filter(|d| d.tenant == tenant.as_str());
            let one = |d: &Request| {
                serde_json::json!({
                    "request_id": d.request_id,
                    "start_time": seconds(d.start_ns),
                    "end_time": seconds(d.end_ns),
                    "query": d.query,
                    "status": if is_due(&app, d) { "processed" } else { "received" },
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
    let force = params.get("force").is_some_and(|f| f == "true");
    let (app, tenant) = (call.app.clone(), call.tenant.clone());
    call.app.queries.run(move || app.deletions.cancel(&app, &tenant, &id, force)).await?;
    Ok(no_content())
}
