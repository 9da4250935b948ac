/* Any request: lines "method", "path", "query", then "name:value" headers. What reads as signed is checked, then signed
 * anew with the key, and must then be accepted. */
#include "wire/sigv4.h"

#include "base/time.h"

#include <assert.h>

#define MAX_HEADERS 32
#define PAYLOAD     STR("UNSIGNED-PAYLOAD")

/* What an HTTP server lets through as a header's name, as far as Authorization's own separators go. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] <= ' ' || s.p[i] == ';' || s.p[i] == ',')
			return false;
	return s.n > 0;
}

/* The request without its claim, signed by ourselves. */
static void sign_and_check(const struct sigv4_request *r, struct arena *a, struct str service)
{
	struct sigv4_header headers[MAX_HEADERS + 3];
	struct sigv4_request mine = *r;
	struct sigv4_auth auth;
	uint8_t key[SHA256_SIZE];
	struct buf b = BUF_NULL;

	mine.headers = headers;
	mine.n_headers = 0;
	for (size_t i = 0; i < r->n_headers; i++)
		if (!str_ieq(r->headers[i].name, STR("authorization")) &&
		    !str_istarts(r->headers[i].name, STR("x-amz-")))
			headers[mine.n_headers++] = r->headers[i];
	headers[mine.n_headers++] = (struct sigv4_header){STR("Host"), STR("h")};
	headers[mine.n_headers++] = (struct sigv4_header){STR("X-Amz-Date"), STR("20260131T120000Z")};
	mine.query = STR_NULL;
	sigv4_signing_key(STR("secret"), STR("20260131"), STR("r"), service, key);
	sigv4_sign(&mine, STR("A"), STR("r"), service, key, STR("20260131T120000Z"), PAYLOAD, &b);
	headers[mine.n_headers++] = (struct sigv4_header){STR("Authorization"), buf_str(&b)};
	if (sigv4_read(&mine, a, &auth) == SIGV4_OK)
		assert(sigv4_check(&mine, &auth, key, PAYLOAD, 1769860800) == SIGV4_OK);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sigv4_header headers[MAX_HEADERS];
	struct sigv4_request r = {.headers = headers};
	struct str rest = str_n(data, size), line;
	struct arena a = ARENA_NULL;
	struct sigv4_auth auth;
	int64_t s;

	str_cut(rest, '\n', &r.method, &rest);
	str_cut(rest, '\n', &r.path, &rest);
	str_cut(rest, '\n', &r.query, &rest);
	while (rest.n > 0 && r.n_headers < MAX_HEADERS) {
		struct sigv4_header *h = &headers[r.n_headers];

		str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ':', &h->name, &h->value) && is_token(h->name))
			r.n_headers++;
	}
	if (sigv4_read(&r, &a, &auth) == SIGV4_OK) {
		assert(time_parse_amz(auth.timestamp, &s));
		assert(sigv4_check(&r, &auth, (const uint8_t[SHA256_SIZE]){0}, PAYLOAD, s) == SIGV4_MISMATCH);
	}
	sign_and_check(&r, &a, STR("s3"));
	sign_and_check(&r, &a, STR("lambda"));
	arena_done(&a);
	return 0;
}
