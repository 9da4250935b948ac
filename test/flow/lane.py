"""Frames in Python (src/wire/frame.h), and a worker driven over its lane without a gate: what the tests of the
runtimes and of the node share."""

import json
import os
import pathlib
import select
import signal
import socket
import struct
import time
import uuid

import zygote

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WICK_BUILD", ROOT / "build")).resolve()

INVOKE, READY, RESULT, ERROR, CHUNK, HEAD, BOXED = range(1, 8)
HELLO, START, STOP, STARTED, FAILED, EXITED, STATUS = range(32, 39)
DEADLINE_MS, ARN, TRACE, CLIENT_CONTEXT, MAX_RSS_KIB, ERROR_TYPE, STREAM, CONCURRENCY, IMPORTS = range(1, 10)
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


_zygotes = {}


def zygote_of(program, imports=""):
    """A zygote for the whole run of the tests; it ends with this process, which holds its socket."""
    key = (str(program), imports)
    if key not in _zygotes or _zygotes[key].process.poll() is not None:
        args = ["--uid", "65534", "--gid", "65534"] if os.geteuid() == 0 else []
        if imports:
            args += ["--import", imports]
        _zygotes[key] = zygote.Zygote(program, *args)
    return _zygotes[key]


class Worker(Lane):
    """A boxed worker of wick-python, forked from its zygote as the node would. The folder is at /var/task, its
    subfolder opt, if there is one, at /opt."""

    def __init__(self, folder, handler="app.handler", env=None, program=None, imports="", how="worker", parent=None,
                 fds=(), extra=(), on_forked=None):
        environment = {
            "_HANDLER": handler, "LAMBDA_TASK_ROOT": "/var/task", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
            "HOME": "/tmp", "TMPDIR": "/tmp", "TZ": ":UTC", "AWS_LAMBDA_FUNCTION_NAME": "test",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/test", "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[$LATEST]0",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret"}
        environment.update(env or {})
        nested = how == "restore" and parent is not None  # in the snapshot's box
        ops = zygote.root_ops(
            "/var/task" if nested else folder,
            extra=[zygote.op("BIND", "/opt", "/opt" if nested else os.path.join(folder, "opt"),
                             flags=zygote.EXEC | zygote.OPTIONAL), *extra],
            rest=[zygote.op("LISTEN", value=9000)], landlock=how == "worker",
            profile=zygote.SNAPSHOT if how == "snapshot" else zygote.WORKER)
        plan = zygote.plan(ops, [how], ["%s=%s" % pair for pair in environment.items()], cwd="/var/task",
                           n_fds=2 + len(fds))
        self.zygote = parent or zygote_of(program or BUILD / "src/runtime/wick-python", imports)
        ours, theirs = socket.socketpair()
        out_r, out_w = os.pipe()
        ident = uuid.uuid4().bytes
        self.zygote.send(zygote.FORK, plan, [theirs.fileno(), out_w, *fds], ident)
        theirs.close()
        os.close(out_w)
        packet = self.zygote.receive()
        assert packet.type == zygote.FORKED and packet.id == ident, packet.text
        if on_forked:
            on_forked()
        # CLONE_PARENT makes a zygote's workers children of this process; those of a snapshot are its own.
        self.pid, self.pidfd, self.own_child = packet.pid, packet.fds[0], not nested
        self.status, self.ident, self.listener = None, ident, None
        super().__init__(ours, out_r)
        frame = self.receive_boxed()
        assert frame.kind == BOXED, (frame, self.output)

    def receive_boxed(self):
        """BOXED is the first frame and brings the socket on which the box reaches Wick's API."""
        self.sock.setblocking(True)
        self.sock.settimeout(60)
        data, fds, _, _ = socket.recv_fds(self.sock, HEADER.size, 4)
        if fds:
            self.listener = socket.socket(fileno=fds[0])
        self.sock.setblocking(False)
        self.decoder.feed(data)
        return self.receive()

    def ended(self):
        """Its wait status, once it has ended."""
        if self.status is None and self.own_child:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        elif self.status is None and select.select([self.pidfd], [], [], 0)[0]:
            packet = self.zygote.receive()
            assert packet.type == zygote.EXITED and packet.id == self.ident, packet.type
            self.status = packet.status
        return self.status

    def wait(self, timeout=60):
        """The exit status; drains the output meanwhile."""
        end = time.monotonic() + timeout
        while self.ended() is None:
            assert time.monotonic() < end, "the worker does not end"
            select.select([self.pipe], [], [], 0.02)
            self.drain()
        self.drain()
        return os.waitstatus_to_exitcode(self.status)

    def stop(self):
        if self.status is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            self.wait()
        os.close(self.pidfd)
        if self.listener:
            self.listener.close()
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
