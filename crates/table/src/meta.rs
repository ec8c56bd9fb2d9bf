//! The small JSON objects that commit things: a run's and a block's meta, the checkpoint. Each is one line of JSON
//! and a line with its CRC32C, so that a damaged one is never believed. `docs/formats/meta.md` is their page.

use std::collections::BTreeMap;
use std::path::Path;

use base::{Error, Result, Tenant};
use disk::Fs;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::keys::{DATA, LOCAL, SERIES};
use crate::sorted::SortedMeta;

/// Version of all metas.
pub const FORMAT: u32 = 1;

/// Commits a flush: the rows of one stretch of the WAL, all tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunMeta {
    /// [`FORMAT`].
    pub format: u32,
    /// Also the directory's name.
    pub id: String,
    /// First WAL position it covers.
    pub wal_from: u64,
    /// First WAL position it does not.
    pub wal_upto: u64,
    /// When it was made, nanoseconds.
    pub created_ns: i64,
    /// The tables that had rows.
    pub tables: Vec<RunTable>,
}

/// One table of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunTable {
    /// Its name.
    pub table: String,
    /// Its files.
    pub sorted: SortedMeta,
}

/// Commits a block: rows of one table, tenant and day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockMeta {
    /// [`FORMAT`].
    pub format: u32,
    /// Hash of sorted parents and level, also the directory's name.
    pub id: String,
    /// Table.
    pub table: String,
    /// Tenant.
    pub tenant: String,
    /// Day since 1970.
    pub day: i64,
    /// 1 for a block merged from runs alone, else one more than its highest parent.
    pub level: u32,
    /// When it was made, nanoseconds.
    pub created_ns: i64,
    /// The node that made it.
    #[serde(default = "local", skip_serializing_if = "is_local")]
    pub node: String,
    /// Name of its data file.
    #[serde(default = "data", skip_serializing_if = "is_data")]
    pub data: String,
    /// Name of its series file.
    #[serde(default = "series", skip_serializing_if = "is_series")]
    pub series: String,
    /// Runs and blocks whose rows of this partition it holds, all that are not confirmed gone.
    pub ancestors: Vec<String>,
    /// Names of the requests to delete rows whose rows it does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    /// Its files.
    pub sorted: SortedMeta,
}

/// How far the WAL is flushed and where its sources stood there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: u32,
    /// First WAL position that is not in runs.
    pub wal_upto: u64,
    /// Source to position, hexadecimal.
    pub positions: BTreeMap<String, String>,
    /// The clock of retention; absent in checkpoints older than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionMark>,
}

/// What retention believed of the time when a checkpoint was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionMark {
    /// The time by which rows grow old, nanoseconds since 1970.
    pub now_ns: i64,
    /// How long the wall clock has been ahead of it while the server ran, nanoseconds.
    pub ahead_for_ns: i64,
}

fn is_local(node: &str) -> bool {
    node == LOCAL
}
fn is_data(name: &str) -> bool {
    name == DATA
}
fn is_series(name: &str) -> bool {
    name == SERIES
}
fn local() -> String {
    LOCAL.into()
}
fn data() -> String {
    DATA.into()
}
fn series() -> String {
    SERIES.into()
}

impl BlockMeta {
    /// Reads the bytes of a meta file; damage is an error of kind `Corrupt`.
    pub fn decode(bytes: &[u8]) -> Result<BlockMeta> {
        decode(bytes)
    }
    /// The id of the block that merges `parents` to `level` without the rows of the requests `erased`: two nodes that merge the same
    /// arrive at the same name.
    pub fn id_of(table: &str, tenant: &Tenant, day: i64, level: u32, parents: &[String], erased: &[String]) -> String {
        let mut p: Vec<String> = parents.iter().cloned().chain(erased.iter().map(|e| format!("-{e}"))).collect();
        p.sort();
        format!("b{:032x}", base::hash::hash128(format!("{table}/{tenant}/{day}/{level}/{}", p.join(",")).as_bytes()))
    }
}

/// The bytes of a meta.
pub fn encode<T: Serialize>(meta: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(meta).map_err(|e| Error::internal(e.to_string()))?;
    let crc = crc32c::crc32c(&text);
    text.extend_from_slice(format!("\ncrc32c {crc:08x}\n").as_bytes());
    Ok(text)
}

/// Writes a meta so that it is there whole or not at all.
pub fn write<T: Serialize>(fs: &dyn Fs, path: &Path, meta: &T) -> Result<()> {
    Ok(disk::write_durably(fs, path, &encode(meta)?)?)
}

/// Reads a meta; damage is an error of kind `Corrupt`.
pub fn read<T: DeserializeOwned>(fs: &dyn Fs, path: &Path) -> Result<T> {
    decode(&disk::read(fs, path)?).map_err(|e| e.context(path.display()))
}

/// A meta from its bytes; damage is an error of kind `Corrupt`.
pub fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    let bad = |why: &str| Error::corrupt(why);
    let end = text.iter().position(|&b| b == b'\n').ok_or_else(|| bad("no checksum line"))?;
    let (json, crc) = text.split_at(end);
    if crc != format!("\ncrc32c {:08x}\n", crc32c::crc32c(json)).as_bytes() {
        return Err(bad("checksum does not match"));
    }
    serde_json::from_slice(json).map_err(|e| bad(&e.to_string()))
}
