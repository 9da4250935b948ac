/* Payload format 2.0. The event is written by hand, piece by piece, since every request behind a URL pays for it; the
 * answer is read as a tree. Owns nothing; what fails is an answer that is none. */
#include "model/url_event.h"

#include "base/time.h"
#include "wire/digest.h"
#include "wire/json.h"
#include "wire/uri.h"
#include "wire/utf8.h"

#include <math.h>
#include <stdio.h>

#define PARAMS_MAX 1024

/* ---- the event ---- */

static void add_key(struct buf *b, const char *key)
{
	if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
		buf_addc(b, ',');
	buf_addc(b, '"');
	buf_adds(b, key);
	buf_adds(b, "\":");
}

static void add_text(struct buf *b, const char *key, struct str value)
{
	add_key(b, key);
	json_write_string(b, value);
}

static bool named(struct str name, const char *other)
{
	return str_ieq(name, str_from(other));
}

/* What is not handed to the function: cookies have a member of their own, a signature is for Wick alone. */
static bool is_hidden(const struct url_request *q, struct str name)
{
	return named(name, "cookie") || (q->iam_key.n && named(name, "authorization"));
}

static void add_lower(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(b, (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]));
}

/* Values of one name are joined by commas, where the name comes first. */
static void add_headers(struct buf *b, const struct url_request *q)
{
	_cleanup_(buf_done) struct buf name = BUF_NULL, value = BUF_NULL;

	add_key(b, "headers");
	buf_addc(b, '{');
	for (size_t i = 0; i < q->n_headers; i++) {
		const struct kv *h = &q->headers[i];
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = str_ieq(q->headers[k].k, h->k);
		if (seen || is_hidden(q, h->k))
			continue;
		buf_clear(&name);
		buf_clear(&value);
		add_lower(&name, h->k);
		buf_add_str(&value, h->v);
		for (size_t k = i + 1; k < q->n_headers; k++) {
			if (!str_ieq(q->headers[k].k, h->k))
				continue;
			buf_addc(&value, ',');
			buf_add_str(&value, q->headers[k].v);
		}
		if (b->p[b->n - 1] != '{')
			buf_addc(b, ',');
		json_write_string(b, buf_str(&name));
		buf_addc(b, ':');
		json_write_string(b, buf_str(&value));
	}
	buf_addc(b, '}');
}

static void add_cookies(struct buf *b, const struct url_request *q)
{
	bool any = false;

	for (size_t i = 0; i < q->n_headers; i++) {
		struct str rest = q->headers[i].v, one;

		if (!named(q->headers[i].k, "cookie"))
			continue;
		while (rest.n) {
			str_cut(rest, ';', &one, &rest);
			one = str_trim(one);
			if (!one.n)
				continue;
			if (any) {
				buf_addc(b, ',');
			} else {
				add_key(b, "cookies");
				buf_addc(b, '[');
			}
			any = true;
			json_write_string(b, one);
		}
	}
	if (any)
		buf_addc(b, ']');
}

static void add_query(struct buf *b, const struct url_request *q)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(buf_done) struct buf value = BUF_NULL;
	struct uri_param *p;
	size_t n;

	if (!q->query.n || uri_parse_query(&a, q->query, PARAMS_MAX, &p, &n) < 0 || n == 0)
		return;
	add_key(b, "queryStringParameters");
	buf_addc(b, '{');
	for (size_t i = 0; i < n; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = str_eq(p[k].name, p[i].name);
		if (seen)
			continue;
		buf_clear(&value);
		buf_add_str(&value, p[i].value);
		for (size_t k = i + 1; k < n; k++) {
			if (!str_eq(p[k].name, p[i].name))
				continue;
			buf_addc(&value, ',');
			buf_add_str(&value, p[k].value);
		}
		if (b->p[b->n - 1] != '{')
			buf_addc(b, ',');
		json_write_string(b, p[i].name);
		buf_addc(b, ':');
		json_write_string(b, buf_str(&value));
	}
	buf_addc(b, '}');
}

static struct str header(const struct url_request *q, const char *name)
{
	for (size_t i = 0; i < q->n_headers; i++)
		if (named(q->headers[i].k, name))
			return q->headers[i].v;
	return STR_NULL;
}

static void add_time(struct buf *b, int64_t ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char iso[TIME_ISO8601_SIZE];
	int month;

	/* "2020-03-12T19:03:58.000Z" as "12/Mar/2020:19:03:58 +0000" */
	time_iso8601_ms(ms, iso);
	month = (iso[5] - '0') * 10 + (iso[6] - '0');
	add_key(b, "time");
	buf_printf(b, "\"%.2s/%.3s/%.4s:%.8s +0000\"", iso + 8, months + (month - 1) * 3, iso, iso + 11);
	add_key(b, "timeEpoch");
	buf_printf(b, "%lld", (long long)ms);
}

static void add_iam(struct buf *b, const struct url_request *q)
{
	add_key(b, "authorizer");
	buf_adds(b, "{\"iam\":{");
	add_text(b, "accessKey", q->iam_key);
	add_text(b, "accountId", q->account);
	add_text(b, "callerId", q->iam_key);
	buf_adds(b, ",\"cognitoIdentity\":null,\"principalOrgId\":null");
	add_text(b, "userArn", q->iam_arn);
	add_text(b, "userId", q->iam_key);
	buf_adds(b, "}}");
}

static void add_context(struct buf *b, const struct url_request *q)
{
	struct str prefix, rest;

	str_cut(q->host, '.', &prefix, &rest);
	add_key(b, "requestContext");
	buf_addc(b, '{');
	add_text(b, "accountId", q->iam_key.n ? q->account : STR("anonymous"));
	add_text(b, "apiId", q->api_id);
	if (q->iam_key.n)
		add_iam(b, q);
	add_text(b, "domainName", q->host);
	add_text(b, "domainPrefix", prefix);
	add_key(b, "http");
	buf_addc(b, '{');
	add_text(b, "method", q->method);
	add_text(b, "path", q->path);
	add_text(b, "protocol", q->protocol);
	add_text(b, "sourceIp", q->peer);
	add_text(b, "userAgent", header(q, "user-agent"));
	buf_addc(b, '}');
	add_text(b, "requestId", q->request_id);
	add_text(b, "routeKey", STR("$default"));
	add_text(b, "stage", STR("$default"));
	add_time(b, q->now_ms);
	buf_addc(b, '}');
}

static bool is_utf8(struct str s)
{
	uint32_t cp;

	while (s.n) {
		size_t n = utf8_decode(s.p, s.n, &cp);

		if (!n)
			return false;
		s = str_n(s.p + n, s.n - n);
	}
	return true;
}

/* What AWS hands on as text; everything else is base64. */
static bool is_text(const struct url_request *q)
{
	static const char *const types[] = {"application/json", "application/javascript", "application/xml",
					    "application/graphql"};
	struct str type = header(q, "content-type"), rest;

	if (header(q, "content-encoding").n)
		return false;
	str_cut(type, ';', &type, &rest);
	type = str_trim(type);
	if (str_istarts(type, STR("text/")))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (named(type, types[i]))
			return true;
	return str_istarts(type, STR("application/")) && (str_ends(type, STR("+json")) || str_ends(type, STR("+xml")));
}

static void add_body(struct buf *b, const struct url_request *q)
{
	bool text = q->body.n == 0 || (is_text(q) && is_utf8(q->body));

	if (q->body.n) {
		add_key(b, "body");
		if (text) {
			json_write_string(b, q->body);
		} else {
			buf_addc(b, '"');
			base64_encode(b, q->body.p, q->body.n);
			buf_addc(b, '"');
		}
	}
	add_key(b, "isBase64Encoded");
	buf_adds(b, text ? "false" : "true");
}

void url_event_write(struct buf *b, const struct url_request *q)
{
	buf_adds(b, "{\"version\":\"2.0\",\"routeKey\":\"$default\"");
	add_text(b, "rawPath", q->path);
	add_text(b, "rawQueryString", q->query);
	add_cookies(b, q);
	add_headers(b, q);
	add_query(b, q);
	add_context(b, q);
	add_body(b, q);
	buf_addc(b, '}');
}

/* ---- the answer ---- */

bool url_header_ok(struct str name, struct str value)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
		    (!c || !strchr(others, c)))
			return false;
	}
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	return name.n > 0;
}

/* A string, number or truth as text; p == NULL: neither. */
static struct str scalar(const json_t *v, struct arena *a)
{
	if (json_is_string(v))
		return arena_str(a, json_str_value(v));
	if (json_is_integer(v))
		return str_from(arena_printf(a, "%lld", (long long)json_integer_value(v)));
	if (json_is_real(v))
		return str_from(arena_printf(a, "%.17g", json_real_value(v)));
	if (json_is_boolean(v))
		return json_is_true(v) ? STR("true") : STR("false");
	return STR_NULL;
}

static int add_answer_header(struct url_answer *ret, struct str name, struct str value, struct err *err)
{
	if (!value.p || !url_header_ok(name, value))
		return err_set(err, 0, "the header \"%.*s\" cannot be sent", STR_ARG(str_sub(name, 0, 128)));
	ret->headers[ret->n_headers++] = (struct kv){name, value};
	return 0;
}

static int read_headers(struct url_answer *ret, const json_t *j, struct arena *a, struct err *err)
{
	const json_t *headers = json_object_get(j, "headers"), *cookies = json_object_get(j, "cookies");
	const char *name;
	json_t *v;
	size_t i;

	if (headers && !json_is_object(headers) && !json_is_null(headers))
		return err_set(err, 0, "\"headers\" is no object");
	if (cookies && !json_is_array(cookies) && !json_is_null(cookies))
		return err_set(err, 0, "\"cookies\" is no array");
	ret->headers = arena_new_n(a, struct kv, json_object_size(headers) + json_array_size(cookies) + 1);
	json_object_foreach((json_t *)headers, name, v) if (add_answer_header(ret, arena_str(a, str_from(name)),
									      scalar(v, a), err) < 0) return -1;
	json_array_foreach(cookies, i,
			   v) if (add_answer_header(ret, STR("Set-Cookie"), scalar(v, a), err) < 0) return -1;
	return 0;
}

static int read_body(struct url_answer *ret, const json_t *j, struct err *err)
{
	const json_t *body = json_object_get(j, "body");

	if (!body || json_is_null(body))
		return 0;
	if (!json_is_string(body))
		return err_set(err, 0, "\"body\" is no string");
	if (!json_get_bool(j, "isBase64Encoded", false))
		buf_add_str(&ret->body, json_str_value(body));
	else if (!base64_decode(&ret->body, json_str_value(body)))
		return err_set(err, 0, "\"body\" is said to be base64 and is not");
	return 0;
}

static int read_status(const json_t *code, unsigned *ret, struct err *err)
{
	int64_t status = -1;

	if (json_is_integer(code))
		status = json_integer_value(code);
	else if (json_is_real(code) && json_real_value(code) == floor(json_real_value(code)) &&
		 fabs(json_real_value(code)) < 1000)
		status = (int64_t)json_real_value(code);
	else if (json_is_string(code) && !str_to_i64(json_str_value(code), &status))
		status = -1;
	if (status < 200 || status > 599)
		return err_set(err, 0, "\"statusCode\" is no HTTP status from 200 to 599");
	*ret = (unsigned)status;
	return 0;
}

static bool has_content_type(const struct url_answer *an)
{
	for (size_t i = 0; i < an->n_headers; i++)
		if (named(an->headers[i].k, "content-type"))
			return true;
	return false;
}

int url_answer_read(struct url_answer *ret, struct str payload, struct arena *a, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	const json_t *code;

	*ret = (struct url_answer){.status = 200};
	if (!json_check(payload))
		return err_set(err, 0, "it is not a JSON document in UTF-8");
	/* Most that are no objects are not worth a tree; neither is an object without the word. */
	if (str_find(payload, STR("\"statusCode\"")) >= 0) {
		j = json_parse(payload, err);
		if (!j)
			return -1;
	}
	code = json_object_get(j, "statusCode");
	if (!code) {
		ret->headers = arena_new_n(a, struct kv, 1);
		buf_add_str(&ret->body, payload);
	} else if (read_status(code, &ret->status, err) < 0 || read_headers(ret, j, a, err) < 0 ||
		   read_body(ret, j, err) < 0) {
		return -1;
	}
	if (!has_content_type(ret))
		ret->headers[ret->n_headers++] = (struct kv){STR("Content-Type"), STR("application/json")};
	return 0;
}
