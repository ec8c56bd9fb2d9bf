#!/usr/bin/env python3
"""gRPC as people's clients speak it: the exporters of OpenTelemetry's SDK for Python, and Google's gRPC library.

    otlp_grpc.py [server] [pusher] [agent] [ports]

Rows are numbered; each that a client was told is durable, and each that an SDK kept meanwhile, is there once at the end.
"""
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time

from agent import Agent
from harness import BIN, Server, check, folder, free_port, main, say, skip, wait_for

ROWS = 1500
STEP = 0.003


def run():
    try:
        import grpc  # noqa: F401
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: F401
    except ImportError:
        skip("the Python packages opentelemetry-sdk and opentelemetry-exporter-otlp-proto-grpc are not installed")
    scenes = {"server": server_killed, "pusher": pusher, "agent": agent_killed, "ports": ports}
    for name in sys.argv[1:] or scenes:
        scenes[name]()


class Sdk:
    """Logs, metrics and traces of one service, each with the exporter that its users have, over gRPC."""

    def __init__(self, endpoint, gzip, headers=None):
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        to = {"endpoint": endpoint, "insecure": True, "timeout": 60, "headers": headers,
              "compression": grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression}
        batches = {"schedule_delay_millis": 200, "max_export_batch_size": 256, "max_queue_size": 1 << 16, "export_timeout_millis": 60_000}
        resource = Resource.create({"service.name": "checkout"})
        self.logs = LoggerProvider(resource=resource)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to), **batches))
        self.spans = TracerProvider(resource=resource)
        self.spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**to), **batches))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(**to), export_interval_millis=300, export_timeout_millis=60_000)
        self.metrics = MeterProvider(resource=resource, metric_readers=[reader])
        self.logger = self.logs.get_logger("e2e")
        self.tracer = self.spans.get_tracer("e2e")
        self.orders = self.metrics.get_meter("e2e").create_counter("orders")
        self.trace_id = None

    def write(self, first, last):
        """Rows of each signal, numbered; all spans are of one trace."""
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
        if self.trace_id is None:
            self.trace_id = self.tracer.start_span("root").get_span_context().trace_id
        parent = set_span_in_context(NonRecordingSpan(SpanContext(self.trace_id, 7, True, TraceFlags(1))))
        for n in range(first, last):
            self.logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body=f"order {n}", attributes={"n": n}))
            self.tracer.start_span(f"step {n}", context=parent).end()
            self.orders.add(1)
            time.sleep(STEP)

    def end(self):
        for provider in (self.logs, self.spans, self.metrics):
            check(provider.force_flush(90_000) is not False, f"{type(provider).__name__} could not export what it had")
        for provider in (self.logs, self.spans, self.metrics):
            provider.shutdown()


def all_there_once(server, sdk, rows):
    wanted = [f"order {n}" for n in range(rows)]
    got = wait_for("all log records", lambda: l if len(l := lines(server, '{service_name="checkout"}')) >= rows else None, 60)
    check(sorted(got) == sorted(wanted), f"{len(got)} log records of {rows}, {len(set(got))} different ones")
    wait_for("all spans", lambda: len(spans(server, sdk.trace_id)) >= rows, 60)
    names = spans(server, sdk.trace_id)
    check(sorted(names) == sorted(f"step {n}" for n in range(rows)), f"{len(names)} spans of {rows}, {len(set(names))} different ones")
    wait_for("the counter's last sample", lambda: counted(server) == rows, 60)


def lines(server, selector):
    now = time.time_ns()
    query = {"query": selector, "start": now - 3600 * 10**9, "end": now + 10**9, "limit": 5000, "direction": "forward"}
    streams = server.json("/loki/api/v1/query_range", query)["data"]["result"]
    return [line for stream in streams for _, line in stream["values"]]


def spans(server, trace_id):
    status, body = server.request("GET", f"/api/traces/{trace_id:032x}")
    if status == 404:
        return []
    import json
    check(status == 200, f"the trace: {status} {body[:200]!r}")
    return [s["name"] for r in json.loads(body)["batches"] for scope in r["scopeSpans"] for s in scope["spans"]]


def counted(server):
    found = server.json("/api/v1/query", {"query": "orders_total"})["data"]["result"]
    return float(found[0]["value"][1]) if found else None


# ---------------------------------------------------------------- an SDK and a server that is killed


def server_killed():
    """Each form once: gRPC on a port of OTLP's with gzip, and on the main port without."""
    for gzip in (True, False):
        with folder() as d:
            port = free_port()
            with Server(d, otlp=[f"127.0.0.1:{port}"]) as server:
                sdk = Sdk(f"127.0.0.1:{port if gzip else server.port}", gzip)
                writing = threading.Thread(target=sdk.write, args=(0, ROWS))
                writing.start()
                wait_for("the first rows", lambda: len(lines(server, '{service_name="checkout"}')) >= 100)
                server.kill()
                check(writing.is_alive(), "all was written before the kill")
                time.sleep(1)
                server.start()
                writing.join()
                sdk.end()
                all_there_once(server, sdk, ROWS)
                check(server.metric("watchfire_panics_total") == 0, "a panic")
        say(f"server: {ROWS} log records, spans and a counter over gRPC, {'gzip, port of OTLP' if gzip else 'plain, main port'}; kill -9 in between; each once")


# ---------------------------------------------------------------- Loki's Pusher, by Google's library


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def push_request(labels, entries):
    """`logproto.PushRequest`, by hand: streams { 1: labels, 2: entries { 1: Timestamp { 1: s, 2: ns }, 2: line } }."""
    def stamp(ns):
        return b"\x08" + varint(ns // 10**9) + b"\x10" + varint(ns % 10**9)
    return field(1, field(1, labels.encode()) + b"".join(field(2, field(1, stamp(t)) + field(2, line.encode())) for t, line in entries))


def pusher():
    import grpc
    with folder() as d, Server(d, more='auth: { token: "s3cret" }\n') as server:
        token = ("authorization", "Bearer s3cret")
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            push = channel.unary_unary("/logproto.Pusher/Push", request_serializer=lambda b: b, response_deserializer=lambda b: b)

            def code(request, metadata=(token,), **more):
                try:
                    check(push(request, metadata=metadata, timeout=60, **more) == b"", "PushResponse is empty")
                    return None
                except grpc.RpcError as e:
                    return e.code()

            now = time.time_ns()
            tenant = (token, ("x-scope-orgid", "team-a"))
            check(code(push_request('{app="x"}', [(now, "plain")]), tenant) is None, "a push")
            check(code(push_request('{app="x"}', [(now + 1, "gzipped")]), tenant, compression=grpc.Compression.Gzip) is None, "a compressed push")
            large = [(now + 2 + n, f"{n:08} " + "x" * 10_000) for n in range(2000)]
            check(code(push_request('{app="large"}', large), tenant) is None, "a push of 20 MB")
            refused = code(push_request('{app="x"}', [(now + 2, "good"), (now + 3600 * 10**9, "from the future")]), tenant)
            check(refused == grpc.StatusCode.INVALID_ARGUMENT, f"an entry of the future: {refused}")
            for request, metadata, wanted in [
                (b"\x0a\xff", (token,), grpc.StatusCode.INVALID_ARGUMENT),
                (b"x" * (33 << 20), (token,), grpc.StatusCode.INVALID_ARGUMENT),
                (b"", (), grpc.StatusCode.UNAUTHENTICATED),
                (b"", (("authorization", "Bearer wrong"),), grpc.StatusCode.UNAUTHENTICATED),
            ]:
                check((got := code(request, metadata)) == wanted, f"{request[:5]!r}, {metadata}: {got}, not {wanted}")
            other = channel.unary_unary("/logproto.Querier/Query", request_serializer=lambda b: b, response_deserializer=lambda b: b)
            with contextlib.suppress(grpc.RpcError):
                other(b"", metadata=(token,), timeout=10)
                check(False, "a method that is not there answered")
        headers = {"Authorization": "Bearer s3cret", "X-Scope-OrgID": "team-a"}
        query = {"query": '{app="x"}', "start": now - 10**9, "end": now + 10**9, "direction": "forward"}
        found = server.json("/loki/api/v1/query_range", query, headers=headers)["data"]["result"]
        got = [line for s in found for _, line in s["values"]]
        check(got == ["plain", "gzipped", "good"], f"lines {got}")
        query = {"query": 'count_over_time({app="large"}[1h])', "time": now + 10**9}
        found = server.json("/loki/api/v1/query", query, headers=headers)["data"]["result"]
        check([v["value"][1] for v in found] == ["2000"], f"of 2000 large lines {found}")
    say("pusher: Loki's pushes by grpcio, plain, compressed and of 20 MB, and what is refused by its code")


# ---------------------------------------------------------------- the agent, killed while its server is away


def agent_killed():
    with folder() as d, Server(d) as server:
        port = free_port()
        endpoint = {"name": "here", "type": "watchfire", "url": server.url}
        with Agent(d, [endpoint], d / "none.log", receive=f"otlp: true, listen: ['127.0.0.1:{port}', '127.0.0.1:{free_port()}']") as agent:
            sdk = Sdk(f"127.0.0.1:{port}", gzip=True)
            server.kill()
            writing = threading.Thread(target=sdk.write, args=(0, ROWS))
            writing.start()
            wait_for("the first rows are in the spool", lambda: agent.pending() >= 300)
            agent.kill()
            check(writing.is_alive(), "all was written before the kill")
            time.sleep(1)
            agent.start()
            writing.join()
            sdk.end()
            server.start()
            wait_for("nothing is pending", lambda: agent.pending() == 0, 60)
            all_there_once(server, sdk, ROWS)
            check(agent.lost() == 0, f"the agent lost {agent.lost()} rows")
    say(f"agent: {ROWS} log records, spans and a counter over gRPC while the server was away; the agent killed in between; each once")


# ---------------------------------------------------------------- ports that somebody else has


def ports():
    with folder() as d, contextlib.ExitStack() as held:
        # Somebody has it: we, or whoever else stands on this machine.
        with contextlib.suppress(OSError):
            held.enter_context(socket.create_server(("127.0.0.1", 4317)))
        with Server(d, otlp=None) as server:
            log = server.process.log.read_text()
            check("OTLP IS NOT TAKEN AT 127.0.0.1:4317" in log, f"nothing is said of the port that is taken: {log[:1500]}")
        taken = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        wanted = Server(d, otlp=[f"127.0.0.1:{taken.getsockname()[1]}"])
        command = [BIN, "serve", "--config", str(wanted.settings), "--data-dir", str(wanted.data), "--listen", "127.0.0.1:0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        check(done.returncode != 0 and "otlp.listen" in done.stderr, f"it started without a port that it was told: {done.stderr}")
    say("ports: a usual port that is taken is left out aloud; one that was asked for stops the start")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main(run)
