//! What a store promises, held against every kind of store.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // tests

mod cache;
mod conformance;
mod faulty;
#[cfg(feature = "remote")]
mod s3;
