/* One worker's life: WAITING for its package, RUNNING, then gone. The worker owns its process, its reference to the
 * package, its temporary folder and the timer that ends it; of the lane and the log pipe it keeps nothing once the
 * gate has them. Any failure before the process runs is reported with a type and the reason, and leaves nothing. */
#include "node/worker.h"

#include "base/arena.h"
#include "base/mem.h"
#include "node/plan.h"
#include "node/usage.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LANE_BUFFER    (1 << 20)
#define WORKER_OOM_ADJ 1000 /* the kernel ends workers before anything of Wick's */

enum worker_state { WORKER_WAITING, WORKER_RUNNING };

struct worker {
	struct worker_site site;
	uint8_t id[16];
	enum worker_state state;
	json_t *order;
	struct arena arena; /* the function's and the plan's */
	struct function function;
	struct code_package *package;
	struct child *child;
	struct timer *timer; /* first to begin, then to kill */
	bool stopped;        /* before it ran */
	char *tmp;
	int zip;
	uint64_t ordered_us;
	uint64_t rss_kib;
	bool oom;
};

struct tmp_job {
	char *dir;
	size_t *jobs;
};

static void tmp_work(void *arg)
{
	struct tmp_job *j = arg;

	rm_rf(j->dir);
}

static void tmp_done(void *arg)
{
	struct tmp_job *j = arg;

	--*j->jobs;
	free(j->dir);
	free(j);
}

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void worker_free(struct worker *w)
{
	if (w->tmp) {
		struct tmp_job *j = xnew(struct tmp_job);

		*j = (struct tmp_job){.dir = steal(&w->tmp), .jobs = w->site.jobs};
		++*j->jobs;
		loop_work(w->site.loop, tmp_work, tmp_done, j);
	}
	w->child = child_free(w->child);
	w->timer = timer_free(w->timer);
	if (w->package)
		code_unref(w->package);
	closep(&w->zip);
	arena_done(&w->arena);
	json_decref(w->order);
	free(w);
}

static void worker_fail(struct worker *w, const char *type, const char *error)
{
	w->site.handler->failed(w->site.arg, w, type, error ? error : "unknown error");
	worker_free(w);
}

static void worker_exited(void *arg, const struct child_exit *ex)
{
	struct worker *w = arg;

	w->site.handler->exited(w->site.arg, w, ex, w->oom);
	worker_free(w);
}

/* The first folder of the list that has the program. */
static char *find_runtime(const char *libexec, const char *program)
{
	struct str rest = str_from(libexec), dir;

	while (rest.n) {
		char *path, *folder;
		bool found;

		str_cut(rest, ':', &dir, &rest);
		if (!dir.n)
			continue;
		folder = str_dup(dir);
		path = xasprintf("%s/%s", folder, program);
		found = access(path, X_OK) == 0;
		free(path);
		if (found)
			return folder;
		free(folder);
	}
	return NULL;
}

static int make_tmp(struct worker *w, struct err *err)
{
	char hex[2 * sizeof(w->id) + 1];

	hex_encode(w->id, sizeof(w->id), hex);
	w->tmp = xasprintf("%s/%s", w->site.tmp, hex);
	if (mkdir(w->tmp, 0700) < 0)
		return err_set(err, errno, "make folder %s", w->tmp);
	return 0;
}

/* Room for an event or an answer of 1 MiB without waiting, as far as the kernel's limits let us. */
static void enlarge(int sock)
{
	int size = LANE_BUFFER;

	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int worker_run(struct worker *w, const struct start_plan *plan, struct err *err)
{
	_cleanup_(closep) int lane = -1, lane_far = -1, out = -1, out_far = -1;
	int pair[2], r;

	r = unix_pair(pair);
	if (r < 0)
		return err_set(err, -r, "make a lane");
	lane = pair[0], lane_far = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a log pipe");
	out = pair[0], out_far = pair[1];
	fd_set_nonblock(out);
	enlarge(lane);
	enlarge(lane_far);

	const struct child_fd fds[] = {{out_far, 1}, {out_far, 2}, {lane_far, PLAN_LANE_FD}};
	const struct child_spec spec = {
		.path = plan->program,
		.argv = plan->argv,
		.envp = plan->envp,
		.cwd = plan->cwd,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.oom_score_adj = WORKER_OOM_ADJ,
		.new_session = true,
		.die_with_parent = true,
		.batch = true, /* a gate that hands out many invocations in one turn is not interrupted after each */
	};

	w->child = child_start(w->site.loop, &spec, worker_exited, w, err);
	if (!w->child)
		return -1;
	w->state = WORKER_RUNNING;
	w->site.handler->started(w->site.arg, w, clock_mono_us() - w->ordered_us, lane, out);
	return 0;
}

static void worker_prepare(struct worker *w)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_(freep) char *runtime_dir = NULL;
	const char *program = plan_runtime(&w->function, &err);
	struct start_plan plan;

	if (!program) {
		worker_fail(w, "Runtime.Unsupported", err.msg);
		return;
	}
	runtime_dir = find_runtime(w->site.conf->libexec, program);
	if (!runtime_dir) {
		err_set(&err, 0, "the program %s is not installed (looked in %s)", program, w->site.conf->libexec);
		worker_fail(w, "Runtime.Unavailable", err.msg);
		return;
	}
	if (make_tmp(w, &err) < 0) {
		worker_fail(w, "Runtime.StartFailed", err.msg);
		return;
	}
	const struct plan_place where = {.task_root = code_dir(w->package), .runtime_dir = runtime_dir, .tmp = w->tmp};

	if (plan_make(&plan, &w->function, json_object_get(w->order, "env"), &where, &w->arena, &err) < 0)
		worker_fail(w, "Runtime.InvalidEnvironment", err.msg);
	else if (worker_run(w, &plan, &err) < 0)
		worker_fail(w, "Runtime.StartFailed", err.msg);
}

static void worker_has_code(void *arg, struct code_package *package, const char *error)
{
	struct worker *w = arg;

	w->package = package;
	if (!package)
		worker_fail(w, "Runtime.InvalidCode", error);
	else if (w->stopped)
		worker_fail(w, "Runtime.Stopped", "the worker was stopped before it ran");
	else
		worker_prepare(w);
}

static void worker_kill_now(void *arg)
{
	struct worker *w = arg;

	child_kill(w->child, SIGKILL);
}

static void worker_begin(void *arg)
{
	struct worker *w = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (function_from_json(&w->function, json_object_get(w->order, "function"), &w->arena, &err) < 0) {
		worker_fail(w, "Runtime.InvalidFunction", err.msg);
		return;
	}
	/* Said at once: nobody has to unpack anything to learn it. */
	if (!plan_runtime(&w->function, &err)) {
		worker_fail(w, "Runtime.Unsupported", err.msg);
		return;
	}
	code_get(w->site.code, w->function.code_sha256, steal_fd(&w->zip), worker_has_code, w);
}

struct worker *worker_start(const struct worker_site *site, const uint8_t id[static 16], const json_t *order, int zip)
{
	struct worker *w = xnew(struct worker);

	*w = (struct worker){.site = *site, .zip = zip, .ordered_us = clock_mono_us()};
	memcpy(w->id, id, sizeof(w->id));
	w->order = json_incref((json_t *)(uintptr_t)order);
	w->timer = timer_new(site->loop, worker_begin, w);
	timer_set(w->timer, 0);
	return w;
}

void worker_stop(struct worker *w, uint64_t grace_ms)
{
	if (w->state == WORKER_WAITING) {
		w->stopped = true; /* seen when its package is there */
		return;
	}
	if (!grace_ms) {
		child_kill(w->child, SIGKILL);
		return;
	}
	child_kill(w->child, SIGTERM);
	w->timer = timer_free(w->timer);
	w->timer = timer_new(w->site.loop, worker_kill_now, w);
	timer_set(w->timer, grace_ms);
}

const uint8_t *worker_id(const struct worker *w)
{
	return w->id;
}

uint32_t worker_memory_mb(const struct worker *w)
{
	return w->function.memory_mb;
}

int worker_pid(const struct worker *w)
{
	return w->child ? child_pid(w->child) : -1;
}

bool worker_watch_memory(struct worker *w)
{
	uint64_t limit = (uint64_t)w->function.memory_mb * 1024, rss;
	bool changed;

	if (w->state != WORKER_RUNNING || w->oom)
		return false;
	rss = usage_rss_kib(child_pid(w->child));
	changed = rss != w->rss_kib;
	w->rss_kib = rss;
	if (limit && rss > limit && usage_pss_kib(child_pid(w->child)) > limit) {
		w->oom = true;
		child_kill(w->child, SIGKILL);
	}
	return changed;
}
