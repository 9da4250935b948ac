/* Records of nodes and join tokens: in memory from the start, changed by transactions. Owns the records in memory and
 * the queue of changes. A change is decided (node_changes.c) when its turn comes, on what is true then; what it will
 * make true is built beside what is there and put in its place when the transaction is committed. So nothing that could
 * still fail is ever seen. What may fail: the store, which is then the answer; a stored record that cannot be read is
 * logged and counts as absent. */
#include "gate/node_changes.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/log.h"

#define SEEN_EVERY_MS   60000
#define EXPIRED_KEPT_MS 86400000 /* so that who comes too late is told so */

/* ---- memory ---- */

struct node_kept *node_kept_free(struct node_kept *n)
{
	if (n) {
		arena_done(&n->arena);
		free(n);
	}
	return NULL;
}

struct token_kept *token_kept_free(struct token_kept *t)
{
	if (t) {
		arena_done(&t->arena);
		free(t);
	}
	return NULL;
}

static struct str *copy_labels(struct arena *a, const struct str *labels, size_t n)
{
	struct str *copy = n ? arena_new_n(a, struct str, n) : NULL;

	for (size_t i = 0; i < n; i++)
		copy[i] = arena_str(a, labels[i]);
	return copy;
}

struct node_kept *node_kept_new(const struct node_record *like)
{
	struct node_kept *n = xnew(struct node_kept);
	struct arena *a = &n->arena;

	n->rec = *like;
	n->rec.name = arena_str(a, like->name);
	n->rec.key = arena_str(a, like->key);
	n->rec.labels = copy_labels(a, like->labels, like->n_labels);
	n->rec.address = arena_str(a, like->address);
	n->rec.version = arena_str(a, like->version);
	n->rec.cost = arena_str(a, like->cost);
	n->written_ms = like->seen_ms;
	return n;
}

struct token_kept *token_kept_new(const struct node_token *like)
{
	struct token_kept *t = xnew(struct token_kept);
	struct arena *a = &t->arena;

	t->tok = *like;
	t->tok.id = arena_str(a, like->id);
	t->tok.secret = arena_str(a, like->secret);
	t->tok.name = arena_str(a, like->name);
	t->tok.labels = copy_labels(a, like->labels, like->n_labels);
	return t;
}

bool token_kept_is_over(const struct token_kept *t, int64_t now_ms)
{
	return now_ms - t->tok.expires_ms > EXPIRED_KEPT_MS;
}

static void forget_node(struct node_records *n, struct str name)
{
	struct node_kept *old = map_del(&n->by_name, name);

	if (old)
		map_del(&n->by_key, old->rec.key);
	node_kept_free(old);
}

static void keep_node(struct node_records *n, struct node_kept *now)
{
	forget_node(n, now->rec.name);
	map_put(&n->by_name, now->rec.name, now);
	map_put(&n->by_key, now->rec.key, now);
}

static void keep_token(struct node_records *n, struct token_kept *now)
{
	token_kept_free(map_put(&n->tokens, now->tok.id, now));
}

const struct node_record *node_by_key(const struct gate *g, struct str key)
{
	const struct node_kept *n = map_get(&g->node_records->by_key, key);

	return n ? &n->rec : NULL;
}

const struct node_record *node_by_name(const struct gate *g, struct str name)
{
	const struct node_kept *n = map_get(&g->node_records->by_name, name);

	return n ? &n->rec : NULL;
}

static int by_name(const void *a, const void *b)
{
	return str_cmp((*(const struct node_kept *const *)a)->rec.name,
		       (*(const struct node_kept *const *)b)->rec.name);
}

static int by_creation(const void *a, const void *b)
{
	const struct node_token *x = &(*(const struct token_kept *const *)a)->tok;
	const struct node_token *y = &(*(const struct token_kept *const *)b)->tok;

	return x->created_ms < y->created_ms ? -1 : x->created_ms > y->created_ms ? 1 : str_cmp(x->id, y->id);
}

/* The values of a map, sorted; the caller frees. */
static void **values(const struct map *m, int (*order)(const void *, const void *))
{
	void **all = xnew_n(void *, m->n + 1), *v;
	struct str key;
	size_t k = 0;

	for (size_t i = 0; map_next(m, &i, &key, &v);)
		all[k++] = v;
	qsort(all, k, sizeof(*all), order);
	return all;
}

void node_records_each(const struct gate *g, void (*each)(void *arg, const struct node_record *n), void *arg)
{
	const struct map *m = &g->node_records->by_name;
	_cleanup_(freep) void **all = values(m, by_name);

	for (size_t i = 0; i < m->n; i++)
		each(arg, &((const struct node_kept *)all[i])->rec);
}

void node_tokens_each(const struct gate *g, void (*each)(void *arg, const struct node_token *t), void *arg)
{
	const struct map *m = &g->node_records->tokens;
	_cleanup_(freep) void **all = values(m, by_creation);
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < m->n; i++)
		if (((const struct token_kept *)all[i])->tok.expires_ms > now_ms)
			each(arg, &((const struct token_kept *)all[i])->tok);
}
/* ---- the queue ---- */

static void change_free(struct change *c)
{
	node_kept_free(c->node);
	token_kept_free(c->token);
	mem_wipe(c->text, sizeof(c->text));
	arena_done(&c->arena);
	free(c);
}

static void sweep_memory(struct node_records *n, int64_t now_ms)
{
	_cleanup_(freep) void **all = values(&n->tokens, by_creation);
	size_t k = n->tokens.n;

	for (size_t i = 0; i < k; i++) {
		struct token_kept *t = all[i];

		if (token_kept_is_over(t, now_ms))
			token_kept_free(map_del(&n->tokens, t->tok.id));
	}
}

/* It is in the store: now it is so. */
static void make_true(struct node_records *n, struct change *c, struct node_answer *a)
{
	if (c->kind == CHANGE_REVOKE)
		token_kept_free(map_del(&n->tokens, c->gone));
	else if (c->gone.n)
		forget_node(n, c->gone);
	if (c->kind == CHANGE_SWEEP)
		sweep_memory(n, c->swept_ms);
	if (c->token) {
		keep_token(n, token_kept_new(&c->token->tok));
		a->token = &c->token->tok;
	}
	if (c->node) {
		const struct node_kept *old = map_get(&n->by_name, c->node->rec.name);
		struct node_record now = c->node->rec;

		/* What was seen since it was decided. */
		if (old && c->kind == CHANGE_EDIT) {
			now.seen_ms = old->rec.seen_ms;
			now.address = old->rec.address;
			now.version = old->rec.version;
			now.cost = old->rec.cost;
		}
		keep_node(n, node_kept_new(&now));
		a->node = &c->node->rec;
	}
	a->token_text = c->kind == CHANGE_MAKE ? c->text : NULL;
}

/* Takes c, the first of the queue, out and answers it. */
static void finish(struct node_records *n, struct change *c, const struct node_answer *a)
{
	struct gate *g = n->g;

	change_list_remove(&n->queue, c);
	n->under_way = false;
	timer_set(n->turn, 0);
	if (a->result == NODE_OK && n->changed && c->kind <= CHANGE_REMOVE) {
		if (c->gone.n)
			n->changed(g, c->gone);
		if (a->node)
			n->changed(g, a->node->name);
	}
	if (a->result == NODE_STORE_FAILED)
		log_error("nodes: %s", a->text);
	else if (a->result == NODE_OK && c->kind == CHANGE_REDEEM)
		log_info("node %.*s has joined with token %.*s", STR_ARG(a->node->name), STR_ARG(c->id));
	else if (a->result == NODE_OK && c->kind == CHANGE_REMOVE)
		log_info("node %.*s was removed", STR_ARG(c->gone));
	if (c->done)
		c->done(c->arg, a);
	change_free(c);
}

static void committed(void *arg, int r, unsigned op)
{
	struct node_records *n = arg;
	struct change *c = change_list_first(&n->queue);
	struct node_answer a = {0};

	if (r == 0)
		make_true(n, c, &a);
	else
		a.result = change_refused(c, &a, r);
	finish(n, c, &a);
}

static void take_turn(void *arg)
{
	struct node_records *n = arg;
	struct change *c = change_list_first(&n->queue);
	struct node_answer a = {0};
	struct store_txn *t = NULL;

	if (!c || n->under_way)
		return;
	n->under_way = true;
	a.result = change_decide(n, c, &t, &a);
	if (a.result == NODE_OK)
		store_commit(t, committed, n);
	else
		finish(n, c, &a);
}

static struct change *ask(struct gate *g, enum change_kind kind, node_done *done, void *arg)
{
	struct node_records *n = g->node_records;
	struct change *c = xnew(struct change);

	c->kind = kind;
	c->done = done;
	c->arg = arg;
	change_list_push(&n->queue, c);
	timer_set(n->turn, 0);
	return c;
}

void node_records_forget(struct gate *g, const void *arg)
{
	struct change *c = change_list_first(&g->node_records->queue);

	for (; c; c = change_list_next(c))
		if (c->arg == arg)
			c->done = NULL;
}

/* ---- asking ---- */

/* A line of valid UTF-8 that the stored form may hold. */
static struct str clean(struct arena *a, struct str s)
{
	_cleanup_json_ json_t *utf8 = json_str(s.p ? str_sub(s, 0, NODE_TEXT_MAX) : STR(""));
	struct str v = json_str_value(utf8);
	size_t n = MIN(v.n, (size_t)NODE_TEXT_MAX);
	char *p;

	while (n < v.n && n > 0 && ((uint8_t)v.p[n] & 0xc0) == 0x80)
		n--;
	p = arena_dup(a, str_sub(v, 0, n));
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
	return str_n(p, n);
}

void node_records_redeem(struct gate *g, struct str token, struct str name, struct str key,
			 const struct node_seen *seen, node_done *done, void *arg)
{
	struct change *c = ask(g, CHANGE_REDEEM, done, arg);

	c->is_token = node_token_parse(token, &c->id, c->hash);
	c->id = arena_str(&c->arena, c->id);
	c->name = arena_str(&c->arena, name);
	c->key = arena_str(&c->arena, key);
	c->seen = (struct node_seen){.address = clean(&c->arena, seen->address),
				     .version = clean(&c->arena, seen->version),
				     .cost = clean(&c->arena, seen->cost)};
}

void node_records_change(struct gate *g, struct str name, const struct node_change *e, node_done *done, void *arg)
{
	struct change *c = ask(g, CHANGE_EDIT, done, arg);

	c->name = arena_str(&c->arena, name);
	c->edit = *e;
	c->edit.add = copy_labels(&c->arena, e->add, e->n_add);
	c->edit.remove = copy_labels(&c->arena, e->remove, e->n_remove);
}

void node_records_remove(struct gate *g, struct str name, node_done *done, void *arg)
{
	struct change *c = ask(g, CHANGE_REMOVE, done, arg);

	c->name = arena_str(&c->arena, name);
}

void node_records_seen(struct gate *g, struct str name, const struct node_seen *seen)
{
	struct node_records *n = g->node_records;
	struct node_kept *node = map_get(&n->by_name, name);
	struct arena a = ARENA_NULL;
	struct str address, version, cost;

	if (!node)
		return;
	address = clean(&a, seen->address);
	version = clean(&a, seen->version);
	cost = clean(&a, seen->cost);
	node->rec.seen_ms = clock_wall_ms();
	if (!str_eq(address, node->rec.address) || !str_eq(version, node->rec.version) ||
	    !str_eq(cost, node->rec.cost)) {
		struct node_record now = node->rec;
		struct node_kept *copy;

		now.address = address;
		now.version = version;
		now.cost = cost;
		copy = node_kept_new(&now);
		copy->written_ms = node->written_ms;
		keep_node(n, copy);
		node = copy;
	}
	arena_done(&a);
	if (node->rec.seen_ms - node->written_ms >= SEEN_EVERY_MS || node->rec.seen_ms < node->written_ms) {
		struct change *c = ask(g, CHANGE_SEEN, NULL, NULL);

		c->name = arena_str(&c->arena, node->rec.name);
		node->written_ms = node->rec.seen_ms;
	}
}

static void sweep(struct node_records *n)
{
	int64_t now_ms = clock_wall_ms();
	struct str id;
	void *v;

	for (size_t i = 0; map_next(&n->tokens, &i, &id, &v);)
		if (token_kept_is_over(v, now_ms)) {
			ask(n->g, CHANGE_SWEEP, NULL, NULL);
			return;
		}
}

void node_tokens_make(struct gate *g, const struct node_token_wish *w, node_done *done, void *arg)
{
	struct change *c;

	sweep(g->node_records);
	c = ask(g, CHANGE_MAKE, done, arg);
	c->wish = *w;
	c->wish.name = arena_str(&c->arena, w->name);
	c->wish.labels = copy_labels(&c->arena, w->labels, w->n_labels);
}

void node_tokens_revoke(struct gate *g, struct str id, node_done *done, void *arg)
{
	struct change *c = ask(g, CHANGE_REVOKE, done, arg);

	c->id = arena_str(&c->arena, id);
}

void node_records_on_change(struct gate *g, void (*changed)(struct gate *g, struct str name))
{
	g->node_records->changed = changed;
}

/* ---- beginning and end ---- */

static void load_node(struct node_records *n, struct arena *a, const json_t *j, struct err *err)
{
	struct node_record rec;
	struct node_kept *now;

	if (!j || node_record_from_json(&rec, j, a, err) < 0)
		return;
	now = node_kept_new(&rec);
	/* Two of one key: only a store that was written by hand has that; the later name has it. */
	if (map_get(&n->by_key, rec.key))
		forget_node(n, ((struct node_kept *)map_get(&n->by_key, rec.key))->rec.name);
	keep_node(n, now);
}

static void load_token(struct node_records *n, struct arena *a, const json_t *j, struct err *err)
{
	struct node_token tok;

	if (j && node_token_from_json(&tok, j, a, err) == 0)
		keep_token(n, token_kept_new(&tok));
}

static int load(struct node_records *n, enum record_kind kind, const char *what, struct err *err)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct record *all;
	bool truncated;
	size_t k;
	int r = store_list_records(store_reader(n->g->store), &a, kind, STR(""), STR(""), UINT32_MAX - 1, &all, &k,
				   &truncated);

	if (r != 0)
		return err_set(err, r < 0 ? -r : 0, "stored %ss cannot be read", what);
	for (size_t i = 0; i < k; i++) {
		_cleanup_(err_done) struct err bad = ERR_NULL;
		_cleanup_json_ json_t *j = json_parse(all[i].doc, &bad);

		if (kind == RECORD_NODE)
			load_node(n, &a, j, &bad);
		else
			load_token(n, &a, j, &bad);
		if (bad.msg)
			log_error("the stored %s %.*s is unreadable: %s", what, STR_ARG(all[i].key), bad.msg);
	}
	return 0;
}

struct node_records *node_records_open(struct gate *g, struct err *err)
{
	struct node_records *n = xnew(struct node_records);

	n->g = g;
	n->turn = timer_new(g->loop, take_turn, n);
	if (load(n, RECORD_NODE, "node", err) < 0 || load(n, RECORD_NODE_TOKEN, "token", err) < 0)
		return node_records_free(n);
	g->node_records = n;
	sweep(n);
	return n;
}

struct node_records *node_records_free(struct node_records *n)
{
	struct change *c;
	struct str key;
	void *v;

	if (!n)
		return NULL;
	/* One that is under way goes on in the store; its answer is dropped with the store. */
	while ((c = change_list_pop(&n->queue)))
		change_free(c);
	timer_free(n->turn);
	for (size_t i = 0; map_next(&n->by_name, &i, &key, &v);)
		node_kept_free(v);
	for (size_t i = 0; map_next(&n->tokens, &i, &key, &v);)
		token_kept_free(v);
	map_done(&n->by_name);
	map_done(&n->by_key);
	map_done(&n->tokens);
	free(n);
	return NULL;
}
