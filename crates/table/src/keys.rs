//! Every path below the data directory is made and parsed here.
//!
//! ```text
//! wal/                                   segments of the write-ahead log
//! runs/<run>/meta.json                   a flush: exists when its meta exists
//! runs/<run>/<table>.{data,series}.parquet
//! blocks/<table>/<tenant>/<yyyy-mm-dd>/<block>/{data.parquet,series.parquet,meta.json}
//! metas/, cache/, staging/               of blocks that are in a store: copies of metas, pieces, what is being written
//! documents/                             small documents that others keep here
//! snapshots/<name>/                      data directories of their own: the runs and blocks of an instant under second names
//! damaged/                               what could not be read, set aside
//! checkpoint.json                        how far the log is flushed, and the sources' positions
//! ```

use std::path::{Path, PathBuf};

use base::Tenant;

/// The data directory's layout.
#[derive(Clone)]
pub struct Keys {
    root: PathBuf,
}

/// Name of a block's or a run's commit object.
pub const META: &str = "meta.json";
/// The name of a node that shares its store with no other.
pub const LOCAL: &str = "local";
/// Names of a block's files where one node writes.
pub const DATA: &str = "data.parquet";
/// See [`DATA`].
pub const SERIES: &str = "series.parquet";

impl Keys {
    /// Below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Keys { root: root.into() }
    }
    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Small documents that others keep.
    pub fn documents(&self) -> PathBuf {
        self.root.join("documents")
    }
    /// Copies of everything at an instant.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
    /// WAL segments.
    pub fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }
    /// Runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
    /// One run.
    pub fn run(&self, id: &str) -> PathBuf {
        self.runs().join(id)
    }
    /// A run's id: the WAL position it ends before, so that ids sort by age.
    pub fn run_id(wal_upto: u64) -> String {
        format!("r{wal_upto:016x}")
    }
    /// A run's data of one table.
    pub fn run_data(&self, id: &str, table: &str) -> PathBuf {
        self.run(id).join(format!("{table}.data.parquet"))
    }
    /// A run's series of one table.
    pub fn run_series(&self, id: &str, table: &str) -> PathBuf {
        self.run(id).join(format!("{table}.series.parquet"))
    }
    /// All blocks.
    pub fn blocks(&self) -> PathBuf {
        self.root.join("blocks")
    }
    /// Blocks of one partition.
    pub fn partition(&self, table: &str, tenant: &Tenant, day: i64) -> PathBuf {
        self.blocks().join(table).join(tenant.as_str()).join(day_name(day))
    }
    /// Key of a block in a store; the same below the data directory.
    pub fn block(table: &str, tenant: &str, day: i64, id: &str) -> String {
        format!("blocks/{table}/{tenant}/{}/{id}", day_name(day))
    }
    /// Files of a block that a node writes to a store for others to see. No two attempts share a name: whoever lost the
    /// race for a block, or never learned that it won, damages nobody's files.
    pub fn block_files(node: &str, attempt_ns: i64) -> (String, String) {
        (format!("data.{node}.{attempt_ns:x}.parquet"), format!("series.{node}.{attempt_ns:x}.parquet"))
    }
    /// Who wrote a file of [`Keys::block_files`], and when.
    pub fn writer_of(file: &str) -> Option<(&str, i64)> {
        let rest = file.strip_suffix(".parquet")?;
        let (_, rest) = rest.split_once('.')?;
        let (node, attempt) = rest.rsplit_once('.')?;
        Some((node, i64::from_str_radix(attempt, 16).ok()?))
    }
    /// The block that a key of a store belongs to, as (table, tenant, id, file).
    pub fn of_block(key: &str) -> Option<(&str, &str, &str, &str)> {
        let mut parts = key.strip_prefix("blocks/")?.split('/');
        let (table, tenant, _, id, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some((table, tenant, id, file))
    }
    /// Copies of the metas of blocks that are in a store.
    pub fn metas(&self) -> PathBuf {
        self.root.join("metas")
    }
    /// Pieces of blocks that are in a store.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    /// Blocks on their way to a store.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }
    /// What could not be read.
    pub fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }
    /// How far the log is flushed.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint.json")
    }
}

/// `yyyy-mm-dd` of a day since 1970 (proleptic Gregorian calendar, Howard Hinnant's `civil_from_days`).
pub fn day_name(day: i64) -> String {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// A moment in UTC, to the second, for people.
pub fn time_name(ns: i64) -> String {
    let s = ns.div_euclid(1_000_000_000);
    let (day, of_day) = (s.div_euclid(86_400), s.rem_euclid(86_400));
    format!("{}T{:02}:{:02}:{:02}Z", day_name(day), of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_store_tell_their_block_and_writer() {
        let block = Keys::block("notes", "a", 0, "b1");
        let (data, series) = Keys::block_files("n-1", 255);
        assert_eq!(format!("{block}/{data}"), "blocks/notes/a/1970-01-01/b1/data.n-1.ff.parquet");
        assert_eq!(Keys::of_block(&format!("{block}/{series}")), Some(("notes", "a", "b1", series.as_str())));
        assert_eq!((Keys::writer_of(&data), Keys::writer_of(&series)), (Some(("n-1", 255)), Some(("n-1", 255))));
        assert_eq!((Keys::writer_of(DATA), Keys::writer_of(META), Keys::of_block("blocks/x/meta.json")), (None, None, None));
    }

    #[test]
    fn days_have_calendar_names() {
        for (day, name) in [(0, "1970-01-01"), (19_782, "2024-02-29"), (20_778, "2026-11-21"), (-1, "1969-12-31")] {
            assert_eq!(day_name(day), name);
        }
    }
}
