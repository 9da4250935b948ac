"""Wick's own API under /_wick/: health, metrics, bill, invocations, events, logs, functions, settings."""
import json
import os
import signal
import threading
import urllib.error
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from conftest import until
from test_lambda_invoke import send


def get(wick, path, status=200, method="GET", body=b""):
    answer = send(wick, method, path, body, service="wick")
    assert answer.status_code == status, answer.text
    return json.loads(answer.content) if answer.content else None


def log_records(wick, name, query=""):
    answer = send(wick, "GET", f"/_wick/logs/{name}{query}", service="wick")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines() if line]


def follow(wick, name):
    """The open answer of a follower."""
    request = botocore.awsrequest.AWSRequest("GET", wick.url + f"/_wick/logs/{name}", params={"follow": "1"})
    credentials = botocore.credentials.Credentials(*wick.keys)
    botocore.auth.SigV4Auth(credentials, "wick", "us-east-1").add_auth(request)
    prepared = request.prepare()
    return urllib.request.urlopen(urllib.request.Request(prepared.url, headers=dict(prepared.headers)), timeout=60)


def test_health(wick):
    with urllib.request.urlopen(wick.url + "/_wick/health") as answer:
        told = json.load(answer)
    assert told["status"] == "ok" and told["node"] is True and told["version"]


def test_unknown(wick):
    assert get(wick, "/_wick/nothing", 404)["error"] == "UnknownOperationException"
    assert get(wick, "/_wick/bill", 405, "DELETE")["error"] == "MethodNotAllowedException"
    for path in ("bill?from=yesterday", "invocations?max=0", "invocations?max=x", "events?state=odd", "logs/a%2Fb",
                 "logs/f?since=now", "bill?from=10&to=5", "logs/f?position=" + "1" * 100):
        assert get(wick, "/_wick/" + path, 400)["message"], path


def test_metrics(wick):
    answer = send(wick, "GET", "/_wick/metrics", service="wick")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain")
    for line in answer.text.splitlines():
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_settings(wick):
    told = get(wick, "/_wick/settings")
    assert told["region"] == "us-east-1" and told["account"] == "000000000000"
    assert wick.keys[1] not in json.dumps(told)


def test_bill_and_invocations(wick):
    name = wick.deploy("def handler(event, context):\n    return 1 / event\n", MemorySize=512)
    headers = [wick.invoke(name, n)[1]["ResponseMetadata"]["HTTPHeaders"] for n in (1, 2, 0)]
    bill = get(wick, f"/_wick/bill?function={name}")
    (line,) = bill["functions"]
    assert (line["function"], line["invocations"], line["errors"]) == (name, 3, 1)
    assert line["billed_ms"] == sum(int(h["wick-billed-ms"]) for h in headers)
    assert line["mb_ms"] == 512 * line["billed_ms"]
    assert line["device_slice_ms"] == 0
    assert float(line["cost_usd"]) == pytest.approx(line["cost_picousd"] / 1e12)
    assert {k: v for k, v in line.items() if k != "function"} == bill["total"]
    told = get(wick, f"/_wick/invocations?function={name}")["invocations"]
    assert [i["request_id"] for i in told] == [h["x-amzn-requestid"] for h in reversed(headers)]
    assert [i["status"] for i in told] == ["error", "ok", "ok"]
    assert told[2]["init_us"] > 0 and told[2]["start_us"] > 0 and told[1]["init_us"] == 0
    assert sum(i["cost_picousd"] for i in told) == line["cost_picousd"]
    first = get(wick, f"/_wick/invocations?function={name}&max=1")
    assert len(first["invocations"]) == 1 and first["next_before"] == first["invocations"][0]["at_ms"]
    assert get(wick, "/_wick/bill?from=2001-01-01&to=2001-02-01")["functions"] == []


def test_functions(wick):
    name = wick.deploy("def handler(event, context):\n    pass\n", MemorySize=128)
    wick.invoke(name)

    def mine():
        after, found = "", None
        while after is not None:
            page = get(wick, f"/_wick/functions?max=7&after={after}")
            found = found or next((f for f in page["functions"] if f["name"] == name), None)
            after = page["next_after"]
        return found

    told = mine()
    assert told["runtime"] == "python3.11" and told["state"] == "Active" and told["memory_mb"] == 128
    until(lambda: mine()["workers"] == {"starting": 0, "idle": 1, "busy": 0}, "its worker to be idle")


def test_logs(wick):
    name = wick.deploy("import sys\ndef handler(event, context):\n    print(event)\n"
                       "    sys.stdout.buffer.write(b'bin \\xff\\xfe end\\n')\n")
    first = wick.invoke(name, "one")[1]["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    told = log_records(wick, name)
    mine = [r["text"] for r in told if r["id"] == first]
    assert mine[0].startswith(f"START RequestId: {first}") and mine[-1].startswith(f"REPORT RequestId: {first}")
    assert "one" in mine and "bin \ufffd\ufffd end" in mine
    page = log_records(wick, name, "?position=")
    assert page[:-1] == told
    wick.invoke(name, "two")
    rest = log_records(wick, name, "?position=" + urllib.parse.quote(page[-1]["position"], safe=""))
    assert "two" in [r.get("text") for r in rest] and "one" not in [r.get("text") for r in rest]
    assert log_records(wick, name, f"?since={told[-1]['at'] + 3600000}") == []
    assert log_records(wick, "never-was") == []
    get(wick, f"/_wick/logs/{name}", 204, "DELETE")
    assert log_records(wick, name) == []


def test_logs_are_followed(wick):
    name = wick.deploy("def handler(event, context):\n    print('saw', event)\n")
    wick.invoke(name, "early")
    seen, done = [], threading.Event()
    stream = follow(wick, name)

    def read():
        for line in stream:
            if line.strip():
                seen.append(json.loads(line)["text"])
            if "saw late" in seen:
                break
        done.set()

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: "saw early" in seen, "what was there")
    assert not done.is_set()
    wick.invoke(name, "late")
    reader.join(60)
    assert done.is_set()
    stream.close()


def test_following_does_not_hold_up_the_end(new_wick):
    wick = new_wick()
    name = wick.deploy("def handler(event, context):\n    print('here')\n")
    wick.invoke(name)
    stream = follow(wick, name)
    assert stream.readline()
    assert wick.stop() == 0
    stream.read()


def test_events(new_wick):
    wick = new_wick("--retry-delay", "10ms")
    lam, s3, bucket = wick.client("lambda"), wick.client("s3"), wick.bucket()
    name = wick.deploy("import boto3\ndef handler(event, context):\n"
                       "    boto3.client('s3').get_object(Bucket=event['b'], Key='there')\n    return 'fine'\n", MemorySize=256)
    sent = lam.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps({"b": bucket}))
    key = sent["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]

    def failed():
        return get(wick, f"/_wick/events?state=failed&function={name}")["events"]

    (event,) = until(failed, "the event to fail for good")
    assert (event["id"], event["function"], event["state"], event["attempts"]) == (key, name, "failed", 3)
    assert event["source"] == "invoke" and "NoSuchKey" in event["reason"]
    assert json.loads(event["payload"]) == {"b": bucket}
    get(wick, "/_wick/events/redrive", 404, "POST", b'{"id": "00000000-0000-4000-8000-000000000000"}')
    get(wick, "/_wick/events/redrive", 400, "POST", b'{"id": 7}')
    get(wick, "/_wick/events/redrive", 400, "POST", b'{')
    s3.put_object(Bucket=bucket, Key="there", Body=b"x")
    assert get(wick, "/_wick/events/redrive", 200, "POST", json.dumps({"id": key}).encode()) == {"redriven": 1, "and_more": False}
    until(lambda: not failed() and not get(wick, "/_wick/events")["events"], "the event to be done")
    assert get(wick, "/_wick/events/redrive", 200, "POST", b"{}") == {"redriven": 0, "and_more": False}


def test_health_without_a_node(new_wick):
    wick = new_wick()
    (node,) = wick.pids("wick-node")
    os.kill(node, signal.SIGSTOP)
    os.kill(node, signal.SIGKILL)

    def again():
        try:
            with urllib.request.urlopen(wick.url + "/_wick/health") as answer:
                return answer.status == 200 and wick.pids("wick-node") not in ([], [node])
        except urllib.error.HTTPError as e:
            assert e.code == 503 and json.load(e)["node"] is False
            return False

    until(again, "a new node")
