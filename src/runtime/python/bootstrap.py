"""The Python side of wick-python: finds the handler, turns frames into calls, and renders what goes wrong the way
AWS's Python runtime does. Compiled into the binary at build time, bootstrap.py, imports.py, serve.py, start.py and
snapshot.py as one module; `_wick_lane` (lane_module.c) moves the frames, `_wick_process` (process_module.c) changes the
process.

Four ways in, each called from C: preload() in the zygote; worker(), snapshot() and restore() in a boxed process that
was just forked, and these end with it. What runs in the zygote before a fork must not depend on its environment. What
runs after it writes to memory that was shared until then, 3 us a page: reference counts are enough. So little is done
there, and what can be has been done once in the zygote.

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


# --- Errors ---------------------------------------------------------------------------------------------------


def frames_of(tb):
    """The traceback as AWS gives it: strings of two lines, without the runtime's own frames before the user's."""
    import traceback

    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(tb)]
    for i, frame in enumerate(frames):
        if not frame[0].startswith("<wick>/"):
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
