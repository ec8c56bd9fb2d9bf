//! Two ends in one process, over real sockets: what arrives, what breaks off, who is turned away.

mod harness;
mod strangers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base::{Error, Kind};
use bytes::Bytes;

use self::harness::{Ask, Relay, Side, TestService, ask, told};
use super::*;
use crate::transport::Answers;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn bytes_for_bytes_and_a_stream_arrive_whole_and_in_order() {
    let side = Side::start("c", Some(harness::SECRET));
    for size in [0, 1, 300, 70_000, 3 << 20] {
        let body = Bytes::from(vec![7u8; size]);
        let mut echoed = ask(&side.http, &side.address, Method::Append, &Ask::Echo(body.clone()), LONG).unwrap();
        assert_eq!(echoed.split_off(8), body, "{size}");
    }
    let messages = side.http.stream(&side.address, Method::Scan, Ask::Send { messages: 50, bytes: 100_000 }.encode(), LONG).unwrap();
    let sizes: Vec<(usize, u8)> = messages.map(|m| m.unwrap()).map(|m| (m.len(), m[0])).collect();
    assert_eq!(sizes, (0..50).map(|i| (100_000, i)).collect::<Vec<_>>());
    let none = side.http.stream(&side.address, Method::Scan, Ask::Send { messages: 0, bytes: 0 }.encode(), LONG).unwrap();
    assert_eq!(none.count(), 0, "a stream without messages has an end, too");
    assert_eq!(side.connections_made(), 2, "one connection for copies, one for reads, used again");
}

#[test]
fn errors_come_with_kind_message_and_hint_both_ways() {
    let side = Side::start("c", None);
    for kind in [Kind::Invalid, Kind::LimitExceeded, Kind::Unavailable, Kind::Corrupt, Kind::TooLarge] {
        let e = Error::new(kind, "not so").retry_after(Duration::from_millis(1250));
        for method in [Method::Hello, Method::Scan] {
            let got = told(&side, method, &Ask::Fail { after: 0, error: e.clone() });
            assert_eq!((got.kind(), got.message(), got.retry_hint()), (kind, "not so", e.retry_hint()));
        }
    }
    let late = Ask::Fail { after: 3, error: Error::corrupt("a block is damaged") };
    let mut messages = side.http.stream(&side.address, Method::Scan, late.encode(), LONG).unwrap();
    assert_eq!(messages.by_ref().take(3).filter(Result::is_ok).count(), 3);
    assert_eq!(messages.next().unwrap().unwrap_err().kind(), Kind::Corrupt);
    assert!(messages.next().is_none(), "after an error nothing follows");
    let panicked = told(&side, Method::Hello, &Ask::Panic);
    assert_eq!(panicked.kind(), Kind::Internal);
    let cut = told(&side, Method::Scan, &Ask::Panic);
    assert_eq!(cut.kind(), Kind::Unavailable, "{cut}");
}

#[test]
fn a_cut_answer_is_never_taken_for_a_whole_one() {
    let side = Side::start("c", Some(harness::SECRET));
    let question = Ask::Send { messages: 4, bytes: 20_000 }.encode();
    let mut whole = 0;
    // Below is the handshake; above everything has passed. The step is no divisor of anything, so that cuts fall everywhere.
    for passed in (0..90_000).step_by(1_777) {
        let relay = Relay::start(&side.address);
        relay.cut_answers_after(passed);
        let end = side.http.stream(&relay.address, Method::Scan, question.clone(), LONG);
        let (mut good, mut failed) = (0, false);
        match end {
            Err(e) => failed = e.kind() == Kind::Unavailable,
            Ok(messages) => {
                for m in messages {
                    match m {
                        Ok(m) => good += m.len(),
                        Err(e) => failed = e.kind() == Kind::Unavailable,
                    }
                }
            }
        }
        assert!(failed != (good == 80_000), "cut after {passed} bytes: {good} bytes came, failed: {failed}");
        whole += usize::from(!failed);
    }
    assert!((1..20).contains(&whole), "both ends of the range must have been seen: {whole} were whole");
}

#[test]
fn a_call_cut_in_the_middle_of_its_body_is_not_served() {
    let side = Side::start("c", Some(harness::SECRET));
    let relay = Relay::start(&side.address);
    relay.cut_calls_after(500_000);
    let e = ask(&side.http, &relay.address, Method::Append, &Ask::Echo(vec![1; 2 << 20].into()), LONG).unwrap_err();
    assert_eq!(e.kind(), Kind::Unavailable, "{e}");
    assert_eq!(side.service.calls.load(Ordering::SeqCst), 0);
    // The next one finds a new connection.
    relay.cut_calls_after(usize::MAX);
    assert!(ask(&side.http, &relay.address, Method::Append, &Ask::Echo(vec![1; 2 << 20].into()), LONG).is_ok());
}

#[test]
fn a_slow_reader_blocks_the_sender_and_nobody_else() {
    let side = Side::start("c", Some(harness::SECRET));
    let mut slow: Vec<_> = (0..8)
        .map(|_| side.http.stream(&side.address, Method::Scan, Ask::Send { messages: 200, bytes: 256 << 10 }.encode(), LONG).unwrap())
        .collect();
    side.service.until_sending_stalls();
    // 200 messages of 256 KiB were wanted of each: far less is under way.
    let sent = side.service.sent.load(Ordering::SeqCst);
    assert!(sent < 8 * 16, "{sent} messages were sent and nobody has read them");
    for method in [Method::Hello, Method::Append, Method::Series] {
        assert!(ask(&side.http, &side.address, method, &Ask::Echo(vec![3; 100_000].into()), Duration::from_secs(5)).is_ok(), "{method:?}");
    }
    assert_eq!(slow.pop().unwrap().filter(Result::is_ok).count(), 200, "what was held up comes when it is read");
}

#[test]
fn whoever_stops_reading_stops_the_other_side() {
    let side = Side::start("c", None);
    let mut messages =
        side.http.stream(&side.address, Method::Scan, Ask::Send { messages: 1_000_000, bytes: 100_000 }.encode(), LONG).unwrap();
    assert!(messages.next().unwrap().is_ok());
    drop(messages);
    side.service.until_canceled();
    // One that is not sending anything learns it from its cancel alone.
    let mut messages = side.http.stream(&side.address, Method::Scan, Ask::SendThenWork.encode(), LONG).unwrap();
    assert!(messages.next().unwrap().is_ok());
    drop(messages);
    side.service.until_canceled();
}

#[test]
fn busy_copies_and_scans_do_not_hold_up_hellos() {
    let side = Side::start("c", None);
    let answers = Answers::default();
    for i in 0..limits::APPENDS + 10 {
        side.http.call(&side.address, Method::Append, Ask::Hang.encode(), LONG, answers.of(i));
    }
    for i in 0..limits::READS + 10 {
        side.http.call(&side.address, Method::Series, Ask::Hang.encode(), LONG, answers.of(1000 + i));
    }
    side.service.until_hanging(limits::APPENDS + limits::READS);
    assert!(ask(&side.http, &side.address, Method::Hello, &Ask::Echo(Bytes::new()), Duration::from_secs(5)).is_ok());
    side.service.release();
    let all = limits::APPENDS + limits::READS + 20;
    assert_eq!(
        (0..all).filter(|_| answers.next(LONG).is_some_and(|(_, r)| r.is_ok())).count(),
        all,
        "those that waited came to their turn"
    );
}

#[test]
fn nobody_there_frozen_from_the_start_and_frozen_on_the_way() {
    let side = Side::start("c", Some(harness::SECRET));
    let within = |what: &str, address: &str, deadline, most: Duration| {
        let began = Instant::now();
        let e = ask(&side.http, address, Method::Append, &Ask::Hang, deadline).unwrap_err();
        assert!(began.elapsed() < most, "{what}: {e} after {:?}", began.elapsed());
        assert!(e.message().contains(address), "{what}: {e}");
        e.kind()
    };
    let closed = harness::closed_port();
    assert_eq!(within("nobody", &closed, LONG, Duration::from_secs(1)), Kind::Unavailable);
    // Takes connections and never answers: the deadline, or the patience of the handshake.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = frozen.local_addr().unwrap().to_string();
    assert_eq!(within("frozen", &address, Duration::from_millis(100), Duration::from_millis(700)), Kind::Timeout);
    assert_eq!(within("frozen", &address, LONG, limits::HANDSHAKE * 3), Kind::Unavailable);
    // Freezes while it works: found by a ping, long before the deadline.
    let relay = Relay::start(&side.address);
    assert!(ask(&side.http, &relay.address, Method::Append, &Ask::Echo(Bytes::new()), LONG).is_ok());
    relay.freeze(true);
    assert_eq!(within("freezes", &relay.address, LONG, Duration::from_millis(2_500)), Kind::Unavailable);
    relay.freeze(false);
    side.service.release();
    assert!(ask(&side.http, &relay.address, Method::Append, &Ask::Echo(Bytes::new()), LONG).is_ok(), "it is found again");
}

#[test]
fn the_deadline_of_a_stream_is_for_each_message() {
    let side = Side::start("c", None);
    let relay = Relay::start(&side.address);
    let deadline = Duration::from_millis(600);
    let mut messages = side.http.stream(&relay.address, Method::Scan, Ask::SendThenWork.encode(), deadline).unwrap();
    assert!(messages.next().unwrap().is_ok());
    assert_eq!(messages.next().unwrap().unwrap_err().kind(), Kind::Timeout);
    assert!(messages.next().is_none());
}

#[test]
fn a_restarted_node_is_found_at_its_address_and_one_that_stops_finishes() {
    let mut side = Side::start("c", Some(harness::SECRET));
    let other = Side::start("c", Some(harness::SECRET));
    let address = side.address.clone();
    for round in 0..3 {
        let echoed = ask(&other.http, &address, Method::Append, &Ask::Echo(Bytes::new()), LONG);
        assert!(echoed.is_ok(), "round {round}: {}", echoed.unwrap_err());
        side.restart();
    }
    let answers = Answers::default();
    other.http.call(&address, Method::Append, Ask::Hang.encode(), LONG, answers.of(()));
    side.service.until_hanging(1);
    let service = side.service.clone();
    let stopping = std::thread::Builder::new().spawn(move || side.stop()).unwrap();
    assert!(answers.next(Duration::from_millis(100)).is_none());
    service.release();
    assert!(answers.next(LONG).unwrap().1.is_ok(), "a call under way ends before the listener does");
    stopping.join().unwrap();
    assert_eq!(ask(&other.http, &address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_body_larger_than_the_other_side_takes_is_refused_as_such() {
    let side = Side::start("c", None);
    let e = ask(&side.http, &side.address, Method::Append, &Ask::Echo(vec![0; harness::BODY_BYTES + 1].into()), LONG).unwrap_err();
    assert_eq!(e.kind(), Kind::TooLarge, "{e}");
    let e = ask(&side.http, &side.address, Method::Hello, &Ask::Echo(vec![0; limits::QUESTION_BYTES + 1].into()), LONG).unwrap_err();
    assert_eq!(e.kind(), Kind::TooLarge, "{e}");
}

#[test]
fn a_node_that_is_starting_says_so() {
    let http = Http::start(harness::settings("c", None)).unwrap();
    let late = LateService::default();
    let listener = http.listen("127.0.0.1:0", late.clone()).unwrap();
    let address = listener.address().to_string();
    let e = ask(&http, &address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).unwrap_err();
    assert!(e.kind() == Kind::Unavailable && e.message().contains("starting"), "{e}");
    assert!(late.set(Arc::new(TestService::default())).is_ok());
    assert!(ask(&http, &address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).is_ok());
}

#[test]
fn names_are_looked_up_and_addresses_are_themselves() {
    let http = Http::start(harness::settings("c", None)).unwrap();
    let found = http.resolve(&["10.1.2.3:3101".into(), "localhost:7".into(), "no.such.name.invalid:1".into(), "10.1.2.3:3101".into()]);
    assert_eq!(found.first().map(String::as_str), Some("10.1.2.3:3101"));
    assert!(found.iter().any(|a| a == "127.0.0.1:7" || a == "[::1]:7"), "{found:?}");
    assert!(found.iter().filter(|a| a.starts_with("10.")).count() == 1);
}
