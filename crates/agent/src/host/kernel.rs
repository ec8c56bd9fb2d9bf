//! Virtual memory, and for how long tasks waited.

use std::path::Path;

use super::Gathered;
use super::proc::{number, text};

pub(super) fn gather(proc: &Path, out: &mut Gathered<'_>) {
    virtual_memory(&text(proc, "vmstat"), out);
    for resource in ["cpu", "io", "memory"] {
        pressure(resource, &text(proc, &format!("pressure/{resource}")), out);
    }
}

/// Of its counters those that node_exporter shows unless told otherwise.
fn virtual_memory(text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let f: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(&key) = f.first() else { continue };
        let is_shown = ["oom_kill", "pgpg", "pswp"].iter().any(|p| key.starts_with(p)) || (key.starts_with("pg") && key.contains("fault"));
        if let (true, Some(v)) = (is_shown, number(f.get(1))) {
            out.add(&format!("node_vmstat_{key}"), &[], v);
        }
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=5000`, microseconds; `full` means that all tasks waited, which no processor knows.
fn pressure(resource: &str, text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let mut f = line.split_ascii_whitespace();
        let how = match f.next() {
            Some("some") => "waiting",
            Some("full") if resource != "cpu" => "stalled",
            _ => continue,
        };
        if let Some(total) = f.find_map(|p| p.strip_prefix("total=")).and_then(|t| t.parse::<f64>().ok()) {
            out.add(&format!("node_pressure_{resource}_{how}_seconds_total"), &[], total / 1e6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        let mut out = Gathered { job: "node", instance: "h", time_ms: 1, samples: vec![], further: &std::collections::BTreeMap::new() };
        virtual_memory("nr_free_pages 5\npgpgin 7\npgmajfault 2\noom_kill 1\npswpout 3\npgalloc_dma 4\n", &mut out);
        let some = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1000000\n";
        pressure("cpu", some, &mut out);
        pressure("io", some, &mut out);
        let got: Vec<(&str, f64)> = out.samples.iter().map(|s| (s.labels.get("__name__").unwrap(), s.number())).collect();
        let want = [
            ("node_vmstat_pgpgin", 7.0),
            ("node_vmstat_pgmajfault", 2.0),
            ("node_vmstat_oom_kill", 1.0),
            ("node_vmstat_pswpout", 3.0),
            ("node_pressure_cpu_waiting_seconds_total", 2.5),
            ("node_pressure_io_waiting_seconds_total", 2.5),
            ("node_pressure_io_stalled_seconds_total", 1.0),
        ];
        assert_eq!(got, want);
    }
}
