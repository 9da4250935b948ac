#!/usr/bin/env /usr/bin/python3
"""What Wick costs when nobody uses it: start to ready, memory and CPU at rest, memory of 10,000 deployed functions, and
the memory of the gate while 5 GiB pass through it in one PUT.
  bench/idle.py [--functions 10000] [--put-gib 5]"""
import argparse
import pathlib
import shutil
import subprocess
import threading
import time

import peers
from conftest import ROLE, Wick, make_zip


def start_to_ready(wick):
    began = time.monotonic()
    wick.start()
    return (time.monotonic() - began) * 1e3


def programs(wick):
    return wick.pids("wick-gate") + wick.pids("wick-node")


def pss(wick):
    return sum(peers.pss_kib(p) for p in programs(wick)) / 1024


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--functions", type=int, default=10000)
    args.add_argument("--put-gib", type=int, default=5)
    args = args.parse_args()
    folder = pathlib.Path(peers.folder())
    wick = Wick(folder / "data")
    try:
        starts = []
        for _ in range(7):
            wick.stop()
            starts.append(start_to_ready(wick))
        time.sleep(2)  # let the start settle; what follows is measured over a span
        empty = pss(wick)
        before = peers.cpu_seconds(wick.process.pid)
        time.sleep(10)
        cpu = (peers.cpu_seconds(wick.process.pid) - before) / 10 * 100
        print(f"idle; {peers.machine()}")
        print(f"start to ready, median of {len(starts)}: {peers.median(starts):.0f} ms (target 100; polled every 10 ms)")
        print(f"gate + node PSS: {empty:.1f} MiB (target 20)")
        print(f"CPU of all Wick processes at rest over 10 s: {cpu:.3f} % (target 0.0)")
        if args.functions:
            lambda_ = wick.client("lambda")
            code = make_zip({"app.py": "def handler(event, context):\n    return event\n"})
            began = time.monotonic()
            for i in range(args.functions):
                lambda_.create_function(FunctionName=f"idle-{i}", Role=ROLE, Handler="app.handler", Runtime="python3.11",
                                        Code={"ZipFile": code})
            took = time.monotonic() - began
            wick.stop()
            start_to_ready(wick)
            time.sleep(2)
            print(f"{args.functions} functions deployed in {took:.0f} s; PSS after a restart: {pss(wick) - empty:+.1f} MiB (target +20)")
        if args.put_gib:
            s3 = wick.client("s3", signature_version="s3v4")
            s3.create_bucket(Bucket="big")
            url = s3.generate_presigned_url("put_object", Params={"Bucket": "big", "Key": "big"}, ExpiresIn=3600)
            most, over = [0.0], threading.Event()

            def watch():
                while not over.wait(0.1):
                    most[0] = max(most[0], sum(peers.pss_kib(p) for p in wick.pids("wick-gate")) / 1024)

            watcher = threading.Thread(target=watch)
            watcher.start()
            big = folder / "big"
            with open(big, "wb") as f:
                f.truncate(args.put_gib << 30)
            began = time.monotonic()
            subprocess.run(["curl", "-fsS", "-T", big, url], check=True, stdout=subprocess.DEVNULL)
            took = time.monotonic() - began
            over.set()
            watcher.join()
            print(f"PUT of {args.put_gib} GiB: {args.put_gib * 1024 / took:.0f} MiB/s, gate PSS at most {most[0]:.1f} MiB (target 64)")
    finally:
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
