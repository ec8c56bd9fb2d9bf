#!/usr/bin/env python3
"""Prometheus scrapes itself and this server and writes what it has here; then both are asked fifty questions, and promtool asks too.

    promql.py [--minutes N]      one minute of data unless told otherwise
"""
import argparse
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import Process, Server, check, folder, free_port, main, need, say, wait_for

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{zone: a}}}}]
  - job_name: watchfire
    static_configs: [{{targets: ['127.0.0.1:{ours}'], labels: {{zone: b}}}}]
remote_write:
  - url: {url}/api/v1/write
    send_exemplars: true
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
holt_winters(go_goroutines[20s], 0.5, 0.5)
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
    options.add_argument("--minutes", type=float, default=1.0)
    minutes = options.parse_args().minutes
    program = need("prometheus")
    with folder() as d, Server(d) as server:
        port = free_port()
        (d / "prometheus.yml").write_text(CONFIG.format(port=port, ours=server.port, url=server.url))
        command = [program, f"--config.file={d}/prometheus.yml", f"--storage.tsdb.path={d}/tsdb", f"--web.listen-address=127.0.0.1:{port}",
                   "--enable-feature=exemplar-storage", "--log.level=warn"]
        with Process(command, d / "prometheus.out") as original:
            wait_for("samples arrive", lambda: original.alive() and ask(server.port, "up", time.time()), 60)
            wait_for(f"samples of {minutes} minutes", lambda: count(server.port, 'up{job="prometheus"}[1h]') >= minutes * 60 - 5, 90 * minutes + 60)
            # What is asked about has arrived, and is old enough to be behind the seams of both stores.
            at = time.time() - 3
            wait_for("the newest samples arrive", lambda: newest(server.port) > at, 30)
            compare(server.port, port, at)
            ranges(server.port, port, at)
            promtool(server, at)
            metadata(server)
    say(f"{len(QUERIES)} queries answer as the original does, at one time and over a range; promtool is content")


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


def newest(port):
    return min((float(series["values"][-1][0]) for series in ask(port, "up[1m]", time.time())), default=0.0)


def compare(ours, theirs, at):
    compared = 0
    for query in QUERIES:
        query = query.replace("{at}", f"{at - 10:.3f}")
        expected = get(theirs, "/api/v1/query", query=query, time=f"{at:.3f}")
        ask_ours = query.replace("holt_winters", "double_exponential_smoothing")
        got = get(ours, "/api/v1/query", query=ask_ours, time=f"{at:.3f}")
        check(expected["status"] == "success", f"the original refuses {query}: {expected}")
        check(got["status"] == "success", f"{query}: {got}")
        compared += same(query, expected["data"], got["data"])
    check(compared >= 60, f"only {compared} series were compared")


def ranges(ours, theirs, at):
    for query in QUERIES:
        query = query.replace("{at}", f"{at - 10:.3f}").replace("sort_desc", "")
        times = {"start": f"{at - 25:.3f}", "end": f"{at:.3f}", "step": "5"}
        expected = get(theirs, "/api/v1/query_range", query=query, **times)
        got = get(ours, "/api/v1/query_range", query=query.replace("holt_winters", "double_exponential_smoothing"), **times)
        check(expected["status"] == got["status"] == "success", f"{query}: {expected['status']}, {str(got)[:300]}")
        same(query, expected["data"], got["data"])


def same(query, expected, got):
    """The same series with the same values, to 12 digits."""
    check(expected["resultType"] == got["resultType"], f"{query}: a {got['resultType']}, not a {expected['resultType']}")
    if expected["resultType"] == "scalar":
        check(close(expected["result"], got["result"]), f"{query}: {got['result']}, not {expected['result']}")
        return 1
    expected, got = canonical(expected["result"]), canonical(got["result"])
    check(sorted(got) == sorted(expected), f"{query}: series {sorted(set(got) ^ set(expected))[:4]} are in one answer alone")
    for key, points in expected.items():
        right = len(points) == len(got[key]) and all(close(a, b) for a, b in zip(points, got[key]))
        check(right, f"{query} {key}: {got[key][:3]}, not {points[:3]}")
    return len(expected)


def canonical(result):
    return {json.dumps(s["metric"], sort_keys=True): s["values"] if "values" in s else [s["value"]] for s in result}


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
