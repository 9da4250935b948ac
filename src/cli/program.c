/* A child on a loop of its own, so that it can be run on any thread. Owns nothing when it returns. */
#include "cli/program.h"

#include "base/mem.h"
#include "sys/child.h"
#include "sys/file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)

struct running {
	struct loop *loop;
	struct watch *watch;
	struct buf *out;
	int fd, status;
	bool exited;
};

static void drain(struct running *r)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(r->fd, bytes, sizeof(bytes))) > 0)
		if (r->out && r->out->n < OUTPUT_MAX)
			buf_add(r->out, bytes, MIN((size_t)n, OUTPUT_MAX - r->out->n));
	if (n == 0)
		watch_set(r->watch, 0);
}

static void on_output(void *arg, int events)
{
	drain(arg);
}

static void on_exit_(void *arg, const struct child_exit *ex)
{
	struct running *r = arg;

	r->exited = true;
	r->status = ex->status;
	loop_stop(r->loop);
}

static void on_late(void *arg)
{
	struct running *r = arg;

	loop_stop(r->loop);
}

int program_run(const char *const *argv, unsigned limit_ms, struct buf *out)
{
	struct running r = {.loop = loop_new(), .out = out, .fd = -1};
	struct timer *late = timer_new(r.loop, on_late, &r);
	struct err err = ERR_NULL;
	struct child *child = NULL;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
		const struct child_fd fds[] = {{ends[1], 1}, {ends[1], 2}};
		struct child_spec spec = {.path = argv[0],
					  .argv = (char *const *)argv,
					  .fds = fds,
					  .n_fds = ARRAY_SIZE(fds),
					  .new_session = true,
					  .die_with_parent = true};

		r.fd = ends[0];
		r.watch = watch_new(r.loop, r.fd, WATCH_READ, on_output, &r);
		child = child_start(r.loop, &spec, on_exit_, &r, &err);
		close(ends[1]);
	}
	if (child) {
		timer_set(late, limit_ms);
		loop_run(r.loop);
		drain(&r);
	}
	err_done(&err);
	child_free(child);
	watch_free(r.watch);
	if (r.fd >= 0)
		close(r.fd);
	timer_free(late);
	loop_free(r.loop);
	return r.exited && WIFEXITED(r.status) ? WEXITSTATUS(r.status) : -1;
}

char *program_folders(void)
{
	_cleanup_(freep) char *self = self_dir();
	const char *said = getenv("WICK_LIBEXEC");

	if (said && *said)
		return xstrdup(said);
	return xasprintf("%s/src/gate:%s/src/node:%s/src/runtime:%s", self, self, self, WICK_LIBEXECDIR);
}

char *program_find(const char *name, struct err *err)
{
	_cleanup_(freep) char *folders = program_folders();
	char *path = file_find_program(folders, name);

	if (!path)
		err_set(err, 0, "the program %s is missing: looked in %s", name, folders);
	return path;
}
