/* Records of nodes and tokens: the stored form comes back, damage is named, names and tokens are what the rules say. */
#include "model/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define KEY  "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"
#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void node_round_trip(void **state)
{
	struct str labels[] = {STR("gpu=h200"), STR("lab")};
	const struct node_record n = {.name = STR("gpu1"),
				      .key = STR(KEY),
				      .labels = labels,
				      .n_labels = 2,
				      .drained = true,
				      .created_ms = 1000,
				      .seen_ms = 2000,
				      .address = STR("192.0.2.7:41000"),
				      .version = STR("0.2.0"),
				      .cost = STR("1.20 USD/h")};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = node_record_to_json(&n), *again = NULL;
	struct node_record b;

	assert_int_equal(node_record_from_json(&b, j, &a, NULL), 0);
	assert_true(str_eqz(b.name, "gpu1") && str_eqz(b.key, KEY) && b.drained && b.n_labels == 2);
	assert_true(str_eqz(b.labels[0], "gpu=h200") && str_eqz(b.labels[1], "lab"));
	assert_true(b.created_ms == 1000 && b.seen_ms == 2000 && str_eqz(b.address, "192.0.2.7:41000"));
	assert_true(str_eqz(b.version, "0.2.0") && str_eqz(b.cost, "1.20 USD/h"));
	again = node_record_to_json(&b);
	assert_true(json_equal(j, again));
}

static void token_round_trip(void **state)
{
	struct str labels[] = {STR("lab")};
	const struct node_token t = {.id = STR("00c0ffee"),
				     .secret = STR(HASH),
				     .created_ms = 1000,
				     .expires_ms = 2000,
				     .uses = 3,
				     .used = 1,
				     .name = STR("gpu1"),
				     .labels = labels,
				     .n_labels = 1};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = node_token_to_json(&t), *again = NULL;
	struct node_token b;

	assert_int_equal(node_token_from_json(&b, j, &a, NULL), 0);
	assert_true(str_eqz(b.id, "00c0ffee") && str_eqz(b.secret, HASH) && b.uses == 3 && b.used == 1);
	assert_true(b.created_ms == 1000 && b.expires_ms == 2000 && str_eqz(b.name, "gpu1") && b.n_labels == 1);
	again = node_token_to_json(&b);
	assert_true(json_equal(j, again));
}

static void damaged(void **state)
{
	static const struct {
		bool token;
		const char *text, *message;
	} cases[] = {
		{false, "[]", "a node is not an object"},
		{false, "{\"name\":\"gpu1\"}", "key is missing"},
		{false, "{\"name\":\"Gpu\",\"key\":\"" KEY "\"}", "name is no name of a node"},
		{false, "{\"name\":\"gpu1\",\"key\":\"MD5:00\"}", "key is no fingerprint"},
		{false, "{\"name\":\"gpu1\",\"key\":\"" KEY "\",\"drained\":1}", "drained is not true or false"},
		{false, "{\"name\":\"gpu1\",\"key\":\"" KEY "\",\"labels\":[\"a\",7]}", "labels[1] is no label"},
		{false, "{\"name\":\"gpu1\",\"key\":\"" KEY "\",\"labels\":{}}", "labels is not a list of at most 32"},
		{false, "{\"name\":\"gpu1\",\"key\":\"" KEY "\",\"version\":\"1\\n2\"}",
		 "address, version or cost is not a line of at most 256 bytes"},
		{true, "7", "a token is not an object"},
		{true, "{\"id\":\"00c0ffee\"}", "secret is missing"},
		{true, "{\"id\":\"00C0FFEE\",\"secret\":\"" HASH "\"}", "id is not 8 hexadecimal digits"},
		{true, "{\"id\":\"00c0ffee\",\"secret\":\"x\"}", "secret is no SHA-256"},
		{true, "{\"id\":\"00c0ffee\",\"secret\":\"" HASH "\",\"name\":\"-\"}", "name is no name of a node"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(str_from(cases[i].text), NULL);
		struct node_record n;
		struct node_token t;

		assert_int_equal(cases[i].token ? node_token_from_json(&t, j, &a, &err)
						: node_record_from_json(&n, j, &a, &err),
				 -1);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void names(void **state)
{
	static const char x63[] = "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxy";
	static const struct {
		const char *text;
		bool name, label;
	} cases[] = {
		{"gpu1", true, true},       {"a", true, true},    {"a-b", true, true},  {"", false, false},
		{"-a", false, false},       {"a-", false, true},  {"GPU", false, true}, {"a.b", false, true},
		{"zone=a", false, true},    {"=a", false, false}, {"+a", false, false}, {"a b", false, false},
		{"\xc3\xa4", false, false}, {x63, true, true},
	};
	char x64[65];

	assert_int_equal(strlen(x63), 63);
	snprintf(x64, sizeof(x64), "%sx", x63);
	assert_false(node_name_ok(str_from(x64)) || node_label_ok(str_from(x64)));
	assert_false(node_name_ok(STR("a\0b")) || node_label_ok(STR("a\0b")));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(node_name_ok(str_from(cases[i].text)), cases[i].name);
		assert_int_equal(node_label_ok(str_from(cases[i].text)), cases[i].label);
	}
	assert_true(node_key_ok(STR(KEY)) && node_key_ok(STR("SHA256:AB:CD:01")));
	assert_false(node_key_ok(STR("SHA256:")) || node_key_ok(STR("SHA256:a b")) || node_key_ok(STR("")));
}

static void labels(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct str have[] = {STR("b"), STR("c")}, add[] = {STR("a"), STR("b"), STR("d")}, no[] = {STR("c"), STR("d")};
	struct str *all;

	assert_int_equal(node_labels_change(&a, have, 2, add, 3, no, 2, &all), 2);
	assert_true(str_eqz(all[0], "a") && str_eqz(all[1], "b"));
	assert_true(node_labels_have(all, 2, STR("a")) && !node_labels_have(all, 2, STR("d")));
	assert_int_equal(node_labels_change(&a, NULL, 0, NULL, 0, no, 2, &all), 0);
}

static void token_text(void **state)
{
	static const uint8_t id[4] = {0, 0xc0, 0xff, 0xee};
	uint8_t secret[NODE_TOKEN_SECRET], hash[SHA256_SIZE];
	char id_text[NODE_TOKEN_ID_SIZE], text[NODE_TOKEN_TEXT_SIZE], got[2 * SHA256_SIZE + 1];
	char want[2 * SHA256_SIZE + 1];
	struct str parsed;

	/* 0xfb..ff: '_' and '-' stand in the secret. */
	memset(secret, 0xff, sizeof(secret));
	secret[3] = 0xfb;
	node_token_format(id, secret, id_text, text);
	assert_string_equal(id_text, "00c0ffee");
	assert_int_equal(strlen(text), NODE_TOKEN_TEXT_SIZE - 1);
	assert_true(str_starts(str_from(text), STR("wickt_00c0ffee_")) && strchr(text + 15, '_'));
	sha256(secret, sizeof(secret), hash);
	hex_encode(hash, sizeof(hash), want);
	assert_true(node_token_parse(str_from(text), &parsed, got));
	assert_true(str_eqz(parsed, "00c0ffee"));
	assert_string_equal(got, want);
	assert_false(node_token_parse(str_sub(str_from(text), 0, 57), &parsed, got));
	for (size_t at = 0; at < NODE_TOKEN_TEXT_SIZE - 1; at++) {
		char was = text[at];

		text[at] = '!';
		assert_false(node_token_parse(str_from(text), &parsed, got));
		text[at] = was;
	}
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: refused */
		uint32_t port;
	} cases[] = {
		{"0.0.0.0:9001", "0.0.0.0", 9001},
		{"[::1]:0", "::1", 0},
		{"wick.example.org:65535", "wick.example.org", 65535},
		{"9001", NULL, 0},
		{":9001", NULL, 0},
		{"host", NULL, 0},
		{"host:", NULL, 0},
		{"host:65536", NULL, 0},
		{"host:-1", NULL, 0},
		{"::1:9001", NULL, 0},
		{"http://h:9001", NULL, 0},
		{"a b:9001", NULL, 0},
		{"[]:9001", NULL, 0},
		{"", NULL, 0},
	};
	static const struct {
		const char *url, *host;
	} urls[] = {
		{"http://127.0.0.1:9000", "127.0.0.1"},
		{"https://wick.example.org/x:y", "wick.example.org"},
		{"http://[::1]:9000/", "[::1]"},
		{"http://[::1", "[::1"},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct node_address a;

		assert_int_equal(node_address_parse(str_from(cases[i].text), &a), cases[i].host != NULL);
		if (!cases[i].host)
			continue;
		assert_true(str_eqz(a.host, cases[i].host));
		assert_int_equal(a.port, cases[i].port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		assert_true(str_eqz(node_url_host(str_from(urls[i].url)), urls[i].host));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_round_trip), cmocka_unit_test(token_round_trip), cmocka_unit_test(damaged),
		cmocka_unit_test(names),           cmocka_unit_test(labels),           cmocka_unit_test(token_text),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
