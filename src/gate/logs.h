/* Function logs on disk: DATA/logs/<function>/<n>.log, newest last, oldest dropped past log_max_bytes.
 * One record a line: "<unix ms>\t<request id or ->\t<text>\n"; text has no newline, other control bytes and invalid
 * UTF-8 as they came (rendering is the reader's). Written on the loop, gathered per loop turn. */
#pragma once

#include "gate/gate.h"

struct logs *logs_open(struct gate *g, struct err *err);
struct logs *logs_close(struct logs *l);
void logs_add(struct logs *l, struct str function, int64_t at_ms, const char *request_id, struct str line);
void logs_flush(struct logs *l);

/* Reading, for `wick logs`: records of a function since a time, from a position on ("" the beginning; opaque), up to
 * max_bytes. *next is where to go on. Pool thread safe: reads files only. dir is conf.data. */
int logs_read(const char *data, struct str function, int64_t since_ms, const char *position, size_t max_bytes,
	      struct buf *ret, char next[static 64]);
/* Called when the function's log grows (for -f); NULL fn stops. */
struct logs_watch;
struct logs_watch *logs_watch(struct logs *l, struct str function, void (*fn)(void *arg), void *arg);
struct logs_watch *logs_watch_free(struct logs_watch *w);
void logs_remove(struct logs *l, struct str function);
