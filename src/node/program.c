/* Finds the programs that the node starts (zygotes, wick-net, wick-park) among its libexec folders. Owns nothing; what
 * may fail: it is in none of them. */
#include "node/program.h"

#include "base/mem.h"
#include "base/str.h"

#include <unistd.h>

char *program_find(const char *libexec, const char *program, struct err *err)
{
	struct str rest = str_from(libexec), dir;

	while (rest.n) {
		char *path;

		str_cut(rest, ':', &dir, &rest);
		if (!dir.n)
			continue;
		path = xasprintf("%.*s/%s", STR_ARG(dir), program);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	err_set(err, 0, "the program %s is not installed (looked in %s)", program, libexec);
	return NULL;
}
