//! Merging: any sources to one block of a tenant and day, streamed.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use base::{Result, Tenant};
use disk::Fs;

use super::checked::SummingWriter;
use super::combine::Combine;
use super::layout::{Layout, internal};
use super::names;
use super::piece::Wanted;
use super::prune::Prune;
use super::scan::{Unbounded, all_columns};
use super::shred::{Census, KeyColumn};
use super::text::read::Reads;
use super::view::{Asked, Views};
use super::writer::{RowWriter, partitions};
use super::{Budget, FORMAT_VERSION, MergeOptions, MergeStats, SeriesKey, SortedFile, SortedMeta, Source, limits};
use crate::missing::Missing;
use crate::scan::{Meter, TimeRange};
use crate::spec::{ColumnType, Order, TableSpec};

/// Slices, and pieces of each, whose first rows are looked at to find frequent keys: a few per cent of the work.
const CENSUS_SLICES: usize = 8;
const CENSUS_PIECES: usize = 2;

/// Merges the rows of one tenant and day into a block of two files, both durable when it returns (their directory
/// entries are the caller's matter). Holds a few batches of each source and one encoded row group.
#[allow(clippy::too_many_arguments)] // two files, two ways to say what, and how: a struct would only rename them
pub fn merge(
    spec: &'static TableSpec,
    sources: Vec<Source>,
    tenant: &Tenant,
    day: i64,
    fs: &dyn Fs,
    data_path: &Path,
    series_path: &Path,
    options: &MergeOptions,
) -> Result<(SortedMeta, MergeStats)> {
    let start = day.saturating_mul(spec.unit.day());
    let range = TimeRange { start: start.max(options.keep_from.unwrap_or(start)), end: start.saturating_add(spec.unit.day()) };
    let budget: Arc<dyn Budget> = Arc::new(Unbounded);
    let asked = Asked {
        spec,
        tenant,
        matchers: &[],
        range: TimeRange { start, ..range },
        prune: Prune::default(),
        only_used: true,
        whole: matches!(spec.order, Order::Series(_)),
        missing: Missing::default(),
        meter: Meter::default(),
    };
    let files: Vec<Arc<SortedFile>> = sources.iter().filter_map(Source::file).cloned().collect();
    let views = Views::new(sources, &[], asked, &budget)?;
    let layout = Layout::shredded(spec, true, &frequent_keys(spec, &views, &budget)?)?;
    let (mut stats, reads) = (MergeStats::default(), Reads::default());
    let mut writer = RowWriter::new(layout.clone(), SummingWriter::new(fs.create(data_path)?))?;
    for slice in views.slices() {
        let mut rows = Combine::new(spec, views.pieces(slice, &reads)?, all_columns(spec), budget.clone());
        while let Some(batch) = rows.next(&views)? {
            options.cancel.check()?;
            let kept = keep_from(&batch, range.start)?;
            stats.expired += (batch.num_rows() - kept.num_rows()) as u64;
            let before = kept.num_rows();
            let kept = match &options.erasing {
                Some(e) => e.rest(spec.name, tenant, &views.labels, kept)?,
                None => kept,
            };
            stats.erased += (before - kept.num_rows()) as u64;
            if kept.num_rows() == 0 {
                continue;
            }
            stats.rows_out += kept.num_rows() as u64;
            writer.write(tenant, slice, &kept)?;
        }
        stats.doubles += rows.doubles;
        stats.rows_in += rows.rows_in;
    }
    let done = writer.finish()?;
    let (data_bytes, data_tail, data_tail_crc32c) = done.sink.finish()?;
    let labels = views.labels.clone();
    // What follows needs memory of its own, and what was merged is hardly asked again.
    drop(views);
    files.iter().for_each(|f| f.release());
    let keys: Vec<SeriesKey> = labels.iter().map(|l| SeriesKey { tenant: tenant.clone(), labels: l.clone() }).collect();
    let (series_bytes, series_crc32c) = names::write(fs, series_path, &keys)?;
    let meta = SortedMeta {
        format: FORMAT_VERSION,
        rows: stats.rows_out,
        data_bytes,
        data_tail,
        data_tail_crc32c,
        series_bytes,
        series_crc32c,
        series: keys.len() as u64,
        doubles: stats.doubles,
        partitions: partitions(&layout, &done.directory),
    };
    Ok((meta, stats))
}

/// The keys of attribute columns that get a column in the block, from a look at some rows of some slices.
fn frequent_keys(spec: &'static TableSpec, views: &Views, budget: &Arc<dyn Budget>) -> Result<Vec<(String, Vec<KeyColumn>)>> {
    let (mut out, reads) = (vec![], Reads::default());
    let slices = views.slices();
    for (i, c) in spec.columns.iter().enumerate().filter(|(_, c)| c.ty == ColumnType::Attrs) {
        let mut census = Census::default();
        let wanted = Wanted { columns: vec![i + 2], key: None, batch_rows: limits::BATCH_ROWS, texts: Arc::default() };
        for slice in slices.iter().step_by(slices.len().div_ceil(CENSUS_SLICES).max(1)) {
            for mut piece in views.pieces(*slice, &reads)?.into_iter().take(CENSUS_PIECES) {
                if piece.load(&wanted, budget)? {
                    piece.rows().into_iter().for_each(|(held, ..)| census.add(held.batch.column(0)));
                }
            }
        }
        out.push((c.name.to_string(), census.choose()));
    }
    Ok(out)
}

/// The rows from `start` on.
fn keep_from(batch: &RecordBatch, start: i64) -> Result<RecordBatch> {
    let times = batch.column(1).as_primitive::<Int64Type>().values();
    if times.iter().all(|t| *t >= start) {
        return Ok(batch.clone());
    }
    let keep = BooleanBuffer::collect_bool(times.len(), |i| times[i] >= start);
    filter_record_batch(batch, &BooleanArray::new(keep, None)).map_err(internal)
}
