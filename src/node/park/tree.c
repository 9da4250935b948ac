/* Reads /proc. Owns nothing. A process that ends meanwhile is one that uses nothing; one that may not be looked at (the
 * node must be its user or root) is an error, as it might hold device memory. */
#include "node/park/tree.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Threads too: whichever thread forked is the parent of a process. */
static void add_children(int pid, int *pids, size_t *n, size_t max)
{
	char path[300];
	struct dirent *e;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	while (threads && (e = readdir(threads))) {
		FILE *f;
		int child;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, e->d_name);
		f = fopen(path, "re");
		while (f && *n < max && fscanf(f, "%d", &child) == 1)
			pids[(*n)++] = child;
		if (f)
			fclose(f);
	}
	if (threads)
		closedir(threads);
}

/* The end of a line of maps is the path: "7f00-7f01 r-xp 00000000 fe:00 123    /usr/lib/libcuda.so.1". */
static bool is_mapping(const char *line, struct str library)
{
	const char *slash = strchr(line, '/') ? strrchr(line, '/') : NULL;

	return slash && str_starts(str_from(slash + 1), library);
}

/* 1: has it, 0: has not, or is gone; -errno. */
static int has_mapped(int pid, struct str library)
{
	char path[64], *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (!found && getline(&line, &room, f) >= 0)
		found = is_mapping(line, library);
	free(line);
	fclose(f);
	return found;
}

int tree_find(int pid, struct str library, int ret[static TREE_MAX], size_t *n, struct err *err)
{
	int all[TREE_MAX + 1];
	size_t n_all = 1;

	*n = 0;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return err_set(err, 0, "process %d is not there", pid);
	all[0] = pid;
	for (size_t i = 0; i < n_all; i++) {
		int r = has_mapped(all[i], library);

		if (n_all > TREE_MAX)
			return err_set(err, 0, "process %d has more than %d descendants", pid, TREE_MAX - 1);
		if (r < 0)
			return err_set(err, -r, "look at process %d", all[i]);
		if (r)
			ret[(*n)++] = all[i];
		add_children(all[i], all, &n_all, TREE_MAX + 1);
	}
	return *n ? 0 : err_set(err, 0, "process %d and those it has started do not use CUDA", pid);
}
