/* What each change of nodes and tokens does, decided when its turn comes (node_records.c), on what is in memory then.
 * Reads memory, writes a transaction; keeps nothing. Fails by the rules of enum node_result, each with a sentence. */
#include "gate/node_changes.h"

#include "base/mem.h"
#include "gate/nodes.h"
#include "sys/clock.h"

#include <stdio.h>

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
	const struct token_kept *held = c->is_token ? map_get(&n->tokens, c->id) : NULL;
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
	const struct node_kept *holder = map_get(&n->by_name, name);

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
	const struct node_kept *before = map_get(&n->by_key, c->key);
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
	c->node = node_kept_new(&now);
	c->token = token_kept_new(&spent);
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
	const struct node_kept *before = map_get(&n->by_name, c->name);
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
	c->node = node_kept_new(&now);
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
	const struct node_kept *node = map_get(&n->by_name, c->name);

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
	c->token = token_kept_new(&tok);
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

static enum node_result decide_sweep(struct node_records *n, struct change *c, struct store_txn **t,
				     struct node_answer *a)
{
	struct str id;
	void *v;

	c->swept_ms = clock_wall_ms();
	*t = store_begin(n->g->store);
	for (size_t i = 0; map_next(&n->tokens, &i, &id, &v);)
		if (token_kept_is_over(v, c->swept_ms))
			store_delete_record(*t, RECORD_NODE_TOKEN, STR(""), id);
	return NODE_OK;
}

static enum node_result (*const decide[])(struct node_records *n, struct change *c, struct store_txn **t,
					  struct node_answer *a) = {
	[CHANGE_REDEEM] = decide_redeem, [CHANGE_EDIT] = decide_edit, [CHANGE_REMOVE] = decide_remove,
	[CHANGE_SEEN] = decide_seen,     [CHANGE_MAKE] = decide_make, [CHANGE_REVOKE] = decide_revoke,
	[CHANGE_SWEEP] = decide_sweep,
};

enum node_result change_decide(struct node_records *n, struct change *c, struct store_txn **t, struct node_answer *a)
{
	return decide[c->kind](n, c, t, a);
}

/* What the store found that memory did not know: another gateway was there first. */
enum node_result change_refused(struct change *c, struct node_answer *a, int r)
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
