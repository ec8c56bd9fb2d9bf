#!/usr/bin/env python3
"""The same lines and a few hundred generated queries, asked of a real Loki and of Watchfire, must give equal answers.

LOKI names Loki's binary (or it is in PATH); without one the script is passed over, also in CI: no registry has it.
LOGCLI names logcli, whose commands are then run against Watchfire and compared with Loki's, too.

    loki_differential.py [--queries N] [--seed N] [--verbose]

What differs on purpose is listed in docs/compat/loki.md; what is left of it here is in `KNOWN`, each with its reason.
"""
import argparse
import http.client
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time
import urllib.parse

from harness import Process, Server, check, folder, free_port, main, pass_over, say, wait_for

SECOND = 10**9
# Queries that are known to be answered in another way. (pattern of the query, why)
KNOWN = [
    (r'\|= "" or', "an empty text is in every line; Loki leaves it out of an `or`, and then lines without the others do not pass"),
]


def loki_config(directory, port, grpc):
    return f"""auth_enabled: false
analytics: {{reporting_enabled: false}}
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}, log_level: warn}}
common:
  instance_addr: 127.0.0.1
  path_prefix: {directory}
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}}}
ingester:
  lifecycler: {{min_ready_duration: 0s, final_sleep: 0s}}
storage_config:
  object_store: {{filesystem: {{dir: {directory}/objects}}}}
querier: {{query_ingesters_within: 0s}}
query_range: {{cache_results: false, align_queries_with_step: false}}
limits_config:
  reject_old_samples: false
  allow_structured_metadata: true
  volume_enabled: true
  max_entries_limit_per_query: 5000
schema_config:
  configs:
    - {{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}
"""


class Loki:
    """A real one, with its defaults as far as they matter to queries."""

    def __init__(self, binary, directory):
        self.port, self.dir = free_port(), directory
        self.url = f"http://127.0.0.1:{self.port}"
        config = directory / "loki.yaml"
        config.write_text(loki_config(directory, self.port, free_port()))
        self.process = Process([binary, f"-config.file={config}"], directory / "loki.log")

    def __enter__(self):
        wait_for("Loki is ready", self.ready, 120, 0.5)
        return self

    def __exit__(self, *_):
        self.process.stop()

    def ready(self):
        check(self.process.alive(), f"Loki ended:\n{self.process.tail()}")
        try:
            return request(self.port, "GET", "/ready")[0] == 200
        except OSError:
            return False


def request(port, method, path, query=None, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


# ---------------------------------------------------------------- lines

def entries(rng, start, count):
    """(labels, time, line, structured metadata): JSON, logfmt, access logs and text, with what parsers stumble over."""
    out = []
    words = ["alpha", "beta", "gamma", "delta", "error", "timeout", "ERROR x", "10.1.2.3", "192.168.7.9", "ünïcode"]
    for i in range(count):
        app = rng.choice(["json", "logfmt", "nginx", "text"])
        labels = {"app": app, "env": rng.choice(["prod", "dev"]), "pod": f"p{rng.randrange(3)}"}
        at = start + i * 700_000_000 + rng.randrange(1_000_000)
        status, ms, size = rng.choice([200, 200, 201, 404, 500, 503]), rng.randrange(2000) / 8, rng.choice(["1KB", "2KiB", "300B", "5MB"])
        word = rng.choice(words)
        if app == "json":
            line = json.dumps({"status": status, "ms": ms, "msg": f"{word} {i}", "req": {"method": rng.choice(["GET", "POST"]), "path": f"/a/{i % 7}"},
                               "size": size, "took": f"{ms}ms", "app": "inner", "list": [i % 3, {"k": word}], "nothing": None, "ok": status < 400})
            if rng.random() < 0.04:
                line = line[: len(line) // 2]
        elif app == "logfmt":
            line = f'level={rng.choice(["info", "warn", "error"])} status={status} ms={ms} size={size} took={ms}ms msg="{word} {i}" addr=10.0.{i % 4}.{i % 200}'
            if rng.random() < 0.05:
                line += ' broken="'
            if rng.random() < 0.1:
                line += " empty= flag"
        elif app == "nginx":
            line = f'10.{i % 3}.0.{i % 250} - - "{rng.choice(["GET", "PUT"])} /api/v{i % 3}/orders/{i} HTTP/1.1" {status} {i % 5000} "{word}"'
        else:
            line = rng.choice([f"{word} happened {i}", f"\x1b[31m{word}\x1b[0m {i}", "", f"a=1 {word}"])
        metadata = {"trace": f"t{i % 5}", "user": rng.choice(["ann", "bob"])} if rng.random() < 0.3 else {}
        out.append((labels, at, line, metadata))
    return out


def push(port, rows):
    streams = {}
    for labels, at, line, metadata in rows:
        streams.setdefault(json.dumps(labels, sort_keys=True), []).append([str(at), line] + ([metadata] if metadata else []))
    body = json.dumps({"streams": [{"stream": json.loads(s), "values": v} for s, v in streams.items()]})
    status, answer = request(port, "POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json"})
    check(status == 204, f"push: {status} {answer[:300]!r}")


# ---------------------------------------------------------------- queries

class Queries:
    """A grammar of the language, walked at random."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *choices):
        choice = self.rng.choice(choices)
        return choice() if callable(choice) else choice

    def selector(self, app=None):
        app = app or self.pick("json", "logfmt", "nginx", "text")
        more = self.pick("", "", ', env="prod"', ', env!="dev"', ', pod=~"p[01]"', ', pod!~"p0"')
        return "{app=" + f'"{app}"' + more + "}", app

    def line_filter(self):
        return self.pick(' |= "error"', ' != "error"', ' |~ "(?i)error"', ' !~ "alpha|beta"', ' |= "alpha" or "gamma"', ' != "alpha" or "beta"',
                         ' |> "<_>error<_>"', ' !> "<_>timeout<_>"', ' |= ip("10.0.0.0/8")', ' != ip("192.168.0.0/16")', ' |~ `\\d{2,}`', ' |= ""',
                         ' |= "ünï"', ' |~ "^a"', ' |~ "x$"', ' |= "" or "x"')

    def parser(self, app):
        if app == "json":
            return self.pick(" | json", " | json", ' | json status, m="req.method"', ' | json k="list[1].k", x="list[0]"', ' | json status="status", ms')
        if app == "logfmt":
            return self.pick(" | logfmt", " | logfmt", " | logfmt --strict", " | logfmt --keep-empty", ' | logfmt status, lvl="level"', " | logfmt --strict --keep-empty ms")
        if app == "nginx":
            return self.pick(' | pattern `<ip> - - "<method> <path> <_>" <status> <size> <_>`',
                             ' | regexp `^(?P<ip>\\S+) .*"(?P<method>\\w+) (?P<path>\\S+) [^"]*" (?P<status>\\d+) (?P<ms>\\d+)`')
        return self.pick("", " | decolorize", " | logfmt", " | json")

    def label_filter(self):
        one = lambda: self.pick("status >= 400", "status == 200", "status != 500", "status < 300", 'status="500"', 'status=~"5.."', 'status!~"4.."', "ms > 100",
                                "took > 100ms", "took <= 50ms", "size > 1KB", "size <= 2KiB", 'method="GET"', 'level!="info"', 'user="ann"', 'trace=~"t[12]"',
                                'addr=ip("10.0.0.0/24")', 'ip!=ip("10.1.0.0/16")', 'nope=""', 'nope!=""', 'env="prod"', '__error__=""', '__error__!=""',
                                'detected_level="error"', 'msg=~".*alpha.*"')
        return " | " + self.pick(one, one, lambda: f"{one()} and {one()}", lambda: f"{one()} or {one()}", lambda: f"({one()} or {one()}), {one()}")

    def formatter(self):
        return self.pick(' | line_format "{{.status}} {{.msg}}"', ' | line_format `{{ .msg | ToUpper }} {{ __line__ | trunc 10 }}`', ' | label_format s=status, x="{{.env}}-{{.pod}}"',
                         " | decolorize", " | drop msg", ' | drop status="200", pod', " | keep app, status", ' | keep status=~"5..", env', ' | label_format status=`{{ add .status 1 }}`',
                         ' | line_format `{{ if eq .env "prod" }}P{{ else }}D{{ end }}{{ .none }}`', ' | line_format `{{ divf .ms 3 }} {{ round (mulf .ms 1.1) 2 }} {{ .took | duration_seconds }}`',
                         ' | line_format `{{ __timestamp__ | date "15:04:05" }} {{ regexReplaceAll "[0-9]+" __line__ "N" }}`', ' | label_format n=`{{ len __line__ }}`')

    def log(self, app=None, formats=True):
        selector, app = self.selector(app)
        q = selector
        for _ in range(self.rng.randrange(3)):
            q += self.line_filter()
        if self.rng.random() < 0.7:
            q += self.parser(app)
            for _ in range(self.rng.randrange(3)):
                q += self.pick(self.label_filter, self.label_filter, self.formatter) if formats else self.label_filter()
        return q

    def grouping(self):
        labels = self.pick("app", "env", "pod", "app, env", "status", "method", "", "nope", "level, env")
        return f"{self.pick('by', 'by', 'without')} ({labels})"

    def over_lines(self):
        op = self.pick("count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time", "count_over_time")
        # Errors fail metric queries in both; mostly they are filtered out.
        errors = self.pick(' | __error__=""', ' | __error__=""', "")
        q = self.log(formats=False)
        errors = errors if " | " in q else ""
        return f"{op}({q}{errors} [{self.pick('30s', '1m', '2m', '5m')}]{self.pick('', '', '', ' offset 30s')})"

    def over_samples(self):
        app = self.pick("json", "logfmt")
        parser = {"json": " | json", "logfmt": " | logfmt"}[app]
        value = self.pick("ms", "ms", "status", "duration(took)", "bytes(size)", "duration_seconds(took)")
        op = self.pick("sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "first_over_time", "last_over_time", "stddev_over_time",
                       "stdvar_over_time", "quantile_over_time", "rate", "rate_counter")
        grouped = op not in ("sum_over_time", "rate", "rate_counter") and self.rng.random() < 0.8
        drop = "" if grouped else " | keep app, env, pod, ms, status, took, size, __error__"
        q = f'{self.selector(app)[0]}{parser}{drop} | unwrap {value} | __error__="" [{self.pick("1m", "2m", "5m")}]'
        q = f"quantile_over_time({self.pick('0.5', '0.95', '0', '1')}, {q})" if op == "quantile_over_time" else f"{op}({q})"
        return f"{q} {self.pick('by (env)', 'by (app, status)', 'without (msg, ms, took, addr)', 'by ()')}" if grouped else f"sum by (env, pod) ({q})"

    def metric(self, depth=0):
        inner = self.pick(self.over_lines, self.over_lines, self.over_samples)
        op = self.pick("sum", "sum", "avg", "min", "max", "count", "stddev", "stdvar")
        q = f"{op} {self.grouping()} ({inner})"
        if depth == 0:
            how = self.rng.randrange(9)
            if how == 0:
                return f"{self.pick('topk', 'bottomk')}({self.rng.randrange(1, 4)}, {q})"
            if how == 1:
                return f"{q} {self.pick('+', '-', '*', '/', '%', '^')} {self.pick('2', '0.5', '3')}"
            if how == 2:
                return f"{q} {self.pick('>', '>=', '<', '==', '!=', '> bool', '<= bool')} {self.pick('1', '3', '10')}"
            if how == 3:
                return f"sum by (env) ({inner}) {self.pick('+', '/', 'and', 'or', 'unless', '>', '== bool')} sum by (env) ({self.over_lines()})"
            if how == 4:
                return f"sum by (env, pod) ({inner}) {self.pick('/', '*')} on (env) group_left () sum by (env) ({self.over_lines()})"
            if how == 5:
                return f'label_replace({q}, "copy", "x-$1", "{self.pick("env", "app", "nope")}", "(.)(.*)")'
            if how == 6:
                return f"{self.pick('sort', 'sort_desc')}({q})"
        return q


# ---------------------------------------------------------------- answers

def strip(labels):
    """Labels without the words of errors, which are ours."""
    return tuple(sorted((k, v) for k, v in labels.items() if k != "__error_details__"))


def answer(port, path, query):
    status, body = request(port, "GET", path, query)
    if status != 200:
        return ("error", status // 100), body.decode(errors="replace")[:200]
    data = json.loads(body)["data"]
    kind, result = data["resultType"], data["result"]
    if kind == "streams":
        found = {}
        for s in result:
            found.setdefault(strip(s["stream"]), []).extend((v[0], v[1]) for v in s["values"])
        # Streams that differ in their errors' words alone are one here.
        return ("streams", {k: sorted(v) for k, v in found.items()}), ""
    if kind == "matrix":
        return ("matrix", {strip(s["metric"]): [(v[0], float(v[1])) for v in s["values"]] for s in result}), ""
    if kind == "vector":
        return ("vector", {strip(s["metric"]): [(s["value"][0], float(s["value"][1]))] for s in result}), ""
    return (kind, {(): [(result[0], float(result[1]))]}), ""


def near(a, b):
    return a == b or math.isnan(a) and math.isnan(b) or abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))


def difference(theirs, ours, query):
    if theirs[0] == ours[0] != "error" and re.match(r"(topk|bottomk)\(", query):
        # Of equal values any may be among the k: only the values are compared.
        theirs, ours = ((a[0], {(): sorted((t, v) for points in a[1].values() for t, v in points)}) for a in (theirs, ours))
    if theirs[0] != ours[0] or theirs[0] == "error":
        return None if theirs == ours else f"Loki: {str(theirs)[:300]}; Watchfire: {str(ours)[:300]}"
    a, b = theirs[1], ours[1]
    if a.keys() != b.keys():
        return f"only Loki: {list(a.keys() - b.keys())[:2]}; only Watchfire: {list(b.keys() - a.keys())[:2]}; {len(a)} and {len(b)} series"
    for k in a:
        if theirs[0] == "streams":
            if a[k] != b[k]:
                only = [x for x in a[k] if x not in b[k]][:2], [x for x in b[k] if x not in a[k]][:2]
                return f"{k}: {len(a[k])} and {len(b[k])} lines; only Loki {only[0]}, only Watchfire {only[1]}"
        elif len(a[k]) != len(b[k]) or any(x[0] != y[0] or not near(x[1], y[1]) for x, y in zip(a[k], b[k])):
            return f"{k}: Loki {a[k][:6]}, Watchfire {b[k][:6]}"
    return None


def compare(args, loki, server, start, end):
    rng = random.Random(args.seed)
    queries = Queries(rng)
    differ, equal, empty, errors, known = [], 0, 0, 0, 0
    for n in range(args.queries):
        if n % 3 == 0:
            q = queries.log()
            path, query = "/loki/api/v1/query_range", {"query": q, "start": start, "end": end, "limit": rng.choice([5000, 5000, 20]), "direction": rng.choice(["forward", "backward"])}
        else:
            q = queries.metric()
            if n % 3 == 1:
                path, query = "/loki/api/v1/query", {"query": q, "time": end}
            else:
                path, query = "/loki/api/v1/query_range", {"query": q, "start": start, "end": end, "step": rng.choice(["30s", "60s", "120s"])}
        (theirs, why), (ours, our_why) = answer(loki.port, path, query), answer(server.port, path, query)
        found = difference(theirs, ours, q)
        if found is None:
            equal += 1
            errors += theirs[0] == "error"
            empty += theirs[0] != "error" and not theirs[1]
        elif any(re.search(pattern, q) for pattern, _ in KNOWN):
            known += 1
        else:
            differ.append(q)
            say(f"DIFFERS {path.rsplit('/', 1)[1]} {q}\n   {found}\n   {why} {our_why}" if args.verbose or len(differ) <= 10 else f"DIFFERS {q}")
    say(f"{args.queries} queries: {equal} answers are equal ({empty} of them empty, {errors} refused by both), {known} differ as known, {len(differ)} differ")
    check(equal - empty - errors > args.queries // 3, "too few queries were answered with anything")
    check(not differ, f"{len(differ)} of {args.queries} queries are answered differently (seed {args.seed})")


def names(loki, server, start, end):
    """Labels, values, series: the same lists."""
    window = {"start": start, "end": end}
    for path, more in [("labels", {}), ("label/app/values", {}), ("label/pod/values", {"query": '{env="prod"}'}), ("label/service_name/values", {}),
                       ("series", {"match[]": '{app="json"}'})]:
        both = [json.loads(request(p, "GET", f"/loki/api/v1/{path}", {**window, **more})[1])["data"] for p in (loki.port, server.port)]
        both = [sorted(json.dumps(x, sort_keys=True) for x in b if not (isinstance(x, str) and x.startswith("__"))) for b in both]
        check(both[0] == both[1], f"{path}: Loki {both[0]}, Watchfire {both[1]}")


def logcli(binary, loki, server, start, end):
    """The commands of the command line print the same."""
    window = [f"--from={rfc3339(start)}", f"--to={rfc3339(end)}"]
    commands = [
        ["query", '{app="json"} | json | status >= 500 | __error__=""', *window, "--limit=50", "--output=jsonl", "--quiet"],
        ["query", '{app="nginx"} |= "PUT"', *window, "--limit=7", "--forward", "--output=raw", "--quiet"],
        ["query", 'sum by (env) (count_over_time({app="logfmt"}[1m]))', *window, "--step=60s", "--quiet"],
        ["instant-query", 'sum by (app) (count_over_time({env=~".+"}[5m]))', f"--now={rfc3339(end)}", "--quiet"],
        ["labels", *window, "--quiet"],
        ["labels", "app", *window, "--quiet"],
        ["series", '{app="json"}', *window, "--quiet"],
        ["stats", '{app="json"}', *window, "--quiet"],
        ["volume", '{app="json"}', *window, "--quiet"],
        ["volume_range", '{app="json"}', *window, "--step=60s", "--quiet"],
        ["detected-fields", '{app="json"}', *window, "--quiet"],
        ["fmt"],
    ]
    wrong = []
    for c in commands:
        ran = [subprocess.run([binary, f"--addr={s.url}", *c], input='{a="b"} |= "x"', capture_output=True, text=True, timeout=60) for s in (loki, server)]
        check(ran[1].returncode == ran[0].returncode, f"logcli {c}: Loki {ran[0].returncode} {ran[0].stderr[-200:]}, Watchfire {ran[1].returncode} {ran[1].stderr[-300:]}")
        theirs, ours = (sorted(r.stdout.splitlines()) for r in ran)
        # Sizes are counted in another way, and so are their sums.
        if theirs != ours and c[0] not in ("stats", "volume", "volume_range", "detected-fields"):
            only = [x for x in theirs if x not in ours][:2], [x for x in ours if x not in theirs][:2]
            wrong.append(f"logcli {' '.join(c[:2])}: {len(theirs)} and {len(ours)} lines; only Loki: {only[0]}; only Watchfire: {only[1]}")
        say(f"logcli {c[0]}: {'the same' if theirs == ours else 'works'}")
    check(not wrong, "\n".join(wrong))


def rfc3339(ns):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // SECOND))


def run():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--queries", type=int, default=400)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--lines", type=int, default=1200)
    p.add_argument("--verbose", action="store_true", help="show every difference in full")
    args = p.parse_args()
    binary = os.environ.get("LOKI") or shutil.which("loki")
    if not binary:
        pass_over("there is no Loki here (LOKI names its binary)")
    with folder() as d:
        # Multiples of all steps: Loki moves other times to the nearest ones when it splits a query, Watchfire asks for those that it is given.
        end = int(time.time()) // 120 * 120 * SECOND
        start = (end - args.lines * 7 * SECOND // 10) // (120 * SECOND) * 120 * SECOND
        rows = entries(random.Random(args.seed), start + SECOND, args.lines)
        (d / "loki").mkdir()
        with Loki(binary, d / "loki") as loki, Server(d) as server:
            for port in (loki.port, server.port):
                push(port, rows)
            names(loki, server, start, end)
            compare(args, loki, server, start, end)
            tool = os.environ.get("LOGCLI") or shutil.which("logcli")
            logcli(tool, loki, server, start, end) if tool else say("there is no logcli here (LOGCLI names it): its commands are not run")


if __name__ == "__main__":
    main(run)
