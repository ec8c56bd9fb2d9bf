//! A bucket as a store: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! Calls block their caller; behind them a small runtime of their own does the waiting, so that no thread that serves
//! requests can be starved by a store, and a call can be given up. Each request is tried again a few times with growing,
//! random pauses. A create that was tried again may meet itself: it then says that the object exists, and whoever asked
//! looks what is there.

use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Kind, Result};
use bytes::Bytes;
use disk::{File, Fs};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};

use crate::limits::{PART_BYTES, network as limits};
use crate::{Created, Object, Store, check_key};

/// Where a bucket is and how to get in. What is empty comes from the environment of the process as the providers' own tools
/// read it (`AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY` and so on), or from the
/// machine's role.
#[derive(Clone, Default)]
pub struct RemoteOptions {
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Address of a server that speaks the protocol, `http://` or `https://`; empty for the provider's own.
    pub endpoint: String,
    /// Region of an S3 bucket; for Azure, the name of the account.
    pub region: String,
    /// Id of an access key (S3).
    pub access_key: String,
    /// Secret of it; for Azure the account's key, for Google a service account's key as JSON.
    pub secret_key: String,
}

/// A bucket.
pub struct Remote {
    store: Arc<dyn ObjectStore>,
    runtime: Option<tokio::runtime::Runtime>,
    prefix: String,
    name: String,
}

impl Remote {
    /// Opens no connection yet. An error of kind `Invalid` for settings that cannot work.
    pub fn new(o: &RemoteOptions) -> Result<Remote> {
        // A second one is as good as the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |why: String| Error::invalid(format!("{}: {why}", o.url));
        let (scheme, rest) = o.url.split_once("://").ok_or_else(|| bad("not the address of a bucket".into()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/').to_owned();
        if bucket.is_empty() {
            return Err(bad("no bucket".into()));
        }
        if !prefix.is_empty() {
            check_key(&prefix)?;
        }
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" => Arc::new(s3(o, bucket).map_err(|e| bad(e.to_string()))?),
            "gs" => Arc::new(google(o, bucket).map_err(|e| bad(e.to_string()))?),
            "az" => Arc::new(azure(o, bucket).map_err(|e| bad(e.to_string()))?),
            _ => return Err(bad("s3://, gs:// and az:// are known".into())),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_all().build()?;
        Ok(Remote { store, runtime: Some(runtime), prefix, name: o.url.clone() })
    }

    fn key(&self, key: &str) -> Result<Key> {
        check_key(key)?;
        Ok(if self.prefix.is_empty() { Key::from(key) } else { Key::from(format!("{}/{key}", self.prefix)) })
    }

    /// Runs a call to its end, or to the end of its time.
    fn call<T: Send + 'static>(
        &self,
        what: &str,
        at_most: Duration,
        future: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::unavailable("the store is closed"))?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let task = runtime.spawn(async move {
            let _ = tell.send(future.await);
        });
        match told.recv_timeout(at_most) {
            Ok(result) => result.map_err(|e| self.error(what, &e)),
            Err(_) => {
                task.abort();
                Err(Error::unavailable(format!("{}: {what}: no answer within {} s", self.name, at_most.as_secs())))
            }
        }
    }

    fn error(&self, what: &str, e: &object_store::Error) -> Error {
        use object_store::Error as E;
        let text = format!("{}: {what}: {}", self.name, told(e));
        match e {
            E::NotFound { .. } => Error::new(Kind::NotFound, text),
            E::PermissionDenied { .. } => Error::new(Kind::Forbidden, text),
            E::Unauthenticated { .. } => Error::new(Kind::Unauthenticated, text),
            E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } | E::UnknownConfigurationKey { .. } => {
                Error::invalid(text)
            }
            _ => Error::unavailable(text),
        }
    }

    /// Uploads in parts, a few at once. What fails is aborted, so that no parts are left to be paid for.
    fn put_parts(&self, key: &Key, file: &dyn File, len: u64) -> Result<()> {
        let store = self.store.clone();
        let to = key.clone();
        let mut upload = self.call("beginning an upload", limits::CALL, async move { store.put_multipart(&to).await })?;
        let sent = self.send_parts(&mut upload, file, len);
        let at_most = limits::CALL;
        match sent {
            Ok(()) => self.call("ending an upload", at_most, async move {
                match upload.complete().await {
                    Ok(_) => Ok(()),
                    Err(e) => {
                        let _ = upload.abort().await;
                        Err(e)
                    }
                }
            }),
            Err(e) => {
                if let Err(abort) = self.call("aborting an upload", at_most, async move { upload.abort().await }) {
                    tracing::warn!(key = %key, error = %abort, "parts of an upload are left in the store");
                }
                Err(e)
            }
        }
    }

    fn send_parts(&self, upload: &mut Box<dyn MultipartUpload>, file: &dyn File, len: u64) -> Result<()> {
        let mut at = 0;
        while at < len {
            let mut parts = vec![];
            while at < len && parts.len() < limits::PARTS_AT_ONCE {
                let mut part = vec![0; (len - at).min(PART_BYTES) as usize];
                file.read_exact_at(at, &mut part)?;
                at += part.len() as u64;
                parts.push(upload.put_part(PutPayload::from(part)));
            }
            self.call("uploading a part", limits::CALL, async move { futures_util::future::try_join_all(parts).await.map(|_| ()) })?;
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Nobody waits for what is still under way, and whoever drops it may be a thread that must not block.
        if let Some(r) = self.runtime.take() {
            r.shutdown_background();
        }
    }
}

impl Store for Remote {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let (store, to) = (self.store.clone(), self.key(key)?);
        self.call(&format!("writing {key}"), limits::CALL, async move { store.put(&to, data.into()).await.map(|_| ()) })
    }

    fn create(&self, key: &str, data: Bytes) -> Result<Created> {
        let (store, to) = (self.store.clone(), self.key(key)?);
        self.call(&format!("creating {key}"), limits::CALL, async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match store.put_opts(&to, data.into(), options).await {
                Ok(_) => Ok(Created::Yes),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(Created::Exists),
                Err(e) => Err(e),
            }
        })
    }

    fn put_file(&self, key: &str, fs: &dyn Fs, path: &Path) -> Result<()> {
        let file = fs.open(path)?;
        let len = file.len()?;
        if len > PART_BYTES {
            return self.put_parts(&self.key(key)?, &*file, len);
        }
        let mut data = vec![0; len as usize];
        file.read_exact_at(0, &mut data)?;
        self.put(key, data.into())
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let (store, from) = (self.store.clone(), self.key(key)?);
        let want = range.end.checked_sub(range.start).ok_or_else(|| Error::invalid("not a range"))?;
        if want == 0 {
            return Ok(Bytes::new());
        }
        let bytes = self.call(&format!("reading {key}"), limits::CALL, async move { store.get_range(&from, range).await })?;
        if bytes.len() as u64 == want { Ok(bytes) } else { Err(Error::corrupt(format!("{}: {key} ends before its meta says", self.name))) }
    }

    fn get(&self, key: &str) -> Result<Bytes> {
        let (store, from) = (self.store.clone(), self.key(key)?);
        self.call(&format!("reading {key}"), limits::CALL, async move { store.get(&from).await?.bytes().await })
    }

    fn len(&self, key: &str) -> Result<u64> {
        let (store, of) = (self.store.clone(), self.key(key)?);
        self.call(&format!("asking for {key}"), limits::CALL, async move { store.head(&of).await.map(|m| m.size) })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let store = self.store.clone();
        let below =
            [self.prefix.as_str(), prefix.trim_end_matches('/')].iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/");
        let skip = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let found = self.call(&format!("listing {prefix}"), limits::LISTING, async move {
            let below = (!below.is_empty()).then(|| Key::from(below));
            let mut objects = store.list(below.as_ref());
            let mut out = vec![];
            while let Some(o) = objects.try_next().await? {
                out.push((o.location.to_string(), o.size));
                if out.len() > limits::LISTED {
                    break;
                }
            }
            Ok(out)
        })?;
        if found.len() > limits::LISTED {
            return Err(Error::new(Kind::TooLarge, format!("{}: more than {} objects below {prefix:?}", self.name, limits::LISTED)));
        }
        let object = |(at, len): (String, u64)| Some(Object { key: decoded(at.get(skip..)?), len });
        let mut out: Vec<Object> = found.into_iter().filter_map(object).filter(|o| o.key.starts_with(prefix)).collect();
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn delete(&self, key: &str) -> Result<()> {
        let (store, at) = (self.store.clone(), self.key(key)?);
        self.call(&format!("deleting {key}"), limits::CALL, async move {
            match store.delete(&at).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                other => other,
            }
        })
    }

    fn abandon(&self, key: &str) -> Result<()> {
        let (store, to) = (self.store.clone(), self.key(key)?);
        self.call("abandoning an upload", limits::CALL, async move {
            let mut upload = store.put_multipart(&to).await?;
            upload.put_part(PutPayload::from(vec![0; 1000])).await?;
            upload.abort().await
        })
    }
}

fn client(o: &RemoteOptions) -> (ClientOptions, RetryConfig) {
    let options = ClientOptions::new()
        .with_connect_timeout(limits::CONNECT)
        .with_timeout(limits::REQUEST)
        .with_allow_http(o.endpoint.starts_with("http://"));
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
    (options, RetryConfig { backoff, max_retries: limits::RETRIES, retry_timeout: limits::RETRIES_FOR })
}

fn s3(o: &RemoteOptions, bucket: &str) -> object_store::Result<impl ObjectStore + use<>> {
    let (options, retry) = client(o);
    // Objects are deleted one by one, in an order that matters.
    let mut b =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).with_client_options(options).with_disable_bulk_delete(true);
    if !o.endpoint.is_empty() {
        b = b.with_endpoint(&o.endpoint);
    }
    if !o.region.is_empty() {
        b = b.with_region(&o.region);
    }
    if !o.access_key.is_empty() {
        b = b.with_access_key_id(&o.access_key);
    }
    if !o.secret_key.is_empty() {
        b = b.with_secret_access_key(&o.secret_key);
    }
    b.build()
}

fn google(o: &RemoteOptions, bucket: &str) -> object_store::Result<impl ObjectStore + use<>> {
    let (options, retry) = client(o);
    let mut b = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry).with_client_options(options);
    if !o.endpoint.is_empty() {
        b = b.with_base_url(&o.endpoint);
    }
    if !o.secret_key.is_empty() {
        b = b.with_service_account_key(&o.secret_key);
    }
    b.build()
}

fn azure(o: &RemoteOptions, container: &str) -> object_store::Result<impl ObjectStore + use<>> {
    let (options, retry) = client(o);
    let mut b = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry).with_client_options(options);
    if !o.endpoint.is_empty() {
        b = b.with_endpoint(o.endpoint.clone());
    }
    if !o.region.is_empty() {
        b = b.with_account(&o.region);
    }
    if !o.secret_key.is_empty() {
        b = b.with_access_key(&o.secret_key);
    }
    b.build()
}

/// The innermost reason of an error: what is around it repeats the address.
fn told(e: &object_store::Error) -> String {
    let mut last: &dyn std::error::Error = e;
    while let Some(inner) = last.source() {
        last = inner;
    }
    let (outer, inner) = (e.to_string(), last.to_string());
    // Answers of servers may be pages long.
    let text = if outer.contains(&inner) { outer } else { format!("{outer}: {inner}") };
    text.chars().take(500).collect()
}

/// Keys as they were given: the only character of ours that is written another way in a bucket is the asterisk.
fn decoded(key: &str) -> String {
    key.replace("%2A", "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "bucket", "ftp://x", "s3://", "s3:///a", "s3://b/a/../c"] {
            let e = Remote::new(&RemoteOptions { url: url.into(), ..RemoteOptions::default() }).err();
            assert_eq!(e.map(|e| e.kind()), Some(Kind::Invalid), "{url}");
        }
    }

    #[test]
    fn keys_survive_the_way_through_a_bucket() {
        let key = "blocks/t/A!_.*'()-z/1970-01-01/b1/data.n.ff.parquet";
        assert_eq!(decoded(Key::from(key).as_ref()), key);
    }
}
