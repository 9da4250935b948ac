/* Packages: what lies on disk, as Lambda takes it. Reads files and, for inline code and for looking into a .zip, makes
 * a temporary folder that is gone when the function returns. Fails on what is missing, too large or not a package. */
#include "cli/package.h"

#include "base/mem.h"
#include "sys/archive.h"
#include "sys/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_MAX ((size_t)16 << 20)

static const char *const entry_files[] = {"lambda_function.py", "handler.py", "app.py", "main.py"};
static const char *const entry_functions[] = {"lambda_handler", "handler"};

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void remove_dir(char **dir)
{
	if (*dir)
		rm_rf(*dir);
	free(*dir);
}

static char *temp_dir(struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_(freep) char *dir = xasprintf("%s/wick-deploy-XXXXXX", tmp && *tmp ? tmp : "/tmp");

	if (mkdtemp(dir))
		return steal(&dir);
	err_set(err, errno, "a temporary folder %s cannot be made", dir);
	return NULL;
}

int package_read(const char *path, struct buf *zip, struct err *err)
{
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return err_set(err, errno, "%s", path);
	if (S_ISREG(st.st_mode) && str_ends(str_from(path), STR(".zip"))) {
		struct archive_limits limits = {.max_bytes = PACKAGE_MAX, .max_files = 100000};
		struct archive_totals totals;

		r = file_read(path, PACKAGE_MAX, zip);
		if (r == -EFBIG)
			return err_set(err, 0, "%s is larger than 250 MiB", path);
		if (r < 0)
			return err_set(err, -r, "%s", path);
		return archive_check(buf_str(zip), &limits, &totals, err) < 0 ? err_wrap(err, "%s", path) : 0;
	}
	if (S_ISREG(st.st_mode) && !str_ends(str_from(path), STR(".py")))
		return err_set(err, 0, "%s is neither a .py file, a .zip, a folder nor a template", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(err, 0, "%s is neither a file nor a folder", path);
	return archive_pack(path, PACKAGE_MAX, zip, err) < 0 ? err_wrap(err, "pack %s", path) : 0;
}

int package_inline(struct str text, struct buf *zip, struct err *err)
{
	_cleanup_(remove_dir) char *dir = temp_dir(err);
	_cleanup_(freep) char *path = NULL;
	int r;

	if (!dir)
		return -1;
	path = xasprintf("%s/index.py", dir);
	r = file_write(path, text, 0644);
	if (r < 0)
		return err_set(err, -r, "write %s", path);
	return archive_pack(path, PACKAGE_MAX, zip, err);
}

/* The first of lambda_handler and handler that the module defines at its top level. */
static const char *defined_function(const char *path)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (file_read(path, SOURCE_MAX, &b) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(entry_functions); i++) {
		struct str rest = buf_str(&b), line, name = str_from(entry_functions[i]);

		while (rest.n > 0) {
			str_cut(rest, '\n', &line, &rest);
			if (str_starts(line, STR("async ")))
				line = str_sub(line, 6, line.n);
			if (str_starts(line, STR("def ")))
				line = str_trim(str_sub(line, 4, line.n));
			if (!str_starts(line, name))
				continue;
			line = str_trim(str_sub(line, name.n, line.n));
			if (line.n > 0 && (line.p[0] == '(' || (line.p[0] == '=' && !str_starts(line, STR("==")))))
				return entry_functions[i];
		}
	}
	return NULL;
}

static char *handler_of_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *function = defined_function(path);

	return function ? xasprintf("%.*s.%s", (int)(strlen(base) - strlen(".py")), base, function) : NULL;
}

/* The only module of a folder, when there is exactly one. */
static char *only_module(const char *dir)
{
	_cleanup_(freep) char *found = NULL;
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!str_ends(str_from(e->d_name), STR(".py")))
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

static char *handler_of_dir(const char *dir)
{
	_cleanup_(freep) char *only = only_module(dir);

	for (size_t i = 0; i < ARRAY_SIZE(entry_files); i++) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", dir, entry_files[i]);
		char *handler = is_file(path) ? handler_of_file(path) : NULL;

		if (handler)
			return handler;
	}
	return only ? handler_of_file(only) : NULL;
}

static char *handler_of_zip(const char *path, struct err *err)
{
	_cleanup_(remove_dir) char *dir = temp_dir(err);
	struct archive_limits limits = {.max_bytes = PACKAGE_MAX, .max_files = 100000};
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0 || !dir) {
		if (fd >= 0)
			close(fd);
		else
			err_set(err, errno, "%s", path);
		return NULL;
	}
	r = archive_unpack_fd(fd, dir, &limits, err);
	close(fd);
	if (r < 0) {
		err_wrap(err, "%s", path);
		return NULL;
	}
	return handler_of_dir(dir);
}

char *package_handler(const char *path, struct err *err)
{
	char *handler = NULL;

	if (is_dir(path))
		handler = handler_of_dir(path);
	else if (str_ends(str_from(path), STR(".zip")))
		handler = handler_of_zip(path, err);
	else if (str_ends(str_from(path), STR(".py")))
		handler = handler_of_file(path);
	if (!handler && !err->msg)
		err_set(err, 0,
			"no handler found in %s: expected lambda_handler(event, context) or handler(event, context) in "
			"lambda_function.py, handler.py, app.py or main.py; name yours with --handler MODULE.FUNCTION",
			path);
	return handler;
}

char *package_name(const char *path, struct err *err)
{
	_cleanup_(freep) char *full = realpath(path, NULL);
	char *base, *name;
	size_t n;

	if (!full) {
		err_set(err, errno, "%s", path);
		return NULL;
	}
	base = strrchr(full, '/') + 1;
	for (size_t i = 0; i < ARRAY_SIZE(entry_files); i++)
		if (strcmp(base, entry_files[i]) == 0 && base > full + 1) {
			/* "handler.py" names no function; the folder it lies in does. */
			base[-1] = '\0';
			base = strrchr(full, '/') ? strrchr(full, '/') + 1 : base;
			break;
		}
	n = strlen(base);
	if (str_ends(str_from(base), STR(".py")))
		n -= 3;
	else if (str_ends(str_from(base), STR(".zip")))
		n -= 4;
	name = xstrndup(base, MIN(n, (size_t)64));
	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			*c = '-';
	if (*name)
		return name;
	free(name);
	err_set(err, 0, "%s makes no name for a function: give one with --name", path);
	return NULL;
}

char *package_template(const char *path)
{
	static const char *const names[] = {"template.yaml", "template.yml", "template.json"};
	struct str s = str_from(path);

	if (!is_dir(path))
		return str_ends(s, STR(".yaml")) || str_ends(s, STR(".yml")) || str_ends(s, STR(".json"))
			       ? xstrdup(path)
			       : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *file = xasprintf("%s/%s", path, names[i]);

		if (is_file(file))
			return file;
		free(file);
	}
	return NULL;
}
