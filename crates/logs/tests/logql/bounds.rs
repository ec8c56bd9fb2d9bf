//! What one query may hold, and that it ends when nobody waits for it, whatever it is at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Error, Kind, Result};
use logs::query::{self, RangeQuery, Settings};
use table::{Cancel, Direction, MemoryBudget};

use super::store::{BASE_NS, Entry, Store};

const SECOND_NS: i64 = 1_000_000_000;

fn entry(stream: usize, seconds: i64, line: &str) -> Entry {
    let labels = vec![("app".to_owned(), "a".to_owned()), ("n".to_owned(), stream.to_string())];
    Entry { labels, time_ns: BASE_NS + seconds * SECOND_NS, line: line.to_owned(), metadata: vec![] }
}

fn held(store: &Store, bytes: usize, text: &str) -> Result<query::QueryResult> {
    let settings = Settings { max_held_bytes: bytes, ..Settings::default() };
    let (start_ns, end_ns) = (BASE_NS, BASE_NS + 1_000 * SECOND_NS);
    let q = RangeQuery { query: text, start_ns, end_ns, step_ns: SECOND_NS, interval_ns: 0, limit: 1_000, direction: Direction::Forward };
    store.within(&settings, &Cancel::default(), |c| query::range(c, &q))
}

#[test]
fn the_parts_of_a_query_share_what_it_may_hold() {
    let store = Store::new(&(0..60).map(|n| entry(n, 1, "v=1")).collect::<Vec<_>>());
    let count = r#"count_over_time({app="a"}[1m])"#;
    let unwrapped = r#"max_over_time({app="a"} | logfmt | unwrap v [1m]) by (n)"#;
    let refused = |bytes, text: &str| held(&store, bytes, text).map(drop).map_err(|e: Error| (e.kind(), e.message().to_owned()));
    let one = 60 * 1_001 * 16;
    for (text, bytes) in [(count, one + 100_000), (unwrapped, 200_000)] {
        assert_eq!(refused(bytes, text), Ok(()), "{text}");
        let (kind, said) = refused(bytes / 10, text).unwrap_err();
        assert_eq!(kind, Kind::Unprocessable);
        assert!(said.contains("ask for a shorter time") && said.contains("raise memory_limit"), "{said}");
    }
    // Its points are fewer than the cells in which they were counted.
    assert_eq!(refused(one + 300_000, &format!("{count} + {count}")), Ok(()));
    let wide = r#"count_over_time({app="a"}[20m])"#;
    assert_eq!(refused(one + 100_000, wide), Ok(()));
    assert!(refused(one + 100_000, &format!("{wide} + {wide}")).is_err());
    assert_eq!(refused(3 * one + 300_000, &format!("{wide} + {wide}")), Ok(()));
}

#[test]
fn lines_are_counted_with_all_that_they_take() {
    let store = Store::new(&(0..600).map(|n| entry(0, n, &"x".repeat(1_000))).collect::<Vec<_>>());
    assert!(held(&store, 1 << 20, r#"{app="a"}"#).is_ok());
    assert!(held(&store, 600_000, r#"{app="a"}"#).is_err());
}

#[test]
fn what_queries_hold_is_taken_from_the_memory_that_they_share() {
    let store = Store::new(&(0..600).map(|n| entry(0, n, &"x".repeat(1_000))).collect::<Vec<_>>());
    let memory = MemoryBudget::new(0, 0, 2 << 20, 2 << 20);
    let ask = || {
        let share = Arc::new(memory.query());
        let settings = Settings { memory: Some(share.clone()), ..Settings::default() };
        let (start_ns, end_ns) = (BASE_NS, BASE_NS + 1_000 * SECOND_NS);
        let (step_ns, limit, direction) = (SECOND_NS, 1_000, Direction::Forward);
        let q = RangeQuery { query: r#"{app="a"}"#, start_ns, end_ns, step_ns, interval_ns: 0, limit, direction };
        store.within(&settings, &Cancel::default(), |c| query::range(c, &q)).map(|_| share)
    };
    let share = ask().unwrap();
    assert!((1_200_000..2 << 20).contains(&memory.queries()), "{}", memory.queries());
    let e = ask().err().unwrap();
    assert!(e.kind() == Kind::Unavailable && e.retry_hint().is_some(), "{e}");
    drop(share);
    assert_eq!(memory.queries(), 0);
    assert!(ask().is_ok());
}

/// Each would take a minute and more over its one line.
#[test]
fn a_query_ends_in_the_midst_of_a_line() {
    // In no order, so that a pattern has a state for each of its letters.
    let mut seed = 7u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 { 'a' } else { 'b' }
    };
    let line: String = (0..400_000).map(|_| letter()).collect();
    let store = Store::new(&[entry(0, 1, &line)]);
    // No text by which a line could be left out.
    let slow = |i: usize| format!("\"[ab]*a[ab]{{{}}}[^ab]\"", 900 - i);
    let slow = |between: &str| (0..200).map(slow).collect::<Vec<_>>().join(between);
    let queries = [
        r#"{app="a"} | line_format `{{ $x := repeat 1000000 "a" }}{{ range 90000 }}{{ $y := $x | lower | upper | lower }}{{ end }}`"#
            .to_owned(),
        r#"{app="a"} | label_format x=`{{ count ".*[^a-z]|[a-z]" __line__ }}`"#.to_owned(),
        format!(r#"{{app="a"}} |~ {}"#, slow(" or ")),
        format!(r#"{{app="a"}} | line_format `{{{{__line__}}}}` |~ {}"#, slow(" or ")),
        format!(r#"{{app="a"}} | label_format x=`{{{{__line__}}}}` | x=~{}"#, slow(" or x=~")),
    ];
    for (i, text) in queries.into_iter().enumerate() {
        let over_time = format!("count_over_time({text} [1m])");
        // Two hundred patterns take a second to be compiled, too.
        let (texts, wait_ms) = if i < 2 { (vec![text, over_time], 100) } else { (vec![text], 1_500) };
        for text in texts {
            let cancel = Cancel::default();
            let gone = cancel.clone();
            let client = std::thread::Builder::new().name("client".into()).spawn(move || {
                std::thread::sleep(Duration::from_millis(wait_ms));
                gone.cancel();
            });
            let client = client.unwrap();
            let began = Instant::now();
            let (start_ns, end_ns) = (BASE_NS, BASE_NS + 60 * SECOND_NS);
            let q = RangeQuery {
                query: &text,
                start_ns,
                end_ns,
                step_ns: 60 * SECOND_NS,
                interval_ns: 0,
                limit: 10,
                direction: Direction::Forward,
            };
            let ended = store.within(&Settings::default(), &cancel, |c| query::range(c, &q));
            let shown = &text[..text.len().min(100)];
            assert_eq!(ended.unwrap_err().kind(), Kind::Canceled, "{shown}");
            assert!(began.elapsed() < Duration::from_secs(30), "{shown}: {:?}", began.elapsed());
            client.join().unwrap();
        }
    }
}
