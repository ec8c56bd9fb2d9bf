//! Rows go when they are old, and not when the clock says so (promise P9).

use std::sync::Arc;

use base::Clock;
use disk::SimFs;
use table::{Engine, Retention, Settings};

use super::toy::*;

const DAY: i64 = 86_400_000_000_000;
const NOW: i64 = 19_700 * DAY + DAY / 2;

/// An engine that keeps rows for ten days, and its clock.
struct Kept {
    fs: SimFs,
    clock: Clock,
    engine: Arc<Engine>,
}

fn settings_of() -> Settings {
    Settings { retention: vec![Retention { table: None, tenant: None, keep_ns: 10 * DAY }], ..settings() }
}

impl Kept {
    fn new() -> Kept {
        let (fs, clock) = (SimFs::seeded(3), Clock::manual(NOW));
        let engine = open(&fs, &clock, settings_of()).unwrap();
        Kept { fs, clock, engine }
    }
    /// Stores a row of `time_ns`.
    fn push(&self, time_ns: i64, text: &str) {
        self.engine.ingest(header("a", &self.clock, None), format!("N s {time_ns} {text}\n").into(), None).unwrap();
    }
    /// Hours pass; every ten minutes a row of that time comes, and the engine does its work.
    fn pass(&self, hours: i64) {
        for _ in 0..hours * 6 {
            self.clock.advance_ns(DAY / 144);
            self.push(self.clock.now_ns(), "row");
            self.engine.maintain().unwrap();
        }
        self.engine.flush().unwrap();
    }
    /// What is left of the rows called `old`: as read, and whether the disk has their day.
    fn old(&self) -> (usize, bool) {
        let rows = read(&*self.engine, "a", vec![]).unwrap();
        let on_disk = self.fs.paths().iter().any(|p| p.starts_with(OLD_DIR));
        (rows.keys().filter(|k| k.ends_with(" old")).count(), on_disk)
    }
    fn restart(&mut self, stopped_ns: i64) {
        self.engine.shutdown().unwrap();
        self.clock.advance_ns(stopped_ns);
        // The time that has passed is this process' own: it begins anew.
        self.clock = Clock::manual(self.clock.now_ns());
        self.engine = open(&self.fs, &self.clock, settings_of()).unwrap();
    }
}

/// Where the day of `NOW - 5 * DAY` lies.
const OLD_DIR: &str = "/data/blocks/notes/a/2023-12-04";

#[test]
fn rows_go_when_they_are_old() {
    let k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.engine.flush().unwrap();
    assert_eq!(k.old(), (1, true));
    k.clock.advance_ns(4 * DAY);
    k.engine.flush().unwrap();
    assert_eq!(k.old(), (1, true));
    // As a machine that was suspended: time has passed on both clocks at once. The row goes first, its day when all of it is old.
    k.clock.advance_ns(DAY + 1);
    k.engine.flush().unwrap();
    assert_eq!(k.old(), (0, true));
    k.clock.advance_ns(DAY);
    k.engine.flush().unwrap();
    assert_eq!(k.old(), (0, false));
}

#[test]
fn a_clock_that_jumps_ahead_while_rows_come_expires_nothing_for_a_day() {
    let k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.pass(1);
    k.clock.jump_ns(30 * DAY);
    k.pass(23);
    assert_eq!(k.old(), (1, true));
    let mut stats = base::stats::Exposition::default();
    k.engine.write_stats(&mut stats);
    assert!(stats.finish().contains("watchfire_retention_clock_ahead_seconds 2592000\n"));
    // Somebody sets it right: as if nothing had been.
    k.clock.jump_ns(-30 * DAY);
    k.pass(48);
    assert_eq!(k.old(), (1, true));
    k.pass(6 * 24);
    assert_eq!(k.old(), (0, false));
}

#[test]
fn a_clock_that_stays_ahead_is_believed_also_over_restarts() {
    let mut k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.clock.jump_ns(30 * DAY);
    k.pass(12);
    k.restart(60_000_000_000);
    assert_eq!(k.old(), (1, true));
    k.pass(11);
    assert_eq!(k.old(), (1, true));
    k.pass(2);
    assert_eq!(k.old(), (0, false));
}

#[test]
fn rows_that_were_due_during_a_long_stop_go_a_day_after_the_start() {
    let mut k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.restart(40 * DAY);
    k.pass(23);
    assert_eq!(k.old(), (1, true));
    k.pass(2);
    assert_eq!(k.old(), (0, false));
}

#[test]
fn a_clock_that_was_set_back_keeps_rows_longer() {
    let k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.clock.jump_ns(-20 * DAY);
    k.pass(7 * 24);
    assert_eq!(k.old(), (1, true));
}

#[test]
fn a_damaged_checkpoint_does_not_make_a_wrong_clock_believed() {
    let mut k = Kept::new();
    k.push(NOW - 5 * DAY, "old");
    k.engine.flush().unwrap();
    k.engine.shutdown().unwrap();
    k.fs.flip("/data/checkpoint.json".as_ref(), 20, 1).unwrap();
    k.clock = Clock::manual(NOW + 30 * DAY);
    k.engine = open(&k.fs, &k.clock, settings_of()).unwrap();
    k.pass(1);
    assert_eq!(k.old(), (1, true));
}

#[test]
fn the_oldest_days_go_before_their_time_where_blocks_take_too_much_and_are_stated_as_lost() {
    let (fs, clock) = (SimFs::seeded(4), Clock::manual(NOW));
    let settings = Settings { max_bytes: Some(1), ..settings() };
    let engine = open(&fs, &clock, Settings { max_bytes: None, ..settings.clone() }).unwrap();
    for day in [3, 2, 1, 0] {
        let body = format!("N s {} row{day}\n", NOW - day * DAY);
        engine.ingest(header("a", &clock, None), body.into(), None).unwrap();
    }
    engine.flush().unwrap();
    assert!(engine.losses().is_empty());
    engine.shutdown().unwrap();
    let engine = open(&fs, &clock, settings).unwrap();
    engine.flush().unwrap();
    let left: Vec<String> = read(&*engine, "a", vec![]).unwrap().into_keys().collect();
    assert_eq!(left, [format!("a N s {NOW} row0")], "the day that is under way stays");
    let losses = engine.losses();
    assert_eq!(losses.iter().map(|l| (l.reason.as_str(), l.rows)).collect::<Vec<_>>(), vec![("retention_size", Some(1)); 3]);
    assert_eq!(losses[0].first_ns, Some(NOW - 3 * DAY), "the oldest goes first");
    assert!(losses[0].source.contains("2023-12-06"), "{:?}", losses[0]);
    engine.flush().unwrap();
    assert_eq!(engine.losses().len(), 3);
    assert!(!fs.paths().iter().any(|p| p.starts_with("/data/blocks/notes/a/2023-12-06")));
}
