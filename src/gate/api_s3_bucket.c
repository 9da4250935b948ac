/* Buckets: making, naming, removing them, and the answers about one that never change. The store owns buckets; every
 * operation here is one point read or one commit. */
#include "gate/api_s3.h"

#include "model/limits.h"

enum step_result s3_list_buckets(struct req *r)
{
	struct s3_bucket_entry *entries;
	struct bucket *buckets;
	struct buf b = BUF_NULL;
	size_t n;
	int e = store_list_buckets(store_reader(r->g->store), &r->arena, &buckets, &n);

	if (e)
		return s3_fail_store(r, e);
	entries = arena_new_n(&r->arena, struct s3_bucket_entry, MAX(n, (size_t)1));
	for (size_t i = 0; i < n; i++)
		entries[i] = (struct s3_bucket_entry){.name = buckets[i].name, .created_ms = buckets[i].created_ms};
	s3_xml_put_buckets(&b, s3_owner(r), entries, n);
	return s3_reply_xml(r, &b);
}

static enum step_result bucket_created(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	req_set_headerf(r, "Location", "/%.*s", STR_ARG(r->bucket));
	return req_reply_empty(r, 200);
}

enum step_result s3_create_bucket(struct req *r)
{
	struct str location, region = str_from(r->g->conf.s.region);
	struct s3_xml_fault fault = {0};
	struct store_txn *t;
	enum s3_xml_error e;

	if (!limit_bucket_name(r->bucket))
		return req_fail(r, FAIL_INVALID_BUCKET_NAME);
	if (s3_refuse_unbuilt_headers(r))
		return STEP_MORE;
	e = s3_xml_create_bucket(&r->arena, buf_str(&r->body), &location, &fault);
	if (e)
		return s3_fail_xml(r, e, &fault);
	if (location.n && !str_eq(location, region))
		return req_failf(r, FAIL_ILLEGAL_LOCATION,
				 "The %.*s location constraint is incompatible for the region specific endpoint this "
				 "request was sent to.",
				 STR_ARG(location));
	t = store_begin(r->g->store);
	store_put_bucket(t, &(struct bucket){.name = r->bucket, .created_ms = r->now_ms});
	return req_commit(r, t, bucket_created);
}

enum step_result s3_head_bucket(struct req *r)
{
	if (!s3_bucket(r))
		return STEP_MORE;
	req_set_header(r, "x-amz-bucket-region", str_from(r->g->conf.s.region));
	req_set_header(r, "x-amz-access-point-alias", STR("false"));
	req_set_header(r, "Content-Type", STR("application/xml"));
	return req_reply_empty(r, 200);
}

static enum step_result bucket_deleted(struct req *r)
{
	if (r->store_result)
		return s3_fail_store(r, r->store_result);
	return req_reply_empty(r, 204);
}

enum step_result s3_delete_bucket(struct req *r)
{
	struct store_txn *t;

	if (!s3_bucket(r))
		return STEP_MORE;
	t = store_begin(r->g->store);
	store_delete_bucket(t, r->bucket);
	return req_commit(r, t, bucket_deleted);
}

enum step_result s3_get_location(struct req *r)
{
	struct buf b = BUF_NULL;

	if (!s3_bucket(r))
		return STEP_MORE;
	s3_xml_put_location(&b, str_from(r->g->conf.s.region));
	return s3_reply_xml(r, &b);
}

/* Access control lists are off, as in a new bucket of S3: the owner has full control, nobody else any. */
static enum step_result reply_acl(struct req *r)
{
	struct s3_owner owner = s3_owner(r);
	struct buf b = BUF_NULL;

	xml_begin(&b);
	xml_open_ns(&b, "AccessControlPolicy", S3_XMLNS);
	xml_open(&b, "Owner");
	xml_elem(&b, "ID", owner.id);
	xml_elem(&b, "DisplayName", owner.name);
	xml_close(&b, "Owner");
	xml_open(&b, "AccessControlList");
	xml_open(&b, "Grant");
	buf_adds(&b, "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">");
	xml_elem(&b, "ID", owner.id);
	xml_elem(&b, "DisplayName", owner.name);
	xml_close(&b, "Grantee");
	xml_elem(&b, "Permission", STR("FULL_CONTROL"));
	xml_close(&b, "Grant");
	xml_close(&b, "AccessControlList");
	xml_close(&b, "AccessControlPolicy");
	return s3_reply_xml(r, &b);
}

enum step_result s3_get_bucket_acl(struct req *r)
{
	return s3_bucket(r) ? reply_acl(r) : STEP_MORE;
}

enum step_result s3_get_object_acl(struct req *r)
{
	struct object *o;
	int e;

	if (!s3_bucket(r))
		return STEP_MORE;
	e = store_get_object(store_reader(r->g->store), &r->arena, r->bucket, r->key, &o);
	return e ? s3_fail_store(r, e) : reply_acl(r);
}

enum step_result s3_get_ownership(struct req *r)
{
	struct buf b = BUF_NULL;

	if (!s3_bucket(r))
		return STEP_MORE;
	xml_begin(&b);
	xml_open_ns(&b, "OwnershipControls", S3_XMLNS);
	xml_open(&b, "Rule");
	xml_elem(&b, "ObjectOwnership", STR("BucketOwnerEnforced"));
	xml_close(&b, "Rule");
	xml_close(&b, "OwnershipControls");
	return s3_reply_xml(r, &b);
}

enum step_result s3_get_payment(struct req *r)
{
	struct buf b = BUF_NULL;

	if (!s3_bucket(r))
		return STEP_MORE;
	xml_begin(&b);
	xml_open_ns(&b, "RequestPaymentConfiguration", S3_XMLNS);
	xml_elem(&b, "Payer", STR("BucketOwner"));
	xml_close(&b, "RequestPaymentConfiguration");
	return s3_reply_xml(r, &b);
}

/* A configuration that was never made and cannot be. */
static enum step_result reply_none(struct req *r, const char *name)
{
	struct buf b = BUF_NULL;

	if (!s3_bucket(r))
		return STEP_MORE;
	xml_begin(&b);
	xml_open_ns(&b, name, S3_XMLNS);
	xml_close(&b, name);
	return s3_reply_xml(r, &b);
}

enum step_result s3_get_logging(struct req *r)
{
	return reply_none(r, "BucketLoggingStatus");
}

enum step_result s3_get_accelerate(struct req *r)
{
	return reply_none(r, "AccelerateConfiguration");
}
