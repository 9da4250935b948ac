#!/usr/bin/env /usr/bin/python3
"""Cold starts: request sent to answer received, by a function that was never invoked before and for which nothing is
there but its deployed package, for each runtime; beside what others need to get as far: starting the interpreter, a
container (bubblewrap, runc), a fork of a loaded Python without a box. All in turn, round by round, so that drift of the
machine meets all alike; medians, 99th percentiles and the stages as the gate says them.
  bench/coldstart.py [--rounds 100] [--only python,nodejs]"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import calls
import peers
from conftest import ROLE, ROOT, Wick, make_zip

HELLO = "def handler(event, context):\n    return event\n"
LIBRARIES = "import boto3\nimport numpy\nfrom PIL import Image\n" + HELLO
NODEJS = "exports.handler = async (event) => event;\n"
NATIVE = """#include <wick.h>
void wick_handler(wick_invocation *in)
{
	size_t n;
	const char *event = wick_event(in, &n);
	wick_answer(in, event, n);
}
"""
TARGETS = {"python": 6, "python libs": 12, "native C": 5, "nodejs": 25, "provided C": 6}
MODULES = ("boto3", "PIL", "numpy")


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def zipped(files, number):
    """Files of a package, and one more that makes it a package of its own: nothing of another's is there already."""
    return make_zip({**files, "number": f"{number}\n"})


def executable_zip(name, data, number):
    import io
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o100755 << 16
        z.writestr(entry, data)
        z.writestr("number", f"{number}\n")
    return out.getvalue()


def compile_c(folder, source, out, *flags):
    target = pathlib.Path(folder) / out
    subprocess.run(["gcc", "-O2", "-s", *flags, "-o", target, source], check=True)
    return target.read_bytes()


class Contender:
    """A kind of function; each call is the first of one that was deployed before."""

    def __init__(self, name, conf, package):
        self.name, self.conf, self.package = name, conf, package
        self.requests, self.times, self.stages = [], [], {s: [] for s in calls.STAGES}

    def function(self, number):
        return f"{self.name.replace(' ', '-').lower()}-{number}"

    def deploy(self, wick, n):
        client = wick.client("lambda")
        for number in range(n):
            client.create_function(FunctionName=self.function(number), Role=ROLE, Timeout=30, MemorySize=256,
                                   Code={"ZipFile": self.package(number)}, **self.conf)

    def sign(self, wick, numbers):
        self.requests = [calls.invocation(wick, self.function(n), {"n": n}) for n in numbers]

    def once(self, connection):
        answer, took = calls.call(connection, self.requests.pop())
        if not answer.ok:
            sys.exit(f"coldstart: {self.name}: {answer.status} {answer.body.decode(errors='replace')}")
        stages = answer.stages()
        if stages["init"] == 0 and stages["start"] == 0:
            sys.exit(f"coldstart: {self.name} was not a cold start")
        self.times.append(took)
        for stage, ms in stages.items():
            self.stages[stage].append(ms)


def contenders(folder):
    native_c = pathlib.Path(folder) / "native.c"
    native_c.write_text(NATIVE)
    native = compile_c(folder, native_c, "echo.so", "-shared", "-fPIC", f"-I{ROOT / 'include'}")
    bootstrap = compile_c(folder, ROOT / "examples" / "provided-c" / "bootstrap.c", "bootstrap", "-static")
    python = {"Runtime": "python3.11", "Handler": "app.handler"}
    return [
        Contender("python", python, lambda n: zipped({"app.py": HELLO}, n)),
        Contender("python libs", python, lambda n: zipped({"app.py": LIBRARIES}, n)),
        Contender("native C", {"Runtime": "native", "Handler": "echo.so"}, lambda n: executable_zip("echo.so", native, n)),
        Contender("nodejs", {"Runtime": "nodejs20.x", "Handler": "index.handler"}, lambda n: zipped({"index.js": NODEJS}, n)),
        Contender("provided C", {"Runtime": "provided.al2023", "Handler": "bootstrap"},
                  lambda n: executable_zip("bootstrap", bootstrap, n)),
    ]


class Program:
    """A peer that is a process from its start to its end."""

    def __init__(self, name, argv, **kw):
        self.name, self.argv, self.kw, self.times = name, argv, kw, []

    def once(self, connection):
        began = time.perf_counter()
        done = subprocess.run(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self.kw)
        if done.returncode:
            sys.exit(f"coldstart: {self.name}: {done.stderr.decode(errors='replace')}")
        self.times.append((time.perf_counter() - began) * 1e3)


class Forking:
    """A peer that forks a loaded Python for each request."""

    def __init__(self, name, *modules):
        self.name, self.times = name, []
        port = peers.free_port()
        self.server = peers.Server(["/usr/bin/python3", peers.ROOT / "bench" / "fork_server.py", port, *modules], port)
        self.request = calls.plain_request(port, json.dumps({"n": 1}))

    def once(self, connection):
        began = time.perf_counter()
        own = calls.connect(self.server.port)
        calls.call(own, self.request)
        self.times.append((time.perf_counter() - began) * 1e3)
        own.close()

    def stop(self):
        self.server.stop()


def runc_bundle(folder):
    """The machine's own programs, read-only, as the box has them."""
    bundle = pathlib.Path(folder) / "bundle"
    root = bundle / "rootfs"
    for name in ("usr", "proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/usr/bin/python3", "-c", "pass"])
    # Where the machine's control groups are not laid out as runc expects it, it does not start; it is faster without.
    spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
    spec["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    spec["linux"].pop("resources", None)
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle


def programs(folder):
    python = "/usr/bin/python3"
    found = [Program("python3 -c pass", [python, "-c", "pass"]),
             Program("python3, libraries", [python, "-c", "import boto3, numpy; from PIL import Image"])]
    if shutil.which("node"):
        found.append(Program("node -e 0", [shutil.which("node"), "-e", "0"]))
    found.append(Program("bwrap python3", ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
                                           "--tmpfs", "/tmp", python, "-c", "pass"]))
    try:
        runc = Program("runc python3", ["runc", "run", "wick-bench"], cwd=runc_bundle(folder))
        subprocess.run(runc.argv, cwd=runc.kw["cwd"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
        found.append(runc)
    except subprocess.CalledProcessError as e:
        print("coldstart: runc does not run here:", e.stderr.decode(errors="replace").strip().splitlines()[-1], file=sys.stderr)
    return found


def top(wick):
    return json.loads(wick.run("top", "--json").stdout)


def settle(wick):
    """Until all processes of Wick have been quiet for a moment: what the last start left to be done is done."""
    last = peers.cpu_seconds(wick.process.pid)
    for _ in range(200):
        time.sleep(0.02)
        now = peers.cpu_seconds(wick.process.pid)
        if now - last < 0.001:
            return
        last = now


def warm_up(wick, kinds, n):
    """Runs n functions of each kind, so that zygotes are there and have learnt what functions import. Not measured."""
    with calls.connect(calls.port_of(wick)) as connection:
        for kind in kinds:
            kind.sign(wick, range(n))
            for request in kind.requests:
                answer, _ = calls.call(connection, request)
                if not answer.ok:
                    sys.exit(f"coldstart: {kind.name}: {answer.status} {answer.body.decode(errors='replace')}")
                settle(wick)
            kind.requests = []
    if any(k.name == "python libs" for k in kinds):
        for _ in range(300):
            zygotes = [str(z["imports"]) for node in top(wick)["nodes"] for z in node["zygotes"]]
            if any(all(m in z for m in MODULES) for z in zygotes):
                return
            time.sleep(0.1)
        print("coldstart: no zygote has learnt", *MODULES, file=sys.stderr)


def report(kinds, others, rounds):
    print(f"cold start; {peers.machine()}; {rounds} rounds, interleaved; milliseconds")
    print(f"{'':20} {'p50':>8} {'p99':>8} {'target':>7}   medians: " + " ".join(f"{s:>7}" for s in calls.STAGES) + f" {'rest':>7}")
    for kind in kinds:
        medians = [peers.median(kind.stages[s]) for s in calls.STAGES]
        rest = peers.median([t - sum(kind.stages[s][i] for s in calls.STAGES) for i, t in enumerate(kind.times)])
        print(f"{kind.name:20} {peers.median(kind.times):8.2f} {percentile(kind.times, 99):8.2f} {TARGETS[kind.name]:7}"
              "            " + " ".join(f"{m:7.2f}" for m in medians) + f" {rest:7.2f}")
    for other in others:
        print(f"{other.name:20} {peers.median(other.times):8.2f} {percentile(other.times, 99):8.2f}")
    python = next((k for k in kinds if k.name == "python"), None)
    for other in others:
        if python and other.name in ("python3 -c pass", "bwrap python3", "runc python3", "fork, no box"):
            print(f"wick python / {other.name}: {peers.median(python.times) / peers.median(other.times):.2f}")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=100)
    args.add_argument("--warm", type=int, default=3, help="functions of each kind that run first and are not measured")
    args.add_argument("--only", default="", help="kinds by how their names begin, with commas between")
    args = args.parse_args()
    peers.need("bwrap", "gcc", *(["runc"] if os.geteuid() == 0 else []))
    folder = peers.folder()
    kinds = [k for k in contenders(folder) if not args.only or k.name.startswith(tuple(args.only.split(",")))]
    wick = Wick(pathlib.Path(folder) / "data", "--worker-idle", "1h")
    forking = []
    try:
        for kind in kinds:
            kind.deploy(wick, args.warm + args.rounds)
        warm_up(wick, kinds, args.warm)
        others = programs(folder)
        forking = [Forking("fork, no box", "json"), Forking("fork, libraries", *MODULES)]
        others += forking
        for number in range(args.rounds):
            for kind in kinds:
                kind.sign(wick, [args.warm + number])
            with calls.connect(calls.port_of(wick)) as connection:
                for contender in kinds + others:
                    settle(wick)
                    contender.once(connection)
        report(kinds, others, args.rounds)
    finally:
        for server in forking:
            server.stop()
        wick.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
