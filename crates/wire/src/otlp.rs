//! OTLP, logs and traces (opentelemetry-proto 1.x; both signals share one shape of request).
//!
//! `Export { 1: PerResource* }`, `PerResource { 1: Resource, 2: PerScope*, 3: schema_url }`, `PerScope { 1: Scope,
//! 2: record*, 3: schema_url }`, `Resource { 1: attributes, 2: dropped_attributes_count }`, `Scope { 1: name,
//! 2: version, 3: attributes, 4: dropped_attributes_count }`.

pub mod json;
mod record;
mod response;
mod schema;
mod span;
mod write;

use std::borrow::Cow;

use crate::proto::{Fields, Region, Repeated, Result, embedded, repeated};

pub use record::{LogRecord, field as log_field};
pub use response::{Form, Signal, grpc_code, status, success};
pub use schema::{LOGS, Schema, TRACES};
pub use span::{Span, field as span_field};
pub use write::{RecordFields, SpanFields, logs, traces};

/// What is observed, and by which instrumentation: the owner of records.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// The `Resource` message.
    pub resource: Cow<'a, [u8]>,
    /// Schema of the resource; empty if none is named.
    pub resource_schema: &'a [u8],
    /// The `InstrumentationScope` message.
    pub scope: Cow<'a, [u8]>,
    /// Schema of the scope and its records; empty if none is named.
    pub scope_schema: &'a [u8],
    message: &'a [u8],
}

impl<'a> Owner<'a> {
    /// Its spans or log records, encoded. After an error it ends.
    pub fn records(&self) -> Repeated<'a> {
        repeated(self.message, 2)
    }
    /// The resource's attributes, in the form of [`base::attrs`].
    pub fn resource_attributes(&self) -> Result<Region<'_>> {
        region(&self.resource, 1)
    }
    /// The scope's name, version and attributes.
    pub fn scope_parts(&self) -> Result<ScopeParts<'_>> {
        let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Fields::new(&self.scope);
        while let Some((n, v)) = fields.next()? {
            match n {
                1 => name = v.bytes()?,
                2 => version = v.bytes()?,
                _ => {}
            }
        }
        Ok(ScopeParts { name, version, attributes: region(&self.scope, 3)? })
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

/// Calls `f` for each resource and scope of an uncompressed protobuf request, in order.
pub fn each_owner<'a>(body: &'a [u8], mut f: impl FnMut(&Owner<'a>) -> base::Result<()>) -> base::Result<()> {
    for per_resource in repeated(body, 1) {
        let per_resource = per_resource?;
        let resource = embedded(per_resource, 1)?;
        let resource_schema = last_bytes(per_resource, 3)?;
        for message in repeated(per_resource, 2) {
            let message = message?;
            f(&Owner {
                resource: resource.clone(),
                resource_schema,
                scope: embedded(message, 1)?,
                scope_schema: last_bytes(message, 3)?,
                message,
            })?;
        }
    }
    Ok(())
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
