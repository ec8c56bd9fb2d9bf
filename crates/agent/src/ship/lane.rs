//! One lane of an endpoint: one request after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Result;
use parking_lot::Mutex;

use super::backoff::Backoff;
use super::dead::DeadLetters;
use super::http::{Answer, Client, Outgoing};
use super::parcel::{self, Parcel};
use super::{Backlog, Context, Endpoint};
use crate::limits;
use crate::runner::Pause;
use crate::spool::ledger::{Lost, by_stream};
use crate::spool::{Cursor, Taken};

/// Which lane it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is new; everything, where there is no other lane.
    Live,
    /// What has piled up.
    Backlog,
}

/// What the lanes of one endpoint share.
pub struct Shared {
    pub dead: Arc<Mutex<DeadLetters>>,
    pub backlog: Arc<Backlog>,
    pub busy: Arc<AtomicU64>,
}

/// What was read and is being sent.
struct Job {
    taken: Taken,
    parcels: VecDeque<Parcel>,
    /// Requests that may still be made to find the rows that are meant by a refusal.
    cuts_left: u32,
    bytes: usize,
    /// Where the backlog lane is behind it.
    after: Cursor,
    /// What the endpoint will never take.
    refused: Vec<Refused>,
}

/// Rows that an endpoint will never take, and what it said.
struct Refused {
    parcel: Parcel,
    rows: u64,
    status: u16,
    why: String,
}

/// A lane.
pub struct Lane {
    number: usize,
    endpoint: Arc<Endpoint>,
    role: Role,
    context: Arc<Context>,
    shared: Shared,
    client: Client,
    cursor: Cursor,
    job: Option<Job>,
    backoff: Backoff,
    /// What was said of the endpoint last.
    said: String,
    /// It has waited for more to send along.
    has_waited: bool,
    two_lanes: bool,
}

impl Lane {
    /// A lane of the `number`-th endpoint of the spool.
    pub fn new(number: usize, endpoint: Arc<Endpoint>, role: Role, context: Arc<Context>, shared: Shared) -> Result<Lane> {
        let client = Client::new(&endpoint, context.identity.clone())?;
        let two_lanes = endpoint.kind.takes_any_order();
        let floor = context.spool.floor(number);
        let mut lane = Lane {
            cursor: Cursor::at(floor),
            backoff: Backoff::new(&format!("{}{role:?}{}", context.identity.boot, endpoint.name)),
            number,
            endpoint,
            role,
            context,
            shared,
            client,
            job: None,
            said: String::new(),
            has_waited: false,
            two_lanes,
        };
        if role == Role::Live && two_lanes && lane.context.spool.lag(&lane.cursor).bytes > limits::LIVE_LAG_BYTES {
            lane.leave_behind();
        }
        Ok(lane)
    }

    /// Name of its thread.
    pub fn name(&self) -> &'static str {
        if self.role == Role::Live { "ship-live" } else { "ship-backlog" }
    }

    /// One request, or a wait for something to send.
    pub fn step(&mut self) -> Pause {
        if self.job.is_none() {
            match self.take() {
                Ok(Some(job)) => self.job = Some(job),
                Ok(None) => return self.wait(),
                Err(e) => {
                    tracing::error!(endpoint = self.endpoint.name, error = %e, "the spool cannot be read now");
                    return Pause::Rest(limits::READ_AGAIN);
                }
            }
        }
        let Some(mut job) = self.job.take() else { return Pause::None };
        // What was dropped meanwhile is stated as lost, and must not arrive after all: the rest is read anew.
        if self.context.spool.is_changed(self.number, &job.taken) {
            if self.role == Role::Live {
                self.cursor = Cursor::at(job.taken.from);
            }
            return Pause::None;
        }
        let Some(mut parcel) = job.parcels.pop_front() else { return self.finish(job) };
        let pause = match self.send(&mut parcel, &job.taken) {
            Answer::Accepted => self.accepted(),
            Answer::AcceptedBut(rows, why) => {
                job.refused.push(Refused { parcel, rows, status: 200, why });
                self.accepted()
            }
            Answer::AcceptedWithout(rows, status, why) => match parcel.only(&rows) {
                Some(parcel) => {
                    job.refused.push(Refused { rows: parcel.rows, parcel, status, why });
                    self.accepted()
                }
                None => self.cut(&mut job, parcel, status, &why),
            },
            Answer::Again(after, why, alarm) => {
                job.parcels.push_front(parcel);
                self.again(after, &why, alarm)
            }
            Answer::TooLarge => self.cut(&mut job, parcel, 413, "the request is too large"),
            Answer::Refused(status, why) => self.cut(&mut job, parcel, status, &why),
        };
        if job.parcels.is_empty() {
            return self.finish(job);
        }
        self.job = Some(job);
        pause
    }

    /// Reads what comes next.
    fn take(&mut self) -> Result<Option<Job>> {
        if self.role == Role::Backlog {
            return self.take_backlog();
        }
        let lag = self.context.spool.lag(&self.cursor);
        if self.two_lanes && lag.bytes > limits::LIVE_LAG_BYTES && lag.age_ns > limits::LIVE_LAG_NS {
            self.leave_behind();
        }
        let spool = &self.context.spool;
        if !spool.wait(self.cursor.seq, limits::IDLE_WAIT) {
            return Ok(None);
        }
        // A moment for others to come along, unless there is plenty.
        if !self.has_waited && lag.bytes < self.endpoint.batch_bytes as u64 {
            self.has_waited = true;
            return Ok(None);
        }
        let mut cursor = self.cursor;
        let job = self.read(&mut cursor, u64::MAX)?;
        self.cursor = cursor;
        self.has_waited = false;
        Ok(job)
    }

    /// Everything up to now is for the other lane.
    fn leave_behind(&mut self) {
        let now = self.context.spool.next_seq();
        tracing::info!(endpoint = self.endpoint.name, from = self.cursor.seq, to = now, "what has piled up goes beside what is new");
        self.shared.backlog.lock().push_back((self.cursor, now));
        self.cursor = Cursor::at(now);
    }

    fn take_backlog(&mut self) -> Result<Option<Job>> {
        let front = self.shared.backlog.lock().front().copied();
        let Some((mut cursor, until)) = front else { return Ok(None) };
        let job = self.read(&mut cursor, until)?;
        if job.is_none() {
            self.moved(cursor);
        }
        Ok(job)
    }

    /// The backlog is done with up to `cursor`.
    fn moved(&self, cursor: Cursor) {
        let mut backlog = self.shared.backlog.lock();
        let Some(front) = backlog.front_mut() else { return };
        front.0 = cursor;
        if cursor.seq >= front.1 {
            backlog.pop_front();
        }
    }

    /// Reads frames into parcels; what holds nothing for this endpoint is acknowledged at once.
    fn read(&self, cursor: &mut Cursor, until: u64) -> Result<Option<Job>> {
        let mut parcels = vec![];
        let spool = &self.context.spool;
        let taken = spool.read(self.number, cursor, until, self.endpoint.batch_bytes, &mut |s| parcel::add(&mut parcels, s))?;
        if parcels.is_empty() {
            spool.acknowledge(self.number, &taken, vec![]);
            return Ok(None);
        }
        let bytes = parcels.iter().map(Parcel::size).sum();
        Ok(Some(Job { taken, parcels: parcels.into(), cuts_left: limits::CUTS, bytes, after: *cursor, refused: vec![] }))
    }

    fn wait(&mut self) -> Pause {
        match self.role {
            Role::Backlog if self.shared.backlog.lock().is_empty() => Pause::Rest(limits::IDLE_WAIT),
            Role::Backlog => Pause::None,
            Role::Live if self.has_waited => Pause::Rest(self.endpoint.batch_wait),
            Role::Live => Pause::None,
        }
    }

    fn send(&self, parcel: &mut Parcel, taken: &Taken) -> Answer {
        let sent = parcel.figures(parcel.rows);
        let (format, encoding, tenant) = (parcel.format, parcel.encoding, parcel.tenant.clone());
        let body = match parcel.seal() {
            Ok(b) => b,
            Err(e) => return Answer::Refused(0, e.to_string()),
        };
        self.shared.busy.fetch_add(1, Ordering::Relaxed);
        let answer = self.client.send(&Outgoing { format, encoding, tenant: &tenant, body, frames: (taken.from, taken.to) });
        self.shared.busy.fetch_sub(1, Ordering::Relaxed);
        self.context.stats.request(&self.endpoint.name, sent, answer.word(), body.len());
        answer
    }

    fn accepted(&mut self) -> Pause {
        self.backoff.reset();
        if !self.said.is_empty() {
            tracing::info!(endpoint = self.endpoint.name, "the endpoint takes what it is sent again");
            self.said.clear();
        }
        self.context.spool.trouble(self.number, "", false);
        Pause::None
    }

    fn again(&mut self, after: Option<Duration>, why: &str, alarm: bool) -> Pause {
        if self.said != why {
            self.said = why.to_owned();
            if alarm {
                tracing::error!(
                    endpoint = self.endpoint.name,
                    answer = why,
                    "ALARM: the endpoint refuses whoever asks; somebody has to mend it. Nothing is thrown away"
                );
            } else {
                tracing::warn!(endpoint = self.endpoint.name, answer = why, "the endpoint does not take what it is sent; it is sent again");
            }
        }
        self.context.spool.trouble(self.number, why, alarm);
        Pause::Rest(self.backoff.next(after))
    }

    /// Cuts a request that was refused in halves; what cannot be cut any more is what was meant.
    fn cut(&mut self, job: &mut Job, parcel: Parcel, status: u16, why: &str) -> Pause {
        self.backoff.reset();
        let halves = if job.cuts_left > 0 { parcel.halves() } else { None };
        match halves {
            Some([first, second]) => {
                job.cuts_left -= 1;
                job.parcels.push_front(second);
                job.parcels.push_front(first);
            }
            None => job.refused.push(Refused { rows: parcel.rows, parcel, status, why: why.to_owned() }),
        }
        Pause::None
    }

    /// Sets rows aside that the endpoint will never take; the losses, stream by stream where they can be told apart.
    fn set_aside(&self, r: Refused) -> Vec<Lost> {
        let Refused { parcel, rows, status, why } = r;
        let now_ns = self.context.clock.now_ns();
        if let Err(e) = self.shared.dead.lock().keep(&parcel, status, &why, now_ns) {
            tracing::error!(endpoint = self.endpoint.name, error = %e, "what was refused cannot be kept in a file");
        }
        self.context.stats.refused(&self.endpoint.name, parcel.figures(rows));
        tracing::error!(endpoint = self.endpoint.name, status, answer = why, rows, "rows are refused for good");
        let lost = |l: Lost| Lost { reason: "refused".into(), endpoint: self.endpoint.name.clone(), noticed_ns: now_ns, ..l };
        let is_of_lines = parcel.format == crate::Format::LokiPush && rows == parcel.rows;
        let streams = parcel.plain().filter(|_| is_of_lines).and_then(by_stream).filter(|s| s.len() <= limits::LOSSES);
        if let Some(streams) = streams {
            // The line about the loss of a line about a loss would be refused as well, and so on. The ledger has what they say.
            return streams.into_iter().filter(|l| !self.context.spool.is_about_losses(&l.stream)).map(lost).collect();
        }
        let bytes = if rows == parcel.rows { parcel.bytes } else { 0 };
        let (from_ns, to_ns) = parcel.span_ns;
        vec![lost(Lost { stream: format!("{:?}", parcel.format), rows, bytes, from_ns, to_ns, ..Lost::default() })]
    }

    /// The endpoint is done with all of it.
    fn finish(&mut self, job: Job) -> Pause {
        let refused = job.refused.into_iter().flat_map(|r| self.set_aside(r)).collect();
        self.context.spool.acknowledge(self.number, &job.taken, refused);
        if self.role == Role::Live {
            return Pause::None;
        }
        self.moved(job.after);
        Pause::Rest(Duration::from_secs_f64(job.bytes as f64 / self.endpoint.backlog_rate.max(1) as f64))
    }
}
