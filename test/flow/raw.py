"""Signature V4, aws-chunked bodies and checksums in plain Python, and requests of exactly the bytes a test wants. Made
apart from any SDK, so that a test can break each part alone."""
import base64
import binascii
import datetime
import hashlib
import hmac
import http.client
import json
import re
import socket
import struct
import urllib.parse

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def reflected(bits, polynomial):
    """A CRC of reflected bytes, all ones before and after, by its table."""
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (polynomial if n & 1 else 0)
        table.append(n)
    ones = (1 << bits) - 1

    def crc(data):
        value = ones
        for byte in data:
            value = value >> 8 ^ table[(value ^ byte) & 0xFF]
        return struct.pack(">Q" if bits == 64 else ">I", value ^ ones)

    return crc


CHECKSUMS = {
    "crc32": lambda data: struct.pack(">I", binascii.crc32(data)),
    "crc32c": reflected(32, 0x82F63B78),
    "crc64nvme": reflected(64, 0x9A6C9329AC4BC9B5),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


def checksum(kind, data):
    return base64.b64encode(CHECKSUMS[kind](data)).decode()


def quoted(text):
    return urllib.parse.quote(text, safe="-_.~")


def stamp(ago=0):
    """X-Amz-Date of so many seconds ago."""
    return (datetime.datetime.utcnow() - datetime.timedelta(seconds=ago)).strftime("%Y%m%dT%H%M%SZ")


class Signer:
    def __init__(self, wick, service="s3", access=None, secret=None, token=None, region="us-east-1"):
        root_access, root_secret = wick.keys
        self.host = wick.url.split("//")[1]
        self.service, self.region, self.token = service, region, token
        self.access, self.secret = access or root_access, secret or root_secret

    def scope(self, when):
        return f"{when[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, when):
        key = ("AWS4" + self.secret).encode()
        for part in (when[:8], self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def signature(self, method, path, query, headers, payload_hash, when):
        path = path if self.service == "s3" else urllib.parse.quote(path, safe="/-_.~")
        pairs = sorted(tuple((p + "=").split("=")[:2]) for p in query.split("&") if p)
        canonical = "\n".join([method, path, "&".join("=".join(p) for p in pairs),
                               "".join(f"{k}:{v}\n" for k, v in sorted(headers.items())),
                               ";".join(sorted(headers)), payload_hash])
        text = "\n".join(["AWS4-HMAC-SHA256", when, self.scope(when), hashlib.sha256(canonical.encode()).hexdigest()])
        return hmac.new(self.key(when), text.encode(), hashlib.sha256).hexdigest()

    def headers(self, method, path, query="", body=b"", payload_hash=None, ago=0, extra=None):
        """All headers of a signed request, names in lower case."""
        when = stamp(ago)
        payload_hash = payload_hash or hashlib.sha256(body).hexdigest()
        headers = {"host": self.host, "x-amz-date": when, "x-amz-content-sha256": payload_hash}
        headers.update(extra or {})
        if self.token:
            headers["x-amz-security-token"] = self.token
        self.seed, self.when = self.signature(method, path, query, headers, payload_hash, when), when
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(when)}, "
                                    f"SignedHeaders={';'.join(sorted(headers))}, Signature={self.seed}")
        return headers

    def presigned(self, method, path, expires=60, ago=0, query="", **change):
        """Path and query of a presigned URL."""
        when = stamp(ago)
        values = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{self.scope(when)}",
                  "X-Amz-Date": when, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": "host"}
        if self.token:
            values["X-Amz-Security-Token"] = self.token
        query = "&".join(filter(None, [query] + [f"{k}={quoted(v)}" for k, v in values.items()]))
        payload_hash = UNSIGNED if self.service == "s3" else EMPTY_SHA256
        return f"{path}?{query}&X-Amz-Signature=" + self.signature(method, path, query, {"host": self.host},
                                                                   payload_hash, when)

    def chunked(self, chunks, trailer=None, signed=True, break_chunk=None, break_trailer=False):
        """An aws-chunked body; the request's headers must have been made just before."""
        out, previous, key = [], self.seed, None
        key = self.key(self.when)

        def link(kind, middle, content):
            text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.when, self.scope(self.when), previous] + middle +
                             [hashlib.sha256(content).hexdigest()])
            return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

        for i, chunk in enumerate([*chunks, b""]):
            line = f"{len(chunk):x}"
            if signed:
                previous = link("PAYLOAD", [EMPTY_SHA256], chunk)
                line += ";chunk-signature=" + (wrong_hex(previous) if i == break_chunk else previous)
            out.append(line.encode() + b"\r\n" + (chunk + b"\r\n" if chunk else b""))
        for name, value in (trailer or {}).items():
            out.append(f"{name}:{value}\r\n".encode())
        if trailer and signed:
            last = link("TRAILER", [], "".join(f"{k}:{v}\n" for k, v in trailer.items()).encode())
            out.append(f"x-amz-trailer-signature:{wrong_hex(last) if break_trailer else last}\r\n".encode())
        return b"".join(out) + b"\r\n"


def wrong_hex(text):
    return ("0" if text[0] != "0" else "1") + text[1:]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        """S3's <Code>, or the name of Lambda's exception, which Wick's own API uses too."""
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        if found:
            return found[1].decode()
        if self.body.startswith(b'{"error":'):  # Wick's own API
            return json.loads(self.body)["error"]
        return self.headers.get("x-amzn-ErrorType", "").split(":")[0]

    def __repr__(self):
        return f"{self.status} {self.code} {self.body[:500]!r}"


def send(wick, method, target, headers=None, body=b""):
    """One request with these headers only (and host and content-length, where they are missing)."""
    connection = http.client.HTTPConnection(wick.url.split("//")[1], timeout=60)
    headers = dict(headers or {})
    names = {name.lower() for name in headers}
    try:
        connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if "content-length" not in names and (body or method in ("PUT", "POST")):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders()
        try:
            connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came before the body was read
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def call(wick, method, path, query="", body=b"", signer=None, service="s3", **kw):
    """A properly signed request."""
    signer = signer or Signer(wick, service)
    target = path + ("?" + query if query else "")
    return send(wick, method, target, signer.headers(method, path, query, body, **kw), body)


def lambda_call(wick, method, path, document=None, **kw):
    body = document if isinstance(document, bytes) else json.dumps(document).encode() if document is not None else b""
    return call(wick, method, path, body=body, service="lambda", **kw)


def connect(wick, timeout=60):
    host, port = wick.url.split("//")[1].rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout)


def read_all(s):
    """What the server says until it closes."""
    got = b""
    try:
        while data := s.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return got
