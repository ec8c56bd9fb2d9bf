//! Our own behaviour tests, as data: `tests/scripts/*.test`.
//!
//! ```text
//! load                                              lines to store, until the next `load`
//!   {app="a"} @10s "text"                           one line, ten seconds after zero
//!   {app="a"} @10s x6 every 10s `text`  k="v"       six of them; with structured metadata
//! load a|b                                          the same for tenants that are asked about together; a line begins with whose it is
//! instant 60s QUERY                                 then what it answers, in order:
//!   {app="a"} 6                                     a series and its value; `= 2` for a number
//! range 0s 60s 20s QUERY                            start, end, step
//!   {app="a"} 1 _ 3                                 a series and its values; `_` for none
//! lines 0s 60s 100 backward QUERY                   start, end, limit, direction
//!   {app="a"} @10s "text"                           stream by stream, each in the order asked for
//! error QUERY                                       asked over a minute, it fails
//!   some words                                      and says this
//! ```
//! A query that answers nothing is followed by no line. `#` in front makes a comment.

use std::collections::BTreeSet;
use std::path::Path;

use base::Labels;
use logs::query::{QueryResult, RangeQuery};
use table::Direction;

use super::store::{BASE_NS, Entry, Store};

#[test]
fn scripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<_> = std::fs::read_dir(&dir).expect("scripts").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let mut wrong = String::new();
    let mut checks = 0;
    for f in files.iter().filter(|f| f.extension().is_some_and(|e| e == "test")) {
        let text = std::fs::read_to_string(f).expect("a script");
        run(&f.file_name().unwrap_or_default().to_string_lossy(), &text, &mut wrong, &mut checks);
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(checks > 50, "only {checks} checks were found");
}

/// Every operator, stage and function of the language is asked for in some script, so that each has its test as data.
#[test]
fn every_operator_and_function_has_a_script() {
    use logs::logql::ast::{AggregateOp, BinaryOp, LineOp, RangeOp};
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let files = std::fs::read_dir(&dir).expect("scripts").map(|f| std::fs::read_to_string(f.expect("a file").path()).expect("a script"));
    let text: String = files.collect();
    let is_query = |l: &&str| ["instant ", "range ", "lines "].iter().any(|w| l.starts_with(w));
    let queries: Vec<&str> = text.lines().filter(is_query).collect();
    let words: BTreeSet<&str> = queries.iter().flat_map(|q| q.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
    let of_functions = logs::stage::template::FUNCTIONS.names();
    let of_ranges = RangeOp::ALL.map(|(n, _)| n);
    let of_aggregates = AggregateOp::ALL.map(|(n, _)| n);
    let of_stages = "json logfmt regexp pattern unpack line_format label_format decolorize drop keep unwrap ip duration duration_seconds \
        bytes offset bool on ignoring group_left group_right by without label_replace vector strict keep_empty or and __error__ \
        __error_details__ __line__ __timestamp__ now";
    let named = of_functions.iter().copied().chain(of_ranges).chain(of_aggregates);
    let missing: Vec<&str> = named
        .chain(of_stages.split_whitespace())
        .filter(|n| !words.contains(n) && !text.contains(&format!("--{}", n.replace('_', "-"))))
        .collect();
    assert!(missing.is_empty(), "no script asks for {missing:?}");
    let signs = LineOp::ALL.map(|(n, _)| n).into_iter().chain(BinaryOp::ALL.map(|(n, _)| n));
    let missing: Vec<&str> = signs.filter(|n| !queries.iter().any(|q| q.contains(&format!(" {n} ")))).collect();
    assert!(missing.is_empty(), "no script asks for {missing:?}");
}

fn run(file: &str, text: &str, wrong: &mut String, checks: &mut usize) {
    let mut store = Store::new(&[]);
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')).collect();
    let mut at = 0;
    while at < lines.len() {
        let (number, head) = lines[at];
        let end = lines[at + 1..].iter().position(|(_, l)| !l.starts_with("  ")).map_or(lines.len(), |n| at + 1 + n);
        let block: Vec<&str> = lines[at + 1..end].iter().map(|(_, l)| l.trim()).collect();
        at = end;
        if head == "load" {
            store = Store::new(&block.iter().flat_map(|l| load(l)).collect::<Vec<_>>());
            continue;
        }
        if let Some(tenants) = head.strip_prefix("load ") {
            let own = |t: &str| block.iter().filter_map(|l| l.strip_prefix(t)).flat_map(|l| load(l.trim())).collect();
            store = Store::of_tenants(tenants.split('|').map(|t| (t, own(t))));
            continue;
        }
        *checks += 1;
        let got = ask(&store, head);
        if got != block {
            let show = |l: &[String]| l.iter().map(|l| format!("    {l}\n")).collect::<String>();
            let want: Vec<String> = block.iter().map(|l| l.to_string()).collect();
            wrong.push_str(&format!("{file}:{}: {head}\n  got\n{}  want\n{}", number + 1, show(&got), show(&want)));
        }
    }
}

fn time(text: &str) -> i64 {
    lang::duration::parse_prom(text).unwrap_or_else(|| panic!("{text} is not a time"))
}

/// Splits `text` after its first word.
fn word(text: &str) -> (&str, &str) {
    let (a, b) = text.trim_start().split_once(' ').unwrap_or((text.trim(), ""));
    (a, b.trim_start())
}

fn load(line: &str) -> Vec<Entry> {
    let close = line.find('}').expect("a selector") + 1;
    let matchers = logs::logql::parse_selector(&line[..close]).expect("a selector");
    let labels: Vec<(String, String)> = matchers.into_iter().map(|m| (m.name, m.value)).collect();
    let (at, mut rest) = word(&line[close..]);
    let start = time(at.strip_prefix('@').expect("@time"));
    let (mut count, mut every) = (1, 0);
    if let Some(r) = rest.strip_prefix('x') {
        let (n, r) = word(r);
        count = n.parse().expect("a count");
        let (step, r) = word(r.strip_prefix("every ").expect("every"));
        every = time(step);
        rest = r;
    }
    let n = lang::literal::scan(rest, "\"`").expect("a line in quotes");
    let text = lang::literal::unquote(&rest[..n], "\"`").expect("a line in quotes");
    let metadata: Vec<(String, String)> = match rest[n..].trim() {
        "" => vec![],
        m => logs::logql::parse_selector(&format!("{{{}}}", m.replace(' ', ", ")))
            .expect("metadata")
            .into_iter()
            .map(|m| (m.name, m.value))
            .collect(),
    };
    let one =
        |i: i64| Entry { labels: labels.clone(), time_ns: BASE_NS + start + i * every, line: text.clone(), metadata: metadata.clone() };
    (0..count).map(one).collect()
}

fn ask(store: &Store, head: &str) -> Vec<String> {
    let (what, rest) = word(head);
    let failed = |e: base::Error| vec![format!("error: {}", e.message().lines().next().unwrap_or(""))];
    match what {
        "instant" => {
            let (at, query) = word(rest);
            store.instant(query, BASE_NS + time(at)).map_or_else(failed, |r| show(&r, &[]))
        }
        "range" => {
            let (start, rest) = word(rest);
            let (end, rest) = word(rest);
            let (step, query) = word(rest);
            let (start, end, step) = (time(start), time(end), time(step));
            let times: Vec<i64> = (0..).map(|k| BASE_NS + start + k * step).take_while(|t| *t <= BASE_NS + end).collect();
            store.range(query, BASE_NS + start, BASE_NS + end, step).map_or_else(failed, |r| show(&r, &times))
        }
        "lines" => {
            let (start, rest) = word(rest);
            let (end, rest) = word(rest);
            let (limit, rest) = word(rest);
            let (direction, query) = word(rest);
            let q = RangeQuery {
                query,
                start_ns: BASE_NS + time(start),
                end_ns: BASE_NS + time(end),
                step_ns: 1,
                interval_ns: 0,
                limit: limit.parse().expect("a limit"),
                direction: if direction == "backward" { Direction::Backward } else { Direction::Forward },
            };
            store.lines(&q).map_or_else(failed, |r| show(&r, &[]))
        }
        "error" => match store.range(rest, BASE_NS, BASE_NS + 60_000_000_000, 60_000_000_000) {
            Ok(_) => vec!["no error".into()],
            Err(e) => vec![e.message().lines().next().unwrap_or("").to_string()],
        },
        _ => panic!("{head}: unknown"),
    }
}

fn show(result: &QueryResult, times: &[i64]) -> Vec<String> {
    let value = lang::number::format;
    match result {
        QueryResult::Scalar(_, v) => vec![format!("= {}", value(*v))],
        QueryResult::Vector(v) => v.iter().map(|(l, _, v)| format!("{l} {}", value(*v))).collect(),
        QueryResult::Matrix(m) => m
            .iter()
            .map(|s| {
                let at = |t: &i64| s.points.iter().find(|p| p.0 == *t).map_or("_".to_string(), |p| value(p.1));
                format!("{} {}", s.labels, times.iter().map(at).collect::<Vec<_>>().join(" "))
            })
            .collect(),
        QueryResult::Streams(streams, _) => {
            let line = |l: &Labels, t: i64, text: &str| {
                format!("{l} @{} {}", lang::duration::format_prom(t - BASE_NS), lang::literal::quote(text))
            };
            streams.iter().flat_map(|s| s.entries.iter().map(move |e| line(&s.labels, e.time_ns, &e.line))).collect()
        }
    }
}
