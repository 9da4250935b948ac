/* Code: CreateFunction and UpdateFunctionCode. A package comes in the document (base64) or from a bucket; it is
 * decoded, unpacked in mind (every entry is checked, nothing is written) and hashed on a pool thread, stored as a blob,
 * and only then named by the function's document. A blob whose document was refused is removed again. Documents and
 * packages are freed as soon as the pipeline leaves them, since they are large. */
#include "gate/api_lambda.h"

#include "sys/archive.h"

#define FILES_MAX 100000 /* of a package; bounds the work that a small zip can cause */

struct code {
	struct lambda_change change; /* UpdateFunctionCode */
	bool create, dry_run;
	json_t *doc;     /* the request's, without ZipFile */
	struct str body; /* the request's */
	struct buf zip;  /* the package; empty when it lies in a bucket and was checked */
	bool has_zip, bad_base64;
	struct object *object; /* the package lies here */
	struct blob_reader *reader;
	int read_result, check_result;
	struct err err;
	uint8_t sha256[SHA256_SIZE];
	uint64_t size;
	struct function f; /* CreateFunction */
};

/* One request's, found again by what is first in it. */
struct code_state {
	struct lambda_state lambda;
	struct code code;
};

static struct code *code_of(struct req *r)
{
	return &((struct code_state *)r->api_state)->code;
}

static enum step_result over(struct req *r, enum step_result res)
{
	struct code *c = code_of(r);

	json_decref(steal(&c->doc));
	buf_done(&c->zip);
	err_done(&c->err);
	c->reader = blob_reader_free(c->reader);
	return res;
}

/* ---- on the pool ---- */

/* CreateFunction has the package in Code, UpdateFunctionCode beside everything else. */
static json_t *package_of(const struct code *c)
{
	return c->create ? json_get_object(c->doc, "Code") : c->doc;
}

static void decode(void *arg)
{
	struct code *c = arg;
	struct str zip;

	c->doc = json_parse(c->body, &c->err);
	if (c->doc && !json_is_object(c->doc)) {
		err_set(&c->err, 0, "it is not an object");
		json_decref(steal(&c->doc));
	}
	if (!c->doc)
		return;
	zip = json_get_str(package_of(c), "ZipFile", STR_NULL);
	c->has_zip = zip.p != NULL;
	if (!c->has_zip)
		return;
	c->bad_base64 = !base64_decode(&c->zip, zip);
	json_object_del(package_of(c), "ZipFile");
}

static void read_object(struct code *c)
{
	ssize_t n;

	do {
		n = blob_read(c->reader, (uint8_t *)buf_reserve(&c->zip, 65536), 65536);
		if (n > 0)
			c->zip.n += (size_t)n;
	} while (n > 0);
	c->read_result = (int)n;
}

static void check(void *arg)
{
	struct code *c = arg;
	const struct archive_limits limits = {.max_bytes = LIMIT_ZIP_UNPACKED, .max_files = FILES_MAX};
	struct archive_totals totals;

	if (c->reader)
		read_object(c);
	if (c->read_result < 0)
		return;
	c->size = c->zip.n;
	c->check_result = archive_check(buf_str(&c->zip), &limits, &totals, &c->err);
	sha256(buf_cstr(&c->zip), c->zip.n, c->sha256);
	if (c->reader)
		buf_done(&c->zip);
}

/* ---- the pipeline: decoded -> checked -> stored -> committed ---- */

static enum step_result checked(struct req *r);

static enum step_result find_object(struct req *r, struct code *c)
{
	const json_t *p = package_of(c);
	struct str bucket = json_get_str(p, "S3Bucket", STR("")), key = json_get_str(p, "S3Key", STR(""));
	int res;

	if (json_get_str(p, "ImageUri", STR("")).n)
		return req_failf(
			r, FAIL_INVALID_ARGUMENT,
			"ImageUri: container images are not built into this release of Wick; use a zip package.");
	if (json_get_str(p, "S3ObjectVersion", STR("")).n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "S3ObjectVersion: buckets have no versions in this release of Wick.");
	if (!bucket.n || !key.n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Please provide a source for function code: ZipFile, or S3Bucket and S3Key.");
	res = store_get_object(store_reader(r->g->store), &r->arena, bucket, key, &c->object);
	if (res > 0)
		return req_failf(
			r, FAIL_INVALID_ARGUMENT,
			"Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: The specified %s "
			"does not exist.",
			res == STORE_E_NO_BUCKET ? "NoSuchBucket" : "NoSuchKey",
			res == STORE_E_NO_BUCKET ? "bucket" : "key");
	if (res < 0)
		return req_fail_errno(r, res);
	if (c->object->size > LIMIT_ZIP_UNPACKED)
		return req_failf(r, FAIL_CODE_TOO_LARGE, "The package in %.*s is larger than %llu bytes.",
				 STR_ARG(bucket), LIMIT_ZIP_UNPACKED);
	c->reader = blob_reader_new(r->g->blobs, c->object->extents, c->object->n_extents, 0, c->object->size);
	if (!c->reader)
		return req_fail(r, FAIL_INTERNAL);
	return STEP_MORE;
}

static bool source_is_there(struct req *r, struct code *c)
{
	const json_t *p = package_of(c);

	if (c->create && !p) {
		struct violations v = {0};

		violations_add(&v, STR_NULL, "code", "Member must not be null");
		violations_refuse(r, &v);
	} else if (c->has_zip && (json_object_get(p, "S3Bucket") || json_object_get(p, "ImageUri"))) {
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Please do not provide other FunctionCode parameters when providing a "
			  "ZipFile.");
	} else if (c->bad_base64) {
		req_failf(r, FAIL_SERIALIZATION, "ZipFile is not valid base64");
	} else if (c->has_zip && c->zip.n > LIMIT_ZIP_DIRECT) {
		req_failf(r, FAIL_TOO_LARGE, "The package is larger than %llu bytes: put it into a bucket.",
			  LIMIT_ZIP_DIRECT);
	} else if (!c->has_zip) {
		find_object(r, c);
	}
	return !r->fail;
}

static bool read_name(struct req *r, struct code *c)
{
	struct str name = json_get_str(c->doc, "FunctionName", STR_NULL);
	struct function_ref ref = {0};
	struct violations v = {0};

	if (name.p && function_ref_parse(name, &ref) && ref.qualifier.n == 0) {
		c->f.name = arena_str(&r->arena, ref.name);
		c->f.version = STR("$LATEST");
		r->resource = str_from(arena_printf(&r->arena, "arn:aws:lambda:%s:%s:function:%.*s",
						    r->g->conf.s.region, r->g->conf.s.account, STR_ARG(ref.name)));
		c->f.arn = r->resource;
		return true;
	}
	if (!name.p)
		violations_add(&v, STR_NULL, "functionName", "Member must not be null");
	else
		violations_add(&v, name, "functionName", "Member must satisfy regular expression pattern: %s",
			       LAMBDA_NAME_PATTERN);
	violations_refuse(r, &v);
	return false;
}

static bool read_create(struct req *r, struct code *c)
{
	c->f = (struct function){.timeout_s = 3, .memory_mb = 128, .ephemeral_mb = 512, .state = FUNCTION_ACTIVE};
	if (!read_name(r, c) || !lambda_read_settings(r, c->doc, &c->f, true))
		return false;
	if (!functions_get(r->g, c->f.name))
		return true;
	req_failf(r, FAIL_CONFLICT, "Function already exist: %.*s", STR_ARG(c->f.name));
	return false;
}

static bool read_update(struct req *r, struct code *c)
{
	static const char *const known[] = {"S3Bucket", "S3Key",  "S3ObjectVersion", "ImageUri",
					    "Publish",  "DryRun", "RevisionId",      "Architectures"};
	json_t *settings = json_object();
	const char *name;
	json_t *value;
	bool ok = true;

	json_object_foreach(c->doc, name, value)
	{
		bool is_known = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known = is_known || strcmp(name, known[i]) == 0;
		/* What both operations share is checked by the table of CreateFunction's members. */
		if (!is_known || strcmp(name, "Publish") == 0 || strcmp(name, "Architectures") == 0)
			json_object_set(settings, name, value);
	}
	c->f = (struct function){.role = STR("-"), .runtime = STR("-"), .handler = STR("-")};
	ok = lambda_read_settings(r, settings, &c->f, true);
	json_decref(settings);
	c->dry_run = json_get_bool(c->doc, "DryRun", false);
	c->change.expect = arena_str(&r->arena, json_get_str(c->doc, "RevisionId", STR("")));
	return ok && lambda_read(r, lambda_target(r)->name, &c->f);
}

static enum step_result decoded(struct req *r)
{
	struct code *c = code_of(r);
	bool ok;

	buf_done(&r->body);
	if (!c->doc) {
		req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s", c->err.msg);
		return over(r, STEP_MORE);
	}
	ok = c->create ? read_create(r, c) : read_update(r, c);
	if (!ok || !source_is_there(r, c))
		return over(r, STEP_MORE);
	return req_work(r, check, c, checked);
}

static void no_one_waits(void *arg)
{
}

static enum step_result created(struct req *r)
{
	struct code *c = code_of(r);
	struct str blob = str_from(r->blob.id);

	if (r->store_result == 0) {
		blob_settle(r->g->blobs, blob);
		functions_changed(r->g, c->f.name);
		return lambda_reply_conf(r, 201, &c->f);
	}
	blob_remove(r->g->blobs, &blob, 1, no_one_waits, NULL);
	if (r->store_result == STORE_E_EXISTS)
		return req_failf(r, FAIL_CONFLICT, "Function already exist: %.*s", STR_ARG(c->f.name));
	return req_fail_errno(r, r->store_result);
}

static void set_code(struct req *r, struct function *f, void *arg)
{
	const struct code *c = arg;
	_cleanup_(buf_done) struct buf sha = BUF_NULL;

	base64_encode(&sha, c->sha256, sizeof(c->sha256));
	f->code_sha256 = arena_str(&r->arena, buf_str(&sha));
	f->code_blob = arena_str(&r->arena, str_from(r->blob.id));
	f->code_size = c->size;
}

static enum step_result updated(struct req *r)
{
	blob_settle(r->g->blobs, str_from(r->blob.id));
	return lambda_reply_conf(r, 200, &lambda_changed(r)->f);
}

static enum step_result update_failed(struct req *r)
{
	struct str blob = str_from(r->blob.id);

	blob_remove(r->g->blobs, &blob, 1, no_one_waits, NULL);
	return STEP_MORE;
}

static enum step_result stored(struct req *r)
{
	struct code *c = code_of(r);
	struct store_txn *t;

	over(r, STEP_MORE);
	if (r->blob_result != 0)
		return req_fail_body(r, r->blob_result);
	if (!c->create) {
		c->change.name = lambda_target(r)->name;
		c->change.edit = set_code;
		c->change.answer = updated;
		c->change.failed = update_failed;
		c->change.arg = c;
		return lambda_change(r, &c->change);
	}
	set_code(r, &c->f, c);
	lambda_touch(r, &c->f);
	t = store_begin(r->g->store);
	lambda_put(r, t, PUT_CREATE, &c->f, STR(""));
	return req_commit(r, t, created);
}

static enum step_result dry_run(struct req *r, struct code *c)
{
	if (c->change.expect.n && !str_eq(c->change.expect, c->f.revision_id))
		return req_failf(r, FAIL_PRECONDITION,
				 "The RevisionId provided does not match the latest RevisionId. Call the "
				 "GetFunction/GetAlias API to retrieve the latest RevisionId");
	set_code(r, &c->f, c);
	return lambda_reply_conf(r, 200, &c->f);
}

static enum step_result checked(struct req *r)
{
	struct code *c = code_of(r);

	if (c->read_result < 0)
		return over(r, req_fail_errno(r, c->read_result));
	if (c->check_result != 0)
		return over(r, req_failf(r, FAIL_BAD_ZIP,
					 "Could not unzip uploaded file. Please check your file, then try "
					 "to upload again: %s",
					 c->err.msg ? c->err.msg : "not a zip archive"));
	if (c->dry_run)
		return over(r, dry_run(r, c));
	if (c->object && c->object->size)
		return req_copy_blob(r, c->object->extents, c->object->n_extents, 0, c->object->size, stored);
	return req_put_blob(r, buf_str(&c->zip), stored);
}

static enum step_result begin(struct req *r, bool create)
{
	struct code_state *s = arena_new(&r->arena, struct code_state);

	if (r->api_state)
		s->lambda = *(struct lambda_state *)r->api_state;
	r->api_state = s;
	s->code.create = create;
	s->code.body = buf_str(&r->body);
	return req_work(r, decode, &s->code, decoded);
}

enum step_result lambda_create(struct req *r)
{
	return begin(r, true);
}

enum step_result lambda_update_code(struct req *r)
{
	return lambda_only_latest(r) ? begin(r, false) : STEP_MORE;
}
