//! OTLP: logs, metrics and traces (opentelemetry-proto 1.x; the signals share one shape of request).
//!
//! `Export { 1: PerResource* }`, `PerResource { 1: Resource, 2: PerScope*, 3: schema_url }`, `PerScope { 1: Scope,
//! 2: record*, 3: schema_url }`, `Resource { 1: attributes, 2: dropped_attributes_count }`, `Scope { 1: name,
//! 2: version, 3: attributes, 4: dropped_attributes_count }`.

pub mod json;
pub mod metric;
mod record;
mod response;
mod schema;
mod span;
mod text;
mod write;

use std::borrow::Cow;

use crate::proto::{Fields, Region, Repeated, Result, embedded, repeated};

pub use record::{LogRecord, field as log_field};
pub use response::{Form, Signal, status, success};
pub use schema::{LOGS, METRICS, Schema, TRACES};
pub use span::{Span, field as span_field};
pub use text::show;
pub use write::{RecordFields, SpanFields, logs, traces};

/// The resources of an uncompressed protobuf request. After an error it ends.
pub fn resources(body: &[u8]) -> impl Iterator<Item = Result<Resource<'_>>> {
    repeated(body, 1).map(|group| {
        let group = group?;
        Ok(Resource { message: embedded(group, 1)?, schema: last_bytes(group, 3)?, group })
    })
}

/// What is observed, and what is known of it.
#[derive(Clone, Debug)]
pub struct Resource<'a> {
    /// The `Resource` message.
    pub message: Cow<'a, [u8]>,
    /// URL of its schema; empty if none is named.
    pub schema: &'a [u8],
    group: &'a [u8],
}

impl<'a> Resource<'a> {
    /// Its attributes, in the form of [`base::attrs`].
    pub fn attributes(&self) -> Result<Region<'_>> {
        region(&self.message, 1)
    }
    /// By which instrumentation it is observed. After an error it ends.
    pub fn scopes(&self) -> impl Iterator<Item = Result<Scope<'a>>> + use<'a> {
        repeated(self.group, 2).map(|group| {
            let group = group?;
            Ok(Scope { message: embedded(group, 1)?, schema: last_bytes(group, 3)?, group })
        })
    }
}

/// An instrumentation, with what it recorded.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The `InstrumentationScope` message.
    pub message: Cow<'a, [u8]>,
    /// URL of the schema of it and its records; empty if none is named.
    pub schema: &'a [u8],
    group: &'a [u8],
}

impl<'a> Scope<'a> {
    /// Its spans, log records or metrics, encoded. After an error it ends.
    pub fn records(&self) -> Repeated<'a> {
        repeated(self.group, 2)
    }
    /// Name, version and attributes.
    pub fn parts(&self) -> Result<ScopeParts<'_>> {
        let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Fields::new(&self.message);
        while let Some((n, v)) = fields.next()? {
            match n {
                1 => name = v.bytes()?,
                2 => version = v.bytes()?,
                _ => {}
            }
        }
        Ok(ScopeParts { name, version, attributes: region(&self.message, 3)? })
    }
}

/// What a scope says.
#[derive(Clone, Debug)]
pub struct ScopeParts<'a> {
    /// Name; empty if none.
    pub name: &'a [u8],
    /// Version; empty if none.
    pub version: &'a [u8],
    /// Attributes, in the form of [`base::attrs`].
    pub attributes: Region<'a>,
}

/// The fields `number` of `message`, tags included.
fn region(message: &[u8], number: u32) -> Result<Region<'_>> {
    let mut out = Region::default();
    let mut fields = Fields::new(message);
    loop {
        let start = fields.position();
        let Some((n, v)) = fields.next()? else { return Ok(out) };
        if n == number {
            v.bytes()?;
            out.add(message, start, fields.position());
        }
    }
}

fn last_bytes(message: &[u8], number: u32) -> Result<&[u8]> {
    repeated(message, number).try_fold(&[][..], |_, b| b)
}
