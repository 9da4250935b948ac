/* Any bytes as a proxy's answer and as its URL. The first byte chooses where an answer is cut: what is said of a part
 * must not contradict what is said of the whole. */
#include "net/proxy.h"

#include <assert.h>

static void answer(struct str in, size_t cut)
{
	unsigned status = 0, status_part = 0;
	struct str reason = STR(""), reason_part;
	ssize_t whole = proxy_answer(in, &status, &reason), part;

	assert(whole >= -1 && whole <= (ssize_t)in.n && whole <= (ssize_t)PROXY_HEAD_MAX);
	if (whole > 0) {
		assert(status >= 100 && status <= 599 && reason.n <= 100);
		for (size_t i = 0; i < reason.n; i++)
			assert(reason.p[i] >= ' ' && reason.p[i] <= '~');
	}
	part = proxy_answer(str_sub(in, 0, cut), &status_part, &reason_part);
	if (part > 0)
		assert(part == whole && status_part == status);
	if (part < 0)
		assert(whole < 0);
	if (whole > 0 && (ssize_t)cut >= whole)
		assert(part == whole);
}

static void url(struct str in)
{
	struct proxy p;
	const char *why = NULL;
	struct buf b = BUF_NULL;
	size_t lines = 0;

	if (!proxy_parse(in, &p, &why)) {
		assert(why);
		return;
	}
	assert(p.port > 0 && proxy_is_host(str_from(p.host)));
	proxy_connect(&b, &p, p.host, p.port);
	/* Nothing of the URL makes a line of its own. */
	for (size_t i = 0; i < b.n; i++)
		lines += b.p[i] == '\n';
	assert(lines == 3 + (p.credentials != NULL) && str_ends(buf_str(&b), STR("\r\n\r\n")));
	buf_done(&b);
	proxy_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	answer(str_n(data + 1, size - 1), data[0]);
	url(str_n(data + 1, size - 1));
	return 0;
}
