/* Events and answers of format 2.0, by table. */
#include "model/url_event.h"

#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static json_t *event_of(const struct url_request *q)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct err err = ERR_NULL;
	json_t *j;

	url_event_write(&b, q);
	j = json_parse(buf_str(&b), &err);
	if (!j)
		fail_msg("%s in %s", err.msg, buf_cstr(&b));
	return j;
}

static const struct kv headers[] = {
	{{"Host", 4}, {"wick.example.org:9000", 21}},
	{{"X-Two", 5}, {"1", 1}},
	{{"Cookie", 6}, {"a=1; b=\"2\"", 10}},
	{{"x-two", 5}, {"2", 1}},
	{{"User-Agent", 10}, {"curl/8", 6}},
	{{"Authorization", 13}, {"secret", 6}},
	{{"Content-Type", 12}, {"application/json; charset=utf-8", 31}},
};

static struct url_request request(void)
{
	return (struct url_request){
		.method = STR("POST"),
		.path = STR("/a%20b/c"),
		.query = STR("x=1&y=%26&x=2&flag"),
		.protocol = STR("HTTP/1.1"),
		.host = STR("wick.example.org"),
		.peer = STR("192.0.2.7"),
		.request_id = STR("id"),
		.api_id = STR("hello"),
		.account = STR("000000000000"),
		.headers = headers,
		.n_headers = ARRAY_SIZE(headers),
		.body = STR("{\"k\":1}"),
		.now_ms = 1584039838123,
	};
}

static void whole_event(void **state)
{
	static const char expected[] =
		"{\"version\":\"2.0\",\"routeKey\":\"$default\",\"rawPath\":\"/a%20b/c\","
		"\"rawQueryString\":\"x=1&y=%26&x=2&flag\",\"cookies\":[\"a=1\",\"b=\\\"2\\\"\"],"
		"\"headers\":{\"host\":\"wick.example.org:9000\",\"x-two\":\"1,2\",\"user-agent\":\"curl/8\","
		"\"authorization\":\"secret\",\"content-type\":\"application/json; charset=utf-8\"},"
		"\"queryStringParameters\":{\"x\":\"1,2\",\"y\":\"&\",\"flag\":\"\"},"
		"\"requestContext\":{\"accountId\":\"anonymous\",\"apiId\":\"hello\",\"domainName\":\"wick.example."
		"org\","
		"\"domainPrefix\":\"wick\",\"http\":{\"method\":\"POST\",\"path\":\"/a%20b/c\",\"protocol\":\"HTTP/"
		"1.1\","
		"\"sourceIp\":\"192.0.2.7\",\"userAgent\":\"curl/8\"},\"requestId\":\"id\",\"routeKey\":\"$default\","
		"\"stage\":\"$default\",\"time\":\"12/Mar/2020:19:03:58 +0000\",\"timeEpoch\":1584039838123},"
		"\"body\":\"{\\\"k\\\":1}\",\"isBase64Encoded\":false}";
	struct url_request q = request();
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	url_event_write(&b, &q);
	assert_string_equal(buf_cstr(&b), expected);
	json_decref(event_of(&q));
}

static void nothing_is_left_out_as_null(void **state)
{
	struct url_request q = {.method = STR("GET"), .path = STR("/")};
	_cleanup_json_ json_t *j = event_of(&q);

	assert_null(json_object_get(j, "cookies"));
	assert_null(json_object_get(j, "queryStringParameters"));
	assert_null(json_object_get(j, "body"));
	assert_true(json_is_false(json_object_get(j, "isBase64Encoded")));
	assert_int_equal(json_object_size(json_object_get(j, "headers")), 0);
}

static void who_has_signed(void **state)
{
	struct url_request q = request();
	_cleanup_json_ json_t *j = NULL;
	const json_t *context, *iam;

	q.iam_key = STR("AKIA1");
	q.iam_arn = STR("arn:aws:iam::000000000000:root");
	j = event_of(&q);
	context = json_object_get(j, "requestContext");
	iam = json_object_get(json_object_get(context, "authorizer"), "iam");
	assert_true(str_eqz(json_get_str(context, "accountId", STR("")), "000000000000"));
	assert_true(str_eqz(json_get_str(iam, "accessKey", STR("")), "AKIA1"));
	assert_true(str_eqz(json_get_str(iam, "userArn", STR("")), "arn:aws:iam::000000000000:root"));
	assert_null(json_object_get(json_object_get(j, "headers"), "authorization"));
}

static void bodies(void **state)
{
	static const struct {
		const char *type, *body, *encoding, *as;
		bool base64;
	} rows[] = {
		{"text/plain", "hi", NULL, "hi", false},
		{"application/json", "{}", NULL, "{}", false},
		{"application/vnd.api+json", "{}", NULL, "{}", false},
		{"application/octet-stream", "hi", NULL, "aGk=", true},
		{"application/x-www-form-urlencoded", "a=1", NULL, "YT0x", true},
		{"", "hi", NULL, "aGk=", true},
		{"text/plain", "\xff", NULL, "/w==", true},
		{"text/plain", "hi", "gzip", "aGk=", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kv h[] = {{STR("content-type"), str_from(rows[i].type)},
				 {STR("content-encoding"), str_from(rows[i].encoding)}};
		struct url_request q = {.method = STR("POST"),
					.path = STR("/"),
					.headers = h,
					.n_headers = rows[i].encoding ? 2 : 1,
					.body = str_from(rows[i].body)};
		_cleanup_json_ json_t *j = event_of(&q);

		assert_true(str_eqz(json_get_str(j, "body", STR("")), rows[i].as));
		assert_int_equal(json_get_bool(j, "isBase64Encoded", false), rows[i].base64);
	}
}

static void answers(void **state)
{
	static const struct {
		const char *payload;
		unsigned status; /* 0: refused */
		const char *headers, *body;
	} rows[] = {
		{"\"Hello\"", 200, "Content-Type=application/json;", "\"Hello\""},
		{"{\"message\":\"hi\"}", 200, "Content-Type=application/json;", "{\"message\":\"hi\"}"},
		{"null", 200, "Content-Type=application/json;", "null"},
		{"{\"statusCode\":201,\"headers\":{\"content-type\":\"text/"
		 "plain\",\"X-N\":7},\"cookies\":[\"a=1\",\"b=2\"],"
		 "\"body\":\"made\"}",
		 201, "content-type=text/plain;X-N=7;Set-Cookie=a=1;Set-Cookie=b=2;", "made"},
		{"{\"statusCode\":204}", 204, "Content-Type=application/json;", ""},
		{"{\"statusCode\":\"404\",\"body\":null}", 404, "Content-Type=application/json;", ""},
		{"{\"statusCode\":200,\"body\":\"aGk=\",\"isBase64Encoded\":true}", 200,
		 "Content-Type=application/json;", "hi"},
		{"{\"statusCode\":200,\"body\":\"?\",\"isBase64Encoded\":true}", 0, "", ""},
		{"{\"statusCode\":200,\"body\":{\"a\":1}}", 0, "", ""},
		{"{\"statusCode\":99}", 0, "", ""},
		{"{\"statusCode\":101}", 0, "", ""},
		{"{\"statusCode\":\"x\"}", 0, "", ""},
		{"{\"statusCode\":[]}", 0, "", ""},
		{"{\"statusCode\":200,\"headers\":[]}", 0, "", ""},
		{"{\"statusCode\":200,\"headers\":{\"a b\":\"c\"}}", 0, "", ""},
		{"{\"statusCode\":200,\"headers\":{\"a\":\"x\\r\\nInjected: 1\"}}", 0, "", ""},
		{"{\"statusCode\":200,\"headers\":{\"a\":{}}}", 0, "", ""},
		{"{\"statusCode\":200,\"cookies\":{}}", 0, "", ""},
		{"{\"inner\":{\"statusCode\":500}}", 200, "Content-Type=application/json;",
		 "{\"inner\":{\"statusCode\":500}}"},
		{"not json", 0, "", ""},
		{"", 0, "", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;
		_cleanup_(buf_done) struct buf text = BUF_NULL;
		struct url_answer an;
		int r = url_answer_read(&an, str_from(rows[i].payload), &a, &err);

		if (r < 0) {
			if (rows[i].status || !err.msg)
				fail_msg("%s: %s", rows[i].payload, err.msg);
		} else {
			for (size_t k = 0; k < an.n_headers; k++)
				buf_printf(&text, "%.*s=%.*s;", STR_ARG(an.headers[k].k), STR_ARG(an.headers[k].v));
			assert_int_equal(an.status, rows[i].status);
			assert_string_equal(buf_cstr(&text), rows[i].headers);
			assert_string_equal(buf_cstr(&an.body), rows[i].body);
		}
		buf_done(&an.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_event),    cmocka_unit_test(nothing_is_left_out_as_null),
		cmocka_unit_test(who_has_signed), cmocka_unit_test(bodies),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
