"""The Node.js runtime: wick-nodejs, its workers boxed from a zygote as the node would, driven over their lanes; each
test runs in a worker that was started for it and in one that waited in the pool.
Needs: the built wick-nodejs, a Node.js (20 or newer) on PATH."""
import base64
import concurrent.futures
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import uuid

import botocore.eventstream
import pytest

import lane
import raw
import zygote
from conftest import until

PROGRAM = lane.BUILD / "src/runtime/wick-nodejs"
STATUS_KEY, HEADER_KEY, WINDOW_KEY = 13, 12, 15
WINDOW_MORE, CANCEL = 9, 10
WINDOW = 256 << 10
POOL_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp", "TZ": ":UTC"}
LIMITS = [zygote.op("LANDLOCK", "/"), zygote.op("LANDLOCK", "/tmp", flags=zygote.WRITABLE), zygote.op("RIGHTS")]


class Pooled(lane.Worker):
    """A box that waits for its function, and is given one by specialise(). folder: of the packages."""

    def __init__(self, folder, env=None):
        ops = zygote.root_ops(extra=[zygote.op("DIR", "/opt"), zygote.op("DIR", "/run"), zygote.op("DIR", "/run/wick"),
                                     zygote.op("BIND", "/run/wick/code", str(folder), flags=zygote.EXEC)],
                              landlock=False, profile=zygote.POOL)
        plan = zygote.plan(ops, ["pool"], ["%s=%s" % pair for pair in (env or POOL_ENV).items()])
        self.zygote = lane.zygote_of(PROGRAM)
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(60)
        self.out_r, out_w = os.pipe()
        self.ident, self.status, self.own_child, self.listener = uuid.uuid4().bytes, None, True, None
        self.zygote.send(zygote.FORK, plan, [far.fileno(), out_w], self.ident)
        far.close()
        os.close(out_w)
        packet = self.zygote.receive()
        assert packet.type == zygote.FORKED, packet.text
        self.pid, self.pidfd = packet.pid, packet.fds[0]
        lane.Lane.__init__(self, socket.socket(), self.out_r)  # the lane comes later

    def loaded(self):
        data = self.control.recv(1 << 16)
        return zygote.Packet(data, []) if data else None

    def specialise(self, package, environment, more=(), limits=LIMITS):
        ours, theirs = socket.socketpair()
        code = "/run/wick/code/" + package
        ops = [zygote.op("BIND", "/var/task", code, flags=zygote.EXEC),
               zygote.op("BIND", "/opt", code + "/opt", flags=zygote.EXEC | zygote.OPTIONAL),
               zygote.op("UNMOUNT", "/run/wick/code"), *more, zygote.op("LISTEN", value=9000), *limits]
        plan = zygote.plan(ops, ["worker"], ["%s=%s" % pair for pair in environment.items()], cwd="/var/task",
                           namespaces=0, n_fds=2)
        null = os.open("/dev/null", os.O_WRONLY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("ii", theirs.fileno(), null))]
        self.control.sendmsg([struct.pack("<BxxxiixxxxQ", zygote.FORK, 0, 0, 0) + self.ident + plan], rights)
        theirs.close()
        os.close(null)
        self.sock.close()
        self.sock = ours
        self.sock.setblocking(False)
        answer = self.loaded()
        if answer.type == zygote.FORKED:
            frame = self.receive_boxed()
            assert frame.kind == lane.BOXED, (frame, self.output)
        return answer

    def stop(self):
        super().stop()
        self.control.close()


def environment(handler, env):
    return {"_HANDLER": handler, "LAMBDA_TASK_ROOT": "/var/task", "AWS_LAMBDA_FUNCTION_NAME": "test",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/test", "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[$LATEST]0",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret", **POOL_ENV,
            **(env or {})}


@pytest.fixture
def folder():
    """A folder that the user whom boxes run as can read."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wick-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["worker", "pool"])
def worker(request, folder):
    """worker({name: text} or the text of index.js, handler=…, env=…): a worker whose READY has been read."""
    workers = []

    def start(files, handler="index.handler", env=None, ready=True):
        for name, text in ({"index.js": files} if isinstance(files, str) else files).items():
            path = folder / "package" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if request.param == "pool":
            w = Pooled(folder)
            workers.append(w)
            assert w.loaded().type == zygote.LOADED
            answer = w.specialise("package", environment(handler, env))
            assert answer.type == zygote.FORKED, answer.text
        else:
            w = lane.Worker(folder / "package", handler, environment(handler, env), program=PROGRAM)
            workers.append(w)
        if ready:
            w.ready = w.receive()
            assert w.ready.kind == lane.READY, (w.ready, w.output)
        return w

    yield start
    for w in reversed(workers):
        w.stop()


def init_error(w):
    frame = w.receive()
    assert (frame.kind, frame.id) == (lane.ERROR, lane.NO_ID), (frame, w.output)
    assert frame.meta[lane.ERROR_TYPE].decode() == frame.json["errorType"]
    assert w.wait() == 1
    return frame.json


def test_event_context_and_answer(worker):
    w = worker("""
        exports.handler = async (event, context) => {
            const left = context.getRemainingTimeInMillis();
            return { event, left: left > 0 && left <= 30000, keys: Object.keys(context), context, cwd: process.cwd(),
                     argv: process.argv.length, parent: [process.send, process.connected, process.channel],
                     trace: process.env._X_AMZN_TRACE_ID, env: Object.keys(process.env).sort() };
        };""", env={"OWN": "é=1"})
    ident = uuid.uuid4()
    answer = w.invoke({"a": [1, "ü"]}, ident=ident.bytes, trace="Root=1-2-3",
                      client_context='{"custom":{"k":"v"}}').json
    assert answer["event"] == {"a": [1, "ü"]} and answer["left"] and answer["cwd"] == "/var/task"
    assert answer["trace"] == "Root=1-2-3"
    assert answer["context"] == {
        "callbackWaitsForEmptyEventLoop": True, "functionName": "test", "functionVersion": "$LATEST",
        "memoryLimitInMB": "256", "logGroupName": "/aws/lambda/test", "logStreamName": "2026/01/31/[$LATEST]0",
        "clientContext": {"custom": {"k": "v"}}, "awsRequestId": str(ident),
        "invokedFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:test"}
    assert {"succeed", "fail", "done", "getRemainingTimeInMillis", "identity"} <= set(answer["keys"])
    assert answer["argv"] == 2 and answer["parent"] == [None, None, None]
    assert answer["env"] == sorted([*environment("", {"OWN": ""}), "NODE_PATH", "_X_AMZN_TRACE_ID"])
    assert w.invoke(1).json["context"].get("clientContext") is None


def test_invocations_follow_each_other(worker):
    w = worker("let n = 0; exports.handler = async (e) => [++n, e];")
    assert [w.invoke(i).json for i in range(50)] == [[i + 1, i] for i in range(50)]


ANSWERS = [
    ("async () => {}", None), ("async () => undefined", None), ("() => Promise.resolve({ a: 1 })", {"a": 1}),
    ("(e, c, callback) => { callback(null, e); }", "in"),
    ("(e, c, callback) => { setTimeout(callback, 1, null, 2); }", 2),
    ("(e, c) => { c.succeed('s'); }", "s"), ("(e, c) => { c.done(null, 'd'); }", "d"), ("() => 'not a promise'", None),
    ("() => new Promise(() => {})", None), ("async () => 'ü\\u2028'", "ü\u2028"), ("async () => NaN", None),
    ("async () => ({ toJSON: () => 'own' })", "own"), ("async () => new Date(0)", "1970-01-01T00:00:00.000Z"),
    ("() => ({ then: (f) => f('thenable') })", "thenable")]


def one_of(bodies):
    """A handler that is one of several, by the event's `which`; it gets the event's `event`."""
    return ("const all = [%s];\nexports.handler = ({ which, event }, ...rest) => all[which](event, ...rest);"
            % ",\n".join(bodies))


def test_ways_to_answer(worker):
    w = worker(one_of(body for body, _ in ANSWERS))
    for which, (body, answer) in [*enumerate(ANSWERS)] * 2:
        frame = w.invoke({"which": which, "event": "in"})
        assert frame.kind == lane.RESULT and frame.json == answer, body


def test_callback_waits_for_the_event_loop(worker):
    w = worker("""
        let ended = 0;
        exports.handler = (event, context, callback) => {
            context.callbackWaitsForEmptyEventLoop = event.waits;
            const before = ended;
            setTimeout(() => { ended++; }, event.ms);
            callback(null, { get ended() { return ended - before; } });
        };""")
    assert w.invoke({"waits": True, "ms": 20}).json == {"ended": 1}
    assert w.invoke({"waits": False, "ms": 60000}).json == {"ended": 0}


ERRORS = [
    ("async () => { throw new TypeError('bad é'); }", "TypeError", "bad é"),
    ("() => { throw new Error('at once'); }", "Error", "at once"),
    ("(e, c, callback) => callback(new RangeError('by callback'))", "RangeError", "by callback"),
    ("(e, c, callback) => callback('text')", "string", "text"),
    ("(e, c) => c.fail(new Error('failed'))", "Error", "failed"),
    ("(e, c) => c.done('done')", "string", "done"), ("() => Promise.reject(7)", "number", "7"),
    ("async () => { throw null; }", "object", "null"),
    ("async () => { class OwnError extends Error { get name() { return 'OwnError'; } } throw new OwnError('x'); }",
     "OwnError", "x"),
    ("async () => { const e = new Error('m'); Object.defineProperty(e, 'message', { get() { throw 1; } }); throw e; }",
     "Error", "the error that was thrown cannot be read"),
    ("async () => { const a = {}; a.a = a; return a; }", "Runtime.MarshalError", "Unable to stringify response body: "),
    ("async () => 10n", "Runtime.MarshalError",
     "Unable to stringify response body: Do not know how to serialize a BigInt"),
    ("async () => 'x'.repeat(7 << 20)", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum "),
]


def test_errors(worker):
    w = worker(one_of(body for body, _, _ in ERRORS))
    for which, (body, kind, message) in [*enumerate(ERRORS)] * 2:
        ident = uuid.uuid4()
        frame = w.invoke({"which": which}, ident=ident.bytes)
        assert frame.kind == lane.ERROR and frame.meta[lane.ERROR_TYPE].decode() == kind, body
        assert frame.json["errorType"] == kind and frame.json["errorMessage"].startswith(message)
        assert isinstance(frame.json["trace"], list)
        line = w.output.decode().splitlines()[-1]
        assert "\t%s\tERROR\tInvoke Error \t{\"errorType\":" % ident in line
    assert w.ended() is None


def test_trace_of_an_error(worker):
    w = worker("function inner() {\n\tthrow Object.assign(new Error('bad'), { code: 'OWN' });\n}\n"
               "exports.handler = async () => { inner(); };\n")
    e = w.invoke({}).json
    assert e["trace"][0] == "Error: bad"
    assert e["trace"][1].strip() == "at inner (/var/task/index.js:2:22)"
    logged = json.loads(w.output.decode().split("\t")[-1])
    assert logged["code"] == "OWN" and logged["stack"] == e["trace"]


@pytest.mark.parametrize("files, handler", [
    ({"index.js": "exports.handler = async () => 'ok';"}, "index.handler"),
    ({"src/deep/file.js": "exports.handler = async () => 'ok';"}, "src/deep/file.handler"),
    ({"index.js": "exports.a = { b: { c: async () => 'ok' } };"}, "index.a.b.c"),
    ({"index.mjs": "export const handler = async () => 'ok';"}, "index.handler"),
    ({"index.cjs": "exports.handler = async () => 'ok';"}, "index.handler"),
    ({"index.js": "export async function handler() { return 'ok'; }", "package.json": '{"type":"module"}'},
     "index.handler"),
    ({"src/index.js": "import x from './x.js'; export const handler = async () => x;",
      "src/x.js": "export default 'ok'",
      "package.json": '{"type":"module"}'}, "src/index.handler"),
    ({"index.mjs": "const v = await Promise.resolve('ok'); export const handler = () => Promise.resolve(v);"},
     "index.handler"),
    ({"index.js": "exports.handler = async () => (await import('./m.mjs')).default;", "m.mjs": "export default 'ok'"},
     "index.handler"),
    ({"index.js": "exports.handler = async () => require('dep');",
      "node_modules/dep/index.js": "module.exports = 'ok'"},
     "index.handler"),
    ({"node_modules/whole/index.js": "exports.handler = async () => 'ok'"}, "whole.handler"),
    ({"index.js": "exports.handler = async () => require('layered');",
      "opt/nodejs/node_modules/layered/index.js": "module.exports = 'ok'"}, "index.handler"),
    ({"index.js": "exports.handler = async () => require('rooted');", "rooted.js": "module.exports = 'ok'"},
     "index.handler")])
def test_handlers_are_found(worker, files, handler):
    w = worker(files, handler)
    assert w.invoke({}).json == "ok"


@pytest.mark.parametrize("files, handler, kind, message", [
    ({"index.js": ""}, "missing.handler", "Runtime.ImportModuleError",
     "Error: Cannot find module 'missing'\nRequire stack:"),
    ({"index.js": "require('absent')"}, "index.handler", "Runtime.ImportModuleError",
     "Error: Cannot find module 'absent'\nRequire stack:\n- /var/task/index.js"),
    ({"index.mjs": "import 'absent'"}, "index.handler", "Runtime.ImportModuleError",
     "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'absent' imported from /var/task/index.mjs"),
    ({"index.js": "exports.other = 1"}, "index.handler", "Runtime.HandlerNotFound",
     "index.handler is undefined or not exported"),
    ({"index.js": "exports.handler = 1"}, "index.handler", "Runtime.HandlerNotFound",
     "index.handler is not a function"),
    ({"index.js": "exports.a = null"}, "index.a.b", "Runtime.HandlerNotFound",
     "index.a.b is undefined or not exported"),
    ({"index.js": "function ("}, "index.handler", "Runtime.UserCodeSyntaxError",
     "SyntaxError: Function statements require"),
    ({"index.mjs": "export const = 1"}, "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
    ({"index.js": ""}, "index", "Runtime.MalformedHandlerName", "Bad handler 'index'"),
    ({"index.js": ""}, "", "Runtime.MalformedHandlerName", "Bad handler ''"),
    ({"index.js": ""}, "index.", "Runtime.MalformedHandlerName", "Bad handler 'index.'"),
    ({"index.js": ""}, "../index.handler", "Runtime.MalformedHandlerName",
     "'../index.handler' is not a valid handler name"),
    ({"index.js": "throw new RangeError('at load')"}, "index.handler", "RangeError", "at load"),
    ({"index.js": "Promise.reject(new Error('late')); exports.handler = () => 1;"}, "index.handler",
     "Runtime.UnhandledPromiseRejection", "Error: late"),
])
def test_init_errors(worker, files, handler, kind, message):
    w = worker(files, handler, ready=False)
    e = init_error(w)
    assert e["errorType"] == kind and e["errorMessage"].startswith(message), e
    assert re.search("\tundefined\tERROR\t(Uncaught Exception|Unhandled Promise Rejection) \t{\"errorType\":",
                     w.output.decode())


@pytest.mark.parametrize("body, kind, message", [
    ("async () => { setTimeout(() => { throw new Error('later'); }, 1); "
     "await new Promise((r) => setTimeout(r, 60000)); }",
     "Error", "later"),
    ("async () => { Promise.reject(new Error('nobody')); await new Promise((r) => setTimeout(r, 60000)); }",
     "Runtime.UnhandledPromiseRejection", "Error: nobody"),
    ("async () => { Promise.reject(undefined); await new Promise((r) => setTimeout(r, 60000)); }",
     "Runtime.UnhandledPromiseRejection", "undefined")])
def test_errors_that_nobody_catches(worker, body, kind, message):
    w = worker("exports.handler = %s;" % body)
    frame = w.invoke({})
    assert frame.kind == lane.ERROR
    assert (frame.json["errorType"], frame.json["errorMessage"]) == (kind, message)
    assert w.wait() == 129


@pytest.mark.parametrize("body, status", [
    ("process.exit(7)", 7), ("process.exit()", 0), ("process.abort()", 128 + signal.SIGABRT),
    ("process.kill(process.pid, 'SIGKILL')", 128 + signal.SIGKILL)])
def test_exit(worker, body, status):
    w = worker("exports.handler = async () => { console.log('last words'); %s; };" % body)
    with pytest.raises((lane.Closed, ConnectionResetError)):
        w.invoke({})
    assert w.wait() == status
    assert b"\tINFO\tlast words\n" in w.output


def test_exit_while_loading(worker):
    w = worker("process.exit(3)", ready=False)
    with pytest.raises(lane.Closed):
        w.receive()
    assert w.wait() == 3


def test_console(worker):
    w = worker("""
        console.log('at load');
        exports.handler = async () => {
            console.log('%s is %d', 'x', 3, { a: 1 });
            console.info('i'); console.debug('d'); console.warn('w'); console.error('two\\nlines'); console.trace('t');
            process.stdout.write('raw\\n'); process.stderr.write('err\\n');
        };""")
    ident = uuid.uuid4()
    w.invoke({}, ident=ident.bytes)
    lines = w.output.decode().split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tundefined\tINFO\tat load", lines[0])
    assert [line.split("\t")[1:] for line in lines[1:7]] == [
        [str(ident), level, text] for level, text in [
            ("INFO", "x is 3 { a: 1 }"), ("INFO", "i"), ("DEBUG", "d"), ("WARN", "w"), ("ERROR", "two\rlines"),
            ("TRACE", "t")]]
    assert lines[7:9] == ["raw", "err"]


def test_console_as_json(worker):
    w = worker("""
        exports.handler = async () => {
            console.debug('hidden'); console.log('text', 1); console.warn({ a: 1 });
            console.error(new TypeError('bad'));
        };""", env={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
    ident = uuid.uuid4()
    w.invoke({}, ident=ident.bytes)
    lines = [json.loads(line) for line in w.output.decode().splitlines()]
    assert [(line["level"], line.get("message")) for line in lines] == [
        ("INFO", "text 1"), ("WARN", {"a": 1}), ("ERROR", None)]
    assert lines[2]["errorType"] == "TypeError" and lines[2]["errorMessage"] == "bad" and lines[2]["stackTrace"]
    assert {line["requestId"] for line in lines} == {str(ident)}


def test_much_output_is_not_lost(worker):
    w = worker("exports.handler = async (n) => { for (let i = 0; i < n; i++) console.log('x'.repeat(1000)); };")
    w.invoke(3000)
    assert w.output.count(b"\n") == 3000


def test_large_events_and_answers(worker):
    w = worker("exports.handler = async (e) => e;")
    for n in (0, 65536 - 100, 65536, 1 << 20, 5 << 20):
        text = "é" * (n // 2)
        assert w.invoke(text).json == text


def test_frames_in_pieces(worker):
    w = worker("exports.handler = async (e) => e;")
    ident = uuid.uuid4().bytes
    data = lane.encode(lane.INVOKE, ident, {lane.DEADLINE_MS: 1 << 41}, b'"in pieces"')
    for i in range(len(data)):
        w.send(data[i : i + 1])
    assert w.receive().json == "in pieces"
    w.send(b"".join(lane.encode(lane.INVOKE, uuid.uuid4().bytes, {}, b'%d' % i) for i in range(20)))
    assert sorted(w.receive().json for _ in range(20)) == list(range(20))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nonsense"])
def test_event_that_is_no_json(worker, body):
    w = worker("exports.handler = async (e) => e;")
    assert w.invoke(None, body=body).json["errorType"] == "Runtime.UnmarshalError"
    assert w.invoke(1).json == 1


def test_garbage_on_the_lane_ends_the_worker(worker):
    w = worker("exports.handler = async (e) => e;")
    w.send(b"\xff" * 64)
    assert w.wait() == 0


def test_gate_that_goes_ends_the_worker(worker):
    w = worker("exports.handler = async (e) => e;")
    w.sock.shutdown(socket.SHUT_RDWR)
    assert w.wait() == 0


def test_concurrency(worker):
    w = worker("""
        const all = [];
        exports.handler = async (event, context) => {
            console.log('in', event);
            await new Promise((go) => { all.push(go); if (all.length === 4) all.forEach((f) => f()); });
            console.log('out', event);
            return [event, context.awsRequestId];
        };""", env={"WICK_CONCURRENCY": "4"})
    assert w.ready.number(lane.CONCURRENCY) == 4
    idents = [uuid.uuid4() for _ in range(4)]
    for i, ident in enumerate(idents):
        w.send(lane.encode(lane.INVOKE, ident.bytes, {}, b"%d" % i))
    frames = [w.receive() for _ in idents]
    assert {f.id: f.json for f in frames} == {d.bytes: [i, str(d)] for i, d in enumerate(idents)}
    for i, ident in enumerate(idents):
        assert "\t%s\tINFO\tin %d\n" % (ident, i) in w.output.decode()
        assert "\t%s\tINFO\tout %d\n" % (ident, i) in w.output.decode()


def test_uncaught_error_of_one_of_several(worker):
    w = worker("""
        exports.handler = async (event) => {
            if (event) Promise.reject(new Error('mine'));
            await new Promise((r) => setTimeout(r, 60000));
        };""", env={"WICK_CONCURRENCY": "2"})
    other, guilty = uuid.uuid4().bytes, uuid.uuid4().bytes
    w.send(lane.encode(lane.INVOKE, other, {}, b"0"))
    w.send(lane.encode(lane.INVOKE, guilty, {}, b"1"))
    frame = w.receive()
    assert frame.id == guilty and frame.json["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert w.wait() == 129


STREAM = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
    %s
});"""


def stream(w, event, limit=1000):
    """Invokes as a stream; gives back what it took. (HEAD or None, bytes, RESULT or ERROR)."""
    ident = uuid.uuid4().bytes
    w.send(lane.encode(lane.INVOKE, ident, {lane.STREAM: 1}, json.dumps(event).encode()))
    head, data = None, b""
    while True:
        f = w.receive()
        assert f.id == ident
        if f.kind == lane.HEAD:
            assert head is None and not data
            head = f
        elif f.kind == lane.CHUNK:
            assert 0 < len(f.body) <= 64 << 10
            data += f.body
            w.send(lane.encode(WINDOW_MORE, ident, {WINDOW_KEY: len(f.body)}))
        else:
            return head, data, f


def test_stream(worker):
    w = worker(STREAM % """
        stream.setContentType('text/plain');
        for (let i = 0; i < event; i++)
            if (!stream.write('x'.repeat(100000))) await new Promise((go) => stream.once('drain', go));
        stream.end('end');""")
    head, data, end = stream(w, 30)
    assert head.number(STATUS_KEY) == 200 and head.meta[HEADER_KEY] == b"Content-Type: text/plain"
    assert data == b"x" * 3000000 + b"end"
    assert end.kind == lane.RESULT and end.body == b""


def test_stream_with_status_and_headers(worker):
    w = worker(STREAM % """
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 418, headers: { 'X-Own': '1' },
                                                             cookies: ['a=b', 'c=d'] });
        stream.write('tea');
        stream.end();""")
    ident = uuid.uuid4().bytes
    w.send(lane.encode(lane.INVOKE, ident, {lane.STREAM: 1}, b"0"))
    head = w.receive()
    assert head.kind == lane.HEAD and head.number(STATUS_KEY) == 418
    assert [w.receive().body, w.receive().kind] == [b"tea", lane.RESULT]
    # Without somebody to stream to it is one answer, in the form that AWS gives it.
    prelude, rest = w.invoke(0).body.split(b"\0" * 8)
    assert json.loads(prelude) == {"statusCode": 418, "headers": {"X-Own": "1"}, "cookies": ["a=b", "c=d"]}
    assert rest == b"tea"


def test_stream_waits_for_its_reader(worker):
    w = worker(STREAM % """
        let n = 0;
        while (stream.write(Buffer.alloc(65536))) n++;
        console.log('full after', n);
        for (; n < 100; n++)
            if (!stream.write(Buffer.alloc(65536))) await new Promise((go) => stream.once('drain', go));
        stream.end();""")
    ident = uuid.uuid4().bytes
    w.send(lane.encode(lane.INVOKE, ident, {lane.STREAM: 1}, b"0"))
    got = 0
    while got < WINDOW:
        got += len(w.receive().body)
    assert got == WINDOW
    w.sock.setblocking(True)
    w.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):  # nothing comes before more is asked for
        w.sock.recv(1)
    w.sock.setblocking(False)
    w.send(lane.encode(CANCEL, ident))  # nobody reads the rest
    end = w.receive()
    assert end.kind == lane.RESULT and w.invoke(0).kind == lane.ERROR  # 6.5 MB are too much for one answer


@pytest.mark.parametrize("body, written, kind", [
    ("throw new Error('before')", b"", "Error"), ("stream.write('some'); throw new Error('amid')", b"some", "Error"),
    ("stream.write('some'); stream.destroy(new RangeError('own'))", b"some", "RangeError"),
    ("stream.setContentType('a\\r\\nb: c')", b"", "TypeError"),
    ("awslambda.HttpResponseStream.from(stream, { statusCode: 'x' })", b"", "TypeError"),
    ("stream.write('not ended')", b"not ended", None), ("", b"", None),
    ("stream.end('once'); stream.write('again'); await new Promise((r) => setTimeout(r, 10));", b"once", None)])
def test_streams_that_go_wrong(worker, body, written, kind):
    w = worker(STREAM % body)
    _, data, end = stream(w, 0)
    assert data == written
    if kind:
        assert end.kind == lane.ERROR and end.json["errorType"] == kind
    else:
        assert end.kind in (lane.RESULT, lane.ERROR)
    _, data, end = stream(w, 0)
    assert data == written


def test_stream_of_bytes_to_one_who_takes_none(worker):
    w = worker("exports.handler = awslambda.streamifyResponse(async (e, s) => {\n"
               "    const mark = s.writableHighWaterMark; s.write(Buffer.from([0, 255, 128])); s.end([mark].join()); },\n"
               "    { highWaterMark: 7 });")
    assert w.invoke(0).body == b"\x00\xff\x807"


def test_handler_that_does_not_stream(worker):
    w = worker("exports.handler = async (e) => e;")
    head, data, end = stream(w, {"a": 1})
    assert (head, data, end.json) == (None, b"", {"a": 1})


def test_box(worker):
    """The rights of Node.js itself: those of any worker."""
    w = worker("""
        const fs = require('fs');
        exports.handler = async () => {
            const status = fs.readFileSync('/proc/self/status', 'utf8');
            const tried = {};
            for (const path of ['/var/task/x', '/x', '/usr/x', '/tmp/x'])
                try { fs.writeFileSync(path, ''); tried[path] = true; } catch (e) { tried[path] = e.code; }
            for (const path of ['/run/wick/code', '/proc/1/environ', '/proc/1/mem'])
                try { tried[path] = fs.readdirSync(path).length; } catch (e) {
                    try { fs.readFileSync(path); tried[path] = true; } catch (e) { tried[path] = e.code; } }
            return { caps: /CapEff:\\s*(\\w+)/.exec(status)[1], privs: /NoNewPrivs:\\s*(\\d)/.exec(status)[1],
                     seccomp: /Seccomp:\\s*(\\d)/.exec(status)[1], uid: process.getuid(),
                     tmp: fs.readdirSync('/tmp'), tried };
        };""")
    answer = w.invoke({}).json
    assert (answer["caps"], answer["privs"], answer["seccomp"], answer["uid"]) == ("0" * 16, "1", "2", 1000)
    assert answer["tmp"] == ["x"]
    tried = answer["tried"]
    assert tried["/tmp/x"] is True and tried["/run/wick/code"] in (0, "ENOENT")
    assert all(tried[path] in ("EROFS", "EACCES") for path in ("/var/task/x", "/x", "/usr/x"))
    assert tried["/proc/1/environ"] == "EACCES" and tried["/proc/1/mem"] == "EACCES"


def test_children_of_a_function(worker):
    w = worker({"index.js": """
        const { execFileSync, fork, spawn } = require('child_process');
        exports.handler = async () => {
            const orphan = spawn('sh', ['-c', 'true & exit'], { detached: true });
            await new Promise((go) => orphan.on('exit', go));
            const child = fork('/var/task/child.js');
            const said = await new Promise((go) => child.on('message', go));
            return [execFileSync('sh', ['-c', 'echo $OWN'], { encoding: 'utf8' }), said];
        };""", "child.js": "process.send(process.execArgv.length);"}, env={"OWN": "value"})
    assert w.invoke({}).json == ["value\n", 0]


def test_node_options(folder):
    (folder / "index.js").write_text("exports.handler = async () => [global.before, v8()];\n"
                                     "const v8 = () => require('v8').getHeapStatistics().heap_size_limit >> 20;\n")
    (folder / "before.js").write_text("global.before = 'before';\n")
    env = environment("index.handler", {"NODE_OPTIONS": "--require /var/task/before.js"})
    with lane.Worker(folder, "index.handler", env, program=PROGRAM) as w:
        assert w.receive().kind == lane.READY
        before, limit = w.invoke({}).json
        assert before == "before" and 200 < limit < 400


def test_no_nodejs(folder):
    with lane.Worker(folder, "index.handler", environment("index.handler", {"PATH": "/nowhere"}), program=PROGRAM) as w:
        e = init_error(w)
        assert e == {"errorType": "Runtime.StartFailed",
                     "errorMessage": "Node.js is not installed on this node: no program node in /nowhere"}


def test_pool_without_nodejs(folder):
    w = Pooled(folder, {"PATH": "/nowhere"})
    answer = w.loaded()
    assert answer.type == zygote.FAILED and b"no program node in /nowhere" in answer.text
    assert w.wait() == 1
    w.stop()


def test_pooled_box_ends_with_its_control_socket(folder):
    w = Pooled(folder)
    assert w.loaded().type == zygote.LOADED
    w.control.shutdown(socket.SHUT_RDWR)
    assert w.wait() == 1
    w.stop()


@pytest.mark.parametrize("plan", [b"", b"nonsense", "package", "namespaces"])
def test_pooled_box_that_is_told_nonsense(folder, plan):
    w = Pooled(folder)
    assert w.loaded().type == zygote.LOADED
    if isinstance(plan, str):
        limits = LIMITS if plan == "package" else [zygote.op("RLIMIT", which=7, value=100)]
        answer = w.specialise("missing", environment("index.handler", {}), limits=limits)
    else:
        w.control.send(struct.pack("<BxxxiixxxxQ", zygote.FORK, 0, 0, 0) + w.ident + plan)
        answer = w.loaded()
    assert answer.type == zygote.FAILED and answer.id == w.ident and answer.text
    assert w.wait() == 1
    w.stop()


def test_terminate(worker):
    w = worker("process.on('SIGTERM', () => { console.log('going'); process.exit(5); }); exports.handler = () => {};")
    signal.pidfd_send_signal(w.pidfd, signal.SIGTERM)
    assert w.wait() == 5 and b"going" in w.output


# --- through a server ---


def deploy(wick, source, handler="index.handler", files=None, **conf):
    return wick.deploy("", handler, files={"index.js": source, **(files or {})}, Runtime="nodejs20.x", **conf)


def test_function(wick):
    name = deploy(wick, """
        exports.handler = async (event, context) => {
            console.log('said', event.n);
            if (event.fail) throw new RangeError('as asked');
            return { n: event.n, arn: context.invokedFunctionArn, version: context.functionVersion,
                     own: process.env.OWN, memory: context.memoryLimitInMB, execution: process.env.AWS_EXECUTION_ENV };
        };""", Environment={"Variables": {"OWN": "ü"}}, MemorySize=256)
    for n in range(3):
        answer, _ = wick.invoke(name, {"n": n})
        assert (answer["n"], answer["own"], answer["memory"], answer["version"]) == (n, "ü", "256", "$LATEST")
        assert answer["arn"].endswith(":function:" + name)
    payload, answer = wick.invoke(name, {"n": 9, "fail": 1}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("RangeError", "as asked")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "\tINFO\tsaid 9" in log and "\tERROR\tInvoke Error \t" in log


def test_functions_from_the_pool(new_wick):
    """A cold start after the first is a process that waited; one with NODE_OPTIONS is started anew."""
    wick = new_wick()
    source = "exports.handler = async () => [process.ppid, process.execArgv.length, global.before];"
    first = deploy(wick, source)
    assert wick.invoke(first)[0] == [1, 0, None]
    others = [deploy(wick, source, files={"n.js": str(n)}) for n in range(3)]
    for name in others:
        assert wick.invoke(name)[0] == [1, 0, None]
    own = deploy(wick, source, files={"before.js": "global.before = 1;"},
                 Environment={"Variables": {"NODE_OPTIONS": "--require /var/task/before.js"}})
    assert wick.invoke(own)[0][2] == 1


def test_function_that_exits(wick):
    name = deploy(wick, "exports.handler = async (e) => { if (e) process.exit(e); return 'ok'; };")
    payload, answer = wick.invoke(name, 3)
    assert answer["FunctionError"] and payload["errorType"] == "Runtime.ExitError"
    assert wick.invoke(name, 0)[0] == "ok"


@pytest.mark.parametrize("source, kind", [
    ("require('absent')", "Runtime.ImportModuleError"), ("function (", "Runtime.UserCodeSyntaxError"),
    ("exports.other = 1", "Runtime.HandlerNotFound"), ("process.exit(4)", "Runtime.ExitError")])
def test_function_that_does_not_load(wick, source, kind):
    payload, answer = wick.invoke(deploy(wick, source))
    assert answer["FunctionError"] and payload["errorType"] == kind


def test_api_in_the_box(wick):
    """What @aws-sdk clients do, without the SDK: a signed request to AWS_ENDPOINT_URL reaches Wick."""
    name = deploy(wick, """
        exports.handler = async () => {
            const answer = await fetch(process.env.AWS_ENDPOINT_URL + '/', { headers: { host: 'localhost' } });
            return [process.env.AWS_ENDPOINT_URL, answer.status];
        };""")
    url, status = wick.invoke(name)[0]
    assert url.startswith("http://127.0.0.1:") and status == 403  # unsigned: refused by Wick


def test_concurrent_invocations_of_one_worker(wick):
    name = deploy(wick, """
        let running = 0, most = 0;
        exports.handler = async (event) => {
            most = Math.max(most, ++running);
            await new Promise((go) => setTimeout(go, 100));
            running--;
            return most;
        };""", Tags={"wick:concurrency": "8"})
    wick.invoke(name)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert max(pool.map(lambda _: wick.invoke(name)[0], range(8))) > 1


NODE_MODULES = pathlib.Path(__file__).parent / "node/node_modules"


@pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="npm packages are not installed: dev/deps --test")
def test_aws_sdk_in_the_box(wick):
    """The npm SDK, brought along by the package, finds Wick by the environment alone."""
    files = {}
    for path in NODE_MODULES.rglob("*"):
        name = "node_modules/" + str(path.relative_to(NODE_MODULES))
        if path.suffix in (".js", ".cjs", ".json") and not re.search("/dist-(es|types)/", name) and path.is_file():
            files[name] = path.read_text()
    name = deploy(wick, """
        const { S3Client, PutObjectCommand, GetObjectCommand } = require('@aws-sdk/client-s3');
        const s3 = new S3Client({ forcePathStyle: true });
        exports.handler = async ({ Bucket }) => {
            await s3.send(new PutObjectCommand({ Bucket, Key: 'from/node', Body: 'written in a box' }));
            const object = await s3.send(new GetObjectCommand({ Bucket, Key: 'from/node' }));
            return object.Body.transformToString();
        };""", files=files)
    bucket = wick.bucket()
    assert wick.invoke(name, {"Bucket": bucket})[0] == "written in a box"
    assert wick.client("s3").get_object(Bucket=bucket, Key="from/node")["Body"].read() == b"written in a box"


def test_example(wick):
    example = pathlib.Path(__file__).resolve().parents[2] / "examples/nodejs-hello"
    done = wick.run("deploy", example)
    assert done.returncode == 0, done.stderr
    assert wick.invoke("nodejs-hello", {"name": "Ada"})[0]["greeting"] == "Hello, Ada!"


STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    const input = event.body === undefined ? event : JSON.parse(event.body);
    if (input.status)
        stream = awslambda.HttpResponseStream.from(stream, {
            statusCode: input.status, headers: { 'Content-Type': 'text/x-own' }, cookies: ['a=1', 'b=2'] });
    for (let i = 0; i < input.n; i++)
        if (!stream.write('x'.repeat(50000))) await new Promise((go) => stream.once('drain', go));
    if (input.fail) throw new RangeError('amid');
    stream.end('end');
});"""


def streamed(wick, name, document):
    """(the bytes, the document of InvokeComplete)"""
    answer = raw.lambda_call(wick, "POST", f"/2021-11-15/functions/{name}/response-streaming-invocations", document)
    assert answer.status == 200, answer
    events = botocore.eventstream.EventStreamBuffer()
    events.add_data(answer.body)
    events = [(e.headers[":event-type"], e.payload) for e in events]
    assert events[-1][0] == "InvokeComplete"
    return b"".join(data for kind, data in events if kind == "PayloadChunk"), json.loads(events[-1][1])


def test_response_stream(wick):
    name = deploy(wick, STREAMING)
    for n in (0, 1, 100):
        assert streamed(wick, name, {"n": n}) == (b"x" * 50000 * n + b"end", {})
    data, complete = streamed(wick, name, {"n": 1, "fail": 1})
    assert data == b"x" * 50000 and json.loads(complete["ErrorDetails"])["errorType"] == "RangeError"
    prelude, data = streamed(wick, name, {"n": 0, "status": 404})[0].split(b"\0" * 8)
    assert json.loads(prelude)["statusCode"] == 404 and data == b"end"
    # To one who takes no stream it is one answer: here none that is JSON.
    name = deploy(wick, "exports.handler = awslambda.streamifyResponse(async (e, s) => s.end(JSON.stringify(e)));")
    assert wick.invoke(name, {"a": 1})[0] == {"a": 1}


def test_function_url_that_streams(wick):
    name = deploy(wick, STREAMING)
    answer = raw.lambda_call(wick, "POST", f"/2021-10-31/functions/{name}/url",
                             {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"})
    assert answer.status == 201, answer
    answer = raw.send(wick, "POST", f"/f/{name}/", {"content-type": "application/json"}, b'{"n":40,"status":202}')
    assert answer.status == 202 and answer.headers["Content-Type"] == "text/x-own"
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.body == b"x" * 2000000 + b"end"
    answer = raw.send(wick, "POST", f"/f/{name}/", {"content-type": "application/json"}, b'{"n":0,"fail":1}')
    assert answer.status == 502


def test_slow_client_slows_the_function(wick):
    """Of 200 MiB nothing is written that nobody has read, but for what the sockets and windows between hold."""
    name = deploy(wick, """
        exports.handler = awslambda.streamifyResponse(async (event, stream) => {
            const piece = Buffer.alloc(65536);
            for (let i = 0; i < 3200; i++) {
                if (stream.write(piece)) continue;
                console.log('written', i);
                await new Promise((go) => stream.once('drain', go));
            }
            stream.end();
        });""")
    raw.lambda_call(wick, "POST", f"/2021-10-31/functions/{name}/url",
                    {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"})

    def written():
        return max(map(int, re.findall(r"written (\d+)", wick.run("logs", name).stdout)), default=0)

    with raw.connect(wick) as s:
        s.sendall(f"GET /f/{name}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        s.recv(1000)
        before = -1
        while before != (now := written()):
            before = now
            select.select([], [], [], 0.3)
        assert 0 < now < 640  # 40 MiB
        rest, got = 0, b"x"
        while got:
            got = s.recv(1 << 20)
            rest += len(got)
        assert rest > 199 << 20
    until(lambda: written() > 3100, "the rest to be written")
