"""The link to a node on another machine, when it fails: cut, reset, late, half-open or full, at each moment of an
invocation; and processes of either side that are killed. What callers see is asserted, and that nothing ran twice: the
function says which event it runs, in its log and by an object in a bucket, and both are counted.

Most tests share one gateway and one node, with a TCP proxy between (path.py), and leave both in order. Needs:
/usr/bin/python3 and Node.js in the machine."""
import json
import os
import random
import signal
import threading
import time

import pytest

from conftest import Wick, until
from path import DOWN, UP, Path
from remote import Node, free_address, in_background, new_node, nodes, token, up
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
        return sum(f["frozen"] for f in json.loads(answer.text)["functions"] if f["name"] == name)

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
    """Another one, so that its package is there: the order to start it is on its way, or the word that it runs is."""
    name, worker = link.function(Environment={"Variables": {"SLOW_START": "0.2"}})
    box, t = link.call(name, "busy", sleep=1)
    link.log_says(name, "busy")
    before = len(link.node.workers())
    link.path.hold(way)
    other, u = link.call(name, "cold")
    if way == UP:
        until(lambda: len(link.node.workers()) > before, "the worker's process")
    else:
        until(lambda: link.path.holds(DOWN) > 1000, "START to be on its way")
    link.cut_for_a_moment()
    assert answer(box, t)[0]["id"] == worker
    assert answer(other, u)[0]["id"]
    assert link.runs(name, "busy") == link.runs(name, "cold") == 1
    until(lambda: len(link.node.workers()) == before + 1, "one more worker")


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
    name = deploy_node(link.wick, "streamed", Timeout=60)
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


API = """
import boto3, botocore.config, time
once = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
def handler(event, context):
    s3 = boto3.client("s3", config=once)
    print("ran", event["n"])
    time.sleep(event["sleep"])
    s3.put_object(Bucket=event["bucket"], Key=event["n"] + "/x", Body=b"")
    return {"id": event["n"]}
"""


def asks_the_api(pid):
    """Has the box a connection to Wick's API (127.0.0.1:9000)?"""
    try:
        with open(f"/proc/{pid}/net/tcp") as table:
            return any(words[2] == "0100007F:2328" and words[3] == "01" for words in map(str.split, table))
    except OSError:
        return False


def test_a_box_asks_the_api_while_away(link):
    """Its connection waits for the link, and is answered at its first try."""
    before = set(link.node.workers())
    name, bucket = link.wick.deploy(API), link.wick.bucket()
    box, t = in_background(lambda: link.wick.invoke(name, {"n": "a", "sleep": 0.7, "bucket": bucket}))
    link.log_says(name, "a")
    link.path.cut()
    until(lambda: any(map(asks_the_api, set(link.node.workers()) - before)), "the box to ask")
    link.back()
    assert answer(box, t)[0] == {"id": "a"}
    assert marks(link.wick, bucket) == {"a": 1}


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


@pytest.mark.waits
def test_half_open(link):
    """Nobody is told that the connection is gone; both sides find out."""
    name, worker = link.function()
    link.path.lose()
    began = time.monotonic()
    box, t = link.call(name, "lost", fill="x" * 1000)
    link.away()
    assert time.monotonic() - began < 14
    until(lambda: "no sign of life" in link.node.log(), "the node to find out")
    link.path.mend()
    link.path.drop()  # the next one, that went nowhere either
    link.back()
    assert answer(box, t)[0]["id"] == worker
    assert link.runs(name, "lost") == 1


# ---- others are not held up ----


def rss_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(l.split()[1]) for l in status if l.startswith("VmRSS")) / 1024


def test_a_node_that_does_not_read(link, new_node):
    new_node(*token(link.wick), "--name", "gpu2")
    up(link.wick, "gpu2")
    try:
        name, worker = link.function(Tags={"wick:place": "gpu1"}, Timeout=60)
        other = link.wick.deploy(MARK, Tags={"wick:place": "gpu2"})
        gate = link.wick.pids("wick-gate")[0]
        before = rss_mb(gate)
        link.path.stop_reading(DOWN)
        calls = [link.call(name, f"big{i}", fill="x" * (5 << 20)) for i in range(4)]
        for i in range(20):
            assert link.wick.invoke(other, {"n": i})[0]["id"]
        assert rss_mb(gate) - before < 4 * 5 * 6  # a few copies of what waits, whatever is done elsewhere
        link.path.mend()
        for box, t in calls:
            assert answer(box, t)[0]["got"] == 5 << 20
        assert [link.runs(name, f"big{i}") for i in range(4)] == [1] * 4
    finally:
        link.path.mend()
        assert link.wick.run("node", "remove", "gpu2").returncode == 0


def test_another_node_takes_over(link, new_node):
    """What has no worker yet goes to a node that is there; what a worker has in hand stays with it."""
    new_node(*token(link.wick), "--name", "gpu2")
    up(link.wick, "gpu2")
    try:
        assert link.wick.run("node", "drain", "gpu2").returncode == 0
        name, worker = link.function()
        box, t = link.call(name, "mine", sleep=1)
        link.log_says(name, "mine")
        assert link.wick.run("node", "resume", "gpu2").returncode == 0
        link.path.cut()
        link.away()
        said, _ = link.wick.invoke(name, {"n": "elsewhere"})
        assert said["id"] != worker
        link.back()
        assert answer(box, t)[0]["id"] == worker
        assert link.runs(name, "mine") == link.runs(name, "elsewhere") == 1
    finally:
        assert link.wick.run("node", "remove", "gpu2").returncode == 0


# ---- for too long ----


def test_given_up_and_back(new_link):
    """After node_away what a worker has in hand is answered with an error; idle ones are used again."""
    link = new_link("--node-away", "1s")
    name, _ = link.function()
    idle, idler = link.function()
    box, t = link.call(name, "given up", sleep=60)
    link.log_says(name, "given up")
    workers = link.node.workers()
    link.path.cut()
    said, meta = answer(box, t, 30)
    assert meta["FunctionError"] and said["errorType"] == "Runtime.NodeGone"
    link.back()
    assert link.wick.invoke(idle, {"n": "again"})[0]["id"] == idler
    until(lambda: len(link.node.workers()) == 1, "the other worker to be ended")
    assert link.wick.invoke(name, {"n": "later"})[0]["id"]
    assert link.runs(name, "given up") == link.runs(name, "later") == link.runs(idle, "again") == 1


# ---- kills ----


def kill_gate(link):
    old = link.wick.pids("wick-gate")
    os.kill(old[0], signal.SIGKILL)
    until(lambda: link.wick.pids("wick-gate") not in (old, []) and link.wick.ready(), "another gate")


def kill_node(link):
    os.kill(link.node.node_pid(), signal.SIGKILL)


def kill_both(link):
    kill_node(link)
    kill_gate(link)


@pytest.mark.parametrize("kill", [kill_gate, kill_node, kill_both])
@pytest.mark.parametrize("when", ["starting", "running", "answering"])
def test_kills(link, kill, when):
    """A synchronous call ends, with its answer or an error, and has run once at most; events run; what comes next works."""
    name, _ = link.function(Environment={"Variables": {"SLOW_START": "0.1"}})
    bucket = link.wick.bucket()
    n = "y" if when == "answering" else "x"
    if when == "answering":
        link.path.hold(UP)
        box, t = link.call(name, n, size=100000)
        until(lambda: link.path.holds(UP) > 100000, "the answer to be on its way")
    else:
        box, t = link.call(name, n, bucket=bucket, sleep=1)
        until(lambda: marks(link.wick, bucket), "it to run")
    for i in range(3):
        link.wick.client("lambda").invoke(FunctionName=name, InvocationType="Event",
                                          Payload=json.dumps({"n": f"e{i}", "bucket": bucket}))
    if when == "running":
        until(lambda: len(marks(link.wick, bucket)) == 4, "the events to run beside it")
    kill(link)
    link.path.mend()
    t.join(60)
    assert box, "no answer"
    until(lambda: link.state() == "up", "the node to be up")
    until(lambda: {"e0", "e1", "e2"} <= set(marks(link.wick, bucket)), "all events to run")
    assert marks(link.wick, bucket).get("x", 1) == 1 and link.runs(name, n) <= 1
    assert link.wick.invoke(name, {"n": "after"})[0]["id"]


def test_another_gate_finds_the_workers(link):
    name, worker = link.function()
    before = len(link.node.workers())
    kill_gate(link)
    until(lambda: link.state() == "up", "the node to be up")
    assert link.wick.invoke(name, {"n": "after"})[0]["id"] == worker
    assert len(link.node.workers()) == before


def test_another_gate_waits_for_its_nodes(link):
    """What none of the machines that are there could ever hold is not refused while one has still to come back."""
    name, _ = link.function()
    link.path.cut()
    kill_gate(link)
    box, t = link.call(name, "early")

    def queued():
        answer = call(link.wick, "GET", "/_wick/top", service="wick")
        return sum(f["queued"] for f in json.loads(answer.text)["functions"] if f["name"] == name)
    until(lambda: queued() or box, "it to wait")
    link.back()
    assert answer(box, t)[0]["id"]
    assert link.runs(name, "early") == 1


# ---- nothing is left ----


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.waits
def test_nothing_leaks(link):
    name, worker = link.function()
    lambda_ = link.wick.client("lambda")
    gate, node = link.wick.pids("wick-gate")[0], link.node.node_pid()
    want = descriptors(gate), descriptors(node)
    for i in range(50):
        box, t = link.call(name, f"n{i}", fill="x" * 10000, size=10000)
        link.path.drop(reset=i % 2)
        assert answer(box, t)[0]["got"] == 10000
    until(lambda: descriptors(gate) <= want[0] + 1, f"the gate's descriptors: {want[0]}, now {descriptors(gate)}")
    until(lambda: descriptors(node) <= want[1] + 8, f"the node's descriptors: {want[1]}, now {descriptors(node)}")
    for i in (0, 25, 49):
        assert link.runs(name, f"n{i}") == 1


# ---- for minutes ----


@pytest.mark.long
def test_soak_of_cuts(new_link, tmp_path):
    """Calls and events on two nodes while their links fail in every way, at random: each runs once, and is answered.
    WICK_SOAK_SECONDS is how long, else 5 minutes; WICK_SOAK_SEED does the same again."""
    seconds, seed = float(os.environ.get("WICK_SOAK_SECONDS", "300")), os.environ.get("WICK_SOAK_SEED", str(time.time_ns()))
    print("WICK_SOAK_SEED=" + seed)
    link = new_link("--node-away", "1h")
    paths = [link.path, Path(token(link.wick)[token(link.wick).index("--join") + 1])]
    other = Node(tmp_path / "gpu2", *line(link.wick, paths[1]), "--name", "gpu2")
    up(link.wick, "gpu2")
    names = [link.wick.deploy(MARK, Timeout=300, Tags={"wick:place": n}) for n in ("gpu1", "gpu2")]
    names.append(link.wick.deploy(MARK, Timeout=300))
    end, events_sent, calls_made, wrong = time.monotonic() + seconds, [], [], []

    def work(number):
        rng, i = random.Random(f"{seed} {number}"), 0
        lambda_ = link.wick.client("lambda", read_timeout=300)
        while time.monotonic() < end and not wrong:
            i += 1
            name, n = rng.choice(names), f"w{number}n{i}"
            event = {"n": n, "sleep": rng.choice([0, 0, 0.05, 0.5]), "size": rng.choice([0, 100, 1 << 20]),
                     "fill": "x" * rng.choice([0, 100, 1 << 20])}
            try:
                if rng.random() < 0.3:
                    event["fill"] = ""
                    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
                    events_sent.append((name, n))
                    continue
                said = json.loads(lambda_.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())
                if said.get("got") != len(event["fill"]) or len(said["fill"]) != event["size"]:
                    wrong.append((name, n, str(said)[:500]))
                calls_made.append((name, n))
            except Exception as e:  # told at the end
                wrong.append((name, n, repr(e)))

    def fail(path, number):
        rng = random.Random(f"{seed} path {number}")
        while time.monotonic() < end and not wrong:
            rng.choice([path.cut, lambda: path.cut(True), path.drop, lambda: path.drop(True), path.lose,
                        lambda: path.hold(UP), lambda: path.hold(DOWN), lambda: path.stop_reading(UP, DOWN),
                        lambda: path.cut_after(UP, rng.randrange(1 << 20)),
                        lambda: path.cut_after(DOWN, rng.randrange(1 << 20))])()
            time.sleep(rng.random() * rng.choice([0.1, 1, 5]))  # how long it lasts: nothing is waited for
            path.mend()
            path.delay = rng.choice([0, 0, 0.02, 0.15])
            path.drop()
            time.sleep(rng.random() * rng.choice([0.1, 1, 5]))

    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        threads += [threading.Thread(target=fail, args=(p, i)) for i, p in enumerate(paths)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong, wrong[:5]
        for p in paths:
            p.delay = 0
            p.mend()
        up(link.wick, "gpu1")
        up(link.wick, "gpu2")
        assert events_sent and calls_made

        def ran():
            count = {}
            for name in names:
                for said in link.wick.run("logs", name).stdout.split("\n"):
                    if " ran w" in said:
                        key = name, said.rsplit(" ", 1)[1]
                        count[key] = count.get(key, 0) + 1
            return count
        until(lambda: set(events_sent) <= set(ran()), "every event to run", 120)
        count = ran()
        assert set(count) == set(events_sent) | set(calls_made)
        assert set(count.values()) == {1}
        print(len(calls_made), "calls,", len(events_sent), "events,", [p.connections for p in paths], "connections")
    finally:
        other.stop()
        paths[1].close()
    assert not other.reports(), other.log()
