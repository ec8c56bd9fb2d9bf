//! How long a group takes from append to durable, on the disk that holds the working directory or `WAL_BENCH_DIR`.
//!
//! `cargo bench -p watchfire-wal`. Prints milliseconds; the disk decides, so compare runs on one machine only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use disk::RealFs;
use wal::{Settings, Wal};

fn main() {
    let base = std::env::var_os("WAL_BENCH_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = tempfile::Builder::new().prefix("wal-bench").tempdir_in(base).expect("a folder for the bench");
    println!("{:>12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}", "frame bytes", "groups", "p50 ms", "p90 ms", "p99 ms", "max ms", "MB/s");
    for (bytes, groups) in [(4 << 10, 2000), (64 << 10, 1000), (256 << 10, 400), (1 << 20, 200)] {
        run(&dir.path().join(bytes.to_string()), bytes, groups);
    }
}

fn run(dir: &std::path::Path, bytes: usize, groups: usize) {
    let (mut wal, _) = Wal::open(Arc::new(RealFs), dir, Settings::default(), 0, &mut |_| Ok(())).expect("a new log opens");
    let payload: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
    let mut took: Vec<Duration> = (0..groups)
        .map(|_| {
            let start = Instant::now();
            wal.append(1, &[&payload]).expect("below the bound");
            wal.sync().expect("the disk works");
            start.elapsed()
        })
        .collect();
    let total: Duration = took.iter().sum();
    took.sort();
    let ms = |share: f64| took[((groups - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let rate = (bytes * groups) as f64 / 1e6 / total.as_secs_f64();
    println!("{bytes:>12} {groups:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {rate:>10.0}", ms(0.5), ms(0.9), ms(0.99), ms(1.0));
    wal.close().expect("the disk works");
    let start = Instant::now();
    let (_, r) = Wal::open(Arc::new(RealFs), dir, Settings::default(), 0, &mut |_| Ok(())).expect("the log opens");
    println!("{:>12} recovered {:.0} MB in {:.2} s", "", r.bytes as f64 / 1e6, start.elapsed().as_secs_f64());
}
