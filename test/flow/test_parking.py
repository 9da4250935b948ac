"""Parking: an idle worker's slice goes to another function and its device memory to the host, and it is woken when it is
called again. CUDA's driver is a stand-in (standin/libcuda.c) that the device brings into the box.
Needs: the built programs."""
import json
import os
import pathlib
import re
import shutil
import signal

import pytest

import lane
from conftest import until
from slices import Hold, deploy, done, event_id, folder, local, node_with, nodes, tags, top, used, waits
from test_remote import free_address, gateway, joined, new_node, up

APP = """
import ctypes, os, time
cuda = ctypes.CDLL(%r) if %r else None
n = 0
def handler(event, context):
    global n
    n += 1
    while event.get("hold") and not os.path.getsize(event["hold"]):
        time.sleep(0.01)
    return {"id": os.environ["WICK_WORKER_ID"], "n": n}
"""
RUNNING, LOCKED, CHECKPOINTED = 0, 1, 2


class Rig:
    def __init__(self, new_wick, folder, *args, old=False, cards=1, **env):
        self.folder = folder
        self.cuda = folder / "libcuda.so.1"
        shutil.copy(lane.BUILD / "test/flow/standin" / ("libcuda_standin_old.so" if old else "libcuda_standin.so"), self.cuda)
        self.cuda.chmod(0o755)
        self.states, self.calls = folder / "cuda-states", folder / "cuda-log"
        self.env = {"WICK_CUDA": self.cuda, "WICK_STANDIN_CUDA": self.states, "WICK_STANDIN_CUDA_LOG": self.calls, **env}
        go = folder / "go"
        self.device = f"gpu:{cards}:mem=8000:file=/dev/null:lib={self.cuda}:lib={go}"
        go.write_text("")
        self.wick = new_wick("--devices", self.device, "--opencl", "none", *args,
                             env={"WICK_LIBEXEC": node_with(folder, self.env)})
        self.hold = Hold(self.wick, go)

    def deploy(self, uses_cuda=True, **more):
        more = {"slice": "8/8", "park": "on", **more}
        return deploy(self.wick, tags(**more), APP % (str(self.cuda), uses_cuda))

    def log(self):
        return [tuple(line.split()) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []

    def parked(self, name):
        return until(lambda: top(self.wick, name).get("parked") == 1, f"{name} to be parked")


@pytest.fixture
def rig(new_wick, folder):
    made = []

    def make(*args, **kw):
        made.append(Rig(new_wick, folder, *args, **kw))
        return made[-1]

    yield make
    for r in made:
        r.hold.end()


def test_two_functions_take_turns_on_one_card(rig):
    r = rig()
    a, b = r.deploy(), r.deploy()
    first = {n: r.wick.invoke(n)[0] for n in (a, b)}
    assert first[a]["id"] != first[b]["id"]
    r.parked(a)
    assert "1 parked" in r.wick.run("top").stdout and "2 (1 parked)" in r.wick.run("nodes").stdout
    assert used(r.wick) == {"gpu-0": 8}
    assert f"where an idle worker of {b} is parked for it" in r.wick.run("place", a, "--dry-run").stdout
    for turn in range(2, 5):
        for n in (a, b):
            assert r.wick.invoke(n)[0] == {"id": first[n]["id"], "n": turn}  # woken, not started
    calls = [c for c, _ in r.log() if c != "state"]
    assert calls.count("checkpoint") == calls.count("restore") + 1 and calls.count("checkpoint") >= 6
    # A woken run is no cold start.
    log = r.wick.run("logs", a).stdout
    assert log.count("REPORT") == 4 and log.count("Init Duration") == 1, log


def test_what_was_parked_waits_while_the_slice_is_in_use(rig):
    r = rig()
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]
    call = r.hold.call(b)
    r.parked(a)
    id = event_id(r.wick, a)
    waits(r.wick, id, "the largest free part of any is 0/8, 8/8 are asked for")
    assert top(r.wick, a)["parked"] == 1
    r.hold.go()
    call.result()
    done(r.wick, id)
    assert r.wick.invoke(a)[0] == {"id": first["id"], "n": 3}


def test_fractions_are_parked_too(rig):
    r = rig()
    quarters = [r.deploy(slice="2/8") for _ in range(4)]
    first = [r.wick.invoke(n)[0]["id"] for n in quarters]
    half = r.deploy(slice="4/8")
    r.wick.invoke(half)
    until(lambda: local(r.wick)["parked"] == 2, "two to be parked")
    assert [r.wick.invoke(n)[0]["id"] for n in quarters] == first


def test_without_the_tag_it_is_ended(rig):
    r = rig()
    a, b = r.deploy(park="off"), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    r.wick.invoke(b)
    assert r.wick.invoke(a)[0]["id"] != first
    r.parked(b)


def test_a_worker_that_does_not_use_cuda_is_ended(rig):
    r = rig()
    a, b = r.deploy(uses_cuda=False), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    answer = r.wick.invoke(b)
    assert "FunctionError" not in answer[1], answer
    assert r.wick.invoke(a)[0]["id"] != first


@pytest.mark.parametrize("kw", [{"old": True}, {"WICK_STANDIN_CUDA_FAULTS": "version=12040"},
                                {"WICK_STANDIN_CUDA_FAULTS": "init=100"}, {"WICK_CUDA": "/nonexistent/libcuda.so.1"}],
                         ids=["without the calls", "too old", "no device", "no driver"])
def test_a_driver_that_cannot(rig, kw):
    r = rig(**kw)
    a, b = r.deploy(), r.deploy()
    ids = []
    for n in (a, b, a, b):
        payload, answer = r.wick.invoke(n)
        assert "FunctionError" not in answer, payload
        ids.append(payload["id"])
    assert len(set(ids)) == 4 and not top(r.wick, a)["parked"]


def test_a_parking_that_fails(rig):
    r = rig(WICK_STANDIN_CUDA_FAULTS="checkpoint@1=999")
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    assert "FunctionError" not in r.wick.invoke(b)[1]
    assert r.wick.invoke(a)[0]["id"] != first
    r.parked(b)


@pytest.mark.parametrize("fault", ["restore@1=999", "restore@1=crash", "unlock@1=999"])
def test_a_wake_that_fails(rig, fault):
    """It is ended, and its call served by a new one."""
    r = rig(WICK_STANDIN_CUDA_FAULTS=fault)
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    r.wick.invoke(b)
    payload, answer = r.wick.invoke(a)
    assert "FunctionError" not in answer and payload["id"] != first and payload["n"] == 1, payload
    assert "FunctionError" not in r.wick.invoke(b)[1]
    assert used(r.wick) == {"gpu-0": 8}


@pytest.mark.parametrize("fault", ["checkpoint@1=hang", "restore@1=hang", "lock@1=hang"])
def test_a_driver_that_hangs(rig, fault):
    r = rig("--park-limit", "500ms", WICK_STANDIN_CUDA_FAULTS=fault)
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    assert "FunctionError" not in r.wick.invoke(b)[1]
    payload, answer = r.wick.invoke(a)
    assert "FunctionError" not in answer and payload["id"] != first, payload
    assert used(r.wick) == {"gpu-0": 8}


def test_a_parked_worker_dies(rig):
    r = rig()
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    (pid,) = r.wick.pids("wick-python")
    r.wick.invoke(b)
    r.parked(a)
    os.kill(pid, signal.SIGKILL)  # at once, or (frozen, with control groups of version 1) when it is woken
    assert r.wick.invoke(a)[0]["id"] != first
    r.parked(b)


def test_a_parked_worker_of_a_changed_function_ends(rig):
    r = rig()
    a, b = r.deploy(), r.deploy()
    first = r.wick.invoke(a)[0]["id"]
    r.wick.invoke(b)
    r.parked(a)
    r.wick.client("lambda").update_function_configuration(FunctionName=a, Timeout=59)
    until(lambda: local(r.wick)["parked"] == 0, "it to be gone")
    payload, answer = r.wick.invoke(a)
    assert "FunctionError" not in answer and payload["id"] != first


def test_the_function_of_a_parked_worker_is_deleted(rig):
    r = rig()
    a, b = r.deploy(), r.deploy()
    r.wick.invoke(a)
    r.wick.invoke(b)
    r.parked(a)
    r.wick.client("lambda").delete_function(FunctionName=a)
    until(lambda: local(r.wick)["workers"] == 1 and local(r.wick)["parked"] == 0, "it to be gone")


def test_parked_on_a_remote_node(gateway, folder, new_node):
    cuda = folder / "libcuda.so.1"
    shutil.copy(lane.BUILD / "test/flow/standin/libcuda_standin.so", cuda)
    cuda.chmod(0o755)
    env = {"WICK_CUDA": cuda, "WICK_STANDIN_CUDA": folder / "cuda-states"}
    n = joined(gateway, new_node, "gpu1", "--devices", f"gpu:mem=8000:file=/dev/null:lib={cuda}",
               env={"WICK_LIBEXEC": node_with(folder, env)})
    a, b = (deploy(gateway, tags(slice="8/8", park="on"), APP % (str(cuda), True)) for _ in range(2))
    first = {name: gateway.invoke(name)[0]["id"] for name in (a, b)}
    assert gateway.invoke(a)[0] == {"id": first[a], "n": 2} and gateway.invoke(b)[0] == {"id": first[b], "n": 2}
    assert nodes(gateway)["gpu1"]["parked"] == 1
    # The gate dies: what was idle is there for the next one, what was parked is in nobody's way.
    old = gateway.pids("wick-gate")
    os.kill(old[0], signal.SIGKILL)
    until(lambda: gateway.pids("wick-gate") not in (old, []) and gateway.ready(), "another gate")
    up(gateway, "gpu1")
    for name in (a, b):
        payload, answer = gateway.invoke(name)
        assert "FunctionError" not in answer, payload
    assert used(gateway, "gpu1")["gpu-0"] == 8
