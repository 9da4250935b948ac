"""The Python side of wick-python: finds the handler, turns frames into calls, and renders what goes wrong the way
AWS's Python runtime does. Compiled into the binary at build time; `_wick_lane` (lane_module.c) moves the frames,
`_wick_process` (process_module.c) changes the process.

Four ways in, each called from C: preload() in the zygote; worker(), snapshot() and restore() in a boxed process that
was just forked, and these end with it. What runs in the zygote before a fork must not depend on its environment.
User code runs in this interpreter, so nothing here may be needed after user code broke it, and what happens once
per invocation is kept short."""

import gc
import importlib
import json
import os
import sys
import time

import _wick_lane
import _wick_process

# AWS's limit of a synchronous answer, and what it says beyond it.
ANSWER_MAX = 6 * 1024 * 1024 + 100
MACHINE = "/usr/"  # below it lie the machine's own modules, and no function's
IMPORTS_MAX = 64   # names told of one worker

_stdout = sys.stdout  # what handlers may replace, the log must not lose
_request_id = None    # of the invocation that runs, for the log
_local = None         # the same for each thread, where several run at once
_preloaded = {}       # modules that the zygote imported for its functions
_usual = set()        # those of them that every zygote has
_tops = set()         # the first parts of their names
_finder = None
_handler = None
_env_credentials = []  # weak references to what botocore took from the environment before a snapshot
_open_files = []       # what a snapshot had open: (fd, path, flags, position)


class Fault(Exception):
    """An error of the runtime rather than of the handler."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace or []


class Fields:
    """An object whose attributes are filled from a JSON object; absent ones are None."""

    __slots__ = ()

    def __init__(self, values=None):
        values = values if isinstance(values, dict) else {}
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        return "%s([%s])" % (type(self).__name__, ",".join("%s=%s" % (n, getattr(self, n)) for n in self.__slots__))


class CognitoIdentity(Fields):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(Fields):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(Fields):
    __slots__ = ("custom", "env", "client")


class LambdaContext:
    """What all invocations of a worker share are attributes of the class; an instance holds only what differs."""

    function_name = function_version = memory_limit_in_mb = log_group_name = log_stream_name = None
    client_context = None
    identity = CognitoIdentity()

    def __init__(self, request_id, arn, deadline_ms):
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        self._deadline_ms = deadline_ms

    @classmethod
    def of_this_worker(cls):
        env = os.environ
        cls.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME")
        cls.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION")
        cls.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        cls.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME")
        cls.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME")

    def get_remaining_time_in_millis(self):
        left = self._deadline_ms - int(time.time() * 1000)
        return left if left > 0 else 0

    def log(self, message):
        _stdout.write(str(message))

    def __repr__(self):
        names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                 "function_version", "invoked_function_arn", "client_context", "identity")
        return "LambdaContext([%s])" % ",".join("%s=%s" % (n, getattr(self, n)) for n in names)


def client_context_from(text):
    values = json.loads(text)
    if not isinstance(values, dict):
        return None
    context = ClientContext(values)
    if context.client is not None:
        context.client = Client(context.client)
    return context


# --- Hooks on modules that only some functions import -----------------------------------------------------------


class HookLoader:
    """Stands in for a module's loader: runs it, then the hook."""

    def __init__(self, loader, hook):
        self._loader = loader
        self._hook = hook

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._hook(module)


def of_machine(path):
    return path is not None and path.startswith((MACHINE, "<frozen"))


def asked_for(frame):
    """Does the function want this import, or is it a module of the machine that needs another?"""
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    while frame is not None:
        code = frame.f_code
        if not of_machine(code.co_filename):
            return True
        if code.co_name == "<module>":
            return False
        frame = frame.f_back
    return True


class Finder:
    """First on sys.meta_path: hears of every import of a module that is not loaded yet. Notes those that the function
    asked for, and hangs hooks on a few."""

    def __init__(self, hooks):
        self._hooks = hooks
        self.asked = []

    def find_spec(self, name, path=None, target=None):
        if len(self.asked) < 1024 and asked_for(sys._getframe(1)):
            self.asked.append(name)
        hook = self._hooks.pop(name, None)
        if hook is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = HookLoader(spec.loader, hook)
                return spec
        return None


class LastFinder:
    """Last on sys.meta_path: the hooks of SnapStart for functions that do not bring AWS's library of them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "snapshot_restore_py":
            return importlib.machinery.ModuleSpec(name, LastFinder)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        before, after = [], []

        def register_before_snapshot(func, *args, **kwargs):
            before.append((func, args, kwargs))
            return func

        def register_after_restore(func, *args, **kwargs):
            after.append((func, args, kwargs))
            return func

        module.register_before_snapshot = register_before_snapshot
        module.register_after_restore = register_after_restore
        module.get_before_snapshot = lambda: before
        module.get_after_restore = lambda: after


def version_of(text):
    parts = []
    for part in text.split(".")[:2]:
        parts.append(int(part) if part.isdigit() else 0)
    return tuple(parts)


def endpoint_for(session, service):
    """AWS_ENDPOINT_URL_<SERVICE ID>, then AWS_ENDPOINT_URL: the rule that botocore has from 1.31 on."""
    env = os.environ
    if env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    if any(name.startswith("AWS_ENDPOINT_URL_") for name in env):
        service_id = session.get_service_model(service).service_id
        url = env.get("AWS_ENDPOINT_URL_" + str(service_id).upper().replace(" ", "_").replace("-", "_"))
        if url:
            return url
    return env.get("AWS_ENDPOINT_URL") or None


def hook_botocore(module):
    """Older botocore does not know AWS_ENDPOINT_URL; without it boto3.client('s3') would leave for AWS."""
    import botocore

    plain = module.Session.create_client
    if version_of(botocore.__version__) >= (1, 31) or hasattr(plain, "__wrapped__"):
        return

    def create_client(self, service_name, region_name=None, api_version=None, use_ssl=True, verify=None,
                      endpoint_url=None, *args, **kwargs):
        if endpoint_url is None:
            endpoint_url = endpoint_for(self, service_name)
        return plain(self, service_name, region_name, api_version, use_ssl, verify, endpoint_url, *args, **kwargs)

    create_client.__doc__ = plain.__doc__
    create_client.__wrapped__ = plain
    module.Session.create_client = create_client


def hook_credentials(module):
    """Notes what is made of the snapshot's environment; renew_credentials puts in the worker's own."""
    import weakref

    plain = module.EnvProvider.load

    def load(self):
        found = plain(self)
        if type(found) is module.Credentials:
            _env_credentials.append(weakref.ref(found))
        return found

    module.EnvProvider.load = load


def renew_credentials():
    env = os.environ
    for ref in _env_credentials:
        credentials = ref()
        if credentials is not None:
            credentials.access_key = env.get("AWS_ACCESS_KEY_ID")
            credentials.secret_key = env.get("AWS_SECRET_ACCESS_KEY")
            credentials.token = env.get("AWS_SESSION_TOKEN")


LOG_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50,
              "CRITICAL": 50}


def hook_logging(logging):
    """The root logger writes to the function's log in the form of AWS's, from the level that the environment says."""
    if not of_machine(logging.__spec__.origin):
        return
    if not hasattr(logging.root, "_wick_handler"):
        logging.root._wick_handler = logging_handler(logging)
        logging.root.addHandler(logging.root._wick_handler)
    level = LOG_LEVELS.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper())
    if level is not None:
        logging.root.setLevel(level)


def logging_handler(logging):
    class RequestFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = (_request_id if _local is None else getattr(_local, "request_id", None)) or ""
            return True

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            try:
                _stdout.write(self.format(record))
            except Exception:
                self.handleError(record)

    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
                                  "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.setFormatter(formatter)
    handler.addFilter(RequestFilter())
    return handler


# --- Errors ---------------------------------------------------------------------------------------------------


def frames_of(tb):
    """The traceback as AWS gives it: strings of two lines, without the runtime's own frames before the user's."""
    import traceback

    own = frames_of.__code__.co_filename
    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(tb)]
    for i, frame in enumerate(frames):
        if frame[0] != own:
            return traceback.format_list(frames[i:])
    return traceback.format_list(frames)


def describe(error):
    """(type, message, stack trace) of an exception; its own __str__ is user code and may fail as well."""
    if isinstance(error, Fault):
        return error.kind, error.message, error.trace
    try:
        message = str(error)
    except Exception as e:
        message = "<exception str() failed: %s>" % type(e).__name__
    return type(error).__name__, message, frames_of(error.__traceback__)


def report(error, request_id):
    """Writes the error to the log; returns its type and its document."""
    kind, message, trace = describe(error)
    text = "[ERROR] " + kind + (": " + message if message else "")
    text += "\nTraceback (most recent call last):\n" + "".join(
        line if line.endswith("\n") else line + "\n" for line in trace)
    try:
        _stdout.write(text)
    except Exception:
        pass
    document = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}
    return kind, json.dumps(document)


def flush():
    for stream in (sys.stdout, sys.stderr, _stdout):
        try:
            stream.flush()
        except Exception:
            pass


# --- The handler ------------------------------------------------------------------------------------------------


def load_handler(name):
    modname, dot, fname = name.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName",
                    "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    if modname.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict",
                    "Cannot use built-in module %s as a handler module" % modname)
    try:
        module = importlib.import_module(modname.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (modname, e)) from e
    except SyntaxError as e:
        trace = ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, e.text)]
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (modname, e), trace) from e
    try:
        return getattr(module, fname)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (fname, modname)) from None


def json_default(value):
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def make_encoder():
    """json.dumps without building its encoder anew each time. The markers find circles."""
    markers = {}
    from json import encoder

    if encoder.c_make_encoder is None:
        return json.JSONEncoder(default=json_default).encode
    encode = encoder.c_make_encoder(markers, json_default, encoder.encode_basestring_ascii, None, ": ", ", ",
                                    False, False, True)
    join = "".join

    def dumps(value):
        try:
            return join(encode(value, 0))
        except BaseException:
            markers.clear()
            raise

    return dumps


def decode_event(event):
    try:
        if event.__class__ is not str:
            event = str(event, "utf-8")
        return json.loads(event)
    except Exception as e:
        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e) from e


def answer_to(handler, event, context, decode, encode):
    try:
        event = decode(event)
    except Exception:
        event = decode_event(event)
    answer = handler(event, context)
    try:
        answer = encode(answer)
    except Exception as e:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % e) from e
    if len(answer) > ANSWER_MAX:
        raise Fault("Function.ResponseSizeTooLarge",
                    "Response payload size exceeded maximum allowed payload size (6291556 bytes).")
    return answer


def serve(handler):
    """One turn of the loop is one invocation. Leaves when the lane is closed."""
    global _request_id
    receive, send, send_error = _wick_lane.next, _wick_lane.result, _wick_lane.error
    decode, encode = json.JSONDecoder().decode, make_encoder()
    environ = os.environ
    trace_set = None
    later = LaterImports()

    while True:
        invocation = receive()
        if invocation is None:
            return
        event, request_id, deadline_ms, arn, trace, client_context = invocation
        invocation = None
        _request_id = request_id
        try:
            context = LambdaContext(request_id, arn, deadline_ms)
            if client_context is not None:
                context.client_context = client_context_from(client_context)
            if trace != trace_set:
                trace_set = trace
                if trace is None:
                    environ.pop("_X_AMZN_TRACE_ID", None)
                else:
                    environ["_X_AMZN_TRACE_ID"] = trace
            answer = answer_to(handler, event, context, decode, encode)
        except Exception as e:
            kind, document = report(e, request_id)
            answer = None
            flush()
            send_error(kind, document)
        else:
            try:
                sys.stdout.flush()
            except Exception:
                flush()
            if later is None:
                send(answer)
            else:
                _wick_lane.first_result(answer, later.names())
                later = None
        event = context = answer = None
        _request_id = None


def serve_many(handler, n):
    """As serve, by n threads. The main one waits for signals, and for a handler that wants the process to end."""
    global _local
    import threading

    _local = local = threading.local()
    decode = json.JSONDecoder().decode
    over, reason = threading.Lock(), []
    later = [LaterImports()]

    def turn():
        encode = make_encoder()
        while True:
            invocation = _wick_lane.next_of()
            if invocation is None:
                return
            event, request_id, deadline_ms, arn, _, client_context = invocation
            local.request_id = request_id
            try:
                context = LambdaContext(request_id, arn, deadline_ms)
                if client_context is not None:
                    context.client_context = client_context_from(client_context)
                answer = answer_to(handler, event, context, decode, encode)
            except Exception as e:
                kind, document = report(e, request_id)
                flush()
                _wick_lane.error_of(request_id, kind, document)
            else:
                flush()
                _wick_lane.result_of(request_id, answer, later.pop().names() if later else "")
            invocation = event = context = answer = None
            local.request_id = None

    def run():
        try:
            turn()
        except BaseException as e:
            reason.append(e)
        try:
            over.release()
        except RuntimeError:  # another thread was first
            pass

    over.acquire()
    for i in range(n):
        threading.Thread(target=run, name="handler-%d" % (i + 1), daemon=True).start()
    over.acquire()
    if reason:
        raise reason[0]


# --- What was imported ------------------------------------------------------------------------------------------


def used_of_preloaded(module):
    """Names of preloaded modules that the handler's module shows to use: in its globals, and by import statements in
    its functions."""
    if not _preloaded:
        return
    for value in list(vars(module).values()):
        try:
            if type(value) is type(sys):
                yield value.__name__
                continue
            yield value.__module__
            if value.__module__ == module.__name__:
                yield from value.__code__.co_names
        except Exception:
            pass


def imported(names):
    """The packages of those that are the machine's own, each once, as a text."""
    found = {}
    for name in names:
        try:
            module = _preloaded.get(name) or sys.modules[name]
            if of_machine(module.__spec__.origin):
                found[top(name)] = None
        except Exception:
            pass
        if len(found) == IMPORTS_MAX:
            break
    return " ".join(found)


class LaterImports:
    """What the first invocation imported after READY."""

    def __init__(self):
        self._at = len(_finder.asked)

    def names(self):
        return imported(_finder.asked[self._at:])


# --- Starting -----------------------------------------------------------------------------------------------------


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
    for name in USUAL:
        importlib.import_module(name)
    hook_logging(sys.modules["logging"])
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
    for name, module in list(sys.modules.items()):
        if name not in before and module is not None:
            _preloaded[name] = module
    _tops = {top(name) for name in _preloaded}
    # The first compilation of a process costs milliseconds.
    compile(WARM, "<wick>", "exec")
    _wick_process.stir(True)
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


def search_path():
    """The package, then layers, then PYTHONPATH, then the machine's."""
    python = "/opt/python"
    path = [os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd(), python,
            "%s/lib/python%d.%d/site-packages" % (python, *sys.version_info[:2])]
    path += filter(None, os.environ.get("PYTHONPATH", "").split(":"))
    sys.path[:0] = path
    return path


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


def give_way(path):
    """A function that brings a module of its own gets that one, and not the zygote's of the same name; nor any
    preloaded module that works with the zygote's."""
    if not _preloaded:
        return
    gone = set()
    for folder in path:
        try:
            gone.update(_tops.intersection(top(name) for name in os.listdir(folder)))
        except OSError:
            pass
    if not gone:
        return
    grows = True
    while grows:
        more = {top(name) for name, module in _preloaded.items() if top(name) not in gone and mentions(module, gone)}
        gone |= more
        grows = bool(more)
    for name in [name for name in _preloaded if top(name) in gone]:
        del _preloaded[name]
        sys.modules.pop(name, None)


def own_environment():
    """os.environ is the one object that everybody holds; what is in it becomes this worker's."""
    data = os.environ._data
    zone = data.get(b"TZ")
    data.clear()
    data.update(_wick_process.environ())
    if data.get(b"TZ") != zone:
        time.tzset()
    LambdaContext.of_this_worker()


def own_randomness():
    """`random` sees to itself at a fork, and what asks the system each time needs nothing."""
    _wick_process.stir(False)
    modules = sys.modules
    try:
        if "numpy.random" in modules:
            modules["numpy.random"].seed()
        if "tempfile" in modules:
            modules["tempfile"]._name_sequence = None
        if "uuid" in modules:
            # libuuid keeps a node and a sequence that clones would share.
            modules["uuid"]._generate_time_safe = None
            modules["uuid"]._node = int.from_bytes(os.urandom(6), "big") | 1 << 40
    except Exception as e:  # a module of the function by that name
        sys.stderr.write("wick-python: randomness: %s: %s\n" % (type(e).__name__, e))


def concurrency():
    try:
        return max(1, int(os.environ.get("WICK_CONCURRENCY", "1")))
    except ValueError:
        return 1


def fail(error):
    """The worker cannot be: said on the lane."""
    kind, document = report(error, "")
    flush()
    _wick_lane.init_error(kind, document)
    flush()
    os._exit(1)


def initialise(hooks):
    global _finder, _handler
    own_environment()
    own_randomness()
    give_way(search_path())
    for name in [name for name in hooks if name in sys.modules]:
        hooks.pop(name)(sys.modules[name])
    _finder = Finder(hooks)
    sys.meta_path.insert(0, _finder)
    sys.meta_path.append(LastFinder)
    name = os.environ.get("_HANDLER", "")
    try:
        _handler = load_handler(name)
    except Exception as e:
        fail(e)


def imports_of_start():
    modname = os.environ.get("_HANDLER", "").rpartition(".")[0].replace("/", ".")
    module = sys.modules.get(modname)
    used = used_of_preloaded(module) if module is not None else ()
    used = [name for name in used if name in _preloaded and name not in _usual]
    return imported(_finder.asked + used)


def run():
    n = concurrency()
    imports = imports_of_start()
    flush()
    gc.freeze()
    _wick_lane.ready(n, imports)
    if n == 1:
        serve(_handler)
    else:
        serve_many(_handler, n)
    flush()
    os._exit(0)


def worker():
    initialise({"logging": hook_logging, "botocore.session": hook_botocore})
    run()


# --- SnapStart ----------------------------------------------------------------------------------------------------


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
    initialise({"logging": hook_logging, "botocore.session": hook_botocore, "botocore.credentials": hook_credentials})
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
    _open_files.extend(open_files())
    gc.collect()
    gc.freeze()
    _wick_lane.ready(concurrency(), imports_of_start())
    _wick_process.serve()
    flush()
    os._exit(0)


def restore():
    """A worker forked from a snapshot: all its own but what the function made of its initialisation."""
    own_environment()
    if _finder is None:
        fail(Fault("Runtime.SnapshotError", "There is no snapshot to restore from"))
    own_randomness()
    reopen_files()
    renew_credentials()
    try:
        for func, args, kwargs in list(hooks_of("get_after_restore")):
            func(*args, **kwargs)
    except Exception as e:
        fail(Fault("Runtime.AfterRestoreError", *in_words(e)))
    run()
