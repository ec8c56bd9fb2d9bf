//! Compression of bodies. The only place that decompresses what was received, always with a cap.

use std::io::{Read, Write};

use base::{Error, Kind, Result};
use bytes::Bytes;

use crate::limits;
use crate::spare::Spare;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// Snappy's block format, as Loki push and remote write use it.
    SnappyBlock,
    /// Snappy's framing format, as `Content-Encoding: snappy` means it for JSON bodies.
    SnappyFramed,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or the bare RFC 1951 stream that some senders mean by it.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Encoding; 6] =
        [Encoding::Identity, Encoding::SnappyBlock, Encoding::SnappyFramed, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

    /// The number that logged options carry. Never reused for another meaning.
    pub fn code(self) -> u8 {
        match self {
            Encoding::Identity => 0,
            Encoding::SnappyBlock => 1,
            Encoding::SnappyFramed => 2,
            Encoding::Gzip => 3,
            Encoding::Deflate => 4,
            Encoding::Zstd => 5,
        }
    }
    /// The encoding with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.code() == code)
    }

    /// Its name in a `Content-Encoding` header.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::SnappyBlock | Encoding::SnappyFramed => "snappy",
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Zstd => "zstd",
        }
    }

    /// What a `Content-Encoding` header says; none or an empty one is `Identity`. `snappy` is given by the caller,
    /// because block and framing format share the name.
    pub fn from_header(value: Option<&str>, snappy: Encoding) -> Result<Self> {
        match value.unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "snappy" => Ok(snappy),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "deflate" => Ok(Encoding::Deflate),
            "zstd" => Ok(Encoding::Zstd),
            other => {
                Err(Error::invalid(format!("content encoding {:?} is not supported: use gzip, deflate, snappy or zstd", shorten(other))))
            }
        }
    }
}

/// Whether the parameters of a `Content-Type` can be read: each is `name=value`.
pub fn has_sound_parameters(content_type: &str) -> bool {
    let sound = |p: &str| p.trim().is_empty() || p.split_once('=').is_some_and(|(n, v)| !n.trim().is_empty() && !v.trim().is_empty());
    content_type.split(';').skip(1).all(sound)
}

/// The media type of a `Content-Type` header in lower case, without its parameters.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// At most 100 characters of what a client sent, for a message.
pub fn shorten(s: &str) -> String {
    s.chars().take(100).collect()
}

/// Decompresses; at most `cap` bytes come out. `Identity` copies nothing.
///
/// Errors: `Invalid` for damaged data, `TooLarge` beyond the cap.
pub fn decode(encoding: Encoding, body: &Bytes, cap: usize) -> Result<Bytes> {
    decode_in_turn(encoding, body, cap, &mut |_| Ok(()))
}

/// The same where many bodies are decompressed at once. Before one of them takes more than [`limits::UNASKED_BYTES`], `room` is asked
/// for the bytes that it may take at most, once; it may wait, and an error from it is the answer. All at once and not bit by bit, so
/// that no two of them wait for each other with a part each.
pub fn decode_in_turn(encoding: Encoding, body: &Bytes, cap: usize, room: &mut dyn FnMut(usize) -> Result<()>) -> Result<Bytes> {
    match encoding {
        Encoding::Identity if body.len() > cap => Err(too_large(cap)),
        Encoding::Identity => Ok(body.clone()),
        Encoding::SnappyBlock => snappy_block(body, cap, room),
        Encoding::SnappyFramed => capped(snap::read::FrameDecoder::new(&body[..]), "snappy", body.len(), cap, room),
        Encoding::Gzip => capped(flate2::read::MultiGzDecoder::new(&body[..]), "gzip", body.len(), cap, room),
        Encoding::Deflate if is_zlib(body) => capped(flate2::read::ZlibDecoder::new(&body[..]), "deflate", body.len(), cap, room),
        Encoding::Deflate => capped(flate2::read::DeflateDecoder::new(&body[..]), "deflate", body.len(), cap, room),
        Encoding::Zstd => {
            let mut d = zstd::stream::read::Decoder::with_buffer(&body[..]).map_err(|e| damaged("zstd", &e))?;
            d.window_log_max(limits::ZSTD_WINDOW_LOG).map_err(|e| damaged("zstd", &e))?;
            capped(d, "zstd", body.len(), cap, room)
        }
    }
}

/// Compresses at a speed fit for sending.
pub fn encode(encoding: Encoding, body: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::internal(format!("compressing {} bytes failed: {e}", body.len()));
    let io = |e: std::io::Error| failed(&e);
    Ok(match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::SnappyBlock => snap::raw::Encoder::new().compress_vec(body).map_err(|e| failed(&e))?,
        Encoding::SnappyFramed => {
            let mut w = snap::write::FrameEncoder::new(vec![]);
            w.write_all(body).map_err(io)?;
            w.into_inner().map_err(|e| failed(e.error()))?
        }
        Encoding::Gzip => {
            let mut w = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            w.write_all(body).map_err(io)?;
            w.finish().map_err(io)?
        }
        Encoding::Deflate => {
            let mut w = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
            w.write_all(body).map_err(io)?;
            w.finish().map_err(io)?
        }
        Encoding::Zstd => zstd::stream::encode_all(body, 1).map_err(io)?,
    })
}

fn snappy_block(body: &[u8], cap: usize, room: &mut dyn FnMut(usize) -> Result<()>) -> Result<Bytes> {
    let len = snap::raw::decompress_len(body).map_err(|e| damaged("snappy", &e))?;
    if len > cap {
        return Err(too_large(cap));
    }
    if len > body.len().saturating_mul(limits::SNAPPY_GROWTH) {
        return Err(damaged("snappy", &"it claims a length that its bytes cannot hold"));
    }
    if len > limits::UNASKED_BYTES {
        room(len)?;
    }
    let mut out = Spare::take(len);
    let n = snap::raw::Decoder::new().decompress(body, out.bytes_mut()).map_err(|e| damaged("snappy", &e))?;
    Ok(Bytes::from_owner(out).slice(..n))
}

fn is_zlib(b: &[u8]) -> bool {
    b.len() >= 2 && b[0] & 0x0f == 8 && (u16::from(b[0]) << 8 | u16::from(b[1])).is_multiple_of(31)
}

/// Reads to the end, but no more than `cap`. The buffer grows with what really comes out.
fn capped(mut reader: impl Read, name: &str, compressed: usize, cap: usize, room: &mut dyn FnMut(usize) -> Result<()>) -> Result<Bytes> {
    let unasked = cap.min(limits::UNASKED_BYTES);
    let mut out = Vec::with_capacity(compressed.saturating_mul(4).min(unasked));
    let mut read = |out: &mut Vec<u8>, upto: usize| {
        let left = (upto - out.len()) as u64 + 1;
        reader.by_ref().take(left).read_to_end(out).map_err(|e| damaged(name, &e))
    };
    read(&mut out, unasked)?;
    if out.len() > unasked && unasked < cap {
        room(cap)?;
        // Pages that nothing is written to are none: a buffer that doubled would be there twice while it is copied.
        out.reserve_exact(cap + 1 - out.len());
        read(&mut out, cap)?;
    }
    if out.len() > cap {
        return Err(too_large(cap));
    }
    // The bytes live on as a buffer of the rows: give back what was guessed too much.
    if out.capacity() > out.len() + out.len() / 4 {
        out.shrink_to_fit();
    }
    Ok(out.into())
}

fn too_large(cap: usize) -> Error {
    Error::new(Kind::TooLarge, format!("the body is larger than {cap} bytes when decompressed: send smaller batches"))
}

fn damaged(name: &str, e: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("the body is not valid {name} data: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_buffer_that_is_used_again_shows_nothing_of_its_last_body() {
        let body =
            |n: usize, b: u8| decode(Encoding::SnappyBlock, &encode(Encoding::SnappyBlock, &vec![b; n]).unwrap().into(), 1 << 20).unwrap();
        let kept = body(limits::SPARE_MIN, 1);
        for (b, n) in (2..50).zip([limits::SPARE_MIN, limits::SPARE_MIN + 9, 10, 0].into_iter().cycle()) {
            assert_eq!(body(n, b), vec![b; n]);
        }
        assert_eq!(kept, vec![1; limits::SPARE_MIN], "what somebody keeps is not written to");
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(data in proptest::collection::vec(any::<u8>(), 0..5000), code in 0u8..6) {
            let e = Encoding::from_code(code).unwrap();
            let sent = Bytes::from(encode(e, &data).unwrap());
            prop_assert_eq!(&decode(e, &sent, 5000).unwrap()[..], &data[..]);
            if !data.is_empty() {
                prop_assert_eq!(decode(e, &sent, data.len() - 1).unwrap_err().kind(), Kind::TooLarge);
            }
        }

        #[test]
        fn garbage_is_an_error_or_bytes_within_the_cap(data in proptest::collection::vec(any::<u8>(), 0..300), code in 0u8..6) {
            if let Ok(b) = decode(Encoding::from_code(code).unwrap(), &data.into(), 1000) {
                prop_assert!(b.len() <= 1000);
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let zeros = vec![0u8; 4 << 20];
        for e in Encoding::ALL {
            let sent = Bytes::from(encode(e, &zeros).unwrap());
            assert_eq!(decode(e, &sent, 1 << 20).unwrap_err().kind(), Kind::TooLarge, "{e:?}");
        }
        // A length of 100 MB in front of nothing takes no memory.
        let lie = Bytes::from_static(&[0x80, 0xc2, 0xd7, 0x2f, 0]);
        assert_eq!(decode(Encoding::SnappyBlock, &lie, 200 << 20).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn whoever_becomes_large_asks_for_all_of_it_once() {
        let most = 2 * limits::UNASKED_BYTES;
        let asked = |e, n: usize| {
            let sent = Bytes::from(encode(e, &vec![7u8; n]).unwrap());
            let mut asked: Vec<usize> = vec![];
            let out = decode_in_turn(e, &sent, most, &mut |bytes| {
                asked.push(bytes);
                Ok(())
            });
            assert!(out.is_ok_and(|o| o.len() == n && o.iter().all(|b| *b == 7)), "{e:?}");
            let refused = decode_in_turn(e, &sent, most, &mut |_| Err(Error::unavailable("not now")));
            assert_eq!(refused.err().map(|e| e.kind()), asked.first().map(|_| Kind::Unavailable));
            asked
        };
        for e in Encoding::ALL.into_iter().filter(|e| *e != Encoding::Identity) {
            assert!(asked(e, limits::UNASKED_BYTES).is_empty(), "{e:?}");
            // A block says how long it becomes; the others do not, or lie.
            let n = limits::UNASKED_BYTES + 1;
            assert_eq!(asked(e, n), [if e == Encoding::SnappyBlock { n } else { most }], "{e:?}");
            assert_eq!(asked(e, most).len(), 1, "{e:?}");
        }
        assert!(asked(Encoding::Identity, most).is_empty(), "what does not grow is there already");
    }

    #[test]
    fn bare_deflate_is_understood() {
        let mut w = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::fast());
        w.write_all(b"hello hello hello").unwrap();
        assert_eq!(&decode(Encoding::Deflate, &w.finish().unwrap().into(), 100).unwrap()[..], b"hello hello hello");
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(Encoding::from_header(None, Encoding::SnappyBlock).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::from_header(Some(" GZIP "), Encoding::SnappyBlock).unwrap(), Encoding::Gzip);
        assert_eq!(Encoding::from_header(Some("snappy"), Encoding::SnappyFramed).unwrap(), Encoding::SnappyFramed);
        assert_eq!(Encoding::from_header(Some("br"), Encoding::SnappyBlock).unwrap_err().kind(), Kind::Invalid);
        for e in Encoding::ALL.into_iter().filter(|e| *e != Encoding::SnappyBlock) {
            assert_eq!(Encoding::from_header(Some(e.name()), Encoding::SnappyFramed).unwrap(), e);
        }
        assert_eq!(media_type("Application/X-Protobuf; proto=x"), "application/x-protobuf");
        assert!(has_sound_parameters("application/json") && has_sound_parameters("application/json; charset=utf-8;"));
        assert!(!has_sound_parameters("application/json; charsetutf-8") && !has_sound_parameters("a/b; =x"));
    }
}
