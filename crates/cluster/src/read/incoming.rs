//! The answer of another node, message by message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use base::{Labels, Result};
use table::sorted::OrderCheck;
use table::{Cancel, Commits, Lack, ScanRequest, TableSpec};

use super::bytes::damaged;
use super::message::{End, Head, Kind, Message, decode_series, open};
use super::rows;
use crate::transport::Messages;

/// An answer whose head and series have come.
pub struct Incoming {
    /// What the node committed lately.
    pub commits: Commits,
    /// The series of its rows, in label order.
    pub series: Arc<[Labels]>,
    spec: &'static TableSpec,
    from: Received,
    check: OrderCheck,
    rows: u64,
    /// What the node says it could not read of its own, once the last row has come.
    pub lacks: Vec<Lack>,
}

/// Messages that say something, counted.
struct Received {
    messages: Messages,
    bytes: Arc<AtomicU64>,
    cancel: Cancel,
}

impl Received {
    fn next(&mut self) -> Result<Message> {
        loop {
            self.cancel.check()?;
            let bytes = self.messages.next().ok_or_else(|| damaged("the answer was cut short"))??;
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let message = open(bytes)?;
            if message.kind != Kind::Working {
                return Ok(message);
            }
        }
    }

    fn next_of(&mut self, kind: Kind) -> Result<Message> {
        let m = self.next()?;
        if m.kind == kind { Ok(m) } else { Err(damaged("messages are not in order")) }
    }
}

impl Incoming {
    /// Reads the head and the series. `bytes` counts what comes.
    pub fn begin(q: &ScanRequest, messages: Messages, bytes: Arc<AtomicU64>) -> Result<Incoming> {
        let mut from = Received { messages, bytes, cancel: q.cancel.clone() };
        let head = Head::decode(&from.next_of(Kind::Head)?)?;
        let mut series: Vec<Labels> = vec![];
        while series.len() < head.series as usize {
            let more = decode_series(&from.next_of(Kind::Series)?)?;
            if more.is_empty() || series.last().is_some_and(|l| *l >= more[0]) {
                return Err(damaged("series are not in order"));
            }
            series.extend(more);
        }
        if series.len() != head.series as usize {
            return Err(damaged("there are more series than announced"));
        }
        let check = OrderCheck::new(q.table, q.direction, series.len());
        Ok(Incoming { commits: head.commits, series: series.into(), spec: q.table, from, check, rows: 0, lacks: vec![] })
    }

    /// Whether the answer is not wanted any more.
    pub fn is_canceled(&self) -> bool {
        self.from.cancel.check().is_err()
    }

    /// The next rows, until the node has said that these were all.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let m = self.from.next()?;
        match m.kind {
            Kind::Rows => {
                let batch = rows::decode(self.spec, &m)?;
                self.check.check(&batch)?;
                self.rows += batch.num_rows() as u64;
                Ok(Some(batch))
            }
            Kind::End => {
                let end = End::decode(&m)?;
                if end.rows != self.rows {
                    return Err(damaged("rows are missing"));
                }
                self.lacks = end.lacks;
                Ok(None)
            }
            _ => Err(damaged("messages are not in order")),
        }
    }
}
