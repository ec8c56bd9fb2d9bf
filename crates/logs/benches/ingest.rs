//! How fast pushes become rows: `cargo bench -p watchfire-logs`. Prints MB of lines per second and nanoseconds per line
//! of one core, decompression included.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use base::attrs::Value;
use base::{Labels, Result, Tenant};
use bytes::Bytes;
use logs::ingest::{LINES, LOKI_JSON, LOKI_PROTOBUF, OTLP_PROTOBUF, codecs};
use table::{FrameHeader, Refusal, Sink, TableId, TableSpec};
use wire::loki::{PushEntry, PushStream, push_json, push_protobuf};
use wire::otlp::RecordFields;
use wire::{Encoding, Options};

const NOW: i64 = 1_700_000_000_000_000_000;
const LINES_PER_BODY: usize = 4_000;

/// Takes everything and keeps the last batch, as a memtable would hold on to it.
#[derive(Default)]
struct Store {
    known: HashMap<u128, u32>,
    rows: usize,
    last: Option<RecordBatch>,
}

impl Sink for Store {
    fn table(&self, _: &TableSpec) -> Result<TableId> {
        Ok(TableId(0))
    }
    fn series(&mut self, _: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        if let Some(n) = self.known.get(&raw) {
            return Ok(*n);
        }
        labels()?;
        let n = self.known.len() as u32;
        self.known.insert(raw, n);
        Ok(n)
    }
    fn admit(&mut self, _: u32, _: TableId, _: u32, _: u64, _: i64) -> bool {
        true
    }
    fn refuse(&mut self, refusal: Refusal) {
        panic!("{refusal:?}");
    }
    fn rows(&mut self, _: TableId, batch: RecordBatch) {
        self.rows += batch.num_rows();
        self.last = Some(batch);
    }
}

/// A mixture as services write it: access logs, JSON, logfmt, plain text; about 250 bytes each.
fn lines() -> Vec<String> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let id = |a: u64, b: u64| format!("{a:08x}{b:08x}{a:08x}{b:08x}");
    (0..LINES_PER_BODY)
        .map(|i| {
            let (a, b) = (next(), next());
            let level = ["info", "debug", "warn", "error"][(a % 4) as usize];
            match i % 4 {
                0 => format!(
                    "10.0.{}.{} - - [14/Nov/2023:22:13:20 +0000] \"GET /api/v1/orders/{b}?page={} HTTP/1.1\" 200 {} \"https://shop.example.com/checkout\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0\" rt=0.0{}",
                    a % 256, b % 256, a % 100, b % 9999, a % 999
                ),
                1 => format!(
                    r#"{{"ts":"2023-11-14T22:13:20.{:06}Z","caller":"orders/handler.go:{}","msg":"order placed","order_id":{b},"customer":"{}","amount":{}.5,"level":"{level}","trace_id":"{}"}}"#,
                    a % 1_000_000, b % 500, id(b, a), a % 900, id(a, b)
                ),
                2 => format!(
                    "ts=2023-11-14T22:13:20Z level={level} caller=engine.go:{} component=querier org_id=shop traceID={} latency=fast query=\"sum by (app) (rate({{namespace=\\\"prod\\\"}}[5m]))\" query_type=metric range_type=range length=1h0m0s step=15s duration={}ms",
                    a % 300, id(a, b), b % 5000
                ),
                _ => format!(
                    "2023-11-14 22:13:20,{:03} [pool-{}-thread-{}] com.example.shop.payment.PaymentService - Charging card of customer {} through the provider took {} ms and was answered with code {}; next attempt is not needed, the order goes to packing now",
                    a % 1000, a % 9, b % 32, id(a, b), b % 900, a % 600
                ),
            }
        })
        .collect()
}

fn run(name: &str, codec: u16, encoding: Encoding, raw: &[u8], line_bytes: usize) {
    let body = Bytes::from(wire::encoding::encode(encoding, raw).expect("the body can be compressed"));
    let codec = codecs().into_iter().find(|c| c.id() == codec).expect("the codec exists");
    let header = FrameHeader {
        tenant: Tenant::default(),
        received_ns: NOW,
        codec: codec.id(),
        options: Options::encoded(encoding).to_bytes(),
        origin: None,
        refused: vec![],
        rows: None,
    };
    let mut store = Store::default();
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let t = Instant::now();
        codec.decode(&header, &body, &mut store).expect("the body is valid");
        black_box(&store.last);
        best = best.min(t.elapsed());
    }
    assert_eq!(store.rows % LINES_PER_BODY, 0);
    let (ns, mb) = (best.as_nanos() as f64 / LINES_PER_BODY as f64, line_bytes as f64 / 1e6 / best.as_secs_f64());
    println!("{name:<28} {mb:>8.0} MB/s {ns:>8.0} ns/line   (body {} KB)", body.len() / 1000);
}

fn main() {
    let lines = lines();
    let size: usize = lines.iter().map(String::len).sum();
    println!("{LINES_PER_BODY} lines of {} bytes on average, best round of 2 s", size / LINES_PER_BODY);
    let entry = |(i, line)| PushEntry { time_ns: NOW + i as i64, line, metadata: &[] };
    let entries: Vec<_> = lines.iter().map(String::as_str).enumerate().map(entry).collect();
    let names: Vec<String> = (0..50).map(|i| format!("pod-{i}")).collect();
    let labels: Vec<_> = names.iter().map(|n| [("app", "shop"), ("namespace", "prod"), ("pod", n.as_str())]).collect();
    let chunk = LINES_PER_BODY / 50;
    let streams: Vec<_> = labels.iter().zip(entries.chunks(chunk)).map(|(labels, entries)| PushStream { labels, entries }).collect();
    run("loki protobuf, snappy", LOKI_PROTOBUF, Encoding::SnappyBlock, &push_protobuf(&streams), size);
    run("loki protobuf, identity", LOKI_PROTOBUF, Encoding::Identity, &push_protobuf(&streams), size);
    run("loki json, gzip", LOKI_JSON, Encoding::Gzip, &push_json(&streams), size);
    run("loki json, identity", LOKI_JSON, Encoding::Identity, &push_json(&streams), size);
    let record = |(i, line): (usize, &String)| {
        wire::otlp::logs(
            &[("service.name", Value::Str("shop")), ("host.name", Value::Str("h-1"))],
            ("lib", "1"),
            &[RecordFields {
                time_ns: (NOW + i as i64) as u64,
                severity_number: 9,
                severity_text: "INFO",
                body: Value::Str(line),
                attributes: &[("http.method", Value::Str("GET")), ("http.status_code", Value::Int(200))],
                context: Some(([7; 16], [8; 8])),
            }],
        )
    };
    let otlp: Vec<u8> = lines.iter().enumerate().flat_map(record).collect();
    run("otlp protobuf, identity", OTLP_PROTOBUF, Encoding::Identity, &otlp, size);
    let mut w = wire::lines::LinesWriter::new(&Labels::from_pairs([("job", "nginx")]).expect("one label"));
    lines.iter().enumerate().for_each(|(i, l)| w.push(NOW + i as i64, l.as_bytes()));
    run("lines, identity", LINES, Encoding::Identity, &w.finish(), size);
}
