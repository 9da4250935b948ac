#!/usr/bin/env /usr/bin/python3
"""Bursts from zero workers: 1,000 concurrent invocations of one Python function that sleeps 100 ms, and 200 distinct
functions called at the same moment. All connections are open before the clock starts; it ends with the last answer. The
floor in the same rounds is a server that forks a loaded Python for each request, without a box.
  bench/burst.py [--rounds 5] [--calls 1000] [--functions 200]"""
import argparse
import collections
import json
import pathlib
import shutil
import sys
import time

import calls
import peers
from conftest import ROLE, Wick, make_zip

SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return event\n"
TARGETS = {"one function": 6.0, "distinct functions": 2.0}


def deploy(wick, names):
    client = wick.client("lambda")
    for name in names:
        client.create_function(FunctionName=name, Role=ROLE, Handler="app.handler", Runtime="python3.11", Timeout=60,
                               Code={"ZipFile": make_zip({"app.py": SLEEP, "name": name})})


def workers(wick):
    totals = json.loads(wick.run("top", "--json").stdout)["totals"]["workers"]
    return sum(totals[s] for s in ("waiting", "init", "idle", "frozen", "busy", "ending"))


def wait_for_none(wick):
    """Until the workers of the round before have gone."""
    end = time.monotonic() + 300
    while workers(wick) > 0:
        if time.monotonic() > end:
            sys.exit("burst: workers do not end")
        time.sleep(0.2)


class Row:
    def __init__(self, name):
        self.name, self.whole, self.p50, self.p99, self.cpu, self.started = name, [], [], [], [], []
        self.refused = collections.Counter()

    def take(self, answers, took, whole, cpu, started=0):
        for a in answers:
            if not a.ok:
                self.refused[f"{a.status} {a.headers.get('x-amz-function-error', a.headers.get('x-amzn-errortype', ''))}"] += 1
        ordered = sorted(took)
        self.whole.append(whole / 1e3)
        self.p50.append(ordered[len(ordered) // 2])
        self.p99.append(ordered[len(ordered) * 99 // 100])
        self.cpu.append(cpu / len(answers) * 1e3 if cpu is not None else None)
        self.started.append(started)

    def print(self):
        # A forked child is gone with its time before anybody looks.
        cpu = f"{peers.median(self.cpu):9.2f}" if self.cpu[0] is not None else f"{'-':>9}"
        print(f"{self.name:34} {peers.median(self.whole):8.2f} {peers.median(self.p50):9.0f} {peers.median(self.p99):9.0f}"
              f" {cpu} {peers.median(self.started):9.0f}  {dict(self.refused) or 'none'}")


def burst(row, port, requests, wick=None):
    before = peers.cpu_seconds(wick.process.pid) if wick else 0
    answers, took, whole = calls.all_at_once(port, requests)
    row.take(answers, took, whole, peers.cpu_seconds(wick.process.pid) - before if wick else None,
             workers(wick) if wick else 0)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--calls", type=int, default=1000)
    args.add_argument("--functions", type=int, default=200)
    args = args.parse_args()
    calls.room_for_files(8 * args.calls + 1024)
    folder = pathlib.Path(peers.folder())
    # Workers go quickly, so that every round begins with none; calls at once are bounded by the account's limit.
    wick = Wick(folder / "data", "--worker-idle", "1s", "--concurrency", str(max(2 * args.calls, 1000)))
    port = peers.free_port()
    fork = peers.Server(["/usr/bin/python3", peers.ROOT / "bench" / "fork_server.py", port, "json"], port)
    one, many = Row(f"wick, {args.calls} of one function"), Row(f"wick, {args.functions} distinct functions")
    fork_one, fork_many = Row(f"fork, {args.calls} (no box)"), Row(f"fork, {args.functions} (no box)")
    try:
        names = [f"burst-{i}" for i in range(args.functions)]
        deploy(wick, ["burst", *names])
        wick.invoke("burst", {"s": 0})  # the zygote is there, as it is on a machine in use
        for _ in range(args.rounds):
            wait_for_none(wick)
            burst(one, calls.port_of(wick), [calls.invocation(wick, "burst", {"s": 0.1})] * args.calls, wick)
            burst(fork_one, port, [calls.plain_request(port, '{"s": 0.1}')] * args.calls)
            wait_for_none(wick)
            burst(many, calls.port_of(wick), [calls.invocation(wick, n, {"s": 0}) for n in names], wick)
            burst(fork_many, port, [calls.plain_request(port, '{"s": 0}')] * args.functions)
    finally:
        fork.stop()
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"bursts from zero workers; {peers.machine()}; {args.rounds} rounds, medians")
    print(f"{'':34} {'all s':>8} {'p50 ms':>9} {'p99 ms':>9} {'CPU ms/1':>9} {'workers':>9}  refused")
    for row in (one, fork_one, many, fork_many):
        row.print()
    print(f"{args.calls} calls of one function: {peers.median(one.whole):.2f} s (target {TARGETS['one function']} for 1,000)")
    print(f"{args.functions} functions: {peers.median(many.whole):.2f} s (target {TARGETS['distinct functions']} for 200)")
    print(f"wick / fork without a box: {peers.median(one.whole) / peers.median(fork_one.whole):.2f},"
          f" {peers.median(many.whole) / peers.median(fork_many.whole):.2f}")


if __name__ == "__main__":
    main()
