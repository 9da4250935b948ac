/* Doing a plan by the public APIs. Every package is read and packed before the first request, so that a missing file
 * changes nothing on the server. Owns the zips meanwhile. Stops at the first refusal, which names the thing; what was
 * done before it stays, and a second deploy goes on from there. */
#include "cli/apply_parts.h"

#include "base/mem.h"
#include "cli/triggers.h"
#include "cli/out.h"
#include "cli/package.h"
#include "wire/digest.h"
#include "wire/uri.h"

#include <stdio.h>
#include <unistd.h>

#define DIRECT_ZIP_MAX  ((size_t)48 << 20) /* CreateFunction takes a zip of 50 MB in its request */
#define PACKAGES_BUCKET "wick-packages"
#define WAIT_TRIES      300
#define WAIT_STEP_US    200000

static void apply_done(struct apply *a)
{
	for (size_t i = 0; i < a->n_zips; i++)
		buf_done(&a->zips[i]);
	free(a->zips);
	for (size_t i = 0; i < a->n_layer_zips; i++)
		buf_done(&a->layer_zips[i]);
	free(a->layer_zips);
}

void apply_say(struct apply *a, const char *list, json_t *entry, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	if (a->report) {
		if (!json_object_get(a->report, list))
			json_object_set_new(a->report, list, json_array());
		json_array_append_new(json_object_get(a->report, list), entry);
		return;
	}
	json_decref(entry);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	puts(buf_cstr(&b));
}

json_t *apply_text(struct str s)
{
	return json_stringn(s.p ? s.p : "", s.n);
}

const char *apply_function_path(struct apply *a, struct str name, const char *rest)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_adds(&b, "/2015-03-31/functions/");
	uri_encode(&b, name, false);
	buf_adds(&b, rest);
	return arena_dup(&a->p->arena, buf_str(&b));
}

static const char *bucket_path(struct apply *a, struct str bucket, struct str key)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_addc(&b, '/');
	uri_encode(&b, bucket, false);
	if (key.n) {
		buf_addc(&b, '/');
		uri_encode(&b, key, true);
	}
	return arena_dup(&a->p->arena, buf_str(&b));
}

/* 1: made; 0: it was there. */
static int ensure_bucket(struct apply *a, struct str bucket)
{
	char code[64];
	_cleanup_(http_response_done) struct http_response r = {0};
	struct client_call call = {.service = "s3", .method = "HEAD", .path = bucket_path(a, bucket, STR_NULL)};

	if (client_call(a->c, &call, &r, a->err) < 0)
		return -1;
	if (r.status < 300)
		return 0;
	call.method = "PUT";
	if (client_do(a->c, &call, NULL, code, a->err) < 0)
		return err_wrap(a->err, "bucket %.*s", STR_ARG(bucket));
	return 1;
}

static int apply_buckets(struct apply *a)
{
	for (size_t i = 0; i < a->p->n_buckets; i++) {
		struct str name = a->p->buckets[i].name;
		int made = ensure_bucket(a, name);

		if (made < 0)
			return -1;
		apply_say(a, "buckets",
			  json_pack("{s:o, s:s}", "name", apply_text(name), "action", made ? "created" : "unchanged"),
			  made ? "Created bucket %.*s" : "Bucket %.*s is there", STR_ARG(name));
	}
	return 0;
}

static char *code_file(const struct apply *a, struct str code)
{
	const char *folder = a->p->folder;

	if (str_starts(code, STR("/")) || !folder)
		return str_dup(code);
	return xasprintf("%s/%.*s", folder, STR_ARG(code));
}

static int pack_layers(struct apply *a)
{
	a->layer_zips = xnew_n(struct buf, a->p->n_layers + 1);
	a->n_layer_zips = a->p->n_layers;
	for (size_t i = 0; i < a->n_layer_zips; i++) {
		const struct plan_layer *l = &a->p->layers[i];
		_cleanup_(freep) char *path = code_file(a, l->code);

		if (l->code_kind == PLAN_CODE_PATH && package_read(path, &a->layer_zips[i], a->err) < 0)
			return err_wrap(a->err, "the content of layer %.*s", STR_ARG(l->name));
	}
	return 0;
}

static int pack_all(struct apply *a)
{
	a->zips = xnew_n(struct buf, a->p->n_functions + 1);
	a->n_zips = a->p->n_functions;
	for (size_t i = 0; i < a->n_zips; i++) {
		struct plan_function *f = &a->p->functions[i];
		int r = 0;

		if (f->code_kind == PLAN_CODE_PATH) {
			_cleanup_(freep) char *path = code_file(a, f->code);

			r = package_read(path, &a->zips[i], a->err);
		} else if (f->code_kind == PLAN_CODE_INLINE) {
			r = package_inline(f->code, str_starts(f->runtime, STR("nodejs")) ? "index.js" : "index.py",
					   &a->zips[i], a->err);
		}
		if (r < 0)
			return err_wrap(a->err, "the code of %.*s", STR_ARG(f->name));
	}
	return pack_layers(a);
}

void apply_progress(struct apply *a, struct str name, size_t n)
{
	char size[OUT_TEXT];

	if (a->report || !out_is_tty(STDERR_FILENO))
		return;
	if (n > 0)
		fprintf(stderr, "\r\033[KUploading %.*s (%s) ...", STR_ARG(name), out_bytes(n, size));
	else
		fprintf(stderr, "\r\033[K");
	fflush(stderr);
}

/* A package that is too large for the request goes by way of a bucket. */
static int code_by_bucket(struct apply *a, struct str name, const struct buf *zip, json_t *code)
{
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1], error[64];
	_cleanup_(freep) char *key = NULL;
	struct client_call call = {.service = "s3", .method = "PUT", .body = buf_str(zip)};

	sha256(zip->p, zip->n, digest);
	hex_encode(digest, sizeof(digest), hex);
	key = xasprintf("%.*s/%s.zip", STR_ARG(name), hex);
	if (ensure_bucket(a, STR(PACKAGES_BUCKET)) < 0)
		return -1;
	call.path = bucket_path(a, STR(PACKAGES_BUCKET), str_from(key));
	if (client_do(a->c, &call, NULL, error, a->err) < 0)
		return err_wrap(a->err, "upload of the package of %.*s", STR_ARG(name));
	json_object_set_new(code, "S3Bucket", json_string(PACKAGES_BUCKET));
	json_object_set_new(code, "S3Key", json_string(key));
	return 0;
}

void apply_drop_uploaded(struct apply *a, const json_t *code)
{
	struct str key = json_get_str(code, "S3Key", STR_NULL);
	struct client_call call = {.service = "s3", .method = "DELETE"};
	struct err ignored = ERR_NULL;
	char error[64];

	if (!str_eqz(json_get_str(code, "S3Bucket", STR_NULL), PACKAGES_BUCKET))
		return;
	call.path = bucket_path(a, STR(PACKAGES_BUCKET), key);
	client_do(a->c, &call, NULL, error, &ignored);
	err_done(&ignored);
}

int apply_code(struct apply *a, struct str name, const struct plan_source *src, json_t **ret)
{
	_cleanup_json_ json_t *code = json_object();

	if (src->kind == PLAN_CODE_S3) {
		json_object_set_new(code, "S3Bucket", apply_text(src->code));
		json_object_set_new(code, "S3Key", apply_text(src->key));
	} else if (src->zip->n > DIRECT_ZIP_MAX) {
		if (code_by_bucket(a, name, src->zip, code) < 0)
			return -1;
	} else {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		base64_encode(&b, src->zip->p, src->zip->n);
		json_object_set_new(code, "ZipFile", apply_text(buf_str(&b)));
	}
	*ret = steal(&code);
	return 0;
}

static int function_code(struct apply *a, size_t i, json_t **ret)
{
	const struct plan_function *f = &a->p->functions[i];

	return apply_code(a, f->name, &(struct plan_source){f->code_kind, f->code, f->code_key, &a->zips[i]}, ret);
}

static json_t *kv_object(const struct kv *list, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++) {
		_cleanup_(freep) char *name = str_dup(list[i].k);

		json_object_set_new(o, name, apply_text(list[i].v));
	}
	return o;
}

static void set_text(json_t *o, const char *key, struct str v, bool also_empty)
{
	if (v.n > 0 || also_empty)
		json_object_set_new(o, key, apply_text(v));
}

static void set_number(json_t *o, const char *key, uint64_t v, uint64_t dflt)
{
	if (v > 0 || dflt > 0)
		json_object_set_new(o, key, json_integer((json_int_t)(v > 0 ? v : dflt)));
}

/* What CreateFunction and UpdateFunctionConfiguration have in common. */
static json_t *make_configuration(const struct apply *a, const struct plan_function *f)
{
	bool whole = a->p->whole;
	json_t *o = json_object();

	set_text(o, "Handler", f->handler, false);
	set_text(o, "Runtime", f->runtime, false);
	set_text(o, "Role", f->role, false);
	set_text(o, "Description", f->description, whole);
	set_number(o, "Timeout", f->timeout_s, whole ? 3 : 0);
	set_number(o, "MemorySize", f->memory_mb, whole ? 128 : 0);
	if (f->ephemeral_mb)
		json_object_set_new(o, "EphemeralStorage", json_pack("{s:I}", "Size", (json_int_t)f->ephemeral_mb));
	if (f->layers_said || whole)
		json_object_set_new(o, "Layers", apply_layer_arns(a, f));
	if (f->snap_start.n || whole)
		json_object_set_new(
			o, "SnapStart",
			json_pack("{s:o}", "ApplyOn", apply_text(f->snap_start.n ? f->snap_start : STR("None"))));
	if (f->env_said)
		json_object_set_new(o, "Environment", json_pack("{s:o}", "Variables", kv_object(f->env, f->n_env)));
	return o;
}

/* Until the last change is in force; *conf is replaced by the newest configuration. */
static int wait_active(struct apply *a, const struct plan_function *f, json_t **conf)
{
	for (unsigned i = 0; i < WAIT_TRIES; i++) {
		struct str state = json_get_str(*conf, "State", STR("Active"));
		struct str update = json_get_str(*conf, "LastUpdateStatus", STR("Successful"));
		char code[64];

		if (str_eqz(state, "Failed") || str_eqz(update, "Failed"))
			return err_set(a->err, 0, "function %.*s: %.*s", STR_ARG(f->name),
				       STR_ARG(json_get_str(*conf, "StateReason",
							    json_get_str(*conf, "LastUpdateStatusReason",
									 STR("the server could not take it")))));
		if (!str_eqz(state, "Pending") && !str_eqz(update, "InProgress"))
			return 0;
		usleep(WAIT_STEP_US);
		json_decref(*conf);
		*conf = NULL;
		if (client_json(a->c, "lambda", "GET", apply_function_path(a, f->name, "/configuration"), NULL, NULL,
				conf, code, a->err) < 0)
			return err_wrap(a->err, "function %.*s", STR_ARG(f->name));
	}
	return err_set(a->err, 0, "function %.*s is still not active; see `wick show %.*s`", STR_ARG(f->name),
		       STR_ARG(f->name));
}

static int create_function(struct apply *a, size_t i, json_t **conf)
{
	struct plan_function *f = &a->p->functions[i];
	_cleanup_json_ json_t *body = make_configuration(a, f);
	json_t *code_json = NULL;
	char code[64];
	int r;

	if (f->code_kind == PLAN_CODE_NONE)
		return err_set(a->err, 0, "function %.*s does not exist yet and there is no code for it",
			       STR_ARG(f->name));
	if (function_code(a, i, &code_json) < 0)
		return -1;
	json_object_set_new(body, "Code", code_json);
	json_object_set_new(body, "FunctionName", apply_text(f->name));
	if (f->runtime.n == 0)
		json_object_set_new(body, "Runtime", json_string("python3.11"));
	if (f->role.n == 0)
		json_object_set_new(
			body, "Role",
			json_sprintf("arn:aws:iam::%.*s:role/wick-%.*s", STR_ARG(a->account), STR_ARG(f->name)));
	if (f->n_tags)
		json_object_set_new(body, "Tags", kv_object(f->tags, f->n_tags));
	apply_progress(a, f->name, a->zips[i].n);
	r = client_json(a->c, "lambda", "POST", "/2015-03-31/functions", NULL, body, conf, code, a->err);
	apply_progress(a, f->name, 0);
	apply_drop_uploaded(a, code_json);
	return r < 0 ? err_wrap(a->err, "function %.*s", STR_ARG(f->name)) : wait_active(a, f, conf);
}

void apply_hash(const struct buf *zip, struct buf *ret)
{
	uint8_t digest[SHA256_SIZE];

	sha256(zip->n ? zip->p : "", zip->n, digest);
	base64_encode(ret, digest, sizeof(digest));
}

/* 1: sent; 0: the server has this code already. */
static int update_code(struct apply *a, size_t i, json_t **conf)
{
	const struct plan_function *f = &a->p->functions[i];
	_cleanup_json_ json_t *body = NULL;
	_cleanup_(buf_done) struct buf hash = BUF_NULL;
	char code[64];
	int r;

	if (f->code_kind == PLAN_CODE_NONE)
		return 0;
	apply_hash(&a->zips[i], &hash);
	if (f->code_kind != PLAN_CODE_S3 && str_eq(buf_str(&hash), json_get_str(*conf, "CodeSha256", STR_NULL)))
		return 0;
	if (function_code(a, i, &body) < 0)
		return -1;
	json_decref(*conf);
	*conf = NULL;
	apply_progress(a, f->name, a->zips[i].n);
	r = client_json(a->c, "lambda", "PUT", apply_function_path(a, f->name, "/code"), NULL, body, conf, code,
			a->err);
	apply_progress(a, f->name, 0);
	apply_drop_uploaded(a, body);
	if (r < 0)
		return err_wrap(a->err, "the code of function %.*s", STR_ARG(f->name));
	return wait_active(a, f, conf) < 0 ? -1 : 1;
}

/* ARNs, and what the server says: objects with an Arn each. */
static bool layers_differ(const json_t *want, const json_t *have)
{
	if (json_array_size(want) != json_array_size(have))
		return true;
	for (size_t i = 0; i < json_array_size(want); i++)
		if (!str_eq(json_str_value(json_array_get(want, i)),
			    json_get_str(json_array_get(have, i), "Arn", STR_NULL)))
			return true;
	return false;
}

/* Whether the server's configuration differs in something that the plan says. */
static bool differs(const json_t *want, const json_t *have)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)want, key, v)
	{
		const json_t *h = json_object_get(have, key);

		if (strcmp(key, "Layers") == 0) {
			if (layers_differ(v, h))
				return true;
		} else if (strcmp(key, "SnapStart") == 0) {
			if (!str_eq(json_get_str(v, "ApplyOn", STR_NULL), json_get_str(h, "ApplyOn", STR("None"))))
				return true;
		} else if (strcmp(key, "Environment") == 0) {
			const json_t *vars = json_object_get(v, "Variables"), *theirs = json_object_get(h, "Variables");

			if (json_object_size(vars) != json_object_size(theirs) || (theirs && !json_equal(vars, theirs)))
				return true;
		} else if (json_is_string(v) && json_string_length(v) == 0) {
			if (h && json_string_length(h) > 0)
				return true;
		} else if (!h || !json_equal(v, h)) {
			return true;
		}
	}
	return false;
}

/* The tags as the plan says; a whole plan also takes away those it does not name. */
static int update_tags(struct apply *a, const struct plan_function *f, struct str arn)
{
	_cleanup_(buf_done) struct buf path = BUF_NULL, query = BUF_NULL;
	_cleanup_json_ json_t *have = NULL, *want = kv_object(f->tags, f->n_tags), *body = NULL;
	const char *key;
	json_t *v;
	char code[64];

	if (!f->n_tags && !a->p->whole)
		return 0;
	buf_adds(&path, "/2017-03-31/tags/");
	uri_encode(&path, arn, false);
	if (client_json(a->c, "lambda", "GET", buf_cstr(&path), NULL, NULL, &have, code, a->err) < 0)
		return err_wrap(a->err, "the tags of function %.*s", STR_ARG(f->name));
	json_object_foreach(json_object_get(have, "Tags"), key, v)
	{
		if (!a->p->whole || json_object_get(want, key))
			continue;
		buf_adds(&query, query.n ? "&tagKeys=" : "tagKeys=");
		uri_encode(&query, str_from(key), false);
	}
	if (query.n &&
	    client_json(a->c, "lambda", "DELETE", buf_cstr(&path), buf_cstr(&query), NULL, NULL, code, a->err) < 0)
		return err_wrap(a->err, "the tags of function %.*s", STR_ARG(f->name));
	if (!f->n_tags)
		return 0;
	body = json_pack("{s:O}", "Tags", want);
	if (client_json(a->c, "lambda", "POST", buf_cstr(&path), NULL, body, NULL, code, a->err) < 0)
		return err_wrap(a->err, "the tags of function %.*s", STR_ARG(f->name));
	return 0;
}

/* 1: something changed; 0: all was so already. */
static int update_function(struct apply *a, size_t i, json_t **conf)
{
	const struct plan_function *f = &a->p->functions[i];
	_cleanup_json_ json_t *want = make_configuration(a, f);
	int changed = update_code(a, i, conf);
	char code[64];

	if (changed < 0)
		return -1;
	if (differs(want, *conf)) {
		json_decref(*conf);
		*conf = NULL;
		if (client_json(a->c, "lambda", "PUT", apply_function_path(a, f->name, "/configuration"), NULL, want,
				conf, code, a->err) < 0)
			return err_wrap(a->err, "function %.*s", STR_ARG(f->name));
		if (wait_active(a, f, conf) < 0)
			return -1;
		changed = 1;
	}
	if (update_tags(a, f, json_get_str(*conf, "FunctionArn", STR_NULL)) < 0)
		return -1;
	return changed;
}

/* The account, which is in every ARN. */
static void learn_account(struct apply *a, struct str arn)
{
	struct str part, rest = arn;

	for (unsigned i = 0; i < 5; i++)
		str_cut(rest, ':', &part, &rest);
	if (part.n == 12)
		a->account = arena_str(&a->p->arena, part);
}

static int apply_function(struct apply *a, size_t i)
{
	struct plan_function *f = &a->p->functions[i];
	_cleanup_json_ json_t *conf = NULL;
	char code[64], size[OUT_TEXT];
	const char *action;
	int r = client_json(a->c, "lambda", "GET", apply_function_path(a, f->name, "/configuration"), NULL, NULL, &conf,
			    code, a->err);

	if (r < 0 && strcmp(code, "ResourceNotFoundException") != 0)
		return err_wrap(a->err, "function %.*s", STR_ARG(f->name));
	if (r < 0) {
		err_done(a->err);
		r = create_function(a, i, &conf);
		action = "created";
	} else {
		r = update_function(a, i, &conf);
		action = r > 0 ? "updated" : "unchanged";
	}
	if (r < 0)
		return -1;
	learn_account(a, json_get_str(conf, "FunctionArn", STR_NULL));
	apply_say(a, "functions",
		  json_pack("{s:o, s:s, s:o, s:o}", "name", apply_text(f->name), "action", action, "arn",
			    apply_text(json_get_str(conf, "FunctionArn", STR_NULL)), "configuration",
			    json_incref(conf)),
		  "%s function %.*s (%.*s, %.*s, %lld MB, timeout %lld s, %s of code)",
		  strcmp(action, "created") == 0   ? "Created"
		  : strcmp(action, "updated") == 0 ? "Updated"
						   : "Unchanged:",
		  STR_ARG(f->name), STR_ARG(json_get_str(conf, "Runtime", STR_NULL)),
		  STR_ARG(json_get_str(conf, "Handler", STR_NULL)), (long long)json_get_int(conf, "MemorySize", 128),
		  (long long)json_get_int(conf, "Timeout", 3),
		  out_bytes((uint64_t)json_get_int(conf, "CodeSize", 0), size));
	return apply_versions(a, f, strcmp(action, "created") == 0);
}

static int apply_permission(struct apply *a, const struct plan_permission *m)
{
	_cleanup_json_ json_t *body = json_object();
	_cleanup_(buf_done) struct buf gone = BUF_NULL, query = BUF_NULL;
	const char *path = apply_function_path(a, m->function, "/policy");
	char code[64];
	int r;

	set_text(body, "StatementId", m->statement_id, false);
	set_text(body, "Action", m->action, false);
	set_text(body, "Principal", m->principal, false);
	set_text(body, "SourceArn", m->source_arn, false);
	set_text(body, "SourceAccount", m->source_account, false);
	set_text(body, "FunctionUrlAuthType", m->url_auth, false);
	if (m->qualifier.n) {
		buf_adds(&query, "Qualifier=");
		uri_encode(&query, m->qualifier, false);
	}
	r = client_json(a->c, "lambda", "POST", path, buf_cstr(&query), body, NULL, code, a->err);
	if (r < 0 && strcmp(code, "ResourceConflictException") == 0) {
		/* A statement of that name stands there from an earlier deploy: it may say something else. */
		err_done(a->err);
		buf_adds(&gone, "/policy/");
		uri_encode(&gone, m->statement_id, false);
		r = client_json(a->c, "lambda", "DELETE", apply_function_path(a, m->function, buf_cstr(&gone)),
				buf_cstr(&query), NULL, NULL, code, a->err);
		if (r == 0)
			r = client_json(a->c, "lambda", "POST", path, buf_cstr(&query), body, NULL, code, a->err);
	}
	return r < 0 ? err_wrap(a->err, "permission %.*s of function %.*s", STR_ARG(m->statement_id),
				STR_ARG(m->function))
		     : 0;
}

static int put_notification(struct apply *a, struct str bucket)
{
	_cleanup_(http_response_done) struct http_response r = {0};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	char code[64];
	struct client_call call = {
		.service = "s3",
		.method = "GET",
		.path = bucket_path(a, bucket, STR_NULL),
		.query = "notification=",
	};

	if (client_do(a->c, &call, &r, code, a->err) < 0 ||
	    notification_merge(a->p, bucket, buf_str(&r.body), str_from(client_conf(a->c)->region), a->account, &doc,
			       a->err) < 0)
		return err_wrap(a->err, "the notifications of bucket %.*s", STR_ARG(bucket));
	call.method = "PUT";
	call.body = buf_str(&doc);
	if (client_do(a->c, &call, NULL, code, a->err) < 0)
		return err_wrap(a->err, "the notifications of bucket %.*s", STR_ARG(bucket));
	return 0;
}

static bool bucket_seen(const struct plan *p, size_t before, struct str bucket)
{
	for (size_t i = 0; i < before; i++)
		if (str_eq(p->triggers[i].bucket, bucket))
			return true;
	return false;
}

static bool bucket_has_trigger(const struct plan *p, struct str bucket)
{
	return bucket_seen(p, p->n_triggers, bucket);
}

static int apply_triggers(struct apply *a)
{
	struct plan *p = a->p;

	for (size_t i = 0; i < p->n_triggers; i++)
		if (!bucket_seen(p, i, p->triggers[i].bucket) && put_notification(a, p->triggers[i].bucket) < 0)
			return -1;
	/* A bucket of a template that has lost its triggers loses what an earlier deploy set. */
	for (size_t i = 0; p->whole && i < p->n_buckets; i++)
		if (!bucket_has_trigger(p, p->buckets[i].name) && put_notification(a, p->buckets[i].name) < 0)
			return -1;
	for (size_t i = 0; i < p->n_triggers; i++) {
		const struct plan_trigger *g = &p->triggers[i];
		_cleanup_(buf_done) struct buf events = BUF_NULL;

		for (size_t k = 0; k < g->n_events; k++)
			buf_printf(&events, "%s%.*s", k ? ", " : "", STR_ARG(g->events[k]));
		apply_say(a, "triggers",
			  json_pack("{s:o, s:o, s:o, s:o, s:o}", "bucket", apply_text(g->bucket), "function",
				    apply_text(g->function), "events", apply_text(buf_str(&events)), "prefix",
				    apply_text(g->prefix), "suffix", apply_text(g->suffix)),
			  "Trigger: %s in s3://%.*s/%.*s*%.*s invokes %.*s", buf_cstr(&events), STR_ARG(g->bucket),
			  STR_ARG(g->prefix), STR_ARG(g->suffix), STR_ARG(g->function));
	}
	return 0;
}

int plan_apply_code(struct plan *p, struct client *c, json_t **conf, struct err *err)
{
	_cleanup_json_ json_t *unsaid = json_object(); /* nothing is shown */
	_cleanup_(apply_done) struct apply a = {
		.p = p,
		.c = c,
		.report = unsaid,
		.account = str_from(client_conf(c)->account),
		.err = err,
	};
	int r = pack_all(&a);

	return r < 0 ? r : update_code(&a, 0, conf);
}

int plan_apply(struct plan *p, struct client *c, json_t *report, struct err *err)
{
	_cleanup_(apply_done) struct apply a = {
		.p = p,
		.c = c,
		.report = report,
		.account = str_from(client_conf(c)->account),
		.err = err,
	};

	if (pack_all(&a) < 0 || apply_buckets(&a) < 0 || apply_layers(&a) < 0)
		return -1;
	for (size_t i = 0; i < p->n_functions; i++)
		if (apply_function(&a, i) < 0)
			return -1;
	for (size_t i = 0; i < p->n_permissions; i++)
		if (apply_permission(&a, &p->permissions[i]) < 0)
			return -1;
	if (apply_triggers(&a) < 0)
		return -1;
	for (size_t i = 0; i < p->n_outputs; i++) {
		const struct plan_output *o = &p->outputs[i];
		struct str value;

		if (apply_resolve_text(&a, o->value, &value) < 0)
			return -1;
		apply_say(&a, "outputs",
			  json_pack("{s:o, s:o}", "name", apply_text(o->name), "value", apply_text(value)),
			  "Output %.*s = %.*s", STR_ARG(o->name), STR_ARG(value));
	}
	for (size_t i = 0; i < p->n_notes; i++)
		apply_say(&a, "notes", apply_text(p->notes[i]), "Note: %s", arena_dup(&p->arena, p->notes[i]));
	return 0;
}
