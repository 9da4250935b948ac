"""Frames in Python (src/wire/frame.h), and a worker driven over its lane without a gate: what the tests of the
runtimes and of the node share."""

import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WICK_BUILD", ROOT / "build")).resolve()

INVOKE, READY, RESULT, ERROR, CHUNK, LOG = 1, 2, 3, 4, 5, 6
HELLO, START, STOP, STARTED, FAILED, EXITED, STATUS = range(32, 39)
DEADLINE_MS, ARN, TRACE, CLIENT_CONTEXT, MAX_RSS_KIB, ERROR_TYPE = range(1, 7)
LINK_FDS = 64
NO_ID = bytes(16)
HEADER = struct.Struct("<IIBBHI16s")


def encode(kind, ident=NO_ID, meta=None, body=b""):
    fields = b""
    for key, value in (meta or {}).items():
        if value is None:
            continue
        if isinstance(value, int):
            value = struct.pack("<Q", value)
        elif isinstance(value, str):
            value = value.encode()
        fields += struct.pack("<HHI", key, 0, len(value)) + value
    return HEADER.pack(len(body), len(fields), kind, 1, 0, 0, ident) + fields + body


class Frame:
    def __init__(self, kind, ident, meta, body):
        self.kind, self.id, self.meta, self.body = kind, ident, meta, body

    @property
    def json(self):
        return json.loads(self.body)

    def number(self, key):
        return struct.unpack("<Q", self.meta[key])[0]

    def __repr__(self):
        return "Frame(%d, %s, %r)" % (self.kind, self.meta, self.body[:300])


class Decoder:
    """Bytes in, frames out."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        self.data += data

    def frame(self):
        if len(self.data) < HEADER.size:
            return None
        body_n, meta_n, kind, version, _, _, ident = HEADER.unpack_from(self.data)
        assert version == 1
        total = HEADER.size + meta_n + body_n
        if len(self.data) < total:
            return None
        meta, at = {}, HEADER.size
        while at < HEADER.size + meta_n:
            key, _, n = struct.unpack_from("<HHI", self.data, at)
            meta[key] = bytes(self.data[at + 8 : at + 8 + n])
            at += 8 + n
        body = bytes(self.data[at:total])
        del self.data[:total]
        return Frame(kind, ident, meta, body)


class Closed(Exception):
    pass


class Lane:
    """The gate's end of a lane: what lane.c does, for tests."""

    def __init__(self, sock, pipe):
        self.sock, self.pipe = sock, pipe
        self.sock.setblocking(False)
        os.set_blocking(self.pipe, False)
        self.decoder = Decoder()
        self.printed = bytearray()
        self.closed = False

    @property
    def output(self):
        return bytes(self.printed)

    def drain(self):
        while True:
            try:
                data = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                return
            self.printed += data

    def send(self, data, timeout=60):
        view, end = memoryview(data), time.monotonic() + timeout
        while view:
            assert time.monotonic() < end, "the worker does not read"
            select.select([self.pipe], [self.sock], [], 1)
            self.drain()
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                pass

    def receive(self, timeout=60):
        end = time.monotonic() + timeout
        while True:
            frame = self.decoder.frame()
            if frame:
                self.drain()
                return frame
            assert time.monotonic() < end, "the worker says nothing; it printed %r" % self.output
            select.select([self.sock, self.pipe], [], [], 1)
            self.drain()
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                continue
            if not data:
                self.closed = True
                self.drain()
                raise Closed(self.output.decode("utf-8", "replace"))
            self.decoder.feed(data)

    def invoke(self, event, deadline_ms=None, body=None, ident=None, **meta):
        ident = ident or uuid.uuid4().bytes
        fields = {DEADLINE_MS: deadline_ms or int(time.time() * 1000) + 30000,
                  ARN: meta.get("arn", "arn:aws:lambda:us-east-1:000000000000:function:test"),
                  TRACE: meta.get("trace"), CLIENT_CONTEXT: meta.get("client_context")}
        body = json.dumps(event).encode() if body is None else body
        self.send(encode(INVOKE, ident, fields, body))
        frame = self.receive()
        assert frame.id == ident
        return frame

    def close(self):
        self.sock.close()
        os.close(self.pipe)


class Worker(Lane):
    """wick-python started by hand, as the node would."""

    def __init__(self, folder, handler="app.handler", env=None, program=None):
        ours, theirs = socket.socketpair()
        out_r, out_w = os.pipe()
        environment = {
            "_HANDLER": handler, "LAMBDA_TASK_ROOT": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
            "HOME": str(folder), "TMPDIR": "/tmp", "AWS_LAMBDA_FUNCTION_NAME": "test",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/test", "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[$LATEST]0",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret"}
        environment.update(env or {})
        low = theirs.fileno()

        def in_child():
            os.dup2(low, 3, inheritable=True)

        self.process = subprocess.Popen(
            [str(program or BUILD / "src/runtime/wick-python")], env=environment, cwd=str(folder),
            stdin=subprocess.DEVNULL, stdout=out_w, stderr=out_w, close_fds=True, pass_fds=(3,),
            preexec_fn=in_child, start_new_session=True)
        theirs.close()
        os.close(out_w)
        super().__init__(ours, out_r)

    def wait(self, timeout=60):
        """The exit status; drains the output meanwhile."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, "the worker does not end"
            select.select([self.pipe], [], [], 0.02)
            self.drain()
        self.drain()
        return self.process.returncode

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
