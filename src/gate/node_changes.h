/* The inside of node_records.c and node_changes.c: records as they are in memory, and a change from when it is asked
 * for until it is answered. node_records.c owns all of it; node_changes.c decides. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "gate/node_records.h"

struct node_kept {
	struct arena arena;
	struct node_record rec;
	int64_t written_ms; /* when it was seen, as the store was told last */
};

struct token_kept {
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
	struct node_kept *node;
	struct token_kept *token;
	struct str gone;  /* name of a node, or id of a token, that is there no more */
	int64_t swept_ms; /* tokens that had expired by then are gone */
	char text[NODE_TOKEN_TEXT_SIZE];
};

DEFINE_LIST(change_list, struct change, on_list)

struct node_records {
	struct gate *g;
	struct map by_name, by_key; /* struct node_kept, owned by by_name */
	struct map tokens;          /* struct token_kept, by id */
	struct change_list queue;   /* the first may be under way */
	struct timer *turn;
	bool under_way;
	void (*changed)(struct gate *g, struct str name);
};

struct node_kept *node_kept_new(const struct node_record *like);
struct node_kept *node_kept_free(struct node_kept *n);
struct token_kept *token_kept_new(const struct node_token *like);
struct token_kept *token_kept_free(struct token_kept *t);
/* It expired so long ago that it need not be told from one that never was. */
bool token_kept_is_over(const struct token_kept *t, int64_t now_ms);

/* What c does now: OK and *t is its transaction, with c's second half filled; else the text of a says why there is
 * none. */
enum node_result change_decide(struct node_records *n, struct change *c, struct store_txn **t, struct node_answer *a);
/* What the store says of c: STORE_E_* or negative errno. */
enum node_result change_refused(struct change *c, struct node_answer *a, int r);
