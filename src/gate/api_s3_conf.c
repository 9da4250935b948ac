/* What a bucket is configured with: notification, policy, CORS, tags, versioning. The store keeps a document per
 * subject with the bucket (notification and policy as JSON, CORS and tags as the XML that Get answers); each is checked
 * whole before it is kept, and read again where it is applied. */
#include "gate/api_s3.h"

#include "gate/fn.h"
#include "model/limits.h"
#include "model/notification.h"
#include "model/policy.h"
#include "sys/log.h"

static enum step_result doc_set(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	/* Policies and removals are answered 204, everything else 200. */
	return req_reply_empty(r, str_eqz(r->method, "DELETE") || req_has_param(r, "policy") ? 204 : 200);
}

static enum step_result set_doc(struct req *r, enum bucket_field f, struct str doc)
{
	struct store_txn *t = store_begin(r->g->store);

	store_set_bucket(t, r->bucket, f, doc);
	return req_commit(r, t, doc_set);
}

/* The stored document as it is, or why there is none. */
static enum step_result reply_doc(struct req *r, struct str doc, const char *type, enum fail absent)
{
	struct buf b = BUF_NULL;

	if (!doc.n)
		return req_fail(r, absent);
	buf_add_str(&b, doc);
	return req_reply_bytes(r, 200, type, &b);
}

/* ---- notification ---- */

enum step_result s3_get_notification(struct req *r)
{
	const struct bucket *b = s3_bucket(r);
	struct s3_notification n = {0};
	struct err err = ERR_NULL;
	struct buf out = BUF_NULL;
	json_t *j = NULL;

	if (!b)
		return STEP_MORE;
	if (b->notification.n) {
		j = json_parse(b->notification, &err);
		if (!j || notification_from_json(&n, j, &r->arena, &err) != 0) {
			log_error("bucket %.*s: its notification configuration is unreadable: %s", STR_ARG(b->name),
				  err.msg);
			err_done(&err);
			json_decref(j);
			return req_fail(r, FAIL_INTERNAL);
		}
	}
	s3_xml_put_notification(&out, &n);
	json_decref(j);
	return s3_reply_xml(r, &out);
}

/* False after req_fail: a configuration that could start nothing. */
static bool functions_exist(struct req *r, const struct s3_notification *n)
{
	for (size_t i = 0; i < n->n; i++) {
		struct function_ref ref;

		if (function_ref_parse(n->lambdas[i].arn, &ref) && fn_find(r->g, ref.name, ref.qualifier))
			continue;
		req_failf(r, FAIL_INVALID_ARGUMENT, "Unable to validate the following destination configurations");
		s3_error_extra(r, "ArgumentName", n->lambdas[i].arn);
		s3_error_extra(r, "ArgumentValue", STR("The destination Lambda does not exist or has a different ARN"));
		return false;
	}
	return true;
}

enum step_result s3_put_notification(struct req *r)
{
	struct s3_xml_fault fault = {0};
	struct s3_notification n;
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	const char *message = NULL;
	enum s3_xml_error e;
	json_t *j;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = s3_xml_notification(&r->arena, buf_str(&r->body), &n, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	switch (notification_check(&r->arena, &n, &message)) {
	case NOTIFICATION_OK:
		break;
	case NOTIFICATION_E_UNSUPPORTED:
		return req_failf(r, FAIL_NOT_IMPLEMENTED, "%s", message);
	case NOTIFICATION_E_INVALID:
		return req_failf(r, FAIL_INVALID_ARGUMENT, "%s", message);
	}
	if (!functions_exist(r, &n))
		return STEP_MORE;
	if (n.n) {
		j = notification_to_json(&n);
		json_write(&doc, j);
		json_decref(j);
	}
	return set_doc(r, BUCKET_NOTIFICATION, buf_str(&doc));
}

/* ---- policy ---- */

enum step_result s3_get_policy(struct req *r)
{
	const struct bucket *b = s3_bucket(r);

	return b ? reply_doc(r, b->policy, "application/json", FAIL_NO_SUCH_POLICY) : STEP_MORE;
}

/* Every resource that a bucket's policy names must lie in the bucket. */
static bool resource_inside(struct req *r, const json_t *v)
{
	struct str s = json_str_value(v), arn = STR("arn:aws:s3:::");

	if (!str_starts(s, arn))
		return false;
	s = str_sub(s, arn.n, s.n);
	if (!str_starts(s, r->bucket))
		return false;
	s = str_sub(s, r->bucket.n, s.n);
	return !s.n || s.p[0] == '/' || s.p[0] == '*';
}

static bool resources_inside(struct req *r, const json_t *policy)
{
	const json_t *statements = json_object_get(policy, "Statement"), *st;
	size_t n = json_is_array(statements) ? json_array_size(statements) : 1;

	for (size_t i = 0; i < n; i++) {
		const json_t *res;

		st = json_is_array(statements) ? json_array_get(statements, i) : statements;
		res = json_object_get(st, "Resource");
		if (json_is_array(res)) {
			for (size_t k = 0; k < json_array_size(res); k++)
				if (!resource_inside(r, json_array_get(res, k)))
					return false;
		} else if (!res || !resource_inside(r, res)) {
			return false;
		}
	}
	return true;
}

enum step_result s3_put_policy(struct req *r)
{
	struct err err = ERR_NULL;
	json_t *policy;
	bool inside;

	if (!s3_bucket(r))
		return STEP_MORE;
	if (r->body.n > LIMIT_BUCKET_POLICY)
		return req_fail(r, FAIL_POLICY_TOO_LARGE);
	policy = policy_parse(buf_str(&r->body), &err);
	if (!policy) {
		req_failf(r, FAIL_MALFORMED_POLICY, "%s", err.msg);
		err_done(&err);
		return STEP_MORE;
	}
	inside = resources_inside(r, policy);
	json_decref(policy);
	if (!inside)
		return req_failf(r, FAIL_MALFORMED_POLICY, "Policy has invalid resource");
	return set_doc(r, BUCKET_POLICY, buf_str(&r->body));
}

enum step_result s3_delete_policy(struct req *r)
{
	return s3_bucket(r) ? set_doc(r, BUCKET_POLICY, STR_NULL) : STEP_MORE;
}

enum step_result s3_get_policy_status(struct req *r)
{
	const struct bucket *b = s3_bucket(r);
	struct buf out = BUF_NULL;
	json_t *policy;

	if (!b)
		return STEP_MORE;
	if (!b->policy.n)
		return req_fail(r, FAIL_NO_SUCH_POLICY);
	policy = policy_parse(b->policy, NULL);
	xml_begin(&out);
	xml_open_ns(&out, "PolicyStatus", S3_XMLNS);
	xml_elem_bool(&out, "IsPublic", policy_is_public(policy));
	xml_close(&out, "PolicyStatus");
	json_decref(policy);
	return s3_reply_xml(r, &out);
}

/* ---- CORS ---- */

enum step_result s3_get_cors(struct req *r)
{
	const struct bucket *b = s3_bucket(r);

	return b ? reply_doc(r, b->cors, "application/xml", FAIL_NO_SUCH_CORS) : STEP_MORE;
}

enum step_result s3_put_cors(struct req *r)
{
	struct s3_xml_fault fault = {0};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct s3_cors cors;
	enum s3_xml_error e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = s3_xml_cors(&r->arena, buf_str(&r->body), &cors, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	s3_xml_put_cors(&doc, &cors);
	return set_doc(r, BUCKET_CORS, buf_str(&doc));
}

enum step_result s3_delete_cors(struct req *r)
{
	return s3_bucket(r) ? set_doc(r, BUCKET_CORS, STR_NULL) : STEP_MORE;
}

/* At most one '*' in the pattern, which stands for any run. */
static bool wildcard_match(struct str pattern, struct str s, bool fold)
{
	ssize_t star = str_chr(pattern, '*', 0);
	struct str head, tail;

	if (star < 0)
		return fold ? str_ieq(pattern, s) : str_eq(pattern, s);
	head = str_sub(pattern, 0, (size_t)star);
	tail = str_sub(pattern, (size_t)star + 1, pattern.n);
	if (s.n < head.n + tail.n)
		return false;
	s = str_sub(s, 0, s.n);
	return (fold ? str_istarts(s, head) : str_starts(s, head)) &&
	       (fold ? str_ieq(str_sub(s, s.n - tail.n, tail.n), tail) : str_ends(s, tail));
}

static bool any_match(const struct str *patterns, size_t n, struct str s, bool fold)
{
	for (size_t i = 0; i < n; i++)
		if (wildcard_match(patterns[i], s, fold))
			return true;
	return false;
}

static bool headers_allowed(const struct s3_cors_rule *rule, struct str wanted)
{
	struct str one;

	while (wanted.n) {
		str_cut(wanted, ',', &one, &wanted);
		one = str_trim(one);
		if (one.n && !any_match(rule->headers, rule->n_headers, one, true))
			return false;
	}
	return true;
}

static const struct s3_cors_rule *find_rule(const struct s3_cors *c, struct str origin, struct str method,
					    struct str headers)
{
	for (size_t i = 0; i < c->n; i++)
		if (any_match(c->rules[i].origins, c->rules[i].n_origins, origin, false) &&
		    any_match(c->rules[i].methods, c->rules[i].n_methods, method, false) &&
		    headers_allowed(&c->rules[i], headers))
			return &c->rules[i];
	return NULL;
}

static void set_joined(struct req *r, const char *name, const struct str *list, size_t n)
{
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_adds(&b, ", ");
		buf_add_str(&b, list[i]);
	}
	if (b.n)
		req_set_header(r, name, buf_str(&b));
	buf_done(&b);
}

static void set_cors_headers(struct req *r, const struct s3_cors_rule *rule, struct str origin)
{
	bool everyone = false;

	for (size_t i = 0; i < rule->n_origins; i++)
		everyone |= str_eqz(rule->origins[i], "*");
	req_set_header(r, "Access-Control-Allow-Origin", everyone ? STR("*") : origin);
	if (!everyone)
		req_set_header(r, "Access-Control-Allow-Credentials", STR("true"));
	set_joined(r, "Access-Control-Allow-Methods", rule->methods, rule->n_methods);
	set_joined(r, "Access-Control-Expose-Headers", rule->exposed, rule->n_exposed);
	if (rule->max_age >= 0)
		req_set_headerf(r, "Access-Control-Max-Age", "%lld", (long long)rule->max_age);
	req_set_header(r, "Vary", STR("Origin, Access-Control-Request-Headers, Access-Control-Request-Method"));
}

/* False: none is set, or the bucket is not there. */
static bool read_cors(struct req *r, struct s3_cors *ret)
{
	const struct bucket *b = s3_call(r)->bucket;
	struct bucket *found;

	if (!b) {
		if (store_get_bucket(store_reader(r->g->store), &r->arena, r->bucket, &found) != 0)
			return false;
		b = found;
	}
	return b->cors.n && s3_xml_cors(&r->arena, b->cors, ret, NULL) == S3_XML_OK;
}

void s3_cors_reply(struct req *r)
{
	struct str origin = str_trim(req_header(r, "origin"));
	const struct s3_cors_rule *rule;
	struct s3_cors cors;

	if (!r->bucket.n || !read_cors(r, &cors))
		return;
	rule = find_rule(&cors, origin, r->method, STR_NULL);
	if (rule)
		set_cors_headers(r, rule, origin);
}

enum step_result s3_preflight(struct req *r)
{
	struct str origin = str_trim(req_header(r, "origin"));
	struct str method = str_trim(req_header(r, "access-control-request-method"));
	struct str headers = str_trim(req_header(r, "access-control-request-headers"));
	const struct s3_cors_rule *rule;
	struct s3_cors cors;

	if (!origin.n)
		return req_fail(r, FAIL_CORS_BAD_REQUEST);
	if (!method.n)
		return req_failf(r, FAIL_CORS_BAD_REQUEST, "Invalid Access-Control-Request-Method: null");
	if (!read_cors(r, &cors))
		return req_failf(r, FAIL_CORS_FORBIDDEN, "CORSResponse: CORS is not enabled for this bucket.");
	rule = find_rule(&cors, origin, method, headers);
	if (!rule)
		return req_fail(r, FAIL_CORS_FORBIDDEN);
	set_cors_headers(r, rule, origin);
	if (headers.n)
		req_set_header(r, "Access-Control-Allow-Headers", headers);
	return req_reply_empty(r, 200);
}

/* ---- tags, versioning ---- */

enum step_result s3_get_bucket_tagging(struct req *r)
{
	const struct bucket *b = s3_bucket(r);

	return b ? reply_doc(r, b->tagging, "application/xml", FAIL_NO_SUCH_TAGS) : STEP_MORE;
}

enum step_result s3_put_bucket_tagging(struct req *r)
{
	struct s3_xml_fault fault = {0};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct s3_tagging tags;
	enum s3_xml_error e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = s3_xml_tagging(&r->arena, buf_str(&r->body), S3_BUCKET_TAGS_MAX, &tags, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	if (tags.n)
		s3_xml_put_tagging(&doc, tags.tags, tags.n);
	return set_doc(r, BUCKET_TAGGING, buf_str(&doc));
}

enum step_result s3_delete_bucket_tagging(struct req *r)
{
	return s3_bucket(r) ? set_doc(r, BUCKET_TAGGING, STR_NULL) : STEP_MORE;
}

enum step_result s3_get_versioning(struct req *r)
{
	struct buf b = BUF_NULL;

	if (!s3_bucket(r))
		return STEP_MORE;
	s3_xml_put_versioning(&b, S3_VERSIONING_OFF);
	return s3_reply_xml(r, &b);
}

enum step_result s3_put_versioning(struct req *r)
{
	struct s3_xml_fault fault = {0};
	enum s3_versioning v;
	enum s3_xml_error e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = s3_xml_versioning(&r->arena, buf_str(&r->body), &v, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	if (v == S3_VERSIONING_ENABLED)
		return req_failf(r, FAIL_NOT_IMPLEMENTED, "Versioning is not implemented by Wick; it is always off.");
	return req_reply_empty(r, 200);
}
