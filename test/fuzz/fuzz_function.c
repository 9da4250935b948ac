/* Any bytes as a stored function; what was read writes and reads alike. The JSON checker accepts what the parser does.
 */
#include "model/function.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = json_parse(in, &err), *written = NULL, *again = NULL;
	struct function_ref ref;
	struct function f, g;

	function_ref_parse(in, &ref);
	if (!json_check(in)) {
		assert(!j);
		return 0;
	}
	if (!j || function_from_json(&f, j, &a, &err))
		return 0;
	written = function_to_json(&f);
	assert(function_from_json(&g, written, &a, NULL) == 0);
	again = function_to_json(&g);
	assert(json_equal(written, again));
	return 0;
}
