/* Maps: many keys in and out, deletion without holes, and SipHash's order of bytes. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct str key_of(char *text, size_t i)
{
	return str_n(text, (size_t)snprintf(text, 32, "key-%zu", i));
}

static void test_many(void **state)
{
	struct map m = MAP_NULL;
	int values[1000];
	char text[32];

	map_seed((const uint8_t[16]){1, 2, 3});
	assert_null(map_get(&m, STR("x")));
	assert_null(map_del(&m, STR("x")));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_null(map_put(&m, key_of(text, i), &values[i]));
	assert_ptr_equal(map_put(&m, STR("key-7"), &values[8]), &values[7]);
	assert_ptr_equal(map_put(&m, STR("key-7"), &values[7]), &values[8]);
	assert_int_equal(m.n, ARRAY_SIZE(values));
	for (size_t i = 0; i < ARRAY_SIZE(values); i += 3)
		assert_ptr_equal(map_del(&m, key_of(text, i)), &values[i]);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_ptr_equal(map_get(&m, key_of(text, i)), i % 3 ? &values[i] : NULL);
	map_done(&m);
}

static void test_next_and_odd_keys(void **state)
{
	struct map m = MAP_NULL;
	struct str key;
	size_t seen = 0;
	void *value;
	int v;

	map_put(&m, STR(""), &v);
	map_put(&m, STR("a\0b"), &v);
	map_put(&m, STR("a"), &v);
	assert_ptr_equal(map_get(&m, STR("")), &v);
	assert_null(map_get(&m, STR("a\0c")));
	for (size_t i = 0; map_next(&m, &i, &key, &value);) {
		assert_ptr_equal(value, &v);
		seen += 1 + key.n;
	}
	assert_int_equal(seen, 3 + 4);
	map_done(&m);
}

static void test_siphash(void **state)
{
	uint8_t key[16], data[64];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	memcpy(key, data, sizeof(key));
	/* The first of the vectors for SipHash-1-3 that the hash tables of Rust and Ruby are tested with. */
	assert_true(siphash13(key, data, 0) == 0xabac0158050fc4dcULL);
	for (size_t n = 1; n < sizeof(data); n++)
		assert_true(siphash13(key, data, n) != siphash13(key, data, n - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_next_and_odd_keys),
		cmocka_unit_test(test_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
