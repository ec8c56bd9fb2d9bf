//! What agents report of themselves: kept so that the ledger of an agent can be read also when it has fallen silent.
//!
//! A report is the agent's word and stays as it came. It is kept in memory: every agent that lives sends another within
//! seconds of a restart of this server.

use std::collections::BTreeMap;

use base::{Error, Kind, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::app::{Call, json as answer, no_content};
use crate::limits;
use crate::routes::Answer;

/// The last report of each agent.
#[derive(Default)]
pub(crate) struct Agents(Mutex<BTreeMap<String, Known>>);

struct Known {
    received_ns: i64,
    /// On the clock that never jumps, nanoseconds.
    elapsed_ns: i64,
    report: Value,
}

impl Agents {
    /// Takes a report.
    fn take(&self, report: Value, now_ns: i64, elapsed_ns: i64) -> Result<()> {
        let id = report.get("agent").and_then(Value::as_str).filter(|id| !id.is_empty() && id.len() <= limits::AGENT_ID_BYTES);
        let id = id.ok_or_else(|| Error::invalid("the report names no agent: \"agent\" is missing or too long"))?.to_owned();
        let mut known = self.0.lock();
        if known.len() >= limits::AGENTS && !known.contains_key(&id) {
            // The one that has been silent for longest makes room.
            let longest = known.iter().min_by_key(|(_, k)| k.elapsed_ns).map(|(id, _)| id.clone());
            longest.map(|id| known.remove(&id));
        }
        known.insert(id, Known { received_ns: now_ns, elapsed_ns, report });
        Ok(())
    }

    /// All of them, and since when they have been silent.
    fn view(&self, elapsed_ns: i64) -> Value {
        let one = |k: &Known| {
            let silent_ns = (elapsed_ns - k.elapsed_ns).max(0);
            json!({
                "received_ns": k.received_ns,
                "silent_seconds": silent_ns as f64 / 1e9,
                "silent": silent_ns > limits::AGENT_SILENT_NS,
                "report": k.report,
            })
        };
        json!({ "agents": self.0.lock().values().map(one).collect::<Vec<_>>() })
    }
}

/// `POST /api/v1/agents`: an agent's report.
pub(crate) async fn report(mut call: Call) -> Answer {
    let received = call.read_body(limits::AGENT_REPORT_BYTES).await?;
    let report: Value =
        serde_json::from_slice(&received.bytes).map_err(|e| Error::new(Kind::Invalid, format!("the report is not JSON: {e}")))?;
    let clock = call.app.backend.clock();
    call.app.agents.take(report, clock.now_ns(), clock.elapsed_ns())?;
    Ok(no_content())
}

/// `GET /api/v1/agents`: the last report of each agent, and since when it has been silent.
pub(crate) async fn list(call: Call) -> Answer {
    Ok(answer(call.app.agents.view(call.app.backend.clock().elapsed_ns()).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_stays_and_silence_is_seen() {
        let agents = Agents::default();
        agents.take(json!({"agent": "a", "number": 1}), 5, 5).unwrap();
        agents.take(json!({"agent": "a", "number": 2}), 6, 6).unwrap();
        agents.take(json!({"agent": "b"}), 6, limits::AGENT_SILENT_NS).unwrap();
        let view = agents.view(limits::AGENT_SILENT_NS + 7);
        assert_eq!(view["agents"][0]["report"]["number"], 2);
        assert_eq!((view["agents"][0]["silent"].clone(), view["agents"][1]["silent"].clone()), (json!(true), json!(false)));
        for wrong in [json!({}), json!({"agent": ""}), json!({"agent": "x".repeat(1000)}), json!([])] {
            assert_eq!(agents.take(wrong, 0, 0).unwrap_err().kind(), Kind::Invalid);
        }
    }

    #[test]
    fn the_one_silent_for_longest_makes_room() {
        let agents = Agents::default();
        for i in 0..limits::AGENTS + 1 {
            agents.take(json!({"agent": format!("{i:06}")}), 0, i as i64).unwrap();
        }
        let known = agents.0.lock();
        assert!(known.len() == limits::AGENTS && !known.contains_key("000000"));
    }
}
