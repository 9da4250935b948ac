/* Functions, their records, and layers in memory: the twin of store_sqlite_{functions,records,layers}.c. Which rows
 * name a layer version stands in the rows themselves. */
#include "base/mem.h"
#include "store/store_ram.h"

#include <stdio.h>

/* ---- layers ---- */

struct number_key {
	char text[24];
};

static struct str number_key(struct number_key *k, uint64_t number)
{
	snprintf(k->text, sizeof(k->text), "%020llu", (unsigned long long)number);
	return str_from(k->text);
}

static struct row *find_layer(struct ram_store *s, struct str name, uint64_t version)
{
	struct number_key k;

	return ram_find(s, LAYERS, name, number_key(&k, version));
}

static uint64_t last_number(struct ram_store *s, struct str name)
{
	struct row *r = ram_find(s, LAYER_NAMES, name, STR(""));

	return r ? r->layer.version : 0;
}

static void put_layer_row(struct ram_store *s, const struct layer_row *l)
{
	struct number_key k;
	struct row *now = ram_row(l->name, number_key(&k, l->version));

	now->layer = (struct layer_row){.name = now->a,
					.version = l->version,
					.deleted = l->deleted,
					.doc = arena_str(&now->arena, l->doc),
					.blob = arena_str(&now->arena, l->blob)};
	ram_put(s, LAYERS, now);
}

int ram_put_layer(struct ram_store *s, const struct op_layer *l)
{
	struct row *name;

	if (l->version != last_number(s, l->name) + 1)
		return STORE_E_EXISTS;
	name = ram_row(l->name, STR(""));
	name->layer.version = l->version;
	ram_put(s, LAYER_NAMES, name);
	put_layer_row(s, &(struct layer_row){.name = l->name, .version = l->version, .doc = l->doc, .blob = l->blob});
	return 0;
}

static bool is_named(struct ram_store *s, struct str layer, uint64_t version)
{
	struct table_rows *t = &s->tables[FUNCTIONS];

	for (size_t i = 0; i < t->n; i++)
		for (size_t k = 0; k < t->rows[i]->function.n_layers; k++)
			if (t->rows[i]->function.layers[k].version == version &&
			    str_eq(t->rows[i]->function.layers[k].name, layer))
				return true;
	return false;
}

/* Removes a deleted version that nothing names. */
static void reap_layer(struct ram_store *s, struct str name, uint64_t version)
{
	struct row *r = find_layer(s, name, version);

	if (!r || !r->layer.deleted || is_named(s, name, version))
		return;
	ram_del(s, LAYERS, r->a, r->b);
	ram_dead(s, r->layer.blob);
}

int ram_delete_layer(struct ram_store *s, const struct op_layer *l)
{
	struct row *old = find_layer(s, l->name, l->version);
	struct layer_row now;

	if (!old)
		return 0;
	now = old->layer;
	now.deleted = true;
	put_layer_row(s, &now);
	reap_layer(s, l->name, l->version);
	return 0;
}

/* ---- functions ---- */

/* What only a row that is gone has held. */
static void bury_function(struct ram_store *s, const struct row *gone)
{
	struct table_rows *t = &s->tables[FUNCTIONS];
	bool held = false;

	for (size_t i = 0; i < t->n; i++)
		held = held || str_eq(t->rows[i]->function.blob, gone->function.blob);
	if (!held)
		ram_dead(s, gone->function.blob);
	for (size_t i = 0; i < gone->function.n_layers; i++)
		reap_layer(s, gone->function.layers[i].name, gone->function.layers[i].version);
}

int ram_put_function(struct ram_store *s, const struct op_put_function *f)
{
	const struct function_row *row = &f->row;
	struct row *old = ram_find(s, FUNCTIONS, row->name, row->version), *now;
	struct layer_ref *layers;

	if (f->mode == PUT_CREATE && old)
		return STORE_E_EXISTS;
	if (f->mode == PUT_REPLACE && !old)
		return STORE_E_MISSING;
	if (f->mode == PUT_REPLACE && f->expect.n && !str_eq(f->expect, old->function.revision))
		return STORE_E_PRECONDITION;
	for (size_t i = 0; i < row->n_layers; i++)
		if (!find_layer(s, row->layers[i].name, row->layers[i].version))
			return STORE_E_NO_LAYER;
	now = ram_row(row->name, row->version);
	now->function.doc = arena_str(&now->arena, row->doc);
	now->function.revision = arena_str(&now->arena, row->revision);
	now->function.blob = arena_str(&now->arena, row->code_blob);
	layers = row->n_layers ? arena_new_n(&now->arena, struct layer_ref, row->n_layers) : NULL;
	for (size_t i = 0; i < row->n_layers; i++)
		layers[i] = (struct layer_ref){.name = arena_str(&now->arena, row->layers[i].name),
					       .version = row->layers[i].version};
	now->function.layers = layers;
	now->function.n_layers = row->n_layers;
	ram_put(s, FUNCTIONS, now);
	if (old)
		bury_function(s, old);
	return 0;
}

static void drop_records(struct ram_store *s, enum record_kind kind, struct str function, struct str key);

int ram_delete_function(struct ram_store *s, struct str name)
{
	struct table_rows *t = &s->tables[FUNCTIONS];
	size_t i = ram_place(t, name, STR(""));
	struct row *r = ram_at(t, i);

	if (!r || !str_eq(r->a, name))
		return STORE_E_MISSING;
	while ((r = ram_at(t, i)) && str_eq(r->a, name)) {
		ram_del(s, FUNCTIONS, r->a, r->b);
		bury_function(s, r);
	}
	for (int kind = RECORD_ALIAS; kind <= RECORD_PROVISIONED; kind++)
		drop_records(s, (enum record_kind)kind, name, STR_NULL);
	return 0;
}

/* ---- records ---- */

struct record_key {
	char text[200]; /* a digit and the name of a function, which has at most 64 characters */
};

static struct str record_key(struct record_key *k, enum record_kind kind, struct str function)
{
	snprintf(k->text, sizeof(k->text), "%u%.*s", kind, STR_ARG(function));
	return str_from(k->text);
}

static struct row *find_record(struct ram_store *s, enum record_kind kind, struct str function, struct str key)
{
	struct record_key k;

	return ram_find(s, RECORDS, record_key(&k, kind, function), key);
}

/* key p == NULL: all of the function. */
static void drop_records(struct ram_store *s, enum record_kind kind, struct str function, struct str key)
{
	struct table_rows *t = &s->tables[RECORDS];
	struct record_key k;
	struct str a = record_key(&k, kind, function);
	size_t i = ram_place(t, a, key.p ? key : STR(""));
	struct row *r;

	while ((r = ram_at(t, i)) && str_eq(r->a, a) && (!key.p || str_eq(r->b, key)))
		ram_del(s, RECORDS, r->a, r->b);
}

static bool leans_well(struct ram_store *s, const struct record *rec)
{
	if (record_stands_alone(rec->kind))
		return true;
	if (!ram_find(s, FUNCTIONS, rec->function, STR("$LATEST")))
		return false;
	if ((rec->version.n && !ram_find(s, FUNCTIONS, rec->function, rec->version)) ||
	    (rec->other.n && !ram_find(s, FUNCTIONS, rec->function, rec->other)))
		return false;
	return rec->kind == RECORD_ALIAS || !rec->key.n || ram_find(s, FUNCTIONS, rec->function, rec->key) ||
	       find_record(s, RECORD_ALIAS, rec->function, rec->key);
}

static uint64_t sum_others(struct ram_store *s, const struct record *rec)
{
	struct table_rows *t = &s->tables[RECORDS];
	uint64_t sum = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct record *o = &t->rows[i]->record;
		bool same = str_eq(o->function, rec->function);

		if (o->kind == rec->kind && (same || rec->kind == RECORD_RESERVED) &&
		    !(same && str_eq(o->key, rec->key)))
			sum += o->number;
	}
	return sum;
}

int ram_put_record(struct ram_store *s, const struct op_put_record *o)
{
	const struct record *rec = &o->record;
	struct row *old = find_record(s, rec->kind, rec->function, rec->key), *now;
	struct record_key k;

	if (!leans_well(s, rec) || (!old && o->mode == PUT_REPLACE))
		return STORE_E_MISSING;
	if (old && o->mode == PUT_CREATE)
		return STORE_E_EXISTS;
	if (old && o->expect.n && !str_eq(o->expect, old->record.revision))
		return STORE_E_PRECONDITION;
	if (rec->number && sum_others(s, rec) + rec->number > o->sum_max)
		return STORE_E_LIMIT;
	now = ram_row(record_key(&k, rec->kind, rec->function), rec->key);
	now->record = copy_record(&now->arena, rec);
	ram_put(s, RECORDS, now);
	return 0;
}

static void drop_key(struct ram_store *s, struct str function, struct str key)
{
	drop_records(s, RECORD_URL, function, key);
	drop_records(s, RECORD_PROVISIONED, function, key);
}

int ram_delete_record(struct ram_store *s, const struct record *rec)
{
	if (!find_record(s, rec->kind, rec->function, rec->key))
		return STORE_E_MISSING;
	drop_records(s, rec->kind, rec->function, rec->key);
	if (rec->kind == RECORD_ALIAS)
		drop_key(s, rec->function, rec->key);
	return 0;
}

int ram_delete_version(struct ram_store *s, struct str name, struct str version)
{
	struct row *r = ram_find(s, FUNCTIONS, name, version);
	struct table_rows *t = &s->tables[RECORDS];

	if (!r)
		return STORE_E_MISSING;
	for (size_t i = 0; i < t->n; i++) {
		const struct record *o = &t->rows[i]->record;

		if (o->kind == RECORD_ALIAS && str_eq(o->function, name) &&
		    (str_eq(o->version, version) || str_eq(o->other, version)))
			return STORE_E_IN_USE;
	}
	ram_del(s, FUNCTIONS, name, version);
	bury_function(s, r);
	drop_key(s, name, version);
	return 0;
}

/* ---- reading ---- */

int ram_get_function(struct store_reader *reader, struct arena *a, struct str name, struct str version, struct str *doc)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = ram_find(s, FUNCTIONS, name, version);
	if (r)
		*doc = arena_str(a, r->function.doc);
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

int ram_list_functions(struct store_reader *reader, struct arena *a, struct str after, uint32_t max, struct str **docs,
		       size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[FUNCTIONS];
	struct row *r;

	*docs = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = ram_place(t, after, STR("")); (r = ram_at(t, i)); i++)
		if (str_cmp(r->a, after) > 0 && str_eqz(r->b, "$LATEST") &&
		    !page_add(a, docs, n, max, truncated, r->function.doc))
			break;
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

static int by_version(const void *x, const void *y)
{
	const struct row *a = *(struct row *const *)x, *b = *(struct row *const *)y;
	int64_t v = version_number(a->b), w = version_number(b->b);
	int c = str_cmp(a->a, b->a);

	return c ? c : v < w ? -1 : v > w;
}

int ram_list_versions(struct store_reader *reader, struct arena *a, struct str name, struct str after,
		      int64_t after_version, uint32_t max, struct str **docs, size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[FUNCTIONS];
	_cleanup_(freep) struct row **rows = NULL;
	size_t n_rows = 0;

	*docs = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	rows = xnew_n(struct row *, t->n + 1);
	for (size_t i = 0; i < t->n; i++) {
		int c = str_cmp(t->rows[i]->a, name.n ? name : after);

		if (c == 0 ? version_number(t->rows[i]->b) > after_version : c > 0 && !name.n)
			rows[n_rows++] = t->rows[i];
	}
	qsort(rows, n_rows, sizeof(*rows), by_version);
	for (size_t i = 0; i < n_rows; i++)
		if (!page_add(a, docs, n, max, truncated, rows[i]->function.doc))
			break;
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

int ram_get_record(struct store_reader *reader, struct arena *a, enum record_kind kind, struct str function,
		   struct str key, struct record **ret)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = find_record(s, kind, function, key);
	if (r) {
		*ret = arena_new(a, struct record);
		**ret = copy_record(a, &r->record);
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

int ram_list_records(struct store_reader *reader, struct arena *a, enum record_kind kind, struct str function,
		     struct str after, uint32_t max, struct record **ret, size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[RECORDS];

	*ret = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = 0; i < t->n; i++) {
		const struct record *o = &t->rows[i]->record;

		if (o->kind != kind || (function.n && !str_eq(o->function, function)) ||
		    (function.n && after.n && str_cmp(o->key, after) <= 0))
			continue;
		if (*n == max) {
			*truncated = max > 0;
			break;
		}
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = copy_record(a, o);
	}
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

int ram_last_layer(struct store_reader *reader, struct str name, uint64_t *ret)
{
	struct ram_store *s = ram_of(reader);

	pthread_rwlock_rdlock(&s->rows);
	*ret = last_number(s, name);
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

int ram_get_layer(struct store_reader *reader, struct arena *a, struct str name, uint64_t version, struct str *doc,
		  bool *deleted)
{
	struct ram_store *s = ram_of(reader);
	struct row *r;

	pthread_rwlock_rdlock(&s->rows);
	r = find_layer(s, name, version);
	if (r) {
		*doc = arena_str(a, r->layer.doc);
		*deleted = r->layer.deleted;
	}
	pthread_rwlock_unlock(&s->rows);
	return r ? 0 : STORE_E_MISSING;
}

int ram_list_layer_versions(struct store_reader *reader, struct arena *a, struct str name, uint64_t before,
			    uint32_t max, struct str **docs, size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[LAYERS];
	struct number_key k;

	*docs = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = ram_place(t, name, number_key(&k, before)); i-- > 0 && str_eq(t->rows[i]->a, name);)
		if (!t->rows[i]->layer.deleted && !page_add(a, docs, n, max, truncated, t->rows[i]->layer.doc))
			break;
	pthread_rwlock_unlock(&s->rows);
	return 0;
}

int ram_list_layers(struct store_reader *reader, struct arena *a, struct str after, uint32_t max, struct str **names,
		    size_t *n, bool *truncated)
{
	struct ram_store *s = ram_of(reader);
	struct table_rows *t = &s->tables[LAYERS];
	struct str last = after;

	*names = NULL;
	*n = 0;
	*truncated = false;
	pthread_rwlock_rdlock(&s->rows);
	for (size_t i = ram_place(t, after, STR("")); i < t->n; i++) {
		const struct row *r = t->rows[i];

		if (r->layer.deleted || str_eq(r->a, last))
			continue;
		if (!page_add(a, names, n, max, truncated, r->a))
			break;
		last = r->a;
	}
	pthread_rwlock_unlock(&s->rows);
	return 0;
}
