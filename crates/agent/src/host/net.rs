//! What the kernel counts of protocols, sockets and tracked connections.

use std::collections::BTreeMap;
use std::path::Path;

use super::Gathered;
use super::proc::{number, text};

pub(super) fn gather(proc: &Path, out: &mut Gathered<'_>) {
    for file in ["net/netstat", "net/snmp"] {
        protocols(&text(proc, file), out);
    }
    protocols6(&text(proc, "net/snmp6"), out);
    let page = page_bytes(proc);
    for file in ["net/sockstat", "net/sockstat6"] {
        sockets(&text(proc, file), page, out);
    }
    tracked(proc, out);
}

/// Whether node_exporter shows this counter of a protocol unless told otherwise.
fn is_shown(protocol: &str, counter: &str) -> bool {
    let any = |all: &[&str]| all.contains(&counter);
    any(&["InErrors", "InErrs"])
        || match protocol {
            "Ip" => counter == "Forwarding",
            "Ip6" | "IpExt" => any(&["InOctets", "OutOctets"]),
            "Icmp" | "Icmp6" => any(&["InMsgs", "OutMsgs"]),
            "TcpExt" => {
                counter.starts_with("Listen") || counter.starts_with("Syncookies") || any(&["TCPSynRetrans", "TCPTimeouts", "TCPOFOQueue"])
            }
            "Tcp" => any(&["ActiveOpens", "InSegs", "OutSegs", "OutRsts", "PassiveOpens", "RetransSegs", "CurrEstab"]),
            "Udp" | "Udp6" => any(&["InDatagrams", "OutDatagrams", "NoPorts", "RcvbufErrors", "SndbufErrors"]),
            _ => false,
        }
}

fn counter(protocol: &str, name: &str, value: &str, out: &mut Gathered<'_>) {
    if let (true, Ok(v)) = (is_shown(protocol, name), value.parse::<f64>()) {
        out.add(&format!("node_netstat_{protocol}_{name}"), &[], v);
    }
}

/// Two lines for each protocol: names, then values.
fn protocols(text: &str, out: &mut Gathered<'_>) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (Some((protocol, names)), Some((_, values))) = (pair[0].split_once(':'), pair[1].split_once(':')) else { continue };
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            counter(protocol, name, value, out);
        }
    }
}

/// A line for each counter, its name after its protocol's: `Ip6InOctets 5`.
fn protocols6(text: &str, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let mut f = line.split_ascii_whitespace();
        let (Some(key), Some(value)) = (f.next(), f.next()) else { continue };
        if let Some(i) = key.find('6') {
            counter(&key[..=i], &key[i + 1..], value, out);
        }
    }
}

/// `TCP: inuse 5 mem 2`: pages of memory are shown as bytes, too.
fn sockets(text: &str, page_bytes: f64, out: &mut Gathered<'_>) {
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(':') else { continue };
        let f: Vec<&str> = rest.split_ascii_whitespace().collect();
        for pair in f.chunks_exact(2) {
            let Ok(v) = pair[1].parse::<f64>() else { continue };
            out.add(&format!("node_sockstat_{protocol}_{}", pair[0]), &[], v);
            if pair[0] == "mem" {
                out.add(&format!("node_sockstat_{protocol}_mem_bytes"), &[], v * page_bytes);
            }
        }
    }
}

/// Bytes of a page of memory, as the kernel tells every program (`AT_PAGESZ`); 4096 where that cannot be read.
fn page_bytes(proc: &Path) -> f64 {
    const AT_PAGESZ: u64 = 6;
    let auxv = std::fs::read(proc.join("self/auxv")).unwrap_or_default();
    let (words, _) = auxv.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|w| u64::from_ne_bytes(*w)).collect();
    words.chunks_exact(2).find(|p| p[0] == AT_PAGESZ).map_or(4096.0, |p| p[1] as f64)
}

fn tracked(proc: &Path, out: &mut Gathered<'_>) {
    for (name, file) in [
        ("node_nf_conntrack_entries", "sys/net/netfilter/nf_conntrack_count"),
        ("node_nf_conntrack_entries_limit", "sys/net/netfilter/nf_conntrack_max"),
    ] {
        if let Some(v) = number(Some(&text(proc, file).trim())) {
            out.add(name, &[], v);
        }
    }
    // Names, then a line of hexadecimal numbers for each processor.
    const SHOWN: [&str; 8] = ["found", "invalid", "ignore", "insert", "insert_failed", "drop", "early_drop", "search_restart"];
    let stat = text(proc, "net/stat/nf_conntrack");
    let mut lines = stat.lines().map(|l| l.split_ascii_whitespace().collect::<Vec<_>>());
    let Some(names) = lines.next() else { return };
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for values in lines {
        for (name, value) in names.iter().zip(values).filter(|(n, _)| SHOWN.contains(n)) {
            *sums.entry(name).or_default() += u64::from_str_radix(value, 16).unwrap_or(0);
        }
    }
    for (name, v) in sums {
        out.add(&format!("node_nf_conntrack_stat_{name}"), &[], v as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(f: impl Fn(&mut Gathered<'_>)) -> Vec<(String, f64)> {
        let mut out = Gathered { job: "node", instance: "h", time_ms: 1, samples: vec![], further: &std::collections::BTreeMap::new() };
        f(&mut out);
        out.samples.iter().map(|s| (s.labels.get("__name__").unwrap().to_owned(), s.number())).collect()
    }

    fn want(all: &[(&str, f64)]) -> Vec<(String, f64)> {
        all.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect()
    }

    #[test]
    fn protocols_are_counted() {
        let snmp = "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 9\nTcp: RtoMin CurrEstab InErrs\nTcp: 200 18 2\n";
        let all = [("node_netstat_Ip_Forwarding", 1.0), ("node_netstat_Tcp_CurrEstab", 18.0), ("node_netstat_Tcp_InErrs", 2.0)];
        assert_eq!(names(|out| protocols(snmp, out)), want(&all));
        let snmp6 = "Ip6InOctets                     	1620\nIp6InReceives 5\nUdpLite6InErrors	3\n";
        let all = [("node_netstat_Ip6_InOctets", 1620.0), ("node_netstat_UdpLite6_InErrors", 3.0)];
        assert_eq!(names(|out| protocols6(snmp6, out)), want(&all));
    }

    #[test]
    fn sockets_are_counted() {
        let sockstat = "sockets: used 7\nTCP: inuse 5 mem 2\nFRAG6: inuse 0 memory 0\n";
        let all = [
            ("node_sockstat_sockets_used", 7.0),
            ("node_sockstat_TCP_inuse", 5.0),
            ("node_sockstat_TCP_mem", 2.0),
            ("node_sockstat_TCP_mem_bytes", 8192.0),
            ("node_sockstat_FRAG6_inuse", 0.0),
            ("node_sockstat_FRAG6_memory", 0.0),
        ];
        assert_eq!(names(|out| sockets(sockstat, 4096.0, out)), want(&all));
    }

    #[test]
    fn a_page_has_its_size() {
        let page = page_bytes(Path::new("/proc"));
        assert!(page >= 4096.0 && page.log2().fract() == 0.0, "{page}");
        assert_eq!(page_bytes(Path::new("/no such place")), 4096.0);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // it plays the kernel
    fn tracked_connections_are_summed_over_processors() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("sys/net/netfilter/nf_conntrack_count", "12\n"),
            ("sys/net/netfilter/nf_conntrack_max", "65536\n"),
            ("net/stat/nf_conntrack", "entries found drop\n00000010 0000000a 00000001\n00000010 00000001 00000000\n"),
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let all = [
            ("node_nf_conntrack_entries", 12.0),
            ("node_nf_conntrack_entries_limit", 65536.0),
            ("node_nf_conntrack_stat_drop", 1.0),
            ("node_nf_conntrack_stat_found", 11.0),
        ];
        assert_eq!(names(|out| tracked(dir.path(), out)), want(&all));
    }
}
