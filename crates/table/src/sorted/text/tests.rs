use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;

use super::*;

fn array(texts: &[String]) -> ArrayRef {
    let mut b = StringViewBuilder::new();
    texts.iter().for_each(|t| b.append_value(t));
    Arc::new(b.finish())
}

/// Writes batches as the column of a file, and reads them again with Parquet's own reader.
fn there_and_back(batches: &[Vec<String>], compressed: bool) -> Vec<String> {
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, false)]));
    let parquet = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let mut file = SerializedFileWriter::new(vec![], parquet.root_schema_ptr(), Arc::new(WriterProperties::default())).unwrap();
    let mut press = None;
    // Two row groups, the second with what the first has left.
    for half in batches.chunks(batches.len().div_ceil(2).max(1)) {
        let descr = parquet.column(0);
        let mut column = match compressed {
            true => TextColumn::compressed(descr, press.take().unwrap_or_else(|| Press::new(true).unwrap())),
            false => TextColumn::plain(descr),
        };
        half.iter().for_each(|b| column.write(&array(b)).unwrap());
        let mut group = file.next_row_group().unwrap();
        press = column.finish(&mut group).unwrap().1;
        group.close().unwrap();
    }
    let bytes = Bytes::from(file.into_inner().unwrap());
    let options = ArrowReaderOptions::new().with_schema(schema);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap().build().unwrap();
    let read: Vec<RecordBatch> = reader.map(|b| b.unwrap()).collect();
    read.iter().flat_map(|b| b.column(0).as_string_view().iter().map(|v| v.unwrap().to_string())).collect()
}

fn check(batches: &[Vec<String>]) {
    for compressed in [false, true] {
        assert_eq!(there_and_back(batches, compressed), batches.concat(), "compressed: {compressed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_written_is_read(batches in prop::collection::vec(prop::collection::vec(".{0,300}", 0..300), 0..6)) {
        check(&batches);
    }

    #[test]
    fn lengths_of_any_size_are_read(lengths in prop::collection::vec(prop_oneof![0usize..20, 0usize..70_000], 0..200)) {
        check(&[lengths.iter().map(|n| "é".repeat(*n / 2)).collect()]);
    }
}

#[test]
fn pages_end_where_they_are_full() {
    // More than a page in one batch; pages of more lines than their lengths have room for; a text larger than a page.
    check(&[(0..5000).map(|i| format!("{i} {}", "text ".repeat(100))).collect(), vec!["x".repeat(3 * TEXT_PAGE_BYTES), "y".into()]]);
    check(&[(0..200_000u32).map(|i| "z".repeat((base::hash::hash64(&i.to_le_bytes()) % 5) as usize)).collect()]);
    check(&[vec![String::new(); TEXT_PAGE_ROWS + 1]]);
    check(&[(0..2000u32).map(|i| "w".repeat((base::hash::hash64(&i.to_le_bytes()) % 1000) as usize)).collect(), vec![]]);
    check(&[]);
}

#[test]
fn text_with_nulls_is_not_for_this_writer() {
    let schema = Schema::new(vec![Field::new("line", DataType::Utf8View, false)]);
    let parquet = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let nulls: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
    assert!(TextColumn::plain(parquet.column(0)).write(&nulls).is_err());
}
