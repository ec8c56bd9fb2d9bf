//! A span.

use crate::proto::{Fields, Region, Result};

/// Field numbers of `Span`.
#[allow(missing_docs)]
pub mod field {
    pub const TRACE_ID: u32 = 1;
    pub const SPAN_ID: u32 = 2;
    pub const TRACE_STATE: u32 = 3;
    pub const PARENT_ID: u32 = 4;
    pub const NAME: u32 = 5;
    pub const KIND: u32 = 6;
    pub const START: u32 = 7;
    pub const END: u32 = 8;
    pub const ATTRIBUTES: u32 = 9;
    pub const DROPPED_ATTRIBUTES: u32 = 10;
    pub const EVENTS: u32 = 11;
    pub const DROPPED_EVENTS: u32 = 12;
    pub const LINKS: u32 = 13;
    pub const DROPPED_LINKS: u32 = 14;
    /// `Status { 2: message, 3: code }`
    pub const STATUS: u32 = 15;
    pub const STATUS_MESSAGE: u32 = 2;
    pub const STATUS_CODE: u32 = 3;
    pub const FLAGS: u32 = 16;
}

/// A span, borrowed.
#[derive(Clone, Debug, Default)]
pub struct Span<'a> {
    /// 16 bytes in a valid span.
    pub trace_id: &'a [u8],
    /// 8 bytes in a valid span.
    pub span_id: &'a [u8],
    /// 8 bytes, or none.
    pub parent_id: &'a [u8],
    /// W3C trace state.
    pub trace_state: &'a [u8],
    /// Name of the operation.
    pub name: &'a [u8],
    /// `SpanKind`.
    pub kind: u64,
    /// Nanoseconds since 1970.
    pub start_ns: u64,
    /// Nanoseconds since 1970.
    pub end_ns: u64,
    /// `StatusCode`.
    pub status: u64,
    /// Text beside the status.
    pub status_message: &'a [u8],
    /// Flags; the low 8 bits are W3C trace flags.
    pub flags: u32,
    /// The attribute fields, tags included, in the form of [`base::attrs`].
    pub attributes: Region<'a>,
    /// The event fields, tags included.
    pub events: Region<'a>,
    /// The link fields, tags included.
    pub links: Region<'a>,
    /// The fields that count what the sender dropped, tags included; those that are 0 are left out.
    pub dropped: Region<'a>,
}

impl<'a> Span<'a> {
    /// Reads an encoded span.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let mut s = Span::default();
        let mut fields = Fields::new(message);
        loop {
            let start = fields.position();
            let Some((n, v)) = fields.next()? else { return Ok(s) };
            let end = fields.position();
            match n {
                field::TRACE_ID => s.trace_id = v.bytes()?,
                field::SPAN_ID => s.span_id = v.bytes()?,
                field::TRACE_STATE => s.trace_state = v.bytes()?,
                field::PARENT_ID => s.parent_id = v.bytes()?,
                field::NAME => s.name = v.bytes()?,
                field::KIND => s.kind = v.varint()?,
                field::START => s.start_ns = v.fixed64()?,
                field::END => s.end_ns = v.fixed64()?,
                field::ATTRIBUTES => v.bytes().map(|_| s.attributes.add(message, start, end))?,
                field::EVENTS => v.bytes().map(|_| s.events.add(message, start, end))?,
                field::LINKS => v.bytes().map(|_| s.links.add(message, start, end))?,
                field::DROPPED_ATTRIBUTES | field::DROPPED_EVENTS | field::DROPPED_LINKS if v.varint()? != 0 => {
                    s.dropped.add(message, start, end);
                }
                field::STATUS => s.read_status(v.bytes()?)?,
                field::FLAGS => s.flags = v.fixed32()?,
                _ => {}
            }
        }
    }

    fn read_status(&mut self, message: &'a [u8]) -> Result<()> {
        let mut fields = Fields::new(message);
        while let Some((n, v)) = fields.next()? {
            match n {
                field::STATUS_MESSAGE => self.status_message = v.bytes()?,
                field::STATUS_CODE => self.status = v.varint()?,
                _ => {}
            }
        }
        Ok(())
    }
}
