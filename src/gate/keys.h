/* Keys: the root key of the data folder, and temporary keys of the roles that functions run as. */
#pragma once

#include "gate/gate.h"
#include "gate/req.h"

struct keys *keys_open(const char *data, struct err *err);
struct keys *keys_close(struct keys *k); /* wipes the secrets */

/* Secret of a key into the arena; p == NULL: unknown. */
struct str keys_secret(struct gate *g, struct str access_key, struct arena *a);
/* The principal behind r->auth; FAIL_NONE, or why not. */
enum fail keys_find(struct gate *g, struct req *r, struct principal *ret);
/* kSigning for r->auth's key, day, region and service; remembered. */
void keys_signing_key(struct gate *g, struct req *r, uint8_t ret[static SHA256_SIZE]);

/* Temporary keys for a function's worker. Stateless: the token is the sealed statement of whom the key is for and until
 * when, and the secret is derived from the key's id, so any gate with the same master key can check them. */
struct temporary_key {
	char access_key[24], secret[48];
	struct buf token;
	int64_t expires_ms;
};
void keys_make_temporary(struct gate *g, struct str function, struct str role_arn, int64_t now_ms,
			 struct temporary_key *ret);
