"""Nodes on other machines: `wick serve --nodes` and `wick node --join`, each in folders of their own, with nothing between
them but a TCP connection; and a proxy between that the tests cut."""
import hashlib
import json
import os
import pathlib
import re
import signal
import socket

import pytest

import urls
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


@pytest.mark.waits
def test_is_tried_often_while_workers_are_held(gateway, new_node, proxy):
    """An outage that lasts makes attempts no rarer than one or two a second, so that its end is seen within one."""
    joined(gateway, new_node, "gpu1", "--proxy", proxy.url)
    name = gateway.deploy(APP)
    before = gateway.invoke(name)[0]["id"]
    proxy.cut()
    until(lambda: nodes(gateway)["gpu1"]["state"] == "away", "the node to be away")
    refused = proxy.connects
    until(lambda: proxy.connects >= refused + 15, "fifteen attempts, for which ever rarer ones take a minute and a half")
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


def test_limit_holds_while_away(gateway, new_node, proxy):
    """The node ends what is over its time, and the caller is told of it when the connection is back."""
    n = joined(gateway, new_node, "gpu1", env={"https_proxy": proxy.url})
    assert proxy.connects
    name = gateway.deploy(APP, Timeout=2)
    box, t = in_background(lambda: gateway.invoke(name, {"sleep": 60, "n": "late"}))
    until(lambda: "ran late" in gateway.run("logs", name).stdout, "it to run")
    proxy.cut()
    until(lambda: not n.workers(), "its worker to be ended")
    proxy.mend()
    t.join(60)
    assert "timed out after 2.00 seconds" in box[0][0]["errorMessage"]


def test_package_is_gone(gateway, new_node):
    """What the gateway has lost is an error at once, not a wait."""
    n = joined(gateway, new_node, "gpu1")
    n.stop()
    until(lambda: nodes(gateway)["gpu1"]["state"] == "away", "the node to be away")
    name = gateway.deploy(APP)
    for blob in (gateway.data / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    n.start()
    up(gateway, "gpu1")
    error, answer = gateway.invoke(name)
    assert answer["FunctionError"] and "package" in error["errorMessage"], error


def test_snapshot_reaches_wick(gateway, new_node):
    """What SnapStart initialises uses Wick's API on the way, too."""
    joined(gateway, new_node, "gpu1")
    bucket = gateway.bucket()
    name = gateway.deploy("import boto3\nSEEN = [b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']]\n"
                          "def handler(event, context): return SEEN\n", SnapStart={"ApplyOn": "PublishedVersions"})
    version = gateway.client("lambda").publish_version(FunctionName=name)["Version"]
    assert bucket in gateway.invoke(name, Qualifier=version)[0]


def test_streams(gateway, new_node):
    """A web program: bodies of requests and answers as they come, several at once."""
    joined(gateway, new_node, "gpu1")
    path = urls.add_url(gateway, urls.deploy_web(gateway))
    sent = os.urandom(8 << 20)
    whole = [len(sent), hashlib.sha256(sent).hexdigest()]
    boxes = [in_background(lambda: urls.call(gateway, "POST", path + "upload", sent, sign=False)) for _ in range(3)]
    boxes += [in_background(lambda: urls.call(gateway, "GET", path + "down?160", sign=False)) for _ in range(3)]
    for _, t in boxes:
        t.join(60)
    answers = [box[0].text for box, _ in boxes]
    assert [json.loads(a) for a in answers[:3]] == [whole] * 3
    assert all(a == b"z" * (160 << 16) for a in answers[3:])
    assert urls.call(gateway, "POST", path + "duplex", b"abc" * 100000, sign=False).text == b"ABC" * 100000


def test_slow_reader(gateway, new_node):
    """Who does not read holds up nobody else, and nothing piles up."""
    n = joined(gateway, new_node, "gpu1")
    path = urls.add_url(gateway, urls.deploy_web(gateway))
    slow = socket.create_connection(gateway.listen.rsplit(":", 1))
    slow.sendall(f"GET {path}down?800 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert slow.recv(1)
    for _ in range(3):
        assert urls.call(gateway, "GET", path + "down?16", sign=False).text == b"z" * (16 << 16)
    rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{n.node_pid()}/status").read_text())[1])
    assert rss < 200 << 10
    got = 1
    while data := slow.recv(1 << 20):
        got += len(data)
        if got >= 800 << 16:
            break
    slow.close()
    assert got >= 800 << 16


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


def test_drained_or_without_its_label(gateway, new_node):
    """What is there already gets nothing new either; what it has in hand it may finish."""
    n = joined(gateway, new_node, "gpu1")
    assert gateway.run("node", "label", "gpu1", "+lab").returncode == 0
    name = gateway.deploy(APP, Tags={"wick:place": "lab"}, Timeout=60)
    first = gateway.invoke(name)[0]["id"]
    box, thread = in_background(lambda: gateway.invoke(name, {"sleep": 2, "n": "held"}))
    until(lambda: "ran held" in gateway.run("logs", name).stdout, "it to run")
    assert gateway.run("node", "drain", "gpu1").returncode == 0
    thread.join()
    assert box[0][0]["id"] == first
    until(lambda: not n.workers(), "its worker to end")
    box, thread = in_background(lambda: gateway.invoke(name))
    assert gateway.run("node", "resume", "gpu1").returncode == 0
    thread.join()
    assert box[0][0]["id"] != first
    assert gateway.run("node", "label", "gpu1", "-lab").returncode == 0
    until(lambda: not n.workers(), "the idle worker of a function that may not run there to end")
