//! Sorted, encoded rows: one format for parts (in memory), runs (on local disk) and blocks (merged, per tenant and day).
//!
//! **What it is for.** Rows arrive in any order and leave in the table's order, once each, however often they were
//! sent. A *part* is frozen from unsorted batches and kept encoded in memory; a *run* is the parts of a flush written
//! to disk without encoding them again; a *block* is the k-way merge of any of them for one tenant and day. All three
//! are the same Parquet layout with the same index, so one reader, one pruning and one merge serve them all.
//!
//! **Constraints.** Merging streams: memory depends on the number of sources, not on the size of a day. A query
//! decodes only the pages that its series, times and predicate leave over. A damaged byte costs the page it is in, is
//! counted and named, and never becomes a wrong row. Nothing here knows what a table means: everything comes from
//! [`TableSpec`].
//!
//! **Design.**
//! - `layout`: how a batch becomes Parquet columns (decimal doubles, shredded attributes) and back.
//! - `writer`: rows in order to a data file, with its index (`index`) and the checksums of its blocks (`checked`).
//! - `pages`, `numbers`, `text::read`: columns decoded without Parquet's record reader.
//! - `file`, `cache`: a run or block as the engine holds it, and which of their indexes stay in memory.
//! - `names`: the series file, rank to labels, kept columnar in memory; matchers run over dictionaries.
//! - `order`: sorting unsorted rows; `part`, `run`: freezing and flushing.
//! - `blank`: columns without any value, which take no memory.
//! - `arrivals`: rows of other nodes, read as they come.
//! - `piece`: a contiguous sorted stretch of rows of one source within one slice; `combine`: the k-way merge of
//!   pieces with `resolve` removing doubles; `scan` and `merge` are the two users of it.
//!
//! **Rejected.** A Parquet page CRC covers neither page headers nor indexes; checksums over 4 KiB blocks of the file
//! cover every byte in one rule. Stretches inside the series file would be read in whole for a query of one slice;
//! they lie in the data file, one blob for each slice.

mod arrivals;
mod blank;
mod cache;
mod checked;
mod combine;
mod data;
mod decimal;
mod doubles;
mod file;
mod filter;
mod gather;
mod grams;
mod index;
mod inspect;
mod layout;
mod limits;
mod merge;
mod names;
mod numbers;
mod order;
mod pages;
mod part;
mod piece;
mod prune;
mod resolve;
mod run;
mod scan;
mod shred;
mod steady;
mod text;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use arrivals::OrderCheck;
pub use blank::{blank, is_blank};
pub use cache::IndexCache;
pub use file::{Files, SortedFile, open, open_of};
pub use inspect::inspect;
pub(crate) use limits::BLANK_ROWS;
pub use merge::merge;
pub(crate) use order::join;
pub use part::{Part, freeze};
pub use run::write_run;
pub use scan::{label_values, scan, scan_for_merge, scan_with, series, wanted_whole};

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base::{Labels, Result, Tenant};
use serde::{Deserialize, Serialize};

use crate::erase::Erasing;
use crate::missing::Lack;
use crate::scan::Cancel;

/// The version of the layout that this code writes.
pub const FORMAT_VERSION: u32 = 1;

/// Whose series, and its labels. Ordered by tenant, then label bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Tenant.
    pub tenant: Tenant,
    /// Labels.
    pub labels: Labels,
}

/// What the numbers in the `series` column of unsorted rows and of parts mean.
pub trait SeriesNames: Send + Sync {
    /// The series of a number that was handed out.
    fn key(&self, number: u32) -> SeriesKey;
    /// Sorts numbers by their keys. Overridden where ranks are cached.
    fn order(&self, numbers: &mut Vec<u32>) {
        let mut keyed: Vec<(SeriesKey, u32)> = numbers.iter().map(|&n| (self.key(n), n)).collect();
        keyed.sort_unstable();
        numbers.clear();
        numbers.extend(keyed.into_iter().map(|(_, n)| n));
    }
}

/// The rows of one tenant and day within a part, run or block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Tenant's name.
    pub tenant: String,
    /// Days since 1970.
    pub day: i64,
    /// Rows.
    pub rows: u64,
    /// Earliest time, in the table's unit.
    pub first_time: i64,
    /// Latest time.
    pub last_time: i64,
}

/// What must be known of a run or block to open it; part of its meta object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortedMeta {
    /// Layout version.
    pub format: u32,
    /// Rows.
    pub rows: u64,
    /// Length of the data file.
    pub data_bytes: u64,
    /// Where the checksums and the footer of the data file begin.
    pub data_tail: u64,
    /// CRC32C of the data file from there to its end.
    pub data_tail_crc32c: u32,
    /// Length of the series file.
    pub series_bytes: u64,
    /// CRC32C of the series file.
    pub series_crc32c: u32,
    /// Series.
    pub series: u64,
    /// Doubles removed while it was made.
    pub doubles: u64,
    /// What it holds, by tenant and day.
    pub partitions: Vec<Partition>,
}

/// Rows that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRows {
    /// File.
    pub path: PathBuf,
    /// Row group, if the damage is inside one.
    pub row_group: Option<u32>,
    /// Column whose page is damaged.
    pub column: Option<String>,
    /// Rows lost to the caller.
    pub rows: u64,
    /// Earliest time they may have, in the table's unit.
    pub first_time: i64,
    /// Latest time they may have.
    pub last_time: i64,
    /// For people.
    pub reason: String,
}

impl LostRows {
    /// As a note for an answer that lacks them.
    fn lack(&self) -> Lack {
        let whose = format!("{} rows of {}", self.rows, self.path.display());
        Lack { whose, why: format!("they are damaged on disk ({})", self.reason), since_ns: None }
    }
}

/// Whoever counts damage. The same damage may be reported by each reader that meets it.
pub trait Damage: Send + Sync {
    /// Rows were left out of an answer.
    fn lost(&self, what: LostRows);
}

/// A share of memory. A query over its share gets an error of kind `Unprocessable`, or `Unavailable` when it is others that have it all.
pub trait Budget: Send + Sync {
    /// Takes `bytes`, or refuses.
    fn reserve(&self, bytes: usize) -> Result<()>;
    /// Gives them back.
    fn release(&self, bytes: usize);
}

/// Where rows come from.
#[derive(Clone)]
pub enum Source {
    /// Unsorted rows in the table's schema.
    Rows {
        /// The rows.
        batches: Vec<RecordBatch>,
        /// What their series numbers mean.
        names: Arc<dyn SeriesNames>,
    },
    /// A frozen part.
    Part {
        /// The part.
        part: Arc<Part>,
        /// What its series numbers mean.
        names: Arc<dyn SeriesNames>,
    },
    /// A run or a block.
    File {
        /// The file.
        file: Arc<SortedFile>,
        /// Days of the tenant that another source supersedes: their rows are not answered.
        hidden_days: Vec<i64>,
    },
}

impl Source {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Arc<SortedFile>> {
        if let Source::File { file, .. } = self { Some(file) } else { None }
    }
}

/// How to merge.
#[derive(Clone, Default)]
pub struct MergeOptions {
    /// Rows before this time are dropped (retention), in the table's unit.
    pub keep_from: Option<i64>,
    /// Rows that are to be deleted.
    pub erasing: Option<Arc<dyn Erasing>>,
    /// Stops it early.
    pub cancel: Cancel,
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeStats {
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Doubles removed.
    pub doubles: u64,
    /// Rows dropped because they were older than `keep_from`.
    pub expired: u64,
    /// Rows that somebody asked to delete.
    pub erased: u64,
}
