//! Walks an OTLP export, its records read as spans and as log records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::otlp::{LogRecord, Span, resources};

fuzz_target!(|body: &[u8]| {
    for resource in resources(body).map_while(Result::ok) {
        let _ = resource.attributes();
        for scope in resource.scopes().map_while(Result::ok) {
            let _ = scope.parts();
            for record in scope.records().map_while(Result::ok) {
                if let Ok(span) = Span::new(record) {
                    base::attrs::iter(span.attributes.bytes()).count();
                }
                let _ = LogRecord::new(record);
            }
        }
    }
});
