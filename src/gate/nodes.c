/* Nodes: the gate's side of the link. Owns the peer; turns the node's reports into calls on workers, and the wishes of
 * workers into messages. When the link is lost the node is taken for dead: its workers die with it or are killed by it
 * (node/agent.c), so nothing is kept. */
#include "gate/nodes.h"

#include "base/mem.h"
#include "gate/fn.h"
#include "gate/keys.h"
#include "gate/queue.h"
#include "link/peer.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <unistd.h>

struct nodes {
	struct gate *g;
	struct peer *local;
	bool up; /* HELLO has been received */
	unsigned cpus;
	uint64_t memory_mb; /* what the node offers for workers */
};

static const uint8_t no_id[16];

bool nodes_any_up(const struct gate *g)
{
	return g->nodes && g->nodes->up;
}

uint64_t nodes_memory_mb(const struct gate *g)
{
	return g->nodes->memory_mb;
}

unsigned nodes_cpus(const struct gate *g)
{
	return g->nodes->cpus;
}

unsigned nodes_starts_at_once(const struct gate *g)
{
	return MAX(4 * g->nodes->cpus, 8u);
}

/* ---- from the node ---- */

static void hello(struct nodes *n, const json_t *body)
{
	int64_t protocol = json_get_int(body, "protocol", 0);

	if (protocol != LINK_PROTOCOL)
		log_warn("node speaks link protocol %lld, this gate %d", (long long)protocol, LINK_PROTOCOL);
	n->memory_mb = (uint64_t)MAX(json_get_int(body, "memory_mb", 0), (int64_t)0);
	n->cpus = (unsigned)MAX(json_get_int(body, "cpus", 1), (int64_t)1);
	n->up = true;
	log_info("node %.*s is here: %llu MB for workers", STR_ARG(json_get_str(body, "name", STR("?"))),
		 (unsigned long long)n->memory_mb);
	queue_pump_all(n->g);
}

static void message(void *arg, struct peer *p, enum link_message type, const uint8_t id[static 16], const json_t *body,
		    int *fds, size_t n_fds)
{
	struct nodes *n = arg;
	struct worker *w = pool_find(n->g, id);
	size_t used = 0;

	switch (type) {
	case LINK_HELLO:
		hello(n, body);
		break;
	case LINK_STARTED:
		if (w && n_fds >= 2) {
			worker_started(w, fds[0], fds[1]);
			used = 2;
		}
		break;
	case LINK_FAILED:
		if (w)
			worker_failed(w, json_get_str(body, "type", STR("Runtime.StartFailed")),
				      json_get_str(body, "error", STR("the worker could not be started")));
		break;
	case LINK_EXITED:
		if (w)
			worker_exited(w, (int)json_get_int(body, "exit", 0), (int)json_get_int(body, "signal", 0),
				      json_get_bool(body, "oom", false));
		break;
	case LINK_STATUS:
		break;
	case LINK_START:
	case LINK_STOP:
	case LINK_FREEZE:
	case LINK_LEARNT:
		log_warn("node sent %d, which is the gate's to send", (int)type);
		break;
	}
	for (size_t i = used; i < n_fds; i++)
		close(fds[i]);
}

static void up(void *arg, struct peer *p)
{
	_cleanup_json_ json_t *body = json_pack("{s:i, s:s}", "protocol", LINK_PROTOCOL, "version", WICK_VERSION);

	peer_send(p, LINK_HELLO, no_id, body, NULL, 0);
}

static void down(void *arg, struct peer *p, const char *reason)
{
	struct nodes *n = arg;

	if (n->up)
		log_warn("the local node is gone: %s", reason);
	n->up = false;
	pool_node_down(n->g);
}

static const struct peer_handler handler = {
	.up = up,
	.message = message,
	.down = down,
};

struct nodes *nodes_open(struct gate *g)
{
	struct nodes *n = xnew(struct nodes);

	n->g = g;
	n->local = peer_dial(g->loop, g->conf.socket, &handler, n);
	return n;
}

struct nodes *nodes_free(struct nodes *n)
{
	if (!n)
		return NULL;
	peer_free(n->local);
	free(n);
	return NULL;
}

/* ---- to the node ---- */

static void set(json_t *env, const char *name, struct str value)
{
	json_set_str(env, name, value);
}

static json_t *worker_env(struct worker *w)
{
	const struct function *def = &w->fn->def;
	struct gate *g = w->g;
	json_t *env = json_object();
	struct temporary_key key;
	char number[32], stream[96];
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < def->n_env; i++) {
		_cleanup_(freep) char *name = str_dup(def->env[i].k);

		set(env, name, def->env[i].v);
	}
	keys_make_temporary(g, def->name, def->role, now_ms, &key);
	w->keys_expire_ms = key.expires_ms;
	set(env, "AWS_ACCESS_KEY_ID", str_from(key.access_key));
	set(env, "AWS_SECRET_ACCESS_KEY", str_from(key.secret));
	set(env, "AWS_SESSION_TOKEN", buf_str(&key.token));
	buf_done(&key.token);
	mem_wipe(&key, sizeof(key));
	set(env, "AWS_ENDPOINT_URL", str_from(g->conf.url));
	set(env, "AWS_REGION", str_from(g->conf.s.region));
	set(env, "AWS_DEFAULT_REGION", str_from(g->conf.s.region));
	set(env, "_HANDLER", def->handler);
	set(env, "AWS_LAMBDA_FUNCTION_NAME", def->name);
	set(env, "AWS_LAMBDA_FUNCTION_VERSION", def->version);
	snprintf(number, sizeof(number), "%u", def->memory_mb);
	set(env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str_from(number));
	set(env, "AWS_LAMBDA_INITIALIZATION_TYPE", STR("on-demand"));
	set(env, "AWS_EXECUTION_ENV", STR("AWS_Lambda_python3.11"));
	_cleanup_(freep) char *group = xasprintf("/aws/lambda/%.*s", STR_ARG(def->name));
	set(env, "AWS_LAMBDA_LOG_GROUP_NAME", str_from(group));
	snprintf(stream, sizeof(stream), "[%.*s]%s", STR_ARG(def->version), w->id_text);
	set(env, "AWS_LAMBDA_LOG_STREAM_NAME", str_from(stream));
	set(env, "WICK_WORKER_ID", str_from(w->id_text));
	return env;
}

void nodes_start_worker(struct gate *g, struct worker *w)
{
	const struct function *def = &w->fn->def;
	int code = blob_open_fd(g->blobs, def->code_blob);
	json_t *body;

	if (code < 0) {
		log_error("function %.*s: its code package cannot be opened: %s", STR_ARG(def->name), strerror(-code));
		worker_failed(w, STR("Runtime.CodeMissing"), STR("the code package of the function cannot be read"));
		return;
	}
	body = json_object();
	json_object_set(body, "function", w->fn->doc);
	json_object_set_new(body, "env", worker_env(w));
	json_object_set_new(body, "region", json_string(g->conf.s.region));
	peer_send(g->nodes->local, LINK_START, w->id, body, &code, 1);
	json_decref(body);
	close(code);
}

void nodes_stop_worker(struct gate *g, const uint8_t id[static 16], const char *reason, unsigned grace_ms)
{
	_cleanup_json_ json_t *body = json_pack("{s:s, s:i}", "reason", reason, "grace_ms", (int)grace_ms);

	if (g->nodes && g->nodes->local)
		peer_send(g->nodes->local, LINK_STOP, id, body, NULL, 0);
}
