/* Any bytes as a packet of a zygote; one that is taken says the same when it is written anew. */
#include "wire/zygote.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zygote_packet p;
	struct buf b = BUF_NULL;

	if (zygote_decode(&p, str_n(data, size))) {
		zygote_encode(&b, &p);
		assert(str_eq(buf_str(&b), str_n(data, size)));
	}
	buf_done(&b);
	return 0;
}
