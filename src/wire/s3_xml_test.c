/* S3's documents: what each request decodes to, what is refused and under which name, answers that read back. */
#include "wire/s3_xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NS " xmlns=\"" S3_XMLNS "\""

enum kind { COMPLETE, DELETE, TAGGING, CREATE, NOTIFICATION, CORS, VERSIONING };

static enum s3_xml_error decode(enum kind kind, struct arena *a, struct str xml, struct s3_xml_fault *f)
{
	struct s3_complete complete;
	struct s3_delete delete;
	struct s3_tagging tagging;
	struct str location;
	struct s3_notification notification;
	struct s3_cors cors;
	enum s3_versioning versioning;

	switch (kind) {
	case COMPLETE:
		return s3_xml_complete(a, xml, &complete, f);
	case DELETE:
		return s3_xml_delete(a, xml, &delete, f);
	case TAGGING:
		return s3_xml_tagging(a, xml, S3_OBJECT_TAGS_MAX, &tagging, f);
	case CREATE:
		return s3_xml_create_bucket(a, xml, &location, f);
	case NOTIFICATION:
		return s3_xml_notification(a, xml, &notification, f);
	case CORS:
		return s3_xml_cors(a, xml, &cors, f);
	case VERSIONING:
		return s3_xml_versioning(a, xml, &versioning, f);
	}
	return S3_XML_OK;
}

#define PART(n) "<Part><PartNumber>" n "</PartNumber><ETag>e</ETag></Part>"
#define TAG(k)  "<Tag><Key>" k "</Key><Value>v</Value></Tag>"
#define LAMBDA(in)                                                                                                     \
	"<NotificationConfiguration><CloudFunctionConfiguration>" in                                                   \
	"</CloudFunctionConfiguration></NotificationConfiguration>"
#define RULE(n)       "<FilterRule><Name>" n "</Name><Value>v</Value></FilterRule>"
#define FILTER(in)    LAMBDA("<CloudFunction>f</CloudFunction><Event>e</Event><Filter><S3Key>" in "</S3Key></Filter>")
#define CORS_RULE(in) "<CORSConfiguration><CORSRule>" in "</CORSRule></CORSConfiguration>"

static void errors(void **state)
{
	static const struct {
		enum kind kind;
		const char *xml;
		enum s3_xml_error error;
		const char *element;
	} cases[] = {
		{COMPLETE, "", S3_XML_MALFORMED, ""},
		{COMPLETE, "<x/>", S3_XML_MALFORMED, "CompleteMultipartUpload"},
		{COMPLETE, "<CompleteMultipartUpload/>", S3_XML_MALFORMED, "Part"},
		{COMPLETE, "<CompleteMultipartUpload>" PART("1") PART("2") "</CompleteMultipartUpload>", S3_XML_OK, ""},
		{COMPLETE, "<CompleteMultipartUpload>" PART("2") PART("1") "</CompleteMultipartUpload>",
		 S3_XML_PART_ORDER, "PartNumber"},
		{COMPLETE, "<CompleteMultipartUpload>" PART("1") PART("1") "</CompleteMultipartUpload>",
		 S3_XML_PART_ORDER, "PartNumber"},
		{COMPLETE, "<CompleteMultipartUpload>" PART("0") "</CompleteMultipartUpload>", S3_XML_INVALID,
		 "PartNumber"},
		{COMPLETE, "<CompleteMultipartUpload>" PART("10001") "</CompleteMultipartUpload>", S3_XML_INVALID,
		 "PartNumber"},
		{COMPLETE, "<CompleteMultipartUpload>" PART("x") "</CompleteMultipartUpload>", S3_XML_MALFORMED,
		 "PartNumber"},
		{COMPLETE, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
		 S3_XML_MALFORMED, "ETag"},
		{DELETE, "<Delete/>", S3_XML_MALFORMED, "Object"},
		{DELETE, "<Delete><Object/></Delete>", S3_XML_MALFORMED, "Key"},
		{DELETE, "<Delete><Quiet>x</Quiet><Object><Key>k</Key></Object></Delete>", S3_XML_MALFORMED, "Quiet"},
		{TAGGING, "<Tagging/>", S3_XML_MALFORMED, "TagSet"},
		{TAGGING, "<Tagging><TagSet/></Tagging>", S3_XML_OK, ""},
		{TAGGING, "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", S3_XML_MALFORMED, "Tag"},
		{TAGGING, "<Tagging><TagSet>" TAG("a") TAG("a") "</TagSet></Tagging>", S3_XML_TAG, "Key"},
		{TAGGING, "<Tagging><TagSet>" TAG("") "</TagSet></Tagging>", S3_XML_TAG, "Key"},
		{TAGGING, "<Tagging><TagSet>" TAG("aws:x") "</TagSet></Tagging>", S3_XML_TAG, "Key"},
		{TAGGING,
		 "<Tagging><TagSet>" TAG("a") TAG("b") TAG("c") TAG("d") TAG("e") TAG("f") TAG("g") TAG("h") TAG("i")
			 TAG("j") TAG("k") "</TagSet></Tagging>",
		 S3_XML_TAG, "TagSet"},
		{CREATE, "", S3_XML_OK, ""},
		{CREATE, "<CreateBucketConfiguration/>", S3_XML_OK, ""},
		{CREATE,
		 "<CreateBucketConfiguration><LocationConstraint>a b</LocationConstraint></CreateBucketConfiguration>",
		 S3_XML_LOCATION, "LocationConstraint"},
		{NOTIFICATION, "<NotificationConfiguration/>", S3_XML_OK, ""},
		{NOTIFICATION, LAMBDA(""), S3_XML_MALFORMED, "CloudFunction"},
		{NOTIFICATION, LAMBDA("<CloudFunction>f</CloudFunction>"), S3_XML_MALFORMED, "Event"},
		{NOTIFICATION, FILTER(RULE("Prefix") RULE("suffix")), S3_XML_OK, ""},
		{NOTIFICATION, FILTER(RULE("prefix") RULE("Prefix")), S3_XML_INVALID, "FilterRule"},
		{NOTIFICATION, FILTER(RULE("infix")), S3_XML_INVALID, "Name"},
		{CORS, "<CORSConfiguration/>", S3_XML_MALFORMED, "CORSRule"},
		{CORS, CORS_RULE("<AllowedOrigin>*</AllowedOrigin>"), S3_XML_MALFORMED, "AllowedMethod"},
		{CORS, CORS_RULE("<AllowedOrigin>*</AllowedOrigin><AllowedMethod>PATCH</AllowedMethod>"),
		 S3_XML_INVALID, "AllowedMethod"},
		{CORS, CORS_RULE("<AllowedOrigin>*a*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"),
		 S3_XML_INVALID, "AllowedOrigin"},
		{CORS,
		 CORS_RULE("<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><MaxAgeSeconds>x</"
			   "MaxAgeSeconds>"),
		 S3_XML_MALFORMED, "MaxAgeSeconds"},
		{VERSIONING, "<VersioningConfiguration/>", S3_XML_OK, ""},
		{VERSIONING, "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", S3_XML_MALFORMED,
		 "Status"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct s3_xml_fault f = {.element = "", .message = ""};
		enum s3_xml_error e = decode(cases[i].kind, &a, str_from(cases[i].xml), &f);

		if (e != cases[i].error || strcmp(f.element, cases[i].element) != 0 || (e && !f.message[0]))
			fail_msg("%s: %d %s: %s", cases[i].xml, e, f.element, f.message);
		assert_int_equal(decode(cases[i].kind, &a, str_from(cases[i].xml), NULL), e);
	}
}

static void decoded(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct s3_complete c;
	struct s3_delete d;
	struct s3_notification n;

	assert_int_equal(
		s3_xml_complete(
			&a,
			STR("<CompleteMultipartUpload" NS "><Part><ETag>&quot;abc&quot;</ETag><PartNumber> 7 "
			    "</PartNumber><ChecksumCRC32C>AAAA</ChecksumCRC32C></Part></CompleteMultipartUpload>"),
			&c, NULL),
		S3_XML_OK);
	assert_int_equal(c.parts[0].number, 7);
	assert_true(str_eqz(c.parts[0].etag, "abc"));
	assert_int_equal(c.parts[0].checksum_kind, DIGEST_CRC32C);
	assert_int_equal(
		s3_xml_delete(&a,
			      STR("<Delete><Quiet>true</Quiet><Object><Key> k&amp; </Key><VersionId>null</VersionId>"
				  "</Object><Object><Key>b</Key></Object></Delete>"),
			      &d, NULL),
		S3_XML_OK);
	assert_true(d.quiet);
	assert_int_equal(d.n, 2);
	assert_true(str_eqz(d.keys[0].key, " k& "));
	assert_true(str_eqz(d.keys[0].version, "null"));
	assert_int_equal(
		s3_xml_notification(&a,
				    STR("<NotificationConfiguration><QueueConfiguration/><LambdaFunctionConfiguration>"
					"<LambdaFunctionArn>f</LambdaFunctionArn><Event>e1</Event><Event>e2</Event>"
					"</LambdaFunctionConfiguration></NotificationConfiguration>"),
				    &n, NULL),
		S3_XML_OK);
	assert_true(str_eqz(n.unsupported, "QueueConfiguration"));
	assert_int_equal(n.lambdas[0].n_events, 2);
}

static void round_trips(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL, again = BUF_NULL;
	struct s3_notification n;
	struct s3_cors c;
	struct s3_tagging t;
	struct kv tags[] = {{STR("a<"), STR(" b ")}};
	enum s3_versioning v = S3_VERSIONING_OFF;

	assert_int_equal(s3_xml_notification(&a, STR(FILTER(RULE("Prefix") RULE("Suffix"))), &n, NULL), S3_XML_OK);
	s3_xml_put_notification(&b, &n);
	assert_int_equal(s3_xml_notification(&a, buf_str(&b), &n, NULL), S3_XML_OK);
	s3_xml_put_notification(&again, &n);
	assert_string_equal(buf_cstr(&b), buf_cstr(&again));
	assert_true(str_eqz(n.lambdas[0].suffix, "v"));
	buf_clear(&b);
	assert_int_equal(s3_xml_cors(&a,
				     STR(CORS_RULE("<ID>i</ID><AllowedOrigin>http://*</AllowedOrigin><AllowedMethod>GET"
						   "</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag"
						   "</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds>")),
				     &c, NULL),
			 S3_XML_OK);
	s3_xml_put_cors(&b, &c);
	assert_int_equal(s3_xml_cors(&a, buf_str(&b), &c, NULL), S3_XML_OK);
	assert_int_equal(c.rules[0].max_age, 3000);
	assert_int_equal(c.rules[0].n_exposed, 1);
	buf_clear(&b);
	s3_xml_put_tagging(&b, tags, 1);
	assert_int_equal(s3_xml_tagging(&a, buf_str(&b), 10, &t, NULL), S3_XML_OK);
	assert_true(str_eqz(t.tags[0].k, "a<") && str_eqz(t.tags[0].v, " b "));
	buf_clear(&b);
	s3_xml_put_versioning(&b, S3_VERSIONING_SUSPENDED);
	assert_int_equal(s3_xml_versioning(&a, buf_str(&b), &v, NULL), S3_XML_OK);
	assert_int_equal(v, S3_VERSIONING_SUSPENDED);
}

static void listing(void **state)
{
	static const struct s3_list_entry entries[] = {{.key = STR("a b/&"), .etag = STR("e"), .size = 5}};
	static const struct str prefixes[] = {STR("p q/")};
	struct s3_list l = {.bucket = STR("b"),
			    .prefix = STR(""),
			    .delimiter = STR("/"),
			    .url = true,
			    .max_keys = 1000,
			    .entries = entries,
			    .n_entries = 1,
			    .prefixes = prefixes,
			    .n_prefixes = 1,
			    .next_token = STR("t"),
			    .truncated = true};
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	s3_xml_put_list_v2(&b, &l);
	assert_string_equal(
		buf_cstr(&b),
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult" NS "><Name>b</Name><Prefix></Prefix>"
		"<Delimiter>/</Delimiter><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true"
		"</IsTruncated><KeyCount>2</KeyCount><NextContinuationToken>t</NextContinuationToken><Contents><Key>"
		"a%20b/%26</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5"
		"</Size><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>p%20q/</Prefix>"
		"</CommonPrefixes></ListBucketResult>");
	buf_clear(&b);
	l.url = false;
	s3_xml_put_list_v1(&b, &l);
	assert_non_null(strstr(buf_cstr(&b), "<Key>a b/&amp;</Key>"));
}

/* Every other answer is well-formed and has its root. */
static void answers(void **state)
{
	struct s3_owner owner = {STR("id"), STR("name")};
	struct s3_bucket_entry bucket = {STR("b"), 0};
	struct s3_part_entry part = {
		.number = 1, .etag = STR("e"), .checksum_kind = DIGEST_SHA256, .checksum = STR("c")};
	struct s3_upload_entry upload = {.key = STR("k"), .upload_id = STR("u")};
	struct s3_deleted deleted[] = {{.key = STR("k")}, {.key = STR("l"), .code = STR("InternalError")}};
	struct kv extra = {STR("BucketName"), STR("b")};
	struct s3_parts parts = {.owner = owner, .parts = &part, .n = 1};
	struct s3_uploads uploads = {.owner = owner, .uploads = &upload, .n = 1, .truncated = true};
	struct buf b[10] = {0};
	static const char *const roots[] = {"ListAllMyBucketsResult",
					    "Error",
					    "InitiateMultipartUploadResult",
					    "CompleteMultipartUploadResult",
					    "CopyObjectResult",
					    "CopyPartResult",
					    "ListPartsResult",
					    "ListMultipartUploadsResult",
					    "DeleteResult",
					    "LocationConstraint"};

	s3_xml_put_buckets(&b[0], owner, &bucket, 1);
	s3_xml_put_error(&b[1], STR("NoSuchKey"), STR("m"), STR("/b/k"), STR("r"), STR("h"), &extra, 1);
	s3_xml_put_initiate(&b[2], STR("b"), STR("k"), STR("u"));
	s3_xml_put_complete(&b[3], STR("l"), STR("b"), STR("k"), STR("e"), DIGEST_CRC32, STR("c"));
	s3_xml_put_copy_object(&b[4], STR("e"), 0);
	s3_xml_put_copy_part(&b[5], STR("e"), 0);
	s3_xml_put_parts(&b[6], &parts);
	s3_xml_put_uploads(&b[7], &uploads);
	s3_xml_put_deleted(&b[8], deleted, 2, false);
	s3_xml_put_location(&b[9], STR("eu-west-1"));
	for (size_t i = 0; i < ARRAY_SIZE(b); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		const struct xml_node *n = xml_parse(&a, buf_str(&b[i]), S3_XML_MAX, NULL);

		assert_non_null(n);
		assert_true(str_eqz(n->name, roots[i]));
	}
	assert_non_null(strstr(buf_cstr(&b[6]), "<ChecksumSHA256>c</ChecksumSHA256>"));
	for (size_t i = 0; i < ARRAY_SIZE(b); i++)
		buf_done(&b[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),  cmocka_unit_test(decoded), cmocka_unit_test(round_trips),
		cmocka_unit_test(listing), cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
