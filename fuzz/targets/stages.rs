//! Reads settings of stages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = agent::stages::Stages::from_yaml(text);
});
