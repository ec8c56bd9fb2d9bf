//! Which rows are the same row, which copy is kept, and the order of rows whose keys are equal.
//!
//! A *group* is all rows of one series and time (or of one key) from all sources. Within it rows of one identity are
//! one row: the spec's rules choose the copy, then the bytes of all columns. What is left is ordered by the spec and
//! then by bytes, so that the same rows come out the same whatever way they came together.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use crate::spec::{Order, Prefer, TableSpec};

/// A row of one of the batches at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    pub batch: u32,
    pub row: u32,
}

/// Compares the series of two rows; needed only where series is neither key nor identity.
pub type SeriesOrder<'a> = &'a dyn Fn(RowRef, RowRef) -> Ordering;

/// The rules of one table over batches that hold all its columns. Tables ordered by series come without the `series`
/// column here, others with it.
pub struct Resolver {
    identity: Vec<usize>,
    // Columns that order rows of equal key, then all others.
    order: Vec<usize>,
    by_series: bool,
    prefer: Vec<(Prefer, usize)>,
}

impl Resolver {
    pub fn new(spec: &'static TableSpec) -> Resolver {
        let by_series = matches!(spec.order, Order::Series(_));
        let base = if by_series { 1 } else { 2 };
        let at = |name: &str| spec.columns.iter().position(|c| c.name == name).map(|i| i + base);
        let mut order: Vec<usize> = match spec.order {
            Order::Series(then) => then.iter().filter_map(|n| at(n)).collect(),
            Order::Key(_) => vec![1],
        };
        let rest: Vec<usize> = (base..base + spec.columns.len()).filter(|c| !order.contains(c)).collect();
        order.extend(rest);
        let column = |p: &Prefer| match p {
            Prefer::Present(c) | Prefer::NotBits(c, _) | Prefer::Longer(c) | Prefer::Greater(c) => at(c),
        };
        let prefer = spec.prefer.iter().filter_map(|p| Some((*p, column(p)?))).collect();
        Resolver { identity: spec.identity.iter().filter_map(|n| at(n)).collect(), order, by_series, prefer }
    }

    /// Orders a group and removes doubles; returns how many.
    pub fn resolve(&self, group: &mut Vec<RowRef>, batches: &[&RecordBatch], series: SeriesOrder<'_>) -> usize {
        let before = group.len();
        if before < 2 {
            return 0;
        }
        group.sort_unstable_by(|a, b| self.same(*a, *b, batches).then_with(|| self.better(*a, *b, batches, series)));
        group.dedup_by(|b, a| self.same(*a, *b, batches) == Ordering::Equal);
        if group.len() > 1 {
            group.sort_unstable_by(|a, b| self.before(*a, *b, batches, series));
        }
        before - group.len()
    }

    fn same(&self, a: RowRef, b: RowRef, batches: &[&RecordBatch]) -> Ordering {
        compare_columns(&self.identity, a, b, batches)
    }

    fn before(&self, a: RowRef, b: RowRef, batches: &[&RecordBatch], series: SeriesOrder<'_>) -> Ordering {
        compare_columns(&self.order, a, b, batches).then_with(|| if self.by_series { Ordering::Equal } else { series(a, b) })
    }

    /// `Less` if `a` is the copy to keep.
    fn better(&self, a: RowRef, b: RowRef, batches: &[&RecordBatch], series: SeriesOrder<'_>) -> Ordering {
        for (rule, column) in &self.prefer {
            let x = (batches[a.batch as usize].column(*column), a.row as usize);
            let y = (batches[b.batch as usize].column(*column), b.row as usize);
            let o = match rule {
                Prefer::Present(_) => y.0.is_valid(y.1).cmp(&x.0.is_valid(x.1)),
                Prefer::NotBits(_, bits) => has_bits(x, *bits).cmp(&has_bits(y, *bits)),
                Prefer::Longer(_) => length(y).cmp(&length(x)),
                Prefer::Greater(_) => compare(y.0, y.1, x.0, x.1),
            };
            if o != Ordering::Equal {
                return o;
            }
        }
        self.before(a, b, batches, series)
    }
}

fn compare_columns(columns: &[usize], a: RowRef, b: RowRef, batches: &[&RecordBatch]) -> Ordering {
    for c in columns {
        let o = compare(batches[a.batch as usize].column(*c), a.row as usize, batches[b.batch as usize].column(*c), b.row as usize);
        if o != Ordering::Equal {
            return o;
        }
    }
    Ordering::Equal
}

fn has_bits((a, i): (&ArrayRef, usize), bits: u64) -> bool {
    a.as_primitive_opt::<Float64Type>().is_some_and(|f| f.is_valid(i) && f.value(i).to_bits() == bits)
}

fn length((a, i): (&ArrayRef, usize)) -> usize {
    if a.is_null(i) {
        return 0;
    }
    match a.data_type() {
        DataType::Utf8View => a.as_string_view().value(i).len(),
        DataType::BinaryView => a.as_binary_view().value(i).len(),
        _ => 1,
    }
}

/// The order of two cells of one column: a missing value first, numbers by value (doubles by their total order),
/// everything else by bytes.
pub fn compare(a: &ArrayRef, i: usize, b: &ArrayRef, j: usize) -> Ordering {
    match (a.is_valid(i), b.is_valid(j)) {
        (true, true) => {}
        (x, y) => return x.cmp(&y),
    }
    match a.data_type() {
        DataType::UInt8 => a.as_primitive::<UInt8Type>().value(i).cmp(&b.as_primitive::<UInt8Type>().value(j)),
        DataType::UInt32 => a.as_primitive::<UInt32Type>().value(i).cmp(&b.as_primitive::<UInt32Type>().value(j)),
        DataType::Int64 => a.as_primitive::<Int64Type>().value(i).cmp(&b.as_primitive::<Int64Type>().value(j)),
        DataType::Float64 => a.as_primitive::<Float64Type>().value(i).total_cmp(&b.as_primitive::<Float64Type>().value(j)),
        DataType::FixedSizeBinary(_) => a.as_fixed_size_binary().value(i).cmp(b.as_fixed_size_binary().value(j)),
        DataType::Utf8View => a.as_string_view().value(i).as_bytes().cmp(b.as_string_view().value(j).as_bytes()),
        DataType::BinaryView => a.as_binary_view().value(i).cmp(b.as_binary_view().value(j)),
        _ => Ordering::Equal,
    }
}
