//! Columns without any value.
//!
//! Of optional columns most are blank: a sample of a float has no histogram and no start of counting. As arrays they were 24
//! of its 44 bytes, written and copied at each step. So they share one array of each type, however many batches they are in.

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::DataType;
use parking_lot::RwLock;

use super::limits::BLANK_ROWS;

/// Whether a column has no value.
pub fn is_blank(column: &ArrayRef) -> bool {
    column.null_count() == column.len()
}

/// A column of `rows` nulls. Up to [`BLANK_ROWS`] it is part of an array that all share; a longer one takes memory of its own.
pub fn blank(ty: &DataType, rows: usize) -> ArrayRef {
    static SHARED: RwLock<Vec<ArrayRef>> = RwLock::new(vec![]);
    if rows > BLANK_ROWS {
        return new_null_array(ty, rows);
    }
    let slice = |all: &[ArrayRef]| all.iter().find(|a| a.data_type() == ty).map(|a| a.slice(0, rows));
    if let Some(found) = slice(&SHARED.read()) {
        return found;
    }
    let mut all = SHARED.write();
    slice(&all).unwrap_or_else(|| {
        let new = new_null_array(ty, BLANK_ROWS);
        all.push(new.clone());
        new.slice(0, rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_shared_up_to_a_bound() {
        for ty in [DataType::Int64, DataType::BinaryView, DataType::FixedSizeBinary(16), DataType::Utf8View] {
            let (a, b) = (blank(&ty, 7), blank(&ty, BLANK_ROWS));
            assert!((a.len(), b.len()) == (7, BLANK_ROWS) && is_blank(&a) && is_blank(&b) && a.data_type() == &ty);
            let at = |a: &ArrayRef| a.to_data().buffers()[0].as_ptr();
            assert_eq!(at(&a), at(&b), "{ty}: one array");
            let long = blank(&ty, BLANK_ROWS + 1);
            assert!(is_blank(&long) && long.len() == BLANK_ROWS + 1 && at(&long) != at(&a));
        }
    }
}
