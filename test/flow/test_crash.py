"""kill -9 of every program, during uploads and asynchronous invocations: what was acknowledged is never lost."""
import hashlib
import json
import os
import random
import signal
import threading

import botocore.exceptions
import pytest

from conftest import until

MARK = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket=BUCKET, Key="done/" + event["id"], Body=b"")
    return event["id"]
"""
GONE = (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectionClosedError,
        botocore.exceptions.ReadTimeoutError, botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)


def listed(wick, bucket, prefix=""):
    pages = wick.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {o["Key"] for page in pages for o in page.get("Contents", [])}


def kill(wick, program):
    for pid in wick.pids(program):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def storm(wick, bucket, function, rounds, victims):
    """Uploads and asynchronous invocations from two threads while victims are killed one after another; what was
    acknowledged."""
    stop = threading.Event()
    objects, events = {}, set()

    def upload():
        s3, n = wick.client("s3"), 0
        while not stop.is_set():
            n += 1
            body = random.Random(n).randbytes(random.Random(n).choice([10, 1000, 300_000]))
            try:
                s3.put_object(Bucket=bucket, Key=f"up/{n}", Body=body)
                objects[f"up/{n}"] = hashlib.md5(body).hexdigest()
            except GONE:
                pass

    def invoke():
        lambda_, n = wick.client("lambda"), 0
        while not stop.is_set():
            n += 1
            try:
                lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps({"id": f"e{n}"}))
                events.add(f"e{n}")
            except GONE:
                pass

    threads = [threading.Thread(target=t) for t in (upload, invoke)]
    for t in threads:
        t.start()
    try:
        for i in range(rounds):
            before = len(objects) + len(events)
            until(lambda: len(objects) + len(events) >= before + 20, "some work to be acknowledged")
            kill(wick, victims[i % len(victims)])
    finally:
        stop.set()
        for t in threads:
            t.join()
    return objects, events


def check_nothing_lost(wick, bucket, objects, events):
    until(wick.ready, "the gate to be back")
    s3 = wick.client("s3")
    for key, md5 in objects.items():
        assert hashlib.md5(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest() == md5, key
    wanted = {f"done/{e}" for e in events}
    until(lambda: wanted <= listed(wick, bucket, "done/") or not json.loads(wick.run("events", "--queued", "--json").stdout)["events"],
          "every acknowledged event to be over", 120)
    # An event whose worker was killed three times is kept as failed, not lost.
    wick.run("events", "--redrive")
    until(lambda: wanted <= listed(wick, bucket, "done/"), "every acknowledged event to have run", 120)


def test_killed_programs_lose_nothing(new_wick):
    wick = new_wick(env={"WICK_RETRY_DELAY": "50ms"})
    bucket = wick.bucket()
    function = wick.deploy(MARK.replace("BUCKET", repr(bucket)))
    objects, events = storm(wick, bucket, function, 8, ["wick-gate", "wick-python", "wick-node", "wick-python"])
    assert objects and events
    check_nothing_lost(wick, bucket, objects, events)


@pytest.mark.long
def test_soak_of_kills(new_wick):
    """The same for minutes; and in the end nothing is left over: no worker, no file of an object nobody has."""
    wick = new_wick("--worker-idle", "1s", env={"WICK_RETRY_DELAY": "50ms"})
    bucket = wick.bucket()
    function = wick.deploy(MARK.replace("BUCKET", repr(bucket)))
    objects, events = storm(wick, bucket, function, 150, ["wick-gate", "wick-python", "wick-node", "wick-python", "wick-python"])
    check_nothing_lost(wick, bucket, objects, events)
    until(lambda: not wick.pids("wick-python"), "idle workers to end")
    for key in listed(wick, bucket):
        wick.client("s3").delete_object(Bucket=bucket, Key=key)

    def blobs():
        return [p for p in (wick.data / "blobs").rglob("*") if p.is_file()]

    until(lambda: len(blobs()) <= 1, "only the function's package to be left")


def test_killed_supervisor_takes_all_with_it_and_a_new_one_goes_on(new_wick):
    wick = new_wick(env={"WICK_RETRY_DELAY": "50ms"})
    bucket = wick.bucket()
    function = wick.deploy(MARK.replace("BUCKET", repr(bucket)))
    objects, events = {}, set()
    for _ in range(2):
        pids = []

        def die():
            pids.extend(wick.pids("wick-gate") + wick.pids("wick-node") + wick.pids("wick-python"))
            wick.process.kill()
            wick.process.wait()

        lambda_, s3 = wick.client("lambda"), wick.client("s3")
        for n in range(10):
            name = f"e{len(events)}"
            lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps({"id": name}))
            events.add(name)
            s3.put_object(Bucket=bucket, Key=f"up/{name}", Body=name.encode())
            objects[f"up/{name}"] = hashlib.md5(name.encode()).hexdigest()
        die()
        until(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), "gate, node and workers to be gone")
        wick.start()
    check_nothing_lost(wick, bucket, objects, events)


def test_synchronous_callers_get_an_answer_when_the_worker_dies(wick):
    f = wick.deploy("import os, signal\ndef handler(event, context):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    payload, answer = wick.invoke(f)
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.ExitError"
    assert "signal: killed" in payload["errorMessage"]


@pytest.mark.parametrize("victim", ["wick-gate", "wick-node"])
def test_synchronous_callers_get_an_answer_when_a_program_dies(new_wick, victim):
    wick = new_wick()
    f = wick.deploy("import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(60)\n", Timeout=90)
    result = {}

    def call():
        try:
            result["answer"] = wick.invoke(f)
        except GONE as e:
            result["error"] = e

    t = threading.Thread(target=call)
    t.start()
    until(lambda: wick.pids("wick-python"), "the worker to run")
    until(lambda: wick.run("logs", f).stdout.count("begun"), "the handler to run")
    kill(wick, victim)
    t.join(60)
    assert not t.is_alive() and result
    until(lambda: not wick.pids("wick-python"), "the worker to be ended")


def test_stopping_answers_what_runs(new_wick):
    wick = new_wick()
    f = wick.deploy("import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(1)\n    return 'done'\n")
    result = {}
    t = threading.Thread(target=lambda: result.update(answer=wick.invoke(f)[0]))
    t.start()
    until(lambda: wick.run("logs", f).stdout.count("begun"), "the handler to run")
    assert wick.stop() == 0
    t.join()
    assert result["answer"] == "done"
