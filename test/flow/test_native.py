"""Native functions over their lane: shared objects and programs of their own, threads, streams, crashes.
Needs: the built wick-runtime and libwick.a, gcc, a handler's libraries in the machine."""

import concurrent.futures
import subprocess
import time
import uuid

import pytest

from conftest import ROLE
import shims
import test_provided
import urls

# The event's first letter says what to do.
HANDLER = r'''
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wick.h>

static pthread_barrier_t barrier;

void wick_handler(wick_invocation *in)
{
	static char big[1 << 20];
	size_t n;
	const char *event = wick_event(in, &n);
	char text[1024];

	switch (event[0]) {
	case 'e':
		wick_answer(in, event, n);
		break;
	case 'm':
		snprintf(text, sizeof(text), "{\"id\": \"%s\", \"arn\": \"%s\", \"trace\": \"%s\", \"context\": %s, \"left\": %lld, \"deadline\": %lld}",
			 wick_request_id(in), wick_function_arn(in), wick_trace_id(in), wick_client_context(in),
			 (long long)wick_remaining_ms(in), (long long)wick_deadline_ms(in));
		wick_answer_text(in, text);
		break;
	case 'x':
		wick_error(in, "Mine \"x\"", "line\none");
		break;
	case 'n':
		break;
	case 't':
		fprintf(stderr, "first %d\n", wick_answer_text(in, "1"));
		fprintf(stderr, "second %d", wick_answer_text(in, "2"));
		fprintf(stderr, " %s\n", strerrorname_np(errno));
		break;
	case 's': /* MiB to stream */
		memset(big, 'y', sizeof(big));
		if (event[1] == 'h') {
			const char *const headers[] = {"X-A: b", "Content-Type: text/plain", NULL};
			const char *const bad[] = {"X-A: b\r\nX-B: c", NULL};

			if (wick_head(in, 201, bad) == 0 || wick_head(in, 201, headers) < 0)
				abort();
		}
		for (int i = atoi(event + 2); i > 0; i--)
			if (wick_write(in, big, sizeof(big)) < 0) {
				fprintf(stderr, "write: %s\n", strerrorname_np(errno));
				return;
			}
		if (event[1] == 'x')
			wick_error(in, "Late", "in the middle");
		break;
	case 'c':
		wick_write(in, "started", 7);
		while (!wick_cancelled(in))
			usleep(1000);
		fprintf(stderr, "cancelled seen\n");
		break;
	case 'k':
		signal(SIGSEGV, SIG_DFL); /* a runtime with sanitizers has its own handler */
		*(volatile int *)8 = 1;
		break;
	case 'a':
		abort();
	case 'q':
		exit(7);
	case 'b': /* all must be here at once */
		pthread_barrier_wait(&barrier);
		wick_answer(in, event + 1, n - 1);
		break;
	}
}

int wick_init(void)
{
	pthread_barrier_init(&barrier, NULL, 4);
	if (getenv("FAIL_INIT"))
		return 5;
	if (getenv("SAY_INIT"))
		wick_init_error("Mine.Config", "no config");
	return 0;
}

void other(wick_invocation *in)
{
	wick_answer_text(in, "\"other\"");
}
#ifdef PROGRAM
int main(void)
{
	wick_init();
	return wick_run(wick_handler);
}
#endif
'''


@pytest.fixture(scope="module")
def built():
    """A folder with h.so and the program h."""
    with shims.folder_for_all() as path:
        (path / "h.c").write_text(HANDLER)
        for name, args in (("h.so", ("-D_GNU_SOURCE", "-shared", "-fPIC")),
                           ("h", ("-D_GNU_SOURCE", "-DPROGRAM", shims.LIBWICK, "-pthread"))):
            shims.compile_c(path / "h.c", path / name, *args)
            (path / name).chmod(0o755)
        yield path


@pytest.fixture
def worker(built):
    made = []

    def start(handler="h.so", env=None, ready=True, folder=None):
        w = shims.Worker(folder or built, ["native"], {"_HANDLER": handler, **(env or {})})
        made.append(w)
        if ready:
            w.ready()
        return w

    yield start
    for w in made:
        w.stop()


@pytest.fixture(params=["h.so", "h"])
def both(request, worker):
    return lambda **kw: worker(request.param, **kw)


def test_echo(both):
    w = both()
    for n in range(20):
        assert w.call(b"e%d" % n).body == b"e%d" % n
    event = b"e" + b"x" * (6 * 1024 * 1024 - 1)
    answer = w.call(event)
    assert answer.kind == shims.RESULT and answer.body == event and answer.number(5) > 500


def test_context(both):
    w = both()
    ident = uuid.uuid4().bytes
    doc = w.call(b"m", ident=ident, pairs=[(3, "Root=1"), (4, '{"a": 1}')]).json
    assert doc["id"] == str(uuid.UUID(bytes=ident)) and doc["arn"].endswith(":test") and doc["trace"] == "Root=1"
    assert doc["context"] == {"a": 1} and 0 < doc["left"] <= 30000 and doc["deadline"] > time.time() * 1000


def test_error_none_and_twice(both):
    w = both()
    answer = w.call(b"x")
    assert answer.kind == shims.ERROR and answer.json == {"errorMessage": "line\none", "errorType": 'Mine "x"'}
    assert w.call(b"n").body == b"null"
    assert w.call(b"t").body == b"1"
    assert w.call(b"e").body == b"e"
    assert b"first 0\nsecond -1 EALREADY\n" in w.output


def test_symbol(worker):
    assert worker("h.so:other").call().json == "other"


def test_stream(both):
    w = both()
    head, data, last = w.stream(w.ask(b"sh5", stream=True))
    assert head.number(shims.STATUS) == 201 and head.headers == {"x-a": ["b"], "content-type": ["text/plain"]}
    assert data == b"y" * (5 << 20) and last.kind == shims.RESULT and last.body == b""
    head, data, last = w.stream(w.ask(b"sx1", stream=True))
    assert head is None and len(data) == 1 << 20 and last.kind == shims.ERROR and last.type == "Late"
    assert w.call(b"s-2").body == b"y" * (2 << 20)
    assert w.call(b"s-7").type == "Function.ResponseSizeTooLarge"
    assert w.call(b"e").body == b"e"


def test_stream_waits_for_window_and_cancel(both):
    w = both()
    ident = w.ask(b"s-5", stream=True)
    got = 0
    while got < shims.FRAME_WINDOW:
        got += len(w.receive().body)
    assert got == shims.FRAME_WINDOW and w.quiet()
    w.send(shims.frame(shims.CANCEL, ident))
    last = w.receive()
    assert last.kind == shims.RESULT and last.id == ident
    assert w.call(b"e").body == b"e"
    assert b"write: ECANCELED" in w.output
    ident = w.ask(b"c", stream=True)
    assert w.receive().body == b"started"
    w.send(shims.frame(shims.CANCEL, ident))
    assert w.receive().kind == shims.RESULT
    w.call(b"e")
    assert b"cancelled seen" in w.output


@pytest.mark.parametrize("event,status", [(b"k", 128 + 11), (b"a", 128 + 6), (b"q", 7)])
def test_crash(both, event, status):
    w = both()
    assert w.call(b"e").body == b"e"
    w.ask(event)
    assert w.dies() == status


def test_several_at_once(both):
    w = both(env={"WICK_CONCURRENCY": "4"}, ready=False)
    assert w.ready().number(shims.CONCURRENCY) == 4
    for _ in range(20):
        asked = {w.ask(b"b%d" % n): b"%d" % n for n in range(4)}
        for _ in range(4):
            f = w.receive()
            assert f.kind == shims.RESULT and f.body == asked.pop(f.id)
    streams = {w.ask(b"s-3", stream=True): 0 for _ in range(4)}
    ended = set()
    while len(ended) < 4:
        f = w.receive()
        if f.kind == shims.CHUNK:
            streams[f.id] += len(f.body)
            w.give(f.id, len(f.body))
        else:
            assert f.kind == shims.RESULT
            ended.add(f.id)
    assert set(streams.values()) == {3 << 20}


def test_init_errors(both):
    w = both(env={"SAY_INIT": "1"}, ready=False)
    assert w.init_error() == {"errorMessage": "no config", "errorType": "Mine.Config"}
    assert w.wait() == 1


def test_so_init_fails(worker):
    w = worker(env={"FAIL_INIT": "1"}, ready=False)
    assert w.init_error() == {"errorMessage": "wick_init of /var/task/h.so returned 5", "errorType": "Runtime.InitError"}


@pytest.mark.parametrize("handler,kind,words", [
    ("none.so", "Runtime.InvalidEntrypoint", "/var/task/none.so: No such file or directory"),
    ("h.c.so", "Runtime.InvalidEntrypoint", "No such file"),
    ("h.so:nothing", "Runtime.HandlerNotFound", "undefined symbol: nothing"),
    ("none", "Runtime.InvalidEntrypoint", "/var/task/none cannot be executed: No such file or directory"),
    ("h.c", "Runtime.InvalidEntrypoint", "/var/task/h.c is not executable"),
    ("text.so", "Runtime.InvalidEntrypoint", "is not a shared object"),
    ("other.so", "Runtime.InvalidEntrypoint", "is built for"),
    ("undefined.so", "Runtime.InvalidEntrypoint", "undefined symbol: not_there"),
])
def test_not_loadable(worker, built, handler, kind, words):
    (built / "text.so").write_text("hello")
    other = bytearray((built / "h.so").read_bytes())
    other[18] = 0xB7 if other[18] != 0xB7 else 0x3E
    (built / "other.so").write_bytes(other)
    if handler == "undefined.so":
        (built / "u.c").write_text("#include <wick.h>\nvoid not_there(void);\nvoid wick_handler(wick_invocation *in) { (void)in; not_there(); }\n")
        shims.compile_c(built / "u.c", built / "undefined.so", "-shared", "-fPIC")
    w = worker(handler, ready=False)
    error = w.init_error()
    assert error["errorType"] == kind and words in error["errorMessage"], error
    assert w.wait() == 1


def test_crash_while_it_loads(worker, built):
    (built / "c.c").write_text("#include <stdlib.h>\n__attribute__((constructor)) static void c(void) { abort(); }\nvoid wick_handler(void *in) { (void)in; }\n")
    shims.compile_c(built / "c.c", built / "c.so", "-shared", "-fPIC")
    w = worker("c.so", ready=False)
    assert w.dies() == 128 + 6


def test_lane_ends_all(both):
    w = both()
    w.ask(b"c")
    w.sock.shutdown(2)
    w.sock.close()
    assert w.wait() == 0


def test_examples(worker, built):
    for name, args in (("hello", ("-shared", "-fPIC")), ("counter", (shims.LIBWICK, "-pthread"))):
        out = built / (name + (".so" if name == "hello" else ""))
        shims.compile_c(shims.lane.ROOT / "examples/native-hello" / (name + ".c"), out, *args)
        out.chmod(0o755)
    assert worker("hello.so").call().json["greeting"] == "Hello from C"
    w = worker("counter")
    head, data, last = w.stream(w.ask(b"1000", stream=True))
    assert data.split() == [b"%d" % n for n in range(1, 1001)]
    assert w.call(b"-1").type == "Counter.Range"


def test_program_without_wick(built):
    p = subprocess.run([built / "h"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 1 and "is started by Wick" in p.stderr


# ---- through a server ----


def deploy(wick, built, handler, **conf):
    name = "f-" + uuid.uuid4().hex[:12]
    file = handler.partition(":")[0]
    wick.client("lambda").create_function(
        FunctionName=name, Role=ROLE, Handler=handler, Runtime="native", Timeout=20,
        Code={"ZipFile": test_provided.package({file: ((built / file).read_bytes(), 0o755)})}, **conf)
    return name


@pytest.mark.parametrize("handler", ["h.so", "h"])
def test_served(wick, built, handler):
    name = deploy(wick, built, handler)
    for _ in range(3):
        assert wick.invoke(name, "x")[0] is None  # '"' is none of its letters


def test_served_stream_and_errors(wick, built):
    for name in ("hello", "counter"):
        out = built / (name + (".so" if name == "hello" else ""))
        args = ("-shared", "-fPIC") if name == "hello" else (shims.LIBWICK, "-pthread")
        shims.compile_c(shims.lane.ROOT / "examples/native-hello" / (name + ".c"), out, *args)
        out.chmod(0o755)
    (built / "crash.c").write_text("#include <stdlib.h>\nvoid wick_handler(void *in) { (void)in; abort(); }\n")
    shims.compile_c(built / "crash.c", built / "crash.so", "-shared", "-fPIC")
    assert wick.invoke(deploy(wick, built, "hello.so"))[0]["greeting"] == "Hello from C"
    counter = deploy(wick, built, "counter")
    answer = urls.call(wick, "POST", test_provided.STREAM_PATH % counter, b"1000")
    data = b"".join(payload for kind, payload in urls.events(answer.text) if kind == "PayloadChunk")
    assert data.split()[-1] == b"1000" and len(data.split()) == 1000
    error, answer = wick.invoke(counter, -1)
    assert error == {"errorMessage": "the event is a number from 0 to 1000000", "errorType": "Counter.Range"}
    error, answer = wick.invoke(deploy(wick, built, "crash.so"), {})
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Runtime exited with error: signal: aborted")
    error, answer = wick.invoke(deploy(wick, built, "h.so:nothing"), {})
    assert error["errorType"] == "Runtime.HandlerNotFound"


def test_served_concurrency(wick, built):
    """Four invocations meet in one worker."""
    program = built / "meet.c"
    program.write_text(HANDLER.replace("event[0]", "event[1]").replace("event + 1, n - 1", '"4", 1'))
    shims.compile_c(program, built / "meet.so", "-D_GNU_SOURCE", "-shared", "-fPIC")
    name = deploy(wick, built, "meet.so", Tags={"wick:concurrency": "4"})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: wick.invoke(name, "b")[0], range(4)))
    assert answers == [4, 4, 4, 4]
