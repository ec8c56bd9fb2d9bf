//! What it costs to talk: `cargo bench -p watchfire-cluster`. Both ends are in this process, so CPU is that of caller and listener
//! together, proofs included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Result;
use bytes::Bytes;
use cluster::transport::http::{Http, Secret, Settings};
use cluster::transport::{Answers, LateService, Method, Service, Transport};
use table::Cancel;

const DEADLINE: Duration = Duration::from_secs(30);

struct Sink;

impl Service for Sink {
    fn call(&self, _: Method, _: Bytes) -> Result<Bytes> {
        Ok(Bytes::new())
    }
    fn stream(&self, _: Method, body: Bytes, _: &Cancel, send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
        (0..body[0]).try_for_each(|_| send(Bytes::from(vec![7; 1 << 20])))
    }
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    // SAFETY: `rusage` is plain data for which all zeros is a value; the call writes it.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut used);
        used
    };
    [used.ru_utime, used.ru_stime].iter().map(|t| t.tv_sec as f64 + t.tv_usec as f64 / 1e6).sum()
}

fn measure(what: &str, bytes: usize, run: impl FnOnce()) {
    let (wall, before) = (Instant::now(), cpu());
    run();
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu() - before);
    let gb = bytes as f64 / 1e9;
    println!("{what:40} {:7.0} MB/s  {:6.2} CPU s per GB  ({:.4} core at 10 MB/s)", gb * 1e3 / wall, cpu / gb, cpu / gb / 100.0);
}

fn main() {
    let secret = Secret::new("0123456789abcdef0123456789abcdef").expect("it is long enough");
    let settings = Settings { cluster: "bench".into(), secret: Some(secret), tls: None, body_bytes: 64 << 20, body_memory_bytes: 64 << 20 };
    let http = Http::start(settings).expect("a runtime starts");
    let service = LateService::default();
    assert!(service.set(Arc::new(Sink)).is_ok());
    let listener = http.listen("127.0.0.1:0", service).expect("there is a port");
    let address = listener.address().to_string();
    let calls = |method, body: &Bytes, count: usize, at_once: usize| {
        let answers = Answers::default();
        let mut times: Vec<Duration> = vec![];
        let mut begin = |n: usize| http.call(&address, method, body.clone(), DEADLINE, answers.of((n, Instant::now())));
        (0..at_once).for_each(&mut begin);
        for n in at_once..count + at_once {
            let ((_, began), result) = answers.next(DEADLINE).expect("each call is answered");
            result.expect("no call fails");
            times.push(began.elapsed());
            if n < count {
                begin(n);
            }
        }
        times.sort_unstable();
        times
    };
    calls(Method::Append, &Bytes::new(), 100, 1);
    for (kb, at_once) in [(20, 4), (100, 4), (1000, 4)] {
        let body = Bytes::from(vec![3; kb * 1000]);
        let count = 400_000 / kb;
        measure(&format!("copies of {kb} kB, {at_once} at once"), count * kb * 1000, || drop(calls(Method::Append, &body, count, at_once)));
    }
    measure("a stream of messages of 1 MiB", 200 << 20, || {
        let messages = http.stream(&address, Method::Scan, Bytes::from_static(&[200]), DEADLINE).expect("it begins");
        assert_eq!(messages.filter(Result::is_ok).count(), 200);
    });
    let times = calls(Method::Hello, &Bytes::from(vec![1; 1000]), 5_000, 1);
    println!("{:40} p50 {:?}, p99 {:?}", "a hello of 1 kB", times[times.len() / 2], times[times.len() * 99 / 100]);
}
