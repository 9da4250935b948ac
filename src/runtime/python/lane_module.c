/* The worker's end of the lane, as a module of the interpreter: next() waits for INVOKE without the interpreter's
 * lock, result() and error() send one frame in one call.
 *
 * There is one lane in a process and its owner is the one thread that runs bootstrap.py, so the state is static: a
 * module's functions have no other way to it. When the gate has closed the lane nothing can be said to anybody: next()
 * gives None, and a send that fails leaves the process at once. Garbage from the gate is treated as closed. */
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
#define SOCKET_BUFFER (4 << 20)
#define SEND_NOW_MAX  (64u << 10) /* a body up to this size is sent with the interpreter's lock held */

static struct lane_state {
	int fd;
	pid_t owner;
	struct buf in;   /* bytes read, the current frame first */
	size_t consumed; /* of the frame handed out last, dropped before the next read */
	struct buf meta; /* of the frame being sent */
	uint8_t id[16];  /* of the invocation that runs */
} lane = {.fd = -1};

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

static void send_frame(enum frame_type type, const uint8_t id[static 16], struct str error_type, struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3];

	fflush(stdout);
	buf_clear(&lane.meta);
	frame_meta_add_u64(&lane.meta, FRAME_KEY_MAX_RSS_KIB, max_rss_kib());
	if (error_type.p)
		frame_meta_add(&lane.meta, FRAME_KEY_ERROR_TYPE, error_type);
	frame_header(header, (uint8_t)type, id, lane.meta.n, body.n);
	iov[0] = (struct iovec){header, sizeof(header)};
	iov[1] = (struct iovec){lane.meta.p, lane.meta.n};
	iov[2] = (struct iovec){(void *)(uintptr_t)body.p, body.n};
	if (body.n <= SEND_NOW_MAX) {
		send_all(iov, body.n ? 3 : 2);
	} else {
		Py_BEGIN_ALLOW_THREADS;
		send_all(iov, 3);
		Py_END_ALLOW_THREADS;
	}
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
	if (lane.fd >= 0 && getpid() == lane.owner)
		return true;
	PyErr_SetString(PyExc_RuntimeError, "the lane belongs to the process that was started with it");
	return false;
}

static PyObject *py_next(PyObject *self, PyObject *unused)
{
	struct frame f;

	if (!usable())
		return NULL;
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

static PyObject *py_result(PyObject *self, PyObject *answer)
{
	Py_ssize_t n;
	const char *p = PyUnicode_AsUTF8AndSize(answer, &n);

	if (!p || !usable())
		return NULL;
	send_frame(FRAME_RESULT, lane.id, STR_NULL, str_n(p, (size_t)n));
	Py_RETURN_NONE;
}

static PyObject *send_error(PyObject *args, const uint8_t id[static 16])
{
	const char *type, *body;
	Py_ssize_t type_n, body_n;

	if (!PyArg_ParseTuple(args, "s#s#", &type, &type_n, &body, &body_n) || !usable())
		return NULL;
	send_frame(FRAME_ERROR, id, str_n(type, (size_t)type_n), str_n(body, (size_t)body_n));
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

static PyObject *py_ready(PyObject *self, PyObject *unused)
{
	if (!usable())
		return NULL;
	send_frame(FRAME_READY, no_id, STR_NULL, STR_NULL);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"next", py_next, METH_NOARGS, NULL},    {"result", py_result, METH_O, NULL},
	{"error", py_error, METH_VARARGS, NULL}, {"init_error", py_init_error, METH_VARARGS, NULL},
	{"ready", py_ready, METH_NOARGS, NULL},  {NULL, NULL, 0, NULL},
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

int lane_module_setup(int fd)
{
	int size = SOCKET_BUFFER, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		return -errno;
	lane.fd = fcntl(fd, F_DUPFD_CLOEXEC, LANE_FD_LEAST);
	if (lane.fd < 0)
		return -errno;
	close(fd);
	lane.owner = getpid();
	pthread_atfork(NULL, NULL, close_in_child);
	if (PyImport_AppendInittab("_wick_lane", module_init) < 0)
		return -ENOMEM;
	return 0;
}
