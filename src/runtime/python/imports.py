"""What a function imports: hooks on a few modules, and which packages of the machine it uses."""


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
    return path is not None and path.startswith((MACHINE, "<frozen", "<wick>"))


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
        self.hooks = hooks
        self.asked = []

    def find_spec(self, name, path=None, target=None):
        if len(self.asked) < 1024 and asked_for(sys._getframe(1)):
            self.asked.append(name)
        hook = self.hooks.pop(name, None)
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
    if version_of(botocore.__version__) >= (1, 31):
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
    logging.root.addHandler(logging_handler(logging))
    set_log_level(logging)


def set_log_level(logging):
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


# --- Shared libraries of packages and layers -----------------------------------------------------------------------


_libraries = set()  # that were looked for


def load_library(message):
    """The dynamic linker has read LD_LIBRARY_PATH when the zygote began, before there was a function. So where it says
    that it does not find a library, that is loaded from where it would have looked: its path; None: it is not there."""
    name, missing, _ = message.partition(": cannot open shared object file")
    if not missing or "/" in name or name in _libraries:
        return None
    _libraries.add(name)
    root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") + [root, root + "/lib", "/opt/lib"]:
        path = folder + "/" + name
        if not folder or not os.path.exists(path):
            continue
        error = _wick_process.load(path)
        while error is not None and load_library(error):
            error = _wick_process.load(path)
        if error is None:
            return path
    return None


def hook_extensions():
    loader = importlib.machinery.ExtensionFileLoader
    plain = loader.create_module

    def create_module(self, spec):
        while True:
            try:
                return plain(self, spec)
            except ImportError as e:
                if load_library(str(e)) is None:
                    raise

    loader.create_module = create_module


def hook_ctypes(module):
    plain = module._dlopen

    def dlopen(name, mode):
        while True:
            try:
                return plain(name, mode)
            except OSError as e:
                path = load_library(str(e))
                if path is None:
                    raise
                if name == os.path.basename(path):
                    name = path

    module._dlopen = dlopen


HOOKS = {"logging": hook_logging, "botocore.session": hook_botocore, "ctypes": hook_ctypes}
