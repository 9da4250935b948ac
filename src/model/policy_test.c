/* Policies: what is malformed, who is allowed, what a condition that nobody understands does, editing by Sid. */
#include "model/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void malformed(void **state)
{
	static const struct {
		const char *text, *message; /* NULL: fine */
	} cases[] = {
		{"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*"
		 "\","
		 "\"Resource\":\"*\"}}",
		 NULL},
		{"", "valid JSON"},
		{"[]", "valid JSON objects"},
		{"{}", "Statement"},
		{"{\"Statement\":[]}", "Statement"},
		{"{\"Version\":\"2020\",\"Statement\":[{}]}", "version"},
		{"{\"Statement\":[1]}", "not an object"},
		{"{\"Statement\":[{\"Effect\":\"allow\"}]}", "Effect"},
		{"{\"Statement\":[{\"Effect\":\"Allow\"}]}", "Principal"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"NotPrincipal\":\"*\"}]}", "NotPrincipal"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"x\"}]}", "Invalid principal"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[]}}]}", "Invalid principal"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}", "Action"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":[1]}]}", "invalid Action"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"a\",\"NotAction\":\"b\"}]}",
		 "both"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"a\"}]}", "Resource"},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"a\",\"Resource\":\"*\","
		 "\"Condition\":1}]}",
		 "condition"},
		{"{\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"a\","
		 "\"Resource\":"
		 "\"*\"},{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"a\",\"Resource\":\"*\"}]"
		 "}",
		 "unique"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_json_ json_t *p = policy_parse(str_from(cases[i].text), &err);

		if ((p == NULL) != (cases[i].message != NULL) || (!p && !strstr(err.msg, cases[i].message)))
			fail_msg("%s: %s", cases[i].text, p ? "accepted" : err.msg);
	}
}

#define ALLOW(rest) "{\"Statement\":[{\"Effect\":\"Allow\"," rest "}]}"
#define GET_ALL     "\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/*\""
#define USER        "arn:aws:iam::000000000000:user/u"

static void evaluate(void **state)
{
	static const struct {
		const char *policy, *arn, *service, *action, *resource;
		enum policy_verdict verdict;
	} cases[] = {
		{ALLOW("\"Principal\":\"*\"," GET_ALL), "", "", "s3:GetObject", "arn:aws:s3:::b/k", POLICY_ALLOW},
		{ALLOW("\"Principal\":\"*\"," GET_ALL), "", "", "s3:PutObject", "arn:aws:s3:::b/k", POLICY_NONE},
		{ALLOW("\"Principal\":\"*\"," GET_ALL), "", "", "S3:getobject", "arn:aws:s3:::b/k", POLICY_ALLOW},
		{ALLOW("\"Principal\":\"*\"," GET_ALL), "", "", "s3:GetObject", "arn:aws:s3:::B/k", POLICY_NONE},
		{ALLOW("\"Principal\":\"*\"," GET_ALL), "", "", "s3:GetObject", "arn:aws:s3:::b", POLICY_NONE},
		{ALLOW("\"Principal\":{\"AWS\":\"*\"}," GET_ALL), "", "", "s3:GetObject", "arn:aws:s3:::b/",
		 POLICY_ALLOW},
		{ALLOW("\"Principal\":{\"AWS\":\"000000000000\"}," GET_ALL), "", "", "s3:GetObject", "arn:aws:s3:::b/k",
		 POLICY_NONE},
		{ALLOW("\"Principal\":{\"AWS\":\"000000000000\"}," GET_ALL), USER, "", "s3:GetObject",
		 "arn:aws:s3:::b/k", POLICY_ALLOW},
		{ALLOW("\"Principal\":{\"AWS\":[\"x\",\"arn:aws:iam::000000000000:root\"]}," GET_ALL), USER, "",
		 "s3:GetObject", "arn:aws:s3:::b/k", POLICY_ALLOW},
		{ALLOW("\"Principal\":{\"AWS\":\"arn:aws:iam::000000000001:root\"}," GET_ALL), USER, "", "s3:GetObject",
		 "arn:aws:s3:::b/k", POLICY_NONE},
		{ALLOW("\"Principal\":{\"AWS\":\"" USER "\"}," GET_ALL), USER, "", "s3:GetObject", "arn:aws:s3:::b/k",
		 POLICY_ALLOW},
		{ALLOW("\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:*\",\"Resource\":\"*\""),
		 "", "s3.amazonaws.com", "lambda:InvokeFunction", "f", POLICY_ALLOW},
		{ALLOW("\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:*\",\"Resource\":\"*\""),
		 "", "", "lambda:InvokeFunction", "f", POLICY_NONE},
		{ALLOW("\"Principal\":\"*\",\"NotAction\":\"s3:Delete*\",\"NotResource\":\"*/secret?\""), "", "",
		 "s3:GetObject", "b/k", POLICY_ALLOW},
		{ALLOW("\"Principal\":\"*\",\"NotAction\":\"s3:Delete*\",\"NotResource\":\"*/secret?\""), "", "",
		 "s3:DeleteObject", "b/k", POLICY_NONE},
		{ALLOW("\"Principal\":\"*\",\"NotAction\":\"s3:Delete*\",\"NotResource\":\"*/secret?\""), "", "",
		 "s3:GetObject", "b/secret1", POLICY_NONE},
		{ALLOW("\"Principal\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"1.2.3.4\"}}," GET_ALL), "",
		 "", "s3:GetObject", "arn:aws:s3:::b/k", POLICY_NONE},
		{"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"},"
		 "{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"1.2.3.4\"}}"
		 ","
		 "\"Action\":\"*\",\"Resource\":\"*\"}]}",
		 "", "", "s3:GetObject", "x", POLICY_DENY},
		{"{\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:Put*\",\"Resource\":\"*\"},"
		 "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}]}",
		 "", "", "s3:GetObject", "x", POLICY_ALLOW},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *p = policy_parse(str_from(cases[i].policy), NULL);
		struct policy_who who = {.arn = str_from(cases[i].arn), .service = str_from(cases[i].service)};
		bool anonymous = who.arn.n == 0 && who.service.n == 0;

		assert_non_null(p);
		if (policy_evaluate(p, anonymous ? NULL : &who, str_from(cases[i].action),
				    str_from(cases[i].resource)) != cases[i].verdict)
			fail_msg("case %zu", i);
	}
	assert_int_equal(policy_evaluate(NULL, NULL, STR("a"), STR("b")), POLICY_NONE);
}

static void statements(void **state)
{
	_cleanup_json_ json_t *p = policy_new(), *q = NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str action = STR("lambda:InvokeFunction"), f = STR("arn:f"), none = STR("");
	struct policy_who who = {.service = STR("s3.amazonaws.com"),
				 .source_arn = STR("arn:aws:s3:::b"),
				 .source_account = STR("000000000000")};

	assert_true(policy_add(p, policy_lambda_statement(STR("s"), action, who.service, STR("arn:aws:s3:::b*"),
							  who.source_account, f)));
	assert_false(policy_add(p, policy_lambda_statement(STR("s"), action, STR("*"), none, none, f)));
	json_write(&b, p);
	assert_non_null(q = policy_parse(buf_str(&b), NULL));
	assert_int_equal(policy_evaluate(q, &who, action, f), POLICY_ALLOW);
	who.source_arn = STR("arn:aws:s3:::c");
	assert_int_equal(policy_evaluate(q, &who, action, f), POLICY_NONE);
	who.source_arn = none;
	assert_int_equal(policy_evaluate(q, &who, action, f), POLICY_NONE);
	assert_false(policy_is_public(p));
	assert_true(policy_add(p, policy_lambda_statement(STR("t"), action, STR("*"), none, none, f)));
	assert_true(policy_is_public(p));
	assert_true(policy_add(p, policy_lambda_statement(STR("u"), action, STR("000000000000"), none, none, f)));
	assert_int_equal(policy_count(p), 3);
	assert_true(policy_remove(p, STR("t")));
	assert_false(policy_remove(p, STR("t")));
	assert_int_equal(policy_count(p), 2);
}

static void glob(void **state)
{
	static const struct {
		const char *pattern, *s;
		bool yes;
	} cases[] = {
		{"", "", true},
		{"*", "", true},
		{"?", "", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "acb", false},
		{"**x", "xx", true},
		{"a?c", "abc", true},
		{"*a", "b", false},
		{"a", "aa", false},
		{"*ab", "aab", true},
		{"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(policy_glob(str_from(cases[i].pattern), str_from(cases[i].s), false), cases[i].yes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed),
		cmocka_unit_test(evaluate),
		cmocka_unit_test(statements),
		cmocka_unit_test(glob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
