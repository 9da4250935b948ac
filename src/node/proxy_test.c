/* no_proxy: what it covers and what it does not. */
#include "node/proxy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool excepts(const char *list, const char *host)
{
	return proxy_excepts(str_from(list), str_from(host), 9001);
}

static void names(void **state)
{
	assert_true(excepts("example.org", "example.org"));
	assert_true(excepts("example.org", "gate.example.org"));
	assert_true(excepts(".example.org", "gate.EXAMPLE.org"));
	assert_true(excepts("a, example.org", "example.org."));
	assert_true(excepts("*", "anything"));
	assert_false(excepts("example.org", "notexample.org"));
	assert_false(excepts("example.org", "example.com"));
	assert_false(excepts("gate.example.org", "example.org"));
	assert_false(excepts("", "example.org"));
	assert_false(excepts(",, ,.", "example.org"));
}

static void ports(void **state)
{
	assert_true(excepts("example.org:9001", "example.org"));
	assert_false(excepts("example.org:443", "example.org"));
	assert_false(excepts("example.org:x", "example.org"));
	assert_true(excepts("[2001:db8::7]:9001", "2001:db8::7"));
	assert_false(excepts("[2001:db8::7]:1", "2001:db8::7"));
	assert_false(excepts("[2001:db8::7", "2001:db8::7"));
}

static void addresses(void **state)
{
	assert_true(excepts("10.0.0.0/8", "10.1.2.3"));
	assert_true(excepts("127.0.0.1", "127.0.0.1"));
	assert_true(excepts("2001:db8::/32", "2001:db8::7"));
	assert_false(excepts("10.0.0.0/8", "11.1.2.3"));
	assert_false(excepts("10.0.0.0/8", "ten.example.org"));
	assert_false(excepts("example.org", "10.1.2.3"));
	assert_false(excepts("0.0.1", "127.0.0.1"));
}

static void environment(void **state)
{
	static const char *const all[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		unsetenv(all[i]);
	assert_null(proxy_for("example.org", 9001));
	setenv("HTTPS_PROXY", "http://upper:1", 1);
	assert_string_equal(proxy_for("example.org", 9001), "http://upper:1");
	setenv("https_proxy", "http://lower:1", 1);
	assert_string_equal(proxy_for("example.org", 9001), "http://lower:1");
	setenv("no_proxy", "example.org", 1);
	assert_null(proxy_for("example.org", 9001));
	assert_non_null(proxy_for("example.com", 9001));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		unsetenv(all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(ports),
		cmocka_unit_test(addresses),
		cmocka_unit_test(environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
