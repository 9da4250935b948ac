"""SnapStart: a process of a function that has initialised it, and the workers forked from that."""


def hooks_of(name):
    library = sys.modules.get("snapshot_restore_py")
    return getattr(library, name)() if library is not None else []


def open_files():
    """Workers share no open file with the snapshot or each other: positions and connections would be shared, too. What
    they need to have their own."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            with open("/proc/self/fdinfo/" + name) as f:
                info = dict(line.split(":", 1) for line in f if line.startswith(("pos:", "flags:")))
            if int(name) > 2:
                found.append((int(name), os.readlink("/proc/self/fd/" + name), int(info["flags"], 8), int(info["pos"])))
        except OSError:  # of the listing itself
            pass
    return found


def ended_file(path, flags):
    """What reads as ended and takes no bytes."""
    if path.startswith("socket:"):
        import socket

        ours, theirs = socket.socketpair()
        theirs.close()
        return ours.detach()
    r, w = os.pipe()
    if flags & os.O_ACCMODE != os.O_WRONLY:
        r, w = w, r
    os.close(r)
    return w


def reopen_files():
    """At the numbers they had: a file is opened again at its position; connections, pipes and files that are gone are
    ended, so that who has them notices and makes new ones."""
    for fd, path, flags, position in _open_files:
        try:
            os.fstat(fd)
            continue  # the lane's number
        except OSError:
            pass
        try:
            if not path.startswith("/"):
                raise FileNotFoundError
            new = os.open(path, flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
            if position:
                os.lseek(new, position, os.SEEK_SET)
        except OSError:
            new = ended_file(path, flags)
        if new != fd:
            os.dup2(new, fd, inheritable=False)
            os.close(new)


def in_words(error):
    kind, message, trace = describe(error)
    return (kind + ": " + message if message else kind), trace


def snapshot():
    """Initialises the function once and then is the parent of its workers."""
    HOOKS["botocore.credentials"] = hook_credentials
    hang_hooks({"botocore.credentials": hook_credentials})
    initialise()
    try:
        for func, args, kwargs in reversed(list(hooks_of("get_before_snapshot"))):
            func(*args, **kwargs)
    except Exception as e:
        fail(Fault("Runtime.BeforeSnapshotError", *in_words(e)))
    threads = _wick_process.threads()
    if threads > 1:
        fail(Fault("Runtime.SnapshotError", "The function has %d threads after its initialisation, and threads are not "
                   "part of a snapshot: start them in a hook after the restore" % threads))
    flush()
    _wick_process.run_fork_hooks()  # the function's own
    _wick_process.stir(True)
    _wick_process.generators(None, None, None, 0)
    fresh_randomness()
    _open_files.extend(open_files())
    gc.collect()
    gc.freeze()
    _wick_lane.ready(concurrency(), imports_of_start(os.environ.get("_HANDLER", "")))
    _wick_process.serve()
    flush()
    os._exit(0)


def restore():
    """A worker forked from a snapshot: all its own but what the function made of its initialisation."""
    own_environment()
    if _handler is None:
        fail(Fault("Runtime.SnapshotError", "There is no snapshot to restore from"))
    reopen_files()
    renew_credentials()
    try:
        for func, args, kwargs in list(hooks_of("get_after_restore")):
            func(*args, **kwargs)
    except Exception as e:
        fail(Fault("Runtime.AfterRestoreError", *in_words(e)))
    run()
