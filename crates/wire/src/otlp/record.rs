//! A log record.

use crate::proto::{Fields, Region, Result};

/// Field numbers of `LogRecord`.
#[allow(missing_docs)]
pub mod field {
    pub const TIME: u32 = 1;
    pub const SEVERITY_NUMBER: u32 = 2;
    pub const SEVERITY_TEXT: u32 = 3;
    pub const BODY: u32 = 5;
    pub const ATTRIBUTES: u32 = 6;
    pub const DROPPED_ATTRIBUTES: u32 = 7;
    pub const FLAGS: u32 = 8;
    pub const TRACE_ID: u32 = 9;
    pub const SPAN_ID: u32 = 10;
    pub const OBSERVED_TIME: u32 = 11;
    pub const EVENT_NAME: u32 = 12;
}

/// A log record, borrowed.
#[derive(Clone, Debug, Default)]
pub struct LogRecord<'a> {
    /// When it happened, nanoseconds since 1970; 0 if not known.
    pub time_ns: u64,
    /// When it was seen; 0 if not known.
    pub observed_ns: u64,
    /// 0 if not given, else 1 to 24.
    pub severity_number: u64,
    /// The level as the source writes it.
    pub severity_text: &'a [u8],
    /// An encoded `AnyValue`.
    pub body: &'a [u8],
    /// Attributes, in the form of [`base::attrs`].
    pub attributes: Region<'a>,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u64,
    /// Flags; the low 8 bits are W3C trace flags.
    pub flags: u32,
    /// 16 bytes, or none.
    pub trace_id: &'a [u8],
    /// 8 bytes, or none.
    pub span_id: &'a [u8],
    /// Name of the event, if it is one.
    pub event_name: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// Reads an encoded record.
    pub fn new(message: &'a [u8]) -> Result<Self> {
        let mut r = LogRecord::default();
        let mut fields = Fields::new(message);
        loop {
            let start = fields.position();
            let Some((n, v)) = fields.next()? else { return Ok(r) };
            match n {
                field::TIME => r.time_ns = v.fixed64()?,
                field::OBSERVED_TIME => r.observed_ns = v.fixed64()?,
                field::SEVERITY_NUMBER => r.severity_number = v.varint()?,
                field::SEVERITY_TEXT => r.severity_text = v.bytes()?,
                field::BODY => r.body = v.bytes()?,
                field::ATTRIBUTES => {
                    v.bytes()?;
                    r.attributes.add(message, start, fields.position());
                }
                field::DROPPED_ATTRIBUTES => r.dropped_attributes = v.varint()?,
                field::FLAGS => r.flags = v.fixed32()?,
                field::TRACE_ID => r.trace_id = v.bytes()?,
                field::SPAN_ID => r.span_id = v.bytes()?,
                field::EVENT_NAME => r.event_name = v.bytes()?,
                _ => {}
            }
        }
    }
}
