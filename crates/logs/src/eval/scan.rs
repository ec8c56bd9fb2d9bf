//! Batches of log rows as slices of columns, and rows through a pipeline.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, BinaryViewArray, Int64Array, RecordBatch, StringViewArray, UInt32Array};
use base::attrs::{self, Value};
use base::{Error, Labels, Matcher, Result};
use table::{Direction, Predicate, RowStream, ScanRequest, TimeRange};

use super::Source;
use crate::erase;
use crate::spec;
use crate::stage::{RowLabels, Wanted};

/// Which columns are read beside series and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The line.
    pub line: bool,
    /// Metadata.
    pub metadata: bool,
    /// The detected level.
    pub level: bool,
}

impl Reads {
    /// Everything.
    pub const ALL: Reads = Reads { line: true, metadata: true, level: true };
}

/// Opens a scan.
pub fn open(
    source: Source<'_>,
    matchers: &[Matcher],
    range: TimeRange,
    predicate: Option<Predicate>,
    reads: Reads,
    direction: Direction,
) -> Result<RowStream> {
    let mut request = ScanRequest::new(&spec::SPEC, source.tenant.clone(), matchers.to_vec(), range);
    request.columns.clear();
    if reads.line {
        request.columns.push(spec::LINE);
    }
    if reads.metadata {
        request.columns.push(spec::METADATA);
    }
    if reads.level {
        request.columns.push(spec::DETECTED_LEVEL);
    }
    request.predicate = predicate;
    request.direction = direction;
    request.cancel = source.cancel.clone();
    erase::scan(source.rows, request, source.erased)
}

/// The columns of a batch.
pub struct Batch {
    series: UInt32Array,
    time: Int64Array,
    line: Option<StringViewArray>,
    metadata: Option<BinaryViewArray>,
    level: Option<StringViewArray>,
}

impl Batch {
    /// Takes a batch of a scan opened with [`open`].
    pub fn new(batch: &RecordBatch) -> Result<Self> {
        let missing = || Error::internal("a batch of log rows lacks its first columns");
        Ok(Batch {
            series: batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or_else(missing)?.clone(),
            time: batch.columns().get(1).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(missing)?.clone(),
            line: batch.column_by_name(spec::LINE).and_then(|c| c.as_string_view_opt()).cloned(),
            metadata: batch.column_by_name(spec::METADATA).and_then(|c| c.as_binary_view_opt()).cloned(),
            level: batch.column_by_name(spec::DETECTED_LEVEL).and_then(|c| c.as_string_view_opt()).cloned(),
        })
    }
    /// Rows.
    pub fn len(&self) -> usize {
        self.time.len()
    }
    /// Series numbers.
    pub fn series(&self) -> &[u32] {
        self.series.values()
    }
    /// Times, nanoseconds.
    pub fn times(&self) -> &[i64] {
        self.time.values()
    }
    /// The line of row `i`; empty if lines are not read.
    pub fn line(&self, i: usize) -> &str {
        self.line.as_ref().map_or("", |l| l.value(i))
    }
    /// The detected level of row `i`; empty if it has none or levels are not read.
    pub fn level(&self, i: usize) -> &str {
        self.level.as_ref().filter(|l| l.is_valid(i)).map_or("", |l| l.value(i))
    }
    /// Adds the metadata of row `i` to labels, as far as somebody looks at it.
    pub fn add_metadata(&self, i: usize, wanted: &Wanted, labels: &mut RowLabels) {
        if let Some(m) = self.metadata.as_ref().filter(|m| m.is_valid(i)) {
            for (key, value) in attrs::iter(m.value(i)).filter(|(key, _)| wanted.depends_on(key)) {
                match value {
                    Value::Str(v) => labels.set_metadata(key, v),
                    Value::Bool(v) => labels.set_metadata(key, &v.to_string()),
                    Value::Int(v) => labels.set_metadata(key, &v.to_string()),
                    Value::Double(v) => labels.set_metadata(key, &lang::number::format(v)),
                    Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => {}
                }
            }
        }
        if let Some(l) = self.level.as_ref().filter(|l| l.is_valid(i))
            && wanted.depends_on(spec::DETECTED_LEVEL)
            && labels.get(spec::DETECTED_LEVEL).is_none()
        {
            labels.set_metadata(spec::DETECTED_LEVEL, l.value(i));
        }
    }
}

/// The label set of series `number` of a stream.
pub fn series_labels(series: &[Labels], number: u32) -> Result<&Labels> {
    series.get(number as usize).ok_or_else(|| Error::internal(format!("a row has series {number} of {}", series.len())))
}
