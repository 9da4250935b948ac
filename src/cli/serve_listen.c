/* The public port. The supervisor binds it and hands the socket to each gate it starts: a client that comes while a
 * gate is being started again waits in the kernel's queue instead of being refused. Owns the socket. */
#include "cli/serve.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG      4096
#define BIND_TRIES   50 /* a Wick that was killed a moment ago may still hold the port */
#define BIND_WAIT_US 10000

/* "ADDR:PORT", "[ADDR]:PORT", ":PORT" or "PORT". */
static int resolve(const char *address, struct addrinfo **ret, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char *colon = strrchr(address, ':');
	_cleanup_(freep) char *host = colon ? xstrndup(address, (size_t)(colon - address)) : xstrdup("127.0.0.1");
	const char *port = colon ? colon + 1 : address;
	struct str h = str_from(host);
	uint64_t n;
	int r;

	if (!str_to_u64(str_from(port), &n) || n > 65535)
		return err_set(err, 0, "--listen %s: expected ADDRESS:PORT, as in 127.0.0.1:9000", address);
	if (str_starts(h, STR("[")) && str_ends(h, STR("]"))) {
		host[h.n - 1] = '\0';
		memmove(host, host + 1, h.n - 1);
	} else if (str_chr(h, ':', 0) >= 0) {
		return err_set(err, 0, "--listen %s: an IPv6 address stands in brackets, as in [::1]:9000", address);
	}
	r = getaddrinfo(*host ? host : "0.0.0.0", port, &hints, ret);
	return r != 0 ? err_set(err, 0, "--listen %s: %s", address, gai_strerror(r)) : 0;
}

static int bind_to(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	for (unsigned i = 0;; i++) {
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
			break;
		r = -errno;
		if (r != -EADDRINUSE || i >= BIND_TRIES) {
			close(fd);
			return r;
		}
		usleep(BIND_WAIT_US);
	}
	r = fd_set_nonblock(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static char *url_of(const struct sockaddr_storage *ss, socklen_t n, bool local)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	bool v6 = ss->ss_family == AF_INET6;

	if (getnameinfo((const struct sockaddr *)ss, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return NULL;
	if (local && strcmp(host, "0.0.0.0") == 0)
		snprintf(host, sizeof(host), "127.0.0.1");
	if (local && strcmp(host, "::") == 0)
		snprintf(host, sizeof(host), "::1");
	return xasprintf("http://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

int serve_listen_open(struct serve_listen *l, const char *address, struct err *err)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	struct addrinfo *ai;

	*l = (struct serve_listen){.fd = -1};
	if (resolve(address, &ai, err) < 0)
		return -1;
	l->fd = bind_to(ai);
	freeaddrinfo(ai);
	if (l->fd == -EADDRINUSE)
		return err_set(
			err, 0,
			"%s is in use by another program: choose another with --listen ADDRESS:PORT (port 0 finds a "
			"free one)",
			address);
	if (l->fd < 0)
		return err_set(err, -l->fd, "cannot listen on %s", address);
	if (getsockname(l->fd, (struct sockaddr *)&ss, &n) < 0)
		return err_set(err, errno, "cannot listen on %s", address);
	l->family = ss.ss_family;
	l->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
						 : ((struct sockaddr_in *)&ss)->sin_port);
	l->url = url_of(&ss, n, false);
	l->local = url_of(&ss, n, true);
	return l->url && l->local ? 0 : err_set(err, 0, "cannot listen on %s", address);
}

void serve_listen_close(struct serve_listen *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->url);
	free(l->local);
	*l = (struct serve_listen){.fd = -1};
}

int serve_listen_connect(const struct serve_listen *l)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	int fd;

	if (getsockname(l->fd, (struct sockaddr *)&ss, &n) < 0)
		return -1;
	/* To connect to "any address" is to connect to this machine. */
	fd = socket(l->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}
