//! Turns a Loki push in JSON into protobuf: what comes out can be walked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(protobuf) = wire::loki::json::to_protobuf(body) {
        for stream in wire::loki::Streams::new(&protobuf) {
            for entry in stream.expect("what we write we can read").entries() {
                entry.expect("what we write we can read");
            }
        }
    }
});
