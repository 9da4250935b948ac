/* The contract of the store, run over each backend: every operation, every error of its contract, and that a
 * transaction that fails changes nothing. */
#include "store/store_backends.h"

static void add_bucket(struct fixture *f, struct str name)
{
	struct store_txn *t = store_begin(f->store);

	store_put_bucket(t, &(struct bucket){.name = name, .created_ms = 7, .cors = STR("{}")});
	assert_int_equal(commit(f, t), 0);
}

static struct object object(struct str key, struct extent *e)
{
	static struct kv headers[] = {{{"cache-control", 13}, {"no-store", 8}},
				      {{"x-amz-storage-class", 19}, {"STANDARD_IA", 11}}};
	static struct kv tags[] = {{{"a", 1}, {"1", 1}}};

	return (struct object){.bucket = STR("b"),
			       .key = key,
			       .size = e ? e->size : 0,
			       .modified_ms = 1234,
			       .etag = STR("e1"),
			       .content_type = STR("text/plain"),
			       .headers = headers,
			       .n_headers = 2,
			       .tags = tags,
			       .n_tags = 1,
			       .extents = e,
			       .n_extents = e != NULL,
			       .parts = 3};
}

static int put_blob(struct fixture *f, struct str key, struct str blob, const struct object_condition *c)
{
	struct extent e = {blob, 10};
	struct object o = object(key, blob.n ? &e : NULL);
	struct store_txn *t = store_begin(f->store);

	store_put_object(t, &o, c);
	return commit(f, t);
}

static void buckets(void **state)
{
	struct fixture *f = fix(state);
	struct store_txn *t = store_begin(f->store);
	struct bucket *b;
	size_t n;

	assert_int_equal(store_get_bucket(rd(f), &f->arena, STR("b"), &b), STORE_E_NO_BUCKET);
	add_bucket(f, STR("zz"));
	store_put_bucket(t, &(struct bucket){.name = STR("b"), .created_ms = 5});
	store_set_bucket(t, STR("b"), BUCKET_NOTIFICATION, STR("n"));
	store_set_bucket(t, STR("b"), BUCKET_POLICY, STR("p"));
	store_set_bucket(t, STR("b"), BUCKET_CORS, STR("c"));
	store_set_bucket(t, STR("b"), BUCKET_TAGGING, STR("t"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_bucket(rd(f), &f->arena, STR("b"), &b), 0);
	assert_int_equal(b->created_ms, 5);
	assert_str(b->notification, "n");
	assert_str(b->policy, "p");
	assert_str(b->cors, "c");
	assert_str(b->tagging, "t");
	assert_int_equal(store_list_buckets(rd(f), &f->arena, &b, &n), 0);
	assert_int_equal(n, 2);
	assert_str(b[0].name, "b");
	assert_str(b[1].name, "zz");

	t = store_begin(f->store);
	store_put_bucket(t, &(struct bucket){.name = STR("new")});
	store_put_bucket(t, &(struct bucket){.name = STR("b")});
	assert_int_equal(commit(f, t), STORE_E_EXISTS);
	assert_int_equal(f->op, 1);
	assert_int_equal(store_get_bucket(rd(f), &f->arena, STR("new"), &b), STORE_E_NO_BUCKET);

	t = store_begin(f->store);
	store_set_bucket(t, STR("none"), BUCKET_POLICY, STR(""));
	assert_int_equal(commit(f, t), STORE_E_NO_BUCKET);
	t = store_begin(f->store);
	store_delete_bucket(t, STR("none"));
	assert_int_equal(commit(f, t), STORE_E_NO_BUCKET);
	assert_int_equal(put_blob(f, STR("k"), STR("blob"), NULL), 0);
	t = store_begin(f->store);
	store_delete_bucket(t, STR("b"));
	assert_int_equal(commit(f, t), STORE_E_NOT_EMPTY);
	t = store_begin(f->store);
	store_delete_object(t, STR("b"), STR("k"));
	store_put_upload(t, &(struct upload){.id = STR("u"), .object = {.bucket = STR("b"), .key = STR("k")}});
	assert_int_equal(commit(f, t), 0);
	t = store_begin(f->store);
	store_delete_bucket(t, STR("b"));
	assert_int_equal(commit(f, t), STORE_E_NOT_EMPTY);
	t = store_begin(f->store);
	store_delete_upload(t, STR("u"));
	store_delete_bucket(t, STR("b"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_bucket(rd(f), &f->arena, STR("b"), &b), STORE_E_NO_BUCKET);
}

static void objects(void **state)
{
	struct fixture *f = fix(state);
	struct store_txn *t;
	struct object *o;
	struct kv tag = {STR("x"), STR("y")};

	assert_int_equal(put_blob(f, STR("k"), STR("blob"), NULL), STORE_E_NO_BUCKET);
	add_bucket(f, STR("b"));
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k"), &o), STORE_E_NO_OBJECT);
	assert_int_equal(put_blob(f, STR("k\0\xff"), STR("one"), NULL), 0);
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k\0\xff"), &o), 0);
	assert_true(str_eq(o->key, STR("k\0\xff")));
	assert_str(o->bucket, "b");
	assert_int_equal(o->size, 10);
	assert_int_equal(o->modified_ms, 1234);
	assert_str(o->etag, "e1");
	assert_str(o->content_type, "text/plain");
	assert_int_equal(o->n_headers, 2);
	assert_str(o->headers[0].k, "cache-control");
	assert_str(o->headers[1].v, "STANDARD_IA");
	assert_int_equal(o->n_tags, 1);
	assert_str(o->tags[0].v, "1");
	assert_int_equal(o->n_extents, 1);
	assert_str(o->extents[0].blob, "one");
	assert_int_equal(o->extents[0].size, 10);
	assert_int_equal(o->parts, 3);
	assert_string_equal(dead(f), "");

	/* The same blob again lives on; another one takes its place. */
	assert_int_equal(put_blob(f, STR("k\0\xff"), STR("one"), NULL), 0);
	assert_string_equal(dead(f), "");
	assert_int_equal(put_blob(f, STR("k\0\xff"), STR("two"), NULL), 0);
	assert_string_equal(dead(f), "one");

	t = store_begin(f->store);
	store_set_object_tags(t, STR("b"), STR("k\0\xff"), &tag, 1);
	store_blob_reaped(t, STR("one"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k\0\xff"), &o), 0);
	assert_str(o->tags[0].k, "x");
	assert_str(o->extents[0].blob, "two");
	t = store_begin(f->store);
	store_set_object_tags(t, STR("b"), STR("none"), NULL, 0);
	assert_int_equal(commit(f, t), STORE_E_NO_OBJECT);

	t = store_begin(f->store);
	store_delete_object(t, STR("b"), STR("none"));
	store_delete_object(t, STR("b"), STR("k\0\xff"));
	assert_int_equal(commit(f, t), 0);
	assert_string_equal(dead(f), "two");
	t = store_begin(f->store);
	store_delete_object(t, STR("none"), STR("k"));
	assert_int_equal(commit(f, t), STORE_E_NO_BUCKET);
}

static void conditions(void **state)
{
	static const struct {
		struct object_condition c;
		int absent, present;
	} cases[] = {
		{{.if_match = {"*", 1}}, STORE_E_NO_OBJECT, 0},
		{{.if_match = {"e1", 2}}, STORE_E_NO_OBJECT, 0},
		{{.if_match = {"e2", 2}}, STORE_E_NO_OBJECT, STORE_E_PRECONDITION},
		{{.if_none_match = {"*", 1}}, 0, STORE_E_PRECONDITION},
		{{.if_none_match = {"e1", 2}}, 0, STORE_E_PRECONDITION},
		{{.if_none_match = {"e2", 2}}, 0, 0},
	};
	struct fixture *f = fix(state);
	struct object *o;

	add_bucket(f, STR("b"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str key = str_from(arena_printf(&f->arena, "k%zu", i));

		assert_int_equal(put_blob(f, key, STR(""), &cases[i].c), cases[i].absent);
		assert_int_equal(put_blob(f, key, STR("first"), NULL), 0);
		assert_int_equal(put_blob(f, key, STR("second"), &cases[i].c), cases[i].present);
		assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), key, &o), 0);
		assert_str(o->extents[0].blob, cases[i].present ? "first" : "second");
	}
}

static void page(struct fixture *f, const struct object_list_query *q, const char *want)
{
	struct object_list l;
	char *got = arena_dup(&f->arena, STR(""));

	assert_int_equal(store_list_objects(rd(f), &f->arena, q, &l), 0);
	for (size_t i = 0; i < l.n_objects; i++)
		got = arena_printf(&f->arena, "%s%.*s ", got, STR_ARG(l.objects[i].key));
	got = arena_printf(&f->arena, "%s|", got);
	for (size_t i = 0; i < l.n_prefixes; i++)
		got = arena_printf(&f->arena, "%s %.*s", got, STR_ARG(l.prefixes[i]));
	if (l.truncated)
		got = arena_printf(&f->arena, "%s > %.*s", got, STR_ARG(l.next));
	assert_string_equal(got, want);
}

static void listing(void **state)
{
	static const char *const keys[] = {"a", "b/1", "b/2", "b/c/3", "b0", "c", "d//x", "d/y", "\xff", "\xff\xff"};
	struct fixture *f = fix(state);
	struct str b = STR("b"), slash = STR("/");
	struct object_list l;

	assert_int_equal(store_list_objects(rd(f), &f->arena, &(struct object_list_query){.bucket = b, .max = 1}, &l),
			 STORE_E_NO_BUCKET);
	add_bucket(f, b);
	add_bucket(f, STR("a"));
	add_bucket(f, STR("bb"));
	for (size_t i = ARRAY_SIZE(keys); i-- > 0;)
		assert_int_equal(put_blob(f, str_from(keys[i]), STR(""), NULL), 0);
	page(f, &(struct object_list_query){.bucket = STR("a"), .max = 10}, "|");
	page(f, &(struct object_list_query){.bucket = b, .max = 0}, "|");
	page(f, &(struct object_list_query){.bucket = b, .max = 100}, "a b/1 b/2 b/c/3 b0 c d//x d/y \xff \xff\xff |");
	page(f, &(struct object_list_query){.bucket = b, .max = 3}, "a b/1 b/2 | > b/2");
	page(f, &(struct object_list_query){.bucket = b, .max = 100, .after = STR("c")}, "d//x d/y \xff \xff\xff |");
	page(f, &(struct object_list_query){.bucket = b, .max = 100, .after = STR("b/20")},
	     "b/c/3 b0 c d//x d/y \xff \xff\xff |");
	page(f, &(struct object_list_query){.bucket = b, .max = 100, .delimiter = slash},
	     "a b0 c \xff \xff\xff | b/ d/");
	page(f, &(struct object_list_query){.bucket = b, .max = 2, .delimiter = slash}, "a | b/ > b/");
	page(f, &(struct object_list_query){.bucket = b, .max = 2, .delimiter = slash, .after = STR("b/")},
	     "b0 c | > c");
	page(f, &(struct object_list_query){.bucket = b, .max = 5, .delimiter = slash, .after = STR("b/1")},
	     "b0 c \xff \xff\xff | d/");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .delimiter = slash, .prefix = STR("b/")},
	     "b/1 b/2 | b/c/");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .delimiter = slash, .prefix = STR("d/")},
	     "d/y | d//");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .delimiter = STR("/c"), .prefix = STR("b")},
	     "b/1 b/2 b0 | b/c");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .delimiter = STR("\xff")},
	     "a b/1 b/2 b/c/3 b0 c d//x d/y | \xff");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .prefix = STR("b/"), .after = STR("z")}, "|");
	page(f, &(struct object_list_query){.bucket = b, .max = 9, .prefix = STR("x")}, "|");
	assert_int_equal(store_list_objects(rd(f), &f->arena, &(struct object_list_query){.bucket = b, .max = 1}, &l),
			 0);
	assert_int_equal(l.objects[0].n_headers, 1);
	assert_str(l.objects[0].headers[0].v, "STANDARD_IA");
	assert_str(l.objects[0].etag, "e1");
}

static void put_part(struct fixture *f, struct str id, uint32_t number, struct str blob, int want)
{
	struct store_txn *t = store_begin(f->store);

	store_put_part(t, id,
		       &(struct upload_part){.number = number,
					     .etag = STR("pe"),
					     .checksum = STR("CRC32:x"),
					     .size = 5,
					     .modified_ms = 9,
					     .blob = blob});
	assert_int_equal(commit(f, t), want);
}

static void uploads(void **state)
{
	struct fixture *f = fix(state);
	struct extent extents[] = {{STR("p1b"), 5}, {STR("p2"), 5}};
	struct object o = object(STR("k"), NULL), *got;
	struct upload u = {.id = STR("u1"), .object = o, .created_ms = 11}, *up;
	struct upload_part *parts;
	struct store_txn *t = store_begin(f->store);
	bool truncated;
	size_t n;

	store_put_upload(t, &u);
	assert_int_equal(commit(f, t), STORE_E_NO_BUCKET);
	add_bucket(f, STR("b"));
	put_part(f, STR("u1"), 1, STR("p1"), STORE_E_MISSING);
	assert_int_equal(store_get_upload(rd(f), &f->arena, STR("u1"), &up), STORE_E_MISSING);
	assert_int_equal(store_list_parts(rd(f), &f->arena, STR("u1"), 0, 9, &parts, &n, &truncated), STORE_E_MISSING);
	t = store_begin(f->store);
	store_put_upload(t, &u);
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_upload(rd(f), &f->arena, STR("u1"), &up), 0);
	assert_str(up->object.key, "k");
	assert_str(up->object.bucket, "b");
	assert_str(up->object.content_type, "text/plain");
	assert_int_equal(up->object.n_headers, 2);
	assert_int_equal(up->object.n_tags, 1);
	assert_int_equal(up->created_ms, 11);
	put_part(f, STR("u1"), 1, STR("p1"), 0);
	put_part(f, STR("u1"), 10000, STR("p3"), 0);
	put_part(f, STR("u1"), 2, STR("p2"), 0);
	put_part(f, STR("u1"), 1, STR("p1b"), 0);
	assert_string_equal(dead(f), "p1");
	assert_int_equal(store_list_parts(rd(f), &f->arena, STR("u1"), 0, 2, &parts, &n, &truncated), 0);
	assert_int_equal(n, 2);
	assert_true(truncated);
	assert_str(parts[0].blob, "p1b");
	assert_str(parts[0].checksum, "CRC32:x");
	assert_int_equal(store_list_parts(rd(f), &f->arena, STR("u1"), 2, 2, &parts, &n, &truncated), 0);
	assert_int_equal(n, 1);
	assert_false(truncated);
	assert_int_equal(parts[0].number, 10000);

	o.extents = extents;
	o.n_extents = 2;
	t = store_begin(f->store);
	store_complete_upload(t, STR("u1"), &o, &(struct object_condition){.if_match = STR("*")});
	assert_int_equal(commit(f, t), STORE_E_NO_OBJECT);
	assert_int_equal(store_get_upload(rd(f), &f->arena, STR("u1"), &up), 0);
	assert_int_equal(put_blob(f, STR("k"), STR("old"), NULL), 0);
	t = store_begin(f->store);
	store_complete_upload(t, STR("u1"), &o, NULL);
	assert_int_equal(commit(f, t), 0);
	assert_string_equal(dead(f), "old p1 p3");
	assert_int_equal(store_get_upload(rd(f), &f->arena, STR("u1"), &up), STORE_E_MISSING);
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k"), &got), 0);
	assert_int_equal(got->n_extents, 2);
	t = store_begin(f->store);
	store_complete_upload(t, STR("u1"), &o, NULL);
	assert_int_equal(commit(f, t), STORE_E_MISSING);
	t = store_begin(f->store);
	store_delete_upload(t, STR("u1"));
	assert_int_equal(commit(f, t), STORE_E_MISSING);
	t = store_begin(f->store);
	u.id = STR("u2");
	store_put_upload(t, &u);
	assert_int_equal(commit(f, t), 0);
	put_part(f, STR("u2"), 1, STR("q1"), 0);
	t = store_begin(f->store);
	store_delete_upload(t, STR("u2"));
	assert_int_equal(commit(f, t), 0);
	assert_string_equal(dead(f), "old p1 p3 q1");
}

static void upload_page(struct fixture *f, struct upload_list_query q, const char *want)
{
	struct upload_list l;
	char *got = arena_dup(&f->arena, STR(""));

	q.bucket = STR("b");
	assert_int_equal(store_list_uploads(rd(f), &f->arena, &q, &l), 0);
	for (size_t i = 0; i < l.n_uploads; i++)
		got = arena_printf(&f->arena, "%s%.*s:%.*s ", got, STR_ARG(l.uploads[i].object.key),
				   STR_ARG(l.uploads[i].id));
	got = arena_printf(&f->arena, "%s|", got);
	for (size_t i = 0; i < l.n_prefixes; i++)
		got = arena_printf(&f->arena, "%s %.*s", got, STR_ARG(l.prefixes[i]));
	if (l.truncated)
		got = arena_printf(&f->arena, "%s > %.*s:%.*s", got, STR_ARG(l.next_key), STR_ARG(l.next_id));
	assert_string_equal(got, want);
}

static void upload_listing(void **state)
{
	static const char *const keys[][2] = {{"a", "2"}, {"a", "1"}, {"b/x", "3"}, {"b/y", "0"}, {"c", "9"}};
	struct fixture *f = fix(state);
	struct upload_list l;
	struct store_txn *t;

	assert_int_equal(
		store_list_uploads(rd(f), &f->arena, &(struct upload_list_query){.bucket = STR("b"), .max = 1}, &l),
		STORE_E_NO_BUCKET);
	add_bucket(f, STR("b"));
	t = store_begin(f->store);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct upload u = {.id = str_from(keys[i][1]), .object = object(str_from(keys[i][0]), NULL)};

		store_put_upload(t, &u);
	}
	assert_int_equal(commit(f, t), 0);
	upload_page(f, (struct upload_list_query){.max = 9}, "a:1 a:2 b/x:3 b/y:0 c:9 |");
	upload_page(f, (struct upload_list_query){.max = 1}, "a:1 | > a:1");
	upload_page(f, (struct upload_list_query){.max = 9, .key_marker = STR("a"), .id_marker = STR("1")},
		    "a:2 b/x:3 b/y:0 c:9 |");
	upload_page(f, (struct upload_list_query){.max = 9, .key_marker = STR("a")}, "b/x:3 b/y:0 c:9 |");
	upload_page(f, (struct upload_list_query){.max = 3, .delimiter = STR("/")}, "a:1 a:2 | b/ > b/:");
	upload_page(f, (struct upload_list_query){.max = 3, .delimiter = STR("/"), .key_marker = STR("b/")}, "c:9 |");
	upload_page(f, (struct upload_list_query){.max = 3, .prefix = STR("b/")}, "b/x:3 b/y:0 |");
}

static void put_event(struct store_txn *t, struct str id, struct str function, enum event_state st, int64_t created,
		      int64_t due)
{
	struct event e = {.id = id,
			  .function = function,
			  .payload = STR("{\"a\":\0 1}"),
			  .trace = STR("Root=1"),
			  .source = STR("invoke"),
			  .state = st,
			  .attempts = 2,
			  .created_ms = created,
			  .due_ms = due};

	store_put_event(t, &e);
}

static void events(void **state)
{
	struct fixture *f = fix(state);
	struct store_txn *t = store_begin(f->store);
	struct event *e;
	int64_t due;
	size_t n;

	assert_int_equal(store_next_event_due(rd(f), &due), STORE_E_MISSING);
	put_event(t, STR("1"), STR("f"), EVENT_QUEUED, 1, 300);
	put_event(t, STR("2"), STR("f:v"), EVENT_QUEUED, 2, 200);
	put_event(t, STR("3"), STR("g"), EVENT_QUEUED, 3, 100);
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_next_event_due(rd(f), &due), 0);
	assert_int_equal(due, 100);
	assert_int_equal(store_due_events(rd(f), &f->arena, 250, 9, &e, &n), 0);
	assert_int_equal(n, 2);
	assert_str(e[0].id, "3");
	assert_true(str_eq(e[0].payload, STR("{\"a\":\0 1}")));
	assert_str(e[1].id, "2");
	assert_int_equal(store_due_events(rd(f), &f->arena, 250, 1, &e, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(store_get_event(rd(f), &f->arena, STR("2"), &e), 0);
	assert_str(e->trace, "Root=1");
	assert_str(e->source, "invoke");
	assert_int_equal(e->attempts, 2);
	assert_int_equal(store_get_event(rd(f), &f->arena, STR("9"), &e), STORE_E_MISSING);

	t = store_begin(f->store);
	store_set_event(t, STR("1"), EVENT_FAILED, 3, 5, STR("why"));
	store_set_event(t, STR("2"), EVENT_FAILED, 3, 5, STR("why"));
	store_set_event(t, STR("3"), EVENT_FAILED, 3, 5, STR("why"));
	store_set_event(t, STR("none"), EVENT_FAILED, 3, 5, STR("why"));
	store_delete_event(t, STR("none"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_list_events(rd(f), &f->arena, EVENT_FAILED, STR_NULL, 9, &e, &n), 0);
	assert_int_equal(n, 3);
	assert_str(e[0].id, "3");
	assert_str(e[2].reason, "why");
	assert_int_equal(store_list_events(rd(f), &f->arena, EVENT_FAILED, STR("f"), 9, &e, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_list_events(rd(f), &f->arena, EVENT_FAILED, STR("f:v"), 9, &e, &n), 0);
	assert_int_equal(n, 1);

	t = store_begin(f->store);
	store_redrive_events(t, STR_NULL, STR("f"), 77);
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_due_events(rd(f), &f->arena, 77, 9, &e, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(e[0].attempts, 0);
	t = store_begin(f->store);
	store_redrive_events(t, STR("3"), STR_NULL, 78);
	store_delete_event(t, STR("1"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_due_events(rd(f), &f->arena, 78, 9, &e, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_list_events(rd(f), &f->arena, EVENT_FAILED, STR_NULL, 9, &e, &n), 0);
	assert_int_equal(n, 0);
}

#define DAY 86400000LL

static void use(struct store_txn *t, struct str function, struct str id, int64_t at, enum usage_status st)
{
	store_add_usage(t, &(struct usage){.request_id = id,
					   .function = function,
					   .version = STR("$LATEST"),
					   .at_ms = at,
					   .queue_us = 1,
					   .start_us = 2,
					   .init_us = 3,
					   .run_us = 4,
					   .billed_ms = 100,
					   .memory_mb = 128,
					   .max_memory_mb = 64,
					   .status = st,
					   .device_slice_ms = 5,
					   .cost_picousd = 1000});
}

static uint64_t count(struct fixture *f, int64_t from, int64_t to)
{
	struct usage_sum *s;
	uint64_t all = 0;
	size_t n;

	assert_int_equal(store_sum_usage(rd(f), &f->arena, from, to, &s, &n), 0);
	for (size_t i = 0; i < n; i++)
		all += s[i].invocations;
	return all;
}

static void usage(void **state)
{
	struct fixture *f = fix(state);
	struct store_txn *t = store_begin(f->store);
	struct usage_sum *s;
	struct usage *u;
	size_t n;

	use(t, STR("f"), STR("1"), 10 * DAY - 1, USAGE_OK);
	use(t, STR("f"), STR("2"), 10 * DAY, USAGE_OK);
	use(t, STR("f"), STR("2"), 10 * DAY, USAGE_OK); /* said twice, counted once */
	use(t, STR("f"), STR("3"), 10 * DAY + 5, USAGE_TIMEOUT);
	use(t, STR("e"), STR("4"), 11 * DAY - 1, USAGE_OK);
	use(t, STR("f"), STR("5"), 12 * DAY + 9, USAGE_OK);
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_sum_usage(rd(f), &f->arena, 10 * DAY - 1, 12 * DAY, &s, &n), 0);
	assert_int_equal(n, 2);
	assert_str(s[0].function, "e");
	assert_str(s[1].function, "f");
	assert_int_equal(s[1].invocations, 3);
	assert_int_equal(s[1].errors, 1);
	assert_int_equal(s[1].billed_ms, 300);
	assert_int_equal(s[1].mb_ms, 3 * 12800);
	assert_int_equal(s[1].device_slice_ms, 15);
	assert_int_equal(s[1].cost_picousd, 3000);
	assert_int_equal(count(f, INT64_MIN, INT64_MAX), 5);
	assert_int_equal(count(f, 10 * DAY, 11 * DAY), 3);
	assert_int_equal(count(f, 10 * DAY + 1, 11 * DAY - 1), 1);
	assert_int_equal(count(f, 10 * DAY + 1, 12 * DAY + 10), 3);
	assert_int_equal(count(f, 10 * DAY - 1, 10 * DAY - 1), 0);
	assert_int_equal(count(f, 5, 4), 0);

	assert_int_equal(store_list_usage(rd(f), &f->arena, STR("f"), INT64_MAX, 2, &u, &n), 0);
	assert_int_equal(n, 2);
	assert_str(u[0].request_id, "5");
	assert_str(u[1].request_id, "3");
	assert_int_equal(u[1].status, USAGE_TIMEOUT);
	assert_int_equal(u[1].run_us, 4);
	assert_int_equal(u[1].max_memory_mb, 64);
	assert_int_equal(store_list_usage(rd(f), &f->arena, STR_NULL, 11 * DAY, 9, &u, &n), 0);
	assert_int_equal(n, 4);
	assert_str(u[0].request_id, "4");
	assert_str(u[0].function, "e");
}

static void hold(struct store_txn *t, struct str id, int64_t at, struct str device, struct str rung, uint32_t slots)
{
	store_add_usage(t, &(struct usage){.request_id = id,
					   .function = STR("f"),
					   .version = STR("1"),
					   .at_ms = at,
					   .billed_ms = 10,
					   .memory_mb = 128,
					   .device = device,
					   .rung = rung,
					   .slots = slots,
					   .device_slice_ms = 10 * slots,
					   .cost_picousd = 7});
}

/* Sums are told apart by device, in whole days as in single rows. */
static void device_usage(void **state)
{
	static const struct {
		int64_t from, to;
		uint64_t none, a10, h200; /* slice-milliseconds + invocations */
	} spans[] = {
		{10 * DAY, 11 * DAY, 1, 0, 2 + 110},
		{10 * DAY, 12 * DAY, 1, 1 + 80, 2 + 110},
		{10 * DAY + 1, 11 * DAY + 1, 1, 1 + 80, 1 + 80},
		{10 * DAY + 1, 10 * DAY + 2, 0, 0, 1 + 80},
	};
	struct fixture *f = fix(state);
	struct store_txn *t = store_begin(f->store);
	struct usage_sum *s;
	struct usage *u;
	size_t n;

	hold(t, STR("1"), 10 * DAY, STR("NVIDIA H200"), STR("mig"), 3);
	hold(t, STR("2"), 10 * DAY + 1, STR("NVIDIA H200"), STR("whole"), 8);
	hold(t, STR("3"), 10 * DAY + 2, STR(""), STR(""), 0);
	hold(t, STR("4"), 11 * DAY, STR("NVIDIA A10"), STR("mps"), 8);
	assert_int_equal(commit(f, t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		uint64_t none = 0, a10 = 0, h200 = 0;

		assert_int_equal(store_sum_usage(rd(f), &f->arena, spans[i].from, spans[i].to, &s, &n), 0);
		for (size_t k = 0; k < n; k++) {
			assert_str(s[k].function, "f");
			assert_true(k == 0 || str_cmp(s[k - 1].device, s[k].device) < 0);
			assert_int_equal(s[k].cost_picousd, 7 * s[k].invocations);
			*(!s[k].device.n                       ? &none
			  : str_eqz(s[k].device, "NVIDIA A10") ? &a10
							       : &h200) = s[k].invocations + s[k].device_slice_ms;
		}
		assert_int_equal(none, spans[i].none);
		assert_int_equal(a10, spans[i].a10);
		assert_int_equal(h200, spans[i].h200);
	}
	assert_int_equal(store_list_usage(rd(f), &f->arena, STR("f"), INT64_MAX, 9, &u, &n), 0);
	assert_int_equal(n, 4);
	assert_str(u[0].device, "NVIDIA A10");
	assert_str(u[0].rung, "mps");
	assert_int_equal(u[0].slots, 8);
	assert_int_equal(u[1].device.n, 0);
	assert_int_equal(u[1].slots, 0);
	assert_str(u[3].rung, "mig");
	assert_int_equal(u[3].slots, 3);
	assert_int_equal(store_list_usage(rd(f), &f->arena, STR_NULL, 11 * DAY, 1, &u, &n), 0);
	assert_int_equal(n, 1);
	assert_str(u[0].request_id, "3");
}

static void live_blobs(void **state)
{
	struct fixture *f = fix(state);
	struct str ids[] = {STR("obj"), STR("nothing"), STR("part"), STR("code"), STR("old")};
	bool live[5];
	struct store_txn *t = store_begin(f->store);

	add_bucket(f, STR("b"));
	assert_int_equal(put_blob(f, STR("k"), STR("old"), NULL), 0);
	assert_int_equal(put_blob(f, STR("k"), STR("obj"), NULL), 0);
	store_put_upload(t, &(struct upload){.id = STR("u"), .object = {.bucket = STR("b"), .key = STR("k")}});
	assert_int_equal(commit(f, t), 0);
	put_part(f, STR("u"), 1, STR("part"), 0);
	t = store_begin(f->store);
	store_put_function(t, PUT_CREATE,
			   &(struct function_row){.name = STR("f"), .version = STR("1"), .code_blob = STR("code")},
			   STR(""));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_blobs_live(rd(f), ids, 5, live), 0);
	assert_true(live[0] && !live[1] && live[2] && live[3] && !live[4]);
}

struct said {
	int r;
	unsigned op;
};

static void note_answer(void *arg, int r, unsigned op)
{
	*(struct said *)arg = (struct said){r, op};
}

/* A failed transaction between two others of one batch. */
static void neighbours(void **state)
{
	struct fixture *f = fix(state);
	struct store_txn *a = store_begin(f->store), *b = store_begin(f->store), *c = store_begin(f->store);
	struct object o = object(STR("k2"), NULL);
	struct said said = {0};
	struct bucket *all;
	struct object *got;
	size_t n;

	add_bucket(f, STR("b"));
	assert_int_equal(put_blob(f, STR("k"), STR("blob"), NULL), 0);
	store_put_bucket(a, &(struct bucket){.name = STR("b1")});
	store_put_bucket(b, &(struct bucket){.name = STR("b2")});
	store_put_object(b, &o, NULL);
	store_delete_object(b, STR("b"), STR("k"));
	store_set_bucket(b, STR("b"), BUCKET_POLICY, STR("p"));
	store_put_bucket(b, &(struct bucket){.name = STR("b1")});
	store_put_bucket(c, &(struct bucket){.name = STR("b3")});
	store_commit(a, NULL, NULL);
	store_commit(b, note_answer, &said);
	assert_int_equal(commit(f, c), 0);
	assert_int_equal(said.r, STORE_E_EXISTS);
	assert_int_equal(said.op, 4);
	assert_int_equal(store_list_buckets(rd(f), &f->arena, &all, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(all[0].policy.n, 0);
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k"), &got), 0);
	assert_int_equal(store_get_object(rd(f), &f->arena, STR("b"), STR("k2"), &got), STORE_E_NO_OBJECT);
	assert_string_equal(dead(f), "");
}

static void count_buckets(void *arg, struct store_reader *r)
{
	struct fixture *f = arg;
	struct bucket *b;
	size_t n;

	f->r = store_list_buckets(r, &f->arena, &b, &n) ? -1 : (int)n;
}

static void async_reads(void **state)
{
	struct fixture *f = fix(state);

	add_bucket(f, STR("b"));
	for (int i = 0; i < 3; i++) {
		store_read_async(f->store, count_buckets, fixture_stop, f);
		loop_run(f->loop);
		assert_int_equal(f->r, 1);
	}
}

/* Closing commits what is queued and answers nobody; a transaction may be dropped. */
static void closing(void **state)
{
	struct fixture *f = fix(state);
	struct bucket *b;
	size_t n;

	for (int i = 0; i < 50; i++) {
		struct store_txn *t = store_begin(f->store);

		store_put_bucket(t, &(struct bucket){.name = str_from(arena_printf(&f->arena, "b%d", i))});
		store_commit(t, NULL, NULL);
	}
	store_read_async(f->store, count_buckets, NULL, f);
	store_txn_drop(store_begin(f->store));
	store_txn_drop(NULL);
	store_close(f->store);
	fixture_store(f);
	assert_int_equal(store_list_buckets(rd(f), &f->arena, &b, &n), 0);
	assert_int_equal(n, f->sqlite ? 50 : 0);
	add_bucket(f, STR("turn")); /* a turn of the loop, for the read's end */
	assert_null(store_close(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(buckets),        BOTH(objects),     BOTH(conditions), BOTH(listing),      BOTH(uploads),
		BOTH(upload_listing), BOTH(events),      BOTH(usage),      BOTH(device_usage), BOTH(live_blobs),
		BOTH(neighbours),     BOTH(async_reads), BOTH(closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
