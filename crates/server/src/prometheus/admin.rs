//! Deletion of series: kept durably, and honoured by every answer from then on.
//!
//! The samples stay where they lie until retention takes them, so there are no tombstones to clean. On a node of a cluster requests
//! are refused: the other nodes would not know of them.

use std::collections::BTreeMap;

use base::{Error, Kind, Result, Tenant};
use metrics::erase::{Erasure, Erasures};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::time_of;
use crate::app::{Call, no_content};
use crate::backend::Backend;
use crate::limits;
use crate::routes::Answer;

/// Where requests are kept.
const DOCUMENT: &str = "series-deletions.json";

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deletion {
    tenant: String,
    selector: String,
    start_ms: i64,
    end_ms: i64,
    created_ms: i64,
}

#[derive(Default)]
struct Book {
    all: Vec<Deletion>,
    by_tenant: BTreeMap<String, Erasures>,
}

/// All requests of this node, read when they are first looked at.
#[derive(Default)]
pub(crate) struct Deletions(Mutex<Option<Book>>);

impl Book {
    fn of(all: Vec<Deletion>) -> Result<Book> {
        let mut by_tenant: BTreeMap<String, Vec<Erasure>> = BTreeMap::new();
        for d in &all {
            by_tenant.entry(d.tenant.clone()).or_default().push(Erasure::new(&d.selector, d.start_ms, d.end_ms)?);
        }
        Ok(Book { all, by_tenant: by_tenant.into_iter().map(|(t, e)| (t, e.into())).collect() })
    }

    fn read(backend: &dyn Backend) -> Result<Book> {
        let Some((_, bytes)) = backend.kept(DOCUMENT)?.into_iter().find(|d| d.0 == DOCUMENT) else { return Ok(Book::default()) };
        let all = serde_json::from_slice(&bytes)
            .map_err(|e| Error::new(Kind::Corrupt, format!("documents/{DOCUMENT} in the data directory cannot be read: {e}")))?;
        Book::of(all)
    }
}

impl Deletions {
    /// What is deleted of a tenant's series. May block.
    pub(crate) fn of(&self, backend: &dyn Backend, tenant: &Tenant) -> Result<Erasures> {
        if backend.is_clustered() {
            return Ok(Erasures::default());
        }
        let mut book = self.0.lock();
        let book = match &mut *book {
            Some(b) => b,
            none => none.insert(Book::read(backend)?),
        };
        Ok(book.by_tenant.get(tenant.as_str()).cloned().unwrap_or_default())
    }

    /// Adds requests: durably first.
    fn add(&self, backend: &dyn Backend, new: Vec<Deletion>) -> Result<()> {
        let mut book = self.0.lock();
        let mut all = match &*book {
            Some(b) => b.all.clone(),
            None => Book::read(backend)?.all,
        };
        let is_known = |d: &Deletion| all.iter().any(|k| Deletion { created_ms: k.created_ms, ..d.clone() } == *k);
        let new: Vec<Deletion> = new.into_iter().filter(|d| !is_known(d)).collect();
        if all.len() + new.len() > limits::DELETIONS {
            let text = format!("there are {} deletions of series, and {} are kept at most", all.len(), limits::DELETIONS);
            return Err(Error::new(Kind::LimitExceeded, text));
        }
        all.extend(new);
        let changed = Book::of(all)?;
        let bytes = serde_json::to_vec_pretty(&changed.all).map_err(|e| Error::internal(e.to_string()))?;
        backend.keep(DOCUMENT, &bytes)?;
        *book = Some(changed);
        Ok(())
    }
}

/// `POST|PUT /api/v1/admin/tsdb/delete_series?match[]=&start=&end=`
pub(super) async fn delete_series(mut call: Call) -> Answer {
    let params = call.params().await?;
    let selectors: Vec<String> = params.all("match[]").map(str::to_owned).collect();
    if selectors.is_empty() {
        return Err(Error::invalid("no match[] parameter provided"));
    }
    let (start_ms, end_ms) = (time_of(&params, "start")?.unwrap_or(i64::MIN), time_of(&params, "end")?);
    let created_ms = call.app.backend.clock().now_ms();
    // Without an end, what is there now: not what is written from now on.
    let end_ms = end_ms.unwrap_or(created_ms);
    let mut new = vec![];
    for selector in selectors {
        Erasure::new(&selector, start_ms, end_ms)?;
        new.push(Deletion { tenant: call.tenant.as_str().to_owned(), selector, start_ms, end_ms, created_ms });
    }
    let app = call.app.clone();
    let keep = move || {
        if app.backend.is_clustered() {
            let text = "series cannot be deleted on a node of a cluster: the others would not know of it";
            return Err(Error::new(Kind::Unprocessable, text));
        }
        app.series_deletions.add(&*app.backend, new)
    };
    call.app.queries.run(keep).await?;
    Ok(no_content())
}
