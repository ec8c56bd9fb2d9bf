//! Reads text exposition.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    wire::exposition::parse(text).count();
    wire::exposition::parse_open_metrics(text).count();
});
