/* What bootstrap.py must do to the process it runs in and Python has no way to: read the environment anew, count
 * threads, give OpenSSL fresh randomness, become the parent of further workers.
 *
 * OpenSSL notices a fork by the process id. Workers forked from a snapshot all have its id, 1, each in its own pid
 * namespace, and would draw the same numbers; so every worker stirs fresh bytes into the generator, where libcrypto is
 * loaded at all. RAND_add reseeds the generator that all others of the process take their seeds from. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime/python/process_module.h"

#include "runtime/python/atfork.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define SEED_SIZE 32
#define MT_WORDS  624 /* of a Mersenne Twister's state */

extern char **environ;

static struct {
	void (*serve)(void *arg);
	void *arg;
	bool fork_hooks;
} parent;

/* numpy.random's own generator: what its bit generator's capsule points to. */
struct mt19937 {
	uint32_t key[MT_WORDS];
	int pos;
};

static struct {
	bool ready;
	PyObject *seed; /* of the random module's generator */
	struct mt19937 *numpy;
} generators;

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

/* threads(): how many a fork would find: what libraries end before one (OpenBLAS its workers) does not count. */
static PyObject *py_threads(PyObject *self, PyObject *unused)
{
	size_t n;

	atfork_prepare();
	n = threads();
	atfork_parent();
	return PyLong_FromSize_t(n);
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

static struct mt19937 *numpy_state(PyObject *capsule, PyObject *key, int pos)
{
	/* A bitgen_t of numpy begins with the pointer to the state. */
	struct mt19937 **bitgen = PyCapsule_GetPointer(capsule, "BitGenerator");
	struct mt19937 *s = bitgen ? *bitgen : NULL;

	PyErr_Clear();
	if (!s || !PyBytes_Check(key) || PyBytes_GET_SIZE(key) != sizeof(s->key) || s->pos != pos ||
	    memcmp(s->key, PyBytes_AS_STRING(key), sizeof(s->key)) != 0)
		return NULL;
	return s;
}

/* generators(seed, capsule, key, pos): what process_renew works on. seed: to be called without arguments, None: nothing
 * is for process_renew; then numpy's capsule, or None, and the state that must be found by it. False: it is not. */
static PyObject *py_generators(PyObject *self, PyObject *args)
{
	PyObject *seed, *capsule, *key;
	int pos;

	if (!PyArg_ParseTuple(args, "OOOi", &seed, &capsule, &key, &pos))
		return NULL;
	generators.ready = false;
	if (seed == Py_None)
		Py_RETURN_FALSE;
	if (capsule != Py_None) {
		generators.numpy = numpy_state(capsule, key, pos);
		if (!generators.numpy)
			Py_RETURN_FALSE;
	}
	generators.seed = Py_NewRef(seed);
	generators.ready = true;
	Py_RETURN_TRUE;
}

bool process_renew(void)
{
	PyObject *r;

	if (!generators.ready)
		return false;
	r = PyObject_CallNoArgs(generators.seed);
	if (!r) {
		PyErr_Clear();
		return false;
	}
	Py_DECREF(r);
	if (generators.numpy) {
		char *key = (char *)generators.numpy->key;
		size_t n = 0;

		while (n < sizeof(generators.numpy->key)) {
			ssize_t got = getrandom(key + n, sizeof(generators.numpy->key) - n, 0);

			if (got < 0)
				return false;
			n += (size_t)got;
		}
		generators.numpy->key[0] |= 0x80000000u; /* not all zero */
		generators.numpy->pos = MT_WORDS;
	}
	return true;
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

/* load(path): a shared library, for good. What is missing, as text; None: nothing is. */
static PyObject *py_load(PyObject *self, PyObject *path)
{
	const char *p = PyUnicode_AsUTF8(path), *error;

	if (!p)
		return NULL;
	if (dlopen(p, RTLD_LAZY))
		Py_RETURN_NONE;
	error = dlerror();
	return PyUnicode_DecodeFSDefault(error ? error : "");
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
	{"generators", py_generators, METH_VARARGS, NULL},
	{"names", py_names, METH_O, NULL},
	{"load", py_load, METH_O, NULL},
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
