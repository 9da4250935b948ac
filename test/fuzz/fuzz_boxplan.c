/* Any bytes as a box plan; one that is taken keeps the rules, says the same when it is written anew, and prints. */
#include "wire/boxplan.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_NULL;
	struct buf b = BUF_NULL;
	struct err err = ERR_NULL;
	struct boxplan p;

	if (boxplan_decode(&p, str_n(data, size), &a, &err) == 0) {
		assert(boxplan_check(&p, NULL) == 0);
		boxplan_encode(&b, &p);
		assert(str_eq(buf_str(&b), str_n(data, size)));
		buf_clear(&b);
		boxplan_print(&b, &p);
		assert(b.n > 0);
	} else {
		assert(err.msg);
	}
	err_done(&err);
	buf_done(&b);
	arena_done(&a);
	return 0;
}
