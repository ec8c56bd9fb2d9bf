//! Any text as a LogQL query: it is read or refused, what was read prints to a text that reads back to the same, and it can be
//! asked of a few lines without a panic.
#![no_main]

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringViewArray, UInt32Array};
use base::{Labels, Tenant};
use libfuzzer_sys::fuzz_target;
use logs::query::{Context, RangeQuery, Settings};
use table::{Cancel, Direction, MemoryRows};

/// Lines of the kinds that parsers know.
const LINES: [&str; 3] = [
    r#"{"a":{"b":[1,{"c":"x"}]},"ms":12,"status":500}"#,
    r#"level=info msg="two words" ms=5ms size=2KiB"#,
    "10.0.0.1 - - \"GET /x HTTP/1.1\" 200 \u{1b}[31mred\u{1b}[0m",
];

fn rows() -> &'static MemoryRows {
    static ROWS: std::sync::OnceLock<MemoryRows> = std::sync::OnceLock::new();
    ROWS.get_or_init(|| {
        let rows = MemoryRows::default();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![0; 3])),
            Arc::new(Int64Array::from(vec![1_000_000_000, 2_000_000_000, 3_000_000_000])),
            Arc::new(UInt32Array::from(vec![0, 1, 2])),
            Arc::new(StringViewArray::from(LINES.to_vec())),
            Arc::new(BinaryViewArray::from(vec![None::<&[u8]>; 3])),
            Arc::new(StringViewArray::from(vec![Some("error"), Some("info"), None])),
        ];
        let batch = RecordBatch::try_new(logs::SPEC.schema(), columns).expect("the schema of the table");
        let labels = Labels::from_pairs([("app", "web"), ("pod", "p")]).expect("labels");
        rows.append(&logs::SPEC, Tenant::default(), labels, batch);
        rows
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(tree) = logs::logql::parse(text) {
        let printed = tree.to_string();
        match logs::logql::parse(&printed) {
            Ok(back) => assert_eq!(back, tree, "{printed}"),
            Err(e) => panic!("{text:?} prints to {printed:?}, which is refused: {e}"),
        }
    }
    let (tenant, cancel, settings) = (Tenant::default(), Cancel::default(), Settings::default());
    let context = Context { rows: rows(), tenant: &tenant, cancel: &cancel, settings: &settings, now_ns: 5_000_000_000, erased: &[] };
    let _ = logs::query::instant(context, text, 4_000_000_000);
    let q = RangeQuery {
        query: text,
        start_ns: 0,
        end_ns: 4_000_000_000,
        step_ns: 1_000_000_000,
        interval_ns: 0,
        limit: 10,
        direction: Direction::Backward,
    };
    let _ = logs::query::range(context, &q);
});
