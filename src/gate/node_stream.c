/* Streams of the link that live no longer than their connection: packages on their way to a node, and connections of
 * boxes there to Wick's API, which become connections of the public port's server (signed with the worker's own keys,
 * as any request). Each owns itself until its stream is closed. */
#include "gate/node_link.h"

#include "base/mem.h"
#include "link/splice.h"
#include "net/http_server.h"
#include "sys/fdpass.h"
#include "sys/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- packages ---- */

struct package {
	int fd;
	uint64_t at, size;
};

static void package_head(void *arg, struct h2_stream *s, unsigned status, const struct kv *headers, size_t n)
{
	if (status != 200)
		h2_reset(s, H2_CANCEL);
}

static void package_data(void *arg, struct h2_stream *s, struct str bytes)
{
	h2_consumed(s, bytes.n);
}

static void package_end(void *arg, struct h2_stream *s)
{
}

static void package_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct package *p = arg;

	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static size_t package_pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct package *p = arg;
	ssize_t n;

	if (p->at == p->size)
		return 0;
	n = pread(p->fd, to, MIN(room, p->size - p->at), (off_t)p->at);
	if (n <= 0) {
		log_error("a package cannot be read: %s", n < 0 ? strerror(errno) : "it has become shorter");
		h2_reset(s, H2_INTERNAL_ERROR);
		return 0;
	}
	p->at += (uint64_t)n;
	if (p->at == p->size)
		h2_end(s);
	return (size_t)n;
}

static const struct h2_stream_handler package_handler = {
	.head = package_head,
	.data = package_data,
	.end = package_end,
	.closed = package_closed,
	.pull = package_pull,
};

void node_stream_package(struct gate *g, struct h2 *conn, struct str sha256_hex, struct str blob)
{
	struct package *p = xnew(struct package);
	char path[128], size[24];
	struct h2_stream *s;
	struct stat st;

	p->fd = blob.n ? blob_open_fd(g->blobs, blob) : -1;
	if (p->fd >= 0 && fstat(p->fd, &st) == 0)
		p->size = (uint64_t)st.st_size;
	snprintf(path, sizeof(path), "/_wick/code/%.*s", STR_ARG(sha256_hex));
	snprintf(size, sizeof(size), "%llu", (unsigned long long)p->size);
	const struct kv missing = {STR("wick-error"), STR("the code package of the function is not there any more")};
	const struct kv header = {STR("wick-size"), str_from(size)};

	s = h2_request(conn, "POST", path, p->size ? &header : &missing, 1, &package_handler, p);
	if (!s) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return;
	}
	if (p->size)
		h2_wake(s);
	else
		h2_end(s);
}

/* ---- doors ---- */

struct door {
	struct splice *splice;
};

static void door_over(void *arg)
{
	struct door *d = arg;

	splice_free(d->splice);
	free(d);
}

void node_stream_door(struct gate *g, struct h2 *conn, const char *worker_hex, uint64_t connection)
{
	char path[96];
	struct h2_stream *s;
	struct door *d;
	int pair[2];

	if (unix_pair(pair) < 0)
		return; /* the node closes it after a while */
	d = xnew(struct door);
	d->splice = splice_new(g->loop, pair[0], door_over, d);
	snprintf(path, sizeof(path), "/_wick/door/%s/%llu", worker_hex, (unsigned long long)connection);
	s = h2_request(conn, "POST", path, NULL, 0, &splice_stream, d->splice);
	if (!s || !http_server_adopt(g->http, pair[1])) {
		if (s)
			splice_begin(d->splice, s);
		door_over(d);
		return;
	}
	splice_begin(d->splice, s);
}
