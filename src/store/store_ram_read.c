/* Reading the store in memory, and its table of operations. A reader takes the lock for one call and copies what it
 * found into the caller's arena. */
#include "base/mem.h"
#include "store/store_ram.h"

static int ram_get_bucket(struct store_reader *reader, struct arena *a, struct str name, struct bucket **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = ram_find(s, BUCKETS, name, STR(""));
	if (r) {
		*ret = arena_new(a, struct bucket);
		**ret = copy_bucket(a, &r->bucket);
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_NO_BUCKET;
}

static int ram_list_buckets(struct store_reader *reader, struct arena *a, struct bucket **ret, size_t *n)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[BUCKETS];

	pthread_rwlock_rdlock(&s->rows);
	*ret = t->n ? arena_new_n(a, struct bucket, t->n) : NULL;
	for (*n = 0; *n < t->n; (*n)++)
		(*ret)[*n] = copy_bucket(a, &t->rows[*n]->bucket);
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static int ram_get_object(struct store_reader *reader, struct arena *a, struct str bucket, struct str key,
			  struct object **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = ram_find(s, OBJECTS, bucket, key);
	if (r) {
		*ret = arena_new(a, struct object);
		**ret = copy_object(a, &r->object);
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_NO_OBJECT;
}

static void only_class(struct arena *a, struct object *o, const struct object *from)
{
	struct str class = storage_class(from);

	if (!class.n)
		return;
	o->headers = arena_new(a, struct kv);
	o->headers[0] = (struct kv){.k = STR("x-amz-storage-class"), .v = arena_str(a, class)};
	o->n_headers = 1;
}

/* Over rows of one bucket: objects by key, or uploads gathered and sorted by key and id. */
struct ram_cursor {
	struct key_cursor cursor;
	struct arena *arena;
	struct table_rows rows;
	struct str bucket;
	size_t i;
	struct object_list *objects; /* NULL: uploads */
	struct upload_list *uploads;
};

static const struct object *row_object(const struct ram_cursor *c, const struct row *r)
{
	return c->objects ? &r->object : &r->upload.object;
}

static int ram_seek(struct key_cursor *kc, struct str key, struct str id)
{
	struct ram_cursor *c = container_of(kc, struct ram_cursor, cursor);
	size_t low = 0, high = c->rows.n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct row *r = c->rows.rows[mid];
		const struct object *o = row_object(c, r);
		int order = str_cmp(o->bucket, c->bucket);

		if (order == 0)
			order = str_cmp(o->key, key);
		if (order == 0 && !c->objects)
			order = str_cmp(r->upload.id, id);
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	c->i = low;
	return 0;
}

static int ram_next(struct key_cursor *kc)
{
	struct ram_cursor *c = container_of(kc, struct ram_cursor, cursor);
	const struct row *r = ram_at(&c->rows, c->i);

	if (!r || !str_eq(row_object(c, r)->bucket, c->bucket))
		return 0;
	c->i++;
	kc->key = row_object(c, r)->key;
	kc->id = c->objects ? STR("") : r->upload.id;
	return 1;
}

static void ram_take(struct key_cursor *kc)
{
	struct ram_cursor *c = container_of(kc, struct ram_cursor, cursor);
	const struct row *r = c->rows.rows[c->i - 1];
	const struct object *from = row_object(c, r);
	struct object o = {.bucket = c->bucket, .key = arena_str(c->arena, from->key)};

	only_class(c->arena, &o, from);
	if (c->objects) {
		struct object_list *l = c->objects;

		o.size = from->size;
		o.modified_ms = from->modified_ms;
		o.etag = arena_str(c->arena, from->etag);
		l->objects = arena_grow(c->arena, l->objects, l->n_objects, sizeof(o));
		l->objects[l->n_objects++] = o;
	} else {
		struct upload_list *l = c->uploads;

		l->uploads = arena_grow(c->arena, l->uploads, l->n_uploads, sizeof(*l->uploads));
		l->uploads[l->n_uploads++] = (struct upload){
			.id = arena_str(c->arena, r->upload.id), .object = o, .created_ms = r->upload.created_ms};
	}
}

static int ram_list_objects(struct store_reader *reader, struct arena *a, const struct object_list_query *q,
			    struct object_list *ret)
{
	struct ram_store *s = ram_of(reader);
	struct ram_cursor c = {.cursor = {.seek = ram_seek, .next = ram_next, .take = ram_take},
			       .arena = a,
			       .bucket = arena_str(a, q->bucket),
			       .objects = ret};
	int r = STORE_E_NO_BUCKET;

	*ret = (struct object_list){0};
	pthread_rwlock_rdlock(&s->rows);
	c.rows = s->tables[OBJECTS];
	if (ram_find(s, BUCKETS, q->bucket, STR("")))
		r = list_objects(&c.cursor, a, q, ret);
	pthread_rwlock_unlock(&s->rows);
	return r;
}

static int ram_get_upload(struct store_reader *reader, struct arena *a, struct str id, struct upload **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = ram_find(s, UPLOADS, id, STR(""));
	if (r) {
		*ret = arena_new(a, struct upload);
		**ret = copy_upload(a, &r->upload);
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

static int ram_list_parts(struct store_reader *reader, struct arena *a, struct str id, uint32_t after, uint32_t max,
			  struct upload_part **ret, size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[PARTS];
	struct part_key k;
	struct row *r;
	bool found;

	*ret = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	found = ram_find(s, UPLOADS, id, STR(""));
	for (size_t i = ram_place(t, id, part_key(&k, after)); (r = ram_at(t, i)) && str_eq(r->a, id); i++) {
		if (r->part.number <= after)
			continue;
		if (*n == max) {
			*truncated = max > 0;
			break;
		}
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = copy_part(a, &r->part);
	}
	pthread_rwlock_unlock(&s->rows);
	return found ? 0 : STORE_E_MISSING;
}

static int by_key_and_id(const void *x, const void *y)
{
	const struct row *a = *(struct row *const *)x, *b = *(struct row *const *)y;
	int c = str_cmp(a->upload.object.key, b->upload.object.key);

	return c ? c : str_cmp(a->upload.id, b->upload.id);
}

static int ram_list_uploads(struct store_reader *reader, struct arena *a, const struct upload_list_query *q,
			    struct upload_list *ret)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[UPLOADS];
	struct ram_cursor c = {.cursor = {.seek = ram_seek, .next = ram_next, .take = ram_take},
			       .arena = a,
			       .bucket = arena_str(a, q->bucket),
			       .uploads = ret};
	int r = STORE_E_NO_BUCKET;

	*ret = (struct upload_list){0};
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->rows[i]->upload.object.bucket, q->bucket)) {
			c.rows.rows = arena_grow(a, c.rows.rows, c.rows.n, sizeof(struct row *));
			c.rows.rows[c.rows.n++] = t->rows[i];
		}
	if (c.rows.n)
		qsort(c.rows.rows, c.rows.n, sizeof(struct row *), by_key_and_id);
	if (ram_find(s, BUCKETS, q->bucket, STR("")))
		r = list_uploads(&c.cursor, a, q, ret);
	pthread_rwlock_unlock(&s->rows);
	return r;
}

static int by_due(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	return a->due_ms < b->due_ms ? -1 : a->due_ms > b->due_ms;
}

static int by_newest(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	return a->created_ms > b->created_ms ? -1 : a->created_ms < b->created_ms;
}

/* The events of a state, due by then, of a function; sorted, the first max of them copied. */
static int pick_events(struct ram_store *s, struct arena *a, const struct event *like,
		       int (*order)(const void *, const void *), uint32_t max, struct event **ret, size_t *n)
{
	struct table_rows *t = &s->tables[EVENTS];

	*ret = NULL;
	*n = 0;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = 0; i < t->n; i++) {
		const struct event *e = &t->rows[i]->event;

		if (e->state != like->state || e->due_ms > like->due_ms ||
		    (like->function.n && !event_is_of(e, like->function)))
			continue;
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = *e;
	}
	if (*n)
		qsort(*ret, *n, sizeof(**ret), order);
	*n = MIN(*n, max);
	for (size_t i = 0; i < *n; i++)
		(*ret)[i] = copy_event(a, &(*ret)[i]);
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static int ram_due_events(struct store_reader *reader, struct arena *a, int64_t until_ms, uint32_t max,
			  struct event **ret, size_t *n)
{
	struct event like = {.state = EVENT_QUEUED, .due_ms = until_ms};

	return pick_events(ram_of(reader), a, &like, by_due, max, ret, n);
}

static int ram_list_events(struct store_reader *reader, struct arena *a, enum event_state st, struct str function,
			   uint32_t max, struct event **ret, size_t *n)
{
	struct event like = {.state = st, .due_ms = INT64_MAX, .function = function};

	return pick_events(ram_of(reader), a, &like, by_newest, max, ret, n);
}

static int ram_next_event_due(struct store_reader *reader, int64_t *due_ms)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct event *e;
	size_t n;

	ram_due_events(reader, &a, INT64_MAX, 1, &e, &n);
	if (!n)
		return STORE_E_MISSING;
	*due_ms = e->due_ms;
	return 0;
}

static int ram_get_event(struct store_reader *reader, struct arena *a, struct str id, struct event **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = ram_find(s, EVENTS, id, STR(""));
	if (r) {
		*ret = arena_new(a, struct event);
		**ret = copy_event(a, &r->event);
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

static int ram_sum_usage(struct store_reader *reader, struct arena *a, int64_t from_ms, int64_t to_ms,
			 struct usage_sum **ret, size_t *n)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[USAGE];
	struct usage_sums sums = {.arena = a};

	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = 0; i < t->n; i++) {
		struct usage_sum one = usage_one(&t->rows[i]->usage);

		if (t->rows[i]->usage.at_ms >= from_ms && t->rows[i]->usage.at_ms < to_ms)
			usage_sums_add(&sums, &one);
	}
	pthread_rwlock_unlock(&s->rows);
	usage_sums_done(&sums, ret, n);
	return 0;
}

static int ram_list_usage(struct store_reader *reader, struct arena *a, struct str function, int64_t before_ms,
			  uint32_t max, struct usage **ret, size_t *n)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[USAGE];

	*ret = NULL;
	*n = 0;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = t->n; i-- > 0 && *n < max;) {
		const struct usage *u = &t->rows[i]->usage;

		if (u->at_ms >= before_ms || (function.n && !str_eq(function, u->function)))
			continue;
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = copy_usage(a, u);
	}
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static int ram_dead_blobs(struct store_reader *reader, struct arena *a, uint32_t max, struct str **ret, size_t *n)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[DEAD];

	*ret = NULL;
	pthread_rwlock_rdlock(&s->rows);
	for (*n = 0; *n < MIN(t->n, max); (*n)++) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[*n] = arena_str(a, t->rows[*n]->a);
	}
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static bool is_live(struct ram_store *s, struct str blob)
{
	for (size_t i = 0; i < s->tables[OBJECTS].n; i++)
		if (holds_blob(&s->tables[OBJECTS].rows[i]->object, blob))
			return true;
	for (size_t i = 0; i < s->tables[PARTS].n; i++)
		if (str_eq(s->tables[PARTS].rows[i]->part.blob, blob))
			return true;
	for (size_t i = 0; i < s->tables[FUNCTIONS].n; i++)
		if (str_eq(s->tables[FUNCTIONS].rows[i]->function.blob, blob))
			return true;
	for (size_t i = 0; i < s->tables[LAYERS].n; i++)
		if (str_eq(s->tables[LAYERS].rows[i]->layer.blob, blob))
			return true;
	return false;
}

static int ram_blobs_live(struct store_reader *reader, const struct str *ids, size_t n, bool *live)
{
	struct ram_store *s = ram_of(reader);

	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = 0; i < n; i++)
		live[i] = is_live(s, ids[i]);
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static struct store_reader *ram_reader_new(struct store *s)
{
	struct store_reader *r = xnew(struct store_reader);

	r->store = s;
	return r;
}

static void ram_reader_free(struct store_reader *r)
{
	free(r);
}

const struct store_ops ram_ops = {
	.free = ram_free,
	.apply = ram_apply,
	.reader_new = ram_reader_new,
	.reader_free = ram_reader_free,
	.get_bucket = ram_get_bucket,
	.list_buckets = ram_list_buckets,
	.get_object = ram_get_object,
	.list_objects = ram_list_objects,
	.get_upload = ram_get_upload,
	.list_parts = ram_list_parts,
	.list_uploads = ram_list_uploads,
	.get_function = ram_get_function,
	.list_functions = ram_list_functions,
	.list_versions = ram_list_versions,
	.get_record = ram_get_record,
	.list_records = ram_list_records,
	.last_layer = ram_last_layer,
	.get_layer = ram_get_layer,
	.list_layer_versions = ram_list_layer_versions,
	.list_layers = ram_list_layers,
	.due_events = ram_due_events,
	.next_event_due = ram_next_event_due,
	.list_events = ram_list_events,
	.get_event = ram_get_event,
	.sum_usage = ram_sum_usage,
	.list_usage = ram_list_usage,
	.dead_blobs = ram_dead_blobs,
	.blobs_live = ram_blobs_live,
};
