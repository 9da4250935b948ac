/* Talking to a gateway. Finds it (the AWS_* environment, or what `wick serve` wrote into its data folder), signs each
 * request with Signature Version 4 and turns refusals into messages for people. Owns the connection and the secret,
 * which never appears in a message. Fails when nobody answers, or when no keys can be found. */
#include "cli/client.h"

#include "base/mem.h"
#include "base/time.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "wire/sigv4.h"
#include "wire/xml.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SIGNED_HEADERS_MAX 16
#define CREDENTIALS_MAX    65536
#define REFUSAL_MAX        65536

struct client {
	struct client_conf conf;
	char *host;
	struct http_client *http;
};

char *client_default_data(void)
{
	const char *data = getenv("WICK_DATA"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (data && *data)
		return xstrdup(data);
	if (geteuid() == 0)
		return xstrdup("/var/lib/wick");
	if (xdg && *xdg == '/')
		return xasprintf("%s/wick", xdg);
	return xasprintf("%s/.local/share/wick", home && *home ? home : ".");
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* The keys of the [default] section, or of the only one. */
static void read_credentials(struct str text, struct client_conf *c)
{
	while (text.n > 0) {
		struct str line, name, value;

		str_cut(text, '\n', &line, &text);
		line = str_trim(line);
		if (line.n == 0 || line.p[0] == '#' || line.p[0] == '[' || !str_cut(line, '=', &name, &value))
			continue;
		name = str_trim(name);
		value = str_trim(value);
		if (str_eqz(name, "aws_access_key_id") && !c->access_key)
			c->access_key = str_dup(value);
		else if (str_eqz(name, "aws_secret_access_key") && !c->secret)
			c->secret = str_dup(value);
		else if (str_eqz(name, "aws_session_token") && !c->token)
			c->token = str_dup(value);
	}
}

static char *read_line(const char *dir, const char *name)
{
	_cleanup_(freep) char *path = xasprintf("%s/%s", dir, name);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str line, rest;

	if (file_read(path, 4096, &b) < 0)
		return NULL;
	str_cut(buf_str(&b), '\n', &line, &rest);
	line = str_trim(line);
	return line.n ? str_dup(line) : NULL;
}

static int conf_from_data(struct client_conf *c, const char *dir, bool want_endpoint, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/credentials", dir);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	int r = file_read(path, CREDENTIALS_MAX, &b);

	if (r == -ENOENT)
		return err_set(err, 0,
			       "no keys: %s is not there; start `wick serve`, or name its data folder with --data "
			       "DIR, or set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
			       path);
	if (r < 0)
		return err_set(err, -r, "the keys in %s cannot be read", path);
	read_credentials(buf_str(&b), c);
	mem_wipe(b.p, b.n);
	if (!c->access_key || !c->secret)
		return err_set(err, 0, "%s holds no aws_access_key_id and aws_secret_access_key", path);
	if (want_endpoint) {
		c->endpoint = read_line(dir, "run/endpoint");
		if (!c->endpoint)
			return err_set(err, 0, "Wick was never started on %s: run `wick serve --data %s`", dir, dir);
	}
	if (!c->region)
		c->region = read_line(dir, "run/region");
	c->account = read_line(dir, "run/account");
	return 0;
}

int client_conf_read(struct client_conf *c, const char *data, struct err *err)
{
	const char *region = env("AWS_REGION") ? env("AWS_REGION") : env("AWS_DEFAULT_REGION");
	const char *endpoint = env("AWS_ENDPOINT_URL");
	_cleanup_(freep) char *dir = data ? xstrdup(data) : client_default_data();

	*c = (struct client_conf){0};
	/* Keys without an address are another cloud's: they are not tried on this machine's Wick. */
	if (!data && endpoint) {
		c->endpoint = xstrdup(endpoint);
		c->region = region ? xstrdup(region) : NULL;
		if (env("AWS_ACCESS_KEY_ID") && env("AWS_SECRET_ACCESS_KEY")) {
			c->access_key = xstrdup(env("AWS_ACCESS_KEY_ID"));
			c->secret = xstrdup(env("AWS_SECRET_ACCESS_KEY"));
			c->token = env("AWS_SESSION_TOKEN") ? xstrdup(env("AWS_SESSION_TOKEN")) : NULL;
		} else if (conf_from_data(c, dir, false, err) < 0) {
			client_conf_done(c);
			return -1;
		}
	} else if (conf_from_data(c, dir, true, err) < 0) {
		client_conf_done(c);
		return -1;
	}
	if (!c->region)
		c->region = xstrdup("us-east-1");
	if (!c->account)
		c->account = xstrdup("000000000000");
	return 0;
}

void client_conf_done(struct client_conf *c)
{
	if (c->secret)
		mem_wipe(c->secret, strlen(c->secret));
	free(c->endpoint);
	free(c->region);
	free(c->account);
	free(c->access_key);
	free(c->secret);
	free(c->token);
	*c = (struct client_conf){0};
}

struct client *client_open(const char *data, struct err *err)
{
	_cleanup_(client_closep) struct client *c = xnew(struct client);
	struct str url, rest;
	ssize_t at;

	if (client_conf_read(&c->conf, data, err) < 0)
		return NULL;
	url = str_from(c->conf.endpoint);
	while (str_ends(url, STR("/")))
		url.n--;
	c->conf.endpoint[url.n] = '\0';
	at = str_find(url, STR("://"));
	if (at < 0 || (!str_starts(url, STR("http://")) && !str_starts(url, STR("https://")))) {
		err_set(err, 0, "AWS_ENDPOINT_URL is \"%s\": it must begin with http:// or https://", c->conf.endpoint);
		return NULL;
	}
	rest = str_sub(url, (size_t)at + 3, url.n);
	str_cut(rest, '/', &rest, &url);
	c->host = str_dup(rest);
	c->http = http_client_new();
	return steal(&c);
}

struct client *client_close(struct client *c)
{
	if (!c)
		return NULL;
	http_client_free(c->http);
	client_conf_done(&c->conf);
	free(c->host);
	free(c);
	return NULL;
}

const struct client_conf *client_conf(const struct client *c)
{
	return &c->conf;
}

/* The headers to send, signed: lines[0..], NULL at the end, in the arena. */
static void sign(struct client *c, const struct client_call *call, struct arena *a, const char **lines)
{
	struct sigv4_header h[SIGNED_HEADERS_MAX];
	uint8_t digest[SHA256_SIZE], key[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1], stamp[TIME_AMZ_SIZE];
	_cleanup_(buf_done) struct buf auth = BUF_NULL;
	struct str hash = STR("UNSIGNED-PAYLOAD");
	size_t n = 0, n_lines = 0;

	if (call->body_fd <= 0) {
		sha256(call->body.p ? call->body.p : "", call->body.n, digest);
		hex_encode(digest, sizeof(digest), hex);
		hash = str_from(hex);
	}
	time_amz(clock_wall_ms() / 1000, stamp);
	h[n++] = (struct sigv4_header){STR("host"), str_from(c->host)};
	h[n++] = (struct sigv4_header){STR("x-amz-date"), str_from(stamp)};
	if (strcmp(call->service, "s3") == 0)
		h[n++] = (struct sigv4_header){STR("x-amz-content-sha256"), hash};
	if (c->conf.token)
		h[n++] = (struct sigv4_header){STR("x-amz-security-token"), str_from(c->conf.token)};
	for (size_t i = 0; i < call->n_headers && n < SIGNED_HEADERS_MAX; i++)
		h[n++] = (struct sigv4_header){str_from(call->headers[i].name), str_from(call->headers[i].value)};

	sigv4_signing_key(str_from(c->conf.secret), str_n(stamp, 8), str_from(c->conf.region), str_from(call->service),
			  key);
	sigv4_sign(
		&(struct sigv4_request){
			.method = str_from(call->method),
			.path = str_from(call->path),
			.query = str_from(call->query ? call->query : ""),
			.headers = h,
			.n_headers = n,
		},
		str_from(c->conf.access_key), str_from(c->conf.region), str_from(call->service), key, str_from(stamp),
		hash, &auth);
	mem_wipe(key, sizeof(key));
	for (size_t i = 1; i < n; i++)
		lines[n_lines++] = arena_printf(a, "%.*s: %.*s", STR_ARG(h[i].name), STR_ARG(h[i].value));
	lines[n_lines++] = arena_printf(a, "Authorization: %s", buf_cstr(&auth));
	lines[n_lines] = NULL;
}

/* The caller's sink takes what was asked for; a refusal goes into the response, to be read as one. */
struct filtered {
	const struct client_call *call;
	struct http_response *r;
};

static bool on_body(void *arg, const void *p, size_t n)
{
	struct filtered *f = arg;
	struct str line = buf_str(&f->r->headers), version;

	str_cut(line, ' ', &version, &line);
	if (line.n > 0 && line.p[0] == '2')
		return f->call->sink(f->call->sink_arg, p, n);
	if (f->r->body.n + n > REFUSAL_MAX)
		return false;
	buf_add(&f->r->body, p, n);
	return true;
}

int client_call(struct client *c, const struct client_call *call, struct http_response *ret, struct err *err)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	const char *lines[SIGNED_HEADERS_MAX + 2];
	bool query = call->query && *call->query;
	struct filtered filtered = {call, ret};
	struct http_call hc = {
		.method = call->method,
		.url = arena_printf(&a, "%s%s%s%s", c->conf.endpoint, call->path, query ? "?" : "",
				    query ? call->query : ""),
		.headers = lines,
		.body = call->body,
		.body_fd = call->body_fd,
		.body_length = call->body_length,
		.sink = call->sink ? on_body : NULL,
		.sink_arg = &filtered,
		.timeout_ms = call->timeout_ms,
	};

	sign(c, call, &a, lines);
	if (http_client_call(c->http, &hc, ret, err) < 0)
		return err_wrap(err, "no answer from %s (is `wick serve` running?)", c->conf.endpoint);
	return 0;
}

/* The service's own words: JSON {"message"} or {"Message"} with the type in a header, or S3's <Error>. */
static void describe(const struct http_response *r, char code[static 64], struct err *err)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct str body = buf_str(&r->body), type = http_response_header(r, "x-amzn-errortype"), message = STR_NULL;
	struct err ignored = ERR_NULL;

	if (str_starts(str_trim(body), STR("<"))) {
		const struct xml_node *x = xml_parse(&a, body, 1 << 20, &ignored);

		type = xml_child_text(x, "Code");
		message = xml_child_text(x, "Message");
	} else if (body.n > 0) {
		j = json_parse(body, &ignored);
		message = json_get_str(j, "message", json_get_str(j, "Message", STR_NULL));
		if (type.n == 0)
			type = json_get_str(j, "code", json_get_str(j, "__type", json_get_str(j, "Code", STR_NULL)));
	}
	err_done(&ignored);
	snprintf(code, 64, "%.*s", STR_ARG(type));
	if (message.n > 0)
		err_set(err, 0, "%.*s%s%.*s%s", STR_ARG(message), type.n ? " (" : "", STR_ARG(type), type.n ? ")" : "");
	else
		err_set(err, 0, "the server answered with status %u", r->status);
	if (strcmp(code, "SignatureDoesNotMatch") == 0 || strcmp(code, "InvalidAccessKeyId") == 0 ||
	    strcmp(code, "InvalidSignatureException") == 0 || strcmp(code, "UnrecognizedClientException") == 0)
		err_wrap(err,
			 "the keys are not this server's: run eval \"$(wick env)\" on its machine, or unset AWS_*");
}

int client_do(struct client *c, const struct client_call *call, struct http_response *ret, char code[static 64],
	      struct err *err)
{
	struct http_response local = {0}, *r = ret ? ret : &local;
	int result = client_call(c, call, r, err);

	code[0] = '\0';
	if (result == 0 && r->status >= 300) {
		describe(r, code, err);
		result = -1;
	}
	if (r == &local)
		http_response_done(&local);
	return result;
}

int client_json(struct client *c, const char *service, const char *method, const char *path, const char *query,
		const json_t *body, json_t **ret, char code[static 64], struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	struct client_header type = {"content-type", "application/json"};
	struct client_call call = {.service = service, .method = method, .path = path, .query = query};

	if (body) {
		json_write(&b, body);
		call.body = buf_str(&b);
		call.headers = &type;
		call.n_headers = 1;
	}
	if (client_do(c, &call, &r, code, err) < 0)
		return -1;
	if (!ret)
		return 0;
	*ret = NULL;
	if (str_trim(buf_str(&r.body)).n == 0)
		return 0;
	*ret = json_parse(buf_str(&r.body), err);
	return *ret ? 0 : err_wrap(err, "%s %s: the answer is not JSON", method, path);
}
