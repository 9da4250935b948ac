/* The body filter: AWS's published chunked examples, every form, every refusal, and any split of the input. */
#include "wire/sigv4_chunk.h"

#include "wire/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static struct body_filter_conf signed_conf(enum body_form form, struct str seed)
{
	struct body_filter_conf c = {
		.form = form,
		.timestamp = STR("20130524T000000Z"),
		.scope = STR("20130524/us-east-1/s3/aws4_request"),
		.seed_signature = seed,
		.decoded_length = 66560,
	};

	sigv4_signing_key(STR(SECRET), STR("20130524"), STR("us-east-1"), STR("s3"), c.signing_key);
	return c;
}

/* Feeds in pieces of step bytes and says what the first error was, finish included. */
static enum body_error run(const struct body_filter_conf *c, struct str in, size_t step, struct buf *out,
			   struct buf *sum)
{
	struct body_filter *f = body_filter_new(c);
	enum body_error e = BODY_OK;

	buf_clear(out);
	for (size_t at = 0; at < in.n && !e;) {
		size_t n = MIN(step, in.n - at), used = 0;

		while (n > 0 && !e) {
			const uint8_t *p;
			size_t p_n;

			e = body_filter_feed(f, (const uint8_t *)in.p + at, n, &used, &p, &p_n);
			buf_add(out, p, p_n);
			at += used;
			n -= used;
			assert_true(e || used > 0);
		}
	}
	if (!e)
		e = body_filter_finish(f);
	if (sum) {
		buf_clear(sum);
		buf_adds(sum, body_filter_checksum(f));
	}
	body_filter_free(f);
	return e;
}

static void add_letters(struct buf *b, size_t n)
{
	memset(buf_reserve(b, n), 'a', n);
	b->n += n;
	b->p[b->n] = '\0';
}

/* "Signature Calculations ... in Multiple Chunks": 65 KiB of 'a' in a chunk of 64 KiB and one of 1 KiB. */
static void chunked_example(struct buf *b, const char *s1, const char *s2, const char *s3)
{
	buf_printf(b, "10000;chunk-signature=%s\r\n", s1);
	add_letters(b, 65536);
	buf_printf(b, "\r\n400;chunk-signature=%s\r\n", s2);
	add_letters(b, 1024);
	buf_printf(b, "\r\n0;chunk-signature=%s\r\n", s3);
}

static void published(struct buf *b)
{
	chunked_example(b, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
	buf_adds(b, "\r\n");
}

static const char trailer_end[] =
	"x-amz-checksum-crc32c:sOO8/Q==\r\n"
	"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";

static void published_trailer(struct buf *b)
{
	chunked_example(b, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
}

#define SEED   STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
#define SEED_T STR("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")

static void test_published(void **state)
{
	struct body_filter_conf c = signed_conf(BODY_CHUNKED_SIGNED, SEED);
	static const size_t steps[] = {1, 7, 86, 4096, SIZE_MAX};
	struct buf in = BUF_NULL, out = BUF_NULL;

	published(&in);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(run(&c, buf_str(&in), steps[i], &out, NULL), BODY_OK);
		assert_int_equal(out.n, 66560);
	}
	for (size_t cut = 1; cut < 90; cut++)
		assert_int_equal(run(&c, str_n(in.p, in.n - cut), SIZE_MAX, &out, NULL), BODY_E_MALFORMED);
	in.p[100] = 'b';
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_E_CHUNK_SIGNATURE);
	in.p[100] = 'a';
	buf_addc(&in, 'x');
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_E_MALFORMED);
	in.n--;
	c.decoded_length = 66559;
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_E_LENGTH);
	c.decoded_length = 66561;
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_E_LENGTH);
	c.decoded_length = -1;
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_OK);
	c.seed_signature.n--;
	assert_int_equal(run(&c, buf_str(&in), 4096, &out, NULL), BODY_E_CHUNK_SIGNATURE);
	buf_done(&in);
	buf_done(&out);
}

static enum body_error run_trailer(const struct body_filter_conf *c, const char *end)
{
	struct buf in = BUF_NULL, out = BUF_NULL, sum = BUF_NULL;
	enum body_error e;

	published_trailer(&in);
	buf_adds(&in, end);
	e = run(c, buf_str(&in), 1000, &out, &sum);
	if (!e && c->checksum == DIGEST_CRC32C)
		assert_string_equal(sum.p, "sOO8/Q==");
	buf_done(&in);
	buf_done(&out);
	buf_done(&sum);
	return e;
}

static void test_published_trailer(void **state)
{
	struct body_filter_conf c = signed_conf(BODY_CHUNKED_SIGNED_TRAILER, SEED_T);

	c.checksum = DIGEST_CRC32C;
	c.checksum_in_trailer = true;
	assert_int_equal(run_trailer(&c, trailer_end), BODY_OK);
	assert_int_equal(run_trailer(&c, "x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:"
					 "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"),
			 BODY_OK);
	assert_int_equal(run_trailer(&c, "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"), BODY_E_MALFORMED);
	assert_int_equal(run_trailer(&c, "x-amz-checksum-crc32c:sOO8/A==\r\nx-amz-trailer-signature:"
					 "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"),
			 BODY_E_CHUNK_SIGNATURE);
	assert_int_equal(run_trailer(&c, "\r\n"), BODY_E_TRAILER);
	assert_int_equal(run_trailer(&c, "x-amz-meta-a:b\r\n\r\n"), BODY_E_TRAILER);
	assert_int_equal(run_trailer(&c, "x-amz-checksum-crc32:AAAAAA==\r\n\r\n"), BODY_E_TRAILER);
	assert_int_equal(run_trailer(&c, "no colon\r\n\r\n"), BODY_E_MALFORMED);
	c.checksum = DIGEST_SHA1;
	assert_int_equal(run_trailer(&c, trailer_end), BODY_E_TRAILER);
	c.checksum_in_trailer = false;
	assert_int_equal(run_trailer(&c, trailer_end), BODY_E_TRAILER);
}

static enum body_error run_text(const struct body_filter_conf *c, const char *in, const char *want)
{
	struct buf out = BUF_NULL;
	enum body_error first = run(c, str_from(in), SIZE_MAX, &out, NULL);

	if (!first && want)
		assert_true(str_eqz(buf_str(&out), want));
	for (size_t step = 1; step < 8; step++)
		assert_int_equal(run(c, str_from(in), step, &out, NULL), first);
	buf_done(&out);
	return first;
}

static void test_unsigned_trailer(void **state)
{
	struct body_filter_conf c = {
		.form = BODY_CHUNKED_UNSIGNED_TRAILER,
		.decoded_length = 9,
		.checksum = DIGEST_CRC32,
		.checksum_in_trailer = true,
	};

	assert_int_equal(run_text(&c, "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", "123456789"), 0);
	assert_int_equal(run_text(&c, "4\r\n1234\r\n00005\r\n56789\r\n0\r\nX-Amz-Checksum-CRC32:  y/Q5Jg== \r\n\r\n",
				  "123456789"),
			 0);
	assert_int_equal(run_text(&c, "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5JA==\r\n\r\n", NULL),
			 BODY_E_CHECKSUM);
	assert_int_equal(run_text(&c, "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:nonsense\r\n\r\n", NULL),
			 BODY_E_CHECKSUM);
	assert_int_equal(run_text(&c, "9\r\n123456789\r\n0\r\n\r\n", NULL), BODY_E_TRAILER);
	assert_int_equal(run_text(&c, "9;a=b\r\n123456789\r\n0\r\n\r\n", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "9\r\n1234567890\r\n0\r\n\r\n", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "-1\r\n", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "\r\n", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "A\r\n1234567890\r\n0\r\n\r\n", NULL), BODY_E_LENGTH);
	c.decoded_length = -1;
	assert_int_equal(run_text(&c, "fffffffffffffffff\r\n", NULL), BODY_E_MALFORMED);
	assert_int_equal(run_text(&c, "ffffffffffffffff\r\n", NULL), BODY_E_MALFORMED);
	c.checksum_in_trailer = false;
	assert_int_equal(run_text(&c, "1\r\nx\r\n0\r\n\r\n", "x"), 0);
	assert_int_equal(run_text(&c, "1\r\nx\r\n0\r\nx-amz-trailer-signature:x\r\n\r\n", NULL), BODY_E_TRAILER);
}

static void test_long_line(void **state)
{
	struct body_filter_conf c = {.form = BODY_CHUNKED_UNSIGNED_TRAILER, .decoded_length = -1};
	struct buf in = BUF_NULL, out = BUF_NULL;

	add_letters(&in, 10000);
	assert_int_equal(run(&c, buf_str(&in), 1, &out, NULL), BODY_E_MALFORMED);
	assert_int_equal(run(&c, buf_str(&in), SIZE_MAX, &out, NULL), BODY_E_MALFORMED);
	buf_done(&in);
	buf_done(&out);
}

static void test_plain(void **state)
{
	struct body_filter_conf c = {.form = BODY_PLAIN, .decoded_length = -1};

	assert_int_equal(run_text(&c, "hello", "hello"), BODY_OK);
	assert_int_equal(run_text(&c, "", ""), BODY_OK);
	c.decoded_length = 5;
	c.sha256 = STR("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	c.md5_base64 = STR("XUFAKrxLKna5cZ2REBfFkg==");
	c.checksum = DIGEST_SHA1;
	c.checksum_value = STR("qvTGHdzF6KLavt4PO0gs2a6pQ00=");
	assert_int_equal(run_text(&c, "hello", "hello"), BODY_OK);
	assert_int_equal(run_text(&c, "hellp", NULL), BODY_E_SHA256);
	assert_int_equal(run_text(&c, "hell", NULL), BODY_E_LENGTH);
	assert_int_equal(run_text(&c, "hello!", NULL), BODY_E_LENGTH);
	c.sha256 = STR_NULL;
	assert_int_equal(run_text(&c, "hellp", NULL), BODY_E_MD5);
	c.md5_base64 = STR_NULL;
	assert_int_equal(run_text(&c, "hellp", NULL), BODY_E_CHECKSUM);
	c.checksum_value = STR_NULL;
	assert_int_equal(run_text(&c, "hellp", "hellp"), BODY_OK);
	c.sha256 = STR("zz");
	assert_int_equal(run_text(&c, "hello", NULL), BODY_E_SHA256);
	c.sha256 = STR_NULL;
	c.md5_base64 = STR("AAAA");
	assert_int_equal(run_text(&c, "hello", NULL), BODY_E_MD5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_published_trailer),
		cmocka_unit_test(test_unsigned_trailer),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
