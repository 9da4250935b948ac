/* The Lambda API: its operations as a table, the names in its paths, how its refusals look, and the one way in which a
 * function's document is changed. Source: AWS Lambda API Reference. Nothing is kept between requests; documents are the
 * store's. */
#include "gate/api_lambda.h"

#include "base/id.h"
#include "base/time.h"
#include "gate/match.h"
#include "gate/records.h"
#include "model/layer.h"
#include "sys/clock.h"
#include "sys/log.h"

#define FN               "/2015-03-31/functions/{}"
#define LAYER            "/2018-10-31/layers/{}/versions"
#define PROVISIONED      "/2019-09-30/functions/{}/provisioned-concurrency"
#define URL              "/2021-10-31/functions/{}/url"
#define CHANGE_TRIES_MAX 8

static req_fn not_built;

#define BARE(name, method, path, run)                                                                                  \
	{                                                                                                              \
		name, "lambda:" name, method, path, REQ_BODY_NONE, 0, run                                              \
	}
#define WITH_BODY(name, method, path, run)                                                                             \
	{                                                                                                              \
		name, "lambda:" name, method, path, REQ_BODY_BUFFER, LAMBDA_BODY_MAX, run                              \
	}

static const struct operation operations[] = {
	{"CreateFunction", "lambda:CreateFunction", "POST", "/2015-03-31/functions", REQ_BODY_BUFFER,
	 LAMBDA_CODE_BODY_MAX, lambda_create},
	{"ListFunctions", "lambda:ListFunctions", "GET", "/2015-03-31/functions", REQ_BODY_NONE, 0, lambda_list},
	{"GetFunction", "lambda:GetFunction", "GET", FN, REQ_BODY_NONE, 0, lambda_get},
	{"DeleteFunction", "lambda:DeleteFunction", "DELETE", FN, REQ_BODY_NONE, 0, lambda_delete},
	{"UpdateFunctionCode", "lambda:UpdateFunctionCode", "PUT", FN "/code", REQ_BODY_BUFFER, LAMBDA_CODE_BODY_MAX,
	 lambda_update_code},
	{"GetFunctionConfiguration", "lambda:GetFunctionConfiguration", "GET", FN "/configuration", REQ_BODY_NONE, 0,
	 lambda_get_conf},
	{"UpdateFunctionConfiguration", "lambda:UpdateFunctionConfiguration", "PUT", FN "/configuration",
	 REQ_BODY_BUFFER, LAMBDA_BODY_MAX, lambda_update_conf},
	{"Invoke", "lambda:InvokeFunction", "POST", FN "/invocations", REQ_BODY_BUFFER, 6291456, lambda_invoke, true},
	{"InvokeWithResponseStream", "lambda:InvokeFunction", "POST",
	 "/2021-11-15/functions/{}/response-streaming-invocations", REQ_BODY_BUFFER, 6291456, lambda_invoke_stream,
	 true},
	{"InvokeAsync", "lambda:InvokeFunction", "POST", "/2014-11-13/functions/{}/invoke-async", REQ_BODY_BUFFER,
	 LAMBDA_BODY_MAX, lambda_invoke_async},
	{"AddPermission", "lambda:AddPermission", "POST", FN "/policy", REQ_BODY_BUFFER, LAMBDA_BODY_MAX,
	 lambda_add_permission},
	{"GetPolicy", "lambda:GetPolicy", "GET", FN "/policy", REQ_BODY_NONE, 0, lambda_get_policy},
	{"RemovePermission", "lambda:RemovePermission", "DELETE", FN "/policy/{}", REQ_BODY_NONE, 0,
	 lambda_remove_permission},
	{"TagResource", "lambda:TagResource", "POST", "/2017-03-31/tags/{}", REQ_BODY_BUFFER, LAMBDA_BODY_MAX,
	 lambda_tag},
	{"UntagResource", "lambda:UntagResource", "DELETE", "/2017-03-31/tags/{}", REQ_BODY_NONE, 0, lambda_untag},
	{"ListTags", "lambda:ListTags", "GET", "/2017-03-31/tags/{}", REQ_BODY_NONE, 0, lambda_list_tags},
	{"GetAccountSettings", "lambda:GetAccountSettings", "GET", "/2016-08-19/account-settings", REQ_BODY_NONE, 0,
	 lambda_account},
	WITH_BODY("PublishVersion", "POST", FN "/versions", lambda_publish_version),
	BARE("ListVersionsByFunction", "GET", FN "/versions", lambda_list_versions),
	WITH_BODY("CreateAlias", "POST", FN "/aliases", lambda_create_alias),
	BARE("ListAliases", "GET", FN "/aliases", lambda_list_aliases),
	BARE("GetAlias", "GET", FN "/aliases/{}", lambda_get_alias),
	WITH_BODY("UpdateAlias", "PUT", FN "/aliases/{}", lambda_update_alias),
	BARE("DeleteAlias", "DELETE", FN "/aliases/{}", lambda_delete_alias),
	BARE("ListLayers", "GET", "/2018-10-31/layers", lambda_list_layers),
	{"PublishLayerVersion", "lambda:PublishLayerVersion", "POST", LAYER, REQ_BODY_BUFFER, LAMBDA_CODE_BODY_MAX,
	 lambda_publish_layer},
	BARE("ListLayerVersions", "GET", LAYER, lambda_list_layer_versions),
	BARE("GetLayerVersion", "GET", LAYER "/{}", lambda_get_layer),
	BARE("DeleteLayerVersion", "DELETE", LAYER "/{}", lambda_delete_layer),
	WITH_BODY("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{}/concurrency", lambda_put_reserved),
	BARE("DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/{}/concurrency", lambda_delete_reserved),
	BARE("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{}/concurrency", lambda_get_reserved),
	WITH_BODY("PutProvisionedConcurrencyConfig", "PUT", PROVISIONED, lambda_put_provisioned),
	BARE("GetProvisionedConcurrencyConfig", "GET", PROVISIONED, lambda_get_provisioned),
	BARE("DeleteProvisionedConcurrencyConfig", "DELETE", PROVISIONED, lambda_delete_provisioned),
	WITH_BODY("CreateFunctionUrlConfig", "POST", URL, lambda_create_url),
	BARE("GetFunctionUrlConfig", "GET", URL, lambda_get_url),
	WITH_BODY("UpdateFunctionUrlConfig", "PUT", URL, lambda_update_url),
	BARE("DeleteFunctionUrlConfig", "DELETE", URL, lambda_delete_url),
	BARE("ListFunctionUrlConfigs", "GET", "/2021-10-31/functions/{}/urls", lambda_list_urls),
};

/* What AWS has and Wick has not: named, so that nobody takes a refusal for a typing error. */
#define NOT_BUILT(name, method, path)                                                                                  \
	{                                                                                                              \
		name, "lambda:" name, method, path, REQ_BODY_BUFFER, LAMBDA_BODY_MAX, not_built                        \
	}
static const struct operation missing[] = {
	NOT_BUILT("AddLayerVersionPermission", "POST", "/2018-10-31/layers/{}/versions/{}/policy"),
	NOT_BUILT("GetLayerVersionPolicy", "GET", "/2018-10-31/layers/{}/versions/{}/policy"),
	NOT_BUILT("RemoveLayerVersionPermission", "DELETE", "/2018-10-31/layers/{}/versions/{}/policy/{}"),
	NOT_BUILT("CreateEventSourceMapping", "POST", "/2015-03-31/event-source-mappings"),
	NOT_BUILT("ListEventSourceMappings", "GET", "/2015-03-31/event-source-mappings"),
	NOT_BUILT("GetEventSourceMapping", "GET", "/2015-03-31/event-source-mappings/{}"),
	NOT_BUILT("UpdateEventSourceMapping", "PUT", "/2015-03-31/event-source-mappings/{}"),
	NOT_BUILT("DeleteEventSourceMapping", "DELETE", "/2015-03-31/event-source-mappings/{}"),
	NOT_BUILT("PutFunctionEventInvokeConfig", "PUT", "/2019-09-25/functions/{}/event-invoke-config"),
	NOT_BUILT("UpdateFunctionEventInvokeConfig", "POST", "/2019-09-25/functions/{}/event-invoke-config"),
	NOT_BUILT("GetFunctionEventInvokeConfig", "GET", "/2019-09-25/functions/{}/event-invoke-config"),
	NOT_BUILT("DeleteFunctionEventInvokeConfig", "DELETE", "/2019-09-25/functions/{}/event-invoke-config"),
	NOT_BUILT("ListFunctionEventInvokeConfigs", "GET", "/2019-09-25/functions/{}/event-invoke-config/list"),
	NOT_BUILT("GetFunctionCodeSigningConfig", "GET", "/2020-06-30/functions/{}/code-signing-config"),
	NOT_BUILT("PutFunctionCodeSigningConfig", "PUT", "/2020-06-30/functions/{}/code-signing-config"),
	NOT_BUILT("DeleteFunctionCodeSigningConfig", "DELETE", "/2020-06-30/functions/{}/code-signing-config"),
	NOT_BUILT("CreateCodeSigningConfig", "POST", "/2020-04-22/code-signing-configs"),
	NOT_BUILT("ListCodeSigningConfigs", "GET", "/2020-04-22/code-signing-configs"),
	NOT_BUILT("GetCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{}"),
	NOT_BUILT("UpdateCodeSigningConfig", "PUT", "/2020-04-22/code-signing-configs/{}"),
	NOT_BUILT("DeleteCodeSigningConfig", "DELETE", "/2020-04-22/code-signing-configs/{}"),
	NOT_BUILT("ListFunctionsByCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{}/functions"),
	NOT_BUILT("GetRuntimeManagementConfig", "GET", "/2021-07-20/functions/{}/runtime-management-config"),
	NOT_BUILT("PutRuntimeManagementConfig", "PUT", "/2021-07-20/functions/{}/runtime-management-config"),
	NOT_BUILT("GetFunctionRecursionConfig", "GET", "/2024-08-31/functions/{}/recursion-config"),
	NOT_BUILT("PutFunctionRecursionConfig", "PUT", "/2024-08-31/functions/{}/recursion-config"),
	NOT_BUILT("GetFunctionScalingConfig", "GET", "/2025-11-30/functions/{}/function-scaling-config"),
	NOT_BUILT("PutFunctionScalingConfig", "PUT", "/2025-11-30/functions/{}/function-scaling-config"),
};

static enum step_result not_built(struct req *r)
{
	return req_failf(r, FAIL_NOT_IMPLEMENTED, "%s is not built into this release of Wick yet.", r->op->name);
}

/* ---- which function ---- */

static bool find_target(struct req *r)
{
	struct lambda_state *state = arena_new(&r->arena, struct lambda_state);
	struct lambda_target *t = &state->target;
	struct str asked = req_param(r, "Qualifier");
	struct function_ref ref;

	if (!function_ref_parse(r->args[0], &ref)) {
		struct violations v = {0};

		violations_add(&v, r->args[0], "functionName", "Member must satisfy regular expression pattern: %s",
			       LAMBDA_NAME_PATTERN);
		violations_refuse(r, &v);
		return false;
	}
	t->name = arena_str(&r->arena, ref.name);
	t->qualifier = arena_str(&r->arena, ref.qualifier);
	if (asked.n && t->qualifier.n && !str_eq(asked, t->qualifier)) {
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "The derived qualifier from the function name does not match the specified qualifier.");
		return false;
	}
	if (asked.n)
		t->qualifier = asked;
	r->api_state = state;
	r->resource = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:function:%.*s", r->g->conf.s.region,
					    r->g->conf.s.account, STR_ARG(t->name)));
	return true;
}

static bool names_function(const struct operation *op)
{
	return strstr(op->path, "/functions/{}") || strstr(op->path, "/tags/{}");
}

static const struct operation *route(struct req *r)
{
	bool known, known_missing;
	const struct operation *op =
		match_operation(operations, ARRAY_SIZE(operations), r->method, r->path, &r->arena, r->args, &known);

	if (!op)
		op = match_operation(missing, ARRAY_SIZE(missing), r->method, r->path, &r->arena, r->args,
				     &known_missing);
	if (!op) {
		req_fail(r, known || known_missing ? FAIL_METHOD_NOT_ALLOWED : FAIL_UNKNOWN_OPERATION);
		return NULL;
	}
	if (op->run != not_built && names_function(op))
		return find_target(r) ? op : NULL;
	r->resource = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:%s:%.*s", r->g->conf.s.region,
					    r->g->conf.s.account, strstr(op->path, "/layers") ? "layer" : "function",
					    STR_ARG(r->args[0].n ? r->args[0] : STR("*"))));
	return op;
}

const struct lambda_target *lambda_target(struct req *r)
{
	return &((struct lambda_state *)r->api_state)->target;
}

enum step_result lambda_not_found(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	return req_failf(r, FAIL_NOT_FOUND, "Function not found: %.*s%s%.*s", STR_ARG(r->resource),
			 t->qualifier.n ? ":" : "", STR_ARG(t->qualifier));
}

bool lambda_only_function(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	if (t->qualifier.n == 0 || str_eqz(t->qualifier, "$LATEST"))
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT,
		  "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
		  "operation. Please specify either a function name or an unqualified function ARN.");
	return false;
}

bool lambda_only_latest(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	if (t->qualifier.n == 0 || str_eqz(t->qualifier, "$LATEST"))
		return true;
	lambda_not_found(r);
	return false;
}

enum step_result lambda_stale_revision(struct req *r)
{
	return req_failf(r, FAIL_PRECONDITION,
			 "The Revision Id provided does not match the latest Revision Id. Call the "
			 "GetFunction/GetAlias API to retrieve the latest Revision Id");
}

enum step_result lambda_fail_store(struct req *r, int store_result)
{
	if (store_result == STORE_E_NO_LAYER)
		return req_failf(r, FAIL_INVALID_ARGUMENT, "A layer version of the function does not exist any more.");
	if (store_result == STORE_E_MISSING)
		return lambda_not_found(r);
	if (store_result == STORE_E_PRECONDITION || store_result == STORE_E_EXISTS)
		return req_failf(r, FAIL_CONFLICT,
				 "The operation cannot be performed at this time. An update is in progress for "
				 "resource: %.*s",
				 STR_ARG(r->resource));
	return store_result < 0 ? req_fail_errno(r, store_result) : req_fail(r, FAIL_INTERNAL);
}

bool lambda_is_number(struct str qualifier)
{
	uint64_t n;

	return str_to_u64(qualifier, &n);
}

/* ---- documents ---- */

json_t *lambda_body(struct req *r)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	json_t *j = r->body.n ? json_parse(buf_str(&r->body), &err) : json_object();

	if (j && json_is_object(j))
		return j;
	req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s",
		  err.msg ? err.msg : "it is not an object");
	json_decref(j);
	return NULL;
}

bool lambda_text(struct req *r, const json_t *j, const char *name, struct str *ret)
{
	const json_t *v = json_object_get(j, name);

	if (!v || json_is_null(v))
		return true;
	if (!json_is_string(v)) {
		req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to a String", name);
		return false;
	}
	*ret = arena_str(&r->arena, json_str_value(v));
	return true;
}

bool lambda_number(struct req *r, const json_t *j, const char *name, int64_t *ret, bool *given)
{
	const json_t *v = json_object_get(j, name);

	*given = v && !json_is_null(v);
	if (!*given)
		return true;
	if (!json_is_integer(v)) {
		req_failf(r, FAIL_SERIALIZATION, "%s can not be converted to an Integer", name);
		return false;
	}
	*ret = json_integer_value(v);
	return true;
}

static void copy_pairs(struct req *r, struct kv *kv, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		kv[i].k = arena_str(&r->arena, kv[i].k);
		kv[i].v = arena_str(&r->arena, kv[i].v);
	}
}

/* Out of the JSON document, whose life is shorter than the request's. */
static void copy_strings(struct req *r, struct function *f)
{
	struct str *all[] = {&f->name,      &f->version,      &f->arn,          &f->runtime,      &f->handler,
			     &f->role,      &f->description,  &f->code_sha256,  &f->code_blob,    &f->revision_id,
			     &f->policy,    &f->tracing_mode, &f->architecture, &f->package_type, &f->dead_letter,
			     &f->change_id, &f->snap_start};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		*all[i] = arena_str(&r->arena, *all[i]);
	for (size_t i = 0; i < f->n_layers; i++)
		f->layers[i] = arena_str(&r->arena, f->layers[i]);
	copy_pairs(r, f->env, f->n_env);
	copy_pairs(r, f->tags, f->n_tags);
}

/* 0, STORE_E_MISSING, or -1 after req_fail. */
static int read_version(struct req *r, struct str name, struct str version, struct function *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct str doc;
	int res = store_get_function(store_reader(r->g->store), &r->arena, name, version, &doc);

	if (res == STORE_E_MISSING)
		return res;
	if (res != 0) {
		req_fail_errno(r, res);
		return -1;
	}
	j = json_parse(doc, &err);
	if (!j || function_from_json(ret, j, &r->arena, &err) < 0) {
		log_error("function %.*s: its stored document is unreadable: %s", STR_ARG(name), err.msg);
		req_fail(r, FAIL_INTERNAL);
		return -1;
	}
	copy_strings(r, ret);
	return 0;
}

bool lambda_read(struct req *r, struct str name, struct str version, struct function *ret)
{
	int res = read_version(r, name, version, ret);

	if (res == STORE_E_MISSING)
		lambda_not_found(r);
	return res == 0;
}

bool lambda_read_target(struct req *r, struct function *ret)
{
	const struct lambda_target *t = lambda_target(r);
	struct str version = t->qualifier.n ? t->qualifier : STR("$LATEST");
	struct alias al;

	if (version.p[0] != '$' && !lambda_is_number(version)) {
		if (!record_alias(r->g, &r->arena, t->name, version, &al)) {
			lambda_not_found(r);
			return false;
		}
		version = al.version;
	}
	return lambda_read(r, t->name, version, ret);
}

bool lambda_function_exists(struct req *r)
{
	struct lambda_state *state = r->api_state;

	if (functions_get(r->g, state->target.name))
		return true;
	state->target.qualifier = STR("");
	lambda_not_found(r);
	return false;
}

void lambda_put(struct req *r, struct store_txn *t, enum put_mode mode, const struct function *f,
		struct str expect_revision)
{
	_cleanup_json_ json_t *j = function_to_json(f);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct layer_ref *layers = arena_new_n(&r->arena, struct layer_ref, f->n_layers + 1);
	struct function_row row = {.name = f->name,
				   .version = f->version,
				   .revision = f->revision_id,
				   .code_blob = f->code_blob,
				   .layers = layers};

	for (size_t i = 0; i < f->n_layers; i++) {
		struct layer_name name;

		if (layer_name_parse(f->layers[i], &name))
			layers[row.n_layers++] = (struct layer_ref){.name = name.name, .version = name.version};
	}
	json_write(&b, j);
	row.doc = buf_str(&b);
	store_put_function(t, mode, &row, expect_revision);
}

struct str lambda_new_revision(struct req *r)
{
	uint8_t id[UUID_SIZE];
	char text[UUID_TEXT_SIZE];

	random_bytes(id, sizeof(id));
	uuid_make_v4(id);
	uuid_format(id, text);
	return arena_str(&r->arena, str_from(text));
}

void lambda_touch(struct req *r, struct function *f, bool changed)
{
	f->revision_id = lambda_new_revision(r);
	f->modified_ms = r->now_ms;
	if (changed)
		f->change_id = f->revision_id;
}

void lambda_next_version(struct req *r, struct function *f, struct str description, struct function *ret)
{
	f->last_version++;
	*ret = *f;
	ret->version = str_from(arena_printf(&r->arena, "%llu", (unsigned long long)f->last_version));
	ret->revision_id = lambda_new_revision(r);
	ret->last_version = 0;
	ret->policy = STR("");
	if (description.p)
		ret->description = description;
}

static enum step_result change_run(struct req *r);

static enum step_result change_refused(struct req *r, struct lambda_change *c)
{
	return c->failed ? c->failed(r) : STEP_MORE;
}

static enum step_result change_committed(struct req *r)
{
	struct lambda_change *c = lambda_changed(r);
	bool raced = r->store_result == STORE_E_PRECONDITION || r->store_result == STORE_E_EXISTS;

	if (r->store_result == 0) {
		if (!c->quiet || c->restart)
			functions_changed(r->g, c->name);
		return c->answer(r);
	}
	if (raced && ++c->tries < CHANGE_TRIES_MAX)
		return change_run(r);
	lambda_fail_store(r, r->store_result);
	return change_refused(r, c);
}

/* Sets c->published; true: it is a new version. */
static bool publish(struct req *r, struct lambda_change *c)
{
	struct str last = str_from(arena_printf(&r->arena, "%llu", (unsigned long long)c->f.last_version));

	if (c->f.last_version && read_version(r, c->name, last, &c->published) == 0 && c->published.change_id.n &&
	    str_eq(c->published.change_id, c->f.change_id))
		return false;
	if (!r->fail)
		lambda_next_version(r, &c->f, c->description, &c->published);
	return !r->fail;
}

static void touch_changed(struct req *r, struct lambda_change *c, const json_t *before)
{
	_cleanup_json_ json_t *after = function_to_json(&c->f);
	int64_t modified_ms = c->f.modified_ms;

	lambda_touch(r, &c->f, !c->f.change_id.n || !function_docs_alike(before, after));
	if (c->quiet)
		c->f.modified_ms = modified_ms;
}

static enum step_result change_run(struct req *r)
{
	struct lambda_change *c = lambda_changed(r);
	_cleanup_json_ json_t *before = NULL;
	struct str read_revision;
	struct store_txn *t;
	bool fresh;

	if (!lambda_read(r, c->name, c->version.n ? c->version : STR("$LATEST"), &c->f))
		return change_refused(r, c);
	read_revision = c->f.revision_id;
	if (c->expect.n && !str_eq(c->expect, read_revision)) {
		lambda_stale_revision(r);
		return change_refused(r, c);
	}
	before = function_to_json(&c->f);
	c->edit(r, &c->f, c->arg);
	if (r->fail)
		return change_refused(r, c);
	touch_changed(r, c, before);
	fresh = c->publish && publish(r, c);
	if (r->fail)
		return change_refused(r, c);
	if (c->quiet && c->publish && !fresh)
		return c->answer(r); /* nothing but a version was asked for, and it is there */
	t = store_begin(r->g->store);
	lambda_put(r, t, PUT_REPLACE, &c->f, read_revision);
	if (fresh)
		lambda_put(r, t, PUT_CREATE, &c->published, STR(""));
	return req_commit(r, t, change_committed);
}

enum step_result lambda_change(struct req *r, struct lambda_change *c)
{
	((struct lambda_state *)r->api_state)->change = c;
	return change_run(r);
}

struct lambda_change *lambda_changed(struct req *r)
{
	return ((struct lambda_state *)r->api_state)->change;
}

/* ---- pages ---- */

bool lambda_page(struct req *r, uint32_t max, struct str *after, uint32_t *n)
{
	struct str marker = req_param(r, "Marker"), items = req_param(r, "MaxItems");
	_cleanup_(buf_done) struct buf key = BUF_NULL;
	struct violations v = {0};
	uint64_t asked = max;
	const char *why;

	if (items.p && !str_to_u64(items, &asked))
		asked = 0;
	why = limit_number(&r->arena, (int64_t)MIN(asked, (uint64_t)INT64_MAX), 1, 10000);
	if (why)
		violations_add(&v, items, "maxItems", "%s", why);
	if (violations_refuse(r, &v))
		return false;
	if (!base64url_decode(&key, marker)) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid pagination token: Marker was not made by %s.",
			  r->op->name);
		return false;
	}
	*after = arena_str(&r->arena, buf_str(&key));
	*n = (uint32_t)MIN(asked, max);
	return true;
}

void lambda_next_marker(json_t *j, bool truncated, struct str last)
{
	_cleanup_(buf_done) struct buf marker = BUF_NULL;

	if (!truncated) {
		json_object_set_new(j, "NextMarker", json_null());
		return;
	}
	base64url_encode(&marker, last.p, last.n);
	json_set_str(j, "NextMarker", buf_str(&marker));
}

/* ---- refusals ---- */

void violations_add(struct violations *v, struct str value, const char *member, const char *fmt, ...)
{
	va_list ap;

	if (v->n++)
		buf_adds(&v->text, "; ");
	if (value.p)
		buf_printf(&v->text,
			   "Value '%.*s' at '%s' failed to satisfy constraint: ", STR_ARG(str_sub(value, 0, 512)),
			   member);
	else
		buf_printf(&v->text, "Value null at '%s' failed to satisfy constraint: ", member);
	va_start(ap, fmt);
	buf_vprintf(&v->text, fmt, ap);
	va_end(ap);
}

bool violations_refuse(struct req *r, struct violations *v)
{
	bool refused = v->n > 0;

	if (refused)
		req_failf(r, FAIL_VALIDATION, "%u validation error%s detected: %.*s", v->n, v->n > 1 ? "s" : "",
			  STR_ARG(buf_str(&v->text)));
	buf_done(&v->text);
	return refused;
}

/* The SDKs of AWS read the message from "message" or from "Message", by error and by language: both are there. */
static void render_fail(struct req *r)
{
	const struct fail_info *info = fail_info(r->fail);
	struct str message = r->fail_message.n ? r->fail_message : str_from(info->message);
	/* The two refusals that S3 answers with 400 and the other services with 403 (IAM "Common errors"). */
	bool of_token = r->fail == FAIL_BAD_TOKEN || r->fail == FAIL_EXPIRED_TOKEN;
	json_t *j = json_object();

	req_set_header(r, "x-amzn-ErrorType", str_from(info->lambda_type));
	if (info->status == 429 || r->fail == FAIL_NO_NODE)
		req_set_header(r, "Retry-After", STR("1"));
	json_object_set_new(j, "Type", json_string(info->status < 500 ? "User" : "Service"));
	json_set_str(j, "Message", message);
	json_set_str(j, "message", message);
	req_reply_json(r, of_token ? 403 : info->status, j);
}

const struct api api_lambda = {
	.name = "lambda",
	.service = "lambda",
	.route = route,
	.render_fail = render_fail,
};
