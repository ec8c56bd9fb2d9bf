//! Trying everything that is needed of a store, one call after the other, on objects of its own that go again.

use std::path::Path;

use base::{Error, Kind, Result};
use bytes::Bytes;
use disk::{Fs, SimFs};

use crate::{Created, Store, limits};

/// One thing that was tried.
pub struct Step {
    /// What.
    pub what: &'static str,
    /// What must be allowed or supported for it, in the words of the S3 protocol.
    pub needs: &'static str,
    /// How it went.
    pub result: Result<()>,
}

/// Tries all of it. Errors of the store are in the steps.
pub fn check(store: &dyn Store) -> Result<Vec<Step>> {
    let name = format!("check/{:016x}", base::hash::hash128(format!("{:p} {}", store, std::process::id()).as_bytes()) as u64);
    let (plain, once, large) = (format!("{name}/plain"), format!("{name}/once"), format!("{name}/large"));
    // A file in memory: the check needs no disk.
    let memory = SimFs::default();
    let size = limits::PART_BYTES + 1000;
    memory.create(Path::new("/large"))?.write_at(0, &vec![1; size as usize])?;
    let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(Error::internal(what)) };
    let again = || match store.create(&once, Bytes::from_static(b"second"))? {
        Created::Exists => must(store.get(&once)? == "first", "the first object was overwritten"),
        Created::Yes => Err(Error::internal("the second write was told that it was the first: conditional writes are not supported")),
    };
    let listed = || must(store.list(&format!("{name}/"))?.len() == 3, "not every object that was written is listed");
    let gone = || -> Result<()> {
        for key in [&plain, &once, &large] {
            store.delete(key)?;
        }
        must(matches!(store.get(&plain), Err(e) if e.kind() == Kind::NotFound), "a deleted object is still there")
    };
    type Try<'a> = (&'static str, &'static str, &'a dyn Fn() -> Result<()>);
    let tries: [Try<'_>; 9] = [
        ("write an object", "needs s3:PutObject", &|| store.put(&plain, Bytes::from_static(b"0123456789"))),
        ("read it", "needs s3:GetObject", &|| must(store.get(&plain)? == "0123456789", "it reads back as something else")),
        ("read a range of it", "needs s3:GetObject, and ranges", &|| must(store.get_range(&plain, 2..5)? == "234", "the range is another")),
        ("create an object", "needs s3:PutObject with If-None-Match", &|| {
            must(store.create(&once, Bytes::from_static(b"first"))? == Created::Yes, "a new object exists already")
        }),
        ("create it again and be refused", "needs If-None-Match: two writers of one block must not both win", &again),
        ("write an object in parts", "needs s3:PutObject and multipart uploads", &|| {
            store.put_file(&large, &memory, Path::new("/large"))?;
            must(store.len(&large)? == size, "its length is another")
        }),
        ("give up an upload in parts", "needs s3:AbortMultipartUpload", &|| store.abandon(&format!("{name}/abandoned"))),
        ("list objects", "needs s3:ListBucket", &listed),
        ("delete objects", "needs s3:DeleteObject", &gone),
    ];
    Ok(tries.into_iter().map(|(what, needs, does)| Step { what, needs, result: does() }).collect())
}
