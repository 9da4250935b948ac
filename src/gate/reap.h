/* What goes away by itself: idle workers, blobs nobody holds, workers whose keys grow old. */
#pragma once

#include "gate/gate.h"

struct reap *reap_new(struct gate *g);
struct reap *reap_free(struct reap *r);
void reap_kick(struct gate *g); /* a commit may have left dead blobs, or a worker became idle */
