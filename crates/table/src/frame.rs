//! The header in front of every logged body, as bytes. `docs/formats/frame.md` is its page.
//!
//! `version u8 · tenant · received_ns i64 LE · codec u16 LE · options · origin flag u8 [source · position] ·
//! refused count · refused deltas [· rows]`, where a string is a varint length and its bytes and numbers are varints.

use base::attrs::{read_varint, write_varint};
use base::{Error, Result, Tenant};
use bytes::Bytes;

use crate::ingest::{FrameHeader, Origin};
use crate::limits;

/// Kind of a WAL frame that holds a header and a received body.
pub const PUSH: u8 = 1;
/// Without rows and with them.
const VERSIONS: [u8; 2] = [1, 2];

/// Encodes a header with its own length in front, so that the body can follow.
pub fn encode(h: &FrameHeader) -> Vec<u8> {
    let mut b = Vec::with_capacity(64 + h.options.len());
    b.push(VERSIONS[usize::from(h.rows.is_some())]);
    put(&mut b, h.tenant.as_str().as_bytes());
    b.extend_from_slice(&h.received_ns.to_le_bytes());
    b.extend_from_slice(&h.codec.to_le_bytes());
    put(&mut b, &h.options);
    match &h.origin {
        None => b.push(0),
        Some(o) => {
            b.push(1);
            put(&mut b, o.source.as_bytes());
            put(&mut b, &o.position);
        }
    }
    write_varint(&mut b, h.refused.len() as u64);
    let mut last = 0;
    for &r in &h.refused {
        write_varint(&mut b, u64::from(r.wrapping_sub(last)));
        last = r;
    }
    if let Some(rows) = h.rows {
        write_varint(&mut b, rows);
    }
    let mut out = Vec::with_capacity(b.len() + 5);
    write_varint(&mut out, b.len() as u64);
    out.extend_from_slice(&b);
    out
}

/// Splits a frame's payload into header and body.
pub fn decode(payload: &Bytes) -> Result<(FrameHeader, Bytes)> {
    let bad = || Error::corrupt("frame header is damaged");
    let (len, rest) = read_varint(payload).ok_or_else(bad)?;
    let len = usize::try_from(len).map_err(|_| bad())?;
    if len > limits::FRAME_HEADER_BYTES || len > rest.len() {
        return Err(bad());
    }
    let start = payload.len() - rest.len();
    let (mut b, body) = (&rest[..len], payload.slice(start + len..));
    let version = take(&mut b, 1).ok_or_else(bad)?[0];
    if !VERSIONS.contains(&version) {
        return Err(Error::corrupt("frame header has a version this build does not know"));
    }
    let text = |b: &mut &[u8]| get(b).and_then(|t| std::str::from_utf8(t).ok().map(str::to_owned)).ok_or_else(bad);
    let tenant = Tenant::new(&text(&mut b)?)?;
    let received_ns = i64::from_le_bytes(take(&mut b, 8).and_then(|x| x.try_into().ok()).ok_or_else(bad)?);
    let codec = u16::from_le_bytes(take(&mut b, 2).and_then(|x| x.try_into().ok()).ok_or_else(bad)?);
    let options = Bytes::copy_from_slice(get(&mut b).ok_or_else(bad)?);
    let origin = match take(&mut b, 1).ok_or_else(bad)?[0] {
        0 => None,
        _ => Some(Origin { source: text(&mut b)?, position: get(&mut b).ok_or_else(bad)?.to_vec() }),
    };
    let (n, mut b) = read_varint(b).ok_or_else(bad)?;
    if n > b.len() as u64 {
        return Err(bad());
    }
    let mut refused = Vec::with_capacity(n as usize);
    let mut last = 0u32;
    for _ in 0..n {
        let (d, r) = read_varint(b).ok_or_else(bad)?;
        b = r;
        last = last.wrapping_add(d as u32);
        refused.push(last);
    }
    let rows = if version == VERSIONS[1] { Some(read_varint(b).ok_or_else(bad)?.0) } else { None };
    Ok((FrameHeader { tenant, received_ns, codec, options, origin, refused, rows }, body))
}

fn put(b: &mut Vec<u8>, field: &[u8]) {
    write_varint(b, field.len() as u64);
    b.extend_from_slice(field);
}

fn take<'a>(b: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, rest) = b.split_at_checked(n)?;
    *b = rest;
    Some(head)
}

fn get<'a>(b: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (n, rest) = read_varint(b)?;
    *b = rest;
    take(b, usize::try_from(n).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FrameHeader {
        FrameHeader {
            tenant: Tenant::new("shop").unwrap(),
            received_ns: 1_700_000_000_000_000_001,
            codec: 7,
            options: Bytes::from_static(b"gzip"),
            origin: Some(Origin { source: "file:/var/log/a".into(), position: vec![1, 2, 3] }),
            refused: vec![0, 5, 70_000],
            rows: Some(300),
        }
    }

    #[test]
    fn a_header_comes_back_with_its_body() {
        for rows in [Some(300), Some(0), None] {
            let h = FrameHeader { rows, ..sample() };
            let mut frame = encode(&h);
            frame.extend_from_slice(b"body");
            let (got, body) = decode(&Bytes::from(frame)).unwrap();
            assert_eq!((got, &body[..]), (h, &b"body"[..]));
        }
    }

    #[test]
    fn version_1_is_read() {
        let frame = b"\x11\x01\x01a\x05\0\0\0\0\0\0\0\x4d\0\0\0\x01\x02body";
        let (h, body) = decode(&Bytes::from_static(frame)).unwrap();
        assert_eq!((h.tenant.as_str(), h.received_ns, h.codec, h.origin, h.refused, h.rows), ("a", 5, 77, None, vec![2], None));
        assert_eq!(&body[..], b"body");
    }

    #[test]
    fn damage_is_an_error_not_a_panic() {
        let frame = encode(&sample());
        for cut in 0..frame.len() {
            assert!(decode(&Bytes::copy_from_slice(&frame[..cut])).is_err());
        }
        for i in 0..frame.len() {
            let mut f = frame.clone();
            f[i] ^= 0xff;
            let _ = decode(&Bytes::from(f));
        }
    }
}
