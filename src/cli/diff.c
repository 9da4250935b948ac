/* A diff by the longest common run of lines, found by a table over what is left when equal beginnings and ends are cut
 * off. Texts whose table would be too large are shown as wholly replaced there. Pure; cannot fail. */
#include "cli/diff.h"

#include "base/mem.h"
#include "cli/out.h"

#include <stdio.h>

#define TABLE_MAX ((size_t)4 << 20) /* cells */
#define CONTEXT   3

struct text {
	struct str *lines;
	size_t n;
};

static struct text split(struct str s)
{
	struct text t = {NULL, 0};
	size_t cap = 0;

	while (s.n > 0) {
		if (t.n == cap) {
			cap = cap ? cap * 2 : 64;
			t.lines = xrealloc(t.lines, cap * sizeof(*t.lines));
		}
		str_cut(s, '\n', &t.lines[t.n++], &s);
	}
	return t;
}

/* A step of the way from one text to the other. */
struct step {
	char kind; /* ' ', '-', '+' */
	struct str line;
};

struct way {
	struct step *steps;
	size_t n;
};

static void step(struct way *w, char kind, struct str line)
{
	w->steps[w->n++] = (struct step){kind, line};
}

/* The part that differs: a's lines [from, a_end), b's [from, b_end). */
static void middle(struct way *w, const struct text *a, const struct text *b, size_t from, size_t a_end, size_t b_end)
{
	size_t n = a_end - from, m = b_end - from, i = 0, k = 0;
	_cleanup_(freep) uint32_t *best = NULL; /* common lines of the ends from (i, k) on */

	if ((n + 1) * (m + 1) <= TABLE_MAX) {
		best = xnew_n(uint32_t, (n + 1) * (m + 1));
		for (size_t x = n; x-- > 0;)
			for (size_t y = m; y-- > 0;)
				best[x * (m + 1) + y] =
					str_eq(a->lines[from + x], b->lines[from + y])
						? best[(x + 1) * (m + 1) + y + 1] + 1
						: MAX(best[(x + 1) * (m + 1) + y], best[x * (m + 1) + y + 1]);
	}
	while (i < n || k < m) {
		if (best && i < n && k < m && str_eq(a->lines[from + i], b->lines[from + k])) {
			step(w, ' ', a->lines[from + i++]);
			k++;
		} else if (i < n && (k == m || !best || best[(i + 1) * (m + 1) + k] >= best[i * (m + 1) + k + 1])) {
			step(w, '-', a->lines[from + i++]);
		} else {
			step(w, '+', b->lines[from + k++]);
		}
	}
}

static void show(struct buf *b, const struct way *w, bool colour)
{
	bool gap = false;

	for (size_t i = 0; i < w->n; i++) {
		const struct step *s = &w->steps[i];
		bool near = s->kind != ' ';
		enum tone t = s->kind == '-' ? TONE_BAD : s->kind == '+' ? TONE_GOOD : TONE_DIM;

		for (size_t k = i > CONTEXT ? i - CONTEXT : 0; k <= i + CONTEXT && k < w->n && !near; k++)
			near = w->steps[k].kind != ' ';
		if (!near) {
			if (!gap)
				buf_adds(b, "  ...\n");
			gap = true;
			continue;
		}
		gap = false;
		buf_adds(b, colour ? tone_code(t) : "");
		buf_printf(b, "%c ", s->kind);
		out_clean(b, s->line);
		buf_adds(b, colour ? tone_code(TONE_PLAIN) : "");
		buf_addc(b, '\n');
	}
}

bool diff_lines(struct buf *b, struct str before, struct str after, bool colour)
{
	struct text x = split(before), y = split(after);
	size_t from = 0, x_end = x.n, y_end = y.n;
	struct way w = {xnew_n(struct step, x.n + y.n + 1), 0};
	bool differs = !str_eq(before, after);

	while (from < x_end && from < y_end && str_eq(x.lines[from], y.lines[from]))
		from++;
	while (x_end > from && y_end > from && str_eq(x.lines[x_end - 1], y.lines[y_end - 1])) {
		x_end--;
		y_end--;
	}
	if (differs) {
		for (size_t i = 0; i < from; i++)
			step(&w, ' ', x.lines[i]);
		middle(&w, &x, &y, from, x_end, y_end);
		for (size_t i = x_end; i < x.n; i++)
			step(&w, ' ', x.lines[i]);
		show(b, &w, colour);
	}
	free(w.steps);
	free(x.lines);
	free(y.lines);
	return differs;
}
