"""A receiver of Loki's push API that shares no code with Watchfire: Python's standard library alone.

It takes `POST /loki/api/v1/push` in both forms (JSON, and protobuf in a snappy block), keeps every entry with the time at which it
came, and answers 204. It knows no identity of rows: what is sent twice is there twice.
"""
import gzip
import http.server
import json
import re
import threading
import time
from typing import NamedTuple


class Entry(NamedTuple):
    labels: dict
    time_ns: int
    line: str
    metadata: dict
    # When it came, by time.time().
    came: float

    def row(self):
        """What makes it the row that it is."""
        return (tuple(sorted(self.labels.items())), self.time_ns, self.line, tuple(sorted(self.metadata.items())))


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def unsnap(data):
    """A snappy block (google/snappy, format_description.txt)."""
    size, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at : at + extra], "little")
                at += extra
            out += data[at : at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            bytes_of = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + bytes_of], "little")
            at += bytes_of
        if not 0 < offset <= len(out):
            raise ValueError("a copy from before the beginning")
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes of {size}")
    return bytes(out)


def fields(data):
    """The fields of a protobuf message: number, value (an int, or bytes)."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            if at > len(data):
                raise ValueError("a field is cut off")
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, at = data[at : at + width], at + width
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


PAIR = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*")\s*(,|$)')


def selector(text):
    """The labels of `{a="b", c="d"}`."""
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"no label set: {text}")
    labels, at, inner = {}, 0, text[1:-1]
    while at < len(inner.rstrip()):
        found = PAIR.match(inner, at)
        if not found:
            raise ValueError(f"no label set: {text}")
        labels[found[1]], at = json.loads(found[2]), found.end()
    return labels


def of_protobuf(body, came):
    """logproto.PushRequest: streams = 1 {labels = 1, entries = 2 {timestamp = 1 {seconds = 1, nanos = 2}, line = 2,
    structuredMetadata = 3 {name = 1, value = 2}}}."""
    for _, stream in (f for f in fields(unsnap(body)) if f[0] == 1):
        labels, entries = {}, []
        for number, value in fields(stream):
            if number == 1:
                labels = selector(value.decode())
            elif number == 2:
                entries.append(value)
        for entry in entries:
            time_ns, line, metadata = 0, "", {}
            for number, value in fields(entry):
                if number == 1:
                    parts = dict(fields(value))
                    time_ns = parts.get(1, 0) * 10**9 + parts.get(2, 0)
                elif number == 2:
                    line = value.decode()
                elif number == 3:
                    pair = dict(fields(value))
                    metadata[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
            yield Entry(labels, time_ns, line, metadata, came)


def of_json(body, came):
    for stream in json.loads(body)["streams"]:
        for time_ns, line, *metadata in stream["values"]:
            yield Entry(stream["stream"], int(time_ns), line, metadata[0] if metadata else {}, came)


class LokiReceiver:
    """Listens on a port of its own until the process ends."""

    def __init__(self):
        self.entries, self.refused, self.lock = [], [], threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.push(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def push(self, path, headers, body):
        if path != "/loki/api/v1/push":
            return 404
        try:
            if headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            read = of_json if headers.get("Content-Type", "").startswith("application/json") else of_protobuf
            entries = list(read(body, time.time()))
        except (ValueError, KeyError, IndexError) as e:
            self.refused.append(repr(e))
            return 400
        with self.lock:
            self.entries += entries
        return 204

    def where(self, **labels):
        """The entries whose stream has these labels, in the order in which they came."""
        with self.lock:
            return [e for e in self.entries if all(e.labels.get(n) == v for n, v in labels.items())]
