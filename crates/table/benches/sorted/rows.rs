//! Rows like those of logs, metrics and traces, made up from a seed.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, BinaryViewArray, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt8Array, UInt32Array};
use base::{Labels, Matcher, Tenant, attrs};
use table::sorted::{SeriesKey, SeriesNames};
use table::{Column, ColumnType, Order, Prefer, SkipFilter, TableSpec, TimeUnit};

pub static LOGS: TableSpec = TableSpec {
    name: "logs",
    rows: "lines",
    unit: TimeUnit::Ns,
    slice: 3_600_000_000_000,
    columns: &[
        Column::new("ordinal", ColumnType::U32),
        Column::new("line", ColumnType::Text).filter(SkipFilter::Substring),
        Column::new("metadata", ColumnType::Attrs).nullable(),
        Column::new("detected_level", ColumnType::Word).nullable(),
    ],
    order: Order::Series(&["ordinal"]),
    identity: &["line", "metadata"],
    prefer: &[],
};

pub static SAMPLES: TableSpec = TableSpec {
    name: "samples",
    rows: "samples",
    unit: TimeUnit::Ms,
    slice: 7_200_000,
    columns: &[Column::new("value", ColumnType::F64), Column::new("histogram", ColumnType::Bytes).nullable()],
    order: Order::Series(&[]),
    identity: &[],
    prefer: &[Prefer::Present("histogram"), Prefer::Greater("value")],
};

pub static SPANS: TableSpec = TableSpec {
    name: "spans",
    rows: "spans",
    unit: TimeUnit::Ns,
    slice: 900_000_000_000,
    columns: &[
        Column::new("trace_id", ColumnType::Fixed(16)).filter(SkipFilter::Value),
        Column::new("span_id", ColumnType::Fixed(8)),
        Column::new("parent_id", ColumnType::Fixed(8)).nullable(),
        Column::new("name", ColumnType::Word),
        Column::new("kind", ColumnType::U8),
        Column::new("status", ColumnType::U8),
        Column::new("status_message", ColumnType::Word).nullable(),
        Column::new("duration_ns", ColumnType::I64),
        Column::new("trace_state", ColumnType::Word).nullable(),
        Column::new("flags", ColumnType::U32),
        Column::new("attributes", ColumnType::Attrs).nullable(),
        Column::new("events", ColumnType::Bytes).nullable(),
        Column::new("links", ColumnType::Bytes).nullable(),
        Column::new("dropped", ColumnType::Bytes).nullable(),
    ],
    order: Order::Key("trace_id"),
    identity: &["trace_id", "span_id", "kind"],
    prefer: &[Prefer::Longer("events"), Prefer::Longer("attributes"), Prefer::Greater("duration_ns")],
};

/// The series of a bench; the number is the position.
pub struct Names(Vec<Labels>);

impl SeriesNames for Names {
    fn key(&self, number: u32) -> SeriesKey {
        SeriesKey { tenant: Tenant::default(), labels: self.0[number as usize].clone() }
    }
}

impl Names {
    /// Matches the first series, and the few like it.
    pub fn matcher(&self) -> Matcher {
        let (name, value) = self.0[0].iter().next().expect("has labels");
        Matcher::eq(name, value)
    }
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
    fn f(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn norm(&mut self) -> f64 {
        (self.f() + self.f() + self.f() + self.f() - 2.0) * 1.732
    }
}

const DAY_NS: i64 = 86_400_000_000_000;
const START_NS: i64 = 20_000 * DAY_NS;

const MESSAGES: &[&str] = &[
    "request completed",
    "order placed",
    "cart updated",
    "user session refreshed",
    "payment authorized",
    "slow query detected",
    "retrying request",
    "upstream connect error or disconnect before headers",
];
const PATHS: &[&str] = &["orders", "products", "users", "carts", "search", "inventory", "payments", "sessions"];

fn line(r: &mut Rng, kind: usize, app: &str, t: i64, out: &mut String) {
    let s = t / 1_000_000_000 % 86_400;
    let (h, m, s, ms) = (s / 3600, s / 60 % 60, s % 60, t / 1_000_000 % 1000);
    let message = MESSAGES[r.below(MESSAGES.len() as u64) as usize];
    let path = PATHS[r.below(PATHS.len() as u64) as usize];
    let id = r.below(100_000);
    let _ = match kind {
        0 => write!(
            out,
            r#"{{"ts":"2024-10-04T{h:02}:{m:02}:{s:02}.{ms:03}Z","level":"info","service":"{app}","msg":"{message}","trace_id":"{:032x}","user_id":"u-{id:07}","path":"/api/v1/{path}/{id}","status":{},"duration_ms":{:.2},"region":"eu-west-1"}}"#,
            u128::from(r.next()) << 64 | u128::from(r.next()),
            [200, 201, 404, 500][r.below(4) as usize],
            r.f() * 300.0
        ),
        1 => write!(
            out,
            r#"10.{}.{}.{} - - [04/Oct/2024:{h:02}:{m:02}:{s:02} +0000] "GET /api/v1/{path}/{id} HTTP/1.1" {} {} "https://shop.example.com/cart" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36" {:.3}"#,
            r.below(4),
            r.below(256),
            r.below(256),
            [200, 301, 404, 500][r.below(4) as usize],
            r.below(50_000),
            r.f()
        ),
        2 => write!(
            out,
            r#"ts=2024-10-04T{h:02}:{m:02}:{s:02}.{ms:03}Z caller={path}.go:{} level=info component={app} msg="{message}" id={id} took={}ms"#,
            r.below(400),
            r.below(900)
        ),
        _ => write!(
            out,
            "2024-10-04 {h:02}:{m:02}:{s:02}.{ms:03}  INFO [{app},{:016x}] c.e.{path}.Service : {message} id={id} in {} ms",
            r.next(),
            r.below(900)
        ),
    };
}

/// About `bytes` of lines in 50 streams over an hour and a half, each with a level, none with metadata.
pub fn logs(bytes: usize) -> (Names, impl Iterator<Item = RecordBatch>) {
    let mut r = Rng(1);
    let apps = ["checkout", "payments", "cart", "catalog", "users", "search", "nginx", "gateway", "orders", "billing"];
    let labels =
        (0..50).map(|i| Labels::from_pairs([("app", apps[i % 10]), ("host", &format!("{}-{:02}", apps[i % 10], i / 10)), ("env", "prod")]));
    let names = labels.collect::<base::Result<Vec<_>>>().expect("distinct names");
    let batches = bytes / 1_000_000;
    let mut n = 0;
    let next = move || {
        if n == batches.max(1) {
            return None;
        }
        let stream_of = |k: usize| (n * 4 + k) % 50;
        let (mut series, mut times, mut ordinals) = (vec![], vec![], vec![]);
        let (mut lines, mut levels) = (StringViewBuilder::new(), StringViewBuilder::new());
        let mut text = String::new();
        let (mut size, mut k) = (0, 0u32);
        while size < 1_000_000.min(bytes) {
            let stream = stream_of(k as usize / 800);
            let t = START_NS + 36_000_000_000_000 + (n as i64 * 5_400_000_000_000 / batches.max(1) as i64) + i64::from(k) * 5_000_000;
            text.clear();
            line(&mut r, [0, 1, 2, 0, 3][stream % 5], apps[stream % 10], t, &mut text);
            size += text.len();
            series.push(stream as u32);
            times.push(t);
            ordinals.push(k);
            lines.append_value(&text);
            levels.append_value(if text.contains("error") { "error" } else { "info" });
            k += 1;
        }
        n += 1;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(series)),
            Arc::new(Int64Array::from(times)),
            Arc::new(UInt32Array::from(ordinals)),
            Arc::new(lines.finish()),
            Arc::new(BinaryViewArray::from_iter((0..k).map(|_| None::<&[u8]>))),
            Arc::new(levels.finish()),
        ];
        Some(RecordBatch::try_new(LOGS.schema(), columns).expect("the schema's columns"))
    };
    (Names(names), std::iter::from_fn(next))
}

enum Value {
    Counter { v: f64, mean: f64, idle: f64 },
    Seconds { v: f64, rate: f64 },
    Walk { v: f64, step: f64, quantum: f64 },
    Const(f64),
    Sum { v: f64 },
}

impl Value {
    fn new(r: &mut Rng) -> Value {
        match r.below(20) {
            0..4 => Value::Const(r.below(1000) as f64),
            4..12 => Value::Counter { v: (r.f() * 1e6).floor(), mean: 300.0 * r.f(), idle: if r.below(3) == 0 { 0.7 } else { 0.02 } },
            12..15 => Value::Seconds { v: (r.f() * 1e7).round() / 100.0, rate: r.f() },
            15..18 => Value::Walk { v: r.f() * 1e9, step: 2e6, quantum: 4096.0 },
            18 => Value::Walk { v: r.f() * 40.0, step: 0.3, quantum: 0.01 },
            _ => Value::Sum { v: r.f() * 1e4 },
        }
    }
    fn next(&mut self, r: &mut Rng) -> f64 {
        match self {
            Value::Counter { v, mean, idle } => {
                if r.f() > *idle {
                    *v += (r.f() * 2.0 * *mean).round();
                }
                *v
            }
            Value::Seconds { v, rate } => {
                *v = ((*v + 15.0 * *rate * (0.6 + 0.8 * r.f())) * 100.0).round() / 100.0;
                *v
            }
            Value::Walk { v, step, quantum } => {
                *v += r.norm() * *step;
                if *quantum >= 1.0 { (*v / *quantum).round() * *quantum } else { (*v / *quantum).round() / (1.0 / *quantum).round() }
            }
            Value::Const(v) => *v,
            Value::Sum { v } => {
                *v += r.f();
                *v
            }
        }
    }
}

/// `series` series, `scrapes` samples of each at 15 s, in the order of arrival: all of one scrape, then the next.
pub fn samples(series: usize, scrapes: usize) -> (Names, impl Iterator<Item = RecordBatch>) {
    let mut r = Rng(2);
    let labels = (0..series).map(|i| {
        let (name, target) = (format!("metric_{:03}_total", i / 25 % 800), format!("10.0.{}.{}:9100", i % 25, i / 5000));
        Labels::from_pairs([
            ("__name__", name.as_str()),
            ("instance", &target),
            ("job", "node"),
            ("mode", ["idle", "user", "system"][i % 3]),
            ("cpu", &format!("{}", i % 16)),
        ])
    });
    let names = labels.collect::<base::Result<Vec<_>>>().expect("distinct names");
    let mut values: Vec<Value> = (0..series).map(|_| Value::new(&mut r)).collect();
    let offsets: Vec<i64> = (0..series).map(|i| (i as i64 / 400 * 7919) % 15_000).collect();
    let mut at = 0;
    let next = move || {
        if at == scrapes {
            return None;
        }
        let start = START_NS / 1_000_000 + at as i64 * 15_000;
        at += 1;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(0..series as u32)),
            Arc::new(Int64Array::from_iter_values(offsets.iter().map(|o| start + o))),
            Arc::new(Float64Array::from_iter_values(values.iter_mut().map(|v| v.next(&mut r)))),
            Arc::new(BinaryViewArray::from_iter((0..series).map(|_| None::<&[u8]>))),
        ];
        Some(RecordBatch::try_new(SAMPLES.schema(), columns).expect("the schema's columns"))
    };
    (Names(names), std::iter::from_fn(next))
}

fn span_attributes(r: &mut Rng, kind: u8, out: &mut Vec<u8>) {
    let s = |out: &mut Vec<u8>, k: &str, v: &str| attrs::push(out, k, &attrs::Value::Str(v));
    let path = PATHS[r.below(8) as usize];
    match kind {
        3 if r.below(2) == 0 => {
            s(out, "db.system", "postgresql");
            s(out, "db.name", "shop");
            s(out, "db.operation", "SELECT");
            s(out, "db.sql.table", path);
            s(out, "db.statement", &format!("SELECT * FROM {path} WHERE id = $1 AND tenant = $2 LIMIT {}", 1 + r.below(100)));
            s(out, "server.address", &format!("pg-{}.db.svc", r.below(4)));
            attrs::push(out, "db.rows", &attrs::Value::Int(r.below(500) as i64));
        }
        2 | 3 => {
            s(out, "http.request.method", if r.below(3) == 0 { "POST" } else { "GET" });
            attrs::push(out, "http.response.status_code", &attrs::Value::Int(if r.below(50) == 0 { 503 } else { 200 }));
            s(out, "http.route", &format!("/api/{path}"));
            s(out, "url.path", &format!("/api/x/{}", r.below(1_000_000)));
            s(out, "network.protocol.version", "1.1");
            if kind == 2 {
                s(out, "client.address", &format!("10.1.{}.{}", r.below(256), r.below(256)));
                s(out, "user_agent.original", "Java-http-client/21.0.3");
            } else {
                s(out, "server.address", &format!("{path}.shop.svc"));
                attrs::push(out, "server.port", &attrs::Value::Int(8080));
            }
        }
        _ => {
            s(out, "code.function", "handle");
            attrs::push(out, "cache.hit", &attrs::Value::Bool(r.below(5) > 0));
        }
    }
    s(out, "thread.name", &format!("http-nio-8080-exec-{}", 1 + r.below(64)));
}

/// About `count` spans in traces of 8 to 30, an hour long, arriving in bodies of 1,000.
pub fn spans(count: usize) -> (Names, impl Iterator<Item = RecordBatch>) {
    let mut r = Rng(3);
    let labels = (0..36).map(|i| {
        let id = format!("{:016x}", r.next());
        Labels::from_pairs([
            ("resource.service.name", ["frontend", "gateway", "checkout", "cart"][i % 4]),
            ("resource.service.instance.id", &id),
            ("scope.name", "auto"),
        ])
    });
    let names = labels.collect::<base::Result<Vec<_>>>().expect("distinct names");
    let mut done = 0;
    let next = move || {
        if done >= count {
            return None;
        }
        let b = span_batch(&mut r, START_NS + 3_600_000_000_000 + (done as f64 / count as f64 * 3.6e12) as i64);
        done += b.num_rows();
        Some(b)
    };
    (Names(names), std::iter::from_fn(next))
}

fn span_batch(r: &mut Rng, start: i64) -> RecordBatch {
    let (mut series, mut times, mut kinds, mut status, mut durations) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut traces, mut ids, mut parents) =
        (FixedSizeBinaryBuilder::new(16), FixedSizeBinaryBuilder::new(8), FixedSizeBinaryBuilder::new(8));
    let (mut names, mut messages) = (StringViewBuilder::new(), StringViewBuilder::new());
    let (mut attributes, mut events) = (BinaryViewBuilder::new(), BinaryViewBuilder::new());
    let mut bytes = vec![];
    let expect = "the width given";
    while series.len() < 1000 {
        let trace = (u128::from(r.next()) << 64 | u128::from(r.next())).to_be_bytes();
        let trace_start = start + r.below(4_000_000_000) as i64;
        let mut known: Vec<u64> = vec![];
        for i in 0..8 + r.below(12) + r.below(12) {
            let id = r.next() | 1;
            let kind = if i == 0 { 2 } else { [1, 2, 3, 3][r.below(4) as usize] };
            traces.append_value(trace).expect(expect);
            ids.append_value(id.to_be_bytes()).expect(expect);
            match known.is_empty() {
                true => parents.append_null(),
                false => parents.append_value(known[r.below(known.len() as u64) as usize].to_be_bytes()).expect(expect),
            }
            known.push(id);
            names.append_value(["GET /api/cart", "SELECT shop.orders", "validate", "HTTP POST", "render"][r.below(5) as usize]);
            kinds.push(kind);
            series.push(r.below(36) as u32);
            times.push(trace_start + r.below(100_000_000) as i64);
            durations.push((1e6 * (r.norm() * 0.7 + 3.0).exp()) as i64);
            bytes.clear();
            span_attributes(r, kind, &mut bytes);
            attributes.append_value(&bytes);
            let failed = r.below(50) == 0;
            status.push(if failed { 2 } else { 0 });
            messages.append_option(failed.then_some("timeout"));
            events
                .append_option(failed.then_some(b"exception java.util.concurrent.TimeoutException Did not observe any item within 5000ms"));
        }
    }
    let n = series.len();
    let none = || Arc::new(BinaryViewArray::from_iter((0..n).map(|_| None::<&[u8]>)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(series)),
        Arc::new(Int64Array::from(times)),
        Arc::new(traces.finish()),
        Arc::new(ids.finish()),
        Arc::new(parents.finish()),
        Arc::new(names.finish()),
        Arc::new(UInt8Array::from(kinds)),
        Arc::new(UInt8Array::from(status)),
        Arc::new(messages.finish()),
        Arc::new(Int64Array::from(durations)),
        Arc::new(StringViewArray::from_iter((0..n).map(|_| None::<&str>))),
        Arc::new(UInt32Array::from(vec![257; n])),
        Arc::new(attributes.finish()),
        Arc::new(events.finish()),
        none(),
        none(),
    ];
    RecordBatch::try_new(SPANS.schema(), columns).expect("the schema's columns")
}
