#!/usr/bin/env python3
"""A snapshot is a data directory: a second server that is started on it answers as the first did when it was taken.

All three tables are written, in part flushed; two snapshots are taken, one of everything and one without what lies in memory, and the
first server goes on: it is written to, series are deleted, files are merged, and it is killed. Servers on the snapshots are then
asked for every row that was acknowledged before, and answer queries to the last byte as the first server did.

    snapshot.py [--seconds 4]      of load before the snapshots, half of it flushed
"""
import argparse
import json
import shutil

from harness import Load, Server, check, figures, folder, main, say

LOADS = {
    "logs": ["--streams", "100", "--tenants", "2", "--batch-rows", "1000", "--rate", "1MB/s"],
    "metrics": ["--series", "1000", "--tenants", "2", "--rate", "10000/s"],
    "traces": ["--tenants", "2", "--batch-rows", "500", "--rate", "1000/s"],
}
# Of the tenant without a name: what is compared byte by byte.
HELD = [{"room": room, "n": str(n)} for room in ("hall", "attic") for n in range(20)]
STEPS, STEP_S, BEGAN_S = 60, 15, 1_700_000_000
QUERIES = ["held", "sum by (room) (rate(held[2m]))", "topk(3, held)", "quantile_over_time(0.9, held[5m])", 'count({__name__=~".+"})']


def run():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=4)
    seconds = options.parse_args().seconds
    with folder() as d, Server(made(d, "first")) as server:
        flushed, unflushed = (d / "flushed", d / "unflushed")
        half = max(1, seconds // 2)
        before = load(server, flushed, half, 1)
        hold(server, STEPS // 2, STEPS)
        server.flush()
        after = load(server, unflushed, half, 2)
        hold(server, 0, STEPS // 2)
        answers = ask(server)
        # Taking one of everything flushes what lies in memory.
        files, whole = taken(server, skip_head="true"), taken(server)
        check(whole != files, "two snapshots have one name")
        goes_on(server)
        check(ask(server) != answers, "what was deleted and written since has changed no answer")
        server.kill()
        opened(d, "whole", server.data / "snapshots" / whole, before + after, answers)
        # As one would keep it elsewhere, and without memory: the older half of what is held is not in it.
        shutil.copytree(server.data / "snapshots" / files, d / "copied")
        opened(d, "files", d / "copied", before, None)
    say("two servers on snapshots have every row from before, and one answers as the first did")


def made(d, name):
    (d / name).mkdir()
    return d / name


def load(server, directory, seconds, seed):
    directory.mkdir()
    loads = [Load(server, name, directory / f"{name}.journal", "--seed", seed, "--duration", f"{seconds}s", *more) for name, more in LOADS.items()]
    for one in loads:
        say(one.name, figures(one.wait()))
    return loads


def hold(server, first, last):
    """Samples whose times and values are known."""
    points = [(k, {"timeUnixNano": str((BEGAN_S + k * STEP_S) * 10**9)}) for k in range(first, last)]
    metrics = []
    for i, labels in enumerate(HELD):
        attributes = [{"key": k, "value": {"stringValue": v}} for k, v in labels.items()]
        metrics.append({"name": "held", "gauge": {"dataPoints": [{**p, "asDouble": (i + 1) * k * 0.1, "attributes": attributes} for k, p in points]}})
    body = json.dumps({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": metrics}]}]}).encode()
    status, answer = server.request("POST", "/v1/metrics", body=body, headers={"Content-Type": "application/json"})
    check(status == 200, f"OTLP: {status} {answer[:300]!r}")


def ask(server):
    times = {"start": BEGAN_S, "end": BEGAN_S + STEPS * STEP_S, "step": STEP_S}
    return {q: server.json("/api/v1/query_range", {"query": q, **times}) for q in QUERIES}


def taken(server, **how):
    status, body = server.request("POST", "/api/v1/admin/tsdb/snapshot", how)
    check(status == 200, f"snapshot: {status} {body[:300]!r}")
    name = json.loads(body)["data"]["name"]
    check((server.data / "snapshots" / name).is_dir(), f"there is no snapshot {name}")
    return name


def goes_on(server):
    """New rows, deleted series, and files that are merged into others."""
    hold(server, STEPS // 3, STEPS // 3 + 1)
    deleted = {"match[]": 'held{room="hall"}', "start": 0}
    for path, query in (("delete_series", deleted), ("clean_tombstones", None)):
        status, body = server.request("POST", f"/api/v1/admin/tsdb/{path}", query)
        check(status == 204, f"{path}: {status} {body[:300]!r}")
    server.flush()


def opened(d, name, data, loads, answers):
    """A server on this directory has all that the loads wrote, and answers so."""
    with Server(made(d, name), data=data) as second:
        for one in loads:
            one.server = second
            found = one.verify()
            say(f"{name}: {one.name}: {found['acknowledged']} acknowledged, none missing, none doubled")
        got = ask(second)
        if answers is not None:
            for q, answer in answers.items():
                check(got[q] == answer, f"{name}: {q}: {str(got[q])[:300]}, not {str(answer)[:300]}")
        else:
            times = [t for series in got["held"]["data"]["result"] for t, _ in series["values"]]
            check(times and min(times) >= BEGAN_S + STEPS // 2 * STEP_S, "samples that were not flushed are in a snapshot without them")
        # It is a server like another: it takes rows, and keeps them apart from the first's.
        hold(second, STEPS, STEPS + 1)


if __name__ == "__main__":
    main(run)
