"""What the end-to-end scripts share: the server as a process, requests, waiting for a condition, skipping aloud.

Only the standard library is needed. WATCHFIRE_BIN names the binary; without it the dev build of the tree is used.
E2E_STRICT=1 (CI) turns a skipped check into a failure: what CI is there to check must not be missing there.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("WATCHFIRE_BIN") or str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "watchfire")
STRICT = os.environ.get("E2E_STRICT") == "1"
SKIPPED = 77


class Failed(Exception):
    """A check that did not hold."""


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def check(holds, what):
    if not holds:
        raise Failed(what)


def skip(why):
    """Leaves the script: there is nothing here to check with."""
    say("SKIPPED:" if not STRICT else "FAILED, nothing may be missing in CI:", why)
    sys.exit(1 if STRICT else SKIPPED)


def pass_over(why):
    """Leaves the script, even in CI: what a container may do (mount, have networks, run containers) and what no package has is not ours to decide."""
    say("SKIPPED, also in CI:", why)
    sys.exit(SKIPPED)


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of its own at `path`, which can be filled. Gives why there is none, or nothing."""
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True)
    try:
        yield mounted.stderr.strip() if mounted.returncode else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(path)], check=False)


def fill(ballast):
    """Takes all the room there is."""
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\0" * (1 << 20))


def need(program):
    """Path of a program, or skip."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")
    return found or skip(f"{program} is not installed")


def main(run):
    """Runs a script's checks and turns what they raise into an exit code."""
    try:
        run()
    except Failed as e:
        say("FAILED:", e)
        sys.exit(1)
    say("passed")


def wait_for(what, ask, seconds=30.0, every=0.1):
    """Asks until the answer is true, and returns it; a check fails when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        check(time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last answer {answer!r}")
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def folder():
    """A directory that goes away; E2E_KEEP=1 keeps it for looking at."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="watchfire-e2e-"))
    try:
        yield path
    finally:
        if os.environ.get("E2E_KEEP") == "1":
            say("kept", path)
        else:
            shutil.rmtree(path, ignore_errors=True)


class Process:
    """A child process with its output in a file; ended by its own id, whatever happens."""

    def __init__(self, command, log, **popen):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return self.child.poll() is None

    def kill(self, sig=signal.SIGKILL):
        if self.alive():
            self.child.send_signal(sig)
        return self.child.wait(60)

    def stop(self):
        """Asks it to end, and makes it end."""
        if not self.alive():
            return self.child.returncode
        self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait(30)

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Server:
    """Watchfire. It collects nothing by itself unless told to, so that every row is one that a test wrote. `otlp` are its ports for OTLP: none,
    because the usual ones are of this machine; None is for those."""

    def __init__(self, directory, memory="512MiB", files=(), data=None, otlp=(), more="", collect=""):
        self.dir = pathlib.Path(directory)
        self.data = pathlib.Path(data) if data else self.dir / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = self.dir / "watchfire.yaml"
        listed = "".join(f"\n    - {f}" for f in files) or " []"
        if otlp is not None:
            more = f"otlp: {{ listen: {json.dumps(list(otlp))} }}\n{more}"
        self.settings.write_text(f"memory_limit: {memory}\ncollect:\n  files:{listed}\n  host: false\n  itself: false\n{collect}{more}")
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and self.process is not None:
            say("the server's last words:\n" + self.process.tail())
        if self.process is not None:
            self.process.stop()

    def start(self, seconds=60.0):
        """Starts it; returns the seconds until it was ready."""
        began = time.monotonic()
        command = [BIN, "serve", "--config", str(self.settings), "--data-dir", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        check(os.access(BIN, os.X_OK), f"{BIN} is not there: build it, or set WATCHFIRE_BIN")
        self.process = Process(command, self.dir / "server.log")
        while True:
            check(self.process.alive(), f"the server ended with {self.process.child.returncode}:\n{self.process.tail()}")
            check(time.monotonic() - began < seconds, f"the server is not ready after {seconds:.0f} s:\n{self.process.tail()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/ready", timeout=5)[0] == 200:
                    return time.monotonic() - began
            time.sleep(0.01)

    def kill(self):
        self.process.kill(signal.SIGKILL)

    def request(self, method, path, query=None, body=None, headers=None, timeout=120.0):
        """(status, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            full = path + ("?" + urllib.parse.urlencode(query) if query else "")
            connection.request(method, full, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, path, query=None, headers=None):
        status, body = self.request("GET", path, query, headers=headers)
        check(status == 200, f"GET {path} {query}: {status} {body[:300]!r}")
        return json.loads(body)

    def flush(self):
        status, body = self.request("POST", "/flush", timeout=600)
        check(status in (200, 204), f"POST /flush: {status} {body[:300]!r}")

    def rss(self):
        """(now, peak) bytes of resident memory of this process; the peak is since it started."""
        fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{self.process.child.pid}/status").read_text().splitlines())
        return tuple(int(fields[k].split()[0]) * 1024 for k in ("VmRSS", "VmHWM"))

    def cpu(self):
        """CPU seconds of this process."""
        fields = pathlib.Path(f"/proc/{self.process.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        """Sum of a metric of the server's own, 0 if it has none."""
        status, body = self.request("GET", "/metrics")
        check(status == 200, f"GET /metrics: {status}")
        lines = (line for line in body.decode().splitlines() if line.split("{")[0].split(" ")[0] == name)
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Load:
    """`watchfire load` as a child; its figures as it prints them in JSON."""

    def __init__(self, server, signal_name, journal, *arguments):
        self.server, self.name, self.journal = server, signal_name, pathlib.Path(journal)
        self.out = self.journal.with_suffix(".out")
        self.process = Process(self.command(*arguments), self.out)

    def command(self, *arguments):
        base = [BIN, "load", self.name, "--addr", self.server.url, "--journal", str(self.journal), "--output", "json"]
        return base + [str(a) for a in arguments]

    def wait(self, seconds=600.0):
        """Waits for the end of the run; its report. Anything refused for good is a failure."""
        code = self.process.child.wait(seconds)
        check(code == 0, f"load {self.name} ended with {code}:\n{self.process.tail()}")
        report = json.loads(self.out.read_text().splitlines()[-1])["load"]
        check(report["acknowledged_rows"] > 0, f"load {self.name}: nothing was acknowledged: {report}")
        return report

    def verify(self, seconds=1800.0):
        """Asks for every acknowledged row; what was found. One missing, doubled or altered is a failure."""
        done = subprocess.run(self.command("--verify"), capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
        check(done.returncode in (0, 6), f"verify {self.name} ended with {done.returncode}: {done.stderr[-500:]} {done.stdout[-500:]}")
        found = json.loads(done.stdout)["verify"]
        check(done.returncode == 0, f"verify {self.name}: {json.dumps(found)}")
        return found


def figures(report):
    """One line about a load report."""
    latency = report["latency"]
    return (f"{report['acknowledged_rows']} rows, {report['acknowledged_bytes'] / 1e6 / report['seconds']:.1f} MB/s, "
            f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, {report['retries']} sent again")
