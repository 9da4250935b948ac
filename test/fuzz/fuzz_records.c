/* Any bytes as a stored alias, URL configuration, layer, or function with tags; what was read writes and reads alike.
 */
#include "model/alias.h"
#include "model/layer.h"
#include "model/options.h"
#include "model/url_conf.h"

#include <assert.h>

static void alias(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *written = NULL, *again = NULL;
	struct alias x, y;

	if (alias_from_json(&x, j, a, &err))
		return;
	written = alias_to_json(&x);
	assert(alias_from_json(&y, written, a, NULL) == 0);
	again = alias_to_json(&y);
	assert(json_equal(written, again));
	alias_pick(&y, 1u << 31);
}

static void url_conf(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *written = NULL, *again = NULL;
	struct url_conf x, y;

	if (url_conf_from_json(&x, j, a, &err))
		return;
	written = url_conf_to_json(&x);
	assert(url_conf_from_json(&y, written, a, NULL) == 0);
	again = url_conf_to_json(&y);
	assert(json_equal(written, again));
}

static void layer(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *written = NULL, *again = NULL;
	struct layer_version x, y;
	struct layer_name name;

	layer_name_parse(json_get_str(j, "arn", STR("")), &name);
	if (layer_from_json(&x, j, a, &err))
		return;
	written = layer_to_json(&x);
	if (!x.version)
		return;
	assert(layer_from_json(&y, written, a, NULL) == 0);
	again = layer_to_json(&y);
	assert(json_equal(written, again));
}

static void options(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct function_options o;
	struct function f;

	if (function_from_json(&f, j, a, NULL) == 0 && function_options_parse(&o, &f, &err) == 0)
		assert(o.concurrency >= 1 && o.concurrency <= OPTIONS_CONCURRENCY_MAX && o.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = json_parse(str_n(data, size), NULL);

	if (!j)
		return 0;
	alias(j, &a);
	url_conf(j, &a);
	layer(j, &a);
	options(j, &a);
	return 0;
}
