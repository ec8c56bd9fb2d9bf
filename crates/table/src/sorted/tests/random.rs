//! Random rows, and random places to keep them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base::{Labels, Tenant};
use disk::Fs;

use super::TENANTS;
use super::model::*;
use crate::scan::ScanRequest;
use crate::sorted::{IndexCache, MergeOptions, SeriesKey, SeriesNames, Source, freeze, merge, open, write_run};
use crate::spec::{Column, ColumnType, TableSpec};

pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Names whose numbers are not in label order.
pub struct Names(pub Vec<SeriesKey>);

impl SeriesNames for Names {
    fn key(&self, number: u32) -> SeriesKey {
        self.0[number as usize].clone()
    }
}

pub fn random_cell(c: Column, r: &mut Dice) -> Cell {
    if c.nullable && r.below(3) == 0 {
        return Cell::Null;
    }
    match c.ty {
        ColumnType::U8 => Cell::Int(r.below(3) as i64),
        ColumnType::U32 => Cell::Int(r.below(20) as i64),
        ColumnType::I64 => Cell::Int(r.below(12) as i64 - 6),
        ColumnType::F64 => Cell::Double(match r.below(6) {
            0 => f64::from_bits(0x7ff0_0000_0000_0002),
            1 => 1.0 / 3.0,
            2 => -0.0,
            n => r.below(50) as f64 / [1.0, 10.0, 100.0][n - 3],
        }),
        ColumnType::Fixed(n) => Cell::Bytes(vec![r.below(7) as u8; n as usize]),
        ColumnType::Text => Cell::Bytes(format!("line {} {}", r.below(6), "x".repeat(r.below(40))).into_bytes()),
        ColumnType::Word => Cell::Bytes(["info", "warn", "error"][r.below(3)].into()),
        ColumnType::Bytes => Cell::Bytes(vec![1; r.below(20)]),
        ColumnType::Attrs => {
            let mut b = vec![];
            for k in ["user", "pod", "n", "odd"] {
                if r.below(2) == 0 {
                    continue;
                }
                let text = format!("v{}", r.below(4));
                let v = match k {
                    "n" => base::attrs::Value::Int(r.below(300) as i64 - 100),
                    "odd" => base::attrs::Value::Bytes(&[1, 2]),
                    _ => base::attrs::Value::Str(&text),
                };
                base::attrs::push(&mut b, k, &v);
            }
            if r.below(10) == 0 { Cell::Bytes(vec![0xff, 3, 1]) } else { Cell::Bytes(b) }
        }
    }
}

pub struct World {
    pub spec: &'static TableSpec,
    pub names: Arc<Names>,
    /// Rows by the unit that they arrived in.
    pub units: Vec<Vec<Row>>,
}

/// Sources of all kinds; files answer for every tenant, with what blocks hide of them.
pub struct Places {
    all: Vec<Source>,
    // For each tenant: the runs that blocks replace, and the blocks.
    blocks: Vec<(Tenant, Vec<Source>)>,
}

impl Places {
    pub fn of(&self, tenant: &Tenant) -> Vec<Source> {
        let blocks = self.blocks.iter().filter(|b| b.0 == *tenant).flat_map(|b| b.1.clone());
        self.all.iter().cloned().chain(blocks).collect()
    }
}

impl World {
    pub fn random(spec: &'static TableSpec, r: &mut Dice) -> World {
        let mut keys: Vec<SeriesKey> = vec![];
        for i in 0..10 {
            let (job, host) = (["a", "b", "c"][i % 3], format!("h{}", i / 3));
            let mut pairs = vec![("job", job), ("host", &host)];
            if i == 7 {
                pairs.push(("rare", "yes"));
            }
            let labels = Labels::from_pairs(pairs).unwrap();
            keys.push(SeriesKey { tenant: TENANTS.with(|t| t[r.below(2)].clone()), labels });
        }
        for i in (1..keys.len()).rev() {
            keys.swap(i, r.below(i + 1));
        }
        let mut units: Vec<Vec<Row>> = (0..2 + r.below(6)).map(|_| vec![]).collect();
        let wide = r.below(2) == 0;
        for _ in 0..20 + r.below(400) {
            let number = r.below(keys.len()) as u32;
            let key = &keys[number as usize];
            // Few distinct times, so that groups of equal time are common; slices and days of both signs.
            let step = spec.slice / 5;
            let time = if wide { (r.below(60) as i64 - 20) * step } else { r.below(3) as i64 * step };
            let cells = spec.columns.iter().map(|c| random_cell(*c, r)).collect();
            let row = Row { tenant: key.tenant.clone(), number, series: key.labels.clone(), time, cells };
            let home = r.below(units.len());
            if r.below(3) == 0 {
                // A copy elsewhere, perhaps with other payload.
                let mut copy = row.clone();
                for (cell, c) in copy.cells.iter_mut().zip(spec.columns) {
                    if !spec.identity.contains(&c.name) && r.below(3) == 0 {
                        *cell = random_cell(*c, r);
                    }
                }
                let other = r.below(units.len());
                units[other].push(copy);
            }
            units[home].push(row);
        }
        World { spec, names: Arc::new(Names(keys)), units }
    }

    pub fn oracle(&self, q: &ScanRequest) -> Vec<Found> {
        oracle(q, self.units.iter().flatten())
    }

    pub fn batches(&self, unit: &[Row]) -> Vec<RecordBatch> {
        unit.chunks(50).map(|c| batch(self.spec, &c.iter().collect::<Vec<_>>())).collect()
    }

    /// Units as the parts of one run.
    pub fn run(&self, units: &[Vec<Row>], fs: &Arc<dyn Fs>, dir: &Path, name: &str, loss: &Arc<Losses>) -> Source {
        let parts: Vec<_> = units.iter().map(|u| Arc::new(freeze(self.spec, &self.batches(u), self.names.as_ref()).unwrap())).collect();
        let (data, series) = (dir.join(format!("{name}.data")), dir.join(format!("{name}.series")));
        let meta = write_run(self.spec, &parts, self.names.as_ref(), fs.as_ref(), &data, &series).unwrap();
        assert_eq!(meta.rows, meta.partitions.iter().map(|p| p.rows).sum::<u64>());
        Source::File { file: open(self.spec, fs, &data, &series, &meta, loss.clone(), &IndexCache::new(0)).unwrap(), hidden_days: vec![] }
    }

    pub fn place(&self, r: &mut Dice, fs: &Arc<dyn Fs>, dir: &Path, loss: &Arc<Losses>) -> Places {
        let mut all = vec![];
        let mut to_merge = vec![];
        let names: Arc<dyn SeriesNames> = self.names.clone();
        for (i, unit) in self.units.iter().enumerate() {
            match r.below(4) {
                0 => all.push(Source::Rows { batches: self.batches(unit), names: names.clone() }),
                1 => {
                    let part = Arc::new(freeze(self.spec, &self.batches(unit), names.as_ref()).unwrap());
                    all.push(Source::Part { part, names: names.clone() });
                }
                2 => all.push(self.run(std::slice::from_ref(unit), fs, dir, &format!("run{i}"), loss)),
                _ => to_merge.push(self.run(&unit.chunks(37).map(<[Row]>::to_vec).collect::<Vec<_>>(), fs, dir, &format!("old{i}"), loss)),
            }
        }
        let mut blocks = vec![];
        let tenants: [Tenant; 2] = TENANTS.with(Clone::clone);
        for tenant in tenants {
            let mut mine = vec![];
            let mut days: Vec<i64> = vec![];
            for s in &to_merge {
                let Source::File { file, .. } = s else { continue };
                days.extend(file.meta().partitions.iter().filter(|p| p.tenant == tenant.as_str() && p.day != 1).map(|p| p.day));
            }
            days.sort_unstable();
            days.dedup();
            for day in &days {
                let base = dir.join(format!("{tenant}{day}"));
                let (data, series) = (base.with_extension("data"), base.with_extension("series"));
                let (meta, _) =
                    merge(self.spec, to_merge.clone(), &tenant, *day, fs.as_ref(), &data, &series, &MergeOptions::default()).unwrap();
                mine.push(Source::File {
                    file: open(self.spec, fs, &data, &series, &meta, loss.clone(), &IndexCache::new(0)).unwrap(),
                    hidden_days: vec![],
                });
            }
            // Day 1 is left unmerged: these runs still answer for it, and must not for the others.
            for s in &to_merge {
                let Source::File { file, .. } = s else { continue };
                file.release();
                mine.push(Source::File { file: file.clone(), hidden_days: days.clone() });
            }
            blocks.push((tenant, mine));
        }
        Places { all, blocks }
    }
}
