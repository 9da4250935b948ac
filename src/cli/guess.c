/* Looking at code: which files lie there, and what they define. One finder a runtime, asked in order; the first that
 * finds something wins, so a folder with a Python handler and a package.json is Python. Reads files and, for a .zip,
 * makes a temporary folder that is gone when the function returns. */
#include "cli/guess.h"

#include "base/buf.h"
#include "base/mem.h"
#include "cli/package.h"
#include "sys/archive.h"
#include "sys/file.h"
#include "wire/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_MAX ((size_t)16 << 20)

static const char *const python_files[] = {"lambda_function.py", "handler.py", "app.py", "main.py"};
static const char *const nodejs_files[] = {"index.mjs",  "index.js", "index.cjs", "handler.mjs",
					   "handler.js", "app.mjs",  "app.js"};
static const char *const functions[] = {"lambda_handler", "handler", "lambdaHandler"};

bool guess_is_entry(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(python_files); i++)
		if (strcmp(name, python_files[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(nodejs_files); i++)
		if (strcmp(name, nodejs_files[i]) == 0)
			return true;
	return strcmp(name, "bootstrap") == 0;
}

static bool is_file(const char *path, bool executable)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (!executable || st.st_mode & 0111);
}

static bool file_matches(const char *path, const char *pattern, int flags)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	regex_t re;
	bool found;

	if (file_read(path, SOURCE_MAX, &b) < 0 || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB | flags) != 0)
		return false;
	found = regexec(&re, buf_cstr(&b), 0, NULL, 0) == 0;
	regfree(&re);
	return found;
}

/* "index.js" and "handler" make "index.handler". */
static char *join_handler(const char *path, const char *function)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');

	return xasprintf("%.*s.%s", (int)(dot ? dot - base : (ssize_t)strlen(base)), base, function);
}

/* ---- one finder a runtime: looks at a file or a folder, false when it is not that ---- */

static bool python_file(const char *path, struct guess *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		_cleanup_(freep) char *pattern =
			xasprintf("^((async +)?def +%s *\\(|%s *=([^=]|$))", functions[i], functions[i]);

		if (!file_matches(path, pattern, REG_NEWLINE))
			continue;
		g->handler = join_handler(path, functions[i]);
		return true;
	}
	return false;
}

static bool nodejs_file(const char *path, struct guess *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		const char *f = functions[i];
		_cleanup_(freep) char *line = xasprintf("(^|[^[:alnum:]_])exports\\.%s *=|^[ \t]*export +(async +)?"
							"(const|let|var|function)[* ]+%s([^[:alnum:]_]|$)",
							f, f);
		_cleanup_(freep) char *braces =
			xasprintf("(module\\.exports *= *|export *)\\{([^}]*[^[:alnum:]_])?%s[^[:alnum:]_]", f);

		if (!file_matches(path, line, REG_NEWLINE) && !file_matches(path, braces, 0))
			continue;
		g->handler = join_handler(path, f);
		return true;
	}
	return false;
}

static bool in_files(const char *dir, const char *const *names, size_t n, bool (*look)(const char *, struct guess *),
		     struct guess *g)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", dir, names[i]);

		if (is_file(path, false) && look(path, g))
			return true;
	}
	return false;
}

/* The only file of a folder with this ending, when there is exactly one. */
static char *only_file(const char *dir, const char *ending)
{
	_cleanup_(freep) char *found = NULL;
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!str_ends(str_from(e->d_name), str_from(ending)))
			continue;
		if (found) {
			closedir(d);
			return NULL;
		}
		found = xasprintf("%s/%s", dir, e->d_name);
	}
	if (d)
		closedir(d);
	return steal(&found);
}

static bool find_python(const char *path, bool dir, struct guess *g)
{
	_cleanup_(freep) char *only = NULL;

	if (!dir)
		return str_ends(str_from(path), STR(".py")) && python_file(path, g);
	if (in_files(path, python_files, ARRAY_SIZE(python_files), python_file, g))
		return true;
	only = only_file(path, ".py");
	return only && python_file(only, g);
}

static bool find_nodejs(const char *path, bool dir, struct guess *g)
{
	struct str s = str_from(path);

	if (!dir)
		return (str_ends(s, STR(".js")) || str_ends(s, STR(".mjs")) || str_ends(s, STR(".cjs"))) &&
		       nodejs_file(path, g);
	return in_files(path, nodejs_files, ARRAY_SIZE(nodejs_files), nodejs_file, g);
}

static bool find_bootstrap(const char *path, bool dir, struct guess *g)
{
	_cleanup_(freep) char *inside = dir ? xasprintf("%s/bootstrap", path) : xstrdup(path);

	if (!str_ends(str_from(inside), STR("/bootstrap")) && strcmp(inside, "bootstrap") != 0)
		return false;
	if (!is_file(inside, true))
		return false;
	g->handler = xstrdup("bootstrap");
	return true;
}

static bool find_native(const char *path, bool dir, struct guess *g)
{
	_cleanup_(freep) char *so = dir ? only_file(path, ".so") : xstrdup(path);
	const char *slash = so ? strrchr(so, '/') : NULL;

	if (!so || !str_ends(str_from(so), STR(".so")))
		return false;
	g->handler = xstrdup(slash ? slash + 1 : so);
	return true;
}

/* Procfile: "web: COMMAND"; package.json: {"scripts": {"start": COMMAND}}. */
static bool find_web(const char *path, bool dir, struct guess *g)
{
	_cleanup_(freep) char *procfile = xasprintf("%s/Procfile", path), *package = xasprintf("%s/package.json", path);
	_cleanup_(buf_done) struct buf b = BUF_NULL, text = BUF_NULL;
	_cleanup_json_ json_t *j = NULL;
	struct err ignored = ERR_NULL;
	struct str rest, line, start;

	if (!dir)
		return false;
	if (file_read(procfile, SOURCE_MAX, &b) == 0)
		for (rest = buf_str(&b); rest.n > 0 && !g->command;) {
			str_cut(rest, '\n', &line, &rest);
			if (str_starts(line, STR("web:")) && str_trim(str_sub(line, 4, line.n)).n)
				g->command = str_dup(str_trim(str_sub(line, 4, line.n)));
		}
	if (!g->command && file_read(package, SOURCE_MAX, &text) == 0) {
		j = json_parse(buf_str(&text), &ignored);
		err_done(&ignored);
		start = json_get_str(json_get_object(j, "scripts"), "start", STR_NULL);
		if (start.n)
			g->command = str_dup(start);
	}
	if (g->command)
		g->handler = xstrdup("web");
	return g->command != NULL;
}

static const struct finder {
	const char *kind, *runtime;
	bool (*find)(const char *path, bool dir, struct guess *g);
	const char *looked_for;
} finders[] = {
	{"python", "python3.11", find_python,
	 "lambda_handler(event, context) or handler(event, context) in lambda_function.py, handler.py, app.py or "
	 "main.py"},
	{"nodejs", "nodejs20.x", find_nodejs, "an exported handler in index.mjs, index.js, handler.js or app.js"},
	{"provided", "provided.al2023", find_bootstrap, "an executable file bootstrap"},
	{"native", "native", find_native, "one shared object, NAME.so"},
	{"web", "web", find_web, "a line web: in Procfile, or scripts.start in package.json"},
};

static int not_found(const char *path, const char *runtime, struct err *err)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(finders); i++)
		if (!runtime || str_starts(str_from(runtime), str_from(finders[i].kind)))
			buf_printf(&b, "%s%s", b.n ? "; " : "", finders[i].looked_for);
	return err_set(
		err, 0,
		"no handler found in %s: expected %s. Name yours with --handler MODULE.FUNCTION, and with --runtime "
		"what runs it",
		path, b.n ? buf_cstr(&b) : "a runtime that Wick has");
}

static int look(const char *path, const char *shown, bool dir, const char *runtime, struct guess *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(finders); i++) {
		const struct finder *f = &finders[i];

		if (runtime && !str_starts(str_from(runtime), str_from(f->kind)))
			continue;
		if (!f->find(path, dir, ret))
			continue;
		ret->runtime = xstrdup(runtime ? runtime : f->runtime);
		return 0;
	}
	return not_found(shown, runtime, err);
}

static void remove_dir(char **dir)
{
	if (*dir)
		rm_rf(*dir);
	free(*dir);
}

static int look_into_zip(const char *path, const char *runtime, struct guess *ret, struct err *err)
{
	_cleanup_(remove_dir) char *dir = package_temp_dir(err);
	struct archive_limits limits = {.max_bytes = PACKAGE_MAX, .max_files = 100000};
	int fd, r;

	if (!dir)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "%s", path);
	r = archive_unpack_fd(fd, dir, &limits, err);
	close(fd);
	return r < 0 ? err_wrap(err, "%s", path) : look(dir, path, true, runtime, ret, err);
}

int guess_code(const char *path, const char *runtime, struct guess *ret, struct err *err)
{
	struct stat st;

	*ret = (struct guess){0};
	if (stat(path, &st) < 0)
		return err_set(err, errno, "%s", path);
	if (S_ISREG(st.st_mode) && str_ends(str_from(path), STR(".zip")))
		return look_into_zip(path, runtime, ret, err);
	return look(path, path, S_ISDIR(st.st_mode), runtime, ret, err);
}

void guess_done(struct guess *g)
{
	free(g->runtime);
	free(g->handler);
	free(g->command);
	*g = (struct guess){0};
}
