/* What a worker is started with: its function, its environment with temporary keys of its role, its packages. A node on
 * this machine gets the packages as open files; a remote one asks for those it lacks (node_link_need), and gets no
 * others than it was told of here. What can fail is that a package is not there any more. */
#include "gate/node.h"

#include "base/mem.h"
#include "gate/fn.h"
#include "gate/keys.h"
#include "gate/layers.h"
#include "gate/node_link.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <unistd.h>

#define BOX_API_URL  "http://127.0.0.1:9000" /* node/plan.h, PLAN_API_PORT */
#define PACKAGES_MAX ((size_t)6)             /* the function's, and five layers (AWS Lambda's limit) */

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

struct packages {
	int fds[PACKAGES_MAX];
	size_t n;
	json_t *layers; /* what START says of them; borrowed */
	const char *missing;
};

static void packages_done(struct packages *p)
{
	for (size_t i = 0; i < p->n; i++)
		close(p->fds[i]);
}

/* One that is on its way: as an open file, or by its name to who will ask for it. */
static bool add_package(struct node *n, struct packages *p, struct str sha256, struct str blob)
{
	if (n->link) {
		node_link_offer(n->link, sha256, blob);
		return true;
	}
	p->fds[p->n] = blob_open_fd(n->g->blobs, blob);
	if (p->fds[p->n] < 0)
		return false;
	p->n++;
	return true;
}

/* The packages of a function and its layers. False: missing is what is not there. */
static bool open_packages(struct node *n, const struct function *def, struct packages *p)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct layer layer;

	p->missing = "the code package of the function cannot be read";
	if (!add_package(n, p, def->code_sha256, def->code_blob))
		return false;
	p->missing = "a layer of the function is not there any more";
	for (size_t i = 0; i < MIN(def->n_layers, PACKAGES_MAX - 1); i++) {
		json_t *j = json_object();

		json_array_append_new(p->layers, j);
		if (!layer_get(n->g, &a, def->layers[i], &layer) || !add_package(n, p, layer.sha256, layer.blob))
			return false;
		json_set_str(j, "arn", def->layers[i]);
		json_set_str(j, "sha256", layer.sha256);
	}
	return true;
}

static json_t *order(struct packages *p)
{
	json_t *body = json_object();

	*p = (struct packages){.layers = json_array()};
	json_object_set_new(body, "layers", p->layers);
	return body;
}

void node_start(struct node *n, struct worker *w)
{
	const struct function *def = &w->fn->def;
	struct packages p;
	json_t *body = order(&p);

	if (!open_packages(n, def, &p)) {
		log_error("function %.*s: %s", STR_ARG(def->name), p.missing);
		json_decref(body);
		packages_done(&p);
		worker_failed(w, STR("Runtime.CodeMissing"), str_from(p.missing), STR_NULL);
		return;
	}
	json_object_set(body, "function", w->fn->doc);
	json_object_set_new(body, "env", worker_env(w));
	json_object_set_new(body, "region", json_string(w->g->conf.s.region));
	json_object_set_new(body, "keys_expire_ms", json_integer(w->keys_expire_ms));
	json_object_set_new(body, "provisioned", json_boolean(w->provisioned));
	if (w->n_leases)
		json_object_set_new(body, "slices", node_leases_json(w));
	json_object_set_new(body, "park", json_boolean(w->fn->opt.device.park));
	node_say(n, LINK_START, w->id, body, p.fds, p.n);
	packages_done(&p);
}

void node_prepare(struct node *n, const struct function *f)
{
	struct packages p;
	json_t *body = order(&p);

	json_object_set_new(body, "function", function_to_json(f));
	if (open_packages(n, f, &p))
		node_say(n, LINK_PREPARE, node_no_id, body, p.fds, p.n);
	else
		json_decref(body);
	packages_done(&p);
}
