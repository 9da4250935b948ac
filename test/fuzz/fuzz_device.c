/* Any bytes as a device's document, as a line of declared devices and as a document of them; what was read writes and
 * reads alike, and what is believed is within bounds. */
#include "model/device.h"

#include <assert.h>

static void round_trip(const struct device *d, struct arena *a)
{
	_cleanup_json_ json_t *written = device_to_json(d), *again = NULL;
	struct device e;

	assert(device_from_json(&e, written, a, NULL) == 0);
	again = device_to_json(&e);
	assert(json_equal(written, again));
	assert(device_equal(d, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL, other = ERR_NULL, third = ERR_NULL, last = ERR_NULL;
	_cleanup_json_ json_t *j = json_parse(in, &err);
	struct device *list, d;
	size_t n;

	if (j && device_from_json(&d, j, &a, &other) == 0) {
		round_trip(&d, &a);
		/* What a gate believes it can reckon with. */
		if (device_check(&d, &other) == 0)
			assert(d.n_mig <= DEVICE_SLOTS && d.id.n <= DEVICE_TEXT_MAX && d.memory_mb <= 16u << 20);
	}
	if (j && devices_declared_from_json(j, &a, &list, &n, &third) == 0)
		for (size_t i = 0; i < n; i++)
			round_trip(&list[i], &a);
	if (devices_declared_parse(in, &a, &list, &n, &last) == 0)
		for (size_t i = 0; i < n; i++)
			round_trip(&list[i], &a);
	return 0;
}
