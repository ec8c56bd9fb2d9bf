//! Answers of other nodes: arbitrary bytes, arbitrarily cut, come out as the same frames or the same error, and never as more bytes
//! than went in.
#![no_main]

use frame::{Decoder, HEAD_BYTES, error_of, error_payload};
use libfuzzer_sys::fuzz_target;

// The module alone: the crate around it would bring half of everything into the build with coverage.
#[allow(dead_code)]
#[path = "../../crates/cluster/src/transport/http/frame.rs"]
mod frame;

const MOST: usize = 1 << 16;

/// Bytes of payloads, kinds, and whether it ended in an error.
fn frames(pieces: &[&[u8]]) -> (Vec<(u8, Vec<u8>)>, bool) {
    let (mut decoder, mut found) = (Decoder::default(), vec![]);
    for p in pieces {
        decoder.push(p);
        loop {
            match decoder.next(MOST) {
                Ok(Some(f)) => found.push((f.kind as u8, f.payload.to_vec())),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let (cut, data) = data.split_first().unwrap_or((&0, data));
    let whole = frames(&[data]);
    let pieces: Vec<&[u8]> = data.chunks(1 + usize::from(*cut % 64)).collect();
    assert_eq!(frames(&pieces), whole);
    let bytes: usize = whole.0.iter().map(|(_, p)| p.len() + HEAD_BYTES).sum();
    assert!(bytes <= data.len());
    for (_, payload) in whole.0 {
        let e = error_of(&payload);
        let again = error_of(&error_payload(&e));
        assert_eq!((e.kind(), e.message(), e.retry_hint()), (again.kind(), again.message(), again.retry_hint()));
    }
});
