/* The nodes, so arranged that a place is found without looking at each: by the rules of gate/place_node.h, in
 * microseconds for ten thousand nodes. Nodes have numbers, which the caller gives (small, used again). The index holds
 * pointers to the nodes: a node stays where it is until it is taken out, and whoever changes one (its books, its
 * memory, its state) says so by place_index_update before the next search. Not for several threads. */
#pragma once

#include "gate/place_node.h"

struct place_index *place_index_new(void);
struct place_index *place_index_free(struct place_index *ix); /* not the nodes */

/* The node of this number is new, has changed, or (NULL) is no more. */
void place_index_update(struct place_index *ix, size_t at, struct place_node *n);
/* For place_why: *ret_n numbers, NULL where there is none. Valid until the next update. */
const struct place_node *const *place_index_nodes(const struct place_index *ix, size_t *ret_n);

/* The best place for one worker; false: there is none now, place_why says why. Books nothing. */
bool place_index_find(struct place_index *ix, const struct place_wish *w, struct place_choice *ret);
/* Books the choice, made since the last change: leases[] gets choice->n_devices. The node's memory is the caller's to
 * count. */
void place_index_take(struct place_index *ix, const struct place_wish *w, const struct place_choice *choice,
		      struct slice_lease *leases);
/* False: the node has no such lease (it was described anew without it). */
bool place_index_give_back(struct place_index *ix, size_t at, const struct slice_lease *l);
