/* YAML over libyaml's event parser. Pure; the parser lives for one call, the document belongs to the caller. Whatever a
 * person can get wrong in a file is told with its line and column. Recursion is bounded by half of JSON_DEPTH_MAX, size
 * by YAML_MAX; without aliases the result cannot grow beyond the text. */
#include "wire/yaml.h"

#include <errno.h>
#include <math.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	struct err *err;
	unsigned depth;
};

static void reader_done(struct reader *r)
{
	yaml_parser_delete(&r->parser);
}

static json_t *fail(struct reader *r, yaml_mark_t at, const char *fmt, ...) _printf_(3, 4);

static json_t *fail(struct reader *r, yaml_mark_t at, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	err_set(r->err, 0, "line %zu column %zu: %s", at.line + 1, at.column + 1, buf_cstr(&b));
	return NULL;
}

static bool next(struct reader *r, yaml_event_t *e)
{
	if (yaml_parser_parse(&r->parser, e))
		return true;
	if (r->parser.problem_mark.line == 0 && r->parser.problem_mark.column == 0 && r->parser.problem_offset)
		err_set(r->err, 0, "byte %zu: %s", r->parser.problem_offset,
			r->parser.problem ? r->parser.problem : "malformed");
	else
		fail(r, r->parser.problem_mark, "%s", r->parser.problem ? r->parser.problem : "malformed");
	return false;
}

static bool any_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(s, words[i]))
			return true;
	return false;
}

static size_t digits(struct str s, size_t from)
{
	size_t i = from;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i - from;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ (\.[0-9]*)? ) ([eE][-+]?[0-9]+)?  ; *whole: digits only */
static bool looks_like_number(struct str s, bool *whole)
{
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+'), n = digits(s, i), fraction = 0;

	i += n;
	*whole = n && i == s.n;
	if (i < s.n && s.p[i] == '.') {
		fraction = digits(s, i + 1);
		i += 1 + fraction;
	}
	if (n + fraction == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		size_t exponent;

		i++;
		i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
		exponent = digits(s, i);
		if (exponent == 0)
			return false;
		i += exponent;
	}
	return i == s.n;
}

static json_t *based_number(struct reader *r, yaml_mark_t at, struct str s, int base)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(s.p + 2, &end, base);
	/* libyaml ends every scalar with a NUL. */
	if (errno)
		return fail(r, at, "%.80s is too large a number", s.p);
	return end == s.p + s.n && s.n > 2 && s.p[2] != '-' && s.p[2] != '+' && s.p[2] != ' ' ? json_integer(v)
											      : json_str(s);
}

static json_t *plain_scalar(struct reader *r, yaml_mark_t at, struct str s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const trues[] = {"true", "True", "TRUE"}, *const falses[] = {"false", "False", "FALSE"};
	bool whole;
	size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
	double v;

	if (any_of(s, nulls, ARRAY_SIZE(nulls)))
		return json_null();
	if (any_of(s, trues, ARRAY_SIZE(trues)))
		return json_true();
	if (any_of(s, falses, ARRAY_SIZE(falses)))
		return json_false();
	if (str_starts(s, STR("0x")) || str_starts(s, STR("0o")))
		return based_number(r, at, s, s.p[1] == 'x' ? 16 : 8);
	if (!looks_like_number(s, &whole))
		return json_str(s);
	if (whole && s.n - sign > 1 && s.p[sign] == '0')
		return json_str(s);
	if (whole) {
		int64_t i;

		if (!str_to_i64(s.p[0] == '+' ? str_sub(s, 1, s.n) : s, &i))
			return fail(r, at, "%.80s is too large a number; quote it if it is text", s.p);
		return json_integer(i);
	}
	v = strtod(s.p, NULL);
	if (!isfinite(v))
		return fail(r, at, "%.80s is too large a number; quote it if it is text", s.p);
	return json_real(v);
}

static json_t *scalar(struct reader *r, const yaml_event_t *e)
{
	const char *tag = (const char *)e->data.scalar.tag;
	struct str s = str_n(e->data.scalar.value, e->data.scalar.length);

	if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
	    (tag && (strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0)))
		return json_str(s);
	return plain_scalar(r, e->start_mark, s);
}

static const char *tag_of(const yaml_event_t *e)
{
	if (e->type == YAML_SCALAR_EVENT)
		return (const char *)e->data.scalar.tag;
	if (e->type == YAML_SEQUENCE_START_EVENT)
		return (const char *)e->data.sequence_start.tag;
	return e->type == YAML_MAPPING_START_EVENT ? (const char *)e->data.mapping_start.tag : NULL;
}

static bool has_anchor(const yaml_event_t *e)
{
	return (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
	       (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
	       (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor) || e->type == YAML_ALIAS_EVENT;
}

/* "a.b.c" is attribute "b.c" of "a". */
static json_t *attribute(json_t *v)
{
	struct str s = json_str_value(v), head, tail;
	json_t *list;

	if (!s.p || !str_cut(s, '.', &head, &tail))
		return v;
	list = json_array();
	json_array_append_new(list, json_str(head));
	json_array_append_new(list, json_str(tail));
	json_decref(v);
	return list;
}

/* Takes v. */
static json_t *tagged(struct reader *r, yaml_mark_t at, const char *tag, json_t *v)
{
	static const char *const bare[] = {"Ref", "Condition"};
	static const char *const functions[] = {"Base64", "Cidr",   "FindInMap", "GetAtt", "GetAZs",    "ImportValue",
						"Join",   "Select", "Split",     "Sub",    "Transform", "And",
						"Equals", "If",     "Not",       "Or",     "Length",    "ToJsonString"};
	_cleanup_(buf_done) struct buf name = BUF_NULL;
	json_t *o;

	if (!tag || strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, YAML_MAP_TAG) == 0 ||
	    strcmp(tag, YAML_SEQ_TAG) == 0)
		return v;
	if (tag[0] == '!' && any_of(str_from(tag + 1), bare, ARRAY_SIZE(bare))) {
		buf_adds(&name, tag + 1);
	} else if (tag[0] == '!' && any_of(str_from(tag + 1), functions, ARRAY_SIZE(functions))) {
		buf_printf(&name, "Fn::%s", tag + 1);
	} else {
		json_decref(v);
		return fail(r, at, "the tag %.80s is not supported", tag);
	}
	if (strcmp(tag, "!GetAtt") == 0)
		v = attribute(v);
	o = json_object();
	json_object_set_new(o, buf_cstr(&name), v);
	return o;
}

static json_t *node(struct reader *r, yaml_event_t *e);

static json_t *sequence(struct reader *r)
{
	_cleanup_json_ json_t *list = json_array();

	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t e = {0};
		json_t *v;

		if (!next(r, &e))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT)
			return steal(&list);
		v = node(r, &e);
		if (!v)
			return NULL;
		json_array_append_new(list, v);
	}
}

static json_t *mapping(struct reader *r)
{
	_cleanup_json_ json_t *o = json_object();

	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t k = {0}, e = {0};
		const char *key;
		json_t *v;

		if (!next(r, &k))
			return NULL;
		if (k.type == YAML_MAPPING_END_EVENT)
			return steal(&o);
		if (k.type != YAML_SCALAR_EVENT)
			return fail(r, k.start_mark, "a key must be text");
		key = (const char *)k.data.scalar.value;
		if (has_anchor(&k) || strcmp(key, "<<") == 0)
			return fail(r, k.start_mark, "anchors, aliases and merge keys are not supported");
		if (json_object_getn(o, key, k.data.scalar.length))
			return fail(r, k.start_mark, "the key '%.80s' is there twice", key);
		if (!next(r, &e))
			return NULL;
		v = node(r, &e);
		if (!v)
			return NULL;
		json_object_setn_new_nocheck(o, key, k.data.scalar.length, v);
	}
}

static json_t *node(struct reader *r, yaml_event_t *e)
{
	json_t *v;

	if (has_anchor(e))
		return fail(r, e->start_mark, "anchors, aliases and merge keys are not supported");
	/* A tag adds a level to the result, so half of what JSON may have is left to the text. */
	if (++r->depth > JSON_DEPTH_MAX / 2)
		return fail(r, e->start_mark, "nested deeper than %d levels", JSON_DEPTH_MAX / 2);
	if (e->type == YAML_SCALAR_EVENT)
		v = scalar(r, e);
	else if (e->type == YAML_SEQUENCE_START_EVENT)
		v = sequence(r);
	else if (e->type == YAML_MAPPING_START_EVENT)
		v = mapping(r);
	else
		return fail(r, e->start_mark, "a value is missing");
	r->depth--;
	return v ? tagged(r, e->start_mark, tag_of(e), v) : NULL;
}

/* STREAM-START [DOCUMENT-START node DOCUMENT-END] STREAM-END */
static json_t *document(struct reader *r)
{
	_cleanup_(yaml_event_delete) yaml_event_t stream = {0}, start = {0}, root = {0}, end = {0}, after = {0};
	_cleanup_json_ json_t *v = NULL;

	if (!next(r, &stream) || !next(r, &start))
		return NULL;
	if (start.type == YAML_STREAM_END_EVENT)
		return json_null();
	if (!next(r, &root))
		return NULL;
	v = node(r, &root);
	if (!v || !next(r, &end) || !next(r, &after))
		return NULL;
	if (after.type != YAML_STREAM_END_EVENT)
		return fail(r, after.start_mark, "more than one document");
	return steal(&v);
}

json_t *yaml_parse(struct str text, struct err *err)
{
	_cleanup_(reader_done) struct reader r = {.err = err};

	if (!yaml_parser_initialize(&r.parser))
		abort();
	if (text.n > YAML_MAX) {
		err_set(err, 0, "the document is longer than %u bytes", YAML_MAX);
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
	return document(&r);
}
