//! Frames, headers and statuses as data.

use super::*;
use proptest::prelude::*;

fn frame(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// Takes `bytes` in pieces of `piece`, as a connection would give them.
fn read(bytes: &[u8], piece: usize, cap: usize) -> Result<Message> {
    let mut unary = Unary::new(cap);
    for piece in bytes.chunks(piece.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            unary.take(&mut piece)?;
        }
    }
    unary.finish()
}

#[test]
fn frames() {
    let message = |compressed, text: &str| Message { compressed, bytes: Bytes::copy_from_slice(text.as_bytes()) };
    for (bytes, want) in [
        (frame(0, 0, b""), Ok(message(false, ""))),
        (frame(0, 5, b"hello"), Ok(message(false, "hello"))),
        (frame(1, 5, b"hello"), Ok(message(true, "hello"))),
        (frame(0, 10, b"tenletters"), Ok(message(false, "tenletters"))),
        (frame(0, 11, b"elevenbytes"), Err((Kind::TooLarge, "the message has 11 bytes, and 10 are allowed"))),
        (frame(0, u32::MAX, b""), Err((Kind::TooLarge, "4294967295 bytes"))),
        (frame(2, 1, b"x"), Err((Kind::Invalid, "neither 0 nor 1"))),
        (frame(0, 5, b"hell"), Err((Kind::Invalid, "cut short"))),
        (frame(0, 5, b"hello!"), Err((Kind::Invalid, "more than one message"))),
        ([frame(0, 2, b"hi"), frame(0, 0, b"")].concat(), Err((Kind::Invalid, "more than one message"))),
        (b"".to_vec(), Err((Kind::Invalid, "no message"))),
        (b"\0\0\0\0".to_vec(), Err((Kind::Invalid, "no message"))),
    ] {
        for piece in 1..=bytes.len().max(1) {
            match (read(&bytes, piece, 10), &want) {
                (Ok(got), Ok(want)) => assert_eq!(&got, want, "{bytes:?} in pieces of {piece}"),
                (Err(e), Err((kind, said))) => {
                    assert!(e.kind() == *kind && e.message().contains(said), "{bytes:?} in pieces of {piece}: {e:?}");
                }
                (got, want) => panic!("{bytes:?} in pieces of {piece}: {got:?}, not {want:?}"),
            }
        }
    }
}

#[test]
fn memory_is_taken_when_the_message_comes_and_not_before() {
    let mut unary = Unary::new(1 << 30);
    let mut piece = Bytes::from(frame(0, 1 << 29, b"x"));
    unary.take(&mut piece).unwrap();
    assert_eq!((unary.length(), unary.message.capacity(), &piece[..]), (Some(1 << 29), 0, &b"x"[..]));
}

#[test]
fn a_message_is_compressed_as_the_header_says_if_it_says_that_it_is() {
    let of = |compressed, named| Message { compressed, bytes: Bytes::new() }.encoding(named);
    for named in [None, Some("identity"), Some("gzip")] {
        assert_eq!(of(false, named).unwrap(), Encoding::Identity);
    }
    for (named, encoding) in
        [("gzip", Encoding::Gzip), ("deflate", Encoding::Deflate), ("snappy", Encoding::SnappyFramed), ("zstd", Encoding::Zstd)]
    {
        assert_eq!(of(true, Some(named)).unwrap(), encoding);
        assert!(ACCEPTED.split(',').any(|a| a == named));
    }
    for named in [None, Some("identity"), Some("br")] {
        assert_eq!(of(true, named).unwrap_err().kind(), Kind::Invalid, "{named:?}");
    }
}

#[test]
fn content_types() {
    for (content_type, grpc, protobuf) in [
        ("application/grpc", true, true),
        ("application/grpc+proto", true, true),
        ("Application/gRPC; charset=utf-8", true, true),
        ("application/grpc+json", true, false),
        ("application/grpc-web", false, false),
        ("application/grpc-web+proto", false, false),
        ("application/grpcx", false, false),
        ("application/x-protobuf", false, false),
        ("", false, false),
    ] {
        assert_eq!((is_grpc(content_type), is_protobuf(content_type)), (grpc, protobuf), "{content_type}");
    }
}

#[test]
fn timeouts() {
    for (text, want) in [
        ("1H", Duration::from_secs(3600)),
        ("2M", Duration::from_secs(120)),
        ("10S", Duration::from_secs(10)),
        ("500m", Duration::from_millis(500)),
        ("7u", Duration::from_micros(7)),
        ("99999999n", Duration::from_nanos(99_999_999)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ("0S", Duration::ZERO),
    ] {
        assert_eq!(timeout(text).unwrap(), want, "{text}");
    }
    for text in ["", "S", "10", "10s", "-1S", "+1S", "1.5S", "100000000S", " 1S", "1€", "€"] {
        assert_eq!(timeout(text).unwrap_err().kind(), Kind::Invalid, "{text}");
    }
}

#[test]
fn statuses() {
    let of =
        |code, message: &str, after| status(code, message, after).into_iter().skip(1).map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>();
    assert_eq!(of(3, "100 % wrong\nand ä", None), ["grpc-status: 3", "grpc-message: 100 %25 wrong%0Aand %C3%A4"]);
    let after = Duration::from_millis(2500);
    // 1: 14, 2: "x", 3: { 1: type, 2: { 1: { 1: 2 (s), 2: 500,000,000 (ns) } } }
    let mut details = b"\x08\x0e\x12\x01x\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo".to_vec();
    details.extend(b"\x12\x0a\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01");
    let want = to_base64(&details).trim_end_matches('=').to_owned();
    assert_eq!(of(14, "x", Some(after)), ["grpc-status: 14", "grpc-message: x", &format!("grpc-status-details-bin: {want}")]);
    assert_eq!(of(8, "x", None).len(), 3, "whoever may come again is told when");
    assert_eq!(of(16, "x", Some(after)).len(), 2, "and nobody else");
    assert_eq!(of(UNIMPLEMENTED, "x", None)[2], format!("grpc-accept-encoding: {ACCEPTED}"));
    // Clients take headers of 8 KiB, all together.
    let long = of(14, &"ä".repeat(10_000), None);
    assert!(long.iter().map(String::len).sum::<usize>() < 6_000, "{long:?}");
}

#[test]
fn every_kind_has_a_code_and_only_the_retryable_ones_are_retried() {
    // What OTLP's specification lets a client send again, RESOURCE_EXHAUSTED with RetryInfo.
    let again = [1, 4, 8, 10, 11, 14, 15];
    for (kind, retried) in [
        (Kind::Invalid, false),
        (Kind::Unprocessable, false),
        (Kind::TooLarge, false),
        (Kind::NotFound, false),
        (Kind::Unauthenticated, false),
        (Kind::Forbidden, false),
        (Kind::LimitExceeded, true),
        (Kind::Unavailable, true),
        (Kind::Timeout, true),
        (Kind::Canceled, true),
        (Kind::Corrupt, true),
        (Kind::Internal, true),
    ] {
        assert_eq!(again.contains(&code(kind)), retried, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_a_message_within_the_cap(
        bytes in proptest::collection::vec(any::<u8>(), 0..40), head in any::<bool>(), piece in 1usize..20,
    ) {
        let mut bytes = bytes;
        if head {
            bytes.splice(0..0, [0, 0, 0, 0, bytes.len() as u8]);
        }
        match read(&bytes, piece, 32) {
            Ok(m) => prop_assert_eq!((&bytes[HEAD_BYTES..], m.bytes.len() <= 32), (&m.bytes[..], true)),
            Err(e) => prop_assert!(matches!(e.kind(), Kind::Invalid | Kind::TooLarge)),
        }
    }

    #[test]
    fn what_is_framed_is_read(message in proptest::collection::vec(any::<u8>(), 0..100), piece in 1usize..200) {
        prop_assert_eq!(read(&framed(&message), piece, 100).unwrap().bytes, message);
    }

    #[test]
    fn any_words_fit_into_a_header(text in any::<String>()) {
        let told = status(14, &text, None);
        prop_assert!(told.iter().all(|(_, v)| v.bytes().all(|b| matches!(b, b' '..=b'~'))));
    }
}
