//! A flipped bit anywhere: no panic, no wrong row, and what is missing is reported.
#![allow(clippy::disallowed_methods)] // it damages files as a disk would, behind the seam

use std::sync::Arc;

use disk::{Fs, RealFs};

use super::model::*;
use super::random::*;
use super::*;

fn every_97th_byte(spec: &'static TableSpec) {
    let mut r = Dice(3);
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let world = World::random(spec, &mut r);
    let loss = Arc::new(Losses::default());
    let Source::File { file, .. } = world.run(&world.units, &fs, dir.path(), "r", &loss) else { panic!() };
    let tenant = TENANTS.with(|t| t[0].clone());
    let q = ScanRequest::new(spec, tenant, vec![], TimeRange::ALL);
    let want = world.oracle(&q);
    let mut lost_somewhere = 0;
    for name in ["r.data", "r.series"] {
        let path = dir.path().join(name);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(97) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            file.release();
            let sources = vec![Source::File { file: file.clone(), hidden_days: vec![] }];
            let got = collect(&q, scan(spec, sources.clone(), &q, Arc::new(scan::Unbounded)).unwrap()).unwrap();
            let reports = loss.take();
            assert!(
                got.len() == want.len() || !reports.is_empty(),
                "{} byte {at} of {name}: {} rows of {} and no report",
                spec.name,
                got.len(),
                want.len()
            );
            assert!(reports.iter().all(|l| l.path.starts_with(dir.path()) && l.rows > 0 && !l.reason.is_empty()));
            // In their order, and only rows that exist. (A copy that lost to a damaged one may appear: it is a row too.)
            assert!(got.iter().all(|g| world.units.iter().flatten().any(|r| r.series == g.series
                && r.time == g.time
                && Found { series: r.series.clone(), time: r.time, cells: r.cells.clone() } == *g)));
            lost_somewhere += usize::from(got.len() < want.len());
            if spec.name == SAMPLES.name {
                stretches_of_a_damaged_file(&world, &file, &q, &loss);
            }
            let _ = series(spec, &sources, &q).unwrap();
            let mut text = String::new();
            let _ = inspect(fs.as_ref(), &dir.path().join("r.data"), &dir.path().join("r.series"), &mut text);
            loss.take();
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        file.release();
        let sources = vec![Source::File { file: file.clone(), hidden_days: vec![] }];
        assert!(collect(&q, scan(spec, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap().is_empty());
        assert!(loss.take().iter().map(|l| l.rows).sum::<u64>() > 0);
        std::fs::write(&path, &good).unwrap();
    }
    assert!(lost_somewhere > 10, "{lost_somewhere}");
    file.release();
    let sources = vec![Source::File { file, hidden_days: vec![] }];
    assert_eq!(collect(&q, scan(spec, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap(), want);
}

/// The same of a scan of stretches.
fn stretches_of_a_damaged_file(world: &World, file: &Arc<SortedFile>, q: &ScanRequest, loss: &Losses) {
    let q = ScanRequest { stretches: true, columns: vec!["value"], ..q.clone() };
    file.release();
    let sources = vec![Source::File { file: file.clone(), hidden_days: vec![] }];
    let got = collect(&q, scan(q.table, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap();
    assert!(got.len() == world.oracle(&q).len() || !loss.take().is_empty());
    assert!(got.iter().all(|g| world.units.iter().flatten().any(|r| r.series == g.series && r.time == g.time && r.cells[0] == g.cells[0])));
}

#[test]
fn a_flipped_bit_in_entries() {
    every_97th_byte(&LOGS);
}

#[test]
fn a_flipped_bit_in_points() {
    every_97th_byte(&SAMPLES);
}

#[test]
fn a_flipped_bit_in_steps() {
    every_97th_byte(&SPANS);
}

#[test]
fn a_merge_of_a_damaged_run_leaves_out_what_is_damaged_and_says_so() {
    let mut r = Dice(5);
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut worlds = std::iter::repeat_with(|| World::random(&SAMPLES, &mut r));
    let world = worlds.find(|w| w.units.iter().flatten().count() > 300).unwrap();
    let loss = Arc::new(Losses::default());
    let run = world.run(&world.units, &fs, dir.path(), "r", &loss);
    let Source::File { file, .. } = &run else { panic!() };
    let path = dir.path().join("r.data");
    let good = std::fs::read(&path).unwrap();
    let tenants: [Tenant; 2] = TENANTS.with(Clone::clone);
    let merged = |name: &str| -> Vec<Found> {
        file.release();
        let mut out = vec![];
        for p in &file.meta().partitions {
            let tenant = tenants.iter().find(|t| t.as_str() == p.tenant).unwrap();
            let to = |what: &str| dir.path().join(format!("{name}.{what}"));
            let options = MergeOptions::default();
            let (meta, stats) =
                merge(&SAMPLES, vec![run.clone()], tenant, p.day, fs.as_ref(), &to("data"), &to("series"), &options).unwrap();
            assert!(meta.rows == stats.rows_out && stats.rows_in <= p.rows);
            let block = open(&SAMPLES, &fs, &to("data"), &to("series"), &meta, loss.clone(), &IndexCache::new(0)).unwrap();
            let q = ScanRequest::new(&SAMPLES, tenant.clone(), vec![], TimeRange::ALL);
            let sources = vec![Source::File { file: block, hidden_days: vec![] }];
            out.extend(collect(&q, scan(&SAMPLES, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap());
        }
        out
    };
    let want = merged("whole");
    // Most rows of a world are copies of others.
    let scanned = |tenant: &Tenant| {
        let q = ScanRequest::new(&SAMPLES, tenant.clone(), vec![], TimeRange::ALL);
        collect(&q, scan(&SAMPLES, vec![run.clone()], &q, Arc::new(scan::Unbounded)).unwrap()).unwrap().len()
    };
    assert_eq!(want.len(), tenants.iter().map(scanned).sum::<usize>());
    assert!(want.len() > 20 && loss.take().is_empty(), "{}", want.len());
    let mut lost_somewhere = 0;
    for at in (0..file.meta().data_tail as usize).step_by(61) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bad).unwrap();
        let got = merged("rest");
        let reports = loss.take();
        assert!(got.len() == want.len() || !reports.is_empty(), "byte {at}: {} rows of {} and no report", got.len(), want.len());
        assert!(got.iter().all(|g| world.units.iter().flatten().any(|r| r.series == g.series && r.time == g.time && r.cells == g.cells)));
        lost_somewhere += usize::from(got.len() < want.len());
    }
    assert!(lost_somewhere > 10, "{lost_somewhere}");
}
