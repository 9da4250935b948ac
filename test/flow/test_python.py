"""Python functions through the real server: what they are given, what becomes of what they print, and every way in which
they can fail."""
import base64
import json
import os
import pathlib
import re
import threading

import pytest

from conftest import make_zip, until
from raw import lambda_call


def logs(wick, name):
    done = wick.run("logs", name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(wick, source, kind, handler="app.handler", event=None, log=None, **conf):
    """The error document of a call that must fail so."""
    name = wick.deploy(source, handler=handler, **conf)
    said, answer = wick.invoke(name, event, LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled", (answer, said)
    assert said["errorType"] == kind, said
    if log is not None:
        assert log in base64.b64decode(answer["LogResult"]).decode(errors="replace")
    said["function"] = name
    return said


# --- Errors of the handler ----------------------------------------------------------------------------------------


def test_exception(wick):
    said = fails(wick, """
class Mine(Exception):
    pass
def deeper():
    raise Mine("it broke: \\u2603")
def handler(event, context):
    deeper()
""", "Mine", log="[ERROR] Mine: it broke")
    assert said["errorMessage"] == "it broke: \u2603" and said["requestId"]
    assert len(said["stackTrace"]) == 2 and 'app.py", line 7, in handler' in said["stackTrace"][0]


def test_a_worker_outlives_an_exception(wick):
    name = wick.deploy("import uuid\nme = str(uuid.uuid4())\n"
                       "def handler(e, c):\n    if e == 'who':\n        return me\n    1 / 0\n")
    who, _ = wick.invoke(name, "who")
    assert wick.invoke(name, "fail")[0]["errorType"] == "ZeroDivisionError"
    assert wick.invoke(name, "who")[0] == who


@pytest.mark.parametrize("source, handler, kind, message", [
    ("import no_such_module_here\ndef handler(e, c): pass", "app.handler", "Runtime.ImportModuleError",
     "Unable to import module 'app': No module named 'no_such_module_here'"),
    ("def handler(e, c):\n    return (\n", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
    ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
    ("x = 1", "other.handler", "Runtime.ImportModuleError", "No module named 'other'"),
    ("x = 1", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
    ("raise KeyError('early')\n", "app.handler", "KeyError", "'early'"),
    ("import sys\nsys.exit(4)\n", "app.handler", "Runtime.ExitError", "exit status 4"),
    ("import os\nos._exit(5)\n", "app.handler", "Runtime.ExitError", "exit status 5"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "app.handler", "Runtime.ExitError", "killed"),
])
def test_error_while_initialising(wick, source, handler, kind, message):
    name = wick.deploy(source, handler=handler)
    for _ in range(2):
        said, answer = wick.invoke(name)
        assert (said["errorType"], answer["FunctionError"]) == (kind, "Unhandled"), said
        assert message in said["errorMessage"]


def test_timeout(wick):
    said = fails(wick, "import time\ndef handler(e, c):\n    print('so far', end='')\n    time.sleep(3600)\n",
                 "Sandbox.Timedout", Timeout=1, log="Task timed out after 1.00 seconds")
    assert "Task timed out after 1.00 seconds" in said["errorMessage"]
    assert "so far" in logs(wick, said["function"])


def test_timeout_of_a_handler_that_resists(wick):
    fails(wick, """
import signal, time
for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
    signal.signal(s, signal.SIG_IGN)
def handler(e, c):
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
""", "Sandbox.Timedout", Timeout=1)


@pytest.mark.parametrize("how, message", [
    ("sys.exit(3)", "exit status 3"), ("os._exit(3)", "exit status 3"), ("os._exit(0)", "Runtime exited"),
    ("os.abort()", "signal: aborted"), ("ctypes.string_at(0)", "signal: segmentation fault"),
    ("os.kill(os.getpid(), 9)", "signal: killed"),
    ("os.closerange(3, 100); raise SystemExit(1)", ""),  # its end of the lane too
])
def test_end_of_the_process(wick, how, message):
    said = fails(wick, f"import ctypes, os, sys\ndef handler(e, c):\n    print('before', end='')\n    {how}\n",
                 "Runtime.ExitError", log="before")
    assert message in said["errorMessage"], said
    said, answer = wick.invoke(said["function"])
    assert said["errorType"] == "Runtime.ExitError", said


def test_out_of_memory(wick):
    said = fails(wick, """
def handler(event, context):
    hold = []
    for i in range(1024):
        hold.append(bytearray(b"x") * (1 << 20))
    return len(hold)
""", "Runtime.OutOfMemory", MemorySize=128, log="Runtime.OutOfMemory")
    assert wick.invoke(said["function"])[0]["errorType"] == "Runtime.OutOfMemory"


@pytest.mark.parametrize("value", ["{1, 2}", "object()", "b'bytes'", "float", "(x for x in [1])", "{(1, 2): 3}"])
def test_answer_that_is_no_json(wick, value):
    said = fails(wick, f"def handler(e, c):\n    return {value}\n", "Runtime.MarshalError")
    assert said["errorMessage"].startswith("Unable to marshal response: ")


def test_circular_answer(wick):
    fails(wick, "def handler(e, c):\n    x = []\n    x.append(x)\n    return x\n", "Runtime.MarshalError")


def test_answer_too_large(wick):
    name = wick.deploy("def handler(n, c):\n    return 'x' * n\n", MemorySize=512)
    said, answer = wick.invoke(name, 6291456 - 2)
    assert len(said) == 6291454 and "FunctionError" not in answer
    said, answer = wick.invoke(name, 7 << 20)
    assert (said["errorType"], answer["FunctionError"]) == ("Function.ResponseSizeTooLarge", "Unhandled")
    assert wick.invoke(name, 3)[0] == "xxx"


# --- Events and answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [True, 0, -1.5, "", "\u2603\U0001f600", [], {}, [1, [2, {"a": None}]],
                                   {"k": "v" * 100000}, 1 << 60])
def test_event_and_answer(wick, echo, event):
    said, answer = wick.invoke(echo, event)
    assert said == event and "FunctionError" not in answer


@pytest.fixture(scope="module")
def echo(wick):
    return wick.deploy("def handler(event, context):\n    return event\n", MemorySize=512)


def test_six_megabytes_both_ways(wick, echo):
    event = "y" * (6291456 - 2)
    assert wick.invoke(echo, event)[0] == event


def test_no_payload_is_an_empty_document(wick, echo):
    answer = wick.client("lambda").invoke(FunctionName=echo)
    assert json.loads(answer["Payload"].read()) == {}


def test_context(wick):
    name = wick.deploy("""
import os
def handler(event, c):
    return {"request": c.aws_request_id, "name": c.function_name, "version": c.function_version, "arn": c.invoked_function_arn,
            "memory": c.memory_limit_in_mb, "group": c.log_group_name, "stream": c.log_stream_name,
            "left": c.get_remaining_time_in_millis(), "identity": c.identity.cognito_identity_id,
            "client": c.client_context and [c.client_context.custom, c.client_context.env,
                                            c.client_context.client.app_title],
            "env": dict(os.environ)}
""", MemorySize=256, Timeout=20, Environment={"Variables": {"MINE": "value \u2603", "EMPTY": ""}})
    context = {"custom": {"a": "b"}, "env": {"e": "f"}, "client": {"app_title": "t"}}
    context = base64.b64encode(json.dumps(context).encode()).decode()
    said, answer = wick.invoke(name, ClientContext=context)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert said["request"] == answer["ResponseMetadata"]["RequestId"]
    assert (said["name"], said["version"], said["arn"], said["memory"]) == (name, "$LATEST", arn, "256")
    assert said["group"] == f"/aws/lambda/{name}" and said["stream"]
    assert 0 < said["left"] <= 20000 and said["identity"] is None
    assert said["client"] == [{"a": "b"}, {"e": "f"}, "t"]
    assert wick.invoke(name)[0]["client"] is None
    env = said["env"]
    assert (env["MINE"], env["EMPTY"]) == ("value \u2603", "")
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == name and env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == "us-east-1" and env["_HANDLER"] == "app.handler"
    assert env["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST" and env["LAMBDA_TASK_ROOT"] and env["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9000"
    assert env["AWS_ACCESS_KEY_ID"].startswith("ASIA") and env["AWS_SESSION_TOKEN"] and env["TZ"]
    assert "HOME" not in env or env["HOME"] != os.environ.get("HOME")
    assert not [k for k in env if k in ("WICK_LISTEN_FD", "WICK_NODE_SOCKET", "WICK_DATA")]


def test_boto3_without_arguments(wick):
    bucket = wick.bucket()
    name = wick.deploy("""
import boto3
s3 = boto3.client("s3")
def handler(event, context):
    s3.put_object(Bucket=event, Key="k", Body=b"from boto3")
    return boto3.resource("s3").Object(event, "k").get()["Body"].read().decode()
""", MemorySize=512)
    assert wick.invoke(name, bucket)[0] == "from boto3"


# --- Output -------------------------------------------------------------------------------------------------------


REPORT = re.compile(
    r"^REPORT RequestId: ([0-9a-f-]{36})\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
    r"Max Memory Used: \d+ MB(\tInit Duration: \d+\.\d\d ms(?:\t[A-Z][a-z]+ Duration: \d+\.\d\d ms)*)?"
    r"\tCost: 0\.\d+ USD$", re.M)


def test_log_tail_and_report(wick):
    name = wick.deploy("def handler(e, c):\n    print('line one')\n    print('line \\u2603')\n", MemorySize=128)
    for turn in range(2):
        _, answer = wick.invoke(name, LogType="Tail")
        request = answer["ResponseMetadata"]["RequestId"]
        tail = base64.b64decode(answer["LogResult"]).decode()
        lines = tail.splitlines()
        assert lines[0] == f"START RequestId: {request} Version: $LATEST"
        assert lines[1:4] == ["line one", "line \u2603", f"END RequestId: {request}"]
        report = REPORT.match(lines[4])
        assert report and report[1] == request, lines[4]
        assert bool(report[2]) == (turn == 0)
        assert len(lines) == 5
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        for header in ("wick-queue-us", "wick-start-us", "wick-init-us", "wick-run-us", "wick-billed-ms"):
            assert headers[header].isdigit(), headers
        assert re.fullmatch(r"0\.\d+", headers["wick-cost-usd"])
        assert (int(headers["wick-init-us"]) > 0) == (turn == 0)
    _, answer = wick.invoke(name)
    assert "LogResult" not in answer


def test_log_tail_is_four_kilobytes(wick):
    name = wick.deploy("def handler(e, c):\n    for i in range(10000):\n        print('line', i)\n")
    _, answer = wick.invoke(name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert 2048 < len(tail) <= 4096 and "line 9999\n" in tail and "REPORT" in tail


def test_logging(wick):
    name = wick.deploy("""
import logging
logging.getLogger().setLevel("INFO")
def handler(event, context):
    logging.getLogger("some").info("hello %s", "world")
    logging.debug("not this")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
""")
    _, answer = wick.invoke(name, LogType="Tail")
    tail, request = base64.b64decode(answer["LogResult"]).decode(), answer["ResponseMetadata"]["RequestId"]
    assert re.search(r"^\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t" + request + "\thello world$", tail, re.M), tail
    assert "not this" not in tail and "ZeroDivisionError" in tail


def test_binary_output(wick):
    name = wick.deploy("""
import os, sys
def handler(event, context):
    sys.stdout.buffer.write(bytes(range(256)) * 4)
    sys.stdout.buffer.flush()
    os.write(2, b"\\xff\\xfe\\0tail\\n")
    print("after")
""")
    said, answer = wick.invoke(name, LogType="Tail")
    assert "FunctionError" not in answer, said
    assert b"after" in base64.b64decode(answer["LogResult"])
    assert "after" in logs(wick, name)


def gate_memory_kib(wick):
    text = open(f"/proc/{wick.pids('wick-gate')[0]}/status").read()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1])


def test_a_hundred_megabytes_of_output(new_wick):
    wick = new_wick("--log-max", "1m")
    name = wick.deploy("def handler(e, c):\n    for _ in range(1000):\n        print('x' * 99_999)\n    print('the end')\n",
                       Timeout=120, MemorySize=1024)
    small = wick.deploy("def handler(e, c):\n    return 1\n")
    wick.invoke(small)
    before = gate_memory_kib(wick)
    said, answer = wick.invoke(name, LogType="Tail")
    assert "FunctionError" not in answer, said
    assert b"the end" in base64.b64decode(answer["LogResult"])
    assert gate_memory_kib(wick) - before < 64 << 10
    kept = sum(p.stat().st_size for p in wick.data.rglob("*") if p.is_file() and "logs" in p.parts)
    assert kept < 4 << 20
    assert "the end" in logs(wick, name)


def test_one_endless_line(wick):
    name = wick.deploy("import sys\ndef handler(e, c):\n    for _ in range(100):\n        sys.stdout.write('y' * 100_000)\n")
    said, answer = wick.invoke(name, LogType="Tail")
    assert "FunctionError" not in answer, said


def test_output_of_children_and_threads(wick):
    name = wick.deploy("""
import subprocess, threading
def handler(event, context):
    subprocess.run(["echo", "from a child"])
    t = threading.Thread(target=lambda: print("from a thread"))
    t.start(); t.join()
""")
    _, answer = wick.invoke(name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "from a child" in tail and "from a thread" in tail


def test_a_child_that_stays_does_not_hold_the_answer(wick):
    name = wick.deploy("""
import subprocess
def handler(event, context):
    subprocess.Popen(["sleep", "3600"])
    return "answered"
""", Timeout=10)
    assert wick.invoke(name)[0] == "answered"


# --- Workers ------------------------------------------------------------------------------------------------------


def test_twenty_at_once(wick):
    name = wick.deploy("import time, os\ndef handler(e, c):\n    time.sleep(1)\n    return [e, os.getpid()]\n", Timeout=60)
    said = [None] * 20

    def one(i):
        said[i] = wick.invoke(name, i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [s[0][0] for s in said] == list(range(20))
    assert all("FunctionError" not in s[1] for s in said)


def test_updates_take_effect_with_the_next_call(wick):
    l = wick.client("lambda")
    source = "import os\ndef handler(e, c):\n    return [{}, os.environ.get('VALUE')]\n"
    name = wick.deploy(source.format(0))
    assert wick.invoke(name)[0] == [0, None]
    for i in range(1, 4):
        l.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": source.format(i)}))
        assert wick.invoke(name)[0][0] == i
        l.update_function_configuration(FunctionName=name, Environment={"Variables": {"VALUE": str(i)}})
        assert wick.invoke(name)[0] == [i, str(i)]
    l.update_function_configuration(FunctionName=name, Handler="app.none")
    assert wick.invoke(name)[0]["errorType"] == "Runtime.HandlerNotFound"


def test_a_running_call_ends_with_its_code(wick):
    """It is not cut by an update; the next one runs what is new."""
    bucket = wick.bucket()
    source = """
import boto3, time
s3 = boto3.client("s3")
def handler(event, context):
    s3.put_object(Bucket=event, Key="started", Body=b"")
    while "KeyCount" in (page := s3.list_objects_v2(Bucket=event, Prefix="go")) and page["KeyCount"] == 0:
        time.sleep(0.01)
    return %d
"""
    name, said = wick.deploy(source % 1, MemorySize=512), []
    thread = threading.Thread(target=lambda: said.append(wick.invoke(name, bucket)[0]))
    thread.start()
    s3 = wick.client("s3")
    until(lambda: s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the call to run")
    wick.client("lambda").update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": source % 2}))
    s3.put_object(Bucket=bucket, Key="go", Body=b"")
    thread.join()
    assert said == [1] and wick.invoke(name, bucket)[0] == 2


def test_deleted_function(wick, echo):
    name = wick.deploy("def handler(e, c):\n    return 1\n")
    wick.invoke(name)
    wick.client("lambda").delete_function(FunctionName=name)
    answer = lambda_call(wick, "POST", f"/2015-03-31/functions/{name}/invocations", {})
    assert (answer.status, answer.code) == (404, "ResourceNotFoundException")


WITH_A_CHILD = """
import os, subprocess
def handler(event, context):
    subprocess.Popen(["sleep", "3600"])
    return os.readlink("/proc/self/ns/pid")
"""


def processes_of(namespace):
    """Process ids, here, of what runs in a box's pid namespace."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(path / "ns/pid") == namespace:
                found.append(int(path.name))
        except OSError:
            pass
    return found


def test_idle_workers_end(new_wick):
    wick = new_wick(env={"WICK_WORKER_IDLE": "300ms"})
    name = wick.deploy(WITH_A_CHILD)
    box = wick.invoke(name)[0]
    assert len(processes_of(box)) == 2
    until(lambda: not processes_of(box), "the idle worker and its child to end")
    assert wick.pids("wick-python") == []
    assert wick.invoke(name)[0]  # the kernel may give the number of the namespace anew


def test_nothing_is_left_after_the_end(new_wick):
    wick = new_wick()
    name = wick.deploy(WITH_A_CHILD)
    box = wick.invoke(name)[0]
    assert len(processes_of(box)) == 2
    assert wick.stop() == 0
    until(lambda: not processes_of(box), "workers and their children to be gone")


# --- SnapStart, several at once ------------------------------------------------------------------------------------


SNAPSHOT = """
import os, random, ssl, time, uuid
import boto3
from snapshot_restore_py import register_after_restore, register_before_snapshot

name, seen = str(uuid.uuid4()), []
s3 = boto3.client("s3")
register_before_snapshot(seen.append, "before")
register_after_restore(seen.append, "after")
open("/tmp/scratch", "w").close()

def handler(event, context):
    time.sleep(0.2)
    s3.list_buckets()
    return {"name": name, "seen": seen, "tmp": os.listdir("/tmp"), "version": context.function_version,
            "own": [random.random(), ssl.RAND_bytes(16).hex(), os.environ["AWS_ACCESS_KEY_ID"], context.log_stream_name]}
"""


def at_once(wick, name, n, **kw):
    said = [None] * n

    def one(i):
        said[i] = wick.invoke(name, i, **kw)[0]

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return said


def test_snapstart(wick):
    name = wick.deploy(SNAPSHOT, MemorySize=512, SnapStart={"ApplyOn": "PublishedVersions"})
    version = wick.client("lambda").publish_version(FunctionName=name)["Version"]
    said = at_once(wick, name, 4, Qualifier=version)
    assert len({s["name"] for s in said}) == 1, said
    assert all((s["seen"], s["tmp"], s["version"]) == (["before", "after"], [], version) for s in said), said
    workers = {s["own"][3] for s in said}
    assert len(workers) > 1
    for column in range(3):
        assert len({s["own"][column] for s in said}) >= len(workers), said
    # $LATEST has no snapshot, and its hooks are not called.
    assert wick.invoke(name)[0]["seen"] == []


def test_snapstart_of_a_function_that_cannot_start(wick):
    source = "import snapshot_restore_py as s\n@s.register_before_snapshot\ndef hook():\n    raise OSError('gone')\n"
    name = wick.deploy(source + "def handler(e, c):\n    return 1\n", SnapStart={"ApplyOn": "PublishedVersions"})
    version = wick.client("lambda").publish_version(FunctionName=name)["Version"]
    said = wick.invoke(name, Qualifier=version)[0]
    assert said["errorType"] == "Runtime.BeforeSnapshotError" and "OSError: gone" in said["errorMessage"], said


def test_concurrency_in_one_worker(wick):
    """All are in one process at the same time: each waits for the others."""
    name = wick.deploy("import threading, uuid\nme, all_here = str(uuid.uuid4()), threading.Barrier(4)\n"
                       "def handler(e, c):\n    all_here.wait(60)\n    return [e, me, c.aws_request_id]\n",
                       Tags={"wick:concurrency": "4"}, Timeout=90)
    said = at_once(wick, name, 4)
    assert [s[0] for s in said] == list(range(4))
    assert len({s[1] for s in said}) == 1 and len({s[2] for s in said}) == 4
