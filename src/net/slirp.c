/* libslirp under poll(2). It asks each turn what it waits for, so the list is made anew each turn; its array is kept.
 * Owned by one thread. What may fail: only the making of it. What a box does wrong is its own affair and is not
 * logged. */
#include "net/slirp.h"

#include "base/mem.h"

#include <errno.h>
#include <slirp/libslirp.h>
#include <string.h>
#include <time.h>

struct slirp_net {
	struct slirp_conf conf;
	SlirpConfig slirp_conf;
	Slirp *slirp;
	struct pollfd *fds; /* the caller's first, then the stack's */
	size_t n, cap;
};

static ssize_t on_send(const void *p, size_t n, void *arg)
{
	struct slirp_net *s = arg;

	s->conf.send(s->conf.arg, str_n(p, n));
	return (ssize_t)n;
}

static void on_error(const char *message, void *arg)
{
}

static int64_t on_clock(void *arg)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void on_fd(int fd, void *arg)
{
	/* The list is made anew each turn. */
}

static void on_notify(void *arg)
{
	/* Nothing is read into the stack from elsewhere. */
}

/* No timers: the only one is for IPv6's router advertisements. */
static const SlirpCb callbacks = {
	.send_packet = on_send,
	.guest_error = on_error,
	.clock_get_ns = on_clock,
	.register_poll_fd = on_fd,
	.unregister_poll_fd = on_fd,
	.notify = on_notify,
};

static struct in_addr in_addr_of(const uint8_t a[static 4])
{
	struct in_addr r;

	memcpy(&r.s_addr, a, 4);
	return r;
}

struct slirp_net *slirp_net_new(const struct slirp_conf *conf, struct err *err)
{
	struct slirp_net *s = xnew(struct slirp_net);

	s->conf = *conf;
	s->slirp_conf = (SlirpConfig){
		.version = SLIRP_CONFIG_VERSION_MAX,
		.in_enabled = true,
		.vnetwork = in_addr_of(conf->network),
		.vnetmask = in_addr_of(conf->mask),
		.vhost = in_addr_of(conf->gateway),
		.vnameserver = in_addr_of(conf->resolver),
		.if_mtu = conf->mtu,
		.if_mru = conf->mtu,
		.disable_host_loopback = true,
		.disable_dhcp = true,
	};
	s->slirp = slirp_new(&s->slirp_conf, &callbacks, s);
	if (s->slirp)
		return s;
	err_set(err, 0, "libslirp does not start");
	return slirp_net_free(s);
}

struct slirp_net *slirp_net_free(struct slirp_net *s)
{
	if (!s)
		return NULL;
	if (s->slirp)
		slirp_cleanup(s->slirp);
	free(s->fds);
	free(s);
	return NULL;
}

void slirp_net_input(struct slirp_net *s, struct str frame)
{
	slirp_input(s->slirp, (const uint8_t *)frame.p, (int)frame.n);
}

static short to_poll(int events)
{
	return (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
		       (events & SLIRP_POLL_PRI ? POLLPRI : 0));
}

static int from_poll(short revents)
{
	return (revents & POLLIN ? SLIRP_POLL_IN : 0) | (revents & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (revents & POLLPRI ? SLIRP_POLL_PRI : 0) | (revents & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (revents & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void add(struct slirp_net *s, struct pollfd p)
{
	if (s->n == s->cap) {
		s->cap = MAX(2 * s->cap, (size_t)32);
		s->fds = xrealloc(s->fds, s->cap * sizeof(*s->fds));
	}
	s->fds[s->n++] = p;
}

static int on_add_poll(int fd, int events, void *arg)
{
	struct slirp_net *s = arg;

	add(s, (struct pollfd){.fd = fd, .events = to_poll(events)});
	return (int)s->n - 1;
}

static int on_revents(int index, void *arg)
{
	struct slirp_net *s = arg;

	return from_poll(s->fds[index].revents);
}

int slirp_net_poll(struct slirp_net *s, struct pollfd *fds, size_t n)
{
	uint32_t timeout = UINT32_MAX;
	int r;

	s->n = 0;
	for (size_t i = 0; i < n; i++)
		add(s, fds[i]);
	slirp_pollfds_fill(s->slirp, &timeout, on_add_poll, s);
	r = poll(s->fds, s->n, timeout > INT32_MAX ? -1 : (int)timeout);
	if (r < 0 && errno != EINTR)
		return -errno;
	for (size_t i = 0; i < n; i++)
		fds[i].revents = r < 0 ? 0 : s->fds[i].revents;
	slirp_pollfds_poll(s->slirp, r < 0, on_revents, s);
	return 0;
}
