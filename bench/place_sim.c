/* How fast and how tightly workers are placed: simulated nodes with GPUs, demand for shares with and without wishes for
 * memory, arrivals and departures.
 *   place_sim [NODES] [DEVICES] [ARRIVALS] [LOAD%] [ROLES] [MEMORY%]      10000 1 4000000 110 1 30
 * DEVICES: of each node. LOAD: slots asked for at a time, of the slots there are. ROLES: of so many functions devices
 * are not shared between. MEMORY: so many of hundred wishes name their memory, a quarter of their share up to twice it.
 *
 * Prints the time of a placement (search and booking) and of a departure, and the slots in use against a bound on what
 * any planner could reach that knows all who are there or were refused and would still be: the slots there are, the
 * slots asked for, and those of the least memory a slot until the memory is full (in parts, so never below the
 * optimum). Then the same for one batch that asks for just what there is: in order of arrival, and the largest first.
 */
#include "base/mem.h"
#include "gate/place_index.h"
#include "sys/clock.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define KINDS_OF_CARD 3

struct job {
	double end;
	uint64_t memory_mb; /* of the device: asked for or its share of the average card; for the bound */
	uint32_t slots;
	size_t node; /* SIZE_MAX: refused */
	uint64_t worker_mb, asked_mb;
	bool labelled;
	struct slice_lease lease;
};

struct heap {
	struct job *jobs;
	size_t n, cap;
};

struct sim {
	size_t n_nodes, n_devices;
	unsigned roles, memory_percent;
	uint64_t random;
	struct place_index *ix;
	struct place_node *nodes;
	struct slice_book *books;
	uint64_t all_mb;
};

static struct device cards[KINDS_OF_CARD] = {
	{.id = STR("c"), .kind = STR("gpu"), .model = STR("24"), .memory_mb = 24564, .mps = true},
	{.id = STR("c"), .kind = STR("gpu"), .model = STR("80"), .memory_mb = 81559, .mps = true},
	{.id = STR("c"), .kind = STR("gpu"), .model = STR("141"), .memory_mb = 143771, .mps = true},
};
static struct str label = STR("edge");

static uint64_t draw(struct sim *s, uint64_t n)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (s->random >> 11) % n;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Devices need an id of their own on their node, so that a lease is given back to the right one. */
static struct device *device_new(struct sim *s, size_t node, size_t i)
{
	struct device *d = xmemdup(&cards[node % KINDS_OF_CARD], sizeof(*d));

	d->id = str_from(xasprintf("%zu-%zu", node, i));
	s->all_mb += d->memory_mb;
	return d;
}

static void open_nodes(struct sim *s)
{
	static const uint64_t rtt_us[] = {300, 5000, 30000, 120000};

	s->ix = place_index_new();
	s->nodes = xnew_n(struct place_node, s->n_nodes);
	s->books = xnew_n(struct slice_book, s->n_nodes * s->n_devices);
	s->all_mb = 0;
	for (size_t i = 0; i < s->n_nodes; i++) {
		struct place_node *n = &s->nodes[i];

		*n = (struct place_node){.up = true, .devices = &s->books[i * s->n_devices], .n_devices = s->n_devices};
		for (size_t k = 0; k < s->n_devices; k++)
			slice_book_init(&n->devices[k], device_new(s, i, k), false);
		n->memory_mb = n->memory_free_mb = 65536 * s->n_devices;
		n->rtt_us = rtt_us[draw(s, 4)];
		n->cost_hour = draw(s, 10) < 6 ? 0 : (1 + draw(s, 3)) * 1000000000000u;
		n->labels = &label;
		n->n_labels = draw(s, 10) < 3;
		place_index_update(s->ix, i, n);
	}
}

static void close_nodes(struct sim *s)
{
	place_index_free(s->ix);
	for (size_t i = 0; i < s->n_nodes * s->n_devices; i++) {
		free((char *)s->books[i].device->id.p);
		free((struct device *)s->books[i].device);
	}
	free(s->nodes);
	free(s->books);
}

static struct slice_wish wish_of(const struct job *j)
{
	struct slice_wish w = {.kinds = {STR("gpu")}, .n_kinds = 1, .sliced = true, .slots = j->slots};

	w.memory_mb = j->asked_mb;
	if (j->labelled)
		w.labels[w.n_labels++] = label;
	return w;
}

/* 1/8 40%, 2/8 25%, 4/8 20%, 8/8 15% */
static struct job draw_job(struct sim *s)
{
	uint64_t p = draw(s, 100), card_mb = s->all_mb / (s->n_nodes * s->n_devices);
	struct job j = {.node = SIZE_MAX, .slots = p < 40 ? 1 : p < 65 ? 2 : p < 85 ? 4 : 8};

	if (draw(s, 100) < s->memory_percent)
		j.asked_mb = MIN(card_mb * j.slots * (25 + draw(s, 176)) / 800, cards[KINDS_OF_CARD - 1].memory_mb);
	j.memory_mb = j.asked_mb; /* a share asks for what goes with its slots: no more of memory than of slots */
	j.labelled = draw(s, 100) < 5;
	j.worker_mb = 256 + draw(s, 3840);
	return j;
}

static bool place(struct sim *s, struct job *j)
{
	struct slice_wish w = wish_of(j);
	struct place_wish pw = {.device = &w, .role = 1 + draw(s, s->roles), .memory_mb = j->worker_mb};
	struct place_choice c;

	if (!place_index_find(s->ix, &pw, &c))
		return false;
	s->nodes[c.node].memory_free_mb -= j->worker_mb;
	place_index_take(s->ix, &pw, &c, &j->lease);
	j->node = c.node;
	j->memory_mb = j->lease.memory_mb;
	return true;
}

static void give_back(struct sim *s, const struct job *j)
{
	s->nodes[j->node].memory_free_mb += j->worker_mb;
	if (!place_index_give_back(s->ix, j->node, &j->lease)) {
		fprintf(stderr, "a lease was not there\n");
		exit(1);
	}
}

/* ---- jobs by their end ---- */

static void heap_push(struct heap *h, const struct job *j)
{
	size_t i = h->n++;

	if (h->n > h->cap) {
		h->cap = MAX(2 * h->cap, (size_t)1024);
		h->jobs = xrealloc(h->jobs, h->cap * sizeof(*h->jobs));
	}
	for (; i && h->jobs[(i - 1) / 2].end > j->end; i = (i - 1) / 2)
		h->jobs[i] = h->jobs[(i - 1) / 2];
	h->jobs[i] = *j;
}

static struct job heap_pop(struct heap *h)
{
	struct job first = h->jobs[0], last = h->jobs[--h->n];
	size_t i = 0;

	for (size_t k; (k = 2 * i + 1) < h->n; i = k) {
		if (k + 1 < h->n && h->jobs[k + 1].end < h->jobs[k].end)
			k++;
		if (h->jobs[k].end >= last.end)
			break;
		h->jobs[i] = h->jobs[k];
	}
	h->jobs[i] = last;
	return first;
}

/* ---- the bound ---- */

static int by_memory_of_a_slot(const void *a, const void *b)
{
	const struct job *x = a, *y = b;
	uint64_t l = x->memory_mb * y->slots, r = y->memory_mb * x->slots;

	return l < r ? -1 : l > r;
}

static uint64_t slots_of(const struct heap *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += h->jobs[i].slots;
	return n;
}

/* No planner places more slots than this. */
static double bound(const struct sim *s, const struct heap *in, const struct heap *refused)
{
	size_t n = in->n + refused->n;
	struct job *all = xnew_n(struct job, n + 1);
	double slots = 0, mb = 0;

	if (in->n)
		memcpy(all, in->jobs, in->n * sizeof(*all));
	if (refused->n)
		memcpy(all + in->n, refused->jobs, refused->n * sizeof(*all));
	qsort(all, n, sizeof(*all), by_memory_of_a_slot);
	for (size_t i = 0; i < n; i++) {
		double left = (double)s->all_mb - mb, part = 1;

		if (all[i].memory_mb > left)
			part = left / (double)all[i].memory_mb;
		slots += part * all[i].slots;
		mb += part * (double)all[i].memory_mb;
		if (part < 1)
			break;
	}
	free(all);
	return MIN(slots, (double)(s->n_nodes * s->n_devices * DEVICE_SLOTS));
}

/* ---- runs ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(const char *what, uint32_t *ns, size_t n)
{
	if (!n)
		return;
	qsort(ns, n, sizeof(*ns), by_value);
	printf("%-22s %9zu   us: p50 %.2f  p99 %.2f  p99.9 %.2f  max %.1f\n", what, n, ns[n / 2] / 1e3,
	       ns[n - 1 - n / 100] / 1e3, ns[n - 1 - n / 1000] / 1e3, ns[n - 1] / 1e3);
}

/* With full knowledge: the largest first, onto empty nodes. The slots that found a place. */
static int by_size(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	if (x->slots != y->slots)
		return x->slots > y->slots ? -1 : 1;
	return x->asked_mb > y->asked_mb ? -1 : x->asked_mb < y->asked_mb;
}

static uint64_t plan(struct sim *s, struct job *jobs, size_t n, bool largest_first)
{
	uint64_t slots = 0;

	open_nodes(s);
	if (largest_first)
		qsort(jobs, n, sizeof(*jobs), by_size);
	for (size_t i = 0; i < n; i++)
		slots += place(s, &jobs[i]) ? jobs[i].slots : 0;
	close_nodes(s);
	return slots;
}

static void print_part(const char *what, uint64_t slots, double of, const char *of_what)
{
	printf("%-22s %.2f%% of %s\n", what, 100 * (double)slots / of, of_what);
}

struct times {
	uint32_t *placed, *refused, *gone; /* ns */
	size_t n_placed, n_refused, n_gone;
};

static void arrive(struct sim *s, double t, double mean, struct heap *in, struct heap *refused, struct times *ns)
{
	struct job j = draw_job(s);
	uint64_t start;

	j.end = t - mean * log((double)(1 + draw(s, 1u << 30)) / (1u << 30));
	start = now_ns();
	if (place(s, &j)) {
		ns->placed[ns->n_placed++] = (uint32_t)(now_ns() - start);
		heap_push(in, &j);
	} else {
		ns->refused[ns->n_refused++] = (uint32_t)(now_ns() - start);
		heap_push(refused, &j);
	}
}

static void depart(struct sim *s, double t, struct heap *in, struct heap *refused, struct times *ns)
{
	while (in->n && in->jobs[0].end <= t) {
		struct job j = heap_pop(in);
		uint64_t start = now_ns();

		give_back(s, &j);
		ns->gone[ns->n_gone++] = (uint32_t)(now_ns() - start);
	}
	while (refused->n && refused->jobs[0].end <= t)
		heap_pop(refused);
}

static void steady(struct sim *s, size_t arrivals, double load)
{
	double mean = load * (double)(s->n_nodes * s->n_devices * DEVICE_SLOTS) / 2.9, worst = 1, sum = 0;
	struct times ns = {xnew_n(uint32_t, arrivals), xnew_n(uint32_t, arrivals), xnew_n(uint32_t, arrivals), 0, 0, 0};
	struct heap in = {0}, refused = {0};
	size_t samples = 0;
	uint64_t slots;

	open_nodes(s);
	for (size_t t = 0; t < arrivals; t++) {
		depart(s, (double)t, &in, &refused, &ns);
		arrive(s, (double)t, mean, &in, &refused, &ns);
		if (t > arrivals / 4 && t % (arrivals / 100 + 1) == 0) {
			double part = (double)slots_of(&in) / bound(s, &in, &refused);

			worst = MIN(worst, part);
			sum += part;
			samples++;
		}
	}
	close_nodes(s);
	print_times("placements", ns.placed, ns.n_placed);
	print_times("refusals", ns.refused, ns.n_refused);
	print_times("departures", ns.gone, ns.n_gone);
	slots = slots_of(&in);
	printf("%-22s of the bound: mean %.2f%%, least %.2f%% (%zu samples)\n", "slots in use",
	       100 * sum / (double)MAX(samples, (size_t)1), 100 * worst, samples);
	print_part("at the end", slots, (double)(s->n_nodes * s->n_devices * DEVICE_SLOTS), "all slots");
	for (size_t i = 0; i < refused.n; i++)
		heap_push(&in, &refused.jobs[i]);
	print_part("at the end", slots, (double)plan(s, in.jobs, in.n, true),
		   "the same planned anew, the largest first");
	free(ns.placed);
	free(ns.refused);
	free(ns.gone);
	free(in.jobs);
	free(refused.jobs);
}

static void batch(struct sim *s)
{
	size_t all = s->n_nodes * s->n_devices * DEVICE_SLOTS;
	struct heap asked = {0}, none = {0};
	uint64_t as_they_came, largest_first;
	double most;

	for (size_t slots = 0; slots < all; slots += asked.jobs[asked.n - 1].slots) {
		struct job j = draw_job(s);

		j.end = (double)asked.n; /* in this order they stay */
		heap_push(&asked, &j);
	}
	most = bound(s, &asked, &none);
	as_they_came = plan(s, asked.jobs, asked.n, false);
	for (size_t i = 0; i < asked.n; i++)
		asked.jobs[i].memory_mb = asked.jobs[i].asked_mb;
	largest_first = plan(s, asked.jobs, asked.n, true);
	print_part("batch, as they came", as_they_came, most, "the bound");
	print_part("batch, largest first", largest_first, most, "the bound");
	print_part("batch, as they came", as_they_came, (double)largest_first, "the same, the largest first");
	free(asked.jobs);
}

int main(int argc, char **argv)
{
	static const uint64_t defaults[] = {10000, 1, 4000000, 110, 1, 30};
	uint64_t v[ARRAY_SIZE(defaults)];
	struct sim s = {.random = 88172645463325252u};

	memcpy(v, defaults, sizeof(v));
	for (int i = 1; i < argc; i++) {
		if ((size_t)i > ARRAY_SIZE(v) || !str_to_u64(str_from(argv[i]), &v[i - 1])) {
			fprintf(stderr, "place_sim [NODES] [DEVICES] [ARRIVALS] [LOAD%%] [ROLES] [MEMORY%%]\n");
			return 2;
		}
	}
	s.n_nodes = MAX(v[0], 1u);
	s.n_devices = MAX(v[1], 1u);
	s.roles = (unsigned)MAX(v[4], 1u);
	s.memory_percent = (unsigned)v[5];
	printf("%zu nodes, %zu devices each, %zu slots; load %llu%%, %u roles, %u%% name their memory\n", s.n_nodes,
	       s.n_devices, s.n_nodes * s.n_devices * DEVICE_SLOTS, (unsigned long long)v[3], s.roles,
	       s.memory_percent);
	steady(&s, MAX(v[2], 1000u), (double)v[3] / 100);
	batch(&s);
	return 0;
}
