/* Keys, and handshakes between two sessions over a socket pair: who is taken, who is not, and what is said of it. */
#include "net/tls.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/file.h"

#include <gnutls/x509.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define DAY 86400

static char dir[64];

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/wick-tls-test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int teardown(void **state)
{
	return rm_rf(dir);
}

static struct tls_key *make(const char *name)
{
	_cleanup_(freep) char *path = in_dir(name);
	struct err err = ERR_NULL;
	struct tls_key *k;

	assert_int_equal(tls_key_make(path, name, &err), 0);
	k = tls_key_load(path, NULL, &err);
	assert_non_null(k);
	return k;
}

/* Keys */

/* Made by OpenSSL, which says of it (openssl pkey -pubout -outform DER | openssl dgst -sha256 -binary | base64): */
#define KNOWN_FINGERPRINT "SHA256:oIeChG7sASUXT724N8jAlI8MEhu5cxmniJs/XF4qjEU"
static const char known_key[] = "-----BEGIN PRIVATE KEY-----\n"
				"MC4CAQAwBQYDK2VwBCIEIEfeWg5zwVAvG/J6Ign5hBocwLnckW4wV1JqDvEb7wV3\n"
				"-----END PRIVATE KEY-----\n";
static const char known_certificate[] = "-----BEGIN CERTIFICATE-----\n"
					"MIIBNjCB6aADAgECAhREsySiOc/b8rYb3Nkb1op0Rci/3DAFBgMrZXAwEDEOMAwG\n"
					"A1UEAwwFZml4ZWQwIBcNMjYxMTI5MDkzMzAyWhgPMjEyNjExMDUwOTMzMDJaMBAx\n"
					"DjAMBgNVBAMMBWZpeGVkMCowBQYDK2VwAyEAi0B4IrK+BfvyyFFSnyJydTBjdHK5\n"
					"LZIQGjfSf+r71RKjUzBRMB0GA1UdDgQWBBQE5O5Jbo+Uz5V62hysc9JSIFxMEDAf\n"
					"BgNVHSMEGDAWgBQE5O5Jbo+Uz5V62hysc9JSIFxMEDAPBgNVHRMBAf8EBTADAQH/\n"
					"MAUGAytlcANBAHGdwU8tJ8esesumst4hE+Et3fdiyUmK5bXiwC90zKyssfheaQuD\n"
					"n27o/Oseu6DfuwJ7TiGxyES/YBTmZmJc6AY=\n"
					"-----END CERTIFICATE-----\n";

static void test_key(void **state)
{
	_cleanup_(freep) char *path = in_dir("a");
	struct tls_key *a = make("a"), *b = make("b");
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(tls_fingerprint_is(str_from(tls_key_fingerprint(a))));
	assert_string_not_equal(tls_key_fingerprint(a), tls_key_fingerprint(b));
	tls_key_free(a);
	a = make("a"); /* again, in place of the first */
	assert_true(tls_fingerprint_is(str_from(tls_key_fingerprint(a))));
	tls_key_free(a);
	tls_key_free(b);
}

static void test_known_key(void **state)
{
	_cleanup_(freep) char *key = in_dir("key"), *certificate = in_dir("certificate");
	struct err err = ERR_NULL;
	struct tls_key *k;

	assert_int_equal(file_write(key, str_from(known_key), 0600), 0);
	assert_int_equal(file_write(certificate, str_from(known_certificate), 0600), 0);
	k = tls_key_load(key, certificate, &err);
	assert_non_null(k);
	assert_string_equal(tls_key_fingerprint(k), KNOWN_FINGERPRINT);
	tls_key_free(k);
}

static void expect_load_error(const char *path, const char *chain, const char *text)
{
	struct err err = ERR_NULL;

	assert_null(tls_key_load(path, chain, &err));
	if (!strstr(err.msg, text))
		fail_msg("'%s' does not say '%s'", err.msg, text);
	err_done(&err);
}

static void test_key_errors(void **state)
{
	_cleanup_(freep) char *none = in_dir("none"), *key = in_dir("key"), *other = in_dir("other"),
			      *text = in_dir("text"), *nowhere = in_dir("no/where");
	struct err err = ERR_NULL;

	tls_key_free(make("other"));
	assert_int_equal(file_write(key, str_from(known_key), 0600), 0);
	assert_int_equal(file_write(text, STR("no key at all\n"), 0600), 0);
	expect_load_error(none, NULL, "none: No such file or directory");
	expect_load_error(text, NULL, "text: no private key in PEM form");
	expect_load_error(key, NULL, "key: no certificates in PEM form");
	expect_load_error(key, other, "other: the first certificate is not of the key in ");
	assert_int_equal(tls_key_make(nowhere, "x", &err), -1);
	assert_non_null(strstr(err.msg, "no/where: No such file or directory"));
	err_done(&err);
}

static void test_fingerprint_is(void **state)
{
	const char *good = KNOWN_FINGERPRINT;
	_cleanup_(freep) char *bad = xstrdup(good);

	assert_true(tls_fingerprint_is(str_from(good)));
	assert_false(tls_fingerprint_is(str_sub(str_from(good), 0, 49)));
	assert_false(tls_fingerprint_is(str_sub(str_from(good), 7, SIZE_MAX)));
	bad[20] = '=';
	assert_false(tls_fingerprint_is(str_from(bad)));
}

/* Handshakes */

struct session {
	struct tls *t;
	int result; /* of the handshake: 1 done, 0 under way, -1 failed */
};

static void step(struct session *s)
{
	if (s->result == 0)
		s->result = tls_handshake(s->t);
	tls_flush(s->t);
	/* A client has ended its handshake when the server refuses its certificate: it reads so then. */
	if (s->result >= 0 && tls_fill(s->t) < 0 && s->result == 0)
		s->result = -1;
	if (s->result == 1) {
		char c;

		if (tls_read(s->t, &c, 1) < 0)
			s->result = -1;
	}
}

struct shake {
	int fds[2];
	struct session server, client;
};

static void shake(struct shake *s, const struct tls_context *server, const struct tls_context *client)
{
	assert_int_equal(unix_pair(s->fds), 0);
	s->server = (struct session){.t = tls_new(server, s->fds[0])};
	s->client = (struct session){.t = tls_new(client, s->fds[1])};
	/* Each of the few flights of a handshake is there at once; refusals take one more. */
	for (unsigned i = 0; i < 10; i++) {
		step(&s->client);
		step(&s->server);
	}
}

static void shake_done(struct shake *s)
{
	tls_free(s->server.t);
	tls_free(s->client.t);
	close(s->fds[0]);
	close(s->fds[1]);
}

static void expect_refusal(const struct tls_context *server, struct tls_context *client /* taken */, const char *text)
{
	struct shake s;

	assert_non_null(client);
	shake(&s, server, client);
	assert_int_equal(s.client.result, -1);
	assert_int_equal(s.server.result, -1);
	if (!strstr(tls_error(s.client.t), text))
		fail_msg("'%s' does not say '%s'", tls_error(s.client.t), text);
	shake_done(&s);
	tls_context_free(client);
}

static void test_pin(void **state)
{
	struct tls_key *a = make("a"), *b = make("b");
	struct tls_context *server = tls_server_new(a, NULL), *client;
	struct tls_expect expect = {.pin = tls_key_fingerprint(a), .host = "any.example"};
	char got[TLS_RECORD_MAX];
	struct shake s;
	ssize_t n;

	client = tls_client_new(b, &expect, NULL);
	tls_key_free(b); /* contexts keep what they need */
	shake(&s, server, client);
	assert_int_equal(s.client.result, 1);
	assert_int_equal(s.server.result, 1);
	assert_string_equal(tls_fingerprint(s.client.t), tls_key_fingerprint(a));
	assert_true(tls_fingerprint_is(str_from(tls_fingerprint(s.server.t))));
	assert_int_equal(tls_write(s.client.t, "hello", 5), 0);
	assert_true(tls_unsent(s.client.t) > 5);
	assert_int_equal(tls_flush(s.client.t), 1);
	assert_int_equal(tls_read(s.server.t, got, sizeof(got)), 0);
	assert_true(tls_fill(s.server.t) > 5);
	n = tls_read(s.server.t, got, sizeof(got));
	assert_int_equal(n, 5);
	assert_memory_equal(got, "hello", 5);
	/* The end is said, not only made. */
	tls_bye(s.client.t);
	tls_flush(s.client.t);
	assert_true(tls_fill(s.server.t) > 0);
	assert_true(tls_read(s.server.t, got, sizeof(got)) < 0);
	assert_string_equal(tls_error(s.server.t), "closed by the other side");
	shake_done(&s);
	tls_context_free(client);
	expect.pin = KNOWN_FINGERPRINT;
	expect_refusal(server, tls_client_new(a, &expect, NULL), "expected " KNOWN_FINGERPRINT);
	tls_context_free(server);
	tls_key_free(a);
}

static void test_expect_errors(void **state)
{
	struct tls_key *k = make("a");
	struct err err = ERR_NULL;
	_cleanup_(freep) char *none = in_dir("none");

	assert_null(tls_client_new(k, &(struct tls_expect){.pin = "SHA256:abc"}, &err));
	assert_non_null(strstr(err.msg, "'SHA256:abc' is no fingerprint"));
	err_done(&err);
	assert_null(tls_client_new(k, &(struct tls_expect){0}, &err));
	err_done(&err);
	assert_null(tls_client_new(k, &(struct tls_expect){.host = "h", .ca_file = none}, &err));
	assert_non_null(strstr(err.msg, none));
	err_done(&err);
	tls_key_free(k);
}

/* A client as others write them: no certificate, perhaps an older protocol. */
static int foreign(const struct tls_context *server, const char *priorities, const char *key, bool alpn, char **error)
{
	gnutls_certificate_credentials_t cred;
	gnutls_session_t s;
	gnutls_datum_t name = {(uint8_t *)TLS_ALPN, sizeof(TLS_ALPN) - 1};
	struct session here = {0};
	int fds[2], r = GNUTLS_E_AGAIN;

	assert_int_equal(unix_pair(fds), 0);
	here.t = tls_new(server, fds[0]);
	gnutls_certificate_allocate_credentials(&cred);
	if (key)
		assert_int_equal(gnutls_certificate_set_x509_key_file(cred, key, key, GNUTLS_X509_FMT_PEM), 0);
	gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	assert_int_equal(gnutls_priority_set_direct(s, priorities, NULL), 0);
	gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
	if (alpn)
		gnutls_alpn_set_protocols(s, &name, 1, 0);
	gnutls_transport_set_int(s, fds[1]);
	for (unsigned i = 0; i < 10; i++) {
		if (r == GNUTLS_E_AGAIN)
			r = gnutls_handshake(s);
		step(&here);
	}
	*error = xstrdup(tls_error(here.t));
	tls_free(here.t);
	gnutls_deinit(s);
	gnutls_certificate_free_credentials(cred);
	close(fds[0]);
	close(fds[1]);
	return here.result;
}

static void test_foreign_clients(void **state)
{
	_cleanup_(freep) char *path = in_dir("a");
	struct tls_key *k = make("a");
	struct tls_context *server = tls_server_new(k, NULL);
	const struct {
		const char *priorities, *key;
		bool alpn;
		const char *error;
	} cases[] = {
		{"NORMAL", NULL, true, "the other side shows no certificate"},
		{"NORMAL", path, false, "the other side speaks TLS, but not " TLS_ALPN},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.2", path, true, "the other side does not speak TLS 1.3"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *error = NULL;

		assert_int_equal(foreign(server, cases[i].priorities, cases[i].key, cases[i].alpn, &error), -1);
		if (!strstr(error, cases[i].error))
			fail_msg("case %zu: '%s' does not say '%s'", i, error, cases[i].error);
	}
	tls_context_free(server);
	tls_key_free(k);
}

/* A peer changes its keys, as GnuTLS does by itself after some millions of records, and asks this side to do so. */
static void test_key_update(void **state)
{
	_cleanup_(freep) char *path = in_dir("a");
	struct tls_key *k = make("a");
	struct tls_context *server = tls_server_new(k, NULL);
	gnutls_certificate_credentials_t cred;
	gnutls_session_t s;
	gnutls_datum_t name = {(uint8_t *)TLS_ALPN, sizeof(TLS_ALPN) - 1};
	struct session here = {0};
	int fds[2], r = GNUTLS_E_AGAIN;
	char got[TLS_RECORD_MAX];

	assert_int_equal(unix_pair(fds), 0);
	here.t = tls_new(server, fds[0]);
	gnutls_certificate_allocate_credentials(&cred);
	gnutls_certificate_set_x509_key_file(cred, path, path, GNUTLS_X509_FMT_PEM);
	gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_priority_set_direct(s, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
	gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
	gnutls_alpn_set_protocols(s, &name, 1, 0);
	gnutls_transport_set_int(s, fds[1]);
	for (unsigned i = 0; i < 10 && (r == GNUTLS_E_AGAIN || here.result == 0); i++) {
		if (r == GNUTLS_E_AGAIN)
			r = gnutls_handshake(s);
		step(&here);
	}
	assert_int_equal(r, 0);
	assert_int_equal(here.result, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(gnutls_session_key_update(s, GNUTLS_KU_PEER), 0);
		assert_int_equal(gnutls_record_send(s, "hello", 5), 5);
		assert_true(tls_fill(here.t) > 0); /* both */
		assert_int_equal(tls_read(here.t, got, sizeof(got)), 5);
		assert_int_equal(tls_read(here.t, got, sizeof(got)), 0);
		assert_int_equal(tls_write(here.t, "world", 5), 0);
		assert_int_equal(tls_flush(here.t), 1);
		/* Here too the update comes first; the bytes are in the socket. */
		for (unsigned again = 0; again < 3; again++)
			if ((r = (int)gnutls_record_recv(s, got, sizeof(got))) != GNUTLS_E_AGAIN)
				break;
		assert_int_equal(r, 5);
	}
	tls_free(here.t);
	gnutls_deinit(s);
	gnutls_certificate_free_credentials(cred);
	close(fds[0]);
	close(fds[1]);
	tls_context_free(server);
	tls_key_free(k);
}

/* Authorities */

static gnutls_x509_privkey_t ca_key;
static gnutls_x509_crt_t ca;

static gnutls_x509_crt_t certificate(gnutls_x509_privkey_t key, const char *name, int from_days, int to_days)
{
	gnutls_x509_crt_t crt;
	uint8_t serial[8] = {1};
	time_t now = (time_t)(clock_wall_ms() / 1000);

	random_bytes(serial + 1, 7);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
	gnutls_x509_crt_set_activation_time(crt, now + from_days * DAY);
	gnutls_x509_crt_set_expiration_time(crt, now + to_days * DAY);
	return crt;
}

static void write_pem(const char *path, gnutls_x509_privkey_t key, gnutls_x509_crt_t crt)
{
	struct buf b = BUF_NULL;
	gnutls_datum_t d;

	if (key) {
		gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &d);
		buf_add(&b, d.data, d.size);
		gnutls_free(d.data);
	}
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d);
	buf_add(&b, d.data, d.size);
	gnutls_free(d.data);
	assert_int_equal(file_write(path, buf_str(&b), 0600), 0);
	buf_done(&b);
}

/* A server with a certificate for "gate.example" and 192.0.2.1 of the authority. */
static struct tls_context *signed_server(int from_days, int to_days)
{
	_cleanup_(freep) char *path = in_dir("signed");
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	struct tls_context *server;
	struct tls_key *k;

	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	crt = certificate(key, "gate.example", from_days, to_days);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "gate.example", 12, GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, "\xc0\x00\x02\x01", 4, GNUTLS_FSAN_APPEND);
	assert_int_equal(gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0), 0);
	write_pem(path, key, crt);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	k = tls_key_load(path, NULL, NULL);
	assert_non_null(k);
	server = tls_server_new(k, NULL);
	tls_key_free(k);
	return server;
}

static void test_authority(void **state)
{
	_cleanup_(freep) char *ca_path = in_dir("ca");
	struct tls_key *node = make("node");
	struct tls_expect expect = {.host = "gate.example", .ca_file = ca_path};
	struct tls_context *server, *client;
	const char *hosts[] = {"gate.example", "192.0.2.1"};

	gnutls_x509_privkey_init(&ca_key);
	gnutls_x509_privkey_generate(ca_key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	ca = certificate(ca_key, "an authority", -30, 30);
	gnutls_x509_crt_set_basic_constraints(ca, 1, -1);
	gnutls_x509_crt_set_key_usage(ca, GNUTLS_KEY_KEY_CERT_SIGN);
	gnutls_x509_crt_sign2(ca, ca, ca_key, GNUTLS_DIG_SHA256, 0);
	write_pem(ca_path, NULL, ca);

	server = signed_server(-1, 1);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct shake s;

		expect.host = hosts[i];
		client = tls_client_new(node, &expect, NULL);
		shake(&s, server, client);
		assert_int_equal(s.client.result, 1);
		assert_int_equal(s.server.result, 1);
		shake_done(&s);
		tls_context_free(client);
	}
	expect.host = "other.example";
	expect_refusal(server, tls_client_new(node, &expect, NULL), "the certificate of other.example");
	expect.host = "192.0.2.2";
	expect_refusal(server, tls_client_new(node, &expect, NULL), "is not to be trusted");
	expect.host = "gate.example";
	tls_context_free(server);
	server = signed_server(-9, -2);
	expect_refusal(server, tls_client_new(node, &expect, NULL), "expired at 2");
	expect_refusal(server, tls_client_new(node, &expect, NULL), "UTC; this machine's clock says 2");
	tls_context_free(server);
	server = signed_server(2, 9);
	expect_refusal(server, tls_client_new(node, &expect, NULL), "is not valid before 2");
	tls_context_free(server);
	/* Signed by itself: of nobody's authority. */
	server = tls_server_new(node, NULL);
	expect_refusal(server, tls_client_new(node, &expect, NULL), "is not to be trusted");
	tls_context_free(server);
	tls_key_free(node);
	gnutls_x509_crt_deinit(ca);
	gnutls_x509_privkey_deinit(ca_key);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_key),           T(test_known_key),       T(test_key_errors), T(test_fingerprint_is), T(test_pin),
		T(test_expect_errors), T(test_foreign_clients), T(test_authority),  T(test_key_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
