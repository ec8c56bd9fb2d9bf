//! Reading a data file: which bytes, checked; which rows, with damage cut out; which columns, decoded.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use parquet::arrow::{FieldLevels, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Cursor;

use super::checked::Store;
use super::index::{Directory, Segment, Stretch, StretchReader, decode_series, decode_stretches, pick_stretches};
use super::layout::{Layout, Stretches, internal};
use super::numbers::{Numbers, Steadies, Steady};
use super::piece::Wanted;
use super::text::read::{Reads, Texts};
use super::writer::{FOOTER_KEY, FooterNote};
use super::{Damage, FORMAT_VERSION, LostRows, limits};
use crate::missing::Missing;
use crate::spec::TableSpec;

/// A data file whose footer is in memory.
pub struct DataFile {
    store: Store,
    meta: Arc<ParquetMetaData>,
    pub layout: Arc<Layout>,
    pub directory: Directory,
    path: PathBuf,
    damage: Option<Arc<dyn Damage>>,
    /// Where pages begin that were found whole before they were decoded. Their next readers trust that, and find out at the page itself if
    /// it was damaged since; then nothing is trusted any more.
    whole: Mutex<HashSet<u64>>,
}

/// The page indexes and footer of the file that `store` holds.
fn read_footer(store: &Store) -> Result<ParquetMetaData> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(store).map_err(|e| Error::corrupt(format!("footer: {e}")))
}

/// Our entry in the footer.
pub fn footer_note(meta: &ParquetMetaData) -> Result<FooterNote> {
    let entries = meta.file_metadata().key_value_metadata();
    let entry = entries.and_then(|e| e.iter().find(|kv| kv.key == FOOTER_KEY)).and_then(|kv| kv.value.as_ref());
    let text = entry.ok_or_else(|| Error::corrupt("footer: the file was not written by this program"))?;
    let note: FooterNote = serde_json::from_str(text).map_err(|e| Error::corrupt(format!("footer: {e}")))?;
    if note.format != FORMAT_VERSION {
        return Err(Error::corrupt(format!("footer: layout version {} is not known here", note.format)));
    }
    Ok(note)
}

impl DataFile {
    /// A part's file. The writer's own metadata serves where it has the page indexes.
    pub fn of_part(store: Store, meta: ParquetMetaData, layout: Arc<Layout>, directory: Directory, path: PathBuf) -> Result<DataFile> {
        let meta = if meta.page_index().is_some() { meta } else { read_footer(&store)? };
        Ok(DataFile { store, meta: Arc::new(meta), layout, directory, path, damage: None, whole: Mutex::default() })
    }

    /// A file on disk, whose tail (`tail_at..`) has been read and checked.
    pub fn of_file(
        file: Arc<dyn disk::File>,
        len: u64,
        tail: Bytes,
        tail_at: u64,
        spec: &'static TableSpec,
        path: PathBuf,
        damage: Arc<dyn Damage>,
    ) -> Result<DataFile> {
        let store = Store::Disk { file: file.clone(), len, sums: Bytes::new(), covered: 0, tail: tail.clone(), tail_at };
        let meta = read_footer(&store)?;
        let note = footer_note(&meta)?;
        let layout = Layout::shredded(spec, true, &note.shredded)?;
        if note.table != layout.spec.name || meta.file_metadata().schema_descr().columns().len() != layout.parquet.columns().len() {
            return Err(Error::corrupt(format!("footer: the file holds table {:?}", note.table)));
        }
        let part = |(at, n): (u64, u64)| -> Result<Bytes> { store.read(at..at.saturating_add(n)) };
        // Copies, so that the tail itself can go.
        let sums = Bytes::copy_from_slice(&part(note.sums)?);
        let directory = Directory::decode(&part(note.directory)?)?;
        if directory.segments.iter().any(|s| s.row_group as usize >= meta.num_row_groups()) {
            return Err(Error::corrupt("directory names a row group that does not exist"));
        }
        let store = Store::Disk { file, len, sums, covered: note.sums.0, tail: Bytes::new(), tail_at };
        Ok(DataFile { store, meta: Arc::new(meta), layout, directory, path, damage: Some(damage), whole: Mutex::default() })
    }

    /// Memory it takes, bytes.
    pub fn bytes(&self) -> usize {
        let store = match &self.store {
            Store::Memory(b) => b.len(),
            Store::Disk { sums, .. } => sums.len(),
        };
        store + self.meta.memory_size() + self.directory.segments.len() * size_of::<Segment>()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn metadata(&self) -> &ParquetMetaData {
        &self.meta
    }

    /// The stretches of a segment.
    pub fn stretches(&self, s: &Segment) -> Result<Vec<Stretch>> {
        let at = s.stretches.offset;
        decode_stretches(s.slice, s.rows, &self.store.read(at..at.saturating_add(u64::from(s.stretches.len)))?)
    }

    /// The stretches of a segment that are `wanted`, under the numbers that this says, and their rows. All of them are `within` a range.
    pub fn pick(
        &self,
        s: &Segment,
        reads: &Reads,
        within: Range<u32>,
        wanted: impl Fn(u32) -> Option<u32>,
    ) -> Result<(Vec<Range<u32>>, Vec<Stretch>)> {
        let at = s.stretches.offset;
        pick_stretches(s, &self.store.read(at..at.saturating_add(u64::from(s.stretches.len)))?, &reads.memory, within, wanted)
    }

    /// The same one by one. `each` sees all of them at once.
    pub fn stretch_reader(&self, s: &Segment, each: impl FnMut(&Stretch)) -> Result<StretchReader> {
        let at = s.stretches.offset;
        StretchReader::new(s.slice, s.rows, &self.store.read(at..at.saturating_add(u64::from(s.stretches.len)))?, each)
    }

    /// The series of a segment; `None` if they are as many as `all`.
    pub fn series(&self, s: &Segment, all: Option<usize>) -> Result<Option<Vec<u32>>> {
        let at = s.stretches.offset;
        decode_series(&self.store.read(at..at.saturating_add(u64::from(s.stretches.len)))?, all)
    }

    /// A skip filter of a segment, if it has one for the column and it can be read: a damaged filter excludes nothing, and
    /// is reported as no row lost.
    pub fn filter(&self, s: &Segment, column: usize) -> Option<Bytes> {
        let (_, b) = s.filters.iter().find(|f| f.0 as usize == column)?;
        let read = self.store.read(b.offset..b.offset.saturating_add(u64::from(b.len)));
        read.map_err(|e| self.report_filter(s, column, &e)).ok()
    }

    /// Tells that a skip filter is damaged.
    pub fn report_filter(&self, s: &Segment, column: usize, reason: &Error) {
        let name = self.layout.rows.field(column).name();
        // No row is missing because of it.
        self.report(s, Some(format!("skip filter of {name}")), 0, reason, &Missing::default());
    }

    /// Tells that rows of a segment cannot be read, and notes it for the answer that lacks them.
    pub fn report(&self, s: &Segment, column: Option<String>, rows: u64, reason: &Error, missing: &Missing) {
        self.whole.lock().clear();
        let Some(damage) = &self.damage else { return };
        let lost = LostRows {
            path: self.path.clone(),
            row_group: Some(s.row_group),
            column,
            rows,
            first_time: s.first,
            last_time: s.last,
            reason: reason.message().into(),
        };
        missing.note(lost.lack());
        damage.lost(lost);
    }

    pub(super) fn pages(&self, group: usize, leaf: usize) -> &[PageLocation] {
        let index = self.meta.page_index().and_then(|p| p.offset_index(group, leaf));
        index.map_or(&[], |i| i.page_locations().as_slice())
    }

    fn group(&self, group: usize) -> &RowGroupMetaData {
        self.meta.row_group(group)
    }

    /// Reads every page that `ranges` (rows of the row group, ascending) touch, takes the rows of damaged pages out of
    /// `ranges`, and keeps some of the pages for the reader.
    fn check(&self, s: &Segment, leaves: &[usize], ranges: &mut Vec<Range<u32>>, missing: &Missing) -> Result<HashMap<u64, Bytes>> {
        let mut kept = HashMap::new();
        if matches!(self.store, Store::Memory(_)) {
            return Ok(kept);
        }
        let (group, total) = (s.row_group as usize, self.group(s.row_group as usize).num_rows() as u32);
        let (mut kept_bytes, mut room) = (0, BytesMut::new());
        for leaf in leaves {
            let pages = self.pages(group, *leaf);
            let column = self.group(group).column(*leaf);
            let (start, len) = column.byte_range();
            let first = pages.first().map_or(start + len, |p| p.offset as u64);
            let mut reads: Vec<(Range<u64>, Range<u32>)> = vec![];
            if first > start {
                reads.push((start..first, 0..total));
            }
            for (i, p) in pages.iter().enumerate() {
                let end = pages.get(i + 1).map_or(total, |n| n.first_row_index as u32);
                reads.push((p.offset as u64..p.offset as u64 + p.compressed_page_size as u64, p.first_row_index as u32..end));
            }
            for (bytes, rows) in reads {
                if !touches(ranges, &rows) {
                    continue;
                }
                let keep = kept_bytes + (bytes.end - bytes.start) <= limits::PAGE_CACHE_BYTES as u64;
                let read = match keep {
                    true => self.store.read(bytes.clone()).map(|b| _ = kept.insert(bytes.start, b)),
                    false if self.whole.lock().contains(&bytes.start) => Ok(()),
                    false => self.store.check(bytes.clone(), &mut room).map(|()| _ = self.whole.lock().insert(bytes.start)),
                };
                match read {
                    Ok(()) => kept_bytes += bytes.end - bytes.start,
                    Err(e) if e.kind() == Kind::Corrupt => {
                        let lost = subtract(ranges, &rows);
                        let name = column.column_path().string();
                        self.report(s, Some(name), u64::from(lost), &e, missing);
                    }
                    Err(e) => return Err(e.context(self.path.display())),
                }
            }
        }
        Ok(kept)
    }

    /// Opens rows of a segment: `stretches` are rows of the row group, ascending, of which those outside of `only` are not
    /// read (where columns cannot be decoded in part, there must be no `only`). Where all of them are `steady`, their times are not read
    /// either. Also returns what damage left of them.
    pub fn rows(
        self: &Arc<Self>,
        s: &Segment,
        stretches: &[Range<u32>],
        only: Option<&[Range<u32>]>,
        steady: Option<Vec<Steady>>,
        wanted: &Wanted,
        missing: &Missing,
    ) -> Result<(RowReader, Vec<Range<u32>>)> {
        let (leaves, own, read) = self.to_read(wanted, steady.map(Steadies::from));
        let mut left = joined(stretches);
        if let Some(only) = only {
            left = common(&left, only);
        }
        let kept = self.check(s, &read, &mut left, missing)?;
        if self.layout.needs_whole_stretches(&wanted.columns) && left != joined(stretches) {
            left = self.without_beginning(s, stretches, &left, missing);
        }
        let lens = Stretches::new(stretches.iter().map(|r| overlap(&left, r)).filter(|n| *n > 0));
        let reader = self.reader(s, wanted, (leaves, own, read), left.clone(), kept, lens)?;
        Ok((reader, left))
    }

    /// Opens all rows of a segment, whose stretches are decoded as it goes on; all of them are steady, or not all. `None` if there is
    /// damage: what it leaves is known to [`DataFile::rows`].
    pub fn all_rows(
        self: &Arc<Self>,
        s: &Segment,
        stretches: &StretchReader,
        are_steady: bool,
        wanted: &Wanted,
        missing: &Missing,
    ) -> Result<Option<RowReader>> {
        let (leaves, own, read) = self.to_read(wanted, are_steady.then(|| Steadies::of(stretches.clone(), s.first_row)));
        let all = std::iter::once(s.first_row..s.first_row + s.rows).collect::<Vec<_>>();
        let mut left = all.clone();
        let kept = self.check(s, &read, &mut left, missing)?;
        if left != all {
            return Ok(None);
        }
        self.reader(s, wanted, (leaves, own, read), left, kept, Stretches::of(stretches.clone())).map(Some)
    }

    /// The columns of the file that are needed, the decoder of times if they follow from the stretches, and the columns to be read.
    fn to_read(&self, wanted: &Wanted, times: Option<Steadies>) -> (Vec<usize>, Vec<(usize, Own)>, Vec<usize>) {
        let leaves = self.layout.leaves(&wanted.columns);
        let time = self.layout.leaf(1).filter(|t| leaves.contains(t));
        let own: Vec<_> = time.zip(times).map(|(time, times)| (time, Own::Numbers(Numbers::Steady(times)))).into_iter().collect();
        let read = leaves.iter().copied().filter(|l| own.iter().all(|c| c.0 != *l)).collect();
        (leaves, own, read)
    }

    fn reader(
        self: &Arc<Self>,
        s: &Segment,
        wanted: &Wanted,
        (leaves, mut own, read): (Vec<usize>, Vec<(usize, Own)>, Vec<usize>),
        left: Vec<Range<u32>>,
        kept: HashMap<u64, Bytes>,
        stretches: Stretches,
    ) -> Result<RowReader> {
        let (texts, wanted, batch_rows) = (&wanted.texts, &wanted.columns[..], wanted.batch_rows);
        let rows: usize = left.iter().map(|r| r.len()).sum();
        let pages = Arc::new(Pages { store: self.store.clone(), kept, failed: Mutex::default(), reads: texts.clone() });
        let wrong = |e| pages.reason(e, |e| self.unreadable(s, e));
        let mut others = vec![];
        for leaf in read {
            match self.own(s, leaf, &left, texts, &pages).map_err(wrong)? {
                Some(column) => own.push((leaf, column)),
                None => others.push(leaf),
            }
        }
        own.sort_by_key(|c| c.0);
        let mut inner = None;
        if !others.is_empty() {
            let levels = self.levels(&others)?;
            let group = OneGroup { data: self.clone(), group: s.row_group as usize, pages: pages.clone() };
            let spans = left.iter().map(|r| r.start as usize..r.end as usize);
            let selection = RowSelection::from_consecutive_ranges(spans, group.num_rows());
            let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, batch_rows.min(rows.max(1)), Some(selection));
            inner = Some(reader.map_err(wrong)?);
        }
        let fields: Vec<_> = wanted.iter().map(|w| self.layout.rows.field(*w).clone()).collect();
        Ok(RowReader {
            inner,
            own,
            left: left.into(),
            batch_rows,
            pages,
            data: self.clone(),
            leaves,
            wanted: wanted.to_vec(),
            schema: Arc::new(Schema::new(fields)),
            row_group: s.row_group,
            stretches,
        })
    }

    /// What can be decoded of stretches that damage cut: the rows before the first hole.
    fn without_beginning(&self, s: &Segment, stretches: &[Range<u32>], left: &[Range<u32>], missing: &Missing) -> Vec<Range<u32>> {
        let first_run = |r: &Range<u32>| {
            let at = left.partition_point(|l| l.end <= r.start);
            let end = left.get(at).filter(|l| l.start <= r.start).map_or(r.start, |l| l.end.min(r.end));
            r.start..end
        };
        let out = joined(&stretches.iter().map(first_run).collect::<Vec<_>>());
        let lost = total(left) - total(&out);
        if lost > 0 {
            let why = Error::corrupt("rows of a series that follow a damaged one cannot be decoded");
            self.report(s, None, u64::from(lost), &why, missing);
        }
        out
    }

    /// The pages of columns, with those rows taken out of `ranges` that damage took.
    pub(super) fn checked_pages(
        &self,
        s: &Segment,
        leaves: &[usize],
        ranges: &mut Vec<Range<u32>>,
        reads: &Arc<Reads>,
        missing: &Missing,
    ) -> Result<Pages> {
        let kept = self.check(s, leaves, ranges, missing)?;
        Ok(Pages { store: self.store.clone(), kept, failed: Mutex::default(), reads: reads.clone() })
    }

    /// Our reader of a column of numbers, if it is one.
    pub(super) fn numbers(
        &self,
        s: &Segment,
        leaf: usize,
        rows: &[Range<u32>],
        reads: &Arc<Reads>,
        pages: &Arc<Pages>,
    ) -> parquet::errors::Result<Option<Numbers<Pages>>> {
        let group = self.group(s.row_group as usize);
        let (column, index, n) = (group.column(leaf), self.pages(s.row_group as usize, leaf), group.num_rows() as u32);
        Numbers::open(pages, column, index, n, self.layout.schema.field(leaf).data_type(), rows, reads)
    }

    /// Our reader of a column, if it has a shape that we read ourselves.
    fn own(
        &self,
        s: &Segment,
        leaf: usize,
        rows: &[Range<u32>],
        texts: &Arc<Reads>,
        pages: &Arc<Pages>,
    ) -> parquet::errors::Result<Option<Own>> {
        let group = self.group(s.row_group as usize);
        let (column, index, n) = (group.column(leaf), self.pages(s.row_group as usize, leaf), group.num_rows() as u32);
        let ty = self.layout.schema.field(leaf).data_type();
        let is_sifted = texts.sifted().is_some_and(|c| self.layout.leaf(c) == Some(leaf));
        if let Some(texts) = Texts::open(pages, column, index, n, ty, texts, is_sifted)? {
            return Ok(Some(Own::Texts(texts)));
        }
        Ok(self.numbers(s, leaf, rows, texts, pages)?.map(Own::Numbers))
    }

    fn levels(&self, leaves: &[usize]) -> Result<FieldLevels> {
        let schema = self.meta.file_metadata().schema_descr();
        let mask = ProjectionMask::leaves(schema, leaves.iter().copied());
        parquet_to_arrow_field_levels(schema, mask, Some(self.layout.schema.fields())).map_err(internal)
    }

    pub(super) fn unreadable(&self, s: &Segment, e: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{}: row group {}: {e}", self.path.display(), s.row_group))
    }
}

/// Adjacent ranges as one.
pub fn joined(ranges: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut out: Vec<Range<u32>> = vec![];
    for r in ranges.iter().filter(|r| r.start < r.end) {
        match out.last_mut() {
            Some(l) if l.end == r.start => l.end = r.end,
            _ => out.push(r.clone()),
        }
    }
    out
}

/// Rows in ranges.
pub fn total(ranges: &[Range<u32>]) -> u32 {
    ranges.iter().map(|r| r.end - r.start).sum()
}

/// Rows of `with` that are in ranges.
pub fn overlap(ranges: &[Range<u32>], with: &Range<u32>) -> u32 {
    let from = ranges.partition_point(|r| r.end <= with.start);
    let mine = ranges[from..].iter().take_while(|r| r.start < with.end);
    mine.map(|r| r.end.min(with.end) - r.start.max(with.start)).sum()
}

/// Rows that are in both, each ascending.
pub fn common(a: &[Range<u32>], b: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut out = vec![];
    let (mut i, mut k) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(k)) {
        let both = x.start.max(y.start)..x.end.min(y.end);
        if both.start < both.end {
            out.push(both);
        }
        if x.end <= y.end { i += 1 } else { k += 1 }
    }
    out
}

fn touches(ranges: &[Range<u32>], rows: &Range<u32>) -> bool {
    let at = ranges.partition_point(|r| r.end <= rows.start);
    ranges.get(at).is_some_and(|r| r.start < rows.end)
}

/// Takes `rows` out of `ranges`; returns how many were in them.
fn subtract(ranges: &mut Vec<Range<u32>>, rows: &Range<u32>) -> u32 {
    let before = total(ranges);
    *ranges =
        ranges.iter().flat_map(|r| [r.start..r.end.min(rows.start), r.start.max(rows.end)..r.end]).filter(|r| r.start < r.end).collect();
    before - total(ranges)
}

/// The checked bytes of pages: kept ones, or read again.
pub struct Pages {
    store: Store,
    kept: HashMap<u64, Bytes>,
    /// Why a page could not be read, if not for damage: Parquet's reader keeps nothing of an error but its text.
    failed: Mutex<Option<Error>>,
    /// Whose memory large pages are read to.
    reads: Arc<Reads>,
}

impl Pages {
    /// Why a page could not be read; `unreadable` if that is for damage.
    pub fn reason(&self, e: ParquetError, unreadable: impl FnOnce(ParquetError) -> Error) -> Error {
        self.failed.lock().take().unwrap_or_else(|| unreadable(e))
    }

    fn note<T>(&self, read: Result<T>) -> parquet::errors::Result<T> {
        read.map_err(|e| {
            if e.kind() != Kind::Corrupt {
                *self.failed.lock() = Some(e.clone());
            }
            ParquetError::External(Box::new(e))
        })
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.store)
    }
}

impl ChunkReader for Pages {
    type T = <Store as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.note(self.store.read(start..Length::len(&self.store))).map(Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self.kept.get(&start) {
            Some(b) if b.len() == length => Ok(b.clone()),
            _ => {
                let range = start..start.saturating_add(length as u64);
                self.note(match length >= limits::LARGE_PAGE_BYTES {
                    true => self.store.read_again(range, &mut self.reads.memory.last_read.lock()),
                    false => self.store.read(range),
                })
            }
        }
    }
}

/// One row group, as Parquet's reader wants to see it.
struct OneGroup {
    data: Arc<DataFile>,
    group: usize,
    pages: Arc<Pages>,
}

impl RowGroups for OneGroup {
    fn num_rows(&self) -> usize {
        self.data.group(self.group).num_rows() as usize
    }

    fn column_chunks(&self, leaf: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        let locations = self.data.pages(self.group, leaf).to_vec();
        if locations.is_empty() {
            return Err(ParquetError::General("the column has no page index".into()));
        }
        let column = self.data.group(self.group).column(leaf);
        let reader = SerializedPageReader::new(self.pages.clone(), column, self.num_rows(), Some(locations))?;
        Ok(Box::new(OneColumn(Some(Box::new(reader)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.data.group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.data.meta
    }
}

struct OneColumn(Option<Box<dyn PageReader>>);

impl Iterator for OneColumn {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneColumn {}

/// A column that is read without Parquet's record reader.
enum Own {
    Numbers(Numbers<Pages>),
    Texts(Texts<Pages>),
}

impl Own {
    fn take(&mut self, ranges: &[Range<u32>]) -> parquet::errors::Result<ArrayRef> {
        match self {
            Own::Numbers(n) => n.take(ranges),
            Own::Texts(t) => t.take(ranges),
        }
    }
}

/// Batches of rows with the wanted columns of the table.
pub struct RowReader {
    /// Reads what is not in `own`.
    inner: Option<ParquetRecordBatchReader>,
    /// Columns of the file, ascending.
    own: Vec<(usize, Own)>,
    /// Rows that are still to be read.
    left: VecDeque<Range<u32>>,
    batch_rows: usize,
    pages: Arc<Pages>,
    data: Arc<DataFile>,
    leaves: Vec<usize>,
    wanted: Vec<usize>,
    schema: SchemaRef,
    row_group: u32,
    stretches: Stretches,
}

impl RowReader {
    pub fn data(&self) -> &DataFile {
        &self.data
    }

    /// Bytes of texts that were looked at and left out, since this was asked last.
    pub fn left_out_bytes(&mut self) -> usize {
        self.own.iter_mut().map(|c| if let (_, Own::Texts(t)) = c { t.left_out_bytes() } else { 0 }).sum()
    }

    /// Rows of the next batch: no more than lie in one page of text.
    fn rows_of_page(&self) -> usize {
        let Some(first) = self.left.front() else { return 0 };
        let ends = self.own.iter().filter_map(|c| if let (_, Own::Texts(t)) = c { t.page_end(first.start) } else { None });
        let Some(end) = ends.min() else { return self.batch_rows };
        let here = self.left.iter().take_while(|r| r.start < end).map(|r| (r.end.min(end) - r.start) as usize);
        here.sum::<usize>().min(self.batch_rows)
    }

    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let place = |e: &dyn std::fmt::Display| Error::corrupt(format!("{}: row group {}: {e}", self.data.path.display(), self.row_group));
        let wrong = |e: &dyn std::fmt::Display| self.pages.failed.lock().take().unwrap_or_else(|| place(e));
        let others = match self.inner.as_mut().map(Iterator::next) {
            None => None,
            Some(None) => return Ok(None),
            Some(Some(batch)) => Some(batch.map_err(|e| wrong(&e))?),
        };
        let rows = others.as_ref().map_or_else(|| self.rows_of_page(), RecordBatch::num_rows);
        let ranges = take_rows(&mut self.left, rows as u32);
        let rows = total(&ranges) as usize;
        if rows == 0 {
            return Ok(None);
        }
        let mut others = others.iter().flat_map(RecordBatch::columns);
        let mut own = self.own.iter_mut().peekable();
        let mut columns = Vec::with_capacity(self.leaves.len());
        for leaf in &self.leaves {
            columns.push(match own.next_if(|c| c.0 == *leaf) {
                Some((_, c)) => c.take(&ranges).map_err(|e| wrong(&e))?,
                None => others.next().cloned().ok_or_else(|| internal("a column was not read"))?,
            });
        }
        let columns = self.data.layout.decode(&columns, rows, &self.leaves, &self.wanted, &mut self.stretches)?;
        RecordBatch::try_new(self.schema.clone(), columns).map(Some).map_err(|e| place(&e))
    }
}

/// Takes the first `n` rows.
fn take_rows(from: &mut VecDeque<Range<u32>>, mut n: u32) -> Vec<Range<u32>> {
    let mut out = vec![];
    while let Some(first) = from.front_mut().filter(|_| n > 0) {
        let cut = first.end.min(first.start.saturating_add(n));
        out.push(first.start..cut);
        n -= cut - first.start;
        if cut == first.end {
            from.pop_front();
        } else {
            first.start = cut;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_rows_are_cut_out_of_ranges() {
        let mut r = vec![0..10, 20..30, 40..50];
        assert!(touches(&r, &(9..12)) && !touches(&r, &(10..20)) && touches(&r, &(0..100)));
        assert_eq!(subtract(&mut r, &(5..25)), 10);
        assert_eq!(r, [0..5, 25..30, 40..50]);
        assert_eq!(subtract(&mut r, &(42..44)), 2);
        assert_eq!(r, [0..5, 25..30, 40..42, 44..50]);
        assert_eq!(common(&r, &[3..26, 29..41, 49..60]), [3..5, 25..26, 29..30, 40..41, 49..50]);
        assert_eq!(common(&r, &[]), []);
    }
}
