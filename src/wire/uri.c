/* Percent-encoding and query strings. The arena of the caller owns what is decoded; a broken escape or too many
 * parameters fail. */
#include "wire/uri.h"

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

void uri_encode(struct buf *b, struct str s, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		char *at = buf_reserve(b, 3);
		uint8_t c = (uint8_t)s.p[i];

		if (is_unreserved(s.p[i]) || (keep_slash && c == '/')) {
			at[0] = s.p[i];
			b->n += 1;
		} else {
			at[0] = '%';
			at[1] = digits[c >> 4];
			at[2] = digits[c & 15];
			b->n += 3;
		}
	}
	buf_reserve(b, 0)[0] = '\0';
}

/* Writes at most s.n bytes; false on a broken escape. */
static bool decode(char *to, struct str s, bool plus_is_space, size_t *ret_n)
{
	char *at = to;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c;

		if (s.p[i] != '%') {
			*at++ = plus_is_space && s.p[i] == '+' ? ' ' : s.p[i];
			continue;
		}
		if (s.n - i < 3 || !hex_decode(str_n(s.p + i + 1, 2), &c, 1))
			return false;
		*at++ = (char)c;
		i += 2;
	}
	*ret_n = (size_t)(at - to);
	return true;
}

bool uri_decode(struct buf *b, struct str s, bool plus_is_space)
{
	char *to = buf_reserve(b, s.n);
	size_t n = 0;
	bool ok = decode(to, s, plus_is_space, &n);

	b->n += n;
	b->p[b->n] = '\0';
	return ok;
}

static bool decode_in(struct arena *a, struct str s, struct str *ret)
{
	char *to;
	size_t n;

	if (str_chr(s, '%', 0) < 0 && str_chr(s, '+', 0) < 0) {
		*ret = arena_str(a, s);
		return true;
	}
	to = arena_alloc(a, s.n + 1);
	if (!decode(to, s, true, &n))
		return false;
	to[n] = '\0';
	*ret = str_n(to, n);
	return true;
}

int uri_parse_query(struct arena *a, struct str query, size_t max, struct uri_param **ret, size_t *n)
{
	struct uri_param *params;
	size_t pieces = query.n > 0, used = 0;
	struct str piece;

	for (size_t i = 0; i < query.n; i++)
		pieces += query.p[i] == '&';
	params = arena_new_n(a, struct uri_param, MIN(pieces, max));
	while (query.n > 0) {
		struct str name, value;
		bool has_value;

		str_cut(query, '&', &piece, &query);
		if (piece.n == 0)
			continue;
		if (used == max)
			return -1;
		has_value = str_cut(piece, '=', &name, &value);
		params[used].has_value = has_value;
		if (!decode_in(a, name, &params[used].name) || !decode_in(a, value, &params[used].value))
			return -1;
		used++;
	}
	*ret = params;
	*n = used;
	return 0;
}

struct str uri_param_get(const struct uri_param *p, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(p[i].name, name))
			return p[i].value;
	return STR_NULL;
}

bool uri_param_has(const struct uri_param *p, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqz(p[i].name, name))
			return true;
	return false;
}
