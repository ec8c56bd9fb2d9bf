#!/usr/bin/env python3
"""Containers through the agent to the server: compose's labels, a rule, a stage, rotation, and an agent that is killed.

An Engine of the test's own (see docker_source.py); needs root, dockerd and busybox.
"""
import json
import pathlib
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from docker_source import SMALL, Engine, count_to
from harness import BIN, Process, Server, check, folder, free_port, main, say, wait_for

COMPOSE = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=api", "--label", "team=red"]

CONFIG = """
agent:
  listen: 127.0.0.1:{port}
  sources:
    host: {{ enabled: false }}
    itself: false
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
"""


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


def run():
    with folder() as d, Server(d) as server, tempfile.TemporaryDirectory() as at:
        engine, config = Engine(pathlib.Path(at)), d / "agent.yaml"
        config.write_text(CONFIG.format(port=free_port(), host=engine.host, url=server.url))
        start = lambda: Process([BIN, "agent", "--config", str(config), "--data-dir", str(d / "agent")], d / "agent.log")
        try:
            agent = start()
            engine.run("shop-api-1", count_to(3000), *SMALL, *COMPOSE)
            engine.run("ignored-1", "echo line 1")
            for _ in range(3):
                time.sleep(1.5)
                agent.kill(9)
                agent = start()
            exactly(server, '{compose_project="shop", compose_service="api"}', 3000)
            stream, text = lines(server, '{container="shop-api-1"}')[0]
            check(stream.get("team") == "red" and stream.get("n") == text.split()[1], f"labels of rules and stages: {stream} {text}")
            check(not lines(server, '{container=~"ignored.*"}'), "an excluded container is not followed")
            agent.kill(9)
            engine.run("while-away", "for i in $(seq 1 200); do echo line $i; done", *COMPOSE)
            engine.docker("wait", "while-away")
            agent = start()
            exactly(server, '{container="while-away"}', 200)
            agent.stop()
        finally:
            engine.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main(run)
