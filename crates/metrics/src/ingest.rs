//! What turns received bodies into rows of this crate's tables: remote write 1.0 and 2.0, OTLP.
//!
//! A series is found by the hash of its labels as they came; only one that this node has never seen has its labels read and
//! checked. A native histogram is checked and kept as the message it came as.

pub mod otlp;
mod remote_write;
mod rows;
mod series;

use std::sync::Arc;

use base::{Error, Result};
use bytes::Bytes;
use table::Codec;
use wire::encoding::{media_type, shorten};
use wire::remote_write::{MEDIA_TYPE, v2};
use wire::{Encoding, Options};

pub use rows::kind;

/// Prometheus remote write, `prometheus.WriteRequest`, version 1.
pub const REMOTE_WRITE_1: u16 = 0x0201;
/// Prometheus remote write, `io.prometheus.write.v2.Request`.
pub const REMOTE_WRITE_2: u16 = 0x0202;
/// OTLP `ExportMetricsServiceRequest` in protobuf.
pub const OTLP_PROTOBUF: u16 = 0x0203;
/// The same in JSON.
pub const OTLP_JSON: u16 = 0x0204;

/// All codecs of this crate.
pub fn codecs() -> Vec<Arc<dyn Codec>> {
    vec![
        Arc::new(remote_write::Version1),
        Arc::new(remote_write::Version2),
        Arc::new(otlp::Otlp { id: OTLP_PROTOBUF }),
        Arc::new(otlp::Otlp { id: OTLP_JSON }),
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

/// The codec of a remote write with these headers: protobuf of version 1 or 2 as a snappy block. `limits` are the tenant's;
/// their encoding is ignored. `Invalid` for anything else, to which the answer is 415.
pub fn select_remote_write(content_type: Option<&str>, content_encoding: Option<&str>, limits: Options) -> Result<Selected> {
    // As Prometheus: whoever says nothing sends version 1.
    let content_type = content_type.filter(|t| !t.trim().is_empty()).unwrap_or(MEDIA_TYPE);
    let proto = content_type.split(';').skip(1).find_map(|p| p.trim().strip_prefix("proto="));
    let codec = match proto {
        None | Some("prometheus.WriteRequest") if media_type(content_type) == MEDIA_TYPE => REMOTE_WRITE_1,
        Some(v2::PROTO) if media_type(content_type) == MEDIA_TYPE => REMOTE_WRITE_2,
        _ => {
            return Err(Error::invalid(format!(
                "content type {:?} is not supported: send {MEDIA_TYPE};proto=prometheus.WriteRequest or {MEDIA_TYPE};proto={}",
                shorten(content_type),
                v2::PROTO
            )));
        }
    };
    // A sender that names no encoding sends snappy all the same. Version 1 is taken in other encodings too, for those who send it so.
    let encoding = match Encoding::from_header(content_encoding, Encoding::SnappyBlock)? {
        Encoding::Identity => Encoding::SnappyBlock,
        other => other,
    };
    if codec == REMOTE_WRITE_2 && encoding != Encoding::SnappyBlock {
        return Err(Error::invalid("remote write 2.0 is sent as snappy: other encodings are not part of it"));
    }
    Ok(Selected { codec, options: Options { encoding, ..limits }.to_bytes() })
}

#[cfg(test)]
mod tests;
