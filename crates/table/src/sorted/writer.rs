//! Rows in order to a data file: row groups, then the stretches and filters, the checksums, the directory, the footer.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use base::{Result, Tenant};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::writer::SerializedFileWriter;
use serde::{Deserialize, Serialize};

use super::checked::Sealed;
use super::filter::ValueFilter;
use super::index::{Blob, Directory, Segment, Stretch, encode_stretches, numbers_of};
use super::layout::{DecimalState, Layout, internal};
use super::shred::KeyColumn;
use super::text::{Press, TextColumn};
use super::{FORMAT_VERSION, Partition, limits};
use crate::spec::{Order, SkipFilter};

/// Key of the metadata entry that makes a Parquet file one of ours.
pub const FOOTER_KEY: &str = "watchfire";

/// What the footer says beside Parquet's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FooterNote {
    pub format: u32,
    pub table: String,
    /// Where the block checksums begin (also the end of what they cover), and how long they are.
    pub sums: (u64, u64),
    /// Where the directory lies.
    pub directory: (u64, u64),
    /// Key columns of attribute columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shredded: Vec<(String, Vec<KeyColumn>)>,
}

struct OpenSegment {
    segment: Segment,
    stretches: Vec<Stretch>,
    values: Vec<(usize, ValueFilter)>,
}

/// A blob that is written once its place is known.
pub struct Waiting {
    /// Whose it is, in the directory.
    pub segments: Range<usize>,
    /// `None`: the stretches; else the table column of a filter.
    pub filter: Option<u32>,
    pub bytes: Vec<u8>,
}

/// Writes one column chunk.
#[allow(clippy::large_enum_variant)] // a few for each file that is written; none is moved often
enum ColumnWriter {
    Any(ArrowColumnWriter),
    /// With the column of the table, if it has a substring filter.
    Text(TextColumn, Option<u32>),
}

/// Writes the rows of one file.
pub struct RowWriter<W: Sealed> {
    layout: Arc<Layout>,
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    group: Vec<ColumnWriter>,
    // The first segment of the group.
    group_segment: usize,
    // What text columns were compressed with, for those of the next group.
    #[allow(clippy::vec_box)] // they are large, and handed to and fro
    presses: Vec<Box<Press>>,
    group_rows: usize,
    group_bytes: usize,
    groups: u32,
    directory: Directory,
    open: Option<OpenSegment>,
    states: Vec<DecimalState>,
    waiting: Vec<Waiting>,
}

/// What a finished file holds.
pub struct Finished<W> {
    pub sink: W,
    pub metadata: ParquetMetaData,
    pub directory: Directory,
}

/// Opens a Parquet file with a layout's schema and encodings.
pub fn open_file<W: Sealed>(layout: &Layout, sink: W) -> Result<SerializedFileWriter<W>> {
    let props = Arc::new(layout.properties()?);
    SerializedFileWriter::new(sink, layout.parquet.root_schema_ptr(), props).map_err(internal)
}

/// Writes everything that follows the row groups. The caller takes the sink out of the file.
pub fn close_file<W: Sealed>(
    layout: &Layout,
    file: &mut SerializedFileWriter<W>,
    directory: &mut Directory,
    waiting: Vec<Waiting>,
) -> Result<ParquetMetaData> {
    for w in waiting {
        let blob = Blob { offset: file.bytes_written() as u64, len: w.bytes.len() as u32 };
        file.write_all(&w.bytes)?;
        for segment in &mut directory.segments[w.segments] {
            match w.filter {
                None => segment.stretches = blob,
                Some(column) => segment.filters.push((column, blob)),
            }
        }
    }
    file.flush()?;
    let sums = file.inner_mut().seal();
    let sums_at = file.bytes_written() as u64;
    file.write_all(&sums)?;
    let encoded = directory.encode();
    let note = FooterNote {
        format: FORMAT_VERSION,
        table: layout.spec.name.into(),
        sums: (sums_at, sums.len() as u64),
        directory: (sums_at + sums.len() as u64, encoded.len() as u64),
        shredded: layout.keys(),
    };
    file.write_all(&encoded)?;
    file.append_key_value_metadata(KeyValue::new(FOOTER_KEY.into(), serde_json::to_string(&note).map_err(internal)?));
    file.finish().map_err(internal)
}

impl<W: Sealed> RowWriter<W> {
    pub fn new(layout: Arc<Layout>, sink: W) -> Result<Self> {
        let file = open_file(&layout, sink)?;
        let factory = ArrowRowGroupWriterFactory::new(&file, layout.schema.clone());
        Ok(RowWriter {
            layout,
            file,
            factory,
            group: vec![],
            group_segment: 0,
            presses: vec![],
            group_rows: 0,
            group_bytes: 0,
            groups: 0,
            directory: Directory::default(),
            open: None,
            states: vec![],
            waiting: vec![],
        })
    }

    /// Appends rows of one tenant and slice: whole rows in the table's order, `series` being what the file shall hold.
    /// Tenants and slices come in order.
    pub fn write(&mut self, tenant: &Tenant, slice: i64, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.directory.tenants.last() != Some(tenant) {
            self.close_segment()?;
            self.directory.tenants.push(tenant.clone());
        }
        let number = self.directory.tenants.len() as u32 - 1;
        if self.open.as_ref().is_some_and(|o| o.segment.tenant != number || o.segment.slice != slice) {
            self.close_segment()?;
        }
        if self.open.is_none() && (self.group_rows >= limits::ROW_GROUP_CUT_ROWS || self.group_bytes >= limits::ROW_GROUP_CUT_BYTES) {
            self.close_group()?;
        }
        if self.group_rows + batch.num_rows() > limits::ROW_GROUP_ROWS || self.group_bytes >= limits::ROW_GROUP_BYTES {
            let (rest, next) = self.split(batch);
            self.append(number, slice, &rest)?;
            if next.num_rows() > 0 || self.group_rows > 2 * limits::ROW_GROUP_ROWS {
                self.close_segment()?;
                self.close_group()?;
            }
            return self.append(number, slice, &next);
        }
        self.append(number, slice, batch)
    }

    /// Cuts a batch where the series that is being written ends, so that stretches are not cut. Tables ordered by a key
    /// are cut anywhere.
    fn split(&self, batch: &RecordBatch) -> (RecordBatch, RecordBatch) {
        let series = batch.column(0).as_primitive::<UInt32Type>().values();
        let at = match (self.layout.spec.order, self.open.as_ref().and_then(|o| o.stretches.last())) {
            (Order::Series(_), Some(last)) => series.iter().position(|s| *s != last.series).unwrap_or(series.len()),
            _ => 0,
        };
        (batch.slice(0, at), batch.slice(at, series.len() - at))
    }

    fn append(&mut self, tenant: u32, slice: i64, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.group.is_empty() {
            self.open_group()?;
        }
        let mut open = self.open.take().unwrap_or_else(|| self.open_segment(tenant, slice));
        open.add(&self.layout, batch);
        self.open = Some(open);
        self.group_rows += batch.num_rows();
        self.group_bytes += batch.columns().iter().map(raw_bytes).sum::<usize>();
        for ((column, field), writer) in
            self.layout.encode(batch, &mut self.states).iter().zip(self.layout.schema.fields()).zip(&mut self.group)
        {
            match writer {
                ColumnWriter::Text(text, _) => text.write(column)?,
                ColumnWriter::Any(writer) => {
                    for leaf in compute_leaves(field, column).map_err(internal)? {
                        writer.write(&leaf).map_err(internal)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn open_group(&mut self) -> Result<()> {
        let any = self.factory.create_column_writers(self.groups as usize).map_err(internal)?;
        self.group_segment = self.directory.segments.len();
        for (leaf, any) in any.into_iter().enumerate() {
            let Some(column) = self.layout.text(leaf) else {
                self.group.push(ColumnWriter::Any(any));
                continue;
            };
            let descr = self.layout.parquet.column(leaf);
            if self.layout.is_passing() {
                self.group.push(ColumnWriter::Text(TextColumn::plain(descr), None));
                continue;
            }
            let filtered = self.layout.spec.columns[column - 2].filter == SkipFilter::Substring;
            // Presses come back in the order of their columns, and the columns are the same in each group.
            let press = if self.presses.is_empty() { Press::new(filtered)? } else { self.presses.remove(0) };
            self.group.push(ColumnWriter::Text(TextColumn::compressed(descr, press), filtered.then_some(column as u32)));
        }
        Ok(())
    }

    fn open_segment(&self, tenant: u32, slice: i64) -> OpenSegment {
        let segment = Segment {
            tenant,
            slice,
            row_group: self.groups,
            first_row: self.group_rows as u32,
            rows: 0,
            first: i64::MAX,
            last: i64::MIN,
            stretches: Blob::default(),
            numbers: None,
            filters: vec![],
        };
        let columns = self.layout.spec.columns.iter().enumerate();
        let values = columns.filter(|(_, c)| c.filter == SkipFilter::Value).map(|(i, _)| (i + 2, ValueFilter::default())).collect();
        OpenSegment { segment, stretches: vec![], values }
    }

    fn close_segment(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.states.clear();
        let at = self.directory.segments.len();
        if matches!(self.layout.spec.order, Order::Series(_)) {
            let bytes = encode_stretches(open.segment.slice, &open.stretches)?;
            open.segment.numbers = numbers_of(&open.stretches);
            self.waiting.push(Waiting { segments: at..at + 1, filter: None, bytes });
        }
        for (column, values) in open.values {
            self.waiting.push(Waiting { segments: at..at + 1, filter: Some(column as u32), bytes: values.finish() });
        }
        self.directory.segments.push(open.segment);
        Ok(())
    }

    fn close_group(&mut self) -> Result<()> {
        if self.group_rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(internal)?;
        let mut presses = vec![];
        let mut filters = vec![];
        for column in self.group.drain(..) {
            match column {
                ColumnWriter::Any(c) => c.close().and_then(|c| c.append_to_row_group(&mut group)).map_err(internal)?,
                ColumnWriter::Text(text, filtered) => {
                    let (filter, press) = text.finish(&mut group)?;
                    filters.extend(filtered.map(|column| (column, filter)));
                    presses.extend(press);
                }
            }
        }
        group.close().map_err(internal)?;
        self.presses = presses;
        let segments = self.group_segment..self.directory.segments.len();
        self.waiting.extend(filters.into_iter().map(|(c, bytes)| Waiting { segments: segments.clone(), filter: Some(c), bytes }));
        (self.group_rows, self.group_bytes) = (0, 0);
        self.groups += 1;
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<Finished<W>>
    where
        W: Default,
    {
        self.close_segment()?;
        self.close_group()?;
        let metadata = close_file(&self.layout, &mut self.file, &mut self.directory, self.waiting)?;
        let sink = std::mem::take(self.file.inner_mut());
        Ok(Finished { sink, metadata, directory: self.directory })
    }
}

impl OpenSegment {
    fn add(&mut self, layout: &Layout, batch: &RecordBatch) {
        let series = batch.column(0).as_primitive::<UInt32Type>().values();
        let times = batch.column(1).as_primitive::<Int64Type>().values();
        self.segment.rows += batch.num_rows() as u32;
        if matches!(layout.spec.order, Order::Series(_)) {
            for (i, (&s, &t)) in series.iter().zip(times).enumerate() {
                match self.stretches.last_mut() {
                    Some(last) if last.series == s => {
                        let step = t - last.last;
                        // Once two steps differ, it stays so.
                        last.step = if last.rows == 1 || last.step == step { step } else { 0 };
                        last.rows += 1;
                        last.last = t;
                    }
                    _ => self.stretches.push(Stretch { series: s, rows: 1, first: times[i], last: t, step: 0 }),
                }
            }
        }
        for t in times {
            self.segment.first = self.segment.first.min(*t);
            self.segment.last = self.segment.last.max(*t);
        }
        for (column, values) in &mut self.values {
            values.add(batch.column(*column));
        }
    }
}

/// Bytes of a column before encoding.
fn raw_bytes(a: &ArrayRef) -> usize {
    match a.data_type() {
        DataType::Utf8View => a.as_string_view().views().iter().map(|v| *v as u32 as usize + 4).sum(),
        DataType::BinaryView => a.as_binary_view().views().iter().map(|v| *v as u32 as usize + 4).sum(),
        DataType::FixedSizeBinary(n) => a.len() * *n as usize,
        other => a.len() * other.primitive_width().unwrap_or(8),
    }
}

/// What a directory holds, by tenant and day.
pub fn partitions(layout: &Layout, directory: &Directory) -> Vec<Partition> {
    let mut out: Vec<Partition> = vec![];
    for s in &directory.segments {
        let tenant = directory.tenants[s.tenant as usize].as_str();
        let day = layout.spec.day_of(s.slice);
        match out.iter_mut().find(|p| p.day == day && p.tenant == tenant) {
            Some(p) => {
                p.rows += u64::from(s.rows);
                p.first_time = p.first_time.min(s.first);
                p.last_time = p.last_time.max(s.last);
            }
            None => out.push(Partition { tenant: tenant.into(), day, rows: u64::from(s.rows), first_time: s.first, last_time: s.last }),
        }
    }
    out
}
