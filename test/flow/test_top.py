"""wick top in a real terminal and without one, and wick why for invocations that wait, run, are over or were never."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import uuid

import pytest

from conftest import BUILD, until

ECHO = "def handler(event, context):\n    return event\n"
SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n"


class Terminal:
    """A command in a terminal of a given size; `picture` is what it drew last, as lines without colours."""

    def __init__(self, wick, argv, cols, rows):
        self.bytes = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # The size must be there before the first picture.
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            os.execve(BUILD / "wick", ["wick", *argv], {**wick.env, "TERM": "xterm-256color"})

    def resize(self, cols, rows):
        self.bytes = b""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self):
        if select.select([self.fd], [], [], 0.05)[0]:
            try:
                self.bytes += os.read(self.fd, 65536)
            except OSError:
                return False
        return True

    @property
    def picture(self):
        whole = [part for part in self.bytes.split(b"\x1b[H")[1:] if b"q quit" in part]
        text = whole[-1].decode() if whole else ""
        # The last line is placed by its row, not by what stands above it.
        text = re.sub(r"\x1b\[(\d+);1Hq quit", r"row \1: q quit", text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").split("\n")

    def expect(self, condition, what):
        end = time.monotonic() + 60
        while not condition(self.picture):
            if time.monotonic() > end or not self.read():
                pytest.fail(f"waited for {what}, have:\n" + "\n".join(self.picture))

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def end(self):
        """The exit status; whether the terminal's own settings and screen are back."""
        while self.read():
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        restored = not self.is_raw()
        while self.read() and b"\x1b[?1049l" not in self.bytes:
            pass
        os.close(self.fd)
        return status, restored and b"\x1b[?25h" in self.bytes and b"\x1b[?1049l" in self.bytes


@pytest.fixture
def terminal(wick):
    made = []

    def open_(*argv, cols=120, rows=24):
        made.append(Terminal(wick, argv, cols, rows))
        return made[-1]

    yield open_
    for t in made:
        try:
            os.kill(t.pid, signal.SIGKILL)
            os.waitpid(t.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_once(wick):
    name = wick.deploy(ECHO)
    wick.invoke(name)
    for args in (["top"], ["top", "--once"]):
        done = wick.run(*args)
        assert done.returncode == 0 and "\x1b" not in done.stdout, done
        assert re.search(r"^wick  up \S+ +\d", done.stdout) and "memory" in done.stdout and "workers" in done.stdout
        row = next(line for line in done.stdout.splitlines() if line.startswith(name))
        assert row.split()[-1] == "1"  # RUNS
    top = json.loads(wick.run("top", "--json").stdout)
    mine = next(f for f in top["functions"] if f["name"] == name)
    assert mine["invocations"] == 1 and mine["errors"] == 0 and top["nodes"][0]["up"]
    assert wick.run("top", "extra").returncode == 2
    assert wick.run("top", "--interval", "soon").returncode == 2
    assert wick.run("top", "--interval", "1ms").returncode == 2


def test_lines_of_json(wick):
    with subprocess.Popen([BUILD / "wick", "top", "--json", "--interval", "100ms"], stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, env=wick.env) as p:
        first, second = json.loads(p.stdout.readline()), json.loads(p.stdout.readline())
        assert second["at_ms"] > first["at_ms"]
        p.send_signal(signal.SIGINT)
        assert p.wait() == 0


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_live(wick, terminal, key):
    name = "top-" + uuid.uuid4().hex[:8]
    t = terminal("top", "--interval", "100ms")
    t.expect(lambda p: p[0].startswith("wick  up"), "the first picture")
    assert t.is_raw()
    wick.deploy(ECHO, name=name)
    wick.invoke(name)
    t.expect(lambda p: any(line.startswith(name) for line in p), "the new function")
    t.resize(60, 12)
    t.expect(lambda p: p[-1] == "row 12: q quit" and any(line.startswith(name) for line in p), "the smaller picture")
    assert all(len(line) <= 60 for line in t.picture) and len(t.picture) <= 12
    t.resize(20, 3)
    t.expect(lambda p: p[-1] == "row 3: q quit", "a tiny picture")
    assert all(len(line) <= 20 for line in t.picture) and len(t.picture) <= 3
    os.write(t.fd, key.encode())
    assert t.end() == (0, True)


def test_live_without_a_server(new_wick, terminal):
    wick = new_wick()
    t = Terminal(wick, ["top", "--interval", "100ms"], 100, 24)
    try:
        t.expect(lambda p: p[0].startswith("wick  up"), "the first picture")
        wick.stop()
        t.expect(lambda p: any("cannot reach" in line for line in p), "that the server is away")
        wick.start()
        t.expect(lambda p: p and not any("cannot reach" in line for line in p) and "up" in p[0], "the server again")
    finally:
        os.write(t.fd, b"q")
        assert t.end() == (0, True)


def test_why(new_wick):
    wick = new_wick(env={"WICK_DRAIN": "1ms"})
    name = wick.deploy(SLEEP, Timeout=120)
    wick.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)

    def start():
        return wick.run("invoke", name, "--async", "--event", '{"s": 60}').stdout.split()[-1]

    def why(id_):
        return json.loads(wick.run("why", id_, "--json").stdout)

    first = start()
    until(lambda: why(first)["state"] == "running", "the first to run")
    text = wick.run("why", first)
    assert text.returncode == 0 and text.stdout.startswith(f"running  {name}, for "), text
    second = start()
    until(lambda: why(second)["reason"] == "reserved-limit", "the second to wait for the limit")
    text = wick.run("why", second).stdout
    assert text.startswith(f"queued  {name}, for ") and "reserved concurrency of 1" in text
    assert "put-function-concurrency" in text and name in text  # the way out
    assert "1 busy" in text
    row = wick.run("top", "--once").stdout
    assert "reserved concurrency of 1" in row


def test_why_of_what_is_over_or_never_was(wick):
    name = wick.deploy(ECHO)
    _, answer = wick.invoke(name)
    id_ = answer["ResponseMetadata"]["RequestId"]
    done = wick.run("why", id_)
    assert done.returncode == 0 and done.stdout.startswith(f"done  {name}: ") and "run" in done.stdout, done
    unknown = wick.run("why", str(uuid.uuid4()))
    assert unknown.returncode == 1 and "wick bill --invocations" in unknown.stderr
    assert wick.run("why", str(uuid.uuid4()), "--json").returncode == 1
    assert wick.run("why").returncode == 2
    assert wick.run("why", "no-id").returncode == 1
