/* TLS 1.3 with GnuTLS: keys, contexts, sessions.
 *
 * A session stands between two buffers of ciphertext. GnuTLS would read five bytes of header and then a record, and
 * send each record, with a system call each; here one recv fills 64 KiB for many records and what many records make
 * goes out with one send. Sessions are owned by their callers, and so are sockets; a context owns its credentials.
 *
 * May fail: everything that depends on files, and on the peer. Want of memory stops the process. */
#include "net/tls.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define KEY_FILE_MAX  (1u << 20)
#define CERTS_MAX     16
#define SERIAL_SIZE   16
#define OUT_KEEP      ((size_t)128 << 10) /* a buffer that grew beyond goes when it is empty */
#define CLOCK_SKEW_S  86400               /* of the machine that makes a certificate: valid a day before */
#define NO_EXPIRATION 253402300799        /* 9999-12-31 23:59:59, RFC 5280's "none" */

/* AES before ChaCha20, which is five times slower where the CPU has AES; tickets would only be state to lose. */
#define PRIORITIES                                                                                                     \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-GROUP-ALL"            \
	":+GROUP-X25519:+GROUP-SECP256R1:%SERVER_PRECEDENCE"

struct tls_key {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t certs[CERTS_MAX];
	unsigned n_certs;
	char fingerprint[TLS_FINGERPRINT_SIZE];
};

struct tls_context {
	gnutls_certificate_credentials_t cred;
	gnutls_priority_t priority;
	bool server;
	char *pin, *host;
};

struct tls {
	const struct tls_context *context;
	gnutls_session_t session;
	int fd;
	char *in; /* TLS_FILL_MAX; ciphertext from in_at to in_n is not taken yet */
	size_t in_at, in_n;
	bool in_ended;
	struct buf out;
	size_t out_at;
	char *error;
	char fingerprint[TLS_FINGERPRINT_SIZE];
};

static void must(int r)
{
	if (r < 0) {
		fprintf(stderr, "GnuTLS: %s\n", gnutls_strerror(r));
		abort();
	}
}

/* Keys */

static void fingerprint_text(const uint8_t hash[static 32], char ret[static TLS_FINGERPRINT_SIZE])
{
	gnutls_datum_t in = {.data = (uint8_t *)hash, .size = 32}, text;

	must(gnutls_base64_encode2(&in, &text));
	assert(text.size == 44);
	/* 32 bytes make 43 characters and one of padding. */
	snprintf(ret, TLS_FINGERPRINT_SIZE, "SHA256:%.43s", (const char *)text.data);
	gnutls_free(text.data);
}

static int crt_fingerprint(gnutls_x509_crt_t crt, char ret[static TLS_FINGERPRINT_SIZE])
{
	uint8_t hash[32];
	size_t n = sizeof(hash);
	int r = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, hash, &n);

	if (r >= 0)
		fingerprint_text(hash, ret);
	return r;
}

bool tls_fingerprint_is(struct str s)
{
	struct str b = str_sub(s, 7, SIZE_MAX);

	if (s.n != TLS_FINGERPRINT_SIZE - 1 || !str_starts(s, STR("SHA256:")))
		return false;
	for (size_t i = 0; i < b.n; i++) {
		char c = b.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
		      c == '/'))
			return false;
	}
	return true;
}

static int sign_self(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *name)
{
	uint8_t serial[SERIAL_SIZE];
	int r;

	random_bytes(serial, sizeof(serial));
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of full length */
	if ((r = gnutls_x509_crt_set_version(crt, 3)) < 0 || (r = gnutls_x509_crt_set_key(crt, key)) < 0 ||
	    (r = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial))) < 0 ||
	    (r = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name))) <
		    0 ||
	    (r = gnutls_x509_crt_set_activation_time(crt, clock_wall_ms() / 1000 - CLOCK_SKEW_S)) < 0 ||
	    (r = gnutls_x509_crt_set_expiration_time(crt, NO_EXPIRATION)) < 0 ||
	    (r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE)) < 0)
		return r;
	return gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA512, 0);
}

int tls_key_make(const char *path, const char *name, struct err *err)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t key_pem = {0}, crt_pem = {0};
	struct buf both = BUF_NULL;
	int r, w = 0;

	must(gnutls_x509_privkey_init(&key));
	must(gnutls_x509_crt_init(&crt));
	r = gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 0, 0);
	if (r >= 0)
		r = sign_self(crt, key, name);
	if (r >= 0)
		r = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &key_pem);
	if (r >= 0)
		r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
	if (r >= 0) {
		/* In one piece: a buffer that grew would leave parts of the key in freed memory. */
		buf_reserve(&both, key_pem.size + crt_pem.size);
		buf_add(&both, key_pem.data, key_pem.size);
		buf_add(&both, crt_pem.data, crt_pem.size);
		w = file_write(path, buf_str(&both), 0600);
	}
	mem_wipe(both.p, both.n);
	buf_done(&both);
	if (key_pem.data)
		gnutls_memset(key_pem.data, 0, key_pem.size);
	gnutls_free(key_pem.data);
	gnutls_free(crt_pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	if (r < 0)
		return err_set(err, 0, "make a key for '%s': %s", name, gnutls_strerror(r));
	return w < 0 ? err_set(err, -w, "write %s", path) : 0;
}

static int read_pem(const char *path, struct buf *ret, struct err *err)
{
	int r = file_read(path, KEY_FILE_MAX, ret);

	return r < 0 ? err_set(err, -r, "read %s", path) : 0;
}

static gnutls_datum_t datum(const struct buf *b)
{
	return (gnutls_datum_t){.data = (uint8_t *)buf_cstr(b), .size = (unsigned)b->n};
}

/* The key must be the certificate's, or every handshake would fail later with less to say. */
static bool key_fits(const struct tls_key *k)
{
	uint8_t a[32], b[32];
	size_t an = sizeof(a), bn = sizeof(b);

	return gnutls_x509_privkey_get_key_id(k->key, GNUTLS_KEYID_USE_SHA256, a, &an) >= 0 &&
	       gnutls_x509_crt_get_key_id(k->certs[0], GNUTLS_KEYID_USE_SHA256, b, &bn) >= 0 && an == bn &&
	       memcmp(a, b, an) == 0;
}

static int key_parse(struct tls_key *k, const struct buf *key, const struct buf *certs, const char *path,
		     const char *certs_path, struct err *err)
{
	gnutls_datum_t d = datum(key);
	int r = gnutls_x509_privkey_import2(k->key, &d, GNUTLS_X509_FMT_PEM, NULL, 0);

	if (r < 0)
		return err_set(err, 0, "%s: no private key in PEM form: %s", path, gnutls_strerror(r));
	d = datum(certs);
	k->n_certs = CERTS_MAX;
	r = gnutls_x509_crt_list_import(k->certs, &k->n_certs, &d, GNUTLS_X509_FMT_PEM,
					GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
	if (r < 0)
		k->n_certs = 0;
	if (r <= 0)
		return err_set(err, 0, "%s: no certificates in PEM form: %s", certs_path,
			       gnutls_strerror(r == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : r));
	if (!key_fits(k))
		return err_set(err, 0, "%s: the first certificate is not of the key in %s", certs_path, path);
	must(crt_fingerprint(k->certs[0], k->fingerprint));
	return 0;
}

struct tls_key *tls_key_load(const char *path, const char *chain, struct err *err)
{
	_cleanup_(tls_key_freep) struct tls_key *k = xnew(struct tls_key);
	struct buf key = BUF_NULL, certs = BUF_NULL;
	int r;

	must(gnutls_x509_privkey_init(&k->key));
	r = read_pem(path, &key, err);
	if (r == 0 && chain)
		r = read_pem(chain, &certs, err);
	if (r == 0)
		r = key_parse(k, &key, chain ? &certs : &key, path, chain ? chain : path, err);
	if (key.p)
		mem_wipe(key.p, key.n);
	buf_done(&key);
	buf_done(&certs);
	return r < 0 ? NULL : steal(&k);
}

const char *tls_key_fingerprint(const struct tls_key *k)
{
	return k->fingerprint;
}

struct tls_key *tls_key_free(struct tls_key *k)
{
	if (!k)
		return NULL;
	for (unsigned i = 0; i < k->n_certs; i++)
		gnutls_x509_crt_deinit(k->certs[i]);
	gnutls_x509_privkey_deinit(k->key);
	free(k);
	return NULL;
}

/* Contexts */

static int verify_peer(gnutls_session_t session);

static struct tls_context *context_new(const struct tls_key *k, bool server)
{
	struct tls_context *c = xnew(struct tls_context);

	c->server = server;
	must(gnutls_certificate_allocate_credentials(&c->cred));
	must(gnutls_certificate_set_x509_key(c->cred, (gnutls_x509_crt_t *)k->certs, (int)k->n_certs, k->key));
	must(gnutls_priority_init(&c->priority, PRIORITIES, NULL));
	gnutls_certificate_set_verify_function(c->cred, verify_peer);
	return c;
}

struct tls_context *tls_server_new(const struct tls_key *k, struct err *err)
{
	return context_new(k, true);
}

struct tls_context *tls_client_new(const struct tls_key *k, const struct tls_expect *expect, struct err *err)
{
	struct tls_context *c;
	int r = 1;

	if (expect->pin && !tls_fingerprint_is(str_from(expect->pin))) {
		err_set(err, 0, "'%s' is no fingerprint: expected SHA256: and 43 characters", expect->pin);
		return NULL;
	}
	if (!expect->pin && !expect->host) {
		err_set(err, 0, "neither a fingerprint nor a host name to know the server by");
		return NULL;
	}
	c = context_new(k, false);
	c->pin = expect->pin ? xstrdup(expect->pin) : NULL;
	c->host = expect->host ? xstrdup(expect->host) : NULL;
	if (!c->pin && expect->ca_file)
		r = gnutls_certificate_set_x509_trust_file(c->cred, expect->ca_file, GNUTLS_X509_FMT_PEM);
	else if (!c->pin)
		r = gnutls_certificate_set_x509_system_trust(c->cred);
	if (r > 0)
		return c;
	err_set(err, 0, "no authorities' certificates in %s: %s",
		expect->ca_file ? expect->ca_file : "the system's store",
		gnutls_strerror(r == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : r));
	return tls_context_free(c);
}

struct tls_context *tls_context_free(struct tls_context *c)
{
	if (!c)
		return NULL;
	gnutls_certificate_free_credentials(c->cred);
	gnutls_priority_deinit(c->priority);
	free(c->pin);
	free(c->host);
	free(c);
	return NULL;
}

bool tls_is_server(const struct tls_context *c)
{
	return c->server;
}

/* Sessions */

static void tls_fail(struct tls *t, char *error /* taken */)
{
	free(t->error);
	t->error = error;
}

/* What went wrong, unless something more exact was said already. */
static int tls_broken(struct tls *t, int r)
{
	if (t->error)
		return -1;
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		tls_fail(t, xasprintf("refused by the other side: %s",
				      gnutls_alert_get_name(gnutls_alert_get(t->session)) ?: "unknown alert"));
	else if (r == GNUTLS_E_PREMATURE_TERMINATION)
		tls_fail(t, xstrdup("closed by the other side"));
	else if (r == GNUTLS_E_NO_CERTIFICATE_FOUND || r == GNUTLS_E_CERTIFICATE_REQUIRED)
		tls_fail(t, xstrdup("the other side shows no certificate"));
	else if (r == GNUTLS_E_UNEXPECTED_PACKET_LENGTH || r == GNUTLS_E_UNSUPPORTED_VERSION_PACKET ||
		 r == GNUTLS_E_UNEXPECTED_PACKET || r == GNUTLS_E_RECORD_OVERFLOW || r == GNUTLS_E_NO_CIPHER_SUITES)
		tls_fail(t, xasprintf("the other side does not speak TLS 1.3 (%s)", gnutls_strerror(r)));
	else
		tls_fail(t, xasprintf("TLS: %s", gnutls_strerror(r)));
	return -1;
}

static void time_text(time_t t, char ret[static 32])
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(ret, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(ret, 32, "?");
}

/* Most machines whose certificates are out of date have a clock that is: say what both say. */
static char *validity_error(const struct tls *t, gnutls_x509_crt_t crt, bool expired)
{
	char when[32], now[32];

	time_text(expired ? gnutls_x509_crt_get_expiration_time(crt) : gnutls_x509_crt_get_activation_time(crt), when);
	time_text((time_t)(clock_wall_ms() / 1000), now);
	return xasprintf("the certificate of %s %s %s; this machine's clock says %s", t->context->host,
			 expired ? "expired at" : "is not valid before", when, now);
}

static int verify_by_authority(struct tls *t, gnutls_x509_crt_t crt)
{
	unsigned status = 0;
	gnutls_datum_t text = {0};
	int r = gnutls_certificate_verify_peers3(t->session, t->context->host, &status);

	if (r < 0)
		return r;
	if (status == 0)
		return 0;
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED)) {
		tls_fail(t, validity_error(t, crt, status & GNUTLS_CERT_EXPIRED));
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	must(gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0));
	tls_fail(t, xasprintf("the certificate of %s (%s) is not to be trusted: %.*s", t->context->host, t->fingerprint,
			      STR_ARG(str_trim(str_n(text.data, text.size ? text.size - 1 : 0)))));
	gnutls_free(text.data);
	return GNUTLS_E_CERTIFICATE_ERROR;
}

/* Within the handshake, so that a client sends nothing of its own to a server it does not know. */
static int verify_peer(gnutls_session_t session)
{
	struct tls *t = gnutls_session_get_ptr(session);
	unsigned n = 0;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(session, &n);
	gnutls_x509_crt_t crt;
	int r;

	if (!der || n == 0)
		return GNUTLS_E_NO_CERTIFICATE_FOUND;
	must(gnutls_x509_crt_init(&crt));
	r = gnutls_x509_crt_import(crt, &der[0], GNUTLS_X509_FMT_DER);
	if (r >= 0)
		r = crt_fingerprint(crt, t->fingerprint);
	if (r >= 0 && t->context->pin && strcmp(t->fingerprint, t->context->pin) != 0) {
		tls_fail(t,
			 xasprintf("the other side is not who was expected: its key's fingerprint is %s, expected %s",
				   t->fingerprint, t->context->pin));
		r = GNUTLS_E_CERTIFICATE_ERROR;
	} else if (r >= 0 && !t->context->server && !t->context->pin) {
		r = verify_by_authority(t, crt);
	}
	gnutls_x509_crt_deinit(crt);
	return r < 0 ? r : 0;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *p, size_t n)
{
	struct tls *t = arg;

	if (t->in_at == t->in_n) {
		if (t->in_ended)
			return 0;
		gnutls_transport_set_errno(t->session, EAGAIN);
		return -1;
	}
	n = MIN(n, t->in_n - t->in_at);
	memcpy(p, t->in + t->in_at, n);
	t->in_at += n;
	return (ssize_t)n;
}

static ssize_t push(gnutls_transport_ptr_t arg, const giovec_t *v, int n)
{
	struct tls *t = arg;
	size_t sum = 0;

	for (int i = 0; i < n; i++) {
		buf_add(&t->out, v[i].iov_base, v[i].iov_len);
		sum += v[i].iov_len;
	}
	return (ssize_t)sum;
}

static bool is_address(const char *host)
{
	uint8_t a[16];

	return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

struct tls *tls_new(const struct tls_context *c, int fd)
{
	struct tls *t = xnew(struct tls);
	gnutls_datum_t alpn = {.data = (uint8_t *)TLS_ALPN, .size = sizeof(TLS_ALPN) - 1};
	unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS | GNUTLS_FORCE_CLIENT_CERT;

	t->context = c;
	t->fd = fd;
	t->in = xmalloc(TLS_FILL_MAX);
	must(gnutls_init(&t->session, flags | (c->server ? GNUTLS_SERVER : GNUTLS_CLIENT)));
	must(gnutls_priority_set(t->session, c->priority));
	must(gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, c->cred));
	must(gnutls_alpn_set_protocols(t->session, &alpn, 1, GNUTLS_ALPN_MANDATORY));
	if (c->server)
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	else if (c->host && !is_address(c->host))
		must(gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, c->host, strlen(c->host)));
	/* The caller has a deadline of its own. */
	gnutls_handshake_set_timeout(t->session, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_session_set_ptr(t->session, t);
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_pull_function(t->session, pull);
	gnutls_transport_set_vec_push_function(t->session, push);
	return t;
}

struct tls *tls_free(struct tls *t)
{
	if (!t)
		return NULL;
	gnutls_deinit(t->session);
	buf_done(&t->out);
	free(t->in);
	free(t->error);
	free(t);
	return NULL;
}

const char *tls_error(const struct tls *t)
{
	return t->error ? t->error : "no error";
}

const char *tls_fingerprint(const struct tls *t)
{
	return t->fingerprint;
}

/* "Again" is not only said for want of bytes: after a key update, say, GnuTLS wants to be called again with those that
 * are there. Only while it takes some, so that nothing turns for ever. */
static bool goes_on(const struct tls *t, int r, size_t before)
{
	if (r == GNUTLS_E_AGAIN)
		return t->in_at < t->in_n && t->in_at > before;
	return !gnutls_error_is_fatal(r);
}

int tls_handshake(struct tls *t)
{
	gnutls_datum_t alpn;
	size_t before;
	int r;

	do {
		before = t->in_at;
		r = gnutls_handshake(t->session);
	} while (r < 0 && goes_on(t, r, before));
	if (r == GNUTLS_E_AGAIN && t->in_at == t->in_n)
		return 0;
	if (r < 0) {
		gnutls_alert_send_appropriate(t->session, r);
		return tls_broken(t, r);
	}
	if (gnutls_alpn_get_selected_protocol(t->session, &alpn) < 0) {
		gnutls_alert_send(t->session, GNUTLS_AL_FATAL, GNUTLS_A_NO_APPLICATION_PROTOCOL);
		tls_fail(t, xstrdup("the other side speaks TLS, but not " TLS_ALPN));
		return -1;
	}
	return 1;
}

ssize_t tls_fill(struct tls *t)
{
	ssize_t n;

	assert(t->in_at == t->in_n);
	do {
		n = recv(t->fd, t->in, TLS_FILL_MAX, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0) {
		tls_fail(t, xstrdup(strerror(errno)));
		return -1;
	}
	t->in_at = 0;
	t->in_n = (size_t)n;
	if (n == 0) {
		t->in_ended = true;
		tls_fail(t, xstrdup("closed by the other side"));
		return -1;
	}
	return n;
}

ssize_t tls_read(struct tls *t, void *p, size_t n)
{
	size_t before;
	ssize_t r;

	do {
		before = t->in_at;
		r = gnutls_record_recv(t->session, p, n);
	} while (r < 0 && goes_on(t, (int)r, before));
	if (r > 0)
		return r;
	if (r == GNUTLS_E_AGAIN && t->in_at == t->in_n)
		return 0;
	return tls_broken(t, r == 0 ? GNUTLS_E_PREMATURE_TERMINATION : (int)r);
}

int tls_write(struct tls *t, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t r = gnutls_record_send(t->session, at, MIN(n, (size_t)TLS_RECORD_MAX));

		if (r < 0) /* not "again" either: push takes everything */
			return tls_broken(t, (int)r);
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

int tls_flush(struct tls *t)
{
	while (t->out_at < t->out.n) {
		ssize_t n = send(t->fd, t->out.p + t->out_at, t->out.n - t->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0) {
			if (!t->error)
				tls_fail(t, xstrdup(strerror(errno)));
			return -1;
		}
		t->out_at += (size_t)n;
	}
	t->out_at = 0;
	if (t->out.cap > OUT_KEEP)
		buf_done(&t->out);
	else
		buf_clear(&t->out);
	return 1;
}

size_t tls_unsent(const struct tls *t)
{
	return t->out.n - t->out_at;
}

void tls_bye(struct tls *t)
{
	gnutls_bye(t->session, GNUTLS_SHUT_WR);
}
