/* Starts that fail for what is not the function's doing: what is avoided for how long. Three sizes of it, each as small
 * as is known to be at fault, so that one that cannot start stops nobody else:
 *
 *   the device        it was refused (Device.Unavailable): no new slice of it, for any function
 *   the node, for one function      nothing else has failed there: it may lack a runtime, or room for this package
 *   the node, for all               starts of different functions have failed there, and none has worked since
 *
 * Each is tried again after a second, and after twice as long when that fails, up to a minute. Who waits is put on
 * another node meanwhile (queue.c). Owns these words of a node and of a function; nothing here can fail. */
#include "gate/node.h"

#include "base/map.h"
#include "base/mem.h"
#include "gate/fn.h"
#include "gate/queue.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>

#define FIRST_MS   1000
#define MOST_MS    60000
#define AILING_MAX 64 /* devices; as many as are taken of a node */

struct node_ailing {
	char *id, *why; /* of the device */
	unsigned failures;
	uint64_t until_us; /* 0: it may be tried */
};

static uint64_t wait_ms(unsigned failures)
{
	return MIN((uint64_t)FIRST_MS << MIN(failures, 6u), (uint64_t)MOST_MS);
}

/* ---- of a device ---- */

static struct node_ailing *ailing_find(const struct node *n, struct str device)
{
	for (size_t i = 0; i < n->n_ailing; i++)
		if (str_eqz(device, n->ailing[i].id))
			return &n->ailing[i];
	return NULL;
}

static void ailing_drop(struct node *n, struct node_ailing *a)
{
	free(a->id);
	free(a->why);
	*a = n->ailing[--n->n_ailing];
}

/* One of a device that did not fail now goes when there are too many: their list is as short as that of devices. */
static struct node_ailing *ailing_get(struct node *n, struct str device)
{
	struct node_ailing *a = ailing_find(n, device);

	if (a)
		return a;
	if (!n->ailing)
		n->ailing = xnew_n(struct node_ailing, AILING_MAX);
	if (n->n_ailing == AILING_MAX)
		ailing_drop(n, &n->ailing[0]);
	a = &n->ailing[n->n_ailing++];
	*a = (struct node_ailing){.id = str_dup(device)};
	return a;
}

void node_ailing_show(struct node *n)
{
	for (size_t i = 0; i < n->place.n_devices; i++) {
		struct slice_book *b = &n->place.devices[i];
		const struct node_ailing *a = ailing_find(n, b->device->id);

		b->failing = a && a->until_us ? str_from(a->why) : STR_NULL;
	}
}

static void ailing_set_timer(struct node *n)
{
	uint64_t first = UINT64_MAX, now = clock_mono_us();

	for (size_t i = 0; i < n->n_ailing; i++)
		if (n->ailing[i].until_us)
			first = MIN(first, n->ailing[i].until_us);
	if (first != UINT64_MAX)
		timer_set(n->ailing_timer, first > now ? (first - now + 999) / 1000 : 1);
}

void node_ailing_over(void *arg)
{
	struct node *n = arg;
	uint64_t now = clock_mono_us();

	for (size_t i = 0; i < n->n_ailing; i++)
		if (n->ailing[i].until_us <= now)
			n->ailing[i].until_us = 0;
	ailing_set_timer(n);
	node_ailing_show(n);
	node_refresh(n);
	queue_pump_all(n->g);
}

static void device_failed(struct node *n, struct str device, struct str error)
{
	struct node_ailing *a = ailing_get(n, device);
	uint64_t ms = wait_ms(a->failures);

	free(a->why);
	a->why = xasprintf("a worker could not have a slice of it: %.*s", (int)MIN(error.n, (size_t)256), error.p);
	a->failures++;
	a->until_us = clock_mono_us() + ms * 1000;
	log_warn("node %s: device %s gives no slice for %llu ms: %s", n->name, a->id, (unsigned long long)ms, a->why);
}

/* ---- of a node ---- */

static bool is_avoided_by_any(const struct fn *fn)
{
	for (size_t i = 0; i < fn->avoid.n; i++)
		if (fn->avoid.w[i])
			return true;
	return false;
}

uint64_t fn_avoids_us(const struct fn *fn)
{
	uint64_t now = fn->avoid_until_us ? clock_mono_us() : 0;

	return fn->avoid_until_us > now ? fn->avoid_until_us - now : 0;
}

static void node_failed_all(struct node *n, const struct fn *fn, struct str error)
{
	uint64_t by = siphash13(n->nodes->seed, fn->def.name.p, fn->def.name.n), ms = wait_ms(n->failures);
	bool others = n->failed_by && n->failed_by != by;

	n->failed_by = by;
	free(n->failing_why);
	n->failing_why = str_dup(str_sub(error, 0, 256));
	if (!others)
		return;
	n->failures++;
	n->failing = true;
	timer_set(n->failing_timer, ms);
	log_warn("node %s gets nothing new for %llu ms: starts fail there: %s", n->name, (unsigned long long)ms,
		 n->failing_why);
}

static bool is_one_of(struct str type, const char *const *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(type, types[i]))
			return true;
	return false;
}

bool node_failed(struct worker *w, struct str type, struct str error)
{
	/* Of the local node only its devices: what else fails there is seldom better a moment later, and the function
	 * that cannot start is backed off (crash.c). */
	static const char *const remote[] = {"Sandbox.StartFailed", "Runtime.Unavailable", "Runtime.CodeMissing"};
	struct node *n = w->node;
	struct fn *fn = w->fn;
	uint64_t ms;

	if (!n)
		return false;
	if (w->n_leases && str_eqz(type, "Device.Unavailable")) {
		for (size_t i = 0; i < w->n_leases; i++)
			device_failed(n, w->leases[i].device, error);
		ailing_set_timer(n);
		node_ailing_show(n);
		node_refresh(n);
		return true;
	}
	if (!n->link || !is_one_of(type, remote, ARRAY_SIZE(remote)))
		return false;
	bits_set(&fn->avoid, n->number);
	bits_clear(&fn->code_on, n->number);
	ms = wait_ms(fn->avoided);
	fn->avoid_until_us = clock_mono_us() + ms * 1000;
	fn->avoided++;
	log_warn("node %s gets no worker of %.*s for %llu ms: %.*s", n->name, STR_ARG(fn->def.name),
		 (unsigned long long)ms, (int)MIN(error.n, (size_t)256), error.p);
	node_failed_all(n, fn, error);
	node_refresh(n);
	return true;
}

void node_try_again(void *arg)
{
	struct node *n = arg;

	n->failing = false;
	node_refresh(n);
	queue_pump_all(n->g);
}

void node_worked(struct worker *w)
{
	struct node *n = w->node;
	struct node_ailing *a;

	if (!n)
		return;
	for (size_t i = 0; i < w->n_leases; i++)
		if ((a = ailing_find(n, w->leases[i].device)))
			ailing_drop(n, a);
	bits_clear(&w->fn->avoid, n->number);
	if (!is_avoided_by_any(w->fn))
		w->fn->avoided = 0;
	n->failures = 0;
	n->failed_by = 0;
	node_ailing_show(n);
	if (!n->failing)
		return;
	timer_stop(n->failing_timer);
	node_try_again(n);
}

void node_fail_done(struct node *n)
{
	while (n->n_ailing)
		ailing_drop(n, &n->ailing[0]);
	free(n->ailing);
	free(n->failing_why);
	timer_free(n->ailing_timer);
	timer_free(n->failing_timer);
}
