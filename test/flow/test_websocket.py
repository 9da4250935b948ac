"""WebSockets through a function URL. Needs: /usr/bin/python3 in the machine."""
import base64
import os
import socket
import struct

import pytest

from conftest import until
from urls import add_url, deploy_web, logs


@pytest.fixture(scope="module")
def web(wick):
    name = deploy_web(wick)
    return name, add_url(wick, name)


class WebSocket:
    def __init__(self, wick, path, more=b""):
        self.s = socket.create_connection(wick.url.split("//")[1].split(":"), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode() + more)
        self.f = self.s.makefile("rb")
        self.status = int(self.f.readline().split()[1])
        self.headers = {}
        while (line := self.f.readline().strip()):
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value

    @staticmethod
    def frame(data, op=2):
        n = len(data)
        size = bytes([0x80 | n]) if n < 126 else struct.pack(">BH", 0xfe, n) if n < 65536 else struct.pack(">BQ", 0xff, n)
        return bytes([0x80 | op]) + size + bytes(4) + data

    def send(self, data, op=2):
        self.s.sendall(self.frame(data, op))

    def receive(self):
        head = self.f.read(2)
        if len(head) < 2:
            return None
        n = head[1]
        if n == 126:
            n = struct.unpack(">H", self.f.read(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.f.read(8))[0]
        return head[0] & 15, self.f.read(n)

    def close(self):
        self.f.close()
        self.s.close()


def test_echo(wick, web):
    w = WebSocket(wick, web[1] + "ws")
    assert w.status == 101 and w.headers["upgrade"] == "websocket" and "sec-websocket-accept" in w.headers
    for n in (0, 1, 125, 126, 65535, 65536, 3000000):
        data = os.urandom(n)
        w.send(data)
        assert w.receive() == (2, data)
    w.send(b"", 8)
    assert w.receive() == (8, b"")
    assert w.receive() is None
    w.close()


def test_bytes_sent_with_the_request(wick, web):
    w = WebSocket(wick, web[1] + "ws", WebSocket.frame(b"early"))
    assert w.receive() == (2, b"early")
    w.close()


def test_many_at_once(wick, web):
    many = [WebSocket(wick, web[1] + "ws") for _ in range(20)]
    for i, w in enumerate(many):
        w.send(b"%d" % i)
    for i, w in enumerate(many):
        assert w.receive() == (2, b"%d" % i)
        w.close()


def test_client_that_leaves(wick, web):
    gone = logs(wick, web[0]).count("client gone")
    w = WebSocket(wick, web[1] + "ws")
    w.send(b"hello")
    assert w.receive() == (2, b"hello")
    w.close()
    until(lambda: logs(wick, web[0]).count("client gone") > gone, "the program to see the end")


def test_a_client_that_does_not_read_is_not_read(wick, web):
    """Neither direction piles up in the gate: the program's echo waits, and so does the client in the end."""
    w = WebSocket(wick, web[1] + "ws")
    w.s.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            sent += w.s.send(WebSocket.frame(b"x" * 60000))
    assert sent < 64 << 20
    w.close()


def test_no_upgrade_by_others(wick, web):
    """A program that does not know the path answers as usual, on a connection that goes on."""
    w = WebSocket(wick, web[1] + "plain")
    assert w.status == 200
    w.close()
