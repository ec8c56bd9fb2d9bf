//! Tenants: whose rows these are.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// A tenant's name: 1 to 150 characters of `[A-Za-z0-9!_.*'()-]`, not `.` or `..` (the rule of the systems whose
/// `X-Scope-OrgID` header names tenants), so that it is safe in a path and in an object key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of requests that name none.
    pub const DEFAULT: &'static str = "default";

    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b"!_.*'()-".contains(&b);
        if name.is_empty() || name.len() > 150 || name == "." || name == ".." || !name.bytes().all(ok) {
            return Err(Error::invalid(format!(
                "tenant id {:?} is not valid: 1 to 150 characters of A-Z a-z 0-9 ! _ . * ' ( ) - are allowed",
                name.chars().take(160).collect::<String>()
            )));
        }
        Ok(Tenant(name.into()))
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant(Self::DEFAULT.into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}
