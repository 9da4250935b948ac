"""Gateways and nodes on machines that the tests make up: declared devices, NVIDIA's cards by the stand-ins, parking by
the stand-in of CUDA's driver; and functions that say what they see and hold their slice until they are told to go."""
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import tempfile

import pytest

import lane
from conftest import until

# Holds on until the file is not empty (a file of the machine that its device brings into the box).
APP = """
import os, time
def handler(event, context):
    while event.get("hold") and not os.path.getsize(event["hold"]):
        time.sleep(0.01)
    return {k: v for k, v in os.environ.items() if k.startswith(("WICK_", "CUDA", "NVIDIA"))}
"""
LIBEXEC = ":".join(str(lane.BUILD / "src" / room) for room in ("gate", "node", "runtime"))


@pytest.fixture
def folder():
    """Not pytest's tmp_path, which is closed: the user of the boxes walks through it."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="wick-slices-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def node_with(folder, env):
    """WICK_LIBEXEC of a node whose environment has these besides: `wick serve` and `wick node` hand on settings only,
    and what the stand-ins want to know is none."""
    libexec = folder / "libexec"
    libexec.mkdir(exist_ok=True)
    program = libexec / "wick-node"
    program.write_text("#!/bin/sh\n" + "".join(f"export {k}={shlex.quote(str(v))}\n" for k, v in env.items())
                       + f'exec {shlex.quote(str(lane.BUILD / "src/node/wick-node"))} "$@"\n')
    program.chmod(0o755)
    return f"{libexec}:{LIBEXEC}"


class Hold:
    """Calls that go on until they are let go."""

    def __init__(self, wick, path):
        self.wick, self.path = wick, pathlib.Path(path)
        self.path.write_text("")
        self.path.chmod(0o644)
        self.pool = concurrent.futures.ThreadPoolExecutor(32)

    def call(self, name, hold=True, **event):
        return self.pool.submit(self.wick.invoke, name, {**event, **({"hold": str(self.path)} if hold else {})})

    def go(self):
        self.path.write_text("go")

    def end(self):
        self.go()
        self.pool.shutdown()


def tags(device="gpu", **more):
    return {"wick:device": device, **{"wick:" + k.replace("_", "-"): str(v) for k, v in more.items()}}


def deploy(wick, tags, source=APP, **conf):
    conf.setdefault("MemorySize", 128 if not conf.get("Layers") else 512)
    conf.setdefault("Timeout", 60)
    return wick.deploy(source, Tags=tags, **conf)


def nodes(wick):
    out = wick.run("nodes", "--json", "--data", wick.data)
    assert out.returncode == 0, out.stderr
    return {n["name"]: n for n in json.loads(out.stdout)["nodes"]}


def local(wick):
    return next(n for n in nodes(wick).values() if not n.get("address"))


def devices(wick, node=None):
    """By id: those of a node, or of the gateway's own."""
    n = nodes(wick).get(node, {}) if node else local(wick)
    return {d["id"]: d for d in n.get("devices", [])}


def used(wick, node=None):
    return {i: d["slots_used"] for i, d in devices(wick, node).items() if i != "cpu"}


def has(wick, *ids, node=None):
    return until(lambda: (d := devices(wick, node)) and all(i in d for i in ids) and d, f"{ids} to be there")


def event_id(wick, name, payload=None):
    answer = wick.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload or {}))
    return answer["ResponseMetadata"]["RequestId"]


def why(wick, id):
    return json.loads(wick.run("why", id, "--json").stdout)


def waits(wick, id, text):
    """Until it waits and says so."""
    return until(lambda: (t := why(wick, id)).get("state") == "queued" and t["reason"] == "no-place" and text in t["text"]
                 and t, f"{id} to wait and to say {text!r}; it says {why(wick, id)}")


def done(wick, id):
    return until(lambda: (t := why(wick, id)).get("state") == "done" and t, f"{id} to have run; it says {why(wick, id)}")


def place(wick, name):
    out = wick.run("place", name, "--dry-run", "--json")
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def top(wick, name):
    for f in json.loads(wick.run("top", "--json").stdout)["functions"]:
        if f["name"] == name:
            return f
    return {}
