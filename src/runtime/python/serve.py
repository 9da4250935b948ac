"""The handler, and the loop that calls it."""

import importlib.machinery
from io import FileIO


def import_module(name, folder, files):
    """As importlib's, by a shorter way where the package has one source file of that name and nothing else that could
    be meant. files: the names in the folder that comes first on sys.path."""
    source = name + ".py"
    if (source not in files or name in files or "__pycache__" in files or "." in name or name in sys.modules
            or any(file.startswith(name + ".") and file.endswith(".so") for file in files)):
        return importlib.import_module(name)
    path = folder + "/" + source
    with FileIO(path) as f:
        code = compile(f.readall(), path, "exec", dont_inherit=True)
    module = type(sys)(name)
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.machinery.ModuleSpec(name, loader, origin=path)
    spec.has_location = spec._initializing = True
    module.__spec__, module.__loader__, module.__file__, module.__package__ = spec, loader, path, ""
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    finally:
        spec._initializing = False
    return sys.modules.get(name, module)


def load_handler(name, folder="", files=()):
    modname, dot, fname = name.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName",
                    "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    if modname.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict",
                    "Cannot use built-in module %s as a handler module" % modname)
    try:
        module = import_module(modname.replace("/", "."), folder, files)
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


def serve(handler, lane):
    """One turn of the loop is one invocation. Leaves when the lane is closed."""
    global _request_id
    receive, send, send_error = lane.next, lane.result, lane.error
    decode, encode = json.JSONDecoder().decode, make_encoder()
    environ = os.environ
    trace_set = None
    told = len(_finder.asked)  # imports told with READY; what the first invocation imports is told with its answer

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
            if told is None:
                send(answer)
            else:
                lane.first_result(answer, imported(_finder.asked[told:]))
                told = None
        event = context = answer = None
        _request_id = None


def serve_many(handler, n):
    """As serve, by n threads. The main one waits for signals, and for a handler that wants the process to end."""
    global _local
    import threading

    _local = local = threading.local()
    decode = json.JSONDecoder().decode
    over, reason = threading.Lock(), []
    told = [len(_finder.asked)]

    def later_imports():
        try:
            return imported(_finder.asked[told.pop():])
        except IndexError:  # told with the first answer
            return ""

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
                _wick_lane.result_of(request_id, answer, later_imports())
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
