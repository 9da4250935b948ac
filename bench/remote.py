#!/usr/bin/env /usr/bin/python3
"""Remote nodes beside the gateway's own: one gateway, one function, placed here or there by its tag wick:place. All of it
on this machine: a remote node joins over TLS on the loopback, or through bench/slow_link.c, which is a far or a slow
network in user space (what it adds by itself is measured, too). Rounds are interleaved.
  bench/remote.py [--rounds 5] [--seconds 3] [--only warm,far,large,fair,join,outage,blackhole]"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

import calls
import invoke
import peers
from conftest import BUILD, Wick
from test_remote import Node, nodes, token

ECHO = """
import time
def handler(event, context):
    if "at" in event: time.sleep(max(0, event["at"] - time.time()))
    return "x" * event["back"] if "back" in event else len(event["there"]) if "there" in event else event
"""
FAR_US = 10000  # one way
GIGABIT = 1000000000
LARGE = 59 * (1 << 20) // 10  # of the 6 MiB that Lambda takes, with the JSON around it
SHARE = 1 << 20
ECHO_SERVER = """
import socket, threading
l = socket.create_server(("127.0.0.1", 0))
print(l.getsockname()[1], flush=True)
def serve(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := s.recv(65536): s.sendall(data)
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
"""


class SlowLink:
    """bench/slow_link.c before a port."""

    def __init__(self, to, delay_us=0, rate=0):
        self.process = subprocess.Popen([BUILD / "src/net/slow_link", str(to), str(delay_us), str(rate)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def cut(self):
        self.process.send_signal(signal.SIGUSR1)

    def mend(self):
        self.process.send_signal(signal.SIGUSR2)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def wait(condition, what, limit=60):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench: waited {limit} s for {what}")
        time.sleep(0.002)


def state(b, name):
    return nodes(b.wick).get(name, {}).get("state")


def own_cpu(pid):
    """Of this process alone."""
    return sum(int(t.read_text().split()[0]) for t in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


class Place:
    """Where the function can run: by the gateway's own node or a remote one."""

    def __init__(self, bench, label, link=None):
        self.bench, self.label, self.link, self.node = bench, label, link, None
        bench.places.append(self)
        if label != "here":
            self.begin(label, token(bench.wick))
            wait(lambda: state(bench, label) == "up", f"{label} to be up")  # a label that no node has is refused
        self.function = f"echo-{label}"
        bench.wick.deploy(ECHO, name=self.function, MemorySize=256, Timeout=60, Tags={"wick:place": label})

    def begin(self, name, line):
        if self.link:
            line[line.index("--join") + 1] = f"127.0.0.1:{self.link.port}"
        self.node = Node(self.bench.folder / name, *line, "--name", name, "--label", self.label)

    def node_pid(self):
        return self.node.node_pid() if self.node else self.bench.wick.pids("wick-node")[0]

    def request(self, event):
        return calls.invocation(self.bench.wick, self.function, event)

    def warm(self):
        s = calls.connect(self.bench.port)
        answer, _ = calls.call(s, self.request({"warm": 1}))
        s.close()
        if not answer.ok:
            sys.exit(f"bench: {self.label} answers {answer.status}: {answer.body[:300]!r}")

    def stop(self):
        if self.node:
            self.node.stop()
            self.node = None
        if self.link:
            self.link.stop()
            self.link = None


class Bench:
    def __init__(self, rounds, seconds):
        self.rounds, self.seconds = rounds, seconds
        self.folder = pathlib.Path(peers.folder())
        self.places = []
        self.wick = Wick(self.folder / "data", "--nodes", "127.0.0.1:0", "--node-labels", "here")
        self.port = calls.port_of(self.wick)
        line = token(self.wick)
        self.nodes_port = int(line[line.index("--join") + 1].rsplit(":", 1)[1])
        self.here = Place(self, "here")

    def stop(self):
        for p in self.places:
            p.stop()
        self.wick.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def verdict(met):
    return "met" if met else "MISSED"


# ---- warm ----

def load(b, place, connections, seconds=None):
    """What peers.wrk is called with."""
    body = json.dumps({"text": "x" * 186})
    url = f"{b.wick.url}/2015-03-31/functions/{place.function}/invocations"
    return url, connections, seconds or b.seconds, invoke.lua(b.folder, place.label, invoke.signed(b.wick, url, body), body)


def measure_warm(b, place, row):
    gate, node = b.wick.pids("wick-gate")[0], place.node_pid()
    for connections, seconds in ((1, max(b.seconds // 2, 1)), (32, b.seconds)):
        before = own_cpu(gate), own_cpu(node), peers.cpu_seconds(node)
        rate, p50, p99, n, errors = peers.wrk(*load(b, place, connections, seconds))
        after = own_cpu(gate), own_cpu(node), peers.cpu_seconds(node)
        us = [(y - x) / max(n, 1) * 1e6 for x, y in zip(before, after)]
        kept = row.setdefault(connections, {"rate": [], "p50": [], "p99": [], "gate": [], "node": [], "worker": [], "errors": 0})
        for key, value in zip(("rate", "p50", "p99", "gate", "node", "worker"), (rate, p50, p99, *us[:2], us[2] - us[1])):
            kept[key].append(value)
        kept["errors"] += errors


def warm(b):
    places = [b.here, Place(b, "near")]
    rows = {p.label: {} for p in places}
    for p in places:
        p.warm()
        measure_warm(b, p, {})  # workers are there, caches are warm
    for _ in range(b.rounds):
        for p in places:
            measure_warm(b, p, rows[p.label])
    print(f"{'':6} {'conns':>5} {'req/s':>8} {'p50 us':>8} {'p99 us':>8} {'CPU us: gate':>13} {'node':>6} {'workers':>8} {'errors':>7}")
    for label, row in rows.items():
        for n, k in row.items():
            m = {key: peers.median(v) for key, v in k.items() if key != "errors"}
            print(f"{label:6} {n:5} {m['rate']:8.0f} {m['p50'] * 1e3:8.0f} {m['p99'] * 1e3:8.0f} {m['gate']:13.1f} {m['node']:6.1f}"
                  f" {m['worker']:8.1f} {k['errors']:7}")
    more = [(y - x) * 1e3 for x, y in zip(rows["here"][1]["p50"], rows["near"][1]["p50"])]
    ratio = [y / x for x, y in zip(rows["here"][32]["rate"], rows["near"][32]["rate"])]
    print(f"p50 at one connection, remote - local: {peers.median(more):.0f} us by rounds ({min(more):.0f} to {max(more):.0f};"
          f" target 60): {verdict(peers.median(more) <= 60)}")
    print(f"throughput at 32 connections, remote / local: {peers.median(ratio):.2f} by rounds ({min(ratio):.2f} to"
          f" {max(ratio):.2f}; target 0.7): {verdict(peers.median(ratio) >= 0.7)}")
    places[1].stop()


# ---- far ----

class Echo:
    """A program that sends back what comes: what a plain round trip takes."""

    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", ECHO_SERVER], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ping(s):
    """Microseconds of a round trip of 200 bytes."""
    began, got = time.perf_counter(), 0
    s.sendall(b"p" * 200)
    while got < 200:
        got += len(s.recv(4096)) or sys.exit("bench: the echo server is gone")
    return (time.perf_counter() - began) * 1e6


def far(b):
    """Beside the invocations, in turn with them, plain round trips over the same delay: what they take beyond it is the
    program's that delays and this machine's that wakes up."""
    there = Place(b, "far", SlowLink(b.nodes_port, FAR_US))
    echo = Echo()
    delayed, none = SlowLink(echo.port, FAR_US), SlowLink(echo.port)
    connections = [calls.connect(port) for port in (echo.port, none.port, delayed.port, b.port, b.port)]
    requests = [p.request({"text": "x" * 186}) for p in (b.here, there)]
    b.here.warm(), there.warm()
    took = [[] for _ in connections]
    for _ in range(b.rounds * 40):
        for i, s in enumerate(connections):
            took[i].append(ping(s) if i < 3 else calls.call(s, requests[i - 3])[1] * 1e3)
    for s in connections:
        s.close()
    rate = peers.wrk(*load(b, there, 32))[0]
    for part in (there, delayed, none, echo):
        part.stop()
    direct, through, plain, home, away = (statistics.median(t) for t in took)
    trip = 2 * FAR_US
    print(f"a plain round trip: p50 {direct:.0f} us, through slow_link without delay {through:.0f} us, with {trip / 1e3:.0f} ms"
          f" {plain / 1e3:.2f} ms")
    print(f"an invocation at home p50 {home:.0f} us; over {trip / 1e3:.0f} ms p50 {away / 1e3:.2f} ms, p99"
          f" {percentile(took[4], 99) / 1e3:.2f} ms; at 32 connections {rate:.0f}/s (a worker for each, all the time: {32e6 / plain:.0f}/s)")
    print(f"beyond the plain round trip {away - plain:.0f} us (target 1000): {verdict(away - plain < 1000)};"
          f" beyond the delay itself {away - trip:.0f} us")


# ---- large ----

def large(b):
    """The time of the link is what is longer than the same at home: reading, hashing and JSON are in both."""
    there = Place(b, "wide", SlowLink(b.nodes_port, 0, GIGABIT))
    places = [b.here, there]
    for p in places:
        p.warm()
    wire = LARGE * 8 / GIGABIT * 1e3
    for name, event in (("there", {"there": "x" * LARGE}), ("back", {"back": LARGE})):
        took = {p.label: [] for p in places}
        requests = [p.request(event) for p in places]
        for _ in range(b.rounds * 4):
            for p, request in zip(places, requests):
                s = calls.connect(b.port)
                answer, ms = calls.call(s, request)
                s.close()
                if not answer.ok:
                    sys.exit(f"bench: {p.label}: {answer.status} {answer.body[:200]!r}")
                took[p.label].append(ms)
        home, away = (statistics.median(took[p.label]) for p in places)
        link = statistics.median(y - x for x, y in zip(*took.values()))
        least = min(took[there.label]) - min(took[b.here.label])
        print(f"5.9 MiB {name}: local {home:.1f} ms, over 1 Gbit/s {away:.1f} ms; the link's part {link:.1f} ms, the wire's"
              f" {wire:.1f} ms: {link / wire:.2f} (target 1.10): {verdict(link / wire <= 1.1)}; the shortest of each {least:.1f} ms: {least / wire:.2f}")
    there.stop()


# ---- fair ----

def fair(b, n=100):
    """Answers of 1 MiB, all ready at one moment; the first is done when all but a fair share of the others are, too."""
    there = Place(b, "shared", SlowLink(b.nodes_port, 0, GIGABIT))
    there.warm()
    calls.room_for_files(4 * n)
    calls.all_at_once(b.port, [there.request({"at": time.time() + 3}) for _ in range(n)])  # as many workers
    at = time.time() + 3
    requests = [there.request({"back": SHARE, "at": at}) for _ in range(n)]
    began = time.time()
    answers, took, _ = calls.all_at_once(b.port, requests)
    there.stop()
    if not all(a.ok for a in answers):
        sys.exit(f"bench: {[a.body[:100] for a in answers if not a.ok][:3]}")
    ready = (at - began) * 1e3
    took = [ms - ready for ms in took]
    wire = n * SHARE * 8 / GIGABIT * 1e3
    rates = [1 / ms for ms in took]
    jain = sum(rates) ** 2 / (n * sum(r * r for r in rates))
    print(f"{n} answers of 1 MiB at once over 1 Gbit/s: first done after {min(took):.0f} ms, half {statistics.median(took):.0f} ms,"
          f" last {max(took):.0f} ms (the wire alone {wire:.0f} ms); Jain's index of their rates {jain:.3f} (1: equal)")


# ---- join ----

def join(b):
    place = Place(b, "new")  # the label is known from then on
    took = []
    for i in range(b.rounds):
        place.node.stop()
        line = token(b.wick)
        s = calls.connect(b.port)
        request = place.request({"first": i})
        began = time.perf_counter()
        place.begin(f"new{i}", line)
        answer, _ = calls.call(s, request)
        took.append((time.perf_counter() - began) * 1e3)
        s.close()
        if not answer.ok:
            sys.exit(f"bench: {answer.status}: {answer.body[:300]!r}")
    place.stop()
    print(f"`wick node --join` started until the first invocation there is answered: p50 {statistics.median(took):.0f} ms,"
          f" longest {max(took):.0f} ms (target 1000): {verdict(max(took) < 1000)}")


# ---- outage ----

def outage(b):
    place = Place(b, "flaky", SlowLink(b.nodes_port))
    place.warm()
    for seconds in (0.5, 3, 12):
        took = []
        for _ in range(max(b.rounds // 2, 1)):
            s = calls.connect(b.port)
            place.link.cut()
            wait(lambda: state(b, "flaky") == "away", "the loss to be seen")
            time.sleep(seconds)
            place.link.mend()
            _, ms = calls.call(s, place.request({"after": 1}))
            took.append(ms)
            s.close()
        print(f"cut for {seconds} s, then mended: answered after p50 {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"
              f" (target 1000): {verdict(max(took) < 1000)}")
    place.stop()


# ---- a network that loses everything ----

class Router:
    """A network namespace between this one and the node's, which stops to forward: packets are lost, nobody is told."""

    def __init__(self):
        tag = f"wb{os.getpid() % 100000}"
        self.router, self.far, self.near, self.net = f"{tag}r", f"{tag}f", f"{tag}n", f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.address = f"{self.net}.1"
        self.made, self.shell = [], None

    def ip(self, *words, ns=None):
        subprocess.run(["ip", *(["-n", ns] if ns else []), *words], check=True)

    def begin(self):
        for ns in (self.router, self.far):
            self.ip("netns", "add", ns)
            self.made.append(ns)
        self.ip("link", "add", "name", self.near, "type", "veth", "peer", "name", "a", "netns", self.router)
        self.ip("link", "add", "name", "b", "type", "veth", "peer", "name", "c", "netns", self.far, ns=self.router)
        for ns, name, host in ((None, self.near, 1), (self.router, "a", 2), (self.router, "b", 5), (self.far, "c", 6)):
            self.ip("address", "add", f"{self.net}.{host}/30", "dev", name, ns=ns)
            self.ip("link", "set", "dev", name, "up", ns=ns)
        self.ip("link", "set", "dev", "lo", "up", ns=self.far)
        self.ip("route", "add", f"{self.net}.4/30", "via", f"{self.net}.2")
        self.ip("route", "add", "default", "via", f"{self.net}.5", ns=self.far)
        self.forward(True)

    def forward(self, on):
        """At once: the shell that does it is there already."""
        if not self.shell:
            self.shell = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.router}", "sh", "-c",
                                           "while read v; do echo $v >/proc/sys/net/ipv4/ip_forward && echo done; done"],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.shell.stdin.write(f"{int(on)}\n")
        self.shell.stdin.flush()
        if self.shell.stdout.readline() != "done\n":
            sys.exit("bench: the router cannot be switched")

    def end(self):
        if self.shell:
            self.shell.communicate()
        for ns in self.made:
            subprocess.run(["ip", "netns", "delete", ns], check=False)


class NodeBehind(Node):
    def __init__(self, folder, router, *args):
        self.router = router
        super().__init__(folder, *args)

    def start(self, *args):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WICK_")) and not k.lower().endswith("_proxy")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.router.far}", BUILD / "wick", "node", "--data", self.data, *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)


def blackhole(b):
    """An invocation is sent into the outage; how long after its end is it answered?"""
    if os.geteuid() or not shutil.which("ip"):
        print("needs root and iproute2: not run")
        return
    router, wick, node = Router(), None, None
    try:
        router.begin()
        wick = Wick(b.folder / "routed", "--nodes", f"{router.address}:0", "--worker-memory", "1m")
        line = token(wick)
        line[line.index("--join") + 1] = f"{router.address}:{line[line.index('--join') + 1].rsplit(':', 1)[1]}"
        node = NodeBehind(b.folder / "behind", router, *line, "--name", "behind")
        name = wick.deploy(ECHO, MemorySize=256, Timeout=60)
        port, request = calls.port_of(wick), calls.invocation(wick, name, {"n": 1})
        s = calls.connect(port)
        calls.call(s, request)
        for seconds in (1, 5, 8.5, 14, 25):
            took = []
            for _ in range(max(b.rounds // 2, 1)):
                router.forward(False)
                s.sendall(request)
                time.sleep(seconds)
                answer, began = calls.Answer(), time.perf_counter()
                router.forward(True)
                while not answer.add(s.recv(65536)):
                    pass
                took.append((time.perf_counter() - began) * 1e3)
                time.sleep(2)
            print(f"all lost for {seconds} s: answered after p50 {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"
                  f" (target 1000): {verdict(max(took) < 1000)}")
    finally:
        if node:
            node.stop()
        if wick:
            wick.stop()
        router.end()


PHASES = {"warm": warm, "far": far, "large": large, "fair": fair, "join": join, "outage": outage, "blackhole": blackhole}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=3)
    args.add_argument("--only", default=",".join(PHASES))
    args = args.parse_args()
    peers.need("wrk")
    subprocess.run(["ninja", "-C", BUILD, "--quiet", "src/net/slow_link"], check=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # and nothing is left behind
    b = Bench(args.rounds, args.seconds)
    try:
        print(f"remote nodes; {peers.machine()}; {args.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
        for name in args.only.split(","):
            print(f"-- {name}")
            PHASES[name](b)
    finally:
        b.stop()


if __name__ == "__main__":
    main()
