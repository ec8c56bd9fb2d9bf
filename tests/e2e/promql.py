#!/usr/bin/env python3
"""Prometheus and a server of ours scrape the same targets, by the same file, and Prometheus writes what it has to another server of ours.

The targets are real ones (Prometheus, the server that is written to, node_exporter) and one whose page is a function of the time (`made.py`).
Then all are asked: of what was written, and of the target that is a function of the time also of what was scraped, the answers are equal
to 12 digits. Of real targets that two scrape at different instants, the series are the same, what does not change is
equal, and a counter lies between what it was shortly before and shortly after. The lists of targets are equal, and promtool asks and pushes.

Version 2 of Prometheus sends remote write 1.0, version 3 here 2.0. What of promtool a version does not have is passed over.

    promql.py [--minutes N]      a minute and a half of data unless told otherwise; the longest window reaches back 65 s
"""
import argparse
import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import made
from harness import Process, Server, check, folder, free_port, main, need, say, wait_for

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{zone: a}}}}]
  - job_name: watchfire
    static_configs: [{{targets: ['127.0.0.1:{ours}'], labels: {{zone: b}}}}]
  - job_name: node
    file_sd_configs: [{{files: ['node.json']}}]
  - job_name: made
    static_configs: [{{targets: ['127.0.0.1:{made}', 'dropped:1']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'dropped:.*', action: drop}}]
remote_write:
  - url: {url}/api/v1/write
    send_exemplars: true
    {write}
    queue_config: {{batch_send_deadline: 300ms, min_backoff: 50ms, max_backoff: 500ms}}
"""

# Aggregations, rates, quantiles, joins, subqueries, offsets, absence, ranks, times: of what both have.
QUERIES = """
up
up == 1
count(up) by (job)
sum(up) without (instance)
sum by (code) (rate(prometheus_http_requests_total[20s]))
sum without (handler, code) (rate(prometheus_http_requests_total[20s]))
avg by (job) (process_resident_memory_bytes)
min(process_open_fds)
max by (job) (process_open_fds)
stddev(process_resident_memory_bytes)
stdvar by (zone) (process_resident_memory_bytes)
group by (job) (up)
count_values("value", up)
quantile(0.5, prometheus_http_request_duration_seconds_bucket)
topk(3, prometheus_http_requests_total)
bottomk(2, go_memstats_heap_alloc_bytes)
topk by (job) (1, process_resident_memory_bytes)
rate(process_cpu_seconds_total[20s])
irate(process_cpu_seconds_total[20s])
increase(prometheus_http_requests_total[20s])
delta(go_goroutines[20s])
idelta(go_goroutines[20s])
deriv(go_memstats_heap_alloc_bytes[20s])
predict_linear(go_memstats_heap_alloc_bytes[20s], 60)
resets(process_cpu_seconds_total[20s])
changes(go_goroutines[20s])
double_exponential_smoothing(go_goroutines[20s], 0.5, 0.5)
histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[20s])))
histogram_quantile(0.5, rate(prometheus_http_request_duration_seconds_bucket[20s]))
avg_over_time(go_goroutines[20s])
max_over_time(go_goroutines[20s]) - min_over_time(go_goroutines[20s])
sum_over_time(up[20s])
count_over_time(up[20s])
quantile_over_time(0.75, go_goroutines[20s])
stddev_over_time(go_goroutines[20s])
last_over_time(go_goroutines[20s])
present_over_time(up[20s])
absent(up{job="none"})
absent_over_time(up{job="none"}[20s])
absent(up)
max_over_time(rate(process_cpu_seconds_total[10s])[20s:2s])
avg_over_time(sum by (job) (up)[20s:1s])
go_goroutines offset 10s
rate(process_cpu_seconds_total[10s] offset 5s)
go_goroutines @ {at}
go_info * on (instance) group_right (version) go_goroutines
process_resident_memory_bytes / on (instance, job) process_virtual_memory_bytes
up and on (job) go_goroutines > 5
go_goroutines or up
up unless on (job) go_info
label_replace(up, "short", "$1", "job", "(.).*")
label_join(up, "both", "-", "job", "zone")
clamp(go_goroutines, 5, 20)
round(process_resident_memory_bytes, 1000)
abs(-go_goroutines) + ceil(go_goroutines / 3) % 5 ^ 2
sort_desc(sum by (job) (process_open_fds))
timestamp(up)
scalar(sum(up)) + vector(time())
hour() + minute() + day_of_week() + days_in_month()
sgn(go_goroutines - 10) + (go_goroutines > bool 10)
""".strip().splitlines()


def run():
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=1.5)
    minutes = options.parse_args().minutes
    program = need("prometheus")
    with folder() as d:
        for name in ("written", "scraping"):
            (d / name).mkdir()
        written, scraping = Server(d / "written"), Server(d / "scraping", collect=f"  scrape: [{d}/prometheus.yml]\n")
        port, made_port = free_port(), free_port()
        prometheus = Original(program, port)
        (d / "prometheus.yml").write_text(CONFIG.format(port=port, ours=written.port, url=written.url, made=made_port, write=prometheus.write))
        command = [program, f"--config.file={d}/prometheus.yml", f"--storage.tsdb.path={d}/tsdb", f"--web.listen-address=127.0.0.1:{port}",
                   f"--enable-feature={prometheus.features}", "--log.level=error"]
        with made.serving(made_port), node_exporter(d), written, scraping, Process(command, d / "prometheus.out") as original:
            wait_for("samples arrive", lambda: original.alive() and ask(written.port, "up", time.time()), 60)
            enough = minutes * 60 - 5
            wait_for(f"samples of {minutes} minutes", lambda: count(written.port, 'up{job="prometheus"}[1h]') >= enough, 90 * minutes + 60, every=1)
            # What is asked about has arrived, and is old enough to be behind the seams of all stores.
            at = time.time() - 3
            # Prometheus sends series side by side: that one has arrived says nothing of another.
            wait_for("all samples arrive", lambda: samples(written.port, at) == samples(port, at) and newest(scraping.port) > at, 30)
            scraped(scraping.port, prometheus, at)
            compare(QUERIES, written.port, prometheus, at)
            for ours in (written, scraping):
                compare(made.QUERIES, ours.port, prometheus, at)
            targets(scraping.port, port)
            promtool(written, at)
            metadata(written)
            metadata(scraping)
    say(f"{len(QUERIES)} queries about real targets and {len(made.QUERIES)} about the made one answer as the original does, at one time and over "
        "a range, the latter also of what was scraped here; targets are the same; promtool is content")


class Original:
    """The original, as its version has it."""

    def __init__(self, program, port):
        version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60).stdout
        self.port, self.is_old = port, "version 2." in version
        self.features = "exemplar-storage" + ("" if self.is_old else ",promql-experimental-functions,metadata-wal-records")
        self.write = "" if self.is_old else "protobuf_message: io.prometheus.write.v2.Request"

    def spelled(self, query):
        """A query with what has been renamed since, and was no experiment then."""
        return query.replace("double_exponential_smoothing", "holt_winters") if self.is_old else query

    def canonical(self, result):
        """Points of each series. Version 3 writes bounds of buckets and quantiles as `1.0` that a page writes as `1`."""
        numbers = () if self.is_old else ("le", "quantile")
        written = lambda metric: {name: str(float(value)) if name in numbers else value for name, value in metric.items()}
        return {json.dumps(written(s["metric"]), sort_keys=True): s["values"] if "values" in s else [s["value"]] for s in result}


@contextlib.contextmanager
def node_exporter(d):
    """node_exporter, and a file that names it."""
    program = need("prometheus-node-exporter")
    port = free_port()
    (d / "node.json").write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"], "labels": {"zone": "c"}}]))
    # Devices may come and go on a busy host, and with them series, which is not what is looked at here.
    steady = [f"--collector.{c}" for c in ("cpu", "meminfo", "loadavg", "stat", "vmstat", "uname", "time", "pressure", "filefd", "netstat")]
    command = [program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", *steady]
    with Process(command, d / "node_exporter.out"):
        yield


def get(port, path, **query):
    url = f"http://127.0.0.1:{port}{path}?" + urllib.parse.urlencode(query)
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as e:
        return json.loads(e.read())


def ask(port, query, at):
    answer = get(port, "/api/v1/query", query=query, time=f"{at:.3f}")
    check(answer["status"] == "success", f"{query}: {answer}")
    return answer["data"]["result"]


def count(port, query):
    return max((len(series["values"]) for series in ask(port, query, time.time())), default=0)


def samples(port, at):
    """How many there are of the 70 s before `at`."""
    return sum(len(series["values"]) for series in ask(port, '{job=~".+"}[70s]', at))


def newest(port):
    return min((float(series["values"][-1][0]) for series in ask(port, "up[1m]", time.time())), default=0.0)


def compare(queries, ours, prometheus, at):
    """At one time, and over a range."""
    compared = 0
    for query in queries:
        query = query.replace("{at}", f"{at - 10:.3f}")
        expected = get(prometheus.port, "/api/v1/query", query=prometheus.spelled(query), time=f"{at:.3f}")
        got = get(ours, "/api/v1/query", query=query, time=f"{at:.3f}")
        check(expected["status"] == "success", f"the original refuses {query}: {expected}")
        check(got["status"] == "success", f"{query}: {got}")
        compared += same(query, expected["data"], got["data"], prometheus)
        times = {"start": f"{at - 25:.3f}", "end": f"{at:.3f}", "step": "5"}
        query = query.replace("sort_desc", "")
        expected = get(prometheus.port, "/api/v1/query_range", query=prometheus.spelled(query), stats="all", **times)
        got = get(ours, "/api/v1/query_range", query=query, stats="all", **times)
        check(expected["status"] == got["status"] == "success", f"{query}: {expected['status']}, {str(got)[:300]}")
        same(query, expected["data"], got["data"], prometheus)
        looked_at = [answer["data"]["stats"]["samples"]["totalQueryableSamples"] for answer in (expected, got)]
        check(looked_at[0] == looked_at[1], f"{query} looks at {looked_at[1]} samples, not {looked_at[0]}")
    check(compared >= len(queries), f"only {compared} series were compared")


def scraped(ours, prometheus, at):
    """Real targets, which the two scraped at different instants.

    A scrape takes a second at most, so what one read at a time lies between what the other read a second before and a second after.
    `scrape_duration_seconds` and its kin are about the scrape, not the target. A series that comes or goes while we look is passed over.
    """
    everything = '{job=~"prometheus|watchfire|node",__name__!~"scrape_.*"}'
    got, expected = (prometheus.canonical(ask(port, f"{everything}[20s]", at)) for port in (ours, prometheus.port))
    steady = [{key for key, points in answer.items() if points[0][0] < at - 16 and points[-1][0] > at - 4} for answer in (got, expected)]
    check(len(steady[1]) > 300, f"only {len(steady[1])} series are there")
    odd = (steady[0] - set(expected)) | (steady[1] - set(got))
    check(not odd, f"{len(odd)} series are scraped by one alone: {sorted(odd)[:4]}")
    compared = {"constant": 0, "between": 0}
    both = steady[0] & steady[1]
    for key in both:
        when, value = next((t, float(v)) for t, v in got[key] if t > at - 12)
        low = [float(v) for t, v in expected[key] if t <= when - 1][-1]
        high = next(float(v) for t, v in expected[key] if t >= when + 1)
        if json.loads(key)["__name__"].endswith(("_total", "_count", "_sum", "_bucket")):
            check(low <= value <= high, f"{key}: {value} here at {when}, {low} to {high} there")
            compared["between"] += low < high
        # Something that moves may still be caught in between.
        compared["constant"] += low == value == high
    check(compared["constant"] >= 0.4 * len(both) and compared["between"] > 20, f"{compared} of {len(both)}")
    say(f"{len(both)} series of real targets are scraped alike: {compared['constant']} constant, {compared['between']} between two values")


def targets(ours, theirs):
    """The same targets with the same labels, found and made, dropped, and in the same pools."""

    def known(port, state):
        data = get(port, "/api/v1/targets", state=state)["data"]
        names = ("discoveredLabels", "labels", "scrapePool", "scrapeUrl", "health", "scrapeInterval", "scrapeTimeout", "globalUrl")
        return sorted((json.dumps({k: t.get(k) for k in names if k in t}, sort_keys=True) for t in data["activeTargets"])), data

    (expected, original), (got, data) = known(theirs, "any"), known(ours, "any")
    check(got == expected, f"targets: {got}, not {expected}")
    own = [t["discoveredLabels"] for t in data["droppedTargets"]]
    check(own == [t["discoveredLabels"] for t in original["droppedTargets"]] and len(own) == 1, f"dropped targets: {own}")
    check(known(ours, "dropped")[0] == [] and known(ours, "active")[1]["droppedTargets"] == [], "a state that was not asked for")
    for t in data["activeTargets"]:
        check(t["lastError"] == "" and t["lastScrapeDuration"] > 0 and t["lastScrape"] > "2024", f"{t}")
    pools = get(theirs, "/api/v1/scrape_pools")
    check(get(ours, "/api/v1/scrape_pools")["data"]["scrapePools"] == ["made", "node", "prometheus", "watchfire"], "pools")
    check(pools["status"] != "success" or sorted(pools["data"]["scrapePools"]) == ["made", "node", "prometheus", "watchfire"], f"{pools}")
    for query in ({"metric": "go_goroutines"}, {"match_target": '{job="made"}'}):
        expected, got = (sorted((json.dumps(e, sort_keys=True) for e in get(p, "/api/v1/targets/metadata", **query)["data"])) for p in (theirs, ours))
        check(expected and [e for e in got if '"target": {}' not in e] == expected, f"metadata of targets: {got}, not {expected}")


def same(query, expected, got, prometheus):
    """The same series with the same values, to 12 digits."""
    check(expected["resultType"] == got["resultType"], f"{query}: a {got['resultType']}, not a {expected['resultType']}")
    if expected["resultType"] == "scalar":
        check(close(expected["result"], got["result"]), f"{query}: {got['result']}, not {expected['result']}")
        return 1
    expected, got = prometheus.canonical(expected["result"]), prometheus.canonical(got["result"])
    check(sorted(got) == sorted(expected), f"{query}: series {sorted(set(got) ^ set(expected))[:4]} are in one answer alone")
    for key, points in expected.items():
        right = len(points) == len(got[key]) and all(close(a, b) for a, b in zip(points, got[key]))
        check(right, f"{query} {key}: {got[key][:3]}, not {points[:3]}")
    return len(expected)


def close(a, b):
    (ta, va), (tb, vb) = a, b
    va, vb = float(va), float(vb)
    equal = va == vb or (va != va and vb != vb) or abs(va - vb) <= 1e-12 * max(abs(va), abs(vb))
    return ta == tb and equal


def promtool(server, at):
    """What this version of it knows: it is the tool's answer that counts, not its text."""
    tool = need("promtool")

    def call(*arguments, **more):
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60, **more)
        check(done.returncode == 0, f"promtool {' '.join(arguments)}: {done.stdout} {done.stderr}")
        return done.stdout

    check("up{" in call("query", "instant", server.url, "up"), "promtool query instant finds nothing")
    start, end = f"--start={int(at) - 30}", f"--end={int(at)}"
    check("@[" in call("query", "range", server.url, "sum(up)", start, end, "--step=5s"), "promtool query range finds nothing")
    check('job="prometheus"' in call("query", "series", server.url, "--match=up"), "promtool query series finds nothing")
    check("watchfire" in call("query", "labels", server.url, "job"), "promtool query labels finds nothing")
    status, figures = server.request("GET", "/metrics")
    check(status == 200, f"/metrics: {status}")
    lint = call("check", "metrics", input=figures.decode())
    check(not lint.strip(), f"promtool check metrics: {lint}")
    pushes = "push" in subprocess.run([tool, "--help"], capture_output=True, text=True, timeout=60).stdout
    if pushes:
        call("push", "metrics", f"{server.url}/api/v1/write", input="# TYPE pushed gauge\npushed 5\n")
        check(ask(server.port, "pushed", time.time()), "what promtool pushed is not found")
    else:
        say("this promtool has no command push")


def metadata(server):
    found = wait_for("metadata arrive", lambda: server.json("/api/v1/metadata", {"metric": "go_goroutines"})["data"], 90)
    check(found["go_goroutines"][0]["type"] == "gauge" and found["go_goroutines"][0]["help"], f"metadata: {found}")


if __name__ == "__main__":
    main(run)
