/* Any bytes as a frame of a box, and as a list of networks. What is passed goes where it may. */
#include "wire/ipfilter.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ipfilter f = {.resolver = {10, 0, 2, 3}, .gateway = {10, 0, 2, 2}};
	struct str frame = str_n(data, size);
	uint8_t answer[IPFILTER_ANSWER_MAX], to[16];
	enum ip_verdict verdict = ipfilter_judge(&f, frame);
	struct err err = ERR_NULL;
	struct ip_range r;

	if (verdict == IP_PASS && size >= 34 && data[12] == 0x08 && data[13] == 0x00) {
		ip_mapped(data + 14 + 16, to);
		assert(ipfilter_reaches(&f, to) || !memcmp(data + 14 + 16, f.resolver, 4));
		assert(data[14 + 16] != 127 && data[14] == 0x45);
	}
	if (ipfilter_answer(&f, frame, answer))
		assert(size >= 14 + 28 && !memcmp(answer + 42, data + 14, 28));
	if (ip_range_parse(&r, frame, &err) == 0)
		assert(r.bits <= 128 && ip_range_has(&r, r.addr));
	err_done(&err);
	return 0;
}
