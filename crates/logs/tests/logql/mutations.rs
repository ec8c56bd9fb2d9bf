//! Queries that nobody would write: those of the scripts, cut into tokens and spliced at random. Each is read or refused; what is read
//! prints to a text that reads back to the same, and can be asked of a store without a panic.
//!
//! A second by default; `WATCHFIRE_FUZZ_SECONDS=600` goes on for longer, from a seed that is printed (`WATCHFIRE_FUZZ_SEED`). The
//! same is done under coverage guidance by `fuzz/run 600 logql`.

use std::path::Path;
use std::time::{Duration, Instant};

use logs::query::RangeQuery;
use table::Direction;

use super::store::{BASE_NS, Entry, Store};

/// Any of many, always the same for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Words, numbers, texts in quotes, spaces and signs, as they lie in a query.
fn tokens(query: &str) -> Vec<&str> {
    let bytes = query.as_bytes();
    let mut out = vec![];
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let quote = bytes[at];
        at += 1;
        if matches!(quote, b'"' | b'`') {
            while at < bytes.len() && bytes[at] != quote {
                at += if bytes[at] == b'\\' && quote == b'"' { 2 } else { 1 };
            }
            at += 1;
        } else if quote.is_ascii_alphanumeric() || quote == b'_' {
            while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                at += 1;
            }
        }
        at = at.min(bytes.len());
        while !query.is_char_boundary(at) {
            at += 1;
        }
        out.push(&query[start..at]);
    }
    out
}

fn queries() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let files = std::fs::read_dir(&dir).expect("scripts").map(|f| std::fs::read_to_string(f.expect("a file").path()).expect("a script"));
    let text: Vec<String> = files.collect();
    let skip = |line: &str, words: usize| line.splitn(words + 1, ' ').nth(words).unwrap_or("").to_owned();
    let query = |l: &str| match l.split(' ').next() {
        Some("instant") => Some(skip(l, 2)),
        Some("range") => Some(skip(l, 4)),
        Some("lines") => Some(skip(l, 5)),
        Some("error") => Some(skip(l, 1)),
        _ => None,
    };
    text.iter().flat_map(|t| t.lines().filter_map(query)).collect()
}

fn mutated(dice: &mut Dice, all: &[Vec<&str>]) -> String {
    let mut tokens: Vec<&str> = dice.one(all).clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(tokens.len());
        let other = dice.one(all);
        let from = dice.below(other.len());
        let n = 1 + dice.below(8);
        let piece = other[from.min(other.len())..(from + n).min(other.len())].to_vec();
        let until = (at + dice.below(4)).min(tokens.len());
        match dice.below(4) {
            0 => drop(tokens.splice(at..until, piece)),
            1 => drop(tokens.splice(at..at, piece)),
            2 => drop(tokens.drain(at..until)),
            // The head of one and the tail of another.
            _ => {
                tokens.truncate(at);
                tokens.extend_from_slice(&other[from.min(other.len())..]);
            }
        }
    }
    tokens.concat()
}

fn store() -> Store {
    let lines = [
        r#"{"a":{"b":[1,{"c":"x"}]},"ms":12,"status":500,"took":"5ms","size":"2KiB"}"#,
        r#"level=info msg="two words" ms=5 took=5ms size=2KiB status=200"#,
        "10.0.0.1 - - \"GET /x HTTP/1.1\" 200 \u{1b}[31mred\u{1b}[0m",
        r#"{"pod":"p-1","_entry":"the line"}"#,
        "",
        "é {broken",
    ];
    let one = |i: usize| Entry {
        labels: vec![("app".into(), ["a", "b"][i % 2].into()), ("pod".into(), format!("{}", i % 3))],
        time_ns: BASE_NS + i as i64 * 7_000_000_000,
        line: lines[i % lines.len()].into(),
        metadata: if i.is_multiple_of(3) { vec![("trace".into(), "t1".into())] } else { vec![] },
    };
    Store::new(&(0..24).map(one).collect::<Vec<_>>())
}

fn try_one(store: &Store, query: &str) -> bool {
    let parsed = logs::logql::parse(query);
    if let Ok(tree) = &parsed {
        let printed = tree.to_string();
        let back = logs::logql::parse(&printed).unwrap_or_else(|e| panic!("{query:?} prints to {printed:?}, which is refused: {e}"));
        assert_eq!(back, *tree, "{query:?} prints to {printed:?}");
    }
    let _ = store.instant(query, BASE_NS + 60_000_000_000);
    let _ = store.range(query, BASE_NS, BASE_NS + 120_000_000_000, 30_000_000_000);
    for direction in [Direction::Forward, Direction::Backward] {
        let range =
            RangeQuery { query, start_ns: BASE_NS, end_ns: BASE_NS + 200_000_000_000, step_ns: 1, interval_ns: 0, limit: 5, direction };
        let _ = store.lines(&range);
    }
    parsed.is_ok()
}

#[test]
fn spliced_queries_are_read_or_refused() {
    #[allow(clippy::disallowed_methods)] // how long to look is the tester's to say
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seconds = number("WATCHFIRE_FUZZ_SECONDS").unwrap_or(1);
    let seed = number("WATCHFIRE_FUZZ_SEED").unwrap_or(1);
    let texts = queries();
    let all: Vec<Vec<&str>> = texts.iter().map(|q| tokens(q)).collect();
    assert!(all.len() > 100, "{} queries", all.len());
    let (store, mut dice) = (store(), Dice(seed));
    let (began, mut asked, mut read) = (Instant::now(), 0u64, 0u64);
    while asked < 200 || began.elapsed() < Duration::from_secs(seconds) {
        let query = mutated(&mut dice, &all);
        asked += 1;
        read += u64::from(try_one(&store, &query));
    }
    eprintln!("{asked} queries, {read} of them read, seed {seed}");
    assert!(read > asked / 50, "hardly anything is read: {read} of {asked}");
}
