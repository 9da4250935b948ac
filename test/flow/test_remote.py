"""Nodes on other machines: `wick serve --nodes` and `wick node --join`, each in folders of their own, with nothing between
them but a TCP connection; and a proxy between that the tests cut."""
import os
import signal

from conftest import until
from remote import APP, free_address, gateway, in_background, joined, new_node, nodes, proxy, token, up


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
    other = new_wick("--nodes", free_address(), "--worker-memory", "1m")
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
