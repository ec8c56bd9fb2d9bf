//! What sorted rows cost: CPU seconds for a million rows, and bytes for a row, from unsorted batches to a merged block
//! and back through a scan, for rows like those of logs, metrics and traces.
//!
//! `cargo bench -p watchfire-table --bench sorted [-- logs|samples|spans|tiny]`; `tiny` is a hundredth of the rows.
#![allow(clippy::disallowed_methods)] // a bench, which reads its settings from the environment

mod rows;

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base::Tenant;
use disk::{Fs, RealFs};
use table::sorted::{self, Budget, Damage, IndexCache, LostRows, MergeOptions, Part, SortedMeta, Source};
use table::{Predicate, ScanRequest, TableSpec, TimeRange};

struct NoBound;
impl Budget for NoBound {
    fn reserve(&self, _: usize) -> base::Result<()> {
        Ok(())
    }
    fn release(&self, _: usize) {}
}

struct Loud;
impl Damage for Loud {
    fn lost(&self, what: LostRows) {
        panic!("{what:?}");
    }
}

/// CPU seconds of this process, user and system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("never empty").split_whitespace().collect();
    (fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number")) / 100.0
}

/// The most memory this process ever had, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) / 1024
}

struct Bench {
    spec: &'static TableSpec,
    names: Arc<rows::Names>,
    fs: Arc<dyn Fs>,
    dir: tempfile::TempDir,
    rows: u64,
}

impl Bench {
    fn report(&self, what: &str, seconds: f64, bytes: u64) {
        let millions = self.rows as f64 / 1e6;
        let per_row = bytes as f64 / self.rows as f64;
        println!(
            "{:<8} {what:<28} {:>8.3} CPU-s/M rows {:>8.2} B/row {:>6} MiB peak",
            self.spec.name,
            seconds / millions,
            per_row,
            peak_mib()
        );
    }

    fn open(&self, name: &str, meta: &SortedMeta) -> Source {
        let (data, series) = self.paths(name);
        let file = sorted::open(self.spec, &self.fs, &data, &series, meta, Arc::new(Loud), &IndexCache::new(usize::MAX)).expect("opens");
        Source::File { file, hidden_days: vec![] }
    }

    fn paths(&self, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let at = |s: &str| self.dir.path().join(format!("{name}.{s}.parquet"));
        (at("data"), at("series"))
    }

    fn scan(&self, what: &str, sources: Vec<Source>, request: &ScanRequest) {
        let before = cpu();
        let mut found = 0u64;
        for b in sorted::scan(self.spec, sources, request, Arc::new(NoBound)).expect("scans").batches {
            found += b.expect("reads").num_rows() as u64;
        }
        println!("{:<8} {what:<28} {:>8.3} CPU-s, {found} rows found", self.spec.name, cpu() - before);
    }
}

fn run(spec: &'static TableSpec, names: rows::Names, batches: impl Iterator<Item = RecordBatch>, part_rows: usize, parts_per_run: usize) {
    let mut b = Bench { spec, names: Arc::new(names), fs: Arc::new(RealFs), dir: tempfile::tempdir().expect("a directory"), rows: 0 };
    let (mut freezing, mut flushing, mut part_bytes, mut run_bytes) = (0.0, 0.0, 0, 0);
    let (mut head, mut parts): (Vec<RecordBatch>, Vec<Arc<Part>>) = (vec![], vec![]);
    let mut metas: Vec<SortedMeta> = vec![];
    let mut batches = batches.peekable();
    while let Some(batch) = batches.next() {
        b.rows += batch.num_rows() as u64;
        head.push(batch);
        let last = batches.peek().is_none();
        if last || head.iter().map(|h| h.num_rows()).sum::<usize>() >= part_rows {
            let before = cpu();
            let part = sorted::freeze(spec, &head, b.names.as_ref()).expect("freezes");
            freezing += cpu() - before;
            part_bytes += part.bytes() as u64;
            parts.push(Arc::new(part));
            head.clear();
        }
        if last || parts.len() == parts_per_run {
            let (data, series) = b.paths(&format!("run{}", metas.len()));
            let before = cpu();
            let meta = sorted::write_run(spec, &parts, b.names.as_ref(), b.fs.as_ref(), &data, &series).expect("writes");
            flushing += cpu() - before;
            run_bytes += meta.data_bytes + meta.series_bytes;
            metas.push(meta);
            parts.clear();
        }
    }
    b.report("freeze", freezing, part_bytes);
    b.report("write_run", flushing, run_bytes);
    let tenant = Tenant::default();
    let sources: Vec<Source> = metas.iter().enumerate().map(|(i, m)| b.open(&format!("run{i}"), m)).collect();
    let mut days: Vec<i64> = metas.iter().flat_map(|m| m.partitions.iter().map(|p| p.day)).collect();
    days.sort_unstable();
    days.dedup();
    let before = cpu();
    let mut blocks = vec![];
    let mut block_bytes = 0;
    for day in days {
        let (data, series) = b.paths(&format!("day{day}"));
        let (meta, stats) =
            sorted::merge(spec, sources.clone(), &tenant, day, b.fs.as_ref(), &data, &series, &MergeOptions::default()).expect("merges");
        assert_eq!(stats.rows_out, meta.rows);
        block_bytes += meta.data_bytes + meta.series_bytes;
        blocks.push(b.open(&format!("day{day}"), &meta));
        if std::env::var("WATCHFIRE_BENCH_INSPECT").is_ok() {
            let mut text = String::new();
            sorted::inspect(b.fs.as_ref(), &data, &series, &mut text).expect("describes");
            text.lines().filter(|l| !l.starts_with("tenant")).for_each(|l| println!("    {l}"));
        }
        keep_file(&data, spec.name);
        keep_file(&series, &format!("{}-series", spec.name));
    }
    b.report("merge", cpu() - before, block_bytes);
    let all = ScanRequest::new(spec, tenant.clone(), vec![], TimeRange::ALL);
    b.scan("scan runs, all columns", sources, &all);
    b.scan("scan blocks, all columns", blocks.clone(), &all);
    let mut times = all.clone();
    times.columns.clear();
    b.scan("scan blocks, times", blocks.clone(), &times);
    let mut one = all.clone();
    one.matchers = vec![b.names.matcher()];
    b.scan("scan blocks, few series", blocks.clone(), &one);
    let mut absent = all.clone();
    absent.predicate = Some(match spec.name {
        "logs" => Predicate::Contains("line".into(), b"needle-that-is-absent".to_vec()),
        "spans" => Predicate::Equals("trace_id".into(), vec![7; 16]),
        _ => Predicate::Between("value".into(), -2.0, -1.0),
    });
    b.scan("scan blocks, absent value", blocks, &absent);
}

/// Leaves a copy of a block where `WATCHFIRE_BENCH_KEEP` says, to be looked at with other tools.
fn keep_file(path: &Path, name: &str) {
    if let Ok(dir) = std::env::var("WATCHFIRE_BENCH_KEEP") {
        std::fs::copy(path, Path::new(&dir).join(format!("{name}.parquet"))).expect("copies");
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let tiny = args.iter().any(|a| a == "tiny");
    let wanted = |name: &str| !args.iter().any(|a| ["logs", "samples", "spans"].contains(&a.as_str())) || args.iter().any(|a| a == name);
    let scale = if tiny { 100 } else { 1 };
    if wanted("logs") {
        let (names, batches) = rows::logs(200_000_000 / scale);
        run(&rows::LOGS, names, batches, 64_000 / scale.min(10), 4);
    }
    if wanted("samples") {
        let (names, batches) = rows::samples(20_000 / scale.min(20), 1440);
        run(&rows::SAMPLES, names, batches, 1_000_000 / scale, 4);
    }
    if wanted("spans") {
        let (names, batches) = rows::spans(1_000_000 / scale);
        run(&rows::SPANS, names, batches, 64_000 / scale, 4);
    }
}
