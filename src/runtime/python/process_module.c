/* What bootstrap.py must do to the process it runs in and Python has no way to: read the environment anew, count
 * threads, give OpenSSL fresh randomness, become the parent of further workers.
 *
 * OpenSSL notices a fork by the process id. Workers forked from a snapshot all have its id, 1, each in its own pid
 * namespace, and would draw the same numbers; so every worker stirs fresh bytes into the generator, where libcrypto is
 * loaded at all. RAND_add reseeds the generator that all others of the process take their seeds from. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime/python/process_module.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define SEED_SIZE 32

extern char **environ;

static struct {
	void (*serve)(void *arg);
	void *arg;
	bool fork_hooks;
} parent;

/* Names and values as bytes: what os.environ keeps inside. */
static PyObject *py_environ(PyObject *self, PyObject *unused)
{
	PyObject *d = PyDict_New();

	for (char **e = environ; d && e && *e; e++) {
		const char *eq = strchr(*e, '=');
		PyObject *k, *v;
		int r = -1;

		if (!eq || eq == *e)
			continue;
		k = PyBytes_FromStringAndSize(*e, eq - *e);
		v = PyBytes_FromString(eq + 1);
		if (k && v)
			r = PyDict_SetItem(d, k, v);
		Py_XDECREF(k);
		Py_XDECREF(v);
		if (r < 0)
			Py_CLEAR(d);
	}
	return d;
}

static size_t threads(void)
{
	char line[128];
	size_t n = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Threads: %zu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static PyObject *py_threads(PyObject *self, PyObject *unused)
{
	return PyLong_FromSize_t(threads());
}

/* stir(first): with first the generator is made as well, so that no worker has to. */
static PyObject *py_stir(PyObject *self, PyObject *first)
{
	void *lib = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD);
	unsigned char seed[SEED_SIZE];
	void (*add)(const void *, int, double);
	int (*bytes)(unsigned char *, int);

	if (!lib)
		Py_RETURN_FALSE;
	add = __extension__(void (*)(const void *, int, double)) dlsym(lib, "RAND_add");
	bytes = __extension__(int (*)(unsigned char *, int)) dlsym(lib, "RAND_bytes");
	if (PyObject_IsTrue(first) && bytes)
		bytes(seed, sizeof(seed));
	if (!add || getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
		PyErr_SetFromErrno(PyExc_OSError);
		dlclose(lib);
		return NULL;
	}
	add(seed, sizeof(seed), sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
	dlclose(lib);
	Py_RETURN_TRUE;
}

/* names(folder): what is in it; of one that cannot be read, nothing. */
static PyObject *py_names(PyObject *self, PyObject *folder)
{
	const char *path = PyUnicode_AsUTF8(folder);
	PyObject *list = path ? PyList_New(0) : NULL;
	DIR *d = list ? opendir(path) : NULL;
	struct dirent *e;

	while (d && list && (e = readdir(d))) {
		PyObject *name;

		if (e->d_name[0] == '.')
			continue;
		name = PyUnicode_DecodeFSDefault(e->d_name);
		if (!name || PyList_Append(list, name) < 0)
			Py_CLEAR(list);
		Py_XDECREF(name);
	}
	if (d)
		closedir(d);
	return list;
}

static PyObject *py_run_fork_hooks(PyObject *self, PyObject *unused)
{
	parent.fork_hooks = true;
	Py_RETURN_NONE;
}

bool process_runs_fork_hooks(void)
{
	return parent.fork_hooks;
}

static PyObject *py_serve(PyObject *self, PyObject *unused)
{
	parent.serve(parent.arg);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"environ", py_environ, METH_NOARGS, NULL},
	{"threads", py_threads, METH_NOARGS, NULL},
	{"stir", py_stir, METH_O, NULL},
	{"names", py_names, METH_O, NULL},
	{"run_fork_hooks", py_run_fork_hooks, METH_NOARGS, NULL},
	{"serve", py_serve, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_wick_process",
	.m_size = -1,
	.m_methods = methods,
};

static PyObject *module_init(void)
{
	return PyModule_Create(&module);
}

int process_module_setup(void)
{
	return PyImport_AppendInittab("_wick_process", module_init) < 0 ? -ENOMEM : 0;
}

void process_module_serve(void (*serve)(void *arg), void *arg)
{
	parent.serve = serve;
	parent.arg = arg;
}
