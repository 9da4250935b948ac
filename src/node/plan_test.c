/* Every kind of plan keeps the rules of box plans, survives its encoding, and holds what it should. */
#include "node/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct plan_host host;

struct made {
	struct arena a;
	struct function f;
	struct function_options opt;
	struct boxplan plan;
	struct buf text;
	json_t *env;
};

static struct plan_order order_of(struct made *m, enum plan_kind kind, enum runtime_kind runtime)
{
	m->f = (struct function){.name = STR("f"), .handler = STR("app.handler --x"), .ephemeral_mb = 512};
	m->opt = (struct function_options){
		.kind = runtime, .network = NETWORK_GATEWAY, .concurrency = 3, .port = 8080, .ready = STR("/up")};
	m->env = json_pack("{s:s, s:s, s:s}", "AWS_REGION", "x", "HOME", "/elsewhere", "PATH", "/mine");
	return (struct plan_order){
		.kind = kind,
		.host = &host,
		.f = &m->f,
		.opt = &m->opt,
		.env = m->env,
		.task_root = "/data/code/abc",
		.code_folder = "/data/code",
		.joins = 2,
	};
}

static void make(struct made *m, const struct plan_order *o)
{
	struct err err = ERR_NULL;
	struct buf bytes = BUF_NULL;
	struct boxplan again;

	if (plan_make(&m->plan, o, &m->a, &err) < 0 || boxplan_check(&m->plan, &err) < 0)
		fail_msg("%s", err.msg);
	boxplan_encode(&bytes, &m->plan);
	if (boxplan_decode(&again, buf_str(&bytes), &m->a, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(again.n_ops, m->plan.n_ops);
	boxplan_print(&m->text, &m->plan);
	buf_done(&bytes);
}

static void made_done(struct made *m)
{
	arena_done(&m->a);
	buf_done(&m->text);
	json_decref(m->env);
}

static bool has_env(const struct made *m, const char *line)
{
	for (size_t i = 0; i < m->plan.n_env; i++)
		if (str_eqz(m->plan.env[i], line))
			return true;
	return false;
}

static unsigned count(const struct made *m, enum box_op_kind k)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->plan.n_ops; i++)
		n += m->plan.ops[i].kind == k;
	return n;
}

static bool binds(const struct made *m, const char *from, const char *to)
{
	for (size_t i = 0; i < m->plan.n_ops; i++) {
		const struct box_op *op = &m->plan.ops[i];

		if (op->kind == BOX_BIND && str_eqz(op->from, from) && str_eqz(op->to, to))
			return !(op->flags & BOX_WRITABLE);
	}
	return false;
}

static void test_worker(void **state)
{
	struct made m = {0};
	struct plan_order o = order_of(&m, PLAN_WORKER, RUNTIME_PYTHON);

	make(&m, &o);
	assert_int_equal(m.plan.namespaces, BOX_NS_ALL);
	assert_int_equal(m.plan.n_fds, 4);
	assert_int_equal(count(&m, BOX_CGROUP), 2);
	assert_int_equal(count(&m, BOX_LISTEN), 1);
	assert_true(binds(&m, "/data/code/abc", PLAN_TASK_ROOT));
	assert_true(binds(&m, "/usr", "/usr"));
	assert_int_equal(m.plan.ops[m.plan.n_ops - 1].kind, BOX_RIGHTS);
	assert_int_equal(m.plan.ops[m.plan.n_ops - 1].value, BOX_PROFILE_WORKER);
	assert_true(has_env(&m, "HOME=/tmp"));
	assert_false(has_env(&m, "HOME=/elsewhere"));
	assert_true(has_env(&m, "PATH=/mine"));
	assert_true(has_env(&m, "WICK_CONCURRENCY=3"));
	assert_true(str_eqz(m.plan.argv[0], "worker"));
	assert_null(strstr(buf_cstr(&m.text), "/mine"));
	made_done(&m);
}

static bool lands(const struct made *m, const char *path)
{
	for (size_t i = 0; i < m->plan.n_ops; i++)
		if (m->plan.ops[i].kind == BOX_LANDLOCK && str_eqz(m->plan.ops[i].to, path))
			return m->plan.ops[i].flags & BOX_WRITABLE;
	return false;
}

static void test_slice(void **state)
{
	const struct box_op ops[] = {
		{.kind = BOX_DIR, .to = STR("/dev/dri")},
		{.kind = BOX_BIND,
		 .from = STR("/run/x"),
		 .to = STR("/dev/dri/renderD128"),
		 .flags = BOX_DEV | BOX_WRITABLE},
		{.kind = BOX_LINK, .from = STR("/sys/devices/x"), .to = STR("/sys/dev/char")},
	};
	const struct kv env[] = {{STR("WICK_SLICE"), STR("3/8")}, {STR("AWS_REGION"), STR("theirs")}};
	const char *const writable[] = {"/run/wick/mps"};
	const struct plan_slice slice = {
		.ops = ops, .n_ops = ARRAY_SIZE(ops), .env = env, .n_env = 2, .writable = writable, .n_writable = 1};
	struct made m = {0};
	struct plan_order o = order_of(&m, PLAN_WORKER, RUNTIME_WEB);

	o.slice = &slice;
	json_object_set_new(m.env, "WICK_SLICE", json_string("8/8")); /* not the function's to say */
	make(&m, &o);
	assert_true(has_env(&m, "WICK_SLICE=3/8"));
	assert_false(has_env(&m, "WICK_SLICE=8/8"));
	assert_true(has_env(&m, "AWS_REGION=theirs"));
	assert_true(lands(&m, "/run/wick/mps"));
	assert_non_null(strstr(buf_cstr(&m.text), "/dev/dri/renderD128"));
	made_done(&m);
	o = order_of(&m, PLAN_WORKER, RUNTIME_PYTHON);
	m.text = BUF_NULL;
	m.a = ARENA_NULL;
	make(&m, &o);
	assert_null(strstr(buf_cstr(&m.text), "/dev/dri"));
	assert_false(lands(&m, "/run/wick/mps"));
	made_done(&m);
}

static void test_networks(void **state)
{
	struct made m = {0}, i = {0};
	struct plan_order o = order_of(&m, PLAN_WORKER, RUNTIME_PYTHON);

	m.opt.network = NETWORK_NONE;
	make(&m, &o);
	assert_int_equal(count(&m, BOX_LISTEN), 0);
	assert_int_equal(count(&m, BOX_WAIT), 0);
	made_done(&m);
	o = order_of(&i, PLAN_WORKER, RUNTIME_PYTHON);
	i.opt.network = NETWORK_INTERNET;
	o.wait = true;
	make(&i, &o);
	assert_int_equal(count(&i, BOX_WAIT), 1);
	assert_int_equal(i.plan.n_fds, 5);
	made_done(&i);
}

static void test_kinds(void **state)
{
	struct made s = {0}, r = {0}, p = {0}, q = {0};
	struct plan_order o = order_of(&s, PLAN_SNAPSHOT, RUNTIME_PYTHON);

	o.extra_fds = 1;
	make(&s, &o);
	assert_int_equal(count(&s, BOX_LANDLOCK), 0);
	assert_int_equal(s.plan.ops[s.plan.n_ops - 1].value, BOX_PROFILE_SNAPSHOT);
	made_done(&s);
	o = order_of(&r, PLAN_RESTORE, RUNTIME_PYTHON);
	make(&r, &o);
	assert_int_equal(count(&r, BOX_ROOT), 0);
	assert_int_equal(count(&r, BOX_TMPFS), 2);
	made_done(&r);
	o = order_of(&p, PLAN_POOL, RUNTIME_NODEJS);
	o.f = NULL;
	o.opt = NULL;
	make(&p, &o);
	assert_true(binds(&p, "/data/code", PLAN_POOL_CODE));
	assert_int_equal(count(&p, BOX_LISTEN), 0);
	made_done(&p);
	o = order_of(&q, PLAN_SPECIAL, RUNTIME_NODEJS);
	o.joins = 0;
	make(&q, &o);
	assert_int_equal(q.plan.namespaces, 0);
	assert_true(binds(&q, PLAN_POOL_CODE "/abc", PLAN_TASK_ROOT));
	assert_int_equal(count(&q, BOX_UNMOUNT), 1);
	made_done(&q);
}

static void test_web(void **state)
{
	struct made m = {0};
	struct plan_order o = order_of(&m, PLAN_WORKER, RUNTIME_WEB);

	make(&m, &o);
	assert_int_equal(m.plan.n_argv, 3);
	assert_true(str_eqz(m.plan.argv[0], "web"));
	assert_true(str_eqz(m.plan.argv[2], "--x"));
	assert_true(has_env(&m, "PORT=8080"));
	assert_true(has_env(&m, "WICK_WEB_READY=/up"));
	made_done(&m);
}

static void refused(const char *name, json_t *value)
{
	struct made m = {0};
	struct plan_order o = order_of(&m, PLAN_WORKER, RUNTIME_PYTHON);
	struct err err = ERR_NULL;

	json_object_set_new(m.env, name, value);
	assert_int_equal(plan_make(&m.plan, &o, &m.a, &err), -1);
	assert_non_null(strstr(err.msg, "environment variable"));
	err_done(&err);
	made_done(&m);
}

static void test_bad_env(void **state)
{
	refused("A=B", json_string("x"));
	refused("", json_string("x"));
	refused("N", json_integer(1));
	refused("Z", json_stringn("a\0b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker), cmocka_unit_test(test_slice), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_kinds),  cmocka_unit_test(test_web),   cmocka_unit_test(test_bad_env),
	};

	plan_host_look(&host);
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	plan_host_done(&host);
	return r;
}
