/* wick-runtime: the zygote of every runtime that is not a language of Wick's own. It loads nothing; what it saves a
 * cold start is an exec. argv[0] of the plan says which shim the forked, boxed child becomes. */
#include "runtime/shim/shim.h"

#include <stdio.h>
#include <unistd.h>

static const struct {
	const char *name;
	void (*run)(const struct zygote_worker *w);
} shims[] = {
	{"provided", provided_run},
	{"native", native_run},
	{"web", web_run},
};

static void run(void *arg, const struct zygote_worker *w)
{
	struct str name = w->plan->n_argv ? w->plan->argv[0] : STR("");

	for (size_t i = 0; i < ARRAY_SIZE(shims); i++)
		if (str_eqz(name, shims[i].name))
			shims[i].run(w);
	fprintf(stderr, "wick-runtime: there is no runtime '%.*s'\n", STR_ARG(name));
	_exit(2);
}

int main(int argc, char **argv)
{
	static const struct zygote_runtime runtime = {.program = "wick-runtime", .run = run};

	return zygote_main(argc, argv, &runtime, NULL);
}
