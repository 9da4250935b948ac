"""A matrix multiplication with PyTorch on the device whose slice the function holds: weights that stay on the device from
one invocation to the next, as a model's do, times an input that is new each time. The event is {"n": 1024, "repeat": 3};
both may be left out."""
import os
import resource
import time

try:
    import torch
except ImportError as e:
    torch, why = None, str(e)

N_MAX = 4096  # sums of products of whole numbers up to VALUE_MAX are exact in a float32 then
VALUE_MAX = 8
REPEAT_MAX = 100

kept = {}  # device, n, weights: opened with the first invocation, not with the import, which a zygote may have done


class TorchMissing(Exception):
    pass


class DeviceMissing(Exception):
    pass


class WrongResult(Exception):
    pass


def number(event, name, default, most):
    value = event.get(name, default) if isinstance(event, dict) else default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}")
    return value


def choose():
    """What is visible here is what the worker holds, so the first CUDA device is its own."""
    held = os.environ.get("WICK_DEVICE", "")
    if held.lower() != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if held and held.lower() != "cpu":
        raise DeviceMissing(f"the worker holds {held}, but this PyTorch ({torch.__version__}, CUDA {torch.version.cuda}) "
                            "sees no CUDA device")
    return torch.device("cpu")


def whole(n, columns):
    return torch.randint(-VALUE_MAX, VALUE_MAX + 1, (n, columns), dtype=torch.float32)


def weights(n):
    if "device" not in kept:
        kept["device"] = choose()
    loaded = kept.get("n") != n
    if loaded:
        kept.pop("weights", None)  # before the new ones need the memory
        kept.update(n=n, weights=whole(n, n).to(kept["device"]))
    return kept["weights"], loaded


def timed(a, b, repeat):
    """(result, milliseconds of the fastest run): by the device's clock where it has one."""
    best, c = None, None
    for _ in range(repeat):
        if a.is_cuda:
            begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begun.record()
            c = a @ b
            ended.record()
            ended.synchronize()
            ms = begun.elapsed_time(ended)
        else:
            begun = time.perf_counter()
            c = a @ b
            ms = (time.perf_counter() - begun) * 1e3
        best = ms if best is None else min(best, ms)
    return c, best


def check(a, b, c):
    """The largest difference between C x and A (B x), on the CPU, for a random x: 0 when C is right."""
    x = torch.randint(0, 4096, (b.shape[1],), dtype=torch.float64)
    a, b, c = (m.cpu().double() for m in (a, b, c))
    return float((c @ x - a @ (b @ x)).abs().max())


def describe(device):
    if device.type == "cpu":
        return {"device": "cpu", "kind": "cpu", "cuda": None, "threads": torch.get_num_threads(),
                "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    free, total = torch.cuda.mem_get_info(device)
    return {"device": torch.cuda.get_device_name(device), "kind": "gpu", "cuda": torch.version.cuda,
            "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "memory_mb": round(torch.cuda.memory_allocated(device) / 2**20, 1),
            "memory_peak_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
            "device_memory_mb": round(total / 2**20), "device_memory_free_mb": round(free / 2**20)}


def lambda_handler(event, context):
    if torch is None:
        raise TorchMissing(f"PyTorch is not here ({why}). Install it on the node: apt-get install python3-torch (computes on "
                           "the CPU), or for CUDA: /usr/bin/python3 -m pip install --break-system-packages torch")
    n = number(event, "n", 512, N_MAX)
    repeat = number(event, "repeat", 1, REPEAT_MAX)
    begun = time.perf_counter()
    with torch.no_grad():
        a, loaded = weights(n)
        b = whole(n, n).to(a.device)
        c, ms = timed(a, b, repeat)
        error = check(a, b, c)
    if error != 0:
        raise WrongResult(f"{a.device} computes something else than the CPU (by {error})")
    kept["uses"] = kept.get("uses", 0) + 1
    return {**describe(a.device), "torch": torch.__version__, "slice": os.environ.get("WICK_SLICE"),
            "chosen_by": "WICK_DEVICE" if "WICK_DEVICE" in os.environ else "the function itself: WICK_DEVICE is not set",
            "n": n, "repeat": repeat, "device_ms": round(ms, 3), "total_ms": round((time.perf_counter() - begun) * 1e3, 3),
            "gflops": round(2 * n**3 / max(ms, 1e-6) / 1e6, 2), "error": error, "loaded": loaded, "uses": kept["uses"]}
