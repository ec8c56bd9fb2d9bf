//! Scans of stretches give the rows that any scan gives.

use std::collections::HashMap;
use std::sync::Arc;

use disk::{Fs, RealFs};

use super::model::*;
use super::random::*;
use super::*;

/// Asks the same of the sources and the oracle; how many rows came in stretches.
pub fn check(world: &World, sources: &[Source], q: &ScanRequest) -> usize {
    let rest = q.columns.iter().copied().filter(|c| *c != "value");
    let columns = ["value"].into_iter().chain(rest).collect();
    let q = ScanRequest { stretches: true, columns, predicate: None, ..q.clone() };
    let RowStream { series, batches } = scan(q.table, sources.to_vec(), &q, Arc::new(scan::Unbounded)).unwrap();
    let batches: Vec<_> = batches.collect();
    let rows = |b| crate::stretches(b).map_or(0, |all| all.map(|s| s.values.len()).sum::<usize>());
    let as_such = batches.iter().map(|b| rows(b.as_ref().unwrap())).sum();
    let mut got = collect(&q, RowStream { series, batches: Box::new(batches.into_iter()) }).unwrap();
    let mut want = world.oracle(&q);
    // Of each series by time within a slice, whatever comes in between.
    let mut last = HashMap::new();
    for f in &got {
        let before = last.insert((f.series.clone(), q.table.slice_of(f.time)), f.time);
        assert!(before.is_none_or(|t| t < f.time), "{f:?} after {before:?}");
    }
    got.sort_by_key(|f| (f.series.clone(), f.time));
    want.sort_by_key(|f| (f.series.clone(), f.time));
    let differ = got.iter().zip(&want).find(|(g, w)| g != w);
    assert!(differ.is_none() && got.len() == want.len(), "{differ:?}: {} rows of {}", got.len(), want.len());
    as_such
}

/// Samples as scraping makes them, a unit after the other: 12 series of 60 samples in a slice. Of `odd` some rows are missing, and one has a
/// shape.
fn scraped(r: &mut Dice, odd: bool) -> World {
    let mut world = World::random(&SAMPLES, r);
    let step = 120_000;
    for (u, unit) in world.units.iter_mut().enumerate() {
        unit.clear();
        for number in 0..10u32 {
            let (offset, missing) = (r.below(step as usize) as i64, if odd { r.below(4) * 60 } else { 0 });
            for k in 0..150 {
                let key = &world.names.0[number as usize];
                let value = random_cell(SAMPLES.columns[0], r);
                let shape = if odd && number == 3 && k == 80 { Cell::Bytes(vec![1]) } else { Cell::Null };
                let time = (u as i64 * 150 + k) * step + offset;
                if missing == 0 || k != missing as i64 - 20 {
                    unit.push(Row { tenant: key.tenant.clone(), number, series: key.labels.clone(), time, cells: vec![value, shape] });
                }
            }
        }
    }
    world
}

#[test]
fn what_is_scraped_comes_as_stretches() {
    let (mut rows, mut as_such) = (0, 0);
    for seed in 0..10 {
        let mut r = Dice(seed);
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let world = scraped(&mut r, seed % 2 == 1);
        let loss = Arc::new(Losses::default());
        let sources = world.place(&mut r, &fs, dir.path(), &loss);
        for columns in [vec!["value"], vec!["value", "shape"]] {
            let q = ScanRequest { columns, predicate: None, ..request(&SAMPLES, &mut r) };
            rows += world.oracle(&q).len();
            as_such += check(&world, &sources.of(&q.tenant), &q);
        }
        assert_eq!(loss.count(), 0);
    }
    assert!(as_such * 3 > rows && as_such < rows, "{as_such} of {rows}");
}

#[test]
fn a_stretch_that_goes_on_from_page_to_page() {
    let mut r = Dice(3);
    let mut world = World::random(&SAMPLES, &mut r);
    let (tenant, series) = (world.names.0[0].tenant.clone(), world.names.0[0].labels.clone());
    // Longer than a page of either column; its scale changes now and then, and once it has none.
    let value = |k: i64| match k {
        70_000 => 1.0 / 3.0,
        k if k / 9000 % 2 == 0 => k as f64,
        k => k as f64 / 4.0,
    };
    let row = |k: i64| Row {
        tenant: tenant.clone(),
        number: 0,
        series: series.clone(),
        time: k * 50,
        cells: vec![Cell::Double(value(k)), Cell::Null],
    };
    world.units = vec![(0..140_000).map(row).collect()];
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let dir = tempfile::tempdir().unwrap();
    let run = world.run(&world.units, &fs, dir.path(), "r", &Arc::new(Losses::default()));
    for (start, end) in [(0, 140_000), (16_000, 16_500), (60_000, 140_000)] {
        let range = TimeRange { start: start * 50, end: end * 50 };
        let mut q = ScanRequest::new(&SAMPLES, tenant.clone(), vec![], range);
        q.stretches = true;
        let stream = scan(&SAMPLES, vec![run.clone()], &q, Arc::new(scan::Unbounded)).unwrap();
        let mut k = start;
        for b in stream.batches.map(Result::unwrap) {
            for s in crate::stretches(&b).unwrap() {
                assert_eq!((s.first, s.step), (k * 50, 50));
                assert!(s.values.iter().zip(k..).all(|(v, k)| v.to_bits() == value(k).to_bits()));
                k += s.values.len() as i64;
            }
        }
        assert_eq!(k, end);
    }
}
