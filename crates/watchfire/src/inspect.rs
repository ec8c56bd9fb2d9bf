//! `watchfire inspect`: looks into the files of a data directory without changing them, also while a server runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base::units::format_size;
use disk::RealFs;
use serde_json::Value;
use wal::{HeaderFacts, RecordFacts};

use crate::cli::InspectCommand;
use crate::exit::Exit;

/// Runs it. Damage that is found ends in [`Exit::Mismatch`].
pub fn run(command: InspectCommand) -> Result<ExitCode> {
    let sound = match command {
        InspectCommand::Wal(p) => wal_directory(&p.path)?,
        InspectCommand::Run(p) | InspectCommand::Block(p) => directory_of_meta(&p.path)?,
        InspectCommand::Catalog(p) => catalog(&p.path)?,
    };
    Ok(if sound { Exit::Ok } else { Exit::Mismatch }.into())
}

/// Segments of a log directory (or of the data directory above it), stretch by stretch.
fn wal_directory(path: &Path) -> Result<bool> {
    let dir = if path.join("wal").is_dir() { path.join("wal") } else { path.to_owned() };
    let mut sound = true;
    for s in wal::inspect(&RealFs, &dir)? {
        let header = match s.header {
            HeaderFacts::Good { first_seq, synced_seq } => format!("first frame {first_seq}, synced below {synced_seq}"),
            HeaderFacts::Version(v) => format!("format version {v} is not known"),
            HeaderFacts::Bad => "header damaged or cut".into(),
        };
        println!("segment {} ({}): {header}", s.id, format_size(s.file_bytes));
        let (mut frames, mut bytes) = (0u64, 0u64);
        for r in &s.records {
            match r {
                RecordFacts::Mark { .. } => {}
                RecordFacts::Frame { payload_bytes, .. } => {
                    frames += 1;
                    bytes += payload_bytes;
                }
                RecordFacts::Broken { offset, bytes, seq, reason } => {
                    sound = false;
                    println!("  broken at {offset}: {bytes} bytes, frame {}: {reason}", seq.map_or("unknown".into(), |s| s.to_string()));
                }
                RecordFacts::Unused { bytes, .. } => println!("  {} unused at the end", format_size(*bytes)),
            }
        }
        println!("  {frames} frames, {} of requests", format_size(bytes));
    }
    Ok(sound)
}

/// The meta of a run or a block, and whether its files are there.
fn directory_of_meta(path: &Path) -> Result<bool> {
    let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let (meta, sound) = read_meta(&dir.join("meta.json"))?;
    println!("{}", serde_json::to_string_pretty(&meta)?);
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        println!("{}  {}", format_size(entry.metadata()?.len()), entry.file_name().to_string_lossy());
    }
    Ok(sound)
}

/// One line for each run and block of a data directory.
fn catalog(data_dir: &Path) -> Result<bool> {
    let mut metas = vec![];
    for part in ["runs", "blocks"] {
        find_metas(&data_dir.join(part), 0, &mut metas)?;
    }
    if metas.is_empty() && !data_dir.join("wal").is_dir() {
        bail!("{} is not a data directory", data_dir.display());
    }
    metas.sort();
    let mut sound = true;
    for path in metas {
        match read_meta(&path) {
            Ok((meta, good)) => {
                sound &= good;
                println!("{}", line(path.parent().unwrap_or(&path).strip_prefix(data_dir).unwrap_or(&path), &meta));
            }
            Err(e) => {
                sound = false;
                println!("{}: {e:#}", path.display());
            }
        }
    }
    Ok(sound)
}

/// Blocks lie five directories deep; nothing of ours lies deeper.
const DEPTH: usize = 6;

fn find_metas(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DEPTH || !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find_metas(&path, depth + 1, out)?;
        } else if path.file_name().is_some_and(|n| n == "meta.json") {
            out.push(path);
        }
    }
    Ok(())
}

fn line(path: &Path, meta: &Value) -> String {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut out = path.display().to_string();
    for key in ["level", "wal_from", "wal_upto"] {
        if let Some(v) = meta.get(key) {
            out.push_str(&format!("  {key} {}", text(v)));
        }
    }
    if let Some(a) = meta.get("ancestors").and_then(Value::as_array) {
        out.push_str(&format!("  supersedes {}", a.len()));
    }
    let mut sorted: Vec<(String, &Value)> = vec![];
    if let Some(s) = meta.get("sorted") {
        sorted.push((meta.get("table").map_or(String::new(), text), s));
    }
    for t in meta.get("tables").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(name), Some(s)) = (t.get("table"), t.get("sorted")) {
            sorted.push((text(name), s));
        }
    }
    for (table, s) in sorted {
        out.push_str(&format!("  {table}: {} rows", s.get("rows").map_or("?".into(), text)));
    }
    out
}

/// A meta is a line of JSON and a line with its checksum. The second value says whether that one is right.
fn read_meta(path: &Path) -> Result<(Value, bool)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let (json, checksum) = bytes.split_at(end);
    let sound = checksum == format!("\ncrc32c {:08x}\n", crc32c::crc32c(json)).as_bytes();
    if !sound {
        println!("{}: checksum does not match", path.display());
    }
    Ok((serde_json::from_slice(json).with_context(|| path.display().to_string())?, sound))
}
