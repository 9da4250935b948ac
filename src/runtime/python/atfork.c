/* A zygote forks by a raw clone, so libc runs none of the handlers that libraries registered by pthread_atfork: locks,
 * random generators and thread pools of theirs would not notice. pthread_atfork is a few bytes in every library that
 * uses it and calls __register_atfork; the program's own definition comes before libc's, keeps a copy of each
 * handler and passes it on, so that a plain fork() goes on as ever.
 *
 * Owns the list; it only grows. Handlers of a library that has been unloaded since are left out: their address
 * belongs to nothing, or to something else, by then. */
#include "runtime/python/atfork.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <errno.h>

typedef void (*handler_f)(void);
typedef int (*register_f)(handler_f prepare, handler_f parent, handler_f child, void *dso);

static struct handlers {
	struct handler {
		handler_f prepare, parent, child;
		const void *base; /* where its library was loaded */
	} * at;
	size_t n, cap;
} list;

static const void *library_of(handler_f f)
{
	Dl_info info;

	return f && dladdr(__extension__(void *) f, &info) ? info.dli_fbase : NULL;
}

static handler_f any_of(const struct handler *h)
{
	if (h->prepare)
		return h->prepare;
	return h->parent ? h->parent : h->child;
}

static bool is_loaded(const struct handler *h)
{
	return library_of(any_of(h)) == h->base;
}

int __register_atfork(handler_f prepare, handler_f parent, handler_f child, void *dso);

int __register_atfork(handler_f prepare, handler_f parent, handler_f child, void *dso)
{
	register_f next = __extension__(register_f) dlsym(RTLD_NEXT, "__register_atfork");
	struct handler h = {.prepare = prepare, .parent = parent, .child = child};
	int r = next ? next(prepare, parent, child, dso) : ENOSYS;

	if (r != 0)
		return r;
	h.base = library_of(any_of(&h));
	if (list.n == list.cap) {
		list.cap = list.cap ? 2 * list.cap : 16;
		list.at = xrealloc(list.at, list.cap * sizeof(*list.at));
	}
	list.at[list.n++] = h;
	return 0;
}

/* The last registered prepares first; the others go on in the order of registration. */
void atfork_prepare(void)
{
	for (size_t i = list.n; i-- > 0;)
		if (list.at[i].prepare && is_loaded(&list.at[i]))
			list.at[i].prepare();
}

void atfork_parent(void)
{
	for (size_t i = 0; i < list.n; i++)
		if (list.at[i].parent && is_loaded(&list.at[i]))
			list.at[i].parent();
}

void atfork_child(void)
{
	for (size_t i = 0; i < list.n; i++)
		if (list.at[i].child && is_loaded(&list.at[i]))
			list.at[i].child();
}
