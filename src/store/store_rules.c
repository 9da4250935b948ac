/* What both backends share and no database knows: copies into arenas, conditions of a PUT, pages of keys with a
 * delimiter, the days of a bill. Pure: nothing here keeps state or can fail but by its arguments. */
#include "base/mem.h"
#include "store/store_ops.h"

void copy_kvs(struct arena *a, struct kv **ret, const struct kv *kv, size_t n)
{
	*ret = n ? arena_new_n(a, struct kv, n) : NULL;
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = (struct kv){.k = arena_str(a, kv[i].k), .v = arena_str(a, kv[i].v)};
}

struct bucket copy_bucket(struct arena *a, const struct bucket *b)
{
	return (struct bucket){.name = arena_str(a, b->name),
			       .created_ms = b->created_ms,
			       .notification = arena_str(a, b->notification),
			       .policy = arena_str(a, b->policy),
			       .cors = arena_str(a, b->cors),
			       .tagging = arena_str(a, b->tagging)};
}

struct object copy_object(struct arena *a, const struct object *o)
{
	struct object c = *o;

	c.bucket = arena_str(a, o->bucket);
	c.key = arena_str(a, o->key);
	c.etag = arena_str(a, o->etag);
	c.content_type = arena_str(a, o->content_type);
	copy_kvs(a, &c.headers, o->headers, o->n_headers);
	copy_kvs(a, &c.tags, o->tags, o->n_tags);
	c.extents = o->n_extents ? arena_new_n(a, struct extent, o->n_extents) : NULL;
	for (size_t i = 0; i < o->n_extents; i++)
		c.extents[i] = (struct extent){.blob = arena_str(a, o->extents[i].blob), .size = o->extents[i].size};
	return c;
}

struct upload copy_upload(struct arena *a, const struct upload *u)
{
	return (struct upload){
		.id = arena_str(a, u->id), .object = copy_object(a, &u->object), .created_ms = u->created_ms};
}

struct upload_part copy_part(struct arena *a, const struct upload_part *p)
{
	struct upload_part c = *p;

	c.etag = arena_str(a, p->etag);
	c.checksum = arena_str(a, p->checksum);
	c.blob = arena_str(a, p->blob);
	return c;
}

struct record copy_record(struct arena *a, const struct record *r)
{
	struct record c = *r;

	c.function = arena_str(a, r->function);
	c.key = arena_str(a, r->key);
	c.doc = arena_str(a, r->doc);
	c.revision = arena_str(a, r->revision);
	c.version = arena_str(a, r->version);
	c.other = arena_str(a, r->other);
	return c;
}

struct event copy_event(struct arena *a, const struct event *e)
{
	struct event c = *e;

	c.id = arena_str(a, e->id);
	c.function = arena_str(a, e->function);
	c.payload = arena_str(a, e->payload);
	c.trace = arena_str(a, e->trace);
	c.source = arena_str(a, e->source);
	c.reason = arena_str(a, e->reason);
	return c;
}

struct usage copy_usage(struct arena *a, const struct usage *u)
{
	struct usage c = *u;

	c.request_id = arena_str(a, u->request_id);
	c.function = arena_str(a, u->function);
	c.version = arena_str(a, u->version);
	c.device = arena_str(a, u->device);
	c.rung = arena_str(a, u->rung);
	return c;
}

bool record_stands_alone(enum record_kind kind)
{
	return kind == RECORD_NODE || kind == RECORD_NODE_TOKEN;
}

int64_t version_number(struct str version)
{
	int64_t n;

	return str_to_i64(version, &n) ? n : 0;
}

bool page_add(struct arena *a, struct str **page, size_t *n, uint32_t max, bool *truncated, struct str one)
{
	if (*n == max) {
		*truncated = max > 0;
		return false;
	}
	*page = arena_grow(a, *page, *n, sizeof(**page));
	(*page)[(*n)++] = arena_str(a, one);
	return true;
}

int condition_check(const struct object_condition *c, const struct str *etag)
{
	if (c->if_match.n) {
		if (!etag)
			return STORE_E_NO_OBJECT;
		if (!str_eqz(c->if_match, "*") && !str_eq(c->if_match, *etag))
			return STORE_E_PRECONDITION;
	}
	if (c->if_none_match.n && etag && (str_eqz(c->if_none_match, "*") || str_eq(c->if_none_match, *etag)))
		return STORE_E_PRECONDITION;
	return 0;
}

bool holds_blob(const struct object *o, struct str blob)
{
	for (size_t i = 0; i < o->n_extents; i++)
		if (str_eq(o->extents[i].blob, blob))
			return true;
	return false;
}

struct str storage_class(const struct object *o)
{
	for (size_t i = 0; i < o->n_headers; i++)
		if (str_eqz(o->headers[i].k, "x-amz-storage-class"))
			return o->headers[i].v;
	return STR_NULL;
}

void *arena_grow(struct arena *a, void *p, size_t n, size_t size)
{
	void *q;

	/* Room is exhausted at 0 and at every power of two from 16 on. */
	if (n && (n < 16 || (n & (n - 1))))
		return p;
	q = arena_alloc(a, (n ? n * 2 : 16) * size);
	if (n)
		memcpy(q, p, n * size);
	return q;
}

/* The least string greater than every one that starts with s; false when there is none. */
static bool upper_bound(struct arena *a, struct str s, struct str *ret)
{
	char *p;

	while (s.n && (uint8_t)s.p[s.n - 1] == 0xff)
		s.n--;
	if (!s.n)
		return false;
	p = arena_dup(a, s);
	p[s.n - 1]++;
	*ret = str_n(p, s.n);
	return true;
}

/* The least string greater than s. */
static struct str successor(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return str_n(p, s.n + 1);
}

struct key_query {
	struct str prefix, delimiter, after, after_id;
	uint32_t max;
};

struct key_page {
	struct str *prefixes;
	size_t n_prefixes;
	bool truncated;
	struct str next, next_id;
};

static int list_start(struct key_cursor *c, struct arena *a, const struct key_query *q)
{
	if (str_cmp(q->after, q->prefix) < 0 || !q->after.n)
		return c->seek(c, q->prefix, STR_NULL);
	if (q->after_id.n)
		return c->seek(c, q->after, successor(a, q->after_id));
	return c->seek(c, successor(a, q->after), STR_NULL);
}

/* The common prefix that key is folded into; n == 0: none. */
static struct str fold(const struct key_query *q, struct str key)
{
	ssize_t at;

	if (!q->delimiter.n)
		return STR_NULL;
	at = str_find(str_sub(key, q->prefix.n, key.n), q->delimiter);
	return at < 0 ? STR_NULL : str_n(key.p, q->prefix.n + (size_t)at + q->delimiter.n);
}

static int list_keys(struct key_cursor *c, struct arena *a, const struct key_query *q, struct key_page *ret)
{
	uint32_t count = 0;
	int r;

	*ret = (struct key_page){0};
	if (!q->max)
		return 0;
	r = list_start(c, a, q);
	if (r < 0)
		return r;
	while ((r = c->next(c)) > 0 && str_starts(c->key, q->prefix)) {
		struct str common = fold(q, c->key), bound;

		if (common.n && q->after.n && str_cmp(common, q->after) <= 0) {
			/* Told on the page before. */
		} else if (count == q->max) {
			ret->truncated = true;
			return 0;
		} else if (common.n) {
			ret->prefixes = arena_grow(a, ret->prefixes, ret->n_prefixes, sizeof(*ret->prefixes));
			ret->next = ret->prefixes[ret->n_prefixes++] = arena_str(a, common);
			ret->next_id = STR_NULL;
			count++;
		} else {
			c->take(c);
			ret->next = arena_str(a, c->key);
			ret->next_id = arena_str(a, c->id);
			count++;
		}
		if (!common.n)
			continue;
		if (!upper_bound(a, common, &bound))
			return 0;
		r = c->seek(c, bound, STR_NULL);
		if (r < 0)
			return r;
	}
	return MIN(r, 0);
}

int list_objects(struct key_cursor *c, struct arena *a, const struct object_list_query *q, struct object_list *ret)
{
	struct key_query kq = {.prefix = q->prefix, .delimiter = q->delimiter, .after = q->after, .max = q->max};
	struct key_page page;
	int r = list_keys(c, a, &kq, &page);

	ret->prefixes = page.prefixes;
	ret->n_prefixes = page.n_prefixes;
	ret->truncated = page.truncated;
	ret->next = page.next;
	return r;
}

int list_uploads(struct key_cursor *c, struct arena *a, const struct upload_list_query *q, struct upload_list *ret)
{
	struct key_query kq = {.prefix = q->prefix,
			       .delimiter = q->delimiter,
			       .after = q->key_marker,
			       .after_id = q->id_marker,
			       .max = q->max};
	struct key_page page;
	int r = list_keys(c, a, &kq, &page);

	ret->prefixes = page.prefixes;
	ret->n_prefixes = page.n_prefixes;
	ret->truncated = page.truncated;
	ret->next_key = page.next;
	ret->next_id = page.next_id;
	return r;
}

int64_t usage_day(int64_t ms)
{
	return ms / DAY_MS - (ms % DAY_MS < 0);
}

struct usage_span usage_span(int64_t from_ms, int64_t to_ms)
{
	int64_t first = usage_day(from_ms) + (from_ms % DAY_MS != 0), last = usage_day(to_ms);

	if (from_ms >= to_ms)
		return (struct usage_span){0};
	if (first >= last)
		return (struct usage_span){.head_from = from_ms, .head_to = to_ms};
	return (struct usage_span){.first_day = first,
				   .last_day = last,
				   .head_from = from_ms,
				   .head_to = first * DAY_MS,
				   .tail_from = last * DAY_MS,
				   .tail_to = to_ms};
}

struct usage_sum usage_one(const struct usage *u)
{
	return (struct usage_sum){.function = u->function,
				  .device = u->device,
				  .invocations = 1,
				  .errors = u->status != USAGE_OK,
				  .billed_ms = u->billed_ms,
				  .mb_ms = u->billed_ms * u->memory_mb,
				  .device_slice_ms = u->device_slice_ms,
				  .cost_picousd = u->cost_picousd};
}

void usage_sums_add(struct usage_sums *s, const struct usage_sum *one)
{
	/* No name of a function has a NUL in it. */
	size_t n = one->function.n + 1 + one->device.n;
	char *key = arena_alloc(s->arena, n);
	struct usage_sum *u;

	if (one->function.n)
		memcpy(key, one->function.p, one->function.n);
	if (one->device.n)
		memcpy(key + one->function.n + 1, one->device.p, one->device.n);
	u = map_get(&s->by_name, str_n(key, n));
	if (!u) {
		u = arena_new(s->arena, struct usage_sum);
		u->function = arena_str(s->arena, one->function);
		u->device = arena_str(s->arena, one->device);
		map_put(&s->by_name, str_n(key, n), u);
	}
	u->invocations += one->invocations;
	u->errors += one->errors;
	u->billed_ms += one->billed_ms;
	u->mb_ms += one->mb_ms;
	u->device_slice_ms += one->device_slice_ms;
	u->cost_picousd += one->cost_picousd;
}

static int by_function(const void *a, const void *b)
{
	const struct usage_sum *x = a, *y = b;
	int c = str_cmp(x->function, y->function);

	return c ? c : str_cmp(x->device, y->device);
}

void usage_sums_done(struct usage_sums *s, struct usage_sum **ret, size_t *n)
{
	struct str key;
	void *v;

	*n = 0;
	*ret = s->by_name.n ? arena_new_n(s->arena, struct usage_sum, s->by_name.n) : NULL;
	for (size_t i = 0; map_next(&s->by_name, &i, &key, &v);)
		(*ret)[(*n)++] = *(struct usage_sum *)v;
	if (*n)
		qsort(*ret, *n, sizeof(**ret), by_function);
	map_done(&s->by_name);
}

bool event_is_of(const struct event *e, struct str function)
{
	return str_starts(e->function, function) && (e->function.n == function.n || e->function.p[function.n] == ':');
}
