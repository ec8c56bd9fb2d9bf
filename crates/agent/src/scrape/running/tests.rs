use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::deliver::{Batch, Loss};
use crate::host::tests::Kept;
use crate::ship::Credentials;

fn context(deliver: Arc<dyn Deliver>) -> Context {
    Context { deliver, clock: Clock::manual(7_000_000_000), stats: Arc::default() }
}

/// Pages one after the other, an error where there is none, and of what each delivers name and value; `end` for a marker.
#[test]
fn a_target_through_good_and_bad_days() {
    const DAYS: &[(Option<&str>, &[&str])] = &[
        (
            Some("a 1\nb 2\n"),
            &["a 1", "b 2", "up 1", "scrape_samples_scraped 2", "scrape_samples_post_metric_relabeling 2", "scrape_series_added 2"],
        ),
        (
            Some("a 3\nc 4\n"),
            &[
                "a 3",
                "c 4",
                "b end",
                "up 1",
                "scrape_samples_scraped 2",
                "scrape_samples_post_metric_relabeling 2",
                "scrape_series_added 1",
            ],
        ),
        (None, &["a end", "c end", "up 0", "scrape_samples_scraped 0", "scrape_samples_post_metric_relabeling 0", "scrape_series_added 0"]),
        (
            Some("a 5\nnot a line {\n"),
            &["up 0", "scrape_samples_scraped 1", "scrape_samples_post_metric_relabeling 1", "scrape_series_added 0"],
        ),
        // A series with times of its own is not ended.
        (Some("a 6 5\n"), &["a 6", "up 1", "scrape_samples_scraped 1", "scrape_samples_post_metric_relabeling 1", "scrape_series_added 0"]),
        (Some(""), &["up 1", "scrape_samples_scraped 0", "scrape_samples_post_metric_relabeling 0", "scrape_series_added 0"]),
    ];
    let kept = Arc::new(Kept::default());
    let Context { deliver, clock, stats } = context(kept.clone());
    let outbox = Outbox::new("scrape/app".into(), deliver, clock.clone(), stats);
    let labels = Labels::from_pairs([("job", "app"), ("instance", "h:1")]).unwrap();
    let mut last = Last { labels, ..Last::default() };
    let shown = || {
        let value = |s: &Sample| if s.value.to_bits() == MARKER.to_bits() { "end".to_owned() } else { s.value.to_string() };
        let samples = kept.samples.lock();
        assert!(samples.iter().all(|s| s.labels.get("instance") == Some("h:1")));
        let named = samples.iter().map(|s| format!("{} {}", s.labels.get(METRIC_NAME).unwrap(), value(s)));
        named.filter(|t| !t.starts_with("scrape_duration_seconds 0")).collect::<Vec<String>>()
    };
    last.end(&clock, &outbox);
    assert!(shown().is_empty(), "what never began does not end");
    for (page, wanted) in DAYS {
        last.scrape(&Job::default(), &clock, &outbox, &|| page.map(str::to_owned).ok_or_else(|| Error::unavailable("away")));
        assert_eq!(shown(), *wanted, "{page:?}");
    }
    last.scrape(&Job::default(), &clock, &outbox, &|| Ok("a 1\n".into()));
    last.end(&clock, &outbox);
    let ended: Vec<String> = ["a"].into_iter().chain(ABOUT).map(|n| format!("{n} end")).collect();
    assert_eq!(shown(), ended);
}

#[test]
fn targets_come_move_and_go() {
    let job = Job { job: "app".into(), ..Job::default() };
    let found = |targets: &[&str]| targets.iter().map(|t| target::named(t)).collect::<Vec<_>>();
    let mut known = Known::default();
    let first = known.update(&job, &found(&["a:1", "b:1", "a:1"]));
    assert_eq!(first.len(), 2, "one that is named twice is one");
    let url = |c: &Current| c.lock().as_ref().map(|t| t.url.clone());
    let second = known.update(&job, &found(&["https://a:1/x", "c:1", "bad/address"]));
    assert_eq!((second.len(), url(&second[0]).as_deref()), (1, Some("http://c:1/metrics")));
    assert_eq!(first.iter().map(url).collect::<Vec<_>>(), [Some("https://a:1/x".to_owned()), None], "one has moved, one is gone");
    assert!(known.update(&job, &found(&["b:1"])).is_empty(), "it comes back before its step has ended it");
    assert!(first[1].lock().is_some());
    drop((first, second));
    assert_eq!(known.update(&job, &found(&["b:1"])).len(), 1, "after that it begins anew");
}

/// Sends on what it is given.
struct Sent(Mutex<mpsc::Sender<Vec<Sample>>>);

impl Deliver for Sent {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let Batch::Samples(s) = batch else { panic!("a scrape has samples only") };
        self.0.lock().send(s.to_vec()).ok();
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

/// Answers every request with `page`, compressed; the requests go to `asked`.
fn serve(page: &'static str, asked: mpsc::Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(page.as_bytes()).unwrap();
    let body = gzip.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = [head.as_bytes(), &body].concat();
    let serve = move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = vec![];
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            socket.write_all(&answer).ok();
            if asked.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("page".into()).spawn(serve).unwrap();
    address
}

#[test]
fn a_job_scrapes_over_the_network() {
    let (asked, requests) = mpsc::channel();
    let address = serve("a_total{x=\"y\"} 5\n", asked);
    let (sent, samples) = mpsc::channel();
    let job = Job {
        job: "app".into(),
        targets: vec![address.clone()],
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        credentials: Credentials::Basic("u".into(), "p".into()),
        ..Job::default()
    };
    let pool = Pool::default();
    start(job, Context { clock: Clock::System, ..context(Arc::new(Sent(Mutex::new(sent)))) }, &pool).unwrap();
    // The first may be slow on a busy machine, and is then down.
    let first = samples.iter().find(|s| s.iter().any(|s| s.labels.get(METRIC_NAME) == Some("a_total"))).unwrap();
    let a = &first[0];
    assert_eq!((a.value, a.labels.get("x"), a.labels.get("instance")), (5.0, Some("y"), Some(address.as_str())));
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /metrics http/1.1") && request.contains("authorization: basic dtpw"), "{request}");
    assert!(request.contains("accept-encoding: gzip") && request.contains("x-prometheus-scrape-timeout-seconds: 0.5"), "{request}");
    pool.stop();
}

#[test]
fn a_page_that_is_too_long_is_not_taken() {
    let (asked, _requests) = mpsc::channel();
    let address = serve("a 1\nb 2\n", asked);
    let client = Client::new(&Job::default()).unwrap();
    let get = |most| client.get(&format!("http://{address}/metrics"), ACCEPT, Duration::from_secs(10), most);
    assert_eq!(get(8).unwrap(), "a 1\nb 2\n");
    assert_eq!(get(7).unwrap_err().kind(), base::Kind::TooLarge);
}

#[test]
fn a_job_without_targets_is_refused() {
    let context = context(Arc::new(Kept::default()));
    assert!(start(Job::default(), context.clone(), &Pool::default()).is_err());
    let pool = Pool::default();
    assert!(start(Job { files: vec!["/none/*.json".into()], ..Job::default() }, context, &pool).is_ok());
    pool.stop();
}
