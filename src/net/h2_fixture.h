/* Both ends of a connection in one loop, over a real socket on the loopback: what the tests of h2 and the ones of its
 * limits share. A side records what its handlers are told. */
#pragma once

#include "net/h2.h"
#include "net/tcp.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 20000 /* after which a condition is taken for one that does not come */

struct side;

/* One end of a stream. What it sends is `out`, and then `fill` bytes of a pattern; what comes is kept or compared with
 * the pattern. */
struct end {
	struct side *side;
	struct h2_stream *s; /* NULL: closed */
	struct buf out, got;
	size_t out_at, fill, filled, checked;
	bool check;   /* what comes is the pattern */
	bool keep;    /* nothing is given back */
	bool echo;    /* what comes goes out again */
	bool end_out; /* the end follows what there is */
	unsigned status, heads, ends, closes;
	uint32_t code;
	size_t unconsumed, pulls;
	void (*on_data)(struct end *e, struct str bytes);
};

struct side {
	struct h2 *c; /* NULL: freed */
	unsigned ups, downs, requests;
	char *reason;
	struct end *ends[256]; /* of the streams that were opened here */
	size_t n_ends;
	char *path;
	unsigned refuse;                   /* requests are reset, not answered */
	bool later;                        /* requests are not answered here */
	void (*on_request)(struct end *e); /* before it is answered */
	void (*on_up)(struct side *s);
	void (*on_down)(struct side *s);
};

struct pair {
	struct loop *loop;
	char dir[64];
	struct tls_key *keys[2]; /* of the gate, of the node */
	struct tls_context *server, *client;
	struct side gate, node; /* HTTP client and TLS server; HTTP server and TLS client */
	struct h2_conf gate_conf, node_conf;
	bool late;
	const bool *until;
};

static char pattern_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static size_t end_pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct end *e = arg;
	size_t n = MIN(room, e->out.n - e->out_at);

	e->pulls++;
	if (n) {
		memcpy(to, e->out.p + e->out_at, n);
		e->out_at += n;
		if (e->out_at == e->out.n) {
			buf_clear(&e->out);
			e->out_at = 0;
		}
		return n;
	}
	for (n = 0; n < room && e->filled < e->fill; n++)
		to[n] = pattern_at(e->filled++);
	return n;
}

static void end_data(void *arg, struct h2_stream *s, struct str bytes)
{
	struct end *e = arg;

	e->unconsumed += bytes.n;
	if (e->on_data) {
		e->on_data(e, bytes);
		return;
	}
	if (e->check)
		for (size_t i = 0; i < bytes.n; i++)
			assert_int_equal(bytes.p[i], pattern_at(e->checked++));
	else
		buf_add_str(&e->got, bytes);
	if (e->echo) {
		buf_add_str(&e->out, bytes);
		h2_wake(s);
	}
	if (!e->keep) {
		h2_consumed(s, e->unconsumed);
		e->unconsumed = 0;
	}
}

static void end_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	struct end *e = arg;

	e->heads++;
	e->status = status;
}

static void end_end(void *arg, struct h2_stream *s)
{
	struct end *e = arg;

	e->ends++;
	if (e->echo)
		h2_end(s);
}

static void end_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct end *e = arg;

	e->closes++;
	e->code = code;
	e->s = NULL;
}

static const struct h2_stream_handler end_handler = {
	.head = end_head, .data = end_data, .end = end_end, .closed = end_closed, .pull = end_pull};

static struct end *end_new(struct side *side)
{
	struct end *e = xnew(struct end);

	e->side = side;
	assert_true(side->n_ends < ARRAY_SIZE(side->ends));
	side->ends[side->n_ends++] = e;
	return e;
}

static _unused_ struct end *ask(struct side *side, const char *path)
{
	struct end *e = end_new(side);
	const struct kv headers[] = {{STR("x-wick"), STR("yes")}};

	e->s = h2_request(side->c, "POST", path, headers, 1, &end_handler, e);
	assert_non_null(e->s);
	return e;
}

static _unused_ void say(struct end *e, const char *text)
{
	buf_adds(&e->out, text);
	h2_wake(e->s);
}

static void side_up(void *arg, struct h2 *c)
{
	struct side *s = arg;

	s->ups++;
	if (s->on_up)
		s->on_up(s);
}

static void side_request(void *arg, struct h2 *c, struct h2_stream *st, struct str method, struct str path,
			 const struct kv *headers, size_t n)
{
	struct side *s = arg;
	struct end *e;

	s->requests++;
	free(s->path);
	s->path = str_dup(path);
	assert_true(str_eqz(method, "POST"));
	if (s->refuse) {
		h2_reset(st, s->refuse);
		return;
	}
	e = end_new(s);
	e->s = st;
	e->echo = true;
	if (s->on_request)
		s->on_request(e);
	if (e->s && !s->later)
		h2_respond(st, 200, (struct kv[]){{STR("x-node"), STR("n")}}, 1, &end_handler, e);
}

static void side_down(void *arg, struct h2 *c, const char *reason)
{
	struct side *s = arg;

	s->downs++;
	free(s->reason);
	s->reason = xstrdup(reason);
	if (s->on_down)
		s->on_down(s);
}

static const struct h2_handler side_handler = {.up = side_up, .request = side_request, .down = side_down};

static void on_late(void *arg)
{
	struct pair *p = arg;

	p->late = true;
	loop_stop(p->loop);
}

/* Turns of the loop until the condition holds: one at a time, by a timer that stops it. */
#define wait_for(p, condition)                                                                                         \
	do {                                                                                                           \
		struct timer *late_ = timer_new((p)->loop, on_late, (p));                                              \
		struct loop_hook *hook_ = loop_hook_new((p)->loop, on_turn, (p));                                      \
                                                                                                                       \
		timer_set(late_, WAIT_MS);                                                                             \
		(p)->late = false;                                                                                     \
		while (!(condition) && !(p)->late)                                                                     \
			loop_run((p)->loop);                                                                           \
		timer_free(late_);                                                                                     \
		loop_hook_free(hook_);                                                                                 \
		if ((p)->late)                                                                                         \
			fail_msg("%s did not become true", #condition);                                                \
	} while (0)

static void on_turn(void *arg)
{
	struct pair *p = arg;

	loop_stop(p->loop);
}

/* Two connected sockets. */
static void tcp_pair(int ret[static 2])
{
	struct err err = ERR_NULL;
	int l = tcp_listen("127.0.0.1:0", &err);
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	assert_true(l >= 0);
	getsockname(l, (struct sockaddr *)&ss, &n);
	ret[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[1], (struct sockaddr *)&ss, n), 0);
	ret[0] = tcp_accept(l);
	assert_true(ret[0] >= 0);
	fd_set_nonblock(ret[1]);
	close(l);
}

static struct tls_key *make_key(struct pair *p, const char *name)
{
	_cleanup_(freep) char *path = xasprintf("%s/%s.pem", p->dir, name);
	struct err err = ERR_NULL;
	struct tls_key *k;

	assert_int_equal(tls_key_make(path, name, &err), 0);
	k = tls_key_load(path, NULL, &err);
	assert_non_null(k);
	return k;
}

static int setup(void **state)
{
	struct pair *p = xnew(struct pair);
	struct err err = ERR_NULL;

	p->loop = loop_new();
	snprintf(p->dir, sizeof(p->dir), "/tmp/wick-h2-test.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->keys[0] = make_key(p, "gate");
	p->keys[1] = make_key(p, "node");
	p->server = tls_server_new(p->keys[0], &err);
	p->client = tls_client_new(p->keys[1], &(struct tls_expect){.pin = tls_key_fingerprint(p->keys[0])}, &err);
	assert_non_null(p->client);
	p->gate_conf = (struct h2_conf){.tls = p->server, .client = true};
	p->node_conf = (struct h2_conf){.tls = p->client};
	*state = p;
	return 0;
}

static void side_done(struct side *s)
{
	s->c = h2_free(s->c);
	for (size_t i = 0; i < s->n_ends; i++) {
		struct end *e = s->ends[i];

		assert_int_equal(e->closes, e->side ? 1 : 0);
		buf_done(&e->out);
		buf_done(&e->got);
		free(e);
	}
	free(s->reason);
	free(s->path);
	*s = (struct side){0};
}

static int teardown(void **state)
{
	struct pair *p = *state;

	side_done(&p->gate);
	side_done(&p->node);
	tls_context_free(p->server);
	tls_context_free(p->client);
	tls_key_free(p->keys[0]);
	tls_key_free(p->keys[1]);
	rm_rf(p->dir);
	loop_free(p->loop);
	free(p);
	return 0;
}

static void begin(struct pair *p)
{
	int fds[2];

	tcp_pair(fds);
	p->gate.c = h2_new(p->loop, fds[0], &p->gate_conf, &side_handler, &p->gate);
	p->node.c = h2_new(p->loop, fds[1], &p->node_conf, &side_handler, &p->node);
}

static _unused_ void join(struct pair *p)
{
	begin(p);
	wait_for(p, (p->gate.ups && p->node.ups) || p->gate.downs || p->node.downs);
	if (p->gate.downs || p->node.downs)
		fail_msg("down: gate %s, node %s", p->gate.reason, p->node.reason);
}
