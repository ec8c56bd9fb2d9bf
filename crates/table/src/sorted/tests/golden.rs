//! Runs and blocks written by version 1 of the layout must open for ever, and give exactly the rows that were put in.
//!
//! `tests/golden/v1/sorted/<table>` has a run of two tenants, the block of one tenant and day that was merged from it,
//! what their metas said, and `rows.txt`: the rows in words. It is data, not code: a change of the tests beside this one
//! does not touch it. `UPDATE_GOLDEN=1 cargo test -p watchfire-table golden` writes everything anew.

use std::fmt::Write;
use std::path::PathBuf;

use super::*;

fn golden(spec: &TableSpec) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/sorted").join(spec.name)
}

/// A row in words: doubles as their bits, bytes with escapes.
fn text(rows: &[Found], out: &mut String) {
    for r in rows {
        write!(out, "{} {}", r.series, r.time).unwrap();
        for c in &r.cells {
            match c {
                Cell::Null => out.push_str(" null"),
                Cell::Int(i) => write!(out, " {i}").unwrap(),
                Cell::Double(d) => write!(out, " f64:{:016x}", d.to_bits()).unwrap(),
                Cell::Bytes(b) => write!(out, " \"{}\"", b.escape_ascii()).unwrap(),
            }
        }
        out.push('\n');
    }
}

/// What the files in `dir` hold, in words: both tenants of the run, then the block.
fn read(spec: &'static TableSpec, fs: &Arc<dyn Fs>, dir: &Path) -> String {
    let mut out = String::new();
    let loss = Arc::new(Losses::default());
    for name in ["run", "block"] {
        let meta: SortedMeta = crate::meta::read(fs.as_ref(), &dir.join(format!("{name}.json"))).unwrap();
        let (data, series) = (dir.join(format!("{name}.data.parquet")), dir.join(format!("{name}.series.parquet")));
        let file = open(spec, fs, &data, &series, &meta, loss.clone(), &IndexCache::new(0)).unwrap();
        for tenant in TENANTS.with(|t| t.clone()) {
            writeln!(out, "{name} {tenant}").unwrap();
            let q = ScanRequest::new(spec, tenant, vec![], TimeRange::ALL);
            let sources = vec![Source::File { file: file.clone(), hidden_days: vec![] }];
            text(&collect(&q, scan(spec, sources, &q, Arc::new(scan::Unbounded)).unwrap()).unwrap(), &mut out);
        }
    }
    assert_eq!(loss.count(), 0);
    out
}

/// Writes what the golden files are: random rows, a run of them all, and a block.
fn write(spec: &'static TableSpec, fs: &Arc<dyn Fs>, dir: &Path) {
    fs.create_dir_all(dir).unwrap();
    let world = World::random(spec, &mut Dice(4));
    let paths = |name: &str| (dir.join(format!("{name}.data.parquet")), dir.join(format!("{name}.series.parquet")));
    let parts: Vec<_> = world.units.iter().map(|u| Arc::new(freeze(spec, &world.batches(u), world.names.as_ref()).unwrap())).collect();
    let (data, series) = paths("run");
    let meta = write_run(spec, &parts, world.names.as_ref(), fs.as_ref(), &data, &series).unwrap();
    crate::meta::write(fs.as_ref(), &dir.join("run.json"), &meta).unwrap();
    let file = open(spec, fs, &data, &series, &meta, Arc::new(Losses::default()), &IndexCache::new(0)).unwrap();
    let run = vec![Source::File { file, hidden_days: vec![] }];
    let (data, series) = paths("block");
    let tenant = TENANTS.with(|t| t[0].clone());
    let (meta, _) = merge(spec, run, &tenant, 0, fs.as_ref(), &data, &series, &MergeOptions::default()).unwrap();
    crate::meta::write(fs.as_ref(), &dir.join("block.json"), &meta).unwrap();
}

#[test]
fn version_1_opens() {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    for spec in [&LOGS, &SAMPLES, &SPANS, &TOY] {
        let dir = golden(spec);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            write(spec, &fs, &dir);
            disk::write_durably(fs.as_ref(), &dir.join("rows.txt"), read(spec, &fs, &dir).as_bytes()).unwrap();
        }
        let want = disk::read(fs.as_ref(), &dir.join("rows.txt")).unwrap();
        let (want, got) = (String::from_utf8(want).unwrap(), read(spec, &fs, &dir));
        assert!(want.lines().count() > 20, "{}: the golden file holds nothing", spec.name);
        assert_eq!(got, want, "{}", spec.name);
    }
}

/// What is written today has the form of version 1: another is a change of format, and gets a number and a page. (Not
/// its bytes: another release of the compressor may find shorter ones.)
#[test]
fn version_1_is_written() {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    for spec in [&LOGS, &SAMPLES, &SPANS, &TOY] {
        let dir = tempfile::tempdir().unwrap();
        write(spec, &fs, dir.path());
        for name in ["run", "block"] {
            let form = |dir: &Path| {
                let (data, series) = (dir.join(format!("{name}.data.parquet")), dir.join(format!("{name}.series.parquet")));
                let meta: serde_json::Value = crate::meta::read(fs.as_ref(), &dir.join(format!("{name}.json"))).unwrap();
                let fields: Vec<String> = meta.as_object().unwrap().keys().cloned().collect();
                (fields, columns(&data), columns(&series))
            };
            assert_eq!(form(dir.path()), form(&golden(spec)), "{} {name}", spec.name);
        }
    }
}

/// The columns of a Parquet file with their types, and the fields of our note in its footer.
fn columns(path: &Path) -> (String, Vec<String>) {
    use parquet::file::reader::FileReader;
    let file = parquet::file::reader::SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let meta = file.metadata().file_metadata();
    let mut schema = vec![];
    parquet::schema::printer::print_schema(&mut schema, meta.schema());
    let note = meta.key_value_metadata().and_then(|kv| kv.iter().find(|e| e.key == "watchfire")).and_then(|e| e.value.clone());
    let note: serde_json::Value = note.map_or(serde_json::Value::Null, |n| serde_json::from_str(&n).unwrap());
    (String::from_utf8(schema).unwrap(), note.as_object().map_or(vec![], |o| o.keys().cloned().collect()))
}
