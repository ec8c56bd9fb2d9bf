//! Rows as plain values, tables to try, and the oracle.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, UInt8Array, UInt32Array};
use arrow_schema::DataType;
use base::{Labels, Result, Tenant};
use parking_lot::Mutex;

use crate::predicate::Predicate;
use crate::scan::{Direction, RowStream, ScanRequest};
use crate::sorted::{Damage, LostRows};
use crate::spec::{Column, ColumnType, Order, Prefer, SkipFilter, TableSpec, TimeUnit};

pub static LOGS: TableSpec = TableSpec {
    name: "entries",
    rows: "entries",
    unit: TimeUnit::Ns,
    slice: 3_600_000_000_000,
    columns: &[
        Column::new("ordinal", ColumnType::U32),
        Column::new("line", ColumnType::Text).filter(SkipFilter::Substring),
        Column::new("meta", ColumnType::Attrs).nullable(),
        Column::new("level", ColumnType::Word).nullable(),
    ],
    order: Order::Series(&["ordinal"]),
    identity: &["line", "meta"],
    prefer: &[],
};

pub static SAMPLES: TableSpec = TableSpec {
    name: "points",
    rows: "points",
    unit: TimeUnit::Ms,
    slice: 7_200_000,
    columns: &[Column::new("value", ColumnType::F64), Column::new("shape", ColumnType::Bytes).nullable()],
    order: Order::Series(&[]),
    identity: &[],
    prefer: &[Prefer::Present("shape"), Prefer::NotBits("value", 0x7ff0_0000_0000_0002), Prefer::Greater("value")],
};

pub static SPANS: TableSpec = TableSpec {
    name: "steps",
    rows: "steps",
    unit: TimeUnit::Ns,
    slice: 900_000_000_000,
    columns: &[
        Column::new("trace", ColumnType::Fixed(16)).filter(SkipFilter::Value),
        Column::new("id", ColumnType::Fixed(2)),
        Column::new("parent", ColumnType::Fixed(2)).nullable(),
        Column::new("name", ColumnType::Word),
        Column::new("kind", ColumnType::U8),
        Column::new("took", ColumnType::I64),
        Column::new("attrs", ColumnType::Attrs).nullable(),
    ],
    order: Order::Key("trace"),
    identity: &["trace", "id", "kind"],
    prefer: &[Prefer::Longer("attrs"), Prefer::Greater("took")],
};

/// Unlike the others: milliseconds, a numeric key, a nullable double, no preference.
pub static TOY: TableSpec = TableSpec {
    name: "toy",
    rows: "rows",
    unit: TimeUnit::Ms,
    slice: 86_400_000 / 4,
    columns: &[
        Column::new("note", ColumnType::Text).nullable().filter(SkipFilter::Value),
        Column::new("number", ColumnType::I64),
        Column::new("weight", ColumnType::F64).nullable(),
    ],
    order: Order::Key("number"),
    identity: &["number", "note"],
    prefer: &[],
};

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
}

impl Cell {
    pub fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Null, Cell::Null) => Ordering::Equal,
            (Cell::Null, _) => Ordering::Less,
            (_, Cell::Null) => Ordering::Greater,
            (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
            (Cell::Double(a), Cell::Double(b)) => a.total_cmp(b),
            (Cell::Bytes(a), Cell::Bytes(b)) => a.cmp(b),
            _ => panic!("cells of different types"),
        }
    }
    fn same(&self, other: &Cell) -> bool {
        self.order(other) == Ordering::Equal
    }
}

/// A row of a table; `cells` are its payload columns.
#[derive(Clone, Debug)]
pub struct Row {
    pub tenant: Tenant,
    pub number: u32,
    pub series: Labels,
    pub time: i64,
    pub cells: Vec<Cell>,
}

/// A row of an answer.
#[derive(Clone, Debug)]
pub struct Found {
    pub series: Labels,
    pub time: i64,
    pub cells: Vec<Cell>,
}

impl PartialEq for Found {
    fn eq(&self, o: &Found) -> bool {
        self.series == o.series
            && self.time == o.time
            && self.cells.len() == o.cells.len()
            && self.cells.iter().zip(&o.cells).all(|(a, b)| a.same(b))
    }
}

fn array(c: &Column, cells: &[&Cell]) -> ArrayRef {
    let int = |c: &Cell| if let Cell::Int(i) = c { Some(*i) } else { None };
    let bytes = |c: &Cell| if let Cell::Bytes(b) = c { Some(b.clone()) } else { None };
    match c.ty {
        ColumnType::U8 => Arc::new(cells.iter().map(|c| int(c).map(|i| i as u8)).collect::<UInt8Array>()),
        ColumnType::U32 => Arc::new(cells.iter().map(|c| int(c).map(|i| i as u32)).collect::<UInt32Array>()),
        ColumnType::I64 => Arc::new(cells.iter().map(|c| int(c)).collect::<Int64Array>()),
        ColumnType::F64 => Arc::new(cells.iter().map(|c| if let Cell::Double(d) = c { Some(*d) } else { None }).collect::<Float64Array>()),
        ColumnType::Fixed(n) => {
            let mut b = FixedSizeBinaryBuilder::new(n);
            cells.iter().for_each(|c| match bytes(c) {
                Some(v) => b.append_value(v).unwrap(),
                None => b.append_null(),
            });
            Arc::new(b.finish())
        }
        ColumnType::Text | ColumnType::Word => {
            let mut b = StringViewBuilder::new();
            cells.iter().for_each(|c| b.append_option(bytes(c).map(|v| String::from_utf8(v).unwrap())));
            Arc::new(b.finish())
        }
        ColumnType::Bytes | ColumnType::Attrs => {
            let mut b = BinaryViewBuilder::new();
            cells.iter().for_each(|c| b.append_option(bytes(c)));
            Arc::new(b.finish())
        }
    }
}

/// Rows as a batch in the table's schema.
pub fn batch(spec: &'static TableSpec, rows: &[&Row]) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.number))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.time))),
    ];
    for (i, c) in spec.columns.iter().enumerate() {
        columns.push(array(c, &rows.iter().map(|r| &r.cells[i]).collect::<Vec<_>>()));
    }
    RecordBatch::try_new(spec.schema(), columns).unwrap()
}

fn cell(a: &ArrayRef, i: usize) -> Cell {
    if a.is_null(i) {
        return Cell::Null;
    }
    match a.data_type() {
        DataType::UInt8 => Cell::Int(a.as_primitive::<UInt8Type>().value(i).into()),
        DataType::UInt32 => Cell::Int(a.as_primitive::<UInt32Type>().value(i).into()),
        DataType::Int64 => Cell::Int(a.as_primitive::<Int64Type>().value(i)),
        DataType::Float64 => Cell::Double(a.as_primitive::<Float64Type>().value(i)),
        DataType::FixedSizeBinary(_) => Cell::Bytes(a.as_fixed_size_binary().value(i).to_vec()),
        DataType::Utf8View => Cell::Bytes(a.as_string_view().value(i).as_bytes().to_vec()),
        DataType::BinaryView => Cell::Bytes(a.as_binary_view().value(i).to_vec()),
        other => panic!("{other}"),
    }
}

fn ordered(q: &ScanRequest, slice: i64, next: i64) -> bool {
    if q.direction == Direction::Forward { slice <= next } else { slice >= next }
}

/// All rows of a stream, having checked its promises about batches and slices.
pub fn collect(q: &ScanRequest, stream: RowStream) -> Result<Vec<Found>> {
    assert!(stream.series.is_sorted());
    let mut out = vec![];
    let mut last_slice = None;
    for b in stream.batches {
        let b = b?;
        assert!(b.num_rows() > 0);
        if let Some(stretches) = crate::stretches(&b) {
            assert!(q.stretches);
            for s in stretches {
                let series = &stream.series[s.series as usize];
                let slice = q.table.slice_of(s.first);
                assert!(s.values.len() == 1 || s.step > 0);
                assert!(q.table.slice_of(s.last()) == slice && last_slice.replace(slice).is_none_or(|l| ordered(q, l, slice)));
                assert!(!s.are_finite || s.values.iter().all(|v| v.is_finite()));
                out.extend(s.values.iter().enumerate().map(|(i, v)| {
                    let mut cells = vec![Cell::Null; q.columns.len()];
                    cells[0] = Cell::Double(*v);
                    Found { series: series.clone(), time: s.first + s.step * i as i64, cells }
                }));
            }
            continue;
        }
        let names: Vec<_> = b.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["series", q.table.time()].iter().chain(&q.columns).map(|s| s.to_string()).collect::<Vec<_>>());
        let times = b.column(1).as_primitive::<Int64Type>();
        let slice = q.table.slice_of(times.value(0));
        assert!(times.values().iter().all(|t| q.table.slice_of(*t) == slice));
        assert!(last_slice.replace(slice).is_none_or(|l| ordered(q, l, slice)));
        for i in 0..b.num_rows() {
            out.push(Found {
                series: stream.series[b.column(0).as_primitive::<UInt32Type>().value(i) as usize].clone(),
                time: times.value(i),
                cells: b.columns()[2..].iter().map(|c| cell(c, i)).collect(),
            });
        }
    }
    Ok(out)
}

fn at(spec: &TableSpec, name: &str) -> usize {
    spec.columns.iter().position(|c| c.name == name).unwrap()
}

fn whole_order(spec: &TableSpec, a: &Row, b: &Row) -> Ordering {
    let first = match spec.order {
        Order::Series(then) => {
            let then = then.iter().map(|c| a.cells[at(spec, c)].order(&b.cells[at(spec, c)])).find(|o| o.is_ne());
            a.series.cmp(&b.series).then(a.time.cmp(&b.time)).then(then.unwrap_or(Ordering::Equal))
        }
        Order::Key(key) => a.cells[at(spec, key)].order(&b.cells[at(spec, key)]).then(a.time.cmp(&b.time)),
    };
    let cells = a.cells.iter().zip(&b.cells).map(|(x, y)| x.order(y)).find(|o| o.is_ne());
    first.then(cells.unwrap_or(Ordering::Equal)).then(a.series.cmp(&b.series))
}

fn preferred(spec: &TableSpec, a: &Row, b: &Row) -> Ordering {
    for p in spec.prefer {
        let len = |c: &Cell| if let Cell::Bytes(b) = c { b.len() } else { 0 };
        let bits = |c: &Cell, bits: u64| matches!(c, Cell::Double(d) if d.to_bits() == bits);
        let o = match p {
            Prefer::Present(c) => (b.cells[at(spec, c)] != Cell::Null).cmp(&(a.cells[at(spec, c)] != Cell::Null)),
            Prefer::NotBits(c, x) => bits(&a.cells[at(spec, c)], *x).cmp(&bits(&b.cells[at(spec, c)], *x)),
            Prefer::Longer(c) => len(&b.cells[at(spec, c)]).cmp(&len(&a.cells[at(spec, c)])),
            Prefer::Greater(c) => b.cells[at(spec, c)].order(&a.cells[at(spec, c)]),
        };
        if o.is_ne() {
            return o;
        }
    }
    whole_order(spec, a, b)
}

fn satisfies(spec: &TableSpec, p: &Predicate, r: &Row) -> bool {
    match p {
        Predicate::And(all) => all.iter().all(|p| satisfies(spec, p, r)),
        Predicate::Or(any) => any.iter().any(|p| satisfies(spec, p, r)),
        Predicate::Not(p) => !satisfies(spec, p, r),
        Predicate::Equals(c, want) => matches!(&r.cells[at(spec, c)], Cell::Bytes(b) if b == want),
        Predicate::Contains(c, n) => matches!(&r.cells[at(spec, c)], Cell::Bytes(b) if n.is_empty() || b.windows(n.len()).any(|w| w == n)),
        Predicate::Regex(..) => panic!("not tried here"),
        Predicate::Between(c, lo, hi) => match &r.cells[at(spec, c)] {
            Cell::Int(i) => *i as f64 >= *lo && *i as f64 <= *hi,
            Cell::Double(d) => d >= lo && d <= hi,
            _ => false,
        },
    }
}

/// What a scan must answer, by brute force.
pub fn oracle<'a>(q: &ScanRequest, rows: impl Iterator<Item = &'a Row>) -> Vec<Found> {
    let spec = q.table;
    let mut copies: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for r in rows.filter(|r| r.tenant == q.tenant) {
        let identity: Vec<&Cell> = spec.identity.iter().map(|c| &r.cells[at(spec, c)]).collect();
        let id = match spec.order {
            Order::Series(_) => format!("{:?} {} {identity:?}", r.series, r.time),
            Order::Key(_) => format!("{} {identity:?}", spec.slice_of(r.time)),
        };
        copies.entry(id).or_default().push(r);
    }
    let mut kept: Vec<&Row> = copies
        .into_values()
        .map(|mut c| {
            c.sort_by(|a, b| preferred(spec, a, b));
            c[0]
        })
        .collect();
    kept.retain(|r| {
        q.range.contains(r.time)
            && q.matchers.iter().all(|m| m.matches(&r.series))
            && q.predicate.as_ref().is_none_or(|p| satisfies(spec, p, r))
    });
    let slice = |r: &Row| if q.direction == Direction::Forward { spec.slice_of(r.time) } else { -spec.slice_of(r.time) };
    kept.sort_by(|a, b| slice(a).cmp(&slice(b)).then_with(|| whole_order(spec, a, b)));
    let cells = |r: &Row| q.columns.iter().map(|c| r.cells[at(spec, c)].clone()).collect();
    kept.into_iter().map(|r| Found { series: r.series.clone(), time: r.time, cells: cells(r) }).collect()
}

/// Collects reports of damage.
#[derive(Default)]
pub struct Losses(Mutex<Vec<LostRows>>);

impl Damage for Losses {
    fn lost(&self, what: LostRows) {
        self.0.lock().push(what);
    }
}

impl Losses {
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }
    pub fn take(&self) -> Vec<LostRows> {
        std::mem::take(&mut self.0.lock())
    }
}
