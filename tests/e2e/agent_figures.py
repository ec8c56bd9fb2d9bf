#!/usr/bin/env python3
"""Figures of the agent: CPU time and memory of a million lines, of idling, and how soon a line that was written is found.

    agent_figures.py [throughput|idle|latency ...] [--seconds N]     (give WATCHFIRE_BIN a release build)

They are measured, not checked: what they have to be depends on the machine.
"""
import argparse
import json
import threading
import time
import urllib.parse
import urllib.request

from agent import Agent
from harness import Server, check, folder, main, say

PAD = "".join("the quick brown fox jumps over the lazy dog 0123456789 " * 4)


def text(first, n):
    """Lines of 200 bytes, the line end included."""
    return "".join(f"{f'info line={i:010d} {PAD}'[:199]}\n" for i in range(first, first + n))


def throughput(_):
    """A million lines: read, spooled and synced, sent and acknowledged."""
    lines = 1_000_000
    with folder() as d, Server(d) as server:
        path = d / "big.log"
        with open(path, "w") as f:
            for first in range(0, lines, 10_000):
                f.write(text(first, 10_000))
        with Agent(d, [{"name": "home", "url": server.url}], path) as agent:
            began, peak = time.monotonic(), 0
            while agent.status()["endpoints"][0]["acknowledged_rows"] < lines:
                peak = max(peak, agent.rss())
                time.sleep(0.1)
            used, took = agent.cpu_seconds(), time.monotonic() - began
            say(f"throughput: {lines} lines of {path.stat().st_size // lines} bytes: {used:.2f} CPU s, {lines / used:,.0f} lines a CPU second,",
                f"{took:.1f} s, peak {agent.rss('VmHWM') / 2**20:.1f} MiB, as sampled {peak / 2**20:.1f} MiB")


def idle(seconds):
    """An agent with the host's metrics, its own, and a file to which nothing is written, as it comes without settings."""
    with folder() as d, Server(d) as server:
        with Agent(d, [{"name": "home", "url": server.url}], d / "quiet.log") as agent:
            settings = agent.config.read_text()
            agent.kill()
            agent.config.write_text(settings.replace("host: { enabled: false }", "host: { enabled: true }").replace("    itself: false\n", "")
                                    .replace(", poll_interval: 50ms", ""))
            agent.start()
            time.sleep(20)
            before, began = agent.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            share = (agent.cpu_seconds() - before) / (time.monotonic() - began)
            say(f"idle: {share * 100:.2f} % of a core, {agent.rss() / 2**20:.1f} MiB resident, of which its own {agent.rss('RssAnon') / 2**20:.1f},",
                f"peak {agent.rss('VmHWM') / 2**20:.1f}")


def newest(server):
    """Number of the newest line that a query finds. Lines of one file come in order, so all before it are found as well."""
    now = time.time_ns()
    query = {"query": '{job="app"}', "limit": "1", "direction": "backward", "start": str(now - 60 * 10**9), "end": str(now + 10**9)}
    with urllib.request.urlopen(f"{server.url}/loki/api/v1/query_range?" + urllib.parse.urlencode(query), timeout=60) as r:
        result = json.load(r)["data"]["result"]
    return int(result[0]["values"][0][1].split("line=")[1].split(" ")[0]) if result else -1


def latency(seconds, rate=10_000_000):
    """From a line being written to a query finding it, while 10 MB/s are written. Each line is as late as the first query after it
    that finds it says, so the figure errs by one query's time upwards."""
    every, lines = 0.05, int(rate * 0.05 / 200)
    written, found, done = [], [], threading.Event()
    with folder() as d, Server(d) as server:
        path = d / "app.log"
        path.touch()

        def write():
            began = time.monotonic()
            with open(path, "a") as f:
                for n in range(int(seconds / every)):
                    chunk = text(n * lines, lines)
                    time.sleep(max(0.0, began + n * every - time.monotonic()))
                    f.write(chunk)
                    f.flush()
                    written.append((time.monotonic(), (n + 1) * lines - 1))
            done.set()

        with Agent(d, [{"name": "home", "url": server.url}], path) as agent:
            config = agent.config.read_text()
            agent.kill()
            agent.config.write_text(config.replace(", poll_interval: 50ms", ""))
            agent.start()
            used, began = agent.cpu_seconds(), time.monotonic()
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            while not found or not done.is_set() or found[-1][1] < written[-1][1]:
                asked = newest(server)
                found.append((time.monotonic(), asked))
                check(time.monotonic() - began < 3 * seconds + 60, f"only line {asked} is found")
                time.sleep(0.02)
            used = agent.cpu_seconds() - used
            waits, at = [], 0
            for when, number in written:
                while found[at][1] < number:
                    at += 1
                waits.append(found[at][0] - when)
            waits.sort()
            took = written[-1][0] - written[0][0]
            say(f"latency: {len(waits) * lines} lines at {(len(waits) - 1) * lines * 200 / took / 1e6:.1f} MB/s, looked at every",
                f"{(found[-1][0] - found[0][0]) / len(found) * 1e3:.0f} ms: p50 {waits[len(waits) // 2]:.3f} s,",
                f"p99 {waits[int(len(waits) * 0.99)]:.3f} s, longest {waits[-1]:.3f} s; the agent took {used / took * 100:.0f} % of a core,",
                f"peak {agent.rss('VmHWM') / 2**20:.1f} MiB; lost {agent.lost()}")


FIGURES = {"throughput": throughput, "idle": idle, "latency": latency}


def run():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("figures", nargs="*", choices=[*FIGURES, []])
    arguments.add_argument("--seconds", type=int, default=60)
    asked = arguments.parse_args()
    for name in asked.figures or FIGURES:
        FIGURES[name](asked.seconds)


if __name__ == "__main__":
    main(run)
