/* Usage in SQLite: one row an invocation, clustered by time, and the sums of each UTC day (by function and device) kept
 * beside them in the same transaction. A row that is there already (same moment, same request) is not counted twice. */
#include "store/store_sqlite.h"

static int function_id(struct sq *c, struct str name, int64_t *ret)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, "SELECT id FROM usage_function WHERE name = ?", "s", name);

	if (r == 0)
		r = sq_step(c, st);
	if (r > 0)
		*ret = sq_int(st, 0);
	if (r)
		return MIN(r, 0);
	r = sq_exec(c, "INSERT INTO usage_function (name) VALUES (?)", "s", name);
	*ret = sqlite3_last_insert_rowid(c->db);
	return r;
}

/* 0: none. */
static int device_id(struct sq *c, struct str name, int64_t *ret)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r;

	*ret = 0;
	if (!name.n)
		return 0;
	r = sq_query(c, &st, "SELECT id FROM usage_device WHERE name = ?", "s", name);
	if (r == 0)
		r = sq_step(c, st);
	if (r > 0)
		*ret = sq_int(st, 0);
	if (r)
		return MIN(r, 0);
	r = sq_exec(c, "INSERT INTO usage_device (name) VALUES (?)", "s", name);
	*ret = sqlite3_last_insert_rowid(c->db);
	return r;
}

static int64_t clamp(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static int add_to_day(struct sq *c, int64_t function, int64_t device, const struct usage *u)
{
	struct usage_sum one = usage_one(u);

	return sq_exec(c,
		       "INSERT INTO usage_day (day, function_id, device_id, invocations, errors, billed_ms, mb_ms, "
		       "device_slice_ms,"
		       " cost_picousd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (day, function_id, device_id) DO "
		       "UPDATE SET"
		       " invocations = invocations + excluded.invocations, errors = errors + excluded.errors,"
		       " billed_ms = billed_ms + excluded.billed_ms, mb_ms = mb_ms + excluded.mb_ms,"
		       " device_slice_ms = device_slice_ms + excluded.device_slice_ms,"
		       " cost_picousd = cost_picousd + excluded.cost_picousd",
		       "iiiiiiiii", usage_day(u->at_ms), function, device, clamp(one.invocations), clamp(one.errors),
		       clamp(one.billed_ms), clamp(one.mb_ms), clamp(one.device_slice_ms), clamp(one.cost_picousd));
}

int sq_add_usage(struct sq *c, const struct usage *u)
{
	int64_t function = 0, device = 0;
	int r = function_id(c, u->function, &function);

	if (r == 0)
		r = device_id(c, u->device, &device);
	if (r < 0)
		return r;
	r = sq_exec(
		c,
		"INSERT INTO usage (at_ms, request_id, function_id, version, queue_us, start_us, init_us, run_us,"
		" billed_ms, memory_mb, max_memory_mb, status, device_slice_ms, cost_picousd, device_id, slots, rung)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		"isisiiiiiiiiiiiis", u->at_ms, u->request_id, function, u->version, clamp(u->queue_us),
		clamp(u->start_us), clamp(u->init_us), clamp(u->run_us), clamp(u->billed_ms), (int64_t)u->memory_mb,
		(int64_t)u->max_memory_mb, (int64_t)u->status, clamp(u->device_slice_ms), clamp(u->cost_picousd),
		device, (int64_t)u->slots, u->rung);
	if (r < 0)
		return r;
	return sq_changes(c) ? add_to_day(c, function, device, u) : 0;
}

static void add_sums(struct usage_sums *s, sqlite3_stmt *st)
{
	struct usage_sum one = {.function = sq_view(st, 0),
				.invocations = (uint64_t)sq_int(st, 1),
				.errors = (uint64_t)sq_int(st, 2),
				.billed_ms = (uint64_t)sq_int(st, 3),
				.mb_ms = (uint64_t)sq_int(st, 4),
				.device_slice_ms = (uint64_t)sq_int(st, 5),
				.cost_picousd = (uint64_t)sq_int(st, 6),
				.device = sq_view(st, 7)};

	usage_sums_add(s, &one);
}

static int sum_days(struct sq *c, struct usage_sums *s, int64_t first, int64_t last)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT f.name, d.invocations, d.errors, d.billed_ms, d.mb_ms, d.device_slice_ms, "
			 "d.cost_picousd, v.name"
			 " FROM usage_day d JOIN usage_function f ON f.id = d.function_id"
			 " JOIN usage_device v ON v.id = d.device_id"
			 " WHERE d.day >= ? AND d.day < ?",
			 "ii", first, last);

	while (r >= 0 && (r = sq_step(c, st)) > 0)
		add_sums(s, st);
	return r;
}

static int sum_rows(struct sq *c, struct usage_sums *s, int64_t from_ms, int64_t to_ms)
{
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT f.name, 1, u.status <> ?, u.billed_ms, u.billed_ms * u.memory_mb, u.device_slice_ms,"
			 " u.cost_picousd, v.name FROM usage u CROSS JOIN usage_function f ON f.id = u.function_id"
			 " CROSS JOIN usage_device v ON v.id = u.device_id"
			 " WHERE u.at_ms >= ? AND u.at_ms < ?",
			 "iii", (int64_t)USAGE_OK, from_ms, to_ms);

	while (r >= 0 && (r = sq_step(c, st)) > 0)
		add_sums(s, st);
	return r;
}

int sq_sum_usage(struct store_reader *reader, struct arena *a, int64_t from_ms, int64_t to_ms, struct usage_sum **ret,
		 size_t *n)
{
	struct sq *c = sq_of(reader);
	struct usage_sums sums = {.arena = a};
	struct usage_span span = usage_span(from_ms, to_ms);
	int r;

	/* One snapshot for the three queries. */
	r = sq_exec(c, "BEGIN", "");
	if (r == 0)
		r = sum_days(c, &sums, span.first_day, span.last_day);
	if (r == 0)
		r = sum_rows(c, &sums, span.head_from, span.head_to);
	if (r == 0)
		r = sum_rows(c, &sums, span.tail_from, span.tail_to);
	if (c->db && !sqlite3_get_autocommit(c->db))
		sq_exec(c, "COMMIT", "");
	usage_sums_done(&sums, ret, n);
	return r;
}

int sq_list_usage(struct store_reader *reader, struct arena *a, struct str function, int64_t before_ms, uint32_t max,
		  struct usage **ret, size_t *n)
{
	static const char of_one[] =
		"SELECT f.name, u.request_id, u.version, u.at_ms, u.queue_us, u.start_us, u.init_us,"
		" u.run_us, u.billed_ms, u.memory_mb, u.max_memory_mb, u.status, u.device_slice_ms,"
		" u.cost_picousd, v.name, u.slots, u.rung FROM usage_function f"
		" CROSS JOIN usage u ON u.function_id = f.id CROSS JOIN usage_device v ON v.id = u.device_id"
		" WHERE f.name = ? AND u.at_ms < ? ORDER BY u.at_ms DESC, u.request_id DESC LIMIT ?";
	static const char of_all[] =
		"SELECT f.name, u.request_id, u.version, u.at_ms, u.queue_us, u.start_us, u.init_us,"
		" u.run_us, u.billed_ms, u.memory_mb, u.max_memory_mb, u.status, u.device_slice_ms,"
		" u.cost_picousd, v.name, u.slots, u.rung FROM usage u"
		" CROSS JOIN usage_function f ON f.id = u.function_id CROSS JOIN usage_device v ON v.id = u.device_id"
		" WHERE ? = '' AND u.at_ms < ? ORDER BY u.at_ms DESC, u.request_id DESC LIMIT ?";
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st, function.n ? of_one : of_all, "sii", function, before_ms, (int64_t)max);

	*ret = NULL;
	*n = 0;
	while (r >= 0 && (r = sq_step(c, st)) > 0) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		(*ret)[(*n)++] = (struct usage){.function = sq_str(st, 0, a),
						.request_id = sq_str(st, 1, a),
						.version = sq_str(st, 2, a),
						.at_ms = sq_int(st, 3),
						.queue_us = (uint64_t)sq_int(st, 4),
						.start_us = (uint64_t)sq_int(st, 5),
						.init_us = (uint64_t)sq_int(st, 6),
						.run_us = (uint64_t)sq_int(st, 7),
						.billed_ms = (uint64_t)sq_int(st, 8),
						.memory_mb = (uint32_t)sq_int(st, 9),
						.max_memory_mb = (uint32_t)sq_int(st, 10),
						.status = (enum usage_status)sq_int(st, 11),
						.device_slice_ms = (uint64_t)sq_int(st, 12),
						.cost_picousd = (uint64_t)sq_int(st, 13),
						.device = sq_str(st, 14, a),
						.slots = (uint32_t)sq_int(st, 15),
						.rung = sq_str(st, 16, a)};
	}
	return r;
}
