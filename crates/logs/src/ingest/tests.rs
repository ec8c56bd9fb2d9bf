use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use base::attrs::{self, Value};
use base::{Kind, Labels, Tenant};
use proptest::prelude::*;
use table::{FrameHeader, Refusal, Sink, TableId, TableSpec};
use wire::loki::{PushEntry, PushStream, push_json, push_protobuf};
use wire::otlp::RecordFields;

use super::*;

const NOW: i64 = 1_700_000_000_000_000_000;

/// Keeps what a codec gives it.
#[derive(Default)]
struct Recorder {
    known: HashMap<u128, u32>,
    labels: Vec<Labels>,
    asked: Vec<u32>,
    not_admitted: Vec<u32>,
    refusals: Vec<Refusal>,
    batches: Vec<RecordBatch>,
}

impl Sink for Recorder {
    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        assert_eq!(spec.name, "logs");
        Ok(TableId(7))
    }
    fn series(&mut self, _: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        if let Some(n) = self.known.get(&raw) {
            return Ok(*n);
        }
        self.labels.push(labels()?);
        self.known.insert(raw, self.labels.len() as u32 - 1);
        Ok(self.labels.len() as u32 - 1)
    }
    fn admit(&mut self, ordinal: u32, table: TableId, _: u32, _: u64, _: i64) -> bool {
        assert_eq!(table, TableId(7));
        self.asked.push(ordinal);
        !self.not_admitted.contains(&ordinal)
    }
    fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
    fn rows(&mut self, table: TableId, batch: RecordBatch) {
        assert_eq!(table, TableId(7));
        self.batches.push(batch);
    }
}

/// `labels|time - NOW|ordinal|line|metadata|level`
fn rows(r: &Recorder) -> Vec<String> {
    let mut out = vec![];
    for b in &r.batches {
        assert_eq!(b.schema(), crate::SPEC.schema());
        let line = b.column(3).as_string_view();
        let metadata = b.column(4).as_binary_view();
        let level = b.column(5).as_string_view();
        for i in 0..b.num_rows() {
            let labels = &r.labels[b.column(0).as_primitive::<UInt32Type>().value(i) as usize];
            let pairs: Vec<_> = attrs::iter(if metadata.is_null(i) { &[] } else { metadata.value(i) })
                .map(|(k, v)| match v {
                    Value::Str(s) => format!("{k}={s}"),
                    other => panic!("{other:?}"),
                })
                .collect();
            let time = b.column(1).as_primitive::<Int64Type>().value(i) - NOW;
            let ordinal = b.column(2).as_primitive::<UInt32Type>().value(i);
            out.push(format!("{labels}|{time}|{ordinal}|{}|{}|{}", line.value(i), pairs.join(","), level.value(i)));
        }
    }
    out
}

fn header(codec: u16, options: Options) -> FrameHeader {
    FrameHeader {
        tenant: Tenant::default(),
        received_ns: NOW,
        codec,
        options: options.to_bytes(),
        origin: None,
        refused: vec![],
        rows: None,
    }
}

fn decode_into(sink: &mut Recorder, codec: u16, options: Options, body: &[u8]) -> Result<()> {
    let codec = codecs().into_iter().find(|c| c.id() == codec).unwrap();
    codec.decode(&header(codec.id(), options), &Bytes::copy_from_slice(body), sink)
}

fn decode(codec: u16, options: Options, body: &[u8]) -> Result<Recorder> {
    let mut sink = Recorder::default();
    decode_into(&mut sink, codec, options, body)?;
    Ok(sink)
}

fn plain(codec: u16, body: &[u8]) -> Result<Recorder> {
    decode(codec, Options::default(), body)
}

fn entry(offset: i64, line: &str) -> PushEntry<'_> {
    PushEntry { time_ns: NOW + offset, line, metadata: &[] }
}

fn refusals(r: &Recorder) -> Vec<(u32, &str)> {
    r.refusals.iter().map(|x| (x.ordinal, x.reason)).collect()
}

#[test]
fn a_push_becomes_rows() {
    let streams = [
        PushStream {
            labels: &[("app", "shop"), ("env", "prod")],
            entries: &[
                PushEntry {
                    time_ns: NOW - 5,
                    line: "a line that is longer than an inlined view",
                    metadata: &[("trace_id", "ab"), ("user", "한")],
                },
                entry(-5, "level=warn x"),
                PushEntry { time_ns: NOW, line: "", metadata: &[("detected_level", "ERR")] },
            ],
        },
        PushStream { labels: &[("level", "Dbg")], entries: &[entry(1, "error")] },
    ];
    let want = [
        r#"{app="shop", env="prod", service_name="shop"}|-5|0|a line that is longer than an inlined view|trace_id=ab,user=한|unknown"#,
        r#"{app="shop", env="prod", service_name="shop"}|-5|1|level=warn x||warn"#,
        r#"{app="shop", env="prod", service_name="shop"}|0|2|||error"#,
        r#"{level="Dbg", service_name="unknown_service"}|1|3|error||debug"#,
    ];
    let body = push_protobuf(&streams);
    let got = plain(LOKI_PROTOBUF, &body).unwrap();
    assert_eq!(rows(&got), want);
    assert_eq!(got.asked, [0, 1, 2, 3]);
    // The body itself is the buffer of the lines.
    assert_eq!(got.batches[0].column(3).as_string_view().data_buffers()[0].as_slice(), body);
    for e in Encoding::ALL {
        let sent = wire::encoding::encode(e, &push_json(&streams)).unwrap();
        assert_eq!(rows(&decode(LOKI_JSON, Options::encoded(e), &sent).unwrap()), want, "{e:?}");
    }
}

#[test]
fn times_whose_day_begins_before_all_times_are_refused() {
    let at = |time_ns, line| PushEntry { time_ns, line, metadata: &[] };
    let first = base::limits::PAST_NS;
    let stream = PushStream { labels: &[("a", "b")], entries: &[at(first - 1, "before"), at(first, "first")] };
    let got = decode(LOKI_PROTOBUF, Options::default(), &push_protobuf(&[stream])).unwrap();
    assert_eq!((got.batches[0].num_rows(), refusals(&got)), (1, vec![(0, "too_far_in_past")]));
    assert_eq!(got.refusals[0].message, "entry for stream '{a=\"b\"}' has timestamp too old: 1677-09-21T23:59:59Z");
    assert_eq!(crate::SPEC.slice_of(first), first);
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_rest_is_kept() {
    let streams = [
        PushStream {
            labels: &[("a", "b")],
            entries: &[entry(600_000_000_001, "future"), entry(600_000_000_000, "last"), entry(0, "123456789")],
        },
        PushStream { labels: &[], entries: &[entry(0, "x"), entry(0, "y")] },
        PushStream { labels: &[("a", "b")], entries: &[entry(0, "12345678")] },
        PushStream { labels: &[("a", "b"), ("a", "c")], entries: &[entry(0, "z")] },
        PushStream { labels: &[("no-name", "b")], entries: &[entry(0, "z")] },
        PushStream { labels: &[("empty", "b")], entries: &[] },
    ];
    let got = decode(LOKI_PROTOBUF, Options { line_bytes: 8, ..Options::default() }, &push_protobuf(&streams)).unwrap();
    let set = r#"{a="b", service_name="unknown_service"}"#;
    assert_eq!(rows(&got), [format!("{set}|600000000000|1|last||unknown"), format!("{set}|0|5|12345678||unknown")]);
    let want = [
        (0, "too_far_in_future"),
        (2, "line_too_long"),
        (3, "missing_labels"),
        (4, "missing_labels"),
        (6, "duplicate_label_names"),
        (7, "invalid_labels"),
    ];
    assert_eq!(refusals(&got), want);
    assert_eq!(got.labels.len(), 1, "a stream without entries, or that is refused, is not registered");
    assert_eq!(got.refusals[0].message, "entry for stream '{a=\"b\"}' has timestamp too new: 2023-11-14T22:23:20Z");
    assert_eq!(
        got.refusals[1].message,
        "max entry size '8' bytes exceeded for stream '{a=\"b\"}' while adding an entry with length '9' bytes"
    );
    assert_eq!((got.refusals[0].bytes, got.refusals[0].time_ns), (6, Some(NOW + 600_000_000_001)));
    assert!(got.refusals[5].message.starts_with("Error parsing labels '{no-name=\"b\"}' with error: "), "{}", got.refusals[5].message);
}

#[test]
fn entries_that_are_not_admitted_are_passed_over() {
    let streams = [PushStream { labels: &[("a", "b")], entries: &[entry(0, "x"), entry(1, "y"), entry(2, "z")] }];
    let mut sink = Recorder { not_admitted: vec![1], ..Recorder::default() };
    decode_into(&mut sink, LOKI_PROTOBUF, Options::default(), &push_protobuf(&streams)).unwrap();
    let set = r#"{a="b", service_name="unknown_service"}"#;
    assert_eq!(rows(&sink), [format!("{set}|0|0|x||unknown"), format!("{set}|2|2|z||unknown")]);
    assert!(sink.refusals.is_empty());
}

#[test]
fn many_refusals_cost_little() {
    let entries = vec![entry(i64::MAX - NOW, "x"); 1000];
    let got = plain(LOKI_PROTOBUF, &push_protobuf(&[PushStream { labels: &[("a", "b")], entries: &entries }])).unwrap();
    assert_eq!(got.refusals.len(), 1000);
    assert!(!got.refusals[15].message.is_empty() && got.refusals[16].message.is_empty());
    assert!(got.batches.is_empty());
}

#[test]
fn metadata_is_bounded() {
    let long = "x".repeat(300 << 10);
    let metadata = [("k", long.as_str())];
    let entries = [PushEntry { time_ns: NOW, line: "x", metadata: &metadata }, entry(0, "y")];
    let got = plain(LOKI_PROTOBUF, &push_protobuf(&[PushStream { labels: &[("a", "b")], entries: &entries }])).unwrap();
    assert_eq!(refusals(&got), [(0, "structured_metadata_too_large")]);
    assert_eq!(rows(&got), [r#"{a="b", service_name="unknown_service"}|0|1|y||unknown"#]);
}

#[test]
fn bodies_that_are_none_are_errors() {
    let kind = |codec, body: &[u8]| plain(codec, body).err().unwrap().kind();
    assert_eq!(kind(LOKI_PROTOBUF, b""), Kind::Unprocessable);
    assert_eq!(kind(LOKI_JSON, b"{\"streams\":[]}"), Kind::Unprocessable);
    assert_eq!(kind(LOKI_PROTOBUF, b"\x0a\x05x"), Kind::Invalid);
    assert_eq!(kind(LOKI_JSON, b"x"), Kind::Invalid);
    assert_eq!(kind(OTLP_JSON, b"x"), Kind::Invalid);
    assert_eq!(kind(OTLP_PROTOBUF, b"\xff"), Kind::Invalid);
    assert_eq!(kind(LINES, b""), Kind::Invalid);
    assert_eq!(decode(LOKI_PROTOBUF, Options::encoded(Encoding::SnappyBlock), b"\xff\xff").err().unwrap().kind(), Kind::Invalid);
    assert!(plain(OTLP_PROTOBUF, b"").unwrap().batches.is_empty());
}

#[test]
fn text_that_is_not_utf8_is_repaired() {
    let mut body = push_protobuf(&[PushStream { labels: &[("a", "b")], entries: &[entry(0, "one #two"), entry(0, "after")] }]);
    let at = body.iter().position(|b| *b == b'#').unwrap();
    body[at] = 0xff;
    let got = plain(LOKI_PROTOBUF, &body).unwrap();
    let set = r#"{a="b", service_name="unknown_service"}"#;
    assert_eq!(rows(&got), [format!("{set}|0|0|one \u{fffd}two||unknown"), format!("{set}|0|1|after||unknown")]);
}

#[test]
fn lines_of_a_source_become_rows() {
    let labels = Labels::from_pairs([("job", "nginx"), ("filename", "/var/log/nginx/access.log")]).unwrap();
    let mut w = wire::lines::LinesWriter::new(&labels);
    w.push(NOW, b"GET / 200");
    w.push(NOW - 7, b"level=error \xff");
    let got = plain(LINES, &w.finish()).unwrap();
    let set = r#"{filename="/var/log/nginx/access.log", job="nginx", service_name="nginx"}"#;
    assert_eq!(rows(&got), [format!("{set}|0|0|GET / 200||unknown"), format!("{set}|-7|1|level=error \u{fffd}||error")]);
}

#[test]
fn otlp_records_are_mapped() {
    let mut map = vec![];
    attrs::push(&mut map, "in.ner", &Value::Int(3));
    let record = RecordFields {
        time_ns: NOW as u64,
        severity_number: 17,
        severity_text: "",
        body: Value::Str("hello"),
        attributes: &[("http.method", Value::Str("GET")), ("1st", Value::Double(0.5)), ("m", Value::Map(&map)), ("b", Value::Bool(true))],
        context: Some(([0xab; 16], [1; 8])),
    };
    let warned =
        RecordFields { severity_text: "Warn", body: Value::Map(&map), attributes: &[], context: None, time_ns: 0, ..record.clone() };
    let resource = [("service.name", Value::Str("shop")), ("k8s.pod.name", Value::Str("p-1")), ("host.name", Value::Str("h"))];
    let body = wire::otlp::logs(&resource, ("lib", "1.0"), &[record, warned]);
    let got = plain(OTLP_PROTOBUF, &body).unwrap();
    let set = r#"{k8s_pod_name="p-1", service_name="shop"}"#;
    let scope = "host_name=h,scope_name=lib,scope_version=1.0";
    let ids = format!("trace_id={},span_id=0101010101010101", "ab".repeat(16));
    assert_eq!(
        rows(&got),
        [
            format!("{set}|0|0|hello|http_method=GET,key_1st=0.5,m_in_ner=3,b=true,severity_number=17,{ids},{scope}|error"),
            // Without a time of its own it has that of its receipt.
            format!("{set}|0|1|{{\"in.ner\":3}}|severity_number=17,severity_text=Warn,{scope}|warn"),
        ]
    );
    let nothing = RecordFields { time_ns: 5, severity_number: 0, severity_text: "", body: Value::Empty, attributes: &[], context: None };
    let got = plain(OTLP_PROTOBUF, &wire::otlp::logs(&[], ("", ""), &[nothing])).unwrap();
    assert_eq!(rows(&got), [format!("{{service_name=\"unknown_service\"}}|{}|0|||unknown", 5 - NOW)]);
}

#[test]
fn otlp_resources_that_are_too_large_are_refused() {
    let long = "x".repeat(wire::limits::OWNER_BYTES);
    let record = RecordFields { time_ns: 5, severity_number: 0, severity_text: "", body: Value::Str("x"), attributes: &[], context: None };
    let mut body = wire::otlp::logs(&[("big", Value::Str(&long))], ("", ""), std::slice::from_ref(&record));
    body.extend(wire::otlp::logs(&[], (&long, ""), std::slice::from_ref(&record)));
    body.extend(wire::otlp::logs(&[("x", Value::Int(1))], ("", ""), &[record]));
    let got = plain(OTLP_PROTOBUF, &body).unwrap();
    assert_eq!(refusals(&got), [(0, "resource_too_large"), (1, "resource_too_large")]);
    assert_eq!(rows(&got), [format!("{{service_name=\"unknown_service\"}}|{}|2|x|x=1|unknown", 5 - NOW)]);
}

#[test]
fn headers_choose_the_codec() {
    let loki = |t, e| select_loki(t, e, Options::default()).map(|s| (s.codec, Options::from_bytes(&s.options).unwrap().encoding));
    assert_eq!(loki(None, None).unwrap(), (LOKI_PROTOBUF, Encoding::SnappyBlock));
    assert_eq!(loki(Some("application/x-protobuf"), Some("snappy")).unwrap(), (LOKI_PROTOBUF, Encoding::SnappyBlock));
    assert_eq!(loki(Some("application/json; charset=utf-8"), Some("gzip")).unwrap(), (LOKI_JSON, Encoding::Gzip));
    assert_eq!(loki(Some("application/json"), Some("snappy")).unwrap(), (LOKI_JSON, Encoding::SnappyFramed));
    assert_eq!(loki(Some("text/plain"), None).unwrap_err().kind(), Kind::Invalid);
    let (s, form) = select_otlp(Some("application/json"), None, Options::default()).unwrap();
    assert_eq!((s.codec, form), (OTLP_JSON, Form::Json));
    assert!(select_otlp(None, None, Options::default()).is_err());
}

fn sample_bodies() -> Vec<(u16, Vec<u8>)> {
    let streams = [PushStream {
        labels: &[("a", "b"), ("level", "x")],
        entries: &[
            PushEntry { time_ns: NOW, line: "a line of some length", metadata: &[("k", "v"), ("severity_number", "9")] },
            entry(1, "{}"),
        ],
    }];
    let record = RecordFields {
        time_ns: NOW as u64,
        severity_number: 9,
        severity_text: "i",
        body: Value::Str("hello hello hello"),
        attributes: &[("k", Value::Bytes(b"x"))],
        context: Some(([1; 16], [2; 8])),
    };
    let mut lines = wire::lines::LinesWriter::new(&Labels::from_pairs([("a", "b")]).unwrap());
    lines.push(NOW, b"a line of some length");
    vec![
        (LOKI_PROTOBUF, push_protobuf(&streams)),
        (LOKI_JSON, push_json(&streams)),
        (OTLP_PROTOBUF, wire::otlp::logs(&[("service.name", Value::Str("s")), ("x", Value::Int(1))], ("n", "v"), &[record])),
        (LINES, lines.finish()),
    ]
}

proptest! {
    /// Whatever arrives is decoded, refused or an error; and the same again the second time, as a replay needs.
    #[test]
    fn damaged_bodies_are_answered_the_same_way_twice(which in 0usize..4, edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
        let (codec, mut body) = sample_bodies().swap_remove(which);
        for (at, to) in edits {
            let at = at as usize % body.len();
            body[at] = to;
        }
        body.truncate(body.len().saturating_sub(cut as usize % 64));
        let one = plain(codec, &body);
        let two = plain(codec, &body);
        match (one, two) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(rows(&one), rows(&two));
                prop_assert_eq!(&one.batches, &two.batches);
                prop_assert_eq!(refusals(&one), refusals(&two));
            }
            (Err(one), Err(two)) => prop_assert_eq!(one.kind(), two.kind()),
            _ => prop_assert!(false, "decoded once and not the other time"),
        }
    }
}
