/* Keys. Owned here: the root key (read from DATA/credentials, AWS ini format), the master key (DATA/master.key, 32
 * random bytes, made on first start), and a cache of derived signing keys. Secrets leave only by keys_secret, by
 * keys_make_temporary and as signing keys; none is ever logged. Fails only at opening. */
#include "gate/keys.h"

#include "base/map.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>

#define TEMPORARY_KEY_MS  (12 * 3600 * (int64_t)1000)
#define SIGNING_CACHE_MAX 1024
#define MASTER_KEY_SIZE   32
#define TOKEN_AAD         STR("wick temporary key 1")

struct keys {
	char *access_key, *secret;
	uint8_t master[MASTER_KEY_SIZE];
	struct map signing; /* "key/day/region/service" -> SHA256_SIZE bytes */
};

static int read_credentials(struct keys *k, const char *data, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/credentials", data);
	struct buf text = BUF_NULL;
	struct str rest, line, name, value;
	int r = file_read(path, 65536, &text);

	if (r < 0)
		return err_set(err, -r, "read %s", path);
	rest = buf_str(&text);
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (!str_cut(line, '=', &name, &value))
			continue;
		name = str_trim(name);
		value = str_trim(value);
		if (str_eq(name, STR("aws_access_key_id")) && !k->access_key)
			k->access_key = str_dup(value);
		else if (str_eq(name, STR("aws_secret_access_key")) && !k->secret)
			k->secret = str_dup(value);
	}
	mem_wipe(text.p, text.n);
	buf_done(&text);
	if (!k->access_key || !k->secret || !k->access_key[0] || !k->secret[0])
		return err_set(err, 0, "%s: no aws_access_key_id and aws_secret_access_key in it", path);
	return 0;
}

static int read_master(struct keys *k, const char *data, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/master.key", data);
	struct buf b = BUF_NULL;
	int r = file_read(path, MASTER_KEY_SIZE, &b);

	if (r == -ENOENT) {
		random_bytes(k->master, sizeof(k->master));
		r = file_write(path, str_n(k->master, sizeof(k->master)), 0600);
		return r < 0 ? err_set(err, -r, "write %s", path) : 0;
	}
	if (r < 0)
		return err_set(err, -r, "read %s", path);
	if (b.n == MASTER_KEY_SIZE)
		memcpy(k->master, b.p, b.n);
	else
		r = err_set(err, 0, "%s: expected %d bytes, found %zu", path, MASTER_KEY_SIZE, b.n);
	mem_wipe(b.p, b.n);
	buf_done(&b);
	return r < 0 ? -1 : 0;
}

struct keys *keys_open(const char *data, struct err *err)
{
	struct keys *k = xnew(struct keys);

	if (read_credentials(k, data, err) < 0 || read_master(k, data, err) < 0)
		return keys_close(k);
	return k;
}

static void forget_signing(struct keys *k)
{
	struct str key;
	void *v;

	for (size_t i = 0; map_next(&k->signing, &i, &key, &v);) {
		mem_wipe(v, SHA256_SIZE);
		free(v);
	}
	map_done(&k->signing);
}

struct keys *keys_close(struct keys *k)
{
	if (!k)
		return NULL;
	forget_signing(k);
	if (k->secret)
		mem_wipe(k->secret, strlen(k->secret));
	mem_wipe(k->master, sizeof(k->master));
	free(k->secret);
	free(k->access_key);
	free(k);
	return NULL;
}

static void derive_secret(const struct keys *k, struct str access_key, char out[static 48])
{
	uint8_t mac[SHA256_SIZE];
	struct buf b = BUF_NULL;

	hmac_sha256(k->master, sizeof(k->master), access_key.p, access_key.n, mac);
	base64_encode(&b, mac, 30); /* 40 characters, as long as AWS's */
	memcpy(out, b.p, b.n + 1);
	mem_wipe(b.p, b.n);
	mem_wipe(mac, sizeof(mac));
	buf_done(&b);
}

struct str keys_secret(struct gate *g, struct str access_key, struct arena *a)
{
	if (str_eqz(access_key, g->keys->access_key))
		return arena_str(a, str_from(g->keys->secret));
	if (str_starts(access_key, STR("ASIA"))) {
		char secret[48];

		derive_secret(g->keys, access_key, secret);
		return arena_str(a, str_from(secret));
	}
	return STR_NULL;
}

/* Token: base64url(seal("access key\nfunction\nrole arn\nexpiry ms")). */
static enum fail open_token(struct gate *g, struct req *r, struct principal *ret)
{
	struct buf sealed = BUF_NULL, plain = BUF_NULL;
	struct str rest, access_key, function, role, expires;
	enum fail f = FAIL_BAD_TOKEN;
	int64_t ms;

	if (base64url_decode(&sealed, r->auth.token) &&
	    seal_open(g->keys->master, buf_str(&sealed), TOKEN_AAD, &plain)) {
		rest = arena_str(&r->arena, buf_str(&plain));
		str_cut(rest, '\n', &access_key, &rest);
		str_cut(rest, '\n', &function, &rest);
		str_cut(rest, '\n', &role, &expires);
		if (!str_eq(access_key, r->auth.access_key) || !str_to_i64(expires, &ms))
			f = FAIL_BAD_KEY;
		else if (ms < r->now_ms)
			f = FAIL_EXPIRED_TOKEN;
		else
			f = FAIL_NONE;
		*ret = (struct principal){
			.kind = PRINCIPAL_ROLE, .access_key = access_key, .arn = role, .function = function};
	}
	buf_done(&sealed);
	buf_done(&plain);
	return f;
}

enum fail keys_find(struct gate *g, struct req *r, struct principal *ret)
{
	if (str_eqz(r->auth.access_key, g->keys->access_key)) {
		if (r->auth.token.p)
			return FAIL_BAD_TOKEN;
		*ret = (struct principal){
			.kind = PRINCIPAL_ROOT,
			.access_key = str_from(g->keys->access_key),
			.arn = str_from(arena_printf(&r->arena, "arn:aws:iam::%s:root", g->conf.s.account)),
		};
		return FAIL_NONE;
	}
	if (!str_starts(r->auth.access_key, STR("ASIA")) || !r->auth.token.p)
		return FAIL_BAD_KEY;
	return open_token(g, r, ret);
}

void keys_signing_key(struct gate *g, struct req *r, uint8_t ret[static SHA256_SIZE])
{
	struct keys *k = g->keys;
	char *name = arena_printf(&r->arena, "%.*s/%.*s", STR_ARG(r->auth.access_key), STR_ARG(r->auth.scope));
	uint8_t *known = map_get(&k->signing, str_from(name));
	struct str secret;

	if (known) {
		memcpy(ret, known, SHA256_SIZE);
		return;
	}
	secret = keys_secret(g, r->auth.access_key, &r->arena);
	sigv4_signing_key(secret, r->auth.date, r->auth.region, r->auth.service, ret);
	mem_wipe((char *)secret.p, secret.n);
	if (k->signing.n >= SIGNING_CACHE_MAX)
		forget_signing(k);
	map_put(&k->signing, str_from(name), xmemdup(ret, SHA256_SIZE));
}

void keys_make_temporary(struct gate *g, struct str function, struct str role_arn, int64_t now_ms,
			 struct temporary_key *ret)
{
	static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t random[16], nonce[12];
	struct buf plain = BUF_NULL, sealed = BUF_NULL;

	random_bytes(random, sizeof(random));
	memcpy(ret->access_key, "ASIA", 4);
	for (size_t i = 0; i < sizeof(random); i++)
		ret->access_key[4 + i] = base32[random[i] & 31];
	ret->access_key[4 + sizeof(random)] = '\0';
	derive_secret(g->keys, str_from(ret->access_key), ret->secret);
	ret->expires_ms = now_ms + TEMPORARY_KEY_MS;
	buf_printf(&plain, "%s\n%.*s\n%.*s\n%lld", ret->access_key, STR_ARG(function), STR_ARG(role_arn),
		   (long long)ret->expires_ms);
	random_bytes(nonce, sizeof(nonce));
	seal(g->keys->master, nonce, buf_str(&plain), TOKEN_AAD, &sealed);
	ret->token = BUF_NULL;
	base64url_encode(&ret->token, sealed.p, sealed.n);
	buf_done(&plain);
	buf_done(&sealed);
}
