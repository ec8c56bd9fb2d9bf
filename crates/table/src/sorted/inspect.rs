//! What a run or block holds, for people.

use std::fmt::Write;
use std::path::Path;

use base::units::format_size;
use base::{Error, Result};
use disk::Fs;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use super::data::footer_note;
use super::index::{Directory, decode_stretches};
use super::layout::internal;
use super::names::SeriesTable;

/// Describes a data file and its series file. Reads both in whole; meant for a command line.
pub fn inspect(fs: &dyn Fs, data_path: &Path, series_path: &Path, out: &mut dyn Write) -> Result<()> {
    let bytes: bytes::Bytes = disk::read(fs, data_path)?.into();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let meta = reader.parse_and_finish(&bytes).map_err(|e| Error::corrupt(format!("{}: {e}", data_path.display())))?;
    let note = footer_note(&meta)?;
    let rows = meta.file_metadata().num_rows();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").map_err(internal);
    line(format_args!("table {}, layout version {}, {rows} rows, {}", note.table, note.format, format_size(bytes.len() as u64)))?;
    line(format_args!("checksums {}, directory {}", format_size(note.sums.1), format_size(note.directory.1)))?;
    line(format_args!("\ncolumn                          encoded       raw   pages  bytes/row"))?;
    for (i, c) in meta.file_metadata().schema_descr().columns().iter().enumerate() {
        let groups = || meta.row_groups().iter().map(|g| g.column(i));
        let encoded: i64 = groups().map(|c| c.compressed_size()).sum();
        let raw: i64 = groups().map(|c| c.uncompressed_size()).sum();
        let index = meta.page_index();
        let pages: usize = (0..meta.num_row_groups()).filter_map(|g| Some(index?.offset_index(g, i)?.page_locations().len())).sum();
        let (name, encoded_text, raw_text) = (c.name(), format_size(encoded as u64), format_size(raw as u64));
        line(format_args!("{name:<28} {encoded_text:>10} {raw_text:>9} {pages:>7} {:>10.2}", encoded as f64 / rows.max(1) as f64))?;
    }
    let slice_of = |(at, len): (u64, u64)| {
        let range = usize::try_from(at).ok().zip(usize::try_from(at.saturating_add(len)).ok());
        range.and_then(|(a, b)| bytes.get(a..b)).ok_or_else(|| Error::corrupt("the footer names bytes that the file does not have"))
    };
    let directory = Directory::decode(slice_of(note.directory)?)?;
    line(format_args!("\n{} row groups, {} segments", meta.num_row_groups(), directory.segments.len()))?;
    for s in &directory.segments {
        let stretches = match s.stretches.len {
            0 => 0,
            n => decode_stretches(s.slice, s.rows, slice_of((s.stretches.offset, u64::from(n)))?)?.len(),
        };
        line(format_args!(
            "tenant {}, slice {}, row group {}, rows {}..{}, times {}..={}, {stretches} stretches in {}, filters {}",
            directory.tenants[s.tenant as usize],
            s.slice,
            s.row_group,
            s.first_row,
            u64::from(s.first_row) + u64::from(s.rows),
            s.first,
            s.last,
            format_size(u64::from(s.stretches.len)),
            format_size(s.filters.iter().map(|f| u64::from(f.1.len)).sum()),
        ))?;
    }
    let series = SeriesTable::read(disk::read(fs, series_path)?.into())?;
    for (tenant, ranks) in series.tenants() {
        line(format_args!("tenant {tenant}: {} series, ranks {}..{}", ranks.len(), ranks.start, ranks.end))?;
    }
    Ok(())
}
