"""Provided runtimes over their lane: the Lambda Runtime API as a bootstrap sees it, and how what goes wrong is told.
Needs: the built wick-runtime, /usr/bin/python3 and a C compiler in the machine."""

import base64
import io
import json
import pathlib
import uuid
import zipfile

import pytest

from conftest import ROLE, until
import shims
import urls

# A bootstrap in Python that is told by its event what to do; `api` speaks raw HTTP, so that it can misbehave.
BOOTSTRAP = '''#!/usr/bin/python3
import base64, json, os, socket, sys, time
HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
class Conn:
    def __init__(self):
        self.s = socket.create_connection((HOST, int(PORT)))
        self.f = self.s.makefile("rb")
    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())
    def answer(self):
        line = self.f.readline()
        if not line:
            return 0, {}, b""
        headers = {}
        while True:
            h = self.f.readline().strip()
            if not h:
                break
            k, _, v = h.partition(b":")
            headers[k.decode().lower()] = v.strip().decode()
        return int(line.split()[1]), headers, self.f.read(int(headers.get("content-length", 0)))
    def call(self, method, path, body=b"", headers=""):
        self.send("%s /2018-06-01/runtime/%s HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n%s\\r\\n" % (method, path, len(body), headers))
        self.send(body)
        return self.answer()
    def next(self):
        status, headers, body = self.call("GET", "invocation/next")
        assert status == 200, (status, body)
        return headers["lambda-runtime-aws-request-id"], headers, body
    def result(self, ident, body):
        return self.call("POST", "invocation/%s/response" % ident, body if isinstance(body, bytes) else json.dumps(body).encode())
    def chunk(self, data):
        self.send(b"%x\\r\\n%s\\r\\n" % (len(data), data))
    def begin_stream(self, ident, headers=""):
        self.send("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n%s\\r\\n" % (ident, headers))
'''
ECHO = BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    c.result(ident, event)
'''


@pytest.fixture
def folder():
    with shims.folder_for_all() as path:
        yield path


@pytest.fixture
def worker(folder):
    made = []

    def start(bootstrap, env=None, ready=True, name="bootstrap", mode=0o755):
        if bootstrap is not None:
            shims.put(folder, name, bootstrap, mode)
        w = shims.Worker(folder, ["provided"], env)
        made.append(w)
        if ready:
            w.ready()
        return w

    yield start
    for w in made:
        w.stop()


def test_echo_and_headers(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    c.result(ident, {"event": json.loads(event), "headers": headers})
''')
    ident = w.ask(b'{"a": 1}', pairs=[(3, "Root=1-2-3"), (4, '{"client": {}}')])
    answer = w.receive()
    assert answer.kind == shims.RESULT and answer.id == ident
    assert answer.number(5) > 1000
    h = answer.json["headers"]
    assert answer.json["event"] == {"a": 1}
    assert h["lambda-runtime-aws-request-id"] == str(uuid.UUID(bytes=ident))
    assert int(h["lambda-runtime-deadline-ms"]) > 1e12
    assert h["lambda-runtime-invoked-function-arn"].endswith(":function:test")
    assert h["lambda-runtime-trace-id"] == "Root=1-2-3"
    assert h["lambda-runtime-client-context"] == '{"client": {}}'
    for n in range(20):
        assert w.call(b"%d" % n).json["event"] == n


def test_large_both_ways(worker):
    w = worker(ECHO)
    event = b'"%s"' % (b"x" * (6 * 1024 * 1024 - 2))
    assert w.call(event).body == event


def test_in_opt(worker):
    w = worker(ECHO, name="opt/bootstrap")
    assert w.call(b"1").body == b"1"


def test_raw_answer_goes_through(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    print(c.result(ident, b"just text"), flush=True)
''')
    assert w.call().body == b"just text"
    w.call()
    assert b'"status":"OK"' in w.output and b"(202," in w.output


def test_error(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    event = json.loads(event)
    c.call("POST", "invocation/%s/error" % ident, event["body"].encode(), event["headers"])
''')
    doc = {"errorMessage": "no", "errorType": "Mine", "stackTrace": ["a"]}
    answer = w.call(json.dumps({"body": json.dumps(doc), "headers": "Lambda-Runtime-Function-Error-Type: Function.Mine\r\n"}).encode())
    assert answer.kind == shims.ERROR and answer.type == "Function.Mine" and answer.json == doc
    answer = w.call(json.dumps({"body": json.dumps(doc), "headers": ""}).encode())
    assert answer.type == "Mine"
    answer = w.call(json.dumps({"body": "garbage", "headers": ""}).encode())
    assert answer.json == {"errorMessage": "garbage", "errorType": "Runtime.Unknown"}


def test_init_error(worker):
    w = worker(BOOTSTRAP + '''
body = json.dumps({"errorMessage": "no config", "errorType": "Config"}).encode()
print(Conn().call("POST", "init/error", body, "Lambda-Runtime-Function-Error-Type: Runtime.Config\\r\\n"), flush=True)
sys.exit(3)
''', ready=False)
    error = w.receive()
    assert error.kind == shims.ERROR and error.type == "Runtime.Config" and error.json["errorMessage"] == "no config"
    assert w.wait() == 1
    assert b"(202," in w.output


@pytest.mark.parametrize("end,status", [("sys.exit(1)", 1), ("sys.exit(0)", 0), ("os.kill(os.getpid(), 9)", 128 + 9)])
def test_exits_before_next(worker, end, status):
    """What is said of it is the gate's to say."""
    w = worker("#!/usr/bin/python3\nimport os, sys\nprint('last words', flush=True)\n" + end, ready=False)
    assert w.dies() == status
    assert b"last words" in w.output


def test_exits_while_it_runs(worker):
    w = worker(BOOTSTRAP + "c = Conn()\nident, headers, event = c.next()\nprint('oh', flush=True)\nos.abort()\n")
    w.ask()
    assert w.dies() == 128 + 6
    assert b"oh" in w.output


def test_answers_and_exits(worker):
    """What it wrote before its end counts."""
    w = worker(BOOTSTRAP + '''
c = Conn()
ident, headers, event = c.next()
body = b'"' + b"x" * 1000000 + b'"'
c.send("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nContent-Length: %d\\r\\n\\r\\n" % (ident, len(body)))
c.send(body)
os._exit(0)
''')
    answer = w.call()
    assert answer.kind == shims.RESULT and len(answer.body) == 1000002
    w.wait()


@pytest.mark.parametrize("text,mode,words", [
    (None, 0, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
    ("#!/bin/sh\n", 0o644, "/var/task/bootstrap is not executable: chmod +x it before packaging"),
    ("#!/usr/bin/perl6\n", 0o755, "/var/task/bootstrap needs the interpreter /usr/bin/perl6, which is not there"),
    ("echo hello\n", 0o755, "neither a program for this machine nor a script that begins with #!"),
])
def test_not_executable(worker, text, mode, words):
    w = worker(text, ready=False, mode=mode)
    error = w.init_error()
    assert error["errorType"] == "Runtime.InvalidEntrypoint" and words in error["errorMessage"]
    assert w.wait() == 1


def test_wrong_architecture(worker):
    program = bytearray(pathlib.Path("/bin/true").read_bytes())
    here = program[18]
    program[18] = 0xB7 if here != 0xB7 else 0x3E
    w = worker(bytes(program), ready=False)
    message = w.init_error()["errorMessage"]
    assert "is built for " + ("aarch64, this machine is x86_64" if here != 0xB7 else "x86_64, this machine is aarch64") in message


def test_missing_loader(worker):
    program = pathlib.Path("/bin/true").read_bytes()
    w = worker(program.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-linux-x86-64.so.9"), ready=False)
    assert "needs the interpreter /lib64/ld-linux-x86-64.so.9, which is not there" in w.init_error()["errorMessage"]


def test_out_of_turn(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
ident, headers, event = c.next()
seen = [c.result("00000000-0000-4000-8000-000000000000", 1), c.result("nonsense", 1), c.call("GET", "invocation/next"),
        c.call("POST", "init/error", b"{}"), c.call("GET", "invocation/%s/response" % ident), c.call("GET", "nothing")]
seen.append(c.result(ident, 1))
seen.append(c.result(ident, 1))
ident, headers, event = c.next()
c.result(ident, [[s[0], json.loads(s[2])] for s in seen])
c.next()
''')
    assert w.call().body == b"1"
    seen = w.call().json
    assert [s[0] for s in seen] == [400, 400, 403, 403, 405, 404, 202, 403]
    assert seen[0][1] == {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
    assert seen[2][1]["errorType"] == seen[7][1]["errorType"] == "InvalidStateTransition"


@pytest.mark.parametrize("garbage", ["hello\\r\\n\\r\\n", "GET / HTTP/9\\r\\n\\r\\n", "\\x16\\x03\\x01 \\x00", "A" * 70000,
                                     "POST /x HTTP/1.1\\r\\nContent-Length: 1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"])
def test_garbage(worker, garbage):
    w = worker(BOOTSTRAP + '''
bad = Conn()
bad.send("%s")
seen = bad.answer()
c = Conn()
while True:
    ident, headers, event = c.next()
    c.result(ident, [seen[0], json.loads(seen[2]), seen[1].get("connection")])
''' % garbage)
    status, body, connection = w.call().json
    assert status == 400 and body["errorType"] == "InvalidRequest" and connection == "close"


def test_garbage_as_answer(worker):
    w = worker(BOOTSTRAP + '''
while True:
    c = Conn()
    ident, headers, event = c.next()
    c.send("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n" % ident)
    print(c.answer()[0], flush=True)
''')
    for _ in range(2):
        answer = w.call()
        assert answer.kind == shims.ERROR and answer.type == "Runtime.InvalidResponse"


def test_closes_in_the_middle(worker):
    w = worker(BOOTSTRAP + '''
while True:
    c = Conn()
    ident, headers, event = c.next()
    c.send("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nContent-Length: 10\\r\\n\\r\\nabc" % ident)
    c.s.close(); c.f.close()
''')
    for _ in range(2):
        answer = w.call()
        assert answer.kind == shims.ERROR and answer.type == "Runtime.TruncatedResponse"


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_answer_too_large(worker, how):
    w = worker(BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    if event == b"1":
        c.result(ident, len(json.loads(seen[2])["errorMessage"]) > 0 and seen[0])
        continue
    path = "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\n" % ident
    n, piece = 100, b"x" * (1 << 20)
    if "length" == "''' + how + '''":
        c.send(path + "Content-Length: %d\\r\\n\\r\\n" % (n << 20))
        for _ in range(n):
            c.send(piece)
    else:
        c.send(path + "Transfer-Encoding: chunked\\r\\n\\r\\n")
        for _ in range(n):
            c.chunk(piece)
        c.send("0\\r\\n\\r\\n")
    seen = c.answer()
''')
    answer = w.call(b"0")
    assert answer.kind == shims.ERROR and answer.type == "Function.ResponseSizeTooLarge"
    assert w.call(b"1").body == b"413"


STREAMER = BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    e = json.loads(event)
    c.begin_stream(ident, e.get("headers", ""))
    for piece in e["pieces"]:
        c.chunk(base64.b64decode(piece))
    for _ in range(e.get("mb", 0)):
        c.chunk(b"y" * (1 << 20))
    c.send("0\\r\\n" + e.get("trailers", "") + "\\r\\n")
    print(c.answer(), flush=True)
'''


def pieces(*data):
    return [base64.b64encode(d).decode() for d in data]


def test_stream(worker):
    w = worker(STREAMER)
    ident = w.ask(json.dumps({"pieces": pieces(b"one", b"two"), "mb": 3, "headers": "Content-Type: text/plain\r\n"}).encode(), stream=True)
    head, data, last = w.stream(ident)
    assert head.number(shims.STATUS) == 200 and head.headers == {"content-type": ["text/plain"]}
    assert data == b"onetwo" + b"y" * (3 << 20)
    assert last.kind == shims.RESULT and last.body == b""
    # To a caller that takes no stream it is one answer.
    assert w.call(json.dumps({"pieces": pieces(b'{"a":', b"1}")}).encode()).json == {"a": 1}


def test_stream_first_byte_before_the_end(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
ident, headers, event = c.next()
c.begin_stream(ident)
c.chunk(b"first")
sys.stdin.read()  # /dev/null
d = Conn()
while not os.path.exists("/tmp/go"):
    time.sleep(0.01)
''')
    ident = w.ask(stream=True)
    assert w.receive().kind == shims.HEAD
    assert w.receive().body == b"first"
    assert w.quiet()


def test_stream_waits_for_window(worker):
    w = worker(STREAMER)
    ident = w.ask(json.dumps({"pieces": [], "mb": 8}).encode(), stream=True)
    assert w.receive().kind == shims.HEAD
    got = 0
    while got < shims.FRAME_WINDOW:
        f = w.receive()
        assert f.kind == shims.CHUNK
        got += len(f.body)
    assert got == shims.FRAME_WINDOW and w.quiet()
    w.give(ident, got)
    head, data, last = w.stream(ident)
    assert len(data) == (8 << 20) - got and last.kind == shims.RESULT


def test_stream_with_prelude(worker):
    w = worker(STREAMER)
    prelude = json.dumps({"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["c=1", "d=2"],
                          "multiValueHeaders": {"X-M": ["1", "2"]}}).encode()
    kind = "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
    for cut in (len(prelude), 5, len(prelude) + 3):
        whole = prelude + bytes(8) + b"body\0\0"
        ident = w.ask(json.dumps({"pieces": pieces(whole[:cut], whole[cut:]), "headers": kind}).encode(), stream=True)
        head, data, last = w.stream(ident)
        assert head.number(shims.STATUS) == 201 and head.headers == {
            "x-a": ["b"], "x-m": ["1", "2"], "set-cookie": ["c=1", "d=2"]}
        assert data == b"body\0\0" and last.kind == shims.RESULT
    for bad in (b"no json" + bytes(8), b"[]" + bytes(8), b'{"headers":{"A B":"x"}}' + bytes(8), b'{"headers":{"A":"x\\r\\ny"}}' + bytes(8), prelude):
        ident = w.ask(json.dumps({"pieces": pieces(bad), "headers": kind}).encode(), stream=True)
        head, data, last = w.stream(ident)
        assert head is None and data == b"" and last.type == "Runtime.InvalidResponse", bad


def test_stream_error_in_trailers(worker):
    w = worker(STREAMER)
    body = base64.b64encode(json.dumps({"errorMessage": "late", "errorType": "Late"}).encode()).decode()
    trailers = "Lambda-Runtime-Function-Error-Type: Function.Late\r\nLambda-Runtime-Function-Error-Body: %s\r\n" % body
    ident = w.ask(json.dumps({"pieces": pieces(b"some"), "trailers": trailers,
                              "headers": "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"}).encode(), stream=True)
    head, data, last = w.stream(ident)
    assert data == b"some" and last.kind == shims.ERROR and last.type == "Function.Late" and last.json["errorMessage"] == "late"


def test_cancelled_stream_is_still_answered(worker):
    w = worker(STREAMER)
    ident = w.ask(json.dumps({"pieces": [], "mb": 20}).encode(), stream=True)
    assert w.receive().kind == shims.HEAD
    w.send(shims.frame(shims.CANCEL, ident))
    f = w.receive()
    while f.kind == shims.CHUNK:
        f = w.receive()
    assert f.kind == shims.RESULT
    assert w.call(json.dumps({"pieces": pieces(b"1")}).encode()).body == b"1"


def test_several_pollers(worker):
    w = worker(BOOTSTRAP + '''
import threading
barrier = threading.Barrier(4)
def serve():
    c = Conn()
    while True:
        ident, headers, event = c.next()
        barrier.wait()
        c.result(ident, event)
threads = [threading.Thread(target=serve) for _ in range(6)]
for t in threads: t.start()
for t in threads: t.join()
''', env={"WICK_CONCURRENCY": "4"}, ready=False)
    assert w.ready().number(shims.CONCURRENCY) == 4
    for _ in range(5):
        asked = {w.ask(b"%d" % n): n for n in range(4)}
        for _ in range(4):
            f = w.receive()
            assert f.kind == shims.RESULT and f.json == asked.pop(f.id)


def test_queued_before_the_poll(worker):
    """An INVOKE that comes while the last one's poller is not back yet waits for it."""
    w = worker(ECHO)
    first, second = w.ask(b"1"), w.ask(b"2")
    assert [w.receive().id, w.receive().id] == [first, second]


def test_orphans_are_reaped_and_the_lane_ends_all(worker):
    w = worker(BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    for _ in range(50):
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.wait()
    if os.fork() == 0:
        time.sleep(1000)
    def left():
        states = []
        for p in os.listdir("/proc"):
            if p.isdigit():
                try:
                    states.append(open("/proc/%s/stat" % p).read().rsplit(")", 1)[1].split()[0])
                except OSError:
                    pass
        return states.count("Z")
    while left():
        time.sleep(0.01)
    c.result(ident, left())
''')
    assert w.call().json == 0
    w.sock.shutdown(2)
    assert w.wait() == 0


def test_more_connections_than_descriptors(worker):
    """Those beyond wait until others are closed; what is connected is served meanwhile."""
    w = worker(BOOTSTRAP + '''
c = Conn()
ident, headers, event = c.next()
many = []
for _ in range(int(event)):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((HOST, int(PORT)))
    many.append(s)
c.result(ident, 1)
ident, headers, event = c.next()
for s in many: s.close()
d = Conn()
d.result(ident, 2)
c.next()
''')
    assert w.call(b"1010").json == 1
    assert w.call().json == 2


def test_never_polls_is_silent(worker):
    w = worker("#!/bin/sh\nexec sleep 1000\n", ready=False)
    assert w.quiet()


def test_example(worker, folder):
    shims.compile_c(shims.lane.ROOT / "examples/provided-c/bootstrap.c", folder / "bootstrap", "-static")
    (folder / "bootstrap").chmod(0o755)
    w = worker(None)
    for n in range(3):
        assert w.call(b'{"n": %d}' % n).json == {"you sent": {"n": n}}


# ---- through a server ----


def package(files):
    """A zip with modes: {name: (bytes or text, mode)}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, (text, mode) in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | mode) << 16
            z.writestr(info, text)
    return out.getvalue()


STREAM_PATH = "/2021-11-15/functions/%s/response-streaming-invocations"


def deploy(wick, bootstrap, name=None, mode=0o755, **conf):
    name = name or "f-" + uuid.uuid4().hex[:12]
    files = {"bootstrap": (bootstrap, mode)} if bootstrap else {"other": ("x", 0o644)}
    wick.client("lambda").create_function(FunctionName=name, Role=ROLE, Handler="bootstrap", Runtime="provided.al2023",
                                          Code={"ZipFile": package(files)}, **{"Timeout": 20, **conf})
    return name


def test_served_invoke(wick):
    name = deploy(wick, ECHO)
    for n in range(5):
        assert wick.invoke(name, {"n": n})[0] == {"n": n}
    answer, whole = wick.invoke(deploy(wick, STREAMER), {"pieces": pieces(b'{"a":', b"1}")})
    assert answer == {"a": 1} and "FunctionError" not in whole


def test_served_stream(wick):
    name = deploy(wick, STREAMER)
    event = {"pieces": pieces(b"one", b"two"), "mb": 2}
    answer = urls.call(wick, "POST", STREAM_PATH % name, json.dumps(event).encode())
    messages = urls.events(answer.text)
    assert b"".join(payload for kind, payload in messages if kind == "PayloadChunk") == b"onetwo" + b"y" * (2 << 20)
    assert messages[-1][0] == "InvokeComplete" and "ErrorCode" not in json.loads(messages[-1][1])


@pytest.mark.parametrize("bootstrap,mode,kind,words", [
    (None, 0, "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap"),
    ("#!/bin/sh\nexit 3\n", 0o644, "Runtime.InvalidEntrypoint", "is not executable"),
    ("#!/bin/sh\necho my last words\nexit 3\n", 0o755, "Runtime.ExitError", "exit status 3"),
    ("#!/usr/bin/perl6\n", 0o755, "Runtime.InvalidEntrypoint", "needs the interpreter /usr/bin/perl6"),
])
def test_served_errors(wick, bootstrap, mode, kind, words):
    name = deploy(wick, bootstrap, mode=mode)
    error, answer = wick.invoke(name, {})
    assert answer["FunctionError"] == "Unhandled" and error["errorType"] == kind and words in error["errorMessage"]
    if kind == "Runtime.ExitError":
        until(lambda: "my last words" in urls.logs(wick, name), "the worker's last words in the log")


def test_served_crash_and_size(wick):
    name = deploy(wick, BOOTSTRAP + '''
c = Conn()
while True:
    ident, headers, event = c.next()
    if event == b"1":
        print("dying", flush=True)
        os.kill(os.getpid(), 9)
    c.send("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nContent-Length: %d\\r\\n\\r\\n" % (ident, 100 << 20))
    for _ in range(100):
        c.send(b"x" * (1 << 20))
    assert c.answer()[0] == 413
''')
    error, answer = wick.invoke(name, 0)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    error, answer = wick.invoke(name, 1, LogType="Tail")
    assert error["errorType"] == "Runtime.ExitError" and "signal: killed" in error["errorMessage"]
    assert b"dying" in base64.b64decode(answer["LogResult"])


def test_served_out_of_memory(wick):
    name = deploy(wick, BOOTSTRAP + '''
c = Conn()
ident, headers, event = c.next()
hold = []
while True:
    hold.append(b"x" * (8 << 20))
''', MemorySize=128)
    error, answer = wick.invoke(name, {})
    assert error["errorType"] == "Runtime.OutOfMemory", error


def test_served_never_polls(new_wick):
    wick = new_wick(env={"WICK_INIT_LIMIT": "2s"})
    name = deploy(wick, "#!/bin/sh\necho here I hang\nexec sleep 1000\n")
    error, answer = wick.invoke(name, {})
    assert answer["FunctionError"] == "Unhandled" and error["errorType"] == "Sandbox.Timedout", error
    until(lambda: "here I hang" in urls.logs(wick, name), "the worker's last words in the log")
