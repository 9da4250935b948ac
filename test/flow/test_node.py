"""wick-node over its link, with the test as the gate: workers started, stopped, measured and cleaned up after.
Needs: the built wick-node and wick-python."""

import array
import base64
import hashlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import uuid
import zipfile

import pytest

import lane

FREEZE = 39  # link/messages.h
ECHO = "def handler(event, context):\n    return event\n"


def until(condition, what, timeout=60):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def package(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            z.writestr(zipfile.ZipInfo(name), text)  # of a fixed date: equal input, equal SHA-256
    return data.getvalue()


def sha(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def ready(w):
    """A worker's first words: its box is closed, it has initialised."""
    frame = w.receive()
    assert frame.kind == lane.BOXED, (frame, w.output)
    frame = w.receive()
    assert frame.kind == lane.READY, (frame, w.output)
    return True


def in_box(pid):
    """Processes of the pid namespace whose first one this is, by their numbers here."""
    box, found = os.readlink("/proc/%d/ns/pid" % pid), []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink("/proc/%s/ns/pid" % p) == box and alive(int(p)):
                found.append(int(p))
        except OSError:
            pass
    return found


def settled(pid, n):
    """The same, once there are so many: what starts a daemon goes a moment after it."""
    until(lambda: len(in_box(pid)) == n, "%d processes in the box" % n)
    return in_box(pid)


class Exited(Exception):
    pass


class Gate:
    """The gate's end of the link."""

    def __init__(self, path, folder):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.folder = folder
        self.decoder, self.fds, self.waiting, self.lanes = lane.Decoder(), [], [], []
        self.send(lane.HELLO, body={"protocol": 1})
        self.hello = self.expect(lane.HELLO).json

    def send(self, kind, ident=lane.NO_ID, body=None, fds=()):
        data = lane.encode(kind, ident, {lane.LINK_FDS: len(fds)} if fds else None,
                           json.dumps(body).encode() if body is not None else b"")
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        self.sock.sendall(data[sent:])

    def receive(self, timeout=60):
        self.sock.settimeout(timeout)
        while True:
            frame = self.decoder.frame()
            if frame:
                n = frame.number(lane.LINK_FDS) if lane.LINK_FDS in frame.meta else 0
                frame.fds, self.fds = self.fds[:n], self.fds[n:]
                return frame
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 8)
            if not data:
                raise EOFError
            self.fds += fds
            self.decoder.feed(data)

    def expect(self, kind, ident=None):
        """The next message of that kind (for that worker); others that come first are kept."""
        for i, frame in enumerate(self.waiting):
            if frame.kind == kind and ident in (None, frame.id):
                return self.waiting.pop(i)
        while True:
            frame = self.receive()
            if frame.kind == kind and ident in (None, frame.id):
                return frame
            if frame.kind in (lane.FAILED, lane.EXITED) and frame.id == ident:
                raise Exited(frame)
            if frame.kind != lane.STATUS:
                self.waiting.append(frame)

    def order(self, files=None, data=None, env=None, zip_fd=True, **function):
        """Sends START; the worker's id."""
        data = data if data is not None else package(files or {"app.py": ECHO})
        document = {"name": "test", "version": "$LATEST", "runtime": "python3.11", "handler": "app.handler",
                    "arn": "arn:aws:lambda:us-east-1:000000000000:function:test", "timeout_s": 3, "memory_mb": 128,
                    "ephemeral_mb": 512, "code_sha256": sha(data), "state": "Active", "architecture": "x86_64",
                    "package_type": "Zip", "role": "arn:aws:iam::000000000000:role/r", "env": {}, "tags": {},
                    "layers": []}
        document.update(function)
        environment = {"AWS_LAMBDA_FUNCTION_NAME": "test", **(env or {})}
        ident = uuid.uuid4().bytes
        fds = []
        if zip_fd:
            path = self.folder / (ident.hex() + ".zip")
            path.write_bytes(data)
            fds = [os.open(path, os.O_RDONLY)]
        self.send(lane.START, ident, {"function": document, "env": environment, "region": "us-east-1"}, fds)
        for fd in fds:
            os.close(fd)
        return ident

    def started(self, ident):
        frame = self.expect(lane.STARTED, ident)
        assert len(frame.fds) == 2 and frame.json["pid"] > 0 and frame.json["prepare_us"] >= 0
        w = lane.Lane(socket.socket(fileno=frame.fds[0]), frame.fds[1])
        w.id, w.pid = ident, frame.json["pid"]
        self.lanes.append(w)
        return w

    def worker(self, *args, **kwargs):
        w = self.started(self.order(*args, **kwargs))
        assert ready(w)
        return w

    def failed(self, *args, **kwargs):
        ident = self.order(*args, **kwargs)
        return self.expect(lane.FAILED, ident).json

    def exited(self, w):
        frame = self.expect(lane.EXITED, w.id).json
        assert not alive(w.pid)
        return frame

    def close(self):
        self.sock.close()
        for w in self.lanes:
            w.close()
        self.lanes = []


class Node:
    def __init__(self, folder, **env):
        self.folder, self.data, self.socket = folder, folder / "data", folder / "node.sock"
        self.data.mkdir(exist_ok=True)
        self.environment = {**os.environ, "WICK_LIBEXEC": str(lane.BUILD / "src/runtime"), "WICK_LOG_LEVEL": "debug",
                            **env}
        self.gates = []
        self.start()

    def start(self):
        self.process = subprocess.Popen([lane.BUILD / "src/node/wick-node", "--data", self.data, "--socket",
                                         self.socket], env=self.environment, stderr=subprocess.PIPE)
        said = b""
        while b"ready" not in said:
            line = self.process.stderr.readline()
            assert line, said
            said += line

    def gate(self):
        g = Gate(self.socket, self.folder)
        self.gates.append(g)
        return g

    def stop(self):
        for g in self.gates:
            g.close()
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        assert b"ERROR: AddressSanitizer" not in err and b"runtime error" not in err, err
        assert not self.socket.exists()

    @property
    def code(self):
        return self.data / "node/code"


@pytest.fixture
def node(tmp_path):
    n = Node(tmp_path)
    yield n
    n.stop()


@pytest.fixture
def gate(node):
    return node.gate()


def test_hello_says_who_it_is(gate):
    assert gate.hello["protocol"] == 1
    assert gate.hello["memory_mb"] > 0 and gate.hello["cpus"] > 0 and gate.hello["name"]
    status = gate.expect(lane.STATUS).json
    assert status["workers"] == 0 and 0 < status["memory_free_mb"] <= gate.hello["memory_mb"]


def test_the_socket_is_for_its_owner(node):
    assert node.socket.stat().st_mode & 0o777 == 0o600


def test_a_worker_lives_answers_and_goes_when_its_lane_is_closed(node, gate):
    w = gate.worker()
    assert w.invoke({"a": 1}).json == {"a": 1}
    w.sock.close()
    e = gate.exited(w)
    assert e["exit"] == 0 and "oom" not in e and e["cpu_us"] > 0 and e["max_rss_kib"] > 1000


SEES = """
import os
def handler(event, context):
    fds = {fd: os.readlink('/proc/self/fd/' + fd).split(':')[0] for fd in os.listdir('/proc/self/fd')
           if os.path.exists('/proc/self/fd/' + fd)}
    with open('/proc/self/oom_score_adj') as f:
        oom = int(f.read())
    return {'env': dict(os.environ), 'fds': fds, 'cwd': os.getcwd(), 'oom': oom, 'sid': os.getsid(0) == os.getpid(),
            'write': os.access('app.py', os.W_OK), 'mode': os.stat('app.py').st_mode & 0o777}
"""


def test_what_a_worker_finds(node, gate):
    w = gate.worker({"app.py": SEES}, env={"MINE": "1", "TZ": "Europe/Berlin", "LAMBDA_TASK_ROOT": "/etc"})
    r = w.invoke(0).json
    env = r["env"]
    assert env["MINE"] == "1" and env["TZ"] == "Europe/Berlin" and env["_HANDLER"] == "app.handler"
    assert env["LANG"] == "C.UTF-8" and "/usr/bin" in env["PATH"] and env["LAMBDA_RUNTIME_DIR"]
    assert env["TMPDIR"] == env["HOME"] == "/tmp"
    assert env["LAMBDA_TASK_ROOT"] == r["cwd"] == "/var/task"
    assert [name for name in env if name.startswith("WICK_")] == ["WICK_CONCURRENCY"]
    assert r["oom"] == 1000 and r["mode"] == 0o444 and not r["write"]
    # Its three, and the lane out of the way; nothing of the node's.
    assert r["fds"]["0"] == "/dev/null" and r["fds"]["1"] == r["fds"]["2"] == "pipe"
    assert sorted(r["fds"].values()) == ["/dev/null", "pipe", "pipe", "socket"]


def test_several_workers_share_one_unpacking(node, gate):
    ids = [gate.order() for _ in range(5)]
    workers = [gate.started(ident) for ident in ids]
    for w in workers:
        assert ready(w)
    assert len([p for p in node.code.iterdir() if not p.name.startswith(".")]) == 1
    # What is unpacked is needed no more.
    assert gate.worker(zip_fd=False).invoke(5).json == 5


def test_packages_stay_for_the_next_life(node, gate):
    gate.worker()
    gate.close()
    node.stop()
    node.start()
    assert node.gate().worker(zip_fd=False).invoke(1).json == 1


def test_leftovers_of_an_earlier_life_are_removed(node, gate):
    w = gate.worker({"app.py": STUBBORN})
    w.invoke("daemon"), w.invoke("fork")
    box = settled(w.pid, 3)
    node.process.kill()
    node.process.communicate()
    until(lambda: not any(map(alive, box)), "what a worker started outlives the node")
    (node.code / ".new-x").mkdir()
    node.start()
    assert not (node.code / ".new-x").exists()


@pytest.mark.parametrize("kwargs, kind, message", [
    ({"runtime": "cobol"}, "Runtime.Unsupported", "cobol"),
    ({"code_sha256": sha(b"other")}, "Runtime.InvalidCode", "another SHA-256"),
    ({"code_sha256": "../../etc"}, "Runtime.InvalidCode", "no SHA-256"),
    ({"zip_fd": False}, "Runtime.InvalidCode", "did not come"),
    ({"data": b"no zip at all"}, "Runtime.InvalidCode", "unpack the code package"),
    ({"files": {"../out.py": "x"}}, "Runtime.InvalidCode", "out.py"),
    ({"env": {"A=B": "x"}}, "Runtime.InvalidEnvironment", "A=B"),
    ({"env": {"A": 1}}, "Runtime.InvalidEnvironment", "not a string"),
    ({"env": {"A": "x\0y"}}, "Runtime.InvalidEnvironment", "NUL"),
    ({"memory_mb": "much"}, None, ""),
])
def test_what_cannot_be_started(node, gate, kwargs, kind, message):
    if kind is None:  # of its form or its default: never a crash
        ident = gate.order(**kwargs)
        while gate.receive().id != ident:
            pass
    else:
        f = gate.failed(**kwargs)
        assert f["type"] == kind and message in f["error"], f
    assert gate.worker().invoke(1).json == 1
    assert not [p for p in node.code.iterdir() if p.name.startswith(".new")]


def test_a_runtime_that_is_not_installed(tmp_path):
    n = Node(tmp_path, WICK_LIBEXEC=str(tmp_path / "none") + ":" + str(tmp_path))
    f = n.gate().failed()
    assert f["type"] == "Runtime.Unavailable" and "wick-python" in f["error"]
    n.stop()


STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *a: print('asked', flush=True))
def handler(event, context):
    if event == 'fork':
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pause()
        return pid
    if event == 'daemon':
        r, w = os.pipe()
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid:
                os.write(w, b'%d' % pid)
                os._exit(0)
            while True:
                signal.pause()
        return int(os.read(r, 100))
    while True:
        signal.pause()
"""


TICKS = """
import threading
n = 0
def tick():
    global n
    while True:
        n += 1
def handler(event, context):
    if not n:
        threading.Thread(target=tick, daemon=True).start()
    return n
"""


def cpu(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def stands_still(pid):
    """No CPU in a time in which a busy thread has used a good deal of it."""
    before, end = cpu(pid), time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    return cpu(pid) == before


def test_stop_at_once_takes_all_in_the_box(gate):
    w = gate.worker({"app.py": STUBBORN})
    w.invoke("fork"), w.invoke("daemon")
    box = settled(w.pid, 3)
    other = gate.worker()
    assert other.pid not in box
    gate.send(lane.STOP, w.id, {"reason": "timeout", "grace_ms": 0})
    assert gate.exited(w)["signal"] == 9
    until(lambda: not any(map(alive, box)), "what it started stays")
    assert other.invoke(1).json == 1


def test_stop_with_grace(gate):
    w = gate.worker({"app.py": STUBBORN})
    gate.send(lane.STOP, w.id, {"reason": "drain", "grace_ms": 50})
    assert gate.exited(w)["signal"] == 9
    w.drain()
    assert b"asked" in w.output
    w = gate.worker()
    gate.send(lane.STOP, w.id, {"reason": "drain", "grace_ms": 600000})
    assert gate.exited(w)["signal"] == 15


def test_freezing(gate):
    w = gate.worker({"app.py": TICKS})
    w.invoke(0)
    gate.send(FREEZE, w.id, {"on": True})
    until(lambda: stands_still(w.pid), "it goes on")
    gate.send(FREEZE, w.id, {"on": False})
    assert w.invoke(0).json > 0
    until(lambda: not stands_still(w.pid), "it stays frozen")
    gate.send(FREEZE, w.id, {"on": True})
    gate.send(lane.STOP, w.id, {"reason": "idle", "grace_ms": 0})
    assert gate.exited(w)["signal"] == 9


def test_what_is_imported_is_loaded_by_a_zygote(node, gate):
    gate.worker({"app.py": "import PIL.Image, os, inner\ndef handler(e, c):\n    return 1\n", "inner.py": "import boto3"})

    def loaded():
        return [z["imports"] for z in gate.expect(lane.STATUS).json["zygotes"] if z["state"] == "loaded"]
    until(lambda: "PIL,boto3" in loaded(), "a zygote of these imports")
    node.process.send_signal(signal.SIGTERM)
    gate.close()
    node.process.communicate(timeout=60)
    learnt = json.loads((node.data / "node/learnt.json").read_text())
    assert learnt[0][1] == "PIL,boto3"
    node.start()


def test_stop_of_what_is_not_there(gate):
    gate.send(lane.STOP, uuid.uuid4().bytes, {"grace_ms": 0})
    ident = gate.order()
    gate.send(lane.STOP, ident, {"grace_ms": 0})
    try:
        assert gate.expect(lane.FAILED, ident).json["type"] == "Runtime.Stopped"
    except Exited as e:
        assert e.args[0].json["signal"] == 9


def test_exit_status_of_every_kind(gate):
    source = {"app.py": "import os, sys\ndef handler(e, c):\n    print('said'); eval(e)\n"}
    for code, key, value in (("sys.exit(3)", "exit", 3), ("os._exit(0)", "exit", 0), ("os.abort()", "signal", 6)):
        w = gate.worker(source)
        with pytest.raises(lane.Closed):
            w.invoke(code)
        assert w.output == b"said\n"
        assert gate.exited(w)[key] == value


HUNGRY = """
import os
def handler(event, context):
    hold = []
    if event == 'fork':
        shared = bytearray(os.urandom(1)) * (60 << 20)
        r, w = os.pipe()
        for i in range(4):
            if os.fork() == 0:
                os.close(w)
                os.read(r, 1)
                os._exit(0)
        import time
        time.sleep(0.5)
        os.close(w)
        return len(shared)
    while True:
        hold.append(bytearray(b'x') * (4 << 20))
"""


def test_over_its_memory(gate):
    w = gate.worker({"app.py": HUNGRY}, memory_mb=128)
    with pytest.raises(lane.Closed):
        w.invoke(0)
    e = gate.exited(w)
    assert e["oom"] is True and e["signal"] == 9 and e["max_rss_kib"] > 128 * 1024


def test_memory_shared_by_forks_counts_once(gate):
    w = gate.worker({"app.py": HUNGRY}, memory_mb=128)
    assert w.invoke("fork").json == 60 << 20


def test_workers_end_with_the_link(node, gate):
    w = gate.worker({"app.py": STUBBORN})
    gate.sock.shutdown(socket.SHUT_RDWR)
    until(lambda: not alive(w.pid), "the worker stays")
    g = node.gate()
    assert g.worker().invoke(1).json == 1


def test_a_new_gate_takes_the_place_of_the_old(node, gate):
    w = gate.worker()
    g = node.gate()
    until(lambda: not alive(w.pid), "the worker of the old gate stays")
    with pytest.raises((EOFError, ConnectionResetError)):
        while True:
            gate.receive()
    assert g.worker().invoke(1).json == 1


def test_garbage_on_the_link(node):
    hello = lane.encode(lane.HELLO, body=b'{"protocol": 1}')
    for data in (b"GET / HTTP/1.1\r\n\r\n".ljust(100), lane.encode(lane.START, body=b"{"),
                 lane.encode(lane.START, meta={lane.LINK_FDS: 3}, body=b"{}"), b"\xff" * 64,
                 lane.encode(lane.START, meta={lane.LINK_FDS: 1 << 60})):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(str(node.socket))
            s.sendall(hello + data)
            try:
                while s.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(node.socket))
        s.sendall(lane.encode(lane.START, uuid.uuid4().bytes, body=b"{}"))  # before HELLO
    g = node.gate()
    g.send(99, body={"from": "the future"})
    g.send(lane.EXITED, body={})
    g.send(lane.START, uuid.uuid4().bytes)
    assert g.expect(lane.FAILED).json["type"] == "Runtime.InvalidFunction"
    g.send(lane.START, uuid.uuid4().bytes, [1])
    g.expect(lane.FAILED)
    assert g.worker().invoke(1).json == 1


def test_the_cache_is_bounded(tmp_path):
    n = Node(tmp_path, WICK_CODE_CACHE="1000000")
    g = n.gate()
    used = g.worker({"app.py": ECHO, "pad": os.urandom(600000)})
    for i in range(3):
        w = g.worker({"app.py": ECHO, "pad": os.urandom(600000)})
        w.sock.close()
        g.exited(w)
    until(lambda: len([p for p in n.code.iterdir() if p.name != ".boot"]) == 1, "unused code stays")
    assert used.invoke(1).json == 1
    n.stop()


def test_sigterm_ends_everything(node, gate):
    w = gate.worker({"app.py": STUBBORN})
    w.invoke("daemon")
    box = settled(w.pid, 2)
    node.process.send_signal(signal.SIGTERM)
    until(lambda: node.process.poll() is not None, "the node stays")
    assert not any(map(alive, box))


def test_a_second_node_on_the_same_socket(node, gate):
    w = gate.worker()
    r = subprocess.run([lane.BUILD / "src/node/wick-node", "--data", node.data, "--socket", node.socket],
                       capture_output=True, timeout=60)
    assert r.returncode == 1 and b"in use" in r.stderr
    assert w.invoke(1).json == 1


def test_settings(tmp_path):
    program = lane.BUILD / "src/node/wick-node"

    def run(*args):
        return subprocess.run([program, *args], capture_output=True, timeout=60, env={}, cwd=tmp_path)

    assert run("--help").returncode == 0 and b"--socket" in run("--help").stdout
    for args in ([], ["--data", "x"], ["--nonsense"], ["--data", "/proc/nope", "--socket", str(tmp_path / "s")],
                 ["--data", str(tmp_path), "--socket", "/nonexistent/s"],
                 ["--data", "x", "--socket", "y", "--log-level", "loud"],
                 ["--data", "x", "--socket", "y", "--worker-memory", "-1"], ["x"]):
        r = run(*args)
        assert r.returncode == 1 and r.stderr.startswith(b"wick-node: ") and r.stderr.count(b"\n") == 1, (args, r)
