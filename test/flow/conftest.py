"""Fixtures of the flow tests: real servers of the real binaries, on free ports, in temporary folders.

WICK_BUILD names the build folder (default: build/). `wick` is one server for the whole run; `new_wick` makes servers of
a test's own, for tests that kill, restart or configure them. Nothing outlives a test run."""
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid
import zipfile

import boto3
import botocore.config
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WICK_BUILD", ROOT / "build"))
SANITIZED = b"__asan_init" in (BUILD / "src/node/wick-node").read_bytes()
ROLE = "arn:aws:iam::000000000000:role/test"


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the long soaks")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; only with --long")
    config.addinivalue_line("markers", "waits: for limits of the program's own, ten seconds and more; not in sanitized builds")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))
        if "waits" in item.keywords and SANITIZED:
            item.add_marker(pytest.mark.skip(reason="waits: run with a build without sanitizers"))


def until(condition, what, limit=60):
    """Waits for a condition (its truthy value is returned); fails with what was waited for."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"waited {limit} s for {what}")


def make_zip(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            z.writestr(name, text)
    return out.getvalue()


class Wick:
    """A running `wick serve`."""

    def __init__(self, folder, *args, env=None, listen="127.0.0.1:0"):
        self.data = pathlib.Path(folder)
        self.args = list(args)
        self.extra_env = dict(env or {})
        self.listen = listen
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.process = None
        self.seen = set()  # workers: process ids and when they began
        self.start()

    def start(self):
        (self.data / "run" / "endpoint").unlink(missing_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WICK_"))}
        env.update(self.extra_env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "wick", "serve", "--data", self.data, "--listen", self.listen, *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        until(self.ready, f"wick serve to be ready; its log:\n{self.log()}")
        self.listen = self.url.split("//")[1]
        return self

    def ready(self):
        if self.process.poll() is not None:
            pytest.fail(f"wick serve ended with {self.process.returncode}:\n{self.log()}")
        try:
            self.url = (self.data / "run" / "endpoint").read_text().strip()
        except FileNotFoundError:
            return False
        import urllib.error
        import urllib.request
        try:
            with urllib.request.urlopen(self.url + "/_wick/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def keys(self):
        keys = {}
        for line in (self.data / "credentials").read_text().splitlines():
            if "=" in line:
                k, v = line.split("=", 1)
                keys[k.strip()] = v.strip()
        return keys["aws_access_key_id"], keys["aws_secret_access_key"]

    @property
    def env(self):
        """Environment for AWS tools and the wick command."""
        access, secret = self.keys
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WICK_"))}
        env.update(AWS_ENDPOINT_URL=self.url, AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1",
                   AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret, AWS_EC2_METADATA_DISABLED="true",
                   AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null")
        return env

    def client(self, service, **config):
        access, secret = self.keys
        config.setdefault("retries", {"max_attempts": 0})
        config.setdefault("read_timeout", 120)
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=access,
                            aws_secret_access_key=secret, config=botocore.config.Config(**config))

    def run(self, *args, **kw):
        """The wick command; the completed process, with text output."""
        kw.setdefault("env", self.env)
        kw.setdefault("timeout", 120)
        return subprocess.run([BUILD / "wick", *map(str, args)], stdin=kw.pop("stdin", subprocess.DEVNULL),
                              capture_output=True, text=True, **kw)

    def deploy(self, source, handler="app.handler", name=None, files=None, **conf):
        """A function from Python source; its name."""
        name = name or "f-" + uuid.uuid4().hex[:12]
        conf.setdefault("Runtime", "python3.11")
        conf.setdefault("Timeout", 30)
        conf.setdefault("MemorySize", 512)  # boto3 in a runtime built with sanitizers needs it
        self.client("lambda").create_function(
            FunctionName=name, Role=ROLE, Handler=handler, Code={"ZipFile": make_zip({"app.py": source, **(files or {})})}, **conf)
        return name

    def invoke(self, name, event=None, **kw):
        """(payload, answer) of a synchronous call."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event if event is not None else {}), **kw)
        text = answer["Payload"].read()
        return (json.loads(text) if text else None), answer

    def bucket(self):
        name = "b-" + uuid.uuid4().hex[:16]
        self.client("s3").create_bucket(Bucket=name)
        return name

    def pids(self, program):
        """Process ids of this server's programs by name: "wick-gate", "wick-node"; "wick-python" is its workers, boxed
        children of the node (also those of a node before, once they have been seen), without the zygotes."""
        children, begun = {}, {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                name = os.path.basename((path / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace"))
                stat = (path / "stat").read_text().rsplit(")", 1)[1].split()
                boxed = os.readlink(path / "ns/pid") != os.readlink("/proc/self/ns/pid")
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(int(stat[1]), []).append((int(path.name), name, boxed))
            begun[int(path.name)] = stat[19]
        ours = children.get(self.process.pid, [])
        if program != "wick-python":
            return [pid for pid, name, _ in ours if name == program]
        for node, name, _ in ours:
            if name == "wick-node":
                self.seen.update((pid, begun[pid]) for pid, name, boxed in children.get(node, []) if name == program and boxed)
        self.seen = {(pid, at) for pid, at in self.seen if begun.get(pid) == at}
        return [pid for pid, _ in self.seen]

    def zygotes(self):
        """Process ids of this server's zygotes: children of its node that are in no box."""
        found = []
        for node in self.pids("wick-node"):
            try:
                tasks = pathlib.Path(f"/proc/{node}/task").glob("*/children")
                for pid in " ".join(t.read_text() for t in tasks).split():
                    if os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid"):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def stop(self, signo=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signo)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                pytest.fail(f"wick serve did not stop:\n{self.log()}")
        return self.process.returncode if self.process else None

    def sanitizer_reports(self):
        text = self.log()
        return [line for line in text.splitlines() if "ERROR: AddressSanitizer" in line or "runtime error:" in line
                or "ERROR: LeakSanitizer" in line or "Assertion" in line or "is still open" in line
                or "(Aborted)" in line or "(Segmentation" in line]


@pytest.fixture(scope="session")
def wick(tmp_path_factory):
    w = Wick(tmp_path_factory.mktemp("wick") / "data")
    yield w
    w.stop()
    assert not w.sanitizer_reports(), w.log()
    shutil.rmtree(w.data, ignore_errors=True)


@pytest.fixture
def new_wick(tmp_path):
    made = []

    def make(*args, **kw):
        made.append(Wick(tmp_path / f"data{len(made)}", *args, **kw))
        return made[-1]

    yield make
    for w in made:
        w.stop()
    for w in made:
        assert not w.sanitizer_reports(), w.log()
