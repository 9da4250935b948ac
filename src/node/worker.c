/* One worker's life: PREPARING (package, layers, what it imports), FORKING, RUNNING, then gone. The worker owns its
 * process, its control group, its references to packages and the timer that ends it; of the lane and the log pipe it
 * keeps nothing once the gate has them. Any failure before the process runs is reported with a type and the reason, and
 * leaves nothing. */
#include "node/worker.h"

#include "base/arena.h"
#include "base/mem.h"
#include "node/net.h"
#include "node/snapshot.h"
#include "node/usage.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANE_BUFFER (1 << 20)
#define WORDS_MAX   (32u << 10)
#define FORKS_MAX   2 /* a zygote that could not load its imports is replaced by a bare one */

enum worker_state { WORKER_PREPARING, WORKER_FORKING, WORKER_RUNNING };

struct worker {
	struct worker_site site;
	uint8_t id[16];
	enum worker_state state;
	json_t *order;
	struct arena arena; /* the function's and the plan's */
	struct function function;
	struct function_options opt;
	struct preparation *preparation; /* under way */
	struct code_package *package, *layers;
	struct child *child;
	struct zygote *control;   /* of a pooled box */
	struct slice_hold *slice; /* NULL: it holds none */
	const char *device_type;  /* of its end: it lost that */
	char *device_text;
	struct snapshot *from; /* it is that one's child, and known by its pidfd only */
	int pidfd, pid;
	struct cgroup *group;
	struct net_helper *net;
	struct timer *timer; /* first to begin, then to kill */
	bool stopped;        /* before it ran */
	bool frozen, oom;
	unsigned forks;
	int zips[PREPARE_ZIPS_MAX];
	size_t n_zips;
	int lane, output; /* our ends, until the gate has them */
	int output_far;   /* the worker's end, until it has it */
	int go;           /* the end that says the network is up */
	uint64_t ordered_us;
	uint64_t rss_kib;
};

static void closep(int *fd)
{
	if (*fd >= 0)
		close(steal_fd(fd));
}

static void worker_free(struct worker *w)
{
	net_helper_free(w->net);
	slices_give(w->slice);
	free(w->device_text);
	zygote_free(w->control);
	if (w->from)
		snapshot_forget(w->from, w->id);
	closep(&w->pidfd);
	w->child = child_free(w->child);
	w->group = groups_give(w->site.groups, w->group);
	w->timer = timer_free(w->timer);
	if (w->package)
		code_unref(w->package);
	if (w->layers)
		code_unref(w->layers);
	for (size_t i = 0; i < w->n_zips; i++)
		closep(&w->zips[i]);
	closep(&w->lane);
	closep(&w->output);
	closep(&w->output_far);
	closep(&w->go);
	arena_done(&w->arena);
	json_decref(w->order);
	free(w);
}

/* The gate has not got the pipe, so the last words go with the failure. */
static void worker_fail(struct worker *w, const char *type, const char *error)
{
	char bytes[WORDS_MAX];
	size_t n = 0;
	ssize_t got;

	while (w->output >= 0 && n < sizeof(bytes) && (got = read(w->output, bytes + n, sizeof(bytes) - n)) > 0)
		n += (size_t)got;
	w->site.handler->failed(w->site.arg, w, type, error ? error : "unknown error", str_n(bytes, n));
	worker_free(w);
}

static void look_at_group(struct worker *w, struct worker_end *end)
{
	struct cgroup_stat st;

	if (!w->group)
		return;
	cgroup_stat(w->group, &st);
	if (st.oom_kills != CGROUP_UNKNOWN && st.oom_kills > 0)
		end->oom = true;
	if (st.memory_peak != CGROUP_UNKNOWN)
		end->peak_kib = st.memory_peak / 1024;
}

/* The first process of a pid namespace cannot be ended by a signal of its own (pid_namespaces(7)): runtimes leave with
 * 128 and its number then, as shells do. */
static int as_signal(int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	return code > 128 && code < 128 + 32 ? code - 128 : status;
}

static void worker_exited(void *arg, const struct child_exit *ex)
{
	struct worker *w = arg;
	struct worker_end end = {
		.exit = *ex, .oom = w->oom, .device_type = w->device_type, .device_text = w->device_text};

	end.exit.status = as_signal(ex->status);
	look_at_group(w, &end);
	w->site.handler->exited(w->site.arg, w, &end);
	worker_free(w);
}

static void worker_kill(struct worker *w)
{
	/* One that was forked a moment ago has not joined its group yet. */
	if (w->group)
		cgroup_kill(w->group);
	/* The first of its pid namespace takes all others along; one that is stopped, too. */
	if (w->child)
		child_kill(w->child, SIGKILL);
	else
		pidfd_kill(w->pidfd, SIGKILL);
}

/* ---- its channels ---- */

/* Room for an event or an answer of 1 MiB without waiting, as far as the kernel's limits let us. */
static void enlarge(int sock)
{
	int size = LANE_BUFFER;

	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int make_lane(struct worker *w, int *far, struct err *err)
{
	int pair[2], r = unix_pair(pair);

	if (r < 0)
		return err_set(err, -r, "make a lane");
	w->lane = pair[0], *far = pair[1];
	enlarge(pair[0]);
	enlarge(pair[1]);
	return 0;
}

static int make_output(struct worker *w, struct err *err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a log pipe");
	w->output = pair[0], w->output_far = pair[1];
	fd_set_nonblock(w->output);
	return 0;
}

static int make_go(struct worker *w, int *far, struct err *err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe");
	*far = pair[0], w->go = pair[1];
	return 0;
}

/* ---- it runs ---- */

static void network_over(void *arg, const char *why)
{
	struct worker *w = arg;

	log_warn("network of a worker of %.*s: %s", STR_ARG(w->function.name), why);
}

/* Where it fails, the pipe has the reason: the box fails at its WAIT and says it on the lane. */
static void start_network(struct worker *w, int pidfd)
{
	_cleanup_(err_done) struct err err = ERR_NULL;

	w->net = net_helper_start(w->site.loop, w->site.conf->libexec, pidfd, w->go, w->site.conf->internet_allow,
				  network_over, w, &err);
	if (!w->net) {
		network_over(w, err.msg);
		if (write(w->go, err.msg, strlen(err.msg)) < 0)
			log_debug("the box is gone already");
	}
	closep(&w->go);
}

/* The kernel ends nobody for what he does on a device. */
static void slice_is_lost(void *arg, const char *type, const char *text)
{
	struct worker *w = arg;

	w->device_type = type;
	w->device_text = xstrdup(text);
	worker_kill(w);
}

static void worker_runs(struct worker *w)
{
	w->state = WORKER_RUNNING;
	if (w->slice)
		slice_watch(w->slice, worker_pid(w), slice_is_lost, w);
	if (w->stopped) {
		worker_kill(w);
		return;
	}
	w->site.handler->started(w->site.arg, w, clock_mono_us() - w->ordered_us, w->lane, w->output);
	closep(&w->lane);
	closep(&w->output);
	closep(&w->output_far);
}

static void worker_fork(struct worker *w);

static void forked(void *arg, int pid, int pidfd, const char *error)
{
	struct worker *w = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (error && ++w->forks < FORKS_MAX && !w->stopped) {
		w->group = groups_give(w->site.groups, w->group);
		worker_fork(w);
		return;
	}
	if (error) {
		worker_fail(w, "Sandbox.StartFailed", error);
		return;
	}
	if (w->opt.network == NETWORK_INTERNET)
		start_network(w, pidfd);
	w->child = child_adopt(w->site.loop, pid, pidfd, worker_exited, w, &err);
	if (!w->child)
		worker_fail(w, "Sandbox.StartFailed", err.msg);
	else
		worker_runs(w);
}

/* ---- from a snapshot ---- */

static void restored_exited(void *arg, const struct child_exit *ex)
{
	struct worker *w = arg;

	w->from = NULL;
	worker_exited(w, ex);
}

static void restored(void *arg, int pid, int pidfd, const char *error)
{
	struct worker *w = arg;
	const char *type, *message;

	if (error) {
		bool known = snapshot_error(w->from, &type, &message);

		w->from = NULL;
		worker_fail(w, known ? type : "Sandbox.StartFailed", known ? message : error);
		return;
	}
	if (w->opt.network == NETWORK_INTERNET)
		start_network(w, pidfd);
	w->pidfd = pidfd;
	w->pid = pidfd_pid(pidfd);
	worker_runs(w);
}

static void specialised(void *arg, int pid, int pidfd, const char *error)
{
	struct worker *w = arg;

	if (pidfd >= 0)
		close(pidfd);
	if (error)
		worker_fail(w, "Sandbox.StartFailed", error);
	else
		worker_runs(w);
}

/* ---- into its box ---- */

static void order_of(struct worker *w, struct plan_order *o)
{
	*o = (struct plan_order){
		.kind = PLAN_WORKER,
		.host = w->site.host,
		.f = &w->function,
		.opt = &w->opt,
		.env = json_object_get(w->order, "env"),
		.task_root = code_dir(w->package),
		.layers = w->layers ? code_dir(w->layers) : NULL,
		.code_folder = w->site.code_folder,
		.slice = w->slice ? slice_plan(w->slice) : NULL,
		.wait = w->opt.network == NETWORK_INTERNET,
	};
}

/* Plan, descriptors, fork: the same for every way to get one. z NULL: from its snapshot. */
static int send_fork(struct worker *w, struct zygote *z, struct plan_order *o, zygote_forked *then, struct err *err)
{
	_cleanup_(closep) int lane = -1, go = -1;
	_cleanup_(buf_done) struct buf bytes = BUF_NULL;
	int fds[2 + CGROUP_JOIN_MAX + 1];
	struct boxplan plan;
	size_t n = 2;

	closep(&w->lane);
	closep(&w->go);
	if (make_lane(w, &lane, err) < 0)
		return -1;
	if (w->output < 0 && make_output(w, err) < 0)
		return -1;
	fds[0] = lane;
	fds[1] = w->output_far >= 0 ? w->output_far : lane; /* a pooled box has its pipe already */
	if (w->group && o->kind != PLAN_SPECIAL)
		n += o->joins = (unsigned)cgroup_join_fds(w->group, fds + 2);
	if (o->wait) {
		if (make_go(w, &go, err) < 0)
			return -1;
		fds[n++] = go;
	}
	if (plan_make(&plan, o, &w->arena, err) < 0)
		return -1;
	boxplan_encode(&bytes, &plan);
	if (bytes.n > BOXPLAN_MAX_BYTES)
		return err_set(err, 0, "the function's environment is too large");
	w->state = WORKER_FORKING;
	if (z)
		zygote_fork(z, w->id, buf_str(&bytes), fds, n, then, w);
	else
		snapshot_fork(w->from, w->id, buf_str(&bytes), fds, n, then, restored_exited, w);
	return 0;
}

/* Variables that count when Node.js starts and not later: a process that waits has started without them. */
static bool counts_at_start(struct str name)
{
	static const char *const prefixes[] = {"NODE_", "LD_", "UV_", "OPENSSL_", "SSL_CERT_"};

	if (str_eqz(name, "NODE_ENV") || str_eqz(name, "NODE_PATH"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(name, str_from(prefixes[i])))
			return true;
	return false;
}

static bool from_pool(struct worker *w)
{
	const char *name;
	json_t *value;

	/* A box that waits has the devices that all have: none. */
	if (w->opt.kind != RUNTIME_NODEJS || w->slice)
		return false;
	json_object_foreach(json_object_get(w->order, "env"), name, value)
	{
		if (counts_at_start(str_from(name)))
			return false;
	}
	return true;
}

static void pooled_is_gone(void *arg, struct zygote *z, const char *why)
{
	/* Its exit is what counts. */
}

static void pooled_loaded(void *arg, struct zygote *z, struct str names)
{
}

static void pooled_child_exited(void *arg, const uint8_t id[static 16], const struct child_exit *ex)
{
}

static const struct zygote_events pooled_events = {
	.loaded = pooled_loaded, .exited = pooled_child_exited, .ended = pooled_is_gone};

static void pooled_exited(void *arg, const struct child_exit *ex)
{
	struct worker *w = arg;

	if (w->state == WORKER_RUNNING)
		worker_exited(w, ex);
	/* else the control socket closes as well, and the fork is answered with that */
}

static bool take_pooled(struct worker *w, struct plan_order *o, struct err *err)
{
	struct pooled_box box;

	if (!from_pool(w) || !pooled_take(w->site.pooled, &box, &pooled_events, pooled_exited, w))
		return false;
	w->control = box.control;
	w->child = box.child;
	w->group = box.group;
	w->output = box.output;
	if (w->group)
		cgroup_set_memory(w->group, (uint64_t)w->function.memory_mb << 20);
	o->kind = PLAN_SPECIAL;
	o->wait = false;
	if (send_fork(w, w->control, o, specialised, err) < 0)
		worker_fail(w, "Runtime.InvalidEnvironment", err->msg);
	return true;
}

static bool has_snapshot(const struct worker *w)
{
	/* What a snapshot has on a device cannot be forked. */
	return w->opt.kind == RUNTIME_PYTHON && !w->slice && str_eqz(w->function.snap_start, "PublishedVersions") &&
	       !str_eqz(w->function.version, "$LATEST");
}

static void snapshot_door(void *arg, int fd)
{
	struct worker *w = arg;

	w->site.handler->door(w->site.arg, w, fd);
}

static int restore(struct worker *w, struct zygote *z, struct plan_order *o, struct err *err)
{
	/* What the snapshot prints while it initialises is told in the name of the worker it is first made for. */
	if (make_output(w, err) < 0)
		return -1;
	const struct snapshot_order order = {
		.from = z,
		.plan = o,
		.package = w->package,
		.layers = w->layers,
		.output = w->output_far,
		.door = snapshot_door,
		.arg = w,
	};

	w->from = snapshot_get(w->site.snapshots, &order, err);
	if (!w->from)
		return -1;
	o->kind = PLAN_RESTORE;
	return send_fork(w, NULL, o, restored, err);
}

static void worker_fork(struct worker *w)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct str imports = STR("");
	struct plan_order o;
	struct zygote *z;

	order_of(w, &o);
	if (w->opt.network != NETWORK_INTERNET && take_pooled(w, &o, &err))
		return;
	if (w->opt.kind == RUNTIME_PYTHON)
		learn_get(w->site.learn, w->function.code_sha256, &imports);
	z = zygotes_get(w->site.zygotes, w->opt.kind, imports, &err);
	if (!z) {
		worker_fail(w, "Runtime.Unavailable", err.msg);
		return;
	}
	w->group = groups_take(w->site.groups, w->function.memory_mb);
	if ((has_snapshot(w) ? restore(w, z, &o, &err) : send_fork(w, z, &o, forked, &err)) < 0)
		worker_fail(w, "Runtime.InvalidEnvironment", err.msg);
}

/* ---- what it needs first ---- */

static void slice_is_prepared(void *arg, const char *error)
{
	struct worker *w = arg;

	if (error)
		worker_fail(w, SLICE_UNAVAILABLE, error);
	else if (w->stopped)
		worker_fail(w, "Runtime.Stopped", "the worker was stopped before it ran");
	else
		worker_fork(w);
}

static void worker_is_prepared(void *arg, struct code_package *package, struct code_package *layers, const char *type,
			       const char *error)
{
	struct worker *w = arg;

	w->preparation = NULL;
	w->package = package;
	w->layers = layers;
	if (!package)
		worker_fail(w, type, error);
	else if (w->slice && !w->stopped)
		slice_prepare(w->slice, slice_is_prepared, w);
	else
		slice_is_prepared(w, NULL);
}

static void worker_kill_now(void *arg)
{
	worker_kill(arg);
}

static void worker_begin(void *arg)
{
	struct worker *w = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	if (function_from_json(&w->function, json_object_get(w->order, "function"), &w->arena, &err) < 0) {
		worker_fail(w, "Runtime.InvalidFunction", err.msg);
		return;
	}
	if (function_options_parse(&w->opt, &w->function, &err) < 0) {
		worker_fail(w, "Runtime.Unsupported", err.msg);
		return;
	}
	if (slices_take(w->site.slices, w->order, &w->slice, &err) < 0) {
		worker_fail(w, SLICE_UNAVAILABLE, err.msg);
		return;
	}
	const struct prepare_site site = {
		.loop = w->site.loop,
		.code = w->site.code,
		.from = w->site.from,
		.learn = w->site.learn,
		.jobs = w->site.jobs,
	};
	size_t n = w->n_zips;

	w->n_zips = 0;
	prepare_start(&site, &w->function, w->opt.kind, json_object_get(w->order, "layers"), w->zips, n,
		      worker_is_prepared, w, &w->preparation);
}

/* What it waits for may take its time, or never come. */
static void worker_stopped_early(void *arg)
{
	struct worker *w = arg;

	if (w->preparation)
		prepare_leave(w->preparation);
	worker_fail(w, "Runtime.Stopped", "the worker was stopped before it ran");
}

struct worker *worker_start(const struct worker_site *site, const uint8_t id[static 16], const json_t *order,
			    const int *zips, size_t n_zips)
{
	struct worker *w = xnew(struct worker);

	*w = (struct worker){
		.site = *site,
		.lane = -1,
		.output = -1,
		.output_far = -1,
		.go = -1,
		.pidfd = -1,
		.pid = -1,
		.ordered_us = clock_mono_us(),
	};
	for (; w->n_zips < n_zips; w->n_zips++)
		w->zips[w->n_zips] = zips[w->n_zips];
	memcpy(w->id, id, sizeof(w->id));
	w->order = json_incref((json_t *)(uintptr_t)order);
	w->timer = timer_new(site->loop, worker_begin, w);
	timer_set(w->timer, 0);
	return w;
}

void worker_stop(struct worker *w, uint64_t grace_ms)
{
	if (w->state != WORKER_RUNNING) {
		w->stopped = true; /* seen when it is forked */
		if (w->state == WORKER_PREPARING) {
			w->timer = timer_free(w->timer);
			w->timer = timer_new(w->site.loop, worker_stopped_early, w);
			timer_set(w->timer, 0);
		}
		return;
	}
	if (!grace_ms) {
		worker_kill(w);
		return;
	}
	worker_freeze(w, false); /* so that it can see that its lane is closed */
	/* One that wants to be asked has a handler; to the first process of a pid namespace it is nothing otherwise. */
	if (w->child)
		child_kill(w->child, SIGTERM);
	else
		pidfd_kill(w->pidfd, SIGTERM);
	w->timer = timer_free(w->timer);
	w->timer = timer_new(w->site.loop, worker_kill_now, w);
	timer_set(w->timer, grace_ms);
}

void worker_freeze(struct worker *w, bool on)
{
	if (w->state != WORKER_RUNNING || w->frozen == on)
		return;
	if (!w->group || cgroup_freeze(w->group, on) < 0)
		usage_signal_tree(worker_pid(w), on ? SIGSTOP : SIGCONT);
	w->frozen = on;
}

struct slice_hold *worker_slice(const struct worker *w)
{
	return w->state == WORKER_RUNNING ? w->slice : NULL;
}

const uint8_t *worker_id(const struct worker *w)
{
	return w->id;
}

int worker_pid(const struct worker *w)
{
	return w->child ? child_pid(w->child) : w->pid;
}

bool worker_watch_memory(struct worker *w)
{
	uint64_t limit = (uint64_t)w->function.memory_mb * 1024, rss;
	bool changed;

	if (w->state != WORKER_RUNNING || w->oom || w->frozen ||
	    (w->group && groups_can(w->site.groups) & CGROUP_MEMORY))
		return false;
	rss = usage_rss_kib(worker_pid(w));
	changed = rss != w->rss_kib;
	w->rss_kib = rss;
	if (limit && rss > limit && usage_pss_kib(worker_pid(w)) > limit) {
		w->oom = true;
		worker_kill(w);
	}
	return changed;
}
