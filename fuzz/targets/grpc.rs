//! Takes a message out of its frame, in whatever pieces it arrives, and reads the headers of a call.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::grpc::{self, Unary};

const CAP: usize = 1 << 12;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let _ = (grpc::timeout(&text), grpc::encoding(Some(&text)), grpc::is_protobuf(&text));
    for (_, value) in grpc::status(14, &text, None) {
        assert!(value.bytes().all(|b| matches!(b, b' '..=b'~')));
    }
    let mut unary = Unary::new(CAP);
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            if unary.take(&mut piece).is_err() {
                return;
            }
        }
    }
    if let Ok(message) = unary.finish() {
        assert!(message.bytes.len() <= CAP && message.bytes == bytes[grpc::HEAD_BYTES..]);
        let _ = message.encoding(Some("gzip")).map(|e| wire::encoding::decode(e, &message.bytes, CAP));
    }
});
