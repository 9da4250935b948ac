/* Digests against their published check values, the fast CRCs against the portable ones, base64 and seals. */
#include "wire/digest.h"

#include "wire/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <nettle/md5.h>

static void check(enum digest_kind kind, const char *text, const char *want_hex)
{
	uint8_t out[DIGEST_MAX_SIZE];
	char hex[2 * DIGEST_MAX_SIZE + 1];
	struct digest d;
	size_t n;

	digest_init(&d, kind);
	for (const char *c = text; *c; c++)
		digest_update(&d, c, 1);
	n = digest_final(&d, out);
	hex_encode(out, n, hex);
	assert_string_equal(hex, want_hex);
}

static void test_check_values(void **state)
{
	check(DIGEST_CRC32, "123456789", "cbf43926");
	check(DIGEST_CRC32C, "123456789", "e3069283");
	check(DIGEST_CRC64NVME, "123456789", "ae8b14860a799888");
	check(DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
	check(DIGEST_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check(DIGEST_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72");
	check(DIGEST_NONE, "abc", "");
}

static void test_crc_paths(void **state)
{
	uint8_t data[2000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 7 + i / 3);
	for (size_t n = 0; n < sizeof(data) - 16; n += n < 300 ? 1 : 37) {
		const uint8_t *p = data + n % 16;

		assert_int_equal(crc32_add(5, p, n), crc32_add_portable(5, p, n));
		assert_int_equal(crc32c_add(5, p, n), crc32c_add_portable(5, p, n));
		assert_true(crc64nvme_add(5, p, n) == crc64nvme_add_portable(5, p, n));
	}
}

static void check_md5(const uint8_t *p, size_t n, size_t piece)
{
	uint8_t got[DIGEST_MAX_SIZE], want[MD5_SIZE];
	struct md5_ctx theirs;
	struct digest d;

	md5_init(&theirs);
	md5_update(&theirs, n, p);
	md5_digest(&theirs, sizeof(want), want);
	digest_init(&d, DIGEST_MD5);
	for (size_t at = 0; at < n; at += piece)
		digest_update(&d, p + at, MIN(piece, n - at));
	assert_int_equal(digest_final(&d, got), MD5_SIZE);
	assert_memory_equal(got, want, MD5_SIZE);
}

/* Ours against nettle's: every length about the ends of blocks, whole and in pieces, at odd addresses. */
static void test_md5(void **state)
{
	uint8_t data[1100];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 11 + i / 5);
	check(DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e");
	check(DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0");
	for (size_t n = 0; n < 1000; n += n < 200 ? 1 : 29) {
		check_md5(data + n % 7, n, 1);
		check_md5(data + n % 7, n, 63);
		check_md5(data + n % 7, n, 64);
		check_md5(data + n % 7, n, 130);
		check_md5(data + n % 7, n, 1000);
	}
}

static void test_names(void **state)
{
	assert_int_equal(digest_by_name(STR("crc64nvme")), DIGEST_CRC64NVME);
	assert_int_equal(digest_by_name(STR("Sha256")), DIGEST_SHA256);
	assert_int_equal(digest_by_name(STR("crc")), DIGEST_NONE);
	assert_int_equal(digest_by_name(STR("")), DIGEST_NONE);
	assert_string_equal(digest_name(DIGEST_CRC32C), "CRC32C");
}

/* RFC 4231, test cases 2 and 6. */
static void test_hmac(void **state)
{
	uint8_t mac[SHA256_SIZE], key[131];
	char hex[2 * SHA256_SIZE + 1];

	hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, mac);
	hex_encode(mac, sizeof(mac), hex);
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
	hex_encode(mac, sizeof(mac), hex);
	assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_base64(void **state)
{
	static const char *const pairs[][2] = {
		{"", ""},        {"f", "Zg=="},          {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"},
	};
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v=", "====", "Zm 9v", "Zm9-", "Z===", "=", "Zm9v\n"};
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		buf_clear(&b);
		base64_encode(&b, pairs[i][0], strlen(pairs[i][0]));
		assert_string_equal(b.p, pairs[i][1]);
		buf_clear(&b);
		assert_true(base64_decode(&b, str_from(pairs[i][1])));
		assert_string_equal(b.p, pairs[i][0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		buf_clear(&b);
		buf_adds(&b, "kept");
		assert_false(base64_decode(&b, str_from(bad[i])));
		assert_string_equal(b.p, "kept");
	}
	buf_clear(&b);
	base64url_encode(&b, "\xfb\xff\xfe?", 4);
	assert_string_equal(b.p, "-__-Pw");
	buf_clear(&b);
	assert_true(base64url_decode(&b, STR("-__-Pw")));
	assert_string_equal(b.p, "\xfb\xff\xfe?");
	assert_false(base64url_decode(&b, STR("+//+")));
	assert_false(base64url_decode(&b, STR("Pw==")));
	buf_done(&b);
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16. */
static void test_seal(void **state)
{
	uint8_t key[32], nonce[12], aad[20], plain[60], want[76];
	struct buf sealed = BUF_NULL, opened = BUF_NULL;
	struct str a = str_n(aad, sizeof(aad)), p = str_n(plain, sizeof(plain));

	hex_decode(STR("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), key, 32);
	hex_decode(STR("cafebabefacedbaddecaf888"), nonce, 12);
	hex_decode(STR("feedfacedeadbeeffeedfacedeadbeefabaddad2"), aad, 20);
	hex_decode(STR("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b5"
		       "25b16aedf5aa0de657ba637b39"),
		   plain, 60);
	hex_decode(
		STR("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
		    "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"),
		want, 76);
	seal(key, nonce, p, a, &sealed);
	assert_int_equal(sealed.n, 12 + 60 + 16);
	assert_memory_equal(sealed.p, nonce, 12);
	assert_memory_equal(sealed.p + 12, want, 76);
	assert_true(seal_open(key, buf_str(&sealed), a, &opened));
	assert_true(str_eq(buf_str(&opened), p));
	for (size_t i = 0; i < sealed.n; i++) {
		sealed.p[i] ^= 1;
		assert_false(seal_open(key, buf_str(&sealed), a, &opened));
		sealed.p[i] ^= 1;
		assert_false(seal_open(key, str_n(sealed.p, i), a, &opened));
	}
	assert_false(seal_open(key, buf_str(&sealed), STR("other"), &opened));
	assert_int_equal(opened.n, 60);
	buf_clear(&sealed);
	seal(key, nonce, STR(""), STR(""), &sealed);
	buf_clear(&opened);
	assert_true(seal_open(key, buf_str(&sealed), STR(""), &opened));
	assert_int_equal(opened.n, 0);
	buf_done(&sealed);
	buf_done(&opened);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_values), cmocka_unit_test(test_crc_paths), cmocka_unit_test(test_md5),
		cmocka_unit_test(test_names),        cmocka_unit_test(test_hmac),      cmocka_unit_test(test_base64),
		cmocka_unit_test(test_seal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
