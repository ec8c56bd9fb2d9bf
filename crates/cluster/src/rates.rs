//! What the nodes of a cluster take of each tenant. A limit is the tenant's, not a node's: each node tells the others in its hellos
//! what it took lately, and leaves room for it. Whoever talks to one node alone has the whole limit there; clients that spread over all
//! nodes have it once. For a moment after a change they may have it once more for each node.

use std::collections::HashMap;

use base::{Clock, Tenant};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::distributor::Rate;
use crate::limits;
use crate::transport::NodeId;

/// What one node takes of a tenant's rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Whose.
    pub tenant: String,
    /// Of which table.
    pub table: String,
    /// Over the last seconds.
    pub bytes_per_second: u64,
}

type Key = (String, String);

/// An average that forgets: what came counts for less with each second.
struct Meter {
    bytes: f64,
    at_ns: i64,
}

impl Meter {
    fn at(&self, now_ns: i64) -> f64 {
        let passed = now_ns.saturating_sub(self.at_ns).max(0) as f64 / 1e9;
        self.bytes * (-passed / limits::RATE_SECONDS).exp()
    }
}

/// What a member said last, and when.
struct Heard {
    taken: HashMap<Key, u64>,
    at_ns: i64,
}

/// What this node takes, and what others say that they take.
pub struct Rates {
    clock: Clock,
    here: Mutex<HashMap<Key, Meter>>,
    elsewhere: Mutex<HashMap<NodeId, Heard>>,
}

impl Rates {
    /// Nothing yet.
    pub fn new(clock: Clock) -> Self {
        Rates { clock, here: Mutex::default(), elsewhere: Mutex::default() }
    }

    /// This node has taken so many bytes.
    pub fn took(&self, tenant: &Tenant, table: &str, bytes: u64) {
        let now = self.clock.elapsed_ns();
        let key = (tenant.to_string(), table.to_owned());
        let mut here = self.here.lock();
        if here.len() >= limits::RATES && !here.contains_key(&key) {
            here.retain(|_, m| m.at(now) >= 1.0);
            if here.len() >= limits::RATES {
                return;
            }
        }
        let m = here.entry(key).or_insert(Meter { bytes: 0.0, at_ns: now });
        *m = Meter { bytes: m.at(now) + bytes as f64, at_ns: now };
    }

    /// For a hello: the largest.
    pub fn report(&self) -> Vec<Taken> {
        let now = self.clock.elapsed_ns();
        let here = self.here.lock();
        let rate = |m: &Meter| (m.at(now) / limits::RATE_SECONDS) as u64;
        let mut all: Vec<(&Key, u64)> = here.iter().map(|(k, m)| (k, rate(m))).filter(|(_, r)| *r > 0).collect();
        all.sort_by_key(|(k, r)| (std::cmp::Reverse(*r), *k));
        all.truncate(limits::RATES_TOLD);
        all.into_iter().map(|((t, table), r)| Taken { tenant: t.clone(), table: table.clone(), bytes_per_second: r }).collect()
    }

    /// What a member says.
    pub fn heard(&self, from: NodeId, taken: &[Taken]) {
        let taken = taken.iter().take(limits::RATES_TOLD).map(|t| ((t.tenant.clone(), t.table.clone()), t.bytes_per_second)).collect();
        let now = self.clock.elapsed_ns();
        let mut elsewhere = self.elsewhere.lock();
        elsewhere.retain(|_, h| is_fresh(h, now));
        elsewhere.insert(from, Heard { taken, at_ns: now });
    }

    /// What this node may take so that all together keep to `limit`: what the others leave, and at least an equal share.
    pub fn share(&self, tenant: &Tenant, table: &str, limit: Rate) -> Rate {
        let now = self.clock.elapsed_ns();
        let key = (tenant.to_string(), table.to_owned());
        let elsewhere = self.elsewhere.lock();
        let others: Vec<u64> = elsewhere.values().filter(|h| is_fresh(h, now)).filter_map(|h| h.taken.get(&key).copied()).collect();
        let left = limit.bytes_per_second.saturating_sub(others.iter().sum());
        Rate { bytes_per_second: left.max(limit.bytes_per_second / (others.len() as u64 + 1)), ..limit }
    }
}

fn is_fresh(h: &Heard, now_ns: i64) -> bool {
    now_ns.saturating_sub(h.at_ns) < limits::RATES_FRESH_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Rate = Rate { bytes_per_second: 1000, burst_bytes: 2000 };

    fn of(rates: &Rates) -> u64 {
        rates.share(&Tenant::new("a").unwrap(), "logs", LIMIT).bytes_per_second
    }

    fn said(bytes_per_second: u64) -> Vec<Taken> {
        vec![Taken { tenant: "a".into(), table: "logs".into(), bytes_per_second }]
    }

    #[test]
    fn what_others_take_is_left_to_them_and_an_equal_share_is_ones_own() {
        let clock = Clock::manual(0);
        let rates = Rates::new(clock.clone());
        assert_eq!(of(&rates), 1000, "whoever talks to this node alone has all of it");
        rates.heard(NodeId(2), &said(300));
        assert_eq!(of(&rates), 700);
        rates.heard(NodeId(2), &said(1000));
        assert_eq!(of(&rates), 500);
        rates.heard(NodeId(3), &said(1000));
        assert_eq!(of(&rates), 333);
        assert_eq!(rates.share(&Tenant::new("b").unwrap(), "logs", LIMIT), LIMIT, "another tenant");
        clock.advance_ns(limits::RATES_FRESH_NS);
        assert_eq!(of(&rates), 1000, "members that fell silent take nothing");
    }

    #[test]
    fn a_steady_rate_is_told_as_it_is_and_forgotten_when_it_ends() {
        let clock = Clock::manual(0);
        let rates = Rates::new(clock.clone());
        let tenant = Tenant::new("a").unwrap();
        for _ in 0..600 {
            clock.advance_ns(100_000_000);
            rates.took(&tenant, "logs", 100);
        }
        let told = rates.report()[0].bytes_per_second;
        assert!((950..=1050).contains(&told), "{told}");
        clock.advance_ns(120_000_000_000);
        assert_eq!(rates.report(), []);
        for n in 0..2 * limits::RATES {
            rates.took(&Tenant::new(&format!("t{n}")).unwrap(), "logs", 1_000_000);
            clock.advance_ns(1_000_000);
        }
        assert!(rates.here.lock().len() <= limits::RATES && rates.report().len() == limits::RATES_TOLD);
    }
}
