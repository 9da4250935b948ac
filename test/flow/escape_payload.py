"""Attacks on a box, run inside of it by test_escape.py: `python3 escape_payload.py NAME [ARG...]`. Each either prints
what stopped it ("blocked: ...") or ends with what it got ("ESCAPED: ..."). Raw system calls go through libc."""
import ctypes, errno, fcntl, mmap, os, re, resource, signal, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *args):
    r = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if r < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return r


def refused(what, errnos, f, *args):
    """f must fail with one of these errors."""
    try:
        got = f(*args)
    except OSError as e:
        if e.errno not in errnos:
            raise SystemExit(f"ESCAPED? {what}: {errno.errorcode.get(e.errno, e.errno)} is not the refusal expected")
        print(f"blocked: {what}: {e.strerror}")
        return
    raise SystemExit(f"ESCAPED: {what}: {got!r}")


EPERM, ENOSYS, EACCES, ENOENT, EROFS = errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ENOENT, errno.EROFS

# x86_64: name, number, arguments, errors that are a refusal.
SYSCALLS = [
    ("ptrace traceme", 101, (0, 0, 0, 0)), ("ptrace attach", 101, (16, 1, 0, 0)), ("process_vm_readv", 310, (1, 0, 0, 0, 0, 0)),
    ("process_vm_writev", 311, (1, 0, 0, 0, 0, 0)), ("pidfd_getfd", 438, (0, 0, 0)), ("kcmp", 312, (1, 1, 0, 0, 0)),
    ("mount", 165, (b"none", b"/tmp", b"tmpfs", 0, 0)), ("remount /", 165, (b"none", b"/", 0, 0x1020, 0)),
    ("remount /usr", 165, (b"none", b"/usr", 0, 0x1020, 0)), ("umount /tmp", 166, (b"/tmp", 2)),
    ("umount /proc", 166, (b"/proc", 2)), ("pivot_root", 155, (b"/tmp", b"/tmp")), ("chroot", 161, (b"/tmp",)),
    ("open_tree", 428, (-100, b"/", 1)), ("move_mount", 429, (-100, b"/", -100, b"/tmp", 0)),
    ("fsopen", 430, (b"tmpfs", 0)), ("fspick", 433, (-100, b"/", 0)), ("mount_setattr", 442, (-100, b"/", 0, 0, 0)),
    ("setns", 308, (0, 0)), ("sethostname", 170, (b"x", 1)), ("setdomainname", 171, (b"x", 1)),
    ("bpf", 321, (0, 0, 0)), ("userfaultfd", 323, (0,)), ("perf_event_open", 298, (0, 0, -1, -1, 0)),
    ("io_uring_setup", 425, (8, 0)), ("io_uring_enter", 426, (0, 0, 0, 0)), ("io_uring_register", 427, (0, 0, 0, 0)),
    ("add_key", 248, (b"user", b"x", b"y", 1, -4)), ("request_key", 249, (b"user", b"x", 0, -4)),
    ("keyctl session", 250, (1, 0)), ("keyctl describe", 250, (6, -3, 0, 0)),
    ("kexec_load", 246, (0, 0, 0, 0)), ("kexec_file_load", 320, (0, 0, 0, 0, 0)), ("reboot", 169, (0xfee1dead, 672274793, 0x1234567, 0)),
    ("init_module", 175, (0, 0, b"")), ("finit_module", 313, (0, b"", 0)), ("delete_module", 176, (b"ext4", 0)),
    ("swapon", 167, (b"/tmp/x", 0)), ("swapoff", 168, (b"/tmp/x",)), ("quotactl", 179, (0, 0, 0, 0)),
    ("acct", 163, (b"/tmp/x",)), ("syslog", 103, (3, 0, 0)), ("iopl", 172, (3,)), ("ioperm", 173, (0, 1, 1)),
    ("name_to_handle_at", 303, (-100, b"/", 0, 0, 0)), ("open_by_handle_at", 304, (-100, 0, 0)),
    ("fanotify_init", 300, (0, 0)), ("lookup_dcookie", 212, (0, 0, 0)), ("vhangup", 153, ()),
    ("settimeofday", 164, (0, 0)), ("clock_settime", 227, (0, 0)), ("clock_adjtime", 305, (0, 0)), ("adjtimex", 159, (0,)),
    ("personality", 135, (0x0040000,)), ("modify_ldt", 154, (0, 0, 0)), ("migrate_pages", 256, (0, 0, 0, 0)),
    ("move_pages", 279, (0, 0, 0, 0, 0, 0)), ("memfd_secret", 447, (0,)), ("uselib", 134, (b"/x",)), ("ustat", 136, (0, 0)),
    ("sysfs", 139, (3,)), ("_sysctl", 156, (0,)),
    ("io_setup", 206, (1, 0)), ("io_submit", 209, (0, 0, 0)),
    ("clone3", 435, (0, 0)), ("unknown call", 4000, ()), ("x32 getpid", 0x40000000 + 39, ()),
]


def syscalls():
    for name, number, args in SYSCALLS:
        args = [ctypes.c_char_p(a) if isinstance(a, bytes) else a for a in args]
        refused(name, (EPERM, ENOSYS), call, number, *args)


def namespaces():
    for name, flag in dict(user=0x10000000, mount=0x20000, pid=0x20000000, net=0x40000000, uts=0x4000000, ipc=0x8000000,
                           cgroup=0x2000000, time=0x80).items():
        refused("unshare " + name, (EPERM,), call, 272, flag)
        if name != "time":  # its bit is part of the exit signal in clone
            refused("clone " + name, (EPERM,), call, 56, flag | 17, 0, 0, 0, 0)
    all_flags = 0x7e020000
    refused("clone all", (EPERM,), call, 56, all_flags | 17, 0, 0, 0, 0)
    refused("clone all, high bits", (EPERM,), call, 56, all_flags | 17 | 1 << 40, 0, 0, 0, 0)
    for name in ("user", "mnt", "pid", "net"):
        fd = os.open("/proc/1/ns/" + name, os.O_RDONLY)
        refused("setns " + name, (EPERM,), call, 308, fd, 0)


def old_calls():
    """The 32-bit system calls, which have numbers of their own: mount is 21, getpid 20, unshare 310."""
    for number in (20, 21, 26, 310):
        code = b"\xb8" + struct.pack("<I", number) + b"\x53\x31\xdb\x31\xc9\x31\xd2\xcd\x80\x5b\x48\x98\xc3"
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        run = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        r = run()
        if r != -EPERM:
            raise SystemExit(f"ESCAPED: int 0x80 call {number}: {r}")
        print(f"blocked: int 0x80 call {number}: {os.strerror(-r)}")


def terminal():
    for cmd in (0x5412, 0x541c, 0x5412 | 1 << 32):
        refused(f"ioctl {cmd:#x}", (EPERM,), call, 16, 0, cmd, ctypes.c_char_p(b"x"))


def read_files(*paths):
    """What lies on the host, by every way to its name."""
    for path in paths + ("/etc/shadow", "/root", "/home", "/work", "/sys", "/boot", "/run", "/var/log", "/var/lib", "/mnt"):
        for base in ("", "/proc/1/root", "/proc/self/root", "/proc/self/root/../../..", "/..", "/proc/self/cwd/../../..",
                     "/var/task/..", "/var/task/up"):
            refused("read " + base + path, (ENOENT, EACCES, errno.ENOTDIR, errno.ELOOP),
                    lambda p=base + path: os.listdir(p) if os.path.isdir(p) else open(p).read())


def descriptors():
    """What came along open: nothing that leads anywhere."""
    fds = sorted(int(x) for x in os.listdir("/proc/self/fd"))
    for fd in fds:
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if not (target in ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero") or target.startswith(("pipe:", "/proc/")) or (fd > 2 and target.startswith("socket:"))
                or target.startswith("/var/task/")):
            raise SystemExit(f"ESCAPED: fd {fd} is {target}")
        try:
            os.open("..", os.O_RDONLY, dir_fd=fd)
        except (NotADirectoryError, PermissionError, FileNotFoundError):
            pass
        else:
            if not target.startswith("/proc"):
                raise SystemExit(f"ESCAPED: from fd {fd}, {target}, upwards")
    print("blocked: descriptors", fds)


def environment(*allowed):
    extra = set(os.environ) - set(allowed) - {"LC_CTYPE"}
    if extra:
        raise SystemExit(f"ESCAPED: environment {extra}")
    pids = [p for p in os.listdir("/proc") if p.isdigit()]
    if set(pids) - {"1", str(os.getpid())}:
        raise SystemExit(f"ESCAPED: processes {pids}")
    if os.getppid() not in (0, 1):
        raise SystemExit(f"ESCAPED: parent {os.getppid()}")
    print("blocked: no other environment, processes", pids)


def memory_of_others(hidden):
    """Looks for a secret (given so that the question does not hold the answer) in all memory of this process."""
    wanted = re.compile(b"".join(b"[" + re.escape(bytes([c ^ 0x5a])) + b"]" for c in bytes.fromhex(hidden)))
    with open("/proc/self/mem", "rb", buffering=0) as mem:
        for line in open("/proc/self/maps").read().splitlines():
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if not line.split()[1].startswith("rw") or end - start > 1 << 32:
                continue
            for at in range(start, end, 1 << 20):
                mem.seek(at)
                try:
                    piece = mem.read(min(end - at, (1 << 20) + 256))
                except OSError:
                    continue
                if wanted.search(piece):
                    raise SystemExit(f"ESCAPED: found in {line}")
    print("blocked: nothing found in memory")


def write_code():
    for path in ("/var/task/app.py", "/var/task/new", "/usr/bin/new", "/etc/passwd", "/etc/new", "/new", "/opt/new", "/lib/new",
                 "/dev/new"):
        refused("write " + path, (EROFS, EACCES, ENOENT), os.open, path, os.O_WRONLY | os.O_CREAT, 0o600)
    for name, f in dict(chmod=lambda: os.chmod("/var/task/app.py", 0o777), unlink=lambda: os.unlink("/var/task/app.py"),
                        utime=lambda: os.utime("/var/task/app.py"), rename=lambda: os.rename("/var/task/app.py", "/tmp/x"),
                        truncate=lambda: os.truncate("/var/task/app.py", 0),
                        setxattr=lambda: os.setxattr("/var/task/app.py", "user.x", b"y"),
                        link=lambda: os.link("/var/task/app.py", "/tmp/y"),
                        mmap=lambda: os.open("/proc/self/fd/%d" % os.open("/var/task/app.py", os.O_RDONLY), os.O_RDWR),
                        mkdir=lambda: os.mkdir("/var/task/d"), symlink=lambda: os.symlink("/", "/var/task/s")).items():
        refused(name + " of own code", (EROFS, EACCES, EPERM, errno.EXDEV), f)


def proc_files():
    for path in ("sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/vm/drop_caches",
                 "sys/vm/overcommit_memory", "sys/net/ipv4/ip_forward", "sys/net/ipv4/ping_group_range", "sys/fs/binfmt_misc/register",
                 "sys/user/max_user_namespaces", "self/oom_score_adj", "1/oom_score_adj", "self/uid_map", "self/gid_map", "self/setgroups",
                 "self/mem", "1/mem", "irq/default_smp_affinity", "self/attr/current", "self/loginuid", "self/timens_offsets"):
        refused("write /proc/" + path, (EROFS, EACCES, EPERM, ENOENT), os.open, "/proc/" + path, os.O_WRONLY)
    for path in ("kcore", "kmsg", "kallsyms", "keys", "kpagecount", "kpageflags", "iomem", "slabinfo", "vmallocinfo", "timer_list"):
        def read(p="/proc/" + path):
            data = open(p, "rb").read(1 << 16)
            if path in ("kallsyms", "iomem") and all(set(line.split(b" ")[0]) <= set(b"0-") or not line.strip()
                                                     or b"00000000" in line for line in data.splitlines()):
                raise OSError(EACCES, "only zeros")  # the kernel hides the addresses
            return data[:80]
        refused("read /proc/" + path, (EACCES, EPERM, ENOENT), read)
    for path in ("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/ptmx", "/dev/tty",
                 "/dev/console", "/sys/fs/cgroup", "/sys/kernel", "/dev/nvidia0"):
        refused("open " + path, (ENOENT, EACCES, errno.ENXIO), os.open, path, os.O_RDONLY)
    for name, mode in (("block", 0o60600), ("char", 0o20600)):
        refused(f"mknod {name}", (EPERM,), os.mknod, "/tmp/node-" + name, mode, os.makedev(1, 1))


def links(secret):
    """Symbolic links and .. that lead out: of the code, made in /tmp, through /proc."""
    os.symlink(secret, "/tmp/link")
    os.symlink("/proc/1/root/../.." + secret, "/tmp/link2")
    os.symlink("../../../../../.." + secret, "/tmp/link3")
    for path in ("/tmp/link", "/tmp/link2", "/tmp/link3", "/var/task/leak", "/var/task/leakdir/secret", "/var/task/up" + secret,
                 "/proc/self/task/%d/root%s" % (os.getpid(), secret), "/proc/thread-self/root" + secret,
                 "/proc/self/map_files/.." + secret):
        refused("read " + path, (ENOENT, EACCES, errno.ELOOP, errno.ENOTDIR, EPERM), lambda p=path: open(p).read())
    fd = os.open("/tmp", os.O_RDONLY)
    for _ in range(20):
        fd = os.open("..", os.O_RDONLY, dir_fd=fd)
    refused("openat .. and down", (ENOENT, EACCES), lambda: os.open(secret[1:], os.O_RDONLY, dir_fd=fd))


def sockets(host_port, abstract, *addresses):
    for name, family, kind, proto in (("packet", 17, 3, 0x300), ("packet dgram", 17, 2, 0x300), ("raw icmp", 2, 3, 1),
                                      ("raw ip6", 10, 3, 58), ("raw tcp", 2, 3, 6), ("netlink audit", 16, 3, 9),
                                      ("netlink generic", 16, 3, 16), ("netlink netfilter", 16, 3, 12), ("vsock", 40, 1, 0),
                                      ("alg", 38, 5, 0), ("key", 15, 3, 2), ("bluetooth", 31, 3, 1), ("can", 29, 3, 1),
                                      ("tipc", 30, 2, 0), ("xdp", 44, 3, 0), ("smc", 43, 1, 0), ("sctp", 2, 5, 132)):
        refused("socket " + name, (EPERM,), socket.socket, family, kind, proto)

    def connect(host, port):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.settimeout(5)
        s.connect((host, port))
        return s.getpeername()

    for host, port in [("169.254.169.254", 80), ("169.254.170.2", 80), ("8.8.8.8", 53), ("10.0.2.2", 80), ("192.168.0.1", 80)] + \
                      [(a, int(host_port)) for a in addresses]:
        refused(f"connect {host}:{port}", (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH), connect, host, port)
    for host in ("127.0.0.1", "127.0.0.53", "::1"):
        refused(f"connect to the host's {host}:{host_port}", (errno.ECONNREFUSED, errno.EADDRNOTAVAIL), connect, host, int(host_port))

    def abstract_connect(kind):
        s = socket.socket(socket.AF_UNIX, kind)
        s.connect("\0" + abstract)

    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        refused("abstract socket of the host", (errno.ECONNREFUSED,), abstract_connect, kind)
    s = socket.socket(socket.AF_UNIX)
    for path in ("/run/systemd/private", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        refused("connect " + path, (ENOENT, EACCES), s.connect, path)
    rtnl = socket.socket(16, 3, 0)  # reading routes is allowed, changing them is not
    rtnl.send(struct.pack("=LHHLL", 32, 16, 5, 1, 0) + struct.pack("=BxHiII", 0, 0, 1, 0, 1))
    answer = rtnl.recv(4096)
    code = struct.unpack_from("=i", answer, 16)[0]
    if code != -EPERM:
        raise SystemExit(f"ESCAPED: rtnetlink setlink: {code}")
    print("blocked: rtnetlink setlink")


def ipc(key, shm_name):
    refused("shared memory of the host", (ENOENT,), call, 29, int(key), 0, 0)
    refused("semaphores of the host", (ENOENT,), call, 64, int(key), 0, 0)
    refused("/dev/shm of the host", (ENOENT,), os.open, "/dev/shm/" + shm_name, os.O_RDONLY)


def kill(*pids):
    for pid in pids:
        refused(f"kill {pid}", (errno.ESRCH,), os.kill, int(pid), signal.SIGKILL)
        refused(f"pidfd_open {pid}", (errno.ESRCH, errno.EINVAL), call, 434, int(pid), 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    refused("kill all", (errno.ESRCH,), os.kill, -1, signal.SIGKILL)  # there is nobody but pid 1
    for who in (0, 1, 2):
        refused(f"priority of {who}", (EACCES, EPERM, errno.ESRCH), os.setpriority, who, 0, -10)
    refused("real-time", (EPERM,), os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
    raised = struct.pack("<QQ", 1 << 20, 1 << 20)
    libc.prlimit(0, resource.RLIMIT_CORE, ctypes.c_char_p(struct.pack("<QQ", 0, 0)), None)
    base = 0x2000 << 32  # an address whose lower half is 0
    libc.mmap.restype = ctypes.c_long
    if libc.mmap(ctypes.c_long(base), ctypes.c_long(4096), 3, 0x100022, -1, ctypes.c_long(0)) != base:
        raise SystemExit("ESCAPED? no page there to try with")
    ctypes.memset(base, 0, 16)
    call(302, 0, resource.RLIMIT_CORE, base, 0)
    call(302, 0, resource.RLIMIT_CORE | 1 << 32, base, 0)
    if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1):
        raise SystemExit(f"ESCAPED: limit of cores {resource.getrlimit(resource.RLIMIT_CORE)}")
    print("blocked: limit of cores stays")
    refused("limit of files up", (EPERM,), call, 160, resource.RLIMIT_NOFILE, ctypes.c_char_p(raised))


def rights():
    for name, f in dict(setuid=lambda: os.setuid(0), setgid=lambda: os.setgid(0), setresuid=lambda: os.setresuid(0, 0, 0),
                        setgroups=lambda: os.setgroups([0])).items():
        refused(name, (EPERM, errno.EINVAL), f)
    header = struct.pack("<Ii", 0x20080522, 0)
    data = struct.pack("<IIIIII", *[0xffffffff] * 6)
    refused("capset", (EPERM,), call, 126, ctypes.c_char_p(header), ctypes.c_char_p(data))
    refused("no_new_privs off", (errno.EINVAL, EPERM), lambda: call(157, 38, 0, 0, 0, 0))
    refused("filter off", (errno.EINVAL, EACCES), lambda: call(157, 22, 0, 0, 0, 0))
    refused("keep capabilities", (EPERM,), lambda: call(157, 8, 1, 0, 0, 0))
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            raise SystemExit(f"ESCAPED: {name} {status[name]}")
    if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
        raise SystemExit(f"ESCAPED: {status}")
    for line in open("/proc/self/mounts"):
        if "nosuid" not in line.split()[3].split(","):
            raise SystemExit(f"ESCAPED: setuid programs work in {line}")
    print("blocked: setuid programs give nothing")


def fork_bomb(limit):
    children = []
    try:
        while True:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
            if len(children) > int(limit):
                raise SystemExit(f"ESCAPED: {len(children)} children")
    except OSError as e:
        print(f"blocked: fork after {len(children)} children: {e.strerror}")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fd_exhaustion(limit):
    fds = []
    try:
        while True:
            fds.append(os.open("/dev/null", os.O_RDONLY))
            if len(fds) > int(limit):
                raise SystemExit(f"ESCAPED: {len(fds)} descriptors")
    except OSError as e:
        for fd in fds:
            os.close(fd)
        print(f"blocked: open after {len(fds)}: {e.strerror}")


def disk(limit):
    total = 0
    block = b"x" * (1 << 20)
    for folder in ("/tmp", "/dev/shm"):
        try:
            with open(folder + "/big", "wb", buffering=0) as f:
                while True:
                    total += f.write(block)
                    if total > int(limit):
                        raise SystemExit(f"ESCAPED: {total} bytes in {folder}")
        except OSError as e:
            print(f"blocked: {folder} after {total} bytes: {e.strerror}")
        os.unlink(folder + "/big")
        try:
            for i in range(1 << 20):
                os.close(os.open(f"{folder}/{i}", os.O_CREAT | os.O_WRONLY))
            raise SystemExit("ESCAPED: a million files")
        except OSError as e:
            print(f"blocked: {folder} after {i} files: {e.strerror}")
        for j in range(i):
            os.unlink(f"{folder}/{j}")


def memory(size):
    print("trying", flush=True)
    chunks = []
    for _ in range(int(size) >> 20):
        chunks.append(b"x" * (1 << 20))
    print(f"ESCAPED: {size} bytes")


def daemon():
    """What it leaves behind when it ends."""
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(s, signal.SIG_IGN)
                time.sleep(600)
            os._exit(0)
    print("blocked: it ends with us")


def boxes_in_boxes(secret):
    """Who may make boxes (SnapStart) gets all capabilities in namespaces below its own: they must lead nowhere."""
    for name in ("mount", "unshare", "setns", "ptrace attach", "bpf", "chroot", "keyctl session", "io_uring_setup", "kexec_load"):
        number, args = next((n, a) for what, n, a in SYSCALLS if what == name) if name not in ("unshare", "setns") else \
            ({"unshare": 272, "setns": 308}[name], (0x10000000, 0))
        refused(name, (EPERM, ENOSYS), call, number, *(ctypes.c_char_p(a) if isinstance(a, bytes) else a for a in args))
    for flags in (0x10000000, 0x10020000, 0x50000000):  # all of them or none
        refused(f"clone {flags:#x}", (EPERM,), call, 56, flags | 17, 0, 0, 0, 0)
    sys.stdout.flush()
    pid = call(56, 0x7e020000 | 17, 0, 0, 0, 0)
    if pid:
        if os.waitpid(pid, 0)[1] != 0:
            raise SystemExit("ESCAPED? from a box in the box")
        print("blocked: a box in the box leads nowhere")
        return
    caps = [line for line in open("/proc/self/status") if line.startswith("CapEff")]
    print("in a box of its own", *caps)
    read_only = ctypes.c_char_p(struct.pack("<QQQQ", 0, 1, 0, 0))  # mount_attr: what to clear
    for path in (b"/", b"/usr", b"/var/task", b"/etc/ld.so.cache"):
        refused(f"{path.decode()} writable", (EPERM,), call, 442, -100, ctypes.c_char_p(path), 0, read_only, 32)
        refused(f"what lies below {path.decode()}", (errno.EINVAL,), call, 166, ctypes.c_char_p(path), 2)
    for path in (b"/proc", b"/dev/null", b"/tmp"):
        refused(f"what lies below {path.decode()}", (errno.EINVAL,), call, 166, ctypes.c_char_p(path), 2)
    refused("a copy without what covers it", (errno.EINVAL,), call, 428, -100, ctypes.c_char_p(b"/"), 1)
    refused("devices", (EPERM,), os.mknod, "/tmp/d", 0o60600, os.makedev(1, 1))
    refused("the host's files", (ENOENT,), os.stat, secret)
    refused("the host's root", (ENOENT, EACCES), os.stat, "/proc/1/root" + secret)
    for name in ("kernel/core_pattern", "kernel/modprobe", "vm/drop_caches"):
        refused("/proc/sys/" + name, (EACCES, EPERM, EROFS, ENOENT), os.open, "/proc/sys/" + name, os.O_WRONLY)
    # A tmpfs may be mounted there, which is its own; a file system of the machine may not.

    def mount(kind):
        fd = call(430, ctypes.c_char_p(kind), 0)
        call(431, fd, 6, 0, 0, 0)
        return call(432, fd, 0, 0)

    mount(b"tmpfs")
    for kind in (b"ext4", b"vfat", b"nfs", b"debugfs", b"tracefs", b"securityfs", b"devtmpfs"):
        refused("mount of " + kind.decode(), (EPERM, errno.ENODEV), mount, kind)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
