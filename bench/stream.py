#!/usr/bin/env /usr/bin/python3
"""Streams through function URLs: from a handler's first write to the client's first byte (a web program, a streaming
Node.js function), and a large body through a web program's URL against nginx proxying the same program. One run,
interleaved.  bench/stream.py [--rounds 5] [--megabytes 1024] [--firsts 200]"""
import argparse
import os
import pathlib
import shutil
import socket
import statistics
import time

import peers
import urls
from conftest import Wick

PROGRAM = r'''
import os, socket, threading, time
BLOCK = memoryview(bytes(1 << 20))
def serve(s):
    f = s.makefile("rb")
    while True:
        line = f.readline().decode()
        if not line: return
        while f.readline().strip(): pass
        path = line.split(" ")[1].lstrip("/")
        if path.startswith("first"):
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            time.sleep(0.002)
            stamp = b"%020d" % time.monotonic_ns()
            s.sendall(b"14\r\n" + stamp + b"\r\n")
            time.sleep(0.005)
            s.sendall(b"0\r\n\r\n")
        else:
            n = int(path)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (n << 20))
            for _ in range(n): s.sendall(BLOCK)
l = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=64)
while True:
    s, _ = l.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(s,), daemon=True).start()
'''
NODE = """
exports.handler = awslambda.streamifyResponse(async (event, out) => {
  await new Promise((done) => setTimeout(done, 2));
  out.write(String(process.hrtime.bigint()).padStart(20, '0'));
  await new Promise((done) => setTimeout(done, 5));
  out.end();
});
"""


def connect(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def first_byte_us(s, path):
    """From the stamp that the handler writes to when it is here."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    got = b""
    while True:
        got += s.recv(65536)
        now = time.monotonic_ns()
        head, _, body = got.partition(b"\r\n\r\n")
        if len(body) >= 24:
            break
    us = (now - int(body.split(b"\r\n")[1][:20])) / 1000
    while not got.endswith(b"0\r\n\r\n"):
        got += s.recv(65536)
    return us


def download(port, path, megabytes):
    s = connect(port)
    buffer = bytearray(1 << 20)
    begin = time.monotonic()
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    n = s.recv_into(buffer)
    left = (megabytes << 20) - (n - bytes(buffer[:n]).index(b"\r\n\r\n") - 4)
    while left > 0 and (n := s.recv_into(buffer)):
        left -= n
    s.close()
    if left:
        raise SystemExit(f"bench: {left} bytes of {megabytes} MiB did not come")
    return megabytes / (time.monotonic() - begin)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--megabytes", type=int, default=1024)
    args.add_argument("--firsts", type=int, default=200)
    args = args.parse_args()
    peers.need("nginx")
    folder = pathlib.Path(peers.folder())
    (folder / "server.py").write_text(PROGRAM)
    wick = Wick(folder / "data")
    web = urls.add_url(wick, urls.deploy_web(wick, PROGRAM, Timeout=300))
    node = urls.add_url(wick, urls.deploy(wick, {"index.js": NODE}, "index.handler", "nodejs20.x"),
                        InvokeMode="RESPONSE_STREAM")
    port = int(wick.url.rsplit(":", 1)[1])
    direct = peers.free_port()
    program = peers.Server(["/usr/bin/python3", folder / "server.py"], direct, env={**os.environ, "PORT": str(direct)})
    proxy = peers.nginx(folder, "proxy_http_version 1.1; proxy_buffering off; "
                                f"location / {{ proxy_pass http://127.0.0.1:{direct}; }}")
    firsts = {"wick, web program": (port, web + "first"), "wick, Node.js": (port, node),
              "nginx proxy, same program": (proxy.port, "/first"), "the program itself": (direct, "/first")}
    bulk = {"wick, web program": (port, web + str(args.megabytes)),
            "nginx proxy, same program": (proxy.port, f"/{args.megabytes}"),
            "the program itself": (direct, f"/{args.megabytes}")}
    delays = {name: [] for name in firsts}
    rates = {name: [] for name in bulk}
    try:
        for _ in range(args.rounds):
            for name, (at, path) in firsts.items():
                s = connect(at)
                delays[name] += [first_byte_us(s, path) for _ in range(max(args.firsts // args.rounds, 1))]
                s.close()
            for name, (at, path) in bulk.items():
                rates[name].append(download(at, path, args.megabytes))
    finally:
        proxy.stop()
        program.stop()
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"streams; {peers.machine()}; {args.rounds} rounds, medians")
    print(f"{'first byte after its write':28} {'p50 us':>8} {'p99 us':>8}")
    for name, us in delays.items():
        us.sort()
        print(f"{name:28} {statistics.median(us):8.0f} {us[int(len(us) * 0.99)]:8.0f}")
    print(f"{f'{args.megabytes} MiB in one answer':28} {'MiB/s':>8}")
    for name, rate in rates.items():
        print(f"{name:28} {peers.median(rate):8.0f}")
    ratio = peers.median(rates["wick, web program"]) / peers.median(rates["nginx proxy, same program"])
    print(f"wick / nginx: {ratio:.2f} (target 0.5)")


if __name__ == "__main__":
    main()
