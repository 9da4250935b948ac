/* The smallest use of the HTTP server, for measuring what it costs alone: answers every request with a few bytes
 * (GET /file=PATH with that file) and drops every body. Usage: http_hello PORT [later], where "later" replies from
 * a following event of the loop, as a gateway that waits for a worker does. */
#include "net/http_server.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING_MAX 4096

struct bench {
	bool later;
	struct wake *wake;
	struct http_exchange *waiting[WAITING_MAX];
	size_t n;
};

struct one {
	struct bench *bench;
	struct http_exchange *ex;
};

static void answer(struct http_exchange *ex)
{
	const struct http_header h[] = {{STR("Content-Type"), STR("text/plain")}};
	struct http_body body = {.kind = HTTP_BODY_BYTES};
	struct str target = http_target(ex);
	struct stat st;

	if (str_starts(target, STR("/file="))) {
		_cleanup_(freep) char *path = str_dup(str_sub(target, 6, SIZE_MAX));

		body = (struct http_body){.kind = HTTP_BODY_FD, .fd = open(path, O_RDONLY | O_CLOEXEC)};
		if (body.fd >= 0 && fstat(body.fd, &st) == 0) {
			body.length = (uint64_t)st.st_size;
			http_reply(ex, 200, h, 1, &body);
			return;
		}
		body = (struct http_body){.kind = HTTP_BODY_BYTES};
	}
	buf_adds(&body.bytes, "hello\n");
	http_reply(ex, 200, h, 1, &body);
}

static void *begin(void *arg, struct http_exchange *ex)
{
	struct one *o = xnew(struct one);

	*o = (struct one){.bench = arg, .ex = ex};
	return o;
}

static size_t body(void *x, const uint8_t *p, size_t n)
{
	return n;
}

static void body_end(void *x)
{
	struct one *o = x;

	if (o->bench->later && o->bench->n < WAITING_MAX) {
		o->bench->waiting[o->bench->n++] = o->ex;
		wake_send(o->bench->wake);
		return;
	}
	answer(o->ex);
}

static void finished(void *x, bool sent)
{
	free(x);
}

static void on_wake(void *arg)
{
	struct bench *b = arg;

	for (size_t i = 0; i < b->n; i++)
		answer(b->waiting[i]);
	b->n = 0;
}

int main(int argc, char **argv)
{
	const struct http_handler handler = {begin, body, body_end, finished};
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct http_server_conf conf = {
		.listen_fd = fd, .max_connections = 1024, .idle_timeout_s = 60, .max_header_bytes = 16384};
	struct loop *l = loop_new();
	struct bench b = {.later = argc > 2};

	if (argc < 2)
		return 2;
	sa.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 256) < 0) {
		perror("listen");
		return 1;
	}
	b.wake = wake_new(l, on_wake, &b);
	if (!http_server_new(l, &conf, &handler, &b, NULL))
		return 1;
	loop_run(l);
	return 0;
}
