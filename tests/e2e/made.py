"""A target whose page is a function of the time, and questions about it.

Every sample carries its time, one every STEP seconds, so whoever scrapes the page has the same samples, whenever it does; each page
holds the last KEPT steps, so that a scrape that is late misses nothing. What two stores answer about it must then be equal.
"""
import contextlib
import http.server
import math
import threading
import time

STEP = 2
# So much after each step its samples are: the border of a window is never at a sample, where Prometheus 2 and 3 differ.
LATE_MS = 137
KEPT = 5
PATHS = ["/a", "/b", "/c"]
CODES = ["200", "404", "500"]
ROOMS = ["hall", "attic", "cellar", "yard"]
BOUNDS = ["0.1", "0.5", "1.0", "2.5", "+Inf"]


def families(k):
    """(name, type, [(labels, value)]) at step k."""
    # The counters begin anew every 37 steps, as a program that is restarted.
    life = k % 37 + 1
    counters = [(f'path="{p}",code="{c}"', life * (3 * i + j + 1) * 1.5) for i, p in enumerate(PATHS) for j, c in enumerate(CODES)]
    gauges = [(f'room="{r}"', round(20 + 5 * math.sin(k / 7 + i), 3)) for i, r in enumerate(ROOMS)]
    buckets, sums, counts = [], [], []
    for i, p in enumerate(PATHS):
        cumulated = [life * (i + 1) * (n + 1) for n in range(len(BOUNDS))]
        buckets += [(f'path="{p}",le="{b}"', v) for b, v in zip(BOUNDS, cumulated)]
        sums.append((f'path="{p}"', life * (i + 1) * 2.345))
        counts.append((f'path="{p}"', cumulated[-1]))
    odd = {"tiny": 1e-9 * (k % 11), "huge": 1.5e300, "negative": -1.0 * (k % 5), "nan": math.nan, "inf": math.inf if k % 2 else -math.inf}
    out = [
        ("made_requests_total", "counter", counters),
        ("made_temperature", "gauge", gauges),
        ("made_seconds", "histogram", None),
        ("made_seconds_bucket", None, buckets),
        ("made_seconds_sum", None, sums),
        ("made_seconds_count", None, counts),
        ("made_odd", "gauge", [(f'which="{w}"', v) for w, v in odd.items()]),
        ("made_limit", "gauge", [(f'room="{r}",unit="celsius"', 20 + i) for i, r in enumerate(ROOMS)]),
        ("made_info", "gauge", [('version="1.2.3",edition="short"', 1)]),
    ]
    if k % 10 < 5:
        out.append(("made_sometimes", "gauge", [("", k % 10)]))
    return out


def number(v):
    return "NaN" if v != v else {math.inf: "+Inf", -math.inf: "-Inf"}.get(v) or repr(float(v))


def page(now):
    newest = int((now - LATE_MS / 1000) // STEP)
    steps = {k: families(k) for k in range(newest - KEPT + 1, newest + 1)}
    names = [(name, kind) for name, kind, _ in families(0)]
    lines = []
    for name, kind in names:
        if kind:
            lines += [f"# HELP {name} What {name} is.", f"# TYPE {name} {kind}"]
        for k, all_of_them in steps.items():
            for labels, value in next((s for n, _, s in all_of_them if n == name and s), []):
                lines.append(f"{name}{{{labels}}} {number(value)} {k * STEP * 1000 + LATE_MS}")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def serving(port):
    """Serves the page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = page(time.time()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


# Aggregations, rates, quantiles, joins, subqueries, offsets, absence, ranks.
QUERIES = """
made_temperature
made_requests_total{code!="200"}
made_requests_total{path=~"/[ab]",code!~"4.."}
sum(made_requests_total)
sum by (path) (rate(made_requests_total[20s]))
sum without (code) (increase(made_requests_total[30s]))
avg by (code) (made_requests_total)
min by (path) (made_requests_total)
max without (path, code) (made_requests_total)
count by (code) (made_requests_total > 10)
count_values by (code) ("value", made_requests_total)
group by (path) (made_requests_total)
stddev(made_temperature)
stdvar by (instance) (made_temperature)
quantile(0.25, made_temperature)
quantile by (path) (0.9, made_requests_total)
topk(3, made_requests_total)
bottomk(2, made_temperature)
topk by (code) (1, rate(made_requests_total[20s]))
rate(made_requests_total[10s])
irate(made_requests_total[20s])
increase(made_requests_total[40s])
delta(made_temperature[20s])
idelta(made_temperature[20s])
deriv(made_temperature[30s])
predict_linear(made_temperature[30s], 60)
resets(made_requests_total[40s])
changes(made_temperature[20s])
histogram_quantile(0.9, rate(made_seconds_bucket[20s]))
histogram_quantile(0.5, sum by (le) (rate(made_seconds_bucket[30s])))
histogram_quantile(0.99, sum by (le, path) (increase(made_seconds_bucket[20s])))
rate(made_seconds_sum[20s]) / rate(made_seconds_count[20s])
avg_over_time(made_temperature[20s])
sum_over_time(made_odd{which="tiny"}[20s])
min_over_time(made_odd[20s])
max_over_time(made_odd[20s])
count_over_time(made_sometimes[40s])
stddev_over_time(made_temperature[20s])
quantile_over_time(0.3, made_temperature[30s])
last_over_time(made_sometimes[20s])
present_over_time(made_sometimes[20s])
made_nothing or made_info
absent(made_sometimes)
absent(made_nothing{room="hall"})
absent_over_time(made_sometimes[5s])
absent_over_time(made_nothing[20s])
made_temperature > on (room) group_left () made_limit
made_temperature - on (room) made_limit
made_temperature * on (instance) group_left (version) made_info
made_requests_total / ignoring (code) group_left sum without (code) (made_requests_total)
made_temperature and on (room) (made_limit > 21)
made_limit unless on (room) (made_temperature > 22)
made_sometimes or made_temperature
max_over_time(rate(made_requests_total[10s])[20s:2s])
avg_over_time(sum by (path) (made_requests_total)[20s:4s])
min_over_time(deriv(made_temperature[10s])[20s:5s] offset 4s)
made_temperature offset 10s
rate(made_requests_total[20s] offset 6s) - rate(made_requests_total[20s])
made_temperature @ {at}
sum(rate(made_requests_total[20s] @ {at}))
label_replace(made_temperature, "short", "$1", "room", "(.).*")
label_join(made_requests_total, "both", "-", "path", "code")
clamp(made_temperature, 18, 22)
round(made_temperature, 0.5)
ceil(made_temperature) - floor(made_temperature)
-made_temperature ^ 2 % 7
sgn(made_odd) + abs(made_odd{which="negative"}) or made_odd
exp(made_temperature / 10) + ln(made_temperature) + log2(made_temperature) + sqrt(made_temperature)
made_temperature > bool 20
timestamp(made_temperature)
sort_desc(sum by (path) (made_requests_total))
scalar(sum(made_requests_total)) + vector(1)
double_exponential_smoothing(made_temperature[30s], 0.3, 0.6)
""".strip().splitlines()
