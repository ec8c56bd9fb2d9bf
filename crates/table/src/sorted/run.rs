//! Runs: the parts of a flush written to disk as they are encoded, with the series file that makes them stand alone.
//!
//! Column chunks are copied; only the small `series` column is written anew, with ranks in place of registry numbers.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, UInt32Array};
use base::{Result, Tenant};
use disk::Fs;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::writer::SerializedFileWriter;

use super::checked::SummingWriter;
use super::data::DataFile;
use super::index::{Directory, Segment, encode_stretches, numbers_of};
use super::layout::{Layout, internal};
use super::names;
use super::part::Part;
use super::piece::Wanted;
use super::writer::{Waiting, close_file, open_file, partitions};
use super::{FORMAT_VERSION, SeriesKey, SeriesNames, SortedMeta, limits};
use crate::missing::Missing;
use crate::spec::{Order, TableSpec};

/// Ranks by registry number, and the series in rank order.
fn ranks(parts: &[Arc<Part>], names: &dyn SeriesNames) -> Result<(Vec<u32>, Vec<SeriesKey>)> {
    let mut numbers: Vec<u32> = parts.iter().flat_map(|p| p.series.iter().flat_map(|s| s.1.iter().copied())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    names.order(&mut numbers);
    let mut ranks = vec![0; numbers.iter().max().map_or(0, |m| *m as usize + 1)];
    for (rank, n) in numbers.iter().enumerate() {
        ranks[*n as usize] = u32::try_from(rank).map_err(internal)?;
    }
    Ok((ranks, numbers.into_iter().map(|n| names.key(n)).collect()))
}

/// Writes parts as one run: two files, both durable when it returns (the directory entry is the caller's matter).
pub fn write_run(
    spec: &'static TableSpec,
    parts: &[Arc<Part>],
    names: &dyn SeriesNames,
    fs: &dyn Fs,
    data_path: &Path,
    series_path: &Path,
) -> Result<SortedMeta> {
    let layout = Layout::new(spec, true)?;
    let (ranks, series) = ranks(parts, names)?;
    let sink = SummingWriter::new(fs.create(data_path)?);
    let file = open_file(&layout, sink)?;
    let factory = ArrowRowGroupWriterFactory::new(&file, layout.schema.clone());
    let mut w = RunWriter { layout: &layout, file, factory, directory: Directory::default(), waiting: vec![], ranks: &ranks, groups: 0 };
    for p in parts {
        w.part(p)?;
    }
    close_file(&layout, &mut w.file, &mut w.directory, std::mem::take(&mut w.waiting))?;
    let (data_bytes, data_tail, data_tail_crc32c) = std::mem::take(w.file.inner_mut()).finish()?;
    let (series_bytes, series_crc32c) = names::write(fs, series_path, &series)?;
    Ok(SortedMeta {
        format: FORMAT_VERSION,
        rows: parts.iter().map(|p| p.rows()).sum(),
        data_bytes,
        data_tail,
        data_tail_crc32c,
        series_bytes,
        series_crc32c,
        series: series.len() as u64,
        doubles: parts.iter().map(|p| p.doubles()).sum(),
        partitions: partitions(&layout, &w.directory),
    })
}

struct RunWriter<'a> {
    layout: &'a Layout,
    file: SerializedFileWriter<SummingWriter>,
    factory: ArrowRowGroupWriterFactory,
    directory: Directory,
    waiting: Vec<Waiting>,
    ranks: &'a [u32],
    groups: u32,
}

impl RunWriter<'_> {
    fn part(&mut self, part: &Part) -> Result<()> {
        let data = &part.data;
        for group in 0..data.metadata().num_row_groups() {
            let mut series = Vec::with_capacity(data.metadata().row_group(group).num_rows() as usize);
            for s in data.directory.segments.iter().filter(|s| s.row_group as usize == group) {
                self.segment(data, s, &mut series)?;
            }
            self.row_group(data, group, series)?;
        }
        Ok(())
    }

    /// Takes over a segment and appends the ranks of its rows.
    fn segment(&mut self, data: &Arc<DataFile>, s: &Segment, series: &mut Vec<u32>) -> Result<()> {
        let at = self.directory.segments.len();
        let mut numbers = None;
        if matches!(self.layout.spec.order, Order::Series(_)) {
            let mut stretches = data.stretches(s)?;
            for x in &mut stretches {
                x.series = self.rank(x.series)?;
                series.resize(series.len() + x.rows as usize, x.series);
            }
            numbers = numbers_of(&stretches);
            self.waiting.push(Waiting { segments: at..at + 1, filter: None, bytes: encode_stretches(s.slice, &stretches)? });
        } else {
            let all = s.first_row..s.first_row + s.rows;
            let wanted = Wanted { columns: vec![0], key: None, batch_rows: limits::BATCH_ROWS, texts: Arc::default() };
            let (mut reader, _) = data.rows(s, std::slice::from_ref(&all), None, None, &wanted, &Missing::default())?;
            while let Some(b) = reader.next()? {
                for n in b.column(0).as_primitive::<UInt32Type>().values() {
                    series.push(self.rank(*n)?);
                }
            }
        }
        for (column, _) in &s.filters {
            let bytes = data.filter(s, *column as usize).ok_or_else(|| internal("a part's filter is missing"))?;
            self.waiting.push(Waiting { segments: at..at + 1, filter: Some(*column), bytes: bytes.to_vec() });
        }
        let tenant = self.tenant(&data.directory.tenants[s.tenant as usize]);
        self.directory.segments.push(Segment { tenant, row_group: self.groups, numbers, filters: vec![], ..s.clone() });
        Ok(())
    }

    fn rank(&self, number: u32) -> Result<u32> {
        self.ranks.get(number as usize).copied().ok_or_else(|| internal("a part names a series that it does not list"))
    }

    fn tenant(&mut self, tenant: &Tenant) -> u32 {
        let all = &mut self.directory.tenants;
        let at = all.iter().position(|t| t == tenant).unwrap_or_else(|| {
            all.push(tenant.clone());
            all.len() - 1
        });
        at as u32
    }

    fn row_group(&mut self, data: &DataFile, group: usize, series: Vec<u32>) -> Result<()> {
        let mut writers = self.factory.create_column_writers(self.groups as usize).map_err(internal)?.into_iter();
        let mut first = writers.next().ok_or_else(|| internal("no series column"))?;
        let ranks: ArrayRef = Arc::new(UInt32Array::from(series));
        for leaf in compute_leaves(self.layout.schema.field(0), &ranks).map_err(internal)? {
            first.write(&leaf).map_err(internal)?;
        }
        let mut out = self.file.next_row_group().map_err(internal)?;
        first.close().and_then(|c| c.append_to_row_group(&mut out)).map_err(internal)?;
        let meta = data.metadata().row_group(group);
        let index = data.metadata().page_index();
        // A part of a table ordered by key has a series column of its own: the one that was just written anew.
        for leaf in usize::from(data.layout.with_series())..meta.num_columns() {
            let column = meta.column(leaf);
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: meta.num_rows() as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: index.and_then(|i| i.column_index(group, leaf)).cloned(),
                offset_index: index.and_then(|i| i.offset_index(group, leaf)).cloned(),
            };
            out.append_column(data.store(), close).map_err(internal)?;
        }
        out.close().map_err(internal)?;
        self.groups += 1;
        Ok(())
    }
}
