/* Snapshots. One is a boxed process like a worker's, with a lane (which only tells how its initialisation went) and a
 * control socket by which it is a zygote. Its children are in pid namespaces below its own, so it is their parent,
 * reports their ends, and takes them along when it dies. It stays while it has children, and as long as zygotes do
 * without any.
 *
 * Owned here: the process, its group, its ends of lane and control socket, references to its packages. A snapshot that
 * fails to initialise answers those who wait for it, and is begun anew by the next demand. */
#include "node/snapshot.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/log.h"
#include "wire/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS   1000
#define FRAME_MAX (256u << 10)

struct waiter {
	zygote_forked *forked;
	void (*exited)(void *arg, const struct child_exit *ex);
	void *arg;
	struct snapshot *of;
	uint8_t id[16];
	bool failed; /* to be told when it is known why: at the snapshot's end */
};

struct snapshot {
	struct list_link on_list;
	struct snapshots *family;
	char *key;
	uint8_t id[16];
	struct zygote *from; /* has not answered yet */
	struct zygote *control;
	struct child *child;
	struct cgroup *group;
	struct code_package *package, *layers;
	int lane;
	struct watch *watch;
	struct buf in;
	void (*door)(void *arg, int fd); /* of who it was made for; NULL: was told, or is gone */
	void *door_arg;
	struct map workers; /* by id -> struct waiter */
	char *error_type, *error;
	uint64_t used_ms;
	bool failed;
};

DEFINE_LIST(snapshot_list, struct snapshot, on_list)

struct snapshots {
	struct loop *loop;
	struct groups *groups;
	const struct node_conf *conf;
	struct snapshot_list all;
	struct timer *tick;
};

static struct str id_key(const uint8_t *id)
{
	return str_n(id, 16);
}

static void stop_lane(struct snapshot *s)
{
	s->watch = watch_free(s->watch);
	if (s->lane >= 0)
		close(steal_fd(&s->lane));
	buf_done(&s->in);
}

/* Its workers die with it. */
static void end_workers(struct snapshot *s)
{
	const struct child_exit killed = {.status = SIGKILL};
	struct str key;
	void *v;

	for (size_t i = 0; map_next(&s->workers, &i, &key, &v); i = 0) {
		struct waiter *w = v;

		map_del(&s->workers, id_key(w->id));
		if (w->failed)
			w->forked(w->arg, -1, -1, s->error ? s->error : "the node is stopping");
		else if (w->exited)
			w->exited(w->arg, &killed);
		free(w);
	}
}

static void snapshot_free(struct snapshot *s)
{
	if (s->from)
		zygote_forget(s->from, s->id);
	s->control = zygote_free(s->control); /* answers the forks that wait */
	s->child = child_free(s->child);
	end_workers(s);
	map_done(&s->workers);
	stop_lane(s);
	s->group = groups_give(s->family->groups, s->group);
	if (s->package)
		code_unref(s->package);
	if (s->layers)
		code_unref(s->layers);
	snapshot_list_remove(&s->family->all, s);
	free(s->key);
	free(s->error_type);
	free(s->error);
	free(s);
}

/* ---- its initialisation ---- */

static void init_failed(struct snapshot *s, const struct frame *f)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = json_parse(f->body, &err);

	free(s->error_type);
	free(s->error);
	s->error_type = str_dup(json_get_str(j, "errorType", STR("Runtime.InitError")));
	s->error = str_dup(json_get_str(j, "errorMessage", STR("initialisation failed")));
	s->failed = true;
}

/* With BOXED comes the socket by which user code reaches Wick while it initialises. */
static void take_door(struct snapshot *s, int fd)
{
	if (s->door)
		s->door(s->door_arg, fd);
	else
		close(fd);
	s->door = NULL;
}

static void on_lane(void *arg, int events)
{
	struct snapshot *s = arg;
	char bytes[4096];
	int fds[FDPASS_MAX];
	size_t n_fds;
	ssize_t n = fd_recv(s->lane, bytes, sizeof(bytes), fds, &n_fds);
	int64_t size;
	struct frame f;

	if (n == -EAGAIN)
		return;
	for (size_t i = 0; i < n_fds; i++)
		take_door(s, fds[i]);
	if (n <= 0 || s->in.n > FRAME_MAX) {
		s->watch = watch_free(s->watch);
		return;
	}
	buf_add(&s->in, bytes, (size_t)n);
	while ((size = frame_size(buf_str(&s->in))) > 0 && (uint64_t)size <= s->in.n) {
		if (frame_parse(buf_str(&s->in), &f) && f.type == FRAME_ERROR)
			init_failed(s, &f);
		buf_consume(&s->in, (size_t)size);
	}
}

/* ---- its life ---- */

static void on_loaded(void *arg, struct zygote *z, struct str names)
{
}

static void on_child_exited(void *arg, const uint8_t id[static 16], const struct child_exit *ex)
{
	struct snapshot *s = arg;
	struct waiter *w = map_del(&s->workers, id_key(id));

	if (w && w->exited)
		w->exited(w->arg, ex);
	free(w);
}

static void on_ended(void *arg, struct zygote *z, const char *why)
{
	struct snapshot *s = arg;

	s->failed = true; /* its exit follows */
}

static const struct zygote_events events = {.loaded = on_loaded, .exited = on_child_exited, .ended = on_ended};

static void on_exit_of(void *arg, const struct child_exit *ex)
{
	struct snapshot *s = arg;

	if (s->lane >= 0)
		on_lane(s, WATCH_READ); /* its last words */
	if (!s->error) {
		s->error_type = xstrdup("Runtime.ExitError");
		s->error =
			WIFSIGNALED(ex->status)
				? xasprintf("the process to be copied was ended by signal %d", WTERMSIG(ex->status))
				: xasprintf("the process to be copied ended with status %d", WEXITSTATUS(ex->status));
	}
	snapshot_free(s);
}

static void on_forked(void *arg, int pid, int pidfd, const char *error)
{
	struct snapshot *s = arg;
	_cleanup_(err_done) struct err err = ERR_NULL;

	s->from = NULL;
	if (!error)
		s->child = child_adopt(s->family->loop, pid, pidfd, on_exit_of, s, &err);
	if (s->child)
		return;
	s->error_type = xstrdup("Sandbox.StartFailed");
	s->error = xstrdup(error ? error : err.msg);
	snapshot_free(s);
}

static void on_tick(void *arg)
{
	struct snapshots *ss = arg;
	uint64_t now = loop_now_ms(ss->loop);
	struct snapshot *s, *next;

	for (s = snapshot_list_first(&ss->all); s; s = next) {
		next = snapshot_list_next(s);
		if (s->workers.n)
			s->used_ms = now;
		else if (now - s->used_ms >= ss->conf->zygote_idle_ms)
			snapshot_free(s);
	}
	if (ss->all.n)
		timer_set(ss->tick, TICK_MS);
}

static char *key_of(const struct plan_order *o)
{
	return xasprintf("%.*s:%.*s:%.*s", STR_ARG(o->f->arn), STR_ARG(o->f->version), STR_ARG(o->f->code_sha256));
}

static int send_plan(struct snapshot *s, const struct snapshot_order *o, int lane, int control, struct err *err)
{
	_cleanup_(buf_done) struct buf bytes = BUF_NULL;
	struct plan_order plan = *o->plan;
	struct arena a = ARENA_NULL;
	struct boxplan box;
	int fds[3 + CGROUP_JOIN_MAX], r;
	size_t n = 2;

	fds[0] = lane;
	fds[1] = o->output;
	/* The control socket is the first after the two, which is where the runtime looks for it. */
	fds[n++] = control;
	plan.kind = PLAN_SNAPSHOT;
	plan.wait = false;
	plan.extra_fds = 1;
	plan.joins = 0;
	if (s->group)
		n += plan.joins = (unsigned)cgroup_join_fds(s->group, fds + n);
	r = plan_make(&box, &plan, &a, err);
	if (r == 0) {
		boxplan_encode(&bytes, &box);
		s->from = o->from;
		zygote_fork(o->from, s->id, buf_str(&bytes), fds, n, on_forked, s);
	}
	arena_done(&a);
	return r;
}

static int begin(struct snapshot *s, const struct snapshot_order *o, struct err *err)
{
	struct loop *l = s->family->loop;
	int lane[2], control[2], r = unix_pair(lane);

	if (r < 0)
		return err_set(err, -r, "make a lane");
	s->lane = lane[0];
	s->watch = watch_new(l, s->lane, WATCH_READ, on_lane, s);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		close(lane[1]);
		return err_set(err, errno, "make a socket");
	}
	s->control = zygote_attach(l, control[0], &events, s);
	r = send_plan(s, o, lane[1], control[1], err);
	close(lane[1]);
	close(control[1]);
	return r;
}

struct snapshot *snapshot_get(struct snapshots *ss, const struct snapshot_order *o, struct err *err)
{
	_cleanup_(freep) char *key = key_of(o->plan);
	struct snapshot *s = snapshot_list_first(&ss->all);

	while (s && (s->failed || strcmp(s->key, key) != 0))
		s = snapshot_list_next(s);
	if (s)
		return s;
	s = xnew(struct snapshot);
	*s = (struct snapshot){.family = ss, .key = steal(&key), .lane = -1, .used_ms = loop_now_ms(ss->loop)};
	random_bytes(s->id, sizeof(s->id));
	snapshot_list_push(&ss->all, s);
	s->door = o->door;
	s->door_arg = o->arg;
	s->package = code_ref(o->package);
	s->layers = o->layers ? code_ref(o->layers) : NULL;
	s->group = groups_take(ss->groups, o->plan->f->memory_mb);
	if (begin(s, o, err) < 0) {
		snapshot_free(s);
		return NULL;
	}
	timer_set(ss->tick, TICK_MS);
	return s;
}

static void on_worker_forked(void *arg, int pid, int pidfd, const char *error)
{
	struct waiter *w = arg;

	w->of->door = NULL;
	if (error)
		w->failed = true;
	else
		w->forked(w->arg, pid, pidfd, NULL);
}

void snapshot_fork(struct snapshot *s, const uint8_t id[static 16], struct str plan, const int *fds, size_t n_fds,
		   zygote_forked *forked, void (*exited)(void *arg, const struct child_exit *ex), void *arg)
{
	struct waiter *w = xnew(struct waiter);

	*w = (struct waiter){.forked = forked, .exited = exited, .arg = arg, .of = s};
	memcpy(w->id, id, sizeof(w->id));
	map_put(&s->workers, id_key(id), w);
	s->used_ms = loop_now_ms(s->family->loop);
	zygote_fork(s->control, id, plan, fds, n_fds, on_worker_forked, w);
}

void snapshot_forget(struct snapshot *s, const uint8_t id[static 16])
{
	struct waiter *w = map_get(&s->workers, id_key(id));

	if (w)
		w->exited = NULL;
}

bool snapshot_error(const struct snapshot *s, const char **type, const char **message)
{
	*type = s->error_type;
	*message = s->error;
	return s->error != NULL;
}

struct snapshots *snapshots_new(struct loop *l, struct groups *groups, const struct node_conf *conf)
{
	struct snapshots *ss = xnew(struct snapshots);

	*ss = (struct snapshots){.loop = l, .groups = groups, .conf = conf};
	ss->tick = timer_new(l, on_tick, ss);
	return ss;
}

struct snapshots *snapshots_free(struct snapshots *ss)
{
	if (!ss)
		return NULL;
	while (ss->all.n)
		snapshot_free(snapshot_list_first(&ss->all));
	timer_free(ss->tick);
	free(ss);
	return NULL;
}
