//! Runs and blocks on disk, opened lazily: footer, directory and series are read when first needed, and kept while the
//! [`IndexCache`] has room for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Kind, Result, Tenant};
use bytes::Bytes;
use disk::Fs;

use super::cache::{FileSeries, IndexCache, Slots};
use super::data::DataFile;
use super::names::SeriesTable;
use super::{Damage, FORMAT_VERSION, LostRows, SortedMeta, limits};
use crate::missing::Missing;
use crate::spec::TableSpec;

/// Whoever can open the files of runs or blocks for reading.
pub trait Files: Send + Sync {
    /// Opens a file that has `len` bytes, if all is well.
    fn open(&self, path: &Path, len: u64) -> Result<Arc<dyn disk::File>>;
}

impl Files for Arc<dyn Fs> {
    fn open(&self, path: &Path, _: u64) -> Result<Arc<dyn disk::File>> {
        Ok(Fs::open(&**self, path)?)
    }
}

/// A run or block. Shared; what it reads lies in the [`IndexCache`].
pub struct SortedFile {
    spec: &'static TableSpec,
    files: Arc<dyn Files>,
    data_path: PathBuf,
    series_path: PathBuf,
    meta: SortedMeta,
    damage: Arc<dyn Damage>,
    cache: Arc<IndexCache>,
    id: u64,
    slots: Arc<Slots>,
}

/// Opens a run or block. Touches no file: damage is met, reported and passed over by the scans that need the bytes.
pub fn open(
    spec: &'static TableSpec,
    fs: &Arc<dyn Fs>,
    data_path: &Path,
    series_path: &Path,
    meta: &SortedMeta,
    damage: Arc<dyn Damage>,
    cache: &Arc<IndexCache>,
) -> Result<Arc<SortedFile>> {
    open_of(spec, Arc::new(fs.clone()), data_path, series_path, meta, damage, cache)
}

/// [`open`] where files are not on a disk.
pub fn open_of(
    spec: &'static TableSpec,
    files: Arc<dyn Files>,
    data_path: &Path,
    series_path: &Path,
    meta: &SortedMeta,
    damage: Arc<dyn Damage>,
    cache: &Arc<IndexCache>,
) -> Result<Arc<SortedFile>> {
    if meta.format != FORMAT_VERSION {
        return Err(Error::corrupt(format!("{}: layout version {} is not known here", data_path.display(), meta.format)));
    }
    Ok(Arc::new(SortedFile {
        spec,
        files,
        data_path: data_path.into(),
        series_path: series_path.into(),
        meta: meta.clone(),
        damage,
        cache: cache.clone(),
        id: cache.id(),
        slots: Arc::default(),
    }))
}

/// Reads `range` of a file that must be `len` bytes long, and checks it.
fn read_checked(file: &dyn disk::File, range: std::ops::Range<u64>, len: u64, crc: u32) -> Result<Bytes> {
    if file.len()? != len {
        return Err(Error::corrupt(format!("the file has {} bytes, its meta says {len}", file.len()?)));
    }
    let n = range.end.checked_sub(range.start).ok_or_else(|| Error::corrupt("the meta names an impossible range"))?;
    let mut buf = vec![0; n as usize];
    file.read_exact_at(range.start, &mut buf)?;
    if crc32c::crc32c(&buf) == crc {
        Ok(buf.into())
    } else {
        Err(Error::corrupt(format!("bytes {}..{}: the checksum does not hold", range.start, range.end)))
    }
}

impl SortedFile {
    /// What it was opened with.
    pub fn meta(&self) -> &SortedMeta {
        &self.meta
    }

    /// Whether its indexes and series are in memory.
    pub fn is_warm(&self) -> bool {
        self.slots.are_full()
    }

    /// Reads what every scan of it needs.
    pub fn warm(&self) -> Result<()> {
        self.data()?;
        self.series().map(|_| ())
    }

    /// Drops what is cached; it is read again when needed.
    pub fn release(&self) {
        self.cache.forget(self.id, &self.slots);
    }

    pub(super) fn data(&self) -> Result<Arc<DataFile>> {
        let load = || -> Result<DataFile> {
            let m = &self.meta;
            let file = self.files.open(&self.data_path, m.data_bytes)?;
            if m.data_bytes.saturating_sub(m.data_tail) > limits::TAIL_BYTES {
                return Err(Error::corrupt("the tail is too large to be one"));
            }
            let tail = read_checked(file.as_ref(), m.data_tail..m.data_bytes, m.data_bytes, m.data_tail_crc32c)?;
            DataFile::of_file(file, m.data_bytes, tail, m.data_tail, self.spec, self.data_path.clone(), self.damage.clone())
        };
        self.cache.get(self.id, &self.slots, &self.slots.data, load).map_err(|e| e.context(self.data_path.display()))
    }

    pub(super) fn series(&self) -> Result<Arc<FileSeries>> {
        let load = || -> Result<FileSeries> {
            let len = self.meta.series_bytes;
            let file = self.files.open(&self.series_path, len)?;
            if len > limits::SERIES_FILE_BYTES {
                return Err(Error::corrupt("the series file is too large"));
            }
            let crc = self.meta.series_crc32c;
            let table = SeriesTable::read(read_checked(file.as_ref(), 0..len, len, crc)?)?;
            Ok(self.cache.share((len, crc), table))
        };
        self.cache.get(self.id, &self.slots, &self.slots.series, load).map_err(|e| e.context(self.series_path.display()))
    }

    /// Both files, or `None` if either is damaged, which is reported and noted as the loss of the tenant's rows in it. Other
    /// errors (the disk, a file that is gone) are the caller's.
    pub(super) fn both(&self, tenant: &Tenant, hidden_days: &[i64], missing: &Missing) -> Result<Option<(Arc<DataFile>, Arc<FileSeries>)>> {
        let (path, e) = match self.data() {
            Ok(d) => match self.series() {
                Ok(s) => return Ok(Some((d, s))),
                Err(e) => (&self.series_path, e),
            },
            Err(e) => (&self.data_path, e),
        };
        if e.kind() != Kind::Corrupt {
            return Err(e);
        }
        for p in self.meta.partitions.iter().filter(|p| p.tenant == tenant.as_str() && !hidden_days.contains(&p.day)) {
            let lost = LostRows {
                path: path.clone(),
                row_group: None,
                column: None,
                rows: p.rows,
                first_time: p.first_time,
                last_time: p.last_time,
                reason: e.message().into(),
            };
            missing.note(lost.lack());
            self.damage.lost(lost);
        }
        Ok(None)
    }
}

impl Drop for SortedFile {
    fn drop(&mut self) {
        self.release();
    }
}
