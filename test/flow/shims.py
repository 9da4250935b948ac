"""A boxed worker of wick-runtime (provided, native, web), driven over its lane: what the tests of these runtimes share.
Streams are spoken frame by frame, as the gate would."""

import contextlib
import fcntl
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
import uuid

import pytest

import lane
import zygote

INVOKE, READY, RESULT, ERROR, CHUNK, HEAD, BOXED, END, WINDOW_MORE, CANCEL = range(1, 11)
STREAM, CONCURRENCY, METHOD, TARGET, HEADER, STATUS, WINDOW = 7, 8, 10, 11, 12, 13, 15
FRAME_WINDOW, CHUNK_MAX = 256 << 10, 64 << 10
RUNTIME = lane.BUILD / "src/runtime/wick-runtime"
LIBWICK = lane.BUILD / "src/runtime/libwick.a"
INCLUDE = lane.ROOT / "include"


def fields(pairs):
    """meta of [(key, value)], where keys may come again."""
    out = b""
    for key, value in pairs:
        if value is None:
            continue
        if isinstance(value, int):
            value = struct.pack("<Q", value)
        elif isinstance(value, str):
            value = value.encode()
        out += struct.pack("<HHI", key, 0, len(value)) + value
    return out


def frame(kind, ident=lane.NO_ID, pairs=(), body=b""):
    meta = fields(pairs)
    return lane.HEADER.pack(len(body), len(meta), kind, 1, 0, 0, ident) + meta + body


class Frame:
    def __init__(self, kind, ident, pairs, body):
        self.kind, self.id, self.pairs, self.body = kind, ident, pairs, body
        self.meta = dict(pairs)

    @property
    def json(self):
        import json

        return json.loads(self.body)

    @property
    def type(self):
        return self.meta[lane.ERROR_TYPE].decode()

    @property
    def headers(self):
        out = {}
        for key, value in self.pairs:
            if key == HEADER:
                name, _, text = value.decode().partition(": ")
                out.setdefault(name.lower(), []).append(text)
        return out

    def number(self, key):
        return struct.unpack("<Q", self.meta[key])[0]

    def __repr__(self):
        return "Frame(%d, %s, %r)" % (self.kind, self.pairs, self.body[:300])


class Decoder(lane.Decoder):
    def frame(self):
        if len(self.data) < lane.HEADER.size:
            return None
        body_n, meta_n, kind, version, _, _, ident = lane.HEADER.unpack_from(self.data)
        assert version == 1
        total = lane.HEADER.size + meta_n + body_n
        if len(self.data) < total:
            return None
        pairs, at = [], lane.HEADER.size
        while at < lane.HEADER.size + meta_n:
            key, _, n = struct.unpack_from("<HHI", self.data, at)
            pairs.append((key, bytes(self.data[at + 8 : at + 8 + n])))
            at += 8 + n
        body = bytes(self.data[at:total])
        del self.data[:total]
        return Frame(kind, ident, pairs, body)


class Worker(lane.Lane):
    """The folder is at /var/task, its subfolder opt, if there is one, at /opt."""

    def __init__(self, folder, argv, env=None):
        environment = {
            "LAMBDA_TASK_ROOT": "/var/task", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp",
            "TMPDIR": "/tmp", "AWS_LAMBDA_FUNCTION_NAME": "test", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_REGION": "us-east-1", "WICK_CONCURRENCY": "1", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
            "PORT": "8080", "_HANDLER": "bootstrap", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/test", "AWS_LAMBDA_LOG_STREAM_NAME": "log", **(env or {})}
        ops = zygote.root_ops(
            folder, extra=[zygote.op("BIND", "/opt", os.path.join(folder, "opt"), flags=zygote.EXEC | zygote.OPTIONAL)],
            rest=[zygote.op("LISTEN", value=9000)])
        plan = zygote.plan(ops, argv, ["%s=%s" % pair for pair in environment.items()], cwd="/var/task")
        parent = lane.zygote_of(RUNTIME)
        ours, theirs = socket.socketpair()
        out_r, out_w = os.pipe()
        parent.send(zygote.FORK, plan, [theirs.fileno(), out_w])
        theirs.close()
        os.close(out_w)
        packet = parent.receive()
        assert packet.type == zygote.FORKED, packet.text
        self.pid, self.pidfd, self.status = packet.pid, packet.fds[0], None
        super().__init__(ours, out_r)
        self.decoder = Decoder()
        self.sock.setblocking(True)
        self.sock.settimeout(60)
        data, fds, _, _ = socket.recv_fds(self.sock, lane.HEADER.size, 4)
        for fd in fds:
            os.close(fd)
        self.sock.setblocking(False)
        self.decoder.feed(data)
        boxed = self.receive()
        assert boxed.kind == BOXED, (boxed, self.output)

    def ready(self):
        first = self.receive()
        assert first.kind == READY, (first, self.output)
        return first

    def ready_at_last(self):
        """READY, whatever it said before of why it is not."""
        f = self.receive()
        while f.kind == ERROR and f.id == lane.NO_ID:
            f = self.receive()
        assert f.kind == READY, (f, self.output)
        return f

    def init_error(self):
        first = self.receive()
        assert first.kind == ERROR and first.id == lane.NO_ID, (first, self.output)
        assert first.type == first.json["errorType"]
        return first.json

    def ask(self, event=b"{}", ident=None, pairs=(), stream=False):
        """Sends an INVOKE; its id."""
        ident = ident or uuid.uuid4().bytes
        self.send(frame(INVOKE, ident, [
            (lane.DEADLINE_MS, int(time.time() * 1000) + 30000),
            (lane.ARN, "arn:aws:lambda:us-east-1:000000000000:function:test"), (STREAM, 1 if stream else None), *pairs],
            event))
        return ident

    def call(self, event=b"{}", **kw):
        ident = self.ask(event, **kw)
        answer = self.receive()
        assert answer.id == ident and answer.kind in (RESULT, ERROR), answer
        return answer

    def unread(self):
        """Bytes in the socket."""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)))[0]

    def dies(self):
        """Nothing more is said, the lane is closed; the worker's status, 128 and more for a signal."""
        with pytest.raises(lane.Closed):
            f = self.receive()
            assert False, f
        return self.wait()

    def give(self, ident, n):
        self.send(frame(WINDOW_MORE, ident, [(WINDOW, n)]))

    def stream(self, ident, timeout=60):
        """(HEAD or None, all bytes, the last frame), giving window back as it is used."""
        head, data = None, bytearray()
        while True:
            f = self.receive(timeout)
            assert f.id == ident, f
            if f.kind == HEAD:
                assert head is None and not data
                head = f
            elif f.kind == CHUNK:
                assert len(f.body) <= CHUNK_MAX
                data += f.body
                self.give(ident, len(f.body))
            else:
                return head, bytes(data), f

    def quiet(self, seconds=0.2):
        """No frame comes: what has to be waited out."""
        if self.decoder.frame() is not None:
            return False
        return not select.select([self.sock], [], [], seconds)[0]

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status

    def wait(self, timeout=60):
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
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


@contextlib.contextmanager
def folder_for_all():
    """A folder that the zygotes' unprivileged user can read, unlike pytest's own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wick-shim-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def put(folder, name, text, mode=0o755):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    for part in (folder, *path.relative_to(folder).parents):
        (folder / part).chmod(0o755)
    return path


def compile_c(source, output, *args):
    """With the machine's C compiler; source is a path."""
    subprocess.run([shutil.which("gcc") or "cc", "-O1", "-Wall", "-Werror", "-I", INCLUDE, "-o", output, source, *args],
                   check=True)
