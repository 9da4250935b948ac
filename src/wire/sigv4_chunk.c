/* The body filter. A filter owns copies of all that its conf gave it; spans that it gives out point into the
 * caller's input. It is fed by one thread at a time.
 *
 * aws-chunked is a line "hex-size[;chunk-signature=64 hex]", that many bytes, an empty line, and so on until size 0;
 * then trailer lines "name:value", and an empty line ends the body. Lines end with CRLF; a lone LF is taken as well,
 * because the published examples and some clients end trailers with it. The signature of a chunk covers the one
 * before it, so that none can be dropped or moved; a chunk's bytes are given out before its signature is checked,
 * and the caller discards the object when any error comes. After an error the filter repeats it. */
#include "wire/sigv4_chunk.h"

#include "base/mem.h"

#define HEX_SHA256     64
#define LINE_MAX_SIZE  512
#define MAX_TRAILERS   16
#define SIGNATURE_EXT  "chunk-signature="
#define MAX_CHUNK_SIZE (UINT64_C(1) << 50)

enum state {
	STATE_PLAIN,
	STATE_SIZE_LINE,
	STATE_DATA,
	STATE_DATA_END, /* the line end after a chunk's bytes */
	STATE_TRAILER,
	STATE_DONE,
};

struct body_filter {
	enum body_form form;
	enum state state;
	enum body_error error;
	uint64_t length; /* clean bytes so far */
	uint64_t left;   /* STATE_DATA: of this chunk */
	char line[LINE_MAX_SIZE];
	size_t line_n;

	uint8_t signing_key[SHA256_SIZE];
	struct buf scope;           /* "timestamp\nscope\n" */
	char previous[HEX_SHA256];  /* the signature before */
	char announced[HEX_SHA256]; /* this chunk's */
	struct digest chunk;        /* SHA-256 of this chunk's bytes */
	struct digest trailer;      /* SHA-256 of the trailer lines */
	size_t n_trailers;
	bool trailer_signed;

	struct digest sha256, md5, checksum;
	bool has_sha256, has_md5;
	uint8_t want_sha256[SHA256_SIZE], want_md5[MD5_SIZE], want_checksum[DIGEST_MAX_SIZE];
	size_t want_checksum_n; /* 0: none wanted */
	bool checksum_in_trailer, trailer_came;
	struct buf checksum_base64; /* after finish */
	int64_t decoded_length;
};

static bool is_signed_form(const struct body_filter *f)
{
	return f->form == BODY_CHUNKED_SIGNED || f->form == BODY_CHUNKED_SIGNED_TRAILER;
}

static size_t checksum_size(enum digest_kind kind)
{
	uint8_t out[DIGEST_MAX_SIZE];
	struct digest d;

	digest_init(&d, kind);
	return digest_final(&d, out);
}

/* Base64 of exactly n bytes. */
static bool decode_exactly(struct str base64, uint8_t *out, size_t n)
{
	struct buf b = BUF_NULL;
	bool ok = base64_decode(&b, base64) && b.n == n;

	if (ok)
		memcpy(out, b.p, n);
	buf_done(&b);
	return ok;
}

/* A wanted value that cannot be any body's is remembered as the error it will give. */
static void want(struct body_filter *f, const struct body_filter_conf *c)
{
	f->has_sha256 = c->form == BODY_PLAIN && c->sha256.p;
	if (f->has_sha256 && !hex_decode(c->sha256, f->want_sha256, SHA256_SIZE))
		f->error = BODY_E_SHA256;
	f->has_md5 = c->md5_base64.p;
	if (f->has_md5 && !decode_exactly(c->md5_base64, f->want_md5, MD5_SIZE))
		f->error = BODY_E_MD5;
	f->checksum_in_trailer = c->checksum_in_trailer;
	if (c->checksum_value.p && c->checksum != DIGEST_NONE) {
		f->want_checksum_n = checksum_size(c->checksum);
		if (!decode_exactly(c->checksum_value, f->want_checksum, f->want_checksum_n))
			f->error = BODY_E_CHECKSUM;
	}
}

struct body_filter *body_filter_new(const struct body_filter_conf *c)
{
	struct body_filter *f = xnew(struct body_filter);

	f->form = c->form;
	f->state = c->form == BODY_PLAIN ? STATE_PLAIN : STATE_SIZE_LINE;
	f->decoded_length = c->decoded_length;
	want(f, c);
	digest_init(&f->sha256, f->has_sha256 ? DIGEST_SHA256 : DIGEST_NONE);
	digest_init(&f->md5, f->has_md5 ? DIGEST_MD5 : DIGEST_NONE);
	digest_init(&f->checksum, c->checksum);
	digest_init(&f->chunk, DIGEST_NONE);
	if (!is_signed_form(f))
		return f;
	digest_init(&f->trailer, DIGEST_SHA256);
	memcpy(f->signing_key, c->signing_key, sizeof(f->signing_key));
	buf_add_str(&f->scope, c->timestamp);
	buf_addc(&f->scope, '\n');
	buf_add_str(&f->scope, c->scope);
	buf_addc(&f->scope, '\n');
	if (c->seed_signature.n == HEX_SHA256)
		memcpy(f->previous, c->seed_signature.p, HEX_SHA256);
	else
		f->error = BODY_E_CHUNK_SIGNATURE;
	return f;
}

struct body_filter *body_filter_free(struct body_filter *f)
{
	if (!f)
		return NULL;
	buf_done(&f->scope);
	buf_done(&f->checksum_base64);
	mem_wipe(f, sizeof(*f));
	free(f);
	return NULL;
}

/* Checks announced against HMAC(algorithm, timestamp, scope, previous, tail) and makes it the previous one. */
static enum body_error check_signature(struct body_filter *f, const char *algorithm, const char *middle,
				       struct digest *content)
{
	uint8_t hash[DIGEST_MAX_SIZE], mac[SHA256_SIZE];
	char hex[HEX_SHA256 + 1];
	struct buf text = BUF_NULL;

	digest_final(content, hash);
	hex_encode(hash, SHA256_SIZE, hex);
	buf_reserve(&text, 3 * HEX_SHA256 + 64 + f->scope.n);
	buf_adds(&text, algorithm);
	buf_add_str(&text, buf_str(&f->scope));
	buf_add(&text, f->previous, HEX_SHA256);
	buf_adds(&text, middle);
	buf_adds(&text, hex);
	hmac_sha256(f->signing_key, SHA256_SIZE, text.p, text.n, mac);
	buf_done(&text);
	hex_encode(mac, sizeof(mac), hex);
	if (!str_eq_secret(str_n(hex, HEX_SHA256), str_n(f->announced, HEX_SHA256)))
		return BODY_E_CHUNK_SIGNATURE;
	memcpy(f->previous, f->announced, HEX_SHA256);
	return BODY_OK;
}

static enum body_error check_chunk(struct body_filter *f)
{
	if (!is_signed_form(f))
		return BODY_OK;
	return check_signature(f, "AWS4-HMAC-SHA256-PAYLOAD\n",
			       "\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", &f->chunk);
}

static bool parse_hex_size(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint64_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return v <= MAX_CHUNK_SIZE;
}

static enum body_error on_size_line(struct body_filter *f, struct str line)
{
	struct str size, ext;
	bool has_ext = str_cut(line, ';', &size, &ext);

	if (!parse_hex_size(size, &f->left) || has_ext != is_signed_form(f))
		return BODY_E_MALFORMED;
	if (has_ext) {
		if (!str_starts(ext, STR(SIGNATURE_EXT)) || ext.n != sizeof(SIGNATURE_EXT) - 1 + HEX_SHA256)
			return BODY_E_MALFORMED;
		memcpy(f->announced, ext.p + sizeof(SIGNATURE_EXT) - 1, HEX_SHA256);
		digest_init(&f->chunk, DIGEST_SHA256);
	}
	if (f->decoded_length >= 0 && f->left > (uint64_t)f->decoded_length - f->length)
		return BODY_E_LENGTH;
	f->state = f->left > 0 ? STATE_DATA : STATE_TRAILER;
	return f->left > 0 ? BODY_OK : check_chunk(f);
}

static enum body_error on_trailer_signature(struct body_filter *f, struct str value)
{
	enum body_error e;

	if (f->form != BODY_CHUNKED_SIGNED_TRAILER || f->trailer_signed)
		return BODY_E_TRAILER;
	if (value.n != HEX_SHA256)
		return BODY_E_MALFORMED;
	memcpy(f->announced, value.p, HEX_SHA256);
	e = check_signature(f, "AWS4-HMAC-SHA256-TRAILER\n", "\n", &f->trailer);
	f->trailer_signed = e == BODY_OK;
	return e;
}

static enum body_error on_trailer(struct body_filter *f, struct str line)
{
	const struct str prefix = STR("x-amz-checksum-");
	struct str name, value;

	if (!str_cut(line, ':', &name, &value))
		return BODY_E_MALFORMED;
	name = str_trim(name);
	value = str_trim(value);
	if (str_ieq(name, STR("x-amz-trailer-signature")))
		return on_trailer_signature(f, value);
	if (!f->checksum_in_trailer || f->trailer_came || f->trailer_signed || !str_istarts(name, prefix) ||
	    digest_by_name(str_sub(name, prefix.n, name.n)) != f->checksum.kind || f->checksum.kind == DIGEST_NONE)
		return BODY_E_TRAILER;
	f->trailer_came = true;
	if (is_signed_form(f)) {
		digest_update(&f->trailer, prefix.p, prefix.n);
		for (size_t i = prefix.n; i < name.n; i++) {
			char c = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] | 0x20) : name.p[i];

			digest_update(&f->trailer, &c, 1);
		}
		digest_update(&f->trailer, ":", 1);
		digest_update(&f->trailer, value.p, value.n);
		digest_update(&f->trailer, "\n", 1);
	}
	f->want_checksum_n = checksum_size(f->checksum.kind);
	return decode_exactly(value, f->want_checksum, f->want_checksum_n) ? BODY_OK : BODY_E_CHECKSUM;
}

/* The empty line that ends the body; before the trailer's signature it is only what some clients put there. */
static enum body_error on_empty_line(struct body_filter *f)
{
	if (f->form == BODY_CHUNKED_SIGNED_TRAILER && f->trailer_came && !f->trailer_signed) {
		if (++f->n_trailers > MAX_TRAILERS)
			return BODY_E_MALFORMED;
		return BODY_OK;
	}
	if (f->checksum_in_trailer && !f->trailer_came)
		return BODY_E_TRAILER;
	f->state = STATE_DONE;
	return BODY_OK;
}

static enum body_error on_line(struct body_filter *f, struct str line)
{
	enum body_error e;

	switch (f->state) {
	case STATE_SIZE_LINE:
		return on_size_line(f, line);
	case STATE_DATA_END:
		if (line.n > 0)
			return BODY_E_MALFORMED;
		e = check_chunk(f);
		f->state = STATE_SIZE_LINE;
		return e;
	case STATE_TRAILER:
		return line.n > 0 ? on_trailer(f, line) : on_empty_line(f);
	case STATE_PLAIN:
	case STATE_DATA:
	case STATE_DONE:
		break;
	}
	return BODY_E_MALFORMED;
}

/* Takes bytes up to the line's end, which may not have come yet. */
static enum body_error feed_line(struct body_filter *f, const uint8_t *in, size_t n, size_t *used)
{
	const uint8_t *end = memchr(in, '\n', n);
	size_t take = end ? (size_t)(end - in) : n;
	struct str line;

	if (f->state == STATE_DONE || take > sizeof(f->line) - f->line_n)
		return BODY_E_MALFORMED;
	memcpy(f->line + f->line_n, in, take);
	f->line_n += take;
	*used = take + (end != NULL);
	if (!end)
		return BODY_OK;
	line = str_n(f->line, f->line_n);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	f->line_n = 0;
	return on_line(f, line);
}

static void take_clean(struct body_filter *f, const uint8_t *p, size_t n)
{
	digest_update(&f->sha256, p, n);
	digest_update(&f->md5, p, n);
	digest_update(&f->checksum, p, n);
	digest_update(&f->chunk, p, n);
	f->length += n;
}

enum body_error body_filter_feed(struct body_filter *f, const uint8_t *in, size_t n, size_t *used, const uint8_t **out,
				 size_t *out_n)
{
	size_t take = 0;

	*used = 0;
	*out = in;
	*out_n = 0;
	if (f->error || n == 0)
		return f->error;
	if (f->state == STATE_PLAIN) {
		take = n;
		if (f->decoded_length >= 0 && n > (uint64_t)f->decoded_length - f->length)
			return f->error = BODY_E_LENGTH;
	} else if (f->state == STATE_DATA) {
		take = (size_t)MIN((uint64_t)n, f->left);
		f->left -= take;
		if (f->left == 0)
			f->state = STATE_DATA_END;
	} else {
		return f->error = feed_line(f, in, n, used);
	}
	take_clean(f, in, take);
	*used = *out_n = take;
	return BODY_OK;
}

static enum body_error check_digests(struct body_filter *f)
{
	uint8_t got[DIGEST_MAX_SIZE];
	size_t n;

	digest_final(&f->sha256, got);
	if (f->has_sha256 && memcmp(got, f->want_sha256, SHA256_SIZE) != 0)
		return BODY_E_SHA256;
	digest_final(&f->md5, got);
	if (f->has_md5 && memcmp(got, f->want_md5, MD5_SIZE) != 0)
		return BODY_E_MD5;
	n = digest_final(&f->checksum, got);
	if (f->want_checksum_n > 0 && memcmp(got, f->want_checksum, n) != 0)
		return BODY_E_CHECKSUM;
	buf_clear(&f->checksum_base64);
	base64_encode(&f->checksum_base64, got, n);
	return BODY_OK;
}

enum body_error body_filter_finish(struct body_filter *f)
{
	if (f->error)
		return f->error;
	if (f->state == STATE_PLAIN)
		f->error = f->checksum_in_trailer ? BODY_E_TRAILER : BODY_OK;
	else if (f->state != STATE_DONE)
		f->error = BODY_E_MALFORMED;
	if (!f->error && f->decoded_length >= 0 && f->length != (uint64_t)f->decoded_length)
		f->error = BODY_E_LENGTH;
	if (!f->error)
		f->error = check_digests(f);
	return f->error;
}

const char *body_filter_checksum(const struct body_filter *f)
{
	return buf_cstr(&f->checksum_base64);
}
