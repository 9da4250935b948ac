/* wick-net: the network of one worker with wick:network=internet. It carries the frames of a tap device in the worker's
 * network namespace to a network stack of its own and from there, by ordinary sockets, to the internet; what may go out
 * is judged frame by frame (wire/ipfilter.h).
 *
 *	wick-net [--allow CIDR,CIDR...]
 *	fd 3: pidfd of the worker   fd 4: a NUL is written to it when the network is up, else the reason why it is not
 *	fd 5: ends with it
 *
 * Nobody trusts it much: once the device is there it is an ordinary user without rights who can read the resolver's
 * settings and open sockets. It ends with its worker, or with the node. */
#include "base/buf.h"
#include "base/mem.h"
#include "net/slirp.h"
#include "node/net/tap.h"
#include "sys/caps.h"
#include "sys/landlock.h"
#include "sys/seccomp_filter.h"
#include "wire/ipfilter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROGRAM     "wick-net"
#define WORKER_FD   3
#define GO_FD       4
#define LIFETIME_FD 5
#define NOBODY      65534
#define MTU         65520
#define FRAME_MAX   (MTU + 14)
#define TURN_FRAMES 64 /* from the box, before sockets are looked at again */
#define RANGES_MAX  256
#define SOCKETS_MAX 1024
#define RESOLV_CONF "/etc/resolv.conf"

/* The box's network, as every one of libslirp's. node/plan.c names the resolver in the box's /etc/resolv.conf. */
#define NETWORK                                                                                                        \
	{                                                                                                              \
		10, 0, 2, 0                                                                                            \
	}
#define MASK                                                                                                           \
	{                                                                                                              \
		255, 255, 255, 0                                                                                       \
	}
#define BOX                                                                                                            \
	{                                                                                                              \
		10, 0, 2, 100                                                                                          \
	}
#define GATEWAY                                                                                                        \
	{                                                                                                              \
		10, 0, 2, 2                                                                                            \
	}
#define RESOLVER                                                                                                       \
	{                                                                                                              \
		10, 0, 2, 3                                                                                            \
	}

struct carrier {
	struct ip_range allow[RANGES_MAX], own[RANGES_MAX];
	struct ipfilter filter;
	struct slirp_net *stack;
	int tap;
	char frame[FRAME_MAX];
};

static int parse_allow(struct carrier *c, struct str list, struct err *err)
{
	struct str one;

	while (list.n) {
		str_cut(list, ',', &one, &list);
		one = str_trim(one);
		if (!one.n)
			continue;
		if (c->filter.n_allow == RANGES_MAX)
			return err_set(err, 0, "more than %d networks are allowed", RANGES_MAX);
		if (ip_range_parse(&c->allow[c->filter.n_allow++], one, err) < 0)
			return err_wrap(err, "--allow");
	}
	return 0;
}

static int parse_args(struct carrier *c, int argc, char **argv, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--allow") != 0)
			return err_set(err, 0, "unknown argument %s (this program is started by wick-node)", argv[i]);
		if (++i == argc)
			return err_set(err, 0, "--allow needs networks, with commas between");
		if (parse_allow(c, str_from(argv[i]), err) < 0)
			return -1;
	}
	return 0;
}

/* This machine's own addresses as they are now: a worker's life is short. */
static int find_own(struct carrier *c, struct err *err)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return err_set(err, errno, "addresses of this machine");
	for (const struct ifaddrs *a = list; a && c->filter.n_own < RANGES_MAX; a = a->ifa_next) {
		struct ip_range *r = &c->own[c->filter.n_own];
		struct sockaddr_in in;
		struct sockaddr_in6 in6;

		if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET) {
			memcpy(&in, a->ifa_addr, sizeof(in));
			ip_mapped((const uint8_t *)&in.sin_addr, r->addr);
		} else if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET6) {
			memcpy(&in6, a->ifa_addr, sizeof(in6));
			memcpy(r->addr, &in6.sin6_addr, sizeof(r->addr));
		} else {
			continue;
		}
		r->bits = 128;
		c->filter.n_own++;
	}
	freeifaddrs(list);
	return 0;
}

static void to_box(void *arg, struct str frame)
{
	struct carrier *c = arg;

	/* A full device drops it, and TCP sends it again. */
	if (write(c->tap, frame.p, frame.n) < 0)
		return;
}

/* False: the device is gone. */
static bool from_box(struct carrier *c)
{
	for (size_t i = 0; i < TURN_FRAMES; i++) {
		ssize_t n = read(c->tap, c->frame, sizeof(c->frame));
		struct str frame = str_n(c->frame, n > 0 ? (size_t)n : 0);
		uint8_t answer[IPFILTER_ANSWER_MAX];

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		switch (ipfilter_judge(&c->filter, frame)) {
		case IP_PASS:
			slirp_net_input(c->stack, frame);
			break;
		case IP_REFUSE:
			to_box(c, str_n(answer, ipfilter_answer(&c->filter, frame, answer)));
			break;
		case IP_DROP:
			break;
		}
	}
	return true;
}

static int allow_path(int rules, const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC), r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = landlock_allow(rules, fd, false);
	close(fd);
	return r;
}

/* The stack reads the resolver's settings anew when they change, wherever they lie. */
static int limit_files(void)
{
	char real[PATH_MAX];
	int rules = landlock_new(), r;

	if (rules == -ENOTSUP || rules == -EOPNOTSUPP)
		return 0;
	if (rules < 0)
		return rules;
	r = allow_path(rules, "/etc");
	if (r == 0 && realpath(RESOLV_CONF, real)) {
		*strrchr(real, '/') = '\0';
		r = allow_path(rules, real[0] ? real : "/etc");
	}
	if (r == 0)
		r = landlock_enforce(rules);
	close(rules);
	return r;
}

static int give_up_rights(struct err *err)
{
	const struct rlimit sockets = {SOCKETS_MAX, SOCKETS_MAX}, none = {0, 0};
	struct seccomp_filter filter;
	int r;

	if (seccomp_filter_build(&filter, false, err) < 0)
		return -1;
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return err_set(err, errno, "become nobody");
	if (setrlimit(RLIMIT_NOFILE, &sockets) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_set(err, errno, "set limits");
	prctl(PR_SET_DUMPABLE, 0);
	r = caps_limit(0);
	if (r == 0)
		r = limit_files();
	if (r == 0)
		r = seccomp_filter_load(&filter);
	free(filter.code);
	return r < 0 ? err_set(err, -r, "give up rights") : 0;
}

static int run(struct carrier *c, struct err *err)
{
	struct pollfd fds[] = {{.fd = LIFETIME_FD, .events = POLLRDHUP},
			       {.fd = WORKER_FD, .events = POLLIN},
			       {.fd = c->tap, .events = POLLIN}};
	int r;

	while ((r = slirp_net_poll(c->stack, fds, ARRAY_SIZE(fds))) == 0) {
		if (fds[0].revents || fds[1].revents)
			return 0;
		if (fds[2].revents && !from_box(c))
			return 0; /* its namespace is gone, and so is the worker */
	}
	return err_set(err, -r, "wait");
}

static int start(struct carrier *c, int argc, char **argv, struct err *err)
{
	static const struct tap_conf tap = {.name = "eth0", .addr = BOX, .mask = MASK, .gateway = GATEWAY, .mtu = MTU};
	const struct slirp_conf stack = {.network = NETWORK,
					 .mask = MASK,
					 .gateway = GATEWAY,
					 .resolver = RESOLVER,
					 .mtu = MTU,
					 .send = to_box,
					 .arg = c};

	c->filter = (struct ipfilter){.gateway = GATEWAY, .resolver = RESOLVER, .allow = c->allow, .own = c->own};
	if (parse_args(c, argc, argv, err) < 0 || find_own(c, err) < 0)
		return -1;
	c->tap = tap_open(WORKER_FD, &tap, err);
	if (c->tap < 0)
		return -1;
	c->stack = slirp_net_new(&stack, err);
	if (!c->stack || give_up_rights(err) < 0)
		return -1;
	if (write(GO_FD, "", 1) != 1)
		return err_set(err, errno, "say that the network is up");
	close(GO_FD);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct carrier *c = xnew(struct carrier);
	int r;

	signal(SIGPIPE, SIG_IGN);
	c->tap = -1;
	r = start(c, argc, argv, &err);
	if (r < 0 && write(GO_FD, err.msg, strlen(err.msg)) < 0)
		r = -1; /* the box is gone; the node reads it below */
	if (r == 0)
		r = run(c, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.msg);
	slirp_net_free(c->stack);
	if (c->tap >= 0)
		close(c->tap);
	free(c);
	return r < 0 ? 1 : 0;
}
