"""How slices of NVIDIA's cards are held, seen through the gate: MIG instances, MPS, watched, whole; and what callers hear
when a slice is lost. The driver and the MPS daemon are stand-ins (standin/nvml.c, test_devices.py).
Needs: the built programs."""
import os
import pathlib
import re
import signal

import pytest

from conftest import until
from slices import (APP, Hold, deploy, devices, done, event_id, folder, has, local, node_with, nodes, place, tags, top,
                    used, waits)
from test_devices import CARD, INSTANCE, MPS_SEES, Mps, machine, nvidia_files, write


class Rig:
    """A gateway whose own node is such a machine."""

    def __init__(self, new_wick, folder, *cards, **env):
        self.folder = folder
        nvidia_files(folder, len(cards))
        env = {**machine(folder, *cards), **env}
        self.wick = new_wick(env={"WICK_LIBEXEC": node_with(folder, env)})
        self.hold = Hold(self.wick, folder / "dev/nvidiactl")  # each worker with a slice sees it

    def set(self, *lines):
        write(self.folder, *lines)

    def worker_pid(self):
        """Of the only worker."""
        (pid,) = until(lambda: len(p := self.wick.pids("wick-python")) == 1 and p, "one worker")
        return pid

    def busy(self, n):
        import json
        until(lambda: (w := json.loads(self.wick.run("top", "--json").stdout)["totals"]["workers"])["busy"] == n and
              w["waiting"] + w["init"] == 0, f"{n} workers to be busy")


@pytest.fixture
def rig(new_wick, folder):
    made = []

    def make(*cards, **env):
        made.append(Rig(new_wick, folder, *cards, **env))
        return made[-1]

    yield make
    for r in made:
        r.hold.end()


ONE = CARD.format(0, 1)
CUT = ONE.replace("mig=0", "mig=1")


def row(wick, id):
    return next(r for r in wick.run("nodes", "--devices").stdout.splitlines() if f" {id} " in r)


def test_a_whole_card(rig):
    r = rig(ONE, CARD.format(1, 2))
    has(r.wick, "GPU-0", "GPU-1")
    env, _ = r.wick.invoke(deploy(r.wick, tags()))
    assert env["CUDA_VISIBLE_DEVICES"] == "GPU-0" and env["WICK_SLICE_RUNG"] == "whole" and env["WICK_SLICE"] == "1"
    both, _ = r.wick.invoke(deploy(r.wick, tags(slice=2)))
    assert both["CUDA_VISIBLE_DEVICES"] == "GPU-0,GPU-1"
    assert re.search(r"GPU-0 +NVIDIA H200 +gpu +143771 MB +10 MB +143771 MB +8/8 ", row(r.wick, "GPU-0"))


def test_mig_instances(rig):
    r = rig(CUT, INSTANCE.format(0, 1), INSTANCE.format(0, 2), INSTANCE.format(0, 3).replace("18000", "36000"))
    has(r.wick, "GPU-0")
    small, large = deploy(r.wick, tags(slice="1/8")), deploy(r.wick, tags(slice="2/8"))
    calls = [r.hold.call(small), r.hold.call(large)]
    r.busy(2)
    told = row(r.wick, "GPU-0")
    assert " mig " in told and " 3/8 " in told, told
    seen = event_id(r.wick, large)
    waits(r.wick, seen, "the largest free part of any is 1/8, 2/8 are asked for")
    with pytest.raises(r.wick.client("lambda").exceptions.InvalidParameterValueException, match="no MIG instance"):
        deploy(r.wick, tags(slice="4/8"))
    r.hold.go()
    a, b = (c.result()[0] for c in calls)
    assert a["WICK_SLICE_RUNG"] == b["WICK_SLICE_RUNG"] == "mig"
    assert a["CUDA_VISIBLE_DEVICES"] in ("MIG-0-1", "MIG-0-2") and b["CUDA_VISIBLE_DEVICES"] == "MIG-0-3"
    done(r.wick, seen)
    said = place(r.wick, large)["chosen"]
    assert said is None or said["devices"][0]["mig"] == "MIG-0-3" and said["devices"][0]["memory_mb"] == 36000


def test_mig_is_changed_under_a_worker(rig):
    r = rig(CUT, INSTANCE.format(0, 1), INSTANCE.format(0, 2))
    has(r.wick, "GPU-0")
    name = deploy(r.wick, tags(slice="1/8"))
    calls = [r.hold.call(name), r.hold.call(name)]
    r.busy(2)
    r.set(CUT, INSTANCE.format(0, 2))
    until(lambda: any(c.done() for c in calls), "one to be told")
    (lost,) = [c for c in calls if c.done()]
    payload, answer = lost.result()
    assert answer["FunctionError"] and payload["errorType"] == "Device.Gone" and "MIG-0-1 is gone" in payload["errorMessage"]
    r.hold.go()
    (kept,) = [c for c in calls if c is not lost]
    assert kept.result()[0]["CUDA_VISIBLE_DEVICES"] == "MIG-0-2"
    # Not cut any more: there are parts of it, and others than MIG's.
    r.set(ONE)
    until(lambda: "mig_mode" not in devices(r.wick)["GPU-0"], "it not to be cut")
    env, answer = r.wick.invoke(name)
    assert "FunctionError" not in answer and env["WICK_SLICE_RUNG"] == "watched", env
    until(lambda: used(r.wick) == {"GPU-0": 1}, "the books to be right")


def test_mps_and_the_end_of_its_daemon(rig, folder):
    mps = Mps(folder)
    r = rig(ONE, WICK_MPS_CONTROL=str(mps.program))
    has(r.wick, "GPU-0")
    name = deploy(r.wick, tags(slice="2/8", device_memory=2000), MPS_SEES)
    env = r.wick.invoke(name)[0]["env"]
    assert env["WICK_SLICE_RUNG"] == "mps" and env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    assert env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=2000M" and " mps " in row(r.wick, "GPU-0")
    held = deploy(r.wick, tags(slice="2/8"))
    call = r.hold.call(held)
    r.busy(1)
    os.kill(mps.starts[0]["pid"], signal.SIGKILL)
    payload, answer = call.result()
    assert answer["FunctionError"] and payload["errorType"] == "Device.MpsGone" and "MPS daemon" in payload["errorMessage"]
    again, answer = r.wick.invoke(name)
    assert "FunctionError" not in answer and again["mark"] == "shared", again
    assert len(mps.starts) == 2


@pytest.mark.waits
def test_an_mps_daemon_that_starts_late(rig, folder):
    """Nobody is told of it: it is waited for."""
    mps = Mps(folder)
    mps.fail.touch()
    r = rig(ONE, WICK_MPS_CONTROL=str(mps.program))
    has(r.wick, "GPU-0")
    id = event_id(r.wick, deploy(r.wick, tags(slice="2/8"), MPS_SEES))
    waits(r.wick, id, "MPS daemon")
    assert "MPS daemon" in devices(r.wick)["GPU-0"]["trouble"]
    mps.fail.unlink()
    assert done(r.wick, id)["reason"] == "ok"


def test_over_its_memory_only_that_worker_is_ended(rig):
    r = rig(ONE)
    has(r.wick, "GPU-0")
    greedy, modest = deploy(r.wick, tags(slice="2/8", device_memory=1000)), deploy(r.wick, tags(slice="2/8"))
    call = r.hold.call(greedy)
    r.busy(1)
    pid = r.worker_pid()
    other = r.hold.call(modest)
    r.busy(2)
    r.set(ONE, f"process=0 pid={pid} memory=1001")
    payload, answer = call.result()
    assert answer["FunctionError"] and payload["errorType"] == "OutOfDeviceMemory", payload
    assert "1001 MiB" in payload["errorMessage"] and "1000" in payload["errorMessage"]
    assert not other.done()
    r.hold.go()
    assert other.result()[0]["WICK_SLICE_RUNG"] == "watched"
    r.set(ONE)
    assert "FunctionError" not in r.wick.invoke(greedy)[1]
    log = r.wick.run("logs", greedy).stdout
    assert "Status: error\tError Type: OutOfDeviceMemory" in log and "Device: NVIDIA H200 2/8" in log, log


def test_a_card_falls_off_the_bus(rig):
    r = rig(ONE, CARD.format(1, 2))
    has(r.wick, "GPU-0", "GPU-1")
    name = deploy(r.wick, tags(slice="8/8"))
    call = r.hold.call(name)
    r.busy(1)
    waiting = deploy(r.wick, tags(slice=2))
    id = event_id(r.wick, waiting)
    waits(r.wick, id, "no node has more than 1 whole device free")
    r.set(ONE + " lost=1", CARD.format(1, 2))
    payload, answer = call.result()
    assert answer["FunctionError"] and payload["errorType"] == "Device.Gone", payload
    assert "it fell off the bus" in row(r.wick, "GPU-0")
    waits(r.wick, id, "it fell off the bus")
    assert r.wick.invoke(name)[0]["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    r.set(ONE, CARD.format(1, 2))
    assert done(r.wick, id)["reason"] == "ok"


def test_idle_workers_of_a_lost_card_go_silently(rig):
    r = rig(ONE, CARD.format(1, 2))
    has(r.wick, "GPU-0", "GPU-1")
    name = deploy(r.wick, tags(slice="8/8"))
    assert r.wick.invoke(name)[0]["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    r.set(ONE + " lost=1", CARD.format(1, 2))
    until(lambda: not r.wick.pids("wick-python"), "the idle worker to be gone")
    assert r.wick.invoke(name)[0]["CUDA_VISIBLE_DEVICES"] == "GPU-1"


@pytest.mark.waits
def test_a_hung_driver_is_told(rig):
    r = rig(ONE)
    has(r.wick, "GPU-0")
    r.set(ONE, "hang=memory")
    until(lambda: "did not answer" in devices(r.wick)["GPU-0"].get("trouble", ""), "the hang to be told")
    id = event_id(r.wick, deploy(r.wick, tags(slice="1/8")))
    waits(r.wick, id, "the driver did not answer within 5 s")
    assert r.wick.invoke(deploy(r.wick, {}))[0]["WICK_WORKER_ID"]
    r.set(ONE)
    assert done(r.wick, id)["reason"] == "ok"


def test_the_node_dies_with_slices_held(rig):
    r = rig(ONE)
    has(r.wick, "GPU-0")
    name = deploy(r.wick, tags(slice="3/8"))
    call = r.hold.call(name)
    r.busy(1)
    os.kill(r.wick.pids("wick-node")[0], signal.SIGKILL)
    payload, answer = call.result()
    assert answer["FunctionError"] and payload["errorType"] == "Runtime.NodeGone", payload
    r.hold.go()
    env, answer = r.wick.invoke(name)
    assert "FunctionError" not in answer and env["WICK_SLICE"] == "3/8", env
    assert used(r.wick) == {"GPU-0": 3}


def test_the_gate_dies_with_slices_held(rig):
    r = rig(ONE)
    has(r.wick, "GPU-0")
    name = deploy(r.wick, tags(slice="5/8"))
    r.wick.invoke(name)
    old = r.wick.pids("wick-gate")
    os.kill(old[0], signal.SIGKILL)
    until(lambda: r.wick.pids("wick-gate") not in (old, []) and r.wick.ready(), "another gate")
    has(r.wick, "GPU-0")
    assert r.wick.invoke(name)[0]["WICK_SLICE"] == "5/8"
    assert used(r.wick) == {"GPU-0": 5}
