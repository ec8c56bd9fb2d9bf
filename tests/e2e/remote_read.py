#!/usr/bin/env python3
"""Prometheus reads from a server of ours what it does not have itself, and a server of ours streams as Prometheus does.

Half an hour of a target that is a function of the time (`made.py`) is written to Watchfire alone. Prometheus, which scrapes nothing, has it as
`remote_read`: every question about it is put to both, at one time and over a range, and the answers are equal to 12 digits. Then one with
external labels, which it puts into each question and takes out of each answer. Of some series each of the two has a part, which Prometheus puts
together as it reads. At last the same samples are written to Prometheus too, and both are asked for a stream of chunks: what is unpacked from the
two, by a reader of our own, is the same samples of the same series.
"""
import gzip
import http.client
import json
import re
import struct
import time

import made
from harness import Process, Server, check, folder, free_port, main, need, say, wait_for
from promql import Original, ask, compare

MINUTES = 30
CONFIG = """
global: {{scrape_interval: 1m{external}}}
remote_read:
  - url: {url}/api/v1/read
    read_recent: true
"""
# What the answers that are compared hold at least.
SERIES = 20
SAMPLES = 10_000


def run():
    program = need("prometheus")
    with folder() as d, Server(d) as server:
        newest = int(time.time() - 60) // made.STEP
        steps = range(newest - MINUTES * 60 // made.STEP, newest + 1)
        write(server.port, "gzip", gzip.compress(request(steps, {})))
        # Between steps, also of subqueries: what lies on the border of a window is not the same to Prometheus 2 and 3.
        at = newest * made.STEP + 1.5
        with prometheus(program, d, server, "plain") as (port, _):
            check(ask(port, "made_info", at), "Prometheus finds nothing of what was written to Watchfire")
            compare(made.QUERIES, server.port, Original(program, port), at)
            parts(server, port, newest * made.STEP)
            stream(server, port, steps, at)
        write(server.port, "gzip", gzip.compress(request(steps, {"site": "a", "replica": "1"})))
        with prometheus(program, d, server, "external", ", external_labels: {site: a, replica: '1'}") as (port, _):
            externally(server, port, at)
    say(f"{len(made.QUERIES)} queries answer through Prometheus' remote_read as they do directly, labels of its own come and go, and a stream of "
        "chunks holds what Prometheus' own holds")


def prometheus(program, d, server, name, external=""):
    """One that has nothing but what it reads and what is written to it."""
    return Prometheus(program, d, CONFIG.format(external=external, url=server.url), name)


class Prometheus(Process):
    def __init__(self, program, d, config, name):
        self.port = free_port()
        (d / f"{name}.yml").write_text(config)
        super().__init__([program, f"--config.file={d}/{name}.yml", f"--storage.tsdb.path={d}/{name}", f"--web.listen-address=127.0.0.1:{self.port}",
                          "--web.enable-remote-write-receiver", "--log.level=error",
                          f"--enable-feature={Original(program, self.port).features}"], d / f"{name}.out")

    def __enter__(self):
        wait_for("Prometheus is ready", lambda: not self.alive() or ready(self.port), 60)
        check(self.alive(), f"Prometheus ended: {self.tail()}")
        return self.port, self


def ready(port):
    try:
        return post(port, "GET", "/-/ready")[0] == 200
    except OSError:
        return False


def externally(server, port, at):
    """Of both kinds of series Prometheus sees those with its external labels, and shows them without."""
    direct, through = (ask(p, 'made_temperature{site="a"}' if p == server.port else "made_temperature", at) for p in (server.port, port))
    bare = sorted((json.dumps({k: v for k, v in s["metric"].items() if k not in ("site", "replica")}, sort_keys=True), s["value"]) for s in direct)
    got = sorted((json.dumps(s["metric"], sort_keys=True), s["value"]) for s in through)
    check(len(got) == len(made.ROOMS) and got == bare, f"with external labels: {got}, not {bare}")


def parts(server, port, newest):
    """Minutes of series are here, and the one after them there. Answers are merged as they come, and must all come in the same order."""
    written = {server.port: range(0, 180, 2), port: range(180, 240, 2)}
    for p, seconds in written.items():
        samples = b"".join(field(2, field(1, 1.0) + field(2, (newest - 240 + s) * 1000)) for s in seconds)
        name = field(1, field(1, "__name__") + field(2, "in_parts"))
        write(p, "snappy", literal(b"".join(field(1, name + field(1, field(1, "i") + field(2, i)) + samples) for i in ("1", "10", "2"))))
    got = {s["metric"]["i"]: s["value"][1] for s in ask(port, "count_over_time(in_parts[5m])", newest)}
    check(got == {"1": "120", "10": "120", "2": "120"}, f"put together of two parts: {got}")


def stream(server, port, steps, at):
    """The same samples of both, asked for in chunks."""
    body = request(steps, {"twin": "yes"})
    for p in (server.port, port):
        write(p, "snappy", literal(body))
    asked = query(int((at - MINUTES * 60) * 1000), int(at * 1000), [("twin", "yes")])
    ours, theirs = (chunks(p, asked) for p in (server.port, port))
    check(len(theirs) >= SERIES and sum(map(len, theirs.values())) >= SAMPLES, f"the stream of Prometheus has {len(theirs)} series")
    check(sorted(ours) == sorted(theirs), f"streamed series: {sorted(set(ours) ^ set(theirs))[:4]} are in one alone")
    for labels, samples in theirs.items():
        check(ours[labels] == samples, f"streamed samples of {labels}: {ours[labels][:3]}, not {samples[:3]}")
    say(f"streamed alike: {len(ours)} series, {sum(map(len, ours.values()))} samples")


# ---------------------------------------------------------------- what is written and asked, in protobuf


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def request(steps, more):
    """A remote write of these steps, with more labels."""
    series = {}
    for k in steps:
        for name, _, samples in made.families(k):
            for labels, value in samples or []:
                labels = {"__name__": name, "instance": "made", **dict(re.findall(r'(\w+)="([^"]*)"', labels)), **more}
                sample = field(1, float(value)) + field(2, k * made.STEP * 1000 + made.LATE_MS)
                series.setdefault(tuple(sorted(labels.items())), []).append(field(2, sample))
    each = (b"".join(field(1, field(1, k) + field(2, v)) for k, v in labels) + b"".join(samples) for labels, samples in series.items())
    return b"".join(field(1, s) for s in each)


def query(start, end, matchers):
    """A remote read that takes nothing but a stream of chunks."""
    equal = b"".join(field(3, field(2, name) + field(3, value)) for name, value in matchers)
    return field(1, field(1, start) + field(2, end) + equal) + field(2, 1)


def literal(body):
    """A snappy block in which nothing is repeated."""
    pieces = (body[i:i + 65536] for i in range(0, len(body), 65536))
    return varint(len(body)) + b"".join(bytes([61 << 2]) + struct.pack("<H", len(p) - 1) + p for p in pieces)


def post(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def write(port, encoding, body):
    status, _, answer = post(port, "POST", "/api/v1/write", body, {"Content-Encoding": encoding, "Content-Type": "application/x-protobuf"})
    check(status in (200, 204), f"remote write to {port}: {status} {answer[:300]!r}")


# ---------------------------------------------------------------- a stream of chunks, unpacked


def chunks(port, body):
    """Samples by series of a streamed answer."""
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Read-Version": "0.1.0"}
    status, headers, answer = post(port, "POST", "/api/v1/read", literal(body), headers)
    check(status == 200 and "ChunkedReadResponse" in headers["Content-Type"], f"remote read from {port}: {status} {headers} {answer[:300]!r}")
    found, at = {}, 0
    while at < len(answer):
        size, at = uvarint(answer, at)
        frame = answer[at + 4:at + 4 + size]
        check(int.from_bytes(answer[at:at + 4], "big") == crc32c(frame), "a frame has another checksum")
        at += 4 + size
        for n, series in fields(frame):
            if n == 1:
                parts = list(fields(series))
                labels = tuple(sorted(tuple(bytes(v).decode() for _, v in fields(label)) for n, label in parts if n == 1))
                for chunk in (dict(fields(v)) for n, v in parts if n == 2):
                    check(chunk.get(3) == 1, f"a chunk of encoding {chunk.get(3)}")
                    samples = xor(chunk[4])
                    check((chunk.get(1), chunk.get(2)) == (samples[0][0], samples[-1][0]), "a chunk with other borders than its samples")
                    found.setdefault(labels, []).extend(samples)
    return found


def fields(message):
    at = 0
    while at < len(message):
        key, at = uvarint(message, at)
        value, at = uvarint(message, at)
        check(key & 7 in (0, 2), f"a field of wire type {key & 7}")
        if key & 7 == 2:
            value, at = message[at:at + value], at + value
        yield key >> 3, value


def uvarint(data, at):
    shift = value = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


class Bits:
    def __init__(self, data):
        self.all, self.left = int.from_bytes(data, "big"), len(data) * 8

    def take(self, count):
        self.left -= count
        return self.all >> self.left & ((1 << count) - 1)

    def uvarint(self):
        data = bytearray([self.take(8)])
        while data[-1] & 0x80:
            data.append(self.take(8))
        return uvarint(data, 0)[0]

    def difference(self):
        """How much a difference of times differs from the one before: in 0, 14, 17, 20 or 64 bits, by the ones in front."""
        ones = 0
        while ones < 4 and self.take(1):
            ones += 1
        width = (0, 14, 17, 20, 64)[ones]
        value = self.take(width) if width else 0
        return value - (1 << width) if width and value > 1 << (width - 1) else value


def xor(data):
    """Samples of a chunk of floats: time in ms, bits of the value."""
    bits, samples = Bits(data), []
    step = leading = width = 0
    for n in range(bits.take(16)):
        if n == 0:
            zigzag = bits.uvarint()
            samples.append((zigzag >> 1 ^ -(zigzag & 1), bits.take(64)))
            continue
        step = bits.uvarint() if n == 1 else step + bits.difference()
        time_ms, value = samples[-1]
        if bits.take(1):
            if bits.take(1):
                leading, width = bits.take(5), bits.take(6) or 64
            value ^= bits.take(width) << (64 - leading - width)
        samples.append((time_ms + step, value))
    return samples


TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 0xFF]
    return crc ^ 0xFFFFFFFF


if __name__ == "__main__":
    main(run)
