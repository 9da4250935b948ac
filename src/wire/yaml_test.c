/* YAML: types, CloudFormation's tags, and everything that is refused with its place. */
#include "wire/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void accepted(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"", "null"},
		{"---\n", "null"},
		{"a: 1\nb: [true, 'true', ~, 1.5, -3, 0x1f, 0o17, 1e3]\n",
		 "{\"a\":1,\"b\":[true,\"true\",null,1.5,-3,31,15,1000.0]}"},
		{"a: 000000000000\nb: 2010-09-09\nc: yes\nd: 1.2.3\ne: .inf\nf: 0x\n",
		 "{\"a\":\"000000000000\",\"b\":\"2010-09-09\",\"c\":\"yes\",\"d\":\"1.2.3\",\"e\":\".inf\",\"f\":"
		 "\"0x\"}"},
		{"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
		{"a: !Ref B\nc: !GetAtt D.E.F\ng: !Sub 'x${Y}'\nh: !Join [',', [a, !Ref b]]\ni: !GetAtt [a, b]\n",
		 "{\"a\":{\"Ref\":\"B\"},\"c\":{\"Fn::GetAtt\":[\"D\",\"E.F\"]},\"g\":{\"Fn::Sub\":\"x${Y}\"},\"h\":{"
		 "\"Fn::Join\":[\",\",[\"a\",{\"Ref\":\"b\"}]]},\"i\":{\"Fn::GetAtt\":[\"a\",\"b\"]}}"},
		{"a: !!str 5\n", "{\"a\":\"5\"}"},
		{"{\"a\": [1, \"x\"]}", "{\"a\":[1,\"x\"]}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_(buf_done) struct buf b = BUF_NULL;
		_cleanup_json_ json_t *j = yaml_parse(str_from(cases[i].text), &err);

		if (!j)
			fail_msg("%s: %s", cases[i].text, err.msg);
		json_write(&b, j);
		assert_string_equal(buf_cstr(&b), cases[i].json);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"a: 1\na: 2\n", "line 2 column 1: the key 'a' is there twice"},
		{"a: &x 1\n", "line 1 column 4: anchors"},
		{"a: *x\n", "line 1 column 4: anchors"},
		{"<<: {a: 1}\n", "line 1 column 1: anchors"},
		{"a: !Odd x\n", "line 1 column 4: the tag !Odd is not supported"},
		{"a: !!binary x\n", "not supported"},
		{"? [a]\n: b\n", "line 1 column 3: a key must be text"},
		{"a: 1\n---\nb: 2\n", "line 2 column 1: more than one document"},
		{"a: 99999999999999999999\n", "line 1 column 4: 99999999999999999999 is too large"},
		{"a: 0xffffffffffffffffff\n", "too large"},
		{"a: 1e999\n", "too large"},
		{"a: [1\n", "line 2 column 1: did not find expected"},
		{"\ta: 1\n", "line 1 column 1: found character that cannot start any token"},
		{"a: \x01\n", "control characters are not allowed"},
		{"a: \xff\n", "invalid leading UTF-8 octet"},
		{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1", "nested deeper than 32 levels"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *j = yaml_parse(str_from(cases[i].text), &err);

		if (j)
			fail_msg("%s: accepted", cases[i].text);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
