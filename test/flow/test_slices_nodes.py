"""Slices where there are several nodes: which one is chosen, what happens when a node cannot give what it promised, and
nodes that tell nonsense of their devices.
Needs: the built programs."""
import json
import os
import pathlib

import pytest

import lane
from conftest import until
from slices import (APP, LIBEXEC, Hold, deploy, devices, done, event_id, folder, has, local, nodes, place, tags, top, used,
                    waits, why)
from test_remote import free_address, gateway, joined, new_node, up


@pytest.fixture
def hold(gateway, folder):
    made = Hold(gateway, folder / "go")
    yield made
    made.end()


def card(folder, n=1, file="/dev/null", mem=8000, **more):
    members = "".join(f":{k}={v}" for k, v in more.items())
    return ["--devices", f"gpu:{n}:mem={mem}:file={file}:lib={folder / 'go'}{members}"]


def slots(wick, *names):
    return {n: sum(used(wick, n).values()) for n in names}


def settled(wick, names, *expected):
    """Until so many slots are held of these nodes, by workers that run: which of equal nodes comes first is not said, as
    nearness and free memory are measured. By node."""
    def held():
        w, now = json.loads(wick.run("top", "--json").stdout)["totals"]["workers"], slots(wick, *names)
        return w["waiting"] + w["init"] == 0 and sorted(now.values()) == sorted(expected) and now

    return until(held, f"slots of {names} to be {expected}")


def test_the_fullest_node_first_then_the_next(gateway, hold, folder, new_node):
    for n in ("a", "b"):
        joined(gateway, new_node, n, *card(folder))
    name = deploy(gateway, tags(slice="4/8"))
    calls = [hold.call(name)]
    settled(gateway, "ab", 4, 0)
    calls.append(hold.call(name))
    full = max(now := settled(gateway, "ab", 8, 0), key=now.get)
    calls.append(hold.call(name))
    settled(gateway, "ab", 8, 4)
    whole = event_id(gateway, deploy(gateway, tags()))
    waits(gateway, whole, "no node has more than 0 whole devices free, 1 asked for (2 nodes)")
    said = {c["node"]: c for c in place(gateway, name)["candidates"]}
    a, b = said[full], said["b" if full == "a" else "a"]
    assert a["verdict"] == "no-slots" and "0/8, 4/8 are asked for." in a["text"]
    assert b["verdict"] == "fits" and b["chosen"] and not a["chosen"]
    assert said[local(gateway)["name"]]["verdict"] == "no-device"
    hold.go()
    for c in calls:
        c.result()
    done(gateway, whole)


def test_spread_over_nodes_and_cheap_ones_first(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", *card(folder), "--node-cost", "2")
    joined(gateway, new_node, "b", *card(folder))
    joined(gateway, new_node, "c", *card(folder))
    name = deploy(gateway, tags(slice="2/8", spread="on"))
    calls = []
    for expected in ((2, 0), (2, 2), (4, 2)):
        calls.append(hold.call(name))
        settled(gateway, "bc", *expected)
        assert slots(gateway, "a") == {"a": 0}
    hold.go()
    for c in calls:
        c.result()


def test_labels_and_drained_nodes(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", *card(folder))
    joined(gateway, new_node, "b", *card(folder), "--label", "lab")
    name = deploy(gateway, tags(slice="1/8", place="lab"))
    gateway.invoke(name)
    assert slots(gateway, "a", "b") == {"a": 0, "b": 1}
    assert gateway.run("node", "drain", "b").returncode == 0
    call = hold.call(name)  # by the worker that is there, or not at all
    one = event_id(gateway, name)
    second = event_id(gateway, name)
    waits(gateway, second, "the node is drained")
    assert slots(gateway, "a") == {"a": 0}
    # What asks for no label runs elsewhere.
    gateway.invoke(deploy(gateway, tags(slice="1/8")))
    assert slots(gateway, "a") == {"a": 1}
    assert gateway.run("node", "label", "a", "+lab").returncode == 0
    done(gateway, second)
    hold.go()
    call.result()
    done(gateway, one)


# ---- nodes that cannot ----

def test_a_device_that_gives_no_slice_is_avoided(gateway, hold, folder, new_node):
    """Placement prefers a; what waits for it is served by b, and nobody is told."""
    joined(gateway, new_node, "a", *card(folder, file=folder / "missing"))
    joined(gateway, new_node, "b", *card(folder), "--node-cost", "1")
    name = deploy(gateway, tags(slice="1/8"))
    assert place(gateway, name)["chosen"]["node"] == "a"
    payload, answer = gateway.invoke(name)
    assert "FunctionError" not in answer and payload["WICK_DEVICE"] == "gpu-0", payload
    assert slots(gateway, "a", "b") == {"a": 0, "b": 1}
    assert "device gpu-0 gives no slice for 1000 ms: a worker could not have a slice of it" in gateway.log()

    def told():
        """Each time that it is tried again it is told for twice as long, so this is seen on any machine."""
        assert "FunctionError" not in gateway.invoke(deploy(gateway, tags(slice="1/8")))[1]
        verdict = {c["node"]: c for c in place(gateway, name)["candidates"]}["a"]
        return (verdict["verdict"] == "device-trouble" and "could not have a slice" in verdict["text"]
                and "could not have a slice" in gateway.run("nodes", "--devices").stdout
                and "missing" in devices(gateway, "a")["gpu-0"].get("trouble", ""))

    until(told, "the trouble to be told")
    # The rest of that node is as good as before.
    assert nodes(gateway)["a"]["state"] == "up"
    gateway.invoke(deploy(gateway, {"wick:place": "a"}))


def test_the_only_device_gives_no_slice(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", *card(folder, file=folder / "missing"))
    name = deploy(gateway, tags(slice="1/8"))
    payload, answer = gateway.invoke(name)  # after three tries, a second and two apart
    assert answer["FunctionError"] and payload["errorType"] == "Device.Unavailable", payload
    assert "missing is missing" in payload["errorMessage"], payload


def test_it_is_tried_again_and_works(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", *card(folder, file=folder / "late"))
    name = deploy(gateway, tags(slice="1/8"))
    id = event_id(gateway, name)
    waits(gateway, id, "the device is not well: a worker could not have a slice of it")
    (folder / "late").write_text("")
    (folder / "late").chmod(0o666)
    assert done(gateway, id)["reason"] == "ok"
    assert "trouble" not in devices(gateway, "a")["gpu-0"]


def without_python(folder):
    """Programs of a node that has no runtime for Python."""
    libexec = folder / "bare"
    libexec.mkdir()
    for program in ("node/wick-node", "node/wick-devices", "node/wick-net", "node/wick-park"):
        (libexec / pathlib.Path(program).name).symlink_to(lane.BUILD / "src" / program)
    return {"WICK_LIBEXEC": str(libexec)}


def test_a_node_that_starts_nothing_is_avoided(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", env=without_python(folder))
    joined(gateway, new_node, "b", "--node-cost", "1")
    first = deploy(gateway, {})
    assert place(gateway, first)["chosen"]["node"] == "a"
    payload, answer = gateway.invoke(first)
    assert "FunctionError" not in answer, payload
    assert nodes(gateway)["b"]["workers"] == 1 and not nodes(gateway)["a"]["workers"]
    # So far it is only known of this function. When another fails there, too, the node is at fault.
    assert f"node a gets no worker of {first} for 1000 ms" in gateway.log() and "node a gets nothing new" not in gateway.log()
    assert nodes(gateway)["a"]["state"] == "up"

    def failing():
        """As above: for longer each time."""
        other = deploy(gateway, {})
        assert "FunctionError" not in gateway.invoke(other)[1]
        verdict = {c["node"]: c for c in place(gateway, other)["candidates"]}["a"]["verdict"]
        a, table = nodes(gateway)["a"], gateway.run("nodes").stdout
        return verdict == "backing-off" and a["state"] == "failing" and "wick-python" in a["why"] and "failing: " in table

    until(failing, "the node to be at fault")


def test_one_function_that_cannot_start_stops_no_other(gateway, hold, folder, new_node):
    joined(gateway, new_node, "a", env={"WICK_LIBEXEC": without_node_runtime(folder)})
    python, other = deploy(gateway, {}), gateway.deploy("", "index.handler", files={"index.js": "exports.handler = 1"},
                                                        Runtime="nodejs20.x")
    payload, answer = gateway.invoke(other)
    assert answer["FunctionError"] and payload["errorType"] == "Runtime.Unavailable", payload
    assert nodes(gateway)["a"]["state"] == "up"
    assert "FunctionError" not in gateway.invoke(python)[1]


def without_node_runtime(folder):
    libexec = folder / "half"
    libexec.mkdir()
    for room in ("gate", "node", "runtime"):
        for program in (lane.BUILD / "src" / room).rglob("wick-*"):
            if program.is_file() and os.access(program, os.X_OK) and "nodejs" not in program.name:
                if not (libexec / program.name).exists():
                    (libexec / program.name).symlink_to(program)
    return str(libexec)


# ---- nodes that tell nonsense ----

LIAR = """#!/usr/bin/python3
# Stands between the gate and the real node: what that says of itself is replaced.
import array, json, os, signal, socket, subprocess, sys, threading
os.environ["WICK_BUILD"] = %(build)r
sys.path.insert(0, %(flow)r)
import lane
path = os.environ["WICK_NODE_SOCKET"]
os.environ["WICK_NODE_SOCKET"] = path + ".real"
node = subprocess.Popen([%(node)r])
server = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
server.bind(path)
server.listen()

def send(sock, data, fds):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], ancillary)
    sock.sendall(data[sent:])
    for fd in fds:
        os.close(fd)

def pump(a, b, change):
    decoder, waiting = lane.Decoder(), []
    while True:
        data, fds, _, _ = socket.recv_fds(a, 1 << 16, 16)
        if not data:
            b.shutdown(socket.SHUT_RDWR)
            return
        waiting += fds
        decoder.feed(data)
        while (frame := decoder.frame()):
            n = frame.number(lane.LINK_FDS) if lane.LINK_FDS in frame.meta else 0
            body = bytes(frame.body)
            if change and frame.kind in (32, 43):
                body = json.dumps({**json.loads(body), **json.load(open(%(lies)r))}).encode()
            send(b, lane.encode(frame.kind, frame.id, frame.meta, body), waiting[:n])
            del waiting[:n]

def serve():
    while True:
        gate, _ = server.accept()
        real = socket.socket(socket.AF_UNIX)
        while node.poll() is None:
            try:
                real.connect(path + ".real")
                break
            except OSError:
                pass
        threading.Thread(target=pump, args=(gate, real, False), daemon=True).start()
        threading.Thread(target=pump, args=(real, gate, True), daemon=True).start()

signal.signal(signal.SIGTERM, lambda *_: node.terminate())
threading.Thread(target=serve, daemon=True).start()
sys.exit(node.wait())
"""


def gpu(i, **more):
    return {"id": f"gpu-{i}", "kind": "gpu", "source": "declared", "memory_mb": 100, **more}


MIG = {"mig_mode": True}
LIES = [
    ("thousands", {"devices": [gpu(i) for i in range(5000)]}, 64, "no more than 64 devices"),
    ("duplicates", {"devices": [gpu(0), gpu(0), gpu(1)]}, 2, "another has the id gpu-0"),
    ("memory", {"devices": [gpu(0, memory_mb=1 << 50), gpu(1, memory_mb=(16 << 20) + 1), gpu(2, memory_mb=-1), gpu(3)]}, 1,
     "memory_mb"),
    ("long names", {"devices": [gpu("x" * 10000), gpu(1, model="m" * 128), gpu(2, kind="k" * 64), gpu(3)]}, 1, "id has"),
    ("control characters", {"devices": [gpu(0, model="a\nb\x1b[2J"), gpu(1, trouble="\x07"), gpu(2)]}, 1, "control"),
    ("slots", {"devices": [gpu(0, mig=[{"uuid": "m", "slots": 9}], **MIG), gpu(1, mig=[{"uuid": "m", "slots": 0}], **MIG),
                           gpu(2, mig=[{"uuid": f"m{i}", "slots": 1} for i in range(9)], **MIG),
                           gpu(3, mig=[{"uuid": "m", "slots": 1}] * 2, **MIG), gpu(4)]}, 1, "slots"),
    ("no list", {"devices": {"gpu": 1}, "labels": "lab", "cost": [1], "cpus": -5}, 0, ""),
    ("wrong elements", {"devices": [None, 1, "gpu", [], {}, {"id": 1}, {"id": "x"}, gpu(0)],
                        "labels": [1, None, "\x1b", "x" * 5000, "lab"]}, 1, "not an object"),
    ("whole machine", {"memory_mb": 1 << 62, "cpus": 1 << 62, "devices": [gpu(i, mig_mode=True) for i in range(3)]}, 3, ""),
]


@pytest.mark.parametrize("lie, taken, logged", [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_nonsense_is_left_out(new_wick, folder, lie, taken, logged):
    (folder / "lies").write_text(json.dumps(lie))
    (folder / "libexec").mkdir()
    program = folder / "libexec/wick-node"
    program.write_text(LIAR % {"build": str(lane.BUILD), "flow": str(pathlib.Path(__file__).parent),
                               "node": str(lane.BUILD / "src/node/wick-node"), "lies": str(folder / "lies")})
    program.chmod(0o755)
    w = new_wick("--opencl", "none", env={"WICK_LIBEXEC": f"{folder / 'libexec'}:{LIBEXEC}"})
    until(lambda: local(w)["state"] == "up", "the node to be there")
    assert len(devices(w)) == taken
    if logged:
        assert "left out" in w.log() and logged in w.log(), w.log()
    gates = w.pids("wick-gate")
    for wish in ({"wick:device": "gpu,cpu"}, tags(slice="1/8"), tags(slice=64), tags(slice="8/8", device_memory=50)):
        try:
            name = deploy(w, wish)
        except w.client("lambda").exceptions.InvalidParameterValueException:
            continue
        assert place(w, name)["candidates"] and w.run("nodes", "--devices").returncode == 0
    assert w.invoke(deploy(w, {}))[0]["WICK_WORKER_ID"]
    assert w.pids("wick-gate") == gates
