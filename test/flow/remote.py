"""What the tests of nodes on other machines share: gateways and nodes in folders of their own, with nothing between them
but a TCP connection; an HTTP proxy between that can be cut. The fixtures are imported by the tests that use them."""
import json
import os
import pathlib
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
            self.process = subprocess.Popen(self.command() + [BUILD / "wick", "node", "--data", self.data, *map(str, args)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                            start_new_session=True)

    def command(self):
        """What it is run by."""
        return []

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


def free_address():
    """One that stays the same when the gate dies and is started again."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return f"127.0.0.1:{s.getsockname()[1]}"


@pytest.fixture
def gateway(new_wick):
    """Whose own node has no room: everything runs elsewhere."""
    return new_wick("--nodes", free_address(), "--worker-memory", "1m")


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
