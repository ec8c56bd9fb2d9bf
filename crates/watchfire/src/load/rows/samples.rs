//! Samples: every series once a round, its value the sequence number, which grows, so that it is a counter.

use std::ops::Range;

use super::super::limits::SERIES_PER_SHARD;
use super::super::proto::Message;
use super::super::rng::Rng;
use super::{Batch, Run};

const NAMES: [&str; 4] = ["load_requests_total", "load_bytes_total", "load_errors_total", "load_seconds_total"];

/// Round of the tenant and the place of the batch in it.
fn round_of(run: &Run, batch: u64) -> (u64, u64) {
    let per_round = run.series.div_ceil(run.batch_rows);
    let k = batch / run.tenants;
    (k / per_round, k % per_round)
}

/// Series (of its tenant) that a batch has a sample of, in order.
pub fn series_of(run: &Run, batch: u64) -> Range<u64> {
    let first = round_of(run, batch).1 * run.batch_rows;
    first..(first + run.batch_rows).min(run.series)
}

/// The shard label of a series: queries ask for one shard at a time.
pub fn shard_of(series: u64) -> u64 {
    series / SERIES_PER_SHARD
}

/// Whether a row is late.
pub fn is_late(run: &Run, sequence: u64) -> bool {
    run.late > 0.0 && Rng::of(run.seed ^ 0x1A7E, sequence).chance(run.late)
}

/// When the late samples of a batch are: before the run, the later the round the longer ago. Batches have even
/// milliseconds and late samples odd ones, so that no two samples of a series ever share a time.
pub fn late_ms(run: &Run, batch: u64) -> i64 {
    run.start_ns / 1_000_000 - 1 - 100 * round_of(run, batch).0 as i64
}

/// Time of a sample.
pub fn time_ms(run: &Run, batch: u64, i: u64, batch_ns: i64) -> i64 {
    if is_late(run, run.sequence(batch, i)) { late_ms(run, batch) } else { batch_ns / 1_000_000 }
}

/// A remote write request of one batch: `prometheus.WriteRequest`, snappy block.
pub fn batch(run: &Run, batch: u64, batch_ns: i64) -> Batch {
    let mut write = Message::default();
    let series = series_of(run, batch);
    for (i, s) in series.clone().enumerate() {
        let i = i as u64;
        write.message(1, |ts| {
            write_labels(ts, run, s);
            ts.message(2, |sample| {
                let value = run.sequence(batch, i) as f64;
                sample.fixed64(1, value.to_bits()).varint(2, time_ms(run, batch, i, batch_ns) as u64);
            });
        });
    }
    Batch {
        path: "/api/v1/write",
        form: ("application/x-protobuf", Some("snappy")),
        tenant: run.tenant_of(batch),
        raw_bytes: write.0.len() as u64,
        body: super::super::client::snappy(&write.0),
        rows: series.count() as u64,
    }
}

/// Labels in order, as senders must.
fn write_labels(ts: &mut Message, run: &Run, series: u64) {
    let mut label = |name: &str, value: &str| {
        ts.message(1, |l| {
            l.bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
        });
    };
    label("__name__", NAMES[(series % NAMES.len() as u64) as usize]);
    label("instance", &format!("host-{:05}:9100", series / 40));
    label("job", "load");
    label("run", &run.name);
    label("series", &series.to_string());
    label("shard", &shard_of(series).to_string());
}
