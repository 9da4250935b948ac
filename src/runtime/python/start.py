"""The zygote's loading, and how a worker begins."""


# What most functions use of the standard library: in every zygote.
USUAL = ("logging", "datetime", "random", "hashlib", "base64", "uuid", "decimal", "re", "typing", "enum", "functools",
         "collections", "itertools", "copy", "math", "string", "threading", "urllib.parse", "traceback", "tempfile",
         "secrets", "hmac")
# Packages that say little by their first module: what their users go on to.
MORE = {
    "PIL": ("PIL.Image", "PIL.ImageOps", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin",
            "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "PIL.TiffImagePlugin"),
    "boto3": ("boto3.s3.inject", "boto3.s3.transfer", "boto3.dynamodb.conditions", "boto3.dynamodb.types"),
}
WARM = "import json\ndef handler(event, context):\n    return {'a': [event, *b] for b in context if b > 1.5}\n"


def preload(names):
    """In the zygote: imports modules of the machine. Returns the names that could be, blanks between. Raises where one
    leaves a thread: a process with threads cannot be forked."""
    global _tops, _usual
    before = set(sys.modules)
    loaded = []
    register = watch_fork_hooks()
    for name in USUAL:
        importlib.import_module(name)
    _usual = set(sys.modules)
    for name in filter(None, names.split(",")):
        if preload_one(name):
            loaded.append(name)
            for more in MORE.get(name, ()):
                preload_one(more)
        threads = _wick_process.threads()
        if threads > 1:
            raise RuntimeError("import %s leaves %d threads, and a process with threads cannot be forked"
                               % (name, threads))
    os.register_at_fork = register
    for name, module in list(sys.modules.items()):
        if name not in before and module is not None:
            _preloaded[name] = module
    _tops = {top(name) for name in _preloaded}
    hang_hooks(HOOKS)
    sys.meta_path.append(LastFinder)
    hook_extensions()
    warm()
    _wick_process.stir(True)
    try:
        renew_quickly()
    except Exception as e:  # of another numpy than is known here
        sys.stderr.write("wick-python: randomness: %s: %s\n" % (type(e).__name__, e))
    # What is loaded stays: the collector need not look at it again, and a fork shares its pages.
    gc.collect()
    gc.freeze()
    return " ".join(loaded)


def preload_one(name):
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError("no module's name")
        importlib.import_module(name)
        return True
    except BaseException as e:
        sys.stderr.write("wick-python: import %s: %s: %s\n" % (name, type(e).__name__, e))
        return False


def watch_fork_hooks():
    """Hooks of os.register_at_fork run at every fork of a worker, too, but those of the standard library need not, in a
    process without threads: they mend locks, and `random` (see fresh_randomness). If they are all there are, none run."""
    register = os.register_at_fork

    def register_at_fork(**hooks):
        register(**hooks)
        if top(sys._getframe(1).f_globals.get("__name__", "")) not in sys.stdlib_module_names:
            _wick_process.run_fork_hooks()

    os.register_at_fork = register_at_fork
    return register


def hang_hooks(hooks):
    """On what is imported from now on; on what is loaded at once."""
    global _finder
    later = dict(hooks)
    for name in hooks:
        if name in sys.modules:
            later.pop(name)(sys.modules[name])
    if _finder is None:
        _finder = Finder(later)
        sys.meta_path.insert(0, _finder)
    else:
        _finder.hooks.update(later)


class WarmLane:
    """Gives a few invocations, and loses the answers."""

    def __init__(self, n):
        text = '{"key": ["value", 1, 1.5, true, null, {}]}'
        self._left = [(text, "0" * 36, 0, "arn", None, None)] * n

    def next(self):
        return self._left.pop() if self._left else None

    def result(self, answer):
        pass

    def first_result(self, answer, imports):
        pass

    error = first_result


def warm():
    """Runs what a worker will, often enough for the interpreter to specialise it and to fill its caches: it writes to
    the memory of code when it does. The first compilation of a process alone costs milliseconds."""
    for _ in range(16):
        exec(compile(WARM, "<wick>", "exec"), {})
        own_thread()
        own_environment()
        own_path()
        try:
            load_handler("app.handler", "/nonexistent", ["app.py"])
        except FileNotFoundError:
            pass
        imports_of_start("app")
        concurrency()
    serve(lambda event, context: event, WarmLane(64))
    del sys.path[:3 * 16]
    _finder.asked.clear()


def fresh_randomness():
    """What the next worker will be born with, made in its parent: there it costs no worker any time, and no two share
    it. What asks the system each time needs nothing. OpenSSL would notice a fork by the process id, but all that fork
    from a snapshot have number 1, as it has."""
    modules = sys.modules
    try:
        _wick_process.stir(False)
        if "random" in modules:
            modules["random"].seed()
        if "numpy.random" in modules:
            modules["numpy.random"].seed(list(memoryview(os.urandom(32)).cast("I")))  # seed() takes six times as long
        if "tempfile" in modules:
            modules["tempfile"]._name_sequence = None
        if "uuid" in modules:
            # libuuid keeps a node and a sequence that all would share.
            modules["uuid"]._generate_time_safe = None
            modules["uuid"]._node = int.from_bytes(os.urandom(6), "big") | 1 << 40
    except Exception as e:  # a module of the function by that name
        sys.stderr.write("wick-python: randomness: %s: %s\n" % (type(e).__name__, e))


def renew_quickly():
    """In a zygote, whose children have another process id and which has drawn from no generator: it is enough to seed
    those of Python and numpy, and C can do that without running Python (process_renew)."""
    import random

    if os.getpid() == 1:
        return
    random.seed()
    seed = super(random.Random, random._inst).seed
    if "numpy.random" in sys.modules:
        generator = sys.modules["numpy.random"].mtrand._rand
        generator.seed()
        state = generator.get_state()
        _wick_process.generators(seed, generator._bit_generator.capsule, state[1].tobytes(), state[2])
    else:
        _wick_process.generators(seed, None, None, 0)


# --- In the worker ------------------------------------------------------------------------------------------------


def own_environment():
    """os.environ is the one object that everybody holds; what is in it becomes this worker's."""
    data = os.environ._data
    zone = data.get(b"TZ")
    data.clear()
    data.update(_wick_process.environ())
    if data.get(b"TZ") != zone:
        time.tzset()
    text = os.fsdecode
    name = data.get(b"AWS_LAMBDA_FUNCTION_NAME")
    context = LambdaContext
    context.function_name = name and text(name)
    name = data.get(b"AWS_LAMBDA_FUNCTION_VERSION")
    context.function_version = name and text(name)
    name = data.get(b"AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    context.memory_limit_in_mb = name and text(name)
    name = data.get(b"AWS_LAMBDA_LOG_GROUP_NAME")
    context.log_group_name = name and text(name)
    name = data.get(b"AWS_LAMBDA_LOG_STREAM_NAME")
    context.log_stream_name = name and text(name)


def top(name):
    return name.partition(".")[0]


def mentions(module, names):
    """Does a global of this module come from one of these packages?"""
    for value in list(vars(module).values()):
        try:
            name = value.__name__ if type(value) is type(sys) else value.__module__
            if top(name) in names:
                return True
        except Exception:
            pass
    return False


def own_path():
    """sys.path: the package, then layers, then PYTHONPATH, then the machine's. A function that brings a module of its
    own gets that one, and not the zygote's of the same name; nor any preloaded module that works with the zygote's.
    Returns the names in the package's folder."""
    env = os.environ._data
    path = [os.fsdecode(env.get(b"LAMBDA_TASK_ROOT", b"/var/task")), "/opt/python",
            "/opt/python/lib/python3.11/site-packages"]
    if b"PYTHONPATH" in env:
        path += filter(None, os.fsdecode(env[b"PYTHONPATH"]).split(":"))
    sys.path[:0] = path
    gone, first = set(), None
    for folder in path:
        files = _wick_process.names(folder)
        if first is None:
            first = files
        for file in files:
            if file.partition(".")[0] in _tops:
                gone.add(top(file))
    if gone:
        give_way(gone)
    return first


def give_way(gone):
    """The standard library goes on to use what it has, as it would where the runtime had loaded it first."""
    standard = sys.stdlib_module_names
    news = gone - standard
    while news:
        news = {top(name) for name, module in _preloaded.items()
                if top(name) not in gone and top(name) not in standard and mentions(module, news)}
        gone |= news
    for name in [name for name in _preloaded if top(name) in gone]:
        del _preloaded[name]
        sys.modules.pop(name, None)
    hang_hooks({name: hook for name, hook in HOOKS.items() if top(name) in gone})


def concurrency():
    try:
        return max(1, int(os.environ._data.get(b"WICK_CONCURRENCY", 1)))
    except ValueError:
        return 1


def fail(error):
    """The worker cannot be: said on the lane."""
    kind, document = report(error, "")
    flush()
    _wick_lane.init_error(kind, document)
    flush()
    os._exit(1)


def own_thread():
    """What CPython would mend after a fork, had it been told of it."""
    if "threading" in sys.modules:
        sys.modules["threading"].main_thread()._set_native_id()


def initialise():
    global _handler
    own_thread()
    own_environment()
    files = own_path()
    env = os.environ._data
    if b"AWS_LAMBDA_LOG_LEVEL" in env and "logging" in sys.modules:
        set_log_level(sys.modules["logging"])
    try:
        _handler = load_handler(os.fsdecode(env.get(b"_HANDLER", b"")), sys.path[0], files)
    except Exception as e:
        fail(e)


def imports_of_start(handler):
    module = sys.modules.get(handler.rpartition(".")[0].replace("/", "."))
    used = used_of_preloaded(module) if module is not None else ()
    return imported(_finder.asked + [name for name in used if name in _preloaded and name not in _usual])


def run():
    n = concurrency()
    imports = imports_of_start(os.environ.get("_HANDLER", ""))
    flush()
    gc.freeze()
    _wick_lane.ready(n, imports)
    if n == 1:
        serve(_handler, _wick_lane)
    else:
        serve_many(_handler, n)
    flush()
    os._exit(0)


def worker():
    initialise()
    run()
