/* UUIDs there and back, and what is none. */
#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_round_trip(void **state)
{
	uint8_t id[UUID_SIZE], back[UUID_SIZE];
	char text[UUID_TEXT_SIZE];

	memset(id, 0xff, sizeof(id));
	uuid_make_v4(id);
	uuid_format(id, text);
	assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
	assert_true(uuid_parse(STR("FFFFFFFF-ffff-4FFF-bfff-ffffffffffff"), back));
	assert_memory_equal(id, back, sizeof(id));
	memset(id, 0, sizeof(id));
	uuid_make_v4(id);
	uuid_format(id, text);
	assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"",
					  "ffffffff-ffff-4fff-bfff-fffffffffff",
					  "ffffffff-ffff-4fff-bfff-fffffffffffff",
					  "fffffffff-fff-4fff-bfff-ffffffffffff",
					  "gfffffff-ffff-4fff-bfff-ffffffffffff",
					  "ffffffff_ffff-4fff-bfff-ffffffffffff"};
	uint8_t id[UUID_SIZE] = {1};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(uuid_parse(str_from(bad[i]), id));
	assert_int_equal(id[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
