//! Dates and durations. Times are in UTC: a template that shows other times on other hosts would not be one template.

use jiff::tz::TimeZone;

use super::{Function, Value};
use crate::duration;
use crate::go_time::{Civil, Layout};
use crate::template::numbers::to_int;

pub(super) const ALL: &[Function] = &[
    Function::plain("date", 2, 2, |a| {
        let layout = Layout::new(a[0].as_text()?);
        Ok(Value::owned(layout.write(instant(&a[1])?, 0)))
    }),
    Function::plain("toDate", 2, 2, |a| {
        let (layout, text) = (a[0].as_text()?, a[1].as_text()?);
        let read = Layout::new(layout).read(text).and_then(|c| c.ns());
        read.map(Value::Time).ok_or_else(|| format!("cannot parse {text:?} as {layout:?}"))
    }),
    Function::plain("toDateInZone", 3, 3, |a| {
        let (layout, zone, text) = (a[0].as_text()?, a[1].as_text()?, a[2].as_text()?);
        let read = Layout::new(layout).read(text).ok_or_else(|| format!("cannot parse {text:?} as {layout:?}"))?;
        in_zone(&read, zone)?.map(Value::Time).ok_or_else(|| format!("cannot parse {text:?} as {layout:?}"))
    }),
    Function::plain("unixEpoch", 1, 1, |a| Ok(Value::owned((instant(&a[0])?.div_euclid(1_000_000_000)).to_string()))),
    Function::plain("unixEpochMillis", 1, 1, |a| Ok(Value::owned((instant(&a[0])?.div_euclid(1_000_000)).to_string()))),
    Function::plain("unixEpochNanos", 1, 1, |a| Ok(Value::owned(instant(&a[0])?.to_string()))),
    Function::plain("unixToTime", 1, 1, |a| {
        let text = a[0].as_text()?;
        // Days, seconds, milliseconds, microseconds or nanoseconds, told apart by their digits.
        let scale = match text.len() {
            5 => 86_400_000_000_000,
            10 => 1_000_000_000,
            13 => 1_000_000,
            16 => 1_000,
            19 => 1,
            _ => return Err(format!("unable to parse time {text:?}")),
        };
        text.parse::<i64>().ok().and_then(|n| n.checked_mul(scale)).map(Value::Time).ok_or_else(|| format!("unable to parse time {text:?}"))
    }),
    Function::plain("duration", 1, 1, seconds),
    Function::plain("duration_seconds", 1, 1, seconds),
];

fn instant(v: &Value<'_>) -> Result<i64, String> {
    match v {
        Value::Time(ns) => Ok(*ns),
        Value::Int(_) => to_int(v).checked_mul(1_000_000_000).ok_or_else(|| "time out of range".into()),
        other => Err(format!("expected a time; found {}", other.kind())),
    }
}

/// The instant at which clocks of the zone show this, unless the text said itself how far from UTC it is. Where the clocks
/// were put back, the first of the two.
fn in_zone(read: &Civil, zone: &str) -> Result<Option<i64>, String> {
    if read.offset_s.is_some() || matches!(zone, "" | "UTC") {
        return Ok(read.ns());
    }
    let zone = TimeZone::get(zone).map_err(|_| format!("unknown time zone {zone:?}"))?;
    Ok(read.as_utc_ns().and_then(|ns| {
        let shown = jiff::Timestamp::from_nanosecond(i128::from(ns)).ok()?.to_zoned(TimeZone::UTC).datetime();
        let there = zone.to_ambiguous_timestamp(shown).compatible().ok()?;
        i64::try_from(there.as_nanosecond()).ok()
    }))
}

fn seconds<'a>(a: &[Value<'a>]) -> Result<Value<'a>, String> {
    let t = a[0].as_text()?;
    duration::parse_go(t).map(|ns| Value::Float(ns as f64 / 1e9)).ok_or_else(|| format!("{t:?} is not a duration"))
}
