//! Disks and file systems.

use std::collections::HashSet;
use std::ffi::CString;
use std::path::Path;

use super::Gathered;
use super::proc::{number, text};

const SECTOR: f64 = 512.0;
const MS: f64 = 1e-3;

/// Fields of a line of `/proc/diskstats` after the device's name, with the factor to the metric's unit.
const DISK_FIELDS: [(&str, usize, f64); 17] = [
    ("node_disk_reads_completed_total", 0, 1.0),
    ("node_disk_reads_merged_total", 1, 1.0),
    ("node_disk_read_bytes_total", 2, SECTOR),
    ("node_disk_read_time_seconds_total", 3, MS),
    ("node_disk_writes_completed_total", 4, 1.0),
    ("node_disk_writes_merged_total", 5, 1.0),
    ("node_disk_written_bytes_total", 6, SECTOR),
    ("node_disk_write_time_seconds_total", 7, MS),
    ("node_disk_io_now", 8, 1.0),
    ("node_disk_io_time_seconds_total", 9, MS),
    ("node_disk_io_time_weighted_seconds_total", 10, MS),
    ("node_disk_discards_completed_total", 11, 1.0),
    ("node_disk_discards_merged_total", 12, 1.0),
    ("node_disk_discarded_sectors_total", 13, 1.0),
    ("node_disk_discard_time_seconds_total", 14, MS),
    ("node_disk_flush_requests_total", 15, 1.0),
    ("node_disk_flush_requests_time_seconds_total", 16, MS),
];

/// File systems that hold no files of anybody.
const VIRTUAL: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "erofs",
    "sysfs",
    "tracefs",
];
/// File systems behind a network: asking one whose server is gone hangs for ever, and the collector with it.
const REMOTE: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs"];

pub(super) fn gather(proc: &Path, out: &mut Gathered<'_>) {
    disks(&text(proc, "diskstats"), out);
    // The mounts of process 1 are the host's even where ours are a container's.
    let mounts = Some(text(proc, "1/mounts")).filter(|t| !t.is_empty()).unwrap_or_else(|| text(proc, "self/mounts"));
    file_systems(&mounts, out, space);
}

fn disks(text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let f: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(device) = f.get(2).filter(|d| !is_part(d)) else { continue };
        for (name, i, unit) in DISK_FIELDS {
            if let Some(v) = number(f.get(3 + i)) {
                out.add(name, &[("device", device)], v * unit);
            }
        }
    }
}

/// Partitions, loop devices, memory disks and floppies: their reads are counted with the disk, or are none.
fn is_part(device: &str) -> bool {
    let name = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if name == device {
        return false;
    }
    let disk = ["hd", "sd", "vd", "xvd"].iter().any(|p| name.strip_prefix(p).is_some_and(|r| r.len() == 1));
    let nvme = name.starts_with("nvme") && name.ends_with('p') && name.contains('n');
    disk || nvme || ["ram", "zram", "loop", "fd"].contains(&name)
}

/// Bytes of a file system.
pub(super) struct Space {
    size: f64,
    free: f64,
    avail: f64,
    files: f64,
    files_free: f64,
    read_only: bool,
}

fn file_systems(mounts: &str, out: &mut Gathered<'_>, space: impl Fn(&str) -> Option<Space>) {
    let mut seen = HashSet::new();
    // Of several mounts on one point only the last can be seen.
    for line in mounts.lines().rev() {
        let f: Vec<&str> = line.split(' ').collect();
        let [device, point, fstype, ..] = f[..] else { continue };
        let (device, point) = (unescape(device), unescape(point));
        let hidden = ["/dev", "/proc", "/run/credentials", "/sys", "/var/lib/docker", "/var/lib/containers/storage"];
        let is_hidden = hidden.iter().any(|h| point.strip_prefix(h).is_some_and(|r| r.is_empty() || r.starts_with('/')));
        if VIRTUAL.contains(&fstype) || REMOTE.contains(&fstype) || fstype.starts_with("fuse.") || is_hidden || !seen.insert(point.clone())
        {
            continue;
        }
        let Some(s) = space(&point) else { continue };
        let labels = [("device", device.as_str()), ("fstype", fstype), ("mountpoint", point.as_str())];
        for (name, v) in [
            ("node_filesystem_size_bytes", s.size),
            ("node_filesystem_free_bytes", s.free),
            ("node_filesystem_avail_bytes", s.avail),
            ("node_filesystem_files", s.files),
            ("node_filesystem_files_free", s.files_free),
            ("node_filesystem_device_error", 0.0),
            ("node_filesystem_readonly", f64::from(u8::from(s.read_only))),
        ] {
            out.add(name, &labels, v);
        }
    }
}

/// Mount points have `\040` for a space.
fn unescape(text: &str) -> String {
    let mut out = vec![];
    let mut bytes = text.as_bytes();
    while let Some((&b, rest)) = bytes.split_first() {
        let octal = rest.get(..3).filter(|d| b == b'\\' && d.iter().all(|c| (b'0'..=b'7').contains(c)));
        match octal {
            Some(d) => {
                out.push(d.iter().fold(0u32, |v, c| v * 8 + u32::from(c - b'0')) as u8);
                bytes = &rest[3..];
            }
            None => {
                out.push(b);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Asks the kernel. The one unsafe place of this crate: the standard library has no such call.
#[allow(clippy::unnecessary_cast)] // the widths of the fields differ between platforms
fn space(point: &str) -> Option<Space> {
    let path = CString::new(point).ok()?;
    let mut s = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` ends with a zero byte and outlives the call; `s` is as large as the call writes.
    if unsafe { libc::statvfs(path.as_ptr(), s.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, and all-zero bytes were a valid value before it.
    let s = unsafe { s.assume_init() };
    let unit = s.f_frsize as f64;
    Some(Space {
        size: s.f_blocks as f64 * unit,
        free: s.f_bfree as f64 * unit,
        avail: s.f_bavail as f64 * unit,
        files: s.f_files as f64,
        files_free: s.f_ffree as f64,
        read_only: s.f_flag as u64 & libc::ST_RDONLY as u64 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_not_disks() {
        for part in ["sda1", "vdb12", "xvda1", "nvme0n1p2", "loop0", "ram3", "zram0", "fd0"] {
            assert!(is_part(part), "{part}");
        }
        for disk in ["sda", "vdb", "xvda", "nvme0n1", "md0", "dm-0", "sr0", "mmcblk0"] {
            assert!(!is_part(disk), "{disk}");
        }
    }

    #[test]
    fn file_systems_of_people_are_measured() {
        let mounts = "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\nsrv:/x /mnt/nfs nfs4 rw 0 0\n\
                      /dev/sdb1 /mnt/my\\040disk xfs ro 0 0\ntmpfs /dev/shm tmpfs rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
        let mut out = Gathered { job: "node", instance: "h", further: &std::collections::BTreeMap::new(), time_ms: 1, samples: vec![] };
        let ask =
            |p: &str| Some(Space { size: p.len() as f64, free: 0.0, avail: 0.0, files: 0.0, files_free: 0.0, read_only: p.contains("my") });
        file_systems(mounts, &mut out, ask);
        let sizes: Vec<_> = out
            .samples
            .iter()
            .filter(|s| s.labels.get("__name__") == Some("node_filesystem_size_bytes"))
            .map(|s| (s.labels.get("mountpoint").unwrap().to_owned(), s.number()))
            .collect();
        assert_eq!(sizes, [("/run".to_string(), 4.0), ("/mnt/my disk".into(), 12.0), ("/".into(), 1.0)]);
    }

    #[test]
    fn the_kernel_answers_for_the_root() {
        let s = space("/").unwrap();
        assert!(s.size > 0.0 && s.avail <= s.size);
        assert!(space("/no such place").is_none());
    }
}
