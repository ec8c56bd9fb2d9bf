//! The way in: decode, admit, reserve, commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use base::units::format_size;
use base::{Error, Kind, Labels, Result, Tenant};
use bytes::Bytes;

use super::Engine;
use super::commit::{Rows, Submission};
use crate::frame;
use crate::generation::{Generation, kept};
use crate::ingest::{FrameHeader, Refusal, Sink, TableId};
use crate::memory_budget::BodyRoom;
use crate::registry::{Reader, tenant_seed, weight};
use crate::sorted::SeriesKey;
use crate::spec::TableSpec;

/// The reason of a refusal that is not final: the entry's series was over its rate, and may be sent again.
pub const RATE_LIMITED_ENTRY: &str = "per_stream_rate_limit";

/// How long a writer that waits for memory sleeps at most until it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What became of a body.
#[derive(Clone, Debug, Default)]
pub struct Ingested {
    /// Rows stored, durable and visible.
    pub rows: u64,
    /// Bytes of them, as the codec counts.
    pub bytes: u64,
    /// Entries that were not taken and never can be as they are.
    pub refusals: Vec<Refusal>,
    /// Entries that were taken by kind, where the codec tells them apart.
    pub counts: Vec<(&'static str, u64)>,
}

impl Ingested {
    /// Entries of a kind that were taken.
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.iter().filter(|(k, _)| *k == kind).map(|(_, n)| n).sum()
    }
}

/// Limits that are asked while a body is decoded. The engine itself has none but memory and disk.
pub trait Admission: Send + Sync {
    /// Whether it may say no at all.
    fn may_refuse(&self) -> bool;
    /// Whether [`Admission::entry`] has anything to say about this table.
    fn limits_entries(&self, table: &'static TableSpec) -> bool;
    /// Whether an entry of this series may come in now. `series` is the series' identity.
    fn entry(&self, tenant: &Tenant, table: &'static TableSpec, series: u128, bytes: u64) -> bool;
    /// Whether the body as a whole may come in, after decoding and before it is logged. `table` is that of its first
    /// entry.
    fn body(&self, tenant: &Tenant, table: Option<&'static TableSpec>, rows: u64, bytes: u64) -> Result<()>;
}

/// A body that was decoded and admitted, and is not stored yet.
pub struct Prepared {
    header: FrameHeader,
    body: Bytes,
    rows: Vec<Rows>,
    generation: Arc<Generation>,
    done: Ingested,
    /// Until its rows are counted.
    room: Option<BodyRoom>,
}

impl Prepared {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.done.rows == 0 && self.header.origin.is_none()
    }
    /// What becomes of the body once it is stored.
    pub fn done(&self) -> &Ingested {
        &self.done
    }
    /// See [`FrameHeader::copy`].
    pub fn copy(&self) -> Bytes {
        self.header.copy(&self.body)
    }
}

impl Engine {
    /// Stores a received body. When it returns `Ok`, every row that is not among the refusals is fsynced and visible. An
    /// error stores nothing: `Invalid` can never succeed, `LimitExceeded` and `Unavailable` can later.
    pub fn ingest(&self, header: FrameHeader, body: Bytes, admission: Option<&dyn Admission>) -> Result<Ingested> {
        let prepared = self.prepare(header, body, admission)?;
        if prepared.is_empty() { Ok(prepared.done) } else { self.store(prepared) }
    }

    /// Stores what another node received ([`FrameHeader::copy`]); returns the rows.
    pub fn ingest_copy(&self, copy: &Bytes) -> Result<u64> {
        let (header, body) = frame::decode(copy)?;
        self.ingest(header, body, None).map(|done| done.rows)
    }

    /// The first half of [`Engine::ingest`]: decodes and asks limits. Stores nothing.
    pub fn prepare(&self, mut header: FrameHeader, body: Bytes, admission: Option<&dyn Admission>) -> Result<Prepared> {
        self.running()?;
        let codec = self.codecs.get(&header.codec).ok_or_else(|| Error::internal(format!("no codec {}", header.codec)))?;
        let generation = self.current();
        let mut sink = EngineSink::new(self, &generation, &header, admission);
        sink.new_body = true;
        codec.decode(&header, &body, &mut sink)?;
        let found = sink.found();
        let count = found.count();
        let Found { rows, refusals, late_refused, bytes, first_table, counts, room } = found;
        if let Some(a) = admission {
            a.body(&header.tenant, first_table.map(|t| self.tables[t.0 as usize]), count, bytes)?;
            header.refused = late_refused;
        }
        header.rows = Some(count);
        Ok(Prepared { header, body, rows, generation, done: Ingested { rows: count, bytes, refusals, counts }, room })
    }

    /// The second half: makes it durable and visible.
    pub fn store(&self, prepared: Prepared) -> Result<Ingested> {
        self.running()?;
        let Prepared { header, body, rows, generation, done, room } = prepared;
        self.room_on_disk()?;
        let need: usize = rows.iter().map(|r| r.bytes).sum();
        self.reserve(need)?;
        drop(room);
        let submission = Arc::new(Submission::new(frame::encode(&header), body, rows, generation, header.origin));
        match self.commit(&submission) {
            Ok(()) => Ok(done),
            Err(e) => {
                self.budget.free_rows(need);
                Err(e)
            }
        }
    }

    /// Waits for memory; nothing is logged before there is room for it (promise P7).
    fn reserve(&self, bytes: usize) -> Result<()> {
        let mut waited = Duration::ZERO;
        while !self.budget.try_rows(bytes) {
            self.running()?;
            if !self.settings.background {
                self.seal()?;
                self.flush_sealed()?;
                if !self.budget.try_rows(bytes) {
                    return Err(Error::unavailable("rows in memory are at their bound and could not be flushed"));
                }
                break;
            }
            if waited >= self.settings.write_wait {
                self.stats.writes_deferred.fetch_add(1, Ordering::Relaxed);
                return Err(Error::unavailable("rows in memory are at their bound: the disk does not keep up, try again later"));
            }
            self.stats.pressure.store(true, Ordering::Relaxed);
            self.bell.freeze();
            self.bell.flush();
            self.budget.wait_freed(LOOK_AGAIN);
            waited += LOOK_AGAIN;
        }
        Ok(())
    }

    /// Waits for the turn of a body that becomes large.
    fn room_for_body(&self, bytes: usize) -> Result<BodyRoom> {
        let began = Instant::now();
        loop {
            if let Some(room) = self.budget.try_body(bytes) {
                return Ok(room);
            }
            self.running()?;
            if began.elapsed() >= self.settings.write_wait {
                self.stats.writes_deferred.fetch_add(1, Ordering::Relaxed);
                return Err(Error::unavailable(
                    "bodies that are being decompressed take all memory there is for them: try again, or send smaller batches",
                ));
            }
            self.budget.wait_freed(LOOK_AGAIN);
        }
    }

    fn room_on_disk(&self) -> Result<()> {
        let free = self.fs.free_bytes(self.keys.root()).map_err(Error::from)?;
        if free < self.settings.min_free_bytes {
            self.stats.writes_deferred.fetch_add(1, Ordering::Relaxed);
            return Err(Error::unavailable(format!(
                "the disk below {} is full ({} left): writes wait until there is room, reads go on",
                self.keys.root().display(),
                format_size(free)
            )));
        }
        Ok(())
    }
}

/// What a codec found in a body.
#[derive(Default)]
pub(super) struct Found {
    pub rows: Vec<Rows>,
    pub refusals: Vec<Refusal>,
    /// Ordinals refused for reasons that header and body do not tell.
    pub late_refused: Vec<u32>,
    pub bytes: u64,
    /// The table of the first entry.
    pub first_table: Option<TableId>,
    /// Entries by kind.
    pub counts: Vec<(&'static str, u64)>,
    /// What the body has become takes this much.
    pub room: Option<BodyRoom>,
}

impl Found {
    /// How many rows.
    pub fn count(&self) -> u64 {
        self.rows.iter().map(|r| r.batch.num_rows() as u64).sum()
    }
}

/// Collects what a codec finds. Used for new bodies and for replay alike.
pub(super) struct EngineSink<'a> {
    engine: &'a Engine,
    generation: &'a Generation,
    tenant: &'a Tenant,
    seed: u128,
    admission: Option<&'a dyn Admission>,
    replayed: &'a [u32],
    found: Found,
    /// Not a replayed one: bounds hold.
    pub new_body: bool,
    /// The registry in use, locked, and whether its table's entries are limited one by one.
    reading: Option<(TableId, Reader<'a>, bool)>,
    /// The series found last.
    last: u32,
    /// Bytes of the series that this body made known.
    named: usize,
}

impl<'a> EngineSink<'a> {
    pub fn new(engine: &'a Engine, generation: &'a Generation, header: &'a FrameHeader, admission: Option<&'a dyn Admission>) -> Self {
        EngineSink {
            engine,
            generation,
            tenant: &header.tenant,
            seed: tenant_seed(&header.tenant),
            admission,
            replayed: &header.refused,
            found: Found::default(),
            new_body: false,
            reading: None,
            last: u32::MAX,
            named: 0,
        }
    }

    /// Ends the decoding; no lock is held any more.
    pub fn found(self) -> Found {
        self.found
    }

    /// Names of series are at their bound: those of this body alone, or with those of others, which go.
    fn too_many_series(&self, most: usize) -> Error {
        if self.named <= most {
            return Error::unavailable("names of new series are at their bound in memory and are being flushed, try again");
        }
        let most = format_size(most as u64);
        Error::new(
            Kind::TooLarge,
            format!("the names of the series in one request take more memory than they may ({most}): send smaller batches"),
        )
    }

    fn reading(&mut self, table: TableId) -> &(TableId, Reader<'a>, bool) {
        if self.reading.as_ref().is_some_and(|r| r.0 != table) {
            self.reading = None;
        }
        self.reading.get_or_insert_with(|| {
            let t = table.0 as usize;
            let limited = self.admission.is_some_and(|a| a.limits_entries(self.engine.tables[t]));
            (table, self.generation.tables[t].registry.reader(), limited)
        })
    }
}

impl Sink for EngineSink<'_> {
    fn unpack(&mut self, bytes: usize) -> Result<()> {
        // A body that was accepted is decoded again whatever it takes; those of the log come one by one.
        if self.new_body {
            self.reading = None;
            self.found.room = Some(self.engine.room_for_body(bytes)?);
        }
        Ok(())
    }

    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        Ok(TableId(self.engine.table_id(spec)? as u8))
    }

    fn series(&mut self, table: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        let raw = raw ^ self.seed;
        let last = self.last;
        if let Some(n) = self.reading(table).1.lookup(raw, last) {
            self.last = n;
            return Ok(n);
        }
        self.reading = None;
        let registry = &self.generation.tables[table.0 as usize].registry;
        // One more generation may still be in memory.
        let most = self.engine.settings.registry_limit / 2;
        if self.new_body && self.generation.registries_bytes() > most {
            // Flushing this one empties its registry.
            self.engine.stats.pressure.store(true, Ordering::Relaxed);
            self.engine.bell.flush();
            return Err(self.too_many_series(most));
        }
        if let Some((n, weight)) = registry.inherit(raw) {
            self.named += weight;
            return Ok(n);
        }
        let labels = labels()?;
        self.named += weight(&labels);
        Ok(registry.intern(Some(raw), SeriesKey { tenant: self.tenant.clone(), labels }))
    }

    fn admit(&mut self, ordinal: u32, table: TableId, series: u32, bytes: u64, time_ns: i64) -> bool {
        if !self.replayed.is_empty() && self.replayed.binary_search(&ordinal).is_ok() {
            return false;
        }
        if let (_, reader, true) = self.reading(table) {
            let series = reader.identity(series);
            let spec = self.engine.tables[table.0 as usize];
            if self.admission.is_some_and(|a| !a.entry(self.tenant, spec, series, bytes)) {
                self.found.late_refused.push(ordinal);
                self.found.refusals.push(Refusal {
                    ordinal,
                    reason: RATE_LIMITED_ENTRY,
                    message: "the stream's rate limit is exceeded: send it more slowly or raise the limit".into(),
                    bytes,
                    time_ns: Some(time_ns),
                });
                return false;
            }
        }
        self.found.first_table.get_or_insert(table);
        self.found.bytes += bytes;
        true
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.found.refusals.push(refusal);
    }

    fn rows(&mut self, table: TableId, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            let (batch, bytes) = kept(&batch);
            self.found.rows.push(Rows { table: table.0 as usize, batch, bytes });
        }
    }

    fn count(&mut self, kind: &'static str, entries: u64) {
        self.found.counts.push((kind, entries));
    }
}
