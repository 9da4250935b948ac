/* The public port: makes a request of every HTTP exchange and hands its events to the flow. Owns the exchange's side
 * of the request until the exchange is over; a request is refused here only while the gate drains. */
#include "gate/front.h"

#include "gate/body.h"
#include "gate/flow.h"

static void *begin(void *arg, struct http_exchange *ex)
{
	struct gate *g = arg;
	struct req *r = req_new(g, ex);
	struct str target = http_target(ex);

	r->method = http_method(ex);
	r->headers = http_headers(ex, &r->n_headers);
	r->peer = http_peer(ex);
	str_cut(target, '?', &r->path, &r->query);
	r->body_ended = http_content_length(ex) == 0;
	if (g->draining)
		req_fail(r, FAIL_SHUTTING_DOWN);
	req_continue(r);
	return r;
}

static size_t body(void *x, const uint8_t *p, size_t n)
{
	return body_take(x, p, n);
}

static void body_end(void *x)
{
	struct req *r = x;

	if (!r->body_ended)
		body_over(r);
}

static void finished(void *x, bool sent)
{
	req_exchange_over(x, sent);
}

static const struct http_handler handler = {
	.begin = begin,
	.body = body,
	.body_end = body_end,
	.finished = finished,
};

int front_open(struct gate *g, struct err *err)
{
	const struct http_server_conf conf = {
		.listen_fd = g->conf.listen_fd,
		.max_connections = g->conf.s.max_connections,
		.idle_timeout_s = (unsigned)(g->conf.s.idle_timeout_ms / 1000),
		.max_header_bytes = 12 * 1024, /* S3 itself takes 8 KiB; a presigned URL with a token needs the rest */
	};

	g->http = http_server_new(g->loop, &conf, &handler, g, err);
	return g->http ? 0 : -1;
}

/* A door is the server's own; the name is for those who hold one. */
struct front_door *front_listen(struct gate *g, int fd)
{
	return (struct front_door *)http_server_listen(g->http, fd);
}

struct front_door *front_unlisten(struct front_door *d)
{
	http_server_unlisten((struct http_door *)d);
	return NULL;
}
