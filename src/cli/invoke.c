/* wick invoke: one invocation, its answer on standard output as it came, everything else on standard error. */
#include "cli/invoke.h"

#include "cli/commands.h"
#include "cli/out.h"

#include "base/mem.h"
#include "sys/file.h"
#include "wire/digest.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define EVENT_MAX ((size_t)6 << 20) /* AWS Lambda Developer Guide, "Lambda quotas": synchronous payload */

static int read_stdin(struct buf *b, struct err *err)
{
	for (;;) {
		char *p = buf_reserve(b, 65536);
		ssize_t n = read(STDIN_FILENO, p, 65536);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "standard input");
		if (n == 0)
			return 0;
		b->n += (size_t)n;
		b->p[b->n] = '\0';
		if (b->n > EVENT_MAX)
			return err_set(err, 0, "the event on standard input is larger than 6 MiB");
	}
}

int event_read(const struct cli *c, struct buf *b, struct err *err)
{
	const char *s = cli_get(c, "event");
	_cleanup_json_ json_t *j = NULL;
	int r = 0;

	if (!s) {
		buf_adds(b, "{}");
		return 0;
	}
	if (strcmp(s, "-") == 0) {
		if (read_stdin(b, err) < 0)
			return -1;
	} else if (s[0] == '@') {
		r = file_read(s + 1, EVENT_MAX, b);
		if (r == -EFBIG)
			return err_set(err, 0, "--event %s: larger than 6 MiB", s);
		if (r < 0)
			return err_set(err, -r, "--event %s", s);
	} else {
		buf_adds(b, s);
	}
	j = json_parse(buf_str(b), err);
	return j ? 0 : err_wrap(err, "the event is not JSON");
}

/* The gate's own headers: stages and cost. */
static json_t *stages(const struct http_response *r)
{
	struct str rest = buf_str(&r->headers), line, name, value;
	json_t *o = json_object();

	while (rest.n > 0) {
		str_cut(rest, '\n', &line, &rest);
		if (!str_istarts(line, STR("wick-")) || !str_cut(line, ':', &name, &value))
			continue;
		_cleanup_(freep) char *key = str_dup(str_sub(name, strlen("wick-"), name.n));

		while (value.n > 0 && value.p[value.n - 1] == '\r')
			value.n--;
		json_set_str(o, key, str_trim(value));
	}
	return o;
}

static void print_log(const struct http_response *r, struct str tail)
{
	_cleanup_json_ json_t *s = stages(r);
	struct str line;
	const char *key;
	json_t *v;

	while (tail.n > 0) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		str_cut(tail, '\n', &line, &tail);
		out_clean(&b, line);
		fprintf(stderr, "%s\n", buf_cstr(&b));
	}
	if (json_object_size(s) == 0)
		return;
	fprintf(stderr, "%sSTAGES", tone_on(STDERR_FILENO, TONE_DIM));
	json_object_foreach(s, key, v) fprintf(stderr, "  %s: %s", key, json_string_value(v));
	fprintf(stderr, "%s\n", tone_off(STDERR_FILENO, TONE_DIM));
}

static json_t *as_json(struct str payload, const struct http_response *r, struct str tail)
{
	struct err ignored = ERR_NULL;
	json_t *o = json_object(), *j = payload.n ? json_parse(payload, &ignored) : NULL;

	err_done(&ignored);
	json_object_set_new(o, "status", json_integer(r->status));
	json_set_str(o, "requestId", http_response_header(r, "x-amzn-requestid"));
	if (http_response_header(r, "x-amz-function-error").n)
		json_set_str(o, "functionError", http_response_header(r, "x-amz-function-error"));
	if (j)
		json_object_set_new(o, "payload", j);
	else if (payload.n)
		json_set_str(o, "payload", payload);
	if (tail.n)
		json_set_str(o, "log", tail);
	json_object_set_new(o, "stages", stages(r));
	return o;
}

static void print_payload(const struct cli *c, const struct http_response *r, struct str tail, bool async)
{
	struct str payload = buf_str(&r->body);

	if (c->json) {
		cli_print_json(as_json(payload, r, tail));
		return;
	}
	if (cli_has(c, "log"))
		print_log(r, tail);
	if (async) {
		printf("Queued: request %.*s\n", STR_ARG(http_response_header(r, "x-amzn-requestid")));
		return;
	}
	fwrite(payload.p, 1, payload.n, stdout);
	if (payload.n && payload.p[payload.n - 1] != '\n' && out_is_tty(STDOUT_FILENO))
		putchar('\n');
}

int invoke_run(const struct cli *c)
{
	bool async = cli_has(c, "async");
	struct client_header headers[3] = {{"content-type", "application/json"}};
	_cleanup_(freep) char *path = NULL;
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(buf_done) struct buf event = BUF_NULL, tail = BUF_NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	struct client_call call = {.service = "lambda", .method = "POST", .headers = headers, .n_headers = 1};
	struct err err = ERR_NULL;
	char code[64];

	if (c->n_args != 1)
		return cli_usage(c, "expected one function NAME");
	if (event_read(c, &event, &err) < 0)
		return cli_fail(c, &err);
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	path = cli_path("/2015-03-31/functions/", str_from(c->args[0]), "/invocations");
	call.path = path;
	call.body = buf_str(&event);
	headers[call.n_headers++] =
		(struct client_header){"x-amz-invocation-type", async ? "Event" : "RequestResponse"};
	if (!async && (cli_has(c, "log") || c->json))
		headers[call.n_headers++] = (struct client_header){"x-amz-log-type", "Tail"};
	if (client_do(client, &call, &r, code, &err) < 0) {
		err_wrap(&err, "%s", c->args[0]);
		return cli_fail(c, &err);
	}
	base64_decode(&tail, http_response_header(&r, "x-amz-log-result"));
	print_payload(c, &r, buf_str(&tail), async);
	if (http_response_header(&r, "x-amz-function-error").n == 0)
		return EXIT_SUCCESS;
	if (!c->json && out_is_tty(STDERR_FILENO))
		fprintf(stderr, "%swick: invoke:%s %s failed; its log: wick logs %s\n",
			tone_on(STDERR_FILENO, TONE_BAD), tone_off(STDERR_FILENO, TONE_BAD), c->args[0], c->args[0]);
	return EXIT_FAILURE;
}
