/* Allocation that cannot fail. Owns nothing; the only failure is the end of the process. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _noreturn_ void out_of_memory(size_t n)
{
	fprintf(stderr, "out of memory: %zu bytes\n", n);
	abort();
}

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		out_of_memory(n);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory(n * size);
	return p;
}

void *xrealloc(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);

	if (!p)
		out_of_memory(n);
	return p;
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

void *xmemdup(const void *p, size_t n)
{
	void *q = xmalloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory(0);
	va_end(ap);
	return s;
}

void mem_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

#define STACK_WIPED (32u << 10)

#ifdef __x86_64__
#define WIPE(n) "vpxorq %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"

/* The upper sixteen are nobody's across a call (System V ABI, 3.2.1), and code for all x86-64 does not use them. */
static void wipe_registers(void)
{
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(WIPE(16) WIPE(17) WIPE(18) WIPE(19) WIPE(20) WIPE(21) WIPE(22) WIPE(23) WIPE(24)
					 WIPE(25) WIPE(26) WIPE(27) WIPE(28) WIPE(29) WIPE(30) WIPE(31)::);
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
					   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
#else
static void wipe_registers(void)
{
}
#endif

__attribute__((noinline)) static void wipe_stack(void)
{
	char below[STACK_WIPED];

	explicit_bzero(below, sizeof(below));
}

void mem_wipe_traces(void)
{
	wipe_registers();
	wipe_stack();
}
