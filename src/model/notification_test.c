/* Notifications: what matches, what S3 refuses, the stored form, the event. */
#include "model/notification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ARN "arn:aws:lambda:us-east-1:000000000000:function:f"

static void match(void **state)
{
	static const struct {
		const char *on, *prefix, *suffix, *event, *key;
		bool yes;
	} cases[] = {
		{"s3:ObjectCreated:*", "", "", "s3:ObjectCreated:Put", "a", true},
		{"s3:ObjectCreated:*", "", "", "s3:ObjectRemoved:Delete", "a", false},
		{"s3:ObjectCreated:Put", "", "", "s3:ObjectCreated:Copy", "a", false},
		{"s3:ObjectCreated:Put", "in/", ".jpg", "s3:ObjectCreated:Put", "in/a.jpg", true},
		{"s3:ObjectCreated:Put", "in/", ".jpg", "s3:ObjectCreated:Put", "in/a.JPG", false},
		{"s3:ObjectCreated:Put", "in/", ".jpg", "s3:ObjectCreated:Put", "out/a.jpg", false},
		{"s3:ObjectRemoved:*", "", "x", "s3:ObjectRemoved:Delete", "", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str event = str_from(cases[i].on);
		struct s3_lambda_notification l = {
			.events = &event,
			.n_events = 1,
			.prefix = str_from(cases[i].prefix),
			.suffix = str_from(cases[i].suffix),
		};

		assert_int_equal(notification_matches(&l, str_from(cases[i].event), str_from(cases[i].key)),
				 cases[i].yes);
	}
}

struct conf {
	const char *id, *arn, *event, *prefix, *suffix;
};

static struct s3_notification build(struct arena *a, const struct conf *c, size_t n)
{
	struct s3_notification r = {.lambdas = arena_new_n(a, struct s3_lambda_notification, n), .n = n};

	for (size_t i = 0; i < n; i++) {
		struct str *event = arena_new(a, struct str);

		*event = str_from(c[i].event);
		r.lambdas[i] = (struct s3_lambda_notification){
			.id = str_from(c[i].id),
			.arn = str_from(c[i].arn),
			.events = event,
			.n_events = 1,
			.prefix = str_from(c[i].prefix),
			.suffix = str_from(c[i].suffix),
		};
	}
	return r;
}

static void check(void **state)
{
	static const struct {
		struct conf c[2];
		const char *message; /* NULL: accepted */
	} cases[] = {
		{{{"", ARN, "s3:ObjectCreated:*", "", ""}, {"", ARN, "s3:ObjectRemoved:*", "", ""}}, NULL},
		{{{"", ARN, "s3:ObjectCreated:*", "a/", ""}, {"", ARN, "s3:ObjectCreated:*", "b/", ""}}, NULL},
		{{{"", ARN, "s3:ObjectCreated:*", "", ".a"}, {"", ARN, "s3:ObjectCreated:Put", "b/", ".b"}}, NULL},
		{{{"", ARN, "s3:ObjectCreated:*", "", ".a"}, {"", ARN, "s3:ObjectCreated:Put", "b/", ""}}, "overlap"},
		{{{"", ARN, "s3:ObjectCreated:Put", "", ""}, {"", ARN, "s3:ObjectCreated:Put", "", ""}}, "overlap"},
		{{{"x", ARN, "s3:ObjectCreated:*", "", ""}, {"x", ARN, "s3:ObjectRemoved:*", "", ""}}, "unique"},
		{{{"", "f", "s3:ObjectCreated:*", "", ""}, {"", ARN, "s3:ObjectRemoved:*", "", ""}}, "ARN"},
		{{{"", ARN, "s3:Odd", "", ""}, {"", ARN, "s3:ObjectRemoved:*", "", ""}}, "'s3:Odd'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		struct s3_notification n = build(&a, cases[i].c, 2);
		const char *message = NULL;
		enum notification_error e = notification_check(&a, &n, &message);

		if ((e == NOTIFICATION_OK) != (cases[i].message == NULL) || (e && !strstr(message, cases[i].message)))
			fail_msg("case %zu: %s", i, message ? message : "accepted");
	}
}

static void stored(void **state)
{
	static const struct conf conf[] = {{"i", ARN, "s3:ObjectCreated:*", "p", "s"},
					   {"j", ARN, "s3:ObjectRemoved:*", "", ""}};
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct s3_notification n = build(&a, conf, 2), m;
	_cleanup_json_ json_t *j = notification_to_json(&n), *k = NULL, *bad = NULL;
	const struct s3_lambda_notification *l;
	size_t i = 0;

	assert_int_equal(notification_from_json(&m, j, &a, NULL), 0);
	k = notification_to_json(&m);
	assert_true(json_equal(j, k));
	l = notification_next(&m, STR("s3:ObjectRemoved:Delete"), STR("x"), &i);
	assert_true(l && str_eqz(l->id, "j"));
	assert_null(notification_next(&m, STR("s3:ObjectRemoved:Delete"), STR("x"), &i));
	bad = json_parse(STR("{\"functions\":[{\"id\":\"x\",\"arn\":\"y\",\"events\":[1]}]}"), NULL);
	assert_int_equal(notification_from_json(&m, bad, &a, &err), -1);
	assert_string_equal(err.msg, "events: an element is not a string");
}

static void event(void **state)
{
	struct notification_event e = {
		.event = STR("s3:ObjectCreated:Put"),
		.region = STR("us-east-1"),
		.at_ms = 1769860800123,
		.principal = STR("AWS:AIDA"),
		.source_ip = STR("127.0.0.1"),
		.request_id = STR("R"),
		.host_id = STR("H"),
		.configuration_id = STR("c"),
		.bucket = STR("photos"),
		.owner = STR("O"),
		.key = STR("in/a b+\xc3\xa4.jpg "),
		.size = 1024,
		.etag = STR("d41d8"),
		.sequencer = 0x55aed,
	};
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	notification_event_json(&b, &e);
	assert_string_equal(
		buf_cstr(&b),
		"{\"Records\":[{\"eventVersion\":\"2.1\",\"eventSource\":\"aws:s3\",\"awsRegion\":\"us-east-1\","
		"\"eventTime\":\"2026-01-31T12:00:00.123Z\",\"eventName\":\"ObjectCreated:Put\",\"userIdentity\":{"
		"\"principalId\":\"AWS:AIDA\"},\"requestParameters\":{\"sourceIPAddress\":\"127.0.0.1\"},"
		"\"responseElements\":{\"x-amz-request-id\":\"R\",\"x-amz-id-2\":\"H\"},\"s3\":{\"s3SchemaVersion\":"
		"\"1.0\",\"configurationId\":\"c\",\"bucket\":{\"name\":\"photos\",\"ownerIdentity\":{\"principalId\":"
		"\"O\"},\"arn\":\"arn:aws:s3:::photos\"},\"object\":{\"key\":\"in/a+b%2B%C3%A4.jpg+\",\"size\":1024,"
		"\"eTag\":\"d41d8\",\"sequencer\":\"0000000000055AED\"}}}]}");
	assert_true(json_check(buf_str(&b)));
	buf_clear(&b);
	e.event = STR("s3:ObjectRemoved:Delete");
	notification_event_json(&b, &e);
	assert_null(strstr(buf_cstr(&b), "eTag"));
	assert_null(strstr(buf_cstr(&b), "size"));
	assert_non_null(strstr(buf_cstr(&b), "\"eventName\":\"ObjectRemoved:Delete\""));
	assert_true(json_check(buf_str(&b)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(match),
		cmocka_unit_test(check),
		cmocka_unit_test(stored),
		cmocka_unit_test(event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
