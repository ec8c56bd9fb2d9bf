//! Sealed generations to runs, oldest first; then the WAL behind them goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Result;

use super::Engine;
use crate::catalog::run_of;
use crate::generation::Generation;
use crate::keys::{Keys, META};
use crate::meta::{self, Checkpoint, FORMAT, RunMeta, RunTable};
use crate::sorted::{self, SeriesNames};

impl Engine {
    /// Flushes every sealed generation. After an error the rest stays in memory and in the WAL, and can be flushed later.
    pub fn flush_sealed(&self) -> Result<()> {
        let _one = self.flushing.lock();
        loop {
            let oldest = {
                let live = self.live.read();
                if live.generations.len() < 2 {
                    return Ok(());
                }
                live.generations[0].clone()
            };
            self.flush_generation(&oldest)?;
        }
    }

    fn flush_generation(&self, g: &Arc<Generation>) -> Result<()> {
        for t in 0..self.tables.len() {
            g.freeze(t, 0)?;
        }
        let run = self.write_run(g)?;
        {
            // One instant: before it a scan finds the rows in memory, after it in the run.
            let mut live = self.live.write();
            if let Some(run) = run {
                live.catalog.add_run(Arc::new(run), self.clock.now_ns());
            }
            live.generations.retain(|x| x.id != g.id);
        }
        self.stats.flushes.fetch_add(1, Ordering::Relaxed);
        self.checkpoint(g)
    }

    fn write_run(&self, g: &Generation) -> Result<Option<crate::catalog::Run>> {
        let upto = g.upto.load(Ordering::Acquire);
        let id = Keys::run_id(upto);
        let dir = self.keys.run(&id);
        let mut tables = vec![];
        for (t, spec) in self.tables.iter().enumerate() {
            let parts = g.parts(t);
            if parts.is_empty() {
                continue;
            }
            self.fs.create_dir_all(&dir)?;
            let names = g.tables[t].registry.clone() as Arc<dyn SeriesNames>;
            let sorted = sorted::write_run(
                spec,
                &parts,
                &*names,
                &*self.fs,
                &self.keys.run_data(&id, spec.name),
                &self.keys.run_series(&id, spec.name),
            )?;
            self.stats.doubles.fetch_add(sorted.doubles, Ordering::Relaxed);
            tables.push(RunTable { table: spec.name.into(), sorted });
        }
        if tables.is_empty() {
            return Ok(None);
        }
        self.fs.sync_dir(&dir)?;
        let meta = RunMeta { format: FORMAT, id: id.clone(), wal_from: g.from, wal_upto: upto, created_ns: self.clock.now_ns(), tables };
        meta::write(&*self.fs, &dir.join(META), &meta)?;
        let mut files = BTreeMap::new();
        for t in &meta.tables {
            let table = self.tables.iter().position(|s| s.name == t.table).expect("the run was written from these tables");
            let spec = self.tables[table];
            let file = self.open_file(spec, &self.keys.run_data(&id, &t.table), &self.keys.run_series(&id, &t.table), &t.sorted)?;
            files.insert(table, file);
        }
        Ok(Some(run_of(meta, files, &self.tables, &self.blocks.node)))
    }

    /// Tells how far the log is flushed, then lets it go.
    fn checkpoint(&self, g: &Generation) -> Result<()> {
        let positions = self.sealed_positions.lock().get(&g.id).cloned().unwrap_or_default();
        let upto = g.upto.load(Ordering::Acquire);
        self.write_checkpoint(upto, &positions)?;
        self.sealed_positions.lock().retain(|&id, _| id > g.id);
        let mut committer = self.committer.lock();
        match committer.wal.as_mut() {
            Some(wal) => wal.remove_before(upto),
            None => Ok(()), // during recovery: the log is cleaned when it is open
        }
    }

    /// Positions may be ahead of `wal_upto`, never behind: their rows are in the log.
    pub(super) fn write_checkpoint(&self, wal_upto: u64, positions: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let hex = |p: &[u8]| p.iter().map(|b| format!("{b:02x}")).collect();
        let c = Checkpoint {
            format: FORMAT,
            wal_upto,
            positions: positions.iter().map(|(s, p)| (s.clone(), hex(p))).collect(),
            retention: Some(self.retention.lock().mark()),
        };
        meta::write(&*self.fs, &self.keys.checkpoint(), &c)
    }
}
