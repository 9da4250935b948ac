/* Provisioned concurrency. Owns the list of what is configured, read from the store at the start and after each change,
 * and for each a reference to the version it is for: so a restart of the gate or of the node, an eviction or a crash
 * only means that workers are missing, and queue.c starts what is missing whenever it looks (place.h: provisioned). An
 * alias is provisioned for its main version. */
#include "gate/provision.h"

#include "base/mem.h"
#include "gate/crash.h"
#include "gate/queue.h"
#include "gate/records.h"

struct kept {
	struct kept *next;
	char *name, *qualifier;
	unsigned n;
	struct fn *fn; /* a reference; NULL: the version is not there */
};

struct provision {
	struct gate *g;
	struct kept *list;
};

static struct fn *resolve(struct gate *g, struct str name, struct str qualifier)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct alias al;

	if (qualifier.n && qualifier.p[0] >= '0' && qualifier.p[0] <= '9')
		return fn_get(g, name, qualifier);
	return record_alias(g, &a, name, qualifier, &al) ? fn_get(g, name, al.version) : NULL;
}

static void add(void *arg, struct str name, struct str qualifier, unsigned n)
{
	struct provision *p = arg;
	struct kept *k = xnew(struct kept);

	k->name = str_dup(name);
	k->qualifier = str_dup(qualifier);
	k->n = n;
	k->next = p->list;
	p->list = k;
}

/* After the list was read: it is read from the store, which cannot be asked for versions meanwhile. */
static void hold(struct provision *p)
{
	for (struct kept *k = p->list; k; k = k->next) {
		struct fn *fn = k->fn ? NULL : resolve(p->g, str_from(k->name), str_from(k->qualifier));

		if (!fn)
			continue;
		k->fn = fn_ref(fn);
		fn_set_provisioned(fn, fn->provisioned + k->n);
		queue_pump(fn);
	}
}

static void drop(struct kept *k)
{
	if (k->fn && !k->fn->stale)
		fn_set_provisioned(k->fn, k->fn->provisioned - k->n);
	fn_unref(k->fn);
	free(k->name);
	free(k->qualifier);
	free(k);
}

static void forget(struct provision *p, struct str name)
{
	for (struct kept **at = &p->list; *at;) {
		struct kept *k = *at;

		if (name.n && !str_eqz(name, k->name)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		drop(k);
	}
}

struct provision *provision_new(struct gate *g)
{
	struct provision *p = xnew(struct provision);

	p->g = g;
	record_each_provisioned(g, STR_NULL, add, p);
	hold(p);
	return p;
}

struct provision *provision_free(struct provision *p)
{
	if (!p)
		return NULL;
	forget(p, STR_NULL);
	free(p);
	return NULL;
}

void provision_changed(struct gate *g, struct str name)
{
	forget(g->provision, name);
	record_each_provisioned(g, name, add, g->provision);
	hold(g->provision);
}

void provision_status(struct gate *g, struct str name, struct str qualifier, unsigned *requested, unsigned *allocated,
		      unsigned *available, const char **status)
{
	const struct kept *k = g->provision->list;
	const struct fn *fn;

	*requested = *allocated = *available = 0;
	*status = "IN_PROGRESS";
	while (k && (!str_eqz(name, k->name) || !str_eqz(qualifier, k->qualifier)))
		k = k->next;
	if (!k)
		return;
	fn = k->fn;
	*requested = k->n;
	if (!fn) {
		*status = "FAILED";
		return;
	}
	*allocated = MIN(k->n, fn->live);
	*available = MIN(k->n, fn->live - fn->starting);
	if (*available == k->n)
		*status = "READY";
	else if (fn->crash && fn->crash->n > 1)
		*status = "FAILED";
}
