//! Log lines: JSON and logfmt mixed, a trace id as structured metadata on a third of them.

use super::super::limits::STREAMS_PER_REQUEST;
use super::super::proto::Message;
use super::super::rng::Rng;
use super::{Batch, Run};

const PATHS: [&str; 6] = ["/api/v1/orders", "/api/v1/cart", "/checkout", "/login", "/static/app.js", "/healthz"];
const WORDS: [&str; 8] = ["connection", "accepted", "payment", "timeout", "retrying", "cache", "miss", "finished"];
const LEVELS: [&str; 8] = ["info", "info", "info", "info", "debug", "warn", "error", "info"];
/// A batch's lines lie within so many nanoseconds, which is the least distance of two batches.
pub const SPREAD_NS: i64 = 2_000_000;

/// Streams that one batch touches: each has four lines or more.
fn together(run: &Run) -> u64 {
    STREAMS_PER_REQUEST.min(run.series).min((run.batch_rows / 4).max(1))
}

/// Lines of a batch touch some streams in turn, and the next batch of the tenant the next ones.
fn stream_of(run: &Run, batch: u64, i: u64) -> u64 {
    let together = together(run);
    ((batch / run.tenants) * together + i % together) % run.series
}

fn host_of(stream: u64) -> String {
    format!("host-{stream:06}")
}

/// The label `host` of the stream that a line belongs to.
pub fn host(run: &Run, batch: u64, i: u64) -> String {
    host_of(stream_of(run, batch, i))
}

/// The `host` labels of a tenant's streams, each once.
pub fn hosts(run: &Run) -> impl Iterator<Item = String> {
    (0..run.series).map(host_of)
}

fn labels(run: &Run, stream: u64) -> String {
    let env = if stream.is_multiple_of(3) { "staging" } else { "prod" };
    format!(r#"{{app="load-{}", env="{env}", host="{}", run="{}"}}"#, stream % 16, host_of(stream), run.name)
}

/// Time of a line.
pub fn time_ns(run: &Run, batch: u64, i: u64, batch_ns: i64) -> i64 {
    batch_ns + i as i64 * SPREAD_NS / run.batch_rows as i64 - run.lateness_ns(run.sequence(batch, i))
}

/// The line with a sequence number.
pub fn line(run: &Run, sequence: u64) -> String {
    let mut r = Rng::of(run.seed, sequence);
    let (level, path) = (r.pick(&LEVELS), r.pick(&PATHS));
    let (ms, status, user) = (r.below(2000), [200, 200, 200, 201, 304, 404, 500, 503][r.below(8) as usize], r.below(100_000));
    let message = (0..3 + r.below(6)).map(|_| r.pick(&WORDS)).collect::<Vec<_>>().join(" ");
    let id = r.next();
    if r.chance(0.5) {
        format!(
            r#"{{"seq":{sequence},"level":"{level}","path":"{path}","status":{status},"latency_ms":{ms},"user":"u{user}","request":"{id:016x}","msg":"{message}"}}"#
        )
    } else {
        format!(
            r#"seq={sequence} level={level} path={path} status={status} latency_ms={ms} user=u{user} request={id:016x} msg="{message}""#
        )
    }
}

/// The sequence number in a line.
pub fn sequence_of(line: &str) -> Option<u64> {
    let rest = line.strip_prefix(r#"{"seq":"#).or_else(|| line.strip_prefix("seq="))?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// A push of one batch: `logproto.PushRequest`, snappy block.
pub fn batch(run: &Run, batch: u64, batch_ns: i64) -> Batch {
    let together = together(run);
    let mut raw_bytes = 0;
    let mut push = Message::default();
    for lane in 0..together {
        push.message(1, |stream| {
            stream.bytes(1, labels(run, stream_of(run, batch, lane)).as_bytes());
            for i in (lane..run.batch_rows).step_by(together as usize) {
                let line = line(run, run.sequence(batch, i));
                raw_bytes += line.len() as u64;
                stream.message(2, |entry| write_entry(entry, time_ns(run, batch, i, batch_ns), &line, run, run.sequence(batch, i)));
            }
        });
    }
    Batch {
        path: "/loki/api/v1/push",
        form: ("application/x-protobuf", None),
        tenant: run.tenant_of(batch),
        body: super::super::client::snappy(&push.0),
        rows: run.batch_rows,
        raw_bytes,
    }
}

fn write_entry(entry: &mut Message, time_ns: i64, line: &str, run: &Run, sequence: u64) {
    let second = base::units::SECOND_NS;
    entry.message(1, |t| {
        t.varint(1, time_ns.div_euclid(second) as u64).varint(2, time_ns.rem_euclid(second) as u64);
    });
    entry.bytes(2, line.as_bytes());
    let mut r = Rng::of(run.seed ^ 0x7ACE, sequence);
    if r.chance(1.0 / 3.0) {
        let id = format!("{:016x}{:016x}", r.next(), r.next());
        entry.message(3, |pair| {
            pair.bytes(1, b"trace_id").bytes(2, id.as_bytes());
        });
    }
}
