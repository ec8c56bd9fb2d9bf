//! A small server that speaks as much S3 as we use, to run the client against: conditional writes decided under a lock, parts,
//! ranges, pages of lists, and failures on command.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Kind;
use bytes::Bytes;
use disk::RealFs;
use parking_lot::Mutex;
use store::{Created, Remote, RemoteOptions, Store};

use crate::conformance::conforms;

#[derive(Default)]
struct Server {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    uploads: Mutex<BTreeMap<String, BTreeMap<u64, Vec<u8>>>>,
    requests: AtomicU64,
    /// Every n-th request gets a 503; 0 for none.
    fail_every: AtomicU64,
    /// Of creates: done, and then answered by nothing.
    swallow_creates: AtomicU64,
    deny: AtomicU64,
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn decoded(s: &str) -> String {
    let mut out = vec![];
    let mut b = s.bytes();
    while let Some(c) = b.next() {
        match c {
            b'%' => out.push(u8::from_str_radix(&format!("{}{}", b.next().unwrap() as char, b.next().unwrap() as char), 16).unwrap()),
            c => out.push(c),
        }
    }
    String::from_utf8(out).unwrap()
}

fn request(r: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if r.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut h = String::new();
        r.read_line(&mut h).ok()?;
        let Some((k, v)) = h.trim_end().split_once(':') else { break };
        headers.insert(k.to_ascii_lowercase(), v.trim().to_owned());
    }
    let len: usize = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; len];
    r.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let key = decoded(path).strip_prefix("/bucket").unwrap_or("").trim_start_matches('/').to_owned();
    let pair = |p: &str| p.split_once('=').map_or((decoded(p), String::new()), |(k, v)| (decoded(k), decoded(v)));
    let query = query.split('&').filter(|p| !p.is_empty()).map(pair).collect();
    Some(Request { method, key, query, headers, body })
}

impl Server {
    fn start() -> (Arc<Server>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Server::default());
        let shared = server.clone();
        std::thread::Builder::new()
            .name("s3".into())
            .spawn(move || {
                for c in listener.incoming().flatten() {
                    let s = shared.clone();
                    std::thread::Builder::new().name("s3-connection".into()).spawn(move || s.connection(c)).unwrap();
                }
            })
            .unwrap();
        (server, address)
    }

    fn connection(&self, c: TcpStream) {
        let mut r = BufReader::new(c.try_clone().unwrap());
        let mut w = c;
        while let Some(q) = request(&mut r) {
            let n = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            let every = self.fail_every.load(Ordering::SeqCst);
            let creates = q.method == "PUT" && q.headers.contains_key("if-none-match");
            let (status, headers, body) = if self.deny.load(Ordering::SeqCst) > 0 {
                (403, vec![], b"<Error><Code>AccessDenied</Code></Error>".to_vec())
            } else if every > 0 && n.is_multiple_of(every) {
                (503, vec![], b"<Error><Code>SlowDown</Code></Error>".to_vec())
            } else {
                self.answer(&q)
            };
            if creates && self.swallow_creates.load(Ordering::SeqCst) > 0 {
                self.swallow_creates.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            let mut head = format!("HTTP/1.1 {status} x\r\n");
            if !headers.iter().any(|(k, _): &(&str, String)| *k == "content-length") {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            headers.iter().for_each(|(k, v)| head.push_str(&format!("{k}: {v}\r\n")));
            if w.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| w.write_all(&body)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, q: &Request) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
        let etag = ("etag", "\"x\"".to_owned());
        let modified = ("last-modified", "Thu, 26 Nov 2026 12:00:00 GMT".to_owned());
        let mut objects = self.objects.lock();
        match q.method.as_str() {
            "GET" if q.query.contains_key("list-type") => (200, vec![], list(&objects, q)),
            "GET" => match objects.get(&q.key) {
                None => (404, vec![], vec![]),
                Some(o) => match q.headers.get("range").map(|r| r.trim_start_matches("bytes=").split_once('-').unwrap()) {
                    None => (200, vec![etag, modified], o.clone()),
                    Some((from, to)) => {
                        let (from, to) = (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(o.len().saturating_sub(1)));
                        if from >= o.len() {
                            return (416, vec![], vec![]);
                        }
                        let range = ("content-range", format!("bytes {from}-{to}/{}", o.len()));
                        (206, vec![etag, modified, range], o[from..=to].to_vec())
                    }
                },
            },
            "HEAD" => match objects.get(&q.key) {
                None => (404, vec![], vec![]),
                Some(o) => (200, vec![etag, modified, ("content-length", o.len().to_string())], vec![]),
            },
            "PUT" if q.query.contains_key("uploadId") => {
                let n = q.query["partNumber"].parse().unwrap();
                self.uploads.lock().get_mut(&q.query["uploadId"]).unwrap().insert(n, q.body.clone());
                (200, vec![etag], vec![])
            }
            "PUT" if q.headers.contains_key("if-none-match") && objects.contains_key(&q.key) => (412, vec![], vec![]),
            "PUT" => {
                objects.insert(q.key.clone(), q.body.clone());
                (200, vec![etag], vec![])
            }
            "POST" if q.query.contains_key("uploads") => {
                let id = format!("u{}", self.requests.load(Ordering::SeqCst));
                self.uploads.lock().insert(id.clone(), BTreeMap::new());
                let xml = format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
                (200, vec![], xml.into_bytes())
            }
            "POST" => {
                let parts = self.uploads.lock().remove(&q.query["uploadId"]).unwrap();
                objects.insert(q.key.clone(), parts.into_values().flatten().collect());
                (200, vec![], b"<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>".to_vec())
            }
            "DELETE" if q.query.contains_key("uploadId") => {
                self.uploads.lock().remove(&q.query["uploadId"]);
                (204, vec![], vec![])
            }
            "DELETE" => {
                objects.remove(&q.key);
                (204, vec![], vec![])
            }
            _ => (405, vec![], vec![]),
        }
    }
}

/// Pages of two, so that every listing has many.
fn list(objects: &BTreeMap<String, Vec<u8>>, q: &Request) -> Vec<u8> {
    let prefix = q.query.get("prefix").cloned().unwrap_or_default();
    let after = q.query.get("continuation-token").cloned().unwrap_or_default();
    let mine: Vec<_> = objects.iter().filter(|(k, _)| k.starts_with(&prefix) && **k > after).collect();
    let page = &mine[..mine.len().min(2)];
    let mut xml = "<ListBucketResult>".to_owned();
    for (k, v) in page {
        let k = k.replace('&', "&amp;").replace('\'', "&apos;");
        xml.push_str(&format!(
            "<Contents><Key>{k}</Key><Size>{}</Size><LastModified>2026-11-26T12:00:00.000Z</LastModified><ETag>x</ETag></Contents>",
            v.len()
        ));
    }
    if let (true, Some((last, _))) = (mine.len() > page.len(), page.last()) {
        xml.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", last.replace('\'', "&apos;")));
    }
    (xml + "</ListBucketResult>").into_bytes()
}

fn remote(endpoint: &str, prefix: &str) -> Arc<Remote> {
    let options = RemoteOptions {
        url: format!("s3://bucket{prefix}"),
        endpoint: endpoint.into(),
        region: "us-east-1".into(),
        access_key: "test".into(),
        secret_key: "secret".into(),
    };
    Arc::new(Remote::new(&options).unwrap())
}

#[test]
fn a_bucket_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = Server::start();
    // 40 MB go in three parts.
    conforms(remote(&address, ""), &RealFs, dir.path(), 40_000_000);
    assert!(server.uploads.lock().is_empty(), "no upload is left open");
    let (server, address) = Server::start();
    conforms(remote(&address, "/some/prefix"), &RealFs, dir.path(), 1000);
    assert!(server.objects.lock().keys().all(|k| k.starts_with("some/prefix/")));
}

/// Against another server than ours, if one is named: it must have a bucket `bucket`. tests/e2e/s3.py does that.
#[test]
fn a_bucket_of_another_server_conforms() {
    match std::env::var("WATCHFIRE_TEST_S3") {
        Ok(address) => {
            let dir = tempfile::tempdir().unwrap();
            conforms(remote(&address, "/conformance"), &RealFs, dir.path(), 40_000_000);
        }
        Err(_) => println!("SKIPPED: WATCHFIRE_TEST_S3 names no server"),
    }
}

#[test]
fn requests_that_fail_now_and_then_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = Server::start();
    server.fail_every.store(3, Ordering::SeqCst);
    conforms(remote(&address, ""), &RealFs, dir.path(), 40_000_000);
}

#[test]
fn a_create_whose_answer_is_lost_is_there_or_exists() {
    let (server, address) = Server::start();
    let s = remote(&address, "");
    server.swallow_creates.store(1, Ordering::SeqCst);
    match s.create("meta", Bytes::from_static(b"mine")) {
        // Not known, or tried again and met itself: never told that it is new when it is not.
        Err(e) => assert_eq!(e.kind(), Kind::Unavailable),
        Ok(c) => assert_eq!(c, Created::Exists),
    }
    assert_eq!(s.get("meta").unwrap(), "mine");
    assert_eq!(s.create("meta", Bytes::from_static(b"other")).unwrap(), Created::Exists);
}

#[test]
fn refusal_and_absence_are_told_apart() {
    let (server, address) = Server::start();
    let s = remote(&address, "");
    server.deny.store(1, Ordering::SeqCst);
    assert_eq!(s.get("x").unwrap_err().kind(), Kind::Forbidden);
    assert!(s.get("x").unwrap_err().message().contains("AccessDenied"), "{}", s.get("x").unwrap_err());
    server.deny.store(0, Ordering::SeqCst);
    assert_eq!(s.get("x").unwrap_err().kind(), Kind::NotFound);
    // Nobody listens there.
    let began = std::time::Instant::now();
    let gone = remote("http://127.0.0.1:1", "").get("x").unwrap_err();
    assert_eq!(gone.kind(), Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(60), "a call ends within its bound");
}
