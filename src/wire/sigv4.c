/* Signature Version 4. A request is read (what does it claim), then checked against the key that the claim names;
 * a client's side makes the same canonical request and signs it. The canonical request never stands in memory: it
 * goes through a small buffer into SHA-256. Views in struct sigv4_auth point into the request or into the caller's
 * arena. What fails is said by enum sigv4_error; no secret gets into it. */
#include "wire/sigv4.h"

#include "base/mem.h"
#include "base/time.h"

#include <assert.h>

#define ALGORITHM   "AWS4-HMAC-SHA256"
#define TERMINATOR  "aws4_request"
#define MAX_SKEW_S  900
#define MAX_EXPIRES 604800u
#define HEX_SHA256  64
/* Of each of region and service; the string to sign then has a known bound. */
#define SCOPE_PART_MAX 64
#define SCOPE_MAX      (8 + 1 + SCOPE_PART_MAX + 1 + SCOPE_PART_MAX + 1 + sizeof(TERMINATOR))
#define SIGN_TEXT_MAX  (sizeof(ALGORITHM) + TIME_AMZ_SIZE + SCOPE_MAX + HEX_SHA256 + 8)

/* ---- canonical request ---- */

struct sink {
	struct digest d;
	size_t n;
	char buf[512];
};

static void sink_flush(struct sink *s)
{
	digest_update(&s->d, s->buf, s->n);
	s->n = 0;
}

static void sink_add(struct sink *s, struct str t)
{
	if (t.n > sizeof(s->buf) - s->n) {
		sink_flush(s);
		if (t.n > sizeof(s->buf)) {
			digest_update(&s->d, t.p, t.n);
			return;
		}
	}
	if (t.n)
		memcpy(s->buf + s->n, t.p, t.n);
	s->n += t.n;
}

static void sink_addc(struct sink *s, char c)
{
	if (s->n == sizeof(s->buf))
		sink_flush(s);
	s->buf[s->n++] = c;
}

enum { KEEP_SLASH = 1, DECODE = 2, PLUS_IS_SPACE = 4 };

static const bool unreserved[256] = {
	['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true,
	['.'] = true,         ['_'] = true,         ['~'] = true,
};

/* Takes one character off the front of *s and writes its one canonical spelling; how long that is. A '%' that
 * begins no escape stands for itself. */
static inline size_t canonical_char(struct str *s, unsigned how, char out[static 3])
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t c = (uint8_t)s->p[0];
	size_t used = 1;

	if (c == '%' && (how & DECODE) && s->n >= 3) {
		if (hex_decode(str_n(s->p + 1, 2), &c, 1))
			used = 3;
	} else if (c == '+' && (how & PLUS_IS_SPACE)) {
		c = ' ';
	}
	s->p += used;
	s->n -= used;
	if (unreserved[c] || (c == '/' && (how & KEEP_SLASH))) {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '%';
	out[1] = digits[c >> 4];
	out[2] = digits[c & 15];
	return 3;
}

static void add_canonical(struct sink *s, struct str t, unsigned how)
{
	while (t.n > 0) {
		char out[3];
		size_t n = canonical_char(&t, how, out);

		sink_add(s, str_n(out, n));
	}
}

/* RFC 3986, 5.2.4, and no empty segments; the result is empty for the root. */
static void remove_dot_segments(struct str path, struct buf *ret)
{
	bool slash = path.n > 0 && path.p[path.n - 1] == '/';
	struct str segment;

	while (path.n > 0) {
		str_cut(path, '/', &segment, &path);
		if (segment.n == 0 || str_eq(segment, STR(".")))
			continue;
		if (str_eq(segment, STR(".."))) {
			while (ret->n > 0 && ret->p[--ret->n] != '/')
				;
			continue;
		}
		buf_addc(ret, '/');
		buf_add_str(ret, segment);
	}
	if (slash && ret->n > 0)
		buf_addc(ret, '/');
}

static void buf_donep(struct buf *b)
{
	buf_done(b);
}

static void add_path(struct sink *s, struct str path, bool s3)
{
	_cleanup_(buf_donep) struct buf normal = BUF_NULL;

	if (!s3 && (str_find(path, STR("//")) >= 0 || str_find(path, STR("/.")) >= 0)) {
		remove_dot_segments(path, &normal);
		path = buf_str(&normal);
	}
	if (path.n == 0)
		sink_addc(s, '/');
	else
		add_canonical(s, path, KEEP_SLASH | (s3 ? DECODE : 0));
}

struct pair {
	struct str name, value; /* canonical */
};

static int pair_cmp(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int r = str_cmp(x->name, y->name);

	return r ? r : str_cmp(x->value, y->value);
}

static struct str canonical_piece(char **at, struct str raw)
{
	struct str ret = str_n(*at, 0);

	while (raw.n > 0) /* there is room for three bytes for each one left */
		*at += canonical_char(&raw, DECODE | PLUS_IS_SPACE, *at);
	ret.n = (size_t)(*at - ret.p);
	return ret;
}

static void add_query(struct sink *s, struct str query)
{
	struct pair few[32], *pairs = few;
	char small[4096], *at = small;
	_cleanup_(freep) struct pair *many = NULL;
	_cleanup_(freep) char *large = NULL;
	size_t count = 1, n = 0;
	struct str piece;

	if (query.n == 0)
		return;
	for (size_t i = 0; i < query.n; i++)
		count += query.p[i] == '&';
	if (count > ARRAY_SIZE(few))
		pairs = many = xnew_n(struct pair, count);
	if (query.n > sizeof(small) / 3)
		at = large = xcalloc(query.n, 3);
	while (query.n > 0) {
		struct str name, value;

		str_cut(query, '&', &piece, &query);
		if (piece.n == 0)
			continue;
		str_cut(piece, '=', &name, &value);
		pairs[n] = (struct pair){.name = canonical_piece(&at, name), .value = canonical_piece(&at, value)};
		n += !str_eq(pairs[n].name, STR("X-Amz-Signature"));
	}
	qsort(pairs, n, sizeof(*pairs), pair_cmp);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sink_addc(s, '&');
		sink_add(s, pairs[i].name);
		sink_addc(s, '=');
		sink_add(s, pairs[i].value);
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Trimmed, each run of blanks one space. */
static void add_header_value(struct sink *s, struct str v)
{
	v = str_trim(v);
	while (v.n > 0) {
		size_t word = 0, gap;

		while (word < v.n && !is_blank(v.p[word]))
			word++;
		sink_add(s, str_n(v.p, word));
		for (gap = word; gap < v.n && is_blank(v.p[gap]); gap++)
			;
		if (gap > word)
			sink_addc(s, ' ');
		v = str_n(v.p + gap, v.n - gap);
	}
}

/* name is lower case. Headers of one name become one line, in order of appearance. */
static bool add_header(struct sink *s, const struct sigv4_request *r, struct str name)
{
	bool found = false;

	sink_add(s, name);
	sink_addc(s, ':');
	for (size_t i = 0; i < r->n_headers; i++) {
		if (!str_ieq(r->headers[i].name, name))
			continue;
		if (found)
			sink_addc(s, ',');
		add_header_value(s, r->headers[i].value);
		found = true;
	}
	sink_addc(s, '\n');
	return found;
}

/* False: a signed header is not there. */
static bool canonical_hash(const struct sigv4_request *r, struct str service, struct str signed_headers,
			   struct str payload_hash, uint8_t ret[static SHA256_SIZE])
{
	struct str names = signed_headers, name;
	struct sink s;

	s.n = 0;
	digest_init(&s.d, DIGEST_SHA256);
	sink_add(&s, r->method);
	sink_addc(&s, '\n');
	add_path(&s, r->path, str_eq(service, STR("s3")));
	sink_addc(&s, '\n');
	add_query(&s, r->query);
	sink_addc(&s, '\n');
	while (names.n > 0) {
		str_cut(names, ';', &name, &names);
		if (!add_header(&s, r, name))
			return false;
	}
	sink_addc(&s, '\n');
	sink_add(&s, signed_headers);
	sink_addc(&s, '\n');
	sink_add(&s, payload_hash);
	sink_flush(&s);
	digest_final(&s.d, ret);
	return true;
}

static char *put(char *at, struct str s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

static void signature_of(const uint8_t signing_key[static SHA256_SIZE], struct str timestamp, struct str scope,
			 const uint8_t canonical[static SHA256_SIZE], char ret[static HEX_SHA256 + 1])
{
	char text[SIGN_TEXT_MAX], hex[HEX_SHA256 + 1], *at = text;
	uint8_t mac[SHA256_SIZE];

	assert(timestamp.n < TIME_AMZ_SIZE && scope.n <= SCOPE_MAX);
	at = put(at, STR(ALGORITHM "\n"));
	at = put(at, timestamp);
	*at++ = '\n';
	at = put(at, scope);
	*at++ = '\n';
	hex_encode(canonical, SHA256_SIZE, hex);
	at = put(at, str_n(hex, HEX_SHA256));
	hmac_sha256(signing_key, SHA256_SIZE, text, (size_t)(at - text), mac);
	hex_encode(mac, sizeof(mac), ret);
}

/* ---- reading ---- */

/* How many headers have that name; *ret is the first one's value. */
static size_t find_header(const struct sigv4_request *r, struct str name, struct str *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_headers; i++)
		if (str_ieq(r->headers[i].name, name) && n++ == 0)
			*ret = str_trim(r->headers[i].value);
	return n;
}

static bool is_signed(struct str signed_headers, struct str name)
{
	struct str one;

	while (signed_headers.n > 0) {
		str_cut(signed_headers, ';', &one, &signed_headers);
		if (str_ieq(one, name))
			return true;
	}
	return false;
}

/* Names in lower case, sorted, each once: so must a signer write them, and no name makes us hash a header twice. */
static bool signed_headers_ok(struct str names)
{
	struct str name, before = STR_NULL;

	if (names.n == 0 || names.p[names.n - 1] == ';')
		return false;
	while (names.n > 0) {
		str_cut(names, ';', &name, &names);
		if (name.n == 0 || (before.p && str_cmp(before, name) >= 0))
			return false;
		for (size_t i = 0; i < name.n; i++)
			if ((name.p[i] >= 'A' && name.p[i] <= 'Z') || (uint8_t)name.p[i] <= ' ')
				return false;
		before = name;
	}
	return true;
}

/* Cuts s at the last sep. */
static bool cut_last(struct str s, char sep, struct str *head, struct str *tail)
{
	for (size_t i = s.n; i > 0; i--) {
		if (s.p[i - 1] == sep) {
			*head = str_n(s.p, i - 1);
			*tail = str_n(s.p + i, s.n - i);
			return true;
		}
	}
	return false;
}

/* key/date/region/service/aws4_request */
static bool read_credential(struct str credential, struct sigv4_auth *ret)
{
	struct str rest, terminator;
	uint64_t number;

	if (!cut_last(credential, '/', &rest, &terminator) || !str_eq(terminator, STR(TERMINATOR)) ||
	    !cut_last(rest, '/', &rest, &ret->service) || !cut_last(rest, '/', &rest, &ret->region) ||
	    !cut_last(rest, '/', &ret->access_key, &ret->date))
		return false;
	ret->scope = str_n(ret->date.p, (size_t)(credential.p + credential.n - ret->date.p));
	return ret->access_key.n > 0 && ret->date.n == 8 && str_to_u64(ret->date, &number) && ret->region.n > 0 &&
	       ret->region.n <= SCOPE_PART_MAX && ret->service.n > 0 && ret->service.n <= SCOPE_PART_MAX;
}

/* What both forms have in common, once the parts are found. */
static enum sigv4_error read_claim(const struct sigv4_request *r, struct str credential, struct sigv4_auth *auth)
{
	int64_t s;

	if (auth->signature.n != HEX_SHA256 || !signed_headers_ok(auth->signed_headers) ||
	    !read_credential(credential, auth))
		return SIGV4_MALFORMED;
	if (!time_parse_amz(auth->timestamp, &s))
		return SIGV4_WRONG_DATE;
	if (!str_starts(auth->timestamp, auth->date))
		return SIGV4_MALFORMED;
	if (!is_signed(auth->signed_headers, STR("host")))
		return SIGV4_UNSIGNED_HEADER;
	for (size_t i = 0; i < r->n_headers; i++)
		if (str_istarts(r->headers[i].name, STR("x-amz-")) &&
		    !is_signed(auth->signed_headers, r->headers[i].name))
			return SIGV4_UNSIGNED_HEADER;
	return SIGV4_OK;
}

/* X-Amz-Date as it is; Date in the same form or in one of HTTP's. */
static enum sigv4_error read_timestamp(const struct sigv4_request *r, struct arena *a, struct str *ret)
{
	char text[TIME_AMZ_SIZE];
	int64_t s;
	size_t n = find_header(r, STR("x-amz-date"), ret);

	if (n > 1)
		return SIGV4_MALFORMED;
	if (n == 1)
		return SIGV4_OK;
	if (find_header(r, STR("date"), ret) != 1)
		return SIGV4_WRONG_DATE;
	if (time_parse_http(*ret, &s)) {
		time_amz(s, text);
		*ret = arena_str(a, str_from(text));
	}
	return SIGV4_OK;
}

static enum sigv4_error read_header_form(const struct sigv4_request *r, struct arena *a, struct str value,
					 struct sigv4_auth *auth)
{
	struct str credential = STR_NULL, piece, name;
	enum sigv4_error e;

	while (value.n > 0) {
		struct str *slot, part;

		str_cut(value, ',', &piece, &value);
		if (!str_cut(str_trim(piece), '=', &name, &part))
			return SIGV4_MALFORMED;
		if (str_eq(name, STR("Credential")))
			slot = &credential;
		else if (str_eq(name, STR("SignedHeaders")))
			slot = &auth->signed_headers;
		else if (str_eq(name, STR("Signature")))
			slot = &auth->signature;
		else
			return SIGV4_MALFORMED;
		if (slot->p)
			return SIGV4_MALFORMED;
		*slot = part;
	}
	if (!credential.p || !auth->signed_headers.p || !auth->signature.p ||
	    find_header(r, STR("x-amz-security-token"), &auth->token) > 1 ||
	    find_header(r, STR("x-amz-content-sha256"), &auth->payload_hash) > 1)
		return SIGV4_MALFORMED;
	e = read_timestamp(r, a, &auth->timestamp);
	return e ? e : read_claim(r, credential, auth);
}

enum query_part { Q_ALGORITHM, Q_CREDENTIAL, Q_DATE, Q_EXPIRES, Q_HEADERS, Q_SIGNATURE, Q_TOKEN, Q_SHA256, Q_COUNT };

static const struct str query_names[Q_COUNT] = {
	[Q_ALGORITHM] = {"X-Amz-Algorithm", 15},
	[Q_CREDENTIAL] = {"X-Amz-Credential", 16},
	[Q_DATE] = {"X-Amz-Date", 10},
	[Q_EXPIRES] = {"X-Amz-Expires", 13},
	[Q_HEADERS] = {"X-Amz-SignedHeaders", 19},
	[Q_SIGNATURE] = {"X-Amz-Signature", 15},
	[Q_TOKEN] = {"X-Amz-Security-Token", 20},
	[Q_SHA256] = {"X-Amz-Content-Sha256", 20},
};

/* Raw values by part; false when one comes twice. */
static bool find_query_parts(struct str query, struct str parts[static Q_COUNT])
{
	struct str piece, name, value;

	if (str_find(query, STR("X-Amz-")) < 0)
		return true;
	while (query.n > 0) {
		str_cut(query, '&', &piece, &query);
		if (!str_starts(piece, STR("X-Amz-")))
			continue;
		str_cut(piece, '=', &name, &value);
		for (size_t q = 0; q < Q_COUNT; q++) {
			if (!str_eq(name, query_names[q]))
				continue;
			if (parts[q].p)
				return false;
			parts[q] = value;
		}
	}
	return true;
}

static bool decode_part(struct arena *a, struct str *part)
{
	/* A buffer over the arena's memory: what is decoded is never longer, so that it need not grow. */
	struct buf b = {.cap = part->n + 1};

	if (str_chr(*part, '%', 0) < 0)
		return true;
	b.p = arena_alloc(a, b.cap);
	if (!uri_decode(&b, *part, true))
		return false;
	*part = buf_str(&b);
	return true;
}

static enum sigv4_error read_query_form(const struct sigv4_request *r, struct arena *a,
					struct str parts[static Q_COUNT], struct sigv4_auth *auth)
{
	enum sigv4_error e;
	uint64_t expires;

	for (size_t q = 0; q < Q_COUNT; q++)
		if (parts[q].p && !decode_part(a, &parts[q]))
			return SIGV4_MALFORMED;
	if (!str_eq(parts[Q_ALGORITHM], STR(ALGORITHM)) || !parts[Q_CREDENTIAL].p || !parts[Q_HEADERS].p ||
	    !parts[Q_SIGNATURE].p || !str_to_u64(parts[Q_EXPIRES], &expires) || expires > MAX_EXPIRES)
		return SIGV4_MALFORMED;
	auth->expires_s = (uint32_t)expires;
	auth->signed_headers = parts[Q_HEADERS];
	auth->signature = parts[Q_SIGNATURE];
	auth->timestamp = parts[Q_DATE];
	auth->token = parts[Q_TOKEN];
	auth->payload_hash = parts[Q_SHA256];
	if (find_header(r, STR("x-amz-content-sha256"), &auth->payload_hash) > 1)
		return SIGV4_MALFORMED;
	e = read_claim(r, parts[Q_CREDENTIAL], auth);
	if (e == SIGV4_OK && !auth->payload_hash.p && str_eq(auth->service, STR("s3")))
		auth->payload_hash = STR("UNSIGNED-PAYLOAD");
	return e;
}

enum sigv4_error sigv4_read(const struct sigv4_request *r, struct arena *a, struct sigv4_auth *ret)
{
	struct str authorization = STR_NULL, parts[Q_COUNT] = {0};
	size_t n = find_header(r, STR("authorization"), &authorization);
	bool by_header = n > 0 && str_starts(authorization, STR("AWS")), by_query;

	*ret = (struct sigv4_auth){.presigned = !by_header};
	if (!find_query_parts(r->query, parts))
		return SIGV4_MALFORMED;
	by_query = parts[Q_ALGORITHM].p || parts[Q_CREDENTIAL].p || parts[Q_SIGNATURE].p;
	ret->presigned = by_query && !by_header;
	if (by_header && (n > 1 || by_query || !str_starts(authorization, STR(ALGORITHM " "))))
		return SIGV4_MALFORMED;
	if (by_header)
		return read_header_form(r, a, str_sub(authorization, sizeof(ALGORITHM), authorization.n), ret);
	return by_query ? read_query_form(r, a, parts, ret) : SIGV4_ABSENT;
}

/* ---- checking and making ---- */

void sigv4_signing_key(struct str secret, struct str date, struct str region, struct str service,
		       uint8_t ret[static SHA256_SIZE])
{
	const struct str parts[] = {date, region, service, STR(TERMINATOR)};
	_cleanup_(buf_donep) struct buf first = BUF_NULL;

	buf_reserve(&first, 4 + secret.n); /* at once, so that no copy of the secret is left behind */
	buf_adds(&first, "AWS4");
	buf_add_str(&first, secret);
	hmac_sha256((const uint8_t *)first.p, first.n, parts[0].p, parts[0].n, ret);
	mem_wipe(first.p, first.n);
	for (size_t i = 1; i < ARRAY_SIZE(parts); i++)
		hmac_sha256(ret, SHA256_SIZE, parts[i].p, parts[i].n, ret);
}

static enum sigv4_error check_time(const struct sigv4_auth *auth, int64_t now_s)
{
	int64_t at;

	if (!time_parse_amz(auth->timestamp, &at))
		return SIGV4_WRONG_DATE;
	if (at > now_s + MAX_SKEW_S)
		return SIGV4_SKEWED;
	if (auth->presigned)
		return now_s > at + auth->expires_s ? SIGV4_EXPIRED : SIGV4_OK;
	return at < now_s - MAX_SKEW_S ? SIGV4_SKEWED : SIGV4_OK;
}

enum sigv4_error sigv4_check(const struct sigv4_request *r, const struct sigv4_auth *auth,
			     const uint8_t signing_key[static SHA256_SIZE], struct str payload_hash, int64_t now_s)
{
	uint8_t canonical[SHA256_SIZE];
	char expected[HEX_SHA256 + 1];
	enum sigv4_error e = check_time(auth, now_s);

	if (e)
		return e;
	if (!canonical_hash(r, auth->service, auth->signed_headers, payload_hash, canonical))
		return SIGV4_MISMATCH;
	signature_of(signing_key, auth->timestamp, auth->scope, canonical, expected);
	return str_eq_secret(auth->signature, str_n(expected, HEX_SHA256)) ? SIGV4_OK : SIGV4_MISMATCH;
}

static int name_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* All headers' names, each once, in lower case and sorted, with ';' between. */
static void list_headers(const struct sigv4_request *r, struct buf *ret)
{
	_cleanup_(freep) struct str *names = xnew_n(struct str, r->n_headers + 1);
	_cleanup_(buf_donep) struct buf text = BUF_NULL;
	size_t room = 0, n = 0;

	for (size_t i = 0; i < r->n_headers; i++)
		room += r->headers[i].name.n;
	buf_reserve(&text, room); /* names point into text, which may not move */
	for (size_t i = 0; i < r->n_headers; i++) {
		struct str name = r->headers[i].name;

		if (str_ieq(name, STR("authorization")))
			continue;
		names[n++] = str_n(text.p + text.n, name.n);
		for (size_t c = 0; c < name.n; c++) {
			bool upper = name.p[c] >= 'A' && name.p[c] <= 'Z';

			buf_addc(&text, upper ? (char)(name.p[c] - 'A' + 'a') : name.p[c]);
		}
	}
	qsort(names, n, sizeof(*names), name_cmp);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && str_eq(names[i], names[i - 1]))
			continue;
		if (ret->n > 0)
			buf_addc(ret, ';');
		buf_add_str(ret, names[i]);
	}
}

static void add_scope(struct buf *b, struct str timestamp, struct str region, struct str service)
{
	assert(timestamp.n == TIME_AMZ_SIZE - 1 && region.n <= SCOPE_PART_MAX && service.n <= SCOPE_PART_MAX);
	buf_add_str(b, str_sub(timestamp, 0, 8));
	buf_addc(b, '/');
	buf_add_str(b, region);
	buf_addc(b, '/');
	buf_add_str(b, service);
	buf_adds(b, "/" TERMINATOR);
}

void sigv4_sign(const struct sigv4_request *r, struct str access_key, struct str region, struct str service,
		const uint8_t signing_key[static SHA256_SIZE], struct str timestamp, struct str payload_hash,
		struct buf *ret)
{
	_cleanup_(buf_donep) struct buf names = BUF_NULL;
	_cleanup_(buf_donep) struct buf scope = BUF_NULL;
	uint8_t canonical[SHA256_SIZE];
	char signature[HEX_SHA256 + 1];

	list_headers(r, &names);
	add_scope(&scope, timestamp, region, service);
	/* Every name was taken from the headers. */
	(void)canonical_hash(r, service, buf_str(&names), payload_hash, canonical);
	signature_of(signing_key, timestamp, buf_str(&scope), canonical, signature);
	buf_adds(ret, ALGORITHM " Credential=");
	buf_add_str(ret, access_key);
	buf_addc(ret, '/');
	buf_add_str(ret, buf_str(&scope));
	buf_adds(ret, ", SignedHeaders=");
	buf_add_str(ret, buf_str(&names));
	buf_adds(ret, ", Signature=");
	buf_adds(ret, signature);
}

void sigv4_presign(const struct sigv4_request *r, struct str host, struct str access_key, struct str token,
		   struct str region, struct str service, const uint8_t signing_key[static SHA256_SIZE],
		   struct str timestamp, uint32_t expires_s, struct buf *ret_query)
{
	_cleanup_(buf_donep) struct buf scope = BUF_NULL;
	_cleanup_(buf_donep) struct buf query = BUF_NULL;
	const struct sigv4_header headers[] = {{STR("host"), host}};
	struct sigv4_request with = *r;
	uint8_t canonical[SHA256_SIZE], empty[SHA256_SIZE];
	char signature[HEX_SHA256 + 1], empty_hex[HEX_SHA256 + 1];

	add_scope(&scope, timestamp, region, service);
	buf_add_str(&query, r->query);
	buf_printf(&query, "%sX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=", r->query.n ? "&" : "");
	uri_encode(&query, access_key, false);
	buf_adds(&query, "%2F");
	uri_encode(&query, buf_str(&scope), false);
	buf_printf(&query, "&X-Amz-Date=%.*s&X-Amz-Expires=%u", STR_ARG(timestamp), expires_s);
	if (token.p) {
		buf_adds(&query, "&X-Amz-Security-Token=");
		uri_encode(&query, token, false);
	}
	buf_adds(&query, "&X-Amz-SignedHeaders=host");
	with.query = buf_str(&query);
	with.headers = headers;
	with.n_headers = ARRAY_SIZE(headers);
	/* Only S3 lets a presigned request leave its body open; elsewhere it has none. */
	sha256("", 0, empty);
	hex_encode(empty, sizeof(empty), empty_hex);
	(void)canonical_hash(&with, service, STR("host"),
			     str_eq(service, STR("s3")) ? STR("UNSIGNED-PAYLOAD") : str_n(empty_hex, HEX_SHA256),
			     canonical);
	signature_of(signing_key, timestamp, buf_str(&scope), canonical, signature);
	buf_add_str(ret_query, buf_str(&query));
	buf_printf(ret_query, "&X-Amz-Signature=%s", signature);
}
