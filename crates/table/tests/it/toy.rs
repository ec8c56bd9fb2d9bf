//! Two toy tables unlike any signal's, the codec that fills them, and a model of what must be read back.
//! That they need nothing of the engine but this file is the proof of the waist.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt32Array};
use base::hash::hash128;
use base::{Clock, Error, Labels, Matcher, Result, Tenant};
use bytes::Bytes;
use disk::SimFs;
use store::Store;
use table::{
    Codec, Column, ColumnType, Engine, EngineOptions, FrameHeader, Order, Origin, Prefer, Refusal, Rows, ScanRequest, Settings, Sink,
    SkipFilter, TableSpec, TimeRange, TimeUnit,
};

pub static NOTES: TableSpec = TableSpec {
    name: "notes",
    rows: "notes",
    unit: TimeUnit::Ns,
    slice: 3_600_000_000_000,
    columns: &[Column::new("ordinal", ColumnType::U32), Column::new("text", ColumnType::Text).filter(SkipFilter::Substring)],
    order: Order::Series(&["ordinal"]),
    identity: &["text"],
    prefer: &[],
};

pub static EVENTS: TableSpec = TableSpec {
    name: "events",
    rows: "events",
    unit: TimeUnit::Ms,
    slice: 900_000,
    columns: &[
        Column::new("key", ColumnType::Fixed(4)).filter(SkipFilter::Value),
        Column::new("n", ColumnType::I64),
        Column::new("weight", ColumnType::F64),
    ],
    order: Order::Key("key"),
    identity: &["key", "n"],
    prefer: &[Prefer::Greater("weight")],
};

/// `N series time_ns text` and `E series time_ms key n weight`, a line each; `U bytes` is a body that becomes so large.
pub struct Lines;

pub const LINES: u16 = 77;

impl Codec for Lines {
    fn id(&self) -> u16 {
        LINES
    }
    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let (notes, events) = (sink.table(&NOTES)?, sink.table(&EVENTS)?);
        let (mut n, mut e) = (Notes::default(), Events::default());
        let text = std::str::from_utf8(body).map_err(|_| Error::invalid("not text"))?;
        for (ordinal, line) in text.lines().enumerate() {
            let f: Vec<&str> = line.split(' ').collect();
            let number = |i: usize| f.get(i).and_then(|x| x.parse::<i64>().ok()).ok_or_else(|| Error::invalid("bad number"));
            if f[0] == "U" {
                sink.unpack(number(1)? as usize)?;
                continue;
            }
            let table = if f[0] == "N" { notes } else { events };
            let name = f.get(1).copied().unwrap_or_default();
            let series = sink.series(table, hash128(name.as_bytes()), &mut || Labels::from_pairs([("name", name)]))?;
            let time = number(2)?;
            let time_ns = if table == notes { time } else { time * 1_000_000 };
            if time_ns > header.received_ns + base::limits::FUTURE_NS {
                sink.refuse(Refusal {
                    ordinal: ordinal as u32,
                    reason: "too_far_in_future",
                    message: String::new(),
                    bytes: 1,
                    time_ns: Some(time_ns),
                });
                continue;
            }
            if !sink.admit(ordinal as u32, table, series, line.len() as u64, time_ns) {
                continue;
            }
            if table == notes {
                n.0.push(series);
                n.1.push(time);
                n.2.push(ordinal as u32);
                n.3.push(f[3].to_owned());
            } else {
                e.0.push(series);
                e.1.push(time);
                e.2.push((number(3)? as u32).to_be_bytes());
                e.3.push(number(4)?);
                e.4.push(number(5)? as f64 / 8.0);
            }
        }
        sink.rows(notes, n.batch());
        sink.rows(events, e.batch());
        Ok(())
    }
}

/// [`Lines`] as a later release reads it that does not take events any more.
pub struct NotesOnly;

impl Codec for NotesOnly {
    fn id(&self) -> u16 {
        LINES
    }
    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| Error::invalid("not text"))?;
        let (notes, events): (Vec<_>, Vec<_>) = text.lines().enumerate().partition(|(_, l)| !l.starts_with('E'));
        for (ordinal, _) in events {
            let message = "events are not taken".to_owned();
            sink.refuse(Refusal { ordinal: ordinal as u32, reason: "event", message, bytes: 1, time_ns: None });
        }
        let notes: String = notes.iter().map(|(_, l)| format!("{l}\n")).collect();
        Lines.decode(header, &notes.into(), sink)
    }
}

#[derive(Default)]
struct Notes(Vec<u32>, Vec<i64>, Vec<u32>, Vec<String>);
#[derive(Default)]
struct Events(Vec<u32>, Vec<i64>, Vec<[u8; 4]>, Vec<i64>, Vec<f64>);

impl Notes {
    fn batch(self) -> RecordBatch {
        let c: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.0)),
            Arc::new(Int64Array::from(self.1)),
            Arc::new(UInt32Array::from(self.2)),
            Arc::new(StringViewArray::from_iter_values(self.3)),
        ];
        RecordBatch::try_new(NOTES.schema(), c).unwrap()
    }
}

impl Events {
    fn batch(self) -> RecordBatch {
        let key = if self.2.is_empty() {
            FixedSizeBinaryArray::new_null(4, 0)
        } else {
            FixedSizeBinaryArray::try_from_iter(self.2.into_iter()).unwrap()
        };
        let c: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.0)),
            Arc::new(Int64Array::from(self.1)),
            Arc::new(key),
            Arc::new(Int64Array::from(self.3)),
            Arc::new(Float64Array::from(self.4)),
        ];
        RecordBatch::try_new(EVENTS.schema(), c).unwrap()
    }
}

/// Small bounds, so that every step happens often; no threads.
pub fn settings() -> Settings {
    Settings {
        freeze_bytes: 2 << 10,
        generation_wal_bytes: 32 << 10,
        generation_bytes: 64 << 10,
        memtable_limit: 1 << 20,
        wal_segment_bytes: 16 << 10,
        merge_runs: 3,
        min_free_bytes: 0,
        index_limit: 16 << 10,
        background: false,
        ..Settings::default()
    }
}

pub fn open(fs: &SimFs, clock: &Clock, settings: Settings) -> Result<Arc<Engine>> {
    open_on(fs, clock, settings, None, "local")
}

/// An engine whose blocks are in a store.
pub fn open_on(fs: &SimFs, clock: &Clock, settings: Settings, store: Option<Arc<dyn Store>>, node: &str) -> Result<Arc<Engine>> {
    Engine::open(options(fs, clock, settings, store, node))
}

/// What the toys' engines are made of.
pub fn options(fs: &SimFs, clock: &Clock, settings: Settings, store: Option<Arc<dyn Store>>, node: &str) -> EngineOptions {
    EngineOptions {
        fs: Arc::new(fs.clone()),
        dir: Path::new("/data").into(),
        store,
        node: node.into(),
        clock: clock.clone(),
        tables: vec![&NOTES, &EVENTS],
        codecs: vec![Arc::new(Lines)],
        settings,
    }
}

pub fn header(tenant: &str, clock: &Clock, origin: Option<Origin>) -> FrameHeader {
    FrameHeader {
        tenant: Tenant::new(tenant).unwrap(),
        received_ns: clock.now_ns(),
        codec: LINES,
        options: Bytes::new(),
        origin,
        refused: vec![],
        rows: None,
    }
}

/// Identity to value, of both tables. A note's value is 0, an event's its weight.
pub type Set = BTreeMap<String, i64>;

/// The rows of a body as identities, with the value of each.
pub fn rows_of(tenant: &str, body: &str) -> Vec<(String, i64)> {
    let row = |l: &str| {
        let f: Vec<&str> = l.split(' ').collect();
        match f[0] {
            "N" => (format!("{tenant} N {} {} {}", f[1], f[2], f[3]), 0),
            _ => (format!("{tenant} E {} {}", f[3], f[4]), f[5].parse().unwrap()),
        }
    };
    body.lines().map(row).collect()
}

/// Everything a tenant can read, and a message if a row comes twice.
pub fn read(engine: &dyn Rows, tenant: &str, matchers: Vec<Matcher>) -> Result<Set> {
    let mut out = Set::new();
    let mut add = |id: String, v: i64| match out.insert(id.clone(), v) {
        None => Ok(()),
        Some(_) => Err(Error::internal(format!("{id} comes twice"))),
    };
    let t = Tenant::new(tenant)?;
    let q = ScanRequest::new(&NOTES, t.clone(), matchers.clone(), TimeRange::ALL);
    let s = engine.scan(&q)?;
    for b in s.batches {
        let b = b?;
        let (series, time, text) =
            (b.column(0).as_primitive::<UInt32Type>(), b.column(1).as_primitive::<Int64Type>(), b.column(3).as_string_view());
        for i in 0..b.num_rows() {
            let name = s.series[series.value(i) as usize].get("name").unwrap_or("");
            add(format!("{tenant} N {name} {} {}", time.value(i), text.value(i)), 0)?;
        }
    }
    let s = engine.scan(&ScanRequest::new(&EVENTS, t, matchers, TimeRange::ALL))?;
    for b in s.batches {
        let b = b?;
        let (key, n, w) =
            (b.column(2).as_fixed_size_binary(), b.column(3).as_primitive::<Int64Type>(), b.column(4).as_primitive::<Float64Type>());
        for i in 0..b.num_rows() {
            let k = u32::from_be_bytes(key.value(i).try_into().unwrap());
            add(format!("{tenant} E {k} {}", n.value(i)), (w.value(i) * 8.0) as i64)?;
        }
    }
    Ok(out)
}

/// A small deterministic generator (SplitMix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub const TENANTS: [&str; 3] = ["default", "a", "b"];

/// A body of random rows of the last three days; sometimes one that was sent before.
pub fn body(rng: &mut Rng, clock: &Clock, sent: &[(usize, String)]) -> (usize, String) {
    if !sent.is_empty() && rng.below(8) == 0 {
        return sent[rng.below(sent.len() as u64) as usize].clone();
    }
    let mut out = String::new();
    let now = clock.now_ns();
    for _ in 0..=rng.below(20) {
        // Mostly recent, some late by up to three days; times are coarse, so that many are equal.
        let back = if rng.below(4) == 0 { rng.below(3 * 86_400) } else { rng.below(600) } / 5 * 5;
        let t = now / 1_000_000_000 - back as i64;
        if rng.below(3) > 0 {
            out.push_str(&format!("N s{} {} text-{}\n", rng.below(12), t * 1_000_000_000, rng.below(1000)));
        } else {
            // An event's time and series follow from its identity; its weight may differ from copy to copy.
            let (k, n) = (rng.below(30), rng.below(200));
            out.push_str(&format!("E s{} {} {k} {n} {}\n", n % 5, (1_700_000_000 + (n as i64) * 600) * 1000, rng.below(100)));
        }
    }
    (rng.below(3) as usize, out)
}
