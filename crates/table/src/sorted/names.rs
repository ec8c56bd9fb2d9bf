//! The series file: from rank to labels, one column for each label name, kept as dictionary codes in memory.
//!
//! Columns: `series` (rank), `tenant`, `label.<name>` for the [`limits::LABEL_COLUMNS`] most frequent names in canonical
//! name order, and `other_labels`: the canonical bytes of the rest. Ranks ascend by tenant, then by label bytes.
//! Matchers are evaluated once for each distinct value; labels are put together only for series that matched.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{BinaryType, ByteArrayType, Int32Type, Utf8Type};
use arrow_array::{Array, ArrayRef, BinaryArray, GenericByteArray, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat;
use base::labels::{METRIC_NAME, OrderedLabels, SEP};
use base::{Error, Labels, Matcher, Result, Tenant};
use bytes::Bytes;
use disk::Fs;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::collections::{BTreeSet, HashMap};

use super::layout::internal;
use super::{SeriesKey, limits};

const PREFIX: &str = "label.";
const OTHER: &str = "other_labels";

/// Writes the series file and makes it durable. Returns its length and CRC32C.
pub fn write(fs: &dyn Fs, path: &Path, series: &[SeriesKey]) -> Result<(u64, u32)> {
    let bytes = encode(series)?;
    let file = fs.create(path)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    Ok((bytes.len() as u64, crc32c::crc32c(&bytes)))
}

/// The names that get a column, in canonical order.
fn column_names(series: &[SeriesKey]) -> Vec<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for s in series {
        for (name, _) in &s.labels {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut names: Vec<(&str, u32)> = counts.into_iter().collect();
    names.sort_unstable_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    names.truncate(limits::LABEL_COLUMNS);
    let mut names: Vec<String> = names.into_iter().map(|(n, _)| n.to_string()).collect();
    names.sort_unstable_by(|a, b| canonical(a).cmp(&canonical(b)));
    names
}

/// The order of names within canonical labels.
fn canonical(name: &str) -> (bool, &str) {
    (name != METRIC_NAME, name)
}

fn push_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(SEP);
    out.extend_from_slice(value.as_bytes());
    out.push(SEP);
}

fn encode(series: &[SeriesKey]) -> Result<Vec<u8>> {
    u32::try_from(series.len()).map_err(|_| internal("too many series"))?;
    let names = column_names(series);
    let mut fields = vec![Field::new("series", DataType::UInt32, false), Field::new("tenant", DataType::Utf8, false)];
    fields.extend(names.iter().map(|name| Field::new(format!("{PREFIX}{name}"), DataType::Utf8, true)));
    fields.push(Field::new(OTHER, DataType::Binary, true));
    let schema = Arc::new(Schema::new(fields));
    let props = WriterProperties::builder()
        .set_created_by("watchfire".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(internal)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_page_size_limit(1 << 30)
        .set_max_row_group_row_count(None)
        .build();
    let options = ArrowWriterOptions::new().with_properties(props).with_skip_arrow_metadata(true);
    let mut w = ArrowWriter::try_new_with_options(vec![], schema.clone(), options).map_err(internal)?;
    for (i, chunk) in series.chunks(limits::SERIES_AT_ONCE).enumerate() {
        let arrays = arrays(chunk, i * limits::SERIES_AT_ONCE, &names);
        w.write(&RecordBatch::try_new(schema.clone(), arrays).map_err(internal)?).map_err(internal)?;
    }
    w.into_inner().map_err(internal)
}

/// The columns of some series, the first of which has rank `first`.
fn arrays(series: &[SeriesKey], first: usize, names: &[String]) -> Vec<ArrayRef> {
    let at: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    let mut columns: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(series.len()); names.len()];
    let mut others: Vec<Option<Vec<u8>>> = Vec::with_capacity(series.len());
    for (row, s) in series.iter().enumerate() {
        let mut other = vec![];
        for (name, value) in &s.labels {
            match at.get(name) {
                Some(&c) => {
                    columns[c].resize(row, None);
                    columns[c].push(Some(value));
                }
                None => push_pair(&mut other, name, value),
            }
        }
        others.push(if other.is_empty() { None } else { Some(other) });
    }
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(first as u32..(first + series.len()) as u32)),
        Arc::new(StringArray::from_iter_values(series.iter().map(|s| s.tenant.as_str()))),
    ];
    for mut values in columns {
        values.resize(series.len(), None);
        arrays.push(Arc::new(StringArray::from(values)));
    }
    arrays.push(Arc::new(BinaryArray::from_iter(others.iter().map(|o| o.as_deref()))));
    arrays
}

#[derive(PartialEq)]
struct LabelColumn {
    name: String,
    values: StringArray,
    // 0 is "absent", else the position in `values` plus 1.
    codes: Vec<u32>,
}

impl LabelColumn {
    fn value(&self, rank: u32) -> Option<&str> {
        match self.codes[rank as usize] {
            0 => None,
            c => Some(self.values.value(c as usize - 1)),
        }
    }
}

/// A series file in memory.
#[derive(PartialEq)]
pub struct SeriesTable {
    tenants: Vec<(Tenant, Range<u32>)>,
    columns: Vec<LabelColumn>,
    others: BinaryArray,
}

impl SeriesTable {
    /// No series.
    pub fn empty() -> SeriesTable {
        SeriesTable { tenants: vec![], columns: vec![], others: BinaryArray::from_iter_values(Vec::<&[u8]>::new()) }
    }

    /// Reads a file whose checksum held.
    pub fn read(bytes: Bytes) -> Result<SeriesTable> {
        let bad = |e: parquet::errors::ParquetError| Error::corrupt(format!("series file: {e}"));
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let found = ArrowReaderMetadata::load(&bytes, plain).map_err(bad)?;
        let fields: Vec<Field> = found
            .schema()
            .fields()
            .iter()
            .map(|f| match f.data_type() {
                DataType::Utf8 => {
                    f.as_ref().clone().with_data_type(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)))
                }
                _ => f.as_ref().clone(),
            })
            .collect();
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(Arc::new(Schema::new(fields)));
        // Batch by batch: the reader moves the codes of a batch anew for each of its pages.
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)
            .and_then(|b| b.with_batch_size(limits::SERIES_READ_AT_ONCE).build())
            .map_err(bad)?;
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| Error::corrupt(format!("series file: {e}")))?;
        Self::from_batches(&batches)
    }

    fn from_batches(batches: &[RecordBatch]) -> Result<SeriesTable> {
        let Some(first) = batches.first() else { return Ok(Self::empty()) };
        let (mut columns, mut tenant, mut others) = (vec![], None, None);
        for (i, field) in first.schema().fields().iter().enumerate() {
            let arrays = batches.iter().map(|b| b.column(i));
            match (field.name().as_str(), field.name().strip_prefix(PREFIX)) {
                (_, Some(name)) => columns.push(label_column(name, arrays)?),
                ("tenant", _) => tenant = Some(label_column("", arrays)?),
                (OTHER, _) => others = Some(joined::<BinaryType>(&arrays.map(AsRef::as_ref).collect::<Vec<_>>())?),
                _ => {}
            }
        }
        let (tenant, others) = tenant.zip(others).ok_or_else(unexpected)?;
        let mut tenants: Vec<(Tenant, Range<u32>)> = vec![];
        let mut last = 0;
        for rank in 0..tenant.codes.len() as u32 {
            let code = tenant.codes[rank as usize];
            if rank == 0 || code != last {
                tenants.push((Tenant::new(tenant.value(rank).ok_or_else(unexpected)?)?, rank..rank));
                last = code;
            }
            if let Some(t) = tenants.last_mut() {
                t.1.end = rank + 1;
            }
        }
        Ok(SeriesTable { tenants, columns, others })
    }

    /// The ranks of a tenant's series.
    pub fn ranks(&self, tenant: &Tenant) -> Range<u32> {
        self.tenants.iter().find(|t| t.0 == *tenant).map_or(0..0, |t| t.1.clone())
    }

    /// All tenants and their ranks.
    pub fn tenants(&self) -> &[(Tenant, Range<u32>)] {
        &self.tenants
    }

    /// Memory it takes, bytes.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|c| c.codes.len() * 4 + c.values.get_array_memory_size()).sum::<usize>()
            + self.others.get_array_memory_size()
    }

    /// The tenant's ranks that match, ascending.
    pub fn matching(&self, tenant: &Tenant, matchers: &[Matcher]) -> Vec<u32> {
        let ranks = self.ranks(tenant);
        let mut keep = vec![true; ranks.len()];
        for m in matchers {
            match self.columns.iter().find(|c| c.name == m.name) {
                Some(c) => {
                    let mut verdict = vec![m.matches_empty()];
                    verdict.extend((0..c.values.len()).map(|i| m.matches_value(c.values.value(i))));
                    let codes = &c.codes[ranks.start as usize..ranks.end as usize];
                    keep.iter_mut().zip(codes).for_each(|(k, code)| *k &= verdict[*code as usize]);
                }
                None => keep
                    .iter_mut()
                    .zip(ranks.clone())
                    .for_each(|(k, rank)| *k = *k && m.matches_value(self.other(rank, &m.name).unwrap_or(""))),
            }
        }
        ranks.zip(keep).filter_map(|(r, k)| k.then_some(r)).collect()
    }

    /// Adds the values of a label among some ranks.
    pub fn values(&self, ranks: &[u32], name: &str, out: &mut BTreeSet<String>) {
        match self.columns.iter().find(|c| c.name == name) {
            Some(c) => {
                let mut seen = vec![false; c.values.len() + 1];
                ranks.iter().for_each(|r| seen[c.codes[*r as usize] as usize] = true);
                let values = (0..c.values.len()).filter(|i| seen[i + 1]).map(|i| c.values.value(i));
                out.extend(values.map(str::to_owned));
            }
            None => out.extend(ranks.iter().filter_map(|r| self.other(*r, name).map(str::to_owned))),
        }
    }

    fn other_pairs(&self, rank: u32) -> impl Iterator<Item = (&str, &str)> {
        let bytes = if self.others.is_valid(rank as usize) { self.others.value(rank as usize) } else { &[] };
        let mut fields = bytes.split(|b| *b == SEP).map(|f| std::str::from_utf8(f).unwrap_or(""));
        std::iter::from_fn(move || Some((fields.next()?, fields.next()?)))
    }

    fn other(&self, rank: u32, name: &str) -> Option<&str> {
        self.other_pairs(rank).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The labels of a rank.
    pub fn labels(&self, rank: u32) -> Result<Labels> {
        if rank as usize >= self.others.len() {
            return Err(Error::corrupt(format!("series {rank} is not in the series file")));
        }
        let mut out = OrderedLabels::default();
        let mut others = self.other_pairs(rank).peekable();
        for c in &self.columns {
            let Some(v) = c.value(rank) else { continue };
            while let Some((n, w)) = others.next_if(|(n, _)| canonical(n) < canonical(&c.name)) {
                out.push(n, w);
            }
            out.push(&c.name, v);
        }
        others.for_each(|(n, w)| out.push(n, w));
        Ok(out.finish())
    }
}

fn unexpected() -> Error {
    Error::corrupt("series file: unexpected columns")
}

/// The column that some batches hold parts of.
fn label_column<'a>(name: &str, parts: impl Iterator<Item = &'a ArrayRef>) -> Result<LabelColumn> {
    let parts: Vec<_> = parts.map(|p| p.as_dictionary_opt::<Int32Type>().ok_or_else(unexpected)).collect::<Result<_>>()?;
    let mut codes = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
    let mut dictionaries = Vec::<&ArrayRef>::new();
    // How many values come before those of the last dictionary.
    let mut before = 0;
    for part in parts {
        let values = part.values();
        // Batches of one row group share their values; a batch of nulls has none.
        if !values.is_empty() && dictionaries.last().is_none_or(|last| !last.to_data().ptr_eq(&values.to_data())) {
            before += dictionaries.last().map_or(0, |last| last.len() as u32);
            dictionaries.push(values);
        }
        let keys = part.keys();
        let code = |key: i32| before + key as u32 + 1;
        match keys.nulls() {
            None => codes.extend(keys.values().iter().map(|k| code(*k))),
            Some(valid) => codes.extend(keys.values().iter().zip(valid).map(|(k, valid)| if valid { code(*k) } else { 0 })),
        }
    }
    let dictionaries: Vec<&dyn Array> = dictionaries.into_iter().map(AsRef::as_ref).collect();
    let values = joined::<Utf8Type>(&dictionaries)?;
    if codes.iter().any(|c| *c as usize > values.len()) {
        return Err(Error::corrupt("series file: a code without a value"));
    }
    Ok(LabelColumn { name: name.into(), values, codes })
}

/// One array of the values of all.
fn joined<T: ByteArrayType<Offset = i32>>(arrays: &[&dyn Array]) -> Result<GenericByteArray<T>> {
    match arrays {
        [] => Ok(GenericByteArray::new_null(0)),
        [one] => one.as_bytes_opt::<T>().cloned().ok_or_else(unexpected),
        _ => concat(arrays).map_err(internal)?.as_bytes_opt::<T>().cloned().ok_or_else(unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::MatchOp;

    fn key(tenant: &str, pairs: &[(&str, &str)]) -> SeriesKey {
        SeriesKey { tenant: Tenant::new(tenant).unwrap(), labels: Labels::from_pairs(pairs.iter().copied()).unwrap() }
    }

    #[test]
    fn more_series_than_one_batch_has_come_back() {
        // Names that only some batches have, and one whose values all differ.
        let key_of = |i: usize| {
            let id = format!("{i:06}");
            let late = if i > limits::SERIES_AT_ONCE * 3 / 2 { ["x", "y"][i % 2] } else { "" };
            key(if i < 70_000 { "a" } else { "b" }, &[("__name__", "up"), ("id", &id), ("late", late)])
        };
        let keys: Vec<SeriesKey> = (0..2 * limits::SERIES_AT_ONCE + 10).map(key_of).collect();
        let t = SeriesTable::read(encode(&keys).unwrap().into()).unwrap();
        keys.iter().enumerate().for_each(|(i, k)| assert_eq!(t.labels(i as u32).unwrap(), k.labels));
        assert_eq!(t.ranks(&keys[70_000].tenant), 70_000..keys.len() as u32);
        let distinct: Vec<usize> = t.columns.iter().map(|c| c.values.len()).collect();
        assert_eq!(distinct, [1, keys.len(), 2], "batches share their values");
    }

    #[test]
    fn labels_come_back_and_matchers_see_rare_names() {
        let mut keys: Vec<SeriesKey> = (0..100)
            .map(|i| {
                let rare = format!("r{i:03}");
                key(if i < 30 { "a" } else { "b" }, &[("__name__", "up"), ("job", ["x", "y"][i % 2]), (&rare, "1"), ("zone", "z")])
            })
            .collect();
        keys.push(key("b", &[]));
        keys.sort();
        let t = SeriesTable::read(encode(&keys).unwrap().into()).unwrap();
        for (i, k) in keys.iter().enumerate() {
            assert_eq!(t.labels(i as u32).unwrap(), k.labels);
        }
        assert!(t.labels(101).is_err());
        let mut values = BTreeSet::new();
        t.values(&[0, 1, 7, 100], "job", &mut values);
        t.values(&[7, 8], &format!("r{:03}", 7), &mut values);
        t.values(&[0], "absent", &mut values);
        let wanted =
            [keys[0].labels.get("job"), keys[1].labels.get("job"), keys[7].labels.get("job"), keys[100].labels.get("job"), Some("1")];
        let rare = keys[7..9].iter().any(|k| k.labels.get("r007").is_some());
        assert_eq!(values, wanted.into_iter().flatten().filter(|v| *v != "1" || rare).map(str::to_owned).collect());
        for m in [
            Matcher::eq("job", "x"),
            Matcher::eq("r007", "1"),
            Matcher::eq("r099", ""),
            Matcher::eq("absent", ""),
            Matcher::new("job", MatchOp::NotRe, "x|").unwrap(),
        ] {
            for tenant in ["a", "b", "c"] {
                let tenant = Tenant::new(tenant).unwrap();
                let want: Vec<u32> =
                    (0..keys.len() as u32).filter(|i| keys[*i as usize].tenant == tenant && m.matches(&keys[*i as usize].labels)).collect();
                assert_eq!(t.matching(&tenant, std::slice::from_ref(&m)), want, "{m} {tenant}");
            }
        }
    }
}
