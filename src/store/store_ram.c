/* The store in memory: the twin of store_sqlite for tests and for a gate that shall leave nothing behind.
 *
 * Each noun is a table: an array of rows sorted by two strings. A row never changes; writing puts another in its place
 * and notes the old one, so that a transaction that fails is undone by walking its notes back. One lock: the writer
 * thread holds it for a batch, readers for one call. Nothing can fail but by the contract. */
#include "base/mem.h"
#include "store/store_ops.h"

#include <stdio.h>

struct row {
	struct arena arena;
	struct str a, b; /* the key */
	union {
		struct bucket bucket;
		struct object object;
		struct upload upload;
		struct upload_part part;
		struct event event;
		struct usage usage;
		struct {
			struct str doc, revision, blob;
		} function;
	};
};

enum table { BUCKETS, OBJECTS, UPLOADS, PARTS, FUNCTIONS, EVENTS, USAGE, DEAD, TABLES };

struct table_rows {
	struct row **rows;
	size_t n, cap;
};

struct note {
	enum table table;
	struct row *old, *now; /* NULL: was not, is not there */
};

struct ram_store {
	struct store store;
	pthread_rwlock_t rows;
	struct table_rows tables[TABLES];
	struct note *notes; /* of the transaction being applied */
	size_t n_notes, cap_notes;
};

static struct ram_store *ram_of(struct store_reader *r)
{
	return container_of(r->store, struct ram_store, store);
}

static struct row *row_free(struct row *r)
{
	if (r) {
		arena_done(&r->arena);
		free(r);
	}
	return NULL;
}

static struct row *row_new(struct str a, struct str b)
{
	struct row *r = xnew(struct row);

	r->a = arena_str(&r->arena, a);
	r->b = arena_str(&r->arena, b);
	return r;
}

/* Where (a, b) stands or would stand. */
static size_t place(const struct table_rows *t, struct str a, struct str b)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = str_cmp(t->rows[mid]->a, a);

		if (c == 0)
			c = str_cmp(t->rows[mid]->b, b);
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct row *at(const struct table_rows *t, size_t i)
{
	return i < t->n ? t->rows[i] : NULL;
}

static struct row *find(struct ram_store *s, enum table table, struct str a, struct str b)
{
	struct row *r = at(&s->tables[table], place(&s->tables[table], a, b));

	return r && str_eq(r->a, a) && str_eq(r->b, b) ? r : NULL;
}

/* Puts now (may be NULL) where a row of its key or of old's stands; returns what stood there. */
static struct row *swap_row(struct ram_store *s, enum table table, struct str a, struct str b, struct row *now)
{
	struct table_rows *t = &s->tables[table];
	size_t i = place(t, a, b);
	struct row *old = at(t, i);

	if (old && !(str_eq(old->a, a) && str_eq(old->b, b)))
		old = NULL;
	if (old && now) {
		t->rows[i] = now;
	} else if (now) {
		if (t->n == t->cap) {
			t->cap = t->cap ? t->cap * 2 : 16;
			t->rows = xrealloc(t->rows, t->cap * sizeof(struct row *));
		}
		memmove(t->rows + i + 1, t->rows + i, (t->n - i) * sizeof(struct row *));
		t->rows[i] = now;
		t->n++;
	} else if (old) {
		memmove(t->rows + i, t->rows + i + 1, (t->n - i - 1) * sizeof(struct row *));
		t->n--;
	}
	return old;
}

static void note(struct ram_store *s, enum table table, struct row *old, struct row *now)
{
	if (s->n_notes == s->cap_notes) {
		s->cap_notes = s->cap_notes ? s->cap_notes * 2 : 16;
		s->notes = xrealloc(s->notes, s->cap_notes * sizeof(*s->notes));
	}
	s->notes[s->n_notes++] = (struct note){.table = table, .old = old, .now = now};
}

static void put(struct ram_store *s, enum table table, struct row *now)
{
	note(s, table, swap_row(s, table, now->a, now->b, now), now);
}

static void del(struct ram_store *s, enum table table, struct str a, struct str b)
{
	struct row *old = swap_row(s, table, a, b, NULL);

	if (old)
		note(s, table, old, NULL);
}

static void settle_notes(struct ram_store *s, bool keep)
{
	while (s->n_notes) {
		struct note *n = &s->notes[--s->n_notes];

		if (keep) {
			row_free(n->old);
			continue;
		}
		swap_row(s, n->table, n->now ? n->now->a : n->old->a, n->now ? n->now->b : n->old->b, n->old);
		row_free(n->now);
	}
}

static void dead(struct ram_store *s, struct str blob)
{
	if (blob.n && !find(s, DEAD, blob, STR("")))
		put(s, DEAD, row_new(blob, STR("")));
}

static int put_bucket(struct ram_store *s, const struct bucket *b)
{
	struct row *r;

	if (find(s, BUCKETS, b->name, STR("")))
		return STORE_E_EXISTS;
	r = row_new(b->name, STR(""));
	r->bucket = copy_bucket(&r->arena, b);
	put(s, BUCKETS, r);
	return 0;
}

static int set_bucket(struct ram_store *s, const struct op_set_bucket *o)
{
	struct row *old = find(s, BUCKETS, o->name, STR("")), *r;
	struct str doc;

	if (!old)
		return STORE_E_NO_BUCKET;
	r = row_new(o->name, STR(""));
	r->bucket = copy_bucket(&r->arena, &old->bucket);
	doc = arena_str(&r->arena, o->doc);
	switch (o->field) {
	case BUCKET_NOTIFICATION:
		r->bucket.notification = doc;
		break;
	case BUCKET_POLICY:
		r->bucket.policy = doc;
		break;
	case BUCKET_CORS:
		r->bucket.cors = doc;
		break;
	case BUCKET_TAGGING:
		r->bucket.tagging = doc;
		break;
	}
	put(s, BUCKETS, r);
	return 0;
}

static int delete_bucket(struct ram_store *s, struct str name)
{
	struct table_rows *objects = &s->tables[OBJECTS], *uploads = &s->tables[UPLOADS];
	struct row *r;

	if (!find(s, BUCKETS, name, STR("")))
		return STORE_E_NO_BUCKET;
	r = at(objects, place(objects, name, STR("")));
	if (r && str_eq(r->a, name))
		return STORE_E_NOT_EMPTY;
	for (size_t i = 0; i < uploads->n; i++)
		if (str_eq(uploads->rows[i]->upload.object.bucket, name))
			return STORE_E_NOT_EMPTY;
	del(s, BUCKETS, name, STR(""));
	return 0;
}

static void bury(struct ram_store *s, const struct object *old, const struct object *heir)
{
	for (size_t i = 0; i < old->n_extents; i++)
		if (!heir || !holds_blob(heir, old->extents[i].blob))
			dead(s, old->extents[i].blob);
}

static int put_object(struct ram_store *s, const struct op_put_object *p)
{
	const struct object *o = &p->object;
	struct row *old = find(s, OBJECTS, o->bucket, o->key), *now;
	int r;

	if (!find(s, BUCKETS, o->bucket, STR("")))
		return STORE_E_NO_BUCKET;
	r = condition_check(&p->cond, old ? &old->object.etag : NULL);
	if (r)
		return r;
	if (old)
		bury(s, &old->object, o);
	now = row_new(o->bucket, o->key);
	now->object = copy_object(&now->arena, o);
	put(s, OBJECTS, now);
	return 0;
}

static int delete_object(struct ram_store *s, const struct object *o)
{
	struct row *old = find(s, OBJECTS, o->bucket, o->key);

	if (!find(s, BUCKETS, o->bucket, STR("")))
		return STORE_E_NO_BUCKET;
	if (!old)
		return 0;
	bury(s, &old->object, NULL);
	del(s, OBJECTS, o->bucket, o->key);
	return 0;
}

static int set_object_tags(struct ram_store *s, const struct object *o)
{
	struct row *old = find(s, OBJECTS, o->bucket, o->key), *now;

	if (!old)
		return STORE_E_NO_OBJECT;
	now = row_new(o->bucket, o->key);
	now->object = copy_object(&now->arena, &old->object);
	copy_kvs(&now->arena, &now->object.tags, o->tags, o->n_tags);
	now->object.n_tags = o->n_tags;
	put(s, OBJECTS, now);
	return 0;
}

static int put_upload(struct ram_store *s, const struct upload *u)
{
	struct row *r;

	if (!find(s, BUCKETS, u->object.bucket, STR("")))
		return STORE_E_NO_BUCKET;
	r = row_new(u->id, STR(""));
	r->upload = copy_upload(&r->arena, u);
	put(s, UPLOADS, r);
	return 0;
}

struct part_key {
	char text[12];
};

/* Decimal with leading zeros sorts as the number does. */
static struct str part_key(struct part_key *k, uint32_t number)
{
	snprintf(k->text, sizeof(k->text), "%010u", number);
	return str_from(k->text);
}

static int put_part(struct ram_store *s, const struct op_put_part *p)
{
	struct part_key k;
	struct str key = part_key(&k, p->part.number);
	struct row *old = find(s, PARTS, p->upload_id, key), *now;

	if (!find(s, UPLOADS, p->upload_id, STR("")))
		return STORE_E_MISSING;
	if (old && !str_eq(old->part.blob, p->part.blob))
		dead(s, old->part.blob);
	now = row_new(p->upload_id, key);
	now->part = copy_part(&now->arena, &p->part);
	put(s, PARTS, now);
	return 0;
}

static int end_upload(struct ram_store *s, struct str id, const struct object *heir)
{
	struct table_rows *parts = &s->tables[PARTS];
	size_t i = place(parts, id, STR(""));
	struct row *r;

	if (!find(s, UPLOADS, id, STR("")))
		return STORE_E_MISSING;
	while ((r = at(parts, i)) && str_eq(r->a, id)) {
		if (!heir || !holds_blob(heir, r->part.blob))
			dead(s, r->part.blob);
		del(s, PARTS, r->a, r->b);
	}
	del(s, UPLOADS, id, STR(""));
	return 0;
}

static int complete_upload(struct ram_store *s, const struct op_put_object *p)
{
	int r;

	if (!find(s, UPLOADS, p->upload_id, STR("")))
		return STORE_E_MISSING;
	r = put_object(s, p);
	return r ? r : end_upload(s, p->upload_id, &p->object);
}

static void bury_code(struct ram_store *s, struct str blob)
{
	struct table_rows *t = &s->tables[FUNCTIONS];

	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->rows[i]->function.blob, blob))
			return;
	dead(s, blob);
}

static int put_function(struct ram_store *s, const struct op_put_function *f)
{
	struct row *old = find(s, FUNCTIONS, f->name, f->version), *now;

	if (f->mode == FUNCTION_CREATE && old)
		return STORE_E_EXISTS;
	if (f->mode == FUNCTION_REPLACE && !old)
		return STORE_E_MISSING;
	if (f->mode == FUNCTION_REPLACE && f->expect.n && !str_eq(f->expect, old->function.revision))
		return STORE_E_PRECONDITION;
	now = row_new(f->name, f->version);
	now->function.doc = arena_str(&now->arena, f->doc);
	now->function.revision = arena_str(&now->arena, f->revision);
	now->function.blob = arena_str(&now->arena, f->blob);
	put(s, FUNCTIONS, now);
	if (old)
		bury_code(s, old->function.blob);
	return 0;
}

static int delete_function(struct ram_store *s, struct str name)
{
	struct table_rows *t = &s->tables[FUNCTIONS];
	size_t i = place(t, name, STR(""));
	struct row *r = at(t, i);

	if (!r || !str_eq(r->a, name))
		return STORE_E_MISSING;
	while ((r = at(t, i)) && str_eq(r->a, name)) {
		del(s, FUNCTIONS, r->a, r->b);
		bury_code(s, r->function.blob);
	}
	return 0;
}

static int put_event(struct ram_store *s, const struct event *e)
{
	struct row *r = row_new(e->id, STR(""));

	r->event = copy_event(&r->arena, e);
	put(s, EVENTS, r);
	return 0;
}

static int set_event(struct ram_store *s, const struct op_set_event *o)
{
	struct row *old = find(s, EVENTS, o->id, STR(""));
	struct event e;

	if (!old)
		return 0;
	e = old->event;
	e.state = o->state;
	e.attempts = o->attempts;
	e.due_ms = o->due_ms;
	e.reason = o->reason;
	return put_event(s, &e);
}

static int redrive_events(struct ram_store *s, const struct op_redrive *o)
{
	struct table_rows *t = &s->tables[EVENTS];

	for (size_t i = 0; i < t->n; i++) {
		struct event e = t->rows[i]->event;

		if (e.state != EVENT_FAILED || (o->id.n && !str_eq(o->id, e.id)) ||
		    (o->function.n && !event_is_of(&e, o->function)))
			continue;
		e.state = EVENT_QUEUED;
		e.attempts = 0;
		e.due_ms = o->now_ms;
		put_event(s, &e);
	}
	return 0;
}

struct time_key {
	char text[24];
};

/* Offset to unsigned, so that times before 1970 sort first. */
static struct str time_key(struct time_key *k, int64_t ms)
{
	snprintf(k->text, sizeof(k->text), "%020llu", (unsigned long long)((uint64_t)ms ^ 1ULL << 63));
	return str_from(k->text);
}

static int add_usage(struct ram_store *s, const struct usage *u)
{
	struct time_key k;
	struct str key = time_key(&k, u->at_ms);
	struct row *r;

	if (find(s, USAGE, key, u->request_id))
		return 0;
	r = row_new(key, u->request_id);
	r->usage = copy_usage(&r->arena, u);
	put(s, USAGE, r);
	return 0;
}

static int apply_op(struct ram_store *s, const struct op *o)
{
	switch (o->kind) {
	case OP_PUT_BUCKET:
		return put_bucket(s, &o->bucket);
	case OP_SET_BUCKET:
		return set_bucket(s, &o->set_bucket);
	case OP_DELETE_BUCKET:
		return delete_bucket(s, o->name);
	case OP_PUT_OBJECT:
		return put_object(s, &o->put_object);
	case OP_DELETE_OBJECT:
		return delete_object(s, &o->object);
	case OP_SET_OBJECT_TAGS:
		return set_object_tags(s, &o->object);
	case OP_PUT_UPLOAD:
		return put_upload(s, &o->upload);
	case OP_PUT_PART:
		return put_part(s, &o->put_part);
	case OP_DELETE_UPLOAD:
		return end_upload(s, o->name, NULL);
	case OP_COMPLETE_UPLOAD:
		return complete_upload(s, &o->put_object);
	case OP_PUT_FUNCTION:
		return put_function(s, &o->put_function);
	case OP_DELETE_FUNCTION:
		return delete_function(s, o->name);
	case OP_PUT_EVENT:
		return put_event(s, &o->event);
	case OP_DELETE_EVENT:
		del(s, EVENTS, o->name, STR(""));
		return 0;
	case OP_SET_EVENT:
		return set_event(s, &o->set_event);
	case OP_REDRIVE_EVENTS:
		return redrive_events(s, &o->redrive);
	case OP_ADD_USAGE:
		return add_usage(s, &o->usage);
	case OP_BLOB_REAPED:
		del(s, DEAD, o->name, STR(""));
		return 0;
	}
	return 0;
}

static void ram_apply(struct store *store, struct txn_list *batch)
{
	struct ram_store *s = container_of(store, struct ram_store, store);

	pthread_rwlock_wrlock(&s->rows);
	for (struct store_txn *t = txn_list_first(batch); t; t = txn_list_next(t)) {
		unsigned n = 0;

		for (const struct op *o = t->first; o && !t->r; o = o->next, n++) {
			t->r = apply_op(s, o);
			t->failed = t->r ? n : 0;
		}
		settle_notes(s, t->r == 0);
	}
	pthread_rwlock_unlock(&s->rows);
}

static int ram_get_bucket(struct store_reader *reader, struct arena *a, struct str name, struct bucket **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = find(s, BUCKETS, name, STR(""));
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
	r = find(s, OBJECTS, bucket, key);
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
	const struct row *r = at(&c->rows, c->i);

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
	struct key_query kq = {.prefix = q->prefix, .delimiter = q->delimiter, .after = q->after, .max = q->max};
	struct key_page page;
	int r = STORE_E_NO_BUCKET;

	*ret = (struct object_list){0};
	pthread_rwlock_rdlock(&s->rows);
	c.rows = s->tables[OBJECTS];
	if (find(s, BUCKETS, q->bucket, STR(""))) {
		r = list_keys(&c.cursor, a, &kq, &page);
		ret->prefixes = page.prefixes;
		ret->n_prefixes = page.n_prefixes;
		ret->truncated = page.truncated;
		ret->next = page.next;
	}
	pthread_rwlock_unlock(&s->rows);
	return r;
}

static int ram_get_upload(struct store_reader *reader, struct arena *a, struct str id, struct upload **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = find(s, UPLOADS, id, STR(""));
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
	found = find(s, UPLOADS, id, STR(""));
	for (size_t i = place(t, id, part_key(&k, after)); (r = at(t, i)) && str_eq(r->a, id); i++) {
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
	struct key_query kq = {.prefix = q->prefix,
			       .delimiter = q->delimiter,
			       .after = q->key_marker,
			       .after_id = q->id_marker,
			       .max = q->max};
	struct key_page page;
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
	if (find(s, BUCKETS, q->bucket, STR(""))) {
		r = list_keys(&c.cursor, a, &kq, &page);
		ret->prefixes = page.prefixes;
		ret->n_prefixes = page.n_prefixes;
		ret->truncated = page.truncated;
		ret->next_key = page.next;
		ret->next_id = page.next_id;
	}
	pthread_rwlock_unlock(&s->rows);
	return r;
}

static int ram_get_function(struct store_reader *reader, struct arena *a, struct str name, struct str version,
			    struct str *doc)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = find(s, FUNCTIONS, name, version);
	if (r)
		*doc = arena_str(a, r->function.doc);
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

static int ram_list_functions(struct store_reader *reader, struct arena *a, struct str after, uint32_t max,
			      struct str **docs, size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[FUNCTIONS];
	struct row *r;

	*docs = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = place(t, after, STR("")); (r = at(t, i)); i++) {
		if (str_cmp(r->a, after) <= 0 || !str_eqz(r->b, "$LATEST"))
			continue;
		if (*n == max) {
			*truncated = max > 0;
			break;
		}
		*docs = arena_grow(a, *docs, *n, sizeof(**docs));
		(*docs)[(*n)++] = arena_str(a, r->function.doc);
	}
	pthread_rwlock_unlock(&s->rows);
	return 0;
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
	r = find(s, EVENTS, id, STR(""));
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

static void ram_free(struct store *store)
{
	struct ram_store *s = container_of(store, struct ram_store, store);

	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < s->tables[t].n; i++)
			row_free(s->tables[t].rows[i]);
		free(s->tables[t].rows);
	}
	free(s->notes);
	pthread_rwlock_destroy(&s->rows);
	free(s);
}

static const struct store_ops ram_ops = {
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
	.due_events = ram_due_events,
	.next_event_due = ram_next_event_due,
	.list_events = ram_list_events,
	.get_event = ram_get_event,
	.sum_usage = ram_sum_usage,
	.list_usage = ram_list_usage,
	.dead_blobs = ram_dead_blobs,
	.blobs_live = ram_blobs_live,
};

struct store *store_open_ram(const struct store_conf *conf)
{
	struct ram_store *s = xnew(struct ram_store);

	s->store.ops = &ram_ops;
	s->store.loop = conf->loop;
	pthread_rwlock_init(&s->rows, NULL);
	if (store_start(&s->store) < 0)
		return store_close(&s->store);
	return &s->store;
}
