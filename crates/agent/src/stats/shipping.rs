//! Figures of the spool and of what leaves it, under our names and under those that people's alerts use.

use std::collections::BTreeMap;

use base::stats::{CounterVec, Desc, Exposition};
use parking_lot::Mutex;

use crate::deliver::Format;
use crate::ship::Answered;
use crate::spool::ledger::Report;

/// See its help.
pub const SPOOL_BYTES: Desc = Desc::gauge("watchfire_agent_spool_bytes", "bytes", "Bytes that the spool takes.");
/// See its help.
pub const SPOOL_MAX_BYTES: Desc = Desc::gauge("watchfire_agent_spool_max_bytes", "bytes", "Bytes that the spool may take.");
/// See its help.
pub const SPOOL_FULL: Desc = Desc::gauge("watchfire_agent_spool_full", "1", "Whether sources wait because the spool is full.");
/// See its help.
pub const SPOOL_DAMAGED: Desc =
    Desc::gauge("watchfire_agent_spool_damaged", "stretches", "Stretches of the spool that were found damaged.");
/// See its help.
pub const PENDING_ROWS: Desc =
    Desc::gauge("watchfire_agent_pending_rows", "rows", "Rows in the spool that an endpoint has not acknowledged.").labels(&["endpoint"]);
/// See its help.
pub const PENDING_BYTES: Desc =
    Desc::gauge("watchfire_agent_pending_bytes", "bytes", "Bytes in the spool that an endpoint has not acknowledged.")
        .labels(&["endpoint"]);
/// See its help.
pub const OLDEST_PENDING: Desc = Desc::gauge(
    "watchfire_agent_oldest_pending_timestamp_seconds",
    "seconds",
    "When the oldest row that an endpoint has not acknowledged was spooled; 0 without one.",
)
.labels(&["endpoint"]);
/// See its help.
pub const ALARM: Desc = Desc::gauge(
    "watchfire_agent_endpoint_alarm",
    "1",
    "Whether an endpoint answers in a way that a person has to mend: a wrong token, path or address.",
)
.labels(&["endpoint"]);
/// See its help.
pub const LOST_ROWS: Desc = Desc::counter("watchfire_agent_lost_rows_total", "rows", "Rows known to be lost for good.").labels(&["reason"]);
/// See its help.
pub const REQUESTS: Desc = Desc::counter("watchfire_agent_requests_total", "requests", "Requests to endpoints, by what became of them.")
    .labels(&["endpoint", "answer"]);
/// See its help.
pub const SENT_BYTES: Desc =
    Desc::counter("watchfire_agent_sent_bytes_total", "bytes", "Bytes of bodies sent to endpoints, as compressed.").labels(&["endpoint"]);
/// See its help.
pub const LOKI_SENT_ENTRIES: Desc =
    Desc::counter("loki_write_sent_entries_total", "lines", "Lines that an endpoint has acknowledged.").labels(&["host"]);
/// See its help.
pub const LOKI_SENT_BYTES: Desc =
    Desc::counter("loki_write_sent_bytes_total", "bytes", "Bytes of lines that an endpoint has acknowledged.").labels(&["host"]);
/// See its help.
pub const LOKI_DROPPED_ENTRIES: Desc =
    Desc::counter("loki_write_dropped_entries_total", "lines", "Lines that an endpoint has refused for good.").labels(&["host", "reason"]);
/// See its help.
pub const LOKI_DROPPED_BYTES: Desc =
    Desc::counter("loki_write_dropped_bytes_total", "bytes", "Bytes of lines that an endpoint has refused for good.")
        .labels(&["host", "reason"]);
/// See its help.
pub const LOKI_RETRIES: Desc =
    Desc::counter("loki_write_batch_retries_total", "requests", "Requests with lines that are sent again.").labels(&["host"]);
/// See its help.
pub const PROM_SAMPLES: Desc =
    Desc::counter("prometheus_remote_storage_samples_total", "samples", "Samples that an endpoint has acknowledged.")
        .labels(&["remote_name"]);
/// See its help.
pub const PROM_FAILED: Desc =
    Desc::counter("prometheus_remote_storage_samples_failed_total", "samples", "Samples that an endpoint has refused for good.")
        .labels(&["remote_name"]);
/// See its help.
pub const PROM_RETRIED: Desc =
    Desc::counter("prometheus_remote_storage_samples_retried_total", "requests", "Requests with samples that are sent again.")
        .labels(&["remote_name"]);
/// See its help.
pub const PROM_HIGHEST_SENT: Desc = Desc::gauge(
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
    "seconds",
    "Time of the newest sample that an endpoint has acknowledged.",
)
.labels(&["remote_name"]);

/// All of them, for the reference page.
pub const OF_SHIPPING: &[&Desc] = &[
    &SPOOL_BYTES,
    &SPOOL_MAX_BYTES,
    &SPOOL_FULL,
    &SPOOL_DAMAGED,
    &PENDING_ROWS,
    &PENDING_BYTES,
    &OLDEST_PENDING,
    &ALARM,
    &LOST_ROWS,
    &REQUESTS,
    &SENT_BYTES,
    &LOKI_SENT_ENTRIES,
    &LOKI_SENT_BYTES,
    &LOKI_DROPPED_ENTRIES,
    &LOKI_DROPPED_BYTES,
    &LOKI_RETRIES,
    &PROM_SAMPLES,
    &PROM_FAILED,
    &PROM_RETRIED,
    &PROM_HIGHEST_SENT,
];

/// The numbers behind them.
pub struct Shipping {
    requests: CounterVec,
    sent_bytes: CounterVec,
    loki_sent_entries: CounterVec,
    loki_sent_bytes: CounterVec,
    loki_dropped_entries: CounterVec,
    loki_dropped_bytes: CounterVec,
    loki_retries: CounterVec,
    prom_samples: CounterVec,
    prom_failed: CounterVec,
    prom_retried: CounterVec,
    prom_highest_ns: Mutex<BTreeMap<String, i64>>,
}

impl Default for Shipping {
    fn default() -> Self {
        Shipping {
            requests: CounterVec::new(&REQUESTS),
            sent_bytes: CounterVec::new(&SENT_BYTES),
            loki_sent_entries: CounterVec::new(&LOKI_SENT_ENTRIES),
            loki_sent_bytes: CounterVec::new(&LOKI_SENT_BYTES),
            loki_dropped_entries: CounterVec::new(&LOKI_DROPPED_ENTRIES),
            loki_dropped_bytes: CounterVec::new(&LOKI_DROPPED_BYTES),
            loki_retries: CounterVec::new(&LOKI_RETRIES),
            prom_samples: CounterVec::new(&PROM_SAMPLES),
            prom_failed: CounterVec::new(&PROM_FAILED),
            prom_retried: CounterVec::new(&PROM_RETRIED),
            prom_highest_ns: Mutex::default(),
        }
    }
}

/// What was sent, as far as figures are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Its form.
    pub format: Format,
    /// Its rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Time of the newest row, nanoseconds.
    pub last_ns: i64,
}

impl Sent {
    fn is_lines(self) -> bool {
        matches!(self.format, Format::LokiPush | Format::LokiPushJson)
    }
    fn is_samples(self) -> bool {
        matches!(self.format, Format::RemoteWrite | Format::RemoteWrite2)
    }
}

impl Shipping {
    /// A request was answered.
    pub(crate) fn request(&self, endpoint: &str, sent: Sent, answer: Answered, body_bytes: usize) {
        self.requests.add(&[endpoint, answer.word()], 1);
        self.sent_bytes.add(&[endpoint], body_bytes as u64);
        match answer {
            Answered::Accepted if sent.is_lines() => {
                self.loki_sent_entries.add(&[endpoint], sent.rows);
                self.loki_sent_bytes.add(&[endpoint], sent.bytes);
            }
            Answered::Accepted if sent.is_samples() => {
                self.prom_samples.add(&[endpoint], sent.rows);
                let mut highest = self.prom_highest_ns.lock();
                let ns = highest.entry(endpoint.to_owned()).or_insert(i64::MIN);
                *ns = sent.last_ns.max(*ns);
            }
            Answered::Again if sent.is_lines() => self.loki_retries.add(&[endpoint], 1),
            Answered::Again if sent.is_samples() => self.prom_retried.add(&[endpoint], 1),
            _ => {}
        }
    }

    /// Rows were refused for good.
    pub(crate) fn refused(&self, endpoint: &str, sent: Sent) {
        if sent.is_lines() {
            self.loki_dropped_entries.add(&[endpoint, "refused"], sent.rows);
            self.loki_dropped_bytes.add(&[endpoint, "refused"], sent.bytes);
        } else if sent.is_samples() {
            self.prom_failed.add(&[endpoint], sent.rows);
        }
    }

    /// Writes all figures, those of the spool from its report.
    pub fn write(&self, report: &Report, out: &mut Exposition) {
        let spool = &report.spool;
        out.value(&SPOOL_BYTES, &[], spool.bytes as f64);
        out.value(&SPOOL_MAX_BYTES, &[], spool.max_bytes as f64);
        out.value(&SPOOL_FULL, &[], f64::from(u8::from(spool.full)));
        out.value(&SPOOL_DAMAGED, &[], spool.damaged as f64);
        let of = |f: fn(&crate::spool::ledger::EndpointReport) -> f64| report.endpoints.iter().map(move |e| (e.name.as_str(), f(e)));
        for (desc, values) in [
            (&PENDING_ROWS, of(|e| e.pending_rows as f64)),
            (&PENDING_BYTES, of(|e| e.pending_bytes as f64)),
            (&OLDEST_PENDING, of(|e| e.oldest_pending_ns as f64 / 1e9)),
            (&ALARM, of(|e| f64::from(u8::from(e.alarm)))),
        ] {
            values.for_each(|(name, v)| out.value(desc, &[name], v));
        }
        for (reason, count) in &report.lost.by_reason {
            out.value(&LOST_ROWS, &[reason], count.rows as f64);
        }
        for v in [
            &self.requests,
            &self.sent_bytes,
            &self.loki_sent_entries,
            &self.loki_sent_bytes,
            &self.loki_dropped_entries,
            &self.loki_dropped_bytes,
            &self.loki_retries,
            &self.prom_samples,
            &self.prom_failed,
            &self.prom_retried,
        ] {
            v.write(out);
        }
        for (name, ns) in self.prom_highest_ns.lock().iter() {
            out.value(&PROM_HIGHEST_SENT, &[name], *ns as f64 / 1e9);
        }
    }
}
