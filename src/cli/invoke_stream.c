/* wick invoke --stream: InvokeWithResponseStream, whose answer is a run of messages (wire/eventstream.h): chunks of the
 * function's bytes, then how it ended. Chunks are written out as they come. */
#include "cli/invoke.h"
#include "cli/out.h"

#include "base/mem.h"
#include "wire/digest.h"
#include "wire/eventstream.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct stream {
	struct buf part; /* a message that has not come whole */
	struct err err;  /* what broke it */
	json_t *end;     /* InvokeComplete */
	char last;       /* byte that was printed */
	bool any, refused;
};

static bool take_message(struct stream *s, struct str bytes)
{
	struct eventstream_message m;
	struct str type, event;

	if (!eventstream_parse(bytes, &m)) {
		err_set(&s->err, 0, "the stream is damaged: a checksum does not hold");
		return false;
	}
	type = eventstream_get(&m, ":message-type");
	event = eventstream_get(&m, ":event-type");
	if (!str_eqz(type, "event")) {
		struct str what = eventstream_get(&m, ":exception-type");

		err_set(&s->err, 0, "the stream ended with %.*s: %.*s", STR_ARG(what.n ? what : type),
			STR_ARG(m.payload));
		return false;
	}
	if (str_eqz(event, "PayloadChunk") && m.payload.n) {
		s->any = true;
		s->last = m.payload.p[m.payload.n - 1];
		return fwrite(m.payload.p, 1, m.payload.n, stdout) == m.payload.n && fflush(stdout) == 0;
	}
	if (str_eqz(event, "InvokeComplete")) {
		json_decref(s->end);
		s->end = json_parse(m.payload, &s->err);
		return s->end != NULL;
	}
	return true;
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
	struct stream *s = arg;
	int64_t size;

	buf_add(&s->part, p, n);
	while ((size = eventstream_size(buf_str(&s->part))) > 0 && (size_t)size <= s->part.n) {
		bool ok = take_message(s, str_n(s->part.p, (size_t)size));

		buf_consume(&s->part, (size_t)size);
		if (!ok)
			return false;
	}
	if (size < 0)
		err_set(&s->err, 0, "the stream is damaged: no message stands where one should begin");
	return size >= 0;
}

static void print_log(const struct stream *s)
{
	_cleanup_(buf_done) struct buf log = BUF_NULL;
	struct str rest, line;

	base64_decode(&log, json_get_str(s->end, "LogResult", STR_NULL));
	for (rest = buf_str(&log); rest.n > 0;) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		str_cut(rest, '\n', &line, &rest);
		out_clean(&b, line);
		fprintf(stderr, "%s\n", buf_cstr(&b));
	}
}

/* How it ended, when all of it came. */
static int ended(const struct cli *c, struct stream *s)
{
	struct str code = json_get_str(s->end, "ErrorCode", STR_NULL);
	struct err err = ERR_NULL;

	if (s->any && s->last != '\n' && out_is_tty(STDOUT_FILENO))
		putchar('\n');
	if (cli_has(c, "log"))
		print_log(s);
	if (!s->end) {
		err_set(&err, 0, "the stream ended before the function did");
		return cli_fail(c, &err);
	}
	if (code.n == 0)
		return EXIT_SUCCESS;
	err_set(&err, 0, "the function failed: %.*s: %.*s", STR_ARG(code),
		STR_ARG(json_get_str(s->end, "ErrorDetails", STR(""))));
	return cli_fail(c, &err);
}

int invoke_stream(const struct cli *c, struct client *client, const struct invocation *i)
{
	_cleanup_(freep) char *path =
		cli_path("/2021-11-15/functions/", str_from(i->function), "/response-streaming-invocations");
	_cleanup_(buf_done) struct buf query = BUF_NULL, context = BUF_NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	struct stream s = {0};
	struct client_header headers[3] = {{"content-type", "application/json"}};
	struct client_call call = {.service = "lambda",
				   .method = "POST",
				   .path = path,
				   .headers = headers,
				   .n_headers = 1,
				   .body = buf_str(&i->event),
				   .sink = on_bytes,
				   .sink_arg = &s};
	struct err err = ERR_NULL;
	char code[64];
	int status;

	cli_query(&query, "Qualifier", i->qualifier);
	call.query = buf_cstr(&query);
	if (i->context) {
		base64_encode(&context, i->context, strlen(i->context));
		headers[call.n_headers++] = (struct client_header){"x-amz-client-context", buf_cstr(&context)};
	}
	if (cli_has(c, "log"))
		headers[call.n_headers++] = (struct client_header){"x-amz-log-type", "Tail"};
	if (client_do(client, &call, &r, code, &err) < 0) {
		if (s.err.msg) {
			err_done(&err);
			err = s.err;
			s.err = ERR_NULL;
		}
		err_wrap(&err, "%s", i->function);
		status = cli_fail(c, &err);
	} else {
		status = ended(c, &s);
	}
	buf_done(&s.part);
	err_done(&s.err);
	json_decref(s.end);
	return status;
}
