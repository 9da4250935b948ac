/* Any bytes as a function's answer behind a URL, and as a request's parts: the event is always one JSON document. */
#include "model/url_event.h"

#include "wire/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size), part[6];
	struct arena a = ARENA_NULL;
	struct err err = ERR_NULL;
	struct url_answer an;
	struct buf b = BUF_NULL;
	struct kv headers[3];
	struct url_request q;

	if (url_answer_read(&an, in, &a, &err) == 0) {
		assert(an.status >= 200 && an.status <= 599 && an.n_headers > 0);
		for (size_t i = 0; i < an.n_headers; i++)
			assert(url_header_ok(an.headers[i].k, an.headers[i].v));
	}
	buf_done(&an.body);
	err_done(&err);
	for (size_t i = 0; i < ARRAY_SIZE(part); i++)
		str_cut(in, '\n', &part[i], &in);
	headers[0] = (struct kv){part[2], part[3]};
	headers[1] = (struct kv){STR("Cookie"), part[4]};
	headers[2] = (struct kv){STR("content-type"), STR("text/plain")};
	q = (struct url_request){.method = STR("GET"),
				 .path = part[0],
				 .query = part[1],
				 .host = part[5],
				 .headers = headers,
				 .n_headers = ARRAY_SIZE(headers),
				 .body = in,
				 .now_ms = (int64_t)size * 1000000007};
	url_event_write(&b, &q);
	assert(json_check(buf_str(&b)));
	buf_done(&b);
	arena_done(&a);
	return 0;
}
