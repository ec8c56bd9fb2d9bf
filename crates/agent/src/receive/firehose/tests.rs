use proptest::prelude::*;
use serde_json::json;
use wire::encoding::encode;
use wire::otlp::json::to_base64;

use super::*;

fn request(records: &[Vec<u8>], headers: &[(&str, &str)]) -> Request {
    let records: Vec<_> = records.iter().map(|r| json!({"data": to_base64(r)})).collect();
    let body = json!({"requestId": "r-1", "timestamp": 7, "records": records}).to_string();
    Request { headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), body: body.into() }
}

fn document(kind: &str, events: &[(&str, i64, &str)]) -> Vec<u8> {
    let events: Vec<_> = events.iter().map(|(id, t, m)| json!({"id": id, "timestamp": t, "message": m})).collect();
    let d = json!({
        "messageType": kind, "owner": "123", "logGroup": "/aws/lambda/f", "logStream": "2024/[$LATEST]1",
        "subscriptionFilters": ["all"], "logEvents": events,
    });
    d.to_string().into_bytes()
}

fn packed(data: &[u8]) -> Vec<u8> {
    encode(Encoding::Gzip, data).unwrap()
}

#[test]
fn events_of_a_subscription_are_lines_of_their_stream() {
    let data = document("DATA_MESSAGE", &[("1", 5, "a"), ("2", 5, "a"), ("3", 6, "b")]);
    let control = document("CONTROL_MESSAGE", &[("0", 1, "CWL CONTROL MESSAGE: Checking health")]);
    for record in [packed(&data), data.clone(), packed(&[data.clone(), control.clone()].concat())] {
        let attributes = r#"{"commonAttributes":{"lbl_env":"prod","team-x":"y"}}"#;
        let r = request(&[record, packed(&control)], &[("x-amz-firehose-common-attributes", attributes)]);
        let streams = read(&r, &Settings::default()).unwrap();
        assert_eq!(streams.len(), 1);
        let labels = [
            ("env", "prod"),
            ("job", "firehose"),
            ("log_group", "/aws/lambda/f"),
            ("log_stream", "2024/[$LATEST]1"),
            ("owner", "123"),
            ("team_x", "y"),
        ];
        assert_eq!(streams[0].labels, Labels::from_pairs(labels).unwrap());
        let lines = &streams[0].lines;
        assert_eq!(lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["a", "a", "b"]);
        assert_eq!(lines.iter().map(|l| l.time_ns / 1_000_000).collect::<Vec<_>>(), [5, 5, 6]);
        assert!(lines[0].time_ns < lines[1].time_ns, "equal lines stay two");
        assert_eq!(streams, read(&r, &Settings::default()).unwrap(), "the same rows when it is sent again");
    }
}

#[test]
fn other_records_are_lines() {
    let streams = read(&request(&[b"plain\n".to_vec(), br#"{"level":"info"}"#.to_vec()], &[]), &Settings::default()).unwrap();
    let lines: Vec<_> = streams[0].lines.iter().map(|l| (l.time_ns, l.text.as_str())).collect();
    assert_eq!(lines, [(7_000_000, "plain"), (7_000_001, r#"{"level":"info"}"#)]);
}

#[test]
fn rules_see_what_amazon_says() {
    let rules = "[{source_labels: [__aws_cw_log_group], regex: '/aws/lambda/(.*)', target_label: service_name},
        {regex: log_stream, action: labeldrop}, {source_labels: [__aws_firehose_request_id], target_label: request}]";
    let settings = Settings { relabel: serde_yaml_ng::from_str(rules).unwrap(), ..Settings::default() };
    let r = request(&[packed(&document("DATA_MESSAGE", &[("1", 5, "a")]))], &[("x-amz-firehose-request-id", "r-1")]);
    let labels = &read(&r, &settings).unwrap()[0].labels;
    assert_eq!((labels.get("service_name"), labels.get("log_stream"), labels.get("request")), (Some("f"), None, Some("r-1")));
    let drop = serde_yaml_ng::from_str("[{source_labels: [owner], regex: '123', action: drop}]").unwrap();
    assert!(read(&r, &Settings { relabel: drop, ..Settings::default() }).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_is_refused_whole() {
    let mut r = request(&[], &[]);
    assert!(read(&r, &Settings::default()).unwrap().is_empty());
    for body in ["", "{}", r#"{"records":[{}]}"#, r#"{"records":[{"data":"***"}]}"#] {
        r.body = body.into();
        assert_eq!(read(&r, &Settings::default()).unwrap_err().kind(), Kind::Invalid, "{body}");
    }
    let cut = packed(b"hello hello hello")[..12].to_vec();
    assert_eq!(read(&request(&[cut], &[]), &Settings::default()).unwrap_err().kind(), Kind::Invalid);
    let half = packed(&vec![b'x'; limits::RECEIVED_BYTES / 2 + 1]);
    assert_eq!(read(&request(&[half.clone(), half], &[]), &Settings::default()).unwrap_err().kind(), Kind::TooLarge);
    assert!(read(&request(&[], &[("x-amz-firehose-common-attributes", "{")]), &Settings::default()).is_err());
}

proptest! {
    #[test]
    fn any_record_is_lines_or_an_error(data in proptest::collection::vec(any::<u8>(), 0..100)) {
        drop(read(&request(&[data], &[]), &Settings::default()));
    }
}
