//! Walks a Loki push, labels included.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for stream in wire::loki::Streams::new(body).map_while(Result::ok) {
        let _ = std::str::from_utf8(stream.labels).map(|l| wire::loki::labels::parse(l, |_, _| Ok(())));
        for entry in stream.entries().map_while(Result::ok) {
            assert!(entry.line.len() <= body.len());
            entry.metadata().count();
        }
    }
});
