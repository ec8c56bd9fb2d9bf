//! A table described as data: its columns, its order, what makes two rows the same row.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Name of the first column of every batch: the number of the row's series (`UInt32`).
pub const SERIES: &str = "series";

/// The unit of a table's time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Nanoseconds; the column is `time_ns`.
    Ns,
    /// Milliseconds; the column is `time_ms`.
    Ms,
}

impl TimeUnit {
    /// Units in a day, which is how blocks are partitioned.
    pub const fn day(self) -> i64 {
        match self {
            TimeUnit::Ns => 86_400_000_000_000,
            TimeUnit::Ms => 86_400_000,
        }
    }
    /// Converts nanoseconds to this unit.
    pub const fn from_ns(self, ns: i64) -> i64 {
        match self {
            TimeUnit::Ns => ns,
            TimeUnit::Ms => ns.div_euclid(1_000_000),
        }
    }
    /// Converts this unit to nanoseconds, saturating.
    pub const fn to_ns(self, t: i64) -> i64 {
        match self {
            TimeUnit::Ns => t,
            TimeUnit::Ms => t.saturating_mul(1_000_000),
        }
    }
}

/// What a payload column holds, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Small number (`UInt8`), run-length encoded.
    U8,
    /// `UInt32`.
    U32,
    /// `Int64`, delta encoded.
    I64,
    /// `Float64` in batches; stored as a decimal mantissa and a scale where that restores the same bits.
    F64,
    /// `FixedSizeBinary(n)`: ids.
    Fixed(i32),
    /// `Utf8View`, large and mostly unique: pages of about 1 MB without dictionary.
    Text,
    /// `Utf8View` with few distinct values: dictionary encoded.
    Word,
    /// `BinaryView`.
    Bytes,
    /// `BinaryView` of encoded attributes (`base::attrs`); frequent keys become columns of their own in blocks.
    Attrs,
}

impl ColumnType {
    /// The type of the column in a batch.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::U8 => DataType::UInt8,
            ColumnType::U32 => DataType::UInt32,
            ColumnType::I64 => DataType::Int64,
            ColumnType::F64 => DataType::Float64,
            ColumnType::Fixed(n) => DataType::FixedSizeBinary(n),
            ColumnType::Text | ColumnType::Word => DataType::Utf8View,
            ColumnType::Bytes | ColumnType::Attrs => DataType::BinaryView,
        }
    }
}

/// How a scan can know that a value is absent without reading the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipFilter {
    /// Statistics only.
    None,
    /// Whole values, for equality.
    Value,
    /// Substrings of text: kept in blocks, for text that every row has.
    Substring,
}

/// A payload column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in batches and files.
    pub name: &'static str,
    /// Type.
    pub ty: ColumnType,
    /// Whether a row may have none.
    pub nullable: bool,
    /// Skip filter.
    pub filter: SkipFilter,
}

impl Column {
    /// A column that every row has, without a skip filter.
    pub const fn new(name: &'static str, ty: ColumnType) -> Self {
        Column { name, ty, nullable: false, filter: SkipFilter::None }
    }
    /// Rows may have none.
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
    /// With a skip filter.
    pub const fn filter(mut self, filter: SkipFilter) -> Self {
        self.filter = filter;
        self
    }
}

/// Order of rows within a time slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Series (label order), time, then these columns: one series is one contiguous stretch.
    Series(&'static [&'static str]),
    /// This column, then time: one value is one contiguous stretch.
    Key(&'static str),
}

/// Which of two rows of one identity is kept. Rules are tried in order; bytes of all columns decide last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The row that has a value in this column.
    Present(&'static str),
    /// The row whose `F64` column does not hold exactly these bits (a marker).
    NotBits(&'static str, u64),
    /// The row whose column is longer.
    Longer(&'static str),
    /// The row whose number is greater.
    Greater(&'static str),
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct TableSpec {
    /// Name: lower case, also in paths.
    pub name: &'static str,
    /// What its rows are called, of several of them; for messages.
    pub rows: &'static str,
    /// Unit of the time column.
    pub unit: TimeUnit,
    /// Width of a time slice, in that unit; divides a day.
    pub slice: i64,
    /// Payload columns, in batch order after `series` and time.
    pub columns: &'static [Column],
    /// Order within a slice.
    pub order: Order,
    /// Columns that make two rows the same row, beside series and time. (`series` and time always belong to it,
    /// except for [`Order::Key`], where only the columns named here do.)
    pub identity: &'static [&'static str],
    /// Which copy of one identity is kept.
    pub prefer: &'static [Prefer],
}

impl TableSpec {
    /// Name of the time column.
    pub const fn time(&self) -> &'static str {
        match self.unit {
            TimeUnit::Ns => "time_ns",
            TimeUnit::Ms => "time_ms",
        }
    }
    /// Schema of a batch of whole rows: `series`, time, then the columns.
    pub fn schema(&self) -> SchemaRef {
        let mut f = vec![Field::new(SERIES, DataType::UInt32, false), Field::new(self.time(), DataType::Int64, false)];
        f.extend(self.columns.iter().map(|c| Field::new(c.name, c.ty.arrow(), c.nullable)));
        Arc::new(Schema::new(f))
    }
    /// The column named `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
    /// Start of the slice that holds `t`.
    pub fn slice_of(&self, t: i64) -> i64 {
        t.div_euclid(self.slice) * self.slice
    }
    /// Number of the day since 1970 that holds `t`.
    pub fn day_of(&self, t: i64) -> i64 {
        t.div_euclid(self.unit.day())
    }
}
