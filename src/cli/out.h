/* What people see: tables in columns, sums of money, sizes and times, colours where a terminal takes them. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum tone { TONE_PLAIN, TONE_BOLD, TONE_DIM, TONE_GOOD, TONE_WARN, TONE_BAD };

bool out_is_tty(int fd);
const char *tone_code(enum tone t); /* TONE_PLAIN: what ends every other one */
bool out_is_coloured(int fd);       /* a terminal, NO_COLOR is not set and TERM is not dumb */
const char *tone_on(int fd, enum tone t);
const char *tone_off(int fd, enum tone t);

/* A table: cells are copied, columns as wide as they need. The last of a row may be left out. */
struct grid {
	struct arena arena;
	const char *head;      /* names of the columns with '\t' between; one beginning with '>' is aligned right */
	struct grid_row *rows; /* newest first */
	size_t n_rows;
};

void grid_done(struct grid *g);
void grid_add(struct grid *g, const char *fmt, ...) _printf_(2, 3); /* cells with '\t' between */
void grid_print(struct grid *g, int fd);
void grid_text(struct grid *g, struct buf *b, int fd); /* as it would be printed there; fd -1: without colours */

/* Each writes into buf and returns it. */
#define OUT_TEXT 40
const char *out_usd(uint64_t picousd, char buf[static OUT_TEXT]);         /* $0.000000418 */
const char *out_bytes(uint64_t n, char buf[static OUT_TEXT]);             /* 12.3 KiB */
const char *out_us(uint64_t us, char buf[static OUT_TEXT]);               /* 1.25 ms */
const char *out_local_time(int64_t unix_ms, char buf[static OUT_TEXT]);   /* 2026-01-31 12:00:00 */
const char *out_local_iso(struct str iso8601, char buf[static OUT_TEXT]); /* the same of an ISO 8601 time */
/* "90s" "10m" "2h" "3d", or a time (ISO 8601, local where no zone is given): Unix ms. */
bool out_parse_since(struct str s, int64_t now_ms, int64_t *ret);
/* "200ms", "5s", "2m"; a bare number is seconds. */
bool out_parse_interval(struct str s, uint64_t *ret_ms);
/* "90s" "10m" "2h" "3d" "1w", at least a second and at most a leap year. */
bool out_parse_duration(struct str s, uint64_t *ret_s);
/* A cell of a table from outside: as out_clean, without tabs; "-" when it is empty. Into a. */
const char *out_cell(struct arena *a, struct str s);
/* Text from outside for a terminal: control bytes but tab become spaces or are shown as \x1b. */
void out_clean(struct buf *b, struct str s);
