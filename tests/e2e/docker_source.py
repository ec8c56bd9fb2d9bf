"""The Docker source against a real Engine: containers number their lines, and each number must arrive once.

It drives the example `docker` of the agent crate (built if it is not there), whose store is one file. An Engine is
started on a socket of its own; the image is a static busybox. Needs root, dockerd and busybox.
"""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import harness
from harness import ROOT, check, need, say

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
READER = os.environ.get("WATCHFIRE_DOCKER_READER") or str(TARGET / "debug" / "examples" / "docker")


class Engine:
    """A Docker Engine of the test's own."""

    def __init__(self, at):
        self.at, self.host = at, f"unix://{at}/docker.sock"
        if os.geteuid() != 0:
            harness.pass_over("an Engine needs root")
        need("docker")
        dockerd = need("dockerd")
        log = open(at / "dockerd.log", "wb")
        self.process = subprocess.Popen(
            [dockerd, "--host", self.host, "--data-root", at / "data", "--exec-root", at / "exec", "--pidfile", at / "pid",
             "--storage-driver=vfs", "--iptables=false", "--ip-masq=false", "--bridge=none"], stdout=log, stderr=log)
        answers = lambda: subprocess.run(["docker", "-H", self.host, "ps"], capture_output=True).returncode == 0
        wait(lambda: answers() or self.process.poll() is not None, "Engine", 60)
        if self.process.poll() is not None:
            harness.pass_over(f"an Engine does not start here: {(at / 'dockerd.log').read_text()[-300:]}")
        self.image()

    def image(self):
        root = self.at / "root" / "bin"
        root.mkdir(parents=True)
        busybox = need("busybox")
        subprocess.run(["cp", "-L", busybox, root / "busybox"], check=True)
        for name in ("sh", "seq", "sleep", "usleep", "printf", "head", "tr", "cat"):
            (root / name).symlink_to("busybox")
        tar = subprocess.run(["tar", "-C", self.at / "root", "-c", "."], capture_output=True, check=True).stdout
        subprocess.run(["docker", "-H", self.host, "import", "-", "box:1"], input=tar, check=True, capture_output=True)

    def docker(self, *args):
        done = subprocess.run(["docker", "-H", self.host, *map(str, args)], capture_output=True, text=True)
        check(done.returncode == 0, f"docker {args}: {done.stderr}")
        return done.stdout.strip()

    def run(self, name, script, *options):
        return self.docker("run", "-d", "--network", "none", "--name", name, *options, "box:1", "sh", "-c", script)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Reader:
    """The source, and what it has delivered."""

    def __init__(self, engine, at, *containers_dir):
        self.engine, self.at, self.process, self.containers_dir = engine, at, None, containers_dir
        at.mkdir()

    def start(self):
        log = open(self.at / "log", "ab")
        self.process = subprocess.Popen([READER, self.engine.host, self.at, *self.containers_dir], stdout=log, stderr=log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def lines(self, container, stream=None):
        found = []
        if (self.at / "batches").exists():
            for record in (self.at / "batches").read_bytes().split(b"\n")[:-1]:
                found += [l for l in json.loads(record)["lines"] if l[0] == container and stream in (None, l[1])]
        return found

    def losses(self, container):
        text = (self.at / "losses").read_text() if (self.at / "losses").exists() else ""
        return [l for l in map(json.loads, text.splitlines()) if l["source"].split()[0] == container]


def wait(holds, what, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < until, f"{what}: not within {seconds} s")
        time.sleep(0.1)


def numbers(lines):
    return [int(l[3].split()[1]) for l in lines]


def exactly(reader, container, n, seconds=30, stream=None):
    """Lines 1 to n have arrived, each once, with times that rise, and no loss is stated."""
    try:
        wait(lambda: len(reader.lines(container, stream)) >= n, container, seconds)
    except harness.Failed:
        pass
    got = numbers(reader.lines(container, stream))
    count = collections.Counter(got)
    lost, doubled = [i for i in range(1, n + 1) if i not in count], [i for i, c in count.items() if c > 1]
    say(f"{container}: {len(got)} lines of {n}, lost {len(lost)}, doubled {len(doubled)}, losses stated {reader.losses(container)}")
    check(not lost and not doubled and not reader.losses(container), f"{container}: lost {lost[:9]}, doubled {doubled[:9]}")
    for pipe in ("stdout", "stderr"):
        times = [l[2] for l in reader.lines(container, pipe)]
        check(times == sorted(set(times)), f"{container}: times of {pipe} do not rise")


def count_to(n, every=20, pause="0.05", start=1):
    """Numbered lines with a rest after some of them."""
    return (f"i={start}; while [ $i -le {n} ]; do echo line $i of a container that counts; "
            f"[ $((i % {every})) -eq 0 ] && sleep {pause}; i=$((i+1)); done")


SMALL = ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"]
PACKED = ["--log-opt", "max-size=100k", "--log-opt", "max-file=5", "--log-opt", "compress=true"]


def plain(e, r):
    e.run("plain", "for i in $(seq 1 500); do echo line $i; done; for i in $(seq 501 600); do echo line $i >&2; done; printf 'line 601'")
    exactly(r, "plain", 601)
    e.run("long", "for i in 1 2 3; do printf 'line %d ' $i; head -c 40000 /dev/zero | tr '\\0' x; echo; done")
    exactly(r, "long", 3)
    check({len(l[3]) for l in r.lines("long")} == {40007}, "long lines are joined")


def rotating(e, r):
    e.run("rotating", count_to(2000, pause="0.1"), *SMALL)
    e.run("packed", count_to(6000, every=100), *PACKED)
    exactly(r, "rotating", 2000, 60)
    exactly(r, "packed", 6000, 60)


def accounted(reader, container, n):
    """Each of the lines 1 to n has arrived once, or lies in a stretch that is stated as lost; the last one has arrived."""
    wait(lambda: n in numbers(reader.lines(container)), container, 60)
    got = reader.lines(container)
    count = collections.Counter(numbers(got))
    gaps = [(a[2] if a else None, b[2]) for a, b in zip([None, *got], got) if int(b[3].split()[1]) != (int(a[3].split()[1]) if a else 0) + 1]
    losses = [(l["first_ns"], l["last_ns"]) for l in reader.losses(container)]
    say(f"{container}: {len(got)} lines of {n}, in gaps {n - len(count)}, losses stated {reader.losses(container)}")
    check(len(count) == len(got), f"{container}: doubled")
    # Before the first line a loss is stated since the container was made.
    check([b for _, b in gaps] == [b for _, b in losses], f"{container}: gaps {gaps}, stated {losses}")
    check(all(a in (None, first) for (a, _), (first, _) in zip(gaps, losses)), f"{container}: gaps {gaps}, stated {losses}")
    check({l["reason"] for l in reader.losses(container)} <= {"rotated_away"}, "the reason")
    return losses


def refused(e, r):
    """What Docker rotates away while nothing is taken is kept open: of a container that is followed, and of one that starts then.
    A file takes three seconds, and Docker keeps three: that is how long the reader may be without a CPU."""
    (r.at / "refuse").touch()
    for name in ("refused", "refused-too"):
        e.run(name, count_to(1000, pause="0.3"), *SMALL)
    e.docker("wait", "refused")
    e.docker("wait", "refused-too")
    time.sleep(1)
    (r.at / "refuse").unlink()
    exactly(r, "refused", 1000, 60)
    exactly(r, "refused-too", 1000, 60)


def starved(e, r):
    """The reader gets no CPU while a container starts and Docker rotates beyond its window: what is lost is stated."""
    for round, name in enumerate(("starved", "starved-early")):
        if round:
            # Its file has been heard of and opened, and no more.
            e.run(name, count_to(100) + "; sleep 2; " + count_to(2000, start=101), *SMALL)
            wait(lambda: r.lines(name), name)
        r.process.send_signal(signal.SIGSTOP)
        if not round:
            e.run(name, count_to(2000, every=200), *SMALL)
        e.docker("wait", name)
        r.process.send_signal(signal.SIGCONT)
        check(len(accounted(r, name, 2000)) == 1, "what was rotated away is one loss")


def killed(e, r):
    e.run("killed", count_to(4000, pause="0.1"), *SMALL)
    e.run("killed-local", count_to(6000), "--log-driver", "local")
    for n in range(12):
        time.sleep(0.5 + 0.11 * n)
        r.kill()
        r.start()
    exactly(r, "killed", 4000, 60)
    exactly(r, "killed-local", 6000, 60)


def stopped_and_recreated(e, r):
    e.run("stopped", "echo line $(($(cat /n 2>/dev/null || echo 0) + 1)); n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n > /n")
    e.docker("wait", "stopped")
    exactly(r, "stopped", 1)
    r.kill()
    r.start()
    for n in range(2, 5):
        e.docker("start", "-a", "stopped")
        exactly(r, "stopped", n)
    e.docker("rm", "stopped")
    e.run("again", count_to(300))
    time.sleep(1)
    e.docker("rm", "-f", "again")
    done = max(numbers(r.lines("again")), default=0)
    time.sleep(2)
    seen = numbers(r.lines("again"))
    check(seen == list(range(1, len(seen) + 1)) and len(seen) >= done > 0, "the removed container is read to its end")
    e.run("again", count_to(len(seen) + 300, start=len(seen) + 1))
    exactly(r, "again", len(seen) + 300)


def down(e, r):
    e.run("beyond", count_to(200) + "; sleep 3; " + count_to(3000, start=201), *SMALL)
    wait(lambda: len(r.lines("beyond")) >= 200, "beyond")
    r.kill()
    e.run("died", count_to(2000, every=1000), "--log-opt", "compress=true", "--log-opt", "max-size=50k", "--log-opt", "max-file=9")
    e.run("died-beyond", count_to(2000, every=1000), *SMALL)
    time.sleep(2.5)
    e.docker("wait", "beyond")
    e.docker("wait", "died")
    e.docker("wait", "died-beyond")
    r.start()
    exactly(r, "died", 2000)
    check(len(accounted(r, "died-beyond", 2000)) == 1, "what was rotated away before anybody saw it is one loss")
    check(len(accounted(r, "beyond", 3000)) == 1, "what was rotated away is one loss")


def within(e, r):
    """Two rotations while nobody looks; the oldest file that is left is the one that was being read."""
    e.run("window", count_to(150, every=150, pause="3") + ";" + count_to(500, every=500, start=151), *SMALL)
    wait(lambda: len(r.lines("window")) >= 150, "window")
    r.kill()
    e.docker("wait", "window")
    r.start()
    exactly(r, "window", 500)


def removed(e, r):
    for n in range(10):
        subprocess.run(["docker", "-H", e.host, "run", "--rm", "--network", "none", "--name", f"rm{n}", "box:1", "sh", "-c",
                        "for i in $(seq 1 200); do echo line $i; done"], check=True, capture_output=True)
    for n in range(10):
        exactly(r, f"rm{n}", 200)


def through_engine(e, r):
    e.run("local", "for i in $(seq 1 3000); do echo line $i; done", "--log-driver", "local")
    e.run("terminal", "for i in $(seq 1 300); do echo line $i; done; sleep 1", "-t", "--log-driver", "local")
    e.run("mute", "echo line 1", "--log-driver", "none")
    exactly(r, "local", 3000)
    exactly(r, "terminal", 300)


def one_file(e, r):
    e.run("single", count_to(1500), "--log-opt", "max-size=20k", "--log-opt", "max-file=1")
    e.docker("wait", "single")
    wait(lambda: 1500 in numbers(r.lines("single")), "single")
    n = numbers(r.lines("single"))
    say(f"single: {len(n)} of 1500, doubled {len(n) - len(set(n))}, losses stated {len(r.losses('single'))}")
    check(len(n) == len(set(n)), "doubled")
    check(len(n) == 1500 or r.losses("single"), "a loss that is not stated")


def run():
    if not pathlib.Path(READER).exists():
        subprocess.run(["cargo", "build", "--locked", "-p", "watchfire-agent", "--example", "docker"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="wf-docker-") as at:
        at = pathlib.Path(at)
        e = Engine(at)
        r = Reader(e, at / "reader")
        api = Reader(e, at / "api", "/nowhere")
        try:
            r.start()
            chosen = sys.argv[1:]
            for step in (plain, rotating, refused, starved, stopped_and_recreated, down, within, removed, through_engine, one_file, killed):
                if not chosen or step.__name__ in chosen:
                    say("--", step.__name__)
                    step(e, r)
            if not chosen:
                say("-- all of it that is left, through the Engine")
                api.start()
                exactly(api, "plain", 601)
                exactly(api, "killed-local", 6000, 60)
        finally:
            for reader in (r, api):
                if reader.process:
                    reader.kill()
            say((r.at / "log").read_text()[-2000:])
            e.stop()


if __name__ == "__main__":
    harness.main(run)
