use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::deliver::{Batch, Loss};
use crate::host::tests::Kept;
use crate::scrape::Access;
use crate::ship::Credentials;

fn context(deliver: Arc<dyn Deliver>) -> Context {
    Context { deliver, clock: Clock::manual(7_000_000_000), stats: Arc::default(), watch: Watch::default() }
}

/// A job at work whose rows go to `deliver`.
fn running(deliver: Arc<dyn Deliver>) -> Running {
    let Context { deliver, clock, stats, watch } = context(deliver);
    let job = Job { job: "app".into(), ..Job::default() };
    let outbox = Outbox::new("scrape/app".into(), deliver.clone(), clock.clone(), stats);
    Running {
        client: Client::new(&job.access).unwrap(),
        accept: protocol::accept(&job.protocols, job.escaping),
        job,
        clock,
        outbox,
        deliver,
        watch,
    }
}

fn page(text: &str) -> Fetched {
    let content_type = if text.ends_with("# EOF\n") { "application/openmetrics-text; version=1.0.0" } else { "text/plain" };
    Fetched { bytes: text.into(), content_type: Some(content_type.to_owned()) }
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
        // OpenMetrics; half of a page is none.
        (
            Some("# TYPE a counter\na_total 5\n# EOF\n"),
            &["a_total 5", "up 1", "scrape_samples_scraped 1", "scrape_samples_post_metric_relabeling 1", "scrape_series_added 1"],
        ),
        // A series with times of its own is not ended.
        (
            Some("a 6 5\n"),
            &["a 6", "a_total end", "up 1", "scrape_samples_scraped 1", "scrape_samples_post_metric_relabeling 1", "scrape_series_added 0"],
        ),
        (Some(""), &["up 1", "scrape_samples_scraped 0", "scrape_samples_post_metric_relabeling 0", "scrape_series_added 0"]),
    ];
    let kept = Arc::new(Kept::default());
    let running = running(kept.clone());
    let labels = Labels::from_pairs([("job", "app"), ("instance", "h:1")]).unwrap();
    let mut last = Last { labels, ..Last::default() };
    let shown = || {
        let value = |s: &Sample| if s.number().to_bits() == MARKER.to_bits() { "end".to_owned() } else { s.number().to_string() };
        let samples = kept.samples.lock();
        assert!(samples.iter().all(|s| s.labels.get("instance") == Some("h:1")));
        let named = samples.iter().map(|s| format!("{} {}", s.labels.get(METRIC_NAME).unwrap(), value(s)));
        named.filter(|t| !t.starts_with("scrape_duration_seconds 0")).collect::<Vec<String>>()
    };
    last.end(&running.clock, &running.outbox);
    assert!(shown().is_empty(), "what never began does not end");
    for (text, wanted) in DAYS {
        last.scrape(&running, 7_000_000_000, &|| text.map(page).ok_or_else(|| Error::unavailable("away")));
        assert_eq!(shown(), *wanted, "{text:?}");
    }
    last.scrape(&running, 7_000_000_000, &|| Ok(page("a 1\n")));
    last.end(&running.clock, &running.outbox);
    let ended: Vec<String> = ["a"].into_iter().chain(ABOUT).map(|n| format!("{n} end")).collect();
    assert_eq!(shown(), ended);
}

#[test]
fn targets_come_move_and_go() {
    let job = Job { job: "app".into(), ..Job::default() };
    let found = |targets: &[&str]| targets.iter().map(|t| target::named(t)).collect::<Vec<_>>();
    let (mut known, watch) = (Known::default(), Watch::default());
    let first = known.update(&job, &found(&["a:1", "b:1", "a:1"]), &watch);
    assert_eq!(first.len(), 2, "one that is named twice is one");
    let url = |c: &Current| c.lock().as_ref().map(|t| t.url.clone());
    let second = known.update(&job, &found(&["https://a:1/x", "c:1", "bad/address"]), &watch);
    assert_eq!((second.len(), url(&second[0]).as_deref()), (1, Some("http://c:1/metrics")));
    assert_eq!(first.iter().map(url).collect::<Vec<_>>(), [Some("https://a:1/x".to_owned()), None], "one has moved, one is gone");
    assert!(known.update(&job, &found(&["b:1"]), &watch).is_empty(), "it comes back before its step has ended it");
    assert!(first[1].lock().is_some());
    drop((first, second));
    assert_eq!(known.update(&job, &found(&["b:1"]), &watch).len(), 1, "after that it begins anew");
}

#[test]
fn exemplars_come_once() {
    let kept = Arc::new(Kept::default());
    let running = running(kept.clone());
    let mut last = Last::default();
    let mut scrape = |text: &str, s: i64| {
        last.scrape(&running, s * 1_000_000_000, &|| Ok(page(text)));
        let samples = kept.samples.lock();
        let of = samples.iter().filter_map(|s| match &s.value {
            Value::Exemplar(labels, v) => Some(format!("{} {labels} {v} {}", s.labels.get(METRIC_NAME).unwrap(), s.time_ms)),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    let (one, two) = ("a_total 1 # {t=\"1\"} 0.5\n# EOF\n", "a_total 1 # {t=\"1\"} 0.5 8\n# EOF\n");
    assert_eq!(scrape(one, 1), ["a_total {t=\"1\"} 0.5 1000"]);
    assert!(
        scrape(one, 2).is_empty()
            && scrape("a_total 1\n# EOF\n", 3).is_empty()
            && scrape(one, 4).is_empty()
            && scrape("half", 5).is_empty()
    );
    assert!(scrape(two, 6) == ["a_total {t=\"1\"} 0.5 8000"] && scrape(two, 7).is_empty());
}

/// Sends on what it is given.
struct Sent(Mutex<mpsc::Sender<Vec<Sample>>>);

impl Deliver for Sent {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        if let Batch::Samples(s) = batch {
            self.0.lock().send(s.to_vec()).ok();
        }
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
        targets: vec![vec![address.clone()].into()],
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        access: Access { credentials: Credentials::Basic("u".into(), "p".into()), ..Access::default() },
        ..Job::default()
    };
    let pool = Pool::default();
    start(job, Context { clock: Clock::System, ..context(Arc::new(Sent(Mutex::new(sent)))) }, &pool).unwrap();
    // The first may be slow on a busy machine, and is then down.
    let first = samples.iter().find(|s| s.iter().any(|s| s.labels.get(METRIC_NAME) == Some("a_total"))).unwrap();
    let a = &first[0];
    assert_eq!((a.number(), a.labels.get("x"), a.labels.get("instance")), (5.0, Some("y"), Some(address.as_str())));
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /metrics http/1.1") && request.contains("authorization: basic dtpw"), "{request}");
    assert!(request.contains("accept-encoding: gzip") && request.contains("x-prometheus-scrape-timeout-seconds: 0.5"), "{request}");
    pool.stop();
}

#[test]
fn a_page_that_is_too_long_is_not_taken() {
    let (asked, _requests) = mpsc::channel();
    let address = serve("a 1\nb 2\n", asked);
    let client = Client::new(&Access::default()).unwrap();
    let get = |most| client.get(&format!("http://{address}/metrics"), "*/*", Duration::from_secs(10), most);
    assert_eq!(get(8).unwrap().text().unwrap(), "a 1\nb 2\n");
    assert_eq!(get(7).unwrap_err().kind(), base::Kind::TooLarge);
}

#[test]
fn a_job_without_targets_is_refused() {
    let context = context(Arc::new(Kept::default()));
    assert!(start(Job::default(), context.clone(), &Pool::default()).is_err());
    let pool = Pool::default();
    assert!(
        start(Job { lookups: vec![super::super::Place::Files("/none/*.json".into()).into()], ..Job::default() }, context, &pool).is_ok()
    );
    pool.stop();
}

/// A place that keeps what is said of metrics, unless it has no room.
#[derive(Default)]
struct Told {
    said: Mutex<Vec<Vec<Metadata>>>,
    is_full: Mutex<bool>,
}

impl Deliver for Told {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        if let Batch::Metadata(m) = batch {
            if *self.is_full.lock() {
                return Err(Error::unavailable("no room"));
            }
            self.said.lock().push(m.to_vec());
        }
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

#[test]
fn what_a_page_says_is_passed_on_when_it_is_new() {
    let told = Arc::new(Told::default());
    let running = running(told.clone());
    let mut last = Last::default();
    let mut scrape = |text: &str| {
        last.scrape(&running, 0, &|| Ok(page(text)));
        told.said.lock().len()
    };
    let text = "# HELP a An a.\n# TYPE a counter\na 1\n# TYPE b gauge\nb 2\n";
    *told.is_full.lock() = true;
    assert_eq!(scrape(text), 0);
    *told.is_full.lock() = false;
    assert_eq!((scrape(text), scrape(text), scrape("a 1\n"), scrape("broken {\n")), (1, 1, 1, 1), "what could not be said is said again");
    running.clock.advance_ns(limits::SCRAPE_SAID_EVERY_NS);
    assert_eq!((scrape(text), scrape("# TYPE a gauge\n# UNIT a s\na 1\n# EOF\n")), (2, 3));
    let said = told.said.lock();
    let of = |name: &str, kind, help: &str, unit: &str| Metadata { name: name.into(), kind, help: help.into(), unit: unit.into() };
    assert_eq!(said[0], [of("a", 1, "An a.", ""), of("b", 2, "", "")]);
    assert_eq!(said[2], [of("a", 2, "", "s")]);
}

#[test]
fn a_scrape_that_is_hardly_late_has_its_time() {
    let clock = Clock::manual(10_000_000_000);
    let interval = Duration::from_secs(10);
    let mut due = Due::first(3_000_000_000, interval, &clock);
    assert_eq!(due.wall_ns, 13_000_000_000);
    for (late_ns, time_ns) in [(0, 13_000_000_000i64), (1_900_000, 13_000_000_000), (5_000_000, 13_006_900_000)] {
        clock.advance_ns(late_ns + if late_ns == 0 { 3_000_000_000 } else { 0 });
        assert_eq!(due.time_ns(&clock, interval), time_ns, "{late_ns}");
    }
    let before = due.at;
    due.step(interval);
    assert_eq!((due.at - before, due.wall_ns), (interval, 23_000_000_000));
    // The clock is set ahead: from now on its steps count.
    clock.advance_ns(3_600_000_000_000);
    let now_ns = due.time_ns(&clock, interval);
    assert_eq!((now_ns, due.wall_ns), (clock.now_ns(), now_ns));
}

#[test]
fn a_job_with_too_many_targets_is_down() {
    let job = Job { job: "app".into(), limits: super::super::Limits { targets: 1, ..super::super::Limits::default() }, ..Job::default() };
    let mut known = Known::default();
    let found: Vec<Found> = ["a:1", "b:1"].iter().map(|t| target::named(t)).collect();
    let both = known.update(&job, &found, &Watch::default());
    assert!(both.iter().all(|c| c.lock().as_ref().is_some_and(|t| t.refused == Some(1))));
    known.update(&job, &found[..1], &Watch::default());
    assert_eq!(both[0].lock().as_ref().map(|t| t.refused), Some(None), "one alone may be");
}
