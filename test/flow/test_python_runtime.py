"""wick-python over its lane, without gate and node: what a handler sees, and how what goes wrong is told.
Needs: the built wick-python, Debian's python3-boto3."""

import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

import lane

SLOW = 60
PROGRAM = lane.BUILD / "src/runtime/wick-python"


@pytest.fixture
def folder():
    """A folder that the user whom boxes run as can read."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wick-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def worker(folder):
    """worker(source, handler=…, env=…): a started worker whose READY has been read."""
    workers = []

    def start(source, handler="app.handler", env=None, ready=True, name="app.py", **kw):
        if source is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        w = lane.Worker(folder, handler, env, **kw)
        workers.append(w)
        if ready:
            w.ready = w.receive()
            assert w.ready.kind == lane.READY, (w.ready, w.output)
            assert w.ready.id == lane.NO_ID
            assert w.ready.number(lane.MAX_RSS_KIB) > 1000
        return w

    start.folder = folder
    yield start
    for w in reversed(workers):
        w.stop()


def init_error(w):
    frame = w.receive()
    assert frame.kind == lane.ERROR and frame.id == lane.NO_ID, frame
    assert frame.meta[lane.ERROR_TYPE].decode() == frame.json["errorType"]
    assert w.wait() == 1
    return frame.json


def error(w, event=None, **meta):
    frame = w.invoke(event, **meta)
    assert frame.kind == lane.ERROR, frame
    assert frame.meta[lane.ERROR_TYPE].decode() == frame.json["errorType"]
    return frame.json


ECHO = "def handler(event, context):\n    return event\n"


def test_echo_of_every_kind_of_value(worker):
    w = worker(ECHO)
    for value in (None, True, 1, -1.5, "", "x", [], {}, {"a": [1, {"b": None}]}, "日本 \U0001f56f \x00 é", [1] * 1000):
        frame = w.invoke(value)
        assert frame.kind == lane.RESULT
        assert frame.json == value
        assert frame.number(lane.MAX_RSS_KIB) > 1000
    assert w.output == b""


def test_event_of_6_mib_and_small_ones_after(worker):
    w = worker(ECHO)
    big = {"data": "x" * (6 * 1024 * 1024 - 100)}
    assert w.invoke(big).json == big
    assert w.invoke({"a": 1}).json == {"a": 1}


def test_answer_over_the_limit(worker):
    w = worker("def handler(e, c): return 'x' * (7 << 20)\n")
    e = error(w)
    assert e["errorType"] == "Function.ResponseSizeTooLarge"
    assert w.invoke(1).kind == lane.ERROR  # it goes on


def test_event_that_is_no_json(worker):
    w = worker(ECHO)
    for body in (b"", b"{", b"\xff\xfe\x00", b"[1,]", b"nope"):
        frame = w.invoke(None, body=body)
        assert frame.kind == lane.ERROR
        assert frame.json["errorType"] == "Runtime.UnmarshalError"
        assert frame.json["errorMessage"].startswith("Unable to unmarshal input: ")
    assert w.invoke(7).json == 7


def test_exception(worker):
    w = worker('def inner():\n    raise ValueError("bad é")\n\n\ndef handler(event, context):\n    inner()\n')
    ident = uuid.uuid4()
    frame = w.invoke({}, ident=ident.bytes)
    e = frame.json
    path = "/var/task/app.py"
    assert e == {
        "errorMessage": "bad é", "errorType": "ValueError", "requestId": str(ident),
        "stackTrace": ['  File "%s", line 6, in handler\n    inner()\n' % path,
                       '  File "%s", line 2, in inner\n    raise ValueError("bad é")\n' % path]}
    log = w.output.decode()
    assert log.startswith("[ERROR] ValueError: bad é\nTraceback (most recent call last):\n  File ")
    assert log.endswith("raise ValueError(\"bad é\")\n")
    assert w.ended() is None


def test_exception_whose_text_fails(worker):
    w = worker("class E(Exception):\n    def __str__(self):\n        raise RuntimeError('no')\n"
               "def handler(e, c): raise E()\n")
    assert "RuntimeError" in error(w)["errorMessage"]


def test_answer_that_is_no_json(worker):
    w = worker("def handler(e, c):\n    if e == 'set': return {1, 2}\n    x = []\n    x.append(x)\n    return x\n")
    e = error(w, "set")
    assert e["errorType"] == "Runtime.MarshalError" and e["stackTrace"] == []
    assert e["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"
    assert error(w, "circle")["errorMessage"] == "Unable to marshal response: Circular reference detected"
    assert error(w, "set")["errorType"] == "Runtime.MarshalError"


def test_decimal_is_a_number(worker):
    w = worker("import decimal\ndef handler(e, c): return decimal.Decimal('1.5')\n")
    assert w.invoke(0).json == 1.5


@pytest.mark.parametrize("source, handler, kind, message", [
    ("import nothere\n", "app.handler", "Runtime.ImportModuleError",
     "Unable to import module 'app': No module named 'nothere'"),
    (ECHO, "other.handler", "Runtime.ImportModuleError", "Unable to import module 'other': No module named 'other'"),
    (ECHO, "app.missing", "Runtime.HandlerNotFound", "Handler 'missing' missing on module 'app'"),
    (ECHO, "handler", "Runtime.MalformedHandlerName",
     "Bad handler 'handler': not enough values to unpack (expected 2, got 1)"),
    (ECHO, "sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
    ("1/0\n", "app.handler", "ZeroDivisionError", "division by zero"),
])
def test_init_errors(worker, source, handler, kind, message):
    w = worker(source, handler, ready=False)
    e = init_error(w)
    assert (e["errorType"], e["errorMessage"]) == (kind, message)
    assert w.output.decode().startswith("[ERROR] %s: %s\n" % (kind, message))


def test_syntax_error(worker):
    w = worker("def handler(event, context)\n    return 1\n", ready=False)
    e = init_error(w)
    assert e["errorType"] == "Runtime.UserCodeSyntaxError"
    assert e["errorMessage"].startswith("Syntax error in module 'app': expected ':' (app.py, line 1)")
    assert 'app.py" Line 1\n    def handler(event, context)' in e["stackTrace"][0]


def test_handler_in_a_package(worker):
    w = worker(ECHO, "deep/down/app.handler", name="deep/down/app.py")
    assert w.invoke("in").json == "in"


def test_layers_and_pythonpath_are_searched_after_the_package(worker, folder):
    places = {"opt/python/layered.py": "opt/python", "own/owned.py": "own",
              "opt/python/lib/python3.11/site-packages/sited.py": "site"}
    for path, text in places.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("where = %r\n" % text)
    w = worker("import layered, owned, sited, sys\n"
               "def handler(e, c): return [layered.where, owned.where, sited.where, sys.path[0]]\n",
               env={"PYTHONPATH": "/var/task/own"})
    assert w.invoke(0).json == ["opt/python", "own", "site", "/var/task"]
    assert not list(folder.rglob("*.pyc"))


def test_is_debians_python(worker):
    w = worker("import sys\ndef handler(e, c): return [sys.executable, sys.prefix, sys.version_info[:2]]\n",
               env={"PYTHONHOME": "/nonexistent"})
    assert w.invoke(0).json == ["/usr/bin/python3.11", "/usr", [3, 11]]


CONTEXT = """
def handler(event, c):
    cc = c.client_context
    return {"names": [c.function_name, c.function_version, c.memory_limit_in_mb, c.log_group_name, c.log_stream_name],
            "id": c.aws_request_id, "arn": c.invoked_function_arn, "left": c.get_remaining_time_in_millis(),
            "identity": [c.identity.cognito_identity_id, c.identity.cognito_identity_pool_id],
            "client": cc and [cc.custom, cc.env, cc.client.app_title, cc.client.installation_id], "repr": repr(c),
            "trace": __import__("os").environ.get("_X_AMZN_TRACE_ID")}
"""


def test_context(worker):
    w = worker(CONTEXT)
    ident = uuid.uuid4()
    client = {"custom": {"a": 1}, "env": {"locale": "de"}, "client": {"app_title": "t"}}
    r = w.invoke(0, ident=ident.bytes, deadline_ms=int(time.time() * 1000) + 100000, arn="arn:x", trace="Root=1-2",
                 client_context=json.dumps(client)).json
    assert r["names"] == ["test", "$LATEST", "128", "/aws/lambda/test", "2026/01/31/[$LATEST]0"]
    assert r["id"] == str(ident) and r["arn"] == "arn:x" and r["trace"] == "Root=1-2"
    assert 0 < r["left"] <= 100000
    assert r["identity"] == [None, None]
    assert r["client"] == [{"a": 1}, {"locale": "de"}, "t", None]
    assert r["repr"].startswith("LambdaContext([aws_request_id=" + str(ident))
    r = w.invoke(0, deadline_ms=1).json
    assert r["left"] == 0 and r["client"] is None and r["trace"] is None


def test_output_is_there_before_the_answer(worker):
    w = worker("import os, sys, ctypes\ndef handler(e, c):\n"
               "    print('one'); sys.stderr.write('two\\n'); os.write(1, b'three\\xff\\x00\\n')\n"
               "    ctypes.CDLL(None).printf(b'four'); sys.stdout.write('five'); sys.stdout.flush()\n"
               "    sys.stdout.buffer.write(b'\\xfe'); print('\\ud800')\n")
    w.invoke(0)
    assert w.output == b"one\ntwo\nthree\xff\x00\nfourfive\xfe\\ud800\n"


def test_output_of_a_child_process(worker):
    w = worker("import os, subprocess\ndef handler(e, c):\n"
               "    subprocess.run(['/bin/echo', 'from a child'])\n    pid = os.fork()\n"
               "    if pid == 0:\n        print('from a fork', flush=True); os._exit(3)\n"
               "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n")
    assert w.invoke(0).json == 3
    assert w.output == b"from a child\nfrom a fork\n"


def test_100_mb_of_output(worker):
    w = worker("def handler(e, c):\n    for i in range(100): print('x' * 1048575)\n")
    assert w.invoke(0).kind == lane.RESULT
    assert len(w.output) == 100 * 1048576


def test_logging(worker):
    w = worker("import logging\nlog = logging.getLogger('mine')\ndef handler(e, c):\n"
               "    log.info('hidden'); log.warning('seen %d', 1)\n    logging.error('bad')\n")
    ident = uuid.uuid4()
    w.invoke(0, ident=ident.bytes)
    lines = w.output.decode().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(r"\[WARNING\]\t%s\t%s\tseen 1" % (stamp, ident), lines[0])
    assert re.fullmatch(r"\[ERROR\]\t%s\t%s\tbad" % (stamp, ident), lines[1])
    assert len(lines) == 2


def test_log_level(worker):
    w = worker("import logging\ndef handler(e, c): logging.info('now seen')\n", env={"AWS_LAMBDA_LOG_LEVEL": "INFO"})
    w.invoke(0)
    assert b"\tnow seen\n" in w.output


# Process 1 of a pid namespace cannot be ended by a signal of its own: it ends with 128 and the signal's number.
@pytest.mark.parametrize("code, status, output", [
    ("sys.exit(7)", 7, b""), ("sys.exit()", 0, b""), ("sys.exit('why')", 1, b"why\n"), ("os._exit(9)", 9, b""),
    ("os.abort()", 128 + signal.SIGABRT, b""), ("os.kill(os.getpid(), 9)", 128 + signal.SIGKILL, b""),
    ("os.kill(os.getpid(), 15)", 128 + signal.SIGTERM, b""),
    ("signal.raise_signal(9)", 128 + signal.SIGKILL, b""), ("os.kill(0, 9)", 128 + signal.SIGKILL, b""),
    ("signal.alarm(1); time.sleep(600)", 128 + signal.SIGALRM, b""),
    ("subprocess.run(['/bin/sh', '-c', 'kill -TERM $PPID']); time.sleep(600)", 128 + signal.SIGTERM, b""),
    ("__import__('ctypes').string_at(0)", -signal.SIGSEGV, b""),
    ("sys.setrecursionlimit(1 << 30); deep()", -signal.SIGSEGV, b""),
])
def test_ends_of_the_process(worker, code, status, output):
    w = worker("import os, signal, subprocess, sys, time\ndef deep(*a): return list(map(deep, [0]))\n"
               "def handler(e, c):\n    print('last words')\n    %s\n" % code)
    with pytest.raises(lane.Closed):
        w.invoke(0)
    assert w.wait() == status
    assert w.output == b"last words\n" + output


def test_keyboard_interrupt_ends_the_worker(worker):
    w = worker("def handler(e, c):\n    print('partial', end='')\n    raise KeyboardInterrupt\n")
    with pytest.raises(lane.Closed):
        w.invoke(0)
    assert w.wait() != 0
    assert b"KeyboardInterrupt" in w.output and b"partial" in w.output


def test_exit_while_importing(worker):
    w = worker("import sys\nsys.exit(5)\n", ready=False)
    with pytest.raises(lane.Closed):
        w.receive()
    assert w.wait() == 5


def test_closed_lane_ends_the_worker_quietly(worker):
    w = worker("import atexit, threading, time\natexit.register(time.sleep, 600)\n"
               "threading.Thread(target=time.sleep, args=(600,)).start()\n" + ECHO)
    w.invoke(1)
    w.sock.shutdown(2)
    assert w.wait() == 0
    assert w.output == b""


def test_forked_child_does_not_hold_the_lane(worker):
    w = worker("import os, time\ndef handler(e, c):\n    pid = os.fork()\n"
               "    if pid == 0:\n        os.setsid()\n        time.sleep(600)\n    os._exit(0)\n")
    with pytest.raises(lane.Closed):
        w.invoke(0)
    assert w.wait() == 0  # and with the first process of its namespace the child ends


def test_signals_of_a_forked_child_are_as_ever(worker):
    w = worker("import os, signal, time\ndef handler(e, c):\n    pid = os.fork()\n"
               "    if pid == 0:\n        os.kill(os.getpid(), e)\n        time.sleep(600)\n"
               "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n")
    for signo in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGUSR1):
        assert w.invoke(signo).json == -signo


def test_garbage_from_the_gate_ends_the_worker(worker):
    w = worker(ECHO)
    w.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".ljust(64))
    assert w.wait() == 0


@pytest.mark.parametrize("args, said", [([], b"as a zygote"), (["--zygote"], b"fd 3")])
def test_started_by_hand_it_says_so(args, said):
    r = subprocess.run([PROGRAM, *args], capture_output=True, close_fds=True, timeout=SLOW)
    assert r.returncode == 2
    assert said in r.stderr
    r = subprocess.run([PROGRAM, "--version"], capture_output=True, timeout=SLOW)
    assert r.returncode == 0 and b", Python 3.11" in r.stdout


class Catcher(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay
    timeout = 60

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        body = b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    """endpoint(worker): answers on the socket that its box calls Wick's API."""
    servers = []

    def serve(w):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Catcher, bind_and_activate=False)
        server.socket.close()
        server.socket = w.listener
        server.socket.setblocking(True)
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        servers.append((server, thread))
        return server

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


API = "http://127.0.0.1:9000"
BOTO = """
import boto3
def handler(event, context):
    s3 = getattr(boto3, event)('s3')
    return (s3 if event == 'client' else s3.meta.client).list_buckets()['Buckets']
"""


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_boto3_finds_the_endpoint(worker, endpoint, variable):
    env = {variable: API, "NO_PROXY": "*"}
    if variable != "AWS_ENDPOINT_URL":
        env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    w = worker(BOTO, env=env)
    api = endpoint(w)
    for how in ("client", "resource"):
        frame = w.invoke(how)
        assert frame.kind == lane.RESULT, frame
        assert frame.json == []
    assert [path for path, _ in api.seen] == ["/", "/"]
    assert all("/us-east-1/s3/aws4_request" in auth for _, auth in api.seen)


def test_boto3_endpoint_can_be_ignored_and_overridden(worker):
    w = worker("import boto3\ndef handler(e, c):\n    return boto3.client('s3', **e).meta.endpoint_url\n",
               env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"})
    assert "amazonaws.com" in w.invoke({}).json
    w = worker("import boto3\ndef handler(e, c):\n    return boto3.client('s3', **e).meta.endpoint_url\n",
               env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert w.invoke({"endpoint_url": "http://127.0.0.1:2"}).json == "http://127.0.0.1:2"
    assert w.invoke({}).json == "http://127.0.0.1:1"


def test_modules_that_nobody_asked_for_are_not_loaded(worker):
    w = worker("import sys\ndef handler(e, c): return [m for m in e if m in sys.modules]\n")
    assert w.invoke(["asyncio", "botocore", "numpy", "ssl", "urllib.request"]).json == []
