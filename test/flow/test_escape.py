"""What a function in a box may try against the host, its gate and other functions. Each attack must fail, say so in its
own output, and leave the host as it was, which is looked at from outside. The attacks: escape_payload.py.

First in boxes of wick-box, as root (whose boxes belong to an unprivileged user) and as that user; then as functions."""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

import pytest

import zygote as z
from conftest import BUILD, Wick, until

WICK_BOX = BUILD / "src" / "box" / "wick-box"
PAYLOAD = pathlib.Path(__file__).with_name("escape_payload.py")
NOBODY = 65534
ROOT = os.getuid() == 0
PYTHON = "/usr/bin/python3"


def can_box(prefix=()):
    return subprocess.run([*prefix, "unshare", "-Ur", "true"], capture_output=True).returncode == 0


def as_nobody():
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.fixture(scope="module")
def program():
    """A copy that every user can reach, wherever the build folder is."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wick-escape-"))
    folder.chmod(0o755)
    shutil.copy(WICK_BOX, folder / "wick-box")
    yield folder / "wick-box"
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["root", "user"])
def boxes(request, program):
    if request.param == "root" and not ROOT:
        pytest.skip("needs root")
    prefix = as_nobody() if ROOT and request.param == "user" else ()
    if not can_box(prefix):
        pytest.skip("this machine gives no user namespaces")
    args = ["--uid", str(NOBODY), "--gid", str(NOBODY)] if request.param == "root" else []
    zygote = z.Zygote(program, *args, prefix=prefix, env={"PATH": os.environ["PATH"], "HOST_SECRET": "hush"})
    yield zygote
    assert zygote.close() == 0


@pytest.fixture
def host():
    """Things of the host to be got at. They belong to the user of the boxes: no mode of a file protects them."""
    class Host:
        pass

    h = Host()
    h.folder = pathlib.Path(tempfile.mkdtemp(prefix="wick-victim-"))
    h.secret = h.folder / "secret"
    h.secret.write_text("hush")
    h.code = h.folder / "code"
    h.code.mkdir()
    shutil.copy(PAYLOAD, h.code / "attack.py")
    (h.code / "app.py").write_text("def handler(event, context): return 1\n")
    (h.code / "leak").symlink_to(h.secret)
    (h.code / "leakdir").symlink_to(h.folder)
    (h.code / "up").symlink_to("../../../../..")
    if ROOT:
        subprocess.run(["chown", "-hR", f"{NOBODY}:{NOBODY}", h.folder], check=True)
    before = snapshot(h)
    yield h
    assert snapshot(h) == before, "the host was changed"
    shutil.rmtree(h.folder)


def snapshot(h):
    files = {str(p): (p.lstat().st_mode, p.lstat().st_mtime_ns, p.read_bytes() if p.is_file() and not p.is_symlink() else None)
             for p in sorted(h.folder.rglob("*"))}
    kernel = {}
    for name in ("kernel/core_pattern", "kernel/hostname", "kernel/modprobe", "net/ipv4/ip_forward", "vm/overcommit_memory"):
        try:
            kernel[name] = pathlib.Path("/proc/sys", name).read_text()
        except OSError:
            pass
    return files, kernel, len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines())


def attack(zygote, host, name, *args, fds=(), first=(), rest=(), tmp=16 << 20, status=0, wait=60, profile=z.WORKER):
    """Runs an attack in a new box; what it said. first: operations before the root (control groups)."""
    ops = [*first, *z.root_ops(host.code, tmp=tmp, rest=rest, landlock=profile == z.WORKER, profile=profile)]
    worker = zygote.ask(z.plan(ops, [PYTHON, "-I", "-S", "/var/task/attack.py", name, *map(str, args)],
                               ["PATH=/usr/bin:/bin"], cwd="/var/task", n_fds=2 + len(fds)), fds)
    assert isinstance(worker, z.Worker), worker.text
    kind, _, meta, body = worker.frame()
    said = worker.wait(wait)
    assert kind == z.FRAME_BOXED, (body, said)
    assert "ESCAPED" not in said, said
    if status is not None:
        assert worker.status == status, said
        assert "blocked: " in said, said
    assert "hush" not in said
    return worker, said


@pytest.mark.parametrize("name", ["syscalls", "namespaces", "old_calls", "terminal", "descriptors", "write_code", "proc_files", "rights"])
def test_refused(boxes, host, name):
    attack(boxes, host, name)


def test_files_of_the_host(boxes, host):
    attack(boxes, host, "read_files", host.secret, host.folder, os.environ.get("HOME", "/root"), "/proc/1/environ/..")
    attack(boxes, host, "links", host.secret)


def test_boxes_in_boxes(boxes, host):
    attack(boxes, host, "boxes_in_boxes", host.secret, profile=z.SNAPSHOT)


def test_environment_and_processes(boxes, host):
    attack(boxes, host, "environment", "PATH")


def test_network(boxes, host):
    name = "wick-victim-" + uuid.uuid4().hex
    with socket.create_server(("0.0.0.0", 0)) as tcp, socket.socket(socket.AF_UNIX) as stream, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dgram:
        stream.bind("\0" + name)
        stream.listen()
        dgram.bind("\0" + name)
        out = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
        attack(boxes, host, "sockets", tcp.getsockname()[1], name, *[a for a in out if ":" not in a])
        for s in (tcp, stream, dgram):
            s.setblocking(False)
            with pytest.raises(BlockingIOError):
                s.recv(1) if s is dgram else s.accept()


def test_each_has_its_network(boxes):
    """Also when the zygote had time to make the next one's ahead, and when it had not."""
    workers = [boxes.ask(z.plan(z.root_ops(rest=[z.op("LISTEN", value=9000)]), ["/bin/sh", "-c", "readlink /proc/self/ns/net; exec sleep 600"],
                                ["PATH=/usr/bin:/bin"])) for _ in range(6)]
    seen = {os.readlink("/proc/self/ns/net")}
    for w in workers:
        assert w.frame()[0] == z.FRAME_BOXED and len(w.fds) == 1
        seen.add(os.read(w.output, 100).decode().strip())
        with socket.socket(fileno=os.dup(w.fds[0])) as s:
            assert s.getsockname() == ("127.0.0.1", 9000)
    assert len(seen) == 7, seen
    for w in workers:
        os.kill(w.pid, signal.SIGKILL)
        w.wait()


def test_ipc(boxes, host):
    libc = ctypes.CDLL(None, use_errno=True)
    key = uuid.uuid4().int & 0x7fffffff
    shm = libc.shmget(key, 4096, 0o1666)
    sem = libc.semget(key, 1, 0o1666)
    name = "wick-victim-" + uuid.uuid4().hex
    path = pathlib.Path("/dev/shm", name)
    path.write_text("hush")
    path.chmod(0o666)
    try:
        assert shm >= 0 and sem >= 0
        attack(boxes, host, "ipc", key, name)
    finally:
        path.unlink()
        libc.shmctl(shm, 0, None)
        libc.semctl(sem, 0, 0)


def test_kill(boxes, host):
    prefix = as_nobody() if ROOT else []
    victim = subprocess.Popen([*prefix, "sleep", "600"])
    try:
        attack(boxes, host, "kill", victim.pid, boxes.process.pid, os.getpid())
        assert victim.poll() is None and boxes.process.poll() is None
    finally:
        victim.kill()
        victim.wait()


def processes_of(worker_ns):
    """Pids in a pid namespace, looked for from outside."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                if os.readlink(p / "ns" / "pid") == worker_ns:
                    found.append(int(p.name))
            except OSError:
                pass
    return found


def test_what_is_left(boxes, host):
    """Daemons end with the box, and its namespaces with them."""
    ops = z.root_ops(host.code)
    worker = boxes.ask(z.plan(ops, ["/bin/sh", "-c", f"{PYTHON} -I -S /var/task/attack.py daemon; sleep 600"],
                              ["PATH=/usr/bin:/bin"], cwd="/var/task"))
    assert worker.frame()[0] == z.FRAME_BOXED
    namespace = os.readlink(f"/proc/{worker.pid}/ns/pid") if ROOT else None
    if ROOT:
        until(lambda: len(processes_of(namespace)) >= 4, "the daemons")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    if ROOT:
        until(lambda: not processes_of(namespace), "the daemons to end")


def test_fork_bomb(boxes, host):
    attack(boxes, host, "fork_bomb", 64, rest=[z.op("RLIMIT", which=6, value=64)])


def test_descriptors_run_out(boxes, host):
    attack(boxes, host, "fd_exhaustion", 1024)


def test_disk(boxes, host):
    attack(boxes, host, "disk", 40 << 20)


def own_v1_groups():
    """Folders of this process's own v1 groups where limits can be set: {controller: folder}."""
    found = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            folder = pathlib.Path("/sys/fs/cgroup", name, path.lstrip("/"))
            if name in ("memory", "pids") and os.access(folder, os.W_OK):
                found[name] = folder
    return found


@pytest.fixture
def group():
    """A control group of 64 MiB and 32 processes; descriptors to join it."""
    parents = own_v1_groups()
    if len(parents) < 2:
        pytest.skip("no v1 control groups can be made here; the node's own are tested by cgroup_test")
    name = "wick-escape-" + uuid.uuid4().hex
    folders = {k: p / name for k, p in parents.items()}
    fds = []
    for folder in folders.values():
        folder.mkdir()
        fds.append(os.open(folder / "tasks", os.O_WRONLY))
    (folders["memory"] / "memory.limit_in_bytes").write_text(str(64 << 20))
    (folders["pids"] / "pids.max").write_text("32")
    yield fds, folders
    for fd in fds:
        os.close(fd)
    for folder in folders.values():
        until(lambda: not (folder / "cgroup.procs").read_text(), "the group to be empty")
        folder.rmdir()


def test_memory(boxes, host, group):
    fds, folders = group
    joins = [z.op("CGROUP", fd=2 + i) for i in range(len(fds))]
    worker, said = attack(boxes, host, "memory", 512 << 20, fds=fds, first=joins, status=None)
    assert worker.status == signal.SIGKILL and said == "trying\n"
    assert "oom_kill 1" in (folders["memory"] / "memory.oom_control").read_text()
    # A full /tmp is memory too.
    worker, said = attack(boxes, host, "disk", 1 << 30, fds=fds, first=joins, tmp=512 << 20, status=None)
    assert worker.status == signal.SIGKILL, said


def test_fork_bomb_in_a_group(boxes, host, group):
    fds, _ = group
    attack(boxes, host, "fork_bomb", 32, fds=fds, first=[z.op("CGROUP", fd=2 + i) for i in range(len(fds))])


def test_box_that_cannot_be_made(boxes, host):
    """Said on the lane and in the log, with the operation and the reason."""
    ops = z.root_ops(host.code, extra=[z.op("BIND", "/x", "/does/not/exist")])
    worker = boxes.ask(z.plan(ops, ["/bin/true"]))
    kind, ident, meta, body = worker.frame()
    said = worker.wait()
    assert kind == z.FRAME_ERROR and ident == bytes(16) and meta[z.KEY_ERROR_TYPE] == b"Sandbox.BoxFailed"
    assert b"bind /does/not/exist at /x: No such file or directory" in body
    assert "bind /does/not/exist" in said and worker.status == 256


@pytest.mark.parametrize("encoded, why", [
    (b"", "not a box plan"), (b"x" * 100, "not a box plan"),
    (z.plan(z.root_ops(), ["x"])[:-1], "cut short"),
    (z.plan(z.root_ops(), ["x"], namespaces=63), "needs a namespace"),
    (z.plan([z.op("RIGHTS")], ["x"]), "without a root"),
    (z.plan([z.op("RIGHTS")], ["x"], namespaces=1), "without a namespace of each kind"),
    (z.plan([z.op("RIGHTS")], ["x"], namespaces=0), "without a namespace of each kind"),
    (z.plan(z.root_ops(extra=[z.op("DIR", "/a/../../b")]), ["x"]), "\"..\""),
    (z.plan(z.root_ops(extra=[z.op("BIND", "/", "/")]), ["x"]), "is the root"),
    (z.plan(z.root_ops(), ["x"], n_fds=3), "file descriptors came"),
    (z.plan(z.root_ops(profile=z.SNAPSHOT), ["x"]), "for workers only"),
])
def test_plans_that_are_refused(boxes, encoded, why):
    answer = boxes.ask(encoded)
    assert isinstance(answer, z.Packet) and answer.type == z.FAILED
    assert why in answer.text.decode()


def test_messages_that_make_no_sense(boxes):
    for data in (b"x", b"\0" * 40, b"\x09" + b"\0" * 39, bytes([z.FORKED]) + b"\0" * 39, b"\x02" + b"\1" * 60000):
        boxes.control.send(data)
        assert boxes.receive().type == z.FAILED


def test_machine_without_namespaces(program):
    if not can_box():
        pytest.skip("this machine gives no user namespaces at all")
    prefix = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"']
    zygote = z.Zygote(program, prefix=prefix)
    answer = zygote.ask(z.plan(z.root_ops(), ["/bin/true"]))
    assert answer.type == z.FAILED and b"user.max_user_namespaces" in answer.text
    assert zygote.close() == 0


def test_dry_run(tmp_path):
    plan = tmp_path / "plan"
    plan.write_bytes(z.plan(z.root_ops("/code"), ["worker"], ["TOKEN=hush"], cwd="/var/task"))
    out = subprocess.run([WICK_BOX, "--dry-run", plan], capture_output=True, text=True)
    assert out.returncode == 0 and "bind     /code -> /var/task ro,exec\n" in out.stdout
    assert "env      TOKEN\n" in out.stdout and "hush" not in out.stdout
    with open(plan, "rb") as f:
        assert subprocess.run([WICK_BOX, "--dry-run", "-"], stdin=f, capture_output=True, text=True).stdout == out.stdout
    plan.write_bytes(b"no plan")
    out = subprocess.run([WICK_BOX, "--dry-run", plan], capture_output=True, text=True)
    assert out.returncode == 1 and "not a box plan" in out.stderr
    assert subprocess.run([WICK_BOX, "--dry-run", tmp_path / "none"], capture_output=True).returncode == 1
    assert subprocess.run([WICK_BOX], capture_output=True).returncode == 2
    out = subprocess.run([WICK_BOX, "--help"], capture_output=True, text=True)
    assert out.returncode == 0 and "Examples:" in out.stdout
    out = subprocess.run([WICK_BOX, "--zygote"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert out.returncode == 2 and "started by wick-node" in out.stderr


# ---- as functions ----

HANDLER = """
import contextlib, io
import attack

def handler(event, context):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            getattr(attack, event["name"])(*event["args"])
    except SystemExit as e:
        out.write(str(e))
    print(out.getvalue())
    return out.getvalue()
"""
NODE_HANDLER = """
const { spawnSync } = require("node:child_process");
exports.handler = async (event) => {
	const p = spawnSync("python3", ["-I", "-S", "/var/task/attack.py", event.name, ...event.args], { encoding: "utf8" });
	console.log(p.stdout + p.stderr);
	return p.stdout + p.stderr;
};
"""
VICTIM = """
import os
open("/tmp/victim", "w").write(os.environ["SECRET"])

def handler(event, context):
    return os.environ["SECRET"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not can_box():
        pytest.skip("this machine gives no user namespaces")
    w = Wick(tmp_path_factory.mktemp("escape") / "data", env={"HOST_SECRET": "hush-of-the-host"})
    yield w
    w.stop()
    assert not w.sanitizer_reports(), w.log()
    shutil.rmtree(w.data, ignore_errors=True)


@pytest.fixture(scope="module", params=["python", "snapstart", "nodejs"])
def attacker(server, request):
    """A function that attacks, and one with secrets whose worker came from the same zygote before it and is still there."""
    kind, qualifier = request.param, {}
    if kind == "nodejs" and not shutil.which("node"):
        pytest.skip("needs Node.js")
    secret, own = "hush-" + uuid.uuid4().hex, "mine-" + uuid.uuid4().hex
    victim = server.deploy(VICTIM, Environment={"Variables": {"SECRET": secret}})
    assert server.invoke(victim)[0] == secret
    conf = dict(MemorySize=512, Timeout=60, Environment={"Variables": {"OWN": own}})
    files = {"attack.py": PAYLOAD.read_text()}
    if kind == "nodejs":
        name = server.deploy("", handler="index.handler", Runtime="nodejs20.x", files={**files, "index.js": NODE_HANDLER}, **conf)
    else:
        snap = {"SnapStart": {"ApplyOn": "PublishedVersions"}} if kind == "snapstart" else {}
        name = server.deploy(HANDLER, files=files, **conf, **snap)
    if kind == "snapstart":
        qualifier["Qualifier"] = server.client("lambda").publish_version(FunctionName=name)["Version"]

    def call(attack, *args):
        said, answer = server.invoke(name, {"name": attack, "args": [str(a) for a in args]}, **qualifier)
        return said if isinstance(said, str) else json.dumps(said), answer

    def run(attack, *args):
        said, answer = call(attack, *args)
        assert "FunctionError" not in answer, said
        assert "blocked: " in said and "ESCAPED" not in said and secret not in said and "hush-of" not in said, said
        return said

    run.name, run.victim, run.secret, run.own, run.call, run.kind = name, victim, secret, own, call, kind
    yield run
    assert server.invoke(victim)[0] == secret  # unharmed


@pytest.mark.parametrize("name", ["syscalls", "namespaces", "old_calls", "terminal", "write_code", "proc_files", "rights"])
def test_function_refused(attacker, name):
    attacker(name)


def test_function_reads_nothing_of_the_server(server, attacker):
    """The data folder with its store, credentials, sockets and every function's package, by name."""
    found = sorted(server.data.rglob("*"))
    paths = [server.data, server.data / "credentials", *(p for p in found if p.parent == server.data), *found[::len(found) // 40 + 1]]
    assert (server.data / "credentials").exists() and len(paths) > 8
    attacker("read_files", *paths, "/tmp/victim", "/proc/%d/environ" % server.process.pid)


def test_function_finds_nothing_of_others(server, attacker):
    """In its memory (a copy of the zygote's), its environment and its processes."""
    for secret in (attacker.secret, "hush-of-the-host", server.keys[1]):
        attacker("memory_of_others", bytes(c ^ 0x5a for c in secret.encode()).hex())
    own = bytes(c ^ 0x5a for c in attacker.own.encode()).hex()
    if attacker.kind != "nodejs":  # a process of its own there
        assert "ESCAPED" in attacker.call("memory_of_others", own)[0]  # it does find what is there


def test_function_network(server, attacker):
    port = server.url.rsplit(":", 1)[1]
    attacker("sockets", port, "wick-none-" + uuid.uuid4().hex)


def test_function_kills_nobody(server, attacker):
    pids = [server.process.pid, *server.pids("wick-gate"), *server.pids("wick-node")]
    said, _ = attacker.call("kill", *pids)
    # Where the attack is not process 1 of the box it ends that, and with it itself.
    assert "blocked: kill all" in said or (attacker.kind == "nodejs" and "signal: killed" in said), said
    assert "ESCAPED" not in said and server.process.poll() is None
    assert pids == [server.process.pid, *server.pids("wick-gate"), *server.pids("wick-node")]


def test_function_that_takes_all(server, attacker):
    """Memory, processes, files: bounded, said in the function's own log, and the others go on."""
    attacker("fd_exhaustion", 4096)

    def killed(said):
        return attacker.kind == "nodejs" and said == "trying\n"  # the attack is a process of its own there

    for attack, size in (("fork_bomb", 1100), ("disk", 700 << 20), ("memory", 4 << 30)):
        said, _ = attacker.call(attack, size)
        # Whichever is reached first: what it tries, or the memory that it takes.
        assert "ESCAPED" not in said and ("blocked: " in said or "Runtime.OutOfMemory" in said or killed(said)), said
    assert killed(said) or "Runtime.OutOfMemory" in said  # the last one has no other bound
    log = server.run("logs", attacker.name).stdout
    assert "blocked: open after" in log and "memory" in log.lower()
    assert server.invoke(attacker.victim)[0] == attacker.secret


def test_function_without_network(server):
    """wick:network=none has not even Wick's API, which the others have."""
    source = """
import socket

def handler(event, context):
    s = socket.socket()
    try:
        s.connect(("127.0.0.1", 9000))
    except OSError as e:
        return e.strerror
    return "connected"
"""
    none, gateway = server.deploy(source, Tags={"wick:network": "none"}), server.deploy(source)
    assert server.invoke(none)[0] == "Connection refused"
    assert server.invoke(gateway)[0] == "connected"
