/* Between the links and the pool: messages of gates become calls of the pool, and what happens in the pool is told to
 * the gate whose worker it is. The machine is one: memory and devices are shared by all links, and each is told what is
 * left of the whole.
 *
 * The agent owns the links and the pool. A message it cannot understand is logged and skipped. */
#include "node/agent.h"

#include "base/mem.h"
#include "node/gate_link.h"
#include "node/gate_local.h"
#include "node/gate_remote.h"
#include "node/pool.h"
#include "node/usage.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_MS      10000
#define STATUS_SOON_MS 200
#define LEAVE_MS       5000 /* killed workers that the kernel does not let go are not waited for longer */
#define FAREWELL_MS    2000 /* nor gates that do not take what is said last */

struct agent {
	struct loop *loop;
	const struct node_conf *conf;
	struct gate_links links;
	struct gate_remotes *remotes;
	struct pool *pool;
	struct timer *status, *leave;
	struct signal_watch *term, *intr;
	uint64_t available_mb; /* of the machine, before there were workers */
	bool leaving, empty, status_due;
	char *refusal;
};

static const uint8_t no_id[16];

struct pool *agent_pool(struct agent *a)
{
	return a->pool;
}

/* What workers could still use: the node's share, less what they use now, and never more than the machine has. */
static uint64_t memory_free_mb(const struct agent *a)
{
	uint64_t now = usage_available_mb(), used = a->available_mb > now ? a->available_mb - now : 0;
	uint64_t share = a->conf->memory_mb > used ? a->conf->memory_mb - used : 0;

	return now ? MIN(share, now) : a->conf->memory_mb;
}

void agent_status_to(struct gate_link *g)
{
	struct agent *a = g->agent;

	g->ops->say(g, LINK_STATUS, no_id,
		    json_pack("{s:I, s:I, s:o}", "memory_free_mb", (json_int_t)memory_free_mb(a), "workers",
			      (json_int_t)pool_count(a->pool, g), "zygotes", pool_zygotes(a->pool)));
}

static void agent_status(void *arg)
{
	struct agent *a = arg;

	a->status_due = false;
	for (struct gate_link *g = gate_links_first(&a->links); g; g = gate_links_next(g))
		if (!g->gone)
			agent_status_to(g);
	timer_set(a->status, STATUS_MS);
}

/* Not once for each of a thousand workers. */
static void status_soon(struct agent *a)
{
	if (a->status_due || a->leaving)
		return;
	a->status_due = true;
	timer_set(a->status, STATUS_SOON_MS);
}

static json_t *labels(const struct node_conf *conf)
{
	struct str rest = str_from(conf->labels), label;
	json_t *all = json_array();

	while (rest.n) {
		str_cut(rest, ',', &label, &rest);
		label = str_trim(label);
		if (label.n)
			json_array_append_new(all, json_str(label));
	}
	return all;
}

json_t *agent_hello(struct agent *a)
{
	return json_pack("{s:i, s:s, s:s, s:I, s:i, s:o, s:o, s:s, s:b, s:I}", "protocol", LINK_PROTOCOL, "version",
			 WICK_VERSION, "name", a->conf->name, "memory_mb", (json_int_t)a->conf->memory_mb, "cpus",
			 (int)a->conf->cpus, "devices", pool_devices(a->pool), "labels", labels(a->conf), "cost",
			 a->conf->cost ? a->conf->cost : "0", "share_roles", (int)a->conf->share_devices, "time_ms",
			 (json_int_t)clock_wall_ms());
}

/* --- From the pool ------------------------------------------------------------------------------------------- */

static void on_started(void *arg, struct gate_link *g, const uint8_t id[static 16], int pid, uint64_t prepare_us,
		       int lane, int log_pipe)
{
	g->ops->started(g, id, pid, prepare_us, lane, log_pipe);
	status_soon(arg);
}

static void on_door(void *arg, struct gate_link *g, const uint8_t id[static 16], int fd)
{
	g->ops->door(g, id, fd);
	close(fd);
}

static void on_failed(void *arg, struct gate_link *g, const uint8_t id[static 16], const char *type, const char *error,
		      struct str output)
{
	json_t *body = json_pack("{s:s}", "type", type);

	json_set_str(body, "error", str_from(error));
	if (output.n)
		json_set_str(body, "output", output);
	log_warn("a worker could not be started: %s: %s", type, error);
	g->ops->over(g, LINK_FAILED, id, body);
	status_soon(arg);
}

static void on_exited(void *arg, struct gate_link *g, const uint8_t id[static 16], const struct worker_end *end)
{
	const struct child_exit *ex = &end->exit;
	json_t *body = json_pack("{s:I, s:I, s:I}", "cpu_us", (json_int_t)ex->cpu_us, "max_rss_kib",
				 (json_int_t)ex->max_rss_kib, "peak_kib", (json_int_t)end->peak_kib);

	if (WIFSIGNALED(ex->status))
		json_object_set_new(body, "signal", json_integer(WTERMSIG(ex->status)));
	else
		json_object_set_new(body, "exit", json_integer(WEXITSTATUS(ex->status)));
	if (end->oom)
		json_object_set_new(body, "oom", json_true());
	if (end->device_type) {
		json_object_set_new(body, "device_oom",
				    json_boolean(strcmp(end->device_type, SLICE_OUT_OF_MEMORY) == 0));
		json_object_set_new(body, "device_type", json_string(end->device_type));
		json_object_set_new(body, "device_error", json_string(end->device_text));
	}
	g->ops->over(g, LINK_EXITED, id, body);
	status_soon(arg);
}

static void on_parked(void *arg, struct gate_link *g, const uint8_t id[static 16], bool on, uint64_t us,
		      const char *error)
{
	json_t *body = json_pack("{s:b, s:I}", "on", on, "us", (json_int_t)us);

	if (error)
		json_set_str(body, "error", str_from(error));
	g->ops->say(g, LINK_PARKED, id, body);
}

static void on_changed(void *arg)
{
	status_soon(arg);
}

void agent_devices_to(struct gate_link *g)
{
	g->ops->say(g, LINK_DEVICES, no_id, json_pack("{s:o}", "devices", pool_devices(g->agent->pool)));
}

static void on_devices(void *arg)
{
	struct agent *a = arg;

	for (struct gate_link *g = gate_links_first(&a->links); !a->leaving && g; g = gate_links_next(g))
		if (!g->gone)
			agent_devices_to(g);
}

static void on_empty(void *arg)
{
	struct agent *a = arg;

	if (!a->leaving)
		return;
	if (!a->empty)
		timer_set(a->leave, FAREWELL_MS);
	a->empty = true;
	for (struct gate_link *g = gate_links_first(&a->links); g; g = gate_links_next(g))
		if (!g->ops->settled(g))
			return;
	loop_stop(a->loop);
}

void agent_settled(struct agent *a)
{
	if (a->leaving && a->empty)
		pool_settle_soon(a->pool);
}

static const struct pool_handler pool_handler = {
	.started = on_started,
	.door = on_door,
	.failed = on_failed,
	.exited = on_exited,
	.parked = on_parked,
	.changed = on_changed,
	.devices = on_devices,
	.empty = on_empty,
};

/* --- From gates ---------------------------------------------------------------------------------------------- */

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

void agent_message(struct gate_link *g, enum link_message type, const uint8_t id[static 16], const json_t *body,
		   int *fds, size_t n_fds)
{
	struct agent *a = g->agent;
	size_t used = 0;

	switch (type) {
	case LINK_START:
		used = MIN(n_fds, (size_t)PREPARE_ZIPS_MAX);
		pool_start(a->pool, g, id, body, fds, used);
		break;
	case LINK_STOP:
		pool_stop(a->pool, g, id, (uint64_t)MAX(json_get_int(body, "grace_ms", 0), (int64_t)0));
		break;
	case LINK_FREEZE:
		pool_freeze(a->pool, g, id, json_get_bool(body, "on", false));
		break;
	case LINK_PARK:
		pool_park(a->pool, g, id, json_get_bool(body, "on", false));
		break;
	case LINK_PREPARE:
		used = MIN(n_fds, (size_t)PREPARE_ZIPS_MAX);
		pool_prepare(a->pool, g, body, fds, used);
		break;
	case LINK_LEARNT:
		pool_learn(a->pool, json_get_str(body, "code_sha256", STR_NULL),
			   json_get_str(body, "imports", STR_NULL));
		break;
	case LINK_HELLO:
	case LINK_STARTED:
	case LINK_FAILED:
	case LINK_EXITED:
	case LINK_STATUS:
	case LINK_DOOR:
	case LINK_DEVICES:
	case LINK_NEED:
	case LINK_PARKED:
	default:
		log_warn("the gate sent %s (%u), which is nothing for a node", link_message_name(type), (unsigned)type);
	}
	if (n_fds > used)
		close_all(fds + used, n_fds - used);
}

/* --- Beginning and end ------------------------------------------------------------------------------------------ */

static void on_leave_timeout(void *arg)
{
	struct agent *a = arg;

	if (a->empty) {
		loop_stop(a->loop);
		return;
	}
	/* Their handles are still open, so there is no orderly way out; the next start cleans up. */
	log_error("%zu workers do not end; leaving all the same", pool_count(a->pool, NULL));
	if (a->conf->socket && *a->conf->socket)
		unlink(a->conf->socket);
	_exit(1);
}

static void agent_leave(struct agent *a)
{
	if (a->leaving)
		return;
	a->leaving = true;
	timer_stop(a->status);
	timer_set(a->leave, LEAVE_MS);
	for (struct gate_link *g = gate_links_first(&a->links); g; g = gate_links_next(g)) {
		g->gone = true;
		g->ops->leave(g);
		fetches_gone(pool_fetches(a->pool), g);
	}
	pool_settle_soon(a->pool);
}

static void on_signal(void *arg, int signo)
{
	agent_leave(arg);
}

/* Who started this program may have left a pipe by which it is told: "started", "joined GATE as NAME",
 * "refused WHY". */
static void tell_starter(const struct agent *a, const char *what)
{
	_cleanup_(freep) char *line = xasprintf("%s\n", what);

	if (a->conf->ready_fd && write((int)a->conf->ready_fd, line, strlen(line)) < 0)
		log_debug("nobody hears: %s", what);
}

void agent_given_up(struct gate_link *g, const char *why)
{
	_cleanup_(freep) char *line = xasprintf("refused %s", why);
	struct agent *a = g->agent;

	g->gone = true;
	pool_abandon(a->pool, g);
	fetches_gone(pool_fetches(a->pool), g);
	for (g = gate_links_first(&a->links); g; g = gate_links_next(g))
		if (!g->gone)
			return;
	if (!a->refusal)
		a->refusal = xstrdup(why);
	tell_starter(a, line);
	agent_leave(a);
}

void agent_joined(struct agent *a, const char *gate, const char *name)
{
	_cleanup_(freep) char *line = xasprintf("joined %s as %s", gate, name);

	log_info("%s", line);
	tell_starter(a, line);
}

static int add_links(struct agent *a, struct err *err)
{
	if (*a->conf->socket) {
		/* First the socket: it tells a second node on the same folder that it is one, before anything is
		 * cleaned up. */
		struct gate_link *g = gate_local_new(a->loop, a->conf, a, err);

		if (!g)
			return -1;
		gate_links_push(&a->links, g);
	}
	a->pool = pool_new(a->loop, a->conf, &pool_handler, a, err);
	if (!a->pool)
		return -1;
	if (a->links.n)
		gate_local_open(gate_links_first(&a->links));
	if (gate_remotes_open(&a->remotes, a->loop, a->conf, a, &a->links, err) < 0)
		return -1;
	if (!a->links.n)
		return err_set(err, 0,
			       "there is no gateway to run functions for: join one with --join HOST:PORT --token T "
			       "(`wick token` on the gateway prints the line)");
	return 0;
}

struct agent *agent_new(struct loop *l, const struct node_conf *conf, struct err *err)
{
	struct agent *a = xnew(struct agent);

	*a = (struct agent){.loop = l, .conf = conf, .available_mb = usage_available_mb()};
	a->status = timer_new(l, agent_status, a);
	a->leave = timer_new(l, on_leave_timeout, a);
	a->term = signal_watch_new(l, SIGTERM, on_signal, a);
	a->intr = signal_watch_new(l, SIGINT, on_signal, a);
	if (add_links(a, err) < 0)
		return agent_free(a);
	timer_set(a->status, STATUS_MS);
	tell_starter(a, "started");
	return a;
}

const char *agent_refusal(const struct agent *a)
{
	return a->refusal;
}

struct agent *agent_free(struct agent *a)
{
	struct gate_link *g;

	if (!a)
		return NULL;
	while ((g = gate_links_pop(&a->links)))
		g->ops->free(g);
	gate_remotes_free(a->remotes);
	a->pool = pool_free(a->pool);
	a->status = timer_free(a->status);
	a->leave = timer_free(a->leave);
	a->term = signal_watch_free(a->term);
	a->intr = signal_watch_free(a->intr);
	free(a->refusal);
	free(a);
	return NULL;
}
