//! `sampling`: lets through a share of the lines. Which ones is decided by their text and time, so that the same lines are
//! chosen when they are read again.

use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// From 0, nothing, to 1, everything.
    rate: f64,
    drop_counter_reason: Option<String>,
}

struct Sampling {
    /// Hashes below it pass.
    below: u64,
    all: bool,
    reason: String,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    if !(0.0..=1.0).contains(&s.rate) {
        return Err(format!("rate must be between 0.0 and 1.0, received {}", s.rate));
    }
    let reason = s.drop_counter_reason.unwrap_or_else(|| "sampling_stage".into());
    Ok(Box::new(Sampling { below: (s.rate * 2f64.powi(64)) as u64, all: s.rate == 1.0, reason }))
}

impl Stage for Sampling {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let hash = base::hash::hash64(entry.line.as_bytes()) ^ base::hash::hash64(&entry.time_ns.to_le_bytes());
        if self.all || hash < self.below { Step::On } else { Step::Drop(self.reason.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, refused};

    #[test]
    fn a_share_passes_and_always_the_same() {
        let lines = vec!["the same text"; 2_000];
        let passed = |rate: &str| {
            outcome(&format!("[sampling: {{rate: {rate}}}]"), "", &lines).entries.iter().map(|e| e.time_ns).collect::<Vec<_>>()
        };
        let half = passed("0.5");
        assert!((850..1_150).contains(&half.len()), "{}", half.len());
        assert_eq!(half, passed("0.5"));
        assert_eq!((passed("0").len(), passed("1").len()), (0, 2_000));
        assert!(refused("[sampling: {rate: 1.5}]").contains("between 0.0 and 1.0"));
    }
}
