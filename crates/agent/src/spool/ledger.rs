//! What was lost for good, and what the agent can say about everything else.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use wire::loki::Streams;

use crate::limits;

/// A stretch of rows that was lost for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Where the rows came from.
    pub source: String,
    /// Which stream, as far as it is known: a label set, or a kind of rows.
    pub stream: String,
    /// Short name, also a metric label.
    pub reason: String,
    /// The endpoints that did not get them; empty for all of them.
    pub endpoint: String,
    /// How many rows.
    pub rows: u64,
    /// How many bytes, as far as they are known.
    pub bytes: u64,
    /// Time of the first row, nanoseconds.
    pub from_ns: i64,
    /// Time of the last row, nanoseconds.
    pub to_ns: i64,
    /// When it was noticed, nanoseconds.
    pub noticed_ns: i64,
}

impl Lost {
    fn is_like(&self, other: &Lost) -> bool {
        (&self.source, &self.stream, &self.reason, &self.endpoint) == (&other.source, &other.stream, &other.reason, &other.endpoint)
    }
    /// Counts `other`, which is of the same kind, in.
    fn take_in(&mut self, other: &Lost) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.from_ns = self.from_ns.min(other.from_ns);
        self.to_ns = self.to_ns.max(other.to_ns);
        self.noticed_ns = self.noticed_ns.max(other.noticed_ns);
    }
}

/// Adds to a list in which losses of one kind are one.
pub fn merge(list: &mut Vec<Lost>, lost: Lost) {
    match list.iter_mut().find(|l| l.is_like(&lost)) {
        Some(l) => l.take_in(&lost),
        None => list.push(lost),
    }
}

/// Each stream of a push with its lines, bytes and times; `None` if it cannot be read.
pub fn by_stream(body: &[u8]) -> Option<Vec<Lost>> {
    let mut out = vec![];
    for s in Streams::new(body) {
        let s = s.ok()?;
        let stream = String::from_utf8_lossy(s.labels).into_owned();
        let (mut rows, mut bytes, mut from_ns, mut to_ns) = (0, 0, i64::MAX, i64::MIN);
        for e in s.entries() {
            let e = e.ok()?;
            rows += 1;
            bytes += e.line.len() as u64;
            (from_ns, to_ns) = (from_ns.min(e.time_ns), to_ns.max(e.time_ns));
        }
        out.push(Lost { stream, rows, bytes, from_ns, to_ns, ..Lost::default() });
    }
    Some(out)
}

/// Rows and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All losses: counts without end, the last stretches in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// By reason.
    pub by_reason: BTreeMap<String, Count>,
    /// The last ones; a stretch that goes on within a minute grows.
    pub last: VecDeque<Lost>,
}

/// A loss of the same kind that is noticed within this time is the same stretch, nanoseconds.
const SAME_STRETCH_NS: i64 = 60 * base::units::SECOND_NS;

impl Losses {
    /// Notes one more.
    pub fn note(&mut self, lost: &Lost) {
        let count = self.by_reason.entry(lost.reason.clone()).or_default();
        count.rows += lost.rows;
        count.bytes += lost.bytes;
        let goes_on = |l: &&mut Lost| l.is_like(lost) && (lost.noticed_ns - l.noticed_ns).abs() <= SAME_STRETCH_NS;
        if let Some(l) = self.last.iter_mut().rev().find(goes_on) {
            l.take_in(lost);
            return;
        }
        if self.last.len() >= limits::LOSSES {
            self.last.pop_front();
        }
        self.last.push_back(lost.clone());
    }
}

/// What one endpoint has of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// The endpoint.
    pub endpoint: String,
    /// Everything up to this time has been acknowledged, nanoseconds; 0 if nothing has.
    pub until_ns: i64,
    /// Rows that are in the spool and not acknowledged.
    pub pending_rows: u64,
    /// Their bytes.
    pub pending_bytes: u64,
}

/// A source, as the ledger shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Its name.
    pub source: String,
    /// Rows it has ever delivered to the spool.
    pub rows: u64,
    /// Time of the last one, nanoseconds.
    pub last_ns: i64,
    /// What each endpoint has of it.
    pub endpoints: Vec<Delivered>,
}

/// An endpoint, as the ledger shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its name.
    pub name: String,
    /// Rows that it has not acknowledged.
    pub pending_rows: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// When the oldest of them was spooled, nanoseconds; 0 if there is none.
    pub oldest_pending_ns: i64,
    /// Rows that it has acknowledged since the agent started.
    pub acknowledged_rows: u64,
    /// Their bytes.
    pub acknowledged_bytes: u64,
    /// When it last acknowledged something, nanoseconds; 0 for never.
    pub last_ack_ns: i64,
    /// What it answered last, if that was not an acknowledgement.
    pub trouble: String,
    /// Needs a person: a wrong token, a wrong path.
    pub alarm: bool,
    /// Requests that were sent again.
    pub retries: u64,
}

/// The spool itself, as the ledger shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpoolReport {
    /// Bytes that it takes.
    pub bytes: u64,
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// Sources wait for room.
    pub full: bool,
    /// It is in memory: a restart loses what is pending.
    pub memory: bool,
    /// Stretches that were found damaged at the last start.
    pub damaged: u64,
    /// Batches that sources were asked to give again later.
    pub deferred: u64,
}

/// Everything the spool knows of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The spool.
    pub spool: SpoolReport,
    /// By endpoint.
    pub endpoints: Vec<EndpointReport>,
    /// By source.
    pub sources: Vec<SourceReport>,
    /// What was lost.
    pub lost: Losses,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_grows_while_it_goes_on() {
        let lost = |noticed_s: i64, rows| Lost {
            source: "a".into(),
            reason: "spool_full".into(),
            rows,
            from_ns: noticed_s,
            to_ns: noticed_s,
            noticed_ns: noticed_s * base::units::SECOND_NS,
            ..Lost::default()
        };
        let mut l = Losses::default();
        l.note(&lost(1, 2));
        l.note(&lost(50, 3));
        l.note(&lost(200, 4));
        assert_eq!(l.last.iter().map(|l| (l.rows, l.from_ns, l.to_ns)).collect::<Vec<_>>(), [(5, 1, 50), (4, 200, 200)]);
        assert_eq!(l.by_reason["spool_full"].rows, 9);
    }
}
