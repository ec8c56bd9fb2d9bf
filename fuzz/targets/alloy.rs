//! Converts Alloy files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(converted) = agent::convert::convert(text) {
        assert!(converted.yaml.starts_with("# Made by"));
    }
});
