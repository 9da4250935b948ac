/* Any bytes as a line of wick-park or of the node; one that is taken says the same when it is written anew. */
#include "wire/park.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str line = str_n(data, size);
	struct park_request r;
	struct park_answer a;
	struct buf b = BUF_NULL;

	if (park_request_parse(&r, line)) {
		park_request_format(&b, &r);
		assert(b.n == size + 1 && str_eq(str_n(b.p, size), line));
	}
	buf_clear(&b);
	if (park_answer_parse(&a, line)) {
		park_answer_format(&b, &a);
		assert(b.n <= PARK_LINE_MAX && b.n == size + 1 && str_eq(str_n(b.p, size), line));
	}
	buf_done(&b);
	return 0;
}
