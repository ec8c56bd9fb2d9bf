#!/usr/bin/env python3
"""Containers and nginx's files through the agent to the server and to others: compose's labels, a rule, a stage, rotation, and
an agent that is killed.

Watchfire gets everything, Prometheus the samples, and a receiver of Loki's push API that shares no code with us the lines
(receiver.py). LOKI and VICTORIA_LOGS name the programs that get the lines, too, if they are there.
An Engine of the test's own (see docker_source.py); needs root, dockerd and busybox, nginx and Prometheus.
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
from receiver import LokiReceiver

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


LOKI_CONFIG = """
auth_enabled: false
server: {{ http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}, log_level: warn }}
common:
  path_prefix: {dir}
  replication_factor: 1
  ring: {{ kvstore: {{ store: inmemory }}, instance_addr: 127.0.0.1 }}
  storage: {{ filesystem: {{ chunks_directory: {dir}/chunks, rules_directory: {dir}/rules }} }}
schema_config:
  configs: [{{ from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{ prefix: i_, period: 24h }} }}]
limits_config: {{ allow_structured_metadata: true, ingestion_rate_mb: 100, ingestion_burst_size_mb: 100, volume_enabled: false }}
analytics: {{ reporting_enabled: false }}
"""


class Answering:
    """What `lines` asks."""

    def __init__(self, url):
        self.url = url


@contextlib.contextmanager
def loki(d):
    """The original Loki, if there is one."""
    program, port, at = os.environ.get("LOKI"), free_port(), d / "loki"
    if not program:
        say("no Loki (LOKI is not set)")
        yield None
        return
    at.mkdir()
    (at / "loki.yaml").write_text(LOKI_CONFIG.format(port=port, grpc=free_port(), dir=at))
    with Process([program, f"-config.file={at}/loki.yaml"], d / "loki.out") as process:
        url = f"http://127.0.0.1:{port}"
        wait_for("Loki is ready", lambda: get(f"{url}/ready") or not process.alive(), 120)
        check(process.alive(), f"Loki ended: {process.tail()}")
        yield Answering(url)


# Acknowledgements become durable within a second (the spool's books), and with every batch.
BOOKS_SECONDS = 1
# The books are kept by a thread of a process that shares its cores with an Engine and a dev build of the server.
STARVED_SECONDS = 4


def all_received(receiver, kills, what, n, **labels):
    """All have come. To who keeps equal rows apart the agent may give rows twice: those that it had given in the second before it was
    killed, when it starts again; as the same rows, and no others."""
    wait_for(f"the receiver has {n} {what}", lambda: len({e.line for e in receiver.where(**labels)}) >= n, 60, 0.3)
    got, first, again = receiver.where(**labels), {}, 0
    for e in got:
        if e.row() not in first:
            first[e.row()] = e.came
            continue
        again += 1
        between = [k for k in kills if first[e.row()] <= k <= e.came]
        check(between, f"{what}: a row came twice, and no kill between the two: {e}")
        late = between[0] - first[e.row()]
        check(late <= BOOKS_SECONDS + STARVED_SECONDS, f"{what}: a row came again that had come {late:.1f} s before the kill: {e}")
        first[e.row()] = e.came
    check(len({e.line for e in got}) == len(first) == n, f"{what}: {len(first)} different rows of {n}")
    check(not receiver.refused, f"the receiver could not read: {receiver.refused[:3]}")
    say(f"the receiver, {what}: {n} lines, lost 0, sent again after kills as the same rows {again}")


def run():
    with (folder() as d, Server(d) as server, tempfile.TemporaryDirectory() as at, nginx(d) as web, prometheus(d) as metrics,
          victoria_logs(d) as others, loki(d) as original):
        engine, config, receiver, kills = Engine(pathlib.Path(at)), d / "agent.yaml", LokiReceiver(), []
        more = f'    - {{ name: prom, type: remote_write, url: "{metrics}/api/v1/write" }}\n'
        more += f'    - {{ name: other, type: loki, url: "{receiver.url}" }}\n'
        if original:
            more += f'    - {{ name: loki, type: loki, url: "{original.url}" }}\n'
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
                kills.append(time.time())
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
            all_received(receiver, kills, "lines of the container", 3000, compose_project="shop", compose_service="api")
            entry = receiver.where(container="shop-api-1")[0]
            check(entry.labels.get("team") == "red" and entry.metadata.get("n") == entry.line.split()[1], f"there, too: {entry}")
            log = d / "web" / "access.log"
            all_received(receiver, kills, "requests of nginx", len(log.read_text().splitlines()), filename=str(log))
            if original:
                exactly(original, '{compose_project="shop", compose_service="api"}', 3000)
                wait_for("Loki has nginx's lines", lambda: len(lines(original, asked)) >= 1500, 60, 0.3)
                check(len(lines(original, asked)) == 1500, "the original Loki: nginx's lines once")
                say("the original Loki: nginx's 1500 lines")
            if others:
                all_at(others, '{compose_project="shop",compose_service="api"}', 3000)
                all_at(others, '{job="nginx"} AND (orders OR missing)', 1500)
            agent.kill(9)
            kills.append(time.time())
            engine.run("while-away", "for i in $(seq 1 200); do echo line $i; done", *COMPOSE)
            engine.docker("wait", "while-away")
            agent = start()
            exactly(server, '{container="while-away"}', 200)
            all_received(receiver, kills, "lines of one that lived and died meanwhile", 200, container="while-away")
        finally:
            if agent:
                agent.stop()
            engine.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main(run)
