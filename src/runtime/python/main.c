/* wick-python: the runtime of Python functions. A CPython inside one program, so that the lane is spoken from C and
 * the interpreter is always Debian's, whatever python3 is first on PATH.
 *
 * Started by wick-node with the lane on fd 3 and the function's own environment, complete: PYTHON* variables in it
 * were set by the function's owner and mean what they mean on AWS, but where the standard library lies is fixed.
 * Its errors before the interpreter runs go to standard error, which is the function's log. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/util.h"
#include "bootstrap_code.h"
#include "runtime/python/lane_module.h"

#include <marshal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define LANE_FD      3
#define PYTHON_HOME  L"/usr"
#define PYTHON_EXE   L"/usr/bin/python3.11"
#define PROGRAM_NAME "wick-python"

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

static void flush(const char *stream)
{
	PyObject *f = PySys_GetObject(stream);
	PyObject *r = f ? PyObject_CallMethod(f, "flush", NULL) : NULL;

	Py_XDECREF(r);
	PyErr_Clear();
}

/* Returns only when an exception that is none of a handler's (KeyboardInterrupt) came out. Where the handler left by
 * sys.exit, PyErr_Print ends the process with its status. */
static int run_bootstrap(void)
{
	PyObject *code, *mod = NULL;

	if (PyImport_GetMagicNumber() != bootstrap_magic) {
		fprintf(stderr, PROGRAM_NAME ": built for another Python than %s\n", Py_GetVersion());
		return 1;
	}
	code = PyMarshal_ReadObjectFromString((const char *)bootstrap_code, sizeof(bootstrap_code));
	if (code)
		mod = PyImport_ExecCodeModuleEx("_wick_bootstrap", code, "<wick>/bootstrap.py");
	if (!mod)
		PyErr_Print();
	Py_XDECREF(code);
	Py_XDECREF(mod);
	flush("stdout");
	flush("stderr");
	return 1;
}

int main(int argc, char **argv)
{
	PyStatus s;
	int r;

	if (argc > 1) {
		printf(PROGRAM_NAME " %s, Python %s\n", WICK_VERSION, Py_GetVersion());
		return 0;
	}
	r = lane_module_setup(LANE_FD);
	if (r < 0) {
		fprintf(stderr, PROGRAM_NAME ": no lane on fd %d: %s (wick-node starts this program)\n", LANE_FD,
			strerror(-r));
		return 2;
	}
	/* What a function leaves in the background comes back to this process, and from it, when it ends, to the node,
	 * which ends it. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s = start_python();
	if (PyStatus_Exception(s)) {
		fprintf(stderr, PROGRAM_NAME ": Python does not start: %s\n", s.err_msg ? s.err_msg : "exit");
		return 2;
	}
	return run_bootstrap();
}
