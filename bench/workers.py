#!/usr/bin/env /usr/bin/python3
"""What many workers cost an invocation that needs none of them: CPU of the gate a warm invocation of one function, while
there are no other workers and while there are 1,000 idle ones of another function. Rounds of both states, in one server:
the workers come by a burst of sleeping calls and go when they have been idle.
  bench/workers.py [--rounds 3] [--seconds 4] [--workers 1000]"""
import argparse
import json
import pathlib
import shutil
import sys
import time

import calls
import peers
from conftest import Wick
from invoke import ECHO, lua, signed

SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return event\n"


def idle(wick):
    w = json.loads(wick.run("top", "--json").stdout)["totals"]["workers"]
    return w["idle"] + w["frozen"], w["waiting"] + w["init"] + w["busy"] + w["ending"]


def wait(wick, condition, what):
    end = time.monotonic() + 600
    while not condition(*idle(wick)):
        if time.monotonic() > end:
            sys.exit(f"workers: waited for {what}, have {idle(wick)}")
        time.sleep(0.5)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--seconds", type=int, default=4)
    args.add_argument("--workers", type=int, default=1000)
    args.add_argument("--sleep", type=int, default=15, help="seconds; no shorter than it takes to start them all")
    args = args.parse_args()
    peers.need("wrk")
    calls.room_for_files(8 * args.workers + 1024)
    folder = pathlib.Path(peers.folder())
    wick = Wick(folder / "data", "--concurrency", str(2 * args.workers + 100))
    cpu, rate = {"alone": [], "among": []}, {"alone": [], "among": []}
    try:
        wick.deploy(ECHO, name="echo", MemorySize=128, Tags={"wick:idle": "1h"})
        wick.deploy(SLEEP, name="sleep", MemorySize=128, Timeout=120, Tags={"wick:idle": f"{60 + 10 * args.seconds}s"})
        body = json.dumps({"text": "x" * 186})
        url = f"{wick.url}/2015-03-31/functions/echo/invocations"
        gate = wick.pids("wick-gate")[0]

        def measure(state):
            script = lua(folder, "wick", signed(wick, url, body), body)
            peers.wrk(url, 32, 1, script)
            before = peers.cpu_seconds(gate)
            per_s, _, _, n, errors = peers.wrk(url, 32, args.seconds, script)
            cpu[state].append((peers.cpu_seconds(gate) - before) / max(n, 1) * 1e6)
            rate[state].append(per_s)
            if errors:
                sys.exit(f"workers: {errors} errors")

        for _ in range(args.rounds):
            wait(wick, lambda n, other: n < 40 and other == 0, "the workers of the round before to go")
            measure("alone")
            answers, _, _ = calls.all_at_once(calls.port_of(wick), [calls.invocation(wick, "sleep", {"s": args.sleep})] * args.workers)
            if not all(a.ok for a in answers):
                sys.exit("workers: a call failed")
            wait(wick, lambda n, other: n >= args.workers and other == 0, f"{args.workers} idle workers")
            measure("among")
    finally:
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)
    alone, among = peers.median(cpu["alone"]), peers.median(cpu["among"])
    print(f"gate beside idle workers; {peers.machine()}; {args.rounds} rounds of {args.seconds} s, medians")
    print(f"{'':26} {'req/s at 32':>12} {'gate CPU us/req':>16}")
    print(f"{'no other workers':26} {peers.median(rate['alone']):12.0f} {alone:16.1f}")
    print(f"{f'{args.workers} idle workers':26} {peers.median(rate['among']):12.0f} {among:16.1f}")
    print(f"CPU of the gate an invocation, among {args.workers} workers / alone: {among / alone:.3f} (target 1.05)")


if __name__ == "__main__":
    main()
