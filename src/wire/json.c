/* JSON: parsing, checking, writing and reading members, over jansson. Pure; values are owned by reference count as in
 * jansson. What comes from outside is bounded in depth here, in size by whoever read it. Memory cannot run out
 * (base/mem.h): jansson is given no allocator of its own, so a failed one shows as NULL and stops the process. */
#include "wire/json.h"

#include "wire/utf8.h"

#include <assert.h>

static const char replacement[] = "\xef\xbf\xbd";

/* jansson's parser recurses up to 2048 levels; brackets outside of strings tell the depth beforehand. */
static bool too_deep(struct str text)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return false;
}

json_t *json_parse(struct str text, struct err *err)
{
	json_error_t je;
	json_t *j;

	if (too_deep(text)) {
		err_set(err, 0, "nested deeper than %d levels", JSON_DEPTH_MAX);
		return NULL;
	}
	/* jansson takes one for the end of the text and ignores what follows. */
	if (str_chr(text, '\0', 0) >= 0) {
		err_set(err, 0, "there is a NUL byte in the text");
		return NULL;
	}
	j = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
	if (!j)
		err_set(err, 0, "line %d column %d: %s", MAX(je.line, 1), MAX(je.column, 0), je.text);
	return j;
}

/* The checker: one pass, a bit per level instead of recursion. */
struct scan {
	const char *p, *end;
};

static void skip_blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool take(struct scan *s, char c)
{
	if (s->p >= s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool take_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

static bool take_digits(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static bool take_number(struct scan *s)
{
	take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (!take(s, '+'))
			take(s, '-');
		return take_digits(s);
	}
	return true;
}

static bool take_escape(struct scan *s)
{
	uint8_t hex[2];

	if (s->p >= s->end)
		return false;
	if (*s->p != 'u')
		return memchr("\"\\/bfnrt", *s->p++, 8) != NULL;
	s->p++;
	if (s->end - s->p < 4 || !hex_decode(str_n(s->p, 4), hex, 2))
		return false;
	s->p += 4;
	return true;
}

static bool take_string(struct scan *s)
{
	if (!take(s, '"'))
		return false;
	while (s->p < s->end) {
		uint32_t cp;
		size_t len;

		if (*s->p == '"') {
			s->p++;
			return true;
		}
		if (*s->p == '\\') {
			s->p++;
			if (!take_escape(s))
				return false;
			continue;
		}
		len = utf8_decode(s->p, (size_t)(s->end - s->p), &cp);
		if (len == 0 || cp < 0x20)
			return false;
		s->p += len;
	}
	return false;
}

static bool take_scalar(struct scan *s)
{
	if (s->p >= s->end)
		return false;
	if (*s->p == '"')
		return take_string(s);
	if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
		return take_number(s);
	return take_word(s, "true") || take_word(s, "false") || take_word(s, "null");
}

static bool take_key(struct scan *s)
{
	skip_blanks(s);
	if (!take_string(s))
		return false;
	skip_blanks(s);
	return take(s, ':');
}

/* After a value: closes what ends here. True: another value follows, or nothing is open any more. */
static bool after_value(struct scan *s, uint64_t objects, unsigned *depth)
{
	while (*depth) {
		bool object = objects >> (*depth - 1) & 1;

		skip_blanks(s);
		if (take(s, ','))
			return !object || take_key(s);
		if (!take(s, object ? '}' : ']'))
			return false;
		--*depth;
	}
	return true;
}

_Static_assert(JSON_DEPTH_MAX == 64, "json_check keeps a bit per level");

bool json_check(struct str text)
{
	struct scan s = {.p = text.p, .end = text.p + text.n};
	uint64_t objects = 0; /* bit d: level d is an object */
	unsigned depth = 0;

	do {
		bool object, opened = false;

		skip_blanks(&s);
		if ((object = take(&s, '{')) || take(&s, '[')) {
			if (depth == JSON_DEPTH_MAX)
				return false;
			objects = (objects & ~(1ull << depth)) | (uint64_t)object << depth;
			depth++;
			skip_blanks(&s);
			/* An empty one is closed by after_value; otherwise its first value comes next. */
			if (s.p < s.end && *s.p != (object ? '}' : ']')) {
				if (object && !take_key(&s))
					return false;
				opened = true;
			} else if (s.p < s.end) {
				s.p++;
				depth--;
			}
		} else if (!take_scalar(&s)) {
			return false;
		}
		if (!opened && !after_value(&s, objects, &depth))
			return false;
	} while (depth);
	skip_blanks(&s);
	return s.p == s.end;
}

static int write_to_buf(const char *p, size_t n, void *arg)
{
	buf_add(arg, p, n);
	return 0;
}

void json_write(struct buf *b, const json_t *j)
{
	int r = json_dump_callback(j, write_to_buf, b, JSON_COMPACT | JSON_ENCODE_ANY);

	assert(r == 0);
	(void)r;
}

void json_write_pretty(struct buf *b, const json_t *j)
{
	int r = json_dump_callback(j, write_to_buf, b, JSON_INDENT(2) | JSON_ENCODE_ANY);

	assert(r == 0);
	(void)r;
}

static void write_escaped(struct buf *b, char c)
{
	static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c ? strchr(named, c) : NULL;

	if (at)
		buf_printf(b, "\\%c", names[at - named]);
	else
		buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
}

void json_write_string(struct buf *b, struct str s)
{
	size_t plain = 0;

	buf_addc(b, '"');
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp = 0;

		len = utf8_decode(s.p + i, s.n - i, &cp);
		if (len && cp >= 0x20 && cp != '"' && cp != '\\')
			continue;
		buf_add(b, s.p + plain, i - plain);
		if (len) {
			write_escaped(b, s.p[i]);
		} else {
			buf_adds(b, replacement);
			len = 1;
		}
		plain = i + len;
	}
	if (s.n > plain)
		buf_add(b, s.p + plain, s.n - plain);
	buf_addc(b, '"');
}

struct str json_str_value(const json_t *j)
{
	return json_is_string(j) ? str_n(json_string_value(j), json_string_length(j)) : STR_NULL;
}

struct str json_get_str(const json_t *o, const char *key, struct str dflt)
{
	struct str s = json_str_value(json_object_get(o, key));

	return s.p ? s : dflt;
}

int64_t json_get_int(const json_t *o, const char *key, int64_t dflt)
{
	const json_t *j = json_object_get(o, key);

	return json_is_integer(j) ? json_integer_value(j) : dflt;
}

bool json_get_bool(const json_t *o, const char *key, bool dflt)
{
	const json_t *j = json_object_get(o, key);

	return json_is_boolean(j) ? json_is_true(j) : dflt;
}

json_t *json_get_array(const json_t *o, const char *key)
{
	json_t *j = json_object_get(o, key);

	return json_is_array(j) ? j : NULL;
}

json_t *json_get_object(const json_t *o, const char *key)
{
	json_t *j = json_object_get(o, key);

	return json_is_object(j) ? j : NULL;
}

json_t *json_str(struct str s)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (utf8_valid(s))
		return json_stringn_nocheck(s.p ? s.p : "", s.n);
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;

		len = utf8_decode(s.p + i, s.n - i, &cp);
		if (len) {
			buf_add(&b, s.p + i, len);
		} else {
			buf_adds(&b, replacement);
			len = 1;
		}
	}
	return json_stringn_nocheck(buf_cstr(&b), b.n);
}

int json_set_str(json_t *o, const char *key, struct str s)
{
	return json_object_set_new(o, key, json_str(s));
}

int json_opt_str(const json_t *o, const char *key, struct str *ret, struct err *err)
{
	const json_t *j = json_object_get(o, key);

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_string(j))
		return err_set(err, 0, "%s is not a string", key);
	*ret = json_str_value(j);
	return 0;
}

int json_need_str(const json_t *o, const char *key, struct str *ret, struct err *err)
{
	struct str s = STR_NULL;

	if (json_opt_str(o, key, &s, err))
		return -1;
	if (!s.p)
		return err_set(err, 0, "%s is missing", key);
	*ret = s;
	return 0;
}

int json_opt_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	const json_t *j = json_object_get(o, key);

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_integer(j))
		return err_set(err, 0, "%s is not a whole number", key);
	if (json_integer_value(j) < min || json_integer_value(j) > max)
		return err_set(err, 0, "%s is %lld, not in %lld..%lld", key, (long long)json_integer_value(j),
			       (long long)min, (long long)max);
	*ret = json_integer_value(j);
	return 0;
}
