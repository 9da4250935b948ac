/* TLS 1.3 over a connected socket, for links between programs that know each other by their keys. net/tls.c is the only
 * user of GnuTLS.
 *
 * A key is one PEM file with an Ed25519 key and a certificate that it signed itself (Ed25519: sign and verify take 27
 * and 84 us here, P-256 43 and 115). What a program is known by is its fingerprint, "SHA256:" and the base64 of the
 * SHA-256 of its SubjectPublicKeyInfo, without padding: as ssh-keygen prints one. Keys of other kinds, with the
 * certificate of an authority, are loaded as well. No secret stands in any error. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define TLS_FINGERPRINT_SIZE 51 /* "SHA256:", 43 characters, NUL */
#define TLS_RECORD_MAX       16384
#define TLS_FILL_MAX         ((size_t)64 << 10) /* bytes that one tls_fill brings at most */
#define TLS_ALPN             "wick-link/1"

struct tls_key;

/* A new key with a certificate for this name that does not end in practice; written atomically, mode 0600, in place of
 * what stood there. */
int tls_key_make(const char *path, const char *name, struct err *err);
/* Key and certificates (the own one first) of one file; chain: the certificates are in this file instead, NULL: not. */
struct tls_key *tls_key_load(const char *path, const char *chain, struct err *err);
const char *tls_key_fingerprint(const struct tls_key *k);
struct tls_key *tls_key_free(
	struct tls_key *k); /* NULL allowed, as for all that follow; contexts keep what they need */
DEFINE_CLEANUP(struct tls_key *, tls_key_free)

bool tls_fingerprint_is(struct str s); /* is of the form of one */

/* How sessions begin; must outlive them. A server wants a certificate of every client, and takes any: who the client is
 * the caller asks by its fingerprint. A client takes the server with the fingerprint `pin` (names and times of the
 * certificate then do not count) or, without one, a server whose certificate for `host` is vouched for by ca_file or
 * (NULL) by the authorities that the system trusts. */
struct tls_context;

struct tls_expect {
	const char *pin;     /* NULL: by host */
	const char *host;    /* a name or an address; with a pin only told to the server, and may be NULL */
	const char *ca_file; /* PEM */
};

struct tls_context *tls_server_new(const struct tls_key *k, struct err *err);
struct tls_context *tls_client_new(const struct tls_key *k, const struct tls_expect *expect, struct err *err);
struct tls_context *tls_context_free(struct tls_context *c);
bool tls_is_server(const struct tls_context *c);

/* One connection. Nothing blocks. Ciphertext is read with tls_fill and taken apart by tls_handshake or tls_read;
 * it is made by tls_handshake and tls_write and goes out with tls_flush. A negative return: the session is of no use
 * any more, and tls_error says why. */
struct tls;

struct tls *tls_new(const struct tls_context *c, int fd /* connected, non-blocking; stays the caller's */);
struct tls *tls_free(struct tls *t);
const char *tls_error(const struct tls *t); /* of the last call that failed; lives as long as the session */
/* 1: done; 0: call it again when tls_fill brought something. Flush after each call, a failed one too: it leaves an
 * alert for the peer. */
int tls_handshake(struct tls *t);
const char *tls_fingerprint(const struct tls *t); /* of the peer; "" before the handshake is done */
/* One read of the socket: how many bytes came, 0: none now. Only when tls_read has nothing more. */
ssize_t tls_fill(struct tls *t);
ssize_t tls_read(struct tls *t, void *p, size_t n);    /* 0: nothing more; n of TLS_RECORD_MAX takes a whole record */
int tls_write(struct tls *t, const void *p, size_t n); /* takes all; memory is bounded by flushing */
int tls_flush(struct tls *t);                          /* 1: all is out; 0: the socket takes no more now */
size_t tls_unsent(const struct tls *t);
void tls_bye(struct tls *t); /* adds the end of what this side sends; flush */
