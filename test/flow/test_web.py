"""Web functions over their lane: HTTP exchanges both ways, streams, WebSocket tunnels, readiness, and how what goes wrong
is told. Needs: the built wick-runtime, /usr/bin/python3 in the machine."""

import json
import random
import select
import time
import uuid

import pytest

import shims
import urls

# A server that is told by the path what to do, with bare sockets, so that it can misbehave.
SERVER = r'''#!/usr/bin/python3
import json, os, socket, sys, threading, time
PORT = int(os.environ["PORT"])
class Conn:
    def __init__(self, s):
        self.s, self.f = s, s.makefile("rb")
        self.requests = 0
    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())
    def head(self):
        line = self.f.readline()
        if not line:
            return None
        self.requests += 1
        self.line = line.decode().strip()
        self.method, self.path, _ = self.line.split(" ")
        self.headers = []
        while True:
            h = self.f.readline().strip().decode()
            if not h:
                break
            self.headers.append(h)
        return self.path
    def header(self, name):
        for h in self.headers:
            k, _, v = h.partition(":")
            if k.lower() == name:
                return v.strip()
    def chunks(self):
        while True:
            n = int(self.f.readline().strip(), 16)
            data = self.f.read(n)
            self.f.readline()
            if not n:
                return
            yield data
    def body(self):
        if self.header("transfer-encoding"):
            return b"".join(self.chunks())
        return self.f.read(int(self.header("content-length") or 0))
    def answer(self, body, status="200 OK", headers=""):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), headers))
        self.send(body)
    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))
def serve(s):
    c = Conn(s)
    while c.head():
        globals()["do_" + c.path.split("?")[0].strip("/").replace("/", "_")](c)
def do_(c):
    c.answer(c.body())
def do_see(c):
    body = c.body()
    c.answer({"line": c.line, "headers": c.headers, "body": body.decode(), "requests": c.requests})
def do_status(c):
    c.body()
    c.answer(b"" if "204" in c.path or "304" in c.path else b"what", c.path.partition("?")[2].replace("+", " "))
def do_big(c):
    c.body()
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Hop: 1\r\nConnection: x-hop\r\nKeep-Alive: 5\r\nX-Kept: 2\r\n\r\n")
    for _ in range(int(c.path.partition("?")[2])):
        c.chunk(b"z" * (1 << 20))
    c.send("0\r\n\r\n")
def do_length(c):
    c.answer(b"l" * int(c.path.partition("?")[2]))
def do_close(c):
    c.send("HTTP/1.0 200 OK\r\n\r\nuntil the end")
    c.s.close(); c.f.close()
    sys.exit()
def do_continue(c):
    c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    c.answer(b"after")
def do_duplex(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for data in c.chunks():
        c.chunk(data.upper())
    c.send("0\r\n\r\n")
def do_slow(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    c.chunk(b"first")
    gone(c)
def gone(c):
    c.s.settimeout(None)
    print("gone" if not c.f.read(1) else "more", flush=True)
def do_hang(c):
    print("hanging", flush=True)
    gone(c)
def do_dies(c):
    c.s.close(); c.f.close()
    sys.exit()
def do_half(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    c.s.close(); c.f.close()
    sys.exit()
def do_early(c):
    c.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    c.s.close(); c.f.close()
    sys.exit()
def do_garbage(c):
    c.send("hello there\r\n\r\n")
def do_badchunk(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
def do_exit(c):
    os._exit(3)
def do_drain(c):
    n = 0
    for data in c.chunks():
        n += len(data)
        time.sleep(0.001)
    c.answer(n)
def do_once(c):
    c.answer(b"bye")
    c.s.close(); c.f.close()
    sys.exit()
def do_ws(c):
    c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhi!")
    while True:
        data = c.s.recv(65536)
        if not data:
            break
        c.send(data[::-1])
        if data == b"bye":
            break
    print("ws over", flush=True)
    c.s.close(); c.f.close()
    sys.exit()
def main(address=("127.0.0.1", PORT)):
    l = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET, backlog=128)
    while True:
        s, _ = l.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(s,), daemon=True).start()
'''


@pytest.fixture
def folder():
    with shims.folder_for_all() as path:
        yield path


@pytest.fixture
def worker(folder):
    made = []

    def start(program=SERVER + "main()\n", argv=("server",), env=None, ready=True):
        if program:
            shims.put(folder, "server", program)
        w = shims.Worker(folder, ["web", *argv], {"WICK_CONCURRENCY": "100", "PYTHONUNBUFFERED": "1", **(env or {})})
        made.append(w)
        if ready:
            w.ready_at_last()
        return w

    yield start
    for w in made:
        w.stop()


def begin(w, method, target, headers=(), ident=None):
    return w.ask(b"", ident=ident, pairs=[(shims.METHOD, method), (shims.TARGET, target),
                                          *((shims.HEADER, h) for h in headers)])


def body(w, ident, *pieces, end=True):
    for piece in pieces:
        w.send(shims.frame(shims.CHUNK, ident, (), piece))
    if end:
        w.send(shims.frame(shims.END, ident))


def exchange(w, method, target, headers=(), pieces=()):
    """(HEAD, body, last frame); the window of the request is not looked at."""
    ident = begin(w, method, target, headers)
    body(w, ident, *pieces)
    head, data, given = None, b"", 0
    while True:
        f = w.receive()
        assert f.id == ident
        if f.kind == shims.HEAD:
            head = f
        elif f.kind == shims.CHUNK:
            data += f.body
            w.give(ident, len(f.body))
        elif f.kind == shims.WINDOW_MORE:
            given += f.number(shims.WINDOW)
        else:
            if f.kind == shims.RESULT:
                assert head and not f.body
            return head, data, f


def ask_see(w, *args, **kw):
    head, data, last = exchange(w, *args, **kw)
    assert head.number(shims.STATUS) == 200
    return json.loads(data)


def test_ready_says_its_concurrency(worker):
    w = worker(ready=False)
    assert w.ready().number(shims.CONCURRENCY) == 100


def test_request_as_it_is_given(worker):
    w = worker()
    seen = ask_see(w, "GET", "/see?a=b&c", ["Host: example.org", "X-Forwarded-For: 1.2.3.4", "Cookie: a", "Cookie: b",
                                           "Connection: keep-alive, x-mine", "X-Mine: 1", "Keep-Alive: 9", "TE: trailers",
                                           "Proxy-Connection: x", "Expect: 100-continue"])
    assert seen["line"] == "GET /see?a=b&c HTTP/1.1"
    assert seen["headers"] == ["Host: example.org", "X-Forwarded-For: 1.2.3.4", "Cookie: a", "Cookie: b"]
    assert ask_see(w, "GET", "/see")["headers"] == ["Host: 127.0.0.1:8080"]


def test_bodies(worker):
    w = worker()
    seen = ask_see(w, "POST", "/see", ["Host: x", "Content-Length: 5"], [b"he", b"llo"])
    assert seen["body"] == "hello" and seen["headers"] == ["Host: x", "Content-Length: 5"]
    seen = ask_see(w, "POST", "/see", ["Host: x"], [b"he", b"llo"])
    assert seen["body"] == "hello" and seen["headers"] == ["Host: x", "Transfer-Encoding: chunked"]
    seen = ask_see(w, "POST", "/see", ["Host: x", "Transfer-Encoding: chunked"], [])
    assert seen["body"] == "" and seen["headers"] == ["Host: x", "Transfer-Encoding: chunked"]
    assert ask_see(w, "POST", "/see", ["Host: x"])["headers"] == ["Host: x", "Content-Length: 0"]
    assert ask_see(w, "GET", "/see", ["Host: x"])["headers"] == ["Host: x"]
    assert ask_see(w, "DELETE", "/see", ["Host: x"])["headers"] == ["Host: x"]


def test_connections_are_kept(worker):
    w = worker()
    assert [ask_see(w, "GET", "/see")["requests"] for _ in range(3)] == [1, 2, 3]


def test_answers(worker):
    w = worker()
    head, data, last = exchange(w, "GET", "/big?2")
    assert len(data) == 2 << 20 and last.kind == shims.RESULT
    assert head.headers == {"x-kept": ["2"]}
    head, data, last = exchange(w, "GET", "/length?100000")
    assert head.headers == {"content-length": ["100000"]} and data == b"l" * 100000
    head, data, last = exchange(w, "HEAD", "/status?200+OK")
    assert head.headers == {"content-length": ["4"]} and data == b""
    for code in (204, 304, 404, 500):
        head, data, last = exchange(w, "GET", "/status?%d+X" % code)
        assert head.number(shims.STATUS) == code and data == (b"" if code < 400 else b"what"), code
    head, data, last = exchange(w, "GET", "/close")
    assert data == b"until the end" and last.kind == shims.RESULT
    head, data, last = exchange(w, "GET", "/continue")
    assert head.number(shims.STATUS) == 200 and data == b"after"


def test_head_request_body_is_not_awaited(worker):
    """HEAD's answer has Content-Length and no body; the connection goes on."""
    w = worker(SERVER + '''
def do_h(c):
    c.send("HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n")
main()
''')
    for _ in range(3):
        head, data, last = exchange(w, "HEAD", "/h")
        assert head.headers == {"content-length": ["1000"]} and data == b"" and last.kind == shims.RESULT


def test_streams_both_ways_at_once(worker):
    w = worker()
    ident = begin(w, "POST", "/duplex")
    for n in range(50):
        body(w, ident, b"piece %d" % n, end=False)
        while True:
            f = w.receive()
            if f.kind == shims.CHUNK:
                break
            assert f.kind in (shims.HEAD, shims.WINDOW_MORE)
        assert f.body == b"PIECE %d" % n
    w.send(shims.frame(shims.END, ident))
    last = w.receive()
    while last.kind == shims.WINDOW_MORE:
        last = w.receive()
    assert last.kind == shims.RESULT


def test_first_byte_at_once(worker):
    w = worker()
    ident = begin(w, "GET", "/slow")
    body(w, ident)
    assert w.receive().kind == shims.HEAD
    assert w.receive().body == b"first"
    assert w.quiet()
    w.send(shims.frame(shims.CANCEL, ident))
    assert w.receive().type == "Web.Cancelled"
    w.call(b"1")
    while b"gone" not in w.output:
        w.drain()


def test_answer_waits_for_window(worker):
    w = worker()
    ident = begin(w, "GET", "/big?8")
    body(w, ident)
    assert w.receive().kind == shims.HEAD
    got = 0
    while got < shims.FRAME_WINDOW:
        got += len(w.receive().body)
    assert got == shims.FRAME_WINDOW and w.quiet()
    # Meanwhile others are served.
    assert ask_see(w, "GET", "/see")["requests"] == 1
    w.give(ident, got)
    head, data, last = w.stream(ident)
    assert len(data) == (8 << 20) - got and last.kind == shims.RESULT


@pytest.mark.parametrize("how", ["length", "chunks", "end"])
def test_bulk_arrives_as_it_was_sent(worker, how):
    """More at once than the lane's socket holds, of many answers mixed."""
    w = worker(SERVER + '''
import hashlib, random
def do_random(c):
    n, how = c.path.partition("?")[2].split(",")
    data = random.Random(int(n)).randbytes(1 << 20)
    if how == "chunks":
        c.send("HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
        for at in range(0, len(data), 300001):
            c.chunk(data[at:at + 300001])
        c.send("0\\r\\n\\r\\n")
    else:
        c.send("HTTP/1.1 200 OK\\r\\n%s\\r\\n" % ("Content-Length: %d\\r\\n" % len(data) if how == "length" else ""))
        c.send(data)
    if how == "end":
        c.s.close(); c.f.close()
        sys.exit()
main()
''')
    asked = {}
    for n in range(60):
        ident = begin(w, "GET", "/random?%d,%s" % (n, how))
        body(w, ident)
        asked[ident] = (n, bytearray())
    while w.unread() < 100000:  # nobody reads: the socket fills
        select.select([], [], [], 0.01)
    left = set(asked)
    while left:
        f = w.receive()
        if f.kind == shims.CHUNK:
            asked[f.id][1].extend(f.body)
            w.give(f.id, len(f.body))
        elif f.kind != shims.HEAD:
            assert f.kind == shims.RESULT
            left.remove(f.id)
    for n, data in asked.values():
        assert data == random.Random(n).randbytes(1 << 20)


def test_request_window(worker):
    """A program that does not read gives nothing back beyond what the kernel's buffers took; one that does, all."""
    w = worker()
    ident = begin(w, "POST", "/drain")
    total, credit, given = 4 << 20, shims.FRAME_WINDOW, 0
    sent = 0
    while sent < total:
        while credit and sent < total:
            n = min(credit, shims.CHUNK_MAX, total - sent)
            body(w, ident, b"d" * n, end=False)
            credit, sent = credit - n, sent + n
        f = w.receive()
        assert f.kind == shims.WINDOW_MORE
        credit += f.number(shims.WINDOW)
        assert credit <= shims.FRAME_WINDOW
    w.send(shims.frame(shims.END, ident))
    f = w.receive()
    while f.kind == shims.WINDOW_MORE:
        f = w.receive()
    assert f.kind == shims.HEAD
    assert json.loads(w.receive().body) == total


def test_websocket(worker):
    w = worker()
    ident = begin(w, "GET", "/ws", ["Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k"])
    head = w.receive()
    assert head.number(shims.STATUS) == 101
    assert head.headers == {"upgrade": ["websocket"], "connection": ["Upgrade"], "sec-websocket-accept": ["x"]}
    assert w.receive().body == b"hi!"
    for word in (b"abc", b"defg"):
        body(w, ident, word, end=False)
        frames = [w.receive(), w.receive()]
        assert {f.kind for f in frames} == {shims.WINDOW_MORE, shims.CHUNK}
        assert [f.body for f in frames if f.kind == shims.CHUNK] == [word[::-1]]
    w.send(shims.frame(shims.END, ident))
    assert w.receive().kind == shims.RESULT
    # Ended by the program; END of the request's body before 101 is no end of the tunnel.
    ident = begin(w, "GET", "/ws", ["Connection: Upgrade", "Upgrade: websocket"])
    w.send(shims.frame(shims.END, ident))
    assert w.receive().kind == shims.HEAD and w.receive().body == b"hi!"
    body(w, ident, b"bye", end=False)
    data, f = b"", w.receive()
    while f.kind != shims.RESULT:
        data, f = data + f.body, w.receive()
    assert data == b"eyb"


def test_events(worker):
    w = worker()
    event = {"Records": [1]}
    assert w.call(json.dumps(event).encode()).json == event
    w2 = worker(SERVER + '''
def do_(c):
    e = json.loads(c.body())
    if e["do"] == "see":
        c.answer([c.line, c.headers])
    else:
        c.answer(bytes(e.get("body", ""), "latin1") * e.get("times", 1), e.get("status", "200 OK"))
main()
''')

    def call(**e):
        return w2.call(json.dumps(e).encode(), pairs=[(3, "Root=1")])

    ident = uuid.uuid4().bytes
    line, headers = w2.call(b'{"do":"see"}', ident=ident, pairs=[(3, "Root=1")]).json
    assert line == "POST / HTTP/1.1"
    assert headers == ["Host: 127.0.0.1:8080", "Content-Type: application/json", "Content-Length: 12",
                       "X-Amzn-RequestId: " + str(uuid.UUID(bytes=ident)), "X-Amzn-Trace-Id: Root=1"]
    assert call(do="x", body="[1, 2]").body == b"[1, 2]"
    assert call(do="x", body="just text").body == b'"just text"'
    assert call(do="x", body="\xff").json == "\ufffd"
    assert call(do="x").body == b"null"
    answer = call(do="x", body="oops", status="500 X")
    assert answer.type == "Web.ErrorStatus" and answer.json["errorMessage"].endswith("POST / was answered 500: oops")
    assert call(do="x", body="x" * 1000, times=7000).type == "Function.ResponseSizeTooLarge"
    ident = w2.ask(json.dumps({"do": "x", "body": "st"}).encode(), stream=True)
    head, data, last = w2.stream(ident)
    assert head.number(shims.STATUS) == 200 and data == b"st" and last.kind == shims.RESULT


def test_many_at_once(worker):
    w = worker()
    asked = {w.ask(b"%d" % n): n for n in range(100)}
    for _ in range(100):
        f = w.receive()
        assert f.kind == shims.RESULT and f.json == asked.pop(f.id)


def test_connection_lost(worker):
    w = worker()
    head, data, last = exchange(w, "POST", "/dies")
    assert head is None and last.type == "Web.ConnectionLost"
    head, data, last = exchange(w, "GET", "/half")
    assert head.number(shims.STATUS) == 200 and data == b"half" and last.type == "Web.ConnectionLost"
    assert "in the middle" in last.json["errorMessage"]
    assert ask_see(w, "GET", "/see")["requests"] == 1


def test_kept_connection_that_the_program_closed(worker):
    w = worker()
    for _ in range(5):
        head, data, last = exchange(w, "GET", "/once")
        assert data == b"bye" and last.kind == shims.RESULT


def test_program_that_serves_one_connection_at_a_time(worker):
    w = worker(SERVER + '''
class Thread:
    def __init__(self, target, args, daemon):
        self.start = lambda: target(*args)
threading.Thread = Thread
main()
''')
    asked = [w.ask(b"%d" % n) for n in range(3)]
    assert {w.receive().id for _ in asked} == set(asked)


def test_early_answer(worker):
    w = worker()
    ident = begin(w, "POST", "/early", ["Content-Length: 1000000"])
    body(w, ident, b"x" * 65536, end=False)
    f = w.receive()
    while f.kind == shims.WINDOW_MORE:
        f = w.receive()
    # The connection may be reset before its answer was read: then it is lost.
    assert f.kind == shims.HEAD and f.number(shims.STATUS) == 413 or f.type == "Web.ConnectionLost"


@pytest.mark.parametrize("path", ["/garbage", "/badchunk"])
def test_bad_answers(worker, path):
    w = worker()
    head, data, last = exchange(w, "GET", path)
    assert last.type == "Web.BadResponse" and "no HTTP/1.1" in last.json["errorMessage"]
    assert ask_see(w, "GET", "/see")["requests"] == 1


def test_bad_requests(worker):
    w = worker()
    for method, target in (("G T", "/"), ("GET", "/ x"), ("GET", ""), ("", "/")):
        ident = begin(w, method, target)
        assert w.receive().type == "Web.BadRequest"
        w.send(shims.frame(shims.END, ident))
    for length, pieces in (("5", [b"1234"]), ("5", [b"123", b"456"]), ("x", [])):
        head, data, last = exchange(w, "POST", "/see", ["Content-Length: " + length], pieces)
        assert head is None and last.type == "Web.BadRequest"
    head, data, last = exchange(w, "POST", "/see", ["Content-Length: 1", "Content-Length: 1"], [b"1"])
    assert head is None and last.type == "Web.BadRequest"
    assert ask_see(w, "GET", "/see", ["X: a\r\nY: b", "Good: 1"])["headers"] == ["Good: 1", "Host: 127.0.0.1:8080"]


def test_program_exits(worker):
    w = worker()
    hanging = begin(w, "GET", "/hang")
    body(w, hanging)
    while b"hanging" not in w.output:
        w.drain()
    body(w, begin(w, "GET", "/exit"))
    assert w.dies() == 3


def test_cancel_before_the_answer(worker):
    w = worker()
    ident = begin(w, "GET", "/hang")
    body(w, ident)
    while b"hanging" not in w.output:
        w.drain()
    w.send(shims.frame(shims.CANCEL, ident))
    assert w.receive().type == "Web.Cancelled"
    while b"gone" not in w.output:
        w.drain()


# ---- starting ----


def test_ready_when_the_port_answers(worker):
    w = worker(SERVER + "time.sleep(0.3)\nmain()\n")
    assert ask_see(w, "GET", "/see")["requests"] == 1


def test_ready_path(worker):
    w = worker(SERVER + '''
n = 0
def do_health(c):
    global n
    n += 1
    c.answer(b"", "503 Wait" if n < 3 else "401 Who")
def do_n(c):
    c.answer(n)
main()
''', env={"WICK_WEB_READY": "/health"})
    assert ask_see(w, "GET", "/n") == 3


def test_command_from_path_and_other_port(worker, folder):
    shims.put(folder, "lib/app.py", SERVER + "main()\n", 0o644)
    w = worker(None, argv=("python3", "lib/app.py"), env={"PORT": "3456"})
    assert ask_see(w, "GET", "/see")["headers"] == ["Host: 127.0.0.1:3456"]


WRONG = SERVER + '''
a = socket.create_server(("127.0.0.1", 7777))
b = socket.create_server(("::1", 7778), family=socket.AF_INET6)
'''
NOT_LISTENING = ("The program %s does not listen on 127.0.0.1:8080, the port it is given as PORT; it listens on "
                 "127.0.0.1:7777, [::1]:7778")


def test_wrong_port_and_exit(worker):
    w = worker(WRONG + "time.sleep(1)\nsys.exit(2)\n", ready=False)
    messages = []
    while not messages or "exit status" not in messages[-1]:
        messages.append(w.init_error()["errorMessage"])
    assert NOT_LISTENING % "server" in messages
    assert messages[-1] == "Runtime exited with error: exit status 2. " + NOT_LISTENING % "server"
    assert w.wait() == 1


def test_wrong_port_is_in_the_log(worker):
    w = worker(WRONG + "time.sleep(1000)\n", ready=False)
    end = time.monotonic() + 30
    while b"\n" not in w.output and time.monotonic() < end:
        w.drain()
    assert (NOT_LISTENING % "server").encode() in w.output


def test_served_wrong_port(new_wick):
    wick = new_wick(env={"WICK_INIT_LIMIT": "2s"})
    name = urls.deploy_web(wick, WRONG + "time.sleep(1000)\n")
    error, answer = wick.invoke(name, {})
    assert error == {"errorMessage": NOT_LISTENING % "/usr/bin/python3", "errorType": "Web.NotListening"}


def test_served_out_of_memory_while_it_starts(wick):
    name = urls.deploy_web(wick, SERVER + "hold = []\nwhile True:\n    hold.append(b'x' * (8 << 20))\n", MemorySize=128)
    error, answer = wick.invoke(name, {})
    assert error["errorType"] == "Runtime.OutOfMemory", error


def test_exits_at_once(worker):
    w = worker("#!/bin/sh\necho sorry >&2\nexit 4\n", ready=False)
    error = w.init_error()
    assert error["errorType"] == "Runtime.ExitError" and "exit status 4" in error["errorMessage"]
    assert "127.0.0.1:8080" in error["errorMessage"]
    w.wait()
    assert b"sorry" in w.output


@pytest.mark.parametrize("argv,words", [
    (("nothing",), "nothing is neither in /var/task nor on PATH"),
    ((), "needs a command"),
    (("bin/nothing",), "bin/nothing is neither in /var/task nor on PATH"),
    (("text",), "/var/task/text is not executable"),
])
def test_no_command(worker, folder, argv, words):
    shims.put(folder, "text", "hello", 0o644)
    w = worker(None, argv=argv, ready=False)
    error = w.init_error()
    assert error["errorType"] == "Runtime.InvalidEntrypoint" and words in error["errorMessage"], error


def test_example(worker, folder):
    example = shims.lane.ROOT / "examples/web-hello"
    shims.put(folder, "server.py", (example / "server.py").read_bytes(), 0o644)
    command = (example / "Procfile").read_text().removeprefix("web: ").split()
    w = worker(None, argv=command)
    assert ask_see(w, "GET", "/x") == {"greeting": "Hello, web!", "path": "/x"}
    head, data, last = exchange(w, "GET", "/count")
    assert data == b"0\n1\n2\n3\n4\n"
    assert w.call(b'{"a": 1}').json == {"you sent": {"a": 1}}
