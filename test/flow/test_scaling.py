"""How many workers there are, and why an invocation waits: reservations, provisioned concurrency, bursts, fair shares,
crashes, freezing, several invocations in a worker."""
import concurrent.futures
import json
import os
import signal
import threading
import time

import botocore.exceptions
import pytest
from conftest import until

SLEEP = "import time, os\ndef handler(event, context):\n    time.sleep(event.get('s', 0))\n    return os.environ['WICK_WORKER_ID']\n"
ECHO = "def handler(event, context):\n    return event\n"


def top(wick):
    return json.loads(wick.run("top", "--json").stdout)


def activity(wick, name, version="$LATEST"):
    for f in top(wick)["functions"]:
        if f["name"] == name and f["version"] == version:
            return f
    return None


def alive(f):
    return f["waiting"] + f["init"] + f["idle"] + f["frozen"] + f["busy"] if f else 0


def together(n, call):
    """The answers of n calls made at once."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(call, range(n)))


def event_id(wick, name, payload=None):
    """The request id of an asynchronous invocation."""
    answer = wick.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload or {}))
    return answer["ResponseMetadata"]["RequestId"]


def why(wick, id):
    return json.loads(wick.run("why", id, "--json").stdout)


# ---- bursts ----

def test_burst_of_one_function(wick):
    name = wick.deploy(SLEEP, MemorySize=128)
    client = wick.client("lambda", max_pool_connections=100)
    answers = together(100, lambda i: client.invoke(FunctionName=name, Payload=b'{"s": 0.1}'))
    assert not [a for a in answers if "FunctionError" in a]
    workers = {json.loads(a["Payload"].read()) for a in answers}
    assert len(workers) > 1
    f = activity(wick, name)
    assert f["invocations"] == 100 and f["errors"] == 0 and f["queued"] == 0 and f["cold"] >= 1
    assert 100000 <= f["p50_us"] * 1.2 and f["p50_us"] <= f["p99_us"]


def test_burst_of_many_functions(wick):
    names = [wick.deploy(ECHO, MemorySize=128) for _ in range(30)]
    client = wick.client("lambda", max_pool_connections=30)
    answers = together(30, lambda i: client.invoke(FunctionName=names[i], Payload=json.dumps(i)))
    assert [json.loads(a["Payload"].read()) for a in answers] == list(range(30))


def test_last_used_worker_is_used_again(wick):
    name = wick.deploy(SLEEP, MemorySize=128)
    together(4, lambda i: wick.invoke(name, {"s": 0.2}))
    last = wick.invoke(name)[0]
    assert {wick.invoke(name)[0] for _ in range(5)} == {last}


# ---- several invocations in a worker ----

MEETING = """import threading, os
barrier = threading.Barrier(4)
def handler(event, context):
    barrier.wait(30)
    return os.environ['WICK_WORKER_ID']
"""


def test_concurrency_of_a_worker(wick):
    name = wick.deploy(MEETING, MemorySize=128, Tags={"wick:concurrency": "4"})
    answers = together(4, lambda i: wick.invoke(name)[0])
    assert len(set(answers)) == 1, answers
    assert activity(wick, name)["cold"] >= 1 and alive(activity(wick, name)) == 1
    answers = together(8, lambda i: wick.invoke(name)[0])
    assert len(answers) == 8 and alive(activity(wick, name)) <= 3


def test_one_of_several_times_out(wick):
    name = wick.deploy("import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return 'done'\n",
                       MemorySize=128, Timeout=1, Tags={"wick:concurrency": "2"})
    wick.invoke(name, {"s": 0})
    answers = {}

    def late():
        answers["late"] = wick.invoke(name, {"s": 5})

    thread = threading.Thread(target=late)
    thread.start()
    until(lambda: activity(wick, name)["busy"] == 1, "the first to run")
    end = time.monotonic() + 0.6
    until(lambda: time.monotonic() > end, "some of its time to pass")
    answers["other"] = wick.invoke(name, {"s": 5})
    thread.join()
    assert answers["late"][0]["errorType"] == "Sandbox.Timedout"
    assert answers["other"][0]["errorType"] in ("Runtime.Killed", "Sandbox.Timedout")
    assert wick.invoke(name, {"s": 0})[0] == "done"


# ---- idle ----

TICKING = """import threading, time
stamps = []
def tick():
    while True:
        stamps.append(time.monotonic())
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    until_now = stamps + [time.monotonic()]
    return max((b - a for a, b in zip(until_now, until_now[1:])), default=0)
"""


def test_idle_worker_is_frozen_and_woken(wick):
    name = wick.deploy(TICKING, MemorySize=128)
    assert wick.invoke(name)[0] < 0.9
    until(lambda: activity(wick, name)["frozen"] == 1, "the idle worker to be frozen")
    end = time.monotonic() + 1
    until(lambda: time.monotonic() > end, "a second to pass")
    gap, answer = wick.invoke(name)
    assert gap >= 0.9, "a thread of a frozen worker ran"
    assert activity(wick, name)["cold"] == 1


def test_idle_tag(wick):
    soon = wick.deploy(ECHO, MemorySize=128, Tags={"wick:idle": "1s"})
    later = wick.deploy(ECHO, MemorySize=128)
    wick.invoke(soon)
    wick.invoke(later)
    until(lambda: alive(activity(wick, soon)) == 0, "the worker to end")
    assert alive(activity(wick, later)) == 1


# ---- crashes ----

DIES = "import sys\nprint('the disk of doom is full')\nsys.exit(3)\n"


def test_crash_looping(wick):
    name = wick.deploy(DIES, MemorySize=128)
    first, answer = wick.invoke(name)
    assert answer["FunctionError"] == "Unhandled" and first["errorType"] == "Runtime.ExitError", first

    def looping():
        payload, _ = wick.invoke(name)
        return payload if payload["errorType"] == "Runtime.CrashLooping" else None

    looped = until(looping, "the function to be said to crash at every start")
    assert "times in a row" in looped["errorMessage"] and "Runtime.ExitError" in looped["errorMessage"]
    assert "the disk of doom is full" in looped["lastWords"]
    f = activity(wick, name)
    assert f["reason"] == "crash-looping" and "Runtime.ExitError" in f["text"]
    wick.client("lambda").update_function_code(FunctionName=name, ZipFile=__import__("conftest").make_zip({"app.py": ECHO}))
    assert wick.invoke(name, 5)[0] == 5


def test_bad_starts_are_forgotten(wick):
    name = wick.deploy(f"import time\nif time.time() < {time.time() + 2}:\n    raise OSError('too early')\n" + ECHO, MemorySize=128)
    assert wick.invoke(name)[0]["errorType"] == "OSError"
    until(lambda: wick.invoke(name, 7)[0] == 7, "the function to start after all")
    assert wick.invoke(name, 8)[0] == 8


# ---- limits ----

def test_reserved_is_a_cap(wick):
    name = wick.deploy(SLEEP, MemorySize=128)
    wick.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    answers = together(8, lambda i: wick.invoke(name, {"s": 0.1})[0])
    assert len(set(answers)) <= 2
    wick.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(botocore.exceptions.ClientError) as e:
        wick.invoke(name)
    assert e.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert e.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]
    wick.client("lambda").delete_function_concurrency(FunctionName=name)
    assert wick.invoke(name)[0]


def test_reserved_is_a_guarantee(new_wick):
    wick = new_wick("--concurrency", "103")  # AWS keeps 100 for functions without a reservation
    kept, greedy = wick.deploy(SLEEP, MemorySize=128), wick.deploy(SLEEP, MemorySize=128)
    wick.client("lambda").put_function_concurrency(FunctionName=kept, ReservedConcurrentExecutions=2)
    client = wick.client("lambda", max_pool_connections=110)
    with concurrent.futures.ThreadPoolExecutor(110) as pool:
        calls = [pool.submit(client.invoke, FunctionName=greedy, Payload=b'{"s": 6}') for _ in range(110)]
        until(lambda: (activity(wick, greedy) or {}).get("running") == 101, "the account's share to be used up")
        waiting = until(lambda: (a := activity(wick, greedy))["reason"] == "account-limit" and a, "the others to wait for it")
        assert waiting["queued"] == 9 and "limit" in waiting["text"]
        assert wick.invoke(kept)[0]
        assert activity(wick, greedy)["running"] == 101
        assert not [c for c in calls if "FunctionError" in c.result()]


def test_waiting_is_bounded_and_says_why(new_wick):
    wick = new_wick("--concurrency", "1", "--queue-wait", "300ms")
    name = wick.deploy(SLEEP, MemorySize=128)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(wick.invoke, name, {"s": 2})
        until(lambda: (activity(wick, name) or {}).get("running") == 1, "the first to run")
        with pytest.raises(botocore.exceptions.ClientError) as e:
            wick.invoke(name)
        running.result()
    error = e.value.response
    assert error["Error"]["Code"] == "TooManyRequestsException" and "account's limit" in error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPHeaders"]["retry-after"]
    assert wick.invoke(name)[0]


def test_first_request_waits_for_a_slow_start(new_wick):
    """The queue's bound is for those who wait for others, not for an initialisation."""
    wick = new_wick("--queue-wait", "100ms")
    name = wick.deploy("import time\ntime.sleep(1)\n" + ECHO, MemorySize=128)
    assert wick.invoke(name, 1)[0] == 1


def test_start_limit(new_wick):
    wick = new_wick("--init-limit", "2s")
    name = wick.deploy("import time\ntime.sleep(60)\n" + ECHO, MemorySize=128)
    payload, _ = wick.invoke(name)
    assert payload["errorType"] == "Sandbox.Timedout" and "2 seconds" in payload["errorMessage"]


def test_more_memory_than_the_machine_has(new_wick):
    wick = new_wick("--worker-memory", "1g")
    name = wick.deploy(ECHO, MemorySize=2048)
    payload, answer = wick.invoke(name)
    assert answer["FunctionError"] == "Unhandled" and payload["errorType"] == "Runtime.MemoryTooLarge"
    assert "2048 MB" in payload["errorMessage"] and "1024 MB" in payload["errorMessage"]
    assert "2048 MB" in wick.run("logs", name).stdout
    told = why(wick, answer["ResponseMetadata"]["RequestId"])
    assert told["state"] == "done" and told["reason"] == "Runtime.MemoryTooLarge"


def test_fair_shares_of_memory(new_wick):
    """A function that takes all memory with long runs does not keep another's first worker out."""
    wick = new_wick("--worker-memory", "1200m")
    greedy, small = wick.deploy(SLEEP, MemorySize=512), wick.deploy(SLEEP, MemorySize=128)
    client = wick.client("lambda", max_pool_connections=64)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        calls = [pool.submit(client.invoke, FunctionName=greedy, Payload=b'{"s": 1}') for _ in range(64)]
        until(lambda: (activity(wick, greedy) or {}).get("queued"), "the greedy one to wait for more")
        assert wick.invoke(small)[0]
        assert not [c for c in calls if "FunctionError" in c.result()]


def test_idle_workers_give_way_when_memory_is_short(new_wick):
    wick = new_wick("--worker-memory", "700m")
    first, second = wick.deploy(ECHO, MemorySize=600), wick.deploy(ECHO, MemorySize=600)
    hog = wick.deploy("big = bytearray(300 << 20)\n" + ECHO, MemorySize=600)
    assert wick.invoke(hog, 1)[0] == 1
    assert wick.invoke(first, 2)[0] == 2
    assert wick.invoke(second, 3)[0] == 3
    assert alive(activity(wick, hog)) == 0


# ---- provisioned concurrency ----

def provisioned(wick, name, qualifier):
    return wick.client("lambda").get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)


def worker_pids(wick, name):
    """Of the workers of a function: processes with its name in their environment."""
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                env = f.read().split(b"\0")
        except OSError:
            continue
        if b"AWS_LAMBDA_FUNCTION_NAME=" + name.encode() in env:
            pids.append(int(pid))
    return pids


def test_provisioned_workers_are_kept(new_wick):
    wick = new_wick("--worker-idle", "1s")
    client = wick.client("lambda")
    name = wick.deploy(SLEEP, MemorySize=128)
    version = client.publish_version(FunctionName=name)["Version"]
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=3)
    config = until(lambda: (c := provisioned(wick, name, version))["Status"] == "READY" and c, "three workers to be ready")
    assert config["AllocatedProvisionedConcurrentExecutions"] == 3 and config["AvailableProvisionedConcurrentExecutions"] == 3
    answers = together(3, lambda i: client.invoke(FunctionName=name, Qualifier=version, Payload=b'{"s": 0.3}'))
    assert len({a["Payload"].read() for a in answers}) == 3
    assert all(a["ResponseMetadata"]["HTTPHeaders"]["wick-init-us"] == "0" for a in answers), "nobody waited for a start"

    until(lambda: activity(wick, name, version)["frozen"] == 3, "idle ones to be frozen, not ended")
    wick.run("top")  # the workers are still there after more than their idle time
    assert alive(activity(wick, name, version)) == 3

    def whole_again():
        f = activity(wick, name, version)
        return f and f["idle"] + f["frozen"] == 3 and f["ending"] == 0

    for program in ("wick-node", "wick-gate"):
        before = wick.pids(program)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: wick.pids(program) and wick.pids(program) != before and wick.ready(), f"{program} to be back")
        until(whole_again, f"the workers to be there again after {program} was killed")
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    until(lambda: alive(activity(wick, name, version)) == 0, "the workers to end")


def test_provisioned_worker_that_dies_is_replaced(wick):
    client = wick.client("lambda")
    name = wick.deploy("import os\ndef handler(event, context):\n    if event.get('die'):\n        os._exit(1)\n"
                       "    return os.environ['WICK_WORKER_ID']\n", MemorySize=128)
    version = client.publish_version(FunctionName=name)["Version"]
    client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1)
    until(lambda: provisioned(wick, name, "live")["Status"] == "READY", "the worker to be ready")
    first = wick.invoke(name, Qualifier="live")[0]
    assert wick.invoke(name, {"die": True}, Qualifier="live")[0]["errorType"] == "Runtime.ExitError"
    until(lambda: provisioned(wick, name, "live")["Status"] == "READY", "another to be ready")
    assert wick.invoke(name, Qualifier="live")[0] != first


# ---- why ----

def test_why(new_wick):
    wick = new_wick("--concurrency", "1")
    name = wick.deploy(SLEEP, MemorySize=128)
    running = event_id(wick, name, {"s": 3})
    until(lambda: why(wick, running)["state"] == "running", "the first to run")
    waiting = event_id(wick, name)
    told = until(lambda: (t := why(wick, waiting))["state"] == "queued" and t["reason"] == "account-limit" and t,
                 "the second to wait")
    assert told["function"] == name and told["version"] == "$LATEST" and told["position"] == 1
    assert told["workers"]["busy"] == 1 and "limit" in told["text"] and told["since_ms"] >= 0
    told = until(lambda: (t := why(wick, waiting))["state"] == "done" and t, "the second to have run")
    assert told["reason"] == "ok" and "run" in told["text"]
    assert why(wick, running)["state"] == "done"
    unknown = wick.run("why", "11111111-1111-4111-8111-111111111111")
    assert unknown.returncode != 0 and "no invocation" in unknown.stderr


def test_why_starting_and_last_words(wick):
    slow = wick.deploy("import time\ntime.sleep(2)\n" + ECHO, MemorySize=128)
    id = event_id(wick, slow)
    told = until(lambda: (t := why(wick, id))["state"] == "starting" and "initialises" in t["text"] and t, "it to initialise")
    assert told["reason"] == "starting" and told["workers"]["init"] == 1
    until(lambda: why(wick, id)["state"] == "done", "it to have run")

    dies = wick.deploy("import os\ndef handler(event, context):\n    print('farewell')\n    os._exit(9)\n", MemorySize=128)
    _, answer = wick.invoke(dies)
    told = why(wick, answer["ResponseMetadata"]["RequestId"])
    assert told["state"] == "done" and told["reason"] == "Runtime.ExitError" and "exit status 9" in told["text"]
    assert "farewell" in told["last_words"]


def test_top(wick):
    name = wick.deploy(ECHO, MemorySize=128)
    wick.invoke(name)
    t = top(wick)
    assert t["nodes"][0]["up"] and t["nodes"][0]["memory_mb"] > 0 and t["uptime_ms"] > 0
    assert t["totals"]["invocations"] >= 1
    assert set(t["totals"]["workers"]) == {"waiting", "init", "idle", "frozen", "busy", "away", "parked", "ending"}
    f = activity(wick, name)
    assert f["invocations"] == 1 and f["p50_us"] > 0 and f["reason"] == "" and f["memory_mb"] > 0
