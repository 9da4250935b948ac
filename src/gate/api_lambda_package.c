/* A zip package on its way in, for CreateFunction, UpdateFunctionCode and PublishLayerVersion. It comes in the document
 * (base64) or from a bucket; it is decoded, unpacked in mind (every entry is checked, nothing is written) and hashed on
 * a pool thread, stored as a blob, and only then named by a document. Documents and packages are freed as soon as the
 * pipeline leaves them, since they are large. Fails by refusal only. */
#include "gate/api_lambda.h"

#include "sys/archive.h"

#define FILES_MAX 100000 /* of a package; bounds the work that a small zip can cause */

static struct package *package_of(struct req *r)
{
	return ((struct lambda_state *)r->api_state)->package;
}

void lambda_package_done(struct req *r)
{
	struct package *p = package_of(r);

	json_decref(steal(&p->doc));
	buf_done(&p->zip);
	err_done(&p->err);
	p->reader = blob_reader_free(p->reader);
}

static enum step_result over(struct req *r, enum step_result res)
{
	lambda_package_done(r);
	return res;
}

/* The object of the document that tells of the package. */
static json_t *source_of(const struct package *p)
{
	return p->member ? json_get_object(p->doc, p->member) : p->doc;
}

/* ---- read ---- */

static void decode(void *arg)
{
	struct package *p = arg;
	struct str zip;

	p->doc = json_parse(p->body, &p->err);
	if (p->doc && !json_is_object(p->doc)) {
		err_set(&p->err, 0, "it is not an object");
		json_decref(steal(&p->doc));
	}
	if (!p->doc)
		return;
	zip = json_get_str(source_of(p), "ZipFile", STR_NULL);
	p->has_zip = zip.p != NULL;
	if (!p->has_zip)
		return;
	p->bad_base64 = !base64_decode(&p->zip, zip);
	json_object_del(source_of(p), "ZipFile");
}

static enum step_result decoded(struct req *r)
{
	struct package *p = package_of(r);

	buf_done(&r->body);
	if (!p->doc)
		return over(r, req_failf(r, FAIL_MALFORMED_JSON, "Could not parse request body into json: %s",
					 p->err.msg ? p->err.msg : ""));
	return p->next(r);
}

enum step_result lambda_package_read(struct req *r, struct package *p, req_fn *next)
{
	struct lambda_state *state = r->api_state;

	if (!state)
		r->api_state = state = arena_new(&r->arena, struct lambda_state);
	state->package = p;
	p->body = buf_str(&r->body);
	p->next = next;
	return req_work(r, decode, p, decoded);
}

/* ---- check ---- */

static void read_object(struct package *p)
{
	ssize_t n;

	do {
		n = blob_read(p->reader, (uint8_t *)buf_reserve(&p->zip, 65536), 65536);
		if (n > 0)
			p->zip.n += (size_t)n;
	} while (n > 0);
	p->read_result = (int)n;
}

static void check(void *arg)
{
	struct package *p = arg;
	const struct archive_limits limits = {.max_bytes = LIMIT_ZIP_UNPACKED, .max_files = FILES_MAX};
	struct archive_totals totals = {0};

	if (p->reader)
		read_object(p);
	if (p->read_result < 0)
		return;
	p->size = p->zip.n;
	p->check_result = archive_check(buf_str(&p->zip), &limits, &totals, &p->err);
	p->unpacked = totals.bytes;
	sha256(buf_cstr(&p->zip), p->zip.n, p->hash);
	if (p->reader)
		buf_done(&p->zip);
}

static enum step_result find_object(struct req *r, struct package *p)
{
	const json_t *j = source_of(p);
	struct str bucket = json_get_str(j, "S3Bucket", STR("")), key = json_get_str(j, "S3Key", STR(""));
	int res;

	if (json_get_str(j, "ImageUri", STR("")).n)
		return req_failf(
			r, FAIL_INVALID_ARGUMENT,
			"ImageUri: container images are not built into this release of Wick; use a zip package.");
	if (json_get_str(j, "S3ObjectVersion", STR("")).n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "S3ObjectVersion: buckets have no versions in this release of Wick.");
	if (!bucket.n || !key.n)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Please provide a source for function code: ZipFile, or S3Bucket and S3Key.");
	res = store_get_object(store_reader(r->g->store), &r->arena, bucket, key, &p->object);
	if (res > 0)
		return req_failf(
			r, FAIL_INVALID_ARGUMENT,
			"Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: The specified %s "
			"does not exist.",
			res == STORE_E_NO_BUCKET ? "NoSuchBucket" : "NoSuchKey",
			res == STORE_E_NO_BUCKET ? "bucket" : "key");
	if (res < 0)
		return req_fail_errno(r, res);
	if (p->object->size > LIMIT_ZIP_UNPACKED)
		return req_failf(r, FAIL_CODE_TOO_LARGE, "The package in %.*s is larger than %llu bytes.",
				 STR_ARG(bucket), LIMIT_ZIP_UNPACKED);
	p->reader = blob_reader_new(r->g->blobs, p->object->extents, p->object->n_extents, 0, p->object->size);
	if (!p->reader)
		return req_fail(r, FAIL_INTERNAL);
	return STEP_MORE;
}

static bool source_is_there(struct req *r, struct package *p)
{
	const json_t *j = source_of(p);

	if (!j) {
		char *told = arena_dup(&r->arena, str_from(p->member));
		struct violations v = {0};

		told[0] = (char)(told[0] + ('a' - 'A'));
		violations_add(&v, STR_NULL, told, "Member must not be null");
		violations_refuse(r, &v);
	} else if (p->has_zip && (json_object_get(j, "S3Bucket") || json_object_get(j, "ImageUri"))) {
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Please do not provide other FunctionCode parameters when providing a "
			  "ZipFile.");
	} else if (p->bad_base64) {
		req_failf(r, FAIL_SERIALIZATION, "ZipFile is not valid base64");
	} else if (p->has_zip && p->zip.n > LIMIT_ZIP_DIRECT) {
		req_failf(r, FAIL_TOO_LARGE, "The package is larger than %llu bytes: put it into a bucket.",
			  LIMIT_ZIP_DIRECT);
	} else if (!p->has_zip) {
		find_object(r, p);
	}
	return !r->fail;
}

static enum step_result checked(struct req *r)
{
	struct package *p = package_of(r);
	_cleanup_(buf_done) struct buf sha = BUF_NULL;

	if (p->read_result < 0)
		return over(r, req_fail_errno(r, p->read_result));
	if (p->check_result != 0)
		return over(r, req_failf(r, FAIL_BAD_ZIP,
					 "Could not unzip uploaded file. Please check your file, then try "
					 "to upload again: %s",
					 p->err.msg ? p->err.msg : "not a zip archive"));
	base64_encode(&sha, p->hash, sizeof(p->hash));
	p->sha256 = arena_str(&r->arena, buf_str(&sha));
	return p->next(r);
}

enum step_result lambda_package_check(struct req *r, req_fn *next)
{
	struct package *p = package_of(r);

	if (!source_is_there(r, p))
		return over(r, STEP_MORE);
	p->next = next;
	return req_work(r, check, p, checked);
}

/* ---- store ---- */

static enum step_result stored(struct req *r)
{
	struct package *p = package_of(r);

	lambda_package_done(r);
	if (r->blob_result != 0)
		return req_fail_body(r, r->blob_result);
	p->blob = str_from(r->blob.id);
	return p->next(r);
}

enum step_result lambda_package_store(struct req *r, req_fn *next)
{
	struct package *p = package_of(r);

	p->next = next;
	if (p->object && p->object->size)
		return req_copy_blob(r, p->object->extents, p->object->n_extents, 0, p->object->size, stored);
	return req_put_blob(r, buf_str(&p->zip), stored);
}

static void no_one_waits(void *arg)
{
}

void lambda_package_settle(struct req *r, bool named)
{
	struct str blob = package_of(r)->blob;

	if (named)
		blob_settle(r->g->blobs, blob);
	else
		blob_remove(r->g->blobs, &blob, 1, no_one_waits, NULL);
}
