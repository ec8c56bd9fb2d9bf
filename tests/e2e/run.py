#!/usr/bin/env python3
"""Runs the end-to-end scripts one after the other, each in a process of its own, and says how they ended.

    run.py [SCRIPT ...]      all of them without names
"""
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# Short enough for every change; by hand they take the same parameters for longer (see each script's --help). By hand alone, because of the time
# they take: agent_loss and docker_source, two minutes each.
# The agent's scenes with containers, networks and file systems of their own need root, and say so where they may not have it.
SCRIPTS = {
    "clients": [],
    "otlp_grpc": [],
    "promql": [],
    "host": [],
    "log_queries": [],
    "loki_differential": [],
    "agent": [],
    "agent_docker": [],
    "alerts": [],
    # The bar is 2 s with a release build; this is the dev build, on two cores that three generators keep busy.
    "crash": ["--kills", "5", "--ready", "8"],
    "diskfull": [],
    "duckdb_blocks": [],
    "soak": ["--minutes", "1"],
    "s3": [],
    "drills": ["--rate", "1MB/s"],
}
# A script that hangs is a failure, and the others are still run.
SECONDS = 900


def one(name):
    began = time.monotonic()
    print(f"--- {name}", flush=True)
    try:
        code = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *SCRIPTS[name]], stdin=subprocess.DEVNULL, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"{name} did not end within {SECONDS} s", flush=True)
        code = 1
    return {0: "passed", 77: "skipped"}.get(code, "FAILED"), time.monotonic() - began


def main():
    names = sys.argv[1:] or list(SCRIPTS)
    ended = {name: one(name) for name in names}
    print("---")
    for name, (how, seconds) in ended.items():
        print(f"{how:8} {name} ({seconds:.0f} s)")
    counts = {how: sum(1 for h, _ in ended.values() if h == how) for how in ("passed", "skipped", "FAILED")}
    print(f"e2e result: {counts['passed']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
