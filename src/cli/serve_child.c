/* A program that is kept running: started, started again when it dies, after a pause that doubles from 100 ms to 10 s
 * and is short again once it has lived for 30 s. One that refuses to start at all is not tried again. Owns the child;
 * freed only when that has ended or is to be killed. */
#include "cli/serve.h"

#include "base/mem.h"
#include "sys/file.h"
#include "sys/child.h"
#include "sys/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   10000
#define STEADY_MS        30000

struct serve_child {
	struct serve_child_spec spec;
	struct loop *loop;
	struct child *child; /* NULL: between two lives */
	struct timer *again;
	uint64_t started_ms, pause_ms;
	bool stopping, settled;
	void (*over)(void *arg);
	void *arg;
};

/* "stopped with status 1", "was killed by signal 9 (Killed)". */
static const char *describe(int status, char *buf, size_t n)
{
	if (WIFSIGNALED(status))
		snprintf(buf, n, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(buf, n, "stopped with status %d", WEXITSTATUS(status));
	return buf;
}

static void start_later(struct serve_child *c, const char *what)
{
	if (loop_now_ms(c->loop) - c->started_ms >= STEADY_MS)
		c->pause_ms = BACKOFF_FIRST_MS;
	log_warn("%s %s; starting it again in %llu ms", c->spec.name, what, (unsigned long long)c->pause_ms);
	timer_set(c->again, c->pause_ms);
	c->pause_ms = MIN(c->pause_ms * 2, (uint64_t)BACKOFF_MAX_MS);
}

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct serve_child *c = arg;
	char what[80];

	c->child = child_free(c->child);
	describe(ex->status, what, sizeof(what));
	/* What made it refuse will not go away by itself; it has said what that is. */
	if (!c->stopping && !c->settled && WIFEXITED(ex->status)) {
		log_error("%s %s before it served", c->spec.name, what);
		c->stopping = true;
		c->over(c->arg);
		return;
	}
	if (!c->stopping) {
		start_later(c, what);
		return;
	}
	if (WIFSIGNALED(ex->status) || WEXITSTATUS(ex->status) != 0)
		log_warn("%s %s while stopping", c->spec.name, what);
	c->over(c->arg);
}

static void start(void *arg)
{
	struct serve_child *c = arg;
	char *const argv[] = {(char *)c->spec.name, NULL};
	struct child_fd fds[4] = {{1, 1}, {2, 2}};
	size_t n_fds = 2;
	struct child_spec spec = {
		.path = c->spec.path,
		.argv = argv,
		.envp = c->spec.envp,
		.fds = fds,
		/* Signals from the terminal reach the supervisor alone, which stops the others in order. */
		.new_session = true,
		.die_with_parent = true,
	};
	struct err err = ERR_NULL;

	if (c->spec.listen_fd >= 0)
		fds[n_fds++] = (struct child_fd){c->spec.listen_fd, 3};
	if (c->spec.nodes_fd > 0)
		fds[n_fds++] = (struct child_fd){c->spec.nodes_fd, 4};
	spec.n_fds = n_fds;
	c->started_ms = loop_now_ms(c->loop);
	c->child = child_start(c->loop, &spec, on_exit_of, c, &err);
	if (c->child)
		return;
	log_error("%s cannot be started: %s", c->spec.name, err.msg);
	err_done(&err);
	start_later(c, "did not start");
}

struct serve_child *serve_child_start(struct loop *loop, const struct serve_child_spec *spec, void (*over)(void *arg),
				      void *arg)
{
	struct serve_child *c = xnew(struct serve_child);

	*c = (struct serve_child){.spec = *spec, .loop = loop, .over = over, .arg = arg, .pause_ms = BACKOFF_FIRST_MS};
	c->again = timer_new(loop, start, c);
	start(c);
	return c;
}

void serve_child_stop(struct serve_child *c, int signo)
{
	bool first = !c->stopping;

	c->stopping = true;
	if (c->child)
		child_kill(c->child, signo);
	else if (first) {
		timer_stop(c->again);
		c->over(c->arg);
	}
}

void serve_child_settled(struct serve_child *c)
{
	if (c)
		c->settled = true;
}

struct serve_child *serve_child_free(struct serve_child *c)
{
	if (!c)
		return NULL;
	child_free(c->child);
	timer_free(c->again);
	free(c);
	return NULL;
}

/* ---- where programs are ---- */
