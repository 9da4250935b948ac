/* What the gate keeps of remote nodes: who has joined, and the tokens with which more may. All of it is in memory from
 * the start; every change is durable before it is in memory, and in memory before it is answered. Changes are made one
 * after the other, in the order in which they were asked for: a token of one use is used once, whoever comes at the
 * same moment. Loop thread. */
#pragma once

#include "gate/gate.h"
#include "model/node.h"

struct node_records *node_records_open(struct gate *g, struct err *err); /* NULL: the store cannot be read */
struct node_records *node_records_free(struct node_records *n);          /* nobody is called back any more */

/* changed: name was joined, drained, resumed, labelled or removed (node_by_name says which). One listener. */
void node_records_on_change(struct gate *g, void (*changed)(struct gate *g, struct str name));

/* Views until the loop's next turn; NULL: there is none. */
const struct node_record *node_by_key(const struct gate *g, struct str key);
const struct node_record *node_by_name(const struct gate *g, struct str name);
void node_records_each(const struct gate *g, void (*each)(void *arg, const struct node_record *n), void *arg);
/* In order of making; those that expired are not told. */
void node_tokens_each(const struct gate *g, void (*each)(void *arg, const struct node_token *t), void *arg);

enum node_result {
	NODE_OK,
	NODE_TOKEN_UNKNOWN, /* no token, or it was revoked, or expired long ago */
	NODE_TOKEN_EXPIRED,
	NODE_TOKEN_USED, /* as often as it may be */
	NODE_OTHER_NAME, /* the token is for another name */
	NODE_NAME_TAKEN, /* another key has it, or the gateway's own node */
	NODE_INVALID,    /* a name, key, label or number that may not be */
	NODE_MISSING,    /* no such node or token */
	NODE_FULL,       /* NODES_MAX, TOKENS_MAX, NODE_LABELS_MAX */
	NODE_STORE_FAILED,
};
#define NODES_MAX  4096
#define TOKENS_MAX 1024

/* All are views until the callback returns. */
struct node_answer {
	enum node_result result;
	int error;                      /* STORE_FAILED: negative errno */
	const char *text;               /* for people, a sentence without its stop: what is wrong; NULL: OK */
	const struct node_record *node; /* OK: as it is now; NULL: removed, or a token's */
	const struct node_token *token; /* OK of make */
	const char *token_text;         /* OK of make: the only time that it can be told */
};
/* Called from the loop, never before the function that it was given to has returned. done may be NULL. */
typedef void node_done(void *arg, const struct node_answer *a);
void node_records_forget(struct gate *g, const void *arg); /* whoever asked with this arg is not called any more */

/* What a node says of itself, or its connection. Control bytes and what is over NODE_TEXT_MAX go. */
struct node_seen {
	struct str address, version, cost;
};

/* Joins: a node of this key and wished name (n == 0: the token's, or the one that the key has) comes with a token. A
 * key that has joined before keeps what it has, under the new name. */
void node_records_redeem(struct gate *g, struct str token, struct str name, struct str key,
			 const struct node_seen *seen, node_done *done, void *arg);
struct node_change {
	bool set_drained, drained;
	const struct str *add, *remove; /* labels */
	size_t n_add, n_remove;
};
void node_records_change(struct gate *g, struct str name, const struct node_change *c, node_done *done, void *arg);
void node_records_remove(struct gate *g, struct str name, node_done *done, void *arg);
/* It is connected: in memory at once, in the store at most once a minute. */
void node_records_seen(struct gate *g, struct str name, const struct node_seen *seen);

#define NODE_TOKEN_TTL_MAX_MS (366 * 86400000ull)
struct node_token_wish {
	struct str name; /* n == 0: any */
	const struct str *labels;
	size_t n_labels;
	uint64_t ttl_ms;
	uint32_t uses; /* 0: any number of times */
};
void node_tokens_make(struct gate *g, const struct node_token_wish *w, node_done *done, void *arg);
void node_tokens_revoke(struct gate *g, struct str id, node_done *done, void *arg);

/* Fingerprint of the key that nodes know the gateway by; empty: there is none. */
const char *nodes_fingerprint(const struct gate *g);
