/* Any bytes as what the other side of a carrier says, in pieces; the first byte says how long they are. Whole frames
 * may come of them, in both of a carrier's lives: the same bytes once more after the connection was lost. */
#include "link/carrier.h"

#include <assert.h>

struct seen {
	uint64_t frames, bytes;
	bool broken;
};

static void on_frame(void *arg, const struct frame *f)
{
	struct seen *s = arg;

	s->frames++;
	s->bytes += FRAME_HEADER_SIZE + f->meta.n + f->body.n;
	assert(f->body.n <= 4096);
}

static void on_broken(void *arg, unsigned status)
{
	((struct seen *)arg)->broken = true;
}

static const struct carrier_handler handler = {.frame = on_frame, .broken = on_broken};

static void feed(struct carrier *c, struct str bytes, size_t piece)
{
	char out[64];

	carrier_begin(c);
	while (bytes.n && carrier_input(c, str_sub(bytes, 0, piece))) {
		bytes = str_sub(bytes, piece, SIZE_MAX);
		assert(carrier_pull(c, out, sizeof(out)) <= sizeof(out));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	static struct carriers *set;
	struct seen seen = {0};
	struct carrier *c;

	if (!loop) {
		loop = loop_new();
		set = carriers_new(loop);
	}
	if (!size)
		return 0;
	c = carrier_new(set, 4096, &handler, &seen);
	carrier_send(c, FRAME_RESULT, (const uint8_t[16]){1}, STR_NULL, STR_NULL, STR("an answer"));
	feed(c, str_n(data + 1, size - 1), data[0] % 61 + 1u);
	feed(c, str_n(data + 1, size - 1), 4096);
	assert(seen.bytes <= 2 * size);
	carrier_free(c);
	return 0;
}
