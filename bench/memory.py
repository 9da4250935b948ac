#!/usr/bin/env /usr/bin/python3
"""Memory of idle Python workers: private memory (Private_Clean + Private_Dirty of /proc/PID/smaps_rollup) of one and of
1,000, and what the machine itself says is gone while they are there, kernel and page tables included. In the same run the
same handler as processes of gunicorn, which start by fork, too.
  bench/memory.py [--workers 1000]"""
import argparse
import json
import pathlib
import re
import shutil
import sys
import time

import calls
import peers
from conftest import Wick

SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return event\n"
WSGI = ("import json\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n")


def private_kib(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M))


def available_mib():
    return int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 1024


def workers(wick):
    """Processes below wick-node that are neither zygotes nor helpers: those in a pid namespace of their own."""
    node = wick.pids("wick-node")[0]
    own = pathlib.Path(f"/proc/{node}/ns/pid").readlink()
    found = []
    for pid in peers.tree(node):
        try:
            if pathlib.Path(f"/proc/{pid}/ns/pid").readlink() != own:
                found.append(pid)
        except OSError:
            pass
    return found


def totals(wick):
    return json.loads(wick.run("top", "--json").stdout)["totals"]["workers"]


def wait_idle(wick, n):
    end = time.monotonic() + 120
    while True:
        now = totals(wick)
        if now["busy"] == now["init"] == now["waiting"] == 0 and now["idle"] + now["frozen"] >= n:
            return now["idle"] + now["frozen"]
        if time.monotonic() > end:
            sys.exit(f"memory: only {now} workers")
        time.sleep(0.2)


def measure(wick, n, before, sleep):
    with calls.connect(calls.port_of(wick)) as c:
        calls.call(c, calls.invocation(wick, "sleep", {"s": 0}))
    if n > 1:
        # As many at once that none is answered before all have a worker.
        answers, _, _ = calls.all_at_once(calls.port_of(wick), [calls.invocation(wick, "sleep", {"s": sleep})] * n)
        bad = [a for a in answers if not a.ok]
        if bad:
            sys.exit(f"memory: {len(bad)} of {n}: {bad[0].status} {bad[0].body.decode(errors='replace')}")
    count = wait_idle(wick, 1)
    sizes = sorted(s for s in map(private_kib, workers(wick)) if s is not None)
    gone = before - available_mib()
    print(f"{count:6} idle workers: private memory each: median {peers.median(sizes) / 1024:.2f} MiB, largest"
          f" {sizes[-1] / 1024:.2f} MiB; together {sum(sizes) / 1024:.0f} MiB; of the machine {gone:.0f} MiB")
    return peers.median(sizes) / 1024, sum(sizes) / 1024


def gunicorn(folder, n):
    (folder / "app.py").write_text(WSGI)
    port = peers.free_port()
    before = available_mib()
    server = peers.Server(["/usr/bin/gunicorn", "-w", n, "--preload", "-b", f"127.0.0.1:{port}", "app:application"], port, cwd=folder)
    end = time.monotonic() + 120
    while len(peers.tree(server.pid)) < n + 1 and time.monotonic() < end:
        time.sleep(0.1)
    sizes = [s for s in map(private_kib, peers.tree(server.pid)) if s is not None]
    print(f"{n:6} gunicorn workers (forked, no box): median {peers.median(sizes) / 1024:.2f} MiB; of the machine"
          f" {before - available_mib():.0f} MiB")
    server.stop()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--workers", type=int, default=1000)
    args.add_argument("--sleep", type=int, default=15, help="seconds; no shorter than it takes to start them all")
    args = args.parse_args()
    peers.need("gunicorn")
    calls.room_for_files(8 * args.workers + 1024)
    folder = pathlib.Path(peers.folder())
    wick = Wick(folder / "data", "--worker-idle", "1h", "--concurrency", str(2 * args.workers + 10))
    try:
        print(f"memory of idle Python workers; {peers.machine()}")
        wick.deploy(SLEEP, name="sleep", MemorySize=128, Timeout=120)
        before = available_mib()
        one, _ = measure(wick, 1, before, 0)
        _, together = measure(wick, args.workers, before, args.sleep)
        print(f"one: {one:.2f} MiB (target 3); {args.workers} together: {together / 1024:.2f} GiB (target 3 for 1,000)")
        gunicorn(folder, min(args.workers, 50))
    finally:
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
