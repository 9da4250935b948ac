/* One preparation after another: the package, the layers over one another, then, when code of Python is new here, a
 * look at what its sources import. A preparation owns its references and descriptors until it hands them on, and
 * itself. */
#include "node/prepare.h"

#include "base/mem.h"

#include <string.h>
#include <unistd.h>

struct preparation {
	struct prepare_site site;
	char *sha256;
	char *layer_sha256[CODE_MERGE_MAX];
	int zips[PREPARE_ZIPS_MAX];
	size_t n_layers;
	bool python;
	struct code_package *package, *layers;
	char *imports;
	prepare_ready *ready;
	void *arg;
};

static void preparation_end(struct preparation *p, const char *type, const char *error)
{
	if (!type && p->ready) {
		p->ready(p->arg, p->package, p->layers, NULL, NULL);
	} else {
		if (p->package)
			code_unref(p->package);
		if (p->layers)
			code_unref(p->layers);
		if (p->ready)
			p->ready(p->arg, NULL, NULL, type, error);
	}
	for (size_t i = 0; i < PREPARE_ZIPS_MAX; i++)
		if (p->zips[i] >= 0)
			close(p->zips[i]);
	for (size_t i = 0; i < p->n_layers; i++)
		free(p->layer_sha256[i]);
	free(p->sha256);
	free(p->imports);
	free(p);
}

static void scan_work(void *arg)
{
	struct preparation *p = arg;

	p->imports = learn_scan(code_dir(p->package));
}

static void scan_done(void *arg)
{
	struct preparation *p = arg;

	--*p->site.jobs;
	learn_add(p->site.learn, str_from(p->sha256), str_from(p->imports));
	preparation_end(p, NULL, NULL);
}

static void has_all(struct preparation *p)
{
	struct str imports;

	if (!p->python || learn_get(p->site.learn, str_from(p->sha256), &imports)) {
		preparation_end(p, NULL, NULL);
		return;
	}
	++*p->site.jobs;
	loop_work(p->site.loop, scan_work, scan_done, p);
}

static void has_layers(void *arg, struct code_package *package, const char *type, const char *error)
{
	struct preparation *p = arg;

	p->layers = package;
	if (package)
		has_all(p);
	else
		preparation_end(p, type ? type : "Runtime.InvalidLayer", error);
}

static void has_package(void *arg, struct code_package *package, const char *type, const char *error)
{
	struct preparation *p = arg;
	struct str sha256[CODE_MERGE_MAX];
	int zips[CODE_MERGE_MAX];

	p->package = package;
	if (!package) {
		preparation_end(p, type ? type : "Runtime.InvalidCode", error);
		return;
	}
	if (!p->n_layers) {
		has_all(p);
		return;
	}
	for (size_t i = 0; i < p->n_layers; i++) {
		sha256[i] = str_from(p->layer_sha256[i]);
		zips[i] = steal_fd(&p->zips[i + 1]);
	}
	code_get_merged(p->site.code, sha256, zips, p->n_layers, &p->site.from, has_layers, p);
}

void prepare_start(const struct prepare_site *site, const struct function *f, enum runtime_kind kind,
		   const json_t *layers, const int *zips, size_t n_zips, prepare_ready *ready, void *arg,
		   struct preparation **ret)
{
	struct preparation *p = xnew(struct preparation);

	*p = (struct preparation){.site = *site, .python = kind == RUNTIME_PYTHON, .ready = ready, .arg = arg};
	p->sha256 = str_dup(f->code_sha256);
	p->n_layers = MIN(json_array_size(layers), (size_t)CODE_MERGE_MAX);
	for (size_t i = 0; i < p->n_layers; i++)
		p->layer_sha256[i] = str_dup(json_get_str(json_array_get(layers, i), "sha256", STR("")));
	for (size_t i = 0; i < PREPARE_ZIPS_MAX; i++)
		p->zips[i] = i < n_zips ? zips[i] : -1;
	if (ret)
		*ret = p;
	code_get(site->code, str_from(p->sha256), steal_fd(&p->zips[0]), &p->site.from, has_package, p);
}

void prepare_leave(struct preparation *p)
{
	p->ready = NULL;
}
