#!/usr/bin/env python3
"""What is lost when, in scenes that need more than a proxy: the rest of the matrix in docs/reliability.md (see agent.py).

    agent_loss.py [SCENE ...]

Real parts: a server that is killed, a full file system, a network between two namespaces that is cut, a clock that is set
back (libfaketime), a storm against a server's limit. Lines are numbered: lost 0, doubled 0, or exactly what is stated.
"""
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

from agent import Agent, Proxy, Writer, all_there, number
from harness import Server, check, fill, folder, main, say, skip, small_disk, wait_for

HOME = "home"


def stated(server):
    """Rows that the lines about losses speak of."""
    return number(server, 'sum(sum_over_time({job="watchfire-agent", kind="loss"} | json | unwrap rows [1d]))')


def outage(d):
    """The server itself is gone for a while, twice, and the agent is killed meanwhile."""
    with Server(d) as server:
        writer = Writer(d / "outage.log")
        with Agent(d, [{"name": HOME, "url": server.url}], writer.path) as agent:
            writer.write(1000)
            all_there(server, writer, "before the outage")
            for round in range(2):
                server.kill()
                for _ in range(12):
                    writer.write(200)
                    time.sleep(0.5)
                if round:
                    agent.kill()
                    agent.start()
                wait_for("what was written is in the spool", lambda: agent.pending() == 2400, 20)
                server.start()
                all_there(server, writer, "server killed, 6 s away" + (", agent killed too" if round else ""))
            check(agent.lost() == 0, "nothing is stated as lost")


def longer_than_the_spool(d):
    """An outage longer than the spool keeps rows: a week, compressed to three seconds."""
    with Server(d) as server:
        proxy, writer = Proxy(server.port), Writer(d / "long.log")
        proxy.treat = "down"
        with Agent(d, [{"name": HOME, "url": proxy.url}], writer.path, "max_size: 2MiB, max_age: 3s", name="long") as agent:
            for _ in range(50):
                writer.write(100)
                time.sleep(0.2)
            proxy.treat = None
            wait_for("all is sent", lambda: agent.pending() == 0, 40)
            lost = agent.lost()
            reasons = agent.status()["lost"]["by_reason"]
            check(0 < lost < writer.next and list(reasons) == ["spool_too_old"], f"what was too old is stated: {reasons}")
            all_there(server, writer, "outage longer than the spool keeps rows", lost)
            wait_for("the lines about losses state the same", lambda: stated(server) == lost, 20)


def storm(d):
    """50 MB/s of errors for a second, against a server that takes 4 MB/s and answers 429 beyond it."""
    with Server(d, more="limits:\n  rate: 4MB\n") as server:
        writer = Writer(d / "storm.log")
        with Agent(d, [{"name": HOME, "url": server.url}], writer.path, "max_size: 512MiB", name="storm") as agent:
            began = time.monotonic()
            for tenth in range(1, 11):
                writer.write(2500, level="error", width=1980)
                time.sleep(max(0.0, began + tenth / 10 - time.monotonic()))
            took = time.monotonic() - began
            wait_for("the server refuses for now", lambda: refusals(agent) > 0, 20)
            all_there(server, writer, f"storm: {writer.path.stat().st_size / took / 1e6:.0f} MB/s against a limit of 4 MB/s", seconds=180)
            check(agent.lost() == 0, "nothing is stated as lost")
            say(f"storm: {refusals(agent):.0f} requests were answered 429, the last line was there after {time.monotonic() - began:.0f} s")


def refusals(agent):
    with urllib.request.urlopen(f"http://127.0.0.1:{agent.port}/metrics", timeout=5) as r:
        lines = [l for l in r.read().decode().splitlines() if l.startswith("watchfire_agent_requests_total") and 'answer="again"' in l]
    return sum(float(l.rsplit(" ", 1)[1]) for l in lines)


def disk_full(d):
    """The file system under the spool has no room, during an outage, and the agent is killed on it."""
    with Server(d) as server, small_disk(d / "full", "12m") as refused:
        if refused:
            return say("SKIPPED, it is not allowed here: a file system cannot be mounted:", refused)
        proxy, writer = Proxy(server.port), Writer(d / "disk.log")
        room = lambda: os.statvfs(d / "full").f_bavail * os.statvfs(d / "full").f_frsize
        with Agent(d, [{"name": HOME, "url": proxy.url}], writer.path, "max_size: 64MiB", name="full") as agent:
            writer.write(1000)
            all_there(server, writer, "before the disk is full")
            proxy.treat = "down"
            writer.write(200)
            wait_for("spooled", lambda: agent.pending() >= 200, 20)
            fill(d / "full" / "ballast")

            # What was delivered before makes some room yet.
            def full():
                writer.write(200, width=1000)
                time.sleep(0.1)
                return room() < 64 << 10 and agent.pending() < writer.next - 1000

            wait_for("there is no room, and lines that do not fit", full, 60)
            agent.kill()
            agent.start()
            writer.write(200)
            proxy.treat = None
            time.sleep(3)
            say(f"disk full: {agent.pending()} pending, {room()} bytes free while the server takes what is spooled")
            (d / "full" / "ballast").unlink()
            all_there(server, writer, "disk full and with room again")
            check(agent.lost() == 0, "nothing is stated as lost")


class Namespace:
    """A host of the test's own: a network namespace, and a pair of interfaces between it and this one."""

    def __init__(self):
        self.name, self.here, self.there = f"wf-{os.getpid()}", f"wfh{os.getpid()}", f"wfa{os.getpid()}"
        self.address = "10.203.64.1"

    def ip(self, *words, inside=False):
        own = ["-n", self.name] if inside else []
        return subprocess.run(["ip", *own, *words], capture_output=True, text=True)

    def __enter__(self):
        if not any(pathlib.Path(at, "ip").exists() for at in ("/sbin", "/usr/sbin", "/bin", "/usr/bin")):
            skip("ip (iproute2) is not installed")
        for words, inside in (
            (["netns", "add", self.name], False),
            (["link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.name], False),
            (["addr", "add", f"{self.address}/30", "dev", self.here], False),
            (["addr", "add", "10.203.64.2/30", "dev", self.there], True),
            (["link", "set", "lo", "up"], True),
            (["link", "set", self.there, "up"], True),
            (["link", "set", self.here, "up"], False),
        ):
            done = self.ip(*words, inside=inside)
            if done.returncode:
                self.refused = f"ip {' '.join(words)}: {done.stderr.strip()}"
                return self
        self.refused = None
        return self

    def __exit__(self, *_):
        self.ip("link", "delete", self.here)
        self.ip("netns", "delete", self.name)

    def cut(self, is_cut):
        done = self.ip("link", "set", self.here, "down" if is_cut else "up")
        check(done.returncode == 0, done.stderr)


class Remote(Agent):
    """An agent on that host: its page is read from there."""

    def status(self):
        ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{self.port}/api/v1/status', timeout=5).read().decode())"
        done = subprocess.run([*self.before, sys.executable, "-c", ask], capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)
        return json.loads(done.stdout)


def network_cut(d):
    """The network between agent and server is cut, idle and in the middle of sending, and heals."""
    with Server(d) as server, Namespace() as network:
        if network.refused:
            return say("SKIPPED, it is not allowed here: no network of its own:", network.refused)
        proxy, writer = Proxy(server.port, network.address), Writer(d / "cut.log")
        agent = Remote(d, [{"name": HOME, "url": proxy.url, "timeout": "3s"}], writer.path, name="cut")
        agent.before = ["ip", "netns", "exec", network.name]
        with agent:
            writer.write(500)
            all_there(server, writer, "over a network of its own")
            for seconds in (1, 8):
                writer.write(20_000)
                time.sleep(0.1)
                network.cut(True)
                for _ in range(10):
                    writer.write(50)
                    time.sleep(seconds / 10)
                arrived = number(server, 'sum(count_over_time({job="app"}[1d]))')
                check(seconds < 8 or arrived < writer.next, "nothing arrives while it is cut")
                network.cut(False)
                all_there(server, writer, f"network cut for {seconds} s while sending ({writer.next - arrived} lines were behind)", seconds=90)
            check(agent.lost() == 0, "nothing is stated as lost")


def clock_back(d):
    """The wall clock is set back by two hours and forth again while the agent runs, and across a kill."""
    found = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None) or skip("faketime is not installed")
    with Server(d) as server:
        clock, writer = d / "ahead", Writer(d / "clock.log")
        clock.write_text("+0")
        agent = Agent(d, [{"name": HOME, "url": server.url}], writer.path, "max_age: 1h", name="clock")
        agent.env = {**os.environ, "LD_PRELOAD": str(found), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                     "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        with agent:
            writer.write(500)
            all_there(server, writer, "by the right clock")
            for by in (-7200, -7200, 0, 7200, 0):
                if by > 0:
                    all_there(server, writer, "clock set back by two hours, and right again")
                clock.write_text(f"{by:+}")
                writer.write(500)
                ahead = lambda: agent.status()["endpoints"][0]["last_ack_ns"] / 1e9 - time.time()
                wait_for(f"lines are sent by a clock that is {by} s ahead", lambda: abs(ahead() - by) < 600, 20)
                agent.kill()
                writer.write(500)
                agent.start()
            # The server refuses what is of the future. What was written before the clock was right again and not read by then is of the present.
            wait_for("all is sent", lambda: agent.pending() == 0, 30)
            lost = agent.lost()
            check(500 <= lost <= 1000, f"{lost} lines are stated as lost")
            all_there(server, writer, "clock set forth by two hours, and right again", lost)
            # Each is refused once, and once more after each kill that came before its acknowledgement was durable: two of the first
            # 500, one of the others. A sender that looked for them by sending halves would come to ten times as many.
            counted = server.metric("watchfire_ingest_refused_total")
            check(lost <= counted <= 3 * 500 + 2 * 500, f"the server has counted {counted:.0f} refused entries")
            say(f"clock set forth: the server has counted {counted:.0f} refused entries for {lost} lines")


SCENES = (outage, longer_than_the_spool, storm, disk_full, network_cut, clock_back)


def run():
    for scene in SCENES:
        if not sys.argv[1:] or scene.__name__ in sys.argv[1:]:
            say("--", scene.__name__)
            with folder() as d:
                scene(d)


if __name__ == "__main__":
    main(run)
