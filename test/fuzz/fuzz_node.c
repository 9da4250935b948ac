/* Any bytes as a stored node, a stored token, or the text of a token; what was read writes and reads alike. */
#include "model/node.h"

#include <assert.h>

static void record(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *written = NULL, *again = NULL;
	struct node_record x, y;

	if (node_record_from_json(&x, j, a, &err)) {
		assert(err.msg);
		return;
	}
	assert(node_name_ok(x.name) && node_key_ok(x.key) && x.n_labels <= NODE_LABELS_MAX);
	written = node_record_to_json(&x);
	assert(node_record_from_json(&y, written, a, NULL) == 0);
	again = node_record_to_json(&y);
	assert(json_equal(written, again));
}

static void token(const json_t *j, struct arena *a)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *written = NULL, *again = NULL;
	struct node_token x, y;

	if (node_token_from_json(&x, j, a, &err)) {
		assert(err.msg);
		return;
	}
	written = node_token_to_json(&x);
	assert(node_token_from_json(&y, written, a, NULL) == 0);
	again = node_token_to_json(&y);
	assert(json_equal(written, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_json_ json_t *j = json_parse(str_n(data, size), NULL);
	char hash[2 * SHA256_SIZE + 1];
	struct str id;

	if (node_token_parse(str_n(data, size), &id, hash))
		assert(id.n == NODE_TOKEN_ID_SIZE - 1 && strlen(hash) == sizeof(hash) - 1);
	if (!j)
		return 0;
	record(j, &a);
	token(j, &a);
	return 0;
}
