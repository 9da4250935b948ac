/* Which of the machine's own Python packages each code package imports: guessed from its source when it is new, then
 * learnt from its workers, and kept across restarts. Loop thread, but for learn_scan. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "sys/loop.h"

struct learn;

/* path: a JSON file, made when there is something to keep. An unreadable one is begun anew. */
struct learn *learn_open(struct loop *l, const char *path);
struct learn *learn_free(struct learn *l); /* saves what is new */

/* Names with commas between, sorted; false: nothing is known of this package. The view lives until the next call. */
bool learn_get(struct learn *l, struct str sha256, struct str *imports);
/* More names (blanks or commas between) for a package. Names of no package of this machine are left out. */
void learn_add(struct learn *l, struct str sha256, struct str names);

/* What the sources in a folder import that the machine has and the folder has not: any thread. Names with commas
 * between, malloc'd. */
char *learn_scan(const char *dir);
