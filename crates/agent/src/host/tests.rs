use std::collections::BTreeMap;
use std::fs;

use parking_lot::Mutex;

use super::*;
use crate::deliver::{Batch, Loss};
use crate::stale::MARKER;

/// Keeps the samples it is given.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) samples: Mutex<Vec<Sample>>,
    pub(crate) refuse: Mutex<bool>,
}

impl Deliver for Kept {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let s = match batch {
            Batch::Samples(s) => s,
            Batch::Metadata(_) => return Ok(()),
            Batch::Lines(_) | Batch::Body(_) => panic!("a collector has no lines"),
        };
        if *self.refuse.lock() {
            return Err(base::Error::unavailable("full"));
        }
        *self.samples.lock() = s.to_vec();
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

impl Kept {
    /// Name and labels without job and instance, with the value.
    pub(crate) fn values(&self) -> BTreeMap<String, f64> {
        let text = |l: &Labels| {
            let rest: Vec<String> =
                l.iter().filter(|(n, _)| !["__name__", "job", "instance"].contains(n)).map(|(n, v)| format!("{n}={v}")).collect();
            format!("{}{{{}}}", l.get("__name__").unwrap(), rest.join(","))
        };
        self.samples.lock().iter().map(|s| (text(&s.labels), s.number())).collect()
    }
}

const STAT: &str = "cpu  300 0 0 0 0 0 0 0 0 0\ncpu0 100 2 50 700 5 1 3 4 7 8\nintr 99 1 2\nctxt 12345\nbtime 1700000000\nprocesses 77\n\
                    procs_running 3\nprocs_blocked 1\nsoftirq 5 1\n";
const NET: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                   \x20 eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n    lo:5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n";

fn rig(dir: &std::path::Path) -> (Arc<Kept>, Collector, Arc<Stats>) {
    for (name, text) in [
        ("stat", STAT),
        ("meminfo", "MemTotal:       16 kB\nActive(anon):    3 kB\nHugePages_Total:       2\n"),
        ("loadavg", "0.50 1.25 2.00 1/200 4242\n"),
        ("net/dev", NET),
        ("sys/fs/file-nr", "1504\t0\t9223372\n"),
        ("diskstats", "   8 0 sda 5 1 16 250 7 0 32 500 1 1500 2000 0 0\n   8 1 sda1 5 1 16 250 7 0 32 500 1 1500 2000\n"),
        ("sys/kernel/ostype", "Linux\n"),
        ("sys/kernel/hostname", "box\n"),
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (kept, stats) = (Arc::new(Kept::default()), Arc::new(Stats::default()));
    let c = Collector::new(Settings::default(), "h1".into(), kept.clone(), Clock::manual(5_500_000_000), stats.clone()).proc_at(dir.into());
    (kept, c, stats)
}

#[test]
fn the_host_is_measured_under_the_names_dashboards_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, mut c, _) = rig(dir.path());
    c.collect();
    let got = kept.values();
    for (name, v) in [
        ("up{}", 1.0),
        ("node_time_seconds{}", 5.5),
        ("node_cpu_seconds_total{cpu=0,mode=user}", 1.0),
        ("node_cpu_seconds_total{cpu=0,mode=idle}", 7.0),
        ("node_cpu_seconds_total{cpu=0,mode=steal}", 0.04),
        ("node_cpu_guest_seconds_total{cpu=0,mode=nice}", 0.08),
        ("node_intr_total{}", 99.0),
        ("node_context_switches_total{}", 12345.0),
        ("node_boot_time_seconds{}", 1.7e9),
        ("node_forks_total{}", 77.0),
        ("node_procs_running{}", 3.0),
        ("node_procs_blocked{}", 1.0),
        ("node_memory_MemTotal_bytes{}", 16384.0),
        ("node_memory_Active_anon_bytes{}", 3072.0),
        ("node_memory_HugePages_Total{}", 2.0),
        ("node_load1{}", 0.5),
        ("node_load15{}", 2.0),
        ("node_network_receive_bytes_total{device=eth0}", 1000.0),
        ("node_network_receive_drop_total{device=eth0}", 2.0),
        ("node_network_transmit_packets_total{device=eth0}", 20.0),
        ("node_network_transmit_errs_total{device=eth0}", 3.0),
        ("node_network_receive_bytes_total{device=lo}", 5.0),
        ("node_filefd_allocated{}", 1504.0),
        ("node_disk_read_bytes_total{device=sda}", 8192.0),
        ("node_disk_write_time_seconds_total{device=sda}", 0.5),
        ("node_disk_io_time_weighted_seconds_total{device=sda}", 2.0),
    ] {
        assert_eq!(got.get(name), Some(&v), "{name} of {got:?}");
    }
    assert!(!got.keys().any(|k| k.contains("sda1") || k.contains("cpu=,")));
    assert!(got.keys().any(|k| k.starts_with("node_uname_info{") && k.contains("nodename=box")));
    assert!(
        kept.samples
            .lock()
            .iter()
            .all(|s| s.labels.get("job") == Some("node") && s.labels.get("instance") == Some("h1") && s.time_ms == 5500)
    );
}

#[test]
fn a_device_that_goes_ends_and_what_cannot_be_read_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, mut c, stats) = rig(dir.path());
    c.collect();
    fs::write(dir.path().join("net/dev"), NET.replace("eth0: ", "eth0 ")).unwrap();
    fs::remove_file(dir.path().join("loadavg")).unwrap();
    c.collect();
    let got = kept.values();
    assert_eq!(got["node_network_receive_bytes_total{device=eth0}"].to_bits(), MARKER.to_bits());
    assert_eq!(got["node_load1{}"].to_bits(), MARKER.to_bits());
    assert_eq!(got["node_network_receive_bytes_total{device=lo}"], 5.0);
    *kept.refuse.lock() = true;
    c.collect();
    assert!(stats.waiting_samples.load(std::sync::atomic::Ordering::Relaxed) > 20);
}

#[test]
fn this_host_has_a_name_and_processors() {
    let kept = Arc::new(Kept::default());
    Collector::new(Settings::default(), hostname(), kept.clone(), Clock::manual(0), Arc::default()).collect();
    let got = kept.values();
    assert!(got.keys().any(|k| k.starts_with("node_cpu_seconds_total{cpu=0,")));
    assert!(got["node_memory_MemTotal_bytes{}"] > 0.0);
}
