//! How old rows are: the clock that retention goes by.
//!
//! The wall clock can be wrong by a month, and what retention removes does not come back. So retention has a clock of its
//! own, with three rules:
//!
//! 1. It goes on as time passes, which no one can set.
//! 2. A wall clock that agrees, or is behind, is believed at once: at worst rows are kept longer.
//! 3. A wall clock that is ahead of the time that has passed is believed when it has stayed so for a day of running
//!    ([`limits::CLOCK_WAIT_NS`]). Another jump ahead begins the day anew.
//!
//! The checkpoint carries it over a restart. A start after a long stop looks like a jump ahead, and is treated as one: what
//! has come of age during the stop goes a day later. A suspended machine is no jump, because elapsed time goes on in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Tenant;

use super::Engine;
use crate::catalog::{Block, PartitionKey};
use crate::limits;
use crate::loss::Loss;
use crate::meta::RetentionMark;

/// What retention believes of the time.
pub(crate) struct RetentionClock {
    now_ns: i64,
    wall_ns: i64,
    elapsed_ns: i64,
    ahead_for_ns: i64,
}

impl RetentionClock {
    /// Goes on where the last process left it; without a mark, at `wall_ns`.
    pub fn new(mark: Option<RetentionMark>, wall_ns: i64, elapsed_ns: i64) -> Self {
        let (now_ns, ahead_for_ns) = mark.map_or((wall_ns, 0), |m| (m.now_ns, m.ahead_for_ns));
        RetentionClock { now_ns, wall_ns, elapsed_ns, ahead_for_ns }
    }

    /// The time by which rows grow old, nanoseconds since 1970.
    pub fn look(&mut self, wall_ns: i64, elapsed_ns: i64) -> i64 {
        let passed = (elapsed_ns - self.elapsed_ns).max(0);
        let jumped = wall_ns.saturating_sub(self.wall_ns) > passed + limits::CLOCK_STEP_NS;
        (self.wall_ns, self.elapsed_ns) = (wall_ns, elapsed_ns);
        self.now_ns += passed;
        let ahead = wall_ns.saturating_sub(self.now_ns);
        let before = self.ahead_for_ns;
        if ahead <= limits::CLOCK_STEP_NS {
            (self.now_ns, self.ahead_for_ns) = (wall_ns, 0);
        } else if jumped {
            self.ahead_for_ns = 0;
            tracing::warn!(
                ahead_s = ahead / base::units::SECOND_NS,
                "the clock has jumped ahead: retention waits a day before it believes it"
            );
        } else {
            self.ahead_for_ns = before + passed;
            if self.ahead_for_ns >= limits::CLOCK_WAIT_NS {
                tracing::info!(ahead_s = ahead / base::units::SECOND_NS, "the clock was ahead for a day: retention goes by it again");
                (self.now_ns, self.ahead_for_ns) = (wall_ns, 0);
            }
        }
        self.now_ns
    }

    /// How far the wall clock was ahead at the last look, nanoseconds; 0 if it is believed.
    pub fn behind_ns(&self) -> i64 {
        (self.wall_ns - self.now_ns).max(0)
    }

    /// What the next process must know.
    pub fn mark(&self) -> RetentionMark {
        RetentionMark { now_ns: self.now_ns, ahead_for_ns: self.ahead_for_ns }
    }
}

impl Engine {
    /// The time by which rows grow old.
    pub(super) fn retention_now_ns(&self) -> i64 {
        self.retention.lock().look(self.clock.now_ns(), self.clock.elapsed_ns())
    }

    /// The first time of a table and tenant that is kept, in the table's unit.
    pub(crate) fn kept_from(&self, table: usize, tenant: &Tenant) -> i64 {
        let spec = self.tables[table];
        match self.settings.keep_ns(spec.name, tenant.as_str()) {
            None => i64::MIN,
            Some(keep) => spec.unit.from_ns(self.retention_now_ns().saturating_sub(keep)),
        }
    }

    /// Removes the oldest days of any table while blocks take more than [`Settings::max_bytes`]; returns how many directories go. What
    /// goes before its time is a loss, and stated as one.
    pub(super) fn expire_by_size(&self, now_ns: i64) -> usize {
        let Some(most) = self.settings.max_bytes.filter(|_| !self.settings.shared_store) else { return 0 };
        let mut victims = BTreeSet::new();
        {
            let live = self.live.read();
            let mut days: Vec<(i64, &PartitionKey, u64)> = vec![];
            for (k, blocks) in live.catalog.partitions() {
                let end_ns = self.tables[k.table].unit.to_ns(self.day_range(k).end);
                days.push((end_ns, k, blocks.iter().map(|b| b.bytes()).sum()));
            }
            let mut total: u64 = days.iter().map(|d| d.2).sum();
            let all = total;
            days.sort();
            // The day that is under way stays, and one of which a run still holds rows: they would come back with it.
            let may_go = |d: &(i64, &PartitionKey, u64)| d.0 <= now_ns && !live.catalog.runs().any(|r| r.partitions.contains(d.1));
            for (_, key, bytes) in days.into_iter().filter(may_go) {
                if total <= most {
                    break;
                }
                total -= bytes;
                let blocks = live.catalog.blocks_of(key);
                self.losses.add(self.gone_early(
                    key,
                    blocks,
                    bytes,
                    format!("blocks took {all} bytes of {most} that they may take"),
                    now_ns,
                ));
                victims.insert(key.clone());
            }
        }
        if victims.is_empty() { 0 } else { self.live.write().catalog.expire(&|k| victims.contains(k), now_ns) }
    }

    fn gone_early(&self, key: &PartitionKey, blocks: &[Arc<Block>], bytes: u64, detail: String, now_ns: i64) -> Loss {
        let spec = self.tables[key.table];
        let spans = || blocks.iter().flat_map(|b| &b.meta.sorted.partitions);
        Loss {
            source: format!("{} of {} of {}", spec.name, key.tenant, crate::keys::day_name(key.day)),
            reason: "retention_size".into(),
            rows: Some(blocks.iter().map(|b| b.meta.sorted.rows).sum()),
            bytes: Some(bytes),
            first_ns: spans().map(|p| spec.unit.to_ns(p.first_time)).min(),
            last_ns: spans().map(|p| spec.unit.to_ns(p.last_time)).max(),
            found_ns: now_ns,
            detail,
        }
    }

    pub(super) fn is_expired(&self, key: &PartitionKey) -> bool {
        let spec = self.tables[key.table];
        let kept = self.kept_from(key.table, &key.tenant);
        kept > i64::MIN && (key.day + 1).saturating_mul(spec.unit.day()) <= kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// A wall clock, the time that has passed, and what retention makes of the two.
    struct World {
        wall: i64,
        elapsed: i64,
        clock: RetentionClock,
    }

    impl World {
        fn new() -> World {
            World { wall: 1000 * HOUR, elapsed: 7, clock: RetentionClock::new(None, 1000 * HOUR, 7) }
        }
        /// Hours pass, with a look a minute; what is believed then, in hours.
        fn pass(&mut self, hours: i64) -> i64 {
            for _ in 0..hours * 60 {
                self.wall += HOUR / 60;
                self.elapsed += HOUR / 60;
                self.clock.look(self.wall, self.elapsed);
            }
            self.clock.now_ns / HOUR
        }
        fn jump(&mut self, hours: i64) -> i64 {
            self.wall += hours * HOUR;
            self.clock.look(self.wall, self.elapsed) / HOUR
        }
        fn restart(&mut self, stopped_hours: i64) {
            self.wall += stopped_hours * HOUR;
            self.elapsed = 3;
            self.clock = RetentionClock::new(Some(self.clock.mark()), self.wall, self.elapsed);
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_after_a_day() {
        let mut w = World::new();
        assert_eq!([w.pass(5), w.jump(720), w.pass(23)], [1005, 1005, 1028]);
        assert_eq!(w.clock.behind_ns(), 720 * HOUR);
        assert_eq!(w.pass(1), 1749);
        assert_eq!(w.clock.behind_ns(), 0);
    }

    #[test]
    fn another_jump_ahead_begins_the_day_anew_and_one_back_ends_it() {
        let mut w = World::new();
        assert_eq!([w.jump(720), w.pass(23), w.jump(2), w.pass(23)], [1000, 1023, 1023, 1046]);
        assert_eq!([w.jump(-722), w.pass(30)], [1046, 1076]);
    }

    #[test]
    fn a_clock_set_back_is_believed_at_once_and_its_return_is_not() {
        let mut w = World::new();
        assert_eq!([w.jump(-720), w.pass(1), w.jump(720), w.pass(23), w.pass(1)], [280, 281, 281, 304, 1025]);
    }

    #[test]
    fn a_long_stop_counts_after_a_day_of_running_however_often_it_is_started() {
        let mut w = World::new();
        w.restart(500);
        assert_eq!(w.pass(10), 1010);
        w.restart(14);
        assert_eq!(w.pass(10), 1020);
        w.restart(14);
        assert_eq!([w.pass(3), w.pass(1)], [1023, 1552]);
    }

    #[test]
    fn a_suspended_machine_is_no_jump() {
        let mut w = World::new();
        w.wall += 100 * HOUR;
        w.elapsed += 100 * HOUR;
        assert_eq!(w.pass(0), 1000);
        assert_eq!(w.jump(0), 1100);
    }

    proptest! {
        /// Whatever people do to the wall clock: what is believed is never later than it, and runs ahead of the time that
        /// has passed only where the wall clock has stood still against it for a day.
        #[test]
        fn what_is_believed_is_never_ahead_of_time(moves in prop::collection::vec((0i64..10, -50i64..100), 1..60)) {
            let mut w = World::new();
            let mut since_jump = 0;
            for (hours, jump) in moves {
                let before = w.clock.now_ns;
                w.jump(jump);
                since_jump = if jump > 0 { 0 } else { since_jump };
                prop_assert!(w.clock.now_ns <= before.min(w.wall));
                for _ in 0..hours {
                    let before = w.clock.now_ns;
                    w.pass(1);
                    since_jump += HOUR;
                    prop_assert!(w.clock.now_ns <= w.wall);
                    prop_assert!(w.clock.now_ns == before + HOUR || since_jump >= limits::CLOCK_WAIT_NS);
                }
            }
        }
    }
}
