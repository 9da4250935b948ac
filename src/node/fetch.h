/* Packages that are not here and that a gate is asked for (NEED): each once, for all who wait for it. They come as
 * bytes into a file without a name; whether they are what they should be is node/code.c's to check. Loop thread. */
#pragma once

#include "base/str.h"

#define FETCH_MAX (512ull << 20) /* bytes of a package; twice what AWS allows unpacked */

struct fetches;
struct gate_link;

/* Where a package may be had: a gate. */
struct fetch_from {
	struct fetches *fetches;
	struct gate_link *link;
};

/* Once, maybe before fetch_get returns. fd: the receiver's, of an own position; -1: type (NULL: the receiver's own) and
 * error say why. */
typedef void fetched(void *arg, int fd, const char *type, const char *error);

struct fetches *fetches_new(const char *folder); /* where files are made; copied */
struct fetches *fetches_free(struct fetches *f); /* nobody waits */
/* hex: SHA-256, 64 digits. done NULL: this gate may be asked as well by whoever waits for it. */
void fetch_get(const struct fetch_from *from, const char *hex, fetched *done, void *arg);

/* The link can ask now (gate_link.h, need): it is asked for all that it might have. */
void fetches_up(struct fetches *f, struct gate_link *link);
/* Its connection is lost: what it was asked for is asked for again, of another or when it is up. */
void fetches_down(struct fetches *f, struct gate_link *link);
/* It will not come back: who waited for it alone is told. */
void fetches_gone(struct fetches *f, struct gate_link *link);

/* A package comes. sender: whoever it is, it alone may go on with it. False: nobody waits for it, or it comes already.
 */
bool fetch_begin(struct fetches *f, struct gate_link *link, struct str hex, const void *sender);
/* False: it is not wanted any more, or could not be kept (everyone has been told then). */
bool fetch_data(struct fetches *f, struct str hex, const void *sender, struct str bytes);
void fetch_end(struct fetches *f, struct str hex, const void *sender); /* that was all of it */
/* The gate has not got it, or cannot send it. */
void fetch_refused(struct fetches *f, struct str hex, const void *sender, const char *why);
