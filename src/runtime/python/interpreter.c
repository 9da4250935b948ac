/* CPython inside the program, so that the lane is spoken from C and the interpreter is always Debian's, whatever
 * python3 is first on PATH.
 *
 * It is started once, in the zygote, before any function is known: PYTHON* variables have no say in it (bootstrap.py
 * honours PYTHONPATH in each worker). Whoever calls in here holds the interpreter's lock, as the only thread there
 * is. What fails before a worker runs is an error for the node's log; after that it is the function's. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime/python/interpreter.h"

#include "bootstrap_code.h"
#include "runtime/python/lane_module.h"
#include "runtime/python/process_module.h"

#include <marshal.h>
#include <stdio.h>
#include <string.h>

#define PYTHON_HOME    L"/usr"
#define PYTHON_EXE     L"/usr/bin/python3.11"
#define BOOTSTRAP_FILE "<wick>/bootstrap.py"

static PyObject *bootstrap; /* the module */

static PyStatus configure(PyConfig *c)
{
	wchar_t *argv[] = {(wchar_t[]){L"bootstrap.py"}};
	const struct {
		wchar_t **field;
		const wchar_t *value;
	} texts[] = {
		{&c->program_name, PYTHON_EXE},
		{&c->executable, PYTHON_EXE},
		{&c->base_executable, PYTHON_EXE},
		{&c->home, PYTHON_HOME},
		{&c->platlibdir, L"lib"},
		{&c->stdio_encoding, L"utf-8"},
		{&c->stdio_errors, L"backslashreplace"},
	};
	PyStatus s;

	PyConfig_InitPythonConfig(c);
	c->parse_argv = 0;
	c->use_environment = 0;
	c->safe_path = 1;
	c->user_site_directory = 0;
	c->write_bytecode = 0;
	c->pathconfig_warnings = 0;
	/* What is printed is in the pipe at once, also half a line and what C extensions print: a crash
	 * loses none of it. */
	c->buffered_stdio = 0;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		s = PyConfig_SetString(c, texts[i].field, texts[i].value);
		if (PyStatus_Exception(s))
			return s;
	}
	return PyConfig_SetArgv(c, ARRAY_SIZE(argv), argv);
}

static PyStatus start_python(void)
{
	PyPreConfig pre;
	PyConfig config;
	PyStatus s;

	PyPreConfig_InitPythonConfig(&pre);
	pre.parse_argv = 0;
	pre.use_environment = 0;
	pre.utf8_mode = 1;
	s = Py_PreInitialize(&pre);
	if (PyStatus_Exception(s))
		return s;
	s = configure(&config);
	if (!PyStatus_Exception(s))
		s = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	return s;
}

/* The exception that is set, as one line. */
static int python_error(struct err *err, const char *what)
{
	PyObject *type, *value, *trace, *text;
	const char *p = NULL;

	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	text = value ? PyObject_Str(value) : NULL;
	if (text)
		p = PyUnicode_AsUTF8(text);
	err_set(err, 0, "%s: %s%s%s", what, type ? ((PyTypeObject *)type)->tp_name : "error", p && *p ? ": " : "",
		p ? p : "");
	Py_XDECREF(text);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	PyErr_Clear();
	return -1;
}

/* The files of bootstrap_code one after the other in one module. */
static PyObject *run_bootstrap(void)
{
	PyObject *codes = PyMarshal_ReadObjectFromString((const char *)bootstrap_code, sizeof(bootstrap_code));
	PyObject *mod = NULL, *dict, *r;

	if (codes && PyTuple_Check(codes))
		mod = PyImport_ExecCodeModuleEx("_wick_bootstrap", PyTuple_GET_ITEM(codes, 0), BOOTSTRAP_FILE);
	for (Py_ssize_t i = 1; mod && i < PyTuple_GET_SIZE(codes); i++) {
		dict = PyModule_GetDict(mod);
		r = PyEval_EvalCode(PyTuple_GET_ITEM(codes, i), dict, dict);
		if (!r)
			Py_CLEAR(mod);
		Py_XDECREF(r);
	}
	Py_XDECREF(codes);
	return mod;
}

int interpreter_start(struct err *err)
{
	PyStatus s;
	int r = lane_module_setup();

	if (r == 0)
		r = process_module_setup();
	if (r < 0)
		return err_set(err, -r, "make built-in modules");
	s = start_python();
	if (PyStatus_Exception(s))
		return err_set(err, 0, "Python does not start: %s", s.err_msg ? s.err_msg : "exit");
	if (PyImport_GetMagicNumber() != bootstrap_magic)
		return err_set(err, 0, "built for another Python than %s", Py_GetVersion());
	bootstrap = run_bootstrap();
	return bootstrap ? 0 : python_error(err, BOOTSTRAP_FILE);
}

int interpreter_preload(struct str names, char **ret, struct err *err)
{
	PyObject *loaded = PyObject_CallMethod(bootstrap, "preload", "s#", names.p ? names.p : "", (Py_ssize_t)names.n);
	const char *p = loaded ? PyUnicode_AsUTF8(loaded) : NULL;

	if (!p) {
		python_error(err, "load modules");
		Py_XDECREF(loaded);
		return -1;
	}
	*ret = str_dup(str_from(p));
	Py_DECREF(loaded);
	return 0;
}

void interpreter_before_fork(void)
{
	if (process_runs_fork_hooks())
		PyOS_BeforeFork();
}

void interpreter_after_fork_in_parent(void)
{
	PyObject *r;

	if (process_runs_fork_hooks())
		PyOS_AfterFork_Parent();
	if (process_renew())
		return;
	r = PyObject_CallMethod(bootstrap, "fresh_randomness", NULL);
	if (!r)
		PyErr_Print();
	Py_XDECREF(r);
}

void interpreter_after_fork_in_child(void)
{
	if (process_runs_fork_hooks())
		PyOS_AfterFork_Child();
	else
		PyThreadState_Get()->native_thread_id = PyThread_get_thread_native_id();
}

static void flush(const char *stream)
{
	PyObject *f = PySys_GetObject(stream);
	PyObject *r = f ? PyObject_CallMethod(f, "flush", NULL) : NULL;

	Py_XDECREF(r);
	PyErr_Clear();
}

int interpreter_run(const char *function)
{
	PyObject *r = PyObject_CallMethod(bootstrap, function, NULL);

	if (!r)
		PyErr_Print(); /* a handler that left by sys.exit: ends the process with its status */
	Py_XDECREF(r);
	flush("stdout");
	flush("stderr");
	return 1;
}
