"""Invoke, as boto3 and plain HTTP see it: types, logs, contexts, limits, errors."""
import base64
import json
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import botocore.httpsession
import pytest

from conftest import until

ECHO = "def handler(event, context):\n    print('seen', event)\n    return event\n"


@pytest.fixture(scope="module")
def echo(wick):
    return wick.deploy(ECHO)


def send(wick, method, path, body=b"", headers=None, service="lambda"):
    """A signed request that no SDK would make."""
    request = botocore.awsrequest.AWSRequest(method, wick.url + path, data=body, headers=headers or {})
    access, secret = wick.keys
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(access, secret), service, "us-east-1").add_auth(request)
    return botocore.httpsession.URLLib3Session().send(request.prepare())


def test_answer(wick, echo):
    for value in ({"a": [1, None, "ü"]}, [], "text", 17, None, True):
        payload, answer = wick.invoke(echo, value)
        assert payload == (value if value is not None else {})
        assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in answer
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["wick-billed-ms"]) >= 1 and float(headers["wick-cost-usd"]) > 0
        assert all(int(headers[h]) >= 0 for h in ("wick-queue-us", "wick-start-us", "wick-init-us", "wick-run-us"))
        assert uuid.UUID(headers["x-amzn-requestid"])


def test_no_payload(wick, echo):
    answer = wick.client("lambda").invoke(FunctionName=echo)
    assert json.loads(answer["Payload"].read()) == {}


def test_log_tail(wick, echo):
    _, answer = wick.invoke(echo, {"k": "v"}, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    request = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert tail.startswith(f"START RequestId: {request}")
    assert "seen {'k': 'v'}" in tail and f"END RequestId: {request}" in tail and "Billed Duration" in tail
    _, answer = wick.invoke(echo, {}, LogType="None")
    assert "LogResult" not in answer


def test_function_error(wick):
    name = wick.deploy("def handler(event, context):\n    raise ValueError('no ' + event['x'])\n")
    payload, answer = wick.invoke(name, {"x": "good"})
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "no good")
    assert any("app.py" in line for line in payload["stackTrace"])


def test_client_context(wick):
    name = wick.deploy("def handler(event, context):\n    return context.client_context.custom\n")
    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}).encode()).decode()
    assert wick.invoke(name, {}, ClientContext=context)[0] == {"who": "me"}
    for bad in ("%%%", base64.b64encode(b"{").decode(), base64.b64encode(b'"' + b"x" * 3000 + b'"').decode()):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            wick.invoke(name, {}, ClientContext=bad)
        assert caught.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_dry_run(wick, echo):
    lam = wick.client("lambda")
    answer = lam.invoke(FunctionName=echo, InvocationType="DryRun")
    assert answer["StatusCode"] == 204 and answer["Payload"].read() == b""
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.invoke(FunctionName="nobody-here", InvocationType="DryRun")


def test_event(wick):
    bucket = wick.bucket()
    name = wick.deploy("import boto3\ndef handler(event, context):\n"
                       "    boto3.client('s3').put_object(Bucket=event['b'], Key=context.aws_request_id, Body=event['t'])\n", MemorySize=512)
    lam, s3 = wick.client("lambda"), wick.client("s3")
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps({"b": bucket, "t": "hello"}))
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
    key = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    until(lambda: s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the function's object")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
    assert lam.invoke_async(FunctionName=name, InvokeArgs=json.dumps({"b": bucket, "t": "old"}))["Status"] == 202
    until(lambda: s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2, "the second object")


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"{'a': 1}", b"[1,]", b"\xff\xfe", b'{"a":1} x', b"[" * 1000, b" "])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_payload_is_no_json(wick, echo, body, kind):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        wick.client("lambda").invoke(FunctionName=echo, Payload=body, InvocationType=kind)
    error = caught.value.response
    assert error["Error"]["Code"] == "InvalidRequestContentException"
    assert error["Error"]["Message"].startswith("Could not parse request body into json")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_payload_limits(wick, echo):
    lam = wick.client("lambda")
    name = wick.deploy("def handler(event, context):\n    return len(event) if event else 'x' * (7 << 20)\n")
    most = b'"' + b"x" * ((6 << 20) - 2) + b'"'
    assert json.loads(lam.invoke(FunctionName=name, Payload=most)["Payload"].read()) == (6 << 20) - 2
    for kind, body in (("RequestResponse", most + b" "), ("Event", b'"' + b"x" * (1 << 20) + b'"')):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            lam.invoke(FunctionName=name, Payload=body, InvocationType=kind)
        assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    payload, answer = wick.invoke(name, "")
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Function.ResponseSizeTooLarge"


def test_bad_headers(wick, echo):
    path = f"/2015-03-31/functions/{echo}/invocations"
    for headers in ({"X-Amz-Invocation-Type": "Later"}, {"X-Amz-Log-Type": "Head"}):
        answer = send(wick, "POST", path, b"{}", headers)
        assert answer.status_code == 400 and answer.headers["x-amzn-ErrorType"] == "ValidationException"
    for qualifier in ("1", "prod"):
        answer = send(wick, "POST", f"{path}?Qualifier={qualifier}", b"{}")
        assert answer.status_code == 404 and answer.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
    assert send(wick, "POST", f"{path}?Qualifier=%24LATEST", b"7").content == b"7"


def test_paths(wick, echo):
    arn = f"arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3A{echo}"
    assert send(wick, "POST", f"/2015-03-31/functions/{arn}/invocations", b"1").content == b"1"
    for method, path, status in (("GET", "/2015-03-31/nothing", 404), ("PATCH", f"/2015-03-31/functions/{echo}", 405),
                                 ("GET", "/2015-03-31/functions/%zz", 400), ("GET", "/2015-03-31/functions/a%2Fb", 400),
                                 ("POST", "/2015-03-31/functions//invocations", 404)):
        answer = send(wick, method, path)
        assert answer.status_code == status, path
        assert json.loads(answer.content)["message"]


def test_unsigned(wick, echo):
    session = botocore.httpsession.URLLib3Session()
    for method, path in (("POST", f"/2015-03-31/functions/{echo}/invocations"), ("GET", "/2015-03-31/functions"),
                         ("GET", "/_wick/bill"), ("GET", "/_wick/metrics")):
        answer = session.send(botocore.awsrequest.AWSRequest(method, wick.url + path).prepare())
        assert answer.status_code == 403, path


def test_recursion_is_stopped(wick):
    name = wick.deploy("import boto3, json, os\ndef handler(event, context):\n"
                       "    n = event.get('n', 0) + 1\n"
                       "    boto3.client('lambda').invoke(FunctionName=context.function_name, InvocationType='Event',\n"
                       "                                  Payload=json.dumps({'n': n}))\n"
                       "    print('round', n)\n", MemorySize=256)
    wick.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")

    def stopped():
        log = send(wick, "GET", f"/_wick/logs/{name}", service="wick").text
        return "recursive loop" in log and log

    log = until(stopped, "the loop to be stopped")
    assert '"round 15"' in log and '"round 16"' not in log
