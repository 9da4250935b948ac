#!/usr/bin/python3
"""How long a zygote of Python takes from FORK to READY, and what an idle worker keeps to itself, without gate and node.

	bench/python_zygote.py [BUILD] [-n COUNT]

One row for each set of preloaded modules: p50 and p99 of FORK to FORKED (the clone), to BOXED and to READY; processor
time of the zygote for the fork and of the worker until READY, which other load disturbs less (p50, /proc/PID/schedstat);
memory of an idle worker after one invocation (/proc/PID/smaps_rollup)."""
import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "flow"))

HELLO = "def handler(event, context):\n    return event\n"
USES = "import boto3, numpy\nfrom PIL import Image\n" + HELLO


def rollup(pid):
    found = {}
    for line in pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text().splitlines()[1:]:
        name, value = line.split(":")
        found[name] = int(value.split()[0])
    return found


def cpu(pid):
    return int(pathlib.Path("/proc/%d/schedstat" % pid).read_text().split()[0]) / 1e6


def start(lane, folder, imports):
    parent = lane.zygote_of(lane.BUILD / "src/runtime/wick-python", imports).process.pid
    before = cpu(parent)
    times = [time.perf_counter()]
    w = lane.Worker(folder, imports=imports, on_forked=lambda: times.append(time.perf_counter()))
    times.append(time.perf_counter())
    frame = w.receive()
    times.append(time.perf_counter())
    assert frame.kind == lane.READY, (frame, w.output)
    used = [cpu(parent) - before, cpu(w.pid)]
    return w, [(t - times[0]) * 1000 for t in times[1:]] + used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=str(ROOT / "build"))
    parser.add_argument("-n", type=int, default=100)
    args = parser.parse_args()
    os.environ["WICK_BUILD"] = args.build
    import lane

    folder = tempfile.mkdtemp(prefix="wick-bench-")
    os.chmod(folder, 0o755)
    print("%-16s %-5s %15s %15s %15s %9s %10s %11s %7s" % (
        "preloaded", "code", "FORKED ms", "BOXED ms", "READY ms", "fork cpu", "worker cpu", "private KiB", "rss"))
    for imports, code in (("", HELLO), ("boto3,PIL,numpy", USES), ("boto3,PIL,numpy", HELLO)):
        pathlib.Path(folder, "app.py").write_text(code)
        rows, private, rss = [], [], []
        for i in range(args.n):
            w, row = start(lane, folder, imports)
            w.invoke({"a": 1})
            memory = rollup(w.pid)
            private.append(memory["Private_Dirty"] + memory["Private_Clean"])
            rss.append(memory["Rss"])
            w.stop()
            if i >= 3:
                rows.append(row)
        text = ""
        columns = [sorted(column) for column in zip(*rows)]
        for column in columns[:3]:
            text += " %7.2f/%7.2f" % (statistics.median(column), column[int(len(column) * 0.99)])
        print("%-16s %-5s%s %9.2f %10.2f %11d %7d" % (
            imports or "-", "hello" if code == HELLO else "uses", text, statistics.median(columns[3]),
            statistics.median(columns[4]), statistics.median(private), statistics.median(rss)))
    shutil.rmtree(folder)


main()
