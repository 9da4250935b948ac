/* How a function is told: its configuration document, get, list, update and delete, and what the account has. Limits
 * as AWS's (AWS Lambda API Reference). Fails by refusal only. */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/keys.h"

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

static json_t *conf_json(struct req *r, const struct function *f)
{
	const struct lambda_state *state = r->api_state;
	json_t *j = json_object();
	char modified[TIME_LAMBDA_SIZE];
	bool qualified = state && state->target.qualifier.n;

	time_lambda(f->modified_ms, modified);
	json_set_str(j, "FunctionName", f->name);
	json_object_set_new(j, "FunctionArn", json_sprintf("%.*s%s", STR_ARG(f->arn), qualified ? ":$LATEST" : ""));
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
	json_object_set_new(j, "TracingConfig", json_pack("{s:s}", "Mode", "PassThrough"));
	json_set_str(j, "RevisionId", f->revision_id);
	json_object_set_new(j, "State", json_string(function_state_name(f->state)));
	json_object_set_new(j, "LastUpdateStatus", json_string("Successful"));
	json_set_str(j, "PackageType", f->package_type);
	json_object_set_new(j, "Architectures", json_pack("[o]", json_str(f->architecture)));
	json_object_set_new(j, "EphemeralStorage", json_pack("{s:i}", "Size", (int)f->ephemeral_mb));
	json_object_set_new(j, "SnapStart", json_pack("{s:s,s:s}", "ApplyOn", "None", "OptimizationStatus", "Off"));
	json_object_set_new(j, "LoggingConfig",
			    json_pack("{s:s,s:o}", "LogFormat", "Text", "LogGroup",
				      json_sprintf("/aws/lambda/%.*s", STR_ARG(f->name))));
	return j;
}

enum step_result lambda_reply_conf(struct req *r, unsigned status, const struct function *f)
{
	return req_reply_json(r, status, conf_json(r, f));
}

enum step_result lambda_get_conf(struct req *r)
{
	struct function f;

	if (!lambda_only_latest(r) || !lambda_read(r, lambda_target(r)->name, &f))
		return STEP_MORE;
	return lambda_reply_conf(r, 200, &f);
}

/* A URL that downloads the package with a plain GET: signed for the caller, who was just allowed to read it. */
static json_t *code_location(struct req *r, const struct function *f)
{
	_cleanup_(buf_done) struct buf sha = BUF_NULL, path = BUF_NULL, url = BUF_NULL, query = BUF_NULL;
	struct str host = req_header(r, "host"), secret = keys_secret(r->g, r->who.access_key, &r->arena);
	bool tls = strncmp(r->g->conf.url, "https:", 6) == 0;
	char now[TIME_AMZ_SIZE], hex[2 * SHA256_SIZE + 1] = "";
	uint8_t key[SHA256_SIZE];
	struct sigv4_request view;

	if (!host.n || !secret.p || !base64_decode(&sha, f->code_sha256) || sha.n != SHA256_SIZE)
		return json_null();
	hex_encode((const uint8_t *)sha.p, sha.n, hex);
	time_amz(r->now_ms / 1000, now);
	sigv4_signing_key(secret, str_n(now, 8), str_from(r->g->conf.s.region), STR("wick"), key);
	buf_printf(&path, "/_wick/code/%.*s/%s", STR_ARG(f->name), hex);
	view = (struct sigv4_request){.method = STR("GET"), .path = buf_str(&path), .query = STR(EMPTY_BODY)};
	sigv4_presign(&view, host, r->who.access_key, req_header(r, "x-amz-security-token"),
		      str_from(r->g->conf.s.region), STR("wick"), key, str_from(now), CODE_URL_EXPIRES, &query);
	buf_printf(&url, "http%s://%.*s%s?%s", tls ? "s" : "", STR_ARG(host), buf_cstr(&path), buf_cstr(&query));
	return json_str(buf_str(&url));
}

enum step_result lambda_get(struct req *r)
{
	struct function f;
	json_t *j, *code;

	if (!lambda_only_latest(r) || !lambda_read(r, lambda_target(r)->name, &f))
		return STEP_MORE;
	j = json_object();
	code = json_object();
	json_object_set_new(j, "Configuration", conf_json(r, &f));
	json_object_set_new(code, "RepositoryType", json_string("S3"));
	json_object_set_new(code, "Location", code_location(r, &f));
	json_object_set_new(j, "Code", code);
	if (f.n_tags)
		json_object_set_new(j, "Tags", lambda_pairs_json(f.tags, f.n_tags));
	return req_reply_json(r, 200, j);
}

/* ---- list ---- */

static bool list_page(struct req *r, struct str *after, uint32_t *max)
{
	struct str version = req_param(r, "FunctionVersion"), marker = req_param(r, "Marker");
	struct str items = req_param(r, "MaxItems");
	struct violations v = {0};
	struct buf name = BUF_NULL;
	uint64_t n = LIST_MAX;
	const char *why;

	if (version.n && !str_eqz(version, "ALL"))
		violations_add(&v, version, "functionVersion", "Member must satisfy enum value set: [ALL]");
	if (items.p && !str_to_u64(items, &n))
		n = 0;
	why = limit_number(&r->arena, (int64_t)MIN(n, (uint64_t)INT64_MAX), 1, 10000);
	if (why)
		violations_add(&v, items, "maxItems", "%s", why);
	if (violations_refuse(r, &v))
		return false;
	if (!base64url_decode(&name, marker)) {
		buf_done(&name);
		req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid pagination token: Marker was not made by ListFunctions.");
		return false;
	}
	*after = arena_str(&r->arena, buf_str(&name));
	*max = (uint32_t)MIN(n, LIST_MAX);
	buf_done(&name);
	return true;
}

static json_t *list_json(struct req *r, const struct str *docs, size_t n, struct str *last)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *j = json_parse(docs[i], NULL);
		struct function f;

		if (!j || function_from_json(&f, j, &r->arena, NULL) < 0)
			continue; /* a damaged row; GetFunction of it says so in the log */
		*last = arena_str(&r->arena, f.name);
		json_array_append_new(list, conf_json(r, &f));
	}
	return list;
}

enum step_result lambda_list(struct req *r)
{
	_cleanup_(buf_done) struct buf marker = BUF_NULL;
	struct str after, *docs, last = STR_NULL;
	uint32_t max;
	size_t n;
	bool truncated;
	json_t *j;
	int res;

	if (!list_page(r, &after, &max))
		return STEP_MORE;
	res = store_list_functions(store_reader(r->g->store), &r->arena, after, max, &docs, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	json_object_set_new(j, "Functions", list_json(r, docs, n, &last));
	if (truncated && last.n) {
		base64url_encode(&marker, last.p, last.n);
		json_set_str(j, "NextMarker", buf_str(&marker));
	} else {
		json_object_set_new(j, "NextMarker", json_null());
	}
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
	return lambda_reply_conf(r, 200, &lambda_changed(r)->f);
}

static enum step_result update_failed(struct req *r)
{
	update_over(r);
	return STEP_MORE;
}

enum step_result lambda_update_conf(struct req *r)
{
	struct update *u = arena_new(&r->arena, struct update);

	if (!lambda_only_latest(r) || !(u->body = lambda_body(r)))
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
	if (r->store_result == STORE_E_MISSING)
		return lambda_not_found(r);
	if (r->store_result != 0)
		return req_fail_errno(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_empty(r, 204);
}

enum step_result lambda_delete(struct req *r)
{
	struct store_txn *t;

	if (!lambda_only_latest(r))
		return STEP_MORE;
	if (lambda_target(r)->qualifier.n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "$LATEST version cannot be deleted without deleting the function.");
	t = store_begin(r->g->store);
	store_delete_function(t, lambda_target(r)->name);
	return req_commit(r, t, deleted);
}

/* ---- account ---- */

struct account {
	uint64_t bytes, functions;
	int result;
};

static void sum_account(void *arg, struct store_reader *rd)
{
	struct account *sum = arg;
	char last[65] = "";
	bool truncated = true;

	while (truncated && sum->result == 0) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct str *docs;
		size_t n = 0;

		sum->result = store_list_functions(rd, &a, str_from(last), 1000, &docs, &n, &truncated);
		for (size_t i = 0; sum->result == 0 && i < n; i++) {
			_cleanup_json_ json_t *j = json_parse(docs[i], NULL);
			struct str name = json_get_str(j, "name", STR(""));

			sum->bytes += (uint64_t)json_get_int(j, "code_size", 0);
			sum->functions++;
			snprintf(last, sizeof(last), "%.*s", STR_ARG(name));
		}
		truncated = truncated && n > 0;
	}
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
					"ConcurrentExecutions", runs, "UnreservedConcurrentExecutions", runs,
					"AccountUsage", "TotalCodeSize", (json_int_t)sum->bytes, "FunctionCount",
					(json_int_t)sum->functions));
}

enum step_result lambda_account(struct req *r)
{
	r->api_state = arena_new(&r->arena, struct account);
	return req_read_async(r, sum_account, r->api_state, account_summed);
}
