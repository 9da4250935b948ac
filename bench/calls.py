"""Calls of Wick for benchmarks: signed before the clock starts, sent as ready bytes over plain sockets, many at once.
What the client costs is then one send and one receive."""
import json
import resource
import selectors
import socket
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials

STAGES = ("queue", "start", "box", "init", "run")


def room_for_files(n):
    """Many connections need many descriptors, here and in the server that is started after this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(n, soft), hard), hard))


def plain_request(port, body, path="/"):
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def invocation(wick, name, event):
    """The bytes of one Invoke; good for 15 minutes."""
    body = json.dumps(event)
    url = f"{wick.url}/2015-03-31/functions/{name}/invocations"
    request = botocore.awsrequest.AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(*wick.keys), "lambda", "us-east-1").add_auth(request)
    host = wick.url.split("//")[1]
    lines = [f"POST /2015-03-31/functions/{name}/invocations HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{k}: {v}" for k, v in request.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Answer:
    """Bytes as they come, until they are a whole answer."""

    def __init__(self):
        self.data = b""
        self.need = None

    def add(self, data):
        self.data += data
        if self.need is None and b"\r\n\r\n" in self.data:
            head, _, _ = self.data.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            self.status = int(lines[0].split()[1])
            self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            self.need = len(head) + 4 + int(self.headers.get("content-length", 0))
        return self.need is not None and len(self.data) >= self.need

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def ok(self):
        return self.status == 200 and "x-amz-function-error" not in self.headers

    def stages(self):
        """Milliseconds by stage, as the gate says them."""
        return {s: int(self.headers.get(f"wick-{s}-us", 0)) / 1e3 for s in STAGES}


def connect(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def call(connection, request):
    """(answer, milliseconds) of one call on an open connection."""
    answer = Answer()
    began = time.perf_counter()
    connection.sendall(request)
    while not answer.add(data := connection.recv(65536)):
        if not data:
            raise ConnectionError("the server closed the connection")
    return answer, (time.perf_counter() - began) * 1e3


def all_at_once(port, requests):
    """Sends all on connections that are open already; (answers, milliseconds of each from the first send, of all)."""
    selector = selectors.DefaultSelector()
    connections = [connect(port) for _ in requests]
    answers, took = [Answer() for _ in requests], [None] * len(requests)
    for i, c in enumerate(connections):
        selector.register(c, selectors.EVENT_READ, i)
    began = time.perf_counter()
    for c, request in zip(connections, requests):
        c.sendall(request)
    left = len(requests)
    while left:
        for key, _ in selector.select(60):
            data = key.fileobj.recv(65536)
            done = answers[key.data].add(data)
            if not data and not done:
                raise ConnectionError("the server closed a connection")
            if done:
                took[key.data] = (time.perf_counter() - began) * 1e3
                selector.unregister(key.fileobj)
                left -= 1
    whole = (time.perf_counter() - began) * 1e3
    for c in connections:
        c.close()
    selector.close()
    return answers, took, whole


def port_of(wick):
    return int(wick.url.rsplit(":", 1)[1])
