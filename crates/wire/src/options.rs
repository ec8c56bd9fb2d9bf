//! What decoding a body depends on beside the body: logged with it, so that a replay after a change of settings still
//! arrives at the same rows.
//!
//! Form (version 1): pairs of varints, option number and value, in any order. An option that is missing has the value
//! of [`Options::default`]; a number that is not known is refused.

use base::attrs::{read_varint, write_varint};
use base::{Error, Result, limits};
use bytes::Bytes;

use crate::Encoding;

/// Options of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Compression of the body.
    pub encoding: Encoding,
    /// Longest log line in bytes; a longer one is refused.
    pub line_bytes: u64,
    /// Most labels of a new series.
    pub labels: u64,
    /// Longest label name of a new series, bytes.
    pub label_name_bytes: u64,
    /// Longest label value of a new series, bytes.
    pub label_value_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            encoding: Encoding::Identity,
            line_bytes: limits::LINE_BYTES as u64,
            labels: limits::LABELS_PER_SERIES as u64,
            label_name_bytes: limits::LABEL_NAME_BYTES as u64,
            label_value_bytes: limits::LABEL_VALUE_BYTES as u64,
        }
    }
}

impl Options {
    /// The body as it was before it was compressed: at most [`limits::BODY_DECOMPRESSED_BYTES`]. `room` is asked as
    /// [`crate::encoding::decode_in_turn`] says.
    pub fn unpack(&self, body: &Bytes, room: &mut dyn FnMut(usize) -> Result<()>) -> Result<Bytes> {
        crate::encoding::decode_in_turn(self.encoding, body, limits::BODY_DECOMPRESSED_BYTES, room)
    }

    /// The defaults with this encoding.
    pub fn encoded(encoding: Encoding) -> Self {
        Options { encoding, ..Options::default() }
    }

    /// The logged form.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(24);
        let values = [u64::from(self.encoding.code()), self.line_bytes, self.labels, self.label_name_bytes, self.label_value_bytes];
        for (number, v) in (1u64..).zip(values) {
            write_varint(&mut out, number);
            write_varint(&mut out, v);
        }
        out.into()
    }

    /// Reads the logged form; `Invalid` if it is not one.
    pub fn from_bytes(mut b: &[u8]) -> Result<Self> {
        let err = || Error::invalid("the options of a logged body cannot be read");
        let mut o = Options::default();
        while !b.is_empty() {
            let (number, rest) = read_varint(b).ok_or_else(err)?;
            let (v, rest) = read_varint(rest).ok_or_else(err)?;
            b = rest;
            match number {
                1 => o.encoding = u8::try_from(v).ok().and_then(Encoding::from_code).ok_or_else(err)?,
                2 => o.line_bytes = v,
                3 => o.labels = v,
                4 => o.label_name_bytes = v,
                5 => o.label_value_bytes = v,
                _ => return Err(err()),
            }
        }
        Ok(o)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_the_log() {
        let o = Options { encoding: Encoding::Gzip, line_bytes: 5, labels: 6, label_name_bytes: 7, label_value_bytes: 1 << 40 };
        assert_eq!(Options::from_bytes(&o.to_bytes()).unwrap(), o);
        assert_eq!(Options::from_bytes(b"").unwrap(), Options::default());
        assert!(Options::from_bytes(&[9, 1]).is_err() && Options::from_bytes(&[1, 200]).is_err() && Options::from_bytes(&[1]).is_err());
    }
}
