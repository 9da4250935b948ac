/* Finds the hierarchies of control groups. Pure: texts in, paths out, which are the caller's. Lines that are not
 * understood are passed over, as they are not ours. */
#include "sys/cgroup_find.h"

#include "base/buf.h"
#include "base/mem.h"

static const struct {
	const char *controller;
	uint32_t what;
} controllers[] = {
	{"memory", CGROUP_MEMORY},
	{"pids", CGROUP_PIDS},
	{"cpu", CGROUP_CPU},
	{"freezer", CGROUP_FREEZE},
};

static uint32_t controllers_of(struct str list)
{
	struct str word;
	uint32_t what = 0;

	while (list.n) {
		str_cut(list, ',', &word, &list);
		for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
			if (str_eqz(word, controllers[i].controller))
				what |= controllers[i].what;
	}
	return what;
}

/* mountinfo writes blanks and backslashes of paths as three octal digits. */
static char *unescape(struct str s)
{
	struct buf b = BUF_NULL;

	buf_reserve(&b, s.n);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && s.n - i > 3) {
			buf_addc(&b, (char)((s.p[i + 1] - '0') << 6 | (s.p[i + 2] - '0') << 3 | (s.p[i + 3] - '0')));
			i += 3;
		} else {
			buf_addc(&b, s.p[i]);
		}
	}
	return buf_steal(&b);
}

/* The caller's path in the hierarchy of these controllers (v2: 0): "4:memory:/a", "0::/a". */
static struct str own_path(struct str cgroup, int version, uint32_t what)
{
	struct str line, number, names, path;

	while (cgroup.n) {
		str_cut(cgroup, '\n', &line, &cgroup);
		if (!str_cut(line, ':', &number, &line) || !str_cut(line, ':', &names, &path))
			continue;
		if (version == 2 ? !names.n && str_eqz(number, "0") : (controllers_of(names) & what) != 0)
			return path;
	}
	return STR_NULL;
}

/* The mount shows the hierarchy from root on; what lies above cannot be named. */
static char *own_folder(const char *top, struct str root, struct str path)
{
	if (str_eqz(root, "/"))
		root = STR("");
	if (str_starts(path, root) && (path.n == root.n || path.p[root.n] == '/'))
		path = str_sub(path, root.n, SIZE_MAX);
	else
		path = STR("");
	if (str_eqz(path, "/"))
		path = STR("");
	return xasprintf("%s%.*s", top, STR_ARG(path));
}

/* "36 35 98:0 /root /top rw,noatime master:1 - cgroup cgroup rw,memory" */
static bool parse_mount(struct str line, struct str *root, struct str *top, struct str *type, struct str *options)
{
	ssize_t dash = str_find(line, STR(" - "));
	struct str fields = line, after;

	if (dash < 0)
		return false;
	for (int i = 0; i < 5; i++) {
		struct str *field = i == 3 ? root : top;

		if (!str_cut(fields, ' ', field, &fields))
			return false;
	}
	after = str_sub(line, (size_t)dash + 3, SIZE_MAX);
	return str_cut(after, ' ', type, &after) && str_cut(after, ' ', &after, options);
}

size_t cgroup_find(struct str mountinfo, struct str cgroup, struct cgroup_hierarchy ret[static CGROUP_HIERARCHIES_MAX])
{
	struct str line, root, top, type, options;
	uint32_t found = 0;
	size_t n = 0;

	while (mountinfo.n && n < CGROUP_HIERARCHIES_MAX) {
		struct cgroup_hierarchy h = {0};
		_cleanup_(freep) char *root_path = NULL;

		str_cut(mountinfo, '\n', &line, &mountinfo);
		if (!parse_mount(line, &root, &top, &type, &options))
			continue;
		h.version = str_eqz(type, "cgroup") ? 1 : str_eqz(type, "cgroup2") ? 2 : 0;
		h.what = h.version == 1 ? controllers_of(options) & ~found : 0;
		if (!h.version || (h.version == 1 && !h.what))
			continue;
		found |= h.what;
		root_path = unescape(root);
		h.top = unescape(top);
		h.own = own_folder(h.top, str_from(root_path), own_path(cgroup, h.version, h.what));
		ret[n++] = h;
	}
	return n;
}
