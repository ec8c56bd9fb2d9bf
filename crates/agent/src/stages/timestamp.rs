//! `timestamp`: the time of a line, from what was extracted. Lines whose times are equal in one stream get a nanosecond
//! more each, so that their order stays; a line without a time follows the one before (`fudge`) or keeps the time at which
//! it was read (`skip`).

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use lang::go_time::{self, Civil, Layout};
use serde::Deserialize;

use super::parse::required;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: String,
    /// A name of Go's (`RFC3339`), `Unix`, `UnixMs`, `UnixUs`, `UnixNs`, or a layout of Go's.
    format: String,
    #[serde(default)]
    fallback_formats: Vec<String>,
    /// IANA name of the zone of times that do not say theirs.
    location: Option<String>,
    action_on_failure: Option<String>,
    action_on_duplicate_timestamp: Option<String>,
}

enum Format {
    /// Seconds, with a fraction.
    Seconds,
    /// So many nanoseconds each.
    Units(i64),
    /// Whether the location counts: not for the layouts that have a name.
    Layout(Layout, bool),
}

struct Timestamp {
    source: String,
    formats: Vec<Format>,
    zone: Option<TimeZone>,
    fudge_failure: bool,
    fudge_duplicate: bool,
}

/// One of two words; true for the second, which is the default.
fn choice(written: &Option<String>, words: [&str; 2], name: &str) -> Result<bool, Refused> {
    match written.as_deref() {
        None | Some("") => Ok(true),
        Some(w) if w == words[1] => Ok(true),
        Some(w) if w == words[0] => Ok(false),
        Some(w) => Err(format!("invalid {name} {w:?}: write {} or {}", words[0], words[1])),
    }
}

fn format(text: &str) -> Format {
    match text {
        "Unix" => Format::Seconds,
        "UnixMs" => Format::Units(1_000_000),
        "UnixUs" => Format::Units(1_000),
        "UnixNs" => Format::Units(1),
        _ => match go_time::named(text) {
            Some(layout) => Format::Layout(Layout::new(layout), false),
            None => Format::Layout(Layout::new(text), true),
        },
    }
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.source, "source")?;
    required(&s.format, "format")?;
    let zone = match s.location.as_deref() {
        None | Some("") => None,
        Some(name) => Some(TimeZone::get(name).map_err(|_| format!("there is no location {name:?}"))?),
    };
    Ok(Box::new(Timestamp {
        source: s.source,
        formats: std::iter::once(&s.format).chain(&s.fallback_formats).map(|t| format(t)).collect(),
        zone,
        fudge_failure: choice(&s.action_on_failure, ["skip", "fudge"], "action_on_failure")?,
        fudge_duplicate: choice(&s.action_on_duplicate_timestamp, ["keep", "fudge"], "action_on_duplicate_timestamp")?,
    }))
}

/// `1700000000.5`
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    let nanos = match fraction {
        "" if text.contains('.') => return None,
        "" => 0,
        f => {
            let kept = &f[..f.bytes().take(9).take_while(u8::is_ascii_digit).count()];
            if kept.is_empty() || !f.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            kept.parse::<i64>().ok()? * 10i64.pow(9 - kept.len() as u32)
        }
    };
    whole.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The year that a date without one is in, seen from a moment: around New Year the one before or after.
fn with_year(mut c: Civil, seen_ns: i64) -> Civil {
    let seen = Civil::of(seen_ns, 0);
    c.year = match (seen.month, c.month) {
        (1, 12) => seen.year - 1,
        (12, 1) => seen.year + 1,
        _ => seen.year,
    };
    c
}

fn in_zone(c: &Civil, zone: &TimeZone) -> Option<i64> {
    let (hour, minute, second, nanos) = c.clock();
    let time = Time::new(hour as i8, minute as i8, second as i8, nanos as i32).ok()?;
    let date = jiff::civil::Date::new(i16::try_from(c.year).ok()?, c.month as i8, c.day as i8).ok()?;
    let moment = zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

impl Timestamp {
    fn read(&self, text: &str, seen_ns: i64) -> Option<i64> {
        self.formats.iter().find_map(|f| match f {
            Format::Seconds => seconds(text),
            Format::Units(ns) => text.parse::<i64>().ok()?.checked_mul(*ns),
            Format::Layout(layout, local) => {
                let mut c = layout.read(text)?;
                if !layout.has_year() {
                    c = with_year(c, seen_ns);
                }
                match &self.zone {
                    Some(zone) if *local && c.offset_s.is_none() => in_zone(&c, zone),
                    _ => c.ns(),
                }
            }
        })
    }
}

impl Stage for Timestamp {
    fn apply(&self, entry: &mut Entry, _: Moment, memory: &mut Memory<'_>) -> Step {
        let read = entry.extracted.text(&self.source).and_then(|t| self.read(&t, entry.time_ns));
        if !self.fudge_failure && !self.fudge_duplicate {
            entry.time_ns = read.unwrap_or(entry.time_ns);
            return Step::On;
        }
        // Labels of an entry are distinct, which is all that could be wrong.
        let Ok(key) = entry.labels.to_labels() else { return Step::On };
        let last = memory.last_time(&key);
        let times = match (read, last) {
            (Some(t), Some((parsed, given))) if t == parsed && self.fudge_duplicate => (t, given.saturating_add(1)),
            (Some(t), _) => (t, t),
            (None, Some((parsed, given))) if self.fudge_failure => (parsed, given.saturating_add(1)),
            (None, _) => return Step::On,
        };
        entry.time_ns = times.1;
        memory.set_last_time(key, times);
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TIME_NS, outcome, refused, time};

    /// 2023-11-14T22:13:20Z
    const T: i64 = 1_700_000_000_000_000_000;

    fn stages(settings: &str) -> String {
        format!("[{{regex: {{expression: '^(?P<t>.*)$'}}}}, {{timestamp: {{source: t, {settings}}}}}]")
    }

    #[test]
    fn times_are_read() {
        for (settings, text, want) in [
            ("format: Unix", "1700000000", T),
            ("format: Unix", "1700000000.25", T + 250_000_000),
            ("format: UnixMs", "1700000000001", T + 1_000_000),
            ("format: UnixUs", "1700000000000001", T + 1_000),
            ("format: UnixNs", "1700000000000000001", T + 1),
            ("format: RFC3339", "2023-11-14T23:13:20+01:00", T),
            ("format: RFC3339Nano", "2023-11-14T22:13:20.5Z", T + 500_000_000),
            ("format: RFC822", "14 Nov 23 22:13 UTC", T - 20_000_000_000),
            ("format: '2006-01-02 15:04:05'", "2023-11-14 22:13:20", T),
            ("format: '2006-01-02 15:04:05', location: Europe/Berlin", "2023-11-14 23:13:20", T),
            // What says its own zone is not moved.
            ("format: '2006-01-02 15:04:05 -0700', location: Asia/Seoul", "2023-11-14 22:13:20 +0000", T),
            ("format: RFC3339, fallback_formats: [UnixMs, Unix]", "1700000000000", T),
            // Lines of these tests are read on 2023-11-14.
            ("format: 'Jan _2 15:04:05'", "Nov 14 22:13:20", T),
        ] {
            assert_eq!(time(&stages(settings), text), want, "{settings} {text}");
        }
    }

    #[test]
    fn a_year_is_found_around_new_year() {
        use super::{Civil, with_year};
        let date = |month| Civil { month, day: 1, ..Civil::default() };
        let new_year_ns = 1_704_067_200_000_000_000; // 2024-01-01
        assert_eq!(with_year(date(12), new_year_ns).year, 2023);
        assert_eq!(with_year(date(1), new_year_ns - 1).year, 2024);
        assert_eq!(with_year(date(3), new_year_ns).year, 2024);
    }

    #[test]
    fn order_stays_where_times_are_equal_or_missing() {
        let lines = ["none", "1700000000", "1700000000", "none", "1700000001", "none"];
        let times = |s: &str| outcome(&stages(s), "a=1", &lines).entries.iter().map(|e| e.time_ns - T).collect::<Vec<_>>();
        const S: i64 = 1_000_000_000;
        assert_eq!(times("format: Unix"), [TIME_NS - T, 0, 1, 2, S, S + 1]);
        assert_eq!(times("format: Unix, action_on_duplicate_timestamp: keep"), [0, 0, 0, 1, S, S + 1]);
        assert_eq!(times("format: Unix, action_on_failure: skip"), [0, 0, 1, 3, S, 5]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[timestamp: {source: a, format: ''}]").contains("format is required"));
        assert!(refused("[timestamp: {source: '', format: Unix}]").contains("source is required"));
        assert!(refused(&stages("format: x, location: Nowhere/Town")).contains("no location"));
        assert!(refused(&stages("format: x, action_on_failure: x")).contains("write skip or fudge"));
        for text in ["1.", "1.x", ".5", "x", "9999999999999999999", "é"] {
            assert_eq!(time(&stages("format: Unix"), text), TIME_NS, "{text}");
        }
    }
}
