//! How much memory the process may use: what its control group allows, or what the machine has.

use std::path::Path;

/// Bytes; `root` is `/` but in tests. A gigabyte when nothing can be read, which is small enough for any machine.
pub fn available(root: &Path) -> u64 {
    let machine = meminfo(root);
    let group = cgroup(root);
    match (machine, group) {
        (Some(m), Some(g)) => m.min(g),
        (Some(n), None) | (None, Some(n)) => n,
        (None, None) => 1 << 30,
    }
}

fn meminfo(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

/// The least limit of the process' group and those above it, in version 2 or version 1.
fn cgroup(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("").trim_start_matches('/'));
        let (mount, file) = match controllers {
            "" => (root.join("sys/fs/cgroup"), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be the host's while the mount shows the own group alone, so the mount counts too.
        let mut dir = mount.join(path);
        while dir.starts_with(&mount) {
            let limit = std::fs::read_to_string(dir.join(file)).ok().and_then(|t| t.trim().parse::<u64>().ok());
            least = match (least, limit) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if !dir.pop() {
                break;
            }
        }
    }
    // Version 1 says "no limit" with a number near 2^63.
    least.filter(|n| *n < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // a pretended root, outside any data directory
    fn the_smallest_limit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |p: &str, t: &str| {
            let p = dir.path().join(p);
            std::fs::create_dir_all(p.parent().unwrap()).unwrap();
            std::fs::write(p, t).unwrap();
        };
        assert_eq!(available(dir.path()), 1 << 30);
        write("proc/meminfo", "MemTotal:        8000 kB\nMemFree: 1 kB\n");
        assert_eq!(available(dir.path()), 8_192_000);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/memory.max", "4096000\n");
        assert_eq!(available(dir.path()), 4_096_000);
        write("proc/self/cgroup", "4:cpu,memory:/x\n1:name=systemd:/y\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(available(dir.path()), 8_192_000);
        write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2048000\n");
        assert_eq!(available(dir.path()), 2_048_000);
    }
}
