/* The plan's memory: everything lives in its arena and goes at once. Cannot fail. */
#include "cli/plan.h"

#include "base/buf.h"

void plan_done(struct plan *p)
{
	arena_done(&p->arena);
	*p = (struct plan){0};
}

void *plan_grow(struct arena *a, void **array, size_t *n, size_t size)
{
	char *more = arena_alloc(a, (*n + 1) * size);

	if (*n > 0)
		memcpy(more, *array, *n * size);
	*array = more;
	return more + (*n)++ * size;
}

void plan_public_url(struct plan *p, const struct plan_function *f)
{
	*plan_add(p, permissions) = (struct plan_permission){
		.function = f->name,
		.qualifier = f->alias,
		.statement_id = STR("FunctionURLAllowPublicAccess"),
		.action = STR("lambda:InvokeFunctionUrl"),
		.principal = STR("*"),
		.url_auth = STR("NONE"),
	};
}

void plan_note(struct plan *p, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < p->n_notes; i++)
		if (str_eq(p->notes[i], buf_str(&b)))
			return;
	*plan_add(p, notes) = arena_str(&p->arena, buf_str(&b));
}
