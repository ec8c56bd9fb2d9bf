//! Walks an OTLP export, its records read as spans, as log records and as metrics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::otlp::metric::{Exemplar, Explicit, Exponential, Metric, Number, Summary};
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
                let Ok(Metric { data: Some(data), .. }) = Metric::new(record) else { continue };
                for point in data.points().map_while(Result::ok) {
                    let _ = Number::new(point).map(|p| p.head.exemplars.into_iter().map(Exemplar::new).count());
                    let _ = Explicit::new(point);
                    let _ = Exponential::new(point);
                    let _ = Summary::new(point);
                }
            }
        }
    }
});
