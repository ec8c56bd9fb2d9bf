#!/usr/bin/env python3
"""A full disk stops writes with 503, not reads; it heals by itself when there is room, and nothing acknowledged is gone.

Needs a file system of its own that can be filled: a small tmpfs, which takes root.
"""
import json
import os
import time

from harness import Load, Server, check, figures, fill, folder, main, pass_over, say, small_disk, wait_for

SIZE = "384m"


def run():
    with folder() as d, small_disk(d / "disk", SIZE) as refused:
        if refused:
            # The simulation fills its disk anyway.
            pass_over(f"a file system cannot be mounted here: {refused}")
        with Server(d, data=d / "disk" / "data") as server:
            fill_and_heal(server, d, d / "disk")


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


def push(server, text):
    body = json.dumps({"streams": [{"stream": {"app": "diskfull"}, "values": [[str(time.time_ns()), text]]}]})
    return server.request("POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json"}, timeout=60)[0]


if __name__ == "__main__":
    main(run)
