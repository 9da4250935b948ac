/* Glue of loop, lane and program. The shim's own failures (no epoll, no descriptors) are init errors; after READY they
 * end the worker. */
#include "runtime/shim/shim.h"

#include "base/id.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONCURRENCY_MAX 1000

const uint8_t shim_no_id[16];

const char *shim_env(const char *name, const char *dflt)
{
	const char *v = getenv(name);

	return v && *v ? v : dflt;
}

void shim_begin(struct shim *s, const struct zygote_worker *w, const struct lane_events *events,
		void (*exited)(void *arg, int status), void *arg)
{
	uint64_t n;

	*s = (struct shim){.concurrency = 1};
	if (str_to_u64(str_from(shim_env("WICK_CONCURRENCY", "1")), &n) && n > 0)
		s->concurrency = (unsigned)MIN(n, (uint64_t)CONCURRENCY_MAX);
	if (poller_init(&s->poller) < 0 || lane_open(&s->lane, &s->poller, w->lane, events, arg) < 0 ||
	    program_watch(&s->program, &s->poller, exited, arg) < 0) {
		perror("wick-runtime: the worker cannot begin");
		_exit(1);
	}
}

void shim_end(struct shim *s, int status)
{
	lane_flush(&s->lane);
	_exit(status);
}

static void add_rss(struct shim *s, struct buf *meta)
{
	uint64_t rss = program_max_rss_kib(&s->program);

	if (rss)
		frame_meta_add_u64(meta, FRAME_KEY_MAX_RSS_KIB, rss);
}

void shim_ready(struct shim *s)
{
	struct buf meta = BUF_NULL;

	add_rss(s, &meta);
	frame_meta_add_u64(&meta, FRAME_KEY_CONCURRENCY, s->concurrency);
	lane_say(&s->lane, FRAME_READY, shim_no_id, &meta, STR_NULL);
	buf_done(&meta);
	s->ready = true;
}

void shim_result(struct shim *s, const uint8_t id[static 16], struct str body)
{
	struct buf meta = BUF_NULL;

	add_rss(s, &meta);
	lane_say(&s->lane, FRAME_RESULT, id, &meta, body);
	buf_done(&meta);
}

void shim_error_body(struct shim *s, const uint8_t id[static 16], struct str type, struct str body)
{
	struct buf meta = BUF_NULL;

	add_rss(s, &meta);
	frame_meta_add(&meta, FRAME_KEY_ERROR_TYPE, type);
	lane_say(&s->lane, FRAME_ERROR, id, &meta, body);
	buf_done(&meta);
}

static void error_v(struct shim *s, const uint8_t id[static 16], const char *type, const char *fmt, va_list ap)
	_printf_(4, 0);

static void error_v(struct shim *s, const uint8_t id[static 16], const char *type, const char *fmt, va_list ap)
{
	struct buf message = BUF_NULL, body = BUF_NULL;
	char text[UUID_TEXT_SIZE];

	if (memcmp(id, shim_no_id, sizeof(shim_no_id)) != 0) {
		uuid_format(id, text);
		buf_printf(&message, "RequestId: %s Error: ", text);
	}
	buf_vprintf(&message, fmt, ap);
	lane_error_body(&body, type, buf_str(&message));
	shim_error_body(s, id, str_from(type), buf_str(&body));
	buf_done(&message);
	buf_done(&body);
}

void shim_error(struct shim *s, const uint8_t id[static 16], const char *type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_v(s, id, type, fmt, ap);
	va_end(ap);
}

void shim_init_failed(struct shim *s, const char *type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_v(s, shim_no_id, type, fmt, ap);
	va_end(ap);
	shim_end(s, 1);
}

void shim_exit_message(int status, struct buf *ret)
{
	char text[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		buf_adds(ret, "Runtime exited without providing a reason");
		return;
	}
	program_exit_text(status, text);
	buf_printf(ret, "Runtime exited with error: %s", text);
}

void shim_program_over(struct shim *s, int status)
{
	shim_end(s, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
