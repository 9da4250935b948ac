/* Any bytes as a query and as escapes; what was decoded comes back from its encoding. */
#include "wire/uri.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct buf decoded = BUF_NULL, encoded = BUF_NULL, again = BUF_NULL;
	struct arena a = ARENA_NULL;
	struct uri_param *params;
	size_t n;

	if (uri_parse_query(&a, in, 100, &params, &n) == 0) {
		assert(n <= 100);
		for (size_t i = 0; i < n; i++)
			assert(params[i].has_value || params[i].value.n == 0);
		uri_param_get(params, n, "acl");
	}
	if (uri_decode(&decoded, in, size % 2)) {
		uri_encode(&encoded, buf_str(&decoded), size % 3);
		assert(uri_decode(&again, buf_str(&encoded), false));
		assert(str_eq(buf_str(&again), buf_str(&decoded)));
	}
	buf_done(&decoded);
	buf_done(&encoded);
	buf_done(&again);
	arena_done(&a);
	return 0;
}
