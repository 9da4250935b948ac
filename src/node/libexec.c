/* Finds Wick's own programs. */
#include "node/libexec.h"

#include "base/mem.h"
#include "base/str.h"

#include <unistd.h>

char *libexec_find(const char *folders, const char *program)
{
	struct str rest = str_from(folders), dir;

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
	return NULL;
}
