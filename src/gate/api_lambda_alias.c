/* Aliases: CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases, and the one way in which an alias' record is
 * changed. An alias names one version, or two with a weight; the store sees to it that they are there. Source: AWS
 * Lambda API Reference. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "gate/records.h"

#include <math.h>

#define PAGE_MAX         50
#define CHANGE_TRIES_MAX 8

#define ALIAS_PATTERN   "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
#define VERSION_PATTERN "(\\$LATEST|[0-9]+)"

static json_t *alias_json(struct req *r, const struct alias *al)
{
	json_t *j = json_object();

	json_object_set_new(j, "AliasArn", json_sprintf("%.*s:%.*s", STR_ARG(r->resource), STR_ARG(al->name)));
	json_set_str(j, "Name", al->name);
	json_set_str(j, "FunctionVersion", al->version);
	json_set_str(j, "Description", al->description);
	json_set_str(j, "RevisionId", al->revision);
	if (al->other.n) {
		json_t *weights = json_object();

		json_object_setn_new_nocheck(weights, al->other.p, al->other.n, json_real(al->weight));
		json_object_set_new(j, "RoutingConfig", json_pack("{s:o}", "AdditionalVersionWeights", weights));
	}
	return j;
}

static enum step_result no_alias(struct req *r, struct str name)
{
	return req_failf(r, FAIL_NOT_FOUND, "Cannot find alias arn: %.*s:%.*s", STR_ARG(r->resource), STR_ARG(name));
}

/* ---- what a client says ---- */

static bool is_alias_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= 128 && !lambda_is_number(s);
}

static void read_weight(struct req *r, const json_t *weights, struct violations *v, struct alias *al)
{
	const char *name = json_object_iter_key(json_object_iter((json_t *)weights));
	const json_t *weight = name ? json_object_get(weights, name) : NULL;

	al->other = STR("");
	al->weight = 0;
	if (json_object_size(weights) > 1)
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Number of items in AdditionalVersionWeights cannot be greater than 1");
	if (r->fail || !name)
		return;
	if (!json_is_number(weight)) {
		req_failf(r, FAIL_SERIALIZATION, "AdditionalVersionWeights can not be converted to a map of Doubles");
		return;
	}
	al->other = arena_str(&r->arena, str_from(name));
	al->weight = json_number_value(weight);
	if (!lambda_is_number(al->other) && !str_eqz(al->other, "$LATEST"))
		violations_add(v, al->other, "routingConfig.additionalVersionWeights",
			       "Map keys must satisfy constraint: [Member must have length less than or equal to "
			       "1024, Member must satisfy regular expression pattern: [0-9]+]");
	if (!isfinite(al->weight) || al->weight < 0 || al->weight > 1)
		violations_add(v, str_from(arena_printf(&r->arena, "%g", al->weight)),
			       "routingConfig.additionalVersionWeights",
			       "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
			       "Member must have value greater than or equal to 0.0]");
}

static void read_routing(struct req *r, const json_t *j, struct violations *v, struct alias *al)
{
	const json_t *routing = json_object_get(j, "RoutingConfig");
	const json_t *weights = json_object_get(routing, "AdditionalVersionWeights");

	if (!routing || json_is_null(routing))
		return;
	if (!json_is_object(routing) || (weights && !json_is_object(weights) && !json_is_null(weights)))
		req_failf(r, FAIL_SERIALIZATION, "RoutingConfig can not be converted to a structure");
	else
		read_weight(r, weights, v, al);
}

/* Into al, over what it says already; true: it may be stored. */
static bool read_alias(struct req *r, const json_t *j, struct alias *al)
{
	struct violations v = {0};
	const char *why;

	if (!lambda_text(r, j, "FunctionVersion", &al->version) || !lambda_text(r, j, "Description", &al->description))
		return false;
	why = limit_text(&r->arena, al->description, LIMIT_DESCRIPTION);
	if (why)
		violations_add(&v, al->description, "description", "%s", why);
	if (!al->version.p)
		violations_add(&v, STR_NULL, "functionVersion", "Member must not be null");
	else if (!lambda_is_number(al->version) && !str_eqz(al->version, "$LATEST"))
		violations_add(&v, al->version, "functionVersion", "Member must satisfy regular expression pattern: %s",
			       VERSION_PATTERN);
	read_routing(r, j, &v, al);
	if (r->fail) {
		buf_done(&v.text);
		return false;
	}
	if (violations_refuse(r, &v))
		return false;
	if (al->other.n && (str_eqz(al->version, "$LATEST") || str_eqz(al->other, "$LATEST")))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "$LATEST is not supported for an alias pointing to more than 1 version");
	else if (al->other.n && str_eq(al->version, al->other))
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Invalid function version %.*s. Function version %.*s is already included in routing "
			  "configuration.",
			  STR_ARG(al->version), STR_ARG(al->version));
	return !r->fail;
}

/* ---- storing ---- */

static void put_alias(struct req *r, struct store_txn *t, enum put_mode mode, struct alias *al, struct str expect)
{
	_cleanup_json_ json_t *j = NULL;
	_cleanup_(buf_done) struct buf doc = BUF_NULL;

	al->revision = lambda_new_revision(r);
	j = alias_to_json(al);
	json_write(&doc, j);
	store_put_record(t, mode,
			 &(struct record){.kind = RECORD_ALIAS,
					  .function = lambda_target(r)->name,
					  .key = al->name,
					  .doc = buf_str(&doc),
					  .revision = al->revision,
					  .version = al->version,
					  .other = al->other},
			 expect, 0);
}

/* The function, or one of the versions, is not there. */
static enum step_result missing_version(struct req *r, const struct alias *al)
{
	struct str versions[] = {al->version, al->other}, doc;

	if (!lambda_function_exists(r))
		return STEP_MORE;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i].n && store_get_function(store_reader(r->g->store), &r->arena, lambda_target(r)->name,
							versions[i], &doc) == STORE_E_MISSING)
			return req_failf(r, FAIL_NOT_FOUND, "Function not found: %.*s:%.*s", STR_ARG(r->resource),
					 STR_ARG(versions[i]));
	return no_alias(r, al->name);
}

static enum step_result change_run(struct req *r);

static struct lambda_alias_change *changed_alias(struct req *r)
{
	return ((struct lambda_state *)r->api_state)->alias_change;
}

static enum step_result change_refused(struct req *r, struct lambda_alias_change *c)
{
	return c->failed ? c->failed(r) : STEP_MORE;
}

static enum step_result change_committed(struct req *r)
{
	struct lambda_alias_change *c = changed_alias(r);

	if (r->store_result == 0) {
		functions_changed(r->g, lambda_target(r)->name);
		return c->answer(r);
	}
	if (r->store_result == STORE_E_PRECONDITION && ++c->tries < CHANGE_TRIES_MAX)
		return change_run(r);
	if (r->store_result == STORE_E_MISSING)
		missing_version(r, &c->al);
	else
		lambda_fail_store(r, r->store_result);
	return change_refused(r, c);
}

static enum step_result change_run(struct req *r)
{
	struct lambda_alias_change *c = changed_alias(r);
	struct store_txn *t;
	struct str read_revision;

	if (!record_alias(r->g, &r->arena, lambda_target(r)->name, c->name, &c->al)) {
		if (lambda_function_exists(r))
			no_alias(r, c->name);
		return change_refused(r, c);
	}
	read_revision = c->al.revision;
	if (c->expect.n && !str_eq(c->expect, read_revision)) {
		lambda_stale_revision(r);
		return change_refused(r, c);
	}
	c->edit(r, &c->al, c->arg);
	if (r->fail)
		return change_refused(r, c);
	t = store_begin(r->g->store);
	put_alias(r, t, PUT_REPLACE, &c->al, read_revision);
	return req_commit(r, t, change_committed);
}

enum step_result lambda_change_alias(struct req *r, struct lambda_alias_change *c)
{
	((struct lambda_state *)r->api_state)->alias_change = c;
	return change_run(r);
}

/* ---- create, get, update, delete ---- */

static enum step_result created(struct req *r)
{
	const struct alias *al = &changed_alias(r)->al;

	if (r->store_result == STORE_E_MISSING)
		return missing_version(r, al);
	if (r->store_result == STORE_E_EXISTS)
		return req_failf(r, FAIL_CONFLICT, "Alias already exists: %.*s:%.*s", STR_ARG(r->resource),
				 STR_ARG(al->name));
	if (r->store_result != 0)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_json(r, 201, alias_json(r, al));
}

enum step_result lambda_create_alias(struct req *r)
{
	struct lambda_alias_change *c = arena_new(&r->arena, struct lambda_alias_change);
	struct alias *al = &c->al;
	_cleanup_json_ json_t *j = NULL;
	struct violations v = {0};
	struct store_txn *t;

	if (!lambda_only_function(r) || !(j = lambda_body(r)) || !lambda_text(r, j, "Name", &al->name))
		return STEP_MORE;
	if (!is_alias_name(al->name))
		violations_add(&v, al->name, "name", "Member must satisfy regular expression pattern: %s",
			       ALIAS_PATTERN);
	if (violations_refuse(r, &v) || !read_alias(r, j, al))
		return STEP_MORE;
	((struct lambda_state *)r->api_state)->alias_change = c;
	t = store_begin(r->g->store);
	put_alias(r, t, PUT_CREATE, al, STR(""));
	return req_commit(r, t, created);
}

enum step_result lambda_get_alias(struct req *r)
{
	struct alias al;

	if (!lambda_only_function(r))
		return STEP_MORE;
	if (!record_alias(r->g, &r->arena, lambda_target(r)->name, r->args[1], &al))
		return lambda_function_exists(r) ? no_alias(r, r->args[1]) : STEP_MORE;
	return req_reply_json(r, 200, alias_json(r, &al));
}

struct update {
	struct lambda_alias_change change;
	json_t *body; /* until the change is over */
};

static void edit_alias(struct req *r, struct alias *al, void *arg)
{
	const struct update *u = arg;

	read_alias(r, u->body, al);
}

static enum step_result update_failed(struct req *r)
{
	struct update *u = container_of(changed_alias(r), struct update, change);

	json_decref(steal(&u->body));
	return STEP_MORE;
}

static enum step_result updated(struct req *r)
{
	update_failed(r);
	return req_reply_json(r, 200, alias_json(r, &changed_alias(r)->al));
}

enum step_result lambda_update_alias(struct req *r)
{
	struct update *u = arena_new(&r->arena, struct update);

	if (!lambda_only_function(r) || !(u->body = lambda_body(r)))
		return STEP_MORE;
	u->change = (struct lambda_alias_change){
		.name = r->args[1], .edit = edit_alias, .answer = updated, .failed = update_failed, .arg = u};
	((struct lambda_state *)r->api_state)->alias_change = &u->change;
	if (!lambda_text(r, u->body, "RevisionId", &u->change.expect))
		return update_failed(r);
	return lambda_change_alias(r, &u->change);
}

static enum step_result deleted(struct req *r)
{
	/* An alias that is gone already is what was asked for. */
	if (r->store_result != 0 && r->store_result != STORE_E_MISSING)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_empty(r, 204);
}

enum step_result lambda_delete_alias(struct req *r)
{
	struct store_txn *t;

	if (!lambda_only_function(r) || !lambda_function_exists(r))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_delete_record(t, RECORD_ALIAS, lambda_target(r)->name, r->args[1]);
	return req_commit(r, t, deleted);
}

/* ---- list ---- */

/* Those of a version are told apart here: a function has few aliases. */
enum step_result lambda_list_aliases(struct req *r)
{
	struct str version = req_param(r, "FunctionVersion"), after, last = STR_NULL;
	struct record *all;
	json_t *j, *list;
	bool truncated;
	uint32_t max;
	size_t n;
	int res;

	if (!lambda_only_function(r) || !lambda_page(r, PAGE_MAX, &after, &max) || !lambda_function_exists(r))
		return STEP_MORE;
	res = store_list_records(store_reader(r->g->store), &r->arena, RECORD_ALIAS, lambda_target(r)->name, after,
				 UINT32_MAX - 1, &all, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	list = json_array();
	truncated = false;
	for (size_t i = 0; i < n && !truncated; i++) {
		struct alias al;

		if ((version.n && !str_eq(all[i].version, version) && !str_eq(all[i].other, version)) ||
		    !record_alias(r->g, &r->arena, all[i].function, all[i].key, &al))
			continue;
		truncated = json_array_size(list) == max;
		if (!truncated) {
			json_array_append_new(list, alias_json(r, &al));
			last = all[i].key;
		}
	}
	json_object_set_new(j, "Aliases", list);
	lambda_next_marker(j, truncated && last.n, last);
	return req_reply_json(r, 200, j);
}
