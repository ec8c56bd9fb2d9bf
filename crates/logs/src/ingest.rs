//! What turns received bodies into rows of the logs table.
//!
//! A codec decompresses the body once; the decompressed buffer then *is* the data of the `line` column, whose views
//! point into it. A stream is found by the hash of its label bytes as they came, and only a stream that this node has
//! never seen has its labels parsed. Everything is a function of header and body: "now" is the time of receipt in the
//! header, and settings come from its options.

mod entries;
mod level;
mod limits;
mod lines;
mod otlp;
mod push;
mod stream;

use std::sync::Arc;

use base::{Error, Result};
use bytes::Bytes;
use table::Codec;
use wire::encoding::{has_sound_parameters, media_type, shorten};
use wire::otlp::Form;
use wire::{Encoding, Options};

pub use level::detect as detect_level;
pub use stream::SERVICE_LABELS;

/// Loki push, protobuf, version 1.
pub const LOKI_PROTOBUF: u16 = 0x0101;
/// Loki push, JSON, version 1.
pub const LOKI_JSON: u16 = 0x0102;
/// OTLP logs, protobuf, version 1.
pub const OTLP_PROTOBUF: u16 = 0x0103;
/// OTLP logs, JSON, version 1.
pub const OTLP_JSON: u16 = 0x0104;
/// Lines of one stream ([`wire::lines`]), version 1.
pub const LINES: u16 = 0x0105;

/// All codecs of this crate.
pub fn codecs() -> Vec<Arc<dyn Codec>> {
    vec![
        Arc::new(push::Push { id: LOKI_PROTOBUF }),
        Arc::new(push::Push { id: LOKI_JSON }),
        Arc::new(otlp::Otlp { id: OTLP_PROTOBUF }),
        Arc::new(otlp::Otlp { id: OTLP_JSON }),
        Arc::new(lines::LinesCodec),
    ]
}

/// What a [`table::FrameHeader`] says about a body: how it is to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// `FrameHeader::codec`
    pub codec: u16,
    /// `FrameHeader::options`
    pub options: Bytes,
}

/// The codec of a Loki push with these headers. A body without a content type is protobuf, and protobuf is always a
/// snappy block; JSON may be compressed by `gzip`, `deflate`, `snappy` (framed) or `zstd`. `limits` are the tenant's;
/// their encoding is ignored. `Invalid` for anything else.
pub fn select_loki(content_type: Option<&str>, content_encoding: Option<&str>, limits: Options) -> Result<Selected> {
    let content_type = content_type.unwrap_or("");
    if !has_sound_parameters(content_type) {
        return Err(Error::invalid(format!("Content-Type {:?} cannot be read: its parameters are name=value", shorten(content_type))));
    }
    let (codec, encoding) = match media_type(content_type).as_str() {
        "" | "application/x-protobuf" => (LOKI_PROTOBUF, Encoding::SnappyBlock),
        "application/json" => (LOKI_JSON, Encoding::from_header(content_encoding, Encoding::SnappyFramed)?),
        other => {
            return Err(Error::invalid(format!(
                "Content-Type {:?} is not supported: use application/json or application/x-protobuf",
                shorten(other)
            )));
        }
    };
    Ok(Selected { codec, options: Options { encoding, ..limits }.to_bytes() })
}

/// The codec of an OTLP export with these headers, and the form of its answer. `Invalid` for other content types.
pub fn select_otlp(content_type: Option<&str>, content_encoding: Option<&str>, limits: Options) -> Result<(Selected, Form)> {
    let media = media_type(content_type.unwrap_or(""));
    let form = Form::of(&media).ok_or_else(|| {
        Error::invalid(format!("content type {:?} is not supported: use application/x-protobuf or application/json", shorten(&media)))
    })?;
    let encoding = Encoding::from_header(content_encoding, Encoding::SnappyFramed)?;
    let codec = if form == Form::Json { OTLP_JSON } else { OTLP_PROTOBUF };
    Ok((Selected { codec, options: Options { encoding, ..limits }.to_bytes() }, form))
}

#[cfg(test)]
mod tests;
