/* Signatures: AWS's published examples, requests signed by botocore (sigv4_vectors.h), and every refusal. */
#include "wire/sigv4.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define MAX_HEADERS 16
#define EMPTY_HASH  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct vector {
	const char *service, *method, *path, *query, *payload;
	struct {
		const char *name, *value;
	} headers[MAX_HEADERS];
};

static const struct vector vectors[] = {
#include "sigv4_vectors.h"
};

static const char botocore_secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
static const char aws_secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

struct fixture {
	struct arena arena;
	struct sigv4_header headers[MAX_HEADERS];
	struct sigv4_request r;
	struct sigv4_auth auth;
};

static void load(struct fixture *f, const struct vector *v)
{
	*f = (struct fixture){
		.r = {.method = str_from(v->method), .path = str_from(v->path), .query = str_from(v->query)},
	};
	for (size_t i = 0; i < MAX_HEADERS && v->headers[i].name; i++)
		f->headers[f->r.n_headers++] =
			(struct sigv4_header){str_from(v->headers[i].name), str_from(v->headers[i].value)};
	f->r.headers = f->headers;
}

static enum sigv4_error verify(struct fixture *f, const char *secret, const char *payload, int64_t now_s)
{
	uint8_t key[SHA256_SIZE];
	enum sigv4_error e = sigv4_read(&f->r, &f->arena, &f->auth);

	if (e)
		return e;
	sigv4_signing_key(str_from(secret), f->auth.date, f->auth.region, f->auth.service, key);
	return sigv4_check(&f->r, &f->auth, key, str_from(payload), now_s);
}

static int64_t at(const char *amz)
{
	int64_t s;

	assert_true(time_parse_amz(str_from(amz), &s));
	return s;
}

static void test_botocore(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct fixture f;
		enum sigv4_error e;

		load(&f, v);
		e = verify(&f, botocore_secret, v->payload, at("20260131T120500Z"));
		if (e)
			print_error("vector %zu: %s %s?%s: %d\n", i, v->method, v->path, v->query, e);
		assert_int_equal(e, SIGV4_OK);
		assert_true(str_eqz(f.auth.service, v->service));
		assert_true(str_eqz(f.auth.access_key, "AKIDEXAMPLE"));
		if (str_eqz(f.auth.service, "s3"))
			assert_true(str_eqz(f.auth.payload_hash, v->payload));
		f.r.method = STR("DELETE");
		assert_int_equal(verify(&f, botocore_secret, v->payload, at("20260131T120500Z")), SIGV4_MISMATCH);
		arena_done(&f.arena);
	}
}

#define AWS_KEY  "AKIAIOSFODNN7EXAMPLE"
#define AWS_AUTH "AWS4-HMAC-SHA256 Credential=" AWS_KEY "/20130524/us-east-1/s3/aws4_request,"

/* Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header" and "... Query Parameters". */
static const struct vector aws_examples[] = {
	{.method = "GET",
	 .path = "/test.txt",
	 .query = "",
	 .payload = EMPTY_HASH,
	 .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
		     {"Authorization",
		      AWS_AUTH "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
			       "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		     {"Range", "bytes=0-9"},
		     {"x-amz-content-sha256", EMPTY_HASH},
		     {"x-amz-date", "20130524T000000Z"}}},
	{.method = "PUT",
	 .path = "/test$file.text",
	 .query = "",
	 .payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	 .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
		     {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
		     {"Authorization",
		      AWS_AUTH "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
			       "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		     {"x-amz-date", "20130524T000000Z"},
		     {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		     {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}}},
	{.method = "GET",
	 .path = "/",
	 .query = "lifecycle",
	 .payload = EMPTY_HASH,
	 .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
		     {"Authorization",
		      AWS_AUTH "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
			       "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		     {"x-amz-date", "20130524T000000Z"},
		     {"x-amz-content-sha256", EMPTY_HASH}}},
	{.method = "GET",
	 .path = "/",
	 .query = "max-keys=2&prefix=J",
	 .payload = EMPTY_HASH,
	 .headers = {{"Host", "examplebucket.s3.amazonaws.com"},
		     {"Authorization",
		      AWS_AUTH "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
			       "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		     {"x-amz-date", "20130524T000000Z"},
		     {"x-amz-content-sha256", EMPTY_HASH}}},
	{.method = "GET",
	 .path = "/test.txt",
	 .query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" AWS_KEY
		  "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
		  "&X-Amz-SignedHeaders=host"
		  "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
	 .payload = "UNSIGNED-PAYLOAD",
	 .headers = {{"Host", "examplebucket.s3.amazonaws.com"}}},
};

static void test_aws_examples(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(aws_examples); i++) {
		struct fixture f;

		load(&f, &aws_examples[i]);
		assert_int_equal(verify(&f, aws_secret, aws_examples[i].payload, at("20130524T001000Z")), SIGV4_OK);
		assert_int_equal(f.auth.presigned, i == 4);
		arena_done(&f.arena);
	}
}

static void test_times(void **state)
{
	static const struct {
		size_t example;
		const char *now;
		enum sigv4_error want;
	} cases[] = {
		{0, "20130524T001500Z", SIGV4_OK},     {0, "20130524T001501Z", SIGV4_SKEWED},
		{0, "20130523T234500Z", SIGV4_OK},     {0, "20130523T234459Z", SIGV4_SKEWED},
		{4, "20130525T000000Z", SIGV4_OK},     {4, "20130525T000001Z", SIGV4_EXPIRED},
		{4, "20130523T234459Z", SIGV4_SKEWED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vector *v = &aws_examples[cases[i].example];
		struct fixture f;

		load(&f, v);
		assert_int_equal(verify(&f, aws_secret, v->payload, at(cases[i].now)), cases[i].want);
		arena_done(&f.arena);
	}
}

#define SIG   "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
#define NAMES "SignedHeaders=host;x-amz-date,"
#define ALGO  "AWS4-HMAC-SHA256 "
#define CRED  "Credential=A/20130524/r/s3/aws4_request,"

static void test_refused_headers(void **state)
{
	static const struct {
		const char *authorization, *date;
		enum sigv4_error want;
	} cases[] = {
		{ALGO CRED NAMES SIG, "20130524T000000Z", SIGV4_OK},
		{ALGO " " NAMES " " CRED "  " SIG, "20130524T000000Z", SIGV4_OK},
		{"Bearer x", "20130524T000000Z", SIGV4_ABSENT},
		{"", "20130524T000000Z", SIGV4_ABSENT},
		{"AWS A:sig", "20130524T000000Z", SIGV4_MALFORMED},
		{"AWS4-ECDSA-P256-SHA256 " CRED NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{"AWS4-HMAC-SHA256", "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED NAMES, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED CRED NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED NAMES "X=y," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED NAMES "Signature=12", "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO "Credential=A/20130524/r/s3/aws5," NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO "Credential=/20130524/r/s3/aws4_request," NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO "Credential=A/r/s3/aws4_request," NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO "Credential=A/20130524//s3/aws4_request," NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO "Credential=A/2013052x/r/s3/aws4_request," NAMES SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=x-amz-date;host," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=host;host;x-amz-date," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=Host;x-amz-date," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=host;," SIG, "20130524T000000Z", SIGV4_MALFORMED},
		{ALGO CRED "SignedHeaders=x-amz-date," SIG, "20130524T000000Z", SIGV4_UNSIGNED_HEADER},
		{ALGO CRED "SignedHeaders=host," SIG, "20130524T000000Z", SIGV4_UNSIGNED_HEADER},
		{ALGO CRED NAMES SIG, "yesterday", SIGV4_WRONG_DATE},
		{ALGO CRED NAMES SIG, "", SIGV4_WRONG_DATE},
		{ALGO CRED NAMES SIG, NULL, SIGV4_WRONG_DATE},
		{ALGO CRED NAMES SIG, "20130525T000000Z", SIGV4_MALFORMED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vector v = {.method = "GET", .path = "/", .query = "a=X-Amz-", .headers = {{"Host", "h"}}};
		struct fixture f;
		enum sigv4_error e;

		v.headers[1].name = "Authorization";
		v.headers[1].value = cases[i].authorization;
		v.headers[2].name = cases[i].date ? "X-Amz-Date" : NULL;
		v.headers[2].value = cases[i].date;
		load(&f, &v);
		e = sigv4_read(&f.r, &f.arena, &f.auth);
		if (e != cases[i].want)
			print_error("case %zu: %d\n", i, e);
		assert_int_equal(e, cases[i].want);
		arena_done(&f.arena);
	}
}

static void test_date_header(void **state)
{
	static const struct vector v = {.method = "GET",
					.path = "/",
					.query = "",
					.headers = {{"Host", "h"},
						    {"date", "Fri, 24 May 2013 00:00:00 GMT"},
						    {"authorization", ALGO CRED "SignedHeaders=date;host," SIG}}};
	struct fixture f;

	load(&f, &v);
	assert_int_equal(sigv4_read(&f.r, &f.arena, &f.auth), SIGV4_OK);
	assert_true(str_eqz(f.auth.timestamp, "20130524T000000Z"));
	arena_done(&f.arena);
}

#define Q_ALGO "X-Amz-Algorithm=AWS4-HMAC-SHA256"
#define Q_CRED "&X-Amz-Credential=A%2F20130524%2Fr%2Fs3%2Faws4_request"
#define Q_DATE "&X-Amz-Date=20130524T000000Z"
#define Q_EXP  "&X-Amz-Expires=60"
#define Q_HDR  "&X-Amz-SignedHeaders=host"
#define Q_SIG  "&X-Amz-" SIG

static void test_refused_queries(void **state)
{
	static const struct {
		const char *query;
		enum sigv4_error want;
	} cases[] = {
		{Q_ALGO Q_CRED Q_DATE Q_EXP Q_HDR Q_SIG, SIGV4_OK},
		{"x=1" Q_SIG Q_HDR Q_EXP Q_DATE Q_CRED "&" Q_ALGO, SIGV4_OK},
		{"x=1", SIGV4_ABSENT},
		{"X-Amz-Other=1", SIGV4_ABSENT},
		{Q_ALGO, SIGV4_MALFORMED},
		{Q_CRED Q_DATE Q_EXP Q_HDR Q_SIG, SIGV4_MALFORMED},
		{"X-Amz-Algorithm=AWS4" Q_CRED Q_DATE Q_EXP Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_DATE Q_EXP Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_EXP Q_HDR Q_SIG, SIGV4_WRONG_DATE},
		{Q_ALGO Q_CRED Q_DATE Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE "&X-Amz-Expires=604801" Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE "&X-Amz-Expires=-1" Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE Q_EXP Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE Q_EXP Q_HDR, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE Q_EXP Q_HDR Q_SIG Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED "%G" Q_DATE Q_EXP Q_HDR Q_SIG, SIGV4_MALFORMED},
		{Q_ALGO Q_CRED Q_DATE Q_EXP "&X-Amz-SignedHeaders=range" Q_SIG, SIGV4_UNSIGNED_HEADER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vector v = {.method = "GET", .path = "/", .query = cases[i].query, .headers = {{"Host", "h"}}};
		struct fixture f;
		enum sigv4_error e;

		load(&f, &v);
		e = sigv4_read(&f.r, &f.arena, &f.auth);
		if (e != cases[i].want)
			print_error("case %zu: %d\n", i, e);
		assert_int_equal(e, cases[i].want);
		arena_done(&f.arena);
	}
}

static void test_both_forms(void **state)
{
	static const struct vector v = {.method = "GET",
					.path = "/",
					.query = Q_ALGO Q_CRED Q_DATE Q_EXP Q_HDR Q_SIG,
					.headers = {{"Host", "h"}, {"Authorization", ALGO CRED NAMES SIG}}};
	struct fixture f;

	load(&f, &v);
	assert_int_equal(sigv4_read(&f.r, &f.arena, &f.auth), SIGV4_MALFORMED);
	arena_done(&f.arena);
}

/* The same resource spelled in another way has the same canonical request. */
static void test_spellings(void **state)
{
	struct vector v = aws_examples[0];
	struct fixture f;

	v.path = "/%74est%2etxt";
	v.query = "&&";
	v.headers[2].value = " \t bytes=0-9 ";
	load(&f, &v);
	assert_int_equal(verify(&f, aws_secret, v.payload, at("20130524T001000Z")), SIGV4_OK);
	arena_done(&f.arena);
	v.headers[2].name = "not-range";
	load(&f, &v);
	assert_int_equal(verify(&f, aws_secret, v.payload, at("20130524T001000Z")), SIGV4_MISMATCH);
	arena_done(&f.arena);
}

static void test_sign(void **state)
{
	struct sigv4_header headers[] = {{STR("x-amz-date"), STR("20130524T000000Z")},
					 {STR("Host"), STR("examplebucket.s3.amazonaws.com")},
					 {STR("Range"), STR("bytes=0-9")},
					 {STR("X-Amz-Content-SHA256"), STR(EMPTY_HASH)}};
	struct sigv4_request r = {
		.method = STR("GET"), .path = STR("/test.txt"), .headers = headers, .n_headers = ARRAY_SIZE(headers)};
	uint8_t key[SHA256_SIZE];
	struct buf b = BUF_NULL;

	sigv4_signing_key(str_from(aws_secret), STR("20130524"), STR("us-east-1"), STR("s3"), key);
	sigv4_sign(&r, STR(AWS_KEY), STR("us-east-1"), STR("s3"), key, STR("20130524T000000Z"), STR(EMPTY_HASH), &b);
	assert_string_equal(b.p, "AWS4-HMAC-SHA256 Credential=" AWS_KEY "/20130524/us-east-1/s3/aws4_request, "
				 "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
				 "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	buf_clear(&b);
	sigv4_presign(&r, STR("examplebucket.s3.amazonaws.com"), STR(AWS_KEY), STR_NULL, STR("us-east-1"), STR("s3"),
		      key, STR("20130524T000000Z"), 86400, &b);
	assert_string_equal(b.p, aws_examples[4].query);
	buf_done(&b);
}

static void test_presign_round_trip(void **state)
{
	struct vector v = {.method = "PUT", .path = "/b/k", .headers = {{"Host", "h:1"}}};
	uint8_t key[SHA256_SIZE];
	struct buf b = BUF_NULL;
	struct fixture f;

	v.query = "partNumber=1&uploadId=a%2Bb";
	load(&f, &v);
	sigv4_signing_key(STR("s"), STR("20130524"), STR("r"), STR("s3"), key);
	sigv4_presign(&f.r, STR("h:1"), STR("A+K"), STR("tok/+="), STR("r"), STR("s3"), key, STR("20130524T000000Z"),
		      60, &b);
	f.r.query = buf_str(&b);
	assert_int_equal(verify(&f, "s", "UNSIGNED-PAYLOAD", at("20130524T000100Z")), SIGV4_OK);
	assert_true(str_eqz(f.auth.token, "tok/+="));
	assert_true(str_eqz(f.auth.access_key, "A+K"));
	arena_done(&f.arena);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_botocore),    cmocka_unit_test(test_aws_examples),
		cmocka_unit_test(test_times),       cmocka_unit_test(test_refused_headers),
		cmocka_unit_test(test_date_header), cmocka_unit_test(test_refused_queries),
		cmocka_unit_test(test_both_forms),  cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_sign),        cmocka_unit_test(test_presign_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
