/* Records of nodes and join tokens: in memory from the start, changed by transactions. Owns the records in memory and
 * the queue of changes. A change is decided when its turn comes, on what is true then; what it will make true is built
 * beside what is there and put in its place when the transaction is committed. So nothing that could still fail is ever
 * seen. What may fail: the store, which is then the answer; a stored record that cannot be read is logged and counts as
 * absent. */
#include "gate/node_records.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/nodes.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>

#define SEEN_EVERY_MS   60000
#define EXPIRED_KEPT_MS 86400000 /* so that who comes too late is told so */

struct node {
	struct arena arena;
	struct node_record rec;
	int64_t written_ms; /* when it was seen, as the store was told last */
};

struct token {
	struct arena arena;
	struct node_token tok;
};

enum change_kind {
	CHANGE_REDEEM,
	CHANGE_EDIT,
	CHANGE_REMOVE,
	CHANGE_SEEN,
	CHANGE_MAKE,
	CHANGE_REVOKE,
	CHANGE_SWEEP,
};

struct change {
	struct list_link on_list;
	struct arena arena;
	enum change_kind kind;
	node_done *done;
	void *arg;
	/* What is wished, by kind */
	struct str name, key, id;
	struct node_seen seen;
	struct node_change edit;
	struct node_token_wish wish;
	bool is_token;
	char hash[2 * SHA256_SIZE + 1];
	/* What is true when it is committed; copies of these are then in memory */
	struct node *node;
	struct token *token;
	struct str gone;  /* name of a node, or id of a token, that is there no more */
	int64_t swept_ms; /* tokens that had expired by then are gone */
	char text[NODE_TOKEN_TEXT_SIZE];
};

DEFINE_LIST(change_list, struct change, on_list)

struct node_records {
	struct gate *g;
	struct map by_name, by_key; /* struct node, owned by by_name */
	struct map tokens;          /* struct token, by id */
	struct change_list queue;   /* the first may be under way */
	struct timer *turn;
	bool under_way;
	void (*changed)(struct gate *g, struct str name);
};

/* ---- memory ---- */

static struct node *node_free(struct node *n)
{
	if (n) {
		arena_done(&n->arena);
		free(n);
	}
	return NULL;
}

static struct token *token_free(struct token *t)
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

static struct node *node_new(const struct node_record *like)
{
	struct node *n = xnew(struct node);
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

static struct token *token_new(const struct node_token *like)
{
	struct token *t = xnew(struct token);
	struct arena *a = &t->arena;

	t->tok = *like;
	t->tok.id = arena_str(a, like->id);
	t->tok.secret = arena_str(a, like->secret);
	t->tok.name = arena_str(a, like->name);
	t->tok.labels = copy_labels(a, like->labels, like->n_labels);
	return t;
}

static void forget_node(struct node_records *n, struct str name)
{
	struct node *old = map_del(&n->by_name, name);

	if (old)
		map_del(&n->by_key, old->rec.key);
	node_free(old);
}

static void keep_node(struct node_records *n, struct node *now)
{
	forget_node(n, now->rec.name);
	map_put(&n->by_name, now->rec.name, now);
	map_put(&n->by_key, now->rec.key, now);
}

static void keep_token(struct node_records *n, struct token *now)
{
	token_free(map_put(&n->tokens, now->tok.id, now));
}

const struct node_record *node_by_key(const struct gate *g, struct str key)
{
	const struct node *n = map_get(&g->node_records->by_key, key);

	return n ? &n->rec : NULL;
}

const struct node_record *node_by_name(const struct gate *g, struct str name)
{
	const struct node *n = map_get(&g->node_records->by_name, name);

	return n ? &n->rec : NULL;
}

static int by_name(const void *a, const void *b)
{
	return str_cmp((*(const struct node *const *)a)->rec.name, (*(const struct node *const *)b)->rec.name);
}

static int by_creation(const void *a, const void *b)
{
	const struct node_token *x = &(*(const struct token *const *)a)->tok;
	const struct node_token *y = &(*(const struct token *const *)b)->tok;

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
		each(arg, &((const struct node *)all[i])->rec);
}

void node_tokens_each(const struct gate *g, void (*each)(void *arg, const struct node_token *t), void *arg)
{
	const struct map *m = &g->node_records->tokens;
	_cleanup_(freep) void **all = values(m, by_creation);
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < m->n; i++)
		if (((const struct token *)all[i])->tok.expires_ms > now_ms)
			each(arg, &((const struct token *)all[i])->tok);
}

/* ---- into the store ---- */

static void put_record(struct store_txn *t, enum put_mode mode, struct record rec, json_t *doc, struct str expect)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	json_write(&b, doc);
	json_decref(doc);
	rec.function = STR("");
	rec.doc = buf_str(&b);
	store_put_record(t, mode, &rec, expect, 0);
}

static void put_node(struct store_txn *t, enum put_mode mode, const struct node_record *n)
{
	put_record(t, mode, (struct record){.kind = RECORD_NODE, .key = n->name}, node_record_to_json(n), STR_NULL);
}

static struct str number(struct arena *a, uint32_t n)
{
	return str_from(arena_printf(a, "%u", n));
}

/* A token's revision is how often it was used: whoever else uses it, also another gateway, finds it changed. */
static void put_token(struct store_txn *t, struct arena *a, enum put_mode mode, const struct node_token *now,
		      struct str expect)
{
	put_record(t, mode,
		   (struct record){.kind = RECORD_NODE_TOKEN, .key = now->id, .revision = number(a, now->used)},
		   node_token_to_json(now), expect);
}

/* ---- what a change does: *t is its transaction, or the result says why there is none ---- */

static enum node_result no(struct change *c, struct node_answer *a, enum node_result r, const char *fmt, ...)
	_printf_(4, 5);

static enum node_result no(struct change *c, struct node_answer *a, enum node_result r, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	a->text = arena_dup(&c->arena, buf_str(&b));
	return r;
}

/* The name of a node that is connected and has no record: the gateway's own. */
static bool is_own(const struct gate *g, struct str name)
{
	_cleanup_json_ json_t *live = g->nodes ? nodes_json(g) : NULL;
	const json_t *one;
	size_t i;

	json_array_foreach(live, i, one)
	{
		if (str_eq(json_get_str(one, "name", STR_NULL), name) && !node_by_name(g, name))
			return true;
	}
	return false;
}

static enum node_result check_token(struct node_records *n, struct change *c, const struct node_token **ret,
				    struct node_answer *a)
{
	const struct token *held = c->is_token ? map_get(&n->tokens, c->id) : NULL;
	const struct node_token *t = held ? &held->tok : NULL;

	if (!t || !str_eq_secret(t->secret, str_from(c->hash)))
		return no(c, a, NODE_TOKEN_UNKNOWN,
			  "there is no such token: it was mistyped or revoked; make another with wick token");
	if (t->expires_ms <= clock_wall_ms())
		return no(c, a, NODE_TOKEN_EXPIRED, "the token %.*s has expired; make another with wick token",
			  STR_ARG(t->id));
	if (t->uses && t->used >= t->uses)
		return no(c, a, NODE_TOKEN_USED, "the token %.*s has been used; make another with wick token",
			  STR_ARG(t->id));
	*ret = t;
	return NODE_OK;
}

static enum node_result check_name(struct node_records *n, struct change *c, const struct node_token *t,
				   struct str name, struct node_answer *a)
{
	const struct node *holder = map_get(&n->by_name, name);

	if (!name.n)
		return no(c, a, NODE_INVALID, "the node has no name; join with --name");
	if (!node_name_ok(name))
		return no(
			c, a, NODE_INVALID,
			"'%.*s' is no name of a node: 1 to %d of a-z, 0-9 and '-', which stands neither first nor last",
			STR_ARG(str_sub(name, 0, 64)), NODE_NAME_MAX);
	if (t->name.n && !str_eq(t->name, name))
		return no(c, a, NODE_OTHER_NAME,
			  "the token %.*s is for a node named %.*s, not %.*s; join with --name %.*s", STR_ARG(t->id),
			  STR_ARG(t->name), STR_ARG(name), STR_ARG(t->name));
	if (holder && !str_eq(holder->rec.key, c->key))
		return no(c, a, NODE_NAME_TAKEN,
			  "a node named %.*s has joined with another key; wick node remove %.*s first, or join with "
			  "--name",
			  STR_ARG(name), STR_ARG(name));
	if (is_own(n->g, name))
		return no(c, a, NODE_NAME_TAKEN, "the name %.*s is that of the gateway's own node; join with --name",
			  STR_ARG(name));
	return NODE_OK;
}

static enum node_result decide_redeem(struct node_records *n, struct change *c, struct store_txn **t,
				      struct node_answer *a)
{
	const struct node *before = map_get(&n->by_key, c->key);
	const struct node_token *tok = NULL;
	struct node_record now = {0};
	struct node_token spent;
	enum node_result r;

	if (!node_key_ok(c->key))
		return no(c, a, NODE_INVALID, "the fingerprint of the node's key is none");
	r = check_token(n, c, &tok, a);
	if (r == NODE_OK && !c->name.n)
		c->name = arena_str(&c->arena, tok->name.n ? tok->name : before ? before->rec.name : STR(""));
	if (r == NODE_OK)
		r = check_name(n, c, tok, c->name, a);
	if (r != NODE_OK)
		return r;
	if (before)
		now = before->rec;
	else if (n->by_name.n >= NODES_MAX)
		return no(c, a, NODE_FULL, "there are %d nodes; remove some", NODES_MAX);
	now.name = c->name;
	now.key = c->key;
	now.n_labels = node_labels_change(&c->arena, now.labels, now.n_labels, tok->labels, tok->n_labels, NULL, 0,
					  &now.labels);
	if (now.n_labels > NODE_LABELS_MAX)
		return no(c, a, NODE_FULL, "the node would have more than %d labels", NODE_LABELS_MAX);
	now.address = c->seen.address;
	now.version = c->seen.version;
	now.cost = c->seen.cost;
	now.seen_ms = clock_wall_ms();
	now.created_ms = before ? before->rec.created_ms : now.seen_ms;
	spent = *tok;
	spent.used += spent.used < UINT32_MAX;
	c->node = node_new(&now);
	c->token = token_new(&spent);
	*t = store_begin(n->g->store);
	put_token(*t, &c->arena, PUT_REPLACE, &spent, number(&c->arena, tok->used));
	if (before && !str_eq(before->rec.name, now.name)) {
		c->gone = arena_str(&c->arena, before->rec.name);
		store_delete_record(*t, RECORD_NODE, STR(""), c->gone);
		put_node(*t, PUT_CREATE, &now);
	} else {
		put_node(*t, before ? PUT_REPLACE : PUT_CREATE, &now);
	}
	return NODE_OK;
}

/* Labels that were asked for: each must be one. */
static enum node_result check_labels(struct change *c, const struct str *labels, size_t k, struct node_answer *a)
{
	for (size_t i = 0; i < k; i++)
		if (!node_label_ok(labels[i]))
			return no(c, a, NODE_INVALID,
				  "'%.*s' is no label: 1 to %d of A-Z, a-z, 0-9 and ._=-, a letter or digit first",
				  STR_ARG(str_sub(labels[i], 0, 64)), NODE_LABEL_MAX);
	return NODE_OK;
}

static enum node_result no_node(struct node_records *n, struct change *c, struct node_answer *a)
{
	bool own = is_own(n->g, c->name);

	return no(c, a, NODE_MISSING,
		  own ? "the node %.*s is the gateway's own: nothing is kept of it" : "there is no node named %.*s",
		  STR_ARG(str_sub(c->name, 0, 64)));
}

static enum node_result decide_edit(struct node_records *n, struct change *c, struct store_txn **t,
				    struct node_answer *a)
{
	const struct node *before = map_get(&n->by_name, c->name);
	const struct node_change *e = &c->edit;
	struct node_record now;
	enum node_result r;

	if (!before)
		return no_node(n, c, a);
	r = check_labels(c, e->add, e->n_add, a);
	if (r == NODE_OK)
		r = check_labels(c, e->remove, e->n_remove, a);
	if (r != NODE_OK)
		return r;
	now = before->rec;
	if (e->set_drained)
		now.drained = e->drained;
	now.n_labels = node_labels_change(&c->arena, now.labels, now.n_labels, e->add, e->n_add, e->remove, e->n_remove,
					  &now.labels);
	if (now.n_labels > NODE_LABELS_MAX)
		return no(c, a, NODE_FULL, "the node %.*s would have more than %d labels", STR_ARG(c->name),
			  NODE_LABELS_MAX);
	c->node = node_new(&now);
	*t = store_begin(n->g->store);
	put_node(*t, PUT_REPLACE, &now);
	return NODE_OK;
}

static enum node_result decide_remove(struct node_records *n, struct change *c, struct store_txn **t,
				      struct node_answer *a)
{
	if (!map_get(&n->by_name, c->name))
		return no_node(n, c, a);
	c->gone = c->name;
	*t = store_begin(n->g->store);
	store_delete_record(*t, RECORD_NODE, STR(""), c->name);
	return NODE_OK;
}

static enum node_result decide_seen(struct node_records *n, struct change *c, struct store_txn **t,
				    struct node_answer *a)
{
	const struct node *node = map_get(&n->by_name, c->name);

	if (!node)
		return no_node(n, c, a);
	*t = store_begin(n->g->store);
	put_node(*t, PUT_REPLACE, &node->rec);
	return NODE_OK;
}

static enum node_result decide_make(struct node_records *n, struct change *c, struct store_txn **t,
				    struct node_answer *a)
{
	const struct node_token_wish *w = &c->wish;
	struct node_token tok = {.name = w->name, .uses = w->uses, .created_ms = clock_wall_ms()};
	uint8_t id[4], secret[NODE_TOKEN_SECRET];
	char id_text[NODE_TOKEN_ID_SIZE];
	enum node_result r;

	if (w->name.n && !node_name_ok(w->name))
		return no(
			c, a, NODE_INVALID,
			"'%.*s' is no name of a node: 1 to %d of a-z, 0-9 and '-', which stands neither first nor last",
			STR_ARG(str_sub(w->name, 0, 64)), NODE_NAME_MAX);
	r = check_labels(c, w->labels, w->n_labels, a);
	if (r != NODE_OK)
		return r;
	if (w->ttl_ms < 1 || w->ttl_ms > NODE_TOKEN_TTL_MAX_MS)
		return no(c, a, NODE_INVALID, "a token lasts at most %llu days", NODE_TOKEN_TTL_MAX_MS / 86400000);
	if (n->tokens.n >= TOKENS_MAX)
		return no(c, a, NODE_FULL, "there are %d tokens; revoke some", TOKENS_MAX);
	tok.n_labels = node_labels_change(&c->arena, NULL, 0, w->labels, w->n_labels, NULL, 0, &tok.labels);
	if (tok.n_labels > NODE_LABELS_MAX)
		return no(c, a, NODE_FULL, "a node has at most %d labels", NODE_LABELS_MAX);
	random_bytes(secret, sizeof(secret));
	do {
		random_bytes(id, sizeof(id));
		node_token_format(id, secret, id_text, c->text);
	} while (map_get(&n->tokens, str_from(id_text)));
	mem_wipe(secret, sizeof(secret));
	node_token_parse(str_from(c->text), &tok.id, c->hash);
	tok.secret = str_from(c->hash);
	tok.expires_ms = tok.created_ms + (int64_t)w->ttl_ms;
	c->token = token_new(&tok);
	*t = store_begin(n->g->store);
	put_token(*t, &c->arena, PUT_CREATE, &tok, STR_NULL);
	return NODE_OK;
}

static enum node_result decide_revoke(struct node_records *n, struct change *c, struct store_txn **t,
				      struct node_answer *a)
{
	if (!map_get(&n->tokens, c->id))
		return no(c, a, NODE_MISSING, "there is no token %.*s", STR_ARG(str_sub(c->id, 0, 64)));
	c->gone = c->id;
	*t = store_begin(n->g->store);
	store_delete_record(*t, RECORD_NODE_TOKEN, STR(""), c->id);
	return NODE_OK;
}

static bool is_swept(const struct token *t, int64_t now_ms)
{
	return now_ms - t->tok.expires_ms > EXPIRED_KEPT_MS;
}

static enum node_result decide_sweep(struct node_records *n, struct change *c, struct store_txn **t,
				     struct node_answer *a)
{
	struct str id;
	void *v;

	c->swept_ms = clock_wall_ms();
	*t = store_begin(n->g->store);
	for (size_t i = 0; map_next(&n->tokens, &i, &id, &v);)
		if (is_swept(v, c->swept_ms))
			store_delete_record(*t, RECORD_NODE_TOKEN, STR(""), id);
	return NODE_OK;
}

static enum node_result (*const decide[])(struct node_records *n, struct change *c, struct store_txn **t,
					  struct node_answer *a) = {
	[CHANGE_REDEEM] = decide_redeem, [CHANGE_EDIT] = decide_edit, [CHANGE_REMOVE] = decide_remove,
	[CHANGE_SEEN] = decide_seen,     [CHANGE_MAKE] = decide_make, [CHANGE_REVOKE] = decide_revoke,
	[CHANGE_SWEEP] = decide_sweep,
};

/* ---- the queue ---- */

static void change_free(struct change *c)
{
	node_free(c->node);
	token_free(c->token);
	mem_wipe(c->text, sizeof(c->text));
	arena_done(&c->arena);
	free(c);
}

static void sweep_memory(struct node_records *n, int64_t now_ms)
{
	_cleanup_(freep) void **all = values(&n->tokens, by_creation);
	size_t k = n->tokens.n;

	for (size_t i = 0; i < k; i++) {
		struct token *t = all[i];

		if (is_swept(t, now_ms))
			token_free(map_del(&n->tokens, t->tok.id));
	}
}

/* It is in the store: now it is so. */
static void make_true(struct node_records *n, struct change *c, struct node_answer *a)
{
	if (c->kind == CHANGE_REVOKE)
		token_free(map_del(&n->tokens, c->gone));
	else if (c->gone.n)
		forget_node(n, c->gone);
	if (c->kind == CHANGE_SWEEP)
		sweep_memory(n, c->swept_ms);
	if (c->token) {
		keep_token(n, token_new(&c->token->tok));
		a->token = &c->token->tok;
	}
	if (c->node) {
		const struct node *old = map_get(&n->by_name, c->node->rec.name);
		struct node_record now = c->node->rec;

		/* What was seen since it was decided. */
		if (old && c->kind == CHANGE_EDIT) {
			now.seen_ms = old->rec.seen_ms;
			now.address = old->rec.address;
			now.version = old->rec.version;
			now.cost = old->rec.cost;
		}
		keep_node(n, node_new(&now));
		a->node = &c->node->rec;
	}
	a->token_text = c->kind == CHANGE_MAKE ? c->text : NULL;
}

/* What the store found that memory did not know: another gateway was there first. */
static enum node_result store_refused(struct change *c, struct node_answer *a, int r)
{
	a->error = r;
	if (c->kind == CHANGE_REDEEM && r == STORE_E_PRECONDITION)
		return no(c, a, NODE_TOKEN_USED, "the token has been used; make another with wick token");
	if (c->kind == CHANGE_REDEEM && r == STORE_E_MISSING)
		return no(c, a, NODE_TOKEN_UNKNOWN, "the token was revoked; make another with wick token");
	if (c->kind == CHANGE_REDEEM && r == STORE_E_EXISTS)
		return no(c, a, NODE_NAME_TAKEN, "a node of this name has just joined with another key");
	if (r == STORE_E_MISSING)
		return no(c, a, NODE_MISSING, "it is there no more");
	return no(c, a, NODE_STORE_FAILED, "it could not be stored: %s", r < 0 ? strerror(-r) : "it was changed");
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
		a.result = store_refused(c, &a, r);
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
	a.result = decide[c->kind](n, c, &t, &a);
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
	struct node *node = map_get(&n->by_name, name);
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
		struct node *copy;

		now.address = address;
		now.version = version;
		now.cost = cost;
		copy = node_new(&now);
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
		if (is_swept(v, now_ms)) {
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
	struct node *now;

	if (!j || node_record_from_json(&rec, j, a, err) < 0)
		return;
	now = node_new(&rec);
	/* Two of one key: only a store that was written by hand has that; the later name has it. */
	if (map_get(&n->by_key, rec.key))
		forget_node(n, ((struct node *)map_get(&n->by_key, rec.key))->rec.name);
	keep_node(n, now);
}

static void load_token(struct node_records *n, struct arena *a, const json_t *j, struct err *err)
{
	struct node_token tok;

	if (j && node_token_from_json(&tok, j, a, err) == 0)
		keep_token(n, token_new(&tok));
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
		node_free(v);
	for (size_t i = 0; map_next(&n->tokens, &i, &key, &v);)
		token_free(v);
	map_done(&n->by_name);
	map_done(&n->by_key);
	map_done(&n->tokens);
	free(n);
	return NULL;
}
