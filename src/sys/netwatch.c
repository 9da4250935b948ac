/* A netlink socket that is subscribed to notices of interfaces, addresses and routes. What exactly changed is not read:
 * whoever asks tries again whatever it was. A burst of notices (an interface that comes up makes ten) is one call,
 * SETTLE_MS after its first. Owns the socket. */
#include "sys/netwatch.h"

#include "base/mem.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_MS 20
#define READ_SIZE 8192

struct netwatch {
	int fd;
	struct watch *watch;
	struct timer *settle;
	bool settling;
	void (*changed)(void *arg);
	void *arg;
};

static void on_settled(void *arg)
{
	struct netwatch *w = arg;

	w->settling = false;
	w->changed(w->arg);
}

static void on_notice(void *arg, int events)
{
	struct netwatch *w = arg;
	char bytes[READ_SIZE];
	bool any = false;
	ssize_t n;

	/* ENOBUFS: there were more notices than the socket holds, which is a change as well. */
	while ((n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0 ||
	       (n < 0 && (errno == EINTR || errno == ENOBUFS)))
		any = true;
	if (!any || w->settling)
		return;
	w->settling = true;
	timer_set(w->settle, SETTLE_MS);
}

struct netwatch *netwatch_new(struct loop *l, void (*changed)(void *arg), void *arg)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups =
			RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE,
	};
	struct netwatch *w;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return NULL;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return NULL;
	}
	w = xnew(struct netwatch);
	*w = (struct netwatch){.fd = fd, .changed = changed, .arg = arg};
	w->settle = timer_new(l, on_settled, w);
	w->watch = watch_new(l, fd, WATCH_READ, on_notice, w);
	return w;
}

struct netwatch *netwatch_free(struct netwatch *w)
{
	if (!w)
		return NULL;
	watch_free(w->watch);
	timer_free(w->settle);
	close(w->fd);
	free(w);
	return NULL;
}
