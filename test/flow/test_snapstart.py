"""SnapStart through a server: workers of a published version are copies of one that has initialised."""
import json
from concurrent.futures import ThreadPoolExecutor

from conftest import until

SOURCE = """
import boto3, os, random, time
from snapshot_restore_py import register_before_snapshot, register_after_restore

state = ["init"]
# While it initialises it reaches Wick as a worker does.
buckets = [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]]
register_before_snapshot(lambda: state.append("before"))
register_after_restore(lambda: state.append("after"))
open("/tmp/of-the-snapshot", "w").close()

def handler(event, context):
    time.sleep(event.get("sleep", 0))
    s3 = boto3.client("s3")
    return {"state": state, "init_buckets": buckets, "buckets": [b["Name"] for b in s3.list_buckets()["Buckets"]],
            "tmp": os.listdir("/tmp"), "random": [random.random(), os.urandom(8).hex()],
            "key": os.environ["AWS_SESSION_TOKEN"], "version": context.function_version}
"""


def publish(wick, source, **conf):
    name = wick.deploy(source, SnapStart={"ApplyOn": "PublishedVersions"}, **conf)
    return name, wick.client("lambda").publish_version(FunctionName=name)["Version"]


def invoke(wick, name, version, event=None):
    answer = wick.client("lambda").invoke(FunctionName=name, Qualifier=version, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read()), answer


def test_workers_are_copies_with_what_is_their_own(wick):
    bucket = wick.bucket()
    name, version = publish(wick, SOURCE)
    first, answer = invoke(wick, name, version)
    assert "FunctionError" not in answer, first
    assert first["state"] == ["init", "before", "after"] and first["version"] == version
    assert bucket in first["init_buckets"] and bucket in first["buckets"]
    assert first["tmp"] == []
    with ThreadPoolExecutor(4) as pool:
        said = [r[0] for r in pool.map(lambda _: invoke(wick, name, version, {"sleep": 0.5}), range(4))]
    assert all(r["state"] == ["init", "before", "after"] for r in said)
    assert len({tuple(r["random"]) for r in said}) == 4
    assert len({r["key"] for r in said}) > 1, "workers have keys of their own"


def test_latest_is_no_snapshot(wick):
    name, _ = publish(wick, "state = []\ndef handler(event, context):\n    return state\n")
    assert wick.invoke(name)[0] == []


def test_errors_of_the_initialisation(wick):
    name, version = publish(wick, "print('last words')\nraise ValueError('no luck')\n")
    for _ in range(2):
        payload, answer = invoke(wick, name, version)
        assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "ValueError", payload
        assert "no luck" in payload["errorMessage"]
    until(lambda: "last words" in wick.run("logs", name).stdout, "what it printed in the log")


def test_a_snapshot_that_dies(wick):
    name, version = publish(wick, "import os\nos._exit(9)\n")
    payload, answer = invoke(wick, name, version)
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError", payload
