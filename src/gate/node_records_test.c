/* Who has joined and who may: over the store in memory, closed and opened again with the SQLite one. */
#include "gate/node_records.h"

#include "base/mem.h"
#include "store/store_fixture.h"
#include "sys/clock.h"

#define KEY1 STR("SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg")
#define KEY2 STR("SHA256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ")
#define KEY3 STR("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

struct world {
	struct fixture f;
	struct gate g;
	struct buf changed; /* names, each followed by a blank */
};

/* One question's answer. */
struct said {
	struct world *w;
	bool answered;
	enum node_result result;
	char text[256], name[64], id[16], token[80];
};

static struct world *world;

static void note_change(struct gate *g, struct str name)
{
	buf_add_str(&world->changed, name);
	buf_addc(&world->changed, ' ');
}

static void begin(struct world *w)
{
	struct err err = ERR_NULL;

	w->g = (struct gate){.loop = w->f.loop, .store = w->f.store};
	if (!node_records_open(&w->g, &err))
		fail_msg("%s", err.msg);
	node_records_on_change(&w->g, note_change);
}

static int open_world(void **state, bool sqlite)
{
	world = xnew(struct world);
	fixture_open(&world->f, sqlite);
	begin(world);
	*state = world;
	return 0;
}

static int open_ram(void **state)
{
	return open_world(state, false);
}

static int open_sqlite(void **state)
{
	return open_world(state, true);
}

static int close_world(void **state)
{
	node_records_free(world->g.node_records);
	fixture_close(&world->f);
	buf_done(&world->changed);
	free(world);
	return 0;
}

static void done(void *arg, const struct node_answer *a)
{
	struct said *s = arg;

	assert_false(s->answered);
	assert_int_equal(a->result != NODE_OK, a->text != NULL);
	s->answered = true;
	s->result = a->result;
	snprintf(s->text, sizeof(s->text), "%s", a->text ? a->text : "");
	if (a->node) {
		/* It is true before it is told. */
		assert_non_null(node_by_name(&world->g, a->node->name));
		snprintf(s->name, sizeof(s->name), "%.*s", STR_ARG(a->node->name));
	}
	if (a->token)
		snprintf(s->id, sizeof(s->id), "%.*s", STR_ARG(a->token->id));
	if (a->token_text)
		snprintf(s->token, sizeof(s->token), "%s", a->token_text);
	loop_stop(world->f.loop);
}

static enum node_result await(struct said *s)
{
	while (!s->answered)
		loop_run(world->f.loop);
	return s->result;
}

static struct said make(struct node_token_wish w)
{
	struct said s = {0};

	w.ttl_ms = w.ttl_ms ? w.ttl_ms : 60000;
	node_tokens_make(&world->g, &w, done, &s);
	assert_false(s.answered);
	await(&s);
	return s;
}

static struct said join(const char *token, struct str name, struct str key)
{
	const struct node_seen seen = {STR("192.0.2.7:4000"), STR("0.2.0"), STR("1 USD/h")};
	struct said s = {0};

	node_records_redeem(&world->g, str_from(token), name, key, &seen, done, &s);
	await(&s);
	return s;
}

static struct said change(struct str name, struct node_change c)
{
	struct said s = {0};

	node_records_change(&world->g, name, &c, done, &s);
	await(&s);
	return s;
}

static enum node_result take_away(struct str name)
{
	struct said s = {0};

	node_records_remove(&world->g, name, done, &s);
	return await(&s);
}

static enum node_result revoke_it(const char *id)
{
	struct said s = {0};

	node_tokens_revoke(&world->g, str_from(id), done, &s);
	return await(&s);
}

static void count_node(void *arg, const struct node_record *n)
{
	(*(unsigned *)arg)++;
}

static void count_token(void *arg, const struct node_token *t)
{
	(*(unsigned *)arg)++;
}

static unsigned nodes(void)
{
	unsigned n = 0;

	node_records_each(&world->g, count_node, &n);
	return n;
}

static unsigned tokens(void)
{
	unsigned n = 0;

	node_tokens_each(&world->g, count_token, &n);
	return n;
}

static void joining(void **state)
{
	struct str labels[] = {STR("lab"), STR("a=1")};
	struct said t = make((struct node_token_wish){.labels = labels, .n_labels = 2, .uses = 1}), s;
	const struct node_record *n;

	assert_int_equal(t.result, NODE_OK);
	assert_int_equal(strlen(t.token), NODE_TOKEN_TEXT_SIZE - 1);
	assert_int_equal(tokens(), 1);
	s = join("wickt_nonsense", STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_TOKEN_UNKNOWN);
	s = join(t.token, STR("GPU 1"), KEY1);
	assert_int_equal(s.result, NODE_INVALID);
	s = join(t.token, STR(""), KEY1);
	assert_int_equal(s.result, NODE_INVALID);
	s = join(t.token, STR("gpu1"), STR("MD5:0"));
	assert_int_equal(s.result, NODE_INVALID);
	/* What was refused has used nothing. */
	s = join(t.token, STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_OK);
	assert_string_equal(s.name, "gpu1");
	assert_string_equal(buf_cstr(&world->changed), "gpu1 ");
	n = node_by_key(&world->g, KEY1);
	assert_ptr_equal(n, node_by_name(&world->g, STR("gpu1")));
	assert_true(n->n_labels == 2 && str_eqz(n->labels[0], "a=1") && str_eqz(n->labels[1], "lab"));
	assert_true(str_eqz(n->address, "192.0.2.7:4000") && str_eqz(n->cost, "1 USD/h") && !n->drained);
	s = join(t.token, STR("gpu2"), KEY2);
	assert_int_equal(s.result, NODE_TOKEN_USED);
	assert_non_null(strstr(s.text, "has been used"));
	assert_null(node_by_name(&world->g, STR("gpu2")));
}

/* A wrong secret is no better than a wrong id. */
static void wrong_secret(void **state)
{
	struct said t = make((struct node_token_wish){0}), s;

	t.token[NODE_TOKEN_TEXT_SIZE - 10] = t.token[NODE_TOKEN_TEXT_SIZE - 10] == 'a' ? 'b' : 'a';
	s = join(t.token, STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_TOKEN_UNKNOWN);
	assert_int_equal(nodes(), 0);
}

/* Two joins in the same moment: both are asked before the store has answered either. */
static void same_moment(void **state)
{
	const struct node_seen seen = {0};
	struct said once = make((struct node_token_wish){.uses = 1}), twice = make((struct node_token_wish){.uses = 2});
	struct said s[6] = {0};

	node_records_redeem(&world->g, str_from(once.token), STR("a"), KEY1, &seen, done, &s[0]);
	node_records_redeem(&world->g, str_from(once.token), STR("b"), KEY2, &seen, done, &s[1]);
	assert_int_equal(await(&s[0]), NODE_OK);
	assert_int_equal(await(&s[1]), NODE_TOKEN_USED);
	assert_int_equal(nodes(), 1);
	/* One name, two keys; and a revocation behind them. */
	node_records_redeem(&world->g, str_from(twice.token), STR("c"), KEY2, &seen, done, &s[2]);
	node_records_redeem(&world->g, str_from(twice.token), STR("c"), KEY3, &seen, done, &s[3]);
	node_tokens_revoke(&world->g, str_from(twice.id), done, &s[4]);
	node_records_redeem(&world->g, str_from(twice.token), STR("d"), KEY3, &seen, done, &s[5]);
	assert_int_equal(await(&s[5]), NODE_TOKEN_UNKNOWN);
	assert_int_equal(s[2].result, NODE_OK);
	assert_int_equal(s[3].result, NODE_NAME_TAKEN);
	assert_string_equal(s[3].text, "a node named c has joined with another key; wick node remove c first, or join "
				       "with --name");
	assert_int_equal(s[4].result, NODE_OK);
	assert_int_equal(nodes(), 2);
}

/* The store has the last word: what another gateway did there meanwhile is not in this one's memory. */
static void another_gateway(void **state)
{
	struct said t = make((struct node_token_wish){.uses = 1}), s;
	struct store_txn *txn = store_begin(world->f.store);
	struct record *rec, now;

	assert_int_equal(store_get_record(store_reader(world->f.store), &world->f.arena, RECORD_NODE_TOKEN, STR(""),
					  str_from(t.id), &rec),
			 0);
	now = *rec;
	now.revision = STR("1");
	store_put_record(txn, PUT_REPLACE, &now, STR("0"), 0);
	assert_int_equal(commit(&world->f, txn), 0);
	s = join(t.token, STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_TOKEN_USED);
	assert_int_equal(nodes(), 0);
	txn = store_begin(world->f.store);
	store_delete_record(txn, RECORD_NODE_TOKEN, STR(""), str_from(t.id));
	assert_int_equal(commit(&world->f, txn), 0);
	s = join(t.token, STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_TOKEN_UNKNOWN);
	assert_int_equal(nodes(), 0);
}

static void bound_names(void **state)
{
	struct said t = make((struct node_token_wish){.name = STR("gpu1")}), s;

	s = join(t.token, STR("gpu2"), KEY1);
	assert_int_equal(s.result, NODE_OTHER_NAME);
	assert_non_null(strstr(s.text, "for a node named gpu1, not gpu2"));
	s = join(t.token, STR(""), KEY1);
	assert_int_equal(s.result, NODE_OK);
	assert_string_equal(s.name, "gpu1");
	s = join(t.token, STR("gpu1"), KEY2);
	assert_int_equal(s.result, NODE_NAME_TAKEN);
}

static void expiry(void **state)
{
	struct said t = make((struct node_token_wish){.ttl_ms = 1}), s;
	int64_t until = clock_wall_ms() + 1;

	while (clock_wall_ms() <= until)
		;
	s = join(t.token, STR("gpu1"), KEY1);
	assert_int_equal(s.result, NODE_TOKEN_EXPIRED);
	assert_int_equal(tokens(), 0);
	s = make((struct node_token_wish){.ttl_ms = NODE_TOKEN_TTL_MAX_MS + 1});
	assert_int_equal(s.result, NODE_INVALID);
}

/* A token that expired more than a day ago goes when another is made. */
static void sweeping(void **state)
{
	char hash[2 * SHA256_SIZE + 1];
	struct node_token tok = {.id = STR("00000001"), .expires_ms = clock_wall_ms() - 25 * 3600000};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct store_txn *txn = store_begin(world->f.store);
	struct record *rec;
	json_t *j;

	memset(hash, 'a', sizeof(hash) - 1);
	tok.secret = str_n(hash, sizeof(hash) - 1);
	j = node_token_to_json(&tok);
	json_write(&doc, j);
	json_decref(j);
	store_put_record(txn, PUT_CREATE,
			 &(struct record){.kind = RECORD_NODE_TOKEN,
					  .function = STR(""),
					  .key = tok.id,
					  .revision = STR("0"),
					  .doc = buf_str(&doc)},
			 STR_NULL, 0);
	assert_int_equal(commit(&world->f, txn), 0);
	node_records_free(world->g.node_records);
	begin(world);
	assert_int_equal(make((struct node_token_wish){0}).result, NODE_OK);
	assert_int_equal(tokens(), 1);
	assert_int_equal(store_get_record(store_reader(world->f.store), &world->f.arena, RECORD_NODE_TOKEN, STR(""),
					  tok.id, &rec),
			 STORE_E_MISSING);
	assert_int_equal(revoke_it("00000001"), NODE_MISSING);
}

static void changing(void **state)
{
	struct str two[] = {STR("x"), STR("y")}, bad[] = {STR("-x")}, many[NODE_LABELS_MAX + 1];
	struct said t = make((struct node_token_wish){0}), s;
	const struct node_record *n;

	join(t.token, STR("gpu1"), KEY1);
	buf_clear(&world->changed);
	assert_int_equal(change(STR("none"), (struct node_change){0}).result, NODE_MISSING);
	assert_int_equal(change(STR("gpu1"), (struct node_change){.set_drained = true, .drained = true}).result,
			 NODE_OK);
	assert_true(node_by_name(&world->g, STR("gpu1"))->drained);
	s = change(STR("gpu1"), (struct node_change){.add = two, .n_add = 2});
	assert_int_equal(s.result, NODE_OK);
	s = change(STR("gpu1"), (struct node_change){.remove = two, .n_remove = 1});
	assert_int_equal(s.result, NODE_OK);
	n = node_by_name(&world->g, STR("gpu1"));
	assert_true(n->drained && n->n_labels == 1 && str_eqz(n->labels[0], "y"));
	assert_string_equal(buf_cstr(&world->changed), "gpu1 gpu1 gpu1 ");
	assert_int_equal(change(STR("gpu1"), (struct node_change){.add = bad, .n_add = 1}).result, NODE_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = str_from(arena_printf(&world->f.arena, "l%zu", i));
	s = change(STR("gpu1"), (struct node_change){.add = many, .n_add = ARRAY_SIZE(many)});
	assert_int_equal(s.result, NODE_FULL);
	assert_int_equal(node_by_name(&world->g, STR("gpu1"))->n_labels, 1);
}

/* The same key comes again: under its name, then under another; what it has goes with it. */
static void again(void **state)
{
	struct str labels[] = {STR("x")};
	struct said t = make((struct node_token_wish){.labels = labels, .n_labels = 1}), s;

	join(t.token, STR("gpu1"), KEY1);
	change(STR("gpu1"), (struct node_change){.set_drained = true, .drained = true});
	s = join(t.token, STR(""), KEY1);
	assert_int_equal(s.result, NODE_OK);
	assert_string_equal(s.name, "gpu1");
	buf_clear(&world->changed);
	s = join(t.token, STR("gpu2"), KEY1);
	assert_int_equal(s.result, NODE_OK);
	assert_string_equal(buf_cstr(&world->changed), "gpu1 gpu2 ");
	assert_null(node_by_name(&world->g, STR("gpu1")));
	assert_true(node_by_key(&world->g, KEY1)->drained && node_by_key(&world->g, KEY1)->n_labels == 1);
	assert_int_equal(nodes(), 1);
	assert_int_equal(take_away(STR("gpu1")), NODE_MISSING);
	assert_int_equal(take_away(STR("gpu2")), NODE_OK);
	assert_null(node_by_key(&world->g, KEY1));
	s = join(t.token, STR("gpu2"), KEY2);
	assert_int_equal(s.result, NODE_OK);
}

/* Seen: in memory at once; the store is told when a minute has passed. */
static void seeing(void **state)
{
	struct said t = make((struct node_token_wish){0});
	char long_text[600];
	struct record *rec;
	int64_t joined;

	join(t.token, STR("gpu1"), KEY1);
	joined = node_by_name(&world->g, STR("gpu1"))->seen_ms;
	memset(long_text, 'x', sizeof(long_text));
	node_records_seen(&world->g, STR("gpu1"),
			  &(struct node_seen){STR("198.51.100.1:1"), STR("0.3\n\xff"), str_n(long_text, 600)});
	node_records_seen(&world->g, STR("none"), &(struct node_seen){0});
	assert_true(str_eqz(node_by_name(&world->g, STR("gpu1"))->address, "198.51.100.1:1"));
	assert_true(str_eqz(node_by_name(&world->g, STR("gpu1"))->version, "0.3?\xef\xbf\xbd"));
	assert_int_equal(node_by_name(&world->g, STR("gpu1"))->cost.n, NODE_TEXT_MAX);
	assert_ptr_equal(node_by_key(&world->g, KEY1), node_by_name(&world->g, STR("gpu1")));
	assert_true(node_by_name(&world->g, STR("gpu1"))->seen_ms >= joined);
	/* Behind it in the queue, and so behind what it would have written. */
	make((struct node_token_wish){0});
	assert_int_equal(store_get_record(store_reader(world->f.store), &world->f.arena, RECORD_NODE, STR(""),
					  STR("gpu1"), &rec),
			 0);
	assert_true(str_find(rec->doc, STR("192.0.2.7:4000")) > 0);
	/* What else is written takes along what was seen. */
	change(STR("gpu1"), (struct node_change){.set_drained = true});
	assert_int_equal(store_get_record(store_reader(world->f.store), &world->f.arena, RECORD_NODE, STR(""),
					  STR("gpu1"), &rec),
			 0);
	assert_true(str_find(rec->doc, STR("198.51.100.1:1")) > 0);
}

/* A node whose record is older than a minute: seeing it is written. */
static void seeing_is_stored(void **state)
{
	const struct node_record old = {.name = STR("gpu1"), .key = KEY1, .seen_ms = 1000};
	_cleanup_(buf_done) struct buf doc = BUF_NULL;
	struct store_txn *txn = store_begin(world->f.store);
	json_t *j = node_record_to_json(&old);
	struct record *rec;

	json_write(&doc, j);
	json_decref(j);
	store_put_record(txn, PUT_CREATE, &(struct record){.kind = RECORD_NODE, .key = old.name, .doc = buf_str(&doc)},
			 STR_NULL, 0);
	assert_int_equal(commit(&world->f, txn), 0);
	node_records_free(world->g.node_records);
	begin(world);
	node_records_seen(&world->g, STR("gpu1"), &(struct node_seen){.address = STR("198.51.100.1:1")});
	node_records_seen(&world->g, STR("gpu1"), &(struct node_seen){.address = STR("198.51.100.1:2")});
	make((struct node_token_wish){0});
	assert_int_equal(store_get_record(store_reader(world->f.store), &world->f.arena, RECORD_NODE, STR(""),
					  STR("gpu1"), &rec),
			 0);
	/* Its turn came after both were said. */
	assert_true(str_find(rec->doc, STR("198.51.100.1:2")) > 0);
	assert_string_equal(buf_cstr(&world->changed), "");
}

/* Whoever is gone is not called; the change happens all the same. */
static void forgotten(void **state)
{
	struct said t = make((struct node_token_wish){.uses = 1}), s = {0};

	node_records_redeem(&world->g, str_from(t.token), STR("gpu1"), KEY1, &(struct node_seen){0}, done, &s);
	node_records_forget(&world->g, &s);
	assert_int_equal(make((struct node_token_wish){0}).result, NODE_OK);
	assert_false(s.answered);
	assert_non_null(node_by_key(&world->g, KEY1));
	/* And one that is still waiting when everything ends. */
	node_records_remove(&world->g, STR("gpu1"), done, &s);
}

/* The store has it all: also what was asked for right before the end. */
static void restart(void **state)
{
	struct str labels[] = {STR("x")};
	struct said t = make((struct node_token_wish){.labels = labels, .n_labels = 1, .uses = 2}), s;
	struct said bound = make((struct node_token_wish){.name = STR("gpu9")});
	struct store_txn *txn;

	join(t.token, STR("gpu1"), KEY1);
	change(STR("gpu1"), (struct node_change){.set_drained = true, .drained = true});
	txn = store_begin(world->f.store);
	store_put_record(txn, PUT_CREATE, &(struct record){.kind = RECORD_NODE, .key = STR("bad"), .doc = STR("{")},
			 STR_NULL, 0);
	assert_int_equal(commit(&world->f, txn), 0);
	node_records_free(world->g.node_records);
	store_close(world->f.store);
	fixture_store(&world->f);
	begin(world);
	assert_int_equal(nodes(), 1);
	assert_int_equal(tokens(), 2);
	assert_true(node_by_key(&world->g, KEY1)->drained);
	assert_true(str_eqz(node_by_name(&world->g, STR("gpu1"))->labels[0], "x"));
	s = join(t.token, STR("gpu2"), KEY2);
	assert_int_equal(s.result, NODE_OK);
	s = join(t.token, STR("gpu3"), KEY3);
	assert_int_equal(s.result, NODE_TOKEN_USED);
	assert_int_equal(revoke_it(bound.id), NODE_OK);
	s = join(bound.token, STR("gpu9"), KEY3);
	assert_int_equal(s.result, NODE_TOKEN_UNKNOWN);
}

#define RAM(fn)                                                                                                        \
	{                                                                                                              \
#fn, fn, open_ram, close_world, NULL                                                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RAM(joining),
		RAM(wrong_secret),
		RAM(same_moment),
		RAM(another_gateway),
		RAM(bound_names),
		RAM(expiry),
		RAM(sweeping),
		RAM(changing),
		RAM(again),
		RAM(seeing),
		RAM(seeing_is_stored),
		RAM(forgotten),
		{"restart", restart, open_sqlite, close_world, NULL},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
