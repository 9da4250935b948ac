/* Any bytes as a request, as an answer and as a body; fed at once and in pieces, a body must say and give the same. The
 * first byte chooses how. */
#include "wire/http1.h"

#include <assert.h>

static int decode(struct http1_body *b, struct str in, size_t step, size_t max, struct buf *out)
{
	while (in.n && !b->done) {
		struct str piece = str_sub(in, 0, step), view;
		size_t before = piece.n, left;

		do {
			left = piece.n;
			if (http1_body_next(b, &piece, max, &view) < 0)
				return -1;
			assert(view.n <= max && (piece.n < left || b->done));
			buf_add_str(out, view);
		} while (piece.n && !b->done);
		in = str_sub(in, before - piece.n, SIZE_MAX);
	}
	return b->done;
}

static void body(const struct http1_head *h, struct str in, size_t step)
{
	struct http1_body a, b;
	struct buf out_a = BUF_NULL, out_b = BUF_NULL;

	http1_request_body(&a, h);
	http1_request_body(&b, h);
	assert(decode(&a, in, SIZE_MAX, SIZE_MAX, &out_a) == decode(&b, in, step, step * 3, &out_b));
	assert(str_eq(buf_str(&out_a), buf_str(&out_b)));
	assert(str_eq(http1_trailer(&a, "x"), http1_trailer(&b, "x")));
	http1_body_done(&a);
	http1_body_done(&b);
	buf_done(&out_a);
	buf_done(&out_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http1_head h;
	struct str in;
	const char *why = NULL;
	ssize_t n;

	if (size < 1)
		return 0;
	in = str_n(data + 1, size - 1);
	if (data[0] & 1) {
		h = (struct http1_head){.chunked = true};
		body(&h, in, data[0] / 2 % 23 + 1);
		return 0;
	}
	n = data[0] & 2 ? http1_request(&h, in, &why) : http1_response(&h, in, &why);
	assert(n >= -1 && n <= (ssize_t)in.n && (n >= 0 || why));
	if (n <= 0)
		return 0;
	for (size_t i = 0; i < h.n_headers; i++)
		http1_hop_by_hop(h.headers[i].name, http1_get(&h, "connection"));
	body(&h, str_sub(in, (size_t)n, SIZE_MAX), data[0] / 4 % 23 + 1);
	return 0;
}
