/* The store on SQLite: opening and checking the file, group commit, and the table of operations; the nouns stand in
 * store_sqlite_*.c.
 *
 * One connection writes, on the writer thread; each reader has its own, opened at its first read and used by one
 * thread at a time. WAL lets readers and the writer pass each other. A batch is one BEGIN IMMEDIATE..COMMIT with
 * synchronous=FULL; every store_txn is a savepoint in it. A contract error rolls its savepoint back; an error of disk
 * or memory, or a failed COMMIT, rolls the whole batch back and is the answer to all of it: nothing was acknowledged,
 * the file is as before, and the next batch starts anew. */
#include "base/mem.h"
#include "store/store_sqlite.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What leads from one schema version to the next; a new file goes the whole way. */
static const char *const schemas[] = {
	"BEGIN IMMEDIATE;\n"
#include "store/schema.inc"
	"PRAGMA user_version = 1;\nCOMMIT;\n",
	"BEGIN IMMEDIATE;\n"
#include "store/schema_2.inc"
	"PRAGMA user_version = 2;\nCOMMIT;\n",
	"BEGIN IMMEDIATE;\n"
#include "store/schema_3.inc"
	"PRAGMA user_version = 3;\nCOMMIT;\n",
};
#define SCHEMA_VERSION ((int)ARRAY_SIZE(schemas))

struct sq *sq_of(struct store_reader *r)
{
	return &container_of(r, struct sqlite_reader, reader)->sq;
}

static int apply_op(struct sq *c, const struct op *o)
{
	switch (o->kind) {
	case OP_PUT_BUCKET:
		return sq_put_bucket(c, &o->bucket);
	case OP_SET_BUCKET:
		return sq_set_bucket(c, &o->set_bucket);
	case OP_DELETE_BUCKET:
		return sq_delete_bucket(c, o->name);
	case OP_PUT_OBJECT:
		return sq_put_object(c, &o->put_object);
	case OP_DELETE_OBJECT:
		return sq_delete_object(c, &o->object);
	case OP_SET_OBJECT_TAGS:
		return sq_set_object_tags(c, &o->object);
	case OP_PUT_UPLOAD:
		return sq_put_upload(c, &o->upload);
	case OP_PUT_PART:
		return sq_put_part(c, &o->put_part);
	case OP_DELETE_UPLOAD:
		return sq_delete_upload(c, o->name);
	case OP_COMPLETE_UPLOAD:
		return sq_complete_upload(c, &o->put_object);
	case OP_PUT_FUNCTION:
		return sq_put_function(c, &o->put_function);
	case OP_DELETE_FUNCTION:
		return sq_delete_function(c, o->name);
	case OP_DELETE_VERSION:
		return sq_delete_version(c, o->record.function, o->record.version);
	case OP_PUT_RECORD:
		return sq_put_record(c, &o->put_record);
	case OP_DELETE_RECORD:
		return sq_delete_record(c, &o->record);
	case OP_PUT_LAYER:
		return sq_put_layer(c, &o->layer);
	case OP_DELETE_LAYER:
		return sq_delete_layer(c, &o->layer);
	case OP_PUT_EVENT:
		return sq_put_event(c, &o->event);
	case OP_DELETE_EVENT:
		return sq_delete_event(c, o->name);
	case OP_SET_EVENT:
		return sq_set_event(c, &o->set_event);
	case OP_REDRIVE_EVENTS:
		return sq_redrive_events(c, &o->redrive);
	case OP_ADD_USAGE:
		return sq_add_usage(c, &o->usage);
	case OP_BLOB_REAPED:
		return sq_blob_reaped(c, o->name);
	}
	return -EINVAL;
}

/* Negative: the batch is lost. A contract error is in t->r, with nothing of t applied. */
static int apply_txn(struct sq *c, struct store_txn *t)
{
	unsigned at = 0;
	int r = sq_exec(c, "SAVEPOINT txn", "");

	if (r < 0)
		return r;
	for (const struct op *o = t->first; o && !t->r; o = o->next, at++) {
		t->r = apply_op(c, o);
		t->failed = at;
	}
	if (t->r < 0)
		return t->r;
	if (t->r > 0) {
		r = sq_exec(c, "ROLLBACK TO txn", "");
		if (r < 0)
			return r;
	} else {
		t->failed = 0;
	}
	return sq_exec(c, "RELEASE txn", "");
}

static int apply_all(struct sq *c, struct txn_list *batch)
{
	int r = sq_open(c, NULL);

	if (r == 0)
		r = sq_exec(c, "BEGIN IMMEDIATE", "");
	for (struct store_txn *t = txn_list_first(batch); t && r == 0; t = txn_list_next(t))
		r = apply_txn(c, t);
	return r == 0 ? sq_exec(c, "COMMIT", "") : r;
}

static void sqlite_apply(struct store *s, struct txn_list *batch)
{
	struct sq *c = &container_of(s, struct sqlite_store, store)->writer;
	int r = apply_all(c, batch);

	if (r == 0)
		return;
	/* SQLite may have rolled back by itself. */
	if (c->db && !sqlite3_get_autocommit(c->db))
		sq_exec(c, "ROLLBACK", "");
	for (struct store_txn *t = txn_list_first(batch); t; t = txn_list_next(t))
		if (t->r >= 0) {
			t->r = r;
			t->failed = 0;
		}
}

static struct store_reader *sqlite_reader_new(struct store *s)
{
	struct sqlite_reader *r = xnew(struct sqlite_reader);

	r->reader.store = s;
	r->sq.path = container_of(s, struct sqlite_store, store)->path;
	return &r->reader;
}

static void sqlite_reader_free(struct store_reader *r)
{
	struct sqlite_reader *sr = container_of(r, struct sqlite_reader, reader);

	sq_close(&sr->sq);
	free(sr);
}

static void sqlite_free(struct store *s)
{
	struct sqlite_store *ss = container_of(s, struct sqlite_store, store);

	/* The last connection to close takes the WAL into the file. */
	sq_close(&ss->writer);
	free(ss->path);
	free(ss);
}

static const struct store_ops sqlite_ops = {
	.free = sqlite_free,
	.apply = sqlite_apply,
	.reader_new = sqlite_reader_new,
	.reader_free = sqlite_reader_free,
	.get_bucket = sq_get_bucket,
	.list_buckets = sq_list_buckets,
	.get_object = sq_get_object,
	.list_objects = sq_list_objects,
	.get_upload = sq_get_upload,
	.list_parts = sq_list_parts,
	.list_uploads = sq_list_uploads,
	.get_function = sq_get_function,
	.list_functions = sq_list_functions,
	.list_versions = sq_list_versions,
	.get_record = sq_get_record,
	.list_records = sq_list_records,
	.last_layer = sq_last_layer,
	.get_layer = sq_get_layer,
	.list_layer_versions = sq_list_layer_versions,
	.list_layers = sq_list_layers,
	.due_events = sq_due_events,
	.next_event_due = sq_next_event_due,
	.list_events = sq_list_events,
	.get_event = sq_get_event,
	.sum_usage = sq_sum_usage,
	.list_usage = sq_list_usage,
	.dead_blobs = sq_dead_blobs,
	.blobs_live = sq_blobs_live,
};

static int schema_version(struct sq *c, int64_t *ret)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "PRAGMA user_version", "");

	if (r == 0)
		r = sq_step(c, st);
	if (r > 0)
		*ret = sq_int(st, 0);
	return MIN(r, 0);
}

static int check_schema(struct sq *c, struct err *err)
{
	int64_t version = 0;
	int r = schema_version(c, &version);

	if (r == 0 && version > SCHEMA_VERSION)
		return err_set(err, 0, "store %s: made by a newer Wick (schema %lld, this one knows %d)", c->path,
			       (long long)version, SCHEMA_VERSION);
	for (int64_t v = MAX(version, 0); r == 0 && v < SCHEMA_VERSION; v++) {
		r = sq_script(c, schemas[v]);
		if (r < 0 && !sqlite3_get_autocommit(c->db))
			sq_script(c, "ROLLBACK");
	}
	return r < 0 ? err_set(err, -r, "store %s: %s", c->path, sqlite3_errmsg(c->db)) : 0;
}

/* SQLite would make the file with the umask's mode; the files beside it take their mode from it. */
static int make_file(const char *dir, const char *path, struct err *err)
{
	int fd, r = mkdir_p(dir, 0700);

	if (r < 0)
		return err_set(err, -r, "store folder %s", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, errno, "store %s", path);
	close(fd);
	return 0;
}

struct store *store_open_sqlite(const struct store_conf *conf, struct err *err)
{
	struct sqlite_store *s = xnew(struct sqlite_store);
	int r;

	s->store.ops = &sqlite_ops;
	s->store.loop = conf->loop;
	s->path = xasprintf("%s/wick.db", conf->path);
	s->writer.path = s->path;
	s->writer.writes = true;
	if (make_file(conf->path, s->path, err) < 0 || sq_open(&s->writer, err) < 0 ||
	    check_schema(&s->writer, err) < 0) {
		sqlite_free(&s->store);
		return NULL;
	}
	r = store_start(&s->store);
	if (r < 0) {
		err_set(err, -r, "store %s: start the writer thread", s->path);
		return store_close(&s->store);
	}
	return &s->store;
}
