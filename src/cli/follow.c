/* Following a log. The stream of a server that goes away ends in the middle; the next one is asked for from the time of
 * the last record on, and as many records of that very millisecond as were seen are left out. Owns nothing but its
 * place. Fails at once on what the server refuses; with `on`, waits for a server that does not answer. */
#include "cli/follow.h"

#include "base/mem.h"

#include <stdio.h>
#include <time.h>

#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS  2000

struct following {
	const struct follow *f;
	struct buf part;     /* a line that has not come whole */
	int64_t last_ms;     /* of the newest record that was told */
	unsigned at_last_ms; /* how many of that millisecond */
	unsigned skip;       /* of them still to come again */
	bool enough, any, away;
	bool met; /* the server was reached once: from then on it is waited for */
};

static void tell_away(struct following *w, const char *why)
{
	if (w->f->away && w->away != (why != NULL))
		w->f->away(w->f->arg, why);
	w->away = why != NULL;
}

static void take_line(struct following *w, struct str line)
{
	struct err ignored = ERR_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct log_record r;

	w->any = true;
	tell_away(w, NULL);
	if (str_trim(line).n == 0)
		return;
	j = json_parse(line, &ignored);
	err_done(&ignored);
	r.text = json_get_str(j, "text", STR_NULL);
	r.id = json_get_str(j, "id", STR("-"));
	r.at_ms = json_get_int(j, "at", 0);
	if (!r.text.p)
		return;
	if (w->skip > 0 && r.at_ms == w->last_ms) {
		w->skip--;
		return;
	}
	w->skip = 0;
	w->at_last_ms = r.at_ms == w->last_ms ? w->at_last_ms + 1 : 1;
	w->last_ms = r.at_ms;
	w->enough = !w->f->record(w->f->arg, &r, line);
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
	struct following *w = arg;
	ssize_t at;

	buf_add(&w->part, p, n);
	while (!w->enough && (at = str_chr(buf_str(&w->part), '\n', 0)) >= 0) {
		take_line(w, str_n(w->part.p, (size_t)at));
		buf_consume(&w->part, (size_t)at + 1);
	}
	return !w->enough;
}

/* One stream, until it ends. 1: it ended, or never began, in a way that may pass; 0: done; -1: err is final. */
static int read_once(struct client *c, struct following *w, struct err *err)
{
	_cleanup_(freep) char *path = cli_path("/_wick/logs/", str_from(w->f->function), "");
	_cleanup_(buf_done) struct buf query = BUF_NULL;
	_cleanup_(http_response_done) struct http_response r = {0};
	int64_t since = w->last_ms ? w->last_ms : w->f->since_ms;
	struct client_call call = {.service = "wick", .method = "GET", .path = path, .sink = on_bytes, .sink_arg = w};
	char number[24], code[64];
	int result;

	if (since > 0) {
		snprintf(number, sizeof(number), "%lld", (long long)since);
		cli_query(&query, "since", number);
	}
	if (w->f->on)
		cli_query(&query, "follow", "1");
	call.query = buf_cstr(&query);
	w->skip = w->last_ms ? w->at_last_ms : 0;
	w->any = false;
	buf_clear(&w->part);
	result = client_do(c, &call, &r, code, err);
	if (w->enough)
		return 0;
	if (result == 0 && !w->f->on && w->part.n)
		take_line(w, buf_str(&w->part));
	if (result < 0 && ((code[0] && r.status < 500) || (!w->met && err->code)))
		return -1;
	w->met = true;
	return w->f->on ? 1 : result;
}

int follow_log(struct client *c, const struct follow *f, struct err *err)
{
	struct following w = {.f = f};
	unsigned wait_ms = RETRY_FIRST_MS;
	int r;

	while ((r = read_once(c, &w, err)) == 1) {
		tell_away(&w, err->msg ? err->msg : "the server ended the stream");
		err_done(err);
		wait_ms = w.any ? RETRY_FIRST_MS : MIN(wait_ms * 2, (unsigned)RETRY_MOST_MS);
		nanosleep(&(struct timespec){wait_ms / 1000, (long)(wait_ms % 1000) * 1000000}, NULL);
	}
	buf_done(&w.part);
	if (w.enough)
		err_done(err);
	return r;
}
