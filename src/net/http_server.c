/* HTTP/1.1 server, over libmicrohttpd driven from our loop by its epoll fd.
 *
 * libmicrohttpd calls on_request several times an exchange: once when the headers are complete, once for each
 * piece of the body, and once (or, after a suspension, more often) at the end, where alone a reply may be queued
 * that leaves the connection open. An exchange that waits for its handler is suspended, and resumed by http_reply
 * or http_exchange_resume; what was resumed is run by a hook before the loop sleeps.
 *
 * A reply given before the body was read: a client that asked by Expect gets it at once; a short rest that comes
 * promptly is read and dropped, so that the connection lives on; for a long rest, or a client that stalls, the reply
 * is written past libmicrohttpd (it can queue none there) and the connection lingers until the client has seen it.
 *
 * While exchanges wait, a patrol looks at them from time to time: it finds the stalled ones, and has the loop watch
 * for the hang-up of clients whose exchange has been suspended for long (libmicrohttpd does not look at those).
 *
 * The server owns exchanges, an exchange its arena and reply. All may be lost at any time by the client's doing;
 * on_completed is the one end of every exchange. */
#include "net/http_server.h"

#include "base/mem.h"
#include "net/http_door.h"
#include "net/http_exchange.h"
#include "net/http_head.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A body whose rest is longer than this is not read for the sake of an early reply. */
#define DRAIN_MAX ((uint64_t)4 << 20)
/* How much is read after a reply was written past libmicrohttpd, before the client's patience is not ours. */
#define LINGER_MAX ((uint64_t)64 << 20)
/* Room beside the headers: pieces of uploads come in about half of it. It is cleared after every request. */
#define BUFFER_BYTES   ((size_t)16 << 10)
#define RECEIVE_BUFFER (1 << 20) /* the kernel widens the window only for readers of large pieces; this is none */
#define PULL_BLOCK     ((size_t)64 << 10)
#define ROUNDS_MAX     8
#define SPARES_MAX     64
#define HEADERS_FIRST  24
/* Rounds of the patrol: how long a client may stall before it is answered past its body, how long an exchange is
 * suspended before its client is watched, how long a connection lingers when nothing comes. */
#define PATROL_MS     100
#define STALL_ROUNDS  2
#define WATCH_ROUNDS  10
#define LINGER_ROUNDS 100

/* ---- exchange ---- */

static struct http_exchange *exchange_new(struct http_server *s, struct MHD_Connection *conn)
{
	struct http_exchange *ex = exchange_list_pop(&s->spare);
	struct arena arena = ARENA_NULL;

	if (ex)
		arena = ex->arena;
	else
		ex = xnew(struct http_exchange);
	*ex = (struct http_exchange){.server = s, .conn = conn, .arena = arena};
	exchange_list_push(&s->live, ex);
	return ex;
}

static void pull_done(struct http_exchange *ex)
{
	if (!ex->pulling)
		return;
	ex->pulling = false;
	if (ex->pull.pull_free)
		ex->pull.pull_free(ex->pull.pull_arg);
}

static void exchange_free(struct http_exchange *ex)
{
	struct http_server *s = ex->server;

	pull_done(ex);
	ex->tunnel = http_tunnel_free(ex->tunnel);
	ex->room = watch_free(ex->room);
	if (woken_list_linked(ex))
		woken_list_remove(&s->woken, ex);
	ex->hangup = watch_free(ex->hangup);
	if (ex->reply)
		MHD_destroy_response(ex->reply);
	buf_done(&ex->raw);
	exchange_list_remove(&s->live, ex);
	if (s->spare.n >= SPARES_MAX) {
		arena_done(&ex->arena);
		free(ex);
		return;
	}
	arena_reset(&ex->arena);
	exchange_list_push(&s->spare, ex);
}

void exchange_patrol_from_now(struct http_exchange *ex)
{
	struct http_server *s = ex->server;

	ex->rounds = 0;
	if (s->patrolling || s->stopping)
		return;
	s->patrolling = true;
	timer_set(s->patrol, PATROL_MS);
}

static void exchange_suspend(struct http_exchange *ex)
{
	if (ex->server->stopping)
		return;
	ex->suspended = true;
	MHD_suspend_connection(ex->conn);
	exchange_patrol_from_now(ex);
}

static void exchange_resume(struct http_exchange *ex)
{
	ex->suspended = false;
	ex->hangup = watch_free(ex->hangup);
	MHD_resume_connection(ex->conn);
	ex->server->dirty = true;
}

void exchange_wake(struct http_exchange *ex)
{
	if ((ex->tunnel || ex->duplex) && !woken_list_linked(ex))
		woken_list_push(&ex->server->woken, ex);
	if (ex->tunnel)
		return;
	if (ex->in_call || !ex->suspended)
		ex->resume_asked = true;
	else
		exchange_resume(ex);
}

int exchange_fd(const struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

	return ci ? ci->connect_fd : -1;
}

/* ---- reading the head ---- */

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n, const char *value,
				 size_t value_n)
{
	struct http_exchange *ex = cls;
	struct http_header *h;

	if (ex->n_headers == ex->cap_headers) {
		size_t cap = ex->cap_headers ? ex->cap_headers * 2 : HEADERS_FIRST;
		struct http_header *more = arena_new_n(&ex->arena, struct http_header, cap);

		if (ex->n_headers)
			memcpy(more, ex->headers, ex->n_headers * sizeof(*more));
		ex->headers = more;
		ex->cap_headers = cap;
	}
	h = &ex->headers[ex->n_headers++];
	h->name = str_n(key, key_n);
	h->value = str_trim(str_n(value ? value : "", value_n));
	ex->header_bytes += key_n + value_n + 4;
	return MHD_YES;
}

static unsigned check_head(struct http_exchange *ex, const char *version)
{
	struct http_head head;
	unsigned status;

	ex->header_bytes = ex->target.n + ex->method.n;
	MHD_get_connection_values_n(ex->conn, MHD_HEADER_KIND, on_header, ex);
	if (ex->header_bytes > ex->server->max_header_bytes)
		return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	status = http_head_check(ex->method, ex->target, ex->headers, ex->n_headers,
				 strcmp(version, MHD_HTTP_VERSION_1_1) == 0, &head);
	ex->content_length = head.content_length;
	ex->expects = head.expects;
	ex->has_body = head.content_length != 0;
	return status;
}

/* ---- replying ---- */

static enum MHD_Result queue_reply(struct http_exchange *ex)
{
	ex->queued = true;
	if (ex->server->drained && ex->status != MHD_HTTP_SWITCHING_PROTOCOLS)
		MHD_add_response_header(ex->reply, "Connection", "close");
	return MHD_queue_response(ex->conn, ex->status, ex->reply);
}

static enum MHD_Result refuse(struct http_exchange *ex, unsigned status)
{
	ex->status = status;
	ex->reply = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	if (!ex->reply)
		return MHD_NO;
	return queue_reply(ex);
}

/* A piece of the body after the reply was given. */
static enum MHD_Result drop_piece(struct http_exchange *ex, size_t *n)
{
	size_t got = *n;

	*n = 0;
	ex->received += got;
	if (!ex->lingers) {
		bool known = ex->content_length >= 0;
		uint64_t left = known ? (uint64_t)ex->content_length - ex->received : 0;

		ex->lingered += got;
		if (!ex->bytes_only || (left <= DRAIN_MAX && ex->lingered <= DRAIN_MAX))
			return MHD_YES;
		exchange_raw_start(ex);
	}
	ex->lingered += got;
	ex->rounds = 0;
	if (!exchange_raw_send(ex) || ex->lingered > LINGER_MAX)
		return MHD_NO;
	return MHD_YES;
}

static ssize_t on_pull(void *cls, uint64_t pos, char *p, size_t cap)
{
	struct http_exchange *ex = cls;
	ssize_t r;

	ex->server->busy = true;
	if (ex->gone)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	do {
		ex->resume_asked = false;
		ex->in_call = true;
		r = ex->pull.pull(ex->pull.pull_arg, (uint8_t *)p, cap);
		ex->in_call = false;
	} while (r == 0 && ex->resume_asked);
	if (r > 0)
		return r;
	if (r == 0) {
		exchange_suspend(ex);
		return 0;
	}
	return r == HTTP_PULL_END ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t on_nothing(void *cls, uint64_t pos, char *p, size_t cap)
{
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t no_pull(void *arg, uint8_t *p, size_t cap)
{
	return HTTP_PULL_ERROR;
}

/* For a 304 whose caller gave no length that the body would have: libmicrohttpd leaves the Content-Length away only
 * where it may not know the length, and takes no other end of a reply than the connection's for that. */
static struct MHD_Response *make_unsized(void)
{
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, on_nothing, NULL, NULL);

	if (r)
		MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
	return r;
}

static struct MHD_Response *make_response(struct http_exchange *ex, struct http_body *body)
{
	struct MHD_Response *r = NULL;

	if (!body || (body->kind == HTTP_BODY_BYTES && body->bytes.n == 0)) {
		if (body)
			buf_done(&body->bytes);
		ex->bytes_only = true;
		if (ex->status == MHD_HTTP_NOT_MODIFIED)
			return make_unsized();
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	}
	switch (body->kind) {
	case HTTP_BODY_BYTES:
		ex->bytes_only = true;
		ex->bytes = buf_str(&body->bytes);
		r = MHD_create_response_from_buffer(ex->bytes.n, body->bytes.p, MHD_RESPMEM_MUST_FREE);
		if (!r)
			buf_done(&body->bytes);
		body->bytes = BUF_NULL;
		break;
	case HTTP_BODY_FD:
		r = MHD_create_response_from_fd_at_offset64(body->length, body->fd, body->offset);
		if (!r)
			close(body->fd);
		body->fd = -1;
		break;
	case HTTP_BODY_PULL:
		ex->pull = *body;
		ex->pulling = true;
		if (!ex->pull.pull)
			ex->pull.pull = no_pull;
		if (ex->status == MHD_HTTP_SWITCHING_PROTOCOLS)
			return http_tunnel_response(ex);
		r = MHD_create_response_from_callback(body->length, PULL_BLOCK, on_pull, ex, NULL);
		break;
	}
	return r;
}

static void add_header(struct http_exchange *ex, const struct http_header *h)
{
	char name[256], small[1024];
	_cleanup_(freep) char *large = NULL;
	size_t n = h->value.n;
	char *value = small;

	if (h->name.n == 0 || h->name.n >= sizeof(name) || str_ieq(h->name, STR("content-length")))
		return;
	memcpy(name, h->name.p, h->name.n);
	name[h->name.n] = '\0';
	if (h->value.n >= sizeof(small))
		value = large = xmalloc(h->value.n + 1);
	if (h->value.n)
		memcpy(value, h->value.p, h->value.n);
	else /* libmicrohttpd refuses an empty value; readers trim a blank */
		value[n++] = ' ';
	value[n] = '\0';
	MHD_add_response_header(ex->reply, name, value);
}

void http_reply(struct http_exchange *ex, unsigned status, const struct http_header *h, size_t n,
		struct http_body *body)
{
	if (ex->reply) /* a handler that replies twice is broken */
		abort();
	ex->status = status;
	ex->head = str_eq(ex->method, STR("HEAD"));
	ex->reply = make_response(ex, body);
	if (!ex->reply) { /* an offset or length that cannot be */
		pull_done(ex);
		ex->bytes_only = true;
		ex->bytes = STR_NULL;
		ex->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		ex->reply = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
		if (!ex->reply)
			abort();
		n = 0;
	}
	for (size_t i = 0; i < n; i++)
		add_header(ex, &h[i]);
	if (ex->pulling && ex->pull.duplex && ex->has_body && !ex->ended && !ex->head)
		exchange_duplex_start(ex);
	else if (ex->has_body && !ex->ended)
		exchange_patrol_from_now(ex);
	exchange_wake(ex);
}

void http_exchange_resume(struct http_exchange *ex)
{
	exchange_wake(ex);
}

/* ---- callbacks of libmicrohttpd ---- */

/* libmicrohttpd takes a short read for the end of what there is and waits for the next edge. When the client's end
 * of stream came together with the bytes just read, that edge is past, and a broken upload would stand until its
 * timeout: shutting down our reading side makes another. */
static void notice_eof(struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	char c;

	if (ci && recv(ci->connect_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		shutdown(ci->connect_fd, SHUT_RD);
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct http_exchange *ex = exchange_new(cls, conn);

	ex->target = arena_str(&ex->arena, str_from(uri));
	return ex;
}

static enum MHD_Result on_head(struct http_exchange *ex, const char *method, const char *version)
{
	unsigned status;

	ex->method = str_from(method);
	status = check_head(ex, version);
	if (status)
		return refuse(ex, status);
	ex->server->busy = true;
	ex->in_call = true;
	ex->x = ex->server->handler.begin(ex->server->arg, ex);
	ex->in_call = false;
	/* Queued here, a reply closes the connection: only right for a client that has not sent its body yet. */
	if (ex->reply && ex->has_body && ex->expects)
		return queue_reply(ex);
	if (ex->has_body)
		notice_eof(ex);
	return MHD_YES;
}

/* Of a duplex reply, until its end. */
static bool takes_body(const struct http_exchange *ex)
{
	return ex->duplex && !ex->raw_sent && !ex->gone;
}

static enum MHD_Result on_body(struct http_exchange *ex, const char *p, size_t *n)
{
	size_t taken, total = 0;

	if (ex->reply && !takes_body(ex))
		return drop_piece(ex, n);
	ex->server->busy = true;
	do {
		ex->resume_asked = false;
		ex->in_call = true;
		taken = ex->server->handler.body(ex->x, (const uint8_t *)p + total, *n - total);
		ex->in_call = false;
		total += MIN(taken, *n - total);
	} while (total < *n && ex->resume_asked && (!ex->reply || takes_body(ex)));
	ex->received += total;
	*n -= total;
	if (ex->reply && !takes_body(ex))
		return *n ? drop_piece(ex, n) : MHD_YES;
	if (*n)
		exchange_suspend(ex);
	else if (ex->content_length < 0 || ex->received < (uint64_t)ex->content_length)
		notice_eof(ex);
	return MHD_YES;
}

static void say_end(struct http_exchange *ex)
{
	ex->ended = true;
	ex->server->busy = true;
	ex->in_call = true;
	if (!ex->reply || takes_body(ex))
		ex->server->handler.body_end(ex->x);
	ex->in_call = false;
}

static enum MHD_Result on_end(struct http_exchange *ex)
{
	if (ex->duplex && !ex->ended && !ex->gone)
		say_end(ex);
	if (ex->lingers) {
		if (ex->gone || !exchange_raw_send(ex) || ex->raw_sent)
			return MHD_NO;
		exchange_suspend(ex); /* the patrol sends on, or room in the socket does */
		return MHD_YES;
	}
	if (ex->gone)
		return MHD_NO;
	if (!ex->ended)
		say_end(ex);
	if (ex->reply)
		return queue_reply(ex);
	exchange_suspend(ex);
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				  const char *version, const char *data, size_t *n, void **con_cls)
{
	struct http_exchange *ex = *con_cls;

	if (!ex)
		return MHD_NO;
	ex->resume_asked = false;
	if (!ex->begun) {
		ex->begun = true;
		return on_head(ex, method, version);
	}
	if (*n)
		return on_body(ex, data, n);
	return on_end(ex);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls, enum MHD_RequestTerminationCode code)
{
	struct http_exchange *ex = *con_cls;

	if (!ex)
		return;
	*con_cls = NULL;
	ex->in_call = true; /* nothing asked for now can be done */
	pull_done(ex);
	if (ex->x) {
		ex->server->busy = true;
		bool sent = ex->queued && code == MHD_REQUEST_TERMINATED_COMPLETED_OK;

		if (ex->tunnel)
			sent = ex->tunnel->out_ended && !ex->tunnel->broken;
		ex->server->handler.finished(ex->x, sent || ex->raw_sent);
	}
	exchange_free(ex);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		http_doors_began(s->doors, context);
	else
		http_doors_ended(s->doors, *context);
}

static void on_added(void *arg)
{
	struct http_server *s = arg;

	s->dirty = true;
}

/* The target is handed on raw and libmicrohttpd's own copy is not looked at. */
static size_t no_unescape(void *cls, struct MHD_Connection *conn, char *s)
{
	return strlen(s);
}

/* ---- patrol ---- */

static void on_hangup(void *arg, int events)
{
	struct http_exchange *ex = arg;

	ex->gone = true;
	exchange_wake(ex);
}

static void watch_client(struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (ci)
		ex->hangup = watch_new(ex->server->loop, ci->connect_fd, WATCH_HANGUP, on_hangup, ex);
}

/* Ends an exchange whose reply went past libmicrohttpd: it sees the client's stream end. */
static void cut(struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

	ex->gone = true;
	if (ex->suspended)
		exchange_wake(ex);
	else if (ci)
		shutdown(ci->connect_fd, SHUT_RDWR);
}

/* The rest of a tunnel whose end was said: a client that does not close is cut. */
static bool patrol_tunnel(struct http_exchange *ex)
{
	if (!ex->tunnel->out_ended)
		return false;
	if (++ex->rounds > LINGER_ROUNDS)
		http_tunnel_cut(ex->tunnel);
	return true;
}

/* Whether the exchange is to be looked at again. */
static bool patrol_exchange(struct http_exchange *ex)
{
	bool early = ex->reply && ex->has_body && !ex->ended && !ex->queued && !ex->suspended && ex->bytes_only;

	if (ex->tunnel)
		return patrol_tunnel(ex);
	if (!early && !ex->lingers && !ex->suspended)
		return false;
	ex->rounds++;
	if (early && !ex->lingers && ex->rounds >= STALL_ROUNDS)
		exchange_raw_start(ex);
	if (ex->duplex && !ex->raw_sent) {
		if (ex->suspended && ex->ended && !ex->hangup && ex->rounds >= WATCH_ROUNDS)
			watch_client(ex);
		return true;
	}
	if (ex->lingers) {
		if (ex->gone)
			return false;
		if (ex->rounds > LINGER_ROUNDS || !exchange_raw_send(ex))
			cut(ex);
		else if (ex->raw_sent && ex->suspended)
			exchange_wake(ex);
		return true;
	}
	/* Not one in mid-body: what the client sent before it left is still to be read. */
	if (ex->suspended && !ex->hangup && ex->rounds >= WATCH_ROUNDS && (ex->ended || ex->pulling))
		watch_client(ex);
	return true;
}

static void on_patrol(void *arg)
{
	struct http_server *s = arg;
	bool more = false;

	for (struct http_exchange *ex = exchange_list_first(&s->live); ex; ex = exchange_list_next(ex))
		more |= patrol_exchange(ex);
	s->patrolling = more;
	if (more)
		timer_set(s->patrol, PATROL_MS);
}

/* ---- driving ---- */

static void report_drained(struct http_server *s)
{
	if (s->running || s->quiesced_fd < 0 || s->live.n > 0)
		return;
	close(s->quiesced_fd);
	s->quiesced_fd = -1;
	s->drained(s->drained_arg);
}

static void pump(struct http_server *s)
{
	unsigned long long ms = 0;
	unsigned rounds = 0;
	bool more;

	if (s->running)
		return;
	s->running = true;
	do {
		s->dirty = false;
		MHD_run(s->daemon);
		more = MHD_get_timeout(s->daemon, &ms) == MHD_YES;
	} while ((s->dirty || (more && ms == 0)) && ++rounds < ROUNDS_MAX);
	s->running = false;
	/* A timer that stands may be early, never late: activity only puts deadlines off. */
	if (more && ms == 0) {
		s->dirty = true; /* the hook of the next turn goes on, after other events had theirs */
		loop_soon(s->loop);
	} else if (more && !s->timer_armed) {
		timer_set(s->timer, ms);
		s->timer_armed = true;
	}
}

static void on_ready(void *arg, int events)
{
	pump(arg);
}

static void on_timer(void *arg)
{
	struct http_server *s = arg;

	s->timer_armed = false;
	pump(s);
}

static void run_woken(struct http_server *s)
{
	struct http_exchange *ex;

	for (size_t n = s->woken.n; n > 0 && (ex = woken_list_pop(&s->woken)); n--) {
		if (ex->tunnel) {
			http_tunnel_run(ex->tunnel);
			continue;
		}
		if (!exchange_raw_send(ex))
			cut(ex);
		else if (ex->raw_sent && ex->suspended)
			exchange_resume(ex);
	}
}

static void on_hook(void *arg)
{
	struct http_server *s = arg;

	s->busy = false;
	if (s->woken.n) {
		run_woken(s);
		loop_again(s->loop);
	}
	if (s->dirty) {
		pump(s);
		/* The handler ran after the events of this turn: what it gathered elsewhere must go out too. */
		if (s->busy || s->woken.n)
			loop_again(s->loop);
	}
	if (s->drained)
		report_drained(s);
}

struct http_server *http_server_new(struct loop *l, const struct http_server_conf *conf, const struct http_handler *h,
				    void *arg, struct err *err)
{
	struct http_server *s = xnew(struct http_server);
	const union MHD_DaemonInfo *info;
	const struct MHD_OptionItem more[] = {{MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
					      {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
					      {MHD_OPTION_LISTEN_SOCKET, conf->listen_fd, NULL},
					      {MHD_OPTION_END, 0, NULL}};

	*s = (struct http_server){
		.loop = l, .handler = *h, .arg = arg, .max_header_bytes = conf->max_header_bytes, .quiesced_fd = -1};
	setsockopt(conf->listen_fd, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER}, sizeof(int));
	s->doors = http_doors_new(l, conf->max_connections / 2, on_added, s);
	/* sendfile cannot be told to raise no SIGPIPE. */
	signal(SIGPIPE, SIG_IGN);
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
				     on_request, s, MHD_OPTION_ARRAY, more, MHD_OPTION_CONNECTION_LIMIT,
				     conf->max_connections, MHD_OPTION_CONNECTION_TIMEOUT, conf->idle_timeout_s,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, conf->max_header_bytes + BUFFER_BYTES,
				     MHD_OPTION_CONNECTION_MEMORY_INCREMENT, BUFFER_BYTES, MHD_OPTION_URI_LOG_CALLBACK,
				     on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL,
				     MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
				     on_connection, s, MHD_OPTION_END);
	if (!s->daemon) {
		err_set(err, 0, "cannot start the HTTP server on the socket");
		close(conf->listen_fd);
		http_doors_free(s->doors);
		free(s);
		return NULL;
	}
	http_doors_open(s->doors, s->daemon);
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	s->timer = timer_new(l, on_timer, s);
	s->patrol = timer_new(l, on_patrol, s);
	s->hook = loop_hook_new(l, on_hook, s);
	s->watch = watch_new(l, info->epoll_fd, WATCH_READ, on_ready, s);
	pump(s); /* puts the listening socket into the epoll set */
	return s;
}

void http_server_drain(struct http_server *s, void (*drained)(void *arg), void *arg)
{
	if (s->drained)
		return;
	s->drained = drained;
	s->drained_arg = arg;
	s->quiesced_fd = MHD_quiesce_daemon(s->daemon);
	http_doors_stop(s->doors);
	/* One turn more, so that drained is called by the hook and not from in here. */
	timer_set(s->timer, 0);
	s->timer_armed = true;
}

struct http_server *http_server_free(struct http_server *s)
{
	struct http_exchange *ex;

	if (!s)
		return NULL;
	s->stopping = true;
	s->watch = watch_free(s->watch);
	s->timer = timer_free(s->timer);
	s->patrol = timer_free(s->patrol);
	s->hook = loop_hook_free(s->hook);
	/* libmicrohttpd does not stop with a suspended connection. */
	for (ex = exchange_list_first(&s->live); ex; ex = exchange_list_next(ex)) {
		ex->hangup = watch_free(ex->hangup);
		if (ex->tunnel)
			http_tunnel_cut(ex->tunnel);
		if (ex->suspended)
			MHD_resume_connection(ex->conn);
		ex->suspended = false;
		ex->in_call = true;
	}
	s->running = true;
	http_doors_stop(s->doors);
	MHD_stop_daemon(s->daemon);
	http_doors_free(s->doors);
	if (s->quiesced_fd >= 0)
		close(s->quiesced_fd);
	while ((ex = exchange_list_pop(&s->spare))) {
		arena_done(&ex->arena);
		free(ex);
	}
	free(s);
	return NULL;
}

struct http_door *http_server_listen(struct http_server *s, int fd)
{
	return http_doors_add(s->doors, fd);
}

bool http_server_adopt(struct http_server *s, int fd)
{
	return http_doors_adopt(s->doors, fd);
}

unsigned http_server_connections(const struct http_server *s)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/* ---- the request as the handler sees it ---- */

struct str http_method(const struct http_exchange *ex)
{
	return ex->method;
}

struct str http_target(const struct http_exchange *ex)
{
	return ex->target;
}

struct str http_get_header(const struct http_exchange *ex, struct str name)
{
	for (size_t i = 0; i < ex->n_headers; i++)
		if (http_named(&ex->headers[i], name))
			return ex->headers[i].value;
	return STR_NULL;
}

const struct http_header *http_headers(const struct http_exchange *ex, size_t *n)
{
	*n = ex->n_headers;
	return ex->headers;
}

struct str http_peer(const struct http_exchange *ex)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(ex->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct http_exchange *own = (struct http_exchange *)ex;
	char text[INET6_ADDRSTRLEN] = "";

	if (ex->peer.p)
		return ex->peer;
	if (ci && ci->client_addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)ci->client_addr)->sin_addr, text, sizeof(text));
	else if (ci && ci->client_addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)ci->client_addr)->sin6_addr, text, sizeof(text));
	own->peer = arena_str(&own->arena, str_from(text));
	return ex->peer;
}

int64_t http_content_length(const struct http_exchange *ex)
{
	return ex->content_length;
}
