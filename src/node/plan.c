/* Start plans. Pure: no system call; everything that is not the caller's lives in the arena given. Fails on a runtime
 * that there is no program for, and on an environment that no process can have. */
#include "node/plan.h"

#include <string.h>

struct runtime {
	const char *prefix;  /* of the runtime's name as in AWS Lambda */
	const char *program; /* NULL: comes later */
	const char *what;
};

static const struct runtime runtimes[] = {
	{"python3.", "wick-python", "Python"},
	{"nodejs", NULL, "Node.js"},
	{"provided", NULL, "custom runtimes (provided.al2, provided.al2023)"},
	{"java", NULL, "Java"},
	{"dotnet", NULL, ".NET"},
	{"ruby", NULL, "Ruby"},
	{"go", NULL, "Go as provided.al2023"},
};

const char *plan_runtime(const struct function *f, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		const struct runtime *r = &runtimes[i];

		if (!str_starts(f->runtime, str_from(r->prefix)))
			continue;
		if (!r->program)
			err_set(err, 0,
				"runtime %.*s is not supported yet: this version of Wick runs python3.x; %s will come",
				STR_ARG(f->runtime), r->what);
		return r->program;
	}
	err_set(err, 0, "runtime %.*s is not known: this version of Wick runs python3.x", STR_ARG(f->runtime));
	return NULL;
}

struct env_list {
	struct arena *arena;
	char **at;
	size_t n;
};

static void env_add(struct env_list *l, const char *key, const char *value)
{
	l->at[l->n++] = arena_printf(l->arena, "%s=%s", key, value);
}

/* A value the function's owner chose is kept, but where its code lies is not his to say. */
static int env_from_gate(struct env_list *l, const json_t *env, const struct kv *ours, size_t n_ours, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)env, key, value)
	{
		size_t i = 0;

		if (!json_is_string(value))
			return err_set(err, 0, "environment variable %s is not a string", key);
		if (!key[0] || strchr(key, '='))
			return err_set(err, 0, "\"%s\" is no name of an environment variable", key);
		if (strlen(json_string_value(value)) != json_string_length(value))
			return err_set(err, 0, "environment variable %s holds a NUL byte", key);
		while (i < n_ours && !str_eqz(ours[i].k, key))
			i++;
		if (i == n_ours)
			env_add(l, key, json_string_value(value));
	}
	return 0;
}

static char **plan_env(const struct function *f, const json_t *env, const struct plan_place *where, struct arena *a,
		       struct err *err)
{
	const struct kv ours[] = {
		{STR("LAMBDA_TASK_ROOT"), str_from(where->task_root)},
		{STR("LAMBDA_RUNTIME_DIR"), str_from(where->runtime_dir)},
		{STR("_HANDLER"), f->handler},
	};
	const struct kv defaults[] = {
		{STR("PATH"), STR("/usr/local/bin:/usr/bin:/bin:/opt/bin")},
		{STR("LANG"), STR("C.UTF-8")},
		{STR("TZ"), STR(":UTC")},
		{STR("TMPDIR"), str_from(where->tmp)},
		{STR("HOME"), str_from(where->tmp)},
	};
	struct env_list l = {.arena = a};

	l.at = arena_new_n(a, char *, json_object_size(env) + ARRAY_SIZE(ours) + ARRAY_SIZE(defaults) + 1);
	if (env_from_gate(&l, env, ours, ARRAY_SIZE(ours), err) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		env_add(&l, ours[i].k.p, arena_dup(a, ours[i].v));
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!json_object_get(env, defaults[i].k.p))
			env_add(&l, defaults[i].k.p, defaults[i].v.p);
	return l.at;
}

int plan_make(struct start_plan *ret, const struct function *f, const json_t *env, const struct plan_place *where,
	      struct arena *a, struct err *err)
{
	const char *program = plan_runtime(f, err);
	char **envp, **argv;

	if (!program)
		return -1;
	if (env && !json_is_object(env))
		return err_set(err, 0, "the environment is no object");
	envp = plan_env(f, env, where, a, err);
	if (!envp)
		return -1;
	argv = arena_new_n(a, char *, 2);
	argv[0] = arena_printf(a, "%s", program);
	*ret = (struct start_plan){
		.program = arena_printf(a, "%s/%s", where->runtime_dir, program),
		.argv = argv,
		.envp = envp,
		.cwd = arena_printf(a, "%s", where->task_root),
	};
	return 0;
}
