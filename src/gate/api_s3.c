/* The S3 api: which operation a request names, and how its refusals look.
 *
 * One table says every operation: level (service, bucket, object), method, the query parameter or header that tells it
 * from its neighbours, action. A query parameter that S3 gives a meaning and Wick does not build is in a table of its
 * own with the answer S3 gives for "not configured", so that it can never be taken for a plain Get, Put or Delete.
 * Keeps no state: what a request needs on its way is in its arena. */
#include "gate/api_s3.h"

#include "base/time.h"
#include "model/policy.h"
#include "sys/log.h"
#include "wire/utf8.h"

enum level { SERVICE, BUCKET, OBJECT };

struct route {
	enum level level;
	const char *param;  /* must be in the query; NULL: none of the other routes' */
	const char *header; /* must be there; NULL: any */
	struct operation op;
};

#define SMALL_DOC (256u << 10)

#define ROUTE(level_, method_, param_, header_, name_, action_, body_, max_, run_)                                     \
	{                                                                                                              \
		.level = level_, .param = param_, .header = header_,                                                   \
		.op = {.name = name_,                                                                                  \
		       .action = action_,                                                                              \
		       .method = method_,                                                                              \
		       .body = REQ_BODY_##body_,                                                                       \
		       .body_max = max_,                                                                               \
		       .run = run_,                                                                                    \
		}                                                                                                      \
	}

/* The first row that fits wins: those with a header stand before those without. */
static const struct route routes[] = {
	ROUTE(SERVICE, "GET", NULL, NULL, "ListBuckets", "s3:ListAllMyBuckets", NONE, 0, s3_list_buckets),

	ROUTE(BUCKET, "GET", "list-type", NULL, "ListObjectsV2", "s3:ListBucket", NONE, 0, s3_list_v2),
	ROUTE(BUCKET, "GET", NULL, NULL, "ListObjects", "s3:ListBucket", NONE, 0, s3_list_v1),
	ROUTE(BUCKET, "HEAD", NULL, NULL, "HeadBucket", "s3:ListBucket", NONE, 0, s3_head_bucket),
	ROUTE(BUCKET, "PUT", NULL, NULL, "CreateBucket", "s3:CreateBucket", BUFFER, SMALL_DOC, s3_create_bucket),
	ROUTE(BUCKET, "DELETE", NULL, NULL, "DeleteBucket", "s3:DeleteBucket", NONE, 0, s3_delete_bucket),
	ROUTE(BUCKET, "POST", "delete", NULL, "DeleteObjects", "s3:DeleteObject", BUFFER, S3_XML_MAX,
	      s3_delete_objects),
	ROUTE(BUCKET, "GET", "uploads", NULL, "ListMultipartUploads", "s3:ListBucketMultipartUploads", NONE, 0,
	      s3_list_uploads),
	ROUTE(BUCKET, "GET", "location", NULL, "GetBucketLocation", "s3:GetBucketLocation", NONE, 0, s3_get_location),
	ROUTE(BUCKET, "GET", "acl", NULL, "GetBucketAcl", "s3:GetBucketAcl", NONE, 0, s3_get_bucket_acl),
	ROUTE(BUCKET, "GET", "notification", NULL, "GetBucketNotificationConfiguration", "s3:GetBucketNotification",
	      NONE, 0, s3_get_notification),
	ROUTE(BUCKET, "PUT", "notification", NULL, "PutBucketNotificationConfiguration", "s3:PutBucketNotification",
	      BUFFER, SMALL_DOC, s3_put_notification),
	ROUTE(BUCKET, "GET", "policy", NULL, "GetBucketPolicy", "s3:GetBucketPolicy", NONE, 0, s3_get_policy),
	ROUTE(BUCKET, "PUT", "policy", NULL, "PutBucketPolicy", "s3:PutBucketPolicy", BUFFER, SMALL_DOC, s3_put_policy),
	ROUTE(BUCKET, "DELETE", "policy", NULL, "DeleteBucketPolicy", "s3:DeleteBucketPolicy", NONE, 0,
	      s3_delete_policy),
	ROUTE(BUCKET, "GET", "policyStatus", NULL, "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", NONE, 0,
	      s3_get_policy_status),
	ROUTE(BUCKET, "GET", "cors", NULL, "GetBucketCors", "s3:GetBucketCORS", NONE, 0, s3_get_cors),
	ROUTE(BUCKET, "PUT", "cors", NULL, "PutBucketCors", "s3:PutBucketCORS", BUFFER, SMALL_DOC, s3_put_cors),
	ROUTE(BUCKET, "DELETE", "cors", NULL, "DeleteBucketCors", "s3:PutBucketCORS", NONE, 0, s3_delete_cors),
	ROUTE(BUCKET, "GET", "tagging", NULL, "GetBucketTagging", "s3:GetBucketTagging", NONE, 0,
	      s3_get_bucket_tagging),
	ROUTE(BUCKET, "PUT", "tagging", NULL, "PutBucketTagging", "s3:PutBucketTagging", BUFFER, SMALL_DOC,
	      s3_put_bucket_tagging),
	ROUTE(BUCKET, "DELETE", "tagging", NULL, "DeleteBucketTagging", "s3:PutBucketTagging", NONE, 0,
	      s3_delete_bucket_tagging),
	ROUTE(BUCKET, "GET", "versioning", NULL, "GetBucketVersioning", "s3:GetBucketVersioning", NONE, 0,
	      s3_get_versioning),
	ROUTE(BUCKET, "PUT", "versioning", NULL, "PutBucketVersioning", "s3:PutBucketVersioning", BUFFER, SMALL_DOC,
	      s3_put_versioning),
	ROUTE(BUCKET, "GET", "ownershipControls", NULL, "GetBucketOwnershipControls", "s3:GetBucketOwnershipControls",
	      NONE, 0, s3_get_ownership),
	ROUTE(BUCKET, "GET", "requestPayment", NULL, "GetBucketRequestPayment", "s3:GetBucketRequestPayment", NONE, 0,
	      s3_get_payment),
	ROUTE(BUCKET, "GET", "logging", NULL, "GetBucketLogging", "s3:GetBucketLogging", NONE, 0, s3_get_logging),
	ROUTE(BUCKET, "GET", "accelerate", NULL, "GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration",
	      NONE, 0, s3_get_accelerate),
	ROUTE(BUCKET, "OPTIONS", NULL, NULL, "PreflightBucket", NULL, NONE, 0, s3_preflight),

	ROUTE(OBJECT, "GET", NULL, NULL, "GetObject", "s3:GetObject", NONE, 0, s3_get_object),
	ROUTE(OBJECT, "HEAD", NULL, NULL, "HeadObject", "s3:GetObject", NONE, 0, s3_head_object),
	ROUTE(OBJECT, "PUT", NULL, "x-amz-copy-source", "CopyObject", "s3:PutObject", NONE, 0, s3_copy_object),
	ROUTE(OBJECT, "PUT", NULL, NULL, "PutObject", "s3:PutObject", STREAM, 0, s3_put_object),
	ROUTE(OBJECT, "DELETE", NULL, NULL, "DeleteObject", "s3:DeleteObject", NONE, 0, s3_delete_object),
	ROUTE(OBJECT, "GET", "tagging", NULL, "GetObjectTagging", "s3:GetObjectTagging", NONE, 0,
	      s3_get_object_tagging),
	ROUTE(OBJECT, "PUT", "tagging", NULL, "PutObjectTagging", "s3:PutObjectTagging", BUFFER, SMALL_DOC,
	      s3_put_object_tagging),
	ROUTE(OBJECT, "DELETE", "tagging", NULL, "DeleteObjectTagging", "s3:DeleteObjectTagging", NONE, 0,
	      s3_delete_object_tagging),
	ROUTE(OBJECT, "GET", "acl", NULL, "GetObjectAcl", "s3:GetObjectAcl", NONE, 0, s3_get_object_acl),
	ROUTE(OBJECT, "POST", "uploads", NULL, "CreateMultipartUpload", "s3:PutObject", NONE, 0, s3_create_upload),
	ROUTE(OBJECT, "PUT", "uploadId", "x-amz-copy-source", "UploadPartCopy", "s3:PutObject", NONE, 0,
	      s3_upload_part_copy),
	ROUTE(OBJECT, "PUT", "uploadId", NULL, "UploadPart", "s3:PutObject", STREAM, 0, s3_upload_part),
	ROUTE(OBJECT, "POST", "uploadId", NULL, "CompleteMultipartUpload", "s3:PutObject", BUFFER, S3_XML_MAX,
	      s3_complete_upload),
	ROUTE(OBJECT, "DELETE", "uploadId", NULL, "AbortMultipartUpload", "s3:AbortMultipartUpload", NONE, 0,
	      s3_abort_upload),
	ROUTE(OBJECT, "GET", "uploadId", NULL, "ListParts", "s3:ListMultipartUploadParts", NONE, 0, s3_list_parts),
	ROUTE(OBJECT, "OPTIONS", NULL, NULL, "Preflight", NULL, NONE, 0, s3_preflight),
};

/* Subresources that S3 has and Wick does not build; for GET, what S3 says where nothing was configured. */
static const struct {
	const char *param;
	enum fail get;
} unbuilt[] = {
	{"lifecycle", FAIL_NO_SUCH_LIFECYCLE},
	{"encryption", FAIL_NO_SUCH_ENCRYPTION},
	{"publicAccessBlock", FAIL_NO_SUCH_PUBLIC_ACCESS_BLOCK},
	{"website", FAIL_NO_SUCH_WEBSITE},
	{"replication", FAIL_NO_SUCH_REPLICATION},
	{"object-lock", FAIL_NO_SUCH_OBJECT_LOCK},
	{"acl", FAIL_NOT_IMPLEMENTED},
	{"ownershipControls", FAIL_NOT_IMPLEMENTED},
	{"requestPayment", FAIL_NOT_IMPLEMENTED},
	{"logging", FAIL_NOT_IMPLEMENTED},
	{"accelerate", FAIL_NOT_IMPLEMENTED},
	{"policyStatus", FAIL_NOT_IMPLEMENTED},
	{"versions", FAIL_NOT_IMPLEMENTED},
	{"analytics", FAIL_NOT_IMPLEMENTED},
	{"intelligent-tiering", FAIL_NOT_IMPLEMENTED},
	{"inventory", FAIL_NOT_IMPLEMENTED},
	{"metrics", FAIL_NOT_IMPLEMENTED},
	{"metadataTable", FAIL_NOT_IMPLEMENTED},
	{"metadataConfiguration", FAIL_NOT_IMPLEMENTED},
	{"session", FAIL_NOT_IMPLEMENTED},
	{"abac", FAIL_NOT_IMPLEMENTED},
	{"attributes", FAIL_NOT_IMPLEMENTED},
	{"legal-hold", FAIL_NOT_IMPLEMENTED},
	{"retention", FAIL_NOT_IMPLEMENTED},
	{"restore", FAIL_NOT_IMPLEMENTED},
	{"select", FAIL_NOT_IMPLEMENTED},
	{"torrent", FAIL_NOT_IMPLEMENTED},
	{"append", FAIL_NOT_IMPLEMENTED},
	{"renameObject", FAIL_NOT_IMPLEMENTED},
};

/* Parameters that do not choose an operation. */
static const char *const plain_params[] = {
	"prefix",      "delimiter",          "marker",     "max-keys",      "encoding-type",    "continuation-token",
	"start-after", "fetch-owner",        "key-marker", "max-uploads",   "upload-id-marker", "max-parts",
	"partNumber",  "part-number-marker", "versionId",  "x-id",          "bucket-region",    "max-buckets",
	"Signature",   "AWSAccessKeyId",     "Expires",    "location-type",
};

/* ---- where: bucket and key ---- */

/* "BUCKET.s3.localhost[:port]": the bucket, or p == NULL. */
static struct str host_bucket(struct req *r)
{
	struct str host = req_header(r, "host"), rest, domains = str_from(r->g->conf.s.domains), domain;

	if (!host.p)
		return STR_NULL;
	str_cut(host, ':', &host, &rest);
	domain = STR("s3.localhost");
	for (;;) {
		domain = str_trim(domain);
		if (domain.n && host.n > domain.n + 1 && host.p[host.n - domain.n - 1] == '.' &&
		    str_ieq(str_sub(host, host.n - domain.n, domain.n), domain))
			return str_sub(host, 0, host.n - domain.n - 1);
		if (domains.n == 0)
			return STR_NULL;
		str_cut(domains, ',', &domain, &domains);
	}
}

static bool decode(struct req *r, struct str raw, struct str *ret)
{
	struct buf b = BUF_NULL;
	bool ok = uri_decode(&b, raw, false) && utf8_valid(buf_str(&b));

	if (ok)
		*ret = arena_str(&r->arena, buf_str(&b));
	buf_done(&b);
	return ok;
}

/* False after req_fail. */
static bool locate(struct req *r, enum level *level)
{
	struct str path = r->path, bucket = host_bucket(r), key = STR_NULL;

	if (path.n && path.p[0] == '/')
		path = str_sub(path, 1, path.n);
	if (bucket.p)
		key = path;
	else
		str_cut(path, '/', &bucket, &key);
	if (!decode(r, bucket, &r->bucket) || !decode(r, key, &r->key)) {
		req_failf(r, FAIL_INVALID_URI, "The path has a broken percent escape or is not UTF-8.");
		return false;
	}
	if (r->bucket.n == 0 && r->key.n) {
		req_failf(r, FAIL_INVALID_URI, "The path names a key without a bucket.");
		return false;
	}
	*level = r->bucket.n == 0 ? SERVICE : r->key.n == 0 ? BUCKET : OBJECT;
	if (r->key.n > S3_KEY_MAX) {
		req_fail(r, FAIL_KEY_TOO_LONG);
		s3_error_extra(r, "MaxSizeAllowed", STR("1024"));
		return false;
	}
	return true;
}

static void name_resource(struct req *r, enum level level)
{
	if (level == SERVICE)
		r->resource = STR("arn:aws:s3:::*");
	else
		r->resource = str_from(arena_printf(&r->arena, "arn:aws:s3:::%.*s%s%.*s", STR_ARG(r->bucket),
						    level == OBJECT ? "/" : "", STR_ARG(r->key)));
}

/* ---- what: the operation ---- */

static bool is_plain_param(struct str name)
{
	if (str_istarts(name, STR("x-amz-")) || str_starts(name, STR("response-")))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(plain_params); i++)
		if (str_eqz(name, plain_params[i]))
			return true;
	return false;
}

static bool is_route_param(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (routes[i].param && str_eqz(name, routes[i].param))
			return true;
	return false;
}

static const struct route *find_route(struct req *r, enum level level, struct str param)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *t = &routes[i];

		if (t->level == level && str_eqz(r->method, t->op.method) &&
		    (t->param ? str_eqz(param, t->param) : param.n == 0) && (!t->header || req_header(r, t->header).p))
			return t;
	}
	return NULL;
}

/* The one parameter that chooses the operation, n == 0: none. False after req_fail. */
static bool choosing_param(struct req *r, struct str *ret)
{
	bool reads = str_eqz(r->method, "GET") || str_eqz(r->method, "HEAD");

	*ret = STR_NULL;
	if (str_eqz(r->method, "OPTIONS"))
		return true; /* asks for a request to come, whatever its query */
	for (size_t i = 0; i < r->n_params; i++) {
		const struct uri_param *p = &r->params[i];
		bool known;

		if (is_plain_param(p->name))
			continue;
		known = is_route_param(p->name);
		for (size_t k = 0; !known && k < ARRAY_SIZE(unbuilt); k++)
			known = str_eqz(p->name, unbuilt[k].param);
		/* Whatever a parameter nobody knows was to mean, a write must not guess. */
		if (!known && (!reads || p->value.n == 0)) {
			req_failf(r, FAIL_NOT_IMPLEMENTED, "The query parameter '%.*s' is not implemented by Wick.",
				  STR_ARG(p->name));
			return false;
		}
		if (!known)
			continue;
		if (ret->n && !str_eq(*ret, p->name)) {
			req_failf(r, FAIL_INVALID_REQUEST, "Conflicting query string parameters: %.*s, %.*s",
				  STR_ARG(*ret), STR_ARG(p->name));
			return false;
		}
		*ret = p->name;
	}
	return true;
}

static void refuse(struct req *r, struct str param)
{
	for (size_t i = 0; i < ARRAY_SIZE(unbuilt); i++) {
		enum fail f = str_eqz(r->method, "GET") ? unbuilt[i].get : FAIL_NOT_IMPLEMENTED;

		if (!str_eqz(param, unbuilt[i].param))
			continue;
		if (f == FAIL_NOT_IMPLEMENTED)
			req_failf(r, f, "%.*s ?%s is not implemented by Wick.", STR_ARG(r->method), unbuilt[i].param);
		else
			req_fail(r, f);
		return;
	}
	if (str_eqz(r->method, "POST") && r->key.n == 0)
		req_failf(r, FAIL_NOT_IMPLEMENTED, "Uploads by HTML form are not implemented by Wick.");
	else
		req_fail(r, FAIL_METHOD_NOT_ALLOWED);
}

static const struct operation *route(struct req *r)
{
	const struct route *t;
	struct str param, version = req_param(r, "versionId");
	enum level level;

	r->api_state = arena_new(&r->arena, struct s3_call);
	if (!locate(r, &level))
		return NULL;
	name_resource(r, level);
	if (!choosing_param(r, &param))
		return NULL;
	t = find_route(r, level, param);
	if (!t) {
		refuse(r, param);
		return NULL;
	}
	if (version.n && !str_eqz(version, "null")) {
		req_fail(r, FAIL_NO_SUCH_VERSION);
		s3_error_extra(r, "VersionId", version);
		return NULL;
	}
	if (req_header(r, "origin").p && t->op.action)
		s3_cors_reply(r);
	return &t->op;
}

/* ---- refusals ---- */

void s3_error_extra(struct req *r, const char *name, struct str value)
{
	struct s3_call *c = s3_call(r);

	if (c->n_extra < ARRAY_SIZE(c->extra))
		c->extra[c->n_extra++] = (struct kv){.k = str_from(name), .v = value};
}

static void usual_extra(struct req *r)
{
	if (r->fail == FAIL_NO_SUCH_BUCKET || r->fail == FAIL_BUCKET_EXISTS || r->fail == FAIL_BUCKET_NOT_EMPTY ||
	    r->fail == FAIL_INVALID_BUCKET_NAME)
		s3_error_extra(r, "BucketName", r->bucket);
	else if (r->fail == FAIL_NO_SUCH_KEY)
		s3_error_extra(r, "Key", r->key);
	else if (r->fail == FAIL_NO_SUCH_UPLOAD)
		s3_error_extra(r, "UploadId", req_param(r, "uploadId"));
}

static void render_fail(struct req *r)
{
	const struct fail_info *info = fail_info(r->fail);
	struct str id = str_from(r->id_text);
	struct s3_call *c = s3_call(r);
	struct buf b = BUF_NULL;

	if (c) {
		usual_extra(r);
		if (req_header(r, "origin").p && r->bucket.n)
			s3_cors_reply(r);
		if (c->content_range.n)
			req_set_header(r, "Content-Range", c->content_range);
	}
	if (r->fail == FAIL_NOT_MODIFIED || str_eqz(r->method, "HEAD")) {
		if (r->fail != FAIL_NOT_MODIFIED)
			req_set_header(r, "Content-Type", STR("application/xml"));
		req_reply_empty(r, info->status);
		return;
	}
	s3_xml_put_error(&b, str_from(info->s3_code), r->fail_message.n ? r->fail_message : str_from(info->message),
			 r->fail_resource.n ? r->fail_resource : r->path, id, id, c ? c->extra : NULL,
			 c ? c->n_extra : 0);
	req_reply_bytes(r, info->status, "application/xml", &b);
}

enum step_result s3_fail_store(struct req *r, int result)
{
	if (result < 0)
		return req_fail_errno(r, result);
	switch ((enum store_error)result) {
	case STORE_E_MISSING:
		return req_fail(r, FAIL_NO_SUCH_UPLOAD);
	case STORE_E_EXISTS:
		return req_fail(r, FAIL_BUCKET_EXISTS);
	case STORE_E_NOT_EMPTY:
		return req_fail(r, FAIL_BUCKET_NOT_EMPTY);
	case STORE_E_PRECONDITION:
		return req_fail(r, FAIL_PRECONDITION);
	case STORE_E_NO_BUCKET:
		return req_fail(r, FAIL_NO_SUCH_BUCKET);
	case STORE_E_NO_OBJECT:
		return req_fail(r, FAIL_NO_SUCH_KEY);
	case STORE_E_IN_USE:
	case STORE_E_NO_LAYER:
	case STORE_E_LIMIT:
		break; /* of functions */
	}
	log_error("request %s: %s: the store answered %d", r->id_text, r->op->name, result);
	return req_fail(r, FAIL_INTERNAL);
}

enum step_result s3_fail_xml(struct req *r, enum s3_xml_error e, const struct s3_xml_fault *f)
{
	static const enum fail fails[] = {
		[S3_XML_MALFORMED] = FAIL_MALFORMED_XML,   [S3_XML_INVALID] = FAIL_INVALID_ARGUMENT,
		[S3_XML_TAG] = FAIL_INVALID_TAG,           [S3_XML_PART_ORDER] = FAIL_INVALID_PART_ORDER,
		[S3_XML_LOCATION] = FAIL_INVALID_LOCATION,
	};

	/* The documented text of MalformedXML says nothing; what was wrong helps whoever wrote the document. */
	if (f->message && f->message[0])
		return req_failf(r, fails[e], "%s", f->message);
	return req_fail(r, fails[e]);
}

/* ---- what operations share ---- */

const struct bucket *s3_bucket(struct req *r)
{
	struct s3_call *c = s3_call(r);
	struct str owner = req_header(r, "x-amz-expected-bucket-owner");
	struct bucket *b;
	int e;

	if (c->bucket)
		return c->bucket;
	e = store_get_bucket(store_reader(r->g->store), &r->arena, r->bucket, &b);
	if (e) {
		s3_fail_store(r, e);
		return NULL;
	}
	if (owner.p && !str_eqz(owner, r->g->conf.s.account)) {
		req_fail(r, FAIL_ACCESS_DENIED);
		return NULL;
	}
	c->bucket = b;
	return b;
}

enum step_result s3_reply_xml(struct req *r, struct buf *b)
{
	return req_reply_bytes(r, 200, "application/xml", b);
}

struct s3_owner s3_owner(struct req *r)
{
	struct str account = str_from(r->g->conf.s.account);

	return (struct s3_owner){.id = account, .name = account};
}

struct str s3_unquote(struct str etag)
{
	etag = str_trim(etag);
	if (etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"')
		return str_sub(etag, 1, etag.n - 2);
	return etag;
}

void s3_set_etag(struct req *r, struct str etag)
{
	req_set_headerf(r, "ETag", "\"%.*s\"", STR_ARG(etag));
}

void s3_set_time(struct req *r, const char *name, int64_t unix_ms)
{
	char text[TIME_HTTP_SIZE];

	time_http(unix_ms / 1000, text);
	req_set_header(r, name, str_from(text));
}

bool s3_number(struct req *r, const char *name, uint32_t dflt, uint32_t max, uint32_t *ret)
{
	struct str s = req_param(r, name);
	uint64_t v;

	if (!s.n) {
		*ret = dflt;
		return true;
	}
	if (!str_to_u64(s, &v) || v > INT32_MAX) {
		req_failf(r, FAIL_INVALID_ARGUMENT, "Provided %s not an integer or within integer range", name);
		s3_error_extra(r, "ArgumentName", str_from(name));
		s3_error_extra(r, "ArgumentValue", s);
		return false;
	}
	*ret = (uint32_t)MIN(v, max);
	return true;
}

bool s3_encoding(struct req *r, bool *url)
{
	struct str s = req_param(r, "encoding-type");

	*url = str_ieq(s, STR("url"));
	if (!s.n || *url)
		return true;
	req_failf(r, FAIL_INVALID_ARGUMENT, "Invalid Encoding Method specified in Request");
	s3_error_extra(r, "ArgumentName", STR("encoding-type"));
	s3_error_extra(r, "ArgumentValue", s);
	return false;
}

bool s3_may(struct req *r, const struct bucket *b, const char *action, struct str key)
{
	enum policy_verdict verdict;
	struct str arn;
	json_t *policy;

	if (r->who.kind != PRINCIPAL_ANONYMOUS)
		return true;
	policy = b->policy.n ? policy_parse(b->policy, NULL) : NULL;
	arn = str_from(
		arena_printf(&r->arena, "arn:aws:s3:::%.*s%s%.*s", STR_ARG(b->name), key.n ? "/" : "", STR_ARG(key)));
	verdict = policy_evaluate(policy, NULL, str_from(action), arn);
	json_decref(policy);
	return verdict == POLICY_ALLOW;
}

static void removed(void *arg)
{
	(void)arg;
}

void s3_drop_blob(struct req *r, struct str id)
{
	if (id.n)
		blob_remove(r->g->blobs, &id, 1, removed, NULL);
}

const struct api api_s3 = {
	.name = "s3",
	.service = "s3",
	.route = route,
	.render_fail = render_fail,
};
