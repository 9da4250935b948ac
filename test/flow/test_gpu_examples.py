"""The examples for devices, on what a machine without a GPU has: OpenCL on the CPU (PoCL), PyTorch where it is installed.
The C one computes outside of a box, in a small program that plays Wick, and in one.
Needs: gcc, ocl-icd-libopencl1 and pocl-opencl-icd."""
import json
import os
import shutil
import subprocess
import uuid

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "examples"
SOURCE = (EXAMPLES / "gpu-opencl" / "matmul.c").read_text()

# Gives its arguments to the handler as events, and prints what it answers, a line each.
PLAYS_WICK = r'''
#include <stdio.h>
#include <string.h>
#include <wick.h>

struct wick_invocation {
	const char *event;
};

const char *wick_event(const wick_invocation *in, size_t *n)
{
	if (n)
		*n = strlen(in->event);
	return in->event;
}

int wick_answer_text(wick_invocation *in, const char *json)
{
	return printf("%s\n", json) < 0 ? -1 : 0;
}

int wick_error(wick_invocation *in, const char *type, const char *message)
{
	return printf("%s: %s\n", type, message) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		wick_handler(&(struct wick_invocation){argv[i]});
	return 0;
}
'''


def compile_c(out, source, *flags):
    path = out.with_suffix(".c")
    path.write_text(source)
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-I", ROOT / "include", "-o", out, path, *flags], check=True, timeout=120)
    return out


def program(folder, source=SOURCE):
    plays = folder / "plays.c"
    plays.write_text(PLAYS_WICK)
    return compile_c(folder / "matmul", source, plays, "-pthread", "-ldl")


def call(path, *events, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WICK_", "POCL_", "OCL_"))}
    events_text = [e if isinstance(e, str) else json.dumps(e) for e in events]
    # PoCL only, whatever else the machine has, and its cache goes with the test.
    clean.update(OCL_ICD_VENDORS="/etc/OpenCL/vendors/pocl.icd", POCL_CACHE_DIR=str(path.parent / "cache"))
    done = subprocess.run([path, *events_text], capture_output=True, text=True, timeout=300, env={**clean, **env})
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert len(lines) == len(events), done
    return [json.loads(line) if line.startswith("{") else line for line in lines]


def is_right(answer, n, repeat=1):
    assert answer["error"] == 0 and answer["n"] == n and answer["repeat"] == repeat
    assert 0 < answer["device_ms"] <= answer["total_ms"] and answer["gflops"] >= 0
    assert answer["kind"] == "cpu" and answer["device"] and answer["vendor"] and answer["platform"]


def test_opencl_computes(tmp_path):
    """Sizes around the tile's, and what is kept between invocations."""
    sizes = [1, 15, 16, 17, 100, 256]
    answers = call(program(tmp_path), *({"n": n} for n in sizes), {"n": 100, "repeat": 3}, {}, "null",
                   r'{"s": "\", \"n\": 7", "x": {"n": 3}, "n": 33}')
    for i, (answer, n) in enumerate(zip(answers, sizes)):
        is_right(answer, n)
        assert answer["uses"] == i + 1 and answer["slice"] is None and "not set" in answer["chosen_by"]
    is_right(answers[6], 100, repeat=3)
    is_right(answers[7], 512)
    is_right(answers[8], 512)
    is_right(answers[9], 33)


def test_opencl_events_refused(tmp_path):
    for answer in call(program(tmp_path), {"n": 0}, {"n": 4097}, {"n": 1.5}, {"n": "5"}, {"n": None}, {"n": -1}, {"repeat": 101},
                       {"n": 1e300}, '{"n": nan}'):
        assert answer.startswith("Gpu.Event: ") and "must be a whole number from 1 to" in answer


def test_opencl_takes_the_device_that_is_named(tmp_path):
    path = program(tmp_path)
    name = call(path, {"n": 16})[0]["device"]
    for named in ("cpu", "CPU", "0", "opencl-0-0", name, name[:7].upper()):
        answer, = call(path, {"n": 16}, WICK_DEVICE=named, WICK_SLICE="1/8")
        is_right(answer, 16)
        assert answer["chosen_by"] == "WICK_DEVICE" and answer["slice"] == "1/8"
    for absent in ("gpu", "1", "opencl-0-1", "opencl-1-0", "pci-0000:01:00.0", "GPU-01234567-89ab-cdef-0123-456789abcdef", "H200"):
        answer, = call(path, {"n": 16}, WICK_DEVICE=absent)
        assert answer.startswith("Gpu.NoDevice: ") and absent in answer and name in answer


def test_opencl_absent(tmp_path):
    answer, = call(program(tmp_path), {}, OCL_ICD_VENDORS=str(tmp_path / "none"))
    assert answer.startswith("Gpu.NoDevice: ") and "/etc/OpenCL/vendors" in answer
    (tmp_path / "other").mkdir()
    answer, = call(program(tmp_path / "other", SOURCE.replace("libOpenCL.so.1", "libNoOpenCL.so.1")), {})
    assert answer.startswith("Gpu.NoOpenCL: ") and "ocl-icd-libopencl1" in answer


def test_opencl_wrong_results_are_seen(tmp_path):
    """One element of many that is wrong by one, by half, or no number."""
    right = "c[y * n + x] = sum;"
    assert right in SOURCE
    for i, wrong in enumerate(("sum + (x == 3 && y == 99)", "sum + (x == 3 && y == 99) * 0.5f", "x == 3 && y == 99 ? NAN : sum")):
        folder = tmp_path / str(i)
        folder.mkdir()
        answer, = call(program(folder, SOURCE.replace(right, f"c[y * n + x] = {wrong};")), {"n": 100})
        assert answer.startswith("Gpu.WrongResult: ")


def test_opencl_in_wick(wick, tmp_path):
    """Built and deployed as its README says, it computes in a box. A worker that holds no device sees nothing of the
    machine's processors, so this one is told (hwloc, which PoCL asks, takes a topology from its environment)."""
    name = "matmul-" + uuid.uuid4().hex[:8]
    path = compile_c(tmp_path / "matmul.so", SOURCE, "-shared", "-fPIC")
    done = wick.run("deploy", path, "--name", name, "--memory", "2048", "--timeout", "60",
                    "--env", "HWLOC_SYNTHETIC=node:1(memory=4294967296) core:2 pu:1")
    assert done.returncode == 0, done
    for uses in (1, 2):
        payload, answer = wick.invoke(name, {"n": 100})
        assert "FunctionError" not in answer, payload
        is_right(payload, 100)
        assert payload["uses"] == uses
    payload, answer = wick.invoke(name, {"n": 0})
    assert answer["FunctionError"] and payload["errorType"] == "Gpu.Event", payload


def deploy_example(wick, folder, tmp_path, device):
    """Its name. Skips where tags of devices are refused, once it is seen that they are what is refused."""
    copy = tmp_path / folder
    shutil.copytree(EXAMPLES / folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if (copy / "matmul.c").exists():
        compile_c(copy / "matmul.so", SOURCE, "-shared", "-fPIC")
    done = wick.run("deploy", copy)
    if done.returncode and "is not built into this release" in done.stderr:
        assert f"wick:device: '{device}'" in done.stderr
        pytest.skip("this release has no devices")
    assert done.returncode == 0, done
    arn = wick.client("lambda").get_function_configuration(FunctionName=folder)["FunctionArn"]
    tags = wick.client("lambda").list_tags(Resource=arn)["Tags"]
    assert tags["wick:device"] == device and tags["wick:slice"] == "1/8"
    return folder


def test_opencl_template(wick, tmp_path):
    """On a slice of the CPU where there is no GPU."""
    name = deploy_example(wick, "gpu-opencl", tmp_path, "gpu,cpu")
    for uses in (1, 2):
        payload, answer = wick.invoke(name, {"n": 128})
        assert "FunctionError" not in answer, payload
        assert payload["error"] == 0 and payload["uses"] == uses and payload["chosen_by"].startswith("WICK_DEVICE"), payload


def test_pytorch_template(wick, tmp_path):
    deploy_example(wick, "gpu-pytorch", tmp_path, "gpu")


def test_pytorch(wick):
    """With PyTorch it computes; without it says what to install."""
    name = "pytorch-" + uuid.uuid4().hex[:8]
    here = subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True, timeout=120).returncode == 0
    done = wick.run("deploy", EXAMPLES / "gpu-pytorch" / "handler.py", "--name", name, "--memory", "2048", "--timeout", "60")
    assert done.returncode == 0, done
    if not here:
        payload, answer = wick.invoke(name, {})
        assert answer["FunctionError"] and payload["errorType"] == "TorchMissing", payload
        assert "No module named 'torch'" in payload["errorMessage"] and "apt-get install python3-torch" in payload["errorMessage"]
        return
    for uses in (1, 2):
        payload, answer = wick.invoke(name, {"n": 64, "repeat": 2})
        assert "FunctionError" not in answer, payload
        assert payload["error"] == 0 and payload["uses"] == uses and payload["loaded"] == (uses == 1), payload
    payload, answer = wick.invoke(name, {"n": 0})
    assert answer["FunctionError"] and payload["errorType"] == "ValueError", payload
