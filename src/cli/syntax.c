/* Syntax errors, by the interpreters themselves: one Python for all Python files, a Node.js for each JavaScript file.
 * Where the interpreter is missing nothing is found. Nothing of the code is run. */
#include "cli/syntax.h"

#include "base/mem.h"
#include "cli/program.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_MS  20000
#define FILES_MAX 500
#define DEPTH_MAX 16

static const char check_python[] = "import sys\n"
				   "bad = 0\n"
				   "for path in sys.argv[1:]:\n"
				   "    try:\n"
				   "        with open(path, 'rb') as f:\n"
				   "            compile(f.read(), path, 'exec', dont_inherit=True)\n"
				   "    except FileNotFoundError:\n"
				   "        pass\n"
				   "    except SyntaxError as e:\n"
				   "        bad = 1\n"
				   "        print(f'{path}:{e.lineno}: {type(e).__name__}: {e.msg}')\n"
				   "        if e.text:\n"
				   "            line = e.text.rstrip()\n"
				   "            at = max((e.offset or 1) - 1 - (len(line) - len(line.lstrip())), 0)\n"
				   "            print('    ' + line.lstrip() + '\\n    ' + ' ' * at + '^')\n"
				   "    except Exception as e:\n"
				   "        bad = 1\n"
				   "        print(f'{path}: {type(e).__name__}: {e}')\n"
				   "sys.exit(bad)\n";

static const char *first_there(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

static bool check_python_files(const char *const *paths, size_t n, struct buf *out)
{
	static const char *const pythons[] = {"/usr/bin/python3.11", "/usr/bin/python3"};
	const char *python = first_there(pythons, ARRAY_SIZE(pythons));
	_cleanup_(freep) const char **argv = xnew_n(const char *, n + 8);
	size_t k = 0;

	if (!python || n == 0)
		return true;
	argv[k++] = python;
	argv[k++] = "-I";
	argv[k++] = "-S";
	argv[k++] = "-B";
	argv[k++] = "-c";
	argv[k++] = check_python;
	for (size_t i = 0; i < n; i++)
		argv[k++] = paths[i];
	return program_run(argv, LIMIT_MS, out) != 1;
}

/* What `node --check` says, without its stack. */
static void add_node_error(struct buf *out, struct str said)
{
	struct str line;

	while (said.n > 0) {
		str_cut(said, '\n', &line, &said);
		if (str_starts(line, STR("    at ")) || str_starts(line, STR("Node.js v")) || line.n == 0)
			continue;
		buf_add_str(out, line);
		buf_addc(out, '\n');
	}
}

static bool check_javascript_file(const char *path, struct buf *out)
{
	static const char *const nodes[] = {"/usr/bin/node", "/usr/local/bin/node"};
	const char *node = first_there(nodes, ARRAY_SIZE(nodes));
	const char *argv[] = {node, "--check", path, NULL};
	_cleanup_(buf_done) struct buf said = BUF_NULL;

	if (!node || access(path, R_OK) < 0 || program_run(argv, LIMIT_MS, &said) != 1)
		return true;
	add_node_error(out, buf_str(&said));
	return false;
}

bool syntax_check(const char *const *paths, size_t n, struct buf *out)
{
	_cleanup_(freep) const char **python = xnew_n(const char *, n + 1);
	size_t n_python = 0;
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		struct str s = str_from(paths[i]);

		if (str_ends(s, STR(".py")))
			python[n_python++] = paths[i];
		else if (str_ends(s, STR(".js")) || str_ends(s, STR(".mjs")) || str_ends(s, STR(".cjs")))
			ok = check_javascript_file(paths[i], out) && ok;
	}
	return check_python_files(python, n_python, out) && ok;
}

struct found {
	char *paths[FILES_MAX];
	size_t n;
};

static void collect(struct found *f, const char *path, unsigned depth)
{
	static const char *const others[] = {"node_modules", "site-packages", "__pycache__", "python"};
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (f->n >= FILES_MAX || depth > DEPTH_MAX || lstat(path, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		struct str s = str_from(path);

		/* One Python reads all files, but each of JavaScript is a Node.js: only those at the top. */
		if (str_ends(s, STR(".py")) || (depth <= 1 && (str_ends(s, STR(".js")) || str_ends(s, STR(".mjs")))))
			f->paths[f->n++] = xstrdup(path);
		return;
	}
	d = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *below = xasprintf("%s/%s", path, e->d_name);
		bool skip = e->d_name[0] == '.';

		for (size_t i = 0; i < ARRAY_SIZE(others) && !skip; i++)
			skip = strcmp(e->d_name, others[i]) == 0;
		if (!skip)
			collect(f, below, depth + 1);
	}
	if (d)
		closedir(d);
}

bool syntax_check_tree(const char *path, struct buf *out)
{
	_cleanup_(freep) struct found *f = xnew(struct found);
	bool ok;

	collect(f, path, 0);
	ok = syntax_check((const char *const *)f->paths, f->n, out);
	for (size_t i = 0; i < f->n; i++)
		free(f->paths[i]);
	return ok;
}
