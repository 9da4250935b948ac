/* The picture of `wick top`. Three parts: the server and its nodes in a few lines, the functions as a table whose
 * columns give way in order when the terminal is narrow, and the zygotes where there is room below. Nothing is dots
 * instead of zeros, so that what moves is what is seen. Pure; cannot fail. */
#include "cli/top_view.h"

#include "base/mem.h"
#include "cli/out.h"

#include <stdio.h>

#define NAME_LEAST 10
#define NAME_MOST  32
#define WHY_LEAST  12
#define CELL_MAX   256
#define NOTHING    "\xc2\xb7" /* a middle dot */

/* ---- words ---- */

static const char *tone(const struct top_view *v, enum tone t)
{
	return v->colour ? tone_code(t) : "";
}

static const char *plain(const struct top_view *v)
{
	return v->colour ? tone_code(TONE_PLAIN) : "";
}

static int64_t number(const json_t *o, const char *key)
{
	const json_t *j = json_object_get(o, key);

	return json_is_real(j) ? (int64_t)json_real_value(j) : json_get_int(o, key, 0);
}

static double real(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* 12345 as 12,345 while that is short, then 1.2M. */
static void add_count(struct buf *b, int64_t n)
{
	if (n < 10000)
		buf_printf(b, "%lld", (long long)n);
	else if (n < 1000000)
		buf_printf(b, "%lld,%03lld", (long long)(n / 1000), (long long)(n % 1000));
	else if (n < 1000000000)
		buf_printf(b, "%.1fM", (double)n / 1e6);
	else
		buf_printf(b, "%.1fG", (double)n / 1e9);
}

/* Four figures at most: 0.42ms, 12.3ms, 340ms, 4.2s, 3m, 2h, 5d. */
static void add_us(struct buf *b, double us)
{
	double ms = us / 1000, s = ms / 1000;

	if (ms < 10)
		buf_printf(b, "%.2fms", ms);
	else if (ms < 100)
		buf_printf(b, "%.1fms", ms);
	else if (ms < 1000)
		buf_printf(b, "%.0fms", ms);
	else if (s < 60)
		buf_printf(b, "%.1fs", s);
	else if (s < 3600)
		buf_printf(b, "%.0fm", s / 60);
	else if (s < 172800)
		buf_printf(b, "%.0fh", s / 3600);
	else
		buf_printf(b, "%.0fd", s / 86400);
}

static void add_mib(struct buf *b, double mib)
{
	if (mib < 1000)
		buf_printf(b, mib < 10 ? "%.1fM" : "%.0fM", mib);
	else
		buf_printf(b, "%.1fG", mib / 1024);
}

/* ---- lines of a known width ---- */

struct lines {
	const struct top_view *v;
	struct buf *out;
	unsigned left; /* rows still free; UINT_MAX without a limit */
	unsigned at;   /* columns of the open line */
};

static bool has_room(const struct lines *l)
{
	return l->left > 0;
}

static void end_line(struct lines *l)
{
	while (l->out->n > 0 && l->out->p[l->out->n - 1] == ' ')
		l->out->p[--l->out->n] = '\0';
	buf_addc(l->out, '\n');
	l->at = 0;
	l->left--;
}

/* As much of s as the line has room for; control bytes never reach the terminal. */
static void put(struct lines *l, enum tone t, struct str s)
{
	_cleanup_(buf_done) struct buf clean = BUF_NULL;
	bool toned = t != TONE_PLAIN && s.n > 0;
	size_t i = 0;

	out_clean(&clean, s);
	if (toned)
		buf_adds(l->out, tone(l->v, t));
	while (i < clean.n) {
		size_t from = i++;

		while (i < clean.n && ((uint8_t)clean.p[i] & 0xc0) == 0x80)
			i++;
		if (l->at >= l->v->cols)
			break;
		buf_add(l->out, clean.p + from, i - from);
		l->at++;
	}
	if (toned)
		buf_adds(l->out, plain(l->v));
}

static void putf(struct lines *l, enum tone t, const char *fmt, ...) _printf_(3, 4);

static void putf(struct lines *l, enum tone t, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	put(l, t, buf_str(&b));
}

static void pad(struct lines *l, unsigned n)
{
	while (n-- > 0)
		put(l, TONE_PLAIN, STR(" "));
}

/* ---- the head ---- */

/* "12 busy", dim when it is none. */
static void count(struct lines *l, int64_t n, const char *what, enum tone t)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	add_count(&b, n);
	putf(l, n > 0 ? t : TONE_DIM, "%s %s", buf_cstr(&b), what);
	pad(l, 3);
}

static void title(struct lines *l)
{
	const json_t *top = l->v->top, *totals = json_object_get(top, "totals");
	_cleanup_(buf_done) struct buf up = BUF_NULL;
	const char *clock = l->v->clock ? l->v->clock : "";
	double per_s = 0;
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(top, "functions"), i, f) per_s += real(f, "per_s");
	put(l, TONE_BOLD, STR("wick"));
	if (top) {
		add_us(&up, (double)number(top, "uptime_ms") * 1000);
		putf(l, TONE_DIM, "  up %s", buf_cstr(&up));
		pad(l, 3);
		count(l, number(totals, "invocations"), "invocations", TONE_PLAIN);
		count(l, number(totals, "errors"), "errors", TONE_BAD);
		putf(l, per_s >= 0.05 ? TONE_PLAIN : TONE_DIM, per_s < 100 ? "%.1f/s" : "%.0f/s", per_s);
	}
	if (l->at + 3 + strlen(clock) <= l->v->cols && *clock) {
		/* At the right of a screen; on paper it just follows. */
		pad(l, l->v->rows ? l->v->cols - l->at - (unsigned)strlen(clock) : 3);
		put(l, TONE_DIM, str_from(clock));
	}
	end_line(l);
}

static void workers_line(struct lines *l)
{
	const json_t *totals = json_object_get(l->v->top, "totals"), *w = json_object_get(totals, "workers");

	put(l, TONE_DIM, STR("workers  "));
	count(l, number(w, "busy"), "busy", TONE_GOOD);
	count(l, number(w, "idle"), "idle", TONE_PLAIN);
	count(l, number(w, "frozen"), "frozen", TONE_PLAIN);
	count(l, number(w, "waiting") + number(w, "init"), "starting", TONE_WARN);
	if (number(w, "parked") > 0)
		count(l, number(w, "parked"), "parked", TONE_PLAIN);
	if (number(w, "ending") > 0)
		count(l, number(w, "ending"), "ending", TONE_PLAIN);
	count(l, number(totals, "queued"), "queued", TONE_WARN);
	end_line(l);
}

#define BAR 16

static void node_line(struct lines *l, const json_t *n)
{
	double size = real(n, "memory_mb"), room = real(n, "memory_free_mb");
	_cleanup_(buf_done) struct buf used = BUF_NULL, all = BUF_NULL;
	struct buf bar[2] = {BUF_NULL, BUF_NULL}; /* full, empty */
	unsigned full = size > 0 ? (unsigned)((size - room) / size * BAR + 0.5) : 0;
	bool up = json_get_bool(n, "up", true);

	put(l, TONE_DIM, STR("node     "));
	put(l, TONE_PLAIN, json_get_str(n, "name", STR("-")));
	if (!up) {
		put(l, TONE_BAD, STR("  away"));
		end_line(l);
		return;
	}
	putf(l, TONE_DIM, "   %lld cores   memory ", (long long)number(n, "cpus"));
	full = MIN(full, (unsigned)BAR);
	for (unsigned i = 0; i < BAR; i++)
		buf_adds(&bar[i >= full], i < full ? "\xe2\x96\xa0" : NOTHING);
	put(l, full < BAR * 7 / 8 ? TONE_GOOD : TONE_WARN, buf_str(&bar[0]));
	put(l, TONE_DIM, buf_str(&bar[1]));
	buf_done(&bar[0]);
	buf_done(&bar[1]);
	add_mib(&used, size - room);
	add_mib(&all, size);
	putf(l, TONE_PLAIN, " %s", buf_cstr(&used));
	putf(l, TONE_DIM, " of %s   %lld workers   %zu zygotes", buf_cstr(&all), (long long)number(n, "workers"),
	     json_array_size(json_object_get(n, "zygotes")));
	end_line(l);
}

/* ---- the table ---- */

typedef void (*cell_fn)(struct buf *b, const json_t *f);

static void cell_count(struct buf *b, const json_t *f, const char *key)
{
	if (number(f, key) > 0)
		add_count(b, number(f, key));
}

#define COUNT_CELL(name, key)                                                                                          \
	static void cell_##name(struct buf *b, const json_t *f)                                                        \
	{                                                                                                              \
		cell_count(b, f, key);                                                                                 \
	}
COUNT_CELL(queued, "queued")
COUNT_CELL(busy, "busy")
COUNT_CELL(idle, "idle")
COUNT_CELL(frozen, "frozen")
COUNT_CELL(invocations, "invocations")
COUNT_CELL(errors, "errors")
COUNT_CELL(cold, "cold")

static void cell_starting(struct buf *b, const json_t *f)
{
	if (number(f, "waiting") + number(f, "init") > 0)
		add_count(b, number(f, "waiting") + number(f, "init"));
}

static void cell_oldest(struct buf *b, const json_t *f)
{
	if (number(f, "queued") > 0)
		add_us(b, (double)number(f, "oldest_wait_ms") * 1000);
}

static void cell_memory(struct buf *b, const json_t *f)
{
	if (real(f, "memory_mb") > 0)
		add_mib(b, real(f, "memory_mb"));
}

static void cell_rate(struct buf *b, const json_t *f)
{
	double r = real(f, "per_s");

	if (r >= 0.05)
		buf_printf(b, r < 100 ? "%.1f" : "%.0f", r);
}

#define TIME_CELL(name)                                                                                                \
	static void cell_##name(struct buf *b, const json_t *f)                                                        \
	{                                                                                                              \
		if (number(f, #name "_us") > 0)                                                                        \
			add_us(b, (double)number(f, #name "_us"));                                                     \
	}
TIME_CELL(p50)
TIME_CELL(p90)
TIME_CELL(p99)

/* In the order in which they stand; those of the highest rank give way first. */
static const struct column {
	const char *head;
	unsigned width, rank;
	cell_fn cell;
	enum tone tone; /* of a cell that is not nothing */
} columns[] = {
	{"QUEUE", 5, 0, cell_queued, TONE_WARN},   {"OLDEST", 6, 4, cell_oldest, TONE_WARN},
	{"BUSY", 4, 1, cell_busy, TONE_GOOD},      {"IDLE", 4, 3, cell_idle, TONE_PLAIN},
	{"FROZEN", 6, 5, cell_frozen, TONE_PLAIN}, {"START", 5, 3, cell_starting, TONE_WARN},
	{"MEMORY", 6, 6, cell_memory, TONE_PLAIN}, {"RATE/s", 6, 1, cell_rate, TONE_PLAIN},
	{"P50", 6, 2, cell_p50, TONE_PLAIN},       {"P90", 6, 8, cell_p90, TONE_PLAIN},
	{"P99", 6, 2, cell_p99, TONE_PLAIN},       {"COLD", 5, 7, cell_cold, TONE_PLAIN},
	{"ERRORS", 6, 3, cell_errors, TONE_BAD},   {"RUNS", 6, 7, cell_invocations, TONE_PLAIN},
};

struct layout {
	bool shown[ARRAY_SIZE(columns)];
	unsigned name; /* width */
	bool beside;   /* reasons stand in the line of their function */
};

static unsigned fixed_width(const struct layout *y)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (y->shown[i])
			n += columns[i].width + 2;
	return n;
}

/* Drops the rightmost of the highest rank; false: nothing is left to drop. */
static bool drop_one(struct layout *y)
{
	size_t worst = ARRAY_SIZE(columns);

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (y->shown[i] && (worst == ARRAY_SIZE(columns) || columns[i].rank >= columns[worst].rank))
			worst = i;
	if (worst == ARRAY_SIZE(columns))
		return false;
	y->shown[worst] = false;
	return true;
}

static void text_of_name(struct buf *b, const json_t *f)
{
	struct str version = json_get_str(f, "version", STR_NULL);

	buf_add_str(b, json_get_str(f, "name", STR("-")));
	if (version.n && !str_eqz(version, "$LATEST"))
		buf_printf(b, ":%.*s", STR_ARG(version));
}

/* Reasons stand behind the columns where they fit there; else each has a line of its own below its function, so that
 * no column comes and goes with them. */
static struct layout lay_out(const struct top_view *v, const json_t **list, size_t n)
{
	struct layout y = {.name = NAME_LEAST};
	unsigned why = 0;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		y.shown[i] = true;
	for (size_t i = 0; i < n; i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		text_of_name(&b, list[i]);
		y.name = MAX(y.name, MIN((unsigned)b.n, (unsigned)NAME_MOST));
		why = MAX(why, (unsigned)json_get_str(list[i], "text", STR_NULL).n);
	}
	while (y.name + fixed_width(&y) > v->cols && drop_one(&y))
		;
	while (y.name > NAME_LEAST && y.name + fixed_width(&y) > v->cols)
		y.name--;
	y.beside = y.name + fixed_width(&y) + 2 + MAX(why, (unsigned)WHY_LEAST) <= v->cols;
	return y;
}

static void table_head(struct lines *l, const struct layout *y)
{
	putf(l, TONE_DIM, "%-*s", (int)y->name, "FUNCTION");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (y->shown[i])
			putf(l, TONE_DIM, "  %*s", (int)columns[i].width, columns[i].head);
	if (y->beside)
		put(l, TONE_DIM, STR("  WHY IT WAITS"));
	end_line(l);
}

/* A name that is too long keeps its end, where names differ. */
static void name_cell(struct lines *l, const json_t *f, unsigned width)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	bool quiet = number(f, "busy") + number(f, "queued") + number(f, "init") + number(f, "waiting") == 0 &&
		     real(f, "per_s") < 0.05;
	enum tone t = quiet ? TONE_PLAIN : TONE_BOLD;
	unsigned from = l->at;

	text_of_name(&b, f);
	if (b.n > width)
		putf(l, t, "\xe2\x80\xa6%s", b.p + b.n - width + 1);
	else
		put(l, t, buf_str(&b));
	pad(l, from + width > l->at ? from + width - l->at : 0);
}

static void table_row(struct lines *l, const struct layout *y, const json_t *f)
{
	struct str why = json_get_str(f, "text", STR_NULL);

	name_cell(l, f, y->name);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		if (!y->shown[i])
			continue;
		columns[i].cell(&b, f);
		if (b.n == 0) {
			pad(l, columns[i].width + 1);
			put(l, TONE_DIM, STR(NOTHING));
		} else {
			pad(l, 2 + columns[i].width - MIN(columns[i].width, (unsigned)b.n));
			put(l, columns[i].tone, buf_str(&b));
		}
	}
	if (why.n && !y->beside && l->left > 1)
		end_line(l);
	if (why.n && (y->beside || l->at == 0)) {
		pad(l, 2);
		put(l, TONE_WARN, why);
	}
	end_line(l);
}

/* Who waits first, then who runs, who ran lately, who ran most; names last, so that the order holds still. */
static int by_activity(const void *a, const void *b)
{
	static const char *const keys[] = {"queued", "busy", "per_s", "idle", "frozen", "invocations"};
	const json_t *const *x = a, *const *y = b;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		double p = real(*x, keys[i]), q = real(*y, keys[i]);

		if (p != q)
			return p > q ? -1 : 1;
	}
	return str_cmp(json_get_str(*x, "name", STR_NULL), json_get_str(*y, "name", STR_NULL));
}

static void functions_table(struct lines *l, unsigned keep)
{
	const json_t *list = json_object_get(l->v->top, "functions");
	size_t n = json_array_size(list);
	_cleanup_(freep) const json_t **sorted = xnew_n(const json_t *, n + 1);
	struct layout y;

	if (n == 0) {
		put(l, TONE_DIM, STR("No function has been invoked since the server started."));
		end_line(l);
		return;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(list, i);
	qsort(sorted, n, sizeof(*sorted), by_activity);
	y = lay_out(l->v, sorted, n);
	table_head(l, &y);
	for (size_t i = 0; i < n && has_room(l); i++) {
		if (l->left <= keep + 1 && i + 1 < n) {
			putf(l, TONE_DIM, "and %zu more", n - i);
			end_line(l);
			return;
		}
		table_row(l, &y, sorted[i]);
	}
}

/* ---- the zygotes ---- */

static void zygote_line(struct lines *l, const json_t *z)
{
	_cleanup_(buf_done) struct buf mem = BUF_NULL, idle = BUF_NULL;
	const json_t *list = json_object_get(z, "imports");
	struct str imports = json_get_str(z, "imports", STR_NULL), state = json_get_str(z, "state", STR_NULL);

	add_mib(&mem, (double)number(z, "memory_kib") / 1024);
	add_us(&idle, (double)number(z, "idle_ms") * 1000);
	putf(l, TONE_DIM, "zygote   ");
	put(l, TONE_PLAIN, json_get_str(z, "runtime", STR("-")));
	putf(l, TONE_DIM, "   pid %lld   %s   ", (long long)number(z, "pid"), buf_cstr(&mem));
	if (state.n && !str_eqz(state, "loaded"))
		putf(l, TONE_WARN, "%.*s   ", STR_ARG(state));
	else
		putf(l, TONE_DIM, "last used %s ago   ", buf_cstr(&idle));
	put(l, TONE_DIM, imports);
	for (size_t i = 0; i < json_array_size(list); i++)
		putf(l, TONE_DIM, "%s%s", i ? " " : "", json_string_value(json_array_get(list, i)));
	end_line(l);
}

static unsigned n_zygotes(const json_t *top)
{
	size_t n = 0, i;
	json_t *node;

	json_array_foreach(json_object_get(top, "nodes"), i, node) n +=
		json_array_size(json_object_get(node, "zygotes"));
	return (unsigned)n;
}

static void zygotes(struct lines *l)
{
	size_t i, k;
	json_t *node, *z;

	if (n_zygotes(l->v->top) == 0 || l->left < 3)
		return;
	end_line(l);
	json_array_foreach(json_object_get(l->v->top, "nodes"), i, node)
	{
		json_array_foreach(json_object_get(node, "zygotes"), k, z)
		{
			if (!has_room(l))
				return;
			zygote_line(l, z);
		}
	}
}

void top_view(struct buf *b, const struct top_view *v)
{
	struct lines l = {.v = v, .out = b, .left = v->rows ? v->rows : UINT32_MAX};
	size_t i;
	json_t *node;

	title(&l);
	if (v->away && has_room(&l)) {
		put(&l, TONE_BAD, str_from(v->away));
		end_line(&l);
	}
	if (!v->top)
		return;
	json_array_foreach(json_object_get(v->top, "nodes"), i, node) if (has_room(&l)) node_line(&l, node);
	if (has_room(&l))
		workers_line(&l);
	if (l.left < 3)
		return;
	end_line(&l);
	functions_table(&l, v->rows ? MIN(n_zygotes(v->top) + 1, l.left / 4) : 0);
	zygotes(&l);
}
