/* Any bytes as messages of an event stream; one with string headers alone says the same when it is written anew. */
#include "wire/eventstream.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), name, value;
	struct eventstream_message m;
	enum eventstream_type type;
	struct kv headers[16];
	size_t n = 0;
	bool strings = true;
	struct buf b = BUF_NULL;
	int64_t whole = eventstream_size(in);

	if (!eventstream_parse(in, &m))
		return 0;
	assert(whole >= EVENTSTREAM_OVERHEAD && (uint64_t)whole <= size);
	for (size_t at = 0; eventstream_next(&m, &at, &name, &type, &value);) {
		strings &= type == EVENTSTREAM_STRING && n < 16 && value.n <= INT16_MAX;
		if (strings)
			headers[n++] = (struct kv){name, value};
	}
	if (!strings)
		return 0;
	eventstream_add(&b, headers, n, m.payload);
	assert(str_eq(buf_str(&b), str_sub(in, 0, (size_t)whole)));
	buf_done(&b);
	return 0;
}
