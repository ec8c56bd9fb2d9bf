use parking_lot::Mutex;
use wire::Encoding;
use wire::encoding::encode;
use wire::loki::{PushEntry, PushStream, push_protobuf};

use super::*;
use crate::deliver::Loss;

/// What was delivered: the source and its rows; refuses when it is told to.
#[derive(Default)]
struct Place {
    refuse: Mutex<Option<Error>>,
    taken: Mutex<Vec<(String, Option<Format>, u64)>>,
}

impl Deliver for Place {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        if let Some(e) = self.refuse.lock().clone() {
            return Err(e);
        }
        let taken = match batch {
            Batch::Lines(l) => (l.source.clone(), None, l.count()),
            Batch::Body(b) => (b.source.to_owned(), Some(b.format), b.rows),
            _ => panic!("receivers give lines and bodies"),
        };
        self.taken.lock().push(taken);
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

fn receivers(place: &Arc<Place>, change: impl FnOnce(&mut Settings)) -> Receivers {
    let firehose = Firehose { settings: firehose::Settings::default(), access_key: None, deliver: place.clone() };
    let mut settings = Settings {
        loki: Some(Loki::default()),
        otlp: true,
        remote_write: true,
        firehose: Some(firehose),
        token: None,
        takes: crate::ship::Kind::Watchfire.takes(),
    };
    change(&mut settings);
    Receivers::new(settings, place.clone(), Clock::manual(9_000_000), Arc::new(Stats::default()))
}

fn push() -> Request {
    let entries = [PushEntry { time_ns: 5, line: "one", metadata: &[] }];
    let body = push_protobuf(&[PushStream { labels: &[("app", "x")], entries: &entries }]);
    Request { headers: BTreeMap::new(), body: encode(Encoding::SnappyBlock, &body).unwrap().into() }
}

fn with(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.insert(name.into(), value.into());
    request
}

#[test]
fn a_push_is_acknowledged_when_it_is_delivered_and_not_before() {
    let place = Arc::new(Place::default());
    let r = receivers(&place, |_| {});
    *place.refuse.lock() = Some(Error::unavailable("the spool is full"));
    let answer = r.take(Way::Loki, &push());
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    *place.refuse.lock() = None;
    assert_eq!(r.take(Way::Loki, &push()).status, 204);
    assert_eq!(*place.taken.lock(), [("receive/loki".to_owned(), Some(Format::LokiPush), 1)]);
    *place.refuse.lock() = Some(Error::new(Kind::TooLarge, "it does not fit"));
    assert_eq!(r.take(Way::Loki, &push()).status, 413);
    assert_eq!(r.take(Way::Loki, &with(push(), "x-scope-orgid", "a/b")).status, 400);
}

#[test]
fn stages_get_lines() {
    let (place, stages) = (Arc::new(Place::default()), Arc::new(Place::default()));
    let r = receivers(&place, |s| s.loki = Some(Loki { stages: Some(stages.clone()) }));
    assert_eq!(r.take(Way::Loki, &push()).status, 204);
    assert!(place.taken.lock().is_empty());
    assert_eq!(*stages.taken.lock(), [("receive/loki".to_owned(), None, 1)]);
}

#[test]
fn what_nobody_gets_is_not_taken() {
    let place = Arc::new(Place::default());
    let r = receivers(&place, |s| s.takes = crate::ship::Kind::Loki.takes());
    assert_eq!(r.take(Way::Loki, &push()).status, 204);
    assert_eq!(r.take(Way::RemoteWrite, &Request::default()).status, 404);
    let json = with(Request { body: "{}".into(), ..Request::default() }, "content-type", "application/json");
    let answer = r.take(Way::Otlp(otlp::Signal::Metrics), &json);
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8(answer.body).unwrap().contains("no endpoint"));
}

#[test]
fn a_call_of_grpc_is_a_message_and_a_status() {
    let place = Arc::new(Place::default());
    let r = receivers(&place, |_| {});
    // One resource with one scope with one record, which says nothing.
    let body = encode(Encoding::Gzip, b"\x0a\x04\x12\x02\x12\x00").unwrap();
    let call = with(Request { body: body.into(), ..Request::default() }, "content-encoding", "gzip");
    let way = Way::OtlpGrpc(otlp::Signal::Logs);
    assert_eq!(r.take(way, &call), Answer::grpc(b""));
    assert_eq!(*place.taken.lock(), [("receive/otlp".to_owned(), Some(Format::OtlpLogs), 1)]);
    *place.refuse.lock() = Some(Error::unavailable("the spool is full"));
    let answer = r.take(way, &call);
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("14")));
    let wrong = Request { body: "x".into(), ..Request::default() };
    assert_eq!(r.take(way, &wrong).header("grpc-status"), Some("3"));
    let counted = |status| r.stats.received.get(&["receive/otlp", status]);
    assert_eq!((counted("200"), counted("503"), counted("400")), (1, 1, 1));
}

#[test]
fn firehose_is_answered_in_its_form() {
    let place = Arc::new(Place::default());
    let r = receivers(&place, |_| {});
    let body = r#"{"requestId":"r-1","timestamp":1,"records":[{"data":"aGVsbG8="}]}"#;
    let request = with(Request { body: body.into(), ..Request::default() }, "x-amz-firehose-request-id", "r-1");
    let answer = r.take(Way::Firehose, &request);
    assert_eq!((answer.status, &answer.body[..]), (200, &br#"{"requestId":"r-1","timestamp":9}"#[..]));
    *place.refuse.lock() = Some(Error::unavailable("full"));
    let answer = r.take(Way::Firehose, &request);
    assert_eq!((answer.status, &answer.body[..]), (503, &br#"{"errorMessage":"full","requestId":"r-1","timestamp":9}"#[..]));
}

#[test]
fn who_does_not_know_the_secret_stays_outside() {
    let place = Arc::new(Place::default());
    let r = receivers(&place, |s| {
        s.token = Some(Secret::new("t0ken").unwrap());
        if let Some(f) = &mut s.firehose {
            f.access_key = Some(Secret::new("k3y").unwrap());
        }
    });
    let status = |way, name: &str, value: &str| r.admit(way, &with(Request::default(), name, value)).map_err(|a| a.status);
    assert_eq!(status(Way::Loki, "authorization", "Bearer t0ken"), Ok(()));
    assert_eq!(status(Way::Loki, "authorization", "Bearer k3y"), Err(401));
    assert_eq!(status(Way::Loki, "authorization", "Bearer"), Err(401));
    assert_eq!(status(Way::RemoteWrite, "x", "y"), Err(401));
    assert_eq!(status(Way::Firehose, "x-amz-firehose-access-key", "k3y"), Ok(()));
    assert_eq!(status(Way::Firehose, "authorization", "Bearer t0ken"), Err(401));
}

#[test]
fn only_what_is_wanted_has_a_path() {
    let place = Arc::new(Place::default());
    assert_eq!(receivers(&place, |_| {}).paths().len(), 9);
    assert!(receivers(&place, |s| *s = Settings::default()).paths().is_empty());
}
