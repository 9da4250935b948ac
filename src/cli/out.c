/* What people see. Pure but for the question whether an fd is a terminal, and the time zone of the machine. Owns
 * nothing but a table's cells; cannot fail. */
#include "cli/out.h"

#include "base/mem.h"
#include "base/time.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS_MAX 16

struct grid_row {
	struct grid_row *next;
	const char *cells;
};

bool out_is_tty(int fd)
{
	return isatty(fd) == 1;
}

bool out_is_coloured(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && !(term && strcmp(term, "dumb") == 0) && out_is_tty(fd);
}

const char *tone_code(enum tone t)
{
	static const char *const codes[] = {
		[TONE_PLAIN] = "\033[0m", [TONE_BOLD] = "\033[1m",  [TONE_DIM] = "\033[2m",
		[TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m", [TONE_BAD] = "\033[31m",
	};

	return codes[t];
}

const char *tone_on(int fd, enum tone t)
{
	return t != TONE_PLAIN && out_is_coloured(fd) ? tone_code(t) : "";
}

const char *tone_off(int fd, enum tone t)
{
	return t != TONE_PLAIN && out_is_coloured(fd) ? "\033[0m" : "";
}

void grid_done(struct grid *g)
{
	arena_done(&g->arena);
	g->rows = NULL;
	g->n_rows = 0;
}

void grid_add(struct grid *g, const char *fmt, ...)
{
	struct grid_row *row = arena_new(&g->arena, struct grid_row);
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	row->cells = arena_dup(&g->arena, buf_str(&b));
	row->next = g->rows;
	g->rows = row;
	g->n_rows++;
}

/* Code points, which is near enough to columns for names and numbers. */
static size_t width(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void measure(const char *cells, size_t widths[static COLUMNS_MAX])
{
	struct str rest = str_from(cells), cell;

	for (size_t i = 0; i < COLUMNS_MAX && rest.p; i++) {
		if (!str_cut(rest, '\t', &cell, &rest))
			rest = STR_NULL;
		if (str_starts(cell, STR(">")))
			cell = str_sub(cell, 1, cell.n);
		widths[i] = MAX(widths[i], width(cell));
	}
}

static void add_row(struct buf *b, const char *cells, const size_t widths[static COLUMNS_MAX], const bool *right,
		    bool head)
{
	struct str rest = str_from(cells), cell;

	for (size_t i = 0; i < COLUMNS_MAX && rest.p; i++) {
		bool last = !str_cut(rest, '\t', &cell, &rest);
		size_t pad;

		if (head && str_starts(cell, STR(">")))
			cell = str_sub(cell, 1, cell.n);
		pad = widths[i] - MIN(widths[i], width(cell));
		if (i > 0)
			buf_adds(b, "  ");
		if (right[i])
			buf_printf(b, "%*s", (int)pad, "");
		buf_add_str(b, cell);
		if (last)
			break;
		if (!right[i])
			buf_printf(b, "%*s", (int)pad, "");
	}
	while (b->n > 0 && b->p[b->n - 1] == ' ')
		b->p[--b->n] = '\0';
}

void grid_text(struct grid *g, struct buf *b, int fd)
{
	size_t widths[COLUMNS_MAX] = {0}, n = 0;
	bool right[COLUMNS_MAX] = {false};
	const char **rows = arena_new_n(&g->arena, const char *, g->n_rows + 1);
	struct str rest = str_from(g->head), cell;

	for (size_t i = 0; i < COLUMNS_MAX && rest.n > 0; i++) {
		str_cut(rest, '\t', &cell, &rest);
		right[i] = str_starts(cell, STR(">"));
	}
	measure(g->head, widths);
	for (struct grid_row *r = g->rows; r; r = r->next) {
		measure(r->cells, widths);
		rows[n++] = r->cells;
	}
	buf_adds(b, tone_on(fd, TONE_DIM));
	add_row(b, g->head, widths, right, true);
	buf_printf(b, "%s\n", tone_off(fd, TONE_DIM));
	while (n > 0) {
		add_row(b, rows[--n], widths, right, false);
		buf_addc(b, '\n');
	}
}

void grid_print(struct grid *g, int fd)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	grid_text(g, &b, fd);
	fputs(buf_cstr(&b), fd == STDERR_FILENO ? stderr : stdout);
}

const char *out_usd(uint64_t picousd, char buf[static OUT_TEXT])
{
	uint64_t nano = (picousd + 500) / 1000;
	int n = snprintf(buf, OUT_TEXT, "$%llu.%09llu", (unsigned long long)(nano / 1000000000),
			 (unsigned long long)(nano % 1000000000));

	/* At least cents; no zeros that say nothing. */
	while (n > 0 && buf[n - 1] == '0' && buf[n - 3] != '.')
		buf[--n] = '\0';
	return buf;
}

const char *out_bytes(uint64_t n, char buf[static OUT_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)n;
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, OUT_TEXT, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return buf;
}

const char *out_us(uint64_t us, char buf[static OUT_TEXT])
{
	if (us < 10000000)
		snprintf(buf, OUT_TEXT, "%.2f ms", (double)us / 1000);
	else
		snprintf(buf, OUT_TEXT, "%.1f s", (double)us / 1000000);
	return buf;
}

const char *out_local_time(int64_t unix_ms, char buf[static OUT_TEXT])
{
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(buf, OUT_TEXT, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, OUT_TEXT, "-");
	return buf;
}

const char *out_local_iso(struct str iso8601, char buf[static OUT_TEXT])
{
	int64_t ms;

	if (time_parse_iso8601(iso8601, &ms))
		return out_local_time(ms, buf);
	snprintf(buf, OUT_TEXT, "%.*s", STR_ARG(iso8601));
	return buf;
}

/* A time without a zone is the reader's. */
static bool parse_local(struct str s, int64_t *ret)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
					    "%Y-%m-%d %H:%M:%S"};
	_cleanup_(freep) char *text = str_dup(s);

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(text, forms[i], &tm);
		time_t t;

		if (!end || *end)
			continue;
		tm.tm_isdst = -1;
		t = mktime(&tm);
		if (t == (time_t)-1)
			return false;
		*ret = (int64_t)t * 1000;
		return true;
	}
	return false;
}

bool out_parse_duration(struct str s, uint64_t *ret_s)
{
	static const struct {
		char unit;
		uint64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	uint64_t n;

	for (size_t i = 0; s.n > 1 && i < ARRAY_SIZE(units); i++)
		if (s.p[s.n - 1] == units[i].unit && str_to_u64(str_sub(s, 0, s.n - 1), &n)) {
			*ret_s = n * units[i].s;
			return n > 0 && n <= (uint64_t)366 * 86400 / units[i].s;
		}
	return false;
}

bool out_parse_since(struct str s, int64_t now_ms, int64_t *ret)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
	uint64_t n;

	for (size_t i = 0; s.n > 1 && i < ARRAY_SIZE(units); i++)
		if (s.p[s.n - 1] == units[i].unit && str_to_u64(str_sub(s, 0, s.n - 1), &n)) {
			if (n > 100 * (uint64_t)366 * 86400000 / (uint64_t)units[i].ms)
				return false;
			*ret = MAX(now_ms - (int64_t)n * units[i].ms, 0);
			return true;
		}
	return parse_local(s, ret) || time_parse_iso8601(s, ret);
}

bool out_parse_interval(struct str s, uint64_t *ret_ms)
{
	uint64_t n, unit = 1000;

	if (str_ends(s, STR("ms")))
		unit = 1;
	else if (str_ends(s, STR("m")))
		unit = 60000;
	if (str_ends(s, STR("s")) || unit == 60000)
		s.n -= unit == 1 ? 2 : 1;
	if (!str_to_u64(s, &n) || n == 0 || n > 86400000 / unit)
		return false;
	*ret_ms = n * unit;
	return true;
}

void out_clean(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if ((c >= 0x20 && c != 0x7f) || c == '\t')
			buf_addc(b, (char)c);
		else if (c == '\r' || c == '\n')
			buf_addc(b, ' ');
		else
			buf_printf(b, "\\x%02x", c);
	}
}

const char *out_cell(struct arena *a, struct str s)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	out_clean(&b, s);
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\t')
			b.p[i] = ' ';
	return b.n ? arena_dup(a, buf_str(&b)) : "-";
}
