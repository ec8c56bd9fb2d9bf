#!/usr/bin/env python3
"""Prometheus and Watchfire are sent the same native histograms, and answer the same questions about them alike.

The series are made by chance, of a seed that is said: exponential histograms of all kinds of resolutions, of whole numbers and of floats, with
resets, gaps, staleness markers, changing resolution, zero buckets of several widths, observations of NaN; gauges; custom bounds; series that are
now a float and now a histogram. A histogram always spells out the same buckets, because Prometheus' chunks do so by themselves.

Numbers are equal to 12 digits, buckets have the same borders to the last bit, and the same is said in warnings and infos. What newer versions do
otherwise than 3.5 is not asked for: the rate of histograms near zero is of another size, so that it is looked at by what does not depend on that.
A version before 3 has no custom bounds: the script is passed over, also in CI, since not every Debian has a newer one.

    native.py [--seed N]
"""
import argparse
import json
import math
import random
import re
import struct
import time

from harness import Process, Server, check, folder, free_port, main, need, pass_over, say, wait_for
from promql import Original, close, get
from remote_read import field, literal, ready, varint, write

STEP_MS, STEPS = 15_000, 120
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
CUSTOM, GAUGE = -53, 3

# `{n}` is one metric after the other; the others are of one.
QUERIES = """
{n}
-{n}
{n} * 3
{n} / 7
2 * {n}
{n} + 1
{n} + {n} offset 1m
{n} - {n} offset 1m
{n} == {n} offset 15s
{n} != bool {n}
{n} > {n}
{n} * on (job) group_left (unit) weight
{n} and on (job) weight > 0
{n} unless {n} offset 1m
{n} or weight
sum({n})
sum by (job) ({n})
avg by (job) ({n})
min({n})
max by (job) ({n})
count by (job) ({n})
group({n})
stddev({n})
quantile(0.4, {n})
topk(2, {n})
count_values("v", {n})
limitk(100, {n})
sum(delta({n}[3m]))
delta({n}[4m])
idelta({n}[2m])
irate({n}[2m])
resets({n}[4m])
changes({n}[4m])
sum_over_time({n}[2m])
avg_over_time({n}[2m])
last_over_time({n}[2m])
count_over_time({n}[2m])
present_over_time({n}[2m])
max_over_time({n}[2m])
stddev_over_time({n}[2m])
ts_of_last_over_time({n}[2m])
deriv({n}[2m])
absent({n})
timestamp({n})
sort({n})
abs({n})
label_replace({n}, "short", "$1", "job", "(.).*")
histogram_count({n})
histogram_sum({n})
histogram_avg({n})
histogram_stddev({n})
histogram_stdvar({n})
histogram_quantile(0.01, {n})
histogram_quantile(0.5, {n})
histogram_quantile(0.99, {n})
histogram_fraction(-1, 1, {n})
histogram_fraction(0.0005, 7, {n})
histogram_fraction(-Inf, 0, {n})
histogram_avg(rate({n}[3m]))
histogram_quantile(0.9, rate({n}[3m]))
histogram_fraction(0.3, 5, increase({n}[3m]))
histogram_quantile(0.3, avg by (job) ({n}))
max_over_time(histogram_count({n})[4m:20s])
sum_over_time({n}[3m:20s])
last_over_time(sum({n})[2m:30s])
delta({n}[4m:20s])
{n} offset 3m
{n} @ end()
info({n})
sum({__name__=~"exponential|fractions|zero"})
exponential - on (i, job) fractions
exponential == on (i, job) exponential
custom + on (i, job) exponential
sum({__name__=~"custom|exponential"})
sum({__name__=~"exponential|weight"})
sum by (__name__) ({__name__=~"exponential|custom|weight"})
zero{i="0"} + on () zero{i="3"}
zero{i="3"} - on () zero{i="1"}
label_replace(exponential - exponential offset 1m, "was", "$1", "__name__", "(.*)")
weight * on (job) group_left (__name__) label_replace(weight, "__name__", "other", "", "")
{__name__=~"exponential|ex"}
sum_over_time((sum(weight) and on () vector(time()) % 120 >= 60 or sum(weight) * 2)[4m:15s])
""".strip().splitlines()
# Of a histogram with observations of NaN, Prometheus looks at another bucket than the one that the quantile lies in; of custom bounds it takes a bucket
# around zero for positive, which none of these has.
UNLIKE = re.compile(r"histogram_quantile\(.*\bodd\b")


def run():
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=random.randrange(10_000))
    seed = options.parse_args().seed
    say(f"--seed {seed}")
    program = need("prometheus")
    original = Original(program, free_port())
    if original.is_old:
        pass_over("this Prometheus is older than 3, and Debian's may be: it has no native histograms with custom bounds")
    newest = int(time.time() - 60) // 60 * 60_000
    series = Made(random.Random(seed), newest - STEPS * STEP_MS).series
    with folder() as d, Server(d) as server:
        (d / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
        command = [program, f"--config.file={d}/prometheus.yml", f"--storage.tsdb.path={d}/tsdb", f"--web.listen-address=127.0.0.1:{original.port}",
                   "--web.enable-remote-write-receiver", f"--enable-feature={original.features},native-histograms,promql-delayed-name-removal",
                   "--log.level=error"]
        with Process(command, d / "prometheus.out") as process:
            wait_for("Prometheus is ready", lambda: not process.alive() or ready(original.port), 60)
            for k in range(STEPS):
                body = request(series, k, newest - (STEPS - k) * STEP_MS)
                for port in (original.port, server.port):
                    write(port, "snappy", literal(body))
            compare(original.port, server.port, newest)


# ---------------------------------------------------------------- what is sent


class Made:
    """Series by chance: {labels: {step: float or histogram}}."""

    def __init__(self, chance, start_ms):
        self.chance, self.start_ms, self.series = chance, start_ms, {}
        for i, schema in enumerate([-4, -2, 0, 1, 3]):
            self.add("exponential", i, Exponential(chance, schema), resets=0.03)
            self.add("fractions", i, Exponential(chance, schema, floats=True), resets=0.03)
        self.add("ex", 0, Exponential(chance, 0))
        for i, width in enumerate([0.0, 1e-128, 0.3, 2.5]):
            self.add("zero", i, Exponential(chance, 1, width=width), resets=0.02)
        for i in range(3):
            floats = i % 2 == 1
            self.add("coarser", i, Exponential(chance, 3, floats=floats), coarser=0.03)
            self.add("gauge", i, Exponential(chance, 1, floats=floats, hint=GAUGE), resets=0.3)
            self.add("custom", i, Custom(chance, [0.1, 1.0, 10.0], floats), resets=0.03)
            self.add("holes", i, Exponential(chance, 1, floats=floats), holes=0.2)
            self.add("odd", i, Exponential(chance, 1, floats=floats, nan=0.1), resets=0.03)
            self.add("mixed", i, Exponential(chance, 0, floats=floats), turns=0.1)
        for i in range(2):
            self.series[labels("weight", i, unit="pq"[i % 2])] = {k: float((k + i) % 7 - 3) for k in range(STEPS) if (k + i) % 11}

    def add(self, name, i, h, resets=0.0, coarser=0.0, holes=0.0, turns=0.0):
        out, is_float, number = {}, False, 0.0
        for k in range(STEPS):
            happens = lambda share: self.chance.random() < share
            if happens(resets):
                h.reset()
            if happens(coarser):
                h.coarser()
            h.grow()
            is_float ^= happens(turns)
            number += self.chance.choice([0, 1, 2.5])
            if happens(holes):
                if happens(0.5):
                    out[k] = STALE
                continue
            out[k] = number if is_float else h.message()
        self.series[labels(name, i)] = out


def labels(name, i, **more):
    return tuple(sorted({"__name__": name, "i": str(i), "job": "ab"[i % 2], **more}.items()))


def zigzag(n):
    return n << 1 if n >= 0 else (-n << 1) - 1


class Histogram:
    def __init__(self, chance, floats):
        self.chance, self.floats = chance, floats
        self.by = [0.5, 1.25, 0.1, 7.3] if floats else [1, 2, 5]
        self.reset()

    def reset(self):
        self.above, self.below = ({i: 0 for i in side} for side in self.places())
        self.zero, self.sum, self.nan = 0, 0.0, 0

    def grow(self):
        for _ in range(self.chance.randrange(4)):
            self.observe(self.chance.choice([-1, 1, 1]) * 2 ** self.chance.uniform(-4, 6), self.chance.choice(self.by))

    def encoded(self, schema, width, hint, bounds=()):
        """The message but for its time."""
        # The same sum as the receiver's, which counts exactly.
        count = self.zero + sum(self.below.values()) + sum(self.above.values()) + self.nan
        total = math.nan if self.nan else self.sum
        out = (field(2, float(count)) if self.floats else field(1, count)) + field(3, total) + field(4, zigzag(schema)) + field(5, width)
        out += field(7, float(self.zero)) if self.floats else field(6, self.zero)
        for side, first in ((self.below, 8), (self.above, 11)):
            if side:
                out += field(first, field(1, zigzag(min(side))) + field(2, len(side)))
                counts = [side[i] for i in sorted(side)]
                if self.floats:
                    out += field(first + 2, struct.pack(f"<{len(counts)}d", *counts))
                else:
                    out += field(first + 1, b"".join(varint(zigzag(b - a)) for a, b in zip([0, *counts], counts)))
        return out + (field(14, hint) if hint else b"") + (field(16, struct.pack(f"<{len(bounds)}d", *bounds)) if bounds else b"")


class Exponential(Histogram):
    def __init__(self, chance, schema, floats=False, width=0.001, hint=0, nan=0.0):
        self.schema, self.width, self.hint, self.nans = schema, width, hint, nan
        super().__init__(chance, floats)

    def place(self, v):
        return math.ceil(math.log2(v) * 2.0**self.schema - 1e-9)

    def places(self):
        reach = range(self.place(2**-4), self.place(2**6) + 2)
        wide = [i for i in reach if 2.0 ** (i / 2.0**self.schema) > self.width]
        return wide, wide

    def observe(self, v, n):
        self.sum += v * n
        self.nan += n if self.chance.random() < self.nans else 0
        side, i = (self.above if v > 0 else self.below), self.place(abs(v))
        if i in side:
            side[i] += n
        else:
            self.zero += n

    def coarser(self):
        if self.schema > -2:
            halved = [{}, {}]
            for side, out in zip((self.above, self.below), halved):
                for i, n in side.items():
                    out[(i + 1) // 2] = out.get((i + 1) // 2, 0) + n
            self.schema -= 1
            self.above, self.below = halved

    def message(self):
        return self.encoded(self.schema, self.width, self.hint)


class Custom(Histogram):
    def __init__(self, chance, bounds, floats):
        self.bounds = bounds
        super().__init__(chance, floats)

    def places(self):
        return range(len(self.bounds) + 1), []

    def observe(self, v, n):
        self.sum += v * n
        self.above[sum(b < v for b in self.bounds)] += n

    def message(self):
        return self.encoded(CUSTOM, 0.0, 0, self.bounds)


def request(series, k, time_ms):
    """A remote write of one step."""
    out = b""
    for pairs, values in series.items():
        if k in values:
            v = values[k]
            sample = field(4, v + field(15, time_ms)) if isinstance(v, bytes) else field(2, field(1, v) + field(2, time_ms))
            out += field(1, b"".join(field(1, field(1, n) + field(2, t)) for n, t in pairs) + sample)
    return out


# ---------------------------------------------------------------- what is answered


def compare(theirs, ours, newest):
    names = ["exponential", "fractions", "zero", "coarser", "gauge", "custom", "holes", "odd", "mixed", "weight"]
    queries = [q.replace("{n}", n) for q in QUERIES for n in names if n == names[0] or "{n}" in q]
    queries = [q for q in queries if not UNLIKE.search(q)]
    end = newest / 1000 - 60
    points = 0
    for query in queries:
        for path, times in (("query", {"time": end - 300.3}), ("query_range", {"start": end - 900, "end": end, "step": 37})):
            if path == "query_range" and query.startswith("sort"):
                continue
            expected, got = (get(port, f"/api/v1/{path}", query=query, **times) for port in (theirs, ours))
            check(expected["status"] == "success", f"the original refuses {query}: {expected}")
            check(got["status"] == "success", f"{query}: {got}")
            check(said(got) == said(expected), f"{query}: {said(got)} is said, not {said(expected)}")
            expected, got = (by_labels(answer["data"]["result"]) for answer in (expected, got))
            check(path == "query" or list(got) == list(expected), f"{query}: series in the order {list(got)[:4]}, not {list(expected)[:4]}")
            check(sorted(got) == sorted(expected), f"{query}: series {sorted(set(got) ^ set(expected))[:4]} are in one answer alone")
            for key, wanted in expected.items():
                right = len(wanted) == len(got[key]) and all(alike(a, b) for a, b in zip(wanted, got[key]))
                check(right, f"{path} {query} {key}: {unlike(got[key], wanted)}")
                points += len(wanted)
    check(points > 20 * len(queries), f"only {points} points were compared")
    say(f"{len(queries)} queries about native histograms answer as the original does, {points} points")


def said(answer):
    """Without the places, what is about chunks, and names: that of nothing, as older versions have it, and that of the first of a group that does not go
    with those before it, whose order is each server's own."""
    every = (re.sub(r'( for metric name "")? \(\d+:\d+\)$', "", t) for t in answer.get("warnings", []) + answer.get("infos", []))
    every = (re.sub("(custom buckets schemas) for metric name .*", r"\1", t) for t in every)
    return sorted({t for t in every if "conflicting counter resets" not in t})


def by_labels(result):
    points = lambda s: s.get("values", []) + s.get("histograms", []) + [s[k] for k in ("value", "histogram") if k in s]
    return {json.dumps(s["metric"], sort_keys=True): points(s) for s in result}


def alike(a, b):
    if isinstance(a[1], str) or isinstance(b[1], str):
        return isinstance(a[1], str) and isinstance(b[1], str) and close(a, b)
    same = a[0] == b[0] and all(close((0, a[1][part]), (0, b[1][part])) for part in ("count", "sum"))
    buckets = [[bucket for bucket in h[1].get("buckets", []) if not is_rest(bucket, h[1])] for h in (a, b)]
    same_bucket = lambda x, y: x[:3] == y[:3] and close((0, x[3]), (0, y[3]))
    return same and len(buckets[0]) == len(buckets[1]) and all(map(same_bucket, *buckets))


def is_rest(bucket, h):
    """What rounding leaves of a difference."""
    return abs(float(bucket[3])) < 1e-13 * max(abs(float(b[3])) for b in h["buckets"])


def unlike(got, wanted):
    pairs = [(a, b) for a, b in zip(got, wanted) if not alike(a, b)]
    return f"{pairs[0][0]}, not {pairs[0][1]}" if pairs else f"{len(got)} points, not {len(wanted)}"


if __name__ == "__main__":
    main(run)
