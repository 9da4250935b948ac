/* The store's contract for functions, their versions and records, and layers, run over each backend. */
#include "store/store_backends.h"

static int put_fn(struct fixture *f, enum put_mode mode, struct str name, struct str version, struct str rev,
		  struct str expect, struct str blob)
{
	struct store_txn *t = store_begin(f->store);

	store_put_function(t, mode,
			   &(struct function_row){
				   .name = name, .version = version, .doc = name, .revision = rev, .code_blob = blob},
			   expect);
	return commit(f, t);
}

static void functions(void **state)
{
	struct fixture *f = fix(state);
	struct str v = STR("$LATEST"), none = STR_NULL, *docs, doc;
	struct store_txn *t;
	bool truncated;
	size_t n;

	assert_int_equal(put_fn(f, PUT_REPLACE, STR("f"), v, STR("r1"), none, STR("c1")), STORE_E_MISSING);
	assert_int_equal(put_fn(f, PUT_CREATE, STR("f"), v, STR("r1"), none, STR("c1")), 0);
	assert_int_equal(put_fn(f, PUT_CREATE, STR("f"), v, STR("r1"), none, STR("c1")), STORE_E_EXISTS);
	assert_int_equal(put_fn(f, PUT_REPLACE, STR("f"), v, STR("r2"), STR("r0"), STR("c2")), STORE_E_PRECONDITION);
	assert_int_equal(put_fn(f, PUT_REPLACE, STR("f"), v, STR("r2"), STR("r1"), STR("c1")), 0);
	assert_string_equal(dead(f), "");
	assert_int_equal(put_fn(f, PUT_CREATE, STR("f"), STR("1"), STR("r3"), none, STR("c1")), 0);
	assert_int_equal(put_fn(f, PUT_REPLACE, STR("f"), v, STR("r4"), none, STR("c2")), 0);
	assert_string_equal(dead(f), "");
	assert_int_equal(put_fn(f, PUT_REPLACE, STR("f"), STR("1"), STR("r4"), none, STR("c2")), 0);
	assert_string_equal(dead(f), "c1");
	assert_int_equal(put_fn(f, PUT_CREATE, STR("a"), v, STR("r"), none, STR("c9")), 0);
	assert_int_equal(put_fn(f, PUT_CREATE, STR("z"), v, STR("r"), none, none), 0);
	assert_int_equal(store_get_function(rd(f), &f->arena, STR("f"), v, &doc), 0);
	assert_str(doc, "f");
	assert_int_equal(store_get_function(rd(f), &f->arena, STR("f"), STR("2"), &doc), STORE_E_MISSING);
	assert_int_equal(store_list_functions(rd(f), &f->arena, none, 2, &docs, &n, &truncated), 0);
	assert_int_equal(n, 2);
	assert_true(truncated);
	assert_str(docs[0], "a");
	assert_str(docs[1], "f");
	assert_int_equal(store_list_functions(rd(f), &f->arena, STR("f"), 2, &docs, &n, &truncated), 0);
	assert_int_equal(n, 1);
	assert_false(truncated);
	assert_str(docs[0], "z");
	t = store_begin(f->store);
	store_delete_function(t, STR("f"));
	store_delete_function(t, STR("z"));
	assert_int_equal(commit(f, t), 0);
	assert_string_equal(dead(f), "c1 c2");
	t = store_begin(f->store);
	store_delete_function(t, STR("f"));
	assert_int_equal(commit(f, t), STORE_E_MISSING);
}

static void put_versions(struct fixture *f, const char *name, int last)
{
	struct store_txn *t = store_begin(f->store);

	for (int v = 0; v <= last; v++) {
		struct str version = v ? str_from(arena_printf(&f->arena, "%d", v)) : STR("$LATEST");
		struct str doc = str_from(arena_printf(&f->arena, "%s%d", name, v));
		struct function_row row = {.name = str_from(name), .version = version, .doc = doc};

		store_put_function(t, PUT_CREATE, &row, STR_NULL);
	}
	assert_int_equal(commit(f, t), 0);
}

static void version_page(struct fixture *f, const char *name, const char *after, int64_t version, uint32_t max,
			 const char *want)
{
	char *got = arena_dup(&f->arena, STR(""));
	bool truncated;
	struct str *docs;
	size_t n;

	assert_int_equal(store_list_versions(rd(f), &f->arena, str_from(name), str_from(after), version, max, &docs, &n,
					     &truncated),
			 0);
	for (size_t i = 0; i < n; i++)
		got = arena_printf(&f->arena, "%s%.*s ", got, STR_ARG(docs[i]));
	assert_string_equal(arena_printf(&f->arena, "%s%s", got, truncated ? ">" : ""), want);
}

static int delete_version(struct fixture *f, struct str name, struct str version)
{
	struct store_txn *t = store_begin(f->store);

	store_delete_version(t, name, version);
	return commit(f, t);
}

static void versions(void **state)
{
	struct fixture *f = fix(state);

	put_versions(f, "b", 11);
	put_versions(f, "a", 1);
	put_versions(f, "c", 0);
	version_page(f, "b", "", -1, 99, "b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 b10 b11 ");
	version_page(f, "b", "", -1, 2, "b0 b1 >");
	version_page(f, "b", "", 9, 2, "b10 b11 ");
	version_page(f, "x", "", -1, 2, "");
	version_page(f, "", "", -1, 3, "a0 a1 b0 >");
	version_page(f, "", "b", 10, 3, "b11 c0 ");
	version_page(f, "", "c", 0, 3, "");
	assert_int_equal(delete_version(f, STR("b"), STR("12")), STORE_E_MISSING);
	assert_int_equal(delete_version(f, STR("b"), STR("10")), 0);
	version_page(f, "b", "", 9, 2, "b11 ");
}

static int put_record(struct fixture *f, enum put_mode mode, struct record r, const char *expect, uint64_t max)
{
	struct store_txn *t = store_begin(f->store);

	r.function = r.function.n ? r.function : STR("f");
	store_put_record(t, mode, &r, str_from(expect), max);
	return commit(f, t);
}

static int delete_record(struct fixture *f, enum record_kind kind, struct str key)
{
	struct store_txn *t = store_begin(f->store);

	store_delete_record(t, kind, STR("f"), key);
	return commit(f, t);
}

static int get_record(struct fixture *f, enum record_kind kind, struct str key)
{
	struct record *r;

	return store_get_record(rd(f), &f->arena, kind, STR("f"), key, &r);
}

static void records(void **state)
{
	struct fixture *f = fix(state);
	struct record prod = {.kind = RECORD_ALIAS,
			      .key = STR("prod"),
			      .doc = STR("{}"),
			      .revision = STR("r1"),
			      .version = STR("1"),
			      .other = STR("2")};
	struct record url = {.kind = RECORD_URL, .key = STR("prod"), .doc = STR("u")}, *r;
	bool truncated;
	size_t n;

	assert_int_equal(put_record(f, PUT_CREATE, prod, "", 0), STORE_E_MISSING);
	put_versions(f, "f", 1);
	assert_int_equal(put_record(f, PUT_CREATE, prod, "", 0), STORE_E_MISSING);
	assert_int_equal(put_fn(f, PUT_CREATE, STR("f"), STR("2"), STR("r"), STR(""), STR("")), 0);
	assert_int_equal(put_record(f, PUT_REPLACE, prod, "", 0), STORE_E_MISSING);
	assert_int_equal(put_record(f, PUT_CREATE, url, "", 0), STORE_E_MISSING);
	assert_int_equal(put_record(f, PUT_CREATE, prod, "", 0), 0);
	assert_int_equal(put_record(f, PUT_CREATE, prod, "", 0), STORE_E_EXISTS);
	prod.revision = STR("r2");
	assert_int_equal(put_record(f, PUT_REPLACE, prod, "r0", 0), STORE_E_PRECONDITION);
	assert_int_equal(put_record(f, PUT_REPLACE, prod, "r1", 0), 0);
	assert_int_equal(put_record(f, PUT_CREATE, url, "", 0), 0);
	url.key = STR("");
	assert_int_equal(put_record(f, PUT_CREATE, url, "", 0), 0);
	assert_int_equal(store_get_record(rd(f), &f->arena, RECORD_ALIAS, STR("f"), STR("prod"), &r), 0);
	assert_str(r->function, "f");
	assert_str(r->key, "prod");
	assert_str(r->doc, "{}");
	assert_str(r->revision, "r2");
	assert_str(r->version, "1");
	assert_str(r->other, "2");
	assert_int_equal(get_record(f, RECORD_ALIAS, STR("dev")), STORE_E_MISSING);

	prod.key = STR("dev");
	prod.other = STR("");
	assert_int_equal(put_record(f, PUT_ANY, prod, "", 0), 0);
	assert_int_equal(store_list_records(rd(f), &f->arena, RECORD_ALIAS, STR("f"), STR(""), 1, &r, &n, &truncated),
			 0);
	assert_true(n == 1 && truncated);
	assert_str(r[0].key, "dev");
	assert_int_equal(
		store_list_records(rd(f), &f->arena, RECORD_ALIAS, STR("f"), STR("dev"), 9, &r, &n, &truncated), 0);
	assert_true(n == 1 && !truncated);
	assert_str(r[0].key, "prod");
	assert_int_equal(store_list_records(rd(f), &f->arena, RECORD_URL, STR("f"), STR(""), 9, &r, &n, &truncated), 0);
	assert_int_equal(n, 2);

	/* What leans on a version or an alias. */
	assert_int_equal(delete_version(f, STR("f"), STR("1")), STORE_E_IN_USE);
	assert_int_equal(delete_version(f, STR("f"), STR("2")), STORE_E_IN_USE);
	assert_int_equal(delete_record(f, RECORD_ALIAS, STR("none")), STORE_E_MISSING);
	assert_int_equal(delete_record(f, RECORD_ALIAS, STR("prod")), 0);
	assert_int_equal(get_record(f, RECORD_URL, STR("prod")), STORE_E_MISSING);
	assert_int_equal(get_record(f, RECORD_URL, STR("")), 0);
	url = (struct record){.kind = RECORD_PROVISIONED, .key = STR("2"), .number = 1};
	assert_int_equal(put_record(f, PUT_ANY, url, "", 1), 0);
	assert_int_equal(delete_version(f, STR("f"), STR("2")), 0);
	assert_int_equal(get_record(f, RECORD_PROVISIONED, STR("2")), STORE_E_MISSING);
}

static void record_sums(void **state)
{
	struct fixture *f = fix(state);
	struct record res = {.kind = RECORD_RESERVED, .key = STR(""), .number = 60};
	struct record pro = {.kind = RECORD_PROVISIONED, .key = STR("1"), .number = 5}, *r;
	struct store_txn *t;
	bool truncated;
	size_t n;

	put_versions(f, "f", 2);
	put_versions(f, "g", 1);
	assert_int_equal(put_record(f, PUT_ANY, res, "", 59), STORE_E_LIMIT);
	assert_int_equal(put_record(f, PUT_ANY, res, "", 100), 0);
	res.function = STR("g");
	assert_int_equal(put_record(f, PUT_ANY, res, "", 100), STORE_E_LIMIT);
	res.number = 40;
	assert_int_equal(put_record(f, PUT_ANY, res, "", 100), 0);
	assert_int_equal(put_record(f, PUT_ANY, res, "", 100), 0); /* it replaces itself */
	assert_int_equal(put_record(f, PUT_ANY, pro, "", 9), 0);
	pro.function = STR("g"); /* each function has its own */
	assert_int_equal(put_record(f, PUT_ANY, pro, "", 9), 0);
	pro.function = STR("f");
	pro.key = STR("2");
	assert_int_equal(put_record(f, PUT_ANY, pro, "", 9), STORE_E_LIMIT);
	assert_int_equal(store_list_records(rd(f), &f->arena, RECORD_RESERVED, STR(""), STR(""), 9, &r, &n, &truncated),
			 0);
	assert_int_equal(n, 2);
	assert_str(r[1].function, "g");
	assert_int_equal(r[1].number, 40);
	t = store_begin(f->store);
	store_delete_function(t, STR("f"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(get_record(f, RECORD_RESERVED, STR("")), STORE_E_MISSING);
	assert_int_equal(get_record(f, RECORD_PROVISIONED, STR("1")), STORE_E_MISSING);
	assert_int_equal(
		store_list_records(rd(f), &f->arena, RECORD_PROVISIONED, STR(""), STR(""), 9, &r, &n, &truncated), 0);
	assert_int_equal(n, 1);
}

/* Nodes and tokens have no function, and no function takes them along. */
static void lone_records(void **state)
{
	struct fixture *f = fix(state);
	struct record node = {.kind = RECORD_NODE, .key = STR("gpu1"), .doc = STR("{}"), .revision = STR("1")}, *r;
	struct record token = {
		.kind = RECORD_NODE_TOKEN, .key = STR("00c0ffee"), .doc = STR("t"), .revision = STR("0")};
	struct store_txn *t = store_begin(f->store);
	bool truncated;
	size_t n;

	store_put_record(t, PUT_REPLACE, &token, STR("0"), 0);
	assert_int_equal(commit(f, t), STORE_E_MISSING);
	t = store_begin(f->store);
	store_put_record(t, PUT_CREATE, &node, STR_NULL, 0);
	store_put_record(t, PUT_CREATE, &token, STR_NULL, 0);
	assert_int_equal(commit(f, t), 0);
	t = store_begin(f->store);
	store_put_record(t, PUT_CREATE, &node, STR_NULL, 0);
	assert_int_equal(commit(f, t), STORE_E_EXISTS);

	/* A token's count is kept by its revision: the second of two that saw the same changes nothing else either. */
	token.revision = STR("1");
	token.doc = STR("t1");
	t = store_begin(f->store);
	store_put_record(t, PUT_REPLACE, &token, STR("0"), 0);
	assert_int_equal(commit(f, t), 0);
	node.key = STR("gpu2");
	t = store_begin(f->store);
	store_put_record(t, PUT_CREATE, &node, STR_NULL, 0);
	store_put_record(t, PUT_REPLACE, &token, STR("0"), 0);
	assert_int_equal(commit(f, t), STORE_E_PRECONDITION);
	assert_int_equal(f->op, 1);
	assert_int_equal(store_list_records(rd(f), &f->arena, RECORD_NODE, STR(""), STR(""), 9, &r, &n, &truncated), 0);
	assert_int_equal(n, 1);
	assert_str(r[0].key, "gpu1");
	assert_str(r[0].function, "");
	assert_int_equal(store_get_record(rd(f), &f->arena, RECORD_NODE_TOKEN, STR(""), STR("00c0ffee"), &r), 0);
	assert_str(r->doc, "t1");

	put_versions(f, "gpu1", 1);
	t = store_begin(f->store);
	store_delete_function(t, STR("gpu1"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_record(rd(f), &f->arena, RECORD_NODE, STR(""), STR("gpu1"), &r), 0);
	t = store_begin(f->store);
	store_delete_record(t, RECORD_NODE, STR(""), STR("gpu1"));
	assert_int_equal(commit(f, t), 0);
	assert_int_equal(store_get_record(rd(f), &f->arena, RECORD_NODE, STR(""), STR("gpu1"), &r), STORE_E_MISSING);
	assert_int_equal(store_get_record(rd(f), &f->arena, RECORD_NODE_TOKEN, STR(""), STR("00c0ffee"), &r), 0);
}

static int put_layer(struct fixture *f, const char *name, uint64_t version)
{
	struct store_txn *t = store_begin(f->store);
	struct str id = str_from(arena_printf(&f->arena, "%s%u", name, (unsigned)version));

	store_put_layer(t, str_from(name), version, id, id);
	return commit(f, t);
}

static void delete_layer(struct fixture *f, const char *name, uint64_t version)
{
	struct store_txn *t = store_begin(f->store);

	store_delete_layer(t, str_from(name), version);
	assert_int_equal(commit(f, t), 0);
}

static int put_with_layers(struct fixture *f, struct str version, const struct layer_ref *layers, size_t n)
{
	struct store_txn *t = store_begin(f->store);
	struct function_row row = {.name = STR("f"), .version = version, .layers = layers, .n_layers = n};

	store_put_function(t, PUT_ANY, &row, STR_NULL);
	return commit(f, t);
}

static const char *joined(struct fixture *f, const struct str *all, size_t n, bool truncated)
{
	char *got = arena_dup(&f->arena, STR(""));

	for (size_t i = 0; i < n; i++)
		got = arena_printf(&f->arena, "%s%.*s ", got, STR_ARG(all[i]));
	return arena_printf(&f->arena, "%s%s", got, truncated ? ">" : "");
}

static void layers(void **state)
{
	struct fixture *f = fix(state);
	const struct layer_ref ab[] = {{STR("a"), 1}, {STR("b"), 1}}, none[] = {{STR("a"), 9}};
	struct str *all, doc, ids[] = {STR("a1"), STR("a2")};
	bool truncated, deleted, live[2];
	struct store_txn *t;
	uint64_t last;
	size_t n;

	assert_int_equal(store_last_layer(rd(f), STR("a"), &last), 0);
	assert_int_equal(last, 0);
	assert_int_equal(put_layer(f, "a", 2), STORE_E_EXISTS);
	assert_int_equal(put_layer(f, "a", 1), 0);
	assert_int_equal(put_layer(f, "a", 1), STORE_E_EXISTS);
	assert_int_equal(put_layer(f, "a", 2), 0);
	assert_int_equal(put_layer(f, "b", 1), 0);
	assert_int_equal(store_last_layer(rd(f), STR("a"), &last), 0);
	assert_int_equal(last, 2);
	assert_int_equal(store_get_layer(rd(f), &f->arena, STR("a"), 2, &doc, &deleted), 0);
	assert_str(doc, "a2");
	assert_false(deleted);
	assert_int_equal(store_get_layer(rd(f), &f->arena, STR("a"), 3, &doc, &deleted), STORE_E_MISSING);
	assert_int_equal(store_list_layers(rd(f), &f->arena, STR(""), 1, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "a >");
	assert_int_equal(store_list_layers(rd(f), &f->arena, STR("a"), 1, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "b ");
	assert_int_equal(store_list_layer_versions(rd(f), &f->arena, STR("a"), UINT64_MAX, 1, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "a2 >");
	assert_int_equal(store_list_layer_versions(rd(f), &f->arena, STR("a"), 2, 9, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "a1 ");

	/* A deleted version lives as long as a row names it. */
	assert_int_equal(put_with_layers(f, STR("$LATEST"), none, 1), STORE_E_NO_LAYER);
	assert_int_equal(put_with_layers(f, STR("$LATEST"), ab, 2), 0);
	assert_int_equal(put_with_layers(f, STR("1"), ab, 1), 0);
	delete_layer(f, "a", 1);
	delete_layer(f, "a", 1);
	delete_layer(f, "nothing", 1);
	assert_string_equal(dead(f), "");
	assert_int_equal(store_get_layer(rd(f), &f->arena, STR("a"), 1, &doc, &deleted), 0);
	assert_true(deleted);
	assert_int_equal(store_list_layer_versions(rd(f), &f->arena, STR("a"), UINT64_MAX, 9, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "a2 ");
	assert_int_equal(put_with_layers(f, STR("$LATEST"), &ab[1], 1), 0);
	assert_string_equal(dead(f), "");
	assert_int_equal(delete_version(f, STR("f"), STR("1")), 0);
	assert_string_equal(dead(f), "a1");
	assert_int_equal(store_get_layer(rd(f), &f->arena, STR("a"), 1, &doc, &deleted), STORE_E_MISSING);
	assert_int_equal(store_blobs_live(rd(f), ids, 2, live), 0);
	assert_true(!live[0] && live[1]);

	/* Numbers are given once; a layer without versions is not listed. */
	delete_layer(f, "a", 2);
	assert_string_equal(dead(f), "a1 a2");
	assert_int_equal(store_list_layers(rd(f), &f->arena, STR(""), 9, &all, &n, &truncated), 0);
	assert_string_equal(joined(f, all, n, truncated), "b ");
	assert_int_equal(put_layer(f, "a", 3), 0);
	delete_layer(f, "b", 1);
	assert_string_equal(dead(f), "a1 a2");
	t = store_begin(f->store);
	store_delete_function(t, STR("f"));
	assert_int_equal(commit(f, t), 0);
	assert_string_equal(dead(f), "a1 a2 b1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(functions), BOTH(versions), BOTH(records), BOTH(record_sums), BOTH(lone_records), BOTH(layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
