"""Zygotes of Python: what they load, what a forked worker has of its own, many invocations at once, SnapStart.
Needs: the built wick-python, a C compiler, Debian's python3-boto3, python3-numpy and python3-pil."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

import lane
import zygote
from test_python_runtime import ECHO, PROGRAM, endpoint, error, folder, init_error, worker  # noqa: F401

BIG = "boto3,PIL,numpy"


def loaded(*args):
    z = zygote.Zygote(PROGRAM, *args)
    z.close()
    return z.loaded.split()


def imports(frame):
    return frame.meta.get(lane.IMPORTS, b"").decode().split()


# --- Loading ------------------------------------------------------------------------------------------------------


def test_what_was_loaded_is_said(capfd):
    assert loaded() == []
    assert loaded("--import", "boto3,nothing_by_this_name,PIL.Image,not a name,,json") == ["boto3", "PIL.Image", "json"]
    said = capfd.readouterr().err
    assert "nothing_by_this_name: ModuleNotFoundError" in said and "not a name" in said


def zygote_with(folder, modules, *args):
    """Runs one that finds further modules among the machine's own: (exit status, messages, packets)."""
    for name, text in modules.items():
        (folder / (name + ".py")).write_text(text)
    control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = 'mount --bind "$0" /usr/local/lib/python3.11/dist-packages && exec "$@"'
    process = subprocess.Popen(["unshare", "-rm", "sh", "-c", script, folder, PROGRAM, "--zygote", *args],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, close_fds=False,
                               preexec_fn=lambda: os.dup2(far.fileno(), 3))
    far.close()
    control.settimeout(60)
    first = control.recv(1 << 16)
    control.close()
    said = process.communicate(timeout=60)[1].decode()
    return process.returncode, said, first[40:].decode() if first else None


def test_a_module_that_leaves_threads_is_refused(folder):
    status, said, text = zygote_with(folder, {
        "oddity": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"},
        "--import", "yaml,oddity")
    assert (status, text) == (2, None)
    assert "import oddity leaves 2 threads" in said


POOL = r"""
#include <pthread.h>
#include <unistd.h>
static pthread_t worker;
static int pipe_[2], runs;
static void *work(void *arg) { char c; return read(pipe_[0], &c, 1) < 0 ? arg : 0; }
static void stop(void) { if (runs) { runs = 0; (void)!write(pipe_[1], "x", 1); pthread_join(worker, 0); } }
__attribute__((constructor)) static void start(void)
{
	runs = pipe(pipe_) == 0 && pthread_create(&worker, 0, work, 0) == 0;
	pthread_atfork(stop, 0, 0);
}
"""


def test_a_library_that_ends_its_threads_before_a_fork_is_loaded(folder):
    """As OpenBLAS does."""
    (folder / "pool.c").write_text(POOL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "pool.so", folder / "pool.c"], check=True)
    status, said, text = zygote_with(folder, {"pooled": "import ctypes\nctypes.CDLL(%r)\n" % str(folder / "pool.so")},
                                     "--import", "pooled")
    assert (status, text) == (0, "pooled"), said


def test_modules_that_fail_are_left_out(folder):
    status, said, text = zygote_with(folder, {"leaves": "import sys\nsys.exit(3)\n", "fails": "1/0\n", "fine": ""},
                                     "--import", "leaves,fine,fails")
    assert (status, text) == (0, "fine")
    assert "import leaves: SystemExit: 3" in said and "import fails: ZeroDivisionError" in said


def test_environment_of_the_zygote_is_no_worker_s(folder):
    (folder / "app.py").write_text("import os, time\ndef handler(e, c):\n"
                                   "    return [open('/proc/self/environ').read(), dict(os.environ), time.tzname[0]]\n")
    args = ["--uid", "65534", "--gid", "65534"] if os.geteuid() == 0 else []
    z = zygote.Zygote(PROGRAM, *args, env={"SECRET_OF_NODE": "hush", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    w = lane.Worker(folder, env={"TZ": "Asia/Tokyo"}, parent=z)
    try:
        assert w.receive().kind == lane.READY
        block, env, zone = w.invoke(0).json
        assert "hush" not in block and "SECRET_OF_NODE" not in env and "PYTHONPATH" not in env
        assert env["AWS_LAMBDA_FUNCTION_NAME"] == "test" and zone == "JST"
    finally:
        w.stop()
        z.close()


# --- What workers import ------------------------------------------------------------------------------------------


def test_imports_are_told(worker):
    code = "import boto3, app_part\nfrom PIL import Image\n" + ECHO
    pathlib.Path(worker.folder, "app_part.py").write_text("import pytest\n")
    w = worker(code)
    assert sorted(imports(w.ready)) == ["PIL", "boto3", "pytest"]
    assert imports(w.invoke(1)) == []
    w = worker(code, imports=BIG)
    assert sorted(imports(w.ready)) == ["PIL", "boto3", "pytest"]


def test_imports_of_the_first_invocation_are_told(worker):
    w = worker("def handler(e, c):\n    import numpy.linalg\n    import requests\n")
    assert imports(w.ready) == []
    assert sorted(imports(w.invoke(0))) == ["numpy", "requests"]
    assert imports(w.invoke(0)) == []
    # With what is loaded nothing is imported any more; the code still says what it wants.
    w = worker(None, imports="numpy")
    assert imports(w.ready) == ["numpy"]
    assert imports(w.invoke(0)) == ["requests"]


def test_no_imports_of_the_function_s_own(worker):
    pathlib.Path(worker.folder, "opt/python").mkdir(parents=True)
    pathlib.Path(worker.folder, "opt/python/layered.py").write_text("import csv\n")
    w = worker("import layered, sys, json, logging\n" + ECHO)
    assert imports(w.ready) == ["csv"]


def test_own_modules_come_before_preloaded_ones(worker):
    """As without a zygote: also what was imported with the machine's is imported anew with the function's."""
    pathlib.Path(worker.folder, "urllib3").mkdir()
    pathlib.Path(worker.folder, "urllib3/__init__.py").write_text("mine = True\n")
    (pathlib.Path(worker.folder, "decimal.py")).write_text("mine = True\n")
    w = worker("import decimal, numpy, urllib3\ndef handler(e, c):\n    try:\n        import boto3\n"
               "    except ImportError as e:\n        return [urllib3.mine, decimal.mine, str(e), numpy.__file__]\n",
               imports=BIG)
    mine, also, message, numpy = w.invoke(0).json
    assert mine and also and "urllib3" in message and numpy.startswith("/usr/lib/python3/")


def test_own_modules_by_names_of_the_standard_library(worker):
    for name in ("string", "random", "logging"):
        pathlib.Path(worker.folder, name + ".py").write_text("mine = %r\n" % name)
    w = worker("import logging, random, string, tempfile, threading, urllib.parse\n"
               "def handler(e, c):\n    tempfile.mktemp()\n    return [logging.mine, random.mine, string.mine]\n")
    assert w.invoke(0).json == ["logging", "random", "string"]


# --- A worker's own -----------------------------------------------------------------------------------------------

DRAW = """
import os, random, secrets, ssl, tempfile, uuid
import numpy

def draw():
    return {"random": random.random(), "numpy": float(numpy.random.random()), "ssl": ssl.RAND_bytes(16).hex(),
            "numpy generator": float(numpy.random.default_rng().random()), "secrets": secrets.token_hex(16),
            "uuid1": str(uuid.uuid1()), "uuid4": str(uuid.uuid4()), "urandom": os.urandom(16).hex(),
            "tempfile": os.path.basename(tempfile.mktemp())}

%s
def handler(event, context):
    return draw()
"""


def all_differ(draws):
    for name in draws[0]:
        values = [d[name] for d in draws]
        assert len(set(values)) == len(values), (name, values)
    # The clock alone would make them differ: the node and the sequence of uuid1 must, too.
    assert len({d["uuid1"][19:] for d in draws}) == len(draws)


@pytest.mark.parametrize("modules", ["", "ssl,numpy", "cryptography,numpy,ssl", "boto3,numpy"])
def test_randomness_is_a_worker_s_own(worker, modules):
    workers = [worker(DRAW % "", imports=modules) for _ in range(4)]
    all_differ([w.invoke(0).json for w in workers])


HANDLERS = r"""
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static char seen[64];
static void note(char c) { size_t n = strlen(seen); if (n < sizeof(seen) - 1) seen[n] = c; }
static void prepare1(void) { note('1'); }
static void prepare2(void) { note('2'); }
static void parent1(void) { note('p'); }
static void parent2(void) { note('q'); }
static void child1(void) { note('c'); }
static void child2(void) { note('d'); }
const char *what(void) { return seen; }
void clear(void) { memset(seen, 0, sizeof(seen)); }
__attribute__((constructor)) static void setup(void)
{
	pthread_atfork(prepare1, parent1, child1);
	pthread_atfork(prepare2, parent2, child2);
}
"""


@pytest.fixture
def library(folder):
    source = folder / "handlers.c"
    source.write_text(HANDLERS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "handlers.so", source], check=True)
    return folder / "handlers.so"


def test_atfork_handlers_run_around_the_clone(worker, library):
    """The library is loaded by a snapshot, whose children are made by a raw clone, too."""
    code = "import ctypes\nlib = ctypes.CDLL('/var/task/handlers.so')\nlib.what.restype = ctypes.c_char_p\n"
    code += "def handler(e, c):\n    seen = lib.what().decode(); lib.clear(); return seen\n"
    with Snapshot(worker, code) as s:
        # The first turn is the snapshot's count of its threads; in the second it is the parent of the first worker.
        assert s.restore().invoke(0).json == "21pq" + "21cd"
        assert s.restore().invoke(0).json == "21pq" + "21pq" + "21cd"


def test_atfork_handlers_of_an_unloaded_library_are_not_called(worker, library):
    code = "import _ctypes\n_ctypes.dlclose(_ctypes.dlopen('/var/task/handlers.so', 2))\n" + ECHO
    with Snapshot(worker, code) as s:
        assert s.restore().invoke(5).json == 5


def test_libraries_of_layers_and_packages(worker, folder):
    """An extension module that needs a library that needs another; and one that is opened by name."""
    def build(path, text, *args):
        path.parent.mkdir(parents=True, exist_ok=True)
        source = folder / "source.c"
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source, *args], check=True)

    build(folder / "opt/lib/libwickb.so", "int b(void) { return 40; }", "-Wl,-soname,libwickb.so")
    build(folder / "lib/libwicka.so", "int b(void); int a(void) { return b() + 2; }", "-L%s/opt/lib" % folder, "-lwickb",
          "-Wl,-soname,libwicka.so")
    build(folder / "ext.so", "#define PY_SSIZE_T_CLEAN\n#include <Python.h>\nint a(void);\n"
          "static struct PyModuleDef m = {PyModuleDef_HEAD_INIT, \"ext\", 0, -1, 0, 0, 0, 0, 0};\n"
          "PyObject *PyInit_ext(void) { PyObject *o = PyModule_Create(&m);"
          " PyModule_AddIntConstant(o, \"value\", a()); return o; }", "-I/usr/include/python3.11",
          "-L%s/lib" % folder, "-lwicka")
    build(folder / "other/libwickc.so", "int c(void) { return 7; }")
    code = "import ctypes, ext\ndef handler(e, c):\n    c = ctypes.CDLL('libwickc.so').c()\n"
    code += "    try:\n        ctypes.CDLL('libnothere.so')\n    except OSError as e:\n        return [ext.value, c, str(e)]\n"
    w = worker(code, env={"LD_LIBRARY_PATH": "/nowhere:/var/task/other"})
    value, c, message = w.invoke(0).json
    assert (value, c) == (42, 7) and message.startswith("libnothere.so: cannot open shared object file")


def test_what_programs_are_made_of(worker):
    """Processes, threads, loops: all that a fork could have left half."""
    w = worker("""
import asyncio, concurrent.futures, multiprocessing, os, subprocess, threading

def square(x):
    return x * x

async def echo():
    p = await asyncio.create_subprocess_exec("/bin/echo", "hi", stdout=-1)
    return (await p.communicate())[0].decode()

def handler(event, context):
    with multiprocessing.Pool(2) as pool:
        pooled = pool.map(square, range(3))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        processed = list(pool.map(square, range(3)))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(square, range(3)))
    ids = threading.main_thread().native_id == threading.get_native_id() == os.getpid() == 1
    return [pooled, processed, threaded, asyncio.run(echo()), subprocess.getoutput("echo ho"), ids]
""")
    assert w.invoke(0).json == [[0, 1, 4], [0, 1, 4], [0, 1, 4], "hi\n", "ho", True]


# --- Several at once ----------------------------------------------------------------------------------------------


def answers(w, n):
    return {uuid.UUID(bytes=f.id): f for f in (w.receive() for _ in range(n))}


def send(w, event):
    ident = uuid.uuid4()
    w.send(lane.encode(lane.INVOKE, ident.bytes, {lane.DEADLINE_MS: int(time.time() * 1000) + 60000,
                                                  lane.ARN: "arn:test"}, json.dumps(event).encode()))
    return ident


MANY = {"WICK_CONCURRENCY": "8"}


def test_several_invocations_at_once(worker):
    w = worker("import threading\nall_here = threading.Barrier(8)\n"
               "def handler(e, c):\n    all_here.wait(60)\n    return [e, c.aws_request_id]\n", env=MANY)
    assert w.ready.number(lane.CONCURRENCY) == 8
    sent = {send(w, n): n for n in range(8)}
    got = answers(w, 8)
    assert {ident: f.json for ident, f in got.items()} == {ident: [n, str(ident)] for ident, n in sent.items()}


def test_answers_come_as_they_are_done(worker):
    w = worker("import threading\ngo = threading.Event()\ndef handler(e, c):\n    if e == 1: go.wait(60)\n"
               "    if e == 3: go.set()\n    return 'x' * e\n", env=MANY)
    first, second = send(w, 1), send(w, 3 << 20)
    frame = w.receive()
    assert frame.id == second.bytes and len(frame.json) == 3 << 20
    third = send(w, 3)
    assert {i: f.json for i, f in answers(w, 2).items()} == {first: "x", third: "xxx"}


def test_errors_among_several(worker):
    w = worker("import logging\ndef handler(e, c):\n    logging.warning('here')\n    if e % 2: raise ValueError(e)\n"
               "    return {1} if e == 4 else e\n", env=MANY)
    sent = {send(w, n): n for n in range(20)}
    for ident, frame in answers(w, 20).items():
        n = sent[ident]
        if n % 2:
            assert frame.kind == lane.ERROR and frame.json["errorType"] == "ValueError"
            assert frame.json["requestId"] == str(ident)
        elif n == 4:
            assert frame.json["errorType"] == "Runtime.MarshalError"
        else:
            assert frame.kind == lane.RESULT and frame.json == n
    for ident in sent:
        assert ("\t%s\there\n" % ident).encode() in w.output


@pytest.mark.parametrize("code, status", [("sys.exit(7)", 7), ("os._exit(5)", 5), ("raise KeyboardInterrupt", 1),
                                          ("os.kill(os.getpid(), 9)", 137)])
def test_ends_among_several(worker, code, status):
    w = worker("import os, sys, time\ndef handler(e, c):\n    if e: %s\n    time.sleep(600)\n" % code, env=MANY)
    for event in (0, 0, 1):
        send(w, event)
    with pytest.raises(lane.Closed):
        w.receive()
    assert w.wait() in (status, -signal.SIGINT if "Keyboard" in code else status)


def test_closed_lane_ends_the_threads(worker):
    w = worker("import time\ndef handler(e, c): time.sleep(600)\n", env=MANY)
    send(w, 1)
    w.sock.shutdown(2)
    assert w.wait() == 0


def test_signals_come_to_the_main_thread(worker):
    w = worker("import os, signal, threading\ncame = threading.Event()\n"
               "signal.signal(signal.SIGUSR1, lambda *a: came.set())\n"
               "def handler(e, c):\n    os.kill(os.getpid(), signal.SIGUSR1)\n    return came.wait(60)\n", env=MANY)
    assert w.invoke(0).json is True


# --- SnapStart ----------------------------------------------------------------------------------------------------


class Snapshot:
    """A snapshot, and what is forked from it."""

    def __init__(self, worker, source, ready=True, **kw):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, self.workers, self.folder = ours, [], worker.folder
        ours.settimeout(60)
        self.snapshot = worker(source, how="snapshot", fds=[theirs.fileno()], ready=ready, **kw)
        theirs.close()

    def send(self, *args):
        zygote.Zygote.send(self, *args)

    def receive(self):
        return zygote.Zygote.receive(self)

    def restore(self, env=None, ready=True):
        w = lane.Worker(self.folder, env=env, how="restore", parent=self)
        self.workers.append(w)
        if ready:
            w.ready = w.receive()
            assert w.ready.kind == lane.READY, (w.ready, w.output)
        return w

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for w in self.workers:
            w.stop()
        self.control.close()
        if self.snapshot.ended() is None:
            assert self.snapshot.wait() == 0


def test_snapshot_and_restore(worker):
    code = "import os, uuid\nname = str(uuid.uuid4())\nprint('once')\n"
    code += "def handler(e, c): return [name, os.environ['MINE'], c.log_stream_name, os.getpid(), os.listdir('/tmp')]\n"
    with Snapshot(worker, code, env={"MINE": "snapshot"}) as s:
        a = s.restore({"MINE": "a", "AWS_LAMBDA_LOG_STREAM_NAME": "stream a"})
        b = s.restore({"MINE": "b", "AWS_LAMBDA_LOG_STREAM_NAME": "stream b"})
        first, second = a.invoke(0).json, b.invoke(0).json
        assert first == [first[0], "a", "stream a", 1, []] and second == [first[0], "b", "stream b", 1, []]
        assert a.output == b.output == b"" and s.snapshot.output == b"once\n"


@pytest.mark.parametrize("modules", ["ssl,numpy", "boto3"])
def test_randomness_after_a_snapshot(worker, modules):
    """Also where each of the generators was used before, and all processes are number 1 of their namespace."""
    with Snapshot(worker, DRAW % "draw()", imports=modules) as s:
        all_differ([s.restore().invoke(0).json for _ in range(4)])


HOOKS = """
import os
from snapshot_restore_py import register_after_restore, register_before_snapshot

seen = []

@register_before_snapshot
def before_first():
    seen.append("before 1")

register_before_snapshot(seen.append, "before 2")
register_after_restore(lambda *a, **k: seen.append([a, k, os.environ["MINE"]]), 1, x=2)

@register_after_restore
def after():
    seen.append("after 2")

def handler(event, context):
    return seen
"""


def test_hooks(worker):
    with Snapshot(worker, HOOKS, env={"MINE": "snapshot"}) as s:
        expected = ["before 2", "before 1", [[1], {"x": 2}, "w"], "after 2"]
        assert s.restore({"MINE": "w"}).invoke(0).json == expected
        assert s.restore({"MINE": "w"}).invoke(0).json == expected


def test_hooks_without_snapstart_are_not_called(worker):
    assert worker(HOOKS).invoke(0).json == []


def test_hooks_of_the_function_s_own_library(worker):
    pathlib.Path(worker.folder, "snapshot_restore_py.py").write_text(
        "a, b = [], []\nget_before_snapshot = lambda: b\nget_after_restore = lambda: a\n"
        "def register_before_snapshot(f, *p, **k): b.append((f, p, k))\n"
        "def register_after_restore(f, *p, **k): a.append((f, p, k))\n")
    code = "import snapshot_restore_py as s\nseen = []\ns.register_before_snapshot(seen.append, 1)\n"
    code += "s.register_after_restore(seen.append, 2)\ndef handler(e, c): return seen\n"
    with Snapshot(worker, code) as s:
        assert s.restore().invoke(0).json == [1, 2]


def test_errors_of_snapshots(worker):
    def failed(source):
        s = Snapshot(worker, source, ready=False)
        e = init_error(s.snapshot)
        s.control.close()
        return e

    e = failed("import nothere\n")
    assert e["errorType"] == "Runtime.ImportModuleError"
    e = failed("from snapshot_restore_py import *\nimport snapshot_restore_py as s\n"
               "@s.register_before_snapshot\ndef f():\n    raise OSError('no')\n" + ECHO)
    assert (e["errorType"], e["errorMessage"]) == ("Runtime.BeforeSnapshotError", "OSError: no")
    assert 'app.py", line 5, in f' in e["stackTrace"][-1]
    e = failed("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n" + ECHO)
    assert e["errorType"] == "Runtime.SnapshotError" and "2 threads" in e["errorMessage"]


def test_error_of_a_restore(worker):
    with Snapshot(worker, "import snapshot_restore_py as s\n@s.register_after_restore\ndef f():\n    1 / 0\n" + ECHO) as s:
        w = s.restore(ready=False)
        e = init_error(w)
        assert (e["errorType"], e["errorMessage"]) == ("Runtime.AfterRestoreError", "ZeroDivisionError: division by zero")


def test_restore_of_what_is_no_snapshot(worker):
    w = worker(ECHO, how="restore", ready=False)
    assert init_error(w)["errorType"] == "Runtime.SnapshotError"


BUCKETS = """
import boto3
s3 = boto3.client("s3")
s3.list_buckets()
def handler(event, context):
    s3.list_buckets()
    boto3.client("s3").list_buckets()
"""


def test_credentials_and_connections_after_a_snapshot(worker, endpoint):
    """A client of boto3 made, and used, before the snapshot: signs with the worker's keys, and has left its connection
    behind."""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_ACCESS_KEY_ID": "AKIAsnapshot", "NO_PROXY": "*"}
    s = Snapshot(worker, BUCKETS, env=env, ready=False)
    with s:
        api = endpoint(s.snapshot)
        assert s.snapshot.receive().kind == lane.READY
        assert len(api.seen) == 1 and "AKIAsnapshot" in api.seen[0][1]
        for name in ("AKIAone", "AKIAtwo"):
            w = s.restore({**env, "AWS_ACCESS_KEY_ID": name, "AWS_SESSION_TOKEN": "t"})
            own = endpoint(w)
            frame = w.invoke(0)
            assert frame.kind == lane.RESULT, frame
            assert len(own.seen) == 2 and all(name in auth for _, auth in own.seen)
        assert len(api.seen) == 1


def test_files_after_a_snapshot(worker):
    """Each worker has the files that were open as its own, with their position; what is gone reads as ended."""
    pathlib.Path(worker.folder, "data.txt").write_text("0123456789")
    code = "import os\nf = open('/var/task/data.txt', 'rb', 0)\nf.read(3)\ng = open('/tmp/scratch', 'w+')\n"
    code += "r, w = os.pipe()\n"
    code += "def handler(e, c):\n    read = f.read(2).decode()\n    try:\n        g.write('x'); g.flush()\n"
    code += "    except OSError as e: return [read, type(e).__name__, len(os.read(r, 1))]\n"
    with Snapshot(worker, code) as s:
        a, b = s.restore(), s.restore()
        for w, read in ((a, "34"), (b, "34"), (a, "56")):
            assert w.invoke(0).json == [read, "OSError", 0]


def test_concurrency_after_a_snapshot(worker):
    code = "import threading\nboth = threading.Barrier(2)\ndef handler(e, c):\n    both.wait(60)\n    return e\n"
    with Snapshot(worker, code, env={"WICK_CONCURRENCY": "2"}) as s:
        w = s.restore({"WICK_CONCURRENCY": "2"})
        assert w.ready.number(lane.CONCURRENCY) == 2
        sent = {send(w, n): n for n in (1, 2)}
        assert {i: f.json for i, f in answers(w, 2).items()} == sent


def test_end_of_a_restored_worker_is_told(worker):
    with Snapshot(worker, "import os\ndef handler(e, c): os._exit(3)\n") as s:
        w = s.restore()
        with pytest.raises(lane.Closed):
            w.invoke(0)
        assert w.wait() == 3


# --- Memory -------------------------------------------------------------------------------------------------------


def test_an_idle_worker_keeps_little_to_itself(worker):
    if b"__asan_init" in PROGRAM.read_bytes():
        pytest.skip("with sanitizers it keeps more")
    w = worker(ECHO)
    w.invoke(1)
    rollup = pathlib.Path("/proc/%d/smaps_rollup" % w.pid).read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    assert private < 3 << 10, rollup
