//! Rows that somebody asked to delete go for good with the merges of their blocks, and no others do.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use base::{Clock, Error, Labels, Result, Tenant};
use disk::SimFs;
use parking_lot::Mutex;
use table::{Engine, Erase, Erasing, TimeRange};

use super::toy::*;

const DAY: i64 = 86_400_000_000_000;
const NOW: i64 = 19_700 * DAY + DAY / 2;

/// Notes of the tenant `a` in series `x` whose text begins so.
struct Beginning(String, &'static str);

impl Erasing for Beginning {
    fn names(&self, table: &str, tenant: &Tenant, _: TimeRange) -> Vec<String> {
        if table == "notes" && tenant.as_str() == "a" { vec![self.0.clone()] } else { vec![] }
    }
    fn touches(&self, _: &str, _: &Tenant, _: TimeRange, labels: &Labels) -> bool {
        labels.get("name") == Some("x")
    }
    fn rest(&self, _: &str, _: &Tenant, series: &Arc<[Labels]>, batch: RecordBatch) -> Result<RecordBatch> {
        let of = batch.column(0).as_primitive::<arrow_array::types::UInt32Type>().values().clone();
        let text = batch.column_by_name("text").ok_or_else(|| Error::internal("no text"))?.as_string_view().clone();
        let stays = |i: usize| series[of[i] as usize].get("name") != Some("x") || !text.value(i).starts_with(self.1);
        let keep: BooleanArray = (0..batch.num_rows()).map(|i| Some(stays(i))).collect();
        filter_record_batch(&batch, &keep).map_err(|e| Error::internal(e.to_string()))
    }
}

/// What is to go by now, changed by the test.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Option<(&'static str, &'static str)>>>);

impl Erase for Asked {
    fn due(&self, _: &Engine, _: i64) -> Result<Option<Arc<dyn Erasing>>> {
        let asked = *self.0.lock();
        Ok(asked.map(|(name, text)| Arc::new(Beginning(name.into(), text)) as Arc<dyn Erasing>))
    }
}

struct World {
    fs: SimFs,
    clock: Clock,
    engine: Arc<Engine>,
    asked: Asked,
}

impl World {
    fn new() -> World {
        let (fs, clock, asked) = (SimFs::seeded(5), Clock::manual(NOW), Asked::default());
        let engine = open(&fs, &clock, settings()).unwrap();
        engine.erase_with(Arc::new(asked.clone()));
        World { fs, clock, engine, asked }
    }
    fn push(&self, tenant: &str, body: &str) {
        self.engine.ingest(header(tenant, &self.clock, None), body.to_owned().into(), None).unwrap();
    }
    fn texts(&self, tenant: &str) -> Vec<String> {
        let rows = read(&*self.engine, tenant, vec![]).unwrap();
        rows.keys().map(|k| k.rsplit(' ').next().unwrap().to_owned()).collect()
    }
    fn blocks(&self) -> Vec<String> {
        let all = self.fs.paths();
        let mut metas: Vec<String> =
            all.iter().map(|p| p.display().to_string()).filter(|p| p.contains("/blocks/") && p.ends_with("meta.json")).collect();
        metas.sort();
        metas
    }
}

#[test]
fn rows_go_with_the_next_merge_and_blocks_that_hold_some_are_rewritten_once() {
    let w = World::new();
    w.push("a", &format!("N x {NOW} secret1\nN x {} plain\nN y {NOW} secret2\n", NOW + 1));
    w.push("b", &format!("N x {NOW} secret3\n"));
    w.engine.flush().unwrap();
    *w.asked.0.lock() = Some(("r1", "secret"));
    // Rows that come later are left out by the merge that makes a block of them.
    w.push("a", &format!("N x {} secret4\n", NOW - DAY));
    w.engine.flush().unwrap();
    assert_eq!(w.texts("a"), ["plain", "secret2"]);
    assert_eq!(w.texts("b"), ["secret3"], "of another tenant nothing goes");
    let before = w.blocks();
    assert_eq!(w.engine.erase_rows().unwrap(), 0, "nothing is left to go");
    w.engine.flush().unwrap();
    assert_eq!(w.blocks(), before);
    // A restart, and a request that is gone: the rows do not come back.
    *w.asked.0.lock() = None;
    w.engine.shutdown().unwrap();
    let engine = open(&w.fs, &w.clock, settings()).unwrap();
    let rows = read(&*engine, "a", vec![]).unwrap();
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_block_of_which_nothing_is_left_is_as_if_it_were_not_there() {
    let w = World::new();
    w.push("a", &format!("N x {NOW} secret\n"));
    w.engine.flush().unwrap();
    *w.asked.0.lock() = Some(("r1", "secret"));
    assert_eq!(w.engine.erase_rows().unwrap(), 1);
    assert!(w.texts("a").is_empty());
    assert_eq!(w.engine.erase_rows().unwrap(), 0);
    // Merging goes on around it.
    w.push("a", &format!("N x {} more\n", NOW + 5));
    w.engine.flush().unwrap();
    assert_eq!(w.texts("a"), ["more"]);
    w.engine.merge(table::MergeWhat::Whole).unwrap();
    w.engine.shutdown().unwrap();
    let engine = open(&w.fs, &w.clock, settings()).unwrap();
    assert_eq!(read(&*engine, "a", vec![]).unwrap().len(), 1);
}

#[test]
fn blocks_without_a_row_of_a_request_stay_as_they_are() {
    let w = World::new();
    w.push("a", &format!("N y {NOW} secret\n"));
    w.engine.flush().unwrap();
    *w.asked.0.lock() = Some(("r1", "secret"));
    let before = w.blocks();
    assert_eq!(w.engine.erase_rows().unwrap(), 0);
    assert_eq!(w.blocks(), before);
    // Another request is looked at anew.
    *w.asked.0.lock() = Some(("r2", "sec"));
    w.push("a", &format!("N x {NOW} secret2\n"));
    w.engine.flush().unwrap();
    assert_eq!(w.texts("a"), ["secret"]);
}

#[test]
fn documents_are_kept_found_and_removed() {
    let w = World::new();
    assert!(w.engine.kept("a-").unwrap().is_empty());
    w.engine.keep("a-1.json", b"one").unwrap();
    w.engine.keep("a-2.json", b"two").unwrap();
    w.engine.keep("b-1.json", b"other").unwrap();
    w.engine.keep("a-2.json", b"two again").unwrap();
    let names = |e: &Engine| e.kept("a-").unwrap().into_iter().map(|(n, b)| (n, String::from_utf8(b).unwrap())).collect::<Vec<_>>();
    assert_eq!(names(&w.engine), [("a-1.json".into(), "one".into()), ("a-2.json".into(), "two again".to_owned())]);
    w.engine.discard("a-1.json").unwrap();
    w.engine.discard("a-1.json").unwrap();
    // A power cut takes none of it back.
    drop(w.engine);
    w.fs.power_cut();
    let engine = open(&w.fs, &w.clock, settings()).unwrap();
    assert_eq!(names(&engine), [("a-2.json".into(), "two again".to_owned())]);
}
