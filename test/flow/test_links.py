"""The link to a node on another machine, when it fails: cut, reset, late, half-open or full, at each moment of an
invocation; and processes of either side that are killed. What callers see is asserted, and that nothing ran twice: the
function says which event it runs, in its log and by an object in a bucket, and both are counted.

Most tests share one gateway and one node, with a TCP proxy between (path.py), and leave both in order. Needs:
/usr/bin/python3 and Node.js in the machine."""
import json
import os
import signal
import time
import uuid

import pytest

from conftest import Wick, make_zip, until
from path import DOWN, UP, Path
from remote import (APP, Node, free_address, gateway, in_background, joined, new_node, nodes, proxy, token, up)
from urls import call, deploy_node, events

MARK = """
import os, sys, time, uuid
import boto3
ID = uuid.uuid4().hex
if os.environ.get("SLOW_START"): time.sleep(float(os.environ["SLOW_START"]))
def handler(event, context):
    print("ran", event["n"])
    if "bucket" in event:
        boto3.client("s3").put_object(Bucket=event["bucket"], Key=f"{event['n']}/{uuid.uuid4().hex}", Body=b"")
    sys.stdout.flush()
    if "sleep" in event: time.sleep(event["sleep"])
    return {"id": ID, "got": len(event.get("fill", "")), "fill": "z" * event.get("size", 0)}
"""


def line(wick, path, *args):
    """What joins the gateway by this path."""
    words = token(wick, *args)
    words[words.index("--join") + 1] = path.address
    return words


class Link:
    """A gateway whose own node has no room, a node, and the path between."""

    def __init__(self, folder, *args, name="gpu1"):
        where = free_address()
        self.name = name
        self.wick = Wick(folder / "gate", "--nodes", where, "--worker-memory", "1m", *args)
        self.path = Path(where)
        self.node = Node(folder / name, *line(self.wick, self.path), "--name", name)
        up(self.wick, name)

    def close(self):
        self.path.mend()
        self.node.stop()
        self.wick.stop()
        self.path.close()
        assert not self.node.reports(), self.node.log()
        assert not self.wick.sanitizer_reports(), self.wick.log()

    def state(self):
        return nodes(self.wick).get(self.name, {}).get("state")

    def away(self):
        until(lambda: self.state() == "away", "the node to be away")

    def back(self):
        self.path.mend()
        until(lambda: self.state() == "up", "the node to be back")

    def cut_for_a_moment(self, reset=False):
        self.path.cut(reset)
        self.away()
        self.back()

    def function(self, **conf):
        """A function that has a worker already: its name, and the worker's own name for itself."""
        name = self.wick.deploy(MARK, **conf)
        return name, self.wick.invoke(name, {"n": "first"})[0]["id"]

    def call(self, name, n, **event):
        return in_background(lambda: self.wick.invoke(name, {"n": n, **event}))

    def frozen(self, name):
        answer = call(self.wick, "GET", "/_wick/top", service="wick")
        assert answer.status == 200, answer.text
        return sum(f["workers"]["frozen"] for f in json.loads(answer.text)["functions"] if f["function"] == name)

    def runs(self, name, n):
        return self.wick.run("logs", name).stdout.count(f"ran {n}\n")

    def log_says(self, name, n):
        until(lambda: self.runs(name, n), f"{n} to run")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    link = Link(tmp_path_factory.mktemp("link"))
    yield link
    link.close()


@pytest.fixture
def link(shared):
    yield shared
    shared.back()


@pytest.fixture
def new_link(tmp_path):
    made = []

    def make(*args):
        made.append(Link(tmp_path, *args))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer(box, thread, limit=60):
    thread.join(limit)
    assert box, "no answer"
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]


def marks(wick, bucket):
    """How often each event has run, by the objects that it left."""
    count = {}
    for page in wick.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for o in page.get("Contents", []):
            n = o["Key"].split("/")[0]
            count[n] = count.get(n, 0) + 1
    return count


# ---- cuts, at each moment of an invocation ----


@pytest.mark.parametrize("reset", [False, True])
def test_before_it_arrives(link, reset):
    name, worker = link.function()
    link.path.hold(DOWN)
    box, t = link.call(name, "early", fill="x" * 100000)
    until(lambda: link.path.holds(DOWN) > 100000, "INVOKE to be on its way")
    link.cut_for_a_moment(reset)
    said, _ = answer(box, t)
    assert (said["id"], said["got"]) == (worker, 100000)
    assert link.runs(name, "early") == 1


def test_while_it_runs(link):
    name, worker = link.function()
    box, t = link.call(name, "during", sleep=1)
    link.log_says(name, "during")
    link.cut_for_a_moment()
    assert answer(box, t)[0]["id"] == worker
    assert link.runs(name, "during") == 1


@pytest.mark.parametrize("reset", [False, True])
def test_when_it_is_answered(link, reset):
    name, worker = link.function()
    link.path.hold(UP)
    box, t = link.call(name, "late", size=100000)
    until(lambda: link.path.holds(UP) > 100000, "the answer to be on its way")
    link.cut_for_a_moment(reset)
    said, _ = answer(box, t)
    assert said["id"] == worker and len(said["fill"]) == 100000
    assert link.runs(name, "late") == 1


@pytest.mark.parametrize("way", [DOWN, UP])
def test_in_the_middle_of_a_payload(link, way):
    name, worker = link.function()
    size = 5 << 20
    link.path.cut_after(way, 1 << 20)
    box, t = link.call(name, "big", **({"fill": "x" * size} if way == DOWN else {"size": size}))
    for again in range(2):
        until(lambda: not link.path.open, "the cut")
        link.path.mend()
        if not again:
            link.path.cut_after(way, 1 << 20)
    said, _ = answer(box, t)
    assert said["id"] == worker
    assert said["got"] == size if way == DOWN else said["fill"] == "z" * size
    assert link.runs(name, "big") == 1


@pytest.mark.parametrize("way", [DOWN, UP])
def test_while_a_worker_starts(link, way):
    name = link.wick.deploy(MARK, Environment={"Variables": {"SLOW_START": "0.2"}})
    before, came = len(link.node.workers()), link.path.came[DOWN]
    link.path.hold(way)
    box, t = link.call(name, "cold")
    if way == UP:
        until(lambda: len(link.node.workers()) > before, "the worker's process")
    else:
        until(lambda: link.path.holds(DOWN) > 1000, "START to be on its way")
    link.cut_for_a_moment()
    assert answer(box, t)[0]["id"]
    assert link.runs(name, "cold") == 1
    assert len(link.node.workers()) == before + 1


def test_while_code_is_fetched(link):
    size = 16 << 20
    link.path.cut_after(DOWN, size // 4)
    name = link.wick.deploy(MARK, files={"ballast": os.urandom(size)})
    until(lambda: not link.path.open, "the cut")
    box, t = link.call(name, "cold")
    link.away()
    link.path.mend()
    link.path.cut_after(DOWN, size // 2)
    until(lambda: not link.path.open, "the next cut")
    link.back()
    assert answer(box, t)[0]["id"]
    assert link.runs(name, "cold") == 1


def test_while_idle(link):
    """Frozen, too: it is woken by the INVOKE that comes over another connection."""
    name, worker = link.function()
    until(lambda: link.frozen(name), "it to be frozen")
    link.cut_for_a_moment()
    assert link.wick.invoke(name, {"n": "again"})[0]["id"] == worker
    assert link.runs(name, "again") == 1


def test_away_for_longer_than_the_time_limit(link):
    name, worker = link.function(Timeout=1)
    box, t = link.call(name, "lost", sleep=0.5)
    link.log_says(name, "lost")
    began = time.monotonic()
    link.path.cut()
    said, meta = answer(box, t, 30)
    assert time.monotonic() - began < 6
    assert meta["FunctionError"] and "timed out after 1.00 seconds" in said["errorMessage"]
    link.back()
    again = link.wick.invoke(name, {"n": "later"})[0]["id"]
    assert again != worker
    assert link.runs(name, "lost") == link.runs(name, "later") == 1


def test_runs_over_its_time_while_away(link):
    """The node's clock ends it."""
    name, worker = link.function(Timeout=1)
    before = set(link.node.workers())
    box, t = link.call(name, "long", sleep=60)
    link.log_says(name, "long")
    link.path.cut()
    until(lambda: set(link.node.workers()) < before, "its worker to be ended")
    said, meta = answer(box, t, 30)
    assert meta["FunctionError"] and "timed out after 1.00 seconds" in said["errorMessage"]
    link.back()
    assert link.wick.invoke(name, {"n": "later"})[0]["id"] != worker


def test_streams(link):
    name = deploy_node(link.wick, "streamed")
    path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
    link.path.cut_after(UP, 4 << 20)
    box, t = in_background(lambda: call(link.wick, "POST", path, json.dumps({"path": "/big"}).encode()))
    for again in range(2):
        until(lambda: not link.path.open, "the cut")
        link.path.mend()
        if not again:
            link.path.cut_after(UP, 4 << 20)
    said = events(answer(box, t).text)
    assert sum(p.count(b"z") for kind, p in said if kind == "PayloadChunk") == 16 << 20
    assert said[-1][0] == "InvokeComplete" and b"ErrorCode" not in said[-1][1]


def test_events(link):
    """Those that come while the node is away wait for it."""
    name, _ = link.function()
    bucket = link.wick.bucket()
    lambda_ = link.wick.client("lambda")

    def send(n):
        lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps({"n": n, "bucket": bucket}))
    for i in range(5):
        send(f"a{i}")
    link.path.cut()
    for i in range(5):
        send(f"b{i}")
    link.away()
    for i in range(5):
        send(f"c{i}")
    link.back()
    want = {f"{s}{i}" for s in "abc" for i in range(5)}
    until(lambda: set(marks(link.wick, bucket)) == want, "all events to run")
    assert set(marks(link.wick, bucket).values()) == {1}
    listed = link.wick.run("events", "--json", "--function", name)
    assert listed.returncode == 0 and not json.loads(listed.stdout)["events"], listed.stdout + listed.stderr


def test_far_away(link):
    """A round trip of 300 ms."""
    link.path.delay = 0.15
    try:
        began = time.monotonic()
        name, worker = link.function()
        started = time.monotonic()
        said, _ = link.wick.invoke(name, {"n": "far", "fill": "x" * (1 << 20), "size": 1 << 20})
        ended = time.monotonic()
        assert said["id"] == worker and said["got"] == len(said["fill"]) == 1 << 20
        assert started - began < 20 and 0.3 <= ended - started < 10
        link.path.drop()
        assert link.wick.invoke(name, {"n": "after"})[0]["id"] == worker
    finally:
        link.path.delay = 0.0
