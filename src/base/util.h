/* The few macros everything uses: cleanup attributes, ownership transfer, containers. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* An owner pointer is declared `_cleanup_(freep) char *x = NULL;`; success hands it on with steal(). */
#define _cleanup_(f)        __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_            __attribute__((unused))
#define _noreturn_          __attribute__((noreturn))

#define steal(pp)                                                                                                      \
	({                                                                                                             \
		__typeof__(pp) pp_ = (pp);                                                                             \
		__typeof__(*pp_) v_ = *pp_;                                                                            \
		*pp_ = NULL;                                                                                           \
		v_;                                                                                                    \
	})

/* Defines `NAMEp(T **)` for use with _cleanup_, from a destructor `NAME(T *)`. */
#define DEFINE_CLEANUP(type, func)                                                                                     \
	static inline _unused_ void func##p(type *p)                                                                   \
	{                                                                                                              \
		if (*p)                                                                                                \
			func(*p);                                                                                      \
	}

static inline _unused_ void freep(void *p)
{
	free(*(void **)p);
}

/* Takes an fd and leaves -1. */
static inline _unused_ int steal_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}
