/* Lines of `wick dev` on standard output, flushed one by one. Text from a function is cleaned: it cannot move the
 * cursor or change colours. Cannot fail. */
#include "cli/dev_show.h"

#include "base/mem.h"
#include "cli/stages.h"
#include "sys/clock.h"

#include <stdio.h>
#include <unistd.h>

#define WORD         8
#define ANSWER_SHORT 100
#define ANSWER_LINES 24

static bool as_json;

void dev_show_json(void)
{
	as_json = true;
}

static void say_json(int64_t at_ms, const char *word, struct str text)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *o =
		json_pack("{s:I, s:s}", "at", (json_int_t)(at_ms ? at_ms : clock_wall_ms()), "what", word);

	json_set_str(o, "text", text);
	json_write(&b, o);
	puts(buf_cstr(&b));
	fflush(stdout);
}

void dev_say(int64_t at_ms, enum tone t, const char *word, struct str text)
{
	char when[OUT_TEXT];
	bool first = true;

	if (as_json) {
		say_json(at_ms, word, text);
		return;
	}
	out_local_time(at_ms ? at_ms : clock_wall_ms(), when);
	do {
		_cleanup_(buf_done) struct buf b = BUF_NULL;
		struct str line;

		str_cut(text, '\n', &line, &text);
		out_clean(&b, line);
		printf("%s%-8s  %-*s%s  %s%s%s\n", tone_on(STDOUT_FILENO, TONE_DIM),
		       first ? when + strlen("2026-01-31 ") : "", WORD, first ? word : "",
		       tone_off(STDOUT_FILENO, TONE_DIM), tone_on(STDOUT_FILENO, t), buf_cstr(&b),
		       tone_off(STDOUT_FILENO, t));
		first = false;
	} while (text.n > 0);
	fflush(stdout);
}

void dev_sayf(enum tone t, const char *word, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	dev_say(0, t, word, buf_str(&b));
}

void dev_show_record(const struct log_record *r)
{
	_cleanup_(buf_done) struct buf stages = BUF_NULL;
	char word[WORD + 1];
	enum tone t = TONE_PLAIN;
	bool failed;

	snprintf(word, sizeof(word), "%.*s", STR_ARG(r->id));
	if (str_starts(r->text, STR("START RequestId")) || str_starts(r->text, STR("END RequestId")))
		return;
	if (stages_of_report(&stages, r->text, &failed)) {
		dev_say(r->at_ms, failed ? TONE_BAD : TONE_GOOD, word, buf_str(&stages));
		return;
	}
	if (str_starts(r->text, STR("[ERROR]")) || str_find(r->text, STR("Traceback (most recent call last)")) >= 0)
		t = TONE_BAD;
	else if (str_starts(r->text, STR("[WARNING]")))
		t = TONE_WARN;
	dev_say(r->at_ms, t, word, r->text);
}

/* The first lines; how many there are in all. */
static size_t cut_lines(struct str *text, size_t most)
{
	size_t n = 1;

	for (size_t i = 0; i < text->n; i++)
		if (text->p[i] == '\n' && n++ == most) {
			struct str rest = str_sub(*text, i + 1, text->n);

			text->n = i;
			for (size_t k = 0; k < rest.n; k++)
				n += rest.p[k] == '\n';
			return n;
		}
	return n;
}

void dev_show_answer(struct str payload, bool failed)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct err ignored = ERR_NULL;
	_cleanup_json_ json_t *j = payload.n > ANSWER_SHORT || failed ? json_parse(payload, &ignored) : NULL;
	struct str text = payload, type = json_get_str(j, "errorType", STR_NULL);
	size_t n;

	err_done(&ignored);
	if (failed && type.n) {
		/* The log has the whole story. */
		buf_printf(&b, "%.*s: %.*s", STR_ARG(type), STR_ARG(json_get_str(j, "errorMessage", STR(""))));
		text = buf_str(&b);
	} else if (j) {
		json_write_pretty(&b, j);
		text = buf_str(&b);
	}
	n = cut_lines(&text, ANSWER_LINES);
	dev_say(0, failed ? TONE_BAD : TONE_BOLD, failed ? "failed" : "answer", text);
	if (n > ANSWER_LINES)
		dev_sayf(TONE_DIM, "", "and %zu more lines", n - ANSWER_LINES);
}
