/* Recordings: an invocation with its answer as one JSON file, and whether a later answer is the same. What differs from
 * run to run by its nature (request ids, times, the log) is no difference. */
#include "cli/invoke.h"

#include "base/mem.h"
#include "base/time.h"
#include "cli/diff.h"
#include "sys/clock.h"
#include "sys/file.h"

#define RECORD_MAX ((size_t)64 << 20)

static json_t *parsed(struct str text)
{
	struct err ignored = ERR_NULL;
	json_t *j = text.n ? json_parse(text, &ignored) : NULL;

	err_done(&ignored);
	return j;
}

int record_write(const char *file, const struct invocation *i, const struct answer *a, struct err *err)
{
	_cleanup_json_ json_t *o = json_object();
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	char when[TIME_ISO8601_SIZE];
	int r;

	time_iso8601_ms(clock_wall_ms(), when);
	json_object_set_new(o, "recorded", json_string(when));
	json_object_set_new(o, "function", json_string(i->function));
	if (i->qualifier)
		json_object_set_new(o, "qualifier", json_string(i->qualifier));
	if (i->context)
		json_object_set_new(o, "clientContext", parsed(str_from(i->context)));
	json_object_set_new(o, "event", parsed(buf_str(&i->event)));
	json_object_set_new(o, "answer", answer_json(a));
	json_write_pretty(&b, o);
	buf_addc(&b, '\n');
	/* An event may hold what others should not read. */
	r = file_write(file, buf_str(&b), 0600);
	return r < 0 ? err_set(err, -r, "--record %s", file) : 0;
}

static char *text_of(const json_t *o, const char *key)
{
	const json_t *j = json_object_get(o, key);
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (!j)
		return NULL;
	json_write(&b, j);
	return buf_steal(&b);
}

int record_read(const char *file, struct invocation *ret, json_t **ret_answer, struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *o = NULL;
	struct str function, qualifier = STR_NULL;
	int r = file_read(file, RECORD_MAX, &b);

	if (r < 0)
		return err_set(err, -r, "--replay %s", file);
	o = json_parse(buf_str(&b), err);
	if (!o)
		return err_wrap(err, "--replay %s", file);
	if (json_need_str(o, "function", &function, err) < 0 || json_opt_str(o, "qualifier", &qualifier, err) < 0)
		return err_wrap(err, "--replay %s is no recording", file);
	if (!json_object_get(o, "event") || !json_is_object(json_object_get(o, "answer")))
		return err_set(err, 0, "--replay %s is no recording: it has no event or no answer", file);
	ret->function = str_dup(function);
	ret->qualifier = qualifier.n ? str_dup(qualifier) : NULL;
	ret->context = text_of(o, "clientContext");
	json_write(&ret->event, json_object_get(o, "event"));
	*ret_answer = json_incref(json_object_get(o, "answer"));
	return 0;
}

/* Its own request id, wherever an answer repeats it. */
static char *without_id(const char *text, struct str id)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str rest = str_from(text);
	ssize_t at;

	while (id.n && (at = str_find(rest, id)) >= 0) {
		buf_add(&b, rest.p, (size_t)at);
		buf_adds(&b, "(request id)");
		rest = str_sub(rest, (size_t)at + id.n, rest.n);
	}
	buf_add_str(&b, rest);
	return buf_steal(&b);
}

/* What is compared: the payload and how it failed, keys in order. */
static char *essence(const json_t *answer)
{
	_cleanup_(freep) char *text = NULL;

	_cleanup_json_ json_t *o = json_object(), *payload = json_deep_copy(json_object_get(answer, "payload"));

	if (json_object_get(answer, "functionError")) {
		json_object_set(o, "functionError", json_object_get(answer, "functionError"));
		json_object_del(payload, "requestId");
		json_object_del(payload, "stackTrace");
	}
	if (payload)
		json_object_set(o, "payload", payload);
	text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
	return without_id(text, json_get_str(answer, "requestId", STR_NULL));
}

bool record_same(const json_t *recorded, const json_t *now, struct buf *diff, bool colour)
{
	_cleanup_(freep) char *before = essence(recorded), *after = essence(now);

	return !diff_lines(diff, str_from(before), str_from(after), colour);
}
