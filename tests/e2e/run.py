#!/usr/bin/env python3
"""Runs the end-to-end scripts one after the other, each in a process of its own, and says how they ended.

    run.py [SCRIPT ...]      all that CI runs without names
"""
import collections
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Short enough for every change; by hand they take the same parameters for longer (see each script's --help). By hand alone, because of the time
# they take: agent_loss and docker_source, two minutes each.
# The agent's scenes with containers, networks and file systems of their own need root, and say so where they may not have it.
SCRIPTS = {
    "clients": [],
    "otlp_grpc": [],
    "promql": [],
    "remote_read": [],
    "native": [],
    "snapshot": [],
    "host": [],
    "log_queries": [],
    "loki_differential": [],
    "agent": [],
    "agent_docker": [],
    "alerts": [],
    # The bar is 2 s with a release build; this is the dev build, on two cores that three generators keep busy.
    "crash": ["--kills", "3", "--ready", "8"],
    "diskfull": [],
    "duckdb_blocks": [],
    "soak": ["--minutes", "1"],
    "s3": [],
    "drills": ["--rate", "1MB/s"],
}
# A script that hangs is a failure, and the others are still run.
SECONDS = 900
# Of a script that failed, said again at the end.
LAST_LINES = 12


def one(name):
    """How it ended, after how many seconds, and the last that it said."""
    began = time.monotonic()
    print(f"--- {name}", flush=True)
    command = [sys.executable, str(HERE / f"{name}.py"), *SCRIPTS.get(name, [])]
    last = collections.deque(maxlen=LAST_LINES)
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **said) as script:
        # What it has started goes with it, and lets go of its output.
        alarm = threading.Timer(SECONDS, os.killpg, (script.pid, signal.SIGKILL))
        alarm.start()
        for line in script.stdout:
            print(line, end="", flush=True)
            last.append(line)
        code = script.wait()
        alarm.cancel()
    took = time.monotonic() - began
    if took >= SECONDS:
        last.append(f"{name} did not end within {SECONDS} s\n")
    return {0: "passed", 77: "skipped"}.get(code, "FAILED"), took, last


def main():
    names = sys.argv[1:] or list(SCRIPTS)
    ended = {name: one(name) for name in names}
    print("---")
    for name, (how, seconds, _) in ended.items():
        print(f"{how:8} {name} ({seconds:.0f} s)")
    # Whoever reads the end of a long log sees why.
    for name, (how, _, last) in ended.items():
        if how == "FAILED":
            print(f"--- the last that {name} said", "".join(last), sep="\n", end="")
    counts = {how: sum(1 for h, *_ in ended.values() if h == how) for how in ("passed", "skipped", "FAILED")}
    print(f"e2e result: {counts['passed']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
