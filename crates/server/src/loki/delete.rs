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
    /// When it was read, or was last tried to be.
    read_ns: i64,
    /// Counts the requests that came or went here since: a list that was read meanwhile may lack them.
    changes: u64,
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

    /// Where the list is in the object store, which may be down, a node goes on without it and looks again soon.
    fn first(backend: &dyn Backend) -> Result<Book> {
        Book::read(backend).or_else(|e| {
            if !backend.is_clustered() {
                return Err(e);
            }
            tracing::warn!(error = %e, "delete requests cannot be read: answers may show lines that were deleted");
            Ok(Book { read_ns: backend.clock().now_ns(), ..Book::default() })
        })
    }

    fn index(&mut self) -> Result<()> {
        let mut by_tenant: BTreeMap<String, Vec<Erasure>> = BTreeMap::new();
        for r in &self.all {
            by_tenant.entry(r.tenant.clone()).or_default().push(r.erasure()?);
        }
        self.by_tenant = by_tenant.into_iter().map(|(t, e)| (t, e.into())).collect();
        Ok(())
    }
}

impl Deletions {
    /// What is deleted of a tenant's rows. A list that has become old is read again first, but no query waits long for an object store
    /// that does not answer: it goes on with what is known. May block.
    pub(crate) fn of(app: &Arc<App>, tenant: &Tenant) -> Result<Arc<[Erasure]>> {
        let now_ns = app.backend.clock().now_ns();
        let mut guard = app.deletions.0.lock();
        let book = match &mut *guard {
            Some(book) => book,
            none => none.insert(Book::first(&*app.backend)?),
        };
        if app.backend.is_clustered() && now_ns.saturating_sub(book.read_ns) > limits::DELETIONS_AGE_NS {
            book.read_ns = now_ns;
            let (app_of_it, changes) = (app.clone(), book.changes);
            let (done, is_done) = std::sync::mpsc::channel();
            let read = move || {
                app_of_it.deletions.read_again(&*app_of_it.backend, changes);
                // Whoever waited may have gone on.
                let _ = done.send(());
            };
            std::thread::Builder::new().name("deletions".into()).spawn(read)?;
            drop(guard);
            let _ = is_done.recv_timeout(limits::DELETIONS_WAIT);
            guard = app.deletions.0.lock();
        }
        let erasures = guard.as_ref().and_then(|b| b.by_tenant.get(tenant.as_str()));
        Ok(erasures.cloned().unwrap_or_default())
    }

    fn read_again(&self, backend: &dyn Backend, changes: u64) {
        match Book::read(backend) {
            Ok(new) => {
                let mut book = self.0.lock();
                if book.as_ref().is_none_or(|old| old.changes == changes) {
                    *book = Some(Book { changes, ..new });
                }
            }
            // What was deleted is still left out; what others delete meanwhile is not known.
            Err(e) => tracing::warn!(error = %e, "delete requests could not be read again"),
        }
    }

    /// Looks at the list as it is now, or changes it. May block.
    fn with<T>(&self, backend: &dyn Backend, f: impl FnOnce(&mut Book) -> Result<T>) -> Result<T> {
        let mut book = self.0.lock();
        if backend.is_clustered() || book.is_none() {
            let changes = book.as_ref().map_or(0, |b| b.changes);
            *book = Some(Book { changes, ..Book::read(backend)? });
        }
        book.as_mut().map_or_else(|| Err(Error::internal("no delete requests")), f)
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
            book.changes += 1;
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
            book.changes += 1;
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
