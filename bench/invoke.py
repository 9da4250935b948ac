#!/usr/bin/env /usr/bin/python3
"""Warm synchronous invocation of a Python echo handler (200 bytes of JSON, signed, metered, logged) against the same
handler as WSGI under gunicorn's sync worker and uWSGI, and nginx `return 200` as the floor. One run, interleaved.
  bench/invoke.py [--rounds 5] [--seconds 4]"""
import argparse
import json
import pathlib
import shutil

import botocore.auth
import botocore.awsrequest
import botocore.credentials

import peers
from conftest import Wick

ECHO = "def handler(event, context):\n    return event\n"
WSGI = """
import json
def application(environ, start_response):
    event = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body = json.dumps(event).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


def lua(folder, name, headers, body):
    path = pathlib.Path(folder) / f"{name}.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}"]
    lines += [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def signed(wick, url, body):
    """A signature holds for 15 minutes, so one serves every request of a run."""
    request = botocore.awsrequest.AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(*wick.keys), "lambda", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=int, default=4)
    args = args.parse_args()
    peers.need("wrk", "nginx", "gunicorn", "uwsgi")
    folder = peers.folder()
    body = json.dumps({"text": "x" * 186})
    app = pathlib.Path(folder) / "echo.py"
    app.write_text(WSGI)
    wick = Wick(pathlib.Path(folder) / "data")
    wick.deploy(ECHO, name="echo", MemorySize=128)
    wick.invoke("echo")
    url = f"{wick.url}/2015-03-31/functions/echo/invocations"
    plain = lua(folder, "plain", {"Content-Type": "application/json"}, body)
    own = lua(folder, "wick", signed(wick, url, body), body)
    ports = [peers.free_port() for _ in range(4)]
    python = {"cwd": folder}
    servers = {
        "nginx return 200": peers.nginx(folder, "location / { return 200 'ok'; }"),
        "gunicorn sync x1": peers.Server(["/usr/bin/gunicorn", "-w", 1, "-b", f"127.0.0.1:{ports[3]}", "echo:application"],
                                         ports[3], **python),
        "gunicorn sync x2": peers.Server(["/usr/bin/gunicorn", "-w", 2, "-b", f"127.0.0.1:{ports[0]}", "echo:application"],
                                         ports[0], **python),
        "uwsgi http-socket": peers.Server(["uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{ports[1]}",
                                           "--processes", 2, "--wsgi-file", app, "--disable-logging", "--master"], ports[1], **python),
        "uwsgi http router": peers.Server(["uwsgi", "--plugins", "python3,http", "--http", f"127.0.0.1:{ports[2]}",
                                           "--http-keepalive", "--processes", 2, "--wsgi-file", app, "--disable-logging",
                                           "--master"], ports[2], **python),
    }
    contenders = [(name, f"http://127.0.0.1:{s.port}/", plain, s.pid) for name, s in servers.items()]
    contenders.append(("wick invoke", url, own, wick.process.pid))
    rows = {name: {"rate": [], "p50": [], "p99": [], "cpu": [], "one": [], "errors": 0} for name, *_ in contenders}
    try:
        for _ in range(args.rounds):
            for name, target, script, pid in contenders:
                before = peers.cpu_seconds(pid)
                rate, p50, p99, n, errors = peers.wrk(target, 32, args.seconds, script)
                row = rows[name]
                row["cpu"].append((peers.cpu_seconds(pid) - before) / max(n, 1) * 1e6)
                row["rate"].append(rate), row["p50"].append(p50), row["p99"].append(p99)
                row["errors"] += errors
                row["one"].append(peers.wrk(target, 1, 1, script)[1])
    finally:
        for s in servers.values():
            s.stop()
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"warm invocation, 200 bytes; {peers.machine()}; {args.rounds} rounds of {args.seconds} s, medians")
    print(f"{'':20} {'req/s at 32':>12} {'p50 ms':>8} {'p99 ms':>8} {'CPU us/req':>11} {'p50 ms at 1':>12} {'errors':>7}")
    for name, row in rows.items():
        print(f"{name:20} {peers.median(row['rate']):12.0f} {peers.median(row['p50']):8.2f} {peers.median(row['p99']):8.2f}"
              f" {peers.median(row['cpu']):11.1f} {peers.median(row['one']):12.3f} {row['errors']:7}")
    mine = peers.median(rows["wick invoke"]["rate"])
    uwsgi = max(peers.median(rows[n]["rate"]) for n in rows if n.startswith("uwsgi"))
    for n in ("gunicorn sync x1", "gunicorn sync x2"):
        print(f"wick / {n}: {mine / peers.median(rows[n]['rate']):.2f} (target 3)")
    print(f"wick / best uwsgi:    {mine / uwsgi:.2f} (target 0.8)")
    print(f"CPU of all Wick processes an invocation: {peers.median(rows['wick invoke']['cpu']):.0f} us (target 120)")
    one = peers.median(rows["wick invoke"]["one"]) / peers.median(rows["nginx return 200"]["one"])
    print(f"p50 at one connection, wick / nginx return 200: {one:.2f} (target 2.5)")


if __name__ == "__main__":
    main()
