"""InvokeWithResponseStream: what is told when, errors at every place, slow clients, and the npm SDK as a client. Needs:
Node.js in the machine."""
import base64
import json
import pathlib
import socket
import subprocess

import pytest

from conftest import until
from urls import call, deploy_node, events, logs

NODE = pathlib.Path(__file__).parent / "node"
PATH = "/2021-11-15/functions/{}/response-streaming-invocations"


@pytest.fixture(scope="module")
def streamed(wick):
    return deploy_node(wick, "streamed")


def invoke(wick, name, payload=None, query="", **headers):
    answer = call(wick, "POST", PATH.format(name) + query, json.dumps(payload or {}).encode(),
                  {k.replace("_", "-"): v for k, v in headers.items()})
    return answer, events(answer.text) if answer.status == 200 else json.loads(answer.text)


def test_chunks_and_completion(wick, streamed):
    answer, said = invoke(wick, streamed, X_Amz_Log_Type="Tail")
    assert answer.getheader("content-type") == "application/vnd.amazon.eventstream"
    assert answer.getheader("x-amz-executed-version") == "$LATEST"
    assert b"".join(p for name, p in said if name == "PayloadChunk") == b"one,two"
    name, complete = said[-1]
    assert name == "InvokeComplete"
    assert b"REPORT RequestId" in base64.b64decode(json.loads(complete)["LogResult"])
    assert "ErrorCode" not in json.loads(complete)


def test_pieces_come_as_they_are_written(wick, streamed):
    answer, said = invoke(wick, streamed, {"path": "/wait"})
    assert [p for name, p in said if name == "PayloadChunk"] == [b"one,", b"two"]


def test_head_is_part_of_the_payload(wick, streamed):
    answer, said = invoke(wick, streamed, {"path": "/head"})
    data = b"".join(p for name, p in said if name == "PayloadChunk")
    head, body = data.split(b"\0" * 8)
    assert json.loads(head) == {"statusCode": 201, "headers": {"x-one": "1"}, "cookies": ["a=1", "b=2"]}
    assert body == b"one,two"


@pytest.mark.parametrize("path, before, kind", [
    ("/early", b"", "too early"), ("/boom", b"one,", "boom"), ("/exit", b"one,", "exit status 3")])
def test_errors(wick, streamed, path, before, kind):
    answer, said = invoke(wick, streamed, {"path": path})
    assert answer.status == 200
    assert b"".join(p for name, p in said if name == "PayloadChunk") == before
    complete = json.loads(said[-1][1])
    assert said[-1][0] == "InvokeComplete" and complete["ErrorCode"] == "Unhandled"
    assert kind in json.loads(complete["ErrorDetails"])["errorMessage"]


def test_timeout_in_the_middle(wick):
    name = deploy_node(wick, "streamed", Timeout=1)
    answer, said = invoke(wick, name, {"path": "/slow"})
    assert [p for n, p in said if n == "PayloadChunk"] == [b"one,"]
    assert "timed out after 1.00 seconds" in json.loads(json.loads(said[-1][1])["ErrorDetails"])["errorMessage"]


def test_functions_that_do_not_stream(wick):
    name = wick.deploy("def handler(event, context):\n    return event\n")
    answer, said = invoke(wick, name, {"a": "x" * 200000})
    assert json.loads(b"".join(p for n, p in said if n == "PayloadChunk")) == {"a": "x" * 200000}
    node = deploy_node(wick, "plain")
    answer, said = invoke(wick, node, {"boom": 1})
    assert json.loads(said[-1][1])["ErrorCode"] == "Unhandled" and len(said) == 1


def test_streaming_function_by_invoke(wick, streamed):
    client = wick.client("lambda")
    assert client.invoke(FunctionName=streamed)["Payload"].read() == b"one,two"


def test_refusals(wick, streamed):
    assert invoke(wick, "nobody")[0].status == 404
    assert invoke(wick, streamed, query="?Qualifier=7")[0].status == 404
    answer = call(wick, "POST", PATH.format(streamed), b"no json")
    assert (answer.status, answer.getheader("x-amzn-errortype")) == (400, "InvalidRequestContentException")
    assert invoke(wick, streamed, X_Amz_Invocation_Type="Event")[0].status == 400
    assert call(wick, "POST", PATH.format(streamed), b"{}", {"X-Amz-Invocation-Type": "DryRun"}).status == 204
    assert call(wick, "POST", PATH.format(streamed), b"{}", sign=False).status == 403


def test_version(wick):
    name = deploy_node(wick, "streamed")
    version = wick.client("lambda").publish_version(FunctionName=name)["Version"]
    answer, said = invoke(wick, name, query=f"?Qualifier={version}")
    assert answer.getheader("x-amz-executed-version") == version and said[-1][0] == "InvokeComplete"


def begin(wick, name, payload):
    """A client that has sent its request and reads nothing."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials
    body = json.dumps(payload).encode()
    request = botocore.awsrequest.AWSRequest("POST", wick.url + PATH.format(name), data=body)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(*wick.keys), "lambda", "us-east-1").add_auth(request)
    host = wick.url.split("//")[1]
    s = socket.create_connection(host.split(":"), timeout=60)
    head = "".join(f"{k}: {v}\r\n" for k, v in request.headers.items())
    s.sendall(f"POST {PATH.format(name)} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
              + body)
    return s


def test_slow_client_slows_the_function(wick):
    name = deploy_node(wick, "streamed")
    with begin(wick, name, {"path": "/big", "n": 1024}) as s:
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
        assert wick.invoke(deploy_node(wick, "plain"))[0] == {}  # others go on
        assert "written" not in logs(wick, name)
        total = 0
        while total < 1024 << 16:
            total += len(s.recv(1 << 20))
    until(lambda: "written" in logs(wick, name), "the function to be done")


def test_client_that_leaves_is_metered(wick):
    name = deploy_node(wick, "streamed")
    with begin(wick, name, {"path": "/big", "n": 1024}) as s:
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    until(lambda: "REPORT RequestId" in logs(wick, name), "the run to end and be metered")
    assert invoke(wick, name)[1][-1][0] == "InvokeComplete"


@pytest.mark.skipif(not (NODE / "node_modules").is_dir(), reason="npm packages are not installed: dev/deps --test")
def test_npm_sdk(wick):
    name = deploy_node(wick, "streamed")
    done = subprocess.run(["node", NODE / "stream.mjs", name], env=wick.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
