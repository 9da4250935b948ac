/* A far network between two programs of this machine, in user space: what comes in on a port goes out to another, later
 * by a delay and no faster than a rate, in both directions. TCP itself sees no distance: its windows and losses are not
 * measured with this. One thread, precise to some ten microseconds (bench/remote.py measures it with a ping-pong).
 *
 *   slow_link TO-PORT DELAY-US BITS-PER-SECOND     0: none, no limit. Prints the port that it listens on.
 *
 * SIGUSR1 cuts: all connections end, new ones end at once. SIGUSR2 mends. It runs until it is killed. */
#include "base/mem.h"
#include "base/util.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE      ((size_t)16 << 10) /* 131 us at 1 Gbit/s: how finely a rate is kept */
#define PIECES     1024u              /* on the way in one direction: 16 MiB */
#define QUEUE_NS   10000000u          /* of a router before the slow line; what comes beyond waits with its sender */
#define SPIN_NS    150000u            /* before a moment, where there is no rate: an idle processor wakes late */
#define PAIRS_MAX  64
#define EVENTS_MAX 32

struct piece {
	uint64_t due_ns;
	size_t n, at;
	char bytes[PIECE];
};

/* One direction. Its pieces are a ring. */
struct way {
	int from, to;
	struct piece *pieces;
	size_t first, n;
	uint64_t line_free_ns;
	bool ended; /* from has said its last */
	bool said;  /* and to was told */
	bool readable, writable;
};

struct pair {
	struct way ways[2]; /* out, back */
	bool used;
};

static struct pair pairs[PAIRS_MAX];
static uint64_t delay_ns, rate;
static int poller;

static void fail(const char *what)
{
	fprintf(stderr, "slow_link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pair_end(struct pair *p)
{
	if (!p->used)
		return;
	close(p->ways[0].from);
	close(p->ways[0].to);
	for (size_t i = 0; i < 2; i++)
		free(p->ways[i].pieces);
	*p = (struct pair){0};
}

/* Edge-triggered: a way remembers what it may do. */
static void watch(int fd, size_t index)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = index};
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll_ctl");
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void pair_begin(int near, uint16_t port, bool cut)
{
	size_t i = 0;
	int far;

	while (i < PAIRS_MAX && pairs[i].used)
		i++;
	far = cut || i == PAIRS_MAX ? -1 : dial(port);
	if (far < 0) {
		close(near);
		return;
	}
	pairs[i] = (struct pair){.used = true, .ways = {{.from = near, .to = far}, {.from = far, .to = near}}};
	for (size_t k = 0; k < 2; k++)
		pairs[i].ways[k].pieces = xnew_n(struct piece, PIECES);
	watch(near, i * 2);
	watch(far, i * 2 + 1);
}

static bool has_room(const struct way *w, uint64_t now)
{
	return w->n < PIECES && (!rate || w->line_free_ns < now + QUEUE_NS);
}

/* False: the pair is over. */
static bool take_in(struct way *w, uint64_t now)
{
	while (w->readable && !w->ended && has_room(w, now)) {
		struct piece *p = &w->pieces[(w->first + w->n) % PIECES];
		ssize_t n = recv(w->from, p->bytes, PIECE, 0);

		if (n < 0 && errno == EAGAIN)
			w->readable = false;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0) {
			w->ended = true;
			break;
		}
		w->line_free_ns = MAX(w->line_free_ns, now) + (rate ? (uint64_t)n * 8 * 1000000000u / rate : 0);
		p->due_ns = w->line_free_ns + delay_ns;
		p->n = (size_t)n;
		p->at = 0;
		w->n++;
	}
	return true;
}

static bool give_out(struct way *w, uint64_t now)
{
	while (w->n && w->writable) {
		struct piece *p = &w->pieces[w->first];
		ssize_t n;

		if (p->due_ns > now)
			return true;
		n = send(w->to, p->bytes + p->at, p->n - p->at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			w->writable = false;
		if (n < 0)
			return errno == EAGAIN;
		p->at += (size_t)n;
		if (p->at < p->n)
			continue;
		w->first = (w->first + 1) % PIECES;
		w->n--;
	}
	/* Once: each shutdown is an event of its own. */
	if (!w->n && w->ended && !w->said) {
		w->said = true;
		shutdown(w->to, SHUT_WR);
	}
	return true;
}

/* What can move moves; returns when something is due next. */
static uint64_t move_all(void)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < PAIRS_MAX; i++) {
		struct pair *p = &pairs[i];

		for (size_t k = 0; k < 2 && p->used; k++) {
			struct way *w = &p->ways[k];
			uint64_t now = now_ns();

			if (!take_in(w, now) || !give_out(w, now)) {
				pair_end(p);
				break;
			}
			if (w->n && w->writable)
				next = MIN(next, w->pieces[w->first].due_ns);
			if (w->readable && !w->ended && w->n < PIECES)
				next = MIN(next, w->line_free_ns > QUEUE_NS ? w->line_free_ns - QUEUE_NS + 1 : now);
		}
		if (p->used && p->ways[0].ended && p->ways[1].ended && !p->ways[0].n && !p->ways[1].n)
			pair_end(p);
	}
	return next;
}

static void on_event(const struct epoll_event *e)
{
	struct pair *p = &pairs[e->data.u64 / 2];
	size_t side = e->data.u64 % 2;

	if (!p->used)
		return;
	if (e->events & ~(uint32_t)EPOLLOUT)
		p->ways[side].readable = true;
	if (e->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		p->ways[1 - side].writable = true;
}

static int listen_here(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof(sa);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		fail("listen");
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

static int signals_here(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void watch_plain(int fd, uint64_t index)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = index};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll_ctl");
}

int main(int argc, char **argv)
{
	const uint64_t is_listener = PAIRS_MAX * 2, is_signal = is_listener + 1;
	int listener, signals;
	bool cut = false;
	uint16_t port;

	if (argc != 4) {
		fprintf(stderr, "usage: slow_link TO-PORT DELAY-US BITS-PER-SECOND\n");
		return 2;
	}
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	delay_ns = strtoull(argv[2], NULL, 10) * 1000;
	rate = strtoull(argv[3], NULL, 10);
	/* It stands for hardware, which does not wait for a processor. Without the right to, it is less exact; and an
	 * error in it does not take the machine. */
	setrlimit(RLIMIT_RTTIME, &(struct rlimit){100000, 100000});
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	prctl(PR_SET_TIMERSLACK, 1ul);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	poller = epoll_create1(EPOLL_CLOEXEC);
	signals = signals_here();
	listener = listen_here();
	watch_plain(listener, is_listener);
	watch_plain(signals, is_signal);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		uint64_t next = move_all(), now = now_ns(), left = next > now ? next - now : 0;
		uint64_t early = rate ? 0 : SPIN_NS, sleep = left > early ? left - early : 0;
		struct timespec t = {(time_t)(sleep / 1000000000u), (long)(sleep % 1000000000u)};
		int n = epoll_pwait2(poller, events, EVENTS_MAX, next == UINT64_MAX ? NULL : &t, NULL);

		if (n < 0 && errno != EINTR)
			fail("epoll_pwait2");
		for (int i = 0; i < n; i++) {
			struct signalfd_siginfo si;
			int fd;

			if (events[i].data.u64 == is_listener) {
				while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
					pair_begin(fd, port, cut);
			} else if (events[i].data.u64 == is_signal) {
				while (read(signals, &si, sizeof(si)) == sizeof(si))
					cut = si.ssi_signo == SIGUSR1;
				for (size_t k = 0; cut && k < PAIRS_MAX; k++)
					pair_end(&pairs[k]);
			} else {
				on_event(&events[i]);
			}
		}
	}
}
