//! Walks lines of a source.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(lines) = wire::lines::Lines::new(body) {
        lines.count();
    }
});
