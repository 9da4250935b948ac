"""Slices of devices through the gate: what a function sees, how devices are shared out and why one waits, where there
are several nodes which one, and what it costs. Devices are declared ones.
Needs: the built programs."""
import json
import os
import re
import signal

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip, until
from slices import APP, Hold, deploy, devices, done, event_id, folder, has, local, nodes, place, tags, top, used, waits
from test_remote import free_address, joined, new_node


@pytest.fixture
def hold_on(folder, new_wick):
    """A gateway with devices and calls that hold them; its own node is a machine with `devices`."""
    made = []

    def make(devices="gpu:2:mem=8000:file=/dev/null", *args, **kw):
        path = folder / "go"
        path.write_text("")
        devices = ";".join(d + f":lib={path}" for d in devices.split(";"))
        w = new_wick("--devices", devices, "--opencl", "none", *args, **kw)
        made.append(Hold(w, path))
        return w, made[-1]

    yield make
    for h in made:
        h.end()


def holders(wick, n, *ids):
    """Until so many slots are held of these devices, by workers that run."""
    def held():
        w = json.loads(wick.run("top", "--json").stdout)["totals"]["workers"]
        return w["waiting"] + w["init"] == 0 and sum(used(wick).get(i, 0) for i in ids) == n

    return until(held, f"{n} slots of {ids} to be held")


# ---- what it sees ----

def test_what_a_function_sees(hold_on):
    w, _ = hold_on("gpu:mem=8000:model=Test Card:file=/dev/null")
    name = deploy(w, tags(slice="1/8", device_memory=700))
    env, _ = w.invoke(name)
    assert env["WICK_DEVICE"] == "gpu-0" and env["WICK_DEVICE_NAME"] == "Test Card" and env["WICK_SLICE"] == "1/8"
    assert env["WICK_DEVICE_MEMORY"] == "700" and env["WICK_SLICE_RUNG"] == "watched"
    assert devices(w)["gpu-0"]["slots_used"] == 1 and devices(w)["gpu-0"]["memory_promised_mb"] == 700
    assert devices(w)["cpu"]["slots_used"] == 0
    without, _ = w.invoke(deploy(w, {}))
    assert not [k for k in without if k.startswith(("CUDA", "NVIDIA", "WICK_DEVICE", "WICK_SLICE"))]
    share, _ = w.invoke(deploy(w, tags(slice="3/8")))
    assert share["WICK_DEVICE_MEMORY"] == "3000"
    whole, _ = w.invoke(deploy(w, tags("cpu", slice="2/8")))
    assert whole["WICK_DEVICE"] == "cpu" and whole["WICK_SLICE_RUNG"] == "none"


# ---- sharing a card ----

def test_the_ninth_waits_and_says_why(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    name = deploy(w, tags(slice="1/8", device_memory=900))
    calls = [hold.call(name) for _ in range(8)]
    holders(w, 8, "gpu-0")
    assert devices(w)["gpu-0"]["memory_promised_mb"] == 7200
    ninth = event_id(w, name)
    told = waits(w, ninth, "the largest free part of any is 0/8, 1/8 are asked for")
    out = w.run("why", ninth).stdout
    assert "No node that is fit for it has room" in out and f"wick place {name} --dry-run" in " ".join(out.split()), out
    assert told["workers"]["busy"] == 8
    # A whole one waits for all of them.
    large = event_id(w, deploy(w, tags()))
    waits(w, large, "no node has more than 0 whole devices free, 1 asked for")
    hold.go()
    assert len({c.result()[0]["WICK_WORKER_ID"] for c in calls}) == 8
    assert done(w, ninth)["reason"] == "ok"
    assert done(w, large)["reason"] == "ok"  # the eight idle ones were in the way, and went


def test_an_idle_slice_is_given_to_another(hold_on):
    w, _ = hold_on("gpu:2:mem=8000:file=/dev/null")
    a, b, c = (deploy(w, tags(slice="8/8")) for _ in range(3))
    assert w.invoke(a)[0]["WICK_DEVICE"] != w.invoke(b)[0]["WICK_DEVICE"]
    # The one that is idle the longest goes.
    first = w.invoke(c)[0]
    until(lambda: not any(top(w, a).get(s) for s in ("idle", "frozen", "ending")), "a's worker to be gone")
    assert top(w, b)["idle"] + top(w, b)["frozen"] == 1
    assert w.invoke(a)[0]["WICK_DEVICE"] != first["WICK_DEVICE"]


def test_nobody_is_ended_in_vain(hold_on):
    """Idle workers stay when their slices together with what is free are not what is asked for."""
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    busy, idle = deploy(w, tags(slice="2/8")), deploy(w, tags(slice="2/8"))
    call = hold.call(busy)
    holders(w, 2, "gpu-0")
    worker = w.invoke(idle)[0]["WICK_WORKER_ID"]
    whole = event_id(w, deploy(w, tags(slice="8/8")))
    waits(w, whole, "4/8")
    assert w.invoke(idle)[0]["WICK_WORKER_ID"] == worker
    # What fits beside the busy one is had for the idle one's place.
    assert w.invoke(deploy(w, tags(slice="6/8")))[0]["WICK_SLICE"] == "6/8"
    hold.go()
    call.result()
    assert done(w, whole)["reason"] == "ok"


def test_two_halves_and_then_none(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    name = deploy(w, tags(slice="1/2"))
    calls = [hold.call(name) for _ in range(2)]
    holders(w, 8, "gpu-0")
    third = event_id(w, name)
    waits(w, third, "0/8")
    hold.go()
    assert {c.result()[0]["WICK_SLICE"] for c in calls} == {"4/8"}
    done(w, third)


def test_several_whole_devices(hold_on):
    w, hold = hold_on("gpu:3:mem=8000:file=/dev/null")
    two = deploy(w, tags(slice=2))
    call = hold.call(two)
    holders(w, 16, "gpu-0", "gpu-1", "gpu-2")
    waiting = event_id(w, two)
    waits(w, waiting, "no node has more than 1 whole device free, 2 asked for")
    hold.go()
    env = call.result()[0]
    assert env["WICK_SLICE"] == "2" and len(set(env["WICK_DEVICE"].split(","))) == 2
    assert env["WICK_DEVICE_MEMORY"] == "16000" and env["WICK_SLICE_RUNG"] == "whole"
    done(w, waiting)


def test_more_whole_devices_than_sixteen(hold_on):
    w, _ = hold_on("fpga:20:file=/dev/null")
    assert len(w.invoke(deploy(w, tags("fpga", slice=20)))[0]["WICK_DEVICE"].split(",")) == 20


def test_a_fraction_never_spans_cards(hold_on):
    w, hold = hold_on()
    five = deploy(w, tags(slice="5/8"))
    calls = [hold.call(five) for _ in range(2)]
    holders(w, 10, "gpu-0", "gpu-1")
    assert used(w) == {"gpu-0": 5, "gpu-1": 5}
    third = event_id(w, five)
    waits(w, third, "the largest free part of any is 3/8, 5/8 are asked for")
    hold.go()
    assert {c.result()[0]["WICK_DEVICE"] for c in calls} == {"gpu-0", "gpu-1"}
    done(w, third)


def test_packing_and_spreading(hold_on):
    w, hold = hold_on("gpu:4:mem=8000:file=/dev/null")
    packed = deploy(w, tags(slice="2/8"))
    calls = []
    for n in range(1, 5):
        calls.append(hold.call(packed))
        holders(w, 2 * n, *("gpu-%d" % i for i in range(4)))
    assert sorted(used(w).values()) == [0, 0, 0, 8]
    spread = deploy(w, tags(slice="2/8", spread="on"))
    for n in range(1, 4):
        calls.append(hold.call(spread))
        holders(w, 8 + 2 * n, *("gpu-%d" % i for i in range(4)))
    assert sorted(used(w).values()) == [2, 2, 2, 8]
    hold.go()
    for c in calls:
        c.result()


def test_memory_is_accounted_for(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    greedy = deploy(w, tags(slice="1/8", device_memory=6000))
    call = hold.call(greedy)
    holders(w, 1, "gpu-0")
    second = event_id(w, greedy)
    waits(w, second, "the most memory that is free on any is 2000 MiB, 6000 MiB are asked for")
    share = event_id(w, deploy(w, tags(slice="4/8")))
    waits(w, share, "the memory of the share is not free, the most on any is 2000 MiB")
    assert w.invoke(deploy(w, tags(slice="1/8", device_memory=2000)))[0]["WICK_DEVICE_MEMORY"] == "2000"
    hold.go()
    call.result()
    done(w, second), done(w, share)


def test_more_than_there_is_is_refused(hold_on, tmp_path):
    w, _ = hold_on()
    client = w.client("lambda")
    for wish, says in [(tags(device_memory=9000), "wick:device-memory 9000 MiB: no gpu has more than 8000 MiB"),
                       (tags(slice=3), "no node has more than 2 gpu"), (tags(slice="9/8"), "wick:slice"),
                       ({"wick:place": "moon"}, "no node has the label moon"),
                       (tags(device_memory="much"), "wick:device-memory")]:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            deploy(w, wish)
        assert e.value.response["Error"]["Code"] == "InvalidParameterValueException" and says in str(e.value), e.value
    name = deploy(w, tags(slice="1/8"))
    arn = client.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    with pytest.raises(botocore.exceptions.ClientError, match="no gpu has more than 8000 MiB"):
        client.tag_resource(Resource=arn, Tags={"wick:device-memory": "9000"})
    assert client.list_tags(Resource=arn)["Tags"] == tags(slice="1/8")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text(APP)
    out = w.run("deploy", tmp_path / "code", "--name", "cli", "--tag", "wick:device=gpu", "--tag", "wick:slice=3")
    assert out.returncode != 0 and "no node has more than 2 gpu" in out.stderr, out.stderr + out.stdout
    # Of a kind that no node has, one may come.
    assert deploy(w, tags("npu"))


def test_the_next_kind_when_the_first_is_full(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    either, only = deploy(w, tags("gpu,cpu", slice="8/8")), deploy(w, tags(slice="8/8"))
    call = hold.call(only)
    holders(w, 8, "gpu-0")
    assert w.invoke(either)[0]["WICK_DEVICE"] == "cpu"
    hold.go()
    call.result()
    assert place(w, either)["candidates"][0]["verdict"] in ("no-slots", "fits")


def test_roles_share_a_card_with_the_setting_only(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null")
    mine, theirs = deploy(w, tags(slice="1/8")), "theirs"
    w.client("lambda").create_function(FunctionName=theirs, Role=ROLE + "2", Handler="app.handler", Runtime="python3.11",
                                       Code={"ZipFile": make_zip({"app.py": APP})}, Tags=tags(slice="1/8"), Timeout=60)
    call = hold.call(mine)
    holders(w, 1, "gpu-0")
    waiting = event_id(w, theirs)
    waits(w, waiting, "functions of another role have a part of it, and the node does not let roles share")
    assert w.invoke(deploy(w, tags(slice="1/8")))[0]["WICK_DEVICE"] == "gpu-0"  # of the same role
    hold.go()
    call.result()
    done(w, waiting)


def test_roles_may_share_a_card(hold_on):
    w, hold = hold_on("gpu:mem=8000:file=/dev/null", "--share-devices")
    mine = deploy(w, tags(slice="1/8"))
    w.client("lambda").create_function(FunctionName="theirs", Role=ROLE + "2", Handler="app.handler", Runtime="python3.11",
                                       Code={"ZipFile": make_zip({"app.py": APP})}, Tags=tags(slice="1/8"), Timeout=60)
    call = hold.call(mine)
    holders(w, 1, "gpu-0")
    assert w.invoke("theirs")[0]["WICK_DEVICE"] == "gpu-0"
    hold.go()
    call.result()


# ---- what people see ----

def test_dry_run_and_devices_for_people(hold_on):
    w, hold = hold_on("gpu:mem=8000:model=Test Card:file=/dev/null")
    plain, sliced = deploy(w, {}), deploy(w, tags("gpu,cpu", slice="3/8", device_memory=1000))
    me = local(w)["name"]
    out = w.run("place", plain, "--dry-run").stdout
    assert f"{plain} asks for: no device; it is reckoned with " in out and f"It would start on: {me}\n" in out, out
    assert re.search(rf"{me} +chosen +there is a place\.", out), out
    out = w.run("place", sliced, "--dry-run").stdout
    assert "3/8 of a gpu, else of a cpu, 1000 MB of its memory" in out, out
    assert f"{me}: Test Card (gpu-0) 3/8, 1000 MB, watched" in out, out
    call = hold.call(sliced)
    holders(w, 3, "gpu-0")
    row = next(r for r in w.run("nodes", "--devices").stdout.splitlines() if " gpu-0 " in r)
    assert re.search(r"gpu-0 +Test Card +gpu +8000 MB +- +1000 MB +3/8 +watched", row), row
    whole = deploy(w, tags())
    out = w.run("place", whole, "--dry-run").stdout
    assert "1 device of kind gpu" in out and "nowhere" in out and "no node has more than 0 whole devices free" in out, out
    hold.go()
    call.result()
    out = until(lambda: "idle worker" in (t := w.run("place", whole, "--dry-run").stdout) and t, "the place that could be made")
    assert f"It would start on: {me}, where an idle worker of {sliced} is ended for it" in out, out
    assert used(w)["gpu-0"] == 3  # nobody was
    assert w.invoke(whole)[0]["WICK_SLICE"] == "1"


def test_device_time_is_billed(hold_on):
    w, _ = hold_on("gpu:mem=8000:model=Test Card:file=/dev/null", "--price-slices", "Test Card=0.5")
    name, other = deploy(w, tags(slice="3/8")), deploy(w, {})
    for n in (name, name, other):
        w.invoke(n)
    log = until(lambda: (t := w.run("logs", name).stdout).count("REPORT") == 2 and t, "two reports")
    for report in re.findall("REPORT.*", log):
        assert "\tDevice: Test Card 3/8\t" in report, report
        billed = int(re.search(r"Billed Duration: (\d+) ms", report)[1])
        assert int(re.search(r"Device Time: (\d+) slice-ms", report)[1]) == 3 * billed
        assert float(re.search(r"Cost: ([0-9.]+) USD", report)[1]) >= 3 * billed * 0.5 / 1000
    assert "Device" not in w.run("logs", other).stdout

    def bill():
        lines = json.loads(w.run("bill", "--json").stdout)["functions"]
        return {line["function"]: line for line in lines if line["invocations"] >= (2 if line["function"] == name else 1)}

    lines = until(lambda: len(b := bill()) == 2 and b, "the bill")
    (device,) = lines[name]["devices"]
    assert device["device"] == "Test Card" and device["device_slice_ms"] == 3 * lines[name]["billed_ms"]
    assert not lines[other]["devices"] and lines[other]["device_slice_ms"] == 0
    table = w.run("bill").stdout
    assert "Test Card" in table, table
    rows = json.loads(w.run("bill", "--invocations", "--json").stdout)["invocations"]
    mine = [r for r in rows if r["function"] == name]
    assert len(mine) == 2 and all(r["device"] == "Test Card" and r["slots"] == 3 and r["rung"] == "watched" for r in mine)
