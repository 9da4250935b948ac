/* Records of functions, read from the store: nothing is kept here. A record that cannot be read is logged and counts
 * as absent. */
#include "gate/records.h"

#include "sys/log.h"

static struct record *find(struct gate *g, struct arena *a, enum record_kind kind, struct str function, struct str key)
{
	struct record *rec = NULL;
	int r = store_get_record(store_reader(g->store), a, kind, function, key, &rec);

	if (r < 0)
		log_error("function %.*s: a record cannot be read: %s", STR_ARG(function), strerror(-r));
	return r == 0 ? rec : NULL;
}

static void unreadable(struct str function, const char *what, const struct err *err)
{
	log_error("function %.*s: its stored %s is unreadable: %s", STR_ARG(function), what, err->msg ? err->msg : "");
}

bool record_alias(struct gate *g, struct arena *a, struct str function, struct str alias, struct alias *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct record *rec = find(g, a, RECORD_ALIAS, function, alias);
	_cleanup_json_ json_t *j = rec ? json_parse(rec->doc, &err) : NULL;

	if (!rec)
		return false;
	if (!j || alias_from_json(ret, j, a, &err) < 0) {
		unreadable(function, "alias", &err);
		return false;
	}
	ret->name = arena_str(a, ret->name);
	ret->version = arena_str(a, ret->version);
	ret->description = arena_str(a, ret->description);
	ret->revision = arena_str(a, ret->revision);
	ret->other = arena_str(a, ret->other);
	ret->policy = arena_str(a, ret->policy);
	return true;
}

static void keep(struct arena *a, struct str *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		list[i] = arena_str(a, list[i]);
}

bool record_url(struct gate *g, struct arena *a, struct str function, struct str qualifier, struct url_conf *ret)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct record *rec = find(g, a, RECORD_URL, function, qualifier);
	_cleanup_json_ json_t *j = rec ? json_parse(rec->doc, &err) : NULL;

	if (!rec)
		return false;
	if (!j || url_conf_from_json(ret, j, a, &err) < 0) {
		unreadable(function, "URL configuration", &err);
		return false;
	}
	keep(a, ret->cors.origins, ret->cors.n_origins);
	keep(a, ret->cors.methods, ret->cors.n_methods);
	keep(a, ret->cors.headers, ret->cors.n_headers);
	keep(a, ret->cors.expose, ret->cors.n_expose);
	return true;
}

bool record_reserved(struct gate *g, struct str function, unsigned *ret)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct record *rec = find(g, &a, RECORD_RESERVED, function, STR(""));

	if (rec)
		*ret = rec->number;
	return rec != NULL;
}

static void each_record(struct gate *g, struct arena *a, enum record_kind kind, struct str function,
			struct record **ret, size_t *n)
{
	bool truncated;
	int r = store_list_records(store_reader(g->store), a, kind, function, STR(""), UINT32_MAX - 1, ret, n,
				   &truncated);

	if (r != 0)
		log_error("records of functions cannot be listed: %s", strerror(-r));
	if (r != 0)
		*n = 0;
}

void record_each_reserved(struct gate *g, void (*each)(void *arg, struct str function, unsigned n), void *arg)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct record *all;
	size_t n;

	each_record(g, &a, RECORD_RESERVED, STR(""), &all, &n);
	for (size_t i = 0; i < n; i++)
		each(arg, all[i].function, all[i].number);
}

void record_each_provisioned(struct gate *g, struct str function,
			     void (*each)(void *arg, struct str function, struct str qualifier, unsigned n), void *arg)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	struct record *all;
	size_t n;

	each_record(g, &a, RECORD_PROVISIONED, function, &all, &n);
	for (size_t i = 0; i < n; i++)
		each(arg, all[i].function, all[i].key, all[i].number);
}
