"""What the benchmarks share: servers of Wick and its peers on free ports, wrk as the load, CPU time of process groups,
medians and ratios. Figures on a shared machine drift; so every round runs all contenders, and ratios are of medians."""
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "flow"))
HZ = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        sys.exit(f"bench: missing {', '.join(missing)}; run dev/deps --bench")


def wait_port(port, process):
    for _ in range(1000):
        if process.poll() is not None:
            sys.exit(f"bench: {process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"bench: nothing listens on {port}")


def tree(pid):
    """pid and all its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += children.get(p, [])
    return found


def cpu_seconds(pid):
    """User and system time of a process tree, from the scheduler's own account (nanoseconds)."""
    total = 0
    for p in tree(pid):
        for task in pathlib.Path(f"/proc/{p}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (OSError, ValueError, IndexError):
                pass
    return total / 1e9


def pss_kib(pid):
    total = 0
    for p in tree(pid):
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{p}/smaps_rollup").read_text(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


class Server:
    def __init__(self, argv, port, **kw):
        self.port = port
        self.process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True, **kw)
        wait_port(port, self.process)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def nginx(folder, conf):
    """nginx with the given server block lines, two workers as the machine has cores, no logs."""
    port = free_port()
    folder = pathlib.Path(folder)
    path = folder / f"nginx-{port}.conf"
    path.write_text(f"""
daemon off; worker_processes 2; pid {folder}/nginx-{port}.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_max_body_size 0;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; {conf} }} }}
""")
    return Server(["nginx", "-c", path, "-p", folder], port)


def wrk(url, connections, seconds, script=None, threads=1):
    """(requests a second, p50 in ms, p99 in ms, requests, errors)."""
    argv = ["wrk", "-t", threads, "-c", connections, "-d", f"{seconds}s", "--latency", url]
    if script:
        argv[1:1] = ["-s", script]
    out = subprocess.run(list(map(str, argv)), capture_output=True, text=True).stdout
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}

    def latency(p):
        m = re.search(rf"^\s+{p}%\s+([\d.]+)(us|ms|s|m)", out, re.M)
        return float(m.group(1)) * unit[m.group(2)]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = (int(bad.group(1)) if bad else 0) + (sum(map(int, lost.groups())) if lost else 0)
    return rate, latency(50), latency(99), requests, errors


def median(values):
    return statistics.median(values)


def machine():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores, {model.group(1) if model else '?'}, Linux {os.uname().release}, {time.strftime('%Y-%m-%d')}"


def folder():
    return tempfile.mkdtemp(prefix="wick-bench-")
