/* Tables of settings. The caller owns the struct of settings; its strings are malloc'd and replaced by
 * later sources. What a person typed may be wrong: every error says where it was given and what is allowed. */
#include "base/table.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static void *field(const struct setting *s, const void *conf)
{
	return (char *)conf + s->offset;
}

static bool is_text(enum setting_type t)
{
	return t == SETTING_STRING || t == SETTING_PATH || t == SETTING_MONEY;
}

void settings_done(const struct setting *t, size_t n, void *conf)
{
	for (size_t i = 0; i < n; i++) {
		if (is_text(t[i].type)) {
			char **p = field(&t[i], conf);

			free(*p);
			*p = NULL;
		}
	}
}

void settings_defaults(const struct setting *t, size_t n, void *conf)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_done) struct err err = ERR_NULL;
		const char *text = t[i].dflt ? t[i].dflt : is_text(t[i].type) ? "" : "0";

		if (!t[i].dflt && t[i].type != SETTING_MONEY && is_text(t[i].type)) {
			char **p = field(&t[i], conf);

			free(*p);
			*p = xstrdup("");
		} else if (setting_set(&t[i], conf, "default", text, &err)) {
			abort(); /* a table with a wrong default */
		}
	}
}

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{"k", 1ull << 10}, {"m", 1ull << 20}, {"g", 1ull << 30}, {"t", 1ull << 40}, {"", 1}};
static const struct unit time_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
					 {"h", 3600000}, {"d", 86400000}, {"", 1000}};

static bool parse_units(struct str s, const struct unit *units, size_t n, uint64_t *ret)
{
	size_t digits = 0;
	uint64_t v;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (!str_to_u64(str_sub(s, 0, digits), &v))
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_ieq(str_sub(s, digits, s.n), str_from(units[i].suffix)))
			return !__builtin_mul_overflow(v, units[i].factor, ret);
	return false;
}

/* The largest unit that says it without rest. */
static void format_units(struct buf *b, uint64_t v, const struct unit *units, size_t n)
{
	const struct unit *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (v && v % units[i].factor == 0 && units[i].suffix[0] && (!best || units[i].factor > best->factor))
			best = &units[i];
	if (best)
		buf_printf(b, "%llu%s", (unsigned long long)(v / best->factor), best->suffix);
	else
		buf_printf(b, "%llu", (unsigned long long)v);
}

static void format_number(struct buf *b, enum setting_type type, uint64_t v)
{
	if (type == SETTING_BYTES)
		format_units(b, v, byte_units, ARRAY_SIZE(byte_units));
	else if (type == SETTING_DURATION)
		format_units(b, v, time_units, ARRAY_SIZE(time_units));
	else
		buf_printf(b, "%llu", (unsigned long long)v);
}

static bool parse_bool(struct str s, bool *ret)
{
	static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (str_ieq(s, str_from(yes[i])) || str_ieq(s, str_from(no[i]))) {
			*ret = str_ieq(s, str_from(yes[i]));
			return true;
		}
	}
	return false;
}

static bool is_amount(struct str s)
{
	struct str whole, fraction;
	bool point = str_cut(s, '.', &whole, &fraction);
	uint64_t v;

	return str_to_u64(whole, &v) && (!point || (fraction.n <= 12 && str_to_u64(fraction, &v)));
}

static int set_text(const struct setting *s, void *conf, const char *source, const char *text, struct err *err)
{
	char **p = field(s, conf);

	if (s->type == SETTING_MONEY && !is_amount(str_from(text)))
		return err_set(err, 0, "%s: '%s' is not an amount in USD such as 0.0000166667", source, text);
	if (s->type == SETTING_PATH && !text[0])
		return err_set(err, 0, "%s: a path is needed", source);
	free(*p);
	*p = xstrdup(text);
	return 0;
}

static int set_number(const struct setting *s, void *conf, const char *source, const char *text, struct err *err)
{
	uint64_t max = s->max ? s->max : s->type == SETTING_U32 ? UINT32_MAX : UINT64_MAX, v;
	struct str t = str_from(text);
	const char *what = "a whole number";
	bool ok;

	if (s->type == SETTING_BYTES) {
		ok = parse_units(t, byte_units, ARRAY_SIZE(byte_units), &v);
		what = "a size such as 64m";
	} else if (s->type == SETTING_DURATION) {
		ok = parse_units(t, time_units, ARRAY_SIZE(time_units), &v);
		what = "a time such as 500ms, 60s or 5m";
	} else {
		ok = str_to_u64(t, &v);
	}
	if (!ok)
		return err_set(err, 0, "%s: '%s' is not %s", source, text, what);
	if (v < s->min || v > max) {
		_cleanup_(buf_done) struct buf range = BUF_NULL;

		format_number(&range, s->type, s->min);
		buf_adds(&range, "..");
		format_number(&range, s->type, max);
		return err_set(err, 0, "%s: %s is not in %s", source, text, buf_cstr(&range));
	}
	if (s->type == SETTING_U32)
		*(uint32_t *)field(s, conf) = (uint32_t)v;
	else
		*(uint64_t *)field(s, conf) = v;
	return 0;
}

int setting_set(const struct setting *s, void *conf, const char *source, const char *text, struct err *err)
{
	if (is_text(s->type))
		return set_text(s, conf, source, text, err);
	if (s->type != SETTING_BOOL)
		return set_number(s, conf, source, text, err);
	if (!parse_bool(str_from(text), field(s, conf)))
		return err_set(err, 0, "%s: '%s' is neither true nor false", source, text);
	return 0;
}

bool near_miss(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), row[65];

	if (n > 64 || m > 64)
		return false;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[m] <= (MAX(n, m) < 5 ? 1u : 2u);
}

int settings_set(const struct setting *t, size_t n, void *conf, const char *name, const char *text, const char *source,
		 struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(t[i].name, name) == 0)
			return setting_set(&t[i], conf, source, text, err);
	for (size_t i = 0; i < n; i++)
		if (near_miss(t[i].name, name))
			return err_set(err, 0, "%s: there is no setting '%s'; did you mean '%s'?", source, name,
				       t[i].name);
	return err_set(err, 0, "%s: there is no setting '%s'", source, name);
}

int settings_apply_env(const struct setting *t, size_t n, void *conf, char *const *env, struct err *err)
{
	for (; *env; env++) {
		struct str name, value;

		if (!str_cut(str_from(*env), '=', &name, &value))
			continue;
		for (size_t i = 0; i < n; i++)
			if (t[i].env && str_eqz(name, t[i].env) && setting_set(&t[i], conf, t[i].env, value.p, err))
				return -1;
	}
	return 0;
}

static int unknown_flag(const struct setting *t, size_t n, const char *flag, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (t[i].flag && near_miss(t[i].flag, flag))
			return err_set(err, 0, "unknown option %s; did you mean %s?", flag, t[i].flag);
	return err_set(err, 0, "unknown option %s", flag);
}

/* One flag at argv[*i], which moves behind its value where that is an argument of its own. */
static int apply_flag(const struct setting *t, size_t n, void *conf, int argc, char **argv, int *i, struct err *err)
{
	_cleanup_(freep) char *flag = NULL;
	struct str name, value;
	bool given = str_cut(str_from(argv[*i]), '=', &name, &value);

	flag = str_dup(name);
	for (size_t k = 0; k < n; k++) {
		if (!t[k].flag)
			continue;
		if (t[k].type == SETTING_BOOL && str_starts(name, STR("--no-")) &&
		    strcmp(flag + strlen("--no-"), t[k].flag + 2) == 0) {
			if (given)
				return err_set(err, 0, "%s takes no value", flag);
			return setting_set(&t[k], conf, flag, "false", err);
		}
		if (strcmp(flag, t[k].flag) != 0)
			continue;
		if (given)
			return setting_set(&t[k], conf, flag, value.p, err);
		if (t[k].type == SETTING_BOOL)
			return setting_set(&t[k], conf, flag, "true", err);
		if (*i + 1 >= argc)
			return err_set(err, 0, "%s needs a value: %s", flag, t[k].metavar ? t[k].metavar : "VALUE");
		return setting_set(&t[k], conf, flag, argv[++*i], err);
	}
	return unknown_flag(t, n, flag, err);
}

int settings_apply_argv(const struct setting *t, size_t n, void *conf, int *argc, char **argv, struct err *err)
{
	bool ended = false;
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0)
			ended = true;
		else if (ended || argv[i][0] != '-' || !argv[i][1])
			argv[kept++] = argv[i];
		else if (apply_flag(t, n, conf, *argc, argv, &i, err))
			return -1;
	}
	*argc = kept;
	return 0;
}

void setting_format(const struct setting *s, const void *conf, struct buf *b)
{
	void *p = field(s, conf);

	if (is_text(s->type))
		buf_adds(b, *(char **)p ? *(char **)p : "");
	else if (s->type == SETTING_BOOL)
		buf_adds(b, *(bool *)p ? "true" : "false");
	else if (s->type == SETTING_U32)
		buf_printf(b, "%u", *(uint32_t *)p);
	else if (s->type == SETTING_DURATION && *(uint64_t *)p == 0)
		buf_adds(b, "0");
	else
		format_number(b, s->type, *(uint64_t *)p);
}

void text_wrap(struct buf *b, const char *text, size_t indent, size_t width)
{
	size_t column = indent;
	bool first = true;

	while (*text) {
		size_t n = strcspn(text, " \n");

		if (!first && column + 1 + n > width) {
			buf_printf(b, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			buf_addc(b, ' ');
			column++;
		}
		buf_add(b, text, n);
		column += n;
		first = false;
		text += n;
		text += strspn(text, " \n");
	}
	buf_addc(b, '\n');
}

void settings_help(const struct setting *t, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(freep) char *prose = NULL;

		if (!t[i].flag)
			continue;
		buf_printf(b, "  %s%s%s\n          ", t[i].flag, t[i].type == SETTING_BOOL ? "" : " ",
			   t[i].type == SETTING_BOOL ? ""
			   : t[i].metavar            ? t[i].metavar
						     : "VALUE");
		prose = xasprintf("%s%s%s%s%s%s%s", t[i].help, t[i].dflt && t[i].dflt[0] ? " Default: " : "",
				  t[i].dflt ? t[i].dflt : "", t[i].dflt && t[i].dflt[0] ? "." : "",
				  t[i].env ? " (" : "", t[i].env ? t[i].env : "", t[i].env ? ")" : "");
		text_wrap(b, prose, 10, 80);
	}
}

void settings_markdown(const struct setting *t, size_t n, struct buf *b)
{
	buf_adds(b, "| wick.yaml | flag | environment | default | meaning |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "| `%s` | %s%s%s | %s%s%s | %s%s%s | %s |\n", t[i].name, t[i].flag ? "`" : "",
			   t[i].flag ? t[i].flag : "", t[i].flag ? "`" : "", t[i].env ? "`" : "",
			   t[i].env ? t[i].env : "", t[i].env ? "`" : "", t[i].dflt && t[i].dflt[0] ? "`" : "",
			   t[i].dflt ? t[i].dflt : "", t[i].dflt && t[i].dflt[0] ? "`" : "", t[i].help);
}

static void roff_text(struct buf *b, const char *s)
{
	for (const char *p = s; *p; p++) {
		if (*p == '\\')
			buf_adds(b, "\\e");
		else if (*p == '-')
			buf_adds(b, "\\-");
		else if ((*p == '.' || *p == '\'') && p == s)
			buf_printf(b, "\\&%c", *p);
		else
			buf_addc(b, *p);
	}
}

void settings_roff(const struct setting *t, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n; i++) {
		if (!t[i].flag)
			continue;
		buf_adds(b, ".TP\n.B ");
		roff_text(b, t[i].flag);
		if (t[i].type != SETTING_BOOL) {
			buf_adds(b, " \\fI");
			roff_text(b, t[i].metavar ? t[i].metavar : "VALUE");
			buf_adds(b, "\\fR");
		}
		buf_addc(b, '\n');
		roff_text(b, t[i].help);
		if (t[i].dflt && t[i].dflt[0]) {
			buf_adds(b, " Default: ");
			roff_text(b, t[i].dflt);
			buf_addc(b, '.');
		}
		buf_addc(b, '\n');
	}
}
