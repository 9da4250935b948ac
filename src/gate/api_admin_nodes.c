/* Nodes and their tokens under /_wick/: what is kept of nodes joined with what goes on there now, and changes of both.
 * Owns nothing: node_records.c keeps, nodes.c is connected. */
#include "gate/api_admin_nodes.h"

#include "base/mem.h"
#include "base/time.h"
#include "gate/flow.h"
#include "gate/fn.h"
#include "gate/node_records.h"
#include "gate/nodes.h"

#define TTL_DEFAULT_S 3600
#define USES_MAX      1000000

static void set_time(json_t *j, const char *name, int64_t ms)
{
	char text[TIME_ISO8601_SIZE];

	time_iso8601_ms(ms, text);
	json_object_set_new(j, name, json_string(text));
}

static json_t *labels_json(const struct str *labels, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(labels[i]));
	return list;
}

/* ---- nodes ---- */

static json_t *record_json(const struct node_record *n)
{
	json_t *j = json_object();

	json_set_str(j, "name", n->name);
	json_set_str(j, "key", n->key);
	json_object_set_new(j, "labels", labels_json(n->labels, n->n_labels));
	json_object_set_new(j, "drained", json_boolean(n->drained));
	json_set_str(j, "address", n->address);
	json_set_str(j, "version", n->version);
	json_set_str(j, "cost", n->cost);
	json_object_set_new(j, "created_ms", json_integer(n->created_ms));
	json_object_set_new(j, "seen_ms", json_integer(n->seen_ms));
	set_time(j, "seen", n->seen_ms);
	return j;
}

static json_t *away_json(const struct node_record *n)
{
	json_t *j = record_json(n);

	json_object_set_new(j, "up", json_false());
	json_object_set_new(j, "state", json_string("away"));
	json_object_set_new(j, "why", json_string(""));
	json_object_set_new(j, "workers", json_integer(0));
	json_object_set_new(j, "devices", json_array());
	return j;
}

struct listing {
	json_t *live, *away;
};

/* What a connected node says goes before what was kept of it. */
static void add_record(void *arg, const struct node_record *n)
{
	struct listing *l = arg;
	json_t *one;
	size_t i;

	json_array_foreach(l->live, i, one)
	{
		if (str_eq(json_get_str(one, "name", STR_NULL), n->name)) {
			_cleanup_json_ json_t *kept = record_json(n);

			json_object_update_missing(one, kept);
			return;
		}
	}
	json_array_append_new(l->away, away_json(n));
}

enum step_result admin_get_nodes(struct req *r)
{
	struct listing l = {.live = nodes_json(r->g), .away = json_array()};
	json_t *one;
	size_t i;

	node_records_each(r->g, add_record, &l);
	json_array_foreach(l.live, i, one)
	{
		if (!json_object_get(one, "state"))
			json_object_set_new(one, "state", json_string(json_get_bool(one, "up", false) ? "up" : "away"));
	}
	json_array_extend(l.live, l.away);
	json_decref(l.away);
	return req_reply_json(r, 200, json_pack("{s:o}", "nodes", l.live));
}

enum step_result admin_get_place(struct req *r)
{
	struct function_ref ref;
	struct fn *fn;

	if (!function_ref_parse(r->args[0], &ref))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "%.*s is no name of a function.",
				 STR_ARG(str_sub(r->args[0], 0, 64)));
	fn = fn_find(r->g, ref.name, ref.qualifier);
	if (!fn)
		return req_failf(r, FAIL_NOT_FOUND, "There is no function %.*s.", STR_ARG(str_sub(r->args[0], 0, 64)));
	return req_reply_json(r, 200, nodes_place_json(r->g, fn));
}

/* ---- changes: asked of the records, answered when they are durable ---- */

/* A request's question. */
struct asked {
	struct req *r;
	enum node_result result;
	int error;
	struct str text; /* why not */
	json_t *node;    /* as it is now */
	char *token;     /* its text */
	int64_t expires_ms;
	struct str id;
};

static void answered(void *arg, const struct node_answer *a)
{
	struct asked *q = arg;
	struct arena *arena = &q->r->arena;

	q->result = a->result;
	q->error = a->error;
	q->text = a->text ? arena_str(arena, str_from(a->text)) : STR_NULL;
	q->node = a->node ? record_json(a->node) : NULL;
	if (a->token_text) {
		q->token = arena_dup(arena, str_from(a->token_text));
		q->id = arena_str(arena, a->token->id);
		q->expires_ms = a->token->expires_ms;
	}
	q->r->pending--;
	req_continue(q->r);
}

static struct asked *ask(struct req *r, req_fn *next)
{
	struct asked *q = arena_new(&r->arena, struct asked);

	q->r = r;
	r->api_state = q;
	r->pending++;
	r->run = next;
	return q;
}

/* "there is no node named x" is said as "There is no node named x." */
static enum step_result refuse(struct req *r, const struct asked *q)
{
	static const enum fail fails[] = {
		[NODE_OK] = FAIL_INTERNAL,
		[NODE_TOKEN_UNKNOWN] = FAIL_ACCESS_DENIED,
		[NODE_TOKEN_EXPIRED] = FAIL_ACCESS_DENIED,
		[NODE_TOKEN_USED] = FAIL_ACCESS_DENIED,
		[NODE_OTHER_NAME] = FAIL_ACCESS_DENIED,
		[NODE_NAME_TAKEN] = FAIL_CONFLICT,
		[NODE_INVALID] = FAIL_INVALID_ARGUMENT,
		[NODE_MISSING] = FAIL_NOT_FOUND,
		[NODE_FULL] = FAIL_CONFLICT,
		[NODE_STORE_FAILED] = FAIL_INTERNAL,
	};
	char *text = arena_dup(&r->arena, q->text);

	if (q->result == NODE_STORE_FAILED && q->error < 0)
		return req_fail_errno(r, q->error);
	if (text[0] >= 'a' && text[0] <= 'z')
		text[0] = (char)(text[0] - 'a' + 'A');
	return req_failf(r, fails[q->result], "%s.", text);
}

static enum step_result node_changed(struct req *r)
{
	const struct asked *q = r->api_state;

	return q->result == NODE_OK ? req_reply_json(r, 200, q->node) : refuse(r, q);
}

static enum step_result gone(struct req *r)
{
	const struct asked *q = r->api_state;

	return q->result == NODE_OK ? req_reply_empty(r, 204) : refuse(r, q);
}

/* The body as an object whose members are all known; NULL after req_fail. */
static json_t *read_body(struct req *r, const char *const *known, size_t n)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = r->body.n ? json_parse(buf_str(&r->body), &err) : json_object();
	const char *name;
	json_t *v;

	if (!json_is_object(j)) {
		req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s",
			  err.msg ? err.msg : "it is not an object");
		return NULL;
	}
	json_object_foreach(j, name, v)
	{
		size_t i = 0;

		while (i < n && strcmp(known[i], name) != 0)
			i++;
		if (i == n) {
			req_failf(r, FAIL_INVALID_ARGUMENT, "'%.64s' is unknown here.", name);
			return NULL;
		}
	}
	return steal(&j);
}

/* An array of strings, copied. False after req_fail. */
static bool read_labels(struct req *r, const json_t *list, const char *name, const struct str **ret, size_t *n)
{
	struct str *all;

	*ret = NULL;
	*n = 0;
	if (!list)
		return true;
	if (!json_is_array(list) || json_array_size(list) > NODE_LABELS_MAX) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "%s is not a list of at most %d labels.", name, NODE_LABELS_MAX);
		return false;
	}
	all = arena_new_n(&r->arena, struct str, json_array_size(list) + 1);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct str one = json_str_value(json_array_get(list, i));

		if (!one.p) {
			req_failf(r, FAIL_INVALID_ARGUMENT, "%s[%zu] is not a string.", name, i);
			return false;
		}
		all[(*n)++] = arena_str(&r->arena, one);
	}
	*ret = all;
	return true;
}

static bool read_label_change(struct req *r, const json_t *labels, struct node_change *c)
{
	if (!labels)
		return true;
	if (!json_is_object(labels)) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "labels is not {\"add\": [...], \"remove\": [...]}.");
		return false;
	}
	return read_labels(r, json_object_get(labels, "add"), "labels.add", &c->add, &c->n_add) &&
	       read_labels(r, json_object_get(labels, "remove"), "labels.remove", &c->remove, &c->n_remove);
}

enum step_result admin_post_node(struct req *r)
{
	static const char *const known[] = {"drained", "labels"};
	_cleanup_json_ json_t *j = read_body(r, known, ARRAY_SIZE(known));
	const json_t *drained = json_object_get(j, "drained");
	struct node_change c = {.set_drained = drained != NULL, .drained = json_is_true(drained)};

	if (!j || !read_label_change(r, json_object_get(j, "labels"), &c))
		return STEP_MORE;
	if (drained && !json_is_boolean(drained))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "drained is not true or false.");
	node_records_change(r->g, r->args[0], &c, answered, ask(r, node_changed));
	return STEP_WAIT;
}

enum step_result admin_delete_node(struct req *r)
{
	node_records_remove(r->g, r->args[0], answered, ask(r, gone));
	return STEP_WAIT;
}

/* ---- tokens ---- */

static enum step_result token_made(struct req *r)
{
	const struct asked *q = r->api_state;
	const char *fingerprint = nodes_fingerprint(r->g), *url = r->g->conf.nodes_url;
	_cleanup_(buf_done) struct buf command = BUF_NULL;
	json_t *j;

	if (q->result != NODE_OK)
		return refuse(r, q);
	buf_printf(&command, "wick node --join %s --token %s", url, q->token);
	if (*fingerprint)
		buf_printf(&command, " --fingerprint %s", fingerprint);
	j = json_object();
	json_set_str(j, "id", q->id);
	json_set_str(j, "token", str_from(q->token));
	json_set_str(j, "command", buf_str(&command));
	json_set_str(j, "url", str_from(url));
	json_set_str(j, "fingerprint", str_from(fingerprint));
	json_object_set_new(j, "expires_ms", json_integer(q->expires_ms));
	set_time(j, "expires", q->expires_ms);
	mem_wipe(command.p, command.n);
	return req_reply_json(r, 200, j);
}

enum step_result admin_post_token(struct req *r)
{
	static const char *const known[] = {"name", "labels", "ttl_s", "uses"};
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = read_body(r, known, ARRAY_SIZE(known));
	struct node_token_wish w = {.name = STR("")};
	int64_t ttl_s = TTL_DEFAULT_S, uses = 1;

	if (!j || !read_labels(r, json_object_get(j, "labels"), "labels", &w.labels, &w.n_labels))
		return STEP_MORE;
	if (json_opt_str(j, "name", &w.name, &err) ||
	    json_opt_int(j, "ttl_s", 1, (int64_t)(NODE_TOKEN_TTL_MAX_MS / 1000), &ttl_s, &err) ||
	    json_opt_int(j, "uses", 0, USES_MAX, &uses, &err))
		return req_failf(r, FAIL_INVALID_ARGUMENT, "%s.", err.msg);
	if (!r->g->conf.nodes_url)
		return req_failf(r, FAIL_CONFLICT,
				 "This gateway does not listen for nodes: start it with wick serve --nodes "
				 "0.0.0.0:9001.");
	w.ttl_ms = (uint64_t)ttl_s * 1000;
	w.uses = (uint32_t)uses;
	node_tokens_make(r->g, &w, answered, ask(r, token_made));
	return STEP_WAIT;
}

static void add_token(void *arg, const struct node_token *t)
{
	json_t *j = json_object();

	json_set_str(j, "id", t->id);
	json_set_str(j, "name", t->name);
	json_object_set_new(j, "labels", labels_json(t->labels, t->n_labels));
	json_object_set_new(j, "uses", json_integer(t->uses));
	json_object_set_new(j, "used", json_integer(t->used));
	json_object_set_new(j, "created_ms", json_integer(t->created_ms));
	json_object_set_new(j, "expires_ms", json_integer(t->expires_ms));
	set_time(j, "expires", t->expires_ms);
	json_array_append_new(arg, j);
}

enum step_result admin_get_tokens(struct req *r)
{
	json_t *list = json_array();

	node_tokens_each(r->g, add_token, list);
	return req_reply_json(r, 200, json_pack("{s:o}", "tokens", list));
}

enum step_result admin_delete_token(struct req *r)
{
	node_tokens_revoke(r->g, r->args[0], answered, ask(r, gone));
	return STEP_WAIT;
}
