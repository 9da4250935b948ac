/* libwick: invocations from the lane to a C handler and back, on as many threads as the function's concurrency says.
 * The same file is in wick-runtime, for shared objects, and in libwick.a, for programs; it needs nothing but libc.
 *
 * No thread is spent on reading. Whoever waits for an invocation, or for window to write, reads the lane for all when
 * nobody else does (`reading`), and hands the place on when it goes to work: with a concurrency of 1, one thread reads,
 * runs and answers. A thread more is started when all are at work. The process owns one lane, so its state is static.
 * When the lane is closed nobody is there any more: the process ends. */
#include "wick.h"

#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE   (64u << 10)
#define ANSWER_MAX  (6u << 20)
#define READ_AFTER  64
#define THREADS_MAX 1000u
#define LANE_FD_ENV "WICK_LANE_FD"

struct wick_invocation {
	uint8_t id[16];
	char id_text[UUID_TEXT_SIZE];
	int64_t deadline_ms;
	char *arn, *trace, *client_context;
	char *event;
	size_t event_n;
	bool stream, cancelled, answered;
	bool began;        /* HEAD or CHUNK was sent */
	bool too_large;    /* what was gathered */
	uint64_t credit;   /* bytes of CHUNKs that may be sent; under lane.lock */
	unsigned unread;   /* CHUNKs sent since the lane was read for it */
	struct buf answer; /* written, for a caller that takes no stream */
	struct list_link on_list;
};
DEFINE_LIST(call_list, struct wick_invocation, on_list)

static struct {
	int fd;
	wick_handler_fn *handler;
	pthread_mutex_t lock;      /* of everything but writing */
	pthread_cond_t invocation; /* threads that wait for one */
	pthread_cond_t window;     /* threads that wait for window */
	pthread_mutex_t write_lock;
	bool reading;
	unsigned threads, idle, max_threads;
	struct buf in;
	struct call_list queued, running;
} lane = {
	.fd = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.invocation = PTHREAD_COND_INITIALIZER,
	.window = PTHREAD_COND_INITIALIZER,
	.write_lock = PTHREAD_MUTEX_INITIALIZER,
};

static const uint8_t no_id[16];

static _noreturn_ void leave(int status)
{
	fflush(NULL);
	_exit(status);
}

/* ---- writing ---- */

static void read_lane(bool wait);

/* The gate may itself be waiting for us to read: whoever waits to write reads, if nobody else does. */
static void wait_to_send(void)
{
	struct pollfd p = {.fd = lane.fd, .events = POLLOUT};

	pthread_mutex_lock(&lane.lock);
	if (!lane.reading) {
		p.events |= POLLIN;
		read_lane(false);
	}
	pthread_mutex_unlock(&lane.lock);
	poll(&p, 1, -1);
}

static void send_all(struct iovec *iov, size_t n_iov)
{
	while (n_iov) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
		ssize_t n = sendmsg(lane.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			wait_to_send();
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			leave(0);
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

static void send_frame(enum frame_type type, const uint8_t id[static 16], const struct buf *meta, struct str body)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec iov[3] = {{header, sizeof(header)},
			       {meta ? meta->p : NULL, meta ? meta->n : 0},
			       {(void *)(uintptr_t)body.p, body.n}};

	frame_header(header, (uint8_t)type, id, iov[1].iov_len, body.n);
	pthread_mutex_lock(&lane.write_lock);
	send_all(iov, 3);
	pthread_mutex_unlock(&lane.write_lock);
}

static void add_rss(struct buf *meta)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) == 0)
		frame_meta_add_u64(meta, FRAME_KEY_MAX_RSS_KIB, (uint64_t)ru.ru_maxrss);
}

static void json_text(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			buf_printf(b, "\\u%04x", (unsigned char)*s);
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

static void send_error(const uint8_t id[static 16], const char *type, const char *message)
{
	struct buf meta = BUF_NULL, body = BUF_NULL;

	fflush(stdout);
	add_rss(&meta);
	frame_meta_add(&meta, FRAME_KEY_ERROR_TYPE, str_from(type));
	buf_adds(&body, "{\"errorMessage\":");
	json_text(&body, message);
	buf_adds(&body, ",\"errorType\":");
	json_text(&body, type);
	buf_addc(&body, '}');
	send_frame(FRAME_ERROR, id, &meta, buf_str(&body));
	buf_done(&meta);
	buf_done(&body);
}

/* ---- reading; under lane.lock ---- */

static char *text_of(const struct frame *f, enum frame_key key)
{
	struct str s = STR("");

	frame_meta_get(f, (uint16_t)key, &s);
	return xstrndup(s.p, s.n);
}

static void take_invoke(const struct frame *f)
{
	struct wick_invocation *in = xnew(struct wick_invocation);
	uint64_t v;

	memcpy(in->id, f->id, sizeof(in->id));
	uuid_format(f->id, in->id_text);
	in->credit = FRAME_WINDOW;
	if (frame_meta_u64(f, FRAME_KEY_DEADLINE_MS, &v))
		in->deadline_ms = (int64_t)v;
	in->stream = frame_meta_u64(f, FRAME_KEY_STREAM, &v) && v;
	in->arn = text_of(f, FRAME_KEY_ARN);
	in->trace = text_of(f, FRAME_KEY_TRACE);
	in->client_context = text_of(f, FRAME_KEY_CLIENT_CONTEXT);
	in->event = xmalloc(f->body.n + 1);
	memcpy(in->event, f->body.p, f->body.n);
	in->event[f->body.n] = '\0';
	in->event_n = f->body.n;
	call_list_push(&lane.queued, in);
}

static struct wick_invocation *find(struct call_list *l, const uint8_t id[static 16])
{
	for (struct wick_invocation *in = call_list_first(l); in; in = call_list_next(in))
		if (memcmp(in->id, id, sizeof(in->id)) == 0)
			return in;
	return NULL;
}

static void take_frame(const struct frame *f)
{
	struct wick_invocation *in;
	uint64_t n;

	if (f->type == FRAME_INVOKE) {
		take_invoke(f);
		return;
	}
	in = find(&lane.running, f->id);
	if (!in)
		in = find(&lane.queued, f->id);
	if (in && f->type == FRAME_CANCEL)
		in->cancelled = true;
	else if (in && f->type == FRAME_WINDOW_MORE && frame_meta_u64(f, FRAME_KEY_WINDOW, &n))
		in->credit += MIN(n, (uint64_t)FRAME_WINDOW);
}

static void take_frames(void)
{
	size_t at = 0;

	for (;;) {
		struct str rest = str_sub(buf_str(&lane.in), at, SIZE_MAX);
		int64_t size = frame_size(rest);
		struct frame f;

		if (size < 0)
			leave(1);
		if (size == 0 || rest.n < (uint64_t)size) {
			buf_consume(&lane.in, at);
			if ((uint64_t)size > READ_SIZE)
				buf_reserve(&lane.in, (size_t)size - rest.n);
			return;
		}
		if (!frame_parse(rest, &f))
			leave(1);
		at += (size_t)size;
		take_frame(&f);
	}
}

/* Reads once, without the lock, and takes what came. Whoever sleeps in recv on a unix socket is woken also when the
 * other end reads; who sleeps in poll is not. */
static void read_lane(bool wait)
{
	struct pollfd p = {.fd = lane.fd, .events = POLLIN};
	ssize_t n = -1;
	int r;

	lane.reading = true;
	if (!lane.in.n && lane.in.cap > 4 * READ_SIZE)
		buf_done(&lane.in);
	buf_reserve(&lane.in, READ_SIZE);
	pthread_mutex_unlock(&lane.lock);
	r = poll(&p, 1, wait ? -1 : 0);
	if (r > 0)
		n = recv(lane.fd, lane.in.p + lane.in.n, lane.in.cap - lane.in.n - 1, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && r > 0 && errno != EAGAIN && errno != EINTR))
		leave(0);
	pthread_mutex_lock(&lane.lock);
	lane.reading = false;
	if (n > 0) {
		lane.in.n += (size_t)n;
		take_frames();
		pthread_cond_broadcast(&lane.window);
		for (size_t i = 0; i < lane.queued.n && i < lane.idle; i++)
			pthread_cond_signal(&lane.invocation);
	}
}

/* Somebody must go on reading when the caller does not. */
static void hand_on_reading(void)
{
	if (lane.idle > 0)
		pthread_cond_signal(&lane.invocation);
	else
		pthread_cond_broadcast(&lane.window);
}

/* ---- threads ---- */

static void *serve(void *unused);

static struct wick_invocation *next_invocation(void)
{
	struct wick_invocation *in;
	pthread_t thread;

	pthread_mutex_lock(&lane.lock);
	lane.idle++;
	while (!(in = call_list_pop(&lane.queued))) {
		if (lane.reading)
			pthread_cond_wait(&lane.invocation, &lane.lock);
		else
			read_lane(true);
	}
	lane.idle--;
	call_list_push(&lane.running, in);
	if (lane.idle == 0 && lane.threads < lane.max_threads && pthread_create(&thread, NULL, serve, NULL) == 0) {
		pthread_detach(thread);
		lane.threads++;
	}
	hand_on_reading();
	pthread_mutex_unlock(&lane.lock);
	return in;
}

static void send_result(struct wick_invocation *in, struct str body)
{
	struct buf meta = BUF_NULL;

	fflush(stdout);
	add_rss(&meta);
	send_frame(FRAME_RESULT, in->id, &meta, body);
	buf_done(&meta);
	in->answered = true;
}

static int fail_size(struct wick_invocation *in)
{
	char text[128];

	snprintf(text, sizeof(text), "Response payload size exceeded maximum allowed payload size (%u bytes).",
		 ANSWER_MAX);
	wick_error(in, "Function.ResponseSizeTooLarge", text);
	errno = EMSGSIZE;
	return -1;
}

/* The handler has returned. */
static void finish(struct wick_invocation *in)
{
	if (!in->answered && in->too_large)
		fail_size(in);
	else if (!in->answered && in->began)
		send_result(in, STR_NULL);
	else if (!in->answered)
		send_result(in, in->answer.n ? buf_str(&in->answer) : STR("null"));
	pthread_mutex_lock(&lane.lock);
	call_list_remove(&lane.running, in);
	pthread_mutex_unlock(&lane.lock);
	buf_done(&in->answer);
	free(in->arn);
	free(in->trace);
	free(in->client_context);
	free(in->event);
	free(in);
}

static void *serve(void *unused)
{
	for (;;) {
		struct wick_invocation *in = next_invocation();

		lane.handler(in);
		finish(in);
	}
	return unused;
}

static int env_number(const char *name, int dflt)
{
	uint64_t n;

	return str_to_u64(str_from(getenv(name)), &n) && n <= INT32_MAX ? (int)n : dflt;
}

static int attach(void)
{
	if (lane.fd >= 0)
		return 0;
	lane.fd = env_number(LANE_FD_ENV, -1);
	if (lane.fd < 0 || fcntl(lane.fd, F_SETFD, FD_CLOEXEC) < 0) {
		lane.fd = -1;
		return -1;
	}
	unsetenv(LANE_FD_ENV);
	return 0;
}

int wick_run(wick_handler_fn *handler)
{
	struct buf meta = BUF_NULL;

	if (attach() < 0) {
		fprintf(stderr, "wick_run: this program is started by Wick (no lane in " LANE_FD_ENV ")\n");
		return 1;
	}
	lane.handler = handler;
	lane.max_threads = (unsigned)MAX(env_number("WICK_CONCURRENCY", 1), 1);
	lane.max_threads = MIN(lane.max_threads, THREADS_MAX);
	lane.threads = 1;
	add_rss(&meta);
	frame_meta_add_u64(&meta, FRAME_KEY_CONCURRENCY, lane.max_threads);
	send_frame(FRAME_READY, no_id, &meta, STR_NULL);
	buf_done(&meta);
	serve(NULL);
	return 0;
}

void wick_init_error(const char *type, const char *message)
{
	if (attach() < 0) {
		fprintf(stderr, "%s: %s\n", type, message);
	} else {
		send_error(no_id, type, message);
	}
	leave(1);
}

/* ---- for handlers ---- */

const char *wick_event(const wick_invocation *in, size_t *n)
{
	if (n)
		*n = in->event_n;
	return in->event;
}

const char *wick_request_id(const wick_invocation *in)
{
	return in->id_text;
}

const char *wick_function_arn(const wick_invocation *in)
{
	return in->arn;
}

const char *wick_trace_id(const wick_invocation *in)
{
	return in->trace;
}

const char *wick_client_context(const wick_invocation *in)
{
	return in->client_context;
}

int64_t wick_deadline_ms(const wick_invocation *in)
{
	return in->deadline_ms;
}

int64_t wick_remaining_ms(const wick_invocation *in)
{
	struct timespec ts;
	int64_t now;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	return MAX(in->deadline_ms - now, 0);
}

bool wick_streams(const wick_invocation *in)
{
	return in->stream;
}

bool wick_cancelled(wick_invocation *in)
{
	bool cancelled;

	pthread_mutex_lock(&lane.lock);
	if (!in->cancelled && !lane.reading) {
		read_lane(false);
		hand_on_reading();
	}
	cancelled = in->cancelled;
	pthread_mutex_unlock(&lane.lock);
	return cancelled;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

int wick_answer(wick_invocation *in, const void *json, size_t n)
{
	if (in->answered || in->began)
		return fail(EALREADY);
	if (n > ANSWER_MAX)
		return fail_size(in);
	send_result(in, str_n(json, n));
	return 0;
}

int wick_answer_text(wick_invocation *in, const char *json)
{
	return wick_answer(in, json, strlen(json));
}

int wick_error(wick_invocation *in, const char *type, const char *message)
{
	if (in->answered)
		return fail(EALREADY);
	send_error(in->id, type, message);
	in->answered = true;
	return 0;
}

int wick_head(wick_invocation *in, int status, const char *const headers[])
{
	struct buf meta = BUF_NULL;

	if (in->answered || in->began)
		return fail(EALREADY);
	if (status < 200 || status > 999)
		return fail(EINVAL);
	for (size_t i = 0; headers && headers[i]; i++) {
		if (strpbrk(headers[i], "\r\n")) {
			buf_done(&meta);
			return fail(EINVAL);
		}
		frame_meta_add(&meta, FRAME_KEY_HEADER, str_from(headers[i]));
	}
	if (in->stream) {
		struct buf all = BUF_NULL;

		frame_meta_add_u64(&all, FRAME_KEY_STATUS, (uint64_t)status);
		buf_add_str(&all, buf_str(&meta));
		send_frame(FRAME_HEAD, in->id, &all, STR_NULL);
		in->began = true;
		buf_done(&all);
	}
	buf_done(&meta);
	return 0;
}

/* Window for up to `want` bytes; 0: nobody waits for them. */
static size_t take_window(wick_invocation *in, size_t want)
{
	size_t n = 0;

	pthread_mutex_lock(&lane.lock);
	if (++in->unread == READ_AFTER) { /* small pieces: what gives their window back may not pile up */
		in->unread = 0;
		if (!lane.reading)
			read_lane(false);
	}
	while (!in->credit && !in->cancelled) {
		if (lane.reading)
			pthread_cond_wait(&lane.window, &lane.lock);
		else
			read_lane(true);
	}
	if (!in->cancelled) {
		n = MIN(MIN((uint64_t)want, in->credit), FRAME_CHUNK_MAX);
		in->credit -= n;
	}
	if (!lane.reading)
		hand_on_reading();
	pthread_mutex_unlock(&lane.lock);
	return n;
}

int wick_write(wick_invocation *in, const void *p, size_t n)
{
	if (in->answered)
		return fail(EALREADY);
	if (!in->stream) {
		if (in->too_large || n > ANSWER_MAX - in->answer.n) {
			in->too_large = true;
			return fail(EMSGSIZE);
		}
		buf_add(&in->answer, p, n);
		return 0;
	}
	while (n > 0) {
		size_t piece = take_window(in, n);

		if (!piece)
			return fail(ECANCELED);
		in->began = true;
		send_frame(FRAME_CHUNK, in->id, NULL, str_n(p, piece));
		p = (const char *)p + piece;
		n -= piece;
	}
	return 0;
}
