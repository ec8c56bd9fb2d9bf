//! Row predicates as data: evaluated inside a scan, used for pruning, and one day sent to another node.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::DataType;
use base::{Error, Result};

/// A condition on the payload columns of a row. A missing value satisfies no comparison.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
    /// Not.
    Not(Box<Predicate>),
    /// The column's bytes are exactly these (text, bytes, fixed).
    Equals(String, Vec<u8>),
    /// The column's bytes contain these (text, bytes).
    Contains(String, Vec<u8>),
    /// The text matches this pattern anywhere.
    Regex(String, regex::bytes::Regex),
    /// The number lies in `[from, to]`.
    Between(String, f64, f64),
}

impl Predicate {
    /// [`Predicate::Regex`] with a pattern in the syntax of the `regex` crate, compiled as all of them are.
    pub fn matching(column: impl Into<String>, pattern: &str) -> Result<Predicate> {
        let mut builder = regex::bytes::RegexBuilder::new(pattern);
        let regex = builder.size_limit(base::limits::REGEX_COMPILED_BYTES).build();
        let regex = regex.map_err(|e| Error::invalid(format!("regular expression {pattern:?} is not valid: {e}")))?;
        Ok(Predicate::Regex(column.into(), regex))
    }

    /// Names of the columns it reads.
    pub fn columns<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Predicate::And(p) | Predicate::Or(p) => p.iter().for_each(|p| p.columns(out)),
            Predicate::Not(p) => p.columns(out),
            Predicate::Equals(c, _) | Predicate::Contains(c, _) | Predicate::Regex(c, _) | Predicate::Between(c, ..) => {
                if !out.contains(&c.as_str()) {
                    out.push(c);
                }
            }
        }
    }

    /// Which rows of `batch` satisfy it.
    pub fn eval(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let n = batch.num_rows();
        let column = |name: &str| -> Result<&ArrayRef> {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("predicate reads column {name:?}, which the batch does not have")))
        };
        Ok(match self {
            Predicate::And(ps) => fold(n, true, ps, batch, |a, b| a && b)?,
            Predicate::Or(ps) => fold(n, false, ps, batch, |a, b| a || b)?,
            Predicate::Not(p) => p.eval(batch)?.iter().map(|v| Some(!v.unwrap_or(false))).collect(),
            Predicate::Equals(c, want) => bytes_test(column(c)?, |b| b == want.as_slice())?,
            Predicate::Contains(c, needle) => {
                let finder = memchr::memmem::Finder::new(needle);
                bytes_test(column(c)?, |b| finder.find(b).is_some())?
            }
            Predicate::Regex(c, re) => bytes_test(column(c)?, |b| re.is_match(b))?,
            Predicate::Between(c, lo, hi) => number_test(column(c)?, |v| v >= *lo && v <= *hi)?,
        })
    }
}

fn fold(n: usize, start: bool, ps: &[Predicate], batch: &RecordBatch, op: impl Fn(bool, bool) -> bool) -> Result<BooleanArray> {
    let mut acc = vec![start; n];
    for p in ps {
        let one = p.eval(batch)?;
        for (a, i) in acc.iter_mut().zip(0..) {
            *a = op(*a, one.is_valid(i) && one.value(i));
        }
    }
    Ok(acc.into())
}

fn bytes_test(a: &ArrayRef, test: impl Fn(&[u8]) -> bool) -> Result<BooleanArray> {
    let n = a.len();
    let run = |get: &dyn Fn(usize) -> bool| (0..n).map(|i| a.is_valid(i) && get(i)).map(Some).collect();
    Ok(match a.data_type() {
        DataType::Utf8View => {
            let s = a.as_string_view();
            run(&|i| test(s.value(i).as_bytes()))
        }
        DataType::BinaryView => {
            let s = a.as_binary_view();
            run(&|i| test(s.value(i)))
        }
        DataType::FixedSizeBinary(_) => {
            let s = a.as_fixed_size_binary();
            run(&|i| test(s.value(i)))
        }
        other => return Err(Error::internal(format!("a bytes predicate cannot read a column of type {other}"))),
    })
}

fn number_test(a: &ArrayRef, test: impl Fn(f64) -> bool) -> Result<BooleanArray> {
    let n = a.len();
    let run = |get: &dyn Fn(usize) -> f64| (0..n).map(|i| a.is_valid(i) && test(get(i))).map(Some).collect();
    Ok(match a.data_type() {
        DataType::UInt8 => run(&|i| f64::from(a.as_primitive::<UInt8Type>().value(i))),
        DataType::UInt32 => run(&|i| f64::from(a.as_primitive::<UInt32Type>().value(i))),
        DataType::Int64 => run(&|i| a.as_primitive::<Int64Type>().value(i) as f64),
        DataType::Float64 => run(&|i| a.as_primitive::<Float64Type>().value(i)),
        other => return Err(Error::internal(format!("a number predicate cannot read a column of type {other}"))),
    })
}
