//! `limit`: lets through at most `rate` lines a second, after a burst. With `drop` the others are dropped and counted.
//! Without it nothing is: the lines go on, and the source is made to wait until the rate is kept again.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::limits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Lines a second.
    rate: f64,
    /// Lines at once.
    burst: u32,
    #[serde(default)]
    drop: bool,
    /// Each value of this label has its own rate.
    by_label_name: Option<String>,
    max_distinct_labels: Option<usize>,
}

/// Tokens, and when they were counted.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ns: i64,
}

struct Limit {
    settings: Settings,
    buckets: Mutex<HashMap<String, Bucket>>,
    most: usize,
}

pub(super) fn build(settings: Settings) -> Result<Box<dyn Stage>, Refused> {
    if !settings.rate.is_finite() || settings.rate <= 0.0 || settings.burst == 0 {
        return Err("rate and burst must be greater than 0".into());
    }
    if settings.by_label_name.is_some() && !settings.drop {
        return Err("when limiting by label, drop must be true".into());
    }
    let most = settings.max_distinct_labels.unwrap_or(0).max(limits::LIMITED_VALUES);
    Ok(Box::new(Limit { settings, buckets: Mutex::new(HashMap::new()), most }))
}

impl Limit {
    fn burst(&self) -> f64 {
        f64::from(self.settings.burst)
    }

    fn filled(&self, b: Option<&Bucket>, now_ns: i64) -> f64 {
        let Some(b) = b else { return self.burst() };
        let passed = now_ns.saturating_sub(b.at_ns).max(0) as f64 / 1e9;
        (b.tokens + passed * self.settings.rate).min(self.burst())
    }
}

impl Stage for Limit {
    fn apply(&self, entry: &mut Entry, at: Moment, _: &mut Memory<'_>) -> Step {
        let key = match &self.settings.by_label_name {
            None => "",
            Some(name) => match entry.labels.get(name) {
                Some(value) => value,
                None => return Step::On,
            },
        };
        let mut buckets = self.buckets.lock();
        let mut tokens = self.filled(buckets.get(key), at.elapsed_ns);
        let passes = tokens >= 1.0 || !self.settings.drop;
        if passes {
            tokens -= 1.0;
        }
        let bucket = Bucket { tokens, at_ns: at.elapsed_ns };
        if let Some(b) = buckets.get_mut(key) {
            *b = bucket;
        } else {
            // Full buckets say nothing; those that are not are kept, or a flood of values would lift every limit.
            if buckets.len() >= self.most {
                buckets.retain(|_, b| self.filled(Some(b), at.elapsed_ns) < self.burst());
            }
            if buckets.len() >= self.most {
                buckets.clear();
            }
            buckets.insert(key.to_owned(), bucket);
        }
        if passes { Step::On } else { Step::Drop("ratelimit_drop_stage".into()) }
    }

    fn debt(&self, at: Moment) -> Option<Duration> {
        let tokens = self.filled(self.buckets.lock().get(""), at.elapsed_ns);
        (tokens < 0.0).then(|| Duration::from_secs_f64((-tokens / self.settings.rate).min(60.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::Outcome;
    use super::super::testing::{at, labels, outcome, pipeline, refused};
    use super::super::{Entry, State};

    #[test]
    fn lines_over_the_rate_are_dropped() {
        let p = pipeline("[limit: {rate: 2, burst: 3, drop: true}]");
        let (mut state, mut out) = (State::default(), Outcome::default());
        for second in [0, 0, 0, 0, 1, 1, 1] {
            p.process(Entry::new(labels(""), 0, "x"), at(second), &mut state, &mut out);
        }
        assert_eq!((out.entries.len(), out.dropped.len()), (5, 2));
        assert_eq!(out.dropped[0].reason, "ratelimit_drop_stage");
    }

    #[test]
    fn each_value_has_its_own_rate() {
        let stages = "[{labels: {v: v}}, {limit: {rate: 1, burst: 1, drop: true, by_label_name: v}}]";
        let out = outcome(
            &format!("[{{json: {{expressions: {{v: }}}}}}, {}", &stages[1..]),
            "",
            &[r#"{"v":1}"#, r#"{"v":2}"#, r#"{"v":1}"#, "{}", "{}"],
        );
        assert_eq!((out.entries.len(), out.dropped.len()), (4, 1));
    }

    #[test]
    fn without_drop_the_source_waits() {
        let p = pipeline("[limit: {rate: 2, burst: 1}]");
        let (mut state, mut out) = (State::default(), Outcome::default());
        for _ in 0..4 {
            p.process(Entry::new(labels(""), 0, "x"), at(0), &mut state, &mut out);
        }
        assert_eq!(out.entries.len(), 4);
        assert_eq!(p.debt(at(0)).map(|d| d.as_millis()), Some(1_500));
        assert_eq!(p.debt(at(2)), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[limit: {rate: 0, burst: 1}]").contains("greater than 0"));
        assert!(refused("[limit: {rate: 1, burst: 1, by_label_name: a}]").contains("drop must be true"));
    }
}
