"""Function URLs: events of format 2.0 and answers, auth, CORS, streams, web programs. Needs: Node.js and /usr/bin/python3
in the machine."""
import base64
import hashlib
import http.client
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import until
from urls import add_url, call, deploy_node, deploy_web, logs

ECHO = "def handler(event, context):\n    return event\n"
ANSWER = "import json\ndef handler(event, context):\n    return json.loads(event['body'])\n"


@pytest.fixture(scope="module")
def echo(wick):
    return add_url(wick, wick.deploy(ECHO))


@pytest.fixture(scope="module")
def answers(wick):
    """A function that answers what it is told to, and its path."""
    name = wick.deploy(ANSWER)
    return name, add_url(wick, name)


@pytest.fixture(scope="module")
def web(wick):
    name = deploy_web(wick)
    return name, add_url(wick, name)


def get(wick, path, method="GET", body=b"", **headers):
    return call(wick, method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}, sign=False)


def test_event(wick, echo):
    answer = get(wick, echo + "a%20b/c?x=1&y=2&x=3", cookie="a=1; b=2", X_Two="t", user_agent="test")
    event = json.loads(answer.text)
    assert answer.status == 200 and answer.getheader("content-type") == "application/json"
    assert event["version"] == "2.0" and event["routeKey"] == "$default"
    assert event["rawPath"] == "/a%20b/c" and event["rawQueryString"] == "x=1&y=2&x=3"
    assert event["queryStringParameters"] == {"x": "1,3", "y": "2"}
    assert event["cookies"] == ["a=1", "b=2"] and "cookie" not in event["headers"]
    assert event["headers"]["x-two"] == "t"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1" and event["headers"]["x-forwarded-proto"] == "http"
    context = event["requestContext"]
    assert context["http"] == {"method": "GET", "path": "/a%20b/c", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                               "userAgent": "test"}
    assert context["requestId"] == answer.getheader("x-amzn-requestid")
    assert context["accountId"] == "anonymous" and context["domainName"] == "127.0.0.1"
    assert re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
    assert "body" not in event and event["isBase64Encoded"] is False


def test_bodies(wick, echo):
    event = json.loads(get(wick, echo, "POST", b'{"a":1}', content_type="application/json").text)
    assert event["body"] == '{"a":1}' and not event["isBase64Encoded"]
    event = json.loads(get(wick, echo, "PUT", b"\x00\xff", content_type="image/png").text)
    assert base64.b64decode(event["body"]) == b"\x00\xff" and event["isBase64Encoded"]
    assert event["rawPath"] == "/"
    answer = get(wick, echo, "POST", b"x" * 6291457)
    assert answer.status == 413 and b"6291456" in answer.text


@pytest.mark.parametrize("said, status, headers, body", [
    ({"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["a=1", "b=2"], "body": "made"}, 201,
     {"x-a": "b", "set-cookie": "a=1, b=2", "content-type": "application/json"}, b"made"),
    ({"statusCode": 200, "body": base64.b64encode(b"\x00\x01").decode(), "isBase64Encoded": True,
      "headers": {"Content-Type": "image/png"}}, 200, {"content-type": "image/png"}, b"\x00\x01"),
    ({"statusCode": 302, "headers": {"location": "/x"}}, 302, {"location": "/x"}, b""),
    ({"statusCode": 204}, 204, {}, b""),
    ({"no": "status"}, 200, {"content-type": "application/json"}, b'{"no": "status"}'),
    ("text", 200, {"content-type": "application/json"}, b'"text"'),
    ([1], 200, {}, b"[1]"),
])
def test_answers(wick, answers, said, status, headers, body):
    answer = get(wick, answers[1], "POST", json.dumps(said).encode(), content_type="application/json")
    assert answer.status == status
    for name, value in headers.items():
        assert answer.getheader(name) == value
    assert answer.text.replace(b" ", b"") == body.replace(b" ", b"")


@pytest.mark.parametrize("said, why", [
    ({"statusCode": "what"}, '"statusCode"'),
    ({"statusCode": 99}, '"statusCode"'),
    ({"statusCode": 200, "body": {"a": 1}}, '"body" is no string'),
    ({"statusCode": 200, "headers": {"a\r\nb": "c"}}, "cannot be sent"),
    ({"statusCode": 200, "body": "?", "isBase64Encoded": True}, "base64"),
])
def test_answers_that_are_none(wick, answers, said, why):
    answer = get(wick, answers[1], "POST", json.dumps(said).encode(), content_type="application/json")
    assert (answer.status, json.loads(answer.text)) == (502, {"Message": "Internal Server Error"})
    until(lambda: why in logs(wick, answers[0]), "the reason in the log")


def test_function_errors(wick, answers):
    answer = get(wick, answers[1], "POST", b"no json", content_type="text/plain")
    assert (answer.status, json.loads(answer.text)) == (502, {"Message": "Internal Server Error"})
    assert answer.getheader("x-amzn-errortype") == "JSONDecodeError"


def test_no_such_url(wick):
    name = wick.deploy(ECHO)
    for path in (f"/f/{name}/", "/f/nobody/", "/f//", "/f/", "/f/%zz/", f"/f/{name}:prod/"):
        answer = get(wick, path)
        assert answer.status == (400 if "%" in path else 404), path
    path = add_url(wick, name)
    assert get(wick, path).status == 200
    assert get(wick, path[:-1]).status == 200
    wick.client("lambda").delete_function_url_config(FunctionName=name)
    assert json.loads(get(wick, path).text)["Message"] == "Not Found"


def test_url_of_an_alias(wick):
    client = wick.client("lambda")
    name = wick.deploy("def handler(event, context):\n    return context.function_version\n")
    version = client.publish_version(FunctionName=name)["Version"]
    client.create_alias(FunctionName=name, Name="prod", FunctionVersion=version)
    path = add_url(wick, name, "prod")
    assert path == f"/f/{name}:prod/"
    assert json.loads(get(wick, path).text) == version
    assert json.loads(get(wick, path.replace(":", "%3A")).text) == version
    assert get(wick, f"/f/{name}/").status == 404
    answer = client.invoke(FunctionName=name, Qualifier="prod")
    assert (json.loads(answer["Payload"].read()), answer["ExecutedVersion"]) == (version, version)


def test_iam(wick):
    path = add_url(wick, wick.deploy(ECHO), AuthType="AWS_IAM")
    answer = get(wick, path)
    assert (answer.status, json.loads(answer.text)) == (403, {"Message": "Forbidden"})
    answer = call(wick, "POST", path + "x?b=2&a=1", b"{}", {"Content-Type": "application/json"})
    event = json.loads(answer.text)
    assert answer.status == 200 and event["body"] == "{}"
    iam = event["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == wick.keys[0] and iam["userArn"].endswith(":root")
    assert "authorization" not in event["headers"]
    assert call(wick, "GET", path, service="s3").status == 400
    assert call(wick, "GET", path, keys=(wick.keys[0], "wrong")).status == 403
    assert call(wick, "GET", path, keys=("AKIANOBODY0000000000", "x")).status == 403


def test_none_hands_on_what_looks_signed(wick, echo):
    event = json.loads(get(wick, echo, authorization="AWS4-HMAC-SHA256 nonsense").text)
    assert event["headers"]["authorization"] == "AWS4-HMAC-SHA256 nonsense"
    assert "authorizer" not in event["requestContext"]


def test_cors(wick):
    name = wick.deploy("def handler(event, context):\n"
                       "    return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': 'https://own'}}\n")
    path = add_url(wick, name, Cors={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET", "PUT"],
                                     "AllowHeaders": ["x-one"], "ExposeHeaders": ["x-out"], "MaxAge": 60,
                                     "AllowCredentials": True})
    ask = {"access_control_request_method": "PUT", "access_control_request_headers": "x-one"}
    answer = get(wick, path, "OPTIONS", origin="https://a.example", **ask)
    assert answer.status == 200
    assert answer.getheader("access-control-allow-origin") == "https://a.example"
    assert answer.getheader("access-control-allow-methods") == "GET,PUT"
    assert answer.getheader("access-control-allow-headers") == "x-one"
    assert answer.getheader("access-control-max-age") == "60"
    assert answer.getheader("access-control-allow-credentials") == "true"
    assert "Origin" in answer.getheader("vary")
    for origin, method in (("https://b.example", "PUT"), ("https://a.example", "DELETE")):
        answer = get(wick, path, "OPTIONS", origin=origin, access_control_request_method=method)
        assert answer.getheader("access-control-allow-origin") is None
    answer = get(wick, path, origin="https://a.example")
    assert answer.getheader("access-control-allow-origin") == "https://a.example"
    assert answer.getheader("access-control-expose-headers") == "x-out"
    assert get(wick, path, origin="https://b.example").getheader("access-control-allow-origin") is None


def test_response_stream(wick):
    path = add_url(wick, deploy_node(wick, "streamed"), InvokeMode="RESPONSE_STREAM")
    answer = get(wick, path)
    assert (answer.status, answer.text) == (200, b"one,two")
    assert answer.getheader("content-type") == "application/octet-stream"
    answer = get(wick, path + "head")
    assert (answer.status, answer.text, answer.getheader("x-one")) == (201, b"one,two", "1")
    assert answer.getheader("set-cookie") == "a=1, b=2"
    assert get(wick, path + "early").status == 502
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(wick, path + "boom")
    assert cut.value.partial == b"one,"
    with pytest.raises(http.client.IncompleteRead):
        get(wick, path + "exit")
    assert get(wick, path).text == b"one,two"


def test_response_stream_of_a_function_that_does_not(wick):
    path = add_url(wick, wick.deploy("def handler(event, context):\n    return {'statusCode': 404}\n"),
                   InvokeMode="RESPONSE_STREAM")
    answer = get(wick, path)
    assert (answer.status, json.loads(answer.text)) == (200, {"statusCode": 404})


# ---- web programs ----


def test_web_exchange(wick, web):
    answer = get(wick, web[1] + "a%20b?x=1", "POST", b"hello", content_type="text/plain", x_forwarded_for="192.0.2.1",
                 connection="keep-alive, x-hop", x_hop="1", te="trailers")
    seen = json.loads(answer.text)
    headers = {k.lower(): v for k, v in seen["headers"]}
    assert seen["line"] == "POST /a%20b?x=1 HTTP/1.1" and seen["body"] == "hello"
    assert headers["content-type"] == "text/plain" and headers["host"] == wick.url.split("//")[1]
    assert headers["x-forwarded-for"] == "192.0.2.1, 127.0.0.1" and headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-prefix"] == web[1][:-1]
    assert "x-hop" not in headers and "te" not in headers


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500])
def test_web_status(wick, web, status):
    answer = get(wick, web[1] + f"status?{status}")
    assert answer.status == status
    assert [v for k, v in answer.getheaders() if k == "X-A"] == ["1", "2"]
    assert answer.getheader("x-hop") is None
    assert answer.text == (b"" if status in (204, 304) else b"what")


def test_web_uploads_of_any_length(wick, web):
    data = bytes(range(256)) * 100000
    assert json.loads(get(wick, web[1] + "upload", "POST", data).text) == [len(data), hashlib.sha256(data).hexdigest()]
    connection = http.client.HTTPConnection(wick.url.split("//")[1], timeout=60)
    connection.request("POST", web[1] + "upload", iter([data[:100000], data[100000:200001]]), {}, encode_chunked=True)
    assert json.loads(connection.getresponse().read())[0] == 200001
    connection.close()


def test_web_slow_reader_slows_the_client(wick, web):
    """The gate holds no more of a body than the program has taken and the buffers on the way."""
    host, port = wick.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        s.sendall(f"POST {web[1]}hang HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n".encode())
        s.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += s.send(b"x" * 65536)
        assert sent < 64 << 20
    assert json.loads(get(wick, web[1] + "slowup", "POST", b"x" * 2000000).text) == 2000000


def test_web_downloads_and_slow_clients(wick, web):
    name, path = web
    answer = get(wick, path + "down?160")
    assert answer.status == 200 and len(answer.text) == 160 << 16
    host, port = wick.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        before = logs(wick, name).count("written")
        s.sendall(f"GET {path}down?4000 HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
        assert get(wick, path).status == 200  # others go on
        assert logs(wick, name).count("written") == before  # the program waits for the client
        total = 0
        while total < 4000 << 16:
            total += len(s.recv(1 << 20))
    until(lambda: logs(wick, name).count("written") > before, "the program to be done")


def test_web_first_byte_comes_at_once(wick, web):
    host, port = wick.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        s.sendall(f"GET {web[1]}first HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while b"first" not in got:
            got += s.recv(4096)
        assert b"second" not in got
        while b"second" not in got:
            got += s.recv(4096)


def test_web_both_ways_at_once(wick, web):
    host, port = wick.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        s.sendall(f"POST {web[1]}duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        got = b""
        for i in range(5):
            s.sendall(b"6\r\npiece%d\r\n" % i)
            while b"PIECE%d" % i not in got:
                got += s.recv(4096)
        s.sendall(b"0\r\n\r\n")
        while not got.endswith(b"\r\n0\r\n\r\n"):
            got += s.recv(4096)
        assert got.startswith(b"HTTP/1.1 200 ") and s.recv(1) == b""
    total = 30_000_000
    with socket.create_connection((host, int(port)), timeout=60) as s, ThreadPoolExecutor(1) as pool:
        s.sendall(f"POST {web[1]}duplex HTTP/1.1\r\nHost: h\r\nContent-Length: {total}\r\n\r\n".encode())
        sent = pool.submit(s.sendall, b"a" * total)
        with http.client.HTTPResponse(s, method="POST") as answer:
            answer.begin()
            assert answer.read() == b"A" * total
        sent.result()


def test_web_errors(wick, web):
    name, path = web
    with pytest.raises(http.client.IncompleteRead):
        get(wick, path + "half")
    assert get(wick, path + "early", "POST", b"x" * 3000000).status == 413
    answer = get(wick, path + "exit")
    assert (answer.status, json.loads(answer.text)) == (502, {"Message": "Internal Server Error"})
    until(lambda: get(wick, path).status == 200, "another program to answer")


def test_web_client_that_leaves(wick, web):
    name, path = web
    host, port = wick.url.split("//")[1].split(":")
    gone = logs(wick, name).count("client gone")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        hanging = logs(wick, name).count("hanging")
        s.sendall(f"GET {path}hang HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        until(lambda: logs(wick, name).count("hanging") > hanging, "the request to reach the program")
    until(lambda: logs(wick, name).count("client gone") > gone, "the program to be told")


def test_web_behind_iam(wick):
    path = add_url(wick, deploy_web(wick), AuthType="AWS_IAM")
    assert get(wick, path + "upload", "POST", b"x").status == 403
    data = b"y" * 3000000
    assert json.loads(call(wick, "POST", path + "upload", data).text) == [len(data), hashlib.sha256(data).hexdigest()]


def test_web_by_invoke(wick, web):
    payload, answer = wick.invoke(web[0], {"a": 1})
    assert payload["line"] == "POST / HTTP/1.1" and json.loads(payload["body"]) == {"a": 1}
