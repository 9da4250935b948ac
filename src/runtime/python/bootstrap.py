"""The Python side of wick-python: finds the handler, turns frames into calls, and renders what goes wrong the way
AWS's Python runtime does. Compiled into the binary at build time; `_wick_lane` (lane_module.c) moves the frames.
User code runs in this interpreter, so nothing here may be needed after user code broke it, and what happens once
per invocation is kept short."""

import gc
import importlib
import json
import os
import sys
import time

import _wick_lane

# AWS's limit of a synchronous answer, and what it says beyond it.
ANSWER_MAX = 6 * 1024 * 1024 + 100

_stdout = sys.stdout  # what handlers may replace, the log must not lose
_request_id = None    # of the invocation that runs, for the log


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

    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
    memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
    log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
    client_context = None
    identity = CognitoIdentity()

    def __init__(self, request_id, arn, deadline_ms):
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        self._deadline_ms = deadline_ms

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


class HookFinder:
    """First on sys.meta_path; costs one look-up in a dict for every other import."""

    def __init__(self, hooks):
        self._hooks = hooks

    def find_spec(self, name, path=None, target=None):
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

    if version_of(botocore.__version__) >= (1, 31):
        return
    plain = module.Session.create_client

    def create_client(self, service_name, region_name=None, api_version=None, use_ssl=True, verify=None,
                      endpoint_url=None, *args, **kwargs):
        if endpoint_url is None:
            endpoint_url = endpoint_for(self, service_name)
        return plain(self, service_name, region_name, api_version, use_ssl, verify, endpoint_url, *args, **kwargs)

    create_client.__doc__ = plain.__doc__
    create_client.__wrapped__ = plain
    module.Session.create_client = create_client


LOG_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50,
              "CRITICAL": 50}


def hook_logging(logging):
    """The root logger writes to the function's log in the form of AWS's."""

    class RequestFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = _request_id or ""
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
    logging.root.addHandler(handler)
    logging.root.setLevel(LOG_LEVELS.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper(), logging.WARNING))


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


def serve(handler):
    """One turn of the loop is one invocation. Leaves when the lane is closed."""
    global _request_id
    receive, send, send_error = _wick_lane.next, _wick_lane.result, _wick_lane.error
    decode, encode = json.JSONDecoder().decode, make_encoder()
    environ = os.environ
    trace_set = None

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
            send(answer)
        event = context = answer = None
        _request_id = None


def search_path():
    layers = os.environ.get("WICK_LAYERS_DIR") or "/opt"
    python = "python%d.%d" % sys.version_info[:2]
    path = [os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()]
    path += [os.path.join(layers, "python"), os.path.join(layers, "python", "lib", python, "site-packages")]
    sys.path[:0] = path


def main():
    search_path()
    hooks = {"logging": hook_logging, "botocore.session": hook_botocore}
    for name in [name for name in hooks if name in sys.modules]:  # by a .pth file of this machine
        hooks.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, HookFinder(hooks))
    try:
        handler = load_handler(os.environ.get("_HANDLER", ""))
    except Exception as e:
        kind, document = report(e, "")
        flush()
        _wick_lane.init_error(kind, document)
        flush()
        os._exit(1)
    flush()
    # What is loaded now stays: the collector need not look at it again, and a fork shares its pages.
    gc.collect()
    gc.freeze()
    _wick_lane.ready()
    serve(handler)
    flush()
    os._exit(0)


main()
