/* The words of CONNECT: a proxy's URL, the request, the head of the answer. Owns nothing but what a struct proxy holds;
 * fails only for what it is given. */
#include "net/proxy.h"

#include "base/mem.h"

#include <stdio.h>

#define HOST_MAX   253
#define REASON_MAX 100

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == ':' || c == '%';
}

bool proxy_is_host(struct str host)
{
	for (size_t i = 0; i < host.n; i++)
		if (!is_host_char(host.p[i]))
			return false;
	return host.n > 0 && host.n <= HOST_MAX;
}

/* Percent escapes undone; NULL: a broken one, or a byte that has no place in a header. */
static char *decode(struct str s)
{
	struct buf b = BUF_NULL;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if (c == '%') {
			if (!hex_decode(str_sub(s, i + 1, 2), &c, 1)) {
				buf_done(&b);
				return NULL;
			}
			i += 2;
		}
		if (c < ' ' || c == 0x7f) {
			buf_done(&b);
			return NULL;
		}
		buf_addc(&b, (char)c);
	}
	buf_add(&b, "", 0); /* a NUL, of no bytes too */
	return buf_steal(&b);
}

static bool parse_credentials(struct str s, struct proxy *ret)
{
	_cleanup_(freep) char *user = NULL, *password = NULL;
	struct str u, p;

	str_cut(s, ':', &u, &p);
	user = decode(u);
	password = decode(p);
	if (!user || !password || strchr(user, ':'))
		return false;
	ret->credentials = xasprintf("%s:%s", user, password);
	mem_wipe(password, strlen(password));
	return true;
}

static bool parse_port(struct str s, uint16_t *ret)
{
	uint64_t n;

	if (!str_to_u64(s, &n) || n == 0 || n > 65535)
		return false;
	*ret = (uint16_t)n;
	return true;
}

static bool parse_host_port(struct str s, struct proxy *ret)
{
	struct str host, rest;
	ssize_t end;

	if (str_starts(s, STR("["))) {
		end = str_chr(s, ']', 0);
		if (end < 0)
			return false;
		host = str_sub(s, 1, (size_t)end - 1);
		rest = str_sub(s, (size_t)end + 1, SIZE_MAX);
		if (rest.n && !str_starts(rest, STR(":")))
			return false;
		if (str_chr(host, ':', 0) < 0)
			return false;
	} else {
		end = str_chr(s, ':', 0);
		host = end < 0 ? s : str_sub(s, 0, (size_t)end);
		rest = end < 0 ? STR("") : str_sub(s, (size_t)end, SIZE_MAX);
	}
	ret->port = 80;
	if (!proxy_is_host(host) || (rest.n && !parse_port(str_sub(rest, 1, SIZE_MAX), &ret->port)))
		return false;
	ret->host = str_dup(host);
	return true;
}

bool proxy_parse(struct str url, struct proxy *ret, const char **why)
{
	struct proxy p = {0};
	struct str rest;
	ssize_t at = -1;

	if (!str_istarts(url, STR("http://"))) {
		*why = "expected http://[USER:PASSWORD@]HOST[:PORT]";
		return false;
	}
	rest = str_sub(url, 7, SIZE_MAX);
	if (str_ends(rest, STR("/")))
		rest.n--;
	for (ssize_t i = 0; (i = str_chr(rest, '@', (size_t)i)) >= 0; i++)
		at = i; /* the last one: people do not escape those of passwords */
	if (at >= 0 && !parse_credentials(str_sub(rest, 0, (size_t)at), &p)) {
		*why = "its user or password is not well percent-encoded";
		return false;
	}
	if (!parse_host_port(str_sub(rest, (size_t)(at + 1), SIZE_MAX), &p)) {
		proxy_done(&p);
		*why = "its host or port is none";
		return false;
	}
	*ret = p;
	return true;
}

void proxy_done(struct proxy *p)
{
	if (p->credentials)
		mem_wipe(p->credentials, strlen(p->credentials));
	free(p->credentials);
	free(p->host);
	*p = (struct proxy){0};
}

/* RFC 4648. Wick's other coder is in wire, which is not below. */
static void base64(struct buf *b, struct str s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		struct str t = str_sub(s, i, 3);
		uint32_t v = (uint32_t)(uint8_t)t.p[0] << 16 | (t.n > 1 ? (uint32_t)(uint8_t)t.p[1] << 8 : 0) |
			     (t.n > 2 ? (uint32_t)(uint8_t)t.p[2] : 0);

		buf_addc(b, digits[v >> 18]);
		buf_addc(b, digits[v >> 12 & 63]);
		buf_addc(b, t.n > 1 ? digits[v >> 6 & 63] : '=');
		buf_addc(b, t.n > 2 ? digits[v & 63] : '=');
	}
}

void proxy_connect(struct buf *b, const struct proxy *p, const char *host, uint16_t port)
{
	bool v6 = strchr(host, ':');
	_cleanup_(freep) char *target = xasprintf("%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);

	buf_printf(b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target);
	if (p->credentials) {
		buf_adds(b, "Proxy-Authorization: Basic ");
		base64(b, str_from(p->credentials));
		buf_adds(b, "\r\n");
	}
	buf_adds(b, "\r\n");
}

static struct str visible(struct str s)
{
	size_t n = 0;

	while (n < s.n && n < REASON_MAX && s.p[n] >= ' ' && s.p[n] <= '~')
		n++;
	return str_trim(str_sub(s, 0, n));
}

ssize_t proxy_answer(struct str in, unsigned *status, struct str *reason)
{
	struct str version = STR("HTTP/1.");
	ssize_t end = str_find(str_sub(in, 0, PROXY_HEAD_MAX), STR("\r\n\r\n"));
	struct str line = in;
	uint64_t code;

	/* What cannot become an answer is refused at once: nobody waits for more of it. */
	if (!str_starts(in, str_sub(version, 0, in.n)))
		return -1;
	if (end < 0)
		return in.n >= PROXY_HEAD_MAX ? -1 : 0;
	str_cut(in, '\r', &line, &(struct str){0});
	/* "HTTP/1.1 200 Connection established", the reason may be missing. */
	if (line.n < 12 || (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ' ||
	    !str_to_u64(str_sub(line, 9, 3), &code) || code < 100 || code > 599 || (line.n > 12 && line.p[12] != ' '))
		return -1;
	*status = (unsigned)code;
	*reason = visible(str_sub(line, 13, SIZE_MAX));
	return end + 4;
}
