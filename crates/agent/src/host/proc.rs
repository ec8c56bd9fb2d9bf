//! Processors, memory, load, network and kernel counters from `/proc`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Gathered;
use crate::limits;

/// Clock ticks in a second as `/proc` counts them: 100 on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;
const CPU_MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

pub(super) fn gather(proc: &Path, out: &mut Gathered<'_>) {
    stat(&text(proc, "stat"), out);
    memory(&text(proc, "meminfo"), out);
    load(&text(proc, "loadavg"), out);
    network(&text(proc, "net/dev"), out);
    files(&text(proc, "sys/fs/file-nr"), out);
    uname(proc, out);
}

/// A file below `/proc`, empty when it cannot be read.
pub(super) fn text(proc: &Path, name: &str) -> String {
    let mut bytes = vec![];
    if let Ok(f) = File::open(proc.join(name)) {
        // What was read before an error still counts.
        let _ = f.take(limits::PROC_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number in a field.
pub(super) fn number(field: Option<&&str>) -> Option<f64> {
    field?.parse().ok()
}

fn stat(text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let f: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some((&key, values)) = f.split_first() else { continue };
        if let Some(cpu) = key.strip_prefix("cpu").filter(|c| !c.is_empty()) {
            for (mode, v) in CPU_MODES.iter().zip(values) {
                if let Ok(v) = v.parse::<f64>() {
                    out.add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], v / TICKS);
                }
            }
            for (mode, v) in ["user", "nice"].iter().zip(values.iter().skip(CPU_MODES.len())) {
                if let Ok(v) = v.parse::<f64>() {
                    out.add("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], v / TICKS);
                }
            }
            continue;
        }
        let name = match key {
            "intr" => "node_intr_total",
            "ctxt" => "node_context_switches_total",
            "btime" => "node_boot_time_seconds",
            "processes" => "node_forks_total",
            "procs_running" => "node_procs_running",
            "procs_blocked" => "node_procs_blocked",
            _ => continue,
        };
        if let Some(v) = number(values.first()) {
            out.add(name, &[], v);
        }
    }
}

/// `MemTotal: 16 kB` is `node_memory_MemTotal_bytes`, `Active(anon)` is `Active_anon`; what has no unit has no suffix.
fn memory(text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let f: Vec<&str> = rest.split_ascii_whitespace().collect();
        let Some(v) = number(f.first()) else { continue };
        let key = key.trim_end_matches(')').replace('(', "_");
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        match f.get(1) {
            Some(&"kB") => out.add(&format!("node_memory_{key}_bytes"), &[], v * 1024.0),
            _ => out.add(&format!("node_memory_{key}"), &[], v),
        }
    }
}

fn load(text: &str, out: &mut Gathered<'_>) {
    let f: Vec<&str> = text.split_ascii_whitespace().collect();
    for (name, field) in ["node_load1", "node_load5", "node_load15"].iter().zip(&f) {
        if let Ok(v) = field.parse() {
            out.add(name, &[], v);
        }
    }
}

fn network(text: &str, out: &mut Gathered<'_>) {
    // Columns after the name: 8 of receiving, 8 of sending.
    const RECEIVE: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
    const TRANSMIT: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(':') else { continue };
        let f: Vec<&str> = rest.split_ascii_whitespace().collect();
        for (way, first, kinds) in [("receive", 0, RECEIVE), ("transmit", 8, TRANSMIT)] {
            for (i, kind) in kinds.iter().enumerate() {
                if let Some(v) = number(f.get(first + i)) {
                    out.add(&format!("node_network_{way}_{kind}_total"), &[("device", device.trim())], v);
                }
            }
        }
    }
}

fn files(text: &str, out: &mut Gathered<'_>) {
    let f: Vec<&str> = text.split_ascii_whitespace().collect();
    for (name, i) in [("node_filefd_allocated", 0), ("node_filefd_maximum", 2)] {
        if let Some(v) = number(f.get(i)) {
            out.add(name, &[], v);
        }
    }
}

fn uname(proc: &Path, out: &mut Gathered<'_>) {
    let read = |name: &str| text(proc, &format!("sys/kernel/{name}")).trim().to_owned();
    let (sysname, release, version) = (read("ostype"), read("osrelease"), read("version"));
    if sysname.is_empty() {
        return;
    }
    let (nodename, domainname) = (read("hostname"), read("domainname"));
    let labels = [
        ("sysname", sysname.as_str()),
        ("release", release.as_str()),
        ("version", version.as_str()),
        ("machine", std::env::consts::ARCH),
        ("nodename", nodename.as_str()),
        ("domainname", domainname.as_str()),
    ];
    out.add("node_uname_info", &labels, 1.0);
}
