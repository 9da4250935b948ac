"""Whatever arrives, the server answers with a clear error or closes, lives on, and keeps nothing: broken HTTP, broken
documents, broken packages, too much of anything, clients that stall or leave, a full disk, starts that cannot work."""
import base64
import io
import json
import os
import pathlib
import re
import signal
import socket
import stat
import struct
import subprocess
import time
import warnings
import zipfile

import botocore.exceptions
import pytest

from conftest import BUILD, ROLE, Wick, make_zip, until
from raw import UNSIGNED, Signer, call, connect, lambda_call, read_all, send

OLD = b"the object that was there before"
ECHO = "def handler(event, context):\n    return event\n"
FUNCTIONS = "/2015-03-31/functions"
UPLOAD = b"PUT /{b}/key HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def blobs(wick):
    """Files of objects and packages, of uploads under way; not the node's cache of unpacked packages."""
    found = []
    for folder, folders, files in os.walk(wick.data):  # folders may go meanwhile
        folders[:] = [f for f in folders if f not in ("run", "logs", "node")]
        found += [pathlib.Path(folder) / f for f in files if not re.search(r"\.(db|db-wal|db-shm|log)$", f)]
    return sorted(found)


def open_files(wick):
    """What the gate holds of clients: connections and files without a name."""
    lines = [l.split() for l in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    tcp = {f"socket:[{l[9]}]" for l in lines if l[3] != "0A"}
    found = []
    for fd in pathlib.Path(f"/proc/{wick.pids('wick-gate')[0]}/fd").iterdir():
        try:
            found.append(os.readlink(fd))
        except FileNotFoundError:
            pass
    return [f for f in found if f in tcp or "deleted" in f or "/blob" in f]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of this module's own, whose stalled connections are closed after a second."""
    w = Wick(tmp_path_factory.mktemp("bad") / "data", env={"WICK_IDLE_TIMEOUT": "1s"})
    yield w
    w.stop()
    assert not w.sanitizer_reports(), w.log()


@pytest.fixture(scope="module")
def open_bucket(server):
    """A bucket that everyone may write to, so that a request needs no signature to do harm."""
    bucket = server.bucket()
    server.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject", "s3:GetObject"],
         "Resource": f"arn:aws:s3:::{bucket}/*"}]}))
    return bucket


@pytest.fixture(scope="module")
def function(server):
    name = server.deploy(ECHO)
    server.invoke(name)
    return name


@pytest.fixture
def bad(server, open_bucket, function):
    """The server, and after the test: it lives, is the same process, and nothing is left."""
    server.client("s3").put_object(Bucket=open_bucket, Key="key", Body=OLD)
    gate, files, fds = server.pids("wick-gate"), blobs(server), len(open_files(server))
    assert len(gate) == 1
    yield server
    assert server.pids("wick-gate") == gate
    assert send(server, "GET", "/_wick/health").status == 200
    assert send(server, "GET", f"/{open_bucket}/key").body == OLD
    try:
        until(lambda: len(open_files(server)) <= fds and len(blobs(server)) <= len(files), "", 20)
    except pytest.fail.Exception:
        pytest.fail(f"left: {open_files(server)} (were {fds}), {set(blobs(server)) - set(files)}")


def exchange(wick, data, half_close=True):
    """Sends bytes, returns all that is said until the server closes."""
    with connect(wick, 30) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:  # refused and closed while we still sent
            pass
        return read_all(s)


def refused(answer):
    """Nothing, or one refusal."""
    return not answer or re.match(rb"HTTP/1\.[01] [45]\d\d ", answer)


# --- HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"\0\1\2\xff\xfe\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\xaa" * 500, b"\r\n" * 1000 + b"\0",
    b" / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1 x\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n", b"G\0T / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"A" * 100 + b" / HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\rHost: x\r\r", b"GET",
], ids=range(25))
def test_malformed_request(bad, data):
    assert refused(exchange(bad, data))


@pytest.mark.parametrize("head", [
    b"A: " + b"x" * 65536 + b"\r\n", b"".join(b"A%d: x\r\n" % i for i in range(1000)), b"A" * 65536 + b": x\r\n",
    b"Cookie: " + b"a=b; " * 20000 + b"\r\n",
], ids=range(4))
def test_absurd_headers(bad, head):
    assert refused(exchange(bad, b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n"))
    assert refused(exchange(bad, b"GET /" + head.replace(b"\r\n", b"") + b" HTTP/1.1\r\nHost: x\r\n\r\n"))


@pytest.mark.parametrize("head", [
    b"Content-Length: -1", b"Content-Length: 99999999999999999999999", b"Content-Length: abc", b"Content-Length: 5, 5",
    b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: 5 5", b"Content-Length: ",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 6\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Content-Length : 5",
])
def test_length_of_the_body(bad, open_bucket, head):
    for body in (b"hello", b"5\r\nhello\r\n0\r\n\r\n"):
        answer = exchange(bad, b"PUT /%s/key HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s" % (open_bucket.encode(), head, body))
        assert refused(answer) and answer.count(b"HTTP/1.1 ") <= 2, answer


@pytest.mark.parametrize("body", [b"5\r\nhel", b"zz\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n",
                                  b"ffffffffffffffffff\r\nhello", b"5\r\nhello\r\n0\r\n\r\n"])
def test_transfer_encoding_chunked(bad, open_bucket, body):
    """S3 wants to know the length."""
    answer = exchange(bad, b"PUT /%s/key HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (
        open_bucket.encode(), body))
    assert refused(answer), answer


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset, lambda s: s.shutdown(socket.SHUT_WR)])
@pytest.mark.parametrize("part", [b"P", b"PUT /{b}/key HTTP/1.1\r\n", b"PUT /{b}/key HTTP/1.1\r\nHost: x\r\nContent-Le",
                                  UPLOAD % 4000000, UPLOAD % 4000000 + b"z" * 2000000, UPLOAD % 10 + b"123456789"],
                         ids=range(6))
def test_client_that_leaves(bad, open_bucket, part, leave):
    with connect(bad) as s:
        s.sendall(part.replace(b"{b}", open_bucket.encode()))
        leave(s)


def test_client_that_leaves_a_signed_upload(bad, open_bucket):
    body = b"y" * (3 << 20)
    headers = Signer(bad).headers("PUT", f"/{open_bucket}/key", "", body)
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    with connect(bad) as s:
        s.sendall(f"PUT /{open_bucket}/key HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        reset(s)


@pytest.mark.parametrize("part", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX", b"GET / HTTP/1.1\r\nHost: x\r\n",
                                  UPLOAD % 4000000 + b"z" * 300000], ids=range(5))
def test_client_that_stalls(bad, open_bucket, part):
    with connect(bad, 60) as s:
        s.sendall(part.replace(b"{b}", open_bucket.encode()))
        assert refused(read_all(s))


def test_many_clients_that_stall(bad):
    sockets = [connect(bad) for _ in range(200)]
    for s in sockets:
        s.sendall(b"GET / HTTP/1.1\r\nHost")
    assert send(bad, "GET", "/_wick/health").status == 200
    for s in sockets:
        assert refused(read_all(s))
        s.close()


def test_client_that_does_not_read(bad, open_bucket):
    """It asks for a large object and takes none of it: closed when the time is over."""
    s3 = bad.client("s3")
    s3.put_object(Bucket=open_bucket, Key="large", Body=b"l" * (32 << 20))
    with connect(bad) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /%s/large HTTP/1.1\r\nHost: x\r\n\r\n" % open_bucket.encode())
        port = s.getsockname()[1]
        mine = f":{port:04X} "

        def gone():
            lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
            server_side = [l.split() for l in lines if mine in l.split()[2] + " "]
            return not any(l[3] == "01" for l in server_side)

        until(gone, "the connection to be closed")
    s3.delete_object(Bucket=open_bucket, Key="large")


def test_slow_client_is_served(bad, open_bucket):
    """Slow, but never still for the whole time."""
    text = b"PUT /%s/key HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (open_bucket.encode(), len(OLD), OLD)
    with connect(bad) as s:
        for i in range(0, len(text), 8):
            s.sendall(text[i:i + 8])
            time.sleep(0.02)
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_two_requests_in_one_packet(bad, open_bucket):
    one = b"GET /%s/key HTTP/1.1\r\nHost: x\r\n\r\n" % open_bucket.encode()
    answer = exchange(bad, one * 5)
    assert answer.count(b"HTTP/1.1 200 ") == answer.count(OLD) == 5


# --- Names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, code", [
    ("/{b}/%", "InvalidURI"), ("/{b}/%zz", "InvalidURI"), ("/{b}/a%2", "InvalidURI"), ("/{b}/%FF%FE", "InvalidURI"),
    ("/{b}/%ED%A0%80", "InvalidURI"), ("/{b}/%C0%AF", "InvalidURI"), ("/{b}/" + "k" * 1025, "KeyTooLongError"),
    ("/{b}/" + "%C3%A9" * 513, "KeyTooLongError"),
], ids=range(8))
def test_bad_keys(bad, open_bucket, path, code):
    path = path.format(b=open_bucket)
    for method in ("PUT", "GET", "DELETE"):
        answer = call(bad, method, path, body=b"x" if method == "PUT" else b"")
        assert (answer.status, answer.code) in ((400, code), (403, "SignatureDoesNotMatch")), answer


def test_keys_that_look_dangerous(bad, open_bucket):
    """They are only names: each is an object, and nothing on the disk is called like them."""
    names = ["../../etc/passwd", "../x", "./x", "a/../../b", "%20", "%0A%0D", "%3Cscript%3E", "%27%3B--", "~",
             "%22%26", "%EF%BF%BF", "%5C..%5Cx", "%2541"]
    for name in names:
        assert call(bad, "PUT", f"/{open_bucket}/d/{name}", body=name.encode()).status == 200, name
    for name in names:
        assert call(bad, "GET", f"/{open_bucket}/d/{name}").body == name.encode()
    s3 = bad.client("s3")
    found = [o["Key"] for o in s3.list_objects_v2(Bucket=open_bucket, Prefix="d/")["Contents"]]
    assert len(found) == len(names)
    assert not list(bad.data.rglob("*passwd*"))
    for key in found:
        s3.delete_object(Bucket=open_bucket, Key=key)


def test_a_key_with_nul(bad, open_bucket):
    assert call(bad, "PUT", f"/{open_bucket}/a%00b", body=b"x").status in (200, 400)
    assert call(bad, "GET", f"/{open_bucket}/a").status == 404
    call(bad, "DELETE", f"/{open_bucket}/a%00b")


@pytest.mark.parametrize("name", ["A", "ab", "a" * 64, "a..b", "-ab", "ab-", "a_b", "192.168.0.1", "..", "a%00b", "%FF",
                                  "xn--a"])
def test_bad_bucket_names(bad, name):
    answer = call(bad, "PUT", f"/{name}")
    assert answer.status in (400, 404) and answer.code, answer


@pytest.mark.parametrize("name", ["a%2Fb", "%00", "%ff", "%zz", "a%20b", "a" * 200, "..", "%2e%2e",
                                  "arn:aws:lambda:x", "f:1:2", "%C3%A9"])
def test_bad_function_names(bad, name):
    for method, path, body in (("GET", f"{FUNCTIONS}/{name}", None), ("POST", f"{FUNCTIONS}/{name}/invocations", {}),
                               ("DELETE", f"{FUNCTIONS}/{name}", None)):
        answer = lambda_call(bad, method, path, body)
        assert answer.status in (400, 404, 405) and answer.code, (method, path, answer)


# --- Documents -----------------------------------------------------------------------------------------------------


LAUGHS = b'<!DOCTYPE a [<!ENTITY a0 "ha">' + b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10)) + b"]><a>&a9;</a>"
BAD_XML = [b"<", b"not xml", b"<a>", b"<a></b>", b"<a/><b/>", b"\0\1\2", b"\xff\xfe<\0a\0", b"<Wrong/>", LAUGHS,
           b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', b"<a>" * 50000,
           b"<a>" * 500 + b"</a>" * 500, b'<a b="1" b="2"/>', b'<?xml version="1.0" encoding="none"?><a/>', b"<a>\xff</a>",
           b"<" + b"a" * 100000 + b"/>", b"{}"]
XML_CALLS = [("PUT", "/bucket-never-made", ""), ("POST", "/{b}", "delete"), ("PUT", "/{b}", "notification"),
             ("PUT", "/{b}", "cors"), ("PUT", "/{b}", "tagging"), ("PUT", "/{b}", "versioning"),
             ("PUT", "/{b}/key", "tagging"), ("POST", "/{b}/key", "uploadId={u}")]


@pytest.mark.parametrize("method, path, query", XML_CALLS)
def test_malformed_xml(bad, open_bucket, method, path, query):
    s3 = bad.client("s3")
    upload = s3.create_multipart_upload(Bucket=open_bucket, Key="key")["UploadId"]
    path, query = path.format(b=open_bucket), query.format(u=upload)
    for body in BAD_XML:
        answer = call(bad, method, path, query, body)
        assert (answer.status, answer.code) == (400, "MalformedXML"), (body[:100], answer)
        assert b"root:" not in answer.body
    if path == "/{b}".format(b=open_bucket):
        assert call(bad, method, path, query, b"").status == 400
    s3.abort_multipart_upload(Bucket=open_bucket, Key="key", UploadId=upload)
    assert send(bad, "GET", "/bucket-never-made").code != "NoSuchKey"
    assert call(bad, "HEAD", "/bucket-never-made").status == 404


BAD_JSON = [b"", b"{", b"[1", b"nul", b"\xff\xfe", b'{"a":"\xff"}', b'{"a":' * 100000, b"[" * 100000, b"{} {}", b"{}x",
            b"\0", b'{"a":\0}', b"'a'", b"{a:1}", b'{"a":1,}', b"NaN", b'{"a":01}', b"\xef\xbb\xbf{}x", b'{"a":"\n"}']
JSON_CALLS = [("POST", FUNCTIONS), ("PUT", FUNCTIONS + "/{f}/code"), ("PUT", FUNCTIONS + "/{f}/configuration"),
              ("POST", FUNCTIONS + "/{f}/policy"), ("POST", "/2017-03-31/tags/{a}"), ("POST", FUNCTIONS + "/{f}/invocations"),
              ("POST", "/2014-11-13/functions/{f}/invoke-async")]


@pytest.mark.parametrize("method, path", JSON_CALLS)
def test_malformed_json(bad, function, method, path):
    conf = bad.client("lambda").get_function_configuration(FunctionName=function)
    path = path.format(f=function, a="arn:aws:lambda:us-east-1:000000000000:function:" + function)
    may_be_empty = "invo" in path
    for body in BAD_JSON:
        if not body and (may_be_empty or path.endswith("configuration")):
            continue
        answer = lambda_call(bad, method, path, body)
        assert answer.status == 400, (body[:100], answer)
        assert answer.code in ("InvalidRequestContentException", "SerializationException", "InvalidParameterValueException",
                               "ValidationException"), (body[:100], answer)
        assert json.loads(answer.body)["message" if "message" in json.loads(answer.body) else "Message"]
    if not may_be_empty:
        for body in (b"[]", b"1", b'"x"', b"true", b'{"FunctionName":1}', b'{"Tags":[]}', b'{"Timeout":"x"}',
                     b'{"Environment":[]}', b'{"Code":1}', b'{"ZipFile":{}}', b'{"Environment":{"Variables":{"A":1}}}'):
            answer = lambda_call(bad, method, path, body)
            # Members that an operation does not have are not looked at.
            assert answer.status in (200, 204, 400), (body, answer)
    after = bad.client("lambda").get_function_configuration(FunctionName=function)
    assert {k: after[k] for k in ("CodeSha256", "Handler", "Timeout")} == {
        k: conf[k] for k in ("CodeSha256", "Handler", "Timeout")}


@pytest.mark.parametrize("body", [b"", b"{", b"x", b'{"Statement":1}', b"[]", b'{"Version":"2012-10-17"}', b"\xff",
                                  b'{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}', b"[" * 10000,
                                  b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
                                  b'"Action":"s3:GetObject","Resource":"arn:aws:s3:::another/*"}]}'])
def test_malformed_bucket_policy(bad, open_bucket, body):
    answer = call(bad, "PUT", f"/{open_bucket}", "policy", body)
    assert answer.status == 400 and answer.code in ("MalformedPolicy", "InvalidPolicyDocument"), answer


@pytest.mark.parametrize("change", [
    {"FunctionName": ""}, {"FunctionName": "a b"}, {"FunctionName": "x" * 200}, {"Role": ""}, {"Role": "x"}, {"Timeout": 0},
    {"Timeout": 901}, {"Timeout": -1}, {"Timeout": 1.5}, {"Timeout": 1 << 70}, {"MemorySize": 1}, {"MemorySize": 99999999},
    {"Runtime": "cobol85"}, {"Runtime": 3}, {"Handler": "h" * 200}, {"Handler": ""}, {"Description": "d" * 300},
    {"Environment": {"Variables": {"A": "x" * 5000}}}, {"Environment": {"Variables": {"1A": "x"}}},
    {"Environment": {"Variables": {"AWS_REGION": "x"}}}, {"Environment": {"Variables": {"A=B": "x"}}},
    {"PackageType": "Pdf"}, {"EphemeralStorage": {"Size": 1}}, {"Tags": {"k" * 200: "v"}}, {"Code": {}},
    {"Code": {"ZipFile": "!!!"}}, {"Code": {"S3Bucket": "nobody-made-this", "S3Key": "k"}}, {"Layers": "x"},
    {"Architectures": ["z80"]}, {"Environment": {"Variables": {"A": "a\0b"}}}, {"Handler": "a\0b.c"},
])
def test_bad_configuration(bad, change):
    doc = {"FunctionName": "never-made", "Role": ROLE, "Runtime": "python3.11", "Handler": "app.handler",
           "Code": {"ZipFile": base64.b64encode(make_zip({"app.py": ECHO})).decode()}, **change}
    answer = lambda_call(bad, "POST", FUNCTIONS, doc)
    assert answer.status == 400 or answer.status == 404 and "S3Bucket" in doc["Code"], answer
    assert answer.code and json.loads(answer.body).get("message", json.loads(answer.body).get("Message"))
    assert lambda_call(bad, "GET", FUNCTIONS + "/never-made").status == 404


# --- Packages ------------------------------------------------------------------------------------------------------


def special(name, mode, content=b""):
    """A package with one entry of that name and mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("app.py", ECHO)
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        z.writestr(info, content)
    return out.getvalue()


def twice():
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as z:
        warnings.simplefilter("ignore")
        z.writestr("app.py", ECHO)
        z.writestr("app.py", ECHO)
    return out.getvalue()


def bomb():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        with z.open("zeros", "w") as f:
            for _ in range(260):
                f.write(bytes(1 << 20))
    return out.getvalue()


def flipped():
    data = bytearray(make_zip({"app.py": ECHO * 50}))
    data[60] ^= 0x55
    return bytes(data)


BAD_ZIPS = {
    "bomb": bomb, "absolute": lambda: special("/etc/x", stat.S_IFREG | 0o644, b"x"),
    "up": lambda: special("../x", stat.S_IFREG | 0o644, b"x"),
    "up inside": lambda: special("a/../../x", stat.S_IFREG | 0o644),
    "link out": lambda: special("link", stat.S_IFLNK | 0o777, b"/etc/passwd"),
    "link up": lambda: special("a/link", stat.S_IFLNK | 0o777, b"../../x"),
    "not a zip": lambda: b"this is no zip" * 100, "nothing": lambda: b"", "no entries": lambda: make_zip({}),
    "twice": twice, "cut": lambda: make_zip({"app.py": ECHO * 1000})[:-40], "flipped": flipped,
    "half": lambda: make_zip({"app.py": ECHO, "b": os.urandom(100000)})[:50000],
    "device": lambda: special("null", stat.S_IFCHR | 0o666),
    "many files": lambda: make_zip({f"d{i}": "" for i in range(70000)}),
    "nul": lambda: special("aQb", stat.S_IFREG).replace(b"aQb", b"a\0b"),
}


@pytest.mark.parametrize("which", BAD_ZIPS)
def test_bad_package(bad, function, which):
    data = BAD_ZIPS[which]()
    l = bad.client("lambda", parameter_validation=False)
    sha = l.get_function_configuration(FunctionName=function)["CodeSha256"]
    for change in (lambda: l.update_function_code(FunctionName=function, ZipFile=data),
                   lambda: l.create_function(FunctionName="never-made", Role=ROLE, Runtime="python3.11",
                                             Handler="app.handler", Code={"ZipFile": data})):
        if which in ("nul", "many files"):  # AWS does not say
            try:
                change()
            except botocore.exceptions.ClientError as e:
                assert 400 <= e.response["ResponseMetadata"]["HTTPStatusCode"] < 500
            continue
        with pytest.raises(botocore.exceptions.ClientError) as e:
            change()
        assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 413), e.value
        assert e.value.response["Error"]["Code"] in ("InvalidParameterValueException", "CodeStorageExceededException",
                                                     "RequestTooLargeException", "ValidationException"), e.value
    if which in ("nul", "many files"):
        l.update_function_code(FunctionName=function, ZipFile=make_zip({"app.py": ECHO}))
        try:
            l.delete_function(FunctionName="never-made")
        except l.exceptions.ResourceNotFoundException:
            pass
        return
    assert l.get_function_configuration(FunctionName=function)["CodeSha256"] == sha
    assert lambda_call(bad, "GET", FUNCTIONS + "/never-made").status == 404
    assert bad.invoke(function, {"still": "works"})[0] == {"still": "works"}


# --- Too much ------------------------------------------------------------------------------------------------------


def test_payload_too_large(bad, function):
    body = b'"' + b"x" * 6291454 + b'"'
    assert len(body) == 6291456
    path = f"{FUNCTIONS}/{function}/invocations"
    answer = lambda_call(bad, "POST", path, body)
    assert answer.status == 200 and not answer.headers.get("x-amz-function-error"), (answer.status, answer.body[:500])
    assert answer.body == body
    answer = lambda_call(bad, "POST", path, body + b" ")
    assert (answer.status, answer.code) == (413, "RequestTooLargeException"), answer
    answer = lambda_call(bad, "POST", path, b'"' + b"x" * (1 << 20) + b'"', extra={"x-amz-invocation-type": "Event"})
    assert (answer.status, answer.code) == (413, "RequestTooLargeException"), answer
    answer = lambda_call(bad, "POST", path, b" " * (20 << 20))
    assert (answer.status, answer.code) == (413, "RequestTooLargeException"), answer


def test_package_too_large(bad):
    doc = b'{"FunctionName":"never-made","Code":{"ZipFile":"' + b"A" * (100 << 20) + b'"}}'
    answer = lambda_call(bad, "POST", FUNCTIONS, doc)
    assert answer.status == 413 and "TooLarge" in answer.code, answer


def test_document_too_large(bad, open_bucket):
    for query in ("cors", "tagging", "policy", "notification"):
        answer = call(bad, "PUT", f"/{open_bucket}", query, b"<a>" + b" " * (3 << 20) + b"</a>")
        assert 400 <= answer.status < 500 and answer.code, answer


def test_object_too_large(bad, open_bucket):
    size = 5 * (1 << 30) + 1
    headers = Signer(bad).headers("PUT", f"/{open_bucket}/key", payload_hash=UNSIGNED)
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    with connect(bad) as s:
        s.sendall(f"PUT /{open_bucket}/key HTTP/1.1\r\n{head}Content-Length: {size}\r\n\r\n".encode())
        try:
            s.sendall(b"x" * (8 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = read_all(s)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer) and b"<Code>EntityTooLarge</Code>" in answer, answer


def test_metadata_too_large(bad, open_bucket):
    answer = call(bad, "PUT", f"/{open_bucket}/key", body=b"x", extra={f"x-amz-meta-{i}": "v" * 1000 for i in range(4)})
    assert (answer.status, answer.code) == (400, "MetadataTooLarge"), answer


@pytest.mark.parametrize("query", ["list-type=2&max-keys=x", "list-type=2&max-keys=-1", "list-type=2&encoding-type=rot13",
                                   "list-type=2&continuation-token=%21", "list-type=3", "max-keys=99999999999999999999"])
def test_bad_list_parameters(bad, open_bucket, query):
    answer = call(bad, "GET", f"/{open_bucket}", query)
    assert (answer.status, answer.code) == (400, "InvalidArgument") or answer.status == 200 and "9999" in query, answer


@pytest.mark.parametrize("extra", [{"range": "bytes=5-1"}, {"range": "bytes=x"}, {"range": "bytes=0-1,3-4"},
                                   {"range": "lines=1-2"}, {"range": "bytes=-"}, {"range": "bytes=-0"},
                                   {"range": "bytes=99999999999999999999-"}, {"if-modified-since": "yesterday"}])
def test_odd_ranges(bad, open_bucket, extra):
    """As HTTP has it: what cannot be read is as if it were not there, what cannot be given is 416."""
    answer = call(bad, "GET", f"/{open_bucket}/key", extra=extra)
    assert answer.status in (200, 206, 416) and (answer.status == 416 or answer.body in OLD), answer


@pytest.mark.parametrize("query", ["partNumber=0&uploadId={u}", "partNumber=10001&uploadId={u}", "partNumber=x&uploadId={u}",
                                   "uploadId={u}", "partNumber=1&uploadId=none", "partNumber=-1&uploadId={u}",
                                   "partNumber=1&uploadId=..%2F..%2Fx", "partNumber=1&uploadId="])
def test_bad_parts(bad, open_bucket, query):
    s3 = bad.client("s3")
    upload = s3.create_multipart_upload(Bucket=open_bucket, Key="key")["UploadId"]
    answer = call(bad, "PUT", f"/{open_bucket}/key", query.format(u=upload), b"x" * 100000)
    assert answer.status in (400, 404, 405) and answer.code, answer
    s3.abort_multipart_upload(Bucket=open_bucket, Key="key", UploadId=upload)


# --- A full disk ----------------------------------------------------------------------------------------------------


class SmallDisk(Wick):
    """`wick serve` in a mount namespace of its own, where its data folder is a file system of 48 MiB."""

    def start(self):
        self.mount = self.mount if hasattr(self, "mount") else self.data
        self.mount.mkdir(exist_ok=True)
        script = 'mount -t tmpfs -o size=48m,mode=700 wick "$1" && shift && exec "$@"'
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WICK_"))}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", script, "sh", self.mount, BUILD / "wick", "serve", "--data", self.mount,
                 "--listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        self.data = pathlib.Path(f"/proc/{self.process.pid}/root{self.mount}")
        until(self.ready, f"wick serve to be ready; its log:\n{self.log()}")
        return self


@pytest.fixture
def small_disk(tmp_path):
    if subprocess.run(["unshare", "-m", "sh", "-c", f"mount -t tmpfs wick {tmp_path}"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    w = SmallDisk(tmp_path / "data")
    yield w
    w.stop()
    assert not w.sanitizer_reports(), w.log()


def fill(folder):
    """Takes all room that is left."""
    with open(folder / "filler", "ab", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            try:
                while f.write(bytes(size)) == size:
                    pass
            except OSError:
                pass


def test_full_disk(small_disk):
    wick = small_disk
    s3, l = wick.client("s3"), wick.client("lambda")
    bucket, function = wick.bucket(), wick.deploy(ECHO)
    assert wick.invoke(function, 1)[0] == 1
    s3.put_object(Bucket=bucket, Key="key", Body=OLD)
    s3.put_object(Bucket=bucket, Key="large", Body=OLD * 10000)
    gate = wick.pids("wick-gate")
    fill(wick.data)
    errors = []
    for change in (lambda: s3.put_object(Bucket=bucket, Key="key", Body=b"n" * (8 << 20)),
                   lambda: s3.put_object(Bucket=bucket, Key="large", Body=b"n" * 300_000),
                   lambda: [s3.put_object(Bucket=bucket, Key=f"small{i}", Body=b"n" * 4000) for i in range(3000)],
                   lambda: wick.deploy(ECHO, name="no-room", files={"data": os.urandom(3 << 20)}),
                   lambda: [l.invoke(FunctionName=function, InvocationType="Event", Payload=b'"%s"' % (b"x" * 100_000))
                            for _ in range(300)]):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            change()
        errors.append((e.value.response["ResponseMetadata"]["HTTPStatusCode"], e.value.response["Error"]["Code"]))
    assert errors == [(507, "InsufficientStorage")] * 3 + [(507, "ServiceException")] * 2
    assert send(wick, "GET", "/_wick/health").status == 200
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == OLD
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == OLD * 10000
    assert wick.invoke(function, 2)[0] == 2
    assert wick.pids("wick-gate") == gate
    (wick.data / "filler").unlink()
    s3.put_object(Bucket=bucket, Key="key", Body=b"new" * 1000)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"new" * 1000
    name = wick.deploy(ECHO)
    assert wick.invoke(name, 3)[0] == 3
    assert l.invoke(FunctionName=name, InvocationType="Event", Payload=b"1")["StatusCode"] == 202
    assert wick.pids("wick-gate") == gate


# --- Starts --------------------------------------------------------------------------------------------------------


def start_fails(*args, said, env=None):
    done = subprocess.run([BUILD / "wick", "serve", *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    assert done.returncode > 0, done
    assert said in done.stderr, done.stderr
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def test_port_in_use(server, tmp_path):
    start_fails("--data", tmp_path / "data", "--listen", server.listen, said="in use")


def test_second_start_on_one_folder(server):
    start_fails("--data", server.data, "--listen", "127.0.0.1:0", said="already running")
    assert send(server, "GET", "/_wick/health").status == 200


@pytest.mark.parametrize("args, said", [
    (["--listen", "nonsense"], "nonsense"), (["--listen", "127.0.0.1:99999"], "99999"), (["--listen", "256.1.1.1:0"], "256.1.1.1"),
    (["--worker-idle", "soon"], "soon"), (["--no-such-flag"], "no-such-flag"), (["--account", "12"], "12 digits"),
    (["--log-level", "loud"], "loud"), (["--config", "/nowhere.yaml"], "/nowhere.yaml"), (["stray"], "stray"),
])
def test_bad_settings(tmp_path, args, said):
    start_fails("--data", tmp_path / "data", *args, said=said)


def test_unusable_data_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    start_fails("--data", tmp_path / "file", "--listen", "127.0.0.1:0", said="file")
    start_fails("--data", tmp_path / "file" / "sub", "--listen", "127.0.0.1:0", said="file")
    start_fails("--data", "/proc/none", "--listen", "127.0.0.1:0", said="/proc/none")
    start_fails("--data", tmp_path / ("d" * 120), "--listen", "127.0.0.1:0", said="too long")


def test_unreadable_data_folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir(0o700)
    data.chmod(0)
    if os.access(data, os.R_OK):  # root may read all: as somebody else, to whom the folder does not belong
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "wick", "serve",
                               "--data", data], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    else:
        done = subprocess.run([BUILD / "wick", "serve", "--data", data], capture_output=True, text=True, timeout=60)
    if "setpriv" in done.stderr or "wick-node is missing" in done.stderr:
        pytest.skip("the build folder is not open to others")
    assert done.returncode > 0 and str(data) in done.stderr and "ermission" in done.stderr, done


def test_broken_key_and_settings_files(new_wick):
    wick = new_wick()
    wick.stop()
    key = (wick.data / "master.key").read_bytes()
    (wick.data / "master.key").write_bytes(b"short")
    start_fails("--data", wick.data, "--listen", "127.0.0.1:0", said="master.key")
    (wick.data / "master.key").write_bytes(key)
    for text, said in (("listen: [1, 2]", "listen"), ("no_such: 1", "no_such"), ("a: b: c", "wick.yaml"),
                       ("\0", "wick.yaml")):
        (wick.data / "wick.yaml").write_text(text)
        start_fails("--data", wick.data, said=said)
    (wick.data / "wick.yaml").unlink()
    for name in ("credentials", "wick.db"):
        good = (wick.data / name).read_bytes()
        (wick.data / name).write_bytes(b"garbage" * 1000)
        start_fails("--data", wick.data, "--listen", "127.0.0.1:0", said=name)
        (wick.data / name).write_bytes(good)
    wick.start()
    assert send(wick, "GET", "/_wick/health").status == 200


def test_replaced_objects_leave_no_file(new_wick):
    """Without any function that would wake the gate."""
    wick = new_wick()
    bucket, s3 = wick.bucket(), wick.client("s3")
    before = blobs(wick)
    for size in (10, 100_000, 3 << 20, 20):
        s3.put_object(Bucket=bucket, Key="key", Body=b"r" * size)
    until(lambda: len(blobs(wick)) <= len(before) + 1, "replaced objects to be gone")
    s3.delete_object(Bucket=bucket, Key="key")
    until(lambda: blobs(wick) == before, "the removed object to be gone")
    s3.put_object(Bucket=bucket, Key="key", Body=OLD)
    s3.delete_object(Bucket=bucket, Key="key")
    wick.stop(signal.SIGKILL)
    wick.start()
    until(lambda: blobs(wick) == before, "what the dead gate left to be gone")


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_start_after_the_end(new_wick, signo):
    wick = new_wick()
    bucket, function = wick.bucket(), wick.deploy(ECHO)
    wick.client("s3").put_object(Bucket=bucket, Key="key", Body=OLD)
    assert wick.invoke(function, 1)[0] == 1
    children = wick.pids("wick-gate") + wick.pids("wick-node") + wick.pids("wick-python")
    assert len(children) == 3
    wick.process.send_signal(signo)
    wick.process.wait(60)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), "its programs to be gone")
    wick.start()
    assert wick.client("s3").get_object(Bucket=bucket, Key="key")["Body"].read() == OLD
    assert wick.invoke(function, 2)[0] == 2
