#!/usr/bin/env python3
"""Containers and nginx's files through the agent to the server and to others: compose's labels, a rule, a stage, rotation, and
an agent that is killed.

An Engine of the test's own (see docker_source.py); needs root, dockerd and busybox, nginx and Prometheus, which gets the
samples. VICTORIA_LOGS names the program that gets the lines by Loki push, too, if it is there.
"""
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from clients import NGINX, answers, visit
from docker_source import SMALL, Engine, count_to
from harness import BIN, Process, Server, check, folder, free_port, main, need, say, wait_for

COMPOSE = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=api", "--label", "team=red"]

CONFIG = """
agent:
  listen: 127.0.0.1:{port}
  sources:
    host: {{ enabled: true, interval: 1s }}
    itself: false
    files:
      - {{ job: nginx, include: ["{web}/*.log"], from: start, poll_interval: 50ms }}
    docker:
      - endpoint: {host}
        exclude_names: ["ignored*"]
        poll_interval: 50ms
        relabel:
          - {{ source_labels: [__meta_docker_container_label_team], target_label: team }}
        stages:
          - regex: {{ expression: "^line (?P<n>\\\\d+)" }}
          - structured_metadata: {{ n: "" }}
  endpoints:
    - {{ url: "{url}" }}
{others}"""


def lines(server, selector):
    query = {"query": selector, "limit": "5000", "start": "0", "end": str(int((time.time() + 60) * 1e9)), "direction": "forward"}
    with urllib.request.urlopen(f"{server.url}/loki/api/v1/query_range?" + urllib.parse.urlencode(query), timeout=60) as r:
        return [(s["stream"], v[1]) for s in json.load(r)["data"]["result"] for v in s["values"]]


def exactly(server, selector, n):
    """Lines 1 to n are there, each once."""
    wait_for(f"{selector}: {n} lines", lambda: len(lines(server, selector)) >= n, 60, 0.3)
    got = sorted(int(text.split()[1]) for _, text in lines(server, selector))
    check(got == list(range(1, n + 1)), f"{selector}: {len(got)} lines, {len(set(got))} different, of {n}")
    say(f"{selector}: {n} lines, lost 0, doubled 0")


@contextlib.contextmanager
def nginx(d):
    """nginx with its files below `web`; its port."""
    web, port = d / "web", free_port()
    web.mkdir()
    (web / "nginx.conf").write_text(NGINX.format(dir=web, port=port, user="user root;"))
    with Process([need("nginx"), "-c", web / "nginx.conf", "-p", web], d / "nginx.out") as process:
        wait_for("nginx answers", lambda: answers(port) or not process.alive())
        check(process.alive(), f"nginx ended: {process.tail()}")
        yield port


@contextlib.contextmanager
def prometheus(d):
    """Prometheus that takes remote write; its address."""
    port = free_port()
    (d / "prometheus.yml").write_text("global: {}\n")
    command = [need("prometheus"), f"--config.file={d}/prometheus.yml", f"--storage.tsdb.path={d}/prometheus",
               f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    with Process(command, d / "prometheus.out") as process:
        url = f"http://127.0.0.1:{port}"
        wait_for("Prometheus is ready", lambda: get(f"{url}/-/ready") or not process.alive(), 60)
        check(process.alive(), f"Prometheus ended: {process.tail()}")
        yield url


@contextlib.contextmanager
def victoria_logs(d):
    """VictoriaLogs, if there is one; its address, or nothing."""
    program, port = os.environ.get("VICTORIA_LOGS"), free_port()
    if not program:
        say("no VictoriaLogs (VICTORIA_LOGS is not set): lines go to Watchfire alone")
        yield None
        return
    with Process([program, f"-storageDataPath={d}/vlogs", f"-httpListenAddr=127.0.0.1:{port}"], d / "vlogs.out") as process:
        url = f"http://127.0.0.1:{port}"
        wait_for("VictoriaLogs is ready", lambda: get(f"{url}/health") or not process.alive(), 60)
        check(process.alive(), f"VictoriaLogs ended: {process.tail()}")
        yield url


def get(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as r:
        return r.read().decode()


def measured(url):
    """The samples of this host at Prometheus."""
    text = get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": 'count_over_time(node_time_seconds{job="node"}[1h])'}))
    result = json.loads(text)["data"]["result"] if text else []
    return int(result[0]["value"][1]) if result else 0


def at_victoria(url, query):
    """Lines that VictoriaLogs has."""
    text = get(f"{url}/select/logsql/query?" + urllib.parse.urlencode({"query": query, "limit": "10000"}))
    return [json.loads(l) for l in (text or "").splitlines()]


def all_at(url, query, n):
    """All are there. VictoriaLogs keeps equal rows apart, so what is sent again after a kill, as the same rows, is there twice."""
    wait_for(f"VictoriaLogs has {n} lines of {query}", lambda: len({l["_msg"] for l in at_victoria(url, query)}) >= n, 60, 0.5)
    got = [(l["_time"], l["_msg"]) for l in at_victoria(url, query)]
    check(len({text for _, text in got}) == len(set(got)) == n, f"VictoriaLogs, {query}: {len(set(got))} different rows of {n}")
    say(f"VictoriaLogs, {query}: {n} lines, lost 0, sent again after kills as the same rows {len(got) - n}")


def run():
    with (folder() as d, Server(d) as server, tempfile.TemporaryDirectory() as at, nginx(d) as web, prometheus(d) as metrics,
          victoria_logs(d) as others):
        engine, config = Engine(pathlib.Path(at)), d / "agent.yaml"
        more = f'    - {{ name: prom, type: remote_write, url: "{metrics}/api/v1/write" }}\n'
        if others:
            more += f'    - {{ name: vlogs, type: loki, url: "{others}/insert/loki/api/v1/push" }}\n'
        config.write_text(CONFIG.format(port=free_port(), host=engine.host, url=server.url, web=d / "web", others=more))
        start = lambda: Process([BIN, "agent", "--config", str(config), "--data-dir", str(d / "agent")], d / "agent.log")
        agent = None
        try:
            agent = start()
            engine.run("shop-api-1", count_to(3000), *SMALL, *COMPOSE)
            engine.run("ignored-1", "echo line 1")
            for n in range(3):
                visit(web, 500 * n, 500 * (n + 1))
                time.sleep(1.5)
                agent.kill(9)
                agent = start()
            exactly(server, '{compose_project="shop", compose_service="api"}', 3000)
            stream, text = lines(server, '{container="shop-api-1"}')[0]
            check(stream.get("team") == "red" and stream.get("n") == text.split()[1], f"labels of rules and stages: {stream} {text}")
            check(not lines(server, '{container=~"ignored.*"}'), "an excluded container is not followed")
            asked = '{job="nginx", filename=~".*access.log"} |~ "orders|missing"'
            wait_for("nginx's lines arrive", lambda: len(lines(server, asked)) >= 1500, 60, 0.3)
            got = [text.split('"')[1] for _, text in lines(server, asked)]
            check(len(got) == len(set(got)) == 1500, f"nginx: {len(got)} lines, {len(set(got))} different, of 1500")
            say("nginx: 1500 requests, 1500 lines")
            wait_for("Prometheus has the host's samples", lambda: measured(metrics) >= 3, 30, 0.5)
            say(f"Prometheus has {measured(metrics)} samples of this host's time")
            if others:
                all_at(others, '{compose_project="shop",compose_service="api"}', 3000)
                all_at(others, '{job="nginx"} AND (orders OR missing)', 1500)
            agent.kill(9)
            engine.run("while-away", "for i in $(seq 1 200); do echo line $i; done", *COMPOSE)
            engine.docker("wait", "while-away")
            agent = start()
            exactly(server, '{container="while-away"}', 200)
        finally:
            if agent:
                agent.stop()
            engine.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main(run)
