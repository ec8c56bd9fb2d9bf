#!/usr/bin/env python3
"""Queries of logs that take much: the limits of a tenant end them and say how to raise them; a client that goes away frees its work
within 100 ms; one that follows a stream and reads nothing loses lines, not the server its memory; what is deleted goes for good.

    log_queries.py [--mb N]
"""
import argparse
import base64
import json
import os
import socket
import statistics
import struct
import time
import urllib.parse

from harness import Server, check, folder, main, say, wait_for

SECOND = 10**9
SETTINGS = """
storage: { erase_after: 1s }
server: { queries: 3 }
queries: { series: 20 }
tenants:
  small:
    queries: { range: 1h, bytes: 1MB, time: 50ms, at_once: 1 }
"""


def push(server, tenant, streams, lines, start, text):
    """`lines` lines for each of `streams` streams, a millisecond apart."""
    step = SECOND // 1000
    for s in range(streams):
        for first in range(0, lines, 5000):
            values = [[str(start + (first + i) * step), text(s, first + i)] for i in range(min(5000, lines - first))]
            body = json.dumps({"streams": [{"stream": {"app": f"a{s}", "env": "e2e"}, "values": values}]})
            status, answer = server.request("POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json", "X-Scope-OrgID": tenant})
            check(status == 204, f"push: {status} {answer[:200]!r}")


def ask(server, tenant, query, **params):
    path = "/loki/api/v1/query_range" if "start" in params else "/loki/api/v1/query"
    status, body = server.request("GET", path, {"query": query, **params}, headers={"X-Scope-OrgID": tenant})
    return status, body.decode(errors="replace")


# A pattern that nothing prunes, over all lines, several times.
HEAVY = " + ".join(['sum(count_over_time({env="e2e"} |~ "([a-z]+[0-9]+){3}.*x{2,9}$" [6h]))'] * 4)


def limits(server, start, end):
    expect = [
        ("queries.series", "default", 'count_over_time({env="e2e"} | logfmt | keep n [1m])', {"time": end}, 400),
        ("queries.range", "small", '{env="e2e"}', {"start": start - 7200 * SECOND, "end": end}, 400),
        ("queries.range", "small", 'sum(count_over_time({env="e2e"}[2h]))', {"time": end}, 400),
        ("queries.bytes", "small", '{env="e2e"} |~ "no+t.there"', {"start": end - 3500 * SECOND, "end": end}, 422),
        ("queries.time", "small", HEAVY.replace("[6h]", "[59m]").replace('|~ "', '|= "nothing of it" |~ "'), {"time": end}, None),
    ]
    for setting, tenant, query, params, status in expect:
        got, text = ask(server, tenant, query, **params)
        if status is None:
            # It may be quick enough; bytes may be the first that it meets.
            check(got in (200, 422, 504), f"{setting}: {got} {text[:300]}")
            continue
        check(got == status and f"{setting} = " in text and f"tenants.<tenant>.{setting}" in text, f"{setting}: {got} {text[:300]}")
        say(f"{setting}: {text[:180]}")
    # What is within the bounds is answered, and other tenants have others.
    got, text = ask(server, "small", 'sum(count_over_time({env="e2e"}[1m]))', time=end)
    check(got == 200, f"a small query of the small tenant: {got} {text[:200]}")
    got, _ = ask(server, "default", '{env="e2e"} |~ "no+t.there"', start=end - 3500 * SECOND, end=end)
    check(got == 200, "the other tenant has no such bound")


def running(server):
    _, body = server.request("GET", "/metrics")
    line = next(x for x in body.decode().splitlines() if x.startswith('watchfire_jobs_running{pool="queries"}'))
    return float(line.rsplit(" ", 1)[1])


def cancelled(server, end, rounds=7):
    """How long a query goes on after its client has gone, by the server's own word."""
    took = []
    for _ in range(rounds):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(f"GET /loki/api/v1/query?{urllib.parse.urlencode({'query': HEAVY, 'time': end})} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for("the query runs", lambda: running(server) >= 1, 10, 0.001)
        time.sleep(0.05)
        check(running(server) >= 1, "the query is too short to be cancelled: give it more lines")
        began = time.monotonic()
        s.close()
        wait_for("its work ends", lambda: running(server) == 0, 20, 0.001)
        took.append((time.monotonic() - began) * 1000)
    say(f"a query whose client went away ended after {statistics.median(took):.0f} ms (median), {max(took):.0f} ms at most")
    check(statistics.median(took) <= 100, f"it took {took} ms")


class Follower:
    """A websocket that follows a stream, and reads when it is told to."""

    def __init__(self, server, query, tenant="default"):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        self.socket.connect(("127.0.0.1", server.port))
        key = base64.b64encode(os.urandom(16)).decode()
        path = "/loki/api/v1/tail?" + urllib.parse.urlencode({"query": query, "limit": 10})
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Scope-OrgID: {tenant}\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        self.bytes = b""
        while b"\r\n\r\n" not in self.bytes:
            self.bytes += self.socket.recv(4096)
        head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        check(head.startswith(b"HTTP/1.1 101"), f"no websocket: {head!r}")

    def need(self, n):
        while len(self.bytes) < n:
            more = self.socket.recv(1 << 16)
            check(more, "the server closed the connection")
            self.bytes += more
        out, self.bytes = self.bytes[:n], self.bytes[n:]
        return out

    def message(self):
        """The next message as JSON; others are passed over."""
        while True:
            first, second = self.need(2)
            n = second & 127
            if n == 126:
                n = struct.unpack(">H", self.need(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", self.need(8))[0]
            body = self.need(n)
            if first & 15 == 1:
                return json.loads(body)


def slow_follower(server):
    follower = Follower(server, '{env="tail"}')
    text = "y" * 400
    sent, before = 0, server.rss()[0]
    # More than the server, the network and the client hold for it, while it reads nothing.
    for _ in range(40):
        now = time.time_ns()
        values = [[str(now + i), f"{sent + i} {text}"] for i in range(2500)]
        body = json.dumps({"streams": [{"stream": {"app": "t", "env": "tail"}, "values": values}]})
        status, answer = server.request("POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json"})
        check(status == 204, f"push: {status} {answer[:200]!r}")
        sent += len(values)
        time.sleep(0.25)
    grown = server.rss()[0] - before
    got, dropped = 0, 0
    deadline = time.monotonic() + 60
    while dropped == 0 and time.monotonic() < deadline:
        m = follower.message()
        got += sum(len(s["values"]) for s in m.get("streams") or [])
        dropped += len(m.get("dropped_entries") or [])
        # Something new, so that there is a message that can tell.
        now = time.time_ns()
        body = json.dumps({"streams": [{"stream": {"app": "t", "env": "tail"}, "values": [[str(now), "tick"]]}]})
        server.request("POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/json"})
    say(f"a follower that read nothing: {sent} lines sent, {got} received before the first {dropped} dropped ones were named; the server grew by {grown / 1e6:.0f} MB")
    check(dropped > 0, "no dropped entry was named")
    check(grown < 256 << 20, "the server held its lines for it")


def deleted(server, start, end):
    """Lines are in no answer at once, and then not on the disk either."""
    query = '{env="e2e", app="a0"} |= "n=1"'
    everything = 'sum(count_over_time({env="e2e", app="a0"}[6h]))'
    count = lambda q: sum(float(x["value"][1]) for x in server.json("/loki/api/v1/query", {"query": q, "time": end})["data"]["result"])
    before, named = count(everything), count(f"sum(count_over_time({query}[6h]))")
    check(named > 100, f"there is little to delete: {named}")
    status, body = server.request("POST", "/loki/api/v1/delete", {"query": query, "start": start, "end": end})
    check(status == 204, f"delete: {status} {body!r}")
    check(count(everything) == before - named, "an answer still has them")
    check(server.metric("watchfire_erased_rows_total") == 0, "they went before they were due")
    time.sleep(1.2)
    server.flush()
    erased = server.metric("watchfire_erased_rows_total")
    check(erased == named, f"{erased} rows were removed, {named} were named")
    request = server.json("/loki/api/v1/delete")[0]
    status, body = server.request("DELETE", "/loki/api/v1/delete", {"request_id": request["request_id"]})
    check(status == 400, f"a request that was carried out cannot be cancelled: {status} {body!r}")
    status, body = server.request("DELETE", "/loki/api/v1/delete", {"request_id": request["request_id"], "force": "true"})
    check(status == 204, f"unless one insists: {status} {body!r}")
    server.kill()
    server.start()
    check(count(everything) == before - named, "they came back")
    say(f"{named:.0f} of {before:.0f} lines were deleted: in no answer at once, and {erased:.0f} rows removed from their blocks")


def run():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lines", type=int, default=60_000, help="lines of each of six streams")
    args = p.parse_args()
    with folder() as d, Server(d, more=SETTINGS) as server:
        end = time.time_ns() // SECOND * SECOND
        start = end - args.lines * SECOND // 1000 - 10 * SECOND
        text = lambda s, i: f"n={i % 997} level=info msg=\"request {i} took {i % 311} ms\" id={(i * 2654435761 + s) % 2**32:08x} path=/api/v1/things/{i % 4999}"
        push(server, "default", 6, args.lines, start, text)
        push(server, "small", 1, 20_000, end - 30 * SECOND, text)
        server.flush()
        limits(server, start, end)
        cancelled(server, end)
        slow_follower(server)
        deleted(server, start, end)


if __name__ == "__main__":
    main(run)
