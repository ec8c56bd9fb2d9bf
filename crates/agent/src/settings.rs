//! How durations are written in settings: with a unit.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Reads `30s`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    let ns = base::units::parse_duration_ns(&text).map_err(|e| D::Error::custom(e.message()))?;
    if ns <= 0 {
        return Err(D::Error::custom(format!("{text:?} must be longer than nothing")));
    }
    Ok(Duration::from_nanos(ns as u64))
}

/// Writes `30s`.
pub(crate) fn serialize<S: Serializer>(v: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&base::units::format_duration_ns(i64::try_from(v.as_nanos()).unwrap_or(i64::MAX)))
}
