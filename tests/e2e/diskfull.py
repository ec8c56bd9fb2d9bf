#!/usr/bin/env python3
"""A full disk stops writes with 503, not reads; it heals by itself when there is room, and nothing acknowledged is gone.

Needs a file system of its own that can be filled: a small tmpfs, which takes root.
"""
import contextlib
import json
import os
import subprocess
import time

from harness import Load, Server, check, figures, folder, main, say, wait_for

SIZE = "384m"


def run():
    with folder() as d:
        disk = d / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            # Even in CI: whether a container may mount is not ours to decide, and the simulation fills its disk anyway.
            say("SKIPPED: a file system cannot be mounted here:", mounted.stderr.strip())
            raise SystemExit(77)
        try:
            with Server(d, data=disk / "data") as server:
                fill_and_heal(server, d, disk)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)


def fill_and_heal(server, d, disk):
    before = Load(server, "logs", d / "before.journal", "--seed", "1", "--duration", "3s", "--rate", "2MB/s")
    say("before:", figures(before.wait()))
    ballast = disk / "ballast"
    fill(ballast)
    say("full:", os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize >> 20, "MiB free")

    wait_for("a write is answered 503 on a full disk", lambda: push(server, "full") == 503, 60)
    before.verify()
    say("full: every row from before is read")
    during = Load(server, "logs", d / "during.journal", "--seed", "2", "--rows", "20000", "--duration", "30s", "--retry-for", "120s")
    time.sleep(3)
    check(during.process.alive(), f"the load ended on a full disk:\n{during.process.tail()}")
    check(server.process.alive(), "the server ended on a full disk")

    ballast.unlink()
    wait_for("a write is taken again once there is room", lambda: push(server, "healed") == 204, 60)
    report = during.wait()
    check(report["retries"] > 0, f"nothing had to be sent again, so the disk was not full: {json.dumps(report)}")
    say("after:", figures(report))
    for load in (before, during):
        load.verify()
    server.flush()
    for load in (before, during):
        load.verify()
    say("healed: every acknowledged row is there once, before and after a flush")


def fill(ballast):
    """Takes all the room there is."""
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\0" * (1 << 20))


def push(server, text):
    body = json.dumps({"streams": [{"stream": {"app": "diskfull"}, "values": [[str(time.time_ns()), text]]}]})
    return server.request("POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json"}, timeout=60)[0]


if __name__ == "__main__":
    main(run)
