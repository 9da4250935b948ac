/* Small objects that are read often, in memory. */
#pragma once

#include "gate/gate.h"

struct objects *objects_new(void);
struct objects *objects_free(struct objects *o);
/* As store_get_object. The object is borrowed for this loop turn; bytes->p is set when its content is at hand. */
int objects_get(struct gate *g, struct arena *a, struct str bucket, struct str key, const struct object **ret,
		struct str *bytes);
/* Forgets what was not used since the last call; false: nothing is kept. */
bool objects_age(struct objects *o);
