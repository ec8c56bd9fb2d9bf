//! What is sent comes back the same, and damage is an error: of every message, at every byte.

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt8Array, UInt32Array};
use base::{Labels, MatchOp, Matcher, RegexRoom, Tenant};
use bytes::Bytes;
use proptest::prelude::*;
use table::{BlockRef, Column, ColumnType, Commits, Direction, Lack, Order, Predicate, ScanRequest, TableSpec, TimeRange, TimeUnit};

use super::message::{self, End, Head, Kind, close, open};
use super::{decode_anything, request, rows};
use crate::limits;
use crate::transport::NodeId;

/// A column of every type.
static ALL: TableSpec = TableSpec {
    name: "all",
    rows: "rows",
    unit: TimeUnit::Ns,
    slice: 3_600_000_000_000,
    columns: &[
        Column::new("small", ColumnType::U8).nullable(),
        Column::new("number", ColumnType::U32),
        Column::new("big", ColumnType::I64).nullable(),
        Column::new("double", ColumnType::F64).nullable(),
        Column::new("id", ColumnType::Fixed(5)).nullable(),
        Column::new("text", ColumnType::Text),
        Column::new("word", ColumnType::Word).nullable(),
        Column::new("bytes", ColumnType::Bytes).nullable(),
    ],
    order: Order::Series(&["number"]),
    identity: &["text"],
    prefer: &[],
};

type Row = (u32, i64, Option<u8>, u32, Option<i64>, Option<f64>, Option<[u8; 5]>, String, Option<String>, Option<Vec<u8>>);

fn batch(r: &[Row]) -> RecordBatch {
    let mut id = FixedSizeBinaryBuilder::new(5);
    let (mut text, mut word, mut bytes) = (StringViewBuilder::new(), StringViewBuilder::new(), BinaryViewBuilder::new());
    for x in r {
        match x.6 {
            Some(v) => id.append_value(v).unwrap(),
            None => id.append_null(),
        }
        text.append_value(&x.7);
        word.append_option(x.8.as_deref());
        bytes.append_option(x.9.as_deref());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(r.iter().map(|x| x.0).collect::<UInt32Array>()),
        Arc::new(r.iter().map(|x| x.1).collect::<Int64Array>()),
        Arc::new(r.iter().map(|x| x.2).collect::<UInt8Array>()),
        Arc::new(r.iter().map(|x| x.3).collect::<UInt32Array>()),
        Arc::new(r.iter().map(|x| x.4).collect::<Int64Array>()),
        Arc::new(r.iter().map(|x| x.5).collect::<Float64Array>()),
        Arc::new(id.finish()),
        Arc::new(text.finish()),
        Arc::new(word.finish()),
        Arc::new(bytes.finish()),
    ];
    let fields = ALL.schema();
    // A column that must have all values is built without a place for missing ones.
    RecordBatch::try_new(fields, columns).unwrap()
}

fn sent(b: &RecordBatch) -> Vec<Bytes> {
    let mut out = vec![];
    rows::encode(b, &mut |m| {
        out.push(m);
        Ok(())
    })
    .unwrap();
    out
}

fn random_rows() -> impl Strategy<Value = Vec<Row>> {
    let text = || prop_oneof![".{0,4}", ".{0,40}"];
    let numbers = (any::<u32>(), any::<i64>(), any::<Option<u8>>(), any::<u32>(), any::<Option<i64>>(), any::<Option<f64>>());
    let rest = (any::<Option<[u8; 5]>>(), text(), prop::option::of(text()), prop::option::of(prop::collection::vec(any::<u8>(), 0..40)));
    prop::collection::vec((numbers, rest).prop_map(|(n, r)| (n.0, n.1, n.2, n.3, n.4, n.5, r.0, r.1, r.2, r.3)), 0..60)
}

fn scan() -> ScanRequest {
    let matchers = vec![
        Matcher::eq("a", "b"),
        Matcher::new("c", MatchOp::Ne, "").unwrap(),
        Matcher::with_pattern("d", MatchOp::Re, "\\d", "[0-9]", &mut RegexRoom::default()).unwrap(),
        Matcher::new("e", MatchOp::NotRe, "x|y").unwrap(),
    ];
    let mut q = ScanRequest::new(&ALL, Tenant::new("anna").unwrap(), matchers, TimeRange { start: -5, end: i64::MAX });
    q.direction = Direction::Backward;
    q.predicate = Some(Predicate::And(vec![
        Predicate::Or(vec![Predicate::Equals("id".into(), vec![0xff; 5]), Predicate::Contains("text".into(), b"\xfe".to_vec())]),
        Predicate::Not(Box::new(Predicate::matching("text", "(?i)a.b").unwrap())),
        Predicate::Between("double".into(), f64::NEG_INFINITY, -0.0),
    ]));
    q
}

#[test]
fn a_request_comes_back_as_it_was_and_damage_never_panics() {
    let q = scan();
    let bytes = request::encode(&q, NodeId(5), 77);
    let got = request::decode(&bytes, &[&ALL]).unwrap();
    let form = |q: &ScanRequest| {
        let patterns: Vec<Option<String>> = q.matchers.iter().map(|m| m.pattern().map(str::to_owned)).collect();
        format!("{} {} {:?} {patterns:?} {:?} {:?} {:?}", q.table.name, q.tenant, q.matchers, q.range, q.predicate, q.direction)
    };
    assert_eq!((form(&got.scan), got.whom, got.known), (form(&q), NodeId(5), 77));
    for i in 0..bytes.len() {
        assert!(request::decode(&bytes[..i], &[&ALL]).is_err(), "cut at {i}");
        let mut b = bytes.clone();
        b[i] ^= 0xff;
        drop(request::decode(&b, &[&ALL]));
    }
    assert!(request::decode(&bytes, &[]).is_err(), "an unknown table");
}

#[test]
fn a_condition_beyond_the_bounds_stays_at_home() {
    let mut q = scan();
    let deep = (0..limits::PREDICATE_DEPTH).fold(Predicate::Between("number".into(), 0.0, 1.0), |p, _| Predicate::Not(Box::new(p)));
    for p in [deep, Predicate::Contains("text".into(), vec![0; limits::READ_REQUEST_BYTES / 2])] {
        q.predicate = Some(p);
        assert!(request::decode(&request::encode(&q, NodeId(5), 0), &[&ALL]).unwrap().scan.predicate.is_none());
    }
    let mut bytes = request::encode(&scan(), NodeId(5), 0);
    let nested = [3; 100_000];
    bytes.truncate(bytes.len() - 60);
    bytes.extend_from_slice(&nested);
    assert!(request::decode(&bytes, &[&ALL]).is_err());
}

#[test]
fn long_batches_are_cut_and_packed() {
    let row = |i: usize| (0, i as i64, None, 7, Some(i as i64), Some(0.5), None, format!("{i:06} {}", "line ".repeat(20)), None, None);
    let b = batch(&(0..30_000).map(row).collect::<Vec<Row>>());
    // Of a batch that looks into another one, only its own rows travel.
    let messages = sent(&b.slice(1, 29_000));
    assert!(messages.len() > 2);
    assert!(messages.iter().all(|m| m.len() < limits::MESSAGE_TARGET_BYTES / 4), "text of this kind packs well");
    let got: Vec<RecordBatch> = messages.into_iter().map(|m| rows::decode(&ALL, &open(m).unwrap()).unwrap()).collect();
    assert_eq!(arrow_select::concat::concat_batches(&ALL.schema(), &got).unwrap(), b.slice(1, 29_000));
}

#[test]
fn heads_ends_and_series_come_back_and_a_flipped_bit_is_found() {
    let block = BlockRef { table: "all".into(), tenant: "anna".into(), day: -3, id: "b0".into() };
    let commits = Commits { version: 9, blocks: vec![block], reset: true };
    let head = Head { series: 5, commits: commits.clone() };
    let end = End { rows: 3, lacks: vec![Lack { whose: "a".into(), why: "b".into(), since_ns: None }] };
    let labels: Vec<Labels> = ["a", "b", "c"].iter().map(|v| Labels::from_pairs([("n", v)]).unwrap()).collect();
    let mut series = vec![];
    message::encode_series(&labels, &mut |m| {
        series.push(m);
        Ok(())
    })
    .unwrap();
    let listing = message::encode_listing(&commits, &labels).unwrap();
    assert_eq!(Head::decode(&open(head.encode()).unwrap()).unwrap(), head);
    assert_eq!(End::decode(&open(end.encode()).unwrap()).unwrap(), end);
    assert_eq!(message::decode_series(&open(series[0].clone()).unwrap()).unwrap(), labels);
    assert_eq!(message::decode_listing(&open(listing.clone()).unwrap()).unwrap(), (commits, labels));
    for m in [head.encode(), end.encode(), series[0].clone(), listing] {
        for bit in 0..m.len() * 8 {
            let mut b = m.to_vec();
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b.into()).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_packed_message_cannot_grow_without_bound() {
    let mut bomb = vec![Kind::Rows as u8 | 0x80];
    bomb.extend_from_slice(&u32::MAX.to_le_bytes());
    bomb.extend_from_slice(&zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap());
    let crc = crc32c::crc32c(&bomb);
    bomb.extend_from_slice(&crc.to_le_bytes());
    assert!(open(bomb.into()).is_err());
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(r in random_rows(), from in 0usize..10) {
        let b = batch(&r);
        let b = b.slice(from.min(b.num_rows()), b.num_rows() - from.min(b.num_rows()));
        let messages = sent(&b);
        prop_assert_eq!(messages.len(), 1);
        let got = rows::decode(&ALL, &open(messages[0].clone()).unwrap()).unwrap();
        // By bits: a NaN is not equal to itself.
        prop_assert_eq!(format!("{got:?}"), format!("{b:?}"));
    }

    #[test]
    fn damaged_rows_behind_a_good_checksum_never_panic(r in random_rows(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>()) {
        let m = open(sent(&batch(&r))[0].clone()).unwrap();
        let mut bytes = m.payload.to_vec();
        let i = at.index(bytes.len());
        bytes[i] = to;
        if cut {
            bytes.truncate(i);
        }
        drop(rows::decode(&ALL, &open(close(Kind::Rows, &bytes)).unwrap()));
    }

    #[test]
    fn anything_is_an_error_or_a_message(input in prop::collection::vec(any::<u8>(), 0..200), small in prop::collection::vec(0u8..3, 0..200)) {
        decode_anything(&[&ALL], &input);
        // Small numbers lead deeper: they count things that are there.
        decode_anything(&[&ALL], &small);
    }
}
