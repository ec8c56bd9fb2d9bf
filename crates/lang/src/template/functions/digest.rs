//! Hashes that log pipelines hide values with.

use sha2::{Digest, Sha256};
use sha3::Sha3_256;

use super::{Function, Value};

pub(super) const ALL: &[Function] = &[
    // The salt comes first; the names are those of the collecting agents.
    Function::plain("Hash", 2, 2, |a| Ok(Value::owned(hex(&Sha3_256::digest(salted(a)?))))),
    Function::plain("Sha2Hash", 2, 2, |a| Ok(Value::owned(hex(&Sha256::digest(salted(a)?))))),
    Function::plain("sha256sum", 1, 1, |a| Ok(Value::owned(hex(&Sha256::digest(a[0].as_text()?))))),
];

fn salted(a: &[Value<'_>]) -> Result<String, String> {
    Ok([a[0].as_text()?, a[1].as_text()?].concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
