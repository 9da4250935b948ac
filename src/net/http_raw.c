/* Replies written past libmicrohttpd, which can queue none while a request's body is being read. The connection is of
 * no use for another request then: it lingers until the client has seen the reply. The exchange owns what is left of
 * it. */
#include "net/http_exchange.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define DUPLEX_PIECE ((size_t)64 << 10)
#define CHUNK_HEAD   10 /* eight digits and the end of their line */
#define ROUNDS_MAX   16

static enum MHD_Result raw_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct buf *b = cls;

	if (!str_ieq(str_from(key), STR("connection")))
		buf_printf(b, "%s: %s\r\n", key, value);
	return MHD_YES;
}

static void raw_compose(struct http_exchange *ex)
{
	struct buf *b = &ex->raw;
	time_t now = time(NULL);
	char date[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_printf(b, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n", ex->status,
		   MHD_get_reason_phrase_for(ex->status), date);
	MHD_get_response_headers(ex->reply, raw_header, b);
	if (ex->duplex) {
		if (ex->chunked)
			buf_adds(b, "Transfer-Encoding: chunked\r\n");
		else if (ex->pull.length != HTTP_LENGTH_UNKNOWN)
			buf_printf(b, "Content-Length: %llu\r\n", (unsigned long long)ex->pull.length);
		buf_adds(b, "\r\n");
	} else if (ex->status >= 200 && ex->status != MHD_HTTP_NO_CONTENT && ex->status != MHD_HTTP_NOT_MODIFIED) {
		buf_printf(b, "Content-Length: %zu\r\n\r\n", ex->bytes.n);
		if (!ex->head)
			buf_add_str(b, ex->bytes);
	} else {
		buf_adds(b, "\r\n");
	}
}

/* The next piece of a duplex reply into ex->raw; false: it is broken, the client is to notice. */
static bool duplex_fill(struct http_exchange *ex)
{
	size_t head = ex->chunked ? CHUNK_HEAD : 0;
	char *to = buf_reserve(&ex->raw, head + DUPLEX_PIECE + 2);
	ssize_t n = ex->pull.pull(ex->pull.pull_arg, (uint8_t *)to + head, DUPLEX_PIECE);

	if (n == HTTP_PULL_ERROR)
		return false;
	ex->pull_ended = n == HTTP_PULL_END;
	if (n == 0 || (n < 0 && !ex->chunked))
		return true;
	if (n < 0) {
		buf_adds(&ex->raw, "0\r\n\r\n");
		return true;
	}
	ex->raw.n = head + (size_t)n;
	if (ex->chunked) {
		char size[CHUNK_HEAD + 1];

		snprintf(size, sizeof(size), "%08x\r\n", (unsigned)n);
		memcpy(to, size, CHUNK_HEAD);
		buf_adds(&ex->raw, "\r\n");
	}
	return true;
}

bool exchange_raw_send(struct http_exchange *ex)
{
	int fd = exchange_fd(ex);

	if (fd < 0)
		return false;
	ex->server->busy |= ex->duplex;
	for (unsigned i = 0; i < ROUNDS_MAX && !ex->raw_sent; i++) {
		ssize_t w;

		if (ex->raw.n == 0 && ex->duplex && !ex->pull_ended && !duplex_fill(ex))
			return false;
		if (ex->raw.n == 0 && ex->duplex && !ex->pull_ended)
			return true;
		w = ex->raw.n ? send(fd, ex->raw.p, ex->raw.n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		if (w < 0) {
			if (errno != EAGAIN && errno != EINTR)
				return false;
			break;
		}
		buf_consume(&ex->raw, (size_t)w);
		if (ex->raw.n == 0 && (!ex->duplex || ex->pull_ended)) {
			ex->raw_sent = true;
			ex->rounds = 0;
			shutdown(fd, SHUT_WR);
		}
	}
	if (!ex->raw_sent && ex->room)
		watch_set(ex->room, WATCH_WRITE);
	return true;
}

static void on_room(void *arg, int events)
{
	struct http_exchange *ex = arg;

	watch_set(ex->room, 0);
	exchange_wake(ex);
}

void exchange_duplex_start(struct http_exchange *ex)
{
	ex->duplex = ex->lingers = true;
	ex->lingered = 0;
	ex->chunked = ex->pull.length == HTTP_LENGTH_UNKNOWN;
	raw_compose(ex);
	ex->room = watch_new(ex->server->loop, exchange_fd(ex), 0, on_room, ex);
	exchange_patrol_from_now(ex);
}

void exchange_raw_start(struct http_exchange *ex)
{
	ex->lingers = true;
	ex->lingered = 0;
	ex->rounds = 0;
	raw_compose(ex);
}
