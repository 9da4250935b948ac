"""A node that the tests speak for, on python3-h2: TLS and HTTP/2 as link/messages.h has them, carriers in their simplest
form (nothing is sent twice). It says and does what a real node would not."""
import json
import socket
import ssl
import struct
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

import lane

NEED = 44
SEGMENT = struct.Struct("<IQ")


def make_key(folder):
    """A PEM file with an Ed25519 key and its own certificate."""
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", "/CN=fake",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    return both


class Carrier:
    def __init__(self, stream):
        self.stream, self.got, self.buffer, self.frames = stream, 0, bytearray(), lane.Decoder()

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= SEGMENT.size:
            n, _ = SEGMENT.unpack_from(self.buffer)
            if len(self.buffer) < SEGMENT.size + n:
                return
            self.frames.feed(self.buffer[SEGMENT.size:SEGMENT.size + n])
            self.got += n
            del self.buffer[:SEGMENT.size + n]


class FakeNode:
    def __init__(self, address, key, token=None, name="fake", protocol="1", status="200", resume="no", hello=None):
        host, port = address.rsplit(":", 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(key)
        context.set_alpn_protocols(["wick-link/1"])
        self.answer = [(":status", status), ("wick-protocol", protocol), ("wick-version", "0"), ("wick-name", name),
                       ("wick-resume", resume)] + ([("wick-token", token)] if token else [])
        self.hello = {"protocol": 1, "version": "0", "name": name, "memory_mb": 1000, "cpus": 1, "labels": [],
                      "devices": [], "time_ms": 0, "workers": [], **(hello or {})}
        self.refused, self.control, self.messages, self.code, self.over = None, None, [], {}, False
        self.changed = threading.Condition()
        self.lock = threading.RLock()
        self.tls = context.wrap_socket(socket.create_connection((host, int(port))))
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.tls.sendall(data)

    def run(self):
        try:
            while data := self.tls.recv(1 << 16):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.on(event)
                    self.flush()
                with self.changed:
                    self.changed.notify_all()
        except (OSError, h2.exceptions.H2Error, ValueError):
            pass
        self.over = True
        with self.changed:
            self.changed.notify_all()

    def on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.on_request(event.stream_id, dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if self.control and event.stream_id == self.control.stream:
                self.control.feed(event.data)
                while frame := self.control.frames.frame():
                    self.messages.append(frame)
            elif event.stream_id in self.code:
                self.code[event.stream_id]["bytes"] += len(event.data)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) and event.stream_id in self.code:
            self.code[event.stream_id]["over"] = True

    def on_request(self, stream, headers):
        path = headers[":path"]
        if path == "/_wick/hello":
            self.h2.send_headers(stream, self.answer, end_stream=True)
        elif path == "/_wick/refused":
            self.refused = (headers["wick-type"], headers["wick-error"])
            self.h2.send_headers(stream, [(":status", "200")], end_stream=True)
        elif path == "/_wick/link":
            self.control = Carrier(stream)
            self.h2.send_headers(stream, [(":status", "200")])
            self.raw(SEGMENT.pack(0, 0))
            self.say(lane.HELLO, self.hello)
        elif path.startswith("/_wick/code/"):
            self.code[stream] = {"hex": path.rsplit("/", 1)[1], "headers": headers, "bytes": 0, "over": False}
        else:
            self.h2.send_headers(stream, [(":status", "404")], end_stream=True)

    def raw(self, data):
        """Bytes of the control stream, in pieces that HTTP/2 takes; within the first window of it."""
        with self.lock:
            for at in range(0, len(data), 16384):
                self.h2.send_data(self.control.stream, data[at:at + 16384])
            self.flush()

    def say(self, kind, body, ident=lane.NO_ID):
        frame = lane.encode(kind, ident, body=body if isinstance(body, bytes) else json.dumps(body).encode())
        self.raw(SEGMENT.pack(len(frame), self.control.got) + frame)

    def wait(self, condition, limit=30):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self) or self.over, limit), "the gateway did not do it"
        assert condition(self), "the gateway has closed the connection"

    def close(self):
        try:
            self.tls.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(30)
        self.tls.close()
