/* wick invoke: one invocation, its answer on standard output as it came, everything else on standard error; or one that
 * was recorded, again. */
#include "cli/invoke.h"

#include "cli/commands.h"
#include "cli/out.h"
#include "cli/stages.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "wire/digest.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CONTEXT_MAX ((size_t)64 << 10)
#define EVENT_MAX   ((size_t)6 << 20) /* AWS Lambda Developer Guide, "Lambda quotas": synchronous payload */

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

void invocation_done(struct invocation *i)
{
	free(i->function);
	free(i->qualifier);
	free(i->context);
	buf_done(&i->event);
	*i = (struct invocation){0};
}

void answer_done(struct answer *a)
{
	http_response_done(&a->r);
	buf_done(&a->log);
	*a = (struct answer){0};
}

bool answer_failed(const struct answer *a)
{
	return http_response_header(&a->r, "x-amz-function-error").n > 0;
}

void answer_print_log(const struct answer *a)
{
	_cleanup_json_ json_t *s = stages_of(&a->r);
	_cleanup_(buf_done) struct buf stages = BUF_NULL;
	struct str rest = buf_str(&a->log), line;
	char took[OUT_TEXT];

	while (rest.n > 0) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		str_cut(rest, '\n', &line, &rest);
		out_clean(&b, line);
		fprintf(stderr, "%s\n", buf_cstr(&b));
	}
	if (stages_text(&stages, s))
		fprintf(stderr, "%sSTAGES  %s   answer after %s%s\n", tone_on(STDERR_FILENO, TONE_DIM),
			buf_cstr(&stages), out_us(a->us, took), tone_off(STDERR_FILENO, TONE_DIM));
}

json_t *answer_json(const struct answer *a)
{
	struct str payload = buf_str(&a->r.body), version = http_response_header(&a->r, "x-amz-executed-version");
	struct err ignored = ERR_NULL;
	json_t *o = json_object(), *j = payload.n ? json_parse(payload, &ignored) : NULL;

	err_done(&ignored);
	json_object_set_new(o, "status", json_integer(a->r.status));
	json_set_str(o, "requestId", http_response_header(&a->r, "x-amzn-requestid"));
	if (version.n)
		json_set_str(o, "executedVersion", version);
	if (answer_failed(a))
		json_set_str(o, "functionError", http_response_header(&a->r, "x-amz-function-error"));
	if (j)
		json_object_set_new(o, "payload", j);
	else if (payload.n)
		json_set_str(o, "payload", payload);
	if (a->log.n)
		json_set_str(o, "log", buf_str(&a->log));
	json_object_set_new(o, "stages", stages_of(&a->r));
	return o;
}

int invoke(struct client *client, const struct invocation *i, bool async, bool log, struct answer *ret, struct err *err)
{
	_cleanup_(freep) char *path = cli_path("/2015-03-31/functions/", str_from(i->function), "/invocations");
	_cleanup_(buf_done) struct buf query = BUF_NULL, context = BUF_NULL;
	struct client_header headers[4] = {{"content-type", "application/json"},
					   {"x-amz-invocation-type", async ? "Event" : "RequestResponse"}};
	struct client_call call = {.service = "lambda",
				   .method = "POST",
				   .path = path,
				   .headers = headers,
				   .n_headers = 2,
				   .body = buf_str(&i->event)};
	uint64_t began = clock_mono_us();
	char code[64];

	cli_query(&query, "Qualifier", i->qualifier);
	call.query = buf_cstr(&query);
	if (i->context) {
		base64_encode(&context, i->context, strlen(i->context));
		headers[call.n_headers++] = (struct client_header){"x-amz-client-context", buf_cstr(&context)};
	}
	if (log && !async)
		headers[call.n_headers++] = (struct client_header){"x-amz-log-type", "Tail"};
	if (client_do(client, &call, &ret->r, code, err) < 0)
		return err_wrap(err, "%s", i->function);
	ret->us = clock_mono_us() - began;
	base64_decode(&ret->log, http_response_header(&ret->r, "x-amz-log-result"));
	return 0;
}

static void print_payload(const struct cli *c, const struct answer *a, bool async)
{
	struct str payload = buf_str(&a->r.body);

	if (c->json) {
		cli_print_json(answer_json(a));
		return;
	}
	if (cli_has(c, "log"))
		answer_print_log(a);
	if (async) {
		printf("Queued: request %.*s\n", STR_ARG(http_response_header(&a->r, "x-amzn-requestid")));
		return;
	}
	fwrite(payload.p, 1, payload.n, stdout);
	if (payload.n && payload.p[payload.n - 1] != '\n' && out_is_tty(STDOUT_FILENO))
		putchar('\n');
}

/* ---- flags ---- */

static int read_context(const struct cli *c, struct invocation *i, struct err *err)
{
	const char *s = cli_get(c, "client-context");
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = NULL;
	int r;

	if (!s)
		return 0;
	if (s[0] == '@') {
		r = file_read(s + 1, CONTEXT_MAX, &b);
		if (r < 0)
			return err_set(err, -r, "--client-context %s", s);
	} else {
		buf_adds(&b, s);
	}
	j = json_parse(buf_str(&b), err);
	if (!j)
		return err_wrap(err, "the client context is not JSON");
	i->context = buf_steal(&b);
	return 0;
}

static int read_invocation(const struct cli *c, struct invocation *i, struct err *err)
{
	const char *qualifier = cli_get(c, "qualifier");

	i->function = xstrdup(c->args[0]);
	i->qualifier = qualifier ? xstrdup(qualifier) : NULL;
	return event_read(c, &i->event, err) < 0 || read_context(c, i, err) < 0 ? -1 : 0;
}

static void print_comparison(const json_t *then, const json_t *now, bool same, struct str diff)
{
	_cleanup_(buf_done) struct buf a = BUF_NULL, b = BUF_NULL;
	bool tty = out_is_coloured(STDOUT_FILENO);

	printf("%s%s%s\n", tty ? tone_code(same ? TONE_GOOD : TONE_WARN) : "",
	       same ? "The same answer" : "Another answer", tty ? tone_code(TONE_PLAIN) : "");
	fwrite(diff.p, 1, diff.n, stdout);
	if (stages_text(&a, json_object_get(then, "stages")) && stages_text(&b, json_object_get(now, "stages")))
		fprintf(stderr, "%srecorded  %s\nnow       %s%s\n", tone_on(STDERR_FILENO, TONE_DIM), buf_cstr(&a),
			buf_cstr(&b), tone_off(STDERR_FILENO, TONE_DIM));
}

static int replay(const struct cli *c)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(invocation_done) struct invocation i = {0};
	_cleanup_(answer_done) struct answer a = {0};
	_cleanup_(buf_done) struct buf diff = BUF_NULL;
	_cleanup_json_ json_t *then = NULL, *now = NULL;
	struct err err = ERR_NULL;
	bool same;

	if (record_read(cli_get(c, "replay"), &i, &then, &err) < 0)
		return cli_fail(c, &err);
	if (c->n_args) {
		free(i.function);
		i.function = xstrdup(c->args[0]);
	}
	if (cli_get(c, "qualifier")) {
		free(i.qualifier);
		i.qualifier = xstrdup(cli_get(c, "qualifier"));
	}
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	if (invoke(client, &i, false, cli_has(c, "log"), &a, &err) < 0)
		return cli_fail(c, &err);
	now = answer_json(&a);
	same = record_same(then, now, &diff, !c->json && out_is_coloured(STDOUT_FILENO));
	if (c->json) {
		cli_print_json(json_pack("{s:b, s:O, s:O}", "same", (int)same, "recorded", then, "now", now));
	} else {
		if (cli_has(c, "log"))
			answer_print_log(&a);
		print_comparison(then, now, same, buf_str(&diff));
	}
	return same || !cli_has(c, "check") ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_flags(const struct cli *c)
{
	static const char *const not_replayed[] = {"event", "async", "stream", "record", "client-context"};
	static const char *const not_streamed[] = {"async", "record", "json"};

	for (size_t i = 0; cli_has(c, "replay") && i < ARRAY_SIZE(not_replayed); i++)
		if (cli_has(c, not_replayed[i]))
			return cli_usage(c, "--replay runs what was recorded: not with --%s", not_replayed[i]);
	for (size_t i = 0; cli_has(c, "stream") && i < ARRAY_SIZE(not_streamed); i++)
		if (cli_has(c, not_streamed[i]))
			return cli_usage(c, "--stream prints the answer as it comes: not with --%s", not_streamed[i]);
	if (cli_has(c, "async") && cli_has(c, "record"))
		return cli_usage(c, "--record saves an answer, for which --async does not wait");
	if (cli_has(c, "check") && !cli_has(c, "replay"))
		return cli_usage(c, "--check goes with --replay FILE");
	if (c->n_args != 1 && !(cli_has(c, "replay") && c->n_args == 0))
		return cli_usage(c, "expected one function NAME");
	return EXIT_SUCCESS;
}

int invoke_run(const struct cli *c)
{
	bool async = cli_has(c, "async");
	const char *record = cli_get(c, "record");
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(invocation_done) struct invocation i = {0};
	_cleanup_(answer_done) struct answer a = {0};
	struct err err = ERR_NULL;
	int r = check_flags(c);

	if (r != EXIT_SUCCESS)
		return r;
	if (cli_has(c, "replay"))
		return replay(c);
	if (read_invocation(c, &i, &err) < 0)
		return cli_fail(c, &err);
	client = cli_client(c);
	if (!client)
		return EXIT_FAILURE;
	if (cli_has(c, "stream"))
		return invoke_stream(c, client, &i);
	if (invoke(client, &i, async, cli_has(c, "log") || c->json || record, &a, &err) < 0 ||
	    (record && record_write(record, &i, &a, &err) < 0))
		return cli_fail(c, &err);
	print_payload(c, &a, async);
	if (!answer_failed(&a))
		return EXIT_SUCCESS;
	if (!c->json && out_is_tty(STDERR_FILENO))
		fprintf(stderr, "%swick: invoke:%s %s failed; its log: wick logs %s\n",
			tone_on(STDERR_FILENO, TONE_BAD), tone_off(STDERR_FILENO, TONE_BAD), c->args[0], c->args[0]);
	return EXIT_FAILURE;
}
