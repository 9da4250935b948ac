/* TCP on the loop.
 *
 * A dial is a small machine: addresses are looked up on the pool, tried one after the other, then a proxy is asked for
 * its tunnel. It owns its socket until done takes it. A lookup cannot be cancelled: it is a job of its own, which frees
 * itself when nobody waits for it any more.
 *
 * May fail: everything. The text says who did what; what a user must keep secret is in none. */
#include "net/tcp.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG       1024
#define NOTSENT_LOWAT (128 << 10)
#define RTO_MAX_MS    1000
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15; not in libc's headers yet */
#endif

struct lookup {
	struct tcp_dial *dial; /* NULL: cancelled */
	char *host, port[8];
	struct addrinfo *found;
	int error, errno_;
};

struct tcp_dial {
	struct loop *loop;
	char *host;
	uint16_t port;
	struct proxy proxy; /* host NULL: none */
	void (*done)(void *arg, int fd, const char *error);
	void *arg;
	struct lookup *lookup; /* while it is under way */
	struct addrinfo *addresses;
	const struct addrinfo *next;
	struct timer *deadline, *attempt;
	struct watch *watch;
	int fd;
	bool asking; /* the proxy, on a connection that stands */
	struct buf out, in;
	size_t sent;
	uint64_t until_ms;
	int last_errno; /* of the address tried last */
	char *early;    /* an error that was known at once */
};

static void try_next(struct tcp_dial *d);

static void dial_stop(struct tcp_dial *d)
{
	if (d->lookup)
		d->lookup->dial = NULL;
	d->lookup = NULL;
	d->watch = watch_free(d->watch);
	d->deadline = timer_free(d->deadline);
	d->attempt = timer_free(d->attempt);
	if (d->fd >= 0)
		close(steal_fd(&d->fd));
	if (d->addresses)
		freeaddrinfo(steal(&d->addresses));
	if (d->out.p)
		mem_wipe(d->out.p, d->out.n);
	buf_done(&d->out);
	buf_done(&d->in);
}

/* The owner may free the dial in done: nothing is touched after it. */
static void dial_fail(struct tcp_dial *d, int code, char *error /* taken */)
{
	_cleanup_(freep) char *text = error;

	dial_stop(d);
	d->done(d->arg, -code, text);
}

/* Whom the connection is made to. */
static const char *near_host(const struct tcp_dial *d)
{
	return d->proxy.host ? d->proxy.host : d->host;
}

static uint16_t near_port(const struct tcp_dial *d)
{
	return d->proxy.host ? d->proxy.port : d->port;
}

/* "HOST:PORT" or "the proxy HOST:PORT". */
static char *near_name(const struct tcp_dial *d)
{
	bool v6 = strchr(near_host(d), ':');

	return xasprintf("%s%s%s%s:%u", d->proxy.host ? "the proxy " : "", v6 ? "[" : "", near_host(d), v6 ? "]" : "",
			 near_port(d));
}

static void dial_done(struct tcp_dial *d)
{
	int fd = steal_fd(&d->fd);

	dial_stop(d);
	d->done(d->arg, fd, NULL);
}

/* The proxy */

static void proxy_refused(struct tcp_dial *d, unsigned status, struct str reason)
{
	_cleanup_(freep) char *name = near_name(d);

	if (status == 407)
		dial_fail(d, EACCES,
			  xasprintf("%s %s (407)", name,
				    d->proxy.credentials ? "does not take this user and password"
							 : "wants a user and a password"));
	else
		dial_fail(d, ECONNREFUSED,
			  xasprintf("%s answered %u%s%.*s when asked for %s:%u", name, status, reason.n ? " " : "",
				    STR_ARG(reason), d->host, d->port));
}

/* Takes exactly the head: what follows is the tunnel's. */
static void proxy_read(struct tcp_dial *d)
{
	_cleanup_(freep) char *name = near_name(d);
	size_t before = d->in.n;
	char *to = buf_reserve(&d->in, PROXY_HEAD_MAX - before);
	ssize_t n = recv(d->fd, to, PROXY_HEAD_MAX - before, MSG_PEEK | MSG_DONTWAIT), head;
	struct str reason;
	unsigned status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		int code = n < 0 ? errno : ECONNRESET;

		dial_fail(d, code, xasprintf("%s closed the connection instead of answering CONNECT", name));
		return;
	}
	d->in.n += (size_t)n;
	head = proxy_answer(buf_str(&d->in), &status, &reason);
	if (head < 0) {
		dial_fail(d, EPROTO, xasprintf("%s answers no HTTP to CONNECT", name));
		return;
	}
	if (head > 0)
		n = head - (ssize_t)before;
	if (recv(d->fd, to, (size_t)n, MSG_DONTWAIT) != n) {
		dial_fail(d, EPROTO, xasprintf("%s: what it said could not be read again", name));
		return;
	}
	if (head == 0)
		return;
	if (status < 200) /* a word in between */
		buf_clear(&d->in);
	else if (status < 300)
		dial_done(d);
	else
		proxy_refused(d, status, reason);
}

static void proxy_write(struct tcp_dial *d)
{
	while (d->sent < d->out.n) {
		ssize_t n = send(d->fd, d->out.p + d->sent, d->out.n - d->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break; /* reading says it */
		d->sent += (size_t)n;
	}
	watch_set(d->watch, WATCH_READ);
}

/* Connecting */

static void connected(struct tcp_dial *d)
{
	d->attempt = timer_free(d->attempt);
	if (!d->proxy.host) {
		dial_done(d);
		return;
	}
	d->asking = true;
	proxy_connect(&d->out, &d->proxy, d->host, d->port);
	proxy_write(d);
}

static void attempt_failed(struct tcp_dial *d, int code)
{
	d->last_errno = code;
	d->watch = watch_free(d->watch);
	if (d->fd >= 0)
		close(steal_fd(&d->fd));
	try_next(d);
}

static void on_socket(void *arg, int events)
{
	struct tcp_dial *d = arg;
	int code = 0;
	socklen_t n = sizeof(code);

	if (d->asking) {
		if (events & WATCH_WRITE)
			proxy_write(d);
		if (events & WATCH_READ)
			proxy_read(d);
		return;
	}
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
		code = errno;
	if (code)
		attempt_failed(d, code);
	else
		connected(d);
}

static void on_attempt_late(void *arg)
{
	attempt_failed(arg, ETIMEDOUT);
}

/* One address, for its share of the time that is left. False: errno says why not. */
static bool try_one(struct tcp_dial *d, const struct addrinfo *ai)
{
	uint64_t now = loop_now_ms(d->loop), left = d->until_ms > now ? d->until_ms - now : 1, n = 1;

	d->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return false;
	if (connect(d->fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS) {
		int e = errno;

		close(steal_fd(&d->fd));
		errno = e;
		return false;
	}
	for (const struct addrinfo *more = ai->ai_next; more; more = more->ai_next)
		n++;
	d->watch = watch_new(d->loop, d->fd, WATCH_WRITE, on_socket, d);
	if (!d->watch)
		__builtin_trap(); /* a socket can be polled */
	if (n > 1)
		timer_set(d->attempt, MAX(left / n, (uint64_t)1));
	else
		timer_stop(d->attempt); /* the deadline's matter */
	return true;
}

static void try_next(struct tcp_dial *d)
{
	_cleanup_(freep) char *name = NULL;

	while (d->next) {
		const struct addrinfo *ai = d->next;

		d->next = ai->ai_next;
		if (try_one(d, ai))
			return;
		d->last_errno = errno;
	}
	name = near_name(d);
	dial_fail(d, d->last_errno, xasprintf("connect to %s: %s", name, strerror(d->last_errno)));
}

static void on_deadline(void *arg)
{
	struct tcp_dial *d = arg;
	_cleanup_(freep) char *name = near_name(d);

	if (d->early)
		dial_fail(d, EINVAL, steal(&d->early));
	else if (d->lookup)
		dial_fail(d, ETIMEDOUT, xasprintf("the address of %s was not found in time", near_host(d)));
	else if (d->asking)
		dial_fail(d, ETIMEDOUT, xasprintf("%s did not answer CONNECT in time", name));
	else
		dial_fail(d, ETIMEDOUT, xasprintf("connect to %s: no answer in time", name));
}

static void lookup_run(void *arg)
{
	struct lookup *k = arg;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};

	k->error = getaddrinfo(k->host, k->port, &hints, &k->found);
	k->errno_ = errno;
}

static void lookup_done(void *arg)
{
	struct lookup *k = arg;
	struct tcp_dial *d = k->dial;
	struct addrinfo *found = k->found;
	int error = k->error, code = k->errno_;

	free(k->host);
	free(k);
	if (!d) {
		if (found)
			freeaddrinfo(found);
		return;
	}
	d->lookup = NULL;
	if (error != 0) {
		dial_fail(d, error == EAI_SYSTEM ? code : EHOSTUNREACH,
			  xasprintf("the address of %s%s was not found: %s", d->proxy.host ? "the proxy " : "",
				    near_host(d), error == EAI_SYSTEM ? strerror(code) : gai_strerror(error)));
		return;
	}
	d->addresses = found;
	d->next = found;
	try_next(d);
}

/* Of a numeric host nothing has to be asked: neither the pool, whose threads may all unpack packages, nor the kernel,
 * which is slow to list its addresses (AI_ADDRCONFIG) while it takes network namespaces apart. */
static bool is_numeric(struct tcp_dial *d)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	char port[8];

	snprintf(port, sizeof(port), "%u", near_port(d));
	if (getaddrinfo(near_host(d), port, &hints, &d->addresses) != 0)
		return false;
	d->next = d->addresses;
	timer_set(d->attempt, 0);
	return true;
}

static void lookup_start(struct tcp_dial *d)
{
	struct lookup *k;

	if (is_numeric(d))
		return;
	k = xnew(struct lookup);
	k->dial = d;
	k->host = xstrdup(near_host(d));
	snprintf(k->port, sizeof(k->port), "%u", near_port(d));
	d->lookup = k;
	loop_work(d->loop, lookup_run, lookup_done, k);
}

struct tcp_dial *tcp_dial(struct loop *l, const char *host, uint16_t port, const char *proxy, unsigned deadline_ms,
			  void (*done)(void *arg, int fd, const char *error), void *arg)
{
	struct tcp_dial *d = xnew(struct tcp_dial);
	const char *why = NULL;

	*d = (struct tcp_dial){.loop = l, .host = xstrdup(host), .port = port, .done = done, .arg = arg, .fd = -1};
	d->last_errno = EHOSTUNREACH;
	if (!proxy_is_host(str_from(host)) || port == 0)
		d->early = xstrdup("the host or port to connect to is none");
	else if (proxy && !proxy_parse(str_from(proxy), &d->proxy, &why))
		d->early = xasprintf("the URL of the proxy: %s", why);
	d->deadline = timer_new(l, on_deadline, d);
	d->attempt = timer_new(l, on_attempt_late, d);
	timer_set(d->deadline, d->early ? 0 : deadline_ms);
	d->until_ms = loop_now_ms(l) + deadline_ms;
	if (!d->early)
		lookup_start(d);
	return d;
}

struct tcp_dial *tcp_dial_free(struct tcp_dial *d)
{
	if (!d)
		return NULL;
	dial_stop(d);
	proxy_done(&d->proxy);
	free(d->host);
	free(d->early);
	free(d);
	return NULL;
}

/* Listening */

static int listen_on(const struct sockaddr *sa, socklen_t n, bool both)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0, r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &off : &on, sizeof(on));
	if (bind(fd, sa, n) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int listen_any(uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = listen_on((const struct sockaddr *)&v6, sizeof(v6), true);

	/* A machine without IPv6. */
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_on((const struct sockaddr *)&v4, sizeof(v4), false);
	return fd;
}

int tcp_listen(const char *address, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *ai;
	const char *colon = strrchr(address, ':');
	_cleanup_(freep) char *host = NULL;
	struct str h;
	uint64_t port;
	int r;

	if (!colon || !str_to_u64(str_from(colon + 1), &port) || port > 65535)
		return err_set(err, 0, "listen on '%s': expected ADDRESS:PORT, as in 0.0.0.0:9001", address);
	h = str_n(address, (size_t)(colon - address));
	if (h.n == 0) {
		r = listen_any((uint16_t)port);
		return r < 0 ? err_set(err, -r, "listen on %s", address) : r;
	}
	if (str_starts(h, STR("[")) && str_ends(h, STR("]")))
		h = str_sub(h, 1, h.n - 2);
	else if (str_chr(h, ':', 0) >= 0)
		return err_set(err, 0, "listen on '%s': an IPv6 address stands in brackets, as in [::1]:9001", address);
	host = str_dup(h);
	r = getaddrinfo(host, colon + 1, &hints, &ai);
	if (r != 0)
		return err_set(err, 0, "listen on '%s': %s", address, gai_strerror(r));
	r = listen_on(ai->ai_addr, ai->ai_addrlen, false);
	freeaddrinfo(ai);
	return r < 0 ? err_set(err, -r, "listen on %s", address) : r;
}

int tcp_accept(int fd)
{
	int got;

	/* A connection that ended while it waited is none; the next one is asked for. */
	do {
		got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (got < 0 && (errno == EINTR || errno == ECONNABORTED));
	return got < 0 ? -errno : got;
}

static void address_text(const struct sockaddr_storage *ss, socklen_t n, char ret[static TCP_ADDRESS_SIZE])
{
	char host[64], port[8];
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	const struct sockaddr *sa = (const struct sockaddr *)ss;

	snprintf(ret, TCP_ADDRESS_SIZE, "?");
	/* An IPv4 peer of a socket for both families is shown as one. */
	if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		v4.sin_port = v6->sin6_port;
		memcpy(&v4.sin_addr, (const uint8_t *)&v6->sin6_addr + 12, 4);
		sa = (const struct sockaddr *)&v4;
		n = sizeof(v4);
	}
	if (getnameinfo(sa, n, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	if (sa->sa_family == AF_INET6)
		snprintf(ret, TCP_ADDRESS_SIZE, "[%s]:%s", host, port);
	else
		snprintf(ret, TCP_ADDRESS_SIZE, "%s:%s", host, port);
}

void tcp_address(int fd, char ret[static TCP_ADDRESS_SIZE])
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);

	getsockname(fd, (struct sockaddr *)&ss, &n);
	address_text(&ss, n, ret);
}

void tcp_peer_address(int fd, char ret[static TCP_ADDRESS_SIZE])
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);

	getpeername(fd, (struct sockaddr *)&ss, &n);
	address_text(&ss, n, ret);
}

uint16_t tcp_port(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&ss)->sin6_port);
	return ss.ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)&ss)->sin_port) : 0;
}

void tcp_tune(int fd, unsigned timeout_ms)
{
	int one = 1, lowat = NOTSENT_LOWAT, rto = RTO_MAX_MS;

	/* All of it only makes things better: a kernel that refuses one goes without. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	/* What was lost in an outage is sent again within a second of its end, not after as long as it lasted. */
	setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &rto, sizeof(rto));
}

void tcp_far(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3);
}
