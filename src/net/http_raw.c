/* Replies written past libmicrohttpd, which can queue none while a request's body is being read. The connection is of
 * no use for another request then: it lingers until the client has seen the reply. The exchange owns what is left of
 * it. */
#include "net/http_exchange.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

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
	if (ex->status >= 200 && ex->status != MHD_HTTP_NO_CONTENT && ex->status != MHD_HTTP_NOT_MODIFIED) {
		buf_printf(b, "Content-Length: %zu\r\n\r\n", ex->bytes.n);
		if (!ex->head)
			buf_add_str(b, ex->bytes);
	} else {
		buf_adds(b, "\r\n");
	}
}

bool exchange_raw_send(struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	ssize_t w;

	if (!ci)
		return false;
	if (ex->raw_sent)
		return true;
	w = send(ci->connect_fd, ex->raw.p, ex->raw.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (w < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_consume(&ex->raw, (size_t)w);
	if (ex->raw.n == 0) {
		ex->raw_sent = true;
		shutdown(ci->connect_fd, SHUT_WR);
	}
	return true;
}

void exchange_raw_start(struct http_exchange *ex)
{
	ex->lingers = true;
	ex->lingered = 0;
	ex->rounds = 0;
	raw_compose(ex);
}
