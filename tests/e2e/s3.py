#!/usr/bin/env python3
"""Blocks in a bucket of a real S3 server (moto): every call works, and nothing acknowledged is lost while the store is away,
slow, or fails a third of its calls, or while the server is killed; a data directory moves there while it serves.

Between the server and the store is a proxy that fails as it is told.
"""
import contextlib
import http.client
import http.server
import os
import random
import shutil
import subprocess
import threading
import time

from harness import BIN, ROOT, Load, Process, Server, check, figures, folder, free_port, main, need, say, wait_for

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on, or not."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.random = upstream, random.Random(1)
        self.down, self.fail, self.delay, self.deny, self.seen = False, 0.0, 0.0, None, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def heal(self):
        self.down, self.fail, self.delay, self.deny = False, 0.0, 0.0, None

    def handle_error(self, request, client_address):
        pass  # a client that was cut off


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def pass_on(self):
        p = self.server
        p.seen += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if p.down:
            self.close_connection = True
            return
        time.sleep(p.delay)
        if p.deny == self.command:
            self.answer(403, [], b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            return
        fate = p.random.random()
        if fate < p.fail / 2:
            self.answer(503, [], b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", p.upstream, timeout=60)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body=body, headers=dict(self.headers))
            r = upstream.getresponse()
            data = r.read()
        if fate < p.fail:
            # Done, and the answer is lost.
            self.close_connection = True
            return
        self.answer(r.status, r.getheaders(), data)

    def answer(self, status, headers, data):
        self.send_response(status)
        length = str(len(data))
        for k, v in headers:
            if k.lower() == "content-length" and self.command == "HEAD":
                length = v
            if k.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(k, v)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on


@contextlib.contextmanager
def bucket(d):
    """A store with an empty bucket, and the proxy before it."""
    port = free_port()
    with Process([need("moto_server"), "-H", "127.0.0.1", "-p", str(port)], d / "moto.log") as moto:
        def made():
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                c.request("PUT", "/bucket", headers={"Authorization": SIGNED})
                return c.getresponse().status == 200
            check(moto.alive(), f"moto_server ended:\n{moto.tail()}")
            return False
        wait_for("the S3 server makes a bucket", made, 120)
        proxy = Proxy(port)
        try:
            yield proxy, port
        finally:
            proxy.shutdown()


def storage(proxy, prefix, cache="256MiB"):
    return (f"storage:\n  url: s3://bucket/{prefix}\n  endpoint: {proxy.url}\n  region: us-east-1\n"
            f"  access_key: test\n  secret_key: test\n  cache_size: {cache}\n")


def run():
    with folder() as d, bucket(d) as (proxy, port):
        conformance(port)
        rights(d, proxy)
        outages(d, proxy)
        moving(d, proxy)


def conformance(port):
    """The client's own tests, the race of sixteen creates among them, against this server."""
    if shutil.which("cargo") is None or os.environ.get("WATCHFIRE_BIN"):
        say("conformance: left out, this is about a binary that was built elsewhere")
        return
    command = ["cargo", "test", "--locked", "--quiet", "--workspace", "--test", "it", "a_bucket_of_another_server", "--", "--nocapture"]
    env = {**os.environ, "WATCHFIRE_TEST_S3": f"http://127.0.0.1:{port}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=800, stdin=subprocess.DEVNULL)
    check(done.returncode == 0 and "1 passed" in done.stdout and "SKIPPED" not in done.stdout, f"conformance: {done.stdout[-3000:]} {done.stderr[-2000:]}")
    say("conformance: create-only races, parts, ranges, lists")


def rights(d, proxy):
    file = d / "check.yaml"
    file.write_text(storage(proxy, "check"))
    ask = lambda: subprocess.run([BIN, "check", "--storage", str(file)], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    done = ask()
    check(done.returncode == 0 and "FAILED" not in done.stdout, f"check --storage: {done.stdout} {done.stderr}")
    for method, right in (("DELETE", "s3:DeleteObject"), ("PUT", "s3:PutObject")):
        proxy.deny = method
        done = ask()
        check(done.returncode == 6 and right in done.stdout, f"check --storage without {right}: {done.returncode} {done.stdout} {done.stderr}")
    proxy.heal()
    say("check --storage: all calls, and what is missing is named")


def flushed(server):
    return wait_for("a flush", lambda: server.request("POST", "/flush", timeout=600)[0] in (200, 204), 300, 1.0)


def outages(d, proxy):
    work = d / "outages"
    work.mkdir()
    with Server(work, more=storage(proxy, "outages")) as server:
        loads = []

        def load(name, *arguments):
            loads.append(Load(server, "logs", work / f"{name}.journal", "--seed", len(loads) + 1, *arguments))
            report = loads[-1].wait()
            check(report["retries"] == 0, f"{name}: writes had to be sent again: {report}")
            say(f"{name}:", figures(report))

        def verify(what):
            for l in loads:
                l.verify()
            say(what)

        load("well", "--duration", "5s", "--rate", "4MB/s")
        flushed(server)
        verify("well: every row is read from blocks in the bucket")

        proxy.down = True
        load("away", "--duration", "8s", "--rate", "4MB/s")
        check(server.request("POST", "/flush", timeout=600)[0] == 503, "a flush without the store is asked to come back")
        verify("away: writes went on, and rows old and new are read")
        server.kill()
        server.start()
        verify("away: the same after kill -9")
        proxy.heal()
        flushed(server)
        check(server.metric("watchfire_runs") == 0, "runs are left after the flush")
        verify("back: drained")

        proxy.delay = 0.3
        load("slow", "--duration", "5s", "--rate", "4MB/s")
        flushed(server)
        proxy.delay = 0.0
        proxy.fail = 0.3
        load("failing", "--duration", "5s", "--rate", "4MB/s")
        flushed(server)
        proxy.heal()
        verify("slow, then failing: every row is there once")

        server.kill()
        shutil.rmtree(server.data)
        server.start()
        verify("another disk and the bucket are enough")
        check(server.metric("watchfire_losses_total") == 0, "a loss was counted")


def moving(d, proxy):
    work = d / "moving"
    work.mkdir()
    with Server(work) as server:
        load = Load(server, "logs", work / "before.journal", "--seed", "7", "--duration", "5s", "--rate", "4MB/s")
        load.wait()
        server.flush()
        move = [BIN, "storage", "move", "--addr", server.url]
        refused = subprocess.run(move, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        check(refused.returncode != 0 and "storage.url" in refused.stderr, f"a move to nowhere: {refused}")
        server.settings.write_text(server.settings.read_text() + storage(proxy, "moved"))
        during = Load(server, "logs", work / "during.journal", "--seed", "8", "--duration", "6s", "--rate", "2MB/s")
        moved = subprocess.run(move, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)
        check(moved.returncode == 0 and "all blocks are in s3://bucket/moved" in moved.stdout, f"storage move: {moved}")
        say("storage move, while it serves:", moved.stdout.strip().replace(chr(10), "; "))
        during.wait()
        for l in (load, during):
            l.verify()
        proxy.fail = 0.2
        server.process.stop()
        server.start()
        for l in (load, during):
            l.verify()
        wait_for("all blocks are moved", lambda: server.metric("watchfire_store_to_move_blocks") == 0, 240, 1.0)
        wait_for("nothing is left here", lambda: not list((server.data / "blocks").rglob("*.parquet")), 60, 1.0)
        for l in (load, during):
            l.verify()
        proxy.heal()
        flushed(server)
        server.kill()
        shutil.rmtree(server.data)
        server.start()
        for l in (load, during):
            l.verify()
        say("moved while serving; the bucket alone has it")


if __name__ == "__main__":
    main(run)
