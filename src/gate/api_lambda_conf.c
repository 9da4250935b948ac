/* How a function is told: its configuration document, get, list, update and delete, and what the account has. Limits
 * as AWS's (AWS Lambda API Reference). Fails by refusal only. */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/keys.h"
#include "gate/layers.h"
#include "gate/records.h"

#include <stdio.h>

#define LIST_MAX         50 /* AWS Lambda API Reference, ListFunctions: a page has at most 50 items */
#define CODE_URL_EXPIRES 600
/* The SHA-256 of nothing, said aloud: a presigned request of this service has no body. */
#define EMPTY_BODY "X-Amz-Content-Sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

json_t *lambda_pairs_json(const struct kv *kv, size_t n)
{
	json_t *j = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_setn_new_nocheck(j, kv[i].k.p, kv[i].k.n, json_str(kv[i].v));
	return j;
}

static json_t *layers_json(struct req *r, const struct function *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->n_layers; i++) {
		json_t *one = json_object();
		struct layer l = {.size = 0};

		layer_get(r->g, &r->arena, f->layers[i], &l);
		json_set_str(one, "Arn", f->layers[i]);
		json_object_set_new(one, "CodeSize", json_integer((json_int_t)l.size));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *snap_start_json(const struct function *f)
{
	bool on = str_eqz(f->snap_start, "PublishedVersions");

	return json_pack("{s:s,s:s}", "ApplyOn", on ? "PublishedVersions" : "None", "OptimizationStatus",
			 on && lambda_is_number(f->version) ? "On" : "Off");
}

json_t *lambda_conf_json(struct req *r, const struct function *f, struct str qualifier)
{
	json_t *j = json_object();
	char modified[TIME_LAMBDA_SIZE];

	time_lambda(f->modified_ms, modified);
	json_set_str(j, "FunctionName", f->name);
	json_object_set_new(j, "FunctionArn",
			    json_sprintf("%.*s%s%.*s", STR_ARG(f->arn), qualifier.n ? ":" : "", STR_ARG(qualifier)));
	json_set_str(j, "Runtime", f->runtime);
	json_set_str(j, "Role", f->role);
	json_set_str(j, "Handler", f->handler);
	json_object_set_new(j, "CodeSize", json_integer((json_int_t)f->code_size));
	json_set_str(j, "Description", f->description);
	json_object_set_new(j, "Timeout", json_integer(f->timeout_s));
	json_object_set_new(j, "MemorySize", json_integer(f->memory_mb));
	json_object_set_new(j, "LastModified", json_string(modified));
	json_set_str(j, "CodeSha256", f->code_sha256);
	json_set_str(j, "Version", f->version);
	if (f->n_env)
		json_object_set_new(j, "Environment",
				    json_pack("{s:o}", "Variables", lambda_pairs_json(f->env, f->n_env)));
	if (f->n_layers)
		json_object_set_new(j, "Layers", layers_json(r, f));
	json_object_set_new(j, "TracingConfig", json_pack("{s:s}", "Mode", "PassThrough"));
	json_set_str(j, "RevisionId", f->revision_id);
	json_object_set_new(j, "State", json_string(function_state_name(f->state)));
	json_object_set_new(j, "LastUpdateStatus", json_string("Successful"));
	json_set_str(j, "PackageType", f->package_type);
	json_object_set_new(j, "Architectures", json_pack("[o]", json_str(f->architecture)));
	json_object_set_new(j, "EphemeralStorage", json_pack("{s:i}", "Size", (int)f->ephemeral_mb));
	json_object_set_new(j, "SnapStart", snap_start_json(f));
	json_object_set_new(j, "LoggingConfig",
			    json_pack("{s:s,s:o}", "LogFormat", "Text", "LogGroup",
				      json_sprintf("/aws/lambda/%.*s", STR_ARG(f->name))));
	return j;
}

enum step_result lambda_reply_conf(struct req *r, unsigned status, const struct function *f, struct str qualifier)
{
	return req_reply_json(r, status, lambda_conf_json(r, f, qualifier));
}

enum step_result lambda_get_conf(struct req *r)
{
	struct function f;

	if (!lambda_read_target(r, &f))
		return STEP_MORE;
	return lambda_reply_conf(r, 200, &f, lambda_target(r)->qualifier);
}

json_t *lambda_download_url(struct req *r, struct str path, struct str query)
{
	_cleanup_(buf_done) struct buf url = BUF_NULL, params = BUF_NULL, signature = BUF_NULL;
	struct str host = req_header(r, "host"), secret = keys_secret(r->g, r->who.access_key, &r->arena);
	bool tls = strncmp(r->g->conf.url, "https:", 6) == 0;
	char now[TIME_AMZ_SIZE];
	uint8_t key[SHA256_SIZE];
	struct sigv4_request view;

	if (!host.n || !secret.p)
		return json_null();
	time_amz(r->now_ms / 1000, now);
	sigv4_signing_key(secret, str_n(now, 8), str_from(r->g->conf.s.region), STR("wick"), key);
	buf_printf(&params, EMPTY_BODY "%s%.*s", query.n ? "&" : "", STR_ARG(query));
	view = (struct sigv4_request){.method = STR("GET"), .path = path, .query = buf_str(&params)};
	sigv4_presign(&view, host, r->who.access_key, req_header(r, "x-amz-security-token"),
		      str_from(r->g->conf.s.region), STR("wick"), key, str_from(now), CODE_URL_EXPIRES, &signature);
	buf_printf(&url, "http%s://%.*s%.*s?%s", tls ? "s" : "", STR_ARG(host), STR_ARG(path), buf_cstr(&signature));
	return json_str(buf_str(&url));
}

static json_t *code_location(struct req *r, const struct function *f)
{
	_cleanup_(buf_done) struct buf sha = BUF_NULL, path = BUF_NULL, query = BUF_NULL;
	char hex[2 * SHA256_SIZE + 1] = "";

	if (!base64_decode(&sha, f->code_sha256) || sha.n != SHA256_SIZE)
		return json_null();
	hex_encode((const uint8_t *)sha.p, sha.n, hex);
	buf_printf(&path, "/_wick/code/%.*s/%s", STR_ARG(f->name), hex);
	if (lambda_is_number(f->version))
		buf_printf(&query, "version=%.*s", STR_ARG(f->version));
	return lambda_download_url(r, buf_str(&path), buf_str(&query));
}

enum step_result lambda_get(struct req *r)
{
	struct function f;
	json_t *j, *code;
	unsigned reserved;

	if (!lambda_read_target(r, &f))
		return STEP_MORE;
	j = json_object();
	code = json_object();
	json_object_set_new(j, "Configuration", lambda_conf_json(r, &f, lambda_target(r)->qualifier));
	json_object_set_new(code, "RepositoryType", json_string("S3"));
	json_object_set_new(code, "Location", code_location(r, &f));
	json_object_set_new(j, "Code", code);
	if (f.n_tags)
		json_object_set_new(j, "Tags", lambda_pairs_json(f.tags, f.n_tags));
	if (record_reserved(r->g, f.name, &reserved))
		json_object_set_new(j, "Concurrency",
				    json_pack("{s:I}", "ReservedConcurrentExecutions", (json_int_t)reserved));
	return req_reply_json(r, 200, j);
}

/* ---- list ---- */

/* The key of a page is the name; with FunctionVersion=ALL a blank and the number follow. */
static json_t *list_json(struct req *r, const struct str *docs, size_t n, bool all, struct str *last)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *j = json_parse(docs[i], NULL);
		struct function f;

		if (!j || function_from_json(&f, j, &r->arena, NULL) < 0)
			continue; /* a damaged row; GetFunction of it says so in the log */
		*last = all ? str_from(arena_printf(&r->arena, "%.*s %.*s", STR_ARG(f.name), STR_ARG(f.version)))
			    : arena_str(&r->arena, f.name);
		json_array_append_new(list, lambda_conf_json(r, &f, all ? f.version : STR("")));
	}
	return list;
}

static int list_docs(struct req *r, bool all, struct str after, uint32_t max, struct str **docs, size_t *n,
		     bool *truncated)
{
	struct store_reader *rd = store_reader(r->g->store);
	struct str name, version;
	int64_t number = -1;

	if (!all)
		return store_list_functions(rd, &r->arena, after, max, docs, n, truncated);
	if (str_cut(after, ' ', &name, &version) && !str_to_i64(version, &number))
		number = 0; /* $LATEST */
	return store_list_versions(rd, &r->arena, STR(""), name, number, max, docs, n, truncated);
}

enum step_result lambda_list(struct req *r)
{
	struct str version = req_param(r, "FunctionVersion"), region = req_param(r, "MasterRegion");
	bool all = str_eqz(version, "ALL"), truncated;
	struct str after, *docs, last = STR_NULL;
	struct violations v = {0};
	uint32_t max;
	size_t n;
	json_t *j;
	int res;

	if (version.n && !all)
		violations_add(&v, version, "functionVersion", "Member must satisfy enum value set: [ALL]");
	if (violations_refuse(r, &v) || !lambda_page(r, LIST_MAX, &after, &max))
		return STEP_MORE;
	if (region.n && !all)
		return req_failf(r, FAIL_INVALID_ARGUMENT, "MasterRegion: FunctionVersion must be set to ALL.");
	/* Functions that were replicated from another region: there are none. */
	if (region.n && !str_eqz(region, "ALL") && !str_eqz(region, r->g->conf.s.region))
		max = 0;
	res = list_docs(r, all, after, max, &docs, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	json_object_set_new(j, "Functions", list_json(r, docs, n, all, &last));
	lambda_next_marker(j, truncated && last.n, last);
	return req_reply_json(r, 200, j);
}

/* ---- update, delete ---- */

struct update {
	struct lambda_change change;
	json_t *body; /* until the change is over */
};

static void edit_settings(struct req *r, struct function *f, void *arg)
{
	const struct update *u = arg;

	lambda_read_settings(r, u->body, f, false);
}

static void update_over(struct req *r)
{
	struct update *u = container_of(lambda_changed(r), struct update, change);

	json_decref(steal(&u->body));
}

static enum step_result updated(struct req *r)
{
	update_over(r);
	return lambda_reply_conf(r, 200, &lambda_changed(r)->f, lambda_target(r)->qualifier);
}

static enum step_result update_failed(struct req *r)
{
	update_over(r);
	return STEP_MORE;
}

enum step_result lambda_update_conf(struct req *r)
{
	struct update *u = arena_new(&r->arena, struct update);

	if (!lambda_only_function(r) || !(u->body = lambda_body(r)))
		return STEP_MORE;
	u->change = (struct lambda_change){
		.name = lambda_target(r)->name,
		.expect = arena_str(&r->arena, json_get_str(u->body, "RevisionId", STR(""))),
		.edit = edit_settings,
		.answer = updated,
		.failed = update_failed,
		.arg = u,
	};
	return lambda_change(r, &u->change);
}

static enum step_result deleted(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);

	if (r->store_result == STORE_E_IN_USE)
		return req_failf(r, FAIL_CONFLICT,
				 "Version %.*s cannot be deleted: an alias of the function points to it.",
				 STR_ARG(t->qualifier));
	/* A version that is gone already is what was asked for. */
	if (r->store_result != 0 && !(r->store_result == STORE_E_MISSING && t->qualifier.n))
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, t->name);
	return req_reply_empty(r, 204);
}

enum step_result lambda_delete(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct store_txn *t_delete;

	if (str_eqz(t->qualifier, "$LATEST"))
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "$LATEST version cannot be deleted without deleting the function.");
	if (t->qualifier.n && !lambda_is_number(t->qualifier))
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Deletion of aliases is not currently supported: DeleteAlias removes one.");
	if (t->qualifier.n && !lambda_function_exists(r))
		return STEP_MORE;
	t_delete = store_begin(r->g->store);
	if (t->qualifier.n)
		store_delete_version(t_delete, t->name, t->qualifier);
	else
		store_delete_function(t_delete, t->name);
	return req_commit(r, t_delete, deleted);
}

/* ---- account ---- */

struct account {
	uint64_t bytes, functions, reserved;
	int result;
};

static void sum_functions(struct account *sum, struct store_reader *rd)
{
	char last[65] = "";
	int64_t version = -1;
	bool truncated = true;

	while (truncated && sum->result == 0) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct str *docs;
		size_t n = 0;

		sum->result =
			store_list_versions(rd, &a, STR(""), str_from(last), version, 1000, &docs, &n, &truncated);
		for (size_t i = 0; sum->result == 0 && i < n; i++) {
			_cleanup_json_ json_t *j = json_parse(docs[i], NULL);

			sum->bytes += (uint64_t)json_get_int(j, "code_size", 0);
			version = 0;
			if (!str_to_i64(json_get_str(j, "version", STR("")), &version))
				sum->functions++;
			snprintf(last, sizeof(last), "%.*s", STR_ARG(json_get_str(j, "name", STR(""))));
		}
		truncated = truncated && n > 0;
	}
}

static void sum_layer(struct account *sum, struct store_reader *rd, struct str name)
{
	uint64_t before = INT64_MAX;
	bool truncated = true;

	while (truncated && sum->result == 0) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct str *docs;
		size_t n = 0;

		sum->result = store_list_layer_versions(rd, &a, name, before, 1000, &docs, &n, &truncated);
		for (size_t i = 0; sum->result == 0 && i < n; i++) {
			_cleanup_json_ json_t *j = json_parse(docs[i], NULL);

			sum->bytes += (uint64_t)json_get_int(j, "size", 0);
			before = (uint64_t)json_get_int(j, "version", 1);
		}
		truncated = truncated && n > 0;
	}
}

static void sum_account(void *arg, struct store_reader *rd)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct account *sum = arg;
	struct record *reserved;
	struct str *layers;
	bool truncated;
	size_t n;

	sum_functions(sum, rd);
	if (sum->result == 0)
		sum->result = store_list_layers(rd, &a, STR(""), UINT32_MAX - 1, &layers, &n, &truncated);
	for (size_t i = 0; sum->result == 0 && i < n; i++)
		sum_layer(sum, rd, layers[i]);
	if (sum->result == 0)
		sum->result = store_list_records(rd, &a, RECORD_RESERVED, STR(""), STR(""), UINT32_MAX - 1, &reserved,
						 &n, &truncated);
	for (size_t i = 0; sum->result == 0 && i < n; i++)
		sum->reserved += reserved[i].number;
}

static enum step_result account_summed(struct req *r)
{
	const struct account *sum = r->api_state;
	json_int_t runs = (json_int_t)r->g->conf.s.concurrency;

	if (sum->result != 0)
		return req_fail_errno(r, sum->result);
	return req_reply_json(r, 200,
			      json_pack("{s:{s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I}}", "AccountLimit", "TotalCodeSize",
					(json_int_t)LIMIT_CODE_TOTAL, "CodeSizeUnzipped",
					(json_int_t)LIMIT_ZIP_UNPACKED, "CodeSizeZipped", (json_int_t)LIMIT_ZIP_DIRECT,
					"ConcurrentExecutions", runs, "UnreservedConcurrentExecutions",
					MAX(runs - (json_int_t)sum->reserved, 0), "AccountUsage", "TotalCodeSize",
					(json_int_t)sum->bytes, "FunctionCount", (json_int_t)sum->functions));
}

enum step_result lambda_account(struct req *r)
{
	r->api_state = arena_new(&r->arena, struct account);
	return req_read_async(r, sum_account, r->api_state, account_summed);
}
