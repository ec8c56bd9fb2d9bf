#!/usr/bin/env python3
"""kill -9 under load, again and again: no acknowledged row missing, none doubled, serving again within two seconds.

    crash.py [--kills 5] [--every 4] [--full] [--seed 1] [--ready 2]

All three tables are written at once while the server is killed at random moments and started again. `--full` sends as
fast as answers come instead of at a fixed rate. The rows are verified through the query APIs three times: as replayed,
after a flush, and after one more kill.
"""
import argparse
import random
import time

from harness import Failed, Load, Server, check, figures, folder, main, say

SIGNALS = {
    "logs": ["--streams", "200", "--tenants", "3", "--late", "0.05", "--batch-rows", "2000"],
    "metrics": ["--series", "5000", "--tenants", "3", "--late", "0.05"],
    "traces": ["--tenants", "3", "--late", "0.05", "--batch-rows", "500"],
}
RATES = {"logs": "2MB/s", "metrics": "20000/s", "traces": "1000/s"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=5)
    p.add_argument("--every", type=float, default=4.0, help="seconds between two kills, on average")
    p.add_argument("--full", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--ready", type=float, default=2.0, help="seconds in which it must serve again")
    return p.parse_args()


def run():
    args = arguments()
    chance = random.Random(args.seed)
    waits = [chance.uniform(0.3, 2 * args.every - 0.3) for _ in range(args.kills)]
    with folder() as d, Server(d) as server:
        seconds = int(sum(waits) + 3 * args.kills + 3)
        loads = [start(server, d, name, seconds, args) for name in SIGNALS]
        slowest = 0.0
        for n, wait in enumerate(waits):
            time.sleep(wait)
            server.kill()
            took = server.start()
            slowest = max(slowest, took)
            say(f"kill {n + 1}: serving again after {took:.2f} s, {server.cpu():.2f} CPU s of its own")
        check(all(load.process.alive() for load in loads), "the load ended before the last kill: it did not test it")
        for load in loads:
            say(load.name, figures(load.wait()))
        verify(loads, "as replayed")
        server.flush()
        verify(loads, "after a flush")
        server.kill()
        slowest = max(slowest, server.start())
        verify(loads, "after a flush and a kill")
        check(server.metric("watchfire_losses_total") == 0, "the server says that something was lost")
        check(slowest <= args.ready, f"serving again took {slowest:.2f} s, not {args.ready:.0f}")


def start(server, d, name, seconds, args):
    rate = [] if args.full else ["--rate", RATES[name]]
    if args.full and name == "traces":
        rate = ["--trace-spans", 500]  # millions of spans are read back trace by trace
    return Load(server, name, d / f"{name}.journal", "--seed", args.seed, "--duration", f"{seconds}s", *rate, *SIGNALS[name])


def verify(loads, when):
    """All three are looked at before one of them fails the run."""
    problems = []
    for load in loads:
        try:
            found = load.verify()
            say(f"{load.name} {when}: {found['acknowledged']} acknowledged, missing 0, doubled 0 ({found['unacknowledged']} more rows)")
        except Failed as e:
            say(f"{load.name} {when}: {e}")
            problems.append(load.name)
    check(not problems, f"{when}: {', '.join(problems)}")


if __name__ == "__main__":
    main(run)
