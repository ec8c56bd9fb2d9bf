#!/usr/bin/env python3
"""Hours in minutes: late rows, many streams, many tenants, a million series; memory keeps under its cap, files stay few.

    soak.py [--minutes 1] [--streams 5000] [--tenants 20] [--series 50000] [--memory 512MiB]
    soak.py --minutes 10 --streams 50000 --tenants 100 --series 1000000 --memory 2GiB

The time is divided into cycles of three phases (wide logs and traces, wide metrics, all at once), each ended by a
flush. Resident memory is looked at twice a second and must never pass `memory_limit`; the number of files after the
last cycle must be about that after the second, when every tenant, table and day has its block.
"""
import argparse
import pathlib
import threading

from harness import Load, Server, check, figures, folder, main, say, wait_for

UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
CYCLES = 4


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=1.0)
    p.add_argument("--streams", type=int, default=5_000)
    p.add_argument("--tenants", type=int, default=20)
    p.add_argument("--series", type=int, default=50_000)
    p.add_argument("--memory", default="512MiB")
    p.add_argument("--verify", type=int, default=1, help="how many of the cycles are verified row by row at the end")
    return p.parse_args()


class Watch:
    """Looks at the server's memory and files from a thread of its own."""

    def __init__(self, server):
        self.server, self.peak_rss, self.peak_files, self.done = server, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.look, name="watch", daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join(10)

    def look(self):
        while not self.done.wait(0.5):
            self.peak_rss = max(self.peak_rss, self.server.rss()[0])
            self.peak_files = max(self.peak_files, files(self.server.data))


def files(data):
    """Files below a directory that is changing."""
    return sum(1 for p in pathlib.Path(data).rglob("*") if not p.is_dir())


def run():
    args = arguments()
    cap = int(args.memory[:-3]) * UNITS[args.memory[-3:]]
    with folder() as d, Server(d, memory=args.memory) as server, Watch(server) as watch:
        after, loads = [], []
        for cycle in range(CYCLES):
            loads.append(one_cycle(server, d, cycle, args))
            server.flush()
            wait_for("superseded files are removed", lambda: server.metric("watchfire_dead_directories") == 0)
            after.append(files(server.data))
            peak = server.rss()[1]
            say(f"cycle {cycle + 1}: {after[-1]} files, resident {server.rss()[0] >> 20} MiB, peak {peak >> 20} of {cap >> 20} MiB")
            check(peak <= cap, f"resident memory reached {peak >> 20} MiB, memory_limit is {cap >> 20} MiB")
        check(after[-1] <= after[1] * 1.2 + 20, f"files after each cycle: {after}: they grow")
        for cycle in loads[len(loads) - args.verify:]:
            for load in cycle:
                found = load.verify()
                say(f"{load.journal.stem}: {found['acknowledged']} acknowledged, missing 0, doubled 0")
        peak = server.rss()[1]
        check(peak <= cap, f"reading it all took resident memory to {peak >> 20} MiB, memory_limit is {cap >> 20} MiB")
        check(server.metric("watchfire_losses_total") == 0, "the server says that something was lost")
        say(f"files after each cycle {after}, at most {watch.peak_files}; peak memory {peak >> 20} of {cap >> 20} MiB")


def one_cycle(server, d, cycle, args):
    """Three phases of equal length; the loads of the cycle."""
    seconds = max(3, int(args.minutes * 60 / CYCLES / 3))
    wide = {
        "logs": ["--streams", args.streams, "--tenants", args.tenants, "--late", "0.05", "--rate", "3MB/s", "--batch-rows", "1000"],
        "traces": ["--streams", "200", "--tenants", args.tenants, "--late", "0.05", "--rate", "1000/s", "--batch-rows", "200"],
        "metrics": ["--series", args.series, "--tenants", "1", "--late", "0.02", "--rate", f"{max(20_000, args.series // 5)}/s"],
    }
    done = []
    for phase, names in enumerate((["logs", "traces"], ["metrics"], ["logs", "traces", "metrics"])):
        running = []
        for name in names:
            seed = 100 * cycle + 10 * phase + 1
            running.append(Load(server, name, d / f"{name}-{cycle}-{phase}.journal", "--seed", seed, "--duration", f"{seconds}s", *wide[name]))
        for load in running:
            say(f"cycle {cycle + 1}, phase {phase + 1}, {load.name}: {figures(load.wait())}")
        done += running
    return done


if __name__ == "__main__":
    main(run)
