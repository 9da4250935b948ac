"""Twenty minutes of everything at once (`--long`): functions of every runtime, deploys, events, calls, memory pressure, and
kills of every process. Then: no event is lost, and no process, namespace, mount, control group or descriptor is left.
WICK_SOAK_SECONDS sets another length."""
import json
import os
import pathlib
import random
import re
import signal
import threading
import time

import botocore.exceptions
import pytest

from conftest import ROLE, until

SECONDS = float(os.environ.get("WICK_SOAK_SECONDS", "1200"))
GONE = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)

# Leaves an object for each event it has run.
MARK = """
import boto3, random
s3 = boto3.client("s3")
def handler(event, context):
    if event.get("mb"):
        hold = bytearray(event["mb"] << 20)
    s3.put_object(Bucket=BUCKET, Key="ran/" + event["id"], Body=b"1")
    if random.random() < 0.05:
        raise RuntimeError("now and then")
"""
PLAIN = "import os\ndef handler(event, context):\n    return {'pid': os.getpid(), 'n': REVISION}\n"
NODE = "exports.handler = async (event) => ({n: REVISION});\n"
SHELL = """#!/bin/sh
# The Runtime API by /dev/tcp is bash's; here every answer is the same.
exec /usr/bin/python3 /var/task/loop.py
"""
LOOP = """
import http.client, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    a = c.getresponse()
    a.read()
    c.request("POST", "/2018-06-01/runtime/invocation/%s/response" % a.headers["Lambda-Runtime-Aws-Request-Id"], "REVISION")
    c.getresponse().read()
"""
WEB = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", "1")
        self.end_headers()
        self.wfile.write(b"1")
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


class Zip(dict):
    """Files of a package, some of them executable."""

    def bytes(self):
        import io
        import zipfile
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            for name, text in self.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
                z.writestr(info, text)
        return out.getvalue()


def package(kind, revision):
    fill = lambda text: text.replace("REVISION", str(revision))
    if kind == "python":
        return Zip({"app.py": fill(PLAIN)})
    if kind == "nodejs":
        return Zip({"index.js": fill(NODE)})
    if kind == "provided":
        return Zip({"bootstrap": SHELL, "loop.py": fill(LOOP)})
    return Zip({"app.py": WEB, "revision": str(revision)})


CONF = {
    "python": dict(Runtime="python3.11", Handler="app.handler"),
    "nodejs": dict(Runtime="nodejs20.x", Handler="index.handler"),
    "provided": dict(Runtime="provided.al2023", Handler="bootstrap"),
    "web": dict(Runtime="provided.al2023", Handler="x",
                Tags={"wick:runtime": "web", "wick:command": "/usr/bin/python3 /var/task/app.py"}),
}


def groups_left():
    return [str(p) for name in GROUPS for p in pathlib.Path("/sys/fs/cgroup").glob("**/" + name)]


def mounts():
    return [m for m in pathlib.Path("/proc/self/mounts").read_text().splitlines() if "wick" in m]


NAMESPACES = set()  # of pids, of all boxes that were seen
GROUPS = set()      # names of the folders that held their control groups


def group_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def boxed(wick):
    """Processes of this server in a pid namespace that is not ours."""
    parents, mine = {}, os.readlink("/proc/self/ns/pid")
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents.setdefault(int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]), []).append(int(p.name))
        except OSError:
            pass
    found, todo = [], wick.pids("wick-node")
    while todo:
        for pid in parents.get(todo.pop(), []):
            todo.append(pid)
            try:
                space = os.readlink(f"/proc/{pid}/ns/pid")
            except OSError:
                continue
            if space != mine:
                NAMESPACES.add(space)
                GROUPS.update(re.findall(r"wick-[0-9a-f]+", group_of(pid)))
                found.append(pid)
    return found


def spaces_left(since):
    """Namespaces of ours that hold a process which began before: their numbers are given to others afterwards."""
    found = set()
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int((p / "stat").read_text().rsplit(")", 1)[1].split()[19]) <= since:
                found.add(os.readlink(p / "ns/pid"))
        except OSError:
            pass
    return found & NAMESPACES


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Storm:
    def __init__(self, wick, bucket):
        self.wick, self.bucket = wick, bucket
        self.end = time.monotonic() + SECONDS
        self.events, self.refused, self.calls, self.kills, self.failures = set(), 0, 0, 0, []
        self.lock = threading.Lock()

    def over(self):
        return time.monotonic() > self.end or self.failures

    def guarded(self, work):
        def run():
            rng = random.Random(threading.get_ident())
            while not self.over():
                try:
                    work(rng)
                except GONE:
                    with self.lock:
                        self.refused += 1
                except Exception as e:  # a test that fails says so, rather than stand still
                    self.failures.append(repr(e))
        return threading.Thread(target=run)

    def send_events(self, rng):
        lambda_ = self.wick.client("lambda")
        with self.lock:
            name = f"e{len(self.events) + self.refused}-{rng.random()}"
        lambda_.invoke(FunctionName="mark", InvocationType="Event",
                       Payload=json.dumps({"id": name, "mb": rng.choice([0, 0, 0, 60])}))
        with self.lock:
            self.events.add(name)
        time.sleep(rng.random() / 5)  # a pace, not a wait: nothing is expected of it

    def call(self, rng):
        kind = rng.choice(sorted(CONF))
        answer = self.wick.client("lambda", read_timeout=60).invoke(FunctionName="f-" + kind, Payload=b'{"x": 1}')
        answer["Payload"].read()
        with self.lock:
            self.calls += 1

    def deploy(self, rng):
        kind = rng.choice(sorted(CONF))
        self.wick.client("lambda").update_function_code(FunctionName="f-" + kind,
                                                        ZipFile=package(kind, rng.randrange(1 << 30)).bytes())
        time.sleep(rng.random())

    def kill(self, rng):
        victims = boxed(self.wick) if rng.random() < 0.7 else self.wick.pids(rng.choice(["wick-gate", "wick-node"]))
        if rng.random() < 0.2:
            victims = self.wick.zygotes()
        if victims:
            try:
                os.kill(rng.choice(victims), signal.SIGKILL)
                with self.lock:
                    self.kills += 1
            except ProcessLookupError:
                pass
        time.sleep(rng.random() * 2)


def keys(wick, bucket):
    pages = wick.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="ran/")
    return {o["Key"][4:] for page in pages for o in page.get("Contents", [])}


@pytest.mark.long
def test_soak_of_everything(new_wick):
    mounts_before = mounts()
    wick = new_wick("--worker-idle", "2s", "--zygote-idle", "5s", env={"WICK_RETRY_DELAY": "50ms"})
    bucket = wick.bucket()
    wick.deploy(MARK.replace("BUCKET", repr(bucket)), name="mark", MemorySize=512)
    for kind, conf in CONF.items():
        wick.client("lambda").create_function(FunctionName="f-" + kind, Role=ROLE, Timeout=30, MemorySize=512,
                                              Code={"ZipFile": package(kind, 0).bytes()}, **conf)
    until(lambda: not boxed(wick) and not wick.zygotes(), "nothing to run before anything is called")
    storm = Storm(wick, bucket)
    threads = [storm.guarded(w) for w in (storm.send_events, storm.send_events, storm.call, storm.call, storm.call,
                                          storm.deploy, storm.kill)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not storm.failures
    assert storm.events and storm.calls and storm.kills
    # An event that failed three times is kept, not lost: it is sent again.
    def all_ran():
        missing = storm.events - keys(wick, bucket)
        if missing:
            try:
                wick.run("events", "--redrive")
            except GONE:
                pass
        return not missing
    until(all_ran, "every event to have run", limit=300)
    until(lambda: not boxed(wick), "idle workers to end", limit=120)
    until(lambda: not wick.zygotes(), "idle zygotes to end", limit=120)
    gate, node = wick.pids("wick-gate")[0], wick.pids("wick-node")[0]
    until(lambda: descriptors(gate) < 40, f"the gate's descriptors to be closed: {os.listdir(f'/proc/{gate}/fd')}")
    until(lambda: descriptors(node) < 600, "the node's descriptors to be closed (those of pooled groups stay)")
    stopped = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    wick.stop()
    until(lambda: not spaces_left(stopped), "boxes to be gone")
    assert not groups_left()
    assert mounts() == mounts_before
