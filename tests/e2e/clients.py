#!/usr/bin/env python3
"""Clients that people have, unchanged: nginx by its access log, the OpenTelemetry SDK for Python, Prometheus.

    clients.py [nginx] [otel] [prometheus]

Each writes in its own way and is read back through the API that its users ask.
"""
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from harness import BIN, Process, Server, check, folder, free_port, main, need, say, skip, wait_for


def run():
    wanted = sys.argv[1:] or ["nginx", "otel", "prometheus"]
    for name in wanted:
        {"nginx": nginx, "otel": otel, "prometheus": prometheus}[name]()


# ---------------------------------------------------------------- nginx: a log file that is followed

NGINX = """
daemon off;
master_process on;
worker_processes 1;
{user}
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/tmp; proxy_temp_path {dir}/tmp; fastcgi_temp_path {dir}/tmp;
    uwsgi_temp_path {dir}/tmp; scgi_temp_path {dir}/tmp;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "hello\\n"; }}
        location /missing {{ return 404; }}
    }}
}}
"""


def nginx():
    """Requests before, while and after the log is rotated, and across a kill of the server: each one line, once."""
    program = need("nginx")
    with folder() as d:
        web = d / "web"
        web.mkdir()
        port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        (web / "nginx.conf").write_text(NGINX.format(dir=web, port=port, user=user))
        with Process([program, "-c", str(web / "nginx.conf"), "-p", str(web)], d / "nginx.out") as proxy:
            wait_for("nginx answers", lambda: answers(port) or not proxy.alive())
            check(proxy.alive(), f"nginx ended: {proxy.tail()}")
            with Server(d, files=[f"{web}/access.log"]) as server:
                sent = visit(port, 0, 300)
                wait_for("the first lines are read", lambda: len(lines(server)) >= 300)
                (web / "access.log").rename(web / "access.log.1")
                sent += visit(port, 300, 400)
                os.kill(int((web / "nginx.pid").read_text()), signal.SIGUSR1)
                wait_for("nginx opened a new log", (web / "access.log").exists)
                sent += visit(port, 400, 600)
                server.kill()
                sent += visit(port, 600, 700)
                server.start()
                sent += visit(port, 700, 800)
                wait_for("every request is a line", lambda: set(sent) <= set(paths(lines(server))), 60)
                got = [p for p in paths(lines(server)) if p in set(sent)]
                check(sorted(got) == sorted(sent), f"{len(got)} lines of {len(sent)} requests: {doubled(got)} more than once")
                by_command(server, sent)
    say("nginx: 800 requests, a rotation and a kill; 800 lines by the Loki API and by `watchfire logs`")


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).status == 200
    except OSError:
        return False


def visit(port, first, last):
    """Requests over one kept connection; their paths."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    visited = []
    for n in range(first, last):
        path = f"/missing/{n:05}" if n % 10 == 0 else f"/orders/{n:05}?page={n % 7}"
        connection.request("GET", path, headers={"User-Agent": "e2e \"quoted\" \\ agent"})
        response = connection.getresponse()
        response.read()
        check(response.status == (404 if n % 10 == 0 else 200), f"nginx answered {response.status}")
        visited.append(path)
    connection.close()
    return visited


def lines(server):
    now = time.time_ns()
    query = {"query": '{filename=~".+access.log.*"}', "start": now - 3600 * 10**9, "end": now + 10**9, "limit": 5000, "direction": "forward"}
    streams = server.json("/loki/api/v1/query_range", query)["data"]["result"]
    return [line for stream in streams for _, line in stream["values"]]


def paths(of_lines):
    return [line.split('"')[1].split(" ")[1] for line in of_lines]


def doubled(items):
    return sorted({i for i in items if items.count(i) > 1})[:5]


def by_command(server, sent):
    command = [BIN, "logs", '{filename=~".+access.log.*"}', "--addr", server.url, "--since", "1h", "--limit", "5000", "--output", "raw"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    check(done.returncode == 0, f"watchfire logs ended with {done.returncode}: {done.stderr}")
    got = [p for p in paths(done.stdout.splitlines()) if p in set(sent)]
    check(sorted(got) == sorted(sent), f"watchfire logs printed {len(got)} of {len(sent)} lines")
    one = subprocess.run(command[:2] + ['{filename=~".+access.log.*"} |= "/orders/00042?"'] + command[3:], capture_output=True, text=True, timeout=60)
    check(paths(one.stdout.splitlines()) == ["/orders/00042?page=0"], f"a line filter printed {one.stdout!r}")


# ---------------------------------------------------------------- OpenTelemetry: logs and traces over OTLP/HTTP


def otel():
    try:
        import opentelemetry.sdk  # noqa: F401
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: F401
    except ImportError:
        skip("the Python packages opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http are not installed")
    with folder() as d, Server(d) as server:
        spans, trace_id = send_traces(server)
        otel_traces(server, spans, trace_id)
        messages = send_logs(server, trace_id)
        otel_logs(server, messages)
    say(f"otel: {len(spans)} spans of one trace by the Tempo API, {len(messages)} records by the Loki API")


def resource():
    from opentelemetry.sdk.resources import Resource
    return Resource.create({"service.name": "checkout", "service.namespace": "shop", "deployment.environment": "test", "answer": 42})


def send_traces(server):
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    provider = TracerProvider(resource=resource())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{server.url}/v1/traces")))
    tracer = provider.get_tracer("e2e", "1.0")
    names = []
    with tracer.start_as_current_span("POST /checkout") as root:
        names.append("POST /checkout")
        for n in range(5):
            with tracer.start_as_current_span(f"step {n}", attributes={"n": n, "ok": True, "share": 0.5, "words": ["a", "b"]}) as span:
                span.add_event("happened", {"what": "something"})
                names.append(f"step {n}")
                if n == 3:
                    span.record_exception(ValueError("no stock"))
        trace_id = f"{root.get_span_context().trace_id:032x}"
    check(provider.force_flush(30_000), "the SDK could not export its spans")
    provider.shutdown()
    return names, trace_id


def otel_traces(server, names, trace_id):
    one = server.json(f"/api/traces/{trace_id}")
    check(sorted(s["name"] for s in spans_of(one["batches"])) == sorted(names), f"v1 answers {one}")
    two = server.json(f"/api/v2/traces/{trace_id}")["trace"]["resourceSpans"]
    check(sorted(s["name"] for s in spans_of(two)) == sorted(names), f"v2 answers {two}")
    attributes = {a["key"]: a["value"] for a in one["batches"][0]["resource"]["attributes"]}
    check(attributes.get("service.name") == {"stringValue": "checkout"}, f"resource {attributes}")
    check(attributes.get("answer") in ({"intValue": "42"}, {"intValue": 42}), f"an integer of the resource: {attributes}")
    step = next(s for s in spans_of(one["batches"]) if s["name"] == "step 3")
    check(len(step["events"]) == 2, f"two events of a span: {step}")
    check(next(a for a in step["attributes"] if a["key"] == "ok")["value"] == {"boolValue": True}, f"a span's attributes: {step}")
    status, _ = server.request("GET", "/api/traces/" + "0" * 31 + "1")
    check(status == 404, f"a trace that does not exist: {status}")


def spans_of(resource_spans):
    return [span for r in resource_spans for scope in r["scopeSpans"] for span in scope["spans"]]


def send_logs(server, trace_id):
    import logging
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    provider = LoggerProvider(resource=resource())
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{server.url}/v1/logs")))
    messages = [f"order {n} of customer {n % 3}" for n in range(50)]
    try:
        from opentelemetry.sdk._logs import LoggingHandler
    except ImportError:
        emit_records(provider, messages)
    else:
        logger = logging.getLogger("e2e.checkout")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(LoggingHandler(logger_provider=provider))
        for n, message in enumerate(messages):
            logger.log(logging.ERROR if n % 10 == 0 else logging.INFO, message, extra={"order": n})
    check(provider.force_flush(30_000), "the SDK could not export its log records")
    provider.shutdown()
    return messages


def emit_records(provider, messages):
    """The logs API itself, where the SDK no longer ships a handler for the standard library's logging."""
    from opentelemetry._logs import LogRecord, SeverityNumber
    logger = provider.get_logger("e2e.checkout")
    for n, message in enumerate(messages):
        number, text = (SeverityNumber.ERROR, "ERROR") if n % 10 == 0 else (SeverityNumber.INFO, "INFO")
        logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=number, severity_text=text, body=message, attributes={"order": n}))


def otel_logs(server, messages):
    now = time.time_ns()
    query = {"query": '{service_name="checkout"}', "start": now - 3600 * 10**9, "end": now + 10**9, "limit": 1000, "direction": "forward"}
    streams = server.json("/loki/api/v1/query_range", query)["data"]["result"]
    got = [line for stream in streams for _, line in stream["values"]]
    check(sorted(got) == sorted(messages), f"{len(got)} of {len(messages)} records: {got[:3]}")
    query = {"query": 'sum by (detected_level) (count_over_time({service_name="checkout"}[1h]))', "time": now + 10**9}
    vector = server.json("/loki/api/v1/query", query)["data"]["result"]
    levels = {v["metric"].get("detected_level"): float(v["value"][1]) for v in vector}
    check(levels == {"error": 5.0, "info": 45.0}, f"levels {levels}")


# ---------------------------------------------------------------- Prometheus: remote write

PROMETHEUS = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
remote_write:
  - url: {url}/api/v1/write
    queue_config: {{batch_send_deadline: 500ms, min_backoff: 50ms, max_backoff: 500ms}}
"""


def prometheus():
    """It scrapes itself and writes here; both are asked the same, also across a kill of the server."""
    program = need("prometheus")
    with folder() as d, Server(d) as server:
        port = free_port()
        (d / "prometheus.yml").write_text(PROMETHEUS.format(port=port, url=server.url))
        command = [program, f"--config.file={d}/prometheus.yml", f"--storage.tsdb.path={d}/tsdb", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        with Process(command, d / "prometheus.out") as original:
            wait_for("samples arrive", lambda: original.alive() and ask(server.port, "up", time.time()), 60)
            check(original.alive(), f"prometheus ended: {original.tail()}")
            # Long enough that the window compared below does not hold the first samples, where versions of the original differ.
            wait_for("samples of 25 seconds", lambda: count(server.port, "up[1m]") >= 25, 60)
            server.kill()
            time.sleep(2)
            server.start()
            end = time.time()
            wait_for("what was scraped meanwhile arrives", lambda: newest(server.port) > end + 3, 60)
            compare(server.port, port, end + 2)
    say("prometheus: raw samples, instant selectors and rates answer as the original does, across a kill")


def ask(port, query, at):
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query, "time": f"{at:.3f}"})
    with urllib.request.urlopen(url, timeout=30) as response:
        answer = json.loads(response.read())
    check(answer["status"] == "success", f"{query}: {answer}")
    return answer["data"]["result"]


def count(port, query):
    return sum(len(series["values"]) for series in ask(port, query, time.time()))


def newest(port):
    return max((float(series["values"][-1][0]) for series in ask(port, "up[1m]", time.time())), default=0.0)


def compare(ours, theirs, at):
    """The same questions at the same instant; the original is the judge."""
    for query in ["up", "prometheus_build_info", 'up{job="prometheus"}[20s]', "prometheus_tsdb_head_samples_appended_total[20s]",
                  "rate(prometheus_tsdb_head_samples_appended_total[15s])", "sum by (code) (rate(prometheus_http_requests_total[15s]))",
                  'prometheus_http_request_duration_seconds_bucket{le="+Inf"}', 'rate(process_cpu_seconds_total{job=~"prom.*"}[15s])']:
        expected, got = canonical(ask(theirs, query, at)), canonical(ask(ours, query, at))
        check(expected, f"{query}: the original answers nothing, so nothing is compared")
        check(sorted(got) == sorted(expected), f"{query}: series {sorted(got)[:3]}, not {sorted(expected)[:3]}")
        for key, points in expected.items():
            same = len(points) == len(got[key]) and all(close(a, b) for a, b in zip(points, got[key]))
            check(same, f"{query} {key}: {got[key][:3]}, not {points[:3]}")
    names = lambda port: json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/label/__name__/values", timeout=30).read())["data"]
    check(set(names(theirs)) <= set(names(ours)) | {"scrape_series_added"}, "metric names differ")


def canonical(result):
    return {json.dumps(s["metric"], sort_keys=True): s["values"] if "values" in s else [s["value"]] for s in result}


def close(a, b):
    (ta, va), (tb, vb) = a, b
    va, vb = float(va), float(vb)
    return ta == tb and (va == vb or abs(va - vb) <= 1e-9 * max(abs(va), abs(vb)))


if __name__ == "__main__":
    main(run)
