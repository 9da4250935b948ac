/* The lines between wick-node and wick-park. Owns nothing; what fails is a line that is none of theirs. Numbers and
 * words are taken in one form only, so that what was parsed is the same when it is written again. */
#include "wire/park.h"

static const char *const verbs[PARK_VERBS] = {
	[PARK_VERB_PARK] = "park",
	[PARK_VERB_WAKE] = "wake",
	[PARK_VERB_STATE] = "state",
};

static bool number(struct str s, uint64_t *ret)
{
	return str_to_u64(s, ret) && (s.n == 1 || s.p[0] != '0');
}

static bool process(struct str s, int32_t least, int32_t *ret)
{
	uint64_t v;

	if (!number(s, &v) || v > INT32_MAX || (int32_t)v < least)
		return false;
	*ret = (int32_t)v;
	return true;
}

static bool is_state(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '-')
			return false;
	return s.n > 0 && s.n <= PARK_STATE_MAX;
}

static bool printable(char c)
{
	return (unsigned char)c >= ' ' && c != 0x7f;
}

static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!printable(s.p[i]))
			return false;
	return s.n > 0;
}

/* To the end of a line that begins at `from`. */
static void add_text(struct buf *b, struct str text, size_t from)
{
	text = str_sub(text, 0, PARK_LINE_MAX - 1 - (b->n - from));
	if (!text.n)
		text = STR("?");
	for (size_t i = 0; i < text.n; i++)
		buf_addc(b, printable(text.p[i]) ? text.p[i] : ' ');
}

void park_request_format(struct buf *b, const struct park_request *r)
{
	buf_printf(b, "%s %d\n", verbs[r->verb], (int)r->pid);
}

void park_answer_format(struct buf *b, const struct park_answer *a)
{
	size_t from = b->n;

	switch (a->said) {
	case PARK_READY:
		buf_printf(b, "ready %llu", (unsigned long long)a->version);
		break;
	case PARK_UNSUPPORTED:
		buf_adds(b, "unsupported ");
		add_text(b, a->text, from);
		break;
	case PARK_OK:
		buf_printf(b, "ok %d %llu %.*s", (int)a->pid, (unsigned long long)a->us, STR_ARG(a->state));
		break;
	case PARK_ERROR:
		buf_printf(b, "error %d ", (int)a->pid);
		add_text(b, a->text, from);
		break;
	}
	buf_addc(b, '\n');
}

bool park_request_parse(struct park_request *ret, struct str line)
{
	struct str verb, pid;

	if (!str_cut(line, ' ', &verb, &pid))
		return false;
	for (int i = 0; i < PARK_VERBS; i++)
		if (str_eqz(verb, verbs[i])) {
			ret->verb = (enum park_verb)i;
			return process(pid, 1, &ret->pid);
		}
	return false;
}

bool park_answer_parse(struct park_answer *ret, struct str line)
{
	struct str word, rest, pid, us;

	*ret = (struct park_answer){0};
	if (line.n >= PARK_LINE_MAX || !str_cut(line, ' ', &word, &rest))
		return false;
	if (str_eqz(word, "ready")) {
		ret->said = PARK_READY;
		return number(rest, &ret->version);
	}
	if (str_eqz(word, "unsupported")) {
		ret->said = PARK_UNSUPPORTED;
		ret->text = rest;
		return is_text(rest);
	}
	if (!str_cut(rest, ' ', &pid, &rest))
		return false;
	if (str_eqz(word, "error")) {
		ret->said = PARK_ERROR;
		ret->text = rest;
		return process(pid, 0, &ret->pid) && is_text(rest);
	}
	ret->said = PARK_OK;
	if (!str_eqz(word, "ok") || !str_cut(rest, ' ', &us, &ret->state))
		return false;
	return process(pid, 1, &ret->pid) && number(us, &ret->us) && is_state(ret->state);
}
