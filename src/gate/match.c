/* Paths against patterns: segment by segment, {} stands for one that is not empty. Patterns are constant; a path may
 * be any bytes: a broken percent escape fits nothing. Keeps no state. */
#include "gate/match.h"

static struct str without_last_slash(struct str s)
{
	if (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

static bool decode_arg(struct str segment, struct arena *a, struct str *ret)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (segment.n == 0 || !uri_decode(&b, segment, false))
		return false;
	*ret = arena_str(a, buf_str(&b));
	return true;
}

/* Compares first and decodes after, so that a path that fits nothing costs the arena nothing. */
static bool fits(struct str pattern, struct str path, struct str segments[static MATCH_ARGS], size_t *n)
{
	bool more_pattern = true, more_path = true;

	*n = 0;
	while (more_pattern && more_path) {
		struct str want, got;

		more_pattern = str_cut(pattern, '/', &want, &pattern);
		more_path = str_cut(path, '/', &got, &path);
		if (!str_eqz(want, "{}")) {
			if (!str_eq(want, got))
				return false;
		} else if (got.n == 0 || *n == MATCH_ARGS) {
			return false;
		} else {
			segments[(*n)++] = got;
		}
	}
	return more_pattern == more_path;
}

const struct operation *match_operation(const struct operation *rows, size_t n, struct str method, struct str path,
					struct arena *a, struct str args[static MATCH_ARGS], bool *known)
{
	struct str segments[MATCH_ARGS];
	size_t n_segments;

	if (known)
		*known = false;
	path = without_last_slash(path);
	for (size_t i = 0; i < n; i++) {
		bool decoded = true;

		if (!fits(without_last_slash(str_from(rows[i].path)), path, segments, &n_segments))
			continue;
		if (known)
			*known = true;
		if (!str_eqz(method, rows[i].method))
			continue;
		for (size_t k = 0; k < n_segments && decoded; k++)
			decoded = decode_arg(segments[k], a, &args[k]);
		return decoded ? &rows[i] : NULL;
	}
	return NULL;
}
