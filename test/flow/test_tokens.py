"""Nodes that have joined and tokens to join with, as people and programs see them; and devices on the bill. Joining itself
is tested elsewhere: here a record of a node is put into the store of a stopped server."""
import hashlib
import base64
import json
import re
import sqlite3
import time

import pytest

from test_admin import get
from test_lambda_invoke import send

KEY = "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"
RECORD_NODE, RECORD_TOKEN = 5, 6


def post(wick, path, body, status=200):
    return get(wick, path, status, "POST", json.dumps(body).encode())


def rows(wick, sql, *args):
    """Of the database of a server that is stopped."""
    db = sqlite3.connect(wick.data / "wick.db")
    try:
        with db:
            return db.execute(sql, args).fetchall()
    finally:
        db.close()


def add_node(wick, name, key=KEY, **more):
    doc = {"name": name, "key": key, "seen_ms": 1769860800000, "address": "192.0.2.7:4000", "version": "0.1.0", **more}
    rows(wick, "INSERT INTO record (kind, function, key, revision, version, other, number, doc) VALUES (?, '', ?, '', '', '', 0, ?)",
         RECORD_NODE, name, json.dumps(doc))


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    from conftest import Wick
    w = Wick(tmp_path_factory.mktemp("tokens") / "data", "--nodes", "127.0.0.1:0")
    yield w
    w.stop()
    assert not w.sanitizer_reports(), w.log()


def test_a_token(gate):
    before = time.time() * 1000
    made = post(gate, "/_wick/tokens", {"name": "gpu1", "labels": ["lab", "a=1"], "ttl_s": 600, "uses": 2})
    prefix, ident, secret = made["token"].split("_", 2)
    assert prefix == "wickt" and ident == made["id"] and len(base64.urlsafe_b64decode(secret + "=")) == 32
    host, port = made["url"].split(":")
    assert host == "127.0.0.1" and int(port) > 0 and made["fingerprint"].startswith("SHA256:")
    assert made["command"] == (f"wick node --join {made['url']} --token {made['token']} "
                               f"--fingerprint {made['fingerprint']}")
    assert before + 600000 <= made["expires_ms"] <= time.time() * 1000 + 600000
    (told,) = [t for t in get(gate, "/_wick/tokens")["tokens"] if t["id"] == ident]
    assert (told["name"], told["labels"], told["uses"], told["used"]) == ("gpu1", ["a=1", "lab"], 2, 0)
    assert told["expires_ms"] == made["expires_ms"] and secret not in json.dumps(told)
    get(gate, f"/_wick/tokens/{ident}", 204, "DELETE")
    assert ident not in [t["id"] for t in get(gate, "/_wick/tokens")["tokens"]]
    assert f"There is no token {ident}." == get(gate, f"/_wick/tokens/{ident}", 404, "DELETE")["message"]


def test_tokens_have_defaults(gate):
    made = get(gate, "/_wick/tokens", 200, "POST")
    (told,) = [t for t in get(gate, "/_wick/tokens")["tokens"] if t["id"] == made["id"]]
    assert (told["name"], told["labels"], told["uses"]) == ("", [], 1)
    assert told["expires_ms"] - told["created_ms"] == 3600000


@pytest.mark.parametrize("path, body", [
    ("tokens", {"name": "GPU 1"}), ("tokens", {"name": 7}), ("tokens", {"labels": ["-x"]}), ("tokens", {"labels": "x"}),
    ("tokens", {"labels": [7]}), ("tokens", {"labels": ["x"] * 33}), ("tokens", {"ttl_s": 0}), ("tokens", {"ttl_s": 10**9}),
    ("tokens", {"ttl_s": "1h"}), ("tokens", {"uses": -1}), ("tokens", {"uses": 1.5}), ("tokens", {"nmae": "x"}), ("tokens", []),
    ("nodes/gpu1", {"drained": 1}), ("nodes/gpu1", {"labels": ["x"]}), ("nodes/gpu1", {"labels": {"add": "x"}}),
    ("nodes/gpu1", {"name": "x"}), ("nodes/gpu1", 7),
])
def test_wrong_requests(gate, path, body):
    told = post(gate, "/_wick/" + path, body, 400)
    assert told["message"] and told["error"]


def test_not_even_json(gate):
    assert get(gate, "/_wick/tokens", 400, "POST", b"{")["message"].startswith("Could not parse request body into json")
    assert send(gate, "PUT", "/_wick/tokens", service="wick").status_code == 405


def test_only_the_root_key(gate):
    """A function's own keys make no tokens."""
    name = gate.deploy("import boto3, botocore.awsrequest as r, botocore.auth as a, botocore.httpsession as h, os\n"
                       "def handler(event, context):\n"
                       "    out = []\n"
                       "    for method, path in event:\n"
                       "        q = r.AWSRequest(method, os.environ['AWS_ENDPOINT_URL'] + path, data=b'{}')\n"
                       "        a.SigV4Auth(boto3.Session().get_credentials(), 'wick', 'us-east-1').add_auth(q)\n"
                       "        out.append(h.URLLib3Session().send(q.prepare()).status_code)\n"
                       "    return out\n")
    calls = [("POST", "/_wick/tokens"), ("GET", "/_wick/tokens"), ("DELETE", "/_wick/tokens/x"), ("GET", "/_wick/nodes"),
             ("POST", "/_wick/nodes/x"), ("DELETE", "/_wick/nodes/x")]
    assert gate.invoke(name, calls)[0] == [403] * len(calls)


def test_without_listening(wick):
    told = post(wick, "/_wick/tokens", {}, 409)
    assert "wick serve --nodes" in told["message"]
    said = wick.run("token")
    assert said.returncode == 1 and "wick serve --nodes" in said.stderr and not said.stdout


def test_settings(new_wick, tmp_path):
    gate = new_wick("--nodes", "0.0.0.0:0", "--url", "https://wick.example.org/x")
    assert re.fullmatch(r"wick\.example\.org:[1-9]\d*", post(gate, "/_wick/tokens", {})["url"])
    gate.stop()
    gate.args += ["--nodes-url", "nodes.example.org:443"]
    gate.start()
    assert post(gate, "/_wick/tokens", {})["url"] == "nodes.example.org:443"


@pytest.mark.parametrize("flag, value, message", [
    ("--nodes", "9001", "nodes: '9001' is not ADDRESS:PORT"), ("--nodes", "h:99999", "is not ADDRESS:PORT"),
    ("--nodes-url", "h:0", "nodes_url: 'h:0' is not HOST:PORT"), ("--node-away", "soon", "node-away"),
    ("--price-slices", "gpu", "price_slices: 'gpu' is not MODEL=USD"),
    ("--price-slices", "gpu=1,GPU=2", "price_slices: GPU stands twice"),
])
def test_wrong_settings(wick, tmp_path, flag, value, message):
    said = wick.run("serve", "--data", tmp_path / "d", flag, value)
    assert said.returncode != 0 and message in said.stderr


def test_nodes(new_wick):
    gate = new_wick("--nodes", "127.0.0.1:0")
    (own,) = get(gate, "/_wick/nodes")["nodes"]
    assert own["up"] and own["state"] == "up" and "key" not in own
    assert "own" in post(gate, f"/_wick/nodes/{own['name']}", {"drained": True}, 404)["message"]
    gate.stop()
    add_node(gate, "gpu1", labels=["x"])
    add_node(gate, "gpu0", KEY.replace("n4", "n5"), drained=True)
    rows(gate, "INSERT INTO record VALUES (?, '', 'bad', '', '', '', 0, '{}')", RECORD_NODE)
    gate.start()
    assert "the stored node bad is unreadable: name is missing" in gate.log()
    nodes = get(gate, "/_wick/nodes")["nodes"]
    assert [n["name"] for n in nodes] == [own["name"], "gpu0", "gpu1"]
    away = nodes[2]
    assert not away["up"] and (away["state"], away["labels"], away["drained"]) == ("away", ["x"], False)
    assert (away["key"], away["address"], away["version"]) == (KEY, "192.0.2.7:4000", "0.1.0")
    assert away["seen"] == "2026-01-31T12:00:00.000Z" and nodes[1]["drained"]
    now = post(gate, "/_wick/nodes/gpu1", {"drained": True, "labels": {"add": ["lab", "a=1"], "remove": ["x", "none"]}})
    assert now["drained"] and now["labels"] == ["a=1", "lab"]
    assert post(gate, "/_wick/nodes/gpu1", {})["labels"] == ["a=1", "lab"]
    told = post(gate, "/_wick/nodes/gpu1", {"labels": {"add": [f"l{i}" for i in range(31)]}}, 409)
    assert "more than 32 labels" in told["message"]
    assert post(gate, "/_wick/nodes/none", {"drained": True}, 404)["message"] == "There is no node named none."
    get(gate, "/_wick/nodes/gpu0", 204, "DELETE")
    get(gate, "/_wick/nodes/gpu0", 404, "DELETE")
    gate.stop()
    gate.start()
    nodes = {n["name"]: n for n in get(gate, "/_wick/nodes")["nodes"]}
    assert "gpu0" not in nodes and nodes["gpu1"]["drained"] and nodes["gpu1"]["labels"] == ["a=1", "lab"]


def test_only_the_hash_is_stored(new_wick):
    gate = new_wick("--nodes", "127.0.0.1:0")
    made = post(gate, "/_wick/tokens", {})
    secret = base64.urlsafe_b64decode(made["token"].split("_", 2)[2] + "=")
    gate.stop()
    ((doc,),) = rows(gate, "SELECT doc FROM record WHERE kind = ?", RECORD_TOKEN)
    assert json.loads(doc)["secret"] == hashlib.sha256(secret).hexdigest()
    text = made["token"].split("_", 2)[2].encode()
    for path in gate.data.rglob("*"):
        assert not path.is_file() or text not in path.read_bytes(), path
    assert text.decode() not in gate.log()
    gate.start()
    assert [t["id"] for t in get(gate, "/_wick/tokens")["tokens"]] == [made["id"]]


def test_commands(new_wick):
    gate = new_wick("--nodes", "127.0.0.1:0")
    gate.stop()
    add_node(gate, "gpu1")
    gate.start()
    table = gate.run("nodes").stdout.splitlines()
    assert table[0].split() == ["NAME", "STATE", "LABELS", "ADDRESS", "VERSION", "DEVICES", "SLOTS", "RTT", "WORKERS", "SEEN"]
    assert table[1].split()[1] == "up" and table[2].split()[:4] == ["gpu1", "away", "-", "192.0.2.7:4000"]
    assert json.loads(gate.run("nodes", "--json").stdout)["nodes"][1]["name"] == "gpu1"
    assert gate.run("nodes", "--devices").stdout.startswith("NODE ")
    assert gate.run("node", "label", "gpu1", "+lab", "+zone=b").returncode == 0
    assert gate.run("node", "drain", "gpu1").stdout.startswith("gpu1: gets no new work")
    row = gate.run("nodes").stdout.splitlines()[2]
    assert "away, drained" in row and "lab,zone=b" in row
    assert gate.run("node", "label", "gpu1", "-lab").returncode == 0
    said = gate.run("node", "resume", "gpu1", "--json")
    assert json.loads(said.stdout)["labels"] == ["zone=b"] and json.loads(said.stdout)["drained"] is False
    assert gate.run("node", "remove", "gpu1").returncode == 0
    said = gate.run("node", "remove", "gpu1")
    assert said.returncode == 1 and "There is no node named gpu1" in said.stderr


def test_token_command(gate):
    said = gate.run("token", "--name", "gpu1", "--label", "a=1", "--label", "lab", "--uses", "0", "--ttl", "7d")
    assert said.returncode == 0
    (line,) = said.stdout.splitlines()
    assert re.match(r"wick node --join 127\.0\.0\.1:\d+ --token wickt_", line)
    assert "named gpu1" in said.stderr and "any number of nodes" in said.stderr and "--nodes-url" in said.stderr
    ident = line.split("wickt_")[1].split("_")[0]
    (row,) = [r.split() for r in gate.run("token", "--list").stdout.splitlines() if r.startswith(ident)]
    assert row[1:4] == ["gpu1", "a=1,lab", "0/any"]
    assert ident in [t["id"] for t in json.loads(gate.run("token", "--list", "--json").stdout)["tokens"]]
    assert json.loads(gate.run("token", "--json").stdout)["token"].startswith("wickt_")
    assert gate.run("token", "--revoke", ident).returncode == 0
    assert ident not in gate.run("token", "--list").stdout
    said = gate.run("token", "--revoke", ident)
    assert said.returncode == 1 and f"There is no token {ident}" in said.stderr


@pytest.mark.parametrize("args, message", [
    (["token", "x"], "takes no operands"), (["token", "--ttl", "1"], "--ttl 1"), (["token", "--uses", "x"], "--uses x"),
    (["token", "--list", "--revoke", "1"], "either"), (["token", "--list", "--name", "x"], "for a new token"),
    (["nodes", "x"], "takes no operands"), (["node", "drain"], "needs the NAME"), (["node", "drain", "a", "b"], "operand b"),
    (["node", "label", "a"], "+LABEL or -LABEL"), (["node", "label", "a", "b"], "'b' is not +LABEL"),
    (["node", "drain", "a", "--jsn"], "unknown option --jsn"), (["node", "drain", "a", "--data"], "needs a value"),
    (["place"], "expected the NAME"), (["place", "f"], "--dry-run"),
])
def test_wrong_use(wick, args, message):
    said = wick.run(*args)
    assert said.returncode == 2 and message in said.stderr and not said.stdout


def test_devices_on_the_bill(new_wick):
    gate = new_wick()
    name = gate.deploy("def handler(event, context):\n    return 1\n", MemorySize=256)
    gate.invoke(name)
    gate.stop()
    rows(gate, "INSERT INTO usage_device (id, name) VALUES (7, 'NVIDIA H200'), (8, 'NVIDIA A10')")
    function = rows(gate, "SELECT id FROM usage_function WHERE name = ?", name)[0][0]
    at = int(time.time() * 1000) - 1000
    for i, (device, slots, ms) in enumerate([(7, 3, 1500), (7, 8, 100), (8, 1, 10)]):
        rows(gate, "INSERT INTO usage (at_ms, request_id, function_id, version, queue_us, start_us, init_us, run_us, billed_ms,"
             " memory_mb, max_memory_mb, status, device_slice_ms, cost_picousd, device_id, slots, rung)"
             " VALUES (?, ?, ?, '$LATEST', 0, 0, 0, 0, ?, 256, 9, 0, ?, ?, ?, ?, 'mps')",
             at, f"id{i}", function, ms, slots * ms, 10**9 * (i + 1), device, slots)
    gate.start()
    day = f"from={at - 3600000}"  # hours: single rows, not the sums of days
    bill = get(gate, f"/_wick/bill?{day}")
    (line,) = bill["functions"]
    assert line["invocations"] == 4 and line["device_slice_ms"] == 4500 + 800 + 10
    h200 = next(d for d in line["devices"] if d["device"] == "NVIDIA H200")
    assert (h200["invocations"], h200["device_slice_ms"], h200["cost_picousd"]) == (2, 5300, 3 * 10**9)
    assert sorted(d["device"] for d in line["devices"]) == ["NVIDIA A10", "NVIDIA H200"]
    assert bill["total"] == {k: v for k, v in line.items() if k != "function"}
    told = get(gate, f"/_wick/invocations?function={name}")["invocations"]
    held = {i["request_id"]: (i.get("device"), i.get("slots"), i.get("rung")) for i in told}
    assert held["id0"] == ("NVIDIA H200", 3, "mps") and (None, None, None) in held.values()
    table = gate.run("bill", "--from", "1h").stdout.splitlines()
    assert "DEVICE" in table[0] and "SLICE-SECONDS" in table[0]
    assert [" ".join(r.split()) for r in table if "NVIDIA H200" in r] == ["2 0 0.400000 NVIDIA H200 5.300 $0.003"] * 2
    assert "NVIDIA H200 3/8 mps" in gate.run("bill", "--invocations").stdout
