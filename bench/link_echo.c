/* What the link's transport costs: two processes over TLS on the loopback. One stream carries 200-byte messages to and
 * fro (the median of a round trip, and the CPU of each side for one), then bodies of 6 MiB, one way and back. Usage:
 * link_echo [ROUNDS [BODIES [STREAMS]]]; with STREAMS, so many streams do their rounds at once. */
#include "net/h2.h"
#include "net/tcp.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE     200
#define BODY        ((size_t)6 << 20)
#define STREAMS_MAX 1000

struct stream {
	struct bench *bench;
	struct h2_stream *s;
	struct buf out;
	size_t at, left; /* of out; of a body that is made as it is pulled */
	size_t got;
	uint64_t sent_us;
};

struct bench {
	struct loop *loop;
	struct h2 *c;
	size_t rounds, bodies, n_streams, done;
	bool body;
	uint64_t *took_us;
	struct stream streams[STREAMS_MAX];
};

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static size_t pull(void *arg, struct h2_stream *s, char *to, size_t room)
{
	struct stream *b = arg;
	size_t n = MIN(room, b->out.n - b->at);

	if (n) {
		memcpy(to, b->out.p + b->at, n);
		b->at += n;
		if (b->at == b->out.n) {
			buf_clear(&b->out);
			b->at = 0;
		}
		return n;
	}
	n = MIN(room, b->left);
	memset(to, 'b', n);
	b->left -= n;
	return n;
}

static void closed(void *arg, struct h2_stream *s, uint32_t code)
{
	struct stream *b = arg;

	buf_done(&b->out);
	b->s = NULL;
}

/* The node's side: everything comes back. */
static void echo(void *arg, struct h2_stream *s, struct str bytes)
{
	struct stream *b = arg;

	buf_add_str(&b->out, bytes);
	h2_consumed(s, bytes.n);
	h2_wake(s);
}

static void echo_closed(void *arg, struct h2_stream *s, uint32_t code)
{
	closed(arg, s, code);
	free(arg);
}

static void on_request(void *arg, struct h2 *c, struct h2_stream *s, struct str method, struct str path,
		       const struct kv *headers, size_t n)
{
	static const struct h2_stream_handler h = {.data = echo, .closed = echo_closed, .pull = pull};
	struct stream *b = xnew(struct stream);

	h2_respond(s, 200, NULL, 0, &h, b);
}

static void on_down(void *arg, struct h2 *c, const char *reason)
{
	struct bench *b = arg;

	loop_stop(b->loop);
}

/* The gate's side. */
static void on_lost(void *arg, struct h2 *c, const char *reason)
{
	fprintf(stderr, "link_echo: %s\n", reason);
	exit(1);
}

static void begin(struct stream *b)
{
	static const char message[MESSAGE] = {'m'};

	b->sent_us = clock_mono_us();
	if (b->bench->body)
		b->left = BODY;
	else
		buf_add(&b->out, message, MESSAGE);
	h2_wake(b->s);
}

static void answer(void *arg, struct h2_stream *s, struct str bytes)
{
	struct stream *b = arg;
	struct bench *all = b->bench;

	b->got += bytes.n;
	h2_consumed(s, bytes.n);
	if (b->got < (all->body ? BODY : MESSAGE))
		return;
	b->got = 0;
	if (all->took_us)
		all->took_us[all->done] = clock_mono_us() - b->sent_us;
	if (++all->done >= (all->body ? all->bodies : all->rounds))
		loop_stop(all->loop);
	else
		begin(b);
}

static void on_up(void *arg, struct h2 *c)
{
	loop_stop(((struct bench *)arg)->loop);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int node(int fd, const struct tls_context *tls, int report)
{
	static const struct h2_handler h = {.request = on_request, .down = on_down};
	struct h2_conf conf = {.tls = tls};
	static struct bench b;
	double used;

	b.loop = loop_new();
	b.c = h2_new(b.loop, fd, &conf, &h, &b);
	loop_run(b.loop);
	used = cpu_us();
	h2_free(b.c);
	loop_free(b.loop);
	return write_all(report, &used, sizeof(used)) < 0;
}

/* One phase, with a node of its own, so that its CPU is known. */
static void phase(struct bench *b, const struct tls_context *server, const struct tls_context *client)
{
	static const struct h2_handler h = {.up = on_up, .down = on_lost};
	static const struct h2_stream_handler sh = {.data = answer, .closed = closed, .pull = pull};
	struct h2_conf conf = {.tls = server, .client = true};
	int fds[2], report[2], listening = tcp_listen("127.0.0.1:0", NULL);
	struct loop *l = loop_new();
	size_t n = b->body ? b->bodies : b->rounds;
	double cpu, node_cpu = 0;
	uint64_t t;
	struct sockaddr_storage ss;
	socklen_t ss_n = sizeof(ss);
	pid_t pid;

	getsockname(listening, (struct sockaddr *)&ss, &ss_n);
	fds[1] = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fds[1], (struct sockaddr *)&ss, ss_n) < 0 || pipe(report) < 0)
		exit(1);
	fds[0] = tcp_accept(listening);
	fd_set_nonblock(fds[1]);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		exit(node(fds[1], client, report[1]));
	}
	close(fds[1]);
	close(report[1]);
	close(listening);
	b->loop = l;
	b->done = 0;
	b->took_us = xnew_n(uint64_t, n + b->n_streams);
	b->c = h2_new(l, fds[0], &conf, &h, b);
	loop_run(l);
	cpu = cpu_us();
	t = clock_mono_us();
	for (size_t i = 0; i < b->n_streams; i++) {
		b->streams[i] = (struct stream){.bench = b};
		b->streams[i].s = h2_request(b->c, "POST", "/", NULL, 0, &sh, &b->streams[i]);
		begin(&b->streams[i]);
	}
	loop_run(l);
	t = clock_mono_us() - t;
	cpu = cpu_us() - cpu;
	h2_free(b->c);
	loop_free(l);
	if (read(report[0], &node_cpu, sizeof(node_cpu)) != sizeof(node_cpu))
		exit(1);
	close(report[0]);
	waitpid(pid, NULL, 0);
	qsort(b->took_us, b->done, sizeof(uint64_t), by_time);
	if (b->body)
		printf("%zu bodies of 6 MiB there and back: %.0f MiB/s each way; CPU of a body: gate %.0f us, node "
		       "%.0f us\n",
		       n, (double)n * 6 / ((double)t / 1e6), cpu / (double)n, node_cpu / (double)n);
	else
		printf("%zu rounds of %u bytes, %zu at once: p50 %lu us, p99 %lu us, %.0f a second; CPU of a round: "
		       "gate "
		       "%.1f us, node %.1f us (its handshake with it)\n",
		       n, MESSAGE, b->n_streams, b->took_us[b->done / 2], b->took_us[b->done * 99 / 100],
		       (double)n / ((double)t / 1e6), cpu / (double)n, node_cpu / (double)n);
	free(b->took_us);
}

static struct tls_key *key(const char *dir, const char *name)
{
	_cleanup_(freep) char *path = xasprintf("%s/%s.pem", dir, name);
	struct err err = ERR_NULL;
	struct tls_key *k = tls_key_make(path, name, &err) == 0 ? tls_key_load(path, NULL, &err) : NULL;

	if (!k) {
		fprintf(stderr, "link_echo: %s\n", err.msg);
		exit(1);
	}
	return k;
}

int main(int argc, char **argv)
{
	static struct bench b;
	char dir[] = "/tmp/wick-link-echo.XXXXXX";
	struct tls_key *gate, *other;
	struct tls_context *server, *client;

	if (!mkdtemp(dir))
		return 1;
	b.rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	b.bodies = argc > 2 ? strtoul(argv[2], NULL, 10) : 200;
	b.n_streams = argc > 3 ? MIN(MAX(strtoul(argv[3], NULL, 10), 1ul), (unsigned long)STREAMS_MAX) : 1;
	gate = key(dir, "gate");
	other = key(dir, "node");
	server = tls_server_new(gate, NULL);
	client = tls_client_new(other, &(struct tls_expect){.pin = tls_key_fingerprint(gate)}, NULL);
	phase(&b, server, client);
	b.body = true;
	b.n_streams = 1;
	phase(&b, server, client);
	tls_context_free(server);
	tls_context_free(client);
	tls_key_free(gate);
	tls_key_free(other);
	return rm_rf(dir) < 0;
}
