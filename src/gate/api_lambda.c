/* The Lambda API: its operations as a table, the names in its paths, how its refusals look, and the one way in which a
 * function's document is changed. Source: AWS Lambda API Reference. Nothing is kept between requests; documents are the
 * store's. */
#include "gate/api_lambda.h"

#include "base/id.h"
#include "base/time.h"
#include "gate/match.h"
#include "model/layer.h"
#include "sys/clock.h"
#include "sys/log.h"

#define FN               "/2015-03-31/functions/{}"
#define CHANGE_TRIES_MAX 8

static req_fn not_built;

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
};

/* What AWS has and Wick has not: named, so that nobody takes a refusal for a typing error. */
#define NOT_BUILT(name, method, path)                                                                                  \
	{                                                                                                              \
		name, "lambda:" name, method, path, REQ_BODY_BUFFER, LAMBDA_BODY_MAX, not_built                        \
	}
static const struct operation missing[] = {
	NOT_BUILT("PublishVersion", "POST", FN "/versions"),
	NOT_BUILT("ListVersionsByFunction", "GET", FN "/versions"),
	NOT_BUILT("CreateAlias", "POST", FN "/aliases"),
	NOT_BUILT("ListAliases", "GET", FN "/aliases"),
	NOT_BUILT("GetAlias", "GET", FN "/aliases/{}"),
	NOT_BUILT("UpdateAlias", "PUT", FN "/aliases/{}"),
	NOT_BUILT("DeleteAlias", "DELETE", FN "/aliases/{}"),
	NOT_BUILT("ListLayers", "GET", "/2018-10-31/layers"),
	NOT_BUILT("PublishLayerVersion", "POST", "/2018-10-31/layers/{}/versions"),
	NOT_BUILT("ListLayerVersions", "GET", "/2018-10-31/layers/{}/versions"),
	NOT_BUILT("GetLayerVersion", "GET", "/2018-10-31/layers/{}/versions/{}"),
	NOT_BUILT("DeleteLayerVersion", "DELETE", "/2018-10-31/layers/{}/versions/{}"),
	NOT_BUILT("AddLayerVersionPermission", "POST", "/2018-10-31/layers/{}/versions/{}/policy"),
	NOT_BUILT("GetLayerVersionPolicy", "GET", "/2018-10-31/layers/{}/versions/{}/policy"),
	NOT_BUILT("RemoveLayerVersionPermission", "DELETE", "/2018-10-31/layers/{}/versions/{}/policy/{}"),
	NOT_BUILT("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{}/concurrency"),
	NOT_BUILT("DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/{}/concurrency"),
	NOT_BUILT("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{}/concurrency"),
	NOT_BUILT("PutProvisionedConcurrencyConfig", "PUT", "/2019-09-30/functions/{}/provisioned-concurrency"),
	NOT_BUILT("GetProvisionedConcurrencyConfig", "GET", "/2019-09-30/functions/{}/provisioned-concurrency"),
	NOT_BUILT("DeleteProvisionedConcurrencyConfig", "DELETE", "/2019-09-30/functions/{}/provisioned-concurrency"),
	NOT_BUILT("CreateFunctionUrlConfig", "POST", "/2021-10-31/functions/{}/url"),
	NOT_BUILT("GetFunctionUrlConfig", "GET", "/2021-10-31/functions/{}/url"),
	NOT_BUILT("UpdateFunctionUrlConfig", "PUT", "/2021-10-31/functions/{}/url"),
	NOT_BUILT("DeleteFunctionUrlConfig", "DELETE", "/2021-10-31/functions/{}/url"),
	NOT_BUILT("ListFunctionUrlConfigs", "GET", "/2021-10-31/functions/{}/urls"),
	NOT_BUILT("InvokeWithResponseStream", "POST", "/2021-11-15/functions/{}/response-streaming-invocations"),
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
	r->resource = str_from(
		arena_printf(&r->arena, "arn:aws:lambda:%s:%s:function:*", r->g->conf.s.region, r->g->conf.s.account));
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

bool lambda_only_latest(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	if (t->qualifier.n == 0 || str_eqz(t->qualifier, "$LATEST"))
		return true;
	lambda_not_found(r);
	return false;
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
	struct str *all[] = {&f->name,   &f->version,      &f->arn,          &f->runtime,      &f->handler,
			     &f->role,   &f->description,  &f->code_sha256,  &f->code_blob,    &f->revision_id,
			     &f->policy, &f->tracing_mode, &f->architecture, &f->package_type, &f->dead_letter};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		*all[i] = arena_str(&r->arena, *all[i]);
	for (size_t i = 0; i < f->n_layers; i++)
		f->layers[i] = arena_str(&r->arena, f->layers[i]);
	copy_pairs(r, f->env, f->n_env);
	copy_pairs(r, f->tags, f->n_tags);
}

bool lambda_read(struct req *r, struct str name, struct function *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct str doc;
	int res = store_get_function(store_reader(r->g->store), &r->arena, name, STR("$LATEST"), &doc);

	if (res == STORE_E_MISSING) {
		lambda_not_found(r);
		return false;
	}
	if (res != 0) {
		req_fail_errno(r, res);
		return false;
	}
	j = json_parse(doc, &err);
	if (!j || function_from_json(ret, j, &r->arena, &err) < 0) {
		log_error("function %.*s: its stored document is unreadable: %s", STR_ARG(name), err.msg);
		req_fail(r, FAIL_INTERNAL);
		return false;
	}
	copy_strings(r, ret);
	return true;
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

static void new_revision(struct req *r, struct function *f)
{
	uint8_t id[UUID_SIZE];
	char text[UUID_TEXT_SIZE];

	random_bytes(id, sizeof(id));
	uuid_make_v4(id);
	uuid_format(id, text);
	f->revision_id = arena_str(&r->arena, str_from(text));
}

void lambda_touch(struct req *r, struct function *f)
{
	new_revision(r, f);
	f->modified_ms = r->now_ms;
}

static enum step_result change_run(struct req *r);

static enum step_result change_refused(struct req *r, struct lambda_change *c)
{
	return c->failed ? c->failed(r) : STEP_MORE;
}

static enum step_result change_committed(struct req *r)
{
	struct lambda_change *c = lambda_changed(r);

	if (r->store_result == 0) {
		if (!c->quiet || c->restart)
			functions_changed(r->g, c->name);
		return c->answer(r);
	}
	if (r->store_result == STORE_E_PRECONDITION && ++c->tries < CHANGE_TRIES_MAX)
		return change_run(r);
	if (r->store_result == STORE_E_MISSING)
		lambda_not_found(r);
	else if (r->store_result == STORE_E_PRECONDITION)
		req_failf(r, FAIL_CONFLICT,
			  "The operation cannot be performed at this time. An update is in progress "
			  "for resource: %.*s",
			  STR_ARG(r->resource));
	else
		req_fail_errno(r, r->store_result);
	return change_refused(r, c);
}

static enum step_result change_run(struct req *r)
{
	struct lambda_change *c = lambda_changed(r);
	struct store_txn *t;
	struct str read_revision;

	if (!lambda_read(r, c->name, &c->f))
		return change_refused(r, c);
	read_revision = c->f.revision_id;
	if (c->expect.n && !str_eq(c->expect, read_revision)) {
		req_failf(r, FAIL_PRECONDITION,
			  "The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias "
			  "API to retrieve the latest RevisionId");
		return change_refused(r, c);
	}
	c->edit(r, &c->f, c->arg);
	if (r->fail)
		return change_refused(r, c);
	new_revision(r, &c->f);
	if (!c->quiet)
		c->f.modified_ms = r->now_ms;
	t = store_begin(r->g->store);
	lambda_put(r, t, PUT_REPLACE, &c->f, read_revision);
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
