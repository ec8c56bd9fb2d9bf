//! Decompresses with a cap, which is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Encoding;

fuzz_target!(|body: &[u8]| {
    let Some((code, rest)) = body.split_first() else { return };
    let Some(encoding) = Encoding::from_code(code % 6) else { return };
    if let Ok(out) = wire::encoding::decode(encoding, &rest.to_vec().into(), 1 << 20) {
        assert!(out.len() <= 1 << 20);
    }
});
