//! How the columns of a table lie in a Parquet file, and the way back.
//!
//! Most columns are themselves. A double is two: `<name>` (mantissa) and `<name>_scale` (see [`super::decimal`]). In tables
//! ordered by series the mantissa is `<name>_delta`: its difference to the one before in its stretch, zigzag; neighbours
//! of one series differ little, and this with split bytes measured a quarter smaller than either way alone.
//! Attributes of a block are their frequent keys' columns, a shape and a rest (see [`super::shred`]).
//! Parts of tables ordered by series have no `series` column: their stretches say whose rows they are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int8Type, Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int8Array, Int64Array, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::{Error, Result};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::index::StretchReader;
use super::shred::{self, KeyColumn};
use super::{decimal, limits};
use crate::spec::{ColumnType, Order, SERIES, TableSpec};

/// Where a column of the table lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Not in the file.
    Absent,
    /// As it is.
    Plain(usize),
    /// Mantissa; the scale is the next.
    Decimal(usize),
    /// Rest; the shape is the next, then the columns of the keys.
    Shredded(usize, Vec<KeyColumn>),
}

/// The layout of one file.
pub struct Layout {
    pub spec: &'static TableSpec,
    /// Schema of whole rows in batches.
    pub rows: SchemaRef,
    /// Schema of the file.
    pub schema: SchemaRef,
    pub parquet: Arc<SchemaDescriptor>,
    places: Vec<Place>,
    /// For parts, which are read once by the merge that makes a block of them.
    passing: bool,
}

/// Name of the shape column of shredded attributes, after the column's. A key of that name cannot be told from it, and
/// the tilde is in no key that anybody uses.
const SHAPE: &str = "~shape";

/// Parquet and Arrow errors of our own making.
pub fn internal(e: impl std::fmt::Display) -> Error {
    Error::internal(format!("sorted rows: {e}"))
}

impl Layout {
    /// The layout of `spec` with attributes in one column each. Refuses a key that cannot be compared as a number.
    pub fn new(spec: &'static TableSpec, with_series: bool) -> Result<Arc<Layout>> {
        Self::make(spec, with_series, &[], true)
    }

    /// The same with columns for some keys of attribute columns, which are named.
    pub fn shredded(spec: &'static TableSpec, with_series: bool, keys: &[(String, Vec<KeyColumn>)]) -> Result<Arc<Layout>> {
        Self::make(spec, with_series, keys, false)
    }

    fn make(spec: &'static TableSpec, with_series: bool, keys: &[(String, Vec<KeyColumn>)], passing: bool) -> Result<Arc<Layout>> {
        if let Order::Key(k) = spec.order {
            let ok = matches!(spec.column(k).map(|c| c.ty), Some(ColumnType::Fixed(1..=16) | ColumnType::U32 | ColumnType::I64));
            if !ok {
                return Err(Error::internal(format!(
                    "table {}: the order column {k:?} must be an id of at most 16 bytes or a number",
                    spec.name
                )));
            }
        }
        let mut fields: Vec<Field> = vec![];
        let mut places = vec![];
        let rows = spec.schema();
        for (i, f) in rows.fields().iter().enumerate() {
            if i == 0 && !with_series {
                places.push(Place::Absent);
                continue;
            }
            let keys = keys.iter().find(|k| k.0 == *f.name() && !k.1.is_empty());
            if let Some((name, keys)) = keys.filter(|_| i >= 2 && spec.columns[i - 2].ty == ColumnType::Attrs) {
                places.push(Place::Shredded(fields.len(), keys.clone()));
                fields.push(Field::new(name, DataType::BinaryView, true));
                fields.push(Field::new(format!("{name}.{SHAPE}"), DataType::BinaryView, true));
                fields.extend(keys.iter().map(|k| Field::new(k.name(name), k.arrow(), true)));
            } else if f.data_type() == &DataType::Float64 {
                places.push(Place::Decimal(fields.len()));
                let name = if is_delta(spec) { format!("{}_delta", f.name()) } else { f.name().clone() };
                fields.push(Field::new(name, DataType::Int64, f.is_nullable()));
                fields.push(Field::new(format!("{}_scale", f.name()), DataType::Int8, f.is_nullable()));
            } else {
                places.push(Place::Plain(fields.len()));
                fields.push(f.as_ref().clone());
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(&schema).map_err(internal)?);
        Ok(Arc::new(Layout { spec, rows, schema, parquet, places, passing }))
    }

    /// Whether the file has a `series` column.
    pub fn with_series(&self) -> bool {
        self.places[0] != Place::Absent
    }

    /// How the file's columns are encoded. The smallest of what Parquet offers for each kind, measured.
    pub fn properties(&self) -> Result<WriterProperties> {
        let level = |n| ZstdLevel::try_new(n).map(Compression::ZSTD).map_err(internal);
        let mut p = WriterProperties::builder()
            .set_created_by("watchfire".into())
            .set_compression(level(1)?)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(false)
            .set_data_page_row_count_limit(if is_delta(self.spec) { limits::SAMPLE_PAGE_ROWS } else { limits::PAGE_ROWS })
            .set_data_page_size_limit(limits::TEXT_PAGE_BYTES)
            .set_dictionary_page_size_limit(limits::DICTIONARY_BYTES)
            .set_max_row_group_row_count(None);
        for (i, place) in self.places.iter().enumerate() {
            let name = self.rows.field(i).name();
            let path = ColumnPath::new(vec![name.clone()]);
            let ordered = i == 1 || matches!(self.spec.order, Order::Key(k) if k == name);
            if ordered {
                p = p.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
            }
            p = match place {
                Place::Absent => p,
                Place::Shredded(_, keys) => {
                    let dictionary =
                        |p: WriterPropertiesBuilder, name: String| p.set_column_dictionary_enabled(ColumnPath::new(vec![name]), true);
                    let p = p.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY);
                    let p = dictionary(p, format!("{name}.{SHAPE}"));
                    keys.iter().fold(p, |p, k| dictionary(p, k.name(name)))
                }
                Place::Decimal(at) => {
                    let mantissas = ColumnPath::new(vec![self.schema.field(*at).name().clone()]);
                    let scales = ColumnPath::new(vec![format!("{name}_scale")]);
                    let p = p
                        .set_column_encoding(mantissas.clone(), Encoding::BYTE_STREAM_SPLIT)
                        .set_column_dictionary_enabled(scales.clone(), true)
                        .set_column_data_page_row_count_limit(scales, limits::PAGE_ROWS);
                    if is_delta(self.spec) {
                        p.set_column_compression(mantissas.clone(), level(3)?)
                            .set_column_data_page_row_count_limit(mantissas, limits::DIFFERENCE_PAGE_ROWS)
                    } else {
                        p
                    }
                }
                Place::Plain(_) if name == SERIES => match self.spec.order {
                    Order::Series(_) => p.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                    Order::Key(_) => p.set_column_dictionary_enabled(path, true),
                },
                Place::Plain(_) if i == 1 => p.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                Place::Plain(_) => match self.spec.columns[i - 2].ty {
                    ColumnType::U32 | ColumnType::I64 => p.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                    ColumnType::U8 | ColumnType::Word => p.set_column_dictionary_enabled(path, true),
                    ty @ (ColumnType::Text | ColumnType::Bytes | ColumnType::Attrs) => {
                        let p = p
                            .set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
                            .set_column_data_page_row_count_limit(path.clone(), limits::TEXT_PAGE_ROWS);
                        // Compressing text twice on its way to a block was a third of all the CPU of a push of logs.
                        let plain = self.passing && ty == ColumnType::Text;
                        if plain { p.set_column_compression(path, Compression::UNCOMPRESSED) } else { p }
                    }
                    ColumnType::Fixed(_) | ColumnType::F64 => p.set_column_encoding(path, Encoding::PLAIN),
                },
            };
        }
        Ok(p.build())
    }

    /// Whether rows of these columns can be decoded only from the start of their stretch on.
    pub fn needs_whole_stretches(&self, wanted: &[usize]) -> bool {
        is_delta(self.spec) && wanted.iter().any(|w| matches!(self.places[*w], Place::Decimal(_)))
    }

    /// The file's columns of a batch of whole rows in the table's order. `states` carry on from batch to batch within a
    /// segment; each segment begins with none.
    pub fn encode(&self, batch: &RecordBatch, states: &mut Vec<DecimalState>) -> Vec<ArrayRef> {
        states.resize_with(self.places.len(), DecimalState::default);
        let mut out = Vec::with_capacity(self.schema.fields().len());
        for (i, place) in self.places.iter().enumerate() {
            match place {
                Place::Absent => {}
                Place::Plain(_) => out.push(batch.column(i).clone()),
                Place::Decimal(_) => out.extend(states[i].split(batch.column(i), batch.column(0), is_delta(self.spec))),
                Place::Shredded(_, keys) => out.extend(shred::split(batch.column(i), keys)),
            }
        }
        out
    }

    /// The file's columns that the table's columns `wanted` need, ascending.
    pub fn leaves(&self, wanted: &[usize]) -> Vec<usize> {
        let mut out = vec![];
        for &w in wanted {
            match &self.places[w] {
                Place::Absent => {}
                Place::Plain(at) => out.push(*at),
                Place::Decimal(at) => out.extend([*at, at + 1]),
                Place::Shredded(at, keys) => out.extend(*at..at + 2 + keys.len()),
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The table's columns `wanted` from `rows` rows of the file's columns `leaves`. `stretches` knows where in its stretch the first of them
    /// is.
    pub fn decode(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        leaves: &[usize],
        wanted: &[usize],
        stretches: &mut Stretches,
    ) -> Result<Vec<ArrayRef>> {
        let lens = stretches.next(rows);
        let at = |leaf: usize| -> Result<&ArrayRef> {
            leaves.binary_search(&leaf).ok().and_then(|i| columns.get(i)).ok_or_else(|| internal("a column was not read"))
        };
        wanted
            .iter()
            .map(|&w| match &self.places[w] {
                Place::Absent => Err(internal("the file has no series column")),
                Place::Plain(leaf) => Ok(at(*leaf)?.clone()),
                Place::Decimal(leaf) => {
                    let lens = is_delta(self.spec).then_some((&lens[..], stretches.sums.entry(w).or_default()));
                    Ok(join_decimals(at(*leaf)?, at(leaf + 1)?, lens))
                }
                Place::Shredded(leaf, keys) => {
                    let columns = (0..keys.len()).map(|k| at(leaf + 2 + k)).collect::<Result<Vec<_>>>()?;
                    shred::join(at(*leaf)?, at(leaf + 1)?, &columns, keys)
                }
            })
            .collect()
    }

    /// The file's column that holds the table's column `w` alone.
    pub fn leaf(&self, w: usize) -> Option<usize> {
        match &self.places[w] {
            Place::Plain(at) => Some(*at),
            _ => None,
        }
    }

    /// The file's column that holds the differences of the table's column `w` of doubles; the scales are the next.
    pub fn deltas(&self, w: usize) -> Option<usize> {
        match &self.places[w] {
            Place::Decimal(at) if is_delta(self.spec) && !self.rows.field(w).is_nullable() => Some(*at),
            _ => None,
        }
    }

    /// For a column of the file that is text without nulls: the table's column.
    pub fn text(&self, leaf: usize) -> Option<usize> {
        let at = self.places.iter().position(|p| *p == Place::Plain(leaf)).filter(|at| *at >= 2)?;
        let c = &self.spec.columns[at - 2];
        (c.ty == ColumnType::Text && !c.nullable).then_some(at)
    }

    /// Whether text is compressed, and its columns with substring filters have them: what is read once is not.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// The key columns of each attribute column that has any, as [`Layout::shredded`] takes them.
    pub fn keys(&self) -> Vec<(String, Vec<KeyColumn>)> {
        let shredded = self.places.iter().zip(self.rows.fields());
        shredded.filter_map(|(p, f)| if let Place::Shredded(_, keys) = p { Some((f.name().clone(), keys.clone())) } else { None }).collect()
    }
}

/// Whether mantissas are kept as differences.
fn is_delta(spec: &TableSpec) -> bool {
    matches!(spec.order, Order::Series(_))
}

/// Where the encoding of a column of doubles stands.
#[derive(Default)]
pub struct DecimalState {
    series: Option<u32>,
    encoder: decimal::Encoder,
    last: i64,
}

impl DecimalState {
    fn split(&mut self, values: &ArrayRef, series: &ArrayRef, delta: bool) -> [ArrayRef; 2] {
        let v = values.as_primitive::<Float64Type>();
        let series = series.as_primitive::<UInt32Type>().values();
        let mut mantissas = Vec::with_capacity(v.len());
        let mut scales = Vec::with_capacity(v.len());
        for (i, x) in v.values().iter().enumerate() {
            if self.series != Some(series[i]) {
                *self = DecimalState { series: Some(series[i]), ..Self::default() };
            }
            if v.is_null(i) {
                mantissas.push(0);
                scales.push(0);
                continue;
            }
            let (m, s) = self.encoder.encode(*x);
            scales.push(s);
            if delta {
                let d = m.wrapping_sub(self.last);
                mantissas.push((d << 1) ^ (d >> 63));
                self.last = m;
            } else {
                mantissas.push(m);
            }
        }
        let nulls = v.nulls().cloned();
        [Arc::new(Int64Array::new(mantissas.into(), nulls.clone())), Arc::new(Int8Array::new(scales.into(), nulls))]
    }
}

/// Where stretches end among the rows that a reader gives out.
#[derive(Default)]
pub struct Stretches {
    // Rows left of each stretch, the first being under way.
    left: VecDeque<u32>,
    // The stretches that follow.
    more: StretchReader,
    // The last mantissa of each column, by column.
    sums: HashMap<usize, i64>,
}

impl Stretches {
    pub fn new(lens: impl IntoIterator<Item = u32>) -> Stretches {
        Stretches { left: lens.into_iter().collect(), ..Stretches::default() }
    }

    /// Of all stretches of a segment.
    pub fn of(all: StretchReader) -> Stretches {
        Stretches { more: all, ..Stretches::default() }
    }

    fn front(&mut self) -> Option<&mut u32> {
        if self.left.is_empty() {
            self.left.extend(self.more.by_ref().take(limits::STRETCHES_AT_ONCE).map(|s| s.rows));
        }
        self.left.front_mut()
    }

    /// Lengths of the runs that the next `rows` fall into, and whether each ends its stretch.
    fn next(&mut self, rows: usize) -> Vec<(usize, bool)> {
        let mut out = vec![];
        let mut rows = rows as u32;
        while rows > 0 {
            let Some(left) = self.front() else {
                out.push((rows as usize, true));
                break;
            };
            let n = rows.min(*left);
            (*left, rows) = (*left - n, rows - n);
            let ends = *left == 0;
            out.push((n as usize, ends));
            if ends {
                self.left.pop_front();
            }
        }
        out
    }
}

fn join_decimals(mantissas: &ArrayRef, scales: &ArrayRef, delta: Option<(&[(usize, bool)], &mut i64)>) -> ArrayRef {
    let m = mantissas.as_primitive::<Int64Type>();
    let s = scales.as_primitive::<Int8Type>().values();
    let Some((runs, sum)) = delta else {
        let v: ScalarBuffer<f64> = m.values().iter().zip(s).map(|(m, s)| decimal::decode(*m, *s)).collect();
        return Arc::new(Float64Array::new(v, m.nulls().cloned()));
    };
    let nulls = m.nulls();
    let mut out: Vec<f64> = Vec::with_capacity(m.len());
    for (len, ends) in runs {
        let mut step = |d: i64| {
            *sum = sum.wrapping_add(((d as u64) >> 1) as i64 ^ -(d & 1));
            *sum
        };
        let rows = out.len()..(out.len() + len).min(m.len());
        let deltas = &m.values()[rows.clone()];
        match nulls {
            None => {
                let scales = &s[rows];
                let one = scales.first().copied().filter(|one| !scales.iter().fold(false, |other, s| other | (s != one)));
                // Most stretches have one scale, and most of these none.
                match one.map(|one| (one, decimal::divisor(one))) {
                    Some((0, _)) => out.extend(deltas.iter().map(|d| step(*d) as f64)),
                    Some((_, Some(divisor))) => out.extend(deltas.iter().map(|d| step(*d) as f64 / divisor)),
                    _ => out.extend(deltas.iter().zip(scales).map(|(d, s)| decimal::decode(step(*d), *s))),
                }
            }
            Some(nulls) => {
                let value =
                    |(i, d): (usize, &i64)| if nulls.is_valid(rows.start + i) { decimal::decode(step(*d), s[rows.start + i]) } else { 0.0 };
                out.extend(deltas.iter().enumerate().map(value));
            }
        }
        if *ends {
            *sum = 0;
        }
    }
    Arc::new(Float64Array::new(out.into(), m.nulls().cloned()))
}
