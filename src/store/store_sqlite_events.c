/* Asynchronous events in SQLite, found by state and due time. */
#include "store/store_sqlite.h"

int sq_put_event(struct sq *c, const struct event *e)
{
	return sq_exec(c,
		       "INSERT OR REPLACE INTO event (id, function, state, attempts, created_ms, due_ms, trace, source,"
		       " reason, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "ssiiiisssb", e->id, e->function, (int64_t)e->state, (int64_t)e->attempts, e->created_ms,
		       e->due_ms, e->trace, e->source, e->reason, e->payload);
}

int sq_delete_event(struct sq *c, struct str id)
{
	return sq_exec(c, "DELETE FROM event WHERE id = ?", "s", id);
}

int sq_set_event(struct sq *c, const struct op_set_event *e)
{
	return sq_exec(c, "UPDATE event SET state = ?, attempts = ?, due_ms = ?, reason = ? WHERE id = ?", "iiiss",
		       (int64_t)e->state, (int64_t)e->attempts, e->due_ms, e->reason, e->id);
}

int sq_redrive_events(struct sq *c, const struct op_redrive *o)
{
	return sq_exec(c,
		       "UPDATE event SET state = ?1, attempts = 0, due_ms = ?2 WHERE state = ?3"
		       " AND (?4 = '' OR id = ?4)"
		       " AND (?5 = '' OR function = ?5 OR substr(function, 1, length(?5) + 1) = ?5 || ':')",
		       "iiiss", (int64_t)EVENT_QUEUED, o->now_ms, (int64_t)EVENT_FAILED, o->id, o->function);
}

#define EVENT_COLUMNS "id, function, state, attempts, created_ms, due_ms, trace, source, reason, payload"

static void read_event(sqlite3_stmt *st, struct arena *a, struct event *e)
{
	*e = (struct event){.id = sq_str(st, 0, a),
			    .function = sq_str(st, 1, a),
			    .state = (enum event_state)sq_int(st, 2),
			    .attempts = (uint32_t)sq_int(st, 3),
			    .created_ms = sq_int(st, 4),
			    .due_ms = sq_int(st, 5),
			    .trace = sq_str(st, 6, a),
			    .source = sq_str(st, 7, a),
			    .reason = sq_str(st, 8, a),
			    .payload = sq_str(st, 9, a)};
}

static int read_events(struct sq *c, sqlite3_stmt *st, struct arena *a, struct event **ret, size_t *n)
{
	int r;

	while ((r = sq_step(c, st)) > 0) {
		*ret = arena_grow(a, *ret, *n, sizeof(**ret));
		read_event(st, a, &(*ret)[(*n)++]);
	}
	return r;
}

int sq_due_events(struct store_reader *reader, struct arena *a, int64_t until_ms, uint32_t max, struct event **ret,
		  size_t *n)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT " EVENT_COLUMNS " FROM event WHERE state = ? AND due_ms <= ?"
			 " ORDER BY due_ms, rowid LIMIT ?",
			 "iii", (int64_t)EVENT_QUEUED, until_ms, (int64_t)max);

	*ret = NULL;
	*n = 0;
	return r < 0 ? r : read_events(c, st, a, ret, n);
}

int sq_next_event_due(struct store_reader *reader, int64_t *due_ms)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING, "SELECT due_ms FROM event WHERE state = ? ORDER BY due_ms LIMIT 1", "i",
		       (int64_t)EVENT_QUEUED);

	if (r)
		return r;
	*due_ms = sq_int(st, 0);
	return 0;
}

int sq_list_events(struct store_reader *reader, struct arena *a, enum event_state state, struct str function,
		   uint32_t max, struct event **ret, size_t *n)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_query(c, &st,
			 "SELECT " EVENT_COLUMNS " FROM event WHERE state = ?1"
			 " AND (?2 = '' OR function = ?2 OR substr(function, 1, length(?2) + 1) = ?2 || ':')"
			 " ORDER BY created_ms DESC, rowid DESC LIMIT ?3",
			 "isi", (int64_t)state, function, (int64_t)max);

	*ret = NULL;
	*n = 0;
	return r < 0 ? r : read_events(c, st, a, ret, n);
}

int sq_get_event(struct store_reader *reader, struct arena *a, struct str id, struct event **ret)
{
	struct sq *c = sq_of(reader);
	_cleanup_(sq_resetp) sqlite3_stmt *st = NULL;
	int r = sq_row(c, &st, STORE_E_MISSING, "SELECT " EVENT_COLUMNS " FROM event WHERE id = ?", "s", id);

	if (r)
		return r;
	*ret = arena_new(a, struct event);
	read_event(st, a, *ret);
	return 0;
}
