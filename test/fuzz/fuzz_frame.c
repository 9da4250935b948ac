/* Any bytes as a frame; one that parses says the same when it is written anew. */
#include "wire/frame.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), value;
	int64_t n = frame_size(in);
	uint8_t header[FRAME_HEADER_SIZE];
	struct frame f;
	uint64_t number;

	if (!frame_parse(in, &f))
		return 0;
	assert(n >= FRAME_HEADER_SIZE && (uint64_t)n <= size);
	assert(f.meta.n + f.body.n + FRAME_HEADER_SIZE == (uint64_t)n);
	for (uint16_t key = 0; key < 8; key++)
		if (frame_meta_u64(&f, key, &number))
			assert(frame_meta_get(&f, key, &value) && value.n == sizeof(number));
	frame_header(header, f.type, f.id, f.meta.n, f.body.n);
	assert(memcmp(header, data, sizeof(header)) == 0);
	return 0;
}
