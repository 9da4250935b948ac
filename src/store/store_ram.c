/* The store in memory: the twin of store_sqlite for tests and for a gate that shall leave nothing behind.
 *
 * Each noun is a table: an array of rows sorted by two strings. A row never changes; writing puts another in its place
 * and notes the old one, so that a transaction that fails is undone by walking its notes back. One lock: the writer
 * thread holds it for a batch, readers for one call. Nothing can fail but by the contract. */
#include "base/mem.h"
#include "store/store_ram.h"

#include <stdio.h>

static struct row *row_free(struct row *r)
{
	if (r) {
		arena_done(&r->arena);
		free(r);
	}
	return NULL;
}

struct row *ram_row(struct str a, struct str b)
{
	struct row *r = xnew(struct row);

	r->a = arena_str(&r->arena, a);
	r->b = arena_str(&r->arena, b);
	return r;
}

size_t ram_place(const struct table_rows *t, struct str a, struct str b)
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

struct row *ram_at(const struct table_rows *t, size_t i)
{
	return i < t->n ? t->rows[i] : NULL;
}

struct row *ram_find(struct ram_store *s, enum table table, struct str a, struct str b)
{
	struct row *r = ram_at(&s->tables[table], ram_place(&s->tables[table], a, b));

	return r && str_eq(r->a, a) && str_eq(r->b, b) ? r : NULL;
}

/* Puts now (may be NULL) where a row of its key or of old's stands; returns what stood there. */
static struct row *swap_row(struct ram_store *s, enum table table, struct str a, struct str b, struct row *now)
{
	struct table_rows *t = &s->tables[table];
	size_t i = ram_place(t, a, b);
	struct row *old = ram_at(t, i);

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

void ram_put(struct ram_store *s, enum table table, struct row *now)
{
	note(s, table, swap_row(s, table, now->a, now->b, now), now);
}

void ram_del(struct ram_store *s, enum table table, struct str a, struct str b)
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

void ram_dead(struct ram_store *s, struct str blob)
{
	if (blob.n && !ram_find(s, DEAD, blob, STR("")))
		ram_put(s, DEAD, ram_row(blob, STR("")));
}

static int put_bucket(struct ram_store *s, const struct bucket *b)
{
	struct row *r;

	if (ram_find(s, BUCKETS, b->name, STR("")))
		return STORE_E_EXISTS;
	r = ram_row(b->name, STR(""));
	r->bucket = copy_bucket(&r->arena, b);
	ram_put(s, BUCKETS, r);
	return 0;
}

static int set_bucket(struct ram_store *s, const struct op_set_bucket *o)
{
	struct row *old = ram_find(s, BUCKETS, o->name, STR("")), *r;
	struct str doc;

	if (!old)
		return STORE_E_NO_BUCKET;
	r = ram_row(o->name, STR(""));
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
	ram_put(s, BUCKETS, r);
	return 0;
}

static int delete_bucket(struct ram_store *s, struct str name)
{
	struct table_rows *objects = &s->tables[OBJECTS], *uploads = &s->tables[UPLOADS];
	struct row *r;

	if (!ram_find(s, BUCKETS, name, STR("")))
		return STORE_E_NO_BUCKET;
	r = ram_at(objects, ram_place(objects, name, STR("")));
	if (r && str_eq(r->a, name))
		return STORE_E_NOT_EMPTY;
	for (size_t i = 0; i < uploads->n; i++)
		if (str_eq(uploads->rows[i]->upload.object.bucket, name))
			return STORE_E_NOT_EMPTY;
	ram_del(s, BUCKETS, name, STR(""));
	return 0;
}

static void bury(struct ram_store *s, const struct object *old, const struct object *heir)
{
	for (size_t i = 0; i < old->n_extents; i++)
		if (!heir || !holds_blob(heir, old->extents[i].blob))
			ram_dead(s, old->extents[i].blob);
}

static int put_object(struct ram_store *s, const struct op_put_object *p)
{
	const struct object *o = &p->object;
	struct row *old = ram_find(s, OBJECTS, o->bucket, o->key), *now;
	int r;

	if (!ram_find(s, BUCKETS, o->bucket, STR("")))
		return STORE_E_NO_BUCKET;
	r = condition_check(&p->cond, old ? &old->object.etag : NULL);
	if (r)
		return r;
	if (old)
		bury(s, &old->object, o);
	now = ram_row(o->bucket, o->key);
	now->object = copy_object(&now->arena, o);
	ram_put(s, OBJECTS, now);
	return 0;
}

static int delete_object(struct ram_store *s, const struct object *o)
{
	struct row *old = ram_find(s, OBJECTS, o->bucket, o->key);

	if (!ram_find(s, BUCKETS, o->bucket, STR("")))
		return STORE_E_NO_BUCKET;
	if (!old)
		return 0;
	bury(s, &old->object, NULL);
	ram_del(s, OBJECTS, o->bucket, o->key);
	return 0;
}

static int set_object_tags(struct ram_store *s, const struct object *o)
{
	struct row *old = ram_find(s, OBJECTS, o->bucket, o->key), *now;

	if (!old)
		return STORE_E_NO_OBJECT;
	now = ram_row(o->bucket, o->key);
	now->object = copy_object(&now->arena, &old->object);
	copy_kvs(&now->arena, &now->object.tags, o->tags, o->n_tags);
	now->object.n_tags = o->n_tags;
	ram_put(s, OBJECTS, now);
	return 0;
}

static int put_upload(struct ram_store *s, const struct upload *u)
{
	struct row *r;

	if (!ram_find(s, BUCKETS, u->object.bucket, STR("")))
		return STORE_E_NO_BUCKET;
	r = ram_row(u->id, STR(""));
	r->upload = copy_upload(&r->arena, u);
	ram_put(s, UPLOADS, r);
	return 0;
}

/* Decimal with leading zeros sorts as the number does. */
struct str part_key(struct part_key *k, uint32_t number)
{
	snprintf(k->text, sizeof(k->text), "%010u", number);
	return str_from(k->text);
}

static int put_part(struct ram_store *s, const struct op_put_part *p)
{
	struct part_key k;
	struct str key = part_key(&k, p->part.number);
	struct row *old = ram_find(s, PARTS, p->upload_id, key), *now;

	if (!ram_find(s, UPLOADS, p->upload_id, STR("")))
		return STORE_E_MISSING;
	if (old && !str_eq(old->part.blob, p->part.blob))
		ram_dead(s, old->part.blob);
	now = ram_row(p->upload_id, key);
	now->part = copy_part(&now->arena, &p->part);
	ram_put(s, PARTS, now);
	return 0;
}

static int end_upload(struct ram_store *s, struct str id, const struct object *heir)
{
	struct table_rows *parts = &s->tables[PARTS];
	size_t i = ram_place(parts, id, STR(""));
	struct row *r;

	if (!ram_find(s, UPLOADS, id, STR("")))
		return STORE_E_MISSING;
	while ((r = ram_at(parts, i)) && str_eq(r->a, id)) {
		if (!heir || !holds_blob(heir, r->part.blob))
			ram_dead(s, r->part.blob);
		ram_del(s, PARTS, r->a, r->b);
	}
	ram_del(s, UPLOADS, id, STR(""));
	return 0;
}

static int complete_upload(struct ram_store *s, const struct op_put_object *p)
{
	int r;

	if (!ram_find(s, UPLOADS, p->upload_id, STR("")))
		return STORE_E_MISSING;
	r = put_object(s, p);
	return r ? r : end_upload(s, p->upload_id, &p->object);
}

static int put_event(struct ram_store *s, const struct event *e)
{
	struct row *r = ram_row(e->id, STR(""));

	r->event = copy_event(&r->arena, e);
	ram_put(s, EVENTS, r);
	return 0;
}

static int set_event(struct ram_store *s, const struct op_set_event *o)
{
	struct row *old = ram_find(s, EVENTS, o->id, STR(""));
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

	if (ram_find(s, USAGE, key, u->request_id))
		return 0;
	r = ram_row(key, u->request_id);
	r->usage = copy_usage(&r->arena, u);
	ram_put(s, USAGE, r);
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
		return ram_put_function(s, &o->put_function);
	case OP_DELETE_FUNCTION:
		return ram_delete_function(s, o->name);
	case OP_DELETE_VERSION:
		return ram_delete_version(s, o->record.function, o->record.version);
	case OP_PUT_RECORD:
		return ram_put_record(s, &o->put_record);
	case OP_DELETE_RECORD:
		return ram_delete_record(s, &o->record);
	case OP_PUT_LAYER:
		return ram_put_layer(s, &o->layer);
	case OP_DELETE_LAYER:
		return ram_delete_layer(s, &o->layer);
	case OP_PUT_EVENT:
		return put_event(s, &o->event);
	case OP_DELETE_EVENT:
		ram_del(s, EVENTS, o->name, STR(""));
		return 0;
	case OP_SET_EVENT:
		return set_event(s, &o->set_event);
	case OP_REDRIVE_EVENTS:
		return redrive_events(s, &o->redrive);
	case OP_ADD_USAGE:
		return add_usage(s, &o->usage);
	case OP_BLOB_REAPED:
		ram_del(s, DEAD, o->name, STR(""));
		return 0;
	}
	return 0;
}

void ram_apply(struct store *store, struct txn_list *batch)
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

void ram_free(struct store *store)
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
