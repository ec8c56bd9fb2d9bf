use super::*;
use crate::otlp::{LOGS, RecordFields, SpanFields, TRACES, logs, traces};
use base::attrs::{self, Value};

#[test]
fn a_trace_in_json_is_the_trace_in_protobuf() {
    let mut list = vec![];
    attrs_array(&mut list, &[Value::Str("x"), Value::Int(-1)]);
    let span = SpanFields {
        trace_id: *b"\x5b\x8a\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c",
        span_id: *b"\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74",
        parent_id: Some(*b"\xee\xe1\x9b\x7e\xc3\xc1\xb1\x73"),
        name: "I'm a server span",
        kind: 2,
        start_ns: 1_544_712_660_000_000_000,
        end_ns: 1_544_712_661_000_000_000,
        status: 2,
        status_message: "bad",
        attributes: &[
            ("s", Value::Str("some value")),
            ("i", Value::Int(i64::MIN)),
            ("d", Value::Double(0.5)),
            ("n", Value::Double(f64::INFINITY)),
            ("b", Value::Bool(true)),
            ("l", Value::Array(&list)),
            ("y", Value::Bytes(b"\0\xff~")),
        ],
        events: &[(7, "e")],
    };
    let want = traces(&[("service.name", Value::Str("my.service"))], ("my.library", "1.0.0"), &[span]);
    let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
      "scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0"},"unknown":{"a":[1]},"spans":[{
        "traceId":"5B8AFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"EEE19B7EC3C1B173",
        "name":"I'm a server span","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000000","end_time_unix_nano":1544712661000000000,
        "attributes":[{"key":"s","value":{"stringValue":"some value"}},{"key":"i","value":{"intValue":"-9223372036854775808"}},
          {"key":"d","value":{"doubleValue":0.5}},{"key":"n","value":{"doubleValue":"Infinity"}},{"key":"b","value":{"boolValue":true}},
          {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"intValue":-1}]}}},{"key":"y","value":{"bytesValue":"AP9+"}}],
        "events":[{"timeUnixNano":"7","name":"e"}],"links":null,"status":{"message":"bad","code":2}}]}]}]}"#;
    assert_eq!(to_protobuf(&TRACES, json.as_bytes()).unwrap(), want);
}

fn attrs_array(out: &mut Vec<u8>, values: &[Value<'_>]) {
    for v in values {
        let mut any = vec![];
        attrs::write_value(&mut any, v);
        out.push(0x0a);
        attrs::write_varint(out, any.len() as u64);
        out.extend_from_slice(&any);
    }
}

#[test]
fn a_log_in_json_is_the_log_in_protobuf() {
    let record = RecordFields {
        time_ns: 5,
        severity_number: 9,
        severity_text: "Info",
        body: Value::Str("hello"),
        attributes: &[("k", Value::Int(1))],
        context: Some(([1; 16], [2; 8])),
    };
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{"name":"","version":""}},"logRecords":[{{"timeUnixNano":"5","severityNumber":9,
          "severityText":"Info","body":{{"stringValue":"hello"}},"attributes":[{{"key":"k","value":{{"intValue":1e0}}}}],
          "traceId":"{}","spanId":"{}"}}]}}]}}]}}"#,
        "01".repeat(16),
        "02".repeat(8)
    );
    assert_eq!(to_protobuf(&LOGS, json.as_bytes()).unwrap(), logs(&[], ("", ""), &[record]));
}

#[test]
fn nonsense_is_refused_and_nesting_is_bounded() {
    let span = |s: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{s}]}}]}}]}}"#);
    assert!(to_protobuf(&TRACES, span("{}").as_bytes()).is_ok());
    for bad in [
        "",
        "[]",
        "{} {}",
        r#"{"resourceSpans":{}}"#,
        r#"{"resourceSpans":[[]]}"#,
        &span(r#"{"traceId":"xyz"}"#),
        &span(r#"{"traceId":"abc"}"#),
        &span(r#"{"traceId":5}"#),
        &span(r#"{"name":5}"#),
        &span(r#"{"kind":"SOMETHING"}"#),
        &span(r#"{"startTimeUnixNano":-1}"#),
        &span(r#"{"startTimeUnixNano":"1.5"}"#),
        &span(r#"{"flags":4294967296}"#),
        &span(r#"{"status":[]}"#),
        &span(r#"{"attributes":[{"key":"k","value":{"bytesValue":"*"}}]}"#),
        &span(r#"{"attributes":[{"key":"k","value":{"boolValue":"x"}}]}"#),
    ] {
        assert_eq!(to_protobuf(&TRACES, bad.as_bytes()).unwrap_err().kind(), base::Kind::Invalid, "{bad}");
    }
    let nested = |n: usize| {
        span(&format!(r#"{{"attributes":[{{"key":"k","value":{}{}}}]}}"#, r#"{"arrayValue":{"values":["#.repeat(n), "]}}".repeat(n)))
    };
    assert!(to_protobuf(&TRACES, nested(20).as_bytes()).is_ok());
    assert!(to_protobuf(&TRACES, nested(crate::limits::VALUE_DEPTH).as_bytes()).is_err());
}

#[test]
fn texts_of_bytes() {
    for (text, want) in [("", &b""[..]), ("YQ==", b"a"), ("YWI", b"ab"), ("YWJj", b"abc"), ("-_8", b"\xfb\xff")] {
        assert_eq!(base64(text).unwrap(), want);
    }
    for bytes in [&b""[..], b"a", b"ab", b"abc", b"\0\xff\xfb~"] {
        assert_eq!(base64(&to_base64(bytes)).unwrap(), bytes);
        assert_eq!(hex(&to_hex(bytes)).unwrap(), bytes);
    }
    assert_eq!(to_base64(b"ab"), "YWI=");
    assert_eq!(base64("a b"), None);
    assert_eq!(hex("00fFa0"), Some(vec![0, 255, 160]));
    assert!(hex("0").is_none() && hex("0g").is_none() && hex("é").is_none());
}
