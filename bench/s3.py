#!/usr/bin/env /usr/bin/python3
"""Objects against nginx's static files and dd: GET of 1 KiB (wrk, 32 connections, presigned), PUT and GET of 64 MiB
(curl) on the same disk and loopback. One run, interleaved.
  bench/s3.py [--rounds 5] [--seconds 4]"""
import argparse
import os
import pathlib
import shutil
import subprocess
import time

import peers
from conftest import Wick

MIB = 1 << 20
BIG = 64 * MIB


def timed(argv, **kw):
    began = time.monotonic()
    subprocess.run(list(map(str, argv)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
    return time.monotonic() - began


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=4)
    args = args.parse_args()
    peers.need("wrk", "nginx", "curl", "dd")
    folder = pathlib.Path(peers.folder())
    os.chmod(folder, 0o755)
    static = folder / "static"
    static.mkdir()
    (static / "small").write_bytes(os.urandom(1024))
    (static / "big").write_bytes(os.urandom(BIG))
    wick = Wick(folder / "data")
    s3 = wick.client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="bench")
    s3.upload_file(str(static / "small"), "bench", "small")

    def sign(method, key):
        return s3.generate_presigned_url(method, Params={"Bucket": "bench", "Key": key}, ExpiresIn=3600)

    server = peers.nginx(folder, f"root {static}; location / {{ }}")
    small = {"nginx": f"http://127.0.0.1:{server.port}/small", "wick": sign("get_object", "small")}
    pids = {"nginx": server.pid, "wick": wick.process.pid}
    rates, cpus = {n: [] for n in small}, {n: [] for n in small}
    put = {"dd fsync": [], "wick": []}
    get = {"nginx": [], "wick": []}
    errors = 0
    try:
        for _ in range(args.rounds):
            for name, url in small.items():
                before = peers.cpu_seconds(pids[name])
                rate, _, _, n, bad = peers.wrk(url, 32, args.seconds)
                rates[name].append(rate)
                cpus[name].append((peers.cpu_seconds(pids[name]) - before) / max(n, 1) * 1e6)
                errors += bad
            put["dd fsync"].append(timed(["dd", f"if={static}/big", f"of={folder}/data.dd", "bs=1M", "conv=fsync"]))
            put["wick"].append(timed(["curl", "-fsS", "-T", static / "big", sign("put_object", "big")]))
            get["nginx"].append(timed(["curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1:{server.port}/big"]))
            get["wick"].append(timed(["curl", "-fsS", "-o", "/dev/null", sign("get_object", "big")]))
    finally:
        server.stop()
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)

    m = peers.median
    print(f"objects; {peers.machine()}; {args.rounds} rounds, medians")
    for name in rates:
        print(f"GET 1 KiB, 32 connections  {name:10} {m(rates[name]):9.0f} req/s {m(cpus[name]):7.1f} CPU us/req")
    for what, rows in (("PUT 64 MiB", put), ("GET 64 MiB", get)):
        for name, t in rows.items():
            print(f"{what:26} {name:10} {BIG / MIB / m(t):9.0f} MiB/s")
    print(f"errors: {errors}")
    print(f"GET 1 KiB, wick / nginx:  {m(rates['wick']) / m(rates['nginx']):.2f} (target 0.5)")
    print(f"PUT 64 MiB, wick / dd:    {m(put['dd fsync']) / m(put['wick']):.2f} (target 0.7)")
    print(f"GET 64 MiB, wick / nginx: {m(get['nginx']) / m(get['wick']):.2f} (target 0.7)")


if __name__ == "__main__":
    main()
