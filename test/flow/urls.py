"""What the tests of function URLs and streams share: functions with a URL, signed requests, event streams by a decoder
that is not Wick's (botocore's)."""
import http.client
import json
import urllib.parse
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.eventstream

from conftest import ROLE, make_zip

LAMBDA = "/2015-03-31/functions/"

# Handlers of a Node.js function: streams, and what can go wrong in them.
STREAMS = r"""
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
exports.plain = async (event) => { if (event.boom) throw new Error('boom'); return event; };
exports.streamed = awslambda.streamifyResponse(async (event, out, context) => {
  const path = event.rawPath || event.path || '/';
  if (path === '/early') throw new Error('too early');
  if (path === '/head')
    out = awslambda.HttpResponseStream.from(out, {statusCode: 201, headers: {'x-one': '1'}, cookies: ['a=1', 'b=2']});
  if (path === '/big') {
    const block = Buffer.alloc(1 << 16, 'z');
    for (let i = 0; i < (event.n || 256); i++)
      if (!out.write(block)) await new Promise((done) => out.once('drain', done));
    console.log('written');
    out.end();
    return;
  }
  out.write('one,');
  if (path === '/boom') { await sleep(50); throw new Error('boom'); }
  if (path === '/slow') await sleep(60000);
  if (path === '/exit') { await sleep(50); process.exit(3); }
  if (path === '/wait') await sleep(300);
  out.write('two');
  out.end();
});
"""

# A web program with the paths that the tests ask for, in plain sockets, a thread a connection.
PROGRAM = r'''
import base64, hashlib, json, os, socket, struct, sys, threading, time
def head(f):
    line = f.readline().decode().strip()
    if not line: return None
    headers = []
    while True:
        h = f.readline().decode().strip()
        if not h: return line, headers
        headers.append(h.split(": ", 1))
def get(headers, name):
    for k, v in headers:
        if k.lower() == name: return v
def body(f, headers):
    if get(headers, "transfer-encoding"):
        while True:
            n = int(f.readline(), 16)
            piece = f.read(n); f.readline()
            if not n: return
            yield piece
    left = int(get(headers, "content-length") or 0)
    while left:
        piece = f.read(min(left, 65536)); left -= len(piece)
        yield piece
def answer(s, text, status="200 OK", more=""):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    s.sendall(("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(text), more)).encode() + text)
def chunk(s, b): s.sendall(b"%x\r\n%s\r\n" % (len(b), b))
def begin(s): s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
def websocket(s, f, headers):
    key = get(headers, "sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    s.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n" % accept).encode())
    while True:
        h = f.read(2)
        if len(h) < 2: print("client gone", flush=True); return
        op, n = h[0] & 15, h[1] & 127
        if n == 126: n = struct.unpack(">H", f.read(2))[0]
        elif n == 127: n = struct.unpack(">Q", f.read(8))[0]
        mask = f.read(4); data = f.read(n)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if n < 65536 else data
        out = bytes([0x80 | op]) + (bytes([n]) if n < 126 else struct.pack(">BH", 126, n) if n < 65536 else struct.pack(">BQ", 127, n))
        s.sendall(out + data)
        if op == 8: s.close(); f.close(); return
def serve(s):
    f = s.makefile("rb")
    while True:
        request = head(f)
        if not request: return
        line, headers = request
        method, target, _ = line.split(" ")
        path = target.split("?")[0]
        if path == "/ws": return websocket(s, f, headers)
        if path == "/upload":
            n = 0; h = hashlib.sha256()
            for piece in body(f, headers): n += len(piece); h.update(piece)
            answer(s, [n, h.hexdigest()])
        elif path == "/slowup":
            n = 0
            for piece in body(f, headers): n += len(piece); time.sleep(0.002)
            answer(s, n)
        elif path == "/down":
            begin(s)
            for _ in range(int(target.split("?")[1])): chunk(s, b"z" * 65536)
            s.sendall(b"0\r\n\r\n"); print("written", flush=True)
        elif path == "/first":
            begin(s); chunk(s, b"first"); time.sleep(0.3); chunk(s, b"second"); s.sendall(b"0\r\n\r\n")
        elif path == "/duplex":
            begin(s)
            for piece in body(f, headers): chunk(s, piece.upper())
            s.sendall(b"0\r\n\r\n")
        elif path == "/half":
            begin(s); chunk(s, b"half"); time.sleep(0.05); s.close(); f.close(); return
        elif path == "/hang":
            print("hanging", flush=True)
            if not f.read(1): print("client gone", flush=True)
            return
        elif path == "/status":
            list(body(f, headers)); answer(s, b"" if target.endswith(("204", "304")) else b"what", target.split("?")[1] + " X", "X-A: 1\r\nX-A: 2\r\nConnection: x-hop\r\nX-Hop: 1\r\n")
        elif path == "/early":
            answer(s, b"no", "413 Too Large", "Connection: close\r\n"); s.close(); f.close(); return
        elif path == "/exit":
            os._exit(3)
        else:
            answer(s, {"line": line, "headers": headers, "body": b"".join(body(f, headers)).decode()})
l = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=256)
while True:
    s, _ = l.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(s,), daemon=True).start()
'''


def call(wick, method, path, body=b"", headers=None, sign=True, service="lambda", keys=None):
    """One request; the http.client answer, with its body as .text."""
    host = wick.url.split("//")[1]
    headers = dict(headers or {})
    if sign:
        access, secret, *token = keys or wick.keys
        request = botocore.awsrequest.AWSRequest(method, wick.url + path, data=body, headers=headers)
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(access, secret, *token), service,
                                "us-east-1").add_auth(request)
        headers = dict(request.headers)
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        answer.text = answer.read()
        return answer
    finally:
        connection.close()


def add_url(wick, name, qualifier=None, **conf):
    """Gives a function a URL; the path of it, with its slash at the end."""
    conf.setdefault("AuthType", "NONE")
    path = f"/2021-10-31/functions/{name}/url" + (f"?Qualifier={qualifier}" if qualifier else "")
    answer = call(wick, "POST", path, json.dumps(conf).encode())
    assert answer.status == 201, answer.text
    return urllib.parse.urlsplit(json.loads(answer.text)["FunctionUrl"]).path


def deploy(wick, files, handler, runtime, tags=None, **conf):
    name = "u-" + uuid.uuid4().hex[:12]
    conf.setdefault("Timeout", 30)
    conf.setdefault("MemorySize", 256)
    wick.client("lambda").create_function(FunctionName=name, Role=ROLE, Handler=handler, Runtime=runtime,
                                          Code={"ZipFile": make_zip(files)}, Tags=tags or {}, **conf)
    return name


def deploy_node(wick, handler, **conf):
    return deploy(wick, {"index.js": STREAMS}, "index." + handler, "nodejs20.x", **conf)


def deploy_web(wick, program=PROGRAM, **conf):
    tags = {"wick:runtime": "web", "wick:command": "/usr/bin/python3 server.py", **conf.pop("tags", {})}
    return deploy(wick, {"server.py": program}, "server", "provided.al2023", tags, **conf)


def events(data):
    """Messages of an event stream: (name, payload)."""
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(m.headers[":event-type"], m.payload) for m in buffer]


def logs(wick, name):
    return wick.run("logs", name).stdout
