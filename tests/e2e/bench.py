#!/usr/bin/env python3
"""Figures of one machine, with the load generator that is part of the binary: `make bench`.

CPU seconds and bytes hold better than wall time on a noisy machine. Each table gets a server of its own; the run is
pushed, flushed into blocks, and the server's CPU, its peak memory and the bytes on disk are put in relation to the rows.
"""
import os
import pathlib

import harness
from harness import Load, Server, folder, say

harness.BIN = os.environ.get("WATCHFIRE_BIN") or str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", harness.ROOT / "target")) / "release" / "watchfire")


def disk(data):
    return sum(p.stat().st_size for p in pathlib.Path(data, "blocks").rglob("*.parquet"))


def pushed(name, *arguments):
    with folder() as d, Server(d) as server:
        load = Load(server, name, d / "journal", "--duration", "600s", *arguments)
        report = load.wait(1200)
        server.flush()
        rows, raw = report["acknowledged_rows"], report["acknowledged_bytes"]
        cpu, peak, kept = server.cpu(), server.rss()[1], disk(server.data)
        say(f"{name:8} {rows} rows, {raw / 1e6:.0f} MB raw, {rows / report['seconds']:.0f} rows/s")
        say(f"{name:8} {cpu / (raw / 1e9):.1f} CPU s/GB, {cpu / (rows / 1e6):.2f} CPU s/million rows, peak {peak / 2**20:.0f} MiB, "
            f"{kept / rows:.2f} bytes/row on disk")


def paced():
    with folder() as d, Server(d) as server:
        report = Load(server, "logs", d / "journal", "--rate", "10MB/s", "--duration", "20s", "--batch-rows", "6000").wait()
        latency = report["latency"]
        say(f"acknowledgement of {report['acknowledged_bytes'] / report['acknowledged_requests'] / 1e6:.1f} MB pushes at 10 MB/s: "
            f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, max {latency['max']:.1f} ms")


if __name__ == "__main__":
    pushed("logs", "--rows", "1200000", "--batch-rows", "6000")
    pushed("metrics", "--rows", "20000000", "--series", "20000")
    pushed("traces", "--rows", "1000000")
    paced()
