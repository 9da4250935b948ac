/* Listens for the gate on a unix socket and turns its messages into calls of the pool, and the pool's events into
 * messages. There is one gate: a new connection takes the place of the one before as soon as it says HELLO (a mere
 * connection may be somebody who looks whether the socket is in use), and with a connection go its workers, whose lanes
 * were held by the gate that is gone.
 *
 * The agent owns the socket, the peers and the pool. A message it cannot understand is logged and skipped. */
#include "node/agent.h"

#include "base/mem.h"
#include "link/peer.h"
#include "node/pool.h"
#include "node/usage.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_MS      10000
#define STATUS_SOON_MS 200
#define LEAVE_MS       5000 /* killed workers that the kernel does not let go are not waited for longer */

struct agent {
	struct loop *loop;
	const struct node_conf *conf;
	int sock;
	struct watch *watch;
	struct peer *peer;     /* the gate */
	struct peer *newcomer; /* connected, and has not said HELLO yet */
	struct pool *pool;
	struct timer *status, *leave;
	struct signal_watch *term, *intr;
	uint64_t available_mb; /* of the machine, before there were workers */
	bool leaving, status_due;
};

static const uint8_t no_id[16];

static void say(struct peer *p, enum link_message type, const uint8_t *id, json_t *body /* taken */, const int *fds,
		size_t n_fds)
{
	_cleanup_json_ json_t *j = body;

	if (!j || !peer_is_up(p))
		return;
	if (!peer_send(p, type, id, j, fds, n_fds))
		log_warn("message %s to the gate could not be sent", link_message_name(type));
}

/* What workers could still use: the node's share, less what they use now, and never more than the machine has. */
static uint64_t memory_free_mb(const struct agent *a)
{
	uint64_t now = usage_available_mb(), used = a->available_mb > now ? a->available_mb - now : 0;
	uint64_t share = a->conf->memory_mb > used ? a->conf->memory_mb - used : 0;

	return now ? MIN(share, now) : a->conf->memory_mb;
}

static void agent_status(void *arg)
{
	struct agent *a = arg;

	a->status_due = false;
	say(a->peer, LINK_STATUS, no_id,
	    json_pack("{s:I, s:I, s:o}", "memory_free_mb", (json_int_t)memory_free_mb(a), "workers",
		      (json_int_t)pool_count(a->pool), "zygotes", pool_zygotes(a->pool)),
	    NULL, 0);
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

/* --- From the pool ------------------------------------------------------------------------------------------- */

static void on_started(void *arg, const uint8_t id[static 16], int pid, uint64_t prepare_us, int lane, int log_pipe)
{
	struct agent *a = arg;
	const int fds[] = {lane, log_pipe};

	say(a->peer, LINK_STARTED, id, json_pack("{s:i, s:I}", "pid", pid, "prepare_us", (json_int_t)prepare_us), fds,
	    ARRAY_SIZE(fds));
	status_soon(a);
}

static void on_door(void *arg, const uint8_t id[static 16], int fd)
{
	struct agent *a = arg;

	say(a->peer, LINK_DOOR, id, json_object(), &fd, 1);
	close(fd);
}

static void on_failed(void *arg, const uint8_t id[static 16], const char *type, const char *error, struct str output)
{
	struct agent *a = arg;
	json_t *body = json_pack("{s:s}", "type", type);

	json_set_str(body, "error", str_from(error));
	if (output.n)
		json_set_str(body, "output", output);
	log_warn("a worker could not be started: %s: %s", type, error);
	say(a->peer, LINK_FAILED, id, body, NULL, 0);
	status_soon(a);
}

static void on_exited(void *arg, const uint8_t id[static 16], const struct worker_end *end)
{
	struct agent *a = arg;
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
	say(a->peer, LINK_EXITED, id, body, NULL, 0);
	status_soon(a);
}

static void on_changed(void *arg)
{
	status_soon(arg);
}

static void on_devices(void *arg)
{
	struct agent *a = arg;

	if (!a->leaving)
		say(a->peer, LINK_DEVICES, no_id, json_pack("{s:o}", "devices", pool_devices(a->pool)), NULL, 0);
}

static void on_empty(void *arg)
{
	struct agent *a = arg;

	if (a->leaving)
		loop_stop(a->loop);
}

static const struct pool_handler pool_handler = {
	.started = on_started,
	.door = on_door,
	.failed = on_failed,
	.exited = on_exited,
	.changed = on_changed,
	.devices = on_devices,
	.empty = on_empty,
};

/* --- From the gate ------------------------------------------------------------------------------------------- */

static json_t *labels_of(const struct node_conf *conf)
{
	struct str rest = str_from(conf->labels), label;
	json_t *list = json_array();

	while (rest.n) {
		str_cut(rest, ',', &label, &rest);
		label = str_trim(label);
		if (label.n)
			json_array_append_new(list, json_str(label));
	}
	return list;
}

static void on_up(void *arg, struct peer *p)
{
	struct agent *a = arg;

	say(p, LINK_HELLO, no_id,
	    json_pack("{s:i, s:s, s:s, s:I, s:i, s:o, s:o, s:s, s:b}", "protocol", LINK_PROTOCOL, "version",
		      WICK_VERSION, "name", a->conf->name, "memory_mb", (json_int_t)a->conf->memory_mb, "cpus",
		      (int)a->conf->cpus, "devices", pool_devices(a->pool), "labels", labels_of(a->conf), "cost",
		      a->conf->cost ? a->conf->cost : "0", "share_roles", (int)a->conf->share_devices),
	    NULL, 0);
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* Greets the gate; a newcomer becomes it. */
static void on_hello(struct agent *a, struct peer *p, const json_t *body)
{
	int64_t protocol = json_get_int(body, "protocol", 0);

	if (protocol != LINK_PROTOCOL)
		log_warn("the gate speaks protocol %lld of the link, this node %d", (long long)protocol, LINK_PROTOCOL);
	if (p == a->peer)
		return;
	if (a->peer) {
		log_warn("a new gate takes the place of the one before");
		peer_free(a->peer);
		pool_abandon(a->pool);
	}
	a->peer = steal(&a->newcomer);
	agent_status(a);
	on_devices(a); /* they may have changed since this end said HELLO */
}

static void on_message(void *arg, struct peer *p, enum link_message type, const uint8_t id[static 16],
		       const json_t *body, int *fds, size_t n_fds)
{
	struct agent *a = arg;
	size_t used = 0;

	if (p != a->peer && type != LINK_HELLO) {
		log_warn("%s before HELLO on a new connection; ignored", link_message_name(type));
		close_all(fds, n_fds);
		return;
	}
	switch (type) {
	case LINK_HELLO:
		on_hello(a, p, body);
		break;
	case LINK_START:
		used = MIN(n_fds, (size_t)PREPARE_ZIPS_MAX);
		pool_start(a->pool, id, body, fds, used);
		break;
	case LINK_STOP:
		pool_stop(a->pool, id, (uint64_t)MAX(json_get_int(body, "grace_ms", 0), (int64_t)0));
		break;
	case LINK_FREEZE:
		pool_freeze(a->pool, id, json_get_bool(body, "on", false));
		break;
	case LINK_PREPARE:
		used = MIN(n_fds, (size_t)PREPARE_ZIPS_MAX);
		pool_prepare(a->pool, body, fds, used);
		break;
	case LINK_LEARNT:
		pool_learn(a->pool, json_get_str(body, "code_sha256", STR_NULL),
			   json_get_str(body, "imports", STR_NULL));
		break;
	case LINK_STARTED:
	case LINK_FAILED:
	case LINK_EXITED:
	case LINK_STATUS:
	case LINK_DOOR:
	case LINK_DEVICES:
	default:
		log_warn("the gate sent %s (%u), which is nothing for a node", link_message_name(type), (unsigned)type);
	}
	close_all(fds + used, n_fds - used);
}

static void on_down(void *arg, struct peer *p, const char *reason)
{
	struct agent *a = arg;

	if (p == a->newcomer) {
		a->newcomer = NULL; /* an accepted peer frees itself */
		return;
	}
	log_info("the gate is gone (%s)", reason);
	a->peer = NULL;
	timer_stop(a->status);
	pool_abandon(a->pool);
}

static const struct peer_handler peer_handler = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
};

static void on_connection(void *arg, int events)
{
	struct agent *a = arg;
	int fd = accept4(a->sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (a->leaving) {
		close(fd);
		return;
	}
	peer_free(a->newcomer);
	a->newcomer = peer_accept(a->loop, fd, &peer_handler, a);
}

/* --- Beginning and end ------------------------------------------------------------------------------------------ */

static void on_leave_timeout(void *arg)
{
	struct agent *a = arg;

	/* Their handles are still open, so there is no orderly way out; the next start cleans up. */
	log_error("%zu workers do not end; leaving all the same", pool_count(a->pool));
	unlink(a->conf->socket);
	_exit(1);
}

static void on_signal(void *arg, int signo)
{
	struct agent *a = arg;

	if (a->leaving)
		return;
	a->leaving = true;
	a->watch = watch_free(a->watch);
	a->peer = peer_free(a->peer);
	a->newcomer = peer_free(a->newcomer);
	timer_stop(a->status);
	timer_set(a->leave, LEAVE_MS);
	pool_abandon(a->pool);
}

/* A gate that runs as a user of its own owns the data folder, and only the owner of the socket may connect. */
static int give_socket_to_owner(const struct node_conf *conf, struct err *err)
{
	struct stat st;

	if (getuid() != 0)
		return 0;
	if (stat(conf->data, &st) < 0 || chown(conf->socket, st.st_uid, st.st_gid) < 0)
		return err_set(err, errno, "give %s to the owner of %s", conf->socket, conf->data);
	return 0;
}

struct agent *agent_new(struct loop *l, const struct node_conf *conf, struct err *err)
{
	struct agent *a = xnew(struct agent);

	*a = (struct agent){.loop = l, .conf = conf, .sock = -1, .available_mb = usage_available_mb()};
	a->status = timer_new(l, agent_status, a);
	a->leave = timer_new(l, on_leave_timeout, a);
	a->term = signal_watch_new(l, SIGTERM, on_signal, a);
	a->intr = signal_watch_new(l, SIGINT, on_signal, a);
	/* First the socket: it tells a second node on the same folder that it is one, before anything is cleaned up. */
	a->sock = unix_listen(conf->socket, err);
	if (a->sock < 0 || give_socket_to_owner(conf, err) < 0)
		return agent_free(a);
	a->pool = pool_new(l, conf, &pool_handler, a, err);
	if (!a->pool)
		return agent_free(a);
	a->watch = watch_new(l, a->sock, WATCH_READ, on_connection, a);
	return a;
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	a->peer = peer_free(a->peer);
	a->newcomer = peer_free(a->newcomer);
	a->watch = watch_free(a->watch);
	if (a->sock >= 0) {
		close(a->sock);
		unlink(a->conf->socket);
	}
	a->pool = pool_free(a->pool);
	a->status = timer_free(a->status);
	a->leave = timer_free(a->leave);
	a->term = signal_watch_free(a->term);
	a->intr = signal_watch_free(a->intr);
	free(a);
	return NULL;
}
