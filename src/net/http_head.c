/* What libmicrohttpd lets through and others might read differently (request smuggling): lengths that contradict each
 * other, codings that are not chunked, bytes that have no place in names, values and targets. Pure. */
#include "net/http_head.h"

static const bool token_char[256] = {
	['!'] = true,         ['#' ... '\''] = true, ['*' ... '+'] = true, ['-' ... '.'] = true, ['0' ... '9'] = true,
	['A' ... 'Z'] = true, ['^' ... 'z'] = true,  ['|'] = true,         ['~'] = true,
};

static bool is_token(struct str s)
{
	bool good = s.n > 0;

	for (size_t i = 0; i < s.n; i++)
		good &= token_char[(unsigned char)s.p[i]];
	return good;
}

/* Every byte is looked at without a branch, which compilers turn into a few wide instructions. */
static bool is_text(struct str s, unsigned char least)
{
	unsigned char bad = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		bad |= (unsigned char)((c < least) & (c != '\t')) | (c == 0x7f);
	}
	return !bad;
}

unsigned http_head_check(struct str method, struct str target, const struct http_header *headers, size_t n, bool http11,
			 struct http_head *ret)
{
	unsigned lengths = 0, codings = 0;
	uint64_t length;

	*ret = (struct http_head){0};
	if (!is_token(method) || target.n == 0 || !is_text(target, 0x21))
		return 400;
	for (size_t i = 0; i < n; i++) {
		const struct http_header *h = &headers[i];

		if (!is_token(h->name) || !is_text(h->value, 0x20))
			return 400;
		if (http_named(h, STR("content-length"))) {
			if (++lengths > 1 || !str_to_u64(h->value, &length))
				return 400;
			if (length > INT64_MAX)
				return 413;
			ret->content_length = (int64_t)length;
		} else if (http_named(h, STR("transfer-encoding"))) {
			if (++codings > 1)
				return 400;
			if (!str_ieq(h->value, STR("chunked")))
				return 501;
			ret->content_length = -1;
		} else if (http_named(h, STR("expect"))) {
			ret->expects = str_ieq(h->value, STR("100-continue"));
		}
	}
	return codings && (lengths || !http11) ? 400 : 0;
}
