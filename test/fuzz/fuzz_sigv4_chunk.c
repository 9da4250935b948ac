/* Any bytes as a body: the first byte chooses the form, the second the pieces. Fed at once and in pieces, the filter
 * must say and give the same. */
#include "wire/sigv4_chunk.h"

#include <assert.h>

struct outcome {
	enum body_error error;
	struct buf out, checksum;
};

static void run(const struct body_filter_conf *c, const uint8_t *in, size_t n, size_t step, struct outcome *ret)
{
	struct body_filter *f = body_filter_new(c);

	while (n > 0 && !ret->error) {
		size_t piece = MIN(step, n);

		while (piece > 0 && !ret->error) {
			const uint8_t *out;
			size_t used, out_n;

			ret->error = body_filter_feed(f, in, piece, &used, &out, &out_n);
			assert(used <= piece && (ret->error || used > 0));
			buf_add(&ret->out, out, out_n);
			in += used;
			n -= used;
			piece -= used;
		}
		step = step * 7 % 61 + 1;
	}
	if (!ret->error)
		ret->error = body_filter_finish(f);
	assert(ret->error || c->decoded_length < 0 || ret->out.n == (uint64_t)c->decoded_length);
	buf_adds(&ret->checksum, body_filter_checksum(f));
	body_filter_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct body_filter_conf c = {
		.timestamp = STR("20130524T000000Z"),
		.scope = STR("20130524/us-east-1/s3/aws4_request"),
		.seed_signature = STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
		.decoded_length = -1,
	};
	struct outcome whole = {0}, pieces = {0};

	if (size < 2)
		return 0;
	c.form = (enum body_form)(data[0] & 3);
	c.checksum = (enum digest_kind)((data[0] >> 2 & 7) % 7);
	c.checksum_in_trailer = data[0] & 32;
	c.decoded_length = data[0] & 64 ? data[1] : -1;
	run(&c, data + 2, size - 2, SIZE_MAX, &whole);
	run(&c, data + 2, size - 2, data[1] % 61 + 1, &pieces);
	assert(whole.error == pieces.error);
	/* A plain body that is too long is refused by the piece that crosses the end. */
	assert(whole.error == BODY_E_LENGTH || str_eq(buf_str(&whole.out), buf_str(&pieces.out)));
	assert(str_eq(buf_str(&whole.checksum), buf_str(&pieces.checksum)));
	buf_done(&whole.out);
	buf_done(&whole.checksum);
	buf_done(&pieces.out);
	buf_done(&pieces.checksum);
	return 0;
}
