"""A zygote as wick-node sees it: plans are encoded here anew (src/wire/boxplan.h, src/wire/zygote.h), so that what the
programs read is held to the contract by a second hand."""
import array, os, select, signal, socket, struct, subprocess, uuid

KINDS = ("CGROUP ROOT DIR LINK FILE BIND TMPFS PROC PIVOT UNMOUNT HOSTNAME LOOPBACK LISTEN WAIT RLIMIT LANDLOCK "
         "RIGHTS").split()
WRITABLE, EXEC, DEV, OPTIONAL = 1, 2, 4, 8
WORKER, SNAPSHOT, POOL = 0, 1, 2
NS_ALL = 127
LOADED, FORK, FORKED, FAILED, EXITED = 1, 2, 3, 4, 5
FRAME_ERROR, FRAME_BOXED = 4, 7
KEY_ERROR_TYPE, KEY_BOX_US = 6, 14


def _text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<I", len(s)) + s


def op(kind, to="", source="", value=0, flags=0, which=0, fd=0):
    return struct.pack("<IIIIQ", KINDS.index(kind), flags, which, fd, value) + _text(source) + _text(to)


def plan(ops, argv, env=(), cwd="/", namespaces=NS_ALL, n_fds=2):
    head = struct.pack("<IIIIII", 0x31584257, namespaces, n_fds, len(ops), len(argv), len(env))
    return head + _text(cwd) + b"".join(ops) + b"".join(map(_text, argv)) + b"".join(map(_text, env))


def root_ops(code=None, tmp=64 << 20, extra=(), rest=(), landlock=True, profile=WORKER, memory_files=4096):
    """What a worker's root is made of; `extra` goes before PIVOT, `rest` before RIGHTS."""
    ops = [op("ROOT", value=4 << 20), op("DIR", "/var"), op("DIR", "/etc"), op("DIR", "/dev"),
           op("BIND", "/usr", "/usr", flags=EXEC)]
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        if os.path.islink("/" + name):
            ops.append(op("LINK", "/" + name, os.readlink("/" + name)))
        elif os.path.isdir("/" + name):
            ops.append(op("BIND", "/" + name, "/" + name, flags=EXEC))
    for name in ("null", "zero", "full", "random", "urandom"):
        ops.append(op("BIND", "/dev/" + name, "/dev/" + name, flags=WRITABLE | DEV))
    ops += [op("LINK", "/dev/fd", "/proc/self/fd"),
            op("FILE", "/etc/passwd", "user:x:1000:1000::/tmp:/bin/sh\n"),
            op("FILE", "/etc/hosts", "127.0.0.1 localhost\n"),
            op("BIND", "/etc/ld.so.cache", "/etc/ld.so.cache", flags=OPTIONAL),
            op("BIND", "/etc/alternatives", "/etc/alternatives", flags=OPTIONAL),
            op("TMPFS", "/tmp", value=tmp, flags=EXEC), op("TMPFS", "/dev/shm", value=16 << 20), op("PROC", "/proc")]
    if code:
        ops.append(op("BIND", "/var/task", str(code), flags=EXEC))
    else:
        ops.append(op("DIR", "/var/task"))
    ops += list(extra) + [op("PIVOT"), op("HOSTNAME", source="wick"), op("LOOPBACK")]
    ops += [op("RLIMIT", which=4, value=0), op("RLIMIT", which=7, value=1024)]
    ops += list(rest)
    if landlock:
        ops += [op("LANDLOCK", "/"), op("LANDLOCK", "/tmp", flags=WRITABLE), op("LANDLOCK", "/dev", flags=WRITABLE)]
    return ops + [op("RIGHTS", value=profile)]


def frames(data):
    """[(type, id, {key: value}, body)] and what is left of data."""
    out = []
    while len(data) >= 32:
        body_n, meta_n, kind = struct.unpack_from("<IIB", data)
        if len(data) < 32 + meta_n + body_n:
            break
        meta, at, fields = data[32:32 + meta_n], 0, {}
        while at < meta_n:
            key, _, n = struct.unpack_from("<HHI", meta, at)
            fields[key] = meta[at + 8:at + 8 + n]
            at += 8 + n
        out.append((kind, data[16:32], fields, data[32 + meta_n:32 + meta_n + body_n]))
        data = data[32 + meta_n + body_n:]
    return out, data


class Packet:
    def __init__(self, data, fds):
        self.type, self.pid, self.status, self.cpu_us = struct.unpack_from("<BxxxiixxxxQ", data)
        self.id, self.text, self.fds = data[24:40], data[40:], fds


class Worker:
    """One boxed child of this process (CLONE_PARENT makes it ours)."""

    def __init__(self, zygote, lane, output, packet):
        self.zygote, self.lane, self.output = zygote, lane, output
        self.pid, self.pidfd = packet.pid, packet.fds[0] if packet.fds else -1
        self.data, self.status, self.printed, self.fds = b"", None, b"", []

    def frame(self, timeout=20):
        """The next frame; None: the lane is closed."""
        self.lane.settimeout(timeout)
        while True:
            got, rest = frames(self.data)
            if got:
                self.data = self.data[32 + struct.unpack_from("<I", self.data, 4)[0] + len(got[0][3]):]
                return got[0]
            try:
                data, fds, _, _ = socket.recv_fds(self.lane, 1 << 16, 8)
            except ConnectionResetError:
                return None
            self.fds += fds
            if not data:
                return None
            self.data += data

    def wait(self, timeout=60):
        """Everything it printed, until it ended; its wait status is in .status."""
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        while poll.poll(timeout * 1000):
            piece = os.read(self.output, 1 << 16)
            if not piece:
                break
            self.printed += piece
        else:
            os.kill(self.pid, signal.SIGKILL)
        self.status = os.waitpid(self.pid, 0)[1]
        self.close()
        return self.printed.decode(errors="replace")

    def close(self):
        for fd in [self.output, self.pidfd] + self.fds:
            if fd >= 0:
                os.close(fd)
        self.output, self.pidfd, self.fds = -1, -1, []
        self.lane.close()


class Zygote:
    def __init__(self, program, *args, prefix=(), env=None):
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20)

        def fd3():
            os.dup2(far.fileno(), 3)

        self.process = subprocess.Popen([*prefix, str(program), "--zygote", *args], stdin=subprocess.DEVNULL, env=env,
                                        close_fds=False, preexec_fn=fd3)
        far.close()
        first = self.receive()
        assert first and first.type == LOADED, first
        self.loaded = first.text.decode()

    def receive(self):
        data, fds, _, _ = socket.recv_fds(self.control, 1 << 18, 8)
        return Packet(data, fds) if data else None

    def send(self, kind, text=b"", fds=(), ident=None):
        head = struct.pack("<BxxxiixxxxQ", kind, 0, 0, 0) + (ident or uuid.uuid4().bytes)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.control.sendmsg([head + text], rights)

    def ask(self, encoded, fds=()):
        """A FORK with a fresh lane and output pipe: a Worker, or the FAILED packet."""
        lane, lane_far = socket.socketpair()
        output, output_far = os.pipe()
        self.send(FORK, encoded, [lane_far.fileno(), output_far, *fds])
        lane_far.close()
        os.close(output_far)
        answer = self.receive()
        if answer.type != FORKED:
            lane.close()
            os.close(output)
            return answer
        return Worker(self, lane, output, answer)

    def close(self):
        self.control.close()
        return self.process.wait(timeout=20)
