/* The worker's end of the lane, as a module of the interpreter: next() waits for INVOKE without the interpreter's
 * lock, result() and error() send one frame in one call.
 *
 * There is one lane in a process, so the state is static: a module's functions have no other way to it. With one
 * invocation at a time it belongs to the one thread that runs bootstrap.py. With several, threads take turns:
 * next_of() lets one of them read while the others wait for their turn, result_of() and error_of() name the
 * invocation; who waits for a turn never holds the interpreter's lock.
 *
 * When the gate has closed the lane nothing can be said to anybody: next() gives None, and a send that fails leaves
 * the process at once. Garbage from the gate is treated as closed. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime/python/lane_module.h"

#include "base/id.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define LANE_FD_LEAST 100         /* numbers below are left to programs that count on low ones */
#define READ_SIZE     (64u << 10) /* what one read asks for, and what an idle worker keeps */
#define SEND_NOW_MAX  (64u << 10) /* a body up to this size is sent with the interpreter's lock held */

static struct lane_state {
	int fd;
	struct buf in;                    /* bytes read, the current frame first */
	size_t consumed;                  /* of the frame handed out last, dropped before the next read */
	struct buf meta;                  /* of the frame being sent */
	uint8_t id[16];                   /* of the invocation that runs, where it is the only one */
	pthread_mutex_t reading, sending; /* where there are several */
} lane = {.fd = -1, .reading = PTHREAD_MUTEX_INITIALIZER, .sending = PTHREAD_MUTEX_INITIALIZER};

struct answer {
	enum frame_type type;
	const uint8_t *id;
	struct str error_type, imports, body;
	uint64_t concurrency; /* 0: not said */
};

/* A forked child must not hold the lane open: the gate would not see its worker die. */
static void close_in_child(void)
{
	if (lane.fd >= 0)
		close(steal_fd(&lane.fd));
}

static uint64_t max_rss_kib(void)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) < 0)
		return 0;
	return (uint64_t)ru.ru_maxrss;
}

static _noreturn_ void leave(void)
{
	fflush(NULL);
	_exit(0);
}

/* Sends everything or leaves the process. */
static void send_all(struct iovec *iov, size_t n_iov)
{
	while (n_iov) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
		ssize_t n = sendmsg(lane.fd, &msg, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			leave();
		}
		while (n_iov && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++, n_iov--;
		}
		if (n_iov) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
}

static void send_frame(const struct answer *a)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3];

	fflush(stdout);
	buf_clear(&lane.meta);
	frame_meta_add_u64(&lane.meta, FRAME_KEY_MAX_RSS_KIB, max_rss_kib());
	if (a->error_type.p)
		frame_meta_add(&lane.meta, FRAME_KEY_ERROR_TYPE, a->error_type);
	if (a->imports.n)
		frame_meta_add(&lane.meta, FRAME_KEY_IMPORTS, a->imports);
	if (a->concurrency)
		frame_meta_add_u64(&lane.meta, FRAME_KEY_CONCURRENCY, a->concurrency);
	frame_header(header, (uint8_t)a->type, a->id, lane.meta.n, a->body.n);
	iov[0] = (struct iovec){header, sizeof(header)};
	iov[1] = (struct iovec){lane.meta.p, lane.meta.n};
	iov[2] = (struct iovec){(void *)(uintptr_t)a->body.p, a->body.n};
	if (a->body.n <= SEND_NOW_MAX) {
		send_all(iov, a->body.n ? 3 : 2);
	} else {
		Py_BEGIN_ALLOW_THREADS;
		send_all(iov, 3);
		Py_END_ALLOW_THREADS;
	}
}

static void take_turn(pthread_mutex_t *m)
{
	if (pthread_mutex_trylock(m) == 0)
		return;
	Py_BEGIN_ALLOW_THREADS;
	pthread_mutex_lock(m);
	Py_END_ALLOW_THREADS;
}

static void send_frame_of(const struct answer *a)
{
	take_turn(&lane.sending);
	send_frame(a);
	pthread_mutex_unlock(&lane.sending);
}

/* A process that sleeps in recv on a unix socket is woken when the other side reads what it wrote, too
 * (unix_write_space in the kernel): a worker would be woken twice for every invocation. One that sleeps in poll is
 * woken for input only. */
static ssize_t wait_and_recv(char *to, size_t want)
{
	struct pollfd p = {.fd = lane.fd, .events = POLLIN};

	if (poll(&p, 1, -1) < 0)
		return -1;
	return recv(lane.fd, to, want, 0);
}

/* Reads until a whole frame is there. 1: it is; 0: the lane is closed; -1: a signal's handler raised. */
static int fill(struct frame *f)
{
	buf_consume(&lane.in, lane.consumed);
	lane.consumed = 0;
	if (!lane.in.n && lane.in.cap > 4 * READ_SIZE)
		buf_done(&lane.in);
	for (;;) {
		int64_t size = frame_size(buf_str(&lane.in));
		size_t want = READ_SIZE;
		ssize_t n;

		if (size < 0)
			return 0;
		if (size > 0 && lane.in.n >= (size_t)size) {
			lane.consumed = (size_t)size;
			return frame_parse(str_sub(buf_str(&lane.in), 0, (size_t)size), f);
		}
		if (size > 0)
			want = MAX(want, (size_t)size - lane.in.n);
		buf_reserve(&lane.in, want);
		Py_BEGIN_ALLOW_THREADS;
		n = wait_and_recv(lane.in.p + lane.in.n, want);
		Py_END_ALLOW_THREADS;
		if (n < 0 && errno == EINTR) {
			if (PyErr_CheckSignals() < 0)
				return -1;
			continue;
		}
		if (n <= 0)
			return 0;
		lane.in.n += (size_t)n;
	}
}

/* Meta is text from HTTP headers: anything that is no UTF-8 is replaced rather than refused. */
static PyObject *text_or_none(const struct frame *f, enum frame_key key)
{
	struct str s;

	if (!frame_meta_get(f, (uint16_t)key, &s))
		Py_RETURN_NONE;
	return PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, "replace");
}

static PyObject *event_object(struct str body)
{
	PyObject *text = PyUnicode_DecodeUTF8(body.p, (Py_ssize_t)body.n, NULL);

	if (text)
		return text;
	/* bootstrap.py decodes it again, and reports the error as one of the invocation. */
	PyErr_Clear();
	return PyBytes_FromStringAndSize(body.p, (Py_ssize_t)body.n);
}

static PyObject *invocation(const struct frame *f)
{
	unsigned long long deadline = 0;
	uint64_t v;
	char id[UUID_TEXT_SIZE];

	memcpy(lane.id, f->id, sizeof(lane.id));
	uuid_format(f->id, id);
	if (frame_meta_u64(f, FRAME_KEY_DEADLINE_MS, &v))
		deadline = v;
	return Py_BuildValue("(NsKNNN)", event_object(f->body), id, deadline, text_or_none(f, FRAME_KEY_ARN),
			     text_or_none(f, FRAME_KEY_TRACE), text_or_none(f, FRAME_KEY_CLIENT_CONTEXT));
}

static bool usable(void)
{
	if (lane.fd >= 0)
		return true;
	PyErr_SetString(PyExc_RuntimeError,
			"the lane belongs to the process that was started with it, not to its forks");
	return false;
}

static PyObject *next_invocation(void)
{
	struct frame f;

	for (;;) {
		int r = fill(&f);

		if (r < 0)
			return NULL;
		if (r == 0)
			Py_RETURN_NONE;
		if (f.type == FRAME_INVOKE)
			return invocation(&f);
	}
}

static PyObject *py_next(PyObject *self, PyObject *unused)
{
	return usable() ? next_invocation() : NULL;
}

static PyObject *py_next_of(PyObject *self, PyObject *unused)
{
	PyObject *r;

	if (!usable())
		return NULL;
	take_turn(&lane.reading);
	r = next_invocation();
	pthread_mutex_unlock(&lane.reading);
	return r;
}

static PyObject *py_result(PyObject *self, PyObject *answer)
{
	Py_ssize_t n;
	const char *p = PyUnicode_AsUTF8AndSize(answer, &n);

	if (!p || !usable())
		return NULL;
	send_frame(&(struct answer){.type = FRAME_RESULT, .id = lane.id, .body = str_n(p, (size_t)n)});
	Py_RETURN_NONE;
}

/* first_result(answer, imports): result() that also names what was imported. */
static PyObject *py_first_result(PyObject *self, PyObject *args)
{
	struct answer a = {.type = FRAME_RESULT, .id = lane.id};

	if (!PyArg_ParseTuple(args, "s#s#", &a.body.p, &a.body.n, &a.imports.p, &a.imports.n) || !usable())
		return NULL;
	send_frame(&a);
	Py_RETURN_NONE;
}

static bool id_of(uint8_t ret[static UUID_SIZE], struct str text)
{
	if (uuid_parse(text, ret))
		return true;
	PyErr_SetString(PyExc_ValueError, "no request id");
	return false;
}

static PyObject *py_result_of(PyObject *self, PyObject *args)
{
	uint8_t id[UUID_SIZE];
	struct answer a = {.type = FRAME_RESULT, .id = id};
	struct str text;

	if (!PyArg_ParseTuple(args, "s#s#s#", &text.p, &text.n, &a.body.p, &a.body.n, &a.imports.p, &a.imports.n))
		return NULL;
	if (!usable() || !id_of(id, text))
		return NULL;
	send_frame_of(&a);
	Py_RETURN_NONE;
}

static PyObject *py_error_of(PyObject *self, PyObject *args)
{
	uint8_t id[UUID_SIZE];
	struct answer a = {.type = FRAME_ERROR, .id = id};
	struct str text;

	if (!PyArg_ParseTuple(args, "s#s#s#", &text.p, &text.n, &a.error_type.p, &a.error_type.n, &a.body.p, &a.body.n))
		return NULL;
	if (!usable() || !id_of(id, text))
		return NULL;
	send_frame_of(&a);
	Py_RETURN_NONE;
}

static PyObject *send_error(PyObject *args, const uint8_t id[static 16])
{
	struct answer a = {.type = FRAME_ERROR, .id = id};

	if (!PyArg_ParseTuple(args, "s#s#", &a.error_type.p, &a.error_type.n, &a.body.p, &a.body.n) || !usable())
		return NULL;
	send_frame(&a);
	Py_RETURN_NONE;
}

static PyObject *py_error(PyObject *self, PyObject *args)
{
	return send_error(args, lane.id);
}

static const uint8_t no_id[16];

static PyObject *py_init_error(PyObject *self, PyObject *args)
{
	return send_error(args, no_id);
}

/* ready(concurrency, imports) */
static PyObject *py_ready(PyObject *self, PyObject *args)
{
	struct answer a = {.type = FRAME_READY, .id = no_id};
	unsigned long long concurrency;

	if (!PyArg_ParseTuple(args, "Ks#", &concurrency, &a.imports.p, &a.imports.n) || !usable())
		return NULL;
	a.concurrency = concurrency > 1 ? concurrency : 0;
	send_frame(&a);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"next", py_next, METH_NOARGS, NULL},
	{"result", py_result, METH_O, NULL},
	{"first_result", py_first_result, METH_VARARGS, NULL},
	{"error", py_error, METH_VARARGS, NULL},
	{"next_of", py_next_of, METH_NOARGS, NULL},
	{"result_of", py_result_of, METH_VARARGS, NULL},
	{"error_of", py_error_of, METH_VARARGS, NULL},
	{"init_error", py_init_error, METH_VARARGS, NULL},
	{"ready", py_ready, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_wick_lane",
	.m_size = -1,
	.m_methods = methods,
};

static PyObject *module_init(void)
{
	return PyModule_Create(&module);
}

int lane_module_setup(void)
{
	int r = pthread_atfork(NULL, NULL, close_in_child);

	if (r != 0)
		return -r;
	return PyImport_AppendInittab("_wick_lane", module_init) < 0 ? -ENOMEM : 0;
}

int lane_open(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	close_in_child();
	buf_clear(&lane.in);
	lane.consumed = 0;
	if (flags < 0)
		return -errno;
	if ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	lane.fd = fcntl(fd, F_DUPFD_CLOEXEC, LANE_FD_LEAST);
	if (lane.fd < 0)
		return -errno;
	close(fd);
	return 0;
}
