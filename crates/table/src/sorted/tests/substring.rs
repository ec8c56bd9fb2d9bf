//! Needles in text: the pages that cannot hold them are not opened, and nothing is missed.
#![allow(clippy::disallowed_methods)] // it damages files as a disk would, behind the seam

use std::sync::Arc;

use disk::{Fs, RealFs};

use super::model::*;
use super::random::*;
use super::*;

const ROWS: u64 = 2400;

fn id(i: u64) -> String {
    format!("{:016x}{:016x}", base::hash::hash64(&i.to_le_bytes()), base::hash::hash64(&(i + ROWS).to_le_bytes()))
}

/// Lines of 3 kB in three slices of one day: several pages in each.
fn world() -> World {
    let tenant = TENANTS.with(|t| t[0].clone());
    let series: Vec<_> = ["a", "b"].iter().map(|j| Labels::from_pairs([("job", *j)]).unwrap()).collect();
    let keys = series.iter().map(|l| SeriesKey { tenant: tenant.clone(), labels: l.clone() }).collect();
    let filler: String = (0..400).map(|i| format!("word_{i} ")).collect();
    let row = |i: u64| {
        let line = format!("{i} id={} 에러 {}", id(i), &filler[..2000 + (i % 700) as usize]);
        let number = (i % 2) as u32;
        let cells = vec![Cell::Int(i as i64), Cell::Bytes(line.into_bytes()), Cell::Null, Cell::Null];
        Row {
            tenant: tenant.clone(),
            number,
            series: series[number as usize].clone(),
            time: i as i64 * LOGS.slice * 3 / ROWS as i64,
            cells,
        }
    };
    let units = (0..3).map(|u| (0..ROWS).filter(|i| i % 3 == u).map(row).collect()).collect();
    World { spec: &LOGS, names: Arc::new(Names(keys)), units }
}

struct Block {
    world: World,
    dir: tempfile::TempDir,
    file: Arc<SortedFile>,
    loss: Arc<Losses>,
}

impl Block {
    fn new() -> Block {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let (world, loss) = (world(), Arc::new(Losses::default()));
        let runs = vec![world.run(&world.units, &fs, dir.path(), "run", &loss)];
        let (data, series) = (dir.path().join("data"), dir.path().join("series"));
        let tenant = TENANTS.with(|t| t[0].clone());
        let (meta, _) = merge(&LOGS, runs, &tenant, 0, fs.as_ref(), &data, &series, &MergeOptions::default()).unwrap();
        let file = open(&LOGS, &fs, &data, &series, &meta, loss.clone(), &IndexCache::new(1 << 20)).unwrap();
        Block { world, dir, file, loss }
    }

    fn data(&self) -> Arc<data::DataFile> {
        self.file.both(&TENANTS.with(|t| t[0].clone()), &[], &crate::missing::Missing::default()).unwrap().unwrap().0
    }

    fn query(&self, predicate: Predicate, range: TimeRange) -> (Vec<Found>, Vec<Found>) {
        let mut q = ScanRequest::new(&LOGS, TENANTS.with(|t| t[0].clone()), vec![], range);
        q.predicate = Some(predicate);
        let sources = vec![Source::File { file: self.file.clone(), hidden_days: vec![] }];
        (collect(&q, scan(&LOGS, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap(), self.world.oracle(&q))
    }
}

fn contains(needle: &str) -> Predicate {
    Predicate::Contains("line".into(), needle.into())
}

#[test]
fn what_is_contained_is_found_wherever_it_lies() {
    let b = Block::new();
    let early = TimeRange { start: 0, end: LOGS.slice + 7 };
    for i in (0..ROWS).step_by(799) {
        let (id, alone) = (id(i), contains("nowhere_to_be_found"));
        for p in [
            contains(&id),
            contains(&id[6..26]),
            contains(&id[21..]),
            contains(&format!("{i} id={} 에", id)),
            Predicate::And(vec![contains(&id), contains("word_17")]),
            Predicate::Or(vec![contains(&id), alone.clone()]),
            Predicate::Or(vec![contains(&id), contains("no")]),
            Predicate::Not(Box::new(contains(&id))),
            Predicate::And(vec![contains(&id), alone.clone()]),
            alone.clone(),
        ] {
            let (got, want) = b.query(p.clone(), TimeRange::ALL);
            assert!(got == want, "{p:?}: {} of {}", got.len(), want.len());
            let (got, want) = b.query(p.clone(), early);
            assert!(got == want, "{p:?}: {} of {}", got.len(), want.len());
        }
    }
    assert_eq!(b.loss.count(), 0);
}

#[test]
fn only_the_page_that_holds_the_needle_is_opened() {
    let b = Block::new();
    let data = b.data();
    let leaf = data.layout.leaf(3).unwrap();
    let pages: Vec<u64> = (0..data.metadata().num_row_groups())
        .flat_map(|g| data.pages(g, leaf).iter().map(|p| (p.offset + i64::from(p.compressed_page_size) / 2) as u64).collect::<Vec<_>>())
        .collect();
    assert!(pages.len() > 5, "{}", pages.len());
    let path = b.dir.path().join("data");
    let good = std::fs::read(&path).unwrap();
    let (mut missed, mut absent) = (0, 0);
    for at in &pages {
        let mut bad = good.clone();
        bad[*at as usize] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        b.file.release();
        missed += usize::from(b.query(contains(&id(1234)[6..26]), TimeRange::ALL).0.is_empty());
        b.loss.take();
        b.query(contains("nowhere_to_be_found"), TimeRange::ALL);
        absent += b.loss.take().len();
    }
    assert_eq!((missed, absent), (1, 0));
}

#[test]
fn a_damaged_filter_costs_no_row_and_is_reported() {
    let b = Block::new();
    let data = b.data();
    let path = b.dir.path().join("data");
    let good = std::fs::read(&path).unwrap();
    for s in &data.directory.segments {
        let (column, blob) = s.filters[0];
        assert_eq!(column, 3);
        let mut bad = good.clone();
        bad[blob.offset as usize + blob.len as usize / 2] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        b.file.release();
        let (got, want) = b.query(contains(&id(77)), TimeRange::ALL);
        assert!(got == want && got.len() == 1);
        let reports = b.loss.take();
        assert!(!reports.is_empty() && reports.iter().all(|l| l.rows == 0 && l.column.as_deref() == Some("skip filter of line")));
    }
}
