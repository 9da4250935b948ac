/* Any bytes as YAML: what was accepted is JSON that its own parser takes. */
#include "wire/yaml.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = yaml_parse(str_n(data, size), &err);

	if (!j) {
		assert(err.msg);
		return 0;
	}
	json_write(&b, j);
	assert(json_check(buf_str(&b)));
	return 0;
}
