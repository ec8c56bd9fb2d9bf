#!/usr/bin/env python3
"""The agent against a real server: numbered lines, and everything that goes wrong on the way.

After each event every line is at the server once: lost 0, doubled 0; where loss is forced by the settings, exactly what the
agent's ledger states. Between agent and server stands a proxy that answers as servers do on their bad days.
"""
import base64
import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import BIN, Process, Server, check, folder, free_port, main, say, wait_for

TICK = os.sysconf("SC_CLK_TCK")
# Questions reach so far into the future, seconds: a scene sets the agent's clock forth.
AHEAD = 3 * 3600


class Proxy:
    """Passes requests on, or treats pushes badly: a status, `slow`, `hang`, `reset` (after the server has stored it), `down`."""

    def __init__(self, port, host="127.0.0.1"):
        self.port, self.treat, self.target, self.seen = free_port(), None, port, 0
        self.listener = socket.create_server((host, self.port))
        threading.Thread(target=self.accept, daemon=True).start()
        self.url = f"http://{host}:{self.port}"

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.guarded, args=(client,), daemon=True).start()

    def guarded(self, client):
        with client, contextlib.suppress(OSError):
            self.serve(client)

    def request(self, client, buf):
        while b"\r\n\r\n" not in buf:
            piece = client.recv(1 << 16)
            if not piece:
                return None
            buf += piece
        head, rest = buf.split(b"\r\n\r\n", 1)
        length = next((int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")), 0)
        while len(rest) < length:
            piece = client.recv(1 << 16)
            if not piece:
                return None
            rest += piece
        return head + b"\r\n\r\n" + rest[:length], rest[length:]

    def serve(self, client):
        buf = b""
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            while True:
                got = self.request(client, buf)
                if got is None:
                    return
                request, buf = got
                treat = self.treat
                if request.startswith(b"POST /loki"):
                    self.seen += 1
                    if isinstance(treat, int):
                        client.sendall(f"HTTP/1.1 {treat} X\r\nContent-Length: 3\r\n\r\nno\n".encode())
                        continue
                    if treat == "hang":
                        while self.treat == "hang":
                            time.sleep(0.05)
                        return
                    if treat == "down":
                        return
                    if treat == "slow":
                        time.sleep(1)
                server.sendall(request)
                answer = server.recv(1 << 16)
                if not answer:
                    return
                if treat == "reset" and request.startswith(b"POST /loki"):
                    client.sendall(answer[: len(answer) // 2])
                    return
                client.sendall(answer)


class Agent:
    def __init__(self, directory, endpoints, pattern, spool="", name="agent", receive="", sources=""):
        self.dir, self.port = directory / name, free_port()
        self.dir.mkdir(exist_ok=True)
        self.config, self.log = directory / f"{name}.yaml", directory / f"{name}.out"
        listed = "".join(f"\n    - {json.dumps(e)}" for e in endpoints)
        self.config.write_text(
            f"agent:\n  listen: 127.0.0.1:{self.port}\n  sources:\n    host: {{ enabled: false }}\n    itself: false\n"
            f"    files:\n      - {{ job: app, include: [{json.dumps(str(pattern))}], from: start, poll_interval: 50ms }}\n"
            f"{sources}  receive: {{ {receive} }}\n  endpoints:{listed}\n  spool: {{ {spool} }}\n"
        )
        self.process, self.before, self.env = None, [], None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process:
            self.process.stop()

    def start(self):
        self.process = Process([*self.before, BIN, "agent", "--config", self.config, "--data-dir", self.dir], self.log, env=self.env)
        wait_for("the agent shows itself", self.up, 20)
        return self

    def up(self):
        check(self.process.alive(), f"the agent ended:\n{self.process.tail()}")
        with contextlib.suppress(OSError, ValueError):
            return self.status()

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/status", timeout=5) as r:
            return json.load(r)

    def kill(self):
        self.process.kill(signal.SIGKILL)

    def lost(self):
        return sum(c["rows"] for c in self.status()["lost"]["by_reason"].values())

    def pending(self, endpoint=0):
        return self.status()["endpoints"][endpoint]["pending_rows"]

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self, key="VmRSS"):
        for line in open(f"/proc/{self.process.child.pid}/status"):
            if line.startswith(key):
                return int(line.split()[1]) << 10


class Writer:
    """Numbered lines into one file."""

    def __init__(self, path):
        self.path, self.next = path, 0

    def write(self, n, level="info", width=150):
        pad = "x" * width
        with open(self.path, "a") as f:
            f.write("".join(f"{level} line={i} {pad}\n" for i in range(self.next, self.next + n)))
        self.next += n


def number(server, query):
    url = f"{server.url}/loki/api/v1/query?" + urllib.parse.urlencode({"query": query, "time": str(time.time() + AHEAD)})
    with urllib.request.urlopen(url, timeout=30) as r:
        result = json.load(r)["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0


def numbers(server):
    """The numbers of all lines at the server, in pages by time."""
    seen, start = [], 0
    while True:
        query = {"query": '{job="app"}', "limit": "5000", "start": str(start), "end": str(int((time.time() + AHEAD) * 1e9)), "direction": "forward"}
        with urllib.request.urlopen(f"{server.url}/loki/api/v1/query_range?" + urllib.parse.urlencode(query), timeout=60) as r:
            values = [v for s in json.load(r)["data"]["result"] for v in s["values"]]
        if not values:
            return seen
        values.sort(key=lambda v: int(v[0]))
        seen += [int(v[1].split("line=")[1].split(" ")[0]) for v in values]
        start = int(values[-1][0]) + 1


def all_there(server, writer, what, lost=0, seconds=60):
    count = lambda: number(server, 'sum(count_over_time({job="app"}[1d]))')
    wait_for(f"{what}: all lines arrive", lambda: count() >= writer.next - lost, seconds, 0.3)
    got = numbers(server)
    doubled, missing = len(got) - len(set(got)), writer.next - len(set(got))
    check(doubled == 0 and missing == lost, f"{what}: doubled {doubled}, missing {missing}, of which {lost} are stated")
    say(f"{what}: {writer.next} lines, lost {missing}, stated {lost}, doubled {doubled}")


def bad_days(server, d):
    proxy, writer = Proxy(server.port), Writer(d / "app.log")
    endpoint = {"name": "home", "url": proxy.url, "timeout": "1s"}
    with Agent(d, [endpoint], d / "app.log") as agent:
        writer.write(500)
        all_there(server, writer, "plain")
        for treat in (429, 500, 503, 401, 404, "hang", "reset", "down"):
            proxy.treat, before = treat, proxy.seen
            writer.write(300)
            wait_for(f"{treat} is met", lambda: proxy.seen >= before + 2, 30)
            if treat == 401:
                wait_for("an alarm", lambda: agent.status()["endpoints"][0]["alarm"], 10)
            proxy.treat = None
            all_there(server, writer, f"server answers {treat}")
        check(agent.lost() == 0, "nothing is stated as lost")
        killed(server, agent, proxy, writer)


def killed(server, agent, proxy, writer):
    for round in range(6):
        proxy.treat = [None, 503, "hang", None, "reset", None][round]
        writer.write(4000)
        time.sleep(0.05 + 0.08 * round)
        agent.kill()
        writer.write(200)
        proxy.treat = None
        agent.start()
    all_there(server, writer, "agent killed while sending")
    proxy.treat = "down"
    writer.write(300)
    wait_for("they are in the spool", lambda: agent.pending() >= 300, 20)
    agent.kill()
    agent.start()
    check(agent.pending() >= 300, "what was pending is pending after a kill")
    proxy.treat = None
    all_there(server, writer, "agent killed during an outage")


def damaged(server, d):
    proxy, writer = Proxy(server.port), Writer(d / "damaged.log")
    proxy.treat = "down"
    with Agent(d, [{"name": "home", "url": proxy.url}], d / "damaged.log", name="damaged") as agent:
        for _ in range(5):
            writer.write(200)
            wait_for("spooled", lambda: agent.pending() == writer.next, 20)
        agent.kill()
        (agent.dir / "spool" / "state").write_bytes(b"no state at all")
        wal = agent.dir / "spool" / "wal"
        for path in wal.iterdir():
            if path.is_file() and b"line=500 " in (data := path.read_bytes()):
                at = data.index(b"line=500 ")
                with open(path, "r+b") as f:
                    f.seek(at)
                    f.write(b"DAMAGE")
        agent.start()
        lost = agent.lost()
        check(0 < lost <= 200, f"the damage is stated: {lost}")
        proxy.treat = None
        all_there(server, writer, "spool damaged", lost)


def two_endpoints(server, d):
    slow, writer = Proxy(server.port), Writer(d / "two.log")
    slow.treat = "hang"
    ends = [{"name": "slow", "url": slow.url, "timeout": "1s"}, {"name": "fast", "url": server.url}]
    with Agent(d, ends, d / "two.log", name="two") as agent:
        writer.write(1000)
        all_there(server, writer, "one endpoint hangs, the other is fast")
        check(agent.pending(0) == 1000 and agent.pending(1) == 0, "each for itself")
        slow.treat = None
        wait_for("it has everything too", lambda: agent.pending(0) == 0, 30)
        all_there(server, writer, "both have it, and rows are a set")
    slow.treat, ends[0] = "slow", {"name": "slow", "url": slow.url, "batch_size": "16KiB"}
    with Agent(d, ends, d / "two.log", name="two") as agent:
        before = slow.seen
        writer.write(2000)
        all_there(server, writer, "one endpoint is slow, the other is fast")
        check(agent.pending(1) == 0 and agent.pending(0) > 1000, f"the slow one is not done: {agent.pending(0)} pending, {slow.seen - before} sent")
        slow.treat = None
        wait_for("the slow one has it too", lambda: agent.pending(0) == 0, 30)
        all_there(server, writer, "both have it, and rows are a set")


def full(server, d, policy):
    proxy, writer = Proxy(server.port), Writer(d / f"{policy}.log")
    proxy.treat = "down"
    spool = f"max_size: 1MiB, when_full: {policy}"
    with Agent(d, [{"name": "home", "url": proxy.url}], writer.path, spool, name=policy) as agent:
        for i in range(40):
            writer.write(200, level=["debug", "info", "error"][i % 3])
            time.sleep(0.06)
        if policy == "block":
            wait_for("sources wait", lambda: agent.status()["spool"]["full"], 20)
        else:
            wait_for("something is dropped", lambda: agent.lost() > 0, 20)
            time.sleep(1)
        proxy.treat = None
        wait_for("all is sent", lambda: agent.pending() == 0 and not agent.status()["spool"]["full"], 40)
        lost = agent.lost()
        check((lost == 0) == (policy == "block"), f"{policy}: {lost} lost")
        all_there(server, writer, f"spool full, {policy}", lost)
        stated = number(server, 'sum(sum_over_time({job="watchfire-agent", kind="loss"} | json | unwrap rows [1d]))') if lost else 0
        check(stated == lost, f"the lines about losses state {stated}, the ledger {lost}")


def post(url, body, headers):
    """The status and the body of the answer."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def firehose_body(first, lines):
    events = [{"id": str(i), "timestamp": int(time.time() * 1e3), "message": f"info line={i} x"} for i in range(first, first + lines)]
    document = {"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/g", "logStream": "s", "subscriptionFilters": [], "logEvents": events}
    data = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
    return json.dumps({"requestId": f"r-{first}", "timestamp": 1, "records": [{"data": data}]}).encode()


def received(server, d):
    """What was acknowledged to senders while the server was away, and the agent killed after it, arrives once."""
    proxy, writer, syslog = Proxy(server.port), Writer(d / "none.log"), free_port()
    receive = "loki: {}, token: t0ken, firehose: { access_key: k3y, job: app }"
    sources = f"    syslog:\n      - {{ tcp: '127.0.0.1:{syslog}', job: app }}\n"
    proxy.treat = "down"
    with Agent(d, [{"name": "home", "url": proxy.url}], writer.path, receive=receive, sources=sources) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        for _ in range(20):
            values = [[str(time.time_ns() + i), f"info line={writer.next + i} x"] for i in range(50)]
            push = json.dumps({"streams": [{"stream": {"job": "app", "from": "push"}, "values": values}]}).encode()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer t0ken"}
            check(post(f"{url}/loki/api/v1/push", push, headers)[0] == 204, "a push is acknowledged")
            writer.next += 50
            body = firehose_body(writer.next, 50)
            headers = {"X-Amz-Firehose-Access-Key": "k3y", "X-Amz-Firehose-Request-Id": "r", "Content-Type": "application/json"}
            for _ in range(2):  # as Firehose does when it has not seen the answer
                status, answer = post(f"{url}/awsfirehose/api/v1/push", body, headers)
                check(status == 200 and json.loads(answer)["requestId"] == "r", f"Firehose is answered: {status} {answer}")
            writer.next += 50
        check(post(f"{url}/loki/api/v1/push", push, {"Content-Type": "application/json"})[0] == 401, "the token is asked for")
        check(post(f"{url}/awsfirehose/api/v1/push", body, {})[0] == 401, "the access key is asked for")
        agent.kill()
        agent.start()
        before = agent.pending()
        with socket.create_connection(("127.0.0.1", syslog)) as s:
            s.sendall("".join(f"<14>app: info line={writer.next + i} x\n" for i in range(100)).encode())
        writer.next += 100
        wait_for("syslog is in the spool", lambda: agent.pending() >= before + 100, 20)
        proxy.treat = None
        all_there(server, writer, "received while the server was away")


def silent(server, d):
    """A dead agent's ledger is still read at the server."""
    out = subprocess.run([BIN, "ledger", "--addr", server.url, "--output", "json"], capture_output=True, text=True)
    check(out.returncode == 0, out.stderr)
    agents = json.loads(out.stdout)["agents"]
    check(len(agents) >= 1, "the server knows its agents")
    say(f"the server knows {len(agents)} agents")


def run():
    for scene in (bad_days, damaged, two_endpoints, lambda s, d: full(s, d, "block"), lambda s, d: full(s, d, "drop_oldest"),
                  lambda s, d: full(s, d, "drop_low_priority"), received):
        with folder() as d, Server(d) as server:
            scene(server, d)
            silent(server, d)


if __name__ == "__main__":
    main(run)
