/* Runs a fuzz target over files, where libFuzzer is not at hand: each argument is a file or a folder of files. Each
 * input is in a block of its own, so that a sanitizer sees a read past its end. */
#include "base/buf.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run_file(const char *path)
{
	struct buf b = BUF_NULL;
	FILE *f = fopen(path, "rb");
	uint8_t *exact;
	bool ok;
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	while ((n = fread(buf_reserve(&b, 65536), 1, 65536, f)) > 0)
		b.n += n;
	ok = !ferror(f);
	fclose(f);
	exact = xmalloc(b.n);
	if (b.n)
		memcpy(exact, b.p, b.n);
	LLVMFuzzerTestOneInput(exact, b.n);
	free(exact);
	buf_done(&b);
	return ok;
}

static bool run_folder(const char *path, size_t *n_runs)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool ok = true;

	if (!d) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	while (ok && (e = readdir(d))) {
		char *file;

		if (e->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s", path, e->d_name);
		ok = run_file(file);
		(*n_runs)++;
		free(file);
	}
	closedir(d);
	return ok;
}

int main(int argc, char **argv)
{
	size_t n_runs = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		bool ok;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			ok = run_folder(argv[i], &n_runs);
		} else {
			ok = run_file(argv[i]);
			n_runs++;
		}
		if (!ok)
			return 1;
	}
	printf("%zu inputs\n", n_runs);
	return n_runs == 0;
}
