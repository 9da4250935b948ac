/* An alias of a function: a name for a version, or for two with a weight. Codec: JSON, as the store keeps it. Pure. */
#pragma once

#include "wire/json.h"

struct alias {
	struct str name, version, description, revision;
	struct str other;  /* a second version; n == 0: none */
	double weight;     /* of the second: 0.0 to 1.0 */
	struct str policy; /* resource policy, JSON; n == 0: none */
};

json_t *alias_to_json(const struct alias *al);
int alias_from_json(struct alias *ret, const json_t *j, struct arena *a, struct err *err); /* views into j and a */
/* The version for one invocation; random: uniform over uint32. */
struct str alias_pick(const struct alias *al, uint32_t random);
