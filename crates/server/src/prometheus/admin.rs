//! Deletion of series: kept durably, and honoured by every answer from then on; and snapshots.
//!
//! The samples go with the next merge of their blocks, or when it is asked for. On a node of a cluster requests are refused: the other
//! nodes would not know of them.

use std::collections::BTreeMap;

use base::hash::hash128;
use base::{Error, Kind, Result, Tenant};
use metrics::erase::{DOCUMENT, Deletion, Erasure, Erasures};
use parking_lot::Mutex;

use super::{success, time_of};
use crate::app::{Call, no_content};
use crate::backend::Backend;
use crate::limits;
use crate::routes::Answer;

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
            by_tenant.entry(d.tenant.clone()).or_default().push(d.erasure()?);
        }
        Ok(Book { all, by_tenant: by_tenant.into_iter().map(|(t, e)| (t, e.into())).collect() })
    }

    fn read(backend: &dyn Backend) -> Result<Book> {
        let Some((_, bytes)) = backend.kept(DOCUMENT)?.into_iter().find(|d| d.0 == DOCUMENT) else { return Ok(Book::default()) };
        Book::of(Deletion::read(&bytes)?)
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

/// `POST|PUT /api/v1/admin/tsdb/clean_tombstones`: returns when blocks hold nothing more of what is deleted.
pub(super) async fn clean_tombstones(call: Call) -> Answer {
    let app = call.app.clone();
    // In a cluster nothing is deleted.
    call.app.queries.run(move || if app.backend.is_clustered() { Ok(()) } else { app.backend.flush() }).await?;
    Ok(no_content())
}

/// `POST|PUT /api/v1/admin/tsdb/snapshot?skip_head=`: a copy of everything, all tenants', in `snapshots/<name>` of the data directory.
pub(super) async fn snapshot(mut call: Call) -> Answer {
    let skip_head = match call.params().await?.get("skip_head") {
        // As Go reads it.
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(other) => return Err(Error::invalid(format!("unable to parse boolean {other:?} of skip_head"))),
    };
    let now_ns = call.app.backend.clock().now_ns();
    let name = snapshot_name(now_ns);
    let (app, made) = (call.app.clone(), name.clone());
    call.app.queries.run(move || app.backend.snapshot(&made, !skip_head)).await?;
    success(&serde_json::json!({ "name": name }))
}

/// `20171210T211224Z-2be650b6d019eb54`: the second, and what tells two of one second apart.
fn snapshot_name(now_ns: i64) -> String {
    let second: String = base::units::format_rfc3339(now_ns).chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{second}-{:016x}", hash128(&now_ns.to_le_bytes()) as u64)
}

#[cfg(test)]
mod tests {
    use super::snapshot_name;

    #[test]
    fn names_of_snapshots() {
        let name = snapshot_name(1_512_940_344_000_000_000);
        assert!(name.starts_with("20171210T211224Z-") && name.len() == 33, "{name}");
        assert_ne!(name, snapshot_name(1_512_940_344_000_000_001));
    }
}
