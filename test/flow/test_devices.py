"""Devices of a node: found by wick-devices, told to the gate, and slices of them in the boxes of workers. A stand-in
for NVIDIA's library (standin/nvml.c) is the driver; its cards are what a file says.
Needs: the built programs; PoCL for the OpenCL tests."""

import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

import lane
from conftest import until
from test_node import Node, ready

DEVICES = 43  # link/messages.h
PROGRAM = lane.BUILD / "src/node/wick-devices"
NVML = lane.BUILD / "test/flow/standin/libnvidia-ml.so.1"
CARD = ("card={0} uuid=GPU-{0} name=NVIDIA_H200 pci={1} minor={0} total=143771 used=10 util=5 temp=40 power=120 major=9 "
        "lesser=0 mig=0")
INSTANCE = "instance={0} uuid=MIG-{0}-{1} name=NVIDIA_H200_MIG_1g.18gb memory=18000 gi={1} ci=0"
SEES = """
import os
def handler(event, context):
    return {'env': dict(os.environ), 'dev': sorted(os.listdir('/dev')),
            'open': {path: attempt(path) for path in event or []}}
def attempt(path):
    try:
        os.close(os.open(path, os.O_RDWR))
        return 'open'
    except OSError as e:
        return e.strerror
"""


@pytest.fixture
def tmp_path():
    """Not pytest's, which is closed: the user of the boxes walks through it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wick-devices-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def machine(folder, *cards):
    """A machine of its own below a folder: NVIDIA's cards by the stand-in, an empty bus, device files that are none."""
    state = folder / "nvml"
    state.write_text("\n".join(["driver=550.54", *cards]) + "\n")
    for sub in ("sys/bus/pci/devices", "dev", "proc"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    (folder / "proc/cpuinfo").write_text("processor : 0\nmodel name : Test CPU\n")
    return {"WICK_NVML": str(NVML), "WICK_STANDIN_NVML": str(state), "WICK_OPENCL": "none", "WICK_MPS_CONTROL": "none",
            "WICK_SYSFS": str(folder / "sys"), "WICK_DEV": str(folder / "dev"), "WICK_PROC": str(folder / "proc"),
            "WICK_PCI_IDS": str(folder / "pci.ids")}


def write(folder, *lines):
    """The state at once: a reader never sees half of it."""
    new = folder / "nvml.new"
    new.write_text("\n".join(["driver=550.54", *lines]) + "\n")
    new.rename(folder / "nvml")


def look(env, *args):
    r = subprocess.run([PROGRAM, *args], env={**os.environ, **env}, capture_output=True, timeout=60)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def by_id(document):
    return {d["id"]: d for d in document["devices"]}


def pci_device(folder, address, cls, vendor, device, driver=None, render=None):
    at = folder / "sys/devices/pci0000:00" / address
    at.mkdir(parents=True)
    (at / "class").write_text(cls + "\n")
    (at / "vendor").write_text(vendor + "\n")
    (at / "device").write_text(device + "\n")
    if driver:
        (folder / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (at / "driver").symlink_to(folder / "sys/bus/pci/drivers" / driver)
    if render:
        (at / "drm" / render).mkdir(parents=True)
        (at / "drm" / render / "dev").write_text("226:128\n")
        (folder / "sys/dev/char").mkdir(parents=True, exist_ok=True)
        (folder / "sys/dev/char/226:128").symlink_to(at / "drm" / render)
    (folder / "sys/bus/pci/devices" / address).symlink_to(at)
    return at


# ---- wick-devices ----

def test_nvidia_cards(tmp_path):
    env = machine(tmp_path, CARD.format(0, 1), CARD.format(1, 2).replace("mig=0", "mig=1"), INSTANCE.format(1, 3),
                  "process=0 pid=4711 memory=512")
    caps = tmp_path / "proc/driver/nvidia/capabilities/gpu1/mig/gi3"
    (caps / "ci0").mkdir(parents=True)
    (caps / "access").write_text("DeviceFileMinor: 30\nDeviceFileMode: 292\n")
    (caps / "ci0/access").write_text("DeviceFileMinor: 31\n")
    found = by_id(look(env))
    card = found["GPU-0"]
    assert card["kind"] == "gpu" and card["model"] == "NVIDIA H200" and card["source"] == "nvml"
    assert card["memory_mb"] == 143771 and card["memory_used_mb"] == 10 and card["pci"] == "0000:01:00.0"
    assert card["driver"] == "550.54" and card["capability"] == "9.0" and card["processes"] == 1
    assert (card["utilisation_percent"], card["temperature_c"], card["power_w"]) == (5, 40, 120)
    assert card["files"][0] == str(tmp_path / "dev/nvidia0") and str(tmp_path / "dev/nvidiactl") in card["files"]
    # Not below /usr, so it has to be brought into a box.
    assert str(NVML) in card["libraries"] and not any("standin/libnvidia-ml.so.1.p" in x for x in card["libraries"])
    assert "mps" not in card and "mig_mode" not in card
    mig = found["GPU-1"]["mig"]
    assert mig == [{"uuid": "MIG-1-3", "profile": "1g.18gb", "slots": 1, "memory_mb": 18000,
                    "files": [str(tmp_path / "dev/nvidia-caps/nvidia-cap30"),
                              str(tmp_path / "dev/nvidia-caps/nvidia-cap31")]}]
    assert look(env)["processes"] == [{"pid": 4711, "device": "GPU-0", "memory_mb": 512}]
    assert found["cpu"]["kind"] == "cpu" and found["cpu"]["memory_mb"] > 0


def test_mps_is_told_where_its_daemon_is_installed(tmp_path):
    env = machine(tmp_path, CARD.format(0, 1), CARD.format(1, 2).replace("mig=0", "mig=1"),
                  CARD.format(2, 3).replace("major=9", "major=6"))
    env["WICK_MPS_CONTROL"] = "/bin/true"
    found = by_id(look(env))
    assert found["GPU-0"]["mps"] and "mps" not in found["GPU-1"] and "mps" not in found["GPU-2"]


@pytest.mark.parametrize("state, says", [("init=9", "the driver is not loaded"), ("init=18", "different versions"),
                                         ("init=999", "Stand-in error")])
def test_a_driver_that_does_not_work(tmp_path, state, says):
    document = look(machine(tmp_path, state))
    assert says in document["facts"]["nvml"] and list(by_id(document)) == ["cpu"]
    assert document["watched"] is False


def test_no_driver_at_all(tmp_path):
    env = {**machine(tmp_path), "WICK_NVML": "libnvidia-ml-not-here.so.1", "WICK_OPENCL": "libOpenCL-not-here.so"}
    facts = look(env)["facts"]
    assert "is not installed" in facts["nvml"] and "no OpenCL loader" in facts["opencl"]


def test_a_lost_card_is_in_trouble(tmp_path):
    found = by_id(look(machine(tmp_path, CARD.format(0, 1), CARD.format(1, 2) + " lost=1")))
    assert "trouble" not in found["GPU-0"]
    assert found["nvidia-1"]["trouble"] == "it fell off the bus" and found["nvidia-1"]["lost"]


def test_a_card_that_needs_a_reset_is_in_trouble(tmp_path):
    found = by_id(look(machine(tmp_path, CARD.format(0, 1), CARD.format(1, 2) + " fails=16", CARD.format(2, 3) + " fails=3",
                               CARD.format(3, 4) + " fails=4")))
    assert found["GPU-1"]["trouble"] == "its driver says: Stand-in error" and "lost" not in found["GPU-1"]
    # No memory of its own (3), or none that the unprivileged are told (4): a card like any other.
    assert all("trouble" not in found[i] and not found[i].get("memory_mb") for i in ("GPU-2", "GPU-3"))


def test_all_processes_are_told_however_many(tmp_path):
    lines = ["process=0 pid=%d memory=1" % (i + 2) for i in range(600)]
    env = machine(tmp_path, CARD.format(0, 1), "process=0 pid=1", *lines)
    document = look(env)
    assert by_id(document)["GPU-0"]["processes"] == 601
    assert [o["pid"] for o in document["processes"]] == list(range(1, 602))
    # Its memory is not available.
    assert "memory_mb" not in document["processes"][0] and document["processes"][600]["memory_mb"] == 1


def test_the_pci_bus(tmp_path):
    env = machine(tmp_path, CARD.format(0, 1))
    pci_device(tmp_path, "0000:01:00.0", "0x030200", "0x10de", "0x2335", "nvidia")  # NVML knows it
    pci_device(tmp_path, "0000:02:00.0", "0x030000", "0x1002", "0x744c", "amdgpu", "renderD128")
    pci_device(tmp_path, "0000:03:00.0", "0x030000", "0x1a03", "0x2000", "ast")  # shows pictures, computes nothing
    pci_device(tmp_path, "0000:04:00.0", "0x120000", "0x1e52", "0x401e")
    pci_device(tmp_path, "0000:05:00.0", "0x020000", "0x8086", "0x1533", "igb")
    pci_device(tmp_path, "0000:06:00.0", "0x030200", "0x10de", "0x2335", "nouveau")
    (tmp_path / "sys/bus/pci/devices/0000:02:00.0/mem_info_vram_total").write_text(str(24 << 30))
    (tmp_path / "pci.ids").write_text("# names\n1002  Advanced Micro Devices, Inc.\n\t744c  Navi 31\n"
                                      "\t\t1002 0e3b  RX 7900\n1e52  Tenstorrent Inc\n")
    document = look(env)
    found = by_id(document)
    assert set(found) == {"GPU-0", "pci-0000:02:00.0", "pci-0000:04:00.0", "pci-0000:06:00.0", "cpu"}
    amd = found["pci-0000:02:00.0"]
    assert amd["model"] == "Advanced Micro Devices, Inc. Navi 31" and amd["memory_mb"] == 24 << 10
    assert str(tmp_path / "dev/dri/renderD128") in amd["files"] and str(tmp_path / "dev/kfd") in amd["files"]
    assert str(tmp_path / "sys/dev/char/226:128") in amd["libraries"] and "trouble" not in amd
    assert found["pci-0000:04:00.0"]["kind"] == "accelerator"
    assert found["pci-0000:04:00.0"]["model"] == "Tenstorrent Inc 401e"
    assert found["pci-0000:04:00.0"]["trouble"] == "no driver is loaded for it"
    assert "nouveau" in found["pci-0000:06:00.0"]["trouble"]
    assert found["pci-0000:06:00.0"]["model"] == "10de:2335"
    assert document["facts"]["displays_only"] == ["0000:03:00.0"]


def has_pocl():
    return any(pathlib.Path("/etc/OpenCL/vendors").glob("pocl*.icd"))


@pytest.mark.skipif(not has_pocl(), reason="needs PoCL (pocl-opencl-icd)")
def test_opencl(tmp_path):
    document = look({**machine(tmp_path), "WICK_OPENCL": ""})
    assert document["facts"]["opencl"] == "ok" and document["facts"]["opencl_platforms"]
    pocl = by_id(document)["opencl-0-0"]
    assert pocl["kind"] == "accelerator" and pocl["memory_mb"] > 0 and pocl["host_memory"] and pocl["driver"]


def test_watching_tells_what_changes(tmp_path):
    env = machine(tmp_path, CARD.format(0, 1))
    p = subprocess.Popen([PROGRAM, "--watch"], env={**os.environ, **env}, stdout=subprocess.PIPE)
    try:
        first = json.loads(p.stdout.readline())
        assert first["watched"] and by_id(first)["GPU-0"]["memory_used_mb"] == 10
        write(tmp_path, CARD.format(0, 1).replace("used=10", "used=99"))
        while by_id(json.loads(p.stdout.readline()))["GPU-0"]["memory_used_mb"] != 99:
            pass
        p.stdout.close()
        assert p.wait(timeout=60) == 0  # nobody listens any more
    finally:
        p.kill()
        p.wait()


# ---- the command ----

def wick(env, *args):
    return subprocess.run([lane.BUILD / "wick", *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=60)


def test_wick_devices(tmp_path):
    env = machine(tmp_path, CARD.format(0, 1), CARD.format(1, 2).replace("mig=0", "mig=1"), INSTANCE.format(1, 1))
    env["WICK_DEVICES"] = "fpga:mem=100"
    table = wick(env, "devices")
    assert table.returncode == 0, table.stderr
    rows = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert set(rows) == {"DEVICE", "GPU-0", "GPU-1", "fpga-0", "cpu"}
    assert "NVIDIA H200" in rows["GPU-0"] and "watched" in rows["GPU-0"] and "120 W" in rows["GPU-0"]
    assert "MIG 1g.18gb" in rows["GPU-1"] and " mig " in rows["GPU-1"] and "100.0 MiB" in rows["fpga-0"]
    r = wick(env, "devices", "--json")
    assert {d["id"] for d in json.loads(r.stdout)} == {"GPU-0", "GPU-1", "fpga-0", "cpu"}
    assert "mps" in wick({**env, "WICK_MPS_CONTROL": "/bin/true"}, "devices").stdout
    assert wick(env, "devices", "x").returncode == 2
    bad = wick({**env, "WICK_DEVICES": "fpga:x"}, "devices")
    assert bad.returncode == 1 and "not NAME=value" in bad.stderr


def test_wick_devices_with_a_driver_that_crashes(tmp_path):
    r = wick(machine(tmp_path, CARD.format(0, 1), "crash=count"), "devices")
    assert r.returncode == 1 and "crashed, or did not answer within 10 s" in r.stderr


def checks(env):
    said = {}
    for c in json.loads(wick(env, "doctor", "--json").stdout):
        said.setdefault(c["check"], []).append(c)
    return said


def test_wick_doctor_on_devices(tmp_path):
    env = {**machine(tmp_path, CARD.format(0, 1)), "WICK_DATA": str(tmp_path / "data")}
    said = checks(env)
    assert "nvidia0 is missing" in said["device file"][0]["seen"] and "nvidia-modprobe" in said["device file"][0]["mend"]
    assert said["mps"][0]["verdict"] == "warn" and "only watched" in said["mps"][0]["seen"]
    nvidia_files(tmp_path)
    said = checks({**env, "WICK_MPS_CONTROL": "/bin/true"})
    assert "device file" not in said and said["mps"][0]["verdict"] == said["nvidia"][0]["verdict"] == "ok"
    write(tmp_path, "init=18")
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("x")
    pci_device(tmp_path, "0000:02:00.0", "0x030000", "0x1002", "0x744c", None, "renderD128")
    said = checks({**env, "WICK_OPENCL": "libOpenCL-not-here.so"})
    assert "different versions" in said["nvidia"][0]["seen"] and "libnvidia-ml1" in said["nvidia"][0]["mend"]
    assert "no driver is loaded" in said["device"][0]["seen"]
    assert said["opencl"][0]["verdict"] == "warn" and "ICD" in said["opencl"][0]["mend"]


# ---- the node ----

class Machine:
    """A node on such a machine, and a gate that hears of its devices."""

    def __init__(self, folder, *cards, **env):
        self.folder = folder
        self.node = Node(folder, **{**machine(folder, *cards), **env,
                                    "WICK_LIBEXEC": "%s:%s" % (lane.BUILD / "src/runtime", lane.BUILD / "src/node")})
        self.gate = self.node.gate()
        self.devices = by_id(self.gate.hello)

    def until(self, condition, what):
        """Reads messages until the devices are so."""
        for frame in [f for f in self.gate.waiting if f.kind == DEVICES]:
            self.gate.waiting.remove(frame)
            self.devices = by_id(frame.json)
        end = time.monotonic() + 30
        while not condition(self.devices):
            assert time.monotonic() < end, (what, self.devices)
            frame = self.gate.receive(30)
            if frame.kind == DEVICES:
                self.devices = by_id(frame.json)
            elif frame.kind != lane.STATUS:
                self.gate.waiting.append(frame)
        return self.devices

    def found(self, *ids):
        return self.until(lambda d: all(i in d for i in ids), "%s are found" % (ids,))

    def order(self, slices, files=None, **function):
        """START with slices; the worker's id."""
        send = self.gate.send

        def with_slices(kind, ident, body=None, fds=()):
            if kind == lane.START:
                body = {**body, "slices": slices}
            send(kind, ident, body, fds)

        self.gate.send = with_slices
        try:
            return self.gate.order(files or {"app.py": SEES}, **function)
        finally:
            self.gate.send = send

    def worker(self, slices, files=None, **function):
        w = self.gate.started(self.order(slices, files, **function))
        assert ready(w)
        return w

    def refused(self, slices, **function):
        return self.gate.expect(lane.FAILED, self.order(slices, **function)).json

    def probes(self):
        pids = []
        for task in pathlib.Path("/proc/%d/task" % self.node.process.pid).glob("*/children"):
            pids += [int(p) for p in task.read_text().split()]
        return [p for p in pids if (pathlib.Path("/proc/%d/comm" % p).read_text().strip() == "wick-devices")]


@pytest.fixture
def on(tmp_path):
    made = []

    def make(*cards, **env):
        made.append(Machine(tmp_path, *cards, **env))
        return made[-1]

    yield make
    for m in made:
        m.node.stop()


def test_hello_tells_devices_labels_and_cost(on):
    m = on(WICK_DEVICES="fpga:2:mem=4096:file=/dev/null", WICK_NODE_COST="1.25", WICK_NODE_LABELS="lab, fast,",
           WICK_SHARE_DEVICES="yes")
    assert {"cpu", "fpga-0", "fpga-1"} <= set(m.devices) and m.devices["fpga-0"]["memory_mb"] == 4096
    assert m.gate.hello["cost"] == "1.25" and m.gate.hello["labels"] == ["lab", "fast"]
    assert m.gate.hello["share_roles"] is True


def test_found_devices_are_told(on):
    m = on(CARD.format(0, 1))
    assert m.found("GPU-0")["GPU-0"]["model"] == "NVIDIA H200"


def test_declared_ones_take_the_place_of_found_ones(on, tmp_path):
    m = on(CARD.format(0, 1), WICK_DEVICES="gpu:model=Mine:file=/dev/null")
    m.until(lambda d: d["cpu"].get("model") != "CPU", "the look is over")
    assert set(m.devices) == {"gpu-0", "cpu"} and m.devices["gpu-0"]["model"] == "Mine"


def test_devices_declared_in_a_file(on, tmp_path):
    (tmp_path / "devices.yaml").write_text("devices:\n  - kind: tpu\n    count: 2\n    files: [/dev/null]\n"
                                           "    env: ['N=%']\n")
    m = on(WICK_DEVICES="@%s" % (tmp_path / "devices.yaml"))
    assert m.devices["tpu-1"]["env"] == ["N=1"]


@pytest.mark.parametrize("value, says", [("fpga:x", "not NAME=value"), ("@/nonexistent", "/nonexistent"),
                                         ("fpga:file=dev", "no absolute path")])
def test_wrong_declarations_stop_the_node(tmp_path, value, says):
    r = subprocess.run([lane.BUILD / "src/node/wick-node", "--data", tmp_path, "--socket", tmp_path / "s", "--devices",
                        value], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and says in r.stderr and "wick-node: devices" in r.stderr


@pytest.mark.waits
def test_a_hung_driver(on):
    m = on(CARD.format(0, 1))
    m.found("GPU-0")
    probe, = m.probes()
    write(m.folder, CARD.format(0, 1), "hang=memory")
    m.until(lambda d: d["GPU-0"].get("trouble") == "the driver did not answer within 5 s", "the hang is told")
    until(lambda: not pathlib.Path("/proc/%d" % probe).exists(), "the hung program is ended")
    assert m.refused([{"device": "GPU-0", "slots": 1}])["error"].endswith("the driver did not answer within 5 s")
    assert m.gate.worker().invoke(1).json == 1  # nobody else waits for it
    write(m.folder, CARD.format(0, 1))
    m.until(lambda d: "trouble" not in d["GPU-0"], "it works again")


def test_a_crashing_driver(on):
    m = on(CARD.format(0, 1))
    m.found("GPU-0")
    write(m.folder, CARD.format(0, 1), "crash=count")
    m.until(lambda d: d["GPU-0"].get("trouble") == "its driver crashed", "the crash is told")
    assert m.devices["GPU-0"]["memory_mb"] == 143771
    write(m.folder, CARD.format(0, 1))
    m.until(lambda d: "trouble" not in d["GPU-0"], "it works again")


def test_a_driver_that_never_worked_leaves_the_bus(on, tmp_path):
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    pci_device(tmp_path, "0000:01:00.0", "0x030200", "0x10de", "0x2335", "nvidia")
    m = on(CARD.format(0, 1), "crash=init")
    m.found("pci-0000:01:00.0")
    assert "its driver does not answer" in m.devices["pci-0000:01:00.0"]["trouble"]
    write(tmp_path, CARD.format(0, 1))
    m.until(lambda d: "GPU-0" in d and "pci-0000:01:00.0" not in d, "the driver works, and the card is there once")


def test_cards_come_and_go(on):
    m = on(CARD.format(0, 1), CARD.format(1, 2))
    m.found("GPU-0", "GPU-1")
    write(m.folder, CARD.format(0, 1))
    m.until(lambda d: "it is gone" in d["GPU-1"].get("trouble", ""), "it is gone")
    write(m.folder, CARD.format(0, 1), CARD.format(1, 2))
    m.until(lambda d: "trouble" not in d["GPU-1"], "it is back")
    write(m.folder, CARD.format(0, 1), CARD.format(1, 2) + " lost=1")
    m.until(lambda d: d["GPU-1"].get("trouble") == "it fell off the bus", "it is lost")
    write(m.folder, CARD.format(0, 1))
    m.until(lambda d: d["GPU-1"]["lost"], "it stays lost")


# ---- slices ----

def test_a_worker_without_a_slice_sees_no_device(on):
    m = on(CARD.format(0, 1), WICK_DEVICES="fpga:file=/dev/tty:file=/dev/ptmx")
    m.found("GPU-0")
    with_slice = m.worker([{"device": "fpga-0", "slots": 8}]).invoke(["/dev/ptmx"]).json
    assert "tty" in with_slice["dev"]
    r = m.gate.worker({"app.py": SEES}).invoke(["/dev/nvidia0", "/dev/dri", "/dev/tty"]).json
    assert set(r["open"].values()) == {"No such file or directory"}
    assert r["dev"] == ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]
    assert not [k for k in r["env"] if k.startswith(("CUDA", "NVIDIA", "WICK_DEVICE", "WICK_SLICE"))]


def test_what_a_declared_device_brings(on, tmp_path):
    lib = tmp_path / "xrt"
    lib.mkdir()
    (lib / "libxrt.so").write_text("x")
    m = on(WICK_DEVICES="fpga:mem=4096:model=U250:file=/dev/tty:lib=%s:env=XRT=%s:env=HOME_OF=x" % (lib, lib))
    w = m.worker([{"device": "fpga-0", "slots": 2, "memory_mb": 1024}])
    r = w.invoke(["/dev/tty", str(lib / "libxrt.so")]).json
    env = r["env"]
    assert env["XRT"] == str(lib) and env["WICK_DEVICE"] == "fpga-0" and env["WICK_DEVICE_NAME"] == "U250"
    assert env["WICK_DEVICE_KIND"] == "fpga" and env["WICK_SLICE"] == "2/8" and env["WICK_DEVICE_MEMORY"] == "1024"
    assert env["WICK_SLICE_RUNG"] == "watched" and "CUDA_VISIBLE_DEVICES" not in env
    assert r["open"]["/dev/tty"] != "Permission denied"  # there is no terminal to open it with
    assert r["open"][str(lib / "libxrt.so")] in ("Read-only file system", "Permission denied")
    whole = m.refused([{"device": "fpga-0", "slots": 8}])
    assert whole["type"] == "Device.Unavailable" and "6 of 8 slots free" in whole["error"]
    w.sock.close()
    m.gate.exited(w)
    assert m.worker([{"device": "fpga-0", "slots": 8}]).invoke([]).json["env"]["WICK_SLICE"] == "1"


@pytest.mark.parametrize("slices, says", [
    ([{"device": "gone", "slots": 1}], "no device gone"),
    ([{"slots": 1}], "device is missing"),
    ([{"device": "fpga-0"}], "slots is missing"),
    ([{"device": "fpga-0", "slots": 9}], "slots is 9"),
    ([{"device": "fpga-0", "slots": 1, "memory_mb": 5000}], "4096 of 4096 MiB free, not 5000"),
    ([{"device": "fpga-0", "slots": 1}, {"device": "fpga-0", "slots": 1}], "twice"),
    ([{"device": "fpga-0", "slots": 1, "mig": "MIG-1"}], "no MIG instance MIG-1"),
    ([{"device": "missing-0", "slots": 1}], "/dev/not-here is missing"),
    ({"device": "fpga-0"}, "not an array"),
    (["fpga-0"], "no object"),
    ([{"device": "fpga-0", "slots": 1, "memory_mb": -1}], "memory_mb is -1"),
])
def test_what_cannot_be_given(on, slices, says):
    m = on(WICK_DEVICES="fpga:mem=4096:file=/dev/null;missing:file=/dev/not-here")
    r = m.refused(slices)
    assert r["type"] == "Device.Unavailable" and says in r["error"], r
    # Nothing of it is held.
    assert m.worker([{"device": "fpga-0", "slots": 8, "memory_mb": 4096}]).invoke([]).json


def test_several_whole_devices(on):
    m = on(WICK_DEVICES="fpga:2:mem=100:file=/dev/null")
    env = m.worker([{"device": "fpga-0", "slots": 8}, {"device": "fpga-1", "slots": 8}]).invoke([]).json["env"]
    assert env["WICK_DEVICE"] == "fpga-0,fpga-1" and env["WICK_SLICE"] == "2" and env["WICK_SLICE_RUNG"] == "whole"
    assert env["WICK_DEVICE_MEMORY"] == "200"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_roots_node_opens_a_closed_device_file_for_the_box_alone(on):
    path = next((p for p in map(pathlib.Path, ["/dev/btrfs-control", "/dev/fuse"])
                 if p.exists() and stat.S_IMODE(p.stat().st_mode) & 0o006 == 0), None)
    if not path:
        pytest.skip("no closed device file here")
    mode = path.stat()
    m = on(WICK_DEVICES="fpga:file=%s" % path)
    r = m.worker([{"device": "fpga-0", "slots": 1}]).invoke([str(path)]).json
    assert r["open"][str(path)] == "open"
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (mode.st_mode, mode.st_uid, mode.st_gid)
    assert not list(pathlib.Path("/run/wick/dev").glob("*"))  # only the node sees it


def test_nodejs_with_a_slice(on):
    if not shutil.which("node"):
        pytest.skip("no Node.js")
    m = on(WICK_DEVICES="fpga:file=/dev/tty")
    code = "exports.handler = async () => ({env: process.env, dev: require('fs').existsSync('/dev/tty')})"
    for slices, there in ((None, False), ([{"device": "fpga-0", "slots": 1}], True), (None, False)):
        w = m.worker(slices, {"index.js": code}, runtime="nodejs20.x", handler="index.handler")
        r = w.invoke({}).json
        assert r["dev"] is there and ("WICK_DEVICE" in r["env"]) is there


def nvidia_files(folder, n=1):
    """What NVIDIA's driver would have under /dev: files that anyone may open."""
    for name in ["nvidiactl", "nvidia-uvm", *("nvidia%d" % i for i in range(n))]:
        p = folder / "dev" / name
        p.parent.mkdir(exist_ok=True)
        p.write_text("")
        p.chmod(0o666)


def test_a_whole_nvidia_card(on, tmp_path):
    nvidia_files(tmp_path)
    m = on(CARD.format(0, 1))
    m.found("GPU-0")
    files = [str(tmp_path / "dev" / name) for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia1")]
    r = m.worker([{"device": "GPU-0", "slots": 8}]).invoke(files).json
    assert [r["open"][f] for f in files] == ["open"] * 3 + ["No such file or directory"]
    assert r["env"]["CUDA_VISIBLE_DEVICES"] == r["env"]["NVIDIA_VISIBLE_DEVICES"] == "GPU-0"
    assert r["env"]["WICK_SLICE_RUNG"] == "whole" and r["env"]["WICK_DEVICE_MEMORY"] == "143771"


def test_a_mig_instance_and_its_end(on, tmp_path):
    nvidia_files(tmp_path)
    card = CARD.format(0, 1).replace("mig=0", "mig=1")
    m = on(card, INSTANCE.format(0, 1), INSTANCE.format(0, 2))
    m.found("GPU-0")
    assert "partitioned" in m.refused([{"device": "GPU-0", "slots": 1}])["error"]
    one = m.worker([{"device": "GPU-0", "slots": 1, "memory_mb": 18000, "mig": "MIG-0-1"}])
    two = m.worker([{"device": "GPU-0", "slots": 1, "memory_mb": 18000, "mig": "MIG-0-2"}])
    env = one.invoke([]).json["env"]
    assert env["CUDA_VISIBLE_DEVICES"] == "MIG-0-1" and env["WICK_SLICE_RUNG"] == "mig"
    assert "0 of 1 slots free" in m.refused([{"device": "GPU-0", "slots": 1, "mig": "MIG-0-1"}])["error"]
    write(tmp_path, card, INSTANCE.format(0, 2))
    e = m.gate.exited(one)
    assert e["device_type"] == "Device.Gone" and "MIG-0-1 is gone" in e["device_error"] and not e["device_oom"]
    assert two.invoke([]).json["env"]["CUDA_VISIBLE_DEVICES"] == "MIG-0-2"


def test_workers_of_a_lost_card_end(on, tmp_path):
    nvidia_files(tmp_path, 2)
    m = on(CARD.format(0, 1), CARD.format(1, 2))
    m.found("GPU-0", "GPU-1")
    lost, other = (m.worker([{"device": "GPU-%d" % i, "slots": 8}]) for i in (0, 1))
    write(tmp_path, CARD.format(0, 1) + " lost=1", CARD.format(1, 2))
    assert m.gate.exited(lost)["device_type"] == "Device.Gone"
    assert other.invoke([]).json["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "fell off the bus" in m.refused([{"device": "GPU-0", "slots": 1}])["error"]


OPENCL = '''
import ctypes, os, struct
SOURCE = b"kernel void add(global const int *a, global int *b) { size_t i = get_global_id(0); b[i] += a[i] * 3; }"
def handler(event, context):
    cl = ctypes.CDLL("libOpenCL.so.1")
    p, n = ctypes.c_void_p, ctypes.c_size_t
    for name in ("clCreateContext", "clCreateCommandQueue", "clCreateProgramWithSource", "clCreateKernel", "clCreateBuffer"):
        getattr(cl, name).restype = p
    platform, device, error = p(), p(), ctypes.c_int()
    assert cl.clGetPlatformIDs(1, ctypes.byref(platform), None) == 0
    assert cl.clGetDeviceIDs(platform, ctypes.c_uint64(0xFFFFFFFF), 1, ctypes.byref(device), None) == 0
    context = p(cl.clCreateContext(None, 1, ctypes.byref(device), None, None, ctypes.byref(error)))
    assert error.value == 0, error
    queue = p(cl.clCreateCommandQueue(context, device, ctypes.c_uint64(0), ctypes.byref(error)))
    source = ctypes.c_char_p(SOURCE)
    program = p(cl.clCreateProgramWithSource(context, 1, ctypes.byref(source), None, ctypes.byref(error)))
    r = cl.clBuildProgram(program, 1, ctypes.byref(device), None, None, None)
    assert r == 0, r
    kernel = p(cl.clCreateKernel(program, b"add", ctypes.byref(error)))
    assert error.value == 0, error
    size = 1000
    data = (ctypes.c_int * size)(*range(size))
    a = p(cl.clCreateBuffer(context, ctypes.c_uint64(1 | 32), n(4 * size), data, ctypes.byref(error)))
    b = p(cl.clCreateBuffer(context, ctypes.c_uint64(1 | 32), n(4 * size), data, ctypes.byref(error)))
    for i, x in enumerate((a, b)):
        assert cl.clSetKernelArg(kernel, i, n(8), ctypes.byref(x)) == 0
    assert cl.clEnqueueNDRangeKernel(queue, kernel, 1, None, ctypes.byref(n(size)), None, 0, None, None) == 0
    out = (ctypes.c_int * size)()
    assert cl.clEnqueueReadBuffer(queue, b, 1, n(0), n(4 * size), out, 0, None, None) == 0
    return {"sum": sum(out), "cache": os.listdir(os.environ["POCL_CACHE_DIR"]), "env": dict(os.environ)}
'''


@pytest.mark.skipif(not has_pocl(), reason="needs PoCL (pocl-opencl-icd)")
def test_opencl_runs_in_a_box(on, tmp_path):
    m = on(WICK_OPENCL="", WICK_SYSFS="/sys")
    m.found("opencl-0-0")
    w = m.worker([{"device": "opencl-0-0", "slots": 4, "memory_mb": 256}], {"app.py": OPENCL}, memory_mb=1024, timeout_s=60)
    r = w.invoke({}).json
    assert r["sum"] == sum(4 * i for i in range(1000)) and r["cache"], r
    assert r["env"]["WICK_SLICE_RUNG"] == "none" and r["env"]["WICK_DEVICE"] == "opencl-0-0"


FORKS = """
import subprocess
def handler(event, context):
    subprocess.Popen(['sleep', '1000'])
    return 1
"""


def test_over_its_memory_one_worker_is_ended_alone(on, tmp_path):
    nvidia_files(tmp_path)
    m = on(CARD.format(0, 1))
    m.found("GPU-0")
    greedy = m.worker([{"device": "GPU-0", "slots": 2, "memory_mb": 1000}], {"app.py": FORKS})
    modest = m.worker([{"device": "GPU-0", "slots": 2, "memory_mb": 1000}])
    greedy.invoke({})
    child = next(int(p) for p in os.listdir("/proc") if p.isdigit() and below(int(p), greedy.pid))
    # Its own and those of what it started count together; the other's limit is as it was.
    write(tmp_path, CARD.format(0, 1), "process=0 pid=%d memory=600" % greedy.pid, "process=0 pid=%d memory=600" % child,
          "process=0 pid=%d memory=1000" % modest.pid, "process=0 pid=1 memory=100000")
    e = m.gate.exited(greedy)
    assert e["device_oom"] is True and e["device_type"] == "OutOfDeviceMemory" and e["signal"] == signal.SIGKILL
    assert "1200 MiB" in e["device_error"] and "1000" in e["device_error"]
    assert modest.invoke([]).json["env"]["WICK_SLICE_RUNG"] == "watched"


def below(pid, parent):
    try:
        return int(pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[1]) == parent
    except OSError:
        return False


# ---- MPS ----

DAEMON = """#!/usr/bin/python3
# A stand-in for nvidia-cuda-mps-control: shows what it was started with, and that it is there by its socket.
import json, os, signal, socket, sys
pipe, log = os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]
if os.path.exists(%(fail)r):
    sys.exit(3)
with open("/dev/shm/mark", "w") as f:
    f.write("shared")
os.chmod("/dev/shm/mark", 0o666)
with open(%(said)r, "a") as f:
    f.write(json.dumps({"pid": os.getpid(), "argv": sys.argv[1:], "env": dict(os.environ)}) + "\\n")
s = socket.socket(socket.AF_UNIX)
s.bind(pipe + "/control")
os.chmod(pipe + "/control", 0o666)
s.listen()
while True:
    signal.pause()
"""
MPS_SEES = """
import os, socket
def handler(event, context):
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ['CUDA_MPS_PIPE_DIRECTORY'] + '/control')
    with open('/dev/shm/mark') as f:
        mark = f.read()
    return {'env': dict(os.environ), 'mark': mark}
"""


class Mps:
    def __init__(self, folder):
        self.fail, self.said = folder / "mps-fails", folder / "mps-said"
        self.program = folder / "nvidia-cuda-mps-control"
        self.program.write_text(DAEMON % {"fail": str(self.fail), "said": str(self.said)})
        self.program.chmod(0o755)

    @property
    def starts(self):
        return [json.loads(line) for line in self.said.read_text().splitlines()] if self.said.exists() else []


@pytest.fixture
def mps(tmp_path):
    return Mps(tmp_path)


def test_mps_holds_fractions(on, tmp_path, mps):
    nvidia_files(tmp_path)
    m = on(CARD.format(0, 1), WICK_MPS_CONTROL=str(mps.program))
    assert m.found("GPU-0")["GPU-0"]["mps"] is True
    w = m.worker([{"device": "GPU-0", "slots": 3, "memory_mb": 2000}], {"app.py": MPS_SEES})
    r = w.invoke({}).json
    env = r["env"]
    assert r["mark"] == "shared" and env["WICK_SLICE_RUNG"] == "mps" and env["WICK_SLICE"] == "3/8"
    assert env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "37" and env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=2000M"
    start, = mps.starts
    assert start["argv"] == ["-f"] and start["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    assert not os.path.exists("/dev/shm/mark")  # the machine's shared memory is not the daemon's
    second = m.worker([{"device": "GPU-0", "slots": 5}], {"app.py": MPS_SEES}).invoke({}).json
    assert len(mps.starts) == 1 and "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT" not in second["env"]
    m.node.stop()
    until(lambda: not pathlib.Path("/proc/%d" % start["pid"]).exists(), "the daemon ends with the node")
    assert not os.path.exists(os.path.dirname(start["env"]["CUDA_MPS_PIPE_DIRECTORY"]))
    m.node.start()


def test_a_client_of_mps_that_lifts_its_limit_is_ended(on, tmp_path, mps):
    """The limits are in its own environment; what it really uses is looked at as well."""
    nvidia_files(tmp_path)
    m = on(CARD.format(0, 1), WICK_MPS_CONTROL=str(mps.program))
    m.found("GPU-0")
    greedy = m.worker([{"device": "GPU-0", "slots": 2, "memory_mb": 1000}])
    modest = m.worker([{"device": "GPU-0", "slots": 2, "memory_mb": 1000}])
    # In both lists, and in one: each is counted once.
    write(tmp_path, CARD.format(0, 1), "process=0 pid=%d memory=900" % modest.pid, "client=0 pid=%d memory=900" % modest.pid,
          "client=0 pid=%d memory=1001" % greedy.pid)
    e = m.gate.exited(greedy)
    assert e["device_type"] == "OutOfDeviceMemory" and "1001 MiB" in e["device_error"]
    assert modest.invoke([]).json["env"]["WICK_SLICE_RUNG"] == "mps"


def test_a_whole_card_needs_no_mps(on, tmp_path, mps):
    nvidia_files(tmp_path)
    m = on(CARD.format(0, 1), WICK_MPS_CONTROL=str(mps.program))
    m.found("GPU-0")
    assert m.worker([{"device": "GPU-0", "slots": 8}]).invoke([]).json["env"]["WICK_SLICE_RUNG"] == "whole"
    assert not mps.starts


def test_a_killed_mps_daemon_ends_its_workers_and_comes_back(on, tmp_path, mps):
    nvidia_files(tmp_path, 2)
    m = on(CARD.format(0, 1), CARD.format(1, 2), WICK_MPS_CONTROL=str(mps.program))
    m.found("GPU-0", "GPU-1")
    w = m.worker([{"device": "GPU-0", "slots": 3}], {"app.py": MPS_SEES})
    other = m.worker([{"device": "GPU-1", "slots": 3}], {"app.py": MPS_SEES})
    os.kill(next(s["pid"] for s in mps.starts if s["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-0"), signal.SIGKILL)
    e = m.gate.exited(w)
    assert e["device_type"] == "Device.MpsGone" and "MPS" in e["device_error"] and not e["device_oom"]
    assert other.invoke({}).json["mark"] == "shared"
    assert m.worker([{"device": "GPU-0", "slots": 3}], {"app.py": MPS_SEES}).invoke({}).json["mark"] == "shared"
    assert len(mps.starts) == 3


@pytest.mark.waits
def test_an_mps_daemon_that_does_not_start(on, tmp_path, mps):
    nvidia_files(tmp_path)
    mps.fail.touch()
    m = on(CARD.format(0, 1), WICK_MPS_CONTROL=str(mps.program))
    m.found("GPU-0")
    r = m.refused([{"device": "GPU-0", "slots": 3}])
    assert r["type"] == "Device.Unavailable" and "MPS daemon" in r["error"]
    mps.fail.unlink()
    assert m.worker([{"device": "GPU-0", "slots": 3}], {"app.py": MPS_SEES}).invoke({}).json["mark"] == "shared"


# ---- through the gate ----

# Stands between the gate and the real node: every START asks for a slice, and who was started is told to the test.
BETWEEN = """#!/usr/bin/python3
import array, json, os, socket, subprocess, sys, threading
sys.path.insert(0, %(flow)r)
import lane
os.environ.update(%(env)r)
path = os.environ["WICK_NODE_SOCKET"]
os.environ["WICK_NODE_SOCKET"] = path + ".real"
node = subprocess.Popen([%(node)r])
server = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
server.bind(path)
server.listen()

def send(sock, data, fds):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], ancillary)
    sock.sendall(data[sent:])
    for fd in fds:
        os.close(fd)

def receive(sock):
    data, fds, _, _ = socket.recv_fds(sock, 1 << 16, 16)
    return data, list(fds)

def orders(gate, real):
    decoder, waiting = lane.Decoder(), []
    while True:
        data, fds = receive(gate)
        if not data:
            real.shutdown(socket.SHUT_RDWR)
            return
        waiting += fds
        decoder.feed(data)
        while (frame := decoder.frame()):
            n = frame.number(lane.LINK_FDS) if lane.LINK_FDS in frame.meta else 0
            body = bytes(frame.body)
            if frame.kind == lane.START:
                body = json.dumps({**json.loads(body), "slices": %(slices)r}).encode()
            send(real, lane.encode(frame.kind, frame.id, frame.meta, body), waiting[:n])
            del waiting[:n]

def reports(real, gate):
    decoder = lane.Decoder()
    while True:
        data, fds = receive(real)
        if not data:
            gate.shutdown(socket.SHUT_RDWR)
            return
        decoder.feed(data)
        while (frame := decoder.frame()):
            if frame.kind == lane.STARTED:
                with open(%(started)r, "a") as f:
                    f.write("%%d\\n" %% frame.json["pid"])
        send(gate, data, fds)

def serve():
    while True:
        gate, _ = server.accept()
        real = socket.socket(socket.AF_UNIX)
        while True:
            try:
                real.connect(path + ".real")
                break
            except OSError:
                if node.poll() is not None:
                    return
        threading.Thread(target=orders, args=(gate, real), daemon=True).start()
        threading.Thread(target=reports, args=(real, gate), daemon=True).start()

import signal
signal.signal(signal.SIGTERM, lambda *_: node.terminate())
threading.Thread(target=serve, daemon=True).start()
sys.exit(node.wait())
"""


def test_the_caller_hears_that_it_was_out_of_device_memory(new_wick, tmp_path):
    nvidia_files(tmp_path)
    env, started, flow = machine(tmp_path, CARD.format(0, 1)), tmp_path / "started", pathlib.Path(__file__).parent
    (tmp_path / "libexec").mkdir()
    program = tmp_path / "libexec/wick-node"
    program.write_text(BETWEEN % {
        "flow": str(flow), "env": {**env, "WICK_BUILD": str(lane.BUILD)}, "node": str(lane.BUILD / "src/node/wick-node"),
        "started": str(started), "slices": [{"device": "GPU-0", "slots": 2, "memory_mb": 1000}]})
    program.chmod(0o755)
    w = new_wick(env={"WICK_LIBEXEC": ":".join([str(program.parent), *(
        str(lane.BUILD / "src" / room) for room in ("gate", "node", "runtime"))])})
    name = w.deploy("import os, time\ndef handler(event, context):\n    time.sleep(event.get('s', 0))\n"
                    "    return os.environ['WICK_SLICE']\n")
    # Until the card is found, its slices are refused.
    until(lambda: w.invoke(name)[0] == "2/8", "the card is found")

    def over():
        """False: the node saw it before it was called, and another took its place."""
        pids = started.read_text().split()
        write(tmp_path, CARD.format(0, 1), *("process=0 pid=%s memory=1001" % pid for pid in pids))
        payload, answer = w.invoke(name, {"s": 5})
        return (payload, answer) if "FunctionError" in answer else None

    payload, answer = until(over, "a worker is over its memory")
    assert payload["errorType"] == "OutOfDeviceMemory", payload
    assert "1001 MiB" in payload["errorMessage"] and "1000" in payload["errorMessage"]
