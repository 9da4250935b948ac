/* A bucket's notifications: ours are replaced, those of others stay. */
#include "cli/triggers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define NS "<NotificationConfiguration>"

static void merged(void **state)
{
	static const char there[] = NS
		"<CloudFunctionConfiguration><Id>wick:f:1</Id><CloudFunction>old</CloudFunction>"
		"<Event>s3:ObjectCreated:*</Event></CloudFunctionConfiguration>"
		"<CloudFunctionConfiguration><Id>wick:other:1</Id><CloudFunction>x</CloudFunction>"
		"<Event>s3:ObjectRemoved:*</Event></CloudFunctionConfiguration>"
		"<QueueConfiguration><Id>a&lt;b</Id><Queue>q</Queue></QueueConfiguration></NotificationConfiguration>";
	struct str event = STR("s3:ObjectCreated:*");
	_cleanup_(plan_done) struct plan p = {0};
	_cleanup_(buf_done) struct buf out = BUF_NULL, again = BUF_NULL;
	struct err err = ERR_NULL;

	*plan_add(&p, triggers) = (struct plan_trigger){
		.bucket = STR("b"), .function = STR("f"), .events = &event, .n_events = 1, .suffix = STR(".jpg")};
	assert_int_equal(notification_merge(&p, STR("b"), str_from(there), STR("r"), STR("000000000000"), &out, &err),
			 0);
	assert_null(strstr(buf_cstr(&out), ">old<"));
	assert_non_null(strstr(buf_cstr(&out), "wick:other:1"));
	assert_non_null(strstr(buf_cstr(&out), "a&lt;b"));
	assert_non_null(strstr(buf_cstr(&out), "arn:aws:lambda:r:000000000000:function:f"));
	assert_non_null(strstr(buf_cstr(&out), "<Name>Suffix</Name><Value>.jpg</Value>"));
	assert_null(strstr(buf_cstr(&out), "<Name>Prefix</Name>"));
	assert_int_equal(notification_merge(&p, STR("b"), buf_str(&out), STR("r"), STR("000000000000"), &again, &err),
			 0);
	assert_int_equal(again.n, out.n);
}

static void malformed(void **state)
{
	_cleanup_(plan_done) struct plan p = {0};
	_cleanup_(buf_done) struct buf out = BUF_NULL;
	struct err err = ERR_NULL;

	assert_int_equal(notification_merge(&p, STR("b"), STR("<x"), STR("r"), STR("0"), &out, &err), -1);
	assert_non_null(strstr(err.msg, "bucket b"));
	err_done(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(merged), cmocka_unit_test(malformed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
