/* Nodes: the gate's side of the link. Owns the peer; turns the node's reports into calls on workers, and the wishes of
 * workers into messages. When the link is lost the node is taken for dead: its workers die with it or are killed by it
 * (node/agent.c), so nothing is kept. */
#include "gate/nodes.h"

#include "base/mem.h"
#include "gate/fn.h"
#include "gate/keys.h"
#include "gate/layers.h"
#include "gate/queue.h"
#include "link/peer.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <unistd.h>

#define BOX_API_URL  "http://127.0.0.1:9000" /* node/plan.h, PLAN_API_PORT */
#define PACKAGES_MAX ((size_t)6)             /* the function's, and five layers (AWS Lambda's limit) */

struct nodes {
	struct gate *g;
	struct peer *local;
	bool up; /* HELLO has been received */
	unsigned cpus;
	uint64_t memory_mb;      /* what the node offers for workers */
	uint64_t memory_free_mb; /* what could be used now, as it said last */
	char *name;
	json_t *status; /* the last STATUS */
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

/* ---- from the node ---- */

static void hello(struct nodes *n, const json_t *body)
{
	int64_t protocol = json_get_int(body, "protocol", 0);

	if (protocol != LINK_PROTOCOL)
		log_warn("node speaks link protocol %lld, this gate %d", (long long)protocol, LINK_PROTOCOL);
	n->memory_mb = (uint64_t)MAX(json_get_int(body, "memory_mb", 0), (int64_t)0);
	n->cpus = (unsigned)MAX(json_get_int(body, "cpus", 1), (int64_t)1);
	n->memory_free_mb = n->memory_mb;
	n->up = true;
	free(n->name);
	n->name = str_dup(json_get_str(body, "name", STR("?")));
	log_info("node %.*s is here: %llu MB for workers", STR_ARG(json_get_str(body, "name", STR("?"))),
		 (unsigned long long)n->memory_mb);
	queue_pump_all(n->g);
}

static void status(struct nodes *n, const json_t *body)
{
	uint64_t before = n->memory_free_mb;

	json_decref(n->status);
	n->status = json_deep_copy(body);
	n->memory_free_mb = (uint64_t)MAX(json_get_int(body, "memory_free_mb", 0), (int64_t)0);
	if (n->memory_free_mb > before)
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
	case LINK_DOOR:
		if (w && n_fds >= 1) {
			worker_door(w, fds[0]);
			used = 1;
		}
		break;
	case LINK_FAILED:
		if (w)
			worker_failed(w, json_get_str(body, "type", STR("Runtime.StartFailed")),
				      json_get_str(body, "error", STR("the worker could not be started")),
				      json_get_str(body, "output", STR_NULL));
		break;
	case LINK_EXITED:
		if (w && json_object_get(body, "device_type"))
			worker_lost_slice(w, json_get_str(body, "device_type", STR_NULL),
					  json_get_str(body, "device_error", STR_NULL));
		if (w)
			worker_exited(w, (int)json_get_int(body, "exit", 0), (int)json_get_int(body, "signal", 0),
				      json_get_bool(body, "oom", false));
		break;
	case LINK_STATUS:
		status(n, body);
		break;
	case LINK_DEVICES:
		log_debug("the node tells %zu devices", json_array_size(json_object_get(body, "devices")));
		break;
	case LINK_START:
	case LINK_STOP:
	case LINK_FREEZE:
	case LINK_LEARNT:
	case LINK_PREPARE:
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
	json_decref(n->status);
	free(n->name);
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
	/* In the box Wick listens at a place of its own; the name by which others reach it is for links to give away.
	 */
	if (w->fn->opt.network != NETWORK_NONE)
		set(env, "AWS_ENDPOINT_URL", STR(BOX_API_URL));
	set(env, "WICK_PUBLIC_URL", str_from(g->conf.url));
	set(env, "AWS_REGION", str_from(g->conf.s.region));
	set(env, "AWS_DEFAULT_REGION", str_from(g->conf.s.region));
	set(env, "_HANDLER", def->handler);
	set(env, "AWS_LAMBDA_FUNCTION_NAME", def->name);
	set(env, "AWS_LAMBDA_FUNCTION_VERSION", def->version);
	snprintf(number, sizeof(number), "%u", def->memory_mb);
	set(env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str_from(number));
	set(env, "AWS_LAMBDA_INITIALIZATION_TYPE", w->provisioned ? STR("provisioned-concurrency") : STR("on-demand"));
	_cleanup_(freep) char *execution = xasprintf("AWS_Lambda_%.*s", STR_ARG(def->runtime));
	set(env, "AWS_EXECUTION_ENV", str_from(execution));
	_cleanup_(freep) char *group = xasprintf("/aws/lambda/%.*s", STR_ARG(def->name));
	set(env, "AWS_LAMBDA_LOG_GROUP_NAME", str_from(group));
	snprintf(stream, sizeof(stream), "[%.*s]%s", STR_ARG(def->version), w->id_text);
	set(env, "AWS_LAMBDA_LOG_STREAM_NAME", str_from(stream));
	set(env, "WICK_WORKER_ID", str_from(w->id_text));
	return env;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* The packages of a function and its layers, open, with what START says of the layers. False: *why is what is missing.
 */
static bool open_packages(struct gate *g, const struct function *def, json_t *layers, int fds[static PACKAGES_MAX],
			  size_t *n, const char **why)
{
	struct arena a = ARENA_NULL;
	struct layer layer;
	bool ok = true;

	*why = "the code package of the function cannot be read";
	fds[0] = blob_open_fd(g->blobs, def->code_blob);
	*n = fds[0] >= 0;
	for (size_t i = 0; *n && ok && i < MIN(def->n_layers, PACKAGES_MAX - 1); i++) {
		json_t *j = json_object();

		*why = "a layer of the function is not there any more";
		ok = layer_get(g, &a, def->layers[i], &layer) && (fds[*n] = blob_open_fd(g->blobs, layer.blob)) >= 0;
		*n += ok;
		if (ok) {
			json_set_str(j, "arn", def->layers[i]);
			json_set_str(j, "sha256", layer.sha256);
		}
		json_array_append_new(layers, j);
	}
	arena_done(&a);
	return *n && ok;
}

void nodes_start_worker(struct gate *g, struct worker *w)
{
	const struct function *def = &w->fn->def;
	json_t *body = json_object(), *layers = json_array();
	int fds[PACKAGES_MAX];
	const char *why;
	size_t n;

	json_object_set_new(body, "layers", layers);
	if (open_packages(g, def, layers, fds, &n, &why)) {
		json_object_set(body, "function", w->fn->doc);
		json_object_set_new(body, "env", worker_env(w));
		json_object_set_new(body, "region", json_string(g->conf.s.region));
		peer_send(g->nodes->local, LINK_START, w->id, body, fds, n);
	} else {
		log_error("function %.*s: %s", STR_ARG(def->name), why);
		worker_failed(w, STR("Runtime.CodeMissing"), str_from(why), STR_NULL);
	}
	close_all(fds, n);
	json_decref(body);
}

void nodes_prepare(struct gate *g, const struct function *f)
{
	_cleanup_json_ json_t *body = NULL;
	json_t *layers;
	int fds[PACKAGES_MAX];
	const char *why;
	size_t n;

	if (!nodes_any_up(g))
		return;
	body = json_object();
	layers = json_array();
	json_object_set_new(body, "layers", layers);
	json_object_set_new(body, "function", function_to_json(f));
	if (open_packages(g, f, layers, fds, &n, &why))
		peer_send(g->nodes->local, LINK_PREPARE, no_id, body, fds, n);
	close_all(fds, n);
}

void nodes_freeze(struct gate *g, const uint8_t id[static 16], bool on)
{
	_cleanup_json_ json_t *body = json_pack("{s:b}", "on", on);

	peer_send(g->nodes->local, LINK_FREEZE, id, body, NULL, 0);
}

void nodes_learnt(struct gate *g, const struct fn *fn, struct str imports)
{
	_cleanup_json_ json_t *body = json_object();

	json_set_str(body, "code_sha256", fn->def.code_sha256);
	json_set_str(body, "imports", imports);
	peer_send(g->nodes->local, LINK_LEARNT, no_id, body, NULL, 0);
}

uint64_t nodes_memory_free_mb(const struct gate *g)
{
	return g->nodes->memory_free_mb;
}

json_t *nodes_json(const struct gate *g)
{
	const struct nodes *n = g->nodes;
	json_t *node = n->status ? json_deep_copy(n->status) : json_object();

	json_set_str(node, "name", str_from(n->name ? n->name : "?"));
	json_object_set_new(node, "up", json_boolean(n->up));
	json_object_set_new(node, "cpus", json_integer(n->cpus));
	json_object_set_new(node, "memory_mb", json_integer((json_int_t)n->memory_mb));
	return json_pack("[o]", node);
}

void nodes_stop_worker(struct gate *g, const uint8_t id[static 16], const char *reason, unsigned grace_ms)
{
	_cleanup_json_ json_t *body = json_pack("{s:s, s:i}", "reason", reason, "grace_ms", (int)grace_ms);

	if (g->nodes && g->nodes->local)
		peer_send(g->nodes->local, LINK_STOP, id, body, NULL, 0);
}
