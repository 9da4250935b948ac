"""How nodes come to a gateway and are turned away: tokens, names, keys, proxies, clocks; and nodes that lie, spoken for
frame by frame (fake_node.py). Needs: openssl, libfaketime."""
import base64
import glob
import json
import os
import socket
import threading
import time

import pytest

import lane
from conftest import BUILD, until
from fake_node import NEED, SEGMENT, FakeNode, make_key
from remote import APP, Proxy, free_address, gateway, in_background, joined, new_node, nodes, proxy, token, up

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


def value(words, flag):
    return words[words.index(flag) + 1]


def refused(n, *says):
    """The node ends, and its last line says why."""
    assert n.process.wait(30) == 1, n.log()
    last = n.log().splitlines()[-1]
    assert all(s in last for s in says), last


def test_tokens(gateway, new_node):
    once = token(gateway)
    joined_by = new_node(*once, "--name", "gpu1")
    up(gateway, "gpu1")
    refused(new_node(*once, "--name", "gpu2"), "token", "used")
    short = token(gateway, "--ttl", "1s")
    until(lambda: not any(t["id"] in value(short, "--token") for t in tokens(gateway)), "the token to expire")
    refused(new_node(*short, "--name", "gpu2"), "token", "expired")
    gone = token(gateway)
    ident = value(gone, "--token").split("_")[1]
    assert gateway.run("token", "--revoke", ident, "--data", gateway.data).returncode == 0
    refused(new_node(*gone, "--name", "gpu2"), "token")
    assert "gpu2" not in nodes(gateway)
    assert joined_by.process.poll() is None


def tokens(wick):
    out = wick.run("token", "--list", "--json", "--data", wick.data)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)["tokens"]


def test_a_name_that_is_taken(gateway, new_node):
    joined(gateway, new_node, "gpu1")
    refused(new_node(*token(gateway), "--name", "gpu1"), "gpu1", "another key")
    assert nodes(gateway)["gpu1"]["state"] == "up"


def test_removed_and_joined_anew(gateway, new_node):
    n = joined(gateway, new_node, "gpu1")
    assert gateway.run("node", "remove", "gpu1").returncode == 0
    refused(n, "removed")
    n.start()
    refused(n, "token")
    n.start(*token(gateway), "--name", "gpu1")
    up(gateway, "gpu1")


def test_wrong_fingerprint(gateway, new_node):
    """Named are the one that was expected and the one that is there."""
    words = token(gateway)
    right = value(words, "--fingerprint")
    wrong = "SHA256:" + "A" * 43
    words[words.index("--fingerprint") + 1] = wrong
    n = new_node(*words, "--name", "gpu1")
    until(lambda: any(right in l and wrong in l for l in n.log().splitlines()), "the mismatch to be told")
    assert "gpu1" not in nodes(gateway)
    words[words.index("--fingerprint") + 1] = "SHA256:short"
    n = new_node(*words, "--name", "gpu1")
    assert n.process.wait(30) == 1 and "--fingerprint SHA256:short is none" in n.log()


class StrictProxy(Proxy):
    """Wants a user and a password."""
    wants = b"basic " + base64.b64encode(b"user:p@ss").lower()

    def serve(self, near):
        head = b""
        while b"\r\n\r\n" not in head:
            head += near.recv(4096, socket.MSG_PEEK)
        if self.wants in head.lower():
            super().serve(near)
        else:
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            near.close()


def test_proxy_with_a_password(gateway, new_node):
    p = StrictProxy()
    try:
        n = new_node(*token(gateway), "--name", "gpu1", "--proxy", p.url)
        until(lambda: "407" in n.log(), "the refusal to be told")
        n.stop()
        n.start(*token(gateway), "--name", "gpu1", "--proxy", p.url.replace("//", "//user:p%40ss@"))
        up(gateway, "gpu1")
        assert p.connects and "p%40ss" not in n.log() and "p@ss" not in n.log()
        assert gateway.invoke(gateway.deploy(APP))[0]["id"]
        n.stop()
        n.start()  # what it has kept says how it gets there
        up(gateway, "gpu1")
    finally:
        p.close()


@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime")
@pytest.mark.parametrize("off", ["-5h", "+5h"])
def test_clocks_that_differ(gateway, new_node, off):
    """It is told on both sides, and no time limit goes by either. (What a worker sees of its deadline is for holder_test.c:
    its own clock is not the faked one here.)"""
    if b"__asan_init" in (BUILD / "src/node/wick-node").read_bytes():
        pytest.skip("sanitizers and a library before theirs do not go together")
    n = joined(gateway, new_node, "gpu1", env={"LD_PRELOAD": FAKETIME, "FAKETIME": off})
    until(lambda: "clock" in n.log(), "the node to tell of it")
    until(lambda: "the clock of node gpu1" in gateway.log(), "the gateway to tell of it")
    seconds = nodes(gateway)["gpu1"]["clock_off_ms"] / 1000
    assert abs(seconds - (5 if off[0] == "+" else -5) * 3600) < 60
    name = gateway.deploy(APP, Timeout=3)
    said, answer = gateway.invoke(name, {"sleep": 30})
    assert "timed out after 3.00 seconds" in said["errorMessage"]


# ---- nodes that are none ----


@pytest.fixture
def fake(gateway, tmp_path):
    made, key = [], make_key(tmp_path)

    def make(**kw):
        words = token(gateway)
        made.append(FakeNode(value(words, "--join"), key, token=value(words, "--token"), **kw))
        return made[-1]

    yield make
    for f in made:
        f.close()


def alive(gateway):
    return gateway.ready() and nodes(gateway)


def test_protocols(gateway, fake):
    for kw in ({"protocol": "0"}, {"protocol": "x"}, {"status": "500"}):
        f = fake(**kw)
        f.wait(lambda f: f.refused)
        assert f.refused[0] == "protocol"
    newer = fake(protocol="2", hello={"protocol": 2, "unheard_of": {"a": [1]}})
    up(gateway, "fake")
    newer.say(255, {"of": "the future"})
    newer.say(lane.STATUS, {"memory_free_mb": 900, "workers": 0, "zygotes": [], "later": True})
    until(lambda: nodes(gateway)["fake"].get("memory_free_mb") == 900, "what follows to be heard")


def test_no_token_and_another_name(gateway, fake, tmp_path):
    f = fake()
    up(gateway, "fake")
    f.close()
    other = FakeNode(value(token(gateway), "--join"), make_key(tmp_path), name="fake")
    other.wait(lambda f: f.refused)
    assert other.refused[0] == "removed"
    other.close()
    bad = fake(name="-no name-")
    bad.wait(lambda f: f.refused)
    assert bad.refused[0] == "name-invalid"


@pytest.mark.parametrize("hello", [
    {"memory_mb": 2**62, "cpus": 2**40}, {"memory_mb": -5, "cpus": -1}, {"memory_mb": "much", "cpus": None},
    {"devices": [{"id": f"d{i}", "kind": "gpu", "memory_mb": 1 << 40} for i in range(300)], "memory_mb": 2**62},
    {"devices": [{"id": "a", "kind": "gpu", "memory_mb": 2**62}, {"id": "b", "kind": "gpu", "memory_mb": -1}, 7, None]},
    {"devices": "all", "labels": {"a": 1}, "workers": 5, "cost": "free"},
    {"labels": ["x" * 1000] + [f"l{i}" for i in range(2000)], "cost": "9" * 400},
    {"workers": [{"id": "no"}, 3, {"id": "00000000-0000-4000-8000-000000000000", "function": "f", "slices": [[]] * 1000,
                                    "concurrency": -1, "keys_expire_ms": 2**62, "state": "idle"}]}])
def test_lies(gateway, fake, hello):
    """Of any size: the gateway places by numbers that it can add up, and goes on."""
    f = fake(hello=hello)
    up(gateway, "fake")
    f.say(lane.STATUS, {"memory_free_mb": 2**62, "workers": -3, "zygotes": 4})
    seen = until(lambda: alive(gateway), "the gateway")["fake"]
    assert 0 <= seen["memory_mb"] <= 1 << 40 and 1 <= seen["cpus"] <= 1 << 16
    assert gateway.run("nodes").returncode == 0
    assert gateway.run("place", "--dry-run", gateway.deploy(APP, name="asked")).returncode == 0
    assert not f.over


@pytest.mark.parametrize("say", [
    lambda f: f.raw(b"\xff" * 64), lambda f: f.raw(SEGMENT.pack(10, 1 << 40)), lambda f: f.raw(SEGMENT.pack(64, 0) + b"\0" * 64),
    lambda f: f.raw(SEGMENT.pack(32, 0) + lane.HEADER.pack(1 << 31, 0, lane.STATUS, 1, 0, 0, lane.NO_ID))])
def test_garbage_on_the_link(gateway, fake, say):
    f = fake()
    up(gateway, "fake")
    say(f)
    until(lambda: f.over, "the gateway to hang up")
    until(lambda: nodes(gateway)["fake"]["state"] != "up", "the node to be down")
    assert alive(gateway)


def test_only_its_own(gateway, fake, new_node):
    """A node gets no package that is not its business, and has no say over workers of others."""
    n = joined(gateway, new_node, "gpu1")
    source = "import os\ndef handler(event, context):\n    return os.environ['WICK_WORKER_ID']\n"
    name = gateway.deploy(source, Tags={"wick:place": "gpu1"})
    before = gateway.invoke(name)[0]
    worker = bytes.fromhex(before.replace("-", ""))
    sha = gateway.client("lambda").get_function_configuration(FunctionName=name)["CodeSha256"]
    f = fake()
    up(gateway, "fake")
    f.say(NEED, {"sha256": base64.b64decode(sha).hex()})
    f.wait(lambda f: any(c["over"] for c in f.code.values()))
    (code,) = f.code.values()
    assert code["bytes"] == 0 and "not there" in code["headers"]["wick-error"]
    for wrong in ("", "x" * 64, "../" * 20, 5):
        f.say(NEED, {"sha256": wrong})
    for kind, body in ((lane.EXITED, {"exit": 1}), (lane.FAILED, {"error": "no", "type": "no"}), (lane.STARTED, {"pid": 1})):
        f.say(kind, body, worker)
    f.say(lane.START, {"function": {}}, worker)
    f.say(lane.STATUS, {"memory_free_mb": 77})
    until(lambda: nodes(gateway)["fake"].get("memory_free_mb") == 77, "all of it to be heard")
    assert gateway.invoke(name)[0] == before
    assert len(n.workers()) == 1


def test_it_goes_on_where_nothing_was(gateway, fake):
    """A node that says it remembers an epoch that was never there."""
    f = fake(resume="yes")
    until(lambda: f.over, "the gateway to hang up")
    assert not f.control and alive(gateway)
