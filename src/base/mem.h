/* Allocation that cannot fail: a process that cannot get a few bytes stops with a clear line and the
 * supervisor starts it anew; every size that a client controls is bounded before it gets here. */
#pragma once

#include "base/util.h"

void *xmalloc(size_t n) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((alloc_size(2), returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) _printf_(1, 2) __attribute__((malloc, returns_nonnull));

#define xnew(type)      ((type *)xcalloc(1, sizeof(type)))
#define xnew_n(type, n) ((type *)xcalloc((n), sizeof(type)))

/* Clears memory that held a secret; the compiler may not drop it. */
void mem_wipe(void *p, size_t n);
/* Clears the traces of what was handled before this call: in vector registers, which strings are copied by and a clone
 * inherits, and on the stack below the caller, where the dynamic linker and signals put registers aside. */
void mem_wipe_traces(void);
