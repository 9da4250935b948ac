/* Why a worker has no place on any node, for `wick why` and dry runs, and whether it could ever have one, for the
 * refusal at deploy: what was found on all nodes, and the words for it. Looks at every node, so not on the way of an
 * invocation. Pure; the rules are gate/place_node.h. */
#pragma once

#include "gate/place_node.h"

/* The nodes that a reason rules out, and the best of what they have, which is less than what is asked for. */
struct place_facts {
	unsigned nodes;
	uint32_t slots;   /* TOO_LARGE: of one instance; NO_SLOTS: free on one device */
	uint32_t devices; /* TOO_FEW: whole ones of one node; NO_SLOTS: those that are free */
	uint64_t mb; /* TOO_MUCH_MEMORY: of a device (of each of so many); NO_DEVICE_MEMORY: free on one; TOO_SMALL and
			NO_MEMORY: of a node */
	struct str trouble; /* TROUBLE: of a device */
};
struct place_why {
	unsigned nodes;
	unsigned with_label[SLICE_LABELS_MAX];                    /* so many nodes have the label */
	struct place_facts kinds[SLICE_KINDS_MAX][PLACE_REASONS]; /* [0] where no kind is asked for */
};
/* place_node_reason, where it is known by what number: one whose starts fail there may avoid it. */
enum place_reason place_why_not(const struct place_node *n, size_t number, const struct place_wish *w, struct str kind);
/* A node that is NULL: there is none of that number. */
void place_why(const struct place_node *const *nodes, size_t n, const struct place_wish *w, struct place_why *ret);
/* The reason that is nearest to a place, over all kinds; PLACE_FITS: there is one. */
enum place_reason place_why_nearest(const struct place_why *why, const struct place_wish *w);
/* "gpu: the largest free part of any is 2/8, 4/8 are asked for (3 nodes); 1 node is drained. cpu: ...". */
void place_why_text(struct buf *b, const struct place_why *why, const struct place_wish *w);

/* The same of one node: "gpu: the largest free part of any is 2/8, 4/8 are asked for. cpu: ...". */
void place_why_node(struct buf *b, const struct place_node *n, size_t number, const struct place_wish *w);

/* Could it ever have a place, whatever is taken, down or drained now? -1: err says what is asked for and what there is
 * ("wick:slice 3 devices: no node has more than 2 gpu"); for the refusal when a function is deployed. */
int place_node_possible(const struct place_node *const *nodes, size_t n, const struct place_wish *w, struct err *err);
