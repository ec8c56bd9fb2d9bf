#!/usr/bin/env python3
"""The host collector beside Debian's node_exporter on the same host: names, labels and values.

NODE_EXPORTER names the program where it is not in the path.
"""
import json
import os
import re
import time
import urllib.request

from harness import Process, Server, check, folder, free_port, main, need, say, wait_for

# What the collector covers: all names of node_exporter that begin so. Names that node_exporter takes from other places are not asked
# for: of network devices it asks the kernel's routing socket, of times the file of zones.
COVERED = re.compile(r"node_(cpu_(seconds|guest)|memory_|load\d|filesystem_(size|free|avail|files|readonly|device_error)|disk_(?!info)|netstat_"
                     r"|sockstat_|intr_total|context_switches_total|forks_total|boot_time|procs_(running|blocked)|vmstat_|uname_info"
                     r"|time_seconds|pressure_|filefd_|nf_conntrack_|network_(receive|transmit)_(bytes|packets|errs|drop|fifo|multicast|compressed)_)")
# Devices that only one of the two counts: newer node_exporters leave compressed memory out, as this collector does, and what is mounted
# in other places than the root is seen by who may look.
DEVICES = re.compile(r"(zram\d+|ram\d+|loop\d+)$")
# Of these a reading a moment later may be anything.
VOLATILE = re.compile(r"node_(procs_|load|disk_io_now|sockstat_|nf_conntrack_entries$|filefd_allocated|netstat_Tcp_CurrEstab)|node_memory_")


def run():
    program = os.environ.get("NODE_EXPORTER") or need("prometheus-node-exporter")
    with folder() as d, Server(d, more="") as server:
        # The same settings with the host on.
        server.process.stop()
        server.settings.write_text(server.settings.read_text().replace("host: false", "host: true").replace("collect:\n", "collect:\n  interval: 1s\n"))
        server.start()
        port = free_port()
        with Process([program, f"--web.listen-address=127.0.0.1:{port}"], d / "node_exporter.out"):
            theirs = wait_for("node_exporter answers", lambda: scrape(port))
            wait_for("the host is measured", lambda: measured(server))
            before, theirs, after = settled(server), scrape(port), None
            time.sleep(2.5)
            after = settled(server)
    missing = sorted({name for name, _ in theirs} - {name for name, _ in before})
    check(not missing, f"node_exporter has names that the collector has not: {missing}")
    labels = sorted(set(theirs) - set(before))
    check(not labels, f"node_exporter has series that the collector has not: {labels[:5]}")
    compared = 0
    for key, value in theirs.items():
        if VOLATILE.match(key[0]):
            continue
        low, high = sorted((before[key], after[key]))
        slack = 1e-6 + 0.02 * max(abs(low), abs(high))
        check(low - slack <= value <= high + slack, f"{key}: node_exporter says {value}, the collector {before[key]} and then {after[key]}")
        compared += 1
    check(compared >= 80, f"only {compared} values were compared")
    say(f"{len(theirs)} series of node_exporter are there, {compared} values agree")


def scrape(port):
    """Series of node_exporter that are covered, or nothing."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    except OSError:
        return {}
    out = {}
    for line in text.splitlines():
        found = re.match(r"([a-zA-Z_:0-9]+)(?:\{(.*)\})? (\S+)$", line)
        if not found or not COVERED.match(found[1]):
            continue
        pairs = tuple(sorted((k, json.loads(f'"{v}"')) for k, v in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or "")))
        if not any(k == "device" and DEVICES.match(v) for k, v in pairs):
            out[found[1], pairs] = float(found[3])
    return out


def measured(server):
    """Series of the collector, by name and labels without its own."""
    answer = server.json("/api/v1/query", {"query": '{__name__=~"node_.*"}'})["data"]["result"]
    out = {}
    for s in answer:
        labels = {k: v for k, v in s["metric"].items() if k not in ("__name__", "job", "instance")}
        out[s["metric"]["__name__"], tuple(sorted(labels.items()))] = float(s["value"][1])
    return out


def settled(server):
    """A reading with all of its parts."""
    return wait_for("a whole reading", lambda: measured(server))


if __name__ == "__main__":
    main(run)
