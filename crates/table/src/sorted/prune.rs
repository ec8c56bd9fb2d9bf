//! What can be known of a predicate before any row is read.
//!
//! Only columns of a row's identity are used: all copies of a row agree on them, so leaving rows out before doubles are
//! removed cannot change which copy is kept.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use base::Error;
use base::hash::hash64;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::data::{DataFile, common};
use super::filter;
use super::grams::{Needle, pages_with};
use super::index::Segment;
use crate::predicate::Predicate;
use crate::spec::{ColumnType, Order, SkipFilter, TableSpec};

/// Conditions that every row of the answer satisfies.
#[derive(Default)]
pub struct Prune {
    // Table column (with `series` and time counted), its value, and whether it is the order's key.
    equal: Vec<(usize, Vec<u8>, bool)>,
    // Table column with a substring filter, and texts of which it contains at least one.
    texts: Vec<(usize, Vec<Needle>)>,
}

impl Prune {
    pub fn new(spec: &'static TableSpec, predicate: Option<&Predicate>) -> Prune {
        let mut p = Prune::default();
        if let Some(predicate) = predicate {
            p.collect(spec, predicate);
        }
        p
    }

    fn collect(&mut self, spec: &'static TableSpec, predicate: &Predicate) {
        match predicate {
            Predicate::And(all) => all.iter().for_each(|p| self.collect(spec, p)),
            Predicate::Equals(column, value) if spec.identity.contains(&column.as_str()) => {
                if let Some(i) = spec.columns.iter().position(|c| c.name == column) {
                    self.equal.push((i + 2, value.clone(), spec.order == Order::Key(spec.columns[i].name)));
                }
            }
            Predicate::Contains(..) | Predicate::Or(_) => {
                let mut needles = vec![];
                if let Some(column) = alternatives(spec, predicate, &mut needles) {
                    self.texts.push((column, needles));
                }
            }
            _ => {}
        }
    }

    /// The rows of a segment's row group in whose pages texts may be that are contained; `None` if nothing is known.
    pub fn pages(&self, data: &DataFile, s: &Segment) -> Option<Vec<Range<u32>>> {
        let mut all: Option<Vec<Range<u32>>> = None;
        for (column, needles) in &self.texts {
            let Some(blob) = data.filter(s, *column) else { continue };
            let rows = data.metadata().row_group(s.row_group as usize).num_rows() as u32;
            match pages_with(&blob, rows, needles) {
                Some(pages) => all = Some(all.map_or_else(|| pages.clone(), |a| common(&a, &pages))),
                None => data.report_filter(s, *column, &Error::corrupt("it cannot be understood")),
            }
        }
        all
    }

    /// Whether skip filters say that a segment has no such row.
    pub fn excludes(&self, data: &DataFile, s: &Segment) -> bool {
        self.equal.iter().any(|(column, value, _)| {
            data.layout.spec.columns[column - 2].filter == SkipFilter::Value
                && data.filter(s, *column).is_some_and(|f| !filter::may_hold(&f, hash64(value)))
        })
    }

    /// The rows of a segment that may be such rows, by the page index of the key; rows of its row group.
    pub fn ranges(&self, data: &DataFile, s: &Segment) -> Vec<Range<u32>> {
        let all = s.first_row..s.first_row + s.rows;
        let Some((column, value, _)) = self.equal.iter().find(|e| e.2) else { return vec![all] };
        let Some(leaf) = data.layout.leaf(*column) else { return vec![all] };
        let group = s.row_group as usize;
        let index = data.metadata().page_index().and_then(|p| p.column_index(group, leaf));
        let Some(ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index)) = index else { return vec![all] };
        let pages = data.pages(group, leaf);
        let mut out: Vec<Range<u32>> = vec![];
        for (i, p) in pages.iter().enumerate() {
            let below = index.max_value(i).is_some_and(|max| max < value.as_slice());
            let above = index.min_value(i).is_some_and(|min| min > value.as_slice());
            let end = pages.get(i + 1).map_or(u32::MAX, |n| n.first_row_index as u32);
            let rows = (p.first_row_index as u32).max(all.start)..end.min(all.end);
            if below || above || rows.start >= rows.end {
                continue;
            }
            match out.last_mut() {
                Some(l) if l.end == rows.start => l.end = rows.end,
                _ => out.push(rows),
            }
        }
        out
    }

    /// Whether an unsorted row may be such a row.
    pub fn may_be_row(&self, batch: &RecordBatch, row: usize) -> bool {
        self.equal.iter().all(|(column, value, _)| {
            let a = batch.column(*column);
            match a.data_type() {
                DataType::FixedSizeBinary(_) => a.is_valid(row) && a.as_fixed_size_binary().value(row) == value.as_slice(),
                _ => true,
            }
        })
    }
}

/// The column that contains one of several texts if the predicate holds, and the texts; `None` if there is no such column or
/// its filters cannot tell.
fn alternatives(spec: &'static TableSpec, predicate: &Predicate, needles: &mut Vec<Needle>) -> Option<usize> {
    match predicate {
        Predicate::Contains(column, needle) if spec.identity.contains(&column.as_str()) => {
            let i = spec.columns.iter().position(|c| c.name == column && c.filter == SkipFilter::Substring)?;
            // Differences of doubles are decoded from the start of a stretch on: such rows cannot be passed over.
            if spec.columns.iter().any(|c| c.ty == ColumnType::F64) {
                return None;
            }
            needles.push(Needle::new(needle)?);
            Some(i + 2)
        }
        // One of them that can tell is enough.
        Predicate::And(all) => all.iter().find_map(|p| {
            let mut mine = vec![];
            let column = alternatives(spec, p, &mut mine)?;
            needles.append(&mut mine);
            Some(column)
        }),
        Predicate::Or(any) => {
            let mut columns = any.iter().map(|p| alternatives(spec, p, needles));
            let first = columns.next()??;
            columns.all(|c| c == Some(first)).then_some(first)
        }
        _ => None,
    }
}
