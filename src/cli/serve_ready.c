/* When everything is ready. Asks for /_wick/health as a client would: the port is bound already, so the question waits
 * in the kernel's queue until a gate takes it, and the answer comes the moment there is one. Owns its connection. */
#include "cli/serve.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define AGAIN_MS 10

struct serve_ready {
	struct loop *loop;
	const struct serve_listen *listen;
	void (*fn)(void *arg);
	void *arg;
	struct timer *again;
	struct watch *watch;
	int fd;
	bool asked;
	char answer[64];
	size_t n;
};

static void hang_up(struct serve_ready *r)
{
	r->watch = watch_free(r->watch);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->n = 0;
	r->asked = false;
}

static void ask_again(struct serve_ready *r)
{
	hang_up(r);
	timer_set(r->again, AGAIN_MS);
}

static void on_event(void *arg, int events)
{
	static const char question[] = "GET /_wick/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	static const char yes[] = "HTTP/1.1 200";
	struct serve_ready *r = arg;
	ssize_t n;

	if (!r->asked) {
		/* A fresh socket takes these few bytes whole or not at all. */
		n = send(r->fd, question, sizeof(question) - 1, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n != (ssize_t)sizeof(question) - 1) {
			ask_again(r);
			return;
		}
		r->asked = true;
		watch_set(r->watch, WATCH_READ);
		return;
	}
	n = recv(r->fd, r->answer + r->n, sizeof(r->answer) - 1 - r->n, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		r->n += (size_t)n;
	if (n > 0 && r->n < sizeof(yes) - 1)
		return;
	if (r->n < sizeof(yes) - 1 || memcmp(r->answer, yes, sizeof(yes) - 1) != 0) {
		ask_again(r);
		return;
	}
	hang_up(r);
	r->fn(r->arg);
}

static void ask(void *arg)
{
	struct serve_ready *r = arg;

	r->fd = serve_listen_connect(r->listen);
	r->watch = r->fd < 0 ? NULL : watch_new(r->loop, r->fd, WATCH_WRITE, on_event, r);
	if (!r->watch)
		ask_again(r);
}

struct serve_ready *serve_ready_new(struct loop *loop, const struct serve_listen *l, void (*fn)(void *arg), void *arg)
{
	struct serve_ready *r = xnew(struct serve_ready);

	*r = (struct serve_ready){.loop = loop, .listen = l, .fn = fn, .arg = arg, .fd = -1};
	r->again = timer_new(loop, ask, r);
	ask(r);
	return r;
}

struct serve_ready *serve_ready_free(struct serve_ready *r)
{
	if (!r)
		return NULL;
	hang_up(r);
	timer_free(r->again);
	free(r);
	return NULL;
}

void serve_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(sun.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody to tell is no reason to stop. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
