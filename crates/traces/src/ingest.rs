//! What turns received bodies into rows of the spans table: OTLP.
//!
//! A span's attributes, events and links stay the bytes they came as: the columns are views into the decompressed
//! body. A resource and scope is found by the hash of its bytes; only one that this node has never seen is read
//! ([`resource`]). JSON is turned into the protobuf form first.

pub mod resource;
mod rows;

use std::sync::Arc;

use base::hash::{hash128, hash128_seeded};
use base::{Error, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::encoding::{media_type, shorten};
use wire::otlp::{Form, Resource, Span};
use wire::{Encoding, Options};

use rows::Spans;

/// OTLP traces, protobuf, version 1.
pub const OTLP_PROTOBUF: u16 = 0x0301;
/// OTLP traces, JSON, version 1.
pub const OTLP_JSON: u16 = 0x0302;

/// All codecs of this crate.
pub fn codecs() -> Vec<Arc<dyn Codec>> {
    vec![Arc::new(Otlp { id: OTLP_PROTOBUF }), Arc::new(Otlp { id: OTLP_JSON })]
}

/// What a [`table::FrameHeader`] says about a body: how it is to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// `FrameHeader::codec`
    pub codec: u16,
    /// `FrameHeader::options`
    pub options: Bytes,
}

/// The codec of an OTLP export with these headers, and the form of its answer. `limits` are the tenant's; their
/// encoding is ignored. `Invalid` for other content types.
pub fn select_otlp(content_type: Option<&str>, content_encoding: Option<&str>, limits: Options) -> Result<(Selected, Form)> {
    let media = media_type(content_type.unwrap_or(""));
    let form = Form::of(&media).ok_or_else(|| {
        Error::invalid(format!("content type {:?} is not supported: use application/x-protobuf or application/json", shorten(&media)))
    })?;
    let encoding = Encoding::from_header(content_encoding, Encoding::SnappyFramed)?;
    let codec = if form == Form::Json { OTLP_JSON } else { OTLP_PROTOBUF };
    Ok((Selected { codec, options: Options { encoding, ..limits }.to_bytes() }, form))
}

/// Both forms, told apart by id.
struct Otlp {
    id: u16,
}

impl Codec for Otlp {
    fn id(&self) -> u16 {
        self.id
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let mut body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        if self.id == OTLP_JSON {
            body = wire::otlp::json::to_protobuf(&wire::otlp::TRACES, &body)?.into();
        }
        let mut spans = Spans::new(header, &body, sink)?;
        for resource in wire::otlp::resources(&body) {
            self.resource(&resource?, &options, &mut spans)?;
        }
        spans.finish()
    }
}

impl Otlp {
    fn resource(&self, resource: &Resource<'_>, options: &Options, spans: &mut Spans<'_>) -> Result<()> {
        let hashes = [hash128(&resource.message), hash128(resource.schema)];
        for scope in resource.scopes() {
            let scope = scope?;
            let mut records = scope.records().peekable();
            if records.peek().is_none() {
                continue;
            }
            let raw = self.hash([hashes[0], hashes[1], hash128(&scope.message), hash128(scope.schema)]);
            let series = spans.series(raw, || resource::labels(resource, &scope, options))?;
            for record in records {
                let record = record?;
                spans.push(&series, record.len(), &Span::new(record)?)?;
            }
        }
        Ok(())
    }

    /// Over everything that [`resource::labels`] reads.
    fn hash(&self, parts: [u128; 4]) -> u128 {
        let mut bytes = [0; 64];
        for (slot, part) in bytes.chunks_exact_mut(16).zip(parts) {
            slot.copy_from_slice(&part.to_le_bytes());
        }
        hash128_seeded(&bytes, u64::from(self.id))
    }
}

#[cfg(test)]
mod tests;
