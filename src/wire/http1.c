/* The grammar of RFC 9112. Heads are parsed only when they are whole, so that no state is kept; the chunked coding
 * keeps a little, as its pieces come in any cut. What fails is the peer, which is told why. */
#include "wire/http1.h"

#define CHUNK_LINE_MAX 256u

enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_CR, CHUNK_LF, CHUNK_TRAILER };

static bool is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool http1_is_method(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

bool http1_is_target(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

bool http1_header_line(struct str line, struct http1_header *ret)
{
	struct str name, value;

	if (!str_cut(line, ':', &name, &value) || !http1_is_method(name))
		return false;
	value = str_trim(value);
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	*ret = (struct http1_header){name, value};
	return true;
}

bool http1_list_has(struct str list, struct str token)
{
	while (list.n) {
		struct str word;

		str_cut(list, ',', &word, &list);
		if (str_ieq(str_trim(word), token))
			return true;
	}
	return false;
}

bool http1_hop_by_hop(struct str name, struct str connection)
{
	static const char *const names[] = {"connection",
					    "keep-alive",
					    "proxy-connection",
					    "proxy-authenticate",
					    "proxy-authorization",
					    "te",
					    "trailer",
					    "transfer-encoding",
					    "upgrade"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_ieq(name, str_from(names[i])))
			return true;
	return http1_list_has(connection, name);
}

struct str http1_get(const struct http1_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (str_ieq(h->headers[i].name, str_from(name)))
			return h->headers[i].value;
	return STR_NULL;
}

/* The next line, without its end; false: no CRLF, or a control character. */
static bool take_line(struct str *p, struct str *line)
{
	ssize_t at = str_chr(*p, '\n', 0);

	if (at < 1 || p->p[at - 1] != '\r')
		return false;
	*line = str_n(p->p, (size_t)at - 1);
	*p = str_sub(*p, (size_t)at + 1, SIZE_MAX);
	return true;
}

static bool take_version(struct str s, unsigned *minor)
{
	if (s.n != 8 || !str_starts(s, STR("HTTP/1.")) || s.p[7] < '0' || s.p[7] > '9')
		return false;
	*minor = (unsigned)(s.p[7] - '0');
	return true;
}

static const char *understand(struct http1_head *h, const struct http1_header *f)
{
	if (str_ieq(f->name, STR("content-length"))) {
		uint64_t n;

		if (!str_to_u64(f->value, &n) || n > INT64_MAX)
			return "Content-Length is no number";
		if (h->has_length && h->length != n)
			return "two values of Content-Length";
		h->has_length = true;
		h->length = n;
	} else if (str_ieq(f->name, STR("transfer-encoding"))) {
		if (h->chunked || !str_ieq(f->value, STR("chunked")))
			return "a Transfer-Encoding that is not chunked";
		h->chunked = true;
	} else if (str_ieq(f->name, STR("connection"))) {
		if (http1_list_has(f->value, STR("close")))
			h->close = true;
		if (http1_list_has(f->value, STR("keep-alive")) && h->minor == 0)
			h->close = false;
	} else if (str_ieq(f->name, STR("upgrade"))) {
		h->upgrade = f->value.n > 0;
	} else if (str_ieq(f->name, STR("expect"))) {
		h->expect_continue = str_ieq(f->value, STR("100-continue"));
	}
	return NULL;
}

static const char *take_headers(struct http1_head *h, struct str p)
{
	struct str line;

	h->close = h->minor == 0;
	while (p.n) {
		struct http1_header *f = &h->headers[h->n_headers];
		const char *why;

		if (h->n_headers == HTTP1_HEADERS_MAX)
			return "too many headers";
		if (!take_line(&p, &line) || !http1_header_line(line, f))
			return "a malformed header";
		why = understand(h, f);
		if (why)
			return why;
		h->n_headers++;
	}
	if (h->chunked && h->has_length)
		return "both Content-Length and Transfer-Encoding";
	return NULL;
}

/* Bytes of the whole head, or 0 or -1 as the parsers return them. */
static ssize_t head_size(struct str p, const char **why)
{
	char *end = p.n ? memmem(p.p, MIN(p.n, (size_t)HTTP1_HEAD_MAX), "\r\n\r\n", 4) : NULL;

	if (end)
		return end - p.p + 4;
	*why = "a head of more than 64 KiB";
	return p.n >= HTTP1_HEAD_MAX ? -1 : 0;
}

ssize_t http1_request(struct http1_head *ret, struct str p, const char **why)
{
	struct str line, rest, version;
	size_t skipped = 0;
	ssize_t size;

	/* An empty line before a request is skipped (RFC 9112, 2.2). */
	if (str_starts(p, STR("\r\n"))) {
		p = str_sub(p, 2, SIZE_MAX);
		skipped = 2;
	}
	ret->n_headers = 0;
	ret->chunked = ret->has_length = ret->upgrade = ret->expect_continue = false;
	ret->length = 0;
	size = head_size(p, why);
	if (size < 0)
		return -1;
	rest = str_n(p.p, size ? (size_t)size - 2 : p.n);
	if (!take_line(&rest, &line)) {
		str_cut(rest, ' ', &line, &rest);
		if (str_chr(line, '\n', 0) < 0 && str_chr(rest, '\n', 0) < 0 && (line.n == 0 || http1_is_method(line)))
			return 0;
		*why = "a malformed request line";
		return -1;
	}
	if (!str_cut(line, ' ', &ret->method, &line) || !str_cut(line, ' ', &ret->target, &version) ||
	    !http1_is_method(ret->method) || !http1_is_target(ret->target) || !take_version(version, &ret->minor)) {
		*why = "a malformed request line";
		return -1;
	}
	if (size == 0)
		return 0;
	*why = take_headers(ret, rest);
	return *why ? -1 : size + (ssize_t)skipped;
}

ssize_t http1_response(struct http1_head *ret, struct str p, const char **why)
{
	struct str line, rest, version, code;
	uint64_t status;
	ssize_t size;

	ret->n_headers = 0;
	ret->chunked = ret->has_length = ret->upgrade = ret->expect_continue = false;
	ret->length = 0;
	size = head_size(p, why);
	if (size < 0)
		return -1;
	rest = str_n(p.p, size ? (size_t)size - 2 : p.n);
	if (!take_line(&rest, &line)) {
		if (str_chr(rest, '\n', 0) < 0 && size == 0)
			return 0;
		*why = "a malformed status line";
		return -1;
	}
	str_cut(line, ' ', &version, &line);
	str_cut(line, ' ', &code, &line);
	if (!take_version(version, &ret->minor) || code.n != 3 || !str_to_u64(code, &status) || status < 100) {
		*why = "a malformed status line";
		return -1;
	}
	ret->status = (unsigned)status;
	if (size == 0)
		return 0;
	*why = take_headers(ret, rest);
	return *why ? -1 : size;
}

void http1_request_body(struct http1_body *b, const struct http1_head *h)
{
	*b = (struct http1_body){.kind = HTTP1_NO_BODY};
	if (h->chunked) {
		b->kind = HTTP1_CHUNKED;
	} else if (h->has_length) {
		b->kind = HTTP1_LENGTH;
		b->left = h->length;
	}
	b->done = b->kind == HTTP1_NO_BODY || (b->kind == HTTP1_LENGTH && b->left == 0);
}

void http1_response_body(struct http1_body *b, const struct http1_head *h, bool to_head)
{
	http1_request_body(b, h);
	if (to_head || h->status < 200 || h->status == 204 || h->status == 304) {
		b->kind = HTTP1_NO_BODY;
		b->done = true;
	} else if (b->kind == HTTP1_NO_BODY) {
		b->kind = HTTP1_UNTIL_CLOSE;
		b->done = false;
	}
}

void http1_body_done(struct http1_body *b)
{
	buf_done(&b->line);
}

static bool chunk_size(struct str line, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	str_cut(line, ';', &line, &(struct str){0});
	line = str_trim(line);
	for (; i < line.n; i++) {
		int c = line.p[i] | 32, digit;

		if (line.p[i] >= '0' && line.p[i] <= '9')
			digit = line.p[i] - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return false;
		if (v >> 56)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*ret = v;
	return i > 0;
}

/* One byte of what stands between the chunks. */
static int chunk_byte(struct http1_body *b, char c)
{
	struct str line;
	size_t start = 0;

	if (b->state == CHUNK_CR || b->state == CHUNK_LF) {
		if (c != (b->state == CHUNK_CR ? '\r' : '\n'))
			return -1;
		b->state = b->state == CHUNK_CR ? CHUNK_LF : CHUNK_SIZE;
		return 0;
	}
	if (b->line.n >= (b->state == CHUNK_SIZE ? CHUNK_LINE_MAX : HTTP1_HEAD_MAX))
		return -1;
	buf_addc(&b->line, c);
	if (c != '\n')
		return 0;
	if (b->line.n < 2 || b->line.p[b->line.n - 2] != '\r')
		return -1;
	if (b->state == CHUNK_SIZE) {
		if (!chunk_size(str_n(b->line.p, b->line.n - 2), &b->left))
			return -1;
		buf_clear(&b->line);
		b->state = b->left ? CHUNK_DATA : CHUNK_TRAILER;
		return 0;
	}
	for (size_t i = 0; i + 2 < b->line.n; i++)
		if (b->line.p[i] == '\n')
			start = i + 1;
	line = str_n(b->line.p + start, b->line.n - 2 - start);
	if (line.n == 0) {
		b->line.n -= 2;
		b->done = true;
		return 0;
	}
	return http1_header_line(line, &(struct http1_header){0}) ? 0 : -1;
}

int http1_body_next(struct http1_body *b, struct str *in, size_t max, struct str *out)
{
	size_t n;

	*out = STR_NULL;
	while (!b->done && b->kind == HTTP1_CHUNKED && b->state != CHUNK_DATA && in->n) {
		if (chunk_byte(b, in->p[0]) < 0)
			return -1;
		*in = str_sub(*in, 1, SIZE_MAX);
	}
	if (b->done || !in->n)
		return 0;
	n = MIN(in->n, max);
	if (b->kind != HTTP1_UNTIL_CLOSE)
		n = MIN((uint64_t)n, b->left);
	*out = str_n(in->p, n);
	*in = str_sub(*in, n, SIZE_MAX);
	http1_body_skip(b, n);
	return 0;
}

uint64_t http1_body_run(const struct http1_body *b)
{
	if (b->done || (b->kind == HTTP1_CHUNKED && b->state != CHUNK_DATA))
		return 0;
	return b->kind == HTTP1_UNTIL_CLOSE ? SIZE_MAX : b->left;
}

void http1_body_skip(struct http1_body *b, uint64_t n)
{
	if (b->kind == HTTP1_UNTIL_CLOSE)
		return;
	b->left -= n;
	if (b->left == 0 && b->kind == HTTP1_CHUNKED)
		b->state = CHUNK_CR;
	else if (b->left == 0)
		b->done = true;
}

struct str http1_trailer(const struct http1_body *b, const char *name)
{
	struct str rest = buf_str(&b->line), line;
	struct http1_header f;

	while (take_line(&rest, &line))
		if (http1_header_line(line, &f) && str_ieq(f.name, str_from(name)))
			return f.value;
	return STR_NULL;
}

const char *http1_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} reasons[] = {
		{200, "OK"},
		{202, "Accepted"},
		{400, "Bad Request"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{413, "Payload Too Large"},
		{500, "Internal Server Error"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "";
}
