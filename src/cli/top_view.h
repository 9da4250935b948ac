/* What `wick top` shows, as text: one answer of GET /_wick/top and the size of the terminal in, lines out. Pure. */
#pragma once

#include "base/buf.h"
#include "wire/json.h"

struct top_view {
	const json_t *top;   /* NULL: no answer yet */
	const char *away;    /* NULL, or why there is no newer answer */
	unsigned cols, rows; /* rows 0: as many as it takes */
	bool colour;
	const char *clock; /* "14:03:22" */
};

/* Every line ends in '\n' and is at most cols wide; at most rows lines. */
void top_view(struct buf *b, const struct top_view *v);
