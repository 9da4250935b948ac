"""Nodes on other machines: `wick serve --nodes` and `wick node --join`, each in folders of their own, with nothing between
them but a TCP connection; and a proxy between that the tests cut."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

from conftest import BUILD, until

APP = """
import os, sys, time, uuid
import boto3
ID = uuid.uuid4().hex
def handler(event, context):
    print("ran", event.get("n"))
    if "sleep" in event: time.sleep(event["sleep"])
    if "exit" in event: os._exit(event["exit"])
    if "print" in event: sys.stdout.write(("x" * 1023 + "\\n") * event["print"])
    if "echo" in event: return event["echo"]
    if "buckets" in event: return [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]]
    if "put" in event:
        s3 = boto3.client("s3")
        s3.put_object(Bucket=event["put"], Key="k", Body=b"y" * event["size"])
        return len(s3.get_object(Bucket=event["put"], Key="k")["Body"].read())
    return {"id": ID, "left": context.get_remaining_time_in_millis()}
"""


class Proxy:
    """An HTTP proxy that knows CONNECT; cut() ends what goes through it and refuses more until mend()."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.open, self.pairs, self.lock, self.connects = True, [], threading.Lock(), 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                more = near.recv(4096)
                if not more:
                    return near.close()
                head += more
            with self.lock:
                self.connects += 1
                if not self.open:
                    near.sendall(b"HTTP/1.1 502 Cut\r\n\r\n")
                    return near.close()
            host, port = head.split()[1].decode().rsplit(":", 1)
            far = socket.create_connection((host, int(port)))
            near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        except OSError:
            return near.close()
        with self.lock:
            self.pairs.append((near, far))
        for a, b in ((near, far), (far, near)):
            threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            self.open = False
            for pair in self.pairs:
                for s in pair:
                    try:
                        s.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs.clear()

    def mend(self):
        with self.lock:
            self.open = True

    def close(self):
        self.cut()
        self.listener.close()


class Node:
    """A running `wick node`."""

    def __init__(self, folder, *args, env=None):
        self.data = pathlib.Path(folder)
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.extra_env = env or {}
        self.start(*args)

    def start(self, *args):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("AWS_", "WICK_")) and not k.lower().endswith("_proxy")}
        env.update(self.extra_env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BUILD / "wick", "node", "--data", self.data, *map(str, args)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                            start_new_session=True)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def node_pid(self):
        """wick-node itself."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        for task in tasks.glob("*/children"):
            for pid in task.read_text().split():
                return int(pid)
        return None

    def workers(self):
        """Process ids of its boxed children."""
        found = []
        node = self.node_pid()
        for task in pathlib.Path(f"/proc/{node}/task").glob("*/children"):
            try:
                for pid in task.read_text().split():
                    if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid"):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def stop(self, signo=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signo)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                pytest.fail(f"wick node did not stop:\n{self.log()}")
        return self.process.returncode

    def reports(self):
        return [line for line in self.log().splitlines() if "ERROR: AddressSanitizer" in line or "runtime error:" in line
                or "ERROR: LeakSanitizer" in line or "Assertion" in line or "is still open" in line
                or "(Aborted)" in line or "(Segmentation" in line]


@pytest.fixture
def gateway(new_wick):
    """Whose own node has no room: everything runs elsewhere."""
    return new_wick("--nodes", "127.0.0.1:0", "--worker-memory", "1m")


@pytest.fixture
def new_node(tmp_path):
    made = []

    def make(*args, folder=None, **kw):
        made.append(Node(tmp_path / (folder or f"node{len(made)}"), *args, **kw))
        return made[-1]

    yield make
    for n in made:
        n.stop()
    for n in made:
        assert not n.reports(), n.log()


@pytest.fixture
def proxy():
    p = Proxy()
    yield p
    p.close()


def token(wick, *args):
    """What the line of `wick token` joins with."""
    out = wick.run("token", "--data", wick.data, *args)
    assert out.returncode == 0, out.stderr
    line = out.stdout.split()
    assert line[:2] == ["wick", "node"], out.stdout
    return line[2:]


def nodes(wick):
    out = wick.run("nodes", "--json", "--data", wick.data)
    assert out.returncode == 0, out.stderr
    doc = json.loads(out.stdout)
    return {n["name"]: n for n in doc["nodes"]}


def up(wick, name):
    return until(lambda: nodes(wick).get(name, {}).get("state") == "up", f"{name} to be up")


def joined(wick, new_node, name, *args, **kw):
    n = new_node(*token(wick), "--name", name, *args, **kw)
    until(lambda: f"as {name}" in n.log() or n.process.poll() is not None, "joining")
    assert n.process.poll() is None, n.log()
    up(wick, name)
    return n


def in_background(fn):
    """Runs it in a thread: its result's box, and the thread."""
    box = []

    def run():
        try:
            box.append(fn())
        except Exception as e:  # told to who asks
            box.append(e)

    t = threading.Thread(target=run)
    t.start()
    return box, t


def test_runs_elsewhere(gateway, new_node):
    n = joined(gateway, new_node, "gpu1")
    name = gateway.deploy(APP, Timeout=2)
    first, _ = gateway.invoke(name)
    again, _ = gateway.invoke(name)
    assert first["id"] == again["id"] and 0 < again["left"] <= 2000
    assert len(n.workers()) == 1 and not gateway.pids("wick-python")
    big = "x" * (5 << 20)
    assert gateway.invoke(name, {"echo": big})[0] == big
    bucket = gateway.bucket()
    assert bucket in gateway.invoke(name, {"buckets": 1})[0]
    assert gateway.invoke(name, {"put": bucket, "size": 3 << 20})[0] == 3 << 20
    timed_out, answer = gateway.invoke(name, {"sleep": 30, "n": "late"})
    assert answer["FunctionError"] and "timed out after 2.00 seconds" in timed_out["errorMessage"]
    ended, _ = gateway.invoke(name, {"exit": 3})
    assert "exit status 3" in ended["errorMessage"]
    fresh, _ = gateway.invoke(name)
    assert fresh["id"] != first["id"]
    gateway.invoke(name, {"print": 4096})  # 4 MiB
    until(lambda: gateway.run("logs", name).stdout.count("x" * 1023) == 4096, "all of its output")
    assert "ran late" in gateway.run("logs", name).stdout


def test_comes_back_without_a_token(gateway, new_node):
    line = token(gateway)
    n = new_node(*line, "--name", "gpu1")
    up(gateway, "gpu1")
    secret = line[line.index("--token") + 1]
    kept = list((n.data / "node" / "gates").iterdir())
    assert {p.stat().st_mode & 0o77 for p in kept} == {0}
    assert not any(secret in p.read_text() for p in n.data.rglob("*") if p.is_file())
    assert n.stop() == 0
    until(lambda: nodes(gateway)["gpu1"]["state"] == "away", "the node to be away")
    n.start()
    up(gateway, "gpu1")
    assert n.stop() == 0
    n.start(*line, "--name", "gpu1")  # the line that joined, with its used token: as in a unit file
    up(gateway, "gpu1")
    name = gateway.deploy(APP)
    assert gateway.invoke(name)[0]["id"]


def test_refusals(gateway, new_node, tmp_path):
    line = token(gateway, "--name", "gpu1")
    bad = list(line)
    bad[bad.index("--token") + 1] = "wickt_00000000_" + "x" * 43
    n = new_node(*bad, "--name", "gpu1")
    assert n.process.wait(30) == 1
    assert "token" in n.log().splitlines()[-1]
    n = new_node(*line, "--name", "gpu2")
    assert n.process.wait(30) == 1
    assert "gpu1" in n.log().splitlines()[-1]
    n = new_node(*line, "--name", "gpu1")
    up(gateway, "gpu1")
    assert gateway.run("node", "remove", "gpu1").returncode == 0
    assert n.process.wait(30) == 1
    assert "removed" in n.log()
    n = new_node("--join", "127.0.0.1:x", "--token", "t")
    assert n.process.wait(30) == 1
    assert "HOST:PORT" in n.log()
    n = new_node()
    assert n.process.wait(30) == 1
    assert "--join" in n.log()
    n = new_node("--join", "a:1", "--frobnicate", "x")
    assert n.process.wait(30) == 2


def test_wrong_fingerprint(gateway, new_node):
    line = token(gateway)
    line[line.index("--fingerprint") + 1] = "SHA256:" + "A" * 43
    n = new_node(*line, "--name", "gpu1")
    until(lambda: "SHA256:" + "A" * 43 in n.log().split("node warn", 1)[-1], "the mismatch to be told")
    assert "gpu1" not in nodes(gateway)


def test_connection_lost_and_found(gateway, new_node, proxy):
    """What runs while the connection is gone is answered when it is back; nothing runs twice."""
    joined(gateway, new_node, "gpu1", "--proxy", proxy.url)
    name = gateway.deploy(APP)
    before = gateway.invoke(name)[0]["id"]
    box, t = in_background(lambda: gateway.invoke(name, {"sleep": 1, "n": "during"}))
    until(lambda: "ran during" in gateway.run("logs", name).stdout, "it to run")
    proxy.cut()
    until(lambda: nodes(gateway)["gpu1"]["state"] == "away", "the node to be away")
    proxy.mend()
    t.join(60)
    assert box and box[0][0]["id"] == before
    assert gateway.run("logs", name).stdout.count("ran during") == 1
    assert gateway.invoke(name)[0]["id"] == before


def test_is_tried_often_while_workers_are_held(gateway, new_node, proxy):
    """An outage that lasts makes attempts no rarer than one or two a second, so that its end is seen within one."""
    joined(gateway, new_node, "gpu1", "--proxy", proxy.url)
    name = gateway.deploy(APP)
    before = gateway.invoke(name)[0]["id"]
    proxy.cut()
    until(lambda: nodes(gateway)["gpu1"]["state"] == "away", "the node to be away")
    refused = proxy.connects
    until(lambda: proxy.connects >= refused + 10, "ten attempts; ever rarer ones take more than half a minute", limit=20)
    proxy.mend()
    up(gateway, "gpu1")
    assert gateway.invoke(name)[0]["id"] == before


def test_gate_crashes(gateway, new_node):
    """Idle workers of a gate that died serve the next one."""
    n = joined(gateway, new_node, "gpu1")
    name = gateway.deploy(APP)
    before = gateway.invoke(name)[0]["id"]
    old = gateway.pids("wick-gate")
    os.kill(old[0], signal.SIGKILL)
    until(lambda: gateway.pids("wick-gate") not in (old, []) and gateway.ready(), "another gate")
    up(gateway, "gpu1")
    until(lambda: nodes(gateway)["gpu1"]["workers"] == 1, "the worker to be known")
    assert gateway.invoke(name)[0]["id"] == before
    assert len(n.workers()) == 1


def test_node_crashes(gateway, new_node):
    """What it had in hand is told at once, and what comes next runs."""
    n = joined(gateway, new_node, "gpu1")
    name = gateway.deploy(APP)
    gateway.invoke(name)
    box, t = in_background(lambda: gateway.invoke(name, {"sleep": 60, "n": "doomed"}))
    until(lambda: "ran doomed" in gateway.run("logs", name).stdout, "it to run")
    os.kill(n.node_pid(), signal.SIGKILL)
    t.join(30)
    assert box and "FunctionError" in box[0][1], box
    up(gateway, "gpu1")
    assert gateway.invoke(name)[0]["id"]


def test_node_is_stopped(gateway, new_node):
    n = joined(gateway, new_node, "gpu1")
    name = gateway.deploy(APP)
    gateway.invoke(name)
    box, t = in_background(lambda: gateway.invoke(name, {"sleep": 60, "n": "doomed"}))
    until(lambda: "ran doomed" in gateway.run("logs", name).stdout, "it to run")
    workers = n.workers()
    assert n.stop(signal.SIGINT) == 0
    t.join(30)
    assert box and "FunctionError" in box[0][1], box
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)


def test_gateway_stays_away(gateway, new_node, proxy):
    n = joined(gateway, new_node, "gpu1", "--proxy", proxy.url, "--gate-away", "500ms")
    name = gateway.deploy(APP)
    gateway.invoke(name)
    assert n.workers()
    proxy.cut()
    until(lambda: not n.workers(), "idle workers to be ended")
    until(lambda: "away for long" in n.log(), "the word of it")
    proxy.mend()
    up(gateway, "gpu1")
    assert gateway.invoke(name)[0]["id"]


def test_two_gateways(gateway, new_wick, new_node):
    other = new_wick("--nodes", "127.0.0.1:0", "--worker-memory", "1m")
    n = joined(gateway, new_node, "gpu1")
    n.stop()
    n.start(*token(other), "--name", "gpu1")
    up(gateway, "gpu1")
    up(other, "gpu1")
    a, b = gateway.deploy(APP), other.deploy(APP)
    assert gateway.invoke(a)[0]["id"] != other.invoke(b)[0]["id"]
    assert nodes(gateway)["gpu1"]["workers"] == nodes(other)["gpu1"]["workers"] == 1
    assert len(n.workers()) == 2
    os.kill(other.pids("wick-gate")[0], signal.SIGKILL)
    other.stop(signal.SIGKILL)
    assert gateway.invoke(a)[0]["id"]
