/* The store's front: transactions as lists of typed operations, the queue to the writer thread and the answers back,
 * readers for the pool, and the dispatch to the backend's table.
 *
 * A store_txn belongs to its maker until store_commit, then to the queue, the batch, and the list of answers; it is
 * freed right after its done was called. Only the writer thread applies; only the loop thread answers. What may fail:
 * starting the thread; everything else that fails is the backend's and travels in r. */
#include "store/store_ops.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>

#define READER_IDLE_MS 10000

static size_t version_slot(struct str bucket, struct str key)
{
	static const uint8_t seed[16];

	return (siphash13(seed, bucket.p, bucket.n) * 31 + siphash13(seed, key.p, key.n)) % OBJECT_VERSIONS;
}

uint32_t store_object_version(const struct store *s, struct str bucket, struct str key)
{
	return s->object_versions[version_slot(bucket, key)];
}

static void count_versions(struct store *s, const struct store_txn *t)
{
	for (const struct op *o = t->first; o; o = o->next) {
		const struct object *changed = NULL;

		if (o->kind == OP_PUT_OBJECT || o->kind == OP_COMPLETE_UPLOAD)
			changed = &o->put_object.object;
		else if (o->kind == OP_DELETE_OBJECT || o->kind == OP_SET_OBJECT_TAGS)
			changed = &o->object;
		if (changed)
			s->object_versions[version_slot(changed->bucket, changed->key)]++;
	}
}

static void answer(void *arg)
{
	struct store *s = arg;
	struct store_txn *t;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		t = txn_list_pop(&s->answered);
		pthread_mutex_unlock(&s->lock);
		if (!t)
			return;
		count_versions(s, t);
		if (t->done)
			t->done(t->arg, t->r, t->failed);
		store_txn_drop(t);
	}
}

static void *writer(void *arg)
{
	struct store *s = arg;
	struct store_txn *t;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct txn_list batch = {0};

		while (!s->stop && !txn_list_first(&s->queue))
			pthread_cond_wait(&s->work, &s->lock);
		while ((t = txn_list_pop(&s->queue)))
			txn_list_push(&batch, t);
		if (!txn_list_first(&batch))
			break;
		pthread_mutex_unlock(&s->lock);
		s->ops->apply(s, &batch);
		pthread_mutex_lock(&s->lock);
		while ((t = txn_list_pop(&batch)))
			txn_list_push(&s->answered, t);
		wake_send(s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void close_idle(void *arg)
{
	struct store *s = arg;
	struct store_reader *r = NULL;
	bool rest = false;

	pthread_mutex_lock(&s->lock);
	if (s->used || s->reading)
		rest = true;
	else
		r = reader_list_pop(&s->readers);
	s->used = false;
	rest = rest || reader_list_first(&s->readers);
	pthread_mutex_unlock(&s->lock);
	if (r)
		s->ops->reader_free(r);
	if (rest)
		timer_set(s->idle, READER_IDLE_MS);
}

int store_start(struct store *s)
{
	sigset_t all, old;
	int r;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->quiet, NULL);
	s->wake = wake_new(s->loop, answer, s);
	s->idle = timer_new(s->loop, close_idle, s);
	timer_unref(s->idle);
	s->reader = s->ops->reader_new(s);
	/* Signals are the loop thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&s->thread, NULL, writer, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->running = r == 0;
	return -r;
}

struct store *store_close(struct store *s)
{
	struct store_txn *t;
	struct store_reader *r;

	if (!s)
		return NULL;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->work);
	while (s->reading)
		pthread_cond_wait(&s->quiet, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	while ((t = txn_list_pop(&s->answered)))
		store_txn_drop(t);
	while ((r = reader_list_pop(&s->readers)))
		s->ops->reader_free(r);
	s->ops->reader_free(s->reader);
	wake_free(s->wake);
	timer_free(s->idle);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->quiet);
	pthread_mutex_destroy(&s->lock);
	s->ops->free(s);
	return NULL;
}

struct store_reader *store_reader(struct store *s)
{
	return s->reader;
}

struct read_job {
	struct store *store;
	void (*work)(void *arg, struct store_reader *r);
	void (*done)(void *arg);
	void *arg;
};

static void read_work(void *arg)
{
	struct read_job *j = arg;
	struct store *s = j->store;
	struct store_reader *r;

	pthread_mutex_lock(&s->lock);
	r = reader_list_pop(&s->readers);
	pthread_mutex_unlock(&s->lock);
	if (!r)
		r = s->ops->reader_new(s);
	j->work(j->arg, r);
	pthread_mutex_lock(&s->lock);
	reader_list_push_front(&s->readers, r);
	if (--s->reading == 0)
		pthread_cond_signal(&s->quiet);
	pthread_mutex_unlock(&s->lock);
}

static void read_done(void *arg)
{
	struct read_job *j = arg;

	if (j->done)
		j->done(j->arg);
	free(j);
}

void store_read_async(struct store *s, void (*work)(void *arg, struct store_reader *r), void (*done)(void *arg),
		      void *arg)
{
	struct read_job *j = xnew(struct read_job);

	*j = (struct read_job){.store = s, .work = work, .done = done, .arg = arg};
	pthread_mutex_lock(&s->lock);
	s->reading++;
	s->used = true;
	pthread_mutex_unlock(&s->lock);
	timer_set(s->idle, READER_IDLE_MS);
	loop_work(s->loop, read_work, read_done, j);
}

struct store_txn *store_begin(struct store *s)
{
	struct store_txn *t = xnew(struct store_txn);

	t->store = s;
	return t;
}

void store_txn_drop(struct store_txn *t)
{
	if (!t)
		return;
	arena_done(&t->arena);
	free(t);
}

void store_commit(struct store_txn *t, void (*done)(void *arg, int r, unsigned op), void *arg)
{
	struct store *s = t->store;

	t->done = done;
	t->arg = arg;
	pthread_mutex_lock(&s->lock);
	txn_list_push(&s->queue, t);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

static struct op *add(struct store_txn *t, enum op_kind kind)
{
	struct op *o = arena_new(&t->arena, struct op);

	o->kind = kind;
	if (t->last)
		t->last->next = o;
	else
		t->first = o;
	t->last = o;
	return o;
}

static void add_name(struct store_txn *t, enum op_kind kind, struct str name)
{
	add(t, kind)->name = arena_str(&t->arena, name);
}

static struct object_condition copy_condition(struct arena *a, const struct object_condition *c)
{
	if (!c)
		return (struct object_condition){0};
	return (struct object_condition){.if_match = arena_str(a, c->if_match),
					 .if_none_match = arena_str(a, c->if_none_match)};
}

void store_put_bucket(struct store_txn *t, const struct bucket *b)
{
	add(t, OP_PUT_BUCKET)->bucket = copy_bucket(&t->arena, b);
}

void store_set_bucket(struct store_txn *t, struct str name, enum bucket_field f, struct str doc)
{
	add(t, OP_SET_BUCKET)->set_bucket = (struct op_set_bucket){
		.name = arena_str(&t->arena, name), .doc = arena_str(&t->arena, doc), .field = f};
}

void store_delete_bucket(struct store_txn *t, struct str name)
{
	add_name(t, OP_DELETE_BUCKET, name);
}

void store_put_object(struct store_txn *t, const struct object *o, const struct object_condition *c)
{
	add(t, OP_PUT_OBJECT)->put_object =
		(struct op_put_object){.object = copy_object(&t->arena, o), .cond = copy_condition(&t->arena, c)};
}

void store_delete_object(struct store_txn *t, struct str bucket, struct str key)
{
	add(t, OP_DELETE_OBJECT)->object =
		(struct object){.bucket = arena_str(&t->arena, bucket), .key = arena_str(&t->arena, key)};
}

void store_set_object_tags(struct store_txn *t, struct str bucket, struct str key, const struct kv *tags, size_t n)
{
	struct object o = {.bucket = arena_str(&t->arena, bucket), .key = arena_str(&t->arena, key), .n_tags = n};

	copy_kvs(&t->arena, &o.tags, tags, n);
	add(t, OP_SET_OBJECT_TAGS)->object = o;
}

void store_put_upload(struct store_txn *t, const struct upload *u)
{
	add(t, OP_PUT_UPLOAD)->upload = copy_upload(&t->arena, u);
}

void store_put_part(struct store_txn *t, struct str upload_id, const struct upload_part *p)
{
	add(t, OP_PUT_PART)->put_part =
		(struct op_put_part){.upload_id = arena_str(&t->arena, upload_id), .part = copy_part(&t->arena, p)};
}

void store_delete_upload(struct store_txn *t, struct str upload_id)
{
	add_name(t, OP_DELETE_UPLOAD, upload_id);
}

void store_complete_upload(struct store_txn *t, struct str upload_id, const struct object *o,
			   const struct object_condition *c)
{
	add(t, OP_COMPLETE_UPLOAD)->put_object = (struct op_put_object){.upload_id = arena_str(&t->arena, upload_id),
									.object = copy_object(&t->arena, o),
									.cond = copy_condition(&t->arena, c)};
}

void store_put_function(struct store_txn *t, enum put_mode mode, const struct function_row *f,
			struct str expect_revision)
{
	struct op_put_function *o = &add(t, OP_PUT_FUNCTION)->put_function;
	struct arena *a = &t->arena;
	struct layer_ref *layers = f->n_layers ? arena_new_n(a, struct layer_ref, f->n_layers) : NULL;

	for (size_t i = 0; i < f->n_layers; i++)
		layers[i] =
			(struct layer_ref){.name = arena_str(a, f->layers[i].name), .version = f->layers[i].version};
	*o = (struct op_put_function){.mode = mode,
				      .row = {.name = arena_str(a, f->name),
					      .version = arena_str(a, f->version),
					      .doc = arena_str(a, f->doc),
					      .revision = arena_str(a, f->revision),
					      .code_blob = arena_str(a, f->code_blob),
					      .layers = layers,
					      .n_layers = f->n_layers},
				      .expect = arena_str(a, expect_revision)};
}

void store_delete_function(struct store_txn *t, struct str name)
{
	add_name(t, OP_DELETE_FUNCTION, name);
}

void store_delete_version(struct store_txn *t, struct str name, struct str version)
{
	add(t, OP_DELETE_VERSION)->record =
		(struct record){.function = arena_str(&t->arena, name), .version = arena_str(&t->arena, version)};
}

void store_put_record(struct store_txn *t, enum put_mode mode, const struct record *rec, struct str expect_revision,
		      uint64_t sum_max)
{
	add(t, OP_PUT_RECORD)->put_record = (struct op_put_record){.mode = mode,
								   .record = copy_record(&t->arena, rec),
								   .expect = arena_str(&t->arena, expect_revision),
								   .sum_max = sum_max};
}

void store_delete_record(struct store_txn *t, enum record_kind kind, struct str function, struct str key)
{
	add(t, OP_DELETE_RECORD)->record = (struct record){
		.kind = kind, .function = arena_str(&t->arena, function), .key = arena_str(&t->arena, key)};
}

void store_put_layer(struct store_txn *t, struct str name, uint64_t version, struct str doc, struct str blob)
{
	add(t, OP_PUT_LAYER)->layer = (struct op_layer){.name = arena_str(&t->arena, name),
							.version = version,
							.doc = arena_str(&t->arena, doc),
							.blob = arena_str(&t->arena, blob)};
}

void store_delete_layer(struct store_txn *t, struct str name, uint64_t version)
{
	add(t, OP_DELETE_LAYER)->layer = (struct op_layer){.name = arena_str(&t->arena, name), .version = version};
}

void store_put_event(struct store_txn *t, const struct event *e)
{
	add(t, OP_PUT_EVENT)->event = copy_event(&t->arena, e);
}

void store_delete_event(struct store_txn *t, struct str id)
{
	add_name(t, OP_DELETE_EVENT, id);
}

void store_set_event(struct store_txn *t, struct str id, enum event_state st, uint32_t attempts, int64_t due_ms,
		     struct str reason)
{
	add(t, OP_SET_EVENT)->set_event = (struct op_set_event){.id = arena_str(&t->arena, id),
								.reason = arena_str(&t->arena, reason),
								.state = st,
								.attempts = attempts,
								.due_ms = due_ms};
}

void store_redrive_events(struct store_txn *t, struct str id, struct str function, int64_t now_ms)
{
	add(t, OP_REDRIVE_EVENTS)->redrive = (struct op_redrive){
		.id = arena_str(&t->arena, id), .function = arena_str(&t->arena, function), .now_ms = now_ms};
}

void store_add_usage(struct store_txn *t, const struct usage *u)
{
	add(t, OP_ADD_USAGE)->usage = copy_usage(&t->arena, u);
}

void store_blob_reaped(struct store_txn *t, struct str blob)
{
	add_name(t, OP_BLOB_REAPED, blob);
}

int store_get_bucket(struct store_reader *r, struct arena *a, struct str name, struct bucket **ret)
{
	return r->store->ops->get_bucket(r, a, name, ret);
}

int store_list_buckets(struct store_reader *r, struct arena *a, struct bucket **ret, size_t *n)
{
	return r->store->ops->list_buckets(r, a, ret, n);
}

int store_get_object(struct store_reader *r, struct arena *a, struct str bucket, struct str key, struct object **ret)
{
	return r->store->ops->get_object(r, a, bucket, key, ret);
}

int store_list_objects(struct store_reader *r, struct arena *a, const struct object_list_query *q,
		       struct object_list *ret)
{
	return r->store->ops->list_objects(r, a, q, ret);
}

int store_get_upload(struct store_reader *r, struct arena *a, struct str upload_id, struct upload **ret)
{
	return r->store->ops->get_upload(r, a, upload_id, ret);
}

int store_list_parts(struct store_reader *r, struct arena *a, struct str upload_id, uint32_t after, uint32_t max,
		     struct upload_part **ret, size_t *n, bool *truncated)
{
	return r->store->ops->list_parts(r, a, upload_id, after, max, ret, n, truncated);
}

int store_list_uploads(struct store_reader *r, struct arena *a, const struct upload_list_query *q,
		       struct upload_list *ret)
{
	return r->store->ops->list_uploads(r, a, q, ret);
}

int store_get_function(struct store_reader *r, struct arena *a, struct str name, struct str version, struct str *doc)
{
	return r->store->ops->get_function(r, a, name, version, doc);
}

int store_list_functions(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **docs,
			 size_t *n, bool *truncated)
{
	return r->store->ops->list_functions(r, a, after, max, docs, n, truncated);
}

int store_list_versions(struct store_reader *r, struct arena *a, struct str name, struct str after,
			int64_t after_version, uint32_t max, struct str **docs, size_t *n, bool *truncated)
{
	return r->store->ops->list_versions(r, a, name, after, after_version, max, docs, n, truncated);
}

int store_get_record(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		     struct str key, struct record **ret)
{
	return r->store->ops->get_record(r, a, kind, function, key, ret);
}

int store_list_records(struct store_reader *r, struct arena *a, enum record_kind kind, struct str function,
		       struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated)
{
	return r->store->ops->list_records(r, a, kind, function, after, max, ret, n, truncated);
}

int store_last_layer(struct store_reader *r, struct str name, uint64_t *ret)
{
	return r->store->ops->last_layer(r, name, ret);
}

int store_get_layer(struct store_reader *r, struct arena *a, struct str name, uint64_t version, struct str *doc,
		    bool *deleted)
{
	return r->store->ops->get_layer(r, a, name, version, doc, deleted);
}

int store_list_layer_versions(struct store_reader *r, struct arena *a, struct str name, uint64_t before, uint32_t max,
			      struct str **docs, size_t *n, bool *truncated)
{
	return r->store->ops->list_layer_versions(r, a, name, before, max, docs, n, truncated);
}

int store_list_layers(struct store_reader *r, struct arena *a, struct str after, uint32_t max, struct str **names,
		      size_t *n, bool *truncated)
{
	return r->store->ops->list_layers(r, a, after, max, names, n, truncated);
}

int store_due_events(struct store_reader *r, struct arena *a, int64_t until_ms, uint32_t max, struct event **ret,
		     size_t *n)
{
	return r->store->ops->due_events(r, a, until_ms, max, ret, n);
}

int store_next_event_due(struct store_reader *r, int64_t *due_ms)
{
	return r->store->ops->next_event_due(r, due_ms);
}

int store_list_events(struct store_reader *r, struct arena *a, enum event_state st, struct str function, uint32_t max,
		      struct event **ret, size_t *n)
{
	return r->store->ops->list_events(r, a, st, function, max, ret, n);
}

int store_get_event(struct store_reader *r, struct arena *a, struct str id, struct event **ret)
{
	return r->store->ops->get_event(r, a, id, ret);
}

int store_sum_usage(struct store_reader *r, struct arena *a, int64_t from_ms, int64_t to_ms, struct usage_sum **ret,
		    size_t *n)
{
	return r->store->ops->sum_usage(r, a, from_ms, to_ms, ret, n);
}

int store_list_usage(struct store_reader *r, struct arena *a, struct str function, int64_t before_ms, uint32_t max,
		     struct usage **ret, size_t *n)
{
	return r->store->ops->list_usage(r, a, function, before_ms, max, ret, n);
}

int store_dead_blobs(struct store_reader *r, struct arena *a, uint32_t max, struct str **ret, size_t *n)
{
	return r->store->ops->dead_blobs(r, a, max, ret, n);
}

int store_blobs_live(struct store_reader *r, const struct str *ids, size_t n, bool *live)
{
	return r->store->ops->blobs_live(r, ids, n, live);
}
