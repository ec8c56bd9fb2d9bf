//! Turns OTLP in JSON into protobuf: what comes out can be walked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::otlp::metric::Metric;
use wire::otlp::{LOGS, LogRecord, METRICS, Span, TRACES, json, resources};

fuzz_target!(|body: &[u8]| {
    for schema in [&TRACES, &LOGS, &METRICS] {
        let Ok(protobuf) = json::to_protobuf(schema, body) else { continue };
        for resource in resources(&protobuf) {
            for scope in resource.expect("what we write we can read").scopes() {
                for record in scope.expect("what we write we can read").records() {
                    let record = record.expect("what we write we can read");
                    if std::ptr::eq(schema, &TRACES) {
                        Span::new(record).expect("what we write we can read");
                    } else if std::ptr::eq(schema, &METRICS) {
                        Metric::new(record).expect("what we write we can read");
                    } else {
                        LogRecord::new(record).expect("what we write we can read");
                    }
                }
            }
        }
    }
});
