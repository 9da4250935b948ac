/* Layer versions by ARN, from the store. One that was deleted is found as long as a function has it. */
#include "gate/layers.h"

#include "model/layer.h"
#include "sys/log.h"

bool layer_get(struct gate *g, struct arena *a, struct str arn, struct layer *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct layer_version l;
	struct layer_name name;
	struct str doc;
	bool deleted;

	if (!layer_name_parse(arn, &name) || !name.version ||
	    store_get_layer(store_reader(g->store), a, name.name, name.version, &doc, &deleted) != 0)
		return false;
	j = json_parse(doc, &err);
	if (!j || layer_from_json(&l, j, a, &err) < 0) {
		log_error("layer %.*s: its stored document is unreadable: %s", STR_ARG(arn), err.msg ? err.msg : "");
		return false;
	}
	if (!str_eq(l.arn, arn))
		return false;
	*ret = (struct layer){.arn = arena_str(a, l.arn),
			      .sha256 = arena_str(a, l.sha256),
			      .blob = arena_str(a, l.blob),
			      .size = l.size};
	return true;
}
