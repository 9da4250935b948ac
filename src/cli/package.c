/* Packages: what lies on disk, as Lambda takes it. Reads files and, for inline code and for looking into a .zip, makes
 * a temporary folder that is gone when the function returns. Fails on what is missing, too large or not a package. */
#include "cli/package.h"

#include "base/mem.h"
#include "cli/guess.h"
#include "sys/archive.h"
#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool is_source(const char *path)
{
	static const char *const endings[] = {".py", ".js", ".mjs", ".cjs", ".so", "/bootstrap"};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (str_ends(str_from(path), str_from(endings[i])))
			return true;
	return strcmp(path, "bootstrap") == 0;
}

static void remove_dir(char **dir)
{
	if (*dir)
		rm_rf(*dir);
	free(*dir);
}

char *package_temp_dir(struct err *err)
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
	if (S_ISREG(st.st_mode) && !is_source(path))
		return err_set(
			err, 0,
			"%s is neither a .py, .js, .mjs, .cjs or .so file, a program named bootstrap, a .zip, a folder "
			"nor a template",
			path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(err, 0, "%s is neither a file nor a folder", path);
	return archive_pack(path, PACKAGE_MAX, zip, err) < 0 ? err_wrap(err, "pack %s", path) : 0;
}

int package_inline(struct str text, const char *name, struct buf *zip, struct err *err)
{
	_cleanup_(remove_dir) char *dir = package_temp_dir(err);
	_cleanup_(freep) char *path = NULL;
	int r;

	if (!dir)
		return -1;
	path = xasprintf("%s/%s", dir, name);
	r = file_write(path, text, 0644);
	if (r < 0)
		return err_set(err, -r, "write %s", path);
	return archive_pack(path, PACKAGE_MAX, zip, err);
}

char *package_name(const char *path, struct err *err)
{
	_cleanup_(freep) char *full = realpath(path, NULL);
	static const char *const endings[] = {".py", ".zip", ".js", ".mjs", ".cjs", ".so"};
	char *base, *name;
	size_t n;

	if (!full) {
		err_set(err, errno, "%s", path);
		return NULL;
	}
	base = strrchr(full, '/') + 1;
	if (guess_is_entry(base) && base > full + 1) {
		/* "handler.py" names no function; the folder it lies in does. */
		base[-1] = '\0';
		base = strrchr(full, '/') ? strrchr(full, '/') + 1 : base;
	}
	n = strlen(base);
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (str_ends(str_from(base), str_from(endings[i]))) {
			n -= strlen(endings[i]);
			break;
		}
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
